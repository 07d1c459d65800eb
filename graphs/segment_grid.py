"""The edges around a point: straight pieces of edges in a grid, read by compiled loops that release the GIL.

`trodden.graphs.spatial` asks for the nearest ones and says why there are none; map matching asks for every edge within
a radius of every point of a trace.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..core.compiled import inner_kernel, kernel
from ..core.errors import EmptyNetworkError
from ..core.types import Bools, Floats, Ids, Ints
from .geometry import METRES_PER_DEGREE
from .road_graph import RoadNetwork

_Array = Any
"""A numpy array inside a kernel; shapes stand in the comments and docstrings."""
_CELL_M = 100.0
"""Side of a cell where the network is dense enough for it."""
_CELLS_PER_PIECE = 2
"""Cells at most, by the number of pieces: a network of few long roads gets larger cells."""


class SegmentGrid(NamedTuple):
    """Pieces of edges by cell. A piece is named by the position of its first point.

    28 bytes per point of a shape and some 8 per piece. A named tuple, because kernels take those as they are.
    """

    latitude_deg: Floats
    """float64[P], the points of all edges one after the other."""
    longitude_deg: Floats
    edge: Ints
    """int32[P], the edge that each point belongs to."""
    along_m: Floats
    """float64[P], distance from the start of the edge, stretched so that the last point has the edge's length."""
    first_in_cell: Ids
    """int64[C+1]: the pieces in cell c are ``piece[first_in_cell[c] : first_in_cell[c+1]]``."""
    piece: Ints
    """int32."""
    low: Floats
    """float64[2], (latitude, longitude) in degrees of the corner of the first cell."""
    step: Floats
    """float64[2], the side of a cell in degrees."""
    shape: Ids
    """int64[2], rows and columns."""


def make_segment_grid(network: RoadNetwork, length_m: Floats | None = None, wanted: Bools | None = None) -> SegmentGrid:
    """The grid of the edges of a network.

    Parameters
    ----------
    length_m
        float64[E], what the edges are taken to be long; default, as their shapes are.
    wanted
        bool[E], which edges are found; default, all.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    EmptyNetworkError
        It has no edge.

    Notes
    -----
    O(P + pieces in cells); 0.2 s for 100,000 edges.
    """
    if network.graph.num_edges == 0:
        raise EmptyNetworkError(path="network", problem="has no edge to match to", remedy="Check how it was read")
    latitude, longitude, first = _points(network)
    chosen = np.ones(len(first) - 1, np.bool_) if wanted is None else wanted
    edge = np.repeat(np.arange(len(first) - 1, dtype=np.int32), np.diff(first))
    along = _along(latitude, longitude, first, edge, length_m)
    low = np.array([latitude.min(), longitude.min()])
    high = np.array([latitude.max(), longitude.max()])
    middle = math.radians(float(low[0] + high[0]) / 2)
    per_degree = METRES_PER_DEGREE * np.array([1.0, max(math.cos(middle), 0.01)])
    extent_m = np.maximum((high - low) * per_degree, 1.0)
    side = max(_CELL_M, math.sqrt(float(extent_m[0] * extent_m[1]) / (_CELLS_PER_PIECE * len(latitude))))
    step = side / per_degree
    shape = (np.floor((high - low) / step) + 1).astype(np.int64)
    first_in_cell, piece = _sort_in(latitude, longitude, edge, chosen, low, step, shape)
    return SegmentGrid(latitude, longitude, edge, along, first_in_cell, piece, low, step, shape)


def _points(network: RoadNetwork) -> tuple[Floats, Floats, Ids]:
    """(latitude, longitude, where each edge's points begin), all edges."""
    lines = network.lines
    latitude, longitude = (np.asarray(one * lines.unit_deg, np.float64) for one in (lines.latitude, lines.longitude))
    return latitude, longitude, lines.first


def _along(latitude: Floats, longitude: Floats, first: Ids, edge: Ints, length_m: Floats | None) -> Floats:
    """float64[P], the distance of each point from the start of its edge."""
    step = np.zeros(len(latitude))
    scale = METRES_PER_DEGREE * np.cos(np.radians(latitude[:-1]))
    step[1:] = np.hypot(np.diff(latitude) * METRES_PER_DEGREE, np.diff(longitude) * scale)
    step[first[:-1]] = 0.0
    total = np.cumsum(step)
    along = total - total[first[:-1]][edge]
    if length_m is None:
        return along
    drawn = along[first[1:] - 1]
    stretch = np.divide(length_m, drawn, out=np.ones(len(drawn)), where=drawn > 0)
    return along * stretch[edge]


