"""Fixtures for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

# Ray's workers give way to everything else; beside tests that keep every core busy they would starve.
os.environ.setdefault("RAY_worker_niceness", "0")

_ABOVE_TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout; skips where the tests were copied elsewhere, to run against an installed wheel."""
    if not (_ABOVE_TESTS / "setup.cfg").is_file():
        pytest.skip("these tests do not stand in a checkout of the repository")
    return _ABOVE_TESTS


@dataclass(frozen=True)
class DemoRun:
    """What the demo wrote and said."""

    folder: Path
    out: str
    err: str


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """The demo, run once for all tests that look at it: it takes minutes."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    command = [sys.executable, "-m", "trodden.cli.demo", "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    return DemoRun(folder, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data: $TRODDEN_DATA, else shared/data beside the checkout. Mark such tests `real_data`."""
    named = os.environ.get("TRODDEN_DATA")
    folder = Path(named) if named else _ABOVE_TESTS.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder; set TRODDEN_DATA to the one that holds osm/ and others")
    return folder
