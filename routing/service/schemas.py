"""The shapes of requests and answers, for OpenAPI and for those who read it. Answers are not checked against them on
the way out (tests do that): checking costs more than a route.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Position = Annotated[list[float], Field(min_length=2, max_length=2, description="longitude, latitude in degrees")]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class Problem(_Answer):
    """Why there is no answer."""

    code: str = Field(
        description="InvalidQuery, InvalidValue, InvalidOptions, NoSegment, NoRoute, NoTable, NoMatch, TooBig, ..."
    )
    message: str = Field(description="what is wrong, and with which coordinate")


class Waypoint(_Answer):
    """A coordinate on its road."""

    location: Position
    name: str
    distance: float = Field(description="metres between the coordinate and the road")


class Maneuver(_Answer):
    """What to do where a step begins."""

    location: Position
    bearing_before: int
    bearing_after: int
    type: str
    modifier: str | None = None


class Intersection(_Answer):
    """A junction along a step."""

    location: Position
    bearings: list[int]
    entry: list[bool]


class Step(_Answer):
    """A stretch between two instructions."""

    distance: float | None
    duration: float | None
    weight: float
    name: str
    mode: str
    driving_side: str
    maneuver: Maneuver
    intersections: list[Intersection]
    geometry: Any


class Leg(_Answer):
    """A route between two coordinates that follow each other."""

    distance: float | None = Field(description="metres; null where the network has no lengths")
    duration: float | None = Field(description="free-flow seconds; null where the network has no times")
    weight: float = Field(description="cost under the metric")
    summary: str
    steps: list[Step]
    annotation: dict[str, Any] | None = None


class RouteExtras(_Answer):
    """What OSRM has no word for."""

    metric: str
    version: int = Field(description="counts up whenever the metric's costs are replaced")
    probability: float | None = None
    share: float | None = None
    share_error: float | None = None
    found_by: str | None = None
    explanation: dict[str, Any] | None = None


class OsrmRoute(_Answer):
    """One way through all coordinates."""

    distance: float | None
    duration: float | None
    weight: float
    weight_name: str
    geometry: Any = None
    legs: list[Leg]
    trodden: RouteExtras


class RouteAnswer(_Answer):
    """``/route/v1``."""

    code: Literal["Ok"]
    routes: list[OsrmRoute]
    waypoints: list[Waypoint] | None = None


class TableAnswer(_Answer):
    """``/table/v1``; rows are sources, columns destinations, null where there is no route."""

    code: Literal["Ok"]
    durations: list[list[float | None]] | None = None
    distances: list[list[float | None]] | None = None
    sources: list[Waypoint] | None = None
    destinations: list[Waypoint] | None = None
    trodden: dict[str, Any]


class NearestAnswer(_Answer):
    """``/nearest/v1``."""

    code: Literal["Ok"]
    waypoints: list[Waypoint]


class Matching(OsrmRoute):
    """The route of a connected part of a trace."""

    confidence: float = Field(description="expected share of the route that was travelled, under the model")


class Tracepoint(Waypoint):
    """A point of a trace on its road."""

    matchings_index: int
    waypoint_index: int | None = Field(description="in the matching; null where no leg begins or ends here")
    alternatives_count: int = Field(description="0 where the road is certain to 95 %, else 1")
    trodden: dict[str, Any]


class MatchAnswer(_Answer):
    """``/match/v1``."""

    code: Literal["Ok"]
    matchings: list[Matching]
    tracepoints: list[Tracepoint | None] | None = Field(None, description="null for a point that is on no route")
    trodden: dict[str, Any] = Field(description="sigma_m, and what became of each point: fates")


class MetricInfo(_Answer):
    """A set of costs that routes can be asked for under."""

    name: str
    version: int
    is_default: bool


class Metrics(_Answer):
    """``/v1/metrics``."""

    metrics: list[MetricInfo]


class NetworkInfo(_Answer):
    """``/v1/network``: what the page needs to know before it draws."""

    num_nodes: int
    num_edges: int
    bounds: list[float] | None = Field(description="west, south, east, north; null where there are no coordinates")
    attribution: str
    is_simulated: bool = Field(description="learned from simulated routes")
    tiles: str | None
    tiles_attribution: str
    version: str


class Alternative(_Answer):
    """A way between two points that a traveller might take."""

    probability: float | None = Field(description="of this very route under the learned policy")
    share: float | None = Field(description="of the routes that travellers take, the part that is most like this one")
    share_error: float | None = Field(description="standard error of the share, which comes from a sample")
    found_by: str
    cost: float
    length_m: float | None
    travel_time_s: float | None
    edge_ids: list[int]
    geometry: dict[str, Any] | None


class AlternativesAnswer(_Answer):
    """``/v1/alternatives``, cheapest first."""

    metric: str
    version: int
    alternatives: list[Alternative]
    share_of_others: float | None = Field(description="part of the routes that is like none of these")
    num_drawn: int = Field(description="routes drawn for the shares")
    note: str = Field(description="why there are no probabilities; empty where there are")


class ExplainAnswer(_Answer):
    """``/v1/explain``: cost by feature, of the metric's route beside the fastest one."""

    metric: str
    version: int
    explanation: dict[str, Any]
    geometries: dict[str, Any] = Field(description="GeoJSON LineString by the name of each explained route")


class ReachableAnswer(_Answer):
    """``/v1/reachable``: a GeoJSON Feature."""

    type: Literal["Feature"]
    geometry: dict[str, Any]
    properties: dict[str, Any]


class BatchRequest(BaseModel):
    """Many routes at once."""

    model_config = ConfigDict(extra="forbid")
    pairs: list[tuple[str, str]] = Field(
        description="origin and destination, each lat,lon or edge:ID or node:ID or osm:NODE",
        examples=[[["41.1496,-8.6110", "41.1579,-8.6291"]]],
    )
    metric: str | None = None
    departure: str | None = Field(default=None, max_length=40, description="for metrics that differ by it")
    group: str | None = Field(
        default=None, max_length=200, description="the travellers', for metrics that differ by it"
    )
    avoid: dict[str, float] = Field(default_factory=dict, description="factor on the cost of toll or of a road class")
    closed: list[int] = Field(default_factory=list, description="edge ids that may not be used")
    geometry: bool = True


class BatchRow(_Answer):
    """One row: a route, or the reason why there is none."""

    code: str
    message: str | None = None
    cost: float | None = None
    length_m: float | None = None
    travel_time_s: float | None = None
    edge_ids: list[int] | None = None
    geometry: dict[str, Any] | None = None


class BatchAnswer(_Answer):
    """``/v1/routes``, in the order of the request."""

    rows: list[BatchRow]


class Health(_Answer):
    """``/health``."""

    status: Literal["ok"]
    engine: str
    metrics: dict[str, int] = Field(description="version by name")
