"""Routes for other programs: GeoJSON, networkx node lists, GeoDataFrames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import MissingPackageError
from ..core.files import write_file
from ..graphs.spatial import Snap
from ..irl.map_views import credit_for
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
    credits = {credit for route in several if (credit := credit_for(route.network))}
    if credits:
        collection["attribution"] = ", ".join(sorted(credits))
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
    try:
        import geopandas
    except ImportError:
        raise MissingPackageError(
            package="geopandas", needed_for="a GeoDataFrame", install="pip install geopandas"
        ) from None
    lines = [feature for feature in to_geojson(routes)["features"] if feature["properties"]["kind"] == "route"]
    return geopandas.GeoDataFrame.from_features(lines, crs="EPSG:4326")


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
