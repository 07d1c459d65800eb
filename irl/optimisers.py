"""Which method finds the optimum, and how sure the end of its path is."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize

from ..core.types import Floats
from .adam import minimise as minimise_by_adam
from .bundle import minimise as minimise_with_kinks
from .constraints import kkt_residual, largest_residual, within_constraints
from .inference import hessian
from .newton import minimise, minimise_from, newton_step
from .problem import NO_VALUES, Problem
from .progress import Watch
from .trips import TripBatch

_log = logging.getLogger(__name__)
_LARGEST_NEWTON = 30
"""Features up to which Newton's method is used: its evaluations cost F + 2 solves, those of L-BFGS-B two."""
_SMALL_DECREMENT = 1e-6
"""Newton's method ends where its next step is below a thousandth of a standard error in every direction."""
_WARM_UP = 8
"""One destination in so many, those that most routes go to, serves to find a start, which costs that much less."""
_SMALLEST_WARM_UP = 16
"""Destinations that a warm-up needs at least."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where training ended."""

    scaled: Floats
    """float64[F], scaled coefficients."""
    loss: float
    """Mean negative log-likelihood per route; at horizon 0 the margin loss."""
    information: Floats | None
    """float64[F, F], minus the Hessian of the log-likelihood in scaled coefficients; None where there is none."""
    value_gradient: Floats | None
    """float64[P, F], dV/dtheta of every trip in the features' own units, where the factorisation served."""
    outcome: dict[str, object]
    """What the summary says about the search."""


def maximise(problem: Problem, start: Floats, watch: Watch) -> Optimum:
    """The maximum-likelihood coefficients by the configured method.

    ``auto`` takes Newton's method, L-BFGS-B where that cannot serve, and a bundle method at horizon 0. Where turns end
    up with a positive reward, SLSQP goes on under those constraints.

    Parameters
    ----------
    start
        float64[F], scaled coefficients under which values exist.

    Raises
    ------
    InfeasibleRewardError, NotConvergedError, UnderflowError, NonPositiveCostError
        The start has no values.
    ConfigurationError
        No starting point makes every turn's cost positive.
    """
    config = problem.config
    if config.planner.horizon == 0 and config.training.method == "auto":
        return _minimise_margin(problem, start, watch)
    scaled, method = _unconstrained(problem, start, watch)
    scaled, cuts, rounds = within_constraints(problem, scaled, watch.look)
    information, value_gradient = curvature(problem, scaled)
    if information is not None and not rounds:
        found, loss, gradient = _polished(problem, scaled, information)
        if (found - scaled) @ information @ (found - scaled) > _SMALL_DECREMENT:  # Adam ends so far away
            information, value_gradient = curvature(problem, found)
        scaled = found
    else:
        loss, gradient = problem.objective(scaled)
    residual = kkt_residual(gradient, cuts, scaled, config.reward.minimum_cost)
    is_converged = residual <= largest_residual(problem)
    if not is_converged:
        _log.warning("training stopped at a gradient of %.2g after %d iterations", residual, watch.iteration)
    outcome = _outcome(problem, watch, "SLSQP" if rounds else method, residual, is_converged, rounds)
    return Optimum(scaled, loss, information, value_gradient, outcome)


def _outcome(
    problem: Problem, watch: Watch, method: str, residual: float, is_converged: bool, rounds: int
) -> dict[str, object]:
    return {
        "method": method,
        "iterations": watch.iteration,
        "evaluations": problem.num_evaluations,
        "kkt_residual": residual,
        "is_converged": is_converged,
        "is_out_of_iterations": not is_converged and watch.iteration >= problem.config.training.max_iterations,
        "constraint_rounds": rounds,
    }


def _unconstrained(problem: Problem, scaled: Floats, watch: Watch) -> tuple[Floats, str]:
    """(scaled optimum without the constraints on signs, the method that found it)."""
    wanted, has_few = problem.config.training.method, len(scaled) <= _LARGEST_NEWTON
    if wanted == "adam":
        return _by_adam(problem, scaled, watch)
    has_hessian = isinstance(problem.batch, TripBatch) and not problem.planner.uses_corridors
    if wanted in ("newton", "bhhh") or (wanted == "auto" and has_hessian and has_few):
        scaled, is_done = _by_newton(problem, scaled, watch)
        name = "BHHH" if wanted == "bhhh" else "Newton"
        if is_done:
            return scaled, name
        _log.info("%s stopped after %d iterations; L-BFGS-B goes on", name, watch.iteration)
    # Below a relative change of 1e-11 the loss is rounding noise: `_polished` goes the rest of the way.
    training = problem.config.training
    options = {"maxiter": training.max_iterations, "gtol": training.gradient_tolerance, "ftol": 1e-11}
    end = optimize.minimize(
        problem.objective, scaled, jac=True, method="L-BFGS-B", callback=watch.look, options=options
    )
    return np.asarray(end.x), "L-BFGS-B"


