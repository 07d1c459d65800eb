"""Signs of nodes, further tags of ways, heights and the side driven on: against counts by hand, and however joined."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from osm_files import way, write
from trodden.core.errors import ConfigurationError, InputFileError
from trodden.graphs.coverage import coverage, format_coverage
from trodden.graphs.elevation import heights
from trodden.graphs.node_tags import parse_elevation_m, signs
from trodden.graphs.reading import format_report, read_roads
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.store import load_network, save_network
from trodden.graphs.way_tags import cycleways

STEP_DEG = 0.001
"""Some 111 m to the north."""


def tagged_node(number: int, north: float, east: float, **tags: str) -> str:
    inner = "".join(f'<tag k="{key.replace("__", ":")}" v="{value}"/>' for key, value in tags.items())
    place = f'lat="{41 + north * STEP_DEG:.7f}" lon="{-8 + east * STEP_DEG:.7f}"'
    return f'<node id="{number}" version="1" {place}>{inner}</node>'


def line(folder: Path, tags: dict[int, dict[str, str]], count: int = 6, **of_way: str) -> RoadNetwork:
    """Nodes 1 .. count to the north, one way; two arms at each end make these junctions."""
    nodes = [tagged_node(n, n, 0, **tags.get(n, {})) for n in range(1, count + 1)]
    arms = [tagged_node(100, 0, 1), tagged_node(101, 0, -1), tagged_node(102, count, 1), tagged_node(103, count, -1)]
    ways = [way(1, list(range(1, count + 1)), **of_way), way(2, [100, 1, 101]), way(3, [102, count, 103])]
    return read_roads(write(folder, *nodes, *arms, *ways))


def edge_between(network: RoadNetwork, tail: int, head: int) -> int:
    at = network.graph.node_positions(np.array([tail, head], np.int64))
    return int(np.flatnonzero((network.graph.tail == at[0]) & (network.graph.head == at[1]))[0])


def value(network: RoadNetwork, name: str, tail: int, head: int) -> float:
    column = network.attributes.extra.get(name)
    return 0.0 if column is None else float(column[edge_between(network, tail, head)])


def kind(network: RoadNetwork, name: str, tail: int, head: int) -> str:
    return network.attributes.kinds[name].text(edge_between(network, tail, head))


@pytest.mark.parametrize(
    ("tags", "along", "against"),
    [
        ({"highway": "traffic_signals"}, 1, 1),
        ({"highway": "traffic_signals", "traffic_signals:direction": "forward"}, 1, 0),
        ({"highway": "traffic_signals", "direction": "backward"}, 0, 1),
        ({"highway": "traffic_signals", "crossing": "traffic_signals"}, 9, 9),
        ({"highway": "stop", "direction": "forward"}, 2, 0),
        ({"highway": "stop", "direction": "270"}, 2, 2),
        ({"highway": "give_way"}, 4, 4),
        ({"highway": "crossing", "crossing": "zebra"}, 8, 8),
        ({"highway": "crossing", "crossing": "unmarked"}, 0, 0),
        ({"traffic_calming": "bump"}, 16, 16),
        ({"traffic_calming": "no"}, 0, 0),
        ({"railway": "level_crossing"}, 32, 32),
        ({"highway": "crossing", "traffic_calming": "table"}, 24, 24),
        ({"highway": "bus_stop"}, 0, 0),
    ],
)
def test_signs(tags: dict[str, str], along: int, against: int) -> None:
    assert signs(tags) == (along, against)


@pytest.mark.parametrize(
    ("tags", "along", "against"),
    [
        ({}, "", ""),
        ({"cycleway": "lane"}, "lane", "lane"),
        ({"cycleway:right": "lane"}, "lane", ""),
        ({"cycleway:left": "track", "cycleway:right": "no"}, "none", "track"),
        ({"cycleway:both": "no"}, "none", "none"),
        ({"cycleway": "share_busway"}, "shared", "shared"),
        ({"cycleway:both": "separate"}, "separate", "separate"),
        ({"cycleway": "lane", "oneway": "yes"}, "lane", "none"),
        ({"cycleway:left": "track", "oneway": "yes"}, "track", "none"),
        ({"cycleway:left": "opposite_track", "cycleway:right": "lane", "oneway": "yes"}, "lane", "track"),
        ({"cycleway": "opposite", "oneway": "yes"}, "none", "none"),
        ({"cycleway": "opposite_lane", "oneway": "-1"}, "lane", "none"),
        ({"cyclestreet": "yes"}, "street", "street"),
        ({"bicycle_road": "yes", "cycleway:right": "track"}, "track", "street"),
        ({"highway": "cycleway"}, "track", "track"),
        ({"highway": "path", "bicycle": "designated"}, "track", "track"),
        ({"cycleway": "nonsense"}, "", ""),
    ],
)
def test_cycleways_where_the_right_side_is_driven_on(tags: dict[str, str], along: str, against: str) -> None:
    assert cycleways({"highway": "primary", **tags}) == (along, against)


def test_cycleways_where_the_left_side_is_driven_on() -> None:
    assert cycleways({"cycleway:right": "lane"}, drives_left=True) == ("", "lane")


@pytest.mark.parametrize(
    ("text", "metres"), [("12", 12), ("-3,5 m", -3.5), ("100 ft", 30.48), ("high", np.nan), ("99999", np.nan)]
)
def test_elevation_tags(text: str, metres: float) -> None:
    np.testing.assert_allclose(parse_elevation_m(text), metres)


def test_signs_count_once_and_in_their_direction(tmp_path: Path) -> None:
    town = line(
        tmp_path,
        {
            1: {"highway": "traffic_signals"},
            2: {"highway": "crossing"},
            3: {"highway": "stop", "direction": "forward"},
            4: {"highway": "crossing", "traffic_calming": "table"},
            6: {"highway": "give_way", "direction": "forward"},
        },
    )
    assert town.graph.num_edges == 10, "one road each way between the junctions, and four arms"
    # To the north the beginning (1) does not count and the end (6) does; to the south it is the other way round.
    want = {"num_crossings": (2, 2), "num_stops": (1, 0), "num_calmings": (1, 1), "num_signals": (0, 1)}
    for name, (north, south) in {**want, "num_give_ways": (1, 0)}.items():
        assert (value(town, name, 1, 6), value(town, name, 6, 1)) == (north, south), name
        assert town.attributes.extra[name].dtype == np.uint8
    assert (value(town, "ends_at_signals", 6, 1), value(town, "ends_at_signals", 1, 6)) == (1, 0)
    assert (value(town, "ends_at_give_way", 1, 6), value(town, "ends_at_give_way", 6, 1)) == (1, 0)
    assert value(town, "ends_at_stop", 1, 6) == 0, "it stands far before the end"
    assert value(town, "num_signals", 100, 1) == 1, "the arms meet it as well"
    assert "num_level_crossings" not in town.attributes.extra, "none is tagged"


def test_a_stop_line_ahead_of_its_junction_stands_at_the_end(tmp_path: Path) -> None:
    items = [tagged_node(1, 0, 0), tagged_node(2, 0.8, 0, highway="stop"), tagged_node(3, 1, 0)]
    items += [tagged_node(4, 1, 1), tagged_node(5, 1, -1), way(1, [1, 2, 3]), way(2, [4, 3, 5])]
    town = read_roads(write(tmp_path, *items))  # 0.2 steps: 22 m
    assert value(town, "ends_at_stop", 1, 3) == 1
    assert value(town, "ends_at_stop", 3, 1) == 0, "in the other direction it stands 89 m before"


def test_a_node_given_twice_counts_as_first_given(tmp_path: Path) -> None:
    items = [tagged_node(1, 0, 0), tagged_node(2, 1, 0, highway="stop"), tagged_node(2, 1, 0, highway="crossing")]
    town = read_roads(write(tmp_path, *items, tagged_node(3, 2, 0), way(1, [1, 2, 3])))
    assert sorted(town.attributes.extra) == ["num_stops"]


def test_further_tags_do_not_stop_a_chain_and_the_longer_part_decides(tmp_path: Path) -> None:
    nodes = [tagged_node(n, n, 0) for n in range(1, 6)] + [tagged_node(6, 5, 1), tagged_node(7, 5, -1)]
    short, long = {"lit": "no", "smoothness": "bad"}, {"lit": "24/7", "smoothness": "good", "cycleway__right": "lane"}
    long = {key.replace("__", ":"): text for key, text in long.items()}
    town = read_roads(write(tmp_path, *nodes, way(1, [1, 2], **short), way(2, [2, 3, 4, 5], **long), way(3, [6, 5, 7])))
    assert (kind(town, "lit", 1, 5), kind(town, "smoothness", 5, 1)) == ("yes", "good")
    assert (kind(town, "cycleway", 1, 5), kind(town, "cycleway", 5, 1)) == ("lane", "")
    assert kind(town, "lit", 5, 6) == ""
    assert town.attributes.kinds["lit"].levels == ("", "yes")


def test_values_that_say_nothing_are_counted(tmp_path: Path) -> None:
    town = line(tmp_path, {}, lit="maybe", smoothness="velvet")
    assert town.report["ways"]["unreadable_values"] == {"lit": 1, "smoothness": 1}
    assert not town.attributes.kinds


# ------------------------------------------------------------------------------------------------- side driven on


def roundabout(folder: Path, order: list[int], **tags: str) -> Path:
    corners = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0)}  # counterclockwise as numbered
    nodes = [tagged_node(n, *corners[n]) for n in corners] + [tagged_node(5, 3, 3)]
    return write(folder, *nodes, way(1, [*order, order[0]], junction="roundabout", **tags), way(2, [3, 5]))


@pytest.mark.parametrize(("order", "side"), [([1, 2, 3, 4], "right"), ([4, 3, 2, 1], "left")])
def test_roundabouts_tell_the_side(tmp_path: Path, order: list[int], side: str) -> None:
    town = read_roads(roundabout(tmp_path, order))
    assert town.report["driving_side"]["side"] == side
    assert ("is_left_driven" in town.attributes.extra) == (side == "left")
    assert town.attributes.extra["is_roundabout"].sum() > 0


def test_the_side_as_asked_or_tagged_or_assumed(tmp_path: Path) -> None:
    path = roundabout(tmp_path, [1, 2, 3, 4])
    assert read_roads(path, drive_on="left").attributes.extra["is_left_driven"].all()
    tagged = read_roads(roundabout(tmp_path, [1, 2, 3, 4], driving_side="left"))
    assert 0 < tagged.attributes.extra["is_left_driven"].sum() < tagged.graph.num_edges
    assert line(tmp_path, {}).report["driving_side"] == {
        "side": "right",
        "by": "assumed",
        "clockwise": 0,
        "counterclockwise": 0,
    }
    with pytest.raises(ConfigurationError, match="drive_on"):
        read_roads(path, drive_on="middle")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------- heights


def test_climb_and_descent_by_tags(tmp_path: Path) -> None:
    tags = {n: {"ele": str(height)} for n, height in {1: 10, 2: 15, 3: 12, 5: 40, 6: 41}.items()}
    town = line(tmp_path, tags)  # node 4 does not say, so neither piece at it counts
    assert (value(town, "climb_m", 1, 6), value(town, "descent_m", 1, 6)) == (6, 3)
    assert (value(town, "climb_m", 6, 1), value(town, "descent_m", 6, 1)) == (3, 6)


def write_tile(folder: Path, height: object, name: str = "N41W008.hgt") -> Path:
    rows, columns = np.mgrid[0:1201, 0:1201]
    made = np.broadcast_to(np.asarray(height(rows, columns)), (1201, 1201))  # type: ignore[operator]
    made.astype(">i2").tofile(folder / name)
    return folder / name


def test_heights_between_the_points_of_a_tile(tmp_path: Path) -> None:
    tile = write_tile(tmp_path, lambda row, column: row + 2 * column)
    north, east = np.array([41.25, 41.5001, 41.999]), np.array([-7.5, -7.20013, -7.9999])
    want = (42 - north) * 1200 + 2 * (east + 8) * 1200
    np.testing.assert_allclose(heights(tile, north, east), want)
    outside = heights(tmp_path, np.array([41.5, 43.0]), np.array([-7.5, -7.5]))
    assert np.isfinite(outside[0])
    assert np.isnan(outside[1])


def test_a_raster_replaces_the_tags(tmp_path: Path) -> None:
    line(tmp_path, {1: {"ele": "500"}})
    tile = write_tile(tmp_path, lambda row, column: 1200 - row)  # a metre higher every 93 m to the north
    town = read_roads(tmp_path / "made.osm", elevation=tile)
    assert value(town, "climb_m", 1, 6) == pytest.approx(5 * STEP_DEG * 1200, abs=1e-3)
    assert value(town, "descent_m", 1, 6) == 0


@pytest.mark.parametrize(
    ("name", "size", "problem"),
    [
        ("N41W008.hgt", 100, "100 bytes"),
        ("tile.hgt", 2 * 1201**2, "not the name"),
        ("N10W008.hgt", 2 * 1201**2, "no tile"),
        ("", 0, "no such file"),
    ],
)
def test_rasters_that_are_none(tmp_path: Path, name: str, size: int, problem: str) -> None:
    path = tmp_path / (name or "missing.hgt")
    if name:
        path.write_bytes(bytes(size))
    with pytest.raises(InputFileError, match=problem):
        heights(path, np.array([41.5]), np.array([-7.5]))


# ----------------------------------------------------------------------------------------- however edges are joined

ADDITIVE = ("num_signals", "num_stops", "num_give_ways", "num_crossings", "num_calmings", "climb_m", "descent_m")


def random_town(folder: Path, seed: int) -> Path:
    """A grid of five by five junctions, streets of several nodes between them, with signs and heights at random."""
    draw = random.Random(seed)
    marks = [{"highway": sign} for sign in ("traffic_signals", "stop", "give_way", "crossing")]
    marks += [{"traffic_calming": "bump"}, {"highway": "stop", "direction": "forward"}, {}, {}]
    items, refs = [], {}
    for row in range(17):
        for column in range(17):
            if row % 4 == 0 or column % 4 == 0:
                refs[row, column] = 1 + row * 17 + column
                height = {"ele": str(draw.randrange(50))} if draw.random() < 0.8 else {}
                items.append(tagged_node(refs[row, column], row, column, **draw.choice(marks), **height))
    number = 1000
    for first in range(0, 17, 4):
        for start in range(0, 16, 2):  # ways of three nodes, some one-way: chains hold two of them
            for cells in ([(first, start + k) for k in range(3)], [(start + k, first) for k in range(3)]):
                tags = {"oneway": "yes"} if draw.random() < 0.1 and start % 4 == 0 else {}
                items.append(way(number, [refs[cell] for cell in cells], **tags, **{"lit": draw.choice(["yes", "no"])}))
                number += 1
    return write(folder, *items)


def assert_same_sums(path: Path) -> None:
    """Every joined edge has the sums of the unjoined ones that it runs along."""
    raw, joined = read_roads(path, join="none"), read_roads(path)
    assert joined.graph.num_edges < raw.graph.num_edges
    place = {
        (int(raw.graph.node_id[tail]), int(raw.graph.node_id[head])): edge
        for edge, (tail, head) in enumerate(zip(raw.graph.tail, raw.graph.head, strict=True))
    }
    shapes = joined.shapes
    assert shapes is not None
    names = [name for name in ADDITIVE if name in raw.attributes.extra]
    assert len(names) >= 3
    for name in names:
        column, whole = raw.attributes.extra[name].astype(np.float64), joined.attributes.extra[name]
        for edge in range(joined.graph.num_edges):
            nodes = shapes.osm_node[shapes.first_point[edge] : shapes.first_point[edge + 1]].tolist()
            total = sum(column[place[pair]] for pair in pairwise(nodes))
            assert whole[edge] == pytest.approx(total, abs=1e-3), (name, edge)


@pytest.mark.parametrize("seed", range(3))
def test_sums_along_a_route_do_not_depend_on_joining(tmp_path: Path, seed: int) -> None:
    assert_same_sums(random_town(tmp_path, seed))


@pytest.mark.slow
@pytest.mark.real_data
def test_sums_on_a_real_extract(data_folder: Path) -> None:
    assert_same_sums(data_folder / "osm" / "liechtenstein.osm.pbf")


# -------------------------------------------------------------------------------------------------- kept and counted


def test_columns_are_stored_and_a_network_without_them_is_as_before(tmp_path: Path) -> None:
    town = line(tmp_path, {2: {"highway": "crossing"}}, lit="yes")
    loaded = load_network(save_network(town, tmp_path / "stored"))
    assert loaded.checksum == town.checksum
    assert loaded.attributes.kinds["lit"].levels == town.attributes.kinds["lit"].levels
    np.testing.assert_array_equal(loaded.attributes.kinds["lit"].codes, town.attributes.kinds["lit"].codes)
    np.testing.assert_array_equal(loaded.attributes.extra["num_crossings"], town.attributes.extra["num_crossings"])
    bare = load_network(save_network(line(tmp_path, {}), tmp_path / "bare"))
    assert not bare.attributes.kinds
    assert not bare.attributes.extra


def test_coverage_by_edges_and_by_length(tmp_path: Path) -> None:
    town = line(tmp_path, {3: {"highway": "traffic_signals"}}, lit="yes", surface="asphalt")
    found = coverage(town)
    length = town.attributes.length_m
    assert length is not None
    share = sum(float(length[edge_between(town, *ends)]) for ends in ((1, 6), (6, 1))) / float(length.sum())
    assert found["lit"] == pytest.approx((0.2, share))
    assert found["surface"] == found["num_signals"] == found["lit"]
    assert found["road_class"] == pytest.approx((1, 1))
    assert f"lit 20.0 / {100 * share:.1f}" in format_coverage(town)
    assert format_coverage(town) in format_report(town)
