"""The sweeps of `SweepSolver`, compiled by JAX: values in log space, values on reduced costs, expected counts.

Pure: arrays in, arrays and an error estimate out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_Array = Any
"""A jax array; shapes stand in docstrings."""


def log_sweep(value: _Array, to_edge: _Array, reward: _Array, is_goal: _Array, *, is_absorbing: bool) -> _Array:
    """One step of ``V = logsumexp(reward + V[to_edge])``, float[E, D], over slots; ``reward`` float[K, E]."""
    padded = jnp.concatenate([value, jnp.full((1, value.shape[1]), -jnp.inf, value.dtype)])
    # Unrolled over the few slots: faster on a CPU than a reduction over a trailing slot axis.
    choices = [reward[k][:, None] + padded[to_edge[k]] for k in range(to_edge.shape[0])]
    if not is_absorbing:
        choices.append(jnp.where(is_goal, 0.0, -jnp.inf).astype(value.dtype))
    best = choices[0]
    for choice in choices[1:]:
        best = jnp.maximum(best, choice)
    shift = jnp.where(jnp.isfinite(best), best, 0.0)
    total = jnp.exp(choices[0] - shift)
    for choice in choices[1:]:
        total = total + jnp.exp(choice - shift)
    moved = shift + jnp.log(total)
    return jnp.where(is_goal, 0.0, moved) if is_absorbing else moved


def reduced_weights(
    potential: _Array, to_edge: _Array, reward: _Array, is_goal: _Array, *, is_absorbing: bool
) -> _Array:
    """``exp(reward + potential[to_edge] - potential)``, float[K, E, D]; 0 out of states that reach no goal."""
    padded = jnp.concatenate([potential, jnp.full((1, potential.shape[1]), -jnp.inf, potential.dtype)])
    is_open = jnp.isfinite(potential) & ~is_goal if is_absorbing else jnp.isfinite(potential)
    # The difference of potentials first: it is exact where the two are close, however large they are.
    return jnp.where(is_open, jnp.exp(reward[:, :, None] + (padded[to_edge] - potential)), 0.0)


def reduced_sweep(z: _Array, to_edge: _Array, weight: _Array, ends: _Array) -> _Array:
    """One step of ``z = ends + W z``, float[E, D], over slots; see `reduced_weights`."""
    padded = jnp.concatenate([z, jnp.zeros((1, z.shape[1]), z.dtype)])
    total = ends
    for k in range(to_edge.shape[0]):
        total = total + weight[k] * padded[to_edge[k]]
    return total


@partial(jax.jit, static_argnames="is_absorbing")
def solve_log_values(
    to_edge: _Array, reward: _Array, is_goal: _Array, tolerance: float, budget: int, *, is_absorbing: bool
) -> tuple[_Array, _Array, _Array]:
    """Sweeps in log space, from nothing but the goals: (value[E, D], estimated error, sweeps)."""

    def change(new: _Array, old: _Array) -> _Array:
        # A state reached for the first time is an infinite change; one still at -inf on both sides is none.
        return jnp.where(new == old, 0.0, jnp.abs(new - old)).max()

    sweep = partial(log_sweep, to_edge=to_edge, reward=reward, is_goal=is_goal, is_absorbing=is_absorbing)
    return _iterate(sweep, change, jnp.where(is_goal, 0.0, -jnp.inf).astype(reward.dtype), tolerance, budget)


@partial(jax.jit, static_argnames="is_absorbing")
def solve_reduced_values(
    to_edge: _Array,
    reward: _Array,
    is_goal: _Array,
    potential: _Array,
    tolerance: float,
    budget: int,
    *,
    is_absorbing: bool,
) -> tuple[_Array, _Array, _Array]:
    """Sweeps on reduced costs, ``z = exp(V - potential)``: as `solve_log_values`; the error is NaN if z overflows.

    With the values of best paths as potential, ``z >= 1``, and the sums need no logarithm: a sweep takes a ninth of the
    time of one in log space.
    """
    weight = reduced_weights(potential, to_edge, reward, is_goal, is_absorbing=is_absorbing)
    ends = jnp.where(is_goal, jnp.exp(-potential), 0.0)

    def change(new: _Array, old: _Array) -> _Array:
        return jnp.where(new == old, 0.0, jnp.abs(new - old) / new).max()  # NaN, and so an end, once z overflows

    sweep = partial(reduced_sweep, to_edge=to_edge, weight=weight, ends=ends)
    first = jnp.where(jnp.isfinite(potential), 1.0, 0.0).astype(reward.dtype)
    z, error, sweeps = _iterate(sweep, change, first, tolerance, budget)
    # The best path is one of the routes summed over; a potential that promised more was another reward's.
    is_sound = jnp.where(first > 0.0, z > 0.5, z == 0.0).all()
    value = jnp.where(z > 0.0, potential + jnp.log(z), -jnp.inf)
    return value, jnp.where(is_sound, error, jnp.nan), sweeps


@partial(jax.jit, static_argnames="is_absorbing")
def solve_counts(
    from_edge: _Array,
    in_turn: _Array,
    turn_from: _Array,
    turn_to: _Array,
    reward: _Array,
    value: _Array,
    start: _Array,
    is_goal: _Array,
    tolerance: float,
    budget: int,
    *,
    is_absorbing: bool,
) -> tuple[_Array, _Array, _Array]:
    """Expected count of every turn, float[T], from ``visits = start + P' visits``, P the policy of ``value``."""
    here = value[turn_from]
    policy = jnp.where(
        jnp.isfinite(here), jnp.exp(reward[:, None] + value[turn_to] - jnp.where(jnp.isfinite(here), here, 0.0)), 0.0
    )
    if is_absorbing:
        policy = jnp.where(is_goal[turn_from], 0.0, policy)
    padded_policy = jnp.concatenate([policy, jnp.zeros((1, policy.shape[1]), policy.dtype)])
    sweep = partial(reduced_sweep, to_edge=from_edge, weight=padded_policy[in_turn], ends=start)
    visits, error, sweeps = _iterate(sweep, lambda new, old: jnp.abs(new - old).max(), start, tolerance, budget)
    return (policy * visits[turn_from]).sum(axis=1), error, sweeps


