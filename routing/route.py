"""What a query answers: `Route`. Everything but the edges is worked out when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.errors import MissingDataError
from ..core.types import Floats, Floats32, Ids, Ints
from ..graphs.hierarchy import StatePath
from ..graphs.road_graph import RoadNetwork
from ..graphs.spatial import Snap
from .line_kernels import travelled_line
from .part_way import WHOLE, Ends
from .points import Terminal


@dataclass(frozen=True, eq=False)
class Route:
    """The cheapest route between two points under one metric.

    `edges`, `nodes`, `edge_ids` and OSM ids are those of whole edges. Cost, length, travel time and line of a trip from
    or to a coordinate count the travelled share of the first and last edge (`trodden.routing.part_way`); trips by edge
    and node are whole. A route from a junction to itself has no edges.
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
    version: int = 0
    """Of the metric: every `Router.add_metric` makes a new one."""
    ends: Ends = WHOLE
    """Which share of the first and last edge is travelled."""
    parts: tuple[Route, ...] = ()
    """See `legs`; empty for a route without points on the way."""

    @property
    def legs(self) -> tuple[Route, ...]:
        """The route from stop to stop: one more than there are points on the way, itself where there are none.

        A leg begins on the edge on which the one before it ends, at the same place; a leg from a junction or from an
        edge's id at that edge's end. So their costs, lengths and times add up to those of the route.
        """
        return self.parts or (self,)

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
        """Sum of the turn costs along the route, the last one up to where the route ends.

        Of the first edge a trip from a coordinate counts the travelled share, and one by edge or node nothing, so that
        its cost is that of its turns; what starting on the first edge costs (``entry_cost``) is left out.
        """
        if self.parts:
            return sum(part.cost for part in self.parts)
        return max(float(self.turn_cost[self.turns].sum()) + self.ends.paid - self.ends.let_off, 0.0)

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
    def shares(self) -> Floats:
        """float64[P] in [0, 1]: how much of each edge is travelled."""
        shares = np.ones(len(self.edges))
        if len(shares):
            shares[0] -= self.ends.start_fraction
            shares[-1] -= 1.0 - self.ends.end_fraction
        return shares

    @cached_property
    def length_m(self) -> float:
        """Metres travelled; `MissingDataError` where the network has no lengths."""
        return self._travelled(self.network.attributes.require("length_m", "a route's length"))

    @cached_property
    def travel_time_s(self) -> float | None:
        """Free-flow seconds; None where the network does not know."""
        times = self.network.attributes.travel_time_s
        return None if times is None else self._travelled(times)

    def _travelled(self, of_edge: Floats32) -> float:
        return float(of_edge[self.edges].astype(np.float64) @ self.shares)

    @cached_property
    def geometry(self) -> Floats:
        """float64[P, 2] of (latitude, longitude) in degrees, from where the trip starts to where it ends.

        `MissingDataError` where there are no coordinates.
        """
        if len(self.edges) == 0:
            latitude, longitude = self.network.graph.require_coordinates("a route's line")
            node = self.origin.node
            return np.array([[latitude[node], longitude[node]]])
        line: Floats = travelled_line(self.network.lines, self.edges, self.ends.start_fraction, self.ends.end_fraction)
        return line

    @cached_property
    def log_probability(self) -> float:
        """Log-probability of this route among all routes from its first edge to its destination, <= 0.

        Edges count whole, wherever on them the trip starts and ends. The destination is the last edge, or its end node
        where routes end by choosing to stop. It is that of horizon infinity (MaxEnt) under these costs, whatever
        horizon they were learned at. A route that comes by its last edge before its end has none where routes end at
        the first visit: ``-inf``.

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
