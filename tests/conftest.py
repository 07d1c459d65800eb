"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ABOVE_TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout; skips where the tests were copied elsewhere, to run against an installed wheel."""
    if not (_ABOVE_TESTS / "setup.cfg").is_file():
        pytest.skip("these tests do not stand in a checkout of the repository")
    return _ABOVE_TESTS


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data: $TRODDEN_DATA, else shared/data beside the checkout. Mark such tests `real_data`."""
    named = os.environ.get("TRODDEN_DATA")
    folder = Path(named) if named else _ABOVE_TESTS.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder; set TRODDEN_DATA to the one that holds osm/ and others")
    return folder
