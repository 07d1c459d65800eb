"""OSRM requests: the coordinates of a path and the options of a query string, read and checked.

Nothing is ignored that could change an answer: an option that is not known or not supported is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...core.errors import ConfigurationError, ServiceRequestError
from ..lines import decode_polyline
from ..points import Coordinate
from .options import among, choice, each, flag, integer, number, positions, read_options, refuse, short
from .settings import ServiceSettings

GENERAL = frozenset(
    {"radiuses", "bearings", "hints", "generate_hints", "approaches", "exclude", "snapping", "skip_waypoints", "format"}
)
"""Options of every service."""
_ROUTE = GENERAL | {
    "alternatives",
    "steps",
    "annotations",
    "geometries",
    "overview",
    "continue_straight",
    "waypoints",
    "trodden",
    "avoid",
    "closed",
    "departure",
    "group",
}
_TABLE = GENERAL | {
    "sources",
    "destinations",
    "annotations",
    "scale_factor",
    "fallback_speed",
    "trodden",
    "departure",
    "group",
}
_NEAREST = GENERAL | {"number"}

GEOMETRIES = ("polyline", "polyline6", "geojson")
OVERVIEWS = ("simplified", "full", "false")
SEGMENT_ANNOTATIONS = ("duration", "distance", "speed", "weight", "nodes", "datasources")
EXTRAS = ("probability", "explanation")


@dataclass(frozen=True)
class PointOptions:
    """What any request says of its coordinates."""

    points: tuple[Coordinate, ...]
    radiuses: tuple[float, ...] | None
    """Metres per coordinate, ``inf`` where not limited."""
    exclude: tuple[str, ...]
    skip_waypoints: bool


@dataclass(frozen=True)
class TripContext:
    """What a request says of its trips, for metrics that differ by it (`trodden.routing.router.Router.metric_at`)."""

    departure: str | None = None
    group: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, str]) -> TripContext:
        """From a query string's options; what is empty is not said."""
        return cls(options.get("departure") or None, options.get("group") or None)


@dataclass(frozen=True)
class RouteRequest:
    """A request for ``/route/v1``."""

    at: PointOptions
    alternatives: int
    """Routes wanted besides the cheapest."""
    steps: bool
    annotations: tuple[str, ...]
    geometries: str
    overview: str
    continue_straight: bool
    """False: turning round at a stop-over is permitted, each leg is a route of its own."""
    extras: frozenset[str]
    avoid: Mapping[str, float]
    closed: tuple[int, ...]
    context: TripContext

    @property
    def is_quick(self) -> bool:
        """Whether it takes a fraction of a millisecond, so that no thread is needed for it."""
        slow = self.alternatives or self.extras or self.avoid or self.closed or self.at.exclude
        return not slow and len(self.at.points) <= 8


@dataclass(frozen=True)
class TableRequest:
    """A request for ``/table/v1``."""

    at: PointOptions
    sources: tuple[int, ...]
    destinations: tuple[int, ...]
    annotations: tuple[str, ...]
    """``duration`` and ``distance``, one or both."""
    scale_factor: float
    with_cost: bool
    context: TripContext


@dataclass(frozen=True)
class NearestRequest:
    """A request for ``/nearest/v1``."""

    at: PointOptions
    number: int


def read_route(coordinates: str, query: str, limits: ServiceSettings) -> RouteRequest:
    """A route request; `ServiceRequestError` says what is wrong with it and where."""
    options = read_options(query, _ROUTE)
    at = read_points(coordinates, options, limits.max_points, least=2)
    if "waypoints" in options:
        refuse("waypoints", "is not supported: every coordinate is a stop-over")
    return RouteRequest(
        at=at,
        alternatives=_alternatives(options.get("alternatives", "false"), limits.max_alternatives),
        steps=flag(options, "steps"),
        annotations=read_annotations(options.get("annotations", "false")),
        geometries=choice(options, "geometries", GEOMETRIES),
        overview=choice(options, "overview", OVERVIEWS),
        continue_straight=choice(options, "continue_straight", ("default", "true", "false")) != "false",
        extras=frozenset(among("trodden", options.get("trodden", ""), EXTRAS)),
        avoid=read_factors(options.get("avoid", "")),
        closed=read_edges(options.get("closed", "")),
        context=TripContext.of(options),
    )


def read_table(coordinates: str, query: str, limits: ServiceSettings) -> TableRequest:
    """A table request; `ServiceRequestError` says what is wrong with it and where."""
    options = read_options(query, _TABLE)
    at = read_points(coordinates, options, limits.max_points, least=1)
    if "fallback_speed" in options:
        refuse("fallback_speed", "is not supported: a pair without a route is null")
    scale = number("scale_factor", options.get("scale_factor", "1"))
    if not 0 < scale < 1e6:
        refuse("scale_factor", "must be a number above 0")
    sources = positions("sources", options.get("sources", "all"), len(at.points))
    destinations = positions("destinations", options.get("destinations", "all"), len(at.points))
    if len(sources) * len(destinations) > limits.max_table_cells:
        problem = f"{len(sources)} x {len(destinations)} is more than this server's {limits.max_table_cells}"
        raise ServiceRequestError(code="TooBig", problem=problem)
    return TableRequest(
        at=at,
        sources=sources,
        destinations=destinations,
        annotations=among("annotations", options.get("annotations", "duration"), ("duration", "distance")),
        scale_factor=scale,
        with_cost="cost" in among("trodden", options.get("trodden", ""), ("cost",)),
        context=TripContext.of(options),
    )


