"""GPS traces put on the road by the router: known drives come back, legs add up, nothing is lost in silence."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from ascii_map import COLUMN_DEG, LINE_DEG, ORIGIN, town
from hypothesis import given, settings
from hypothesis import strategies as st
from known_drives import METRES, along, drives, points_of
from stated_model import small_city, stated_model
from strategies import make_network
from trodden import read_roads
from trodden.core.errors import (
    ConfigurationError,
    InvalidValueError,
    MissingDataError,
    PointFormatError,
    UnknownIdError,
)
from trodden.graphs.costs import fastest_costs
from trodden.graphs.geometry import great_circle_m
from trodden.routing.router import Router

A, B, C = (-29.8990, -71.2490), (-29.8890, -71.2380), (-29.8921, -71.2463)
STREETS = """\
a---b---c---d
|       |
e-------f
"""


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    model = stated_model(small_city(tmp_path_factory.mktemp("city")))
    router = Router(model)
    router.add_metric("shortest", *(model.baseline_costs["shortest"], model.entry_cost))
    return router


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    network = read_roads(town(STREETS).write(tmp_path_factory.mktemp("town")), join="none")
    return Router.from_costs(network, *fastest_costs(network))


def at(line, column):
    """A place of the drawing: 100 m a line, 50 m a column."""
    return ORIGIN[0] - line * LINE_DEG, ORIGIN[1] + column * COLUMN_DEG


def check_sums(found):
    """What must hold of any answer."""
    seen = set()
    for number, piece in enumerate(found.pieces):
        route, legs = piece.route, piece.route.legs
        assert len(legs) == len(piece.stops) - 1
        for name in ("cost", "length_m", "travel_time_s"):
            assert sum(getattr(leg, name) for leg in legs) == pytest.approx(getattr(route, name), abs=1e-6)
        assert (np.diff(piece.stops) > 0).all()
        assert 0.0 <= piece.confidence <= 1.0
        for leg, one, other in zip(legs, piece.stops, piece.stops[1:], strict=False):
            begin, end = found.points[one], found.points[other]
            assert (begin.piece, end.piece) == (number, number)
            np.testing.assert_allclose(leg.geometry[0], [begin.snap.latitude_deg, begin.snap.longitude_deg], atol=1e-9)
            np.testing.assert_allclose(leg.geometry[-1], [end.snap.latitude_deg, end.snap.longitude_deg], atol=1e-9)
            assert leg.edges[0] == begin.snap.edge
            assert leg.edges[-1] == end.snap.edge
        joined = [int(edge) for leg in legs for edge in leg.edges[:-1]] + [int(legs[-1].edges[-1])]
        assert joined == route.edges.tolist()
        seen |= {position for position, point in enumerate(found.points) if point.piece == number}
    for position, point in enumerate(found.points):
        assert (point.snap is not None) == (position in seen) == (point.fate in {"used", "placed"})


def distances(points, found):
    snaps = [point.snap for point in found.points]
    used = [k for k, snap in enumerate(snaps) if snap is not None]
    there = np.array([[snaps[k].latitude_deg, snaps[k].longitude_deg] for k in used])
    here = np.asarray(points)[used]
    return great_circle_m(here[:, 0], here[:, 1], there[:, 0], there[:, 1]), np.array(
        [snaps[k].distance_m for k in used]
    )


@pytest.mark.parametrize(("interval_s", "noise_m"), [(1.0, 2.0), (2.0, 6.0), (10.0, 4.0)])
def test_simulated_drives_come_back(router, interval_s, noise_m):
    routes = [router.route(one, other).edges for one, other in ((A, B), (B, C), (C, A))]
    traces = drives(router.network, routes, seed=3, interval_s=interval_s, noise_m=noise_m)
    for row, route in enumerate(routes):
        points, times = points_of(traces, row)
        found = router.match(points, times)
        check_sums(found)
        [piece] = found.pieces
        inner = route[1:-1].tolist()  # a drive may begin and end within the noise of its first and last junction
        assert set(inner) <= set(piece.route.edges.tolist()) <= set(route.tolist())
        assert piece.confidence > 0.9
        assert all(point.fate in {"used", "placed"} for point in found.points)
        got, told = distances(points, found)
        np.testing.assert_allclose(got, told, atol=1e-3)
        assert np.median(got) < 2 * noise_m


def test_a_drive_along_a_route_costs_what_the_route_does(router):
    want = router.route(A, B)
    points = along(want, 25)
    for metric in ("learned", "shortest"):
        found = router.match(points, np.arange(25) * 6.0, metric=metric)
        check_sums(found)
        [piece] = found.pieces
        assert piece.route.edges.tolist() == want.edges.tolist()
        assert piece.route.length_m == pytest.approx(want.length_m, abs=0.1)
        assert piece.route.metric == metric
        assert piece.route.version == router.version(metric)
    assert router.match(points).pieces[0].route.cost == pytest.approx(want.cost, rel=1e-4)
    assert router.match(points).pieces[0].route.log_probability == pytest.approx(want.log_probability, abs=1e-6)


def test_stops_are_the_points_named(router):
    points = along(router.route(A, B), 20)
    all_of_them = router.match(points, stops=None).pieces[0]
    assert all_of_them.stops == tuple(range(20))
    found = router.match(points, stops=[7, 7, 12])
    check_sums(found)
    assert found.pieces[0].stops == (0, 7, 12, 19)
    assert found.points[7].stop == 1
    assert found.points[8].stop == -1
    assert found.points[8].snap is not None
    ends = router.match(points, stops=[]).pieces[0]
    assert ends.stops == (0, 19)
    assert ends.route.cost == pytest.approx(all_of_them.route.cost)
    assert ends.route.edges.tolist() == all_of_them.route.edges.tolist()


def test_a_gap_makes_two_pieces(router):
    points = along(router.route(A, B), 30)
    times = np.arange(30) * 5.0
    times[15:] += 1000.0
    found = router.match(points, times)
    check_sums(found)
    assert [piece.stops[0] for piece in found.pieces] == [0, 15]
    assert found.pieces[0].stops[-1] == 14
    assert len(router.match(points, times, max_gap_s=2000.0).pieces) == 1
    assert len(router.match(points, times, max_gap_s=float("inf")).pieces) == 1


def test_what_becomes_of_points_that_are_not_used(router):
    points = along(router.route(A, B), 20)
    points[6] += (0.02, -0.02)
    found = router.match(points)
    check_sums(found)
    assert found.points[6].fate == "off_road"
    assert found.fates == {"used": 19, "off_road": 1}
    assert "1 off_road" in repr(found)
    jumping = router.match(points, np.arange(20) * 5.0)
    assert jumping.points[6].fate == "jump"
    assert len(jumping.pieces) == 1
    far = router.match(points + 1.0)
    assert far.pieces == ()
    assert far.fates == {"off_road": 20}


def test_points_within_the_noise_are_placed_or_left_out(streets):
    dense = [at(0.01 * (-1) ** k, 0.5 + 0.06 * k) for k in range(80)]  # 3 m apart
    found = streets.match(dense, np.arange(80.0), sigma_m=5.0)
    check_sums(found)
    assert set(found.fates) == {"used", "placed"}
    assert found.pieces[0].stops == tuple(range(80))
    got, _ = distances(dense, found)
    assert got.max() < 2.0
    longitudes = [point.snap.longitude_deg for point in found.points]
    assert longitudes == sorted(longitudes)
    thin = streets.match(dense, np.arange(80.0), sigma_m=5.0, thin=True)
    check_sums(thin)
    assert thin.fates["thinned"] > 40
    assert thin.pieces[0].route.edges.tolist() == found.pieces[0].route.edges.tolist()


def test_a_drive_on_one_edge_is_a_route(streets):
    found = streets.match([at(2.0, column) for column in (1.0, 3.0, 6.5)])
    check_sums(found)
    [piece] = found.pieces
    assert len(piece.route.edges) == 1
    assert piece.route.length_m == pytest.approx(5.5 * 50, rel=0.01)
    back = streets.match([at(2.0, column) for column in (6.5, 3.0, 1.0)]).pieces[0].route
    assert back.edges[0] != piece.route.edges[0]


def test_a_block_driven_round_passes_its_first_street_twice(streets):
    corners = [(0, 4.5), (0, 6), (0, 7.8), (1, 8), (2, 7), (2, 4), (2, 1), (1, 0), (0, 1), (0, 3), (0, 5), (0, 7)]
    found = streets.match([at(*corner) for corner in corners], np.arange(12) * 20.0)
    check_sums(found)
    [piece] = found.pieces
    edges = piece.route.edges.tolist()
    assert edges[0] == edges[-1]
    assert found.points[0].snap.fraction == pytest.approx(0.125, abs=0.03)
    assert found.points[11].snap.fraction == pytest.approx(0.75, abs=0.03)
    assert piece.route.length_m == pytest.approx(50 * (8 + 8 + 4 + 4 + 2.5), rel=0.03)


def test_errors_of_each_point_weigh(streets):
    """A point half-way between two streets, 100 m from both: only a receiver that says it errs so much is believed."""
    points = [at(0, 1), at(0, 3), at(1, 5), at(0, 7)]
    sure = streets.match(points, sigma_m=5.0)
    assert sure.points[2].fate == "off_road"
    unsure = streets.match(points, sigma_m=[5.0, 5.0, 60.0, 5.0])
    assert unsure.points[2].fate == "used"
    assert unsure.pieces[0].route.length_m == pytest.approx(6 * 50, rel=0.02)
    unknown = streets.match(points, sigma_m=[5.0, np.nan, 60.0, 5.0])
    check_sums(unknown)
    assert unknown.sigma_m == 5.0


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 24)), min_size=2, max_size=8),
    st.sampled_from([None, 3.0, 20.0]),
    st.booleans(),
    st.sampled_from([None, 1.0, 30.0]),
)
def test_any_trace_adds_up(streets, places, sigma_m, thin, seconds):
    points = [at(line / 10, column / 2) for line, column in places]
    times = None if seconds is None else np.arange(len(points)) * seconds
    found = streets.match(points, times, sigma_m=sigma_m, thin=thin)
    assert len(found.points) == len(points)
    check_sums(found)


@pytest.mark.parametrize(
    ("points", "options", "error", "words"),
    [
        ([A], {}, ConfigurationError, "1 points"),
        ([A, (91.0, 0.0)], {}, InvalidValueError, "row 1"),
        ([A, (float("nan"), 0.0)], {}, InvalidValueError, "row 1"),
        ([A, "here"], {}, PointFormatError, "here"),
        ([A, "edge:1"], {}, ConfigurationError, "point 1"),
        ([A, B], {"times": [0.0]}, ConfigurationError, "1 times for 2"),
        ([A, B, C], {"times": [0.0, 2.0, 1.0]}, InvalidValueError, "row 2"),
        ([A, B], {"times": [0.0, float("nan")]}, InvalidValueError, "row 1"),
        ([A, B], {"sigma_m": [1.0]}, ConfigurationError, "1 values for 2"),
        ([A, B], {"sigma_m": [1.0, -1.0]}, InvalidValueError, "row 1"),
        ([A, B], {"sigma_m": float("inf")}, InvalidValueError, "row 0"),
        ([A, B], {"max_gap_s": 0.0}, ConfigurationError, "max_gap_s"),
        ([A, B], {"stops": [2]}, ConfigurationError, "none of the 2 points"),
        ([A, B], {"metric": "none"}, UnknownIdError, "none"),
    ],
)
def test_refusals(router, points, options, error, words):
    with pytest.raises(error, match=words):
        router.match(points, **options)


def test_a_network_without_coordinates_has_nothing_to_match_to():
    network = make_network([0, 1], [1, 0])
    router = Router.from_costs(network, *fastest_costs(network))
    with pytest.raises(MissingDataError):
        router.match([A, B])


def test_threads_share_one_matcher_while_costs_are_swapped(router):
    points = along(router.route(A, B), 25)
    want = router.match(points).pieces[0].route.edges.tolist()
    faults, made = [], set()

    def work():
        try:
            for _ in range(10):
                found = router.match(points)
                made.add(id(router._matchers))
                assert found.pieces[0].route.edges.tolist() == want
        except Exception as error:  # seen by the thread that waits
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    costs = router._metrics.get("shortest")
    for _ in range(3):
        router.add_metric("shortest", costs.turn_cost, costs.entry_cost)
        version = router.match(points, metric="shortest").pieces[0].route.version
        assert version == router.version("shortest")
    for thread in threads:
        thread.join()
    assert not faults
    assert len(made) == 1
    router.add_metric("short-lived", costs.turn_cost, costs.entry_cost)
    assert router.match(points, metric="short-lived").pieces
    router.remove_metric("short-lived")
    assert "short-lived" not in router._matchers._by_metric


def test_noise_is_estimated_from_the_trace(router):
    generator = np.random.default_rng(1)
    points = along(router.route(A, B), 120) + generator.normal(0, 8, (120, 2)) * METRES
    found = router.match(points, np.arange(120) * 3.0)
    check_sums(found)
    assert found.sigma_m == pytest.approx(8.0, rel=0.5)
    assert len(found.pieces) == 1


@pytest.mark.slow
@pytest.mark.real_data
def test_drives_on_porto_come_back(data_folder):
    network = read_roads(data_folder / "osm" / "porto.osm.pbf")
    router = Router.from_costs(network, *fastest_costs(network))
    generator, main = np.random.default_rng(0), np.flatnonzero(network.turns.is_main)
    pairs = network.graph.edge_id[generator.choice(main, (25, 2))].tolist()
    found = [router.route(f"edge:{one}", f"edge:{other}").edges for one, other in pairs]
    routes = [one for one in found if len(one) > 10]
    traces = drives(network, routes, seed=1, interval_s=5.0, noise_m=5.0)
    shares = []
    for row, route in enumerate(routes):
        matched = router.match(*points_of(traces, row))
        check_sums(matched)
        edges = {int(edge) for piece in matched.pieces for edge in piece.route.edges}
        shares.append(len(edges & set(route.tolist())) / len(set(route.tolist())))
    assert np.mean(shares) > 0.97
