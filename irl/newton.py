"""Newton's method for a convex loss that exists on a part of the space only: steps are shortened to stay in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import linalg

from ..core.types import Floats

_SHORTEST = 1e-8
_ROUNDING = 1e-13


class SecondOrder(Protocol):
    """A loss at a point, with its first two derivatives."""

    @property
    def loss(self) -> float:
        """The loss."""

    @property
    def gradient(self) -> Floats:
        """float64[F]."""

    @property
    def hessian(self) -> Floats:
        """float64[F, F], positive semidefinite."""


@dataclass(frozen=True, eq=False)
class NewtonResult:
    """Where Newton's method stopped."""

    point: Floats
    """float64[F]."""
    is_converged: bool


def minimise(
    evaluate: Callable[[Floats], SecondOrder | None],
    start: Floats,
    *,
    small_decrement: float,
    gradient_tolerance: float,
    max_iterations: int,
    callback: Callable[[Floats, float, Floats], None] | None = None,
) -> NewtonResult:
    """Damped Newton steps until the gradient or the Newton decrement is small.

    Parameters
    ----------
    evaluate
        The loss and its derivatives at a point float64[F], or None where it does not exist.
    small_decrement
        Stop where ``gradient . step`` is at most this: half of it is what the step would still gain.
    gradient_tolerance
        Stop where the largest component of the gradient is at most this.
    callback
        Called with (point, loss, gradient) after every accepted step.

    Returns
    -------
    NewtonResult
        Not converged where the start has no value, no shortened step lowers the loss, or iterations run out.

    Notes
    -----
    One evaluation per iteration as a rule; convergence is quadratic. Boyd & Vandenberghe (2004), section 9.5.
    """
    here, point = evaluate(start), start
    if here is None:
        return NewtonResult(start, False)
    for _ in range(max_iterations):
        step = newton_step(here.hessian, here.gradient)
        decrement = float(-here.gradient @ step)
        if np.abs(here.gradient).max(initial=0.0) <= gradient_tolerance or decrement <= small_decrement:
            return NewtonResult(point, True)
        size, there = 1.0, evaluate(point + step)
        while there is None or there.loss > here.loss - 1e-4 * size * decrement + _ROUNDING * abs(here.loss):
            size *= 0.5
            if size < _SHORTEST:
                return NewtonResult(point, False)
            there = evaluate(point + size * step)
        here, point = there, point + size * step
        if callback is not None:
            callback(point, here.loss, here.gradient)
    return NewtonResult(point, False)


def minimise_from(
    evaluate: Callable[[Floats], tuple[float, Floats] | None],
    start: Floats,
    hessian: Floats,
    *,
    small_decrement: float,
    max_iterations: int,
    callback: Callable[[Floats, float, Floats], None] | None = None,
) -> NewtonResult:
    """BFGS from a Hessian that is nearly right, so that a few evaluations of loss and gradient are enough.

    Parameters as those of `minimise`; ``hessian`` float64[F, F] is that of a like problem near the start. Superlinear.
    """
    found = evaluate(start)
    if found is None:
        return NewtonResult(start, False)
    point, (loss, gradient) = start, found
    inverse: Floats = linalg.pinvh(hessian, rtol=1e-9)
    for _ in range(max_iterations):
        step = -inverse @ gradient
        decrement = float(-gradient @ step)
        if decrement <= small_decrement:
            return NewtonResult(point, True)
        size, there = 1.0, evaluate(point + step)
        while there is None or there[0] > loss - 1e-4 * size * decrement + _ROUNDING * abs(loss):
            size *= 0.5
            if size < _SHORTEST:
                return NewtonResult(point, False)
            there = evaluate(point + size * step)
        moved, change = size * step, there[1] - gradient
        point, (loss, gradient) = point + moved, there
        inverse = bfgs_update(inverse, moved, change)
        if callback is not None:
            callback(point, loss, gradient)
    return NewtonResult(point, False)


def bfgs_update(inverse: Floats, moved: Floats, change: Floats) -> Floats:
    """The inverse Hessian float64[F, F] after a step and the change of the gradient along it; kept where that is none.

    Nocedal & Wright (2006), equation 6.17.
    """
    curvature = float(moved @ change)
    if curvature <= 0:
        return inverse
    along = np.eye(len(moved)) - np.outer(moved, change) / curvature
    return np.asarray(along @ inverse @ along.T + np.outer(moved, moved) / curvature)


def newton_step(hessian: Floats, gradient: Floats) -> Floats:
    """``-H^+ g``, float64[F]: directions that the data say nothing about stay where they are."""
    return np.asarray(-linalg.pinvh(hessian, rtol=1e-9) @ gradient) if len(gradient) else np.zeros(0)
