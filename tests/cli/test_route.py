"""The commands that ask a model for routes and areas: `trodden route` and `trodden reachable`, as a user types them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import irl_oracles as naive
import numpy as np
import pytest
import shapely.geometry
from regional_city import TASTE, make_city
from trodden.cli.main import app
from trodden.core.config import parse_config
from trodden.irl.checkpoints import load_model, save_model
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from trodden.routing.lines import decode_polyline
from trodden.routing.router import Router
from typer.testing import CliRunner

TRIP = ("41.0001,-8.0", "41.0035,-7.9955")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    network = naive.rebuilt(make_city(5, 5))
    routes = simulate(network, 60, taste=TASTE, seed=1, num_destinations=5)
    where = tmp_path_factory.mktemp("route")
    document = {"reward": {"features": list(TASTE)}, "baselines": {"budget": 0}, "training": {"max_iterations": 10}}
    save_model(fit(network, routes, parse_config(document, where="test")), where / "model")
    return where


def run(folder, *arguments, code=0):
    line = [str(folder / one) if one == "model" else str(one) for one in arguments]
    done = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(app, line)
    assert done.exit_code == code, done.output
    return done.output


def test_alternatives_are_listed_by_cost_with_probabilities(folder, tmp_path):
    file = tmp_path / "routes.geojson"
    text = run(folder, "route", "model", *TRIP, "--alternatives", "3", "--geojson", file)
    table = [line.split() for line in text.splitlines()[1:5]]
    assert table[0] == ["edges", "km", "min", "cost", "probability", "like", "it", "found", "by"]
    assert [row[0] for row in table[1:]] == ["1", "2", "3"]
    routes = [
        one["properties"] for one in json.loads(file.read_text())["features"] if one["geometry"]["type"] != "Point"
    ]
    found = Router(load_model(folder / "model")).alternatives(*TRIP, 3)
    assert [one["edge_ids"] for one in routes] == [one.route.edge_ids for one in found]
    for row, properties, one in zip(table[1:], routes, found, strict=True):
        assert properties["probability"] == pytest.approx(one.probability)
        assert float(row[5]) == pytest.approx(one.probability, rel=0.01)
        assert float(row[4]) == pytest.approx(properties["cost"], abs=1e-4)
        assert properties["share"] == one.share
        assert properties["found_by"] == one.found_by == row[-1]
    assert "simulated routes" in text
    assert max(len(line) for line in text.splitlines()[:6]) <= 80


@pytest.mark.parametrize("form", ["geojson", "gpx", "polyline", "polyline6"])
def test_formats(folder, form, tmp_path):
    geometry = Router(load_model(folder / "model")).route(*TRIP).geometry
    printed = run(folder, "route", "model", *TRIP, "--format", form)
    file = tmp_path / "new" / "route"
    assert run(folder, "route", "model", *TRIP, "--format", form, "-o", file) == f"{form} in {file}\n"
    assert file.read_text(encoding="utf-8") == printed
    if form == "geojson":
        line = np.array(json.loads(printed)["features"][0]["geometry"]["coordinates"])[:, ::-1]
    elif form == "gpx":
        points = ElementTree.fromstring(printed).iter("{http://www.topografix.com/GPX/1/1}trkpt")
        line = np.array([[float(one.get("lat")), float(one.get("lon"))] for one in points])
    else:
        line = decode_polyline(printed.strip(), 6 if form.endswith("6") else 5)
    np.testing.assert_allclose(line, geometry, atol=1e-5)
    assert len(run(folder, "route", "model", *TRIP, "--format", "polyline", "--alternatives", "2").split()) == 2


def test_a_baseline_has_no_probabilities(folder):
    text = run(folder, "route", "model", *TRIP, "--metric", "fastest", "--alternatives", "2")
    assert "fastest routes from" in text
    assert "probability" not in text


def test_reachable(folder, tmp_path):
    areas, picture = tmp_path / "areas.geojson", tmp_path / "areas.png"
    text = run(folder, "reachable", "model", TRIP[0], "--minutes", "0.3,0.6", "-o", areas, "--png", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    document = json.loads(areas.read_text())
    assert [one["properties"]["limit"] for one in document["features"]] == [36.0, 18.0]
    assert all(shapely.geometry.shape(one["geometry"]).is_valid for one in document["features"])
    rows = [line.split() for line in text.splitlines()[2:4]]
    assert [row[:2] for row in rows] == [["0.3", "min"], ["0.6", "min"]]
    band = Router(load_model(folder / "model")).reachable(TRIP[0], 36.0).bands[0]
    assert float(rows[1][3]) == pytest.approx(band.length_m / 1000, abs=0.06)
    assert "simulated" not in text
    assert "simulated" in run(folder, "reachable", "model", "node:10", "--cost", "3")
    assert "1 km" in run(folder, "reachable", "model", "edge:1000", "--km", "0.5,1", "--png", picture)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("reachable", "model", TRIP[0], "--minutes", "5,x"), ["--minutes", "'x'"]),
        (("reachable", "model", TRIP[0], "--minutes", "5", "--km", "1"), ["--minutes, --km", "not several"]),
        (("reachable", "model", TRIP[0], "--km", "-1"), ["a limit is -1000"]),
        (("reachable", "model", "50,8"), ["from the nearest road"]),
        (("route", "model", TRIP[0], "node:1"), ["no node with id 1"]),
    ],
)
def test_what_cannot_be_answered_is_named(folder, arguments, words):
    text = " ".join(run(folder, *arguments, code=2).split())
    for word in words:
        assert word in text
