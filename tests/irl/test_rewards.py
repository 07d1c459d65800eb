"""Rewards of several parts: derivatives against finite differences, masks that stay zero, runs that stop and resume."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools

import numpy as np
import pytest
from scipy import optimize
from strategies import make_grid
from trodden.core.config import Config, parse_config
from trodden.core.errors import ConfigurationError, StoredFolderError
from trodden.graphs.reading import read_roads
from trodden.irl.checkpoints import load_checkpoint, load_model, save_checkpoint, save_model
from trodden.irl.demonstrations import demonstrations_from_edges, read_demonstrations
from trodden.irl.evaluation import evaluate
from trodden.irl.planner import Planner
from trodden.irl.provenance import run_names
from trodden.irl.rewards.building import from_arrays, make_reward, reward_of, supported_by, to_arrays
from trodden.irl.rewards.objective import PenalisedLoss
from trodden.irl.simulation import simulate
from trodden.irl.texts import Texts
from trodden.irl.training import fit

TASTE = {"travel_time_min": -2.0, "toll": -0.7, "constant": -1.3}
KINDS = {
    "linear and edge": {"corrections": ["edge"]},
    "linear and turn": {"corrections": ["turn"]},
    "both": {"corrections": ["edge", "turn"]},
    "mlp alone": {"linear": False, "mlp_width": 5, "mlp_depth": 1},
    "mlp and linear": {"mlp_width": 4},
    "mlp and sparse": {"linear": False, "mlp_width": 4, "corrections": ["edge", "turn"]},
}
PLANNERS = {
    "infinity": {},
    "sweeps": {"solver": "sweeps"},
    "corridors": {"solver": "corridors", "corridor_tau": 45.0},
    "H=1": {"horizon": 1},
    "H=4": {"horizon": 4},
    "H=3 in corridors": {"horizon": 3, "solver": "corridors", "corridor_tau": 45.0},
    "H=0": {"horizon": 0},
}
QUICK = {"baselines": {"budget": 0}}


def configured(kind=None, planner=None, ending="arrival", **training):
    chosen = KINDS[kind] if isinstance(kind, str) else kind or {}
    reward = {"features": list(TASTE), **chosen}
    document = {"reward": reward, "planner": {"ending": ending, **(planner or {})}, "training": training, **QUICK}
    return parse_config(document, where="test")


@pytest.fixture(scope="module")
def city():
    """A small grid with a user column, and simulated trips that weigh differently."""
    network = make_grid(5, 5)
    random = np.random.default_rng(3)
    length = random.uniform(50, 400, network.graph.num_edges).astype(np.float32)
    attributes = dataclasses.replace(
        network.attributes,
        length_m=length,
        travel_time_s=length / 8.0,
        extra={"toll": (random.random(network.graph.num_edges) < 0.3).astype(float)},
    )
    network = dataclasses.replace(network, attributes=attributes)
    made = {
        ending: dataclasses.replace(
            simulate(network, 60, taste=TASTE, seed=2, num_destinations=6, ending=ending).for_ending(ending),
        )
        for ending in ("arrival", "stop")
    }
    return network, {
        ending: dataclasses.replace(routes, weight=np.random.default_rng(1).uniform(0.5, 2.0, len(routes)))
        for ending, routes in made.items()
    }


def a_point(reward, seed=0, level=3.0):
    return reward.start(level) + np.random.default_rng(seed).normal(0, 0.2, len(reward))


@pytest.mark.parametrize("kind", KINDS)
def test_parts_add_up_and_have_their_derivatives(city, kind):
    network, routes = city
    reward = make_reward(network, routes["arrival"], configured(kind).reward)
    point = a_point(reward)
    some = np.array([3, 0, 17, 17, 40], np.int32)
    weights = np.random.default_rng(5).normal(size=network.turns.num_turns)
    for part, own in reward.with_own(point):
        np.testing.assert_allclose(part.raw_at(some, own), part.raw(own)[some], rtol=1e-12, atol=1e-13)
        found = part.pull(own, weights)
        wanted = optimize.approx_fprime(own, lambda at, part=part: float(weights @ part.raw(at)), 1e-6)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
        sparse = np.bincount(some, weights[some], minlength=len(weights))
        np.testing.assert_allclose(
            part.pull_at(some, own, weights[some]), part.pull(own, sparse), rtol=1e-10, atol=1e-12
        )
    assert (reward.cost(point) > 0).all()
    raw = sum(part.raw(own) for part, own in reward.with_own(point))
    np.testing.assert_allclose(reward.cost(point), 1e-6 + np.log1p(np.exp(raw)), rtol=1e-12)
    at = reward.at(point)
    np.testing.assert_allclose(at.reward(point), -reward.cost(point), rtol=1e-15)
    np.testing.assert_allclose(at.reward_at(some, point), at.reward(point)[some], rtol=1e-12)
    np.testing.assert_allclose(
        at.project(weights),
        optimize.approx_fprime(point, lambda x: float(-weights @ reward.cost(x)), 1e-6),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("kind", "planner", "ending"),
    [(kind, planner, "arrival") for kind in KINDS for planner in PLANNERS]
    + [("both", planner, "stop") for planner in PLANNERS],
)
def test_gradient_of_the_loss_equals_finite_differences(city, kind, planner, ending):
    network, made = city
    routes, config = made[ending], configured(kind, PLANNERS[planner], ending)
    reward = make_reward(network, routes, config.reward)
    loss = PenalisedLoss(reward, routes, config.planner, Planner(network.turns, config.planner))
    point = a_point(reward, seed=7)
    value, gradient = loss(point)
    random = np.random.default_rng(9)
    for _ in range(3):  # along random directions: every parameter at once
        way = random.normal(size=len(point))
        step = 1e-5
        difference = (loss(point + step * way)[0] - loss(point - step * way)[0]) / (2 * step)
        assert difference == pytest.approx(float(gradient @ way), rel=2e-4, abs=1e-5)
    penalty = 0.5 * sum(float(part.ridge @ own**2) for part, own in reward.with_own(point))
    assert value == pytest.approx((penalty - loss.log_likelihood(point)[0]) / routes.weight.sum(), rel=1e-12)


def test_costs_stay_positive_where_parts_say_otherwise(city):
    network, routes = city
    reward = make_reward(network, routes["arrival"], configured("both").reward)
    for size in (-1e3, -30.0, 1e3):
        cost = reward.cost(np.full(len(reward), size))
        assert np.isfinite(cost).all()
        assert (cost >= 1e-6).all()


def test_only_supported_edges_and_turns_have_a_correction(city):
    network, routes = city
    demonstrations = dataclasses.replace(routes["arrival"], weight=np.ones(len(routes["arrival"])))
    counts = {"turn": {}, "edge": {}}
    for row in range(len(demonstrations)):
        route = demonstrations.route(row).tolist()
        moves = set(itertools.pairwise(route))
        for move in moves:
            counts["turn"][move] = counts["turn"].get(move, 0) + 1
        for edge in {b for _, b in moves}:
            counts["edge"][edge] = counts["edge"].get(edge, 0) + 1
    for least in (1, 4):
        config = configured({"corrections": ["edge", "turn"], "min_routes": least})
        reward = make_reward(network, demonstrations, config.reward)
        turns = network.turns
        moves = {(int(turns.from_edge[t]), int(turns.to_edge[t])) for t in reward.part("turn").supported}
        assert moves == {move for move, count in counts["turn"].items() if count >= least}
        assert set(reward.part("edge").supported.tolist()) == {e for e, n in counts["edge"].items() if n >= least}
        alone = reward.part("turn").raw(np.ones(len(reward.part("turn"))))
        assert set(np.flatnonzero(alone)) == set(reward.part("turn").supported.tolist())


def test_a_correction_needs_enough_travellers():
    network = make_grid(3, 3)
    routes = simulate(network, 40, taste={"constant": -1.4}, seed=1, num_destinations=3).for_ending("arrival")
    config = configured({"features": ["constant"], "corrections": ["turn"], "min_travellers": 3}).reward
    with pytest.raises(ConfigurationError, match="traveller"):
        make_reward(network, routes, config)
    who = [f"t{row % 4}" if row % 5 else None for row in range(len(routes))]
    named = dataclasses.replace(routes, traveller=who)
    supported = set(make_reward(network, named, config).part("turn").supported.tolist())
    turn, row = named.turns()
    wanted = {int(t) for t in np.unique(turn) if len({who[r] for r in row[turn == t]} - {None}) >= 3}
    assert supported == wanted
    assert supported
    weighted = dataclasses.replace(
        named, weight=np.random.default_rng(2).uniform(0.1, 3.0, len(named)), traveller=Texts.of(who)
    )
    for kind in ("edge", "turn"):
        for least in (1, 5):
            settings = config.model_copy(update={"min_routes": least})
            blocks = [weighted.take(np.arange(at, min(at + 7, len(named)))) for at in range(0, len(named), 7)]
            pieces, whole = supported_by(blocks, kind, settings), supported_by([weighted], kind, settings)
            np.testing.assert_array_equal(pieces, whole)
            assert len(whole)


def test_corrections_find_what_no_feature_tells():
    """Travellers avoid one turn that looks like all others: its correction says so, and routes follow."""
    network = make_grid(4, 4)
    turns = network.turns
    random = np.random.default_rng(0)
    length = random.uniform(80, 120, network.graph.num_edges).astype(np.float32)
    attributes = dataclasses.replace(network.attributes, length_m=length, travel_time_s=length / 8.0)
    network = dataclasses.replace(network, attributes=attributes)
    base = simulate(network, 1, taste={"constant": -1.5}, seed=0, num_destinations=1)
    busiest = int(np.bincount(base.turns()[0], minlength=turns.num_turns).argmax())
    hidden = dataclasses.replace(turns, extra={"hidden": (np.arange(turns.num_turns) == busiest).astype(float)})
    seen = dataclasses.replace(network, turns=hidden)
    routes = simulate(seen, 1500, taste={"constant": -1.5, "hidden": -2.5}, seed=4, num_destinations=16)
    blind = demonstrations_from_edges(
        network, [routes.route(r) for r in range(len(routes))], [str(r) for r in range(len(routes))]
    )
    model = fit(network, blind, configured({"features": ["constant"], "corrections": ["turn"]}, validation_share=0.0))
    reward, members = reward_of(model)
    part = reward.part("turn")
    correction = dict(zip(part.supported.tolist(), reward.split(members[0])["turn"], strict=True))
    assert correction[busiest] == max(correction.values())
    assert correction[busiest] > 1.0


@pytest.mark.parametrize("planner", ["infinity", "H=4", "H=0"])
@pytest.mark.parametrize("kind", ["both", "mlp and linear"])
def test_fitting_lowers_the_loss_and_predicts(city, kind, planner):
    network, made = city
    routes = made["arrival"]
    model = fit(network, routes, configured(kind, PLANNERS[planner], max_iterations=40))
    first = model.summary["curve"][0]
    best = next(one for one in model.summary["curve"] if one["iteration"] == model.summary["iterations"])
    assert (best["exact"], best["iou"]) >= (first["exact"], first["iou"])
    assert (model.turn_cost > 0).all()
    assert (model.entry_cost > 0).all()
    reward, members = reward_of(model)
    np.testing.assert_array_equal(reward.cost(members[0]), model.turn_cost)
    result = evaluate(model, routes)
    assert (result.models["learned"].nll_per_route is None) == (planner == "H=0")
    if planner != "H=0":
        nll = result.models["learned"].nll_per_route
        assert model.summary["log_likelihood_per_route"] == pytest.approx(-nll, rel=1e-9)


def test_with_a_strong_penalty_the_corrections_are_nothing(city):
    network, made = city
    routes = made["arrival"]
    base = fit(network, routes, configured({}))
    config = configured({"corrections": ["turn"], "turn_penalty": 1e9, "linear_penalty": 0.0}, validation_share=0.0)
    model = fit(network, routes, config)
    _, members = reward_of(model)
    assert np.abs(members[0][len(TASTE) :]).max() < 1e-6
    # A softplus is no identity, but these costs are large enough for the fits to be close.
    assert model.summary["log_likelihood"] == pytest.approx(base.summary["log_likelihood"], rel=0.02)


def test_training_stops_where_held_out_routes_get_worse(city):
    """Hardly any routes and no penalty: the loss goes on falling after the held-out routes have had their best."""
    network, made = city
    few = made["arrival"]
    config = configured(
        {"corrections": ["edge", "turn"], "turn_penalty": 0.0, "edge_penalty": 0.0, "linear_penalty": 0.0},
        validate_every=1, patience=4, select_by="nll", max_iterations=200, validation_share=0.5,
    )  # fmt: skip
    curve = fit(network, few, config).summary["curve"]
    losses, nll = [one["loss"] for one in curve], [one["nll"] for one in curve]
    best = int(np.argmin(nll))
    assert 0 < best < len(curve) - 1
    assert len(curve) - 1 - best == 4
    assert losses[-1] < losses[best]
    assert fit(network, few, config).summary["iterations"] == curve[best]["iteration"]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("stop", [1, 6, 15, 22, 31])
def test_an_interrupted_run_ends_with_the_same_model(city, tmp_path, members, stop):
    network, made = city
    routes = made["arrival"]
    config = configured({"corrections": ["edge", "turn"], "members": members}, max_iterations=12, validate_every=3)
    whole = fit(network, routes, config)
    steps = 0

    def interrupt(step):
        nonlocal steps
        steps += 1
        save_checkpoint(step.checkpoint, tmp_path / "checkpoint")
        if steps == stop:
            raise Stopped

    with contextlib.suppress(Stopped):
        fit(network, routes, config, progress=interrupt)
    found = load_checkpoint(
        tmp_path / "checkpoint", network_checksum=network.checksum, names=run_names(network, config)
    )
    resumed = fit(network, routes, config, resume=found)
    assert resumed.parts["members"].tobytes() == whole.parts["members"].tobytes()
    assert resumed.summary["curve"] == whole.summary["curve"]
    assert resumed.turn_cost.tobytes() == whole.turn_cost.tobytes()


def test_every_checkpoint_of_a_run_that_converges_leads_to_its_end(city):
    network, made = city
    config = configured({"corrections": ["edge"], "edge_penalty": 1e3}, validation_share=0.0, max_iterations=500)
    kept = []
    whole = fit(network, made["arrival"], config, progress=lambda step: kept.append(step.checkpoint))
    assert whole.summary["is_converged"]
    assert whole.summary["iterations"] == kept[-1].iteration < 500
    for checkpoint in (kept[0], kept[len(kept) // 2], *kept[-2:]):
        resumed = fit(network, made["arrival"], config, resume=checkpoint)
        assert resumed.turn_cost.tobytes() == whole.turn_cost.tobytes()
        assert resumed.summary["iterations"] == whole.summary["iterations"]


def test_a_checkpoint_of_another_run_is_refused(city):
    network, made = city
    kept = []
    config = configured("both", max_iterations=4)
    fit(network, made["arrival"], config, progress=lambda step: kept.append(step.checkpoint))
    other = configured({"corrections": ["edge", "turn"], "turn_penalty": 2.0}, max_iterations=4)
    with pytest.raises(ConfigurationError, match="another configuration"):
        fit(network, made["arrival"], other, resume=kept[-1])


@pytest.mark.parametrize("kind", [*KINDS, "plain"])
def test_a_stored_model_prices_as_before(city, tmp_path, kind):
    network, made = city
    model = fit(network, made["arrival"], configured(kind if kind != "plain" else {}, max_iterations=5))
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    reward, members = reward_of(loaded)
    np.testing.assert_allclose(reward.cost(members[0]), model.turn_cost, rtol=1e-12)
    assert set(loaded.parts) == set(model.parts)
    if kind != "plain":
        again = from_arrays(loaded.network, loaded.config.reward, to_arrays(reward))
        np.testing.assert_array_equal(again.cost(members[0]), reward.cost(members[0]))


def test_a_model_without_its_parts_is_refused(city, tmp_path):
    network, made = city
    model = fit(network, made["arrival"], configured("both", max_iterations=3))
    save_model(model.replace(parts={}), tmp_path / "model")
    with pytest.raises(StoredFolderError, match="parts of its reward"):
        load_model(tmp_path / "model")


def test_an_ensemble_serves_the_mean_and_every_member_saw_other_routes(city):
    network, made = city
    for average in ("costs", "parameters"):
        kind = {"corrections": ["turn"], "members": 3, "average": average}
        config = configured(kind, max_iterations=8, validation_share=0.0)
        model = fit(network, made["arrival"], config)
        reward, members = reward_of(model)
        assert len({member.tobytes() for member in members}) == 3
        wanted = (
            np.mean([reward.cost(member) for member in members], axis=0)
            if average == "costs"
            else reward.cost(members.mean(axis=0))
        )
        np.testing.assert_allclose(model.turn_cost, wanted, rtol=1e-14)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"reward": {"linear": False}}, "needs an MLP"),
        ({"reward": {"corrections": ["turn", "turn"]}}, "twice"),
        ({"reward": {"mlp_depth": 3}}, "mlp_depth is for an MLP"),
        ({"reward": {"average": "parameters"}}, "average is for ensembles"),
        ({"reward": {"corrections": ["turn"]}, "training": {"method": "newton"}}, "trained by L-BFGS"),
        ({"reward": {"corrections": ["turn"]}, "training": {"start": {"constant": -1.0}}}, "start is for linear"),
        ({"reward": {"corrections": ["turn"], "members": 2}, "regions": {"count": 2}}, "not an ensemble"),
    ],
)
def test_what_does_not_go_together_is_said(document, said):
    with pytest.raises(ConfigurationError, match=said):
        parse_config(document, where="test")


def test_a_plain_reward_is_what_it_was():
    assert Config().reward.is_plain
    assert not parse_config({"reward": {"members": 2}}, where="test").reward.is_plain


@pytest.mark.real_data
def test_corrections_predict_real_taxi_routes_better(data_folder):
    """Shanghai, routes held out of the training file: what a linear reward cannot say, a number per turn does."""
    network = read_roads(data_folder / "shanghai")
    routes = read_demonstrations(data_folder / "shanghai" / "train.csv", network)
    rest, held_out = routes.split_by_route(0.3, 0)
    features = ["length_km", "is_left", "is_right", "is_uturn", "constant", "class:*"]
    exact = {}
    for name, kind in (("linear", {}), ("turns", {"corrections": ["turn"]})):
        config = configured({"features": features, **kind}, validation_share=0.0, max_iterations=60)
        exact[name] = evaluate(fit(network, rest, config), held_out).models["learned"]
    assert exact["turns"].exact > exact["linear"].exact + 0.04
    assert exact["turns"].nll_per_route < exact["linear"].nll_per_route - 0.8
