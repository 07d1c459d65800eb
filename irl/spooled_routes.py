"""Routes on disk as plain arrays, checked once and read in blocks: what a driver keeps of them while it cuts a map."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import NoDemonstrationsError
from ..core.scratch import Empty
from ..core.types import Floats, Ids, Ints
from ..graphs.road_graph import RoadNetwork
from .demonstrations import Demonstrations, demonstration_blocks
from .destinations import Ending
from .texts import Texts

_ROWS = 1 << 15
"""Routes of a block: some 10 MB of routes of 90 edges."""
_HASHED = 1 << 22


class DistinctKeys:
    """Keys of many blocks, each once, merged before what is new outgrows what is known."""

    def __init__(self) -> None:
        self._known, self._new, self._num_new = np.zeros(0, np.int64), list[Ids](), 0

    def add(self, keys: Ids) -> None:
        """Keys of a block, int64, in any order."""
        self._new.append(np.unique(keys))
        self._num_new += len(self._new[-1])
        if self._num_new > len(self._known):
            self._known, self._new, self._num_new = self.keys(), [], 0

    def keys(self) -> Ids:
        """int64, sorted."""
        return np.unique(np.concatenate([self._known, *self._new]))


@dataclass(frozen=True, eq=False)
class SpooledRoutes:
    """Usable routes on one network, possible under one ending; their arrays lie in a folder and are read as asked.

    In memory: 16 bytes per route while a block is found, and `traveller`. Whoever made it deletes the folder.
    """

    network: RoadNetwork
    folder: Path
    ending: Ending
    num_routes: int
    num_edges: int
    """Of all routes together."""
    weight: Floats
    """float64[R], > 0, mapped."""
    skipped_by_reason: dict[str, int]
    """Most frequent first."""
    source: str
    is_simulated: bool
    traveller: Texts | None = None

    def __len__(self) -> int:
        return self.num_routes

    def blocks(self, rows: int = _ROWS) -> Iterator[tuple[int, Demonstrations]]:
        """(row of the first, some consecutive routes), from the first route to the last. O(M) in all."""
        for begin in range(0, len(self), rows):
            yield begin, self._between(begin, min(begin + rows, len(self)))

    def take(self, rows: Ids) -> Demonstrations:
        """Some routes in memory, in that order; they have numbers for ids."""
        first, edge = self._mapped("first", np.int64), self._mapped("edge", np.int32)
        routes = [np.array(edge[first[row] : first[row + 1]]) for row in np.asarray(rows).tolist()]
        offsets = np.concatenate([[0], np.cumsum([len(route) for route in routes])]).astype(np.int64)
        flat = np.concatenate(routes) if routes else np.zeros(0, np.int32)
        return self._made(np.asarray(rows), offsets, flat, np.array(self.weight[rows]))

    def whole(self) -> Demonstrations:
        """All routes in memory."""
        return self._between(0, len(self))

    def digest(self, ending: Ending) -> str:
        """What `Demonstrations.digest` gives for the same routes. O(bytes)."""
        digest = hashlib.sha256(f"{self.network.checksum} {ending} ".encode())
        for name in ("first", "edge", "weight"):
            with open(self.folder / name, "rb") as file:
                while block := file.read(_HASHED):
                    digest.update(block)
        return digest.hexdigest()

    def pair_keys(self, ending: Ending) -> Ids:
        """int64, sorted: the distinct `Demonstrations.pair_keys` of all routes."""
        found = DistinctKeys()
        for _, block in self.blocks():
            found.add(block.pair_keys(ending))
        return found.keys()

    def weight_of_edges(self, empty: Empty = np.empty) -> Floats:
        """float64[E]: the weight of the routes over each edge, the same to the byte whatever the blocks."""
        total = empty(self.network.graph.num_edges)
        total[:] = 0.0
        for _, block in self.blocks():
            np.add.at(total, block.edge, np.repeat(block.weight, np.diff(block.first)))
        return total

    def _between(self, begin: int, end: int) -> Demonstrations:
        first = self._part("first", np.int64, begin, end + 1)
        edge = self._part("edge", np.int32, int(first[0]), int(first[-1]))
        weight = self._part("weight", np.float64, begin, end)
        return self._made(np.arange(begin, end), first - first[0], edge, weight)

    def _made(self, rows: Ids, first: Ids, edge: Ints, weight: Floats) -> Demonstrations:
        names = Texts.of([str(row) for row in rows.tolist()])
        travellers = None if self.traveller is None else self.traveller.take(rows)
        return Demonstrations(
            self.network,
            first,
            edge,
            names,
            weight,
            Texts.nothing(len(rows)),
            (),
            self.source,
            self.is_simulated,
            travellers,
        )

    def _part(self, name: str, kind: Any, begin: int, end: int) -> NDArray[Any]:
        size = np.dtype(kind).itemsize
        return np.fromfile(self.folder / name, kind, end - begin, offset=begin * size)

    def _mapped(self, name: str, kind: Any) -> NDArray[Any]:
        return np.memmap(self.folder / name, kind, "r")


def spool_routes(
    source: str | Path | Demonstrations,
    network: RoadNetwork,
    folder: Path,
    ending: Ending,
    *,
    strict: bool = False,
    keep_travellers: bool = False,
) -> SpooledRoutes:
    """Write the usable routes of a file, or of memory, to a folder of plain arrays, a block of rows at a time.

    Parameters
    ----------
    folder
        Whatever stands there goes.
    strict
        As for `read_demonstrations`.
    keep_travellers
        Keep the name of every route's traveller in memory.

    Raises
    ------
    InputFileError, DemonstrationError, NoDemonstrationsError
        As for `read_demonstrations`; routes that the ending does not allow are skipped and counted as well.

    Notes
    -----
    Disk: 4 bytes per edge of the routes, and 16 per route.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if isinstance(source, Demonstrations):
        return _spooled(_slices(source), network, folder, ending, keep_travellers)
    return _spooled(demonstration_blocks(source, network, strict=strict), network, folder, ending, keep_travellers)


