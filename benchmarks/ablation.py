"""Every kind of reward at every horizon, on real routes: what does each of them add?

Linear, corrections per edge, per turn, an MLP, the MLP with corrections, an ensemble of rewards with corrections per
turn; H = 0 (maximum margin), 1 (BIRL), 10 (RHIP), infinity (MaxEnt). Shanghai: a fifth of train.csv is held out
(test.csv is not looked at), ending arrival. Borlänge: split 0 of splits_by_observation.csv, ending stop. Differences
are to the linear reward at H = infinity, paired on the same routes: 95 % bootstrap intervals. Seconds are CPU time.

Every row is stored in --folder as soon as it is there; the same command goes on where it stood.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from trodden import fit, read_demonstrations, read_roads
from trodden.cli.console import out, progress_bar, text_table
from trodden.core.config import Config, parse_config
from trodden.core.errors import TroddenError
from trodden.core.files import write_file
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.evaluation import log_probabilities, match_routes
from trodden.irl.measures import bootstrap_interval, compare_matches
from trodden.irl.prediction import TripPredictor

HORIZONS: tuple[int | str, ...] = ("infinity", 0, 1, 10)
SPARSE = {"edge_penalty": 1.0, "turn_penalty": 1.0}
REWARDS: dict[str, dict[str, Any]] = {
    "linear": {},
    "sparse edge": {"corrections": ["edge"], **SPARSE},
    "sparse turn": {"corrections": ["turn"], **SPARSE},
    "MLP": {"linear": False, "mlp_width": 16},
    "MLP + sparse": {"linear": False, "mlp_width": 16, "corrections": ["edge", "turn"], **SPARSE},
    "ensemble": {"corrections": ["turn"], "members": 3, **SPARSE},
}
FEATURES = {
    "shanghai": ["length_km", "is_left", "is_right", "is_uturn", "constant", "class:*"],
    "borlange": ["travel_time_min", "is_left", "constant", "is_uturn"],
}
ENDING = {"shanghai": "arrival", "borlange": "stop"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds shanghai/ and borlange/")
    parser.add_argument("--sets", nargs="+", default=list(FEATURES), choices=list(FEATURES))
    parser.add_argument("--horizons", nargs="+", default=[str(one) for one in HORIZONS])
    parser.add_argument("--rewards", nargs="+", default=list(REWARDS), choices=list(REWARDS))
    parser.add_argument("--iterations", type=int, default=80, help="at most so many in a fit")
    parser.add_argument("--folder", type=Path, default=Path("out/ablation"), help="where rows are kept")
    parser.add_argument("--json", type=Path, help="write the rows, for `trodden report --ablation`")
    arguments = parser.parse_args()
    horizons = [one if one == "infinity" else int(one) for one in arguments.horizons]
    wanted = [(s, h, r) for s in arguments.sets for h in horizons for r in arguments.rewards]
    found: dict[tuple[str, int | str, str], dict[str, Any]] = {}
    splits = {name: _split(arguments.data / name, name) for name in arguments.sets}
    with progress_bar("ablation", len(wanted)) as update:
        for done, (name, horizon, reward) in enumerate(wanted):
            update(done, f"{name}, H = {horizon}, {reward}")
            config = _config(name, horizon, reward, arguments.iterations)
            found[name, horizon, reward] = _stored(arguments.folder, *splits[name], config)
    rows = [
        _row(name, horizon, reward, one, found[name, "infinity", "linear"], splits[name][1])
        for (name, horizon, reward), one in found.items()
        if (name, "infinity", "linear") in found
    ]
    out.print(_table(rows), markup=False)
    if arguments.json is not None:
        write_file(arguments.json, (json.dumps({"rows": rows}, indent=1) + "\n").encode())
    print(json.dumps({"rows": rows}))


def _split(folder: Path, name: str) -> tuple[Demonstrations, Demonstrations]:
    """(routes to learn from, routes held out)."""
    network = read_roads(folder)
    if name == "shanghai":
        return read_demonstrations(folder / "train.csv", network).split_by_route(0.2, 0)
    routes = read_demonstrations(folder / "routes.csv", network)
    with (folder / "splits_by_observation.csv").open(newline="") as file:
        part = {row["part"]: set(row["route_ids"].split()) for row in csv.DictReader(file) if row["split"] == "0"}
    ids = list(routes.route_id)
    train, held = (np.array([i for i, one in enumerate(ids) if one in part[kind]]) for kind in ("train", "test"))
    return routes.take(train), routes.take(held)


def _config(name: str, horizon: int | str, reward: str, iterations: int) -> Config:
    document = {
        "reward": {"features": FEATURES[name], **REWARDS[reward]},
        "planner": {"horizon": horizon, "ending": ENDING[name]},
        "training": {"max_iterations": iterations},
        "baselines": {"budget": 0},
    }
    return parse_config(document, where="benchmark")


def _stored(folder: Path, train: Demonstrations, held: Demonstrations, config: Config) -> dict[str, Any]:
    """What `_measured` gave, from its file where it was there already."""
    key = json.dumps([config.model_dump(mode="json"), train.digest("stop"), held.digest("stop")], sort_keys=True)
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    found = _measured(train, held, config)
    write_file(path, json.dumps(found).encode())
    return found


def _measured(train: Demonstrations, held: Demonstrations, config: Config) -> dict[str, Any]:
    started = time.process_time()  # of all threads: what else this machine does is not the matter
    try:
        model = fit(train.network, train, config)
    except TroddenError as error:
        return {"problem": f"{type(error).__name__}: {error}"}
    seconds = time.process_time() - started
    routes = held.for_ending(model.ending)
    matched, overlap = match_routes(TripPredictor(train.network, routes, model.ending), routes, model.turn_cost)
    found = log_probabilities(model, routes)
    return {
        "matched": matched.astype(int).tolist(),
        "iou": float(np.average(overlap, weights=routes.weight)),
        "nll": None if found is None else -float(np.average(found, weights=routes.weight)),
        "seconds": seconds,
        "iterations": model.summary["iterations"],
    }


def _row(
    name: str, horizon: int | str, reward: str, one: dict[str, Any], base: dict[str, Any], held: Demonstrations
) -> dict[str, Any]:
    row: dict[str, Any] = {"data": name, "reward": reward, "horizon": horizon}
    if "problem" in one:
        return {**row, "problem": one["problem"]}
    matched, weight = np.array(one["matched"], bool), held.for_ending(ENDING[name]).weight  # type: ignore[arg-type]
    gap = compare_matches(matched, np.array(base["matched"], bool), weight)
    return {
        **row,
        "exact": float(np.average(matched, weights=weight)),
        "exact_interval": list(bootstrap_interval(matched.astype(float), weight)),
        "iou": one["iou"],
        "nll": one["nll"],
        "seconds": one["seconds"],
        "iterations": one["iterations"],
        "gap": gap.difference,
        "gap_interval": list(gap.interval),
    }


def _table(rows: list[dict[str, Any]]) -> str:
    shown = []
    for row in rows:
        head = [row["data"], row["reward"], str(row["horizon"]).replace("infinity", "inf")]
        if "problem" in row:
            shown.append([*head, "failed", *[""] * 4])
            continue
        low, high = row["gap_interval"]
        nll = "-" if row["nll"] is None else f"{row['nll']:.3f}"
        gap = f"{row['gap']:+.3f} [{low:+.3f},{high:+.3f}]"
        shown.append([*head, f"{row['exact']:.3f}", gap, f"{row['iou']:.3f}", nll, f"{row['seconds']:.0f}"])
    return text_table(["data", "reward", "H", "exact", "minus linear, H = inf", "IoU", "NLL", "CPU s"], shown)


if __name__ == "__main__":
    main()
