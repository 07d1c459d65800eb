"""Memory of the driver of a regional training while it cuts a map into shards, against routes and edges.

Roads: Porto, *tiled* K x K (--tiles). Routes: random walks of about --turns turns (they are cut and stored, not
learned from), so many as --routes says, written to Parquet. A process of its own loads the stored network, reads the
file, cuts the map into --regions and writes their shards, as `trodden train --regions` does.

- `driver_gb`: the largest memory of its own, by the number of routes, files read from Parquet in blocks; `held_gb` the
  same where all routes are read into memory first. The map's files are mapped: what the system keeps of them in its
  cache is not counted, and `map_gb` is how much that can be.
- `start_gb`: what the process has before it opens the map.
- `gb_per_million_routes`: slope of a line through `driver_gb`; `held_gb_per_million_routes` through `held_gb`.
- `largest_shard_routes`: routes of the largest shard, which are in memory whichever way.
- `same_digest`: both ways wrote the same shards.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _memory import anonymous_gb, anonymous_peak
from trodden import read_demonstrations, read_roads, save_network
from trodden.cli.console import out, text_table
from trodden.core.config import PlannerConfig, parse_config
from trodden.core.scratch import in_files
from trodden.core.types import Ints
from trodden.distributed.coordinator import make_partition
from trodden.distributed.regions import Shards, write_shards
from trodden.graphs.memory import network_bytes
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.store import load_network
from trodden.graphs.tiling import tile_network
from trodden.irl.demonstrations import demonstrations_from_edges
from trodden.irl.spooled_routes import spool_routes

NAMES = ("travel_time_min", "constant")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/porto.osm.pbf")
    parser.add_argument("--tiles", type=int, default=3)
    parser.add_argument("--routes", type=int, nargs="+", default=[50_000, 200_000, 400_000])
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--regions", type=int, default=16)
    parser.add_argument("--held", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.place is not None:
        print(json.dumps(_driver(arguments)))
        return
    porto = read_roads(arguments.data / "osm" / "porto.osm.pbf")
    network = tile_network(porto, arguments.tiles) if arguments.tiles > 1 else porto
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        save_network(network, Path(place) / "network")
        for count in arguments.routes:
            _write_walks(network, count, arguments.turns, Path(place) / "routes.parquet")
            found = {held: _in_a_process(arguments, place, held) for held in (False, True)}
            rows.append(
                {
                    "routes": count,
                    "driver_gb": found[False]["gb"],
                    "held_gb": found[True]["gb"],
                    "largest": found[False]["largest"],
                    "same": found[False]["digest"] == found[True]["digest"],
                    "start_gb": found[False]["start_gb"],
                }
            )
            out.print(f"{count:,} routes: {found}", markup=False)
    title = f"{network.graph.num_edges:,} edges, {arguments.regions} regions"
    shown = [[f"{r['routes']:,}", f"{r['driver_gb']:.2f}", f"{r['held_gb']:.2f}", f"{r['largest']:,}"] for r in rows]
    out.print(title, markup=False)
    out.print(text_table(["routes", "in blocks, GB", "all in memory, GB", "of the largest shard"], shown), markup=False)
    sizes = {"edges": network.graph.num_edges, "regions": arguments.regions}
    print(json.dumps({**sizes, "map_gb": network_bytes(network).loaded / 1e9, **_figures(rows)}))


def _figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    count = np.array([row["routes"] for row in rows], np.float64) / 1e6
    figures: dict[str, Any] = {}
    for name, slope in (("driver_gb", "gb_per_million_routes"), ("held_gb", "held_gb_per_million_routes")):
        values = np.array([row[name] for row in rows])
        figures[name] = {row["routes"]: row[name] for row in rows}
        figures[slope] = float(np.polyfit(count, values, 1)[0]) if len(rows) > 1 else None
    figures["start_gb"] = rows[-1]["start_gb"]
    figures["largest_shard_routes"] = rows[-1]["largest"]
    figures["same_digest"] = all(row["same"] for row in rows)
    return figures


def _write_walks(network: RoadNetwork, count: int, num_turns: int, path: Path) -> None:
    """Random walks of up to so many turns, without U-turns where there is another way."""
    random, turns = np.random.default_rng(1), network.turns
    at = random.choice(np.flatnonzero(turns.is_main), count).astype(np.int32)
    steps: list[Ints] = [at]
    for _ in range(num_turns):
        width = turns.first_out[at + 1] - turns.first_out[at]
        at = turns.to_edge[turns.first_out[at] + (random.random(count) * width).astype(np.int32)]
        steps.append(at)
    demonstrations_from_edges(network, list(np.stack(steps, axis=1)), [str(k) for k in range(count)]).write(path)


def _in_a_process(arguments: argparse.Namespace, place: str, held: bool) -> dict[str, Any]:
    command = [sys.executable, __file__, "--place", place, "--regions", str(arguments.regions)]
    done = subprocess.run(command + ["--held"] * held, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _driver(arguments: argparse.Namespace) -> dict[str, Any]:
    start_gb = anonymous_gb()
    with anonymous_peak() as peak:
        shards = _cut(arguments)
    largest = max(info.num_routes for info in shards.infos)
    return {"gb": peak[0], "start_gb": start_gb, "largest": largest, "digest": shards.digest}


def _cut(arguments: argparse.Namespace) -> Shards:
    place = arguments.place
    network = load_network(place / "network", is_mapped=True)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        source: Any = place / "routes.parquet"
        if arguments.held:
            source = read_demonstrations(source, network).for_ending("arrival")
        routes = spool_routes(source, network, Path(folder) / "routes", "arrival")
        config = parse_config({"reward": {"features": NAMES}, "regions": {"count": arguments.regions}}, where=__file__)
        return write_shards(
            Path(folder) / "shards",
            network,
            routes,
            make_partition(network, routes, config, in_files(Path(folder))),
            NAMES,
            PlannerConfig(solver="corridors", threads=1),
            crossing="exact",
            halo_m=2000.0,
            is_held_out=np.zeros(len(routes), bool),
        )


if __name__ == "__main__":
    main()
