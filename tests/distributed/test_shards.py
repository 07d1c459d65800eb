"""Shards: what lies on disk is enough; whole trips keep the likelihood of the whole map, cut ones a conditional one."""

from __future__ import annotations

import dataclasses
import gc

import numpy as np
import pytest
from regional_city import TASTE, make_city
from trodden.core.config import PlannerConfig
from trodden.core.errors import StoredFolderError
from trodden.distributed.border import BorderEvaluator
from trodden.distributed.dispatch import InProcess, all_keys
from trodden.distributed.regions import open_shard, read_shards, write_shards
from trodden.distributed.workers import ShardWorker
from trodden.graphs.partition import bisect, edge_load
from trodden.irl.features import make_features
from trodden.irl.pieces import cut_at_borders
from trodden.irl.planner import Planner
from trodden.irl.regional_features import RegionalFeatures
from trodden.irl.simulation import simulate
from trodden.irl.turn_costs import SplitCosts

NAMES = tuple(TASTE)


@pytest.fixture(scope="module")
def network():
    return make_city()


@pytest.fixture(scope="module")
def routes(network):
    return simulate(network, 300, taste=TASTE, seed=5, num_destinations=40, max_km=0.6).for_ending("arrival")


def table_of(num_regions, seed=0):
    random = np.random.default_rng(seed)
    return np.array(list(TASTE.values())) * random.uniform(0.8, 1.3, (num_regions, len(TASTE)))


def written(folder, network, routes, partition, config, *, crossing="exact", halo_m=600.0, is_held_out=None):
    held_out = np.zeros(len(routes), bool) if is_held_out is None else is_held_out
    return write_shards(
        folder, network, routes, partition, NAMES, config, crossing=crossing, halo_m=halo_m, is_held_out=held_out
    )


def summed(shards, table, *, is_held_out=(False,)):
    """Loss, gradient and border visits over all shards, opened from disk alone."""
    loss, gradient, watched = 0.0, np.zeros_like(table), 0.0
    for info in shards.infos:
        shard = open_shard(shards.path(info.region))
        for block in shard.blocks:
            if block.is_held_out in is_held_out:
                answer = shard.evaluate(block, table[list(info.regions)])
                assert not answer.refusal
                loss, watched = loss + answer.loss, watched + answer.watched
                gradient[list(info.regions)] += answer.gradient
    return loss, gradient, watched


@pytest.mark.parametrize("num_regions", [1, 2, 4, 8])
@pytest.mark.parametrize(("horizon", "solver"), [("infinity", "factorization"), (2, "auto")])
def test_whole_trips_have_the_likelihood_of_the_whole_map(tmp_path, network, routes, num_regions, horizon, solver):
    partition = bisect(network, num_regions)
    config = PlannerConfig(solver="corridors", horizon=horizon, threads=1)
    shards = written(tmp_path, network, routes, partition, config, halo_m=900.0)
    table = table_of(num_regions)
    loss, gradient, watched = summed(shards, table)

    regional = RegionalFeatures(make_features(network, NAMES), partition.region, num_regions)
    whole = Planner(network.turns, PlannerConfig(solver=solver, horizon=horizon))
    from trodden.irl.batches import make_batch

    value, slope = whole.linear_log_likelihood(regional, table.ravel(), make_batch(routes, whole.config))
    assert loss == pytest.approx(-value, rel=1e-8)
    np.testing.assert_allclose(gradient, -regional.table(slope), rtol=1e-6, atol=1e-6 * np.abs(slope).max())
    assert watched < 1e-6 * len(routes)
    assert sum(info.num_routes for info in shards.infos) == len(routes)
    if num_regions > 1:
        assert shards.num_crossing > 0


def test_a_worker_gives_back_memory_when_it_goes_to_another_shard(tmp_path, network, routes):
    partition = bisect(network, 2)
    config = PlannerConfig(solver="corridors", threads=1)
    shards = written(tmp_path, network, routes, partition, config, halo_m=900.0)
    one, two = (info.region for info in shards.infos)

    def ask(worker, region):
        (info,) = (found for found in shards.infos if found.region == region)
        answer = worker.call("evaluate", region, 0, table_of(2)[list(info.regions)]).answer
        return answer.loss, answer.gradient.tobytes(), answer.watched

    def costs():
        gc.collect()
        return sum(isinstance(found, SplitCosts) for found in gc.get_objects())

    before = costs()
    worker = ShardWorker(shards.folder)
    alone = [ask(ShardWorker(shards.folder), region) for region in (one, two)]
    for _ in range(2):
        assert ask(worker, one) == alone[0]
        assert ask(worker, one) == alone[0]
        assert costs() == before + 1
        assert ask(worker, two) == alone[1]
        assert costs() == before + 1, "those of the other shard are gone"


