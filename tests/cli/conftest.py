"""What the chain of commands makes of a small city."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from small_city import Ran, city_xml, trodden


@dataclass(frozen=True)
class Chain:
    """The folder in which the whole chain ran, and what each command said."""

    folder: Path
    said: dict[str, Ran] = field(default_factory=dict)

    def run(self, name: str, *arguments: object) -> None:
        self.said[name] = trodden(name, *arguments, cwd=self.folder)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Build -> simulate -> train -> evaluate -> route -> map -> doctor, as a user types them."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "city.osm").write_text(city_xml(), encoding="utf-8")
    (folder / "train.toml").write_text("[baselines]\nbudget = 10\n", encoding="utf-8")
    chain = Chain(folder)
    chain.run("build", "city.osm", "-o", "city")
    chain.run("simulate", "city", "-n", 400, "--seed", 0, "-o", "routes.parquet")
    chain.run("train", "city", "--routes", "routes.parquet", "--config", "train.toml", "-o", "model")
    chain.run("evaluate", "model", "--routes", "routes.parquet", "--json", "scores.json")
    chain.run("route", "model", "-29.8990,-71.2490", "-29.8890,-71.2380", "--geojson", "route.geojson")
    chain.run("map", "model", "--routes", "routes.parquet", "-o", "pictures")
    chain.run("doctor")
    return chain
