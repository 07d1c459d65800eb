"""What this machine takes for the parts of a training run, measured in some 20 s: the constants of `plan_run`."""

from __future__ import annotations

import dataclasses
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ConfigurationError
from ..core.types import Floats, Ids, Ints
from ..graphs.moves import candidate_turns, finish_turns
from ..graphs.partition import sub_network
from ..graphs.road_graph import EdgeAttributes, RoadGraph, RoadNetwork
from ..graphs.shortest_paths import check_costs, costs_from
from ..graphs.store import load_network, make_network, save_network
from .calibration import Calibration, Curve
from .compressed_trips import CompressedTrips, compress_trips
from .corridors import CorridorSolver
from .demonstrations import demonstrations_from_edges, read_demonstrations
from .destinations import make_destinations
from .factorization import Factorization
from .feasibility import spectral_radius
from .features import make_features
from .planner import LARGEST_FACTORISED
from .trips import TripBatch
from .turn_costs import CompressedCosts, TurnCosts

_LENGTHS_KM = (2.0, 5.0, 10.0)
_TRIPS = 48
_SIDE, _LU_SIDES = 120, (50, 100, 160)
"""Junctions along a generated grid: for trips, and for the LU."""
_CHANGE = 1.01
_COST = (1.0, 1.3)
"""Per minute and per edge: the easy reward of benchmarks/corridors.py, of spectral radius 0.6."""
_EASY_RADIUS = 0.6
_PIECE = 150_000
"""Edges of a network that are measured on, those around a place drawn at random: a shortest path takes milliseconds."""


def calibrate(
    network: RoadNetwork | None = None, *, tau: float = 25.0, progress: Callable[[str], None] | None = None
) -> Calibration:
    """Measure. Some 10 to 20 seconds.

    Parameters
    ----------
    network
        Trips are measured on its roads, or on 150,000 edges of one piece, where it has 10,000 edges at least (and, to
        have a piece taken from, coordinates); else on a generated grid.
    tau
        Width of the corridors.
    """
    say = progress or (lambda _: None)
    roads = _measurable(network) or generated_network(_SIDE)
    say("measuring trips")
    trips = _measure_trips(roads, tau)
    say("measuring the LU")
    factors = _measure_lu(roads)
    say("measuring the map and files")
    return Calibration(
        measured_on=str(roads.report["source"]),
        num_edges=roads.graph.num_edges,
        tau=tau,
        turns_per_edge=roads.turns.num_turns / roads.graph.num_edges,
        nodes_per_edge=roads.graph.num_nodes / roads.graph.num_edges,
        **trips,
        **factors,
        **_measure_map(roads),
        **_measure_files(roads),
        copy_gb_s=_copy_gb_s(),
    )


def _measurable(network: RoadNetwork | None) -> RoadNetwork | None:
    """The network, or a piece of it; None where it serves for no measurement."""
    if network is None or network.graph.num_edges < 10_000:
        return None
    graph = network.graph
    if graph.num_edges <= _PIECE:
        return network
    if graph.latitude_deg is None or graph.longitude_deg is None:
        return None
    main = np.flatnonzero(network.turns.is_main)
    centre = graph.tail[np.random.default_rng(0).choice(main)]
    north, east = graph.latitude_deg - graph.latitude_deg[centre], graph.longitude_deg - graph.longitude_deg[centre]
    away = np.hypot(north, east * np.cos(np.radians(graph.latitude_deg[centre])))[graph.tail]
    edges = np.sort(np.argpartition(away, _PIECE)[:_PIECE]).astype(np.int32)
    return sub_network(network, edges)


def generated_network(side: int) -> RoadNetwork:
    """A two-way grid of ``side`` x ``side`` junctions with coordinates and uneven lengths; its report says so."""
    row, column = np.divmod(np.arange(side * side), side)
    node = np.arange(side * side)
    east, north = node[column + 1 < side], node[row + 1 < side]
    one_way = np.concatenate([np.column_stack([east, east + 1]), np.column_stack([north, north + side])])
    ends = np.concatenate([one_way, one_way[:, ::-1]])
    length = np.tile(np.random.default_rng(0).uniform(60.0, 200.0, len(one_way)), 2)
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    tail, head = ends[order].T.astype(np.int32)
    degrees = 130.0 / 111_195.0
    graph = RoadGraph(
        tail=tail,
        head=head,
        edge_id=np.arange(len(tail), dtype=np.int64),
        node_id=node.astype(np.int64),
        latitude_deg=row * degrees,
        longitude_deg=column * degrees,
    )
    metres = length[order]
    attributes = EdgeAttributes(metres.astype(np.float32), travel_time_s=(metres / 10.0).astype(np.float32))
    report = {"source": f"a generated grid of {side} x {side} junctions", "kind": "generated"}
    moves = candidate_turns(graph, None)
    turns, _ = finish_turns(moves, np.zeros(moves.num_turns, bool), u_turns="dead_ends", report={})
    return make_network(graph, attributes, turns, None, report)


