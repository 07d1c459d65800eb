"""The three OSRM services on a small city: answers against the router's own, and errors as OSRM has them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from stated_model import small_city, stated_model

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient
from trodden.irl.model import entry_costs
from trodden.routing.lines import decode_polyline
from trodden.routing.points import Coordinate
from trodden.routing.router import Router
from trodden.routing.service import schemas
from trodden.routing.service.answers import simplified
from trodden.routing.service.app import make_app
from trodden.routing.service.settings import ServiceSettings

A, B, C = (-29.8990, -71.2490), (-29.8890, -71.2380), (-29.8921, -71.2463)
"""Latitude first, as everywhere but in OSRM's addresses."""


def at(*places):
    return ";".join(f"{longitude},{latitude}" for latitude, longitude in places)


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    model = stated_model(small_city(tmp_path_factory.mktemp("city")))
    router = Router(model)
    for name, cost in model.baseline_costs.items():
        router.add_metric(name, cost, entry_costs(0 * model.entry_cost, cost, model.network.turns.to_edge))
    return router


@pytest.fixture(scope="module")
def client(router):
    settings = ServiceSettings(max_points=40, max_url_bytes=4000, max_body_bytes=2000)
    with TestClient(make_app(router, settings, is_simulated=True)) as client:
        yield client


def ok(client, address, **query):
    response = client.get(address, params=query)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["code"] == "Ok"
    return answer


# ------------------------------------------------------------------------------------------------ route


@pytest.mark.parametrize("metric", ["learned", "fastest", "shortest"])
def test_a_route_is_the_routers(client, router, metric):
    answer = ok(client, f"/route/v1/{metric}/{at(A, B)}", overview="full", geometries="polyline6")
    schemas.RouteAnswer.model_validate(answer)
    want = router.route(A, B, metric=metric)
    [found] = answer["routes"]
    assert found["weight"] == pytest.approx(want.cost, abs=1e-6)
    assert found["distance"] == pytest.approx(want.length_m, abs=0.05)
    assert found["duration"] == pytest.approx(want.travel_time_s, abs=0.05)
    assert found["weight_name"] == metric
    assert found["trodden"] == {"metric": metric, "version": want.version}
    np.testing.assert_allclose(decode_polyline(found["geometry"], 6), want.geometry, atol=1e-6)
    for waypoint, place in zip(answer["waypoints"], (A, B), strict=True):
        [snap, *_] = router.nearest(place)
        assert waypoint["distance"] == pytest.approx(snap.distance_m, abs=1e-3)
        assert waypoint["location"] == pytest.approx([snap.longitude_deg, snap.latitude_deg], abs=1e-6)


def test_the_first_metric_answers_to_names_that_osrms_clients_send(client):
    own = ok(client, f"/route/v1/learned/{at(A, B)}")
    for profile in ("driving", "car", "auto", "default"):
        assert ok(client, f"/route/v1/{profile}/{at(A, B)}") == own
    other = ok(client, f"/route/v1/shortest/{at(A, B)}")
    assert other["routes"][0]["distance"] < own["routes"][0]["distance"]


def test_geometries_and_overviews(client, router):
    want = router.route(A, B).geometry
    line = ok(client, f"/route/v1/car/{at(A, B)}", overview="full", geometries="geojson")["routes"][0]["geometry"]
    assert line["type"] == "LineString"
    np.testing.assert_allclose(np.array(line["coordinates"])[:, ::-1], want, atol=1e-6)
    short = ok(client, f"/route/v1/car/{at(A, B)}")["routes"][0]["geometry"]
    assert len(decode_polyline(short)) <= len(want)
    np.testing.assert_allclose(decode_polyline(short)[0], want[0], atol=1e-5)
    np.testing.assert_allclose(decode_polyline(short)[-1], want[-1], atol=1e-5)
    assert "geometry" not in ok(client, f"/route/v1/car/{at(A, B)}", overview="false")["routes"][0]


def test_a_simplified_line_strays_little():
    angle = np.linspace(0, 2 * np.pi, 2000)
    circle = np.stack([41 + 0.01 * np.sin(angle), -8 + 0.01 * np.cos(angle) / np.cos(np.radians(41))], axis=1)
    few = simplified(circle)
    assert len(few) < 120
    radius = np.hypot(few[:, 0] - 41, (few[:, 1] + 8) * np.cos(np.radians(41)))
    np.testing.assert_allclose(radius, 0.01, rtol=1e-3)
    assert simplified(circle[:2]) is not None


