"""The area around some lines, as a polygon: everything within a distance, by a grid of distances and its contour.

Buffers of ten thousands of lines and their union take a minute; distances on a grid and one contour take a tenth of a
second, and what the grid rounds off is less than what a distance to a road means.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import contourpy
import numpy as np
import shapely
from scipy import ndimage

from ..core.errors import ConfigurationError
from ..core.types import Floats
from ..graphs.geometry import METRES_PER_DEGREE

DEFAULT_BUFFER_M = 60.0
"""About half a block: the roads of a street grid grow together."""
DEFAULT_SMALLEST_HOLE_M2 = 250_000.0
"""Half a kilometre square: a park or a block is no hole, a mountain is."""
_CELLS_PER_BUFFER = 3.0
_MOST_CELLS = 4_000_000
"""Larger areas have larger cells, and a buffer of three of them."""


def area_of_lines(lines: list[Floats], *, buffer_m: float, smallest_hole_m2: float) -> Any:
    """A shapely Polygon or MultiPolygon of (longitude, latitude) that covers lines of (latitude, longitude).

    Its outline is accurate to about a third of the buffer. Distances are those at the middle of the lines: on a map of
    100 km they are true to about 1 %.

    Raises
    ------
    ConfigurationError
        ``buffer_m`` is not a positive number.

    Notes
    -----
    O(length + cells of the grid), at most 4 million cells of a third of the buffer; for an area that needs more of them
    the buffer is widened to three of the cells that it gets.
    """
    if not (np.isfinite(buffer_m) and buffer_m > 0):
        raise ConfigurationError(where="area", problem=f"buffer_m is {buffer_m}, not a positive number")
    if not lines:
        return shapely.Polygon()
    points = np.concatenate(lines)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    scale = METRES_PER_DEGREE * np.array([1.0, np.cos(np.radians(middle[0]))])
    metres = (points - middle) * scale
    row = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    extent = np.ptp(metres, axis=0) + 2 * buffer_m
    cell = max(buffer_m / _CELLS_PER_BUFFER, float(np.sqrt(extent.prod() / _MOST_CELLS)))
    buffer_m = max(buffer_m, _CELLS_PER_BUFFER * cell)
    area = _within(_sampled(metres, row, cell), cell, buffer_m, smallest_hole_m2)
    return shapely.transform(area, lambda xy: xy / scale[::-1] + middle[::-1])


def _sampled(metres: Floats, row: Any, step: float) -> Floats:
    """Points along all lines, no two neighbours farther apart than ``step``."""
    is_inside = row[1:] == row[:-1]
    begin, run = metres[:-1][is_inside], np.diff(metres, axis=0)[is_inside]
    count = np.maximum(np.ceil(np.hypot(*run.T) / step), 1.0).astype(np.int64)
    which = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    between = begin[which] + run[which] * (within / count[which])[:, None]
    return np.concatenate([between, metres])


def _within(points: Floats, cell: float, buffer_m: float, smallest_hole_m2: float) -> Any:
    """Everything within ``buffer_m`` of points in metres (y, x), as polygons of (x, y)."""
    margin = int(np.ceil(buffer_m / cell)) + 2
    low = points.min(axis=0) - margin * cell
    place = np.rint((points - low) / cell).astype(np.int64)
    is_free = np.ones(tuple(place.max(axis=0) + margin + 1), bool)
    is_free[place[:, 0], place[:, 1]] = False
    distance = ndimage.distance_transform_edt(is_free, sampling=cell)
    generator = contourpy.contour_generator(z=distance, fill_type=contourpy.FillType.OuterOffset)
    found: Any = generator.filled(-1.0, buffer_m)
    parts = []
    for outline, offsets in zip(*found, strict=True):
        rings = [outline[begin:end] * cell + low[::-1] for begin, end in pairwise(offsets.tolist())]
        holes = [ring for ring in rings[1:] if shapely.Polygon(ring).area >= smallest_hole_m2]
        part = shapely.simplify(shapely.Polygon(rings[0], holes), cell / 4)
        parts += shapely.get_parts(part if part.is_valid else shapely.buffer(part, 0.0)).tolist()
    # A filled hole may hold a part of its own, and MultiPolygons may not overlap.
    return parts[0] if len(parts) == 1 else shapely.union_all(parts)


def square_metres(area: Any) -> float:
    """Of an area of (longitude, latitude) in degrees, on the sphere as it is at the area's middle."""
    if area.is_empty:
        return 0.0
    _, low, _, high = area.bounds
    return float(area.area * METRES_PER_DEGREE**2 * np.cos(np.radians((low + high) / 2)))
