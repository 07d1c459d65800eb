"""Cross-validation: the right candidate wins, what is done is kept, failures are a candidate's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from strategies import make_grid
from trodden.core.config import Config, parse_config, read_config
from trodden.core.errors import ConfigurationError
from trodden.irl import selection
from trodden.irl.evaluation import evaluate
from trodden.irl.selection import read_candidates, select
from trodden.irl.simulation import simulate
from trodden.irl.training import fit

TASTE = {"is_uturn": -2.0, "travel_time_min": -4.0, "constant": -1.2}


@pytest.fixture(scope="module")
def city():
    network = make_grid(5, 5)
    return network, simulate(network, 150, taste=TASTE, seed=3, num_destinations=8).for_ending("arrival")


def written(path, text):
    path.write_text(text)
    return path


LISTED = """
[[candidate]]
name = "all"
reward.features = ["is_uturn", "travel_time_min", "constant"]
[[candidate]]
reward.features = ["constant"]
planner.horizon = 1
"""


def test_candidates_change_the_settings_they_name(tmp_path):
    base = parse_config({"reward": {"minimum_cost": 1e-4}, "planner": {"ending": "stop"}}, where="test")
    found = read_candidates(written(tmp_path / "c.toml", LISTED), base)
    assert [one.name for one in found] == ["all", 'reward.features = ["constant"], planner.horizon = 1']
    assert found[0].config.reward.features == ("is_uturn", "travel_time_min", "constant")
    assert found[1].config.planner.horizon == 1
    for one in found:
        assert one.config.planner.ending == "stop"
        assert one.config.reward.minimum_cost == 1e-4
        assert one.config.baselines.budget == 0


def test_a_grid_stands_for_every_combination(tmp_path):
    text = '[grid]\nplanner.horizon = [1, 10, "infinity"]\n[grid.reward]\nmin_routes = [1, 5]\n'
    found = read_candidates(written(tmp_path / "c.toml", text), Config())
    pairs = {(one.config.planner.horizon, one.config.reward.min_routes) for one in found}
    assert pairs == {(h, n) for h in (1, 10, "infinity") for n in (1, 5)}
    assert len(found) == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no .grid. of lists and no"),
        ("[other]\na = 1\n", "no .grid. of lists and no"),
        ("[grid]\nplanner.horizon = 3\n", "planner.horizon is not a list"),
        ("[grid]\nplanner.horizon = []\n", "planner.horizon is not a list"),
        ("[[candidate]]\nname = 'odd'\nplanner.horizn = 3\n", "candidate 'odd'.*horizn"),
        ("[grid\n", "cannot be read as TOML"),
    ],
)
def test_what_is_no_list_of_candidates_is_named(tmp_path, text, said):
    with pytest.raises(ConfigurationError, match=said):
        read_candidates(written(tmp_path / "c.toml", text), Config())


def test_the_scores_are_those_of_models_that_had_not_seen_the_routes(city, tmp_path):
    network, routes = city
    found = select(
        network, routes, read_candidates(written(tmp_path / "c.toml", LISTED), Config()), tmp_path, num_folds=3
    )
    assert found.best.candidate.name == "all"
    config = found.best.candidate.config
    fold = np.random.default_rng(0).permutation(len(routes)) % 3
    exact = nll = 0.0
    for number in range(3):
        model = fit(network, routes.take(np.flatnonzero(fold != number)), config)
        result = evaluate(model, routes.take(np.flatnonzero(fold == number)))
        share = (fold == number).mean()
        exact += share * result.models["learned"].exact
        nll += share * result.models["learned"].nll_per_route
    assert found.best.exact == pytest.approx(exact, rel=1e-12)
    assert found.best.nll == pytest.approx(nll, rel=1e-12)
    other = found.scores[1]
    assert other.against_best.difference == pytest.approx(other.exact - found.best.exact)


def test_what_is_done_is_not_done_again(city, tmp_path, monkeypatch):
    network, routes = city
    candidates = read_candidates(written(tmp_path / "c.toml", LISTED), Config())
    calls = []

    def counted(*arguments, **options):
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return fit(*arguments, **options)

    monkeypatch.setattr(selection, "fit", counted)
    stop = 4
    with pytest.raises(KeyboardInterrupt):
        select(network, routes, candidates, tmp_path, num_folds=3)
    stop = -1
    whole = select(network, routes, candidates, tmp_path, num_folds=3)
    assert len(calls) == 4 + 3  # the one that was interrupted is made again
    again = select(network, routes, candidates, tmp_path, num_folds=3)
    assert len(calls) == 7
    assert again.to_json() == whole.to_json()
    damaged = sorted((tmp_path / "folds").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert select(network, routes, candidates, tmp_path, num_folds=3).best.exact == whole.best.exact
    assert len(calls) == 8
    select(network, routes, candidates, tmp_path, num_folds=3, seed=1)
    assert len(calls) == 8 + 6  # other folds are other results


def test_a_candidate_that_fails_is_last_and_says_why(city, tmp_path):
    network, routes = city
    text = LISTED + '[[candidate]]\nname = "none"\nreward.features = ["nowhere"]\n'
    found = select(
        network, routes, read_candidates(written(tmp_path / "c.toml", text), Config()), tmp_path, num_folds=2
    )
    assert found.scores[-1].candidate.name == "none"
    assert "nowhere" in found.scores[-1].problem
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["candidates"][-1]["exact"] is None
    alone = read_candidates(written(tmp_path / "d.toml", text[len(LISTED) :]), Config())
    with pytest.raises(ConfigurationError, match=r"no candidate could be learned.*nowhere"):
        select(network, routes, alone, tmp_path, num_folds=2)


def test_folds_of_pairs_share_none(city):
    _, routes = city
    fold = selection._folds(routes, 4, "pair", 0)
    keys = routes.pair_keys("stop")
    for number in range(4):
        assert not set(keys[fold == number]) & set(keys[fold != number])
    assert len(set(fold.tolist())) == 4
    assert np.ptp(np.bincount(selection._folds(routes, 4, "route", 0))) <= 1


def test_too_few_routes_are_refused(city, tmp_path):
    network, routes = city
    candidates = read_candidates(written(tmp_path / "c.toml", LISTED), Config())
    with pytest.raises(ConfigurationError, match="5 folds of 3 routes"):
        select(network, routes.take(np.arange(3)), candidates, tmp_path)


def test_the_settings_of_the_benchmark_are_some(repo_root):
    base = read_config(repo_root / "benchmarks" / "shanghai_best.toml")
    found = read_candidates(repo_root / "benchmarks" / "shanghai_candidates.toml", base)
    best = base.model_copy(update={"baselines": found[0].config.baselines})
    assert [one.config for one in found].count(best) == 1  # what was chosen is one of those that were tried
