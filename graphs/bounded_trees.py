"""Cheapest paths from some edges, or to some, as far as a limit: trees whose cost follows what they reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.compiled import kernel
from ..core.types import Bools, Floats, Ints
from .corridor_search import SearchGraph
from .search_kernels import pop, push

_Array = Any
"""A numpy array inside a kernel; shapes stand in the comments and docstrings."""


@dataclass(frozen=True, eq=False)
class TurnTree:
    """Cheapest paths from the starts to every edge within the limit, or from every edge to the goals."""

    cost: Floats
    """float64[E]: final for the edges of ``order``, ``inf`` for all others."""
    turn: Ints
    """int32[E]: the last turn of the path to an edge, or the first of the path from it; -1 at an end and outside."""
    order: Ints
    """int32[S], the edges within the limit, by rising cost."""


def tree_from(
    graph: SearchGraph,
    turn_cost: Floats,
    starts: Sequence[tuple[int, float]],
    *,
    limit: float = np.inf,
    is_final: Bools | None = None,
) -> TurnTree:
    """Cheapest paths from edges with initial costs.

    Parameters
    ----------
    turn_cost
        float64[T], > 0; not checked.
    starts
        (edge position, initial cost) pairs; of several for one edge the cheapest counts.
    limit
        Costs above it are not worked out.
    is_final
        bool[E]: edges that paths may end on and not pass.

    Notes
    -----
    O(S log S) for S edges within the limit, and O(E) to lay out the answer.
    """
    closed = np.zeros(0, bool) if is_final is None else is_final
    return _tree(False, graph.first_out, graph.to_edge, graph.in_turn[:0], turn_cost, starts, limit, closed)


def tree_to(
    graph: SearchGraph, turn_cost: Floats, goals: Ints, *, initial: Floats | None = None, limit: float = np.inf
) -> TurnTree:
    """Cheapest paths to the nearest of some edges, ``initial`` being what ending on each costs; see `tree_from`."""
    ends = list(zip(goals.tolist(), np.zeros(len(goals)) if initial is None else initial, strict=True))
    return _tree(True, graph.first_in, graph.in_edge, graph.in_turn, turn_cost, ends, limit, np.zeros(0, bool))


def _tree(
    is_back: bool,
    first: Ints,
    neighbour: Ints,
    in_turn: Ints,
    turn_cost: Floats,
    starts: Sequence[tuple[int, float]],
    limit: float,
    closed: Bools,
) -> TurnTree:
    states = np.array([state for state, _ in starts], np.int32)
    initial = np.array([cost for _, cost in starts], np.float64)
    return TurnTree(*_grow(is_back, first, neighbour, in_turn, turn_cost, states, initial, float(limit), closed))


@kernel
def _grow(
    is_back: bool,
    first: _Array,
    neighbour: _Array,
    in_turn: _Array,
    turn_cost: _Array,
    starts: _Array,
    initial: _Array,
    limit: float,
    closed: _Array,
) -> tuple[_Array, _Array, _Array]:
    """Dijkstra: (cost, turn, order) of `TurnTree`. States that were labelled and not settled go back to inf."""
    num_states = len(first) - 1
    cost, turn_of = np.full(num_states, np.inf), np.full(num_states, -1, np.int32)
    order, count = np.empty(num_states, np.int32), 0
    capacity = 1024 + len(starts)
    keys, items, size = np.empty(capacity), np.empty(capacity, np.int32), 0
    for n in range(len(starts)):
        if initial[n] < cost[starts[n]] and initial[n] <= limit:
            cost[starts[n]] = initial[n]
            size = push(keys, items, size, initial[n], starts[n])
    is_settled = np.zeros(num_states, np.bool_)
    while size > 0:
        here, at = keys[0], items[0]
        size = pop(keys, items, size)
        if is_settled[at]:
            continue
        is_settled[at] = True
        order[count] = at
        count += 1
        if len(closed) > 0 and closed[at]:
            continue
        begin, end = first[at], first[at + 1]
        while size + end - begin > len(keys):
            keys, items = np.append(keys, np.empty_like(keys)), np.append(items, np.empty_like(items))
        for place in range(begin, end):
            there, turn = neighbour[place], in_turn[place] if is_back else place
            reach = here + turn_cost[turn]
            if reach <= limit and reach < cost[there]:
                cost[there], turn_of[there] = reach, turn
                size = push(keys, items, size, reach, there)
    return cost, turn_of, order[:count].copy()
