"""What a run will need: byte for byte against the structures themselves, and as it should move with every size."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
from plan_constants import FOUND
from strategies import make_grid
from trodden.core.errors import ConfigurationError, InputFileError
from trodden.graphs.compression import compress
from trodden.graphs.corridor_search import Corridors, SearchGraph, Workspace, make_search_graph
from trodden.graphs.memory import network_bytes
from trodden.graphs.store import save_network
from trodden.irl import measuring as constants
from trodden.irl.calibration import Curve, read_calibration, write_calibration
from trodden.irl.capacity import plan_run
from trodden.irl.corridors import CorridorSolver
from trodden.irl.factorization import Factorization
from trodden.irl.measuring import calibrate, generated_network
from trodden.irl.planner import LARGEST_FACTORISED

CPUS = os.cpu_count() or 1


LARGE = {"num_edges": 200_000_000, "calibration": FOUND, "machine_bytes": 32 << 30}


def amounts(items):
    return {item.name: item.amount for item in items}


@pytest.fixture(scope="module")
def grid():
    return make_grid(12, 12)


def test_bytes_of_the_search_equal_those_of_the_arrays(grid):
    turns = grid.turns
    graph, workspace = make_search_graph(turns), Workspace(turns.num_edges, 100)
    added = graph.first_in.nbytes + graph.in_turn.nbytes + graph.in_edge.nbytes
    assert SearchGraph.bytes_added(turns.num_edges, turns.num_turns) == added
    held = [one.nbytes for one in vars(workspace).values() if isinstance(one, np.ndarray)]
    assert Workspace.bytes_for(turns.num_edges, 100) == sum(held)


def test_bytes_of_corridors_equal_those_of_the_arrays(grid):
    batch = constants._batch(grid, np.array([0, 5, 9]), np.array([200, 300, 400]))
    found = CorridorSolver(grid.turns, tau=6.0, threads=1).corridors(np.full(grid.turns.num_turns, -1.5), batch)
    assert len(found.state) > 10
    assert Corridors.bytes_for(3, len(found.state), len(found.turn)) == found.num_bytes


def test_the_plan_of_a_network_at_hand_counts_its_arrays(grid, monkeypatch):
    monkeypatch.setattr("trodden.irl.corridor_trips._WORTH_COMPRESSING", 0)
    plan = plan_run(100, network=grid, calibration=FOUND, solver="corridors")
    edges, turns = grid.graph.num_edges, grid.turns.num_turns
    memory = amounts(plan.memory)
    assert memory["network"] == network_bytes(grid).loaded
    graph = make_search_graph(grid.turns)
    assert memory["search graph"] == graph.first_in.nbytes + graph.in_turn.nbytes + graph.in_edge.nbytes
    masks = 3 * np.zeros(turns, bool).nbytes
    assert memory["vectors"] == 4 * np.zeros(turns).nbytes + masks + np.zeros(edges).nbytes
    assert plan.peak_bytes == round(sum(memory.values()))
    assert (plan.num_edges, plan.num_turns) == (edges, turns)


def test_the_compressed_graph_of_a_plan_is_as_large_as_one(grid):
    """Its arrays, those of the search on it, and the threads' workspaces."""
    turns = grid.turns
    made = compress(turns, np.arange(0, turns.num_edges, 7, dtype=np.int32), np.arange(3, 50, dtype=np.int32))
    small = made.turns
    like = dataclasses.replace(
        FOUND,
        small_states=small.num_edges / turns.num_edges,
        small_turns=small.num_turns / turns.num_edges,
        parts_per_turn=len(made.part) / small.num_turns,
    )
    memory = amounts(plan_run(100, network=grid, calibration=like, solver="corridors").memory)
    graph = make_search_graph(small)
    assert memory["search graph"] == graph.first_in.nbytes + graph.in_turn.nbytes + graph.in_edge.nbytes
    assert memory["workspaces"] == Workspace.bytes_for(small.num_edges, 2_000_000)
    held = [small.first_out, small.to_edge, small.is_left, small.is_right, small.is_uturn, small.from_edge]
    held += [made.state, made.first_part, made.part, made.state_of, made.is_dropped]
    held += [np.zeros((2, small.num_turns)), np.zeros(small.num_edges, np.int64)]  # costs and counts; edge ids
    assert memory["compressed graph"] == pytest.approx(sum(one.nbytes for one in held), rel=0.02)


