"""How many threads work where nothing else is asked for."""

from __future__ import annotations

import os


def worker_threads(threads: int = 0) -> int:
    """As many as asked for; 0 is one per CPU, at most 8."""
    return threads or min(os.cpu_count() or 1, 8)
