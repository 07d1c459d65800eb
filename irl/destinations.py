"""Where routes end: the goal edges of each destination, under either ending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.types import Ids, Ints
from ..graphs.road_graph import RoadGraph

Ending = Literal["arrival", "stop"]
"""``arrival``: the destination edge absorbs at its first visit. ``stop``: on every edge into the destination node,
stopping with reward 0 competes with driving on (recursive logit)."""


@dataclass(frozen=True, eq=False)
class Destinations:
    """D destinations, each a set of goal edges."""

    ending: Ending
    key: Ints
    """int32[D]: an edge position under *arrival*, a node position under *stop*."""
    first: Ids
    """int64[D+1]: the goal edges of destination d are ``edge[first[d] : first[d+1]]``."""
    edge: Ints
    """int32[G], edge positions."""

    def __len__(self) -> int:
        return len(self.key)

    def goals(self, index: int) -> Ints:
        """The goal edges of one destination."""
        return self.edge[self.first[index] : self.first[index + 1]]

    def block(self, begin: int, end: int) -> Destinations:
        """Destinations ``begin .. end`` as a record of their own."""
        low, high = self.first[begin], self.first[end]
        return Destinations(self.ending, self.key[begin:end], self.first[begin : end + 1] - low, self.edge[low:high])


def make_destinations(graph: RoadGraph, keys: Ints, ending: Ending) -> Destinations:
    """Destinations from edge positions (*arrival*) or node positions (*stop*). O(E log E) under *stop*."""
    keys = np.asarray(keys, np.int32)
    if ending == "arrival":
        return Destinations(ending, keys, np.arange(len(keys) + 1, dtype=np.int64), keys)
    by_head = np.argsort(graph.head, kind="stable").astype(np.int32)
    sorted_head = graph.head[by_head]
    low, high = np.searchsorted(sorted_head, keys), np.searchsorted(sorted_head, keys, side="right")
    first = np.concatenate([[0], np.cumsum(high - low)]).astype(np.int64)
    edges = [by_head[a:b] for a, b in zip(low, high, strict=True)]
    return Destinations(ending, keys, first, np.concatenate(edges) if edges else np.zeros(0, np.int32))


def destination_key(graph: RoadGraph, last_edge: Ints, ending: Ending) -> Ints:
    """The destination that routes with these last edges go to: the edge itself, or its head node under *stop*."""
    return np.asarray(last_edge if ending == "arrival" else graph.head[last_edge], np.int32)
