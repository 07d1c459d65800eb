"""Learning per region: the same as in one process where it must be, and the stated rules where it cannot."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import ray
from process_family import Family
from regional_city import TASTE, make_city
from trodden.core import folders
from trodden.core.config import parse_config
from trodden.core.errors import ConfigurationError, ResourceError, StoredFolderError
from trodden.distributed import dispatch
from trodden.distributed.coordinator import IN_PROCESS, fit_regions
from trodden.distributed.merging import NOTES
from trodden.distributed.objective import RegionalObjective
from trodden.graphs.partition import bisect
from trodden.irl.checkpoints import CHECKPOINT_VERSION, load_model, save_model
from trodden.irl.features import make_features
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from trodden.routing.router import Router

DOCUMENT = {"reward": {"features": list(TASTE)}, "baselines": {"budget": 0}}


def config(**regions):
    return parse_config({**DOCUMENT, "regions": {"halo_km": 0.6, **regions}}, where="test")


@pytest.fixture(scope="module")
def network():
    return make_city()


@pytest.fixture(scope="module")
def routes(network):
    return simulate(network, 240, taste=TASTE, seed=5, num_destinations=40, max_km=0.5)


@pytest.fixture(scope="module")
def alone(network, routes):
    """Four regions in this process."""
    return fit_regions(network, routes, config(count=4, penalty=10), address=IN_PROCESS)


def values(coefficients):
    return np.array([c.value for c in coefficients])


def assert_same_to_the_byte(one, other):
    assert one.turn_cost.tobytes() == other.turn_cost.tobytes()
    assert one.entry_cost.tobytes() == other.entry_cost.tobytes()
    assert one.regions == other.regions
    assert one.coefficients == other.coefficients


@pytest.mark.parametrize("solver", ["corridors", "factorization"])
@pytest.mark.parametrize("count", [1, 4])
def test_one_shared_reward_is_that_of_one_process(network, routes, count, solver):
    """Against one LU of the whole map, regions and all: estimates and standard errors."""
    whole = fit(network, routes, parse_config(DOCUMENT, where="test"))
    settings = config(count=count, penalty="infinity")
    settings = settings.model_copy(update={"planner": settings.planner.model_copy(update={"solver": solver})})
    regional = fit_regions(network, routes, settings, address=IN_PROCESS)
    np.testing.assert_allclose(values(regional.coefficients), values(whole.coefficients), rtol=1e-6)
    np.testing.assert_allclose(regional.turn_cost, whole.turn_cost, rtol=1e-6)
    np.testing.assert_allclose(regional.entry_cost, whole.entry_cost, rtol=1e-6)
    for one, other in zip(regional.coefficients, whole.coefficients, strict=True):
        assert one.standard_error == pytest.approx(other.standard_error, rel=1e-3)
    assert regional.summary["log_likelihood"] == pytest.approx(whole.summary["log_likelihood"], rel=1e-8)
    assert regional.summary["is_converged"]
    assert regional.summary["border_error"] < 1e-6
    assert (regional.summary["num_crossing"] > 0) is (count > 1)
    np.testing.assert_array_equal(regional.training_pairs, whole.training_pairs)


def test_any_number_of_workers_gives_the_same_bytes(four_cpus, network, routes, alone):
    for workers in (1, 2, 4):
        told = []
        model = fit_regions(network, routes, config(count=4, penalty=10), num_workers=workers, progress=told.append)
        assert_same_to_the_byte(model, alone)
        assert model.summary["workers"]["num_workers"] == workers
        assert told[-1].num_evaluations == model.summary["regional_evaluations"]
        assert {one.stage for one in told} == {"one reward for all", "penalty 10"}
        assert all(0 <= one.blocks_done <= one.num_blocks for one in told)


def test_the_ends_of_the_penalty_are_independence_and_unity(network, routes):
    few = routes
    tables = {}
    for penalty in (0, 100, "infinity"):
        model = fit_regions(network, few, config(count=2, penalty=penalty, crossing="cut"), address=IN_PROCESS)
        tables[penalty] = np.array([values(region.coefficients) for region in model.regions])
    spread = {penalty: np.abs(table[0] - table[1]).max() for penalty, table in tables.items()}
    assert spread["infinity"] == 0 < spread[100] < spread[0]
    # An independent expert knows nothing of the other region's routes.
    low = bisect(network, 2).region[few.origin] == 0
    partition = fit_regions(network, few, config(count=2, penalty=0, crossing="cut"), address=IN_PROCESS).edge_region
    inside = np.array([(partition[few.route(row)] == partition[few.origin[row]]).all() for row in range(len(few))])
    mine = few.take(np.flatnonzero(inside & low))
    assert 0 < len(mine) < len(few)


def test_the_penalty_is_chosen_on_routes_held_out_for_it(network, routes):
    model = fit_regions(network, routes, config(count=2), address=IN_PROCESS)
    losses = model.summary["held_out_loss_by_penalty"]
    assert list(losses) == ["inf", "10000", "1000", "100", "10", "0"]
    best = min(losses, key=losses.get)
    assert model.summary["penalty"] == ("infinity" if best == "inf" else float(best))
    # In the end all routes were learned from.
    again = fit_regions(network, routes, config(count=2, penalty=model.summary["penalty"]), address=IN_PROCESS)
    np.testing.assert_allclose(again.turn_cost, model.turn_cost, rtol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_killed_workers_are_replaced_and_the_bytes_are_the_same(four_cpus, network, routes, alone):
    """Up to four times, in every ninth evaluation or so, a worker of this process's own Ray is killed at its work."""
    family, killed, seen = Family(os.getpid()), [], set()

    def kill_one(step):
        if step.num_evaluations // 9 in seen or len(killed) == 4:
            return
        family.look()
        for pid in family.named("WorkerActor.call")[:1]:
            seen.add(step.num_evaluations // 9)
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    model = fit_regions(network, routes, config(count=4, penalty=10), num_workers=2, progress=kill_one)
    assert len(killed) >= 3
    assert model.summary["workers"]["num_deaths"] == len(killed)
    assert_same_to_the_byte(model, alone)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_workers_that_keep_dying_end_the_run_with_the_way_to_go_on(four_cpus, network, routes, tmp_path):
    family, over = Family(os.getpid()), threading.Event()

    def kill_all() -> None:
        while not over.wait(0.2):
            family.look()
            for pid in family.named("WorkerActor"):
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_all, daemon=True)
    killer.start()
    try:
        with pytest.raises(ResourceError, match=r"none that lives.*--resume"):
            fit_regions(network, routes, config(count=4, penalty=10), num_workers=1, folder=tmp_path)
    finally:
        over.set()
        killer.join()


