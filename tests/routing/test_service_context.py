"""Departure and group in a request choose the metric of the trip's context."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from regional_city import make_city
from stated_model import TASTE

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient
from trodden.core.config import parse_config
from trodden.irl.demonstrations import joined
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from trodden.routing.router import Router
from trodden.routing.service.app import make_app
from trodden.routing.service.settings import ServiceSettings


@pytest.fixture(scope="module")
def router():
    network = make_city(6, 6)
    drawn = [
        dataclasses.replace(
            simulate(network, 60, taste=taste, seed=seed, num_destinations=8, min_km=0.2), departure=[at] * 60
        )
        for seed, (at, taste) in enumerate({"08:00": {**TASTE, "travel_time_min": -8.0}, "12:00": TASTE}.items())
    ]
    settings = {
        "reward": {"features": list(TASTE)},
        "baselines": {"budget": 0},
        "context": {"periods": {"peak": "07:00-10:00", "off": "rest"}, "penalty": 0.1},
    }
    return Router(fit(network, joined(drawn), parse_config(settings, where="a test")))


@pytest.fixture(scope="module")
def client(router):
    with TestClient(make_app(router, ServiceSettings(), is_simulated=True)) as client:
        yield client


@pytest.fixture(scope="module")
def trip(router):
    graph = router.network.graph
    return [f"{graph.longitude_deg[node]},{graph.latitude_deg[node]}" for node in (2, 30)]


def test_osrm_services_take_a_departure(client, router, trip):
    path = ";".join(trip)
    for said, name in (
        ("departure=08:30", "peak"),
        ("departure=12:00", "off"),
        ("", "learned"),
        ("departure=", "learned"),
    ):
        answer = client.get(f"/route/v1/driving/{path}?{said}&steps=true").json()
        assert answer["routes"][0]["trodden"]["metric"] == name
        same = client.get(f"/route/v1/{name}/{path}").json()
        assert answer["routes"][0]["weight"] == same["routes"][0]["weight"]
        table = client.get(f"/table/v1/learned/{path}?trodden=cost&{said}").json()
        assert table["trodden"]["metric"] == name
        assert table["trodden"]["cost"] == client.get(f"/table/v1/{name}/{path}?trodden=cost").json()["trodden"]["cost"]


def test_our_own_take_a_departure(client, trip):
    ends = {"from": ",".join(trip[0].split(",")[::-1]), "to": ",".join(trip[1].split(",")[::-1]), "departure": "08:30"}
    for address in ("alternatives", "explain"):
        assert client.get(f"/v1/{address}", params=ends).json()["metric"] == "peak"
    reach = {"from": ends["from"], "limit": 3.0, "by": "cost"}
    told = [
        client.get("/v1/reachable", params={**reach, **said}).json()
        for said in ({"departure": "08:30"}, {"metric": "peak"}, {"departure": "12:00"})
    ]
    assert told[0] == told[1] != told[2]
    batch = {"pairs": [[ends["from"], ends["to"]]], "departure": "12:00"}
    assert client.post("/v1/routes", json=batch).json()["rows"][0]["metric"] == "off"


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("departure=soon", "no time"),
        ("departure=2024-05-03T08:30%2B01:00", "time_zone"),
        ("departure=08:30&group=couriers", "group"),
        ("group=couriers", "departure"),
    ],
)
def test_a_context_that_is_none_is_refused(client, trip, said, problem):
    answer = client.get(f"/route/v1/driving/{';'.join(trip)}?{said}")
    assert answer.status_code == 400
    assert problem in answer.json()["message"]


@pytest.mark.parametrize("metric", ["plain", "peak"])
def test_costs_without_contexts_refuse_a_departure(router, client, trip, metric):
    turns, edges = router.network.turns.num_turns, router.network.graph.num_edges
    router.add_metric("plain", np.ones(turns), np.ones(edges))
    answer = client.get(f"/route/v1/{metric}/{';'.join(trip)}?departure=08:30")
    router.remove_metric("plain")
    assert answer.status_code == 400
    assert f"metric '{metric}': its costs do not depend on a departure" in answer.json()["message"]
