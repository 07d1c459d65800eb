"""Learning per region on Ray: the same as in one process where it must be, and the stated rules where it cannot."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import ray
from process_family import Family
from strategies import make_grid
from trodden.core.config import parse_config
from trodden.core.errors import InfeasibleRewardError, NoDemonstrationsError, ResourceError, TroddenError
from trodden.distributed.coordinator import fit_regions
from trodden.graphs.partition import bisect, sub_network
from trodden.irl.checkpoints import load_model, save_model
from trodden.irl.demonstrations import demonstrations_from_edges
from trodden.irl.features import make_features
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from trodden.routing.router import Router

TASTE = {"travel_time_min": -3.0, "toll": -0.7, "constant": -1.3}
CONFIG = parse_config({"reward": {"features": list(TASTE)}, "baselines": {"budget": 0}}, where="test")


@pytest.fixture(scope="module")
def network():
    """A grid of 9 x 9 junctions whose edges differ in length and in a toll."""
    grid = make_grid(9, 9)
    random = np.random.default_rng(3)
    length = random.uniform(50, 400, grid.graph.num_edges).astype(np.float32)
    toll = (random.random(grid.graph.num_edges) < 0.3).astype(float)
    attributes = dataclasses.replace(grid.attributes, length_m=length, travel_time_s=length / 8.0, extra={"toll": toll})
    return dataclasses.replace(grid, attributes=attributes)


@pytest.fixture(scope="module")
def routes(network):
    return simulate(network, 1200, taste=TASTE, seed=5, num_destinations=60, max_km=0.5)


@pytest.fixture(scope="module")
def merged(four_cpus, network, routes):
    """Four regions, four workers; what the progress callback was told."""
    told = []
    model = fit_regions(network, routes, CONFIG, num_regions=4, progress=lambda *state: told.append(state))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    return model


def values(coefficients):
    return np.array([c.value for c in coefficients])


def inside(network, routes, partition, region):
    """A region's own part of the network and the trips that lie in it, told apart edge by edge."""
    edges = partition.edges(region)
    part = sub_network(network, edges)
    place = {edge: position for position, edge in enumerate(edges.tolist())}
    rows = [routes.route(row).tolist() for row in range(len(routes))]
    mine = [np.array([place[edge] for edge in row], np.int32) for row in rows if all(edge in place for edge in row)]
    return part, demonstrations_from_edges(part, mine, [str(i) for i in range(len(mine))])


def test_one_region_is_the_whole_map(four_cpus, network, routes):
    alone, regional = fit(network, routes, CONFIG), fit_regions(network, routes, CONFIG, num_regions=1)
    np.testing.assert_allclose(values(regional.coefficients), values(alone.coefficients), rtol=1e-9)
    np.testing.assert_allclose(regional.turn_cost, alone.turn_cost, rtol=1e-9)
    np.testing.assert_allclose(regional.entry_cost, alone.entry_cost, rtol=1e-9)
    np.testing.assert_array_equal(regional.training_pairs, alone.training_pairs)
    assert regional.summary["num_crossing"] == 0
    assert regional.summary["log_likelihood"] == pytest.approx(alone.summary["log_likelihood"], rel=1e-12)


def test_each_region_learns_from_its_own_part_alone(network, routes, merged):
    partition = bisect(network, 4)
    features = make_features(network, tuple(TASTE))
    for region in merged.regions:
        part, trips = inside(network, routes, partition, region.region)
        assert (region.num_routes, region.num_edges) == (len(trips), part.graph.num_edges)
        independent = fit(part, trips, CONFIG)
        np.testing.assert_allclose(values(region.coefficients), values(independent.coefficients), rtol=1e-9)
        priced = np.flatnonzero(partition.region[network.turns.to_edge] == region.region)
        own = -features.value[priced] @ values(independent.coefficients)
        is_raised = merged.turn_cost[priced] == CONFIG.reward.minimum_cost
        np.testing.assert_allclose(merged.turn_cost[priced][~is_raised], own[~is_raised], rtol=1e-9)
        assert (own[is_raised] <= CONFIG.reward.minimum_cost).all()
    assert (merged.turn_cost > 0).all()
    assert (merged.entry_cost > 0).all()
    np.testing.assert_array_equal(merged.edge_region, partition.region)


def test_crossing_trips_are_counted(network, routes, merged):
    region = bisect(network, 4).region
    naive = sum(len({int(region[edge]) for edge in routes.route(row)}) > 1 for row in range(len(routes)))
    assert merged.summary["num_crossing"] == naive
    assert naive + sum(one.num_routes for one in merged.regions) == len(routes)
    assert 0 < naive < len(routes)


