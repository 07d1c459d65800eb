"""OpenStreetMap files into arrays, by osmium; the only module that imports it.

Passes: ways and restriction relations first, then only the positions of the nodes that the kept ways use, then tagged
nodes. Python sees one object per way with a ``highway`` tag and one per node with a sign (`trodden.graphs.node_tags`),
so that neither time nor memory follows the file.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EmptyNetworkError, InputFileError
from ..core.types import Ids, Ints
from .barriers import BarrierReader
from .file_kinds import check_coordinates, check_osm_file
from .modes import Mode, rules_of
from .node_tags import KEYS, NodeTagCollector, NodeTags
from .restrictions import RestrictionReader
from .ways import OsmRoads, WayCollector

DUPLICATE_CHECK_LIMIT = 20_000_000
"""Files with more nodes than this are not searched for node ids given twice (that costs 48 bytes per node)."""


def read_osm(path: str | Path, *, include_service: bool = False, mode: Mode = "drive") -> OsmRoads:
    """Read the ways that a mode uses, their nodes and the turn restrictions of an OSM file.

    Parameters
    ----------
    path
        ``.osm.pbf``, ``.osm``, ``.osm.gz`` or ``.osm.bz2``.
    include_service
        Drive ``highway=service`` too (not parking aisles).
    mode
        By whose rules: `trodden.graphs.modes`.

    Raises
    ------
    InputFileError
        Missing, cut short, or something else than its name says.
    EmptyNetworkError
        The file is sound and holds no way to drive on.

    Notes
    -----
    Some 50 microseconds per driven way, and 64 bytes per node of the file while it is read (16 above
    `DUPLICATE_CHECK_LIMIT`). A way or node id that comes twice counts once: the first wins.
    """
    path = Path(path)
    check_osm_file(path)
    rules = rules_of(mode)
    collector = WayCollector(include_service, rules)
    restrictions = RestrictionReader(rules.restrictions)
    _read_ways(path, collector, restrictions)
    ways = collector.table()
    if len(ways.way_id) == 0:
        raise _nothing_drivable(path, collector.report(), rules.traveller)
    wanted = np.unique(ways.ref)
    node_id, latitude_e7, longitude_e7, nodes = _read_positions(path, wanted)
    node_tags = _read_node_tags(path, node_id)
    report = {**collector.report(), "nodes": nodes, "restrictions": restrictions.report()}
    blocked = np.zeros(0, np.int64)
    if rules.barriers is not None:
        barriers = BarrierReader(rules.barriers)
        _read_barriers(path, barriers)
        blocked = barriers.blocked(node_id)
        report["barriers"] = barriers.report(node_id)
    return OsmRoads(
        ways,
        node_id,
        latitude_e7,
        longitude_e7,
        restrictions.restrictions(),
        report,
        restrictions.way_restrictions(),
        blocked,
        node_tags,
    )


def _nothing_drivable(path: Path, report: Mapping[str, Any], traveller: str) -> EmptyNetworkError:
    reasons = ", ".join(f"{count} by {rule}" for rule, count in report["ways"]["skipped"].items())
    return EmptyNetworkError(
        path=path,
        problem=f"holds no way that {traveller} may use (ways with a highway tag left out: "
        f"{reasons or 'there are none'})",
        remedy="Choose an extract with roads, or include_service=True for service roads",
    )


# ------------------------------------------------------------------------------------------------ ways, relations


def _read_ways(path: Path, collector: WayCollector, restrictions: RestrictionReader) -> None:
    import osmium

    entities = osmium.osm.WAY | osmium.osm.RELATION
    with_roads, with_type = osmium.filter.KeyFilter("highway"), osmium.filter.KeyFilter("type")
    with_roads.enable_for(osmium.osm.WAY)
    with_type.enable_for(osmium.osm.RELATION)
    item: Any
    try:
        for item in osmium.FileProcessor(str(path), entities).with_filter(with_roads).with_filter(with_type):
            if item.deleted or not item.visible:
                continue
            if item.is_way():
                collector.add(item)
            elif item.tags["type"].startswith("restriction"):
                members = [(member.type, member.ref, member.role) for member in item.members]
                restrictions.add(item.id, dict(item.tags), members)
    except _osmium_errors() as error:
        raise _broken(path, error) from error


def _read_barriers(path: Path, barriers: BarrierReader) -> None:
    """Nodes with a barrier; the others are passed over before Python sees them."""
    import osmium

    node: Any
    try:
        for node in osmium.FileProcessor(str(path), osmium.osm.NODE).with_filter(osmium.filter.KeyFilter("barrier")):
            if not node.deleted and node.visible:
                barriers.add(node.id, dict(node.tags))
    except _osmium_errors() as error:
        raise _broken(path, error) from error


def _read_node_tags(path: Path, node_id: Ids) -> NodeTags:
    """Signs and heights of some nodes; Python sees the nodes of the file that have one of a few keys."""
    import osmium

    collector = NodeTagCollector()
    item: Any
    try:
        for item in osmium.FileProcessor(str(path), osmium.osm.NODE).with_filter(osmium.filter.KeyFilter(*KEYS)):
            collector.add(item.id, {tag.k: tag.v for tag in item.tags})
    except _osmium_errors() as error:
        raise _broken(path, error) from error
    return collector.table(node_id)


def _osmium_errors() -> tuple[type[Exception], ...]:
    """What osmium raises on files that are not as they should be."""
    import osmium

    return RuntimeError, ValueError, OverflowError, osmium.InvalidLocationError


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
        # The map keeps the last of several positions, and no table knows negative ids (editors write such files).
        found, x, y = _first_positions(path, wanted) if num_twice or wanted[0] < 0 else _look_up(table, wanted)
        if num_twice is None and len(found) < len(wanted):
            # The array finds all nodes only in a sorted file.
            found, x, y = _first_positions(path, wanted)
    except _osmium_errors() as error:
        raise _broken(path, error) from error
    found, x, y = (column[found != 0] for column in (found, x, y))  # 0 is what osmium makes of an id that is not there
    is_valid = (np.abs(x) <= 1_800_000_000) & (np.abs(y) <= 900_000_000)
    if ((x == 0) | (y == 0)).any():  # osmium reads 1e99 as 0
        check_coordinates(path)
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

    each = osmium.index.create_map("sparse_mem_array")
    _fill(path, each)
    num_nodes = each.used_memory() // 16
    if num_nodes > DUPLICATE_CHECK_LIMIT:
        return num_nodes, None, each
    # A map counts an id once, the array every time: their sizes tell whether ids repeat, without a Python loop.
    distinct = osmium.index.create_map("sparse_mem_map")
    _fill(path, distinct)
    return num_nodes, num_nodes - distinct.used_memory() // 48, distinct


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
    node: Any
    for node in osmium.FileProcessor(str(path), osmium.osm.NODE):
        if node.id in missing:
            missing.remove(node.id)
            found.append((node.id, node.location.x, node.location.y))
    columns = np.array(sorted(found), np.int64).reshape(-1, 3)
    return columns[:, 0], columns[:, 1], columns[:, 2]
