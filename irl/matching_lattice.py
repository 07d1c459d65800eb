"""The lattice of a trace: candidates of each point, and what it takes to get from those of one to those of the next.

A hidden Markov model in the sense of Newson and Krumm (2009): emission by distance, transition by how much longer the
route between two candidates is than the crow flies, both as logarithms up to a constant. Compiled.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..core.compiled import kernel
from ..core.types import Floats, Ids, Ints
from ..graphs.segment_grid import SegmentGrid, edges_around
from .matching_search import Roads, Scratch, crow_m, next_use, search

_Array = Any
"""A numpy array inside a kernel; shapes stand in the comments and docstrings."""
_NEAR = 1024
"""Edges around one point that are looked at; where there are more, the radius shrinks."""
_OUTLIER = 1e-4
"""Probability, beside that of a place at the road itself, that a point says nothing: no distance costs more."""
_HEADING = 2.0
"""Concentration of a heading around the road's bearing: the opposite direction costs twice as many nats."""
_LEAST_SPEED_KMH = 7.0
"""A heading means nothing below it."""
_SPEED_LOG = 0.25
"""Standard deviation of the logarithm of speed above free flow; slower than that is always possible."""
_MOST_SPEED_NATS = 4.0
BETA_BINS = 16
"""Scales of the transition by crow distance: bin b is 2**b to 2**(b+1) metres."""


class Points(NamedTuple):
    """Points of traces one after the other, as kernels read them; NaN where a time, heading or speed is not known."""

    latitude_deg: Floats
    longitude_deg: Floats
    time_s: Floats
    sigma_m: Floats
    """Standard deviation of each point's error, per axis."""
    heading_deg: Floats
    speed_kmh: Floats


class Rules(NamedTuple):
    """Numbers of a matching run."""

    radius_m: float
    """Candidates lie within it."""
    max_candidates: int
    beta_m: Floats
    """float64[`BETA_BINS`], mean excess of a route over the crow's distance, by that distance."""
    back_m: float
    """Going back along an edge by so much is standing still."""
    max_excess: float
    """No route is looked for that is longer than the crow's distance by more than so many times beta + ``detour_m``."""
    detour_m: float
    max_ratio: float
    """Nor one that takes more than so many times the time that passed."""
    slack_s: float
    """Added to the time that passed, beside what the noise of both points is worth."""
    max_gap_s: float
    """Points farther apart are not joined, nor those farther than"""
    max_gap_m: float
    max_dropped: int
    """Points in a row that may be left out where no route leads to them, before the trace is cut."""
    beam: float
    """Steps are not looked for that would end so many nats below the best sequence up to the same point."""
    stub_m: float
    """An end edge of which less was travelled is left out."""


class Lattice(NamedTuple):
    """Layers of candidates, K each at most; arrays grow by layers, ``path`` by edges."""

    count: Ints
    """int32[L], candidates of each layer."""
    point: Ids
    """int64[L]."""
    crow_m: Floats
    """float64[L], from the point before."""
    edge: Ints
    """int32[L, K]."""
    along_m: Floats
    """float64[L, K]."""
    distance_m: Floats
    emission: Floats
    score: Floats
    """float64[L, K], of the best sequence up to a candidate."""
    back: Ints
    """int32[L, K], its candidate in the layer before."""
    forward: Floats
    """float64[L, K], of all sequences up to a candidate."""
    step: Floats
    """float64[L, K, K], of the transition into a layer from (candidate before, candidate); -inf: none."""
    excess_m: Floats
    """float64[L, K, K], by how much its route is longer than the crow's distance."""
    path_first: Ids
    """int64[L, K, K]: its edges after the first one are ``path[path_first : path_first + path_size]``."""
    path_size: Ints
    path: Ints
    sizes: Ids
    """int64[2]: layers, length of ``path``."""


@kernel
def make_lattice(layers: int, width: int, edges: int) -> Lattice:
    """An empty one with room."""
    return Lattice(
        np.zeros(layers, np.int32),
        np.zeros(layers, np.int64),
        np.zeros(layers),
        np.zeros((layers, width), np.int32),
        np.zeros((layers, width)),
        np.zeros((layers, width)),
        np.zeros((layers, width)),
        np.zeros((layers, width)),
        np.zeros((layers, width), np.int32),
        np.zeros((layers, width)),
        np.zeros((layers, width, width)),
        np.zeros((layers, width, width)),
        np.zeros((layers, width, width), np.int64),
        np.zeros((layers, width, width), np.int32),
        np.zeros(edges, np.int32),
        np.zeros(2, np.int64),
    )


