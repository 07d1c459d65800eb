"""Fit a reward by maximum likelihood; every step stays where values exist, every turn keeps a positive cost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, optimize

from ..core.config import Config
from ..core.errors import (
    ConfigurationError,
    InfeasibleRewardError,
    NonPositiveCostError,
    NotConvergedError,
    UnderflowError,
)
from ..core.types import Floats
from ..graphs.road_graph import RoadNetwork
from .baselines import plain_costs, tune_baselines
from .batches import make_batch
from .bundle import minimise as minimise_with_kinks
from .checkpoints import Checkpoint
from .demonstrations import Demonstrations, require_network
from .feasibility import factorise
from .features import Features, make_features
from .inference import (
    Covariance,
    clustered_outer_product,
    covariance,
    hessian,
    outer_product,
    route_scores,
    scores_of,
)
from .likelihood import log_likelihood
from .model import Coefficient, LearnedModel, entry_costs
from .newton import minimise, minimise_from, newton_step
from .planner import Planner
from .trips import Batch, TripBatch

_log = logging.getLogger(__name__)
_LARGEST_NEWTON = 30
"""Features up to which Newton's method is used: its evaluations cost F + 2 solves, those of L-BFGS-B two."""
_SMALL_DECREMENT = 1e-6
"""Newton's method ends where its next step is below a thousandth of a standard error in every direction."""
_WARM_UP = 8
"""One destination in so many, those that most routes go to, serves to find a start, which costs that much less."""
_SMALLEST_WARM_UP = 16
"""Destinations that a warm-up needs at least."""
_NO_VALUES = (InfeasibleRewardError, NotConvergedError, UnderflowError, NonPositiveCostError)
"""What a step out of the feasible set runs into; the last at finite horizons, which need a best path."""
_RUNAWAY = 50.0
"""Standard error in scaled coefficients (where 1 is a whole nat per typical turn) beyond which there is no estimate."""


@dataclass(frozen=True)
class TrainingProgress:
    """What a progress bar shows after an iteration."""

    iteration: int
    max_iterations: int
    log_likelihood_per_route: float
    gradient_norm: float
    """Largest component of the gradient of the mean log-likelihood in scaled features."""
    routes_per_second: float
    """Routes times likelihood evaluations over seconds, since the start."""
    checkpoint: Checkpoint


Progress = Callable[[TrainingProgress], None]


def fit(
    network: RoadNetwork,
    demonstrations: Demonstrations,
    config: Config | None = None,
    *,
    progress: Progress | None = None,
    resume: Checkpoint | None = None,
) -> LearnedModel:
    """Learn a linear reward from demonstrations by maximum likelihood at the configured horizon.

    Infinity is MaxEnt IRL, the recursive logit; a finite horizon is RHIP; 0 is maximum-margin planning, which has no
    likelihood and no standard errors.

    Parameters
    ----------
    progress
        Called after every iteration; an exception raised in it ends the run.
    resume
        Start from this checkpoint's coefficients. At horizon infinity and 0 the problem is concave, so that the same
        optimum is reached; at other horizons it may have several.

    Raises
    ------
    ConfigurationError, InvalidValueError
        A feature or start value that this network has no column for, or that is not finite.
    NoDemonstrationsError
        No route is possible under the ending.
    InfeasibleRewardError
        No base cost was found under which values exist; names the cycle and a constant that mends it.
    NonPositiveCostError
        At a finite horizon, the start gives some turn no cost.
    WrongNetworkError
        The demonstrations were checked against another network.

    Notes
    -----
    Newton's method with the exact Hessian: F + 2 triangular solves per destination and evaluation, from the last of
    which the standard errors follow. With many destinations most steps need only two solves per destination (a warm-up
    on a part of them gives a Hessian). L-BFGS-B where the factorisation cannot serve or F > 30.
    """
    config = config or Config()
    started = time.perf_counter()
    require_network(demonstrations, network.checksum, "the set of demonstrations")
    routes = demonstrations.for_ending(config.planner.ending)
    plain_costs(network)  # a network with neither lengths nor times is refused now, not after the training
    features = make_features(network, config.reward.features)
    problem = _Problem(network, routes, features, config)
    optimum = _maximise(problem, config, progress, resume)
    coefficients, value = optimum.scaled / problem.scale, -optimum.loss * problem.total_weight
    estimates, certainty = _estimates(problem, optimum, config)
    reward = features.value @ coefficients
    turn_cost = np.maximum(-reward, config.reward.minimum_cost)
    baselines, tuned = tune_baselines(network, routes, config)
    summary = {
        **_fit_summary(value, problem.total_weight, config),
        **_provenance(problem),
        **optimum.outcome,
        **certainty,
        "baselines": tuned,
        "seconds": time.perf_counter() - started,
    }
    return LearnedModel(
        network=network,
        config=config,
        coefficients=estimates,
        turn_cost=turn_cost,
        entry_cost=entry_costs(features.edge_value @ coefficients, turn_cost, network.turns.to_edge),
        baseline_costs=baselines,
        training_pairs=np.unique(routes.pair_keys(config.planner.ending)),
        summary=summary,
        is_simulated=routes.is_simulated,
    )


