"""Best routes under a cost, for many trips at once."""

from __future__ import annotations

import numpy as np

from ..core.types import Floats, Ids, Ints
from ..graphs.hierarchy import Hierarchy, Metric, build_hierarchy, quantise
from ..graphs.road_graph import RoadNetwork
from .demonstrations import Demonstrations
from .destinations import Destinations, Ending, destination_key, make_destinations


class TripPredictor:
    """The distinct trips of some routes, ready to be predicted under one cost after another.

    Building it prepares a hierarchy; `predict` customises it and asks one query per distinct (origin, destination).
    """

    def __init__(self, network: RoadNetwork, routes: Demonstrations, ending: Ending) -> None:
        self._network = network
        keys = destination_key(network.graph, routes.last_edge, ending)
        pairs, trip_of_route = np.unique(np.stack([routes.origin, keys], axis=1), axis=0, return_inverse=True)
        self.trip_of_route: Ids = trip_of_route.reshape(-1)
        """int64[R], which distinct trip each route made."""
        self._origin: Ints = pairs[:, 0].astype(np.int32)
        self._destinations: Destinations = make_destinations(network.graph, pairs[:, 1].astype(np.int32), ending)
        self._hierarchy: Hierarchy = build_hierarchy(network.turns, network.graph.edge_midpoints())

    def predict(self, turn_cost: Floats) -> list[Ints]:
        """The cheapest route of each distinct trip, edge positions; empty where there is none."""
        costs = quantise(self._network.turns, turn_cost, edge_id=self._network.graph.edge_id)
        metric: Metric = self._hierarchy.customise(costs)
        paths = []
        for trip, origin in enumerate(self._origin.tolist()):
            goals = [(goal, 0) for goal in self._destinations.goals(trip).tolist()]
            paths.append(metric.path([(origin, 0)], goals).states)
        return paths
