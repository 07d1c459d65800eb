"""A network's mode over OSRM's interface: which profiles are taken, and what steps say."""

from __future__ import annotations

import dataclasses

import pytest
from stated_model import small_city, stated_model

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient
from trodden.routing.router import Router
from trodden.routing.service.app import make_app
from trodden.routing.service.settings import ServiceSettings

PLACES = "-71.2490,-29.8990;-71.2380,-29.8890"


@pytest.mark.parametrize(
    ("mode", "profiles", "refused", "said"),
    [
        ("drive", ["driving", "default"], "cycling", "driving"),
        ("bike", ["cycling", "bike", "driving"], "foot", "cycling"),
        ("walk", ["foot", "walking"], "bicycle", "walking"),
        ("two_wheeler", ["motorcycle"], "bicycle", "driving"),
    ],
)
def test_profiles_and_steps_follow_the_mode(tmp_path, mode, profiles, refused, said):
    model = stated_model(small_city(tmp_path))
    network = dataclasses.replace(model.network, report={**model.network.report, "mode": mode})
    with TestClient(make_app(Router(model.replace(network=network)), ServiceSettings(), is_simulated=True)) as client:
        for profile in profiles:
            answer = client.get(f"/route/v1/{profile}/{PLACES}", params={"steps": "true"}).json()
            assert answer["code"] == "Ok"
            assert {step["mode"] for leg in answer["routes"][0]["legs"] for step in leg["steps"]} == {said}
        assert client.get(f"/route/v1/{refused}/{PLACES}").json()["code"] == "InvalidProfile"
