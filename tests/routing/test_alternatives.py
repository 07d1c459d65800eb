"""Alternatives: which they are and how probable, against the enumeration of every route of small networks."""

from __future__ import annotations

import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.core import errors
from trodden.core.errors import ConfigurationError, TroddenError
from trodden.graphs.bounded_trees import tree_from, tree_to
from trodden.graphs.corridor_search import make_search_graph
from trodden.graphs.shortest_paths import costs_from, costs_to_any
from trodden.routing import alternatives as module
from trodden.routing.router import Router
from trodden.routing.trip_policy import Trip, solve_trip

SIZES = ((2, 3), (5, 9), (9, 24))


def routes_by_cost(network, turn_cost, starts, goals, ending, most):
    """Every route that costs at most ``most``, as (cost, edges), the cheapest first; starts are (edge, initial)."""
    found, open_ones = [], [(initial, (edge,)) for edge, initial in starts if initial <= most]
    while open_ones:
        cost, edges = open_ones.pop()
        if edges[-1] in goals:
            found.append((cost, edges))
            if ending == "arrival":
                continue
        for turn in range(*network.turns.first_out[edges[-1] : edges[-1] + 2]):
            onward = cost + turn_cost[turn]
            if onward <= most:
                open_ones.append((onward, (*edges, int(network.turns.to_edge[turn]))))
    return sorted(found)


def total_weight(network, turn_cost, starts, goals, ending):
    """The sum of exp(-cost) over all routes, by a dense inverse."""
    count, turns = network.graph.num_edges, network.turns
    matrix = np.zeros((count, count))
    np.add.at(matrix, (turns.from_edge, turns.to_edge), np.exp(-turn_cost))
    ends = np.zeros(count)
    ends[goals] = 1.0
    if ending == "arrival":
        matrix[goals] = 0.0
    z = np.linalg.solve(np.eye(count) - matrix, ends)
    return sum(np.exp(-initial) * z[edge] for edge, initial in starts)


@st.composite
def trips(draw):
    """(network, turn costs, entry costs, ending, origin, destination, starts, goals): between nodes or edges."""
    network = draw(strategies.road_networks(sizes=SIZES))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cost = random.uniform(2.2, 5.0, network.turns.num_turns)  # at most 24 turns out of an edge: a radius below 1
    entry = random.uniform(0.5, 4.0, network.graph.num_edges)
    graph, ending = network.graph, draw(st.sampled_from(["arrival", "stop"]))
    a, b = random.integers(0, graph.num_nodes, 2)
    if draw(st.booleans()):
        first, last = np.flatnonzero(graph.tail == a), np.flatnonzero(graph.head == b)
        origin, destination = f"node:{10 + a}", f"node:{10 + b}"
        if a == b:
            first = last = first[:0]
    else:
        first, last = random.integers(0, graph.num_edges, (2, 1))
        origin, destination = f"edge:{1000 + first[0]}", f"edge:{1000 + last[0]}"
    starts = [(int(edge), float(entry[edge] - entry[first].min())) for edge in first]
    return network, cost, entry, ending, origin, destination, starts, last


