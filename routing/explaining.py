"""Why a route: its cost by feature beside the fastest route of its trip, on the router's own hierarchy."""

from __future__ import annotations

import threading
import weakref

import numpy as np

from ..core.errors import ConfigurationError, MissingDataError
from ..core.types import Ints
from ..graphs.hierarchy import Hierarchy, Metric, quantise
from ..irl.destinations import destination_key, make_destinations
from ..irl.insight.explanation import Explanation, explain
from ..irl.model import LearnedModel
from .metrics import NamedCosts

FASTEST, LEARNED, OTHER = "fastest", "learned", "this route"


class Explainer:
    """Explains routes under learned models on one hierarchy; the fastest costs of each are customised once.

    Safe to use from several threads.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy
        self._lock = threading.Lock()
        self._fastest: weakref.WeakKeyDictionary[LearnedModel, Metric] = weakref.WeakKeyDictionary()

    def explain(self, model: object, costs: NamedCosts, edges: Ints) -> Explanation:
        """What the route over these edges costs by feature, beside the fastest one between its ends.

        The route is called ``learned`` where it is the cheapest between its ends, else ``this route``.

        Raises
        ------
        ConfigurationError
            The costs are not those of a learned model (any more), or there is nothing to choose on the route.
        MissingDataError
            The model knows no travel times.
        InconsistentModelError
            The model's costs are not those that its reward gives.
        """
        learned = _require_learned(model, costs)
        if len(edges) < 2:
            raise ConfigurationError(
                where="explain", problem="the route has no turn: there was nothing to choose; give points farther apart"
            )
        fastest = self._cheapest(self._fastest_costs(learned), learned, edges)
        is_best = np.array_equal(self._cheapest(costs.metric, learned, edges), edges)
        return explain(learned, {FASTEST: fastest, LEARNED if is_best else OTHER: edges})

    def _cheapest(self, metric: Metric, model: LearnedModel, edges: Ints) -> Ints:
        graph = model.network.graph
        key = destination_key(graph, edges[-1:], model.ending)
        goals = make_destinations(graph, key, model.ending).goals(0)
        return metric.path([(int(edges[0]), 0)], [(goal, 0) for goal in goals.tolist()]).states

    def _fastest_costs(self, model: LearnedModel) -> Metric:
        with self._lock:
            found = self._fastest.get(model)
            if found is None:
                cost = model.baseline_costs.get("fastest")
                if cost is None:
                    raise MissingDataError(
                        needs="travel times", because="the fastest route", remedy="add travel_time_s to its source"
                    )
                found = self._hierarchy.customise(
                    quantise(model.network.turns, cost, edge_id=model.network.graph.edge_id)
                )
                self._fastest[model] = found
            return found


def _require_learned(model: object, costs: NamedCosts) -> LearnedModel:
    """The model, if it is a learned one and the costs are its own."""
    if not isinstance(model, LearnedModel):
        problem = f"the costs {costs.name!r} were given as numbers, and what they are made of is not known; "
        raise ConfigurationError(where="explain", problem=problem + "make the router from a LearnedModel")
    if not np.array_equal(model.turn_cost, costs.turn_cost):
        problem = f"the costs {costs.name!r} were replaced and are not those of the model any more; "
        raise ConfigurationError(where="explain", problem=problem + "explain by a router of the new model")
    return model
