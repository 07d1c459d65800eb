"""Finite horizons in corridors against the recursion of the whole map, and horizon 0 against its margin loss."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from strategies import make_grid
from trodden.core.config import PlannerConfig, parse_config
from trodden.core.errors import InfeasibleRewardError, NonPositiveCostError, UnreachableError
from trodden.irl.batches import make_batch
from trodden.irl.corridor_horizons import CorridorHorizon
from trodden.irl.likelihood import log_likelihood, route_log_probabilities
from trodden.irl.planner import Planner
from trodden.irl.simulation import simulate
from trodden.irl.training import fit

ENDINGS = ("arrival", "stop")
HORIZONS = (0, 1, 2, 5, 10)


def make_case(ending, *, routes=50, size=7, scale=1.0):
    """(network, reward, routes) on a grid with random costs; wandering routes, some twice, weighted."""
    network = make_grid(size, size)
    random = np.random.default_rng(4)
    reward = -random.uniform(0.6, 2.0, network.turns.num_turns) * scale
    drawn = simulate(network, routes, taste={"constant": -1.4}, seed=2, num_destinations=9, ending=ending)
    drawn = drawn.for_ending(ending)
    drawn = drawn.take(np.concatenate([np.arange(len(drawn)), [3, 5]]))
    return network, reward, dataclasses.replace(drawn, weight=random.uniform(0.5, 2.0, len(drawn)))


def planner_for(network, **settings):
    return Planner(network.turns, PlannerConfig(**settings), edge_id=network.graph.edge_id)


def both(network, reward, routes, **settings):
    """(value, gradient) of the whole map and in corridors."""
    return [
        log_likelihood(planner := planner_for(network, **some), reward, make_batch(routes, planner.config))
        for some in (settings, settings | {"solver": "corridors"})
    ]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("horizon", HORIZONS)
def test_a_corridor_gives_the_value_and_gradient_of_the_whole_map(ending, horizon):
    """At horizon 0 exactly; at others to about exp(-25)."""
    network, reward, routes = make_case(ending)
    (value, slope), (found, found_slope) = both(network, reward, routes, ending=ending, horizon=horizon)
    assert found == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(found_slope, slope, atol=1e-8)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("horizon", [1, 3, 10])
def test_a_narrow_corridor_is_far_off_and_a_wide_one_near(ending, horizon):
    network, reward, routes = make_case(ending)
    exact, _ = log_likelihood(
        planner := planner_for(network, ending=ending, horizon=horizon), reward, make_batch(routes, planner.config)
    )
    batch = make_batch(routes, PlannerConfig(ending=ending, horizon=horizon, solver="corridors"))
    errors = [
        abs(CorridorHorizon(network.turns, horizon, tau=tau).log_likelihood(reward, batch)[0] - exact)
        for tau in (0.5, 3.0, 9.0, 18.0)
    ]
    assert errors[0] > 1e-2
    assert errors[1] < errors[0] / 2
    assert errors[2] <= errors[1] / 10
    assert errors[3] < 1e-5


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("horizon", HORIZONS)
def test_the_gradient_is_the_slope(ending, horizon):
    """A step so short that no search changes what it finds: the corridors' limits lie between states."""
    network, reward, routes = make_case(ending, routes=8, size=4)
    batch = make_batch(routes, PlannerConfig(ending=ending, horizon=horizon, solver="corridors"))
    solver = CorridorHorizon(network.turns, horizon, tau=6.0)
    _, slope = solver.log_likelihood(reward, batch)
    for turn in range(0, network.turns.num_turns, 5):
        step = np.zeros_like(reward)
        step[turn] = 1e-6
        high, low = (solver.log_likelihood(reward + sign * step, batch)[0] for sign in (1, -1))
        assert slope[turn] == pytest.approx((high - low) / 2e-6, abs=1e-5)


@pytest.mark.parametrize("ending", ENDINGS)
def test_probabilities_of_routes_are_those_of_the_whole_map(ending):
    network, reward, routes = make_case(ending)
    whole, corridors = (
        route_log_probabilities(
            planner_for(network, ending=ending, horizon=3, **more), reward, routes, routes.batch(ending)
        )
        for more in ({}, {"solver": "corridors"})
    )
    np.testing.assert_allclose(corridors, whole, atol=1e-9)
    assert len(corridors) == len(routes)


def test_threads_do_not_change_a_bit():
    network, reward, routes = make_case("arrival", routes=120)
    batch = make_batch(routes, PlannerConfig(horizon=4, solver="corridors"))
    one, two = (CorridorHorizon(network.turns, 4, threads=n).log_likelihood(reward, batch) for n in (1, 3))
    assert one[0] == two[0]
    assert one[1].tobytes() == two[1].tobytes()


def test_what_cannot_be_is_refused():
    network, reward, routes = make_case("arrival")
    batch = make_batch(routes, PlannerConfig(horizon=2, solver="corridors"))
    with pytest.raises(NonPositiveCostError):
        CorridorHorizon(network.turns, 2).log_likelihood(reward * 0, batch)
    with pytest.raises(UnreachableError, match="settled 3 states"):
        CorridorHorizon(network.turns, 2, max_settled=3).log_likelihood(reward, batch)
    with pytest.raises(InfeasibleRewardError):
        CorridorHorizon(network.turns, 2500, tau=200.0).log_likelihood(reward * 0.01, batch)
    with pytest.raises(ValueError, match="horizon 0"):
        CorridorHorizon(network.turns, 0).log_probabilities(reward, batch)


@pytest.mark.parametrize("horizon", [0, 5])
def test_training_in_corridors_finds_what_training_on_the_whole_map_does(horizon):
    network = make_grid(6, 6)
    routes = simulate(network, 80, taste={"travel_time_min": -20.0, "constant": -1.0}, seed=3, num_destinations=20)
    document = {"planner": {"horizon": horizon}, "baselines": {"budget": 0}}
    whole = fit(network, routes, parse_config(document, where="test"))
    document["planner"]["solver"] = "corridors"
    local = fit(network, routes, parse_config(document, where="test"))
    assert local.summary["solver"] == "corridors"
    for one, other in zip(local.coefficients, whole.coefficients, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-3, abs=1e-4)
