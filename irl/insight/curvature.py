"""The penalised likelihood around a model's parameters: slopes of every route, and the inverse of the Hessian.

Parameters are those of `Reward`: of the linear part scaled, so that all are of one magnitude.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from ...core.errors import ConfigurationError
from ...core.types import Floats
from ..batches import make_batch
from ..demonstrations import Demonstrations
from ..estimates import turns_at_minimum
from ..inference import covariance, route_scores, scores_of
from ..lbfgs import begin, iterate
from ..likelihood import route_log_probabilities
from ..model import LearnedModel
from ..optimisers import curvature, maximise
from ..planner import Planner
from ..problem import Problem
from ..progress import Watch
from ..rewards.building import reward_of
from ..rewards.objective import PenalisedLoss
from ..rewards.parts import LinearPart
from ..rewards.reward import Reward
from ..trips import TripBatch

_log = logging.getLogger(__name__)
_STEP = 1e-4
"""Of the largest parameter, in central differences: truncation and rounding both stay near 1e-8."""
_TOLERANCE = 1e-6
_MOST_PRODUCTS = 2000
_FIRST_DAMPING = 1e-2
_MOST_ITERATIONS = 2000

Progress = Callable[[int, float], None]
"""Called with the products with the Hessian up to now, and the damping that is being tried."""


@dataclass(frozen=True, eq=False)
class Solution:
    """The inverse of the Hessian, or of the Hessian plus a damping, times a vector."""

    direction: Floats
    """float64[P]."""
    damping: float = 0.0
    """Added to every eigenvalue, in nats: as if all L2 penalties were larger by so much. 0 where H is positive."""
    num_products: int = 0
    """Products with the Hessian, two gradients each; 0 where it was at hand."""
    residual: float = 0.0
    """Of the linear system, relative."""


class Curvature(Protocol):
    """The penalised negative log-likelihood of a model's routes, in nats, around its parameters."""

    reward: Reward
    parameters: Floats
    """float64[P], where the model stands."""

    def gradient(self) -> Floats:
        """float64[P], of the penalised negative log-likelihood; 0 at its optimum."""

    def solve(self, right: Floats, progress: Progress | None = None) -> Solution:
        """The inverse of its Hessian times float64[P]."""

    def slopes(self, direction: Floats) -> Floats:
        """float64[R]: how fast the log-probability of every route rises along float64[P]; no weights."""

    def route_gradient(self, route: Demonstrations) -> Floats:
        """float64[P]: the gradient of the log-probability of a single route."""

    def route_log_probability(self, route: Demonstrations, parameters: Floats) -> float:
        """That of a single route under any parameters."""

    def is_free(self, column: int) -> bool:
        """Whether the routes say anything of a parameter, and no constraint holds it."""

    def refit(self, rest: Demonstrations) -> Floats:
        """float64[P]: the optimum for other routes, from the model's parameters on."""


def curvature_of(model: LearnedModel, routes: Demonstrations) -> Curvature:
    """What `Curvature` says, for the routes that a model was learned from.

    Parameters
    ----------
    routes
        Those that the ending allows: `Demonstrations.for_ending`.

    Raises
    ------
    ConfigurationError
        The model has a reward per region or several members, was trained at horizon 0, or stands where its likelihood
        has no Hessian.
    """
    reward, members = reward_of(model)
    if model.horizon == 0:
        raise ConfigurationError(where="influence", problem="horizon 0 has no likelihood, so nothing to differentiate")
    if len(members) > 1:
        raise ConfigurationError(
            where="influence",
            problem=f"this model is an ensemble of {len(members)} members, each learned from other routes drawn from "
            "these; train one with [reward] members = 1",
        )
    if reward.is_plain:
        return LinearCurvature(model, reward, members[0], routes)
    return SampledCurvature(model, reward, members[0], routes)


