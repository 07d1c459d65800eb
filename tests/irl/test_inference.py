"""Standard errors against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from trodden.irl.inference import hessian, standard_errors


def test_hessian_of_a_known_function():
    matrix = np.array([[4.0, 1.0], [1.0, 3.0]])

    def gradient(x):
        return matrix @ x + x**3

    np.testing.assert_allclose(hessian(gradient, np.array([0.5, -1.0])), matrix + 3 * np.diag([0.25, 1.0]), atol=1e-6)


def test_standard_errors_are_those_of_the_inverse():
    random = np.random.default_rng(0)
    root = random.normal(size=(5, 5))
    information = root @ root.T + np.eye(5)
    errors, is_identified = standard_errors(information, np.zeros((0, 5)))
    np.testing.assert_allclose(errors, np.sqrt(np.diag(np.linalg.inv(information))))
    assert is_identified.all()


def test_scale_does_not_decide_what_is_identified():
    information = np.diag([1e8, 1.0, 1e-4])
    errors, is_identified = standard_errors(information, np.zeros((0, 3)))
    assert is_identified.all()
    np.testing.assert_allclose(errors, [1e-4, 1.0, 100.0], rtol=1e-6)


def test_collinear_and_constant_features_are_found():
    random = np.random.default_rng(0)
    columns = random.normal(size=(200, 3))
    table = np.column_stack([columns, columns[:, 0] - columns[:, 1], np.zeros(200)])
    errors, is_identified = standard_errors(table.T @ table, np.zeros((0, 5)))
    np.testing.assert_array_equal(is_identified, [False, False, True, False, False])
    assert np.isnan(errors[[0, 1, 3, 4]]).all()
    assert errors[2] == pytest.approx(np.sqrt(np.linalg.inv(columns.T @ columns)[2, 2]), rel=1e-6)


def test_a_bound_feature_has_none_and_the_others_vary_along_the_constraint():
    information = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 4.0]])
    errors, _ = standard_errors(information, np.array([[1.0, 0.0, 0.0]]))
    assert np.isnan(errors[0])
    np.testing.assert_allclose(errors[1:], np.sqrt(np.diag(np.linalg.inv(information[1:, 1:]))))
