"""Points that cannot be used, left out and counted by reason; traces of which nothing is left, with the reason."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..core.types import Bools, Floats, Ids
from ..graphs.geometry import great_circle_m
from .traces import Traces

_FASTEST_MS = 70.0
"""Metres per second that nothing on a road drives; beside `_JUMP_M`, which noise may do."""
_JUMP_M = 150.0
_MARGIN_DEG = 0.005
"""Points so little outside the map's roads are on it: some 500 m."""
_STILL_M = 30.0


@dataclass(frozen=True)
class SkippedTrace:
    """A trace, or a part of one, that gave no route: its id, a key of `TRACE_STATUSES`, what was found."""

    trace_id: str
    status: str
    detail: str


@dataclass(frozen=True, eq=False)
class Cleaned:
    """Usable traces, with at least two points each, and what was left out."""

    traces: Traces
    skipped: tuple[SkippedTrace, ...]
    points: Mapping[str, int]
    """Number of points left out, by a key of `POINT_STATUSES`."""


def clean(traces: Traces, bounds_deg: tuple[Floats, Floats] | None = None) -> Cleaned:
    """Leave out what is no usable point.

    Parameters
    ----------
    bounds_deg
        South-west and north-east corner (latitude, longitude) of the map, as `TraceMatcher.bounds_deg`; without it no
        point is outside.

    Notes
    -----
    Points go in this order: without numbers (a time, where the trace has times), out of range, back in time (the
    fewest that leave the rest in order; where that would be more than half, the trace is sorted by time), repeated,
    jumps, outside. O(P), but for traces out of order, which are looked at one by one.
    """
    counts: Counter[str] = Counter()
    traces = _with_numbers(traces, counts, bounds_deg is not None)
    traces = _in_order(traces, counts)
    is_repeated = _is_repeated(traces)
    counts["duplicate"] += int(is_repeated.sum())
    traces = traces.keep(~is_repeated)
    is_jump = jumps(traces)
    counts["jump"] += int(is_jump.sum())
    traces = traces.keep(~is_jump)
    reasons: dict[int, tuple[str, str]] = {}
    if bounds_deg is not None:
        traces = _inside(traces, bounds_deg, counts, reasons)
    sizes = np.diff(traces.first)
    for row in np.flatnonzero(sizes < 2).tolist():
        size = int(sizes[row])
        reasons.setdefault(row, ("single_point", "one point") if size else ("no_point", "none is usable"))
    for row in np.flatnonzero((sizes >= 2) & ~_moves(traces)).tolist():
        reasons.setdefault(row, ("stationary", f"{int(sizes[row])} points within {_STILL_M:.0f} m"))
    skipped = tuple(SkippedTrace(traces.trace_id[row], *reasons[row]) for row in sorted(reasons))
    is_kept = np.ones(len(traces), bool)
    is_kept[list(reasons)] = False
    return Cleaned(traces.take(np.flatnonzero(is_kept)), skipped, {k: n for k, n in counts.items() if n})


def _with_numbers(traces: Traces, counts: Counter[str], keeps_swapped: bool) -> Traces:
    row, has_time = traces.row_of_point, np.isfinite(traces.time_s)
    is_timed = np.bincount(row, has_time, minlength=len(traces)) > 0
    is_number = np.isfinite(traces.latitude_deg) & np.isfinite(traces.longitude_deg)
    is_number &= has_time | ~is_timed[row]
    is_place = is_number & (np.abs(traces.latitude_deg) <= 90) & (np.abs(traces.longitude_deg) <= 180)
    if keeps_swapped:  # they will be found outside the map, and why
        is_place |= is_number & (np.abs(traces.longitude_deg) <= 90) & (np.abs(traces.latitude_deg) <= 180)
    counts["not_a_number"] += int((~is_number).sum())
    counts["out_of_range"] += int((is_number & ~is_place).sum())
    return traces.keep(is_place)


def _in_order(traces: Traces, counts: Counter[str]) -> Traces:
    row = traces.row_of_point
    is_back = np.zeros(traces.num_points, bool)
    is_back[1:] = (row[1:] == row[:-1]) & (np.diff(traces.time_s) < 0)
    if not is_back.any():
        return traces
    order, is_kept = np.arange(traces.num_points), np.ones(traces.num_points, bool)
    for one in np.unique(row[is_back]).tolist():
        begin, end = int(traces.first[one]), int(traces.first[one + 1])
        kept = _longest_rising(traces.time_s[begin:end])
        if 2 * kept.sum() < end - begin:
            order[begin:end] = begin + np.argsort(traces.time_s[begin:end], kind="stable")
        else:
            is_kept[begin:end] = kept
    counts["time_back"] += int((~is_kept).sum())
    columns = {**vars(traces)}
    for name in ("latitude_deg", "longitude_deg", "time_s", "heading_deg", "speed_kmh"):
        if columns[name] is not None:
            columns[name] = columns[name][order]
    return Traces(**columns).keep(is_kept)


