"""Second derivatives, scores of routes and sandwiches against finite differences and dense algebra."""

from __future__ import annotations

import dataclasses

import dense
import irl_oracles as naive
import numpy as np
import pytest
from strategies import make_grid
from trodden.core.config import PlannerConfig
from trodden.core.errors import InfeasibleRewardError
from trodden.irl.derivatives import value_derivatives
from trodden.irl.features import make_features
from trodden.irl.inference import (
    clustered_outer_product,
    covariance,
    outer_product,
    route_scores,
)
from trodden.irl.likelihood import log_likelihood, route_log_probabilities
from trodden.irl.newton import minimise
from trodden.irl.planner import Planner
from trodden.irl.simulation import simulate

TASTE = {"travel_time_min": -2.0, "toll": -0.7, "constant": -1.4}
THETA = np.array(list(TASTE.values()))


def problem(ending, num_routes=60, solver="auto"):
    network = make_grid(4, 4)
    random = np.random.default_rng(5)
    length = random.uniform(50, 400, network.graph.num_edges).astype(np.float32)
    toll = (random.random(network.graph.num_edges) < 0.3).astype(float)
    attributes = dataclasses.replace(
        network.attributes, length_m=length, travel_time_s=length / 8.0, extra={"toll": toll}
    )
    network = dataclasses.replace(network, attributes=attributes)
    routes = simulate(network, num_routes, taste=TASTE, seed=1, num_destinations=6, ending=ending)
    routes = dataclasses.replace(routes, weight=random.uniform(0.5, 3, num_routes))
    features = make_features(network, tuple(TASTE))
    return network, routes, features, Planner(network.turns, PlannerConfig(ending=ending, solver=solver))


def naive_log_probability(network, routes, features, theta, ending, row):
    """One route's log-probability by a dense solve of its own."""
    route = routes.route(row).tolist()
    reward = features.reward(theta)
    goals = naive.goals_of(network, naive.destination_of(network, route, ending), ending)
    turns = network.turns.find(np.array(route[:-1], np.int32), np.array(route[1:], np.int32))
    return reward[turns].sum() - dense.dense_values(network.turns, reward, goals, ending)[route[0]]