@settings(max_examples=60, deadline=None)
@given(trips())
def test_the_most_probable_routes_and_their_probabilities_are_those_of_enumeration(case):
    network, cost, entry, ending, origin, destination, starts, goals = case
    router = Router.from_costs(network, cost, entry, ending=ending)
    try:
        found = router.alternatives(origin, destination, 8, max_shared=1.0, max_dearer=1.0, num_drawn=50)
    except errors.UnreachableError:
        return
    if not starts:
        assert [(len(one.route.edges), one.probability) for one in found] == [(0, 1.0)]
        return
    common = entry[[edge for edge, _ in starts]].min()
    least = found[0].route.cost + entry[found[0].route.edges[0]]
    want = routes_by_cost(network, cost, starts, goals, ending, 2.0 * least - common + 1e-9)
    assert len(found) == min(8, len(want))
    total = total_weight(network, cost, starts, goals, ending)
    for one, (whole, _) in zip(found, want, strict=False):
        # Two loops in either order cost the same: which comes first is not said.
        assert tuple(one.route.edges.tolist()) in [ties for cost_, ties in want if abs(cost_ - whole) < 1e-9]
        assert one.route.cost == pytest.approx(sum(cost[one.route.turns]))
        assert one.probability == pytest.approx(np.exp(-whole) / total, rel=1e-9)
    assert sum(one.probability for one in found) <= 1 + 1e-12
    if len(starts) == len(goals) == 1 and ending == "arrival":
        assert found[0].log_probability == pytest.approx(found[0].route.log_probability, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(trips(), st.integers(0, 2**32 - 1))
def test_factors_and_closed_edges_are_those_of_such_a_network(case, seed):
    network, cost, entry, ending, origin, destination, starts, goals = case
    shut = int(np.random.default_rng(seed).integers(network.graph.num_edges))
    goals = np.setdiff1d(goals, [shut])
    router = Router.from_costs(network, cost, entry, ending=ending)
    wishes = {"closed": [int(network.graph.edge_id[shut])], "avoid": {"left": 1.5}}
    try:
        found = router.alternatives(origin, destination, 8, max_shared=1.0, max_dearer=1.0, num_drawn=50, **wishes)
    except errors.UnreachableError:
        return
    if not starts:
        return
    changed = np.where(network.turns.is_left, 1.5 * cost, cost)
    changed[network.turns.to_edge == shut] = np.inf
    allowed = [edge for edge, _ in starts if edge != shut]
    least_entry = entry[allowed].min()
    starts = [(edge, float(entry[edge] - least_entry)) for edge in allowed]
    least = found[0].route.cost + entry[found[0].route.edges[0]]
    want = routes_by_cost(network, changed, starts, goals, ending, 2.0 * least - least_entry + 1e-9)
    assert len(found) == min(8, len(want))
    total = total_weight(network, changed, starts, goals, ending)
    for one, (whole, _) in zip(found, want, strict=False):
        assert shut not in one.route.edges
        assert one.route.cost == pytest.approx(sum(changed[one.route.turns]))
        assert one.probability == pytest.approx(np.exp(-whole) / total, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(trips(), st.integers(0, 2**32 - 1))
def test_corridors_have_the_values_of_the_map_and_trees_are_dijkstras(case, seed):
    network, cost, _entry, ending, _, _, starts, goals = case
    if not starts or len(goals) == 0:
        return
    trip = Trip(
        tuple((edge, initial, -1) for edge, initial in starts), goals.astype(np.int32), ending, network.turns, cost
    )
    graph = make_search_graph(network.turns)
    limit = np.random.default_rng(seed).uniform(0, 20)
    to, back = costs_to_any(network.turns, cost, [goals])[:, 0], tree_to(graph, cost, goals, limit=limit)
    np.testing.assert_allclose(back.cost, np.where(to <= limit, to, np.inf))
    ahead = tree_from(graph, cost, starts, limit=limit)
    each = costs_from(network.turns, cost, np.array([edge for edge, _ in starts]))
    want = (each + np.array([[initial] for _, initial in starts])).min(axis=0)
    np.testing.assert_allclose(ahead.cost, np.where(want <= limit, want, np.inf))
    assert sorted(ahead.order.tolist()) == np.flatnonzero(want <= limit).tolist()
    ahead, back = tree_from(graph, cost, starts, is_final=trip.is_final), tree_to(graph, cost, goals)
    if not np.isfinite(ahead.cost[goals]).any():
        return
    policy = solve_trip(trip, ahead, back, tau=60.0)
    assert policy.log_total == pytest.approx(np.log(total_weight(network, cost, starts, goals, ending)), abs=1e-9)


def test_draws_follow_the_probabilities():
    network = strategies.make_grid(4, 4)
    router = Router.from_costs(network, np.full(network.turns.num_turns, 1.6), np.ones(network.graph.num_edges))
    found = router.alternatives("node:10", "node:25", 3, num_drawn=20_000, max_shared=0.5)
    trip_routes = router.alternatives("node:10", "node:25", 4000, max_shared=1.0, max_dearer=2.0, num_drawn=0)
    assert trip_routes[0].share is None
    assert sum(one.probability for one in trip_routes) > 0.9
    again = router.alternatives("node:10", "node:25", 3, num_drawn=20_000, max_shared=0.5)
    assert [one.share for one in again] == [one.share for one in found]
    assert sum(one.share for one in found) + found.share_of_others == pytest.approx(1)
    # The share of the routes like each, of those enumerated, by the same rule.
    lengths = network.edge_length_m()
    sets = [set(one.route.edges.tolist()) for one in found]
    weight = np.zeros(len(sets) + 1)
    for one in trip_routes:
        own = set(one.route.edges.tolist())
        alike = [lengths[list(own & other)].sum() / lengths[list(own | other)].sum() for other in sets]
        weight[int(np.argmax(alike)) if max(alike) >= 0.5 else -1] += one.probability
    for place, one in enumerate(found):
        assert one.share == pytest.approx(weight[place] / weight.sum(), abs=5 * one.share_error + 0.02)
        assert one.share_error == pytest.approx(np.sqrt(one.share * (1 - one.share) / 20_000), rel=0.05)


@settings(max_examples=25, deadline=None)
@given(strategies.towns(), st.integers(0, 2**32 - 1))
def test_alternatives_differ_and_are_routes(town, seed):
    random = np.random.default_rng(seed)
    router = Router.from_costs(
        town, random.uniform(1.5, 4, town.turns.num_turns), random.uniform(1, 2, town.graph.num_edges)
    )
    lengths = town.edge_length_m()
    for _ in range(4):
        a, b = random.integers(0, town.graph.num_edges, 2)
        try:
            found = router.alternatives(f"edge:{1000 + a}", f"edge:{1000 + b}", 4, max_shared=0.7, max_dearer=1.0)
        except errors.UnreachableError:
            continue
        best = router.route(f"edge:{1000 + a}", f"edge:{1000 + b}")
        assert found[0].route.cost == pytest.approx(best.cost, rel=1e-6)
        cost = [one.route.cost for one in found]
        assert cost == sorted(cost)
        entry = router._metrics.get("plain").entry_cost[a]
        assert cost[-1] + entry <= 2 * (cost[0] + entry) * (1 + 1e-6)
        for place, one in enumerate(found):
            edges = one.route.edges
            assert (edges[0], edges[-1]) == (a, b)
            assert (town.turns.find(edges[:-1], edges[1:]) == one.route.turns).all()
            for other in found[:place]:
                shared = np.intersect1d(edges, other.route.edges)
                assert lengths[shared].sum() <= 0.7 * lengths[np.unique(edges)].sum() + 1e-6


def test_a_large_map_is_solved_in_corridors_and_agrees(monkeypatch):
    network = strategies.make_grid(12, 12)
    random = np.random.default_rng(3)
    router = Router.from_costs(
        network, random.uniform(1.6, 2.5, network.turns.num_turns), np.ones(network.graph.num_edges)
    )
    points = (41.0003, -8.0), (41.0080, -7.9890)
    whole = router.alternatives(*points, 3)
    monkeypatch.setattr(module, "LARGEST_FACTORISED", 0)
    near = router.alternatives(*points, 3)
    assert [one.route.edge_ids for one in whole] == [one.route.edge_ids for one in near]
    for one, other in zip(whole, near, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-6)


def test_underflowing_costs_are_solved_in_corridors():
    network = strategies.make_grid(5, 5)
    cost = np.full(network.turns.num_turns, 300.0)
    found = Router.from_costs(network, cost, np.ones(network.graph.num_edges)).alternatives("node:10", "node:34", 3)
    # Seven turns north or east: 70 cheapest ways, of which one each begins and ends as it does.
    assert found[0].probability == pytest.approx(1 / 70)


def test_a_trip_against_a_one_way_road_goes_around():
    tail, head = [0, 1, 2, 1, 3], [1, 2, 0, 3, 0]
    places = np.array([41.0, 41.0, 41.001, 41.0015]), np.array([-8.0, -7.998, -7.999, -7.999])
    network = strategies.make_network(tail, head, coordinates=places)
    router = Router.from_costs(network, np.array([1.0, 1.2, 1.0, 1.0, 1.0, 1.0]), np.ones(5))
    found = router.alternatives((41.0, -7.9985), (41.0, -7.9995), 5, max_dearer=1.0)
    assert {tuple(one.route.nodes) for one in found} == {(10, 11, 12, 10, 11), (10, 11, 13, 10, 11)}
    assert sum(one.probability for one in found) == pytest.approx(1)
    ahead = router.alternatives((41.0, -7.9995), (41.0, -7.9985), 5)
    assert [(one.route.nodes, one.probability) for one in ahead] == [([10, 11], 1.0)]


def test_what_has_no_probability_says_why():
    network = strategies.make_grid(3, 3)
    found = Router.from_costs(network, np.full(network.turns.num_turns, 0.01), np.ones(24)).alternatives(
        "node:10", "node:18", 3
    )
    assert len(found) >= 2
    assert (found[0].probability, found[0].share, found.num_drawn) == (None, None, 0)
    assert "diverge" in found.note
    with pytest.raises(ConfigurationError, match="k is 0"):
        Router.from_costs(network, np.ones(network.turns.num_turns), np.ones(24)).alternatives("node:10", "node:18", 0)
    with pytest.raises(TroddenError, match="nowhere"):
        Router.from_costs(network, np.ones(network.turns.num_turns), np.ones(24)).alternatives("nowhere", "node:18")
