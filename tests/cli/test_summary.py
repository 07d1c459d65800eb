"""The command that prints a model's statistics."""

from __future__ import annotations

import json

import numpy as np
import pytest
from strategies import make_grid
from trodden.cli.console import coefficient_table
from trodden.cli.main import app
from trodden.core.config import parse_config
from trodden.irl.checkpoints import save_model
from trodden.irl.model import Coefficient
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    import irl_oracles as naive

    network = naive.rebuilt(make_grid(4, 4))
    routes = simulate(network, 100, taste={"travel_time_min": -2.0, "constant": -1.4}, seed=1, num_destinations=5)
    names = ["length_km", "travel_time_min", "constant"]
    config = parse_config({"reward": {"features": names}, "baselines": {"budget": 0}}, where="test")
    return save_model(fit(network, routes, config), tmp_path_factory.mktemp("summary") / "model")


def test_summary_prints_and_writes(model_folder, tmp_path):
    table, figures = tmp_path / "table.tex", tmp_path / "figures.json"
    done = CliRunner().invoke(app, ["summary", str(model_folder), "--json", str(figures), "--latex", str(table)])
    assert done.exit_code == 0, done.output
    assert "simulated" in done.output
    assert "AIC" in done.output
    assert "do not tell it apart" in done.output
    assert max(map(len, done.output.split("\n(1)")[0].splitlines())) <= 80
    document = json.loads(figures.read_text())
    assert [row["name"] for row in document["estimates"]] == ["length_km", "travel_time_min", "constant"]
    assert table.read_text().startswith(r"\begin{tabular}")


def test_summary_of_nothing_names_it(tmp_path):
    done = CliRunner().invoke(app, ["summary", str(tmp_path / "nothing")])
    assert done.exit_code == 2
    assert "nothing" in done.output


@pytest.mark.parametrize("name", ["toll", "class:motorway_link", "class:motorway_link*travel_time_min*is_left"])
def test_the_table_fits_80_columns_and_loses_the_interval_first(name):
    rows = (Coefficient(name, -12.3456, 0.1234, "", 0.2345), Coefficient("constant", -1.0, None, "collinear"))
    text = coefficient_table(rows)
    assert max(map(len, text.splitlines())) <= 80
    assert ("95 %" in text) == (name == "toll")
    stated = coefficient_table(rows, stated={name: -12.0, "constant": -1.0})
    assert f"{(-12.3456 + 12.0) / 0.1234:+.2f}" in stated
    assert np.isfinite(float(stated.splitlines()[1].split()[1]))
