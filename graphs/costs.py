"""Plain costs per turn: the fastest and the shortest way, to serve or to draw beside what was learned."""

from __future__ import annotations

import numpy as np

from ..core.types import Floats
from .road_graph import RoadNetwork


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
