"""Where along a matched route each point of its trace lies, in the order of travel: `place_points`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..core.types import Floats, Ints
from ..graphs.geometry import METRES_PER_DEGREE
from ..graphs.road_graph import RoadNetwork
from ..irl.matching import FATES, THINNED, Matched, TraceMatcher
from .part_way import cut_line
from .points import Coordinate

_USED = FATES.index("used")


class RoutePlace(NamedTuple):
    """A point's place on a route."""

    point: int
    """Position of the point."""
    at: int
    """Position in the route's edges."""
    fraction: float
    """Of that edge, 0 to 1."""


def place_points(
    matcher: TraceMatcher,
    edges: Ints,
    found: Matched,
    points: Sequence[int],
    back_m: float,
    coordinates: Callable[[int], Coordinate] | None,
) -> list[RoutePlace]:
    """Places of the points on one route: none lies before the place of the point before it.

    Parameters
    ----------
    edges
        int32[P], the route.
    points
        Positions in ``found``: from the route's first point to the one before that of the next route.
    back_m
        `Noise.back_m`.
    coordinates
        Of a point: also those are placed then that were left out because the noise is larger than the way to the
        point before, each at the nearest place of the route between its neighbours. None: they are not.
    """
    used = [point for point in points if found.fate[point] == _USED]
    places = _places_of_used(edges, found, used, back_m, matcher.length_m)
    if coordinates is None:
        return places
    placed = []
    for number, place in enumerate(places):
        end = places[number + 1] if number + 1 < len(places) else RoutePlace(points[-1] + 1, len(edges) - 1, 1.0)
        placed.append(place)
        for point in range(place.point + 1, end.point):
            if found.fate[point] != THINNED:
                break  # those that follow lie in the noise of a point that is on no route
            placed.append(_nearest(matcher.network, edges, placed[-1], end, coordinates(point), point))
    return placed


def _places_of_used(
    edges: Ints, found: Matched, used: Sequence[int], back_m: float, length_m: Floats
) -> list[RoutePlace]:
    """The matcher knows edge and metres: what is looked for is which of the times that the route passes that edge.

    It left out end edges of which next to nothing was travelled: points there are put at the route's own ends.
    """
    edge, along_m = found.point_edge[used], found.point_along_m[used]
    begin, end = edge[:1][edge[:1] != edges[0]], edge[-1:][edge[-1:] != edges[-1]]
    whole = np.concatenate([begin, edges, end])
    places, at, before, here = [], 0, -np.inf, 0.0
    for number, point in enumerate(used):
        along = float(along_m[number])
        # A step on one edge goes forward, or back by so little that it is standing still; otherwise it went round.
        if edge[number] != whole[at] or along < before - back_m:
            later = np.flatnonzero(whole[at + 1 :] == edge[number])
            if len(later):
                at, here = at + 1 + int(later[0]), 0.0
        before, here = along, max(along, here)
        size = float(length_m[edge[number]])
        fraction = min(here / size, 1.0) if size > 0 else 0.0
        places.append(_inside(RoutePlace(point, at - len(begin), fraction), len(edges)))
    return places


def _inside(place: RoutePlace, num_edges: int) -> RoutePlace:
    if place.at < 0:
        return RoutePlace(place.point, 0, 0.0)
    return place if place.at < num_edges else RoutePlace(place.point, num_edges - 1, 1.0)


def _nearest(
    network: RoadNetwork, edges: Ints, low: RoutePlace, high: RoutePlace, point: Coordinate, number: int
) -> RoutePlace:
    """The nearest place of the route to a point, from one place of it to another."""
    best, least = RoutePlace(number, low.at, low.fraction), np.inf
    for at in range(low.at, high.at + 1):
        begin = low.fraction if at == low.at else 0.0
        end = high.fraction if at == high.at else 1.0
        metres, share = _on_line(cut_line(network.edge_polyline(int(edges[at])), begin, end), point)
        if metres < least:
            best, least = RoutePlace(number, at, min(begin + share * max(end - begin, 0.0), 1.0)), metres
    return best


def _on_line(line: Floats, point: Coordinate) -> tuple[float, float]:
    """(metres from a point to a polyline, the share of the line before the nearest place)."""
    wide = METRES_PER_DEGREE * max(float(np.cos(np.radians(point.latitude_deg))), 1e-6)
    local = (line - (point.latitude_deg, point.longitude_deg)) * (METRES_PER_DEGREE, wide)
    if len(line) == 1:
        return float(np.hypot(*local[0])), 0.0
    steps = np.diff(local, axis=0)
    squares = (steps**2).sum(1)
    along = np.clip(-(local[:-1] * steps).sum(1) / np.maximum(squares, 1e-12), 0.0, 1.0)
    metres = np.hypot(*(local[:-1] + along[:, None] * steps).T)
    best = int(metres.argmin())
    lengths = np.sqrt(squares)
    total = float(lengths.sum())
    passed = float(lengths[:best].sum() + along[best] * lengths[best])
    return float(metres[best]), passed / total if total > 0 else 0.0
