"""Traces to routes: the loop over points, the best sequence of candidates, how sure each of its edges is. Compiled."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..core.compiled import inner_kernel, kernel
from ..core.types import Floats, Ids, Ints
from ..graphs.segment_grid import SegmentGrid
from .matching_lattice import (
    FULL,
    REACHED,
    Lattice,
    Points,
    Rules,
    advance,
    begin_chain,
    find_candidates,
)
from .matching_search import Roads, Scratch, crow_m, next_use

_Array = Any
"""A numpy array inside a kernel; shapes stand in the comments and docstrings."""
USED, OFF_ROAD, UNREACHABLE, ALONE, CUT = 0, 1, 2, 3, 4
"""What became of a point: on a route; no road within the radius; no route led to it; between two gaps; its part of the
trace lies on one edge."""
_UNLIKELY = 1e-4
"""Steps of a smaller probability do not count for the certainty of an edge."""


class Found(NamedTuple):
    """Routes, in the order of traces."""

    trip: Ints
    """int32[R], position of the trip that each is of."""
    first_edge: Ids
    """int64[R+1]."""
    edge: Ints
    """int32, edges of all routes."""
    is_sure: Floats
    """float64, beside ``edge``: the probability that the traveller passed it, at least."""
    span: Ids
    """int64[R, 2], the first and the last point on the route."""
    confidence: Floats
    """float64[R]."""
    log_probability: Floats
    """float64[R], of the best sequence, per step."""
    sizes: Ids
    """int64[3]: routes, edges; 1 where these arrays became full, 0 where others did."""


class PointAnswers(NamedTuple):
    """What is known of each point afterwards."""

    fate: Ints
    """int32[P]."""
    edge: Ints
    """int32[P], -1 where none."""
    along_m: Floats
    distance_m: Floats
    """float64[P], NaN where none."""
    excess_m: Floats
    """float64[P], of the route from the point before over the crow's distance; NaN where none."""
    crow_m: Floats


def make_answers(count: int) -> PointAnswers:
    """For so many points, of which nothing is known yet: what `_forget` says of one."""
    return PointAnswers(
        np.full(count, ALONE, np.int32),
        np.full(count, -1, np.int32),
        np.full(count, np.nan),
        np.full(count, np.nan),
        np.full(count, np.nan),
        np.full(count, np.nan),
    )


def make_found(routes: int, edges: int) -> Found:
    """With room for so many."""
    return Found(
        np.zeros(routes, np.int32),
        np.zeros(routes + 1, np.int64),
        np.zeros(edges, np.int32),
        np.zeros(edges),
        np.zeros((routes, 2), np.int64),
        np.zeros(routes),
        np.zeros(routes),
        np.zeros(3, np.int64),
    )


def with_room(found: Found, routes: int, edges: int) -> Found:
    """The same routes, with room for so many."""
    larger = make_found(routes, edges)
    for name, old in found._asdict().items():
        getattr(larger, name)[: len(old)] = old
    return larger


@kernel
def match_trips(
    grid: SegmentGrid,
    roads: Roads,
    scratch: Scratch,
    lattice: Lattice,
    points: Points,
    first: _Array,
    begin: int,
    rules: Rules,
    answers: PointAnswers,
    found: Found,
) -> int:
    """Add the routes of trips, the points of trip n being ``first[n] .. first[n+1]``, from trip ``begin`` on.

    Returns the trip before which an array became full, of which nothing is written then; the number of trips where none
    did. A trip has no route, one or several: it is cut at gaps, and where no route leads on from its points.
    """
    for trip in range(begin, len(first) - 1):
        routes, edges = found.sizes[0], found.sizes[1]
        if not _match_trip(
            grid, roads, scratch, lattice, points, first[trip], first[trip + 1], rules, trip, answers, found
        ):
            found.sizes[0], found.sizes[1] = routes, edges
            for p in range(first[trip], first[trip + 1]):
                _forget(answers, p)
            return trip
    return len(first) - 1