@pytest.mark.parametrize("num_regions", [1, 2, 4, 8])
@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_the_whole_maps_model_across_borders(tmp_path, network, num_regions, ending):
    """Schur complements of the borders against one LU of the whole map: value, likelihood and gradient to 1e-9."""
    routes = simulate(network, 200, taste=TASTE, seed=5, num_destinations=40, max_km=0.6, ending=ending)
    routes, partition = routes.for_ending(ending), bisect(network, num_regions)
    config = PlannerConfig(solver="factorization", threads=1, ending=ending)
    is_held_out = np.arange(len(routes)) % 4 == 0
    shards = written(tmp_path, network, routes, partition, config, is_held_out=is_held_out)
    table = table_of(num_regions)
    regional = RegionalFeatures(make_features(network, NAMES), partition.region, num_regions)
    for held_out in (False, True):
        keys = all_keys(shards, is_held_out=(held_out,))
        answers = BorderEvaluator(shards, InProcess(shards)).evaluate(keys, table, lambda done: None)
        gradient = np.zeros_like(table)
        for (region, _), answer in zip(keys, answers, strict=True):
            (info,) = (one for one in shards.infos if one.region == region)
            gradient[list(info.regions)] += answer.gradient
        some = routes.take(np.flatnonzero(is_held_out == held_out))
        whole = Planner(network.turns, config)
        value, slope = whole.linear_log_likelihood(regional, table.ravel(), some.batch(ending))
        assert sum(answer.loss for answer in answers) == pytest.approx(-value, rel=1e-11)
        np.testing.assert_allclose(gradient, -regional.table(slope), rtol=1e-9, atol=1e-10 * np.abs(slope).max())
    assert len(shards.infos) == num_regions, "regions without trips take part too"


def test_a_reward_without_values_is_refused_wherever_its_cycle_runs(tmp_path, network, routes):
    config = PlannerConfig(solver="factorization", threads=1)
    shards = written(tmp_path, network, routes, bisect(network, 4), config)
    evaluator, keys = BorderEvaluator(shards, InProcess(shards)), all_keys(shards)
    answers = evaluator.evaluate(keys, 0.2 * table_of(4), lambda done: None)
    assert {answer.refusal.split(":")[0] for answer in answers} == {"InfeasibleRewardError"}
    assert all(np.isnan(answer.loss) for answer in answers)
    # Between the reward at which regions diverge and the one at which the whole map does, borders alone are to blame.
    refusals = [
        evaluator.evaluate(keys, f * table_of(4), lambda done: None)[0].refusal for f in np.arange(0.3, 0.9, 0.01)
    ]
    assert [r for r in refusals if "several regions" in r], refusals
    assert refusals[-1] == ""
    answers = evaluator.evaluate(keys, 400 * table_of(4), lambda done: None)
    assert answers[0].refusal.startswith("UnderflowError")


def test_the_gradient_is_that_of_differences(tmp_path, network, routes):
    shards = written(tmp_path, network, routes, bisect(network, 3), PlannerConfig(solver="corridors", threads=1))
    table = table_of(3)
    _, gradient, _ = summed(shards, table)
    for region, feature in np.ndindex(*table.shape):
        step = np.zeros_like(table)
        step[region, feature] = 1e-4
        difference = (summed(shards, table + step)[0] - summed(shards, table - step)[0]) / 2e-4
        assert gradient[region, feature] == pytest.approx(difference, rel=1e-4, abs=1e-3)


def test_a_halo_that_is_too_narrow_tells_itself(tmp_path, network, routes):
    config = PlannerConfig(solver="corridors", threads=1)
    table = table_of(4)
    narrow = summed(written(tmp_path / "narrow", network, routes, bisect(network, 4), config, halo_m=0.0), table)
    wide = summed(written(tmp_path / "wide", network, routes, bisect(network, 4), config, halo_m=900.0), table)
    assert abs(narrow[0] - wide[0]) > 1e-3
    assert narrow[2] > abs(narrow[0] - wide[0]) > 100 * wide[2]


def conditional_log_likelihood(network, partition, table, routes):
    """By dense algebra on the whole network's turns: each piece given where it begins and by which edge it leaves."""
    features, turns = make_features(network, NAMES), network.turns
    pieces = cut_at_borders(routes.first, routes.edge, partition.region)
    total = 0.0
    for row in range(len(pieces.route)):
        edges, region = pieces.edge[pieces.first[row] : pieces.first[row + 1]], int(pieces.region[row])
        reward = features.value @ table[region]
        inside = partition.region == region
        matrix = np.zeros((turns.num_edges, turns.num_edges))
        stays = inside[turns.from_edge] & inside[turns.to_edge] & (turns.from_edge != edges[-1])
        matrix[turns.from_edge[stays], turns.to_edge[stays]] = np.exp(reward[stays])
        right = np.zeros(turns.num_edges)
        if pieces.is_exit[row]:
            onto = inside[turns.from_edge] & (turns.to_edge == edges[-1])
            right[turns.from_edge[onto]] = np.exp(reward[onto])
        else:
            right[edges[-1]] = 1.0
        value = np.linalg.solve(np.eye(turns.num_edges) - matrix, right)[edges[0]]
        taken = turns.find(edges[:-1], edges[1:])
        total += routes.weight[pieces.route[row]] * (reward[taken].sum() - np.log(value))
    return total


