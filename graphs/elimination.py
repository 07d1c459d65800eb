"""Eliminating states from a graph of turns: the compiled loops behind `trodden.graphs.compression`.

Taking out a state a replaces every pair (turn p -> a, turn a -> b) by one turn p -> b that remembers both. Turns stand
in one table, a row each, in doubly linked lists by the state they leave and the state they enter. A turn made of two
names them as its parts; the leaves of that binary tree are turns of the original graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.compiled import kernel
from ..core.types import Bools, Ids, Ints
from .turns import TurnGraph

_Array = Any
"""A numpy array inside a kernel; shapes stand in the comments and docstrings."""
_FROM, _TO, _LEFT, _RIGHT, _NEXT_OUT, _PREVIOUS_OUT, _NEXT_IN, _PREVIOUS_IN = range(8)
"""Columns of a turn's row; ``_LEFT`` and ``_RIGHT`` are its parts, -1 in an original turn."""
_FIRST_OUT, _FIRST_IN, _NUM_OUT, _NUM_IN, _NUM_LOOPS, _FLAG = range(6)
"""Columns of a state's row."""
KEPT, GONE, PROTECTED = 0, 1, 2
"""Flags of a state."""
_FULL = -1


@dataclass(frozen=True, eq=False)
class Ways:
    """Turns that each stand for a sequence of original ones."""

    from_state: Ints
    """int32[K]."""
    to_state: Ints
    first_part: Ids
    """int64[K+1]: the original turns of turn k, in order of travel, are ``part[first_part[k] : first_part[k+1]]``."""
    part: Ints


class Elimination:
    """The turns of a graph while states are taken out of it.

    Parameters
    ----------
    flag
        int32[E]: `PROTECTED` states stay; `GONE` ones are left out from the start, with their turns.
    is_tip
        bool[E], the states that ``max_fill`` is for; what is merged with one becomes one.
    """

    def __init__(self, turns: TurnGraph, flag: Ints, is_tip: Bools) -> None:
        self._turns, self._start = turns, (flag, is_tip)
        self._done: list[tuple[int, int, int, bool]] = []
        self._capacity = 2 * turns.num_turns + 16
        self._begin()

    def run(self, *, merge_degree: int, max_fill: int, max_degree: int, at_tips: bool) -> None:
        """Take out states until none is left that the rules allow.

        Parameters
        ----------
        merge_degree
            States with so many ways in, or so many ways out, are taken out: 1, or -1 for none.
        max_fill
            Others are taken out where turns grow by no more than this; -1 for none.
        max_degree
            No state is given more turns out or in than this, but by several turns from one state to another.
        at_tips
            ``max_fill`` is for tips alone.
        """
        step = merge_degree, max_fill, max_degree, at_tips
        while not self._apply(*step):
            self._capacity *= 2
            self._begin()
            for earlier in self._done:  # they fitted into half of it
                self._apply(*earlier)
        self._done.append(step)

    @property
    def is_kept(self) -> Bools:
        """bool[E]."""
        return np.asarray(self._states[:, _FLAG] != GONE)

    def table(self) -> Ways:
        """The turns that are left, by the state they leave, the state they enter and age. O(K log K + parts)."""
        rows = self._rows[: self._num]
        is_kept = self.is_kept
        alive = np.flatnonzero(is_kept[rows[:, _FROM]] & is_kept[rows[:, _TO]])
        alive = alive[np.lexsort((alive, rows[alive, _TO], rows[alive, _FROM]))]
        length = np.ones(self._num, np.int64)
        _add_up(self._rows, self._turns.num_turns, length)
        first = np.concatenate([[0], np.cumsum(length[alive])]).astype(np.int64)
        part = np.empty(int(first[-1]), np.int32)
        _list_parts(self._rows, alive, np.empty(int(length[alive].max(initial=0)) + 1, np.int32), part)
        return Ways(rows[alive, _FROM], rows[alive, _TO], first, part)

    def _begin(self) -> None:
        self._num = self._turns.num_turns
        self._rows = np.empty((self._capacity, 8), np.int32)
        self._states = np.zeros((self._turns.num_edges, 6), np.int32)
        self._states[:, _FLAG], self._is_tip = self._start[0], self._start[1].copy()
        _link_all(self._turns.from_edge, self._turns.to_edge, self._rows, self._states)

    def _apply(self, merge_degree: int, max_fill: int, max_degree: int, at_tips: bool) -> bool:
        """False where the table is full: what it holds then is of no use."""
        tables = self._rows, self._states, self._is_tip
        self._num = int(_eliminate(*tables, self._num, merge_degree, max_fill, max_degree, at_tips))
        return self._num != _FULL


