"""The command that writes a page on a model."""

from __future__ import annotations

import json

import pytest
from regional_city import TASTE, make_city
from trodden.cli.main import app
from trodden.core.config import parse_config
from trodden.irl.checkpoints import load_model, save_model
from trodden.irl.demonstrations import read_demonstrations
from trodden.irl.evaluation import evaluate
from trodden.irl.report.wording import percent
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, the routes it was learned from, and others."""
    import irl_oracles as naive

    folder = tmp_path_factory.mktemp("report")
    network = naive.rebuilt(make_city(5, 5))
    train, held_out = simulate(network, 160, taste=TASTE, seed=1, num_destinations=8).split_by_route(0.4, 0)
    train.write(folder / "train.parquet")
    held_out.write(folder / "held_out.parquet")
    config = parse_config({"reward": {"features": list(TASTE)}, "baselines": {"budget": 3}}, where="test")
    save_model(fit(network, train, config), folder / "model")
    return folder


def run(folder, *arguments):
    return CliRunner().invoke(app, ["report", str(folder / "model"), *map(str, arguments)])


def test_the_command_writes_a_page_and_says_the_headline(folder, tmp_path):
    (tmp_path / "errors.json").write_text(json.dumps([{"kind": "a turn that nobody takes", "observed": 0}]))
    row = {"data": "here", "reward": "linear", "horizon": "infinity", "exact": 0.5}
    (tmp_path / "ablation.json").write_text(json.dumps({"rows": [row]}))
    page = tmp_path / "deep" / "report.html"
    routes = ("--routes", folder / "held_out.parquet", "--train", folder / "train.parquet")
    more = (
        "--ablation",
        tmp_path / "ablation.json",
        "--contradictions",
        tmp_path / "errors.json",
        "--title",
        "A <title>",
    )
    done = run(folder, *routes, *more, "-o", page)
    assert done.exit_code == 0, done.output
    assert "64 simulated trips" in done.output
    assert max(map(len, done.output.split("page of")[0].splitlines())) <= 80
    text = page.read_text(encoding="utf-8")
    model = load_model(folder / "model")
    result = evaluate(model, read_demonstrations(folder / "held_out.parquet", model.network))
    assert percent(result.models["learned"].exact) in text
    assert "A &lt;title&gt;" in text
    assert "a turn that nobody takes" in text
    assert "Ablation on here" in text


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--ablation", "{}", "rows"),
        ("--ablation", "no json", "is no JSON"),
        ("--contradictions", "[1]", "is no list of objects"),
    ],
)
def test_bad_files_are_named_before_any_work(folder, tmp_path, option, content, said):
    bad = tmp_path / "bad.json"
    bad.write_text(content)
    done = run(folder, "--routes", folder / "held_out.parquet", option, bad, "-o", tmp_path / "page.html")
    assert done.exit_code == 2
    assert said in done.output.replace("\n", " ")
    assert "bad.json" in done.output.replace("\n", "")
    assert not (tmp_path / "page.html").exists()


def test_help_fits_80_columns(folder):
    done = CliRunner().invoke(app, ["report", "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= 80
