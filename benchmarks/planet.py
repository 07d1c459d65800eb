"""From constants measured here to 200 million states and 110 million demonstrations, checked on the largest map here.

Constants come from Porto cut into 2 and 8 regions: seconds to write shards per edge of theirs, bytes on disk, and, in
a process per shard as a worker has it, seconds to open it, seconds per trip and resident memory at the peak. Straight
lines through these predict the same for *tiled* Porto, whose shards are larger; `prediction_error` is the largest of
|predicted / measured - 1| over trips, opening, disk and memory there. The plan for the planet takes shards of
--shard-edges edges, trips of the length measured, and says what it leaves out. Trips are *simulated*.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from trodden import read_roads, simulate
from trodden.cli.console import out, text_table
from trodden.core.config import PlannerConfig, parse_config
from trodden.distributed.coordinator import make_partition
from trodden.distributed.regions import open_shard, write_shards
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.tiling import tile_network

TASTE = {"travel_time_min": -1.0, "is_left": -0.3, "constant": -1.3}
_MEASURES = ("write_seconds", "disk_bytes", "open_seconds", "peak_bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/porto.osm.pbf")
    parser.add_argument("--tiles", type=int, default=4, help="K x K copies to check on")
    parser.add_argument("--trips", type=int, default=150, help="per region")
    parser.add_argument("--states", type=float, default=200e6)
    parser.add_argument("--demonstrations", type=float, default=110e6)
    parser.add_argument("--shard-edges", type=float, default=1e6)
    parser.add_argument("--one-shard", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_shard is not None:
        print(json.dumps(_in_a_worker(arguments.one_shard)))
        return
    porto = read_roads(arguments.data / "osm" / "porto.osm.pbf")
    known = [one for count in (2, 8) for one in _shards(porto, count, arguments.trips)]
    lines = {name: _line([(one["edges"], one[name]) for one in known]) for name in _MEASURES}
    per_trip = statistics.median(one["seconds_per_trip"] for one in known)
    checked = _shards(tile_network(porto, arguments.tiles), 4, arguments.trips)
    rows, errors = [], []
    for name in (*_MEASURES, "seconds_per_trip"):
        measured = statistics.median(one[name] for one in checked)
        predicted = (
            per_trip
            if name == "seconds_per_trip"
            else statistics.median(_at(lines[name], one["edges"]) for one in checked)
        )
        rows.append([name, f"{predicted:.3g}", f"{measured:.3g}", f"{predicted / measured:.2f}"])
        errors += [abs(predicted / measured - 1)] if name != "write_seconds" else []
    edges = statistics.median(one["edges"] for one in checked)
    out.print(f"a shard of {edges:,.0f} edges of tiled Porto, from shards of Porto", markup=False)
    out.print(text_table(["", "predicted", "measured", "ratio"], rows), markup=False)
    plan = _plan(arguments, lines, per_trip)
    for line in plan.pop("assumptions"):
        out.print(f"- {line}", markup=False)
    print(json.dumps({**plan, "prediction_error": max(errors), "largest_shard_edges": edges}))


def _plan(arguments: argparse.Namespace, lines: dict[str, Any], per_trip: float) -> dict[str, Any]:
    edges = arguments.shard_edges
    shards = arguments.states / edges
    hours = arguments.demonstrations * per_trip / 3600
    num_features = len(TASTE)
    blocks = arguments.demonstrations / 256
    return {
        "core_hours_per_epoch": hours,
        "worker_gb": _at(lines["peak_bytes"], edges) / 1e9,
        "shards": shards,
        "shard_gb": _at(lines["disk_bytes"], edges) / 1e9,
        "disk_tb": shards * _at(lines["disk_bytes"], edges) / 1e12,
        "rebuild_seconds": _at(lines["open_seconds"], edges),
        "write_core_hours": shards * _at(lines["write_seconds"], edges) / 3600,
        # A row of coefficients and one of gradients per region that a block touches: its own and some eight around it.
        "exchanged_mb_per_epoch": blocks * 2 * 9 * num_features * 8 / 1e6,
        "workers_for_an_hour_per_epoch": hours,
        "assumptions": [
            f"{arguments.states:.3g} states in {shards:.0f} shards of {edges:.3g} edges (halos not counted twice), "
            f"{arguments.demonstrations:.3g} demonstrations, {num_features} features",
            f"trips as simulated here, {1000 * per_trip:.2f} ms each on one thread, an easy reward, none widened",
            "one epoch: one likelihood with its gradient over all demonstrations; a training takes 40 to 100 of them",
            "workers are never short of blocks; the driver adds up what one evaluation returns, 9 rows per block",
            "memory of a shard that is open, with the code; the driver's own network is not counted",
        ],
    }


def _shards(network: RoadNetwork, count: int, trips: int) -> list[dict[str, Any]]:
    """What the shards of a network measured, each opened and evaluated in a process of its own."""
    routes = simulate(
        network,
        trips * count,
        taste=TASTE,
        seed=1,
        num_destinations=max(trips * count // 10, 1),
        min_km=2.0,
        max_km=7.0,
        solver="corridors",
    ).for_ending("arrival")
    config = parse_config({"reward": {"features": list(TASTE)}, "regions": {"count": count, "balance": 0.0}}, where="-")
    with tempfile.TemporaryDirectory() as folder:
        partition = make_partition(network, None, config)
        started = time.perf_counter()
        shards = write_shards(
            Path(folder),
            network,
            routes,
            partition,
            tuple(TASTE),
            PlannerConfig(solver="corridors", threads=1),
            crossing="exact",
            halo_m=100_000.0 if count == 2 else 2_000.0,
            is_held_out=np.zeros(len(routes), bool),
        )
        written = (time.perf_counter() - started) / len(shards.infos)
        found = []
        for info in shards.infos:
            place = shards.path(info.region)
            done = subprocess.run(
                [sys.executable, __file__, "--one-shard", str(place)], check=True, stdout=subprocess.PIPE, text=True
            )
            disk = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
            found.append(
                {
                    **json.loads(done.stdout.splitlines()[-1]),
                    "edges": info.num_edges,
                    "write_seconds": written,
                    "disk_bytes": disk,
                }
            )
        return found


def _in_a_worker(place: Path) -> dict[str, float]:
    started = time.perf_counter()
    shard = open_shard(place)
    opened = time.perf_counter() - started
    table = np.tile(list(TASTE.values()), (len(json.loads((place / "document.json").read_text())["regions"]), 1))
    routes, seconds = 0, 0.0
    for is_first in (True, False):  # the first pass compiles, compresses, and finds where costs are needed
        started = time.perf_counter()
        for block in shard.blocks:
            shard.evaluate(block, table)
            routes += 0 if is_first else block.end - block.begin
        seconds = time.perf_counter() - started
    return {
        "open_seconds": opened,
        "seconds_per_trip": seconds / routes,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }


def _line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """(slope, height) of least squares."""
    x, y = np.array(points, np.float64).T
    slope, height = np.polyfit(x, y, 1)
    return float(slope), float(height)


def _at(line: tuple[float, float], edges: float) -> float:
    return line[0] * edges + line[1]


if __name__ == "__main__":
    main()
