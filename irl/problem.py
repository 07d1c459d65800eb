"""What training minimises: the mean negative log-likelihood of scaled coefficients, with its derivatives."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from ..core.config import Config
from ..core.errors import InfeasibleRewardError, NonPositiveCostError, NotConvergedError, UnderflowError
from ..core.types import Floats, Ids
from ..graphs.road_graph import RoadNetwork
from .batches import make_batch
from .demonstrations import Demonstrations
from .derivatives import ValueDerivatives
from .destinations import destination_key
from .evaluations import Evaluation, History, Kind
from .feature_columns import Features
from .inference import outer_product, scores_of
from .planner import Planner
from .trips import Batch, TripBatch

NO_VALUES = (InfeasibleRewardError, NotConvergedError, UnderflowError, NonPositiveCostError)
"""What a step out of the feasible set runs into; the last at finite horizons, which need a best path."""
_NOT_FACTORISED = "the factorisation cannot serve"
_WARM_UP_PART = 1
_MOST_CUTS = 64


class Problem:
    """Mean negative log-likelihood of scaled coefficients, each evaluation recorded.

    Parameters
    ----------
    routes
        Those that the ending allows: `Demonstrations.for_ending`.
    history
        Shared with the problems that `part` and `mini_batches` make of this one.
    part
        The number of these routes in the history.
    """

    def __init__(
        self,
        network: RoadNetwork,
        routes: Demonstrations,
        features: Features,
        config: Config,
        *,
        history: History | None = None,
        part: int = 0,
        planner: Planner | None = None,
    ) -> None:
        self.network, self.routes, self.features, self.config = network, routes, features, config
        self.turns = network.turns
        self.planner = planner or Planner(network.turns, config.planner, edge_id=network.graph.edge_id)
        self.batch: Batch = make_batch(routes, self.planner.config)
        if planner is None:
            self.planner.prepare(self.batch)  # parts and mini-batches share it
        self.total_weight = float(routes.weight.sum())
        self.num_routes = len(routes)
        size = np.sqrt(features.range.mean_square)
        self.scale = np.where(size > 0, size, 1.0)
        """float64[F]: scaled coefficient = coefficient * scale, so that all are of one magnitude."""
        self.history = history if history is not None else History()
        self.outside: Floats = np.zeros((0, len(size)))
        """float64[V, F], scaled feature rows whose turns cost nothing at a step that was shortened for it."""
        self._part = part
        self._best: tuple[Floats, float] | None = None
        self._seen: tuple[Floats, float, Floats] | None = None
        self._refused: Floats | None = None
        self._second: dict[Kind, Evaluation] = {}
        self._derivatives: tuple[Floats, ValueDerivatives] | None = None

    def reward(self, scaled: Floats) -> Floats:
        """float64[T]."""
        return self.features.reward(scaled / self.scale)

    def objective(self, scaled: Floats) -> tuple[float, Floats]:
        """Mean negative log-likelihood and gradient; outside the feasible set, a rising slope that shortens the step.

        The line search only ever sees such a point as too far: it lies above the last point and climbs along the step,
        so it is interpolated away from and never accepted. The last point is not evaluated twice.

        Raises
        ------
        InfeasibleRewardError, NotConvergedError, UnderflowError, NonPositiveCostError
            The first point has no values.
        """
        if self._seen is not None and np.array_equal(self._seen[0], scaled):
            return self._seen[1], self._seen[2]
        found = self._evaluated("gradient", scaled)
        if found.is_refused:
            self._refused = scaled.copy()
            if self._best is None:
                self._refuse(found)
            point, loss = self._best
            step = scaled - point
            return loss + abs(loss) + 1.0, (abs(loss) + 1.0) * step / max(float(step @ step), 1e-300)
        if self._best is None or found.loss < self._best[1]:
            self._best = (scaled.copy(), found.loss)
        self._seen = (scaled.copy(), found.loss, found.gradient)
        return found.loss, found.gradient

    def was_refused(self, scaled: Floats) -> bool:
        """Whether `objective` last answered for want of values at this very point."""
        return self._refused is not None and np.array_equal(self._refused, scaled)

    def loss(self, scaled: Floats) -> tuple[float, Floats]:
        """Mean negative log-likelihood and gradient; raises outside the feasible set, as `objective` does at first."""
        found = self._evaluated("gradient", scaled)
        if found.is_refused:
            self._refuse(found)
        return found.loss, found.gradient

    def loss_or_none(self, scaled: Floats) -> tuple[float, Floats] | None:
        """Mean negative log-likelihood and gradient, None outside the feasible set."""
        found = self._evaluated("gradient", scaled)
        return None if found.is_refused else (found.loss, found.gradient)

    def first_order(self, scaled: Floats) -> tuple[float, Floats] | None:
        """The loss and its gradient, None where the factorisation cannot serve."""
        found = self._evaluated("factorised", scaled)
        return None if found.is_refused else (found.loss, found.gradient)

    def second_order(self, scaled: Floats) -> Evaluation | None:
        """The loss with both derivatives, exact; None where the factorisation cannot serve. The last one is kept."""
        return self._with_matrix("hessian", scaled)

    def score_order(self, scaled: Floats) -> Evaluation | None:
        """As `second_order`, with the mean outer product of the routes' scores for a Hessian (BHHH).

        Berndt, Hall, Hall & Hausman (1974): where the model is right, its expectation is the Hessian's at the truth;
        it is an estimate of the Fisher information, so that its step is a natural gradient's.
        """
        return self._with_matrix("scores", scaled)

    def value_gradient(self, scaled: Floats) -> Floats | None:
        """dV/dtheta of every trip in the features' own units, float64[P, F]; None where the LU cannot serve."""
        if self.second_order(scaled) is None or not isinstance(self.batch, TripBatch):
            return None
        return self._value_derivatives(self.batch, scaled).gradient

    def check(self, scaled: Floats) -> None:
        """Raise what stands against values at a point, without a record of it."""
        self._compute(scaled)

    def solver_at(self, scaled: Floats) -> str:
        """Which solver served last; asked for at this point where a resumed run had nothing left to evaluate."""
        if not self.planner.last_solver:
            self._compute(scaled)
        return self.planner.last_solver

    def forget(self) -> None:
        """Start a line search anew: no earlier point is there to go back to."""
        self._best = self._seen = None

    def violated(self, scaled: Floats) -> Floats:
        """Up to 64 distinct scaled feature rows whose turns cost less than the minimum, the worst first; [V, F]."""
        cost = -self.reward(scaled)
        bad = np.flatnonzero(cost < self.config.reward.minimum_cost * (1 - 1e-6))
        if not len(bad):
            return np.zeros((0, len(scaled)))
        worst = bad[np.argsort(cost[bad], kind="stable")[:4096]]
        rows, first = np.unique(self.features.rows(worst) / self.scale, axis=0, return_index=True)
        return np.asarray(rows[np.argsort(first)[:_MOST_CUTS]])

    def part(self, every: int) -> Problem:
        """The same problem with one destination in so many, those that most routes go to: most routes for a solve."""
        column = self._column_of_route()
        weight = np.bincount(column, self.routes.weight)
        chosen = np.argsort(-weight, kind="stable")[: len(weight) // every]
        return self._of_rows(np.isin(column, chosen), _WARM_UP_PART)

    def mini_batches(self, size: int, seed: int) -> list[Problem]:
        """The same problem on ``size`` destinations at a time, drawn at random; together they are the whole."""
        column = self._column_of_route()
        shuffled = np.random.default_rng(seed).permutation(int(column.max()) + 1)
        groups = [shuffled[begin : begin + size] for begin in range(0, len(shuffled), size)]
        return [self._of_rows(np.isin(column, group), number) for number, group in enumerate(groups, _WARM_UP_PART + 1)]

    @property
    def num_evaluations(self) -> int:
        """Likelihoods evaluated, in passes through all routes: those of parts add up."""
        return round(self.history.num_routes / self.num_routes)

    @property
    def num_destinations(self) -> int:
        """Distinct destinations of the routes."""
        return len(self.batch.destinations)

    def _column_of_route(self) -> Ids:
        keys = destination_key(self.network.graph, self.routes.last_edge, self.config.planner.ending)
        return np.asarray(np.unique(keys, return_inverse=True)[1].reshape(-1), np.int64)

    def _of_rows(self, is_in: np.ndarray[tuple[int], np.dtype[np.bool_]], number: int) -> Problem:
        routes = self.routes.take(np.flatnonzero(is_in))
        # One planner for all: a likelihood's factorisation is as large as the map, not as the part.
        return Problem(
            self.network,
            routes,
            self.features,
            self.config,
            history=self.history,
            part=number,
            planner=self.planner,
        )

    def _with_matrix(self, kind: Kind, scaled: Floats) -> Evaluation | None:
        if not isinstance(self.batch, TripBatch):  # a finite horizon: its loss has kinks
            return None
        kept = self._second.get(kind)
        if kept is None or not np.array_equal(kept.scaled, scaled):
            kept = self._evaluated(kind, scaled)
            self._second[kind] = kept
        return None if kept.is_refused else kept

    def _evaluated(self, kind: Kind, scaled: Floats) -> Evaluation:
        found = self.history.recall(self._part, kind, scaled)
        if found is None:
            found = self._computed(kind, scaled.copy())
            self.history.add(found)
        self.history.num_routes += self.num_routes
        if found.refusal == NonPositiveCostError.__name__:
            self.outside = np.unique(np.concatenate([self.outside, self.violated(scaled)]), axis=0)
        return found

    def _computed(self, kind: Kind, scaled: Floats) -> Evaluation:
        empty, none = np.zeros((0, 0)), np.full(len(scaled), np.nan)
        try:
            if kind != "gradient" and not self.planner.can_factorise(self.reward(scaled), self.batch):
                return Evaluation(self._part, kind, scaled, np.nan, none, empty, _NOT_FACTORISED)
            if kind in ("gradient", "factorised"):
                return Evaluation(self._part, kind, scaled, *self._compute(scaled), empty)
            assert isinstance(self.batch, TripBatch)  # `_with_matrix` made sure
            return Evaluation(self._part, kind, scaled, *self._compute_matrix(kind, self.batch, scaled))
        except NO_VALUES as error:
            return Evaluation(self._part, kind, scaled, np.nan, none, empty, type(error).__name__, error)

    def _compute(self, scaled: Floats) -> tuple[float, Floats]:
        value, slope = self.planner.linear_log_likelihood(self.features, scaled / self.scale, self.batch)
        return -value / self.total_weight, -slope / (self.total_weight * self.scale)

    def _compute_matrix(self, kind: Kind, batch: TripBatch, scaled: Floats) -> tuple[float, Floats, Floats]:
        found = self._value_derivatives(batch, scaled)
        if kind == "hessian":
            matrix = found.total_hessian
        else:
            matrix = outer_product(scores_of(self.routes, batch, self.features, found.gradient), self.routes.weight)
        loss = float(batch.weight @ found.value - batch.observed @ self.reward(scaled)) / self.total_weight
        slope = self.features.project(batch.observed) - batch.weight @ found.gradient
        return (
            loss,
            -slope / (self.total_weight * self.scale),
            matrix / (self.total_weight * np.outer(self.scale, self.scale)),
        )

    def _value_derivatives(self, batch: TripBatch, scaled: Floats) -> ValueDerivatives:
        """The last one is kept: matrices and gradients per trip at one point come from one computation."""
        if self._derivatives is None or not np.array_equal(self._derivatives[0], scaled):
            found = self.planner.derivatives(self.reward(scaled), batch, self.features.value)
            self._derivatives = (scaled.copy(), found)
        return self._derivatives[1]

    def _refuse(self, found: Evaluation) -> NoReturn:
        if found.error is None:
            self._compute(found.scaled)  # refused before, so it is refused again, and says why
        raise found.error or NotConvergedError(residual=np.nan, tolerance=0.0, num_sweeps=0)
