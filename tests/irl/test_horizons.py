"""Finite horizons against plain recursion, finite differences, Boltzmann of the best path, and MaxEnt."""

from __future__ import annotations

import dataclasses
import itertools

import horizon_oracles as naive
import numpy as np
import pytest
from strategies import make_grid, make_network
from trodden.core.config import PlannerConfig, parse_config
from trodden.core.errors import ConfigurationError, InfeasibleRewardError, NonPositiveCostError
from trodden.irl.batches import make_batch, make_steps, route_batch
from trodden.irl.best_paths import best_path_values, best_turns, flow_down
from trodden.irl.bundle import minimise
from trodden.irl.demonstrations import demonstrations_from_edges
from trodden.irl.destinations import make_destinations
from trodden.irl.evaluation import evaluate
from trodden.irl.features import make_features
from trodden.irl.horizons import RecedingHorizon
from trodden.irl.likelihood import log_likelihood, route_log_probabilities
from trodden.irl.margin import MarginLoss
from trodden.irl.planner import Planner
from trodden.irl.simulation import simulate
from trodden.irl.soft_values import SweepSolver
from trodden.irl.training import fit

ENDINGS = ("arrival", "stop")
HORIZONS = (1, 2, 3, 5, 10)
SOLVERS = (("factorization", "nothing"), ("sweeps", "nothing"), ("sweeps", "best_path"))
FAST = {"baselines": {"budget": 0}}


@pytest.fixture(scope="module")
def case():
    """Per ending: a 3 x 4 grid, rewards without ties, and a dozen wandering weighted routes that share destinations."""
    network = make_grid(3, 4)
    random = np.random.default_rng(11)
    reward = -random.uniform(0.6, 2.0, network.turns.num_turns)
    made = {}
    for ending in ENDINGS:
        routes = simulate(network, 12, taste={"constant": -1.4}, seed=5, num_destinations=3, ending=ending).for_ending(
            ending
        )
        made[ending] = dataclasses.replace(routes, weight=random.uniform(0.5, 2.0, len(routes)))
    return network, reward, made


def naive_total(case, ending, horizon, reward):
    network, _, made = case
    routes, total = made[ending], 0.0
    for row in range(len(routes)):
        route = routes.route(row).tolist()
        total += routes.weight[row] * naive.route_log_probability(
            network.turns, reward, route, goals_of(network, route, ending), ending, horizon
        )
    return total


def goals_of(network, route, ending):
    last = route[-1]
    return [last] if ending == "arrival" else np.flatnonzero(network.graph.head == network.graph.head[last]).tolist()


def planner_for(network, ending, horizon, **settings):
    return Planner(network.turns, PlannerConfig(ending=ending, horizon=horizon, **settings))


@pytest.mark.parametrize(("ending", "horizon"), list(itertools.product(ENDINGS, HORIZONS)))
def test_likelihood_equals_plain_recursion(case, ending, horizon):
    network, reward, made = case
    planner = planner_for(network, ending, horizon)
    batch = make_batch(made[ending], PlannerConfig(ending=ending, horizon=horizon))
    value, _ = log_likelihood(planner, reward, batch)
    assert value == pytest.approx(naive_total(case, ending, horizon, reward), rel=1e-11)
    each = route_log_probabilities(planner, reward, made[ending], made[ending].batch(ending))
    assert made[ending].weight @ each == pytest.approx(value, rel=1e-12)
    assert (each <= 0).all()
    key = make_destinations(network.graph, np.array([7], np.int32), ending)
    want = naive.horizon_values(network.turns, reward, key.goals(0).tolist(), ending, horizon)[-1]
    np.testing.assert_allclose(planner.values(reward, key)[:, 0], want, atol=1e-11)