def test_corridors_are_planned_as_they_are_searched():
    """Compressed for many trips, which takes time once and saves some in every pass; as they are for few."""
    many = plan_run(100_000, num_edges=10_000_000, calibration=FOUND)
    few = plan_run(1000, num_edges=10_000_000, calibration=FOUND)
    huge = plan_run(110_000_000, **LARGE)
    assert "compressed graph" in amounts(many.memory)
    assert "compressed graph" not in amounts(few.memory) | amounts(huge.memory)
    assert any("the graph as it is" in text for text in few.assumptions)
    assert few.parallel_seconds == pytest.approx(1000 * FOUND.plain * FOUND.fresh_s(6.0))
    assert many.parallel_seconds == pytest.approx(100_000 * FOUND.fresh_s(6.0))


def test_the_disk_of_a_stored_network_is_as_predicted(tmp_path):
    network = generated_network(40)
    folder = save_network(network, tmp_path / "roads")
    stored = sum(path.stat().st_size for path in folder.glob("*.npy"))
    disk = amounts(plan_run(1, network=network, calibration=FOUND).disk)
    assert disk["network"] == pytest.approx(stored, rel=0.02)
    assert disk["shapes"] == 0


def test_a_network_that_is_not_there_yet_is_as_large_as_one_of_its_kind():
    network = generated_network(60)
    per_turn = {"turns_per_edge": network.turns.num_turns / network.graph.num_edges}
    per_node = {"nodes_per_edge": network.graph.num_nodes / network.graph.num_edges}
    like = dataclasses.replace(FOUND, **per_turn, **per_node)
    there = plan_run(10, network=network, calibration=like)
    absent = plan_run(10, num_edges=network.graph.num_edges, calibration=like)
    assert absent.num_turns == there.num_turns
    # A grid lacks speeds, lanes, classes, signs and the like: up to 33 bytes of attributes per edge.
    gap = amounts(absent.memory)["network"] - amounts(there.memory)["network"]
    assert 0 <= gap <= 33 * network.graph.num_edges
    tenfold = plan_run(10, network=network, num_edges=10 * network.graph.num_edges, calibration=like)
    assert amounts(tenfold.memory)["network"] == pytest.approx(10 * amounts(there.memory)["network"])


def test_the_solver_follows_the_planner():
    small = plan_run(1000, num_edges=LARGEST_FACTORISED, calibration=FOUND)
    large = plan_run(1000, num_edges=LARGEST_FACTORISED + 1, calibration=FOUND)
    assert (small.solver, large.solver) == ("factorization", "corridors")
    assert {"LU", "solves"} <= set(amounts(small.memory))
    assert "300,001" in large.why


def test_bytes_of_an_lu_are_those_of_its_factors(grid):
    factors = Factorization(grid.turns, np.full(grid.turns.num_turns, -2.0))
    entries = factors._lu.L.nnz + factors._lu.U.nnz
    assert factors.num_bytes == pytest.approx(12 * entries + 8 * grid.turns.num_turns, rel=0.1)


@pytest.mark.parametrize("solver", ["factorization", "corridors"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("num_edges", (10_000, 100_000, 1_000_000)),
        ("num_demonstrations", (100, 10_000, 110_000_000)),
        ("trip_km", (1.0, 5.0, 40.0)),
        ("num_features", (1, 16, 64)),
        ("passes", (1, 10, 100)),
    ],
)
def test_nothing_gets_cheaper_as_a_run_grows(solver, name, values):
    plans = [
        plan_run(
            **{"num_demonstrations": 5000, "num_edges": 50_000, "calibration": FOUND, "solver": solver, name: value}
        )
        for value in values
    ]
    for figure in ("peak_bytes", "disk_bytes", "seconds_per_pass", "seconds"):
        found = [getattr(plan, figure) for plan in plans]
        assert found == sorted(found), figure
    assert plans[0].seconds < plans[-1].seconds


def test_more_workers_take_less_time_and_more_memory_of_a_machine():
    one, more = (plan_run(10**6, workers=count, **LARGE) for count in (1, CPUS))
    assert more.seconds_per_pass <= one.seconds_per_pass
    assert amounts(more.memory)["workspaces"] == CPUS * amounts(one.memory)["workspaces"]
    many = plan_run(10**6, workers=10 * CPUS, **LARGE)
    assert many.num_machines == 10
    assert amounts(many.memory)["demonstrations"] == pytest.approx(amounts(one.memory)["demonstrations"] / 10)


