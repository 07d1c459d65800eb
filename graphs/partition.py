"""Regions of a network: recursive coordinate bisection, and a region as a network of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ..core.errors import ConfigurationError
from ..core.types import Floats, Ids, Ints
from .road_graph import RoadGraph, RoadNetwork
from .turns import TurnGraph


@dataclass(frozen=True, eq=False)
class Partition:
    """Which region each edge lies in; every region has at least one edge."""

    region: Ints
    """int32[E]."""
    num_regions: int

    def edges(self, region: int) -> Ints:
        """Edge positions of one region, ascending."""
        return np.flatnonzero(self.region == region).astype(np.int32)

    def is_crossing(self, first: Ids, edge: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """bool[R]: routes (ragged: offsets, edges) that touch more than one region."""
        regions = self.region[edge]
        return np.asarray(np.maximum.reduceat(regions, first[:-1]) != np.minimum.reduceat(regions, first[:-1]))


def bisect(network: RoadNetwork, num_regions: int) -> Partition:
    """Cut the map into regions of equal numbers of edges, each cut across the longer side. O(E log E log regions).

    Raises
    ------
    ConfigurationError
        Fewer than one region, or more regions than edges.
    MissingDataError
        The network has no coordinates (not needed for a single region).
    """
    count = network.graph.num_edges
    if not 1 <= num_regions <= count:
        raise ConfigurationError(
            where="regions", problem=f"{num_regions} regions of {count} edges; ask for 1 to {count}"
        )
    region = np.zeros(count, np.int32)
    if num_regions > 1:
        latitude, longitude = network.graph.require_coordinates("cutting the map into regions")
        ends = network.graph.tail, network.graph.head
        north = 0.5 * (latitude[ends[0]] + latitude[ends[1]])
        east = 0.5 * (longitude[ends[0]] + longitude[ends[1]]) * np.cos(np.radians(north.mean()))
        _cut(np.arange(count), north, east, num_regions, 0, region)
    return Partition(region, num_regions)


def _cut(edges: Ids, north: Floats, east: Floats, parts: int, label: int, region: Ints) -> None:
    if parts == 1:
        region[edges] = label
        return
    axis = north if np.ptp(north[edges]) >= np.ptp(east[edges]) else east
    ordered = edges[np.argsort(axis[edges], kind="stable")]
    low = parts // 2
    place = round(len(edges) * low / parts)
    _cut(ordered[:place], north, east, low, label, region)
    _cut(ordered[place:], north, east, parts - low, label + low, region)


def sub_network(network: RoadNetwork, edges: Ints) -> RoadNetwork:
    """Some edges (ascending positions) and the turns between them as their own network, without shapes. O(E)."""
    graph, turns = network.graph, network.turns
    new_edge = np.full(graph.num_edges, -1, np.int32)
    new_edge[edges] = np.arange(len(edges), dtype=np.int32)
    nodes, ends = np.unique(np.concatenate([graph.tail[edges], graph.head[edges]]), return_inverse=True)
    kept = np.flatnonzero((new_edge[turns.from_edge] >= 0) & (new_edge[turns.to_edge] >= 0))
    counts = np.bincount(new_edge[turns.from_edge[kept]], minlength=len(edges))

    def at_nodes(values: Floats | None) -> Floats | None:
        return None if values is None else values[nodes]

    part = RoadGraph(
        ends[: len(edges)].astype(np.int32),
        ends[len(edges) :].astype(np.int32),
        graph.edge_id[edges],
        graph.node_id[nodes],
        at_nodes(graph.latitude_deg),
        at_nodes(graph.longitude_deg),
    )
    moves = TurnGraph(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        new_edge[turns.to_edge[kept]],
        None if turns.angle_deg is None else turns.angle_deg[kept],
        turns.is_left[kept],
        turns.is_right[kept],
        turns.is_uturn[kept],
        {name: values[kept] for name, values in turns.extra.items()},
    )
    report = {"source": network.report.get("source", ""), "part_of": network.checksum}
    identity = f"{network.checksum}/{hashlib.sha256(edges.astype('<i4').tobytes()).hexdigest()[:16]}"
    return RoadNetwork(part, network.attributes.take(edges), moves, None, report, identity)
