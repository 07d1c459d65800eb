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
    """Every permitted move (edge, next edge), grouped by its first edge. Each pair stands at most once."""

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

    @cached_property
    def _keys(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return self.from_edge.astype(np.int64) * self.num_edges + self.to_edge

    def find(self, from_edge: Ints, to_edge: Ints) -> Ints:
        """int32 positions of the turns (from_edge[i], to_edge[i]), -1 where that move is not permitted. O(n log T)."""
        if self.num_turns == 0:
            return np.full(len(from_edge), -1, np.int32)
        wanted = np.asarray(from_edge, np.int64) * self.num_edges + to_edge
        slots = np.minimum(np.searchsorted(self._keys, wanted), self.num_turns - 1)
        return np.where(self._keys[slots] == wanted, slots, -1).astype(np.int32)

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
