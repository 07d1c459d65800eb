"""Corridors equal, as sets, to their definition by two full searches; the turns inside are all there are."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse import csgraph
from strategies import make_grid, make_network, road_networks
from trodden.core.compiled import kernel
from trodden.graphs.corridor_search import (
    FOUND,
    TOO_LARGE,
    UNREACHABLE,
    Workspace,
    find_corridors,
    make_search_graph,
)

TAUS = (0.0, 0.7, 3.0, np.inf)


def definition(turns, cost, origin, goals, tau, is_absorbing):
    """(states, best cost, cost to go) by Dijkstra over the whole map, from both ends."""
    kept = ~np.isin(turns.from_edge, goals) if is_absorbing else np.ones(turns.num_turns, bool)
    shape = (turns.num_edges,) * 2
    matrix = sparse.csr_matrix((cost[kept], (turns.from_edge[kept], turns.to_edge[kept])), shape=shape)
    out = csgraph.dijkstra(matrix, indices=origin)
    back = csgraph.dijkstra(matrix.T.tocsr(), indices=goals, min_only=True)
    through = out + back
    best = through.min()
    inside = np.isfinite(through) & (through <= (best + tau) * (1 + 1e-12))
    return np.flatnonzero(inside), best, back


def check(turns, cost, origin, goals, tau, is_absorbing, workspace):
    graph = make_search_graph(turns)
    ends = np.array([0, len(goals)])
    found = find_corridors(
        graph, cost, np.array([origin], np.int32), ends, goals, tau, workspace, is_absorbing=is_absorbing
    )
    states, best, back = definition(turns, cost, origin, goals, tau, is_absorbing)
    if not len(states):
        assert found.ended[0] == UNREACHABLE
        assert len(found.states(0)) == 0
        return
    assert found.ended[0] == FOUND
    assert found.best_cost[0] == pytest.approx(best, rel=1e-12, abs=1e-12)
    assert set(found.states(0).tolist()) == set(states.tolist())
    np.testing.assert_allclose(found.cost_to_go, back[found.state], rtol=1e-12, atol=1e-12)
    assert (np.diff(found.cost_to_go) >= 0).all()
    assert found.state[found.origin[0]] == origin
    assert set(found.state[: found.num_goals[0]].tolist()) == set(states.tolist()) & set(goals.tolist())
    inside = np.isin(turns.from_edge, states) & np.isin(turns.to_edge, states)
    if is_absorbing:
        inside &= ~np.isin(turns.from_edge, goals)
    assert sorted(found.turn.tolist()) == np.flatnonzero(inside).tolist()
    np.testing.assert_array_equal(found.state[found.head], turns.to_edge[found.turn])
    tails = np.repeat(found.state, np.diff(found.first_turn))
    np.testing.assert_array_equal(tails, turns.from_edge[found.turn])


@settings(max_examples=150, deadline=None)
@given(road_networks(), st.integers(0, 2**32 - 1), st.sampled_from(TAUS), st.booleans())
def test_random_networks(network, seed, tau, is_absorbing):
    """Parallel edges, self-loops, dead ends, banned turns, pairs that nothing joins."""
    random, turns = np.random.default_rng(seed), network.turns
    cost = random.uniform(0.05, 2.0, turns.num_turns)
    workspace = Workspace(turns.num_edges, 1000)
    for _ in range(3):  # in one workspace: what an earlier search left must not show
        origin = int(random.integers(turns.num_edges))
        last = int(random.integers(turns.num_edges))
        goals = [last] if is_absorbing else np.flatnonzero(network.graph.head == network.graph.head[last])
        check(turns, cost, origin, np.array(goals, np.int32), tau, is_absorbing, workspace)


@pytest.mark.parametrize("tau", TAUS)
def test_ties_and_equal_costs(tau):
    """Every street costs the same, so that whole rims tie: rounding must not decide who is in."""
    network = make_grid(9, 9)
    cost = np.full(network.turns.num_turns, 0.1)
    workspace = Workspace(network.graph.num_edges, 10_000)
    for origin, goal in ((0, 250), (17, 17), (100, 101), (280, 3)):
        check(network.turns, cost, origin, np.array([goal], np.int32), tau, True, workspace)


def test_many_trips_stand_one_after_the_other():
    network = make_grid(12, 12)
    turns, random = network.turns, np.random.default_rng(1)
    cost = random.uniform(0.5, 2.0, turns.num_turns)
    origins = random.integers(0, turns.num_edges, 40).astype(np.int32)
    goals = random.integers(0, turns.num_edges, 40).astype(np.int32)
    workspace, graph = Workspace(turns.num_edges, 10_000), make_search_graph(turns)
    whole = find_corridors(graph, cost, origins, np.arange(41), goals, 4.0, workspace, is_absorbing=True)
    for n in range(40):
        one = find_corridors(
            graph, cost, origins[n : n + 1], np.arange(2), goals[n : n + 1], 4.0, workspace, is_absorbing=True
        )
        np.testing.assert_array_equal(whole.states(n), one.states(0))
        low, high = whole.first_state[n : n + 2]
        span = slice(whole.first_turn[low], whole.first_turn[high])
        np.testing.assert_array_equal(whole.turn[span], one.turn)
        np.testing.assert_array_equal(whole.head[span], one.head)
    assert whole.num_bytes > 0


def test_a_search_stays_near_its_trip():
    """Two of its neighbours in a grid of 60 x 60 nodes: what is written is a handful of states."""
    network = make_grid(60, 60)
    cost = np.ones(network.turns.num_turns)
    workspace = Workspace(network.graph.num_edges, 100_000)
    found = find_corridors(
        make_search_graph(network.turns),
        cost,
        np.array([7000], np.int32),
        np.arange(2),
        network.turns.to_edge[network.turns.first_out[7000] :][:1],
        3.0,
        workspace,
        is_absorbing=True,
    )
    assert found.ended[0] == FOUND
    assert np.count_nonzero(workspace.stamp[0]) + np.count_nonzero(workspace.stamp[1]) < 150


def test_a_search_that_settles_too_much_stops():
    network = make_grid(12, 12)
    cost = np.ones(network.turns.num_turns)
    found = find_corridors(
        make_search_graph(network.turns),
        cost,
        np.array([0], np.int32),
        np.arange(2),
        np.array([network.graph.num_edges - 1], np.int32),
        50.0,
        Workspace(network.graph.num_edges, 40),
        is_absorbing=True,
    )
    assert found.ended[0] == TOO_LARGE


def test_hand_solved_ladder():
    """Two roads of cost 1 and 2 from node 1 to node 2: the second is in from a detour of 1 on."""
    network = make_network([0, 1, 1, 2], [1, 2, 2, 3])
    turns, cost = network.turns, np.array([1.0, 2.0, 1.0, 1.0])
    for tau, states in ((0.99, {0, 1, 3}), (1.0, {0, 1, 2, 3})):
        found = find_corridors(
            make_search_graph(turns),
            cost,
            np.array([0], np.int32),
            np.arange(2),
            np.array([3], np.int32),
            tau,
            Workspace(4, 10),
            is_absorbing=True,
        )
        assert set(found.states(0).tolist()) == states
        assert found.best_cost[0] == 2.0


def test_stamps_are_wiped_before_they_run_out():
    workspace = Workspace(4, 10)
    workspace.stamp[:] = 5
    workspace._searches = np.iinfo(np.int32).max - 3
    assert workspace.reserve(8) == 1
    assert not workspace.stamp.any()


def test_kernels_work_where_nothing_can_be_cached(monkeypatch):
    """numba refuses a cache at decoration where no folder can be written."""
    compile_ = numba.njit

    def refuse(**options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return compile_(**options)

    monkeypatch.setattr("numba.njit", refuse)
    assert kernel(lambda x: x + 1)(2) == 3
