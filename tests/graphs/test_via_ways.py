"""Restrictions via ways: which walks are left, against walks checked for every forbidden sequence."""

from __future__ import annotations

import heapq
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import osm_files as made
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.graphs.export import to_networkx
from trodden.graphs.reading import format_report, read_roads
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.spatial import EdgeIndex
from trodden.graphs.store import load_network, save_network
from trodden.irl.demonstrations import read_demonstrations
from trodden.irl.node_routes import NodePaths
from trodden.routing.points import EdgeId, NodeId
from trodden.routing.router import Router

Rule = tuple[str, int, tuple[int, ...], int]
"""(kind, from way, via ways, to way)."""


def relation(number: int, kind: str, source: int, vias: tuple[int, ...], target: int) -> str:
    members = [("from", source), *(("via", via) for via in vias), ("to", target)]
    inner = "".join(f'<member type="way" ref="{ref}" role="{role}"/>' for role, ref in members)
    tags = f'<tag k="type" v="restriction"/><tag k="restriction" v="{kind}"/>'
    return f'<relation id="{number}" version="1">{inner}{tags}</relation>'


def read(folder: Path, items: list[str], rules: list[Rule], **options: str) -> RoadNetwork:
    relations = [relation(9000 + number, *rule) for number, rule in enumerate(rules)]
    return read_roads(made.write(folder, *items, *relations), **options)


def piece(network: RoadNetwork, edge: int) -> tuple[int, int, int]:
    """(node, node, way) of an edge of one segment."""
    shapes, graph = network.shapes, network.graph
    nodes = graph.node_id[[graph.tail[edge], graph.head[edge]]].tolist()
    return nodes[0], nodes[1], int(shapes.osm_way[shapes.first_way[edge]])


def walks(network: RoadNetwork, size: int) -> list[tuple[tuple[int, int, int], ...]]:
    """Every walk of so many edges that begins on an original, as pieces."""
    found = [(edge,) for edge in range(network.graph.num_edges) if edge not in network.original_edge]
    for _ in range(size - 1):
        found = [
            (*walk, int(onward))
            for walk in found
            for onward in network.turns.to_edge[slice(*network.turns.first_out[walk[-1] : walk[-1] + 2])]
        ]
    return [tuple(piece(network, edge) for edge in walk) for walk in found]


def is_forbidden(walk: tuple[tuple[int, int, int], ...], rules: list[Rule], out: dict[int, set[int]]) -> bool:
    """Whether a walk goes over all of a rule's via ways in a row and then where it must not."""
    ways = [way for _, _, way in walk]
    for kind, source, vias, target in rules:
        size = len(vias)
        for begin in range(len(walk) - size - 1):
            over = walk[begin + 1 : begin + 1 + size]
            nodes = [over[0][0], *(end for _, end, _ in over)]
            if ways[begin] != source or set(ways[begin + 1 : begin + 1 + size]) != set(vias):
                continue
            if len(set(nodes)) == size + 1 and target in out[nodes[-1]]:
                turns_in = ways[begin + 1 + size] == target
                if turns_in == kind.startswith("no_"):
                    return True
    return False


def ways_out(network: RoadNetwork) -> dict[int, set[int]]:
    out: dict[int, set[int]] = {int(node): set() for node in network.graph.node_id}
    for edge in range(network.graph.num_edges):
        begin, _, way = piece(network, edge)
        out[begin].add(way)
    return out


