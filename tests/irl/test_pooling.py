"""Pooling: the penalty and its derivatives against differences, its two ends, and tables that come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.irl.pooling import Pooling

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 4))


@settings(deadline=None, max_examples=50)
@given(SHAPES, st.floats(0, 1e4), st.integers(0, 2**32 - 1))
def test_the_penalty_is_what_it_says_and_its_gradient_that_of_differences(shape, penalty, seed):
    random = np.random.default_rng(seed)
    table, slope = random.normal(size=shape), random.normal(size=shape)
    pooling = Pooling(*shape, penalty)

    def loss(point):
        return pooling.pulled(float((slope * pooling.table(point)).sum()), slope, point)

    point = pooling.point(table)
    mean = [sum(row[f] for row in table) / shape[0] for f in range(shape[1])]
    naive = sum((table[r][f] - mean[f]) ** 2 for r in range(shape[0]) for f in range(shape[1])) * penalty / 2
    value, gradient = loss(point)
    assert value == pytest.approx(naive + (slope * table).sum(), rel=1e-9, abs=1e-9)
    for k, step in enumerate(np.eye(len(point)) * 1e-5):
        difference = (loss(point + step)[0] - loss(point - step)[0]) / 2e-5
        assert gradient[k] == pytest.approx(difference, rel=1e-5, abs=1e-4 * (1 + penalty))


@settings(deadline=None, max_examples=50)
@given(SHAPES, st.sampled_from([0.0, 3.0, np.inf]), st.integers(0, 2**32 - 1))
def test_the_hessian_is_that_of_a_quadratic_loss(shape, penalty, seed):
    random = np.random.default_rng(seed)
    count, size = shape
    root = random.normal(size=(count * size, count * size))
    own = root @ root.T
    pooling = Pooling(count, size, penalty)

    def gradient(point):
        table = pooling.table(point)
        return pooling.pulled(0.0, (own @ table.ravel()).reshape(shape), point)[1]

    point = pooling.point(random.normal(size=shape))
    want = np.array([gradient(point + step) - gradient(point) for step in np.eye(len(point))])
    np.testing.assert_allclose(pooling.hessian(own), want, rtol=1e-9, atol=1e-9)


def test_one_shared_reward_is_one_row():
    pooling = Pooling(3, 2, np.inf)
    table = pooling.table(np.array([1.0, 2.0]))
    assert table.tolist() == [[1, 2]] * 3
    assert pooling.point(table).tolist() == [1, 2]
    loss, gradient = pooling.pulled(7.0, np.ones((3, 2)), np.array([1.0, 2.0]))
    assert (loss, gradient.tolist()) == (7.0, [3, 3])


def test_a_region_that_nothing_is_known_of_is_left_where_its_fellows_are():
    """At the optimum of a penalised loss, a region without data sits at the mean of all, so of the others."""
    pooling = Pooling(3, 1, 2.0)
    target = np.array([[1.0], [5.0], [0.0]])
    weight = np.array([[1.0], [1.0], [0.0]])
    point = np.zeros(3)
    matrix = pooling.hessian(np.diag(weight.ravel()))
    gradient = pooling.pulled(0.0, weight * (pooling.table(point) - target), point)[1]
    best = pooling.table(point - np.linalg.solve(matrix, gradient)).ravel()
    assert best[2] == pytest.approx(best[:2].mean())
    assert 1 < best[0] < best[2] < best[1] < 5
