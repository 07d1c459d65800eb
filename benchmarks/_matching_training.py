"""The part of benchmarks/matching.py that learns: GPS in, model out, beside the model learned from the true routes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from trodden import fit, read_roads, simulate
from trodden.cli.console import out, text_table
from trodden.core.types import Floats
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.demonstrations import Demonstrations, demonstrations_from_edges
from trodden.irl.evaluation import log_probabilities, match_routes
from trodden.irl.matching import MatchingSettings, TraceMatcher
from trodden.irl.measures import bootstrap_interval
from trodden.irl.model import LearnedModel
from trodden.irl.prediction import TripPredictor
from trodden.irl.simulation import default_taste
from trodden.irl.trace_simulation import TraceNoise, simulate_traces

NOISE = TraceNoise(interval_s=30, noise_m=10)


def train_on_matched(source: Path, num_routes: int, least_confidence: float = 0.9) -> dict[str, Any]:
    """Learn from matched traces, again from traces matched by the costs of that model, and from the true routes."""
    network = read_roads(source)
    stated = default_taste(network)
    routes = simulate(network, num_routes + num_routes // 4, seed=11, num_destinations=60, min_km=1.0, max_km=8.0)
    held_out, train = routes.take(np.arange(num_routes // 4)), routes.take(np.arange(num_routes // 4, len(routes)))
    traces = simulate_traces(train, NOISE, seed=12)
    models = {"true routes": fit(network, train)}
    cost, used = None, {}
    for name in ("matched", "matched again"):
        matcher = TraceMatcher(network, MatchingSettings(threads=1), turn_cost=cost)
        found = matcher.match(traces)
        rows = np.flatnonzero(found.confidence >= least_confidence)
        matched = demonstrations_from_edges(
            network, [found.route(k) for k in rows.tolist()], [str(k) for k in rows.tolist()], is_simulated=True
        )
        models[name] = fit(network, matched)
        cost, used[name] = models[name].turn_cost, len(rows)
    figures: dict[str, Any] = {"routes": num_routes, "used": used, "held_out": len(held_out)}
    figures["coefficients"] = _coefficients(models, stated)
    figures["predicted"] = _predicted(network, models, held_out)
    return figures


def _coefficients(models: dict[str, LearnedModel], stated: dict[str, float]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    rows = []
    for name, model in models.items():
        for one in model.coefficients:
            if one.name not in stated or one.standard_error is None:
                continue
            away = (one.value - stated[one.name]) / one.standard_error
            figures.setdefault(name, {})[one.name] = {"value": one.value, "standard_errors_off": away}
            rows.append([name, one.name, f"{stated[one.name]:.3f}", f"{one.value:.3f}", f"{away:+.1f}"])
    out.print(text_table(["learned from", "coefficient", "stated", "learned", "std.errs off"], rows), markup=False)
    return figures


def _predicted(network: RoadNetwork, models: dict[str, LearnedModel], held_out: Demonstrations) -> dict[str, Any]:
    """Exact matches, IoU and NLL on true routes; how far below those of the model of true routes, with intervals."""
    ending = models["true routes"].ending
    routes = held_out.for_ending(ending)
    predictor = TripPredictor(network, routes, ending)
    values: dict[str, dict[str, Floats]] = {}
    for name, model in models.items():
        exact, overlap = match_routes(predictor, routes, model.turn_cost)
        logs = log_probabilities(model, routes)
        values[name] = {"exact": exact.astype(np.float64), "iou": overlap}
        if logs is not None:
            values[name]["nll"] = -logs
    figures: dict[str, Any] = {}
    rows = []
    for name, columns in values.items():
        for measure, column in columns.items():
            gap = column - values["true routes"][measure]
            interval = bootstrap_interval(gap, routes.weight)
            figures.setdefault(name, {})[measure] = {
                "mean": float(column.mean()),
                "difference": float(gap.mean()),
                "interval": list(interval),
            }
            shown = f"{gap.mean():+.4f} [{interval[0]:+.4f}, {interval[1]:+.4f}]"
            rows.append([name, measure, f"{column.mean():.4f}", shown])
    out.print(text_table(["learned from", "held out", "mean", "minus that of true routes"], rows), markup=False)
    return figures
