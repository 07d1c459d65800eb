"""Distances, bearings and a space-filling order, on arrays of WGS84 coordinates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.types import Floats, Ids, Ints

EARTH_RADIUS_M = 6_371_009.0
"""Mean radius; the one osmnx uses, so that lengths agree."""
METRES_PER_DEGREE = math.pi / 180 * 6_371_008.8
"""Along a meridian of the mean sphere."""


def degrees(e7: Ints) -> Floats:
    """Coordinates in 1e-7 degrees, as OSM stores them, in degrees."""
    return np.asarray(e7, np.float64) * 1e-7


def great_circle_m(latitude_1: Floats, longitude_1: Floats, latitude_2: Floats, longitude_2: Floats) -> Floats:
    """Haversine distances in metres between points in degrees, elementwise.

    >>> float(np.round(great_circle_m(np.zeros(1), np.zeros(1), np.zeros(1), np.ones(1)))[0])
    111195.0
    """
    phi_1, phi_2 = np.radians(latitude_1), np.radians(latitude_2)
    half_phi, half_lambda = (phi_2 - phi_1) / 2, np.radians(longitude_2 - longitude_1) / 2
    square = np.sin(half_phi) ** 2 + np.cos(phi_1) * np.cos(phi_2) * np.sin(half_lambda) ** 2
    return np.asarray(2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(square, 1.0))))


def unit_sphere(latitude_deg: Floats, longitude_deg: Floats) -> Floats:
    """Points on the sphere of radius 1, float64[N, 3]: chords between them rise with the distance."""
    phi, theta = np.radians(latitude_deg), np.radians(longitude_deg)
    return np.stack([np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)], axis=1)


def bearing_deg(latitude_1: Floats, longitude_1: Floats, latitude_2: Floats, longitude_2: Floats) -> Floats:
    """Initial bearings in degrees clockwise from north, in (-180, 180]; 0 where the points coincide."""
    phi_1, phi_2 = np.radians(latitude_1), np.radians(latitude_2)
    step = np.radians(longitude_2 - longitude_1)
    east = np.sin(step) * np.cos(phi_2)
    north = np.cos(phi_1) * np.sin(phi_2) - np.sin(phi_1) * np.cos(phi_2) * np.cos(step)
    return np.asarray(np.degrees(np.arctan2(east, north)))


def wrap_deg(angle: Floats) -> Floats:
    """Angles brought into (-180, 180].

    >>> wrap_deg(np.array([190.0, -180.0])).tolist()
    [-170.0, 180.0]
    """
    return np.asarray(180.0 - np.mod(180.0 - angle, 360.0))


def end_bearings_deg(first_point: Ids, latitude_deg: Floats, longitude_deg: Floats) -> tuple[Floats, Floats]:
    """Bearings with which each polyline leaves its first and reaches its last point.

    Parameters
    ----------
    first_point
        int64[E+1], offsets of the polylines; each has at least two points.
    latitude_deg, longitude_deg
        float64[P].

    Returns
    -------
    tuple
        (leaving, arriving), float64[E], degrees clockwise from north; NaN where all points of a line coincide.

    Notes
    -----
    Repeated points at an end are skipped. O(P).
    """
    num_points = len(latitude_deg)
    is_step = np.zeros(num_points, bool)
    is_step[1:] = (np.diff(latitude_deg) != 0) | (np.diff(longitude_deg) != 0)
    is_step[first_point[:-1]] = False  # a step within a line, not the jump to the next one
    position = np.arange(num_points)
    last_step = np.maximum.accumulate(np.where(is_step, position, -1))[first_point[1:] - 1]
    next_step = np.minimum.accumulate(np.where(is_step, position, num_points)[::-1])[::-1][first_point[:-1]]
    is_flat = last_step < first_point[:-1]

    def bearing(end: NDArray[Any]) -> Floats:
        end = np.where(is_flat, 1, end)
        start = end - 1
        found = bearing_deg(latitude_deg[start], longitude_deg[start], latitude_deg[end], longitude_deg[end])
        return np.where(is_flat, np.nan, found)

    if num_points < 2:
        nothing = np.full(len(first_point) - 1, np.nan)
        return nothing, nothing
    return bearing(next_step), bearing(last_step)


def space_filling_order(latitude_e7: Ints, longitude_e7: Ints, tie: Ids) -> Ids:
    """Positions of points along a Z-order curve; points on one spot in order of ``tie``. O(n log n).

    Neighbours on the map become neighbours in memory, which is worth a factor of about five on large maps.
    """
    north = latitude_e7.astype(np.int64) + 900_000_000
    east = (longitude_e7.astype(np.int64) + 1_800_000_000) >> 1  # both below 2**31
    return np.lexsort((tie, _spread_bits(north) << np.uint64(1) | _spread_bits(east)))


def _spread_bits(value: Ids) -> NDArray[np.uint64]:
    """A zero bit after each of the lower 32 bits."""
    bits = value.astype(np.uint64)
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ):
        bits = (bits | (bits << np.uint64(shift))) & np.uint64(mask)
    return bits
