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
from trodden.graphs.corridor_search import Workspace, find_corridors, joined, make_search_graph
from trodden.graphs.search_kernels import FOUND, TOO_LARGE, UNREACHABLE

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
    found = find_corridors(
        make_search_graph(turns),
        cost,
        np.array([origin], np.int32),
        np.array([0, len(goals)]),
        goals,
        tau,
        workspace,
        is_absorbing=is_absorbing,
    )
    check_trip(turns, cost, origin, goals, tau, is_absorbing, found, 0)


def check_trip(turns, cost, origin, goals, tau, is_absorbing, found, trip):
    states, best, back = definition(turns, cost, origin, goals, tau, is_absorbing)
    mine = found.states(trip)
    if not len(states):
        assert found.ended[trip] == UNREACHABLE
        assert len(mine) == 0
        return
    assert found.ended[trip] == FOUND
    assert found.best_cost[trip] == pytest.approx(best, rel=1e-12, abs=1e-12)
    assert set(mine.tolist()) == set(states.tolist())
    low, high = found.first_state[trip : trip + 2]
    togo = found.cost_to_go[low:high]
    np.testing.assert_allclose(togo, back[mine], rtol=1e-12, atol=1e-12)
    assert (np.diff(togo) >= 0).all()
    assert mine[found.origin[trip]] == origin
    assert set(mine[: found.num_goals[trip]].tolist()) == set(states.tolist()) & set(goals.tolist())
    inside = np.isin(turns.from_edge, states) & np.isin(turns.to_edge, states)
    if is_absorbing:
        inside &= ~np.isin(turns.from_edge, goals)
    span = slice(found.first_turn[low], found.first_turn[high])
    assert sorted(found.turn[span].tolist()) == np.flatnonzero(inside).tolist()
    np.testing.assert_array_equal(mine[found.head[span]], turns.to_edge[found.turn[span]])
    tails = np.repeat(mine, np.diff(found.first_turn[low : high + 1]))
    np.testing.assert_array_equal(tails, turns.from_edge[found.turn[span]])


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


@settings(max_examples=150, deadline=None)
@given(road_networks(), st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([7, 30, 1000]))
def test_trips_to_one_destination_share_a_disk(network, seed, is_absorbing, most_settled):
    """Widths of their own, unreachable ones among them, others before and after, and caps that undo the sharing."""
    random, turns = np.random.default_rng(seed), network.turns
    cost = random.uniform(0.05, 2.0, turns.num_turns)
    workspace = Workspace(turns.num_edges, most_settled)
    last = random.integers(0, turns.num_edges, 3).repeat([2, 19, 16])
    goals = [
        np.array([one] if is_absorbing else np.flatnonzero(network.graph.head == network.graph.head[one]), np.int32)
        for one in last
    ]
    first = np.concatenate([[0], np.cumsum([len(one) for one in goals])])
    origins = random.integers(0, turns.num_edges, len(last)).astype(np.int32)
    tau = random.choice([0.0, 0.7, 3.0], len(last))
    found = find_corridors(
        make_search_graph(turns),
        cost,
        origins,
        first,
        np.concatenate(goals),
        tau,
        workspace,
        is_absorbing=is_absorbing,
    )
    assert len(found) == len(last)
    for n in range(len(last)):
        if found.ended[n] == TOO_LARGE:
            assert turns.num_edges > most_settled
        else:
            check_trip(turns, cost, int(origins[n]), goals[n], tau[n], is_absorbing, found, n)


@pytest.mark.parametrize("num_destinations", [40, 2])
def test_a_search_stops_at_costs_that_are_not_known_and_goes_on(num_destinations):
    """One by one, and around a shared disk: the parts together are what one search with all costs finds."""
    network = make_grid(60, 60)
    turns, random = network.turns, np.random.default_rng(2)
    cost = random.uniform(0.5, 2.0, turns.num_turns)
    goals = np.sort(random.choice(turns.num_edges, num_destinations)).astype(np.int32).repeat(40 // num_destinations)
    origins = random.integers(0, turns.num_edges, 40).astype(np.int32)
    graph, workspace = make_search_graph(turns), Workspace(turns.num_edges, turns.num_edges)
    whole = find_corridors(graph, cost, origins, np.arange(41), goals, 4.0, workspace, is_absorbing=True)
    is_known, seen, parts, done = np.zeros(len(cost) // 4096 + 1, bool), np.full_like(cost, np.nan), [], 0
    while done < 40:
        part = find_corridors(
            graph,
            seen,
            origins[done:],
            np.arange(41 - done),
            goals[done:],
            4.0,
            workspace,
            is_absorbing=True,
            is_known=is_known,
        )
        parts.append(part)
        done += len(part)
        if done < 40:
            block = slice(part.unknown_block * 4096, (part.unknown_block + 1) * 4096)
            assert not is_known[part.unknown_block]
            seen[block], is_known[part.unknown_block] = cost[block], True
    assert len(parts) > 3
    together = joined(parts)
    for name in ("best_cost", "limit", "first_state", "state", "cost_to_go", "first_turn", "turn", "head", "origin"):
        np.testing.assert_allclose(getattr(together, name), getattr(whole, name), rtol=1e-12)


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
    assert np.count_nonzero(workspace.mark) < 150


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


def test_marks_are_wiped_before_they_run_out():
    workspace = Workspace(4, 10)
    workspace.mark[:] = 5
    workspace._searches = np.iinfo(np.int32).max // 2 - 3
    assert workspace.reserve(8) == 1
    assert not workspace.mark.any()


def test_kernels_work_where_nothing_can_be_cached(monkeypatch):
    """numba refuses a cache at decoration where no folder can be written."""
    compile_ = numba.njit

    def refuse(**options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return compile_(**options)

    monkeypatch.setattr("numba.njit", refuse)
    assert kernel(lambda x: x + 1)(2) == 3
