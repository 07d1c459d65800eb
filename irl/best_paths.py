"""The best path as a value: what every finite horizon ends in, and how rewards along it are differentiated."""

from __future__ import annotations

import numpy as np

from ..core.types import Floats, Ids
from ..graphs.shortest_paths import check_costs, costs_to, costs_to_any
from ..graphs.turns import TurnGraph
from .destinations import Destinations

_TIE = 1e-12
"""Relative difference of cost within which two paths count as equally good."""


def best_path_values(turns: TurnGraph, reward: Floats, destinations: Destinations) -> Floats:
    """Reward of the best path from every edge to each destination: ``V0`` of Barnes et al. (2024), section 4.

    Under *stop*, stopping on a goal edge is worth 0, which no way on beats: costs are positive.

    Parameters
    ----------
    reward
        float64[T], < 0.

    Returns
    -------
    Floats
        float64[E, D], 0 on goal edges, ``-inf`` where the destination cannot be reached. Column-contiguous.

    Raises
    ------
    NonPositiveCostError
        A turn costs nothing or less.

    Notes
    -----
    One backward Dijkstra per destination.
    """
    if destinations.ending == "arrival":
        return -costs_to(turns, -reward, destinations.key)
    return -costs_to_any(turns, -reward, [destinations.goals(i) for i in range(len(destinations))])


def best_turns(turns: TurnGraph, reward: Floats, value: Floats) -> Ids:
    """The first turn of the best path from every edge to each destination: a tree per destination.

    Of turns that are equally good (within 1e-12 relative) the one that stands first in the turn graph is taken, so
    that ties do not depend on rounding or on the order of a search.

    Parameters
    ----------
    value
        float64[D, E], `best_path_values` transposed.

    Returns
    -------
    Ids
        int64[D, E], -1 on goal edges and where the destination cannot be reached.

    Raises
    ------
    NonPositiveCostError
        A cost is so small that it vanishes beside that of its path: 1e-16 of it.

    Notes
    -----
    O(D T).
    """
    size, from_edge, to_edge = value.shape[1], turns.from_edge, turns.to_edge
    here, there = value[:, from_edge], value[:, to_edge]
    # Strictly nearer, so that no rounding can close the tree to a cycle.
    with np.errstate(invalid="ignore"):
        is_tight = (there > here) & (here - (reward + there) <= _TIE * np.abs(here))
    column, turn = np.nonzero(is_tight)
    state = column * size + from_edge[turn]
    is_first = np.ones(len(state), bool)
    is_first[1:] = state[1:] != state[:-1]
    result = np.full(value.size, -1, np.int64)
    result[state[is_first]] = turn[is_first]
    is_lost = np.isfinite(value).reshape(-1) & (value.reshape(-1) < 0) & (result < 0)
    if is_lost.any():
        edge = int(np.flatnonzero(is_lost)[0] % size)
        is_out = from_edge == edge
        check_costs(turns, np.where(is_out, 0.0, -reward))
    return result.reshape(value.shape)


def flow_down(turns: TurnGraph, best_turn: Ids, start: Floats) -> Floats:
    """How often each turn is taken when ``start[d, e]`` travellers leave edge e on the best path to destination d.

    Parameters
    ----------
    best_turn
        int64[D, E], see `best_turns`.
    start
        float64[D, E], of either sign.

    Returns
    -------
    Floats
        float64[T], summed over destinations: the gradient of ``sum(start * value)`` in the reward.

    Notes
    -----
    Sums along the trees by doubling the steps taken at once: O(D E log(longest path)).
    """
    count, size = start.shape
    has_next = (best_turn >= 0).reshape(-1)
    ahead = np.full(count * size + 1, count * size)
    offset = np.repeat(np.arange(count) * size, size)[has_next]
    ahead[:-1][has_next] = offset + turns.to_edge[best_turn.reshape(-1)[has_next]]
    total = np.append(start.reshape(-1), 0.0)
    # total = (I + P')(I + P'^2)(I + P'^4)... start, P the step along the tree.
    at = np.flatnonzero(total)
    while len(at):
        total += np.bincount(ahead[at], total[at], minlength=len(total))
        total[-1] = 0.0
        ahead = ahead[ahead]
        at = np.flatnonzero((total != 0) & (ahead < count * size))
    flow: Floats = np.bincount(best_turn.reshape(-1)[has_next], total[:-1][has_next], minlength=turns.num_turns).astype(
        np.float64
    )
    return flow
