"""Map matching: GPS traces to routes on the turn graph, with a confidence for each.

A hidden Markov model after Newson and Krumm, *Hidden Markov map matching through noise and sparseness* (2009): states
are places on edges near a point, emission falls with distance, transition with how much longer the route between two
places is than the crow flies. Beside that: routes run on the turn graph, so no restriction is broken; the time that
passed must do for a route; means of points that lie close in time; noise and scales estimated from the traces.
"""

from __future__ import annotations

import copy
import queue
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Literal

import numpy as np

from ..core.errors import ConfigurationError
from ..core.threads import worker_threads
from ..core.types import Floats, Ids, Ints
from ..graphs.road_graph import RoadNetwork
from ..graphs.segment_grid import SegmentGrid, make_segment_grid
from ..graphs.shortest_paths import check_costs
from .matching_kernels import Found, PointAnswers, condense, make_answers, make_found, match_trips, with_room
from .matching_lattice import Lattice, Points, Rules, make_lattice
from .matching_search import Roads, Scratch, make_scratch
from .trace_noise import Noise, estimate_noise, first_guess
from .traces import Traces

PathsBy = Literal["travel_time", "length"]
BLOCK_POINTS = 1 << 14
"""Points that one call of the kernels takes, in whole traces."""
_AHEAD = 3
_SAMPLE = 400
"""Traces that noise is estimated from."""


