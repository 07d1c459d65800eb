"""The road network as arrays: `RoadGraph`, `EdgeAttributes`, `EdgeShapes`, and `RoadNetwork`, which holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..core.errors import MissingDataError, UnknownIdError
from ..core.types import Bools, Codes, Floats, Floats32, Ids, Ints
from .turns import TurnGraph

if TYPE_CHECKING:
    from .modes import Mode


@dataclass(frozen=True, eq=False)
class RoadGraph:
    """Junctions and directed edges. Positions are internal; users name edges and nodes by their source ids.

    Edges are sorted by ``tail``. Parallel edges and self-loops are allowed.
    """

    tail: Ints
    """int32[E], node position where the edge starts."""
    head: Ints
    """int32[E], node position where it ends."""
    edge_id: Ids
    """int64[E], unique: the link id of a network folder, or a stable hash of (OSM way, node pair)."""
    node_id: Ids
    """int64[N], unique: OSM node id, or the node id of a network folder."""
    latitude_deg: Floats | None = None
    """float64[N], WGS84, or None where the source has no coordinates."""
    longitude_deg: Floats | None = None
    node_tags: Categories | None = None
    """What a networkx graph says of each node, as JSON objects; None for other sources."""

    @property
    def num_nodes(self) -> int:
        """Number of junctions N."""
        return len(self.node_id)

    @property
    def num_edges(self) -> int:
        """Number of directed edges E."""
        return len(self.tail)

    @cached_property
    def first_out(self) -> Ints:
        """int32[N+1]: the edges out of node n are ``first_out[n] .. first_out[n+1]``."""
        return np.searchsorted(self.tail, np.arange(self.num_nodes + 1)).astype(np.int32)

    @cached_property
    def _edge_order(self) -> Ints:
        return np.argsort(self.edge_id, kind="stable").astype(np.int32)

    @cached_property
    def _node_order(self) -> Ints:
        return np.argsort(self.node_id, kind="stable").astype(np.int32)

    def edge_positions(self, edge_ids: Ids) -> Ints:
        """int32 positions of source edge ids, -1 where unknown. O(n log E)."""
        return _positions(self.edge_id, self._edge_order, edge_ids)

    def node_positions(self, node_ids: Ids) -> Ints:
        """int32 positions of source node ids, -1 where unknown. O(n log N)."""
        return _positions(self.node_id, self._node_order, node_ids)

    def edge_position(self, edge_id: int) -> int:
        """Position of one edge; `UnknownIdError` where there is none."""
        position = int(self.edge_positions(np.array([edge_id], np.int64))[0]) if _is_id(edge_id) else -1
        if position < 0:
            raise UnknownIdError(kind="edge", identifier=edge_id, remedy="list the ids with RoadGraph.edge_id")
        return position

    def node_position(self, node_id: int) -> int:
        """Position of one node; `UnknownIdError` where there is none."""
        position = int(self.node_positions(np.array([node_id], np.int64))[0]) if _is_id(node_id) else -1
        if position < 0:
            raise UnknownIdError(
                kind="node",
                identifier=node_id,
                remedy="only junctions have a position: nodes inside a joined edge do not",
            )
        return position

    def require_coordinates(self, because: str) -> tuple[Floats, Floats]:
        """(latitude_deg, longitude_deg), or `MissingDataError` saying what needs them."""
        if self.latitude_deg is None or self.longitude_deg is None:
            raise MissingDataError(
                needs="coordinates",
                because=because,
                remedy="add nodes.csv (node_id, lat, lon) to its folder, or name points by edge: or node id",
            )
        return self.latitude_deg, self.longitude_deg

    def edge_midpoints(self) -> tuple[Floats, Floats] | None:
        """(latitude_deg, longitude_deg) half-way between each edge's ends, float64[E]; None without coordinates."""
        if self.latitude_deg is None or self.longitude_deg is None:
            return None
        return (
            (self.latitude_deg[self.tail] + self.latitude_deg[self.head]) / 2,
            (self.longitude_deg[self.tail] + self.longitude_deg[self.head]) / 2,
        )


@dataclass(frozen=True, eq=False)
class Categories:
    """A column of names: ``levels[codes]``."""

    codes: Codes
    """int8, int16 or int32[E]: the narrowest that holds every level; wider ones are narrowed."""
    levels: tuple[str, ...]
    """Distinct names; the empty string stands for "not given"."""

    def __post_init__(self) -> None:
        narrow = np.min_scalar_type(-max(len(self.levels), 1))
        object.__setattr__(self, "codes", self.codes.astype(narrow, copy=False))

    def mask(self, level: str) -> Bools:
        """bool[E]: where the column holds ``level``."""
        if level not in self.levels:
            return np.zeros(len(self.codes), bool)
        return np.asarray(self.codes == self.levels.index(level))

    def text(self, position: int) -> str:
        """The name at one row."""
        return self.levels[int(self.codes[position])]

    def take(self, rows: Ints) -> Categories:
        """The column at some rows, with the same levels."""
        return Categories(self.codes[rows], self.levels)


