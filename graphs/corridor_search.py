"""The states near the best path of a trip, found by a search that never leaves their neighbourhood.

A corridor is ``{ s : d(origin, s) + d(s, destination) <= d(origin, destination) + tau }``: every state that some route
at most tau dearer than the best one passes; on request, than a stated cost, where that is more. The kernels are
compiled; what they write per state is marked with the number of the search, so that a trip costs what it touches and
not what the map holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.compiled import kernel
from ..core.types import Bools, Floats, Ids, Ints
from .road_graph import ragged_rows
from .search_kernels import (
    TOO_LARGE,
    TURN_BLOCK_BITS,
    UNKNOWN,
    grow_ahead,
    grow_both,
    grow_disk,
)
from .turns import TurnGraph

_Array = Any
"""A numpy array inside a kernel; shapes stand in the comments and docstrings."""
_SMALLEST_GROUP = 16
"""Trips in a row to one destination from which on they share a disk around it."""


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
    in_edge: Ints
    """int32[T], the edge left by each turn of ``in_turn``: read in a row, where ``from_edge[in_turn]`` is scattered."""

    @staticmethod
    def bytes_added(num_edges: int, num_turns: int) -> int:
        """Memory beside the turn graph's own arrays, which it shares: ``first_in``, ``in_turn`` and ``in_edge``."""
        return 4 * (num_edges + 1) + 8 * num_turns


def make_search_graph(turns: TurnGraph) -> SearchGraph:
    """Both adjacency lists. O(T log T), once per network."""
    in_turn = np.argsort(turns.to_edge, kind="stable").astype(np.int32)
    counts = np.bincount(turns.to_edge, minlength=turns.num_edges)
    first_in = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return SearchGraph(turns.first_out, turns.to_edge, first_in, in_turn, turns.from_edge[in_turn])


class Workspace:
    """What one thread writes per state, made once: 28 bytes each, and the states of one search."""

    @staticmethod
    def bytes_for(num_edges: int, max_settled: int) -> int:
        """Memory of one; of it, what no search has touched yet is only promised by the system."""
        return 28 * num_edges + 8 * min(max_settled, num_edges)

    def __init__(self, num_edges: int, max_settled: int) -> None:
        self.label = np.empty((num_edges, 2))
        self.mark = np.zeros((num_edges, 2), np.int32)
        self.local = np.zeros(num_edges, np.int32)
        self.order = np.empty((2, min(max_settled, num_edges)), np.int32)
        self._searches = 0

    def reserve(self, count: int) -> int:
        """The first of so many fresh numbers for searches: entries with another mark are of an earlier one."""
        if self._searches > np.iinfo(np.int32).max // 2 - count - 1:
            self.mark[:], self._searches = 0, 0
        first = self._searches + 1
        self._searches += count
        return first


@dataclass(frozen=True, eq=False)
class Corridors:
    """Some trips' corridors, one after the other: states by rising cost to the destination, and the turns between them.

    Local numbers count from 0 within each trip. 28 bytes per state and 8 per turn.
    """

    ended: Ints
    """int32[N]: `FOUND`, `UNREACHABLE` or `TOO_LARGE`."""
    best_cost: Floats
    """float64[N], of the best path."""
    limit: Floats
    """float64[N]: the cheapest route through a state of the corridor costs at most this."""
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
    unknown_block: int
    """-1, or the block of turns without costs that the search for the trip after these came to."""

    def __len__(self) -> int:
        return len(self.ended)

    @staticmethod
    def bytes_for(num_trips: int, num_states: int, num_turns: int) -> int:
        """Memory of corridors with so many states and turns in all, as `num_bytes` counts it."""
        return 36 * num_trips + 28 * num_states + 8 * num_turns + 16

    @property
    def num_bytes(self) -> int:
        """Memory of all arrays."""
        return sum(array.nbytes for array in vars(self).values() if isinstance(array, np.ndarray))

    @property
    def width(self) -> Floats:
        """float64[N]: how much dearer than the best route the cheapest one through a state may be."""
        with np.errstate(invalid="ignore"):  # infinite for trips that were not found
            return np.asarray(self.limit - self.best_cost)

    def states(self, trip: int) -> Ints:
        """int32, the states of one trip."""
        return self.state[self.first_state[trip] : self.first_state[trip + 1]]

    def places(self, trips: Ids) -> tuple[Ids, Ids]:
        """Where the states of some trips, and the turns out of those, stand."""
        states, _ = ragged_rows(self.first_state, trips)
        return states, ragged_rows(self.first_turn, states)[0]

    def take(self, trips: Ids) -> Corridors:
        """Some of the trips, in any order."""
        states, turns = self.places(trips)
        _, first_state = ragged_rows(self.first_state, trips)
        _, first_turn = ragged_rows(self.first_turn, states)
        return Corridors(
            self.ended[trips],
            self.best_cost[trips],
            self.limit[trips],
            first_state,
            self.state[states],
            self.cost_to_go[states],
            self.detour[states],
            first_turn,
            self.turn[turns],
            self.head[turns],
            self.origin[trips],
            self.num_goals[trips],
            -1,
        )


