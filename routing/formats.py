"""Routes for other programs: GeoJSON, polylines, GPX, networkx node lists, GeoDataFrames; points from the latter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import ConfigurationError, InputFileError, MissingPackageError
from ..core.files import write_file
from ..graphs.spatial import Snap
from ..irl.map_views import credit_for
from .lines import encode_polyline, gpx_document
from .points import Coordinate
from .route import Route


def to_geojson(routes: Route | Sequence[Route]) -> dict[str, Any]:
    """A GeoJSON FeatureCollection (RFC 7946): one LineString per route, and one Point per snapped coordinate.

    Parameters
    ----------
    routes
        One route, or several of one network.

    Returns
    -------
    dict
        Ready for `json.dump`; ``attribution`` names OpenStreetMap where the network comes from it.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    """
    several = [routes] if isinstance(routes, Route) else list(routes)
    features = [feature for number, route in enumerate(several) for feature in _features(route, number)]
    collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if credits := _credits(several):
        collection["attribution"] = credits
    return collection


def write_geojson(routes: Route | Sequence[Route], path: str | Path) -> Path:
    """Write `to_geojson` to a file, whole or not at all.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    OSError
        The disk refused; an earlier file is untouched.
    """
    text = json.dumps(to_geojson(routes), ensure_ascii=False, allow_nan=False)
    return write_file(path, text.encode())


def to_polyline(route: Route, precision: int = 5) -> str:
    """The route's line as an encoded polyline; see `encode_polyline`.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    """
    return encode_polyline(route.geometry, precision)


def to_gpx(routes: Route | Sequence[Route]) -> str:
    """A GPX 1.1 document, one track per route, to be written as UTF-8.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    """
    several = [routes] if isinstance(routes, Route) else list(routes)
    return gpx_document([(_title(route), _description(route), route.geometry) for route in several], _credits(several))


def write_gpx(routes: Route | Sequence[Route], path: str | Path) -> Path:
    """Write `to_gpx` to a file, whole or not at all.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    OSError
        The disk refused; an earlier file is untouched.
    """
    return write_file(path, to_gpx(routes).encode())


def to_networkx_nodes(route: Route) -> list[int]:
    """The route as nodes of the exported networkx graph: source ids of its junctions, one more than edges.

    Where parallel edges join two junctions, the nodes do not say which was taken; `Route.edge_ids` does.
    """
    return list(route.nodes)


def to_geodataframe(routes: Route | Sequence[Route]) -> Any:
    """A GeoDataFrame (EPSG:4326), one row per route with the properties of `to_geojson`.

    Raises
    ------
    MissingPackageError
        geopandas is not installed.
    MissingDataError
        The network has no coordinates.
    """
    geopandas = _geopandas()
    lines = [feature for feature in to_geojson(routes)["features"] if feature["properties"]["kind"] == "route"]
    return geopandas.GeoDataFrame.from_features(lines, crs="EPSG:4326")


def points_from_geodataframe(points: Any) -> list[Coordinate]:
    """The points of a GeoDataFrame or GeoSeries, in its order, as a router takes them.

    Parameters
    ----------
    points
        Geometries that are all Points, in any coordinate reference system that it names.

    Raises
    ------
    MissingPackageError
        geopandas is not installed.
    ConfigurationError
        It names no coordinate reference system.
    InputFileError
        A geometry is missing, empty or no Point; names its row and index.
    """
    _geopandas()
    series = points.geometry
    if series.crs is None:
        raise ConfigurationError(
            where="GeoDataFrame",
            problem="it names no coordinate reference system; say which it is, as in frame.set_crs('EPSG:4326')",
        )
    for row, (label, shape) in enumerate(series.items()):
        kind = None if shape is None else "empty" if shape.is_empty else shape.geom_type
        if kind != "Point":
            raise InputFileError(
                path="GeoDataFrame",
                row=row,
                problem=f"the geometry of index {label!r} is {kind or 'missing'}, not a Point",
                remedy="Keep rows with points only, or take frame.geometry.centroid",
            )
    places = series.to_crs("EPSG:4326")
    return [Coordinate(y, x) for x, y in zip(places.x.tolist(), places.y.tolist(), strict=True)]


def _geopandas() -> Any:
    try:
        import geopandas
    except ImportError:
        raise MissingPackageError(
            package="geopandas", needed_for="a GeoDataFrame", install="pip install geopandas"
        ) from None
    return geopandas


def _credits(routes: Sequence[Route]) -> str:
    return ", ".join(sorted({credit for route in routes if (credit := credit_for(route.network))}))


def _title(route: Route) -> str:
    return f"{route.metric} route from {route.origin} to {route.destination}"


def _description(route: Route) -> str:
    parts = [f"cost {route.cost:.6g}"]
    if route.network.attributes.length_m is not None:
        parts.insert(0, f"{route.length_m / 1000:.3f} km")
    if route.travel_time_s is not None:
        parts.insert(1, f"{route.travel_time_s / 60:.1f} min")
    return ", ".join(parts)


def _features(route: Route, number: int) -> list[dict[str, Any]]:
    properties: dict[str, Any] = {
        "kind": "route",
        "route": number,
        "origin": str(route.origin),
        "destination": str(route.destination),
        "metric": route.metric,
        "cost": route.cost,
        "length_m": None if route.network.attributes.length_m is None else route.length_m,
        "travel_time_s": route.travel_time_s,
        "edge_ids": route.edge_ids,
        "nodes": route.nodes,
    }
    line = {"type": "LineString", "coordinates": _positions(route)}
    features = [{"type": "Feature", "geometry": line, "properties": properties}]
    for role, snap in (("origin", route.origin_snap), ("destination", route.destination_snap)):
        if snap is not None:
            features.append(_snap_feature(role, snap, number))
    return features


def _positions(route: Route) -> list[list[float]]:
    """GeoJSON wants longitude first; 7 decimals are a centimetre, and what OSM stores."""
    positions = [[round(longitude, 7), round(latitude, 7)] for latitude, longitude in route.geometry.tolist()]
    # A LineString has at least two positions; a route from a junction to itself has one.
    return positions * 2 if len(positions) == 1 else positions


def _snap_feature(role: str, snap: Snap, number: int) -> dict[str, Any]:
    place = {"type": "Point", "coordinates": [round(snap.longitude_deg, 7), round(snap.latitude_deg, 7)]}
    properties = {"kind": role, "route": number, "distance_m": round(snap.distance_m, 2)}
    return {"type": "Feature", "geometry": place, "properties": properties}
