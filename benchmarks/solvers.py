"""Three solvers of one model: do they agree, and what does a destination cost each of them?

The solvers: value iteration in JAX (`SweepSolver`, float64, from best paths on reduced costs, as training uses it where
all costs are positive; and in log space from nothing, "log"), one sparse LU for all destinations
(`Factorization`), and dense float64 algebra written here (one pivoted solve per destination).

Agreement, under both endings, on a small grid (all three) and on one of 20,000 edges (LU and sweeps): values in nats,
at every edge; expected visits, absolutely, one trip per destination; and the gradient of the log-likelihood in three
coefficients, relative to its largest component. `max_error` is the largest of them all.

Time per destination, ending arrival, on grids of 20,000 and 200,000 edges and on Porto's roads: value and gradient of
trips that cost up to 200 nats, one per destination. Two rewards: an easy one, and the same with the constant lowered
until the spectral radius is 0.95, which the sweeps' number depends on and the LU does not. The LU's seconds include its
factorisation, the sweeps' their searches for best paths; they exclude compiling, which a run before has done. The three
take turns; medians of --repeat. `log_over_sweeps` is what doing without logarithms saves.
`lu_over_sweeps` says how many times faster the LU is at 20,000 edges and 16 destinations with the easy reward,
`hard_lu_over_sweeps` with the other.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _grids import grid_network
from trodden import read_roads
from trodden.cli.console import out, text_table
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.shortest_paths import costs_to
from trodden.irl.best_paths import best_path_values
from trodden.irl.destinations import Ending, make_destinations
from trodden.irl.factorization import Factorization
from trodden.irl.feasibility import turn_matrix
from trodden.irl.features import make_features
from trodden.irl.soft_values import Start, SweepSolver
from trodden.irl.trips import TripBatch

FEATURES = ("travel_time_min", "is_left", "constant")
TASTE = np.array([-1.0, -0.3, -1.3])
"""Feasible on all three maps: the table prints the radius."""
HARD_RADIUS = 0.95
FARTHEST = 200.0
"""Nats: a trip's exponential stays far from where float64 ends, and LU and sweeps do the same work."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/porto.osm.pbf")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--large-destinations", type=int, default=4, help="destinations on the two larger maps")
    parser.add_argument("--quick", action="store_true", help="the grids of 20,000 edges and less alone")
    arguments = parser.parse_args()
    middle = grid_network(71, 71)
    errors = {
        **_agreement("small grid", grid_network(6, 7, seed=1), 5, is_dense=True),
        **_agreement("20,000 edges", middle, 4, is_dense=False),
    }
    maps: dict[str, Callable[[], RoadNetwork]] = {"grid, 20k": lambda: middle}
    if not arguments.quick:
        maps["Porto"] = lambda: read_roads(arguments.data / "osm" / "porto.osm.pbf")
        maps["grid, 200k"] = lambda: grid_network(224, 224)
    figures: dict[str, dict[str, Any]] = {}
    for name, make in maps.items():
        network = make()
        features = make_features(network, FEATURES).value
        easy = features @ TASTE
        # A constant c per turn multiplies the matrix, and so its radius, by exp(c).
        hard = easy + np.log(HARD_RADIUS / Factorization(network.turns, easy).spectral_radius(tolerance=1e-9)[0])
        count = 16 if network is middle else arguments.large_destinations
        for label, reward in ((name, easy), (f"{name}, hard", hard)):
            figures[label] = _times(network, reward, count, arguments.repeat)
    _print(errors, figures)
    worst = max(errors.values())
    ratios = [figures[f"grid, 20k{kind}"]["lu_over_sweeps"] for kind in ("", ", hard")]
    out.print(f"agreement to 1e-8: {'met' if worst <= 1e-8 else 'missed'} ({worst:.1e})", markup=False)
    for kind, ratio in zip(("easy", "hard"), ratios, strict=True):
        verdict = "met" if ratio >= 10 else "missed"
        out.print(f"LU at least 10 times faster at 20,000 edges, {kind} reward: {verdict} ({ratio:.1f})", markup=False)
    named = {"max_error": worst, "lu_over_sweeps": ratios[0], "hard_lu_over_sweeps": ratios[1]}
    print(json.dumps({**named, "errors": errors, "maps": figures}))


def _trips(network: RoadNetwork, reward: np.ndarray, count: int, ending: Ending) -> TripBatch:
    """One trip to each of some destinations, from an edge at most `FARTHEST` away; observed: its cheapest route."""
    random, turns = np.random.default_rng(count), network.turns
    last = random.choice(np.flatnonzero(turns.is_main), count, replace=False).astype(np.int32)
    cost = costs_to(turns, -reward, last, limit=FARTHEST)
    origin = np.array(
        [random.choice(np.flatnonzero(np.isfinite(c) & (c > 0.1 * c[np.isfinite(c)].max()))) for c in cost.T]
    )
    keys = last if ending == "arrival" else network.graph.head[last]
    batch = make_destinations(network.graph, keys, ending)
    observed = np.zeros(turns.num_turns)
    for start, goal, remaining in zip(origin, last, cost.T, strict=True):
        while start != goal:
            leaving = np.arange(turns.first_out[start], turns.first_out[start + 1])
            taken = leaving[np.argmin(remaining[turns.to_edge[leaving]] - reward[leaving])]
            observed[taken] += 1
            start = turns.to_edge[taken]
    return TripBatch(batch, np.arange(count + 1), origin.astype(np.int32), np.ones(count), observed)