@inner_kernel
def _match_trip(
    grid: SegmentGrid,
    roads: Roads,
    scratch: Scratch,
    lattice: Lattice,
    points: Points,
    p: int,
    end: int,
    rules: Rules,
    trip: int,
    answers: PointAnswers,
    found: Found,
) -> bool:
    """Add the routes of one trip, whose points are ``p .. end``; False where an array is full."""
    dropped = 0
    lattice.sizes[0] = 0
    while p < end:
        if lattice.sizes[0] > 0 and _is_gap(points, lattice.point[lattice.sizes[0] - 1], p, rules):
            p, is_finished = p - dropped, True
        elif find_candidates(grid, roads, scratch, points, p, rules, lattice) == 0:
            answers.fate[p] = OFF_ROAD
            # It lies among the points left out, which a new chain would begin with.
            dropped += 1 if dropped > 0 else 0
            p, is_finished = p + 1, False
        elif lattice.sizes[0] == 0:
            begin_chain(lattice)
            p, dropped, is_finished = p + 1, 0, False
        else:
            how = advance(roads, scratch, points, rules, lattice)
            if how == FULL:
                return False
            dropped = 0 if how == REACHED else dropped + 1
            if how != REACHED:
                answers.fate[p] = UNREACHABLE
            p += 1
            is_finished = dropped > rules.max_dropped
            if is_finished or (p == end and dropped > 1):
                p, is_finished = p - dropped, True  # they may be a route of their own
        if is_finished or (p == end and lattice.sizes[0] > 0):
            if not _finish(roads, scratch, lattice, rules, trip, found, answers):
                return False
            dropped = lattice.sizes[0] = 0
    return True


@inner_kernel
def _is_gap(points: Points, one: int, other: int, rules: Rules) -> bool:
    if points.time_s[other] - points.time_s[one] > rules.max_gap_s:
        return True
    crow = crow_m(
        points.latitude_deg[one], points.longitude_deg[one], points.latitude_deg[other], points.longitude_deg[other]
    )
    return crow > rules.max_gap_m


@inner_kernel
def _finish(
    roads: Roads, scratch: Scratch, lattice: Lattice, rules: Rules, trip: int, found: Found, answers: PointAnswers
) -> bool:
    """Add the best route through a chain to those found; none where it has one point or too few edges. False: full."""
    layers, size = lattice.sizes[0], 1
    chosen = np.empty(layers, np.int64)
    chosen[-1] = 0
    for k in range(1, lattice.num_places[layers - 1]):
        if lattice.score[layers - 1, k] > lattice.score[layers - 1, chosen[-1]]:
            chosen[-1] = k
    for layer in range(layers - 1, 0, -1):
        chosen[layer - 1] = lattice.back[layer, chosen[layer]]
        size += lattice.path_size[_pair(lattice, layer, chosen)]
    _note(lattice, chosen, CUT if layers > 1 else ALONE, answers)
    if layers < 2 or size < rules.min_edges:
        return True
    route, begin = found.sizes[0], found.sizes[1]
    if route == len(found.trip) or begin + size > len(found.edge):
        found.sizes[2] = 1
        return False
    ends = np.empty(layers, np.int64)  # where the edges up to each layer end
    found.edge[begin], ends[0] = lattice.edge[0, chosen[0]], begin + 1
    for layer in range(1, layers):
        pair, last = _pair(lattice, layer, chosen), ends[layer - 1]
        for k in range(lattice.path_size[pair]):
            found.edge[last + k] = lattice.path[lattice.path_first[pair] + k]
        ends[layer] = last + lattice.path_size[pair]
    _certainty(scratch, lattice, found, begin, ends)
    last = _without_stubs(roads, lattice, rules, chosen, found, begin, ends)
    _note(lattice, chosen, USED, answers)
    total = sure = 0.0
    for place in range(begin, last):
        length = max(roads.length_m[found.edge[place]], 1e-3)
        total += length
        sure += length * found.is_sure[place]
    found.trip[route], found.sizes[0], found.sizes[1] = trip, route + 1, last
    found.first_edge[route + 1] = last
    found.span[route, 0], found.span[route, 1] = lattice.point[0], lattice.point[layers - 1]
    found.confidence[route] = sure / total
    found.log_probability[route] = lattice.score[layers - 1, chosen[-1]] / layers
    return True


