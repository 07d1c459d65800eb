"""GPS traces put on the road under a metric: `match_trace`, routes with a leg from point to point.

`trodden.irl.matching` finds the edges. Here they become routes that begin and end part-way along an edge, as those
between coordinates do, so that legs add up; points that noise made the matcher leave out find their place between
their neighbours.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from ..core.types import Floats, Ids, Ints
from ..graphs.geometry import great_circle_m
from ..graphs.hierarchy import StatePath
from ..graphs.road_graph import RoadNetwork
from ..graphs.spatial import Snap
from ..irl.matching import FATES, THINNED, Matched, MatchingSettings, TraceMatcher
from ..irl.trace_cleaning import jumps
from ..irl.trace_noise import Noise
from .given_trace import as_trace, read_points, read_sigma, read_stops
from .line_kernels import travelled_line
from .metrics import NamedCosts
from .part_way import Ends
from .places_on_route import RoutePlace, place_points
from .points import Coordinate, PointLike, Terminal
from .route import Route

PointFate: TypeAlias = str
POINT_FATES = (*FATES, "placed", "jump")
"""What became of a point: the words of `trodden.irl.matching.FATES`; ``placed``: within the noise of the point before,
and put on its route between its neighbours; ``jump``: away from both neighbours faster than anything drives."""
_JUMP = len(FATES) + 1


@dataclass(frozen=True, slots=True)
class MatchedPoint:
    """What became of one point of a trace."""

    fate: PointFate
    """One of `POINT_FATES`."""
    piece: int = -1
    """Position in `MatchedTrace.pieces`; -1 where it is on no route."""
    stop: int = -1
    """Position in `MatchedPiece.stops`; -1 where no leg begins or ends at it."""
    snap: Snap | None = None
    """Where it was put on the road; its distance is from the point as given. None where it is on no route."""
    certainty: float = 0.0
    """A lower bound on the probability, under the model, that the traveller passed that edge."""


@dataclass(frozen=True, eq=False)
class MatchedPiece:
    """A connected part of a trace."""

    route: Route
    """From the first stop to the last, with a leg from each stop to the next."""
    confidence: float
    """The expected share of the route's length that was travelled, under the model; see docs/matching.md."""
    stops: tuple[int, ...]
    """Positions of the points that legs begin and end at, one more than legs."""


@dataclass(frozen=True, eq=False)
class MatchedTrace:
    """A trace on the road: routes of its connected pieces, and what became of each point."""

    pieces: tuple[MatchedPiece, ...]
    """In order of travel; none where nothing could be matched: `fates` says why."""
    points: tuple[MatchedPoint, ...]
    """In the order given."""
    sigma_m: float
    """Standard deviation of a point's error, per axis, as given or estimated."""

    @property
    def fates(self) -> dict[PointFate, int]:
        """Number of points by what became of them, the most frequent first."""
        return dict(Counter(point.fate for point in self.points).most_common())

    def __repr__(self) -> str:
        fates = ", ".join(f"{count} {fate}" for fate, count in self.fates.items())
        return f"<MatchedTrace of {len(self.points)} points ({fates}): {len(self.pieces)} pieces>"


class Matchers:
    """The matcher of one network, made when it is first asked for, under each metric's costs. Safe from any thread."""

    def __init__(self, network: RoadNetwork) -> None:
        self._network = network
        self._lock = threading.Lock()
        self._first: TraceMatcher | None = None
        self._by_metric: dict[str, tuple[int, TraceMatcher]] = {}

    def under(self, costs: NamedCosts) -> TraceMatcher:
        """The matcher whose paths between points are the cheapest under these costs."""
        with self._lock:
            if self._first is None:
                self._first = TraceMatcher(self._network, MatchingSettings(threads=1))
            version, matcher = self._by_metric.get(costs.name, (-1, self._first))
            if version != costs.version:
                matcher = self._first.altered(self._first.settings, turn_cost=costs.turn_cost)
                self._by_metric[costs.name] = costs.version, matcher
            return matcher

    def forget(self, name: str) -> None:
        """The metric is gone."""
        with self._lock:
            self._by_metric.pop(name, None)


@dataclass(frozen=True)
class TraceWishes:
    """How a trace is to be matched; `Router.match` says what each means."""

    sigma_m: float | Sequence[float] | None = None
    max_gap_s: float = 360.0
    thin: bool = False
    stops: Collection[int] | None = None


def match_trace(
    matcher: TraceMatcher,
    costs: NamedCosts,
    points: Iterable[PointLike],
    times: Iterable[float] | None,
    wishes: TraceWishes,
) -> MatchedTrace:
    """See `trodden.routing.router.Router.match`."""
    places = read_points(points)
    trace = as_trace(places, times)
    sigma = read_sigma(wishes.sigma_m, len(places))
    is_stop = read_stops(wishes.stops, len(places))
    is_jump = jumps(trace)
    kept = np.flatnonzero(~is_jump)
    fate = np.full(len(places), _JUMP)
    if len(kept) < 2:
        fate[kept] = FATES.index("alone")
        return MatchedTrace((), tuple(MatchedPoint(POINT_FATES[one]) for one in fate.tolist()), _middle(sigma, 0.0))
    settings, usual = _settings(matcher.settings, wishes, sigma), _middle(sigma, np.nan)
    matcher = matcher.altered(settings)
    noise: Noise = matcher.estimate(trace.keep(~is_jump))
    found = matcher.match(trace.keep(~is_jump), noise, sigma_m=None if sigma is None else sigma[kept])
    fate[kept] = found.fate
    make = _PieceMaker(matcher, costs, places, kept, found, noise.back_m, is_stop, not wishes.thin)
    pieces = [make.piece(row) for row in range(len(found))]
    told = [make.told.get(at) or MatchedPoint(POINT_FATES[one]) for at, one in enumerate(fate.tolist())]
    return MatchedTrace(tuple(pieces), tuple(told), noise.sigma_m if np.isnan(usual) else usual)


