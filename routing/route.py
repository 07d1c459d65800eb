"""What a query answers: `Route`. Everything but the edges is worked out when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.errors import MissingDataError
from ..core.types import Floats, Ids, Ints
from ..graphs.hierarchy import StatePath
from ..graphs.road_graph import RoadNetwork
from ..graphs.spatial import Snap
from .points import Terminal


@dataclass(frozen=True, eq=False)
class Route:
    """The cheapest route between two points under one metric.

    Edges are whole: a route from a coordinate starts with the edge nearest to it and counts its full length. A route
    from a junction to itself has no edges.
    """

    network: RoadNetwork
    path: StatePath
    origin: Terminal
    destination: Terminal
    metric: str
    """Name of the costs it is cheapest under."""
    turn_cost: Floats
    """float64[T], those costs."""
    log_probability_of: Callable[[Route], float]
    """Computes `log_probability`; given by the router."""

    @property
    def edges(self) -> Ints:
        """int32[P], edge positions in order of travel."""
        return self.path.states

    @property
    def turns(self) -> Ints:
        """int32[P - 1], positions of the turns taken."""
        return self.path.turns

    @cached_property
    def cost(self) -> float:
        """Sum of the turn costs along the route; 0 for one edge. What starting on its first edge costs is left out."""
        return float(self.turn_cost[self.turns].sum())

    @cached_property
    def edge_ids(self) -> list[int]:
        """Source ids of the edges."""
        return [int(identifier) for identifier in self.network.graph.edge_id[self.edges]]

    @cached_property
    def nodes(self) -> list[int]:
        """Source ids of the junctions along the route, one more than edges."""
        graph = self.network.graph
        if len(self.edges) == 0:
            return [int(graph.node_id[self.origin.node])]
        along = np.concatenate([graph.tail[self.edges[:1]], graph.head[self.edges]])
        return [int(identifier) for identifier in graph.node_id[along]]

    @cached_property
    def osm_nodes(self) -> list[int]:
        """All OSM nodes along the route where the network has shapes, else the same as ``nodes``."""
        shapes = self.network.shapes
        if shapes is None or len(self.edges) == 0:
            return self.nodes
        parts = [shapes.osm_node[shapes.first_point[e] : shapes.first_point[e + 1]] for e in self.edges]
        return [int(node) for node in _joined(parts)]

    @cached_property
    def osm_ways(self) -> list[int]:
        """OSM ways in order of travel, each stretch once; empty where the network has no shapes."""
        shapes = self.network.shapes
        if shapes is None or len(self.edges) == 0:
            return []
        ways = np.concatenate([shapes.osm_way[shapes.first_way[e] : shapes.first_way[e + 1]] for e in self.edges])
        is_new = np.concatenate([[True], ways[1:] != ways[:-1]])[: len(ways)]
        return [int(way) for way in ways[is_new]]

    @cached_property
    def length_m(self) -> float:
        """Metres, all edges whole; `MissingDataError` where the network has no lengths."""
        lengths = self.network.attributes.require("length_m", "a route's length")
        return float(lengths[self.edges].sum(dtype=np.float64))

    @cached_property
    def travel_time_s(self) -> float | None:
        """Free-flow seconds, all edges whole; None where the network does not know."""
        times = self.network.attributes.travel_time_s
        return None if times is None else float(times[self.edges].sum(dtype=np.float64))

    @cached_property
    def geometry(self) -> Floats:
        """float64[P, 2] of (latitude, longitude) in degrees; `MissingDataError` where there are no coordinates."""
        if len(self.edges) == 0:
            latitude, longitude = self.network.graph.require_coordinates("a route's line")
            node = self.origin.node
            return np.array([[latitude[node], longitude[node]]])
        parts = [self.network.edge_polyline(int(edge)) for edge in self.edges]
        return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])

    @cached_property
    def log_probability(self) -> float:
        """Log-probability of this route among all routes from its first edge to its destination, <= 0.

        The destination is the last edge, or its end node where routes end by choosing to stop. It is that of horizon
        infinity (MaxEnt) under these costs, whatever horizon they were learned at.

        Raises
        ------
        InfeasibleRewardError
            These costs, read as rewards, define no distribution over routes (some cycle is too cheap).

        Notes
        -----
        The first one under a metric factorises it (0.2 s on Porto); each further one costs a solve (5 ms there).
        """
        return self.log_probability_of(self)

    @property
    def origin_snap(self) -> Snap | None:
        """Where a coordinate origin was put on the road; None for other points."""
        return self.origin.snap(int(self.edges[0])) if len(self.edges) else None

    @property
    def destination_snap(self) -> Snap | None:
        """Where a coordinate destination was put on the road; None for other points."""
        return self.destination.snap(int(self.edges[-1])) if len(self.edges) else None

    def __repr__(self) -> str:
        try:
            size = f"{self.length_m:.0f} m"
        except MissingDataError:
            size = "length not known"
        cost = f"{self.metric} {self.cost:.6g}"
        return f"<Route {self.origin} -> {self.destination}: {len(self.edges)} edges, {size}, {cost}>"


def _joined(parts: list[Ids]) -> Ids:
    """Consecutive edges share the node between them: it stands once."""
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])
