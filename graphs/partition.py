"""Regions of a network: recursive coordinate bisection or METIS, halos, and a region as a network of its own."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..core.blocks import blocks_of
from ..core.errors import ConfigurationError, MissingPackageError, PartitionError
from ..core.scratch import Empty
from ..core.types import Bools, Floats, Ids, Ints
from .geometry import EARTH_RADIUS_M, unit_sphere
from .road_graph import RoadGraph, RoadNetwork, ragged_rows
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


def bisect(network: RoadNetwork, num_regions: int, *, load: Floats | None = None, empty: Empty = np.empty) -> Partition:
    """Cut the map into regions of equal load, each cut across the longer side. O(E log E log regions).

    Parameters
    ----------
    load
        float64[E] >= 0, what is to be equal: `edge_load` makes one of edges and demonstrations. Default: every edge
        the same, and then sizes differ by one edge at most.
    empty
        Makes the two coordinates of every edge: `trodden.core.scratch.in_files`, where those are too much to hold.

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
        north, east = _plane(network, empty)
        _cut(np.arange(count, dtype=np.int32), north, east, load, num_regions, 0, region)
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
    """The same, in place of how often demonstrations pass each edge, float64[E]."""
    num_edges = len(passed)
    total = float(passed.sum())
    part = share if total > 0 else 0.0
    passed *= part / max(total, 1e-300)
    passed += (1 - part) / num_edges
    return passed


def edges_near(network: RoadNetwork, edges: Ints, distance_m: float) -> Ints:
    """Edges of which an end lies within a distance of an end of ``edges``, as the crow flies; those too. int32, sorted.

    Whatever meets one of ``edges`` is among them, so that with any distance >= 0 no turn out of or onto them is lost.
    One look at every node and edge, a block at a time, and O(n log n) in the n nodes of a box around ``edges``; memory
    for those, and a byte per node.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    """
    graph = network.graph
    latitude, longitude = graph.require_coordinates("a halo around a region")
    touched = np.unique(np.concatenate([graph.tail[edges], graph.head[edges]]))
    near = np.zeros(graph.num_nodes, bool)
    near[touched] = True
    angle = min(distance_m / EARTH_RADIUS_M, np.pi) * (1 + 1e-9)
    tree = cKDTree(unit_sphere(latitude[touched], longitude[touched]))
    box = _box(latitude[touched], longitude[touched], np.degrees(angle))
    for at in blocks_of(graph.num_nodes):
        some = at.start + np.flatnonzero(_is_inside(latitude[at], longitude[at], box))
        points = unit_sphere(latitude[some], longitude[some])
        near[some] |= np.isfinite(tree.query(points, distance_upper_bound=2 * np.sin(angle / 2) + 1e-15)[0])
    parts = [
        at.start + np.flatnonzero(near[graph.tail[at]] | near[graph.head[at]]) for at in blocks_of(graph.num_edges)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int32)


def _box(latitude: Floats, longitude: Floats, margin_deg: float) -> tuple[float, float, float, float]:
    """South, north, west and east of what holds every point within an angle of some; all longitudes where in doubt."""
    if len(latitude) == 0:
        return np.inf, -np.inf, np.inf, -np.inf
    margin = margin_deg + 1e-9
    south, north = float(latitude.min()) - margin, float(latitude.max()) + margin
    nearest_pole = np.radians(max(-south, north))
    sine = np.sin(np.radians(margin)) / np.cos(nearest_pole) if nearest_pole < np.pi / 2 else np.inf
    # Of points within an angle of one, the longitude differs by at most arcsin(sin(angle) / cos(latitude)).
    wide = float(np.degrees(np.arcsin(sine))) if sine < 1 else np.inf
    west, east = float(longitude.min()) - wide, float(longitude.max()) + wide
    return (south, north, west, east) if west >= -180.0 and east <= 180.0 else (south, north, -np.inf, np.inf)


def _is_inside(latitude: Floats, longitude: Floats, box: tuple[float, float, float, float]) -> Bools:
    south, north, west, east = box
    return (latitude >= south) & (latitude <= north) & (longitude >= west) & (longitude <= east)


def _require_sensible(num_regions: int, count: int) -> None:
    if not 1 <= num_regions <= count:
        raise ConfigurationError(
            where="regions", problem=f"{num_regions} regions of {count} edges; ask for 1 to {count}"
        )


def _plane(network: RoadNetwork, empty: Empty) -> tuple[Floats, Floats]:
    """(north, east), float64[E]: the middle of each edge in degrees of latitude."""
    latitude, longitude = network.graph.require_coordinates("cutting the map into regions")
    tail, head, count = network.graph.tail, network.graph.head, network.graph.num_edges
    north, east = empty(count), empty(count)
    for at in blocks_of(count):
        north[at] = 0.5 * (latitude[tail[at]] + latitude[head[at]])
        east[at] = 0.5 * (longitude[tail[at]] + longitude[head[at]])
    east *= np.cos(np.radians(north.mean()))
    return north, east


def _shares(load: Floats | None, count: int) -> Floats:
    return np.full(count, 1 / count) if load is None else load / load.sum()


def _cut(edges: Ints, north: Floats, east: Floats, load: Floats | None, parts: int, label: int, region: Ints) -> None:
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


def turns_out_of(turns: TurnGraph, edges: Ints) -> tuple[Ids, Ids]:
    """The turns out of some edges, int64, and which of the edges each leaves. Linear in the result."""
    turn, first = ragged_rows(turns.first_out, edges)
    return turn, np.repeat(np.arange(len(edges), dtype=np.int64), np.diff(first))


def places_among(edges: Ints, some: Ints) -> Ints:
    """int32: where each of ``some`` stands among ``edges`` (ascending), -1 where it is none of them."""
    if len(edges) == 0:
        return np.full(len(some), -1, np.int32)
    place = np.minimum(np.searchsorted(edges, some), len(edges) - 1)
    return np.where(edges[place] == some, place, -1).astype(np.int32)


def sub_network(network: RoadNetwork, edges: Ints, *, is_exit: Bools | None = None) -> RoadNetwork:
    """Some edges (ascending positions) and the turns between them as their own network, without shapes.

    O(n log n) in those edges, whatever the size of the map.

    Parameters
    ----------
    is_exit
        bool[len(edges)]: edges that keep the turns onto them alone. Nothing leads on from there.
    """
    graph, turns = network.graph, network.turns
    nodes, ends = np.unique(np.concatenate([graph.tail[edges], graph.head[edges]]), return_inverse=True)
    kept, leaves = turns_out_of(turns, edges)
    entered = places_among(edges, turns.to_edge[kept])
    is_kept = entered >= 0
    if is_exit is not None:
        is_kept &= ~is_exit[leaves]
    kept, leaves, entered = kept[is_kept], leaves[is_kept], entered[is_kept]
    counts = np.bincount(leaves, minlength=len(edges))

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
        entered,
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
