"""Demonstrations as the solvers want them: grouped by destination, each route reduced to its origin and its counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.types import Floats, Ids, Ints
from .destinations import Destinations


@dataclass(frozen=True, eq=False)
class TripBatch:
    """All that the likelihood of a set of routes needs.

    Under a Markovian policy a route's log-likelihood is the reward of its turns minus the value at its origin, so the
    routes enter through ``observed`` (how often each turn was taken) and the (origin, destination) pairs alone.
    """

    destinations: Destinations
    first: Ids
    """int64[D+1]: the pairs of destination d are ``first[d] .. first[d+1]``."""
    origin: Ints
    """int32[P], origin edge of each distinct (origin, destination) pair."""
    weight: Floats
    """float64[P], sum of the weights of the routes of that pair."""
    observed: Floats
    """float64[T], weighted count of each turn over all routes; empty for a block."""

    @cached_property
    def column(self) -> Ids:
        """int64[P], which destination each pair goes to."""
        return np.repeat(np.arange(len(self.destinations)), np.diff(self.first))

    def block(self, begin: int, end: int) -> TripBatch:
        """The pairs of destinations ``begin .. end``."""
        low, high = self.first[begin], self.first[end]
        return TripBatch(
            self.destinations.block(begin, end),
            self.first[begin : end + 1] - low,
            self.origin[low:high],
            self.weight[low:high],
            self.observed[:0],
        )
