"""Adam on losses with a known minimum, whole and in parts, and where part of the space has no loss."""

from __future__ import annotations

import numpy as np
import pytest
from trodden.core.config import parse_config
from trodden.core.errors import ConfigurationError
from trodden.irl.adam import minimise

CENTRES = np.array([[1.0, 2.0], [3.0, -2.0], [-1.0, 0.5]])
SHARES = (0.5, 0.25, 0.25)


def part(k, point):
    gap = point - CENTRES[k]
    return 0.5 * float(gap @ gap), gap


def settings(**given):
    return {
        "start": np.zeros(2),
        "shares": SHARES,
        "learning_rate": 0.1,
        "gradient_tolerance": 1e-8,
        "max_passes": 400,
        "seed": 0,
    } | given


def test_the_first_step_is_the_learning_rate_in_every_coordinate():
    """Kingma & Ba: without history the step is the sign of the gradient times the rate."""
    points = []
    minimise(
        lambda k, x: points.append(x) or (float(x @ x), np.array([1e-3, -50.0])), **settings(shares=[1.0], max_passes=2)
    )
    np.testing.assert_allclose(points[1], [-0.1, 0.1], rtol=1e-6)


def test_the_whole_loss_is_brought_to_its_tolerance():
    mean = np.array(SHARES) @ CENTRES
    found = minimise(lambda _, x: (0.5 * float((x - mean) @ (x - mean)), x - mean), **settings(shares=[1.0]))
    assert found.is_converged
    np.testing.assert_allclose(found.point, mean, atol=1e-7)


def test_parts_lead_to_the_minimum_of_their_weighted_sum():
    """Each is weighted by its share: the mean of the parts' minima would lie elsewhere."""
    seen = []
    found = minimise(part, **settings(), callback=lambda *given: seen.append(given))
    mean = np.array(SHARES) @ CENTRES
    assert not found.is_converged, "the whole gradient is never seen"
    np.testing.assert_allclose(found.point, mean, atol=0.02)
    assert np.abs(CENTRES.mean(axis=0) - mean).max() > 0.1
    assert len(seen) == 400
    assert np.abs(seen[-1][2]).max() < 0.02


def test_a_step_to_where_there_is_no_loss_is_halved():
    """The minimum of -x lies at the edge of the space, x <= 1: every point is inside, the last one near the edge."""
    inside = []

    def bounded(k, point):
        if point[0] > 1.0:
            return None
        inside.append(point[0])
        return -float(point[0]), np.array([-1.0])

    found = minimise(bounded, **settings(start=np.zeros(1), shares=[1.0], max_passes=100))
    assert max(inside) <= 1.0
    assert found.point[0] > 0.99
    assert not found.is_converged


def test_a_start_without_a_loss_ends_at_once():
    found = minimise(lambda k, x: None, **settings())
    np.testing.assert_array_equal(found.point, np.zeros(2))
    assert not found.is_converged


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"training": {"batch_destinations": 5}}, "batch_destinations is for method = 'adam'"),
        ({"training": {"method": "bhhh"}, "planner": {"horizon": 5}}, "needs second derivatives"),
        ({"training": {"method": "newton"}, "planner": {"solver": "sweeps"}}, "choose 'auto', 'l-bfgs' or 'adam'"),
        ({"training": {"method": "sgd"}}, "training.method"),
    ],
)
def test_methods_that_cannot_serve_are_refused(document, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_config(document, where="test")
