"""The public query API: routes under learned costs, or under any other positive cost per turn. Imports no JAX."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, time
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..core.errors import ConfigurationError, TroddenError, UnreachableError, WrongNetworkError
from ..core.types import Floats
from ..graphs.hierarchy import Engine, StatePath, build_hierarchy
from ..graphs.road_graph import RoadNetwork
from ..graphs.spatial import DEFAULT_SNAP_LIMIT_M, EdgeIndex, Snap
from ..irl.destinations import Ending
from . import batches
from .context_metrics import context_models, left_over, metric_in_context
from .matrix import Matrix, check_annotations, cost_matrix
from .metric_set import MetricSet
from .metrics import Horizon, NamedCosts, PlainCosts, RoutingModel
from .part_way import Ends
from .points import Locator, PointLike, Role, Terminal, place_of
from .route import Route
from .trips import DeadEnd, Leg, find_trip
from .unreachable import explain_unreachable
from .wishes import RequestCosts, closed_edges

if TYPE_CHECKING:
    from ..graphs.corridor_search import SearchGraph
    from ..irl.insight.explanation import Explanation
    from .alternatives import Alternatives
    from .explaining import Explainer
    from .reachable import By, Reachable
    from .trace_matching import MatchedTrace, Matchers

_NOTHING: Mapping[str, float] = MappingProxyType({})


class Router:
    """Answers route queries under one or more sets of costs on one network.

    Building costs seconds on a city (the hierarchy is made once), every further metric about 0.2 s, a query about
    0.1 ms. Queries may come from any number of threads, also while `add_metric` replaces a metric: each is answered
    under one set of costs, whose name and version it carries.

    Parameters
    ----------
    model
        A `LearnedModel`, or anything with the attributes of `RoutingModel`.
    engine
        ``"cch"``, ``"scipy"``, or ``"auto"``: the CCH where it is installed.
    snap_limit_m
        A coordinate farther from the main network is refused.
    metric
        Name of the model's costs.

    Raises
    ------
    NonPositiveCostError
        A cost is NaN, infinite, zero or negative.
    EmptyNetworkError
        There is no edge.

    Examples
    --------
    >>> from trodden.graphs.costs import fastest_costs
    >>> router = Router.from_costs(network, *fastest_costs(network))  # doctest: +SKIP
    >>> router.route((41.1496, -8.6110), "edge:17").length_m  # doctest: +SKIP
    """

    def __init__(
        self,
        model: RoutingModel,
        *,
        engine: Engine = "auto",
        snap_limit_m: float = DEFAULT_SNAP_LIMIT_M,
        metric: str = "learned",
    ) -> None:
        self.network = model.network
        self._hierarchy = build_hierarchy(model.network.turns, model.network.graph.edge_midpoints(), engine=engine)
        self._hierarchy.reserve()
        self._locator = Locator(model.network, self._edge_index, snap_limit_m)
        self._lock = threading.Lock()
        self._index: EdgeIndex | None = None
        self._metrics = MetricSet(metric)
        self._requests = RequestCosts()
        self._explainer: Explainer | None = None
        self._matchers: Matchers | None = None
        self._put_model(metric, model)

    @classmethod
    def from_costs(
        cls,
        network: RoadNetwork,
        turn_cost: Floats,
        entry_cost: Floats,
        *,
        ending: Ending = "arrival",
        engine: Engine = "auto",
        snap_limit_m: float = DEFAULT_SNAP_LIMIT_M,
        metric: str = "plain",
    ) -> Router:
        """A router for costs that nobody learned; see `trodden.graphs.costs` for the fastest and the shortest."""
        model = PlainCosts(network, turn_cost, entry_cost, ending)
        return cls(model, engine=engine, snap_limit_m=snap_limit_m, metric=metric)

    @property
    def engine(self) -> str:
        """``"cch"`` or ``"scipy"``: what answers."""
        return self._hierarchy.engine

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the costs it can route by."""
        return self._metrics.names

    def version(self, name: str | None = None) -> int:
        """The version of a metric, of the default one where left out; `UnknownIdError` where there is none."""
        return self._metrics.get(name).version

    def add_metric(self, name: str, turn_cost: Floats, entry_cost: Floats, *, ending: Ending | None = None) -> int:
        """Add costs, or replace those of that name; queries under way finish under the old ones.

        Returns
        -------
        int
            The version that answers under these costs carry.

        Raises
        ------
        NonPositiveCostError
            A cost is NaN, infinite, zero or negative.
        CostRangeError
            Costs of so different sizes that integers cannot hold them.

        Notes
        -----
        About 0.2 s on Porto: the hierarchy stays, only its numbers are new. Queries of other threads go on meanwhile.
        """
        return self._put(self._named(name, turn_cost, entry_cost, ending or self._metrics.get(None).ending, "infinity"))

    def add_model(self, name: str, model: RoutingModel) -> int:
        """Add the costs of another model of the same network, or replace those of that name; the new version.

        Raises
        ------
        WrongNetworkError
            The model was learned on another network.
        NonPositiveCostError, CostRangeError
            As for `add_metric`.
        """
        if model.network.checksum != self.network.checksum:
            raise WrongNetworkError(
                what=f"the model for metric {name!r}", expected=model.network.checksum, found=self.network.checksum
            )
        return self._put_model(name, model)

    def remove_metric(self, name: str) -> None:
        """Route by these costs no more; queries under way finish.

        Raises
        ------
        UnknownIdError
            There are none of that name.
        ConfigurationError
            They are those that the router was made with.
        """
        self._metrics.remove(name)
        self._requests.forget(name)
        if self._matchers is not None:
            self._matchers.forget(name)

    def route(
        self,
        origin: PointLike,
        destination: PointLike,
        *,
        via: Iterable[PointLike] = (),
        metric: str | None = None,
        avoid: Mapping[str, float] | None = None,
        closed: Iterable[int] = (),
        departure: str | datetime | time | None = None,
        group: str | None = None,
        index: int | None = None,
    ) -> Route:
        """The cheapest route between two points.

        A trip from a node may start on any edge out of it, one from a coordinate on the nearest edge or on the
        opposite direction of the same road, part-way along it; what starting on an edge of a node costs
        (``entry_cost``) is weighed when first edges are compared, and is no part of the route's cost.

        Parameters
        ----------
        origin, destination
            ``(lat, lon)``, ``"lat,lon"``, ``"edge:ID"``, ``"node:ID"``, ``"osm:NODE"``, or an `EdgeId`, `NodeId` or
            `Coordinate`.
        via
            Points to pass in this order. The trip goes on in the direction in which it came, and turns round only
            where a turn is permitted. All legs are weighed together; `Route.legs` are the pieces.
        metric
            Name of the costs; those the router was made with where left out.
        avoid
            Factors > 0 on the costs of some roads, for this request: ``{"toll": 5.0, "motorway": 2.0}``; see
            `trodden.routing.wishes.cost_factors` for the names. `Route.cost` is then the multiplied one. New factors
            cost what a metric does; the same ones again nothing.
        closed
            Source ids of edges that may not be used, for this request.
        departure, group
            Of the trip, where the model has contexts: `metric_at` says which costs that means.
        index
            Row of a batch, to be named in errors.

        Raises
        ------
        PointFormatError, UnknownIdError, OffMapError, InvalidValueError, MissingDataError
            A point is not understood or not on this network; there is no such metric, attribute or closed edge.
        ConfigurationError
            A factor that is not a positive number.
        UnreachableError
            No route: names the cause and the nearest point that works.
        """
        if departure is not None or group is not None:
            metric = self.metric_at(departure, group, metric=metric)
        return self._find(origin, destination, via, self._costs(metric, avoid, closed), index)

    def routes(
        self,
        pairs: Iterable[tuple[PointLike, PointLike]],
        *,
        threads: int | None = None,
        metric: str | None = None,
        avoid: Mapping[str, float] | None = None,
        closed: Iterable[int] = (),
    ) -> list[Route | TroddenError]:
        """Many routes; a row that fails holds its error, which names the row, and the others are answered.

        Parameters
        ----------
        pairs
            (origin, destination) each, or an array float64[R, 2, 2] or float64[R, 4] of latitudes and longitudes.
        threads
            So many work; one where left out for a few rows, else one per processor, at most 8.
        metric, avoid, closed
            As for `route`, for all rows.

        Raises
        ------
        UnknownIdError, ConfigurationError
            There is no such metric, attribute or closed edge: no row could be answered.
        """
        costs = self._costs(metric, avoid, closed)
        rows = batches.as_pairs(pairs)
        if len(rows) > batches.ROWS_PER_THREAD:
            costs.own_metric()
        return batches.answer(rows, lambda row, a, b: self._find(a, b, (), costs, row), threads)

    def matrix(
        self,
        origins: Sequence[PointLike],
        destinations: Sequence[PointLike] | None = None,
        *,
        metric: str | None = None,
        annotations: Sequence[str] = (),
        avoid: Mapping[str, float] | None = None,
        closed: Iterable[int] = (),
        threads: int | None = None,
    ) -> Matrix:
        """Costs of the cheapest routes from every origin to every destination.

        Parameters
        ----------
        origins, destinations
            Points as for `route`; destinations are the origins where left out.
        annotations
            ``"travel_time_s"``, ``"length_m"``: these too, by a query for each pair or, where one side has many
            points, a search over the map for each point of the other side.
        metric, avoid, closed, threads
            As for `routes`.

        Raises
        ------
        PointFormatError, UnknownIdError, OffMapError, InvalidValueError, MissingDataError
            A point is not understood or not on this network; the message names its row.
        ConfigurationError
            A factor that is not a positive number, or an unknown annotation.

        Notes
        -----
        One sweep over the hierarchy per origin or destination, whichever are fewer: 1,000 x 1,000 on Porto in seconds.
        """
        wanted, costs = check_annotations(annotations), self._costs(metric, avoid, closed)
        starts = [self._locate(point, "origin", costs, row) for row, point in enumerate(origins)]
        there = origins if destinations is None else destinations
        ends = [self._locate(point, "destination", costs, row) for row, point in enumerate(there)]
        cost = cost_matrix(costs, starts, ends, threads=threads or 0)
        found = {}
        if wanted:
            from .annotated_tables import AnnotatedTable

            def ask(start: Terminal, end: Terminal) -> Route:
                return self._trip((start, end), costs, None)

            table = AnnotatedTable(costs, lambda: self._search_graph, ask, starts, ends, cost)
            found = table.annotate(wanted, threads)
        return Matrix(cost, costs.name, costs.version, found.get("travel_time_s"), found.get("length_m"))

    def nearest(self, point: PointLike, number: int = 1) -> tuple[Snap, ...]:
        """The nearest edges to a point, nearest first, at most ``number``; see `trodden.graphs.spatial.Snap`.

        Parameters
        ----------
        point
            A coordinate, or a node, whose place it is.
        number
            At least 1. Both directions of a road are two edges.

        Raises
        ------
        PointFormatError, UnknownIdError, InvalidValueError, MissingDataError
            A point that is not understood, not on this network, or has no place.
        OffMapError
            No edge of the main network within the snapping limit.
        """
        place = place_of(point, self.network)
        return self._edge_index().nearest_edges(*place, max(1, number), self._locator.snap_limit_m)

    def metric_at(
        self, departure: str | datetime | time | None = None, group: str | None = None, *, metric: str | None = None
    ) -> str:
        """The name of the costs of the context that a trip belongs to, for any method that takes a metric.

        Parameters
        ----------
        departure
            ``"08:30"``, ``"2024-05-03T08:30"``, or a time: on the wall clock, or with an offset and a date.
        group
            The traveller's.
        metric
            Name of the model's costs; those the router was made with where left out.

        Raises
        ------
        ConfigurationError
            The model has no contexts, or others than these say; a departure that is no time or in no period.
        UnknownIdError
            A group that no route was seen of, or no such metric; lists those there are.
        """
        return metric_in_context(self._metrics.get(metric), self._metrics.default, departure, group)

    def match(
        self,
        points: Iterable[PointLike],
        times: Iterable[float] | None = None,
        *,
        sigma_m: float | Sequence[float] | None = None,
        metric: str | None = None,
        max_gap_s: float = 360.0,
        thin: bool = False,
        stops: Collection[int] | None = None,
    ) -> MatchedTrace:
        """A GPS trace put on the road: a route for each connected piece of it, and what became of each point.

        Parameters
        ----------
        points
            Coordinates in the order of travel, two or more; an array float64[P, 2] of (latitude, longitude) too.
        times
            Seconds since any moment, never falling; where left out, the time that passed rules nothing out.
        sigma_m
            Standard deviation of a point's error per axis, for all or for each (NaN: not known); estimated from the
            trace where left out. Below 1 m counts as 1 m.
        metric
            Name of the costs that the routes are given under, and that paths between two points are cheapest by.
        max_gap_s
            The trace is cut between points farther apart in time.
        thin
            Points so near to the one before that noise is larger than the way between them are left out. Otherwise
            each is put on the route between its neighbours.
        stops
            Positions of the points that legs begin and end at, beside the ends of pieces; all placed ones where left
            out.

        Raises
        ------
        PointFormatError, InvalidValueError, ConfigurationError
            A point, time or number that cannot be used; names the point. One point.
        MissingDataError
            The network has no coordinates.

        Notes
        -----
        docs/matching.md says how. Some milliseconds for a hundred points; the first call makes the matcher, 110
        bytes per edge or point of a shape, and compiles it where nobody has.
        """
        from .trace_matching import TraceWishes, match_trace

        costs = self._costs(metric)
        wishes = TraceWishes(sigma_m, max_gap_s, thin, stops)
        return match_trace(self._matchers_made().under(costs), costs, points, times, wishes)

    def log_probability(self, route: Route, *, metric: str | None = None) -> float:
        """Log-probability of any route on this network under a metric: see `Route.log_probability`.

        Raises
        ------
        WrongNetworkError
            The route runs on another network.
        InfeasibleRewardError, ConfigurationError
            As for `Route.log_probability`.
        """
        if route.network.checksum != self.network.checksum:
            raise WrongNetworkError(what="the route", expected=route.network.checksum, found=self.network.checksum)
        return self._costs(metric).log_probability(route)

    def alternatives(
        self,
        origin: PointLike,
        destination: PointLike,
        k: int = 3,
        *,
        metric: str | None = None,
        avoid: Mapping[str, float] | None = None,
        closed: Iterable[int] = (),
        max_shared: float = 0.8,
        max_dearer: float = 0.5,
        num_drawn: int = 1000,
        seed: int = 0,
    ) -> Alternatives:
        """The cheapest route and up to ``k - 1`` that differ from it and from each other, with their probabilities.

        Parameters
        ----------
        origin, destination, metric, avoid, closed
            As for `route`. Probabilities are those of travellers who see these costs.
        max_shared
            Largest part of its length that an alternative may share with one before it. 1 leaves out equal routes
            alone: then these are the k most probable routes, exactly.
        max_dearer
            By which part an alternative may cost more than the cheapest route, first edges counted.
        num_drawn, seed
            Routes drawn from the policy, for `Alternative.share` and as candidates; the same seed, the same answer.

        Returns
        -------
        Alternatives
            A sequence of `Alternative`, the cheapest first; fewer than ``k`` where there are no more of that kind.
            Without probabilities where there are none (``note`` says why).

        Raises
        ------
        ConfigurationError
            A number out of its range.
        TroddenError
            As for `route`.

        Notes
        -----
        About 0.1 s on Porto; the first call under a metric factorises the map (0.2 s) and compiles the searches.
        """
        from .alternatives import Wishes, find_alternatives

        wishes = Wishes(k, max_shared, max_dearer, num_drawn, seed)
        costs = self._costs(metric, avoid, closed)
        best = self._find(origin, destination, (), costs, None)

        def make(path: StatePath) -> Route:
            return self._route(path, best.origin, best.destination, costs)

        return find_alternatives(best, costs, self._search_graph, make, wishes)

    def explain(
        self, route: Route | PointLike, destination: PointLike | None = None, *, metric: str | None = None
    ) -> Explanation:
        """What a route's cost is made of, feature by feature, beside the fastest route between its ends.

        Parameters
        ----------
        route
            A route of this router, or the origin of a trip whose cheapest route is explained.
        destination
            With an origin.
        metric
            Name of the costs to explain by; left out, those the route was asked for under, if a model gave them.

        Returns
        -------
        Explanation
            Print it, or see its ``routes``: their ``terms`` add up to the route's cost, to 1e-9 of its size.

        Raises
        ------
        ConfigurationError
            The costs are not those of a learned model, or the route has no turn.
        TroddenError
            As for `route`.

        Notes
        -----
        O(turns x features); the probabilities cost a factorisation of the network (0.2 s on Porto).
        """
        from .explaining import Explainer

        if isinstance(route, Route) == (destination is not None):
            raise ConfigurationError(where="explain", problem="give a route, or an origin and a destination")
        name = metric
        if not isinstance(route, Route) and destination is not None:
            route = self._find(route, destination, (), self._costs(metric), None)
        elif name is None and isinstance(route, Route) and route.metric in self.metrics:
            name = route.metric if self._metrics.get(route.metric).model is not None else None
        assert isinstance(route, Route)  # one of the two above
        costs = self._costs(name)
        if self._explainer is None:
            self._explainer = Explainer(self._hierarchy)
        return self._explainer.explain(costs.model, costs, route.edges)

    def reachable(
        self,
        origin: PointLike,
        limit: float | Sequence[float],
        *,
        by: By = "travel_time_s",
        metric: str | None = None,
    ) -> Reachable:
        """What is reached from a point within a limit, or within each of several: isochrones.

        Parameters
        ----------
        origin
            A coordinate starts part-way along its road, in either direction it may be driven.
        limit
            Seconds, metres or cost, > 0; several are answered by one search.
        by
            ``"travel_time_s"`` (free flow), ``"length_m"``, or ``"cost"``: that of a metric.
        metric
            Name of the costs, with ``by="cost"``.

        Returns
        -------
        Reachable
            Edges with the share of each that is reached, and a polygon, per limit; `Reachable.to_geojson` for a map.

        Raises
        ------
        ConfigurationError
            A limit that is not a positive number, or an unknown ``by``.
        MissingDataError
            The network lacks travel times or lengths, or, for polygons, coordinates.
        TroddenError
            As for `route`.
        """
        from .reachable import find_reachable

        start = self._locator.locate(origin, "origin")
        return find_reachable(self.network, self._search_graph, start, limit, by, self._costs(metric))

    @cached_property
    def _search_graph(self) -> SearchGraph:
        from ..graphs.corridor_search import make_search_graph

        return make_search_graph(self.network.turns)

    def _find(
        self, origin: PointLike, destination: PointLike, via: Iterable[PointLike], costs: NamedCosts, index: int | None
    ) -> Route:
        start = self._locate(origin, "origin", costs, index)
        between = [self._locate(point, "via", costs, index) for point in via]
        end = self._locate(destination, "destination", costs, index)
        return self._trip((start, *between, end), costs, index)

    def _trip(self, stops: Sequence[Terminal], costs: NamedCosts, index: int | None) -> Route:
        found = find_trip(costs, stops)
        if isinstance(found, DeadEnd):
            raise self._unreachable(stops, found, costs, index)
        if len(found) == 1:
            return self._route(found[0].path, stops[0], stops[1], costs, found[0].ends)
        legs = [
            self._route(leg.path, here, there, costs, leg.ends)
            for leg, here, there in zip(found, stops, stops[1:], strict=False)
        ]
        whole = _joined(found)
        return self._route(whole.path, stops[0], stops[-1], costs, whole.ends, tuple(legs))

    def _unreachable(
        self, stops: Sequence[Terminal], dead: DeadEnd, costs: NamedCosts, index: int | None
    ) -> UnreachableError:
        origin, destination = stops[dead.leg], stops[dead.leg + 1]
        if origin.edges:
            origin = origin.without(frozenset(origin.edges) - frozenset(dead.edges))
        return explain_unreachable(costs.open_network(), origin, destination, index=index, whole=self.network)

    def _locate(self, point: PointLike, role: Role, costs: NamedCosts, index: int | None) -> Terminal:
        terminal = self._locator.locate(point, role, index=index)
        return terminal.without(costs.closed) if costs.closed else terminal

    def _route(
        self,
        path: StatePath,
        start: Terminal,
        end: Terminal,
        costs: NamedCosts,
        ends: Ends | None = None,
        legs: tuple[Route, ...] = (),
    ) -> Route:
        if ends is None:
            ends = costs.ends_of(path, start, end)
        name, version = costs.name, costs.version
        return Route(self.network, path, start, end, name, costs.turn_cost, costs.log_probability, version, ends, legs)

    def _put_model(self, name: str, model: RoutingModel) -> int:
        def made(name: str, model: RoutingModel) -> NamedCosts:
            costs = self._named(name, model.turn_cost, model.entry_cost, model.ending, model.horizon)
            costs.model = model
            return costs

        every = [made(name, model)]
        every += [made(own, one) for own, one in context_models(name, model, self._metrics.default).items()]
        for gone in left_over(self._metrics, name, {one.name for one in every}):
            self.remove_metric(gone)
        versions = [self._put(costs) for costs in every]
        return versions[0]

    def _put(self, costs: NamedCosts) -> int:
        version = self._metrics.put(costs)
        self._requests.forget(costs.name)
        return version

    def _named(self, name: str, turn_cost: Floats, entry_cost: Floats, ending: Ending, horizon: Horizon) -> NamedCosts:
        return NamedCosts(name, self.network, self._hierarchy, turn_cost, entry_cost, ending, horizon)

    def _costs(
        self, name: str | None, avoid: Mapping[str, float] | None = None, closed: Iterable[int] = ()
    ) -> NamedCosts:
        costs = self._metrics.get(name)
        if not avoid and closed == ():
            return costs
        return self._requests.costs(costs, avoid or _NOTHING, closed_edges(self.network, closed))

    def _matchers_made(self) -> Matchers:
        from .trace_matching import Matchers

        with self._lock:
            if self._matchers is None:
                self._matchers = Matchers(self.network)
            return self._matchers

    def _edge_index(self) -> EdgeIndex:
        # Only coordinate queries pay for the index, and only one thread builds it.
        with self._lock:
            if self._index is None:
                self._index = EdgeIndex(self.network)
            return self._index


def _joined(legs: Sequence[Leg]) -> Leg:
    """Legs as one: each begins on the edge on which the one before it ends."""
    moving = [leg for leg in legs if leg.path.first >= 0]
    if not moving:
        return legs[0]
    first, last = moving[0], moving[-1]
    taken = [turn for leg in moving for turn in leg.path.taken]
    cost = sum(leg.path.cost for leg in moving)
    ends = Ends(first.ends.start_fraction, last.ends.end_fraction, first.ends.paid, last.ends.let_off)
    return Leg(StatePath(cost, first.path.first, taken, first.path.graph), ends)
