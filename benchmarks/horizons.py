"""One linear reward at every horizon, on held-out real routes: does looking H turns ahead beat MaxEnt?

H = 0 (maximum margin), 1 (BIRL), 2, 5, 10, 20 (RHIP) and infinity (MaxEnt), all through `trodden.fit`. Shanghai:
train.csv to test.csv, ten features, ending arrival. Borlänge: split 0 of splits_by_observation.csv, four features,
ending stop. The predicted route is the cheapest under the learned costs at every horizon; NLL is that of the horizon's
own policy.
Differences from H = infinity are paired on the same routes: 95 % bootstrap intervals, McNemar's test on exact matches.
Seconds per epoch are CPU seconds of one loss and gradient over all training routes, at the fitted reward.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from trodden import evaluate, fit, read_demonstrations, read_roads
from trodden.core.config import Config, parse_config
from trodden.core.errors import TroddenError
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.batches import make_batch
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.evaluation import Scores
from trodden.irl.likelihood import log_likelihood, route_log_probabilities
from trodden.irl.measures import bootstrap_interval, compare_matches, edge_iou
from trodden.irl.model import LearnedModel
from trodden.irl.planner import Planner
from trodden.irl.prediction import TripPredictor

HORIZONS: tuple[int | str, ...] = ("infinity", 0, 1, 2, 5, 10, 20)
QUICK: tuple[int | str, ...] = ("infinity", 0, 1, 10)
FEATURES = {
    "shanghai": ["length_km", "is_left", "is_right", "is_uturn", "constant", "class:*"],
    "borlange": ["travel_time_min", "is_left", "constant", "is_uturn"],
}
ENDING = {"shanghai": "arrival", "borlange": "stop"}


@dataclass
class Outcome:
    """One horizon on one data set."""

    model: LearnedModel
    scores: Scores
    matched: Any
    overlap: Any
    nll: Any
    seconds_per_epoch: float
    fit_seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds shanghai/ and borlange/")
    parser.add_argument("--quick", action="store_true", help="four horizons, 500 training and 500 test routes")
    parser.add_argument("--only", choices=sorted(FEATURES), help="one of the two data sets")
    parser.add_argument("--margin-steps", type=int, default=40, help="bundle steps at H = 0")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    for name in [arguments.only] if arguments.only else list(FEATURES):
        network, train, test = _read(arguments.data / name, name)
        if arguments.quick:
            train, test = (one.take(np.arange(min(500, len(one)))) for one in (train, test))
        print(f"\n{name}: {len(train)} training routes, {len(test)} test routes", flush=True)
        figures[name] = _compare(name, network, train, test, QUICK if arguments.quick else HORIZONS, arguments)
    print(json.dumps({"quick": arguments.quick, **figures}))


def _read(folder: Path, name: str) -> tuple[RoadNetwork, Demonstrations, Demonstrations]:
    network = read_roads(folder)
    if name == "shanghai":
        files = [folder / "train.csv", folder / "test.csv"]
        train, test = (read_demonstrations(file, network) for file in files)
        return network, train, test
    routes = read_demonstrations(folder / "routes.csv", network)
    with open(folder / "splits_by_observation.csv", newline="", encoding="utf-8") as file:
        parts = {row["part"]: set(row["route_ids"].split()) for row in csv.DictReader(file) if row["split"] == "0"}
    rows = [np.flatnonzero([route in parts[part] for route in routes.route_id]) for part in ("train", "test")]
    return network, routes.take(rows[0]), routes.take(rows[1])


def _compare(
    name: str,
    network: RoadNetwork,
    train: Demonstrations,
    test: Demonstrations,
    horizons: tuple[int | str, ...],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    print(f"{'H':>9} {'exact':>7} {'IoU':>7} {'NLL':>8} {'s/epoch':>8} {'fit s':>7}  differences from H = infinity")
    outcomes: dict[str, Outcome] = {}
    figures: dict[str, Any] = {}
    for horizon in horizons:
        planner = {"ending": ENDING[name], "horizon": horizon}
        document = {"reward": {"features": FEATURES[name]}, "planner": planner, "baselines": {"budget": 0}}
        if horizon == 0:
            document["training"] = {"max_iterations": arguments.margin_steps}
        try:
            one = _outcome(network, train, test, parse_config(document, where="benchmark"))
        except TroddenError as error:
            print(f"{horizon:>9} {error}", flush=True)
            figures[str(horizon)] = {"error": str(error)}
            continue
        outcomes[str(horizon)] = one
        figures[str(horizon)] = _figures(one, outcomes.get("infinity"), test)
        print(_line(horizon, figures[str(horizon)]), flush=True)
    print(_verdict(name, figures))
    return figures


def _outcome(network: RoadNetwork, train: Demonstrations, test: Demonstrations, config: Config) -> Outcome:
    started = time.process_time()
    model = fit(network, train, config)
    fit_seconds = time.process_time() - started
    ending = config.planner.ending
    used, held_out = train.for_ending(ending), test.for_ending(ending)
    planner = Planner(network.turns, config.planner, edge_id=network.graph.edge_id)
    batch = make_batch(used, config.planner)
    log_likelihood(planner, model.reward, batch)  # tables that are made once
    started = time.process_time()
    log_likelihood(planner, model.reward, batch)
    seconds = time.process_time() - started
    result = evaluate(model, test)
    predictor = TripPredictor(network, held_out, ending)
    paths, length = predictor.predict(model.turn_cost), network.edge_length_m()
    overlap = [
        edge_iou(paths[trip], held_out.route(row), length) for row, trip in enumerate(predictor.trip_of_route.tolist())
    ]
    nll = None
    if config.planner.horizon != 0:
        nll = -route_log_probabilities(planner, model.reward, held_out, held_out.batch(ending))
    scores = result.models["learned"]
    return Outcome(model, scores, result.matched["learned"], np.array(overlap), nll, seconds, fit_seconds)


def _figures(one: Outcome, base: Outcome | None, test: Demonstrations) -> dict[str, Any]:
    figures = {
        "exact": one.scores.exact,
        "exact_interval": one.scores.exact_interval,
        "iou": one.scores.iou,
        "nll_per_route": one.scores.nll_per_route,
        "seconds_per_epoch": one.seconds_per_epoch,
        "fit_seconds": one.fit_seconds,
        "is_converged": one.model.summary["is_converged"],
        "evaluations": one.model.summary["evaluations"],
    }
    if base is None or base is one:
        return figures
    weight = np.ones(len(one.matched))
    exact = compare_matches(one.matched, base.matched, weight)
    figures["exact_difference"], figures["exact_p"] = [exact.difference, *exact.interval], exact.p_value
    figures["iou_difference"] = _paired(one.overlap, base.overlap)
    if one.nll is not None and base.nll is not None:
        figures["nll_difference"] = _paired(one.nll, base.nll)
    return figures


def _paired(one: Any, two: Any) -> list[float]:
    """Mean difference and its 95 % bootstrap interval."""
    gap = one - two
    return [float(gap.mean()), *bootstrap_interval(gap, np.ones(len(gap)))]


def _line(horizon: int | str, figures: dict[str, Any]) -> str:
    nll = figures["nll_per_route"]
    text = (
        f"{horizon:>9} {figures['exact']:>7.4f} {figures['iou']:>7.4f} {'n/a' if nll is None else f'{nll:.4f}':>8} "
        f"{figures['seconds_per_epoch']:>8.3f} {figures['fit_seconds']:>7.1f} "
    )
    for key, label in (("exact_difference", "exact"), ("iou_difference", "IoU"), ("nll_difference", "NLL")):
        if key in figures:
            middle, low, high = figures[key]
            text += f" {label} {middle:+.4f} [{low:+.4f}, {high:+.4f}]"
    return text + ("" if figures["is_converged"] else "  (not converged)")


def _verdict(name: str, figures: dict[str, Any]) -> str:
    """What the data say about H = 10, whatever it is."""
    ten = figures.get("10", {})
    if "exact_difference" not in ten:
        return f"{name}: no comparison of H = 10 with H = infinity"
    parts = []
    for key, label, sign in (
        ("exact_difference", "exact match", 1),
        ("iou_difference", "IoU", 1),
        ("nll_difference", "NLL", -1),
    ):
        middle, low, high = ten[key]
        is_open = low <= 0 <= high
        word = "no different in" if is_open else ("better in" if sign * middle > 0 else "worse in")
        parts.append(f"{word} {label} ({middle:+.4f}, [{low:+.4f}, {high:+.4f}])")
    pace = ten["seconds_per_epoch"] / figures["infinity"]["seconds_per_epoch"]
    best = max((one["exact"], horizon) for horizon, one in figures.items() if "exact" in one)[1]
    return (
        f"{name}: H = 10 against H = infinity is " + "; ".join(parts) + f". An epoch costs {pace:.2f} times as much. "
        f"Most exact matches: H = {best}."
    )


if __name__ == "__main__":
    main()
