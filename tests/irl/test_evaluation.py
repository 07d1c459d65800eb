"""Evaluation: its JSON, its measures against naive ones, its likelihood against listed routes."""

from __future__ import annotations

import dataclasses
import json
import math

import irl_oracles as naive
import numpy as np
import pytest
from strategies import make_grid, make_network
from trodden.core.config import parse_config
from trodden.core.errors import NoDemonstrationsError, WrongNetworkError
from trodden.irl.demonstrations import SkippedRoute
from trodden.irl.evaluation import evaluate
from trodden.irl.likelihood import route_log_probabilities
from trodden.irl.planner import Planner

NAMES = ["learned", "shortest", "fastest", "fastest_penalised"]
SCORES = {"exact", "iou", "nll_per_route", "nll_per_turn", "exact_interval"}
ENDINGS = {name: parse_config({"planner": {"ending": name}}, where="test") for name in ("arrival", "stop")}


@pytest.fixture(scope="module")
def network():
    grid = make_grid(4, 4)
    length = np.random.default_rng(2).uniform(50, 300, grid.graph.num_edges).astype(np.float32)
    time = np.random.default_rng(3).uniform(5, 30, grid.graph.num_edges).astype(np.float32)
    attributes = dataclasses.replace(grid.attributes, length_m=length, travel_time_s=time)
    return naive.rebuilt(grid, attributes=attributes)


def case(network, ending, seed=0, **changes):
    """A stated model, routes that follow it in part, and which of them are unseen."""
    random = np.random.default_rng(seed)
    turns = network.turns
    time = network.attributes.travel_time_s.astype(float)[turns.to_edge]
    model = naive.stated_model(network, random.uniform(1.5, 4.0, turns.num_turns), ENDINGS[ending])
    model.baseline_costs["fastest"] = time
    model.baseline_costs["fastest_penalised"] = time + 5.0
    rows = []
    while len(rows) < 30:
        if len(rows) % 2:
            row = naive.random_walk(turns, random, int(random.integers(2, 6)))
        else:
            origin, goal = random.integers(0, network.graph.num_edges, 2).tolist()
            row = naive.cheapest_route(turns, model.turn_cost, origin, [goal])
        if len(row) >= 2 and row.count(row[-1]) == 1:
            rows.append(row)
    routes = naive.as_demonstrations(network, rows, weight=random.uniform(0.5, 3.0, len(rows)))
    model = model.replace(training_pairs=np.unique(routes.pair_keys(ending)[:12]), **changes)
    return model, routes, rows


@pytest.fixture(scope="module", params=["arrival", "stop"])
def evaluated(request, network):
    """(ending, model, routes, rows, evaluation), made once."""
    model, routes, rows = case(network, request.param)
    return request.param, model, routes, rows, evaluate(model, routes)


def test_the_json_has_its_promised_shape(evaluated):
    _, _, routes, _, found = evaluated
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["routes"] == len(routes)
    assert document["skipped"] == {}
    for part in ("models", "unseen_pairs"):
        assert list(document[part]) == NAMES
        for name, scores in document[part].items():
            assert set(scores) == SCORES
            assert 0.0 <= scores["exact"] <= scores["iou"] <= 1.0
            assert len(scores["exact_interval"]) == 2
            assert scores["exact_interval"][0] <= scores["exact"] <= scores["exact_interval"][1]
            is_null = scores["nll_per_route"] is None, scores["nll_per_turn"] is None
            assert is_null == ((False, False) if name == "learned" else (True, True))


def test_matches_and_overlap_equal_naive_ones_on_all_and_on_unseen_pairs(network, evaluated):
    ending, model, routes, rows, found = evaluated
    length = network.edge_length_m()
    trips = [(row[0], naive.destination_of(network, row, ending)) for row in rows]
    is_unseen = [trip not in set(trips[:12]) for trip in trips]
    assert 0 < sum(is_unseen) < len(rows)
    assert found.num_unseen == sum(is_unseen)
    costs = {"learned": model.turn_cost, **model.baseline_costs}
    for name in NAMES:
        best = [
            naive.cheapest_route(network.turns, costs[name], a, naive.goals_of(network, b, ending)) for a, b in trips
        ]
        exact = np.array([one == two for one, two in zip(best, rows, strict=True)], float)
        overlap = np.array([naive.iou(one, two, length) for one, two in zip(best, rows, strict=True)])
        assert found.matched[name].tolist() == exact.astype(bool).tolist()
        for scores, mask in ((found.models[name], [True] * len(rows)), (found.unseen[name], is_unseen)):
            weight = routes.weight[mask]
            assert scores.exact == pytest.approx(weight @ exact[mask] / weight.sum())
            assert scores.iou == pytest.approx(weight @ overlap[mask] / weight.sum())
    assert found.models["learned"].exact > found.models["shortest"].exact
    against = found.to_json()["learned_against"]
    assert list(against) == NAMES[1:]
    assert against["fastest"]["difference"] == pytest.approx(
        found.models["learned"].exact - found.models["fastest"].exact
    )


# A network without cycles: a fan of routes from edge 0 to edges 8 and 9, with a parallel edge and a side exit.
TAIL, HEAD = [0, 1, 1, 1, 2, 2, 3, 4, 4, 5, 5], [1, 2, 2, 3, 3, 4, 4, 5, 6, 6, 7]