def _provenance(problem: _Problem) -> dict[str, object]:
    routes = problem.routes
    return {
        "num_routes": len(routes),
        "skipped": routes.skipped_by_reason,
        "routes_source": routes.source,
        "network_source": problem.network.report.get("source", ""),
        "solver": problem.planner.last_solver,
    }


@dataclass(frozen=True, eq=False)
class _Point:
    """The mean negative log-likelihood in scaled coefficients, with its first two derivatives."""

    scaled: Floats
    loss: float
    gradient: Floats
    hessian: Floats
    value_gradient: Floats
    """float64[P, F], dV/dtheta of every trip of the batch, in the features' own units."""


@dataclass(frozen=True, eq=False)
class _Optimum:
    """Where training ended."""

    scaled: Floats
    loss: float
    information: Floats | None
    """float64[F, F], minus the Hessian of the log-likelihood in scaled coefficients; None where there is none."""
    value_gradient: Floats | None
    """`_Point.value_gradient` where the factorisation served."""
    outcome: dict[str, object]


def _fit_summary(value: float, total_weight: float, config: Config) -> dict[str, object]:
    """The log-likelihood, or at horizon 0, which has none, the margin loss."""
    if config.planner.horizon == 0:
        return {
            "log_likelihood": None,
            "log_likelihood_per_route": None,
            "margin_loss_per_route": -value / total_weight,
            "horizon": 0,
        }
    return {
        "log_likelihood": value,
        "log_likelihood_per_route": value / total_weight,
        "horizon": config.planner.horizon,
    }


