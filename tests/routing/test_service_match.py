"""``/match/v1`` on a small city: the router's own answer, in OSRM's form, and its errors."""

from __future__ import annotations

import numpy as np
import pytest
from known_drives import along, drives, points_of
from stated_model import small_city, stated_model

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient
from trodden.routing.lines import decode_polyline
from trodden.routing.router import Router
from trodden.routing.service import schemas
from trodden.routing.service.app import make_app
from trodden.routing.service.settings import ServiceSettings

A, B = (-29.8990, -71.2490), (-29.8890, -71.2380)


def at(places):
    return ";".join(f"{longitude:.6f},{latitude:.6f}" for latitude, longitude in places)


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    return Router(stated_model(small_city(tmp_path_factory.mktemp("city"))))


@pytest.fixture(scope="module")
def client(router):
    with TestClient(make_app(router, ServiceSettings(max_points=60))) as client:
        yield client


@pytest.fixture(scope="module")
def places(router):
    return np.round(along(router.route(A, B), 20), 6)


def ok(client, places, profile="learned", **query):
    response = client.get(f"/match/v1/{profile}/{at(places)}", params=query)
    assert response.status_code == 200, response.text
    answer = response.json()
    schemas.MatchAnswer.model_validate(answer)
    assert answer["code"] == "Ok"
    return answer


def seconds(times):
    return ";".join(str(int(one)) for one in times)


def test_a_trace_is_the_routers(client, router, places):
    times = 1_700_000_000 + 6 * np.arange(20)
    answer = ok(client, places, overview="full", geometries="polyline6", timestamps=seconds(times))
    want = router.match(places, times)
    [found], [piece] = answer["matchings"], want.pieces
    assert found["confidence"] == pytest.approx(piece.confidence, abs=1e-6)
    assert found["distance"] == pytest.approx(piece.route.length_m, abs=0.05)
    assert found["duration"] == pytest.approx(piece.route.travel_time_s, abs=0.05)
    assert found["weight"] == pytest.approx(piece.route.cost, abs=1e-6)
    assert found["weight_name"] == "learned"
    np.testing.assert_allclose(decode_polyline(found["geometry"], 6), piece.route.geometry, atol=2e-6)
    assert len(found["legs"]) == 19
    for leg, own in zip(found["legs"], piece.route.legs, strict=True):
        assert leg["distance"] == pytest.approx(own.length_m, abs=0.05)
        assert leg["weight"] == pytest.approx(own.cost, abs=1e-6)
    for index, point in enumerate(answer["tracepoints"]):
        assert (point["matchings_index"], point["waypoint_index"]) == (0, index)
        assert point["location"] == pytest.approx(places[index][::-1].tolist(), abs=2e-5)
        assert point["distance"] < 1.0
        assert point["alternatives_count"] in {0, 1}
        assert isinstance(point["name"], str)
    assert answer["tracepoints"][10]["alternatives_count"] == 0
    assert set(answer["trodden"]["fates"]) == {"used"}


def test_a_noisy_drive_comes_back_with_steps_and_annotations(client, router):
    route = router.route(A, B)
    points, times = points_of(drives(router.network, [route.edges], seed=2, interval_s=8.0, noise_m=4.0))
    answer = ok(client, points, timestamps=seconds(times), steps="true", annotations="true", geometries="geojson")
    [found] = answer["matchings"]
    assert found["distance"] == pytest.approx(router.match(points, times.astype(int)).pieces[0].route.length_m, abs=3.0)
    for leg in found["legs"]:
        assert leg["steps"][0]["maneuver"]["type"] == "depart"
        assert leg["steps"][-1]["maneuver"]["type"] == "arrive"
        assert sum(leg["annotation"]["distance"]) == pytest.approx(leg["distance"], abs=0.1)
    lines = [leg["steps"][0]["geometry"]["coordinates"][0] for leg in found["legs"]]
    for point, begin in zip(answer["tracepoints"], lines, strict=False):
        assert point["location"] == pytest.approx(begin, abs=2e-6)


def test_a_gap_splits_and_may_be_ignored(client, places):
    times = 6 * np.arange(20)
    times[12:] += 3600
    answer = ok(client, places, timestamps=seconds(times))
    assert [point["matchings_index"] for point in answer["tracepoints"]] == [0] * 12 + [1] * 8
    assert [point["waypoint_index"] for point in answer["tracepoints"]] == [*range(12), *range(8)]
    assert [len(one["legs"]) for one in answer["matchings"]] == [11, 7]
    assert len(ok(client, places, timestamps=seconds(times), gaps="ignore")["matchings"]) == 1
    assert len(ok(client, places, timestamps=seconds(times), gaps="split")["matchings"]) == 2