@kernel
def with_room(lattice: Lattice, layers: int, edges: int) -> Lattice:
    """The same lattice with room for so many layers and path edges."""
    have, width = lattice.edge.shape
    if layers <= have and edges <= len(lattice.path):
        return lattice
    wide = make_lattice(max(layers, 2 * have if layers > have else have), width, max(edges, 2 * len(lattice.path)))
    used = lattice.sizes[0] + 1
    if used > have:
        used = have
    wide.count[:used] = lattice.count[:used]
    wide.point[:used] = lattice.point[:used]
    wide.crow_m[:used] = lattice.crow_m[:used]
    wide.edge[:used] = lattice.edge[:used]
    wide.along_m[:used] = lattice.along_m[:used]
    wide.distance_m[:used] = lattice.distance_m[:used]
    wide.emission[:used] = lattice.emission[:used]
    wide.score[:used] = lattice.score[:used]
    wide.back[:used] = lattice.back[:used]
    wide.forward[:used] = lattice.forward[:used]
    wide.step[:used] = lattice.step[:used]
    wide.excess_m[:used] = lattice.excess_m[:used]
    wide.path_first[:used] = lattice.path_first[:used]
    wide.path_size[:used] = lattice.path_size[:used]
    wide.path[: lattice.sizes[1]] = lattice.path[: lattice.sizes[1]]
    wide.sizes[:] = lattice.sizes
    return wide


@kernel
def find_candidates(
    grid: SegmentGrid, roads: Roads, scratch: Scratch, points: Points, p: int, rules: Rules, lattice: Lattice
) -> int:
    """Write the candidates of point p into the layer after the last one, nearest first; how many there are."""
    edge, along = np.empty(_NEAR, np.int32), np.empty(_NEAR)
    distance, bearing = np.empty(_NEAR), np.empty(_NEAR)
    radius, found = rules.radius_m, _NEAR
    while found == _NEAR:
        found = edges_around(
            grid, points.latitude_deg[p], points.longitude_deg[p], radius, next_use(scratch), scratch.seen,
            scratch.slot, edge, along, distance, bearing,
        )  # fmt: skip
        radius *= 0.7
    layer, count = lattice.sizes[0], min(found, rules.max_candidates)
    for k in range(count):
        best = k
        for other in range(k + 1, found):
            if distance[other] < distance[best] or (distance[other] == distance[best] and edge[other] < edge[best]):
                best = other
        edge[k], edge[best] = edge[best], edge[k]
        along[k], along[best] = along[best], along[k]
        distance[k], distance[best] = distance[best], distance[k]
        bearing[k], bearing[best] = bearing[best], bearing[k]
        lattice.edge[layer, k] = edge[k]
        lattice.along_m[layer, k] = min(along[k], roads.length_m[edge[k]])
        lattice.distance_m[layer, k] = distance[k]
        lattice.emission[layer, k] = _emission(roads, points, p, edge[k], distance[k], bearing[k])
    lattice.count[layer], lattice.point[layer] = count, p
    return count


@kernel
def _emission(roads: Roads, points: Points, p: int, edge: int, distance: float, bearing: float) -> float:
    """Log-probability of a point at an edge, up to a constant of the point."""
    result = math.log(math.exp(-0.5 * (distance / points.sigma_m[p]) ** 2) + _OUTLIER)
    speed = points.speed_kmh[p]
    if not math.isnan(points.heading_deg[p]) and not speed < _LEAST_SPEED_KMH:
        result += _HEADING * (math.cos(math.radians(points.heading_deg[p] - bearing)) - 1.0)
    if speed > roads.speed_kmh[edge] > 0.0:
        result -= min(0.5 * (math.log(speed / roads.speed_kmh[edge]) / _SPEED_LOG) ** 2, _MOST_SPEED_NATS)
    return result


@kernel
def begin_chain(lattice: Lattice) -> None:
    """Take the layer just written as the first one of a chain."""
    for k in range(lattice.count[0]):
        lattice.score[0, k] = lattice.forward[0, k] = lattice.emission[0, k]
        lattice.back[0, k] = -1
    lattice.sizes[0], lattice.sizes[1] = 1, 0


@kernel
def beta_at(beta_m: _Array, crow: float) -> float:
    """Scale of the transition at a crow distance, between the middles of two bins."""
    place = math.log2(max(crow, 1.0)) - 0.5
    low = min(max(int(math.floor(place)), 0), BETA_BINS - 1)
    high = min(low + 1, BETA_BINS - 1)
    share = min(max(place - low, 0.0), 1.0)
    return beta_m[low] + share * (beta_m[high] - beta_m[low])


@kernel
def time_log(travel_s: float, passed_s: float) -> float:
    """Log-probability of a free-flow time in the time that passed: one-sided, for slower is always possible."""
    if not travel_s > passed_s:  # also where times are not known
        return 0.0
    return -0.5 * (math.log(travel_s / passed_s) / _SPEED_LOG) ** 2


