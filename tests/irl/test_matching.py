"""Map matching against a naive Viterbi, against all sequences of places, and on cases solved by hand."""

from __future__ import annotations

import queue

import numpy as np
import pytest
from ascii_map import COLUMN_DEG, LINE_DEG, ORIGIN, town
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matching_oracle import NaiveMatcher
from trodden import read_roads
from trodden.core.errors import ConfigurationError, MissingDataError
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.matching import FATES, MatchingSettings, TraceMatcher, _Workspace
from trodden.irl.matching_lattice import BETA_BINS
from trodden.irl.trace_noise import Noise
from trodden.irl.traces import Traces

GRID = """\
a---b---c---d
|   |   |   |
e---f-->g---h
|   |   |   |
i---j<--k---l
|   |   |   |
m---n---o---p
"""
BACK_M = 25.0  # what the matcher takes for a sigma of 10 m


def noise(sigma: float = 10.0, beta: float = 20.0) -> Noise:
    return Noise(sigma, 0.0, 0.0, sigma, np.full(BETA_BINS, beta))


def roads(tmp_path_factory, drawing: str, **more) -> RoadNetwork:
    return read_roads(town(drawing, **more).write(tmp_path_factory.mktemp("town")), join="none")


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> RoadNetwork:
    return roads(tmp_path_factory, GRID, bans=[("no_left_turn", "bf", "f", "fg"), ("no_right_turn", "jn", "n", "mn")])


def at(line: float, column: float) -> tuple[float, float]:
    """A place of a drawing: 100 m a line, of which every second one is a street; 50 m a column."""
    return ORIGIN[0] - line * LINE_DEG, ORIGIN[1] + column * COLUMN_DEG


def traces(*rows: list[tuple[float, float]], seconds: float | None = None, **more) -> Traces:
    first = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    points = np.array([point for row in rows for point in row])
    clock = np.full(len(points), np.nan)
    if seconds is not None:
        clock = np.concatenate([np.arange(len(row)) * seconds for row in rows])
    names = [f"t{k}" for k in range(len(rows))]
    return Traces(names, first, points[:, 0], points[:, 1], clock, **more)


def match(network, rows, *, seconds=None, sigma=10.0, beta=20.0, **more):
    made = rows if isinstance(rows, Traces) else traces(*rows, seconds=seconds)
    # No bound on searches, since the oracle has none.
    wide = {"radius_m": 60.0, "max_candidates": 64, "max_excess": 1e3, "max_behind": 1e3, "threads": 1}
    options = MatchingSettings(**{**wide, **more})
    return TraceMatcher(network, options).match(made, noise(sigma, beta))


def named(network, edges) -> str:
    """A route as the letters of its nodes."""
    graph = network.graph
    return "".join([chr(graph.node_id[graph.tail[edges[0]]]), *(chr(graph.node_id[graph.head[e]]) for e in edges)])


def routes(network, found) -> list[str]:
    return [named(network, found.route(k)) for k in range(len(found))]


@settings(max_examples=25, deadline=None)
@example([(0, 0), (0, 4), (0, 1)], 6.0)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=3, max_size=6), st.sampled_from([6.0, 14.0])
)
def test_the_best_sequence_is_that_of_a_naive_viterbi(grid, places, sigma):
    points = [at(line / 5, column * 12 / 30) for line, column in places]
    found = match(grid, [points], sigma=sigma)
    used = [point for point, fate in zip(points, found.fate.tolist(), strict=True) if FATES[fate] == "used"]
    if len(found) != 1 or len(used) != sum(FATES[f] != "thinned" for f in found.fate.tolist()):
        return  # left out or cut: other tests
    oracle = NaiveMatcher(grid, sigma, 20.0, 60.0, 2 * sigma + 5)
    score, _ = oracle.best(used)
    assert found.log_probability[0] * len(used) == pytest.approx(score, abs=0.05 * len(used))


def test_random_drives_give_the_route_of_the_naive_viterbi(grid):
    generator, agreed = np.random.default_rng(5), 0
    oracle = NaiveMatcher(grid, 10.0, 20.0, 60.0, BACK_M)
    for _ in range(30):
        start, step = generator.uniform(0.1, 2.9, 2) * [2, 4], generator.uniform(-0.5, 0.5, 2) * 2
        points = [at(*np.clip(start + k * step + generator.normal(0, 0.05, 2), 0, [6, 12])) for k in range(5)]
        found = match(grid, [points])
        if len(found) != 1 or (found.fate != 0).any():
            continue
        _, route = oracle.best(points)
        trimmed = [named(grid, route[a : len(route) - b]) for a in (0, 1) for b in (0, 1) if len(route) - a - b > 1]
        assert named(grid, found.route(0)) in trimmed
        agreed += 1
    assert agreed >= 5