@inner_kernel
def _pair(lattice: Lattice, layer: int, chosen: _Array) -> int:
    """Where the chosen step into a layer stands."""
    return int(lattice.first_pair[layer] + chosen[layer - 1] * lattice.num_places[layer] + chosen[layer])


@inner_kernel
def _forget(answers: PointAnswers, p: int) -> None:
    """Nothing is known of a point."""
    answers.fate[p], answers.edge[p] = ALONE, -1
    answers.along_m[p] = answers.distance_m[p] = answers.excess_m[p] = answers.crow_m[p] = np.nan


@inner_kernel
def _note(lattice: Lattice, chosen: _Array, fate: int, answers: PointAnswers) -> None:
    """Write down what is known of the chain's points."""
    for layer in range(len(chosen)):
        p, k = lattice.point[layer], chosen[layer]
        answers.fate[p] = fate
        answers.edge[p] = lattice.edge[layer, k]
        answers.along_m[p] = lattice.along_m[layer, k]
        answers.distance_m[p] = lattice.distance_m[layer, k]
        if layer > 0:
            answers.excess_m[p] = lattice.excess_m[_pair(lattice, layer, chosen)]
            answers.crow_m[p] = lattice.crow_m[layer]


@inner_kernel
def _without_stubs(
    roads: Roads, lattice: Lattice, rules: Rules, chosen: _Array, found: Found, begin: int, ends: _Array
) -> int:
    """Leave out a first and last edge of which next to nothing was travelled; where the route ends then."""
    layers = len(chosen)
    last = int(ends[layers - 1])
    if last - begin > 2 and lattice.along_m[layers - 1, chosen[-1]] < rules.stub_m:
        last -= 1
    rest = roads.length_m[found.edge[begin]] - lattice.along_m[0, chosen[0]]
    if last - begin > 2 and rest < rules.stub_m:
        for place in range(begin, last - 1):
            found.edge[place] = found.edge[place + 1]
            found.is_sure[place] = found.is_sure[place + 1]
        last -= 1
    return last


@inner_kernel
def _certainty(scratch: Scratch, lattice: Lattice, found: Found, begin: int, ends: _Array) -> None:
    """For every edge of the route: the largest probability, over steps, that a step like this one passes it.

    The posterior of a step is that of its two candidates, by forward and backward sums over all sequences; a step that
    is not the route's own counts for every edge that both pass. Neighbouring steps are looked at as well, because
    candidates on both sides of a junction are on the same road.
    """
    layers, width = len(ends), lattice.edge.shape[1]
    backward, before = np.zeros(width), np.zeros(width)
    share = np.zeros(ends[layers - 1] - begin)
    total = _log_of_all(lattice, layers - 1)
    for place in range(begin, ends[layers - 1]):
        found.is_sure[place] = 0.0
    for layer in range(layers - 1, 0, -1):
        low = max((begin if layer < 2 else ends[layer - 2]) - 1, begin)
        high = ends[min(layer + 1, layers - 1)]
        use, count = next_use(scratch), lattice.num_places[layer]
        for place in range(low, high):
            scratch.seen[found.edge[place]], scratch.slot[found.edge[place]] = use, place - begin
            share[place - begin] = 0.0
        for i in range(lattice.num_places[layer - 1]):
            pair, highest, sum_of = lattice.first_pair[layer] + i * count, -np.inf, 0.0
            for j in range(count):
                highest = max(highest, lattice.step[pair + j] + lattice.emission[layer, j] + backward[j])
            if highest == -np.inf:
                before[i] = -np.inf
                continue
            for j in range(count):
                onward = lattice.step[pair + j] + lattice.emission[layer, j] + backward[j]
                sum_of += math.exp(onward - highest)
                chance = math.exp(lattice.forward[layer - 1, i] + onward - total)
                if chance > _UNLIKELY:
                    _add_share(scratch, lattice, use, lattice.edge[layer - 1, i], pair + j, chance, share)
            before[i] = highest + math.log(sum_of)
        backward, before = before, backward
        for place in range(low, high):
            slot = scratch.slot[found.edge[place]]  # the last place of an edge that comes twice
            found.is_sure[place] = min(max(found.is_sure[place], share[slot]), 1.0)


