"""Regions: equal, whole, the same every time; a region as a network of its own against a naive extraction."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import make_grid, make_network, road_networks
from trodden.core.errors import ConfigurationError, MissingDataError
from trodden.graphs.partition import Partition, bisect, edges_near, sub_network
from trodden.graphs.road_graph import Categories


def with_everything(network):
    """The network with columns of every kind, each value telling where it came from."""
    edges, turns = network.graph.num_edges, network.turns.num_turns
    attributes = dataclasses.replace(
        network.attributes,
        road_class=Categories(np.arange(edges, dtype=np.int32) % 2, ("one", "two")),
        is_toll=np.arange(edges) % 3 == 0,
        extra={"number": np.arange(edges) * 1.5},
    )
    moves = dataclasses.replace(
        network.turns,
        angle_deg=np.linspace(-179, 179, turns).astype(np.float32),
        is_left=np.arange(turns) % 2 == 0,
        is_right=np.arange(turns) % 3 == 0,
        extra={"delay": np.arange(turns) * 2.5},
    )
    return dataclasses.replace(network, attributes=attributes, turns=moves)


@settings(deadline=None, max_examples=60)
@given(road_networks(), st.integers(1, 12))
def test_regions_are_equal_whole_and_the_same_every_time(network, wanted):
    count = network.graph.num_edges
    wanted = min(wanted, count)
    if network.graph.latitude_deg is None and wanted > 1:
        with pytest.raises(MissingDataError, match="coordinates"):
            bisect(network, wanted)
        return
    partition = bisect(network, wanted)
    sizes = np.bincount(partition.region, minlength=wanted)
    assert partition.region.shape == (count,)
    assert partition.num_regions == wanted == len(sizes)
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(bisect(network, wanted).region, partition.region)
    everything = np.concatenate([partition.edges(region) for region in range(wanted)])
    assert sorted(everything.tolist()) == list(range(count))


def test_the_cut_runs_across_the_longer_side():
    wide, tall = make_grid(2, 9), make_grid(9, 2)
    for network, axis in ((wide, "longitude_deg"), (tall, "latitude_deg")):
        graph, region = network.graph, bisect(network, 2).region
        place = getattr(graph, axis)
        middle = place[graph.tail] + place[graph.head]
        assert middle[region == 0].max() <= middle[region == 1].min()


@pytest.mark.parametrize("wanted", [0, -1, 10_000])
def test_an_impossible_number_of_regions_is_refused(wanted):
    with pytest.raises(ConfigurationError, match=f"{wanted} regions of 24 edges"):
        bisect(make_grid(3, 3), wanted)


def test_a_single_region_is_the_whole_network():
    network = with_everything(make_grid(3, 3))
    partition = bisect(network, 1)
    part = sub_network(network, partition.edges(0))
    for record in ("graph", "turns", "attributes"):
        for field in dataclasses.fields(getattr(network, record)):
            one, two = (getattr(getattr(place, record), field.name) for place in (network, part))
            if isinstance(one, np.ndarray):
                assert one.dtype == two.dtype, field.name
                np.testing.assert_array_equal(one, two, err_msg=field.name)
    np.testing.assert_array_equal(part.attributes.road_class.codes, network.attributes.road_class.codes)


@pytest.mark.parametrize("latitude", [0.0, 41.0, 79.9999, 89.9])
@pytest.mark.parametrize("longitude", [8.0, 179.999, -179.999])
@pytest.mark.parametrize("metres", [0.0, 300.0, 5_000.0, 3e7])
@pytest.mark.parametrize("seed", range(3))
def test_edges_near_are_those_of_a_look_at_every_pair(latitude, longitude, metres, seed):
    random = np.random.default_rng(seed)
    count = 40
    north = np.clip(latitude + random.normal(size=count) * 0.03, -90.0, 90.0)
    east = longitude + random.normal(size=count) * 0.03 / max(np.cos(np.radians(latitude)), 0.01)
    east = (east + 180.0) % 360.0 - 180.0
    ends = random.integers(0, count, (60, 2))
    ends = np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0)
    network = make_network(ends[:, 0], ends[:, 1], num_nodes=count, coordinates=(north, east))
    graph = network.graph
    some = random.choice(graph.num_edges, 3, replace=False).astype(np.int32)
    phi, theta = np.radians(graph.latitude_deg), np.radians(graph.longitude_deg)
    point = np.stack([np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)], axis=1)
    apart = 6_371_009.0 * np.arccos(np.clip(point @ point.T, -1.0, 1.0))
    touched = np.unique(np.concatenate([graph.tail[some], graph.head[some]]))
    near = (apart[:, touched] <= metres).any(axis=1)
    near[touched] = True
    want = np.flatnonzero(near[graph.tail] | near[graph.head])
    assert edges_near(network, some, metres).tolist() == want.tolist()


@settings(deadline=None, max_examples=60)
@given(road_networks(), st.integers(0, 2**32 - 1))
def test_a_sub_network_equals_a_naive_extraction(plain, seed):
    network = with_everything(plain)
    random = np.random.default_rng(seed)
    count = network.graph.num_edges
    edges = np.sort(random.choice(count, int(random.integers(1, count + 1)), replace=False)).astype(np.int32)
    part = sub_network(network, edges)
    graph = network.graph

    def ends(place, edge):
        return tuple(int(place.node_id[end[edge]]) for end in (place.tail, place.head))

    assert part.graph.edge_id.tolist() == graph.edge_id[edges].tolist()
    assert [ends(part.graph, e) for e in range(len(edges))] == [ends(graph, e) for e in edges]
    nodes = {node for e in edges for node in ends(graph, e)}
    assert sorted(part.graph.node_id.tolist()) == sorted(nodes)
    assert (np.diff(part.graph.tail) >= 0).all()
    if graph.latitude_deg is None:
        assert part.graph.latitude_deg is None
    else:
        for node in nodes:
            here, there = part.graph.node_position(node), graph.node_position(node)
            assert part.graph.latitude_deg[here] == graph.latitude_deg[there]
            assert part.graph.longitude_deg[here] == graph.longitude_deg[there]

    def moves(place):
        columns = place.turns.angle_deg, place.turns.is_left, place.turns.is_right, place.turns.is_uturn
        rows = zip(*(column.tolist() for column in (*columns, place.turns.extra["delay"])), strict=True)
        pairs = zip(place.turns.from_edge.tolist(), place.turns.to_edge.tolist(), strict=True)
        ids = place.graph.edge_id
        return [((int(ids[a]), int(ids[b])), row) for (a, b), row in zip(pairs, rows, strict=True)]

    kept = set(graph.edge_id[edges].tolist())
    assert moves(part) == [(pair, row) for pair, row in moves(network) if set(pair) <= kept]
    assert part.turns.num_edges == len(edges)
    positions = part.turns.find(part.turns.from_edge, part.turns.to_edge)
    assert positions.tolist() == list(range(part.turns.num_turns))
    for name in ("length_m", "travel_time_s", "is_toll"):
        np.testing.assert_array_equal(getattr(part.attributes, name), getattr(network.attributes, name)[edges])
    np.testing.assert_array_equal(part.attributes.extra["number"], edges * 1.5)
    assert [part.attributes.road_class.text(e) for e in range(len(edges))] == [("one", "two")[e % 2] for e in edges]


def test_different_parts_have_different_identities():
    network = make_network([0, 1, 2, 3], [1, 2, 3, 0])
    parts = [[0, 1, 3], [0, 2, 3], [0, 3], [0, 1, 2, 3]]
    identities = {sub_network(network, np.array(edges, np.int32)).checksum for edges in parts}
    assert len(identities) == len(parts)
    assert network.checksum not in identities
    again = sub_network(network, np.array(parts[0], np.int32)).checksum
    assert again in identities


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 8))
def test_crossing_routes_are_those_that_touch_two_regions(seed, num_routes):
    random = np.random.default_rng(seed)
    partition = Partition(random.integers(0, 3, 20).astype(np.int32), 3)
    routes = [random.integers(0, 20, int(random.integers(1, 5))).astype(np.int32) for _ in range(num_routes)]
    first = np.concatenate([[0], np.cumsum([len(route) for route in routes])]).astype(np.int64)
    edge = np.concatenate(routes) if routes else np.zeros(0, np.int32)
    want = [len({int(partition.region[e]) for e in route}) > 1 for route in routes]
    assert partition.is_crossing(first, edge).tolist() == want
