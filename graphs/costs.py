"""Plain costs per turn: the fastest and the shortest way, to serve or to draw beside what was learned; edges' costs."""

from __future__ import annotations

import numpy as np

from ..core.types import Floats
from .road_graph import RoadNetwork
from .turns import TurnGraph


def along_costs(turns: TurnGraph, turn_cost: Floats, entry_cost: Floats) -> Floats:
    """What travelling each edge costs without the turn onto it: its entry cost, or the cheapest turn onto it. O(T).

    Parameters
    ----------
    turn_cost
        float64[T].
    entry_cost
        float64[E].

    Returns
    -------
    Floats
        float64[E] >= 0.

    Examples
    --------
    >>> no = np.zeros(1, bool)
    >>> turns = TurnGraph(np.array([0, 1, 1], np.int32), np.array([1], np.int32), None, no, no, no)
    >>> along_costs(turns, np.array([3.0]), np.array([5.0, 5.0])).tolist()
    [5.0, 3.0]
    """
    along = np.array(entry_cost, np.float64)
    np.minimum.at(along, turns.to_edge, turn_cost)
    return np.maximum(along, 0.0)


def fastest_costs(network: RoadNetwork) -> tuple[Floats, Floats]:
    """Free-flow travel time in seconds of the edge each turn enters.

    Returns
    -------
    tuple
        ``turn_cost`` float64[T] and ``entry_cost`` float64[E], seconds, > 0.

    Raises
    ------
    MissingDataError
        The network has no travel times.
    """
    seconds = network.attributes.require("travel_time_s", "the fastest route").astype(np.float64)
    return seconds[network.turns.to_edge], seconds


def shortest_costs(network: RoadNetwork) -> tuple[Floats, Floats]:
    """Length in metres of the edge each turn enters (seconds, where travel time stands in for length).

    Returns
    -------
    tuple
        ``turn_cost`` float64[T] and ``entry_cost`` float64[E], > 0.

    Raises
    ------
    MissingDataError
        The network has neither lengths nor travel times.
    """
    length = network.edge_length_m()
    return length[network.turns.to_edge], length