def _longest_rising(values: Floats) -> Bools:
    """The longest subsequence that never falls: one wrong clock must not take all points after it along."""
    tops: list[float] = []
    ends: list[int] = []
    before = np.full(len(values), -1)
    for k, value in enumerate(values.tolist()):
        place = bisect_right(tops, value)
        before[k] = ends[place - 1] if place else -1
        if place == len(tops):
            tops.append(value)
            ends.append(k)
        else:
            tops[place], ends[place] = value, k
    is_kept = np.zeros(len(values), bool)
    at = ends[-1] if ends else -1
    while at >= 0:
        is_kept[at] = True
        at = int(before[at])
    return is_kept


def _is_repeated(traces: Traces) -> Bools:
    """bool[P]: the same place at the same time as the point before; without times, the same place."""
    row, result = traces.row_of_point, np.zeros(traces.num_points, bool)
    is_same = (np.diff(traces.latitude_deg) == 0) & (np.diff(traces.longitude_deg) == 0)
    passed = np.diff(traces.time_s)
    result[1:] = (row[1:] == row[:-1]) & is_same & ((passed == 0) | np.isnan(passed))
    return result


def jumps(traces: Traces) -> Bools:
    """bool[P]: farther from both neighbours than anything drives, while these are near enough to each other."""
    count, row = traces.num_points, traces.row_of_point
    result = np.zeros(count, bool)
    if count < 3:
        return result

    def is_far(one: Ids, other: Ids) -> Bools:
        crow = great_circle_m(
            traces.latitude_deg[one],
            traces.longitude_deg[one],
            traces.latitude_deg[other],
            traces.longitude_deg[other],
        )
        return np.asarray(crow > _JUMP_M + _FASTEST_MS * (traces.time_s[other] - traces.time_s[one]))

    middle = np.arange(1, count - 1)
    is_inner = row[middle - 1] == row[middle + 1]
    result[1:-1] = is_inner & is_far(middle - 1, middle) & is_far(middle, middle + 1) & ~is_far(middle - 1, middle + 1)
    return result


def _inside(
    traces: Traces, bounds_deg: tuple[Floats, Floats], counts: Counter[str], reasons: dict[int, tuple[str, str]]
) -> Traces:
    low, high = bounds_deg[0] - _MARGIN_DEG, bounds_deg[1] + _MARGIN_DEG
    row, latitude, longitude = traces.row_of_point, traces.latitude_deg, traces.longitude_deg
    is_in = (latitude >= low[0]) & (latitude <= high[0]) & (longitude >= low[1]) & (longitude <= high[1])
    is_in_swapped = (longitude >= low[0]) & (longitude <= high[0]) & (latitude >= low[1]) & (latitude <= high[1])
    number, inside = np.diff(traces.first), np.bincount(row, is_in, minlength=len(traces))
    swapped = np.bincount(row, is_in_swapped, minlength=len(traces))
    counts["outside"] += int((~is_in).sum())
    for one in np.flatnonzero((number > 0) & (inside == 0)).tolist():
        begin = int(traces.first[one])
        place = f"{latitude[begin]:.5f}, {longitude[begin]:.5f}"
        if swapped[one] == number[one]:
            reasons[one] = ("swapped", f"latitude comes first: its first point reads {place}")
        else:
            corner = f"{bounds_deg[0][0]:.3f}..{bounds_deg[1][0]:.3f}, {bounds_deg[0][1]:.3f}..{bounds_deg[1][1]:.3f}"
            reasons[one] = ("outside", f"its first point is {place}; the map covers {corner}")
    return traces.keep(is_in)


def _moves(traces: Traces) -> Bools:
    """bool[R]: some point lies farther than noise from the first one."""
    row = traces.row_of_point
    start = traces.first[:-1][row]
    crow = great_circle_m(
        traces.latitude_deg[start], traces.longitude_deg[start], traces.latitude_deg, traces.longitude_deg
    )
    farthest = np.zeros(len(traces))
    np.maximum.at(farthest, row, crow)
    return farthest > _STILL_M