def _slices(routes: Demonstrations) -> Iterator[Demonstrations]:
    """Blocks of routes, of which the first tells of those that were skipped."""
    for begin in range(0, max(len(routes), 1), _ROWS):
        part = routes.take(np.arange(begin, min(begin + _ROWS, len(routes))))
        yield part if begin == 0 else Demonstrations(**{**vars(part), "skipped": ()})


def _spooled(
    blocks: Iterable[Demonstrations], network: RoadNetwork, folder: Path, ending: Ending, keep_travellers: bool
) -> SpooledRoutes:
    skipped: Counter[str] = Counter()
    travellers: list[Texts | None] = []
    num_routes = num_edges = 0
    about: dict[str, Any] = {"source": "memory", "is_simulated": False}
    with open(folder / "first", "wb") as first, open(folder / "edge", "wb") as edge, open(folder / "weight", "wb") as w:
        first.write(np.zeros(1, np.int64).tobytes())
        for read in blocks:
            block = read.for_ending(ending, needs_some=False)
            skipped.update(block.skipped_by_reason)
            about = {"source": block.source, "is_simulated": about["is_simulated"] or block.is_simulated}
            first.write((block.first[1:] + num_edges).tobytes())
            edge.write(block.edge.tobytes())
            w.write(block.weight.tobytes())
            num_routes, num_edges = num_routes + len(block), num_edges + len(block.edge)
            if keep_travellers:
                travellers.append(block.traveller)
    if num_routes == 0:
        causes = dict(skipped.most_common())
        raise NoDemonstrationsError(source=about["source"], num_routes=sum(causes.values()), causes=causes)
    named = [one for one in travellers if one is not None]
    return SpooledRoutes(
        network,
        folder,
        ending,
        num_routes,
        num_edges,
        np.memmap(folder / "weight", np.float64, "r"),
        dict(skipped.most_common()),
        **about,
        traveller=Texts.joined(named) if named and len(named) == len(travellers) else None,
    )
