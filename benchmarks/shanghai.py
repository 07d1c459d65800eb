"""Real taxi routes in Shanghai: learned rewards against shortest, fastest and hand-tuned penalties, on held-out trips.

Two rewards are fitted on train.csv and looked at once on test.csv: a linear one of ten features, and the one that
shanghai_best.toml describes, which was chosen on train.csv alone (`trodden select`, shanghai_candidates.toml). The
penalties have every turn kind and road class and a stated budget of random search on train.csv. *Imitation* answers a
pair seen in training with its most frequent route, and has no answer for others. Routes: Zhao & Liang (2023),
Transportation Research C 149, 104079; roads: OpenStreetMap.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from trodden import evaluate, fit, read_demonstrations, read_roads
from trodden.cli.console import coefficient_table, out
from trodden.core.config import parse_config, read_config
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.evaluation import Evaluation
from trodden.irl.measures import compare_matches

FEATURES = ["length_km", "is_left", "is_right", "is_uturn", "constant", "class:*"]
_DRAWS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "shanghai"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("shanghai_best.toml"))
    parser.add_argument("--budget", type=int, help="evaluations of the penalty search; default: as the settings say")
    arguments = parser.parse_args()
    network = read_roads(arguments.data)
    train = read_demonstrations(arguments.data / "train.csv", network)
    held_out = read_demonstrations(arguments.data / "test.csv", network)
    plain = parse_config({"reward": {"features": FEATURES}, "baselines": {"budget": 0}}, where="benchmark")
    started = time.perf_counter()
    linear = fit(network, train, plain)
    linear_seconds = time.perf_counter() - started
    out.print(coefficient_table(linear.coefficients))
    simple = evaluate(linear, held_out)
    settings = read_config(arguments.config)
    if arguments.budget is not None:
        baselines = settings.baselines.model_copy(update={"budget": arguments.budget})
        settings = settings.model_copy(update={"baselines": baselines})
    started = time.perf_counter()
    model = fit(network, train, settings)
    seconds = time.perf_counter() - started
    print(f"\n{arguments.config.name}: {model.summary['num_parameters']}, {seconds:.0f} s with the penalty search")
    result = evaluate(model, held_out)
    print(result.table())
    imitated = _imitated(train, held_out)
    seen = np.isin(held_out.pair_keys("arrival"), train.pair_keys("arrival"))
    pairs = _pairs_apart(result, imitated, seen)
    for name, (of_seen, of_unseen) in pairs.items():
        print(f"{name:<18} exact on seen pairs {of_seen:.3f}, on unseen ones {of_unseen:.3f}")
    with_penalties = result.matched.get("fastest_penalised")
    learned, simple_learned = result.models["learned"], simple.models["learned"]
    figures: dict[str, Any] = {
        "linear_exact": simple_learned.exact,
        "linear_exact_interval": simple_learned.exact_interval,
        "linear_iou": simple_learned.iou,
        "linear_log_prob": -(simple_learned.nll_per_route or float("nan")),
        "linear_seconds": linear_seconds,
        "shortest_exact": result.models["shortest"].exact,
        "fastest_exact": result.models["fastest"].exact,
        "fastest_penalised_exact": result.models["fastest_penalised"].exact if with_penalties is not None else None,
        "best_exact": learned.exact,
        "best_exact_interval": learned.exact_interval,
        "best_iou": learned.iou,
        "best_log_prob": -(learned.nll_per_route or float("nan")),
        **_lift(result.matched["learned"], with_penalties),
        "seen_best_exact": pairs["learned"][0],
        "seen_imitation_exact": pairs["imitation"][0],
        "unseen_best_exact": pairs["learned"][1],
        "unseen_gap_intervals": _unseen_gaps(result, imitated, ~seen),
        "routes": result.num_routes,
        "seconds": seconds,
    }
    print(json.dumps(figures))


def _imitated(train: Demonstrations, held_out: Demonstrations) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """bool[R]: the most frequent training route of the same pair is the one that was travelled."""
    counts: dict[tuple[int, int], Counter[bytes]] = {}
    for row in range(len(train)):
        route = train.route(row)
        counts.setdefault((int(route[0]), int(route[-1])), Counter())[route.tobytes()] += 1
    matched = []
    for row in range(len(held_out)):
        route = held_out.route(row)
        known = counts.get((int(route[0]), int(route[-1])))
        matched.append(known is not None and known.most_common(1)[0][0] == route.tobytes())
    return np.array(matched, bool)


def _pairs_apart(result: Evaluation, imitated: Any, seen: Any) -> dict[str, tuple[float, float]]:
    """Exact match on routes of pairs seen in training, and of others."""
    every = {**result.matched, "imitation": imitated}
    return {name: (float(one[seen].mean()), float(one[~seen].mean())) for name, one in every.items()}


def _unseen_gaps(result: Evaluation, imitated: Any, unseen: Any) -> dict[str, tuple[float, float]]:
    """95 % intervals of exact match of the learned reward minus every other's, on pairs that training had not."""
    others = {**result.matched, "imitation": imitated}
    learned, weight = others.pop("learned")[unseen], np.ones(int(unseen.sum()))
    return {name: compare_matches(learned, one[unseen], weight).interval for name, one in others.items()}


def _lift(learned: Any, penalised: Any) -> dict[str, Any]:
    """Exact match over that of fastest with penalties, minus 1, with a paired 95 % bootstrap interval."""
    if penalised is None:
        return {"lift_over_fastest_penalised": None, "lift_interval": None}
    random, count = np.random.default_rng(0), len(learned)
    draws = []
    for _ in range(_DRAWS):
        rows = random.integers(0, count, count)
        draws.append(learned[rows].mean() / penalised[rows].mean() - 1)
    return {
        "lift_over_fastest_penalised": float(learned.mean() / penalised.mean() - 1),
        "lift_interval": [float(one) for one in np.quantile(draws, [0.025, 0.975])],
    }


if __name__ == "__main__":
    main()
