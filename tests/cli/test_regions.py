"""Regions on the command line: cut, trained in one process, scored against each other; what each says and draws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_city import city_xml, trodden
from trodden.core.config import parse_config
from trodden.core.errors import ConfigurationError
from trodden.distributed.coordinator import make_partition
from trodden.distributed.partition_report import report_partition
from trodden.graphs.store import load_network
from trodden.irl.checkpoints import load_model
from trodden.irl.demonstrations import read_demonstrations
from trodden.irl.expert_matrix import AVERAGED, MERGED, expert_matrix
from trodden.irl.features import make_features
from trodden.irl.likelihood import route_log_probabilities
from trodden.irl.planner import Planner

PNG = b"\x89PNG\r\n\x1a\n"
REGIONS = "[reward]\nfeatures = ['travel_time_min', 'constant']\n[regions]\npenalty = 100\n[baselines]\nbudget = 0\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A city, routes, and a model of two regions with the pictures of both commands."""
    folder = tmp_path_factory.mktemp("regions")
    (folder / "city.osm").write_text(city_xml(8, 8))
    (folder / "regions.toml").write_text(REGIONS)
    for name, seed in (("routes", 0), ("held_out", 1)):
        if not (folder / "city").exists():
            assert trodden("build", "city.osm", "-o", "city", cwd=folder).code == 0
        done = trodden(
            "simulate", "city", "-n", 120, "--destinations", 15, "--seed", seed, "-o", f"{name}.parquet", cwd=folder
        )
        assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    train = ("train", "city", "--routes", "routes.parquet", "--config", "regions.toml", "--regions", 2, "-o", "model")
    done = trodden(*train, cwd=folder)
    assert done.code == 0, done.err
    return done


def test_partition_counts_what_the_cut_does(folder):
    command = (
        "partition",
        "city",
        "--regions",
        3,
        "--routes",
        "routes.parquet",
        "--picture",
        "r.png",
        "--json",
        "r.json",
    )
    done = trodden(*command, cwd=folder)
    assert done.code == 0, done.err
    said = json.loads((folder / "r.json").read_text())
    network = load_network(folder / "city")
    routes = read_demonstrations(folder / "routes.parquet", network)
    region = make_partition(network, routes, parse_config({"regions": {"count": 3}}, where="test")).region
    turns = network.turns
    crossing = [len({int(region[e]) for e in routes.route(row)}) > 1 for row in range(len(routes))]
    assert said["num_crossing"] == sum(crossing) > 0
    assert said["num_border_turns"] == int((region[turns.from_edge] != region[turns.to_edge]).sum()) > 0
    for one in said["regions"]:
        own = region == one["region"]
        assert one["num_edges"] == own.sum()
        assert one["num_routes"] == own[routes.origin].sum()
        assert one["num_steps"] == own[routes.edge].sum()
        assert one["num_crossing"] == sum(c for row, c in enumerate(crossing) if own[routes.origin[row]])
    assert f"{sum(crossing)} of 120 simulated routes cross a border" in done.out
    assert "picture in r.png" in done.out
    assert (folder / "r.png").read_bytes()[:8] == PNG
    assert max(map(len, done.out.splitlines())) <= 80


def test_partition_without_routes_balances_edges(folder):
    done = trodden("partition", "city", "--regions", 2, cwd=folder)
    assert done.code == 0, done.err
    assert "routes" not in done.out
    report = report_partition(
        load_network(folder / "city"),
        make_partition(load_network(folder / "city"), None, parse_config({"regions": {"count": 2}}, where="test")),
        None,
    )
    assert report.edge_imbalance < 1.01


def test_metis_needs_no_coordinates_and_its_answer_is_checked(folder):
    pytest.importorskip("pymetis")
    (folder / "metis.toml").write_text("[regions]\ncount = 2\nmethod = 'metis'\n")
    done = trodden("partition", "city", "--config", "metis.toml", "--routes", "routes.parquet", cwd=folder)
    assert done.code == 0, done.err
    refused = trodden("partition", "city", "--config", "metis.toml", "--regions", 100_000, cwd=folder)
    assert refused.code == 2
    assert "100000 regions" in refused.err


def test_training_says_what_regions_share(folder, trained):
    assert "cross a border between regions: kept whole" in trained.out
    assert "penalty 100" in trained.out
    assert trained.out.count("region 0: ") == trained.out.count("region 1: ") == 1
    model = load_model(folder / "model")
    assert len(model.regions) == 2
    assert model.config.regions.count == 2
    left = sorted(path.name for path in folder.iterdir() if path.name.startswith("model") or path.name.startswith("."))
    assert left == ["model"], "no shards, no lock, no half file"


def test_every_reward_on_every_regions_routes(folder, trained):
    done = trodden(
        "experts", "model", "--routes", "held_out.parquet", "--picture", "e.png", "--json", "e.json", cwd=folder
    )
    assert done.code == 0, done.err
    assert (folder / "e.png").read_bytes()[:8] == PNG
    said = json.loads((folder / "e.json").read_text())
    assert said["reward"] == ["region 0", "region 1", AVERAGED, MERGED]
    assert said["is_simulated"]

    model = load_model(folder / "model")
    routes = read_demonstrations(folder / "held_out.parquet", model.network).for_ending("arrival")
    features = make_features(model.network, ("travel_time_min", "constant"))
    planner = Planner(model.network.turns, model.config.planner)
    for row, region in enumerate(said["trips_of_region"]):
        mine = routes.take(np.flatnonzero(model.edge_region[routes.origin] == region))
        assert said["num_routes"][row] == len(mine)
        for column in (0, 1):
            theta = np.array([c.value for c in model.regions[column].coefficients])
            found = route_log_probabilities(planner, features.reward(theta), mine, mine.batch("arrival"))
            assert said["negative_log_likelihood_per_route"][row][column] == pytest.approx(-found.mean(), rel=1e-9)
        merged = route_log_probabilities(planner, -model.turn_cost, mine, mine.batch("arrival"))
        assert said["negative_log_likelihood_per_route"][row][3] == pytest.approx(-merged.mean(), rel=1e-9)
    assert expert_matrix(model, routes).excess[0, 0] == expert_matrix(model, routes).excess[1, 1] == 0


def test_experts_of_one_reward_are_refused(folder, trained):
    model = load_model(folder / "model").replace(regions=(), edge_region=None)
    routes = read_demonstrations(folder / "held_out.parquet", model.network)
    with pytest.raises(ConfigurationError, match="one reward everywhere"):
        expert_matrix(model, routes)


def test_summary_evaluate_and_report_take_a_model_of_regions(folder, trained):
    held_out = ("--routes", "held_out.parquet")
    for command in (("summary", "model"), ("evaluate", "model", *held_out), ("report", "model", *held_out)):
        done = trodden(*command, cwd=folder)
        assert done.code == 0, done.err
