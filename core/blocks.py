"""Long arrays a block at a time."""

from __future__ import annotations

from collections.abc import Iterator

_BLOCK = 1 << 16
"""Items at a time: a few arrays of half a megabyte, and sums that depend on nothing else."""


def blocks_of(count: int) -> Iterator[slice]:
    """So many items (turns, edges), a block at a time.

    >>> list(blocks_of(70_000))
    [slice(0, 65536, None), slice(65536, 70000, None)]
    """
    return (slice(begin, min(begin + _BLOCK, count)) for begin in range(0, count, _BLOCK))
