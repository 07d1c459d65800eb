"""Routes given as OSM nodes: full lists, junctions alone, mixtures, and what tells parallel edges apart."""

from __future__ import annotations

import dataclasses

import irl_oracles as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import make_network, road_networks
from trodden.graphs.road_graph import EdgeShapes
from trodden.irl.demonstrations import read_demonstrations
from trodden.irl.node_routes import NodePaths

# Junctions 10, 11, 12. Two edges 10 -> 11 (by 50 and by 60, 61), 11 -> 10 back along 50, 11 -> 12 straight, 12 -> 10 by
# 70, a loop at 12 by 80, 81. Lengths: the way by 50 is the shorter.
NODES = [[10, 50, 11], [10, 60, 61, 11], [11, 50, 10], [11, 12], [12, 70, 10], [12, 80, 81, 12]]
LENGTHS = [100.0, 300.0, 100.0, 50.0, 80.0, 90.0]
SHORT, LONG, BACK, STRAIGHT, HOME, LOOP = range(6)


@pytest.fixture(scope="module")
def network():
    tail, head = [nodes[0] - 10 for nodes in NODES], [nodes[-1] - 10 for nodes in NODES]
    plain = make_network(tail, head, length_m=np.array(LENGTHS))
    first = np.concatenate([[0], np.cumsum([len(nodes) for nodes in NODES])]).astype(np.int64)
    points = np.concatenate(NODES).astype(np.int64)
    zeros, ways = np.zeros(len(points), np.int32), np.arange(len(NODES) + 1, dtype=np.int64)
    return dataclasses.replace(plain, shapes=EdgeShapes(first, points, zeros, zeros, ways, ways[:-1]))


def edges(network, *nodes):
    (row,), faults = NodePaths(network).edges([np.array(nodes, np.int64)])
    assert faults == {}
    return row.tolist()


@pytest.mark.parametrize(
    ("nodes", "want"),
    [
        ((10, 50, 11, 12, 70, 10), [SHORT, STRAIGHT, HOME]),  # every node
        ((10, 11, 12, 10), [SHORT, STRAIGHT, HOME]),  # junctions alone: the shorter of the parallel edges
        ((10, 60, 61, 11, 12, 10), [LONG, STRAIGHT, HOME]),  # a mixture: a node inside tells the longer one
        ((61, 11, 12), [LONG, STRAIGHT]),  # from inside an edge
        ((11, 12, 70), [STRAIGHT, HOME]),  # to inside an edge
        ((60, 61), [LONG]),  # within one
        ((12, 80, 81, 12, 70, 10), [LOOP, HOME]),  # a loop, every node
        ((12, 12, 10), [LOOP, HOME]),  # a loop, junctions alone
        ((12, 80, 81, 12, 80, 81, 12), [LOOP, LOOP]),  # twice round
        ((12, 12, 12), [LOOP, LOOP]),
        ((12, 80, 81, 12, 12), [LOOP, LOOP]),
        ((10, 50, 11, 50, 10), [SHORT, BACK]),  # back along the same road
        ((10, 11, 10), [SHORT, BACK]),
        ((10, 50, 11, 10, 11), [SHORT, BACK, SHORT]),
        ((10,), []),
        ((), []),
    ],
)
def test_the_edges_along_some_nodes(network, nodes, want):
    assert edges(network, *nodes) == want


@pytest.mark.parametrize(
    ("nodes", "detail"),
    [
        ((10, 11, 99), "from node 11 to node 99"),
        ((12, 11), "from node 12 to node 11"),  # against the direction
        ((10, 61, 11), "from node 10 to node 61"),  # a node left out
        ((10, 10), "from node 10 to node 10"),
    ],
)
def test_nodes_that_no_edge_joins(network, nodes, detail):
    rows, faults = NodePaths(network).edges([np.array(nodes), np.array([11, 12])])
    assert faults == {0: ("unknown_node", detail)}
    assert [row.tolist() for row in rows] == [[], [STRAIGHT]]


def test_turning_round_inside_an_edge_is_not_taken_for_a_turn_at_its_end(network):
    _, faults = NodePaths(network).edges([np.array([10, 50, 10])])
    assert faults == {0: ("banned_turn", "turns round at node 50, inside an edge")}


