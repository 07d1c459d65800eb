"""Routes in other programs' formats."""

from __future__ import annotations

import itertools
import json
import sys

import numpy as np
import pytest
import shapely.geometry
import strategies
from trodden.core.errors import MissingDataError, MissingPackageError
from trodden.graphs.costs import fastest_costs
from trodden.graphs.road_graph import EdgeShapes, RoadNetwork
from trodden.irl.map_views import OSM_CREDIT
from trodden.routing.formats import to_geodataframe, to_geojson, to_networkx_nodes, write_geojson
from trodden.routing.router import Router


@pytest.fixture
def router():
    network = strategies.make_grid(3, 3)
    return Router.from_costs(network, *fastest_costs(network))


def with_shapes(network):
    """Straight shapes: what an OSM extract of this network would give."""
    graph = network.graph
    ends = np.stack([graph.tail, graph.head], axis=1).ravel()
    count = graph.num_edges
    shapes = EdgeShapes(
        first_point=2 * np.arange(count + 1),
        osm_node=graph.node_id[ends],
        latitude_e7=np.rint(graph.latitude_deg[ends] * 1e7).astype(np.int32),
        longitude_e7=np.rint(graph.longitude_deg[ends] * 1e7).astype(np.int32),
        first_way=np.arange(count + 1),
        osm_way=np.full(count, 7),
    )
    return RoadNetwork(graph, network.attributes, network.turns, shapes, {}, "")


def test_geojson_has_longitude_first_and_all_properties(router, tmp_path):
    route = router.route((41.0, -8.0), "node:18")
    written = json.loads(write_geojson(route, tmp_path / "new" / "route.geojson").read_text(encoding="utf-8"))
    assert written == to_geojson(route)
    line, origin = written["features"]
    shape = shapely.geometry.shape(line["geometry"])
    assert shape.is_valid
    assert shape.bounds[0] == pytest.approx(-8.0)
    assert shape.bounds[1] == pytest.approx(41.0)
    assert line["properties"]["length_m"] == 400
    assert line["properties"]["travel_time_s"] == 40
    assert line["properties"]["edge_ids"] == route.edge_ids
    assert origin["properties"]["kind"] == "origin"
    assert origin["geometry"]["coordinates"] == pytest.approx([-8.0, 41.0])
    assert "attribution" not in written
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["route.geojson"]


def test_osm_is_credited(router):
    network = with_shapes(router.network)
    routes = Router.from_costs(network, *fastest_costs(network)).routes(
        [("node:10", "node:18"), ("node:18", "node:10")]
    )
    collection = to_geojson(routes)
    assert collection["attribution"] == OSM_CREDIT == "© OpenStreetMap contributors"
    assert [feature["properties"]["route"] for feature in collection["features"]] == [0, 1]


def test_a_route_without_edges_is_still_a_valid_line(router):
    feature = to_geojson(router.route("node:10", "node:10"))["features"][0]
    assert len(feature["geometry"]["coordinates"]) == 2


def test_the_node_list_is_a_path_of_the_networkx_graph(router):
    nodes = to_networkx_nodes(router.route("node:10", "node:18"))
    graph = router.network.graph
    pairs = set(zip(graph.node_id[graph.tail].tolist(), graph.node_id[graph.head].tolist(), strict=True))
    assert set(itertools.pairwise(nodes)) <= pairs


def test_a_geodataframe_has_a_row_per_route(router):
    pytest.importorskip("geopandas")
    table = to_geodataframe([router.route((41.0, -8.0), "node:18"), router.route("node:18", "node:10")])
    assert table.crs == "EPSG:4326"
    assert table["length_m"].tolist() == [400, 400]


def test_without_geopandas_the_error_says_what_to_install(router, monkeypatch):
    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(MissingPackageError, match="pip install geopandas"):
        to_geodataframe(router.route("node:10", "node:18"))


def test_a_network_without_coordinates_has_no_line():
    network = strategies.make_network([0, 1], [1, 0])
    route = Router.from_costs(network, *fastest_costs(network)).route("edge:1000", "edge:1001")
    with pytest.raises(MissingDataError):
        to_geojson(route)


def test_a_failed_write_leaves_what_was_there(router, tmp_path, monkeypatch):
    target = tmp_path / "route.geojson"
    target.write_text("earlier")
    route = router.route("node:10", "node:18")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="No space"):
        write_geojson(route, target)
    assert target.read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["route.geojson"]