class _Problem:
    """Mean negative log-likelihood of scaled coefficients, with the last feasible point remembered."""

    def __init__(self, network: RoadNetwork, routes: Demonstrations, features: Features, config: Config) -> None:
        self.network, self.routes, self.features, self.config = network, routes, features, config
        self.turns = network.turns
        self.batch: Batch = make_batch(routes, config.planner)
        self.planner = Planner(network.turns, config.planner, edge_id=network.graph.edge_id)
        self.total_weight = float(routes.weight.sum())
        self.num_routes = len(routes)
        size = np.sqrt(np.mean(features.value**2, axis=0))
        self.scale = np.where(size > 0, size, 1.0)
        """float64[F]: scaled coefficient = coefficient * scale, so that all are of one magnitude."""
        self.num_evaluations = 0
        self._last: tuple[Floats, float] | None = None
        self._seen: tuple[Floats, float, Floats] | None = None
        self._point: _Point | None = None
        self._minimum_cost = config.reward.minimum_cost
        self.outside: Floats = np.zeros((0, len(size)))
        """float64[V, F], scaled feature rows whose turns cost nothing at a step that was shortened for it."""

    def evaluate(self, coefficients: Floats) -> tuple[float, Floats]:
        """(log-likelihood, gradient float64[F]) in the features' own units."""
        self.num_evaluations += 1
        value, gradient = log_likelihood(self.planner, self.features.value @ coefficients, self.batch)
        return value, self.features.value.T @ gradient

    def objective(self, scaled: Floats) -> tuple[float, Floats]:
        """Mean negative log-likelihood and gradient; outside the feasible set, a rising slope that shortens the step.

        The line search only ever sees such a point as too far: it lies above the last point and climbs along the step,
        so it is interpolated away from and never accepted. The last point is not evaluated twice.
        """
        if self._seen is not None and np.array_equal(self._seen[0], scaled):
            return self._seen[1], self._seen[2]
        try:
            value, gradient = self.evaluate(scaled / self.scale)
        except _NO_VALUES as error:
            if self._last is None:
                raise
            if isinstance(error, NonPositiveCostError):
                rows = _violated(self, scaled, self._minimum_cost)
                self.outside = np.unique(np.concatenate([self.outside, rows]), axis=0)
            point, loss = self._last
            step = scaled - point
            return loss + abs(loss) + 1.0, (abs(loss) + 1.0) * step / max(float(step @ step), 1e-300)
        loss = -value / self.total_weight
        if self._last is None or loss < self._last[1]:
            self._last = (scaled.copy(), loss)
        slope = -gradient / (self.total_weight * self.scale)
        self._seen = (scaled.copy(), loss, slope)
        return loss, slope

    def first_order(self, scaled: Floats) -> tuple[float, Floats] | None:
        """The loss and its gradient, None where the factorisation cannot serve."""
        if not self.planner.can_factorise(self.features.value @ (scaled / self.scale)):
            return None
        try:
            value, gradient = self.evaluate(scaled / self.scale)
        except _NO_VALUES:
            return None
        return -value / self.total_weight, -gradient / (self.total_weight * self.scale)

    def second_order(self, scaled: Floats) -> _Point | None:
        """The loss with both derivatives, exact; None where the factorisation cannot serve. The last one is kept."""
        if not isinstance(self.batch, TripBatch):  # a finite horizon: its loss has kinks
            return None
        if self._point is not None and np.array_equal(self._point.scaled, scaled):
            return self._point
        reward = self.features.value @ (scaled / self.scale)
        if not self.planner.can_factorise(reward):
            return None
        try:
            found = self.planner.derivatives(reward, self.batch, self.features.value)
        except UnderflowError:
            return None
        self.num_evaluations += 1
        weight, total = self.batch.weight, self.total_weight
        slope = self.batch.observed @ self.features.value - weight @ found.gradient
        self._point = _Point(
            scaled.copy(),
            float(weight @ found.value - self.batch.observed @ reward) / total,
            -slope / (total * self.scale),
            found.total_hessian / (total * np.outer(self.scale, self.scale)),
            found.gradient,
        )
        return self._point

    def scaled_gradient(self, scaled: Floats) -> Floats:
        """Gradient of the log-likelihood in scaled coefficients; raises outside the feasible set."""
        return self.evaluate(scaled / self.scale)[1] / self.scale

    def part(self, every: int) -> _Problem:
        """The same problem with one destination in so many, those that most routes go to: most routes for a solve."""
        column = self.batch.column[self.routes.trip_of_route(self.config.planner.ending)]
        weight = np.bincount(column, self.routes.weight, minlength=len(self.batch.destinations))
        chosen = np.argsort(-weight, kind="stable")[: len(weight) // every]
        rows = np.flatnonzero(np.isin(column, chosen))
        return _Problem(self.network, self.routes.take(rows), self.features, self.config)


def _maximise(problem: _Problem, config: Config, progress: Progress | None, resume: Checkpoint | None) -> _Optimum:
    """Newton's method, or L-BFGS-B; where turns end up with a positive reward, SLSQP under those constraints."""
    start = resume.coefficients if resume is not None else _start(problem, config)
    watch = _Watch(problem, config, progress, first_iteration=resume.iteration if resume else 0)
    if config.planner.horizon == 0:
        return _minimise_margin(problem, start * problem.scale, config, watch)
    scaled, method = _unconstrained(problem, start * problem.scale, config, watch, is_fresh=resume is None)
    scaled, cuts, rounds = _within_constraints(problem, scaled, config, watch)
    information, value_gradient = _curvature(problem, scaled)
    if information is not None and not rounds:
        scaled, loss, gradient = _polished(problem, scaled, information, config.reward.minimum_cost)
    else:
        loss, gradient = problem.objective(scaled)
    residual = _kkt_residual(gradient, cuts, scaled, config.reward.minimum_cost)
    is_converged = residual <= max(1e-4, 10 * config.training.gradient_tolerance)
    if not is_converged:
        _log.warning("training stopped at a gradient of %.2g after %d iterations", residual, watch.iteration)
    outcome: dict[str, object] = {
        "method": "SLSQP" if rounds else method,
        "iterations": watch.iteration,
        "evaluations": problem.num_evaluations,
        "kkt_residual": residual,
        "is_converged": bool(is_converged),
        "constraint_rounds": rounds,
    }
    return _Optimum(scaled, loss, information, value_gradient, outcome)


def _unconstrained(
    problem: _Problem, scaled: Floats, config: Config, watch: _Watch, *, is_fresh: bool
) -> tuple[Floats, str]:
    """(scaled optimum without the constraints on signs, the method): Newton, then L-BFGS-B where that gave up."""
    training = config.training
    if isinstance(problem.batch, TripBatch) and problem.features.value.shape[1] <= _LARGEST_NEWTON:
        if is_fresh and len(problem.batch.destinations) >= _SMALLEST_WARM_UP * _WARM_UP:
            scaled = _warm_up(problem, scaled, training.max_iterations, watch)
        found = minimise(
            problem.second_order,
            scaled,
            small_decrement=_SMALL_DECREMENT / problem.total_weight,
            gradient_tolerance=1e-12,
            max_iterations=training.max_iterations,
            callback=watch,
        )
        scaled = found.point
        if found.is_converged or watch.iteration >= training.max_iterations:
            return scaled, "Newton"
        _log.info("Newton's method stopped after %d iterations; L-BFGS-B goes on", watch.iteration)
    # Below a relative change of 1e-11 the loss is rounding noise: `_polished` goes the rest of the way.
    options = {"maxiter": training.max_iterations, "gtol": training.gradient_tolerance, "ftol": 1e-11}
    end = optimize.minimize(
        problem.objective, scaled, jac=True, method="L-BFGS-B", callback=watch.look, options=options
    )
    return np.asarray(end.x), "L-BFGS-B"


def _warm_up(problem: _Problem, scaled: Floats, max_iterations: int, watch: _Watch) -> Floats:
    """Newton's method on a part of the destinations, until its own sampling error; then BFGS with the part's Hessian.

    An evaluation of the Hessian costs (F + 2) / 2 times one of the gradient: this way the whole needs it once or twice.
    """
    part = problem.part(_WARM_UP)
    found = minimise(
        part.second_order, scaled, small_decrement=0.1 / part.total_weight, gradient_tolerance=1e-12, max_iterations=50
    )
    _log.info("warm-up on %d of the routes: %d evaluations", part.num_routes, part.num_evaluations)
    near = part.second_order(found.point)
    if not found.is_converged or near is None:
        return scaled
    small = _SMALL_DECREMENT / problem.total_weight
    return minimise_from(
        problem.first_order,
        found.point,
        near.hessian,
        small_decrement=small,
        max_iterations=min(max_iterations, 15),
        callback=watch,
    ).point


def _within_constraints(problem: _Problem, scaled: Floats, config: Config, watch: _Watch) -> tuple[Floats, Floats, int]:
    """(scaled, cuts float64[C, F], rounds): SLSQP under the rows that are violated, until none is."""
    rounds = 0
    cuts = np.zeros((0, len(scaled)))
    rows = _missing(problem, scaled, cuts, config)
    while len(rows):
        rounds += 1
        if rounds > 50:
            raise NotConvergedError(residual=float(np.abs(rows @ scaled).max()), tolerance=0.0, num_sweeps=rounds)
        cuts = np.unique(np.concatenate([cuts, rows]), axis=0)
        scaled = _constrained(problem, scaled, cuts, config, watch)
        rows = _missing(problem, scaled, cuts, config)
    return scaled, cuts, rounds


def _minimise_margin(problem: _Problem, start: Floats, config: Config, watch: _Watch) -> _Optimum:
    """Horizon 0, whose loss has kinks: a bundle method instead of L-BFGS, positive costs at every step."""
    tolerance = max(1e-4, config.training.gradient_tolerance)
    found = minimise_with_kinks(
        problem.objective,
        start,
        violated=lambda scaled: _violated(problem, scaled, config.reward.minimum_cost),
        minimum=config.reward.minimum_cost,
        tolerance=tolerance,
        max_steps=config.training.max_iterations,
        on_step=watch.look,
    )
    is_converged = found.gap <= tolerance * (1 + abs(found.value))
    if not is_converged:
        _log.warning("training stopped %.2g above the planes' minimum after %d steps", found.gap, found.steps)
    outcome: dict[str, object] = {
        "method": "bundle",
        "iterations": watch.iteration,
        "evaluations": problem.num_evaluations,
        "kkt_residual": found.gap,
        "is_converged": is_converged,
        "constraint_rounds": 0,
    }
    return _Optimum(found.point, found.value, None, None, outcome)


def _missing(problem: _Problem, scaled: Floats, cuts: Floats, config: Config) -> Floats:
    """Constraints to add, float64[V, F]: those broken here, or those that kept shortening the steps towards an optimum.

    The latter at finite horizons only, where a step that breaks positivity is never evaluated: an optimiser that stops
    short of a stationary point is started again along the constraints it ran into.
    """
    minimum = config.reward.minimum_cost
    rows = _violated(problem, scaled, minimum)
    if len(rows) or not len(problem.outside):
        return rows
    residual = _kkt_residual(problem.objective(scaled)[1], cuts, scaled, minimum)
    known = np.unique(np.concatenate([cuts, problem.outside]), axis=0)
    is_new = len(known) > len(cuts)
    return problem.outside if is_new and residual > max(1e-4, 10 * config.training.gradient_tolerance) else rows


def _curvature(problem: _Problem, scaled: Floats) -> tuple[Floats | None, Floats | None]:
    """(information, dV/dtheta per trip), exact where the factorisation serves, else by differences; or None.

    At a finite horizon the loss has kinks where best paths change; differences average over those that they cross.
    Where they leave no maximum, there is no information either.
    """
    point = problem.second_order(scaled)
    if point is not None:
        return point.hessian * problem.total_weight, point.value_gradient
    try:
        information = -hessian(problem.scaled_gradient, scaled)
    except _NO_VALUES:
        return None, None
    is_finite_horizon = problem.planner.horizon != "infinity"
    if is_finite_horizon and linalg.eigvalsh(information)[0] < -1e-6 * float(np.abs(information).max()):
        return None, None
    return information, None


def _polished(
    problem: _Problem, scaled: Floats, information: Floats, minimum_cost: float
) -> tuple[Floats, float, Floats]:
    """(scaled, loss, gradient) after a few steps with the Hessian at hand, each kept only if the gradient shrinks.

    They take the gradient to rounding, so that the estimate does not depend on where the optimiser happened to stop.
    After Newton's method they are below a thousandth of a standard error, and the Hessian need not follow them.
    """
    point = problem.second_order(scaled)
    loss, gradient = (point.loss, point.gradient) if point is not None else problem.objective(scaled)
    for _ in range(4):
        if np.abs(gradient).max(initial=0.0) <= 1e-10:
            break
        try:
            moved = scaled + newton_step(information / problem.total_weight, gradient)
            value, slope = problem.evaluate(moved / problem.scale)
        except _NO_VALUES:
            break
        after = -slope / (problem.total_weight * problem.scale)
        if np.abs(after).max() >= np.abs(gradient).max() or len(_violated(problem, moved, minimum_cost)):
            break
        scaled, loss, gradient = moved, -value / problem.total_weight, after
    return scaled, loss, gradient


class _Watch:
    """Optimiser callback: counts, reports, carries the checkpoint."""

    def __init__(self, problem: _Problem, config: Config, progress: Progress | None, first_iteration: int) -> None:
        self._problem, self._config, self._progress = problem, config, progress
        self._started = time.perf_counter()
        self.iteration = first_iteration

    def look(self, scaled: Floats) -> None:
        """For optimisers that tell the point alone: as a rule it is the last one evaluated."""
        if self._progress is None:
            self.iteration += 1
            return
        self(scaled, *self._problem.objective(scaled))

    def __call__(self, scaled: Floats, loss: float, gradient: Floats) -> None:
        self.iteration += 1
        if self._progress is None:
            return
        seconds = time.perf_counter() - self._started
        checkpoint = Checkpoint(
            self._problem.network.checksum,
            self._problem.features.names,
            scaled / self._problem.scale,
            self.iteration,
            -loss * self._problem.total_weight,
        )
        self._progress(
            TrainingProgress(
                self.iteration,
                self._config.training.max_iterations,
                -loss,
                float(np.abs(gradient).max()),
                self._problem.num_evaluations * self._problem.num_routes / max(seconds, 1e-9),
                checkpoint,
            )
        )


def _start(problem: _Problem, config: Config) -> Floats:
    """Configured coefficients, or a base cost on every never-negative feature, doubled until values exist."""
    names = problem.features.names
    unknown = set(config.training.start) - set(names)
    if unknown:
        raise ConfigurationError(where="[training] start", problem=f"no such feature: {', '.join(sorted(unknown))}")
    if config.training.start:
        return np.array([config.training.start.get(name, 0.0) for name in names])
    is_usable = (problem.features.value >= 0).all(axis=0) & (problem.features.value > 0).any(axis=0)
    base = -is_usable.astype(np.float64) / problem.scale
    if not is_usable.any():
        raise ConfigurationError(
            where="[reward] features", problem="no feature is a cost that is never negative; add 'constant'"
        )
    if config.planner.horizon != "infinity":
        return np.asarray(base)  # positive costs are all that a finite horizon needs
    for doubling in range(12):
        candidate = base * 2.0**doubling
        if factorise(problem.turns, problem.features.value @ candidate) is not None:
            return np.asarray(candidate)
    problem.evaluate(base * 2.0**12)  # the planner knows endings that the LU refuses, or says what to change
    return np.asarray(base * 2.0**12)


def _violated(problem: _Problem, scaled: Floats, minimum_cost: float) -> Floats:
    """Up to 64 distinct scaled feature rows whose turns cost less than the minimum, the worst first; float64[V, F]."""
    cost = -(problem.features.value @ (scaled / problem.scale))
    bad = np.flatnonzero(cost < minimum_cost * (1 - 1e-6))
    if not len(bad):
        return np.zeros((0, len(scaled)))
    worst = bad[np.argsort(cost[bad], kind="stable")[:4096]]
    rows, first = np.unique(problem.features.value[worst] / problem.scale, axis=0, return_index=True)
    return np.asarray(rows[np.argsort(first)[:64]])


def _constrained(problem: _Problem, scaled: Floats, cuts: Floats, config: Config, watch: _Watch) -> Floats:
    """SLSQP under ``-cuts @ scaled >= minimum_cost``, from a point that satisfies it."""
    minimum = config.reward.minimum_cost * (1 + 1e-7)
    constraint = {"type": "ineq", "fun": lambda x: -cuts @ x - minimum, "jac": lambda x: -cuts}
    start = _pulled_inside(problem, scaled, cuts, minimum)
    problem._last = None
    problem._seen = None
    options = {"maxiter": config.training.max_iterations, "ftol": 1e-14}
    found = optimize.minimize(
        problem.objective,
        start,
        jac=True,
        method="SLSQP",
        constraints=[constraint],
        callback=watch.look,
        options=options,
    )
    return np.asarray(found.x)


def _pulled_inside(problem: _Problem, scaled: Floats, cuts: Floats, minimum: float) -> Floats:
    """The nearest mixture with a safe base cost that meets the constraints and has values."""
    is_usable = (problem.features.value >= 0).all(axis=0)
    safe = -is_usable.astype(np.float64) * max(1.0, float(np.abs(scaled).max()))
    for share in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0):
        point = (1 - share) * scaled + share * safe
        if (-cuts @ point >= minimum).all():
            try:
                problem.evaluate(point / problem.scale)
                return np.asarray(point)
            except _NO_VALUES:
                continue
    raise ConfigurationError(
        where="[reward] features",
        problem="no starting point makes every turn's cost positive; add 'constant' to the features",
    )


