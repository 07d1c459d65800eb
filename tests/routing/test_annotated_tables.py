"""Times and lengths of tables, by trees and by queries, against the routes themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stated_model import small_city, stated_model
from strategies import make_grid, networks_with_costs
from trodden.core.errors import UnreachableError
from trodden.routing import annotated_tables
from trodden.routing.router import Router

BOTH = ("travel_time_s", "length_m")


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    return Router(stated_model(small_city(tmp_path_factory.mktemp("city"))))


def places(router, count, seed):
    """Coordinates near roads: half of them beside an edge, the others at junctions and edges by name."""
    generator = np.random.default_rng(seed)
    graph = router.network.graph
    edges = generator.integers(0, graph.num_edges, count)
    latitude, longitude = graph.edge_midpoints()
    points = []
    for number, edge in enumerate(edges.tolist()):
        shift = generator.uniform(-3e-4, 3e-4, 2)
        named = (f"edge:{graph.edge_id[edge]}", f"node:{graph.node_id[graph.head[edge]]}")
        points.append(named[number % 4] if number % 4 < 2 else (latitude[edge] + shift[0], longitude[edge] + shift[1]))
    return points


def check(router, origins, destinations, **options):
    table = router.matrix(origins, destinations, annotations=BOTH, **options)
    for row, origin in enumerate(origins):
        for column, destination in enumerate(destinations):
            got = table.travel_time_s[row, column], table.length_m[row, column]
            try:
                route = router.route(origin, destination, **options)
            except UnreachableError:
                assert got == (np.inf, np.inf)
                continue
            assert table.cost[row, column] == pytest.approx(route.cost, rel=1e-6, abs=1e-6)
            assert got == pytest.approx((route.travel_time_s, route.length_m), rel=1e-9, abs=1e-6), (
                origin,
                destination,
            )


@pytest.mark.parametrize("per_query", [10**9, 0])
@pytest.mark.parametrize(("rows", "columns"), [(9, 13), (13, 9)])
def test_tables_are_those_of_the_routes(router, monkeypatch, per_query, rows, columns):
    monkeypatch.setattr(annotated_tables, "_EDGES_PER_QUERY", per_query)
    check(router, places(router, rows, 1), places(router, columns, 2))


@pytest.mark.parametrize("options", [{"avoid": {"left": 3.0}}, {"closed": 3}])
def test_the_wishes_of_a_request_count(router, options):
    if "closed" in options:
        options = {"closed": router.network.graph.edge_id[[5, 40, 71]].tolist()}
    check(router, places(router, 6, 3), places(router, 9, 4), **options)


def test_a_table_of_points_with_themselves(router):
    points = places(router, 12, 5)
    check(router, points, points)
    table = router.matrix(points, annotations=BOTH)
    assert (np.diagonal(table.length_m)[2::4] == 0).all()


@settings(max_examples=20, deadline=None)
@given(networks_with_costs(sizes=((5, 9), (16, 40))), st.integers(0, 10**6), st.booleans())
def test_random_networks(case, seed, is_wide):
    network, cost = case
    if network.turns.num_turns == 0:
        return
    generator = np.random.default_rng(seed)
    router = Router.from_costs(network, cost, generator.uniform(0.1, 2.0, network.graph.num_edges), engine="scipy")
    edges = network.graph.edge_id[generator.integers(0, network.graph.num_edges, 3)]
    nodes = network.graph.node_id[generator.integers(0, network.graph.num_nodes, 3)]
    few = [f"edge:{edges[0]}", f"node:{nodes[0]}"]
    many = [*(f"edge:{one}" for one in edges), *(f"node:{one}" for one in nodes)]
    check(router, *((few, many) if is_wide else (many, few)))


def test_of_equally_cheap_routes_any_may_count():
    network = make_grid(4, 4)
    cost = np.ones(network.turns.num_turns)
    router = Router.from_costs(network, cost, np.ones(network.graph.num_edges))
    nodes = [f"node:{10 + number}" for number in range(16)]
    table = router.matrix(nodes, annotations=("length_m",))
    np.testing.assert_allclose(table.length_m, 100.0 * (table.cost + 1.0 - np.eye(16)))