@pytest.mark.parametrize("hours", [0.2, 1.0, 24.0, 1000.0])
def test_workers_within_a_time_are_the_least_that_do(hours):
    def seconds(workers):
        plan = plan_run(110_000_000, workers=workers, **LARGE)
        return plan_run(110_000_000, workers=1, **LARGE).seconds_before + plan.passes * plan.seconds_per_pass

    needed = plan_run(110_000_000, **LARGE).workers_within(3600 * hours)
    if needed is None:
        assert seconds(10**9) > 3600 * hours
    else:
        assert seconds(needed) <= 3600 * hours
        assert needed == 1 or seconds(needed - 1) > 3600 * hours


def test_kept_corridors_save_time_for_memory_within_their_budget():
    none, some, all_ = (plan_run(10_000, keep_bytes=budget, **LARGE) for budget in (0, 10**8, 10**12))
    assert none.seconds_per_pass > some.seconds_per_pass > all_.seconds_per_pass
    kept = [amounts(plan.memory)["kept corridors"] for plan in (none, some, all_)]
    assert kept[:2] == [0, 10**8]
    states = 1800 / FOUND.small_states  # on the graph as it is: so many edges are not compressed
    assert kept[2] == pytest.approx(10_000 * (36 + 16 + 36 * states + 8 * 3240))


def test_what_does_not_fit_is_said():
    assert not plan_run(10, num_edges=200_000_000, calibration=FOUND, machine_bytes=8 << 30).fits
    assert plan_run(10, num_edges=200_000, calibration=FOUND, machine_bytes=8 << 30).fits


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"num_demonstrations": 0}, "0 demonstrations; at least 1"),
        ({"num_edges": 0}, "0 edges"),
        ({"num_edges": 2**31}, "counted in 32 bits"),
        ({"workers": 0}, "0 workers"),
        ({"trip_km": float("nan")}, "nan km per trip"),
        ({"trip_km": float("inf")}, "inf km per trip"),
        ({"tau": -1.0}, "-1 tau"),
        ({"states": 0.0}, "0 states per corridor"),
        ({"num_features": 0}, "0 features"),
        ({"keep_bytes": -1}, "-1 bytes"),
        ({"passes": 0}, "0 passes"),
        ({"num_edges": None}, "give a network, a number of edges"),
        ({"tau": 20.0}, "measured at tau 25, not 20"),
    ],
)
def test_bad_sizes_are_refused(wrong, said):
    with pytest.raises(ConfigurationError, match=said):
        plan_run(**{"num_demonstrations": 10, "num_edges": 1000, "calibration": FOUND, **wrong})


def test_constants_survive_their_file_and_others_are_refused(tmp_path):
    write_calibration(tmp_path / "constants.json", FOUND)
    assert read_calibration(tmp_path / "constants.json") == FOUND
    for text in ("", "[]", "{}", '{"tau": {"factor": 1}}', "\x00"):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(InputFileError, match=r"other\.json.*holds no constants"):
            read_calibration(tmp_path / "other.json")


def test_a_curve_goes_through_its_points_and_never_falls():
    curve = Curve.through([1.0, 2.0, 4.0], [3.0, 12.0, 48.0])
    assert curve.exponent == pytest.approx(2.0)
    for x in (0.1, 1.0, 1.5, 4.0, 100.0):
        assert curve(x) == pytest.approx(3.0 * x**2)
    uneven = Curve.through([1.0, 2.0, 4.0], [1.0, 4.0, 3.0])
    assert [uneven(x) for x in (1.0, 2.0, 3.0, 4.0)] == pytest.approx([1.0, 4.0, 4.0, 4.0])
    assert uneven(8.0) > 4.0


def test_a_small_calibration_measures_what_is_there(monkeypatch):
    for name, value in (("_LENGTHS_KM", (1.0, 2.0)), ("_SIDE", 40), ("_LU_SIDES", (10, 20)), ("_TRIPS", 16)):
        monkeypatch.setattr(constants, name, value)
    heard = []
    found = calibrate(tau=12.0, progress=heard.append)
    network = generated_network(40)
    assert len(heard) == 3
    assert found.turns_per_edge == network.turns.num_turns / network.graph.num_edges
    assert found.edges_per_km == pytest.approx(1000 / network.edge_length_m().mean(), rel=0.01)
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        if isinstance(value, Curve):
            assert min(value.y) > 0
        elif isinstance(value, float):
            assert value > 0, field.name
    assert 1 < found.states(2.0) <= network.graph.num_edges