@inner_kernel
def _log_of_all(lattice: Lattice, layer: int) -> float:
    """Logarithm of the sum over all sequences up to a layer."""
    top, total = -np.inf, 0.0
    for k in range(lattice.num_places[layer]):
        top = max(top, lattice.forward[layer, k])
    for k in range(lattice.num_places[layer]):
        total += math.exp(lattice.forward[layer, k] - top)
    return top + math.log(total)


@inner_kernel
def _add_share(
    scratch: Scratch, lattice: Lattice, use: int, source: int, pair: int, chance: float, share: _Array
) -> None:
    """Add a step's probability to the edges of the route that it passes."""
    if scratch.seen[source] == use:
        share[scratch.slot[source]] += chance
    begin = lattice.path_first[pair]
    for place in range(begin, begin + lattice.path_size[pair]):
        edge = lattice.path[place]
        if scratch.seen[edge] == use and edge != source:
            share[scratch.slot[edge]] += chance


@kernel
def condense(
    points: Points, first: _Array, window_s: float, white_m: float, least_m: float, is_mean: bool
) -> tuple[Points, _Array, _Array, _Array]:
    """Fewer points: (points, first, position of the original each stands for, whether an original is kept).

    Points of a trip within ``window_s`` of the first of them become their mean, whose error is smaller by the part that
    is white, ``white_m``; then points nearer than ``least_m`` to the one before are left out, since between such the
    noise is larger than the way travelled. First comes the first point of each trip.
    """
    count = len(points.latitude_deg)
    latitude, longitude, time = np.empty(count), np.empty(count), np.empty(count)
    sigma, heading, speed = np.empty(count), np.empty(count), np.empty(count)
    origin, is_kept = np.empty(count, np.int64), np.zeros(count, np.bool_)
    begins = np.zeros(len(first), np.int64)
    size = 0
    for trip in range(len(first) - 1):
        p = first[trip]
        while p < first[trip + 1]:
            end = p + 1
            if is_mean:
                while end < first[trip + 1] and points.time_s[end] - points.time_s[p] <= window_s:
                    end += 1
            middle, number = (p + end - 1) // 2, end - p
            sum_latitude = sum_longitude = sum_time = 0.0
            for q in range(p, end):
                sum_latitude += points.latitude_deg[q]
                sum_longitude += points.longitude_deg[q]
                sum_time += points.time_s[q]
            place = (sum_latitude / number, sum_longitude / number)
            error = math.sqrt(max(points.sigma_m[middle] ** 2 - white_m * white_m * (1.0 - 1.0 / number), 9.0))
            is_far = (
                size == begins[trip]
                or crow_m(latitude[size - 1], longitude[size - 1], place[0], place[1])
                >= least_m * error / points.sigma_m[middle]
            )
            if is_far:
                latitude[size], longitude[size], time[size] = place[0], place[1], sum_time / number
                sigma[size], heading[size] = min(error, points.sigma_m[middle]), points.heading_deg[middle]
                speed[size], origin[size], is_kept[middle] = points.speed_kmh[middle], middle, True
                size += 1
            p = end
        begins[trip + 1] = size
    thin = Points(latitude[:size], longitude[:size], time[:size], sigma[:size], heading[:size], speed[:size])
    return thin, begins, origin[:size], is_kept
