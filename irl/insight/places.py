"""Where an edge or a turn is, in the words of its source: OSM ways and nodes, class, name, coordinates."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...core.types import Ints
from ...graphs.road_graph import RoadNetwork


@dataclass(frozen=True)
class Place:
    """An edge, or a turn from one edge onto another."""

    kind: Literal["edge", "turn"]
    position: int
    """Of the edge or turn in its network."""
    edge_ids: tuple[int, ...]
    """The edge; of a turn, the edges left and entered."""
    osm_ways: tuple[int, ...]
    """Of an edge all its ways, in order of travel (joined edges have several); of a turn the one that it leaves and the
    one that it enters. Empty where the network was not made from OpenStreetMap."""
    nodes: tuple[int, ...]
    """Source ids (OSM node ids): both ends of an edge; of a turn the node that it is made at."""
    road_classes: tuple[str, ...]
    """Of ``edge_ids``; empty where the source has none."""
    names: tuple[str, ...]
    """Of ``edge_ids``, ``""`` where there is none; empty where the source has no names at all."""
    latitude_deg: float | None
    """The middle of the edge, or the node of the turn; None without coordinates."""
    longitude_deg: float | None

    def to_json(self) -> dict[str, Any]:
        """By name, without the position, which is internal."""
        return {name: _plain(value) for name, value in vars(self).items() if name not in ("kind", "position")}


def place_of_edge(network: RoadNetwork, edge: int) -> Place:
    """One edge."""
    graph, shapes = network.graph, network.shapes
    ways: tuple[int, ...] = ()
    if shapes is not None:
        ways = tuple(dict.fromkeys(shapes.osm_way[shapes.first_way[edge] : shapes.first_way[edge + 1]].tolist()))
    latitude, longitude = _middle(network, edge)
    return Place(
        kind="edge",
        position=edge,
        edge_ids=(int(graph.edge_id[edge]),),
        osm_ways=ways,
        nodes=(int(graph.node_id[graph.tail[edge]]), int(graph.node_id[graph.head[edge]])),
        road_classes=_texts(network, "road_class", [edge]),
        names=_texts(network, "name", [edge]),
        latitude_deg=latitude,
        longitude_deg=longitude,
    )


def place_of_turn(network: RoadNetwork, turn: int) -> Place:
    """One turn."""
    graph, shapes, turns = network.graph, network.shapes, network.turns
    # By bisection: `from_edge` would make an array of all turns.
    left = int(np.searchsorted(turns.first_out, turn, side="right")) - 1
    entered = int(turns.to_edge[turn])
    ways: tuple[int, ...] = ()
    if shapes is not None:
        ways = int(shapes.osm_way[shapes.first_way[left + 1] - 1]), int(shapes.osm_way[shapes.first_way[entered]])
    via = graph.head[left]
    has_place = graph.latitude_deg is not None and graph.longitude_deg is not None
    return Place(
        kind="turn",
        position=turn,
        edge_ids=(int(graph.edge_id[left]), int(graph.edge_id[entered])),
        osm_ways=ways,
        nodes=(int(graph.node_id[via]),),
        road_classes=_texts(network, "road_class", [left, entered]),
        names=_texts(network, "name", [left, entered]),
        latitude_deg=float(graph.latitude_deg[via]) if has_place else None,  # type: ignore[index]
        longitude_deg=float(graph.longitude_deg[via]) if has_place else None,  # type: ignore[index]
    )


def same_road(network: RoadNetwork, edges: Ints) -> list[set[int]]:
    """For each of some edges, which others (by their place in the list) are the same road.

    Those that share an OSM way with it: tags belong to ways. Without ways, those between the same two nodes.
    """
    graph, shapes = network.graph, network.shapes
    by_road: dict[Any, set[int]] = defaultdict(set)
    roads: list[list[Any]] = []
    for number, edge in enumerate(edges.tolist()):
        if shapes is not None:
            mine = shapes.osm_way[shapes.first_way[edge] : shapes.first_way[edge + 1]].tolist()
        else:
            mine = [tuple(sorted((int(graph.tail[edge]), int(graph.head[edge]))))]
        roads.append(mine)
        for road in mine:
            by_road[road].add(number)
    return [set().union(*(by_road[road] for road in mine)) - {number} for number, mine in enumerate(roads)]


def _middle(network: RoadNetwork, edge: int) -> tuple[float, float] | tuple[None, None]:
    """Half-way along an edge's line."""
    if network.shapes is None and network.graph.latitude_deg is None:
        return None, None
    line = network.edge_polyline(edge)
    step = np.hypot(np.diff(line[:, 0]), np.diff(line[:, 1]) * np.cos(np.radians(line[0, 0])))
    along = np.concatenate([[0.0], np.cumsum(step)])
    at = along[-1] / 2
    return float(np.interp(at, along, line[:, 0])), float(np.interp(at, along, line[:, 1]))


def _texts(network: RoadNetwork, column: str, edges: list[int]) -> tuple[str, ...]:
    categories = getattr(network.attributes, column)
    return () if categories is None else tuple(categories.text(edge) for edge in edges)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
