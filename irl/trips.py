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


@dataclass(frozen=True, eq=False)
class StepBatch:
    """Routes as a finite horizon needs them: how often each turn was taken on the way to each destination.

    There the likelihood does not telescope, so that every demonstrated state counts, not origins alone.
    """

    destinations: Destinations
    first: Ids
    """int64[D+1]: the steps of destination d are ``first[d] .. first[d+1]``."""
    turn: Ints
    """int32[S], each turn once per destination, ascending."""
    weight: Floats
    """float64[S], sum of the weights of the routes that took it; several times, if a route did so."""
    stop_first: Ids
    """int64[D+1]: the stops at destination d are ``stop_first[d] .. stop_first[d+1]``; none under *arrival*."""
    stop_edge: Ints
    """int32[Z], the edges on which routes stopped, each once per destination."""
    stop_weight: Floats
    """float64[Z]."""

    @cached_property
    def column(self) -> Ids:
        """int64[S], which destination each step is on the way to."""
        return np.repeat(np.arange(len(self.destinations)), np.diff(self.first))

    @cached_property
    def stop_column(self) -> Ids:
        """int64[Z], which destination each stop is at."""
        return np.repeat(np.arange(len(self.destinations)), np.diff(self.stop_first))

    def block(self, begin: int, end: int) -> StepBatch:
        """The steps and stops of destinations ``begin .. end``."""
        low, high = self.first[begin], self.first[end]
        stop_low, stop_high = self.stop_first[begin], self.stop_first[end]
        return StepBatch(
            self.destinations.block(begin, end),
            self.first[begin : end + 1] - low,
            self.turn[low:high],
            self.weight[low:high],
            self.stop_first[begin : end + 1] - stop_low,
            self.stop_edge[stop_low:stop_high],
            self.stop_weight[stop_low:stop_high],
        )


@dataclass(frozen=True, eq=False)
class RouteBatch:
    """Whole routes, each distinct one once: what corridors of a finite horizon run along, and horizon 0 anywhere."""

    destinations: Destinations
    column: Ids
    """int64[N], the destination of each route."""
    first: Ids
    """int64[N+1]: the edges of route n are ``edge[first[n] : first[n+1]]``."""
    edge: Ints
    """int32, edge positions."""
    weight: Floats
    """float64[N], sum of the weights of the routes that are this one."""
    margin: Floats
    """float64[E] >= 0, at horizon 0: what a demonstrated edge is worth that a route does not share, in cost."""
    row: Ids
    """int64[R], which of these each of the routes is."""


Batch = TripBatch | StepBatch | RouteBatch
"""Routes as the chosen horizon and solver need them."""
