"""Our own part of the interface, the page's files, limits, counters and the swap of models."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from stated_model import TASTE, small_city, stated_model

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

import trodden.routing.service
from fastapi.testclient import TestClient
from trodden.core.errors import ConfigurationError, StoredFolderError, WrongNetworkError
from trodden.irl.checkpoints import save_model
from trodden.routing.service import schemas
from trodden.routing.service.app import make_app
from trodden.routing.service.counters import Counters
from trodden.routing.service.loading import ModelWatcher, check_models, load_router
from trodden.routing.service.roads import RoadLines
from trodden.routing.service.settings import ServiceSettings

A, B = "-29.8990,-71.2490", "-29.8890,-71.2380"
PAGE = Path(trodden.routing.service.__file__).parent / "page"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return stated_model(small_city(tmp_path_factory.mktemp("city")))


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return save_model(model, tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="module")
def client(folder):
    loaded = load_router(folder)
    settings = ServiceSettings(max_body_bytes=3000, max_rows=5, max_roads=400, allow_origin="*")
    with TestClient(make_app(loaded.router, settings, is_simulated=loaded.is_simulated)) as client:
        yield client


def get(client, address, schema=None, **query):
    response = client.get(address, params={name.rstrip("_"): value for name, value in query.items()})
    assert response.status_code == 200, response.text
    if schema is not None:
        schema.model_validate(response.json())
    return response.json()


def test_alternatives_have_probabilities(client):
    found = get(client, "/v1/alternatives", schemas.AlternativesAnswer, from_=A, to=B, k=3)
    assert found["metric"] == "learned"
    rows = found["alternatives"]
    assert 2 <= len(rows) <= 3
    assert [row["cost"] for row in rows] == sorted(row["cost"] for row in rows)
    assert all(0 < row["probability"] <= 1 for row in rows)
    assert len({tuple(row["edge_ids"]) for row in rows}) == len(rows)
    assert all(row["geometry"]["type"] == "LineString" for row in rows)
    middle = rows[0]["edge_ids"][len(rows[0]["edge_ids"]) // 2]
    others = get(client, "/v1/alternatives", schemas.AlternativesAnswer, from_=A, to=B, closed=middle, avoid="left:2")
    assert others["alternatives"]
    assert all(middle not in row["edge_ids"] for row in others["alternatives"])


def test_an_explanation_adds_up(client):
    found = get(client, "/v1/explain", schemas.ExplainAnswer, from_=A, to=B)
    for route in found["explanation"]["routes"]:
        assert sum(route["terms"]) == pytest.approx(route["cost"])
        assert route["name"] in found["geometries"]


def test_reachable_is_a_feature(client):
    near = get(client, "/v1/reachable", schemas.ReachableAnswer, from_=A, limit=60)
    far = get(client, "/v1/reachable", schemas.ReachableAnswer, from_=A, limit=180)
    assert near["geometry"]["type"] in {"Polygon", "MultiPolygon"}
    assert 0 < near["properties"]["num_edges"] < far["properties"]["num_edges"]


def test_a_batch_fails_row_by_row(client):
    pairs = [[A, B], [A, "0,0"], ["edge:x", B], [B, A]]
    response = client.post("/v1/routes", json={"pairs": pairs, "metric": "fastest"})
    assert response.status_code == 200
    schemas.BatchAnswer.model_validate(response.json())
    rows = response.json()["rows"]
    assert [row["code"] for row in rows] == ["Ok", "NoSegment", "InvalidQuery", "Ok"]
    assert "row 1" in rows[1]["message"]
    assert rows[0]["metric"] == "fastest"
    assert rows[0]["geometry"]["type"] == "LineString"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "JSON"),
        (b'{"pairs": "all"}', 400, "pairs"),
        (b'{"pairs": [["1,2"]]}', 400, "pairs.0"),
        (b'{"pairs": [], "colour": 1}', 400, "colour"),
        (b'{"pairs": [["1,2","1,2"]], "metric": "scenic"}', 400, "scenic"),
        (b'{"pairs": [' + b",".join([b'["1,2","3,4"]'] * 6) + b"]}", 400, "6 rows"),
        (b'{"pairs": [' + b",".join([b'["1,2","3,4"]'] * 600) + b"]}", 413, "3000 bytes"),
        (b'{"pairs": [], "closed": [9223372036854775808]}', 400, "9223372036854775808"),
        (b"\xff\xfe", 400, ""),
        (b"[" * 2500, 400, ""),
    ],
)
def test_bad_batches_are_refused(client, body, status, says):
    response = client.post("/v1/routes", content=body, headers={"content-type": "application/json"})
    assert response.status_code == status, response.text
    assert says in response.json()["message"]


def test_a_body_of_no_stated_length_is_cut_off(client):
    response = client.post("/v1/routes", content=(b" " * 1000 for _ in range(8)))
    assert (response.status_code, response.json()["code"]) == (413, "TooBig")


@pytest.mark.parametrize(
    ("address", "query", "says"),
    [
        ("/v1/alternatives", {"from": A}, "to"),
        ("/v1/alternatives", {"from": A, "to": B, "k": "x"}, "k"),
        ("/v1/alternatives", {"from": A, "to": B, "k": "99"}, "99"),
        ("/v1/alternatives", {"from": A, "to": B, "metric": "scenic"}, "scenic"),
        ("/v1/alternatives", {"from": "way:1", "to": B}, "edge:ID"),
        ("/v1/alternatives", {"from": A, "to": B, "avoid": "toll:-1"}, "toll"),
        ("/v1/alternatives", {"from": A, "to": B, "closed": "x"}, "closed"),
        ("/v1/explain", {"from": A, "to": "1,2"}, "1.000000, 2.000000"),
        ("/v1/explain", {"from": A, "to": A}, "nothing to choose"),
        ("/v1/reachable", {"from": A, "limit": "-1"}, "limit"),
        ("/v1/reachable", {"from": A, "limit": "nan"}, "limit"),
        ("/v1/reachable", {"from": A, "limit": "99999"}, "99999"),
        ("/v1/reachable", {"from": A, "limit": "9", "by": "colour"}, "by"),
        ("/v1/roads", {"bbox": "1,2,3"}, "bbox"),
        ("/v1/roads", {"bbox": "3,2,1,4"}, "west before east"),
        ("/v1/roads", {"bbox": "nan,2,1,4"}, "bbox"),
        ("/v1/roads", {}, "bbox"),
    ],
)
def test_bad_questions_are_refused(client, address, query, says):
    response = client.get(address, params=query)
    assert response.status_code == 400, response.text
    assert says in response.json()["message"]
    schemas.Problem.model_validate(response.json())


def test_what_the_page_reads_first(client, model):
    found = get(client, "/v1/network", schemas.NetworkInfo)
    assert found["num_edges"] == model.network.graph.num_edges
    assert found["is_simulated"]
    assert "OpenStreetMap" in found["attribution"]
    west, south, east, north = found["bounds"]
    assert west < -71.24 < east
    assert south < -29.89 < north
    metrics = get(client, "/v1/metrics", schemas.Metrics)["metrics"]
    assert [one["name"] for one in metrics] == ["learned", "fastest", "shortest"]
    assert [one["is_default"] for one in metrics] == [True, False, False]
    get(client, "/health", schemas.Health)


def test_roads_are_thinned_by_class_and_count(client, model):
    west, south, east, north = get(client, "/v1/network")["bounds"]
    box = f"{west},{south},{east},{north}"
    full = get(client, "/v1/roads", bbox=box, zoom=16)
    assert full["is_complete"]
    assert [one["properties"]["rank"] for one in full["features"]] == [5, 4, 3]
    lines = sum(len(one["geometry"]["coordinates"]) for one in full["features"])
    assert lines <= model.network.graph.num_edges / 2 + 40  # the two directions of a road are one line
    far = get(client, "/v1/roads", bbox=box, zoom=11)
    assert [one["properties"]["rank"] for one in far["features"]] == [3]
    assert get(client, "/v1/roads", bbox="0,0,1,1", zoom=16)["features"] == []
    roads = RoadLines(model.network)
    assert not roads.inside((west, south, east, north), 16, 100)["is_complete"]


def test_the_page_needs_no_other_host(client):
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert not address.startswith(("http", "//")), address
        assert client.get(f"/{address}").status_code == 200, address
    for script in PAGE.glob("*.js"):
        assert not re.findall(r"https?://(?!leafletjs\.com)", script.read_text(encoding="utf-8")), script
    assert "Redistribution and use" in (PAGE / "vendor/leaflet/LICENSE").read_text(encoding="utf-8")
    assert client.get("/page/../app.py").status_code == 404


def test_openapi_lists_what_there_is(client):
    document = get(client, "/openapi.json")
    assert {"/route/v1/{profile}/{coordinates}", "/v1/routes", "/health"} <= set(document["paths"])
    for path in document["paths"].values():
        for operation in path.values():
            assert "422" not in operation["responses"]
    assert client.get("/docs").status_code == 404


def test_other_pages_may_ask_where_that_is_permitted(client):
    assert client.get("/health", headers={"origin": "http://elsewhere"}).headers["access-control-allow-origin"] == "*"


def test_prometheus(client):
    client.get("/nonsense")
    client.get("/v1/metrics")
    text = client.get("/metrics").text
    assert re.search(r'trodden_requests_total\{service="v1/metrics",status="200"\} [1-9]', text)
    assert re.search(r'trodden_requests_total\{service="other",status="404"\} [1-9]', text)
    assert 'trodden_request_seconds_bucket{le="0.001",service="v1/metrics"}' in text
    assert re.search(r'trodden_metric_version\{metric="learned"\} \d', text)
    assert "nonsense" not in text


def test_a_fault_of_ours_is_a_500_with_a_code_and_is_counted(folder, monkeypatch):
    router = load_router(folder).router

    def broken(*arguments, **options):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(router, "route", broken)
    with TestClient(make_app(router), raise_server_exceptions=False) as client:
        response = client.get("/route/v1/car/-71.249,-29.899;-71.238,-29.889")
        assert (response.status_code, response.json()["code"]) == (500, "InternalError")
        assert "on purpose" not in response.text
        assert 'trodden_requests_total{service="route",status="500"} 1.0' in client.get("/metrics").text


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"\{z\}"):
        ServiceSettings(tiles="tiles.png")
    with pytest.raises(ValueError, match="max_points"):
        ServiceSettings(max_points=0)


# ------------------------------------------------------------------------------------------------ models


def other_model(model):
    return stated_model(model.network, {**TASTE, "constant": -2.4})


def test_several_models_are_metrics_of_one_router(model, folder, tmp_path):
    other = save_model(other_model(model), tmp_path / "other")
    loaded = load_router(folder, {"patient": other})
    router = loaded.router
    assert router.metrics == ("learned", "fastest", "shortest", "patient")
    assert loaded.is_simulated
    want = other_model(model).turn_cost
    route = router.route(A, B, metric="patient")
    assert float(want[route.turns].sum()) == pytest.approx(route.turn_cost[route.turns].sum())
    check_models(folder, {"patient": other})
    with pytest.raises(ConfigurationError, match="fastest"):
        load_router(folder, {"fastest": other})
    with pytest.raises(StoredFolderError):
        load_router(tmp_path)


def test_a_model_of_another_network_is_refused(folder, tmp_path):
    (tmp_path / "map").mkdir()
    elsewhere = save_model(stated_model(small_city(tmp_path / "map", seed=1)), tmp_path / "elsewhere")
    with pytest.raises(WrongNetworkError):
        load_router(folder, {"other": elsewhere})
    with pytest.raises(WrongNetworkError, match="other"):
        check_models(folder, {"other": elsewhere})


def test_a_new_model_is_swapped_in_and_a_wrong_one_is_not(model, tmp_path, caplog):
    place = save_model(model, tmp_path / "model")
    loaded = load_router(place)
    router = loaded.router
    counters = Counters()
    watcher = ModelWatcher(loaded, 1.0, counters)
    assert watcher.look() == []
    before = router.route(A, B)
    save_model(other_model(model), place)
    assert watcher.look() == ["learned"]
    assert watcher.look() == []
    after = router.route(A, B)
    assert after.version > before.version
    assert float(other_model(model).turn_cost[after.turns].sum()) == pytest.approx(after.turn_cost[after.turns].sum())
    (tmp_path / "map").mkdir()
    save_model(stated_model(small_city(tmp_path / "map", seed=1)), place)
    with caplog.at_level(logging.ERROR, logger="trodden"):
        assert watcher.look() == []
    assert "refused" in caplog.text
    assert router.route(A, B).version == after.version
    text = counters.text().decode()
    assert 'trodden_metric_swaps_total{metric="learned"} 1.0' in text
    assert 'trodden_models_refused_total{metric="learned"} 1.0' in text


def test_answers_during_swaps_are_those_of_one_of_the_two_models(model, tmp_path):
    place = save_model(model, tmp_path / "model")
    router = load_router(place).router
    other = other_model(model)
    costs = [router.route(A, B).cost]
    router.add_model("learned", other)
    costs.append(router.route(A, B).cost)
    stop = threading.Event()

    def swap():
        at = 0
        while not stop.is_set():
            router.add_model("learned", (model, other)[at % 2])
            at += 1

    thread = threading.Thread(target=swap)
    with TestClient(make_app(router)) as client:
        thread.start()
        try:
            for _ in range(60):
                response = client.get("/route/v1/learned/-71.2490,-29.8990;-71.2380,-29.8890")
                assert response.status_code == 200
                assert np.isclose(response.json()["routes"][0]["weight"], costs, atol=1e-5).any()
        finally:
            stop.set()
            thread.join()
