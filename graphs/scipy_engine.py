"""The SciPy engine: Dijkstra per query, behind the same interface as the CCH."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csgraph

from ..core.types import Floats, Ints
from .shortest_paths import turn_matrix
from .turns import TurnGraph

if TYPE_CHECKING:
    from .edge_costs import EdgeCosts, Start


class ScipyTopology:
    """Nothing to prepare."""

    def __init__(self, turns: TurnGraph) -> None:
        self._turns = turns

    def customise(self, costs: EdgeCosts) -> ScipyCustomised:
        """The turn graph with costs; O(T)."""
        return ScipyCustomised(self._turns, costs)


class ScipyCustomised:
    """Dijkstra over integer costs held as float64, exact below 2**53."""

    def __init__(self, turns: TurnGraph, costs: EdgeCosts) -> None:
        self._turns = turns
        self._matrix = turn_matrix(turns, costs.value.astype(np.float64))

    def path(self, sources: Sequence[Start], targets: Sequence[Start]) -> tuple[int, int, list[int]]:
        """(cost or -1, first state or -1, turn positions)."""
        states = np.array([state for state, _ in sources])
        cost, previous = csgraph.dijkstra(self._matrix, indices=states, return_predecessors=True)
        ends = np.array([state for state, _ in targets])
        total = cost[:, ends] + _initial(sources)[:, None] + _initial(targets)[None, :]
        row, column = np.unravel_index(np.argmin(total), total.shape)
        if not np.isfinite(total[row, column]):
            return -1, -1, []
        path = _walk_back(previous[row], int(states[row]), int(ends[column]))
        return int(total[row, column]), int(path[0]), self._turns.find(path[:-1], path[1:]).tolist()

    def distances(self, sources: Sequence[Start], targets: Sequence[int]) -> list[int | None]:
        """Cost of the cheapest path to each target, None where unreachable."""
        cost = csgraph.dijkstra(self._matrix, indices=[state for state, _ in sources])
        best = (cost[:, list(targets)] + _initial(sources)[:, None]).min(axis=0)
        return [int(value) if np.isfinite(value) else None for value in best]


def _initial(starts: Sequence[Start]) -> Floats:
    return np.array([initial for _, initial in starts], np.float64)


def _walk_back(previous: Ints, source: int, target: int) -> Ints:
    path = [target]
    while path[-1] != source:
        path.append(int(previous[path[-1]]))
    return np.array(path[::-1], np.int32)
