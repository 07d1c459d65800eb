"""OSRM's match service: what is asked of the router, and the answer."""

from __future__ import annotations

from typing import Any

from ...core.errors import ServiceRequestError
from ..router import Router
from ..trace_matching import MatchedPiece, MatchedPoint, MatchedTrace
from .answers import route_object, waypoint
from .asking import Answered
from .faults import naming
from .match_requests import MatchRequest
from .streets import Streets

_SURE = 0.95
"""A place whose edge was passed with a smaller probability has alternatives."""


def find_matchings(router: Router, request: MatchRequest, metric: str) -> MatchedTrace:
    """The routes of a trace.

    Raises
    ------
    ServiceRequestError
        ``NoSegment`` where no road is near any coordinate, ``NoMatch`` where there is no route through them, or none
        through a coordinate named as a waypoint.
    """
    with naming(request.at.points):
        found = router.match(
            request.at.points,
            request.timestamps,
            sigma_m=request.sigma_m,
            metric=metric,
            max_gap_s=request.max_gap_s,
            thin=request.tidy,
            stops=request.waypoints,
        )
    told = ", ".join(f"{count} {fate}" for fate, count in found.fates.items())
    if not found.pieces:
        code = "NoSegment" if set(found.fates) == {"off_road"} else "NoMatch"
        raise ServiceRequestError(code=code, problem=f"no route through these coordinates: {told}")
    for index in request.waypoints or ():
        if found.points[index].snap is None:
            problem = f"waypoint {index} is on no route: {found.points[index].fate} (of all coordinates: {told})"
            raise ServiceRequestError(code="NoMatch", problem=problem)
    return found


def match_answer(router: Router, streets: Streets, request: MatchRequest, found: MatchedTrace) -> dict[str, Any]:
    """The answer to ``/match/v1``; a coordinate that is on no route has no tracepoint."""
    answer: dict[str, Any] = {"code": "Ok"}
    answer["matchings"] = [_matching(router, streets, request, piece) for piece in found.pieces]
    if not request.at.skip_waypoints:
        answer["tracepoints"] = [_tracepoint(router, streets, point) for point in found.points]
    answer["trodden"] = {"sigma_m": round(found.sigma_m, 3), "fates": [point.fate for point in found.points]}
    return answer


def _matching(router: Router, streets: Streets, request: MatchRequest, piece: MatchedPiece) -> dict[str, Any]:
    route = piece.route
    answer = route_object(router, streets, request, Answered(route.legs), route.geometry)
    # Not the sum of the legs, each rounded: there may be hundreds.
    has_length, time = route.network.attributes.length_m is not None, route.travel_time_s
    answer["distance"] = round(route.length_m, 1) if has_length else None
    answer["duration"] = None if time is None else round(time, 1)
    answer["weight"] = round(route.cost, 6)
    answer["confidence"] = round(piece.confidence, 6)
    return answer


def _tracepoint(router: Router, streets: Streets, point: MatchedPoint) -> dict[str, Any] | None:
    if point.snap is None:
        return None
    return waypoint(streets, point.snap) | {
        "matchings_index": point.piece,
        "waypoint_index": None if point.stop < 0 else point.stop,
        "alternatives_count": int(point.certainty < _SURE),
        "trodden": {
            "edge_id": int(router.network.graph.edge_id[point.snap.edge]),
            "fraction": round(point.snap.fraction, 6),
            "certainty": round(point.certainty, 6),
        },
    }
