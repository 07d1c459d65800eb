"""What turns cost: all of them at once, or of a linear reward only where a search comes by."""

from __future__ import annotations

import threading

import numpy as np

from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.search_kernels import TURN_BLOCK_BITS
from ..graphs.shortest_paths import check_costs, check_some_costs
from ..graphs.turns import TurnGraph
from .feature_columns import Features

_BLOCK = 1 << TURN_BLOCK_BITS


class TurnCosts:
    """Positive costs of turns that are known for some blocks of 4,096 turns; the rest is worked out when asked for.

    Memory that is never written is never taken: an untouched map costs nothing but addresses.
    """

    value: Floats
    """float64[T], meaningless where the block is not known."""
    is_known: Bools
    """bool[B]."""

    def __init__(self, turns: TurnGraph, value: Floats, edge_id: Ids | None = None) -> None:
        self._turns, self._edge_id = turns, edge_id
        self.value = check_costs(turns, value, edge_id)
        self.is_known = np.ones((turns.num_turns >> TURN_BLOCK_BITS) + 1, bool)

    def require(self, blocks: Ids) -> None:
        """Make the costs of some blocks known."""

    def at(self, turns: Ints) -> Floats:
        """float64[n]: the costs of some turns, known or not before."""
        self.require(np.unique(turns >> TURN_BLOCK_BITS).astype(np.int64))
        return self.value[turns]


class LinearCosts(TurnCosts):
    """``-X theta``, where it is asked for. Threads may share it.

    Raises
    ------
    NonPositiveCostError
        By `require` and `at`: a turn of a block asked for costs nothing or less.
    """

    def __init__(self, turns: TurnGraph, features: Features, coefficients: Floats, edge_id: Ids | None = None) -> None:
        self._turns, self._edge_id = turns, edge_id
        self._features, self._coefficients = features, coefficients
        self.value = np.empty(turns.num_turns)
        self.is_known = np.zeros((turns.num_turns >> TURN_BLOCK_BITS) + 1, bool)
        self._lock = threading.Lock()

    def require(self, blocks: Ids) -> None:
        """Make the costs of some blocks known: O(4096 F) for each that is not."""
        with self._lock:
            for block in blocks[~self.is_known[blocks]].tolist():
                at = self._span(block)
                self.value[at] = check_some_costs(
                    self._turns, at, -(self._features.rows(at) @ self._coefficients), self._edge_id
                )
                self.is_known[block] = True

    def project(self, weights: Floats) -> Floats:
        """``X.T @ weights``, float64[F], for weights that are 0 where no cost is known."""
        total = np.zeros(len(self._features))
        for block in np.flatnonzero(self.is_known).tolist():
            at = self._span(block)
            if weights[at].any():
                total += weights[at] @ self._features.rows(at)
        return total

    def _span(self, block: int) -> slice:
        return slice(block * _BLOCK, min((block + 1) * _BLOCK, self._turns.num_turns))
