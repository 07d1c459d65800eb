"""Wrong use and bad input: exit code 2, one message that names the thing, no traceback, and nothing written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from small_city import ISLAND, city_xml, trodden
from trodden.cli import doctor
from trodden.cli.main import app
from typer.testing import CliRunner, Result


def run(folder: Path, line: str) -> Result:
    """One command line, in this process."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(app, line.split())
    finally:
        os.chdir(before)


def check(done: Result, *words: str, code: int = 2) -> None:
    """It failed as it should: one message with these words in it."""
    assert done.exit_code == code, done.output
    assert done.stdout == "", "a failure says nothing on standard output"
    message = " ".join(done.stderr.replace("│", " ").split())
    for word in words:
        assert word in message
    assert "Traceback" not in message
    assert message.count("error:") <= 1


@pytest.fixture
def folder(chain, tmp_path: Path) -> Path:
    """A folder in which the chain's things can be named, and whatever else a test puts there."""
    for name in ("city.osm", "city", "routes.parquet", "model"):
        (tmp_path / name).symlink_to(chain.folder / name)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("build nowhere.osm -o out", ["nowhere.osm", "no such file"]),
        ("build city.osm", ["Missing option", "--output"]),
        ("build city.osm -o out --join often", ["often"]),
        ("build city.osm -o out --frobnicate", ["No such option", "--frobnicate"]),
        ("build city.osm -o model", ["model", "will not be replaced"]),
        ("simulate nowhere -o out.parquet", ["nowhere", "no such file"]),
        ("simulate city -o out.txt", ["out.txt", ".parquet or .csv"]),
        ("simulate city -n 0 -o out.parquet", ["num-routes"]),
        ("simulate city --taste length_km -o out.parquet", ["--taste", "'length_km'"]),
        ("simulate city --taste beauty=-1 -o out.parquet", ["beauty"]),
        ("simulate city --taste constant=1 -o out.parquet", ["cost nothing or less"]),
        ("simulate city --min-km 500 -o out.parquet", ["500"]),
        ("train city --routes nowhere.parquet -o out", ["nowhere.parquet", "no such file"]),
        ("train city --routes routes.parquet", ["Missing option", "--output"]),
        ("train model --routes routes.parquet -o out", ["model", "not a network"]),
        ("train city --routes routes.parquet -o city", ["city", "will not be replaced"]),
        ("train city --routes routes.parquet --config nowhere.toml -o out", ["nowhere.toml"]),
        ("train city --routes routes.parquet -o out --workers 3", ["--workers", "--ray"]),
        ("train city --routes routes.parquet -o out --ray local --resume", ["--resume"]),
        ("train city --routes routes.parquet -o out --resume", ["out.checkpoint", "no checkpoint"]),
        ("train city --routes routes.parquet -o out --ray local --workers 9999", ["9999 workers", "CPUs"]),
        ("train city --routes routes.parquet -o out --ray 127.0.0.1:1", ["127.0.0.1:1", "ray start"]),
        ("evaluate nowhere --routes routes.parquet", ["nowhere", "not a folder"]),
        ("evaluate city --routes routes.parquet", ["city", "not a 'model'"]),
        ("evaluate model --routes city.osm", ["city.osm", ".csv or .parquet"]),
        ("route nowhere osm:1 osm:2", ["nowhere"]),
        ("route model osm:1", ["Missing argument", "DESTINATION"]),
        ("route model osm:1 somewhere", ["'somewhere'", "latitude"]),
        ("route model -29.9 osm:1", ["'-29.9'", "latitude"]),
        ("route model osm:1 edge:5", ["edge", "5"]),
        ("route model osm:1 osm:123456", ["123456"]),
        ("route model 41.0,-8.0 osm:1", ["41.0", "nearest road"]),
        ("route model -95.0,-71.2 osm:1", ["-95"]),
        (f"route model osm:1 osm:{ISLAND[0]}", [f"{ISLAND[0]}", "no route"]),
        ("route model osm:1 osm:2 --metric prettiest", ["prettiest"]),
        ("route model osm:1 osm:2 --frobnicate", ["No such option", "--frobnicate"]),
        ("route model osm:1 osm:2 -x", ["No such option", "-x"]),
        ("map nowhere", ["nowhere"]),
        ("map model --route-id 7 -o out", ["--route-id", "--routes"]),
        ("map model --routes routes.parquet --route-id 7 -o out", ["usable route", "7"]),
        ("doctor everything", ["everything"]),
        ("sing", ["sing"]),
    ],
)
def test_it_is_named(folder, line, words):
    before = set(folder.iterdir())
    check(run(folder, line), *words)
    left = {path.name for path in set(folder.iterdir()) - before}
    assert left <= ({"out"} if line.startswith("map ") else set())


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 5000, b"<!DOCTYPE html><html><body>404</body></html>", os.urandom(3000)]
)
def test_a_pbf_that_is_none(folder, content):
    (folder / "city.osm.pbf").write_bytes(content)
    check(run(folder, "build city.osm.pbf -o out"), "city.osm.pbf")
    assert not (folder / "out").exists()


