"""The hierarchy against Dijkstra, and its guards: nothing may panic, wrap around or answer for another thread."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csgraph
from trodden.core import errors
from trodden.graphs import cch_engine
from trodden.graphs.costs import fastest_costs
from trodden.graphs.edge_costs import LARGEST_SUM, EdgeCosts, longest_path_bound, quantise
from trodden.graphs.hierarchy import build_hierarchy
from trodden.graphs.reading import read_roads
from trodden.graphs.shortest_paths import costs_from, turn_matrix
from trodden.graphs.turns import TurnGraph

ENGINES = ["cch", "scipy"]


def integer_costs(turns, costs):
    return costs_from(turns, costs.value.astype(float), np.arange(turns.num_edges, dtype=np.int32))


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=30, deadline=None)
@given(strategies.networks_with_costs(sizes=strategies.SIZES[:4]))
def test_every_pair_equals_dijkstra(engine, case):
    network, cost = case
    turns = network.turns
    costs = quantise(turns, cost)
    metric = build_hierarchy(turns, engine=engine).customise(costs)
    want = integer_costs(turns, costs)
    for a in range(turns.num_edges):
        got = metric.distances([(a, 0)], np.arange(turns.num_edges, dtype=np.int32))
        np.testing.assert_array_equal(got, np.where(np.isfinite(want[a]), want[a], -1))
        for b in range(turns.num_edges):
            path = metric.path([(a, 0)], [(b, 0)])
            assert path.is_reachable == np.isfinite(want[a, b])
            if path.is_reachable:
                assert path.cost == want[a, b]
                assert (path.states[0], path.states[-1]) == (a, b)
                assert costs.value[path.turns].sum() == path.cost
                np.testing.assert_array_equal(turns.find(path.states[:-1], path.states[1:]), path.turns)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=60, deadline=None)
@given(strategies.networks_with_costs(), st.data())
def test_many_starts_and_ends_with_initial_costs(engine, case, data):
    network, cost = case
    turns = network.turns
    costs = quantise(turns, cost)
    metric = build_hierarchy(turns, engine=engine).customise(costs)
    start = st.tuples(st.integers(0, turns.num_edges - 1), st.sampled_from([0, 1, 1000, 2**28]))
    sources = data.draw(st.lists(start, min_size=1, max_size=5))
    targets = data.draw(st.lists(start, min_size=1, max_size=5))
    want = integer_costs(turns, costs)
    totals = [(want[s, t] + a + b, s, t) for s, a in sources for t, b in targets]
    path = metric.path(sources, targets)
    best = min(total for total, _, _ in totals)
    assert path.is_reachable == np.isfinite(best)
    if path.is_reachable:
        assert path.cost == best
        assert (best, path.states[0], path.states[-1]) in totals
        assert (path.turns >= 0).all()


@settings(max_examples=100, deadline=None)
@given(strategies.networks_with_costs())
def test_the_bound_holds_and_the_default_quantum_is_fine(case):
    network, cost = case
    turns = network.turns
    longest = np.max(costs_from(turns, cost, np.arange(turns.num_edges)), initial=0, where=_finite(turns, cost))
    assert longest <= longest_path_bound(turns, cost) * (1 + 1e-12)
    costs = quantise(turns, cost)
    exact = costs_from(turns, costs.value.astype(float), np.arange(turns.num_edges))
    assert np.max(exact, initial=0, where=np.isfinite(exact)) <= costs.longest_path <= LARGEST_SUM
    # Rounding keeps four significant digits of any cost here; what no cheapest path can use may be cut off.
    is_used = cost <= longest_path_bound(turns, cost)
    np.testing.assert_allclose((costs.value * costs.quantum)[is_used], cost[is_used], rtol=1e-3)


def _finite(turns, cost):
    return np.isfinite(costs_from(turns, cost, np.arange(turns.num_edges)))


def chain(costs):
    """One-way road: edge k leads to edge k + 1."""
    count = len(costs) + 1
    network = strategies.make_network(np.arange(count), np.arange(1, count + 1))
    assert network.turns.num_turns == len(costs)
    return network.turns, np.array(costs, float)


def test_too_fine_a_quantum_is_refused_and_the_one_suggested_works():
    turns, cost = chain([1.0] * 50)
    with pytest.raises(errors.CostOverflowError) as caught:
        quantise(turns, cost, quantum=1e-8)
    fits = quantise(turns, cost, quantum=caught.value.smallest_quantum)
    for engine in ENGINES:
        path = build_hierarchy(turns, engine=engine).customise(fits).path([(0, 0)], [(50, 0)])
        assert path.is_reachable
        assert path.cost * fits.quantum == pytest.approx(50, rel=1e-6)


def test_one_turn_dearer_than_all_others_together_is_refused_by_name_or_rounded_when_asked():
    turns, cost = chain([1e-6, 1e6, 1e-6])
    with pytest.raises(
        errors.CostRangeError, match="from edge 71 to edge 72 costs 1e\\+06 where the typical turn costs 1e-06"
    ):
        quantise(turns, cost, edge_id=np.arange(70, 74))
    costs = quantise(turns, cost, quantum=1e-3)
    assert costs.value.min() == 1
    assert build_hierarchy(turns).customise(costs).path([(0, 0)], [(3, 0)]).cost == costs.value.sum()


def test_costs_that_no_cheapest_path_uses_do_not_spoil_the_quantum():
    # A two-way grid where U-turns cost a fortune: paths turn round the block instead.
    network = strategies.make_grid(4, 4)
    cost = np.where(network.turns.is_uturn, 1e12, 1.0)
    # Corners can only be left by a U-turn or the other side: still one component without U-turns.
    costs = quantise(network.turns, cost, quantum=1e-6)
    metric = build_hierarchy(network.turns).customise(costs)
    want = integer_costs(network.turns, costs)
    got = np.stack([metric.distances([(a, 0)], np.arange(48)) for a in range(48)])
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_bad_costs_never_reach_the_engine(bad):
    turns, cost = chain([1.0, bad])
    with pytest.raises(errors.NonPositiveCostError, match="from edge 1 to edge 2"):
        quantise(turns, cost)


@pytest.mark.parametrize("quantum", [0.0, -1.0, np.nan, np.inf])
def test_bad_quanta_are_refused(quantum):
    turns, cost = chain([1.0])
    with pytest.raises(ValueError, match="quantum"):
        quantise(turns, cost, quantum=quantum)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_graph_is_refused(engine):
    nothing = np.empty(0, bool)
    empty = TurnGraph(np.zeros(1, np.int32), np.empty(0, np.int32), None, nothing, nothing, nothing)
    with pytest.raises(errors.EmptyNetworkError):
        build_hierarchy(empty, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_graph_without_turns_answers(engine):
    turns = strategies.make_network([0, 0], [1, 1]).turns
    costs = quantise(turns, np.empty(0))
    metric = build_hierarchy(turns, engine=engine).customise(costs)
    assert metric.path([(0, 0)], [(0, 0)]).states.tolist() == [0]
    assert not metric.path([(0, 0)], [(1, 0)]).is_reachable
    assert metric.path([(0, 5), (1, 7)], [(0, 3), (1, 0)]).cost == 7


@pytest.mark.parametrize("engine", ENGINES)
def test_bad_queries_are_refused_before_the_engine(engine):
    turns, cost = chain([1.0, 1.0])
    metric = build_hierarchy(turns, engine=engine).customise(quantise(turns, cost))
    for state in (-1, 3, 2**40):
        with pytest.raises(errors.UnknownIdError):
            metric.path([(state, 0)], [(0, 0)])
        with pytest.raises(errors.UnknownIdError):
            metric.distances([(0, 0)], np.array([state]))
    with pytest.raises(ValueError, match="at least one"):
        metric.path([], [(0, 0)])
    with pytest.raises(ValueError, match="at least one"):
        metric.path([(0, 0)], [])
    with pytest.raises(ValueError, match="negative"):
        metric.path([(0, -1)], [(0, 0)])
    with pytest.raises(errors.CostOverflowError):
        metric.path([(0, 2**30)], [(2, 2**30)])
    assert metric.path([(0, 0)], [(2, 0)]).is_reachable  # and still answers
    assert metric.distances([(0, 0)], np.empty(0, np.int32)).shape == (0,)


@pytest.mark.parametrize("engine", ENGINES)
def test_costs_of_another_graph_are_refused(engine):
    turns, _ = chain([1.0, 1.0])
    built = build_hierarchy(turns, engine=engine)
    with pytest.raises(ValueError, match="not those of this network"):
        built.customise(quantise(*chain([1.0])))
    with pytest.raises(ValueError, match="at least 1"):
        built.customise(EdgeCosts(np.zeros(2, np.int32), 1.0, 5))


def test_coordinates_are_checked():
    turns, _ = chain([1.0, 1.0])
    with pytest.raises(ValueError, match="one point for each"):
        build_hierarchy(turns, (np.zeros(2), np.zeros(2)))
    with pytest.raises(ValueError, match="finite"):
        build_hierarchy(turns, (np.zeros(3), np.array([0, np.nan, 0])))
    assert build_hierarchy(turns, (np.zeros(3), np.zeros(3))).engine == "cch"


def test_a_panic_is_a_typed_error_and_the_next_query_works():
    turns, cost = chain([1.0, 1.0])
    metric = build_hierarchy(turns, engine="cch").customise(quantise(turns, cost))
    with pytest.raises(errors.QueryEngineError):
        metric._engine.path([], [(0, 0)])  # past the checks
    assert metric.path([(0, 0)], [(2, 0)]).is_reachable


def test_without_the_cch_scipy_answers_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(cch_engine, "_routingkit", None)
    turns, cost = chain([1.0, 1.0])
    with caplog.at_level(logging.WARNING):
        built = build_hierarchy(turns)
    assert built.engine == "scipy"
    assert "routingkit-cch is not installed" in caplog.text
    assert built.customise(quantise(turns, cost)).path([(0, 0)], [(2, 0)]).is_reachable
    with pytest.raises(errors.MissingPackageError):
        build_hierarchy(turns, engine="cch")


@pytest.mark.parametrize("engine", ENGINES)
def test_eight_threads_get_the_answers_of_one(engine):
    network = strategies.make_grid(12, 12)
    random = np.random.default_rng(5)
    turns = network.turns
    built = build_hierarchy(turns, engine=engine)
    metrics = [built.customise(quantise(turns, random.uniform(1, 9, turns.num_turns))) for _ in range(3)]
    pairs = random.integers(0, turns.num_edges, (200, 2)).tolist()

    def answers(order):
        return {
            (m, i): metrics[m].path([(pairs[i][0], 0)], [(pairs[i][1], 0)]).states.tolist()
            for i in order
            for m in range(3)
        }

    want = answers(range(len(pairs)))
    orders = [random.permutation(len(pairs)).tolist() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(answers, orders):
            assert got == want


def test_metrics_come_and_go_while_threads_ask(recwarn):
    """A metric dropped here must not drop query objects that belong to other threads."""
    network = strategies.make_grid(5, 5)
    turns = network.turns
    built = build_hierarchy(turns, engine="cch")
    current = [built.customise(quantise(turns, np.full(turns.num_turns, 1.0)))]
    hops = current[0].path([(0, 0)], [(70, 0)]).turns.size
    wrong, stop, unraisable = [], threading.Event(), []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda event: unraisable.append(str(event.exc_value))

    def ask():
        while not stop.is_set():
            if current[0].path([(0, 0)], [(70, 0)]).turns.size != hops:
                wrong.append(1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for swap in range(30):
            current[0] = built.customise(quantise(turns, np.full(turns.num_turns, 1.0 + swap)))
            gc.collect()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        gc.collect()
        sys.unraisablehook = hook
    assert not wrong
    assert not unraisable
    assert len(cch_engine._THREAD.queries) <= cch_engine._QUERIES_PER_THREAD


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=30, deadline=None)
@given(strategies.networks_with_costs(sizes=strategies.SIZES[:4]), st.data())
def test_tables_equal_single_queries_from_both_sides(engine, case, data):
    network, cost = case
    turns = network.turns
    costs = quantise(turns, cost)
    metric = build_hierarchy(turns, engine=engine).customise(costs)
    start = st.tuples(st.integers(0, turns.num_edges - 1), st.sampled_from([0, 1, 1000, 2**28]))
    rows = data.draw(st.lists(st.lists(start, min_size=1, max_size=3), min_size=1, max_size=9))
    pinned = np.array(data.draw(st.lists(st.integers(0, turns.num_edges - 1), min_size=1, max_size=5)), np.int32)
    threads = data.draw(st.sampled_from([1, 2]))
    want = integer_costs(turns, costs)
    forwards = [[min(want[s, t] + a for s, a in row) for t in pinned] for row in rows]
    np.testing.assert_array_equal(metric.costs_from(rows, pinned, threads=threads), forwards)
    backwards = [[min(want[s, t] + a for t, a in row) for row in rows] for s in pinned]
    np.testing.assert_array_equal(metric.costs_onto(pinned, rows, threads=threads), backwards)


@pytest.mark.parametrize("engine", ENGINES)
def test_tables_refuse_what_queries_refuse(engine):
    turns, cost = chain([1.0, 1.0])
    metric = build_hierarchy(turns, engine=engine).customise(quantise(turns, cost))
    with pytest.raises(errors.UnknownIdError):
        metric.costs_from([[(0, 0)]], np.array([3]))
    with pytest.raises(errors.UnknownIdError):
        metric.costs_onto(np.array([0]), [[(-1, 0)]])
    with pytest.raises(errors.CostOverflowError):
        metric.costs_from([[(0, 2**31)]], np.array([0]))
    with pytest.raises(ValueError, match="at least one"):
        metric.costs_from([[]], np.array([0]))
    assert metric.costs_from([], np.array([0])).shape == (0, 1)
    assert metric.costs_from([[(0, 0)]], np.array([], np.int32)).shape == (1, 0)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=30, deadline=None)
@given(strategies.networks_with_costs(sizes=strategies.SIZES[:4]), st.data())
def test_a_scratch_closes_turns_for_one_query(engine, case, data):
    network, cost = case
    turns = network.turns
    if turns.num_turns == 0:
        return
    costs = quantise(turns, cost)
    built = build_hierarchy(turns, engine=engine)
    metric = built.customise(costs)
    scratch = built.scratch(metric)
    free = integer_costs(turns, costs)
    for _ in range(3):
        closed = data.draw(st.lists(st.integers(0, turns.num_turns - 1), min_size=1, max_size=4, unique=True))
        left = costs.without(np.array(closed, np.int32))
        want = csgraph.dijkstra(turn_matrix(turns, left.as_floats()))
        for a, b in data.draw(st.lists(st.tuples(*[st.integers(0, turns.num_edges - 1)] * 2), min_size=1, max_size=4)):
            path = scratch.path_without(closed, [(a, 0)], [(b, 0)])
            if path.is_reachable and path.cost < LARGEST_SUM:
                assert path.cost == want[a, b]
                assert not set(path.turns.tolist()) & set(closed)
            assert metric.path([(a, 0)], [(b, 0)]).is_reachable == np.isfinite(free[a, b])


def test_a_scratch_that_failed_is_made_anew(monkeypatch):
    turns, cost = chain([1.0, 1.0])
    built = build_hierarchy(turns, engine="cch")
    scratch = built.scratch(built.customise(quantise(turns, cost)))
    assert not scratch.path_without([0], [(0, 0)], [(2, 0)]).is_reachable
    with monkeypatch.context() as patch:
        patch.setattr(cch_engine, "_run", lambda *_: [][0])
        with pytest.raises(IndexError):
            scratch.path_without([0], [(0, 0)], [(2, 0)])
    assert scratch.path_without([1], [(0, 0)], [(1, 0)]).is_reachable
    assert not scratch.path_without([1], [(0, 0)], [(2, 0)]).is_reachable


def test_scratches_are_shared_by_threads():
    network = strategies.make_grid(4, 4)
    turns = network.turns
    costs = quantise(turns, np.random.default_rng(0).uniform(1, 9, turns.num_turns))
    built = build_hierarchy(turns, engine="cch")
    scratch = built.scratch(built.customise(costs))
    want = {}
    for turn in range(0, turns.num_turns, 7):
        left = costs.without(np.array([turn], np.int32)).as_floats()
        want[turn] = csgraph.dijkstra(turn_matrix(turns, left), indices=0)

    def ask(turn):
        return all(scratch.path_without([turn], [(0, 0)], [(b, 0)]).cost == want[turn][b] for b in range(48))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, list(want) * 3))


def test_room_of_metrics_that_are_gone_is_used_again_once_no_thread_has_a_query():
    network = strategies.make_grid(4, 4)
    turns = network.turns
    built = build_hierarchy(turns, engine="cch")
    built.reserve()
    topology = built._topology
    reserved = topology._spares[0]
    first = built.customise(quantise(turns, np.full(turns.num_turns, 1.0)))
    assert first._engine._owned.metric is reserved
    asked, go_on = threading.Event(), threading.Event()

    def ask(metric):
        metric.path([(0, 0)], [(20, 0)])
        del metric
        asked.set()
        go_on.wait(10)

    thread = threading.Thread(target=ask, args=(first,))
    thread.start()
    asked.wait(10)
    del thread  # its arguments hold the metric
    del first
    gc.collect()
    assert not topology._spares  # a query of that thread is alive: the binding would refuse
    second = built.customise(quantise(turns, np.full(turns.num_turns, 2.0)))
    assert second.path([(0, 0)], [(20, 0)]).is_reachable
    go_on.set()
    for _ in range(100):
        if topology._spares:
            break
        threading.Event().wait(0.05)
    assert list(topology._spares) == [reserved]
    third = built.customise(quantise(turns, np.full(turns.num_turns, 3.0), quantum=1.0))
    assert third.path([(0, 0)], [(20, 0)]).cost == 3 * (len(third.path([(0, 0)], [(20, 0)]).turns))


def test_earlier_metrics_stay_valid():
    turns, cost = chain([1.0, 2.0])
    built = build_hierarchy(turns)
    first = built.customise(quantise(turns, cost, quantum=1.0))
    built.customise(quantise(turns, cost * 10, quantum=1.0))
    assert first.path([(0, 0)], [(2, 0)]).cost == 3


def equals_scipy(network, num_origins, num_destinations):
    """Costs of all pairs equal SciPy's, and every path is permitted and costs what it says; how many there were."""
    turns = network.turns
    costs = quantise(turns, fastest_costs(network)[0])
    metric = build_hierarchy(turns, network.graph.edge_midpoints(), engine="cch").customise(costs)
    random = np.random.default_rng(1)
    origins = random.choice(turns.num_edges, num_origins, replace=False).astype(np.int32)
    destinations = random.choice(turns.num_edges, num_destinations, replace=False).astype(np.int32)
    want = costs_from(turns, costs.value.astype(float), origins)[:, destinations]
    want[np.isinf(want)] = -1
    for row, origin in enumerate(origins.tolist()):
        np.testing.assert_array_equal(metric.distances([(origin, 0)], destinations), want[row])
        for column, destination in enumerate(destinations.tolist()):
            path = metric.path([(origin, 0)], [(destination, 0)])
            assert path.cost == want[row, column]
            if path.is_reachable:
                assert (path.states[0], path.states[-1]) == (origin, destination)
                assert costs.value[path.turns].sum() == path.cost
                assert (turns.to_edge[path.turns[:-1]] == turns.from_edge[path.turns[1:]]).all()
    return want.size


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["osm/portland.osm.pbf", "borlange"])
def test_real_turn_graphs_equal_scipy_with_and_without_coordinates(data_folder, name):
    assert equals_scipy(read_roads(data_folder / name), 100, 100) == 10_000


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["heidelberg.osm.pbf", "porto.osm.pbf"])
def test_fifty_thousand_pairs_equal_scipy(data_folder, name):
    assert equals_scipy(read_roads(data_folder / "osm" / name), 100, 500) == 50_000
