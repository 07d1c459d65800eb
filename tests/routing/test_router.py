"""The public queries: every way to write a point, costs against networkx, and what happens where there is no route."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import networkx as nx
import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from trodden.core import errors
from trodden.graphs.costs import fastest_costs, shortest_costs
from trodden.graphs.shortest_paths import costs_from
from trodden.routing.points import Coordinate, EdgeId, NodeId, parse_point
from trodden.routing.route import Route
from trodden.routing.router import Router

DEGREE = 1 / 111_195


def grid_router(rows=3, columns=3, **options):
    network = strategies.make_grid(rows, columns)
    return Router.from_costs(network, *fastest_costs(network), **options)


# ------------------------------------------------------------------------------------------------ costs


@pytest.mark.parametrize("engine", ["cch", "scipy"])
@settings(max_examples=40, deadline=None)
@given(strategies.networks_with_costs())
def test_node_to_node_costs_equal_networkx(engine, case):
    """States of the oracle: edges, plus a gate per node; entry costs are weighed and then left out."""
    network, turn_cost = case
    graph = network.graph
    entry = np.random.default_rng(0).uniform(0.1, 5, graph.num_edges)
    router = Router.from_costs(network, turn_cost, entry, engine=engine)
    oracle = nx.DiGraph()
    for edge in range(graph.num_edges):
        oracle.add_edge(("from", int(graph.tail[edge])), edge, weight=entry[edge])
        oracle.add_edge(edge, ("to", int(graph.head[edge])), weight=0.0)
    for turn in range(network.turns.num_turns):
        a, b = int(network.turns.from_edge[turn]), int(network.turns.to_edge[turn])
        oracle.add_edge(a, b, weight=turn_cost[turn])
    for origin in range(min(graph.num_nodes, 4)):
        reached = nx.single_source_dijkstra_path_length(oracle, ("from", origin)) if ("from", origin) in oracle else {}
        for destination in range(graph.num_nodes):
            answer = router.routes([(NodeId(10 + origin), NodeId(10 + destination))])[0]
            if origin == destination:
                assert isinstance(answer, Route)
                assert answer.nodes == [10 + origin]
                assert (answer.cost, answer.length_m, answer.edge_ids) == (0, 0, [])
            elif ("to", destination) in reached:
                assert isinstance(answer, Route)
                total = answer.cost + entry[answer.edges[0]]
                assert total == pytest.approx(reached[("to", destination)], rel=1e-6)
                assert (answer.nodes[0], answer.nodes[-1]) == (10 + origin, 10 + destination)
            else:
                assert isinstance(answer, errors.UnreachableError)
                assert answer.index == 0


@settings(max_examples=40, deadline=None)
@given(strategies.networks_with_costs())
def test_edge_to_edge_costs_equal_dijkstra_and_failures_name_a_point_that_works(case):
    network, turn_cost = case
    graph = network.graph
    router = Router.from_costs(network, turn_cost, np.ones(graph.num_edges))
    want = costs_from(network.turns, turn_cost, np.arange(graph.num_edges, dtype=np.int32))
    for a in range(graph.num_edges):
        for b in range(0, graph.num_edges, 3):
            answer = router.routes([(f"edge:{1000 + a}", EdgeId(1000 + b))])[0]
            if np.isfinite(want[a, b]):
                assert answer.cost == pytest.approx(want[a, b], rel=1e-6, abs=1e-12)
                assert answer.edge_ids[0] == 1000 + a
                assert answer.edge_ids[-1] == 1000 + b
                assert len(answer.nodes) == len(answer.edges) + 1
                assert answer.length_m == pytest.approx(network.edge_length_m()[answer.edges].sum())
                assert answer.travel_time_s == pytest.approx(answer.length_m / 10, rel=1e-4)
                continue
            assert isinstance(answer, errors.UnreachableError)
            named = int(answer.nearest.split("edge:")[1].split(",")[0]) - 1000
            if "from which" in answer.nearest:
                assert np.isfinite(want[named, b])
            else:
                assert np.isfinite(want[a, named])


def test_the_same_edge_is_a_route_of_one_edge():
    route = grid_router().route("edge:1003", "edge:1003")
    assert route.edge_ids == [1003]
    assert route.cost == 0
    assert route.length_m == 100
    assert route.log_probability == 0
    assert route.geometry.shape == (2, 2)


def test_entry_costs_choose_the_first_edge_and_are_not_counted():
    network = strategies.make_network([0, 0, 1], [1, 1, 2])
    router = Router.from_costs(network, np.ones(network.turns.num_turns), np.array([5.0, 4.0, 1.0]))
    route = router.route("node:10", "node:12")
    assert route.edge_ids == [1001, 1002]
    assert route.cost == 1.0


def test_metrics_are_named_replaced_and_unknown_ones_refused():
    network = strategies.make_grid(3, 3)
    router = Router.from_costs(network, *fastest_costs(network), metric="fastest")
    router.add_metric("shortest", *shortest_costs(network))
    assert router.metrics == ("fastest", "shortest")
    pair = ("node:10", "node:18")
    assert router.route(*pair).cost == 30.0
    assert router.route(*pair, metric="shortest").cost == 300.0
    router.add_metric("shortest", *(2 * costs for costs in shortest_costs(network)))
    assert router.route(*pair, metric="shortest").cost == 600.0
    with pytest.raises(errors.UnknownIdError, match="there are: fastest, shortest"):
        router.route(*pair, metric="scenic")


def test_bad_costs_are_refused():
    network = strategies.make_grid(2, 2)
    turn_cost, entry = fastest_costs(network)
    bad = turn_cost.copy()
    bad[2] = np.nan
    with pytest.raises(errors.NonPositiveCostError):
        Router.from_costs(network, bad, entry)
    with pytest.raises(ValueError, match="entry_cost"):
        Router.from_costs(network, turn_cost, entry[:-1])
    with pytest.raises(ValueError, match="NaN"):
        Router.from_costs(network, turn_cost, entry * np.nan)


# ------------------------------------------------------------------------------------------------ points


@pytest.mark.parametrize(
    ("written", "point"),
    [
        ("edge:17", EdgeId(17)),
        (" edge: -17 ", EdgeId(-17)),
        ("node:4", NodeId(4)),
        ("osm:4", NodeId(4)),
        ("41.15,-8.61", Coordinate(41.15, -8.61)),
        ("41.15, -8.61", Coordinate(41.15, -8.61)),
        ((41.15, -8.61), Coordinate(41.15, -8.61)),
        ([41, -8], Coordinate(41.0, -8.0)),
        (np.array([41.15, -8.61]), Coordinate(41.15, -8.61)),
        (EdgeId(3), EdgeId(3)),
    ],
)
def test_points_are_read(written, point):
    assert parse_point(written) == point
    assert parse_point(str(point)) == point


@pytest.mark.parametrize(
    "written",
    [
        "",
        "edge:",
        "edge:1.5",
        "edge:x",
        "way:3",
        "41.15",
        "41,8,9",
        "north,south",
        (1.0,),
        7,
        None,
        "edge:9999999999999999999",
    ],
)
def test_points_that_are_not_understood_name_the_ways_to_write_one(written):
    with pytest.raises(errors.PointFormatError, match="edge:ID"):
        parse_point(written)
    error = copy.copy(grid_router().routes([(written, "node:10")])[0])
    assert isinstance(error, errors.PointFormatError)
    assert error.index == 0


def test_coordinates_take_the_direction_that_leads_on():
    router = grid_router()
    near, far = (41.0, -8.0 + 20 * DEGREE), (41.0, -8.0 + 90 * DEGREE)
    there, back = router.route(near, far), router.route(far, near)
    assert there.nodes == [10, 11]
    assert back.nodes == [11, 10]
    assert there.origin_snap.fraction < there.destination_snap.fraction
    assert there.origin_snap.distance_m == pytest.approx(0, abs=0.01)
    assert router.route("edge:1000", "edge:1000").origin_snap is None


def test_a_point_behind_on_a_one_way_road_is_reached_by_going_around():
    corners = np.array([41.0, 41.0, 41.002]), np.array([-8.0, -7.998, -7.999])
    network = strategies.make_network([0, 1, 2], [1, 2, 0], coordinates=corners, length_m=np.full(3, 170.0))
    router = Router.from_costs(network, *shortest_costs(network))
    ahead = router.route((41.0, -7.9996), (41.0, -7.9984))
    around = router.route((41.0, -7.9984), (41.0, -7.9996))
    assert ahead.nodes == [10, 11]
    assert around.nodes == [10, 11, 12, 10, 11]
    # A fifth of the first edge is left to travel, the two others, and a fifth of the first again.
    assert around.cost == pytest.approx((0.2 + 2 + 0.2) * 170.0)
    assert around.length_m == pytest.approx(around.cost)
    assert ahead.cost == pytest.approx(0.6 * 170.0)
    assert (network.turns.find(around.edges[:-1], around.edges[1:]) == around.turns).all()


def test_nodes_inside_a_one_way_edge_are_not_passed_backwards():
    from trodden.graphs.road_graph import EdgeShapes, RoadNetwork

    corners = np.array([41.0, 41.0, 41.002]), np.array([-8.0, -7.997, -7.999])
    ring = strategies.make_network([0, 1, 2], [1, 2, 0], coordinates=corners, length_m=np.full(3, 170.0))
    nodes = np.array([10, 101, 102, 11, 11, 12, 12, 10])
    latitude = np.array([41.0, 41.0, 41.0, 41.0, 41.0, 41.002, 41.002, 41.0])
    longitude = np.array([-8.0, -7.999, -7.998, -7.997, -7.997, -7.999, -7.999, -8.0])
    places = ((values * 1e7).round().astype(np.int32) for values in (latitude, longitude))
    shapes = EdgeShapes(np.array([0, 4, 6, 8]), nodes, *places, np.arange(4), np.full(3, 77))
    network = RoadNetwork(ring.graph, ring.attributes, ring.turns, shapes, {}, "")
    router = Router.from_costs(network, *shortest_costs(network))
    assert router.route("osm:101", "osm:102").nodes == [10, 11]
    for behind in ("osm:101", (41.0, -7.999)):
        around = router.route("osm:102", behind)
        assert around.nodes == [10, 11, 12, 10, 11]
        assert around.cost == pytest.approx((1 / 3 + 2 + 1 / 3) * 170.0, rel=1e-4)


def test_a_probability_at_a_finite_horizon_is_not_answered_by_another_model():
    from trodden.routing.metrics import PlainCosts

    network = strategies.make_grid(2, 2)
    model = PlainCosts(
        network, np.full(network.turns.num_turns, 2.0), np.full(network.graph.num_edges, 2.0), horizon=10
    )
    route = Router(model).route("node:10", "node:13")
    assert route.cost > 0
    with pytest.raises(errors.ConfigurationError, match="horizon 10"):
        _ = route.log_probability


def test_an_underflowing_probability_is_not_a_sure_one():
    """Two ways of equal cost 803: each has probability one half."""
    network = strategies.make_network([0, 1, 1, 2, 3, 4], [1, 2, 3, 4, 4, 5])
    cost = np.full(network.turns.num_turns, 1.0)
    cost[network.turns.to_edge == 5] = 801.0
    route = Router.from_costs(network, cost, np.ones(6)).route("edge:1000", "edge:1005")
    assert route.cost == pytest.approx(803.0)
    assert route.log_probability == pytest.approx(np.log(0.5))


def test_an_osm_node_inside_a_joined_edge_stands_for_its_edges():
    from trodden.graphs.road_graph import EdgeShapes, RoadNetwork

    grid = strategies.make_grid(1, 3)
    count = grid.graph.num_edges
    ends = np.stack([grid.graph.tail, grid.graph.head], axis=1)
    middle = 500 + ends.min(axis=1)
    nodes = np.stack([10 + ends[:, 0], middle, 10 + ends[:, 1]], axis=1).ravel()
    every = np.zeros(3 * count, np.int32)
    shapes = EdgeShapes(np.arange(count + 1) * 3, nodes, every, every, np.arange(count + 1), np.full(count, 77))
    network = RoadNetwork(grid.graph, grid.attributes, grid.turns, shapes, {}, "")
    router = Router.from_costs(network, *fastest_costs(network))
    route = router.route("osm:500", "osm:12")
    assert route.nodes == [10, 11, 12]
    assert route.osm_nodes == [10, 500, 11, 501, 12]
    assert route.osm_ways == [77]
    with pytest.raises(errors.UnknownIdError):
        router.route("osm:999", "osm:12")


def test_a_network_without_coordinates_answers_by_id_and_says_what_it_lacks():
    network = strategies.make_network([0, 1, 2], [1, 2, 0])
    router = Router.from_costs(network, *fastest_costs(network))
    route = router.route("edge:1000", "edge:1002")
    assert route.nodes == [10, 11, 12, 10]
    with pytest.raises(errors.MissingDataError, match="coordinates"):
        router.route((41.0, -8.0), "edge:1000")
    with pytest.raises(errors.MissingDataError):
        _ = route.geometry


def test_the_nearest_edges_to_a_place_or_a_node():
    router = grid_router()
    beside = (41.0 + 5 * DEGREE, -8.0 + 30 * DEGREE)
    (nearest,) = router.nearest(beside)
    assert nearest.distance_m == pytest.approx(5, abs=0.01)
    both = router.nearest(beside, 2)
    assert {snap.edge for snap in both} == {0, 2}  # there and back
    assert len(router.nearest("node:14", 8)) == 8
    assert len(router.nearest(beside, 1000)) == router.network.graph.num_edges
    with pytest.raises(errors.PointFormatError, match="is an edge"):
        router.nearest("edge:1000")
    with pytest.raises(errors.OffMapError):
        router.nearest((42.0, -8.0))
    with pytest.raises(errors.InvalidValueError):
        router.nearest((np.nan, -8.0))


def test_errors_say_which_point_of_a_trip_it_was():
    router = grid_router()
    here, far = (41.0, -8.0), (42.0, -8.0)
    for role, stops in (("origin", (far, here)), ("destination", (here, far)), ("via", (here, here))):
        via = [far] if role == "via" else []
        with pytest.raises(errors.OffMapError, match=rf"row 3: {role} \(42.000000, -8.000000\) is .* m from") as caught:
            router.route(*stops, via=via, index=3)
        assert (caught.value.index, caught.value.limit_m) == (3, 1000)
    with pytest.raises(errors.OffMapError, match="row 1: destination"):
        router.matrix([here, here], [here, far])


def test_no_way_between_coordinates_says_where_they_were_put():
    network = two_islands()
    router = Router.from_costs(network, *fastest_costs(network))
    with pytest.raises(errors.UnreachableError, match=r"from 41.000010,-7.999500 \(1 m from edge:\d+\) to node:13"):
        router.route((41.00001, -7.9995), "node:13")


def test_a_coordinate_is_never_put_on_an_island():
    network = two_islands()
    router = Router.from_costs(network, *fastest_costs(network), snap_limit_m=500)
    with pytest.raises(errors.OffMapError, match="1112 m from the nearest road of the main network"):
        router.route((41.01, -7.9995), "node:10")
    assert Router.from_costs(network, *fastest_costs(network), snap_limit_m=2000).route((41.01, -7.9995), "node:10")


# ------------------------------------------------------------------------------------------------ no route


def two_islands():
    """Nodes 0, 1, 2 in a two-way line, nodes 3, 4 apart."""
    latitude = np.array([41.0, 41.0, 41.0, 41.01, 41.01])
    longitude = np.array([-8.0, -7.999, -7.998, -8.0, -7.999])
    return strategies.make_network(
        [0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3], num_nodes=5, coordinates=(latitude, longitude)
    )


def test_another_component_is_named():
    network = two_islands()
    router = Router.from_costs(network, *fastest_costs(network))
    with pytest.raises(errors.UnreachableError, match="no road joins them: the destination lies in a separate part"):
        router.route("node:10", "node:13")
    with pytest.raises(
        errors.UnreachableError, match=r"no road joins them: the origin .* \(2 edges; the main network has 4\)"
    ) as caught:
        router.route("node:13", "node:10", index=4)
    assert str(caught.value).startswith("row 4: no route from node:13 to node:10")
    assert "1112 m away" in str(caught.value)


def test_a_pocket_that_can_be_entered_but_not_left():
    # 0 <-> 1 <-> 2, and a one-way road 2 -> 3 into a dead end.
    network = strategies.make_network([0, 1, 1, 2, 2], [1, 0, 2, 1, 3], num_nodes=4)
    router = Router.from_costs(network, *fastest_costs(network))
    trapped = int(network.graph.edge_id[4])
    with pytest.raises(errors.UnreachableError, match="from the origin only 1 edge can be reached: one-way") as caught:
        router.route(f"edge:{trapped}", "node:10")
    assert "turns away" in caught.value.nearest
    with pytest.raises(errors.UnreachableError, match="no edge leaves the origin's node") as caught:
        router.route("node:13", "node:10")
    # Node 12 leads to it: the two-way road between 11 and 12 is a turn away.
    assert caught.value.nearest.startswith("The nearest edge from which the destination can be reached is edge:")
    assert router.route("node:10", "node:13").nodes == [10, 11, 12, 13]


def test_a_pocket_that_can_be_left_but_not_entered():
    network = strategies.make_network([0, 0, 1, 3], [1, 2, 0, 0], num_nodes=4)
    router = Router.from_costs(network, *fastest_costs(network))
    with pytest.raises(errors.UnreachableError, match="destination can be reached from only 1 edge: one-way"):
        router.route("edge:1000", "edge:1003")
    with pytest.raises(errors.UnreachableError, match="no edge enters the destination's node"):
        router.route("node:10", "node:13")


def test_a_banned_turn_is_told_from_a_one_way_road():
    # A two-way line 0 - 1 - 2 where the only turn onto 1 -> 2 is banned.
    tail, head = [0, 1, 1, 2], [1, 0, 2, 1]
    free = strategies.make_network(tail, head)
    pairs = list(zip(free.turns.from_edge.tolist(), free.turns.to_edge.tolist(), strict=True))
    banned = np.array([pair in {(0, 2), (3, 2)} for pair in pairs])
    network = strategies.make_network(tail, head, is_banned=banned)
    router = Router.from_costs(network, *fastest_costs(network))
    with pytest.raises(errors.UnreachableError, match="turn that is not permitted") as caught:
        router.route("edge:1000", "edge:1002")
    assert "edge:1000" in caught.value.nearest or "edge:1001" in caught.value.nearest


# ------------------------------------------------------------------------------------------------ batches, threads


def test_in_a_batch_rows_fail_one_by_one():
    network = two_islands()
    router = Router.from_costs(network, *fastest_costs(network))
    answers = router.routes(
        [
            ("node:10", "node:12"),
            ("node:10", "node:13"),
            ("nonsense", "node:12"),
            ("edge:1", "node:12"),
            ((np.nan, 0.0), "node:12"),
            ((-8.0, 41.0), "node:12"),
            ((41.0, -8.0), (41.0, -7.998)),
        ]
    )
    kinds = [type(answer) for answer in answers]
    assert kinds == [
        Route,
        errors.UnreachableError,
        errors.PointFormatError,
        errors.UnknownIdError,
        errors.InvalidValueError,
        errors.OffMapError,
        Route,
    ]
    assert [getattr(answer, "index", None) for answer in answers[1:3]] == [1, 2]
    assert answers[3].__notes__ == ["in row 3 of a batch of routes"]
    assert answers[4].row == 4
    assert answers[5].index == 5
    assert "swapped" in str(answers[5])


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_batches_in_threads_keep_their_order_and_take_arrays(threads):
    router = grid_router(6, 6)
    graph = router.network.graph
    random = np.random.default_rng(0)
    ends = random.integers(0, 36, (300, 2))
    places = np.stack([graph.latitude_deg, graph.longitude_deg], axis=1)[ends]
    want = [router.route(*pair).cost for pair in places]
    for pairs in (places, places.reshape(-1, 4), list(places), (pair for pair in places)):
        assert [route.cost for route in router.routes(pairs, threads=threads)] == want
    mixed = [("node:10", "node:12"), "ab", 7, ("node:10",), ("node:10", "x"), ("node:10", "node:11")]
    answers = router.routes(mixed * 40, threads=threads)
    assert [type(answer).__name__ for answer in answers[:6]] == ["Route", *["PointFormatError"] * 4, "Route"]
    assert [answer.index for answer in answers[1:5]] == [1, 2, 3, 4]
    assert answers[238].index == 238
    assert router.routes([]) == []


def test_threads_share_a_router_while_a_metric_is_replaced():
    router = grid_router(6, 6)
    network = router.network
    turn_cost, entry = fastest_costs(network)
    allowed = {float(cost) for cost in 10.0 * np.arange(1, 40)}

    def ask(seed):
        random = np.random.default_rng(seed)
        pairs = [(f"node:{10 + a}", f"node:{10 + b}") for a, b in random.integers(0, 36, (150, 2)) if a != b]
        for answer, (origin, destination) in zip(router.routes(pairs), pairs, strict=True):
            hops = len(answer.nodes) - 1
            a, b = int(origin[5:]) - 10, int(destination[5:]) - 10
            assert hops == abs(a // 6 - b // 6) + abs(a % 6 - b % 6)
            # One of the two metrics, never a mixture.
            assert answer.cost in {10.0 * (hops - 1), 20.0 * (hops - 1)}
        return True

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, seed) for seed in range(16)]
        for swap in range(20):
            factor = 1 + swap % 2
            router.add_metric("plain", turn_cost * factor, entry * factor)
        assert all(task.result() for task in asked)
    assert allowed


# ------------------------------------------------------------------------------------------------ probabilities


@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_log_probabilities_are_those_of_all_routes_listed(ending):
    """An acyclic network, so that every route can be listed."""
    tail, head = [0, 0, 0, 1, 1, 2, 2, 3], [1, 2, 3, 2, 3, 3, 3, 4]
    network = strategies.make_network(tail, head)
    turn_cost = np.random.default_rng(2).uniform(0.5, 2, network.turns.num_turns)
    router = Router.from_costs(network, turn_cost, np.ones(8), ending=ending)
    first, destination = 0, (7 if ending == "arrival" else 5)
    route = router.route(f"edge:{1000 + first}", f"edge:{1000 + destination}")
    end_node = int(network.graph.head[destination])

    def totals(edge, cost):
        arrived = edge == destination if ending == "arrival" else network.graph.head[edge] == end_node
        found = [cost] if arrived else []
        for turn in range(network.turns.first_out[edge], network.turns.first_out[edge + 1]):
            found += totals(int(network.turns.to_edge[turn]), cost + turn_cost[turn])
        return found

    every = np.exp(-np.array(totals(first, 0.0)))
    assert route.log_probability == pytest.approx(-route.cost - np.log(every.sum()), rel=1e-9)


def test_costs_that_define_no_distribution_are_refused_only_when_asked():
    network = strategies.make_grid(3, 3)
    router = Router.from_costs(network, np.full(network.turns.num_turns, 0.01), np.ones(24), ending="stop")
    route = router.route("node:10", "node:18")
    with pytest.raises(errors.InfeasibleRewardError):
        _ = route.log_probability


def test_a_route_shows_itself():
    assert "node:10 -> node:18: 4 edges, 400 m, plain 30" in repr(grid_router().route("node:10", "osm:18"))


@pytest.mark.real_data
@pytest.mark.parametrize("engine", ["cch", "scipy"])
def test_real_routes_are_whole(data_folder, engine):
    from trodden.graphs.reading import read_roads

    network = read_roads(data_folder / "osm" / "krems.osm.gz")
    router = Router.from_costs(network, *fastest_costs(network), engine=engine)
    random = np.random.default_rng(3)
    main = network.graph.edge_id[network.turns.is_main]
    pairs = [(f"edge:{a}", f"edge:{b}") for a, b in random.choice(main, (50, 2))]
    for route in router.routes(pairs):
        assert isinstance(route, Route)
        assert len(route.osm_nodes) == len(route.geometry)
        assert all(a != b for a, b in zip(route.osm_nodes, route.osm_nodes[1:], strict=False))
        assert route.osm_nodes[0] == route.nodes[0]
        assert route.osm_nodes[-1] == route.nodes[-1]
        assert route.osm_ways
        steps = np.diff(route.geometry, axis=0) * 111_195 * [1, np.cos(np.radians(48.4))]
        assert np.hypot(*steps.T).sum() == pytest.approx(route.length_m, rel=0.01)
