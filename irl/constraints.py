"""Every turn keeps a positive cost: SLSQP under the constraints that an optimum breaks, added as they are found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import optimize

from ..core.errors import ConfigurationError, NotConvergedError
from ..core.types import Floats
from .problem import Problem

_MOST_ROUNDS = 50


def within_constraints(
    problem: Problem, scaled: Floats, on_step: Callable[[Floats], None]
) -> tuple[Floats, Floats, int]:
    """(scaled, cuts float64[C, F], rounds): SLSQP under the rows that are violated, until none is.

    Raises
    ------
    ConfigurationError
        No starting point makes every turn's cost positive.
    NotConvergedError
        New rows kept appearing.
    """
    rounds = 0
    cuts = np.zeros((0, len(scaled)))
    rows = _missing(problem, scaled, cuts)
    while len(rows):
        rounds += 1
        if rounds > _MOST_ROUNDS:
            raise NotConvergedError(residual=float(np.abs(rows @ scaled).max()), tolerance=0.0, num_sweeps=rounds)
        cuts = np.unique(np.concatenate([cuts, rows]), axis=0)
        scaled = _constrained(problem, scaled, cuts, on_step)
        rows = _missing(problem, scaled, cuts)
    return scaled, cuts, rounds


def kkt_residual(gradient: Floats, cuts: Floats, scaled: Floats, minimum_cost: float) -> float:
    """Largest component of the loss gradient that no non-negative combination of active constraints explains."""
    slack = -cuts @ scaled - minimum_cost
    active = cuts[slack < 1e-6 * max(1.0, minimum_cost)]
    if not len(active):
        return float(np.abs(gradient).max(initial=0.0))
    # Stationarity: gradient + sum of multipliers * (row of the cost constraint, negated) = 0 with multipliers >= 0.
    multipliers, _ = optimize.nnls(-active.T, gradient)
    return float(np.abs(gradient + active.T @ multipliers).max())


def largest_residual(problem: Problem) -> float:
    """The KKT residual up to which training counts as converged."""
    return max(1e-4, 10 * problem.config.training.gradient_tolerance)


def _missing(problem: Problem, scaled: Floats, cuts: Floats) -> Floats:
    """Constraints to add, float64[V, F]: those broken here, or those that kept shortening the steps towards an optimum.

    The latter at finite horizons only, where a step that breaks positivity is never evaluated: an optimiser that stops
    short of a stationary point is started again along the constraints it ran into.
    """
    rows = problem.violated(scaled)
    if len(rows) or not len(problem.outside):
        return rows
    residual = kkt_residual(problem.objective(scaled)[1], cuts, scaled, problem.config.reward.minimum_cost)
    known = np.unique(np.concatenate([cuts, problem.outside]), axis=0)
    is_new = len(known) > len(cuts)
    return problem.outside if is_new and residual > largest_residual(problem) else rows


def _constrained(problem: Problem, scaled: Floats, cuts: Floats, on_step: Callable[[Floats], None]) -> Floats:
    """SLSQP under ``-cuts @ scaled >= minimum_cost``, from a point that satisfies it."""
    minimum = problem.config.reward.minimum_cost * (1 + 1e-7)
    constraint = {"type": "ineq", "fun": lambda x: -cuts @ x - minimum, "jac": lambda x: -cuts}
    start = _pulled_inside(problem, scaled, cuts, minimum)
    problem.forget()
    options = {"maxiter": problem.config.training.max_iterations, "ftol": 1e-14}
    found = optimize.minimize(
        problem.objective, start, jac=True, method="SLSQP", constraints=[constraint], callback=on_step, options=options
    )
    return np.asarray(found.x)


def _pulled_inside(problem: Problem, scaled: Floats, cuts: Floats, minimum: float) -> Floats:
    """The nearest mixture with a safe base cost that meets the constraints and has values."""
    is_usable = problem.features.range.minimum >= 0
    safe = -is_usable.astype(np.float64) * max(1.0, float(np.abs(scaled).max()))
    for share in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0):
        point = (1 - share) * scaled + share * safe
        if (-cuts @ point >= minimum).all() and problem.loss_or_none(point) is not None:
            return np.asarray(point)
    raise ConfigurationError(
        where="[reward] features",
        problem="no starting point makes every turn's cost positive; add 'constant' to the features",
    )
