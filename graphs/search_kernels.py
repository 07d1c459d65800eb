"""Searches on the turn graph from inside compiled code: a heap, and those that share one disk around a destination."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.compiled import kernel

_Array = Any
"""A numpy array inside a kernel; shapes stand in the comments and docstrings."""
FOUND, UNREACHABLE, TOO_LARGE, UNKNOWN = 0, 1, 2, 3
"""How a search ended; the last one at a turn whose cost is not known yet."""
TURN_BLOCK_BITS = 12
"""Costs become known for blocks of 4,096 turns, neighbours in space: a trip of some km comes by ten or so."""
SLACK = 1e-12
"""Relative: rounding must not decide whether a state on the rim is in."""


@kernel
def push(keys: _Array, items: _Array, size: int, key: float, item: int) -> int:
    """Put an item on a heap that has room; the new size."""
    place = size
    while place > 0:
        above = (place - 1) >> 1
        if keys[above] <= key:
            break
        keys[place] = keys[above]
        items[place] = items[above]
        place = above
    keys[place] = key
    items[place] = item
    return size + 1


@kernel
def pop(keys: _Array, items: _Array, size: int) -> int:
    """Take the smallest off, which the caller has read from place 0; the new size."""
    size -= 1
    key, item = keys[size], items[size]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size and keys[below + 1] < keys[below]:
            below += 1
        if keys[below] >= key:
            break
        keys[place] = keys[below]
        items[place] = items[below]
        place = below
    keys[place] = key
    items[place] = item
    return size


@kernel
def seed(side: int, states: _Array, number: int, cost: _Array, stamp: _Array, keys: _Array, items: _Array) -> int:
    """Start a ball at some states, at cost 0; the size of its heap."""
    size = 0
    for state in states:
        stamp[side, state] = number
        cost[side, state] = 0.0
        size = push(keys[side], items[side], size, 0.0, state)
    return size


@kernel
def grow_disk(
    first_in: _Array,
    in_turn: _Array,
    from_edge: _Array,
    turn_cost: _Array,
    is_known: _Array,
    origins: _Array,
    goals: _Array,
    is_absorbing: bool,
    tau: _Array,
    least: _Array,
    number: int,
    cost: _Array,
    stamp: _Array,
    settled: _Array,
    order: _Array,
) -> tuple[int, int]:
    """Costs to the goals of every state that a corridor of one of the trips can hold: (how it ended, block not known).

    `TOO_LARGE` where that takes more states than ``order[1]`` has room for. Origins that are not settled then cannot
    reach the goals.
    """
    capacity = max(1024, 2 * len(goals))
    keys, items = np.empty((2, capacity)), np.empty((2, capacity), np.int32)
    size, count, limit, missing = seed(1, goals, number, cost, stamp, keys, items), 0, np.inf, 0
    for origin in origins:  # marked on the other side, which this search does not use
        missing += stamp[0, origin] != number
        stamp[0, origin] = number
    while size > 0:
        here, at = keys[1, 0], items[1, 0]
        size = pop(keys[1], items[1], size)
        if settled[1, at] == number or here > cost[1, at]:
            continue
        if here > limit:
            break
        if count >= order.shape[1]:
            return TOO_LARGE, 0
        settled[1, at] = number
        count += 1
        if stamp[0, at] == number:
            missing -= 1
            if missing == 0:
                limit = 0.0
                for n in range(len(origins)):
                    limit = max(limit, (max(cost[1, origins[n]], least[n]) + tau[n]) * (1.0 + SLACK))
        begin, end = first_in[at], first_in[at + 1]
        while size + end - begin > keys.shape[1]:
            keys = np.concatenate((keys, np.empty_like(keys)), axis=1)
            items = np.concatenate((items, np.empty_like(items)), axis=1)
        for place in range(begin, end):
            turn = in_turn[place]
            there = from_edge[turn]
            if not is_known[turn >> TURN_BLOCK_BITS]:
                return UNKNOWN, turn >> TURN_BLOCK_BITS
            reach = here + turn_cost[turn]
            if reach > limit or (is_absorbing and there == goals[0]):
                continue
            if stamp[1, there] != number or reach < cost[1, there]:
                stamp[1, there] = number
                cost[1, there] = reach
                size = push(keys[1], items[1], size, reach, there)
    return FOUND, 0


@kernel
def grow_ahead(
    first_out: _Array,
    to_edge: _Array,
    turn_cost: _Array,
    origin: int,
    goals: _Array,
    is_absorbing: bool,
    tau: float,
    least: float,
    number: int,
    number_of_goals: int,
    cost: _Array,
    stamp: _Array,
    settled: _Array,
    order: _Array,
) -> tuple[int, int, float, float]:
    """Dijkstra from an origin inside the disk: (how it ended, states in the corridor, best path's cost, limit).

    Costs to the goals being known, nothing outside the corridor is ever open. Its states are left in ``order[0]``.
    """
    if settled[1, origin] != number_of_goals:
        return UNREACHABLE, 0, np.inf, np.inf
    best = cost[1, origin]
    limit = (max(best, least) + tau) * (1.0 + SLACK)
    keys, items, size, count = np.empty(1024), np.empty(1024, np.int32), 0, 0
    size = push(keys, items, size, 0.0, origin)
    stamp[0, origin] = number
    cost[0, origin] = 0.0
    while size > 0:
        here, at = keys[0], items[0]
        size = pop(keys, items, size)
        if settled[0, at] == number or here > cost[0, at]:
            continue
        if count >= order.shape[1]:
            return TOO_LARGE, 0, best, limit
        settled[0, at] = number
        order[0, count] = at
        count += 1
        if is_absorbing and at == goals[0]:
            continue
        begin, end = first_out[at], first_out[at + 1]
        while size + end - begin > len(keys):
            keys = np.concatenate((keys, np.empty_like(keys)))
            items = np.concatenate((items, np.empty_like(items)))
        for turn in range(begin, end):
            there = to_edge[turn]
            reach = here + turn_cost[turn]
            if settled[1, there] != number_of_goals or reach + cost[1, there] > limit:
                continue
            if stamp[0, there] != number or reach < cost[0, there]:
                stamp[0, there] = number
                cost[0, there] = reach
                size = push(keys, items, size, reach, there)
    return FOUND, count, best, limit


@kernel
def by_cost(states: _Array, cost: _Array) -> _Array:
    """The states by rising cost to the goals."""
    togo = np.empty(len(states))
    for k in range(len(states)):
        togo[k] = cost[1, states[k]]
    return states[np.argsort(togo)]