@pytest.mark.parametrize("solver", ["factorization", "sweeps"])
def test_cut_trips_have_the_conditional_likelihood_of_their_pieces(tmp_path, network, routes, solver):
    partition, few = bisect(network, 3), routes.take(np.arange(40))
    config = PlannerConfig(solver=solver, threads=1)
    shards = written(tmp_path, network, few, partition, config, crossing="cut")
    table = table_of(3)
    loss, _, _ = summed(shards, table)
    assert loss == pytest.approx(-conditional_log_likelihood(network, partition, table, few), rel=1e-9)
    assert all(info.regions == (info.region,) for info in shards.infos)


def test_cut_trips_that_end_by_a_choice_to_stop(tmp_path, network):
    """Only the last piece ends by a choice; those before it end at a crossing. Together they are all routes."""
    config = PlannerConfig(solver="factorization", ending="stop", threads=1)
    routes = simulate(network, 60, taste=TASTE, seed=5, num_destinations=20, max_km=0.6, ending="stop")
    partition = bisect(network, 3)
    shards = written(tmp_path, network, routes, partition, config, crossing="cut")
    kinds = {
        (one.ending, len(one.routes)) for info in shards.infos for one in open_shard(shards.path(info.region)).trip_sets
    }
    assert {ending for ending, _ in kinds} == {"arrival", "stop"}
    loss, gradient, _ = summed(shards, table_of(3))
    step = np.zeros((3, len(TASTE)))
    step[1, 2] = 1e-5
    difference = (summed(shards, table_of(3) + step)[0] - summed(shards, table_of(3) - step)[0]) / 2e-5
    assert gradient[1, 2] == pytest.approx(difference, rel=1e-5)
    assert loss > 0


def test_held_out_routes_are_blocks_of_their_own(tmp_path, network, routes):
    is_held_out = np.random.default_rng(1).random(len(routes)) < 0.3
    config = PlannerConfig(solver="corridors", threads=1)
    shards = written(tmp_path, network, routes, bisect(network, 2), config, is_held_out=is_held_out)
    table = table_of(2)
    weights = {
        kind: sum(b.weight for info in shards.infos for b in info.blocks if b.is_held_out is kind)
        for kind in (True, False)
    }
    assert weights == {True: routes.weight[is_held_out].sum(), False: routes.weight[~is_held_out].sum()}
    rest = written(tmp_path / "rest", network, routes.take(np.flatnonzero(~is_held_out)), bisect(network, 2), config)
    assert summed(shards, table)[0] == pytest.approx(summed(rest, table)[0], rel=1e-9)


def test_shards_are_kept_where_nothing_changed_and_made_anew_where_something_did(tmp_path, network, routes):
    config, partition = PlannerConfig(solver="corridors", threads=1), bisect(network, 2)
    first = written(tmp_path, network, routes, partition, config)
    assert read_shards(tmp_path) == first
    before = (first.path(0) / "manifest.json").stat().st_mtime_ns
    assert written(tmp_path, network, routes, partition, config) == first
    assert (first.path(0) / "manifest.json").stat().st_mtime_ns == before
    changed = written(tmp_path, network, routes, partition, config, halo_m=300.0)
    assert changed.digest != first.digest
    assert (first.path(0) / "manifest.json").stat().st_mtime_ns != before


def test_a_damaged_shard_is_named(tmp_path, network, routes):
    shards = written(tmp_path, network, routes, bisect(network, 2), PlannerConfig(solver="corridors", threads=1))
    file = shards.path(1) / "network" / "turns.to_edge.npy"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.unlink()  # inner files may be hard links
    file.write_bytes(content)
    with pytest.raises(StoredFolderError, match=r"region-1.*turns.to_edge.npy"):
        open_shard(shards.path(1))


def test_regions_balanced_by_demonstrations(network, routes):
    load = edge_load(network.graph.num_edges, routes.edge, share=1.0)
    assert load.sum() == pytest.approx(1)
    partition = bisect(network, 4, load=load)
    by_region = np.bincount(partition.region, load, minlength=4)
    assert by_region.max() / by_region.min() < 1.2
    even = np.bincount(bisect(network, 4).region, load, minlength=4)
    assert by_region.std() < even.std()
    nothing = edge_load(network.graph.num_edges, np.zeros(0, np.int32))
    np.testing.assert_allclose(nothing, 1 / network.graph.num_edges)
    weighed = edge_load(network.graph.num_edges, np.array([3, 3, 5], np.int32), np.array([1.0, 1.0, 2.0]), share=0.5)
    assert weighed[3] == weighed[5] == pytest.approx(0.5 / network.graph.num_edges + 0.25)


def test_a_wide_halo_takes_the_whole_map(tmp_path, network, routes):
    config = PlannerConfig(solver="corridors", threads=1)
    shards = written(tmp_path, network, routes, bisect(network, 2), config, halo_m=1e6)
    assert {info.num_edges for info in shards.infos} == {network.graph.num_edges}
    assert dataclasses.replace(shards.infos[0]) == shards.infos[0]
