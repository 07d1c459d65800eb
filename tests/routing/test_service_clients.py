"""OSRM clients that others wrote, unchanged, against a running server."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from known_drives import along
from stated_model import small_city, stated_model

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("uvicorn")
pytest.importorskip("routingpy")

import uvicorn
from routingpy.exceptions import RouterApiError
from routingpy.routers import OSRM
from trodden.routing.router import Router
from trodden.routing.service.app import make_app

pytestmark = pytest.mark.slow
A, B, C = (-29.8990, -71.2490), (-29.8890, -71.2380), (-29.8921, -71.2463)


def lon_lat(*places):
    return [[longitude, latitude] for latitude, longitude in places]


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    return Router(stated_model(small_city(tmp_path_factory.mktemp("city"))))


@pytest.fixture(scope="module")
def osrm(router):
    server = uvicorn.Server(uvicorn.Config(make_app(router), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield OSRM(base_url=f"http://127.0.0.1:{port}", retry_over_query_limit=False)
    server.should_exit = True
    thread.join(30)


@pytest.mark.parametrize("geometries", [None, "polyline", "polyline6", "geojson"])
def test_routingpy_reads_directions(osrm, router, geometries):
    found = osrm.directions(lon_lat(A, B), profile="learned", geometries=geometries, overview="full", steps=True)
    want = router.route(A, B)
    assert found.distance == int(round(want.length_m, 1))
    assert found.duration == int(round(want.travel_time_s, 1))
    # routingpy 1.3 turns decoded polylines to longitude first, as GeoJSON has them.
    np.testing.assert_allclose(np.array(found.geometry)[:, ::-1], want.geometry, atol=1e-5)
    assert found.raw["routes"][0]["legs"][0]["steps"][0]["maneuver"]["type"] == "depart"


def test_routingpy_reads_alternatives_and_stop_overs(osrm, router):
    found = osrm.directions(lon_lat(A, B), alternatives=2)
    assert len(found) >= 2
    assert found[0].distance == int(round(router.route(A, B).length_m, 1))
    through = osrm.directions(lon_lat(A, C, B), continue_straight=True, radiuses=[100, 100, 100])
    assert through.distance == int(round(router.route(A, B, via=[C]).length_m, 1))


def test_routingpy_reads_a_matrix(osrm, router):
    found = osrm.matrix(lon_lat(A, B, C), profile="driving")
    want = router.matrix([A, B, C], annotations=("travel_time_s", "length_m"))
    np.testing.assert_allclose(found.durations, want.travel_time_s, atol=0.06)
    np.testing.assert_allclose(found.distances, want.length_m, atol=0.06)
    part = osrm.matrix(lon_lat(A, B, C), sources=[2], destinations=[0, 1])
    np.testing.assert_allclose(part.durations, want.travel_time_s[2:, :2], atol=0.06)


def test_routingpy_passes_our_reasons_on(osrm):
    with pytest.raises(RouterApiError, match="coordinate 1"):
        osrm.directions(lon_lat(A, (0.0, 0.0)))


def test_a_client_with_map_matching_reads_a_trace(osrm, router):
    client = pytest.importorskip("osrm", reason="py-osrm-client is not installed")
    points = along(router.route(A, B), 12)
    with client.OsrmClient(base_url=osrm.client.base_url, default_profile="learned") as asking:
        found = asking.match(
            [(float(longitude), float(latitude)) for latitude, longitude in points],
            steps=True,
            annotations=True,
            overview="full",
            geometries="geojson",
        )
    [want] = router.match(points).pieces
    [matching] = found.matchings
    assert matching.confidence == pytest.approx(want.confidence, abs=1e-6)
    assert matching.distance == pytest.approx(want.route.length_m, abs=0.05)
    assert [one.waypoint_index for one in found.tracepoints] == list(range(12))
    assert [one.matchings_index for one in found.tracepoints] == [0] * 12
    assert len(matching.legs) == 11
    assert matching.legs[0].steps[0].maneuver.type == "depart"
    assert len(matching.legs[0].annotation.nodes) == len(matching.legs[0].annotation.distance) + 1
    np.testing.assert_allclose(np.array(matching.geometry["coordinates"])[:, ::-1], want.route.geometry, atol=1e-6)
