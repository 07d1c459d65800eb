"""L-BFGS: the minimum is SciPy's, a stored state goes on to the byte, refused points and kinks are walked around."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import optimize
from trodden.irl.lbfgs import State, begin, iterate


def rosenbrock(point):
    return float(optimize.rosen(point)), optimize.rosen_der(point)


def last_of(states, most=2000):
    return list(itertools.islice(states, most))[-1]


def test_the_minimum_is_scipys():
    start = np.full(12, -1.2)
    state = last_of(iterate(rosenbrock, begin(rosenbrock, start)))
    found = optimize.minimize(rosenbrock, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "ftol": 0.0})
    np.testing.assert_allclose(state.point, found.x, atol=1e-5)
    assert state.loss <= found.fun + 1e-10
    assert state.is_done
    assert state.iteration < 3 * found.nit


def test_every_step_is_lower_and_costs_few_evaluations():
    calls = 0

    def counted(point):
        nonlocal calls
        calls += 1
        return rosenbrock(point)

    losses = [state.loss for state, _ in zip(iterate(counted, begin(counted, np.zeros(30))), range(60), strict=False)]
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))
    assert calls < 3 * len(losses)


@pytest.mark.parametrize("stop", [1, 7, 25])
def test_a_stored_state_goes_on_to_the_byte(stop):
    start = begin(rosenbrock, np.linspace(-2, 2, 9))
    whole = [state for state, _ in zip(iterate(rosenbrock, start), range(40), strict=False)]
    kept = whole[stop]
    stored = State(**{f.name: np.array(getattr(kept, f.name)) if f.name not in ("loss", "iteration", "is_done")
                      else getattr(kept, f.name) for f in dataclasses.fields(State)})  # fmt: skip
    resumed = [state for state, _ in zip(iterate(rosenbrock, stored), range(39 - stop), strict=False)]
    assert [one.point.tobytes() for one in resumed] == [one.point.tobytes() for one in whole[stop + 1 :]]


def test_points_without_a_loss_are_stepped_back_from():
    def barrier(point):
        """-log x0 + x0 + |x1|^2 / 2 exists for x0 > 0 alone; its minimum is (1, 0)."""
        if point[0] <= 0:
            return None
        gradient = np.array([1 - 1 / point[0], point[1]])
        return float(point[0] - np.log(point[0]) + point[1] ** 2 / 2), gradient

    state = last_of(iterate(barrier, begin(barrier, np.array([1e-3, 5.0]))))
    np.testing.assert_allclose(state.point, [1.0, 0.0], atol=1e-6)
    assert begin(barrier, np.array([-1.0, 0.0])) is None


def test_kinks_are_walked_through():
    def kinked(point):
        """|x0 - 1| + 3 |x1 + 2|, minimum 0."""
        return float(abs(point[0] - 1) + 3 * abs(point[1] + 2)), np.array(
            [np.sign(point[0] - 1), 3 * np.sign(point[1] + 2)]
        )

    state = last_of(iterate(kinked, begin(kinked, np.array([4.0, 7.3]))))
    assert state.loss < 1e-3


def test_at_the_minimum_there_is_nothing_to_do():
    states = list(iterate(rosenbrock, begin(rosenbrock, np.ones(4))))
    assert len(states) == 1
    assert states[0].is_done
    assert states[0].iteration == 0


def test_a_known_stiffness_saves_iterations():
    """A quadratic whose curvatures span six orders of magnitude: with its own diagonal it is a sphere."""
    bends = np.logspace(-3, 3, 40)

    def bowl(point):
        return float(0.5 * bends @ (point - 1) ** 2), bends * (point - 1)

    start = begin(bowl, np.zeros(40))
    plain = next(s.iteration for s in iterate(bowl, start) if s.loss < 1e-8)
    helped = next(s.iteration for s in iterate(bowl, start, bends) if s.loss < 1e-8)
    assert helped <= 5 < plain
