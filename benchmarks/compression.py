"""What the compressed graph of turns saves a likelihood, and whether its values are those of the original.

Three graphs of the same roads, per extract. "joined": as `trodden build` reads them. "raw": every edge of that cut at
its shape points into one edge per segment, its travel time and length shared out by the segments' lengths, so that
routes and their rewards are the same. "compressed": the joined one by `trodden.graphs.compression`. 200 trips to 50
destinations, *simulated* from the stated reward.

Timed: value and gradient in the reward of all trips (LU, one thread, factorisation included) or of the trips to some
destinations (sweeps in JAX, compiling excluded), in CPU seconds, taken in turns, medians of --repeat; sweeps on raw
graphs once, not at all above 100,000 states, and null where they give up. Rewards go to the compressed graph and
gradients come back within its time; building it is a figure of its own (`compress_s`, wall time, compiled code loaded).
`speedup_over_*` are the LU's, which is what the planner chooses there; `sweeps_speedup_over_*` the sweeps';
`first_speedup_over_*` count building the compressed graph for a single likelihood. `fit_speedup` is a whole `fit` on
the joined graph over one that compresses. `max_value_error`: the largest difference of a trip's V between the graphs,
in nats.

Run with OPENBLAS_NUM_THREADS=1: where a supernode of the LU is large enough for OpenBLAS to start threads, a triangular
solve takes up to six times as long, on whichever of the graphs it happens.
"""

from __future__ import annotations

if __name__ != "__main__":
    # Scripts beside this one find it in place of the package of that name, which JAX looks for and can do without.
    raise ImportError("benchmarks/compression.py is a command, not the package compression")

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from trodden import fit, read_roads
from trodden.cli.console import out, text_table
from trodden.core.config import Config, parse_config
from trodden.core.errors import NotConvergedError
from trodden.graphs.compression import CompressionSteps
from trodden.graphs.geometry import great_circle_m
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.turns import TurnGraph
from trodden.irl.compressed_trips import CompressedTrips, compress_trips
from trodden.irl.destinations import Destinations
from trodden.irl.factorization import Factorization
from trodden.irl.features import make_features
from trodden.irl.simulation import simulate
from trodden.irl.soft_values import SweepSolver
from trodden.irl.trips import TripBatch

