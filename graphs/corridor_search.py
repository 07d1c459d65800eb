"""The states near the best path of a trip, found by a search that never leaves their neighbourhood.

A corridor is ``{ s : d(origin, s) + d(s, destination) <= d(origin, destination) + tau }``: every state that some route
at most tau dearer than the best one passes. The kernels are compiled; what they write per state is stamped with the
number of the search, so that a trip costs what it touches and not what the map holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.compiled import kernel
from ..core.types import Floats, Ids, Ints
from .turns import TurnGraph

_Array = Any
"""A numpy array inside a kernel; shapes stand in the comments and docstrings."""
FOUND, UNREACHABLE, TOO_LARGE = 0, 1, 2
"""How a search ended."""
_SLACK = 1e-12
"""Relative: rounding must not decide whether a state on the rim is in."""


@dataclass(frozen=True, eq=False)
class SearchGraph:
    """A turn graph as the kernels read it: turns by the edge they leave and by the edge they enter."""

    first_out: Ints
    """int32[E+1]."""
    to_edge: Ints
    """int32[T]."""
    first_in: Ints
    """int32[E+1]: the turns into edge e are ``in_turn[first_in[e] : first_in[e+1]]``."""
    in_turn: Ints
    """int32[T]."""
    from_edge: Ints
    """int32[T]."""


def make_search_graph(turns: TurnGraph) -> SearchGraph:
    """Both adjacency lists. O(T log T), once per network."""
    in_turn = np.argsort(turns.to_edge, kind="stable").astype(np.int32)
    counts = np.bincount(turns.to_edge, minlength=turns.num_edges)
    first_in = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return SearchGraph(turns.first_out, turns.to_edge, first_in, in_turn, turns.from_edge)


class Workspace:
    """What one thread writes per state, made once: 32 bytes each, and the states of one search."""

    def __init__(self, num_edges: int, max_settled: int) -> None:
        self.cost = np.empty((2, num_edges))
        self.stamp = np.zeros((2, num_edges), np.int32)
        self.settled = np.zeros((2, num_edges), np.int32)
        self.local = np.zeros(num_edges, np.int32)
        self.order = np.empty((2, min(max_settled, num_edges)), np.int32)
        self._searches = 0

    def reserve(self, count: int) -> int:
        """The first of so many fresh numbers for searches: entries with another stamp are of an earlier one."""
        if self._searches > np.iinfo(np.int32).max - count - 1:
            self.stamp[:], self.settled[:], self._searches = 0, 0, 0
        first = self._searches + 1
        self._searches += count
        return first


@dataclass(frozen=True, eq=False)
class Corridors:
    """Some trips' corridors, one after the other: states by rising cost to the destination, and the turns between them.

    Local numbers count from 0 within each trip. 24 bytes per state and 8 per turn.
    """

    ended: Ints
    """int32[N]: `FOUND`, `UNREACHABLE` or `TOO_LARGE`."""
    best_cost: Floats
    """float64[N], of the best path."""
    tau: float
    first_state: Ids
    """int64[N+1]: the states of trip n are ``state[first_state[n] : first_state[n+1]]``."""
    state: Ints
    """int32[S], edge positions."""
    cost_to_go: Floats
    """float64[S], cheapest cost to the destination."""
    detour: Floats
    """float64[S], how much dearer than the best route the best one through this state is."""
    first_turn: Ids
    """int64[S+1]: the turns out of a state that stay inside are ``turn[first_turn[s] : first_turn[s+1]]``."""
    turn: Ints
    """int32[K], turn positions."""
    head: Ints
    """int32[K], the local number of the state entered."""
    origin: Ints
    """int32[N], the local number of the trip's first state."""
    num_goals: Ints
    """int32[N]: the goals are the first states of each trip, at cost 0."""

    def __len__(self) -> int:
        return len(self.ended)

    @property
    def num_bytes(self) -> int:
        """Memory of all arrays."""
        return sum(array.nbytes for array in vars(self).values() if isinstance(array, np.ndarray))

    def states(self, trip: int) -> Ints:
        """int32, the states of one trip."""
        return self.state[self.first_state[trip] : self.first_state[trip + 1]]


@kernel
def _push(keys: _Array, items: _Array, size: int, key: float, item: int) -> int:
    place = size
    while place > 0:
        above = (place - 1) >> 1
        if keys[above] <= key:
            break
        keys[place] = keys[above]
        items[place] = items[above]
        place = above
    keys[place] = key
    items[place] = item
    return size + 1


@kernel
def _pop(keys: _Array, items: _Array, size: int) -> int:
    """Take the smallest off, which the caller has read from place 0; the new size."""
    size -= 1
    key, item = keys[size], items[size]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size and keys[below + 1] < keys[below]:
            below += 1
        if keys[below] >= key:
            break
        keys[place] = keys[below]
        items[place] = items[below]
        place = below
    keys[place] = key
    items[place] = item
    return size


