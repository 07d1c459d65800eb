"""A learned model beside its baselines, on the same held-out trips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import InfeasibleRewardError, NotConvergedError, UnderflowError
from ..core.types import Bools, Floats
from .contexts import by_context
from .demonstrations import Demonstrations, require_network
from .likelihood import route_log_probabilities
from .measures import PairedComparison, bootstrap_interval, compare_matches, edge_iou, exact_match
from .model import LearnedModel
from .planner import Planner
from .prediction import TripPredictor

MODEL_NAMES = ("learned", "shortest", "fastest", "fastest_penalised")


@dataclass(frozen=True)
class Scores:
    """One model on a set of routes."""

    exact: float
    exact_interval: tuple[float, float]
    """95 % bootstrap interval."""
    iou: float
    nll_per_route: float | None
    """None for a model without a likelihood."""
    nll_per_turn: float | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found."""

    num_routes: int
    skipped: dict[str, int]
    models: dict[str, Scores]
    unseen: dict[str, Scores]
    """On routes whose origin-destination pair was not in training."""
    num_unseen: int
    comparisons: dict[str, PairedComparison]
    """Learned against each baseline, exact matches on the same routes."""
    unseen_comparisons: dict[str, PairedComparison]
    length_unit: str
    is_simulated: bool
    matched: dict[str, Bools]
    """bool[R] per model, for further tests."""
    shared: Scores | None = None
    """Of a model with contexts: its one reward for all trips, on the same routes."""

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON-able dictionaries: routes, skipped, models, unseen_pairs, and the comparisons."""
        return {
            "routes": self.num_routes,
            "skipped": self.skipped,
            "is_simulated": self.is_simulated,
            "models": {name: _scores_json(s) for name, s in self.models.items()},
            "unseen_routes": self.num_unseen,
            "unseen_pairs": {name: _scores_json(self.unseen[name]) if self.unseen else None for name in self.models},
            "learned_against": {name: _comparison_json(c) for name, c in self.comparisons.items()},
            "unseen_learned_against": {name: _comparison_json(c) for name, c in self.unseen_comparisons.items()},
            **({"shared": _scores_json(self.shared)} if self.shared else {}),
        }

    def table(self) -> str:
        """The evaluation as text for people."""
        word = "simulated routes" if self.is_simulated else "routes"
        lines = [
            f"{self.num_routes} {word}" + _skipped_text(self.skipped),
            *_table_lines(self.models, self.comparisons),
        ]
        if self.shared is not None:
            nll = "" if self.shared.nll_per_route is None else f", NLL {self.shared.nll_per_route:.4f} per route"
            lines.append(f"one reward for all contexts: exact {self.shared.exact:.3f}, IoU {self.shared.iou:.3f}{nll}")
        lines += ["", f"{self.num_unseen} of them between pairs not seen in training"]
        if self.num_unseen:
            lines += _table_lines(self.unseen, self.unseen_comparisons)
        weight = "length" if self.length_unit == "m" else "travel time (this network has no lengths)"
        lines += ["", f"exact: the same edges. IoU: shared edges over all, weighted by {weight}."]
        lines.append("gap: exact of learned minus this one; p: McNemar. []: 95 % bootstrap intervals.")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


def evaluate(model: LearnedModel, demonstrations: Demonstrations, *, seed: int = 0) -> Evaluation:
    """Compare the learned best routes, and those of every baseline, with travelled ones.

    Whatever the horizon, the predicted route is the cheapest one under the learned costs; NLL is that of the horizon
    the model was trained with, and none at horizon 0. Of a model with contexts, each route is predicted under its own.

    Raises
    ------
    WrongNetworkError
        The routes were checked against another network than the model's.
    NoDemonstrationsError
        No route is possible under the model's ending.
    ConfigurationError, UnknownIdError
        The model has contexts, and a route says none or one that is not known.

    Notes
    -----
    One customisation per model, one query per distinct trip and model, and one soft solve per distinct destination.
    """
    require_network(demonstrations, model.network.checksum, "the set of demonstrations")
    routes = demonstrations.for_ending(model.ending)
    predictor = TripPredictor(model.network, routes, model.ending)
    costs = {"learned": model.turn_cost, **model.baseline_costs}
    log_probability = log_probabilities(model, routes)
    shared = None
    if model.contexts:
        alone = model.replace(contexts=())
        found = *match_routes(predictor, routes, model.turn_cost), log_probabilities(alone, routes)
        shared = _scores(routes, np.ones(len(routes), bool), *found, seed)
    is_unseen = ~np.isin(routes.pair_keys(model.ending), model.training_pairs)
    matched: dict[str, Bools] = {}
    overlap: dict[str, Floats] = {}
    for name in MODEL_NAMES:
        if name in costs and not (name == "learned" and model.contexts):
            matched[name], overlap[name] = match_routes(predictor, routes, costs[name])
        elif name in costs:
            matched[name], overlap[name] = match_learned(model, routes)

    def scores(is_row: Bools) -> dict[str, Scores]:
        return {
            name: _scores(
                routes, is_row, matched[name], overlap[name], log_probability if name == "learned" else None, seed
            )
            for name in matched
        }

    def comparisons(is_row: Bools) -> dict[str, PairedComparison]:
        one, weight = matched["learned"][is_row], routes.weight[is_row]
        return {
            name: compare_matches(one, matched[name][is_row], weight, seed=seed)
            for name in matched
            if name != "learned"
        }

    every = np.ones(len(routes), bool)
    some = bool(is_unseen.any())
    return Evaluation(
        num_routes=len(routes),
        skipped=routes.skipped_by_reason,
        models=scores(every),
        unseen=scores(is_unseen) if some else {},
        num_unseen=int(is_unseen.sum()),
        comparisons=comparisons(every),
        unseen_comparisons=comparisons(is_unseen) if some else {},
        length_unit=model.network.length_unit,
        is_simulated=routes.is_simulated or model.is_simulated,
        matched=matched,
        shared=shared,
    )


def match_learned(model: LearnedModel, routes: Demonstrations) -> tuple[Bools, Floats]:
    """`match_routes` of a model's own costs, those of each route's context where it has contexts."""
    matched, overlap = np.zeros(len(routes), bool), np.zeros(len(routes))
    for own, rows in by_context(model, routes):
        some = routes.take(rows)
        predictor = TripPredictor(model.network, some, model.ending)
        matched[rows], overlap[rows] = match_routes(predictor, some, own.turn_cost)
    return matched, overlap


def match_routes(predictor: TripPredictor, routes: Demonstrations, turn_cost: Floats) -> tuple[Bools, Floats]:
    """(exact match bool[R], IoU by length float64[R]) of the cheapest routes under a cost; the predictor is of them."""
    paths = predictor.predict(turn_cost)
    length = routes.network.edge_length_m()
    pairs = [(paths[trip], routes.route(row)) for row, trip in enumerate(predictor.trip_of_route.tolist())]
    return (
        np.array([exact_match(one, two) for one, two in pairs], bool),
        np.array([edge_iou(one, two, length) for one, two in pairs]),
    )


def log_probabilities(model: LearnedModel, routes: Demonstrations) -> Floats | None:
    """float64[R] at the model's horizon; None where it has no likelihood (0) or the served costs no soft values.

    The latter is possible where experts were merged.
    """
    if model.config.planner.horizon == 0:
        return None
    if model.contexts:
        result = np.zeros(len(routes))
        for own, rows in by_context(model, routes):
            part = log_probabilities(own, routes.take(rows))
            if part is None:
                return None
            result[rows] = part
        return result
    planner = Planner(model.network.turns, model.config.planner, edge_id=model.network.graph.edge_id)
    try:
        return route_log_probabilities(planner, model.reward, routes, routes.batch(model.ending))
    except (InfeasibleRewardError, NotConvergedError, UnderflowError):
        return None


def _scores(
    routes: Demonstrations, is_row: Bools, matched: Bools, overlap: Floats, log_probability: Floats | None, seed: int
) -> Scores:
    weight = routes.weight[is_row]
    nll_route = nll_turn = None
    if log_probability is not None:
        total = float(-(weight @ log_probability[is_row]))
        num_turns = np.diff(routes.first)[is_row] - 1
        nll_route, nll_turn = total / float(weight.sum()), total / float(weight @ num_turns)
    exact = matched[is_row].astype(np.float64)
    return Scores(
        float(np.average(exact, weights=weight)),
        bootstrap_interval(exact, weight, seed=seed),
        float(np.average(overlap[is_row], weights=weight)),
        nll_route,
        nll_turn,
    )


def _scores_json(scores: Scores) -> dict[str, Any]:
    return {**vars(scores), "exact_interval": list(scores.exact_interval)}


def _comparison_json(comparison: PairedComparison) -> dict[str, Any]:
    return {**vars(comparison), "interval": list(comparison.interval)}


def _skipped_text(skipped: dict[str, int]) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
    return f"; {sum(skipped.values())} skipped: {reasons}" if skipped else ""


def _table_lines(models: dict[str, Scores], comparisons: dict[str, PairedComparison]) -> list[str]:
    """Not wider than 80 columns."""
    lines = [f"{'model':<18} {'exact':>18} {'IoU':>6} {'gap':>21} {'p':>8}"]
    for name, one in models.items():
        gap = comparisons.get(name)
        versus = f"{_with_interval(gap.difference, gap.interval, '+'):>21} {gap.p_value:>8.2g}" if gap else ""
        lines.append(
            f"{name:<18} {_with_interval(one.exact, one.exact_interval):>18} {one.iou:>6.3f} {versus}".rstrip()
        )
    learned = models["learned"]
    if learned.nll_per_route is not None:
        lines.append(f"learned: NLL {learned.nll_per_route:.4f} per route, {learned.nll_per_turn:.4f} per turn (nats)")
    return lines


def _with_interval(value: float, interval: tuple[float, float], sign: str = "") -> str:
    return f"{value:{sign}.3f} [{interval[0]:{sign}.2f},{interval[1]:{sign}.2f}]"
