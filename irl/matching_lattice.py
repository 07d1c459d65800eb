"""The lattice of a trace: candidates of each point, and what it takes to get from those of one to those of the next.

A hidden Markov model in the sense of Newson and Krumm (2009): emission by distance, transition by how much longer the
route between two candidates is than the crow flies, both as logarithms up to a constant. Compiled.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..core.compiled import inner_kernel
from ..core.types import Floats, Ids, Ints
from ..graphs.segment_grid import SegmentGrid, edges_around
from .matching_search import SPEED_LOG, Roads, Scratch, Sources, Step, Targets, crow_m, next_use, search, transition

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
_MOST_SPEED_NATS = 4.0
REACHED, UNREACHED, FULL = 0, 1, 2
"""How an attempt to go on ended; arrays that are full are made larger, and everything done anew."""
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
    min_edges: int
    """Routes of fewer edges are no routes."""


class Lattice(NamedTuple):
    """Layers of candidates, K each at most, and the steps between them; what one thread writes per trace.

    The step from candidate i of the layer before to candidate j stands at ``first_pair[layer] + i * count[layer] + j``.
    """

    num_places: Ints
    """int32[L], candidates of each layer."""
    point: Ids
    """int64[L]."""
    crow_m: Floats
    """float64[L], from the point before."""
    first_pair: Ids
    """int64[L]."""
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
    """float64[S], of the transition; -inf: none."""
    excess_m: Floats
    """float64[S], by how much its route is longer than the crow's distance."""
    path_first: Ids
    """int64[S]: its edges after the first one are ``path[path_first : path_first + path_size]``."""
    path_size: Ints
    path: Ints
    sizes: Ids
    """int64[3]: layers, steps, edges in ``path``."""


def make_lattice(layers: int, width: int, steps: int, edges: int) -> Lattice:
    """An empty one with room for so much; what is not written takes no memory."""
    shape = (layers, width)
    return Lattice(
        np.empty(layers, np.int32),
        np.empty(layers, np.int64),
        np.empty(layers),
        np.empty(layers, np.int64),
        np.empty(shape, np.int32),
        np.empty(shape),
        np.empty(shape),
        np.empty(shape),
        np.empty(shape),
        np.empty(shape, np.int32),
        np.empty(shape),
        np.empty(steps),
        np.empty(steps),
        np.empty(steps, np.int64),
        np.empty(steps, np.int32),
        np.empty(edges, np.int32),
        np.zeros(3, np.int64),
    )


@inner_kernel
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
    lattice.num_places[layer], lattice.point[layer] = count, p
    return count


@inner_kernel
def _emission(roads: Roads, points: Points, p: int, edge: int, distance: float, bearing: float) -> float:
    """Log-probability of a point at an edge, up to a constant of the point."""
    result = math.log(math.exp(-0.5 * (distance / points.sigma_m[p]) ** 2) + _OUTLIER)
    speed = points.speed_kmh[p]
    if not math.isnan(points.heading_deg[p]) and not speed < _LEAST_SPEED_KMH:
        result += _HEADING * (math.cos(math.radians(points.heading_deg[p] - bearing)) - 1.0)
    if speed > roads.speed_kmh[edge] > 0.0:
        result -= min(0.5 * (math.log(speed / roads.speed_kmh[edge]) / SPEED_LOG) ** 2, _MOST_SPEED_NATS)
    return result


@inner_kernel
def begin_chain(lattice: Lattice) -> None:
    """Take the layer just written as the first one of a chain."""
    for k in range(lattice.num_places[0]):
        lattice.score[0, k] = lattice.forward[0, k] = lattice.emission[0, k]
        lattice.back[0, k] = -1
    lattice.sizes[0], lattice.sizes[1], lattice.sizes[2] = 1, 0, 0


@inner_kernel
def beta_at(beta_m: _Array, crow: float) -> float:
    """Scale of the transition at a crow distance, between the middles of two bins."""
    place = math.log2(max(crow, 1.0)) - 0.5
    low = min(max(math.floor(place), 0), BETA_BINS - 1)
    high = min(low + 1, BETA_BINS - 1)
    share = min(max(place - low, 0.0), 1.0)
    return float(beta_m[low] + share * (beta_m[high] - beta_m[low]))


