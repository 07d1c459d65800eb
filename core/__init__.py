"""What every layer uses: errors, array types, configuration, verified folders. Imports nothing of trodden."""
