"""Joining chains: against a naive walk and osmnx's rule, and what must survive it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import oracles
import pytest
from ascii_map import edges_of, town
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.core.errors import ConfigurationError
from trodden.core.types import Bools, Ints
from trodden.graphs.joining import attribute_breakpoints, join_chains, topological_breakpoints
from trodden.graphs.reading import read_roads
from trodden.graphs.road_graph import RoadNetwork


@st.composite
def segment_sets(draw: st.DrawFn) -> tuple[Ints, Ints, int]:
    """Roads as chains through fresh nodes between a few junctions: long degree-2 runs, rings, loops, parallels."""
    num_junctions = draw(st.integers(1, 4))
    pairs: list[tuple[int, int]] = []
    num_nodes = num_junctions
    for _ in range(draw(st.integers(1, 6))):
        length, both = draw(st.integers(0, 5)), draw(st.booleans())
        inner = list(range(num_nodes, num_nodes + length))
        num_nodes += length
        if draw(st.integers(0, 4)) == 0 and length >= 3:
            nodes = [*inner, inner[0]]  # an isolated ring
        else:
            nodes = [draw(st.integers(0, num_junctions - 1)), *inner, draw(st.integers(0, num_junctions - 1))]
        steps = list(pairwise(nodes))
        pairs += steps + ([(b, a) for a, b in steps] if both else [])
    order = draw(st.permutations(range(len(pairs))))
    columns = np.array([pairs[place] for place in order], np.int32)
    relabel = np.array(draw(st.permutations(range(num_nodes))), np.int32)
    return relabel[columns[:, 0]], relabel[columns[:, 1]], num_nodes


@settings(deadline=None)
@given(segment_sets(), st.integers(0, 2**32 - 1))
def test_join_equals_naive_walk(case: tuple[Ints, Ints, int], seed: int) -> None:
    tail, head, num_nodes = case
    stops = topological_breakpoints(tail, head, num_nodes)
    stops |= np.random.default_rng(seed).random(num_nodes) < 0.2
    chains = join_chains(tail, head, stops)
    got = {tuple(chains.segment[a:b].tolist()) for a, b in pairwise(chains.first)}
    assert got == oracles.join_naively(tail.tolist(), head.tolist(), set(np.flatnonzero(stops).tolist()))


@settings(deadline=None)
@given(segment_sets())
def test_join_then_expand_is_the_identity(case: tuple[Ints, Ints, int]) -> None:
    tail, head, num_nodes = case
    chains = join_chains(tail, head, topological_breakpoints(tail, head, num_nodes))
    assert sorted(chains.segment.tolist()) == list(range(len(tail)))  # every segment once
    inner = np.ones(len(tail), bool)
    inner[chains.first[:-1]] = False
    followers = chains.segment[np.flatnonzero(inner)]
    leaders = chains.segment[np.flatnonzero(inner) - 1]
    assert np.array_equal(head[leaders], tail[followers])  # and contiguous


@settings(deadline=None)
@given(segment_sets())
def test_breakpoints_equal_osmnx(case: tuple[Ints, Ints, int]) -> None:
    """Every endpoint of osmnx is one here; the rest are its two doubled one-way patterns."""
    tail, head, num_nodes = case
    got = set(np.flatnonzero(topological_breakpoints(tail, head, num_nodes)).tolist())
    want = oracles.osmnx_endpoints(tail.tolist(), head.tolist(), num_nodes)
    assert want <= got
    for node in got - want:
        into, out = tail[head == node].tolist(), head[tail == node].tolist()
        assert len(into) + len(out) == 4
        assert len(set(into)) < len(into) or len(set(out)) < len(out)


@settings(deadline=None)
@given(segment_sets())
def test_both_directions_break_at_the_same_nodes(case: tuple[Ints, Ints, int]) -> None:
    tail, head, num_nodes = case
    tail, head = np.concatenate([tail, head]), np.concatenate([head, tail])  # all roads two-way
    chains = join_chains(tail, head, topological_breakpoints(tail, head, num_nodes))
    paths = [(*tail[chains.segment[a:b]].tolist(), int(head[chains.segment[b - 1]])) for a, b in pairwise(chains.first)]
    assert sorted(paths) == sorted(path[::-1] for path in paths)


def test_attribute_breakpoints() -> None:
    tail, head = np.array([0, 1, 2], np.int32), np.array([1, 2, 3], np.int32)
    mask: Bools = attribute_breakpoints(tail, head, np.array([7, 7, 9]), 4)
    assert mask.tolist() == [False, False, True, False]


def test_no_segments() -> None:
    nothing = np.zeros(0, np.int32)
    chains = join_chains(nothing, nothing, topological_breakpoints(nothing, nothing, 3))
    assert chains.num_chains == 0


# ------------------------------------------------------------------------------------------------- on whole towns


LINE = "a-b-c-d-e"


@pytest.mark.parametrize(
    ("tags", "edges"),
    [
        ({}, ["abcde", "edcba"]),
        ({"bc": {"maxspeed": "30"}}, ["ab", "ba", "bc", "cb", "cde", "edc"]),
        ({"bc": {"highway": "tertiary"}}, ["ab", "ba", "bc", "cb", "cde", "edc"]),
        ({"bc": {"lanes": "3"}}, ["ab", "ba", "bc", "cb", "cde", "edc"]),
        ({"bc": {"surface": "gravel"}}, ["ab", "ba", "bc", "cb", "cde", "edc"]),
        ({"bc": {"toll": "yes"}}, ["ab", "ba", "bc", "cb", "cde", "edc"]),
        ({"bc": {"access": "destination"}}, ["ab", "ba", "bc", "cb", "cde", "edc"]),
        ({"bc": {"name": "High Street", "bridge": "yes"}}, ["abcde", "edcba"]),
        ({"bc": {"oneway": "yes"}}, ["ab", "ba", "bc", "cde", "edc"]),
    ],
)
def test_what_stops_a_chain(tags: dict[str, dict[str, str]], edges: list[str], tmp_path: Path) -> None:
    assert edges_of(read_roads(town(LINE, tags=tags).write(tmp_path))) == edges


def test_join_modes_keep_length_time_nodes_and_ways(tmp_path: Path) -> None:
    tags = {"bc": {"maxspeed": "30", "bridge": "yes", "name": "Bridge"}, "cd": {"maxspeed": "60"}}
    place = town(LINE, tags={**tags, "de": {"highway": "tertiary", "maxspeed": "60"}, "ab": {"maxspeed": "30"}})
    path = place.write(tmp_path)
    split, some, joined = (read_roads(path, join=join) for join in ("none", "attributes", "all"))
    assert (split.graph.num_edges, some.graph.num_edges, joined.graph.num_edges) == (8, 6, 2)
    for network in (some, joined):
        for column in ("length_m", "travel_time_s"):
            total = getattr(network.attributes, column).astype(float).sum()
            assert total == pytest.approx(getattr(split.attributes, column).astype(float).sum(), rel=1e-6)
    assert edges_of(joined) == ["abcde", "edcba"]
    ways = joined.shapes.osm_way.tolist()
    assert ways[:4] == ways[4:][::-1]
    assert sorted(ways[:4]) == [place.way_id(name) for name in ("ab", "bc", "cd", "de")]
    assert joined.attributes.speed_kmh == pytest.approx([40.0, 40.0])  # harmonic over equal lengths
    assert joined.attributes.is_bridge.tolist() == [True, True]
    with pytest.raises(ConfigurationError, match="everything"):
        read_roads(path, join="everything")  # type: ignore[arg-type]


def test_speeds_are_imputed_per_edge_and_class(tmp_path: Path) -> None:
    tags = {"ab": {"maxspeed": "20"}, "bc": {"highway": "tertiary"}, "de": {"highway": "primary"}}
    network = read_roads(town(LINE, tags=tags).write(tmp_path))
    speed = {
        network.attributes.road_class.text(edge) + str(edge): float(value)
        for edge, value in enumerate(network.attributes.speed_kmh)
    }
    assert {round(value) for key, value in speed.items() if key.startswith("residential")} == {20}
    assert {round(value) for key, value in speed.items() if key.startswith("tertiary")} == {45}
    assert network.report["speeds"] == {"tagged": 2, "class_mean": 2, "class_default": 4}


RING = """
a-b
| |
c-d
"""


def test_isolated_ring_is_kept(tmp_path: Path) -> None:
    network = read_roads(town(RING).write(tmp_path))
    assert network.graph.node_id.tolist() == [ord("a")]
    assert edges_of(network) == ["abdca", "acdba"]
    assert network.report["joining"]["rings_opened"] == 2
    assert network.report["shape"]["self_loops"] == 2


def test_ids_do_not_depend_on_order_or_surroundings(tmp_path: Path) -> None:
    ring = read_roads(town(RING).write(tmp_path, "one.osm"))
    both = town(RING.rstrip("\n") + "\n\n  e-f\n", tags={})
    larger = read_roads(both.write(tmp_path, "two.osm"))
    by_shape = dict(zip(map(str, _nodes(ring)), ring.graph.edge_id.tolist(), strict=True))
    larger_by_shape = dict(zip(map(str, _nodes(larger)), larger.graph.edge_id.tolist(), strict=True))
    # Way numbers follow the drawing's names, and e-f sorts last: the ring's ways keep their ids.
    assert {key: larger_by_shape[key] for key in by_shape} == by_shape
    assert max(larger_by_shape.values()) < 2**53
    assert len(set(larger_by_shape.values())) == larger.graph.num_edges


def _nodes(network: RoadNetwork) -> list[list[int]]:
    shapes = network.shapes
    assert shapes is not None
    return [shapes.osm_node[a:b].tolist() for a, b in pairwise(shapes.first_point)]