@inner_kernel
def advance(roads: Roads, scratch: Scratch, points: Points, rules: Rules, lattice: Lattice) -> int:
    """Join the layer just written to the chain: `REACHED`, `UNREACHED`, or `FULL` where arrays must be larger."""
    layer = lattice.sizes[0]
    width, count = lattice.num_places[layer - 1], lattice.num_places[layer]
    first, start = lattice.sizes[1], lattice.sizes[2]
    if first + width * count > len(lattice.step):
        return FULL
    lattice.first_pair[layer], lattice.sizes[1] = first, first + width * count
    for pair in range(first, first + width * count):
        lattice.step[pair] = -np.inf
    step = _step(scratch, points, rules, lattice)
    targets = _targets(roads, scratch, lattice, step)
    place, sources = _sources(roads, rules, lattice, targets)
    best = _along_edges(roads, lattice, step, place, sources, targets)
    is_done, best = search(roads, scratch, step, sources, targets, best)
    if not is_done or not _take(roads, scratch, lattice, step, place, sources, targets, best):
        return FULL
    if not (lattice.step[first : first + width * count] > -np.inf).any():
        lattice.sizes[1], lattice.sizes[2] = first, start
        return UNREACHED
    _score(lattice, layer, width, count)
    lattice.sizes[0] = layer + 1
    return REACHED


@inner_kernel
def _step(scratch: Scratch, points: Points, rules: Rules, lattice: Lattice) -> Step:
    """What is asked of a path from the last point of the chain to that of the layer just written."""
    layer = lattice.sizes[0]
    here, there = lattice.point[layer - 1], lattice.point[layer]
    crow = crow_m(
        points.latitude_deg[here], points.longitude_deg[here], points.latitude_deg[there], points.longitude_deg[there]
    )
    lattice.crow_m[layer] = crow
    beta = beta_at(rules.beta_m, crow)
    noise_m = points.sigma_m[here] + points.sigma_m[there]
    passed = points.time_s[there] - points.time_s[here] + rules.slack_s + noise_m / 10.0
    most_s = np.inf if math.isnan(passed) else rules.max_ratio * passed
    return Step(
        next_use(scratch), points.latitude_deg[there], points.longitude_deg[there], rules.radius_m, crow, beta,
        crow + rules.max_excess * beta + rules.detour_m, most_s, passed, rules.beam,
    )  # fmt: skip


@inner_kernel
def _targets(roads: Roads, scratch: Scratch, lattice: Lattice, step: Step) -> Targets:
    """The candidates of the layer just written; their edges are marked for the search."""
    layer = lattice.sizes[0]
    count = lattice.num_places[layer]
    targets = Targets(
        lattice.edge[layer, :count], lattice.along_m[layer, :count], np.empty(count), lattice.emission[layer, :count]
    )
    for j in range(count):
        edge = targets.edge[j]
        scratch.wanted[edge], scratch.slot[edge] = step.number, j
        targets.along_s[j] = roads.travel_time_s[edge] * targets.along_m[j] / max(roads.length_m[edge], 1e-6)
    return targets


@inner_kernel
def _sources(roads: Roads, rules: Rules, lattice: Lattice, targets: Targets) -> tuple[_Array, Sources]:
    """(positions in the chain's last layer, its candidates that anything can be reached from within the beam)."""
    layer = lattice.sizes[0] - 1
    width, top = lattice.num_places[layer], -np.inf
    for i in range(width):
        top = max(top, lattice.score[layer, i])
    place, size = np.empty(width, np.int32), 0
    for i in range(width):
        if lattice.score[layer, i] > top - rules.beam:
            place[size] = i
            size += 1
    place = place[:size]
    sources = Sources(
        np.empty(size, np.int32), np.empty(size), np.empty(size), np.empty(size), np.empty(size, np.int32)
    )
    for lane in range(size):
        i = place[lane]
        edge, along = lattice.edge[layer, i], lattice.along_m[layer, i]
        rest = roads.length_m[edge] - along
        sources.edge[lane], sources.rest_m[lane], sources.score[lane] = edge, rest, lattice.score[layer, i]
        sources.rest_s[lane] = roads.travel_time_s[edge] * rest / max(roads.length_m[edge], 1e-6)
        sources.own[lane] = -1
        for j in range(len(targets.edge)):
            if targets.edge[j] == edge and targets.along_m[j] >= along - rules.back_m:
                sources.own[lane] = j
    return place, sources


