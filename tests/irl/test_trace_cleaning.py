"""Cleaning traces: each fault is counted by its reason; and cutting them into trips, with private ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trodden.core.errors import ConfigurationError
from trodden.irl.private_ends import shares_ends
from trodden.irl.trace_cleaning import _longest_rising, clean
from trodden.irl.traces import POINT_STATUSES, TRACE_STATUSES, Traces
from trodden.irl.trips_of_traces import TripRules, cut_trips

BOUNDS = np.array([41.0, -8.8]), np.array([41.3, -8.4])
STEP = 0.001  # some 111 m


def trace(points: list[tuple[float, ...]], name: str = "t") -> Traces:
    """Points of (latitude, longitude[, time]); ten seconds apart where no time is given."""
    table = [(*p[:2], p[2] if len(p) > 2 else 10.0 * k) for k, p in enumerate(points)]
    columns = np.array(table, float).reshape(-1, 3)
    return Traces([name], np.array([0, len(points)]), columns[:, 0], columns[:, 1], columns[:, 2])


def north(count: int, **more) -> list[tuple[float, float]]:
    return [(41.1 + STEP * k, -8.6) for k in range(count)]


def test_a_good_trace_stays_as_it_is():
    found = clean(trace(north(5)), BOUNDS)
    assert found.traces.num_points == 5
    assert found.points == {}
    assert found.skipped == ()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ((float("nan"), -8.6), "not_a_number"),
        ((41.1, float("inf")), "not_a_number"),
        ((41.1, -8.6, float("nan")), "not_a_number"),
        ((200.0, -8.6), "out_of_range"),
        ((41.1 + STEP, -8.6, 10.0), "duplicate"),
        ((41.1 + STEP, -8.6, -500.0), "time_back"),
        ((41.25, -8.6, 15.0), "jump"),
        ((45.0, -8.6), "jump"),
    ],
)
def test_one_bad_point_is_left_out_and_counted(fault, reason):
    points = [(*p, 10.0 * k) for k, p in enumerate(north(6))]
    place = fault if len(fault) > 2 else (*fault, 15.0)
    found = clean(trace([*points[:2], place, *points[2:]]), BOUNDS)
    assert found.points == {reason: 1}
    assert found.traces.num_points == 6
    assert reason in POINT_STATUSES


def test_a_clock_that_jumps_ahead_once_does_not_take_the_rest_along():
    points = [(*p, 10.0 * k) for k, p in enumerate(north(8))]
    points[2] = (*points[2][:2], 1e9)
    found = clean(trace(points), BOUNDS)
    assert found.points == {"time_back": 1}
    assert found.traces.num_points == 7


def test_a_trace_written_backwards_is_sorted():
    points = [(*p, 10.0 * k) for k, p in enumerate(north(8))]
    found = clean(trace(points[::-1]), BOUNDS)
    assert found.points == {}
    assert (np.diff(found.traces.time_s) > 0).all()
    assert (np.diff(found.traces.latitude_deg) > 0).all()


@given(st.lists(st.integers(0, 6), max_size=9))
def test_the_longest_rising_part_is_the_longest(values):
    kept = _longest_rising(np.array(values, float))
    chosen = np.array(values)[kept] if values else np.zeros(0)
    assert (np.diff(chosen) >= 0).all()
    best = 0
    for mask in range(1 << len(values)):
        part = [v for k, v in enumerate(values) if mask >> k & 1]
        if part == sorted(part):
            best = max(best, len(part))
    assert len(chosen) == best


@pytest.mark.parametrize(
    ("points", "status", "words"),
    [
        ([], "no_point", "none"),
        ([(float("nan"), 0.0)], "no_point", "none"),
        ([(41.1, -8.6)], "single_point", "one"),
        ([(41.1, -8.6), (41.1 + 1e-5, -8.6), (41.1, -8.6 + 1e-5)], "stationary", "3 points"),
        ([(-8.6, 41.1), (-8.6, 41.2)], "swapped", "latitude comes first"),
        ([(48.1, 11.5), (48.2, 11.5)], "outside", "the map covers 41.000..41.300"),
    ],
)
def test_a_trace_of_which_nothing_is_left_has_a_reason(points, status, words):
    found = clean(trace(points), BOUNDS)
    assert len(found.traces) == 0
    assert [one.status for one in found.skipped] == [status]
    assert words in found.skipped[0].detail
    assert status in TRACE_STATUSES


def test_swapped_coordinates_beyond_90_degrees_are_known_as_swapped():
    beijing = np.array([39.8, 116.2]), np.array([40.1, 116.6])
    found = clean(trace([(116.3, 39.9), (116.3, 39.95)]), beijing)
    assert [one.status for one in found.skipped] == ["swapped"]


def test_a_trace_without_times_is_cleaned_too():
    points = [(*p, float("nan")) for p in north(4)]
    found = clean(trace([points[0], points[0], *points[1:]]), BOUNDS)
    assert found.points == {"duplicate": 1}
    assert found.traces.num_points == 4


def day() -> list[tuple[float, float, float]]:
    """Drive, stand for ten minutes with jitter, drive on; then a gap of an hour, and drive again."""
    first = [(41.1 + STEP * k, -8.6, 10.0 * k) for k in range(6)]
    stop = [(41.105 + 1e-5 * (k % 3), -8.6, 60.0 + 60 * k) for k in range(10)]
    second = [(41.105 + STEP * k, -8.6, 610.0 + 10 * k) for k in range(1, 6)]
    third = [(41.11 + STEP * k, -8.6, 5000.0 + 10 * k) for k in range(5)]
    return [*first, *stop, *second, *third]


def test_a_day_is_cut_at_stops_and_gaps():
    found = cut_trips(trace(day(), "day"))
    assert list(found.traces.trace_id) == ["day#1", "day#2", "day#3"]
    assert found.num_stops == 1
    assert found.row.tolist() == [0, 0, 0]
    spans = [(t[a], t[b - 1]) for t, a, b in zip([found.traces.time_s] * 3, found.traces.first, found.traces.first[1:],
                                                 strict=False)]  # fmt: skip
    assert spans == [(0.0, 50.0), (600.0, 660.0), (5000.0, 5040.0)]


def test_no_stop_where_none_is_asked_for():
    found = cut_trips(trace(day(), "day"), TripRules(dwell_s=float("inf"), max_gap_s=1e9))
    assert list(found.traces.trace_id) == ["day"]
    assert found.traces.num_points == len(day())


def test_ends_are_cut_as_the_crow_flies():
    found = cut_trips(trace(north(20)), TripRules(cut_ends_m=300.0))
    assert found.traces.latitude_deg[[0, -1]] == pytest.approx([41.1 + 3 * STEP, 41.1 + 16 * STEP])
    # A round trip: what is near its ends in between stays, since a route leads through there.
    short = cut_trips(trace(north(4)), TripRules(cut_ends_m=300.0))
    assert len(short.traces) == 0
    assert [one.status for one in short.skipped] == ["too_short"]


@pytest.mark.parametrize(("name", "value"), [("dwell_s", 0.0), ("max_gap_s", -1.0), ("cut_ends_m", -1.0)])
def test_rules_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigurationError, match=name):
        TripRules(**{name: value})


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 4)), max_size=14), st.integers(1, 3))
def test_every_end_that_is_left_is_shared_and_no_more_could_be_kept(rows, least):
    first, last, who = (np.array([row[k] for row in rows], np.int64) for k in range(3))
    kept = shares_ends(first, last, who, least)

    def is_anonymous(mask) -> bool:
        return all(
            len({w for w, e, m in zip(who, end, mask, strict=True) if m and e == edge}) >= least
            for end in (first, last)
            for edge in set(end[mask].tolist())
        )

    assert is_anonymous(kept)
    for row in np.flatnonzero(~kept):  # nor with any other one of them
        more = kept.copy()
        more[row] = True
        assert not is_anonymous(more)
