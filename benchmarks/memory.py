"""What a road graph with its turns and 16 features takes: in memory, and on disk.

Porto is read from its extract, stored, and loaded anew. `bytes_per_edge` is the sum of the arrays that the loaded
network and its features hold after one reward, one gradient's projection and one look-up of turns; `features` names the
16. `bytes_per_edge_stored` counts the files of the folder, `shapes_bytes_per_edge` those of the geometry and the OSM
node lists alone, which are memory-mapped and stand in neither. `resident_bytes_per_edge` is the growth of a process's
resident memory (VmRSS) over the same steps on the network tiled --tile x --tile, imports done and a network of the same
kind loaded before; what a reward and a projection need for the time of their call may still be counted there.
`dense_bytes_per_edge` is what the matrix of the features would take as float64[T, 16].
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from trodden import read_roads
from trodden.graphs.memory import network_bytes
from trodden.graphs.store import load_network, save_network
from trodden.graphs.tiling import tile_network
from trodden.irl.features import make_features

FEATURES = (
    *("constant", "length_km", "travel_time_min", "lanes", "is_bridge", "is_tunnel"),
    *("class:motorway", "class:primary", "class:secondary", "class:tertiary", "class:unclassified"),
    *("class:living_street", "is_left", "is_right", "is_uturn", "travel_time_min*is_left"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/porto.osm.pbf")
    parser.add_argument("--tile", type=int, default=3, help="for the resident memory: in 10 MB pages are noise")
    parser.add_argument("--child", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(resident_growth(*arguments.child)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        small, large = Path(scratch) / "porto", Path(scratch) / "tiled"
        network = read_roads(arguments.data / "osm" / "porto.osm.pbf")
        save_network(network, small)
        save_network(tile_network(network, arguments.tile), large)
        figures = measure(small)
        command = [sys.executable, __file__, "--child", str(small), str(large)]
        figures |= json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(json.dumps(figures))


def measure(folder: Path) -> dict[str, Any]:
    """Arrays in memory and files on disk, per edge."""
    network, num_columns = use(folder)
    found = network_bytes(network)
    for group in ("graph", "turns", "attributes", "made", "loaded", "shapes"):
        print(f"{group:<12}{found.per_edge(group):7.1f} bytes per edge")
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    shapes = sum(size for name, size in sizes.items() if name.startswith("shapes."))
    edges = found.num_edges
    return {
        "edges": edges,
        "turns": network.turns.num_turns,
        "bytes_per_edge": found.per_edge("loaded"),
        "bytes_per_edge_stored": (sum(sizes.values()) - shapes) / edges,
        "shapes_bytes_per_edge": shapes / edges,
        "dense_bytes_per_edge": 8.0 * num_columns * network.turns.num_turns / edges,
        "features": list(FEATURES),
    }


def use(folder: Path) -> tuple[Any, int]:
    """A loaded network after all that fills its caches, and the number of its feature columns."""
    network = load_network(folder)
    features, turns = make_features(network, FEATURES), network.turns
    slope = features.reward(np.ones(len(features)))
    features.project(slope)
    some = np.arange(0, turns.num_turns, 100)
    turns.find(turns.from_edge[some], turns.to_edge[some])
    assert turns.is_main.any()
    return network, len(features)


def resident_growth(small: Path, large: Path) -> dict[str, float]:
    """Resident bytes per edge that the large network adds, freed memory handed back to the system first."""
    use(small)
    before = resident_bytes()
    kept, _ = use(large)
    return {
        "resident_bytes_per_edge": (resident_bytes() - before) / kept.graph.num_edges,
        "resident_measured_edges": kept.graph.num_edges,
    }


def resident_bytes() -> int:
    """VmRSS of this process after glibc gave back what is free."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


if __name__ == "__main__":
    main()
