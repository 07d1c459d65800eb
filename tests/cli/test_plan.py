"""`trodden plan`: a table that a stranger can read, the same figures as JSON, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

import pytest
from plan_constants import FOUND
from trodden.cli.main import app
from trodden.cli.plan import _bytes, _duration
from trodden.graphs.store import save_network
from trodden.irl.calibration import write_calibration
from trodden.irl.measuring import generated_network
from typer.testing import CliRunner, Result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_calibration(tmp_path / "constants.json", FOUND)
    save_network(generated_network(20), tmp_path / "roads")
    return tmp_path


def run(folder: Path, line: str) -> Result:
    """One command line, in this process."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(app, line.split())
    finally:
        os.chdir(before)


def planned(folder: Path, line: str) -> str:
    done = run(folder, f"plan --constants constants.json {line}")
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    "line",
    ["--edges 200000000 -n 110000000 --workers 640 --within-hours 24", "--edges 1 -n 1", "roads -n 1000 --keep-gb 2"],
)
def test_it_is_no_wider_than_100_columns_and_every_amount_has_a_unit(folder, line):
    said = planned(folder, line)
    assert max(map(len, said.splitlines())) <= 100
    for heading in ("memory, each machine at its peak", "disk", "time of one pass", "This assumes:"):
        assert heading in said
    amounts = re.findall(r"^  (?:[a-zLU]+ ?)+? {2,}(.+?)(?:  .*)?$", said, re.M)
    assert len(amounts) >= 12
    assert all(re.fullmatch(r"[\d,.]+ (B|kB|MB|GB|TB|PB|ms|s|min|h|days)", amount) for amount in amounts), amounts


def test_a_planet_does_not_fit_and_says_why(folder, monkeypatch):
    monkeypatch.setattr("trodden.irl.capacity._memory_of_this_machine", lambda: 16 << 30)
    said = planned(folder, "--edges 200000000 -n 110000000 --json plan.json --within-hours 48")
    assert "solver: corridors; 200,000,000 edges are over the 300,000" in said
    assert re.search(r"DOES NOT FIT: .* this machine has 17.2 GB\n  too large: .*demonstrations", said)
    figures = json.loads((folder / "plan.json").read_text())
    assert (figures["fits"], figures["solver"], figures["num_edges"]) == (False, "corridors", 200_000_000)
    assert f"{figures['peak_bytes'] / 1e9:.1f} GB" in said or f"{figures['peak_bytes'] / 1e12:.1f} TB" in said
    needed = int(re.search(r"^([\d,]+) worker\(s\) bring it to 48 h$", said, re.M)[1].replace(",", ""))
    spent = figures["seconds_before"] + figures["passes"] * figures["serial_seconds"]
    assert spent + figures["passes"] * figures["parallel_seconds"] / needed <= 48 * 3600


def test_a_stored_network_fits(folder):
    said = planned(folder, "roads -n 100")
    assert "1,520 edges" in said
    assert "solver: factorization" in said
    assert "fits: " in said
    assert "DOES NOT FIT" not in said


def test_no_number_of_workers_may_be_enough(folder):
    assert "no number of workers brings it to 0.0001 h" in planned(folder, "--edges 200000000 --within-hours 0.0001")


def test_constants_are_measured_once_and_then_read(folder, monkeypatch):
    measured = []

    def stand_in(network, *, tau, progress):
        measured.append(tau)
        return dataclasses.replace(FOUND, tau=tau)

    monkeypatch.setattr("trodden.irl.measuring.calibrate", stand_in)
    for _ in range(2):
        assert run(folder, "plan --edges 5000 --tau 20 --constants mine.json").exit_code == 0
    assert measured == [20.0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("plan", ["give a stored network, --edges, or both"]),
        ("plan nowhere", ["nowhere", "no such file"]),
        ("plan --edges 0 --constants constants.json", ["0 edges"]),
        ("plan --edges many", ["--edges", "valid integer"]),
        ("plan --edges 10 --km -1 --constants constants.json", ["-1 km per trip"]),
        ("plan --edges 10 --tau 20 --constants constants.json", ["tau 25, not 20"]),
        ("plan --edges 10 --constants roads/manifest.json", ["manifest.json", "holds no constants"]),
        ("plan --edges 10 --within-hours 0", ["--within-hours", "more than 0"]),
        ("plan --edges 10 --workers 0", ["workers"]),
    ],
)
def test_bad_use(folder, line, words):
    done = run(folder, line)
    assert (done.exit_code, done.stdout) == (2, "")
    message = " ".join(done.stderr.replace("│", " ").split())
    assert all(word in message for word in words), message


def test_durations_and_sizes_are_short():
    assert [_duration(s) for s in (0.0123, 1.0, 90, 200, 7200, 200_000)] == [
        "12.3 ms", "1.0 s", "90.0 s", "3.3 min", "2.0 h", "2.3 days",
    ]  # fmt: skip
    assert [_bytes(b) for b in (0, 999, 1e3, 2.5e9, 3e13)] == ["0 B", "999 B", "1.0 kB", "2.5 GB", "30.0 TB"]
