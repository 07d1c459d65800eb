"""A linear reward whose coefficients differ from region to region: the same columns, one set of them per region."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..core.types import Bools, Floats, Ints
from .feature_columns import Column, Features
from .linear_rewards import Rows, SplitReward


class RegionalFeatures(SplitReward):
    """``reward(turn) = x(turn) . theta[region of the edge entered]``: F columns for each of K regions.

    Coefficients stand region by region, float64[K F], and after them, where ``is_watched`` is given, one more for a
    column that is 1 on turns onto watched edges. Its coefficient is 0: what it is for is its gradient, which is the
    number of demonstrated turns onto those edges minus the expected one.

    Parameters
    ----------
    region
        int32[E], 0 .. K-1.
    is_watched
        bool[E].
    """

    def __init__(self, base: Features, region: Ints, num_regions: int, is_watched: Bools | None = None) -> None:
        self.base, self.region, self.num_regions, self.is_watched = base, region, num_regions, is_watched
        self.to_edge, self.num_edges = base.to_edge, base.num_edges

    def __len__(self) -> int:
        return self.num_regions * len(self.base) + (self.is_watched is not None)

    def table(self, coefficients: Floats) -> Floats:
        """float64[K, F]: the coefficients by region, as a view where that is possible."""
        return coefficients[: self.num_regions * len(self.base)].reshape(self.num_regions, len(self.base))

    def add_edge_part(self, edges: Rows, coefficients: Floats, total: Floats) -> None:
        """See `SplitReward`."""
        self._add(self.region[edges], self.base.edge_columns(edges), coefficients, total)

    def add_turn_part(self, turns: Rows, coefficients: Floats, total: Floats) -> None:
        """See `SplitReward`."""
        self._add(self.region[self.to_edge[turns]], self.base.turn_columns(turns), coefficients, total)

    def edge_slopes(self, edges: Rows, weights: Floats) -> Floats:
        """See `SplitReward`."""
        total = self._slopes(self.region[edges], self.base.edge_columns(edges), weights)
        if self.is_watched is not None:
            total[-1] = (weights * self.is_watched[edges]).sum()
        return total

    def turn_slopes(self, turns: Rows, weights: Floats) -> Floats:
        """See `SplitReward`."""
        return self._slopes(self.region[self.to_edge[turns]], self.base.turn_columns(turns), weights)

    def _add(self, region: Ints, columns: Iterator[tuple[int, Column]], coefficients: Floats, total: Floats) -> None:
        by_feature = self.table(coefficients).T
        for number, column in columns:
            total += by_feature[number][region] * column.numbers()

    def _slopes(self, region: Ints, columns: Iterator[tuple[int, Column]], weights: Floats) -> Floats:
        total = np.zeros(len(self))
        by_feature = self.table(total).T
        for number, column in columns:
            by_feature[number] = np.bincount(region, weights * column.numbers(), minlength=self.num_regions)
        return total
