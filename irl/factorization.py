"""One sparse LU of ``I - M`` serves every destination: values, likelihood and exact gradient. Imports no JAX.

Notation: ``M[i, j] = exp(reward of the turn i -> j)`` and ``G = inv(I - M)``. For *arrival*,
``z_d(s) = G(s, d) / G(d, d)``; for *stop*, ``z_d = G 1[edges into d]``; values are ``log z``. Source of the linear
system: Fosgerau, Frejinger & Karlström (2013); of the shared factorisation and its gradient: docs/method.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from ..core.errors import UnderflowError
from ..core.types import Floats, Ids, Ints
from ..graphs.turns import TurnGraph
from .destinations import Destinations, Ending
from .feasibility import factorise, infeasible_reward
from .trips import TripBatch

_BLOCK = 8
"""Right-hand sides solved at a time: Borlänge's 466 take 0.15 s so, 3-9 s as one C-ordered block."""
_SMALLEST = 1e-280
"""Below this, exponentials have left the range in which their quotients are exact to float64."""
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Factorization:
    """The factorised system of one reward.

    Building it costs one sparse LU (0.016 s on Borlänge's 7,288 edges, 0.2 s on Porto's 128,000), each destination one
    or two triangular solves after it. Right-hand sides are spread over threads: the solves release the GIL.

    Parameters
    ----------
    reward
        float64[T], one per turn.
    edge_id
        int64[E], only to name edges in errors.

    Raises
    ------
    InfeasibleRewardError
        The spectral radius of M is not below 1, so that the textbook solve would return garbage. For *arrival* this
        asks more than is needed (M without the destination's row is enough): the planner then tries sweeps.
    """

    def __init__(
        self,
        turns: TurnGraph,
        reward: Floats,
        *,
        edge_id: Ids | None = None,
        ending: Ending = "arrival",
        threads: int = 0,
    ) -> None:
        self._turns, self._ending = turns, ending
        self._weight = np.exp(reward)
        self._threads = threads or min(os.cpu_count() or 1, 8)
        factors = factorise(turns, reward)
        if factors is None:
            raise infeasible_reward(turns, reward, edge_id=edge_id, ending=ending)
        self._lu = factors

    def values(self, destinations: Destinations, *, origins: tuple[Ints, Ids] | None = None) -> Floats:
        """Soft reward-to-go of every edge, float64[E, D], ``-inf`` where the destination cannot be reached.

        Parameters
        ----------
        origins
            (edge int32[P], column int64[P]) that can reach their destination: only these need to be exact. An edge
            elsewhere may then be ``-inf`` because its exponential underflows.

        Raises
        ------
        UnderflowError
            An edge that can reach the destination has an exponential below float64's safe range, or underflows to 0.
        """
        blocks = self._map(lambda block: self._exponentials(block)[0], _blocks(destinations))
        exponentials = np.concatenate(blocks, axis=1) if blocks else np.zeros((self._turns.num_edges, 0))
        with np.errstate(divide="ignore"):
            values: Floats = np.log(exponentials)
        edge, column = self._underflowed(exponentials) if origins is None else origins
        is_low = exponentials[edge, column] < _SMALLEST
        if is_low.any():
            worst = int(np.argmax(is_low))
            place = int(column[worst])
            raise UnderflowError(destination=int(destinations.key[place]), value=float(values[edge[worst], place]))
        return values

    def _underflowed(self, exponentials: Floats) -> tuple[Ints, Ids]:
        """(edge, column) of exponentials that are too small to trust, among them zeros that should not be.

        An edge whose exponential is 0 although a turn leads to one with more than 0 has underflowed; where any edge
        has, one next to the positive ones has, so looking one turn ahead finds every column.
        """
        ahead = (exponentials[self._turns.from_edge] == 0) & (exponentials[self._turns.to_edge] > 0)
        turn, lost = np.nonzero(ahead)
        edge, low = np.nonzero((exponentials > 0) & (exponentials < _SMALLEST))
        edges = np.concatenate([self._turns.from_edge[turn], edge]).astype(np.int32)
        return edges, np.concatenate([lost, low]).astype(np.int64)

    def total_value(self, batch: TripBatch) -> tuple[float, Floats]:
        """``sum_n w_n V(origin_n)`` and its gradient in the reward of every turn, the expected counts float64[T].

        Raises
        ------
        UnderflowError
            A trip's exponential is below float64's safe range (its route costs some 640 or more), or is zero because
            its origin cannot reach its destination.
        """
        spans = [(a, min(a + _BLOCK, len(batch.destinations))) for a in range(0, len(batch.destinations), _BLOCK)]
        parts = self._map(lambda span: self._block_total(batch, *span), spans)
        expected = np.zeros(self._turns.num_turns)
        for _, counts in parts:  # in block order, so that sums do not depend on which thread was first
            expected += counts
        return float(sum(value for value, _ in parts)), expected

    def _exponentials(self, block: Destinations) -> tuple[Floats, Floats]:
        """(z float64[E, D], scale float64[D]) with ``G 1[goals] = z * scale``."""
        ends = np.zeros((self._turns.num_edges, len(block)), order="F")
        ends[block.edge, np.repeat(np.arange(len(block)), np.diff(block.first))] = 1.0
        # Without a clip, rounding may leave a state that cannot reach the destination at -1e-20 instead of 0.
        solved = np.maximum(self._lu.solve(ends), 0.0)
        scale = solved[block.key, np.arange(len(block))] if self._ending == "arrival" else np.ones(len(block))
        solved /= scale
        return solved, scale

    def _block_total(self, batch: TripBatch, begin: int, end: int) -> tuple[float, Floats]:
        trips = batch.block(begin, end)
        exponentials, _ = self._exponentials(trips.destinations)
        column = trips.column
        at_origin = exponentials[trips.origin, column]
        if at_origin.min(initial=1.0) < _SMALLEST:
            worst = int(np.argmin(at_origin))
            with np.errstate(divide="ignore"):
                value = float(np.log(at_origin[worst]))
            raise UnderflowError(destination=int(trips.destinations.key[column[worst]]), value=value)
        starts = np.zeros_like(exponentials, order="F")
        np.add.at(starts, (trips.origin, column), trips.weight / at_origin)
        if self._ending == "arrival":  # routes are cut at their first visit: take away what would go on from there
            total = np.bincount(column, trips.weight, minlength=len(trips.destinations))
            starts[trips.destinations.key, np.arange(len(trips.destinations))] -= total
        visits = self._lu.solve(starts, trans="T")
        flow = np.einsum("td,td->t", visits[self._turns.from_edge], exponentials[self._turns.to_edge])
        return float(trips.weight @ np.log(at_origin)), flow * self._weight

    def _map(self, task: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        if self._threads == 1:
            return [task(item) for item in items]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(task, items))


def _blocks(destinations: Destinations) -> list[Destinations]:
    count = len(destinations)
    return [destinations.block(a, min(a + _BLOCK, count)) for a in range(0, count, _BLOCK)]
