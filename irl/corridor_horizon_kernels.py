"""Finite horizons inside corridors: the recursion of `trodden.irl.horizons` trip by trip, and the margin's rival.

On reduced costs: with p the cheapest cost to the destination, ``w = exp(-(c + p(s') - p(s))) <= 1`` and
``y^h = exp(V^h + p)``, ``y^h = w y^{h-1} (+ 1 on goals)``, ``y^0 = 1``. States stand by rising p, goals first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.compiled import kernel
from .corridor_kernels import weigh

_Array = Any
"""A numpy array inside a kernel; shapes stand in the docstrings."""
_TIE = 1e-12
"""Relative difference of cost within which two ways on count as equally good: as `best_turns` has it."""


@kernel
def _follow(taken: _Array, first: _Array, turn: _Array, head: _Array, at: int, place: _Array) -> int:
    """Where each turn of a route stands among the corridor's, into ``place``; the state it ends on, or -1."""
    for step in range(len(taken)):
        place[step] = -1
        for k in range(first[at], first[at + 1]):
            if turn[k] == taken[step]:
                place[step] = k
                break
        if place[step] < 0:
            return -1
        at = head[place[step]]
    return at


@kernel
def _grow(weight: _Array, first: _Array, head: _Array, num_goals: int, horizon: int) -> _Array:
    """``y^0 .. y^H``, float64[H+1, S]."""
    size = len(first) - 1
    grown = np.ones((horizon + 1, size))
    for step in range(horizon):
        for s in range(size):
            total = 1.0 if s < num_goals else 0.0
            for k in range(first[s], first[s + 1]):
                total += weight[k] * grown[step, head[k]]
            grown[step + 1, s] = total
    return grown


@kernel
def _roll(
    weight: _Array,
    cost: _Array,
    potential: _Array,
    first: _Array,
    head: _Array,
    num_goals: int,
    grown: _Array,
    leaving: _Array,
    arriving: _Array,
    count: _Array,
) -> None:
    """Add ``Roll_{H-1}(arriving) - Roll_H(leaving)`` to ``count`` float64[K]: `RecedingHorizon` has the equation."""
    size, horizon = len(potential), len(grown) - 1
    rolling, moved = -leaving / grown[horizon], np.empty(size)
    for step in range(horizon, 0, -1):
        moved[:] = 0.0
        for s in range(size):
            if rolling[s] != 0.0:
                for k in range(first[s], first[s + 1]):
                    count[k] += rolling[s] * weight[k] * grown[step - 1, head[k]]
                    moved[head[k]] += weight[k] * rolling[s]
        if step == horizon:  # the demonstrated turn is the first of H: only H - 1 random ones follow it
            moved += arriving / grown[step - 1]
        rolling, moved = moved, rolling
    # The rest takes the best path: states further off come first, each hands all it has to one settled before it.
    for s in range(size - 1, num_goals - 1, -1):
        if rolling[s] != 0.0:
            for k in range(first[s], first[s + 1]):
                if head[k] < s and cost[k] + potential[head[k]] <= potential[s] * (1.0 + _TIE):
                    count[k] += rolling[s]
                    rolling[head[k]] += rolling[s]
                    break


@kernel
def roll_block(
    turn_cost: _Array,
    first_state: _Array,
    potential: _Array,
    first_turn: _Array,
    turn: _Array,
    head: _Array,
    origin: _Array,
    num_goals: _Array,
    taken: _Array,
    first_taken: _Array,
    horizon: int,
    is_stop: bool,
    with_counts: bool,
) -> tuple[_Array, _Array]:
    """Log-likelihood of every route of a block, and its gradient in the rewards of its corridor's turns.

    ``taken`` int32[M] holds the turns of route n at ``first_taken[n] : first_taken[n+1]``.

    Returns
    -------
    (value float64[N], slope float64[K])
        NaN where a route leaves its corridor.
    """
    value, slope = np.full(len(origin), np.nan), np.zeros(len(turn))
    for n in range(len(origin)):
        low, high = first_state[n], first_state[n + 1]
        begin, end = first_turn[low], first_turn[high]
        first, heads = first_turn[low : high + 1] - begin, head[begin:end]
        cost, weight, own = turn_cost[turn[begin:end]], np.empty(end - begin), potential[low:high]
        place = np.empty(first_taken[n + 1] - first_taken[n], np.int64)
        route = taken[first_taken[n] : first_taken[n + 1]]
        last = _follow(route, first, turn[begin:end], heads, origin[n], place)
        if last < 0:
            continue
        weigh(cost, own, first, heads, weight)
        grown = _grow(weight, first, heads, num_goals[n], horizon)
        leaving, arriving = np.zeros(high - low), np.zeros(high - low)
        at, total = origin[n], 0.0
        for k in place:
            total -= cost[k] + own[heads[k]] - own[at]  # not log(weight): that may have underflown
            total += np.log(grown[horizon - 1, heads[k]] / grown[horizon, at])
            leaving[at] += 1.0
            arriving[heads[k]] += 1.0
            at = heads[k]
        if is_stop:
            total -= np.log(grown[horizon, last])
            leaving[last] += 1.0
        value[n] = total
        if with_counts:
            mine = slope[begin:end]
            for k in place:
                mine[k] += 1.0
            _roll(weight, cost, own, first, heads, num_goals[n], grown, leaving, arriving, mine)
    return value, slope


@kernel
def margin_block(
    turn_cost: _Array,
    margin: _Array,
    first_state: _Array,
    state: _Array,
    first_turn: _Array,
    turn: _Array,
    head: _Array,
    origin: _Array,
    num_goals: _Array,
    taken: _Array,
    first_taken: _Array,
) -> tuple[_Array, _Array]:
    """Margin loss of every route of a block, and a subgradient in the *costs* of its corridor's turns.

    ``margin`` float64[E] is what a demonstrated edge is worth that a route does not share: `MarginLoss`.

    Returns
    -------
    (loss float64[N], slope float64[K])
        NaN where a route leaves its corridor.
    """
    loss, slope = np.full(len(origin), np.nan), np.zeros(len(turn))
    for n in range(len(origin)):
        low, high = first_state[n], first_state[n + 1]
        begin, end = first_turn[low], first_turn[high]
        first, heads = first_turn[low : high + 1] - begin, head[begin:end]
        place = np.empty(first_taken[n + 1] - first_taken[n], np.int64)
        if _follow(taken[first_taken[n] : first_taken[n + 1]], first, turn[begin:end], heads, origin[n], place) < 0:
            continue
        extra, total = np.zeros(high - low), 0.0
        for k in place:
            total += turn_cost[turn[begin + k]]
            if extra[heads[k]] == 0.0:
                extra[heads[k]] = margin[state[low + heads[k]]]
                total += extra[heads[k]]
        # Min-plus sweeps in the order of the states; costs to go without the margin are near the answer's order.
        reach, best = np.full(high - low, np.inf), np.full(high - low, -1)
        reach[: num_goals[n]] = 0.0
        moved = True
        while moved:
            moved = False
            for s in range(num_goals[n], high - low):
                for k in range(first[s], first[s + 1]):
                    there = turn_cost[turn[begin + k]] + extra[heads[k]] + reach[heads[k]]
                    if there < reach[s]:
                        reach[s], best[s], moved = there, k, True
        at = origin[n]
        loss[n] = total - reach[at]
        for k in place:
            slope[begin + k] += 1.0
        while at >= num_goals[n]:
            slope[begin + best[at]] -= 1.0
            at = heads[best[at]]
    return loss, slope
