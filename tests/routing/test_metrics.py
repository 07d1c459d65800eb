"""Several costs at once: versions, models of other networks, factors and closed edges for one request."""

from __future__ import annotations

import dataclasses
import itertools
import threading

import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.core import errors
from trodden.graphs.costs import fastest_costs, shortest_costs
from trodden.graphs.road_graph import Categories
from trodden.graphs.shortest_paths import costs_from
from trodden.routing import wishes
from trodden.routing.metrics import PlainCosts
from trodden.routing.route import Route
from trodden.routing.router import Router


def grid_router(**options):
    network = strategies.make_grid(3, 3)
    return Router.from_costs(network, *shortest_costs(network), **options)


# ------------------------------------------------------------------------------------------------ names and versions


def test_every_answer_carries_the_name_and_version_of_its_costs():
    router = grid_router(metric="shortest")
    network = router.network
    first = router.version("shortest")
    assert router.version() == first
    before = router.route("node:10", "node:18")
    assert (before.metric, before.version) == ("shortest", first)
    other = router.add_metric("fastest", *fastest_costs(network))
    second = router.add_metric("shortest", *(2 * costs for costs in shortest_costs(network)))
    assert first < other < second == router.version("shortest")
    after = router.route("node:10", "node:18")
    assert (after.cost, after.version) == (2 * before.cost, second)
    assert before.version == first  # an answer does not change
    assert router.route("node:10", "node:18", metric="fastest").version == other
    assert router.matrix(["node:10"], ["node:18"], metric="fastest").version == other
    assert router.routes([("node:10", "node:18")])[0].version == second


def test_metrics_are_removed_but_not_the_default():
    router = grid_router(metric="shortest")
    router.add_metric("fastest", *fastest_costs(router.network))
    router.remove_metric("fastest")
    assert router.metrics == ("shortest",)
    with pytest.raises(errors.UnknownIdError, match="there are: shortest"):
        router.route("node:10", "node:18", metric="fastest")
    with pytest.raises(errors.UnknownIdError):
        router.remove_metric("fastest")
    with pytest.raises(errors.ConfigurationError, match="default"):
        router.remove_metric("shortest")


def test_a_model_of_the_same_network_is_added_and_one_of_another_refused():
    router = grid_router()
    network = router.network
    model = PlainCosts(network, *fastest_costs(network))
    assert router.add_model("fastest", model) == router.version("fastest")
    assert router.route("node:10", "node:18", metric="fastest").cost == pytest.approx(30)
    other = dataclasses.replace(network, checksum="1" * 64)
    with pytest.raises(errors.WrongNetworkError, match="'evening' was made for the network 111111111111"):
        router.add_model("evening", PlainCosts(other, *fastest_costs(network)))
    assert "evening" not in router.metrics
    with pytest.raises(errors.WrongNetworkError):
        router.log_probability(Router.from_costs(other, *fastest_costs(other)).route("node:10", "node:18"))


def test_costs_that_are_refused_leave_the_old_ones_in_place():
    router = grid_router()
    version = router.version()
    turn_cost, entry = shortest_costs(router.network)
    with pytest.raises(errors.NonPositiveCostError):
        router.add_metric("plain", -turn_cost, entry)
    with pytest.raises(ValueError, match="shape"):
        router.add_metric("plain", turn_cost[:-1], entry)
    assert router.version() == version
    assert router.route("node:10", "node:18").cost == 300


def test_probabilities_of_any_route_under_any_metric():
    network = strategies.make_grid(2, 2)
    dear = np.full(network.turns.num_turns, 3.0), np.full(network.graph.num_edges, 3.0)
    router = Router.from_costs(network, *dear)
    router.add_metric("dearer", dear[0] * 2, dear[1])
    route = router.route("node:10", "node:13")
    assert router.log_probability(route) == pytest.approx(route.log_probability)
    assert router.log_probability(route, metric="dearer") > route.log_probability
    # At the first visit of its last edge a trip is over: one that comes by again is none.
    around = router.route("node:10", "node:13", via=["node:13", "node:10"])
    if around.edges[-1] in around.edges[:-1]:
        assert router.log_probability(around) == -np.inf


# ------------------------------------------------------------------------------------------------ swaps


