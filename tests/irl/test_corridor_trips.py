"""Corridors on compressed graphs: nearer to the full model than on the original ones, with the same errors."""

from __future__ import annotations

import dataclasses
import logging

import irl_oracles as naive
import numpy as np
import pytest
from hypothesis import given, settings
from strategies import make_grid, make_network
from trodden.core.config import PlannerConfig, parse_config
from trodden.core.errors import InfeasibleRewardError, NonPositiveCostError, UnreachableError
from trodden.graphs.compression import CompressionSteps, compress
from trodden.irl.compressed_trips import TripCompressor, compress_trips
from trodden.irl.corridors import CorridorSolver
from trodden.irl.factorization import Factorization
from trodden.irl.features import make_features
from trodden.irl.planner import Planner
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from trodden.irl.turn_costs import CompressedCosts, TurnCosts, linear_costs

ENDINGS = ("arrival", "stop")


def planner_of(network, ending="arrival", **settings):
    config = PlannerConfig(ending=ending, solver="corridors", **settings)
    return Planner(network.turns, config, edge_id=network.graph.edge_id)


@settings(max_examples=60, deadline=None)
@given(naive.trip_cases())
def test_endless_corridors_are_the_full_model(case):
    network, reward, ending, routes = case
    reward = -np.abs(reward) - 1.5
    batch = routes.batch(ending)
    value, counts = Factorization(network.turns, reward, ending=ending).total_value(batch)
    for compress_ in (True, False):
        planner = planner_of(network, ending, compress=compress_, corridor_tau=1e9, tolerance=1e-12)
        found, expected = planner.total_value(reward, batch)
        assert found == pytest.approx(value, abs=1e-9, rel=1e-9)
        np.testing.assert_allclose(expected, counts, atol=1e-8)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_corridor_of_the_compressed_graph_holds_the_original_one(ending):
    """Values are between those of the original corridor and those of the whole map."""
    network = make_grid(14, 14)
    random = np.random.default_rng(5)
    is_thin = random.random(network.graph.num_edges) < 0.35  # fewer ways through: chains and dead ends
    keep = np.flatnonzero(~is_thin)
    thin = make_network(network.graph.tail[keep], network.graph.head[keep])
    main = np.flatnonzero(thin.turns.is_main)
    routes = naive.as_demonstrations(
        thin, [naive.random_walk(thin.turns, np.random.default_rng(seed), 12) for seed in range(15)]
    )
    routes = routes.for_ending(ending)
    batch = routes.batch(ending)
    reward = -random.uniform(1.5, 4.0, thin.turns.num_turns)
    full = Factorization(thin.turns, reward, ending=ending).values(batch.destinations)[batch.origin, batch.column]
    made = compress_trips(thin.turns, batch)
    assert len(made.compression.state) < 0.8 * len(main)
    options = {"tau": 4.0, "accuracy": np.inf, "tolerance": 1e-12}
    narrow = CorridorSolver(thin.turns, **options).values(reward, batch)
    small = CorridorSolver(made.compression.turns, **options).values(made.compression.to_turns(reward), made.batch)
    assert (small >= narrow - 1e-9).all()
    assert (small <= full + 1e-9).all()
    assert (small > narrow + 1e-6).any()


@pytest.mark.parametrize("ending", ENDINGS)
def test_likelihood_and_gradient_of_a_linear_reward(ending):
    network = make_grid(12, 12)
    features = make_features(network, ("length_km", "is_left", "constant"))
    theta = np.array([-3.0, -0.2, -1.8])
    routes = simulate(network, 60, taste={"constant": -1.7}, seed=3, num_destinations=20, ending=ending)
    routes = routes.for_ending(ending)
    batch = routes.batch(ending)
    planner = planner_of(network, ending, compress=True, corridor_tau=35.0)
    full = Planner(network.turns, PlannerConfig(ending=ending, compress=False))
    want, slope = full.linear_log_likelihood(features, theta, batch)
    for _ in range(2):  # the second time with the costs prepared that the first one needed
        found, gradient = planner.linear_log_likelihood(features, theta, batch)
        assert found == pytest.approx(want, abs=1e-6 * len(routes))
        np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-6)
    value, expected = planner.total_value(features.reward(theta), batch)
    assert float(batch.observed @ features.reward(theta)) - value == pytest.approx(found, abs=1e-9)
    np.testing.assert_allclose(features.project(batch.observed - expected), gradient, atol=1e-8)
    each = planner.trip_values(features.reward(theta), batch)
    assert batch.weight @ each == pytest.approx(value, abs=1e-6 * len(routes))
    assert 0.0 <= planner.corridor_error < 1e-6


