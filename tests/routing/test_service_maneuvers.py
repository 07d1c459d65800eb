"""Instructions on junctions drawn by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import strategies
from trodden.graphs.road_graph import Categories
from trodden.routing.service.maneuvers import Maneuver, maneuver_at, modifier_of
from trodden.routing.service.streets import Streets, part_of_line

STEP = 0.001


def junction(arms, *, names=None, classes=None, one_way=()):
    """Node 0 in the middle; an arm per bearing, node i + 1 at its end. Two-way but for the arms in ``one_way``."""
    angle = np.radians(np.array(arms, float))
    latitude = np.concatenate([[41.0], 41.0 + STEP * np.cos(angle)])
    longitude = np.concatenate([[-8.0], -8.0 + STEP * np.sin(angle) / np.cos(np.radians(41.0))])
    pairs = [(0, node + 1) for node in range(len(arms))]
    pairs += [(node + 1, 0) for node in range(len(arms)) if node not in one_way]
    pairs.sort()
    tail, head = (np.array(column) for column in zip(*pairs, strict=True))
    network = strategies.make_network(tail, head, coordinates=(latitude, longitude), num_nodes=len(arms) + 1)
    arm = np.maximum(tail, head) - 1
    columns = {}
    for column, values in (("name", names), ("road_class", classes)):
        if values is not None:
            levels = tuple(dict.fromkeys(values))
            columns[column] = Categories(np.array([levels.index(values[one]) for one in arm], np.int32), levels)
    network = dataclasses.replace(network, attributes=dataclasses.replace(network.attributes, **columns))
    edge = {(int(a), int(b)): position for position, (a, b) in enumerate(zip(tail, head, strict=True))}
    return Streets(network), edge


def said(arms, onto, **options):
    """What is said to someone who comes from the first arm and leaves by another."""
    streets, edge = junction(arms, **options)
    return maneuver_at(streets, edge[1, 0], edge[0, onto + 1])


@pytest.mark.parametrize(
    ("deviation", "word"),
    [
        (0, "straight"),
        (-20, "straight"),
        (21, "slight right"),
        (-90, "left"),
        (119, "right"),
        (-120, "sharp left"),
        (170, "sharp right"),
    ],
)
def test_modifiers(deviation, word):
    assert modifier_of(deviation) == word


def test_a_crossing():
    cross = [180, 0, 90, 270]  # coming from the south, going north
    names = ["High Street", "High Street", "Side Road", "Side Road"]
    assert said(cross, 1, names=names) is None
    assert said(cross, 2, names=names) == Maneuver("turn", "right")
    assert said(cross, 3, names=names) == Maneuver("turn", "left")
    assert said(cross, 1, names=["High Street", "Low Street", "Side Road", "Side Road"]) == Maneuver(
        "new name", "straight"
    )


def test_the_only_way_on_needs_no_word_unless_its_name_is_new():
    assert said([180, 90], 1, names=["A", "A"]) is None
    assert said([180, 90], 1, names=["A", "B"]) == Maneuver("new name", "right")
    assert said([180, 90], 1, names=["A", ""]) is None


def test_a_street_that_turns_is_continued():
    assert said([180, 90, 0], 1, names=["A", "A", "B"]) == Maneuver("continue", "right")


def test_the_end_of_a_road():
    assert said([180, 90, 270], 1, names=["A", "B", "B"]) == Maneuver("end of road", "right")
    assert said([180, 90, 270], 2, names=["A", "B", "B"]) == Maneuver("end of road", "left")


def test_a_fork():
    assert said([180, 25, 335], 1, names=["A", "B", "C"]) == Maneuver("fork", "slight right")
    assert said([180, 25, 335], 2, names=["A", "B", "C"]) == Maneuver("fork", "slight left")


def test_turning_back():
    streets, edge = junction([180], names=["A"])
    assert maneuver_at(streets, edge[1, 0], edge[0, 1]) == Maneuver("continue", "uturn")


def test_ramps():
    motorway = {"names": ["A1", "A1", ""], "classes": ["motorway", "motorway", "motorway_link"]}
    assert said([180, 0, 25], 2, **motorway) == Maneuver("off ramp", "slight right")
    street = {"names": ["A", "A", ""], "classes": ["primary", "primary", "motorway_link"]}
    assert said([180, 0, 90], 2, **street) == Maneuver("on ramp", "right")
    back = {"names": ["", "A1"], "classes": ["motorway_link", "motorway"]}
    assert said([180, 340], 1, **back) == Maneuver("merge", "straight")


def test_branches_are_the_roads_at_a_junction_and_which_may_be_entered():
    streets, edge = junction([180, 0, 90], one_way=(2,))
    branches = streets.branches(edge[1, 0])
    assert [branch.bearing for branch in branches] == [0, 90, 180]
    assert all(branch.can_enter for branch in branches)
    # A road that only leads to the junction is one of its roads, and may not be entered.
    latitude = np.array([41.0, 41.0 - STEP, 41.0 + STEP, 41.0])
    longitude = np.array([-8.0, -8.0, -8.0, -8.0 + STEP])
    network = strategies.make_network([1, 0, 3], [0, 2, 0], coordinates=(latitude, longitude), num_nodes=4)
    arriving = int(np.flatnonzero(network.graph.tail == 1)[0])
    found = Streets(network).branches(arriving)
    assert [(branch.bearing, branch.can_enter) for branch in found] == [(0, True), (90, False), (180, False)]


@pytest.mark.parametrize(
    ("begin", "end", "places", "first", "last"),
    [
        (0.0, 1.0, [0, 1, 2, 4], 0, 3),
        (0.25, 1.0, [1, 2, 4], 1, 3),
        (0.125, 0.75, [0.5, 1, 2, 3], 0, 3),
        (0.6, 0.7, [2.4, 2.8], 2, 3),
        (1.0, 1.0, [4, 4], 2, 3),
        (0.0, 0.0, [0, 0], 0, 1),
    ],
)
def test_a_part_of_a_line(begin, end, places, first, last):
    line = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 4.0]]) * 1e-3
    found = part_of_line(line, begin, end)
    np.testing.assert_allclose(found.points[:, 1], np.array(places) * 1e-3, atol=1e-9)
    assert (found.first, found.last) == (first, last)
    assert len(found.points) == found.last - found.first + 1