@kernel
def _link(rows: _Array, states: _Array, turn: int) -> None:
    """Put a turn, whose ends stand in its row, at the head of its two lists."""
    begin, end = rows[turn, _FROM], rows[turn, _TO]
    for state, first, following, previous, count in (
        (begin, _FIRST_OUT, _NEXT_OUT, _PREVIOUS_OUT, _NUM_OUT),
        (end, _FIRST_IN, _NEXT_IN, _PREVIOUS_IN, _NUM_IN),
    ):
        head = states[state, first]
        rows[turn, following] = head
        rows[turn, previous] = -1
        if head >= 0:
            rows[head, previous] = turn
        states[state, first] = turn
        states[state, count] += 1
    if begin == end:
        states[begin, _NUM_LOOPS] += 1


@kernel
def _link_all(from_edge: _Array, to_edge: _Array, rows: _Array, states: _Array) -> None:
    """Fill the tables with the turns between states that are not gone."""
    for state in range(len(states)):
        states[state, _FIRST_OUT] = -1
        states[state, _FIRST_IN] = -1
    for turn in range(len(from_edge)):
        rows[turn, _FROM] = from_edge[turn]
        rows[turn, _TO] = to_edge[turn]
        rows[turn, _LEFT] = -1
        rows[turn, _RIGHT] = -1
        if states[from_edge[turn], _FLAG] != GONE and states[to_edge[turn], _FLAG] != GONE:
            _link(rows, states, turn)


@kernel
def _unlink(rows: _Array, states: _Array, turn: int, is_out: bool) -> None:
    """Take a turn out of the list of the state it leaves (``is_out``) or of the one it enters."""
    end, first, following, previous, count = _TO, _FIRST_IN, _NEXT_IN, _PREVIOUS_IN, _NUM_IN
    if is_out:
        end, first, following, previous, count = _FROM, _FIRST_OUT, _NEXT_OUT, _PREVIOUS_OUT, _NUM_OUT
    state, after, before = rows[turn, end], rows[turn, following], rows[turn, previous]
    if before >= 0:
        rows[before, following] = after
    else:
        states[state, first] = after
    if after >= 0:
        rows[after, previous] = before
    states[state, count] -= 1


@kernel
def _may_go(rows: _Array, states: _Array, state: int, merge_degree: int, max_fill: int, max_degree: int) -> bool:
    """Whether the rules allow to take a state out."""
    num_in, num_out = states[state, _NUM_IN], states[state, _NUM_OUT]
    if states[state, _FLAG] != KEPT or states[state, _NUM_LOOPS] > 0:
        return False
    is_mergeable = min(num_in, num_out) <= merge_degree
    if not is_mergeable and (max_fill < 0 or num_in * num_out - num_in - num_out > max_fill):
        return False
    if num_out > 1:
        turn = states[state, _FIRST_IN]
        while turn >= 0:
            if states[rows[turn, _FROM], _NUM_OUT] - 1 + num_out > max_degree:
                return False
            turn = rows[turn, _NEXT_IN]
    if num_in > 1:
        turn = states[state, _FIRST_OUT]
        while turn >= 0:
            if states[rows[turn, _TO], _NUM_IN] - 1 + num_in > max_degree:
                return False
            turn = rows[turn, _NEXT_OUT]
    return True