SOLVED = [(horizon, {}) for horizon in (0, *HORIZONS)]
SOLVED += [("infinity", {"solver": solver, "start": start}) for solver, start in SOLVERS]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("horizon", "settings"), SOLVED)
def test_gradient_equals_finite_differences(case, ending, horizon, settings):
    """Every loss, horizon, ending and solver, through the one door that training uses."""
    network, reward, made = case
    planner = planner_for(network, ending, horizon, **settings)
    batch = make_batch(made[ending], PlannerConfig(ending=ending, horizon=horizon))
    _, gradient = log_likelihood(planner, reward, batch)
    numeric = np.zeros_like(reward)
    for turn in range(len(reward)):
        step = np.zeros_like(reward)
        step[turn] = 1e-6
        high, low = (log_likelihood(planner, reward + sign * step, batch)[0] for sign in (1, -1))
        numeric[turn] = (high - low) / 2e-6
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("ending", "horizon"), list(itertools.product(ENDINGS, (1, 2, 3, 5))))
def test_gradient_is_the_formula_and_not_its_two_traps(case, ending, horizon):
    network, reward, made = case
    planner = planner_for(network, ending, horizon)
    routes = made[ending]
    _, gradient = log_likelihood(planner, reward, make_batch(routes, PlannerConfig(ending=ending, horizon=horizon)))

    def summed(**trap):
        total = np.zeros_like(reward)
        for row in range(len(routes)):
            route = routes.route(row).tolist()
            goals = goals_of(network, route, ending)
            total += routes.weight[row] * naive.rhip_gradient(
                network.turns, reward, route, goals, ending, horizon, **trap
            )
        return total

    np.testing.assert_allclose(gradient, summed(), atol=1e-10)
    size = np.linalg.norm(gradient)
    assert np.linalg.norm(summed(too_many_steps=True) - gradient) > 0.01 * size
    if horizon > 1:  # with one step there is one policy
        assert np.linalg.norm(summed(stationary=True) - gradient) > 1e-3 * size


@pytest.mark.parametrize("ending", ENDINGS)
def test_horizon_one_is_boltzmann_of_the_best_path(case, ending):
    network, reward, made = case
    turns, routes = network.turns, made[ending]
    want = 0.0
    for row in range(len(routes)):
        route = routes.route(row).tolist()
        goals = goals_of(network, route, ending)
        best = naive.best_path_reward(turns, reward, goals)
        for here, there in itertools.pairwise(route):
            q = naive.choices(turns, reward, goals, ending, here, best)
            taken = [turns.to_edge[t] for t in naive.turns_out(turns, here)].index(there)
            want += routes.weight[row] * (q[taken] - naive.log_sum(q))
        if ending == "stop":
            want -= routes.weight[row] * naive.log_sum(naive.choices(turns, reward, goals, ending, route[-1], best))
    value, _ = log_likelihood(
        planner_for(network, ending, 1), reward, make_batch(routes, PlannerConfig(ending=ending, horizon=1))
    )
    assert value == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_large_horizon_is_maxent(case, ending):
    network, reward, made = case
    reward = 1.5 * reward
    exact, far = planner_for(network, ending, "infinity"), planner_for(network, ending, 300)
    want, slope = log_likelihood(exact, reward, made[ending].batch(ending))
    value, gradient = log_likelihood(far, reward, make_steps(made[ending], ending).batch)
    assert value == pytest.approx(want, abs=1e-8)
    np.testing.assert_allclose(gradient, slope, atol=1e-8)
    destinations = made[ending].batch(ending).destinations
    np.testing.assert_allclose(far.values(reward, destinations), exact.values(reward, destinations), atol=1e-8)


@pytest.mark.parametrize("ending", ENDINGS)
def test_routes_that_share_a_destination_add_up(case, ending):
    network, reward, made = case
    routes = made[ending]
    solver = RecedingHorizon(network.turns, 4)
    value, gradient = solver.log_likelihood(reward, make_steps(routes, ending).batch)
    singles = [
        solver.log_likelihood(reward, make_steps(routes.take(np.array([row])), ending).batch)
        for row in range(len(routes))
    ]
    assert len(make_steps(routes, ending).batch.destinations) < len(routes)
    assert value == pytest.approx(sum(one[0] for one in singles), rel=1e-12)
    np.testing.assert_allclose(gradient, sum(one[1] for one in singles), atol=1e-11)


