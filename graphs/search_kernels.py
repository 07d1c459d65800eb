"""Searches on the turn graph from inside compiled code: two balls that meet, a shared disk, and what is inside one.

What they write per state stands in two tables with a column per end, 0 for costs from the origin and 1 for costs to the
goals: `label` float64[E, 2] and `mark` int32[E, 2]. A search with number n marks a state 2 n where it has a cost and
2 n + 1 once that is final; every other mark is of an earlier search, and means nothing.
"""

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
_STEPS = 16
"""States that one ball settles before the other may: fewer cost more calls, more grow the larger ball for nothing."""
_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)
"""Positions without a sign: for those with one, each read asks whether it counts from the end."""
_GO_ON, _FULL, _CROWDED = -1, -2, -3
"""Beside the number of a block not known: what `_advance` has to say. Crowded is a heap without room."""


@kernel
def push(keys: _Array, items: _Array, size: int, key: float, item: int) -> int:
    """Put an item on a heap of fours that has room; the new size."""
    place: Any = np.uint64(size)
    while place > 0:
        above = (place - _ONE) >> _TWO
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
    end: Any = np.uint64(size)
    place: Any = np.uint64(0)
    key, item = keys[end], items[end]
    while True:
        below = (place << _TWO) + _ONE
        if below + _THREE < end:
            second, third, fourth = below + _ONE, below + _TWO, below + _THREE
            left = below if keys[below] <= keys[second] else second
            right = third if keys[third] <= keys[fourth] else fourth
            least = left if keys[left] <= keys[right] else right
        elif below < end:
            least = below
            for one in range(below + _ONE, end):
                if keys[one] < keys[least]:
                    least = one
        else:
            break
        if keys[least] >= key:
            break
        keys[place] = keys[least]
        items[place] = items[least]
        place = least
    keys[place] = key
    items[place] = item
    return size


@kernel
def _doubled(array: _Array) -> _Array:
    return np.append(array, np.empty_like(array))


@kernel
def _advance(
    is_back: bool,
    first: _Array,
    neighbour: _Array,
    in_turn: _Array,
    turn_cost: _Array,
    is_known: _Array,
    last: int,
    opened: int,
    opened_there: int,
    least: float,
    tau: float,
    size_there: int,
    radius_there: float,
    label: _Array,
    label_there: _Array,
    mark: _Array,
    mark_there: _Array,
    keys: _Array,
    items: _Array,
    size: int,
    order: _Array,
    count: int,
    radius: float,
    best: float,
) -> tuple[int, int, float, float, int]:
    """Settle some states of one ball, "there" being the other one: (size, count, radius, best, what to do next).

    Of a free ball, one whose radius and the other's do not add up to the limit yet, any state; else only what the other
    one has settled, within the limit.
    """
    for _ in range(_STEPS):
        if size == 0:
            break
        here, at = keys[0], items[0]
        if size + first[at + 1] - first[at] > len(keys):
            return size, count, radius, best, _CROWDED
        size = pop(keys, items, size)
        if mark[at] != opened or here > label[at]:
            continue
        limit = (max(best, least) + tau) * (1.0 + SLACK)
        if here > limit:
            return 0, count, radius, best, _GO_ON
        # A ball without open states has reached all that it can.
        is_free = size_there > 0 and radius + radius_there <= limit
        if mark_there[at] == opened_there + 1:
            if here + label_there[at] > limit:
                continue
        elif not is_free:
            continue
        if count == len(order):
            return size, count, radius, best, _FULL
        mark[at] = opened + 1
        order[count] = at
        count += 1
        radius = here
        if at == last and not is_back:
            continue
        for place in range(first[at], first[at + 1]):
            next_one = neighbour[place]
            seen = mark_there[next_one]
            is_shared = seen == opened_there + 1
            if not (is_free or is_shared):
                continue
            turn = in_turn[place] if is_back else place
            if not is_known[turn >> TURN_BLOCK_BITS]:
                return size, count, radius, best, turn >> TURN_BLOCK_BITS
            reach = here + turn_cost[turn]
            # What the other side has settled is as far from there as it says, all else as far as its ball at least.
            if reach + (label_there[next_one] if is_shared else radius_there) > limit:
                continue
            if next_one == last and is_back:
                continue
            if mark[next_one] < opened or reach < label[next_one]:
                mark[next_one] = opened
                label[next_one] = reach
                size = push(keys, items, size, reach, next_one)
                if seen >= opened_there:
                    best = min(best, reach + label_there[next_one])
    return size, count, radius, best, _GO_ON