def _middle(sigma: Floats | None, default: float) -> float:
    return default if sigma is None else float(np.nanmedian(sigma))


def _settings(settings: MatchingSettings, wishes: TraceWishes, sigma: Floats | None) -> MatchingSettings:
    radius = None if sigma is None else float(np.clip(4.5 * np.nanmax(sigma), 35.0, 250.0))
    return replace(
        settings,
        sigma_m=None if sigma is None else float(np.nanmedian(sigma)),
        radius_m=radius,
        max_gap_s=wishes.max_gap_s,
        average=wishes.thin,
        min_edges=1,
    )


# ------------------------------------------------------------------------------------------------ routes


class _PieceMaker:
    """Makes routes of what the matcher found, and notes what became of their points."""

    def __init__(
        self,
        matcher: TraceMatcher,
        costs: NamedCosts,
        places: Sequence[Coordinate],
        kept: Ids,
        found: Matched,
        back_m: float,
        is_stop: Collection[int] | None,
        with_thinned: bool,
    ) -> None:
        self._matcher, self._network, self._costs = matcher, matcher.network, costs
        self._points, self._kept, self._found, self._back_m = places, kept, found, back_m
        self._is_stop, self._with_thinned = is_stop, with_thinned
        self.told: dict[int, MatchedPoint] = {}

    def piece(self, row: int) -> MatchedPiece:
        """The piece of one route."""
        found = self._found
        edges = found.route(row)
        last = found.span[row + 1, 0] if row + 1 < len(found) else len(found.fate)
        points = range(int(found.span[row, 0]), int(last))
        coordinates = self._coordinates if self._with_thinned else None
        placed = place_points(self._matcher, edges, found, points, self._back_m, coordinates)
        sure = found.is_sure[found.first[row] : found.first[row + 1]]
        ends = {placed[0].point, placed[-1].point}
        stops = [one for one in placed if self._is_stop is None or one.point in ends or self._is_here(one)]
        stop_of = {one.point: number for number, one in enumerate(stops)}
        terminals = {}
        for one in placed:
            snap, at = self._snap(one, int(edges[one.at])), int(self._kept[one.point])
            fate = "placed" if found.fate[one.point] == THINNED else "used"
            self.told[at] = MatchedPoint(fate, row, stop_of.get(one.point, -1), snap, float(sure[one.at]))
            terminals[one.point] = Terminal(self._points[at], (snap.edge,), (snap,))
        turns = self._network.turns
        taken = turns.find(edges[:-1], edges[1:])
        legs = [self._route(edges, taken, one, other, terminals, ()) for one, other in pairwise(stops)]
        whole = self._route(edges, taken, stops[0], stops[-1], terminals, tuple(legs) if len(legs) > 1 else ())
        return MatchedPiece(whole, float(found.confidence[row]), tuple(int(self._kept[one.point]) for one in stops))

    def _is_here(self, one: RoutePlace) -> bool:
        return self._is_stop is not None and int(self._kept[one.point]) in self._is_stop

    def _coordinates(self, point: int) -> Coordinate:
        return self._points[int(self._kept[point])]

    def _snap(self, one: RoutePlace, edge: int) -> Snap:
        given = self._coordinates(one.point)
        line = travelled_line(self._network.lines, np.array([edge], np.int32), one.fraction, one.fraction)
        latitude, longitude = np.array([given.latitude_deg]), np.array([given.longitude_deg])
        [distance] = great_circle_m(latitude, longitude, line[:1, 0], line[:1, 1]).tolist()
        return Snap(edge, distance, one.fraction, float(line[0, 0]), float(line[0, 1]))

    def _route(
        self,
        edges: Ints,
        taken: Ints,
        one: RoutePlace,
        other: RoutePlace,
        terminals: dict[int, Terminal],
        legs: tuple[Route, ...],
    ) -> Route:
        costs, network = self._costs, self._network
        along = costs.along_cost
        first, last = int(edges[one.at]), int(edges[other.at])
        ends = Ends(
            one.fraction,
            other.fraction,
            (1.0 - one.fraction) * float(along[first]),
            (1.0 - other.fraction) * float(along[last]),
        )
        path = StatePath(0, first, taken[one.at : other.at].tolist(), network.turns)
        start, end = terminals[one.point], terminals[other.point]
        name, version = costs.name, costs.version
        return Route(network, path, start, end, name, costs.turn_cost, costs.log_probability, version, ends, legs)
