"""Isochrones: shares against a naive search, areas against the distances to what is reached."""

from __future__ import annotations

import json

import networkx as nx
import numpy as np
import pytest
import shapely
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.core.errors import ConfigurationError, MissingDataError
from trodden.graphs.costs import fastest_costs
from trodden.graphs.geometry import METRES_PER_DEGREE
from trodden.graphs.shortest_paths import costs_from
from trodden.routing.areas import area_of_lines
from trodden.routing.reachable import part_of_line
from trodden.routing.router import Router

PIECES = 50


def naive_shares(network, begins, size, limit):
    """Part of each edge reached, by a search over edges cut into 50 pieces; begins are (edge, part passed)."""
    graph = nx.DiGraph()
    for edge in range(network.graph.num_edges):
        for piece in range(PIECES):
            graph.add_edge((edge, piece), (edge, piece + 1), weight=size[edge] / PIECES)
    for a, b in zip(network.turns.from_edge.tolist(), network.turns.to_edge.tolist(), strict=True):
        graph.add_edge((a, PIECES), (b, 0), weight=0.0)
    sources = {(edge, round(part * PIECES)) for edge, part in begins}
    reached = nx.multi_source_dijkstra_path_length(graph, sources, cutoff=limit)
    share = np.zeros(network.graph.num_edges)
    for edge in range(network.graph.num_edges):
        for piece in range(PIECES):
            at = reached.get((edge, piece), np.inf)
            share[edge] += np.clip((limit - at) / size[edge], 0.0, 1.0 / PIECES) if at <= limit else 0.0
    return share


def shares(band):
    share = np.zeros(band.network.graph.num_edges)
    np.add.at(share, band.edges, band.share)
    return share


@settings(max_examples=25, deadline=None)
@given(strategies.road_networks(sizes=((2, 3), (5, 9), (9, 24))), st.integers(0, 2**32 - 1))
def test_time_and_length_equal_a_search_over_pieces(network, seed):
    random = np.random.default_rng(seed)
    router = Router.from_costs(network, np.ones(network.turns.num_turns), np.ones(network.graph.num_edges))
    limits = sorted(random.uniform(1, 1500, 2))
    edge, node = int(random.integers(network.graph.num_edges)), int(random.integers(network.graph.num_nodes))
    out = [(e, 0.0) for e in np.flatnonzero(network.graph.tail == node).tolist()]
    for point, begins in ((f"edge:{1000 + edge}", [(edge, 0.0)]), (f"node:{10 + node}", out)):
        for by, unit in (("length_m", 1.0), ("travel_time_s", 0.1)):
            found = router.reachable(point, [limit * unit for limit in limits], by=by)
            size = getattr(network.attributes, by).astype(float)
            for band, limit in zip(found.bands, limits, strict=True):
                want = naive_shares(network, begins, size, limit * unit) if begins else np.zeros(len(size))
                np.testing.assert_allclose(shares(band), want, atol=1e-5)
                assert (band.share > 0).all()
                assert (band.end <= 1 + 1e-12).all()


@settings(max_examples=25, deadline=None)
@given(strategies.networks_with_costs(sizes=((5, 9), (9, 24))), st.integers(0, 2**32 - 1))
def test_within_a_cost_are_the_edges_whose_route_costs_no_more(case, seed):
    network, cost = case
    random = np.random.default_rng(seed)
    router = Router.from_costs(network, cost, np.ones(network.graph.num_edges))
    edge, limit = int(random.integers(network.graph.num_edges)), float(random.uniform(0.1, 30))
    found = router.reachable(f"edge:{1000 + edge}", limit, by="cost")
    want = costs_from(network.turns, cost, np.array([edge]))[0]
    assert set(found.edges[found.share >= 1 - 1e-12].tolist()) == set(np.flatnonzero(want <= limit).tolist())
    partly = found.edges[found.share < 1 - 1e-12]
    for one in partly.tolist():
        into = np.flatnonzero(network.turns.to_edge == one)
        best = max((limit - want[network.turns.from_edge[turn]]) / cost[turn] for turn in into)
        assert shares(found.bands[0])[one] == pytest.approx(best)
    assert found.metric == "plain"


def test_a_coordinate_starts_part_way_both_ways():
    network = strategies.make_grid(1, 6)
    router = Router.from_costs(network, *fastest_costs(network))
    a_third = -8.0 + (100.0 / 3) / 111_195.0 / np.cos(np.radians(41.0))
    found = router.reachable((41.0, a_third), 4.0)  # 10 m/s: 40 m each way
    graph, band = network.graph, found.bands[0]
    ends = zip(graph.tail[band.edges].tolist(), graph.head[band.edges].tolist(), strict=True)
    rows = [(*pair, *part) for pair, part in zip(ends, zip(band.begin, band.end, strict=True), strict=True)]
    assert [row[:2] for row in rows] == [(0, 1), (0, 1), (1, 0)]
    assert rows[0][2:] == pytest.approx((0.0, 0.4 - 1 / 3), abs=1e-3)  # 33 m to the dead end, and 7 back
    assert rows[1][2:] == pytest.approx((1 / 3, 1 / 3 + 0.4), abs=1e-3)
    assert rows[2][2:] == pytest.approx((2 / 3, 1.0), abs=1e-3)
    assert band.length_m == pytest.approx(80.0, abs=0.5)


