"""What the solvers compute, as functions that JAX differentiates and compiles: for rewards that are made in JAX.

A solver answers with a value and its gradient in the reward at once. JAX is told that gradient as the reverse rule
(``custom_vjp``), and calls the solver from inside compiled code, on the CPU: an LU, corridors, a recursion.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback

from ..core.errors import TroddenError
from ..core.types import Floats
from .planner import Planner
from .trips import Batch, TripBatch

_Array = Any
"""A jax array; shapes stand in docstrings."""
_P = ParamSpec("_P")
_R = TypeVar("_R")


class SolvedFunction:
    """A function of the reward, array[T], that something outside JAX computes: to be called, jitted, differentiated.

    The value and the gradient come from one call, in float64; both are rounded to the reward's dtype, so that a reward
    in float64 needs ``jax.enable_x64(True)`` around its making. Only first derivatives, in reverse.

    Parameters
    ----------
    objective
        Takes a reward, float64[T], to (value, gradient float64[T]).
    """

    def __init__(self, objective: Callable[[Floats], tuple[float, Floats]]) -> None:
        self._objective = objective
        self._refusal: TroddenError | None = None
        self._value = jax.custom_vjp(lambda reward: self._solved(reward)[0])
        self._value.defvjp(self._solved, lambda gradient, cotangent: (cotangent * gradient,))

    def __call__(self, reward: _Array) -> _Array:
        """The value, an array[] of the reward's dtype; errors of the solver as JAX's own, but see `raising`."""
        return self._value(reward)

    def raising(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """A function that calls this one somewhere, made to raise what the solver raised.

        To go around what is jitted: ``step = objective.raising(jax.jit(jax.value_and_grad(loss)))``. An error that
        passes through compiled code comes out as JAX's, which has lost its type. The function made waits for the
        result, since errors come with it.
        """
        ready: Callable[[_R], _R] = jax.block_until_ready

        @functools.wraps(function)
        def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            self._refusal = None
            try:
                return ready(function(*args, **kwargs))
            except (jax.errors.JaxRuntimeError, ValueError):  # compiled; called op by op
                if self._refusal is None:
                    raise
                raise self._refusal from None

        return called

    def _solved(self, reward: _Array) -> tuple[_Array, _Array]:
        reward = jnp.asarray(reward)
        shapes = np.zeros((), reward.dtype), reward
        # Not pure_callback: it converts in a thread of XLA's, where float64 may be off, and waits for ever for large
        # arrays where that thread is the only one.
        value, gradient = buffer_callback(self._solve, shapes, vmap_method="sequential")(reward)
        return value, gradient

    def _solve(self, _: Any, answer: tuple[Any, Any], reward: Any) -> None:
        try:
            value, gradient = self._objective(np.asarray(reward).astype(np.float64))
        except TroddenError as error:
            self._refusal = error
            raise
        for out, result in zip(answer, (value, gradient), strict=True):
            np.asarray(out)[...] = result


def total_value_function(planner: Planner, batch: TripBatch) -> SolvedFunction:
    """``sum_n w_n V(origin_n)`` of the reward; its gradient are the expected counts. See `Planner.total_value`."""
    return SolvedFunction(lambda reward: planner.total_value(reward, batch))


def log_likelihood_function(planner: Planner, batch: Batch) -> SolvedFunction:
    """``sum_n w_n log P(route_n)`` of the reward, at any horizon; its gradient is exact. See `Planner.log_likelihood`.

    >>> log_likelihood = log_likelihood_function(planner, batch)                        # doctest: +SKIP
    >>> step = log_likelihood.raising(jax.jit(jax.grad(lambda p: log_likelihood(reward(p)))))  # doctest: +SKIP
    """
    return SolvedFunction(lambda reward: planner.log_likelihood(reward, batch))
