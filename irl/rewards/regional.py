"""Rewards whose parts differ from region to region, and how regions share what they have many parameters for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from ...core.types import Floats, Ids, Ints
from ..linear_rewards import Rows
from ..pooling import Pooling
from .parts import Corrections, Part
from .reward import Reward

_SMALL = 0.1
"""Standard deviation of what low-rank deviations begin with."""


@dataclass(frozen=True, eq=False)
class RegionalPart:
    """A part with parameters of its own in each of K regions; a turn is priced by the region of the edge it enters.

    Parameters stand region by region, float64[K P].
    """

    base: Part
    region: Ints
    """int32[E], 0 .. K-1."""
    to_edge: Ints
    """int32[T]."""
    num_regions: int

    @property
    def name(self) -> str:
        """Its base's."""
        return self.base.name

    @property
    def ridge(self) -> Floats:
        """See `Part`."""
        return np.tile(self.base.ridge, self.num_regions)

    def __len__(self) -> int:
        return self.num_regions * len(self.base)

    def start(self, level: float) -> Floats:
        """The same in all regions."""
        return np.tile(self.base.start(level), self.num_regions)

    def raw(self, parameters: Floats) -> Floats:
        """See `Part`."""
        return self.raw_at(np.arange(len(self.to_edge)), parameters)

    def raw_at(self, turns: Rows, parameters: Floats) -> Floats:
        """See `Part`."""
        turns = self._numbers(turns)
        total, table = np.empty(len(turns)), parameters.reshape(self.num_regions, -1)
        for region, rows in self._by_region(turns):
            total[rows] = self.base.raw_at(turns[rows], table[region])
        return total

    def pull(self, parameters: Floats, weights: Floats) -> Floats:
        """See `Part`."""
        return self.pull_at(np.arange(len(self.to_edge)), parameters, weights)

    def pull_at(self, turns: Rows, parameters: Floats, weights: Floats) -> Floats:
        """See `Part`."""
        turns = self._numbers(turns)
        table = parameters.reshape(self.num_regions, -1)
        total = np.zeros_like(table)
        for region, rows in self._by_region(turns):
            total[region] = self.base.pull_at(turns[rows], table[region], weights[rows])
        return total.ravel()

    def stiffness(self, taken: Floats) -> Floats:
        """See `Part`."""
        region = self.region[self.to_edge]
        return np.concatenate(
            [self.base.stiffness(np.where(region == number, taken, 0.0)) for number in range(self.num_regions)]
        )

    def _numbers(self, turns: Rows) -> Ids:
        return np.arange(len(self.to_edge))[turns]

    def _by_region(self, turns: Ids) -> list[tuple[int, Ids]]:
        """Each region that prices some of the turns, and which of them."""
        region = self.region[self.to_edge[turns]]
        return [(int(number), np.flatnonzero(region == number)) for number in np.unique(region)]


def by_region(reward: Reward, region: Ints, to_edge: Ints, num_regions: int) -> Reward:
    """The reward with every part but corrections split by region; a correction belongs to one region anyway."""
    parts = tuple(
        part if isinstance(part, Corrections) else RegionalPart(part, region, to_edge, num_regions)
        for part in reward.parts
    )
    return Reward(parts, reward.num_turns, reward.minimum_cost)


class _Shared(Protocol):
    """How the regions' parameters of one part follow from some numbers of an optimiser's point."""

    def __len__(self) -> int: ...

    def expand(self, own: Floats) -> Floats:
        """The part's parameters."""

    def fold(self, own: Floats, slope: Floats) -> Floats:
        """The gradient in ``own``, of a gradient in the part's parameters."""

    def penalty(self, own: Floats) -> tuple[float, Floats]:
        """In nats, and its gradient."""

    def start(self, level: float) -> Floats:
        """Where to begin."""

    def stiffness(self, taken: Floats) -> Floats:
        """See `Part.stiffness`; with what the penalty adds."""


class _Towards:
    """A small part: every region has its own, drawn towards their mean; the part's ridge holds the mean."""

    def __init__(self, part: RegionalPart, penalty: float) -> None:
        self._part, self._size = part, len(part.base)
        self._pooling = Pooling(part.num_regions, self._size, penalty)
        self._rows = 1 if self._pooling.is_shared else part.num_regions

    def __len__(self) -> int:
        return self._rows * self._size

    def expand(self, own: Floats) -> Floats:
        return self._pooling.table(own).ravel()

    def fold(self, own: Floats, slope: Floats) -> Floats:
        return self._pooling.pulled(0.0, slope.reshape(-1, self._size), np.zeros_like(own))[1]

    def penalty(self, own: Floats) -> tuple[float, Floats]:
        value, pull = self._pooling.pulled(0.0, np.zeros((self._part.num_regions, self._size)), own)
        mean = own.reshape(self._rows, -1).mean(axis=0)
        held = self._part.base.ridge * mean
        return value + 0.5 * float(held @ mean), pull + np.tile(held / self._rows, self._rows)

    def start(self, level: float) -> Floats:
        return np.tile(self._part.base.start(level), self._rows)

    def stiffness(self, taken: Floats) -> Floats:
        rows = self._part.stiffness(taken).reshape(-1, self._size)
        if self._pooling.is_shared:
            return np.asarray(rows.sum(axis=0) + self._part.base.ridge)
        return (rows + self._pooling.penalty + self._part.base.ridge / self._rows).ravel()