_PATIENCE = 300
"""Sweeps without any contraction after which values are taken to diverge: under a radius above 1 each adds the same."""
_WINDOW = 8
"""Sweeps over which the rate of contraction is measured; one sweep would be fooled by cycles of even length."""


def _iterate(
    sweep: Callable[[_Array], _Array],
    change: Callable[[_Array, _Array], _Array],
    first: _Array,
    tolerance: float,
    budget: int,
) -> tuple[_Array, _Array, _Array]:
    """Sweep until the estimated distance to the fixed point is within the tolerance or the budget is spent.

    The last change alone says little where the radius is near 1: what is still to go is change * rate / (1 - rate).
    Looked at after every `_WINDOW` sweeps, which are never cut short.
    """

    def is_open(state: tuple[_Array, ...]) -> _Array:
        return (state[2] > tolerance) & (state[3] < budget) & (state[4] < _PATIENCE)

    def step(state: tuple[_Array, ...]) -> tuple[_Array, ...]:
        value, before, _, count, idle = state
        value = lax.fori_loop(0, _WINDOW - 1, lambda _, old: sweep(old), value)
        moved = sweep(value)
        last = change(moved, value)
        rate = (last / before) ** (1.0 / _WINDOW)
        estimate = jnp.where((rate < 1.0) & jnp.isfinite(before), last * jnp.maximum(rate / (1.0 - rate), 1.0), jnp.inf)
        # NaN is an overflow, and ends it; infinite are changes of states reached for the first time.
        error = jnp.where(last == 0.0, 0.0, jnp.where(jnp.isnan(last), last, estimate))
        is_idle = jnp.isfinite(before) & (rate > 1.0 - 1e-7)
        return moved, last, error, count + _WINDOW, jnp.where(is_idle, idle + _WINDOW, 0)

    infinite = jnp.asarray(jnp.inf, first.dtype)
    value, _, error, count, _ = lax.while_loop(
        is_open, step, (first, infinite, infinite, jnp.asarray(0), jnp.asarray(0))
    )
    return value, error, count
