"""`trodden build --mode` and `trodden export`, as a user types them."""

from __future__ import annotations

import pytest
from small_city import Ran
from trodden.cli.main import app
from typer.testing import CliRunner


def trodden(*arguments: object) -> Ran:
    """The command in this process: one of its own takes seconds to start, and the chain has shown that it does."""
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    return Ran(done.exit_code, done.stdout, done.stderr)


def test_build_says_the_mode(chain, tmp_path):
    done = trodden("build", chain.folder / "city.osm", "--mode", "walk", "-o", tmp_path / "walk")
    assert done.code == 0
    assert "mode: walk" in done.out
    assert "u turn rule everywhere" in done.out
    assert trodden("build", chain.folder / "city.osm", "--mode", "boat", "-o", tmp_path / "boat").code == 2
    again = trodden("build", tmp_path / "walk", "--mode", "bike", "-o", tmp_path / "bike")
    assert again.code == 2
    assert "stored network of mode walk, not bike" in again.err


def test_a_model_is_not_rebased_onto_another_mode(chain, tmp_path):
    trodden("build", chain.folder / "city.osm", "--mode", "bike", "-o", tmp_path / "bike")
    done = trodden("rebase", chain.folder / "model", tmp_path / "bike", "-o", tmp_path / "other")
    assert done.code == 2
    assert "the model is of mode drive, the network of mode bike" in done.err


@pytest.mark.parametrize("form", ["geopackage", "geojson", "osrm-speeds"])
def test_a_model_is_exported(chain, tmp_path, form):
    done = trodden("export", chain.folder / "model", "--format", form, "-o", tmp_path / "file")
    assert done.code == 0, done.err
    assert "with learned costs" in done.out
    assert "simulated" in done.out
    assert "turn bans do not fit" in done.out
    assert (tmp_path / "file").stat().st_size > 1000


def test_a_network_and_an_extract_are_exported(chain, tmp_path):
    for source in ("city", "city.osm"):
        done = trodden("export", chain.folder / source, "--format", "osrm-speeds", "-o", tmp_path / source)
        assert done.code == 0
        assert "learned" not in done.out
    assert (tmp_path / "city").read_bytes() == (tmp_path / "city.osm").read_bytes()


def test_export_refuses(chain, tmp_path):
    assert trodden("export", chain.folder / "model", "--format", "shapefile", "-o", tmp_path / "x").code == 2
    done = trodden("export", chain.folder / "model", "--format", "geojson", "-o", tmp_path)
    assert done.code == 2
    assert "is a folder" in done.err


def test_graphml_is_built_like_any_source(chain, tmp_path):
    path = tmp_path / "city.graphml"
    trodden("export", chain.folder / "city", "--format", "osmnx-graphml", "-o", path)
    done = trodden("build", path, "-o", tmp_path / "again")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == chain.said["build"].out.splitlines()[-1]
    assert "such a graph has no turn restrictions" in done.out