@pytest.mark.parametrize("places", [(A, B), (A, C, B), (B, A), (A, (A[0] + 1e-4, A[1]))])
def test_steps_make_up_their_leg(client, router, places):
    answer = ok(client, f"/route/v1/car/{at(*places)}", steps="true", geometries="geojson", overview="full")
    schemas.RouteAnswer.model_validate(answer)
    route = answer["routes"][0]
    assert len(route["legs"]) == len(places) - 1
    assert len(answer["waypoints"]) == len(places)
    for part in ("distance", "duration", "weight"):
        assert sum(leg[part] for leg in route["legs"]) == pytest.approx(route[part], abs=0.2)
    for leg in route["legs"]:
        steps = leg["steps"]
        for part in ("distance", "duration", "weight"):
            assert sum(step[part] for step in steps) == pytest.approx(leg[part], abs=0.05 * len(steps) + 1e-5)
        assert steps[0]["maneuver"]["type"] == "depart"
        assert steps[-1]["maneuver"]["type"] == "arrive"
        assert steps[-1]["distance"] == 0
        assert all(step["maneuver"]["type"] not in {"depart", "arrive"} for step in steps[1:-1])
        for step, following in itertools.pairwise(steps):
            end = step["geometry"]["coordinates"][-1]
            assert following["geometry"]["coordinates"][0] == end
            assert following["maneuver"]["location"] == pytest.approx(end, abs=1e-6)
        for step in steps:
            junction = step["intersections"][0]
            assert junction["location"] == step["maneuver"]["location"]
            for one in step["intersections"]:
                assert one["bearings"] == sorted(one["bearings"])
                assert len(one["bearings"]) == len(one["entry"])
                assert "out" not in one or one["entry"][one["out"]]
            if step["maneuver"]["type"] not in {"depart", "arrive"}:
                assert junction["bearings"][junction["out"]] == step["maneuver"]["bearing_after"]
        assert leg["summary"]


def test_via_points_are_stops_on_the_way(client, router):
    answer = ok(client, f"/route/v1/car/{at(A, C, B)}")
    want = router.route(A, B, via=[C])
    assert answer["routes"][0]["weight"] == pytest.approx(want.cost, abs=1e-6)
    found = [leg["weight"] for leg in answer["routes"][0]["legs"]]
    assert found == pytest.approx([one.cost for one in want.legs], abs=1e-6)
    apart = ok(client, f"/route/v1/car/{at(A, C, B)}", continue_straight="false")["routes"][0]
    legs = router.route(A, C), router.route(C, B)
    assert apart["weight"] == pytest.approx(sum(one.cost for one in legs), abs=1e-6)


def test_annotations_are_per_segment(client, router):
    answer = ok(client, f"/route/v1/car/{at(A, B)}", annotations="true", overview="full", geometries="geojson")
    [leg] = answer["routes"][0]["legs"]
    found = leg["annotation"]
    count = len(answer["routes"][0]["geometry"]["coordinates"])
    assert {name: len(values) for name, values in found.items()} == {
        "distance": count - 1,
        "duration": count - 1,
        "speed": count - 1,
        "weight": count - 1,
        "datasources": count - 1,
        "nodes": count,
    }
    assert sum(found["distance"]) == pytest.approx(leg["distance"], abs=0.2)
    assert sum(found["duration"]) == pytest.approx(leg["duration"], abs=0.2)
    assert sum(found["weight"]) == pytest.approx(leg["weight"], abs=1e-4)
    assert found["nodes"] == router.route(A, B).osm_nodes
    only = ok(client, f"/route/v1/car/{at(A, B)}", annotations="nodes")["routes"][0]["legs"][0]["annotation"]
    assert list(only) == ["nodes"]


def test_probability_and_explanation_on_request(client, router):
    want = router.route(A, B)
    answer = ok(client, f"/route/v1/car/{at(A, B)}", trodden="probability,explanation")["routes"][0]["trodden"]
    assert answer["probability"] == pytest.approx(np.exp(want.log_probability))
    assert {one["name"] for one in answer["explanation"]["routes"]} >= {"fastest"}