@kernel
def _sort_in(
    latitude: _Array, longitude: _Array, edge: _Array, wanted: _Array, low: _Array, step: _Array, shape: _Array
) -> tuple[_Array, _Array]:
    """Counting sort of the pieces of wanted edges by cell: (first_in_cell, piece)."""
    rows, columns = shape[0], shape[1]
    first = np.zeros(rows * columns + 1, np.int64)
    piece = np.empty(0, np.int32)
    for is_second in range(2):
        if is_second:
            for cell in range(rows * columns):
                first[cell + 1] += first[cell]
            piece = np.empty(first[-1], np.int32)
        for p in range(len(edge) - 1):
            if edge[p] != edge[p + 1] or not wanted[edge[p]]:
                continue
            top = int((min(latitude[p], latitude[p + 1]) - low[0]) / step[0])
            bottom = min(int((max(latitude[p], latitude[p + 1]) - low[0]) / step[0]), rows - 1)
            left = int((min(longitude[p], longitude[p + 1]) - low[1]) / step[1])
            right = min(int((max(longitude[p], longitude[p + 1]) - low[1]) / step[1]), columns - 1)
            for row in range(top, bottom + 1):
                for column in range(left, right + 1):
                    cell = row * columns + column
                    if is_second:
                        first[cell] -= 1
                        piece[first[cell]] = p
                    else:
                        first[cell] += 1
    return first, piece


@kernel
def edges_around(
    grid: SegmentGrid,
    latitude: float,
    longitude: float,
    radius_m: float,
    number: int,
    mark: _Array,
    slot: _Array,
    edge: _Array,
    along_m: _Array,
    distance_m: _Array,
    bearing_deg: _Array,
) -> int:
    """The edges within a radius of a point, each with its nearest place: how many were found.

    ``mark`` and ``slot``, int32[E], are scratch; ``number`` is new in every call. What is found is written to ``edge``,
    ``along_m`` (metres from the edge's start), ``distance_m`` and ``bearing_deg`` (clockwise from north), in the order
    of the cells; no more than they hold, of which the caller keeps the nearest.
    """
    per_row = METRES_PER_DEGREE
    per_column = METRES_PER_DEGREE * max(math.cos(math.radians(latitude)), 1e-6)
    north, east = radius_m / per_row, radius_m / per_column
    rows, columns = grid.shape[0], grid.shape[1]
    top = max(math.floor((latitude - north - grid.low[0]) / grid.step[0]), 0)
    bottom = min(math.floor((latitude + north - grid.low[0]) / grid.step[0]), rows - 1)
    left = max(math.floor((longitude - east - grid.low[1]) / grid.step[1]), 0)
    right = min(math.floor((longitude + east - grid.low[1]) / grid.step[1]), columns - 1)
    count = 0
    for row in range(top, bottom + 1):
        for column in range(left, right + 1):
            cell = row * columns + column
            for place in range(grid.first_in_cell[cell], grid.first_in_cell[cell + 1]):
                p = grid.piece[place]
                y0 = (grid.latitude_deg[p] - latitude) * per_row
                x0 = (grid.longitude_deg[p] - longitude) * per_column
                dy = (grid.latitude_deg[p + 1] - grid.latitude_deg[p]) * per_row
                dx = (grid.longitude_deg[p + 1] - grid.longitude_deg[p]) * per_column
                square = dx * dx + dy * dy
                share = 0.0
                if square > 0.0:
                    share = min(max(-(x0 * dx + y0 * dy) / square, 0.0), 1.0)
                distance = math.hypot(x0 + share * dx, y0 + share * dy)
                if distance > radius_m:
                    continue
                at = grid.edge[p]
                if mark[at] != number:
                    if count == len(edge):
                        continue
                    mark[at], slot[at] = number, count
                    edge[count] = at
                    distance_m[count] = np.inf
                    count += 1
                k = slot[at]
                if distance < distance_m[k]:
                    distance_m[k] = distance
                    along_m[k] = grid.along_m[p] + share * (grid.along_m[p + 1] - grid.along_m[p])
                    bearing_deg[k] = math.degrees(math.atan2(dx, dy))
    return count


@inner_kernel
def _cells(grid: SegmentGrid, latitude: float, longitude: float, radius_m: float) -> tuple[int, int, int, int]:
    """(first row, last row, first column, last column) of the cells within a distance of a point."""
    north = min(radius_m, 1e8) / METRES_PER_DEGREE  # more than round the earth is no number of cells
    east = north / max(math.cos(math.radians(latitude)), 1e-6)
    return (
        max(math.floor((latitude - north - grid.low[0]) / grid.step[0]), 0),
        min(math.floor((latitude + north - grid.low[0]) / grid.step[0]), grid.shape[0] - 1),
        max(math.floor((longitude - east - grid.low[1]) / grid.step[1]), 0),
        min(math.floor((longitude + east - grid.low[1]) / grid.step[1]), grid.shape[1] - 1),
    )


