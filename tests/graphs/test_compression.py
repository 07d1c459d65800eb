"""Compressed graphs against dense algebra, networkx and listed turns of the original ones."""

from __future__ import annotations

import dataclasses

import dense
import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import make_grid, make_network, road_networks, towns
from trodden.graphs.compression import CompressionSteps, compress
from trodden.graphs.road_graph import ragged_rows
from trodden.graphs.shortest_paths import costs_to
from trodden.irl.destinations import make_destinations

STEPS = [
    CompressionSteps(),
    CompressionSteps(merge=False, dead_ends=False, crossings=False),
    CompressionSteps(component=False, dead_ends=False, crossings=False),
    CompressionSteps(crossings=False, max_fill=5),
    CompressionSteps(component=False, merge=False, crossings=False, max_fill=5),
    CompressionSteps(max_fill=8, max_degree=30),
]


@st.composite
def cases(draw):
    """(network, rewards of both signs, ending, destinations, origins, compression) with values that exist."""
    network = draw(st.one_of(towns(), road_networks(sizes=((5, 9), (9, 24)))))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reward = random.uniform(-3.0, 0.2, network.turns.num_turns) - draw(st.sampled_from([0.0, 1.0, 5.0]))
    assume(dense.radius_without(network.turns, reward, [], "stop") < 0.97)
    ending = draw(st.sampled_from(["arrival", "stop"]))
    upper = network.graph.num_edges if ending == "arrival" else network.graph.num_nodes
    ends = make_destinations(network.graph, random.permutation(upper)[:2].astype(np.int32), ending)
    origins = random.integers(0, network.graph.num_edges, 3).astype(np.int32)
    return network, reward, ends, origins, compress(network.turns, ends.edge, origins, draw(st.sampled_from(STEPS)))


def small_values(small, reward, goals, ending):
    """Dense values of the compressed graph, parallel turns added."""
    matrix = np.zeros((len(small.state),) * 2)
    np.add.at(matrix, (small.turns.from_edge, small.turns.to_edge), np.exp(reward))
    right = np.zeros(len(matrix))
    right[goals] = 1.0
    if ending == "arrival":
        matrix[goals] = 0.0
    graph = nx.MultiDiGraph(list(zip(small.turns.from_edge, small.turns.to_edge, strict=True)))
    graph.add_nodes_from(range(len(matrix)))
    reaches = set().union(*({g} | nx.ancestors(graph, g) for g in goals)) if len(goals) else set()
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(np.linalg.solve(np.eye(len(matrix)) - matrix, right))
    return np.where(np.isin(np.arange(len(matrix)), list(reaches)), value, -np.inf)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_values_are_those_of_dense_algebra(case):
    network, reward, ends, origins, small = case
    assert np.all(small.state_of[ends.edge] >= 0)
    assert np.all(small.state_of[origins] >= 0)
    for column in range(len(ends)):
        goals = ends.goals(column)
        want = dense.dense_values(network.turns, reward, goals.tolist(), ends.ending)
        found = small_values(small, small.to_turns(reward), small.state_of[goals], ends.ending)
        expanded = small.expand_values(reward, found[:, None])[:, 0]
        np.testing.assert_allclose(expanded[~small.is_dropped], want[~small.is_dropped], atol=1e-9, rtol=1e-9)
        is_asked = ~small.is_dropped[small.state]
        np.testing.assert_allclose(found[is_asked], want[small.state][is_asked], atol=1e-9, rtol=1e-9)
        assert np.isnan(expanded[small.is_dropped]).all()


@settings(max_examples=80, deadline=None)
@given(cases())
def test_only_edges_off_every_way_are_dropped(case):
    network, _, ends, origins, small = case
    graph = nx.DiGraph(list(zip(network.turns.from_edge.tolist(), network.turns.to_edge.tolist(), strict=True)))
    graph.add_nodes_from(range(network.turns.num_edges))
    ahead = set().union(*({o} | nx.descendants(graph, o) for o in origins.tolist()))
    behind = set().union(*({g} | nx.ancestors(graph, g) for g in ends.edge.tolist())) if len(ends.edge) else set()
    wanted = (ahead & behind) | set(origins.tolist())
    dropped = set(np.flatnonzero(small.is_dropped).tolist())
    assert dropped in (set(range(network.turns.num_edges)) - wanted, set())


