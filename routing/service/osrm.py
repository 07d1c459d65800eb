"""OSRM's services `route`, `table`, `nearest` and `match`, version 1: read and answered as osrm-routed does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from .answers import nearest_answer, route_answer, table_answer
from .asking import find_nearest, find_routes, find_table, metric_of
from .match_requests import read_match
from .matchings import find_matchings, match_answer
from .requests import EXTRAS, GEOMETRIES, OVERVIEWS, read_nearest, read_route, read_table
from .schemas import MatchAnswer, NearestAnswer, Problem, RouteAnswer, TableAnswer
from .state import ServiceState, reply

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Why there is no answer"},
    413: {"model": Problem, "description": "The body is too long"},
    414: {"model": Problem, "description": "The URL is too long"},
}
_BOOLEAN = {"type": "string", "enum": ["true", "false"]}
_TEXT = {"type": "string"}
_TOLD: dict[str, dict[str, Any]] = {
    "steps": _BOOLEAN,
    "annotations": _TEXT,
    "geometries": {"type": "string", "enum": list(GEOMETRIES)},
    "overview": {"type": "string", "enum": list(OVERVIEWS)},
}
"""How routes are told."""
_CONTEXT = {
    "departure": {"type": "string", "description": "08:30 or 2024-05-03T08:30+01:00, for metrics that differ by it"},
    "group": {"type": "string", "description": "the traveller's, for metrics that differ by it"},
}


class _PlainRoute(APIRoute):
    """An endpoint that reads its request itself: what the framework does for parameters costs as much as a query."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


def osrm_routes(state: ServiceState) -> APIRouter:
    """The four services."""
    api = APIRouter(tags=["OSRM"], route_class=_PlainRoute)
    for add in (_add_route, _add_table, _add_nearest, _add_match):
        add(api, state)
    return api


def _add_route(api: APIRouter, state: ServiceState) -> None:
    router, settings = state.router, state.settings

    @api.get(
        "/route/v1/{profile}/{coordinates:path}",
        responses={200: {"model": RouteAnswer}, **PROBLEMS},
        openapi_extra=_parameters(
            alternatives=_TEXT,
            **_TOLD,
            continue_straight={"type": "string", "enum": ["default", "true", "false"]},
            radiuses=_TEXT,
            exclude=_TEXT,
            avoid=_TEXT,
            closed=_TEXT,
            **_CONTEXT,
            skip_waypoints=_BOOLEAN,
            trodden={"type": "string", "description": f"of {', '.join(EXTRAS)}, separated by commas"},
        ),
    )
    async def route(request: Request) -> Response:
        """The cheapest route through coordinates `lon,lat;lon,lat;...` under the metric that the profile names."""
        wanted = read_route(*_asked(request), settings)
        metric = metric_of(router, request.path_params["profile"], wanted.context)

        def work() -> Response:
            return reply(route_answer(router, state.streets, wanted, find_routes(router, wanted, metric)))

        return work() if wanted.is_quick else await state.slowly(work)


def _add_table(api: APIRouter, state: ServiceState) -> None:
    router, settings = state.router, state.settings

    @api.get(
        "/table/v1/{profile}/{coordinates:path}",
        responses={200: {"model": TableAnswer}, **PROBLEMS},
        openapi_extra=_parameters(
            sources=_TEXT,
            destinations=_TEXT,
            annotations=_TEXT,
            scale_factor=_TEXT,
            radiuses=_TEXT,
            **_CONTEXT,
            skip_waypoints=_BOOLEAN,
            trodden={"type": "string", "enum": ["cost"]},
        ),
    )
    async def table(request: Request) -> Response:
        """Times and lengths of the cheapest routes between all pairs of coordinates."""
        wanted = read_table(*_asked(request), settings)
        metric = metric_of(router, request.path_params["profile"], wanted.context)

        def work() -> Response:
            matrix = find_table(router, wanted, metric)
            return reply(table_answer(router, state.streets, wanted, metric, matrix))

        return await state.slowly(work)


def _add_nearest(api: APIRouter, state: ServiceState) -> None:
    router, settings = state.router, state.settings

    @api.get(
        "/nearest/v1/{profile}/{coordinates:path}",
        responses={200: {"model": NearestAnswer}, **PROBLEMS},
        openapi_extra=_parameters(number=_TEXT, radiuses=_TEXT),
    )
    async def nearest(request: Request) -> Response:
        """The roads nearest to a coordinate `lon,lat`."""
        wanted = read_nearest(*_asked(request), settings)
        metric_of(router, request.path_params["profile"])
        return reply(nearest_answer(router, state.streets, wanted, find_nearest(router, wanted)))


def _add_match(api: APIRouter, state: ServiceState) -> None:
    router, settings = state.router, state.settings

    @api.get(
        "/match/v1/{profile}/{coordinates:path}",
        responses={200: {"model": MatchAnswer}, **PROBLEMS},
        openapi_extra=_parameters(
            timestamps={"type": "string", "description": "seconds per coordinate, separated by semicolons"},
            radiuses={"type": "string", "description": "standard deviation per coordinate in metres"},
            gaps={"type": "string", "enum": ["split", "ignore"]},
            tidy=_BOOLEAN,
            waypoints=_TEXT,
            **_TOLD,
            skip_waypoints=_BOOLEAN,
        ),
    )
    async def match(request: Request) -> Response:
        """The routes of a GPS trace `lon,lat;lon,lat;...`."""
        wanted = read_match(*_asked(request), settings)
        metric = metric_of(router, request.path_params["profile"])

        def work() -> Response:
            return reply(match_answer(router, state.streets, wanted, find_matchings(router, wanted, metric)))

        return await state.slowly(work)


def _asked(request: Request) -> tuple[str, str]:
    """(coordinates, query string). Read here: parameters declared to the framework cost as much as half a route."""
    return request.path_params["coordinates"], request.scope["query_string"].decode("latin-1")


def _parameters(**schemas: dict[str, Any]) -> dict[str, Any]:
    """Options for OpenAPI: they are read by `requests`, whose errors are OSRM's, and not by the framework."""
    places = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": text}
        for name, text in (
            ("profile", "a metric, or driving for the first one"),
            ("coordinates", "lon,lat;lon,lat or polyline(...) or polyline6(...)"),
        )
    ]
    options = [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in schemas.items()]
    return {"parameters": places + options}
