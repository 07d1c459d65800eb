"""Simulated routes follow the exact policy, keep the limits asked for, and say that they are simulated."""

from __future__ import annotations

import dataclasses
from collections import Counter

import irl_oracles as naive
import numpy as np
import pytest
from scipy import stats
from strategies import make_grid, make_network
from trodden.core.errors import ConfigurationError, EmptyNetworkError, InfeasibleRewardError, MissingDataError
from trodden.graphs.road_graph import Categories
from trodden.irl.demonstrations import read_demonstrations
from trodden.irl.features import make_features
from trodden.irl.simulation import DEFAULT_TASTE, default_taste, simulate

TASTE = {"length_km": -4.0, "is_left": -0.8, "constant": -1.3}
LOOSE = {"length_km": -1.0, "is_left": -0.3, "constant": -0.85}
"""Close to where values end: much wandering, so that driving on from the destination is no rare choice."""


@pytest.fixture(scope="module")
def network():
    grid = make_grid(3, 3)
    random = np.random.default_rng(4)
    length = random.uniform(50, 400, grid.graph.num_edges).astype(np.float32)
    turns = dataclasses.replace(grid.turns, is_left=random.random(grid.turns.num_turns) < 0.3)
    return naive.rebuilt(grid, attributes=dataclasses.replace(grid.attributes, length_m=length), turns=turns)


def rows_of(routes):
    return [routes.route(row).tolist() for row in range(len(routes))]


def test_the_same_seed_gives_the_same_routes(network):
    first, again, other = (simulate(network, 40, taste=TASTE, seed=seed) for seed in (5, 5, 6))
    assert rows_of(first) == rows_of(again)
    assert rows_of(first) != rows_of(other)


def test_routes_drawn_in_corridors_repeat_and_narrow_to_the_best_one(network):
    few, again = (simulate(network, 40, taste=TASTE, seed=5, num_destinations=4, solver="corridors") for _ in "ab")
    assert rows_of(few) == rows_of(again)
    narrow = simulate(network, 40, taste=TASTE, seed=5, num_destinations=4, solver="corridors", corridor_tau=1e-9)
    best = {(row[0], row[-1]): tuple(row) for row in rows_of(narrow)}
    assert all(best[row[0], row[-1]] == tuple(row) for row in rows_of(narrow))
    assert {(row[0], row[-1]) for row in rows_of(narrow)} == {(row[0], row[-1]) for row in rows_of(few)}


@pytest.mark.parametrize("solver", ["factorization", "corridors"])
@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_turn_frequencies_are_those_of_the_exact_policy(network, ending, solver):
    routes = simulate(network, 20_000, taste=LOOSE, seed=1, num_destinations=1, ending=ending, solver=solver)
    rows = rows_of(routes)
    (key,) = {naive.destination_of(network, row, ending) for row in rows}
    goals = naive.goals_of(network, key, ending)
    features = make_features(network, tuple(LOOSE))
    reward = features.value @ np.array(list(LOOSE.values()))
    counts: dict[int, Counter] = {}
    for row in rows:
        for edge, following in zip(row, [*row[1:], None], strict=True):
            counts.setdefault(edge, Counter())[following] += 1
    num_tested, stops_tested = 0, False
    for edge, seen in counts.items():
        want = naive.policy(network.turns, reward, goals, ending, edge)
        assert set(seen) <= set(want)
        expected = np.array([want[one] * sum(seen.values()) for one in want])
        observed = np.array([seen[one] for one in want])
        is_rare = expected < 5  # the test wants cells of some size: rare choices are counted together
        cells = [np.append(values[~is_rare], values[is_rare].sum()) for values in (observed, expected)]
        if not is_rare.any() or cells[1][-1] < 1:
            cells = [values[~is_rare] for values in (observed, expected)]
            cells[1] = cells[1] * cells[0].sum() / max(cells[1].sum(), 1e-9)
        if len(cells[0]) < 2:
            continue
        p_value = stats.chisquare(*cells).pvalue
        assert p_value > 1e-5, (edge, seen, expected)
        num_tested += 1
        stops_tested |= None in want
    assert num_tested >= 10
    assert stops_tested == (ending == "stop")


@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_origins_are_drawn_evenly(network, ending):
    routes = simulate(network, 2000, taste=TASTE, seed=2, num_destinations=1, ending=ending)
    node = network.graph.head[routes.last_edge[0]]
    allowed = [e for e in range(network.graph.num_edges) if network.graph.head[e] != node]
    counts = Counter(routes.origin.tolist())
    assert set(counts) <= set(allowed)
    assert stats.chisquare([counts[e] for e in allowed]).pvalue > 1e-5


@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_every_route_is_usable_and_destinations_share_evenly(network, ending):
    routes = simulate(network, 23, taste=TASTE, seed=3, num_destinations=5, ending=ending)
    assert len(routes) == len(routes.for_ending(ending)) == 23
    assert routes.skipped == ()
    ends = Counter(naive.destination_of(network, row, ending) for row in rows_of(routes))
    if ending == "arrival":
        assert sorted(ends.values()) == [4, 4, 5, 5, 5]
    assert sum(ends.values()) == 23
    assert len(ends) <= 5


