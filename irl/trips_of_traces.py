"""Days of driving cut into trips: at stops and gaps, and, on request, short of where people live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.compiled import kernel
from ..core.errors import ConfigurationError
from ..core.types import Ids
from .matching_search import crow_m
from .trace_cleaning import SkippedTrace
from .traces import Traces

_Array = Any
"""A numpy array inside a kernel; shapes stand in the comments and docstrings."""


@dataclass(frozen=True)
class TripRules:
    """How traces are cut into trips.

    ``ConfigurationError`` for a number out of range.
    """

    dwell_s: float = 300.0
    """Staying so long within ``dwell_m`` of where it began is a stop; the trip ends there, and the next one begins
    where the stop is left. Infinity: no stop ends a trip. Traces without times have no stops."""
    dwell_m: float = 60.0
    max_gap_s: float = 600.0
    """A trip ends where no point follows for longer."""
    cut_ends_m: float = 0.0
    """Points nearer than this, as the crow flies, to the first or the last one of their trip are left out."""

    def __post_init__(self) -> None:
        for name in ("dwell_s", "dwell_m", "max_gap_s"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(where=f"trips, {name}", problem=f"{getattr(self, name)} is not positive")
        if not 0 <= self.cut_ends_m < np.inf:
            raise ConfigurationError(where="trips, cut_ends_m", problem=f"{self.cut_ends_m} is not a distance")


@dataclass(frozen=True, eq=False)
class Trips:
    """Trips as traces of their own, each with at least two points."""

    traces: Traces
    row: Ids
    """int64[N], the trace that each is a part of."""
    num_stops: int
    skipped: tuple[SkippedTrace, ...]


def cut_trips(traces: Traces, rules: TripRules | None = None) -> Trips:
    """Trips of traces that were cleaned; those of a trace with several are named ``id#1``, ``id#2``, ...

    Notes
    -----
    O(P), but for stops, where the points of each are looked at twice; compiled.
    """
    rules = rules or TripRules()
    starts, ends, rows, num_stops = _cut(
        np.array(traces.latitude_deg),  # copies: kernels are compiled anew for arrays that may not be written to
        np.array(traces.longitude_deg),
        np.array(traces.time_s),
        np.array(traces.first),
        rules.dwell_s,
        rules.dwell_m,
        rules.max_gap_s,
    )
    if rules.cut_ends_m > 0:
        _cut_ends(np.array(traces.latitude_deg), np.array(traces.longitude_deg), starts, ends, rules.cut_ends_m)
    is_kept = ends - starts >= 2
    count = np.bincount(rows, is_kept, minlength=len(traces))
    lost = np.flatnonzero((count == 0) & (np.diff(traces.first) > 0)).tolist()
    status = "too_short" if rules.cut_ends_m > 0 else "stationary"
    skipped = tuple(SkippedTrace(traces.trace_id[row], status, "no trip of two points is left of it") for row in lost)
    starts, ends, rows = starts[is_kept], ends[is_kept], rows[is_kept]
    return Trips(traces.cut(starts, ends, rows, _names(traces, rows)), rows, int(num_stops), skipped)


def _names(traces: Traces, rows: Ids) -> list[str]:
    """The trace's own name where it is one trip, else with a number."""
    count = np.bincount(rows, minlength=len(traces))
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    names = list(traces.trace_id.take(rows))
    return [
        f"{name}#{k + 1}" if many > 1 else str(name)
        for name, k, many in zip(names, place.tolist(), count[rows].tolist(), strict=True)
    ]


@kernel
def _cut(
    latitude: _Array,
    longitude: _Array,
    time: _Array,
    first: _Array,
    dwell_s: float,
    dwell_m: float,
    max_gap_s: float,
) -> tuple[Ids, Ids, Ids, int]:
    """(first point, end, trace of each trip, number of stops)."""
    room = 16 + 2 * len(first)
    starts, ends, rows = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    count = stops = 0
    for row in range(len(first) - 1):
        begin, last, p = first[row], first[row + 1], first[row]
        while begin < last:
            if count == len(starts):
                starts, ends = np.append(starts, starts), np.append(ends, ends)
                rows = np.append(rows, rows)
            end, onward, p = last, last, begin
            while p < last:
                if p > begin and time[p] - time[p - 1] > max_gap_s:
                    end = onward = p
                    break
                q = p + 1
                while q < last and crow_m(latitude[p], longitude[p], latitude[q], longitude[q]) <= dwell_m:
                    if time[q] - time[q - 1] > max_gap_s:
                        break
                    q += 1
                if time[q - 1] - time[p] >= dwell_s:
                    stops += 1
                    end, onward = p + 1, q - 1
                    break
                p += 1
            starts[count], ends[count], rows[count] = begin, end, row
            count += 1
            begin = max(onward, begin + 1)
    return starts[:count], ends[:count], rows[:count], stops


@kernel
def _cut_ends(latitude: _Array, longitude: _Array, starts: _Array, ends: _Array, least_m: float) -> None:
    """Move both ends of every trip inward, past what is too near to them."""
    for trip in range(len(starts)):
        first, last = starts[trip], ends[trip] - 1
        begin, end = first, last
        while begin <= last and crow_m(latitude[first], longitude[first], latitude[begin], longitude[begin]) < least_m:
            begin += 1
        while end >= first and crow_m(latitude[last], longitude[last], latitude[end], longitude[end]) < least_m:
            end -= 1
        starts[trip], ends[trip] = begin, max(end + 1, begin)
