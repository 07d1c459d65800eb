"""Turns: one drawn town per restriction kind, U-turn rules, roundabouts, one-way roads, angles."""

from __future__ import annotations

from pathlib import Path

import ascii_map
import numpy as np
import pytest
from ascii_map import edges_of, town, turns_of
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import road_networks
from trodden.core.errors import ConfigurationError
from trodden.graphs.moves import UTurns, candidate_turns, finish_turns
from trodden.graphs.reading import read_roads
from trodden.graphs.road_graph import RoadNetwork

CROSS = """
  a
  |
b-c-d
  |
  e
"""
FROM_WEST = {"bca", "bcd", "bce"}
"""Left, straight on, right."""


def read(place: ascii_map.Town, folder: Path, **options: object) -> RoadNetwork:
    return read_roads(place.write(folder), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "target", "left_over"),
    [
        ("no_left_turn", "ac", {"bcd", "bce"}),
        ("no_right_turn", "ce", {"bca", "bcd"}),
        ("no_straight_on", "cd", {"bca", "bce"}),
        ("no_entry", "cd", {"bca", "bce"}),
        ("no_exit", "cd", {"bca", "bce"}),
        ("only_left_turn", "ac", {"bca"}),
        ("only_right_turn", "ce", {"bce"}),
        ("only_straight_on", "cd", {"bcd"}),
    ],
)
def test_each_restriction_kind(kind: str, target: str, left_over: set[str], tmp_path: Path) -> None:
    network = read(town(CROSS, bans=[(kind, "bc", "c", target)]), tmp_path)
    moves = turns_of(network)
    assert {move for move in moves if move.startswith("bc")} == left_over
    # Nobody else is touched: three moves from each other arm, and the U-turns at the four dead ends.
    assert len(moves) == len(left_over) + 3 * 3 + 4
    assert network.report["restrictions"]["used"] == {kind: 1}
    assert network.report["restrictions"]["relations"] == 1


def test_no_u_turn(tmp_path: Path) -> None:
    place = town(CROSS, bans=[("no_u_turn", "bc", "c", "bc")])
    moves = turns_of(read(place, tmp_path, u_turns="everywhere"))
    assert "bcb" not in moves
    assert {"aca", "dcd", "ece"} <= moves
    assert {move for move in moves if move.startswith("bc")} == FROM_WEST


def test_only_u_turn(tmp_path: Path) -> None:
    place = town(CROSS, bans=[("only_u_turn", "bc", "c", "bc")])
    assert {move for move in turns_of(read(place, tmp_path)) if move.startswith("bc")} == {"bcb"}


def test_no_u_turn_between_carriageways(tmp_path: Path) -> None:
    drawing = """
a<b<c
  |
d>e>f
"""
    place = town(drawing, bans=[("no_u_turn", "de", "e", "be")])
    moves = turns_of(read(place, tmp_path))
    assert "deb" not in moves
    assert "def" in moves


def test_no_entry_from_several_roads(tmp_path: Path) -> None:
    members = [("way", 1001, "from"), ("way", 1000, "from"), ("node", ord("c"), "via"), ("way", 1002, "to")]
    place = town(CROSS, relations=[({"type": "restriction", "restriction": "no_entry"}, members)])
    assert [place.way_id(name) for name in ("ac", "bc", "cd")] == [1000, 1001, 1002]
    moves = turns_of(read(place, tmp_path))
    assert not moves & {"acd", "bcd"}
    assert "ecd" in moves


def test_only_also_bans_the_u_turn(tmp_path: Path) -> None:
    place = town(CROSS, bans=[("only_right_turn", "bc", "c", "ce")])
    assert "bcb" not in turns_of(read(place, tmp_path, u_turns="everywhere"))


def test_bans_that_leave_only_the_u_turn_make_a_dead_end(tmp_path: Path) -> None:
    bans = [("no_left_turn", "bc", "c", "ac"), ("no_right_turn", "bc", "c", "ce"), ("no_straight_on", "bc", "c", "cd")]
    network = read(town(CROSS, bans=bans), tmp_path)
    assert {move for move in turns_of(network) if move.startswith("bc")} == {"bcb"}
    never = read(town(CROSS, bans=bans), tmp_path, u_turns="never")
    assert not {move for move in turns_of(never) if move.startswith("bc")}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"except": "bicycle;motorcar"}, "except motor cars"),
        ({"except": "motor_vehicle"}, "except motor cars"),
        ({"hour_on": "07:00"}, "conditional"),
        ({"restriction": "no_flying"}, "unknown kind"),
    ],
)
def test_restrictions_that_do_not_bind(more: dict[str, str], reason: str, tmp_path: Path) -> None:
    network = read(town(CROSS, bans=[("no_left_turn", "bc", "c", "ac")], ban_tags=more), tmp_path)
    assert turns_of(network) >= FROM_WEST
    assert network.report["restrictions"]["not_used"] == {reason: 1}


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"type": "restriction", "restriction:hgv": "no_left_turn"}, "other vehicles"),
        ({"type": "restriction:bus", "restriction": "no_left_turn"}, "other vehicles"),
        ({"type": "restriction", "restriction:conditional": "no_left_turn @ (Mo-Fr)"}, "conditional"),
        ({"type": "restriction"}, "incomplete"),
    ],
)
def test_restrictions_for_others(tags: dict[str, str], reason: str, tmp_path: Path) -> None:
    members = [("way", 1001, "from"), ("node", ord("c"), "via"), ("way", 1000, "to")]
    network = read(town(CROSS, relations=[(tags, members)]), tmp_path)
    assert turns_of(network) >= FROM_WEST
    assert network.report["restrictions"]["not_used"] == {reason: 1}


