"""OpenStreetMap files into arrays, by osmium; the only module that imports it.

Two passes: ways and restriction relations first, then only the positions of the nodes that the kept ways use. Python
sees one object per way with a ``highway`` tag and none per node, so that neither time nor memory follows the file.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EmptyNetworkError, InputFileError
from ..core.types import Bools, Floats, Ids, Ints
from .attributes import categories, direction, parse_lanes, parse_speed_kmh, skip_reason
from .file_kinds import check_osm_file
from .restrictions import Restriction, RestrictionReader
from .road_graph import Categories

DUPLICATE_CHECK_LIMIT = 20_000_000
"""Files with more nodes than this are not searched for node ids given twice (that costs 48 bytes per node)."""


@dataclass(frozen=True, eq=False)
class WayTable:
    """The driven ways of an extract, one row per way, as tagged."""

    way_id: Ids
    """int64[W], unique, in the file's order."""
    first_ref: Ids
    """int64[W+1]: the nodes of way w are ``ref[first_ref[w] : first_ref[w+1]]``."""
    ref: Ids
    """int64[R], OSM node ids."""
    is_forward: Bools
    is_backward: Bools
    """bool[W]: may be driven along, against the order of its nodes."""
    speed_kmh: Floats
    """float64[W], NaN = not tagged."""
    lanes: Ints
    """int32[W], as tagged for the whole road (both directions), 0 = not tagged."""
    is_toll: Bools
    is_bridge: Bools
    is_tunnel: Bools
    road_class: Categories
    surface: Categories
    access: Categories
    name: Categories


@dataclass(frozen=True, eq=False)
class OsmRoads:
    """What is read from an OSM file before any graph is made of it."""

    ways: WayTable
    node_id: Ids
    """int64[K], ascending: the nodes of the ways whose position the file holds."""
    latitude_e7: Ints
    longitude_e7: Ints
    restrictions: tuple[Restriction, ...]
    report: dict[str, Any]


def read_osm(path: str | Path, *, include_service: bool = False) -> OsmRoads:
    """Read the driven ways, their nodes and the turn restrictions of an OSM file.

    Parameters
    ----------
    path
        ``.osm.pbf``, ``.osm``, ``.osm.gz`` or ``.osm.bz2``.
    include_service
        Drive ``highway=service`` too (not parking aisles).

    Raises
    ------
    InputFileError
        Missing, cut short, or something else than its name says.
    EmptyNetworkError
        The file is sound and holds no way to drive on.

    Notes
    -----
    About 25 microseconds per way and 30 bytes per node of the file. A way or node id that comes twice counts once:
    the first wins.
    """
    path = Path(path)
    check_osm_file(path)
    collector = _WayCollector(include_service)
    restrictions = RestrictionReader()
    _read_ways(path, collector, restrictions)
    ways = collector.table()
    if len(ways.way_id) == 0:
        raise _nothing_drivable(path, collector.report())
    wanted = np.unique(ways.ref)
    node_id, latitude_e7, longitude_e7, nodes = _read_positions(path, wanted)
    report = {**collector.report(), "nodes": nodes, "restrictions": restrictions.report()}
    return OsmRoads(ways, node_id, latitude_e7, longitude_e7, restrictions.restrictions(), report)


def _nothing_drivable(path: Path, report: Mapping[str, Any]) -> EmptyNetworkError:
    reasons = ", ".join(f"{count} by {rule}" for rule, count in report["ways"]["skipped"].items())
    return EmptyNetworkError(
        path=path,
        problem=f"holds no way that a car may drive (ways with a highway tag left out: {reasons or 'there are none'})",
        remedy="Choose an extract with roads, or include_service=True for service roads",
    )


# ------------------------------------------------------------------------------------------------ ways, relations


