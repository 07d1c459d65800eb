"""Trips solved in their corridors, a block at a time: sweeps, an LU where they give up, and how far off the values are.

Where routes leave the inner part of a corridor often, ways further out matter too. With N the expected number of turns
by which a route crosses from a detour of at most tau - 4 to a larger one, ``1 - exp(V(tau - 4) - V(tau)) <= N``: the
probability of at least one crossing. So N bounds what the last 4 nats added, and costs one look at the counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import SuperLU

from ..core.types import Floats, Ints
from ..graphs.corridor_search import Corridors, joined
from .corridor_kernels import crossings_of_block, solve_block
from .destinations import Ending
from .feasibility import factorise_system

_MONITOR_STEP = 4.0
_PER_STEP = 1.0 / 30.0
"""What the error falls to over `_MONITOR_STEP` nats, about: exp(-0.85) per nat."""


@dataclass(frozen=True, eq=False)
class CorridorBlock:
    """Some trips' corridors, their values and their expected counts."""

    corridors: Corridors
    value: Floats
    """float64[N], at the origins; NaN where the corridor has a spectral radius of 1 or more."""
    values: Floats
    """float64[S], of all states."""
    counts: Floats
    """float64[K], expected count of every turn of one route."""
    error: Floats
    """float64[N]: how far the value is from that of an endless corridor, by N / 30; blind to what lies beyond tau."""
    is_by_lu: Ints
    """bool[N]: sweeps did not converge."""

    def take(self, trips: Ints) -> CorridorBlock:
        """Some of the trips, in any order."""
        states, turns = self.corridors.places(trips)
        return CorridorBlock(
            self.corridors.take(trips),
            self.value[trips],
            self.values[states],
            self.counts[turns],
            self.error[trips],
            self.is_by_lu[trips],
        )


def joined_blocks(parts: Sequence[CorridorBlock]) -> CorridorBlock:
    """The trips of several, one after the other."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0]) if name != "corridors"
    }
    return CorridorBlock(joined([part.corridors for part in parts]), **columns)


def solve_corridors(
    turn_cost: Floats,
    corridors: Corridors,
    potential: Floats,
    ending: Ending,
    *,
    tolerance: float,
    max_sweeps: int,
    with_counts: bool = True,
) -> CorridorBlock:
    """Values and counts of every trip, by sweeps, and by an LU where they do not converge within ``max_sweeps``.

    Parameters
    ----------
    turn_cost
        float64[T], > 0 on the turns of the corridors.
    potential
        float64[S], near the cost to go: minus the values of a like reward, or `Corridors.cost_to_go`.
    with_counts
        Else ``counts`` are 0 and ``error`` is NaN.

    Notes
    -----
    O(turns inside) per sweep and trip.
    """
    is_absorbing = ending == "arrival"
    value, values, counts, gap, _ = solve_block(
        turn_cost,
        corridors.ended,
        corridors.first_state,
        potential,
        corridors.first_turn,
        corridors.turn,
        corridors.head,
        corridors.origin,
        corridors.num_goals,
        is_absorbing,
        tolerance,
        max_sweeps,
        with_counts,
    )
    is_by_lu = ~(gap <= tolerance)
    for trip in np.flatnonzero(is_by_lu).tolist():
        low, high = corridors.first_state[trip : trip + 2]
        found = _by_lu(turn_cost, corridors, potential, trip)
        if found is None:
            value[trip] = np.nan
            continue
        values[low:high], counts[corridors.first_turn[low] : corridors.first_turn[high]] = found
        value[trip] = values[low + corridors.origin[trip]]
    error = np.full(len(value), np.nan)
    if with_counts:
        error = _PER_STEP * crossings_of_block(
            corridors.first_state,
            corridors.detour,
            corridors.first_turn,
            corridors.head,
            counts,
            corridors.width - _MONITOR_STEP,
        )
    return CorridorBlock(corridors, value, values, counts, error, is_by_lu)


def _by_lu(turn_cost: Floats, corridors: Corridors, potential: Floats, trip: int) -> tuple[Floats, Floats] | None:
    """(values float64[S], expected counts float64[K]) of one trip by a sparse LU of its reduced system, or None."""
    low, high = corridors.first_state[trip : trip + 2]
    first = corridors.first_turn[low : high + 1] - corridors.first_turn[low]
    span = slice(corridors.first_turn[low], corridors.first_turn[high])
    head, own = corridors.head[span], potential[low:high]
    tail = np.repeat(np.arange(high - low), np.diff(first))
    weight = np.exp(-(turn_cost[corridors.turn[span]] + own[head] - own[tail]))
    matrix = sparse.csr_matrix((weight, head, first), shape=(high - low,) * 2)
    factors: SuperLU | None = factorise_system(sparse.csc_matrix(sparse.identity(high - low) - matrix))
    if factors is None:
        return None
    ends = np.where(np.arange(high - low) < corridors.num_goals[trip], np.exp(own), 0.0)
    z = factors.solve(ends)
    start = np.zeros(high - low)
    start[corridors.origin[trip]] = 1.0 / z[corridors.origin[trip]]
    # The adjoint of z: visits times 1 / z.
    share = factors.solve(start, trans="T")
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(z, 0.0)) - own, share[tail] * weight * z[head]
