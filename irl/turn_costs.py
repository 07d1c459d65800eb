"""What turns cost: all of them at once, or only where a search comes by."""

from __future__ import annotations

import threading

import numpy as np

from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.compression import Compression
from ..graphs.search_kernels import TURN_BLOCK_BITS
from ..graphs.shortest_paths import check_costs, check_some_costs
from ..graphs.turns import TurnGraph
from .feature_columns import Features

_BLOCK = 1 << TURN_BLOCK_BITS


class TurnCosts:
    """Positive costs of turns that are known for some blocks of 4,096 turns; the rest is worked out when asked for.

    Memory that is never written is never taken: an untouched map costs nothing but addresses. Threads may share one.
    """

    value: Floats
    """float64[T], meaningless where the block is not known."""
    is_known: Bools
    """bool[B]."""

    def __init__(self, turns: TurnGraph, value: Floats, edge_id: Ids | None = None) -> None:
        self._forget(turns)
        self.value = check_costs(turns, value, edge_id)
        self.is_known[:] = True

    def _forget(self, turns: TurnGraph) -> None:
        self.value = np.empty(turns.num_turns)
        self.is_known = np.zeros((turns.num_turns >> TURN_BLOCK_BITS) + 1, bool)
        self._lock = threading.Lock()

    def require(self, blocks: Ids) -> None:
        """Make the costs of some blocks known."""
        if self.is_known[blocks].all():
            return
        with self._lock:
            for block in blocks[~self.is_known[blocks]].tolist():
                at = self._span(block)
                self.value[at] = self._costs_of(at)
                self.is_known[block] = True

    def at(self, turns: Ints) -> Floats:
        """float64[n]: the costs of some turns, known or not before."""
        self.require(np.unique(turns >> TURN_BLOCK_BITS).astype(np.int64))
        return self.value[turns]

    def _costs_of(self, at: slice) -> Floats:
        """The costs of a block that is not known."""
        return self.value[at]

    def _span(self, block: int) -> slice:
        return slice(block * _BLOCK, min((block + 1) * _BLOCK, len(self.value)))


class LinearCosts(TurnCosts):
    """``-X theta``, where it is asked for: O(4096 F) for each block.

    Raises
    ------
    NonPositiveCostError
        By `require` and `at`: a turn of a block asked for costs nothing or less.
    """

    def __init__(self, turns: TurnGraph, features: Features, coefficients: Floats, edge_id: Ids | None = None) -> None:
        self._forget(turns)
        self._turns, self._edge_id = turns, edge_id
        self._features, self._coefficients = features, coefficients

    def _costs_of(self, at: slice) -> Floats:
        cost = -(self._features.rows(at) @ self._coefficients)
        return check_some_costs(self._turns, at, cost, self._edge_id)

    def project(self, weights: Floats) -> Floats:
        """``X.T @ weights``, float64[F], for weights that are 0 where no cost is known."""
        total = np.zeros(len(self._features))
        for block in np.flatnonzero(self.is_known).tolist():
            at = self._span(block)
            if weights[at].any():
                total += weights[at] @ self._features.rows(at)
        return total


class CompressedCosts(TurnCosts):
    """The costs of compressed turns, sums of ``original`` ones, which are worked out where those are asked for.

    Raises
    ------
    NonPositiveCostError
        By `require` and `at`: an original turn of a block asked for costs nothing or less.
    """

    def __init__(self, compression: Compression, original: TurnCosts) -> None:
        self._forget(compression.turns)
        self._compression, self._original = compression, original

    def _costs_of(self, at: slice) -> Floats:
        parts, first = self._parts(at)
        return np.add.reduceat(self._original.at(parts), first[:-1]) if len(parts) else np.zeros(0)

    def expand(self, counts: Floats) -> Floats:
        """Counts of compressed turns, 0 where no cost is known, as counts of the original ones, float64[T]."""
        result = np.zeros(len(self._original.value))
        for block in np.flatnonzero(self.is_known).tolist():
            at = self._span(block)
            if counts[at].any():
                parts, first = self._parts(at)
                np.add.at(result, parts, np.repeat(counts[at], np.diff(first)))
        return result

    def _parts(self, at: slice) -> tuple[Ints, Ids]:
        """The original turns of some compressed ones, and where each one's begin."""
        first = self._compression.first_part[at.start : at.stop + 1]
        return self._compression.part[first[0] : first[-1]], first - first[0]
