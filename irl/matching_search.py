"""Bounded searches on the turn graph from one candidate of a trace to those of its next point: compiled."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..core.compiled import inner_kernel
from ..core.types import Floats, Ints
from ..graphs.geometry import METRES_PER_DEGREE
from ..graphs.search_kernels import pop, push

_Array = Any
"""A numpy array inside a kernel; shapes stand in the comments and docstrings."""
NEVER = np.iinfo(np.int32).max // 2 - 8
"""Numbers of searches end here: marks are twice as large."""


class Roads(NamedTuple):
    """What searches read of a network; a named tuple, because kernels take those as they are."""

    first_out: Ints
    """int32[E+1], as in `TurnGraph`."""
    to_edge: Ints
    """int32[T]."""
    turn_cost: Floats
    """float64[T], > 0: paths between candidates are the cheapest by it; includes the edge that is entered."""
    length_m: Floats
    """float64[E]."""
    travel_time_s: Floats
    """float64[E], free flow; 0 where the network does not say."""
    speed_kmh: Floats
    """float64[E]; 0 where the network does not say."""
    head_latitude_deg: Floats
    """float64[E], where each edge ends."""
    head_longitude_deg: Floats


class Scratch(NamedTuple):
    """What one thread writes per edge. Entries with the mark of an earlier search mean nothing."""

    cost: Floats
    """float64[E], up to the end of an edge."""
    along_m: Floats
    """float64[E], from the end of the first edge to the start of this one."""
    spent_s: Floats
    """float64[E], the same in free-flow time."""
    previous: Ints
    """int32[E], the edge before; -1 after the first one."""
    mark: Ints
    """int32[E]: 2 n where search n has a cost, 2 n + 1 once it is final."""
    wanted: Ints
    """int32[E]: the number of the step that an edge is a target of."""
    seen: Ints
    """int32[E] and"""
    slot: Ints
    """int32[E]: for `edges_around`, and for places in a route."""
    keys: Floats
    """float64[H] and"""
    items: Ints
    """int32[H]: a heap."""
    numbers: Ints
    """int32[2]: the numbers of the last search, and of the last use of ``seen`` and ``wanted``."""


def make_scratch(num_edges: int, heap: int) -> Scratch:
    """44 bytes per edge, 12 per place in the heap."""
    return Scratch(
        np.empty(num_edges),
        np.empty(num_edges),
        np.empty(num_edges),
        np.zeros(num_edges, np.int32),
        np.zeros(num_edges, np.int32),
        np.zeros(num_edges, np.int32),
        np.zeros(num_edges, np.int32),
        np.zeros(num_edges, np.int32),
        np.empty(heap),
        np.empty(heap, np.int32),
        np.zeros(2, np.int32),
    )


@inner_kernel
def next_search(scratch: Scratch) -> int:
    """A number for a search that no entry bears."""
    if scratch.numbers[0] >= NEVER:
        scratch.mark[:] = 0
        scratch.numbers[0] = 0
    scratch.numbers[0] += 1
    return int(scratch.numbers[0])


@inner_kernel
def next_use(scratch: Scratch) -> int:
    """A number for marks in ``seen`` or ``wanted`` that no entry bears."""
    if scratch.numbers[1] >= NEVER:
        scratch.seen[:] = 0
        scratch.wanted[:] = 0
        scratch.numbers[1] = 0
    scratch.numbers[1] += 1
    return int(scratch.numbers[1])


@inner_kernel
def crow_m(latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float) -> float:
    """Metres between two points some kilometres apart."""
    north = (latitude_2 - latitude_1) * METRES_PER_DEGREE
    east = (longitude_2 - longitude_1) * METRES_PER_DEGREE * math.cos(math.radians((latitude_1 + latitude_2) / 2))
    return math.hypot(north, east)


@inner_kernel
def search(
    roads: Roads,
    scratch: Scratch,
    source: int,
    step: int,
    missing: int,
    latitude: float,
    longitude: float,
    radius_m: float,
    most_m: float,
    most_s: float,
) -> bool:
    """Dijkstra from the end of ``source`` to ``missing`` edges whose ``wanted`` is ``step``; False: the heap is full.

    Edges that start more than ``most_m`` metres or ``most_s`` seconds away are not entered, nor those from whose start
    nothing within ``radius_m`` of (latitude, longitude) can be reached in ``most_m``. Which targets were reached: those
    with mark 2 n + 1, n being the number of the search, ``scratch.numbers[0]``.
    """
    opened = 2 * next_search(scratch)
    cost, mark, keys, items, size = scratch.cost, scratch.mark, scratch.keys, scratch.items, 0
    for turn in range(roads.first_out[source], roads.first_out[source + 1]):
        there, reach = roads.to_edge[turn], roads.turn_cost[turn]
        cost[there], mark[there] = reach, opened
        scratch.along_m[there], scratch.spent_s[there], scratch.previous[there] = 0.0, 0.0, -1
        if size == len(keys):
            return False
        size = push(keys, items, size, reach, there)
    while size > 0:
        here, at = keys[0], items[0]
        size = pop(keys, items, size)
        if mark[at] != opened or here > cost[at]:
            continue
        mark[at] = opened + 1
        if scratch.wanted[at] == step:
            missing -= 1
            if missing == 0:
                break
        along = scratch.along_m[at] + roads.length_m[at]
        spent = scratch.spent_s[at] + roads.travel_time_s[at]
        if spent > most_s or along > most_m:
            continue
        rest = crow_m(roads.head_latitude_deg[at], roads.head_longitude_deg[at], latitude, longitude) - radius_m
        if along + rest > most_m:
            continue
        begin, end = roads.first_out[at], roads.first_out[at + 1]
        if size + end - begin > len(keys):
            return False
        for turn in range(begin, end):
            there, reach = roads.to_edge[turn], here + roads.turn_cost[turn]
            if mark[there] < opened or (mark[there] == opened and reach < cost[there]):
                cost[there], mark[there], scratch.previous[there] = reach, opened, at
                scratch.along_m[there], scratch.spent_s[there] = along, spent
                size = push(keys, items, size, reach, there)
    return True