def test_a_file_of_nodes(network, tmp_path):
    path = tmp_path / "routes.csv"
    path.write_text("route_id,nodes\na,10 50 11 12\nb,10 11 12 10\nc,10 99 11\nd,10\n")
    routes = read_demonstrations(path, network)
    assert [routes.route(row).tolist() for row in range(2)] == [[SHORT, STRAIGHT], [SHORT, STRAIGHT, HOME]]
    assert [(s.route_id, s.status) for s in routes.skipped] == [("c", "unknown_node"), ("d", "empty")]


def test_a_network_without_shapes_has_junctions_alone():
    network = make_network([0, 1, 1], [1, 2, 2], length_m=np.array([10.0, 30.0, 20.0]))
    assert edges(network, 10, 11, 12) == [0, 2]
    _, faults = NodePaths(network).edges([np.array([10, 50])])
    assert list(faults) == [0]


def by_junctions(network, walk, is_full=None):
    """Each edge (but those given in full) by the shortest with its ends that the one before may turn onto, if any."""
    graph, length, path = network.graph, network.edge_length_m(), []
    for step, edge in enumerate(walk):
        if is_full is not None and is_full[step] and len(naive.edge_nodes(network, edge)) > 2:
            path.append(edge)
            continue
        ends = graph.tail[edge], graph.head[edge]
        same = [e for e in range(graph.num_edges) if (graph.tail[e], graph.head[e]) == ends]
        after = naive.successors(network.turns, path[-1]) if path else same
        path.append(min([e for e in same if e in after] or same, key=lambda e: length[e]))
    return path


@st.composite
def shaped_walks(draw):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    network = naive.with_shapes(draw(road_networks()), random)
    walks = [naive.random_walk(network.turns, random, int(random.integers(1, 9))) for _ in range(8)]
    return network, [walk for walk in walks if walk], random


def joined(parts):
    nodes = list(parts[0])
    for part in parts[1:]:
        assert part[0] == nodes[-1]
        nodes += part[1:]
    return np.array(nodes, np.int64)


@settings(deadline=None, max_examples=100)
@given(shaped_walks())
def test_walks_come_back_from_their_nodes(case):
    network, walks, random = case
    graph = network.graph

    def ends(edge):
        return [int(graph.node_id[graph.tail[edge]]), int(graph.node_id[graph.head[edge]])]

    full = [joined([naive.edge_nodes(network, e) for e in walk]) for walk in walks]
    rows, faults = NodePaths(network).edges(full)
    assert faults == {}
    assert [row.tolist() for row in rows] == walks

    junctions = [joined([ends(e) for e in walk]) for walk in walks]
    rows, faults = NodePaths(network).edges(junctions)
    assert faults == {}
    assert [row.tolist() for row in rows] == [by_junctions(network, walk) for walk in walks]

    is_full = [[bool(random.random() < 0.5) for _ in walk] for walk in walks]
    mixed = [
        joined([naive.edge_nodes(network, e) if whole else ends(e) for e, whole in zip(walk, flags, strict=True)])
        for walk, flags in zip(walks, is_full, strict=True)
    ]
    rows, faults = NodePaths(network).edges(mixed)
    assert faults == {}
    want = [by_junctions(network, walk, flags) for walk, flags in zip(walks, is_full, strict=True)]
    assert [row.tolist() for row in rows] == want


@settings(deadline=None, max_examples=50)
@given(shaped_walks())
def test_a_walk_may_begin_and_end_inside_an_edge(case):
    network, walks, random = case
    cut, want = [], []
    for walk in walks:
        nodes = joined([naive.edge_nodes(network, e) for e in walk])
        head, tail = len(naive.edge_nodes(network, walk[0])), len(naive.edge_nodes(network, walk[-1]))
        begin, end = int(random.integers(0, head - 1)), len(nodes) - int(random.integers(0, tail - 1))
        if end - begin >= 2 and len(walk) > 1:
            cut.append(nodes[begin:end])
            want.append(walk)
    rows, faults = NodePaths(network).edges(cut)
    assert faults == {}
    assert [row.tolist() for row in rows] == want
