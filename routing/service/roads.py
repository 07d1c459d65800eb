"""The roads of a box as GeoJSON, so that the page shows the network where there are no tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely

from ...core.errors import ServiceRequestError
from ...core.types import Floats, Ints
from ...graphs.road_graph import RoadNetwork
from ...irl.map_views import one_per_road

_RANKS = {"motorway": 0, "trunk": 1, "primary": 2, "secondary": 3, "tertiary": 4}
_OTHER_RANK = 5
_LAST_ZOOM = (8.0, 8.5, 10.5, 12.0, 13.0)
"""Below this zoom the classes of a higher rank are left out."""


class RoadLines:
    """One line per road, found by box. O(E log E) to build, about a second and 200 bytes per edge on a city."""

    def __init__(self, network: RoadNetwork) -> None:
        latitude, longitude = network.graph.require_coordinates("a map")
        self._network = network
        self._edges = np.flatnonzero(one_per_road(network, np.ones(network.graph.num_edges, bool))).astype(np.int32)
        self._rank = _ranks(network)[self._edges]
        boxes = _boxes(network, self._edges)
        around: Any = shapely.box(*boxes.T)
        self._tree = shapely.STRtree(around)
        self.bounds = (float(longitude.min()), float(latitude.min()), float(longitude.max()), float(latitude.max()))
        """(west, south, east, north) of all nodes."""

    def inside(self, box: tuple[float, float, float, float], zoom: float, most: int) -> dict[str, Any]:
        """Roads that meet a box (west, south, east, north), minor ones left out where the zoom is low.

        Returns
        -------
        dict
            A GeoJSON FeatureCollection, one MultiLineString per rank, the main roads last; ``rank`` is 0 for motorways
            up to 5. ``is_complete`` is false where ranks were left out, for the zoom or for being over ``most`` lines.
        """
        rows = self._tree.query(shapely.box(*box))
        ranks = self._rank[rows]
        highest = sum(zoom >= limit for limit in _LAST_ZOOM)
        while highest > 0 and int((ranks <= highest).sum()) > most:
            highest -= 1
        digits = 5 if zoom >= 12 else 4
        step = 0.5 * 360 / 256 / 2.0 ** min(max(zoom, 0), 22)
        features = []
        for rank in range(min(highest, _OTHER_RANK), -1, -1):
            edges = self._edges[rows[ranks == rank]]
            if len(edges):
                features.append(_feature([self._line(int(edge), step, digits) for edge in edges], rank))
        is_complete = highest >= _OTHER_RANK
        return {"type": "FeatureCollection", "features": features, "is_complete": is_complete}

    def _line(self, edge: int, step: float, digits: int) -> list[list[float]]:
        """Points of an edge, (longitude, latitude); those nearer than half a pixel to the last are left out."""
        line = self._network.edge_polyline(edge)[:, ::-1]
        if len(line) > 2:
            line = shapely.get_coordinates(shapely.simplify(shapely.linestrings(line), step, preserve_topology=False))
        found: list[list[float]] = np.round(line, digits).tolist()
        return found


def read_box(text: str) -> tuple[float, float, float, float]:
    """``west,south,east,north`` in degrees; `ServiceRequestError` where it is no box."""
    try:
        west, south, east, north = (float(part) for part in text.split(","))
        if not (-360 <= west <= east <= 360 and -90 <= south <= north <= 90):  # also NaN
            raise ValueError
    except ValueError:
        raise ServiceRequestError(
            code="InvalidValue", problem="bbox must be west,south,east,north in degrees, west before east"
        ) from None
    return west, south, east, north


def _feature(lines: list[list[list[float]]], rank: int) -> dict[str, Any]:
    geometry = {"type": "MultiLineString", "coordinates": lines}
    return {"type": "Feature", "geometry": geometry, "properties": {"rank": rank}}


def _ranks(network: RoadNetwork) -> Ints:
    classes = network.attributes.road_class
    if classes is None:
        return np.full(network.graph.num_edges, 2, np.int32)
    by_level = [_RANKS.get(level.removesuffix("_link"), _OTHER_RANK) for level in classes.levels]
    return np.asarray(by_level, np.int32)[classes.codes]


def _boxes(network: RoadNetwork, edges: Ints) -> Floats:
    """float64[n, 4] of (west, south, east, north) around each edge."""
    if network.shapes is None:
        latitude, longitude = network.graph.require_coordinates("a map")
        ends = np.stack([network.graph.tail[edges], network.graph.head[edges]])
        low = np.stack([longitude[ends].min(axis=0), latitude[ends].min(axis=0)])
        high = np.stack([longitude[ends].max(axis=0), latitude[ends].max(axis=0)])
        return np.concatenate([low, high]).T
    shapes = network.shapes
    begins = shapes.first_point[:-1]
    columns = [
        reduce_at(values, begins)[edges] * 1e-7
        for reduce_at, values in (
            (np.minimum.reduceat, shapes.longitude_e7),
            (np.minimum.reduceat, shapes.latitude_e7),
            (np.maximum.reduceat, shapes.longitude_e7),
            (np.maximum.reduceat, shapes.latitude_e7),
        )
    ]
    return np.stack(columns, axis=1)
