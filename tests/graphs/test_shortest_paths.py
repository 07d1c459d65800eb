"""Dijkstra on the turn graph against networkx on the line graph."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from trodden.core.errors import MissingDataError, NonPositiveCostError
from trodden.graphs import shortest_paths as sp
from trodden.graphs.costs import fastest_costs, shortest_costs


def line_graph(turns, cost):
    graph = nx.DiGraph()
    graph.add_nodes_from(range(turns.num_edges))
    for a, b, c in zip(turns.from_edge.tolist(), turns.to_edge.tolist(), np.asarray(cost).tolist(), strict=True):
        graph.add_edge(a, b, weight=c)
    return graph


def networkx_costs(turns, cost):
    want = np.full((turns.num_edges, turns.num_edges), np.inf)
    for a, found in nx.all_pairs_dijkstra_path_length(line_graph(turns, cost)):
        for b, c in found.items():
            want[a, b] = c
    return want


@settings(max_examples=60, deadline=None)
@given(strategies.networks_with_costs())
def test_costs_in_both_directions_equal_networkx(case):
    network, cost = case
    turns = network.turns
    want = networkx_costs(turns, cost)
    everything = np.arange(turns.num_edges, dtype=np.int32)
    np.testing.assert_allclose(sp.costs_to(turns, cost, everything), want, rtol=1e-12)
    np.testing.assert_allclose(sp.costs_from(turns, cost, everything), want, rtol=1e-12)
    assert (sp.reachable_from(turns, everything[:1]) == np.isfinite(want[0])).all()
    assert (sp.reaching(turns, everything[:1]) == np.isfinite(want[:, 0])).all()


@settings(max_examples=30, deadline=None)
@given(strategies.networks_with_costs())
def test_paths_are_permitted_and_cost_what_the_tree_says(case):
    network, cost = case
    turns = network.turns
    tree = sp.paths_from(turns, cost, 0)
    for destination in range(turns.num_edges):
        path = tree.path(destination)
        if not np.isfinite(tree.cost[destination]):
            assert len(path) == 0
            continue
        assert path[0] == 0
        assert path[-1] == destination
        moves = turns.find(path[:-1], path[1:])
        assert (moves >= 0).all()
        assert cost[moves].sum() == pytest.approx(tree.cost[destination], rel=1e-12, abs=0)


@settings(max_examples=30, deadline=None)
@given(strategies.networks_with_costs())
def test_group_costs_are_the_least_of_their_members(case):
    network, cost = case
    turns, head = network.turns, network.graph.head
    groups = [np.flatnonzero(head == node).astype(np.int32) for node in range(network.graph.num_nodes)]
    got = sp.costs_to_any(turns, cost, groups)
    want = networkx_costs(turns, cost)
    for column, group in enumerate(groups):
        expected = want[:, group].min(axis=1) if len(group) else np.full(turns.num_edges, np.inf)
        np.testing.assert_allclose(got[:, column], expected, rtol=1e-12)


def test_a_limit_keeps_the_search_local():
    network = strategies.make_grid(1, 6)
    cost, _ = shortest_costs(network)
    destination = np.array([0], np.int32)
    near = sp.costs_to(network.turns, cost, destination, limit=250.0)[:, 0]
    far = sp.costs_to(network.turns, cost, destination)[:, 0]
    assert (near[far <= 250] == far[far <= 250]).all()
    assert np.isinf(near[far > 250]).all()


def test_no_destination_gives_no_column():
    network = strategies.make_grid(2, 2)
    assert sp.costs_to(network.turns, np.ones(network.turns.num_turns), np.empty(0, np.int32)).shape == (8, 0)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf, -np.inf])
def test_bad_costs_are_refused_and_named_by_source_ids(bad):
    network = strategies.make_grid(2, 2)
    cost = np.ones(network.turns.num_turns)
    cost[3] = bad
    with pytest.raises(NonPositiveCostError) as caught:
        sp.check_costs(network.turns, cost, network.graph.edge_id)
    assert caught.value.num_turns == 1
    assert caught.value.from_edge == network.graph.edge_id[network.turns.from_edge[3]]
    assert caught.value.to_edge == network.graph.edge_id[network.turns.to_edge[3]]
    with pytest.raises(NonPositiveCostError):
        sp.costs_to(network.turns, cost, np.array([0], np.int32))


def test_the_number_of_costs_is_checked():
    network = strategies.make_grid(2, 2)
    with pytest.raises(ValueError, match="one cost for each"):
        sp.costs_to(network.turns, np.ones(3), np.array([0], np.int32))


def test_plain_costs_are_of_the_edge_entered():
    network = strategies.make_grid(2, 3, spacing_m=50)
    turn_cost, entry = fastest_costs(network)
    assert (turn_cost == 5.0).all()
    assert (entry == 5.0).all()
    assert (shortest_costs(network)[0] == 50.0).all()


def test_plain_costs_need_their_attribute():
    network = strategies.make_grid(2, 2)
    bare = type(network)(network.graph, type(network.attributes)(), network.turns, None, {}, "")
    with pytest.raises(MissingDataError, match="travel_time_s"):
        fastest_costs(bare)
    with pytest.raises(MissingDataError):
        shortest_costs(bare)
