"""Origins and destinations: how users write them, and which edges they stand for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from ..core.errors import PointFormatError, UnknownIdError
from ..core.types import Ids, Ints
from ..graphs.geometry import great_circle_m
from ..graphs.road_graph import RoadNetwork
from ..graphs.spatial import EdgeIndex, Snap


@dataclass(frozen=True, slots=True)
class EdgeId:
    """An edge by its source id."""

    value: int

    def __str__(self) -> str:
        return f"edge:{self.value}"


@dataclass(frozen=True, slots=True)
class NodeId:
    """A node by its source id: an OSM node, or the node id of a network folder."""

    value: int

    def __str__(self) -> str:
        return f"node:{self.value}"


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A place on the map, WGS84 degrees."""

    latitude_deg: float
    longitude_deg: float

    def __str__(self) -> str:
        return f"{self.latitude_deg:.6f},{self.longitude_deg:.6f}"


Point: TypeAlias = EdgeId | NodeId | Coordinate
PointLike: TypeAlias = Point | str | tuple[float, float]
"""A point, or how users write one: ``"edge:ID"``, ``"node:ID"``, ``"osm:NODE"``, ``"lat,lon"``, ``(lat, lon)``."""

Role = Literal["origin", "destination", "via"]

_BY_ID = re.compile(r"\s*(edge|node|osm)\s*:\s*([+-]?\d{1,19})\s*")


def parse_point(point: PointLike, *, index: int | None = None) -> Point:
    """Read a point as users write it.

    Examples
    --------
    >>> parse_point("edge:17"), parse_point("osm:4"), parse_point((41.15, -8.61))
    (EdgeId(value=17), NodeId(value=4), Coordinate(latitude_deg=41.15, longitude_deg=-8.61))

    Raises
    ------
    PointFormatError
        It is written in none of the known ways.
    """
    if isinstance(point, (EdgeId, NodeId, Coordinate)):
        return point
    if isinstance(point, str):
        if point.startswith("edge:") and len(point) < 24 and point[5:].isdecimal() and point.isascii():
            return EdgeId(int(point[5:]))  # as the pattern would say it, in half the time
        found = _BY_ID.fullmatch(point)
        if found is None:
            return _coordinate(point.split(","), point, index)
        number = int(found[2])
        if not -(2**63) <= number < 2**63:
            raise PointFormatError(point=point, problem="has an id that is no 64-bit number", index=index)
        return EdgeId(number) if found[1] == "edge" else NodeId(number)
    return _coordinate(point, point, index)


def _coordinate(parts: Any, point: object, index: int | None) -> Coordinate:
    try:
        latitude, longitude = (float(part) for part in parts)
    except (TypeError, ValueError):
        raise PointFormatError(point=str(point)[:80], problem="is not understood", index=index) from None
    return Coordinate(latitude, longitude)


def place_of(point: PointLike, network: RoadNetwork) -> tuple[float, float]:
    """(latitude, longitude) of a coordinate or a node.

    Raises
    ------
    PointFormatError, UnknownIdError, MissingDataError
        It is not understood, an edge, no junction of the network, or the network has no coordinates.
    """
    parsed = parse_point(point)
    if isinstance(parsed, Coordinate):
        return parsed.latitude_deg, parsed.longitude_deg
    if isinstance(parsed, EdgeId):
        raise PointFormatError(point=str(parsed), problem="is an edge, where a place is needed")
    node = network.graph.node_position(parsed.value)
    latitude, longitude = network.graph.require_coordinates("the place of a node")
    return float(latitude[node]), float(longitude[node])


@dataclass(frozen=True, eq=False, slots=True)
class Terminal:
    """A point found on the network: the edges a trip may start or end on."""

    point: Point
    edges: tuple[int, ...]
    """Edge positions; empty where nothing leaves (origin) or enters (destination) a node."""
    snaps: tuple[Snap, ...] = ()
    """For a coordinate: the same edges with their distances."""
    node: int = -1
    """For a junction: its position."""

    def __str__(self) -> str:
        return str(self.point)

    def without(self, edges: frozenset[int]) -> Terminal:
        """The same point where some edges cannot be used."""
        if edges.isdisjoint(self.edges):
            return self
        left = tuple(edge for edge in self.edges if edge not in edges)
        return Terminal(self.point, left, tuple(snap for snap in self.snaps if snap.edge in left), self.node)

    def snap(self, edge: int) -> Snap | None:
        """Where the coordinate lies on one of the edges; None for points that are not coordinates."""
        return next((snap for snap in self.snaps if snap.edge == edge), None)


