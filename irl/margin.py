"""Horizon 0: maximum-margin planning, a loss without a likelihood. Imports no JAX.

``loss = cost(demonstration) - min over routes [ cost(route) - margin(route, demonstration) ]``, the margin being the
scaled length (or number) of the edges of the *demonstration* that the route does not share. So the inner search has
costs ``c + margin [edge in demonstration] > 0``, minus a constant. Source: Ratliff, Bagnell & Zinkevich (2006); with the
route's own unshared length in the margin, augmented costs would turn negative.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csgraph

from ..core.types import Floats, Ids, Ints
from ..graphs.shortest_paths import check_costs, turn_matrix
from ..graphs.turns import TurnGraph
from .trips import RouteBatch


def margin_loss(turns: TurnGraph, turn_cost: Floats, batch: RouteBatch) -> tuple[float, Floats]:
    """Weighted sum of margin losses and a subgradient in the *cost* of every turn.

    The loss is convex and piecewise linear in the costs, and >= 0. The subgradient is the turns of the demonstration
    minus those of the loss-augmented best route; where that is unique, it is the gradient.

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
    cost = check_costs(turns, turn_cost)
    loss, slope = 0.0, np.zeros(turns.num_turns)
    for row, weight in enumerate(batch.weight.tolist()):
        edges = batch.edge[batch.first[row] : batch.first[row + 1]]
        taken = turns.find(edges[:-1], edges[1:])
        goals = batch.destinations.goals(int(batch.column[row]))
        demonstrated, constant = _augmented(turns, edges, batch.margin)
        best, rival = _cheapest(turns, cost, demonstrated, batch.margin, taken, int(edges[0]), goals)
        loss += weight * (float(cost[taken].sum()) + constant - best)
        np.add.at(slope, taken, weight)
        np.add.at(slope, rival, -weight)
    return loss, slope


def _augmented(turns: TurnGraph, edges: Ints, margin: Floats) -> tuple[Ids, float]:
    """The turns onto demonstrated edges, and the margin of a route that shares none of them.

    The first edge is every route's, so that it is no part of the margin unless the demonstration comes back to it.
    """
    entered = np.unique(edges[1:])
    return np.flatnonzero(np.isin(turns.to_edge, entered)), float(margin[entered].sum())


def _cheapest(
    turns: TurnGraph, cost: Floats, demonstrated: Ids, margin: Floats, taken: Ints, origin: int, goals: Ints
) -> tuple[float, Ints]:
    """Cost and turns of the cheapest route from ``origin`` to one of ``goals`` when demonstrated edges are dearer."""
    augmented = cost.copy()
    augmented[demonstrated] += margin[turns.to_edge[demonstrated]]
    limit = float(augmented[taken].sum()) * (1 + 1e-9)  # the demonstration is a route: none dearer is of interest
    reached, previous = csgraph.dijkstra(
        turn_matrix(turns, augmented), indices=origin, return_predecessors=True, limit=limit
    )
    goal = int(goals[np.argmin(reached[goals])])
    path = [goal]
    while path[-1] != origin:
        path.append(int(previous[path[-1]]))
    route = np.array(path[::-1], np.int32)
    return float(reached[goal]), turns.find(route[:-1], route[1:])