def test_blocks_of_destinations_do_not_matter(case, monkeypatch):
    network, reward, made = case
    batch = make_steps(made["stop"], "stop").batch
    whole = RecedingHorizon(network.turns, 3).log_likelihood(reward, batch)
    monkeypatch.setattr("trodden.irl.horizons._BLOCK_TURNS", 1)
    one_by_one = RecedingHorizon(network.turns, 3).log_likelihood(reward, batch)
    assert one_by_one[0] == pytest.approx(whole[0], rel=1e-13)
    np.testing.assert_allclose(one_by_one[1], whole[1], atol=1e-12)


def test_no_spectral_condition_but_positive_costs(case):
    network, _, made = case
    batch = make_steps(made["arrival"], "arrival").batch
    cheap = np.full(network.turns.num_turns, -0.05)
    with pytest.raises(InfeasibleRewardError):
        log_likelihood(planner_for(network, "arrival", "infinity"), cheap, made["arrival"].batch("arrival"))
    value, gradient = log_likelihood(planner_for(network, "arrival", 10), cheap, batch)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    with pytest.raises(InfeasibleRewardError):
        log_likelihood(planner_for(network, "arrival", 5000), cheap, batch)
    cheap[3] = 0.0
    with pytest.raises(NonPositiveCostError):
        log_likelihood(planner_for(network, "arrival", 10), cheap, batch)


def test_ties_take_the_first_turn():
    """A fork whose two ways cost the same up to rounding: 0 -> {1, 2} -> 3 -> 4."""
    network = make_network([0, 1, 1, 2, 3, 4], [1, 2, 3, 4, 4, 5])
    turns = network.turns
    destination = make_destinations(network.graph, np.array([5], np.int32), "arrival")
    for nudge in (0.0, 1e-15, -1e-15):
        reward = np.full(turns.num_turns, -1.0)
        reward[0] += nudge
        value = best_path_values(turns, reward, destination).T
        chosen = best_turns(turns, reward, value)
        assert chosen[0, 0] == 0
        start = np.zeros((1, 6))
        start[0, 0] = 2.0
        flow = flow_down(turns, chosen, start)
        assert flow[0] == 2.0
        assert flow.sum() == 6.0


# ------------------------------------------------------------------------------------------ horizon infinity's start


@pytest.mark.parametrize("ending", ENDINGS)
def test_maxent_plus_plus_has_the_same_values_without_logarithms(ending, monkeypatch):
    network = make_grid(8, 8)
    reward = -np.random.default_rng(2).uniform(1.6, 2.4, network.turns.num_turns)
    destinations = make_destinations(network.graph, np.array([3, 40], np.int32), ending)
    cold = SweepSolver(network.turns).values(reward, destinations)
    monkeypatch.setattr("trodden.irl.soft_values.solve_log_values", None)
    planner = planner_for(network, ending, "infinity", start="best_path", solver="sweeps")
    np.testing.assert_allclose(planner.values(reward, destinations), cold.value, atol=1e-9)


# ------------------------------------------------------------------------------------------ horizon 0


def simple_routes(turns, origin, goals):
    """Every route without a repeated edge."""
    stack = [[origin]]
    while stack:
        route = stack.pop()
        if route[-1] in goals:
            yield route
            continue
        stack += [
            [*route, int(turns.to_edge[t])] for t in naive.turns_out(turns, route[-1]) if turns.to_edge[t] not in route
        ]


