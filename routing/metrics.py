"""Sets of costs a router can route by: what a model must offer, and `NamedCosts`, customised on one hierarchy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np

from ..core.config import PlannerConfig
from ..core.errors import ConfigurationError, InfeasibleRewardError, UnderflowError
from ..core.types import Floats
from ..graphs.costs import along_costs
from ..graphs.edge_costs import quantise
from ..graphs.hierarchy import Hierarchy, Metric, Scratch, Start, StatePath
from ..graphs.road_graph import RoadNetwork
from ..graphs.shortest_paths import check_costs
from ..irl.destinations import Ending, destination_key, make_destinations
from ..irl.factorization import Factorization
from .part_way import WHOLE, Ends, Place
from .points import Terminal
from .route import Route

Horizon: TypeAlias = int | Literal["infinity"]


class RoutingModel(Protocol):
    """What a router reads of a model; `trodden.irl.model.LearnedModel` is one."""

    @property
    def network(self) -> RoadNetwork:
        """The network the costs belong to."""
        ...

    @property
    def turn_cost(self) -> Floats:
        """float64[T], > 0."""
        ...

    @property
    def entry_cost(self) -> Floats:
        """float64[E], > 0: what starting on an edge costs; compares the first edges of a trip from a node."""
        ...

    @property
    def ending(self) -> Ending:
        """How routes end, for their probabilities."""
        ...

    @property
    def horizon(self) -> Horizon:
        """Soft steps of the policy that the costs were learned for; probabilities are answered for infinity."""
        ...

    # A `LearnedModel` may also have ``contexts``: see `trodden.routing.context_metrics`.


@dataclass(frozen=True, eq=False)
class PlainCosts:
    """Costs that nobody learned, in the shape of a model: the fastest or the shortest route, say."""

    network: RoadNetwork
    turn_cost: Floats
    entry_cost: Floats
    ending: Ending = "arrival"
    horizon: Horizon = "infinity"


class NamedCosts:
    """One set of costs, customised; replaced as a whole."""

    is_bounded: bool = True
    """What the hierarchy does not find does not exist; otherwise it may be too long for its integers."""
    closed: frozenset[int] = frozenset()
    """Positions of edges that may not be used."""

    def __init__(
        self,
        name: str,
        network: RoadNetwork,
        hierarchy: Hierarchy,
        turn_cost: Floats,
        entry_cost: Floats,
        ending: Ending,
        horizon: Horizon,
    ) -> None:
        self.name, self.ending, self.horizon = name, ending, horizon
        self.version = 0
        """Set by the router before anybody may ask; 0 before."""
        self.model: RoutingModel | None = None
        """What the costs come from, where they are a model's; set like the version."""
        self.network, self.hierarchy = network, hierarchy
        self.turn_cost = np.asarray(turn_cost, np.float64)
        self.entry_cost = _checked_entry(network, entry_cost)
        check_costs(network.turns, self.turn_cost, network.graph.edge_id)
        self.along_cost = along_costs(network.turns, self.turn_cost, self.entry_cost)
        initial = max(float(np.ptp(self.entry_cost)), 2.0 * float(self.along_cost.max()))
        self._costs = quantise(network.turns, self.turn_cost, initial_cost=initial, edge_id=network.graph.edge_id)
        self.metric: Metric = hierarchy.customise(self._costs)
        self.scratch: Scratch = hierarchy.scratch(self.metric)
        self._lock = threading.Lock()
        self._factors: Factorization | None = None

    def starts(self, terminal: Terminal) -> list[Place]:
        """Where a trip from there may start."""
        if terminal.snaps:
            along = self.along_cost
            shares = [(snap, (1.0 - snap.fraction) * float(along[snap.edge])) for snap in terminal.snaps]
            return [Place(snap.edge, snap.fraction, share, share) for snap, share in shares]
        if terminal.node >= 0:
            return [Place(edge, 0.0, 0.0, float(self.entry_cost[edge])) for edge in terminal.edges]
        return [Place(edge, 0.0, 0.0) for edge in terminal.edges]

    def ends(self, terminal: Terminal) -> list[Place]:
        """Where a trip to there may end, and the next leg of a trip by way of it starts."""
        if terminal.snaps:
            along = self.along_cost
            return [
                Place(snap.edge, snap.fraction, (1.0 - snap.fraction) * float(along[snap.edge]))
                for snap in terminal.snaps
            ]
        return [Place(edge, 1.0, 0.0) for edge in terminal.edges]

    def ends_of(self, path: StatePath, start: Terminal, end: Terminal) -> Ends:
        """Where a path between two points begins and ends on its first and last edge."""
        if path.first < 0:
            return WHOLE
        a = next(place for place in self.starts(start) if place.edge == path.first)
        b = next(place for place in self.ends(end) if place.edge == path.states[-1])
        return Ends(a.fraction, b.fraction, a.share_cost, b.share_cost)

    def cheapest(self, starts: Sequence[Place], ends: Sequence[Place]) -> StatePath:
        """The cheapest path from any start to any end that does not go backwards along an edge.

        A start that lies behind an end on the same edge has to leave the edge and come back: it is replaced by the
        edges that follow, at the cost of the turns onto them, and put back in front of the path found.
        """
        if not (starts and ends):
            return self._nowhere
        if len(starts) == len(ends) == 1:  # without what the choice between several costs
            (start,), (end,) = starts, ends
            if start.edge != end.edge or start.fraction <= end.fraction:
                return self._search([(start.edge, 0)], [(end.edge, 0)])
        largest = max(end.share_cost for end in ends)
        targets = [(end.edge, self._costs.to_quanta(largest - end.share_cost)) for end in ends]
        behind = {a.edge for a in starts for b in ends if a.edge == b.edge and a.fraction > b.fraction}
        if len(starts) == 1 and not behind:
            return self._search([(starts[0].edge, 0)], targets)
        least = min(start.initial for start in starts)
        sources: dict[int, tuple[int, int]] = {}
        """Of each edge: the cheapest way to start on it, in quanta, and the turn that leads there, or -1."""
        for start in starts:
            initial = self._costs.to_quanta(start.initial - least)
            options = self._followers(start.edge) if start.edge in behind else [(start.edge, 0, -1)]
            for edge, more, turn in options:
                if edge not in sources or initial + more < sources[edge][0]:
                    sources[edge] = initial + more, turn
        path = self._in_range([(edge, initial) for edge, (initial, _) in sources.items()], targets)
        turn = sources[path.first][1] if path.is_reachable else -1
        if turn < 0:
            return path
        turns = self.network.turns
        return StatePath(path.cost, int(turns.from_edge[turn]), [turn, *path.taken], turns)

    def _followers(self, edge: int) -> list[tuple[int, int, int]]:
        """(edge that follows, cost of the turn in quanta, turn)."""
        turns, costs = self.network.turns, self._costs
        ways_on = range(int(turns.first_out[edge]), int(turns.first_out[edge + 1]))
        # Not the hierarchy's own integers: a turn dearer than any cheapest path does not stand there at its own cost.
        options = [(turn, costs.to_quanta(float(self.turn_cost[turn]))) for turn in ways_on if self._is_open(turn)]
        return [
            (int(turns.to_edge[turn]), max(quanta, 1), turn)
            for turn, quanta in options
            if quanta <= costs.longest_path or not self.is_bounded
        ]

    def _in_range(self, sources: list[Start], targets: list[Start]) -> StatePath:
        """`_search` for initial costs of any size: those too far apart for one sum are asked for one by one."""
        room = self._costs.largest_initial - max(cost for _, cost in targets)
        near = [source for source in sources if source[1] <= room]
        best = self._search(near, targets) if near else self._nowhere
        for edge, initial in sources:
            if initial > room:
                path = self._search([(edge, 0)], targets)
                if path.is_reachable and (not best.is_reachable or path.cost + initial < best.cost):
                    best = StatePath(path.cost + initial, path.first, path.taken, path.graph)
        return best

    def _search(self, sources: Sequence[Start], targets: Sequence[Start]) -> StatePath:
        return self.metric.path(sources, targets)

    def _is_open(self, turn: int) -> bool:
        return True

    @property
    def _nowhere(self) -> StatePath:
        return StatePath(-1, -1, (), self.network.turns)

    @property
    def open_cost(self) -> Floats:
        """float64[T], infinite for turns that may not be taken."""
        return self.turn_cost

    def open_network(self) -> RoadNetwork:
        """The network with the turns that may be taken."""
        return self.network

    def own_metric(self) -> Metric:
        """What answers many queries at once under these costs."""
        return self.metric

    @property
    def policy_cost(self) -> Floats:
        """float64[T]: the costs that probabilities are worked out under."""
        return self.turn_cost

    def log_probability(self, route: Route) -> float:
        """See `Route.log_probability`."""
        if self.horizon != "infinity":
            raise ConfigurationError(
                where="log_probability",
                problem=f"the costs were learned at horizon {self.horizon}, and a single route's probability is "
                "answered for horizon infinity only; `trodden evaluate` gives the likelihood at the model's own",
            )
        if len(route.edges) < 2 and (self.ending == "arrival" or len(route.edges) == 0):
            return 0.0
        if self.ending == "arrival" and (route.edges[:-1] == route.edges[-1]).any():
            return -np.inf
        key = destination_key(self.network.graph, route.edges[-1:], self.ending)
        destinations = make_destinations(self.network.graph, key, self.ending)
        origins = route.edges[:1], np.zeros(1, np.int64)
        try:
            values = self.factorization().values(destinations, origins=origins)
        except (InfeasibleRewardError, UnderflowError):
            # The planner knows what else to try; it imports JAX, which nobody pays for who does not come here.
            from ..irl.planner import Planner

            planner = Planner(
                self.network.turns,
                PlannerConfig(ending=self.ending, solver="sweeps"),
                edge_id=self.network.graph.edge_id,
            )
            values = planner.values(-self.policy_cost, destinations)
        return min(-float(self.policy_cost[route.turns].sum()) - float(values[route.edges[0], 0]), 0.0)

    def factorization(self) -> Factorization:
        """The factorised system of these costs, made once; `InfeasibleRewardError` where it has no values."""
        with self._lock:
            if self._factors is None:
                graph = self.network.graph
                self._factors = Factorization(
                    self.network.turns, -self.policy_cost, edge_id=graph.edge_id, ending=self.ending
                )
            return self._factors


def _checked_entry(network: RoadNetwork, entry_cost: Floats) -> Floats:
    entry = np.asarray(entry_cost, np.float64)
    if entry.shape != (network.graph.num_edges,):
        raise ValueError(f"entry_cost has shape {entry.shape}; one cost for each of {network.graph.num_edges} edges")
    if not np.isfinite(entry).all():
        raise ValueError("entry_cost holds NaN or infinite values")
    return entry