@kernel
def grow_both(
    first_out: _Array,
    to_edge: _Array,
    first_in: _Array,
    in_edge: _Array,
    in_turn: _Array,
    turn_cost: _Array,
    is_known: _Array,
    origin: int,
    goals: _Array,
    is_absorbing: bool,
    tau: float,
    least: float,
    number: int,
    label: _Array,
    mark: _Array,
    order: _Array,
) -> tuple[int, int, float, float]:
    """Dijkstra from both ends: (how it ended, states in the corridor or block not known, best path's cost, limit).

    Two balls grow, the one with fewer open states first, until their radii add up to the limit, best cost (or
    ``least``, where that is more) + tau: then every state of the corridor is settled in one of them. Each ball then
    goes on inside the other's settled states alone, which is exact: a cheapest path between an end and a corridor state
    runs through corridor states.

    The states of the corridor are left in ``order[1]``, by rising cost to the goals.
    """
    last, opened = goals[0] if is_absorbing else -1, 2 * number
    ahead, back, mark_ahead, mark_back = label[:, 0], label[:, 1], mark[:, 0], mark[:, 1]
    keys, items, size, count, radius = np.empty(512), np.empty(512, np.int32), 1, 0, 0.0
    keys_back, items_back = np.empty(512 + len(goals)), np.empty(512 + len(goals), np.int32)
    size_back, count_back, radius_back = 0, 0, 0.0
    keys[0], items[0], ahead[origin], mark_ahead[origin] = 0.0, origin, 0.0, opened
    for goal in goals:
        back[goal], mark_back[goal] = 0.0, opened
        size_back = push(keys_back, items_back, size_back, 0.0, goal)
    best = 0.0 if mark_back[origin] == opened else np.inf
    while size > 0 or size_back > 0:
        if best == np.inf and (size == 0 or size_back == 0):
            break
        if size > 0 and (size_back == 0 or size <= size_back):
            size, count, radius, best, said = _advance(
                False, first_out, to_edge, in_turn, turn_cost, is_known, last, opened, opened, least, tau, size_back,
                radius_back, ahead, back, mark_ahead, mark_back, keys, items, size, order[0], count, radius, best,
            )  # fmt: skip
            if said == _CROWDED:
                keys, items = _doubled(keys), _doubled(items)
        else:
            size_back, count_back, radius_back, best, said = _advance(
                True, first_in, in_edge, in_turn, turn_cost, is_known, last, opened, opened, least, tau, size, radius,
                back, ahead, mark_back, mark_ahead, keys_back, items_back, size_back, order[1], count_back,
                radius_back, best,
            )  # fmt: skip
            if said == _CROWDED:
                keys_back, items_back = _doubled(keys_back), _doubled(items_back)
        if said == _FULL:
            return TOO_LARGE, 0, best, np.inf
        if said >= 0:
            return UNKNOWN, said, best, np.inf
    if best == np.inf:
        return UNREACHABLE, 0, np.inf, np.inf
    limit, inside = (max(best, least) + tau) * (1.0 + SLACK), 0
    for k in range(count_back):
        state = order[1, k]
        if mark_ahead[state] == opened + 1 and ahead[state] + back[state] <= limit:
            order[1, inside] = state
            inside += 1
    return FOUND, inside, best, limit


