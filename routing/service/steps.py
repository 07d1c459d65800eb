"""A leg as OSRM's ``steps``: stretches between instructions, with the junctions along each."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.types import Floats
from ...graphs.spatial import Snap
from ..points import Coordinate
from ..route import Route
from .legs import LegParts
from .maneuvers import Maneuver, maneuver_at
from .streets import Streets
from .travel_modes import STEP_MODE

_BESIDE_M = 5.0
"""A destination nearer to the road than this has no side."""
_DRIVING_SIDE = "right"


def steps_of(leg: Route, parts: LegParts, streets: Streets, geometry: Callable[[Floats], Any]) -> list[dict[str, Any]]:
    """The steps of a leg; the last one, ``arrive``, has no length.

    Parameters
    ----------
    geometry
        Writes a line the way that the request asks for.
    """
    edges = [int(edge) for edge in parts.edges]
    maneuvers: dict[int, Maneuver] = {}
    for row, (edge, onto) in enumerate(itertools.pairwise(edges), start=1):
        maneuver = maneuver_at(streets, edge, onto)
        if maneuver is not None:
            maneuvers[row] = maneuver
    starts = [0, *maneuvers]
    steps = []
    for begin, end in zip(starts, [*starts[1:], len(edges)], strict=True):
        step = _totals(parts, begin, end) | {
            "geometry": geometry(parts.line(begin, end)),
            "name": streets.name(edges[begin]),
        }
        step |= {"mode": _mode(streets), "driving_side": _DRIVING_SIDE}
        step["maneuver"] = _maneuver(parts, streets, edges, begin, maneuvers.get(begin))
        step["intersections"] = [_intersection(parts, streets, edges, row) for row in range(begin, end)]
        steps.append(step)
    steps.append(_arrival(leg, parts, streets, edges, geometry))
    return steps


def summary_of(steps: list[dict[str, Any]]) -> str:
    """The two streets that most of a leg runs along, in order of travel."""
    metres: dict[str, float] = defaultdict(float)
    for step in steps:
        if step["name"]:
            metres[step["name"]] += step["distance"] or 0.0
    longest = sorted(metres, key=lambda name: -metres[name])[:2]
    return ", ".join(name for name in metres if name in longest)


def _mode(streets: Streets) -> str:
    return STEP_MODE.get(streets.network.mode, "driving")


def _totals(parts: LegParts, begin: int, end: int) -> dict[str, Any]:
    return {
        "distance": None if parts.length_m is None else round(float(parts.length_m[begin:end].sum()), 1),
        "duration": None if parts.travel_time_s is None else round(float(parts.travel_time_s[begin:end].sum()), 1),
        "weight": round(float(parts.cost[begin:end].sum()), 6),
    }


def _maneuver(
    parts: LegParts, streets: Streets, edges: list[int], row: int, maneuver: Maneuver | None
) -> dict[str, Any]:
    before = 0 if row == 0 else _whole(streets.arriving[edges[row - 1]])
    found = {
        "location": _location(parts.stretches[row].points[0]),
        "bearing_before": before,
        "bearing_after": _bearing_along(parts, streets, edges, row),
        "type": "depart" if maneuver is None else maneuver.type,
    }
    if maneuver is not None:
        found["modifier"] = maneuver.modifier
    return found


def _arrival(
    leg: Route, parts: LegParts, streets: Streets, edges: list[int], geometry: Callable[[Floats], Any]
) -> dict[str, Any]:
    end = parts.stretches[-1].points[-1]
    before = _bearing_before_end(parts, streets, edges)
    maneuver = {"location": _location(end), "bearing_before": before, "bearing_after": 0, "type": "arrive"}
    side = _side(leg.destination.point, leg.destination_snap, before)
    if side:
        maneuver["modifier"] = side
    empty = {key: None if value is None else 0 for key, value in _totals(parts, 0, 1).items()}
    return empty | {
        "geometry": geometry(np.stack([end, end])),
        "name": streets.name(edges[-1]),
        "mode": _mode(streets),
        "driving_side": _DRIVING_SIDE,
        "maneuver": maneuver,
        "intersections": [{"location": _location(end), "bearings": [(before + 180) % 360], "entry": [True], "in": 0}],
    }


def _intersection(parts: LegParts, streets: Streets, edges: list[int], row: int) -> dict[str, Any]:
    """The junction at which the edge in ``row`` is entered."""
    location = _location(parts.stretches[row].points[0])
    if row == 0:
        return {"location": location, "bearings": [_bearing_along(parts, streets, edges, 0)], "entry": [True], "out": 0}
    branches = streets.branches(edges[row - 1])
    bearings = [branch.bearing for branch in branches]
    back = _whole(streets.arriving[edges[row - 1]] + 180.0)
    return {
        "location": location,
        "bearings": bearings,
        "entry": [branch.can_enter for branch in branches],
        "in": _nearest(bearings, back),
        "out": _nearest(bearings, _whole(streets.leaving[edges[row]])),
    }


def _nearest(bearings: list[int], wanted: int) -> int:
    gaps = [abs((one - wanted + 180) % 360 - 180) for one in bearings]
    return gaps.index(min(gaps))


def _bearing_along(parts: LegParts, streets: Streets, edges: list[int], row: int) -> int:
    """The bearing in which the edge in ``row`` is begun; from its line where that begins part-way."""
    if row > 0:
        return _whole(streets.leaving[edges[row]])
    found = _bearing(parts.stretches[0].points[0], parts.stretches[0].points[1])
    return _whole(streets.leaving[edges[0]]) if found is None else found


def _bearing_before_end(parts: LegParts, streets: Streets, edges: list[int]) -> int:
    found = _bearing(parts.stretches[-1].points[-2], parts.stretches[-1].points[-1])
    return _whole(streets.arriving[edges[-1]]) if found is None else found


def _bearing(begin: Floats, end: Floats) -> int | None:
    north, east = end - begin
    east *= np.cos(np.radians(begin[0]))
    return None if abs(north) + abs(east) < 1e-9 else _whole(float(np.degrees(np.arctan2(east, north))))


def _side(point: object, snap: Snap | None, bearing: int) -> str:
    """``left`` or ``right`` of the road, looking along it; empty on it."""
    if snap is None or not isinstance(point, Coordinate) or snap.distance_m < _BESIDE_M:
        return ""
    beside = _bearing(
        np.array([snap.latitude_deg, snap.longitude_deg]), np.array([point.latitude_deg, point.longitude_deg])
    )
    if beside is None:
        return ""
    return "right" if (beside - bearing) % 360 < 180 else "left"


def _whole(bearing: float) -> int:
    return round(float(bearing)) % 360


def _location(place: Floats) -> list[float]:
    return [round(float(place[1]), 6), round(float(place[0]), 6)]