@kernel
def _seed(side: int, states: _Array, number: int, cost: _Array, stamp: _Array, keys: _Array, items: _Array) -> int:
    """Start a ball at some states, at cost 0; the size of its heap."""
    size = 0
    for state in states:
        stamp[side, state] = number
        cost[side, state] = 0.0
        size = _push(keys[side], items[side], size, 0.0, state)
    return size


@kernel
def _search(
    first_out: _Array,
    to_edge: _Array,
    first_in: _Array,
    in_turn: _Array,
    from_edge: _Array,
    turn_cost: _Array,
    origin: int,
    goals: _Array,
    is_absorbing: bool,
    tau: float,
    number: int,
    cost: _Array,
    stamp: _Array,
    settled: _Array,
    order: _Array,
) -> tuple[int, int, float]:
    """Dijkstra from both ends: (how it ended, states in the corridor, cost of the best path).

    Two balls grow, the one with fewer open states first, until their radii add up to the limit, best cost + tau: then
    every state of the corridor is settled in one of them. Each ball then goes on inside the other's settled states
    alone, which is exact: a cheapest path between an end and a corridor state runs through corridor states.

    ``cost[0]`` holds costs from the origin, ``cost[1]`` costs to the goals. The states of the corridor are left in
    ``order[1]``, by rising cost to the goals.
    """
    capacity = max(256, 2 * len(goals))
    keys, items = np.empty((2, capacity)), np.empty((2, capacity), np.int32)
    sizes, counts, radius = np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(2)
    sizes[0] = _seed(0, np.array([origin], np.int32), number, cost, stamp, keys, items)
    sizes[1] = _seed(1, goals, number, cost, stamp, keys, items)
    best = 0.0 if stamp[1, origin] == number else np.inf
    limit, is_free = np.inf, True
    while sizes[0] > 0 or sizes[1] > 0:
        if best == np.inf and (sizes[0] == 0 or sizes[1] == 0):
            return UNREACHABLE, 0, np.inf
        if is_free and best < np.inf:
            limit = (best + tau) * (1.0 + _SLACK)
            # A ball without open states has reached all that it can.
            is_free = sizes[0] > 0 and sizes[1] > 0 and radius[0] + radius[1] <= limit
        side = 0 if sizes[0] > 0 and (sizes[1] == 0 or sizes[0] <= sizes[1]) else 1
        other = 1 - side
        here, at = keys[side, 0], items[side, 0]
        sizes[side] = _pop(keys[side], items[side], sizes[side])
        if settled[side, at] == number or here > cost[side, at]:
            continue
        if here > limit:
            sizes[side] = 0
            continue
        if not is_free and (settled[other, at] != number or here + cost[other, at] > limit):
            continue
        if counts[side] >= order.shape[1]:
            return TOO_LARGE, 0, best
        settled[side, at] = number
        radius[side] = here
        order[side, counts[side]] = at
        counts[side] += 1
        if side == 0 and is_absorbing and at == goals[0]:
            continue
        begin, end = (first_out[at], first_out[at + 1]) if side == 0 else (first_in[at], first_in[at + 1])
        while sizes[side] + end - begin > keys.shape[1]:
            keys = np.concatenate((keys, np.empty_like(keys)), axis=1)
            items = np.concatenate((items, np.empty_like(items)), axis=1)
        for place in range(begin, end):
            turn = place if side == 0 else in_turn[place]
            there = to_edge[turn] if side == 0 else from_edge[turn]
            reach = here + turn_cost[turn]
            if reach > limit or (not is_free and settled[other, there] != number):
                continue
            if side == 1 and is_absorbing and there == goals[0]:
                continue
            if stamp[side, there] != number or reach < cost[side, there]:
                stamp[side, there] = number
                cost[side, there] = reach
                sizes[side] = _push(keys[side], items[side], sizes[side], reach, there)
                if stamp[other, there] == number:
                    best = min(best, reach + cost[other, there])
    if best == np.inf:
        return UNREACHABLE, 0, np.inf
    return FOUND, _select(order[1], counts[1], (best + tau) * (1.0 + _SLACK), number, cost, settled), best


@kernel
def _select(order: _Array, count: int, limit: float, number: int, cost: _Array, settled: _Array) -> int:
    """Move the states within the limit to the front, in their order; how many they are."""
    inside = 0
    for k in range(count):
        state = order[k]
        if settled[0, state] == number and cost[0, state] + cost[1, state] <= limit:
            order[inside] = state
            inside += 1
    return inside


@kernel
def _grown(array: _Array, needed: int) -> _Array:
    if needed <= len(array):
        return array
    return np.append(array, np.empty(max(needed, 2 * len(array)) - len(array), array.dtype))


