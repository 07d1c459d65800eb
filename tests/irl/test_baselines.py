"""Baselines: costs by hand, and a search that is never worse than where it starts."""

from __future__ import annotations

import dataclasses

import irl_oracles as naive
import numpy as np
import pytest
from strategies import make_grid, make_network
from trodden.core.config import parse_config
from trodden.core.errors import MissingDataError
from trodden.graphs.road_graph import Categories, EdgeAttributes
from trodden.irl.baselines import make_penalty_search, plain_costs, tune_baselines


def config(budget, seed=0, num_routes=1000, ending="arrival"):
    document = {
        "planner": {"ending": ending},
        "training": {"seed": seed},
        "baselines": {"budget": budget, "num_routes": num_routes},
    }
    return parse_config(document, where="test")


def varied_grid():
    """A grid of unequal lengths and speeds, two classes, and turns marked left at random."""
    grid = make_grid(4, 4)
    random = np.random.default_rng(8)
    edges, turns = grid.graph.num_edges, grid.turns.num_turns
    length = random.uniform(50, 300, edges).astype(np.float32)
    attributes = dataclasses.replace(
        grid.attributes,
        length_m=length,
        travel_time_s=(length / random.uniform(5, 20, edges)).astype(np.float32),
        road_class=Categories((random.random(edges) < 0.3).astype(np.int32), ("residential", "primary")),
    )
    moves = dataclasses.replace(grid.turns, is_left=random.random(turns) < 0.3)
    return naive.rebuilt(grid, attributes=attributes, turns=moves)


def routes_under(network, cost, count=40, seed=0):
    """Cheapest routes between random edges, with unequal weights."""
    random = np.random.default_rng(seed)
    rows = []
    while len(rows) < count:
        origin, goal = random.integers(0, network.graph.num_edges, 2).tolist()
        row = naive.cheapest_route(network.turns, cost, origin, [goal])
        if len(row) >= 2:
            rows.append(row)
    return naive.as_demonstrations(network, rows, weight=random.uniform(0.5, 2.0, count))


def share_matched(network, routes, cost):
    rows = [routes.route(row).tolist() for row in range(len(routes))]
    hits = [naive.cheapest_route(network.turns, cost, row[0], [row[-1]]) == row for row in rows]
    return float(np.average(hits, weights=routes.weight))


@pytest.fixture(scope="module")
def network():
    return varied_grid()


@pytest.fixture(scope="module")
def routes(network):
    seconds = network.attributes.travel_time_s.astype(float)[network.turns.to_edge]
    return routes_under(network, seconds + 15.0 * network.turns.is_left + 1.0)


def test_plain_costs_are_those_of_the_edge_entered():
    network = make_network([0, 1, 2], [1, 2, 0], length_m=np.array([10.0, 20.0, 30.0]))
    costs = plain_costs(network)
    assert list(costs) == ["shortest", "fastest"]
    assert network.turns.to_edge.tolist() == [1, 2, 0]
    assert costs["shortest"].tolist() == pytest.approx([20, 30, 10])
    assert costs["fastest"].tolist() == pytest.approx([2, 3, 1])
    no_time = naive.rebuilt(network, attributes=EdgeAttributes(length_m=network.attributes.length_m))
    assert plain_costs(no_time)["fastest"].tolist() == pytest.approx([20, 30, 10])
    no_length = naive.rebuilt(network, attributes=EdgeAttributes(travel_time_s=network.attributes.travel_time_s))
    assert plain_costs(no_length)["shortest"].tolist() == pytest.approx([2, 3, 1])
    with pytest.raises(MissingDataError, match="travel_time_s"):
        plain_costs(naive.rebuilt(network, attributes=EdgeAttributes()))


def test_the_cost_of_a_candidate_by_hand(network):
    search = make_penalty_search(network)
    assert search.names == ("left_s", "right_s", "uturn_s", "constant_s", "log_factor:primary")
    cost = search.cost(np.array([3.0, 5.0, 7.0, 1.0, 0.5]))
    turns, columns = network.turns, network.attributes
    for turn in range(turns.num_turns):
        entered = turns.to_edge[turn]
        factor = np.exp(0.5) if columns.road_class.text(entered) == "primary" else 1.0
        want = float(columns.travel_time_s[entered]) * factor + 1.0
        want += 3.0 * turns.is_left[turn] + 5.0 * turns.is_right[turn] + 7.0 * turns.is_uturn[turn]
        assert cost[turn] == pytest.approx(want)
    np.testing.assert_array_equal(search.cost(np.zeros(5)), plain_costs(network)["fastest"])


def test_a_search_without_classes(network):
    bare = naive.rebuilt(network, attributes=dataclasses.replace(network.attributes, road_class=None))
    assert make_penalty_search(bare).names == ("left_s", "right_s", "uturn_s", "constant_s")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("budget", [1, 5, 40])
def test_the_search_is_never_worse_than_fastest_on_its_routes(network, routes, seed, budget):
    costs, found = tune_baselines(network, routes, config(budget, seed))
    fastest = share_matched(network, routes, costs["fastest"])
    tuned = share_matched(network, routes, costs["fastest_penalised"])
    assert tuned >= fastest
    assert found["train_exact"] == pytest.approx(tuned)
    assert (found["budget"], found["num_routes"]) == (budget, len(routes))
    assert costs["fastest_penalised"].min() > 0
    coefficients = found["coefficients"]
    assert min(value for name, value in coefficients.items() if name.endswith("_s")) >= 0
    search = make_penalty_search(network)
    again = search.cost(np.array([coefficients[name] for name in search.names]))
    np.testing.assert_array_equal(again, costs["fastest_penalised"])
    if budget == 1:
        assert tuned == fastest
    if budget == 40:
        assert tuned > fastest  # these drivers avoid turning left: a search worth the name finds some of it


def test_the_search_depends_on_its_seed_alone(network, routes):
    first, again, other = (tune_baselines(network, routes, config(30, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0]["fastest_penalised"], again[0]["fastest_penalised"])
    assert first[1] == again[1]
    assert first[1]["coefficients"] != other[1]["coefficients"]


def test_no_budget_leaves_the_search_out(network, routes):
    costs, found = tune_baselines(network, routes, config(0))
    assert list(costs) == ["shortest", "fastest"]
    assert found == {}


def test_a_sample_of_the_routes_scores(network, routes):
    _, found = tune_baselines(network, routes, config(3, num_routes=10))
    assert found["num_routes"] == 10
    assert 0.0 <= found["train_exact"] <= 1.0
