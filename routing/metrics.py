"""Sets of costs a router can route by: what a model must offer, and `NamedCosts`, customised on one hierarchy."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np

from ..core.config import PlannerConfig
from ..core.errors import ConfigurationError, InfeasibleRewardError, UnderflowError
from ..core.types import Floats
from ..graphs.edge_costs import quantise
from ..graphs.hierarchy import Hierarchy, Metric, Start, StatePath
from ..graphs.road_graph import RoadNetwork
from ..irl.destinations import Ending, destination_key, make_destinations
from ..irl.factorization import Factorization
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
        self.turn_cost = np.asarray(turn_cost, np.float64)
        self.entry_cost = _checked_entry(network, entry_cost)
        spread = float(np.ptp(self.entry_cost))
        self._costs = quantise(network.turns, self.turn_cost, initial_cost=spread, edge_id=network.graph.edge_id)
        self.metric: Metric = hierarchy.customise(self._costs)
        self.network = network
        self._lock = threading.Lock()
        self._factors: Factorization | None = None

    def sources(self, edges: tuple[int, ...]) -> list[Start]:
        """First edges with what starting there costs above the cheapest of them, in quanta."""
        if len(edges) == 1:
            return [(edges[0], 0)]
        entry = [float(self.entry_cost[edge]) for edge in edges]
        least = min(entry)
        return [(edge, self._costs.to_quanta(cost - least)) for edge, cost in zip(edges, entry, strict=True)]

    def path_around(self, start: tuple[int, ...], end: tuple[int, ...], behind: frozenset[int]) -> StatePath:
        """The cheapest path that leaves every edge of ``behind`` before it ends there: it would go backwards.

        Such a first edge is replaced by the edges that follow it, at the cost of the turn onto them, and put back in
        front of the path found.
        """
        turns, quanta = self.network.turns, self._costs.value
        sources: list[Start] = []
        onto: dict[int, int] = {}
        for edge, initial in self.sources(start):
            if edge not in behind:
                sources.append((edge, initial))
                continue
            for turn in range(int(turns.first_out[edge]), int(turns.first_out[edge + 1])):
                if quanta[turn] > self._costs.longest_path:  # dearer than any cheapest path: never the way to go
                    continue
                onto[int(turns.to_edge[turn])] = turn
                sources.append((int(turns.to_edge[turn]), initial + int(quanta[turn])))
        if not sources:
            return StatePath(-1, -1, (), turns)
        path = self.metric.path(sources, [(edge, 0) for edge in end])
        if not path.is_reachable or path.first not in onto or path.first in set(start) - behind:
            return path
        turn = onto[path.first]
        return StatePath(path.cost, int(turns.from_edge[turn]), [turn, *path.taken], turns)

    def log_probability(self, route: Route) -> float:
        """See `Route.log_probability`."""
        if self.horizon != "infinity":
            raise ConfigurationError(
                where="log_probability",
                problem=f"the costs were learned at horizon {self.horizon}, and a single route's probability is "
                "answered for horizon infinity only; `trodden evaluate` gives the likelihood at the model's own",
            )
        if len(route.turns) == 0 and (self.ending == "arrival" or len(route.edges) == 0):
            return 0.0
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
            values = planner.values(-self.turn_cost, destinations)
        return min(-route.cost - float(values[route.edges[0], 0]), 0.0)

    def factorization(self) -> Factorization:
        """The factorised system of these costs, made once; `InfeasibleRewardError` where it has no values."""
        with self._lock:
            if self._factors is None:
                graph = self.network.graph
                self._factors = Factorization(
                    self.network.turns, -self.turn_cost, edge_id=graph.edge_id, ending=self.ending
                )
            return self._factors


def _checked_entry(network: RoadNetwork, entry_cost: Floats) -> Floats:
    entry = np.asarray(entry_cost, np.float64)
    if entry.shape != (network.graph.num_edges,):
        raise ValueError(f"entry_cost has shape {entry.shape}; one cost for each of {network.graph.num_edges} edges")
    if not np.isfinite(entry).all():
        raise ValueError("entry_cost holds NaN or infinite values")
    return entry
