"""Experts, one shared reward, or partial pooling: which predicts held-out routes best, and whether `auto` finds it.

Simulated cities: a grid in two regions. In one half of the trials travellers of both regions have one taste; in the
other those of the second region mind time three times as much and a mark on streets not at all. Each trial learns under
penalty 0, infinity and `auto`, and scores the models on held-out routes by their log-likelihood under the merged model.

`differ` and `same`: mean over trials of the held-out loss per route under `auto` minus that of the better of experts
and shared in that trial, with a 95 % interval over trials (Student's t); below 0, pooling beats both. `differ_experts`
and so on: the losses themselves, minus that of the true reward.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

import numpy as np
from _grids import grid_network
from scipy import stats
from trodden import simulate
from trodden.cli.console import out, progress_bar, text_table
from trodden.core.config import Config, parse_config
from trodden.core.types import Floats
from trodden.distributed.coordinator import IN_PROCESS, fit_regions
from trodden.graphs.partition import bisect
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.store import make_network
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.features import make_features
from trodden.irl.likelihood import route_log_probabilities
from trodden.irl.planner import Planner

FEATURES = ("length_km", "mark", "constant")
COMMON = {"length_km": -4.0, "mark": -0.6, "constant": -1.2}
EXTRA = {"second*length_km": -8.0, "second*mark": 0.6}
"""What travellers of the second region feel beside the common taste, where tastes differ."""
WAYS = {"experts": 0.0, "shared": "infinity", "auto": "auto"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20, help="of each kind")
    parser.add_argument("--routes", type=int, default=150, help="to learn from")
    parser.add_argument("--held-out", type=int, default=1000)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"trials": arguments.trials, "routes": arguments.routes}
    rows = []
    with progress_bar("trials", 2 * arguments.trials) as update:
        for kind in ("differ", "same"):
            losses: dict[str, list[float]] = {name: [] for name in WAYS}
            chosen = []
            for trial in range(arguments.trials):
                found, penalty = _trial(kind, trial, arguments)
                chosen.append(penalty)
                for name, loss in found.items():
                    losses[name].append(loss)
                update(trial + 1 + (kind == "same") * arguments.trials, "")
            better = np.minimum(losses["experts"], losses["shared"])
            mean, low, high = _interval(np.array(losses["auto"]) - better)
            figures[kind] = {"mean": mean, "low": low, "high": high}
            for name in WAYS:
                figures[f"{kind}_{name}"] = float(np.mean(losses[name]))
            counts = ", ".join(f"{p}: {chosen.count(p)}" for p in sorted(set(chosen), key=str))
            rows.append([kind, *(f"{np.mean(losses[n]):.4f}" for n in WAYS), f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"])
            out.print(f"tastes {kind}: penalties chosen, by number of trials: {counts}", markup=False)
    out.print(text_table(["tastes", *WAYS, "auto - better of the two"], rows), markup=False)
    out.print("held-out loss per simulated route beyond that of the true reward, nats", markup=False)
    print(json.dumps(figures))


def _trial(kind: str, seed: int, arguments: argparse.Namespace) -> tuple[dict[str, float], Any]:
    """(held-out loss per route beyond the truth's, by way; the penalty that was chosen)."""
    network = _city(seed)
    taste = {**COMMON, **(EXTRA if kind == "differ" else {})}
    draw = {"taste": taste, "num_destinations": 60, "min_km": 0.4}
    routes = simulate(network, arguments.routes, seed=2 * seed, **draw)
    held_out = simulate(network, arguments.held_out, seed=2 * seed + 1, **draw).for_ending("arrival")
    features = make_features(network, tuple(taste))
    truth = _loss(network, held_out, -features.reward(np.array(list(taste.values()))))
    models = {name: fit_regions(network, routes, _config(way), address=IN_PROCESS) for name, way in WAYS.items()}
    found = {name: _loss(network, held_out, model.turn_cost) - truth for name, model in models.items()}
    return found, models["auto"].summary["penalty"]


def _city(seed: int) -> RoadNetwork:
    plain = grid_network(10, 10, seed=seed, marks=("mark",))
    second = bisect(plain, 2).region.astype(np.float64)
    extra = {**plain.attributes.extra, "second": second}
    attributes = dataclasses.replace(plain.attributes, extra=extra)
    return make_network(plain.graph, attributes, plain.turns, plain.shapes, plain.report)


def _config(penalty: Any) -> Config:
    document = {
        "reward": {"features": list(FEATURES)},
        "regions": {"count": 2, "penalty": penalty, "balance": 0.0, "halo_km": 3.0},
        "baselines": {"budget": 0},
    }
    return parse_config(document, where="benchmarks/pooling.py")


def _loss(network: RoadNetwork, routes: Demonstrations, turn_cost: Floats) -> float:
    planner = Planner(network.turns, Config().planner)
    found = route_log_probabilities(planner, -turn_cost, routes, routes.batch("arrival"))
    return -float(np.average(found, weights=routes.weight))


def _interval(values: Floats) -> tuple[float, float, float]:
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


if __name__ == "__main__":
    main()