def test_more_destinations_than_edges_and_no_routes_at_all(network):
    assert len(simulate(network, 5, taste=TASTE, num_destinations=10_000)) == 5
    assert len(simulate(network, 0, taste=TASTE)) == 0


def crow_km(network, one, two):
    """Haversine formula between the middles of two edges, by hand."""
    latitude, longitude = (np.radians(v) for v in (network.graph.latitude_deg, network.graph.longitude_deg))
    ends = [(network.graph.tail[e], network.graph.head[e]) for e in (one, two)]
    (a, b), (c, d) = [(np.mean(latitude[list(e)]), np.mean(longitude[list(e)])) for e in ends]
    half = np.sin((c - a) / 2) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2) ** 2
    return 2 * 6371.0 * np.arcsin(np.sqrt(half))


def test_limits_on_the_distance_are_kept():
    grid = make_grid(6, 6)
    free = simulate(grid, 60, taste=TASTE, seed=1)
    kept = simulate(grid, 60, taste=TASTE, seed=1, min_km=0.2, max_km=0.35)
    distances = [[crow_km(grid, row[0], row[-1]) for row in rows_of(routes)] for routes in (free, kept)]
    assert min(distances[1]) >= 0.2 * 0.999
    assert max(distances[1]) <= 0.35 * 1.001
    assert min(distances[0]) < 0.2
    assert max(distances[0]) > 0.35


def test_routes_say_that_they_are_simulated(network, tmp_path):
    routes = simulate(network, 3, taste=TASTE, seed=9)
    assert routes.is_simulated
    assert routes.source == "simulated (length_km -4, is_left -0.8, constant -1.3; seed 9)"
    assert routes.route_id == ("simulated-0", "simulated-1", "simulated-2")
    for name in ("routes.csv", "routes.parquet"):
        routes.write(tmp_path / name)
        assert read_demonstrations(tmp_path / name, network).is_simulated


def test_progress_adds_up(network):
    told = []
    simulate(network, 50, taste=TASTE, num_destinations=40, progress=told.append)
    assert sum(told) == 50
    assert len(told) == 1 + (len(set(range(min(40, network.graph.num_edges)))) > 32)


def test_the_default_taste_leaves_out_what_the_network_lacks(network):
    timed = {name: value for name, value in DEFAULT_TASTE.items() if name != "length_km"}
    assert default_taste(network) == timed
    no_time = dataclasses.replace(network.attributes, travel_time_s=None)
    bare = naive.rebuilt(network, attributes=no_time)
    assert set(default_taste(bare)) == set(DEFAULT_TASTE) - {"travel_time_min"}
    assert len(simulate(network, 4)) == 4


# ------------------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("taste", "match"),
    [
        ({"constant": -1.5, "colour": -1.0}, "no column for 'colour'"),
        ({"constant": 0.5}, "turns would cost nothing or less"),
        ({"is_left": -1.0}, "add a negative 'constant'"),
        ({}, "names no feature"),
        ({"constant": float("nan")}, "constant is nan"),
        ({"constant": float("-inf")}, "constant is -inf"),
        ({"class:*": -1.0, "constant": -1.5}, "stands for several features"),
    ],
)
def test_a_taste_that_cannot_be_is_refused(network, taste, match):
    classes = Categories(np.arange(network.graph.num_edges, dtype=np.int32) % 3, ("a", "b", "c"))
    classy = naive.rebuilt(network, attributes=dataclasses.replace(network.attributes, road_class=classes))
    with pytest.raises(ConfigurationError, match=match):
        simulate(classy, 3, taste=taste)


@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_a_taste_without_values_is_refused_and_the_remedy_works(network, ending):
    with pytest.raises(InfeasibleRewardError) as caught:
        simulate(network, 3, taste={"constant": -0.1}, ending=ending)
    enough = -0.1 - caught.value.constant * 1.01 - 1e-6
    assert len(simulate(network, 3, taste={"constant": enough}, ending=ending)) == 3


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        ({"num_routes": -1}, "-1 routes"),
        ({"num_routes": 3, "num_destinations": 0}, "0 destinations"),
        ({"num_routes": 3, "min_km": 2.0, "max_km": 1.0}, "2.0 to 1.0 km is not a range"),
        ({"num_routes": 3, "min_km": float("nan")}, "is not a range"),
        ({"num_routes": 3, "min_km": -1.0}, "is not a range"),
        ({"num_routes": 3, "min_km": 50.0}, r"no edge of the main network lies 50.0 to None km from edge 10\d\d"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(network, request_, match):
    with pytest.raises(ConfigurationError, match=match):
        simulate(network, taste=TASTE, **request_)


def test_limits_need_coordinates():
    network = make_network([0, 1, 2], [1, 2, 0])
    with pytest.raises(MissingDataError, match="coordinates"):
        simulate(network, 3, taste={"constant": -1.0}, max_km=1.0)
    assert len(simulate(network, 3, taste={"constant": -1.0})) == 3


def test_a_network_without_a_way_back_is_refused():
    network = make_network([0, 1], [1, 2])
    with pytest.raises(EmptyNetworkError, match="no two edges"):
        simulate(network, 3, taste={"constant": -1.0})
