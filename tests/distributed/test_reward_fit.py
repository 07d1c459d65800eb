"""Rewards of several parts over regions: one process's where regions share all, the same bytes whatever happens."""

from __future__ import annotations

import numpy as np
import pytest
from regional_city import TASTE, make_city
from trodden.core.config import parse_config
from trodden.core.errors import ConfigurationError
from trodden.distributed.coordinator import IN_PROCESS, fit_regions
from trodden.irl.checkpoints import load_model, save_model
from trodden.irl.evaluation import evaluate
from trodden.irl.expert_matrix import expert_matrix
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from trodden.routing.router import Router

SPARSE = {"features": list(TASTE), "corrections": ["edge", "turn"]}


def config(reward=SPARSE, *, training=None, **regions):
    return parse_config(
        {
            "reward": reward,
            "baselines": {"budget": 0},
            "training": {"validation_share": 0.0, **(training or {})},
            **({"regions": {"halo_km": 0.6, **regions}} if regions else {}),
        },
        where="test",
    )


@pytest.fixture(scope="module")
def network():
    return make_city(7, 7)


@pytest.fixture(scope="module")
def routes(network):
    return simulate(network, 120, taste=TASTE, seed=5, num_destinations=20, max_km=0.5)


@pytest.fixture(scope="module")
def whole(network, routes):
    """One process, one likelihood of the whole map."""
    return fit(network, routes, config())


@pytest.fixture(scope="module")
def own(network, routes):
    """Three regions in this process."""
    return fit_regions(network, routes, config(count=3, penalty=10), address=IN_PROCESS)


@pytest.mark.parametrize("crossing", ["exact", "cut"])
def test_one_region_or_one_shared_reward_is_that_of_one_process(network, routes, whole, crossing):
    settings = config(count=3 if crossing == "exact" else 1, penalty="infinity", crossing=crossing)
    found = fit_regions(network, routes, settings, address=IN_PROCESS)
    assert found.summary["is_converged"]
    assert found.summary["log_likelihood"] == pytest.approx(whole.summary["log_likelihood"], rel=1e-5)
    assert found.summary["penalty_per_route"] == pytest.approx(whole.summary["penalty_per_route"], rel=1e-3)
    np.testing.assert_allclose(found.turn_cost, whole.turn_cost, rtol=0.01, atol=0.01)
    assert found.summary["num_parameters"] == whole.summary["num_parameters"]
    assert found.summary["border_error"] < 1e-6


def test_regions_differ_where_they_may_and_the_model_is_stored_and_routes_across(own, whole, network, routes, tmp_path):
    table = [[one.value for one in region.coefficients] for region in own.regions]
    assert np.ptp(np.array(table), axis=0).min() > 0
    assert own.summary["log_likelihood"] > whole.summary["log_likelihood"] - 1.0
    loaded = load_model(save_model(own, tmp_path / "model"))
    np.testing.assert_array_equal(loaded.turn_cost, own.turn_cost)
    assert loaded.parts.keys() == own.parts.keys()
    assert (own.turn_cost > 0).all()
    ids = network.graph.edge_id
    route = Router(loaded).route(f"edge:{ids[0]}", f"edge:{ids[-1]}")
    assert len({int(own.edge_region[edge]) for edge in route.edges}) > 1
    assert "learned" in str(evaluate(loaded, routes))


def test_ray_gives_the_same_bytes(network, routes, own, four_cpus):
    found = fit_regions(network, routes, config(count=3, penalty=10), num_workers=2)
    assert found.turn_cost.tobytes() == own.turn_cost.tobytes()
    assert found.parts["members"].tobytes() == own.parts["members"].tobytes()
    assert found.regions == own.regions


class Stop(Exception):
    """In place of a signal."""


