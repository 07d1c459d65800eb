"""Influence of demonstrations: equal to leaving them out for real, for every kind of reward, ending and grouping."""

from __future__ import annotations

import dataclasses
import json

import irl_oracles as naive
import numpy as np
import pytest
from regional_city import TASTE, make_city
from scipy import stats
from strategies import make_network
from trodden import influence
from trodden.core.config import parse_config
from trodden.core.errors import ConfigurationError, NoDemonstrationsError, WrongNetworkError
from trodden.irl.insight import curvature as curvatures
from trodden.irl.insight.curvature import SampledCurvature, curvature_of
from trodden.irl.insight.influence import InfluenceStudy
from trodden.irl.model import RegionSummary
from trodden.irl.rewards.building import reward_of
from trodden.irl.simulation import simulate
from trodden.irl.training import fit

FAST = {"baselines": {"budget": 0}}
CONVERGED = {"validation_share": 0.0, "max_iterations": 500}


@pytest.fixture(scope="module")
def city():
    return make_city(5, 5)


def draw(city, count=80, ending="arrival", seed=3):
    routes = simulate(city, count, taste=TASTE, seed=seed, num_destinations=6, ending=ending)
    random = np.random.default_rng(seed)
    who = [None if row % 9 == 0 else f"traveller {row % 12}" for row in range(count)]
    weight = random.choice([1.0, 2.0, 0.5], count)
    return dataclasses.replace(routes, traveller=who, weight=weight)


def learned(city, routes, reward=None, training=None, **planner):
    document = {
        "reward": {"features": list(TASTE), **(reward or {})},
        "training": training or ({} if reward is None else CONVERGED),
        "planner": planner,
        **FAST,
    }
    return fit(city, routes, parse_config(document, where="test"))


@pytest.fixture(scope="module")
def linear(city):
    routes = draw(city)
    return learned(city, routes), routes


@pytest.fixture(scope="module")
def corrected(city):
    routes = draw(city)
    return learned(city, routes, {"corrections": ["edge", "turn"]}), routes


def test_it_is_one_over_n_times_the_gap_from_the_mean():
    """By hand: one decision between two roads, a constant's coefficient, so a logit with a single number.

    From edge 0 a street of one edge or one of two: the second costs one constant more, p = 1 / (1 + e^-theta'), and
    with k of n travellers on the short one the maximum is at p = k / n.
    """
    network = make_network([0, 1, 1, 2, 3], [1, 2, 3, 4, 2])
    short, long = [0, 1, 3], [0, 2, 4, 3]
    routes = naive.as_demonstrations(network, [short] * 6 + [long] * 4)
    config = parse_config({"reward": {"features": ["constant"]}, **FAST}, where="test")
    model = fit(network, routes, config)
    theta = -np.log(6 / 4)
    assert model.coefficient("constant") == pytest.approx(theta, abs=1e-8)
    # -log p(short) = log(1 + e^theta), of which the second derivative is p q: H = 10 x 0.24 = 2.4.
    # Its first derivative at one of the short is q = 0.4, at one of the long q - 1 = -0.6.
    found = influence(model, routes, on="constant")
    np.testing.assert_allclose(found.change[:6], 0.4 / 2.4, rtol=1e-6)
    np.testing.assert_allclose(found.change[6:], -0.6 / 2.4, rtol=1e-6)
    # Refitted: 5 of 9, and 6 of 9.
    real = InfluenceStudy(model, routes).refit(
        [InfluenceStudy(model, routes).on_parameter("constant")], only=["0", "9"]
    )
    assert real["0"][0] == pytest.approx(-np.log(5 / 4) - theta, abs=1e-6)
    assert real["9"][0] == pytest.approx(-np.log(6 / 3) - theta, abs=1e-6)


@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_small_weights_left_out_are_a_derivative(city, ending):
    """With a thousandth of a route's weight taken off, refit and estimate agree to the second order left out."""
    routes = draw(city, 60, ending)
    weight = routes.weight.copy()
    weight[7] = 1e-3
    routes = dataclasses.replace(routes, weight=weight)
    model = learned(city, routes, ending=ending)
    study = InfluenceStudy(model, routes)
    targets = [study.on_parameter(name) for name in TASTE] + [study.on_route(routes.take(np.array([11])))]
    real = study.refit(targets, only=[routes.route_id[7]])[routes.route_id[7]]
    got = [study.influence(target).change[7] for target in targets]
    np.testing.assert_allclose(got, real, rtol=2e-3, atol=1e-9)
    assert np.abs(real).min() > 1e-7