@kernel
def _extract(
    first_out: _Array,
    to_edge: _Array,
    is_absorbing: bool,
    num_goals: int,
    limit: float,
    number: int,
    cost: _Array,
    settled: _Array,
    local: _Array,
    states: _Array,
    first_turn: _Array,
    turn: _Array,
    head: _Array,
    begin: int,
    size: int,
) -> tuple[_Array, _Array, int]:
    """Turns between the states of one corridor, appended after ``size``: (turn, head, new size)."""
    for k in range(len(states)):
        local[states[k]] = k
    for k in range(len(states)):
        first_turn[begin + k] = size
        if is_absorbing and k < num_goals:
            continue
        at = states[k]
        turn = _grown(turn, size + first_out[at + 1] - first_out[at])
        head = _grown(head, size + first_out[at + 1] - first_out[at])
        for one in range(first_out[at], first_out[at + 1]):
            there = to_edge[one]
            if settled[0, there] == number and settled[1, there] == number and cost[0, there] + cost[1, there] <= limit:
                turn[size] = one
                head[size] = local[there]
                size += 1
    return turn, head, size


@kernel
def _find(
    first_out: _Array,
    to_edge: _Array,
    first_in: _Array,
    in_turn: _Array,
    from_edge: _Array,
    turn_cost: _Array,
    origins: _Array,
    first_goal: _Array,
    goals: _Array,
    is_absorbing: bool,
    tau: float,
    number: int,
    cost: _Array,
    stamp: _Array,
    settled: _Array,
    order: _Array,
    local: _Array,
) -> tuple[_Array, ...]:
    """Search and extraction, trip by trip, into arrays that grow: the fields of `Corridors`."""
    count = len(origins)
    ended, best_cost = np.zeros(count, np.int32), np.full(count, np.inf)
    first_state, origin = np.zeros(count + 1, np.int64), np.zeros(count, np.int32)
    num_goals = np.zeros(count, np.int32)
    state, togo, detour = np.empty(4096, np.int32), np.empty(4096), np.empty(4096)
    first_turn = np.empty(4096, np.int64)
    turn, head = np.empty(8192, np.int32), np.empty(8192, np.int32)
    num_states = num_turns = 0
    for n in range(count):
        ends = goals[first_goal[n] : first_goal[n + 1]]
        ended[n], inside, best_cost[n] = _search(
            first_out, to_edge, first_in, in_turn, from_edge, turn_cost, origins[n], ends, is_absorbing, tau,
            number + n, cost, stamp, settled, order,
        )  # fmt: skip
        found = order[1, :inside]
        state, togo = _grown(state, num_states + inside), _grown(togo, num_states + inside)
        detour, first_turn = _grown(detour, num_states + inside), _grown(first_turn, num_states + inside + 1)
        for k in range(inside):
            at = found[k]
            state[num_states + k] = at
            togo[num_states + k] = cost[1, at]
            detour[num_states + k] = cost[0, at] + cost[1, at] - best_cost[n]
            num_goals[n] += cost[1, at] == 0.0
        turn, head, num_turns = _extract(
            first_out, to_edge, is_absorbing, num_goals[n], (best_cost[n] + tau) * (1.0 + _SLACK), number + n, cost,
            settled, local, found, first_turn, turn, head, num_states, num_turns,
        )  # fmt: skip
        if inside:
            origin[n] = local[origins[n]]
        num_states += inside
        first_state[n + 1] = num_states
    first_turn[num_states] = num_turns
    return (
        ended, best_cost, first_state, state[:num_states].copy(), togo[:num_states].copy(),
        detour[:num_states].copy(), first_turn[: num_states + 1].copy(), turn[:num_turns].copy(),
        head[:num_turns].copy(), origin, num_goals,
    )  # fmt: skip


def find_corridors(
    graph: SearchGraph,
    turn_cost: Floats,
    origins: Ints,
    first_goal: Ids,
    goals: Ints,
    tau: float,
    workspace: Workspace,
    *,
    is_absorbing: bool,
) -> Corridors:
    """The corridors of some trips.

    Parameters
    ----------
    turn_cost
        float64[T], > 0.
    origins
        int32[N], the first edge of each trip.
    first_goal, goals
        int64[N+1] and int32[G]: the edges on which trip n may end are ``goals[first_goal[n] : first_goal[n+1]]``.
    tau
        Width >= 0, in units of cost; infinity takes every state between the two ends.
    workspace
        Of this thread alone.
    is_absorbing
        Whether routes end at the first visit of the one goal (*arrival*).

    Notes
    -----
    Per trip O(n log n) in the settled states n, whatever the size of the map.
    """
    w = workspace
    found = _find(
        graph.first_out,
        graph.to_edge,
        graph.first_in,
        graph.in_turn,
        graph.from_edge,
        turn_cost,
        origins,
        first_goal,
        goals,
        is_absorbing,
        float(tau),
        w.reserve(len(origins)),
        w.cost,
        w.stamp,
        w.settled,
        w.order,
        w.local,
    )
    ended, best_cost, first_state, state, togo, detour, first_turn, turn, head, origin, num_goals = found
    return Corridors(ended, best_cost, tau, first_state, state, togo, detour, first_turn, turn, head, origin, num_goals)
