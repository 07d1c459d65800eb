"""What turns cost: all of them at once, or only where a search comes by."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np

from ..core.compiled import kernel
from ..core.errors import NonPositiveCostError
from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.compression import Compression
from ..graphs.search_kernels import TURN_BLOCK_BITS
from ..graphs.shortest_paths import check_costs, check_some_costs
from ..graphs.turns import TurnGraph
from .linear_rewards import LinearReward, SplitReward

_Array = Any
"""A numpy array inside a kernel; shapes stand in the docstrings."""
_BLOCK = 1 << TURN_BLOCK_BITS
_RUN = 16
"""Blocks in a row that are worked out at a time, at most."""
_GROUP = 64
"""Blocks that are projected at a time; fixed, so that sums depend neither on the threads nor on what is known."""
_BITS: Any = np.uint32(TURN_BLOCK_BITS)
"""Positions are shifted unsigned in kernels: no look at whether they count from the end."""


class _Scratch(threading.local):
    """Room for a run of blocks, for each thread its own. (Fresh memory takes a thread longer than the sums in it.)"""

    def __init__(self) -> None:
        self._room = np.empty(_RUN * _BLOCK)

    def zeros(self, at: slice) -> Floats:
        """float64[n] for so many items, until the next call."""
        result = self._room[: at.stop - at.start]
        result[:] = 0.0
        return result


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
        self._scratch = _Scratch()
        self._zeros = np.zeros(0)

    def zeros(self) -> Floats:
        """float64[T] of zeros for counts of turns whose cost is known: the same array each time, until `renew`.

        The system takes longer to hand out fresh memory than a large map takes to be counted on.
        """
        if len(self._zeros) != len(self.value):
            self._zeros = np.zeros(len(self.value))
        return self._zeros

    def _renew(self) -> None:
        """Know nothing any more, as if made anew, in the same memory."""
        if len(self._zeros):
            _clear(self._zeros, self.is_known)
        self.is_known[:] = False

    def require(self, blocks: Ids) -> None:
        """Make the costs of some blocks, ascending, known."""
        for run in _runs(blocks[~self.is_known[blocks]]):
            self._require_run(run)

    def _require_run(self, run: slice) -> None:
        at = _span(run, len(self.value))
        cost = self._scratch.zeros(at)
        self._add_costs(at, cost)
        self.value[at] = cost
        self.is_known[run] = True

    def known(self) -> tuple[Ids, ...]:
        """The blocks that are known, for `prepare` of costs of the same turns."""
        return (np.flatnonzero(self.is_known),)

    def prepare(self, known: tuple[Ids, ...], threads: int) -> None:
        """Make costs known by several threads before anyone asks; what costs nothing or less is left to who does."""

        def task(run: slice) -> None:
            with suppress(NonPositiveCostError):
                self._require_run(run)

        _by_run(known[0][~self.is_known[known[0]]], task, threads)

    def at(self, turns: Ints) -> Floats:
        """float64[n]: the costs of some turns, known or not before."""
        self.require(_unknown_blocks(turns, self.is_known))
        return self.value[turns]

    def _add_costs(self, at: slice, cost: Floats) -> None:
        """Add the costs of turns that are not known to zeros, ``cost``."""


class LinearCosts(TurnCosts):
    """``-reward``, where it is asked for: O(4096 F) for each block.

    Raises
    ------
    NonPositiveCostError
        By `require` and `at`: a turn of a block asked for costs nothing or less.
    """

    def __init__(
        self, turns: TurnGraph, reward: LinearReward, coefficients: Floats, edge_id: Ids | None = None
    ) -> None:
        self._forget(turns)
        self._turns, self._edge_id = turns, edge_id
        self.reward, self._coefficients = reward, coefficients

    def renew(self, coefficients: Floats) -> None:
        """Other coefficients of the same reward, as if made anew, in the same memory."""
        self._renew()
        self._coefficients = coefficients

    def _add_costs(self, at: slice, cost: Floats) -> None:
        self._subtract_reward(at, cost)
        check_some_costs(self._turns, at, cost, self._edge_id)

    def _subtract_reward(self, at: slice, cost: Floats) -> None:
        cost -= self.reward.reward_at(at, self._coefficients)

    def project(self, weights: Floats, threads: int = 1) -> Floats:
        """The gradient of ``weights @ reward``, float64[C], for weights that are 0 where no cost is known."""
        turns = np.flatnonzero(weights)
        return self.reward.project_at(turns, weights[turns])


class SplitCosts(LinearCosts):
    """The same for a reward in two parts: that of an edge is worked out once, whichever turns onto it are asked for."""

    reward: SplitReward

    def __init__(self, turns: TurnGraph, reward: SplitReward, coefficients: Floats, edge_id: Ids | None = None) -> None:
        super().__init__(turns, reward, coefficients, edge_id)
        self._of_edge = np.empty(reward.num_edges)
        self._is_edge_known = np.zeros((reward.num_edges >> TURN_BLOCK_BITS) + 1, bool)
        self._edge_scratch = _Scratch()
        self._onto = np.zeros(reward.num_edges)
        self._is_written = np.zeros_like(self._is_edge_known)

    def _renew(self) -> None:
        super()._renew()
        self._is_edge_known[:] = False

    def _subtract_reward(self, at: slice, cost: Floats) -> None:
        reward, to_edge = self.reward, self.reward.to_edge[at]
        reward.add_turn_part(at, self._coefficients, cost)
        if _negate_with(self._of_edge, self._is_edge_known, to_edge, cost):
            return
        for run in _runs(_unknown_blocks(to_edge, self._is_edge_known)):
            self._require_edges(run)
        cost[:] = 0.0
        self._subtract_reward(at, cost)

    def _require_edges(self, run: slice) -> None:
        edges = _span(run, len(self._of_edge))
        of_edge = self._edge_scratch.zeros(edges)
        self.reward.add_edge_part(edges, self._coefficients, of_edge)
        self._of_edge[edges] = of_edge
        self._is_edge_known[run] = True

    def known(self) -> tuple[Ids, ...]:
        """See `TurnCosts`: blocks of turns, then of edges."""
        return (*super().known(), np.flatnonzero(self._is_edge_known))

    def prepare(self, known: tuple[Ids, ...], threads: int) -> None:
        """See `TurnCosts`. Edges first, lest two threads work out the same ones."""
        _by_run(known[1], self._require_edges, threads)
        super().prepare(known, threads)

    def project(self, weights: Floats, threads: int = 1) -> Floats:
        """See `LinearCosts`. By several threads; what is added up in which order does not depend on what is known."""
        reward, onto = self.reward, self._onto
        _clear(onto, self._is_written)
        self._is_written[:] = self._is_edge_known
        _add_onto(onto, np.flatnonzero(self.is_known), reward.to_edge, weights)

        def of_turns(at: slice) -> Floats:
            return reward.turn_slopes(at, weights[at])

        def of_edges(at: slice) -> Floats:
            return reward.edge_slopes(at, onto[at])

        total = np.zeros(len(reward))
        with ThreadPoolExecutor(threads) as pool:
            by_edges = pool.map(of_edges, _groups(self._is_edge_known, len(onto)))
            by_turns = pool.map(of_turns, _groups(self.is_known, len(weights)))
            for part in chain(by_edges, by_turns):
                total += part
        return total


def linear_costs(
    turns: TurnGraph, reward: LinearReward, coefficients: Floats, edge_id: Ids | None = None
) -> LinearCosts:
    """The costs of a linear reward, where they are asked for."""
    if isinstance(reward, SplitReward):
        return SplitCosts(turns, reward, coefficients, edge_id)
    return LinearCosts(turns, reward, coefficients, edge_id)


class CompressedCosts(TurnCosts):
    """The costs of compressed turns, sums of ``original`` ones, which are worked out where those are asked for.

    Raises
    ------
    NonPositiveCostError
        By `require` and `at`: an original turn of a block asked for costs nothing or less.
    """

    def __init__(self, compression: Compression, original: TurnCosts) -> None:
        self._forget(compression.turns)
        self.compression, self.original = compression, original

    def known(self) -> tuple[Ids, ...]:
        """See `TurnCosts`: compressed blocks, then original ones."""
        return (*super().known(), *self.original.known())

    def prepare(self, known: tuple[Ids, ...], threads: int) -> None:
        """See `TurnCosts`. Original ones first: they stand in longer runs than any compressed block asks for."""
        self.original.prepare(known[1:], threads)
        super().prepare(known, threads)

    def _add_costs(self, at: slice, cost: Floats) -> None:
        first, part = self.compression.first_part[at.start : at.stop + 1], self.compression.part
        value, is_known = self.original.value, self.original.is_known
        while not _sum_parts(value, is_known, first, part, cost):
            self.original.require(_unknown_blocks(part[first[0] : first[-1]], is_known))

    def renew(self) -> None:
        """As if made anew for the original costs, which were renewed, in the same memory."""
        self._renew()

    def expand(self, counts: Floats) -> Floats:
        """Counts of compressed turns, 0 where no cost is known, as counts of the original ones, float64[T].

        Into the original costs' `zeros`: once for each time that they are new.
        """
        result = self.original.zeros()
        for some in _runs(np.flatnonzero(self.is_known)):
            at = _span(some, len(self.value))
            _hand_out(counts[at], self.compression.first_part[at.start : at.stop + 1], self.compression.part, result)
        return result


def _runs(blocks: Ids) -> Iterator[slice]:
    """Ascending blocks as runs of at most `_RUN` that follow each other: the shorter the loop over them in Python."""
    if len(blocks) == 0:
        return
    is_new = np.ones(len(blocks), bool)
    is_new[1:] = (np.diff(blocks) != 1) | (blocks[1:] % _RUN == 0)
    begins = np.flatnonzero(is_new)
    for first, last in zip(
        blocks[begins].tolist(), blocks[np.append(begins[1:], len(blocks)) - 1].tolist(), strict=True
    ):
        yield slice(first, last + 1)


def _by_run(blocks: Ids, task: Callable[[slice], None], threads: int) -> None:
    """The task for every run of blocks, by several threads."""
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(task, _runs(blocks)):
            pass


def _span(blocks: slice, count: int) -> slice:
    """The items of some blocks in a row, of so many."""
    return slice(blocks.start * _BLOCK, min(blocks.stop * _BLOCK, count))


def _groups(is_known: Bools, count: int) -> list[slice]:
    """The items of each group of `_GROUP` blocks of which any is known, of so many."""
    groups = np.unique(np.flatnonzero(is_known) // _GROUP)
    size = _GROUP * _BLOCK
    return [slice(group * size, min((group + 1) * size, count)) for group in groups.tolist()]


def _clear(values: Floats, is_known: Bools) -> None:
    """Zeros at all items of blocks that are known."""
    for some in _runs(np.flatnonzero(is_known)):
        values[_span(some, len(values))] = 0.0


@kernel
def _unknown_blocks(items: _Array, is_known: _Array) -> _Array:
    """The blocks that some items stand in and that are not known, ascending."""
    is_wanted = np.zeros(len(is_known), np.bool_)
    for item in items:
        is_wanted[np.uint32(item) >> _BITS] = True
    return np.flatnonzero(is_wanted & ~is_known)


@kernel
def _negate_with(value: _Array, is_known: _Array, place: _Array, result: _Array) -> bool:
    """``-(result + value[place])`` in place of ``result``; whether all of those values were known."""
    are_known: Any = True
    for k in range(len(result)):
        at = np.uint32(place[k])
        are_known &= is_known[at >> _BITS]  # without a branch: seldom is one unknown
        result[k] = -(result[k] + value[at])
    return bool(are_known)


@kernel
def _add_onto(total: _Array, blocks: _Array, place: _Array, weight: _Array) -> None:
    """Add every weight of some blocks to ``total`` at its place."""
    for block in blocks:
        for k in range(block << TURN_BLOCK_BITS, min((block + 1) << TURN_BLOCK_BITS, len(weight))):
            total[np.uint32(place[k])] += weight[k]


@kernel
def _sum_parts(value: _Array, is_known: _Array, first: _Array, part: _Array, result: _Array) -> bool:
    """``result[k]``, the sum of ``value`` over ``part[first[k] : first[k+1]]``; whether all of those were known."""
    are_known: Any = True
    for k in range(len(result)):
        total = 0.0
        for place in range(first[k], first[k + 1]):
            at = np.uint32(part[place])
            are_known &= is_known[at >> _BITS]
            total += value[at]
        result[k] = total
    return bool(are_known)


@kernel
def _hand_out(count: _Array, first: _Array, part: _Array, result: _Array) -> None:
    """Add ``count[k]`` to ``result`` at each of ``part[first[k] : first[k+1]]``."""
    for k in range(len(count)):
        if count[k] != 0.0:
            for place in range(first[k], first[k + 1]):
                result[np.uint32(part[place])] += count[k]