def test_fewer_workers_than_regions_give_the_same_model(four_cpus, network, routes, merged):
    other = fit_regions(network, routes, CONFIG, num_regions=4, num_workers=1)
    np.testing.assert_array_equal(other.turn_cost, merged.turn_cost)
    assert [one.coefficients for one in other.regions] == [one.coefficients for one in merged.regions]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_killed_worker_is_replaced_and_the_model_is_the_same(four_cpus, network, routes):
    """Sweeps are slow enough to be killed in the middle; only workers of this process's own Ray are."""
    document = {**CONFIG.model_dump(), "planner": {"solver": "sweeps"}}
    few, config = routes.take(np.arange(150)), parse_config(document, where="test")
    undisturbed = fit_regions(network, few, config, num_regions=1, num_workers=1)
    family, killed = Family(os.getpid()), []

    def kill_one() -> None:
        while not killed:
            time.sleep(0.3)
            family.look()
            for pid in family.named("RegionActor.learn"):
                time.sleep(1.0)  # into the training
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    disturbed = fit_regions(network, few, config, num_regions=1, num_workers=1)
    assert len(killed) == 1
    np.testing.assert_array_equal(disturbed.turn_cost, undisturbed.turn_cost)
    assert disturbed.coefficients == undisturbed.coefficients


def test_the_actors_are_gone(four_cpus, merged):
    deadline = time.monotonic() + 10
    while ray.available_resources().get("CPU", 0) < 4:
        assert time.monotonic() < deadline, "an actor still holds its CPU"
        time.sleep(0.1)


def test_the_router_serves_across_borders(network, merged, tmp_path):
    model = load_model(save_model(merged, tmp_path / "merged"))
    router = Router(model)
    ids = network.graph.edge_id
    first, last = int(np.argmin(merged.edge_region)), int(np.argmax(merged.edge_region))
    found = router.route(f"edge:{ids[first]}", f"edge:{ids[last]}")
    assert len({int(merged.edge_region[edge]) for edge in found.edges}) > 1
    turns = network.turns.find(np.array(found.edges[:-1], np.int32), np.array(found.edges[1:], np.int32))
    assert found.cost == pytest.approx(merged.turn_cost[turns].sum(), rel=1e-4)


def test_a_region_without_trips_gets_the_weighted_mean(four_cpus, network, routes):
    partition = bisect(network, 2)
    region = partition.region[routes.edge]
    rows = [row for row in range(len(routes)) if not region[routes.first[row] : routes.first[row + 1]].any()]
    low = routes.take(np.array(rows))
    model = fit_regions(network, low, CONFIG, num_regions=4, num_workers=1)
    empty = [one for one in model.regions if not one.num_routes]
    taught = [one for one in model.regions if one.num_routes]
    assert len(empty) == 2
    assert all("no trips inside" in one.note for one in empty)
    assert all(c.standard_error is None and "weighted" in c.note for one in empty for c in one.coefficients)
    weight = np.array([one.num_routes for one in taught], float)
    mean = weight @ np.array([values(one.coefficients) for one in taught]) / weight.sum()
    for one in empty:
        np.testing.assert_allclose(values(one.coefficients), mean, rtol=1e-12)


def test_no_trip_inside_any_region(network, routes):
    """Found before a Ray is looked for: none is asked for here, and none is at this address."""
    region = bisect(network, 4).region
    rows = [r for r in range(len(routes)) if len(set(region[routes.route(r)].tolist())) > 1]
    with pytest.raises(NoDemonstrationsError, match="cross a border between 4 regions") as caught:
        fit_regions(network, routes.take(np.array(rows)), CONFIG, num_regions=4, address="127.0.0.1:1")
    assert caught.value.__notes__ == ["with fewer regions, fewer trips cross a border"]


def test_more_workers_than_cpus(four_cpus, network, routes):
    started = time.monotonic()
    with pytest.raises(ResourceError, match=r"9 workers.* 4 CPUs"):
        fit_regions(network, routes, CONFIG, num_regions=2, num_workers=9)
    assert time.monotonic() - started < 10


def test_a_typed_error_in_an_actor_names_its_region(four_cpus, network, routes):
    """A start under which no values exist: each region's training refuses it, each with its own cycle."""
    config = CONFIG.model_copy(
        update={"training": CONFIG.training.model_copy(update={"start": {"travel_time_min": 0.5, "constant": 0.5}})}
    )
    with pytest.raises(TroddenError) as here:
        fit(network, routes, config)
    with pytest.raises(TroddenError) as there:
        fit_regions(network, routes, config, num_regions=2, num_workers=1)
    assert type(there.value) is type(here.value) is InfeasibleRewardError
    assert there.value.cycle
    assert there.value.__notes__[-1] in {"in region 0", "in region 1"}