def test_costs_are_sums_of_the_original_ones_and_counts_go_back():
    network = make_grid(60, 60)
    features = make_features(network, ("length_km", "constant"))
    theta = np.array([-3.0, -1.6])
    made = compress(network.turns, np.array([5, 900], np.int32), np.array([17], np.int32), CompressionSteps())
    small = CompressedCosts(made, linear_costs(network.turns, features, theta))
    assert len(small.is_known) > 4
    small.require(np.array([1]))
    assert small.is_known.tolist() == [block == 1 for block in range(len(small.is_known))]
    want = -made.to_turns(features.reward(theta))
    np.testing.assert_allclose(small.value[4096:8192], want[4096:8192], rtol=1e-12)
    counts = np.where(np.arange(len(want)) // 4096 == 1, np.random.default_rng(0).random(len(want)), 0.0)
    np.testing.assert_allclose(small.expand(counts), made.from_turns(counts), rtol=1e-12)


def test_a_turn_that_costs_nothing_is_named_though_its_sequence_costs_something():
    network = make_network([0, 1, 2, 3], [1, 2, 3, 4])
    routes = naive.as_demonstrations(network, [[0, 1, 2, 3]])
    features = make_features(network, ("constant",))
    costs = linear_costs(network.turns, features, np.array([-1.0]), network.graph.edge_id)
    made = compress_trips(network.turns, routes.batch("arrival")).compression
    assert made.turns.num_turns == 1
    assert CompressedCosts(made, costs).at(np.array([0], np.int32)).tolist() == [3.0]
    with pytest.raises(NonPositiveCostError) as caught:
        planner_of(network, compress=True).total_value(np.array([-2.0, 0.0, -2.0]), routes.batch("arrival"))
    assert (caught.value.from_edge, caught.value.to_edge) == (1001, 1002)


def test_errors_name_original_edges():
    network = make_network([0, 1, 2, 5, 6, 3], [1, 2, 3, 6, 5, 4])
    routes = naive.as_demonstrations(network, [[0, 1, 2]])
    batch = routes.batch("arrival")
    lost = dataclasses.replace(batch, origin=np.array([4], np.int32))
    reward = np.full(network.turns.num_turns, -1.0)
    with pytest.raises(UnreachableError, match="no route from edge 1004 to edge 1002"):
        planner_of(network, compress=True).total_value(reward, lost)
    grid = make_grid(4, 4)
    walk = naive.as_demonstrations(grid, [naive.random_walk(grid.turns, np.random.default_rng(3), 5)])
    said = []
    for compress_ in (True, False):
        with pytest.raises(InfeasibleRewardError) as caught:
            planner_of(grid, "stop", compress=compress_).total_value(
                np.full(grid.turns.num_turns, -0.2), walk.batch("stop")
            )
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_it_compresses_unasked_where_trips_are_many(monkeypatch, caplog):
    network = make_grid(6, 6)
    routes = simulate(network, 10, taste={"constant": -1.7}, seed=3, num_destinations=5)
    batch, reward = routes.batch("arrival"), np.full(network.turns.num_turns, -2.0)
    edges = network.graph.num_edges
    for per_trip, lines in ((edges, 1), (edges / len(batch.origin) * 0.9, 0)):
        monkeypatch.setattr("trodden.irl.corridor_trips._WORTH_COMPRESSING", per_trip)
        caplog.clear()
        with caplog.at_level(logging.INFO, "trodden"):
            planner_of(network).total_value(reward, batch)
        assert sum("compressed for" in record.getMessage() for record in caplog.records) == lines


def test_parts_share_what_was_compressed_for_the_whole(caplog):
    network = make_grid(8, 8)
    routes = simulate(network, 60, taste={"constant": -1.6}, seed=3, num_destinations=12)
    whole = routes.batch("arrival")
    compressor = TripCompressor(network.turns, whole)
    reward = -np.random.default_rng(1).uniform(1.5, 2.5, network.turns.num_turns)
    assert compressor.serving(whole) is None
    with caplog.at_level(logging.INFO, "trodden"):
        for rows in (np.arange(0, 30), np.arange(30, 60), np.arange(60)):
            part = routes.take(rows).batch("arrival")
            made = compressor.trips(part)
            value, counts = Factorization(network.turns, reward).total_value(part)
            small = made.compression
            found, visits = Factorization(small.turns, small.to_turns(reward)).total_value(made.batch)
            assert found == pytest.approx(value, rel=1e-10)
            np.testing.assert_allclose(small.from_turns(visits), counts, atol=1e-9)
    assert caplog.text.count("compressed for") == 1
    other = naive.as_demonstrations(network, [naive.random_walk(network.turns, np.random.default_rng(9), 5)])
    ends = other.batch("arrival")
    made = compressor.trips(whole).compression
    is_goal = np.isin(ends.destinations.edge, whole.destinations.edge).all()
    assert (compressor.serving(ends) is not None) == (is_goal and bool(made.state_of[ends.origin[0]] >= 0))
    aside = dataclasses.replace(whole, origin=np.resize(whole.destinations.edge, len(whole.origin)))
    assert compressor.serving(aside) is not None, "goals are states with all their ways out"


def test_what_is_known_beyond_what_is_needed_changes_no_bit():
    """As after a resume, when nothing was visited before."""
    network = make_grid(180, 180)
    features = make_features(network, ("length_km", "constant"))
    weights = np.zeros(network.turns.num_turns)
    weights[50_000:300_000] = np.random.default_rng(0).random(250_000)
    slopes = []
    for blocks in (np.arange(12, 75), np.arange(len(weights) // 4096 + 1)):
        costs = linear_costs(network.turns, features, np.array([-1.0, -1.0]))
        edges = np.unique(network.turns.to_edge[blocks[0] * 4096 : (blocks[-1] + 1) * 4096] >> 12)
        costs.prepare((blocks, edges), 2)
        assert costs.is_known.sum() == len(blocks)
        slopes += [costs.project(weights, threads).tobytes() for threads in (1, 2)]
    assert len(set(slopes)) == 1
    np.testing.assert_allclose(np.frombuffer(slopes[0]), features.project(weights), rtol=1e-9)


def test_preparing_leaves_refusals_to_who_needs_the_cost():
    network = make_grid(40, 40)
    features = make_features(network, ("constant", "length_km"))
    costs = linear_costs(network.turns, features, np.array([1.0, 0.0]))
    costs.prepare((np.arange(len(costs.is_known)), np.zeros(0, np.int64)), 2)
    assert not costs.is_known.any()
    with pytest.raises(NonPositiveCostError):
        costs.require(np.array([1]))


def test_renewed_costs_are_those_made_anew_to_the_bit():
    network = make_grid(180, 180)
    features = make_features(network, ("length_km", "is_left", "constant"))
    made = compress(network.turns, np.array([5, 900], np.int32), np.array([17], np.int32), CompressionSteps())
    random = np.random.default_rng(0)
    kept = linear_costs(network.turns, features, np.array([-1.0, -0.5, -2.0]))
    small = CompressedCosts(made, kept)
    for theta in (np.array([-3.0, -0.2, -1.6]), np.array([-2.0, -0.1, -1.0])):
        blocks = np.unique(random.integers(0, len(small.is_known), 9))
        fresh = linear_costs(network.turns, features, theta)
        fresh_small = CompressedCosts(made, fresh)
        kept.renew(theta)
        small.renew()
        assert not kept.is_known.any()
        assert not small.is_known.any()
        answers = []
        for costs, compressed in ((fresh, fresh_small), (kept, small)):
            compressed.require(blocks)
            counts = compressed.zeros()
            assert not counts.any()
            for block in blocks.tolist():
                own = counts[block * 4096 : (block + 1) * 4096]
                own[:] = np.random.default_rng(block).random(len(own))
            weights = compressed.expand(counts)
            at = np.repeat(compressed.is_known, 4096)[: len(compressed.value)]
            answers.append((compressed.value[at].tobytes(), weights.tobytes(), costs.project(weights, 2).tobytes()))
        assert answers[0] == answers[1]
        want = -made.to_turns(features.reward(theta))
        np.testing.assert_allclose(np.frombuffer(answers[1][0]), want[at], rtol=1e-12)
        weights = np.frombuffer(answers[1][1])
        np.testing.assert_allclose(np.frombuffer(answers[1][2]), features.project(weights), rtol=1e-9)


@pytest.mark.parametrize("solver", ["factorization", "corridors"])
def test_mini_batches_compress_once(solver, caplog):
    network = make_grid(6, 6)
    routes = simulate(network, 80, taste={"constant": -1.6}, seed=2, num_destinations=12)
    document = {
        "reward": {"features": ["constant"]},
        "planner": {"solver": solver, "compress": True},
        "training": {"method": "adam", "batch_destinations": 4, "max_iterations": 12},
        "baselines": {"budget": 0},
    }
    with caplog.at_level(logging.INFO, "trodden"):
        model = fit(network, routes, parse_config(document, where="test"))
    assert caplog.text.count("compressed for") == 1
    assert model.coefficients[0].value == pytest.approx(-1.6, abs=0.3)


def test_all_costs_at_once_are_known_from_the_start():
    network = make_grid(4, 4)
    costs = TurnCosts(network.turns, np.full(network.turns.num_turns, 2.0))
    costs.require(np.array([0]))
    assert costs.is_known.all()
    assert costs.at(np.array([3], np.int32)).tolist() == [2.0]
