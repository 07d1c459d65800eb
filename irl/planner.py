"""Which solver serves which horizon, and what happens when it refuses: decided here and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from scipy.sparse.linalg import SuperLU

from ..core.config import PlannerConfig
from ..core.errors import InfeasibleRewardError, NotConvergedError, UnderflowError
from ..core.types import Floats, Ids, Ints
from ..graphs.turns import TurnGraph
from .best_paths import best_path_values
from .derivatives import ValueDerivatives, value_derivatives
from .destinations import Destinations
from .factorization import Factorization
from .feasibility import factorise, infeasible_reward, spectral_radius
from .horizons import RecedingHorizon
from .margin import MarginLoss
from .trips import Batch, RouteBatch, StepBatch, TripBatch

if TYPE_CHECKING:
    from .compressed_trips import CompressedTrips, TripCompressor
    from .corridor_horizons import CorridorHorizon
    from .corridor_trips import CorridorTrips
    from .linear_rewards import LinearReward
    from .soft_values import Start, SweepSolver

_log = logging.getLogger(__name__)
_ONE_LU = "one LU for all destinations; where values start from (nothing or the best path) makes no difference to it"
LARGEST_FACTORISED = 300_000
"""Edges up to which ``auto`` takes one LU, or at a finite horizon one search of the whole map per destination. At a
million edges an LU takes 15 s and 0.16 s per solve, where a trip's corridor takes 1.5 ms whatever the map."""
_RADIUS_STEPS = 200

_WORTH_COMPRESSING = 5_000_000
"""Edges times destinations from which a fit by LUs gains more by compressing than a second, which numba takes once."""
_WORTH_COMPRESSING_FOR_SWEEPS = 100_000
_Result = TypeVar("_Result")

_LARGEST_REWARD = 600.0
"""Of one turn: its exponential is near float64's largest number, and no values exist in any case worth a look."""


