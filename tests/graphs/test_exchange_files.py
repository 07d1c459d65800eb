"""Edges as GeoPackage, GeoParquet, GeoJSON and GraphML, and costs as a segment-speed file of OSRM."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from ascii_map import town
from osm_files import node, way, write
from trodden.core.errors import InvalidValueError, MissingDataError
from trodden.graphs.geo_files import GeoFormat, write_geo
from trodden.graphs.osrm_speeds import osrm_segment_speeds
from trodden.graphs.reading import read_roads
from trodden.graphs.road_graph import RoadNetwork

geopandas = pytest.importorskip("geopandas")

_SUFFIX = {"osmnx-graphml": "graphml", "geopackage": "gpkg", "geoparquet": "parquet", "geojson": "geojson"}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> RoadNetwork:
    return read_roads(town("a-b-c\n| |\nd-e>f\n  |\n  g").write(tmp_path_factory.mktemp("town")))


def cost_of(network: RoadNetwork) -> np.ndarray:
    return np.linspace(1.0, 2.0, network.graph.num_edges)


@pytest.mark.parametrize("form", get_args(GeoFormat))
def test_every_format_holds_every_edge_with_its_cost(network: RoadNetwork, tmp_path: Path, form: GeoFormat) -> None:
    osmnx = pytest.importorskip("osmnx")
    path = write_geo(
        network, tmp_path / f"roads.{_SUFFIX[form]}", form, {"learned_cost": cost_of(network)}, credit="whoever"
    )
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    if form == "osmnx-graphml":
        frame = osmnx.graph_to_gdfs(osmnx.load_graphml(path), nodes=False).reset_index()
        frame["learned_cost"] = frame["learned_cost"].astype(float)
        frame["edge_id"] = frame["edge_id"].astype(int)
    elif form == "geoparquet":
        frame = geopandas.read_parquet(path)
    else:
        frame = geopandas.read_file(path, layer="edges" if form == "geopackage" else None)
    assert frame.crs.to_epsg() == 4326
    assert len(frame) == network.graph.num_edges
    want = dict(zip(network.graph.edge_id.tolist(), cost_of(network).tolist(), strict=True))
    assert dict(zip(frame["edge_id"].astype(int), frame["learned_cost"], strict=True)) == want
    assert {"u", "v", "key", "highway", "osmid", "length"} <= set(frame.columns)
    for edge_id, line in zip(frame["edge_id"], frame.geometry, strict=True):
        points = network.edge_polyline(network.graph.edge_position(int(edge_id)))[:, ::-1]
        np.testing.assert_allclose(np.array(line.coords), points, atol=1e-9)
    if form == "geopackage":
        assert len(geopandas.read_file(path, layer="nodes")) == network.graph.num_nodes
    if form == "geojson":
        document = json.loads(path.read_bytes())
        assert document["attribution"] == "whoever"
        assert "crs" not in document


def test_a_file_that_was_there_is_replaced_whole_or_not_at_all(network: RoadNetwork, tmp_path: Path) -> None:
    path = tmp_path / "roads.gpkg"
    path.write_text("before")
    with pytest.raises(InvalidValueError):
        write_geo(network, path, "geopackage", {"learned_cost": np.full(network.graph.num_edges, np.nan)})
    assert path.read_text() == "before"
    write_geo(network, path, "geopackage")
    write_geo(network, path, "geopackage")
    assert len(geopandas.read_file(path, layer="edges")) == network.graph.num_edges


# ------------------------------------------------------------------------------------------------------------ OSRM


def osrm_weights(text: str, metres: dict[tuple[int, int], float]) -> dict[tuple[int, int], float]:
    """What OSRM makes of a file: the weight of each pair is its length over the rate, or over metres per second."""
    weights = {}
    for line in text.splitlines():
        fields = line.split(",")
        pair = (int(fields[0]), int(fields[1]))
        assert pair not in weights
        assert fields[2].isdigit()
        assert int(fields[2]) >= 1
        rate = float(fields[3]) if len(fields) == 4 else int(fields[2]) / 3.6
        weights[pair] = metres[pair] / rate
    return weights


def segment_metres(network: RoadNetwork) -> tuple[dict[tuple[int, int], float], dict[int, list[tuple[int, int]]]]:
    """Length of every pair of neighbouring nodes, by a plain loop, and the pairs of each edge."""
    from trodden.graphs.geometry import great_circle_m

    shapes, metres, pairs = network.shapes, {}, defaultdict(list)
    assert shapes is not None
    for edge in range(network.graph.num_edges):
        rows = range(shapes.first_point[edge], shapes.first_point[edge + 1])
        line = network.edge_polyline(edge)
        for place, row in enumerate(rows[:-1]):
            pair = (int(shapes.osm_node[row]), int(shapes.osm_node[row + 1]))
            metres[pair] = float(great_circle_m(*(line[k : k + 1, c] for k in (place, place + 1) for c in (0, 1)))[0])
            pairs[edge].append(pair)
    return metres, pairs


def test_osrm_weights_add_up_to_the_costs(network: RoadNetwork, tmp_path: Path) -> None:
    cost = cost_of(network)
    made = osrm_segment_speeds(network, cost)
    metres, pairs = segment_metres(network)
    weights = osrm_weights(made.write(tmp_path / "speeds.csv").read_text(), metres)
    assert set(weights) == {pair for of_edge in pairs.values() for pair in of_edge}
    for edge, of_edge in pairs.items():
        assert sum(weights[pair] for pair in of_edge) == pytest.approx(cost[edge] * made.weight_per_cost, rel=1e-3)
    assert sum(weights.values()) == pytest.approx(network.attributes.travel_time_s.sum(), rel=1e-3)
    assert made.left_out == {"points without an OSM node id": 0, "the same two nodes once more": 0}


def test_osrm_speeds_of_a_network(tmp_path: Path) -> None:
    """Both directions of a two-way road, one of a one-way road; no rate without costs."""
    path = write(
        tmp_path,
        *(node(number) for number in (1, 2, 3)),
        way(10, [1, 2], maxspeed="49.6"),
        way(11, [2, 3], oneway="yes", maxspeed="0.2"),
    )
    text = osrm_segment_speeds(read_roads(path)).write(tmp_path / "speeds.csv").read_text()
    assert text == "1,2,50\n2,1,50\n2,3,1\n"


def test_the_faster_of_two_ways_over_the_same_nodes_counts(tmp_path: Path) -> None:
    path = write(
        tmp_path, *(node(n) for n in (1, 2, 3)), way(10, [1, 2, 3], maxspeed="30"), way(11, [1, 2], maxspeed="60")
    )
    made = osrm_segment_speeds(read_roads(path))
    assert dict(zip(zip(made.from_node.tolist(), made.to_node.tolist(), strict=True), made.speed_kmh, strict=True)) == {
        (1, 2): 60,
        (2, 1): 60,
        (2, 3): 30,
        (3, 2): 30,
    }
    assert made.left_out["the same two nodes once more"] == 2


def test_osrm_refuses_what_it_cannot_say(network: RoadNetwork) -> None:
    cost = cost_of(network)
    cost[3] = -1.0
    with pytest.raises(InvalidValueError, match=f"edge {network.graph.edge_id[3]}"):
        osrm_segment_speeds(network, cost)
    bare = RoadNetwork(network.graph, network.attributes, network.turns, None, {}, "")
    with pytest.raises(MissingDataError, match="OSM nodes"):
        osrm_segment_speeds(bare)


def test_points_without_an_osm_node_are_counted(network: RoadNetwork) -> None:
    from trodden.graphs.export import to_networkx

    there = read_roads(to_networkx(network))
    points = np.diff(there.shapes.first_point) - 2
    made = osrm_segment_speeds(there)
    assert made.left_out["points without an OSM node id"] == (points + 1)[points > 0].sum()
    assert len(made.from_node) == (points == 0).sum()
