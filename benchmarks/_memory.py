"""How much memory a process has held."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def peak_gb() -> float:
    """Largest resident memory of this process, or since `forget_peak`.

    Not getrusage's, which begins with what the parent held when it started this process.
    """
    (line,) = (one for one in Path("/proc/self/status").read_text("ascii").splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


def forget_peak() -> None:
    """Let the kernel count the largest resident memory of this process anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def resident_bytes() -> int:
    """Resident memory of this process now."""
    (line,) = (one for one in Path("/proc/self/status").read_text("ascii").splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


@contextmanager
def anonymous_peak() -> Iterator[list[float]]:
    """Largest memory in GB that is this process's own, in a list of one after the block: mapped files, which the system
    may forget at any time, do not count. Looked at every 5 ms.
    """
    peak, is_over = [0.0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.005):
            peak[0] = max(peak[0], anonymous_gb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        is_over.set()
        watcher.join()


def anonymous_gb() -> float:
    """Memory that is this process's own, in GB, now."""
    (line,) = (one for one in Path("/proc/self/status").read_text("ascii").splitlines() if one.startswith("RssAnon"))
    return int(line.split()[1]) * 1024 / 1e9
