"""Routes that may be shown beside the cheapest one: the cheapest in turn, those by way of plateaus, and drawn ones."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np

from ..core.compiled import kernel
from ..core.types import Floats, Ints
from ..graphs.bounded_trees import TurnTree
from .trip_policy import Trip, TripPolicy

_Array = Any
"""A numpy array inside a kernel; shapes stand in the comments and docstrings."""
FoundBy = Literal["cheapest", "enumerated", "via", "drawn"]
_ROUNDING = 1e-9
"""Relative: costs come from two trees and from sums, and a limit must not cut between them."""


@dataclass(frozen=True)
class Candidate:
    """A route before it is one."""

    first: int
    """Its first edge."""
    turns: tuple[int, ...]
    """All its turns."""
    cost: float
    """Turn costs, and what starting on the first edge costs above the cheapest of the first edges."""
    found_by: FoundBy


def cheapest_routes(trip: Trip, back: TurnTree, *, limit: float) -> Iterator[Candidate]:
    """Every route that costs no more than ``limit``, by rising cost: under MaxEnt, by falling probability.

    A search over beginnings of routes in the order of their cost plus the exact cost to go, so that each of the first
    k routes takes about as many steps as it has turns, times the turns at a junction. Routes may pass an edge twice.
    """
    turns, cost = trip.turns, trip.turn_cost
    goals, passes_goals = set(trip.goals.tolist()), trip.ending == "stop"
    parents: list[tuple[int, int]] = []  # (beginning before, turn)
    queue: list[tuple[float, int, int, float, int, int]] = []  # (total, tie, state or -1 at an end, cost, ...)
    number = 0
    for place, (state, initial, _) in enumerate(trip.starts):
        if np.isfinite(back.cost[state]):
            queue.append((initial + float(back.cost[state]), number, state, initial, -1, place))
            number += 1
    heapq.heapify(queue)
    while queue:
        total, _, state, so_far, parent, place = heapq.heappop(queue)
        if total > limit * (1.0 + _ROUNDING):
            return
        if state < 0:
            yield _unwound(trip, parents, parent, place, so_far, "enumerated")
            continue
        if state in goals:
            heapq.heappush(queue, (so_far, number, -1, so_far, parent, place))
            number += 1
            if not passes_goals:
                continue
        for turn in range(int(turns.first_out[state]), int(turns.first_out[state + 1])):
            there = int(turns.to_edge[turn])
            reach = so_far + float(cost[turn])
            whole = reach + float(back.cost[there])
            if whole <= limit * (1.0 + _ROUNDING):
                parents.append((parent, turn))
                heapq.heappush(queue, (whole, number, there, reach, len(parents) - 1, place))
                number += 1


def _unwound(
    trip: Trip, parents: list[tuple[int, int]], parent: int, place: int, cost: float, found_by: FoundBy
) -> Candidate:
    taken: list[int] = []
    while parent >= 0:
        parent, turn = parents[parent]
        taken.append(turn)
    return _whole(trip, place, taken[::-1], cost, found_by)


def _whole(trip: Trip, place: int, taken: Iterable[int], cost: float, found_by: FoundBy) -> Candidate:
    """With the turn onto the start, where it has one."""
    edge, _, before = trip.starts[place]
    if before < 0:
        return Candidate(edge, tuple(taken), cost, found_by)
    return Candidate(int(trip.turns.from_edge[before]), (before, *taken), cost, found_by)


def via_routes(trip: Trip, ahead: TurnTree, back: TurnTree, *, limit: float, most: int) -> list[Candidate]:
    """The routes by way of the best plateaus, at most so many, none dearer than ``limit``.

    A plateau is a run of edges along which the cheapest paths from the start and to the goal agree; the route over it
    is the cheapest through each of its edges, and has no detour shorter than the plateau. The order is by cost minus
    the plateau's own (Jones & Bell's choice routing; Abraham, Delling, Goldberg & Werneck 2010). O(states).
    """
    root, last = _plateaus(ahead.order, ahead.cost, ahead.turn, back.turn, trip.turns.from_edge, trip.turns.to_edge)
    heads = ahead.order[root[ahead.order] == ahead.order]
    through = ahead.cost[heads] + back.cost[heads]
    is_in = through <= limit * (1.0 + _ROUNDING)
    heads, through = heads[is_in], through[is_in]
    score = through - (last[heads] - ahead.cost[heads])
    best = np.argsort(score, kind="stable")[:most]
    start_of = _cheapest_start(trip)
    routes = []
    for head, total in zip(heads[best].tolist(), through[best].tolist(), strict=True):
        before = list(_turns_back(ahead.turn, trip.turns.from_edge, head))[::-1]
        first = int(trip.turns.from_edge[before[0]]) if before else head
        onward = list(_turns_on(back.turn, trip.turns.to_edge, head))
        routes.append(_whole(trip, start_of[first], before + onward, total, "via"))
    return routes


def _cheapest_start(trip: Trip) -> dict[int, int]:
    """Of each edge that routes start on, the cheapest way to do so."""
    places: dict[int, int] = {}
    for place, (edge, initial, _) in enumerate(trip.starts):
        if edge not in places or initial < trip.starts[places[edge]][1]:
            places[edge] = place
    return places


def _turns_back(turn_of: Ints, from_edge: Ints, state: int) -> Iterator[int]:
    while (turn := int(turn_of[state])) >= 0:
        yield turn
        state = int(from_edge[turn])


def _turns_on(turn_of: Ints, to_edge: Ints, state: int) -> Iterator[int]:
    while (turn := int(turn_of[state])) >= 0:
        yield turn
        state = int(to_edge[turn])


@kernel
def _plateaus(
    order: _Array, cost: _Array, ahead: _Array, back: _Array, from_edge: _Array, to_edge: _Array
) -> tuple[_Array, _Array]:
    """(first edge of the plateau of each edge int32[E], cost at its last edge float64[E], by first edge)."""
    root, last = np.full(len(ahead), -1, np.int32), np.zeros(len(ahead))
    for at in order:  # by rising cost: the edge before comes before
        turn = ahead[at]
        root[at] = root[from_edge[turn]] if turn >= 0 and back[from_edge[turn]] == turn else at
        last[root[at]] = cost[at]
    return root, last


@dataclass(frozen=True, eq=False)
class Drawn:
    """Routes drawn from the policy; equal ones once."""

    routes: tuple[Candidate, ...]
    """By rising cost."""
    count: Ints
    """int32[R], how often each was drawn."""


def drawn_routes(policy: TripPolicy, count: int, seed: int) -> Drawn:
    """So many routes drawn; the same seed gives the same ones."""
    trip = policy.trip
    start, taken, first = policy.draw(count, seed)
    found: dict[tuple[int, tuple[int, ...]], int] = {}
    flat = taken.tolist()
    for place, begin, end in zip(start.tolist(), first[:-1].tolist(), first[1:].tolist(), strict=True):
        key = place, tuple(flat[begin:end])
        found[key] = found.get(key, 0) + 1
    whole = [(_drawn(trip, place, turns), number) for (place, turns), number in found.items()]
    whole.sort(key=lambda one: (one[0].cost, one[0].turns))
    return Drawn(tuple(one for one, _ in whole), np.array([number for _, number in whole], np.int32))


def _drawn(trip: Trip, place: int, turns: tuple[int, ...]) -> Candidate:
    cost = trip.starts[place][1] + float(trip.turn_cost[list(turns)].sum())
    return _whole(trip, place, turns, cost, "drawn")


def edges_of(trip: Trip, route: Candidate) -> Ints:
    """int32[P], the edges of a candidate in order of travel."""
    onward = trip.turns.to_edge[np.array(route.turns, np.int64)]
    return np.concatenate([[route.first], onward]).astype(np.int32)


def take(routes: Iterator[Candidate], count: int) -> list[Candidate]:
    """The first so many."""
    return list(islice(routes, count))


def lengths_once(lengths: Floats, edges: Ints) -> tuple[Ints, float]:
    """(the distinct edges, their length): a route that passes an edge twice shares it once."""
    distinct = np.unique(edges)
    return distinct, float(lengths[distinct].sum())