def joined(parts: list[Corridors]) -> Corridors:
    """The trips of several, one after the other."""
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in vars(parts[0])
        if name not in ("first_state", "first_turn", "unknown_block")
    }
    for name in ("first_state", "first_turn"):
        counts = [np.diff(getattr(part, name)) for part in parts]
        columns[name] = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    return Corridors(**columns, unknown_block=parts[-1].unknown_block)


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
    number_back: int,
    label: _Array,
    mark: _Array,
    local: _Array,
    states: _Array,
    first_turn: _Array,
    turn: _Array,
    head: _Array,
    begin: int,
    size: int,
) -> tuple[_Array, _Array, int]:
    """Turns between the states of one corridor, appended after ``size``: (turn, head, new size).

    ``number`` is that of the search from the origin, ``number_back`` that of the one from the goals.
    """
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
            is_settled = mark[there, 0] == 2 * number + 1 and mark[there, 1] == 2 * number_back + 1
            if is_settled and label[there, 0] + label[there, 1] <= limit:
                turn[size] = one
                head[size] = local[there]
                size += 1
    return turn, head, size


@kernel
def _find(
    first_out: _Array,
    to_edge: _Array,
    first_in: _Array,
    in_edge: _Array,
    in_turn: _Array,
    turn_cost: _Array,
    is_known: _Array,
    origins: _Array,
    first_goal: _Array,
    goals: _Array,
    is_absorbing: bool,
    tau: _Array,
    least: _Array,
    group: _Array,
    number: int,
    label: _Array,
    mark: _Array,
    order: _Array,
    local: _Array,
) -> tuple[_Array, ...]:
    """Search and extraction, trip by trip, into arrays that grow: the fields of `Corridors`."""
    count = num_found = len(origins)
    unknown, grouped, back = -1, 0, 0
    ended, best_cost, limit = np.zeros(count, np.int32), np.full(count, np.inf), np.full(count, np.inf)
    first_state, origin = np.zeros(count + 1, np.int64), np.zeros(count, np.int32)
    num_goals = np.zeros(count, np.int32)
    state, togo, detour = np.empty(4096, np.int32), np.empty(4096), np.empty(4096)
    first_turn = np.empty(4096, np.int64)
    turn, head = np.empty(8192, np.int32), np.empty(8192, np.int32)
    num_states = num_turns = 0
    for n in range(count):
        ends, ahead = goals[first_goal[n] : first_goal[n + 1]], number + 2 * n + 1  # they rise: earlier marks are lower
        if group[n] > 0:
            grouped, back = n + group[n], ahead - 1
            how, block = grow_disk(
                first_in, in_edge, in_turn, turn_cost, is_known, origins[n:grouped], ends, is_absorbing,
                tau[n:grouped], least[n:grouped], back, label, mark, order.shape[1],
            )  # fmt: skip
            if how == UNKNOWN:
                unknown, num_found = block, n
                break
            if how == TOO_LARGE:
                grouped = n  # one by one, then
        if n < grouped:
            ended[n], inside, best_cost[n], limit[n] = grow_ahead(
                first_out, to_edge, in_turn, turn_cost, is_known, origins[n], ends, is_absorbing, tau[n], least[n],
                ahead, back, label, mark, order,
            )  # fmt: skip
        else:
            back = ahead
            ended[n], inside, best_cost[n], limit[n] = grow_both(
                first_out, to_edge, first_in, in_edge, in_turn, turn_cost, is_known, origins[n], ends, is_absorbing,
                tau[n], least[n], back, label, mark, order,
            )  # fmt: skip
        if ended[n] == UNKNOWN:
            unknown, num_found = inside, n
            break
        found = order[1, :inside]
        state, togo = _grown(state, num_states + inside), _grown(togo, num_states + inside)
        detour, first_turn = _grown(detour, num_states + inside), _grown(first_turn, num_states + inside + 1)
        for k in range(inside):
            at = found[k]
            state[num_states + k] = at
            togo[num_states + k] = label[at, 1]
            detour[num_states + k] = label[at, 0] + label[at, 1] - best_cost[n]
            num_goals[n] += label[at, 1] == 0.0
        turn, head, num_turns = _extract(
            first_out, to_edge, is_absorbing, num_goals[n], limit[n], ahead, back, label, mark, local, found,
            first_turn, turn, head, num_states, num_turns,
        )  # fmt: skip
        if inside:
            origin[n] = local[origins[n]]
        num_states += inside
        first_state[n + 1] = num_states
    first_turn[num_states] = num_turns
    return (
        ended[:num_found], best_cost[:num_found], limit[:num_found], first_state[: num_found + 1],
        state[:num_states].copy(), togo[:num_states].copy(), detour[:num_states].copy(),
        first_turn[: num_states + 1].copy(), turn[:num_turns].copy(), head[:num_turns].copy(), origin[:num_found],
        num_goals[:num_found], unknown,
    )  # fmt: skip


