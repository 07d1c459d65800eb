"""A reward per context: against separate fits, one fit, and SciPy on the penalised likelihood; stored and refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from regional_city import TASTE, make_city
from scipy import optimize
from trodden.core.config import Config, parse_config
from trodden.core.errors import ConfigurationError, StoredFolderError, UnknownIdError
from trodden.core.folders import read_folder, write_folder
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.store import make_network
from trodden.irl.checkpoints import load_model, save_model
from trodden.irl.contexts import contexts_of
from trodden.irl.demonstrations import Demonstrations, joined, read_demonstrations
from trodden.irl.evaluation import evaluate, log_probabilities
from trodden.irl.features import make_features
from trodden.irl.likelihood import log_likelihood
from trodden.irl.planner import Planner
from trodden.irl.progress import TrainingProgress
from trodden.irl.rebasing import rebase
from trodden.irl.report import map_sections
from trodden.irl.selection import Candidate, select
from trodden.irl.simulation import simulate
from trodden.irl.statistics import model_statistics
from trodden.irl.training import fit
from trodden.routing.router import Router

OTHER = {**TASTE, "travel_time_min": -8.0, "toll": -0.1}
PERIODS = {"peak": "07:00-10:00", "off": "rest"}


def configured(**context: object) -> Config:
    document = {"reward": {"features": list(TASTE)}, "baselines": {"budget": 0}, "context": context}
    return parse_config(document, where="a test")


@pytest.fixture(scope="module")
def network() -> RoadNetwork:
    return make_city(6, 6)


def of_taste(network: RoadNetwork, taste: dict[str, float], seed: int, count: int, **says: str) -> Demonstrations:
    drawn = simulate(network, count, taste=taste, seed=seed, num_destinations=12, min_km=0.2)
    named = {name: [text] * len(drawn) for name, text in says.items()}
    ids = [f"{seed}-{at}" for at in range(len(drawn))]
    return dataclasses.replace(drawn, route_id=ids, **named).for_ending("arrival")


@pytest.fixture(scope="module")
def parts(network: RoadNetwork) -> tuple[Demonstrations, Demonstrations]:
    """Routes of two tastes: of ann's in the morning, and of bob's at noon."""
    return (
        of_taste(network, TASTE, 1, 150, departure="08:15", group="ann"),
        of_taste(network, OTHER, 2, 150, departure="2024-05-03T12:00", group="bob"),
    )


@pytest.fixture(scope="module")
def routes(parts: tuple[Demonstrations, Demonstrations]) -> Demonstrations:
    return joined(list(parts))


@pytest.fixture(scope="module")
def model(network: RoadNetwork, routes: Demonstrations):
    return fit(network, routes, configured(periods=PERIODS, penalty=30.0))


def values(coefficients: object) -> list[float]:
    return [one.value for one in coefficients]  # type: ignore[attr-defined]


def test_without_a_penalty_each_context_is_a_training_of_its_own(network, routes, parts) -> None:
    found = fit(network, routes, configured(periods=PERIODS, penalty=0.0))
    assert [one.name for one in found.contexts] == ["peak", "off"]
    for own, some in zip(found.contexts, parts, strict=True):
        alone = fit(network, some, configured())
        np.testing.assert_allclose(values(own.coefficients), values(alone.coefficients), rtol=1e-5)
        errors = [[one.standard_error for one in rows] for rows in (own.coefficients, alone.coefficients)]
        np.testing.assert_allclose(errors[0], errors[1], rtol=1e-2)  # by differences
        np.testing.assert_allclose(own.turn_cost, alone.turn_cost, rtol=1e-5)
        assert own.num_routes == len(some)


def test_at_infinity_all_contexts_are_the_one_reward(network, routes) -> None:
    found = fit(network, routes, configured(periods=PERIODS, penalty="infinity"))
    alone = fit(network, routes, configured())
    for own in found.contexts:
        np.testing.assert_allclose(values(own.coefficients), values(alone.coefficients), rtol=1e-5)
    np.testing.assert_array_equal(found.turn_cost, alone.turn_cost)
    assert found.summary["log_likelihood"] == alone.summary["log_likelihood"]
    assert found.summary["context"]["log_likelihood"] == pytest.approx(alone.summary["log_likelihood"], rel=1e-9)


def test_between_them_scipy_finds_the_same_optimum(network, parts, model) -> None:
    features = make_features(network, tuple(TASTE))
    matrix, scale = features.value, np.sqrt(features.range.mean_square)

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        table, total, slopes = point.reshape(2, -1), 0.0, []
        for row, some in zip(table, parts, strict=True):
            own = Planner(network.turns, Config().planner)
            value, slope = log_likelihood(own, matrix @ (row / scale), some.batch("arrival"))
            total -= value
            slopes.append(-(matrix.T @ slope) / scale)
        deviation = table - table.mean(axis=0)
        return total + 15.0 * float((deviation**2).sum()), (np.array(slopes) + 30.0 * deviation).ravel()

    start = np.tile(values(model.coefficients) * scale, 2)
    best = optimize.minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-6})
    got = np.concatenate([values(one.coefficients) * scale for one in model.contexts])
    np.testing.assert_allclose(got, best.x, atol=2e-4)


def test_corridors_find_what_the_factorisation_does(network, parts) -> None:
    few = joined([some.take(np.arange(25)) for some in parts])
    config = configured(periods=PERIODS, penalty=30.0)
    corridors = config.planner.model_copy(update={"solver": "corridors"})
    found = (fit(network, few, one) for one in (config, config.model_copy(update={"planner": corridors})))
    for one, two in zip(*(model.contexts for model in found), strict=True):
        np.testing.assert_allclose(values(one.coefficients), values(two.coefficients), rtol=1e-3)


def test_a_penalty_chosen_on_held_out_routes(network, routes) -> None:
    found = fit(network, routes, configured(periods=PERIODS))
    told = found.summary["context"]
    assert told["held_out_loss_by_penalty"]["inf"] > told["held_out_loss_by_penalty"][f"{told['penalty']:g}"]
    again = fit(network, routes, configured(periods=PERIODS))
    for one, two in zip(found.contexts, again.contexts, strict=True):
        np.testing.assert_array_equal(one.turn_cost, two.turn_cost)


def test_an_interrupted_run_goes_on_to_the_same_bytes(network, routes, model) -> None:
    config, seen = configured(periods=PERIODS, penalty=30.0), []

    def stop(step: TrainingProgress) -> None:
        seen.append(step)
        if step.stage == "contexts, penalty 30":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(network, routes, config, progress=stop)
    assert 0 < seen[-1].gradient_norm < seen[0].gradient_norm
    again = fit(network, routes, config, resume=seen[-1].checkpoint)
    for one, two in zip(again.contexts, model.contexts, strict=True):
        np.testing.assert_array_equal(one.turn_cost, two.turn_cost)


def test_groups_and_periods_together(network, routes, parts) -> None:
    more = of_taste(network, OTHER, 3, 40, departure="09:00", group="bob")
    found = fit(network, joined([routes, more]), configured(periods=PERIODS, group="who", penalty=10.0))
    assert [one.name for one in found.contexts] == ["peak/ann", "peak/bob", "off/bob"]
    assert [one.num_routes for one in found.contexts] == [len(parts[0]), len(more), len(parts[1])]
    contexts = contexts_of(found)
    assert contexts.number("07:00", "bob") == 1
    with pytest.raises(UnknownIdError, match="known are: peak/ann, peak/bob, off/bob"):
        contexts.number("12:00", "ann")


def test_a_column_for_each_period(network, routes) -> None:
    minutes = make_features(network, ["travel_time_min"]).edge_reward(np.ones(1))
    speed = 0.06 * np.asarray(network.attributes.length_m, np.float64) / minutes
    extra = {**network.attributes.extra, "speed_kmh@peak": speed / 2, "speed_kmh@off": speed}
    attributes = dataclasses.replace(network.attributes, extra=extra)
    roads = make_network(network.graph, attributes, network.turns, network.shapes, network.report)
    moved = dataclasses.replace(routes, network=roads)
    plain = fit(roads, moved, configured(periods=PERIODS, penalty=0.0))
    own = fit(roads, moved, configured(periods=PERIODS, penalty=0.0, by_period=["travel_time_min"]))
    # Twice the time in the morning: half the coefficient, the same costs.
    names = [one.name for one in own.contexts[0].coefficients]
    assert names == ["travel_time_min@peak", "toll", "constant"]
    assert own.contexts[0].coefficients[0].value == pytest.approx(plain.contexts[0].coefficients[0].value / 2, rel=1e-4)
    assert own.contexts[1].coefficients[0].value == pytest.approx(plain.contexts[1].coefficients[0].value, rel=1e-4)
    np.testing.assert_allclose(own.contexts[0].turn_cost, plain.contexts[0].turn_cost, rtol=1e-4)
    assert Router(own).explain("node:10", "node:40", metric="peak") is not None, "its columns are known there too"
    faster = {**extra, "speed_kmh@peak": 500 * speed}
    roads = make_network(
        network.graph, dataclasses.replace(attributes, extra=faster), network.turns, network.shapes, network.report
    )
    quick = configured(periods=PERIODS, penalty=0.0, by_period=["travel_time_min"])
    assert fit(roads, dataclasses.replace(routes, network=roads), quick).summary["context"]["is_converged"]
    with pytest.raises(ConfigurationError, match="travel_time_min@peak"):
        fit(network, routes, configured(periods=PERIODS, by_period=["travel_time_min"]))


# --------------------------------------------------------------------------------------------------- stored and asked


def test_a_stored_model_is_the_same(tmp_path, model) -> None:
    loaded = load_model(save_model(model, tmp_path / "model"))
    assert loaded.config == model.config
    for one, two in zip(loaded.contexts, model.contexts, strict=True):
        assert (one.name, one.num_routes, one.coefficients) == (two.name, two.num_routes, two.coefficients)
        np.testing.assert_array_equal(one.turn_cost, two.turn_cost)
        np.testing.assert_array_equal(one.entry_cost, two.entry_cost)
    stored = read_folder(tmp_path / "model", kind="model", version=1)
    cut = {**stored.arrays, "context_turn_cost": stored.arrays["context_turn_cost"][:1]}
    folders = {"network": stored.folders["network"]}
    write_folder(tmp_path / "cut", kind="model", version=1, document=stored.document, arrays=cut, folders=folders)
    with pytest.raises(StoredFolderError, match="contexts' costs"):
        load_model(tmp_path / "cut")


def test_evaluation_prices_each_route_by_its_own_context(network, model, parts, routes) -> None:
    whole = log_probabilities(model, routes)
    assert whole is not None
    for own, some, begin in zip(model.contexts, parts, (0, len(parts[0])), strict=True):
        alone = log_probabilities(model.in_context(own.name), some)
        np.testing.assert_allclose(whole[begin : begin + len(some)], alone, rtol=1e-12)
    assert whole.sum() == pytest.approx(model.summary["context"]["log_likelihood"], rel=1e-6)
    result = evaluate(model, routes)
    assert result.shared is not None
    assert result.models["learned"].nll_per_route < result.shared.nll_per_route
    assert "one reward for all contexts" in result.table()
    assert result.to_json()["shared"]["exact"] == result.shared.exact
    peak = evaluate(model.in_context("peak"), parts[0])
    assert result.matched["learned"][: len(parts[0])].tolist() == peak.matched["learned"].tolist()
    assert peak.shared is None


def test_a_router_has_a_metric_for_each_context(network, model) -> None:
    router, ends = Router(model), ("node:10", "node:45")
    assert router.metrics == ("learned", "peak", "off")
    for own in model.contexts:
        alone = Router(model.in_context(own.name)).route(*ends)
        named = router.route(*ends, metric=own.name)
        assert named.edges.tolist() == alone.edges.tolist()
        assert named.cost == pytest.approx(alone.cost)
        assert named.log_probability == pytest.approx(alone.log_probability)
    assert router.route(*ends, departure="07:30").metric == "peak"
    assert router.route(*ends, departure="2024-05-03T12:00").metric == "off"
    assert router.route(*ends).metric == "learned"
    assert router.metric_at("23:00") == "off"
    assert router.explain(*ends, metric="peak") is not None
    for asked, problem in (({"departure": "soon"}, "no time"), ({"group": "ann"}, "no departure")):
        with pytest.raises(ConfigurationError, match=problem):
            router.route(*ends, **asked)


def test_contexts_of_a_further_model_and_of_its_successor(network, model) -> None:
    router = Router(model)
    router.add_model("other", model)
    assert {"other", "other:peak", "other:off"} < set(router.metrics)
    assert router.route("node:10", "node:45", metric="other", departure="08:00").metric == "other:peak"
    router.add_model("other", model.in_context("peak"))
    assert "other:peak" not in router.metrics
    with pytest.raises(ConfigurationError, match="do not depend on a departure"):
        router.route("node:10", "node:45", metric="other", departure="08:00")
    plain = Router.from_costs(network, model.turn_cost, model.entry_cost)
    with pytest.raises(ConfigurationError, match="do not depend"):
        plain.route("node:10", "node:45", departure="08:00")


def test_a_rebased_model_keeps_its_contexts(network, model) -> None:
    moved = rebase(model, network).model
    for one, two in zip(moved.contexts, model.contexts, strict=True):
        np.testing.assert_allclose(one.turn_cost, two.turn_cost, rtol=1e-9)
        np.testing.assert_allclose(one.entry_cost, two.entry_cost, rtol=1e-9)


def test_statistics_and_selection_know_of_contexts(tmp_path, network, routes, model) -> None:
    told = model_statistics(model)
    assert list(told.to_json()["contexts"]) == ["peak", "off"]
    assert model_statistics(model.in_context("off")).log_likelihood is None
    candidates = [Candidate("one", configured()), Candidate("two", configured(periods=PERIODS, penalty=0.0))]
    found = select(network, routes, candidates, tmp_path, by="nll", num_folds=2)
    assert found.scores[0].candidate.name == "two"


def test_a_report_shows_contexts_and_what_the_map_says(model, routes) -> None:
    section = map_sections.contexts(model)
    assert section is not None
    table = section.blocks[1]
    assert table.rows[0][0].text == "travel_time_min"
    assert len(table.columns) == len(table.rows[0]) == 4
    assert map_sections.contexts(model.in_context("peak")) is None
    columns = map_sections.columns_of_map(model).blocks[0]
    assert "toll" in [row[0].text for row in columns.rows]


# ------------------------------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("context", "says", "problem"),
    [
        ({"periods": PERIODS}, {"departure": None}, "say no departure, the first of them 1-0"),
        ({"periods": PERIODS}, {"departure": "late"}, "route 1-0: 'late' is no time"),
        ({"periods": PERIODS}, {"departure": "2024-05-03T08:00Z"}, "time_zone"),
        ({"periods": {"am": "00:00-06:00"}}, {"departure": "08:00"}, "lies in none of am"),
        ({"periods": {"work": "Mon-Fri 00:00-24:00", "off": "rest"}}, {"departure": "08:00"}, "names no date"),
        ({"periods": PERIODS}, {"departure": "08:00"}, "departs in off"),
        ({"group": "who"}, {}, "say no group"),
        ({"group": "who"}, {"group": "learned"}, "the name of another metric"),
    ],
)
def test_routes_that_say_too_little(network, parts, context, says, problem) -> None:
    some = dataclasses.replace(parts[0].take(np.arange(20)), group=None)
    some = dataclasses.replace(some, **{name: [text] * 20 for name, text in says.items()})
    with pytest.raises(ConfigurationError, match=problem):
        fit(network, some, configured(**context))


def test_routes_of_an_unknown_context_are_named(model, parts) -> None:
    grouped = fit(parts[0].network, parts[0], configured(group="who"))
    with pytest.raises(UnknownIdError, match=r"bob.*route 2-0.*known are: ann"):
        evaluate(grouped, parts[1])


@pytest.mark.parametrize("name", ["routes.csv", "routes.parquet"])
def test_a_route_file_holds_groups_under_any_name(tmp_path, network, parts, name: str) -> None:
    parts[0].write(tmp_path / name)
    assert set(read_demonstrations(tmp_path / name, network).group) == {"ann"}
    renamed = dataclasses.replace(parts[0], traveller=["purpose"] * len(parts[0]))
    renamed.write(tmp_path / name)
    assert set(read_demonstrations(tmp_path / name, network, group="traveller").group) == {"purpose"}
    assert read_demonstrations(tmp_path / name, network, group="absent").group is None
