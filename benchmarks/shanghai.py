"""Real taxi routes in Shanghai: a linear reward against shortest and fastest, on held-out trips.

The reward has ten features (length, left, right, U-turn, constant, road classes). It is fitted on train.csv and looked
at once on test.csv. Routes: Zhao & Liang (2023), Transportation Research C 149, 104079; roads: OpenStreetMap.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from trodden import evaluate, fit, read_demonstrations, read_roads
from trodden.cli.console import coefficient_table, out
from trodden.core.config import parse_config

FEATURES = ["length_km", "is_left", "is_right", "is_uturn", "constant", "class:*"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "shanghai"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--budget", type=int, default=200, help="evaluations of the penalty search on train.csv")
    arguments = parser.parse_args()
    network = read_roads(arguments.data)
    train = read_demonstrations(arguments.data / "train.csv", network)
    held_out = read_demonstrations(arguments.data / "test.csv", network)
    document = {
        "reward": {"features": FEATURES},
        "baselines": {"budget": arguments.budget, "num_routes": len(train)},
    }
    started = time.perf_counter()
    model = fit(network, train, parse_config(document, where="benchmark"))
    seconds = time.perf_counter() - started
    out.print(coefficient_table(model.coefficients))
    result = evaluate(model, held_out)
    print(result.table())
    print(f"fit (with {arguments.budget} evaluations of the penalty search): {seconds:.1f} s")
    learned = result.models["learned"]
    figures = {
        "linear_exact": learned.exact,
        "linear_exact_interval": learned.exact_interval,
        "linear_iou": learned.iou,
        "linear_log_prob": -(learned.nll_per_route or float("nan")),
        "shortest_exact": result.models["shortest"].exact,
        "fastest_exact": result.models["fastest"].exact,
        "fastest_penalised_exact": result.models["fastest_penalised"].exact if arguments.budget else None,
        "unseen_linear_exact": result.unseen["learned"].exact,
        "routes": result.num_routes,
        "seconds": seconds,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
