"""How well predicted routes match travelled ones, and how sure a difference is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..core.types import Bools, Floats, Ints


def exact_match(predicted: Ints, travelled: Ints) -> bool:
    """True if both are the same sequence of edges."""
    return bool(np.array_equal(predicted, travelled))


def edge_iou(predicted: Ints, travelled: Ints, length: Floats) -> float:
    """Length of the shared edges over the length of all edges of both, as sets, in [0, 1].

    Parameters
    ----------
    length
        float64[E], metres (or seconds, where a network has no lengths).
    """
    one, two = np.unique(predicted), np.unique(travelled)
    shared = np.intersect1d(one, two, assume_unique=True)
    common = float(length[shared].sum())
    return common / float(length[one].sum() + length[two].sum() - common)


def bootstrap_interval(
    values: Floats, weight: Floats, *, level: float = 0.95, num_draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of a weighted mean over routes drawn with replacement. O(draws R)."""
    if len(values) == 0:
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    means = np.empty(num_draws)
    for draw in range(num_draws):
        rows = generator.integers(0, len(values), len(values))
        means[draw] = np.average(values[rows], weights=weight[rows])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class PairedComparison:
    """Two models on the same routes."""

    difference: float
    """Mean of the first minus mean of the second."""
    interval: tuple[float, float]
    """95 % bootstrap interval of the difference, routes drawn in pairs."""
    only_first: int
    """Routes that only the first matched exactly."""
    only_second: int
    p_value: float
    """McNemar's exact test: how likely so uneven a split is if neither is better."""


def compare_matches(first: Bools, second: Bools, weight: Floats, *, seed: int = 0) -> PairedComparison:
    """Exact matches of two models on the same routes: paired bootstrap and McNemar's exact test.

    Source: McNemar (1947); the exact form is a binomial test on the routes where only one model is right.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    total = only_first + only_second
    p_value = float(stats.binomtest(only_first, total, 0.5).pvalue) if total else 1.0
    gap = first.astype(np.float64) - second.astype(np.float64)
    mean = float(np.average(gap, weights=weight)) if len(gap) else float("nan")
    return PairedComparison(mean, bootstrap_interval(gap, weight, seed=seed), only_first, only_second, p_value)
