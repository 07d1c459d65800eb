"""Learning per region, on Ray."""
