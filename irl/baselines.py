"""What a learned reward has to beat: shortest, fastest, and fastest with tuned penalties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.blocks import blocks_of
from ..core.config import Config
from ..core.scratch import Empty
from ..core.types import Floats
from ..graphs.road_graph import Categories, RoadNetwork
from ..graphs.turns import TurnGraph
from .demonstrations import Demonstrations
from .prediction import TripPredictor
from .spooled_routes import SpooledRoutes

_FACTOR = "log_factor:"


def plain_costs(network: RoadNetwork, empty: Empty = np.empty) -> dict[str, Floats]:
    """``shortest`` and ``fastest``: float64[T], the length (m) and travel time (s) of the edge that each turn enters.

    Where a network has no lengths, travel time stands in for them, so that both are the same; where it has no times,
    length stands in.
    """
    shortest = _at_turns(network.turns, network.edge_length_m(), empty)
    has_times = network.attributes.travel_time_s is not None
    return {
        "shortest": shortest,
        "fastest": _at_turns(network.turns, _seconds(network), empty) if has_times else shortest,
    }


def require_plain_costs(network: RoadNetwork) -> None:
    """`MissingDataError` where a network has neither lengths nor times, before any work: no model is without these."""
    if network.attributes.length_m is None:
        network.attributes.require("travel_time_s", "a length or its stand-in")


def _seconds(network: RoadNetwork) -> Floats:
    """float64[E]: the travel time of each edge, or what stands in for it."""
    seconds = network.attributes.travel_time_s
    return network.edge_length_m() if seconds is None else seconds.astype(np.float64)


def _at_turns(turns: TurnGraph, of_edge: Floats, empty: Empty) -> Floats:
    """float64[T]: what each turn's entered edge has."""
    result = empty(turns.num_turns)
    for at in blocks_of(turns.num_turns):
        result[at] = of_edge[turns.to_edge[at]]
    return result


@dataclass(frozen=True, eq=False)
class PenaltySearch:
    """Random search over penalties on top of travel time: the way engines are tuned by hand, done fairly.

    ``cost = time * exp(factor of the road class) + penalty(left, right, U-turn) + penalty per edge``; one factor per
    class and four penalties in seconds, never negative.
    """

    turns: TurnGraph
    time: Floats
    """float64[E], of each edge."""
    road_class: Categories | None
    names: tuple[str, ...]
    """The 4 + C coefficients."""

    def cost(self, coefficients: Floats, empty: Empty = np.empty) -> Floats:
        """float64[T] in seconds for coefficients float64[4 + C]. O(E + T)."""
        factor_of = dict(zip(self.names[4:], coefficients[4:].tolist(), strict=True))
        along = self.time
        if self.road_class is not None:
            factors = np.array([factor_of.get(_FACTOR + level, 0.0) for level in self.road_class.levels])
            along = along * np.exp(factors)[self.road_class.codes]
        total = _at_turns(self.turns, along + coefficients[3], empty)
        kinds = (self.turns.is_left, self.turns.is_right, self.turns.is_uturn)
        for penalty, kind in zip(coefficients[:3].tolist(), kinds, strict=True):
            for at in blocks_of(len(total)):
                total[at][kind[at]] += penalty
        return total


def make_penalty_search(network: RoadNetwork) -> PenaltySearch:
    """The search space of a network: four penalties and a factor for each road class but the most frequent."""
    column = network.attributes.road_class
    levels: list[str] = []
    if column is not None:
        counts = np.bincount(column.codes, minlength=len(column.levels))
        levels = [level for i, level in enumerate(column.levels) if counts[i] and i != int(np.argmax(counts))]
    names = ("left_s", "right_s", "uturn_s", "constant_s", *(_FACTOR + level for level in levels))
    return PenaltySearch(network.turns, _seconds(network), column, names)


def tune_baselines(
    network: RoadNetwork, routes: Demonstrations | SpooledRoutes, config: Config, empty: Empty = np.empty
) -> tuple[dict[str, Floats], dict[str, Any]]:
    """The costs of all baselines, and what the search found: ``{coefficients, budget, num_routes, exact}``.

    The search starts from plain travel time, draws each candidate around the best so far with a step that widens after
    a success and narrows after a failure, and keeps what matches more training routes exactly. Seeded; its cost is
    ``budget`` customisations and as many queries per distinct trip. ``empty`` makes the costs.
    """
    costs = plain_costs(network, empty)
    budget = config.baselines.budget
    if budget == 0:
        return costs, {}
    generator = np.random.default_rng(config.training.seed)
    count = min(config.baselines.num_routes, len(routes))
    sample = routes.take(np.sort(generator.permutation(len(routes))[:count]))
    search = make_penalty_search(network)
    predictor = TripPredictor(network, sample, config.planner.ending)
    best, best_score = np.zeros(len(search.names)), -1.0
    typical = float(np.median(costs["fastest"]))
    unit = np.concatenate([np.full(4, typical), np.full(len(search.names) - 4, 0.3)])
    step = 1.0
    for trial in range(budget):
        candidate = best.copy()
        if trial:
            chosen = generator.random(len(best)) < max(0.3, 1.5 / len(best))
            candidate += np.where(chosen, generator.normal(size=len(best)) * unit * step, 0.0)
            candidate[:4] = np.maximum(candidate[:4], 0.0)
        score = _share_matched(predictor, sample, search.cost(candidate))
        is_better = score > best_score
        step = min(max(step * (1.3 if is_better else 0.98), 0.05), 3.0)
        if score >= best_score:
            best, best_score = candidate, score
    costs["fastest_penalised"] = search.cost(best, empty)
    coefficients = dict(zip(search.names, best.tolist(), strict=True))
    return costs, {"coefficients": coefficients, "budget": budget, "num_routes": count, "train_exact": best_score}


def _share_matched(predictor: TripPredictor, routes: Demonstrations, turn_cost: Floats) -> float:
    paths = predictor.predict(turn_cost)
    matches = [
        np.array_equal(paths[trip], routes.route(row)) for row, trip in enumerate(predictor.trip_of_route.tolist())
    ]
    return float(np.average(matches, weights=routes.weight))