@st.composite
def towns_with_rules(draw):
    """OSM items of a small town, every way one segment, and restrictions via one or two ways of it."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nodes = [made.node(n, 41 + random.uniform(0, 0.01), -8 + random.uniform(0, 0.01)) for n in range(1, 7)]
    ends = [tuple(random.choice(6, 2, replace=False) + 1) for _ in range(10)]
    ways = [
        made.way(100 + n, [int(a), int(b)], **({"oneway": "yes"} if random.random() < 0.3 else {}))
        for n, (a, b) in enumerate(ends)
    ]
    rules = []
    for _ in range(int(random.integers(1, 6))):
        # A run of neighbouring ways, so that most rules say something.
        run = [int(random.integers(len(ends)))]
        for _ in range(int(random.integers(2, 4))):
            near = [w for w in range(len(ends)) if w not in run and set(ends[w]) & set(ends[run[-1]])]
            if near:
                run.append(int(random.choice(near)))
        if len(run) >= 3:
            kind = str(random.choice(["no_straight_on", "only_straight_on"]))
            rules.append((kind, 100 + run[0], tuple(100 + w for w in run[1:-1]), 100 + run[-1]))
    return [*nodes, *ways], rules


@settings(max_examples=25, deadline=None)
@given(towns_with_rules())
def test_the_walks_left_are_those_without_a_forbidden_sequence(case):
    items, rules = case
    with tempfile.TemporaryDirectory() as folder:
        plain = read(Path(folder), items, [], join="none", u_turns="everywhere")
        network = read(Path(folder), items, rules, join="none", u_turns="everywhere")
    out = ways_out(plain)
    got = walks(network, 5)
    assert len(set(got)) == len(got)  # every walk in one way
    assert set(got) == {walk for walk in walks(plain, 5) if not is_forbidden(walk, rules, out)}
    original = np.array([edge not in network.original_edge for edge in range(network.graph.num_edges)])
    assert (network.graph.edge_id[original] >= 0).all()
    np.testing.assert_array_equal(np.sort(network.graph.edge_id[original]), np.sort(plain.graph.edge_id))
    assert (network.graph.edge_id[~original] < 0).all()
    counts = network.report["restrictions"]["via_ways"]
    assert counts["edges_copied"] == (~original).sum()
    assert sum(counts["used"].values()) + sum(counts["without_effect"].values()) == len(rules)
    assert to_networkx(network).number_of_edges() == plain.graph.num_edges


def cheapest(plain: RoadNetwork, cost: dict[tuple[int, int, int], float], rules: list[Rule], first: int, last: int):
    """The cost of the cheapest walk from an edge to an edge that holds no forbidden sequence: states are the last four
    edges travelled."""
    out, queue, best = ways_out(plain), [(0.0, (first,))], {}
    while queue:
        total, state = heapq.heappop(queue)
        if state[-1] == last:
            return total
        if best.setdefault(state, total) < total:
            continue
        for onward in plain.turns.to_edge[slice(*plain.turns.first_out[state[-1] : state[-1] + 2])].tolist():
            walk = (*state, onward)
            if not is_forbidden(tuple(piece(plain, edge) for edge in walk), rules, out):
                heapq.heappush(queue, (total + cost[piece(plain, onward)], walk[-4:]))
    return np.inf


@settings(max_examples=10, deadline=None)
@given(towns_with_rules(), st.integers(0, 2**32 - 1))
def test_routes_are_the_cheapest_without_a_forbidden_sequence(case, seed):
    items, rules = case
    with tempfile.TemporaryDirectory() as folder:
        plain = read(Path(folder), items, [], join="none", u_turns="everywhere")
        network = read(Path(folder), items, rules, join="none", u_turns="everywhere")
    random = np.random.default_rng(seed)
    pieces = [piece(plain, edge) for edge in range(plain.graph.num_edges)]
    cost = {one: random.uniform(1, 9) for one in pieces}
    of_edge = np.array([cost[piece(network, edge)] for edge in range(network.graph.num_edges)])
    router = Router.from_costs(network, of_edge[network.turns.to_edge], of_edge)
    for _ in range(15):
        a, b = random.integers(0, plain.graph.num_edges, 2)
        want = cheapest(plain, cost, rules, int(a), int(b))
        pair = EdgeId(int(plain.graph.edge_id[a])), EdgeId(int(plain.graph.edge_id[b]))
        answer = router.routes([pair])[0]
        assert getattr(answer, "cost", np.inf) == pytest.approx(want, rel=1e-6)


#        6
#        |
#    1 - 2 - 3 - 4     via 2-3; 3-5 is what must not be entered
#            |
#            5
PLACES = {
    1: (41.0, -8.003),
    2: (41.0, -8.002),
    3: (41.0, -8.001),
    4: (41.0, -8.0),
    5: (40.999, -8.001),
    6: (41.001, -8.002),
}
TOWN = [
    *(made.node(number, *place) for number, place in PLACES.items()),
    made.way(12, [1, 2]),
    made.way(23, [2, 3]),
    made.way(34, [3, 4]),
    made.way(35, [3, 5]),
    made.way(26, [2, 6]),
]


def nodes_reached(network: RoadNetwork, *nodes: int) -> set[int]:
    """Where a route over these nodes may go on to."""
    (row,), faults = NodePaths(network).edges([np.array(nodes)])
    assert not faults
    assert all(network.turns.find(np.array([a]), np.array([b]))[0] >= 0 for a, b in pairwise(row.tolist()))
    onward = network.turns.to_edge[slice(*network.turns.first_out[row[-1] : row[-1] + 2])]
    return set(network.graph.node_id[network.graph.head[onward]].tolist())


def test_no_turn_binds_those_alone_who_come_from_there(tmp_path):
    network = read(tmp_path, TOWN, [("no_right_turn", 12, (23,), 35)])
    assert nodes_reached(network, 1, 2, 3) == {4}
    assert nodes_reached(network, 6, 2, 3) == {4, 5}
    assert nodes_reached(network, 2, 3) == {4, 5}
    assert nodes_reached(network, 1, 2) == {3, 6}
    counts = network.report["restrictions"]
    assert counts["via_ways"] == {"used": {"no_right_turn": 1}, "without_effect": {}, "edges_copied": 1}
    assert counts["not_used"] == {}
    assert "edges copied 1" in format_report(network)


def test_only_turn(tmp_path):
    network = read(tmp_path, TOWN, [("only_right_turn", 12, (23,), 35)])
    assert nodes_reached(network, 1, 2, 3) == {5}
    assert nodes_reached(network, 6, 2, 3) == {4, 5}
    assert nodes_reached(network, 1, 2) == {3, 6}  # it binds who drives the via to its end


def test_a_ban_that_leaves_the_u_turn_makes_a_dead_end(tmp_path):
    network = read(tmp_path, TOWN, [("no_right_turn", 12, (23,), 35), ("no_straight_on", 12, (23,), 34)])
    assert nodes_reached(network, 1, 2, 3) == {2}
    assert nodes_reached(network, 6, 2, 3) == {4, 5}
    assert nodes_reached(read(tmp_path, TOWN, [("no_u_turn", 12, (26,), 12)]), 1, 2, 6) == {2}


def test_two_via_ways_that_would_be_joined(tmp_path):
    """Nothing but the restriction keeps 2-3 and 3-4 apart: the chain is broken where they meet from and to."""
    items = [*(made.node(n, 41.0, -8 + n / 1000) for n in range(1, 7)), made.node(7, 41.001, -7.996)]
    items += [
        made.way(12, [1, 2]),
        made.way(23, [2, 3]),
        made.way(34, [3, 4]),
        made.way(45, [4, 5, 6]),
        made.way(47, [4, 7]),
    ]
    assert read(tmp_path, items, []).graph.num_edges == 6
    network = read(tmp_path, items, [("no_left_turn", 12, (34, 23), 47)])
    assert nodes_reached(network, 1, 2, 3, 4) == {6}
    assert nodes_reached(network, 2, 3, 4) == {6, 7}
    assert network.report["restrictions"]["via_ways"]["edges_copied"] == 2


def test_a_way_through_the_end_bends_the_named_way(tmp_path):
    items = [one for one in TOWN if 'id="3' not in one.split(" version")[0] or "node" in one]
    items.append(made.way(36, [4, 3, 5]))
    assert nodes_reached(read(tmp_path, items, [("no_right_turn", 12, (23,), 36)]), 1, 2, 3) == {4}
    assert nodes_reached(read(tmp_path, items, [("no_left_turn", 12, (23,), 36)]), 1, 2, 3) == {2}


@pytest.mark.parametrize("rule", [("no_right_turn", 12, (77,), 35), ("no_right_turn", 35, (26,), 12)])
def test_ways_that_do_not_meet_have_no_effect(rule, tmp_path):
    counts = read(tmp_path, TOWN, [rule]).report["restrictions"]["via_ways"]
    assert counts["used"] == {}
    assert sum(counts["without_effect"].values()) == 1
    assert counts["edges_copied"] == 0


def test_points_and_routes_know_one_road(tmp_path):
    network = read(tmp_path, TOWN, [("no_right_turn", 12, (23,), 35)])
    ((copy, edge),) = network.original_edge.items()
    assert network.copies_of == {edge: (copy,)}
    assert (network.edge_polyline(copy) == network.edge_polyline(edge)).all()
    assert not {snap.edge for snap in EdgeIndex(network).nearest(41.0, -8.0015)} & {copy}
    router = Router.from_costs(network, np.ones(network.turns.num_turns), np.ones(network.graph.num_edges))
    name = f"edge:{network.graph.edge_id[edge]}"
    assert router.route("node:1", name).edges[-1] == copy
    assert router.route("node:6", name).edges[-1] == edge
    assert router.route(name, "node:5").edges[0] == edge
    assert router.route((41.0, -8.0015), "node:5").nodes == [2, 3, 5]
    assert router.route("node:1", (41.0, -8.0015)).edges[-1] == copy
    assert router.route("node:1", NodeId(3)).edges[-1] == copy
    around = [1, 2, 6, 2, 3, 5], [1, 2, 3, 4, 3, 5]  # by a dead end and back
    assert router.route("node:1", "node:5").nodes in around
    found = router.alternatives("node:1", "node:5", 2, max_shared=1.0, num_drawn=0)
    assert sorted(one.route.nodes for one in found) == sorted(around)


def test_demonstrations_by_edge_and_by_node(tmp_path):
    network = read(tmp_path, TOWN, [("no_right_turn", 12, (23,), 35)])
    copy = next(iter(network.original_edge))
    own = [piece(network, edge)[:2] for edge in range(network.graph.num_edges)]
    ids = {pair: int(network.graph.edge_id[e]) for e, pair in enumerate(own) if e != copy}
    file = tmp_path / "routes.csv"
    rows = [[(1, 2), (2, 3), (3, 4)], [(1, 2), (2, 3), (3, 5)], [(6, 2), (2, 3), (3, 5)]]
    file.write_text(
        "route_id,links\n" + "".join(f"{n},{' '.join(str(ids[p]) for p in row)}\n" for n, row in enumerate(rows))
    )
    routes = read_demonstrations(file, network)
    assert [one.status for one in routes.skipped] == ["banned_turn"]
    assert copy in routes.route(0)
    assert copy not in routes.route(1)
    file.write_text("route_id,nodes\n0,1 2 3 4\n1,1 2 3 5\n2,6 2 3 5\n")
    again = read_demonstrations(file, network)
    assert again.edge.tolist() == routes.edge.tolist()


def test_copies_are_stored_and_stable(tmp_path):
    rules = [("no_right_turn", 12, (23,), 35), ("only_straight_on", 26, (23,), 34)]
    network = read(tmp_path, TOWN, rules)
    loaded = load_network(save_network(network, tmp_path / "stored"))
    assert loaded.original_edge == network.original_edge
    assert loaded.checksum == network.checksum
    again = read(tmp_path, TOWN[::-1], rules[::-1])
    assert again.checksum == network.checksum


def test_a_via_way_that_is_entered_from_there_alone(tmp_path):
    """Its original is never come to, and yet the road is on the main network: a coordinate finds it."""
    items = [*(made.node(number, *place) for number, place in PLACES.items())]
    items += [made.way(12, [1, 2]), made.way(23, [2, 3], oneway="yes"), made.way(34, [3, 4]), made.way(35, [3, 5])]
    items += [made.way(56, [5, 1])]
    network = read(tmp_path, items, [("no_straight_on", 12, (23,), 34)])
    ((copy, edge),) = network.original_edge.items()
    assert not network.turns.is_main[edge]
    assert network.turns.is_main[copy]
    router = Router.from_costs(network, np.ones(network.turns.num_turns), np.ones(network.graph.num_edges))
    assert router.route("node:1", (41.0, -8.0015)).edges[-1] == copy
    assert router.route((41.0, -8.0015), "node:4").nodes == [2, 3, 4]
    assert router.route("node:1", "node:4").osm_nodes == [2, 1, 5, 3, 4]  # 1 lies within the edge from 2 to 3