@dataclass(frozen=True)
class MatchingSettings:
    """How traces are matched; None stands for "estimated from the traces".

    ``ConfigurationError`` for a number out of range.
    """

    sigma_m: float | None = None
    """Standard deviation of a point's error, per axis."""
    beta_m: float | None = None
    """Mean excess of the route between two points over the crow's distance; estimated, it depends on that distance."""
    radius_m: float | None = None
    """Roads within it are candidates; default 4.5 sigma, between 35 and 250 m."""
    max_candidates: int = 20
    """The nearest ones are kept."""
    paths_by: PathsBy = "travel_time"
    """What the path between two candidates is cheapest by, where no costs are given; length where times are unknown."""
    average: bool = True
    """Take means of points that lie close in time, as far as their errors are independent."""
    max_gap_s: float = 360.0
    """A trace is cut between points farther apart in time, or"""
    max_gap_m: float = 6000.0
    max_dropped: int = 3
    """So many points in a row are left out where no route leads to them, before the trace is cut."""
    max_excess: float = 8.0
    """Routes longer than the crow's distance by more than so many times beta + 150 m are not looked for."""
    max_behind: float = 10.0
    """Nor what would end so many nats below the best sequence up to that point."""
    max_ratio: float = 2.5
    """Nor those whose free-flow time is more than so many times the time that passed."""
    min_edges: int = 2
    """Routes of fewer edges are left out: on one edge no choice was made."""
    threads: int = 0
    """0: one per CPU, at most 8. Results do not depend on it."""

    def __post_init__(self) -> None:
        for name in (
            "sigma_m",
            "beta_m",
            "radius_m",
            "max_gap_s",
            "max_gap_m",
            "max_excess",
            "max_behind",
            "max_ratio",
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigurationError(where=f"matching, {name}", problem=f"{value} is not a positive number")
        if not 1 <= self.max_candidates <= 1024:
            raise ConfigurationError(
                where="matching, max_candidates", problem=f"{self.max_candidates} is not between 1 and 1024"
            )
        for name, least in (("max_dropped", 0), ("min_edges", 1)):
            if getattr(self, name) < least:
                raise ConfigurationError(where=f"matching, {name}", problem=f"{getattr(self, name)} is below {least}")
        if self.paths_by not in ("travel_time", "length"):
            raise ConfigurationError(
                where="matching, paths_by", problem=f"{self.paths_by!r} is neither travel_time nor length"
            )


@dataclass(frozen=True, eq=False)
class Matched:
    """Routes of some traces; none, one or several for each, in their order."""

    row: Ids
    """int64[R], the trace that each route is of."""
    first: Ids
    """int64[R+1]: the edges of route r are ``edge[first[r] : first[r+1]]``; `MatchingSettings.min_edges` or more, each
    pair a permitted turn."""
    edge: Ints
    """int32, edge positions."""
    is_sure: Floats
    """float64, beside ``edge``: a lower bound on the probability that the traveller passed it, under the model."""
    confidence: Floats
    """float64[R]: the expected share of the route's length that was travelled, under the model: the mean of
    ``is_sure``, weighted by length."""
    log_probability: Floats
    """float64[R], of the best sequence of places per point, up to a constant of the model."""
    span: Ids
    """int64[R, 2], positions of the first and the last point of each route."""
    fate: Ints
    """int32[P], what became of each point: `FATES`."""
    point_edge: Ints
    """int32[P], the edge that each used point lies on; -1 where none."""
    point_along_m: Floats
    """float64[P], metres from that edge's start; NaN where none."""
    point_distance_m: Floats
    """float64[P], from the point (or the mean it is in) to that place; NaN where none."""
    point_excess_m: Floats
    """float64[P], of the route from the point before over the crow's distance; NaN where none."""
    point_crow_m: Floats
    """float64[P], that distance; NaN where none."""

    def __len__(self) -> int:
        return len(self.row)

    def route(self, row: int) -> Ints:
        """Edge positions of one route."""
        return self.edge[self.first[row] : self.first[row + 1]]


FATES = ("used", "off_road", "unreachable", "alone", "cut", "thinned")
"""Names of `Matched.fate`: on a route; no road within the radius; no route led to it; between two gaps; in a part of
the trace that gave no route; in the mean with another point, or too near the point before."""
THINNED = 5


class TraceMatcher:
    """Matches traces to one network, by several threads.

    Parameters
    ----------
    turn_cost
        float64[T], > 0: paths between candidates are the cheapest by it, instead of ``settings.paths_by``. Costs of a
        model, for instance, that was learned from traces matched before.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    NonPositiveCostError
        A cost is no positive number.

    Notes
    -----
    60 bytes per point of the network's shapes and 50 per edge, once; 44 per edge and thread.
    """

    def __init__(
        self, network: RoadNetwork, settings: MatchingSettings | None = None, *, turn_cost: Floats | None = None
    ) -> None:
        self.settings = settings or MatchingSettings()
        self.network = network
        length = network.attributes.length_m
        self._grid = make_segment_grid(network, None if length is None else length.astype(np.float64))
        self._roads = _roads(network, self._drawn_lengths(), self.settings.paths_by, turn_cost)
        self._threads = worker_threads(self.settings.threads)
        self._workspaces: queue.SimpleQueue[_Workspace] = queue.SimpleQueue()

    def _drawn_lengths(self) -> Floats:
        lengths = np.zeros(self.network.graph.num_edges)
        np.maximum.at(lengths, self._grid.edge, self._grid.along_m)
        return lengths

    def altered(self, settings: MatchingSettings, *, turn_cost: Floats | None = None) -> TraceMatcher:
        """The same roads under other settings and costs; ``paths_by`` and ``threads`` stay as they were.

        Everything large is shared, so that it costs microseconds, and with ``turn_cost`` 8 bytes per turn.
        """
        other = copy.copy(self)
        other.settings = settings
        if turn_cost is not None:
            checked = check_costs(self.network.turns, turn_cost, self.network.graph.edge_id)
            other._roads = self._roads._replace(turn_cost=np.array(checked, np.float64))
        return other

    @property
    def length_m(self) -> Floats:
        """float64[E], what `Matched.point_along_m` is measured against: as drawn, where the network has no lengths."""
        return self._roads.length_m

    @property
    def bounds_deg(self) -> tuple[Floats, Floats]:
        """((latitude, longitude) of the south-west corner, of the north-east corner) of the roads."""
        grid = self._grid
        return (
            np.array([grid.latitude_deg.min(), grid.longitude_deg.min()]),
            np.array([grid.latitude_deg.max(), grid.longitude_deg.max()]),
        )

    def estimate(self, traces: Traces) -> Noise:
        """Noise and scales of some traces: what `match` needs. Up to 400 of them are matched twice for that."""
        rows = np.linspace(0, len(traces) - 1, min(len(traces), _SAMPLE)).astype(np.int64)
        sample = traces.take(np.unique(rows)) if len(traces) else traces
        noise = first_guess(sample, self.settings.sigma_m, self.settings.beta_m)
        for _ in range(2):
            found = self.match(sample, noise)
            noise = estimate_noise(
                noise,
                found.point_distance_m,
                found.point_excess_m,
                found.point_crow_m,
                sigma_m=self.settings.sigma_m,
                beta_m=self.settings.beta_m,
            )
        return noise

    def match(self, traces: Traces, noise: Noise | None = None, *, sigma_m: Floats | None = None) -> Matched:
        """The routes of traces.

        Parameters
        ----------
        traces
            Without NaN in their places, in the order of time: what `trodden.irl.trace_cleaning.clean` leaves.
        noise
            Default: `estimate` of these traces.
        sigma_m
            float64[P], the standard deviation of each point's error, where receivers tell; NaN: that of the noise.

        Notes
        -----
        One bounded search per point. Results do not depend on the number of threads.
        """
        noise = self.estimate(traces) if noise is None else noise
        rules = self._rules(noise)
        sigma = np.full(traces.num_points, noise.sigma_m)
        if sigma_m is not None:
            sigma = np.where(np.isnan(sigma_m), sigma, sigma_m)
        parts = list(self._by_block(traces, noise, rules, sigma))
        return _joined(parts, traces)

    def _rules(self, noise: Noise) -> Rules:
        s = self.settings
        radius = s.radius_m or float(np.clip(4.5 * noise.sigma_m, 35.0, 250.0))
        return Rules(
            radius_m=radius,
            max_candidates=s.max_candidates,
            beta_m=noise.beta_m,
            back_m=noise.back_m,
            max_excess=s.max_excess,
            detour_m=150.0,
            max_ratio=s.max_ratio,
            slack_s=5.0,
            max_gap_s=s.max_gap_s,
            max_gap_m=s.max_gap_m,
            max_dropped=s.max_dropped,
            beam=s.max_behind,
            stub_m=min(noise.point_sigma_m, 20.0),
            min_edges=s.min_edges,
        )

    def _by_block(
        self, traces: Traces, noise: Noise, rules: Rules, sigma_m: Floats
    ) -> Iterator[tuple[Found, PointAnswers, Ids, int]]:
        # Blocks of whole traces, of a fixed size: no result depends on the threads.
        edges = np.searchsorted(traces.first, np.arange(0, traces.num_points + BLOCK_POINTS, BLOCK_POINTS))
        bounds = np.unique(np.append(edges[edges < len(traces)], [0, len(traces)])).tolist()

        def task(block: tuple[int, int]) -> tuple[Found, PointAnswers, Ids, int]:
            return self._match_block(traces, noise, rules, sigma_m, *block)

        blocks = pairwise(bounds)
        if self._threads == 1 or len(bounds) <= 2:
            yield from map(task, blocks)
            return
        with ThreadPoolExecutor(self._threads) as pool:
            ahead = deque(pool.submit(task, block) for block in islice(blocks, _AHEAD * self._threads))
            while ahead:
                answer = ahead.popleft().result()
                ahead.extend(pool.submit(task, block) for block in islice(blocks, 1))
                yield answer

    def _match_block(
        self, traces: Traces, noise: Noise, rules: Rules, sigma_m: Floats, begin: int, end: int
    ) -> tuple[Found, PointAnswers, Ids, int]:
        """(routes, what became of the points kept, where those stand in all traces, first trace)."""
        low, high = int(traces.first[begin]), int(traces.first[end])
        points, first = _points(traces, sigma_m, low, high), traces.first[begin : end + 1] - low
        is_timed = not bool(np.isnan(points.time_s).any())
        is_mean = self.settings.average and is_timed and noise.window_s > 0
        thin, begins, origin, _ = condense(points, first, noise.window_s, noise.white_m, 2.0 * noise.sigma_m, is_mean)
        with self._workspace() as work:
            found, answers = work.match(self._grid, self._roads, thin, begins, rules)
        return found, answers, origin + low, begin

    @contextmanager
    def _workspace(self) -> Iterator[_Workspace]:
        try:
            work = self._workspaces.get_nowait()
        except queue.Empty:
            work = _Workspace(self.network.graph.num_edges)
        try:
            yield work
        finally:
            self._workspaces.put(work)


class _Workspace:
    """What one thread writes; arrays that turn out too small are doubled, and stay so."""

    def __init__(self, num_edges: int) -> None:
        self._num_edges = num_edges
        self._heap, self._rows, self._steps, self._path = 1 << 13, 1 << 11, 1 << 17, 1 << 18
        self._have: tuple[Scratch, Lattice] | None = None

    def match(
        self, grid: SegmentGrid, roads: Roads, points: Points, first: Ids, rules: Rules
    ) -> tuple[Found, PointAnswers]:
        """What `match_trips` finds, with arrays as large as it takes."""
        count, longest = len(points.latitude_deg), int(np.diff(first).max(initial=0))
        answers, found, done = make_answers(count), make_found(count // 2 + 1, 4 * count + 64), 0
        while True:
            scratch, lattice = self._with_room(longest + 1, rules.max_candidates)
            done = match_trips(grid, roads, scratch, lattice, points, first, done, rules, answers, found)
            if done == len(first) - 1:
                return found, answers
            if found.sizes[2]:
                found = with_room(found, 2 * len(found.trip), 2 * len(found.edge))
                found.sizes[2] = 0
                continue
            self._heap, self._rows = 2 * self._heap, 2 * self._rows
            self._steps, self._path, self._have = 2 * self._steps, 2 * self._path, None

    def _with_room(self, layers: int, width: int) -> tuple[Scratch, Lattice]:
        if self._have is None or self._have[1].edge.shape[1] != width:
            scratch = make_scratch(self._num_edges, self._heap, self._rows, width)
        else:
            scratch, lattice = self._have
            if len(lattice.num_places) >= layers:
                return self._have
        self._have = scratch, make_lattice(layers, width, self._steps, self._path)
        return self._have


def _roads(network: RoadNetwork, drawn_m: Floats, paths_by: PathsBy, turn_cost: Floats | None) -> Roads:
    graph, turns, attributes = network.graph, network.turns, network.attributes
    latitude, longitude = graph.require_coordinates("matching traces")
    length = drawn_m if attributes.length_m is None else attributes.length_m.astype(np.float64)
    nothing = np.zeros(graph.num_edges)
    time = nothing if attributes.travel_time_s is None else attributes.travel_time_s.astype(np.float64)
    speed = nothing if attributes.speed_kmh is None else attributes.speed_kmh.astype(np.float64)
    if turn_cost is not None:
        cost = check_costs(turns, turn_cost, graph.edge_id)
    else:
        by_time = paths_by == "travel_time" and attributes.travel_time_s is not None
        # A positive cost for edges without length keeps the order of paths well defined.
        cost = np.maximum(time if by_time else length, 1e-6)[turns.to_edge]
    # Copies, for kernels are compiled anew for arrays that may not be written to, as those of a stored network.
    return Roads(
        np.array(turns.first_out, np.int32),
        np.array(turns.to_edge, np.int32),
        np.array(cost, np.float64),
        length,
        time,
        speed,
        latitude[graph.head],
        longitude[graph.head],
    )


def _points(traces: Traces, sigma_m: Floats, low: int, high: int) -> Points:
    nothing = np.full(high - low, np.nan)
    return Points(
        np.array(traces.latitude_deg[low:high]),
        np.array(traces.longitude_deg[low:high]),
        np.array(traces.time_s[low:high]),
        np.array(sigma_m[low:high]),
        nothing if traces.heading_deg is None else np.array(traces.heading_deg[low:high]),
        nothing if traces.speed_kmh is None else np.array(traces.speed_kmh[low:high]),
    )


def _joined(parts: list[tuple[Found, PointAnswers, Ids, int]], traces: Traces) -> Matched:
    counts, edges, sure, rows, spans, confidences, logs = [], [], [], [], [], [], []
    count = traces.num_points
    fate, point_edge = np.full(count, THINNED, np.int32), np.full(count, -1, np.int32)
    floats = [np.full(count, np.nan) for _ in range(4)]
    for found, answers, origin, begin in parts:
        routes, size = int(found.sizes[0]), int(found.sizes[1])
        counts.append(np.diff(found.first_edge[: routes + 1]))
        edges.append(found.edge[:size])
        sure.append(found.is_sure[:size])
        rows.append(found.trip[:routes].astype(np.int64) + begin)
        spans.append(origin[found.span[:routes]])
        confidences.append(found.confidence[:routes])
        logs.append(found.log_probability[:routes])
        fate[origin], point_edge[origin] = answers.fate, answers.edge
        columns = (answers.along_m, answers.distance_m, answers.excess_m, answers.crow_m)
        for column, values in zip(floats, columns, strict=True):
            column[origin] = values
    return Matched(
        _together(rows, np.int64),
        np.concatenate([[0], np.cumsum(_together(counts, np.int64))]).astype(np.int64),
        _together(edges, np.int32),
        _together(sure, np.float64),
        _together(confidences, np.float64),
        _together(logs, np.float64),
        np.concatenate(spans) if spans else np.zeros((0, 2), np.int64),
        fate,
        point_edge,
        *floats,
    )


def _together(parts: list[Any], dtype: type) -> Any:
    return np.concatenate([*parts, np.zeros(0, dtype)]).astype(dtype)
