"""Trips on the compressed graph of their turns: the same problem, smaller, for any solver of horizon infinity."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from ..core.types import Ints
from ..graphs.compression import Compression, CompressionSteps, compress
from ..graphs.turns import TurnGraph
from .trips import TripBatch

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CompressedTrips:
    """A batch, and the same on its compressed graph."""

    original: TripBatch
    compression: Compression
    batch: TripBatch
    """Edges are states of ``compression.turns``. ``observed`` is empty: what was observed needs no values."""


def compress_trips(turns: TurnGraph, trips: TripBatch, steps: CompressionSteps | None = None) -> CompressedTrips:
    """Compress a graph of turns as far as the origins and destinations of some trips let it be; see `compress`.

    Values, likelihoods, gradients and Hessians of the trips are those of the original graph for every reward, rewards
    and features going through `Compression.to_turns`, gradients in rewards back through `Compression.from_turns`.
    """
    return _moved(compress(turns, trips.destinations.edge, trips.origin, steps), trips)


class TripCompressor:
    """Compressed trips of one graph of turns: compressed when first asked for, and anew only for trips that need it.

    Parameters
    ----------
    whole
        All trips that are to come, where they come in parts: compressing for them serves each part.
    """

    def __init__(self, turns: TurnGraph, whole: TripBatch | None = None) -> None:
        self._turns, self.whole = turns, whole
        self._last: CompressedTrips | None = None
        self._goals: Ints = np.zeros(0, np.int32)

    def trips(self, trips: TripBatch) -> CompressedTrips:
        """These trips, on a graph compressed for them or for more."""
        found = self.serving(trips)
        if found is None and self.whole is not None:
            self._compress(self.whole)
            found = self.serving(trips)
        return found or self._compress(trips)

    def serving(self, trips: TripBatch) -> CompressedTrips | None:
        """These trips on the last compressed graph, None where that has no place for them, or there is none yet."""
        if self._last is None or self._last.original is trips:
            return self._last
        made = self._last.compression
        # What leads to goals alone is there. A state that was dropped may be kept for its name as a goal, without the
        # turns that an origin wants.
        if not np.isin(trips.destinations.edge, self._goals).all():
            return None
        if (made.state_of[trips.origin] < 0).any() or made.is_dropped[trips.origin].any():
            return None
        self._last = _moved(made, trips)
        return self._last

    def _compress(self, trips: TripBatch) -> CompressedTrips:
        self._last, self._goals = compress_trips(self._turns, trips), trips.destinations.edge
        _log.info("compressed for %d trips: %s", len(trips.origin), self._last.compression.describe())
        return self._last


def _moved(small: Compression, trips: TripBatch) -> CompressedTrips:
    ends = trips.destinations
    key = small.state_of[ends.key] if ends.ending == "arrival" else ends.key
    moved = replace(ends, key=key, edge=small.state_of[ends.edge])
    batch = replace(trips, destinations=moved, origin=small.state_of[trips.origin], observed=trips.observed[:0])
    return CompressedTrips(trips, small, batch)
