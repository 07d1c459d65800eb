"""Coefficients with their standard errors, or the reason why one has none."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.config import Config
from ..core.types import Floats, Ids
from .demonstrations import Demonstrations
from .inference import Covariance, clustered_outer_product, covariance, outer_product, route_scores, scores_of
from .model import Coefficient
from .optimisers import Optimum
from .problem import NO_VALUES, Problem
from .trips import TripBatch

_RUNAWAY = 50.0
"""Standard error in scaled coefficients (where 1 is a whole nat per typical turn) beyond which there is no estimate."""


def estimates(problem: Problem, optimum: Optimum) -> tuple[tuple[Coefficient, ...], dict[str, Any]]:
    """Coefficients with standard errors, and what the summary says about their certainty."""
    features, coefficients = problem.features, optimum.scaled / problem.scale
    config = problem.config
    at_limit = turns_at_minimum(problem, optimum.scaled)
    active = np.unique(features.rows(at_limit) / problem.scale, axis=0)
    count = len(coefficients)
    found = covariance(optimum.information, active) if optimum.information is not None else None
    matrices: dict[str, Floats] = {}
    if found is not None:
        matrices = {"classical": found.classical, **_sandwiches(problem, optimum, found)}
    errors = {name: found.errors(one) / problem.scale for name, one in matrices.items()} if found is not None else {}
    missing = np.full(count, np.nan)
    rows = []
    for i, name in enumerate(features.names):
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


def turns_at_minimum(problem: Problem, scaled: Floats) -> Ids:
    """int64, the turns whose cost is the minimum: constraints that are active there."""
    minimum = problem.config.reward.minimum_cost
    return np.flatnonzero(-problem.reward(scaled) < minimum + 1e-6 * max(1.0, minimum))


def _no_error_note(config: Config) -> str:
    """Why no coefficient has a standard error."""
    if config.planner.horizon == 0:
        return "horizon 0 has no likelihood"
    if config.planner.horizon == "infinity":
        return "at the edge of the rewards that have values"
    return "the likelihood is not smooth or not concave here"


def _sandwiches(problem: Problem, optimum: Optimum, found: Covariance) -> dict[str, Floats]:
    """Robust covariances in scaled coefficients: per route, and by traveller where routes name theirs."""
    routes, coefficients = problem.routes, optimum.scaled / problem.scale
    if problem.planner.horizon != "infinity" or not isinstance(problem.batch, TripBatch):
        return {}
    if optimum.value_gradient is not None:
        scores = scores_of(routes, problem.batch, problem.features, optimum.value_gradient)
    else:
        try:
            scores = route_scores(problem.planner, problem.features, coefficients, routes, problem.batch)
        except NO_VALUES:
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
