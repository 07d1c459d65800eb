"""What a reward is summed up from: a linear part, and corrections of single edges or turns.

Every part adds to the *raw cost* of a turn, in nats; `trodden.irl.rewards.reward` makes a positive cost of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from ...core.blocks import blocks_of
from ...core.types import Floats, Ints
from ..feature_columns import Features
from ..linear_rewards import Rows

IN_DOUBT = 0.1
"""See `Part.stiffness`."""


class Part(Protocol):
    """A summand of the raw cost of every turn, with P parameters of its own."""

    @property
    def name(self) -> str:
        """``linear``, ``edge``, ``turn`` or ``mlp``."""

    @property
    def ridge(self) -> Floats:
        """float64[P] >= 0: half of this times the parameter's square is the penalty, in nats of the log-likelihood."""

    def __len__(self) -> int:
        """P."""

    def start(self, level: float) -> Floats:
        """float64[P]: parameters to begin at, under which costs grow with ``level`` where the part can see to it."""

    def raw(self, parameters: Floats) -> Floats:
        """float64[T]: what the part adds to every turn's raw cost."""

    def raw_at(self, turns: Rows, parameters: Floats) -> Floats:
        """float64[n]: `raw` at some turns."""

    def pull(self, parameters: Floats, weights: Floats) -> Floats:
        """float64[P]: the gradient of ``weights @ raw``."""

    def pull_at(self, turns: Rows, parameters: Floats, weights: Floats) -> Floats:
        """float64[P]: the same for weights float64[n] at some turns."""

    def stiffness(self, taken: Floats) -> Floats:
        """float64[P] >= 0: a guess at how much the log-likelihood bends in each parameter.

        Of routes that took every turn so often, float64[T]: ``sum of taken * slope^2 / 10``, as if a tenth of what was
        taken had been in doubt.
        """


@dataclass(frozen=True, eq=False)
class LinearPart:
    """``-X theta``, with parameters ``theta * scale``, so that all are of one magnitude."""

    features: Features
    penalty: float = 0.0
    given_scale: Floats | None = None
    """float64[F], in place of `scale`: on a part of a map, that of the whole."""

    name = "linear"

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def scale(self) -> Floats:
        """float64[F]: root mean square of each feature over all turns."""
        if self.given_scale is not None:
            return self.given_scale
        size = np.sqrt(self.features.range.mean_square)
        return np.where(size > 0, size, 1.0)

    @property
    def ridge(self) -> Floats:
        """See `Part`."""
        return np.full(len(self), self.penalty)

    def start(self, level: float) -> Floats:
        """A cost of about ``level`` nats per turn on every feature that is never negative."""
        is_usable = (self.features.range.minimum >= 0) & (self.features.range.maximum > 0)
        return np.where(is_usable, -level, 0.0)

    def coefficients(self, parameters: Floats) -> Floats:
        """float64[F], in the features' own units."""
        return parameters / self.scale

    def raw(self, parameters: Floats) -> Floats:
        """See `Part`. O((T + E) F)."""
        return -self.features.reward(self.coefficients(parameters))

    def raw_at(self, turns: Rows, parameters: Floats) -> Floats:
        """See `Part`."""
        return -self.features.reward_at(turns, self.coefficients(parameters))

    def pull(self, parameters: Floats, weights: Floats) -> Floats:
        """See `Part`. O((T + E) F)."""
        return -self.features.project(weights) / self.scale

    def pull_at(self, turns: Rows, parameters: Floats, weights: Floats) -> Floats:
        """See `Part`."""
        return -self.features.project_at(turns, weights) / self.scale

    def stiffness(self, taken: Floats) -> Floats:
        """See `Part`, and less: features that go together bend the loss less than each by itself. O(T F)."""
        total = np.zeros(len(self))
        for at in blocks_of(len(taken)):
            total += (taken[at, None] * self.features.rows(at) ** 2).sum(axis=0)
        return 0.2 * IN_DOUBT * total / self.scale**2


@dataclass(frozen=True, eq=False)
class Corrections:
    """A free number of its own for some edges (on every turn onto them) or for some turns; the others have exactly 0.

    Source: Barnes et al. (2024), "sparse" rewards. Those without demonstrations have no parameter: nothing but the
    penalty would hold them, and under maximum likelihood they drift.
    """

    of: Literal["edge", "turn"]
    supported: Ints
    """int32[P], ascending: the edges or turns that have a correction."""
    to_edge: Ints
    """int32[T]."""
    num_edges: int
    penalty: float

    @property
    def name(self) -> str:
        """``edge`` or ``turn``."""
        return self.of

    def __len__(self) -> int:
        return len(self.supported)

    @property
    def ridge(self) -> Floats:
        """See `Part`."""
        return np.full(len(self), self.penalty)

    @cached_property
    def _slot(self) -> Ints:
        """int32[E] or [T]: the parameter of each edge or turn; P, one past the last, where it has none."""
        slot = np.full(self.num_edges if self.of == "edge" else len(self.to_edge), len(self), np.int32)
        slot[self.supported] = np.arange(len(self), dtype=np.int32)
        return slot

    def _slots(self, turns: Rows) -> Ints:
        return self._slot[self.to_edge[turns] if self.of == "edge" else turns]

    def start(self, level: float) -> Floats:
        """Zeros."""
        return np.zeros(len(self))

    def raw(self, parameters: Floats) -> Floats:
        """See `Part`. O(T)."""
        return self.raw_at(slice(None), parameters)

    def raw_at(self, turns: Rows, parameters: Floats) -> Floats:
        """See `Part`."""
        return np.append(parameters, 0.0)[self._slots(turns)]

    def pull(self, parameters: Floats, weights: Floats) -> Floats:
        """See `Part`. O(T)."""
        return self.pull_at(slice(None), parameters, weights)

    def stiffness(self, taken: Floats) -> Floats:
        """See `Part`. O(T)."""
        return IN_DOUBT * self.pull(np.zeros(len(self)), taken)

    def pull_at(self, turns: Rows, parameters: Floats, weights: Floats) -> Floats:
        """See `Part`."""
        return np.bincount(self._slots(turns), weights, minlength=len(self) + 1)[:-1].astype(np.float64)