def test_alternatives_are_further_routes(client):
    answer = ok(client, f"/route/v1/car/{at(A, B)}", alternatives="3")
    assert 2 <= len(answer["routes"]) <= 4
    weights = [route["weight"] for route in answer["routes"]]
    assert weights == sorted(weights)
    assert weights[0] == ok(client, f"/route/v1/car/{at(A, B)}")["routes"][0]["weight"]
    assert all(0 < route["trodden"]["probability"] <= 1 for route in answer["routes"])


def test_classes_are_excluded_and_edges_closed(client, router):
    names = router.network.attributes.road_class
    plain = router.route(A, B)
    assert "secondary" in {names.text(int(edge)) for edge in plain.edges}
    found = ok(client, f"/route/v1/car/{at(A, B)}", exclude="secondary")["routes"][0]
    closed = router.network.graph.edge_id[names.mask("secondary")].tolist()
    assert found["weight"] == pytest.approx(router.route(A, B, closed=closed).cost, abs=1e-6)
    assert found["weight"] > plain.cost
    middle = plain.edge_ids[len(plain.edge_ids) // 2]
    around = ok(client, f"/route/v1/car/{at(A, B)}", closed=str(middle))["routes"][0]
    assert around["weight"] == pytest.approx(router.route(A, B, closed=[middle]).cost, abs=1e-6)
    dearer = ok(client, f"/route/v1/car/{at(A, B)}", avoid="secondary:3")["routes"][0]
    assert dearer["weight"] == pytest.approx(router.route(A, B, avoid={"secondary": 3.0}).cost, abs=1e-6)


# ------------------------------------------------------------------------------------------------ table, nearest


def test_a_table_is_the_routers_matrix(client, router):
    places = [A, B, C]
    answer = ok(client, f"/table/v1/car/{at(*places)}", annotations="duration,distance", trodden="cost")
    schemas.TableAnswer.model_validate(answer)
    want = router.matrix(places, annotations=("travel_time_s", "length_m"))
    np.testing.assert_allclose(answer["durations"], want.travel_time_s, atol=0.051)
    np.testing.assert_allclose(answer["distances"], want.length_m, atol=0.051)
    np.testing.assert_allclose(answer["trodden"]["cost"], want.cost, atol=1e-6)
    assert len(answer["sources"]) == len(answer["destinations"]) == 3
    part = ok(client, f"/table/v1/car/{at(*places)}", sources="2", destinations="0;1")
    assert part["durations"] == [answer["durations"][2][:2]]
    assert "distances" not in part
    assert part["sources"] == [answer["sources"][2]]
    twice = ok(client, f"/table/v1/car/{at(*places)}", scale_factor="2")
    np.testing.assert_allclose(twice["durations"], 2 * np.array(answer["durations"]), atol=0.11)


def test_nearest_roads(client, router):
    answer = ok(client, f"/nearest/v1/car/{at(A)}", number="4")
    schemas.NearestAnswer.model_validate(answer)
    snaps = router.nearest(A, 4)
    assert [one["trodden"]["edge_id"] for one in answer["waypoints"]] == [
        int(router.network.graph.edge_id[snap.edge]) for snap in snaps
    ]
    distances = [one["distance"] for one in answer["waypoints"]]
    assert distances == sorted(distances)
    assert len(ok(client, f"/nearest/v1/car/{at(A)}")["waypoints"]) == 1


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("address", "status", "code", "says"),
    [
        (f"/route/v1/car/{at(A, (0.0, 0.0))}", 400, "NoSegment", "coordinate 1"),
        (f"/route/v1/car/{at((0.0, 0.0), A)}", 400, "NoSegment", "coordinate 0"),
        (f"/route/v1/car/{at(A, C, (-29.0, -71.0), B)}", 400, "NoSegment", "coordinate 2"),
        (f"/route/v1/car/{at(A, tuple(reversed(B)))}", 400, "NoSegment", "swapped"),
        (f"/route/v1/car/{at(A, B)}?radiuses=unlimited;0.001", 400, "NoSegment", "coordinate 1"),
        (f"/route/v1/car/{at(A)}", 400, "InvalidOptions", "at least 2"),
        ("/route/v1/car/here;there", 400, "InvalidQuery", "coordinate 0"),
        (f"/route/v1/bicycle/{at(A, B)}", 400, "InvalidProfile", "learned, fastest, shortest"),
        (f"/route/v1/car/{at(A, B)}?colour=red", 400, "InvalidQuery", "colour"),
        (f"/route/v1/car/{at(A, B)}?exclude=ferry", 400, "InvalidValue", "ferry"),
        (f"/route/v1/car/{at(A, B)}?closed=5", 400, "InvalidValue", "5"),
        (f"/route/v1/car/{at(A, B)}?avoid=ferry:2", 400, "InvalidValue", "ferry"),
        (f"/route/v1/car/{at(*[A, B] * 21)}", 400, "TooBig", "42 coordinates"),
        (f"/table/v1/car/{at(*[A, B] * 21)}", 400, "TooBig", "42 coordinates"),
        (f"/table/v1/car/{at(A, (0.0, 0.0))}", 400, "NoSegment", "coordinate 1"),
        (f"/nearest/v1/car/{at(A, B)}", 400, "TooBig", "2 coordinates"),
        (f"/nearest/v1/car/{at(A)}?number=0", 400, "InvalidValue", "number"),
        (f"/nearest/v1/car/{at((0.0, 0.0))}", 400, "NoSegment", "coordinate 0"),
        (f"/trip/v1/car/{at(A, B)}", 400, "InvalidService", "trip"),
        (f"/route/v2/car/{at(A, B)}", 400, "InvalidVersion", "v1"),
        ("/route", 400, "InvalidUrl", "/route/v1"),
        ("/route/v1/car", 400, "InvalidUrl", "/route/v1"),
        ("/elsewhere", 404, "InvalidUrl", "openapi"),
        (f"/route/v1/car/{at(*[A, B] * 500)}", 414, "TooBig", "bytes"),
        (f"/route/v1/car/{at(A, B)}?hints={'x' * 5000}", 414, "TooBig", "bytes"),
    ],
)
def test_refusals(client, address, status, code, says):
    response = client.get(address)
    assert response.status_code == status, response.text
    answer = response.json()
    assert answer["code"] == code
    assert says in answer["message"]


