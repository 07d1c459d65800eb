"""Bounded searches on the turn graph from all candidates of a trace's point to those of its next one: compiled.

The candidates of a point are neighbours, and where points are a minute apart their shortest-path trees are the same but
for the first streets. So one search serves all of them, with a vector of costs per edge, a lane for each candidate: a
label-correcting Dijkstra, whose inner loop over lanes is one that processors do several of at a time.
"""

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
SPEED_LOG = 0.25
"""Standard deviation of the logarithm of speed above free flow; slower than that is always possible."""
_AT_ONCE = 4
"""Lanes are made up to a multiple of it, so that none is left over where a processor does several at a time."""
_CHECK_EVERY = 32
"""Edges between two looks at what is still missing."""
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
    """float64[E], the key that an edge stands in the heap with; infinity where it does not."""
    along_m: Floats
    """float64[E], from the nearest source to the start of this edge, by the cheapest path from any source."""
    spent_s: Floats
    """float64[E], the same in free-flow time."""
    mark: Ints
    """int32[E]: 2 n where search n has a cost, 2 n + 1 once the least of them is final."""
    row: Ints
    """int32[E], where the edge's lanes stand."""
    wanted: Ints
    """int32[E]: the number of the step that an edge is a target of."""
    seen: Ints
    """int32[E] and"""
    slot: Ints
    """int32[E]: for `edges_around`, for places in a route, and for which target of a step an edge is."""
    keys: Floats
    """float64[H] and"""
    items: Ints
    """int32[H]: a heap."""
    lanes: Floats
    """float64[R, W]: costs up to the end of an edge, from each source."""
    before: Ints
    """int32[R, W]: the edge before on that path; -1 after the source."""
    numbers: Ints
    """int32[2]: the numbers of the last search, and of the last use of ``seen`` and ``wanted``."""


def make_scratch(num_edges: int, heap: int, rows: int, width: int) -> Scratch:
    """For ``width`` sources: 44 bytes per edge, 12 per place in the heap and per source and row."""
    lanes = (width + _AT_ONCE - 1) // _AT_ONCE * _AT_ONCE
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
        np.empty((rows, lanes)),
        np.empty((rows, lanes), np.int32),
        np.zeros(2, np.int32),
    )


class Step(NamedTuple):
    """From one point to the next."""

    number: int
    """What ``wanted`` says of its targets."""
    latitude_deg: float
    """The next point,"""
    longitude_deg: float
    radius_m: float
    """within which its candidates lie."""
    crow_m: float
    """Between the points."""
    beta_m: float
    most_m: float
    """No path is longer,"""
    most_s: float
    """nor takes longer in free flow."""
    passed_s: float
    """The time that passed."""
    beam: float
    """No path is looked for whose end would be so many nats below the best."""


class Sources(NamedTuple):
    """The candidates that a step leads from, L of them, in the order of their layer."""

    edge: Ints
    """int32[L]."""
    rest_m: Floats
    """float64[L], to the end of their edges."""
    rest_s: Floats
    score: Floats
    """float64[L], of the best sequence up to them."""
    own: Ints
    """int32[L], the target on the same edge that is reached without leaving it; -1: none."""


class Targets(NamedTuple):
    """The candidates that a step leads to, J of them."""

    edge: Ints
    """int32[J]."""
    along_m: Floats
    """float64[J], from the start of their edges."""
    along_s: Floats
    emission: Floats
    """float64[J]."""


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
def time_log(travel_s: float, passed_s: float) -> float:
    """Log-probability of a free-flow time in the time that passed: one-sided, for slower is always possible."""
    if not travel_s > passed_s:  # also where times are not known
        return 0.0
    return -0.5 * (math.log(travel_s / passed_s) / SPEED_LOG) ** 2


@inner_kernel
def transition(step: Step, length_m: float, travel_s: float) -> float:
    """Log-probability of a path, up to a constant of the step; -inf where it is longer than any that counts."""
    if length_m > step.most_m or travel_s > step.most_s:
        return -np.inf
    return -abs(length_m - step.crow_m) / step.beta_m + time_log(travel_s, step.passed_s)