@dataclass(frozen=True, eq=False)
class EdgeAttributes:
    """What is known of each edge; None where the source does not say."""

    length_m: Floats32 | None = None
    """float32[E], > 0."""
    speed_kmh: Floats32 | None = None
    """float32[E], > 0: as tagged, else imputed by class (counts in the report)."""
    travel_time_s: Floats32 | None = None
    """float32[E], > 0, free flow."""
    road_class: Categories | None = None
    lanes: Codes | None = None
    """uint8[E], 0 = not given."""
    is_toll: Bools | None = None
    is_bridge: Bools | None = None
    is_tunnel: Bools | None = None
    surface: Categories | None = None
    access: Categories | None = None
    name: Categories | None = None
    source_tags: Categories | None = None
    """What a networkx graph says of each edge, as JSON (`trodden.graphs.from_networkx`); None for other sources."""
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Further numeric columns by name, [E] of any number type: float64 from ``links.csv``, small ones from tags."""
    kinds: Mapping[str, Categories] = field(default_factory=dict)
    """Further columns of names, by theirs."""

    def require(self, column: str, because: str) -> Floats32:
        """``length_m``, ``speed_kmh`` or ``travel_time_s``; `MissingDataError` where the source has none."""
        values: Floats32 | None = getattr(self, column)
        if values is None:
            raise MissingDataError(needs=column, because=because, remedy=f"add the column {column} to links.csv")
        return values

    def take(self, edges: Ints) -> EdgeAttributes:
        """The attributes of some edges, in that order."""
        columns: dict[str, Any] = {}
        for name, column in vars(self).items():
            if name == "extra":
                columns[name] = {key: values[edges] for key, values in column.items()}
            elif name == "kinds":
                columns[name] = {key: values.take(edges) for key, values in column.items()}
            elif isinstance(column, Categories):
                columns[name] = column.take(edges)
            else:
                columns[name] = None if column is None else column[edges]
        return EdgeAttributes(**columns)


@dataclass(frozen=True, eq=False)
class EdgeShapes:
    """Where each edge runs and what it was made of; ragged, memory-mapped when loaded from a stored network."""

    first_point: Ids
    """int64[E+1]: the points of edge e are ``first_point[e] .. first_point[e+1]``, tail and head included."""
    osm_node: Ids
    """int64[P], OSM node ids."""
    latitude_e7: Ints
    """int32[P], 1e-7 degrees, as OSM stores them."""
    longitude_e7: Ints
    first_way: Ids
    """int64[E+1]: the OSM ways of edge e, in order of travel, are ``osm_way[first_way[e] : first_way[e+1]]``."""
    osm_way: Ids
    """int64[W], OSM way ids."""

    def take(self, edges: Ints) -> EdgeShapes:
        """The shapes of some edges, in that order."""
        points, first_point = ragged_rows(self.first_point, edges)
        ways, first_way = ragged_rows(self.first_way, edges)
        return EdgeShapes(
            first_point,
            self.osm_node[points],
            self.latitude_e7[points],
            self.longitude_e7[points],
            first_way,
            self.osm_way[ways],
        )


class EdgeLines(NamedTuple):
    """Points of all edges, one after the other. A named tuple, because kernels take those as they are."""

    first: Ids
    """int64[E+1]: the points of edge e are ``first[e] .. first[e+1]``, tail and head included."""
    latitude: Floats | Ints
    """float64 or int32[P], in ``unit_deg``."""
    longitude: Floats | Ints
    unit_deg: float


@dataclass(frozen=True, eq=False)
class RoadNetwork:
    """Everything read from one source: graph, attributes, turns, shapes, and the report of how it was read."""

    graph: RoadGraph
    attributes: EdgeAttributes
    turns: TurnGraph
    shapes: EdgeShapes | None
    """None for a network folder: its edges are straight lines between nodes, if it has coordinates."""
    report: dict[str, Any]
    """Counts by rule (ways read, skipped by reason, imputed speeds, restrictions used, ...), and ``source``; JSON."""
    checksum: str
    """SHA-256 over all arrays (`trodden.graphs.store.network_checksum`): the identity a model is bound to."""

    @property
    def mode(self) -> Mode:
        """How one travels on it, as it was read: ``drive``, ``two_wheeler``, ``bike`` or ``walk``."""
        return cast("Mode", self.report.get("mode", "drive"))

    @cached_property
    def original_edge(self) -> dict[int, int]:
        """Edges that are copies, made for a restriction via ways, and the edge each is a copy of; by position.

        A copy stands for the same road, has a negative id, and is entered from some edges alone: a trip may end on it,
        and begins on the original (`trodden.graphs.via_ways`). Without shapes there are none.
        """
        found: dict[int, int] = {}
        if self.shapes is None:
            return found
        graph, shapes = self.graph, self.shapes

        def course(edge: int) -> tuple[list[int], list[int]]:
            nodes = shapes.osm_node[shapes.first_point[edge] : shapes.first_point[edge + 1]]
            ways = shapes.osm_way[shapes.first_way[edge] : shapes.first_way[edge + 1]]
            return nodes.tolist(), ways.tolist()  # two ways may run over the same nodes

        for copy in np.flatnonzero(graph.edge_id < 0).tolist():
            beside = range(*graph.first_out[graph.tail[copy] : graph.tail[copy] + 2].tolist())
            same = (edge for edge in beside if graph.edge_id[edge] >= 0 and course(edge) == course(copy))
            if (edge := next(same, None)) is not None:
                found[copy] = edge
        return found

    @cached_property
    def copies_of(self) -> dict[int, tuple[int, ...]]:
        """The copies of every edge that has some; see `original_edge`."""
        found: dict[int, tuple[int, ...]] = {}
        for copy, edge in self.original_edge.items():
            found[edge] = (*found.get(edge, ()), copy)
        return found

    @cached_property
    def lines(self) -> EdgeLines:
        """Where each edge runs: along its shape, or straight from node to node where there are no shapes.

        `MissingDataError` where there are no coordinates either. Nothing is copied where there are shapes.
        """
        if self.shapes is not None:
            # Of a stored network they are memory-mapped, and every slice of such an array costs ten of a plain one.
            columns = self.shapes.first_point, self.shapes.latitude_e7, self.shapes.longitude_e7
            first, latitude_e7, longitude_e7 = (values.view(np.ndarray) for values in columns)
            return EdgeLines(first, latitude_e7, longitude_e7, 1e-7)
        latitude, longitude = self.graph.require_coordinates("where the edges run")
        ends = np.stack([self.graph.tail, self.graph.head], axis=1).ravel()
        return EdgeLines(2 * np.arange(self.graph.num_edges + 1), latitude[ends], longitude[ends], 1.0)

    def edge_polyline(self, edge: int) -> Floats:
        """float64[P, 2] of (latitude, longitude) in degrees along one edge; `MissingDataError` without coordinates."""
        first, latitude, longitude, unit = self.lines
        begin, end = first[edge], first[edge + 1]
        points = np.empty((end - begin, 2))
        points[:, 0], points[:, 1] = latitude[begin:end], longitude[begin:end]
        points *= unit
        return points

    def edge_length_m(self) -> Floats:
        """float64[E] in metres; where the source has no lengths, the travel time in seconds stands in for them.

        The stand-in keeps measures such as length-weighted IoU defined (Borlänge has no lengths); `length_unit` says
        which one it is. `MissingDataError` where there is neither.
        """
        if self.attributes.length_m is not None:
            return self.attributes.length_m.astype(np.float64)
        return self.attributes.require("travel_time_s", "a length or its stand-in").astype(np.float64)

    @property
    def length_unit(self) -> str:
        """``"m"``, or ``"s"`` where travel time stands in for length."""
        return "m" if self.attributes.length_m is not None else "s"


def _is_id(number: int) -> bool:
    """Ids have 64 bits; users may ask for any number."""
    return -(2**63) <= number < 2**63


def ragged_rows(first: Ints | Ids, rows: Ints | Ids) -> tuple[Ids, Ids]:
    """Flat positions of some rows of a ragged array, and the offsets of the result.

    >>> ragged_rows(np.array([0, 2, 5]), np.array([1]))
    (array([2, 3, 4]), array([0, 3]))
    """
    counts = first[rows + 1] - first[rows]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    flat = np.arange(offsets[-1], dtype=np.int64) + np.repeat(first[rows] - offsets[:-1], counts)
    return flat, offsets


def _positions(ids: Ids, order: Ints, wanted: Ids) -> Ints:
    if len(ids) == 0:
        return np.full(len(wanted), -1, np.int32)
    slots = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
    found = order[slots]
    return np.where(ids[found] == wanted, found, -1).astype(np.int32)
