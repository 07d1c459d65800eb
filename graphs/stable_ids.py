"""Edge ids that depend on what an edge is, never on where it stands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.types import Ids

_ID_BITS = np.uint64(53)
"""Edge ids stay below 2**53, so that JSON and JavaScript keep them exactly."""


def stable_ids(*columns: Ids) -> tuple[Ids, int]:
    """One id in [0, 2**53) per row, from its values alone; rows of equal hash are moved on, in order of their values.

    Returns
    -------
    tuple
        int64[n], unique, and the number of moves. The same rows give the same ids in any order, except that rows
        equal in every column take their ids in order of appearance.
    """
    value = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        value = mix64(value ^ column.astype(np.uint64))
    ids = (value >> (np.uint64(64) - _ID_BITS)).astype(np.int64)
    order = np.lexsort((*reversed(columns), ids))
    num_moved, turn = 0, 0
    while (repeats := _repeats(ids, order)).size:
        num_moved, turn = num_moved + len(repeats), turn + 1
        # Of the row and the round alone, so that what collides elsewhere on the map has no say.
        moved = mix64(ids[repeats].astype(np.uint64) ^ value[repeats] ^ np.uint64(turn))
        ids[repeats] = (moved >> (np.uint64(64) - _ID_BITS)).astype(np.int64)
        order = np.lexsort((*reversed(columns), ids))
    return ids, num_moved


def _repeats(ids: Ids, order: NDArray[Any]) -> NDArray[Any]:
    in_order = ids[order]
    return np.asarray(order[1:][in_order[1:] == in_order[:-1]])


def mix64(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64, elementwise: a fixed bijection that scatters 64-bit numbers."""
    mixed = value + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