class LinearCurvature:
    """Of a plain linear reward: the exact Hessian where the factorisation serves, by differences elsewhere.

    Where turns sit at the minimum cost, parameters can move along those constraints only.
    """

    def __init__(self, model: LearnedModel, reward: Reward, parameters: Floats, routes: Demonstrations) -> None:
        linear = reward.parts[0]
        assert isinstance(linear, LinearPart)  # what plain means
        self.reward, self.parameters = reward, parameters
        self._model, self._routes, self._features = model, routes, linear.features
        self._problem = Problem(model.network, routes, linear.features, model.config)
        self._planner = self._problem.planner
        information, value_gradient = curvature(self._problem, parameters)
        if information is None:
            raise ConfigurationError(
                where="influence", problem="the likelihood is not smooth or not concave where this model stands"
            )
        active = linear.features.rows(turns_at_minimum(self._problem, parameters)) / self._problem.scale
        self._covariance = covariance(information, np.unique(active, axis=0))
        self._scores: Floats | None = None
        if isinstance(self._problem.batch, TripBatch) and self._planner.horizon == "infinity":
            batch = self._problem.batch
            if value_gradient is not None:
                scores = scores_of(routes, batch, linear.features, value_gradient)
            else:
                coefficients = parameters / self._problem.scale
                scores = route_scores(self._planner, linear.features, coefficients, routes, batch)
            self._scores = scores / self._problem.scale

    def gradient(self) -> Floats:
        """See `Curvature`."""
        return self._problem.loss(self.parameters)[1] * self._problem.total_weight

    def solve(self, right: Floats, progress: Progress | None = None) -> Solution:
        """See `Curvature`. O(F^2)."""
        return Solution(np.asarray(self._covariance.classical @ right))

    def slopes(self, direction: Floats) -> Floats:
        """See `Curvature`. At a finite horizon two log-likelihoods, else O(R F)."""
        if self._scores is not None:
            return np.asarray(self._scores @ direction)
        return _slopes(self._log_probabilities, self.parameters, direction)

    def route_gradient(self, route: Demonstrations) -> Floats:
        """See `Curvature`."""
        scale, batch = self._problem.scale, make_batch(route, self._planner.config)
        found = self._planner.linear_log_likelihood(self._features, self.parameters / scale, batch)
        return np.asarray(found[1] / (scale * route.weight.sum()))

    def route_log_probability(self, route: Demonstrations, parameters: Floats) -> float:
        """See `Curvature`."""
        batch = route.batch(self._model.ending)
        return float(route_log_probabilities(self._planner, self._problem.reward(parameters), route, batch)[0])

    def is_free(self, column: int) -> bool:
        """See `Curvature`."""
        return bool(self._covariance.is_identified[column] and not self._covariance.is_bound[column])

    def refit(self, rest: Demonstrations) -> Floats:
        """See `Curvature`: what training does, started from the model."""
        problem = Problem(self._model.network, rest, self._features, self._model.config)
        return maximise(problem, self.parameters, Watch(problem, None, "")).scaled

    def _log_probabilities(self, parameters: Floats) -> Floats:
        batch = self._routes.batch(self._model.ending)
        return route_log_probabilities(self._planner, self._problem.reward(parameters), self._routes, batch)