def listed_margin_loss(network, cost, routes, batch_margin, ending):
    turns, total = network.turns, 0.0

    def price(route):
        return cost[turns.find(np.array(route[:-1]), np.array(route[1:]))].sum()

    for row in range(len(routes)):
        demonstration = routes.route(row).tolist()
        own = set(demonstration[1:])
        best = min(
            price(route) - batch_margin[sorted(own - set(route[1:]))].sum()
            for route in simple_routes(turns, demonstration[0], goals_of(network, demonstration, ending))
        )
        total += routes.weight[row] * (price(demonstration) - best)
    return total


@pytest.mark.parametrize(("ending", "margin_by"), list(itertools.product(ENDINGS, ("length", "count"))))
def test_margin_loss_equals_listed_routes_and_its_slope_differences(ending, margin_by):
    network = make_grid(2, 4)
    random = np.random.default_rng(3)
    lengths = dataclasses.replace(network.attributes, length_m=random.uniform(50, 300, network.graph.num_edges))
    network = dataclasses.replace(network, attributes=lengths)
    routes = simulate(network, 8, taste={"constant": -1.2}, seed=1, num_destinations=3, ending=ending)
    routes = routes.for_ending(ending)
    # Walks that come back to an edge are no simple routes: the listing would miss what they share twice.
    routes = routes.take(np.array([r for r in range(len(routes)) if len(set(routes.route(r))) == len(routes.route(r))]))
    routes = dataclasses.replace(routes, weight=random.uniform(0.5, 2.0, len(routes)))
    batch = route_batch(routes, PlannerConfig(horizon=0, ending=ending, margin=0.7, margin_by=margin_by))
    cost = random.uniform(0.5, 2.0, network.turns.num_turns)
    loss = MarginLoss(network.turns, batch)
    value, slope = loss(cost)
    assert value >= 0
    assert value == pytest.approx(listed_margin_loss(network, cost, routes, batch.margin, ending), abs=1e-10)
    for _ in range(10):
        direction = random.normal(size=len(cost))
        numeric = (loss(cost + 1e-7 * direction)[0] - loss(cost - 1e-7 * direction)[0]) / 2e-7
        assert slope @ direction == pytest.approx(numeric, rel=1e-5, abs=1e-6)
        other = np.abs(cost + direction) + 0.1  # a subgradient supports the loss from below, kinks or not
        assert loss(other)[0] >= value + slope @ (other - cost) - 1e-9


def test_bundle_finds_a_constrained_minimum_and_stays_inside():
    """max(|x - 1|, 2 |y + 3|) with y >= -1 (as a cost): the minimum is 4, on the edge."""
    seen = []

    def objective(x):
        seen.append(x.copy())
        first, second = abs(x[0] - 1), 2 * abs(x[1] + 3)
        if first >= second:
            return first, np.array([np.sign(x[0] - 1), 0.0])
        return second, np.array([0.0, 2 * np.sign(x[1] + 3)])

    row = np.array([[0.0, -1.0]])

    def violated(x):
        return row if x[1] < -1 - 1e-9 else np.zeros((0, 2))

    found = minimise(
        objective,
        np.array([9.0, 4.0]),
        violated=violated,
        minimum=-1.0,
        tolerance=1e-7,
        max_steps=100,
        on_step=lambda x: None,
    )
    assert found.value == pytest.approx(4.0, abs=1e-5)
    assert all(x[1] >= -1 - 1e-9 for x in seen)


# ------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize(("ending", "horizon"), list(itertools.product(ENDINGS, (0, 1, 10))))
def test_every_horizon_trains_serves_and_is_evaluated(ending, horizon):
    network = make_grid(5, 5)
    length = np.random.default_rng(3).uniform(50, 400, network.graph.num_edges).astype(np.float32)
    attributes = dataclasses.replace(network.attributes, length_m=length, travel_time_s=length / 8.0)
    network = dataclasses.replace(network, attributes=attributes)
    taste = {"travel_time_min": -3.0, "constant": -1.3}
    routes = simulate(network, 200, taste=taste, seed=7, num_destinations=8, ending=ending)
    document = {"reward": {"features": list(taste)}, "planner": {"ending": ending, "horizon": horizon}, **FAST}
    model = fit(network, routes, parse_config(document, where="test"))
    assert model.turn_cost.min() > 0
    learned = evaluate(model, routes).models["learned"]
    assert learned.exact > 0.3
    errors = [c.standard_error for c in model.coefficients]
    if horizon == 0:
        assert learned.nll_per_route is None
        assert model.summary["log_likelihood"] is None
        assert errors == [None, None]
    else:
        assert model.summary["is_converged"]
        assert learned.nll_per_route == pytest.approx(-model.summary["log_likelihood_per_route"], rel=1e-9)
        assert all(errors)
    if horizon == 10:
        for name, value in taste.items():
            assert model.coefficient(name) == pytest.approx(value, rel=0.25)


