"""A trace as users give it: points, times and errors, checked before anything is matched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from ..core.errors import ConfigurationError, InvalidValueError
from ..core.types import Floats
from ..irl.texts import Texts
from ..irl.traces import Traces
from .points import Coordinate, PointLike, parse_point

_LEAST_SIGMA_M = 1.0


def read_points(points: Iterable[PointLike]) -> list[Coordinate]:
    """Points of a trace, checked.

    Raises
    ------
    PointFormatError, InvalidValueError
        A point is no coordinate, or none on earth; names its position.
    ConfigurationError
        Fewer than two.
    """
    if isinstance(points, np.ndarray):
        points = points.tolist()
    places = []
    for row, point in enumerate(points):
        place = parse_point(point, index=row)
        if not isinstance(place, Coordinate):
            raise ConfigurationError(where=f"match, point {row}", problem=f"{place} is no coordinate")
        for column, value, bound in (("latitude", place.latitude_deg, 90.0), ("longitude", place.longitude_deg, 180.0)):
            if not -bound <= value <= bound:  # also NaN
                expected = f"a {column} between -{bound:.0f} and {bound:.0f} (latitude comes first)"
                raise InvalidValueError(column=column, row=row, row_name="point", value=value, expected=expected)
        places.append(place)
    if len(places) < 2:
        raise ConfigurationError(where="match", problem=f"{len(places)} points; a trace has at least two")
    return places


def as_trace(places: Sequence[Coordinate], times: Iterable[float] | None) -> Traces:
    """The trace, its times checked; errors as those of `read_points`."""
    time = np.full(len(places), np.nan)
    if times is not None:
        given = np.asarray(list(times), np.float64)
        if given.shape != time.shape:
            problem = f"{given.size} times for {len(places)} points"
            raise ConfigurationError(where="match, times", problem=problem)
        for row in np.flatnonzero(~np.isfinite(given))[:1].tolist():
            expected = "seconds; leave all times out where some are not known"
            raise InvalidValueError(
                column="time", row=row, row_name="point", value=float(given[row]), expected=expected
            )
        for row in np.flatnonzero(np.diff(given) < 0)[:1].tolist():
            expected = f"no less than that of the point before, {given[row]:g}"
            raise InvalidValueError(
                column="time", row=row + 1, row_name="point", value=float(given[row + 1]), expected=expected
            )
        time = given
    latitude = np.array([place.latitude_deg for place in places])
    longitude = np.array([place.longitude_deg for place in places])
    return Traces(Texts.of(["trace"]), np.array([0, len(places)], np.int64), latitude, longitude, time)


def read_sigma(sigma_m: float | Sequence[float] | None, count: int) -> Floats | None:
    """float64[P], NaN where it is to be estimated; None where it is for all points."""
    if sigma_m is None:
        return None
    sigma = np.asarray(sigma_m, np.float64)
    if sigma.ndim and sigma.shape != (count,):
        raise ConfigurationError(where="match, sigma_m", problem=f"{sigma.size} values for {count} points")
    sigma = np.broadcast_to(sigma, count)
    for row in np.flatnonzero((sigma < 0) | np.isinf(sigma))[:1].tolist():
        expected = "metres, or NaN where it is not known"
        raise InvalidValueError(column="sigma_m", row=row, row_name="point", value=float(sigma[row]), expected=expected)
    return None if np.isnan(sigma).all() else np.maximum(sigma, _LEAST_SIGMA_M)


def read_stops(stops: Collection[int] | None, count: int) -> frozenset[int] | None:
    """Positions of points, checked."""
    for stop in stops or ():
        if not 0 <= stop < count:
            raise ConfigurationError(where="match, stops", problem=f"{stop} is none of the {count} points, from 0")
    return None if stops is None else frozenset(stops)