@pytest.mark.parametrize("solver", ["factorization", "sweeps"])
@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_the_likelihood_equals_that_of_listed_routes(ending, solver):
    network = make_network(TAIL, HEAD)
    turns = network.turns
    random = np.random.default_rng(6)
    cost = random.uniform(0.05, 3.0, turns.num_turns)
    goal = 8 if ending == "arrival" else 6
    goals = naive.goals_of(network, goal, ending)
    assert goals == ([8] if ending == "arrival" else [8, 9])
    listed = [route for last in goals for route in naive.listed_routes(turns, 0, last)]
    assert len(listed) > 4
    share = np.array([math.exp(-naive.route_cost(turns, cost, route)) for route in listed])
    probability = share / share.sum()
    weight = random.uniform(0.5, 2.0, len(listed))
    config = parse_config({"planner": {"ending": ending, "solver": solver}}, where="test")
    model = naive.stated_model(network, cost, config)
    scores = evaluate(model, naive.as_demonstrations(network, listed, weight=weight)).models["learned"]
    total = -float(weight @ np.log(probability))
    assert scores.nll_per_route == pytest.approx(total / weight.sum(), rel=1e-9)
    num_turns = np.array([len(route) - 1 for route in listed])
    assert scores.nll_per_turn == pytest.approx(total / (weight @ num_turns), rel=1e-9)
    planner = Planner(network.turns, config.planner)
    routes = naive.as_demonstrations(network, listed)
    one_by_one = route_log_probabilities(planner, -cost, routes, routes.batch(ending))
    np.testing.assert_allclose(one_by_one, np.log(probability), rtol=1e-9)


def test_a_pair_under_stop_is_seen_whichever_edge_it_ended_on():
    network = make_network(TAIL, HEAD)
    routes = naive.as_demonstrations(network, [[0, 1, 5, 8], [0, 1, 5, 7, 9]])
    for ending, num_unseen in (("arrival", 1), ("stop", 0)):
        model = naive.stated_model(network, np.ones(network.turns.num_turns), ENDINGS[ending])
        model = model.replace(training_pairs=routes.pair_keys(ending)[:1])
        assert evaluate(model, routes).num_unseen == num_unseen


def test_without_unseen_pairs_that_part_is_empty(network):
    model, routes, _ = case(network, "arrival")
    model = model.replace(training_pairs=np.unique(routes.pair_keys("arrival")))
    found = evaluate(model, routes)
    assert (found.num_unseen, found.to_json()["unseen_pairs"]) == (0, dict.fromkeys(found.models))
    assert "0 of them between pairs not seen" in found.table()


def test_skipped_routes_are_counted(network):
    model, _, rows = case(network, "arrival")
    back = next(e for e in network.turns.to_edge[slice(*network.turns.first_out[rows[0][-1] :][:2])].tolist())
    again = naive.cheapest_route(network.turns, model.turn_cost, back, [rows[0][-1]])
    passing = naive.as_demonstrations(network, [*rows, [*rows[0], *again]])
    passing = dataclasses.replace(passing, skipped=(SkippedRoute("x", "broken", ""), SkippedRoute("y", "broken", "")))
    found = evaluate(model, passing)
    assert (found.num_routes, found.skipped) == (len(rows), {"broken": 2, "passes_destination": 1})
    assert "3 skipped: 2 broken, 1 passes_destination" in found.table()
    with pytest.raises(NoDemonstrationsError, match="1 passes_destination"):
        evaluate(model, naive.as_demonstrations(network, [[*rows[0], *again]]))


def test_what_was_not_tuned_is_left_out(network):
    model, routes, _ = case(network, "arrival")
    del model.baseline_costs["fastest_penalised"]
    assert list(evaluate(model, routes).to_json()["models"]) == NAMES[:3]


@pytest.mark.parametrize("which", ["model", "routes"])
def test_simulated_routes_and_models_say_so(network, which):
    model, routes, _ = case(network, "arrival")
    if which == "model":
        found = evaluate(model.replace(is_simulated=True), routes)
    else:
        found = evaluate(model, dataclasses.replace(routes, is_simulated=True))
    assert found.to_json()["is_simulated"] is True
    assert "30 simulated routes" in found.table()


def test_observed_routes_are_not_called_simulated(evaluated):
    assert evaluated[-1].to_json()["is_simulated"] is False
    assert "30 routes" in evaluated[-1].table()
    assert "simulated" not in evaluated[-1].table()


def test_costs_without_soft_values_have_no_likelihood_but_routes(network):
    model, routes, rows = case(network, "arrival")
    cheap = model.replace(turn_cost=np.full(network.turns.num_turns, 1e-3))
    found = evaluate(cheap, routes)
    assert found.models["learned"].nll_per_route is None
    assert 0.0 <= found.models["learned"].iou <= 1.0
    assert "NLL" not in found.table()
    assert len(rows) == found.num_routes


def test_routes_of_another_network_are_refused(network):
    model, routes, _ = case(network, "arrival")
    other = dataclasses.replace(routes, network=naive.rebuilt(make_grid(4, 4)))
    with pytest.raises(WrongNetworkError, match="the set of demonstrations was made for"):
        evaluate(model, other)


def test_the_same_seed_gives_the_same_evaluation(evaluated):
    _, model, routes, _, found = evaluated
    assert evaluate(model, routes).to_json() == found.to_json()
