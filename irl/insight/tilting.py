"""What a correction of a single edge or turn would gain: the likelihood ratio behind the list of contradictions.

A correction c of the reward of one edge multiplies the probability of every route over it by e^c, before routes are
normalised. So where a trip comes by with probability p at most once, it does so with ``p e^c / (1 - p + p e^c)`` under
the correction, exactly, and the log-likelihood of all trips changes by

    gain(c) = c observed - sum of w log(1 - p + p e^c),    gain'(0) = observed - expected,

the score. Its maximum needs no normal approximation, holds where nobody drove (observed = 0), and knows that a visit
which is nearly certain (p near 1) varies less than a Poisson number does. A normal prior on c, the L2 penalty of
corrections, keeps one odd route from being evidence: what was expected never and seen once gains half a nat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ...core.types import Floats, Ids

_LARGEST = 30.0
"""Nats: no correction is larger."""
_HALVINGS = 44
_CERTAIN = 1.0 - 1e-9
_Curve = Callable[[Floats], Floats]


@dataclass(frozen=True, eq=False)
class Gains:
    """Of every candidate."""

    correction: Floats
    """float64[M], nats of the reward, at which the gain is largest."""
    gain: Floats
    """float64[M] >= 0, nats, prior included."""
    statistic: Floats
    """float64[M]: ``sign(observed - expected) sqrt(2 gain)``; about standard normal by chance, or smaller."""


def tilted_gains(observed: Floats, candidate: Ids, probability: Floats, weight: Floats, penalty: float) -> Gains:
    """Largest gain of every candidate under a prior of variance ``1 / penalty``.

    Parameters
    ----------
    observed
        float64[M], weight of the routes that came by.
    candidate, probability, weight
        [K], one entry per candidate and trip: which candidate, how probable a visit is (an expected number above 1,
        which loops may give, counts as certain), and how many routes.
    penalty
        > 0.

    Notes
    -----
    O(K) times 45 halvings: the derivative falls all the way, so that bisection cannot fail.
    """
    p = np.clip(probability, 1e-300, _CERTAIN)
    logit = np.log(p) - np.log1p(-p)

    def expected(correction: Floats) -> Floats:
        tilted = weight * expit(logit + correction[candidate])
        return np.bincount(candidate, tilted, minlength=len(observed)).astype(np.float64)

    def lost(correction: Floats) -> Floats:
        terms = weight * np.logaddexp(np.log1p(-p), np.log(p) + correction[candidate])
        return np.bincount(candidate, terms, minlength=len(observed)).astype(np.float64)

    return _best(observed, expected, lost, penalty)


def poisson_gains(observed: Floats, expected: Floats, penalty: float) -> Gains:
    """The same for numbers of which only the expectation is known, float64[M]: never larger than `tilted_gains`."""

    def tilted(correction: Floats) -> Floats:
        return expected * np.exp(correction)

    return _best(observed, tilted, lambda correction: expected * np.expm1(correction), penalty)


def _best(observed: Floats, expected: _Curve, lost: _Curve, penalty: float) -> Gains:
    low, high = np.full(len(observed), -_LARGEST), np.full(len(observed), _LARGEST)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        is_rising = observed - expected(middle) - penalty * middle > 0
        low, high = np.where(is_rising, middle, low), np.where(is_rising, high, middle)
    correction = 0.5 * (low + high)
    gain = np.maximum(correction * observed - lost(correction) - 0.5 * penalty * correction**2, 0.0)
    return Gains(correction, gain, np.sign(correction) * np.sqrt(2.0 * gain))
