"""Both solvers against dense algebra, listed routes, finite differences, and each other."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from dense import dense_values, listed_value, radius_without
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import make_grid, make_network, make_turns, road_networks
from trodden.core.config import PlannerConfig
from trodden.core.errors import InfeasibleRewardError, NotConvergedError, UnderflowError
from trodden.irl.best_paths import best_path_values
from trodden.irl.destinations import make_destinations
from trodden.irl.factorization import Factorization
from trodden.irl.feasibility import factorise, infeasible_reward, spectral_radius
from trodden.irl.planner import Planner
from trodden.irl.soft_values import SweepSolver
from trodden.irl.trips import TripBatch

ENDINGS = ("arrival", "stop")
SIZES = ((5, 9), (9, 24))


def make_batch(network, reward, ending, random, num_keys=3):
    """Random trips whose destinations their origins can reach, and a destination record."""
    upper = network.graph.num_edges if ending == "arrival" else network.graph.num_nodes
    keys = np.sort(random.permutation(upper)[:num_keys]).astype(np.int32)
    destinations = make_destinations(network.graph, keys, ending)
    first, origins, weights = [0], [], []
    for column in range(len(keys)):
        goals = destinations.goals(column).tolist()
        value = (
            dense_values(network.turns, reward, goals, ending) if goals else np.full(network.turns.num_edges, -np.inf)
        )
        reachable = np.flatnonzero(np.isfinite(value))
        if ending == "arrival":
            reachable = reachable[reachable != keys[column]]
        chosen = reachable[: random.integers(0, 4)]
        origins += chosen.tolist()
        weights += random.uniform(0.5, 2.0, len(chosen)).tolist()
        first.append(len(origins))
    return TripBatch(
        destinations, np.array(first), np.array(origins, np.int32), np.array(weights), np.zeros(network.turns.num_turns)
    )


@st.composite
def solvable_cases(draw, endings=ENDINGS):
    network = draw(road_networks(sizes=SIZES))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reward = -random.uniform(0.05, 1.0, network.turns.num_turns) * draw(st.sampled_from([1.5, 3.0, 10.0]))
    assume(factorise(network.turns, reward) is not None)
    # A radius of 0.999 makes the values' condition, not the solvers, decide the last digits.
    assume(radius_without(network.turns, reward, [], "stop") < 0.97)
    ending = draw(st.sampled_from(endings))
    return network, reward, ending, make_batch(network, reward, ending, random)


@settings(max_examples=12, deadline=None)  # every example compiles its sweep anew
@given(solvable_cases())
def test_sweeps_equal_the_lu(case):
    network, reward, ending, batch = case
    by_lu = Factorization(network.turns, reward, ending=ending, threads=1)
    by_sweeps = SweepSolver(network.turns)
    values = by_sweeps.values(reward, batch.destinations).value
    np.testing.assert_allclose(values, by_lu.values(batch.destinations), atol=1e-8)
    lu_total, lu_counts = by_lu.total_value(batch)
    for start in (None, functools.partial(best_path_values, network.turns, reward)):
        total, counts = by_sweeps.total_value(reward, batch, start=start)
        assert total == pytest.approx(lu_total, abs=1e-8)
        np.testing.assert_allclose(counts, lu_counts, atol=1e-8)


def both_sweeps(network, reward, destinations, **settings):
    """Values in log space from nothing, and on reduced costs from the best path, with log space out of reach."""
    solver = SweepSolver(network.turns, **settings)
    logarithmic = solver.values(reward, destinations).value
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trodden.irl.soft_values.solve_log_values", None)
        reduced = solver.values(reward, destinations, start=functools.partial(best_path_values, network.turns, reward))
    return logarithmic, reduced.value


@settings(max_examples=12, deadline=None)
@given(solvable_cases())
def test_reduced_costs_equal_log_space_and_dense_algebra(case):
    network, reward, ending, batch = case
    logarithmic, reduced = both_sweeps(network, reward, batch.destinations, tolerance=1e-11)
    np.testing.assert_allclose(reduced, logarithmic, atol=1e-9)  # -inf at the same edges, too
    for column in range(len(batch.destinations)):
        goals = batch.destinations.goals(column).tolist()
        if goals:
            want = dense_values(network.turns, reward, goals, ending)
            np.testing.assert_allclose(reduced[:, column], want, atol=1e-9)


@pytest.mark.parametrize("ending", ENDINGS)
def test_reduced_costs_do_not_underflow(ending):
    """Across a grid of which every turn costs some 90 nats: routes of 2,000, of which exp() knows nothing."""
    network = make_grid(14, 14)
    reward = -np.random.default_rng(1).uniform(85.0, 95.0, network.turns.num_turns)
    destinations = make_destinations(network.graph, np.array([3], np.int32), ending)
    logarithmic, reduced = both_sweeps(network, reward, destinations)
    assert reduced.min() < -2000
    np.testing.assert_allclose(reduced, logarithmic, rtol=0, atol=1e-9)


@pytest.mark.parametrize("ending", ENDINGS)
def test_reduced_costs_near_radius_one(ending):
    network = make_grid(8, 8)
    reward = -np.random.default_rng(1).uniform(0.9, 1.6, network.turns.num_turns)
    reward -= np.log(radius_without(network.turns, reward, [], "stop") / 0.995)
    destinations = make_destinations(network.graph, np.array([20, 50], np.int32), ending)
    logarithmic, reduced = both_sweeps(network, reward, destinations, tolerance=1e-11)
    exact = Factorization(network.turns, reward, ending=ending).values(destinations)
    np.testing.assert_allclose(reduced, exact, atol=1e-9)
    np.testing.assert_allclose(reduced, logarithmic, atol=1e-9)


def test_log_space_decides_where_reduced_costs_overflow():
    """A chain of 140 nodes, two equal ways from each to the next: 2^139 routes are no float32."""
    count = 140
    network = make_network(np.repeat(np.arange(count), 2), np.repeat(np.arange(1, count + 1), 2))
    reward = np.full(network.turns.num_turns, -1.5)
    destinations = make_destinations(network.graph, np.array([2 * count - 1], np.int32), "arrival")
    with pytest.raises(TypeError):  # log space, which is out of reach
        both_sweeps(network, reward, destinations, dtype=np.float32)
    start = functools.partial(best_path_values, network.turns, reward)
    value = SweepSolver(network.turns, dtype=np.float32).values(reward, destinations, start=start).value
    assert value[0, 0] == pytest.approx((count - 1) * -1.5 + (count - 2) * np.log(2.0), rel=1e-5)


def test_a_start_that_promises_too_much_is_not_believed():
    network = make_grid(4, 4)
    reward = np.full(network.turns.num_turns, -2.0)
    destinations = make_destinations(network.graph, np.array([7], np.int32), "arrival")
    solver = SweepSolver(network.turns)
    wrong = solver.values(reward, destinations, start=functools.partial(best_path_values, network.turns, 1e-3 * reward))
    np.testing.assert_allclose(wrong.value, solver.values(reward, destinations).value, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(solvable_cases())
def test_the_lu_equals_dense_algebra(case):
    network, reward, ending, batch = case
    by_lu = Factorization(network.turns, reward, ending=ending, threads=1).values(batch.destinations)
    for column in range(len(batch.destinations)):
        goals = batch.destinations.goals(column).tolist()
        want = dense_values(network.turns, reward, goals, ending)
        if not goals:
            want = np.full(network.turns.num_edges, -np.inf)
        np.testing.assert_allclose(by_lu[:, column], want, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(solvable_cases())
def test_expected_counts_are_the_gradient(case):
    """Finite differences of the dense value against the exact gradient."""
    network, reward, ending, batch = case
    lu_value, lu_counts = Factorization(network.turns, reward, ending=ending, threads=1).total_value(batch)

    def dense_total(at):
        values = [
            dense_values(network.turns, at, batch.destinations.goals(column).tolist(), ending)
            for column in range(len(batch.destinations))
        ]
        return sum(w * values[c][o] for w, c, o in zip(batch.weight, batch.column, batch.origin, strict=True))

    numeric = np.zeros_like(reward)
    for turn in range(len(reward)):
        step = np.zeros_like(reward)
        step[turn] = 1e-5
        numeric[turn] = (dense_total(reward + step) - dense_total(reward - step)) / 2e-5
    assert lu_value == pytest.approx(dense_total(reward), abs=1e-8)
    np.testing.assert_allclose(lu_counts, numeric, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ending", ENDINGS)
def test_values_sum_over_all_routes(ending):
    """With costs this large, routes longer than 14 turns weigh less than 1e-9 of the sum."""
    network = make_grid(2, 3)
    random = np.random.default_rng(5)
    reward = -random.uniform(2.5, 4.0, network.turns.num_turns)
    key = np.array([7 if ending == "arrival" else 4], np.int32)
    destinations = make_destinations(network.graph, key, ending)
    values = Factorization(network.turns, reward, ending=ending).values(destinations)
    for origin in range(3):
        want = listed_value(network.turns, reward, origin, destinations.goals(0).tolist(), ending, depth=12)
        assert values[origin, 0] == pytest.approx(want, abs=1e-7)


def test_hand_solved_fork():
    """0 -> {1 -> 3, 2 -> 3}: V(0) = log(e^-2 + e^-3), and the first way has probability 1 / (1 + e^-1)."""
    network = make_network([0, 1, 1, 2, 3, 4], [1, 2, 3, 4, 4, 5])
    order = {
        (int(a), int(b)): i for i, (a, b) in enumerate(zip(network.turns.from_edge, network.turns.to_edge, strict=True))
    }
    reward = np.full(network.turns.num_turns, -1.0)
    reward[order[0, 2]] = -2.0
    destinations = make_destinations(network.graph, np.array([5], np.int32), "arrival")
    value = Factorization(network.turns, reward).values(destinations)[:, 0]
    assert value[0] == pytest.approx(np.log(np.exp(-3.0) + np.exp(-4.0)))
    batch = TripBatch(destinations, np.array([0, 1]), np.array([0], np.int32), np.ones(1), np.zeros(len(reward)))
    _, counts = Factorization(network.turns, reward).total_value(batch)
    assert counts[order[0, 1]] == pytest.approx(1 / (1 + np.exp(-1.0)))


def test_stop_may_drive_past_its_destination():
    """A two-way street a - b: stopping at b competes with going back and coming again: z = 1 / (1 - e^-2)."""
    network = make_network([0, 1], [1, 0])
    reward = np.full(2, -1.0)
    destinations = make_destinations(network.graph, np.array([1], np.int32), "stop")
    value = Factorization(network.turns, reward, ending="stop").values(destinations)[:, 0]
    assert value[0] == pytest.approx(-np.log(1 - np.exp(-2.0)))
    arrival = make_destinations(network.graph, np.array([0], np.int32), "arrival")
    assert Factorization(network.turns, reward).values(arrival)[0, 0] == 0.0


def test_float32_sweeps_stay_within_their_tolerance():
    network = make_grid(8, 8)
    reward = np.full(network.turns.num_turns, -2.0)
    destinations = make_destinations(network.graph, np.array([17, 60], np.int32), "arrival")
    exact = Factorization(network.turns, reward).values(destinations)
    rough = SweepSolver(network.turns, dtype=np.float32).values(reward, destinations).value
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, exact, atol=1e-3)


@pytest.mark.parametrize("ending", ENDINGS)
def test_threads_do_not_change_a_bit(ending):
    network = make_grid(6, 6)
    random = np.random.default_rng(1)
    reward = -random.uniform(1.2, 2.0, network.turns.num_turns)
    batch = make_batch(network, reward, ending, random, num_keys=30)
    one = Factorization(network.turns, reward, ending=ending, threads=1).total_value(batch)
    four = Factorization(network.turns, reward, ending=ending, threads=4).total_value(batch)
    assert one[0] == four[0]
    np.testing.assert_array_equal(one[1], four[1])


# ------------------------------------------------------------------------------------------ rewards without values


@settings(max_examples=60, deadline=None)
@given(road_networks(sizes=SIZES), st.integers(0, 2**32 - 1))
def test_the_pivots_decide_feasibility(network, seed):
    random = np.random.default_rng(seed)
    reward = -random.uniform(0.0, 1.5, network.turns.num_turns)
    radius = radius_without(network.turns, reward, [], "stop")
    assume(abs(radius - 1) > 1e-9)
    assert (factorise(network.turns, reward) is not None) == (radius < 1)
    if radius > 0.05:
        assert spectral_radius(network.turns, reward)[0] == pytest.approx(radius, rel=2e-2)


@pytest.mark.parametrize(
    ("solver", "start"),
    [("auto", "best_path"), ("factorization", "nothing"), ("sweeps", "nothing"), ("sweeps", "best_path")],
)
@pytest.mark.parametrize("ending", ENDINGS)
def test_diverging_values_are_refused_and_the_fix_works(solver, start, ending):
    """A grid at cost 0.9 per edge: the textbook solve returns numbers, many of them negative."""
    network = make_grid(8, 8)
    reward = np.full(network.turns.num_turns, -0.9)
    destinations = make_destinations(network.graph, np.array([3], np.int32), ending)
    config = PlannerConfig(ending=ending, solver=solver, start=start)
    planner = Planner(network.turns, config, edge_id=network.graph.edge_id)
    with pytest.raises(InfeasibleRewardError) as caught:
        planner.values(reward, destinations)
    error = caught.value
    assert error.radius == pytest.approx(radius_without(network.turns, reward, [], "stop"), rel=1e-3)
    ids = network.graph.edge_id
    cycle = network.graph.edge_positions(np.array(error.cycle))
    assert set(error.cycle) <= set(ids.tolist())
    assert (network.turns.find(cycle, np.roll(cycle, -1)) >= 0).all(), "the cycle named is a cycle of permitted turns"
    assert str(error.cycle[0]) in str(error)
    # So close to radius 1 sweeps would need millions of steps; a little more than the constant is enough for them.
    mended = planner.values(reward - error.constant - (0.05 if solver == "sweeps" else 0.0), destinations)
    assert np.isfinite(mended).all()
    tighter = reward - 0.98 * error.constant
    assert radius_without(network.turns, tighter, [], "stop") > 1, "the constant is the smallest to within 2 %"


@settings(max_examples=60, deadline=None)
@given(road_networks(sizes=SIZES), st.integers(0, 2**32 - 1))
def test_the_cycle_named_is_one_to_blame_and_the_constant_the_smallest(network, seed):
    """On any network whose values diverge: the cycle lies where the radius is 1 or more, not upstream of it."""
    turns, random = network.turns, np.random.default_rng(seed)
    reward = -random.uniform(0.01, 0.6, turns.num_turns)
    assume(turns.num_turns > 0 and factorise(turns, reward) is None)
    for array in (turns.first_out, turns.to_edge):
        array.flags.writeable = False  # as they are in a worker's shared memory
    error = infeasible_reward(turns, reward, edge_id=None, ending="stop")
    radius = radius_without(turns, reward, [], "stop")
    assert error.radius == pytest.approx(max(radius, 1.0), rel=0.02)
    cycle = np.array(error.cycle)
    assert (turns.find(cycle, np.roll(cycle, -1)) >= 0).all()
    component = turns.strong_component[cycle]
    assert (component == component[0]).all()
    own = turns.strong_component == component[0]
    within = np.where(own[turns.from_edge] & own[turns.to_edge], reward, -np.inf)
    assert radius_without(turns, within, [], "stop") >= 1 - 1e-9
    assert factorise(turns, reward - error.constant) is not None
    if radius > 1.01:
        assert factorise(turns, reward - 0.9 * error.constant) is None


def test_arrival_needs_less_than_the_lu():
    """The only heavy cycle runs through the destination, which absorbs: sweeps answer where the LU refuses."""
    turns = make_turns(np.array([0, 1, 1, 2]), np.array([1, 1, 2, 0]))
    network = make_network([0, 1, 1, 2], [1, 1, 2, 0])
    reward = np.full(turns.num_turns, 0.0) - 0.3
    loop = int(np.flatnonzero((network.graph.tail == 1) & (network.graph.head == 1))[0])
    reward[(network.turns.from_edge == loop) & (network.turns.to_edge == loop)] = 0.2  # only this one diverges
    destinations = make_destinations(network.graph, np.array([loop], np.int32), "arrival")
    with pytest.raises(InfeasibleRewardError):
        Factorization(network.turns, reward)
    planner = Planner(network.turns, PlannerConfig())
    value = planner.values(reward, destinations)[:, 0]
    assert planner.last_solver == "sweeps"
    np.testing.assert_allclose(value, dense_values(network.turns, reward, [loop], "arrival"), atol=1e-8)


def test_underflow_is_refused_by_the_lu_and_solved_by_sweeps():
    count = 40
    network = make_network(np.arange(count), np.arange(1, count + 1))
    reward = np.full(network.turns.num_turns, -25.0)  # 39 turns: exp(-975) is no float64
    destinations = make_destinations(network.graph, np.array([count - 1], np.int32), "arrival")
    batch = TripBatch(destinations, np.array([0, 1]), np.array([0], np.int32), np.ones(1), np.zeros(count - 1))
    with pytest.raises(UnderflowError):
        Factorization(network.turns, reward).total_value(batch)
    total, counts = Planner(network.turns, PlannerConfig()).total_value(reward, batch)
    assert total == pytest.approx(-975.0)
    np.testing.assert_allclose(counts, 1.0)


def test_an_exponential_that_underflows_to_nothing_is_no_unreachable_edge():
    """One turn of cost 800 on a fork: exp(-800) is exactly 0, the value is not -inf."""
    network = make_network([0, 1, 1, 2, 3, 4], [1, 2, 3, 4, 4, 5])
    reward = np.full(network.turns.num_turns, -1.0)
    reward[network.turns.to_edge == 5] = -800.0
    destinations = make_destinations(network.graph, np.array([5], np.int32), "arrival")
    for origins in (None, (np.array([0], np.int32), np.array([0]))):
        with pytest.raises(UnderflowError):
            Factorization(network.turns, reward).values(destinations, origins=origins)
        value = Planner(network.turns, PlannerConfig()).values(reward, destinations, origins=origins)[0, 0]
        assert value == pytest.approx(-801.0 - 1.0 + np.log(2.0))


def test_too_few_sweeps_is_an_error_not_a_value():
    network = make_grid(8, 8)
    reward = np.full(network.turns.num_turns, -1.5)
    destinations = make_destinations(network.graph, np.array([0], np.int32), "arrival")
    with pytest.raises(NotConvergedError, match="raise max_sweeps"):
        SweepSolver(network.turns, max_sweeps=5).values(reward, destinations)
    planner = Planner(network.turns, PlannerConfig(solver="sweeps", max_sweeps=5))
    with pytest.raises(NotConvergedError):
        planner.values(reward, destinations)


def test_infeasible_errors_cross_processes():
    error = InfeasibleRewardError(radius=1.2, cycle=[4, 5], constant=0.2, ending="stop")
    rebuild, arguments, _ = error.__reduce__()
    assert str(rebuild(*arguments)) == str(error)
