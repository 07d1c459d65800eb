"""Rewards that are linear in their coefficients, as solvers and costs know them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np

from ..core.blocks import blocks_of
from ..core.scratch import Empty
from ..core.types import Floats, Ids, Ints

Rows = slice | Ints | Ids
"""Which turns or edges: a slice with both ends, or their numbers."""


class LinearReward(Protocol):
    """A reward that is linear in its coefficients: what solvers need to know of one."""

    def __len__(self) -> int:
        """Number of coefficients C."""

    def reward(self, coefficients: Floats) -> Floats:
        """float64[T]."""

    def project(self, weights: Floats) -> Floats:
        """The gradient of ``weights @ reward``, float64[C]."""

    def reward_at(self, turns: Rows, coefficients: Floats) -> Floats:
        """float64[n]: `reward` at some turns."""

    def project_at(self, turns: Rows, weights: Floats) -> Floats:
        """float64[C]: `project` of weights float64[n] at some turns."""


class SplitReward(ABC):
    """A linear reward in two parts: one of the edge entered alone, and one of the turn.

    Two to three turns enter an edge, and edges stand in a row where the edges that turns enter do not: what depends on
    the edge alone is worked out once per edge. Sums run over blocks in their order: the same on every call.
    """

    to_edge: Ints
    """int32[T], the edge that each turn enters."""
    num_edges: int

    @abstractmethod
    def __len__(self) -> int:
        """Number of coefficients C."""

    @abstractmethod
    def add_edge_part(self, edges: Rows, coefficients: Floats, total: Floats) -> None:
        """Add to ``total``, float64[n], what some edges add to the reward of every turn onto them."""

    @abstractmethod
    def add_turn_part(self, turns: Rows, coefficients: Floats, total: Floats) -> None:
        """Add to ``total``, float64[n], what some turns have beside that."""

    @abstractmethod
    def edge_slopes(self, edges: Rows, weights: Floats) -> Floats:
        """float64[C]: the gradient of ``weights @ (what the edges add)``."""

    @abstractmethod
    def turn_slopes(self, turns: Rows, weights: Floats) -> Floats:
        """float64[C]: the gradient of ``weights @ (what the turns add)``."""

    @property
    def num_turns(self) -> int:
        """T."""
        return len(self.to_edge)

    def reward(self, coefficients: Floats, empty: Empty = np.empty) -> Floats:
        """float64[T], where ``empty`` makes it. O((T + E) F), with 8 bytes per edge of scratch."""
        of_edge, total = self.edge_reward(coefficients), empty(self.num_turns)
        for at in blocks_of(self.num_turns):
            total[at] = of_edge[self.to_edge[at]]
            self.add_turn_part(at, coefficients, total[at])
        return total

    def edge_reward(self, coefficients: Floats) -> Floats:
        """float64[E]: the part of `reward` that depends on the edge entered alone. O(E F)."""
        total = np.zeros(self.num_edges)
        for at in blocks_of(self.num_edges):
            self.add_edge_part(at, coefficients, total[at])
        return total

    def project(self, weights: Floats) -> Floats:
        """The gradient of ``weights @ reward``, float64[C], for a weight per turn. O((T + E) F)."""
        onto = np.asarray(np.bincount(self.to_edge, weights, minlength=self.num_edges), np.float64)
        total = np.zeros(len(self))
        for at in blocks_of(self.num_edges):
            total += self.edge_slopes(at, onto[at])
        for at in blocks_of(self.num_turns):
            total += self.turn_slopes(at, weights[at])
        return total

    def reward_at(self, turns: Rows, coefficients: Floats) -> Floats:
        """float64[n]: `reward` at some turns."""
        entered = self.to_edge[turns]
        total = np.zeros(len(entered))
        self.add_edge_part(entered, coefficients, total)
        self.add_turn_part(turns, coefficients, total)
        return total

    def project_at(self, turns: Rows, weights: Floats) -> Floats:
        """float64[C]: `project` of weights float64[n] at some turns."""
        return self.edge_slopes(self.to_edge[turns], weights) + self.turn_slopes(turns, weights)