@pytest.mark.parametrize("engine", ["cch", "scipy"])
def test_answers_under_swaps_are_those_of_their_version(engine):
    network = strategies.make_grid(5, 5)
    turn_cost, entry = shortest_costs(network)
    router = Router.from_costs(network, turn_cost, entry, engine=engine)
    cost_of = {router.version(): 1.0}
    wrong, stop = [], threading.Event()
    answers = []

    def ask(seed):
        random = np.random.default_rng(seed)
        while not stop.is_set():
            a, b = random.integers(0, 25, 2).tolist()
            route = router.route(f"node:{10 + a}", f"node:{10 + b}")
            answers.append((route.version, route.cost, max(abs(a // 5 - b // 5) + abs(a % 5 - b % 5) - 1, 0)))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for swap in range(25):
        factor = 1.0 + swap
        cost_of[router.add_metric("plain", turn_cost * factor, entry * factor)] = factor
    stop.set()
    for thread in threads:
        thread.join()
    wrong = [answer for answer in answers if answer[1] != pytest.approx(100 * answer[2] * cost_of[answer[0]])]
    assert not wrong
    assert len(answers) > 25


def test_metrics_that_are_gone_are_used_again():
    """Putting new costs into a metric that is there already is what does not stop other threads' queries."""
    router = grid_router()
    topology = router._hierarchy._topology
    turn_cost, entry = shortest_costs(router.network)
    kept = set()
    for swap in range(6):
        router.route("node:10", "node:18")
        router.add_metric("plain", turn_cost * (2 + swap), entry)
        kept.add(id(router._metrics.get(None).metric._engine._owned.metric))
        assert router.route("node:10", "node:18").cost == 300 * (2 + swap)
    assert len(kept) <= 3
    assert len(topology._spares) <= 2


# ------------------------------------------------------------------------------------------------ closed edges


@pytest.mark.parametrize("few", [0, 200])
@pytest.mark.parametrize("engine", ["cch", "scipy"])
@settings(max_examples=20, deadline=None)
@given(strategies.networks_with_costs(), st.data())
def test_closed_edges_equal_dijkstra_without_them(engine, few, case, data):
    network, turn_cost = case
    graph, turns = network.graph, network.turns
    number = data.draw(st.integers(1, 4))
    closed = data.draw(st.lists(st.integers(0, graph.num_edges - 1), min_size=1, max_size=number))
    router = Router.from_costs(network, turn_cost, np.ones(graph.num_edges), engine=engine)
    is_closed = np.isin(turns.to_edge, closed) | np.isin(turns.from_edge, closed)
    want = costs_from(turns, np.where(is_closed, 1e9, turn_cost), np.arange(graph.num_edges, dtype=np.int32))
    want[(want >= 1e9) | np.isin(np.arange(graph.num_edges), closed)[:, None]] = np.inf
    want[:, closed] = np.inf
    wanted = [1000 + edge for edge in closed]
    points = [f"edge:{edge}" for edge in graph.edge_id[:12]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wishes, "FEW_TURNS", few)
        compare(router, want, points, wanted)
    # Nothing of it stays.
    (after,) = router.routes([(points[0], points[-1])])
    (batch,) = router.routes([(points[0], points[-1])], closed=wanted)
    free = costs_from(turns, turn_cost, np.array([0], np.int32))[0, len(points) - 1]
    assert isinstance(after, Route) == np.isfinite(free)
    assert isinstance(batch, Route) == np.isfinite(want[0, len(points) - 1])
    cost = router.matrix(points, closed=wanted).cost
    np.testing.assert_allclose(cost, want[: len(points), : len(points)], rtol=1e-6, atol=1e-6)


def compare(router, want, points, closed):
    for (a, one), (b, two) in itertools.product(enumerate(points), repeat=2):
        if np.isinf(want[a, b]):
            with pytest.raises(errors.UnreachableError):
                router.route(one, two, closed=closed)
            continue
        route = router.route(one, two, closed=closed)
        assert route.cost == pytest.approx(want[a, b], rel=1e-6, abs=1e-9)
        assert not set(route.edge_ids) & set(closed)


def test_what_the_request_closed_is_said():
    router = grid_router()
    graph = router.network.graph
    into = [int(edge) for edge in graph.edge_id[graph.head == 8]]
    with pytest.raises(errors.UnreachableError, match="over an edge that this request closes") as caught:
        router.route("node:10", f"edge:{graph.edge_id[graph.tail == 8][0]}", closed=into)
    assert "m away" in caught.value.nearest
    with pytest.raises(errors.UnreachableError, match="every edge at the destination is closed"):
        router.route("node:10", f"edge:{into[0]}", closed=into)
    with pytest.raises(errors.UnknownIdError, match="no edge with id 5"):
        router.route("node:10", "node:18", closed=[5])
    assert router.route("node:10", "node:18").cost == 300


@pytest.mark.parametrize("engine", ["cch", "scipy"])
def test_a_way_round_too_long_for_the_integers_is_still_found(engine):
    """The turn off the road round costs a million, which no cheapest path pays: the quantum does not count on it."""
    network = strategies.make_network([0, 0, 1, 2, 2, 3, 4], [1, 3, 2, 0, 4, 2, 0])
    turns = network.turns
    cost = np.where((turns.from_edge == 5) & (turns.to_edge == 4), 1e6, 1.0)
    router = Router.from_costs(network, cost, np.ones(7), engine=engine)
    assert (2**31 - 2) * router._costs(None).metric.costs.quantum < 1e6
    assert router.route("edge:1006", "edge:1004").cost == 3.0
    around = router.route("edge:1006", "edge:1004", closed=[1002])
    assert around.nodes == [14, 10, 13, 12, 14]
    assert around.cost == pytest.approx(1e6 + 2)
    assert router.matrix(["edge:1006"], ["edge:1004"], closed=[1002]).cost == pytest.approx(1e6 + 2)
    assert router.route("edge:1006", "edge:1004").cost == 3.0


# ------------------------------------------------------------------------------------------------ factors


def toll_router(**options):
    """Two ways from node 10 to node 13: by the toll road 10-11-13, or by 10-12-13, half as long again."""
    network = strategies.make_network(
        [0, 1, 0, 2, 3], [1, 3, 2, 3, 0], length_m=np.array([100.0, 100.0, 150.0, 150.0, 100.0])
    )
    tail, head = network.graph.tail, network.graph.head
    is_toll = (tail == 1) | (head == 1)
    classes = Categories(np.where(is_toll, 1, 0).astype(np.int8), ("residential", "motorway"))
    attributes = dataclasses.replace(network.attributes, is_toll=is_toll, road_class=classes)
    network = dataclasses.replace(network, attributes=attributes)
    return Router.from_costs(network, *shortest_costs(network), **options)


@pytest.mark.parametrize("name", ["toll", "motorway", "class:motorway"])
@pytest.mark.parametrize("engine", ["cch", "scipy"])
def test_factors_count_for_the_request_alone(name, engine):
    router = toll_router(engine=engine)
    assert router.route("edge:1004", "node:13").nodes == [13, 10, 11, 13]
    avoiding = router.route("edge:1004", "node:13", avoid={name: 5.0})
    assert avoiding.nodes == [13, 10, 12, 13]
    assert avoiding.cost == pytest.approx(300)
    assert avoiding.version == router.version()
    mild = router.route("edge:1004", "node:13", avoid={name: 1.2})
    assert mild.nodes == [13, 10, 11, 13]
    assert mild.cost == pytest.approx(240)
    drawn = router.route("edge:1004", "node:13", avoid={"residential": 0.5})
    assert drawn.nodes == [13, 10, 12, 13]
    assert router.route("edge:1004", "node:13").cost == pytest.approx(200)
    cost = router.matrix(["edge:1004"], ["node:13"], avoid={name: 5.0}).cost
    assert cost == pytest.approx(np.array([[300.0]]))
    both = router.route("edge:1004", "node:13", avoid={name: 5.0}, closed=[1003])
    assert both.nodes == [13, 10, 11, 13]
    assert both.cost == pytest.approx(1000)


def test_factors_that_make_no_sense_are_refused():
    router = toll_router()
    with pytest.raises(errors.UnknownIdError, match="there are: toll, class:residential, class:motorway"):
        router.route("node:10", "node:13", avoid={"ferry": 2.0})
    for factor in (0.0, -1.0, np.inf, np.nan, "5"):
        with pytest.raises(errors.ConfigurationError, match="positive finite"):
            router.route("node:10", "node:13", avoid={"toll": factor})
    with pytest.raises(errors.CostRangeError):
        router.route("node:10", "node:13", avoid={"toll": 1e12})
    with pytest.raises(errors.UnknownIdError):
        router.routes([("node:10", "node:13")], avoid={"ferry": 2.0})


def test_request_costs_are_kept_few_and_go_with_their_metric():
    router = toll_router()
    for factor in range(2, 12):
        router.route("edge:1004", "node:13", avoid={"toll": float(factor)})
    assert len(router._requests._kept) <= 4
    turn_cost, entry = shortest_costs(router.network)
    router.add_metric("plain", turn_cost * 3, entry * 3)
    assert not router._requests._kept
    assert router.route("edge:1004", "node:13", avoid={"toll": 1.2}).cost == pytest.approx(3 * 240)


def test_probabilities_do_without_closed_edges():
    network = strategies.make_grid(2, 2)
    cost = np.full(network.turns.num_turns, 3.0), np.full(network.graph.num_edges, 3.0)
    router = Router.from_costs(network, *cost)
    first, last = network.graph.edge_id[0], network.graph.edge_id[-1]
    free = router.route(f"edge:{first}", f"edge:{last}")
    other = int(network.graph.edge_id[free.edges[1]])
    closed = router.route(f"edge:{first}", f"edge:{last}", closed=[other])
    assert closed.log_probability > router.log_probability(closed)
