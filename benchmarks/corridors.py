"""What a trip costs in a corridor, and how far its value is from that of the whole map.

Porto's roads, two rewards: an easy one, and the same with the constant lowered until the spectral radius of the full
map is 0.95 ("hard_"). Trips are *simulated*: pairs of edges drawn at random whose shortest path has 3 to 10 km, and,
long ones, 20 to 40 km, each to a destination of its own. Reference: one LU of the whole map.

Corridors are searched on the compressed graph of the trips' turns, as training does; compressing, once per run, takes
`compress_seconds` and is in no other figure. They have a width of --tau, and more where the monitor asks for it:
`mean_width`, `share_widened`. Per trip and thread: `fresh_ms` finds the corridor and solves it for the value and the
expected counts; `kept_ms` solves it in the corridor of an earlier reward, after a change of every coefficient by up to
2 %; `plain_fresh_ms` is `fresh_ms` on the graph as it is. All are seconds of one call for all trips over their number,
checks of the costs, their sums along compressed turns and adding up the counts included; medians of --repeat.
`max_nll_error` is the largest |V - V of the whole map| over the trips, `kept_max_nll_error` the same in kept corridors;
`gradient_error` the largest difference of the summed expected counts, relative to the largest count.
`bytes_per_corridor` is what a kept corridor takes. `error_estimate` is what the monitor says of the largest error.

`shared_speedup`: trips of 3 to 10 km, so many to each destination, in the order of their destinations, where they share
a disk, over the same trips in turn, where they do not; by trips per destination.

`horizon_ms`: likelihood and gradient of *simulated* routes at finite horizons, each in its corridor, per route.

`flatness`: likelihood and gradient of the same trips under the easy reward, costs worked out where searches come by, on
*tiled* maps, K x K mirrored copies of Porto joined at their borders (--tiles), in the first copy; largest over smallest
fresh time over the maps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from trodden import read_roads
from trodden.cli.console import out, text_table
from trodden.core.config import PlannerConfig
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.shortest_paths import costs_from, costs_to
from trodden.graphs.tiling import tile_network
from trodden.irl.batches import make_batch
from trodden.irl.compressed_trips import compress_trips
from trodden.irl.corridor_horizons import CorridorHorizon
from trodden.irl.corridors import CorridorSolver
from trodden.irl.destinations import make_destinations
from trodden.irl.factorization import Factorization
from trodden.irl.features import make_features
from trodden.irl.planner import Planner
from trodden.irl.simulation import simulate
from trodden.irl.trips import RouteBatch, TripBatch

FEATURES = ("travel_time_min", "is_left", "constant")
TASTE = np.array([-1.0, -0.3, -1.3])
HARD_RADIUS = 0.95
CHANGE = np.array([0.98, 1.02, 0.985])
"""What the coefficients are multiplied with between two steps."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/porto.osm.pbf")
    parser.add_argument("--trips", type=int, default=1024)
    parser.add_argument("--long-trips", type=int, default=96)
    parser.add_argument("--tau", type=float, default=25.0)
    parser.add_argument("--tiles", type=int, nargs="*", default=[3, 9], help="edges grow with the square")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    network = read_roads(arguments.data / "osm" / "porto.osm.pbf")
    features = make_features(network, FEATURES).value
    easy = features @ TASTE
    shift = np.log(HARD_RADIUS / Factorization(network.turns, easy).spectral_radius(tolerance=1e-9)[0])
    trips = _trips(network, arguments.trips, 3.0, 10.0)
    longer = _trips(network, arguments.long_trips, 20.0, 40.0)
    figures: dict[str, Any] = {"edges": network.graph.num_edges, "trips": len(trips.origin)}
    rows = []
    for prefix, constant in (("", 0.0), ("hard_", shift)):
        taste = TASTE + np.array([0.0, 0.0, constant])
        found = _measure(network, features, taste, trips, longer, arguments.tau, arguments.repeat)
        rows.append([prefix.rstrip("_") or "easy", *(f"{value:.3g}" for value in found.values())])
        figures |= {prefix + name: value for name, value in found.items()}
    turned = [list(row) for row in zip(["", *found], *rows, strict=True)]
    out.print(text_table(turned[0], turned[1:]), markup=False)
    figures["shared_speedup"] = _shared(network, easy, arguments.tau, arguments.repeat)
    figures["horizon_ms"] = _finite(network, easy, arguments.tau, arguments.repeat)
    figures |= _flatness(network, trips, arguments.tau, arguments)
    print(json.dumps(figures))


