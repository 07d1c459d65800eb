"""Times and lengths of the routes behind a table of costs: a tree per row or column, or a query per pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.compiled import kernel
from ..core.types import Floats
from ..graphs.bounded_trees import TurnTree, tree_from, tree_to
from ..graphs.corridor_search import SearchGraph
from . import batches
from .matrix import Annotation
from .metrics import NamedCosts
from .part_way import Place
from .points import Terminal
from .route import Route

_Array = Any
"""A numpy array inside a kernel."""
_EDGES_PER_QUERY = 1250
"""A tree costs as much as a query for every so many edges of the map: 34 ms against 0.3 on Porto's 124,439."""
_SLACK = 1e-6
"""Relative: costs of a table are rounded, those of a tree are not."""


class AnnotatedTable:
    """What `annotate` works with.

    Parameters
    ----------
    graph
        Makes the graph that trees are grown on; asked for only where they are.
    ask
        The route of one pair.
    cost
        float64[O, D], ``inf`` where there is no route.
    """

    def __init__(
        self,
        costs: NamedCosts,
        graph: Callable[[], SearchGraph],
        ask: Callable[[Terminal, Terminal], Route],
        starts: Sequence[Terminal],
        ends: Sequence[Terminal],
        cost: Floats,
    ) -> None:
        self._costs, self._graph, self._ask, self._cost = costs, graph, ask, cost
        self._starts, self._ends = starts, ends
        self._start_places = [costs.starts(terminal) for terminal in starts]
        self._end_places = [costs.ends(terminal) for terminal in ends]
        self._let_off = max((place.share_cost for places in self._end_places for place in places), default=0.0)

    def annotate(self, wanted: Sequence[Annotation], threads: int | None) -> dict[Annotation, Floats]:
        """float64[O, D] each: attributes of the cheapest routes, ``inf`` where there are none.

        Where routes are equally cheap up to the rounding of the hierarchy's integers, a tree may take another one of
        them than a query does. NaN where the network does not know times; `MissingDataError` where it has no lengths.

        Notes
        -----
        A tree for each point of the side with fewer points, where the other has more than a point for every
        `_EDGES_PER_QUERY` edges of the map; else a query per pair.
        """
        network = self._costs.network
        columns: list[Floats] = []
        for name in wanted:
            if name == "length_m":
                known = network.attributes.require("length_m", "lengths of routes")
            elif network.attributes.travel_time_s is None:
                known = np.full(network.graph.num_edges, np.nan)
            else:
                known = network.attributes.travel_time_s
            columns.append(known.astype(np.float64))
        per_edge = np.stack(columns, axis=1)
        table = np.full((*self._cost.shape, len(wanted)), np.inf)
        if max(self._cost.shape) * _EDGES_PER_QUERY < network.graph.num_edges:
            self._by_query(table, wanted, np.isfinite(self._cost), threads)
        else:
            self._by_tree(table, per_edge, threads)
            is_left = np.isfinite(self._cost) & np.isinf(table).any(axis=2)
            self._by_query(table, wanted, is_left, threads)
        return {name: table[:, :, number] for number, name in enumerate(wanted)}

    def _by_query(self, table: _Array, wanted: Sequence[Annotation], is_asked: _Array, threads: int | None) -> None:
        def work(row: int) -> None:
            for column in np.flatnonzero(is_asked[row]).tolist():
                route = self._ask(self._starts[row], self._ends[column])
                for number, name in enumerate(wanted):
                    value = getattr(route, name)
                    table[row, column, number] = np.nan if value is None else value

        rows = np.flatnonzero(is_asked.any(axis=1)).tolist()
        batches.in_threads(work, rows, batches.threads_for(int(is_asked.sum()), threads))

    def _by_tree(self, table: _Array, per_edge: Floats, threads: int | None) -> None:
        graph, turns = self._graph(), self._costs.network.turns
        rows, columns = self._cost.shape
        is_forward = rows <= columns
        before = turns.from_edge if is_forward else turns.to_edge

        def work(number: int) -> None:
            own = self._start_places[number] if is_forward else self._end_places[number]
            tree = self._tree(graph, number, is_forward)
            for other in range(columns if is_forward else rows):
                row, column = (number, other) if is_forward else (other, number)
                pair = self._best_pair(tree, row, column, is_forward)
                if pair is None:
                    continue
                start, end = pair
                total, at = _sum_along(tree.turn, before, per_edge, end.edge if is_forward else start.edge)
                first = next(place for place in own if place.edge == at) if is_forward else start
                last = end if is_forward else next(place for place in own if place.edge == at)
                total -= first.fraction * per_edge[first.edge] + (1.0 - last.fraction) * per_edge[last.edge]
                table[row, column] = np.maximum(total, 0.0)

        batches.in_threads(work, range(min(rows, columns)), threads or batches.threads_for(self._cost.size, None))

    def _tree(self, graph: SearchGraph, number: int, is_forward: bool) -> TurnTree:
        """From an origin, or to a destination, as far as the dearest route of its row or column."""
        costs = self._cost[number] if is_forward else self._cost[:, number]
        dearest = float(costs[np.isfinite(costs)].max(initial=0.0))
        if is_forward:
            places = self._start_places[number]
            limit = dearest + self._let_off + max((place.initial for place in places), default=0.0)
            starts = [(place.edge, place.initial) for place in places]
            return tree_from(graph, self._costs.open_cost, starts, limit=limit * (1 + _SLACK))
        places = self._end_places[number]
        edges = np.array([place.edge for place in places], np.int32)
        largest = max((place.share_cost for place in places), default=0.0)
        initial = largest - np.array([place.share_cost for place in places])
        limit = (dearest + largest) * (1 + _SLACK)
        return tree_to(graph, self._costs.open_cost, edges, initial=initial, limit=limit)

    def _best_pair(self, tree: TurnTree, row: int, column: int, is_forward: bool) -> tuple[Place, Place] | None:
        """Where the cheapest route begins and ends, as far as the tree decides; None where a query has to."""
        starts, ends = self._start_places[row], self._end_places[column]
        if not np.isfinite(self._cost[row, column]) or _is_special(self._starts[row], self._ends[column], starts, ends):
            return None
        best, least = None, np.inf
        for place in ends if is_forward else starts:
            total = tree.cost[place.edge] + (-place.share_cost if is_forward else place.initial)
            if total < least:
                best, least = place, total
        if best is None:
            return None
        return (starts[0], best) if is_forward else (best, ends[0])


def _is_special(start: Terminal, end: Terminal, starts: Sequence[Place], ends: Sequence[Place]) -> bool:
    """Both at one junction, or an end behind a start on its edge: a tree would not go round."""
    if start.node >= 0 and start.node == end.node:
        return True
    return any(a.edge == b.edge and a.fraction > b.fraction for a in starts for b in ends)


@kernel
def _sum_along(turn: _Array, before: _Array, per_edge: _Array, at: int) -> tuple[_Array, int]:
    """(sum over the whole edges of the tree's path at an edge, the edge at the tree's end)."""
    total = per_edge[at].copy()
    while turn[at] >= 0:
        at = before[turn[at]]
        total += per_edge[at]
    return total, at
