"""Regions of a network: recursive coordinate bisection or METIS, halos, and a region as a network of its own."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..core.errors import ConfigurationError, MissingPackageError, PartitionError
from ..core.types import Bools, Floats, Ids, Ints
from .geometry import EARTH_RADIUS_M, unit_sphere
from .road_graph import RoadGraph, RoadNetwork
from .turns import TurnGraph

LARGEST_IMBALANCE = 1.25
"""Largest over mean load of a region up to which a partitioner's answer is taken."""


@dataclass(frozen=True, eq=False)
class Partition:
    """Which region each edge lies in; every region has at least one edge."""

    region: Ints
    """int32[E]."""
    num_regions: int

    def edges(self, region: int) -> Ints:
        """Edge positions of one region, ascending."""
        return np.flatnonzero(self.region == region).astype(np.int32)

    def is_crossing(self, first: Ids, edge: Ints) -> Bools:
        """bool[R]: routes (ragged: offsets, edges) that touch more than one region."""
        regions = self.region[edge]
        return np.asarray(np.maximum.reduceat(regions, first[:-1]) != np.minimum.reduceat(regions, first[:-1]))

    def is_border(self, turns: TurnGraph) -> Bools:
        """bool[T]: turns that lead from one region into another."""
        return np.asarray(self.region[turns.from_edge] != self.region[turns.to_edge])


def bisect(network: RoadNetwork, num_regions: int, *, load: Floats | None = None) -> Partition:
    """Cut the map into regions of equal load, each cut across the longer side. O(E log E log regions).

    Parameters
    ----------
    load
        float64[E] >= 0, what is to be equal: `edge_load` makes one of edges and demonstrations. Default: every edge
        the same, and then sizes differ by one edge at most.

    Raises
    ------
    ConfigurationError
        Fewer than one region, or more regions than edges.
    MissingDataError
        The network has no coordinates (not needed for a single region).
    """
    count = network.graph.num_edges
    _require_sensible(num_regions, count)
    region = np.zeros(count, np.int32)
    if num_regions > 1:
        north, east = _plane(network)
        _cut(np.arange(count), north, east, load, num_regions, 0, region)
    return Partition(region, num_regions)


def bisect_by_metis(network: RoadNetwork, num_regions: int, *, load: Floats | None = None) -> Partition:
    """Regions of equal load with few turns between them, by METIS (package ``pymetis``); needs no coordinates.

    Its answer is checked: METIS has left parts empty, and parts far too large.

    Raises
    ------
    ConfigurationError
        Fewer than one region, or more regions than edges.
    MissingPackageError
        ``pymetis`` is not installed.
    PartitionError
        A part is empty, or its load is over 1.25 times the mean.
    """
    count = network.graph.num_edges
    _require_sensible(num_regions, count)
    try:
        import pymetis
    except ImportError as error:
        raise MissingPackageError(
            package="pymetis", needed_for="partitioning by METIS", install="pip install 'trodden[metis]'"
        ) from error
    turns, share = network.turns, _shares(load, count)
    one = np.concatenate([turns.from_edge, turns.to_edge]).astype(np.int64)
    two = np.concatenate([turns.to_edge, turns.from_edge]).astype(np.int64)
    keys = np.unique(one[one != two] * count + two[one != two])  # each neighbour once, no loops
    first = np.searchsorted(keys, np.arange(count + 1) * count)
    weight = np.maximum(np.round(share * count * 100), 1).astype(np.int64)
    _, found = pymetis.part_graph(
        num_regions, xadj=first.tolist(), adjncy=(keys % count).tolist(), vweights=weight.tolist()
    )
    region = np.asarray(found, np.int32)
    loads = np.bincount(region, share, minlength=num_regions) * num_regions
    sizes = np.bincount(region, minlength=num_regions)
    if len(sizes) > num_regions or sizes.min() == 0 or loads.max() > LARGEST_IMBALANCE:
        raise PartitionError(
            method="METIS",
            problem=f"returned regions of {sizes.min():,} to {sizes.max():,} edges, loads up to {loads.max():.2f} "
            "times the mean",
            remedy="take fewer regions, or bisection",
        )
    return Partition(region, num_regions)


def edge_load(num_edges: int, edge: Ints, weight: Floats | None = None, *, share: float = 0.5) -> Floats:
    """What `bisect` is to balance, float64[E], summing to 1: edges, and how often demonstrations pass them.

    Parameters
    ----------
    edge, weight
        Edges of all demonstrations, one after the other, and what each counts (default 1).
    share
        Of the demonstrations; the rest is the edges'.
    """
    return load_of_passes(np.bincount(edge, weight, minlength=num_edges).astype(np.float64), share=share)


