"""Trips sorted by the region that they belong to, through files: one region's trips are in memory at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.partition import Partition
from ..graphs.road_graph import ragged_rows
from ..irl.demonstrations import Demonstrations
from ..irl.destinations import Ending
from ..irl.pieces import cut_at_borders
from ..irl.spooled_routes import SpooledRoutes

_KINDS = 4
"""Learned from or held out, under arrival or stop: number ``2 * is_held_out + is_stop``."""


@dataclass(frozen=True, eq=False)
class Trips:
    """Trips of one kind in one region, edges as positions in the whole network."""

    ending: Ending
    is_held_out: bool
    first: Ids
    edge: Ints
    weight: Floats
    is_cut: bool


@dataclass(frozen=True, eq=False)
class SortedTrips:
    """All trips, in files by region and kind; each in the order of the routes."""

    folder: Path
    num_regions: int
    is_cut: bool
    num_crossing: int
    """Routes that touch more than one region."""

    def __iter__(self) -> Iterator[tuple[int, list[Trips]]]:
        """Every region with trips, and its trips: learned from and held out, by how they end."""
        for region in range(self.num_regions):
            sets = [self._read(region, kind) for kind in range(_KINDS) if self._path(region, kind, "count").exists()]
            if sets:
                yield region, sets

    def _path(self, region: int, kind: int, what: str) -> Path:
        return self.folder / f"{region}.{kind}.{what}"

    def _read(self, region: int, kind: int) -> Trips:
        count = np.fromfile(self._path(region, kind, "count"), np.int64)
        first = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
        edge = np.fromfile(self._path(region, kind, "edge"), np.int32)
        weight = np.fromfile(self._path(region, kind, "weight"), np.float64)
        return Trips("stop" if kind % 2 else "arrival", kind >= 2, first, edge, weight, self.is_cut)

    def append(self, key: int, count: Ids, edge: Ints, weight: Floats) -> None:
        """Add trips of one region and kind, ``key = region * 4 + kind``."""
        region, kind = divmod(key, _KINDS)
        for what, array in (("count", count), ("edge", edge), ("weight", weight)):
            with open(self._path(region, kind, what), "ab") as file:
                file.write(np.ascontiguousarray(array).tobytes())


@contextmanager
def sorted_trips(
    routes: SpooledRoutes, partition: Partition, crossing: str, is_held_out: Bools, folder: Path
) -> Iterator[SortedTrips]:
    """Sort the routes, or their pieces where ``crossing`` is ``"cut"``, into files that go at the end. O(M).

    Disk: 4 bytes per edge of the routes, and 16 per trip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".trips-") as place:
        is_cut = crossing == "cut"
        result = SortedTrips(Path(place), partition.num_regions, is_cut, 0)
        num_crossing = 0
        for begin, block in routes.blocks():
            num_crossing += int(partition.is_crossing(block.first, block.edge).sum())
            _sort(result, block, partition, is_held_out[begin : begin + len(block)], routes.ending)
        yield SortedTrips(Path(place), partition.num_regions, is_cut, num_crossing)


def _sort(result: SortedTrips, block: Demonstrations, partition: Partition, is_held_out: Bools, ending: Ending) -> None:
    if result.is_cut:
        pieces = cut_at_borders(block.first, block.edge, partition.region)
        first, edge, home, route = pieces.first, pieces.edge, pieces.region, pieces.route
        ends_by_arrival = pieces.is_exit | (ending == "arrival")
    else:
        first, edge, home = block.first, block.edge, partition.region[block.origin]
        route = np.arange(len(block), dtype=np.int64)
        ends_by_arrival = np.full(len(block), ending == "arrival")
    key = home.astype(np.int64) * _KINDS + 2 * is_held_out[route] + ~ends_by_arrival
    order = np.argsort(key, kind="stable")
    flat, offsets = ragged_rows(first, order)
    edge, weight, count = edge[flat], block.weight[route[order]], np.diff(offsets)
    bounds = np.flatnonzero(np.diff(key[order], prepend=-1, append=-1))
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        own = edge[offsets[begin] : offsets[end]]
        result.append(int(key[order[begin]]), count[begin:end], own, weight[begin:end])