@inner_kernel
def _to_piece(grid: SegmentGrid, p: int, latitude: float, longitude: float) -> tuple[float, float]:
    """(metres to a piece, the share of it before the nearest place), in a plane that touches the earth at the point."""
    per_column = METRES_PER_DEGREE * max(math.cos(math.radians(latitude)), 1e-6)
    y0 = (grid.latitude_deg[p] - latitude) * METRES_PER_DEGREE
    x0 = (grid.longitude_deg[p] - longitude) * per_column
    dy = (grid.latitude_deg[p + 1] - grid.latitude_deg[p]) * METRES_PER_DEGREE
    dx = (grid.longitude_deg[p + 1] - grid.longitude_deg[p]) * per_column
    square = dx * dx + dy * dy
    share = 0.0
    if square > 0.0:
        share = min(max(-(x0 * dx + y0 * dy) / square, 0.0), 1.0)
    return math.hypot(x0 + share * dx, y0 + share * dy), share


@inner_kernel
def _reach(grid: SegmentGrid, latitude: float, longitude: float, number: int, radius_m: float) -> tuple[float, bool]:
    """(metres to the ``number``-th nearest edge of the cells around or infinity, whether those are all cells)."""
    top, bottom, left, right = _cells(grid, latitude, longitude, radius_m)
    columns = grid.shape[1]
    if right < left:
        return np.inf, False
    edge, distance = np.full(number, -1), np.full(number, np.inf)
    for row in range(top, bottom + 1):
        for place in range(grid.first_in_cell[row * columns + left], grid.first_in_cell[row * columns + right + 1]):
            p = grid.piece[place]
            metres, _ = _to_piece(grid, p, latitude, longitude)
            if metres >= distance[number - 1]:
                continue
            at = 0  # where the edge stands already, or else the last place, whose edge gives way
            while at < number - 1 and edge[at] != grid.edge[p]:
                at += 1
            if edge[at] == grid.edge[p] and metres >= distance[at]:
                continue
            while at > 0 and distance[at - 1] > metres:
                edge[at], distance[at] = edge[at - 1], distance[at - 1]
                at -= 1
            edge[at], distance[at] = grid.edge[p], metres
    is_all = top == 0 and left == 0 and bottom == grid.shape[0] - 1 and right == columns - 1
    return distance[number - 1], is_all


@kernel
def nearest_edges_around(grid: SegmentGrid, latitude: float, longitude: float, number: int, slack_m: float) -> _Array:
    """The edges no farther than the ``number``-th nearest one and ``slack_m``, in no order; all where there are fewer.

    float64[K, 5]: edge, metres, the place along it (in the grid's lengths), and that place's latitude and longitude.
    O(pieces in the cells within twice that distance).
    """
    radius = 0.5 * METRES_PER_DEGREE * grid.step[0]
    reach, is_all = _reach(grid, latitude, longitude, number, radius)
    while reach > radius and not is_all:
        radius *= 2.0
        reach, is_all = _reach(grid, latitude, longitude, number, radius)
    reach += slack_m
    top, bottom, left, right = _cells(grid, latitude, longitude, reach)
    found, count = np.empty((8, 5)), 0
    for row in range(top, bottom + 1):
        for column in range(left, right + 1):
            cell = row * grid.shape[1] + column
            for place in range(grid.first_in_cell[cell], grid.first_in_cell[cell + 1]):
                p = grid.piece[place]
                metres, share = _to_piece(grid, p, latitude, longitude)
                if metres > reach:
                    continue
                k = 0  # few edges are this near: looking through them costs less than marks for every edge would
                while k < count and found[k, 0] != grid.edge[p]:
                    k += 1
                if k == count:
                    if count == len(found):
                        larger = np.empty((2 * count, 5))
                        larger[:count] = found
                        found = larger
                    found[k, 0], found[k, 1] = grid.edge[p], np.inf
                    count += 1
                if metres < found[k, 1]:
                    found[k, 1] = metres
                    found[k, 2] = grid.along_m[p] + share * (grid.along_m[p + 1] - grid.along_m[p])
                    found[k, 3] = (1 - share) * grid.latitude_deg[p] + share * grid.latitude_deg[p + 1]
                    found[k, 4] = (1 - share) * grid.longitude_deg[p] + share * grid.longitude_deg[p + 1]
    return found[:count]
