"""Nearest edges to a coordinate, on the main network only: never silently onto an island."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..core.errors import EmptyNetworkError, InvalidValueError, OffMapError
from .geometry import METRES_PER_DEGREE
from .road_graph import RoadNetwork
from .segment_grid import make_segment_grid, nearest_edges_around

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

    Building costs about 0.3 s and 200 bytes per edge on a city; a query about 20 us.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    EmptyNetworkError
        It has no edge.
    """

    def __init__(self, network: RoadNetwork) -> None:
        is_main = network.turns.is_main.copy()
        for copy, edge in network.original_edge.items():  # the road is one: its original stands for both
            is_main[edge] |= is_main[copy]
            is_main[copy] = False
        # Every edge taken to be 1 long: the place along it is a fraction then.
        self._grid = make_segment_grid(network, np.ones(network.graph.num_edges), is_main)
        points = is_main[self._grid.edge]
        if not points.any():
            raise EmptyNetworkError(path="network", problem="has no edge to snap to", remedy="Check how it was read")
        latitude, longitude = self._grid.latitude_deg[points], self._grid.longitude_deg[points]
        self._low = np.array([latitude.min(), longitude.min()])
        self._high = np.array([latitude.max(), longitude.max()])

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
        snaps = self._around(latitude_deg, longitude_deg, 1, _SAME_ROAD_M)
        if not snaps[0].distance_m <= limit_m:
            raise self._off_map(snaps[0], latitude_deg, longitude_deg, limit_m, index, role)
        return snaps

    def nearest_edges(
        self, latitude_deg: float, longitude_deg: float, number: int, limit_m: float = DEFAULT_SNAP_LIMIT_M
    ) -> tuple[Snap, ...]:
        """The ``number`` nearest edges within ``limit_m``, nearest first; fewer where there are no more.

        Raises
        ------
        InvalidValueError, OffMapError
            As for `nearest`.
        """
        self.nearest(latitude_deg, longitude_deg, limit_m)
        snaps = self._around(latitude_deg, longitude_deg, number, 0.0)
        return tuple(snap for snap in snaps[:number] if snap.distance_m <= limit_m)

    def _around(self, latitude_deg: float, longitude_deg: float, number: int, slack_m: float) -> tuple[Snap, ...]:
        found = nearest_edges_around(self._grid, float(latitude_deg), float(longitude_deg), number, slack_m).tolist()
        snaps = [Snap(int(edge), metres, min(share, 1.0), *place) for edge, metres, share, *place in found]
        return tuple(sorted(snaps, key=_order))

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

    def _covers(self, latitude_deg: float, longitude_deg: float, margin_m: float) -> bool:
        middle = math.radians(float(self._low[0] + self._high[0]) / 2)
        margin = margin_m / METRES_PER_DEGREE / np.array([1.0, max(math.cos(middle), 1e-5)])
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


def _check_coordinate(latitude_deg: float, longitude_deg: float, row: int) -> None:
    for column, value, bound in (("latitude", latitude_deg, 90.0), ("longitude", longitude_deg, 180.0)):
        if not -bound <= value <= bound:  # also NaN
            expected = f"a {column} between -{bound:.0f} and {bound:.0f} (latitude comes first; are the two swapped?)"
            raise InvalidValueError(column=column, row=row, row_name="point", value=float(value), expected=expected)
