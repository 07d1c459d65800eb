"""Trips solved in their corridors, a block at a time: sweeps, an LU where they give up, and how far off the values are.

Where routes leave the inner part of a corridor often, ways further out matter too. With N the expected number of turns
by which a route crosses from a detour of at most tau - 4 to a larger one, ``1 - exp(V(tau - 4) - V(tau)) <= N``: the
probability of at least one crossing. So N bounds what the last 4 nats added, and costs one look at the counts. (In
corridors of less than 8 nats it is the outer half.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import SuperLU

from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.corridor_search import Corridors, joined
from .corridor_kernels import crossings_of_block, solve_block
from .destinations import Ending
from .feasibility import factorise_system

_MONITOR_STEP = 4.0
DECAY = 0.85
"""By which the logarithm of the error falls per nat of width, about: 0.92 on easy costs, less near radius 1."""


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
    """float64[N]: how far the value is from that of an endless corridor, N / 30; blind to what lies beyond tau, and
    infinite where there is no value."""
    is_by_lu: Bools
    """bool[N]: sweeps did not converge."""

    @property
    def num_states(self) -> Ids:
        """int64[N]."""
        return np.diff(self.corridors.first_state)

    @property
    def width(self) -> Floats:
        """float64[N], of the corridors."""
        return self.corridors.width


@dataclass(frozen=True, eq=False)
class WidenedBlock:
    """Trips of which some were solved again: for each, the last block that it stands in."""

    blocks: tuple[CorridorBlock, ...]
    source: Ids
    """int64[N], which block."""
    place: Ids
    """int64[N], which of its trips."""

    @staticmethod
    def of(block: CorridorBlock) -> WidenedBlock:
        """A block as it is."""
        count = len(block.value)
        return WidenedBlock((block,), np.zeros(count, np.int64), np.arange(count))

    def replaced(self, trips: Ids, block: CorridorBlock, place: Ids) -> WidenedBlock:
        """Trips ``trips`` taken from ``place`` in another block."""
        source, where = self.source.copy(), self.place.copy()
        source[trips], where[trips] = len(self.blocks), place
        return WidenedBlock((*self.blocks, block), source, where)

    def per_trip(self, name: str) -> Floats:
        """A column of `CorridorBlock` with an entry per trip."""
        first: Floats = getattr(self.blocks[0], name)
        if len(self.blocks) == 1:
            return first
        return np.concatenate([getattr(block, name) for block in self.blocks])[self._at]

    def weighted_counts(self, weight: Floats) -> tuple[Ints, Floats]:
        """Turns, int32, and their expected counts times the weight float64[N] of the trip, each once per trip."""
        turns, counts = [], []
        for number, block in enumerate(self.blocks):
            mine = np.flatnonzero(self.source == number)
            share = np.zeros(len(block.value))  # of trips that were solved again, nothing counts
            share[self.place[mine]] = weight[mine]
            of_trip = np.diff(block.corridors.first_turn[block.corridors.first_state])
            turns.append(block.corridors.turn)
            weights = np.repeat(share, of_trip)
            counts.append(np.where(weights > 0.0, block.counts, 0.0) * weights)
        return np.concatenate(turns), np.concatenate(counts)

    def as_one(self) -> CorridorBlock:
        """All trips in one block. Linear in their states and turns, where some were solved again."""
        if len(self.blocks) == 1:
            return self.blocks[0]
        together = joined([block.corridors for block in self.blocks])
        states, turns = together.places(self._at)
        return CorridorBlock(
            together.take(self._at),
            self.per_trip("value"),
            np.concatenate([block.values for block in self.blocks])[states],
            np.concatenate([block.counts for block in self.blocks])[turns],
            self.per_trip("error"),
            self.per_trip("is_by_lu").astype(bool),
        )

    @property
    def _at(self) -> Ids:
        """Where each trip stands among those of all blocks."""
        begin = np.cumsum([0, *(len(block.value) for block in self.blocks)])
        return np.asarray(begin[self.source] + self.place)


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
        corridors.detour,
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
        step = np.minimum(_MONITOR_STEP, corridors.width / 2.0)
        crossings = crossings_of_block(
            corridors.first_state,
            corridors.detour,
            corridors.first_turn,
            corridors.head,
            counts,
            corridors.width - step,
        )
        error = np.where(np.isfinite(value), crossings * np.exp(-DECAY * step), np.inf)
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