TASTE = {"travel_time_min": -1.0, "is_left": -0.3, "constant": -1.3}
MOST_RAW_STATES = 100_000
"""Sweeps on more take many minutes."""
STEPS: dict[str, CompressionSteps] = {
    "component": CompressionSteps(merge=False, dead_ends=False, crossings=False),
    "+ merge": CompressionSteps(dead_ends=False, crossings=False),
    "+ dead ends": CompressionSteps(crossings=False),
    "+ crossings": CompressionSteps(),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One graph with the reward and the trips on it, and how both are made anew for every likelihood."""

    turns: TurnGraph
    trips: TripBatch
    reward: Callable[[], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    default = Path(os.environ.get("TRODDEN_DATA", shared))
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/NAME.osm.pbf")
    parser.add_argument("--extracts", nargs="+", default=["porto", "heidelberg", "portland"])
    parser.add_argument("--trips", type=int, default=200)
    parser.add_argument("--destinations", type=int, default=50)
    parser.add_argument("--sweep-destinations", type=int, default=2, help="0 leaves sweeps out")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    figures = {name: _measure(name, arguments) for name in arguments.extracts}
    print(json.dumps(figures))


def _measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    network = read_roads(arguments.data / "osm" / f"{name}.osm.pbf")
    routes = simulate(network, arguments.trips, taste=TASTE, seed=0, num_destinations=arguments.destinations)
    routes = routes.for_ending("arrival")
    trips = routes.batch("arrival")
    features = make_features(network, tuple(TASTE)).value
    reward = features @ np.array(list(TASTE.values()))
    compress_trips(network.turns, trips)  # loads the compiled code
    made = {label: compress_trips(network.turns, trips, steps) for label, steps in STEPS.items()}
    cases = {
        "raw": _split(network, trips, reward, features[:, 0] * TASTE["travel_time_min"]),
        "joined": Case(network.turns, trips, lambda: reward, lambda counts: counts),
        **{label: _compressed(small, reward) for label, small in made.items()},
    }
    values = {label: _values(case) for label, case in cases.items()}
    lu = _medians({label: _by_lu(case) for label, case in cases.items()}, arguments.repeat)
    sweeps = _by_sweeps(cases, arguments) if arguments.sweep_destinations else {}
    building = statistics.median(
        compress_trips(network.turns, trips).compression.seconds for _ in range(arguments.repeat)
    )
    small, plain = (_fit_seconds(network, routes, compress) for compress in (True, False))  # the first also warms up
    best = "+ crossings"
    error = max(float(np.abs(values[label] - values["joined"]).max()) for label in values)
    error = max(error, float(np.abs(values["raw"] - values[best]).max()))
    _print(name, cases, lu, sweeps)
    out.print(f"{made[best].compression.describe()}; fit: {plain:.2f} s, compressed {small:.2f} s\n", markup=False)
    found = {
        "speedup_over_joined": lu["joined"] / lu[best],
        "speedup_over_raw": lu["raw"] / lu[best],
        "max_value_error": error,
        "first_speedup_over_joined": lu["joined"] / (lu[best] + building),
        "first_speedup_over_raw": lu["raw"] / (lu[best] + building),
        "fit_speedup": plain / small,
        "compress_s": building,
        "lu_s": lu,
        "sweeps_s": {label: _or_none(seconds) for label, seconds in sweeps.items()},
        "states": {label: case.turns.num_edges for label, case in cases.items()},
        "turns": {label: case.turns.num_turns for label, case in cases.items()},
        "largest_out_degree": {label: _largest_out(case.turns) for label, case in cases.items()},
    }
    if sweeps:
        for label in ("joined", "raw"):
            found[f"sweeps_speedup_over_{label}"] = _or_none(sweeps[label] / sweeps[best])
    return found


def _split(network: RoadNetwork, trips: TripBatch, reward: np.ndarray, time_reward: np.ndarray) -> Case:
    """The graph with a state per segment; a trip begins and ends on the last one of its edges."""
    shapes, turns = network.shapes, network.turns
    assert shapes is not None
    count = np.diff(shapes.first_point) - 1
    last = np.cumsum(count) - 1
    edge = np.repeat(np.arange(len(count)), count)
    point = np.arange(len(edge)) + edge  # each edge has a point more than segments
    latitude, longitude = shapes.latitude_e7 * 1e-7, shapes.longitude_e7 * 1e-7
    length = great_circle_m(latitude[point], longitude[point], latitude[point + 1], longitude[point + 1])
    length = np.maximum(length, 1e-3)  # some edges have none
    share = length / np.bincount(edge, length)[edge]
    entered = (last - count + 1)[turns.to_edge]
    inner = np.flatnonzero(np.arange(len(edge)) != last[edge])
    begin, end = np.concatenate([last[turns.from_edge], inner]), np.concatenate([entered, inner + 1])
    # What an edge takes is had on its segments; what a turn costs, at the turn.
    of_edge = np.zeros(len(count))
    of_edge[turns.to_edge] = time_reward
    cut = np.concatenate([reward - time_reward + time_reward * share[entered], (of_edge[edge] * share)[inner + 1]])
    order = np.lexsort((end, begin))
    first = np.searchsorted(begin[order], np.arange(len(edge) + 1)).astype(np.int32)
    none = np.zeros(len(order), bool)
    graph = TurnGraph(first, end[order].astype(np.int32), None, none, none, none)
    ends, moved = trips.destinations, last.astype(np.int32)
    keys = Destinations("arrival", moved[ends.key], ends.first, moved[ends.edge])
    batch = dataclasses.replace(trips, destinations=keys, origin=moved[trips.origin])
    split = cut[order]
    return Case(graph, batch, lambda: split, lambda counts: counts)


def _compressed(made: CompressedTrips, reward: np.ndarray) -> Case:
    small = made.compression
    return Case(small.turns, made.batch, lambda: small.to_turns(reward), small.from_turns)


def _values(case: Case) -> np.ndarray:
    """V of every trip."""
    pairs = case.trips.origin, case.trips.column
    return Factorization(case.turns, case.reward()).values(case.trips.destinations, origins=pairs)[pairs]


def _by_lu(case: Case) -> Callable[[], Any]:
    return lambda: case.back(Factorization(case.turns, case.reward(), threads=1).total_value(case.trips)[1])


def _by_sweeps(cases: dict[str, Case], arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds for the first destinations alone."""
    runs: dict[str, Callable[[], Any]] = {}
    for label, case in cases.items():
        block = case.trips.block(0, arguments.sweep_destinations)
        # No sweep at all: this compiles.
        SweepSolver(case.turns, tolerance=np.inf).total_value(case.reward(), block)
        solver = SweepSolver(case.turns)
        runs[label] = lambda case=case, solver=solver, block=block: case.back(
            solver.total_value(case.reward(), block)[1]
        )
    raw, found = runs.pop("raw"), {"raw": np.nan}
    if cases["raw"].turns.num_edges <= MOST_RAW_STATES:
        with contextlib.suppress(NotConvergedError):
            found = _medians({"raw": raw}, 1)
    return found | _medians(runs, max(1, arguments.repeat // 2 + 1))


def _medians(runs: dict[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(repeat):
        for label, run in runs.items():
            started = time.process_time()
            run()
            seconds[label].append(time.process_time() - started)
    return {label: statistics.median(taken) for label, taken in seconds.items()}


def _fit_seconds(network: RoadNetwork, routes: Any, compress: bool) -> float:
    planner = {"compress": compress, "threads": 1}
    settings = {"reward": {"features": list(TASTE)}, "planner": planner, "baselines": {"budget": 0}}
    config: Config = parse_config(settings, where="here")
    started = time.process_time()
    fit(network, routes, config)
    return time.process_time() - started


def _or_none(figure: float) -> float | None:
    return None if np.isnan(figure) else figure


def _largest_out(turns: TurnGraph) -> int:
    return int(np.diff(turns.first_out).max())


def _print(name: str, cases: dict[str, Case], lu: dict[str, float], sweeps: dict[str, float]) -> None:
    rows = [
        [
            label,
            f"{case.turns.num_edges:,}",
            f"{case.turns.num_turns:,}",
            str(_largest_out(case.turns)),
            f"{lu[label]:.3f}",
            f"{lu['joined'] / lu[label]:.2f}",
            *([f"{sweeps[label]:.2f}", f"{sweeps['joined'] / sweeps[label]:.2f}"] if sweeps else []),
        ]
        for label, case in cases.items()
    ]
    titles = [
        name,
        "states",
        "turns",
        "largest out",
        "LU s",
        "over joined",
        *(["sweeps s", "over joined"] * bool(sweeps)),
    ]
    out.print(text_table(titles, rows), markup=False)


if __name__ == "__main__":
    main()
