"""Dijkstra on the turn graph by SciPy: states are edges, arcs are turns, every turn has a positive cost.

The plain engine: nothing to prepare, one search per source. `trodden.graphs.hierarchy` answers single queries about
a hundred times faster after preparation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from ..core.errors import NonPositiveCostError
from ..core.types import Bools, Floats, Ids, Ints
from .turns import TurnGraph

_NONE = -9999
"""What SciPy writes where a state has no predecessor."""


@dataclass(frozen=True, eq=False)
class PathTree:
    """Cheapest paths from one origin edge to every edge."""

    origin: int
    """Edge position."""
    cost: Floats
    """float64[E], ``inf`` where an edge cannot be reached."""
    previous: Ints
    """int32[E], the edge before each edge on its cheapest path, negative where there is none."""

    def path(self, destination: int) -> Ints:
        """int32[P], the edges from the origin to ``destination``, both included; empty where it cannot be reached."""
        if not np.isfinite(self.cost[destination]):
            return np.empty(0, np.int32)
        backwards = [destination]
        while backwards[-1] != self.origin:
            backwards.append(int(self.previous[backwards[-1]]))
        return np.array(backwards[::-1], np.int32)


def check_costs(turns: TurnGraph, turn_cost: Floats, edge_id: Ids | None = None) -> Floats:
    """The costs as float64[T], all positive and finite.

    Parameters
    ----------
    turn_cost
        float64[T], one per turn.
    edge_id
        int64[E], source ids to name the worst turn by; its positions are named where left out.

    Raises
    ------
    NonPositiveCostError
        A cost is NaN, infinite, zero or negative: how many, and the worst.
    ValueError
        The array has not one cost per turn.
    """
    cost = np.ascontiguousarray(turn_cost, np.float64)
    if cost.shape != (turns.num_turns,):
        raise ValueError(f"turn_cost has shape {cost.shape}; one cost for each of {turns.num_turns} turns is needed")
    return check_some_costs(turns, slice(0, turns.num_turns), cost, edge_id)


def check_some_costs(turns: TurnGraph, which: slice, cost: Floats, edge_id: Ids | None = None) -> Floats:
    """The costs of some turns, float64, all positive and finite; else `NonPositiveCostError`, as `check_costs`."""
    # Twice as fast as looking at each; NaN is neither.
    if not (cost.min(initial=np.inf) > 0.0 and cost.max(initial=0.0) < np.inf):
        is_bad = ~((cost > 0) & np.isfinite(cost))
        rows = np.flatnonzero(is_bad)
        # NaN first, then the most negative: what has to be mended first.
        worst = rows[np.argmin(np.nan_to_num(cost[rows], nan=-np.inf, posinf=np.inf))]
        turn = which.start + int(worst)
        ends = np.array([turns.from_edge[turn], turns.to_edge[turn]])
        named = ends if edge_id is None else edge_id[ends]
        raise NonPositiveCostError(
            num_turns=len(rows), from_edge=int(named[0]), to_edge=int(named[1]), cost=float(cost[worst])
        )
    return cost


def turn_matrix(turns: TurnGraph, turn_cost: Floats) -> sparse.csr_matrix:
    """E x E sparse matrix with the cost of each turn at (edge left, edge entered). No copy."""
    shape = (turns.num_edges, turns.num_edges)
    return sparse.csr_matrix((turn_cost, turns.to_edge, turns.first_out), shape=shape)


def costs_to(turns: TurnGraph, turn_cost: Floats, destinations: Ints, *, limit: float = np.inf) -> Floats:
    """Cheapest cost from every edge to each destination edge.

    Parameters
    ----------
    turn_cost
        float64[T], > 0.
    destinations
        int32[D], edge positions.
    limit
        Costs above it are left at ``inf``; a small limit makes the search local.

    Returns
    -------
    Floats
        float64[E, D], 0 at the destination itself, ``inf`` where it cannot be reached. Column-contiguous.

    Raises
    ------
    NonPositiveCostError
        A cost is not a positive number.

    Notes
    -----
    One Dijkstra per destination on the reversed graph: O(D (T + E log E)).
    """
    reverse = turn_matrix(turns, check_costs(turns, turn_cost)).T.tocsr()
    return _dijkstra(reverse, np.asarray(destinations), limit).T


def costs_to_any(turns: TurnGraph, turn_cost: Floats, destinations: Sequence[Ints], *, limit: float = np.inf) -> Floats:
    """Cheapest cost from every edge to the cheapest of several edges, for each group of destination edges.

    A trip that ends at a node may end on any edge into it: its group is ``np.flatnonzero(graph.head == node)``.

    Parameters
    ----------
    turn_cost
        float64[T], > 0.
    destinations
        D groups of edge positions, each int32[k]; an empty group cannot be reached from anywhere.

    Returns
    -------
    Floats
        float64[E, D]; ``inf`` where no edge of the group can be reached. Column-contiguous.

    Raises
    ------
    NonPositiveCostError
        A cost is not a positive number.
    """
    reverse = turn_matrix(turns, check_costs(turns, turn_cost)).T.tocsr()
    costs = np.full((len(destinations), turns.num_edges), np.inf)
    for row, group in enumerate(destinations):
        if len(group):
            costs[row] = csgraph.dijkstra(reverse, indices=np.asarray(group), min_only=True, limit=limit)
    return costs.T


def costs_from(turns: TurnGraph, turn_cost: Floats, origins: Ints, *, limit: float = np.inf) -> Floats:
    """Cheapest cost from each origin edge to every edge: float64[O, E], ``inf`` where unreachable; see `costs_to`."""
    return _dijkstra(turn_matrix(turns, check_costs(turns, turn_cost)), np.asarray(origins), limit)


def paths_from(turns: TurnGraph, turn_cost: Floats, origin: int, *, limit: float = np.inf) -> PathTree:
    """Cheapest paths from one edge to all others.

    Raises
    ------
    NonPositiveCostError
        A cost is not a positive number.

    Notes
    -----
    One Dijkstra, O(T + E log E); extracting a path is linear in its edges.
    """
    matrix = turn_matrix(turns, check_costs(turns, turn_cost))
    cost, previous = csgraph.dijkstra(matrix, indices=origin, return_predecessors=True, limit=limit)
    return PathTree(int(origin), cost, np.where(previous == _NONE, -1, previous).astype(np.int32))


def reachable_from(turns: TurnGraph, origins: Ints) -> Bools:
    """bool[E]: the edges that permitted turns lead to from any of ``origins``, themselves included. O(T)."""
    return _reached(turn_matrix(turns, np.ones(turns.num_turns)), origins)


def reaching(turns: TurnGraph, destinations: Ints) -> Bools:
    """bool[E]: the edges from which permitted turns lead to any of ``destinations``, themselves included. O(T)."""
    return _reached(turn_matrix(turns, np.ones(turns.num_turns)).T.tocsr(), destinations)


def _dijkstra(matrix: sparse.csr_matrix, indices: Ints, limit: float) -> Floats:
    if len(indices) == 0:
        return np.empty((0, matrix.shape[0]))
    costs: Floats = csgraph.dijkstra(matrix, indices=indices, limit=limit)
    return costs


def _reached(matrix: sparse.csr_matrix, starts: Ints) -> Bools:
    is_reached = np.zeros(matrix.shape[0], bool)
    for start in np.asarray(starts):
        if not is_reached[start]:
            is_reached[csgraph.breadth_first_order(matrix, int(start), return_predecessors=False)] = True
    return is_reached
