"""Minimise a convex function that has kinks, under linear constraints, by a proximal bundle method.

For the margin loss of horizon 0, which is piecewise linear: L-BFGS stalls at its kinks, and a subgradient method, which
takes as many searches per step, needs a step size and has no way to tell that it is done. Here every subgradient is
kept as a plane below the function; the next point minimises the highest plane plus a proximal term, and the decrease
which that predicts is the stopping rule. Source: Kiwiel (1990); Teo et al. (2010) for structured learning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from ..core.types import Floats

_ENOUGH = 0.1
"""Share of the predicted decrease that makes a step worth taking."""
_MOST_PLANES = 60


@dataclass(frozen=True, eq=False)
class BundleResult:
    """Where the method stopped."""

    point: Floats
    """float64[F]."""
    value: float
    gap: float
    """Decrease that the planes still predicted; at most the tolerance where converged."""
    steps: int


def minimise(
    objective: Callable[[Floats], tuple[float, Floats]],
    start: Floats,
    *,
    violated: Callable[[Floats], Floats],
    minimum: float,
    tolerance: float,
    max_steps: int,
    on_step: Callable[[Floats], None],
) -> BundleResult:
    """Minimise ``objective`` where ``-row @ x >= minimum`` for every row that ``violated`` could name.

    Constraints are generated: a candidate that violates rows is recomputed under them *before* the objective sees it,
    so that the objective is only ever evaluated inside.

    Parameters
    ----------
    objective
        Value and a subgradient float64[F]; convex.
    violated
        Rows float64[V, F] whose constraint a point breaks, empty inside.
    tolerance
        Predicted decrease, relative to 1 + the value, at which the method stops.
    on_step
        Called with the new centre after every step that lowered the objective.

    Notes
    -----
    One evaluation per step, and one quadratic programme in F + 1 variables with at most 60 planes.
    """
    centre = start
    value, slope = objective(centre)
    planes = [(slope, value - float(slope @ centre))]
    cuts = np.zeros((0, len(start)))
    stiffness, gap, step = max(float(np.linalg.norm(slope)), 1e-8), np.inf, 0
    while step < max_steps:
        step += 1
        point, cuts, is_inside = _candidate(centre, planes, cuts, stiffness, violated, minimum)
        if not is_inside:
            break  # the gap stays that of the step before: not converged
        gap = value - max(float(slope @ point) + offset for slope, offset in planes)
        if gap <= tolerance * (1 + abs(value)):
            break
        found, slope = objective(point)
        planes.append((slope, found - float(slope @ point)))
        if found <= value - _ENOUGH * gap:
            if found <= value - 0.5 * gap:
                stiffness *= 0.4
            centre, value = point, found
            on_step(centre)
        else:
            stiffness *= 1.3
        planes = sorted(planes, key=lambda plane: -(plane[1] + float(plane[0] @ centre)))[:_MOST_PLANES]
    return BundleResult(centre, value, float(gap), step)


def _candidate(
    centre: Floats,
    planes: list[tuple[Floats, float]],
    cuts: Floats,
    stiffness: float,
    violated: Callable[[Floats], Floats],
    minimum: float,
) -> tuple[Floats, Floats, bool]:
    """(next point, constraints so far, whether the point is inside all constraints)."""
    for _ in range(50):
        point = _lowest(centre, planes, cuts, stiffness, minimum)
        rows = violated(point)
        if not len(rows):
            return point, cuts, True
        cuts = np.unique(np.concatenate([cuts, rows]), axis=0)
    return centre, cuts, False


def _lowest(
    centre: Floats, planes: list[tuple[Floats, float]], cuts: Floats, stiffness: float, minimum: float
) -> Floats:
    """Minimise ``max over planes + stiffness / 2 |x - centre|^2`` under the cuts, in variables (x - centre, height)."""
    size = len(centre)
    slopes = np.array([slope for slope, _ in planes])
    heights = slopes @ centre + np.array([offset for _, offset in planes])
    top = float(heights.max())
    below = np.hstack([-slopes, np.ones((len(slopes), 1))])
    inside = np.hstack([-cuts, np.zeros((len(cuts), 1))])
    matrix = np.vstack([below, inside])
    # A hair inside, so that rounding does not put the point outside again.
    bound = np.concatenate([heights - top, minimum + 1e-6 * abs(minimum) + cuts @ centre])
    rule = {"type": "ineq", "fun": lambda z: matrix @ z - bound, "jac": lambda z: matrix}
    found = optimize.minimize(
        lambda z: (z[-1] + 0.5 * stiffness * float(z[:-1] @ z[:-1]), np.append(stiffness * z[:-1], 1.0)),
        np.zeros(size + 1),
        jac=True,
        method="SLSQP",
        constraints=[rule],
        options={"maxiter": 200, "ftol": 1e-12},
    )
    return np.asarray(centre + found.x[:-1])
