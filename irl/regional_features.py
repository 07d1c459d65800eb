"""A linear reward whose coefficients differ from region to region: the same columns, one set of them per region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.types import Bools, Floats, Ids, Ints
from .feature_columns import Features, Rows, blocks_of


@dataclass(frozen=True, eq=False)
class RegionalFeatures:
    """``reward(turn) = x(turn) . theta[region of the edge entered]``: F columns for each of K regions.

    Coefficients stand region by region, float64[K F], and after them, where ``is_watched`` is given, one more for a
    column that is 1 on turns onto watched edges. Its coefficient is 0: what it is for is its gradient, which is the
    number of demonstrated turns onto those edges minus the expected one.
    """

    base: Features
    region: Ints
    """int32[E], 0 .. K-1."""
    num_regions: int
    is_watched: Bools | None = None
    """bool[E]."""

    is_wide = False

    def __len__(self) -> int:
        return self.num_regions * len(self.base) + (self.is_watched is not None)

    @property
    def num_turns(self) -> int:
        """T."""
        return self.base.num_turns

    def table(self, coefficients: Floats) -> Floats:
        """float64[K, F]: the coefficients by region, as a view where that is possible."""
        return coefficients[: self.num_regions * len(self.base)].reshape(self.num_regions, len(self.base))

    def reward(self, coefficients: Floats) -> Floats:
        """float64[T]. O((T + E) F)."""
        total = np.empty(self.num_turns)
        for at in blocks_of(self.num_turns):
            total[at] = self.reward_at(at, coefficients)
        return total

    def edge_reward(self, coefficients: Floats) -> Floats:
        """float64[E]: the part of `reward` that depends on the edge entered alone. O(E F)."""
        total, by_feature = np.zeros(self.base.num_edges), self.table(coefficients).T
        for at in blocks_of(self.base.num_edges):
            for of_region, column in zip(by_feature, self.base.columns, strict=True):
                if not column.of_turn:
                    total[at] += of_region[self.region[at]] * column.on_edges(at, at.stop - at.start)
        return total

    def project(self, weights: Floats) -> Floats:
        """The gradient of ``weights @ reward``, float64[K F (+ 1)], for a weight per turn. O((T + E) F)."""
        total = np.zeros(len(self))
        for at in blocks_of(self.num_turns):
            total += self.project_at(at, weights[at])
        return total

    def reward_at(self, turns: Rows, coefficients: Floats) -> Floats:
        """float64[n]: `reward` at some turns."""
        region, by_feature = self._regions(turns), self.table(coefficients).T
        total = np.zeros(len(region))
        for of_region, column in zip(by_feature, self.base.columns_at(turns), strict=True):
            total += of_region[region] * column
        return total

    def project_at(self, turns: Rows, weights: Floats) -> Floats:
        """float64[K F (+ 1)]: `project` of weights float64[n] at some turns."""
        region = self._regions(turns)
        parts = [
            np.bincount(region, weights * column, minlength=self.num_regions) for column in self.base.columns_at(turns)
        ]
        found = np.array(parts, np.float64).reshape(len(self.base), self.num_regions).T.ravel()
        if self.is_watched is None:
            return found
        return np.append(found, (weights * self.is_watched[self.base.to_edge[turns]]).sum())

    def _regions(self, turns: Rows) -> Ids:
        return np.asarray(self.region[self.base.to_edge[turns]], np.int64)
