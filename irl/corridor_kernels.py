"""Values and expected visits inside corridors, on reduced costs, by Gauss-Seidel in the order of the search.

With a potential p near the cost to go, ``z(s) = exp(V(s) + p(s))`` solves ``z = 1[goal] exp(p) + W z`` with weights
``W[s, s'] = exp(-(c + p(s') - p(s)))`` of about 1 at most, so that nothing underflows. States stand by rising p: a
sweep in that order follows the routes from their end, and needs few repetitions, however long the routes are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.compiled import kernel

_Array = Any
"""A numpy array inside a kernel; shapes stand in the docstrings."""


_CALM = 1e-3
_ONE = np.uint64(1)
"""Positions are unsigned in what follows, ``first`` uint64 and ``head`` uint32: whether one with a sign counts from the
end is asked at every read."""


@kernel
def weigh(cost: _Array, potential: _Array, first: _Array, head: _Array, out: _Array) -> None:
    """Reduced weights of one trip's turns, float64[K]; ``first`` uint64[S+1] counts from the trip's first turn."""
    for s in range(np.uint64(len(potential))):
        for k in range(first[s], first[s + _ONE]):
            out[k] = np.exp(-(cost[k] + potential[head[k]] - potential[s]))


@kernel
def solve_values(
    weight: _Array,
    first: _Array,
    head: _Array,
    ends: _Array,
    is_fixed: bool,
    matters: _Array,
    z: _Array,
    tolerance: float,
    max_sweeps: int,
) -> tuple[float, int]:
    """Gauss-Seidel pull until the estimated error is within the tolerance: (that estimate, sweeps).

    ``ends`` float64[G], the reward of ending on each goal, the first states; ``is_fixed`` holds them there. ``z``
    float64[S] is where to start, and the answer. Errors are relative and count by ``matters`` float64[S], but that no
    state may change by more than a thousandth: where values diverge far out, they grow for ever. What is still to go is
    estimated from the last change and its rate; infinite where the change does not shrink.
    """
    before, error = np.inf, np.inf
    num_goals: Any = np.uint64(len(ends))
    for sweep in range(max_sweeps):
        change, is_calm = 0.0, True
        for s in range(np.uint64(len(z))):
            total = ends[s] if s < num_goals else 0.0
            if not (is_fixed and s < num_goals):
                for k in range(first[s], first[s + _ONE]):
                    total += weight[k] * z[head[k]]
            if not 0.0 < total < np.inf:
                return np.inf, sweep + 1
            moved = abs(total - z[s])
            is_calm = is_calm and moved <= _CALM * total
            moved *= matters[s]
            if moved > change * total:  # divided only where it is the largest yet
                change = moved / total
            z[s] = total
        if change == 0.0:
            return 0.0, sweep + 1
        rate = change / before if before < np.inf else 1.0
        error = change * max(rate / (1.0 - rate), 1.0) if rate < 1.0 else np.inf
        # Below rounding the change no longer shrinks.
        if is_calm and (error <= tolerance or (sweep > 2 and change < 1e-15)):
            return max(error, 0.0) if error <= tolerance else change, sweep + 1
        before = change
    return error, max_sweeps


@kernel
def solve_counts(
    weight: _Array,
    first: _Array,
    head: _Array,
    num_fixed: int,
    z: _Array,
    origin: int,
    count: _Array,
    tolerance: float,
    max_sweeps: int,
) -> tuple[float, int]:
    """Expected count of every turn, float64[K], of one route from ``origin``: (mass still under way, sweeps).

    Residual push under the policy ``W z' / z``, from the far end of the order to the goals, the reverse of the values'.
    """
    residual, visits = np.zeros(len(z)), np.zeros(len(z))
    low: Any = np.uint64(num_fixed)
    high: Any = np.uint64(len(z))
    for s in range(low, high):  # the policy, for now
        share = 1.0 / z[s] if z[s] > 0.0 else 0.0
        for k in range(first[s], first[s + _ONE]):
            count[k] = share * weight[k] * z[head[k]]
    residual[origin] = 1.0
    before, error, sweeps = np.inf, np.inf, 0
    while sweeps < max_sweeps:
        sweeps += 1
        for back in range(_ONE, high - low + _ONE):
            s = high - back
            mass = residual[s]
            if mass == 0.0:
                continue
            residual[s] = 0.0
            visits[s] += mass
            for k in range(first[s], first[s + _ONE]):
                residual[head[k]] += mass * count[k]
        left = residual[num_fixed:].sum()
        rate = left / before if before < np.inf else 1.0
        error = 0.0 if left == 0.0 else (left * max(rate / (1.0 - rate), 1.0) if rate < 1.0 else np.inf)
        if error <= tolerance:
            break
        before = left
    for s in range(low, high):
        for k in range(first[s], first[s + _ONE]):
            count[k] *= visits[s]
    return error, sweeps


@kernel
def crossings_of_block(
    first_state: _Array, detour: _Array, first_turn: _Array, head: _Array, count: _Array, level: _Array
) -> _Array:
    """Expected turns of each trip's route from a detour of at most its ``level`` to a larger one, float64[N]."""
    result = np.zeros(len(level))
    for n in range(len(level)):
        low = first_state[n]
        for s in range(low, first_state[n + 1]):
            if detour[s] <= level[n]:
                for k in range(first_turn[s], first_turn[s + 1]):
                    if detour[low + head[k]] > level[n]:
                        result[n] += count[k]
    return result