@pytest.mark.parametrize("at", [3, 40])
def test_a_resumed_run_ends_with_the_same_bytes(network, routes, tmp_path, at):
    """Interrupted while a penalty is being chosen, and while all routes are learned from."""
    settings = config(
        count=2,
        penalty="auto",
        validation_share=0.3,
        training={"max_iterations": 8, "validate_every": 3, "patience": 2, "checkpoint_every": 2},
    )
    undisturbed = fit_regions(network, routes, settings, address=IN_PROCESS)
    seen = 0

    def stop(step):
        nonlocal seen
        if step.blocks_done == step.num_blocks:
            seen += 1
        if seen == at:
            raise Stop

    folder = tmp_path / "run"
    with pytest.raises(Stop) as stopped:
        fit_regions(network, routes, settings, address=IN_PROCESS, folder=folder, progress=stop)
    assert "--resume" in stopped.value.__notes__[0]
    resumed = fit_regions(network, routes, settings, address=IN_PROCESS, folder=folder, resume=True)
    assert resumed.turn_cost.tobytes() == undisturbed.turn_cost.tobytes()
    assert resumed.summary["looks"] == undisturbed.summary["looks"]
    losses = undisturbed.summary["held_out_loss_by_penalty"]
    assert list(losses) == ["inf", "1000", "100", "10", "0"]
    best = min(losses, key=losses.get)
    assert undisturbed.summary["penalty"] == ("infinity" if best == "inf" else float(best))


def test_another_run_s_checkpoint_is_refused(network, routes, tmp_path):
    settings = config(count=2, penalty=10, training={"max_iterations": 3, "checkpoint_every": 1})
    fit_regions(network, routes, settings, address=IN_PROCESS, folder=tmp_path)
    other = config(count=2, penalty=20, training={"max_iterations": 3, "checkpoint_every": 1})
    with pytest.raises(ConfigurationError, match="another configuration"):
        fit_regions(network, routes, other, address=IN_PROCESS, folder=tmp_path, resume=True)


def test_regions_share_an_mlp_up_to_deviations_of_low_rank(network, routes):
    pytest.importorskip("equinox")
    reward = {"features": list(TASTE), "linear": False, "mlp_width": 4, "mlp_depth": 1}
    settings = config(reward, count=3, penalty=1, rank=1, training={"max_iterations": 15})
    found = fit_regions(network, routes, settings, address=IN_PROCESS)
    weights = found.parts["members"].reshape(3, -1)
    assert np.linalg.matrix_rank(weights - weights[0], tol=1e-9) == 1
    assert found.regions[0].coefficients == ()
    assert "learned" in str(evaluate(found, routes))


def test_a_region_without_trips_takes_the_mean_of_the_others(network, routes):
    """All trips in the south: the north has nothing to say, and says so."""
    graph = network.graph
    latitude, _ = graph.edge_midpoints()
    south = latitude < np.quantile(latitude, 0.3)
    rows = [row for row, edges in enumerate(np.split(routes.edge, routes.first[1:-1])) if south[edges].all()]
    found = fit_regions(
        network, routes.take(np.array(rows)), config(count=4, penalty=0, halo_km=0.0, balance=0.0), address=IN_PROCESS
    )
    untaught = [region for region in found.regions if region.note]
    assert untaught
    taught = np.array([[c.value for c in region.coefficients] for region in found.regions if not region.note])
    for region in untaught:
        np.testing.assert_allclose([c.value for c in region.coefficients], taught.mean(axis=0))


@pytest.mark.parametrize(
    ("reward", "planner", "said"),
    [
        ({**SPARSE, "members": 2}, {}, "leave members out"),
        (SPARSE, {"solver": "factorization"}, "linear rewards"),
    ],
)
def test_what_regions_cannot_learn_is_said_at_once(reward, planner, said):
    with pytest.raises(ConfigurationError, match=said):
        parse_config({"reward": reward, "planner": planner, "regions": {"count": 2}}, where="test")


def test_rank_is_for_an_mlp():
    with pytest.raises(ConfigurationError, match="rank is for an MLP"):
        config(count=2, rank=1)


def test_experts_are_for_linear_rewards(own, routes):
    with pytest.raises(ConfigurationError, match="linear"):
        expert_matrix(own, routes)
