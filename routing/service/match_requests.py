"""OSRM's match requests: a trace in the path, times and errors of its points in the options."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .options import choice, each, flag, positions, read_options, refuse
from .requests import GENERAL, GEOMETRIES, OVERVIEWS, PointOptions, check_count, read_annotations, read_points
from .settings import ServiceSettings

_MATCH = GENERAL | {
    "steps",
    "annotations",
    "geometries",
    "overview",
    "timestamps",
    "gaps",
    "tidy",
    "waypoints",
}
_MAX_GAP_S = 360.0


@dataclass(frozen=True)
class MatchRequest:
    """A request for ``/match/v1``."""

    at: PointOptions
    timestamps: tuple[float, ...] | None
    """Seconds per coordinate."""
    sigma_m: tuple[float, ...] | None
    """Standard deviation per coordinate, NaN where it is to be estimated; OSRM's radiuses."""
    max_gap_s: float
    """A trace is cut between points farther apart in time; ``inf`` for ``gaps=ignore``."""
    tidy: bool
    """Leave out points that say nothing beside the noise."""
    waypoints: tuple[int, ...] | None
    """Coordinates that legs begin and end at; all where None."""
    steps: bool
    annotations: tuple[str, ...]
    geometries: str
    overview: str
    extras: frozenset[str] = frozenset()
    """None: a trace has no other routes to be compared with."""


def read_match(coordinates: str, query: str, limits: ServiceSettings) -> MatchRequest:
    """A match request; `ServiceRequestError` says what is wrong with it and where."""
    options = read_options(query, _MATCH)
    at = read_points(coordinates, options, limits.max_points, least=2)
    if at.exclude:
        refuse("exclude", "is not supported: a trace lies where somebody went")
    check_count(options, "timestamps", len(at.points))
    waypoints = options.get("waypoints", "")
    return MatchRequest(
        at=at,
        timestamps=_timestamps(options.get("timestamps", "")),
        sigma_m=_sigma(at.radiuses),
        max_gap_s=_MAX_GAP_S if choice(options, "gaps", ("split", "ignore")) == "split" else math.inf,
        tidy=flag(options, "tidy"),
        waypoints=positions("waypoints", waypoints, len(at.points)) if waypoints else None,
        steps=flag(options, "steps"),
        annotations=read_annotations(options.get("annotations", "false")),
        geometries=choice(options, "geometries", GEOMETRIES),
        overview=choice(options, "overview", OVERVIEWS),
    )


def _timestamps(text: str) -> tuple[float, ...] | None:
    found = tuple(each("timestamps", text, ";", float, "a number of seconds"))
    for index, seconds in enumerate(found):
        if not math.isfinite(seconds):
            refuse("timestamps", f"that of coordinate {index}, {seconds:g}, is no time")
        if index and seconds < found[index - 1]:
            refuse("timestamps", f"that of coordinate {index} is before that of coordinate {index - 1}")
    return found or None


def _sigma(radiuses: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if radiuses is None:
        return None
    return tuple(math.nan if math.isinf(radius) else radius for radius in radiuses)