@kernel
def advance(
    roads: Roads, scratch: Scratch, points: Points, rules: Rules, lattice: Lattice, keys: _Array, items: _Array
) -> tuple[Lattice, _Array, _Array, bool]:
    """Join the layer just written to the chain: (lattice, heap, whether any candidate can be reached)."""
    layer = lattice.sizes[0]
    here, there = lattice.point[layer - 1], lattice.point[layer]
    crow = crow_m(
        points.latitude_deg[here], points.longitude_deg[here], points.latitude_deg[there], points.longitude_deg[there]
    )
    lattice.crow_m[layer] = crow
    beta = beta_at(rules.beta_m, crow)
    farthest = crow + rules.max_excess * beta + rules.detour_m
    noise_m = points.sigma_m[here] + points.sigma_m[there]
    passed = points.time_s[there] - points.time_s[here] + rules.slack_s + noise_m / 10.0
    most_s = np.inf if math.isnan(passed) else rules.max_ratio * passed
    width, count = lattice.count[layer - 1], lattice.count[layer]
    start, best, nearest = lattice.sizes[1], -np.inf, lattice.emission[layer, :count].max()
    step = next_use(scratch)
    for k in range(count):
        scratch.wanted[lattice.edge[layer, k]] = step
    is_reached = False
    lattice.step[layer, :width, :count] = -np.inf
    for i in np.argsort(-lattice.score[layer - 1, :width]):
        # What this source can give at most, beside the best found from others, is how far a search may go.
        spare = lattice.score[layer - 1, i] + nearest - best + rules.beam
        if not spare > 0.0:
            break
        most = min(farthest, crow + spare * beta)
        source, offset = lattice.edge[layer - 1, i], lattice.along_m[layer - 1, i]
        rest = roads.length_m[source] - offset
        is_searched, missing, own = False, count, -1
        for j in range(count):
            if lattice.edge[layer, j] == source and lattice.along_m[layer, j] >= offset - rules.back_m:
                missing, own = missing - 1, j
        if own >= 0:
            scratch.wanted[source] = 0
        if missing > 0 and rest <= most:
            keys, items = search(
                roads, scratch, source, step, missing, points.latitude_deg[there], points.longitude_deg[there],
                rules.radius_m, most - rest, most_s, keys, items,
            )  # fmt: skip
            is_searched = True
        if own >= 0:
            scratch.wanted[source] = step
        settled = 2 * scratch.numbers[0] + 1
        for j in range(count):
            goal = lattice.edge[layer, j]
            if j == own:
                length = max(lattice.along_m[layer, j] - offset, 0.0)
                travel = roads.travel_time_s[goal] * length / max(roads.length_m[goal], 1e-6)
            elif is_searched and scratch.mark[goal] == settled:
                length = rest + scratch.along_m[goal] + lattice.along_m[layer, j]
                travel = (
                    roads.travel_time_s[source] * rest / max(roads.length_m[source], 1e-6)
                    + scratch.spent_s[goal]
                    + roads.travel_time_s[goal] * lattice.along_m[layer, j] / max(roads.length_m[goal], 1e-6)
                )
            else:
                continue
            if length > most or travel > most_s:
                continue
            is_reached = True
            lattice.step[layer, i, j] = -abs(length - crow) / beta + time_log(travel, passed)
            best = max(best, lattice.score[layer - 1, i] + lattice.step[layer, i, j] + lattice.emission[layer, j])
            lattice.excess_m[layer, i, j] = length - crow
            lattice = _store_path(lattice, scratch, layer, i, j, -1 if j == own else goal)
    if is_reached:
        _score(lattice, layer, width, count)
        lattice.sizes[0] = layer + 1
    else:
        lattice.sizes[1] = start
    return lattice, keys, items, is_reached


@kernel
def _store_path(lattice: Lattice, scratch: Scratch, layer: int, i: int, j: int, goal: int) -> Lattice:
    """The edges of the last search's path to ``goal`` (-1: the candidates share their edge)."""
    size, at = 0, goal
    while at >= 0:
        size, at = size + 1, scratch.previous[at]
    begin = lattice.sizes[1]
    lattice = with_room(lattice, 0, begin + size)
    at = goal
    for place in range(begin + size - 1, begin - 1, -1):
        lattice.path[place] = at
        at = scratch.previous[at]
    lattice.path_first[layer, i, j], lattice.path_size[layer, i, j] = begin, size
    lattice.sizes[1] = begin + size
    return lattice


@kernel
def _score(lattice: Lattice, layer: int, width: int, count: int) -> None:
    """Scores of the best and of all sequences up to each candidate of a layer."""
    for j in range(count):
        best, back, top = -np.inf, -1, -np.inf
        for i in range(width):
            value = lattice.score[layer - 1, i] + lattice.step[layer, i, j]
            if value > best:
                best, back = value, i
            top = max(top, lattice.forward[layer - 1, i] + lattice.step[layer, i, j])
        total = 0.0
        if top > -np.inf:
            for i in range(width):
                total += math.exp(lattice.forward[layer - 1, i] + lattice.step[layer, i, j] - top)
        lattice.score[layer, j] = best + lattice.emission[layer, j]
        lattice.back[layer, j] = back
        lattice.forward[layer, j] = -np.inf if total == 0.0 else top + math.log(total) + lattice.emission[layer, j]
