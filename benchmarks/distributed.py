"""Regions on Ray against one process: the same bytes, the same likelihood, and what the distribution costs.

Roads: Porto. Trips are *simulated*, 2 to 7 km apart as the crow flies. A pass is one log-likelihood with its gradient
over all trips, each in its corridor.

- `byte_identical`: loss and gradient of a pass, and the parameters of a whole training on --few trips, for 1, 2 and 4
  workers and for this process without Ray, all run twice.
- `exact_max_error`: over 1, 2, 4 and 8 regions, the largest relative difference of loss, sum of values and gradient
  between regions that solve the whole map's model together (an LU each and the Schur complement of their borders) and
  one LU of the whole map, of --few trips. `corridor_max_error`: the same for whole trips in corridors of --tau nats.
- `speedup_two_workers`: a pass with one worker over one with two.
- `overhead_one_worker`: a pass with one worker over the same trips in one process held to one thread, minus 1.
- `two_workers_over_two_threads`: a pass with two workers over one process with two threads.
- `driver_gb`: largest resident memory of a driver over a pass, by the number of regions.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray
from _memory import peak_gb
from threadpoolctl import threadpool_limits
from trodden import read_roads, simulate
from trodden.cli.console import out, text_table
from trodden.core.config import Config, PlannerConfig, parse_config
from trodden.core.types import Floats
from trodden.distributed.border import BorderEvaluator
from trodden.distributed.border_shards import BORDERS
from trodden.distributed.coordinator import IN_PROCESS, fit_regions, make_partition
from trodden.distributed.dispatch import BlockEvaluator, InProcess, RayWorkers, Workers, all_keys
from trodden.distributed.regions import Shards, write_shards
from trodden.graphs.partition import Partition
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.features import make_features
from trodden.irl.planner import Planner
from trodden.irl.regional_features import RegionalFeatures

TASTE = {"travel_time_min": -1.0, "is_left": -0.3, "constant": -1.3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/porto.osm.pbf")
    parser.add_argument("--demonstrations", type=int, default=10_000)
    parser.add_argument("--few", type=int, default=300)
    parser.add_argument("--regions", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tau", type=float, default=40.0)
    parser.add_argument("--one-driver", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    network = read_roads(arguments.data / "osm" / "porto.osm.pbf")
    routes = _simulated(network, arguments.demonstrations)
    if arguments.one_driver is not None:
        print(json.dumps(_driver_gb(network, routes, arguments.one_driver)))
        return
    out.print(f"{network.graph.num_edges:,} edges, {len(routes):,} simulated trips", markup=False)
    few = routes.take(np.arange(arguments.few))
    figures: dict[str, Any] = dict(_exact_errors(network, few, arguments.tau))
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    figures |= _same_parameters(network, few, arguments.regions)
    figures |= _passes(network, routes, arguments)
    figures["byte_identical"] = figures.pop("same_parameters") and figures.pop("same_passes")
    ray.shutdown()
    figures["driver_gb"] = {count: _in_a_process(arguments, count) for count in (2, 32)}
    print(json.dumps(figures))


def _simulated(network: RoadNetwork, count: int) -> Demonstrations:
    return simulate(
        network,
        count,
        taste=TASTE,
        seed=1,
        num_destinations=max(count // 10, 1),
        min_km=2.0,
        max_km=7.0,
        solver="corridors",
    ).for_ending("arrival")


def _config(num_regions: int, **regions: Any) -> Config:
    document = {
        "reward": {"features": list(TASTE)},
        "regions": {"count": num_regions, **regions},
        "baselines": {"budget": 0},
    }
    return parse_config(document, where="benchmarks/distributed.py")


def _made(
    folder: Path,
    network: RoadNetwork,
    routes: Demonstrations,
    num_regions: int,
    *,
    tau: float = 25.0,
    solver: Any = "corridors",
) -> tuple[Shards, Partition]:
    config = _config(num_regions)
    partition = make_partition(network, routes, config)
    shards = write_shards(
        folder,
        network,
        routes,
        partition,
        tuple(TASTE),
        PlannerConfig(solver=solver, threads=1, **({"corridor_tau": tau} if solver == "corridors" else {})),
        crossing="exact",
        halo_m=1000 * config.regions.halo_km * (tau / 25.0),
        is_held_out=np.zeros(len(routes), bool),
    )
    return shards, partition


def _pass(shards: Shards, workers: Workers, table: Floats) -> tuple[float, Floats]:
    """(loss, gradient float64[R, F]) of all trips."""
    evaluator = (BorderEvaluator if shards.crossing == BORDERS else BlockEvaluator)(shards, workers)
    keys = all_keys(shards)
    rows = {info.region: list(info.regions) for info in shards.infos}
    loss, gradient = 0.0, np.zeros_like(table)
    for key, answer in zip(keys, evaluator.evaluate(keys, table, lambda done: None), strict=True):
        if answer.refusal:
            raise SystemExit(answer.refusal)
        loss += answer.loss
        gradient[rows[key[0]]] += answer.gradient
    return loss, gradient


def _tables(num_regions: int) -> Floats:
    random = np.random.default_rng(0)
    return np.array(list(TASTE.values())) * random.uniform(0.95, 1.1, (num_regions, len(TASTE)))


def _exact_errors(network: RoadNetwork, routes: Demonstrations, tau: float) -> dict[str, float]:
    """Largest relative differences from one LU of the whole map."""
    worst = {}
    for solver in ("factorization", "corridors"):
        rows = []
        for count in (1, 2, 4, 8):
            with tempfile.TemporaryDirectory() as folder:
                shards, partition = _made(Path(folder), network, routes, count, tau=tau, solver=solver)
                errors = _errors(network, routes, partition, shards, _tables(count))
            rows.append((count, shards.num_crossing, *errors))
        worst[solver] = max(max(row[2:]) for row in rows)
        how = "Schur complements" if solver == "factorization" else f"corridors of {tau:g} nats"
        out.print(f"relative difference from one LU of the whole map: {how}", markup=False)
        shown = [[str(row[0]), str(row[1]), *(f"{error:.1e}" for error in row[2:])] for row in rows]
        out.print(text_table(["regions", "crossing trips", "loss", "values", "gradient"], shown), markup=False)
    return {"exact_max_error": worst["factorization"], "corridor_max_error": worst["corridors"]}


def _errors(
    network: RoadNetwork, routes: Demonstrations, partition: Partition, shards: Shards, table: Floats
) -> tuple[float, float, float]:
    loss, gradient = _pass(shards, InProcess(shards), table)
    regional = RegionalFeatures(make_features(network, tuple(TASTE)), partition.region, partition.num_regions)
    planner, batch = Planner(network.turns, PlannerConfig(solver="factorization")), routes.batch("arrival")
    value, slope = planner.linear_log_likelihood(regional, table.ravel(), batch)
    total, _ = planner.total_value(regional.reward(table.ravel()), batch)
    observed = total + value
    return (
        abs(loss + value) / abs(value),
        abs(observed + loss - total) / abs(total),
        float(np.abs(gradient.ravel() + slope).max() / np.abs(slope).max()),
    )


def _same_parameters(network: RoadNetwork, routes: Demonstrations, num_regions: int) -> dict[str, Any]:
    """Whether whole trainings end with the same bytes."""
    config = _config(num_regions, penalty=100.0)
    seen = set()
    for workers in (0, 1, 2, 4, 2):
        started = time.perf_counter()
        model = fit_regions(
            network, routes, config, num_workers=workers or None, address="local" if workers else IN_PROCESS
        )
        seen.add((model.turn_cost.tobytes(), str(model.regions)))
        out.print(
            f"{len(routes)} trips learned by {workers or 'no'} workers in {time.perf_counter() - started:.0f} s, "
            f"{model.summary['regional_evaluations']} evaluations, visits to where shards end "
            f"{model.summary['border_error']:.0e} per route; {len(seen)} different results so far",
            markup=False,
        )
    return {"same_parameters": len(seen) == 1}


def _passes(network: RoadNetwork, routes: Demonstrations, arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        shards, partition = _made(Path(folder), network, routes, arguments.regions)
        out.print(
            f"{arguments.regions} shards in {time.perf_counter() - started:.0f} s, "
            f"{sum(info.num_edges for info in shards.infos) / network.graph.num_edges:.1f} times the map together; "
            f"{shards.num_crossing:,} trips cross a border",
            markup=False,
        )
        table = _tables(arguments.regions)
        seen, seconds, waiting = set(), {}, {}
        for count in (1, 2, 4):
            workers = RayWorkers(shards, count)
            seconds[count], found = _timed(lambda w=workers: _pass(shards, w, table), arguments.repeat)
            seen |= found
            waiting[count] = workers.timing.share_waiting
            workers.close()
    features = RegionalFeatures(make_features(network, tuple(TASTE)), partition.region, arguments.regions)
    for threads in (1, 2):
        config = PlannerConfig(solver="corridors", threads=threads)
        planner, batch = Planner(network.turns, config), routes.batch("arrival")
        planner.prepare(batch)
        with threadpool_limits(threads):
            seconds[-threads], _ = _timed(
                lambda p=planner, b=batch: p.linear_log_likelihood(features, table.ravel(), b), arguments.repeat
            )
    rows = [
        *([f"{count} workers", f"{seconds[count]:.2f}", f"{waiting[count]:.0%}"] for count in (1, 2, 4)),
        *([f"one process, {n} threads", f"{seconds[-n]:.2f}", "-"] for n in (1, 2)),
    ]
    out.print(text_table(["", "seconds per pass", "waiting, start included"], rows), markup=False)
    return {
        "same_passes": len(seen) == 1,
        "speedup_two_workers": seconds[1] / seconds[2],
        "overhead_one_worker": seconds[1] / seconds[-1] - 1,
        "two_workers_over_two_threads": seconds[2] / seconds[-2],
        "routes_per_second_two_workers": len(routes) / seconds[2],
    }


def _timed(task: Callable[[], tuple[float, Floats]], repeat: int) -> tuple[float, set[tuple[float, bytes]]]:
    """(median seconds after a first pass, the different results)."""
    seconds, seen = [], set()
    for _ in range(repeat + 1):
        started = time.perf_counter()
        loss, gradient = task()
        seconds.append(time.perf_counter() - started)
        seen.add((loss, gradient.tobytes()))
    return statistics.median(seconds[1:]), seen


def _in_a_process(arguments: argparse.Namespace, count: int) -> float:
    command = [sys.executable, __file__, "--one-driver", str(count), "--data", str(arguments.data)]
    command += ["--demonstrations", str(arguments.few)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


def _driver_gb(network: RoadNetwork, routes: Demonstrations, num_regions: int) -> float:
    """Largest resident memory of this process, which makes shards and drives two workers through a pass."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as folder:
        shards, _ = _made(Path(folder), network, routes, num_regions)
        workers = RayWorkers(shards, 2)
        _pass(shards, workers, _tables(num_regions))
        workers.close()
    ray.shutdown()
    return peak_gb()


if __name__ == "__main__":
    main()