class SampledCurvature:
    """Of a reward with many parameters: products with the Hessian are differences of the exact gradient.

    Systems are solved by conjugate gradients (Hestenes & Stiefel 1952; for influence: Koh & Liang 2017), which need
    curvature that is positive in every direction that they meet. Where it is not, they start again with a damping, ten
    times as large each time.
    """

    def __init__(self, model: LearnedModel, reward: Reward, parameters: Floats, routes: Demonstrations) -> None:
        self.reward, self.parameters = reward, parameters
        self._model, self._routes = model, routes
        self._planner = Planner(model.network.turns, model.config.planner, edge_id=model.network.graph.edge_id)
        self._loss = self._loss_of(routes)
        self._batch = routes.batch(model.ending)

    def gradient(self) -> Floats:
        """See `Curvature`."""
        return self._loss(self.parameters)[1] * self._loss.total_weight

    def solve(self, right: Floats, progress: Progress | None = None) -> Solution:
        """See `Curvature`. A product costs two gradients; some tens to hundreds are needed."""
        damping, count = 0.0, 0
        while True:
            try:
                return self._conjugate_gradients(right, damping, count, progress)
            except _NegativeCurvatureError as stop:
                count = stop.num_products
                damping = max(10 * damping, _FIRST_DAMPING)
                _log.info("curvature is negative in a direction; damping %g nats", damping)

    def slopes(self, direction: Floats) -> Floats:
        """See `Curvature`. Two log-likelihoods of all routes."""
        return _slopes(self._log_probabilities, self.parameters, direction)

    def route_gradient(self, route: Demonstrations) -> Floats:
        """See `Curvature`."""
        return self._loss_of(route).log_likelihood(self.parameters)[1] / float(route.weight.sum())

    def route_log_probability(self, route: Demonstrations, parameters: Floats) -> float:
        """See `Curvature`."""
        reward, batch = -self.reward.cost(parameters), route.batch(self._model.ending)
        return float(route_log_probabilities(self._planner, reward, route, batch)[0])

    def is_free(self, column: int) -> bool:
        """See `Curvature`: a penalty holds whatever the routes do not tell."""
        return True

    def refit(self, rest: Demonstrations) -> Floats:
        """See `Curvature`: L-BFGS to convergence, with the model's own corrections, whoever now supports them."""
        loss = self._loss_of(rest)
        first = begin(loss.or_none, self.parameters)
        assert first is not None  # the model has values here, and they do not depend on the routes
        state = first
        for state in iterate(loss.or_none, first, loss.stiffness):
            size = float(np.abs(state.gradient).max(initial=0.0))
            if size <= self._model.config.training.gradient_tolerance or state.iteration >= _MOST_ITERATIONS:
                break
        return state.point

    def _loss_of(self, routes: Demonstrations) -> PenalisedLoss:
        return PenalisedLoss(self.reward, routes, self._model.config.planner, self._planner)

    def _product(self, direction: Floats) -> Floats:
        step = _STEP / max(float(np.abs(direction).max()), 1e-300)
        high, low = (self._loss(self.parameters + sign * step * direction)[1] for sign in (1, -1))
        return np.asarray((high - low) * (self._loss.total_weight / (2 * step)))

    def _conjugate_gradients(
        self, right: Floats, damping: float, num_products: int, progress: Progress | None
    ) -> Solution:
        size = max(float(np.linalg.norm(right)), 1e-300)
        count = num_products

        def product(direction: Floats) -> Floats:
            nonlocal count
            flat = direction.reshape(-1)
            if not flat.any():
                return np.zeros_like(flat)
            count += 1
            found = self._product(flat) + damping * flat
            if float(flat @ found) <= 0:
                raise _NegativeCurvatureError(count)
            return found

        def look(at: Floats) -> None:
            if progress is not None:
                progress(count, damping)

        operator = LinearOperator((len(right), len(right)), matvec=product, dtype=np.float64)
        found, _ = cg(operator, right, rtol=_TOLERANCE, maxiter=_MOST_PRODUCTS, callback=look)
        residual = float(np.linalg.norm(product(found) - right)) / size
        return Solution(np.asarray(found), damping, count, residual)

    def _log_probabilities(self, parameters: Floats) -> Floats:
        return route_log_probabilities(self._planner, -self.reward.cost(parameters), self._routes, self._batch)


class _NegativeCurvatureError(Exception):
    """Conjugate gradients met a direction along which the loss curves down; carries the products done so far."""

    def __init__(self, num_products: int) -> None:
        super().__init__()
        self.num_products = num_products


def _slopes(log_probabilities: Callable[[Floats], Floats], at: Floats, direction: Floats) -> Floats:
    """Central differences along a direction, of functions whose values are exact."""
    size = float(np.abs(direction).max(initial=0.0))
    if size == 0.0:
        return np.zeros_like(log_probabilities(at))
    step = _STEP / size
    return (log_probabilities(at + step * direction) - log_probabilities(at - step * direction)) / (2 * step)
