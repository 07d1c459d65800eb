"""The cheapest trip by way of several stops, all legs weighed together: `find_trip`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from ..graphs.hierarchy import StatePath
from .metrics import NamedCosts
from .part_way import WHOLE, Ends, Place
from .points import Terminal


class Leg(NamedTuple):
    """From one stop to the next."""

    path: StatePath
    """Without edges between two stops at the same junction."""
    ends: Ends


class _State(NamedTuple):
    """Where a trip may be at a stop, and the cheapest way there."""

    place: Place
    leg: Leg | None
    before: _State | None


class DeadEnd(NamedTuple):
    """A leg that there is no way for."""

    leg: int
    """From this stop to the next."""
    edges: tuple[int, ...]
    """Edge positions on which a trip can be at that stop."""


def find_trip(costs: NamedCosts, stops: Sequence[Terminal]) -> list[Leg] | DeadEnd:
    """The cheapest legs from each stop to the next, or the first leg that there is no way for.

    At a stop a trip goes on along the edge it came by, in the same direction: it turns round only where a turn is
    permitted, at the end of the edge. Of a road with two directions both are tried, so what is found is the cheapest
    trip over all its stops and not the cheapest legs one after the other.

    Parameters
    ----------
    stops
        Two or more; the first found as an origin, the others as destinations.

    Notes
    -----
    One query without stops on the way; each stop adds one for every edge that it lies on.
    """
    states = [_State(place, None, None) for place in costs.starts(stops[0])]
    if len(stops) == 2 and stops[0].node < 0:  # what most trips are, without what stops on the way cost
        only = _reach(costs, states, costs.ends(stops[1]), True)
        if only is not None and only.leg is not None:
            return [only.leg]
        return DeadEnd(0, stops[0].edges)
    for number, (here, there) in enumerate(pairwise(stops)):
        if here.node >= 0 and here.node == there.node:
            nowhere = Leg(StatePath(-1, -1, (), costs.network.turns), WHOLE)
            states = [_State(state.place, nowhere, state) for state in states] or [_State(_AT_NODE, nowhere, None)]
            continue
        on_edges = [state for state in states if state.place.edge >= 0]
        goals = costs.ends(there)
        # Only the last leg may leave the choice of its end to the query: from any other the trip goes on.
        is_last = number == len(stops) - 2
        groups = [goals] if is_last else [[goal] for goal in goals]
        reached = [state for group in groups if (state := _reach(costs, on_edges, group, is_last)) is not None]
        if not reached:
            return DeadEnd(number, tuple(state.place.edge for state in on_edges))
        states = reached
    return _legs(min(states, key=lambda state: state.place.initial))


_AT_NODE = Place(-1, 0.0, 0.0)
"""At a junction that nothing leaves, where a trip to that very junction is none the less possible."""


def _reach(costs: NamedCosts, states: Sequence[_State], goals: Sequence[Place], is_last: bool) -> _State | None:
    path = costs.cheapest([state.place for state in states], goals)
    if not path.is_reachable:
        return None
    state, goal = states[0], goals[0]
    if len(states) > 1:
        state = next(state for state in states if state.place.edge == path.first)
    if len(goals) > 1:
        last = int(costs.network.turns.to_edge[path.taken[-1]]) if len(path.taken) else path.first
        goal = next(goal for goal in goals if goal.edge == last)
    start = state.place
    leg = Leg(path, Ends(start.fraction, goal.fraction, start.share_cost, goal.share_cost))
    if is_last:  # nothing is compared any more: queries are fast enough for this sum to count
        return _State(goal, leg, state)
    # Going on from there pays for the rest of the edge, which was let off on arriving.
    total = max(start.initial + float(costs.turn_cost[path.turns].sum()), goal.share_cost)
    return _State(goal._replace(initial=total), leg, state)


def _legs(state: _State | None) -> list[Leg]:
    legs: list[Leg] = []
    while state is not None:
        if state.leg is not None:
            legs.append(state.leg)
        state = state.before
    return legs[::-1]
