"""The likelihood of the whole map's model from one region's side: what it says in each of three rounds.

See `irl.border_system` for the system, and `distributed.border` for who asks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.types import Bools, Floats, Ints
from ..graphs.road_graph import RoadNetwork
from .border_system import RegionSystem, RegionTrips, RegionValues
from .features import make_features
from .regional_features import RegionalFeatures
from .regional_likelihood import Block


@dataclass(frozen=True, eq=False)
class RegionTripSet:
    """Trips of one purpose as a region knows them, and the turns that they took in it."""

    trips: RegionTrips
    turn: Ints
    """int32[M], turns of the shard's network that any trip took."""
    turn_weight: Floats
    """float64[M]."""
    is_held_out: bool


@dataclass(frozen=True, eq=False)
class Reduced:
    """A region's first word: its rows of the border system; where ``refusal`` says why not, there are none."""

    matrix: Floats
    source: Floats
    entries: Ints
    """int32[S], numbers of its entries among all border states."""
    borders: Ints
    """int32[B]."""
    refusal: str = ""


class BorderLikelihood:
    """A region's part in evaluating the whole map's model; a function of its arguments, with the last LU at hand.

    Parameters
    ----------
    network
        The region's own edges and the exits onto which its turns lead.
    region
        int32[E], which of the shard's regions prices each edge.
    is_exit, is_entry
        bool[E].
    number
        int32[E], the number of each border state among all of the map's; -1 elsewhere.
    """

    def __init__(
        self,
        network: RoadNetwork,
        region: Ints,
        num_regions: int,
        names: tuple[str, ...],
        is_exit: Bools,
        is_entry: Bools,
        number: Ints,
        trip_sets: tuple[RegionTripSet, ...],
    ) -> None:
        self.network, self.trip_sets = network, trip_sets
        self._features = RegionalFeatures(make_features(network, names), region, num_regions)
        self._is_exit, self._is_entry, self._number = is_exit, is_entry, number
        self._kept: tuple[bytes, RegionSystem] | None = None
        self._observed = [self._features.project_at(one.turn, one.turn_weight) for one in trip_sets]
        self.blocks = tuple(
            Block(k, 0, len(one.trips.origin), one.is_held_out, float(one.trips.weight.sum()))
            for k, one in enumerate(trip_sets)
        )

    def reduce(self, block: Block, table: Floats) -> Reduced:
        """Round one, under coefficients float64[K, F]."""
        system = self._system(table)
        entries, borders = self._number[system.border[: system.num_entries]], self._number[system.border]
        if not system.has_values:
            nothing = np.zeros((0, 0))
            return Reduced(nothing, nothing, entries, borders, "InfeasibleRewardError: values diverge inside a region")
        return Reduced(*system.reduce(self.trip_sets[block.trip_set].trips), entries, borders)

    def values(self, block: Block, table: Floats, border: Floats) -> RegionValues:
        """Round two: its part of the negative log-likelihood (in ``total``), and what it owes to the borders."""
        found = self._system(table).values(self.trip_sets[block.trip_set].trips, np.asarray(border))
        observed = float(self._observed[block.trip_set] @ table.ravel())
        return RegionValues(found.total - observed, found.adjoint)

    def gradient(self, block: Block, table: Floats, border: Floats, visits: Floats) -> Floats:
        """Round three: its part of the gradient of the negative log-likelihood, float64[K, F]."""
        trips = self.trip_sets[block.trip_set].trips
        counts = self._system(table).flow(trips, np.asarray(border), np.asarray(visits))
        slope = self._features.project(counts) - self._observed[block.trip_set]
        return slope.reshape(table.shape)

    def _system(self, table: Floats) -> RegionSystem:
        key = table.tobytes()
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # one LU at a time in memory
            reward = self._features.reward(table.ravel())
            self._kept = key, RegionSystem(self.network.turns, self._is_exit, self._is_entry, reward)
        return self._kept[1]
