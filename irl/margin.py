"""Horizon 0: maximum-margin planning, a loss without a likelihood. Imports no JAX.

``loss = cost(demonstration) - min over routes [ cost(route) - margin(route, demonstration) ]``, the margin being the
scaled length (or number) of the edges of the *demonstration* that the route does not share. So the inner search has
costs ``c + margin [edge in demonstration] > 0``, minus a constant. Source: Ratliff, Bagnell & Zinkevich (2006); with
the route's own unshared length in the margin, augmented costs would turn negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from ..core.types import Floats, Ids, Ints
from ..graphs.shortest_paths import check_costs, turn_matrix
from ..graphs.turns import TurnGraph
from .trips import RouteBatch


class MarginLoss:
    """The margin loss of a set of routes. Building it finds the turns of every route and those onto its edges."""

    def __init__(self, turns: TurnGraph, batch: RouteBatch) -> None:
        self.batch = batch
        self._turns = turns
        self._entry = batch.margin[turns.to_edge]
        rows = range(len(batch.weight))
        edges = [batch.edge[batch.first[row] : batch.first[row + 1]] for row in rows]
        self._demonstrations = [
            _Demonstration(
                turns.find(one[:-1], one[1:]),
                _turns_onto(turns, one),
                # The first edge is every route's: no part of the margin unless the demonstration comes back to it.
                float(batch.margin[np.unique(one[1:])].sum()),
                int(one[0]),
                batch.destinations.goals(int(batch.column[row])),
            )
            for row, one in zip(rows, edges, strict=True)
        ]

    def __call__(self, turn_cost: Floats) -> tuple[float, Floats]:
        """Weighted sum of the losses and a subgradient in the *cost* of every turn.

        The loss is convex and piecewise linear in the costs, and >= 0. The subgradient is the turns of the
        demonstration minus those of the loss-augmented best route; where that is unique, it is the gradient.

        Parameters
        ----------
        turn_cost
            float64[T], > 0.

        Returns
        -------
        (loss, subgradient)
            The subgradient is float64[T].

        Raises
        ------
        NonPositiveCostError
            A turn costs nothing or less.

        Notes
        -----
        One forward Dijkstra per distinct route, that ends at the augmented cost of the demonstration itself.
        """
        cost = check_costs(self._turns, turn_cost)
        matrix = turn_matrix(self._turns, cost.copy())
        loss, slope = 0.0, np.zeros(self._turns.num_turns)
        for one, weight in zip(self._demonstrations, self.batch.weight.tolist(), strict=True):
            matrix.data[:] = cost
            matrix.data[one.onto] += self._entry[one.onto]
            best, rival = _cheapest(self._turns, matrix, one)
            loss += weight * (float(cost[one.taken].sum()) + one.constant - best)
            np.add.at(slope, one.taken, weight)
            np.add.at(slope, rival, -weight)
        return loss, slope


@dataclass(frozen=True, eq=False)
class _Demonstration:
    taken: Ints
    """int32[L], its turns."""
    onto: Ids
    """The turns onto its edges: those that cost a margin more."""
    constant: float
    """Margin of a route that shares none of its edges."""
    origin: int
    goals: Ints


def _turns_onto(turns: TurnGraph, edges: Ints) -> Ids:
    is_entered = np.zeros(turns.num_edges, bool)
    is_entered[edges[1:]] = True
    return np.flatnonzero(is_entered[turns.to_edge])


def _cheapest(turns: TurnGraph, augmented: sparse.csr_matrix, one: _Demonstration) -> tuple[float, Ints]:
    """Cost and turns of the cheapest route when demonstrated edges are dearer."""
    limit = float(augmented.data[one.taken].sum()) * (1 + 1e-9)  # the demonstration is a route: none dearer matters
    reached, previous = csgraph.dijkstra(augmented, indices=one.origin, return_predecessors=True, limit=limit)
    goal = int(one.goals[np.argmin(reached[one.goals])])
    path = [goal]
    while path[-1] != one.origin:
        path.append(int(previous[path[-1]]))
    route = np.array(path[::-1], np.int32)
    return float(reached[goal]), turns.find(route[:-1], route[1:])
