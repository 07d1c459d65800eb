"""Does the first-order influence of leaving out demonstrations rank them as refitting for real does?

Per data set and reward: the influence of some forty groups on coefficients, on a route's log-probability and, with
corrections, on the correction of the turn that most routes take; and the same by a refit without each group. Printed is
Spearman's rank correlation of estimate and refit over the groups, and the median ratio of estimate over refit.

`borlange`: groups are the routes to one destination each, drawn among destinations with at least --least routes; ending
stop. With turn corrections the routes to the --destinations most frequent destinations alone. `travellers`: simulated
ones on a grid, each with a taste of his own around a common one; a group is a traveller. Rewards: plain linear, and a
correction for every turn driven; trained to convergence, since an influence is one on the optimum.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from _grids import grid_network
from scipy import stats
from trodden import fit, read_demonstrations, read_roads, simulate
from trodden.cli.console import out, progress_bar, text_table
from trodden.core.config import parse_config
from trodden.irl.demonstrations import Demonstrations, joined
from trodden.irl.destinations import destination_key
from trodden.irl.insight.influence import InfluenceStudy, Target

BORLANGE = ["travel_time_min", "is_left", "constant", "is_uturn"]
TASTE = {"length_km": -4.0, "mark": -0.6, "constant": -1.2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "borlange"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--groups", type=int, default=40)
    parser.add_argument("--least", type=int, default=3, help="routes of a destination that may be a group")
    parser.add_argument("--destinations", type=int, default=60, help="of Borlänge, with turn corrections")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["borlange", "travellers"])
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"groups": arguments.groups}
    for name in [arguments.only] if arguments.only else ["borlange", "travellers"]:
        for reward in ("linear", "turn"):
            routes, group, features, ending = _data(name, reward, arguments)
            found = _compare(routes, group, features, ending, reward, arguments, f"{name}, {reward}")
            figures[f"{name}_{reward}"] = found
    print(json.dumps(figures))


def _data(name: str, reward: str, arguments: argparse.Namespace) -> tuple[Demonstrations, list[str], list[str], str]:
    """(routes, the group of each, features, ending)."""
    if name == "travellers":
        routes = _travellers(arguments.groups, arguments.seed)
        return routes, list(routes.traveller or ()), list(TASTE), "arrival"
    network = read_roads(arguments.data)
    routes = read_demonstrations(arguments.data / "routes.csv", network)
    key = destination_key(network.graph, routes.last_edge, "stop")
    if reward == "turn":
        nodes, count = np.unique(key, return_counts=True)
        often = nodes[np.argsort(-count, kind="stable")[: arguments.destinations]]
        rows = np.flatnonzero(np.isin(key, often))
        routes, key = routes.take(rows), key[rows]
    return routes, [f"to {node}" for node in network.graph.node_id[key].tolist()], BORLANGE, "stop"


def _travellers(count: int, seed: int) -> Demonstrations:
    """25 routes of each traveller, whose tastes spread by half around the common one."""
    network = grid_network(12, 12, seed=seed, marks=("mark",))
    random = np.random.default_rng(seed)
    parts = []
    for who in range(count):
        own = {name: value * float(np.exp(0.3 * random.normal())) for name, value in TASTE.items()}
        routes = simulate(network, 25, taste=own, seed=seed * 1000 + who, num_destinations=5)
        names = [f"{who}-{row}" for row in range(len(routes))]
        parts.append(dataclasses.replace(routes, route_id=names, traveller=[f"traveller {who}"] * len(routes)))
    return joined(parts)


def _compare(
    routes: Demonstrations,
    group: list[str],
    features: list[str],
    ending: str,
    reward: str,
    arguments: argparse.Namespace,
    title: str,
) -> dict[str, Any]:
    document = {
        "reward": {"features": features, "corrections": ["turn"] if reward == "turn" else []},
        "planner": {"ending": ending},
        "training": {"validation_share": 0.0, "max_iterations": 2000},
        "baselines": {"budget": 0},
    }
    started = time.perf_counter()
    model = fit(routes.network, routes, parse_config(document, where="benchmark"))
    seconds = {"fit": time.perf_counter() - started}
    started = time.perf_counter()
    study = InfluenceStudy(model, routes)
    targets = _targets(study, features, reward)
    estimates = [study.influence(target, group=group) for target in targets]
    seconds["estimates"] = time.perf_counter() - started
    wanted = _drawn(group, arguments)
    started = time.perf_counter()
    with progress_bar(f"{title}: refits", len(wanted)) as update:
        real = study.refit(targets, group=group, only=wanted, progress=lambda count: update(count, ""))
    seconds["refits"] = time.perf_counter() - started
    result: dict[str, Any] = {"routes": len(routes), "parameters": len(study.curvature.parameters), **seconds}
    rows = []
    for at, estimate in enumerate(estimates):
        guess = np.array([estimate.change[estimate.groups.index(name)] for name in wanted])
        truth = np.array([real[name][at] for name in wanted])
        rank = float(stats.spearmanr(guess, truth).statistic)
        ratio = float(np.median(guess / truth))
        result[estimate.target] = {
            "spearman": rank,
            "ratio": ratio,
            "largest": float(np.abs(truth).max()),
            "damping": estimate.damping,
            "products": estimate.num_products,
            "still_to_go": estimate.still_to_go,
        }
        rows.append([estimate.target, f"{rank:.4f}", f"{ratio:.3f}", f"{np.abs(truth).max():.4f}"])
    out.print(f"{title}: {len(routes)} routes, {len(wanted)} of {len(set(group))} groups")
    out.print(text_table(["target", "Spearman", "estimate/refit", "largest"], rows))
    out.print(", ".join(f"{what} {spent:.0f} s" for what, spent in seconds.items()))
    return result


def _targets(study: InfluenceStudy, features: list[str], reward: str) -> list[Target]:
    routes = study.routes
    targets = [study.on_parameter(name) for name in (features if reward == "linear" else features[:1])]
    longest = int(np.argmax(np.diff(routes.first)))
    targets.append(study.on_route(routes.take(np.array([longest]))))
    if reward == "turn":
        taken = np.bincount(routes.turns()[0], minlength=routes.network.turns.num_turns)
        turns, ids = routes.network.turns, routes.network.graph.edge_id
        most = int(np.argmax(taken))
        targets.append(study.on_parameter(f"turn:{ids[turns.from_edge[most]]},{ids[turns.to_edge[most]]}"))
    return targets


def _drawn(group: list[str], arguments: argparse.Namespace) -> list[str]:
    names, count = np.unique(np.array(group), return_counts=True)
    names = names[count >= arguments.least]
    random = np.random.default_rng(arguments.seed)
    return sorted(random.choice(names, min(arguments.groups, len(names)), replace=False).tolist())


if __name__ == "__main__":
    main()
