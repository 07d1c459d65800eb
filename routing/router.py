"""The public query API: routes under learned costs, or under any other positive cost per turn. Imports no JAX."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ..core.errors import ConfigurationError, TroddenError, UnknownIdError
from ..core.types import Floats
from ..graphs.hierarchy import Engine, StatePath, build_hierarchy
from ..graphs.road_graph import RoadNetwork
from ..graphs.spatial import DEFAULT_SNAP_LIMIT_M, EdgeIndex
from ..irl.destinations import Ending
from .metrics import Horizon, NamedCosts, PlainCosts, RoutingModel
from .points import Locator, PointLike, Terminal
from .route import Route
from .unreachable import explain_unreachable

if TYPE_CHECKING:
    from ..graphs.corridor_search import SearchGraph
    from ..irl.insight.explanation import Explanation
    from .alternatives import Alternatives
    from .explaining import Explainer
    from .reachable import By, Reachable


class Router:
    """Answers route queries under one or more sets of costs on one network.

    Building costs seconds on a city (the hierarchy is made once), every further metric about 0.1 s, a query about
    0.1 ms. Queries may come from any number of threads, also while `add_metric` replaces a metric: each is answered
    under one set of costs.

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
        self._locator = Locator(model.network, self._edge_index, snap_limit_m)
        self._lock = threading.Lock()
        self._index: EdgeIndex | None = None
        self._default = metric
        self._explainer: Explainer | None = None
        self._models: dict[str, RoutingModel] = {metric: model}
        self._metrics: dict[str, NamedCosts] = {}
        self._put(metric, model.turn_cost, model.entry_cost, model.ending, model.horizon)

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
        return tuple(self._metrics)

    def add_metric(self, name: str, turn_cost: Floats, entry_cost: Floats, *, ending: Ending | None = None) -> None:
        """Add costs, or replace those of that name; queries under way finish under the old ones.

        Raises
        ------
        NonPositiveCostError
            A cost is NaN, infinite, zero or negative.

        Notes
        -----
        About 0.1 s on Porto: the hierarchy stays, only its numbers are new.
        """
        self._put(name, turn_cost, entry_cost, ending or self._metrics[self._default].ending, "infinity")

    def route(
        self, origin: PointLike, destination: PointLike, *, metric: str | None = None, index: int | None = None
    ) -> Route:
        """The cheapest route between two points.

        A trip from a node may start on any edge out of it, one from a coordinate on the nearest edge or on the
        opposite direction of the same road; what starting there costs (``entry_cost``) is weighed when first edges
        are compared, and is no part of the route's cost. Edges are whole.

        Parameters
        ----------
        origin, destination
            ``(lat, lon)``, ``"lat,lon"``, ``"edge:ID"``, ``"node:ID"``, ``"osm:NODE"``, or an `EdgeId`, `NodeId` or
            `Coordinate`.
        metric
            Name of the costs; those the router was made with where left out.
        index
            Row of a batch, to be named in errors.

        Raises
        ------
        PointFormatError, UnknownIdError, OffMapError, InvalidValueError, MissingDataError
            A point is not understood or not on this network.
        UnreachableError
            No route: names the cause and the nearest point that works.
        """
        return self._best(origin, destination, self._costs(metric), index)

    def _best(self, origin: PointLike, destination: PointLike, costs: NamedCosts, index: int | None) -> Route:
        start = self._locator.locate(origin, "origin", index=index)
        end = self._locator.locate(destination, "destination", index=index)
        if start.node >= 0 and start.node == end.node:
            return self._route(StatePath(-1, -1, (), self.network.turns), start, end, costs)
        if start.edges and end.edges:
            sources, targets, behind = _without_going_back(start, end)
            if behind:
                path = costs.path_around(sources, targets, behind)
            else:
                path = costs.metric.path(costs.sources(sources), [(edge, 0) for edge in targets])
            if path.is_reachable:
                return self._route(path, start, end, costs)
        raise explain_unreachable(self.network, start, end, index=index)

    def routes(
        self, pairs: Iterable[tuple[PointLike, PointLike]], *, metric: str | None = None
    ) -> list[Route | TroddenError]:
        """Many routes; a row that fails holds its error, which names the row, and the others are answered."""
        answers: list[Route | TroddenError] = []
        for row, (origin, destination) in enumerate(pairs):
            try:
                answers.append(self.route(origin, destination, metric=metric, index=row))
            except TroddenError as error:
                if row not in (getattr(error, "index", None), getattr(error, "row", None)):
                    error.add_note(f"in row {row} of a batch of routes")
                answers.append(error)
        return answers

    def alternatives(
        self,
        origin: PointLike,
        destination: PointLike,
        k: int = 3,
        *,
        metric: str | None = None,
        max_shared: float = 0.8,
        max_dearer: float = 0.5,
        num_drawn: int = 1000,
        seed: int = 0,
    ) -> Alternatives:
        """The cheapest route and up to ``k - 1`` that differ from it and from each other, with their probabilities.

        Parameters
        ----------
        origin, destination, metric
            As for `route`.
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
        costs = self._costs(metric)
        best = self._best(origin, destination, costs, None)
        ends = _without_going_back(best.origin, best.destination) if len(best.edges) else ((), (), frozenset())

        def make(path: StatePath) -> Route:
            return self._route(path, best.origin, best.destination, costs)

        return find_alternatives(best, ends, costs, self._search_graph, make, wishes)

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
            route = self._best(route, destination, self._costs(metric), None)
        elif name is None and isinstance(route, Route) and route.metric in self._models:
            name = route.metric
        assert isinstance(route, Route)  # one of the two above
        costs = self._costs(name)
        if self._explainer is None:
            self._explainer = Explainer(self._hierarchy)
        return self._explainer.explain(self._models.get(costs.name), costs, route.edges)

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

    def _route(self, path: StatePath, start: Terminal, end: Terminal, costs: NamedCosts) -> Route:
        return Route(self.network, path, start, end, costs.name, costs.turn_cost, costs.log_probability)

    def _put(self, name: str, turn_cost: Floats, entry_cost: Floats, ending: Ending, horizon: Horizon) -> None:
        self._metrics[name] = NamedCosts(name, self.network, self._hierarchy, turn_cost, entry_cost, ending, horizon)

    def _costs(self, name: str | None) -> NamedCosts:
        wanted = self._default if name is None else name
        try:
            return self._metrics[wanted]
        except KeyError:
            known = ", ".join(self._metrics)
            raise UnknownIdError(kind="metric", identifier=wanted, remedy=f"there are: {known}") from None

    def _edge_index(self) -> EdgeIndex:
        # Only coordinate queries pay for the index, and only one thread builds it.
        with self._lock:
            if self._index is None:
                self._index = EdgeIndex(self.network)
            return self._index


def _without_going_back(start: Terminal, end: Terminal) -> tuple[tuple[int, ...], tuple[int, ...], frozenset[int]]:
    """(first edges, last edges, first edges that must be left and come back to).

    Edges are whole, so two coordinates on one road need care: a direction that leads to the second point is taken
    alone; where there is none (a one-way road, the second point behind the first) the trip has to go around.
    """
    pairs = [(a, b) for a in start.snaps for b in end.snaps if a.edge == b.edge]
    ahead = tuple(a.edge for a, b in pairs if a.fraction <= b.fraction)
    if ahead:
        return ahead[:1], ahead[:1], frozenset()
    return start.edges, end.edges, frozenset(a.edge for a, _ in pairs)
