"""A finite horizon H >= 1: random choices for H turns, the best path from there on. Imports no JAX.

Receding Horizon Inverse Planning (Barnes et al. 2024, section 4): ``V^0`` is the reward of the best path,
``Q^h(s, a) = r(s, a) + V^{h-1}(s')``, ``V^h = logsumexp_a Q^h``, and a demonstrated turn has the probability
``softmax(Q^H(s, .))[a]``. H = 1 is Bayesian inverse planning (Boltzmann of the optimal Q).

Everything is computed on reduced costs, ``y^h = exp(V^h - V^0)`` and ``w(s, a) = exp(r + V^0(s') - V^0(s)) <= 1``:
``y^h = w y^{h-1}`` is one sparse product without exponentials or underflow, ``y^h >= 1``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.road_graph import ragged_rows
from ..graphs.turns import TurnGraph
from .best_paths import best_path_values, best_turns, flow_down
from .destinations import Destinations
from .feasibility import infeasible_reward
from .trips import StepBatch

_BLOCK_TURNS = 1 << 19
"""Turns times destinations handled at once: a few dozen MB."""
_BLOCK_BYTES = 1 << 28
"""Most that the values of one block, all horizons of them, may take."""


class RecedingHorizon:
    """Likelihood, exact gradient and values at one finite horizon.

    All routes to one destination share one backward pass (a Dijkstra and H sparse products) and one forward pass (H
    transposed products and one accumulation down the best-path tree). The products run only where a demonstrated state
    leads within H turns; which states those are is worked out once per batch and kept.

    Parameters
    ----------
    horizon
        H >= 1, in turns.
    edge_id
        int64[E], only to name edges in errors.
    """

    def __init__(self, turns: TurnGraph, horizon: int, *, edge_id: Ids | None = None) -> None:
        if horizon < 1:
            raise ValueError(f"horizon {horizon}: must be at least 1; irl/margin.py is the one of 0")
        self._turns, self._horizon, self._edge_id = turns, horizon, edge_id
        self._kept: tuple[StepBatch, list[tuple[StepBatch, _Reach]]] | None = None

    def log_likelihood(self, reward: Floats, batch: StepBatch) -> tuple[float, Floats]:
        """``sum over steps of w log softmax(Q^H(s, .))[a]``, stops included, and its gradient in the reward.

        The gradient is exact wherever the best paths are unique: ``sum_t [s_t, a_t] + Roll_{H-1}(s_{t+1}) -
        Roll_H(s_t)``, Roll_h following softmax(Q^h), ..., softmax(Q^1) and then the best path. At a tie it is that of
        the tree `best_turns` chose.

        Parameters
        ----------
        reward
            float64[T], < 0.

        Returns
        -------
        (value, gradient)
            The gradient is float64[T].

        Raises
        ------
        NonPositiveCostError
            A turn costs nothing or less: there is no best path.
        InfeasibleRewardError
            The values grow past 1e308 (possible from some 500 turns on): as with an infinite horizon, they diverge.

        Notes
        -----
        Per destination one Dijkstra, O(T + E log E), and O(H) times the turns within H of a demonstrated state.
        """
        value, gradient = 0.0, np.zeros(self._turns.num_turns)
        for part, reach in self._blocks(batch):
            pass_ = self._backward(reward, part.destinations, reach)
            at_step, at_stop = self._log_probabilities(reward, part, reach, pass_)
            value += float(part.weight @ at_step + part.stop_weight @ at_stop)
            gradient += np.bincount(part.turn, part.weight, minlength=len(gradient))
            gradient += self._rolls(reward, part, reach, pass_)
        return value, gradient

    def step_log_probabilities(self, reward: Floats, batch: StepBatch) -> tuple[Floats, Floats]:
        """Log-probability of every step, float64[S], and of every stop, float64[Z]. Raises as `log_likelihood`."""
        parts = [
            self._log_probabilities(reward, part, reach, self._backward(reward, part.destinations, reach))
            for part, reach in self._blocks(batch)
        ]
        if not parts:
            return np.zeros(0), np.zeros(0)
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def values(self, reward: Floats, destinations: Destinations) -> Floats:
        """``V^H`` of every edge, float64[E, D], ``-inf`` where the destination cannot be reached."""
        columns = []
        for begin, end in self._spans(len(destinations)):
            block = destinations.block(begin, end)
            every = np.arange(len(block) * self._turns.num_edges)
            pass_ = self._backward(reward, block, make_reach(self._turns, block, every, 1))
            with np.errstate(divide="ignore"):
                moved = np.log(pass_.grown[-1]) + np.where(pass_.grown[0] > 0, pass_.value.reshape(-1), 0.0)
            columns.append(moved.reshape(len(block), -1))
        return np.concatenate(columns).T if columns else np.zeros((self._turns.num_edges, 0))

    def _spans(self, count: int) -> list[tuple[int, int]]:
        by_bytes = _BLOCK_BYTES // (8 * (self._horizon + 1) * max(self._turns.num_edges, 1))
        width = max(1, min(_BLOCK_TURNS // max(self._turns.num_turns, 1), by_bytes))
        return [(begin, min(begin + width, count)) for begin in range(0, count, width)]

    def _blocks(self, batch: StepBatch) -> list[tuple[StepBatch, _Reach]]:
        """The batch in blocks of destinations, each with the states that its steps can lead to."""
        if self._kept is None or self._kept[0] is not batch:
            blocks = [batch.block(begin, end) for begin, end in self._spans(len(batch.destinations))]
            self._kept = (batch, [(one, self._reach(one)) for one in blocks])
        return self._kept[1]

    def _reach(self, batch: StepBatch) -> _Reach:
        size = self._turns.num_edges
        starts = batch.column * size + self._turns.from_edge[batch.turn]
        stops = batch.stop_column * size + batch.stop_edge
        return make_reach(self._turns, batch.destinations, np.concatenate([starts, stops]), self._horizon)

    def _backward(self, reward: Floats, destinations: Destinations, reach: _Reach) -> _Pass:
        """``V^0`` everywhere and ``y^0 .. y^H`` where it is needed."""
        best = best_path_values(self._turns, reward, destinations).T
        value = best.reshape(-1)[reach.state]
        is_reaching = np.isfinite(value)
        value = np.where(is_reaching, value, 0.0)
        weight = np.exp(reward[reach.turn] + value[reach.to] - value[reach.start])
        weight[~is_reaching[reach.to]] = 0.0
        matrix = sparse.csr_matrix((weight, reach.to, reach.first_out), shape=(len(value),) * 2)
        grown = np.empty((self._horizon + 1, len(value)))
        grown[0] = is_reaching
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(self._horizon):
                grown[step + 1] = matrix @ grown[step] + reach.is_goal
        if not np.isfinite(grown[-1]).all():
            raise infeasible_reward(self._turns, reward, edge_id=self._edge_id, ending=destinations.ending)
        return _Pass(best, value, matrix, grown)

    def _log_probabilities(
        self, reward: Floats, batch: StepBatch, reach: _Reach, pass_: _Pass
    ) -> tuple[Floats, Floats]:
        """``Q^H(s, a) - V^H(s)`` of every step, and ``0 - V^H(s)`` of every stop, where V^0 is 0."""
        start, end, stop = _positions(self._turns, batch, reach)
        value, grown = pass_.value, pass_.grown
        reduced = reward[batch.turn] + value[end] - value[start]
        at_step = reduced + np.log(grown[-2][end]) - np.log(grown[-1][start])
        return at_step, -np.log(grown[-1][stop])

    def _rolls(self, reward: Floats, batch: StepBatch, reach: _Reach, pass_: _Pass) -> Floats:
        """``sum w (Roll_{H-1}(s') - Roll_H(s))`` over all steps and stops: expected turn counts, float64[T].

        With ``a^h = (travellers with h random turns to go) / y^h`` a step is ``a^{h-1} = w' a^h``, and the turn t is
        taken ``a^h(from) w_t y^{h-1}(to)`` times.
        """
        count, grown = len(reach.state), pass_.grown
        start, end, stop = _positions(self._turns, batch, reach)
        leaving = _sums(start, batch.weight, count) + _sums(stop, batch.stop_weight, count)
        arriving = _sums(end, batch.weight, count)
        transposed = pass_.matrix.T.tocsr()
        flow = np.zeros(len(reach.turn))
        rolling = -_ratio(leaving, grown[-1])
        for step in range(self._horizon, 0, -1):
            flow += rolling[reach.start] * grown[step - 1][reach.to]
            rolling = transposed @ rolling
            if step == self._horizon:  # the demonstrated turn is the first of H: only H - 1 random ones follow it
                rolling += _ratio(arriving, grown[step - 1])
        expected = np.bincount(reach.turn, flow * pass_.matrix.data, minlength=self._turns.num_turns)
        on_tree = np.zeros(pass_.best.shape)
        on_tree.reshape(-1)[reach.state] = rolling * grown[0]
        return expected + flow_down(self._turns, best_turns(self._turns, reward, pass_.best), on_tree)


@dataclass(frozen=True, eq=False)
class _Reach:
    """The part of a block of destinations that H turns from the starts lead to. A state is ``column * E + edge``."""

    state: Ids
    """int64[N], ascending."""
    turn: Ints
    """int32[M], the turns among them, grouped by the state they leave."""
    first_out: Ids
    """int64[N+1]."""
    start: Ids
    to: Ids
    """int64[M], positions in ``state``."""
    is_goal: Bools
    """bool[N]."""


@dataclass(frozen=True, eq=False)
class _Pass:
    """The backward pass of one block."""

    best: Floats
    """float64[D, E], V^0."""
    value: Floats
    """float64[N], V^0 within reach, 0 where it is ``-inf``."""
    matrix: sparse.csr_matrix
    """w, N x N."""
    grown: Floats
    """float64[H+1, N], y^h; meaningful where the state lies within H - h turns of a start."""


def make_reach(turns: TurnGraph, destinations: Destinations, starts: Ids, horizon: int) -> _Reach:
    """Breadth-first from the starts (``column * E + edge``); goal edges are not left under *arrival*."""
    size = turns.num_edges
    goal = np.repeat(np.arange(len(destinations)), np.diff(destinations.first)) * size + destinations.edge
    is_seen = np.zeros(len(destinations) * size, bool)
    is_left = np.zeros_like(is_seen)
    is_absorbing = np.zeros_like(is_seen)
    is_absorbing[goal] = destinations.ending == "arrival"
    first_out = turns.first_out.astype(np.int64)
    frontier = np.unique(starts).astype(np.int64)
    is_seen[frontier] = True
    for _ in range(horizon):
        leaving = frontier[~is_absorbing[frontier]]
        is_left[leaving] = True
        turn, offsets = ragged_rows(first_out, (leaving % size).astype(np.int32))
        ahead = np.repeat(leaving - leaving % size, np.diff(offsets)) + turns.to_edge[turn]
        frontier = np.unique(ahead[~is_seen[ahead]])
        if not len(frontier):
            break
        is_seen[frontier] = True
    state = np.flatnonzero(is_seen)
    position = np.cumsum(is_seen) - 1
    left = np.flatnonzero(is_left)
    turn, offsets = ragged_rows(first_out, (left % size).astype(np.int32))
    out_degree = np.zeros(len(state), np.int64)
    out_degree[position[left]] = np.diff(offsets)
    to = np.repeat(left - left % size, np.diff(offsets)) + turns.to_edge[turn]
    is_goal = np.zeros_like(is_seen)
    is_goal[goal] = True
    return _Reach(
        state,
        turn.astype(np.int32),
        np.concatenate([[0], np.cumsum(out_degree)]),
        np.repeat(np.arange(len(state)), out_degree),
        position[to],
        is_goal[state],
    )


def _positions(turns: TurnGraph, batch: StepBatch, reach: _Reach) -> tuple[Ids, Ids, Ids]:
    """Where each step starts and ends and each stop is made, as positions in ``reach.state``."""
    size = turns.num_edges
    start = batch.column * size + turns.from_edge[batch.turn]
    end = batch.column * size + turns.to_edge[batch.turn]
    stop = batch.stop_column * size + batch.stop_edge
    found = [np.searchsorted(reach.state, one) for one in (start, end, stop)]
    return found[0], found[1], found[2]


def _sums(position: Ids, weight: Floats, count: int) -> Floats:
    """float64[count], weights added up per position."""
    return np.bincount(position, weight, minlength=count).astype(np.float64)


def _ratio(above: Floats, below: Floats) -> Floats:
    """0 where nobody is, whatever stands below."""
    return np.divide(above, below, out=np.zeros_like(below), where=above != 0)
