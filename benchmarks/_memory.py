"""How much memory a process has held."""

from __future__ import annotations

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
