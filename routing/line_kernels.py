"""The lines of routes, in compiled loops: a service spends more on them than on finding the route."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.compiled import inner_kernel, kernel
from ..graphs.geometry import EARTH_RADIUS_M
from ..graphs.road_graph import EdgeLines

_Array = Any
"""A numpy array inside a kernel; shapes stand in the docstrings."""


@kernel
def travelled_line(lines: EdgeLines, edges: _Array, start_fraction: float, end_fraction: float) -> _Array:
    """float64[P, 2] of (latitude, longitude) along contiguous edges, from a fraction of the first to one of the last.

    ``edges`` int32[K], K >= 1; points between edges stand once.
    """
    count = 1
    for edge in edges:
        count += lines.first[edge + 1] - lines.first[edge] - 1
    points = np.empty((count, 2))
    at = 0
    for k in range(len(edges)):
        begin = lines.first[edges[k]]
        for p in range(begin if k == 0 else begin + 1, lines.first[edges[k] + 1]):
            points[at, 0], points[at, 1] = lines.latitude[p] * lines.unit_deg, lines.longitude[p] * lines.unit_deg
            at += 1
    if len(edges) == 1:
        return between(points, start_fraction, end_fraction)
    first = lines.first[edges[0] + 1] - lines.first[edges[0]]
    last = count - (lines.first[edges[-1] + 1] - lines.first[edges[-1]])
    head = between(points[:first], start_fraction, 1.0)
    tail = between(points[last:], 0.0, end_fraction)[1:]
    cut = np.empty((len(head) + max(last + 1 - first, 0) + len(tail), 2))
    cut[: len(head)] = head
    cut[len(head) : len(cut) - len(tail)] = points[first : last + 1]
    cut[len(cut) - len(tail) :] = tail
    return cut


@kernel
def between(points: _Array, start_fraction: float, end_fraction: float) -> _Array:
    """The part of a polyline float64[P, 2] between two fractions of its length: one point where it has no length."""
    if start_fraction <= 0.0 and end_fraction >= 1.0:
        return points.copy()
    count = len(points)
    passed = np.zeros(count)
    for k in range(1, count):
        passed[k] = passed[k - 1] + _metres(points, k - 1, k)
    begin, end = start_fraction * passed[-1], end_fraction * passed[-1]
    if end <= begin:
        cut = np.empty((1, 2))
        _place(points, passed, begin, cut[0])
        return cut
    first = np.searchsorted(passed, begin, side="right")  # of the points that lie strictly between
    last = np.searchsorted(passed, end, side="left")
    inside = max(last - first, 0)
    cut = np.empty((inside + 2, 2))
    cut[1 : inside + 1] = points[first : first + inside]
    _place(points, passed, begin, cut[0])
    _place(points, passed, end, cut[inside + 1])
    return cut


@inner_kernel
def _metres(points: _Array, one: int, two: int) -> float:
    """`great_circle_m` between two points of a line."""
    phi, other_phi = math.radians(points[one, 0]), math.radians(points[two, 0])
    across = math.sin(math.radians(points[two, 1] - points[one, 1]) / 2) ** 2
    square = math.sin((other_phi - phi) / 2) ** 2 + math.cos(phi) * math.cos(other_phi) * across
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(square, 1.0)))


@inner_kernel
def _place(points: _Array, passed: _Array, metres: float, place: _Array) -> None:
    """The point so many metres from the start, between two points in a straight line of degrees, into ``place``."""
    if metres >= passed[-1]:
        place[:] = points[-1]
        return
    after = max(int(np.searchsorted(passed, metres, side="right")), 1)
    step = passed[after] - passed[after - 1]
    share = (metres - passed[after - 1]) / step if step > 0 else 0.0
    for axis in range(2):
        place[axis] = points[after - 1, axis] + share * (points[after, axis] - points[after - 1, axis])


@kernel
def polyline_letters(line: _Array, factor: float) -> _Array:
    """uint8[L]: the characters of an encoded polyline of float64[P, 2] in degrees, rounded to 1 / ``factor``."""
    letters = np.empty(14 * len(line), np.uint8)  # a difference of 360 degrees at seven digits has 7 chunks of 5 bits
    count = 0
    before = np.zeros(2, np.int64)
    for k in range(len(line)):
        for axis in range(2):
            scaled = line[k, axis] * factor
            # Halves go away from zero, as in the format's own algorithm.
            whole = np.int64(math.ceil(scaled - 0.5) if scaled < 0 else math.floor(scaled + 0.5))
            step = whole - before[axis]
            before[axis] = whole
            value = (step << 1) ^ (step >> 63)
            while value >= 32:
                letters[count] = (value & 31) + 95
                value >>= 5
                count += 1
            letters[count] = value + 63
            count += 1
    return letters[:count]