def test_no_route_names_the_coordinates_and_the_reason():
    import strategies
    from trodden.graphs.costs import fastest_costs

    # A one-way pair: there is a way from the first road to the second, and none back once it is closed.
    network = strategies.make_grid(3, 3)
    router = Router.from_costs(network, *fastest_costs(network), metric="fastest")
    into = network.graph.edge_id[network.graph.head == 8].tolist()
    with TestClient(make_app(router)) as client:
        corner = (41.0 + 2 / 1111.95, -8.0 + 1.93 / 1111.95 / np.cos(np.radians(41.0)))
        address = f"/route/v1/car/{at((41.0, -8.0), (41.0, -7.9995), corner)}"
        closed = ",".join(map(str, [*into, *network.graph.edge_id[network.graph.tail == 8].tolist()]))
        response = client.get(address, params={"closed": closed})
        assert response.status_code == 400
        assert response.json()["code"] == "NoRoute"
        assert "coordinate 1 to coordinate 2" in response.json()["message"]


def test_a_network_without_coordinates_says_so():
    import strategies
    from trodden.graphs.costs import fastest_costs

    network = strategies.make_network([0, 1, 2], [1, 2, 0])
    with TestClient(make_app(Router.from_costs(network, *fastest_costs(network)))) as client:
        response = client.get("/route/v1/car/1,2;3,4")
        assert (response.status_code, response.json()["code"]) == (400, "NoSegment")
        assert "coordinates" in response.json()["message"]
        assert client.get("/v1/network").json()["bounds"] is None
        assert client.get("/v1/roads", params={"bbox": "0,0,1,1"}).status_code == 400
        batch = {"pairs": [["edge:1000", "edge:1002"]]}
        assert client.post("/v1/routes", json=batch).json()["rows"][0]["edge_ids"] == [1000, 1001, 1002]


def test_points_are_written_longitude_first(client):
    assert str(Coordinate(*A)).startswith("-29.899")
    assert client.get(f"/route/v1/car/{at(A, B)}").status_code == 200
