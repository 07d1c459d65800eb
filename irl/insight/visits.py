"""How probable every trip's visit to some edges and turns is, and how often they were visited: sparse, by trip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ...core.config import PlannerConfig
from ...core.types import Floats, Ids, Ints
from ..corridors import CorridorSolver
from ..demonstrations import Demonstrations
from ..trips import TripBatch

_WIDTH = 15.0
"""Nats: what lies beyond is visited with a probability of some 1e-6, which no count of routes tells from 0."""
_FEW = 0.1
"""Cosine up to which two candidates are visited by different trips."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Edges, and after them turns, that a correction is tried at."""

    edges: Ints
    """int32."""
    turns: Ints
    """int32."""
    to_edge: Ints
    """int32[T]."""
    num_edges: int

    def __len__(self) -> int:
        return len(self.edges) + len(self.turns)

    def is_edge(self, number: int) -> bool:
        """Whether a candidate is an edge."""
        return number < len(self.edges)

    def turns_of(self, number: int) -> Ints:
        """int32: the turns that a correction of this candidate is on."""
        if self.is_edge(number):
            return np.flatnonzero(self.to_edge == self.edges[number]).astype(np.int32)
        return self.turns[[number - len(self.edges)]]

    def matrix(self, rows: Ids, turn: Ints, value: Floats, num_rows: int) -> sparse.csr_matrix:
        """float64[num_rows, M]: values of single turns added up to those of the candidates."""
        slot = np.full(self.num_edges, -1, np.int64)
        slot[self.edges] = np.arange(len(self.edges))
        of_edge = slot[self.to_edge[turn]]
        slot = np.full(len(self.to_edge), -1, np.int64)
        slot[self.turns] = len(self.edges) + np.arange(len(self.turns))
        column = np.concatenate([of_edge, slot[turn]])
        is_in = column >= 0
        entries = (np.tile(value, 2)[is_in], (np.tile(rows, 2)[is_in], column[is_in]))
        return sparse.csr_matrix(entries, shape=(num_rows, len(self)))


class Visits:
    """Expected and observed visits of every (origin, destination) pair to every candidate.

    Each pair is solved in its corridor, whatever planner the reward was learned by: only there are visits known pair by
    pair, and `_WIDTH` is beyond what matters to them.

    Raises
    ------
    InfeasibleRewardError
        From here and `solve`: a corridor has a spectral radius of 1 or more.
    """

    def __init__(self, routes: Demonstrations, config: PlannerConfig, candidates: Candidates) -> None:
        network = routes.network
        self.candidates, self._batch = candidates, routes.batch(config.ending, with_observed=False)
        self._solver = CorridorSolver(
            network.turns,
            tau=min(_WIDTH, config.corridor_tau),
            accuracy=np.inf,
            threads=config.threads,
            edge_id=network.graph.edge_id,
        )
        turn, row = routes.turns()
        pair = routes.trip_of_route(config.ending)[row]
        self.weight = self._batch.weight
        self.observed = candidates.matrix(pair, turn, routes.weight[row], len(self.weight))
        """float64[P, M], weight of the routes of each pair that came by."""
        self.probability = sparse.csr_matrix(self.observed.shape)
        """float64[P, M], expected visits of one route of each pair; empty until `solve`."""

    def solve(self, reward: Floats, rows: Ids, progress: Callable[[int], None] | None = None) -> None:
        """Work some pairs' visits out under a reward float64[T]; those of the others stay as they are."""
        is_new = np.zeros(len(self.weight), bool)
        is_new[rows] = True
        part = _some(self._batch, rows)
        fresh = sparse.csr_matrix(self.probability.shape)
        blocks = [
            self.candidates.matrix(rows[pair], turn, count, len(self.weight)).tocoo()
            for pair, turn, count in self._solver.trip_counts(reward, part, progress)
        ]
        if blocks:
            row, column, value = (
                np.concatenate([getattr(one, name) for one in blocks]) for name in ("row", "col", "data")
            )
            fresh = sparse.csr_matrix((value, (row, column)), shape=self.probability.shape)
        self.probability = (sparse.diags_array((~is_new).astype(np.float64)) @ self.probability + fresh).tocsr()

    def touched(self, chosen: list[int], correction: Floats) -> Ids:
        """int64: the pairs whose visits a correction (float64[M], of the reward) of the chosen candidates changes."""
        factor = np.zeros(self.probability.shape[1])
        factor[chosen] = np.exp(np.maximum(correction[chosen], 0.0))
        moved = self.probability @ factor + self.observed @ (factor > 0).astype(np.float64)
        return np.flatnonzero(moved > 1e-3)

    def overlaps(self) -> Overlaps:
        """Which candidates the same trips visit, or are expected to."""
        share = sparse.diags_array(1.0 / self.weight) @ self.observed
        both = sparse.csc_matrix(sparse.diags_array(np.sqrt(self.weight)) @ (self.probability + share))
        return Overlaps(both, np.sqrt(np.asarray(both.multiply(both).sum(axis=0)).reshape(-1)))


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Vectors of the candidates over the trips, and their lengths."""

    vectors: sparse.csc_matrix
    length: Floats

    def is_apart(self, number: int, others: list[int]) -> bool:
        """Whether a candidate shares few trips with each of the others."""
        return not others or bool((self.cosines(number)[others] <= _FEW).all())

    def cosines(self, number: int) -> Floats:
        """float64[M], of a candidate with all: 1 where the same trips visit both, 0 where no trip visits both."""
        products = (self.vectors.T @ self.vectors[:, [number]]).toarray().reshape(-1)
        return np.asarray(products / np.maximum(self.length[number] * self.length, 1e-300))


def _some(batch: TripBatch, rows: Ids) -> TripBatch:
    """Some pairs of a batch, int64 ascending, all its destinations."""
    first = np.searchsorted(batch.column[rows], np.arange(len(batch.destinations) + 1)).astype(np.int64)
    return TripBatch(batch.destinations, first, batch.origin[rows], batch.weight[rows], np.zeros(0))