@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_scores_are_the_slopes_of_each_routes_own_dense_likelihood(ending):
    network, routes, features, planner = problem(ending, num_routes=20)
    scores = route_scores(planner, features, THETA, routes, routes.batch(ending))
    for row in range(len(routes)):
        for column, step in enumerate(np.eye(3) * 1e-5):
            high = naive_log_probability(network, routes, features, THETA + step, ending, row)
            low = naive_log_probability(network, routes, features, THETA - step, ending, row)
            assert scores[row, column] == pytest.approx((high - low) / 2e-5, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_scores_add_up_to_the_gradient_and_the_hessian_is_its_slope(ending):
    _, routes, features, planner = problem(ending)
    batch = routes.batch(ending)
    scores = route_scores(planner, features, THETA, routes, batch)
    gradient = features.value.T @ log_likelihood(planner, features.reward(THETA), batch)[1]
    np.testing.assert_allclose(routes.weight @ scores, gradient, rtol=1e-9, atol=1e-9)
    found = planner.derivatives(features.reward(THETA), batch, features.value)
    slopes = [
        features.value.T
        @ (
            log_likelihood(planner, features.reward(THETA + step), batch)[1]
            - log_likelihood(planner, features.reward(THETA - step), batch)[1]
        )
        / 2e-5
        for step in np.eye(3) * 1e-5
    ]
    np.testing.assert_allclose(-found.total_hessian, slopes, rtol=1e-5, atol=1e-5)
    assert np.linalg.eigvalsh(found.total_hessian).min() > 0
    each = route_log_probabilities(planner, features.reward(THETA), routes, batch)
    reached = features.reward(THETA)[routes.turns()[0]]
    along = np.bincount(routes.turns()[1], reached, minlength=len(routes))
    np.testing.assert_allclose(along - found.value[routes.trip_of_route(ending)], each, rtol=1e-10)


@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_scores_by_sweeps_agree_with_those_by_the_factorisation(ending):
    _, routes, features, planner = problem(ending, num_routes=20)
    sweeping = Planner(planner._turns, PlannerConfig(ending=ending, solver="sweeps"))
    one = route_scores(planner, features, THETA, routes, routes.batch(ending))
    two = route_scores(sweeping, features, THETA, routes, routes.batch(ending))
    np.testing.assert_allclose(two, one, atol=2e-4)


def test_blocks_and_threads_do_not_change_the_derivatives(monkeypatch):
    _, routes, features, planner = problem("arrival")
    batch = routes.batch("arrival")
    whole = planner.derivatives(features.reward(THETA), batch, features.value)
    monkeypatch.setattr("trodden.irl.derivatives._LARGEST_BLOCK", 1)
    factors = planner._factorization(features.reward(THETA))
    single = value_derivatives(factors, batch, features.value)
    np.testing.assert_allclose(single.total_hessian, whole.total_hessian, rtol=1e-12)
    np.testing.assert_allclose(single.gradient, whole.gradient, rtol=1e-12)


def test_no_derivatives_without_values():
    _, routes, features, planner = problem("stop")
    reward = features.reward(np.array([0.0, 0.0, -0.1]))
    assert not planner.can_factorise(reward, routes.batch("stop"))
    with pytest.raises(InfeasibleRewardError):
        planner.derivatives(reward, routes.batch("stop"), features.value)
    assert not planner.can_factorise(np.full(features.num_turns, 5000.0), routes.batch("stop"))


# ------------------------------------------------------------------------------------------------ sandwiches


def naive_sandwich(information, scores, weight, groups):
    """H^-1 B H^-1 with B summed group by group."""
    outer = np.zeros_like(information)
    for rows in groups:
        total = sum(weight[row] * scores[row] for row in rows)
        outer += np.outer(total, total)
    inverse = np.linalg.inv(information)
    return inverse @ outer @ inverse


def test_sandwiches_are_the_naive_ones():
    random = np.random.default_rng(0)
    scores = random.normal(size=(40, 3))
    ones = np.ones(40)
    information = scores.T @ scores + np.diag([3.0, 1.0, 9.0])
    found = covariance(information, np.zeros((0, 3)))
    want = naive_sandwich(information, scores, ones, [[row] for row in range(40)])
    np.testing.assert_allclose(found.sandwich(outer_product(scores, ones)), want, rtol=1e-10)
    travellers = [None if row % 4 == 0 else f"driver {row % 7}" for row in range(40)]
    names = sorted({name for name in travellers if name})
    groups = [[row] for row in range(40) if travellers[row] is None]
    groups += [[row for row in range(40) if travellers[row] == name] for name in names]
    want = naive_sandwich(information, scores, ones, groups)
    np.testing.assert_allclose(found.sandwich(clustered_outer_product(scores, ones, travellers)), want, rtol=1e-10)


def test_a_weight_of_two_is_two_routes():
    scores = np.random.default_rng(1).normal(size=(10, 2))
    weight = np.array([2.0] * 4 + [1.0] * 6)
    twice = np.concatenate([scores, scores[:4]])
    np.testing.assert_allclose(outer_product(scores, weight), outer_product(twice, np.ones(14)))
    names = [str(row % 3) for row in range(10)]
    np.testing.assert_allclose(
        clustered_outer_product(scores, weight, names),
        clustered_outer_product(twice, np.ones(14), names + names[:4]),
    )
    nobody = clustered_outer_product(scores, weight, [None] * 10)
    np.testing.assert_allclose(nobody, outer_product(scores, weight))


def test_units_do_not_decide_what_is_collinear():
    random = np.random.default_rng(2)
    table = random.normal(size=(100, 2))
    table = np.column_stack([table, table.sum(axis=1)]) * np.array([1e-3, 1e3, 1.0])
    found = covariance(table.T @ table, np.zeros((0, 3)))
    assert found.rank == 2
    assert not found.is_identified.any()


# ------------------------------------------------------------------------------------------------ Newton


@dataclasses.dataclass
class Point:
    loss: float
    gradient: np.ndarray
    hessian: np.ndarray


def test_newton_stays_where_the_loss_exists_and_finds_the_minimum():
    """x - log(x): a full step from 3 would leave the half line on which it exists."""
    asked = []

    def evaluate(x):
        asked.append(x[0])
        return Point(x[0] - np.log(x[0]), 1 - 1 / x, np.diag(1 / x**2)) if x[0] > 0 else None

    found = minimise(evaluate, np.array([3.0]), small_decrement=1e-16, gradient_tolerance=0.0, max_iterations=50)
    assert found.is_converged
    assert found.point[0] == pytest.approx(1.0, abs=1e-7)
    assert min(asked) < 0
    nowhere = minimise(lambda x: None, np.ones(1), small_decrement=1e-9, gradient_tolerance=0.0, max_iterations=5)
    assert not nowhere.is_converged
    short = minimise(evaluate, np.array([0.01]), small_decrement=1e-16, gradient_tolerance=0.0, max_iterations=2)
    assert not short.is_converged
