"""What instructions need to know of each edge: bearings at its ends, name, class, and the roads at a junction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...core.types import Floats, Ints
from ...graphs.geometry import bearing_deg, degrees, end_bearings_deg, great_circle_m
from ...graphs.road_graph import RoadNetwork


@dataclass(frozen=True, slots=True)
class Branch:
    """One road at a junction."""

    bearing: int
    """Degrees clockwise from north in which it leaves the junction, 0..359."""
    can_enter: bool
    """Whether the turn onto it is permitted."""


class Streets:
    """A network as instructions see it. O(E) to build; everything else costs the roads at one junction."""

    def __init__(self, network: RoadNetwork) -> None:
        self.network = network
        self.leaving, self.arriving = (np.mod(np.nan_to_num(one), 360.0) for one in _bearings(network))
        """float64[E], degrees clockwise from north in 0..360: each edge leaves its tail so, and reaches its head."""
        classes = network.attributes.road_class
        self.levels = ("",) if classes is None else tuple(classes.levels)
        self.level = np.zeros(network.graph.num_edges, np.int8) if classes is None else classes.codes

    def name(self, edge: int) -> str:
        """The street's name; empty where there is none."""
        names = self.network.attributes.name
        return "" if names is None else names.text(edge)

    def road_class(self, edge: int) -> str:
        """OSM's ``highway``; empty where the network has no classes."""
        return self.levels[int(self.level[edge])]

    def deviation(self, edge: int, onto: int) -> float:
        """Degrees by which a turn deviates from straight on, in (-180, 180], positive to the right."""
        return float(180.0 - (180.0 - (self.leaving[onto] - self.arriving[edge])) % 360.0)

    def ways_on(self, edge: int) -> list[int]:
        """Edges that may be entered from ``edge``, turning back left out."""
        turns = self.network.turns
        rows = range(int(turns.first_out[edge]), int(turns.first_out[edge + 1]))
        return [int(turns.to_edge[row]) for row in rows if not turns.is_uturn[row]]

    def is_uturn(self, edge: int, onto: int) -> bool:
        """Whether the turn leads back along the same road."""
        turns = self.network.turns
        rows = slice(int(turns.first_out[edge]), int(turns.first_out[edge + 1]))
        at = int(np.searchsorted(turns.to_edge[rows], onto))
        return at < rows.stop - rows.start and bool(turns.is_uturn[rows.start + at])

    def branches(self, edge: int) -> list[Branch]:
        """The roads at the end of an edge, clockwise from north; two directions of one road are one."""
        graph, turns = self.network.graph, self.network.turns
        node = int(graph.head[edge])
        allowed = set(turns.to_edge[turns.first_out[edge] : turns.first_out[edge + 1]].tolist())
        first, by_head = self._into
        out = range(int(graph.first_out[node]), int(graph.first_out[node + 1]))
        found = {round(float(self.leaving[one])) % 360: False for one in out}
        for one in out:
            found[round(float(self.leaving[one])) % 360] |= one in allowed
        for one in by_head[first[node] : first[node + 1]].tolist():
            bearing = round(float(self.arriving[one]) + 180.0) % 360
            if not any(near % 360 in found for near in (bearing, bearing - 1, bearing + 1)):
                found[bearing] = False
        return [Branch(bearing, found[bearing]) for bearing in sorted(found)]

    @cached_property
    def _into(self) -> tuple[Ints, Ints]:
        """(int32[N+1] offsets, int32[E] edges by head)."""
        graph = self.network.graph
        by_head = np.argsort(graph.head, kind="stable").astype(np.int32)
        return np.searchsorted(graph.head[by_head], np.arange(graph.num_nodes + 1)).astype(np.int32), by_head


@dataclass(frozen=True, eq=False, slots=True)
class Stretch:
    """A part of a line: its points, and which points of the line lie at its ends or inside."""

    points: Floats
    """float64[P, 2] of (latitude, longitude); the first and the last may lie between points of the line."""
    first: int
    last: int
    """Positions in the line, P apart: the first lies at or before the begin, the last at or after the end."""


def part_of_line(line: Floats, begin: float, end: float) -> Stretch:
    """The stretch of a line between two shares of its length, both ends put on the line.

    >>> part_of_line(np.array([[0.0, 0.0], [0.0, 2.0], [0.0, 4.0]]), 0.25, 0.75).points.tolist()
    [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]
    """
    if begin <= 0.0 and end >= 1.0:
        return Stretch(line, 0, len(line) - 1)
    along = np.concatenate([[0.0], np.cumsum(segment_lengths(line))])
    at = np.clip(np.array([begin, end]), 0.0, 1.0) * along[-1]
    ends = np.stack([np.interp(at, along, line[:, 0]), np.interp(at, along, line[:, 1])], axis=1)
    low = int(np.searchsorted(along, at[0], side="right"))
    low = min(max(low, 1), len(line) - 1)
    high = max(int(np.searchsorted(along, at[1], side="left")), low)
    high = min(high, len(line) - 1)
    return Stretch(np.concatenate([ends[:1], line[low:high], ends[1:]]), low - 1, high)


def segment_lengths(line: Floats) -> Floats:
    """float64[P - 1] in metres between the points of a line."""
    return great_circle_m(line[:-1, 0], line[:-1, 1], line[1:, 0], line[1:, 1])


def _bearings(network: RoadNetwork) -> tuple[Floats, Floats]:
    if network.shapes is not None:
        shapes = network.shapes
        return end_bearings_deg(shapes.first_point, degrees(shapes.latitude_e7), degrees(shapes.longitude_e7))
    latitude, longitude = network.graph.require_coordinates("a route's instructions")
    tail, head = network.graph.tail, network.graph.head
    straight = bearing_deg(latitude[tail], longitude[tail], latitude[head], longitude[head])
    return straight, straight
