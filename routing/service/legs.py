"""One leg of a route edge by edge: lines, metres, seconds and cost of the stretch that is travelled of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.types import Floats, Floats32, Ids, Ints
from ..route import Route
from .streets import Stretch, part_of_line, segment_lengths


@dataclass(frozen=True, eq=False)
class LegParts:
    """A leg taken apart; ``P`` edges."""

    edges: Ints
    """int32[P], edge positions."""
    stretches: tuple[Stretch, ...]
    """What is travelled of each edge."""
    length_m: Floats | None
    """float64[P]; None where the network has no lengths."""
    travel_time_s: Floats | None
    """float64[P]; None where the network has no times."""
    cost: Floats
    """float64[P]: of the turn onto each edge; they add up to the leg's cost."""

    def line(self, begin: int, end: int) -> Floats:
        """float64[Q, 2] of (latitude, longitude) along the edges ``begin .. end``."""
        parts = [one.points for one in self.stretches[begin:end]]
        return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def take_apart(leg: Route) -> LegParts:
    """The parts of a leg of at least one edge. O(points)."""
    network, edges = leg.network, leg.edges
    begin, end = np.zeros(len(edges)), np.ones(len(edges))
    begin[0], end[-1] = leg.ends.start_fraction, leg.ends.end_fraction
    stretches = tuple(
        part_of_line(network.edge_polyline(int(edge)), float(begin[row]), float(end[row]))
        for row, edge in enumerate(edges)
    )
    travelled = np.maximum(end - begin, 0.0)
    attributes = network.attributes
    return LegParts(
        edges,
        stretches,
        _travelled(attributes.length_m, edges, travelled),
        _travelled(attributes.travel_time_s, edges, travelled),
        _costs(leg),
    )


def _travelled(of_edge: Floats32 | None, edges: Ints, share: Floats) -> Floats | None:
    return None if of_edge is None else of_edge[edges].astype(np.float64) * share


def _costs(leg: Route) -> Floats:
    """Of each turn, and of the travelled share of the first edge; the last one up to where the leg ends."""
    costs = np.zeros(len(leg.edges))
    costs[1:] = leg.turn_cost[leg.turns]
    costs[0] += leg.ends.paid
    costs[-1] -= leg.ends.let_off
    return costs


def annotation(leg: Route, parts: LegParts, wanted: tuple[str, ...]) -> dict[str, list[float] | list[int]]:
    """OSRM's annotation of a leg: one value per segment between two points of its full line, ``nodes`` one more."""
    segments = [segment_lengths(one.points) for one in parts.stretches]
    share = [one / total if (total := one.sum()) > 0 else np.full(len(one), 1 / len(one)) for one in segments]

    def spread(values: Floats) -> Floats:
        return np.concatenate([value * part for value, part in zip(values, share, strict=True)])

    distance = np.concatenate(segments) if parts.length_m is None else spread(parts.length_m)
    found: dict[str, list[float] | list[int]] = {}
    if "distance" in wanted:
        found["distance"] = np.round(distance, 3).tolist()
    if parts.travel_time_s is not None:
        duration = spread(parts.travel_time_s)
        if "duration" in wanted:
            found["duration"] = np.round(duration, 3).tolist()
        if "speed" in wanted:
            found["speed"] = np.round(distance / np.maximum(duration, 1e-9), 2).tolist()
    if "weight" in wanted:
        found["weight"] = np.round(spread(parts.cost), 6).tolist()
    if "datasources" in wanted:
        found["datasources"] = [0] * len(distance)
    if "nodes" in wanted:
        found["nodes"] = _nodes(leg, parts)
    return found


def _nodes(leg: Route, parts: LegParts) -> list[int]:
    """Nodes at both ends of every segment; where the line begins or ends between two nodes, the one outside of it."""
    nodes = [_nodes_of(leg, int(edge)) for edge in parts.edges]
    rows = [ids[one.first : one.last + 1] for ids, one in zip(nodes, parts.stretches, strict=True)]
    return [int(one) for one in np.concatenate([rows[0], *(row[1:] for row in rows[1:])])]


def _nodes_of(leg: Route, edge: int) -> Ids:
    shapes, graph = leg.network.shapes, leg.network.graph
    if shapes is None:
        return graph.node_id[[graph.tail[edge], graph.head[edge]]]
    return np.asarray(shapes.osm_node[shapes.first_point[edge] : shapes.first_point[edge + 1]])
