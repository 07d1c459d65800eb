"""Features worked out of others, on a junction drawn by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from osm_files import node, way, write
from strategies import make_network
from trodden.core.errors import ConfigurationError
from trodden.graphs.reading import read_roads
from trodden.graphs.road_graph import EdgeAttributes, RoadNetwork
from trodden.irl.features import available_names, make_features

WEST, NORTH, EAST, SOUTH, MIDDLE = 1, 2, 3, 4, 5


def crossroads(folder: Path, *, drive_on: str = "right") -> RoadNetwork:
    """A two-way primary road from west to east, crossed by a one-way residential street from south to north."""
    places = {WEST: (41.0, -8.001), EAST: (41.0, -7.999), NORTH: (41.001, -8.0), SOUTH: (40.999, -8.0)}
    nodes = [node(number, *place) for number, place in places.items()]
    middle = node(MIDDLE, 41.0, -8.0).replace("/>", '><tag k="highway" v="traffic_signals"/></node>')
    ways = [
        way(11, [WEST, MIDDLE, EAST], highway="primary", name="Avenue"),
        way(12, [SOUTH, MIDDLE], highway="residential", name="Street", oneway="yes"),
        way(13, [MIDDLE, NORTH], highway="primary_link", oneway="yes"),
    ]
    return read_roads(write(folder, *nodes, middle, *ways), drive_on=drive_on)  # type: ignore[arg-type]


def turns_where(network: RoadNetwork, name: str) -> set[str]:
    """The moves ("SE": from the south to the east) on which a feature is 1."""
    letter = {WEST: "W", NORTH: "N", EAST: "E", SOUTH: "S"}
    graph, turns = network.graph, network.turns
    column = make_features(network, [name]).value[:, 0]
    assert set(np.unique(column)) <= {0.0, 1.0}
    return {
        letter[int(graph.node_id[graph.tail[turns.from_edge[turn]]])]
        + letter[int(graph.node_id[graph.head[turns.to_edge[turn]]])]
        for turn in np.flatnonzero(column).tolist()
        if graph.node_id[graph.head[turns.from_edge[turn]]] == MIDDLE
    }


@pytest.mark.parametrize(
    ("drive_on", "name", "moves"),
    [
        ("right", "is_left", {"WN", "SW"}),
        ("right", "is_across", {"WN", "SW"}),
        ("right", "is_across_from", {"WN"}),
        ("right", "is_across_onto", {"SW"}),
        ("left", "is_across", {"EN", "SE"}),
        ("left", "is_across_from", {"EN"}),
        ("left", "is_across_onto", {"SE"}),
        ("right", "is_class_up", {"SE", "SW", "SN"}),
        ("right", "is_class_down", set()),
        ("right", "is_class_change", {"SE", "SW", "SN"}),
        ("right", "is_name_change", {"SE", "SW"}),
        ("right", "at_signals", {"WE", "EW", "WN", "EN", "SN", "SE", "SW"}),
    ],
)
def test_turns(tmp_path: Path, drive_on: str, name: str, moves: set[str]) -> None:
    assert turns_where(crossroads(tmp_path, drive_on=drive_on), name) == moves


def test_edges(tmp_path: Path) -> None:
    roads = crossroads(tmp_path)
    for name, want in (("is_link", {(MIDDLE, NORTH)}), ("is_oneway", {(MIDDLE, NORTH), (SOUTH, MIDDLE)})):
        column = make_features(roads, [name]).edge_reward(np.ones(1))
        ends = zip(roads.graph.node_id[roads.graph.tail], roads.graph.node_id[roads.graph.head], strict=True)
        assert {pair for pair, value in zip(ends, column, strict=True) if value} == want


def test_the_way_down_is_the_way_up_seen_from_the_other_side(tmp_path: Path) -> None:
    roads = crossroads(tmp_path)
    up, down, change = (
        make_features(roads, [name]).value[:, 0] for name in ("is_class_up", "is_class_down", "is_class_change")
    )
    assert not (up * down).any()
    assert (up + down <= change).all()


def test_flags_and_counts_as_kinds(tmp_path: Path) -> None:
    roads = crossroads(tmp_path)
    assert make_features(roads, ["ends_at_signals:*", "num_signals:*"]).names == ("ends_at_signals:1", "num_signals:1")


def test_products_of_derived_columns(tmp_path: Path) -> None:
    assert turns_where(crossroads(tmp_path), "is_across*at_signals") == {"WN", "SW"}


def test_a_loop_leads_back_only_where_there_are_two() -> None:
    one, two = (make_network([0, 1, 1, *more], [1, 0, 1, *more]) for more in ([], [1]))
    assert make_features(one, ["is_oneway"]).edge_reward(np.ones(1)).tolist() == [0, 0, 1]
    assert make_features(two, ["is_oneway"]).edge_reward(np.ones(1)).tolist() == [0, 0, 0, 0]


def test_what_a_network_lacks_is_not_offered() -> None:
    bare = make_network([0, 1], [1, 0])
    names = available_names(bare)
    assert {"is_across", "is_oneway"} <= set(names)
    lacking = EdgeAttributes(length_m=bare.attributes.length_m)
    assert lacking.road_class is None
    for name in ("is_link", "is_class_up", "is_name_change", "at_signals", "travel_time_min@07-10"):
        if name not in names:
            with pytest.raises(ConfigurationError, match="no column"):
                make_features(bare, [name])
    assert "at_signals" not in names
