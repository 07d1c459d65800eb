"""One gradient of the same likelihood on the same *simulated* routes: ours beside two other ways to compute it.

A grid of 1,022 edges, routes drawn from a stated reward, four coefficients, all on edges, since MCE-IRL's rewards are
on states. Ours is a log-likelihood with its gradient: a new LU, then two triangular solves per destination.

recursive logit  as published codes do it, written here with SciPy: per destination one sparse solve for the values and
                 one per coefficient for their slopes, each factorising anew. Same log-likelihood and gradient to 1e-8.
imitation 1.0.1  `mce_partition_fh` and `mce_occupancy_measures`, one finite-horizon process per destination. It wants
                 dense transitions and as many actions in every state: forbidden ones lead to a state of reward -1000.
                 Its horizon is twice the longest route, and its time proportional to that. Timed on
                 --imitation-destinations of the destinations, building the process outside the clock,
                 and scaled to all. Its visits differ from ours by the routes longer than its horizon, as printed.

imitation brings PyTorch along and is in none of our dependency lists: give the Python of an environment that has it.

    python3.11 -m venv peers && peers/bin/pip install imitation==1.0.1 torch 'setuptools<81'
    python benchmarks/peers.py --imitation-python peers/bin/python

Seconds are medians of --repeat, taken in turn. Without --imitation-python its figures are null.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _grids import grid_network
from scipy import sparse
from scipy.sparse.linalg import spsolve
from trodden.cli.console import out, text_table
from trodden.core.config import PlannerConfig
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.features import make_features
from trodden.irl.likelihood import log_likelihood
from trodden.irl.planner import Planner
from trodden.irl.simulation import simulate

TASTE = {"travel_time_min": -2.0, "busy": -0.4, "unlit": -0.3, "constant": -1.3}
AT = np.array([-1.6, -0.3, -0.5, -1.5])
"""Where the gradient is taken: away from the truth, so that it is not near zero."""
FORBIDDEN = -1000.0
LEAST = {"imitation_ratio": 100, "recursive_logit_ratio": 20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imitation-python", type=Path, help="a Python that has imitation==1.0.1")
    parser.add_argument("--routes", type=int, default=300)
    parser.add_argument("--destinations", type=int, default=30)
    parser.add_argument("--imitation-destinations", type=int, default=3)
    parser.add_argument("--horizon", type=int, help="imitation's, in turns; default twice the longest route")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    network = grid_network(16, 17, marks=("busy", "unlit"))
    routes = simulate(network, arguments.routes, taste=TASTE, seed=0, num_destinations=arguments.destinations)
    routes = routes.for_ending("arrival")
    longest = int(np.diff(routes.first).max())
    arguments.horizon = arguments.horizon or 2 * longest
    out.print(
        f"{network.graph.num_edges} edges, {len(routes)} simulated routes to {arguments.destinations} destinations, "
        f"the longest of {longest} edges",
        markup=False,
    )
    figures = _compare(network, routes, arguments)
    for key, least in LEAST.items():
        if figures[key] is not None:
            verdict = "met" if figures[key] >= least else "missed"
            out.print(f"{key} of at least {least}: {verdict} ({figures[key]:,.0f})", markup=False)
    print(json.dumps(figures))


def _compare(network: RoadNetwork, routes: Demonstrations, arguments: argparse.Namespace) -> dict[str, Any]:
    features = make_features(network, tuple(TASTE)).value
    planner, batch = Planner(network.turns, PlannerConfig()), routes.batch("arrival")
    times: dict[str, list[float]] = {"ours": [], "recursive logit": []}
    for _ in range(arguments.repeat):
        started = time.perf_counter()
        value, slope = log_likelihood(planner, features @ AT, batch)
        gradient = features.T @ slope
        times["ours"].append(time.perf_counter() - started)
        planner = Planner(network.turns, PlannerConfig())  # keeps its last factorisation: a new one starts anew
        started = time.perf_counter()
        other, other_gradient = _recursive_logit(network, routes, features)
        times["recursive logit"].append(time.perf_counter() - started)
    seconds = {name: statistics.median(one) for name, one in times.items()}
    errors = {
        "recursive logit": max(
            abs(value - other) / abs(value), float(np.abs(gradient - other_gradient).max() / np.abs(gradient).max())
        )
    }
    peer = _imitation(network, routes, arguments) if arguments.imitation_python else None
    if peer is None:
        out.print("imitation is left out: --imitation-python names an environment that has it", markup=False)
    else:
        seconds["imitation"], errors["imitation"] = peer["seconds"], peer["error"]
    rows = [
        [name, f"{1000 * one:,.1f}", f"{one / seconds['ours']:,.0f}", f"{errors[name]:.0e}" if name in errors else "-"]
        for name, one in seconds.items()
    ]
    out.print(text_table(["one gradient", "ms", "times ours", "relative difference"], rows), markup=False)
    return {
        "imitation_ratio": peer and peer["seconds"] / seconds["ours"],
        "recursive_logit_ratio": seconds["recursive logit"] / seconds["ours"],
        "ours_ms": 1000 * seconds["ours"],
        "recursive_logit_ms": 1000 * seconds["recursive logit"],
        "imitation_ms": peer and 1000 * peer["seconds"],
        "imitation_peak_mb": peer and peer["peak_mb"],
        "differences": errors,
    }


def _recursive_logit(network: RoadNetwork, routes: Demonstrations, features: np.ndarray) -> tuple[float, np.ndarray]:
    """Log-likelihood and gradient, float64[F]: values and slopes of each destination by a solve of their own."""
    turns, size = network.turns, network.turns.num_edges
    begin, end = turns.from_edge, turns.to_edge
    taken, _ = routes.turns()
    observed = features[taken].sum(axis=0)
    total, gradient = float(observed @ AT), observed.copy()
    weight = np.exp(features @ AT)
    for goal in np.unique(routes.last_edge):
        origins = routes.origin[routes.last_edge == goal]
        kept = np.where(begin == goal, 0.0, weight)  # the destination absorbs
        matrix = sparse.csr_matrix((kept, (begin, end)), shape=(size, size))
        system = sparse.identity(size, format="csr") - matrix
        ends = np.zeros(size)
        ends[goal] = 1.0
        z = spsolve(system, ends)
        total -= float(np.log(z[origins]).sum())
        for k in range(features.shape[1]):
            moved = sparse.csr_matrix((kept * features[:, k], (begin, end)), shape=(size, size)) @ z
            gradient[k] -= float((spsolve(system, moved)[origins] / z[origins]).sum())
    return total, gradient


def _imitation(network: RoadNetwork, routes: Demonstrations, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds for all destinations, scaled from some; the largest relative difference of the visits from ours."""
    goals = np.unique(routes.last_edge)[: arguments.imitation_destinations]
    edge_reward = make_features(network, tuple(TASTE)).edge_reward(AT)
    processes = [_process(network, edge_reward, int(goal), routes) for goal in goals]
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "given.npz", Path(folder) / "answer.npz"
        names = ("successor", "reward", "start")
        arrays = {name: np.array([one[k] for one in processes]) for k, name in enumerate(names)}
        np.savez(given, horizon=arguments.horizon, **arrays)
        program = Path(__file__).with_name("_imitation_peer.py")
        ran = subprocess.run([arguments.imitation_python, program, given, answer], capture_output=True, text=True)
        if ran.returncode:
            sys.exit(f"imitation failed in {arguments.imitation_python}:\n{ran.stderr[-2000:]}")
        found = np.load(answer, allow_pickle=False)
        seconds, visits, peak = found["seconds"], found["visits"], float(found["peak_mb"])
    features, turns = make_features(network, tuple(TASTE)).value, network.turns
    worst = 0.0
    for goal, seen in zip(goals, visits, strict=True):
        batch = routes.take(np.flatnonzero(routes.last_edge == goal)).batch("arrival")
        _, expected = Planner(turns, PlannerConfig()).total_value(features @ AT, batch)
        entered = np.bincount(turns.to_edge, expected, minlength=turns.num_edges)
        entered += np.bincount(batch.origin, batch.weight, minlength=turns.num_edges)
        theirs = seen[: turns.num_edges] * batch.weight.sum()
        worst = max(worst, float(np.abs(theirs - entered).max() / entered.max()))
    count = len(np.unique(routes.last_edge))
    return {"seconds": float(np.mean(seconds)) * count, "error": worst, "peak_mb": peak}


def _process(
    network: RoadNetwork, edge_reward: np.ndarray, goal: int, routes: Demonstrations
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(successor int64[E + 2, A], reward [E + 2], start [E + 2]): edges, the end, and where the forbidden leads."""
    turns, size = network.turns, network.turns.num_edges
    over, wall = size, size + 1
    successor = np.full((size + 2, int(np.diff(turns.first_out).max())), wall)
    for edge in range(size):
        following = turns.to_edge[turns.first_out[edge] : turns.first_out[edge + 1]]
        successor[edge, : len(following)] = following
    successor[goal] = [over] + [wall] * (successor.shape[1] - 1)
    successor[over] = successor[goal]
    reward = np.append(edge_reward, [0.0, FORBIDDEN])
    origins = routes.origin[routes.last_edge == goal]
    return successor, reward, np.bincount(origins, minlength=size + 2) / len(origins)


if __name__ == "__main__":
    main()
