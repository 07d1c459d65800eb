"""Why a route: rows that add up to the cost for every kind of reward, probabilities that are those of the policy."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import dense
import irl_oracles as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regional_city import TASTE, make_city
from strategies import make_network
from trodden import explain
from trodden.core.config import Config, parse_config
from trodden.core.errors import ConfigurationError, InconsistentModelError
from trodden.irl.features import make_features
from trodden.irl.insight.explanation import cost_terms, trip_routes
from trodden.irl.model import Coefficient, RegionSummary
from trodden.irl.plots import draw_explanation_png
from trodden.irl.simulation import simulate
from trodden.irl.training import fit

FAST = {"baselines": {"budget": 0}, "training": {"max_iterations": 12, "validation_share": 0.0}}
KINDS = {
    "edge": {"corrections": ["edge"]},
    "turn": {"corrections": ["turn"]},
    "both": {"corrections": ["edge", "turn"], "minimum_cost": 0.05},
    "mlp": {"mlp_width": 4},
    "mlp alone": {"mlp_width": 4, "mlp_depth": 1, "linear": False},
    "all": {"corrections": ["turn"], "mlp_width": 3, "members": 2},
    "ensemble": {"members": 3},
    "mean parameters": {"corrections": ["edge"], "members": 2, "average": "parameters"},
}


@pytest.fixture(scope="module")
def city():
    return make_city(6, 6)


@pytest.fixture(scope="module")
def routes(city):
    return simulate(city, 60, taste=TASTE, seed=3, num_destinations=6)


def learned(city, routes, reward, **sections):
    document = {"reward": {"features": list(TASTE), **reward}, **FAST, **sections}
    return fit(city, routes, parse_config(document, where="test"))


def three_way():
    """A network by hand: from edge 0 over a short road, or a long one with two left turns, to the last edge.

    Nodes 0 -> 1, then 1 -> 2 directly (100 m), or 1 -> 3 -> 2 (200 and 300 m), then 2 -> 4.
    """
    network = make_network([0, 1, 1, 3, 2], [1, 2, 3, 2, 4], length_m=[50.0, 100.0, 200.0, 300.0, 50.0])
    turns = network.turns
    pairs = list(zip(turns.from_edge.tolist(), turns.to_edge.tolist(), strict=True))
    graph = network.graph
    edge = {(int(a), int(b)): at for at, (a, b) in enumerate(zip(graph.tail, graph.head, strict=True))}
    is_left = np.zeros(turns.num_turns, bool)
    for one, two in ((edge[0, 1], edge[1, 3]), (edge[1, 3], edge[3, 2])):
        is_left[pairs.index((one, two))] = True
    network = dataclasses.replace(network, turns=dataclasses.replace(turns, is_left=is_left))
    short = [edge[0, 1], edge[1, 2], edge[2, 4]]
    long = [edge[0, 1], edge[1, 3], edge[3, 2], edge[2, 4]]
    return network, short, long


def hand_model(network, minimum_cost=1e-6, left=-0.5):
    """``length_km`` -2, ``is_left`` as given, constant -0.25."""
    values = {"length_km": -2.0, "is_left": left, "constant": -0.25}
    config = parse_config({"reward": {"features": list(values), "minimum_cost": minimum_cost}}, where="test")
    reward = make_features(network, tuple(values)).value @ np.array(list(values.values()))
    cost = np.maximum(-reward, minimum_cost)
    coefficients = tuple(Coefficient(name, value, None) for name, value in values.items())
    return naive.stated_model(network, cost, config, coefficients=coefficients)


def test_a_network_solved_by_hand():
    network, short, long = three_way()
    found = explain(hand_model(network), {"learned": short, "fastest": long})
    assert found.rows == ("length_km", "is_left", "constant")
    # 150 m and 550 m are entered; the first edge is where the trip begins.
    np.testing.assert_allclose(found.route("learned").terms, [0.3, 0.0, 0.5], atol=1e-7)
    np.testing.assert_allclose(found.route("fastest").terms, [1.1, 1.0, 0.75], atol=1e-7)
    np.testing.assert_allclose(found.route("fastest").amounts, [0.55, 2.0, 3.0], atol=1e-7)
    assert found.route("fastest").cost == pytest.approx(2.85)
    assert found.route("fastest").length_m == pytest.approx(600.0)
    # Two routes, and no other: their probabilities are a logit of their costs.
    share = 1 / (1 + np.exp(0.8 - 2.85))
    assert np.exp(found.route("learned").log_probability) == pytest.approx(share)
    assert np.exp(found.route("fastest").log_probability) == pytest.approx(1 - share)
    text = found.table().splitlines()
    assert text[0] == f"trip from edge {1000 + short[0]} to edge {1000 + short[-1]}"
    line = {row.split()[0]: row.split()[1:] for row in text if row and not row.startswith(" ")}
    assert line["is_left"] == ["0.0000", "1.0000", "-1.0000"]
    assert line["cost"] == ["0.8000", "2.8500", "-2.0500"]
    assert f"learned is {np.exp(2.05):.3g} times more probable than fastest" in text


def test_the_minimum_cost_has_a_row_of_its_own_where_it_binds():
    network, short, long = three_way()
    model = hand_model(network, minimum_cost=0.3, left=0.6)
    found = explain(model, {"learned": long, "fastest": short})
    assert found.rows[-1] == "positivity"
    # Left onto 200 m: 0.4 + 0.25 - 0.6 = 0.05, raised to 0.3; left onto 300 m: 0.25, raised; straight on: 0.35.
    np.testing.assert_allclose(found.route("learned").terms, [1.1, -1.2, 0.75, 0.25 + 0.05], atol=1e-7)
    assert found.route("learned").cost == pytest.approx(0.95)
    assert np.isnan(found.route("learned").amounts[-1])
    assert found.route("fastest").terms[-1] == pytest.approx(0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_add_up_for_every_kind_of_reward(city, routes, kind):
    model = learned(city, routes, KINDS[kind])
    every = np.arange(city.turns.num_turns)
    names, terms, amounts = cost_terms(model, every)
    np.testing.assert_allclose(terms.sum(axis=1), model.turn_cost, rtol=0, atol=1e-9)
    assert len(names) == terms.shape[1] == amounts.shape[1] == len(set(names))
    found = explain(model, trip_routes(model, routes.route(5)))
    for route in found.routes:
        turn = city.turns.find(route.edges[:-1], route.edges[1:])
        assert route.terms.sum() == pytest.approx(model.turn_cost[turn].sum(), abs=1e-9)
        assert route.cost == pytest.approx(model.turn_cost[turn].sum(), abs=1e-12)
    parts = model.config.reward
    assert (names[: len(TASTE)] == tuple(TASTE)) == parts.linear
    assert ("corrections of turns" in names) == ("turn" in parts.corrections)
    assert ("corrections of edges" in names) == ("edge" in parts.corrections)
    # A constant is no input of the MLP.
    wanted = ["mlp:travel_time_min", "mlp:toll", "mlp: at the mean"] if parts.mlp_width else []
    assert [name for name in names if name.startswith("mlp")] == wanted
    assert names[-1] == "positivity"
    assert (terms[:, -1] > 0).all()


def test_rows_are_what_they_are_called(city, routes):
    """Corrections come from the stored members, the linear rows from the coefficients, and not the other way round."""
    model = learned(city, routes, {"corrections": ["edge", "turn"]})
    names, terms, _ = cost_terms(model, np.arange(city.turns.num_turns))
    column = dict(zip(names, terms.T, strict=True))
    features = make_features(city, tuple(TASTE)).value
    for at, name in enumerate(TASTE):
        np.testing.assert_allclose(column[name], -model.coefficient(name) * features[:, at], atol=1e-12)
    member = model.parts["members"][0][len(TASTE) :]
    of_edge, of_turn = np.zeros(city.graph.num_edges), np.zeros(city.turns.num_turns)
    of_edge[model.parts["edge"]] = member[: len(model.parts["edge"])]
    of_turn[model.parts["turn"]] = member[len(model.parts["edge"]) :]
    np.testing.assert_allclose(column["corrections of edges"], of_edge[city.turns.to_edge], atol=1e-15)
    np.testing.assert_allclose(column["corrections of turns"], of_turn, atol=1e-15)
    assert np.abs(of_turn).max() > 0.01


def test_every_region_explains_with_its_own_coefficients(city):
    region = (np.arange(city.graph.num_edges) % 2).astype(np.int32)
    tables = [[-3.0, -0.7, -1.3], [-1.0, 0.2, -2.0]]
    features = make_features(city, tuple(TASTE)).value
    of_turn = region[city.turns.to_edge]
    cost = -np.where(of_turn == 0, features @ tables[0], features @ tables[1])
    regions = tuple(
        RegionSummary(k, 1, 1, tuple(Coefficient(name, v, None) for name, v in zip(TASTE, table, strict=True)))
        for k, table in enumerate(tables)
    )
    config = parse_config({"reward": {"features": list(TASTE)}}, where="test")
    model = naive.stated_model(city, cost, config, coefficients=(), regions=regions, edge_region=region)
    names, terms, _ = cost_terms(model, np.arange(city.turns.num_turns))
    assert names == tuple(TASTE)
    np.testing.assert_allclose(terms[:, 0], -np.array([-3.0, -1.0])[of_turn] * features[:, 0])
    np.testing.assert_allclose(terms.sum(axis=1), cost, atol=1e-12)


def test_a_model_whose_costs_are_not_its_reward_is_refused(city, routes):
    """Instead of a table that does not add up; the turn is named."""
    model = learned(city, routes, {"corrections": ["turn"]})
    own = routes.route(0)
    turn = int(city.turns.find(own[:-1], own[1:])[0])
    cost = model.turn_cost.copy()
    cost[turn] += 1e-6
    with pytest.raises(InconsistentModelError, match=f"from edge {city.graph.edge_id[own[0]]} to edge"):
        explain(model.replace(turn_cost=cost), {"travelled": own})
    elsewhere = np.setdiff1d(np.arange(city.turns.num_turns), city.turns.find(own[:-1], own[1:]))[0]
    cost = model.turn_cost.copy()
    cost[elsewhere] += 1.0
    explain(model.replace(turn_cost=cost), {"travelled": own})


@settings(max_examples=30, deadline=None)
@given(naive.trip_cases(), st.integers(0, 2**32 - 1))
def test_probabilities_are_those_of_the_dense_policy(case, seed):
    """On random networks, under both endings; the cost of any route is the sum of its rows."""
    network, _, ending, routes = case
    random = np.random.default_rng(seed)
    values = [-float(random.uniform(0, 3)), -float(random.uniform(1.5, 4))]
    features = make_features(network, ("length_km", "constant"))
    cost = -features.reward(np.array(values))
    document = {"reward": {"features": ["length_km", "constant"]}, "planner": {"ending": ending}}
    coefficients = (Coefficient("length_km", values[0], None), Coefficient("constant", values[1], None))
    config = parse_config(document, where="test")
    model = naive.stated_model(network, cost, config, coefficients=coefficients)
    if dense.radius_without(network.turns, -cost, [], "stop") > 0.97:
        return
    route = routes.route(0).tolist()
    found = explain(model, {"travelled": route}).routes[0]
    goals = naive.goals_of(network, naive.destination_of(network, route, ending), ending)
    value = dense.dense_values(network.turns, -cost, goals, ending)[route[0]]
    total = naive.route_cost(network.turns, cost, route)
    assert found.log_probability == pytest.approx(-total - value, abs=1e-8)
    assert found.terms.sum() == pytest.approx(total, abs=1e-9)


def test_the_routes_of_a_trip_are_the_cheapest_ones(city, routes):
    model = learned(city, routes, {})
    edges = routes.route(7)
    found = trip_routes(model, edges)
    assert list(found) == ["travelled", "fastest", "learned"]
    for name, cost in (("fastest", model.baseline_costs["fastest"]), ("learned", model.turn_cost)):
        want = naive.cheapest_route(city.turns, cost, int(edges[0]), [int(edges[-1])])
        assert found[name].tolist() == want
    assert list(trip_routes(model, edges, is_travelled=False)) == ["fastest", "learned"]


def test_what_is_compared_and_what_is_said_of_equal_routes():
    network, short, long = three_way()
    model = hand_model(network)
    assert explain(model, {"learned": short}).compared is None
    both = explain(model, {"travelled": long, "fastest": short, "learned": short})
    assert [one.name for one in both.compared] == ["learned", "travelled"]
    assert "fastest and learned are the same route" in both.table()
    same = explain(model, {"fastest": short, "learned": short})
    assert same.compared is None
    assert "difference" not in same.table()
    other = explain(model, {"mine": short, "yours": long})
    assert [one.name for one in other.compared] == ["yours", "mine"]


def test_horizons_and_values_that_do_not_exist():
    network, short, long = three_way()
    model = hand_model(network)
    zero = Config(reward=model.config.reward, planner={"horizon": 0})
    found = explain(model.replace(config=zero), {"learned": short, "fastest": long})
    assert found.note == "horizon 0 has no likelihood"
    assert "log-probability" not in found.table()
    one = Config(reward=model.config.reward, planner={"horizon": 1})
    short_sighted = explain(model.replace(config=one), {"learned": short, "fastest": long})
    assert np.exp([r.log_probability for r in short_sighted.routes]).sum() == pytest.approx(1.0)
    grid = make_city(4, 4)
    cheap = hand_model(grid, minimum_cost=1e-6)
    cheap = cheap.replace(turn_cost=np.full(grid.turns.num_turns, 0.01))
    config = parse_config({"reward": {"features": ["constant"]}}, where="test")
    cheap = cheap.replace(config=config, coefficients=(Coefficient("constant", -0.01, None),))
    walk = naive.random_walk(grid.turns, np.random.default_rng(1), 3)
    found = explain(cheap, {"mine": walk})
    assert found.routes[0].log_probability is None
    assert "spectral radius" in found.note


def test_a_route_that_passes_its_destination_is_refused_under_arrival():
    network = make_network([0, 1, 1, 2], [1, 0, 2, 1])
    model = hand_model(network)
    with pytest.raises(ConfigurationError, match=r"the mine route.*passes its destination"):
        explain(model, {"mine": [0, 1, 0]})
    stop = model.replace(config=Config(reward=model.config.reward, planner={"ending": "stop"}))
    assert len(explain(stop, {"mine": [0, 1, 0]}).routes) == 1


@pytest.mark.parametrize("bad", [[0], [], [0, 0], [0, 4]])
def test_routes_that_are_none_are_named(bad):
    network, short, _ = three_way()
    with pytest.raises(ConfigurationError, match="the mine route"):
        explain(hand_model(network), {"yours": short, "mine": bad})


def test_json_holds_all_and_long_names_fit(city, routes):
    document = {"reward": {"features": ["travel_time_min*length_km*toll", "constant"]}, **FAST}
    model = fit(city, routes, parse_config(document, where="test"))
    found = explain(model, trip_routes(model, routes.route(1)))
    assert max(map(len, found.table().splitlines())) <= 80
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["rows"] == ["travel_time_min*length_km*toll", "constant"]
    for one, route in zip(written["routes"], found.routes, strict=True):
        assert sum(one["terms"]) == pytest.approx(one["cost"], abs=1e-9)
        assert one["edges"] == city.graph.edge_id[route.edges].tolist()
    assert written["is_simulated"]
    assert "simulated" in found.table()


def test_the_picture_names_the_rows(city, routes, tmp_path, monkeypatch):
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    seen: list[str] = []
    save = Figure.savefig

    def spy(self, *args, **options):
        seen.extend(text.get_text() for text in self.findobj(Text))
        return save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    model = learned(city, routes, {"corrections": ["turn"]})
    network = model.network
    row = next(r for r in range(60) if explain(model, trip_routes(model, routes.route(r))).compared is not None)
    found = explain(model, trip_routes(model, routes.route(row)))
    path = draw_explanation_png(network, found, tmp_path / "e.png", title="Trip $x")
    assert path.read_bytes().startswith(b"\x89PNG")
    one, other = found.compared
    assert f"cost of {one.name} minus {other.name}, nats" in seen
    assert {"sum", "positivity", "simulated routes", "Trip $x", f"{one.cost - other.cost:+.2f}"} <= set(seen)
    same = explain(model, {"fastest": routes.route(0), "learned": routes.route(0)})
    draw_explanation_png(network, same, tmp_path / "same.png")
    assert "all these routes are the same" in seen


def test_a_linear_model_is_explained_without_jax(tmp_path):
    code = (
        "import sys, test_explanation as t; n, a, b = t.three_way(); m = t.hand_model(n);"
        "print(len(t.explain(m, t.trip_routes(m, a)).routes), {'jax', 'matplotlib'} & set(sys.modules))"
    )
    here = Path(__file__).parent
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=paths, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "3 set()", done.stdout + done.stderr
