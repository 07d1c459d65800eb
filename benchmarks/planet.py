"""From constants measured here to 200 million states and 110 million demonstrations, checked on the largest maps here.

Regional training in corridors, as `trodden train --regions` does it: a driver loads the map, cuts it, sorts
demonstrations through files and writes shards; workers open shards and evaluate blocks of 256 trips. Constants come
from Porto, with as many trips per edge as the planet has (demonstrations over states) and with few, and from *tiled*
Porto (--known-tiles) with few, each as one region and cut into eight. Every figure is a sum of terms (per edge, per
trip, ...; `_LAWS`), fitted by non-negative least squares of relative errors. The driver and every worker have a
process of their own, held to one thread; seconds are its CPU time, since what else this machine does is not the
matter, and files are cached.

The same terms predict what two other maps then take: *tiled* Porto of the largest size (--tiles), in regions of the
planet's size, with few trips; and a smaller one (--dense-tiles) as one region with the planet's trips per edge.
`prediction_error` is the largest |predicted / measured - 1| of everything on both; `prediction_errors` holds each.
Trips are *simulated*, 2 to 7 km apart as the crow flies, from an easy reward.

- `core_hours_per_epoch`: of all workers, for one likelihood with its gradient over all demonstrations, shards being
  open; `trip_ms` the same per trip. `search_ms`, `solve_ms`: what finding a corridor and solving it take of that, on a
  sample of Porto's.
- `worker_gb`: resident memory of a worker at its peak, one shard open. `worker_most_gb`: with as many as a worker keeps
  open, which it comes to when it has helped others for long.
- `rebuild_seconds`: what a fresh worker takes, beyond a pass, until its shard has been evaluated once: to start, to
  open the shard, to check and compress it. Ray's own start comes on top.
- `shard_edges`, `shard_gb`, `disk_tb`: a shard holds all within reach of its region's trips, so more than its region.
- `exchanged_mb_per_epoch`: coefficients to workers, losses and gradients back, as they are serialised; what Ray wraps
  around them comes on top.
- `driver_gb`, `driver_hours_before`: the driver until training begins (memory of its own: the map is mapped), and
  `driver_minutes_per_epoch` to hand out blocks and collect answers, as measured on a local Ray.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from _memory import anonymous_peak, peak_gb
from ray import cloudpickle
from scipy.optimize import nnls
from threadpoolctl import threadpool_limits
from trodden import read_roads, save_network, simulate
from trodden.cli.console import out, text_table
from trodden.core.config import PlannerConfig, parse_config
from trodden.core.scratch import in_files
from trodden.distributed.coordinator import make_partition
from trodden.distributed.dispatch import BlockEvaluator, RayWorkers, all_keys
from trodden.distributed.regions import open_shard, read_shards, write_shards
from trodden.distributed.shard_files import ShardInfo
from trodden.distributed.workers import MOST_EDGES, WorkDone
from trodden.graphs.partition import edges_near
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.store import load_network
from trodden.graphs.tiling import tile_network
from trodden.irl.compressed_trips import TripCompressor
from trodden.irl.corridors import CorridorSolver
from trodden.irl.features import make_features
from trodden.irl.regional_likelihood import BLOCK_ROUTES, BlockAnswer, RegionalLikelihood
from trodden.irl.spooled_routes import spool_routes

TASTE = {"travel_time_min": -1.0, "is_left": -0.3, "constant": -1.3}
KM = (2.0, 7.0)
HALO_KM = 2.0
REACH_KM = KM[1] + HALO_KM
"""So far from its region a shard reaches where trips are many: to the end of one that begins at the border."""
_SAMPLE_BLOCKS = 4
"""Of 256 trips, that searching and solving are told apart on."""
_FIRST_BLOCKS = 8
"""Of which the first evaluation is compared with the next one."""
_TIMED_BLOCKS = 64
"""Of a shard, evenly spread, that a pass is timed on where it has more."""
_NEIGHBOURS = 9
"""Regions that price edges of a shard on the planet: its own, and those around it."""
_LAWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "open_s": ("worker", ("one", "edges", "trips")),
    "first_s": ("worker", ("one", "edges", "trips")),
    "pass_s": ("worker", ("trips", "block_edges")),
    "peak_gb": ("worker", ("one", "edges", "trips")),
    "disk_gb": ("worker", ("one", "edges", "trips")),
    "load_s": ("driver", ("one", "map_edges", "trips")),
    "write_s": ("driver", ("region_map_edges", "shard_edges", "trips")),
    "driver_gb": ("driver", ("one", "map_edges", "trips", "largest_edges", "largest_trips")),
}
"""What is predicted: of whom, and the terms that it is a sum of."""
_NAMES = {
    "open_s": "to open a shard, s",
    "first_s": "first pass beyond later ones, s",
    "pass_s": "a pass over a shard, s",
    "peak_gb": "memory of a worker, GB",
    "disk_gb": "a shard on disk, GB",
    "load_s": "driver, to load map and trips, s",
    "write_s": "driver, to cut and write shards, s",
    "driver_gb": "memory of the driver, GB",
}
_TERMS = {
    "one": "alone",
    "edges": "per million edges",
    "trips": "per million trips",
    "block_edges": "per block and million edges",
    "map_edges": "per million edges of the map",
    "region_map_edges": "per region and million edges of the map",
    "shard_edges": "per million edges of all shards",
    "largest_edges": "per million edges of the largest shard",
    "largest_trips": "per million trips of the largest shard",
}


@dataclass(frozen=True)
class Law:
    """A sum of terms, each a factor times a size."""

    terms: tuple[str, ...]
    factors: tuple[float, ...]

    def at(self, sizes: dict[str, float]) -> float:
        """The sum."""
        return sum(factor * sizes[term] for term, factor in zip(self.terms, self.factors, strict=True))

    def __str__(self) -> str:
        said = [
            f"{factor * (1 if term == 'one' else 1e6):.3g} {_TERMS[term]}"
            for term, factor in zip(self.terms, self.factors, strict=True)
            if factor
        ]
        return " + ".join(said)


def main() -> None:
    arguments = _arguments()
    if arguments.process:
        print(json.dumps(_PROCESSES[arguments.process](arguments)))
        return
    density = arguments.demonstrations / arguments.states
    porto = read_roads(arguments.data / "osm" / "porto.osm.pbf")

    def measured(tiles: int, trips_per_edge: float, counts: tuple[int, ...], **more: bool) -> list[dict[str, Any]]:
        name = f"Porto tiled {tiles} x {tiles}" if tiles > 1 else "Porto"
        trips = max(round(trips_per_edge * porto.graph.num_edges * tiles**2), 20 * max(counts))
        return _once(
            arguments.measured,
            f"{name}, {trips} trips, {counts}",
            lambda: _measured(name, tile_network(porto, tiles) if tiles > 1 else porto, trips, counts, **more),
        )

    base = _once(arguments.measured, "base", lambda: _run("base", Path()))
    dense = measured(1, density, (1, 8), splits=True)
    sparse = measured(1, density / 50, (1, 8), dispatches=True)
    known = [*dense, *sparse, *measured(arguments.known_tiles, density / 250, (1, 8))]
    laws = {name: _law(name, known) for name in _LAWS}
    out.print("\nconstants:", markup=False)
    for name, law in laws.items():
        out.print(f"  {_NAMES[name]}: {law}", markup=False)
    checked = measured(arguments.dense_tiles, density, (1,)) if arguments.dense_tiles else []
    regions = max(round(porto.graph.num_edges * arguments.tiles**2 / arguments.region_edges), 2)
    per_edge = arguments.trips / arguments.region_edges
    checked += measured(arguments.tiles, per_edge, (regions,), reaches=True)
    errors = {}
    for found in checked:
        errors |= _check(laws, found)
    plan = _plan(arguments, laws, base, dense[0]["split"], sparse[0]["sent"], checked[-1])
    print(json.dumps({**plan, "prediction_error": max(errors.values()), "prediction_errors": errors}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/porto.osm.pbf")
    parser.add_argument("--known-tiles", type=int, default=3, help="K x K copies that constants come from, too")
    parser.add_argument("--tiles", type=int, default=9, help="K x K copies to check on with few trips")
    parser.add_argument("--trips", type=int, default=2_000, help="per region of these")
    parser.add_argument(
        "--dense-tiles",
        type=int,
        default=2,
        help="K x K copies to check on with as many as the planet (0: leave that out; 2 takes 40 minutes)",
    )
    parser.add_argument("--states", type=float, default=200e6)
    parser.add_argument("--demonstrations", type=float, default=110e6)
    parser.add_argument("--region-edges", type=float, default=1e6)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument(
        "--measured", type=Path, help="a file that keeps what this machine took: an interrupted run goes on from there"
    )
    parser.add_argument("--process", choices=sorted(_PROCESSES), help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--flag", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _once(file: Path | None, key: str, measure: Callable[[], Any]) -> Any:
    """What was measured before, or is now."""
    known = json.loads(file.read_text(encoding="utf-8")) if file is not None and file.exists() else {}
    if key not in known:
        known[key] = measure()
        if file is not None:
            file.write_text(json.dumps(known), encoding="utf-8")
    return known[key]


# ------------------------------------------------------------------------------------------------ measuring


def _measured(
    name: str,
    network: RoadNetwork,
    num_trips: int,
    counts: tuple[int, ...],
    *,
    splits: bool = False,
    dispatches: bool = False,
    reaches: bool = False,
) -> list[dict[str, Any]]:
    """What a driver and its workers take for a map with so many simulated trips, by the number of regions."""
    result = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        routes = simulate(
            network,
            num_trips,
            taste=TASTE,
            seed=1,
            num_destinations=max(num_trips // 10, 1),
            min_km=KM[0],
            max_km=KM[1],
            solver="corridors",
        )
        save_network(network, place / "network")
        routes.write(place / "routes.parquet")
        num_edges = network.graph.num_edges
        del routes
        for regions in counts:
            driver = _run("driver", place, regions, reaches)
            shards = [_shard(place, info, splits and regions == 1) for info in read_shards(place / "shards").infos]
            size = {
                "one": 1.0,
                "map_edges": num_edges,
                "trips": num_trips,
                "region_map_edges": regions * num_edges,
                "shard_edges": sum(shard["edges"] for shard in shards),
                "largest_edges": max(shard["edges"] for shard in shards),
                "largest_trips": max(shard["trips"] for shard in shards),
            }
            result.append({"name": name, "driver": {**size, **driver}, "shards": shards})
            out.print(
                f"{name}, {num_edges:,} edges, {num_trips:,} simulated trips, "
                f"{regions} region{'s' * (regions > 1)}: shards hold "
                f"{size['shard_edges'] / num_edges:.2f} times the map, "
                f"{1000 * sum(shard['pass_s'] for shard in shards) / num_trips:.2f} ms per trip",
                markup=False,
            )
        if splits:
            result[0]["split"] = {key: result[0]["shards"][0][key] for key in ("search_ms", "solve_ms")}
        if dispatches:
            _run("driver", place, 64)
            result[0]["sent"] = [{"workers": workers, **_run("dispatch", place, workers)} for workers in (2, 12)]
    return result


def _shard(place: Path, info: ShardInfo, splits: bool) -> dict[str, Any]:
    """What a worker takes for a shard, and its sizes."""
    stored = place / "shards" / f"region-{info.region}"
    return {
        "one": 1.0,
        "edges": info.num_edges,
        "trips": info.num_routes,
        "block_edges": len(info.blocks) * info.num_edges,
        "disk_gb": sum(file.stat().st_size for file in stored.rglob("*") if file.is_file()) / 1e9,
        **_run("worker", place, info.region, splits),
    }


def _run(process: str, place: Path, number: int = 0, flag: bool = False) -> dict[str, Any]:
    """What one of `_PROCESSES` measured, in a process of its own."""
    command = [sys.executable, __file__, "--process", process, "--place", str(place), "--number", str(number)]
    done = subprocess.run(command + ["--flag"] * flag, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _base(_: argparse.Namespace) -> dict[str, Any]:
    """A process that has loaded the code and nothing else."""
    return {"start_s": time.process_time(), "gb": peak_gb()}


def _driver(arguments: argparse.Namespace) -> dict[str, Any]:
    place, regions = arguments.place, arguments.number
    with threadpool_limits(1), anonymous_peak() as peak:
        started = time.process_time()
        network = load_network(place / "network", is_mapped=True)
        routes = spool_routes(place / "routes.parquet", network, place / "spool", "arrival")
        loaded = time.process_time()
        config = parse_config(
            {"reward": {"features": list(TASTE)}, "regions": {"count": regions, "balance": 0.0}}, where=__file__
        )
        partition = make_partition(network, None, config, in_files(place))
        write_shards(
            place / "shards",
            network,
            routes,
            partition,
            tuple(TASTE),
            PlannerConfig(solver="corridors", threads=1),
            crossing="exact",
            halo_m=1000 * HALO_KM,
            is_held_out=np.zeros(len(routes), bool),
        )
        written = time.process_time()
    found: dict[str, Any] = {"load_s": loaded - started, "write_s": written - loaded, "driver_gb": peak[0]}
    if arguments.flag:
        of_region = [partition.edges(region) for region in range(regions)]
        found["reach"] = max(len(edges_near(network, edges, 1000 * REACH_KM)) / len(edges) for edges in of_region)
    return found


def _worker(arguments: argparse.Namespace) -> dict[str, Any]:
    folder, region = arguments.place / "shards", arguments.number
    shards = read_shards(folder)
    (info,) = (one for one in shards.infos if one.region == region)
    table = np.tile(list(TASTE.values()), (len(info.regions), 1))
    with threadpool_limits(1):
        started = time.process_time()
        shard = open_shard(shards.path(region))
        found: dict[str, Any] = {"open_s": time.process_time() - started, "regions": len(info.regions)}
        assert isinstance(shard, RegionalLikelihood)

        def evaluate(number: int) -> BlockAnswer:
            answer = shard.evaluate(shard.blocks[number], table)
            if answer.refusal:
                raise SystemExit(answer.refusal)
            return answer

        extra = []
        for number in range(len(info.blocks)):
            first = _seconds(lambda n=number: evaluate(n))
            if number < _FIRST_BLOCKS:
                extra.append(max(first - _seconds(lambda n=number: evaluate(n)), 0.0))
        # The first of all compiles and compresses; others lay out their trips, and find where costs are needed.
        found["first_s"] = extra[0] + (float(np.mean(extra[1:])) * (len(info.blocks) - 1) if extra[1:] else 0.0)
        timed = range(0, len(info.blocks), math.ceil(len(info.blocks) / _TIMED_BLOCKS))
        share = sum(info.blocks[number].weight for number in timed) / info.weight
        found["pass_s"] = _seconds(lambda: [evaluate(number) for number in timed]) / share
        found["peak_gb"] = peak_gb()
        found["answer_bytes"] = len(cloudpickle.dumps(WorkDone(evaluate(0), 0.0), 5))
        if arguments.flag:
            found |= _split(shard)
    return found


def _split(shard: RegionalLikelihood) -> dict[str, float]:
    """Milliseconds per trip to search and to solve: a corridor found and solved, less one that is kept."""
    network, routes = shard.network, shard.trip_sets[0].routes
    by_end = np.argsort(routes.last_edge, kind="stable")  # as blocks are made
    begins = np.linspace(0, max(len(routes) - BLOCK_ROUTES, 0), _SAMPLE_BLOCKS).astype(np.int64)
    rows = np.unique(np.concatenate([by_end[begin : begin + BLOCK_ROUTES] for begin in begins]))
    compressor = TripCompressor(network.turns, routes.batch("arrival", with_observed=False))
    trips = compressor.trips(routes.take(rows).batch("arrival", with_observed=False))
    features, theta = make_features(network, tuple(TASTE)), np.array(list(TASTE.values()))
    rewards = [trips.compression.to_turns(features.reward(change * theta)) for change in (1.0, 1.01)]
    fresh, kept = [], []
    for _ in range(4):
        solver = CorridorSolver(trips.compression.turns, threads=1, keep_bytes=1 << 33)
        for into, reward in zip((fresh, kept), rewards, strict=True):
            into.append(1000 * _seconds(lambda s=solver, r=reward: s.total_value(r, trips.batch)) / len(rows))
    solve = statistics.median(kept[1:])
    return {"search_ms": statistics.median(fresh[1:]) - solve, "solve_ms": solve}


def _dispatch(arguments: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds of the driver per block and per shard of a pass, with so many workers of a local Ray."""
    shards = read_shards(arguments.place / "shards")
    keys, table = all_keys(shards), np.tile(list(TASTE.values()), (64, 1))
    ray.init(
        address="local", num_cpus=arguments.number, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    evaluator = BlockEvaluator(shards, RayWorkers(shards, arguments.number))
    evaluator.evaluate(keys, table, lambda done: None)
    repeat = math.ceil(500 / len(keys))
    passes = _seconds(lambda: [evaluator.evaluate(keys, table, lambda done: None) for _ in range(repeat)]) / repeat
    putting = _seconds(lambda: [ray.put(table[:_NEIGHBOURS]) for _ in range(500)]) / 500
    ray.shutdown()
    return {"per_block": (passes - putting * len(shards.infos)) / len(keys), "per_shard": putting}


_PROCESSES = {"base": _base, "driver": _driver, "worker": _worker, "dispatch": _dispatch}


def _seconds(task: Callable[[], object]) -> float:
    """CPU time of this process."""
    started = time.process_time()
    task()
    return time.process_time() - started


# ------------------------------------------------------------------------------------------------ predicting


def _law(name: str, known: list[dict[str, Any]]) -> Law:
    """The factors under which what was measured comes out best, none of them negative."""
    whose, terms = _LAWS[name]
    points = [one for found in known for one in ([found["driver"]] if whose == "driver" else found["shards"])]
    rows, values = [[one[term] for term in terms] for one in points], [one[name] for one in points]
    x, y = np.array(rows, np.float64), np.array(values)
    scale = x.max(axis=0)
    factors, _ = nnls(x / scale / y[:, None], np.ones(len(y)))
    return Law(terms, tuple((factors / scale).tolist()))


def _check(laws: dict[str, Law], found: dict[str, Any]) -> dict[str, float]:
    """|predicted / measured - 1| of every law; of shards it is their mean that counts."""
    rows, errors = [], {}
    for name, law in laws.items():
        points = [found["driver"]] if _LAWS[name][0] == "driver" else found["shards"]
        predicted = float(np.mean([law.at(one) for one in points]))
        measured = float(np.mean([one[name] for one in points]))
        rows.append([_NAMES[name], f"{predicted:.3g}", f"{measured:.3g}", f"{predicted / measured:.2f}"])
        errors[f"{name}, {found['name']}, {found['driver']['trips']:,} trips"] = abs(predicted / measured - 1)
    shards = found["shards"]
    edges, trips = (np.mean([one[key] for one in shards]) for key in ("edges", "trips"))
    out.print(
        f"\n{found['name']}: {found['driver']['trips']:,} trips; a shard: {edges:,.0f} edges, {trips:,.0f} trips",
        markup=False,
    )
    out.print(text_table(["", "predicted", "measured", "ratio"], rows), markup=False)
    return errors


def _plan(
    arguments: argparse.Namespace,
    laws: dict[str, Law],
    base: dict[str, Any],
    split: dict[str, float],
    sent: list[dict[str, float]],
    large: dict[str, Any],
) -> dict[str, Any]:
    regions = math.ceil(arguments.states / arguments.region_edges)
    reach = large["driver"]["reach"]
    edges, trips = reach * arguments.states / regions, arguments.demonstrations / regions
    blocks = math.ceil(trips / BLOCK_ROUTES)
    shard = {"one": 1.0, "edges": edges, "trips": trips, "block_edges": blocks * edges}
    whole = {
        "one": 1.0,
        "map_edges": arguments.states,
        "trips": arguments.demonstrations,
        "region_map_edges": regions * arguments.states,
        "shard_edges": regions * edges,
        "largest_edges": edges,
        "largest_trips": trips,
    }
    of = {name: law.at(shard if _LAWS[name][0] == "worker" else whole) for name, law in laws.items()}
    hours, held = regions * of["pass_s"] / 3600, max(int(MOST_EDGES // edges), 1)
    code_gb = dict(zip(laws["peak_gb"].terms, laws["peak_gb"].factors, strict=True))["one"]
    table_bytes = 8 * _NEIGHBOURS * len(TASTE)
    wrapping = max(one["answer_bytes"] - 8 * len(TASTE) * one["regions"] for one in large["shards"])
    dearest = max(sent, key=lambda one: one["per_block"])
    driver_minutes = regions * (blocks * dearest["per_block"] + dearest["per_shard"]) / 60
    plan = {
        "core_hours_per_epoch": hours,
        "trip_ms": 1000 * of["pass_s"] / trips,
        **split,
        "minutes_per_epoch": max(60 * hours / arguments.workers, driver_minutes),
        "worker_gb": of["peak_gb"],
        "worker_most_gb": of["peak_gb"] + (held - 1) * (of["peak_gb"] - code_gb),
        "rebuild_seconds": base["start_s"] + of["open_s"] + of["first_s"],
        "shards": regions,
        "shard_edges": edges,
        "shard_gb": of["disk_gb"],
        "disk_tb": regions * of["disk_gb"] / 1000,
        "exchanged_mb_per_epoch": regions * (blocks * (wrapping + table_bytes) + table_bytes) / 1e6,
        "driver_gb": of["driver_gb"],
        "driver_hours_before": (of["load_s"] + of["write_s"]) / 3600,
        "driver_minutes_per_epoch": driver_minutes,
    }
    per_block = ", ".join(f"{1000 * one['per_block']:.2f} ms with {one['workers']} workers" for one in sent)
    out.print(f"\n{arguments.states:,.0f} states, {arguments.demonstrations:,.0f} demonstrations:", markup=False)
    out.print(text_table(["", ""], [[name, f"{value:,.4g}"] for name, value in plan.items()]), markup=False)
    out.print("\nThis assumes:", markup=False)
    for line in (
        f"{regions} regions of {arguments.states / regions:,.0f} edges and {trips:,.0f} demonstrations each; a shard "
        f"holds all within {REACH_KM:g} km of its region, {reach:.2f} times as many edges (as the worst region of the "
        "large tiled map does)",
        f"roads like Porto's; trips {KM[0]:g} to {KM[1]:g} km apart, ten to a destination, all distinct",
        "an easy reward, no corridor widened; near spectral radius 1 a trip takes up to three times that",
        f"{len(TASTE)} features; each further one adds to costs and sums, and to what is exchanged",
        "an epoch is one likelihood with its gradient; a training evaluates some 40 to 100, standard errors more",
        f"{arguments.workers} workers, one CPU each, never short of blocks: minutes_per_epoch are core hours over "
        "workers, and no less than the driver's own minutes, which go on beside them",
        f"the driver takes as long per block as the dearest of what was measured ({per_block}), however many workers",
        f"a worker that helps others keeps their shards open too, up to {MOST_EDGES:,} edges: {held} shards",
        f"{_NEIGHBOURS} regions price the edges of a shard: its own and those around it",
        "one driver cuts the whole map, holds numbers per edge and the largest shard with its demonstrations, and "
        "writes the shards one after the other: the figures that reach furthest beyond what was measured",
        "CPU seconds, files cached: no waiting for disks, networks or other work; Ray's workers take no more memory",
        "with as many trips per edge as on the planet, the largest shard measured is that of the smaller tiled map",
    ):
        out.print(f"- {line}", markup=False)
    return plan


if __name__ == "__main__":
    main()