def read_nearest(coordinates: str, query: str, limits: ServiceSettings) -> NearestRequest:
    """A nearest request; `ServiceRequestError` says what is wrong with it and where."""
    options = read_options(query, _NEAREST)
    at = read_points(coordinates, options, 1, least=1)
    number = integer("number", options.get("number", "1"))
    if number < 1:
        refuse("number", "must be at least 1")
    if number > limits.max_nearest:
        raise ServiceRequestError(code="TooBig", problem=f"number {number} is above this server's {limits.max_nearest}")
    return NearestRequest(at, number)


def read_factors(text: str) -> dict[str, float]:
    """``toll:5,motorway:2`` as a mapping."""
    factors = {}
    for part in filter(None, text.split(",")):
        name, colon, value = part.partition(":")
        factors[name] = number("avoid", value) if colon else refuse("avoid", f"{short(part)} is not NAME:FACTOR")
        if not 0 < factors[name] < 1e9:
            refuse("avoid", f"the factor of {short(name)} must be a number above 0")
    return factors


def read_edges(text: str) -> tuple[int, ...]:
    """``12,-7`` as edge ids."""
    return tuple(each("closed", text, ",", int, "an edge id"))


# ------------------------------------------------------------------------------------------------ coordinates


def read_points(text: str, options: Mapping[str, str], most: int, *, least: int) -> PointOptions:
    """The coordinates, and what every service says of them."""
    points = read_coordinates(text, most)
    if len(points) < least:
        raise ServiceRequestError(code="InvalidOptions", problem=f"at least {least} coordinates are needed")
    for name in ("bearings", "approaches", "hints"):
        check_count(options, name, len(points))
    if any(options.get("bearings", "").split(";")):
        refuse("bearings", "is not supported: an edge is chosen by distance and by where the route goes")
    if not set(options.get("approaches", "").split(";")) <= {"", "unrestricted"}:
        refuse("approaches", "is not supported but for unrestricted")
    if options.get("snapping", "default") != "default":
        refuse("snapping", "is not supported but for default: points are put on the main network only")
    if options.get("format", "json") != "json":
        refuse("format", "is not supported but for json")
    flag(options, "generate_hints", default="true")
    return PointOptions(
        points,
        _radiuses(options, len(points)),
        tuple(filter(None, options.get("exclude", "").split(","))),
        flag(options, "skip_waypoints"),
    )


def read_coordinates(text: str, most: int) -> tuple[Coordinate, ...]:
    """``lon,lat;lon,lat`` or ``polyline(...)`` or ``polyline6(...)``; at most ``most`` of them."""
    text = text.removesuffix(".json")
    for name, digits in (("polyline", 5), ("polyline6", 6)):
        if text.startswith(name + "(") and text.endswith(")"):
            try:
                pairs = decode_polyline(text[len(name) + 1 : -1], digits).tolist()
            except ConfigurationError as error:
                raise ServiceRequestError(code="InvalidQuery", problem=f"coordinates: {error}") from None
            _check_size(len(pairs), most)
            return tuple(_checked(index, longitude, latitude) for index, (latitude, longitude) in enumerate(pairs))
    _check_size(text.count(";") + 1, most)
    return tuple(_coordinate(index, part) for index, part in enumerate(text.split(";")))


def _coordinate(index: int, text: str) -> Coordinate:
    longitude, _, latitude = text.partition(",")
    try:
        return _checked(index, float(longitude), float(latitude))
    except ValueError as error:
        if isinstance(error, ServiceRequestError):
            raise
        raise ServiceRequestError(
            code="InvalidQuery", problem=f"coordinate {index}, {short(text)}, is not longitude,latitude"
        ) from None


def _checked(index: int, longitude: float, latitude: float) -> Coordinate:
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):  # also NaN
        hint = " (longitude comes first)" if abs(latitude) <= 180 and abs(longitude) <= 90 else ""
        raise ServiceRequestError(
            code="InvalidValue",
            problem=f"coordinate {index}, {longitude:g},{latitude:g}, is outside of -180..180,-90..90{hint}",
        )
    return Coordinate(latitude, longitude)


def _check_size(count: int, most: int) -> None:
    if count > most:
        raise ServiceRequestError(code="TooBig", problem=f"{count} coordinates are more than this server's {most}")


def check_count(options: Mapping[str, str], name: str, count: int) -> None:
    """Refuse an option that has not one entry for each coordinate."""
    if name in options and options[name] and options[name].count(";") + 1 != count:
        given = options[name].count(";") + 1
        problem = f"{name} has {given} entries for {count} coordinates"
        raise ServiceRequestError(code="InvalidOptions", problem=problem)


def _radiuses(options: Mapping[str, str], count: int) -> tuple[float, ...] | None:
    check_count(options, "radiuses", count)
    if not options.get("radiuses"):
        return None
    found = []
    for index, part in enumerate(options["radiuses"].split(";")):
        radius = float("inf") if part in {"", "unlimited"} else number("radiuses", part)
        if not radius > 0:
            refuse("radiuses", f"the radius of coordinate {index} must be above 0")
        found.append(radius)
    return tuple(found)


def read_annotations(text: str) -> tuple[str, ...]:
    """Which annotations of segments are asked for."""
    if text in {"true", "false"}:
        return SEGMENT_ANNOTATIONS if text == "true" else ()
    return among("annotations", text, SEGMENT_ANNOTATIONS)


def _alternatives(text: str, most: int) -> int:
    if text in {"true", "false"}:
        return min(int(text == "true"), most)
    count = integer("alternatives", text)
    if count < 0:
        refuse("alternatives", "must not be negative")
    if count > most:
        raise ServiceRequestError(code="TooBig", problem=f"{count} alternatives are more than this server's {most}")
    return count