@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_the_whole_maps_model_on_workers(four_cpus, network, ending):
    """Schur complements in three rounds: the same bytes for any workers, and what corridors find."""
    routes = simulate(network, 240, taste=TASTE, seed=5, num_destinations=40, max_km=0.5, ending=ending)
    models = {}
    for solver, workers in (("factorization", 0), ("factorization", 2), ("corridors", 0)):
        document = {**config(count=4, penalty=10).model_dump(), "planner": {"solver": solver, "ending": ending}}
        address = "local" if workers else IN_PROCESS
        settings = parse_config(document, where="test")
        models[solver, workers] = fit_regions(network, routes, settings, num_workers=workers or None, address=address)
    assert_same_to_the_byte(models["factorization", 0], models["factorization", 2])
    exact, near = models["factorization", 0], models["corridors", 0]
    np.testing.assert_allclose(exact.turn_cost, near.turn_cost, rtol=1e-5)
    assert exact.summary["log_likelihood"] == pytest.approx(near.summary["log_likelihood"], rel=1e-8)


class StopError(Exception):
    """What stands for a driver's death at a moment of our choosing."""


def test_a_stopped_run_goes_on_to_the_same_bytes(network, routes, alone, tmp_path):
    """Wherever it stops: an evaluation, a step, a stage; and again after each resumption."""
    settings, stops = config(count=4, penalty=10), [3, 7, 20]
    settings = settings.model_copy(update={"training": settings.training.model_copy(update={"checkpoint_every": 1})})
    for number, stop in enumerate(stops):

        def stop_there(step, stop=stop):
            if step.num_evaluations > stop:
                raise StopError

        with pytest.raises(StopError):
            fit_regions(
                network, routes, settings, address=IN_PROCESS, folder=tmp_path, resume=number > 0, progress=stop_there
            )
    computed = []
    model = fit_regions(
        network,
        routes,
        settings,
        address=IN_PROCESS,
        folder=tmp_path,
        resume=True,
        progress=lambda step: computed.append(step.num_evaluations),
    )
    assert min(computed) > stops[-1], "what was evaluated before is not evaluated again"
    assert_same_to_the_byte(model, alone)


