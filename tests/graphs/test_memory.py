"""What a network takes in memory: counted from its own arrays, and small enough."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
from small_city import city_xml
from trodden.graphs.memory import format_bytes, network_bytes
from trodden.graphs.reading import read_roads
from trodden.graphs.store import load_network, save_network
from trodden.irl.features import make_features

SIXTEEN = (
    *("constant", "length_km", "travel_time_min", "speed_kmh", "lanes", "is_toll", "is_bridge", "is_tunnel"),
    *("class:secondary", "class:tertiary", "class:residential", "is_left", "is_right", "is_uturn"),
    *("length_km*is_left", "is_toll*length_km"),
)


def stored_city(folder: Path) -> Path:
    (folder / "city.osm").write_text(city_xml(40, 40))
    return save_network(read_roads(folder / "city.osm"), folder / "roads")


def test_turns_and_sixteen_features_take_at_most_120_bytes_per_edge(tmp_path: Path) -> None:
    folder = stored_city(tmp_path)
    # What is imported, compiled or cached at first use is none of the network's.
    make_features(load_network(folder), SIXTEEN).reward(np.ones(16))
    tracemalloc.start()
    network = load_network(folder)
    features = make_features(network, SIXTEEN)
    assert len(features) == 16
    features.reward(np.ones(16))
    network.turns.find(network.turns.from_edge, network.turns.to_edge)
    assert network.turns.is_main.any()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    found = network_bytes(network)
    assert found.per_edge("loaded") <= 120
    # What the interpreter counted: the arrays, the report, and no matrix of features.
    assert 0 < grown - found.loaded < 0.1 * found.loaded + 60_000
    assert found.made == network.turns.from_edge.nbytes + network.turns.strong_component.nbytes
    stored = {path: path.stat().st_size for path in folder.iterdir()}
    shapes = sum(size for path, size in stored.items() if path.name.startswith("shapes."))
    assert abs(shapes - found.shapes) < 6 * 256, "each file has a header of 128 bytes"
    assert (sum(stored.values()) - shapes) / found.num_edges <= 120
    assert f"shapes {found.shapes / found.num_edges:.1f}, memory-mapped" in format_bytes(network)


def test_a_network_without_shapes_says_nothing_of_them(tmp_path: Path) -> None:
    (tmp_path / "links.csv").write_text("link_id,from_node,to_node,length_m,slope\n1,1,2,5,1.5\n2,2,1,5,2.5\n")
    network = read_roads(tmp_path)
    found = network_bytes(network)
    assert found.shapes == 0
    assert found.attributes == 2 * (4 + 8), "float32 lengths and a further column as float64"
    assert "shapes" not in format_bytes(network)
