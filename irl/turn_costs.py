"""What turns cost: all of them at once, or only where a search comes by."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np

from ..core.compiled import kernel
from ..core.errors import NonPositiveCostError
from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.compression import Compression
from ..graphs.search_kernels import TURN_BLOCK_BITS
from ..graphs.shortest_paths import check_costs, check_some_costs
from ..graphs.turns import TurnGraph
from .feature_columns import LinearReward

_Array = Any
"""A numpy array inside a kernel; shapes stand in the docstrings."""
_BLOCK = 1 << TURN_BLOCK_BITS
_CHUNK = 64
"""Blocks that a thread takes at a time; fixed, so that sums depend neither on the threads nor on what is known."""


class TurnCosts:
    """Positive costs of turns that are known for some blocks of 4,096 turns; the rest is worked out when asked for.

    Memory that is never written is never taken: an untouched map costs nothing but addresses. Threads may share one:
    two that ask for the same block at once both write the same numbers.
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

    def require(self, blocks: Ids) -> None:
        """Make the costs of some blocks known."""
        for block in blocks[~self.is_known[blocks]].tolist():
            at = self._span(block)
            self.value[at] = self._costs_of(at)
            self.is_known[block] = True

    def prepare(self, blocks: Ids, threads: int) -> None:
        """Make costs known by several threads before anyone asks; what costs nothing or less is left to who does."""

        def task(some: Ids) -> None:
            for block in some:
                with suppress(NonPositiveCostError):
                    self.require(np.array([block]))

        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(task, _chunks(blocks)):
                pass

    def at(self, turns: Ints) -> Floats:
        """float64[n]: the costs of some turns, known or not before."""
        self.require(_blocks_of(turns))
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

    def __init__(
        self, turns: TurnGraph, features: LinearReward, coefficients: Floats, edge_id: Ids | None = None
    ) -> None:
        self._forget(turns)
        self._turns, self._edge_id = turns, edge_id
        self._features, self._coefficients = features, coefficients

    def _costs_of(self, at: slice) -> Floats:
        cost = -self._features.reward_at(at, self._coefficients)
        return check_some_costs(self._turns, at, cost, self._edge_id)

    def project(self, weights: Floats, threads: int = 1) -> Floats:
        """``X.T @ weights``, float64[F], for weights that are 0 where no cost is known; by several threads."""
        if self._features.is_wide:
            turns = np.flatnonzero(weights)
            return self._features.project_at(turns, weights[turns])

        def task(blocks: Ids) -> Floats:
            total = np.zeros(len(self._features))
            for block in blocks[self.is_known[blocks]].tolist():
                at = self._span(block)
                if weights[at].any():
                    total += self._features.project_at(at, weights[at])
            return total

        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(task, _chunks(np.arange(len(self.is_known)))))
        return np.asarray(sum(parts, np.zeros(len(self._features))))


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
        first = self._compression.first_part[at.start : at.stop + 1]
        self._original.require(_blocks_of(self._compression.part[first[0] : first[-1]]))
        result = np.empty(at.stop - at.start)
        _sum_parts(self._original.value, first, self._compression.part, result)
        return result

    def expand(self, counts: Floats) -> Floats:
        """Counts of compressed turns, 0 where no cost is known, as counts of the original ones, float64[T]."""
        result = np.zeros(len(self._original.value))
        for block in np.flatnonzero(self.is_known).tolist():
            at = self._span(block)
            first = self._compression.first_part[at.start : at.stop + 1]
            _hand_out(counts[at], first, self._compression.part, result)
        return result


def _chunks(blocks: Ids) -> Iterator[Ids]:
    return (blocks[begin : begin + _CHUNK] for begin in range(0, len(blocks), _CHUNK))


def _blocks_of(turns: Ints) -> Ids:
    """The blocks that some turns stand in, ascending."""
    if len(turns) == 0:
        return np.zeros(0, np.int64)
    blocks = turns >> TURN_BLOCK_BITS
    low = int(blocks.min())
    return np.flatnonzero(np.bincount(blocks - low)) + low


@kernel
def _sum_parts(value: _Array, first: _Array, part: _Array, result: _Array) -> None:
    """``result[k]``, the sum of ``value`` over ``part[first[k] : first[k+1]]``."""
    for k in range(len(result)):
        total = 0.0
        for place in range(first[k], first[k + 1]):
            total += value[part[place]]
        result[k] = total


@kernel
def _hand_out(count: _Array, first: _Array, part: _Array, result: _Array) -> None:
    """Add ``count[k]`` to ``result`` at each of ``part[first[k] : first[k+1]]``."""
    for k in range(len(count)):
        if count[k] != 0.0:
            for place in range(first[k], first[k + 1]):
                result[part[place]] += count[k]
