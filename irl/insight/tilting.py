"""What a correction of a single edge or turn would gain: the likelihood ratio behind the list of contradictions.

A correction c of the reward of one edge multiplies the probability of every route over it by e^c, before routes are
normalised. So where a trip comes by with probability p at most once, it does so with ``p e^c / (1 - p + p e^c)`` under
the correction, exactly, and the log-likelihood of all trips changes by

    gain(c) = c observed - sum of w log(1 - p + p e^c),    gain'(0) = observed - expected,

the score. Its maximum needs no normal approximation, holds where nobody drove (observed = 0), and knows that a visit
which is nearly certain (p near 1) varies less than a Poisson number does. A normal prior on c, the L2 penalty of
corrections, keeps one odd route from being evidence: what was expected never and seen once gains half a nat.

Maps know one contradiction that is no matter of degree: a way that is shut. Where nobody came by, that is tried too,
``gain = - sum of w log(1 - p)``, without the prior on c, which would let no correction be that large, but with prior
odds of its own. Otherwise the detours, whose corrections are finite, would seem to be the cause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ...core.types import Bools, Floats, Ids

_LARGEST = 30.0
"""Nats: no correction is larger."""
_HALVINGS = 44
_CERTAIN = 1.0 - 1e-9
SHUT = -30.0
"""The correction, in nats of the reward, of what is shut."""
_ODDS_OF_SHUT = 2.0
"""Nats that the gain of being shut has to pay: then nobody where ten were expected is a statistic of 4, whose normal
probability is about that of a Poisson zero."""
_MOST_CERTAIN = 0.95
"""Of a visit, where one is missing: some traveller in twenty does something else, whatever a model says."""
_Curve = Callable[[Floats], Floats]


@dataclass(frozen=True, eq=False)
class Gains:
    """Of every candidate."""

    correction: Floats
    """float64[M], nats of the reward, at which the gain is largest under the prior."""
    gain: Floats
    """float64[M] >= 0, nats, prior included."""
    statistic: Floats
    """float64[M]: ``sign(observed - expected) sqrt(2 gain)``; about standard normal by chance, or smaller."""
    is_shut: Bools
    """bool[M]: nobody came by, and that the way is shut explains it better than any correction."""


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

    surprises = -weight * np.log1p(-np.minimum(p, _MOST_CERTAIN))
    missing = np.bincount(candidate, surprises, minlength=len(observed)).astype(np.float64)
    return _best(observed, expected, lost, missing, penalty)


def poisson_gains(observed: Floats, expected: Floats, penalty: float) -> Gains:
    """The same for numbers of which only the expectation is known, float64[M]: seldom larger than `tilted_gains`."""

    def tilted(correction: Floats) -> Floats:
        return expected * np.exp(correction)

    return _best(observed, tilted, lambda correction: expected * np.expm1(correction), expected, penalty)


def _best(observed: Floats, expected: _Curve, lost: _Curve, missing: Floats, penalty: float) -> Gains:
    low, high = np.full(len(observed), -_LARGEST), np.full(len(observed), _LARGEST)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        is_rising = observed - expected(middle) - penalty * middle > 0
        low, high = np.where(is_rising, middle, low), np.where(is_rising, high, middle)
    correction = 0.5 * (low + high)
    gain = np.maximum(correction * observed - lost(correction) - 0.5 * penalty * correction**2, 0.0)
    shut = missing - _ODDS_OF_SHUT
    is_shut = (observed == 0) & (shut > gain)
    gain = np.where(is_shut, shut, gain)
    return Gains(correction, gain, np.sign(correction) * np.sqrt(2.0 * gain), is_shut)