@dataclass(eq=False)
class _WayCollector:
    """Gathers ways into flat arrays while the file streams by."""

    include_service: bool
    way_id: array[int] = field(default_factory=lambda: array("q"))
    first_ref: array[int] = field(default_factory=lambda: array("q", [0]))
    ref: array[int] = field(default_factory=lambda: array("q"))
    directions: array[int] = field(default_factory=lambda: array("b"))  # bit 0 forward, bit 1 backward
    flags: array[int] = field(default_factory=lambda: array("b"))  # bit 0 toll, 1 bridge, 2 tunnel
    speed_kmh: array[float] = field(default_factory=lambda: array("d"))
    lanes: array[int] = field(default_factory=lambda: array("i"))
    texts: dict[str, list[str]] = field(default_factory=lambda: {key: [] for key in _TEXT_KEYS})
    seen: set[int] = field(default_factory=set)
    skipped: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)

    def add(self, way: Any) -> None:
        tags = way.tags
        reason = skip_reason(_Tags(tags), include_service=self.include_service)
        if reason is None and len(way.nodes) < 2:
            reason = "fewer than two nodes"
        if reason is None and way.id in self.seen:
            reason = "way id given twice"
        if reason is not None:
            self.skipped[reason] += 1
            return
        self.seen.add(way.id)
        self.way_id.append(way.id)
        self.ref.extend([node.ref for node in way.nodes])
        self.first_ref.append(len(self.ref))
        self._add_tags({tag.k: tag.v for tag in tags})

    def _add_tags(self, tags: dict[str, str]) -> None:
        way_direction, rule = direction(tags)
        self.rules[rule] += 1
        self.directions.append({"forward": 1, "backward": 2, "both": 3}[way_direction])
        self.flags.append(sum(bit for key, bit in _FLAGS if tags.get(key, "no") not in _NO))
        speed = self._parse("maxspeed", tags, parse_speed_kmh)
        self.speed_kmh.append(float("nan") if speed is None else speed)
        self.lanes.append(int(self._parse("lanes", tags, parse_lanes) or 0))
        for key, column in self.texts.items():
            column.append(tags.get(key, ""))

    def _parse(self, key: str, tags: dict[str, str], parse: Any) -> float | None:
        if key not in tags:
            return None
        value: float | None = parse(tags[key])
        if not value:
            self.unreadable[key] += 1
        return value

    def table(self) -> WayTable:
        directions, flags = (np.array(column, np.int8) for column in (self.directions, self.flags))
        return WayTable(
            way_id=np.array(self.way_id, np.int64),
            first_ref=np.array(self.first_ref, np.int64),
            ref=np.array(self.ref, np.int64),
            is_forward=(directions & 1) > 0,
            is_backward=(directions & 2) > 0,
            speed_kmh=np.array(self.speed_kmh, np.float64),
            lanes=np.array(self.lanes, np.int32),
            is_toll=(flags & 1) > 0,
            is_bridge=(flags & 2) > 0,
            is_tunnel=(flags & 4) > 0,
            road_class=categories(self.texts["highway"]),
            surface=categories(self.texts["surface"]),
            access=categories(self.texts["access"]),
            name=categories(self.texts["name"]),
        )

    def report(self) -> dict[str, Any]:
        return {
            "ways": {
                "with_highway_tag": len(self.way_id) + sum(self.skipped.values()),
                "kept": len(self.way_id),
                "skipped": dict(self.skipped.most_common()),
                "direction_by": dict(self.rules.most_common()),
                "unreadable_values": dict(self.unreadable),
            }
        }


_TEXT_KEYS = ("highway", "surface", "access", "name")
_FLAGS = (("toll", 1), ("bridge", 2), ("tunnel", 4))
_NO = frozenset({"no", "false", "0", ""})


class _Tags(Mapping[str, str]):
    """An osmium tag list as a mapping, without copying the tags of ways that are skipped anyway."""

    __slots__ = ("_tags",)

    def __init__(self, tags: Any) -> None:
        self._tags = tags

    def __contains__(self, key: object) -> bool:
        return key in self._tags

    def __getitem__(self, key: str) -> str:
        return str(self._tags[key])

    def get(self, key: str, default: Any = None) -> Any:
        return self._tags.get(key, default)

    def __iter__(self) -> Iterator[str]:
        return (tag.k for tag in self._tags)

    def __len__(self) -> int:
        return len(self._tags)


