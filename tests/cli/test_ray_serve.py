"""The service under a local Ray Serve."""

from __future__ import annotations

import json
import socket
import urllib.request

import pytest
from stated_model import small_city, stated_model

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("ray.serve", exc_type=ImportError, reason="ray[serve] is not installed")

import ray
from ray import serve
from trodden.cli.ray_serve import deploy
from trodden.irl.checkpoints import save_model
from trodden.routing.router import Router

pytestmark = pytest.mark.slow


def test_the_same_answers_under_ray(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "120")  # a busy machine takes longer than Ray grants
    model = stated_model(small_city(tmp_path))
    folder = save_model(model, tmp_path / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        deploy(folder, port=port)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        address = f"http://127.0.0.1:{port}/route/v1/learned/-71.2490,-29.8990;-71.2380,-29.8890"
        with opener.open(address, timeout=60) as answer:
            found = json.load(answer)["routes"][0]
        want = Router(model).route((-29.8990, -71.2490), (-29.8890, -71.2380))
        assert found["weight"] == pytest.approx(want.cost, abs=1e-6)
        with opener.open(f"http://127.0.0.1:{port}/", timeout=60) as answer:
            assert b"trodden" in answer.read()
    finally:
        serve.shutdown()
        ray.shutdown()