@inner_kernel
def search(
    roads: Roads, scratch: Scratch, step: Step, sources: Sources, targets: Targets, best: float
) -> tuple[bool, float]:
    """Cheapest paths from the ends of all sources to all targets that matter: (False: an array is full, best value).

    ``best`` is the value of some sequence up to a target; a target matters to a source where the source's score and the
    target's emission are at most ``step.beam`` below the best that is known. Edges that start more than ``most_m``
    metres or ``most_s`` seconds away are not left, nor those from whose end nothing near the next point can be reached
    in ``most_m``, or in what leaves a path within the beam.

    Afterwards ``lanes[row[target], source]`` are costs, and ``before`` the paths, where the target's mark is not below
    2 n, n being ``scratch.numbers[0]``; for pairs that do not matter they may be those of no cheapest path.
    """
    opened = 2 * next_search(scratch)
    size, rows = _leave(roads, scratch, step, sources, opened)
    if size < 0:
        return False, best
    cost, along_m, spent_s, mark, row = scratch.cost, scratch.along_m, scratch.spent_s, scratch.mark, scratch.row
    keys, items, lanes, before = scratch.keys, scratch.items, scratch.lanes, scratch.before
    first_out, to_edge, turn_cost = roads.first_out, roads.to_edge, roads.turn_cost
    width, popped = (len(sources.edge) + _AT_ONCE - 1) // _AT_ONCE * _AT_ONCE, 0
    until, spare = _still_open(scratch, step, sources, targets, best, opened, 0.0)
    north_m, east_m = METRES_PER_DEGREE, METRES_PER_DEGREE * math.cos(math.radians(step.latitude_deg))
    while size > 0:
        here, at = keys[0], items[0]
        if here >= until:
            break
        size = pop(keys, items, size)
        if here != cost[at]:  # it was taken off before, or has been put there anew with less
            continue
        popped += 1
        cost[at] = np.inf
        mine = row[at]
        is_first = mark[at] == opened
        if is_first:
            mark[at] = opened + 1
        if is_first and scratch.wanted[at] == step.number:
            value = _value(scratch, step, sources, targets, at)
            if value > best:
                best = value
                until, spare = _still_open(scratch, step, sources, targets, best, opened, here)
        elif popped % _CHECK_EVERY == 0:
            until, spare = _still_open(scratch, step, sources, targets, best, opened, here)
        along, spent = along_m[at] + roads.length_m[at], spent_s[at] + roads.travel_time_s[at]
        north = (roads.head_latitude_deg[at] - step.latitude_deg) * north_m
        east = (roads.head_longitude_deg[at] - step.longitude_deg) * east_m
        least = along + max(math.sqrt(north * north + east * east) - step.radius_m, 0.0)
        if least > step.most_m or spent > step.most_s:
            continue
        if max(least - step.crow_m, 0.0) / step.beta_m - time_log(spent, step.passed_s) > spare:
            continue
        begin, end = first_out[at], first_out[at + 1]
        if size + end - begin > len(keys) or rows + end - begin > len(lanes):
            return False, best
        for turn in range(begin, end):
            there, more = to_edge[turn], turn_cost[turn]
            if mark[there] < opened:
                mark[there], row[there], cost[there] = opened, rows, np.inf
                lanes[rows, :] = np.inf
                rows += 1
            other, better = row[there], 0
            for lane in range(width):
                reach = lanes[mine, lane] + more
                if reach < lanes[other, lane]:
                    lanes[other, lane] = reach
                    before[other, lane] = at
                    better += 1
            # No lane that became better just now can have less: what was better before has been passed on.
            if better > 0 and here + more < cost[there]:
                cost[there] = here + more
                if mark[there] == opened:
                    along_m[there], spent_s[there] = along, spent
                size = push(keys, items, size, here + more, there)
    return True, best


@inner_kernel
def _leave(roads: Roads, scratch: Scratch, step: Step, sources: Sources, opened: int) -> tuple[int, int]:
    """Put the edges that follow the sources on the heap: (its size, or -1 where an array is full; rows in use)."""
    size = rows = 0
    for lane in range(len(sources.edge)):
        if sources.rest_m[lane] > step.most_m:
            continue
        begin, end = roads.first_out[sources.edge[lane]], roads.first_out[sources.edge[lane] + 1]
        if size + end - begin > len(scratch.keys) or rows + end - begin > len(scratch.lanes):
            return -1, rows
        for turn in range(begin, end):
            there, reach = roads.to_edge[turn], roads.turn_cost[turn]
            if scratch.mark[there] < opened:
                scratch.mark[there], scratch.row[there], scratch.cost[there] = opened, rows, np.inf
                scratch.lanes[rows, :] = np.inf
                rows += 1
            mine = scratch.row[there]
            if reach < scratch.lanes[mine, lane]:
                scratch.lanes[mine, lane], scratch.before[mine, lane] = reach, -1
            if reach < scratch.cost[there]:
                scratch.cost[there] = reach
                scratch.along_m[there], scratch.spent_s[there] = sources.rest_m[lane], sources.rest_s[lane]
                size = push(scratch.keys, scratch.items, size, reach, there)
    return size, rows


@inner_kernel
def _still_open(
    scratch: Scratch, step: Step, sources: Sources, targets: Targets, best: float, opened: int, here: float
) -> tuple[float, float]:
    """Of the pairs that matter and are not final, costs up to ``here`` being: (the largest cost, nats left for a path).

    Costs that are not final are upper bounds, so that the first is one as well.
    """
    until, spare = -np.inf, -np.inf
    for j in range(len(targets.edge)):
        goal = targets.edge[j]
        is_there = scratch.mark[goal] >= opened
        for lane in range(len(sources.edge)):
            most = sources.score[lane] + targets.emission[j] - best + step.beam
            if most > 0.0 and sources.own[lane] != j and sources.rest_m[lane] <= step.most_m:
                reach = scratch.lanes[scratch.row[goal], lane] if is_there else np.inf
                if reach > here:
                    until, spare = max(until, reach), max(spare, most)
    return until, spare


@inner_kernel
def _value(scratch: Scratch, step: Step, sources: Sources, targets: Targets, goal: int) -> float:
    """Value of the path to an edge that the search has just come to, which is that of its cheapest lane."""
    lane, j, mine = 0, scratch.slot[goal], scratch.row[goal]
    for other in range(1, len(sources.edge)):
        if scratch.lanes[mine, other] < scratch.lanes[mine, lane]:
            lane = other
    if sources.own[lane] == j:
        return -np.inf
    length, travel = scratch.along_m[goal] + targets.along_m[j], scratch.spent_s[goal] + targets.along_s[j]
    return float(sources.score[lane] + transition(step, length, travel) + targets.emission[j])