def test_certainty_is_a_lower_bound_on_the_probability_over_all_sequences(grid):
    points = [at(0.1, 1.0), at(0.3, 5.0), at(1.0, 8.2), at(1.8, 9.5)]
    found = match(grid, [points], radius_m=55.0)
    passed = NaiveMatcher(grid, 10.0, 20.0, 55.0, BACK_M).passed(points)
    want = np.array([passed[edge] for edge in found.route(0).tolist()])
    assert (found.is_sure <= want + 1e-3).all()
    assert want == pytest.approx(found.is_sure, abs=0.3)
    length = grid.attributes.length_m[found.edge]
    assert found.confidence[0] == pytest.approx(float(length @ found.is_sure / length.sum()))


def test_every_route_is_permitted(grid):
    generator = np.random.default_rng(0)
    rows = [[at(*place) for place in generator.uniform(0, [6, 12], (6, 2))] for _ in range(40)]
    found = match(grid, rows, max_dropped=1)
    assert len(found) > 20
    for k in range(len(found)):
        route = found.route(k)
        assert len(route) >= 2
        assert (grid.turns.find(route[:-1], route[1:]) >= 0).all()


def test_a_straight_drive(grid):
    found = match(grid, [[at(0, 1), at(0.05, 3), at(-0.05, 7), at(0.02, 10)]])
    assert routes(grid, found) == ["abcd"]
    assert found.confidence[0] > 0.95
    assert found.span.tolist() == [[0, 3]]
    assert found.point_distance_m[:2] == pytest.approx([0, 5], abs=0.3)


def test_a_one_way_street_is_not_driven_against_its_direction(grid):
    # From g towards f: along fg there is no way back, around the block there is.
    found = match(grid, [[at(2, 11), at(2, 9), at(1.8, 7.5), at(1, 4.2), at(2.0, 2.0)]])
    for route in routes(grid, found):
        assert "gf" not in route


def test_a_forbidden_turn_is_not_taken(grid):
    # b to f to g is banned: the points say so, the route cannot.
    for route in routes(grid, match(grid, [[at(0.4, 4), at(1.6, 4), at(2.0, 5.0), at(2, 7)]])):
        assert "bfg" not in route


def test_of_parallel_roads_the_one_that_goes_on(tmp_path_factory):
    drawing = """\
a---b---c---d

e---f---g---h
|
i
"""
    place = roads(tmp_path_factory, drawing)
    # Nearer to the upper road in the middle, but begun and ended below: only one of them is connected.
    rows = [[at(3, 0), at(2, 1), at(0.95, 4), at(0.9, 6), at(1.9, 9), at(2, 11)]]
    assert routes(place, match(place, rows, radius_m=150.0, sigma=40.0)) == ["iefgh"]


def test_a_gap_in_time_cuts(grid):
    made = traces([at(0, 1), at(0, 3), at(0, 6), at(6, 1), at(6, 3), at(6, 6)])
    clock = np.array([0.0, 10, 20, 5000, 5010, 5020])
    found = match(grid, Traces(**{**vars(made), "time_s": clock}))
    assert routes(grid, found) == ["abc", "mno"]
    assert found.row.tolist() == [0, 0]


def test_a_u_turn_in_a_street_cuts_the_route_in_two(grid):
    rows = [[at(0, 0.5), at(0, 4.8), at(0, 6), at(0, 4.6), at(0, 3), at(0, 0.5)]]
    found = match(grid, rows, seconds=5.0, max_excess=5.0, beta=10.0)
    assert routes(grid, found)[0] == "abc"
    assert routes(grid, found)[-1].endswith("ba")
    assert len(found) == 2


def test_an_outlier_is_left_out(grid):
    rows = [[at(0, 1), at(0, 3), at(9, 5), at(0, 7), at(0, 10)]]
    found = match(grid, rows)
    assert routes(grid, found) == ["abcd"]
    assert FATES[found.fate[2]] == "off_road"
    rows = [[at(0, 1), at(0, 3), at(4, 6), at(0, 7), at(0, 10)]]  # on a road, but too far away in the time
    found = match(grid, rows, seconds=20.0, max_ratio=1.0)
    assert routes(grid, found) == ["abcd"]
    assert FATES[found.fate[2]] == "unreachable"