@pytest.mark.parametrize(
    "reward",
    [{"corrections": ["turn"]}, {"corrections": ["edge"]}, {"mlp_width": 2, "mlp_depth": 1, "mlp_penalty": 2.0}],
)
def test_it_is_a_derivative_for_rewards_with_parts_too(city, reward):
    routes = draw(city, 60)
    weight = routes.weight.copy()
    weight[7] = 1e-2
    routes = dataclasses.replace(routes, weight=weight)
    model = learned(city, routes, reward, {**CONVERGED, "gradient_tolerance": 1e-10})
    study = InfluenceStudy(model, routes)
    target = study.on_route(routes.take(np.array([11])))
    real = study.refit([target], only=[routes.route_id[7]])[routes.route_id[7]][0]
    found = study.influence(target)
    assert found.damping == 0
    assert found.residual < 1e-3
    assert abs(real) > 1e-6
    assert found.change[7] == pytest.approx(real, rel=0.15)


@pytest.mark.parametrize("which", ["linear", "corrected"])
def test_it_ranks_travellers_as_refitting_does(which, request):
    model, routes = request.getfixturevalue(which)
    study = InfluenceStudy(model, routes)
    targets = [study.on_parameter("travel_time_min"), study.on_route(routes.take(np.array([5])))]
    names, _ = study.groups("traveller")
    wanted = [name for name in names if name.startswith("traveller")]
    real = study.refit(targets, group="traveller", only=wanted)
    for at, target in enumerate(targets):
        found = study.influence(target, group="traveller")
        guess = [found.change[found.groups.index(name)] for name in wanted]
        truth = [real[name][at] for name in wanted]
        # With two parameters per route the first order is a rough one; benchmarks/influence.py has real sizes.
        least = 0.95 if which == "linear" else 0.75
        assert stats.spearmanr(guess, truth).statistic > least
        assert np.corrcoef(guess, truth)[0, 1] > least


def test_groups_add_up_their_routes(linear):
    model, routes = linear
    study = InfluenceStudy(model, routes)
    target = study.on_parameter("toll")
    single, by = study.influence(target), study.influence(target, group="traveller")
    who = [name or f"route {route}" for name, route in zip(routes.traveller, routes.route_id, strict=True)]
    for name, change, count in zip(by.groups, by.change, by.num_routes, strict=True):
        rows = [row for row, one in enumerate(who) if one == name]
        assert change == pytest.approx(single.change[rows].sum())
        assert count == len(rows)
    # Those who are not named stand for themselves.
    assert sum(name.startswith("route ") for name in by.groups) == sum(name is None for name in routes.traveller)
    own = study.influence(target, group=["all"] * len(routes))
    # At an optimum all scores cancel: leaving out everybody is nothing to first order.
    assert own.change[0] == pytest.approx(0.0, abs=1e-6)
    assert single.still_to_go == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ConfigurationError, match="3 names of groups for 80"):
        study.influence(target, group=["a", "b", "c"])
    with pytest.raises(NoDemonstrationsError):
        study.refit([target], group=["all"] * len(routes))


def test_conjugate_gradients_invert_the_exact_hessian(linear):
    """The same plain model through the other door: differences of gradients, against the exact second derivatives."""
    model, routes = linear
    exact = curvature_of(model, routes)
    reward, members = reward_of(model)
    other = SampledCurvature(model, reward, members[0], routes)
    right = np.array([0.3, -1.0, 0.2])
    one, two = exact.solve(right), other.solve(right)
    np.testing.assert_allclose(two.direction, one.direction, rtol=1e-4)
    assert two.num_products <= 6
    np.testing.assert_allclose(other.slopes(right), exact.slopes(right), atol=1e-6)
    np.testing.assert_allclose(other.gradient(), exact.gradient(), atol=1e-6)
    route = routes.take(np.array([2]))
    np.testing.assert_allclose(other.route_gradient(route), exact.route_gradient(route), atol=1e-9)
    np.testing.assert_allclose(exact.route_gradient(route) @ right, exact.slopes(right)[2], rtol=1e-8)


def test_negative_curvature_is_damped_and_said(corrected, monkeypatch):
    model, routes = corrected
    study = InfluenceStudy(model, routes)
    size = len(study.curvature.parameters)
    diagonal = np.where(np.arange(size) == 0, -0.5, 1.0)
    monkeypatch.setattr(curvatures.SampledCurvature, "_product", lambda self, direction: diagonal * direction)
    right = np.ones(size)
    found = study.curvature.solve(right)
    assert found.damping == 1.0
    np.testing.assert_allclose(found.direction, right / (diagonal + 1.0), rtol=1e-5)
    text = study.influence(study.on_parameter("travel_time_min")).table()
    assert "the Hessian is not positive definite: damped by 1 nats" in text