def _trips(network: RoadNetwork, count: int, least_km: float, most_km: float) -> TripBatch:
    """Trips whose shortest path has the wanted length, each to an edge of its own."""
    random, turns = np.random.default_rng(int(most_km)), network.turns
    length = network.edge_length_m()[turns.to_edge] / 1000.0
    main = np.flatnonzero(turns.is_main)
    pairs: dict[int, int] = {}
    while len(pairs) < count:
        start = random.choice(main)
        (cost,) = costs_from(turns, length, np.array([start]), limit=most_km)
        ends = np.flatnonzero(np.isfinite(cost) & (cost >= least_km) & turns.is_main)
        if len(ends) >= 16:
            pairs |= {int(end): int(start) for end in random.choice(ends, 16, replace=False)}
    goals = np.array(list(pairs)[:count], np.int32)
    origins = np.array([pairs[int(goal)] for goal in goals], np.int32)
    keys = make_destinations(network.graph, goals, "arrival")
    return TripBatch(keys, np.arange(count + 1), origins, np.ones(count), np.zeros(turns.num_turns))


def _measure(
    network: RoadNetwork,
    features: np.ndarray,
    taste: np.ndarray,
    trips: TripBatch,
    longer: TripBatch,
    tau: float,
    repeat: int,
) -> dict[str, float]:
    reward, later = features @ taste, features @ (taste * CHANGE)
    full = Factorization(network.turns, reward)
    exact = full.values(trips.destinations, origins=(trips.origin, trips.column))[trips.origin, trips.column]
    _, counts = full.total_value(trips)
    moved = Factorization(network.turns, later).values(trips.destinations, origins=(trips.origin, trips.column))
    small, longer_small = compress_trips(network.turns, trips), compress_trips(network.turns, longer)
    graph = small.compression
    solver = CorridorSolver(graph.turns, tau=tau, threads=1)
    errors = np.abs(solver.values(graph.to_turns(reward), small.batch) - exact)
    seconds: dict[str, list[float]] = {"fresh": [], "kept": [], "long": [], "plain": []}
    for _ in range(repeat):
        keeper = CorridorSolver(graph.turns, tau=tau, threads=1, keep_bytes=1 << 33)
        far = CorridorSolver(longer_small.compression.turns, tau=tau, threads=1)
        plain = CorridorSolver(network.turns, tau=tau, threads=1)
        for name, using, one, batch in (
            ("fresh", keeper, reward, small),
            ("kept", keeper, later, small),
            ("long", far, reward, longer_small),
            ("plain", plain, reward, None),
        ):
            started = time.perf_counter()
            if batch is None:
                using.total_value(one, trips)
            else:
                _, expected = using.total_value(batch.compression.to_turns(one), batch.batch)
                expected = batch.compression.from_turns(expected)
            many = longer if name == "long" else trips
            seconds[name].append((time.perf_counter() - started) / len(many.origin))
            if name == "fresh":
                first, found = keeper.report, expected
            if name == "kept":
                second = keeper.report
    keeper = CorridorSolver(graph.turns, tau=tau, threads=1, keep_bytes=1 << 33)
    keeper.values(graph.to_turns(reward), small.batch)
    kept_errors = np.abs(keeper.values(graph.to_turns(later), small.batch) - moved[trips.origin, trips.column])
    return {
        "max_nll_error": float(errors.max()),
        "median_nll_error": float(np.median(errors)),
        "kept_max_nll_error": float(kept_errors.max()),
        "gradient_error": float(np.abs(found - counts).max() / counts.max()),
        "fresh_ms": 1000 * statistics.median(seconds["fresh"]),
        "kept_ms": 1000 * statistics.median(seconds["kept"]),
        "share_kept": second.num_kept / second.num_trips,
        "long_trip_ms": 1000 * statistics.median(seconds["long"]),
        "plain_fresh_ms": 1000 * statistics.median(seconds["plain"]),
        "bytes_per_corridor": first.kept_bytes / first.num_trips,
        "states": first.num_states / first.num_trips,
        "mean_width": first.mean_width,
        "share_widened": first.num_widened / first.num_trips,
        "share_by_lu": first.num_by_lu / first.num_trips,
        "error_estimate": first.error_estimate,
        "compress_seconds": graph.seconds,
    }


