"""Questions that OSRM has no word for: alternatives with probabilities, explanations, reach, batches, the network."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from ..._version import __version__
from ...core.errors import ConfigurationError, MissingDataError, ServiceRequestError, TroddenError
from ...irl.map_views import credit_for, route_line
from ..route import Route
from .answers import alternative_facts, line_string
from .asking import in_context
from .faults import service_error
from .osrm import PROBLEMS
from .requests import TripContext, read_edges, read_factors
from .roads import read_box
from .schemas import (
    AlternativesAnswer,
    BatchAnswer,
    BatchRequest,
    ExplainAnswer,
    Health,
    Metrics,
    NetworkInfo,
    ReachableAnswer,
)
from .state import ServiceState, reply

_POINT = "lat,lon or edge:ID or node:ID or osm:NODE"
Origin = Annotated[str, Query(alias="from", max_length=100, description=_POINT, examples=["41.1496,-8.6110"])]
Destination = Annotated[str, Query(alias="to", max_length=100, description=_POINT, examples=["41.1579,-8.6291"])]
MetricName = Annotated[str | None, Query(max_length=200, description="the first one where left out")]
Departure = Annotated[
    str | None,
    Query(max_length=40, description="for metrics that differ by it", examples=["08:30", "2024-05-03T08:30+01:00"]),
]
Group = Annotated[str | None, Query(max_length=200, description="the traveller's, for metrics that differ by it")]
By = Literal["travel_time_s", "length_m", "cost"]


def own_routes(state: ServiceState) -> APIRouter:
    """Everything under ``/v1``, and ``/health``."""
    api = APIRouter(tags=["trodden"])
    for add in (_add_choices, _add_reach, _add_facts):
        add(api, state)
    return api


def _add_choices(api: APIRouter, state: ServiceState) -> None:
    settings = state.settings

    @api.get("/v1/alternatives", responses={200: {"model": AlternativesAnswer}, **PROBLEMS})
    async def alternatives(
        origin: Origin,
        destination: Destination,
        k: Annotated[int, Query(ge=1, description="how many, the cheapest included")] = 3,
        metric: MetricName = None,
        departure: Departure = None,
        group: Group = None,
        avoid: Annotated[str, Query(max_length=1000, description="NAME:FACTOR, separated by commas")] = "",
        closed: Annotated[str, Query(max_length=10_000, description="edge ids, separated by commas")] = "",
    ) -> Response:
        """Ways between two points that travellers take, and how probable each is."""
        if k > settings.max_alternatives + 1:
            problem = f"k {k} is more than this server's {settings.max_alternatives + 1}"
            raise ServiceRequestError(code="TooBig", problem=problem)
        wishes = {"avoid": read_factors(avoid), "closed": read_edges(closed)}
        name = _metric(state, metric, departure, group)
        return await state.slowly(lambda: reply(_alternatives(state, origin, destination, k, name, wishes)))

    @api.get("/v1/explain", responses={200: {"model": ExplainAnswer}, **PROBLEMS})
    async def explain(
        origin: Origin,
        destination: Destination,
        metric: MetricName = None,
        departure: Departure = None,
        group: Group = None,
    ) -> Response:
        """Why the learned route: cost by feature, beside the fastest route of the same trip."""
        name = _metric(state, metric, departure, group)
        return await state.slowly(lambda: reply(_explanation(state, origin, destination, name)))


def _add_reach(api: APIRouter, state: ServiceState) -> None:
    settings = state.settings

    @api.get("/v1/reachable", responses={200: {"model": ReachableAnswer}, **PROBLEMS})
    async def reachable(
        origin: Origin,
        limit: Annotated[float, Query(gt=0, le=1e9, description="seconds, metres or cost, as `by` says")],
        by: By = "travel_time_s",
        metric: MetricName = None,
        departure: Departure = None,
        group: Group = None,
    ) -> Response:
        """What can be reached from a point within a limit, as a GeoJSON Feature."""
        if by == "travel_time_s" and limit > settings.max_reachable_s:
            problem = f"limit {limit:g} s is more than this server's {settings.max_reachable_s:g}"
            raise ServiceRequestError(code="TooBig", problem=problem)
        name = _metric(state, metric, departure, group)
        return await state.slowly(lambda: reply(_reach(state, origin, limit, by, name)))

    @api.post("/v1/routes", responses={200: {"model": BatchAnswer}, **PROBLEMS})
    async def routes(batch: BatchRequest) -> Response:
        """Many routes at once; a row that fails says why, and the others are answered."""
        if len(batch.pairs) > settings.max_rows:
            problem = f"{len(batch.pairs)} rows are more than this server's {settings.max_rows}"
            raise ServiceRequestError(code="TooBig", problem=problem)
        return await state.slowly(lambda: reply(_batch(state, batch)))


def _add_facts(api: APIRouter, state: ServiceState) -> None:
    @api.get("/v1/metrics", responses={200: {"model": Metrics}})
    async def metrics() -> Response:
        """The costs that routes can be asked for under, and their versions."""
        versions = state.versions()
        first = next(iter(versions))
        rows = [{"name": name, "version": number, "is_default": name == first} for name, number in versions.items()]
        return reply({"metrics": rows})

    @api.get("/v1/network", responses={200: {"model": NetworkInfo}})
    async def network() -> Response:
        """How large the network is, where it lies, and whose data it is."""
        return reply(_network(state))

    @api.get("/v1/roads", responses=PROBLEMS)
    async def roads(
        bbox: Annotated[str, Query(max_length=200, description="west,south,east,north in degrees")],
        zoom: Annotated[
            float, Query(ge=0, le=30, description="of a web map: minor roads are left out at low ones")
        ] = 14,
    ) -> Response:
        """The roads of a box as GeoJSON, a MultiLineString per rank."""
        box = read_box(bbox)
        return await state.slowly(lambda: reply(state.roads.inside(box, zoom, state.settings.max_roads)))

    @api.get("/health", responses={200: {"model": Health}})
    async def health() -> Response:
        """Whether routes are answered."""
        return reply({"status": "ok", "engine": state.router.engine, "metrics": state.versions()})


def _metric(state: ServiceState, metric: str | None, departure: str | None, group: str | None) -> str | None:
    return in_context(state.router, metric, TripContext(departure or None, group or None))


def _alternatives(
    state: ServiceState, origin: str, destination: str, k: int, metric: str | None, wishes: dict[str, Any]
) -> dict[str, Any]:
    found = state.router.alternatives(origin, destination, k, metric=metric, **wishes)
    rows = [
        {**alternative_facts(one), **_facts(one.route), "geometry": _line(one.route)}
        for one in sorted(found, key=lambda one: one.route.cost)
    ]
    first = found[0].route
    return {
        "metric": first.metric,
        "version": first.version,
        "alternatives": rows,
        "share_of_others": found.share_of_others,
        "num_drawn": found.num_drawn,
        "note": found.note,
    }


def _explanation(state: ServiceState, origin: str, destination: str, metric: str | None) -> dict[str, Any]:
    route = state.router.route(origin, destination, metric=metric)
    if len(route.edges) < 2:
        raise ConfigurationError(where="explain", problem="there is nothing to choose on this trip: no turn on the way")
    found = state.router.explain(route)
    network = state.router.network
    lines = {}
    if network.graph.latitude_deg is not None:
        lines = {one.name: line_string(route_line(network, one.edges.tolist())) for one in found.routes}
    return {
        "metric": route.metric,
        "version": route.version,
        "explanation": found.to_json(),
        "geometries": lines,
    }


def _reach(state: ServiceState, origin: str, limit: float, by: By, metric: str | None) -> dict[str, Any]:
    found = state.router.reachable(origin, limit, by=by, metric=metric).to_geojson()
    [feature] = found["features"]
    return dict(feature)


def _batch(state: ServiceState, batch: BatchRequest) -> dict[str, Any]:
    options: dict[str, Any] = {"metric": _metric(state, batch.metric, batch.departure, batch.group)}
    if batch.avoid:
        options["avoid"] = batch.avoid
    if batch.closed:
        options["closed"] = batch.closed
    rows: list[dict[str, Any]] = []
    for one in state.router.routes(batch.pairs, **options):
        if isinstance(one, TroddenError):
            error = service_error(one)
            rows.append({"code": error.code, "message": error.problem})
        else:
            line = {"geometry": _line(one)} if batch.geometry else {}
            rows.append({"code": "Ok", "metric": one.metric, "version": one.version, **_facts(one), **line})
    return {"rows": rows}


def _network(state: ServiceState) -> dict[str, Any]:
    roads = state.router.network
    try:
        bounds = [round(value, 6) for value in state.roads.bounds]
    except MissingDataError:
        bounds = None
    return {
        "num_nodes": roads.graph.num_nodes,
        "num_edges": roads.graph.num_edges,
        "bounds": bounds,
        "attribution": credit_for(roads) or "",
        "is_simulated": state.is_simulated,
        "tiles": state.settings.tiles,
        "tiles_attribution": state.settings.tiles_attribution,
        "version": __version__,
    }


def _facts(route: Route) -> dict[str, Any]:
    has_length = route.network.attributes.length_m is not None
    return {
        "cost": route.cost,
        "length_m": round(route.length_m, 3) if has_length else None,
        "travel_time_s": None if route.travel_time_s is None else round(route.travel_time_s, 3),
        "edge_ids": route.edge_ids,
    }


def _line(route: Route) -> dict[str, Any] | None:
    """The route as a GeoJSON LineString; None where the network has no coordinates."""
    if route.network.graph.latitude_deg is None:
        return None
    return line_string(route.geometry)
