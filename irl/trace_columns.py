"""Columns of trace tables: which is which by its name, numbers and times as seconds whatever form they have."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import ConfigurationError, InputFileError
from ..core.types import Floats
from .texts import plain_number

KMH_PER_MS = 3.6
_ALIASES: dict[str, tuple[str, ...]] = {
    "trace_id": ("trace_id", "trip_id", "id", "traceid", "tripid", "trace", "trip", "track_id", "trackid", "track"),
    "latitude": ("latitude", "lat", "latitude_deg", "y", "gps_lat", "start_lat"),
    "longitude": ("longitude", "lon", "lng", "long", "longitude_deg", "x", "gps_lon", "gps_lng"),
    "time": ("time", "timestamp", "datetime", "date_time", "time_s", "t", "gps_time", "utc", "epoch"),
    "heading": ("heading", "heading_deg", "bearing", "course", "direction", "azimuth"),
    "speed": ("speed", "speed_kmh", "speed_kph", "speed_ms", "speed_mps", "velocity"),
    "traveller": ("traveller", "traveler", "user", "user_id", "driver", "driver_id", "taxi_id", "vehicle_id", "device"),
}
"""Names that are understood, in this order, whatever their case."""
_TEXTS = (
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary),
    *(pa.types.is_dictionary, pa.types.is_boolean, pa.types.is_null),
)
_METRES_PER_SECOND = ("speed_ms", "speed_mps")
_EXPECTED = "latitude and longitude (lat, lon, y, x, ...), and time, trace_id, heading, speed, traveller if there are"


@dataclass(frozen=True)
class TraceColumns:
    """Names of the columns of a table of points; None: guessed by name."""

    trace_id: str | None = None
    latitude: str | None = None
    longitude: str | None = None
    time: str | None = None
    heading: str | None = None
    """Degrees clockwise from north."""
    speed: str | None = None
    traveller: str | None = None
    speed_unit: str | None = None
    """``"km/h"`` or ``"m/s"``; None: m/s for columns named so, else km/h."""
    time_zone: str = "UTC"
    """Of times that do not say theirs."""

    def __post_init__(self) -> None:
        if self.speed_unit not in (None, "km/h", "m/s"):
            raise ConfigurationError(where="speed unit", problem=f"{self.speed_unit!r} is neither km/h nor m/s")
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            raise ConfigurationError(
                where="time zone", problem=f"{self.time_zone!r} is not known; write it like Europe/Lisbon"
            ) from None

    def found_in(self, names: Sequence[str], path: str | Path) -> TraceColumns:
        """The same with every column that is there named; `InputFileError` where a place is missing."""
        lowered = {name.strip().lower(): name for name in reversed(names)}
        chosen: dict[str, Any] = {}
        for role, aliases in _ALIASES.items():
            asked = getattr(self, role)
            if asked is not None and asked not in names:
                raise InputFileError(
                    path=path,
                    column=asked,
                    problem=f"there is no such column (it has {', '.join(names)})",
                    remedy=f"Name the one that holds the {role}",
                )
            chosen[role] = asked or next((lowered[alias] for alias in aliases if alias in lowered), None)
            if names.count(chosen[role]) > 1:
                raise InputFileError(
                    path=path,
                    column=chosen[role],
                    problem="there is more than one column of that name",
                    remedy="Keep one of them, or name another",
                )
        for role in ("latitude", "longitude"):
            if chosen[role] is None:
                raise InputFileError(
                    path=path,
                    problem=f"has no column that looks like a {role} (it has {', '.join(names)})",
                    remedy=f"Name it; understood are {_EXPECTED}",
                )
        return replace(self, **chosen)

    @property
    def named(self) -> list[str]:
        """The names of the columns that are there."""
        names = [getattr(self, one.name) for one in fields(self) if one.name in _ALIASES]
        return [name for name in names if name is not None]

    def speed_factor(self) -> float:
        """What a speed is multiplied with to be km/h."""
        if self.speed_unit is not None:
            return KMH_PER_MS if self.speed_unit == "m/s" else 1.0
        return KMH_PER_MS if (self.speed or "").lower() in _METRES_PER_SECOND else 1.0


def numbers(column: pa.Array) -> Floats:
    """float64; NaN where a cell is blank or no number."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        try:
            return np.asarray(pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan")), np.float64)
        except pa.ArrowException:
            pass
    elif not any(is_kind(kind) for is_kind in _TEXTS):  # dates and durations have numbers in them, but are none
        return np.full(len(column), np.nan)
    trimmed = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    filled = pc.if_else(pc.equal(trimmed, ""), None, trimmed)
    try:
        return np.asarray(pc.fill_null(pc.cast(filled, pa.float64()), float("nan")), np.float64)
    except pa.ArrowException:
        return np.array([_number(text) for text in filled.to_pylist()], np.float64)


def _number(text: str | None) -> float:
    try:
        return plain_number(text) if text is not None else float("nan")
    except ValueError:
        return float("nan")


def times(column: pa.Array, time_zone: str = "UTC") -> Floats:
    """Seconds since 1970 in UTC, float64; NaN where a cell is blank or no time.

    Timestamps, ISO 8601 with or without a zone (then ``time_zone``'s), or numbers: seconds, or milli-, micro- or
    nanoseconds where the median is that large.
    """
    if pa.types.is_timestamp(column.type):
        return _seconds(column, time_zone)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _times_of_texts(column, time_zone)
    return _scaled(numbers(column))


def _scaled(values: Floats) -> Floats:
    known = np.abs(values[np.isfinite(values)])
    typical = float(np.median(known)) if len(known) else 0.0
    for least, unit in ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3)):
        if typical > least:
            return values / unit
    return values


def _seconds(column: pa.Array, time_zone: str) -> Floats:
    if column.type.tz is None:
        column = pc.assume_timezone(column, time_zone, ambiguous="earliest", nonexistent="earliest")
    whole = pc.cast(pc.cast(column, pa.timestamp("us", "UTC"), safe=False), pa.int64())
    return np.asarray(pc.fill_null(pc.cast(whole, pa.float64(), safe=False), float("nan")), np.float64) / 1e6


def _times_of_texts(column: pa.Array, time_zone: str) -> Floats:
    trimmed = pc.utf8_trim_whitespace(column)
    filled = pc.if_else(pc.equal(trimmed, ""), None, trimmed)
    try:
        return _scaled(np.asarray(pc.fill_null(pc.cast(filled, pa.float64()), float("nan")), np.float64))
    except pa.ArrowException:
        pass
    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("us")):  # all with a zone, or all without
        try:
            return _seconds(pc.cast(filled, kind), time_zone)
        except pa.ArrowException:
            continue
    zone = zoneinfo.ZoneInfo(time_zone)
    return np.array([_moment(text, zone) for text in filled.to_pylist()], np.float64)


def _moment(text: str | None, zone: zoneinfo.ZoneInfo) -> float:
    if text is None:
        return float("nan")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _number(text)
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    except (OverflowError, OSError, ValueError):
        return float("nan")


def iso_times(seconds: Floats) -> list[str | None]:
    """ISO 8601 in UTC, None for NaN: how a route's departure is written."""
    texts: list[str | None] = []
    for value in seconds.tolist():
        try:
            texts.append(datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"))
        except (ValueError, OverflowError, OSError):
            texts.append(None)
    return texts
