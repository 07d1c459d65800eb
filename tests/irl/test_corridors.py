"""Corridors: the full model where they hold the whole map, near it where they are wide, certified or refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from strategies import make_grid, make_network
from trodden.core.config import PlannerConfig, parse_config
from trodden.core.errors import ConfigurationError, InfeasibleRewardError, NonPositiveCostError, UnreachableError
from trodden.irl.batches import make_batch
from trodden.irl.corridor_blocks import solve_corridors
from trodden.irl.corridors import CorridorSolver
from trodden.irl.demonstrations import demonstrations_from_edges
from trodden.irl.destinations import make_destinations
from trodden.irl.factorization import Factorization
from trodden.irl.features import make_features
from trodden.irl.likelihood import log_likelihood, route_log_probabilities
from trodden.irl.planner import Planner
from trodden.irl.simulation import simulate
from trodden.irl.statistics import model_statistics
from trodden.irl.training import fit
from trodden.irl.trips import TripBatch
from trodden.irl.turn_costs import linear_costs

ENDINGS = ("arrival", "stop")
FAST = {"baselines": {"budget": 0}}


def make_case(ending, *, scale=2.0, routes=70, size=8):
    """(network, reward, routes, batch) on a grid with random costs and weighted trips."""
    network = make_grid(size, size)
    random = np.random.default_rng(3)
    reward = -random.uniform(0.5, 1.5, network.turns.num_turns) * scale
    drawn = simulate(network, routes, taste={"constant": -1.5}, seed=1, num_destinations=12, ending=ending)
    drawn = drawn.for_ending(ending)
    drawn = dataclasses.replace(drawn, weight=random.uniform(0.5, 2.0, len(drawn)))
    return network, reward, drawn, drawn.batch(ending)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("scale", [1.5, 2.0, 6.0])
@pytest.mark.parametrize("max_sweeps", [300, 1])
def test_an_endless_corridor_is_the_full_model(ending, scale, max_sweeps):
    """By sweeps, and where they may not take more than one, by the local LU behind them."""
    network, reward, _, batch = make_case(ending, scale=scale)
    value, counts = Factorization(network.turns, reward, ending=ending).total_value(batch)
    solver = CorridorSolver(network.turns, tau=np.inf, tolerance=1e-12, max_sweeps=max_sweeps)
    found, expected = solver.total_value(reward, batch)
    assert found == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(expected, counts, atol=1e-9)
    assert (solver.report.num_by_lu == len(batch.origin)) == (max_sweeps == 1)
    full = Factorization(network.turns, reward, ending=ending).values(batch.destinations)
    np.testing.assert_allclose(solver.values(reward, batch), full[batch.origin, batch.column], atol=1e-9)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_error_falls_with_the_width_and_the_monitor_sees_it(ending):
    network, reward, _, batch = make_case(ending, scale=2.5)
    full = Factorization(network.turns, reward, ending=ending).values(batch.destinations)
    exact = full[batch.origin, batch.column]
    errors = []
    for tau in (2.0, 6.0, 10.0, 14.0):
        solver = CorridorSolver(network.turns, tau=tau, accuracy=np.inf)
        values = solver.values(reward, batch)
        assert solver.report.num_widened == 0
        assert (values <= exact + 1e-8).all(), "fewer routes, a smaller sum"
        errors.append(np.abs(values - exact).max())
        if tau >= 6.0:
            assert solver.report.error_estimate == pytest.approx(errors[-1], rel=3.0)
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("ending", ENDINGS)
def test_counts_are_the_slope_of_the_corridors_own_value(ending):
    network, reward, _, batch = make_case(ending, routes=12, size=4)
    solver = CorridorSolver(network.turns, tau=6.0, tolerance=1e-12, accuracy=np.inf)
    _, counts = solver.total_value(reward, batch)
    for turn in range(0, network.turns.num_turns, 3):
        step = np.zeros_like(reward)
        step[turn] = 1e-6
        high, low = (float(batch.weight @ solver.values(reward + sign * step, batch)) for sign in (1, -1))
        assert counts[turn] == pytest.approx((high - low) / 2e-6, abs=1e-5)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("tau", "accuracy"), [(14.0, 1e-4), (19.0, 1e-6)])  # where kept, they are a nat wider
def test_trips_are_solved_in_wider_corridors_until_they_are_accurate(ending, tau, accuracy):
    network, reward, _, batch = make_case(ending, scale=3.0, routes=120)
    value, counts = Factorization(network.turns, reward, ending=ending).total_value(batch)
    full = Factorization(network.turns, reward, ending=ending).values(batch.destinations)
    exact = full[batch.origin, batch.column]
    solver = CorridorSolver(network.turns, tau=tau, accuracy=accuracy, keep_bytes=1 << 30)
    values = solver.values(reward, batch)
    assert np.abs(values - exact).max() <= accuracy
    assert 0 < solver.report.num_widened < len(batch.origin)
    found, expected = solver.total_value(reward, batch)
    if tau == 19.0:  # in kept corridors: every trip in its own, in its place
        assert solver.report.num_kept == len(batch.origin)
    assert found == pytest.approx(value, abs=accuracy * len(batch.origin))
    np.testing.assert_allclose(expected, counts, atol=100 * accuracy)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("scale", [2.0, 3.0])
def test_crossings_bound_what_the_last_nats_add(ending, scale):
    """``1 - exp(V(tau - 4) - V(tau)) <= N``, and about equal, since few routes cross twice."""
    network, reward, _, batch = make_case(ending, scale=scale)
    cost = -reward
    solver = CorridorSolver(network.turns, tau=12.0, accuracy=np.inf, tolerance=1e-12)
    inner = CorridorSolver(network.turns, tau=8.0, accuracy=np.inf, tolerance=1e-12).values(reward, batch)
    found = solver.corridors(reward, batch)
    block = solve_corridors(cost, found, found.cost_to_go, ending, tolerance=1e-12, max_sweeps=1000)
    np.testing.assert_allclose(block.value, solver.values(reward, batch), atol=1e-9)
    added = -np.expm1(inner - block.value)
    crossings = 30.0 * block.error
    assert (crossings >= added * (1 - 1e-6) - 1e-10).all()
    is_rare = crossings < 0.1
    assert is_rare.any()
    assert np.median(crossings[is_rare] / added[is_rare]) < 1.5


def test_a_trip_keeps_its_narrow_corridor_where_a_wider_one_has_no_value():
    """A cluster of roads that cost next to nothing, a detour of some 8 nats away: values diverge there."""
    there = [(0, 1), (1, 2), (2, 3)]
    cluster = [(1, 4), (4, 5), (5, 4), (4, 6), (6, 4), (5, 6), (6, 5), (4, 2)]
    pairs = there + cluster
    network = make_network([a for a, _ in pairs], [b for _, b in pairs])
    graph = network.graph
    is_in_cluster = (graph.tail >= 4) & (graph.head >= 4)
    edge_cost = np.where(is_in_cluster, 0.05, np.where((graph.tail == 4) | (graph.head == 4), 4.0, 1.0))
    reward = -edge_cost[network.turns.to_edge]
    origin = int(np.flatnonzero((graph.tail == 0) & (graph.head == 1))[0])
    goal = int(np.flatnonzero((graph.tail == 2) & (graph.head == 3))[0])
    batch = TripBatch(
        make_destinations(graph, np.array([goal], np.int32), "arrival"),
        np.array([0, 1]),
        np.array([origin], np.int32),
        np.ones(1),
        np.zeros(network.turns.num_turns),
    )
    with pytest.raises(InfeasibleRewardError):
        CorridorSolver(network.turns, tau=20.0).values(reward, batch)
    solver = CorridorSolver(network.turns, tau=6.0)
    assert solver.values(reward, batch)[0] == pytest.approx(-2.0, abs=1e-12)


def test_a_trip_keeps_its_narrow_corridor_where_a_wider_search_would_settle_too_much():
    network, reward, _, batch = make_case("arrival", scale=2.0, routes=20, size=16)
    free = CorridorSolver(network.turns, tau=6.0, accuracy=np.inf)
    want = free.values(reward, batch)
    most = max(len(free.corridors(reward, batch).states(trip)) for trip in range(len(batch.origin)))
    for max_settled in range(most, 4 * most, 10):
        capped = CorridorSolver(network.turns, tau=6.0, accuracy=np.inf, max_settled=max_settled)
        try:
            capped.values(reward, batch)
        except UnreachableError:
            continue
        solver = CorridorSolver(network.turns, tau=6.0, max_settled=max_settled)
        np.testing.assert_allclose(solver.values(reward, batch), want, atol=0.1)
        assert solver.report.error_estimate > 1e-6
        return
    pytest.fail("no cap let the narrow searches through")


@pytest.mark.parametrize("accuracy", [1e-6, np.inf])
def test_a_kept_corridor_without_a_value_is_refused(accuracy):
    """Costs fall by a tenth: the rule still keeps the corridors, and the spectral radius passes 1."""
    network = make_grid(7, 7)
    turns = network.turns
    reward = np.full(turns.num_turns, -1.0)
    radius = Factorization(turns, reward - 1.0).spectral_radius(tolerance=1e-9)[0] * np.e
    reward = np.full(turns.num_turns, -1.0 - np.log(radius / 0.97))
    routes = simulate(network, 30, taste={"constant": -2.0}, seed=1, num_destinations=6)
    batch = routes.batch("arrival")
    keeper = CorridorSolver(network.turns, tau=40.0, accuracy=accuracy, keep_bytes=1 << 30)
    keeper.values(reward, batch)
    assert keeper.report.kept_bytes > 0
    with pytest.raises(InfeasibleRewardError):
        keeper.values(reward * 0.85, batch)


def test_the_monitor_sees_narrow_corridors_too():
    network, reward, _, batch = make_case("arrival", scale=2.5)
    for tau in (0.5, 3.0):
        solver = CorridorSolver(network.turns, tau=tau, accuracy=np.inf)
        values = solver.values(reward, batch)
        assert solver.report.error_estimate > 0.0
        widened = CorridorSolver(network.turns, tau=tau).values(reward, batch)
        assert (widened >= values - 1e-9).all()
        assert (widened > values + 1e-9).any()


@pytest.mark.parametrize("ending", ENDINGS)
def test_kept_corridors_need_no_search_and_stay_near(ending):
    network, reward, _, batch = make_case(ending, scale=2.5)
    keeper = CorridorSolver(network.turns, tau=22.0, keep_bytes=1 << 30)
    first = keeper.total_value(reward, batch)
    assert keeper.report.num_kept == 0
    assert keeper.report.kept_bytes > 0
    again = keeper.total_value(reward, batch)
    assert keeper.report.num_kept == len(batch.origin)
    assert again[0] == pytest.approx(first[0], abs=1e-7)
    np.testing.assert_allclose(again[1], first[1], atol=1e-7)
    changed = reward * np.random.default_rng(0).uniform(0.98, 1.02, len(reward))
    kept = keeper.total_value(changed, batch)
    assert keeper.report.num_kept == len(batch.origin)
    fresh = CorridorSolver(network.turns, tau=22.0).total_value(changed, batch)
    assert kept[0] == pytest.approx(fresh[0], abs=1e-5)
    np.testing.assert_allclose(kept[1], fresh[1], atol=1e-5)


def test_kept_corridors_are_found_anew_where_the_rule_says_so():
    """Costs that fall by half let in routes from outside; and after so many solves in any case."""
    network, reward, _, batch = make_case("arrival", scale=4.0)
    keeper = CorridorSolver(network.turns, tau=20.0, keep_bytes=1 << 30, refresh_every=2)
    keeper.total_value(reward, batch)
    halved = keeper.total_value(reward / 2, batch)
    assert keeper.report.num_kept < len(batch.origin)
    fresh = CorridorSolver(network.turns, tau=20.0).total_value(reward / 2, batch)
    assert halved[0] == pytest.approx(fresh[0], abs=1e-5)
    counts = []
    for _ in range(5):
        keeper.total_value(reward, batch)
        counts.append(keeper.report.num_kept)
    assert 0 in counts
    assert len(batch.origin) in counts


def test_memory_for_kept_corridors_is_a_promise():
    network, reward, _, batch = make_case("arrival")
    keeper = CorridorSolver(network.turns, tau=15.0, keep_bytes=100_000)
    keeper.total_value(reward, batch)
    assert keeper.report.kept_bytes <= 100_000
    assert CorridorSolver(network.turns, tau=16.0).total_value(reward, batch)[0] == pytest.approx(  # as wide
        keeper.total_value(reward, batch)[0], abs=1e-7
    )


def test_threads_and_other_trips_do_not_change_a_bit():
    network, reward, _, batch = make_case("arrival", routes=150)
    one = CorridorSolver(network.turns, threads=1).total_value(reward, batch)
    two = CorridorSolver(network.turns, threads=3).total_value(reward, batch)
    assert one[0] == two[0]
    assert one[1].tobytes() == two[1].tobytes()


def test_far_trips_do_not_underflow():
    """A route that costs 2,000 nats, of which exp() knows nothing."""
    count = 400
    network = make_network(range(count), range(1, count + 1))
    reward = np.full(network.turns.num_turns, -5.0)
    routes = demonstrations_from_edges(network, [np.arange(count, dtype=np.int32)], ["far"])
    value, counts = CorridorSolver(network.turns).total_value(reward, routes.batch("arrival"))
    assert value == pytest.approx(-5.0 * (count - 1), rel=1e-12)
    np.testing.assert_allclose(counts, 1.0, atol=1e-12)


def test_what_has_no_value_is_refused():
    network, reward, _, batch = make_case("arrival")
    with pytest.raises(InfeasibleRewardError) as caught:
        CorridorSolver(network.turns, edge_id=network.graph.edge_id).total_value(reward * 0.2, batch)
    assert set(caught.value.cycle) <= set(network.graph.edge_id.tolist())
    with pytest.raises(NonPositiveCostError):
        CorridorSolver(network.turns).total_value(np.where(np.arange(len(reward)) == 5, 0.0, reward), batch)
    with pytest.raises(UnreachableError, match="the search settled 20 states"):
        CorridorSolver(network.turns, max_settled=20).total_value(reward, batch)


def test_an_unreachable_pair_is_named():
    network = make_network([0, 1, 2, 3], [1, 0, 3, 2])
    reward = np.full(network.turns.num_turns, -1.0)
    routes = demonstrations_from_edges(network, [np.array([0, 1], np.int32)], ["there"])
    batch = dataclasses.replace(routes.batch("arrival"), origin=np.array([2], np.int32))
    with pytest.raises(UnreachableError, match="no route from edge 1002 to edge 1001"):
        CorridorSolver(network.turns, edge_id=network.graph.edge_id).total_value(reward, batch)


@pytest.mark.parametrize("ending", ENDINGS)
def test_training_in_corridors_comes_to_the_full_estimates(ending):
    taste = {"travel_time_min": -3.0, "constant": -1.6}
    network = make_grid(8, 8)
    length = np.random.default_rng(3).uniform(50, 400, network.graph.num_edges).astype(np.float32)
    attributes = dataclasses.replace(network.attributes, length_m=length, travel_time_s=length / 8.0)
    network = dataclasses.replace(network, attributes=attributes)
    routes = simulate(network, 250, taste=taste, seed=2, num_destinations=30, ending=ending)
    document = {"reward": {"features": list(taste)}, "planner": {"ending": ending}, **FAST}
    full = fit(network, routes, parse_config(document, where="test"))
    document["planner"] = {"ending": ending, "solver": "corridors"}
    model = fit(network, routes, parse_config(document, where="test"))
    assert model.summary["solver"] == "corridors"
    assert model.summary["is_converged"]
    assert model.summary["log_likelihood"] == pytest.approx(full.summary["log_likelihood"], abs=1e-4)
    for one, other in zip(model_statistics(model).estimates, model_statistics(full).estimates, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-4)
        assert one.robust_standard_error is not None
        assert one.robust_standard_error == pytest.approx(other.robust_standard_error, rel=1e-2)


def test_the_planner_answers_for_trips_and_not_for_the_map():
    network, reward, routes, batch = make_case("arrival")
    config = PlannerConfig(solver="corridors", corridor_tau=30.0)
    planner = Planner(network.turns, config)
    value, _ = log_likelihood(planner, reward, batch)
    each = route_log_probabilities(planner, reward, routes, batch)
    assert routes.weight @ each == pytest.approx(value, rel=1e-12)
    assert planner.last_solver == "corridors"
    with pytest.raises(ValueError, match="ask for trip_values"):
        planner.values(reward, batch.destinations)


def test_settings_of_corridors_are_checked():
    for planner in (
        {"corridor_tau": 10.0, "solver": "sweeps"},
        {"solver": "sweeps", "horizon": 3},
        {"corridor_tau": -1.0},
    ):
        with pytest.raises(ConfigurationError):
            parse_config({"planner": planner}, where="test")


def test_the_planner_takes_corridors_by_itself_where_the_map_is_large(monkeypatch):
    network, reward, routes, _ = make_case("arrival")
    assert not Planner(network.turns, PlannerConfig()).uses_corridors
    monkeypatch.setattr("trodden.irl.planner.LARGEST_FACTORISED", network.graph.num_edges - 1)
    planner = Planner(network.turns, PlannerConfig(corridor_tau=20.0))
    assert planner.uses_corridors
    log_likelihood(planner, reward, make_batch(routes, planner.config))
    assert 0.0 < planner.corridor_error < 1e-5
    finite = Planner(network.turns, PlannerConfig(horizon=2))
    log_likelihood(finite, reward, make_batch(routes, finite.config))
    assert finite.last_solver == "corridors"
    assert finite.corridor_error is None
    assert not Planner(network.turns, PlannerConfig(solver="factorization")).uses_corridors


def test_the_training_log_tells_the_error_and_now_and_then_the_radius(caplog):
    network = make_grid(6, 6)
    routes = simulate(network, 60, taste={"constant": -1.4}, seed=2, num_destinations=9)
    document = {"planner": {"solver": "corridors"}, "training": {"start": {"travel_time_min": -30.0}}, **FAST}
    steps = []
    with caplog.at_level("INFO", "trodden"):
        fit(network, routes, parse_config(document, where="test"), progress=steps.append)
    assert all(0.0 <= step.corridor_error < 1e-3 for step in steps)
    assert [step.iteration for step in steps if step.spectral_radius is not None] == [
        one for one in range(1, len(steps) + 1) if one % 10 == 1
    ]
    assert "corridors off by" in caplog.text


@pytest.fixture(scope="module")
def wide_case():
    """Some 43,000 turns, 11 blocks of costs, and trips in one corner."""
    network = make_grid(60, 60)
    features = make_features(network, ("length_km", "constant"))
    near = np.flatnonzero(network.graph.tail < 300).astype(np.int32)
    random = np.random.default_rng(0)
    goals, origins = np.sort(random.choice(near, 40, replace=False)), random.choice(near, 40)
    origins = np.where(origins == goals, near[0], origins)
    batch = TripBatch(
        make_destinations(network.graph, goals, "arrival"),
        np.arange(41),
        origins,
        np.ones(40),
        np.zeros(network.turns.num_turns),
    )
    return network, features, np.array([-3.0, -1.6]), batch


def test_costs_are_worked_out_where_searches_come_by_and_change_nothing(wide_case):
    network, features, theta, batch = wide_case
    solver = CorridorSolver(network.turns, tau=12.0)
    costs = linear_costs(network.turns, features, theta)
    value, counts = solver.total_value(costs, batch)
    assert 0 < costs.is_known.sum() < 0.8 * len(costs.is_known)
    full_value, full_counts = solver.total_value(features.reward(theta), batch)
    assert value == pytest.approx(full_value, rel=1e-12)
    np.testing.assert_allclose(counts, full_counts, atol=1e-9)
    np.testing.assert_allclose(costs.project(counts), features.project(full_counts), rtol=1e-9)
    np.testing.assert_array_equal(solver.values(costs, batch), solver.values(costs, batch))


def test_a_turn_that_costs_nothing_is_named_where_a_search_comes_by(wide_case):
    network, features, _, batch = wide_case
    costs = linear_costs(network.turns, features, np.array([1.0, -0.001]), network.graph.edge_id)
    with pytest.raises(NonPositiveCostError) as caught:
        CorridorSolver(network.turns).total_value(costs, batch)
    assert caught.value.to_edge in network.graph.edge_id


@pytest.mark.parametrize("horizon", ["infinity", 0, 3])
def test_the_planner_needs_no_rewards_of_the_whole_map(wide_case, horizon):
    network, features, theta, _ = wide_case
    routes = simulate(network, 30, taste={"constant": -1.6}, seed=2, num_destinations=5, max_km=0.8)
    whole, local = (
        Planner(network.turns, PlannerConfig(horizon=horizon, solver=solver, corridor_tau=40.0))
        for solver in ("auto", "corridors")
    )
    for _ in range(2):  # the second time with the costs prepared that the first one needed
        value, slope = whole.linear_log_likelihood(features, theta, make_batch(routes, whole.config))
        found, found_slope = local.linear_log_likelihood(features, theta, make_batch(routes, local.config))
        assert found == pytest.approx(value, rel=1e-7)
        np.testing.assert_allclose(found_slope, slope, rtol=1e-6, atol=1e-6)