@kernel
def least_margin(
    turn_cost: _Array,
    ratio: float,
    limit: _Array,
    first_state: _Array,
    first_turn: _Array,
    turn: _Array,
    head: _Array,
    origin: _Array,
    num_goals: _Array,
    enough: float,
) -> float:
    """Least ``ratio * limit - D_new`` over the trips of a block, or of those up to the first below ``enough``.

    D_new, the best path inside under the new costs, by min-plus sweeps in the order of the states.
    """
    least = np.inf
    for n in range(len(limit)):
        low, high = first_state[n], first_state[n + 1]
        begin, end = first_turn[low], first_turn[high]
        first = (first_turn[low : high + 1] - begin).view(np.uint64)
        heads, turns = head[begin:end].view(np.uint32), turn[begin:end].view(np.uint32)
        distance = np.full(high - low, np.inf)
        distance[: num_goals[n]] = 0.0
        moved = True
        while moved:
            moved = False
            for s in range(np.uint64(num_goals[n]), np.uint64(high - low)):
                found = distance[s]
                for k in range(first[s], first[s + _ONE]):
                    found = min(found, turn_cost[turns[k]] + distance[heads[k]])
                if found < distance[s]:
                    distance[s] = found
                    moved = True
        least = min(least, ratio * limit[n] - distance[origin[n]])
        if least < enough:
            break
    return float(least)


@kernel
def solve_block(
    turn_cost: _Array,
    ended: _Array,
    first_state: _Array,
    potential: _Array,
    detour: _Array,
    first_turn: _Array,
    turn: _Array,
    head: _Array,
    origin: _Array,
    num_goals: _Array,
    is_absorbing: bool,
    tolerance: float,
    max_sweeps: int,
    with_counts: bool,
) -> tuple[_Array, ...]:
    """Solve every trip of a block of corridors.

    Returns
    -------
    (value float64[N] at the origins, all_values float64[S], counts float64[K], error float64[N], sweeps int32[N, 2])
        ``error`` estimates the distance of value and counts to the fixed point. A state's error counts at the origin by
        how often a route comes by, ``exp(-detour)`` about.
    """
    trips = len(ended)
    value, error = np.full(trips, -np.inf), np.zeros(trips)
    values, counts = np.empty(len(potential)), np.zeros(len(turn))
    sweeps = np.zeros((trips, 2), np.int32)
    for n in range(trips):
        low, high = first_state[n], first_state[n + 1]
        if high == low:
            continue
        begin, end = first_turn[low], first_turn[high]
        first = (first_turn[low : high + 1] - begin).view(np.uint64)
        cost = turn_cost[turn[begin:end]]
        own, heads, weight = potential[low:high], head[begin:end].view(np.uint32), np.empty(end - begin)
        weigh(cost, own, first, heads, weight)
        ends, z, matters = np.exp(own[: num_goals[n]]), np.ones(high - low), np.exp(-detour[low:high])
        error[n], sweeps[n, 0] = solve_values(
            weight, first, heads, ends, is_absorbing, matters, z, tolerance, max_sweeps
        )
        at = origin[n]
        value[n] = np.log(z[at]) - own[at]
        for s in range(high - low):
            values[low + s] = np.log(z[s]) - own[s] if z[s] > 0.0 else -np.inf
        if with_counts and error[n] < np.inf:
            fixed = num_goals[n] if is_absorbing else 0
            gap, sweeps[n, 1] = solve_counts(
                weight, first, heads, fixed, z, at, counts[begin:end], tolerance, max_sweeps
            )
            error[n] = max(error[n], gap)
    return value, values, counts, error, sweeps


@kernel
def add_counts(total: _Array, turn: _Array, count: _Array) -> None:
    """Add ``count`` to ``total`` at the turns: as `numpy.add.at`, without holding up the other threads."""
    for k in range(len(turn)):
        total[np.uint32(turn[k])] += count[k]


@kernel
def uniform(state: _Array) -> float:
    """The next number in [0, 1) of a stream, splitmix64 (Steele, Lea & Flood 2014); ``state`` uint64[1] moves on."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    mixed = state[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return float((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@kernel
def draw_block(
    turn_cost: _Array,
    first_state: _Array,
    state: _Array,
    value: _Array,
    first_turn: _Array,
    turn: _Array,
    head: _Array,
    origin: _Array,
    num_goals: _Array,
    is_absorbing: bool,
    seed: _Array,
    most_turns: int,
) -> tuple[_Array, _Array]:
    """One route of every trip of a block by its policy: (edges int32[M], first int64[N+1]).

    ``value`` float64[S] are those of `solve_block`, ``seed`` uint64[N] start each route's own stream of numbers. A
    route longer than ``most_turns`` is left empty.
    """
    edges, first, size = np.empty(4096, np.int32), np.zeros(len(origin) + 1, np.int64), 0
    stream = np.empty(1, np.uint64)
    for n in range(len(origin)):
        low, at, begin = first_state[n], origin[n], size
        stream[0] = seed[n]
        while size - begin <= most_turns:
            if size == len(edges):
                edges = np.append(edges, np.empty(len(edges), np.int32))
            edges[size] = state[low + at]
            size += 1
            left = uniform(stream)
            if at < num_goals[n]:
                left -= 1.0 if is_absorbing else np.exp(-value[low + at])
                if left < 0.0:
                    break
            following = at
            for k in range(first_turn[low + at], first_turn[low + at + 1]):
                following = head[k]
                left -= np.exp(value[low + following] - turn_cost[turn[k]] - value[low + at])
                if left < 0.0:
                    break
            at = following  # the last one where rounding leaves a rest
        if size - begin > most_turns:
            size = begin
        first[n + 1] = size
    return edges[:size].copy(), first
