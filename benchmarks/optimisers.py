"""How many steps and seconds each training method needs to the maximum-likelihood estimate, on real routes.

Methods: Newton's with the exact Hessian (`auto`, warmed up on an eighth of the destinations), BHHH (preconditioned by
the outer product of scores, an estimate of the Fisher information), L-BFGS-B, Adam, and Adam on mini-batches of
destinations. All from the same start, through `trodden.fit`. Borlänge: four features, ending stop. Shanghai: ten
features, ending arrival.

Two targets, both in the total log-likelihood of the training routes against the best that any method found:
"near", within 2 nats, at which a likelihood-ratio test would not tell the two apart, and "exact", within 1e-4.
The coefficients are noted after every step (every pass, with mini-batches) and their log-likelihood is evaluated
afterwards, outside the clock. Evaluations are passes through all routes up to the end, those of parts added up;
Newton's and BHHH's cost (F + 2) / 2 times one of the others.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from trodden import fit, read_demonstrations, read_roads
from trodden.cli.console import out, text_table
from trodden.core.config import parse_config
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.batches import make_batch
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.features import make_features
from trodden.irl.likelihood import log_likelihood
from trodden.irl.planner import Planner
from trodden.irl.progress import TrainingProgress

DATA = {
    "borlange": ("routes.csv", "stop", ["travel_time_min", "is_left", "constant", "is_uturn"]),
    "shanghai": ("train.csv", "arrival", ["length_km", "is_left", "is_right", "is_uturn", "constant", "class:*"]),
}
TARGETS = {"near": 2.0, "exact": 1e-4}


@dataclass
class Run:
    """One method: where it stood after each step, and what it reported at the end."""

    seconds: list[float] = field(default_factory=list)
    coefficients: list[np.ndarray] = field(default_factory=list)
    log_likelihood: list[float] = field(default_factory=list)
    evaluations: int = 0
    name: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds shanghai/ and borlange/")
    parser.add_argument("--only", choices=sorted(DATA), help="one of the two data sets")
    parser.add_argument("--passes", type=int, default=60, help="Adam's passes through all routes")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.3], help="Adam's learning rates")
    parser.add_argument("--routes", type=int, help="at most so many training routes")
    arguments = parser.parse_args()
    figures = {name: _compare(name, arguments) for name in ([arguments.only] if arguments.only else DATA)}
    print(json.dumps(figures))


def _compare(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    file, ending, features = DATA[name]
    network = read_roads(arguments.data / name)
    routes = read_demonstrations(arguments.data / name / file, network)
    routes = routes.take(np.arange(min(arguments.routes or len(routes), len(routes)))).for_ending(ending)
    destinations = len(routes.batch(ending).destinations)
    out.print(f"\n{name}: {len(routes)} routes to {destinations} destinations", markup=False)
    runs = {
        label: _run(network, routes, ending, features, training)
        for label, training in _methods(destinations, arguments).items()
    }
    _evaluate(network, routes, ending, features, runs)
    best = max(max(run.log_likelihood) for run in runs.values())
    figures = {label: _figures(run, best) for label, run in runs.items()}
    out.print(_table(figures), markup=False)
    return {"log_likelihood": best, **figures}


def _methods(destinations: int, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    adam = {"method": "adam", "max_iterations": arguments.passes}
    return {
        "Newton": {"method": "auto"},
        "BHHH": {"method": "bhhh"},
        "L-BFGS-B": {"method": "l-bfgs"},
        **{f"Adam, rate {rate:g}": {**adam, "learning_rate": rate} for rate in arguments.rates},
        **{
            f"Adam, rate {rate:g}, 8 mini-batches": {
                **adam,
                "learning_rate": rate,
                "batch_destinations": -(-destinations // 8),
            }
            for rate in arguments.rates
        },
    }


def _run(
    network: RoadNetwork, routes: Demonstrations, ending: str, features: list[str], training: dict[str, Any]
) -> Run:
    document = {
        "reward": {"features": features},
        "planner": {"ending": ending},
        "training": training,
        "baselines": {"budget": 0},
    }
    run = Run()

    def note(step: TrainingProgress) -> None:
        run.seconds.append(time.perf_counter() - started)
        run.coefficients.append(step.checkpoint.coefficients)

    started = time.perf_counter()
    model = fit(network, routes, parse_config(document, where="benchmark"), progress=note)
    run.seconds.append(time.perf_counter() - started)
    run.coefficients.append(np.array([c.value for c in model.coefficients]))
    run.evaluations, run.name = int(model.summary["evaluations"]), str(model.summary["method"])
    return run


def _evaluate(
    network: RoadNetwork, routes: Demonstrations, ending: str, features: list[str], runs: dict[str, Run]
) -> None:
    config = parse_config({"reward": {"features": features}, "planner": {"ending": ending}}, where="benchmark")
    value = make_features(network, config.reward.features).value
    planner, batch = Planner(network.turns, config.planner), make_batch(routes, config.planner)
    for run in runs.values():
        run.log_likelihood = [log_likelihood(planner, value @ one, batch)[0] for one in run.coefficients]


def _figures(run: Run, best: float) -> dict[str, Any]:
    """Steps and seconds to each target, None where it was not met before the final polishing with the Hessian."""
    result: dict[str, Any] = {"ended_by": run.name, "evaluations": run.evaluations, "fit_seconds": run.seconds[-1]}
    for target, gap in TARGETS.items():
        met = [k for k, value in enumerate(run.log_likelihood[:-1]) if value >= best - gap]
        result[f"steps_{target}"] = met[0] + 1 if met else None
        result[f"seconds_{target}"] = run.seconds[met[0]] if met else None
    return result


def _table(figures: dict[str, dict[str, Any]]) -> str:
    columns = ["steps_near", "seconds_near", "steps_exact", "seconds_exact", "evaluations", "fit_seconds"]
    titles = ["method", "steps", "s to near", "steps", "s to exact", "evaluations", "whole fit, s"]
    rows = [[label, *(_number(row[column]) for column in columns)] for label, row in figures.items()]
    return text_table(titles, rows)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"


if __name__ == "__main__":
    main()
