"""Trips that start or end part-way along an edge: what the travelled share costs, and how an edge's line is cut.

A turn's cost c(e, f) holds the turn itself and travelling f, and does not say how much is which. The *along* cost of an
edge stands for the travelling: its entry cost, or the cheapest turn onto it where that is less. A trip that starts at
the fraction a of e pays (1 - a) along(e) before its first turn; one that ends at b of f is let off (1 - b) along(f) of
its last turn. So a turn is always paid in full, what is let off is never more than what was paid, no trip costs less
than nothing, and the costs of two trips that meet on an edge add up to that of the whole trip, wherever they meet.
Under plain times and lengths along(e) is the time or the length of e (`trodden.graphs.costs.along_costs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..core.types import Floats
from .line_kernels import between


class Place(NamedTuple):
    """Where on an edge a trip may start or end."""

    edge: int
    """Edge position."""
    fraction: float
    """0 at the edge's start, 1 at its end."""
    share_cost: float
    """What the part of the edge ahead of the place costs: counted at a start, let off at an end. 0 for trips by id."""
    initial: float = 0.0
    """What a start is compared by before the first turn: a node's entry costs, the costs of legs before it."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Which share of its first and last edge a route travels, and what that does to its cost."""

    start_fraction: float = 0.0
    end_fraction: float = 1.0
    paid: float = 0.0
    """For the travelled share of the first edge; 0 for trips by id, whose first edge costs nothing."""
    let_off: float = 0.0
    """Of the last turn, for the share of the last edge that is not travelled."""


WHOLE = Ends()


def cut_line(line: Floats, start_fraction: float, end_fraction: float) -> Floats:
    """The part of a polyline between two fractions of its length, float64[P, 2] of (latitude, longitude), P >= 1.

    >>> cut_line(np.array([[0.0, 0.0], [0.0, 1.0]]), 0.25, 1.0).round(9).tolist()
    [[0.0, 0.25], [0.0, 1.0]]
    """
    if start_fraction <= 0.0 and end_fraction >= 1.0:
        return line
    cut: Floats = between(line, start_fraction, end_fraction)
    return cut