def test_unknown_keys_in_a_configuration_are_all_named(folder):
    (folder / "c.toml").write_text("[training]\nspeed = 3\nmax_iterations = -1\n[magic]\n")
    check(run(folder, "train city --routes routes.parquet --config c.toml -o out"), "speed", "max_iterations", "magic")


def test_a_configuration_that_is_no_toml(folder):
    (folder / "c.toml").write_text("training: 3\n")
    check(run(folder, "train city --routes routes.parquet --config c.toml -o out"), "c.toml", "TOML")


def test_routes_of_another_network(folder):
    (folder / "other.osm").write_text(city_xml(5, 5, origin=(10.0, 10.0)).replace('way id="', 'way id="77'))
    assert run(folder, "build other.osm -o other").exit_code == 0
    assert run(folder, "simulate other -n 20 -o other.parquet").exit_code == 0
    for command in ("train city --routes other.parquet -o out", "evaluate model --routes other.parquet"):
        check(run(folder, command), "other.parquet", "none of 20 routes", "20 unknown_edge")


def test_strict_names_the_first_bad_route(folder):
    (folder / "bad.csv").write_text("route_id,links\nmine,1 2 3\n")
    check(run(folder, "evaluate model --routes bad.csv --strict"), "mine", "unknown_edge")


def test_a_flipped_bit_in_a_model(folder):
    shutil.copytree(folder / "model", folder / "own")
    file = folder / "own" / "turn_cost.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    check(run(folder, "route own osm:1 osm:2"), "turn_cost.npy", "checksum")


@pytest.mark.parametrize("metric", ["fastest", "shortest", "fastest_penalised"])
def test_routes_under_the_baselines(folder, metric):
    done = run(folder, f"route model osm:1 -29.8890,-71.2380 --metric {metric}")
    assert done.exit_code == 0, done.output
    assert f"{metric} route from osm:1 to -29.8890,-71.2380" in done.stdout
    assert "log-probability" not in done.stdout


def test_a_metric_that_the_model_lacks(folder):
    (folder / "none.toml").write_text("[baselines]\nbudget = 0\n")
    assert run(folder, "train city --routes routes.parquet --config none.toml -o own").exit_code == 0
    check(
        run(folder, "route own osm:1 osm:2 --metric fastest_penalised"),
        "fastest_penalised",
        "learned, fastest, shortest",
    )


@pytest.mark.parametrize("origin", ["-29.8990,-71.2490", "-29.8990,-71.2490 ", "osm:5", "--", "edge"])
def test_ways_to_say_a_point(folder, origin, chain):
    if origin == "edge":
        origin = "edge:" + chain.said["route"].out.split("edges: ")[1].split()[0]
    points = "-- -29.8990,-71.2490 -29.8890,-71.2380" if origin == "--" else f"{origin} -29.8890,-71.2380"
    done = run(folder, f"route model {points}")
    assert done.exit_code == 0, done.output
    assert "edges, " in done.stdout


def test_help_is_short_and_whole(folder):
    listed = run(folder, "--help").stdout
    for command in ("build", "simulate", "plan", "train", "evaluate", "route", "map", "doctor"):
        assert f"\u2502 {command} " in listed
        shown = run(folder, f"{command} --help").stdout
        assert max(map(len, shown.splitlines())) <= 80
        assert "Usage: trodden" in shown or f"{command} [OPTIONS]" in shown


def test_version(folder):
    from trodden import __version__

    assert run(folder, "--version").stdout == f"trodden {__version__}\n"


def test_doctor_says_how_to_mend_what_is_missing(folder, monkeypatch):
    good = doctor.Check("python", "3.12", "everything", "", ok=True)
    bad = doctor.Check("scipy", None, "shortest paths", "pip install scipy", ok=False)
    spare = doctor.Check(
        "routingkit-cch", None, "fast queries", "pip install routingkit-cch", ok=False, is_required=False
    )
    monkeypatch.setattr(doctor, "check_installation", lambda: [good, bad, spare])
    done = run(folder, "doctor")
    assert done.exit_code == 2
    assert "pip install scipy" in done.stdout
    assert "routingkit-cch (not required)" in done.stdout
    monkeypatch.setattr(doctor, "check_installation", lambda: [good, spare])
    assert run(folder, "doctor").exit_code == 0


@pytest.mark.parametrize(
    "line", ["build nowhere.osm -o out", "route model osm:1 somewhere", "train city --what", "sing"]
)
def test_exit_codes_of_real_processes(folder, line):
    done = trodden(*line.split(), cwd=folder)
    assert done.code == 2
    assert done.out == ""
    assert "Traceback" not in done.err