def test_an_edge_come_back_to_stands_twice_or_whole():
    places = np.array([41.0, 41.0, 41.001]), np.array([-8.0, -7.998, -7.999])
    network = strategies.make_network([0, 1, 2], [1, 2, 0], coordinates=places, length_m=np.full(3, 100.0))
    router = Router.from_costs(network, np.ones(3), np.ones(3))
    band = router.reachable((41.0, -7.999), 270.0, by="length_m").bands[0]
    rows = list(zip(band.edges.tolist(), band.begin.tolist(), band.end.tolist(), strict=True))
    assert rows[0] == pytest.approx((0, 0.0, 0.2), abs=1e-3)
    assert rows[1] == pytest.approx((0, 0.5, 1.0), abs=1e-3)
    whole = router.reachable((41.0, -7.999), 310.0, by="length_m").bands[0]
    assert [tuple(row) for row in zip(whole.edges, whole.begin, whole.end, strict=True)] == [
        (0, 0, 1),
        (1, 0, 1),
        (2, 0, 1),
    ]


def test_areas_cover_what_is_reached_and_no_more():
    network = strategies.make_grid(12, 12)
    router = Router.from_costs(network, *fastest_costs(network))
    found = router.reachable("node:82", [20.0, 40.0, 60.0])
    scale = METRES_PER_DEGREE * np.array([np.cos(np.radians(41.005)), 1.0])
    last = 0.0
    for band in found.bands:
        area = band.area(buffer_m=30.0, smallest_hole_m2=0.0)
        assert area.is_valid
        lines = shapely.MultiLineString([line[:, ::-1] for line in band._lines()])
        assert area.covers(lines)
        metres = shapely.transform(lines, lambda xy: xy * scale)
        outline = shapely.transform(area, lambda xy: xy * scale)
        away = shapely.distance(metres, shapely.points(shapely.get_coordinates(outline)))
        assert away.max() <= 40.0
        assert away.min() >= 20.0
        filled = band.area(buffer_m=30.0, smallest_hole_m2=1e9)
        assert len(filled.interiors) == 0
        assert filled.covers(area.buffer(-1e-9))
        assert band.polygon.area > last
        last = band.polygon.area
    # 100 m blocks are not closed by 30 m: a hole in each of those whose four sides are reached.
    assert len(found.bands[-1].area(buffer_m=30.0, smallest_hole_m2=0.0).interiors) > 20


def test_a_large_area_gets_larger_cells():
    far = [np.array([[41.0, -8.0], [41.0, -7.99]]), np.array([[45.0, -3.0], [45.0, -2.99]])]
    area = area_of_lines(far, buffer_m=10.0, smallest_hole_m2=0.0)
    assert area.geom_type == "MultiPolygon"
    assert area.is_valid
    assert area.covers(shapely.MultiLineString([line[:, ::-1] for line in far]))
    assert area_of_lines([], buffer_m=10.0, smallest_hole_m2=0.0).is_empty


def test_geojson():
    network = strategies.make_grid(5, 5)
    router = Router.from_costs(network, *fastest_costs(network))
    document = json.loads(json.dumps(router.reachable((41.001, -8.0), [30.0, 10.0]).to_geojson()))
    assert [one["properties"]["limit"] for one in document["features"]] == [30.0, 10.0]
    shapes = [shapely.geometry.shape(one["geometry"]) for one in document["features"]]
    assert shapes[0].is_valid
    assert shapes[0].covers(shapes[1])
    assert shapes[1].covers(shapely.Point(-8.0, 41.001))
    assert document["features"][0]["properties"]["by"] == "travel_time_s"
    assert "attribution" not in document


def test_part_of_a_line():
    line = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(part_of_line(line, 0.25, 0.75), [[0, 0.5], [0, 1], [0.5, 1]], atol=1e-9)
    np.testing.assert_allclose(part_of_line(line, 0.0, 1.0), line, atol=1e-9)


def test_what_cannot_be_answered():
    network = strategies.make_network([0, 1], [1, 0])
    router = Router.from_costs(network, np.ones(2), np.ones(2))
    for limit in (0.0, -1.0, float("nan"), [], [[1.0]], [5.0, float("inf")]):
        with pytest.raises(ConfigurationError, match="a limit is"):
            router.reachable("node:10", limit)
    with pytest.raises(ConfigurationError, match="by is 'hours'"):
        router.reachable("node:10", 1.0, by="hours")
    assert router.reachable("node:10", 1e9).edges.tolist() == [0, 1]
    with pytest.raises(MissingDataError, match="coordinates"):
        router.reachable("node:10", 5.0).polygon  # noqa: B018
