"""The commands that say why: `trodden explain` and `trodden influence`, as a user types them."""

from __future__ import annotations

import dataclasses
import json

import irl_oracles as naive
import numpy as np
import pytest
from regional_city import TASTE, make_city
from trodden.cli.main import app
from trodden.core.config import parse_config
from trodden.irl.checkpoints import load_model, save_model
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models, plain and with corrections, and their routes; the fastest way is often not the one taken."""
    network = naive.rebuilt(make_city(5, 5))
    routes = simulate(network, 100, taste=TASTE, seed=1, num_destinations=5)
    routes = dataclasses.replace(routes, traveller=[f"driver {row % 7}" for row in range(100)])
    where = tmp_path_factory.mktemp("explain")
    routes.write(where / "routes.parquet")
    for name, reward in (("model", {}), ("turns", {"corrections": ["turn"]})):
        document = {"reward": {"features": list(TASTE), **reward}, "baselines": {"budget": 0}}
        config = parse_config({**document, "training": {"max_iterations": 20}}, where="test")
        save_model(fit(network, routes, config), where / name)
    return where


def run(folder, *arguments, code=0):
    line = [str(folder / one) if one in ("model", "turns", "routes.parquet") else str(one) for one in arguments]
    done = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(app, line)
    assert done.exit_code == code, done.output
    return done.output


def test_a_route_of_a_file_is_explained(folder, tmp_path):
    figures, picture = tmp_path / "e.json", tmp_path / "e.png"
    route = ("--routes", "routes.parquet", "--route-id", "simulated-3")
    text = run(folder, "explain", "model", *route, "--json", figures, "--picture", picture)
    assert max(len(line) for line in text.splitlines() if not line.startswith("picture in")) <= 80
    head = next(line for line in text.splitlines() if "travelled" in line)
    assert head.split()[:3] == ["travelled", "fastest", "learned"]
    assert "simulated" in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    document, model = json.loads(figures.read_text()), load_model(folder / "model")
    assert document["rows"] == list(TASTE)
    for one in document["routes"]:
        edges = model.network.graph.edge_positions(np.array(one["edges"]))
        assert sum(one["terms"]) == pytest.approx(naive.route_cost(model.network.turns, model.turn_cost, edges))
    own = next(line for line in text.splitlines() if line.startswith("travel_time_min")).split()
    assert float(own[1]) == pytest.approx(document["routes"][0]["terms"][0], abs=1e-4)


def test_a_trip_between_points_is_explained(folder):
    """South of the equator and west of Greenwich, points begin with a minus."""
    text = run(folder, "explain", "turns", "41.0001,-8.0", "41.0035,-7.9955")
    head = next(line for line in text.splitlines() if "fastest" in line)
    assert head.split()[:2] == ["fastest", "learned"]
    assert "corrections of turns" in text
    assert "positivity" in text
    assert "log-probability" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["ORIGIN and DESTINATION", "--routes FILE"]),
        (("edge:1000",), ["go along"]),
        (("--routes", "routes.parquet"), ["go along"]),
        (("edge:1000", "edge:1001", "--routes", "routes.parquet", "--route-id", "simulated-3"), ["give a trip"]),
        (("--routes", "routes.parquet", "--route-id", "nobody"), ["nobody", "100 usable routes"]),
        (("edge:1000", "edge:1000"), ["nothing to choose"]),
    ],
)
def test_what_is_no_trip_is_named(folder, arguments, words):
    text = " ".join(run(folder, "explain", "model", *arguments, code=2).split())
    for word in words:
        assert word in text


def test_influence_on_every_coefficient_and_on_one(folder, tmp_path):
    figures = tmp_path / "i.json"
    text = run(folder, "influence", "model", "--routes", "routes.parquet", "--json", figures)
    assert max(map(len, text.splitlines())) <= 80
    every = json.loads(figures.read_text())
    assert [one["target"] for one in every] == list(TASTE)
    for one in every:
        line = next(line for line in text.splitlines() if line.startswith(one["target"]))
        assert one["groups"][0]["name"] in line
    by = ("--group", "traveller", "--on", "toll", "--refit", "--top", "2")
    text = run(folder, "influence", "model", "--routes", "routes.parquet", *by, "--json", figures)
    one = json.loads(figures.read_text())
    assert {group["name"] for group in one["groups"]} == {f"driver {row}" for row in range(7)}
    real = [group["refitted"] for group in one["groups"]]
    assert None not in real[:2]
    assert real[2:] == [None] * 5
    np.testing.assert_allclose([group["change"] for group in one["groups"][:2]], real[:2], rtol=0.5)
    assert "refitted" in text


def test_influence_on_a_route(folder):
    text = run(folder, "influence", "turns", "--routes", "routes.parquet", "--on-route", "simulated-4", "--top", "3")
    assert max(map(len, text.splitlines())) <= 80
    assert "log-probability of route simulated-4" in text
    assert sum(line.startswith("simulated-") for line in text.splitlines()) == 3


@pytest.mark.parametrize(
    ("model", "arguments", "words"),
    [
        ("turns", (), ["say on what", "turn:ID,ID"]),
        ("model", ("--on", "beauty"), ["'beauty'", "travel_time_min"]),
        ("model", ("--on", "toll", "--on-route", "simulated-1"), ["not both"]),
        ("model", ("--on-route", "nobody"), ["nobody"]),
    ],
)
def test_what_has_no_influence_is_named(folder, model, arguments, words):
    text = " ".join(run(folder, "influence", model, "--routes", "routes.parquet", *arguments, code=2).split())
    for word in words:
        assert word in text
