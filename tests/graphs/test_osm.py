"""Reading OSM files: formats, odd files, counts, and agreement with osmnx."""

from __future__ import annotations

import bz2
import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ascii_map import edges_of, town, turns_of
from osm_files import convert, node, way, write
from trodden.graphs.export import route_nodes, to_networkx
from trodden.graphs.reading import format_report, read_roads
from trodden.graphs.stable_ids import stable_ids

CROSS = """
  a
  |
b-c-d
  |
  e
"""


def node_lists(path: Path, **options: object) -> list[list[int]]:
    shapes = read_roads(path, **options).shapes  # type: ignore[arg-type]
    assert shapes is not None
    first = shapes.first_point
    return sorted(shapes.osm_node[a:b].tolist() for a, b in pairwise(first))


def test_packed_and_plain_files_agree(tmp_path: Path) -> None:
    place = town(CROSS)
    plain = place.write(tmp_path)
    (tmp_path / "town.osm.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "town.osm.bz2").write_bytes(bz2.compress(plain.read_bytes()))
    pbf = tmp_path / "town.osm.pbf"
    convert(plain, pbf)
    want = read_roads(plain)
    for path in (tmp_path / "town.osm.gz", tmp_path / "town.osm.bz2", pbf):
        network = read_roads(path)
        assert network.checksum == want.checksum
        assert turns_of(network) == turns_of(want)
        assert {**network.report, "source": ""} == {**want.report, "source": ""}


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    path = town(CROSS).write(tmp_path)
    one, two = read_roads(path), read_roads(path)
    assert one.checksum == two.checksum
    assert one.report == two.report


def test_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    items = [node(1), node(2), node(3), node(4, 41.001, -7.998), way(10, [1, 2, 3]), way(11, [2, 4])]
    want = read_roads(write(tmp_path, *items))
    assert read_roads(write(tmp_path, *items[::-1])).checksum == want.checksum


def test_missing_nodes_split_the_way(tmp_path: Path) -> None:
    path = write(tmp_path, *(node(number) for number in (1, 2, 4, 5)), way(10, [1, 2, 3, 4, 5, 6]))
    assert node_lists(path) == [[1, 2], [2, 1], [4, 5], [5, 4]]
    report = read_roads(path).report
    assert report["nodes"]["missing"] == 2
    assert report["segments"]["ways_with_missing_nodes"] == 1
    assert report["segments"]["pieces_lost_to_missing_nodes"] == 3


def test_duplicate_ids_first_wins(tmp_path: Path) -> None:
    twice = node(2, 42.0, -9.0)
    path = write(tmp_path, node(1), node(2), twice, node(3), way(10, [1, 2, 3]), way(10, [1, 3]))
    network = read_roads(path)
    assert node_lists(path) == [[1, 2, 3], [3, 2, 1]]
    assert network.shapes is not None
    assert network.shapes.latitude_e7.tolist() == [410_000_000] * 6
    assert network.report["nodes"]["node_ids_given_twice"] == 1
    assert network.report["ways"]["skipped"] == {"way id given twice": 1}


def test_negative_ids(tmp_path: Path) -> None:
    path = write(tmp_path, node(-1), node(-2), node(-3), way(-10, [-1, -2, -3]))
    assert node_lists(path) == [[-3, -2, -1], [-1, -2, -3]]
    ids = read_roads(path).graph.edge_id
    assert ((ids >= 0) & (ids < 2**53)).all()


def test_loops_parallels_and_zero_length(tmp_path: Path) -> None:
    items = [node(1), node(2), node(3, 41.001, -7.9995), node(4, 41.0, -7.998)]
    items += [way(10, [1, 2]), way(11, [1, 2]), way(12, [2, 3, 1, 3]), way(13, [2, 2, 4])]
    network = read_roads(write(tmp_path, *items))
    report = network.report
    assert report["segments"]["repeated_nodes_dropped"] == 1
    assert report["segments"]["zero_length_segments"] == 1  # nodes 2 and 4 lie on one spot
    assert report["shape"]["parallel_edges"] > 0
    assert network.attributes.length_m is not None
    assert network.attributes.length_m.min() == pytest.approx(0.1)
    assert len(np.unique(network.graph.edge_id)) == network.graph.num_edges


def test_deleted_objects_are_left_out(tmp_path: Path) -> None:
    gone = way(11, [2, 3]).replace('version="1"', 'version="2" visible="false"')
    path = write(tmp_path, node(1), node(2), node(3), way(10, [1, 2]), gone)
    assert node_lists(path) == [[1, 2], [2, 1]]


def test_skipped_ways_are_counted_by_rule(tmp_path: Path) -> None:
    more = [way(11, [1, 2], highway="footway"), way(12, [1, 2], access="private"), way(13, [1])]
    report = read_roads(write(tmp_path, node(1), node(2), way(10, [1, 2]), *more)).report["ways"]
    assert report["kept"] == 1
    assert report["skipped"] == {"highway": 1, "access": 1, "fewer than two nodes": 1}
    assert report["with_highway_tag"] == 4


def test_attributes_of_edges(tmp_path: Path) -> None:
    tags = {"name": "Rua &amp; Co", "lanes": "2", "toll": "yes", "tunnel": "building_passage", "surface": "asphalt"}
    path = write(
        tmp_path,
        node(1),
        node(2),
        way(
            10,
            [1, 2],
            maxspeed="36",
            access="yes",
            **tags,
        ),
    )
    attributes = read_roads(path).attributes
    assert attributes.name is not None
    assert attributes.name.text(0) == "Rua & Co"
    assert attributes.lanes.tolist() == [2, 2]
    assert (attributes.is_toll[0], attributes.is_tunnel[0], attributes.is_bridge[0]) == (True, True, False)
    assert attributes.surface.text(0) == "asphalt"
    assert attributes.access.text(0) == "yes"
    assert attributes.speed_kmh[0] == 36
    assert attributes.travel_time_s[0] == pytest.approx(attributes.length_m[0] / 10)


def test_report_for_people(tmp_path: Path) -> None:
    network = read_roads(town(CROSS).write(tmp_path))
    text = format_report(network)
    assert text.splitlines()[-1] == "roads: 5 nodes, 8 edges"
    assert text.splitlines()[0] == "source: town.osm (osm)"


def test_progress_is_told(tmp_path: Path) -> None:
    stages: list[str] = []
    read_roads(town(CROSS).write(tmp_path), progress=stages.append)
    assert stages == ["reading ways and nodes", "joining segments to edges", "building turns"]


def test_to_networkx_works_with_osmnx(tmp_path: Path) -> None:
    osmnx = pytest.importorskip("osmnx")
    network = read_roads(town("a-b-c\n  |\n  d>e\n  |\n  f").write(tmp_path))
    graph = to_networkx(network, cost=np.arange(network.graph.num_edges, dtype=float))
    nodes, edges = osmnx.graph_to_gdfs(graph)
    assert len(nodes) == network.graph.num_nodes
    assert len(edges) == network.graph.num_edges
    assert edges["length"].sum() == pytest.approx(network.edge_length_m().sum())
    route = osmnx.routing.shortest_path(graph, ord("a"), ord("e"), weight="length")
    assert "".join(map(chr, route)) == "abde"
    positions = [find_edge(network, a, b) for a, b in zip("abd", "bde", strict=True)]
    assert route_nodes(network, positions) == route
    assert route_nodes(network, []) == []


def find_edge(network, a: str, b: str) -> int:
    tail, head = network.graph.node_position(ord(a)), network.graph.node_position(ord(b))
    return int(np.flatnonzero((network.graph.tail == tail) & (network.graph.head == head))[0])


# ------------------------------------------------------------------------------------------------------ real data


@pytest.mark.real_data
def test_krems_equals_osmnx(data_folder: Path, tmp_path: Path) -> None:
    """Edge for edge: ends, length and nodes, against osmnx's simplified graph of the same ways."""
    osmnx = pytest.importorskip("osmnx")
    import osmium
    from trodden.graphs.attributes import skip_reason

    path = data_folder / "osm" / "krems.osm.gz"
    filtered = tmp_path / "krems.osm"
    with osmium.SimpleWriter(str(filtered)) as writer:
        for item in osmium.FileProcessor(str(path)):
            if item.is_node() or (item.is_way() and skip_reason(dict(item.tags)) is None):
                writer.add(item)
    theirs = osmnx.graph_from_xml(filtered, retain_all=True, simplify=True)
    network = read_roads(path, join="all")
    graph = to_networkx(network)
    assert sorted(graph.edges()) == sorted(theirs.edges())
    lengths = [sorted(data["length"] for *_, data in one.edges(data=True)) for one in (graph, theirs)]
    np.testing.assert_allclose(*lengths, rtol=1e-5)
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (354, 725)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "nodes", "edges"),
    [("liechtenstein", 1_777, 4_199), ("portland", 3_883, 10_440), ("heidelberg", 5_553, 13_054)],
)
def test_extracts_as_published(data_folder: Path, name: str, nodes: int, edges: int) -> None:
    network = read_roads(data_folder / "osm" / f"{name}.osm.pbf", join="all")
    assert network.graph.num_nodes == pytest.approx(nodes, rel=0.005)
    assert network.graph.num_edges == pytest.approx(edges, rel=0.005)


