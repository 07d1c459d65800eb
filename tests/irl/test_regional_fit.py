"""The optimiser of regions on problems whose answer SciPy knows, and Hessians by groups against whole ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from trodden.core.errors import ConfigurationError
from trodden.irl.pooling import Pooling
from trodden.irl.regional_fit import curvature, fit_regions_from, groups, starting_row


def logistic(seed, count=3, size=2, rows=80, shared_rows=0):
    """Negative log-likelihood of binary choices, some of which depend on two regions at once."""
    random = np.random.default_rng(seed)
    design = random.normal(size=(count, rows, size))
    both = random.normal(size=(shared_rows, 2, size))
    truth = random.normal(size=(count, size))

    def utilities(table):
        inside = np.einsum("rnf,rf->rn", design, table)
        across = np.einsum("nkf,kf->n", both, table[:2]) if shared_rows else np.zeros(0)
        return inside, across

    inside, across = utilities(truth)
    chosen = random.random(inside.shape) < 1 / (1 + np.exp(-inside))
    chosen_across = random.random(across.shape) < 1 / (1 + np.exp(-across))

    def evaluate(table):
        inside, across = utilities(table)
        loss = np.logaddexp(0, inside).sum() - inside[chosen].sum()
        loss += np.logaddexp(0, across).sum() - across[chosen_across].sum()
        gradient = np.einsum("rn,rnf->rf", 1 / (1 + np.exp(-inside)) - chosen, design)
        if shared_rows:
            gradient[:2] += np.einsum("n,nkf->kf", 1 / (1 + np.exp(-across)) - chosen_across, both)
        return float(loss), gradient

    return evaluate


@pytest.mark.parametrize("penalty", [0.0, 5.0, np.inf])
@pytest.mark.parametrize("shared_rows", [0, 60])
def test_the_optimum_is_scipys(penalty, shared_rows):
    evaluate = logistic(1, shared_rows=shared_rows)
    pooling = Pooling(3, 2, penalty)
    meets = np.eye(3, dtype=bool)
    meets[:2, :2] |= shared_rows > 0
    steps = []
    found = fit_regions_from(evaluate, np.zeros((3, 2)), penalty, meets=meets, on_step=lambda *step: steps.append(step))
    want = optimize.minimize(
        lambda point: pooling.pulled(*evaluate(pooling.table(point)), point),
        np.zeros(2 if np.isinf(penalty) else 6),
        jac=True,
        options={"gtol": 1e-9},
    )
    np.testing.assert_allclose(found.table, pooling.table(want.x), atol=1e-6)
    # With a penalty the loss itself is not stationary here: it follows the table's last digits.
    assert found.loss == pytest.approx(evaluate(pooling.table(want.x))[0], rel=1e-7)
    assert found.is_converged
    assert found.decrement < 1e-6
    assert [step[0] for step in steps] == list(range(1, found.num_steps + 1))

    # The Hessian is the whole one, cross terms and all.
    def gradient(point):
        return pooling.pulled(*evaluate(pooling.table(point)), point)[1]

    whole = np.array(
        [(gradient(want.x + step) - gradient(want.x - step)) / 2e-5 for step in np.eye(len(want.x)) * 1e-5]
    )
    assert found.is_whole
    # Forward differences where regions share trips: three digits of the largest.
    np.testing.assert_allclose(pooling.hessian(found.curvature), whole, rtol=1e-3, atol=1e-3 * np.abs(whole).max())


def test_out_of_steps_is_not_converged():
    found = fit_regions_from(logistic(2), np.full((3, 2), 4.0), 0.0, max_steps=1)
    assert found.num_steps >= 1
    assert not found.is_converged
    assert found.decrement > 1e-6


def test_steps_never_leave_where_values_exist():
    """Half of the space has no loss; the optimum lies just inside."""
    inner, asked = logistic(3), []

    def evaluate(table):
        asked.append(table)
        return "DivergedError: too cheap" if table[0, 0] > 0.05 else inner(table)

    found = fit_regions_from(evaluate, np.full((3, 2), -1.0), 0.0, wants_errors=False)
    assert found.table[0, 0] <= 0.05
    assert any(table[0, 0] > 0.05 for table in asked)


def test_a_start_without_values_is_refused():
    with pytest.raises(ConfigurationError, match="DivergedError: no"):
        fit_regions_from(lambda table: "DivergedError: no", np.zeros((2, 1)), 0.0)


def test_the_start_is_doubled_until_every_region_has_values():
    asked = []

    def evaluate(table):
        asked.append(table.copy())
        return (1.0, table) if table[0, 0] <= -3 else "DivergedError: the cycle over edges 1, 2"

    row = starting_row(evaluate, np.array([True, False]), 2)
    assert row.tolist() == [-4, 0]
    assert all((table[0] == table[1]).all() for table in asked)
    with pytest.raises(ConfigurationError, match="the cycle over edges 1, 2"):
        starting_row(lambda table: "DivergedError: the cycle over edges 1, 2", np.array([True]), 2)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_no_region_meets_two_of_one_group(count, seed):
    random = np.random.default_rng(seed)
    meets = random.random((count, count)) < 0.3
    meets = meets | meets.T | np.eye(count, dtype=bool)
    found = groups(meets)
    assert sorted(np.concatenate(found).tolist()) == list(range(count))
    for members in found:
        assert (meets[:, members].sum(axis=1) <= 1).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_hessian_of_a_quadratic_is_found_whatever_meets(seed, is_central):
    random = np.random.default_rng(seed)
    count, size = 5, 2
    meets = random.random((count, count)) < 0.3
    meets = meets | meets.T | np.eye(count, dtype=bool)
    root = random.normal(size=(count * size, count * size))
    # Diagonally dominant, so that it stays positive definite where regions do not meet.
    matrix = (root @ root.T) * np.kron(meets, np.ones((size, size)))
    matrix += np.eye(len(matrix)) * np.abs(matrix).sum(axis=1).max()

    def evaluate(table):
        slope = matrix @ table.ravel()
        return float(table.ravel() @ slope) / 2, slope.reshape(count, size)

    found = curvature(evaluate, random.normal(size=(count, size)), meets, is_central=is_central)
    np.testing.assert_allclose(found, matrix, rtol=1e-8, atol=1e-8)