def find_corridors(
    graph: SearchGraph,
    turn_cost: Floats,
    origins: Ints,
    first_goal: Ids,
    goals: Ints,
    tau: float | Floats,
    workspace: Workspace,
    *,
    is_absorbing: bool,
    least: Floats | None = None,
    is_known: Bools | None = None,
) -> Corridors:
    """The corridors of some trips; of those before the first that needs a cost which is not known.

    Parameters
    ----------
    turn_cost
        float64[T], > 0.
    origins
        int32[N], the first edge of each trip.
    first_goal, goals
        int64[N+1] and int32[G]: the edges on which trip n may end are ``goals[first_goal[n] : first_goal[n+1]]``.
    tau
        Width >= 0, in units of cost, one for all or float64[N]; infinity takes every state between the two ends.
    least
        float64[N]: the width counts from this cost, where it is more than that of the best route.
    is_known
        bool[ceil(T / 4096)]: the blocks of turns that have a cost; all of them, where left out. Read while searching:
        give a copy where another thread writes.
    workspace
        Of this thread alone.
    is_absorbing
        Whether routes end at the first visit of the one goal (*arrival*).

    Notes
    -----
    Per trip O(n log n) in the settled states n, whatever the size of the map. From 16 trips in a row to one destination
    on, one disk around it serves them all, and each settles little more than its own corridor.
    """
    w, count = workspace, len(origins)
    found = _find(
        graph.first_out,
        graph.to_edge,
        graph.first_in,
        graph.in_edge,
        graph.in_turn,
        turn_cost,
        np.ones((len(turn_cost) >> TURN_BLOCK_BITS) + 1, np.bool_) if is_known is None else is_known,
        origins,
        first_goal,
        goals,
        is_absorbing,
        np.ascontiguousarray(np.broadcast_to(np.asarray(tau, np.float64), (count,))),
        np.zeros(count) if least is None else least,
        _groups(first_goal, goals, count),
        w.reserve(2 * count),
        w.label,
        w.mark,
        w.order,
        w.local,
    )
    return Corridors(*found)


def _groups(first_goal: Ids, goals: Ints, count: int) -> Ints:
    """int32[N]: at the first of enough trips in a row to one destination how many they are, 0 elsewhere."""
    result = np.zeros(count, np.int32)
    if count < _SMALLEST_GROUP:
        return result
    width = np.diff(first_goal)
    is_new = np.ones(count, bool)
    # Destinations are told apart by their first goal: no edge leads to two nodes, and under arrival it is the key.
    filled = width > 0
    lead = np.full(count, -1, np.int64)
    lead[filled] = goals[first_goal[:-1][filled]]
    is_new[1:] = lead[1:] != lead[:-1]
    begin = np.flatnonzero(is_new)
    size = np.diff(np.append(begin, count))
    is_group = size >= _SMALLEST_GROUP
    result[begin[is_group]] = size[is_group]
    return result
