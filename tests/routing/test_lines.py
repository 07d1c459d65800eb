"""Encoded polylines, GPX tracks, and points from GeoDataFrames."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from trodden.core.errors import ConfigurationError, InputFileError
from trodden.graphs.costs import fastest_costs
from trodden.routing.formats import points_from_geodataframe, to_geodataframe, to_gpx, to_polyline, write_gpx
from trodden.routing.lines import decode_polyline, encode_polyline, gpx_document
from trodden.routing.router import Router

GOOGLE = "_p~iF~ps|U_ulLnnqC_mqNvxq`@"
"""The example of the format's description."""
PLACES = [[38.5, -120.2], [40.7, -120.95], [43.252, -126.453]]


@pytest.fixture
def router():
    network = strategies.make_grid(3, 3)
    return Router.from_costs(network, *fastest_costs(network))


def test_the_published_example():
    assert encode_polyline(np.array(PLACES)) == GOOGLE
    np.testing.assert_allclose(decode_polyline(GOOGLE), PLACES)
    assert encode_polyline(np.array([[0.0, -179.9832104]])) == "?`~oia@"  # its worked number
    assert encode_polyline(np.zeros((0, 2))) == ""
    assert decode_polyline("").shape == (0, 2)


@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), max_size=12), st.sampled_from([5, 6, 7]))
def test_round_trip(places, precision):
    line = np.array(places).reshape(-1, 2)
    again = decode_polyline(encode_polyline(line, precision), precision)
    np.testing.assert_allclose(again, line, atol=0.5000001 * 10.0**-precision)
    assert encode_polyline(again, precision) == encode_polyline(line, precision)


@pytest.mark.parametrize("text", ["_p~iF~ps|U_ulL", "_p~iF~ps|U\n", "_", "~~~~~~~~~~~~~~~?", "ü?"])
def test_what_is_no_polyline(text):
    with pytest.raises(ConfigurationError, match="polyline"):
        decode_polyline(text)
    with pytest.raises(ConfigurationError, match="precision"):
        encode_polyline(np.array(PLACES), 9)


def test_polyline_of_a_route(router):
    route = router.route("node:10", "node:18")
    np.testing.assert_allclose(decode_polyline(to_polyline(route, 6), 6), route.geometry, atol=6e-7)
    assert to_polyline(route) == encode_polyline(route.geometry)


def test_gpx_is_parsed_back(router, tmp_path):
    routes = [router.route("node:10", "node:18"), router.route((41.0, -8.0), "node:12")]
    path = write_gpx(routes, tmp_path / "routes.gpx")
    root = ElementTree.parse(path).getroot()
    space = "{http://www.topografix.com/GPX/1/1}"
    assert root.tag == f"{space}gpx"
    assert (root.get("version"), root.get("creator")) == ("1.1", "trodden")
    tracks = root.findall(f"{space}trk")
    assert [track.findtext(f"{space}name") for track in tracks] == [
        "plain route from node:10 to node:18",
        "plain route from 41.000000,-8.000000 to node:12",
    ]
    assert tracks[0].findtext(f"{space}desc") == "0.400 km, 0.7 min, cost 30"
    for track, route in zip(tracks, routes, strict=True):
        points = [[float(one.get("lat")), float(one.get("lon"))] for one in track.iter(f"{space}trkpt")]
        np.testing.assert_allclose(points, route.geometry, atol=1e-7)
    assert to_gpx(routes[0]).count("<trk>") == 1


def test_names_are_escaped():
    text = gpx_document([("a < b & c", "]]>", np.array(PLACES))], "© <x>")
    assert ElementTree.fromstring(text)[1][0].text == "a < b & c"


def test_points_and_routes_as_geodataframes(router):
    geopandas = pytest.importorskip("geopandas")
    places = [(-8.0, 41.0), (-7.998, 41.0018)]
    frame = geopandas.GeoDataFrame(geometry=geopandas.points_from_xy(*zip(*places, strict=True)), crs="EPSG:4326")
    for one in (frame, frame.to_crs("EPSG:3763"), frame.geometry):
        points = points_from_geodataframe(one)
        np.testing.assert_allclose([(p.longitude_deg, p.latitude_deg) for p in points], places, atol=1e-7)
    route = router.route(*points)
    back = to_geodataframe(route)
    assert back.crs.to_epsg() == 4326
    np.testing.assert_allclose(np.array(back.geometry[0].coords)[:, ::-1], route.geometry, atol=1e-7)
    with pytest.raises(ConfigurationError, match="coordinate reference system"):
        points_from_geodataframe(
            geopandas.GeoSeries(frame.geometry.values.copy(), crs=None).set_crs(None, allow_override=True)
        )
    for bad, word in ((None, "missing"), (back.geometry[0], "LineString")):
        with pytest.raises(InputFileError, match=word):
            points_from_geodataframe(geopandas.GeoSeries([frame.geometry[0], bad], crs="EPSG:4326"))
