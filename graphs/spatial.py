"""Nearest edges to a coordinate, on the main network only: never silently onto an island."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from ..core.errors import EmptyNetworkError, InvalidValueError, OffMapError
from ..core.types import Floats, Ids, Ints
from .road_graph import RoadNetwork, ragged_rows

METRES_PER_DEGREE = math.pi / 180 * 6_371_008.8
"""Along a meridian of the mean sphere."""

DEFAULT_SNAP_LIMIT_M = 1000.0
_SAME_ROAD_M = 1.0
"""Edges so little farther than the nearest one are as near: the opposite direction of the same road."""


@dataclass(frozen=True, slots=True)
class Snap:
    """An edge near a coordinate."""

    edge: int
    """Edge position."""
    distance_m: float
    fraction: float
    """0 at the edge's start, 1 at its end: where along it the nearest point lies."""
    latitude_deg: float
    longitude_deg: float
    """The nearest point on the edge."""


class EdgeIndex:
    """The edges of the largest strongly connected component of the edge graph, found by coordinate.

    Building costs about 1 s and 300 bytes per edge on a city; a query about 0.1 ms.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    """

    def __init__(self, network: RoadNetwork) -> None:
        self._network = network
        shapes = network.shapes
        # Of a stored network they are memory-mapped, and every slice of such an array costs ten of a plain one.
        self._shapes: tuple[Any, ...] = ()
        if shapes is not None:
            columns = shapes.first_point, shapes.latitude_e7, shapes.longitude_e7
            self._shapes = tuple(values.view(np.ndarray) for values in columns)
        is_main = network.turns.is_main.copy()
        for copy, edge in network.original_edge.items():  # the road is one: its original stands for both
            is_main[edge] |= is_main[copy]
            is_main[copy] = False
        self._edges = np.flatnonzero(is_main).astype(np.int32)
        if len(self._edges) == 0:
            raise EmptyNetworkError(path="network", problem="has no edge to snap to", remedy="Check how it was read")
        points, row = _edge_points(network, self._edges)
        self._low, self._high = points.min(axis=0), points.max(axis=0)
        self._scale = _metres(float(self._low[0] + self._high[0]) / 2)
        # Shapely wants (x, y); latitude is the first column of `points`.
        lines: Any = shapely.linestrings((points * self._scale)[:, ::-1], indices=row)
        self._tree = shapely.STRtree(lines)

    def nearest(
        self,
        latitude_deg: float,
        longitude_deg: float,
        limit_m: float = DEFAULT_SNAP_LIMIT_M,
        *,
        index: int | None = None,
        role: str = "",
    ) -> tuple[Snap, ...]:
        """The nearest edge and every other edge within 1 m of being as near, nearest first.

        Parameters
        ----------
        index
            Row of a batch, to be named in errors.
        role
            What the point is of a trip, to be named in errors.

        Raises
        ------
        InvalidValueError
            A coordinate is NaN, infinite or out of range.
        OffMapError
            No edge of the main network within ``limit_m``; hints at swapped coordinates, or says what the map covers.
        """
        _check_coordinate(latitude_deg, longitude_deg, 0 if index is None else index)
        here = self._point(latitude_deg, longitude_deg)
        nearest, distances = self._tree.query_nearest(here, return_distance=True, all_matches=False)
        # The index measures in one projection for the whole map; candidates are measured again around the point
        # itself. Between the two a distance changes by `stretch` at most, once for the winner, once for a rival.
        stretch = self._distortion(latitude_deg)
        rows = nearest[:1]
        if distances[0] <= limit_m * stretch:
            reach = (float(distances[0]) + _SAME_ROAD_M) * stretch**2 * (1 + 1e-6)
            rows = self._tree.query(here, predicate="dwithin", distance=reach)
        snaps = sorted((self._measure(int(e), latitude_deg, longitude_deg) for e in self._edges[rows]), key=_order)
        if not snaps[0].distance_m <= limit_m:
            raise self._off_map(snaps[0], latitude_deg, longitude_deg, limit_m, index, role)
        return tuple(snap for snap in snaps if snap.distance_m <= snaps[0].distance_m + _SAME_ROAD_M)

    def nearest_edges(
        self, latitude_deg: float, longitude_deg: float, number: int, limit_m: float = DEFAULT_SNAP_LIMIT_M
    ) -> tuple[Snap, ...]:
        """The ``number`` nearest edges within ``limit_m``, nearest first; fewer where there are no more.

        Raises
        ------
        InvalidValueError, OffMapError
            As for `nearest`.
        """
        snaps = self.nearest(latitude_deg, longitude_deg, limit_m)
        here = self._point(latitude_deg, longitude_deg)
        stretch = self._distortion(latitude_deg)
        reach = 2.0 * (snaps[0].distance_m + _SAME_ROAD_M)
        # Every edge within `reach` is among the candidates of a circle a little larger: once that holds enough, done.
        while len(snaps) < number:
            reach = min(2.0 * reach, limit_m)
            rows = self._tree.query(here, predicate="dwithin", distance=reach * stretch * (1 + 1e-6))
            found = sorted((self._measure(int(e), latitude_deg, longitude_deg) for e in self._edges[rows]), key=_order)
            snaps = tuple(snap for snap in found if snap.distance_m <= reach)
            if reach >= limit_m:
                break
        return snaps[:number]

    def _off_map(
        self, nearest: Snap, latitude_deg: float, longitude_deg: float, limit_m: float, index: int | None, role: str
    ) -> OffMapError:
        return OffMapError(
            point=f"{role + ' ' if role else ''}({latitude_deg:.6f}, {longitude_deg:.6f})",
            distance_m=nearest.distance_m,
            limit_m=limit_m,
            hint=self._hint(latitude_deg, longitude_deg, limit_m),
            index=index,
        )

    def _point(self, latitude_deg: float, longitude_deg: float) -> Any:
        north, east = self._scale.tolist()
        return shapely.points(
            [longitude_deg * east, latitude_deg * north]
        )  # of one list: of two numbers it stacks arrays

    def _distortion(self, latitude_deg: float) -> float:
        local = max(METRES_PER_DEGREE * math.cos(math.radians(latitude_deg)), 1.0)
        east = float(self._scale[1])
        return max(local / east, east / local)

    def _measure(self, edge: int, latitude_deg: float, longitude_deg: float) -> Snap:
        """The nearest point on one edge. In plain numbers: lines are short, and arrays cost more than they save."""
        latitudes, longitudes = self._line(edge)
        north_scale = METRES_PER_DEGREE
        east_scale = METRES_PER_DEGREE * math.cos(math.radians(latitude_deg))
        north = [(value - latitude_deg) * north_scale for value in latitudes]
        east = [(value - longitude_deg) * east_scale for value in longitudes]
        nearest, total, passed, foot = math.inf, 0.0, 0.0, (north[0], east[0])
        for k in range(len(north) - 1):
            y, x = north[k], east[k]
            up, right = north[k + 1] - y, east[k + 1] - x
            square = up * up + right * right
            along = min(max(-(y * up + x * right) / max(square, 1e-12), 0.0), 1.0)
            here = y + along * up, x + along * right
            distance, length = math.hypot(*here), math.sqrt(square)
            if distance < nearest:
                nearest, foot, passed = distance, here, total + along * length
            total += length
        fraction = min(passed / total, 1.0) if total > 0 else 0.0
        place = foot[0] / north_scale + latitude_deg, foot[1] / max(east_scale, 1e-9) + longitude_deg
        return Snap(edge, nearest, fraction, *place)

    def _line(self, edge: int) -> tuple[list[float], list[float]]:
        """(latitudes, longitudes) along one edge, as `RoadNetwork.edge_polyline` has them."""
        if not self._shapes:
            latitude, longitude = self._network.edge_polyline(edge).T.tolist()
            return latitude, longitude
        first, latitude_e7, longitude_e7 = self._shapes
        points = slice(int(first[edge]), int(first[edge + 1]))
        return [v * 1e-7 for v in latitude_e7[points].tolist()], [v * 1e-7 for v in longitude_e7[points].tolist()]

    def _covers(self, latitude_deg: float, longitude_deg: float, margin_m: float) -> bool:
        margin = margin_m / np.maximum(self._scale, 1.0)
        point = np.array([latitude_deg, longitude_deg])
        return bool((point >= self._low - margin).all() and (point <= self._high + margin).all())

    def _hint(self, latitude_deg: float, longitude_deg: float, limit_m: float) -> str:
        if self._covers(latitude_deg, longitude_deg, limit_m):
            return "Move the point, raise the snapping limit, or name an edge or a node instead"
        if self._covers(longitude_deg, latitude_deg, limit_m):
            return "Latitude and longitude look swapped: latitude comes first"
        (south, west), (north, east) = self._low, self._high
        return f"The map covers latitude {south:.4f} to {north:.4f} and longitude {west:.4f} to {east:.4f}"