class Planner:
    """Soft values and expected counts under any reward on one turn graph, each certified or a typed error.

    ``solver="factorization"``: one sparse LU, exact, fastest. ``"sweeps"``: value iteration in JAX.
    ``"auto"``: the LU first; sweeps where exponentials underflow float64, and under *arrival* where the LU refuses,
    since that ending needs less than the LU does (M without the destination's row). ``"corridors"``: each trip in its
    own neighbourhood; a model of its own, which ``"auto"`` takes from 300,000 edges on.

    A finite horizon has its own recursion (`RecedingHorizon`), which needs positive costs and no spectral radius;
    horizon 0 has a loss and no values. Both run on the whole map or in corridors.

    At horizon infinity, trips may be solved on the compressed graph of their turns (`compress`): values, counts and
    derivatives are the same. What that graph refuses, the original one is asked too: its edges have names for errors.
    """

    def __init__(self, turns: TurnGraph, config: PlannerConfig, *, edge_id: Ids | None = None) -> None:
        self._turns, self._config, self._edge_id = turns, _chosen(config, turns), edge_id
        self._told: set[str] = set()
        self._margin: MarginLoss | None = None
        self._kept: tuple[Floats, Factorization] | None = None
        self._visited: tuple[Ids, ...] | None = None
        self._whole: TripBatch | None = None
        self._small: tuple[TurnGraph, Planner] | None = None
        self.last_solver = ""
        """Which solver answered last."""

    @property
    def config(self) -> PlannerConfig:
        """What it was made with, ``"auto"`` replaced by ``"corridors"`` where the map is that large."""
        return self._config

    @property
    def horizon(self) -> int | Literal["infinity"]:
        """H of the configuration."""
        return self._config.horizon

    def log_likelihood(self, reward: Floats, batch: Batch) -> tuple[float, Floats]:
        """``sum_n w_n log P(route_n)`` at this planner's horizon, and its gradient in the reward, float64[T].

        At horizon 0 there is no likelihood: minus the margin loss stands in for it, and a subgradient for the gradient.
        The batch is `make_batch`'s.

        Raises
        ------
        InfeasibleRewardError, NotConvergedError
            Horizon infinity: values do not exist, or sweeps gave up.
        NonPositiveCostError
            A finite horizon: a turn costs nothing or less.
        """
        if isinstance(batch, TripBatch):
            total, expected = self.total_value(reward, batch)
            return float(batch.observed @ reward) - total, batch.observed - expected
        if isinstance(batch, StepBatch):
            return self.receding.log_likelihood(reward, batch)
        if self.uses_corridors:
            self._note("corridors", self._corridor_width)
            return self.corridor_horizon.log_likelihood(reward, batch)
        return self._minus_margin_loss(reward, batch)

    def linear_log_likelihood(self, features: LinearReward, coefficients: Floats, batch: Batch) -> tuple[float, Floats]:
        """`log_likelihood` of the reward ``X theta`` and its gradient in theta, float64[F].

        With corridors, costs are worked out where a search comes by, and the map's size adds nothing.
        """
        if not self.uses_corridors or isinstance(batch, StepBatch):
            value, slope = self.log_likelihood(features.reward(coefficients), batch)
            return value, features.project(slope)
        self._note("corridors", self._corridor_width)
        if isinstance(batch, TripBatch):
            return self._corridors.linear_log_likelihood(features, coefficients, batch)
        from .turn_costs import linear_costs  # numba takes half a second

        costs = linear_costs(self._turns, features, coefficients, self._edge_id)
        if self._visited is not None:
            costs.prepare(self._visited, 1)  # where the last solve came by, this one does: fewer interrupted searches
        value, slope = self.corridor_horizon.log_likelihood(costs, batch)
        self._visited = costs.known()
        return value, costs.project(slope)

    def linear_total_value(
        self, features: LinearReward, coefficients: Floats, batch: TripBatch
    ) -> tuple[float, Floats]:
        """`total_value` of the reward ``X theta``, and its gradient in theta, float64[C]: the expected features.

        Of the batch, ``observed`` is not looked at. Errors as for `log_likelihood`.
        """
        if self.uses_corridors:
            self._note("corridors", self._corridor_width)
            return self._corridors.linear_total_value(features, coefficients, batch)
        total, expected = self.total_value(features.reward(coefficients), batch)
        return total, features.project(expected)

    @cached_property
    def corridor_horizon(self) -> CorridorHorizon:
        """Finite horizons in corridors, one per route."""
        from .corridor_horizons import CorridorHorizon

        horizon, config = self._config.horizon, self._config
        return CorridorHorizon(
            self._turns,
            -1 if horizon == "infinity" else horizon,
            tau=config.corridor_tau,
            threads=config.threads,
            edge_id=self._edge_id,
        )

    @property
    def _corridor_width(self) -> str:
        return f"routes up to {self._config.corridor_tau:g} nats dearer than the best one alone"

    @cached_property
    def receding(self) -> RecedingHorizon:
        """The recursion of a finite horizon >= 1; `ValueError` for others."""
        horizon = self._config.horizon
        self._note("recursion", f"horizon {horizon}: so many soft steps from the best path, per destination")
        return RecedingHorizon(self._turns, -1 if horizon == "infinity" else horizon, edge_id=self._edge_id)

    def _minus_margin_loss(self, reward: Floats, batch: RouteBatch) -> tuple[float, Floats]:
        self._note("margin", "horizon 0: one search per distinct route, the demonstration's edges made dearer")
        if self._margin is None or self._margin.batch is not batch:
            self._margin = MarginLoss(self._turns, batch)
        loss, slope = self._margin(-reward)
        return -loss, slope  # the loss is a function of costs, and costs are minus rewards

    def values(self, reward: Floats, destinations: Destinations, *, origins: tuple[Ints, Ids] | None = None) -> Floats:
        """Soft reward-to-go at the horizon, float64[E, D]; `InfeasibleRewardError` where it does not exist.

        ``origins``, if given, are the (edge, column) pairs whose values are used: see `Factorization.values`. Corridors
        have values of trips alone (`trip_values`): a `ValueError` there.
        """
        if self.uses_corridors:
            raise ValueError("corridors have no values of a whole map; ask for trip_values")
        if self._config.horizon != "infinity":
            return self.receding.values(reward, destinations)
        if self._tries_factorization:
            try:
                result = self._factorization(reward).values(destinations, origins=origins)
            except (InfeasibleRewardError, UnderflowError) as error:
                self._prepare_sweeps(reward, destinations, error)
            else:
                self._note("factorization", _ONE_LU)
                return result
        try:
            swept = self._sweeps.values(reward, destinations, start=self._start(reward))
        except NotConvergedError as error:
            raise self._diverged(reward, destinations, error) from error
        _log.info("%d sweeps from %s", swept.num_sweeps, self._config.start)
        return swept.value

    def trip_values(self, reward: Floats, batch: TripBatch) -> Floats:
        """V at the origin of every pair of a batch, float64[P], each in its corridor; see `uses_corridors`."""
        self._note("corridors", self._corridor_width)
        return self._corridors.values(reward, batch)

    @property
    def uses_corridors(self) -> bool:
        """Whether trips are solved one by one, and there are no values of a whole map."""
        return self._config.solver == "corridors"

    @cached_property
    def _compressor(self) -> TripCompressor:
        # Imported only where it is needed, as whatever compiles: numba takes half a second.
        from .compressed_trips import TripCompressor

        return TripCompressor(self._turns, self._whole)

    @cached_property
    def _corridors(self) -> CorridorTrips:
        from .corridor_trips import CorridorTrips

        return CorridorTrips(self._turns, self._config, self._edge_id, self._compressor)

    def rest(self) -> None:
        """Give back the memory that the next evaluation would write into, some 80 bytes per edge. No answer changes."""
        if "_corridors" in vars(self):
            self._corridors.rest()

    def prepare(self, batch: Batch) -> None:
        """Say which trips are to come, where the first ones are but a part of them: what is made serves all."""
        if isinstance(batch, TripBatch):
            self._whole = batch

    @property
    def corridor_error(self) -> float | None:
        """What the monitor says of the largest error of a value in the last solve, None without corridors."""
        return self._corridors.error if self.uses_corridors and self._config.horizon == "infinity" else None

    def total_value(self, reward: Floats, batch: TripBatch) -> tuple[float, Floats]:
        """``sum_n w_n V(origin_n)`` and the expected counts float64[T]; `InfeasibleRewardError` without a V."""
        if self.uses_corridors:
            from .turn_costs import TurnCosts

            self._note("corridors", self._corridor_width)
            return self._corridors.total_value(TurnCosts(self._turns, -reward, self._edge_id), batch)
        found = self._on_smaller(reward, batch, lambda small, at, trips: small.total_value(at, trips.batch))
        if found is not None:
            (total, counts), trips = found
            return total, trips.compression.from_turns(counts)
        if self._tries_factorization:
            try:
                result = self._factorization(reward).total_value(batch)
            except (InfeasibleRewardError, UnderflowError) as error:
                self._prepare_sweeps(reward, batch.destinations, error)
            else:
                self._note("factorization", _ONE_LU)
                return result
        self._note("sweeps", "value iteration, on reduced costs where all are positive, else in log space")
        try:
            return self._sweeps.total_value(reward, batch, start=self._start(reward))
        except NotConvergedError as error:
            raise self._diverged(reward, batch.destinations, error) from error

    def can_factorise(self, reward: Floats, batch: Batch) -> bool:
        """Whether one LU serves this reward for a batch, at the cost of that LU, which is kept for the next call."""
        found = self._on_smaller(reward, batch, lambda small, at, trips: small.can_factorise(at, trips.batch))
        if found is not None:
            return found[0]
        if not self._tries_factorization or not float(reward.max(initial=0.0)) < _LARGEST_REWARD:
            return False
        factors = factorise(self._turns, reward)
        if factors is not None:
            self._keep(reward, factors)
        return factors is not None

    def derivatives(self, reward: Floats, batch: TripBatch, features: Floats) -> ValueDerivatives:
        """Values of every trip, their gradients in F coefficients, and the Hessian of their weighted sum.

        Raises
        ------
        InfeasibleRewardError, UnderflowError
            Where the LU cannot serve; sweeps have no second derivatives.
        """
        found = self._on_smaller(
            reward,
            batch,
            lambda small, at, trips: small.derivatives(at, trips.batch, trips.compression.to_turns(features)),
        )
        if found is not None:
            return found[0]
        result = value_derivatives(self._factorization(reward), batch, features)
        self._note("factorization", "one LU for all destinations")
        return result

    def spectral_radius(self, reward: Floats, *, start: Floats | None = None) -> tuple[float, Floats] | None:
        """Of the turn matrix, to some four digits, and its eigenvector float64[E]; None at finite horizons.

        Values exist below 1, or under *arrival* where it is below 1 without the destination's row. By the LU that is at
        hand, a few solves; else by at most 200 products with the matrix, an estimate from below.

        Parameters
        ----------
        start
            The eigenvector of a like reward, float64[E]: it saves most of the steps, and moves the last digits.
        """
        if self._config.horizon != "infinity":
            return None
        is_kept = self._kept is not None and np.array_equal(self._kept[0], reward)
        # Where trips were compressed no LU of the whole is at hand. It is worth one for the radius that is reported.
        if not is_kept and start is None and self._small is not None and self._tries_factorization:
            factors = factorise(self._turns, reward)
            is_kept = factors is not None and self._keep(reward, factors) is not None
        if is_kept and self._kept is not None:
            return self._kept[1].spectral_radius(start=start)
        return spectral_radius(self._turns, reward, start=start, max_steps=_RADIUS_STEPS, tolerance=1e-6)

    def _on_smaller(
        self, reward: Floats, batch: Batch, ask: Callable[[Planner, Floats, CompressedTrips], _Result]
    ) -> tuple[_Result, CompressedTrips] | None:
        """What a planner of the batch's compressed graph answers; None where that is not wanted, or refuses."""
        if not isinstance(batch, TripBatch) or not self._compresses(batch):
            return None
        trips = self._compressor.trips(batch)
        turns = trips.compression.turns
        if self._small is None or self._small[0] is not turns:
            self._small = turns, Planner(turns, self._config.model_copy(update={"compress": False}))
        planner = self._small[1]
        small_reward = trips.compression.to_turns(reward)
        if not float(small_reward.max(initial=0.0)) < _LARGEST_REWARD:
            return None
        try:
            answer = ask(planner, small_reward, trips)
        except (InfeasibleRewardError, UnderflowError, NotConvergedError):
            return None  # the original graph is asked: its edges have names
        self.last_solver = planner.last_solver or self.last_solver
        return answer, trips

    def _compresses(self, batch: TripBatch) -> bool:
        if self._config.horizon != "infinity" or self.uses_corridors:
            return False
        if self._config.compress != "auto":
            return self._config.compress
        least = _WORTH_COMPRESSING if self._tries_factorization else _WORTH_COMPRESSING_FOR_SWEEPS
        trips = batch if self._whole is None else self._whole
        return self._turns.num_edges * len(trips.destinations) >= least

    @property
    def _tries_factorization(self) -> bool:
        return self._config.solver in ("auto", "factorization")

    def _factorization(self, reward: Floats) -> Factorization:
        if self._kept is not None and np.array_equal(self._kept[0], reward):
            return self._kept[1]
        return self._keep(reward, None)

    def _keep(self, reward: Floats, factors: SuperLU | None) -> Factorization:
        made = Factorization(
            self._turns,
            reward,
            edge_id=self._edge_id,
            ending=self._config.ending,
            threads=self._config.threads,
            factors=factors,
        )
        self._kept = (reward.copy(), made)
        return made

    @cached_property
    def _sweeps(self) -> SweepSolver:
        # JAX is imported only where sweeps are needed: it takes a second, and forking after it (as Ray does) warns.
        from .soft_values import SweepSolver

        return SweepSolver(self._turns, tolerance=self._config.tolerance, max_sweeps=self._config.max_sweeps)

    def _start(self, reward: Floats) -> Start | None:
        """Where sweeps start: None for nothing, and where there is no best path because a turn costs nothing."""
        if self._config.start == "nothing" or reward.max(initial=-np.inf) >= 0:
            return None
        return lambda block: best_path_values(self._turns, reward, block)

    def _prepare_sweeps(self, reward: Floats, destinations: Destinations, refusal: Exception) -> None:
        """Let sweeps take over where they can succeed, else raise what the LU said."""
        may_exist = isinstance(refusal, UnderflowError) or self._config.ending == "arrival"
        if self._config.solver != "auto" or not may_exist:
            raise refusal
        if isinstance(refusal, InfeasibleRewardError) and not self._exists_on_arrival(reward, destinations):
            raise refusal
        self._note("sweeps", str(refusal))

    def _exists_on_arrival(self, reward: Floats, destinations: Destinations) -> bool:
        """Whether values exist for every destination: what has to contract under *arrival* is M without its row.

        One LU per destination; the first that fails ends it.
        """
        for goal in destinations.edge.tolist():
            if factorise(self._turns, np.where(self._turns.from_edge == goal, -np.inf, reward)) is None:
                return False
        return True

    def _diverged(self, reward: Floats, destinations: Destinations, error: NotConvergedError) -> Exception:
        """What to raise after sweeps gave up: the cycle to blame, or that the budget is short where values exist."""
        is_arrival = self._config.ending == "arrival"
        exists = (
            self._exists_on_arrival(reward, destinations) if is_arrival else factorise(self._turns, reward) is not None
        )
        if exists:
            return error
        return infeasible_reward(self._turns, reward, edge_id=self._edge_id, ending=self._config.ending)

    def _note(self, solver: str, why: str) -> None:
        self.last_solver = solver
        if solver not in self._told:
            self._told.add(solver)
            _log.info("soft values by %s: %s", solver, why)


def _chosen(config: PlannerConfig, turns: TurnGraph) -> PlannerConfig:
    """The configuration with corridors in place of ``auto`` on a map that is too large for solves of the whole."""
    if config.solver != "auto" or turns.num_edges <= LARGEST_FACTORISED:
        return config
    return config.model_copy(update={"solver": "corridors"})
