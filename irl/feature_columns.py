"""`Features`: the columns of a linear reward in the types that the network stores them in, never one dense matrix.

A feature of a turn is a product of columns of the edge entered and of columns of the turn itself. Both stay views of
the network's arrays, so that 16 features take next to no memory; numbers are made for a block of turns at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.types import Floats, Ids, Ints

_BLOCK = 1 << 16
"""Turns (or edges) at a time: a few arrays of half a megabyte, and sums that depend on nothing else."""

Rows = slice | Ints | Ids
"""Which rows of a column."""


class LinearReward(Protocol):
    """A reward that is linear in its coefficients: what solvers need to know of one."""

    @property
    def is_wide(self) -> bool:
        """Whether there are many coefficients, of which a turn depends on few."""

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


@dataclass(frozen=True, eq=False)
class Column:
    """``factor * values``, or, with a ``level``, 1 where the codes ``values`` are that level and 0 elsewhere."""

    values: NDArray[Any]
    """[E] or [T], of any number type."""
    factor: float = 1.0
    level: int | None = None

    def take(self, rows: Rows) -> Floats:
        """float64 at some rows."""
        # Converted first: the product must not depend on the type that the column is stored in.
        own: Floats = (self.values[rows] if self.level is None else self.values[rows] == self.level).astype(np.float64)
        return own if self.factor == 1.0 else own * self.factor


@dataclass(frozen=True, eq=False)
class Feature:
    """A product of columns of the edge entered and columns of the turn; without any it is 1."""

    name: str
    of_edge: tuple[Column, ...] = ()
    of_turn: tuple[Column, ...] = ()

    def on_edges(self, edges: Rows, count: int) -> Floats:
        """float64[count], the edges' part at so many edges."""
        return _product(self.of_edge, edges, count)

    def on_turns(self, turns: Rows, count: int) -> Floats:
        """float64[count], the turns' part at so many turns."""
        return _product(self.of_turn, turns, count)


@dataclass(frozen=True, eq=False)
class FeatureRange:
    """Of each feature over all turns."""

    minimum: Floats
    """float64[F]."""
    maximum: Floats
    """float64[F]."""
    mean: Floats
    """float64[F]."""
    mean_square: Floats
    """float64[F]."""


@dataclass(frozen=True, eq=False)
class Features:
    """The feature columns of a network: X, float64[T, F], by its products alone.

    Sums run over blocks of turns in their order: the same on every call.
    """

    columns: tuple[Feature, ...]
    to_edge: Ints
    """int32[T], the edge that each turn enters."""
    num_edges: int

    is_wide = False

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """One per column."""
        return tuple(column.name for column in self.columns)

    @property
    def num_turns(self) -> int:
        """T."""
        return len(self.to_edge)

    def reward(self, coefficients: Floats) -> Floats:
        """``X @ coefficients``, float64[T]. O((T + E) F), with 8 bytes per edge of scratch."""
        of_edge = self.edge_reward(coefficients)
        turn_columns = self._turn_columns
        total = of_edge[self.to_edge]
        for at in blocks_of(self.num_turns):
            for number, column in turn_columns:
                total[at] += coefficients[number] * self._on_turns(column, at)
        return total

    def edge_reward(self, coefficients: Floats) -> Floats:
        """float64[E]: the part of `reward` that depends on the edge entered alone. O(E F)."""
        total = np.zeros(self.num_edges)
        for at in blocks_of(self.num_edges):
            for number, column in enumerate(self.columns):
                if not column.of_turn:
                    total[at] += coefficients[number] * column.on_edges(at, at.stop - at.start)
        return total

    def project(self, weights: Floats) -> Floats:
        """``X.T @ weights``, float64[F], for a weight per turn. O((T + E) F)."""
        onto = np.bincount(self.to_edge, weights, minlength=self.num_edges)
        total = np.zeros(len(self))
        for at in blocks_of(self.num_edges):
            for number, column in enumerate(self.columns):
                if not column.of_turn:
                    total[number] += (onto[at] * column.on_edges(at, at.stop - at.start)).sum()
        for at in blocks_of(self.num_turns):
            for number, column in self._turn_columns:
                total[number] += (
                    weights[at] * self._on_turns(column, at)
                ).sum()  # no BLAS: its sums may depend on threads
        return total

    def rows(self, turns: Rows) -> Floats:
        """float64[n, F]: X at some turns."""
        result = np.empty((len(self.to_edge[turns]), len(self)))
        for number, column in enumerate(self.columns_at(turns)):
            result[:, number] = column
        return result

    def reward_at(self, turns: Rows, coefficients: Floats) -> Floats:
        """float64[n]: `reward` at some turns."""
        total = np.zeros(len(self.to_edge[turns]))
        for coefficient, column in zip(coefficients, self.columns_at(turns), strict=True):
            total += coefficient * column
        return total

    def project_at(self, turns: Rows, weights: Floats) -> Floats:
        """float64[F]: `project` of weights float64[n] at some turns."""
        return np.array([(weights * column).sum() for column in self.columns_at(turns)])  # no BLAS, as in `project`

    def columns_at(self, turns: Rows) -> Iterator[Floats]:
        """Each column at some turns, float64[n], one after the other."""
        entered = self.to_edge[turns]
        for column in self.columns:
            own = column.on_edges(entered, len(entered))
            yield own * column.on_turns(turns, len(entered)) if column.of_turn else own

    @cached_property
    def value(self) -> Floats:
        """X itself, float64[T, F], made when it is first asked for and kept: for second derivatives."""
        result = np.empty((self.num_turns, len(self)))
        for at in blocks_of(self.num_turns):
            result[at] = self.rows(at)
        return result

    @cached_property
    def range(self) -> FeatureRange:
        """Smallest and largest value, mean and mean square of every feature. O(T F), once."""
        low, high = np.full(len(self), np.inf), np.full(len(self), -np.inf)
        sums, squares = np.zeros(len(self)), np.zeros(len(self))
        for at in blocks_of(self.num_turns):
            rows = self.rows(at)
            low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
            sums += rows.sum(axis=0)
            squares += (rows**2).sum(axis=0)
        count = max(self.num_turns, 1)
        return FeatureRange(low, high, sums / count, squares / count)

    @property
    def _turn_columns(self) -> list[tuple[int, Feature]]:
        return [(number, column) for number, column in enumerate(self.columns) if column.of_turn]

    def _on_turns(self, column: Feature, at: slice) -> Floats:
        count = at.stop - at.start
        return column.on_turns(at, count) * column.on_edges(self.to_edge[at], count)


def blocks_of(count: int) -> Iterator[slice]:
    """So many turns (or edges), a block at a time."""
    return (slice(begin, min(begin + _BLOCK, count)) for begin in range(0, count, _BLOCK))


def _product(columns: tuple[Column, ...], rows: Rows, count: int) -> Floats:
    if not columns:
        return np.ones(count)
    result = columns[0].take(rows)
    for column in columns[1:]:
        with np.errstate(invalid="ignore", over="ignore"):  # `make_features` names what is not finite
            result = result * column.take(rows)
    return result
