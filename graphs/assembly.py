"""From ways to a road network: segments, joined edges, stable ids, attributes, shapes, turns.

What a joined edge holds: the sum of the lengths, all nodes and ways in order of travel, and

- class, surface, access, name, lanes: the value that covers most of the length (with ``join="attributes"`` all
  segments agree, but for names);
- toll, bridge, tunnel: whether any part is one (bridges, tunnels and names do not stop a chain);
- speed: the tagged one; of several, the one that makes travel times add up over the tagged part; where nothing is
  tagged, by class (`attributes.impute_speeds`). ``travel_time_s = length_m / speed_kmh * 3.6``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ConfigurationError
from ..core.types import Bools, Floats, Ids, Ints
from .attributes import compact, impute_speeds
from .compression import Chains, attribute_breakpoints, join_chains, topological_breakpoints
from .geometry import degrees, great_circle_m, space_filling_order
from .moves import mix64
from .road_graph import Categories, EdgeAttributes, EdgeShapes, RoadGraph
from .ways import OsmRoads, WayTable

Join = Literal["attributes", "all", "none"]
"""Join chains where the modelled attributes agree and no restriction acts; wherever osmnx does; nowhere."""

SHORTEST_M = 0.1
"""Length given to a segment whose two nodes lie on one spot."""

_ID_BITS = np.uint64(53)
"""Edge ids stay below 2**53, so that JSON and JavaScript keep them exactly."""


@dataclass(frozen=True, eq=False)
class Segments:
    """Directed straight pieces between neighbouring nodes of a way."""

    tail: Ints
    """int32[S], position in ``node_id``."""
    head: Ints
    way: Ints
    """int32[S], row of the way table."""
    length_m: Floats
    """float64[S], > 0."""


@dataclass(frozen=True, eq=False)
class JoinedRoads:
    """Graph, attributes and shapes made of an OSM extract."""

    graph: RoadGraph
    attributes: EdgeAttributes
    shapes: EdgeShapes
    report: dict[str, Any]


def check_join(value: str) -> None:
    """`ConfigurationError` where ``value`` is not a way to join chains."""
    if value not in get_args(Join):
        raise ConfigurationError(where="join", problem=f"{value!r} is none of {', '.join(get_args(Join))}")


def make_segments(roads: OsmRoads) -> tuple[Segments, dict[str, int]]:
    """Directed segments of all ways, and counts by rule. O(R).

    A way is cut where the file lacks a node (as at the rim of a clipped extract); a node that follows itself is
    dropped; a segment of no length gets `SHORTEST_M`.
    """
    ways = roads.ways
    place = np.searchsorted(roads.node_id, ways.ref)
    place = np.minimum(place, max(len(roads.node_id) - 1, 0))
    is_known = roads.node_id[place] == ways.ref if len(roads.node_id) else np.zeros(len(ways.ref), bool)
    way_of_ref = np.repeat(np.arange(len(ways.way_id), dtype=np.int32), np.diff(ways.first_ref))
    is_pair = way_of_ref[1:] == way_of_ref[:-1]
    is_cut = is_pair & ~(is_known[1:] & is_known[:-1])
    is_repeat = is_pair & ~is_cut & (ways.ref[1:] == ways.ref[:-1])
    pieces = np.flatnonzero(is_pair & ~is_cut & ~is_repeat)
    start, end, way = place[pieces].astype(np.int32), place[pieces + 1].astype(np.int32), way_of_ref[pieces]
    latitude, longitude = degrees(roads.latitude_e7), degrees(roads.longitude_e7)
    length = great_circle_m(latitude[start], longitude[start], latitude[end], longitude[end])
    is_flat = length == 0
    length[is_flat] = SHORTEST_M
    ahead, back = ways.is_forward[way], ways.is_backward[way]
    segments = Segments(
        tail=np.concatenate([start[ahead], end[back]]),
        head=np.concatenate([end[ahead], start[back]]),
        way=np.concatenate([way[ahead], way[back]]),
        length_m=np.concatenate([length[ahead], length[back]]),
    )
    cut_ways = np.unique(way_of_ref[1:][is_cut])
    counts = {
        "directed_segments": len(segments.tail),
        "ways_with_missing_nodes": len(cut_ways),
        "pieces_lost_to_missing_nodes": int(is_cut.sum()),
        "repeated_nodes_dropped": int(is_repeat.sum()),
        "zero_length_segments": int(is_flat.sum()),
    }
    return segments, counts


def assemble(roads: OsmRoads, *, join: Join = "attributes", junctions: Bools | None = None) -> JoinedRoads:
    """Graph, attributes and shapes of an extract; nodes in Z-order, edges by tail, head and id.

    Parameters
    ----------
    junctions
        bool[K] per row of ``roads.node_id``: where the source itself says edges end; ``join`` then has no effect.

    Notes
    -----
    O(S log S), vectorised: under a second per million directed segments. Needs at least one segment.
    """
    check_join(join)
    segments, counts = make_segments(roads)
    chains, joining = _join(roads, segments, join, junctions)
    graph, by_tail, num_collisions = _graph(roads, segments, chains)
    attributes, speeds = edge_attributes(roads.ways, segments, chains)
    report = {
        **roads.report,
        "segments": counts,
        "joining": {
            "rule": join if junctions is None else "as the source has it",
            **joining,
            "edge_id_collisions": num_collisions,
        },
        "shape": _shape_counts(graph),
        "speeds": speeds,
    }
    return JoinedRoads(graph, attributes.take(by_tail), _shapes(roads, segments, chains).take(by_tail), report)


def _graph(roads: OsmRoads, segments: Segments, chains: Chains) -> tuple[RoadGraph, Ints, int]:
    """The graph, the chain of each edge, and how many edge ids had to be moved."""
    first, last = segments_at_ends(chains)
    tail, head = segments.tail[first], segments.head[last]
    ends = np.unique(np.concatenate([tail, head]))
    ends = ends[space_filling_order(roads.latitude_e7[ends], roads.longitude_e7[ends], roads.node_id[ends])]
    position = np.full(len(roads.node_id), -1, np.int32)
    position[ends] = np.arange(len(ends), dtype=np.int32)
    edge_id, num_collisions = _edge_ids(roads, segments, first, last)
    by_tail = np.lexsort((edge_id, position[head], position[tail])).astype(np.int32)
    graph = RoadGraph(
        tail=position[tail][by_tail],
        head=position[head][by_tail],
        edge_id=edge_id[by_tail],
        node_id=roads.node_id[ends],
        latitude_deg=degrees(roads.latitude_e7[ends]),
        longitude_deg=degrees(roads.longitude_e7[ends]),
    )
    return graph, by_tail, num_collisions


def segments_at_ends(chains: Chains) -> tuple[Ints, Ints]:
    """First and last segment of each chain, int32[C]."""
    return chains.segment[chains.first[:-1]], chains.segment[chains.first[1:] - 1]


def _join(roads: OsmRoads, segments: Segments, join: Join, junctions: Bools | None) -> tuple[Chains, dict[str, int]]:
    num_nodes = len(roads.node_id)
    if junctions is not None:
        stops = topological_breakpoints(segments.tail, segments.head, num_nodes) | junctions
        chains = join_chains(segments.tail, segments.head, stops)
        return chains, {"rings_opened": chains.num_rings}
    if join == "none":
        everywhere = np.ones(num_nodes, bool)
        return join_chains(segments.tail, segments.head, everywhere), {"rings_opened": 0}
    stops = topological_breakpoints(segments.tail, segments.head, num_nodes)
    counts = {"junctions_by_shape": int(stops.sum())}
    if join == "attributes":
        signature = _signature(roads.ways)[segments.way]
        differs = attribute_breakpoints(segments.tail, segments.head, signature, num_nodes) & ~stops
        via = _via_nodes(roads) & ~stops & ~differs
        counts |= {"stopped_by_attributes": int(differs.sum()), "stopped_by_restrictions": int(via.sum())}
        stops |= differs | via
    chains = join_chains(segments.tail, segments.head, stops)
    return chains, {**counts, "rings_opened": chains.num_rings}


def _signature(ways: WayTable) -> Ints:
    """int32[W]: equal where class, speed, lanes, toll, surface and access are."""
    columns = [ways.road_class.codes, ways.lanes, ways.is_toll, ways.surface.codes, ways.access.codes]
    table = np.column_stack([np.nan_to_num(ways.speed_kmh, nan=-1.0), *columns])
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int32)


def _via_nodes(roads: OsmRoads) -> Bools:
    via = np.array([restriction.via for restriction in roads.restrictions], np.int64)
    return np.isin(roads.node_id, via)


def _shape_counts(graph: RoadGraph) -> dict[str, int]:
    same = (graph.tail[1:] == graph.tail[:-1]) & (graph.head[1:] == graph.head[:-1])
    return {"self_loops": int((graph.tail == graph.head).sum()), "parallel_edges": int(same.sum())}


# ----------------------------------------------------------------------------------------------------------- ids


def _edge_ids(roads: OsmRoads, segments: Segments, first: Ints, last: Ints) -> tuple[Ids, int]:
    """Ids below 2**53, a hash of (first OSM way, tail, head and second node), and how many had to be moved."""
    way = roads.ways.way_id[segments.way[first]]
    nodes = [
        roads.node_id[segments.tail[first]],
        roads.node_id[segments.head[last]],
        roads.node_id[segments.head[first]],
    ]
    return stable_ids(way, *nodes)


def stable_ids(*columns: Ids) -> tuple[Ids, int]:
    """One id in [0, 2**53) per row, from its values alone; rows of equal hash are moved on, in order of their values.

    Returns
    -------
    tuple
        int64[n], unique, and the number of rows moved. The same rows give the same ids in any order, except that rows
        equal in every column take their ids in order of appearance.
    """
    value = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        value = mix64(value ^ column.astype(np.uint64))
    ids = (value >> (np.uint64(64) - _ID_BITS)).astype(np.int64)
    order = np.lexsort((*reversed(columns), ids))
    num_moved = 0
    while (repeats := _repeats(ids, order)).size:
        num_moved += len(repeats)
        moved = mix64(ids[repeats].astype(np.uint64) ^ value[repeats] ^ np.uint64(num_moved))
        ids[repeats] = (moved >> (np.uint64(64) - _ID_BITS)).astype(np.int64)
        order = np.lexsort((*reversed(columns), ids))
    return ids, num_moved


def _repeats(ids: Ids, order: NDArray[Any]) -> NDArray[Any]:
    in_order = ids[order]
    return np.asarray(order[1:][in_order[1:] == in_order[:-1]])


# ---------------------------------------------------------------------------------------------------- attributes


def edge_attributes(ways: WayTable, segments: Segments, chains: Chains) -> tuple[EdgeAttributes, dict[str, int]]:
    """Attributes of the joined edges by the rules of this module, and counts of tagged and imputed speeds."""
    way, length = segments.way[chains.segment], segments.length_m[chains.segment]
    begins, chain_of = chains.first[:-1], chains.chain_of
    total = np.add.reduceat(length, begins)

    def major(codes: Ints) -> Ints:
        return _covering_most(codes[way], length, chain_of, begins)

    def named(column: Categories) -> Categories:
        return compact(Categories(major(column.codes), column.levels))

    def any_of(mask: Bools) -> Bools:
        return np.asarray(np.logical_or.reduceat(mask[way], begins))

    road_class = named(ways.road_class)
    speed, counts = impute_speeds(_joined_speeds(ways.speed_kmh[way], length, begins), road_class)
    attributes = EdgeAttributes(
        length_m=total.astype(np.float32),
        speed_kmh=speed,
        travel_time_s=(total / speed.astype(np.float64) * 3.6).astype(np.float32),
        road_class=road_class,
        lanes=major(ways.lanes),
        is_toll=any_of(ways.is_toll),
        is_bridge=any_of(ways.is_bridge),
        is_tunnel=any_of(ways.is_tunnel),
        surface=named(ways.surface),
        access=named(ways.access),
        name=named(ways.name),
    )
    return attributes, counts


def _covering_most(values: Ints, length: Floats, chain_of: Ints, begins: Ids) -> Ints:
    """Per chain the value with the greatest length (of equals the smallest)."""
    result = values[begins].astype(np.int32)
    mixed = np.minimum.reduceat(values, begins) != np.maximum.reduceat(values, begins)
    rows = np.flatnonzero(mixed[chain_of])
    if len(rows) == 0:
        return result
    spread = int(values.max()) + 1
    keys, inverse = np.unique(chain_of[rows].astype(np.int64) * spread + values[rows], return_inverse=True)
    covered = np.bincount(inverse, weights=length[rows])
    order = np.lexsort((keys, -covered, keys // spread))
    chains, at = np.unique(keys[order] // spread, return_index=True)
    result[chains] = (keys[order] % spread)[at]
    return result


def _joined_speeds(speed: Floats, length: Floats, begins: Ids) -> Floats:
    """Per chain the tagged speed, harmonic over the tagged length where there are several; NaN where there is none."""
    is_tagged = ~np.isnan(speed)
    slowest = np.minimum.reduceat(np.where(is_tagged, speed, np.inf), begins)
    fastest = np.maximum.reduceat(np.where(is_tagged, speed, -np.inf), begins)
    distance = np.add.reduceat(np.where(is_tagged, length, 0.0), begins)
    hours = np.add.reduceat(np.where(is_tagged, length / np.where(is_tagged, speed, 1.0), 0.0), begins)
    mixed = distance / np.where(hours > 0, hours, 1.0)
    return np.where(slowest == fastest, slowest, np.where(hours > 0, mixed, np.nan))


# -------------------------------------------------------------------------------------------------------- shapes


def _shapes(roads: OsmRoads, segments: Segments, chains: Chains) -> EdgeShapes:
    num_segments, num_chains = len(chains.segment), chains.num_chains
    points = np.empty(num_segments + num_chains, np.int32)
    points[np.arange(num_segments) + chains.chain_of] = segments.tail[chains.segment]
    first_point = chains.first + np.arange(num_chains + 1)
    points[first_point[1:] - 1] = segments.head[segments_at_ends(chains)[1]]
    way = segments.way[chains.segment]
    is_new = np.ones(num_segments, bool)
    is_new[1:] = (way[1:] != way[:-1]) | (chains.chain_of[1:] != chains.chain_of[:-1])
    first_way = np.concatenate([[0], np.cumsum(is_new)])[chains.first]
    return EdgeShapes(
        first_point=first_point.astype(np.int64),
        osm_node=roads.node_id[points],
        latitude_e7=roads.latitude_e7[points],
        longitude_e7=roads.longitude_e7[points],
        first_way=first_way.astype(np.int64),
        osm_way=roads.ways.way_id[way[is_new]],
    )


Progress = Callable[[str], None]
"""Called with one sentence at the start of each stage of reading."""