@inner_kernel
def _along_edges(
    roads: Roads, lattice: Lattice, step: Step, place: _Array, sources: Sources, targets: Targets
) -> float:
    """Write the transitions to targets on the sources' own edges; the best value among them."""
    best = -np.inf
    for lane in range(len(place)):
        j = sources.own[lane]
        if j >= 0:
            edge = targets.edge[j]
            length = max(targets.along_m[j] - (roads.length_m[edge] - sources.rest_m[lane]), 0.0)
            travel = roads.travel_time_s[edge] * length / max(roads.length_m[edge], 1e-6)
            pair = _pair_of(lattice, place[lane], j, len(targets.edge))
            lattice.step[pair], lattice.excess_m[pair] = transition(step, length, travel), length - step.crow_m
            lattice.path_first[pair], lattice.path_size[pair] = lattice.sizes[2], 0
            best = max(best, sources.score[lane] + lattice.step[pair] + targets.emission[j])
    return best


@inner_kernel
def _pair_of(lattice: Lattice, i: int, j: int, count: int) -> int:
    """Where the step from candidate i of the chain's last layer to candidate j of that just written stands."""
    return int(lattice.first_pair[lattice.sizes[0]] + i * count + j)


@inner_kernel
def _take(
    roads: Roads, scratch: Scratch, lattice: Lattice, step: Step, place: _Array, sources: Sources, targets: Targets,
    best: float,
) -> bool:  # fmt: skip
    """Write the transitions that the last search found, with their paths; False where there is no room for these."""
    opened, count = 2 * scratch.numbers[0], len(targets.edge)
    for lane in range(len(place)):
        for j in range(count):
            goal = targets.edge[j]
            if scratch.mark[goal] < opened or j == sources.own[lane]:
                continue
            if not (
                scratch.lanes[scratch.row[goal], lane] < np.inf
                and sources.score[lane] + targets.emission[j] - best + step.beam > 0.0
            ):
                continue
            begin, end = lattice.sizes[2], lattice.sizes[2]
            length, travel, at = sources.rest_m[lane], sources.rest_s[lane], goal
            while at >= 0:
                if end == len(lattice.path):
                    return False
                lattice.path[end] = at
                end += 1
                at = scratch.before[scratch.row[at], lane]
                if at >= 0:
                    length += roads.length_m[at]
                    travel += roads.travel_time_s[at]
            length += targets.along_m[j]
            pair = _pair_of(lattice, place[lane], j, count)
            lattice.step[pair] = transition(step, length, travel + targets.along_s[j])
            lattice.excess_m[pair] = length - step.crow_m
            if lattice.step[pair] == -np.inf:
                continue
            for k in range((end - begin) // 2):  # it was found from its end
                other = end - 1 - k
                lattice.path[begin + k], lattice.path[other] = lattice.path[other], lattice.path[begin + k]
            lattice.path_first[pair], lattice.path_size[pair], lattice.sizes[2] = begin, end - begin, end
    return True


@inner_kernel
def _score(lattice: Lattice, layer: int, width: int, count: int) -> None:
    """Scores of the best and of all sequences up to each candidate of a layer."""
    first = lattice.first_pair[layer]
    for j in range(count):
        best, back, top = -np.inf, -1, -np.inf
        for i in range(width):
            value = lattice.score[layer - 1, i] + lattice.step[first + i * count + j]
            if value > best:
                best, back = value, i
            top = max(top, lattice.forward[layer - 1, i] + lattice.step[first + i * count + j])
        total = 0.0
        if top > -np.inf:
            for i in range(width):
                total += math.exp(lattice.forward[layer - 1, i] + lattice.step[first + i * count + j] - top)
        lattice.score[layer, j] = best + lattice.emission[layer, j]
        lattice.back[layer, j] = back
        lattice.forward[layer, j] = -np.inf if total == 0.0 else top + math.log(total) + lattice.emission[layer, j]
