"""Slices of the loss: their middle, their lowest point, their symmetries, where there is none, and what axes mean."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from irl_oracles import rebuilt
from strategies import make_grid
from trodden.cli.main import app
from trodden.core.config import parse_config
from trodden.core.errors import ConfigurationError, TroddenError
from trodden.irl.checkpoints import save_model
from trodden.irl.features import make_features
from trodden.irl.insight.directions import along_curvature, along_random
from trodden.irl.insight.surface import loss_surface, losses_on_plane
from trodden.irl.planner import Planner
from trodden.irl.problem import Problem
from trodden.irl.rewards.building import reward_of
from trodden.irl.rewards.objective import PenalisedLoss
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from typer.testing import CliRunner

TASTE = {"travel_time_min": -4.0, "mark": -0.7, "constant": -1.0}


def config(**sections):
    reward = {"features": list(TASTE), **sections.pop("reward", {})}
    return parse_config({"reward": reward, "baselines": {"budget": 0}, **sections}, where="test")


@pytest.fixture(scope="module")
def network():
    plain = make_grid(6, 6)
    random = np.random.default_rng(0)
    length = random.uniform(60, 240, plain.graph.num_edges)
    attributes = dataclasses.replace(
        plain.attributes,
        length_m=length.astype(np.float32),
        travel_time_s=(length / 10).astype(np.float32),
        extra={"mark": (random.random(plain.graph.num_edges) < 0.3).astype(np.float64)},
    )
    return rebuilt(plain, attributes=attributes)


@pytest.fixture(scope="module")
def routes(network):
    return simulate(network, 200, taste=TASTE, seed=0, num_destinations=8).for_ending("arrival")


@pytest.fixture(scope="module")
def model(network, routes):
    return fit(network, routes, config())


@pytest.fixture(scope="module")
def ensemble(network, routes):
    sections = {
        "reward": {"corrections": ["edge"], "members": 3},
        "training": {"validation_share": 0.0, "max_iterations": 8},
    }
    return fit(network, routes, config(**sections))


@pytest.mark.parametrize("kind", ["curvature", "flat", "random"])
def test_the_optimum_is_the_lowest_point_of_every_slice(model, routes, kind):
    found = loss_surface(model, routes, kind=kind, grid=7)
    assert found.kind == kind
    assert found.loss[3, 3] == found.learned_loss
    assert found.learned_loss == pytest.approx(-model.summary["log_likelihood"] / len(routes), rel=1e-9)
    around = np.delete(found.loss.ravel(), 24)
    assert np.nanmin(around) > found.learned_loss
    assert found.lowest(found.loss) == (0.0, 0.0, found.learned_loss)


def test_how_far_the_plane_goes(model, routes):
    near, far = (loss_surface(model, routes, kind="curvature", grid=3, rise=rise) for rise in (1e-4, 0.3))
    # Where the loss is a parabola it rises by what was asked for, on both axes.
    rises = near.loss[[1, 1, 0, 2], [0, 2, 1, 1]] - near.learned_loss
    np.testing.assert_allclose(rises, 1e-4, rtol=0.1)
    assert far.x.at[-1] == pytest.approx(near.x.at[-1] * np.sqrt(0.3 / 1e-4), rel=1e-6)


def test_curvature_is_that_of_the_exact_hessian(model, network, routes):
    reward, members = reward_of(model)
    planner = Planner(network.turns, model.config.planner)
    loss = PenalisedLoss(reward, routes, model.config.planner, planner)
    problem = Problem(network, routes, make_features(network, tuple(TASTE)), model.config)
    hessian = problem.second_order(members[0]).hessian
    values, vectors = np.linalg.eigh(hessian)
    for is_flat, order in ((False, [-1, -2]), (True, [0, 1])):
        for one, at in zip(along_curvature(loss.or_none, reward, members[0], is_flat=is_flat), order, strict=True):
            assert one.curvature == pytest.approx(values[at], rel=1e-4)
            assert abs(one.vector @ vectors[:, at]) == pytest.approx(1.0, abs=1e-6)


def test_a_slice_is_mirrored_where_its_directions_are(model, network, routes):
    reward, members = reward_of(model)
    loss = PenalisedLoss(reward, routes, model.config.planner, Planner(network.turns, model.config.planner))
    first, second = (one.vector for one in along_random(reward, members[0], seed=1))
    steps = [np.linspace(-0.05, 0.05, 5), np.linspace(-0.08, 0.08, 3)]

    def at(point):
        return loss(point)[0]

    plain = losses_on_plane(at, members[0], (first, second), steps)
    assert plain.shape == (3, 5)
    np.testing.assert_allclose(losses_on_plane(at, members[0], (-first, second), steps), plain[:, ::-1], rtol=1e-12)
    np.testing.assert_allclose(losses_on_plane(at, members[0], (first, -second), steps), plain[::-1], rtol=1e-12)
    np.testing.assert_allclose(losses_on_plane(at, members[0], (second, first), steps[::-1]), plain.T, rtol=1e-12)


def test_two_coefficients_in_their_own_units(model, network, routes):
    found = loss_surface(model, routes, along=["travel_time_min", "constant"], grid=9, rise=4.0)
    assert (found.x.label, found.y.label) == ("travel_time_min", "constant")
    assert found.x.learned == pytest.approx(model.coefficient("travel_time_min"))
    assert found.x.at[4] == pytest.approx(found.x.learned)
    features = make_features(network, tuple(TASTE))
    planner, batch = Planner(network.turns, model.config.planner), routes.batch("arrival")
    mark = model.coefficient("mark")
    for row, column in ((0, 0), (4, 2), (3, 6), (8, 8), (8, 4), (5, 8)):
        reward = features.reward(np.array([found.x.at[column], mark, found.y.at[row]]))
        try:
            want = -planner.log_likelihood(reward, batch)[0] / len(routes) if reward.max() < 0 else np.nan
        except TroddenError:
            want = np.nan
        np.testing.assert_allclose(found.loss[row, column], want, rtol=1e-8)
    assert found.is_infeasible[8, 8], "cheap enough that no values exist"
    assert not found.is_infeasible[0, 0]
    swapped = loss_surface(model, routes, along=["constant", "travel_time_min"], grid=9, rise=4.0)
    np.testing.assert_allclose(swapped.loss, found.loss.T, rtol=1e-9)


def test_held_out_routes_have_a_slice_of_their_own(model, network, routes):
    others = simulate(network, 100, taste=TASTE, seed=5, num_destinations=8)
    seen = []
    found = loss_surface(
        model, routes, grid=3, held_out=others, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(done, 18) for done in range(1, 19)]
    own = loss_surface(model, others, kind="curvature", grid=3)
    assert found.held_out[1, 1] == found.learned_held_out == own.learned_loss
    assert found.held_out.shape == (3, 3)


def test_members_stand_at_one(ensemble, network, routes):
    found = loss_surface(ensemble, routes, kind="members", grid=5)
    reward, members = reward_of(ensemble)
    assert found.x.at == (-0.5, -0.25, 0.0, 0.75, 1.5)
    loss = PenalisedLoss(reward, routes, ensemble.config.planner, Planner(network.turns, ensemble.config.planner))
    middle = members.mean(axis=0)
    assert found.learned_loss == pytest.approx(loss(middle)[0])
    assert found.loss[2, 4] == pytest.approx(loss(middle + 1.5 * (members[0] - middle))[0])
    assert found.loss[4, 2] == pytest.approx(loss(middle + 1.5 * (members[1] - middle))[0])
    assert found.loss[2, 2] == found.learned_loss


def test_random_directions_are_as_long_as_each_filter(ensemble):
    pytest.importorskip("equinox")
    from trodden.irl.rewards.building import make_reward

    network = ensemble.network
    routes = simulate(network, 40, taste=TASTE, seed=2, num_destinations=4)
    config_ = config(reward={"corrections": ["edge"], "mlp_width": 4, "mlp_depth": 2}).reward
    reward = make_reward(network, routes, config_)
    mlp = reward.part("mlp")
    assert sum(mlp.filter_sizes) == len(mlp)
    assert mlp.filter_sizes[:5] == (2, 2, 2, 2, 4)
    assert mlp.filter_sizes[-2:] == (4, 1)
    centre = reward.start(1.0) + 0.1 * np.random.default_rng(0).standard_normal(len(reward))
    one, two = along_random(reward, centre, seed=0)
    sizes = [size for part in reward.parts for size in getattr(part, "filter_sizes", (len(part),))]
    for begin, size in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
        for direction in (one, two):
            assert np.linalg.norm(direction.vector[begin : begin + size]) == pytest.approx(
                np.linalg.norm(centre[begin : begin + size])
            )
    again = along_random(reward, centre, seed=0)[0]
    np.testing.assert_array_equal(again.vector, one.vector)
    assert abs(one.vector @ two.vector) < 0.5 * np.linalg.norm(one.vector) * np.linalg.norm(two.vector)


def test_what_cannot_be_drawn_is_refused(model, ensemble, routes):
    for words, options in (
        ("no middle", {"grid": 4}),
        ("rise", {"rise": -1.0}),
        ("'beauty'", {"along": ["beauty", "constant"]}),
        ("two different", {"along": ["constant", "constant"]}),
        ("lie on a line", {"kind": "members"}),
    ):
        with pytest.raises(ConfigurationError, match=words):
            loss_surface(model, routes, **options)
    with pytest.raises(ConfigurationError, match="takes"):
        loss_surface(ensemble, routes, kind="curvature")


def test_the_command_prints_draws_and_writes(model, routes, tmp_path):
    routes.write(tmp_path / "routes.parquet")
    save_model(model, tmp_path / "model")
    command = ["surface", tmp_path / "model", "--routes", tmp_path / "routes.parquet", "--grid", 5, "--rise", 4]
    command += ["--along", "travel_time_min", "constant", "--held-out", tmp_path / "routes.parquet"]
    command += ["--picture", tmp_path / "s.png", "--json", tmp_path / "s.json"]
    done = CliRunner().invoke(app, list(map(str, command)), env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    lines = done.output.split("picture in")[0].splitlines()
    assert max(map(len, lines)) <= 80
    assert "no point of the grid has a lower loss" in done.output
    assert "of the grid has no loss" in done.output
    said = json.loads((tmp_path / "s.json").read_text())
    assert said["loss"][2][2] == pytest.approx(said["learned_loss"])
    assert said["loss"][4][4] is None
    assert len(said["held_out"]) == 5
    assert (tmp_path / "s.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    bad = CliRunner().invoke(app, [*map(str, command[:5]), "4"])
    assert bad.exit_code == 2
