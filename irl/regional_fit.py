"""Coefficients of regions, given no more than a function that evaluates a table of them: pure, whoever computes it.

A Hessian by differences costs F evaluations however many regions there are, where no two share a trip: all are moved
along one feature at a time, and each region's own gradient tells its own block. BFGS goes on from there. Where regions
do share trips, they are moved in turns, so that each gradient tells which of them moved it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from ..core.errors import ConfigurationError, NotConvergedError
from ..core.types import Bools, Floats, Ints
from .newton import bfgs_update, minimise_from
from .pooling import Pooling

_log = logging.getLogger(__name__)
_STEP = 1e-3
"""Of a difference, in scaled coefficients: corridors are exact to some 1e-8, which leaves five digits of curvature."""
_ROUND_STEPS = 12
"""Steps of BFGS before the Hessian is taken anew."""
_SMALL_DECREMENT = 1e-4
"""Nats that the next step would gain at most: a hundredth of a standard error. Corridors' losses are no smoother over
many trips; what is left is taken by steps that are judged by the gradient."""
_POLISHING_STEPS = 10
_CONVERGED = 1e-6
"""Nats: a thousandth of a standard error in every direction."""
_NOTHING = 1e-13
"""Nats: below this there is nothing left to polish."""
LARGEST_HESSIAN = 100
"""Evaluations that standard errors may cost; beyond, each region's are those given the other regions' coefficients."""
_LEAST_CURVATURE = 1e-9
"""Relative to the largest: directions that the data say less about are left where they are."""

Evaluate = Callable[[Floats], tuple[float, Floats] | str]
"""Scaled coefficients float64[R, F] -> (negative log-likelihood in nats, gradient float64[R, F]), or why none."""


@dataclass(frozen=True, eq=False)
class RegionalOptimum:
    """Where a regional fit ended."""

    table: Floats
    """float64[R, F], scaled coefficients."""
    loss: float
    """Negative log-likelihood in nats, without the penalty."""
    curvature: Floats
    """float64[R F, R F], Hessian of the loss; where ``is_whole`` is False, the regions' own blocks of it alone. Where
    all share one reward, what counts is its sum over regions, which is exact. Where no errors were wanted, that of a
    point on the way."""
    is_whole: bool
    num_steps: int
    is_converged: bool
    decrement: float
    """Nats that the next step would still gain."""


def starting_row(evaluate: Evaluate, is_cost: Bools, num_regions: int, *, doublings: int = 12) -> Floats:
    """A base cost on every never-negative feature, doubled until values exist in every region; float64[F], scaled.

    Raises
    ------
    ConfigurationError
        None was found; says what the last one met.
    """
    base = -is_cost.astype(np.float64)
    for doubling in range(doublings + 1):
        row = base * 2.0**doubling
        found = evaluate(np.broadcast_to(row, (num_regions, len(row))).copy())
        if not isinstance(found, str):
            return np.asarray(row)
    raise ConfigurationError(
        where="[reward] features", problem=f"no base cost has values in every region ({found}); add 'constant'"
    )


def fit_regions_from(
    evaluate: Evaluate,
    start: Floats,
    penalty: float,
    *,
    meets: Bools | None = None,
    blocks: Floats | None = None,
    wants_errors: bool = True,
    max_steps: int = 200,
    on_step: Callable[[int, float, float], None] | None = None,
) -> RegionalOptimum:
    """Maximise the penalised log-likelihood of all regions from a table float64[R, F] that has values.

    Parameters
    ----------
    meets
        bool[R, R]: regions on whose coefficients a trip may depend together. Default: none does on two.
    blocks
        float64[R F, R F], the Hessian near the start where that is known (``blocks`` of another optimum): it saves F
        evaluations.
    wants_errors
        Whether the last digits, and the Hessian at the end, which standard errors follow from, are worth their
        evaluations.
    on_step
        Called after each step with (steps up to now, penalised loss in nats, largest component of its gradient).

    Raises
    ------
    NotConvergedError
        Values exist on neither side of a point, at which a Hessian was to be taken.
    ConfigurationError
        The start has no values; says why.

    Notes
    -----
    F evaluations for a Hessian and one for every step, some F + 12 from a good start, and at the end F more for each
    group of regions that do not meet, for the standard errors (`LARGEST_HESSIAN` says when that is left out).
    """
    count, size = start.shape
    pooling = Pooling(count, size, penalty)
    point, steps = pooling.point(start), 0
    alone = np.eye(count, dtype=bool)
    meets = alone if meets is None else meets

    def asked(at: Floats) -> tuple[float, Floats] | None:
        found = evaluate(pooling.table(at))
        return None if isinstance(found, str) else pooling.pulled(*found, at)

    def step_taken(_: Floats, loss: float, gradient: Floats) -> None:
        nonlocal steps
        steps += 1
        if on_step is not None:
            on_step(steps, loss, float(np.abs(gradient).max(initial=0.0)))

    first = evaluate(start)
    if isinstance(first, str):
        raise ConfigurationError(where="[training] start", problem=f"has no values in every region ({first})")
    while True:
        before = steps
        if blocks is None:
            blocks = curvature(evaluate, pooling.table(point), alone)
        found = minimise_from(
            asked,
            point,
            pooling.hessian(blocks),
            small_decrement=_SMALL_DECREMENT,
            max_iterations=min(_ROUND_STEPS, max_steps - steps),
            callback=step_taken,
        )
        point = found.point
        if found.is_converged or steps >= max_steps or steps == before:
            break
        _log.info("a new Hessian after %d steps", steps)
        blocks = None
    if not wants_errors:
        table = pooling.table(point)
        return RegionalOptimum(table, _loss(evaluate, table), blocks, False, steps, found.is_converged, np.nan)
    is_whole = pooling.is_shared or bool((meets == alone).all()) or size * len(groups(meets)) <= LARGEST_HESSIAN
    is_separate = pooling.is_shared or not is_whole or bool((meets == alone).all())
    matrix = curvature(evaluate, pooling.table(point), alone if is_separate else meets, is_central=is_separate)
    point, decrement = _polished(asked, point, pooling.hessian(matrix), step_taken)
    table = pooling.table(point)
    loss = _loss(evaluate, table)
    return RegionalOptimum(table, loss, matrix, is_whole, steps, decrement <= _CONVERGED, decrement)


def _polished(
    asked: Callable[[Floats], tuple[float, Floats] | None],
    point: Floats,
    matrix: Floats,
    step_taken: Callable[[Floats, float, Floats], None],
) -> tuple[Floats, float]:
    """(point, ``g' H^+ g`` there) after a few steps from the Hessian at hand, judged by the gradient.

    Differences of the loss are rounding by now.
    """
    metric = inverse = linalg.pinvh(matrix, rtol=_LEAST_CURVATURE)
    here = asked(point)
    assert here is not None  # it was evaluated before
    decrement = float(here[1] @ metric @ here[1])
    for _ in range(_POLISHING_STEPS):
        if decrement <= _NOTHING:
            break
        step = -inverse @ here[1]
        there = asked(point + step)
        if there is None or float(there[1] @ metric @ there[1]) > 0.9 * decrement:
            break
        inverse = bfgs_update(inverse, step, there[1] - here[1])
        point, here = point + step, there
        decrement = float(here[1] @ metric @ here[1])
        step_taken(point, *here)
    return point, decrement


def _loss(evaluate: Evaluate, table: Floats) -> float:
    found = evaluate(table)
    assert not isinstance(found, str)  # it was evaluated before
    return found[0]


def curvature(evaluate: Evaluate, table: Floats, meets: Bools, *, is_central: bool = False) -> Floats:
    """The Hessian at a table, float64[R F, R F], positive semidefinite, by differences of the gradient.

    Regions that meet no common one are moved together. Costs F evaluations per group of those and one more, or 2 F by
    central differences, which are exact to one order more. Where one side has no values, the difference is taken on the
    other.
    """
    here, (count, size) = evaluate(table), table.shape
    result = np.zeros((count, size, count, size))
    for members in groups(meets):
        # Whose gradient each member's move is told by; nobody's is told by two.
        teller = meets[members].argmax(axis=0)
        hears = meets[members].any(axis=0)
        for feature in range(size):
            step = np.zeros_like(table)
            step[members, feature] = _STEP
            low, high = evaluate(table - step) if is_central else here, evaluate(table + step)
            width = 2 * _STEP if is_central else _STEP
            if isinstance(high, str):
                low, high, width = evaluate(table - step), here, _STEP
            elif isinstance(low, str):
                low, width = here, _STEP
            if isinstance(low, str) or isinstance(high, str):
                raise NotConvergedError(residual=np.nan, tolerance=0.0, num_sweeps=0)
            change = (high[1] - low[1]) / width
            for region in np.flatnonzero(hears).tolist():
                result[members[teller[region]], feature, region] = change[region]
    matrix = result.reshape(count * size, count * size)
    return _convex(0.5 * (matrix + matrix.T), count if (meets == np.eye(count, dtype=bool)).all() else 1)


def groups(meets: Bools) -> list[Ints]:
    """Regions in as few groups as come easily, so that no region meets two of one group: greedily, in their order."""
    shares = meets.astype(np.int64) @ meets.astype(np.int64) > 0
    left, result = list(range(len(meets))), []
    while left:
        members: list[int] = []
        for region in left:
            if not shares[region, members].any():
                members.append(region)
        left = [region for region in left if region not in members]
        result.append(np.array(members, np.int32))
    return result


def _convex(matrix: Floats, num_blocks: int) -> Floats:
    """The nearest positive semidefinite matrix, float64[P, P]; block by block where it is made of such."""
    size, result = len(matrix) // num_blocks, np.zeros_like(matrix)
    for begin in range(0, len(matrix), max(size, 1)):
        at = slice(begin, begin + size)
        values, vectors = linalg.eigh(matrix[at, at])
        result[at, at] = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return result