@kernel
def _take_out(rows: _Array, states: _Array, num: int, state: int) -> int:
    """Replace the turns through a state; the new number of rows."""
    incoming = states[state, _FIRST_IN]
    while incoming >= 0:
        _unlink(rows, states, incoming, True)
        incoming = rows[incoming, _NEXT_IN]
    outgoing = states[state, _FIRST_OUT]
    while outgoing >= 0:
        _unlink(rows, states, outgoing, False)
        outgoing = rows[outgoing, _NEXT_OUT]
    incoming = states[state, _FIRST_IN]
    while incoming >= 0:
        outgoing = states[state, _FIRST_OUT]
        while outgoing >= 0:
            rows[num, _FROM] = rows[incoming, _FROM]
            rows[num, _TO] = rows[outgoing, _TO]
            rows[num, _LEFT] = incoming
            rows[num, _RIGHT] = outgoing
            _link(rows, states, num)
            num += 1
            outgoing = rows[outgoing, _NEXT_OUT]
        incoming = rows[incoming, _NEXT_IN]
    states[state, _FLAG] = GONE
    return num


@kernel
def _eliminate(
    rows: _Array,
    states: _Array,
    is_tip: _Array,
    num: int,
    merge_degree: int,
    max_fill: int,
    max_degree: int,
    at_tips: bool,
) -> int:
    """Take out states in the order of their positions, then those whose neighbours went; the new number of rows.

    ``is_tip`` bool[E] is written to. `_FULL` where the table has no room for the next state's turns.
    """
    size = len(states)
    queue = np.empty(size, np.int32)
    is_queued = np.ones(size, np.bool_)
    for state in range(size):
        queue[state] = state
    begin, waiting = 0, size
    while waiting > 0:
        state = queue[begin]
        begin = (begin + 1) % size
        waiting -= 1
        is_queued[state] = False
        fill = max_fill if is_tip[state] or not at_tips else -1
        if not _may_go(rows, states, state, merge_degree, fill, max_degree):
            continue
        if num + states[state, _NUM_IN] * states[state, _NUM_OUT] > len(rows):
            return _FULL
        num = _take_out(rows, states, num, state)
        # Their turns changed. Where a tip has one neighbour on a side, that one is the tip of what is left.
        for first, following, end, count in (
            (_FIRST_IN, _NEXT_IN, _FROM, _NUM_IN),
            (_FIRST_OUT, _NEXT_OUT, _TO, _NUM_OUT),
        ):
            turn = states[state, first]
            while turn >= 0:
                other = rows[turn, end]
                if is_tip[state] and states[state, count] == 1:
                    is_tip[other] = True
                if not is_queued[other]:
                    is_queued[other] = True
                    queue[(begin + waiting) % size] = other
                    waiting += 1
                turn = rows[turn, following]
    return num


@kernel
def _add_up(rows: _Array, num_original: int, length: _Array) -> None:
    """Original turns in every row, int64[N]; a turn's parts stand above it."""
    for turn in range(num_original, len(length)):
        length[turn] = length[rows[turn, _LEFT]] + length[rows[turn, _RIGHT]]


@kernel
def _list_parts(rows: _Array, turns: _Array, stack: _Array, out: _Array) -> None:
    """The original turns of some rows, one row after the other, in order of travel; ``stack`` int32[longest + 1]."""
    place = 0
    for root in turns:
        stack[0] = root
        depth = 1
        while depth > 0:
            depth -= 1
            turn = stack[depth]
            if rows[turn, _LEFT] < 0:
                out[place] = turn
                place += 1
            else:
                stack[depth] = rows[turn, _RIGHT]
                stack[depth + 1] = rows[turn, _LEFT]
                depth += 2
