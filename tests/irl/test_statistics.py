"""Statistics of fitted models: tests between models by hand, and what the JSON and LaTeX tables hold."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy import stats
from strategies import make_grid
from trodden.core.config import parse_config
from trodden.core.errors import IncomparableModelsError
from trodden.irl.checkpoints import load_model, save_model
from trodden.irl.likelihood import route_log_probabilities
from trodden.irl.model import Coefficient
from trodden.irl.planner import Planner
from trodden.irl.simulation import simulate
from trodden.irl.statistics import estimate, likelihood_ratio_test, model_statistics, vuong_test
from trodden.irl.training import fit

TASTE = {"travel_time_min": -2.5, "toll": -0.5, "constant": -1.4}


def config(*features, **reward):
    return parse_config({"reward": {"features": features, **reward}, "baselines": {"budget": 0}}, where="test")


@pytest.fixture(scope="module")
def fitted():
    """(routes, restricted, full, another that is not nested)."""
    network = make_grid(5, 5)
    random = np.random.default_rng(3)
    count = network.graph.num_edges
    length = random.uniform(50, 400, count).astype(np.float32)
    extra = {"toll": (random.random(count) < 0.3).astype(float), "noise": random.random(count)}
    extra["toll_and_noise"] = extra["toll"] + extra["noise"]
    attributes = dataclasses.replace(network.attributes, length_m=length, travel_time_s=length / 8.0, extra=extra)
    network = dataclasses.replace(network, attributes=attributes)
    routes = simulate(network, 300, taste=TASTE, seed=2, num_destinations=8)
    routes = dataclasses.replace(routes, traveller=tuple(f"driver {row % 20}" for row in range(300)))
    names = [("travel_time_min", "constant"), tuple(TASTE), ("travel_time_min", "noise", "constant")]
    return routes, *(fit(network, routes, config(*one)) for one in names)


def test_likelihood_ratio_by_hand(fitted):
    _, restricted, full, _ = fitted
    found = likelihood_ratio_test(restricted, full)
    want = 2 * (full.summary["log_likelihood"] - restricted.summary["log_likelihood"])
    assert (found.statistic, found.degrees_of_freedom) == (pytest.approx(want), 1)
    assert found.p_value == pytest.approx(stats.chi2.sf(want, 1), rel=1e-9)
    assert found.p_value < 0.01


def test_nesting_is_a_matter_of_what_features_span(fitted):
    routes, restricted, full, other = fitted
    with pytest.raises(IncomparableModelsError, match="not nested"):
        likelihood_ratio_test(full, other)
    with pytest.raises(IncomparableModelsError, match="not nested"):
        likelihood_ratio_test(full, restricted)
    combined = fit(routes.network, routes, config("travel_time_min", "noise", "toll_and_noise", "constant"))
    assert likelihood_ratio_test(full, combined).degrees_of_freedom == 1
    with pytest.raises(IncomparableModelsError, match="no further"):
        likelihood_ratio_test(full, full)


def test_models_of_other_routes_are_not_compared(fitted):
    routes, restricted, full, other = fitted
    half = routes.take(np.arange(150))
    elsewhere = fit(routes.network, half, config(*TASTE))
    for call in (
        lambda: likelihood_ratio_test(restricted, elsewhere),
        lambda: vuong_test(elsewhere, other, routes),
        lambda: vuong_test(full, other, half),
        lambda: likelihood_ratio_test(restricted.replace(summary={}), full),
    ):
        with pytest.raises(IncomparableModelsError):
            call()
    bound = full.replace(summary={**full.summary, "bound_turns": 3})
    with pytest.raises(IncomparableModelsError, match="positivity"):
        likelihood_ratio_test(restricted, bound)


def test_vuong_by_hand(fitted):
    routes, restricted, full, other = fitted
    gap = np.subtract(
        *(
            route_log_probabilities(
                Planner(routes.network.turns, one.config.planner), one.reward, routes, routes.batch("arrival")
            )
            for one in (full, other)
        )
    )
    found = vuong_test(full, other, routes)
    assert found.statistic == pytest.approx(math.sqrt(300) * gap.mean() / gap.std())
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(found.statistic)))
    assert vuong_test(other, full, routes).statistic == pytest.approx(-found.statistic)
    assert vuong_test(full, other, routes, correction="schwarz").statistic == pytest.approx(found.statistic)
    shorter = np.subtract(
        *(
            route_log_probabilities(
                Planner(routes.network.turns, one.config.planner), one.reward, routes, routes.batch("arrival")
            )
            for one in (other, restricted)
        )
    )
    want = (shorter.sum() - math.log(300) / 2) / (math.sqrt(300) * shorter.std())
    assert vuong_test(other, restricted, routes, correction="schwarz").statistic == pytest.approx(want)
    with pytest.raises(IncomparableModelsError, match="same probability"):
        vuong_test(full, full, routes)


def test_what_the_statistics_say(fitted, tmp_path):
    routes, _, full, _ = fitted
    found = model_statistics(load_model(save_model(full, tmp_path / "model")))
    value = full.summary["log_likelihood"]
    assert (found.num_free_parameters, found.num_travellers, found.num_routes) == (3, 20, 300)
    assert found.aic == pytest.approx(6 - 2 * value)
    assert found.bic == pytest.approx(3 * math.log(300) - 2 * value)
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    for row, name in zip(document["estimates"], TASTE, strict=True):
        assert row["name"] == name
        assert row["t_ratio"] == pytest.approx(row["value"] / row["standard_error"])
        assert row["robust_t_ratio"] == pytest.approx(row["value"] / row["clustered_standard_error"])
        assert row["p_value"] == pytest.approx(2 * stats.norm.sf(abs(row["t_ratio"])))
        low, high = row["interval"]
        assert (low + high) / 2 == pytest.approx(row["value"])
        assert (high - low) / 2 == pytest.approx(stats.norm.ppf(0.975) * row["standard_error"])
    for kind, key in (("classical", ""), ("robust", "robust_"), ("clustered", "clustered_")):
        variance = np.diag(np.array(document["covariances"][kind]))
        errors = [row[f"{key}standard_error"] for row in document["estimates"]]
        np.testing.assert_allclose(np.sqrt(variance), errors)
    assert len(routes) == 300


def test_the_latex_table_has_a_row_per_feature_and_escapes_names(fitted):
    _, _, full, _ = fitted
    text = model_statistics(full).to_latex()
    lines = text.splitlines()
    assert (lines[0], lines[-1]) == (r"\begin{tabular}{lrrrrrr}", r"\end{tabular}")
    rows = [line for line in lines if line.startswith(("travel", "toll", "constant"))]
    assert [row.split(" & ")[0] for row in rows] == [r"travel\_time\_min", "toll", "constant"]
    assert all(row.count(" & ") == 6 for row in rows)
    assert f"${full.coefficient('toll'):.4f}$" in rows[1]
    assert "(simulated)" in text


def test_a_coefficient_without_an_error_has_neither_ratio_nor_interval():
    row = estimate(Coefficient("toll", -1.0, None, "collinear"))
    assert (row.t_ratio, row.p_value, row.interval, row.robust_interval) == (None, None, None, None)
    assert row.note == "collinear"


def test_a_model_of_an_older_version_says_what_it_can(fitted):
    _, _, full, _ = fitted
    old = tuple(Coefficient(one.name, one.value, one.standard_error, one.note) for one in full.coefficients)
    found = model_statistics(full.replace(coefficients=old, summary={"log_likelihood": -1.0}))
    assert (found.aic, found.bic, found.num_free_parameters) == (None, None, None)
    assert found.estimates[0].t_ratio is not None
    assert found.estimates[0].robust_t_ratio is None
    assert "--" in found.to_latex()
    json.dumps(found.to_json(), allow_nan=False)
