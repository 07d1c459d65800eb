"""Tiled networks: copies as they were, mirrored where they should be, joined so that one can drive from any to any."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from strategies import make_grid, make_network
from trodden.core.errors import MissingDataError
from trodden.graphs.shortest_paths import costs_from
from trodden.graphs.store import load_network, network_checksum, save_network
from trodden.graphs.tiling import tile_network


@pytest.fixture(scope="module")
def city():
    """A grid whose streets differ, with a turn column and left turns."""
    network = make_grid(4, 5)
    random, turns = np.random.default_rng(0), network.turns
    length = random.uniform(80, 200, network.graph.num_edges).astype(np.float32)
    is_left = random.random(turns.num_turns) < 0.3
    angle = np.where(is_left, -90.0, 10.0).astype(np.float32)
    turns = dataclasses.replace(turns, is_left=is_left, angle_deg=angle, extra={"wait_s": random.random(len(angle))})
    attributes = dataclasses.replace(network.attributes, length_m=length, travel_time_s=length / 10)
    return dataclasses.replace(network, attributes=attributes, turns=turns)


def test_one_tile_is_the_network(city):
    tiled = tile_network(city, 1)
    for name in ("tail", "head", "latitude_deg", "longitude_deg"):
        np.testing.assert_array_equal(getattr(tiled.graph, name), getattr(city.graph, name))
    for name in ("first_out", "to_edge", "is_left", "is_right", "is_uturn", "angle_deg"):
        np.testing.assert_array_equal(getattr(tiled.turns, name), getattr(city.turns, name))
    np.testing.assert_array_equal(tiled.attributes.length_m, city.attributes.length_m)


@pytest.mark.parametrize("tiles", [2, 3])
def test_every_copy_is_the_original_or_its_mirror_image(city, tiles):
    tiled = tile_network(city, tiles, jitter=0.2)
    graph, turns, edges, nodes = tiled.graph, tiled.turns, city.graph.num_edges, city.graph.num_nodes
    assert (np.diff(graph.tail) >= 0).all()
    assert (np.diff(turns.from_edge.astype(np.int64) * graph.num_edges + turns.to_edge) > 0).all()
    np.testing.assert_array_equal(graph.head[turns.from_edge], graph.tail[turns.to_edge])
    position = graph.edge_positions(np.arange(tiles * tiles * edges))
    for copy in range(tiles * tiles):
        own = position[copy * edges : (copy + 1) * edges]
        np.testing.assert_array_equal(graph.tail[own], city.graph.tail + copy * nodes)
        np.testing.assert_array_equal(graph.head[own], city.graph.head + copy * nodes)
        ratio = tiled.attributes.length_m[own] / city.attributes.length_m
        assert (np.abs(ratio - 1) <= 0.2 + 1e-6).all()
        assert (copy == 0) == np.allclose(ratio, 1.0)
        np.testing.assert_allclose(
            tiled.attributes.travel_time_s[own] / city.attributes.travel_time_s, ratio, rtol=1e-5
        )
        found = turns.find(own[city.turns.from_edge], own[city.turns.to_edge])
        assert (found >= 0).all()
        is_mirrored = (copy // tiles + copy % tiles) % 2 == 1
        left = turns.is_right if is_mirrored else turns.is_left
        np.testing.assert_array_equal(left[found], city.turns.is_left)
        np.testing.assert_array_equal(turns.angle_deg[found] * (-1 if is_mirrored else 1), city.turns.angle_deg)
        np.testing.assert_array_equal(turns.extra["wait_s"][found], city.turns.extra["wait_s"])
    box = np.ptp(city.graph.latitude_deg), np.ptp(city.graph.longitude_deg)
    assert np.ptp(graph.latitude_deg) == pytest.approx(tiles * box[0] + (tiles - 1) * 0.0005)
    assert np.ptp(graph.longitude_deg) == pytest.approx(tiles * box[1] + (tiles - 1) * 0.0005)


def test_connectors_join_each_junction_to_its_own_image(city):
    tiled = tile_network(city, 2)
    graph, nodes = tiled.graph, city.graph.num_nodes
    connectors = graph.edge_positions(np.arange(4 * city.graph.num_edges, graph.num_edges))
    assert len(connectors) == tiled.report["connectors"] > 0
    tail, head = graph.tail[connectors], graph.head[connectors]
    np.testing.assert_array_equal(tail % nodes, head % nodes)
    assert (tail // nodes != head // nodes).all()
    pairs = set(zip(tail.tolist(), head.tolist(), strict=True))
    assert pairs == {(b, a) for a, b in pairs}, "both ways"
    # The outermost rows and columns of a grid lie half a gap from the border: 0.0005 degrees are some 55 m.
    assert tiled.attributes.length_m[connectors].min() > 30
    assert tiled.attributes.length_m[connectors].max() < 60
    assert not tiled.turns.is_uturn[np.isin(tiled.turns.from_edge, connectors)].any()


def test_all_copies_are_within_reach_of_each_other(city):
    tiled = tile_network(city, 3)
    length = tiled.attributes.length_m[tiled.turns.to_edge].astype(float)
    start = int(tiled.graph.edge_positions(np.array([0]))[0])
    (cost,) = costs_from(tiled.turns, length, np.array([start]))
    assert np.isfinite(cost).all()
    assert tiled.turns.is_main.all()


def test_it_is_labelled_and_stored_like_any_other(city, tmp_path):
    tiled = tile_network(city, 2)
    assert tiled.report["tiled"] == 2
    assert "tiled 2 x 2" in tiled.report["source"]
    loaded = load_network(save_network(tiled, tmp_path / "tiled"))
    assert loaded.checksum == tiled.checksum
    assert tiled.checksum == network_checksum(tiled.graph, tiled.attributes, tiled.turns, None)
    assert tile_network(city, 2).checksum == tiled.checksum, "same input, same bytes"
    assert tile_network(city, 2, seed=1).checksum != tiled.checksum


def test_what_cannot_be_tiled_is_refused(city):
    with pytest.raises(MissingDataError, match="coordinates"):
        tile_network(make_network([0, 1], [1, 0]), 2)
    with pytest.raises(ValueError, match="at least 1"):
        tile_network(city, 0)
