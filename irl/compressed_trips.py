"""Trips on the compressed graph of their turns: the same problem, smaller, for any solver of horizon infinity."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..graphs.compression import Compression, CompressionSteps, compress
from ..graphs.turns import TurnGraph
from .trips import TripBatch


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
    ends = trips.destinations
    small = compress(turns, ends.edge, trips.origin, steps)
    key = small.state_of[ends.key] if ends.ending == "arrival" else ends.key
    moved = replace(ends, key=key, edge=small.state_of[ends.edge])
    batch = replace(trips, destinations=moved, origin=small.state_of[trips.origin], observed=trips.observed[:0])
    return CompressedTrips(trips, small, batch)