@kernel
def grow_disk(
    first_in: _Array,
    in_edge: _Array,
    in_turn: _Array,
    turn_cost: _Array,
    is_known: _Array,
    origins: _Array,
    goals: _Array,
    is_absorbing: bool,
    tau: _Array,
    least: _Array,
    number: int,
    label: _Array,
    mark: _Array,
    most: int,
) -> tuple[int, int]:
    """Costs to the goals of every state that a corridor of one of the trips can hold: (how it ended, block not known).

    `TOO_LARGE` where that takes more than ``most`` states. Origins that are not settled then cannot reach the goals.
    """
    opened, capacity = 2 * number, 1024 + len(goals)
    keys, items, size, count, limit, missing = np.empty(capacity), np.empty(capacity, np.int32), 0, 0, np.inf, 0
    for goal in goals:
        label[goal, 1], mark[goal, 1] = 0.0, opened
        size = push(keys, items, size, 0.0, goal)
    for origin in origins:  # marked on the other side, which this search does not use
        missing += mark[origin, 0] != opened
        mark[origin, 0] = opened
    while size > 0:
        here, at = keys[0], items[0]
        size = pop(keys, items, size)
        if mark[at, 1] != opened or here > label[at, 1]:
            continue
        if here > limit:
            break
        if count >= most:
            return TOO_LARGE, 0
        mark[at, 1] = opened + 1
        count += 1
        if mark[at, 0] == opened:
            missing -= 1
            if missing == 0:
                limit = 0.0
                for n in range(len(origins)):
                    limit = max(limit, (max(label[origins[n], 1], least[n]) + tau[n]) * (1.0 + SLACK))
        begin, end = first_in[at], first_in[at + 1]
        while size + end - begin > len(keys):
            keys, items = _doubled(keys), _doubled(items)
        for place in range(begin, end):
            there, turn = in_edge[place], in_turn[place]
            if not is_known[turn >> TURN_BLOCK_BITS]:
                return UNKNOWN, turn >> TURN_BLOCK_BITS
            reach = here + turn_cost[turn]
            if reach > limit or (is_absorbing and there == goals[0]):
                continue
            if mark[there, 1] < opened or reach < label[there, 1]:
                mark[there, 1] = opened
                label[there, 1] = reach
                size = push(keys, items, size, reach, there)
    return FOUND, 0


@kernel
def grow_ahead(
    first_out: _Array,
    to_edge: _Array,
    in_turn: _Array,
    turn_cost: _Array,
    is_known: _Array,
    origin: int,
    goals: _Array,
    is_absorbing: bool,
    tau: float,
    least: float,
    number: int,
    number_of_disk: int,
    label: _Array,
    mark: _Array,
    order: _Array,
) -> tuple[int, int, float, float]:
    """Dijkstra from an origin inside the disk: as `grow_both`; ``number`` is above the disk's.

    Costs to the goals being known, nothing outside the corridor is ever open. Its states are left in ``order[1]``, by
    rising cost to the goals.
    """
    if mark[origin, 1] != 2 * number_of_disk + 1:
        return UNREACHABLE, 0, np.inf, np.inf
    best, last, opened = label[origin, 1], goals[0] if is_absorbing else -1, 2 * number
    keys, items, size, count, said = np.empty(512), np.empty(512, np.int32), 1, 0, _GO_ON
    keys[0], items[0], label[origin, 0], mark[origin, 0] = 0.0, origin, 0.0, opened
    while size > 0:
        size, count, _, _, said = _advance(
            False, first_out, to_edge, in_turn, turn_cost, is_known, last, opened, 2 * number_of_disk, max(least, best),
            tau, 0, np.inf, label[:, 0], label[:, 1], mark[:, 0], mark[:, 1], keys, items, size, order[0], count, 0.0,
            best,
        )  # fmt: skip
        if said == _CROWDED:
            keys, items = _doubled(keys), _doubled(items)
        if said == _FULL:
            return TOO_LARGE, 0, best, np.inf
        if said >= 0:
            return UNKNOWN, said, best, np.inf
    togo = np.empty(count)
    for k in range(count):
        togo[k] = label[order[0, k], 1]
    order[1, :count] = order[0, :count][np.argsort(togo)]
    return FOUND, count, best, (max(best, least) + tau) * (1.0 + SLACK)