@pytest.mark.real_data
def test_turns_of_portland_are_sound(data_folder: Path) -> None:
    network = read_roads(data_folder / "osm" / "portland.osm.pbf")
    turns, graph = network.turns, network.graph
    assert (graph.head[turns.from_edge] == graph.tail[turns.to_edge]).all()
    assert (np.diff(turns.from_edge.astype(np.int64) * graph.num_edges + turns.to_edge) > 0).all()
    assert (np.diff(graph.tail) >= 0).all()
    assert (graph.head[turns.to_edge[turns.is_uturn]] == graph.tail[turns.from_edge[turns.is_uturn]]).all()
    assert not (turns.is_left & turns.is_right).any()
    restrictions = network.report["restrictions"]
    total = sum(restrictions["used"].values()) + sum(restrictions["without_effect"].values())
    total += sum(restrictions["via_ways"]["used"].values()) + sum(restrictions["via_ways"]["without_effect"].values())
    assert total + sum(restrictions["not_used"].values()) == restrictions["relations"]
    assert edges_count_of_main(network) > 0.95


def edges_count_of_main(network) -> float:
    return float(network.turns.is_main.mean())


def test_edges_keep_their_lines(tmp_path: Path) -> None:
    network = read_roads(town("a-b-c").write(tmp_path))
    assert edges_of(network) == ["abc", "cba"]
    line = network.edge_polyline(0)
    assert line.shape == (3, 2)
    assert (line[:, 0] == pytest.approx(41.0, abs=1e-2)) is True


def test_stable_ids_are_unique_and_local() -> None:
    rows = np.array([[7, 1, 2], [7, 1, 2], [7, 1, 2], [8, 1, 2], [-9, 3, 4]], np.int64)
    ids, num_moved = stable_ids(*rows.T)
    assert len(set(ids.tolist())) == 5
    assert num_moved >= 2
    assert ((ids >= 0) & (ids < 2**53)).all()
    alone, _ = stable_ids(*rows[3:].T)
    assert alone.tolist() == ids[3:].tolist()
    thrice, _ = stable_ids(*rows[:3].T)
    assert thrice.tolist() == ids[:3].tolist()
    shuffled, _ = stable_ids(*rows[::-1].T)
    assert sorted(shuffled.tolist()) == sorted(ids.tolist())