def _active(cuts: Floats, scaled: Floats, minimum_cost: float) -> Floats:
    slack = -cuts @ scaled - minimum_cost
    return np.asarray(cuts[slack < 1e-6 * max(1.0, minimum_cost)])


def _kkt_residual(gradient: Floats, cuts: Floats, scaled: Floats, minimum_cost: float) -> float:
    """Largest component of the loss gradient that no non-negative combination of active constraints explains."""
    active = _active(cuts, scaled, minimum_cost)
    if not len(active):
        return float(np.abs(gradient).max(initial=0.0))
    # Stationarity: gradient + sum of multipliers * (row of the cost constraint, negated) = 0 with multipliers >= 0.
    multipliers, _ = optimize.nnls(-active.T, gradient)
    return float(np.abs(gradient + active.T @ multipliers).max())


def _no_error_note(config: Config) -> str:
    """Why no coefficient has a standard error."""
    if config.planner.horizon == 0:
        return "horizon 0 has no likelihood"
    if config.planner.horizon == "infinity":
        return "at the edge of the rewards that have values"
    return "the likelihood is not smooth or not concave here"


def _estimates(problem: _Problem, optimum: _Optimum, config: Config) -> tuple[tuple[Coefficient, ...], dict[str, Any]]:
    """Coefficients with standard errors, and what the summary says about their certainty."""
    value, coefficients = problem.features.value, optimum.scaled / problem.scale
    minimum = config.reward.minimum_cost
    at_limit = np.flatnonzero(-(value @ coefficients) < minimum + 1e-6 * max(1.0, minimum))
    active = np.unique(value[at_limit] / problem.scale, axis=0)
    count = len(coefficients)
    found = covariance(optimum.information, active) if optimum.information is not None else None
    matrices: dict[str, Floats] = {}
    if found is not None:
        matrices = {"classical": found.classical, **_sandwiches(problem, optimum, found)}
    errors = {name: found.errors(one) / problem.scale for name, one in matrices.items()} if found is not None else {}
    missing = np.full(count, np.nan)
    rows = []
    for i, name in enumerate(problem.features.names):
        numbers = [_number(errors.get(kind, missing)[i]) for kind in ("classical", "robust", "clustered")]
        note = _note(i, numbers[0], found, config)
        if numbers[0] is not None and numbers[0] * problem.scale[i] > _RUNAWAY:
            numbers = [None, None, None]
            note = "runs away: these routes (almost) never or always take it, so its size means nothing"
        rows.append(Coefficient(name, float(coefficients[i]), numbers[0], note, *numbers[1:]))
    certainty = {
        "bound_turns": len(at_limit),
        "num_free_parameters": found.rank if found is not None else None,
        "total_weight": problem.total_weight,
        "num_travellers": _num_travellers(problem.routes),
        "routes_digest": problem.routes.digest(config.planner.ending),
        "covariances": {name: _in_own_units(one, errors[name], problem.scale) for name, one in matrices.items()},
    }
    return tuple(rows), certainty