def test_points_that_are_not_used_are_null(client, places):
    strayed = places.copy()
    strayed[5] += 0.02
    answer = ok(client, strayed)
    assert [index for index, point in enumerate(answer["tracepoints"]) if point is None] == [5]
    assert answer["trodden"]["fates"][5] == "off_road"
    assert answer["tracepoints"][6]["waypoint_index"] == 5
    assert "tracepoints" not in ok(client, strayed, skip_waypoints="true")


def test_tidy_leaves_out_what_says_nothing(client, router):
    dense = along(router.route(A, B), 60)[:30]
    crowded = np.repeat(dense, 2, axis=0)
    whole, tidy = ok(client, crowded), ok(client, crowded, tidy="true")
    assert all(point is not None for point in whole["tracepoints"])
    assert sum(point is None for point in tidy["tracepoints"]) >= 30
    assert tidy["matchings"][0]["distance"] == pytest.approx(whole["matchings"][0]["distance"], abs=20.0)


def test_waypoints_choose_the_legs(client, places):
    answer = ok(client, places, waypoints="0;9;19")
    assert len(answer["matchings"][0]["legs"]) == 2
    assert [point["waypoint_index"] for point in answer["tracepoints"]][8:11] == [None, 1, None]


def test_radiuses_are_standard_deviations(client, places):
    strayed = places.copy()
    strayed[5] += 0.0006  # some 60 m north and east
    wide = ok(client, strayed, radiuses=";".join(["5"] * 5 + ["60"] + ["unlimited"] + [""] + ["5"] * 12))
    assert wide["tracepoints"][5] is not None
    assert wide["trodden"]["sigma_m"] == 5.0
    assert ok(client, places, radiuses=";".join(["0.5"] * 20))["trodden"]["sigma_m"] == 1.0


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("timestamps=1", "InvalidOptions", "1 entries for 2"),
        ("timestamps=2;1", "InvalidValue", "coordinate 1 is before"),
        ("timestamps=1;x", "InvalidValue", "'x' is not a number"),
        ("timestamps=1;nan", "InvalidValue", "coordinate 1"),
        ("timestamps=1;", "InvalidValue", "''"),
        ("radiuses=5", "InvalidOptions", "1 entries for 2"),
        ("radiuses=5;-1", "InvalidValue", "coordinate 1"),
        ("gaps=jump", "InvalidValue", "split, ignore"),
        ("tidy=yes", "InvalidValue", "tidy"),
        ("waypoints=7", "InvalidValue", "no index"),
        ("exclude=toll", "InvalidOptions", "not supported"),
        ("bearings=1,2;3,4", "InvalidOptions", "not supported"),
        ("overview=some", "InvalidValue", "overview"),
        ("alternatives=2", "InvalidQuery", "alternatives"),
    ],
)
def test_refusals(client, query, code, words):
    response = client.get(f"/match/v1/car/{at([A, B])}?{query}")
    assert (response.status_code, response.json()["code"]) == (400, code), response.text
    assert words in response.json()["message"]


def test_traces_that_lie_nowhere(client, places):
    def refused(places, **query):
        response = client.get(f"/match/v1/car/{at(places)}", params=query)
        assert response.status_code == 400
        return response.json()["code"], response.json()["message"]

    assert refused([A])[0] == "InvalidOptions"
    assert refused(np.tile(A, (61, 1)))[0] == "TooBig"
    assert refused([(10.0, 10.0), (10.0, 10.001)]) == ("NoSegment", "no route through these coordinates: 2 off_road")
    assert refused([A, A])[0] == "NoMatch"
    strayed = places.copy()
    strayed[5] += 0.02
    code, message = refused(strayed, waypoints="0;5")
    assert code == "NoMatch"
    assert "waypoint 5 is on no route: off_road" in message
    assert client.get(f"/match/v1/nobody/{at(places)}").json()["code"] == "InvalidProfile"
    assert client.get("/match/v1").json()["message"].startswith("write /match/v1/")


def test_a_match_is_counted_and_documented(client, places):
    ok(client, places)
    assert 'trodden_requests_total{service="match",status="200"}' in client.get("/metrics").text
    document = client.get("/openapi.json").json()
    names = [one["name"] for one in document["paths"]["/match/v1/{profile}/{coordinates}"]["get"]["parameters"]]
    assert {"timestamps", "radiuses", "gaps", "tidy", "waypoints", "steps"} <= set(names)