@settings(max_examples=80, deadline=None)
@given(cases())
def test_compressed_turns_are_the_ways_between_states(case):
    """Every way from state to state through eliminated edges is one compressed turn, found by listing them."""
    network, _, _, _, small = case
    turns, first = network.turns, small.first_part
    is_state, found = small.state_of >= 0, set()
    for k in range(small.turns.num_turns):
        part = small.part[first[k] : first[k + 1]]
        assert turns.from_edge[part[0]] == small.state[small.turns.from_edge[k]]
        assert turns.to_edge[part[-1]] == small.state[small.turns.to_edge[k]]
        found.add(tuple(part.tolist()))
    waiting = [(t,) for t in range(turns.num_turns) if is_state[turns.from_edge[t]]]
    listed = set()
    while waiting:
        way = waiting.pop()
        end = turns.to_edge[way[-1]]
        if is_state[end]:
            listed.add(way)
        elif not small.is_dropped[end]:
            waiting += [(*way, t) for t in range(turns.first_out[end], turns.first_out[end + 1])]
    assert found == listed
    assert len(found) == small.turns.num_turns


@settings(max_examples=80, deadline=None)
@given(cases(), st.integers(0, 2**32 - 1))
def test_routes_come_back_as_they_were(case, seed):
    network, reward, ends, origins, small = case
    turns, random, goals = network.turns, np.random.default_rng(seed), set(ends.edge.tolist())
    for origin in origins:
        edge, route, whole = int(origin), [], None
        for _ in range(60):
            if edge in goals:
                whole = np.array(route, np.int32)
            onward = np.arange(turns.first_out[edge], turns.first_out[edge + 1])
            if not len(onward):
                break
            route.append(int(random.choice(onward)))
            edge = int(turns.to_edge[route[-1]])
        if whole is not None:
            compressed = small.compress_route(whole)
            np.testing.assert_array_equal(small.expand_route(compressed), whole)
            assert small.to_turns(reward)[compressed].sum() == pytest.approx(reward[whole].sum(), abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(cases())
def test_the_cheapest_ways_cost_what_they_did(case):
    network, reward, ends, _, small = case
    cost = np.abs(reward) + 1e-3
    if not len(ends.edge):
        return
    is_asked = ~small.is_dropped[small.state]
    want = costs_to(network.turns, cost, ends.edge)[small.state]
    parallel = nx.MultiDiGraph()
    parallel.add_nodes_from(range(len(small.state)))
    ways = zip(small.turns.from_edge.tolist(), small.turns.to_edge.tolist(), small.to_turns(cost), strict=True)
    parallel.add_weighted_edges_from(ways)
    found = costs_to(small.turns, small.to_turns(cost), small.state_of[ends.edge])
    np.testing.assert_allclose(found[is_asked], want[is_asked], atol=1e-9)
    for column, goal in enumerate(small.state_of[ends.edge].tolist()):
        by_networkx = nx.single_source_dijkstra_path_length(parallel.reverse(), goal)
        assert {s: pytest.approx(c) for s, c in by_networkx.items()} == {
            s: c for s, c in enumerate(found[:, column]) if np.isfinite(c)
        }


@settings(max_examples=60, deadline=None)
@given(st.one_of(towns(), road_networks()))
def test_without_trips_every_edge_of_the_largest_component_has_its_value(network):
    reward = np.full(network.turns.num_turns, -2.5)
    goal = np.flatnonzero(network.turns.is_main)[:1].astype(np.int32)
    small = compress(network.turns, goal)
    assert not (small.is_dropped & network.turns.is_main).any()
    assume(dense.radius_without(network.turns, reward, [], "stop") < 0.97)
    found = small_values(small, small.to_turns(reward), small.state_of[goal], "arrival")
    want = dense.dense_values(network.turns, reward, goal.tolist(), "arrival")
    rest = ~small.is_dropped
    np.testing.assert_allclose(small.expand_values(reward, found[:, None])[rest, 0], want[rest], atol=1e-9)


def dead_end_town(uturns):
    """A grid of 3 x 3 crossings with a street of two edges that ends: (network, edges of that street)."""
    grid = make_grid(3, 3).graph
    tail, head = np.append(grid.tail, [4, 9, 9, 10]), np.append(grid.head, [9, 10, 4, 9])
    network = make_network(tail, head, uturns=uturns)
    return network, np.flatnonzero((network.graph.head >= 9) | (network.graph.tail >= 9))


def test_a_dead_end_is_eliminated_with_its_uturn():
    network, street = dead_end_town(uturns=True)
    is_uturn = network.turns.is_uturn & ~np.isin(network.graph.head[network.turns.from_edge], [10])
    turns = without(network.turns, is_uturn)
    goals, origins = np.array([0], np.int32), np.array([20], np.int32)
    steps = CompressionSteps(crossings=False, max_fill=20, max_degree=99)
    small = compress(turns, goals, origins, steps)
    assert np.all(small.state_of[street] < 0)
    assert not small.is_dropped[street].any()
    reports = {report.step: report for report in small.reports}
    assert reports["dead_ends"].num_states < reports["merge"].num_states
    kept = compress(turns, goals, origins, dataclasses.replace(steps, dead_ends=False))
    assert np.any(kept.state_of[street] >= 0)


def test_a_dead_end_without_a_uturn_is_dropped():
    network, street = dead_end_town(uturns=False)
    small = compress(network.turns, np.array([0], np.int32), np.array([20], np.int32))
    assert small.is_dropped[street].all()


def without(turns, is_left_out):
    """The turns but some."""
    kept = ~is_left_out
    first = np.concatenate([[0], np.cumsum(np.bincount(turns.from_edge[kept], minlength=turns.num_edges))])
    none = np.zeros(int(kept.sum()), bool)
    return dataclasses.replace(
        turns,
        first_out=first.astype(np.int32),
        to_edge=turns.to_edge[kept],
        is_left=none,
        is_right=none,
        is_uturn=turns.is_uturn[kept],
    )


def test_rings_shrink_to_one_state_and_keep_it():
    ring = make_network([0, 1, 2, 3], [1, 2, 3, 0])
    steps = CompressionSteps(component=False)
    small = compress(ring.turns, np.zeros(0, np.int32), steps=steps)
    assert len(small.state) == 1
    assert small.turns.num_turns == 1  # its loop, which is why it cannot go
    assert sorted(small.part.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("degree", [3, 5])
def test_degrees_are_bounded(degree):
    turns = make_grid(9, 9).turns
    free = compress(turns, np.array([0], np.int32), steps=CompressionSteps(max_fill=30, max_degree=99))
    tight = compress(turns, np.array([0], np.int32), steps=CompressionSteps(max_fill=30, max_degree=degree))
    assert free.reports[-1].largest_out > tight.reports[-1].largest_out
    assert tight.reports[-1].largest_out <= max(degree, 4)


def test_the_table_grows():
    """So many turns that the first table is too small: elimination starts anew, with the same result to be trusted."""
    turns = make_grid(5, 5).turns
    steps = CompressionSteps(max_fill=400, max_degree=10_000)
    small = compress(turns, np.array([0], np.int32), np.array([30], np.int32), steps)
    reward = np.full(turns.num_turns, -3.0)
    assert small.turns.num_turns > 0
    found = small_values(small, small.to_turns(reward), small.state_of[[0]], "arrival")
    want = dense.dense_values(turns, reward, [0], "arrival")
    np.testing.assert_allclose(found, want[small.state], atol=1e-9)


def test_routes_that_do_not_fit_are_refused():
    turns = make_grid(3, 4).turns
    small = compress(turns, np.array([0], np.int32), np.array([30], np.int32))
    gone = int(np.flatnonzero(small.state_of < 0)[0])
    with pytest.raises(ValueError, match="begin and end at states"):
        small.compress_route(np.array([turns.first_out[gone]], np.int32))
    assert small.compress_route(np.zeros(0, np.int32)).tolist() == []


def test_the_line_about_it_names_every_step():
    small = compress(make_grid(3, 4).turns, np.array([0], np.int32), np.array([30], np.int32))
    for word in ("component", "merge", "dead_ends", "crossings", "largest out-degree"):
        assert word in small.describe()
    flat, _ = ragged_rows(small.first_part, np.arange(small.turns.num_turns))
    assert len(flat) == len(small.part)
