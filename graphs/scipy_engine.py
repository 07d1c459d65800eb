"""The SciPy engine: Dijkstra per query, behind the same interface as the CCH."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csgraph

from ..core.types import Floats, Ints
from .edge_costs import CLOSED
from .shortest_paths import turn_matrix
from .turns import TurnGraph

if TYPE_CHECKING:
    from .cch_engine import Sweep
    from .edge_costs import EdgeCosts, Start


class ScipyTopology:
    """Nothing to prepare."""

    def __init__(self, turns: TurnGraph) -> None:
        self.turns = turns

    def customise(self, costs: EdgeCosts) -> ScipyCustomised:
        """The turn graph with costs; O(T)."""
        return ScipyCustomised(self.turns, costs.as_floats())

    def reserve(self) -> None:
        """Nothing to make ahead."""


class ScipyCustomised:
    """Dijkstra over integer costs held as float64, exact below 2**53."""

    def __init__(self, turns: TurnGraph, quanta: Floats) -> None:
        """``quanta`` float64[T]: whole numbers, ``inf`` for closed turns."""
        self._turns = turns
        self._matrix = turn_matrix(turns, quanta)

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

    @contextmanager
    def from_many(self, targets: Sequence[int]) -> Iterator[Sweep]:
        """A function from sources to the cost of each of these targets."""
        yield lambda sources: self.distances(sources, targets)

    @contextmanager
    def to_many(self, sources: Sequence[int]) -> Iterator[Sweep]:
        """The mirror image: a function from targets to the cost from each of these sources."""
        back = self._matrix.T.tocsr()

        def ask(targets: Sequence[Start]) -> list[int | None]:
            cost = csgraph.dijkstra(back, indices=[state for state, _ in targets])
            best = (cost[:, list(sources)] + _initial(targets)[:, None]).min(axis=0)
            return [int(value) if np.isfinite(value) else None for value in best]

        yield ask


class ScipyScratch:
    """The turn graph with some costs changed for a moment."""

    def __init__(self, topology: ScipyTopology, costs: EdgeCosts) -> None:
        self._topology, self._costs = topology, costs

    def path(
        self, changes: Mapping[int, int], sources: Sequence[Start], targets: Sequence[Start]
    ) -> tuple[int, int, list[int]]:
        """(cost or -1, first state or -1, turn positions) with turns at other costs: position to quanta."""
        quanta = self._costs.as_floats()
        quanta[list(changes)] = [np.inf if cost == CLOSED else cost for cost in changes.values()]
        return ScipyCustomised(self._topology.turns, quanta).path(sources, targets)


def _initial(starts: Sequence[Start]) -> Floats:
    return np.array([initial for _, initial in starts], np.float64)


def _walk_back(previous: Ints, source: int, target: int) -> Ints:
    path = [target]
    while path[-1] != source:
        path.append(int(previous[path[-1]]))
    return np.array(path[::-1], np.int32)
