"""Predicted routes cost what networkx says the cheapest route costs, and are routes."""

from __future__ import annotations

import irl_oracles as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import make_grid, make_network
from trodden.core.errors import NonPositiveCostError
from trodden.graphs.hierarchy import quantise
from trodden.irl.prediction import TripPredictor


@pytest.mark.parametrize("ending", ["arrival", "stop"])
@settings(deadline=None, max_examples=40)
@given(naive.networks_with_walks(), st.integers(0, 2**32 - 1))
def test_every_trip_gets_a_cheapest_route(ending, case, seed):
    network, walks = case
    if not walks:
        return
    routes = naive.as_demonstrations(network, walks)
    predictor = TripPredictor(network, routes, ending)
    trips = [(walk[0], naive.destination_of(network, walk, ending)) for walk in walks]
    assert len(set(predictor.trip_of_route.tolist())) == len(set(trips))
    random = np.random.default_rng(seed)
    for _ in range(2):  # one cost after another
        cost = np.exp(random.uniform(-4, 3, network.turns.num_turns))
        unit = quantise(network.turns, cost).quantum
        paths = predictor.predict(cost)
        assert len(paths) == len(set(trips))
        for row, (origin, key) in enumerate(trips):
            path = paths[predictor.trip_of_route[row]].tolist()
            goals = naive.goals_of(network, key, ending)
            want = naive.cheapest_route(network.turns, cost, origin, goals)
            assert path[0] == origin
            assert path[-1] in goals
            got, best = (naive.route_cost(network.turns, cost, one) for one in (path, want))
            assert got <= best + unit * (len(path) + len(want))


def test_turns_are_priced_not_edges():
    # 0 -> 1 -> 3 and 0 -> 2 -> 3: the lower way is cheaper by its edges, its first turn is dear.
    network = make_network([0, 1, 1, 2, 3, 4], [1, 2, 3, 4, 4, 5])
    first, up, down, over, under, last = range(6)
    cost = np.where(network.turns.to_edge == up, 1.0, 2.0)
    routes = naive.as_demonstrations(network, [[first, down, under, last]])
    predictor = TripPredictor(network, routes, "arrival")
    assert predictor.predict(cost)[0].tolist() == [first, up, over, last]
    dear = cost + 5.0 * (network.turns.from_edge == up)
    assert predictor.predict(dear)[0].tolist() == [first, down, under, last]


def test_one_query_serves_all_routes_of_a_trip():
    grid = make_grid(3, 3)
    walk = naive.cheapest_route(grid.turns, np.ones(grid.turns.num_turns), 0, [20])
    routes = naive.as_demonstrations(grid, [walk] * 5)
    predictor = TripPredictor(grid, routes, "arrival")
    assert predictor.trip_of_route.tolist() == [0] * 5
    assert len(predictor.predict(np.ones(grid.turns.num_turns))) == 1


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_cost_that_is_no_cost_is_refused(bad):
    grid = make_grid(2, 3)
    routes = naive.as_demonstrations(grid, [naive.random_walk(grid.turns, np.random.default_rng(0), 4)])
    cost = np.ones(grid.turns.num_turns)
    cost[3] = bad
    with pytest.raises(NonPositiveCostError, match="edge 10"):
        TripPredictor(grid, routes, "arrival").predict(cost)
