"""Trips in corridors, searched on the compressed graph of their turns where that pays.

A corridor of the compressed graph holds every route of the original corridor: its states are original ones that lie on
routes within tau of the best one, and between them whole sequences of turns stand. So its values are no further from
those of the whole map, and both searches and sweeps have a third of the states.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from ..core.config import PlannerConfig
from ..core.errors import InfeasibleRewardError
from ..core.threads import worker_threads
from ..core.types import Floats, Ids
from ..graphs.turns import TurnGraph
from .compressed_trips import CompressedTrips, TripCompressor
from .corridors import CorridorSolver
from .linear_rewards import LinearReward
from .trips import TripBatch
from .turn_costs import CompressedCosts, LinearCosts, SplitCosts, TurnCosts, linear_costs

_WORTH_COMPRESSING = 2_000
"""Edges per trip up to which a fit gains by it: 3 microseconds per edge once, 0.6 ms or more per trip in every pass."""
_LARGEST_COMPRESSED = 20_000_000
"""Edges; compressing takes some 130 bytes of each meanwhile."""


def worth_compressing(num_edges: int, num_trips: int) -> bool:
    """Whether `[planner] compress = "auto"` compresses for so many trips in corridors."""
    return num_edges <= min(_LARGEST_COMPRESSED, _WORTH_COMPRESSING * num_trips)


class CorridorTrips:
    """Likelihood terms of trips at horizon infinity, each in its own corridor.

    No corridor is kept from one reward to the next: an optimiser wants a function of the reward alone, and a resumed
    run the same bytes.

    Parameters
    ----------
    compressor
        Shared with whoever else compresses trips on this graph.
    """

    def __init__(
        self, turns: TurnGraph, config: PlannerConfig, edge_id: Ids | None, compressor: TripCompressor
    ) -> None:
        self._turns, self._config, self._edge_id, self._compressor = turns, config, edge_id, compressor
        self._threads = worker_threads(config.threads)
        self._solvers: dict[int, tuple[TurnGraph, CorridorSolver]] = {}
        self._visited: WeakKeyDictionary[TripBatch, tuple[CorridorSolver, tuple[Ids, ...]]] = WeakKeyDictionary()
        self._observed: tuple[TripBatch, LinearReward, Floats] | None = None
        # Kept for their memory alone: each evaluation forgets what they knew.
        self._costs: SplitCosts | None = None
        self._small_costs: CompressedCosts | None = None
        self.error: float | None = None
        """Largest error of a value in the last solve, by the monitor; None before."""

    def total_value(self, costs: TurnCosts, batch: TripBatch) -> tuple[float, Floats]:
        """``sum_n w_n V(origin_n)`` and the expected counts, float64[T]; errors as for `CorridorSolver`."""
        if self._compresses(batch):
            trips = self._compressor.trips(batch)
            small = self._compressed(trips, costs)
            try:
                total, counts = self._solve(self._small_solver(trips), small, trips.batch, batch)
            except InfeasibleRewardError:
                pass  # the original graph is asked: its edges have names
            else:
                return total, small.expand(counts)
        return self._solve(self._solver(self._turns, self._edge_id), costs, batch, batch)

    def linear_log_likelihood(
        self, features: LinearReward, coefficients: Floats, batch: TripBatch
    ) -> tuple[float, Floats]:
        """Log-likelihood of the reward ``X theta`` and its gradient in theta."""
        if self._observed is None or self._observed[0] is not batch or self._observed[1] is not features:
            self._observed = (batch, features, features.project(batch.observed))
        total, expected = self.linear_total_value(features, coefficients, batch)
        observed = self._observed[2]
        return float(observed @ coefficients) - total, observed - expected

    def linear_total_value(
        self, features: LinearReward, coefficients: Floats, batch: TripBatch
    ) -> tuple[float, Floats]:
        """`total_value` of the reward ``X theta`` and its gradient in theta; costs are made where searches come by."""
        costs: LinearCosts
        if self._costs is not None and self._costs.reward is features:
            costs = self._costs
            costs.renew(coefficients)
        else:
            costs = linear_costs(self._turns, features, coefficients, self._edge_id)
            # A reward at one point never comes again.
            self._costs, self._small_costs = costs if isinstance(costs, SplitCosts) else None, None
        total, expected = self.total_value(costs, batch)
        return total, costs.project(expected, self._threads)

    def rest(self) -> None:
        """See `Planner.rest`."""
        self._costs, self._small_costs = None, None

    def values(self, reward: Floats, batch: TripBatch) -> Floats:
        """V at the origin of every pair, float64[P], on a compressed graph where one that serves is at hand."""
        costs = TurnCosts(self._turns, -reward, self._edge_id)
        trips = self._compressor.serving(batch) if self._config.compress else None
        if trips is not None:
            try:
                return self._small_solver(trips).values(CompressedCosts(trips.compression, costs), trips.batch)
            except InfeasibleRewardError:
                pass  # as in `total_value`
        return self._solver(self._turns, self._edge_id).values(costs, batch)

    def _solve(
        self, solver: CorridorSolver, costs: TurnCosts, batch: TripBatch, original: TripBatch
    ) -> tuple[float, Floats]:
        visited = self._visited.get(original)
        if visited is not None and visited[0] is solver:
            # Where the last solve came by, this one does: fewer interrupted searches.
            costs.prepare(visited[1], self._threads)
        result = solver.total_value(costs, batch, costs.zeros())
        self._visited[original] = (solver, costs.known())
        self.error = solver.report.error_estimate
        return result

    def _compressed(self, trips: CompressedTrips, costs: TurnCosts) -> CompressedCosts:
        kept = self._small_costs
        if kept is not None and kept.original is costs and kept.compression is trips.compression:
            kept.renew()
            return kept
        made = CompressedCosts(trips.compression, costs)
        if costs is self._costs:
            self._small_costs = made
        return made

    def _compresses(self, batch: TripBatch) -> bool:
        if self._config.compress != "auto":
            return self._config.compress
        trips = self._compressor.whole or batch
        return worth_compressing(self._turns.num_edges, len(trips.origin))

    def _small_solver(self, trips: CompressedTrips) -> CorridorSolver:
        named = trips.compression.state if self._edge_id is None else self._edge_id[trips.compression.state]
        return self._solver(trips.compression.turns, named.astype(np.int64))

    def _solver(self, turns: TurnGraph, edge_id: Ids | None) -> CorridorSolver:
        """The one of the whole graph, and that of the last compressed one."""
        number = int(turns is not self._turns)
        if number not in self._solvers or self._solvers[number][0] is not turns:
            config = self._config
            solver = CorridorSolver(
                turns,
                tau=config.corridor_tau,
                tolerance=config.tolerance,
                threads=config.threads,
                edge_id=edge_id,
            )
            self._solvers[number] = (turns, solver)
        return self._solvers[number][1]
