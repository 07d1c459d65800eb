"""Sparse soft value iteration in JAX, many destinations at once: the reference solver.

In log space, or, from the values of best paths, on reduced costs: neither underflows. It runs unchanged on an
accelerator. Gradients come from the transposed fixed point (expected
visits), never from differentiating through the sweeps. Source: Ziebart (2010), ch. 9; Barnes et al. (2024), section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.errors import NotConvergedError
from ..core.types import Floats, Ints
from ..graphs.turns import TurnGraph
from .destinations import Destinations
from .sweep_kernels import solve_counts, solve_log_values, solve_reduced_values
from .trips import TripBatch

Start = Callable[[Destinations], Floats]
"""Values of the best paths to some destinations, float64[E, D], to start sweeps from; see `best_path_values`."""
_BATCH_BYTES = 1 << 28
"""Memory that the weights of one batch of destinations may take, one for every turn and destination."""


@dataclass(frozen=True, eq=False)
class Slots:
    """A turn graph as two padded neighbour tables, one column of arrays per slot, so that a sweep is a few gathers.

    Padding points at one extra state and one extra turn, whose value and reward are ``-inf``.
    """

    to_edge: Ints
    """int32[K, E], K the largest out-degree."""
    out_turn: Ints
    """int32[K, E]."""
    from_edge: Ints
    """int32[L, E], L the largest in-degree."""
    in_turn: Ints
    """int32[L, E]."""


def make_slots(turns: TurnGraph) -> Slots:
    """The padded tables of a turn graph. O(E (K + L))."""
    turn = np.arange(turns.num_turns, dtype=np.int32)
    out_turn = _padded(turns.from_edge, turn, turns.num_edges)
    in_turn = _padded(turns.to_edge, turn, turns.num_edges)
    to_edge = np.append(turns.to_edge, np.int32(turns.num_edges))[out_turn]
    from_edge = np.append(turns.from_edge, np.int32(turns.num_edges))[in_turn]
    return Slots(to_edge.astype(np.int32), out_turn, from_edge.astype(np.int32), in_turn)


@dataclass(frozen=True, eq=False)
class Values:
    """Soft values with their certificate."""

    value: Floats
    """float[E, D], ``-inf`` where the destination cannot be reached."""
    error: float
    """Estimated distance to the fixed point: last change times rate / (1 - rate), rate measured on the last sweeps."""
    num_sweeps: int


class SweepSolver:
    """Soft values, total value and expected counts by sweeps. Building it costs the padded tables.

    Parameters
    ----------
    tolerance
        Largest estimated distance to the fixed point that is accepted; default 1e-10, or 1e-3 in float32.
    max_sweeps
        Budget for each fixed point; routes of n turns need at least n sweeps.
    dtype
        ``float64`` (default), or ``float32``: faster, with errors of about 1e-4 on routes of 100 turns.
    """

    def __init__(
        self,
        turns: TurnGraph,
        *,
        tolerance: float | None = None,
        max_sweeps: int = 20_000,
        dtype: type[np.floating[Any]] = np.float64,
    ) -> None:
        self._turns, self._max_sweeps, self._dtype = turns, max_sweeps, dtype
        self._tolerance = tolerance if tolerance is not None else (1e-10 if dtype is np.float64 else 1e-3)
        self._slots = make_slots(turns)
        per_destination = max(1, self._slots.to_edge.size * np.dtype(dtype).itemsize)
        self._batch = int(np.clip(_BATCH_BYTES // per_destination, 1, 64))

    def values(self, reward: Floats, destinations: Destinations, *, start: Start | None = None) -> Values:
        """Soft reward-to-go of every edge to each destination.

        Solves ``V[e, d] = logsumexp_t(reward[t] + V[to_edge[t], d])`` over the turns t out of e, with ``V = 0`` on the
        destination under *arrival*, and with stopping (reward 0) among the choices on goal edges under *stop*.

        Parameters
        ----------
        reward
            float[T], dimensionless.
        start
            Gives the values of best paths (MaxEnt++), which all costs must be positive for. Sweeps then run on reduced
            costs, without logarithms; where that overflows or does not converge, log space decides. Default: log space,
            from ``-inf`` (MaxEnt). Both lead to the same values.

        Raises
        ------
        NotConvergedError
            The tolerance was not met within the sweep budget: the values diverge, or routes are longer than the budget.

        Notes
        -----
        O(T D) per sweep.
        """
        parts = [self._block_values(reward, destinations.block(a, b), start) for a, b in self._spans(destinations)]
        if not parts:
            return Values(np.zeros((self._turns.num_edges, 0)), 0.0, 0)
        value = np.concatenate([p.value for p in parts], axis=1)
        return Values(value, max(p.error for p in parts), max(p.num_sweeps for p in parts))

    def total_value(self, reward: Floats, batch: TripBatch, *, start: Start | None = None) -> tuple[float, Floats]:
        """``sum_n w_n V(origin_n)`` and its gradient in the reward, the expected counts float64[T]. See `values`."""
        total, expected = 0.0, np.zeros(self._turns.num_turns)
        for begin, end in self._spans(batch.destinations):
            block = batch.block(begin, end)
            value = self._block_values(reward, block.destinations, start).value
            total += float(block.weight @ value[block.origin, block.column].astype(np.float64))
            expected += self._block_counts(reward, block, value)
        return total, expected

    def _spans(self, destinations: Destinations) -> list[tuple[int, int]]:
        count = len(destinations)
        return [(a, min(a + self._batch, count)) for a in range(0, count, self._batch)]

    def _block_values(self, reward: Floats, block: Destinations, start: Start | None = None) -> Values:
        if start is not None:
            solved = self._sweep(reward, block, start(block))
            if solved.error <= self._tolerance:
                return solved
        solved = self._sweep(reward, block, None)
        self._certify(solved.error, solved.num_sweeps)
        return solved

    def _sweep(self, reward: Floats, block: Destinations, potential: Floats | None) -> Values:
        """On reduced costs where there is a potential, else in log space; not certified yet."""
        is_goal, is_absorbing = self._goal_mask(block), block.ending == "arrival"
        padded_reward = np.append(reward, -np.inf)[self._slots.out_turn]
        with _precision(self._dtype):
            model = jnp.asarray(self._slots.to_edge), jnp.asarray(padded_reward, self._dtype), jnp.asarray(is_goal)
            budget = self._tolerance, self._max_sweeps
            if potential is None:
                found = solve_log_values(*model, *budget, is_absorbing=is_absorbing)
            else:
                start = jnp.asarray(_widened(potential, is_goal.shape[1]), self._dtype)
                found = solve_reduced_values(*model, start, *budget, is_absorbing=is_absorbing)
            value, error, sweeps = found
            return Values(np.asarray(value)[:, : len(block)], float(error), int(sweeps))

    def _block_counts(self, reward: Floats, block: TripBatch, value: Floats) -> Floats:
        is_goal = self._goal_mask(block.destinations)
        start = np.zeros(is_goal.shape, self._dtype)
        np.add.at(start, (block.origin, block.column), block.weight)
        with _precision(self._dtype):
            solved, error, sweeps = solve_counts(
                jnp.asarray(self._slots.from_edge),
                jnp.asarray(self._slots.in_turn),
                jnp.asarray(self._turns.from_edge),
                jnp.asarray(self._turns.to_edge),
                jnp.asarray(reward, self._dtype),
                jnp.asarray(_widened(value, is_goal.shape[1])),
                jnp.asarray(start),
                jnp.asarray(is_goal),
                self._tolerance * max(1.0, float(block.weight.sum())),
                self._max_sweeps,
                is_absorbing=block.destinations.ending == "arrival",
            )
            counts = np.asarray(solved, np.float64)
        self._certify(float(error) / max(1.0, float(block.weight.sum())), int(sweeps))
        return counts

    def _goal_mask(self, block: Destinations) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """bool[E, W], W a power of two >= D: sizes from a few buckets, since jit compiles anew for every shape."""
        width = min(self._batch, 1 << (len(block) - 1).bit_length()) if len(block) else 1
        is_goal = np.zeros((self._turns.num_edges, max(width, len(block))), bool)
        is_goal[block.edge, np.repeat(np.arange(len(block)), np.diff(block.first))] = True
        return is_goal

    def _certify(self, error: float, num_sweeps: int) -> None:
        if not error <= self._tolerance:
            raise NotConvergedError(residual=error, tolerance=self._tolerance, num_sweeps=num_sweeps)


def _precision(dtype: type[np.floating[Any]]) -> Any:
    """float64 for this block of code only: switching it on for the whole process would change its users' programs."""
    return jax.enable_x64(dtype is np.float64)


def _widened(value: Floats, width: int) -> Floats:
    """float[E, W] of float[E, D], destinations without a way to them added."""
    missing = ((0, 0), (0, width - value.shape[1]))
    result: Floats = np.pad(value, missing, constant_values=-np.inf)
    return result


def _padded(group: Ints, turn: Ints, num_edges: int) -> Ints:
    """int32[K, E]: the turns of each group, padded with the number of turns."""
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group, minlength=num_edges)
    width = int(counts.max(initial=0)) or 1
    rank = np.arange(len(turn)) - np.repeat(np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    table = np.full((width, num_edges), len(turn), np.int32)
    table[rank, group[order]] = turn[order]
    return table