def _read_ways(path: Path, collector: _WayCollector, restrictions: RestrictionReader) -> None:
    import osmium

    entities = osmium.osm.WAY | osmium.osm.RELATION
    with_roads = osmium.filter.KeyFilter("highway").enable_for(osmium.osm.WAY)
    with_type = osmium.filter.KeyFilter("type").enable_for(osmium.osm.RELATION)
    try:
        for item in osmium.FileProcessor(str(path), entities).with_filter(with_roads).with_filter(with_type):
            if item.deleted or not item.visible:
                continue
            if item.is_way():
                collector.add(item)
            elif item.tags["type"].startswith("restriction"):
                members = [(member.type, member.ref, member.role) for member in item.members]
                restrictions.add(item.id, dict(item.tags), members)
    except (RuntimeError, UnicodeDecodeError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> InputFileError:
    return InputFileError(
        path=path,
        problem=f"is damaged or cut short: osmium stopped with {error}",
        remedy="Compare its size and checksum with the source's, and fetch it again",
    )


# ------------------------------------------------------------------------------------------------ node positions


def _read_positions(path: Path, wanted: Ids) -> tuple[Ids, Ints, Ints, dict[str, Any]]:
    """Ids and positions of the wanted nodes that the file holds, and counts."""
    try:
        num_nodes, num_twice, table = _location_table(path)
        if num_twice or (len(wanted) and wanted[0] < 0):
            # Rare: the table keeps any one of the positions, and knows no negative ids.
            found, x, y = _first_positions(path, wanted)
        else:
            found, x, y = _look_up(table, wanted)
    except RuntimeError as error:
        raise _broken(path, error) from error
    is_valid = (np.abs(x) <= 1_800_000_000) & (np.abs(y) <= 900_000_000)
    counts = {
        "in_file": num_nodes,
        "wanted": len(wanted),
        "missing": len(wanted) - len(found),
        "position_out_of_range": int((~is_valid).sum()),
        "node_ids_given_twice": num_twice,
    }
    return found[is_valid], y[is_valid].astype(np.int32), x[is_valid].astype(np.int32), counts


def _location_table(path: Path) -> tuple[int, int | None, Any]:
    """Every node's position in osmium's own table, the number of nodes, and how many ids came more than once."""
    import osmium

    tables = {"sparse_mem_array": osmium.index.create_map("sparse_mem_array")}
    _fill(path, tables["sparse_mem_array"])
    num_nodes = tables["sparse_mem_array"].used_memory() // 16
    if num_nodes > DUPLICATE_CHECK_LIMIT:
        return num_nodes, None, tables["sparse_mem_array"]
    # A map counts an id once, the array every time: their sizes tell whether ids repeat, without a Python loop.
    distinct = osmium.index.create_map("sparse_mem_map")
    _fill(path, distinct)
    return num_nodes, num_nodes - distinct.used_memory() // 48, tables["sparse_mem_array"]


def _fill(path: Path, table: Any) -> None:
    import osmium

    with osmium.io.Reader(str(path), osmium.osm.NODE) as reader:
        osmium.apply(reader, osmium.NodeLocationsForWays(table))


def _look_up(table: Any, wanted: Ids) -> tuple[Ids, Ids, Ids]:
    found, x, y = array("q"), array("q"), array("q")
    for node in wanted.tolist():
        try:
            location = table.get(node)
        except KeyError:
            continue
        found.append(node)
        x.append(location.x)
        y.append(location.y)
    return np.array(found, np.int64), np.array(x, np.int64), np.array(y, np.int64)


def _first_positions(path: Path, wanted: Ids) -> tuple[Ids, Ids, Ids]:
    """The same by a Python loop over all nodes of the file: the first position of an id wins."""
    import osmium

    missing = set(wanted.tolist())
    found: list[tuple[int, int, int]] = []
    for node in osmium.FileProcessor(str(path), osmium.osm.NODE):
        if node.id in missing:
            missing.remove(node.id)
            found.append((node.id, node.location.x, node.location.y))
    columns = np.array(sorted(found), np.int64).reshape(-1, 3)
    return columns[:, 0], columns[:, 1], columns[:, 2]
