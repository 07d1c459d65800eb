"""Moves from edge to edge: `TurnGraph`, turn angles, U-turns. Restriction relations: `trodden.graphs.restrictions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from ..core.types import Bools, Floats, Floats32, Ints


@dataclass(frozen=True, eq=False)
class TurnGraph:
    """Every permitted move (edge, next edge), grouped by its first edge.

    Each pair stands at most once, but in the compressed graphs of `trodden.graphs.compression`, whose turns between two
    states may be several. Solvers add their exponentials and searches take the cheapest; `find` is not for those.
    """

    first_out: Ints
    """int32[E+1]: the turns out of edge e are ``first_out[e] .. first_out[e+1]``."""
    to_edge: Ints
    """int32[T], the edge entered; ascending within each group."""
    angle_deg: Floats32 | None
    """float32[T] in (-180, 180], negative = left, NaN = not known; None without coordinates or angles."""
    is_left: Bools
    is_right: Bools
    is_uturn: Bools
    """bool[T]: onto the opposite direction of the same road."""
    extra: Mapping[str, Floats] = field(default_factory=dict)
    """Further numeric columns of the source by name, float64[T]."""

    @property
    def num_edges(self) -> int:
        """Number of states E."""
        return len(self.first_out) - 1

    @property
    def num_turns(self) -> int:
        """Number of turns T."""
        return len(self.to_edge)

    @cached_property
    def from_edge(self) -> Ints:
        """int32[T], the edge left."""
        return np.repeat(np.arange(self.num_edges, dtype=np.int32), np.diff(self.first_out))

    def find(self, from_edge: Ints, to_edge: Ints) -> Ints:
        """int32 positions of the turns (from_edge[i], to_edge[i]), -1 where that move is not permitted.

        O(n log D) for at most D turns out of an edge, by bisection: no sorted key of every turn is kept.
        """
        if self.num_turns == 0:
            return np.full(len(from_edge), -1, np.int32)
        low, end = self.first_out[from_edge], self.first_out[np.add(from_edge, 1)]
        high = end
        while (is_open := low < high).any():
            middle = low + (high - low) // 2
            is_before = is_open & (self.to_edge[np.minimum(middle, self.num_turns - 1)] < to_edge)
            low = np.where(is_before, middle + 1, low)
            high = np.where(is_open & ~is_before, middle, high)
        is_found = (low < end) & (self.to_edge[np.minimum(low, self.num_turns - 1)] == to_edge)
        return np.where(is_found, low, -1).astype(np.int32)

    @cached_property
    def strong_component(self) -> Ints:
        """int32[E], label of each edge's strongly connected component; 0 is the largest."""
        ones = np.ones(self.num_turns, np.int8)
        matrix = sparse.csr_matrix((ones, self.to_edge, self.first_out), shape=(self.num_edges,) * 2)
        count, labels = sparse.csgraph.connected_components(matrix, directed=True, connection="strong")
        by_size = np.argsort(-np.bincount(labels, minlength=count), kind="stable")
        rank = np.empty(count, np.int32)
        rank[by_size] = np.arange(count, dtype=np.int32)
        return np.asarray(rank[labels], np.int32)

    @property
    def is_main(self) -> Bools:
        """bool[E]: the edge lies in the largest strongly connected component of the edge graph."""
        return np.asarray(self.strong_component == 0)
