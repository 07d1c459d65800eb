"""Which pictures of a model are drawn, and of which trip."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.types import Floats
from ..irl.demonstrations import Demonstrations
from ..irl.evaluation import evaluate
from ..irl.model import LearnedModel
from ..irl.plots import draw_network_png, draw_trip_map, draw_trip_png
from ..irl.prediction import TripPredictor


def draw_model(model: LearnedModel, folder: Path) -> Path:
    """``network.png``: every edge coloured by its learned cost per metre."""
    folder.mkdir(parents=True, exist_ok=True)
    title = "Learned cost per metre"
    return draw_network_png(
        model.network, cost_per_metre(model), folder / "network.png", title=title, is_simulated=model.is_simulated
    )


def cost_per_metre(model: LearnedModel) -> Floats:
    """float64[E]: what entering an edge costs, the mean over the turns onto it, over its length."""
    turns = model.network.turns
    count = np.bincount(turns.to_edge, minlength=turns.num_edges)
    total = np.bincount(turns.to_edge, model.turn_cost, minlength=turns.num_edges)
    mean = np.where(count > 0, total / np.maximum(count, 1), model.entry_cost)
    return mean / model.network.edge_length_m()


def choose_trip(model: LearnedModel, routes: Demonstrations) -> int:
    """The longest trip that the learned reward gets right and fastest does not; the longest where there is none."""
    length = np.diff(routes.first)
    result = evaluate(model, routes)
    is_telling = result.matched["learned"] & ~result.matched["fastest"]
    return int(np.argmax(np.where(is_telling, length, length - length.max() - 1)))


def draw_trip(
    model: LearnedModel, demonstrations: Demonstrations, folder: Path, *, route_id: str | None = None
) -> list[Path]:
    """``trip.html`` and ``trip.png`` of one held-out trip: travelled, learned, fastest."""
    routes = demonstrations.for_ending(model.ending)
    row = choose_trip(model, routes) if route_id is None else routes.row_of(route_id)
    trip = routes.take(np.array([row]))
    predictor = TripPredictor(model.network, trip, model.ending)
    lines = {
        "learned": predictor.predict(model.turn_cost)[0],
        "fastest": predictor.predict(model.baseline_costs["fastest"])[0],
    }
    is_simulated = routes.is_simulated or model.is_simulated
    title = f"Held-out trip {routes.route_id[row]}"
    folder.mkdir(parents=True, exist_ok=True)
    return [
        draw(
            model.network,
            trip.route(0).tolist(),
            {name: edges.tolist() for name, edges in lines.items()},
            folder / file,
            title=title,
            is_simulated=is_simulated,
        )
        for draw, file in ((draw_trip_map, "trip.html"), (draw_trip_png, "trip.png"))
    ]