def load_of_passes(passed: Floats, *, share: float) -> Floats:
    """The same, from how often demonstrations pass each edge, float64[E]."""
    num_edges = len(passed)
    total = float(passed.sum())
    part = share if total > 0 else 0.0
    return (1 - part) / num_edges + part * passed / max(total, 1e-300)


def edges_near(network: RoadNetwork, edges: Ints, distance_m: float) -> Ints:
    """Edges of which an end lies within a distance of an end of ``edges``, as the crow flies; those too. int32, sorted.

    Whatever meets one of ``edges`` is among them, so that with any distance >= 0 no turn out of or onto them is lost.
    O(N log N).

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    """
    graph = network.graph
    latitude, longitude = graph.require_coordinates("a halo around a region")
    is_touched = np.zeros(graph.num_nodes, bool)
    is_touched[graph.tail[edges]] = is_touched[graph.head[edges]] = True
    point = unit_sphere(latitude, longitude)
    tree = cKDTree(point[is_touched])
    chord = 2 * np.sin(min(distance_m / EARTH_RADIUS_M, np.pi) / 2)
    near = np.isfinite(tree.query(point, distance_upper_bound=chord * (1 + 1e-9) + 1e-15)[0]) | is_touched
    return np.flatnonzero(near[graph.tail] | near[graph.head]).astype(np.int32)


def _require_sensible(num_regions: int, count: int) -> None:
    if not 1 <= num_regions <= count:
        raise ConfigurationError(
            where="regions", problem=f"{num_regions} regions of {count} edges; ask for 1 to {count}"
        )


def _plane(network: RoadNetwork) -> tuple[Floats, Floats]:
    """(north, east), float64[E]: the middle of each edge in degrees of latitude."""
    latitude, longitude = network.graph.require_coordinates("cutting the map into regions")
    ends = network.graph.tail, network.graph.head
    north = 0.5 * (latitude[ends[0]] + latitude[ends[1]])
    east = 0.5 * (longitude[ends[0]] + longitude[ends[1]]) * np.cos(np.radians(north.mean()))
    return north, east


def _shares(load: Floats | None, count: int) -> Floats:
    return np.full(count, 1 / count) if load is None else load / load.sum()


def _cut(edges: Ids, north: Floats, east: Floats, load: Floats | None, parts: int, label: int, region: Ints) -> None:
    if parts == 1:
        region[edges] = label
        return
    axis = north if np.ptp(north[edges]) >= np.ptp(east[edges]) else east
    ordered = edges[np.argsort(axis[edges], kind="stable")]
    low = parts // 2
    place = _place(len(edges), low / parts, None if load is None else load[ordered])
    place = min(max(place, low), len(edges) - (parts - low))  # at least one edge for every region
    _cut(ordered[:place], north, east, load, low, label, region)
    _cut(ordered[place:], north, east, load, parts - low, label + low, region)


def _place(count: int, share: float, load: Floats | None) -> int:
    """Before which of the edges to cut, so that a share of the load lies before it."""
    if load is None:
        return round(count * share)
    before = np.cumsum(load)
    return int(np.searchsorted(before, share * before[-1], side="right"))


def sub_network(network: RoadNetwork, edges: Ints, *, is_exit: Bools | None = None) -> RoadNetwork:
    """Some edges (ascending positions) and the turns between them as their own network, without shapes. O(E).

    Parameters
    ----------
    is_exit
        bool[len(edges)]: edges that keep the turns onto them alone. Nothing leads on from there.
    """
    graph, turns = network.graph, network.turns
    new_edge = np.full(graph.num_edges, -1, np.int32)
    new_edge[edges] = np.arange(len(edges), dtype=np.int32)
    nodes, ends = np.unique(np.concatenate([graph.tail[edges], graph.head[edges]]), return_inverse=True)
    is_kept = (new_edge[turns.from_edge] >= 0) & (new_edge[turns.to_edge] >= 0)
    if is_exit is not None:
        is_kept &= ~is_exit[new_edge[turns.from_edge]]
    kept = np.flatnonzero(is_kept)
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
    report = {"source": network.report.get("source", ""), "part_of": network.checksum, "mode": network.mode}
    digest = hashlib.sha256(edges.astype("<i4").tobytes())
    digest.update(b"" if is_exit is None else np.packbits(is_exit).tobytes())
    identity = f"{network.checksum}/{digest.hexdigest()[:16]}"
    # What a networkx graph said of its edges is for the way back to it, and would stand in every shard.
    attributes = dataclasses.replace(network.attributes.take(edges), source_tags=None)
    return RoadNetwork(part, attributes, moves, None, report, identity)
