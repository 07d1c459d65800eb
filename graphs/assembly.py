"""From ways to a road network: segments, chains of them as edges, nodes in Z-order, shapes, ids.

Each edge holds all nodes and ways in order of travel; for its attributes see `trodden.graphs.joined_attributes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from ..core.errors import ConfigurationError
from ..core.types import Bools, Ids, Ints
from .further_columns import Further, further_columns
from .geometry import degrees, space_filling_order
from .joined_attributes import edge_attributes
from .joining import Chains, attribute_breakpoints, join_chains, topological_breakpoints
from .road_graph import EdgeAttributes, EdgeShapes, RoadGraph
from .segments import Segments, make_segments
from .stable_ids import stable_ids
from .via_ways import meeting_nodes
from .ways import OsmRoads, WayTable

Join = Literal["attributes", "all", "none"]
"""Join chains where the modelled attributes agree and no restriction acts; wherever osmnx does; nowhere."""


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


def assemble(
    roads: OsmRoads,
    *,
    join: Join = "attributes",
    junctions: Bools | None = None,
    class_speeds_kmh: Mapping[str, float] | None = None,
    further: Further | None = None,
) -> JoinedRoads:
    """Graph, attributes and shapes of an extract; nodes in Z-order, edges by tail, head and id.

    Parameters
    ----------
    junctions
        bool[K] per row of ``roads.node_id``: where the source itself says edges end; ``join`` then has no effect.
    class_speeds_kmh
        See `trodden.graphs.reading.read_roads`.
    further
        What columns beside those of tags are made from.

    Notes
    -----
    O(S log S), vectorised: under a second per million directed segments. Needs at least one segment.
    """
    check_join(join)
    segments, counts = make_segments(roads)
    chains, joining = _join(roads, segments, join, junctions)
    graph, by_tail, num_collisions = _graph(roads, segments, chains)
    attributes, speeds = edge_attributes(roads.ways, segments, chains, class_speeds_kmh)
    speed = attributes.speed_kmh
    assert speed is not None  # imputed where it is not tagged
    (numbers, kinds), told = further_columns(roads, segments, chains, speed, further or Further())
    attributes = replace(attributes, extra=numbers, kinds=kinds)
    report = {
        **roads.report,
        "segments": counts,
        "joining": {
            "rule": join if junctions is None else "as the source has it",
            **joining,
            "edge_id_collisions": num_collisions,
        },
        "shape": _shape_counts(graph),
        **speeds,
        **told,
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


def _edge_ids(roads: OsmRoads, segments: Segments, first: Ints, last: Ints) -> tuple[Ids, int]:
    """Ids below 2**53, a hash of (first OSM way, tail, head and second node), and how many had to be moved."""
    ends = (segments.tail[first], segments.head[last], segments.head[first])
    return stable_ids(roads.ways.way_id[segments.way[first]], *(roads.node_id[end] for end in ends))


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
    if len(roads.blocked):
        stopped = np.isin(roads.node_id, roads.blocked) & ~stops
        counts |= {"stopped_by_barriers": int(stopped.sum())}
        stops |= stopped
    chains = join_chains(segments.tail, segments.head, stops)
    return chains, {**counts, "rings_opened": chains.num_rings}


def _signature(ways: WayTable) -> Ints:
    """int32[W]: equal where class, speed, lanes, toll, surface and access are."""
    columns = [ways.road_class.codes, ways.lanes, ways.is_toll, ways.surface.codes, ways.access.codes]
    table = np.column_stack([np.nan_to_num(ways.speed_kmh, nan=-1.0), *columns])
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int32)


def _via_nodes(roads: OsmRoads) -> Bools:
    via = np.array([restriction.via for restriction in roads.restrictions], np.int64)
    return np.isin(roads.node_id, via) | meeting_nodes(roads)


def _shape_counts(graph: RoadGraph) -> dict[str, int]:
    same = (graph.tail[1:] == graph.tail[:-1]) & (graph.head[1:] == graph.head[:-1])
    return {"self_loops": int((graph.tail == graph.head).sum()), "parallel_edges": int(same.sum())}


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