class Locator:
    """Finds points on one network. Safe to use from several threads; the spatial index is made by ``edge_index``."""

    def __init__(self, network: RoadNetwork, edge_index: Callable[[], EdgeIndex], snap_limit_m: float) -> None:
        self._network = network
        self._edge_index = edge_index
        self.snap_limit_m = snap_limit_m

    def locate(self, point: PointLike, role: Role, *, index: int | None = None) -> Terminal:
        """The edges a trip may start (``role="origin"``) or end on, or pass by way of.

        Raises
        ------
        PointFormatError, UnknownIdError, OffMapError, InvalidValueError, MissingDataError
            It is not understood, not on this network, too far from it, no coordinate, or a coordinate on a network
            without coordinates.
        """
        found = self._locate(parse_point(point, index=index), role, index)
        return found if not self._network.original_edge else self._with_copies(found, role)

    def _with_copies(self, found: Terminal, role: Role) -> Terminal:
        """Trips begin on the originals of copied edges and end on any of them, but for a copy that is named itself."""
        original, copies = self._network.original_edge, self._network.copies_of
        edges = found.edges
        if role == "origin":
            if isinstance(found.point, EdgeId) or original.keys().isdisjoint(edges):
                return found
            kept = tuple(edge for edge in edges if edge not in original)
            return replace(found, edges=kept, snaps=tuple(snap for snap in found.snaps if snap.edge in kept))
        if copies.keys().isdisjoint(edges):
            return found
        more = tuple(copy for edge in edges for copy in copies.get(edge, ()) if copy not in edges)
        twins = (replace(snap, edge=copy) for snap in found.snaps for copy in copies.get(snap.edge, ()))
        snaps = (*found.snaps, *(snap for snap in twins if snap.edge in more))
        return replace(found, edges=edges + more, snaps=snaps)

    def _locate(self, parsed: Point, role: Role, index: int | None) -> Terminal:
        if isinstance(parsed, EdgeId):
            return Terminal(parsed, (self._edge(parsed.value),))
        if isinstance(parsed, NodeId):
            return self._at_node(parsed, role)
        place = parsed.latitude_deg, parsed.longitude_deg
        snaps = self._edge_index().nearest(*place, self.snap_limit_m, index=index, role=role)
        return Terminal(parsed, tuple(snap.edge for snap in snaps), snaps)

    def _edge(self, edge_id: int) -> int:
        # What RoadGraph.edge_position does, for one id at a tenth of its price: queries are that fast.
        ids, order = self._edge_ids
        slot = int(ids.searchsorted(edge_id))
        if slot < len(ids) and ids[slot] == edge_id:
            return int(order[slot])
        return self._network.graph.edge_position(edge_id)

    @cached_property
    def _edge_ids(self) -> tuple[Ids, Ints]:
        """(sorted edge ids, their positions)."""
        order = np.argsort(self._network.graph.edge_id, kind="stable").astype(np.int32)
        return self._network.graph.edge_id[order], order

    def _at_node(self, point: NodeId, role: Role) -> Terminal:
        graph = self._network.graph
        try:
            node = graph.node_position(point.value)
        except UnknownIdError:
            inside = self._snaps_through(point.value)
            if not inside:
                raise
            return Terminal(point, tuple(snap.edge for snap in inside), inside)
        if role == "origin":
            edges = tuple(range(int(graph.first_out[node]), int(graph.first_out[node + 1])))
        else:
            first, by_head = self._into
            edges = tuple(by_head[first[node] : first[node + 1]].tolist())
        return Terminal(point, edges, node=node)

    @cached_property
    def _into(self) -> tuple[Ints, Ints]:
        """(int32[N+1] offsets, int32[E] edges by head)."""
        graph = self._network.graph
        by_head = np.argsort(graph.head, kind="stable").astype(np.int32)
        first = np.searchsorted(graph.head[by_head], np.arange(graph.num_nodes + 1)).astype(np.int32)
        return first, by_head

    def _snaps_through(self, osm_node: int) -> tuple[Snap, ...]:
        """Where an OSM node that is no junction lies on joined edges. One pass over all shape points.

        The places along the edges tell a trip that goes on from one that would go backwards.
        """
        shapes = self._network.shapes
        if shapes is None:
            return ()
        points = np.flatnonzero(shapes.osm_node == osm_node)
        edges = np.searchsorted(shapes.first_point, points, side="right") - 1
        snaps: dict[int, Snap] = {}
        for edge, point in zip(edges.tolist(), points.tolist(), strict=True):
            line = self._network.edge_polyline(edge)
            passed = point - int(shapes.first_point[edge])
            steps = great_circle_m(line[:-1, 0], line[:-1, 1], line[1:, 0], line[1:, 1])
            fraction = float(steps[:passed].sum() / max(steps.sum(), 1e-9))
            snaps.setdefault(edge, Snap(edge, 0.0, fraction, float(line[passed, 0]), float(line[passed, 1])))
        return tuple(snaps.values())