def test_a_correction_moves_most_with_those_who_drove_there(corrected):
    model, routes = corrected
    study = InfluenceStudy(model, routes)
    turn, row = routes.turns()
    used = np.bincount(turn, minlength=model.network.turns.num_turns)
    rare = int(np.intersect1d(np.flatnonzero(used == 1), model.parts["turn"])[0])
    ids, turns = model.network.graph.edge_id, model.network.turns
    name = f"turn:{ids[turns.from_edge[rare]]},{ids[turns.to_edge[rare]]}"
    found = study.influence(study.on_parameter(name))
    at = int(np.flatnonzero(model.parts["turn"] == rare)[0])
    column = len(TASTE) + len(model.parts["edge"]) + at
    assert found.value == model.parts["members"][0][column]
    only = routes.route_id[int(row[np.flatnonzero(turn == rare)[0]])]
    assert found.groups[found.order()[0]] == only
    assert found.change[found.order()[0]] > 0  # without him nobody says that the turn is cheap


def test_what_is_no_parameter_is_named(corrected):
    model, routes = corrected
    study = InfluenceStudy(model, routes)
    for name in ("tol", "edge:0", "edge:x", "turn:1000", "turn:1000,1000", "mlp:0"):
        with pytest.raises(ConfigurationError, match=r"no parameter .*travel_time_min.*turn:ID,ID \(\d+ with"):
            study.on_parameter(name)


def test_a_parameter_that_the_routes_do_not_determine_is_refused(city):
    extra = {**city.attributes.extra, "never": np.zeros(city.graph.num_edges)}
    network = dataclasses.replace(city, attributes=dataclasses.replace(city.attributes, extra=extra))
    routes = draw(network, 40)
    document = {"reward": {"features": [*TASTE, "never"]}, **FAST}
    model = fit(network, routes, parse_config(document, where="test"))
    with pytest.raises(ConfigurationError, match="do not determine"):
        influence(model, routes, on="never")
    plain = influence(learned(network, routes), routes, on="toll")
    np.testing.assert_allclose(influence(model, routes, on="toll").change, plain.change, rtol=1e-5, atol=1e-9)


def test_a_finite_horizon_has_influences_too(city):
    routes = draw(city, 60)
    weight = routes.weight.copy()
    weight[7] = 1e-3
    routes = dataclasses.replace(routes, weight=weight)
    model = learned(city, routes, horizon=2)
    study = InfluenceStudy(model, routes)
    target = study.on_parameter("constant")
    real = study.refit([target], only=[routes.route_id[7]])[routes.route_id[7]][0]
    assert study.influence(target).change[7] == pytest.approx(real, rel=0.05)
    route = routes.take(np.array([3]))
    right = np.array([0.2, -0.5, 1.0])
    slope = study.curvature.slopes(right)[3]
    assert study.curvature.route_gradient(route) @ right == pytest.approx(slope, rel=1e-5)


def test_other_routes_rewards_and_networks_are_refused(city, linear, corrected):
    model, routes = linear
    with pytest.raises(ConfigurationError, match="not the routes that the model was learned from"):
        influence(model, routes.take(np.arange(79)), on="toll")
    other = dataclasses.replace(routes, network=dataclasses.replace(city, checksum="1" * 64))
    with pytest.raises(WrongNetworkError):
        influence(model, other, on="toll")
    with pytest.raises(ConfigurationError, match="horizon 0"):
        influence(learned(city, routes, horizon=0), routes, on="toll")
    with pytest.raises(ConfigurationError, match="2 members"):
        influence(learned(city, routes, {"members": 2}, {"max_iterations": 2}), routes, on="toll")
    region = RegionSummary(0, 1, 1, model.coefficients)
    with pytest.raises(ConfigurationError, match="a reward per region"):
        influence(model.replace(regions=(region, region)), routes, on="toll")
    nameless = dataclasses.replace(routes, traveller=None)
    with pytest.raises(ConfigurationError, match="column 'traveller'"):
        influence(model, nameless, on="toll", group="traveller")
    with pytest.raises(ConfigurationError, match="one route at a time, not 2"):
        influence(model, routes, on=routes.take(np.arange(2)))


def test_a_run_stopped_early_says_so(city):
    routes = draw(city)
    model = learned(city, routes, {"corrections": ["turn"]}, {"max_iterations": 3, "validation_share": 0.0})
    study = InfluenceStudy(model, routes)
    found = study.influence(study.on_parameter("constant"))
    assert not found.is_at_optimum
    assert "stopped before its optimum" in found.table()
    assert "stopped" not in influence(*learned_to_the_end(city, routes), on="constant").table()


def learned_to_the_end(city, routes):
    return learned(city, routes, {"corrections": ["turn"]}), routes


def test_table_and_json(linear):
    model, routes = linear
    found = influence(model, routes, on="travel_time_min")
    text = found.table(4)
    assert max(map(len, text.splitlines())) <= 80
    assert "simulated routes" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("simulated-")]
    assert len(rows) == 4
    largest = np.argsort(-np.abs(found.change), kind="stable")[:4]
    assert [row[0] for row in rows] == [found.groups[at] for at in largest]
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [one["name"] for one in document["groups"]] == [found.groups[at] for at in found.order()]
    assert document["groups"][0]["change"] == found.change[largest[0]]