def test_restriction_for_motorcar_binds(tmp_path: Path) -> None:
    members = [("way", 1001, "from"), ("node", ord("c"), "via"), ("way", 1000, "to")]
    tags = {"type": "restriction", "restriction:motorcar": "no_left_turn"}
    assert "bca" not in turns_of(read(town(CROSS, relations=[(tags, members)]), tmp_path))


def test_restriction_of_unknown_ways_has_no_effect(tmp_path: Path) -> None:
    members = [("way", 77, "from"), ("node", ord("c"), "via"), ("way", 1002, "to")]
    tags = {"type": "restriction", "restriction": "no_left_turn"}
    report = read(town(CROSS, relations=[(tags, members)]), tmp_path).report["restrictions"]
    assert report["used"] == {}
    assert sum(report["without_effect"].values()) == 1


def test_way_through_via_bends_the_named_way(tmp_path: Path) -> None:
    """One way b-c-d: "no left turn into ca" means the traffic from b, not that from d, for which ca lies right."""
    place = town(CROSS, ways=["bcd"], bans=[("no_left_turn", "bcd", "c", "ac")])
    moves = turns_of(read(place, tmp_path))
    assert "bca" not in moves
    assert "dca" in moves
    assert {"bcd", "dcb"} <= moves


def test_way_through_via_without_a_side_bans_all_pairs(tmp_path: Path) -> None:
    place = town(CROSS, ways=["bcd"], bans=[("no_entry", "bcd", "c", "ac")])
    moves = turns_of(read(place, tmp_path))
    assert not moves & {"bca", "dca"}
    assert {"bcd", "dcb"} <= moves


def test_u_turn_ban_on_a_way_through_via_spares_its_continuation(tmp_path: Path) -> None:
    place = town(CROSS, ways=["bcd"], bans=[("no_u_turn", "bcd", "c", "bcd")])
    moves = turns_of(read(place, tmp_path, u_turns="everywhere"))
    assert not moves & {"bcb", "dcd"}
    assert {"bcd", "dcb"} <= moves


def test_chains_are_not_joined_through_a_via_node(tmp_path: Path) -> None:
    place = town("a-b-c", ways=["abc"], bans=[("no_u_turn", "abc", "b", "abc")])
    assert edges_of(read(place, tmp_path)) == ["ab", "ba", "bc", "cb"]
    joined = read(place, tmp_path, join="all")
    assert edges_of(joined) == ["abc", "cba"]
    assert joined.report["restrictions"]["without_effect"] == {"via node is no junction here": 1}


def test_restriction_on_joined_edges(tmp_path: Path) -> None:
    """The from way ends at via, but its edge begins a node earlier, on another way."""
    drawing = """
    a
    |
f-b-c-d
"""
    place = town(drawing, bans=[("no_left_turn", "bc", "c", "ac")])
    network = read(place, tmp_path)
    assert "fbc" in edges_of(network)
    assert "fca" not in turns_of(network)
    assert "fcd" in turns_of(network)


# --------------------------------------------------------------------------------------------------- U-turn rules


def test_u_turn_rules(tmp_path: Path) -> None:
    place = town(CROSS)
    ends = {"cac", "cbc", "cdc", "cec"}
    middle = {"aca", "bcb", "dcd", "ece"}
    dead_ends = read(place, tmp_path)
    assert turns_of(dead_ends) >= ends
    assert not turns_of(dead_ends) & middle
    assert dead_ends.report["turns"]["dead_ends"] == 4
    assert turns_of(read(place, tmp_path, u_turns="everywhere")) >= ends | middle
    assert not turns_of(read(place, tmp_path, u_turns="never")) & (ends | middle)
    with pytest.raises(ConfigurationError, match="sometimes"):
        read(place, tmp_path, u_turns="sometimes")


def test_parallel_road_is_no_u_turn(tmp_path: Path) -> None:
    """Two roads between b and c: going out by one and back by the other is no U-turn."""
    drawing = """
a-b-c-d
  | |
  e-f
"""
    place = town(drawing, ways=["befc"])
    network = read(place, tmp_path)
    kinds = {
        (edges_of_one(network, a), edges_of_one(network, b)): bool(is_uturn)
        for a, b, is_uturn in zip(network.turns.from_edge, network.turns.to_edge, network.turns.is_uturn, strict=True)
    }
    assert kinds[("bc", "cfeb")] is False
    assert kinds[("befc", "cb")] is False
    assert ("bc", "cb") not in kinds


