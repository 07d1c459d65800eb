"""The whole chain on a small city, each command in a process of its own: exit codes, outputs, and how they read."""

from __future__ import annotations

import json
import re

import pyarrow.parquet
import pytest
from trodden.graphs.store import load_network
from trodden.irl.checkpoints import load_model

COMMANDS = ("build", "simulate", "train", "evaluate", "route", "map", "doctor")


@pytest.mark.parametrize("command", COMMANDS)
def test_it_ends_well_and_says_nothing_on_standard_error(chain, command):
    done = chain.said[command]
    assert done.code == 0, done.err
    assert done.err == ""


@pytest.mark.parametrize("command", ["simulate", "train", "evaluate", "doctor"])
def test_tables_and_sentences_fit_80_columns(chain, command):
    too_wide = [line for line in chain.said[command].out.splitlines() if len(line) > 80 and not line.startswith("(")]
    assert [line for line in too_wide if "stated reward" not in line] == []


def test_build_ends_with_the_number_of_roads(chain):
    network = load_network(chain.folder / "city")
    last = chain.said["build"].out.splitlines()[-1]
    assert last == f"roads: {network.graph.num_nodes} nodes, {network.graph.num_edges} edges"
    assert network.graph.num_nodes > 100


def test_simulated_routes_are_those_of_the_seed_and_labelled(chain):
    table = pyarrow.parquet.read_table(chain.folder / "routes.parquet")
    assert table.num_rows == 400
    assert set(table.column("is_simulated").to_pylist()) == {True}
    assert "400 simulated routes" in chain.said["simulate"].out


def test_training_prints_what_the_model_holds(chain):
    model = load_model(chain.folder / "model")
    out = chain.said["train"].out
    for coefficient in model.coefficients:
        assert re.search(rf"^{coefficient.name} +{coefficient.value:.4f} ", out, re.M), out
    assert "learned from 400 simulated routes" in out
    assert model.config.baselines.budget == 10
    assert "budget = 10" in (chain.folder / "model" / "config.toml").read_text()
    assert not (chain.folder / "model.checkpoint").exists()


def test_evaluation_as_json(chain):
    scores = json.loads((chain.folder / "scores.json").read_text())
    assert scores["routes"] == 400
    assert scores["skipped"] == {}
    assert scores["is_simulated"] is True
    assert list(scores["models"]) == ["learned", "shortest", "fastest", "fastest_penalised"]
    for one in scores["models"].values():
        assert set(one) == {"exact", "exact_interval", "iou", "nll_per_route", "nll_per_turn"}
        low, high = one["exact_interval"]
        assert 0 <= low <= one["exact"] <= high <= 1
    assert scores["models"]["learned"]["nll_per_route"] > 0
    assert set(scores["learned_against"]) == {"shortest", "fastest", "fastest_penalised"}
    assert scores["unseen_routes"] == 0


def test_evaluation_for_people_says_the_same(chain):
    scores = json.loads((chain.folder / "scores.json").read_text())["models"]
    for name, one in scores.items():
        assert re.search(rf"^{name} +{one['exact']:.3f} \[", chain.said["evaluate"].out, re.M)


def test_route_between_southern_points_without_a_double_dash(chain):
    collection = json.loads((chain.folder / "route.geojson").read_text())
    lines = [f for f in collection["features"] if f["geometry"]["type"] == "LineString"]
    longitude, latitude = lines[0]["geometry"]["coordinates"][0]
    assert abs(latitude - -29.899) < 0.002
    assert abs(longitude - -71.249) < 0.002
    out = chain.said["route"].out
    assert "learned route from -29.8990,-71.2490 to -29.8890,-71.2380" in out
    edges = re.search(r"^edges: (.*)$", out, re.M)[1].split()
    assert set(map(int, edges)) <= set(load_network(chain.folder / "city").graph.edge_id.tolist())
    assert "under a reward learned from simulated routes" in out


def test_map_names_the_files_it_wrote(chain):
    written = chain.said["map"].out.splitlines()
    assert len(written) == 3
    for line in written:
        assert (chain.folder / line).stat().st_size > 1000
    assert "simulated" in (chain.folder / "pictures" / "trip.html").read_text().lower()


def test_doctor_is_content(chain):
    last = chain.said["doctor"].out.rstrip().splitlines()[-1]
    assert last in {"everything is there", "everything but extras is there"}