def _easy_reward(network: RoadNetwork) -> Floats:
    """float64[T]: minutes and a constant per edge, which is raised until the spectral radius is 0.6 at most."""
    times, turns = network.attributes.travel_time_s, network.turns
    minutes = times.astype(np.float64) / 60 if times is not None else network.edge_length_m() / 500.0
    reward = -(_COST[0] * minutes + _COST[1])[turns.to_edge]
    radius, _ = spectral_radius(turns, reward, max_steps=200, tolerance=1e-4)
    return np.asarray(reward - max(np.log(radius / _EASY_RADIUS), 0.0))


def _batch(network: RoadNetwork, origins: Ints | Ids, goals: Ints | Ids) -> TripBatch:
    """Trips to destinations of their own."""
    keys, first = np.unique(goals, return_index=True)
    count = len(keys)
    destinations = make_destinations(network.graph, keys.astype(np.int32), "arrival")
    none = np.zeros(network.turns.num_turns)
    return TripBatch(destinations, np.arange(count + 1), origins[first].astype(np.int32), np.ones(count), none)


def _draw_trips(network: RoadNetwork, km: float, random: np.random.Generator) -> tuple[Ints, Ints]:
    """(origins, goals) whose shortest path has about that length."""
    turns = network.turns
    length_km = network.edge_length_m()[turns.to_edge] / 1000.0
    starts = random.choice(np.flatnonzero(turns.is_main), 16)
    reached = costs_from(turns, np.maximum(length_km, 1e-9), starts, limit=1.2 * km)
    origins, goals = [], []
    for start, far in zip(starts, reached, strict=True):
        ends = np.flatnonzero((far > 0.85 * km) & (far < 1.15 * km) & turns.is_main)
        chosen = random.permutation(ends)[: max(_TRIPS // len(starts), 1)]
        origins.append(np.full(len(chosen), start))
        goals.append(chosen)
    return np.concatenate(origins), np.concatenate(goals)


def _measure_trips(network: RoadNetwork, tau: float) -> dict[str, Any]:
    random, turns = np.random.default_rng(0), network.turns
    reward = _easy_reward(network)
    used, states, per_state = [], [], []
    fresh: list[float] = []
    kept: list[float] = []
    plain = 0.0
    for km in _LENGTHS_KM:
        origins, goals = _draw_trips(network, km, random)
        if len(goals) < 8:
            continue
        batch = _batch(network, origins, goals)
        made = compress_trips(turns, batch)
        small, at = made.compression.turns, made.compression.to_turns(reward)
        finder = CorridorSolver(small, tau=tau, accuracy=np.inf, threads=1)
        corridors = finder.corridors(at, made.batch)  # compiles, too
        keeper = CorridorSolver(small, tau=tau, accuracy=np.inf, threads=1, keep_bytes=1 << 31)
        keeper.values(at, made.batch)
        idle = _idle(finder, at, made.batch)  # what a pass takes for the map itself stands apart
        used.append(km)
        for into, solver, one in ((fresh, finder, at), (kept, keeper, _CHANGE * at)):
            into.append(max(_pass_seconds(solver, one, made.batch) - idle, 1e-7) / len(batch.origin))
        if not plain or km == _LENGTHS_KM[1]:
            whole = CorridorSolver(turns, tau=tau, accuracy=np.inf, threads=1)
            seconds = _pass_seconds(whole, reward, batch) - _idle(whole, reward, batch)
            plain = seconds / len(batch.origin) / fresh[-1]
        states.append(len(corridors.state) / len(batch.origin))
        per_state.append(len(corridors.turn) / len(corridors.state))
    if len(used) < 2:
        raise ConfigurationError(
            where="plan", problem=f"{network.report['source']} has no trips of {_LENGTHS_KM[1]:g} km to measure"
        )
    mean_km = float(np.mean(network.edge_length_m()[turns.is_main])) / 1000.0
    return {
        "edges_per_km": 1.0 / mean_km,
        "fresh_s": Curve.through(used, fresh),
        "kept_s": Curve.through(used, kept),
        "states": Curve.through(used, states),
        "turns_per_state": float(np.mean(per_state)),
        "plain": max(plain, 1.0),
        **_measure_compression(network, made),
    }


def _measure_compression(network: RoadNetwork, made: CompressedTrips) -> dict[str, float]:
    edges, found = network.graph.num_edges, made.compression
    turns, ones = found.turns, np.ones(found.turns.num_turns)
    original = TurnCosts(network.turns, np.ones(network.turns.num_turns))

    def there_and_back() -> None:
        costs = CompressedCosts(found, original)
        costs.require(np.arange(len(costs.is_known)))
        costs.expand(ones)

    return {
        "compress_s": _seconds(lambda: compress_trips(network.turns, made.original)) / edges,
        "small_states": turns.num_edges / edges,
        "small_turns": turns.num_turns / edges,
        "parts_per_turn": len(found.part) / turns.num_turns,
        "sum_s": _seconds(there_and_back) / turns.num_turns,
    }


def _pass_seconds(solver: CorridorSolver, reward: Floats, batch: TripBatch) -> float:
    return _seconds(lambda: solver.total_value(reward, batch))


def _idle(solver: CorridorSolver, reward: Floats, trips: TripBatch) -> float:
    return _pass_seconds(solver, reward, _none_of(trips))


def _none_of(trips: TripBatch) -> TripBatch:
    return dataclasses.replace(trips.block(0, 0), observed=trips.observed)


def _measure_lu(roads: RoadNetwork) -> dict[str, Any]:
    """On generated grids; where the roads themselves are small enough, scaled to what they take."""
    rows = np.array([_one_lu(generated_network(side)) for side in _LU_SIDES])
    found = {name: Curve.through(rows[:, 0], rows[:, at]) for at, name in enumerate(_OF_LU, 1)}
    if roads.graph.num_edges > LARGEST_FACTORISED:
        return found
    edges, *own = _one_lu(roads)
    pairs = zip(found.items(), own, strict=True)
    return {name: Curve.through(one.x, np.array(one.y) * (value / one(edges))) for (name, one), value in pairs}


_OF_LU = ("factor_s", "solve_s", "factor_bytes")


def _one_lu(network: RoadNetwork) -> tuple[float, float, float, float]:
    """(edges, seconds to factorise, seconds per destination, bytes)."""
    turns = network.turns
    reward = _easy_reward(network)
    started = time.process_time()
    factors = Factorization(turns, reward, threads=1)
    seconds = time.process_time() - started
    main = np.flatnonzero(turns.is_main)
    goals = main[np.arange(16) * (len(main) // 16)]
    batch = _batch(network, main[1 + np.arange(16) * (len(main) // 16)], goals)
    solve_s = _seconds(lambda: factors.total_value(batch)) / len(goals)
    return float(turns.num_edges), seconds, solve_s, float(factors.num_bytes)


def _measure_map(network: RoadNetwork) -> dict[str, Any]:
    turns = network.turns
    reward = _easy_reward(network)
    solver = CorridorSolver(turns, threads=1)
    nothing = _batch(network, np.zeros(0, np.int32), np.zeros(0, np.int32))
    features = make_features(network, ("constant", "is_left", "is_left*constant", "is_uturn"))
    theta = np.ones(len(features))
    per_pass = _pass_seconds(solver, reward, nothing) + _seconds(lambda: check_costs(turns, -reward))
    products = _seconds(lambda: features.reward(theta)) + _seconds(lambda: features.project(reward))
    return {
        "map_s": per_pass / turns.num_turns,
        "feature_s": products / turns.num_turns / len(features),
        "prepare_s": _seconds(lambda: CorridorSolver(turns, threads=1)) / turns.num_turns,
    }


def _measure_files(network: RoadNetwork) -> dict[str, Any]:
    """Routes by a random walk, written and read again; the network stored and loaded."""
    turns, random = network.turns, np.random.default_rng(0)
    walk = random.choice(np.flatnonzero(turns.is_main), (4000, 1)).astype(np.int32)
    for _ in range(29):
        low, high = turns.first_out[walk[:, -1]], turns.first_out[walk[:, -1] + 1]
        chosen = low + (random.random(len(walk)) * (high - low)).astype(np.int32)
        walk = np.column_stack([walk, turns.to_edge[np.minimum(chosen, turns.num_turns - 1)]])
    routes = demonstrations_from_edges(network, list(walk), [str(row) for row in range(len(walk))])
    with tempfile.TemporaryDirectory() as scratch:
        file, folder = Path(scratch) / "routes.parquet", Path(scratch) / "network"
        routes.write(file)
        save_network(network, folder)
        size = sum(path.stat().st_size for path in folder.iterdir())
        read_s = _seconds(lambda: read_demonstrations(file, network))
        load_s = _seconds(lambda: load_network(folder))
        tracemalloc.start()
        batch = read_demonstrations(file, network).for_ending("stop").batch("stop")
        peak = tracemalloc.get_traced_memory()[1] - batch.observed.nbytes
        tracemalloc.stop()
        return {
            "load_s_per_byte": load_s / size,
            "route_s": read_s / len(routes.edge),
            "route_file_bytes": file.stat().st_size / len(routes.edge),
            "route_peak_bytes": peak / len(routes.edge),
        }


def _copy_gb_s() -> float:
    source: Ids = np.ones(1 << 24, np.int64)
    target = np.empty_like(source)
    return 2 * source.nbytes / _seconds(lambda: np.copyto(target, source)) / 1e9


def _seconds(task: Callable[[], object]) -> float:
    """CPU time of the fastest of three runs: what else runs on this machine is not measured."""
    best = np.inf
    for _ in range(3):
        started = time.process_time()
        task()
        best = min(best, time.process_time() - started)
    return float(best)