def _agreement(name: str, network: RoadNetwork, count: int, *, is_dense: bool) -> dict[str, float]:
    features = make_features(network, FEATURES).value
    reward, errors = features @ TASTE, {}
    for ending in ("arrival", "stop"):
        trips = _trips(network, reward, count, ending)
        factors = Factorization(network.turns, reward, ending=ending)
        sweeps = SweepSolver(network.turns)
        found = {
            "LU": (
                factors.values(trips.destinations, origins=(trips.origin, trips.column)),
                factors.total_value(trips),
            ),
        }
        for kind, start in (("sweeps", _best_paths(network, reward)), ("log sweeps", None)):
            value = sweeps.values(reward, trips.destinations, start=start).value
            found[kind] = value, sweeps.total_value(reward, trips, start=start)
        if is_dense:
            found["dense"] = _dense(network, reward, trips)
        reference = found.pop("dense" if is_dense else "LU")
        for solver, answer in found.items():
            label = f"{name}, {ending}, {solver} against {'dense' if is_dense else 'LU'}"
            errors[label] = _difference(answer, reference, trips, features)
    return errors


def _best_paths(network: RoadNetwork, reward: np.ndarray) -> Start:
    return functools.partial(best_path_values, network.turns, reward)


def _difference(answer: Any, reference: Any, trips: TripBatch, features: np.ndarray) -> float:
    (value, (_, visits)), (other, (_, others)) = answer, reference
    # Beyond 600 nats the LU's exponentials have underflowed; no trip is that long.
    is_near = other > -600
    gradient, expected = (features.T @ (trips.observed - one) for one in (visits, others))
    return float(
        max(
            np.abs(value - other)[is_near].max(),
            np.abs(visits - others).max(),
            np.abs(gradient - expected).max() / np.abs(expected).max(),
        )
    )


def _dense(network: RoadNetwork, reward: np.ndarray, trips: TripBatch) -> Any:
    """(values [E, D], (total, expected turn counts [T])) by pivoted dense solves, one destination after the other."""
    turns, destinations = network.turns, trips.destinations
    begin, end, columns, visits = turns.from_edge, turns.to_edge, [], np.zeros(turns.num_turns)
    for d in range(len(destinations)):
        matrix, goals, size = turn_matrix(turns, reward).toarray(), destinations.goals(d), turns.num_edges
        if destinations.ending == "arrival":
            matrix[goals] = 0.0
        ends = np.isin(np.arange(size), goals).astype(float)
        z = np.linalg.solve(np.eye(size) - matrix, ends)
        columns.append(np.log(np.maximum(z, 0)))
        policy = matrix * z[None, :] / z[:, None]
        start = np.eye(size)[trips.origin[d]] * trips.weight[d]
        visits += (np.linalg.solve(np.eye(size) - policy.T, start)[:, None] * policy)[begin, end]
    value = np.column_stack(columns)
    return value, (float(trips.weight @ value[trips.origin, trips.column]), visits)


def _times(network: RoadNetwork, reward: np.ndarray, count: int, repeat: int) -> dict[str, Any]:
    turns = network.turns
    trips = _trips(network, reward, count, "arrival")
    sweeps = SweepSolver(turns)
    factorised: list[float] = []

    def by_lu() -> float:
        factors = Factorization(turns, reward)
        factorised.append(time.perf_counter() - started)
        return factors.total_value(trips)[0]

    start = _best_paths(network, reward)
    solvers: dict[str, Callable[[], Any]] = {
        "lu": by_lu,
        "sweeps": lambda: sweeps.total_value(reward, trips, start=start),
        "log": lambda: sweeps.total_value(reward, trips),
    }
    seconds: dict[str, list[float]] = {name: [] for name in solvers}
    for name in ("sweeps", "log"):
        solvers[name]()  # compiles
    for _ in range(repeat):
        for name, solve in solvers.items():
            started = time.perf_counter()
            solve()
            seconds[name].append(time.perf_counter() - started)
    lu, swept, logarithmic = (statistics.median(seconds[name]) for name in solvers)
    return {
        "edges": turns.num_edges,
        "turns": turns.num_turns,
        "radius": Factorization(turns, reward).spectral_radius()[0],
        "destinations": count,
        "factorisation_ms": 1000 * statistics.median(factorised),
        "lu_ms_per_destination": 1000 * lu / count,
        "sweeps_ms_per_destination": 1000 * swept / count,
        "log_sweeps_ms_per_destination": 1000 * logarithmic / count,
        "lu_over_sweeps": swept / lu,
        "log_over_sweeps": logarithmic / swept,
        "num_sweeps": sweeps.values(reward, trips.destinations, start=start).num_sweeps,
    }


def _print(errors: dict[str, float], figures: dict[str, dict[str, Any]]) -> None:
    rows = [[label, f"{error:.1e}"] for label, error in errors.items()]
    out.print(text_table(["largest error of values, visits, gradient", ""], rows) + "\n", markup=False)
    titles = ["map", "edges", "turns", "radius", "destinations", "LU once, ms", "LU ms/dest", "sweeps", "log sweeps"]
    titles.append("LU faster")
    keys = ("edges", "turns", "radius", "destinations", "factorisation_ms", "lu_ms_per_destination")
    keys += ("sweeps_ms_per_destination", "log_sweeps_ms_per_destination", "lu_over_sweeps")
    cells = [
        [name, *(f"{row[k]:,}" if isinstance(row[k], int) else f"{row[k]:.3g}" for k in keys)]
        for name, row in figures.items()
    ]
    out.print(text_table(titles, cells), markup=False)


if __name__ == "__main__":
    main()
