"""Network folders: what is read, and errors that name file, row and column."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from trodden.core.errors import EmptyNetworkError, InputFileError, MissingDataError
from trodden.graphs.reading import format_report, read_roads

LINKS = """link_id,from_node,to_node,length_m,travel_time_min,lanes,slope
7,1,2,100,0.5,2,0.1
5,2,1,100,0.5,,-0.1
9,2,3,200,1,1,0
8,3,2,200,1,1,0
"""
TURNS = """from_link,to_link,turn_angle_rad,is_left,is_right,is_uturn,wait_s
7,9,-0.8,1,0,0,3
7,5,3.141593,0,0,1,9
8,5,,0,0,0,1
9,8,-3.141593,0,0,1,1
"""
NODES = "node_id,lat,lon\n1,41,-8\n2,41,-7.999\n3,41.001,-7.999\n"


def folder(path: Path, links: str = LINKS, turns: str | None = TURNS, nodes: str | None = None) -> Path:
    for name, text in (("links.csv", links), ("turns.csv", turns), ("nodes.csv", nodes)):
        if text is not None:
            (path / name).write_text(text, encoding="utf-8")
    return path


def test_reads_columns(tmp_path: Path) -> None:
    network = read_roads(folder(tmp_path))
    graph, attributes, turns = network.graph, network.attributes, network.turns
    assert graph.edge_id.tolist() == [7, 5, 9, 8]
    assert graph.node_id.tolist() == [1, 2, 3]
    assert (np.diff(graph.tail) >= 0).all()
    assert attributes.length_m is not None
    assert attributes.length_m.tolist() == [100, 100, 200, 200]
    assert attributes.travel_time_s.tolist() == [30, 30, 60, 60]
    assert attributes.speed_kmh == pytest.approx([12.0] * 4)
    assert attributes.lanes.tolist() == [2, 0, 1, 1]
    assert attributes.extra["slope"].tolist() == [0.1, -0.1, 0, 0]
    assert attributes.extra["travel_time_min"].tolist() == [0.5, 0.5, 1, 1]
    assert [(graph.edge_id[a], graph.edge_id[b]) for a, b in zip(turns.from_edge, turns.to_edge, strict=True)] == [
        (7, 5),
        (7, 9),
        (9, 8),
        (8, 5),
    ]
    assert turns.angle_deg == pytest.approx([180, -45.8366, 180, 0], abs=1e-3)
    assert turns.is_left.tolist() == [False, True, False, False]
    assert turns.is_uturn.tolist() == [True, False, True, False]
    assert turns.extra["wait_s"].tolist() == [9, 3, 1, 1]
    assert network.shapes is None
    assert format_report(network).splitlines()[-1] == "roads: 3 nodes, 4 edges"
    with pytest.raises(MissingDataError, match=r"nodes\.csv"):
        network.edge_polyline(0)


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    want = read_roads(folder(tmp_path)).checksum
    for text in ("LINKS", "TURNS"):
        lines = globals()[text].splitlines()
        changed = "\n".join([lines[0], *lines[:0:-1]]) + "\n"
        links, turns = (changed, TURNS) if text == "LINKS" else (LINKS, changed)
        assert read_roads(folder(tmp_path, links, turns)).checksum == want


def test_without_turns_all_moves_by_the_u_turn_rule(tmp_path: Path) -> None:
    path = folder(tmp_path, turns=None)
    names = {}
    for rule in ("dead_ends", "everywhere", "never"):
        network = read_roads(path, u_turns=rule)  # type: ignore[arg-type]
        ids, turns = network.graph.edge_id, network.turns
        names[rule] = {(int(ids[a]), int(ids[b])) for a, b in zip(turns.from_edge, turns.to_edge, strict=True)}
    assert names["never"] == {(7, 9), (8, 5)}
    assert names["dead_ends"] == {(7, 9), (8, 5), (9, 8), (5, 7)}
    assert names["everywhere"] == {(7, 9), (8, 5), (9, 8), (5, 7), (7, 5), (8, 9)}


def test_coordinates_give_angles(tmp_path: Path) -> None:
    turns = "from_link,to_link\n7,9\n8,5\n7,5\n"
    network = read_roads(folder(tmp_path, turns=turns, nodes=NODES))
    by_pair = {
        (int(network.graph.edge_id[a]), int(network.graph.edge_id[b])): place
        for place, (a, b) in enumerate(zip(network.turns.from_edge, network.turns.to_edge, strict=True))
    }
    assert network.turns.angle_deg is not None
    assert network.turns.angle_deg[by_pair[7, 9]] == pytest.approx(-90, abs=0.1)
    assert network.turns.is_left[by_pair[7, 9]]
    assert network.turns.is_right[by_pair[8, 5]]
    assert network.turns.is_uturn[by_pair[7, 5]]
    assert network.edge_polyline(network.graph.edge_position(9)).tolist() == [[41.0, -7.999], [41.001, -7.999]]


def test_speeds_by_class(tmp_path: Path) -> None:
    links = "link_id,from_node,to_node,length_m,road_class,maxspeed_kmh\n1,1,2,100,primary,50\n2,2,1,100,primary,\n"
    network = read_roads(folder(tmp_path, links + "3,2,3,100,service,\n", None))
    assert network.attributes.speed_kmh is not None
    assert network.attributes.speed_kmh.tolist() == [50, 50, 15]
    assert network.attributes.travel_time_s == pytest.approx([7.2, 7.2, 24])
    assert network.report["speeds"] == {"tagged": 1, "class_mean": 1, "class_default": 1}


def test_text_columns_are_listed_not_lost(tmp_path: Path) -> None:
    links = LINKS.replace("slope", "remark").replace(",0.1\n", ",steep\n")
    network = read_roads(folder(tmp_path, links))
    assert network.report["columns_ignored"] == ["remark"]
    assert "remark" not in network.attributes.extra


@pytest.mark.parametrize(
    ("links", "row", "column", "says"),
    [
        (LINKS.replace("link_id", "id"), None, None, "has no column link_id"),
        ("", None, None, "is empty"),
        (LINKS.replace("9,2,3", "7,2,3"), 4, "link_id", "second time (first in row 2)"),
        (LINKS.replace("9,2,3", "9,2,x"), 4, "to_node", "'x' is not a whole number"),
        (LINKS.replace("9,2,3", "9,,3"), 4, "from_node", "an empty cell is not a whole number"),
        (LINKS.replace("3,200,1", "3,nan,1"), 4, "length_m", "'nan' is not a finite number above 0"),
        (LINKS.replace("3,200,1", "3,inf,1"), 4, "length_m", "'inf' is not"),
        (LINKS.replace("3,200,1", "3,-1,1"), 4, "length_m", "'-1' is not"),
        (LINKS.replace("3,200,1", "3,0,1"), 4, "length_m", "'0' is not"),
        (LINKS.replace("3,200,1", "3,,1"), 4, "length_m", "an empty cell is not"),
        (LINKS.replace("3,200,1", "3,200,0"), 4, "travel_time_min", "'0' is not"),
        (LINKS.replace("3,200,1", "3,200,soon"), 4, "travel_time_min", "'soon' is not a number"),
        (LINKS.replace("0.5,2,0.1", "0.5,2.5,0.1"), 2, "lanes", "2.5 is not a whole number from 1 to 99"),
        (LINKS.replace("-0.1", "nan"), 3, "slope", "'nan' is not a finite number"),
        (LINKS.replace("slope", "lanes"), 1, None, "has the column 'lanes' twice"),
        (LINKS + "1,2\n", None, None, "cannot be read as CSV"),
    ],
)
def test_bad_links(links: str, row: int | None, column: str | None, says: str, tmp_path: Path) -> None:
    check_error(folder(tmp_path, links), "links.csv", row, column, says)


@pytest.mark.parametrize("speed", ["nan", "inf", "-50", "0", "fast"])
def test_bad_speeds(speed: str, tmp_path: Path) -> None:
    rows = (
        LINKS.replace(",lanes,", ",maxspeed_kmh,").replace("0.5,2,0.1", f"0.5,{speed},0.1").replace(",1,1,0", ",1,50,0")
    )
    says = "is not a number" if speed == "fast" else f"'{speed}' is not a finite number above 0"
    check_error(folder(tmp_path, rows), "links.csv", 2, "maxspeed_kmh", says)


@pytest.mark.parametrize(
    ("turns", "row", "column", "says"),
    [
        (TURNS.replace("to_link", "to"), None, None, "has no column to_link"),
        (TURNS.replace("7,9,", "7,99,"), 2, "to_link", "links.csv has no link 99"),
        (TURNS.replace("7,9,", "7,8,"), 2, "to_link", "link 8 does not start where link 7 ends"),
        (TURNS + "7,9,0,0,0,0,1\n", 6, "to_link", "second time (first in row 2)"),
        (TURNS.replace("-0.8", "-8"), 2, "turn_angle_rad", "not between -pi and pi"),
        (TURNS.replace("-0.8", "left"), 2, "turn_angle_rad", "'left' is not a number"),
        (TURNS.replace("-0.8,1", "-0.8,2"), 2, "is_left", "'2' is neither 0 nor 1"),
        (TURNS.replace("0,0,0,1\n", "0,0,0,inf\n"), 4, "wait_s", "'inf' is not a finite number"),
    ],
)
def test_bad_turns(turns: str, row: int | None, column: str | None, says: str, tmp_path: Path) -> None:
    check_error(folder(tmp_path, turns=turns), "turns.csv", row, column, says)


@pytest.mark.parametrize(
    ("nodes", "row", "column", "says"),
    [
        (NODES.replace("lat", "latitude"), None, None, "has no column lat"),
        (NODES.replace("1,41,-8", "1,-98,41"), 2, "lat", "swapped"),
        (NODES.replace("3,41.001,-7.999\n", ""), None, None, "lacks 1 nodes of links.csv, the first of them 3"),
        (NODES + "3,41,-8\n", 5, "node_id", "second time"),
        (NODES.replace("41.001", "nan"), 4, "lat", "'nan' is not a finite number"),
        ("node_id,lat,lon\n", None, None, "lacks 3 nodes"),
    ],
)
def test_bad_nodes(nodes: str, row: int | None, column: str | None, says: str, tmp_path: Path) -> None:
    check_error(folder(tmp_path, nodes=nodes), "nodes.csv", row, column, says)


def check_error(path: Path, name: str, row: int | None, column: str | None, says: str) -> None:
    with pytest.raises(InputFileError, match=re.escape(says)) as caught:
        read_roads(path)
    assert Path(caught.value.path).name == name
    assert (caught.value.row, caught.value.column) == (row, column)


@pytest.mark.parametrize(
    ("links", "turns"),
    [
        ("link_id,from_node,to_node\n", TURNS),
        ("link_id,from_node,to_node\n1,1,1\n", None),
        ("link_id,from_node,to_node\n1,1,2\n2,3,4\n", None),
        (LINKS, "from_link,to_link\n"),
    ],
)
def test_empty_networks(links: str, turns: str | None, tmp_path: Path) -> None:
    with pytest.raises(EmptyNetworkError):
        read_roads(folder(tmp_path, links, turns))


def test_spaces_bom_and_quotes(tmp_path: Path) -> None:
    text = '\ufefflink_id, from_node ,to_node,name\n 1 ,1, 2,"High Street, East"\n2,2,1,\n'
    network = read_roads(folder(tmp_path, text, None))
    assert network.attributes.name is not None
    assert sorted(network.attributes.name.levels) == ["", "High Street, East"]


def test_binary_instead_of_text(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "links.csv").write_bytes(bytes(range(128, 256)) * 10)
    with pytest.raises(InputFileError, match="UTF-8"):
        read_roads(tmp_path)


@pytest.mark.real_data
def test_borlange(data_folder: Path) -> None:
    network = read_roads(data_folder / "borlange")
    assert (network.graph.num_edges, network.turns.num_turns) == (7_288, 20_196)
    angle = network.turns.angle_deg
    assert angle is not None
    radians = np.radians(angle.astype(float))
    assert np.array_equal(network.turns.is_uturn, np.abs(radians) > 3.1)
    assert np.array_equal(network.turns.is_left, (radians > -3.1) & (radians < -0.5236))
    assert network.length_unit == "s"
    first = network.graph.edge_position(1)
    assert network.attributes.extra["travel_time_min"][first] == 0.07962
    assert network.attributes.travel_time_s[first] == pytest.approx(0.07962 * 60)


@pytest.mark.real_data
def test_shanghai(data_folder: Path) -> None:
    network = read_roads(data_folder / "shanghai")
    assert (network.graph.num_nodes, network.graph.num_edges, network.turns.num_turns) == (320, 714, 1_737)
    attributes = network.attributes
    assert attributes.travel_time_s == pytest.approx(attributes.length_m / attributes.speed_kmh * 3.6)
    assert network.report["speeds"]["tagged"] == 22
    assert "direction" in network.turns.extra
    assert network.edge_polyline(0).shape == (2, 2)
    assert attributes.access is not None
    # The file's own sides agree with the angles between its straight lines nearly everywhere.
    angle = network.turns.angle_deg
    assert angle is not None
    assert (angle[network.turns.is_left] < 0).mean() > 0.95
    assert (angle[network.turns.is_right] > 0).mean() > 0.95
