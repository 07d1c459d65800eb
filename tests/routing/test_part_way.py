"""Trips between coordinates: the travelled share of the first and last edge, points on the way, many to many."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.core import errors
from trodden.graphs.costs import along_costs, fastest_costs, shortest_costs
from trodden.graphs.shortest_paths import costs_from
from trodden.routing.part_way import cut_line
from trodden.routing.route import Route
from trodden.routing.router import Router

DEGREE = 1 / 111_195
PLACES = strategies.SIZES[1:4]


@st.composite
def routers(draw):
    """(router on a network with coordinates, its turn costs, some places on the map)."""
    network, turn_cost = draw(strategies.networks_with_costs(sizes=PLACES))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nodes = network.graph.num_nodes
    graph = network.graph
    places = random.uniform(41, 41.1, nodes), random.uniform(-8.1, -8, nodes)
    network = strategies.make_network(
        graph.tail, graph.head, num_nodes=nodes, coordinates=places, length_m=network.attributes.length_m
    )
    turn_cost = np.exp(random.uniform(-4, 3, network.turns.num_turns))
    entry = np.exp(random.uniform(-4, 3, graph.num_edges))
    router = Router.from_costs(network, turn_cost, entry, snap_limit_m=1e6)
    points = np.column_stack([random.uniform(41, 41.1, 6), random.uniform(-8.1, -8, 6)])
    # Two places on one road, and both directions of a road, come about seldom by chance.
    edge = int(random.integers(graph.num_edges))
    line = network.edge_polyline(edge)
    on_it = line[0] + random.uniform(0, 1, (2, 1)) * (line[1] - line[0])
    return router, np.vstack([points, on_it])


class Oracle:
    """Every first and last edge, every edge on the way, by Dijkstra in floats."""

    def __init__(self, router):
        network = router.network
        costs = router._costs(None)
        self.turns, self.cost = network.turns, costs.turn_cost
        self.between = costs_from(self.turns, self.cost, np.arange(network.graph.num_edges, dtype=np.int32))
        self.along = costs.entry_cost.copy()
        for turn in range(self.turns.num_turns):
            into = self.turns.to_edge[turn]
            self.along[into] = min(self.along[into], self.cost[turn])

    def stretch(self, here, there):
        """From (edge, fraction) to (edge, fraction), not backwards."""
        (a, from_), (b, to) = here, there
        if a == b and from_ <= to:
            return (to - from_) * self.along[a]
        if a != b:
            middle = self.between[a, b]
        else:
            first, end = self.turns.first_out[a], self.turns.first_out[a + 1]
            ways_on = [self.cost[t] + self.between[self.turns.to_edge[t], b] for t in range(first, end)]
            middle = min(ways_on, default=np.inf)
        return (1 - from_) * self.along[a] + middle - (1 - to) * self.along[b]

    def trip(self, stops):
        options = itertools.product(*stops)
        return min(sum(itertools.starmap(self.stretch, itertools.pairwise(places))) for places in options)


def snaps(router, point):
    return [(snap.edge, snap.fraction) for snap in router._edge_index().nearest(*point, 1e6)]


@settings(max_examples=25, deadline=None)
@given(routers())
def test_costs_between_coordinates_equal_the_oracle(case):
    router, points = case
    oracle, places = Oracle(router), [snaps(router, point) for point in points]
    pairs = list(itertools.product(range(len(points)), repeat=2))
    answers = router.routes([(points[a], points[b]) for a, b in pairs])
    cost = router.matrix(points).cost
    few = router.matrix(points, points[:2]).cost
    few_origins = router.matrix(points[:2], points).cost
    for (a, b), route in zip(pairs, answers, strict=True):
        want = oracle.trip([places[a], places[b]])
        if np.isinf(want):
            assert isinstance(route, errors.UnreachableError)
            assert np.isinf(cost[a, b])
            continue
        assert route.cost == pytest.approx(want, rel=1e-6, abs=1e-6)
        assert cost[a, b] == pytest.approx(want, rel=1e-6, abs=1e-6)
        assert (route.path.turns >= 0).all()
        assert (router.network.turns.to_edge[route.turns[:-1]] == router.network.turns.from_edge[route.turns[1:]]).all()
        line = route.geometry
        for end, snap in ((line[0], route.origin_snap), (line[-1], route.destination_snap)):
            assert end == pytest.approx([snap.latitude_deg, snap.longitude_deg], abs=1e-5)
        if b < 2:
            assert few[a, b] == pytest.approx(want, rel=1e-6, abs=1e-6)
        if a < 2:
            assert few_origins[a, b] == pytest.approx(want, rel=1e-6, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(routers())
def test_trips_by_way_of_points_equal_the_oracle_and_legs_add_up(case):
    router, points = case
    oracle, places = Oracle(router), [snaps(router, point) for point in points]
    for stops in ([0, 1, 2], [6, 7, 6], [3, 6, 7, 4], [0, 5, 5, 0]):
        want = oracle.trip([places[stop] for stop in stops])
        first, *via, last = (points[stop] for stop in stops)
        if np.isinf(want):
            with pytest.raises(errors.UnreachableError):
                router.route(first, last, via=via)
            continue
        route = router.route(first, last, via=via)
        assert route.cost == pytest.approx(want, rel=1e-6, abs=1e-6)
        assert len(route.legs) == len(stops) - 1
        assert sum(leg.length_m for leg in route.legs) == pytest.approx(route.length_m, rel=1e-6, abs=1e-3)
        assert sum(leg.travel_time_s for leg in route.legs) == pytest.approx(route.travel_time_s, rel=1e-6, abs=1e-3)
        turns = router.network.turns
        np.testing.assert_array_equal(turns.find(route.edges[:-1], route.edges[1:]), route.turns)
        for one, next_ in itertools.pairwise(route.legs):
            assert one.edges[-1] == next_.edges[0]
            assert one.geometry[-1] == pytest.approx(next_.geometry[0])


@settings(max_examples=20, deadline=None)
@given(routers(), st.sampled_from(["cch", "scipy"]))
def test_a_matrix_says_what_routes_say(case, engine):
    """Nodes, edges and coordinates, under both engines and from both sides."""
    router, points = case
    graph = router.network.graph
    costs = router._costs(None)
    router = Router.from_costs(router.network, costs.turn_cost, costs.entry_cost, engine=engine, snap_limit_m=1e6)
    nodes = [f"node:{identifier}" for identifier in graph.node_id[:3]]
    mixed = [*nodes, f"edge:{graph.edge_id[0]}", f"edge:{graph.edge_id[-1]}", *points[-3:]]
    for origins, destinations in ((mixed, mixed), (mixed[:2], mixed), (mixed, mixed[2:4])):
        found = router.matrix(origins, destinations, annotations=["length_m", "travel_time_s"], threads=1)
        assert (found.metric, found.version) == ("plain", 1)
        for (a, origin), (b, destination) in itertools.product(enumerate(origins), enumerate(destinations)):
            (route,) = router.routes([(origin, destination)])
            if isinstance(route, Route):
                assert found.cost[a, b] == pytest.approx(route.cost, rel=1e-6, abs=1e-6)
                assert found.length_m[a, b] == pytest.approx(route.length_m)
                assert found.travel_time_s[a, b] == pytest.approx(route.travel_time_s)
            else:
                assert np.isinf([found.cost[a, b], found.length_m[a, b], found.travel_time_s[a, b]]).all()


def line_router(**options):
    """A two-way road of three edges of 100 m, from west to east: nodes 10, 11, 12, 13."""
    network = strategies.make_grid(1, 4)
    return Router.from_costs(network, *shortest_costs(network), **options)


def at(metres):
    """A place on that road, so many metres from its west end, 2 m beside it."""
    return 41.0 + 2 * DEGREE, -8.0 + metres * DEGREE / np.cos(np.radians(41.0))


def test_only_the_travelled_share_counts():
    router = line_router()
    route = router.route(at(30), at(250))
    assert route.nodes == [10, 11, 12, 13]
    assert route.cost == pytest.approx(220, rel=1e-4)
    assert route.length_m == pytest.approx(220, rel=1e-4)
    assert route.travel_time_s == pytest.approx(22, rel=1e-4)
    assert route.shares == pytest.approx([0.7, 1, 0.5], rel=1e-4)
    assert route.geometry[0] == pytest.approx([41.0, at(30)[1]])
    assert route.geometry[-1] == pytest.approx([41.0, at(250)[1]])
    assert len(route.geometry) == 4
    back = router.route(at(250), at(30))
    assert back.nodes == [13, 12, 11, 10]
    assert back.cost == pytest.approx(route.cost)
    near = router.route(at(110), at(120))
    assert (near.cost, near.length_m) == pytest.approx((10, 10), rel=1e-3)
    same = router.route(at(110), at(110))
    assert same.cost == 0
    assert same.geometry.shape == (1, 2)
    assert router.route("node:10", at(250)).cost == pytest.approx(150, rel=1e-4)  # its first edge costs nothing


def test_a_point_on_the_way_is_passed_without_turning_round():
    router = line_router()
    onwards = router.route(at(30), at(250), via=[at(140)])
    assert onwards.nodes == [10, 11, 12, 13]
    assert onwards.cost == pytest.approx(220, rel=1e-4)
    assert [leg.length_m for leg in onwards.legs] == pytest.approx([110, 110], rel=1e-3)
    # There and back again: a U-turn is permitted at the ends of edges, and made there.
    back = router.route(at(30), at(30), via=[at(140)])
    assert back.nodes == [10, 11, 12, 11, 10]
    assert back.length_m == pytest.approx(340, rel=1e-3)
    # Whether it turns before or after the point is the same to it.
    assert sorted(leg.length_m for leg in back.legs) == pytest.approx([110, 230], rel=1e-3)
    by_node = router.route("node:10", "node:10", via=["node:12"])
    assert by_node.nodes == [10, 11, 12, 11, 10]
    assert [leg.length_m for leg in by_node.legs] == pytest.approx([200, 200])
    assert by_node.cost == pytest.approx(300)  # three turns


def test_without_u_turns_a_trip_goes_round_the_block():
    grid = strategies.make_grid(2, 2)
    graph = grid.graph
    network = strategies.make_network(
        graph.tail,
        graph.head,
        coordinates=(graph.latitude_deg, graph.longitude_deg),
        length_m=np.full(graph.num_edges, 100.0),
        uturns=False,
    )
    router = Router.from_costs(network, *shortest_costs(network))
    round_it = router.route("node:10", "node:10", via=["node:11"])
    assert round_it.length_m == pytest.approx(400)
    by_place = router.route(at(30), at(30), via=[at(60)])
    assert by_place.length_m == pytest.approx(400, rel=1e-3)


def test_stops_at_one_junction_and_trips_by_edge():
    router = line_router()
    stay = router.route("node:11", "node:11", via=["node:11"])
    assert (stay.cost, stay.length_m, len(stay.edges)) == (0, 0, 0)
    assert len(stay.legs) == 2
    twice = router.route("node:10", "node:13", via=["node:10", "node:12", "node:12"])
    assert twice.nodes == [10, 11, 12, 13]
    assert [leg.length_m for leg in twice.legs] == pytest.approx([0, 200, 0, 100])
    first = router.network.graph.edge_id[0]
    by_edge = router.route(f"edge:{first}", at(250), via=[f"edge:{first}", "node:12"])
    assert by_edge.nodes == [10, 11, 12, 13]
    assert sum(leg.cost for leg in by_edge.legs) == pytest.approx(by_edge.cost)


def test_a_leg_without_a_way_names_its_points():
    network = strategies.make_network([0, 1, 1, 2, 2], [1, 0, 2, 1, 3], num_nodes=4)
    router = Router.from_costs(network, *fastest_costs(network))
    with pytest.raises(errors.UnreachableError, match="from node:13 to node:10"):
        router.route("node:10", "node:10", via=["node:13"])
    assert router.route("node:10", "node:13", via=["node:13"]).nodes == [10, 11, 12, 13]


def test_a_shorter_way_round_beats_the_road_between_two_places():
    """The straight road is dear: back to its start, over the other road, and into it from its end is cheaper."""
    bend = np.array([41.0, 41.0, 41.01]), np.array([-8.0, -7.99, -7.995])
    network = strategies.make_network([0, 1, 0, 2, 2, 1], [1, 0, 2, 0, 1, 2], coordinates=bend)
    cost = np.array([100.0, 1.0, 100.0, 1.0, 1.0, 1.0])  # by edge: 0->1, 0->2, 1->0, 1->2, 2->0, 2->1
    turn_cost = cost[network.turns.to_edge]
    router = Router.from_costs(network, turn_cost, cost)
    route = router.route((41.0, -7.9999), (41.0, -7.9901))
    assert route.nodes == [11, 10, 12, 11, 10]
    assert route.cost == pytest.approx(1.0 + 1.0 + 1.0 + 1.0, rel=0.05)


def test_lines_are_cut_by_length():
    line = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    assert cut_line(line, 0.0, 1.0) is line
    assert cut_line(line, 0.5, 1.0) == pytest.approx(np.array([[0.0, 1.5], [0.0, 3.0]]))
    assert cut_line(line, 0.1, 0.9) == pytest.approx(np.array([[0.0, 0.3], [0.0, 1.0], [0.0, 2.7]]))
    assert cut_line(line, 0.5, 0.5) == pytest.approx(np.array([[0.0, 1.5]]))
    assert cut_line(line[[0, 0]], 0.2, 0.5).shape == (1, 2)


def test_along_costs_are_never_more_than_a_turn():
    turns = strategies.make_network([0, 1, 2], [1, 2, 0]).turns
    along = along_costs(turns, np.array([1.0, 5.0, 2.0]), np.array([3.0, 3.0, -1.0]))
    assert along.tolist() == [2.0, 1.0, 0.0]
