"""OSRM answers as dictionaries ready for JSON; what OSRM has no word for stands under ``trodden``.

``weight`` is the cost under the metric (``weight_name``), ``duration`` free-flow seconds, ``distance`` metres.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import shapely

from ...core.types import Floats
from ...graphs.spatial import Snap
from ..lines import encode_polyline
from ..route import Route
from ..router import Router
from .asking import Answered, check_radiuses, find_snaps
from .legs import annotation, take_apart
from .requests import NearestRequest, RouteRequest, TableRequest
from .steps import steps_of, summary_of
from .streets import Streets

if TYPE_CHECKING:
    from ..alternatives import Alternative

_SIMPLIFIED_PARTS = 1000.0
"""A simplified line strays from the full one by so small a part of its extent: a pixel of a large screen."""


def route_answer(router: Router, streets: Streets, request: RouteRequest, found: Sequence[Answered]) -> dict[str, Any]:
    """The answer to ``/route/v1``."""
    legs = found[0].legs
    snaps = [*(leg.origin_snap for leg in legs), legs[-1].destination_snap]
    check_radiuses(snaps, request.at.radiuses)
    answer: dict[str, Any] = {"code": "Ok", "routes": [route_object(router, streets, request, one) for one in found]}
    if not request.at.skip_waypoints:
        answer["waypoints"] = [waypoint(streets, snap) for snap in snaps if snap is not None]
    return answer


def table_answer(router: Router, streets: Streets, request: TableRequest, metric: str, matrix: Any) -> dict[str, Any]:
    """The answer to ``/table/v1``; a pair without a route is null."""
    snaps = find_snaps(router, request.at.points)
    check_radiuses(snaps, request.at.radiuses)
    answer: dict[str, Any] = {"code": "Ok"}
    if "duration" in request.annotations:
        answer["durations"] = _rows(matrix.travel_time_s * request.scale_factor, 1)
    if "distance" in request.annotations:
        answer["distances"] = _rows(matrix.length_m, 1)
    if not request.at.skip_waypoints:
        waypoints = [waypoint(streets, snap) for snap in snaps]
        answer["sources"] = [waypoints[index] for index in request.sources]
        answer["destinations"] = [waypoints[index] for index in request.destinations]
    answer["trodden"] = {"metric": metric, "version": matrix.version}
    if request.with_cost:
        answer["trodden"]["cost"] = _rows(matrix.cost, 6)
    return answer


def nearest_answer(router: Router, streets: Streets, request: NearestRequest, snaps: Sequence[Snap]) -> dict[str, Any]:
    """The answer to ``/nearest/v1``: as many roads as asked for, nearest first."""
    check_radiuses(snaps[:1], request.at.radiuses)
    graph = router.network.graph
    waypoints = []
    for snap in snaps:
        if request.at.radiuses and snap.distance_m > request.at.radiuses[0]:
            break
        ends = [int(graph.node_id[graph.tail[snap.edge]]), int(graph.node_id[graph.head[snap.edge]])]
        edge = {"edge_id": int(graph.edge_id[snap.edge]), "fraction": round(snap.fraction, 6)}
        waypoints.append(waypoint(streets, snap) | {"nodes": ends, "trodden": edge})
    return {"code": "Ok", "waypoints": waypoints}


def geometry_writer(geometries: str) -> Callable[[Floats], Any]:
    """Writes float64[P, 2] of (latitude, longitude) as a request asks for it."""
    if geometries == "geojson":
        return line_string
    digits = 6 if geometries == "polyline6" else 5
    return lambda line: encode_polyline(line, digits)


def simplified(line: Floats) -> Floats:
    """A line of fewer points (Douglas & Peucker), its ends kept."""
    if len(line) < 3:
        return line
    # In degrees of latitude, east-west as wide as it is there.
    wide = math.cos(math.radians(float(line[0, 0])))
    local = line * (1.0, wide)
    whole = shapely.linestrings(local)
    west, south, east, north = shapely.bounds(whole).tolist()
    extent = max(east - west, north - south)
    kept = shapely.simplify(whole, extent / _SIMPLIFIED_PARTS, preserve_topology=False)
    found = shapely.get_coordinates(kept)
    found[:, 1] /= wide
    return np.asarray(found)


class RouteWishes(Protocol):
    """What a request says of how its routes are told."""

    @property
    def steps(self) -> bool:
        """With instructions."""

    @property
    def annotations(self) -> tuple[str, ...]:
        """With values per segment."""

    @property
    def geometries(self) -> str:
        """One of `GEOMETRIES`."""

    @property
    def overview(self) -> str:
        """One of `OVERVIEWS`."""

    @property
    def extras(self) -> frozenset[str]:
        """Some of `EXTRAS`."""


def route_object(
    router: Router, streets: Streets, request: RouteWishes, found: Answered, line: Floats | None = None
) -> dict[str, Any]:
    """OSRM's route object; ``line`` is the whole route's, float64[P, 2], where it is known already."""
    write = geometry_writer(request.geometries)
    legs = [_leg(leg, streets, request, write) for leg in found.legs]
    answer: dict[str, Any] = {
        name: legs[0][name] if len(legs) == 1 else _sum([leg[name] for leg in legs])
        for name in ("distance", "duration", "weight")
    }
    first = found.legs[0]
    answer["weight_name"] = first.metric
    if request.overview != "false":
        if line is None:
            parts = [leg.geometry for leg in found.legs]
            line = parts[0] if len(parts) == 1 else np.concatenate([parts[0], *(part[1:] for part in parts[1:])])
        answer["geometry"] = write(simplified(line) if request.overview == "simplified" else line)
    answer["legs"] = legs
    answer["trodden"] = _extras(router, request, found)
    return answer


def _leg(leg: Route, streets: Streets, request: RouteWishes, write: Callable[[Floats], Any]) -> dict[str, Any]:
    known = leg.network.attributes
    answer: dict[str, Any] = {
        "distance": None if known.length_m is None else round(leg.length_m, 1),
        "duration": None if leg.travel_time_s is None else round(leg.travel_time_s, 1),
        "weight": round(leg.cost, 6),
        "summary": "",
        "steps": [],
    }
    if request.steps or request.annotations:
        parts = take_apart(leg)
        if request.steps:
            answer["steps"] = steps_of(leg, parts, streets, write)
            answer["summary"] = summary_of(answer["steps"])
        if request.annotations:
            answer["annotation"] = annotation(leg, parts, request.annotations)
    return answer


def _extras(router: Router, request: RouteWishes, found: Answered) -> dict[str, Any]:
    first = found.legs[0]
    extras: dict[str, Any] = {"metric": first.metric, "version": first.version}
    if found.alternative is not None:
        extras |= alternative_facts(found.alternative)
    elif "probability" in request.extras:
        # Of the legs taken each by itself: a traveller with stop-overs makes that many trips.
        extras["probability"] = float(np.exp(sum(leg.log_probability for leg in found.legs)))
    if "explanation" in request.extras and len(found.legs) == 1:
        extras["explanation"] = router.explain(first).to_json()
    return extras


def alternative_facts(one: Alternative) -> dict[str, Any]:
    """How likely an alternative is, and how it was found."""
    return {
        "probability": one.probability,
        "share": one.share,
        "share_error": one.share_error,
        "found_by": one.found_by,
    }


def waypoint(streets: Streets, snap: Snap) -> dict[str, Any]:
    """OSRM's waypoint object."""
    return {
        "location": [round(snap.longitude_deg, 6), round(snap.latitude_deg, 6)],
        "name": streets.name(snap.edge),
        "distance": round(snap.distance_m, 3),
    }


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 6) if len(known) == len(values) else None


def line_string(line: Floats) -> dict[str, Any]:
    """A GeoJSON LineString of float64[P, 2] of (latitude, longitude)."""
    return {"type": "LineString", "coordinates": np.round(line[:, ::-1], 7).tolist()}


def _rows(values: Floats, digits: int) -> list[list[float | None]]:
    rounded = np.round(values, digits)
    if np.isfinite(rounded).all():
        rows: list[list[float | None]] = rounded.tolist()
        return rows
    return [[one if np.isfinite(one) else None for one in row] for row in rounded.tolist()]