def edges_of_one(network: RoadNetwork, edge: int) -> str:
    shapes = network.shapes
    assert shapes is not None
    return "".join(chr(node) for node in shapes.osm_node[shapes.first_point[edge] : shapes.first_point[edge + 1]])


# --------------------------------------------------------------------------------------------- directions, angles


def test_roundabout_is_one_way(tmp_path: Path) -> None:
    drawing = """
a-b-c
  | |
  e-f
"""
    place = town(drawing, ways=["befcb"], tags={"befcb": {"junction": "roundabout"}})
    network = read(place, tmp_path)
    assert edges_of(network) == ["ab", "ba", "befcb"]
    assert network.report["ways"]["direction_by"]["roundabout"] == 1
    # From the arm into the ring, once round, and out again; the ring may be driven on.
    assert turns_of(network) == {"abb", "bbb", "bba", "bab"}


def test_oneway_backwards(tmp_path: Path) -> None:
    network = read(town("a<b-c"), tmp_path)
    assert edges_of(network) == ["ba", "bc", "cb"]
    assert network.turns.num_turns == 2  # c-b-a, and the U-turn at c; a leads nowhere
    assert network.report["turns"]["edges_without_a_move"] == 1


def test_angles_and_sides(tmp_path: Path) -> None:
    network = read(town(CROSS), tmp_path, u_turns="everywhere")
    angle = {}
    letters = [chr(node) for node in network.graph.node_id]
    turns, graph = network.turns, network.graph
    assert turns.angle_deg is not None
    for turn in range(turns.num_turns):
        a, b = turns.from_edge[turn], turns.to_edge[turn]
        name = letters[graph.tail[a]] + letters[graph.head[a]] + letters[graph.head[b]]
        angle[name] = (float(turns.angle_deg[turn]), bool(turns.is_left[turn]), bool(turns.is_right[turn]))
    assert angle["bca"] == (pytest.approx(-90, abs=0.1), True, False)
    assert angle["bce"] == (pytest.approx(90, abs=0.1), False, True)
    assert angle["bcd"] == (pytest.approx(0, abs=0.1), False, False)
    assert angle["bcb"] == (180.0, False, False)


def test_every_pair_is_a_candidate_and_groups_ascend(tmp_path: Path) -> None:
    network = read(town(CROSS), tmp_path, join="none")
    moves = candidate_turns(network.graph, network.shapes)
    want = [
        (a, b)
        for a in range(network.graph.num_edges)
        for b in range(network.graph.num_edges)
        if network.graph.head[a] == network.graph.tail[b]
    ]
    assert list(zip(moves.from_edge.tolist(), moves.to_edge.tolist(), strict=True)) == want
    assert np.array_equal(moves.find(moves.from_edge, moves.to_edge), np.arange(moves.num_turns))


@settings(deadline=None)
@given(road_networks())
def test_find_equals_a_dictionary(network: RoadNetwork) -> None:
    turns = network.turns
    pairs = zip(turns.from_edge.tolist(), turns.to_edge.tolist(), strict=True)
    known = {pair: turn for turn, pair in enumerate(pairs)}
    begin, end = (one.reshape(-1).astype(np.int32) for one in np.indices((turns.num_edges, turns.num_edges)))
    want = [known.get(pair, -1) for pair in zip(begin.tolist(), end.tolist(), strict=True)]
    assert turns.find(begin, end).tolist() == want


@settings(deadline=None)
@given(road_networks(), st.sampled_from(["dead_ends", "everywhere", "never"]), st.integers(0, 2**32 - 1))
def test_u_turn_rule_equals_naive(network: RoadNetwork, rule: UTurns, seed: int) -> None:
    moves = candidate_turns(network.graph, None)
    banned = np.random.default_rng(seed).random(moves.num_turns) < 0.3
    turns, report = finish_turns(moves, banned, u_turns=rule, report={})
    tail, head = network.graph.tail, network.graph.head
    want = set()
    for a in range(network.graph.num_edges):
        follow = [
            int(b)
            for b, is_banned in zip(moves.to_edge[moves.from_edge == a], banned[moves.from_edge == a], strict=True)
            if not is_banned
        ]
        back = {b for b in follow if head[b] == tail[a] and tail[a] != head[a]}
        if rule == "never" or (rule == "dead_ends" and len(back) < len(follow)):
            follow = [b for b in follow if b not in back]
        want |= {(a, b) for b in follow}
    assert set(zip(turns.from_edge.tolist(), turns.to_edge.tolist(), strict=True)) == want
    assert report["turns"] == turns.num_turns == len(want)
