"""Routes through files, block by block: the same arrays, digests and shards as from memory."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from regional_city import TASTE, make_city
from trodden.core.config import parse_config
from trodden.core.errors import ConfigurationError, DemonstrationError, NoDemonstrationsError
from trodden.distributed import sorting
from trodden.distributed.coordinator import IN_PROCESS, fit_regions, make_partition
from trodden.distributed.sorting import sorted_trips
from trodden.graphs.partition import bisect
from trodden.irl import spooled_routes
from trodden.irl.demonstrations import read_demonstrations
from trodden.irl.pieces import cut_at_borders
from trodden.irl.simulation import simulate
from trodden.irl.spooled_routes import spool_routes

CONFIG = {"reward": {"features": list(TASTE)}, "baselines": {"budget": 3, "num_routes": 20}}


@pytest.fixture(scope="module")
def network():
    return make_city()


@pytest.fixture(scope="module")
def routes(network):
    made = simulate(network, 120, taste=TASTE, seed=5, num_destinations=30, max_km=0.6)
    weight = np.random.default_rng(1).uniform(0.3, 3.0, len(made))  # sums depend on their order
    return dataclasses.replace(made, weight=weight, traveller=[f"t{k % 7}" for k in range(len(made))])


@pytest.fixture(params=[7, 1 << 15])
def block_size(request, monkeypatch):
    in_blocks_of(request.param, monkeypatch)
    return request.param


def in_blocks_of(rows, monkeypatch):
    monkeypatch.setattr(spooled_routes, "_ROWS", rows)
    blocks = spooled_routes.SpooledRoutes.blocks
    monkeypatch.setattr(spooled_routes.SpooledRoutes, "blocks", lambda self: blocks(self, rows))


def naive(routes, partition, crossing, is_held_out, ending):
    """{(region, is held out, ending): [(edges, weight)]}, route by route."""
    found = {}
    for row in range(len(routes)):
        edge = routes.route(row)
        if crossing == "cut":
            pieces = cut_at_borders(np.array([0, len(edge)]), edge, partition.region)
            parts = [
                (int(region), pieces.edge[a:b], "arrival" if is_exit else ending)
                for region, a, b, is_exit in zip(
                    pieces.region, pieces.first[:-1], pieces.first[1:], pieces.is_exit, strict=True
                )
            ]
        else:
            parts = [(int(partition.region[edge[0]]), edge, ending)]
        for region, own, how in parts:
            found.setdefault((region, bool(is_held_out[row]), how), []).append((own.tolist(), routes.weight[row]))
    return found


@pytest.mark.parametrize("ending", ["arrival", "stop"])
@pytest.mark.parametrize("crossing", ["exact", "cut"])
def test_trips_are_those_of_a_naive_sorting(tmp_path, network, routes, ending, crossing, block_size):
    usable, partition = routes.for_ending(ending), bisect(network, 5)
    is_held_out = np.random.default_rng(2).random(len(usable)) < 0.3
    spooled = spool_routes(routes, network, tmp_path / "routes", ending)
    found = {}
    with sorted_trips(spooled, partition, crossing, is_held_out, tmp_path) as trips:
        for region, sets in trips:
            for one in sets:
                assert (one.first.dtype, one.edge.dtype, one.weight.dtype) == (np.int64, np.int32, np.float64)
                rows = [one.edge[a:b].tolist() for a, b in zip(one.first[:-1], one.first[1:], strict=True)]
                found[region, one.is_held_out, one.ending] = list(zip(rows, one.weight, strict=True))
        assert trips.num_crossing == partition.is_crossing(usable.first, usable.edge).sum()
    assert found == naive(usable, partition, crossing, is_held_out, ending)
    assert [path.name for path in tmp_path.iterdir()] == ["routes"]  # the files are gone


def test_what_is_asked_of_spooled_routes_is_what_memory_says(tmp_path, network, routes, block_size):
    usable = routes.for_ending("arrival")
    spooled = spool_routes(routes, network, tmp_path / "routes", "arrival", keep_travellers=True)
    assert len(spooled) == len(usable)
    assert spooled.digest("arrival") == usable.digest("arrival")
    assert spooled.pair_keys("arrival").tolist() == np.unique(usable.pair_keys("arrival")).tolist()
    assert spooled.skipped_by_reason == usable.skipped_by_reason
    assert spooled.is_simulated
    settings = parse_config({"regions": {"count": 4}}, where="test")
    one, other = (make_partition(network, given, settings).region for given in (spooled, usable))
    assert one.tobytes() == other.tobytes()
    rows = np.array([5, 3, 90])
    assert spooled.take(rows).edge.tolist() == usable.take(rows).edge.tolist()
    assert list(spooled.take(rows).traveller) == list(usable.take(rows).traveller)
    whole = spooled.whole()
    for name in ("first", "edge", "weight"):
        assert getattr(whole, name).tobytes() == getattr(usable, name).tobytes()


@pytest.mark.parametrize(("suffix", "rows"), [("csv", 7), ("parquet", 1 << 15)])
def test_a_file_is_learned_from_as_memory_is(tmp_path, network, routes, suffix, rows, monkeypatch):
    in_blocks_of(rows, monkeypatch)
    path = tmp_path / f"routes.{suffix}"
    routes.write(path)
    read = read_demonstrations(path, network)
    config = parse_config({**CONFIG, "regions": {"count": 3, "penalty": 5}}, where="test")
    spooled = spool_routes(path, network, tmp_path / "routes", "arrival")
    one, other = (fit_regions(network, given, config, address=IN_PROCESS) for given in (spooled, read))
    assert one.turn_cost.tobytes() == other.turn_cost.tobytes()
    assert one.training_pairs.tobytes() == other.training_pairs.tobytes()
    assert one.baseline_costs["fastest_penalised"].tobytes() == other.baseline_costs["fastest_penalised"].tobytes()
    for name in ("num_routes", "total_weight", "skipped", "num_crossing", "log_likelihood", "routes_source"):
        assert one.summary[name] == other.summary[name]


def test_routes_that_the_ending_does_not_allow_are_counted(tmp_path, network, routes):
    edge = int(np.argmax(network.turns.is_uturn[network.turns.first_out[:-1]]))
    ids = network.graph.edge_id
    loop = [edge, int(network.turns.to_edge[network.turns.first_out[edge]])]
    back = network.turns.find(np.array([loop[1]]), np.array([loop[0]]))
    assert back[0] >= 0
    row = " ".join(str(ids[one]) for one in (*loop, *loop, loop[0]))
    (tmp_path / "r.csv").write_text(f"route_id,links\na,{row}\nb,{ids[0]}\nc,{ids[loop[0]]} {ids[loop[1]]}\n")
    spooled = spool_routes(tmp_path / "r.csv", network, tmp_path / "routes", "arrival")
    assert spooled.skipped_by_reason == {"passes_destination": 1, "single_edge": 1}
    assert len(spooled) == 1
    assert len(spool_routes(tmp_path / "r.csv", network, tmp_path / "routes", "stop")) == 2
    with pytest.raises(DemonstrationError, match="route b: single_edge"):
        spool_routes(tmp_path / "r.csv", network, tmp_path / "routes", "stop", strict=True)
    (tmp_path / "r.csv").write_text(f"route_id,links\na,{row}\nb,{ids[0]}\n")
    with pytest.raises(NoDemonstrationsError, match="none of 2 routes"):
        spool_routes(tmp_path / "r.csv", network, tmp_path / "routes", "arrival")


def test_routes_for_another_ending_are_refused(tmp_path, network, routes):
    spooled = spool_routes(routes, network, tmp_path / "routes", "stop")
    with pytest.raises(ConfigurationError, match=r"prepared for 'stop'"):
        fit_regions(network, spooled, parse_config(CONFIG, where="test"), num_regions=2, address=IN_PROCESS)


def test_sorting_holds_no_more_than_a_block(monkeypatch, tmp_path, network, routes):
    spooled = spool_routes(routes, network, tmp_path / "routes", "arrival")
    blocks, seen = spooled_routes.SpooledRoutes.blocks, []
    monkeypatch.setattr(spooled_routes.SpooledRoutes, "blocks", lambda self: blocks(self, 10))
    sort = sorting._sort
    monkeypatch.setattr(
        sorting, "_sort", lambda result, block, *more: (seen.append(len(block)), sort(result, block, *more))
    )
    with sorted_trips(spooled, bisect(network, 3), "exact", np.zeros(len(routes), bool), tmp_path):
        assert max(seen) == 10
