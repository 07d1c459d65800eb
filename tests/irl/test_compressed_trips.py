"""Trips on compressed graphs: likelihoods and derivatives of every solver as on the original one."""

from __future__ import annotations

import dataclasses
import logging

import dense
import irl_oracles as naive
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import make_grid
from trodden import read_roads
from trodden.core.config import Config, PlannerConfig, parse_config
from trodden.core.errors import ConfigurationError, InfeasibleRewardError
from trodden.graphs.compression import CompressionSteps
from trodden.irl.batches import make_steps
from trodden.irl.compressed_trips import compress_trips
from trodden.irl.derivatives import value_derivatives
from trodden.irl.factorization import Factorization
from trodden.irl.horizons import RecedingHorizon
from trodden.irl.planner import Planner
from trodden.irl.simulation import simulate
from trodden.irl.trips import StepBatch

ENDINGS = ("arrival", "stop")


def planners(network, ending, solver):
    """Without and with compression."""
    return [
        Planner(network.turns, PlannerConfig(ending=ending, solver=solver, compress=compress), edge_id=edge_id)
        for compress, edge_id in ((False, network.graph.edge_id), (True, network.graph.edge_id))
    ]


@settings(max_examples=80, deadline=None)
@given(naive.trip_cases())
def test_likelihood_and_gradient_are_those_of_the_original(case):
    network, reward, ending, routes = case
    batch = routes.batch(ending)
    plain, small = planners(network, ending, "factorization")
    (value, gradient), (found, slope) = (one.log_likelihood(reward, batch) for one in (plain, small))
    want = 0.0
    for row in range(len(routes)):
        route = routes.route(row).tolist()
        goals = naive.goals_of(network, naive.destination_of(network, route, ending), ending)
        turns = network.turns.find(np.array(route[:-1], np.int32), np.array(route[1:], np.int32))
        dense_value = dense.dense_values(network.turns, reward, goals, ending)[route[0]]
        want += routes.weight[row] * (reward[turns].sum() - dense_value)
    assert found == pytest.approx(want, abs=1e-9, rel=1e-9)
    assert found == pytest.approx(value, abs=1e-9, rel=1e-9)
    np.testing.assert_allclose(slope, gradient, atol=1e-9, rtol=1e-9)
    assert small.last_solver == plain.last_solver == "factorization"


@settings(max_examples=5, deadline=None)  # every example compiles its sweeps anew
@given(naive.trip_cases())
def test_sweeps_give_the_same(case):
    network, reward, ending, routes = case
    batch = routes.batch(ending)
    plain, _ = planners(network, ending, "factorization")
    _, small = planners(network, ending, "sweeps")
    (value, counts), (found, visits) = (one.total_value(reward, batch) for one in (plain, small))
    assert found == pytest.approx(value, abs=1e-8)
    np.testing.assert_allclose(visits, counts, atol=1e-8)
    assert small.last_solver == "sweeps"


@settings(max_examples=40, deadline=None)
@given(naive.trip_cases(), st.integers(0, 2**32 - 1))
def test_second_derivatives_are_those_of_the_original(case, seed):
    network, _, ending, routes = case
    random = np.random.default_rng(seed)
    features, theta = random.uniform(0.1, 1.0, (network.turns.num_turns, 3)), np.array([-1.0, -2.0, -1.5])
    reward = features @ theta
    assume(dense.radius_without(network.turns, reward, [], "stop") < 0.97)
    batch = routes.batch(ending)
    _, small = planners(network, ending, "auto")
    assert small.can_factorise(reward, batch)
    found = small.derivatives(reward, batch, features)
    want = value_derivatives(Factorization(network.turns, reward, ending=ending), batch, features)
    for name in ("value", "gradient", "total_hessian"):
        np.testing.assert_allclose(getattr(found, name), getattr(want, name), atol=1e-8, rtol=1e-8)


@settings(max_examples=40, deadline=None)
@given(naive.trip_cases(), st.sampled_from([1, 2, 5, 20]))
def test_the_component_is_exact_at_finite_horizons(case, horizon):
    """The step that drops edges, by itself; merging would change what a horizon of H turns sees."""
    network, reward, ending, routes = case
    cost = np.abs(reward) + 0.1
    steps = make_steps(routes, ending).batch
    trips = dataclasses.replace(routes.batch(ending), origin=np.unique(network.turns.from_edge[steps.turn]))
    trips = dataclasses.replace(trips, origin=np.unique(np.append(trips.origin, steps.stop_edge)).astype(np.int32))
    only = CompressionSteps(merge=False, dead_ends=False, crossings=False)
    made = compress_trips(network.turns, trips, only)
    small = made.compression
    place = np.full(network.turns.num_turns, -1, np.int32)
    place[small.part] = np.arange(len(small.part), dtype=np.int32)
    moved = StepBatch(
        made.batch.destinations,
        steps.first,
        place[steps.turn],
        steps.weight,
        steps.stop_first,
        small.state_of[steps.stop_edge],
        steps.stop_weight,
    )
    want, gradient = RecedingHorizon(network.turns, horizon).log_likelihood(-cost, steps)
    found, slope = RecedingHorizon(small.turns, horizon).log_likelihood(small.to_turns(-cost), moved)
    assert found == pytest.approx(want, abs=1e-9)
    np.testing.assert_allclose(small.from_turns(slope), gradient, atol=1e-9)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("solver", ["auto", "factorization"])
