"""Contexts and columns on the command line: build, train, summary, evaluate, route, and what is said of bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_city import city_xml, trodden

SETTINGS = """
[reward]
features = ["travel_time_min", "constant"]
[baselines]
budget = 0
[context]
periods = { peak = "07:00-10:00", off = "rest" }
group = "purpose"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A city, and a model of two periods and two purposes."""
    folder = tmp_path_factory.mktemp("context")
    (folder / "city.osm").write_text(city_xml(7, 7))
    (folder / "columns.csv").write_text("osm_way_id,scenic\n1002,0.5\n2001,\n")
    (folder / "train.toml").write_text(SETTINGS)
    built = trodden("build", "city.osm", "--columns", "columns.csv", "-o", "city", cwd=folder)
    assert built.code == 0, built.err
    assert "tagged (% of edges / of length): road_class 100.0 / 100.0" in built.out
    assert "has_scenic" in built.out
    parts = []
    for seed, (time, purpose, minute) in enumerate([("08:10", "work", -6.0), ("12:00", "leisure", -1.5)]):
        taste = f"travel_time_min={minute},constant=-1.2"
        ran = trodden(
            "simulate", "city", "-n", 120, "--seed", seed, "--taste", taste, "-o", "drawn.parquet", cwd=folder
        )
        assert ran.code == 0, ran.err
        table = pq.read_table(folder / "drawn.parquet").drop_columns(["departure", "route_id"])
        for name, text in (("departure", time), ("purpose", purpose)):
            table = table.append_column(name, pa.array([text] * table.num_rows))
        parts.append(table)
    pq.write_table(pa.concat_tables(parts), folder / "routes.parquet")
    pq.write_table(parts[0].drop_columns(["departure"]), folder / "timeless.parquet")
    done = trodden("train", "city", "--routes", "routes.parquet", "--config", "train.toml", "-o", "model", cwd=folder)
    assert done.code == 0, done.err
    assert "peak/work: " in done.out
    assert "off/leisure: " in done.out
    return folder


def test_summary_and_evaluation(folder: Path) -> None:
    said = trodden("summary", "model", "--json", "estimates.json", cwd=folder)
    assert "by context" in said.out
    assert "chosen on those" in said.out
    found = json.loads((folder / "estimates.json").read_text())["contexts"]
    assert list(found) == ["peak/work", "off/leisure"]
    assert found["peak/work"][0]["value"] < found["off/leisure"][0]["value"] < 0
    said = trodden("evaluate", "model", "--routes", "routes.parquet", "--json", "scores.json", cwd=folder)
    assert "one reward for all contexts" in said.out, said.err
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["models"]["learned"]["nll_per_route"] < scores["shared"]["nll_per_route"]


def test_routes_at_a_time_and_of_a_group(folder: Path) -> None:
    ends = ("route", "model", "osm:1", "osm:45")
    said = trodden(*ends, "--departure", "2024-05-03T08:30", "--group", "work", cwd=folder)
    assert said.out.startswith("peak/work route from osm:1"), said.err
    assert "log-probability" in said.out
    unknown = trodden(*ends, "--departure", "08:30", "--group", "leisure", cwd=folder)
    assert unknown.code == 2
    assert "known are: peak/work, off/leisure" in unknown.err


def test_what_cannot_be_learned_from(folder: Path) -> None:
    done = trodden("train", "city", "--routes", "timeless.parquet", "--config", "train.toml", "-o", "none", cwd=folder)
    assert done.code == 2
    assert "say no departure" in done.err
    assert not (folder / "none").exists()


def test_groups_survive_a_split(folder: Path) -> None:
    done = trodden("split", "city", "--routes", "routes.parquet", "--group", "purpose", "-o", "split", cwd=folder)
    assert done.code == 0, done.err
    assert set(pq.read_table(folder / "split" / "train.parquet").column("group").to_pylist()) == {"work", "leisure"}


def test_columns_that_cannot_be_used(folder: Path) -> None:
    (folder / "bad.csv").write_text("osm_way_id,scenic\n1002,0.5\n2001,much\n1003,0.1\n1002,0.2\n")
    done = trodden("build", "city.osm", "--columns", "bad.csv", "-o", "none", cwd=folder)
    assert done.code == 2
    assert "bad.csv" in done.err
    assert "row 5" in done.err
    assert not (folder / "none").exists()