def test_positivity_binds_at_finite_horizons():
    """Travellers who love an edge kind: the free optimum would pay them, the minimum cost holds instead."""
    network = make_grid(4, 4)
    scenic = (np.random.default_rng(8).random(network.graph.num_edges) < 0.25).astype(float)
    network = dataclasses.replace(network, attributes=dataclasses.replace(network.attributes, extra={"scenic": scenic}))
    routes = simulate(network, 300, taste={"scenic": 1.4, "constant": -2.2}, seed=3, num_destinations=8)
    document = {"reward": {"features": ["scenic", "constant"], "minimum_cost": 1.0}, "planner": {"horizon": 3}, **FAST}
    model = fit(network, routes, parse_config(document, where="test"))
    assert model.turn_cost.min() >= 1.0
    assert model.summary["bound_turns"] > 0
    assert model.summary["kkt_residual"] < 1e-3
    names = make_features(network, ("scenic", "constant")).names
    assert all(model.coefficient(name) is not None for name in names)


# ------------------------------------------------------------------------------------------ configuration


def test_presets_expand_and_contradictions_are_refused():
    def planner(**given):
        return parse_config({"planner": given}, where="test").planner

    assert planner().horizon == "infinity"
    want = {"mmp": 0, "birl": 1, "rhip": 10, "maxent": "infinity", "maxent++": "infinity"}
    assert {name: planner(preset=name).horizon for name in want} == want
    assert planner(preset="rhip", horizon=4).horizon == 4
    assert planner(preset="maxent").start == "nothing"
    assert planner(preset="maxent++").start == planner(horizon=3).start == "best_path"
    for wrong in (
        {"preset": "birl", "horizon": 2},
        {"preset": "rhip", "horizon": 0},
        {"preset": "rhip", "horizon": "infinity"},
        {"preset": "maxent", "start": "best_path"},
        {"preset": "irl"},
        {"horizon": -1},
        {"horizon": 2.5},
        {"horizon": True},
        {"horizon": "ten"},
        {"horizon": 10, "start": "nothing"},
        {"horizon": 10, "solver": "sweeps"},
        {"horizon": 10, "margin": 2.0},
        {"margin_by": "count"},
    ):
        with pytest.raises(ConfigurationError, match="planner"):
            planner(**wrong)


def test_a_configuration_survives_its_own_file(tmp_path):
    from trodden.core.config import read_config

    for given in ({"preset": "mmp", "margin": 2.0}, {"horizon": 10}, {"preset": "maxent++"}, {}):
        config = parse_config({"planner": given}, where="test")
        file = tmp_path / "config.toml"
        file.write_text(config.to_toml())
        assert read_config(file) == config


def test_repeated_routes_weigh_as_one(case):
    network, reward, made = case
    routes = made["arrival"].take(np.array([0, 0, 1]))
    batch = route_batch(routes, PlannerConfig(horizon=0))
    assert len(batch.weight) == 2
    assert batch.weight.sum() == pytest.approx(routes.weight.sum())
    one = demonstrations_from_edges(network, [routes.route(0)], ["r"])
    single = MarginLoss(network.turns, route_batch(one, PlannerConfig(horizon=0)))(-reward)[0]
    assert single >= 0
