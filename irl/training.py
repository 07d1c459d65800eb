"""Fit a reward by maximum likelihood; every step stays where values exist, every turn keeps a positive cost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize

from ..core.config import Config
from ..core.errors import (
    ConfigurationError,
    InfeasibleRewardError,
    NonPositiveCostError,
    NotConvergedError,
)
from ..core.types import Floats
from ..graphs.road_graph import RoadNetwork
from .baselines import tune_baselines
from .batches import make_batch
from .bundle import minimise
from .checkpoints import Checkpoint
from .demonstrations import Demonstrations, require_network
from .feasibility import factorise
from .features import Features, make_features
from .inference import hessian, standard_errors
from .likelihood import log_likelihood
from .model import Coefficient, LearnedModel, entry_costs
from .planner import Planner
from .trips import Batch

_log = logging.getLogger(__name__)
_OUTSIDE = (InfeasibleRewardError, NotConvergedError, NonPositiveCostError)
"""What the planner says of a reward outside the feasible set; the last at finite horizons, which need a best path."""


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
    One likelihood and gradient per evaluation, about 1.1 evaluations per iteration; 2 F more for standard errors.
    """
    config = config or Config()
    started = time.perf_counter()
    require_network(demonstrations, network.checksum, "the set of demonstrations")
    routes = demonstrations.for_ending(config.planner.ending)
    features = make_features(network, config.reward.features)
    problem = _Problem(network, routes, features, config)
    coefficients, information, outcome = _maximise(problem, config, progress, resume)
    estimates, binding = _estimates(problem, features, coefficients, information, config)
    reward = features.value @ coefficients
    turn_cost = np.maximum(-reward, config.reward.minimum_cost)
    baselines, tuned = tune_baselines(network, routes, config)
    value, _ = problem.evaluate(coefficients)
    summary = {
        **_fit_summary(value, problem.total_weight, config),
        "num_routes": len(routes),
        "skipped": routes.skipped_by_reason,
        "routes_source": routes.source,
        "network_source": network.report.get("source", ""),
        "solver": problem.planner.last_solver,
        **outcome,
        "bound_turns": binding,
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
        self.features = features
        self.network_checksum = network.checksum
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
        so it is interpolated away from and never accepted.
        """
        try:
            value, gradient = self.evaluate(scaled / self.scale)
        except _OUTSIDE as error:
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
        return loss, -gradient / (self.total_weight * self.scale)

    def scaled_gradient(self, scaled: Floats) -> Floats:
        """Gradient of the log-likelihood in scaled coefficients; raises outside the feasible set."""
        return self.evaluate(scaled / self.scale)[1] / self.scale


def _maximise(
    problem: _Problem, config: Config, progress: Progress | None, resume: Checkpoint | None
) -> tuple[Floats, Floats | None, dict[str, object]]:
    """L-BFGS-B and a last Newton step; where turns end up with a positive reward, SLSQP under those constraints.

    Returns
    -------
    (coefficients, information, outcome)
        float64[F] in the features' own units; minus the Hessian in scaled coefficients, float64[F, F], or None at the
        edge of the feasible set.
    """
    start = resume.coefficients if resume is not None else _start(problem, config)
    watch = _Watch(problem, config, progress, first_iteration=resume.iteration if resume else 0)
    if config.planner.horizon == 0:
        return _minimise_margin(problem, start * problem.scale, config, watch)
    # Below a relative change of 1e-11 the loss is rounding noise: the Newton step goes the rest of the way.
    options = {"maxiter": config.training.max_iterations, "gtol": config.training.gradient_tolerance, "ftol": 1e-11}
    found = optimize.minimize(
        problem.objective, start * problem.scale, jac=True, method="L-BFGS-B", callback=watch, options=options
    )
    scaled, rounds = found.x, 0
    cuts = np.zeros((0, len(scaled)))
    rows = _missing(problem, scaled, cuts, config)
    while len(rows):
        rounds += 1
        if rounds > 50:
            raise NotConvergedError(residual=float(np.abs(rows @ scaled).max()), tolerance=0.0, num_sweeps=rounds)
        cuts = np.unique(np.concatenate([cuts, rows]), axis=0)
        scaled = _constrained(problem, scaled, cuts, config, watch)
        rows = _missing(problem, scaled, cuts, config)
    information = _information(problem, scaled)
    if information is not None and not rounds:
        scaled = _newton_step(problem, scaled, information, config.reward.minimum_cost)
    _, gradient = problem.objective(scaled)
    residual = _kkt_residual(gradient, cuts, scaled, config.reward.minimum_cost)
    is_converged = residual <= max(1e-4, 10 * config.training.gradient_tolerance)
    if not is_converged:
        _log.warning(
            "training stopped at a gradient of %.2g after %d iterations (%s)", residual, watch.iteration, found.message
        )
    outcome: dict[str, object] = {
        "iterations": watch.iteration,
        "evaluations": problem.num_evaluations,
        "kkt_residual": residual,
        "is_converged": bool(is_converged),
        "constraint_rounds": rounds,
    }
    return scaled / problem.scale, information, outcome


def _minimise_margin(
    problem: _Problem, start: Floats, config: Config, watch: _Watch
) -> tuple[Floats, Floats | None, dict[str, object]]:
    """Horizon 0, whose loss has kinks: a bundle method instead of L-BFGS, positive costs at every step."""
    tolerance = max(1e-4, config.training.gradient_tolerance)
    found = minimise(
        problem.objective,
        start,
        violated=lambda scaled: _violated(problem, scaled, config.reward.minimum_cost),
        minimum=config.reward.minimum_cost,
        tolerance=tolerance,
        max_steps=config.training.max_iterations,
        on_step=watch,
    )
    is_converged = found.gap <= tolerance * (1 + abs(found.value))
    if not is_converged:
        _log.warning("training stopped %.2g above the planes' minimum after %d steps", found.gap, found.steps)
    outcome: dict[str, object] = {
        "iterations": watch.iteration,
        "evaluations": problem.num_evaluations,
        "kkt_residual": found.gap,
        "is_converged": is_converged,
        "constraint_rounds": 0,
    }
    return found.point / problem.scale, None, outcome


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


def _information(problem: _Problem, scaled: Floats) -> Floats | None:
    """Minus the Hessian by differences; None where a step leaves the feasible set.

    At a finite horizon the loss has kinks where best paths change; differences average over those that they cross.
    Where they leave no maximum, there is no information either.
    """
    try:
        information = -hessian(problem.scaled_gradient, scaled)
    except _OUTSIDE:
        return None
    is_finite_horizon = problem.planner.horizon != "infinity"
    if is_finite_horizon and linalg.eigvalsh(information)[0] < -1e-6 * float(np.abs(information).max()):
        return None
    return information


def _newton_step(problem: _Problem, scaled: Floats, information: Floats, minimum_cost: float) -> Floats:
    """One step with the Hessian that the standard errors need anyway, kept only if the gradient shrinks.

    It takes the gradient to rounding, so that the estimate does not depend on where L-BFGS happened to stop.
    """
    try:
        before = problem.scaled_gradient(scaled)
        moved = scaled + linalg.pinvh(information, rtol=1e-9) @ before
        after = problem.scaled_gradient(moved)
    except _OUTSIDE:
        return scaled
    is_better = np.abs(after).max() < np.abs(before).max() and not len(_violated(problem, moved, minimum_cost))
    return np.asarray(moved) if is_better else scaled


class _Watch:
    """Optimiser callback: counts, reports, carries the checkpoint."""

    def __init__(self, problem: _Problem, config: Config, progress: Progress | None, first_iteration: int) -> None:
        self._problem, self._config, self._progress = problem, config, progress
        self._started = time.perf_counter()
        self.iteration = first_iteration

    def __call__(self, scaled: Floats) -> None:
        self.iteration += 1
        if self._progress is None:
            return
        before = self._problem.num_evaluations
        loss, gradient = self._problem.objective(scaled)
        self._problem.num_evaluations = before  # the bar's own look is not counted as work of the optimiser
        seconds = time.perf_counter() - self._started
        checkpoint = Checkpoint(
            self._problem.network_checksum,
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
                before * self._problem.num_routes / max(seconds, 1e-9),
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
    options = {"maxiter": config.training.max_iterations, "ftol": 1e-14}
    found = optimize.minimize(
        problem.objective, start, jac=True, method="SLSQP", constraints=[constraint], callback=watch, options=options
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
            except _OUTSIDE:
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


def _estimates(
    problem: _Problem, features: Features, coefficients: Floats, information: Floats | None, config: Config
) -> tuple[tuple[Coefficient, ...], int]:
    """Coefficients with standard errors, and how many turns sit at the minimum cost."""
    cost = -(features.value @ coefficients)
    at_limit = np.flatnonzero(cost < config.reward.minimum_cost + 1e-6 * max(1.0, config.reward.minimum_cost))
    active = np.unique(features.value[at_limit] / problem.scale, axis=0)
    if information is None:
        errors, is_identified = np.full(len(coefficients), np.nan), np.ones(len(coefficients), bool)
    else:
        errors, is_identified = standard_errors(information, active)
    is_bound = np.any(active != 0, axis=0)
    rows = []
    for i, name in enumerate(features.names):
        error = float(errors[i] / problem.scale[i])
        note = "" if np.isfinite(error) else _no_error_note(config)
        if is_bound[i]:
            note = "bound by a constraint: some turn costs the minimum"
        if not is_identified[i]:
            note = "these routes do not tell it apart from other features (constant over the choices, or collinear)"
        rows.append(Coefficient(name, float(coefficients[i]), error if np.isfinite(error) else None, note))
    return tuple(rows), len(at_limit)
