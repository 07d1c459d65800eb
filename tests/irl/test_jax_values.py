"""Solvers called from JAX: a small network's gradient by finite differences, compiled or not; the types of errors."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from strategies import make_grid
from trodden.core.config import PlannerConfig
from trodden.core.errors import InfeasibleRewardError, UnreachableError
from trodden.irl.batches import make_batch
from trodden.irl.jax_values import SolvedFunction, log_likelihood_function, total_value_function
from trodden.irl.planner import Planner
from trodden.irl.simulation import simulate

ENDINGS = ("arrival", "stop")
SOLVERS = ("factorization", "corridors", "sweeps")


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def make_case(ending, solver, *, tau=12.0, **settings):
    """(planner, batch, features float64[T, 3]) on a grid with weighted routes."""
    network = make_grid(5, 5)
    random = np.random.default_rng(4)
    routes = simulate(network, 30, taste={"constant": -1.8}, seed=1, num_destinations=6, ending=ending)
    routes = dataclasses.replace(routes, weight=random.uniform(0.5, 2.0, len(routes)))
    given = {"ending": ending, "solver": solver, "threads": 1, **settings}
    config = PlannerConfig(**given, **({"corridor_tau": tau} if solver == "corridors" else {}))
    batch = make_batch(routes.for_ending(ending), config)
    return Planner(network.turns, config), batch, random.uniform(0.0, 1.0, (network.turns.num_turns, 3))


def make_parameters():
    """Of a network with one hidden layer of four."""
    random = np.random.default_rng(0)
    return {"in": jnp.asarray(random.normal(size=(3, 4))), "out": jnp.asarray(random.normal(size=4))}


def network_reward(parameters, features):
    """Between -1.7 and -3.7: negative, and with values on a grid."""
    return -1.7 - 2.0 * jax.nn.sigmoid(jnp.tanh(features @ parameters["in"]) @ parameters["out"])


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_gradient_of_a_network_is_its_slope(solver, ending, compiled):
    planner, batch, features = make_case(ending, solver)
    objective = log_likelihood_function(planner, batch)
    slope_of = jax.value_and_grad(lambda p: objective(network_reward(p, features)))
    slope_of = objective.raising(jax.jit(slope_of) if compiled else slope_of)
    parameters = make_parameters()
    value, slope = slope_of(parameters)
    assert float(value) == planner.log_likelihood(np.asarray(network_reward(parameters, features)), batch)[0]
    leaves, shape = jax.tree.flatten(parameters)
    for leaf in range(len(leaves)):
        for place in np.ndindex(leaves[leaf].shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [one.at[place].add(step) if n == leaf else one for n, one in enumerate(leaves)]
                reward = np.asarray(network_reward(jax.tree.unflatten(shape, moved), features))
                ends.append(planner.log_likelihood(reward, batch)[0])
            numeric = (ends[0] - ends[1]) / 2e-5
            assert float(jax.tree.leaves(slope)[leaf][place]) == pytest.approx(numeric, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("ending", ENDINGS)
def test_wide_corridors_equal_the_lu(ending):
    reward = -np.random.default_rng(2).uniform(1.6, 2.6, make_grid(5, 5).turns.num_turns)
    found = []
    for solver in ("factorization", "corridors"):
        planner, batch, _ = make_case(ending, solver, tau=500.0, tolerance=1e-12)
        total = total_value_function(planner, batch)
        found.append(jax.jit(jax.value_and_grad(total))(reward))
    assert float(found[1][0]) == pytest.approx(float(found[0][0]), rel=1e-10)
    np.testing.assert_allclose(found[1][1], found[0][1], atol=1e-9)


def test_a_finite_horizon_has_one_too():
    planner, batch, features = make_case("arrival", "auto", horizon=3)
    objective = log_likelihood_function(planner, batch)
    reward = network_reward(make_parameters(), features)
    value, slope = jax.jit(jax.value_and_grad(objective))(reward)
    want, gradient = planner.log_likelihood(np.asarray(reward), batch)
    assert float(value) == want
    np.testing.assert_array_equal(slope, gradient)


def test_value_and_gradient_are_one_solve_and_keep_the_dtype():
    calls = []

    def objective(reward):
        calls.append(reward.dtype)
        return float(reward @ reward), 2 * reward

    function = SolvedFunction(objective)
    value, slope = jax.jit(jax.value_and_grad(lambda scale: function(scale * jnp.arange(3.0, dtype=jnp.float32))))(
        jnp.float32(2.0)
    )
    assert (float(value), float(slope)) == (20.0, 20.0)
    assert value.dtype == slope.dtype == jnp.float32
    assert calls == [np.float64]
    np.testing.assert_array_equal(jax.vmap(function)(jnp.eye(3)), 1.0)


ONE_CPU = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, numpy as np
from trodden.irl.jax_values import SolvedFunction
with jax.enable_x64(True):
    objective = SolvedFunction(lambda reward: (float(reward.sum()), reward))
    reward = 1.0 + 1e-12 * jax.numpy.arange(2_000_000.0)
    for function in (jax.grad(objective), jax.jit(jax.grad(objective))):
        np.testing.assert_array_equal(function(reward), reward)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot confine a process to one CPU")
def test_large_rewards_keep_their_digits_where_xla_has_one_thread():
    """There a pure_callback rounds to float32 or, with arrays this large, waits for ever."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", ONE_CPU], env=environment, timeout=100, check=True)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("solver", ["factorization", "corridors"])
def test_what_the_solver_refuses_keeps_its_type(solver, compiled):
    planner, batch, features = make_case("stop", solver)
    objective = log_likelihood_function(planner, batch)
    slope = jax.grad(lambda scale: objective(-scale * features.sum(axis=1)))
    raising = objective.raising(jax.jit(slope) if compiled else slope)
    assert np.isfinite(raising(2.0))
    with pytest.raises(InfeasibleRewardError) as caught:
        raising(0.1)
    assert caught.value.radius > 1
    assert np.isfinite(raising(2.0)), "and the next call is an ordinary one"


def test_errors_of_others_are_left_alone():
    def objective(reward):
        raise ZeroDivisionError("mine")

    function = SolvedFunction(objective)
    with pytest.raises(jax.errors.JaxRuntimeError, match="mine"):
        function.raising(jax.jit(function))(jnp.ones(2))

    def refuse(reward):
        raise UnreachableError(index=None, origin="a", destination="b", cause="none", nearest="none")

    function = SolvedFunction(refuse)
    with pytest.raises(UnreachableError):
        function.raising(function)(jnp.ones(2))