def test_a_stop_and_jitter_do_not_make_a_detour(grid):
    rows = [[at(0, 1), at(0, 3), at(0.01, 3.3), at(0, 2.95), at(0, 3.1), at(0, 6), at(0, 10)]]
    assert routes(grid, match(grid, rows, sigma=3.0)) == ["abcd"]


def test_a_heading_decides_the_direction(grid):
    # One point near a crossing and one a little on: by distance alone f could be reached either way.
    made = traces([at(1.0, 4.02), at(1.0, 3.98)])
    kept = MatchingSettings(radius_m=60.0, threads=1)
    for heading, want in ((0.0, "fb"), (180.0, "bf")):
        seen = Traces(**{**vars(made), "heading_deg": np.full(2, heading), "speed_kmh": np.full(2, 40.0)})
        found = TraceMatcher(grid, kept).match(seen, noise(0.5, 20.0))
        edge = found.point_edge[0]
        assert named(grid, [edge]) == want


def test_no_road_near_and_one_edge_give_no_route(grid):
    found = match(grid, [[at(9, 1), at(9, 2)], [at(0, 1), at(0, 3)]])
    assert len(found) == 0
    assert [FATES[fate] for fate in found.fate.tolist()] == ["off_road", "off_road", "cut", "cut"]


def test_no_traces(grid):
    found = TraceMatcher(grid, MatchingSettings(threads=1)).match(traces([at(0, 1)]).take(np.zeros(0, np.int64)))
    assert len(found) == 0


def test_threads_and_blocks_change_nothing(grid, monkeypatch):
    generator = np.random.default_rng(1)
    rows = [[at(*place) for place in generator.uniform(0, [6, 12], (6, 2))] for _ in range(60)]
    one = match(grid, rows)
    monkeypatch.setattr("trodden.irl.matching.BLOCK_POINTS", 64)
    many = match(grid, rows, threads=3)
    for name, column in vars(one).items():
        np.testing.assert_array_equal(column, getattr(many, name), err_msg=name)


def test_arrays_that_become_full_change_nothing(grid):
    generator = np.random.default_rng(3)
    rows = traces(*[[at(*place) for place in generator.uniform(0, [6, 12], (7, 2))] for _ in range(12)])
    matcher = TraceMatcher(grid, MatchingSettings(radius_m=60.0, threads=1))
    roomy = matcher.match(rows, noise())
    small = _Workspace(grid.graph.num_edges)
    small._heap = small._rows = small._steps = small._path = 2
    other = matcher.altered(matcher.settings)
    other._workspaces = queue.SimpleQueue()
    other._workspaces.put(small)
    found = other.match(rows, noise())
    assert small._rows > 2
    assert len(found) > 5
    for name, value in vars(roomy).items():
        np.testing.assert_array_equal(getattr(found, name), value, name)


def test_costs_of_a_model_choose_the_path_between_points(grid):
    from_b_to_k = [[at(0, 3.0), at(0, 3.9), at(4, 8.1), at(4, 9.0)]]
    cheap = np.ones(grid.turns.num_turns)
    names = {named(grid, [e]): e for e in range(grid.graph.num_edges)}
    for over in ("bc", "cg", "gk"):
        cheap[grid.turns.to_edge == names[over]] = 0.01
    options = MatchingSettings(radius_m=30.0, threads=1)
    found = TraceMatcher(grid, options, turn_cost=cheap).match(traces(*from_b_to_k), noise(5.0, 50.0))
    assert routes(grid, found) == ["abcgkl"]


@pytest.mark.parametrize(
    ("name", "value"), [("sigma_m", -1.0), ("max_candidates", 0), ("paths_by", "beauty"), ("max_gap_s", float("nan"))]
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigurationError, match=name):
        MatchingSettings(**{name: value})


def test_a_network_without_coordinates_is_refused(grid):
    graph = grid.graph
    bare = type(graph)(graph.tail, graph.head, graph.edge_id, graph.node_id)
    blind = RoadNetwork(bare, grid.attributes, grid.turns, None, {}, "x")
    with pytest.raises(MissingDataError, match="coordinates"):
        TraceMatcher(blind)
