"""Measures of agreement, by hand and against naive sets; intervals and tests against what is known of them."""

from __future__ import annotations

import math

import irl_oracles as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.irl.measures import bootstrap_interval, compare_matches, edge_iou, exact_match

LENGTH = np.array([100.0, 50.0, 25.0, 200.0, 1.0])


def route(*edges):
    return np.array(edges, np.int32)


def test_an_exact_match_is_the_same_sequence():
    assert exact_match(route(1, 2, 3), route(1, 2, 3)) is True
    assert exact_match(route(1, 2, 3), route(1, 3, 2)) is False
    assert exact_match(route(1, 2), route(1, 2, 3)) is False
    assert exact_match(route(), route(1)) is False


@pytest.mark.parametrize(
    ("one", "two", "want"),
    [
        (route(0, 1), route(0, 1), 1.0),
        (route(0, 1), route(1, 0), 1.0),  # as sets
        (route(0, 1), route(2, 3), 0.0),
        (route(0, 1), route(1, 2), 50 / 175),
        (route(0, 1, 0, 1), route(1, 2), 50 / 175),  # an edge counts once
        (route(), route(1, 2), 0.0),  # no route was found
        (route(0, 3), route(0, 1, 2), 100 / 375),
    ],
)
def test_overlap_by_hand(one, two, want):
    assert edge_iou(one, two, LENGTH) == pytest.approx(want)
    assert edge_iou(two, one, LENGTH) == pytest.approx(want)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=6), st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_overlap_equals_naive_sets(one, two):
    got = edge_iou(np.array(one, np.int32), np.array(two, np.int32), LENGTH)
    assert got == pytest.approx(naive.iou(one, two, LENGTH))
    assert 0.0 <= got <= 1.0


def test_an_interval_of_equal_values_is_a_point():
    assert bootstrap_interval(np.full(20, 0.25), np.arange(1.0, 21.0)) == pytest.approx((0.25, 0.25))


def test_an_interval_is_reproducible_and_about_as_wide_as_theory_says():
    values = np.repeat([0.0, 1.0], [280, 120])
    low, high = bootstrap_interval(values, np.ones(400), seed=3)
    assert bootstrap_interval(values, np.ones(400), seed=3) == (low, high)
    uneven = np.linspace(0, 1, 400) ** 3
    assert bootstrap_interval(uneven, np.ones(400), seed=3) != bootstrap_interval(uneven, np.ones(400), seed=4)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 400)
    assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.1 * half)
    narrow = bootstrap_interval(values, np.ones(400), seed=3, level=0.5)
    assert low < narrow[0] < 0.3 < narrow[1] < high


def test_an_interval_heeds_weights():
    values, weight = np.repeat([0.0, 1.0], [100, 100]), np.repeat([1.0, 3.0], [100, 100])
    low, high = bootstrap_interval(values, weight)
    assert low < 0.75 < high
    assert low > 0.6


def test_no_routes_have_no_interval():
    assert np.isnan(bootstrap_interval(np.zeros(0), np.zeros(0))).all()


def test_two_models_compared_by_hand():
    first = np.repeat([True, False, True, False], [8, 2, 5, 5])
    second = np.repeat([False, True, True, False], [8, 2, 5, 5])
    found = compare_matches(first, second, np.ones(20))
    assert (found.only_first, found.only_second) == (8, 2)
    assert found.difference == pytest.approx(6 / 20)
    assert found.p_value == pytest.approx(2 * sum(math.comb(10, k) for k in range(3)) / 2**10)
    assert found.interval[0] < 0.3 < found.interval[1]
    other = compare_matches(second, first, np.ones(20))
    assert (other.difference, other.p_value) == (pytest.approx(-0.3), pytest.approx(found.p_value))


def test_a_weighted_difference():
    found = compare_matches(np.array([True, False]), np.array([False, True]), np.array([3.0, 1.0]))
    assert found.difference == pytest.approx((3 - 1) / 4)


def test_a_model_compared_with_itself():
    same = np.array([True, False, True])
    found = compare_matches(same, same, np.ones(3))
    assert (found.difference, found.interval, found.p_value) == (0.0, (0.0, 0.0), 1.0)