def _sandwiches(problem: _Problem, optimum: _Optimum, found: Covariance) -> dict[str, Floats]:
    """Robust covariances in scaled coefficients: per route, and by traveller where routes name theirs."""
    routes, coefficients = problem.routes, optimum.scaled / problem.scale
    value = problem.features.value
    if problem.planner.horizon != "infinity" or not isinstance(problem.batch, TripBatch):
        return {}
    if optimum.value_gradient is not None:
        scores = scores_of(routes, problem.batch, value, optimum.value_gradient)
    else:
        try:
            scores = route_scores(problem.planner, value, coefficients, routes, problem.batch)
        except _NO_VALUES:
            return {}
    scores = scores / problem.scale
    result = {"robust": found.sandwich(outer_product(scores, routes.weight))}
    if routes.traveller is not None and _num_travellers(routes):
        result["clustered"] = found.sandwich(clustered_outer_product(scores, routes.weight, routes.traveller))
    return result


def _num_travellers(routes: Demonstrations) -> int:
    return len(set(routes.traveller or ()) - {None})


def _note(column: int, error: float | None, found: Covariance | None, config: Config) -> str:
    if found is not None and not found.is_identified[column]:
        return "these routes do not tell it apart from other features (constant over the choices, or collinear)"
    if found is not None and found.is_bound[column]:
        return "bound by a constraint: some turn costs the minimum"
    return _no_error_note(config) if error is None else ""


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _in_own_units(scaled: Floats, errors: Floats, scale: Floats) -> list[list[float | None]]:
    """A covariance as rows of JSON, None where a feature has no standard error."""
    has_error = np.isfinite(errors)
    matrix = np.where(np.outer(has_error, has_error), scaled / np.outer(scale, scale), np.nan)
    return [[_number(one) for one in row] for row in matrix]