class _LowRank:
    """A large part: all regions share its parameters w, and deviate from them by ``B a_r`` with B float64[P, rank].

    Both factors have a ridge (B the part's own, a the penalty between regions): half the sum of their squares is the
    nuclear norm of all deviations, so that a rank that is not needed dies out (Srebro, Rennie & Jaakkola 2004).
    """

    def __init__(self, part: RegionalPart, penalty: float, rank: int, seed: int) -> None:
        self._part, self._size, self._penalty = part, len(part.base), penalty
        self._rank = 0 if np.isinf(penalty) else rank
        self._seed = seed

    def __len__(self) -> int:
        return self._size + self._rank * (self._size + self._part.num_regions)

    def _factors(self, own: Floats) -> tuple[Floats, Floats, Floats]:
        """(w float64[P], B float64[P, rank], a float64[R, rank]), as views."""
        end = self._size * (1 + self._rank)
        return own[: self._size], own[self._size : end].reshape(self._size, -1), own[end:].reshape(-1, self._rank)

    def expand(self, own: Floats) -> Floats:
        if not self._rank:
            return np.tile(own, self._part.num_regions)
        base, across, along = self._factors(own)
        return np.asarray(base + along @ across.T).ravel()

    def fold(self, own: Floats, slope: Floats) -> Floats:
        table = slope.reshape(-1, self._size)
        total = table.sum(axis=0)
        if not self._rank:
            return np.asarray(total)
        _, across, along = self._factors(own)
        return np.concatenate([total, (table.T @ along).ravel(), (table @ across).ravel()])

    def penalty(self, own: Floats) -> tuple[float, Floats]:
        ridge = self._part.base.ridge
        slope = np.concatenate([ridge, np.repeat(ridge, self._rank), self._of_regions(self._penalty)]) * own
        return 0.5 * float(slope @ own), slope

    def start(self, level: float) -> Floats:
        first = self._part.base.start(level)
        drawn = np.random.default_rng([self._seed, 1]).normal(0.0, _SMALL, self._size * self._rank)
        return np.concatenate([first, drawn, self._of_regions(0.0)])

    def stiffness(self, taken: Floats) -> Floats:
        bends = self._part.stiffness(taken).reshape(-1, self._size).sum(axis=0) + self._part.base.ridge
        per_region = float(bends.mean()) / self._part.num_regions + self._penalty if self._rank else 0.0
        return np.concatenate([bends, np.repeat(bends, self._rank), self._of_regions(per_region)])

    def _of_regions(self, value: float) -> Floats:
        return np.full(self._rank * self._part.num_regions, value)


class _Free:
    """Corrections: one for an edge or turn, whichever region prices it."""

    def __init__(self, part: Corrections) -> None:
        self._part = part

    def __len__(self) -> int:
        return len(self._part)

    def expand(self, own: Floats) -> Floats:
        return own

    def fold(self, own: Floats, slope: Floats) -> Floats:
        return slope

    def penalty(self, own: Floats) -> tuple[float, Floats]:
        slope = self._part.ridge * own
        return 0.5 * float(slope @ own), slope

    def start(self, level: float) -> Floats:
        return self._part.start(level)

    def stiffness(self, taken: Floats) -> Floats:
        return self._part.stiffness(taken) + self._part.ridge


class Sharing:
    """Points of an optimiser <-> the parameters of a reward made by `by_region`, and the penalty between regions.

    The linear part has coefficients of its own in every region, drawn towards their mean; an MLP is shared up to
    deviations of low rank; corrections are as they are.

    Parameters
    ----------
    penalty
        lambda, in nats; ``inf`` for parts that all regions share.
    rank
        Of an MLP's deviations.
    """

    def __init__(self, reward: Reward, *, penalty: float, rank: int, seed: int) -> None:
        self.reward, self.lambda_ = reward, penalty
        self._ways: list[_Shared] = [_way(part, penalty, rank, seed) for part in reward.parts]

    def __len__(self) -> int:
        return sum(len(way) for way in self._ways)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """How many numbers of a point each part has, by its name."""
        return {part.name: len(way) for part, way in zip(self.reward.parts, self._ways, strict=True)}

    def expand(self, point: Floats) -> Floats:
        """float64[P]: the reward's parameters at a point."""
        return np.concatenate([way.expand(own) for way, own in self._own(point)])

    def fold(self, point: Floats, slope: Floats) -> Floats:
        """The gradient in a point, of one in the reward's parameters, float64[P]."""
        own_slopes = self.reward.split(slope).values()
        return np.concatenate(
            [way.fold(own, part) for (way, own), part in zip(self._own(point), own_slopes, strict=True)]
        )

    def penalty(self, point: Floats) -> tuple[float, Floats]:
        """Of all parts and between regions, in nats, and its gradient."""
        found = [way.penalty(own) for way, own in self._own(point)]
        return float(sum(value for value, _ in found)), np.concatenate([slope for _, slope in found])

    def start(self, level: float) -> Floats:
        """Where to begin; see `Part.start`."""
        return np.concatenate([way.start(level) for way in self._ways])

    def stiffness(self, taken: Floats) -> Floats:
        """A guess at the diagonal of the Hessian; ``taken`` as for `Part.stiffness`."""
        bends = np.concatenate([way.stiffness(taken) for way in self._ways])
        return np.asarray(np.maximum(bends, 1e-9 * bends.max(initial=1e-300)))

    def _own(self, point: Floats) -> list[tuple[_Shared, Floats]]:
        ends = np.cumsum([len(way) for way in self._ways])
        return [(way, point[end - len(way) : end]) for way, end in zip(self._ways, ends, strict=True)]


def _way(part: Part, penalty: float, rank: int, seed: int) -> _Shared:
    if isinstance(part, Corrections):
        return _Free(part)
    assert isinstance(part, RegionalPart)  # `by_region` made it
    return _Towards(part, penalty) if part.name == "linear" else _LowRank(part, penalty, rank, seed)
