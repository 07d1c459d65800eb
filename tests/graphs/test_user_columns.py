"""Columns of a user's table on edges: by way, by direction and by edge, and every cell that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from osm_files import node, way, write
from trodden.core.errors import InputFileError
from trodden.graphs.reading import read_roads
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.store import load_network, save_network
from trodden.irl.features import available_names, make_features


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    """A road of two ways, 1-2-3-4 (a third of it and two thirds), which are one edge each way, and two arms a side."""
    ends = [node(5, 41.001, -8.0), node(6, 40.999, -8.0), node(7, 41.001, -7.997), node(8, 40.999, -7.997)]
    nodes = [node(n, 41.0, -8.0 + 0.001 * (n - 1)) for n in (1, 2, 3, 4)]
    ways = [way(11, [1, 2], maxspeed="30"), way(12, [2, 3, 4], maxspeed="30"), way(13, [5, 1, 6]), way(14, [7, 4, 8])]
    return write(tmp_path, *nodes, *ends, *ways)


def table(folder: Path, text: str, name: str = "columns.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def edge(network: RoadNetwork, tail: int, head: int) -> int:
    at = network.graph.node_positions(np.array([tail, head], np.int64))
    return int(np.flatnonzero((network.graph.tail == at[0]) & (network.graph.head == at[1]))[0])


def test_numbers_and_names_by_way(tmp_path: Path, extract: Path) -> None:
    rows = "osm_way_id,slope,scenic,toll_eur\n11,3,yes,\n12,1.5,no,2\n999,7,no,\n"
    roads = read_roads(extract, columns=table(tmp_path, rows))
    assert roads.graph.num_edges == 10, "no chain is stopped"
    east, arm = edge(roads, 1, 4), edge(roads, 5, 1)
    extra = roads.attributes.extra
    assert extra["slope"][east] == pytest.approx(2.0)
    assert extra["slope"][east] == extra["slope"][edge(roads, 4, 1)]
    assert (extra["slope"][arm], extra["has_slope"][arm], extra["has_slope"][east]) == (0, 0, 1)
    assert extra["toll_eur"][east] == 2, "the mean is over what is known"
    assert roads.attributes.kinds["scenic"].text(east) == "no", "two thirds of it"
    assert roads.attributes.kinds["scenic"].text(arm) == ""
    assert roads.report["columns"] == {"rows": 3, "rows_used": 2}
    assert {"slope", "has_slope", "scenic:*", "scenic:yes"} <= {*available_names(roads), "scenic:yes"}
    assert make_features(roads, ["slope", "scenic:no", "constant"]).names[1] == "scenic:no"
    assert load_network(save_network(roads, tmp_path / "stored")).checksum == roads.checksum


def test_a_row_for_one_direction_goes_before_one_for_both(tmp_path: Path, extract: Path) -> None:
    rows = "osm_way_id,direction,speed_kmh@07-10\n11,,30\n12,,30\n11,backward,10\n12,backward,20\n"
    roads = read_roads(extract, columns=table(tmp_path, rows))
    speed, length = roads.attributes.extra["speed_kmh@07-10"], roads.attributes.length_m
    assert length is not None
    assert speed[edge(roads, 1, 4)] == 30
    assert speed[edge(roads, 4, 1)] == pytest.approx(15, rel=1e-3), "the times add up: 1/3 at 10 and 2/3 at 20 km/h"
    arm = edge(roads, 5, 1)
    own = roads.attributes.speed_kmh
    assert own is not None
    assert speed[arm] == own[arm], "its own speed where the table says nothing"
    assert "has_speed_kmh@07-10" not in roads.attributes.extra
    made = make_features(roads, ["travel_time_min@07-10"])
    minutes = made.edge_reward(np.ones(1))[edge(roads, 4, 1)]
    assert minutes == pytest.approx(float(length[edge(roads, 4, 1)]) / 1000 / 15 * 60, rel=1e-3)
    assert "travel_time_min@07-10" in available_names(roads)


def test_parquet_by_edge_id_on_a_stored_network(tmp_path: Path, extract: Path) -> None:
    plain = read_roads(extract)
    stored = save_network(plain, tmp_path / "stored")
    chosen = plain.graph.edge_id[[2, 5]]
    columns = {"edge_id": pa.array(chosen), "shade": pa.array([0.25, None]), "kind": pa.array([None, "quiet"])}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "columns.parquet")
    roads = read_roads(stored, columns=tmp_path / "columns.parquet")
    assert roads.attributes.extra["shade"].tolist() == [0.25 if at == 2 else 0 for at in range(10)]
    assert roads.attributes.extra["has_shade"].tolist() == [at == 2 for at in range(10)]
    assert [roads.attributes.kinds["kind"].text(at) for at in (2, 5)] == ["", "quiet"]
    assert roads.checksum != plain.checksum
    again = read_roads(extract, columns=tmp_path / "columns.parquet")
    assert again.checksum == roads.checksum, "the same, whether joined while reading or later"


def test_a_whole_column_needs_no_mask_and_the_smallest_type(tmp_path: Path, extract: Path) -> None:
    plain = read_roads(extract)
    rows = "\n".join(f"{one},{at % 3},{at * 0.5},{at / 3!r}" for at, one in enumerate(plain.graph.edge_id.tolist()))
    roads = read_roads(extract, columns=table(tmp_path, f"edge_id,zone,half,third\n{rows}\n"))
    assert {name: str(values.dtype) for name, values in roads.attributes.extra.items()} == {
        "zone": "uint8",
        "half": "float32",
        "third": "float64",
    }
    assert make_features(roads, ["zone:*"]).names == ("zone:1", "zone:2")


def test_a_network_folder_takes_columns_by_link_id(tmp_path: Path) -> None:
    (tmp_path / "links.csv").write_text("link_id,from_node,to_node,length_m\n1,1,2,5\n2,2,1,5\n")
    roads = read_roads(tmp_path, columns=table(tmp_path, "edge_id,shade\n2,0.5\n"))
    assert roads.attributes.extra["shade"].tolist() == [0, 0.5]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("edge,slope\n1,2\n", ["osm_way_id and edge_id"]),
        ("osm_way_id,edge_id,slope\n1,1,2\n", ["osm_way_id and edge_id"]),
        ("osm_way_id\n11\n", ["no column beside its ids"]),
        ("osm_way_id,slope\n11,1\nx,2\n", ["row 3", "osm_way_id", "'x'"]),
        ("osm_way_id,slope\n11,1\n11,2\n", ["row 3", "second time"]),
        ("osm_way_id,slope\n11,inf\n", ["row 2", "slope", "'inf'"]),
        ("osm_way_id,slope\n11,1\n12,nan\n", ["row 3", "slope", "'nan'"]),
        ("osm_way_id,direction,slope\n11,up,1\n", ["row 2", "direction", "'up'"]),
        ("osm_way_id,speed_kmh@07\n11,0\n", ["row 2", "speed_kmh@07", "above 0"]),
        ("osm_way_id,speed_kmh@07\n11,fast\n", ["row 2", "speed_kmh@07", "'fast'"]),
        ("osm_way_id,length_m\n11,1\n", ["length_m", "Choose another"]),
        ("osm_way_id,a*b\n11,1\n", ["a*b", "no name of a feature"]),
        ("osm_way_id,num_signals\n11,1\n", ["num_signals"]),
        ("osm_way_id,slope\n5,1\n", ["none of its 1 rows"]),
        ("edge_id,slope\n5,1\n", ["none of its 1 rows"]),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, text: str, parts: list[str]) -> None:
    nodes = [node(n, 41.0 + 0.001 * n) for n in (1, 2, 3)]
    signal = nodes[1].replace("/>", '><tag k="highway" v="traffic_signals"/></node>')
    path = write(tmp_path, nodes[0], signal, nodes[2], way(11, [1, 2, 3]), way(12, [3, 1]))
    with pytest.raises(InputFileError) as caught:
        read_roads(path, columns=table(tmp_path, text))
    assert str(tmp_path / "columns.csv") in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_rows_of_ways_need_the_extract(tmp_path: Path, extract: Path) -> None:
    stored = save_network(read_roads(extract), tmp_path / "stored")
    with pytest.raises(InputFileError, match="where an extract is read"):
        read_roads(stored, columns=table(tmp_path, "osm_way_id,slope\n11,1\n"))


@pytest.mark.parametrize("name", ["columns.csv", "columns.parquet"])
def test_files_that_are_none(tmp_path: Path, extract: Path, name: str) -> None:
    with pytest.raises(InputFileError, match="no such file"):
        read_roads(extract, columns=tmp_path / name)
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputFileError, match=name):
        read_roads(extract, columns=tmp_path / name)
