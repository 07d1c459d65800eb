"""Rewards by time of departure: are two tastes found again, and what does it cost to ask where there is but one?

`recovered`: on the real roads of Helsinki (a sample that comes with a package), *simulated* travellers have one taste
in the peak and another one off it. A model with the two periods as contexts is learned from routes of both, without a
penalty, and once under the penalty that held-out routes choose: by period the largest distance of an estimate from the
stated coefficient, in standard errors (`largest_gap`), and how many of the coefficients lie within 3.

`matters` and `does_not`: *simulated* cities (grids), trials with different tastes in two periods and trials with one
taste in both. In each trial a model with contexts (`penalty = "auto"`) and one reward for all are learned from the same
routes, and scored on the same held-out ones by their log-likelihood: `mean` of contexts minus one reward, in nats per
route, with a 95 % interval over trials (Student's t); below 0, contexts predict better. `free` is the same under no
penalty at all.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

import numpy as np
from _grids import grid_network
from scipy import stats
from trodden import read_roads, simulate
from trodden.cli.console import out, progress_bar, text_table
from trodden.core.config import Config, parse_config
from trodden.core.types import Floats
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.samples import helsinki_path
from trodden.irl.demonstrations import Demonstrations, joined
from trodden.irl.evaluation import log_probabilities
from trodden.irl.training import fit

PEAK, OFF = "08:00", "12:00"
PERIODS = {"peak": "07:00-10:00,16:00-19:00", "off": "rest"}
REAL = {
    PEAK: {"travel_time_min": -4.0, "is_across": -1.0, "num_crossings": -0.3, "is_uturn": -3.0, "constant": -0.8},
    OFF: {"travel_time_min": -2.0, "is_across": -0.4, "num_crossings": -0.6, "is_uturn": -3.0, "constant": -0.8},
}
GRID = {"length_km": -6.0, "mark": -0.3, "constant": -1.2}
GRID_PEAK = {"length_km": -9.0, "mark": -0.1, "constant": -1.2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--routes", type=int, default=2000, help="per period, to find the two tastes from")
    parser.add_argument("--trials", type=int, default=20, help="cities of each kind")
    parser.add_argument("--trial-routes", type=int, default=100, help="per period and city")
    parser.add_argument("--held-out", type=int, default=500, help="per period and city")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"recovered": _recovered(arguments.routes)}
    rows = []
    with progress_bar("cities", 2 * arguments.trials) as update:
        for number, kind in enumerate(("matters", "does_not")):
            trials = []
            for seed in range(arguments.trials):
                trials.append(_trial(kind == "matters", seed, arguments))
                update(seed + 1 + number * arguments.trials, "")
            for way in ("auto", "free"):
                gap = _interval(np.array([one[way] - one["shared"] for one in trials]))
                figures[kind if way == "auto" else f"{kind}_free"] = gap
                rows.append([kind, way, f"{gap['mean']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]"])
            chosen = [one["penalty"] for one in trials]
            figures[f"{kind}_penalties"] = {str(one): chosen.count(one) for one in sorted(set(chosen), key=str)}
    out.print(text_table(["context", "penalty", "contexts - one reward, nats per held-out route"], rows), markup=False)
    print(json.dumps(figures))


def _recovered(count: int) -> dict[str, Any]:
    """How far estimates are from what was stated, by penalty and period."""
    network = read_roads(helsinki_path())
    routes = joined([_routes(network, taste, count, seed, at) for seed, (at, taste) in enumerate(REAL.items())])
    figures: dict[str, Any] = {"routes": len(routes)}
    for penalty in (0.0, "auto"):
        model = fit(network, routes, _config(tuple(REAL[PEAK]), penalty))
        for own, (at, taste) in zip(model.contexts, REAL.items(), strict=True):
            rows, gaps = [], []
            for one in own.coefficients:
                assert one.standard_error is not None
                gaps.append((one.value - taste[one.name]) / one.standard_error)
                rows.append([one.name, f"{taste[one.name]:g}", f"{one.value:.3f}", f"{gaps[-1]:+.2f}"])
            name = f"{own.name}, penalty {model.summary['context']['penalty']:g} ({penalty}), {at}"
            out.print(text_table([name, "stated", "found", "off by s.e."], rows), markup=False)
            figures[f"{own.name}_{'free' if penalty == 0.0 else penalty}"] = {
                "largest_gap": float(np.abs(gaps).max()),
                "within_3": int((np.abs(gaps) <= 3).sum()),
                "of": len(gaps),
            }
    return figures


def _routes(network: RoadNetwork, taste: dict[str, float], count: int, seed: int, at: str) -> Demonstrations:
    drawn = simulate(network, count, taste=taste, seed=seed, num_destinations=60, min_km=0.4).for_ending("arrival")
    return dataclasses.replace(drawn, departure=[at] * len(drawn))  # type: ignore[arg-type]


def _trial(differs: bool, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Held-out loss per route of one reward, of contexts under the chosen penalty and under none; the penalty."""
    network = grid_network(10, 10, seed=seed, marks=("mark",))
    tastes = {PEAK: GRID_PEAK if differs else GRID, OFF: GRID}

    def draw(count: int, first: int) -> Demonstrations:
        return joined([_routes(network, taste, count, first + n, at) for n, (at, taste) in enumerate(tastes.items())])

    routes, held_out = draw(arguments.trial_routes, 4 * seed), draw(arguments.held_out, 4 * seed + 2)
    auto, free = (fit(network, routes, _config(tuple(GRID), penalty)) for penalty in ("auto", 0.0))
    found = {"auto": auto, "free": free, "shared": auto.replace(contexts=())}
    losses: dict[str, Any] = {}
    for name, model in found.items():
        probability = log_probabilities(model, held_out)
        assert probability is not None
        losses[name] = -float(probability.mean())
    return {**losses, "penalty": auto.summary["context"]["penalty"]}


def _config(features: tuple[str, ...], penalty: float | str) -> Config:
    document = {
        "reward": {"features": list(features)},
        "baselines": {"budget": 0},
        "context": {"periods": PERIODS, "penalty": penalty},
    }
    return parse_config(document, where="benchmarks/context.py")


def _interval(values: Floats) -> dict[str, float]:
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return {"mean": float(values.mean()), "low": float(values.mean() - half), "high": float(values.mean() + half)}


if __name__ == "__main__":
    main()