def _shared(network: RoadNetwork, reward: np.ndarray, tau: float, repeat: int) -> dict[int, float]:
    """How many times faster trips are that share destinations, by trips per destination."""
    random, turns = np.random.default_rng(0), network.turns
    length, main = network.edge_length_m()[turns.to_edge] / 1000.0, np.flatnonzero(turns.is_main)
    solver, result = CorridorSolver(turns, tau=tau, threads=1), {}
    for trips in (16, 32, 64):
        goals = random.choice(main, 256 // trips, replace=False).astype(np.int32)
        origins = []
        for goal in goals:
            cost = costs_to(turns, length, np.array([goal]), limit=10.0)[:, 0]
            origins.append(random.choice(np.flatnonzero(np.isfinite(cost) & (cost >= 3.0) & turns.is_main), trips))
        seconds: dict[str, list[float]] = {"together": [], "in turn": []}
        for _ in range(repeat + 1):
            for name, order in (("together", "C"), ("in turn", "F")):
                ends = np.repeat(goals, trips).reshape(-1, trips).flatten(order)
                keys = make_destinations(network.graph, ends, "arrival")
                starts = np.array(origins, np.int32).flatten(order)
                batch = TripBatch(keys, np.arange(257), starts, np.ones(256), np.zeros(turns.num_turns))
                started = time.perf_counter()
                solver.total_value(reward, batch)
                seconds[name].append(time.perf_counter() - started)
        result[trips] = statistics.median(seconds["in turn"][1:]) / statistics.median(seconds["together"][1:])
        out.print(f"{trips} trips to a destination: {result[trips]:.2f} times as fast together", markup=False)
    return result


def _finite(network: RoadNetwork, reward: np.ndarray, tau: float, repeat: int) -> dict[int, float]:
    """Milliseconds per simulated route at some finite horizons."""
    taste = dict(zip(FEATURES, TASTE.tolist(), strict=True))
    routes = simulate(network, 256, taste=taste, num_destinations=256, min_km=2.0, max_km=7.0, solver="corridors")
    result = {}
    for horizon in (0, 1, 10):
        batch = make_batch(routes.for_ending("arrival"), PlannerConfig(horizon=horizon, solver="corridors"))
        assert isinstance(batch, RouteBatch)
        solver, seconds = CorridorHorizon(network.turns, horizon, tau=tau, threads=1), []
        for _ in range(repeat + 1):
            started = time.perf_counter()
            solver.log_likelihood(reward, batch)
            seconds.append(time.perf_counter() - started)
        result[horizon] = 1000 * statistics.median(seconds[1:]) / len(batch.weight)
        out.print(f"horizon {horizon}: {result[horizon]:.2f} ms per route", markup=False)
    return result


def _flatness(network: RoadNetwork, trips: TripBatch, tau: float, arguments: argparse.Namespace) -> dict[str, Any]:
    """Fresh milliseconds per trip on Porto and on tiled maps, the same trips in the first copy."""
    by_edges: dict[int, float] = {}
    config = PlannerConfig(solver="corridors", corridor_tau=tau, compress=True, threads=1, tolerance=1e-9)
    for tiles in (1, *arguments.tiles):
        tiled = tile_network(network, tiles)
        place = tiled.graph.edge_positions(np.arange(network.graph.num_edges))
        features = make_features(tiled, FEATURES)
        turns = np.zeros(tiled.turns.num_turns)
        keys = make_destinations(tiled.graph, place[trips.destinations.key], "arrival")
        moved = TripBatch(keys, trips.first, place[trips.origin], trips.weight, turns)
        planner = Planner(tiled.turns, config)
        planner.linear_log_likelihood(features, TASTE, moved)  # compresses; touches the memory of the workspace
        seconds = []
        for _ in range(arguments.repeat):
            started = time.perf_counter()
            planner.linear_log_likelihood(features, TASTE, moved)
            seconds.append(time.perf_counter() - started)
        by_edges[tiled.graph.num_edges] = 1000 * statistics.median(seconds) / len(trips.origin)
        out.print(f"{tiled.graph.num_edges:,} edges: {by_edges[tiled.graph.num_edges]:.2f} ms per trip", markup=False)
    flatness = max(by_edges.values()) / min(by_edges.values())
    return {"flatness": flatness, "fresh_ms_by_edges": by_edges}


if __name__ == "__main__":
    main()
