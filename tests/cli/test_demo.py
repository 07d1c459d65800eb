"""The demo, whole: what it writes, and what it must show."""

from __future__ import annotations

import json

import pytest
from trodden.cli.demo import TASTE
from trodden.irl.checkpoints import load_model
from trodden.routing.router import Router


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_learns_the_stated_reward_and_beats_the_fastest_route(demo_run):
    assert "Warning" not in demo_run.err, demo_run.err
    folder = demo_run.folder

    model = load_model(folder / "model")
    assert model.is_simulated
    for coefficient in model.coefficients:
        assert abs(coefficient.value - TASTE[coefficient.name]) < 3 * coefficient.standard_error, coefficient

    scores = json.loads((folder / "evaluation.json").read_text())
    assert scores["is_simulated"] is True
    low, high = scores["learned_against"]["fastest"]["interval"]
    assert low > 0, "the learned reward matches more held-out trips than the fastest route, with its whole interval"
    assert f"{low:+.2f},{high:+.2f}" in demo_run.out, "and the interval is printed"

    regional = load_model(folder / "model_regions")
    assert len(regional.regions) == 4
    assert regional.summary["num_crossing"] > 0
    crossing, total = (regional.summary[name] for name in ("num_crossing", "num_routes"))
    assert f"{crossing} of {total} trips cross a border" in demo_run.out
    route = json.loads((folder / "route.geojson").read_text())
    assert route["features"]
    for name in ("trip.html", "trip.png", "network.png", "evaluation.txt", "train.parquet", "held_out.parquet"):
        assert (folder / name).stat().st_size > 500, name
    for text in (demo_run.out, (folder / "trip.html").read_text()):
        assert "simulated" in text
    first, last = (int(model.network.graph.edge_id[edge]) for edge in (0, 1000))
    assert Router(regional).route(f"edge:{first}", f"edge:{last}").cost > 0