def test_a_full_disk_leaves_the_last_checkpoint_whole(network, routes, alone, tmp_path, monkeypatch):
    """The N-th file that is written fails: the run ends with a typed error, and goes on where its checkpoint stands."""
    settings = config(count=4, penalty=10)
    settings = settings.model_copy(update={"training": settings.training.model_copy(update={"checkpoint_every": 1})})
    real, writes = folders._write_array, []

    def write(path, array):
        writes.append(path)
        if len(writes) > 150:
            raise OSError(28, "No space left on device")
        real(path, array)

    monkeypatch.setattr(folders, "_write_array", write)
    with pytest.raises(StoredFolderError, match="No space left"):
        fit_regions(network, routes, settings, address=IN_PROCESS, folder=tmp_path)
    monkeypatch.undo()
    stored = folders.read_folder(tmp_path / "checkpoint", kind="checkpoint", version=CHECKPOINT_VERSION)
    assert stored.document["iteration"] > 1
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    resumed = fit_regions(network, routes, settings, address=IN_PROCESS, folder=tmp_path, resume=True)
    assert_same_to_the_byte(resumed, alone)


def test_resuming_another_run_is_refused(network, routes, tmp_path):
    with pytest.raises(StoredFolderError, match="no checkpoint to resume from"):
        fit_regions(network, routes, config(count=2, penalty=0), address=IN_PROCESS, folder=tmp_path, resume=True)

    def stop(step):
        if step.num_evaluations > 6:
            raise StopError

    with pytest.raises(StopError):
        fit_regions(network, routes, config(count=2, penalty=0), address=IN_PROCESS, folder=tmp_path, progress=stop)
    with pytest.raises(ConfigurationError, match="another configuration"):
        fit_regions(network, routes, config(count=2, penalty=5), address=IN_PROCESS, folder=tmp_path, resume=True)


def test_the_actors_are_gone(four_cpus, network, routes):
    fit_regions(network, routes.take(np.arange(50)), config(count=1), num_workers=1)
    deadline = time.monotonic() + 10
    while ray.available_resources().get("CPU", 0) < 4:
        assert time.monotonic() < deadline, "an actor still holds its CPU"
        time.sleep(0.1)


def test_the_router_serves_across_borders(network, alone, tmp_path):
    model = load_model(save_model(alone, tmp_path / "merged"))
    router = Router(model)
    ids = network.graph.edge_id
    first, last = int(np.argmin(alone.edge_region)), int(np.argmax(alone.edge_region))
    found = router.route(f"edge:{ids[first]}", f"edge:{ids[last]}")
    assert len({int(alone.edge_region[edge]) for edge in found.edges}) > 1
    turns = network.turns.find(np.array(found.edges[:-1], np.int32), np.array(found.edges[1:], np.int32))
    assert found.cost == pytest.approx(alone.turn_cost[turns].sum(), rel=1e-4)


def test_each_edge_is_priced_by_its_own_region(network, alone):
    features = make_features(network, tuple(TASTE))
    for region in alone.regions:
        priced = np.flatnonzero(alone.edge_region[network.turns.to_edge] == region.region)
        own = -features.value[priced] @ values(region.coefficients)
        np.testing.assert_allclose(alone.turn_cost[priced], np.maximum(own, 1e-6), rtol=1e-12)


