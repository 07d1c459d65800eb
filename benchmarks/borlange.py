"""Real car routes in Borlänge: the published recursive logit, found again with its robust standard errors.

Fosgerau, Frejinger & Karlström (2013), Transportation Research B 56: stop ending, four features. Beside it a SciPy BFGS
of the same likelihood, with code of its own below: the same sparse LU, right-hand sides in Fortran-ordered blocks of
eight, a transposed solve for the gradient. Both start from the same point. `seconds` is a whole `fit` with its standard
errors; `scipy_seconds` the optimiser alone. Both are the best of --repeat runs, taken in turn.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
from scipy import optimize, sparse
from scipy.sparse.linalg import splu
from trodden import fit, read_demonstrations, read_roads
from trodden.cli.console import coefficient_table, out
from trodden.core.config import Config, parse_config
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.features import make_features
from trodden.irl.likelihood import route_log_probabilities
from trodden.irl.model import LearnedModel
from trodden.irl.planner import Planner

FEATURES = ["travel_time_min", "is_left", "constant", "is_uturn"]
START = dict.fromkeys(FEATURES, -1.0) | {"travel_time_min": -2.0}


def settings(features: list[str], start: dict[str, float] | None = None, threads: int = 0) -> Config:
    document = {
        "reward": {"features": features},
        "planner": {"ending": "stop", "threads": threads},
        "training": {"start": start or {}},
        "baselines": {"budget": 0},
    }
    return parse_config(document, where="benchmark")


class PeerLikelihood:
    """The negative log-likelihood of a recursive logit and its gradient, as one would write them with SciPy."""

    def __init__(self, network: RoadNetwork, routes: Demonstrations) -> None:
        turns = network.turns
        self.shape = (turns.num_edges,) * 2
        self.begin, self.end = turns.from_edge, turns.to_edge
        self.features = make_features(network, FEATURES).value
        taken, _ = routes.turns()
        self.observed = self.features[taken].sum(axis=0)
        heads = network.graph.head
        self.nodes, self.column = np.unique(heads[routes.last_edge], return_inverse=True)
        self.into = [np.flatnonzero(heads == node) for node in self.nodes]
        self.origin = routes.origin
        self.calls = 0

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Negative log-likelihood and gradient; a wall where no values exist."""
        self.calls += 1
        weight = np.exp(self.features @ theta)
        matrix = sparse.csc_matrix((weight, (self.begin, self.end)), shape=self.shape)
        lu = splu(sparse.identity(self.shape[0], format="csc") - matrix, permc_spec="COLAMD", diag_pivot_thresh=0.0)
        if lu.U.diagonal().min() <= 0:
            return 1e9, np.zeros(len(theta))
        total, flow = 0.0, np.zeros(len(weight))
        for first in range(0, len(self.nodes), 8):
            nodes = range(first, min(first + 8, len(self.nodes)))
            right = np.zeros((self.shape[0], len(nodes)), order="F")
            for at, node in enumerate(nodes):
                right[self.into[node], at] = 1.0
            z = lu.solve(right)
            rows = np.flatnonzero((self.column >= first) & (self.column < first + 8))
            column = self.column[rows] - first
            reached = z[self.origin[rows], column]
            total += np.log(reached).sum()
            adjoint = np.zeros_like(right, order="F")
            np.add.at(adjoint, (self.origin[rows], column), 1.0 / reached)
            visits = lu.solve(adjoint, trans="T")
            for at in range(len(nodes)):
                flow += visits[self.begin, at] * z[self.end, at]
        return total - self.observed @ theta, self.features.T @ (flow * weight) - self.observed


def split_test_log_likelihood(network: RoadNetwork, routes: Demonstrations, path: Path) -> float:
    """The two-attribute model trained on split 0, on its test part."""
    with path.open(newline="") as file:
        parts = {row["part"]: set(row["route_ids"].split()) for row in csv.DictReader(file) if row["split"] == "0"}
    train, test = (
        routes.take(np.array([i for i, name in enumerate(routes.route_id) if name in parts[part]], np.int64))
        for part in ("train", "test")
    )
    config = settings(["travel_time_min", "constant"])
    model = fit(network, train, config)
    planner = Planner(network.turns, config.planner)
    return float(route_log_probabilities(planner, model.reward, test, test.batch("stop")).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "borlange"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="for fit; the peer has one")
    arguments = parser.parse_args()
    network = read_roads(arguments.data)
    routes = read_demonstrations(arguments.data / "routes.csv", network)
    ours: list[float] = []
    theirs: list[float] = []
    cpu: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(arguments.repeat):
        started, spent = time.perf_counter(), time.process_time()
        model = fit(network, routes, settings(FEATURES, START, arguments.threads))
        ours.append(time.perf_counter() - started)
        cpu["ours"].append(time.process_time() - spent)
        started, spent = time.perf_counter(), time.process_time()
        peer = PeerLikelihood(network, routes)
        found = optimize.minimize(
            peer, [START[name] for name in FEATURES], jac=True, method="BFGS", options={"gtol": 1e-2}
        )
        theirs.append(time.perf_counter() - started)
        cpu["theirs"].append(time.process_time() - spent)
    report(model, peer, found)
    figures = {
        "betas": {one.name: one.value for one in model.coefficients},
        "standard_errors": {one.name: one.standard_error for one in model.coefficients},
        "robust_se": {one.name: one.robust_standard_error for one in model.coefficients},
        "log_likelihood": model.summary["log_likelihood"],
        "split0_test_log_likelihood": split_test_log_likelihood(
            network, routes, arguments.data / "splits_by_observation.csv"
        ),
        "seconds": min(ours),
        "scipy_seconds": min(theirs),
        "cpu_seconds": min(cpu["ours"]),
        "scipy_cpu_seconds": min(cpu["theirs"]),
        "scipy_log_likelihood": -float(found.fun),
    }
    print(json.dumps(figures))


def report(model: LearnedModel, peer: PeerLikelihood, found: optimize.OptimizeResult) -> None:
    out.print(coefficient_table(model.coefficients))
    out.print(f"SciPy BFGS: log-likelihood {-found.fun:.3f} after {peer.calls} evaluations, at {np.round(found.x, 4)}")
    out.print(f"fit: {model.summary['evaluations']} evaluations after a warm-up")


if __name__ == "__main__":
    main()