def test_a_reward_without_values_is_refused_in_the_same_words(ending, solver):
    network = make_grid(4, 4)
    routes = naive.as_demonstrations(network, [naive.random_walk(network.turns, np.random.default_rng(3), 3)])
    reward, said = np.full(network.turns.num_turns, -0.2), []
    for planner in planners(network, ending, solver):
        assert not planner.can_factorise(reward, routes.batch(ending))
        with pytest.raises(InfeasibleRewardError) as caught:
            planner.log_likelihood(reward, routes.batch(ending))
        said.append(str(caught.value))
        with pytest.raises(InfeasibleRewardError):
            planner.derivatives(reward, routes.batch(ending), np.ones((len(reward), 1)))
    assert said[0] == said[1]
    assert set(caught.value.cycle) <= set(network.graph.edge_id.tolist())


def test_sums_of_large_rewards_go_to_the_original():
    network = make_grid(4, 4)
    routes = naive.as_demonstrations(network, [naive.random_walk(network.turns, np.random.default_rng(3), 3)])
    _, planner = planners(network, "stop", "auto")
    with pytest.raises(InfeasibleRewardError):
        planner.log_likelihood(np.full(network.turns.num_turns, 400.0), routes.batch("stop"))


def test_the_radius_is_that_of_the_original_turns():
    network = make_grid(4, 4)
    reward = np.full(network.turns.num_turns, -2.0)
    routes = naive.as_demonstrations(network, [naive.random_walk(network.turns, np.random.default_rng(3), 3)])
    batch = routes.batch("stop")
    for planner in planners(network, "stop", "factorization"):
        planner.total_value(reward, batch)
        want = np.abs(np.linalg.eigvals(dense.dense_matrix(network.turns, reward))).max()
        assert planner.spectral_radius(reward)[0] == pytest.approx(want, abs=1e-4)
        assert planner.spectral_radius(reward, start=np.ones(len(network.graph.tail)))[0] == pytest.approx(
            want, abs=1e-4
        )


def test_it_is_said_once_per_batch_and_left_alone_where_it_cannot_pay(caplog):
    network = make_grid(4, 4)
    walks = [naive.random_walk(network.turns, np.random.default_rng(seed), 3) for seed in (1, 2)]
    batch = naive.as_demonstrations(network, walks).batch("stop")
    reward = np.full(network.turns.num_turns, -2.0)
    for compress, lines in ((True, 1), ("auto", 0), (False, 0)):
        caplog.clear()
        planner = Planner(network.turns, PlannerConfig(ending="stop", compress=compress))
        with caplog.at_level(logging.INFO, "trodden"):
            planner.total_value(reward, batch)
            planner.total_value(2 * reward, batch)
        assert sum("compressed for 2 trips" in record.getMessage() for record in caplog.records) == lines


@pytest.mark.parametrize(
    ("solver", "least"), [("auto", "_WORTH_COMPRESSING"), ("sweeps", "_WORTH_COMPRESSING_FOR_SWEEPS")]
)
def test_large_problems_are_compressed_unasked(solver, least, monkeypatch, caplog):
    network = make_grid(4, 4)
    batch = naive.as_demonstrations(network, [naive.random_walk(network.turns, np.random.default_rng(3), 3)]).batch(
        "stop"
    )
    reward = np.full(network.turns.num_turns, -2.0)
    for size, lines in ((network.turns.num_edges, 1), (network.turns.num_edges + 1, 0)):
        monkeypatch.setattr(f"trodden.irl.planner.{least}", size)
        caplog.clear()
        with caplog.at_level(logging.INFO, "trodden"):
            Planner(network.turns, PlannerConfig(ending="stop", solver=solver)).total_value(reward, batch)
        assert sum("compressed for 1 trips" in record.getMessage() for record in caplog.records) == lines


def test_what_cannot_be_compressed_is_refused_in_the_settings():
    assert Config().planner.compress == "auto"
    assert parse_config({"planner": {"compress": True}}, where="here").planner.compress is True
    with pytest.raises(ConfigurationError, match="compress = true"):
        parse_config({"planner": {"compress": True, "horizon": 3}}, where="here")
    with pytest.raises(ConfigurationError, match="compress"):
        parse_config({"planner": {"compress": "always"}}, where="here")


@pytest.mark.real_data
@pytest.mark.parametrize("ending", ENDINGS)
def test_simulated_trips_on_real_roads_keep_their_likelihood(data_folder, ending):
    network = read_roads(data_folder / "osm" / "portland.osm.pbf")
    taste = {"travel_time_min": -1.5, "is_left": -0.3, "constant": -1.5}
    routes = simulate(network, 60, taste=taste, seed=2, num_destinations=6, ending=ending)
    batch = routes.batch(ending)
    random = np.random.default_rng(1)
    reward = -random.uniform(1.5, 4.0, network.turns.num_turns)
    plain, small = planners(network, ending, "factorization")
    (value, gradient), (found, slope) = (one.log_likelihood(reward, batch) for one in (plain, small))
    assert found == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(slope, gradient, atol=1e-9)
    compression = compress_trips(network.turns, batch).compression
    assert len(compression.state) < network.graph.num_edges / 2
    for row in range(len(routes)):
        route = routes.route(row)
        turns = network.turns.find(route[:-1], route[1:])
        np.testing.assert_array_equal(compression.expand_route(compression.compress_route(turns)), turns)
