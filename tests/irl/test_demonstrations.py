"""Demonstrations: every reason not to use a route, splits, grouping for the solvers, and the way to a file and back."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from functools import partial

import irl_oracles as naive
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import make_grid, make_network
from trodden.core.errors import DemonstrationError, NoDemonstrationsError, WrongNetworkError
from trodden.irl.demonstrations import (
    STATUSES,
    Demonstrations,
    demonstrations_from_edges,
    read_demonstrations,
    require_network,
)
from trodden.irl.route_files import read_route_blocks

# 0 -> 1 <-> 2 -> 3 <-> 4, 3 -> 0; edge ids in this order from 1000; turning back is not permitted.
TAIL, HEAD = [0, 1, 2, 2, 3, 3, 4], [1, 2, 1, 3, 0, 4, 3]
GOOD = "1000 1001 1003"


@pytest.fixture(scope="module")
def network():
    return make_network(TAIL, HEAD, uturns=False)


def write_csv(folder, *rows, header="route_id,links,weight"):
    path = folder / "routes.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


ROWS = {
    "ok": (GOOD, "1"),
    "unknown_edge": ("1000 7 1001 8", "1"),
    "broken": ("1000 1005", "1"),
    "banned_turn": ("1000 1001 1002", "1"),
    "single_edge": ("1003", "1"),
    "empty": ("", "1"),
    "bad_weight": (GOOD, "-2"),
    "passes_destination": ("1000 1001 1003 1004 1000", "1"),
    "wrong_direction": ("1000 1002", "1"),
}


def mixed_file(folder):
    return write_csv(folder, *(f"{name},{links},{weight}" for name, (links, weight) in ROWS.items()))


def test_every_status_is_reached_and_names_what_it_found(network, tmp_path):
    routes = read_demonstrations(mixed_file(tmp_path), network)
    assert routes.route_id == ("ok", "passes_destination")
    assert {s.route_id: s.status for s in routes.skipped} == {n: n for n in ROWS if n not in routes.route_id}
    details = {s.status: s.detail for s in routes.skipped}
    assert details == {
        "unknown_edge": "edge 7",
        "broken": "from edge 1000 to edge 1005",
        "wrong_direction": "from edge 1000 to edge 1002",
        "banned_turn": "from edge 1001 to edge 1002",
        "single_edge": "one edge",
        "empty": "the row is blank",
        "bad_weight": "weight -2.0",
    }
    arriving = routes.for_ending("arrival")
    assert arriving.route_id == ("ok",)
    assert [(s.route_id, s.status, s.detail) for s in arriving.skipped[-1:]] == [
        ("passes_destination", "passes_destination", "edge 1000 comes 2 times")
    ]
    assert routes.for_ending("stop").route_id == ("ok", "passes_destination")
    nodes = write_csv(tmp_path, "a,10 11 12", "b,10 14", header="route_id,nodes")
    by_nodes = read_demonstrations(nodes, network)
    assert [(s.route_id, s.status, s.detail) for s in by_nodes.skipped] == [
        ("b", "unknown_node", "from node 10 to node 14")
    ]
    assert set(STATUSES) == {s.status for s in (*arriving.skipped, *by_nodes.skipped)}


def test_skipped_routes_are_counted_most_frequent_first(network, tmp_path):
    path = write_csv(tmp_path, f"a,{GOOD},1", "b,1003,1", "c,1000 9,1", "d,1004,1", "e,5,1", "f,1005,1")
    counts = read_demonstrations(path, network).skipped_by_reason
    assert list(counts.items()) == [("single_edge", 3), ("unknown_edge", 2)]


@pytest.mark.parametrize(
    ("links", "where"),
    [
        ("1000 1002", "from edge 1000 to edge 1002"),  # the second edge against its direction
        ("1004 1005", "from edge 1004 to edge 1005"),  # the first one
        ("1003 1001", "from edge 1003 to edge 1001"),  # both
    ],
)
def test_an_edge_against_its_direction_is_not_called_broken(network, tmp_path, links, where):
    path = write_csv(tmp_path, f"good,{GOOD},1", f"bad,{links},1")
    (skipped,) = read_demonstrations(path, network).skipped
    assert (skipped.status, skipped.detail) == ("wrong_direction", where)


def test_the_first_fault_of_a_route_is_the_one_named(network, tmp_path):
    rows = [f"good,{GOOD},1", "two,1000 8 9,1", "moves,1000 1005 1001 1002,1"]
    details = [s.detail for s in read_demonstrations(write_csv(tmp_path, *rows), network).skipped]
    assert details == ["edge 8", "from edge 1000 to edge 1005"]


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "-inf"])
def test_weights_must_be_positive_numbers(network, tmp_path, weight):
    path = write_csv(tmp_path, f"good,{GOOD},2.5", f"bad,{GOOD},{weight}", f"blank,{GOOD},")
    routes = read_demonstrations(path, network)
    assert [s.status for s in routes.skipped] == ["bad_weight"]
    assert routes.weight.tolist() == [2.5, 1.0]


def test_strict_names_the_route(network, tmp_path):
    with pytest.raises(DemonstrationError, match=r"route unknown_edge: unknown_edge \(edge 7\)") as caught:
        read_demonstrations(mixed_file(tmp_path), network, strict=True)
    assert (caught.value.route, caught.value.status) == ("unknown_edge", "unknown_edge")
    assert str(copy.copy(caught.value)) == str(caught.value)
    assert len(read_demonstrations(write_csv(tmp_path, f"a,{GOOD},1"), network, strict=True)) == 1


def test_no_usable_route_names_the_three_main_causes(network, tmp_path):
    rows = ["a,7,1", "b,8,1", "c,9,1", "d,1000,1", "e,1000,1", "f,1000 1005,1", "g,1000 1005,1", "h,,1"]
    with pytest.raises(NoDemonstrationsError) as caught:
        read_demonstrations(write_csv(tmp_path, *rows), network)
    assert caught.value.num_routes == 8
    text = str(caught.value)
    assert "3 unknown_edge, 2 single_edge, 2 broken" in text
    assert "empty" not in text
    with pytest.raises(NoDemonstrationsError, match="the file is empty"):
        read_demonstrations(write_csv(tmp_path), network)


def test_no_route_possible_on_arrival_is_an_error(network):
    loop = demonstrations_from_edges(network, [np.array([0, 1, 3, 4, 0], np.int32)], ["loop"])
    assert len(loop.for_ending("stop")) == 1
    with pytest.raises(NoDemonstrationsError, match="1 passes_destination"):
        loop.for_ending("arrival")


def test_ids_are_source_ids_not_positions(network, tmp_path):
    with pytest.raises(NoDemonstrationsError, match="unknown_edge"):
        read_demonstrations(write_csv(tmp_path, "a,0 1 3,1"), network)
    routes = read_demonstrations(write_csv(tmp_path, f"a,{GOOD},1"), network)
    assert routes.route(0).tolist() == [0, 1, 3]
    routes.write(tmp_path / "back.csv")
    assert GOOD in (tmp_path / "back.csv").read_text()


def test_routes_of_another_network_are_refused(network):
    routes = demonstrations_from_edges(network, [np.array([0, 1], np.int32)], ["a"])
    require_network(routes, network.checksum, "the routes")
    with pytest.raises(WrongNetworkError, match="the routes was made for the network ffff"):
        require_network(routes, "f" * 64, "the routes")


# ------------------------------------------------------------------------------------------------ splits


def grid_routes(seed=0, count=60):
    grid = make_grid(3, 4)
    random = np.random.default_rng(seed)
    walks = [naive.random_walk(grid.turns, random, int(random.integers(2, 7))) for _ in range(count)]
    rows = [np.array(walk, np.int32) for walk in walks]
    names = [f"r{row}" for row in range(count)]
    return demonstrations_from_edges(grid, rows, names, weight=random.uniform(0.5, 3.0, count))


@pytest.mark.parametrize("split", [Demonstrations.split_by_route, Demonstrations.split_by_pair])
@pytest.mark.parametrize("fraction", [0.01, 0.3, 1.0])
def test_splits_are_disjoint_complete_and_reproducible(split, fraction):
    routes = grid_routes()
    rest, held_out = split(routes, fraction, seed=5)
    assert len(rest) >= 1
    assert len(held_out) >= 1
    assert sorted([*rest.route_id, *held_out.route_id]) == sorted(routes.route_id)
    row_of = {name: row for row, name in enumerate(routes.route_id)}
    for part in (rest, held_out):
        for row, name in enumerate(part.route_id):
            assert part.route(row).tolist() == routes.route(row_of[name]).tolist()
            assert part.weight[row] == routes.weight[row_of[name]]
    again = split(routes, fraction, seed=5)
    assert (rest.route_id, held_out.route_id) == (again[0].route_id, again[1].route_id)
    if fraction == 0.3:
        assert split(routes, fraction, seed=6)[1].route_id != held_out.route_id


def test_a_split_by_route_holds_out_the_share_asked_for():
    rest, held_out = grid_routes().split_by_route(0.25)
    assert (len(rest), len(held_out)) == (45, 15)


@pytest.mark.parametrize("ending", ["arrival", "stop"])
@pytest.mark.parametrize("seed", range(5))
def test_no_held_out_pair_was_seen(ending, seed):
    rest, held_out = grid_routes(count=200).split_by_pair(0.3, seed=seed)

    def pairs(part):
        rows = [part.route(row) for row in range(len(part))]
        return {(int(row[0]), naive.destination_of(part.network, row, ending)) for row in rows}

    assert not pairs(rest) & pairs(held_out)


# ------------------------------------------------------------------------------------------------ grouping


@pytest.mark.parametrize("ending", ["arrival", "stop"])
@settings(deadline=None, max_examples=40)
@given(naive.networks_with_walks(), st.integers(0, 2**32 - 1))
def test_a_batch_equals_naive_counts(ending, case, seed):
    network, walks = case
    weights = np.random.default_rng(seed).uniform(0.1, 4.0, len(walks))
    routes = naive.as_demonstrations(network, walks, weight=weights)
    try:
        routes = routes.for_ending(ending)
    except NoDemonstrationsError:
        return
    if not len(routes):
        return
    rows = [routes.route(row).tolist() for row in range(len(routes))]
    batch = routes.batch(ending)
    counts = naive.turn_counts(rows, routes.weight)
    turns = network.turns
    want = [counts[int(turns.from_edge[t]), int(turns.to_edge[t])] for t in range(turns.num_turns)]
    np.testing.assert_allclose(batch.observed, want)
    pairs: Counter[tuple[int, int]] = Counter()
    for row, weight in zip(rows, routes.weight, strict=True):
        pairs[row[0], naive.destination_of(network, row, ending)] += weight
    destinations = batch.destinations
    keys = destinations.key[batch.column].tolist()
    found = dict(zip(zip(batch.origin.tolist(), keys, strict=True), batch.weight.tolist(), strict=True))
    assert len(found) == len(keys)
    assert found.keys() == pairs.keys()
    assert found == pytest.approx(dict(pairs))
    assert len(set(destinations.key.tolist())) == len(destinations)
    for index, key in enumerate(destinations.key.tolist()):
        assert sorted(destinations.goals(index).tolist()) == naive.goals_of(network, key, ending)
    numbers = routes.pair_keys(ending)
    trips = [(row[0], naive.destination_of(network, row, ending)) for row in rows]
    same = [[one == two for two in trips] for one in trips]
    np.testing.assert_array_equal(numbers[:, None] == numbers[None, :], same)


def test_pair_keys_compare_across_sets_of_one_network():
    routes = grid_routes()
    rest, held_out = routes.split_by_route(0.5)
    for ending in ("arrival", "stop"):
        key_of = dict(zip(routes.route_id, routes.pair_keys(ending).tolist(), strict=True))
        for part in (rest, held_out):
            assert part.pair_keys(ending).tolist() == [key_of[name] for name in part.route_id]


# ------------------------------------------------------------------------------------------------ random walks


@settings(deadline=None, max_examples=60)
@given(naive.networks_with_walks(), st.sampled_from(["csv", "parquet"]), st.booleans(), st.integers(0, 2**32 - 1))
def test_random_walks_are_accepted_and_survive_a_file(tmp_path_factory, case, suffix, is_simulated, seed):
    network, walks = case
    random = np.random.default_rng(seed)
    departures = [None if random.random() < 0.5 else f"2024-05-0{1 + i % 9}T08:00:00+01:00" for i in range(len(walks))]
    names = [f'route "{i}", of many' for i in range(len(walks))]
    travellers = None if seed % 2 else [None if i % 3 else f"driver {i % 5}" for i in range(len(walks))]
    rows = [np.array(walk, np.int32) for walk in walks]
    weights = np.exp(random.uniform(-9, 9, len(walks)))
    routes = demonstrations_from_edges(
        network, rows, names, weight=weights, departure=departures, traveller=travellers, is_simulated=is_simulated
    )
    assert routes.skipped == ()
    path = tmp_path_factory.mktemp("routes") / f"routes.{suffix}"
    routes.write(path)
    if not walks:
        with pytest.raises(NoDemonstrationsError):
            read_demonstrations(path, network)
        return
    back = read_demonstrations(path, network, strict=True)
    assert (back.route_id, back.departure) == (tuple(names), tuple(departures))
    assert back.traveller == (None if travellers is None else tuple(travellers))
    assert back.weight.tolist() == weights.tolist()
    assert [back.route(row).tolist() for row in range(len(back))] == walks
    assert back.is_simulated == is_simulated


@settings(deadline=None, max_examples=60)
@given(naive.networks_with_walks(), st.integers(0, 2**32 - 1))
def test_exactly_the_moves_of_the_network_are_accepted(case, seed):
    network, _ = case
    random = np.random.default_rng(seed)
    rows = [random.integers(0, network.graph.num_edges, 3).astype(np.int32) for _ in range(30)]
    routes = demonstrations_from_edges(network, rows, [str(row) for row in range(30)])
    turns = network.turns
    moves = set(zip(turns.from_edge.tolist(), turns.to_edge.tolist(), strict=True))
    good = [str(i) for i, row in enumerate(rows) if {tuple(row[:2].tolist()), tuple(row[1:].tolist())} <= moves]
    assert list(routes.route_id) == good
    for skipped in routes.skipped:
        a, b = (int(word) - 1000 for word in skipped.detail.split() if word.isdigit())
        tail, head = network.graph.tail, network.graph.head
        touches = {tail[a], head[a]} & {tail[b], head[b]}
        assert (a, b) not in moves
        want = "banned_turn" if head[a] == tail[b] else "wrong_direction" if touches else "broken"
        assert skipped.status == want


def test_a_checked_set_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        grid_routes().source = "elsewhere"


@pytest.mark.parametrize("column", ["links", "nodes"])
def test_reading_in_blocks_gives_the_same_routes_and_the_same_faults(tmp_path, monkeypatch, column):
    grid, random = make_grid(6, 7), np.random.default_rng(3)
    graph = grid.graph
    texts = []
    for row in range(200):
        walk = [int(random.integers(graph.num_edges))]
        while len(walk) < 2 + row % 6:
            out = grid.turns.to_edge[grid.turns.first_out[walk[-1]] : grid.turns.first_out[walk[-1] + 1]]
            walk.append(int(random.choice(out)))
        ids = graph.edge_id[walk] if column == "links" else graph.node_id[[graph.tail[walk[0]], *graph.head[walk]]]
        spoilt = ids.tolist()
        if row % 7 == 0:
            spoilt[-1] = 99_999
        texts.append(" ".join(map(str, spoilt if row % 11 else random.permutation(spoilt).tolist())))
    texts[50] = ""
    weight = np.where(np.arange(200) % 13 == 0, -1.0, 2.0)
    path = tmp_path / "routes.parquet"
    pq.write_table(pa.table({column: texts, "weight": weight}), path, row_group_size=33)
    whole = read_demonstrations(path, grid)
    monkeypatch.setattr("trodden.irl.demonstrations.read_route_blocks", partial(read_route_blocks, rows=10))
    pieces = read_demonstrations(path, grid)
    assert pieces.skipped == whole.skipped
    assert {"unknown_edge" if column == "links" else "unknown_node", "bad_weight", "empty"} <= set(
        whole.skipped_by_reason
    )
    assert (pieces.route_id, pieces.departure, pieces.traveller) == (whole.route_id, whole.departure, None)
    for name in ("first", "edge", "weight"):
        one, two = getattr(pieces, name), getattr(whole, name)
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
    assert pieces.digest("arrival") == whole.digest("arrival")


def test_large_sets_are_written_in_row_groups(tmp_path, monkeypatch):
    grid = make_grid(3, 3)
    turns = grid.turns
    rows = [np.array([one, two], np.int32) for one, two in zip(turns.from_edge, turns.to_edge, strict=True)]
    routes = demonstrations_from_edges(grid, rows, [f"r{n}" for n in range(len(rows))])
    monkeypatch.setattr("trodden.irl.demonstrations._WRITTEN", 7)
    routes.write(tmp_path / "routes.parquet")
    assert pq.ParquetFile(tmp_path / "routes.parquet").num_row_groups == -(-len(rows) // 7)
    back = read_demonstrations(tmp_path / "routes.parquet", grid)
    assert (back.route_id, back.digest("stop")) == (routes.route_id, routes.digest("stop"))