def test_a_region_without_trips_takes_what_the_others_have_in_common(network, routes):
    region = bisect(network, 2).region
    low = np.array([not region[routes.route(row)].any() for row in range(len(routes))])
    some = routes.take(np.flatnonzero(low))
    settings = config(count=4, crossing="cut", balance=0.0, penalty=10)
    model = fit_regions(network, some, settings, address=IN_PROCESS)
    empty = [one for one in model.regions if not one.num_routes]
    taught = [one for one in model.regions if one.num_routes]
    assert 0 < len(empty) < 3
    assert all(one.note == NOTES["untaught"] for one in empty)
    assert all(c.standard_error is None for one in empty for c in one.coefficients)
    mean = np.mean([values(one.coefficients) for one in taught], axis=0)
    for one in empty:
        np.testing.assert_allclose(values(one.coefficients), mean, rtol=1e-4)


def test_more_workers_than_cpus(four_cpus, network, routes):
    started = time.monotonic()
    with pytest.raises(ResourceError, match=r"9 workers.* 4 CPUs"):
        fit_regions(network, routes, config(count=2), num_workers=9)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_penalty_is_chosen_with_hardly_any_routes(network, routes, count):
    model = fit_regions(network, routes.take(np.arange(count)), config(count=2), address=IN_PROCESS)
    assert (model.turn_cost > 0).all()
    assert bool(model.summary["held_out_loss_by_penalty"]) is (count > 1)


def test_settings_that_regions_cannot_be_trained_with():
    for more, said in (
        ({"planner": {"horizon": 0}}, "horizon 0 does not have"),
        ({"planner": {"solver": "sweeps"}}, "not by sweeps"),
        ({"planner": {"solver": "factorization", "horizon": 2}}, "horizon infinity"),
        ({"planner": {"horizon": 2}, "regions": {"count": 2, "crossing": "cut"}}, "horizon infinity"),
        ({"training": {"method": "newton"}}, "method is for a training without regions"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            parse_config({"regions": {"count": 2}, **more}, where="test")


def test_one_region_takes_what_one_region_can_be_trained_with(network, routes):
    """Sweeps and finite horizons on the whole map too; but horizon 0 and a method of one's own are refused."""
    whole = fit(network, routes, parse_config({**DOCUMENT, "planner": {"horizon": 2}}, where="test"))
    one = fit_regions(
        network, routes, parse_config({**DOCUMENT, "planner": {"horizon": 2}}, where="test"), address=IN_PROCESS
    )
    assert one.summary["log_likelihood"] == pytest.approx(whole.summary["log_likelihood"], rel=1e-6)
    for document in ({"planner": {"horizon": 0}}, {"training": {"method": "l-bfgs"}}):
        with pytest.raises(ConfigurationError):
            fit_regions(network, routes, parse_config({**DOCUMENT, **document}, where="test"), address=IN_PROCESS)


def test_a_start_without_values_is_an_error_that_says_why(network, routes):
    settings = config(count=2, penalty=0)
    training = settings.training.model_copy(update={"start": {"travel_time_min": 0.5, "constant": 0.5}})
    with pytest.raises(ConfigurationError, match="has no values in every region"):
        fit_regions(network, routes, settings.model_copy(update={"training": training}), address=IN_PROCESS)


def test_sums_are_taken_in_the_order_of_the_blocks(network, routes, tmp_path):
    """Workers that answer in reverse give the same bytes."""
    seen = []

    class Reversed(dispatch.InProcess):
        def call(self, method, arguments, progress):
            seen.append(len(arguments))
            return super().call(method, dict(reversed(list(arguments.items()))), progress)

    from trodden.distributed.coordinator import _shards  # the objective below is of these

    settings = config(count=4, penalty=10)
    features = make_features(network, tuple(TASTE))
    partition = bisect(network, 4)
    usable = routes.for_ending("arrival")
    shards = _shards(tmp_path, network, usable, partition, features, settings, np.zeros(len(usable), bool), None)
    found = []
    for evaluator in (dispatch.InProcess(shards), Reversed(shards)):
        objective = RegionalObjective(
            shards,
            evaluator,
            np.ones(3),
            settings,
            names=features.names,
            network_checksum=network.checksum,
            run="",
            checkpoint=None,
        )
        loss, gradient = objective.evaluate("learned", np.tile(list(TASTE.values()), (4, 1)))
        found.append((loss, gradient.tobytes()))
    assert found[0] == found[1]
    assert seen
