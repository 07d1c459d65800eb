"""L-BFGS whose whole state is a few vectors: stored at any iteration, it goes on to the byte.

SciPy's L-BFGS-B keeps its state inside; to resume it, every evaluation has to be kept and answered again, which is 16
bytes per parameter and evaluation: nothing for ten coefficients, gigabytes for a million corrections. The line search
is the bisection of Lewis & Overton (2013) for the weak Wolfe conditions: it needs no interpolation, so that it walks
through the kinks of a finite horizon and back from points that have no values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..core.types import Floats

Objective = Callable[[Floats], tuple[float, Floats] | None]
"""A point to its loss and gradient, or to None where there is none."""
_MEMORY = 20
_ENOUGH, _FLAT = 1e-4, 0.9
_MOST_BISECTIONS = 40
_FIRST_STEP = 1.0


@dataclass(frozen=True, eq=False)
class State:
    """Where the method stands."""

    point: Floats
    """float64[P]."""
    loss: float
    gradient: Floats
    """float64[P]."""
    steps: Floats
    """float64[M, P], the last differences of points, the oldest first."""
    slopes: Floats
    """float64[M, P], those of gradients."""
    iteration: int
    is_done: bool = False
    """The last search found no lower point: there is none along the direction, to rounding."""


def begin(objective: Objective, start: Floats) -> State | None:
    """The state before the first step; None where the start has no loss."""
    found = objective(start)
    none = np.zeros((0, len(start)))
    return None if found is None else State(start, *found, none, none, 0)


def iterate(objective: Objective, state: State, stiffness: Floats | None = None) -> Iterator[State]:
    """One state after the other, each lower, until a search finds nothing lower: that state says ``is_done``.

    A step costs one evaluation as a rule, and O(M P) with M = 20.

    Parameters
    ----------
    stiffness
        float64[P] > 0, a guess at the diagonal of the Hessian, up to a factor. Where parameters differ a thousandfold
        in how much rests on them, as corrections do, it saves three iterations of four.
    """
    diagonal = np.ones(len(state.point)) if stiffness is None else stiffness
    while not state.is_done:
        state = _stepped(objective, state, diagonal)
        yield state


def _stepped(objective: Objective, state: State, diagonal: Floats) -> State:
    direction = _direction(state, diagonal)
    slope = float(direction @ state.gradient)
    if slope >= 0:  # rounding alone: the memory is of no use here
        state = State(state.point, state.loss, state.gradient, state.steps[:0], state.slopes[:0], state.iteration)
        direction = _direction(state, diagonal)
        slope = float(direction @ state.gradient)
    low, high, step = 0.0, np.inf, _FIRST_STEP
    best: tuple[Floats, float, Floats] | None = None
    for _ in range(_MOST_BISECTIONS):
        point = state.point + step * direction
        found = objective(point)
        if found is None or not found[0] <= state.loss + _ENOUGH * step * slope:
            high = step
        else:
            best = (point, *found)
            if float(found[1] @ direction) >= _FLAT * slope:
                break
            low = step
        step = 2 * low if high == np.inf else 0.5 * (low + high)
    if best is None or not best[1] < state.loss:
        return State(state.point, state.loss, state.gradient, state.steps, state.slopes, state.iteration, True)
    move, turn = best[0] - state.point, best[2] - state.gradient
    steps, slopes = state.steps, state.slopes
    if float(move @ turn) > 1e-12 * float(np.linalg.norm(move) * np.linalg.norm(turn)):
        steps = np.concatenate([steps[-_MEMORY + 1 :], move[None]])
        slopes = np.concatenate([slopes[-_MEMORY + 1 :], turn[None]])
    return State(*best, steps, slopes, state.iteration + 1)


def _direction(state: State, diagonal: Floats) -> Floats:
    """Minus the inverse Hessian that the memory suggests, times the gradient (Nocedal & Wright, algorithm 7.4).

    The memory corrects the diagonal, which is scaled to agree with the last step.
    """
    rest = -state.gradient
    shares = []
    for step, slope in zip(state.steps[::-1], state.slopes[::-1], strict=True):
        share = float(step @ rest) / float(step @ slope)
        rest = rest - share * slope
        shares.append(share)
    rest = rest / diagonal
    if len(state.steps):
        step, slope = state.steps[-1], state.slopes[-1]
        rest = rest * (float(step @ slope) / float(slope @ (slope / diagonal)))
    else:
        rest = rest / max(1.0, float(np.linalg.norm(rest)))
    for step, slope, share in zip(state.steps, state.slopes, reversed(shares), strict=True):
        rest = rest + (share - float(slope @ rest) / float(step @ slope)) * step
    return rest
