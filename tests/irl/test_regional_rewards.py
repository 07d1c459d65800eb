"""Rewards split by region, and how regions share them: against parts evaluated region by region, and differences."""

from __future__ import annotations

import numpy as np
import pytest
from regional_city import TASTE, make_city
from trodden.core.config import PlannerConfig, RewardConfig
from trodden.irl.regional_likelihood import RegionalLikelihood, TripSet
from trodden.irl.rewards.building import make_reward
from trodden.irl.rewards.parts import Corrections
from trodden.irl.rewards.regional import RegionalPart, Sharing, by_region
from trodden.irl.simulation import simulate

pytest.importorskip("equinox")

REGIONS = 3
CONFIG = RewardConfig(features=tuple(TASTE), corrections=("edge", "turn"), mlp_width=4, mlp_depth=1)


@pytest.fixture(scope="module")
def network():
    return make_city(5, 5)


@pytest.fixture(scope="module")
def routes(network):
    return simulate(network, 40, taste=TASTE, seed=2, num_destinations=10, max_km=0.5)


@pytest.fixture(scope="module")
def base(network, routes):
    return make_reward(network, routes, CONFIG)


@pytest.fixture(scope="module")
def region(network):
    return np.random.default_rng(0).integers(0, REGIONS, network.graph.num_edges).astype(np.int32)


@pytest.fixture(scope="module")
def regional(network, base, region):
    return by_region(base, region, network.turns.to_edge, REGIONS)


def drawn(size, seed=0, spread=0.2):
    return np.random.default_rng(seed).normal(0.0, spread, size)


def test_every_turn_is_priced_by_the_region_of_the_edge_it_enters(network, base, region, regional):
    parameters = drawn(len(regional))
    own = regional.split(parameters)
    expected = np.zeros(base.num_turns)
    for part in base.parts:
        if isinstance(part, Corrections):
            expected += part.raw(own[part.name])
            continue
        for number, row in enumerate(own[part.name].reshape(REGIONS, -1)):
            inside = region[network.turns.to_edge] == number
            expected[inside] += part.raw(row)[inside]
    np.testing.assert_allclose(regional.raw(parameters), expected, atol=1e-12)
    some = np.array([7, 3, 3, 40])
    for part, its in regional.with_own(parameters):
        np.testing.assert_allclose(part.raw_at(some, its), part.raw(its)[some], atol=1e-12)


def test_regions_alike_are_the_reward_that_is_not_split(base, regional):
    parameters = drawn(len(base))
    own = base.split(parameters)
    spread = [own[p.name] if isinstance(p, Corrections) else np.tile(own[p.name], REGIONS) for p in base.parts]
    np.testing.assert_allclose(regional.cost(np.concatenate(spread)), base.cost(parameters), atol=1e-12)


def test_pulls_are_the_gradients_of_raw_costs(regional):
    weights, parameters = drawn(regional.num_turns, 1), drawn(len(regional), 2)
    for part, own in regional.with_own(parameters):
        pull, step = part.pull(own, weights), 1e-6
        for at in range(0, len(own), max(len(own) // 15, 1)):
            to = np.zeros(len(own))
            to[at] = step
            rise = (weights @ part.raw(own + to) - weights @ part.raw(own - to)) / (2 * step)
            assert pull[at] == pytest.approx(rise, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(("penalty", "rank"), [(np.inf, 2), (10.0, 0), (10.0, 2), (0.0, 1)])
def test_sharing_folds_gradients_and_penalties_as_differences_say(regional, penalty, rank):
    sharing = Sharing(regional, penalty=penalty, rank=rank, seed=4)
    point, slope = drawn(len(sharing), 5), drawn(len(regional), 6)

    def value(at):
        return slope @ sharing.expand(at) + sharing.penalty(at)[0]

    gradient = sharing.fold(point, slope) + sharing.penalty(point)[1]
    assert len(gradient) == len(point) == sum(sharing.sizes.values())
    step = 1e-6
    for at in range(0, len(point), max(len(point) // 40, 1)):
        to = np.zeros(len(point))
        to[at] = step
        assert gradient[at] == pytest.approx((value(point + to) - value(point - to)) / (2 * step), rel=1e-5, abs=1e-6)


def test_shared_and_free_regions_have_the_numbers_they_should(base, regional):
    sizes = {part.name: len(part) for part in base.parts}
    one = Sharing(regional, penalty=np.inf, rank=2, seed=0).sizes
    own = Sharing(regional, penalty=1.0, rank=2, seed=0).sizes
    assert one == sizes
    assert own["linear"] == REGIONS * sizes["linear"]
    assert own["mlp"] == 3 * sizes["mlp"] + 2 * REGIONS
    assert (own["edge"], own["turn"]) == (sizes["edge"], sizes["turn"])


def test_deviations_of_an_mlp_have_the_rank_asked_for(base, regional):
    sharing = Sharing(regional, penalty=1.0, rank=1, seed=0)
    weights = regional.split(sharing.expand(drawn(len(sharing))))["mlp"].reshape(REGIONS, -1)
    assert np.linalg.matrix_rank(weights - weights[0], tol=1e-9) == 1
    start = regional.split(sharing.expand(sharing.start(1.0)))["mlp"].reshape(REGIONS, -1)
    np.testing.assert_array_equal(start, np.broadcast_to(start[0], start.shape))  # alike until routes say otherwise


def test_split_parts_name_what_they_are_of(regional):
    assert [part.name for part in regional.parts] == ["linear", "mlp", "edge", "turn"]
    assert [isinstance(part, RegionalPart) for part in regional.parts] == [True, True, False, False]


@pytest.mark.parametrize(
    ("horizon", "solver"), [("infinity", "factorization"), ("infinity", "corridors"), (2, "auto"), (2, "corridors")]
)
def test_a_shards_gradient_is_that_of_differences(network, routes, region, regional, horizon, solver):
    planner = PlannerConfig(horizon=horizon, solver=solver, threads=1)
    shard = RegionalLikelihood(
        network, region, REGIONS, tuple(TASTE), (TripSet(routes, "arrival", False),), planner, None, regional
    )
    sharing = Sharing(regional, penalty=1.0, rank=1, seed=0)
    parameters = sharing.expand(sharing.start(2.0) + drawn(len(sharing), 7, 0.05))
    answer = shard.evaluate_reward(shard.blocks[0], parameters)
    assert not answer.refusal
    step = 1e-5
    for at in range(0, len(parameters), max(len(parameters) // 12, 1)):
        to = np.zeros(len(parameters))
        to[at] = step
        up, down = (shard.evaluate_reward(shard.blocks[0], parameters + sign * to).loss for sign in (1, -1))
        assert answer.gradient[at] == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-4)


def test_watched_edges_count_expected_visits(network, routes, region, regional):
    """All edges watched: as many visits as the routes are expected to take turns; none watched: none."""
    planner = PlannerConfig(solver="factorization", threads=1)
    sets = (TripSet(routes, "arrival", False),)
    parameters = regional.start(2.0)
    found = {}
    for watches in (True, False):
        is_watched = np.full(network.graph.num_edges, watches)
        shard = RegionalLikelihood(network, region, REGIONS, tuple(TASTE), sets, planner, is_watched, regional)
        found[watches] = shard.evaluate_reward(shard.blocks[0], parameters).watched
    turns = len(routes.turns()[0])
    assert found[False] == 0.0
    assert 0.5 * turns < found[True] < 2.0 * turns
