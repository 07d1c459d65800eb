"""Rewards with corrections on the command line: chosen, trained, killed and resumed, asked for routes."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from small_city import city_xml, command_line, environment, trodden
from trodden.core.config import read_config
from trodden.irl.checkpoints import load_model

BASE = """
[reward]
features = ["travel_time_min", "constant"]
[training]
max_iterations = 80
validate_every = 10
patience = 100
checkpoint_every = 1
[baselines]
budget = 3
"""
CANDIDATES = """
[[candidate]]
name = "linear"
[[candidate]]
name = "turns"
reward.corrections = ["turn"]
"""
TRAIN = ("train", "city", "--routes", "routes.parquet", "--config", "turns.toml", "-o")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A city, routes, settings, and the model of an undisturbed run."""
    folder = tmp_path_factory.mktemp("rewards")
    (folder / "city.osm").write_text(city_xml(8, 8))
    (folder / "base.toml").write_text(BASE)
    (folder / "turns.toml").write_text(BASE.replace("[training]", 'corrections = ["edge", "turn"]\n[training]'))
    (folder / "candidates.toml").write_text(CANDIDATES)
    assert trodden("build", "city.osm", "-o", "city", cwd=folder).code == 0
    done = trodden("simulate", "city", "-n", 150, "--destinations", 10, "-o", "routes.parquet", cwd=folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder):
    done = trodden(*TRAIN, "undisturbed", cwd=folder)
    assert done.code == 0, done.err
    return done


def test_training_says_what_was_learned(folder, undisturbed):
    model = load_model(folder / "undisturbed")
    counts = model.summary["num_parameters"]
    assert f"{counts['edge']} corrections of edges, {counts['turn']} corrections of turns" in undisturbed.out
    assert "chosen on held-out routes" in undisturbed.out
    assert "simulated routes" in undisturbed.out
    assert all(len(line) <= 120 for line in undisturbed.out.splitlines())
    shown = trodden("summary", "undisturbed", "--json", "summary.json", "--latex", "t.tex", cwd=folder)
    assert shown.code == 0, shown.err
    assert "no standard error" in shown.out
    assert json.loads((folder / "summary.json").read_text())["estimates"][0]["standard_error"] is None
    asked = trodden("evaluate", "undisturbed", "--routes", "routes.parquet", cwd=folder)
    assert asked.code == 0, asked.err
    routed = trodden("route", "undisturbed", "-29.8990,-71.2490", "-29.8930,-71.2430", cwd=folder)
    assert routed.code == 0, routed.err


def test_a_killed_run_goes_on_to_the_same_model(folder, undisturbed):
    process = subprocess.Popen(
        command_line(*TRAIN, "killed"), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    checkpoint, deadline = folder / "killed.checkpoint", time.monotonic() + 90
    while not checkpoint.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    resumed = trodden(*TRAIN, "killed", "--resume", cwd=folder)
    assert resumed.code == 0, resumed.err
    assert "going on from iteration" in resumed.out
    one, other = load_model(folder / "killed"), load_model(folder / "undisturbed")
    assert one.parts["members"].tobytes() == other.parts["members"].tobytes()
    assert one.turn_cost.tobytes() == other.turn_cost.tobytes()
    assert one.summary["curve"] == other.summary["curve"]


def test_select_writes_settings_that_train_takes(folder):
    command = (
        "select", "city", "--routes", "routes.parquet", "--config", "base.toml", "--candidates", "candidates.toml",
        "--folds", 2, "-o", "selection",
    )  # fmt: skip
    done = trodden(*command, cwd=folder)
    assert done.code == 0, done.err
    found = json.loads((folder / "selection" / "selection.json").read_text())
    assert {one["name"] for one in found["candidates"]} == {"linear", "turns"}
    assert found["candidates"][0]["exact"] >= found["candidates"][1]["exact"]
    assert found["is_simulated"]
    for one in found["candidates"]:
        assert f"{one['exact']:.4f}" in done.out
        assert one["name"] in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines() if "selection" not in line)
    best = read_config(folder / "selection" / "best.toml")
    assert best.baselines.budget == 3  # the base's, which candidates go without
    assert bool(best.reward.corrections) == (found["candidates"][0]["name"] == "turns")
    again = trodden(*command, cwd=folder)
    assert again.out == done.out
    trained = trodden(
        "train", "city", "--routes", "routes.parquet", "--config", "selection/best.toml", "-o", "best", cwd=folder
    )
    assert trained.code == 0, trained.err


def test_select_names_a_setting_that_does_not_exist(folder):
    (folder / "odd.toml").write_text('[[candidate]]\nname = "odd"\nreward.correction = "turn"\n')
    done = trodden("select", "city", "--routes", "routes.parquet", "--candidates", "odd.toml", "-o", "x", cwd=folder)
    assert done.code == 2
    assert "odd" in done.err
    assert "correction" in done.err
    assert "Traceback" not in done.err