def _order(snap: Snap) -> tuple[float, int]:
    return snap.distance_m, snap.edge


def _metres(latitude_deg: float) -> Floats:
    """Metres per degree of (latitude, longitude) at a latitude."""
    return METRES_PER_DEGREE * np.array([1.0, math.cos(math.radians(latitude_deg))])


def _edge_points(network: RoadNetwork, edges: Ints) -> tuple[Floats, Ids]:
    """All points of some edges, float64[P, 2] in degrees, and the row of its edge for each."""
    if network.shapes is not None:
        shapes = network.shapes
        flat, offsets = ragged_rows(shapes.first_point, edges)
        places = np.stack([shapes.latitude_e7[flat], shapes.longitude_e7[flat]], axis=1)
        return places.astype(np.float64) * 1e-7, np.repeat(np.arange(len(edges)), np.diff(offsets))
    latitude, longitude = network.graph.require_coordinates("finding the road at a coordinate")
    ends = np.stack([network.graph.tail[edges], network.graph.head[edges]], axis=1).ravel()
    return np.stack([latitude[ends], longitude[ends]], axis=1), np.repeat(np.arange(len(edges)), 2)


def _check_coordinate(latitude_deg: float, longitude_deg: float, row: int) -> None:
    for column, value, bound in (("latitude", latitude_deg, 90.0), ("longitude", longitude_deg, 180.0)):
        if not -bound <= value <= bound:  # also NaN
            expected = f"a {column} between -{bound:.0f} and {bound:.0f} (latitude comes first; are the two swapped?)"
            raise InvalidValueError(column=column, row=row, row_name="point", value=float(value), expected=expected)
