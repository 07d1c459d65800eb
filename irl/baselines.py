"""What a learned reward has to beat: shortest, fastest, and fastest with tuned penalties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.config import Config
from ..core.types import Floats
from ..graphs.costs import fastest_costs, shortest_costs
from ..graphs.road_graph import RoadNetwork
from .demonstrations import Demonstrations
from .prediction import TripPredictor
from .spooled_routes import SpooledRoutes


def plain_costs(network: RoadNetwork) -> dict[str, Floats]:
    """``shortest`` and ``fastest``: float64[T], the length (m) and travel time (s) of the edge that each turn enters.

    Where a network has no lengths, travel time stands in for them, so that both are the same; where it has no times,
    length stands in.
    """
    shortest, _ = shortest_costs(network)
    fastest = fastest_costs(network)[0] if network.attributes.travel_time_s is not None else shortest
    return {"shortest": shortest, "fastest": fastest}


@dataclass(frozen=True, eq=False)
class PenaltySearch:
    """Random search over penalties on top of travel time: the way engines are tuned by hand, done fairly.

    ``cost = time * exp(factor of the road class) + penalty(left, right, U-turn) + penalty per edge``; one factor per
    class and four penalties in seconds, never negative.
    """

    time: Floats
    """float64[T]."""
    class_of_turn: Floats
    """float64[T, C], 1 where the entered edge is of that class."""
    kinds: Floats
    """float64[T, 4]: left, right, U-turn, constant."""
    names: tuple[str, ...]
    """The 4 + C coefficients."""

    def cost(self, coefficients: Floats) -> Floats:
        """float64[T] in seconds for coefficients float64[4 + C]."""
        return np.asarray(self.time * np.exp(self.class_of_turn @ coefficients[4:]) + self.kinds @ coefficients[:4])


def make_penalty_search(network: RoadNetwork) -> PenaltySearch:
    """The search space of a network: four penalties and a factor for each road class but the most frequent."""
    turns = network.turns
    kinds = np.stack([turns.is_left, turns.is_right, turns.is_uturn, np.ones(turns.num_turns)], axis=1).astype(
        np.float64
    )
    column = network.attributes.road_class
    levels: list[str] = []
    if column is not None:
        counts = np.bincount(column.codes, minlength=len(column.levels))
        levels = [level for i, level in enumerate(column.levels) if counts[i] and i != int(np.argmax(counts))]
    masks = [column.mask(level)[turns.to_edge] for level in levels] if column is not None else []
    matrix = np.stack(masks, axis=1).astype(np.float64) if masks else np.zeros((turns.num_turns, 0))
    names = ("left_s", "right_s", "uturn_s", "constant_s", *(f"log_factor:{level}" for level in levels))
    return PenaltySearch(plain_costs(network)["fastest"], matrix, kinds, names)


def tune_baselines(
    network: RoadNetwork, routes: Demonstrations | SpooledRoutes, config: Config
) -> tuple[dict[str, Floats], dict[str, Any]]:
    """The costs of all baselines, and what the search found: ``{coefficients, budget, num_routes, exact}``.

    The search starts from plain travel time, draws each candidate around the best so far with a step that widens after
    a success and narrows after a failure, and keeps what matches more training routes exactly. Seeded; its cost is
    ``budget`` customisations and as many queries per distinct trip.
    """
    costs = plain_costs(network)
    budget = config.baselines.budget
    if budget == 0:
        return costs, {}
    generator = np.random.default_rng(config.training.seed)
    count = min(config.baselines.num_routes, len(routes))
    sample = routes.take(np.sort(generator.permutation(len(routes))[:count]))
    search = make_penalty_search(network)
    predictor = TripPredictor(network, sample, config.planner.ending)
    best, best_score = np.zeros(len(search.names)), -1.0
    unit = np.concatenate([np.full(4, float(np.median(search.time))), np.full(len(search.names) - 4, 0.3)])
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
    costs["fastest_penalised"] = search.cost(best)
    coefficients = dict(zip(search.names, best.tolist(), strict=True))
    return costs, {"coefficients": coefficients, "budget": budget, "num_routes": count, "train_exact": best_score}


def _share_matched(predictor: TripPredictor, routes: Demonstrations, turn_cost: Floats) -> float:
    paths = predictor.predict(turn_cost)
    matches = [
        np.array_equal(paths[trip], routes.route(row)) for row, trip in enumerate(predictor.trip_of_route.tolist())
    ]
    return float(np.average(matches, weights=routes.weight))