def _by_newton(problem: Problem, scaled: Floats, watch: Watch) -> tuple[Floats, bool]:
    """(scaled, whether there is nothing left to do) by Newton's method, or BHHH, which differs in its matrix alone."""
    training = problem.config.training
    is_bhhh = training.method == "bhhh"
    if not is_bhhh and problem.num_destinations >= _SMALLEST_WARM_UP * _WARM_UP:
        scaled = _warm_up(problem, scaled, training.max_iterations, watch)
    found = minimise(
        problem.score_order if is_bhhh else problem.second_order,
        scaled,
        small_decrement=_SMALL_DECREMENT / problem.total_weight,
        gradient_tolerance=1e-12,
        max_iterations=training.max_iterations,
        callback=watch,
    )
    return found.point, found.is_converged or watch.iteration >= training.max_iterations


def _by_adam(problem: Problem, scaled: Floats, watch: Watch) -> tuple[Floats, str]:
    training = problem.config.training
    is_whole = not 0 < training.batch_destinations < problem.num_destinations
    parts = [problem] if is_whole else problem.mini_batches(training.batch_destinations, training.seed)
    found = minimise_by_adam(
        lambda k, point: parts[k].loss_or_none(point),
        scaled,
        shares=[part.total_weight / problem.total_weight for part in parts],
        learning_rate=training.learning_rate,
        gradient_tolerance=training.gradient_tolerance,
        max_passes=training.max_iterations,
        seed=training.seed,
        callback=watch,
    )
    for part in parts if not is_whole else []:
        problem.outside = np.unique(np.concatenate([problem.outside, part.outside]), axis=0)
    return found.point, "Adam" if is_whole else f"Adam on {len(parts)} mini-batches"


def _warm_up(problem: Problem, scaled: Floats, max_iterations: int, watch: Watch) -> Floats:
    """Newton's method on a part of the destinations, until its own sampling error; then BFGS with the part's Hessian.

    An evaluation of the Hessian costs (F + 2) / 2 times one of the gradient: this way the whole needs it once or twice.
    """
    part = problem.part(_WARM_UP)
    found = minimise(
        part.second_order, scaled, small_decrement=0.1 / part.total_weight, gradient_tolerance=1e-12, max_iterations=50
    )
    _log.info("warm-up on %d of the %d routes", part.num_routes, problem.num_routes)
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


def _minimise_margin(problem: Problem, start: Floats, watch: Watch) -> Optimum:
    """Horizon 0, whose loss has kinks: a bundle method instead of L-BFGS, positive costs at every step."""
    config = problem.config
    tolerance = max(1e-4, config.training.gradient_tolerance)
    found = minimise_with_kinks(
        problem.objective,
        start,
        violated=problem.violated,
        minimum=config.reward.minimum_cost,
        tolerance=tolerance,
        max_steps=config.training.max_iterations,
        on_step=watch.look,
    )
    is_converged = found.gap <= tolerance * (1 + abs(found.value))
    if not is_converged:
        _log.warning("training stopped %.2g above the planes' minimum after %d steps", found.gap, found.steps)
    outcome = _outcome(problem, watch, "bundle", found.gap, is_converged, 0)
    outcome["is_out_of_iterations"] = not is_converged and found.steps >= config.training.max_iterations
    return Optimum(found.point, found.value, None, None, outcome)


def curvature(problem: Problem, scaled: Floats) -> tuple[Floats | None, Floats | None]:
    """(information, dV/dtheta per trip), exact where the factorisation serves, else by differences; or None.

    At a finite horizon the loss has kinks where best paths change; differences average over those that they cross.
    Where they leave no maximum, there is no information either. At horizon 0 there is no likelihood.
    """
    if problem.planner.horizon == 0:
        return None, None
    point = problem.second_order(scaled)
    if point is not None:
        return point.hessian * problem.total_weight, problem.value_gradient(scaled)
    try:
        information = hessian(lambda at: problem.loss(at)[1] * problem.total_weight, scaled)
    except NO_VALUES:
        return None, None
    is_finite_horizon = problem.planner.horizon != "infinity"
    if is_finite_horizon and linalg.eigvalsh(information)[0] < -1e-6 * float(np.abs(information).max()):
        return None, None
    return information, None


def _polished(problem: Problem, scaled: Floats, information: Floats) -> tuple[Floats, float, Floats]:
    """(scaled, loss, gradient) after a few steps with the Hessian at hand, each kept only if the gradient shrinks.

    They take the gradient to rounding, so that the estimate does not depend on where the optimiser happened to stop.
    After Newton's method they are below a thousandth of a standard error, and the Hessian need not follow them.
    """
    point = problem.second_order(scaled)
    loss, gradient = (point.loss, point.gradient) if point is not None else problem.objective(scaled)
    for _ in range(4):
        if np.abs(gradient).max(initial=0.0) <= 1e-10:
            break
        moved = scaled + newton_step(information / problem.total_weight, gradient)
        found = problem.loss_or_none(moved)
        if found is None or np.abs(found[1]).max() >= np.abs(gradient).max() or len(problem.violated(moved)):
            break
        scaled, (loss, gradient) = moved, found
    return scaled, loss, gradient
