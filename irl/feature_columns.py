"""`Features`: the columns of a linear reward in the types that the network stores them in, never one dense matrix.

A feature of a turn is a product of columns of the edge entered and of columns of the turn itself. Both stay views of
the network's arrays, so that 16 features take next to no memory; numbers are made for a block of turns at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.blocks import blocks_of
from ..core.types import Floats, Ints
from .linear_rewards import Rows, SplitReward

_WORTH_COMPILING = 1 << 14
"""Rows from which on a compiled loop adds up a column: only large maps have so many, and numba takes half a second."""


@dataclass(frozen=True, eq=False)
class Column:
    """``factor * values``, or, with a ``level``, 1 where the codes ``values`` are that level and 0 elsewhere."""

    values: NDArray[Any]
    """[E] or [T], of any number type."""
    factor: float = 1.0
    level: int | None = None

    def at(self, rows: Rows) -> Column:
        """The column at some rows."""
        return Column(np.asarray(self.values[rows]), self.factor, self.level)

    def numbers(self) -> Floats:
        """float64[n]."""
        own = self.values if self.level is None else self.values == self.level
        # The product must not depend on the type that the column is stored in.
        return own.astype(np.float64) if self.factor == 1.0 else np.multiply(own, self.factor, dtype=np.float64)

    def add_to(self, total: Floats, coefficient: float) -> None:
        """Add ``coefficient`` times the column to ``total``, float64[n]."""
        if len(total) < _WORTH_COMPILING:
            total += coefficient * self.numbers()
            return
        from .column_kernels import add_level, add_values

        if self.level is None:
            add_values(total, coefficient, self.factor, self.values)
        else:
            add_level(total, coefficient * self.factor, self.level, self.values)

    def dot(self, weights: Floats) -> float:
        """``weights @ column``, without BLAS: its sums may depend on threads."""
        if len(weights) < _WORTH_COMPILING:
            return float((weights * self.numbers()).sum())
        from .column_kernels import dot_level, dot_values

        if self.level is None:
            return dot_values(weights, self.factor, self.values)
        return self.factor * dot_level(weights, self.level, self.values)


@dataclass(frozen=True, eq=False)
class Feature:
    """A product of columns of the edge entered and columns of the turn; without any it is 1."""

    name: str
    of_edge: tuple[Column, ...] = ()
    of_turn: tuple[Column, ...] = ()

    def on_edges(self, edges: Rows) -> Column:
        """The edges' part at some edges; ones where there is none."""
        return _product([column.at(edges) for column in self.of_edge], _count(edges))

    def on_turns(self, turns: Rows, entered: Rows) -> Column:
        """The whole feature at some turns onto the edges ``entered``."""
        own = [column.at(turns) for column in self.of_turn]
        return _product(own + [column.at(entered) for column in self.of_edge], _count(turns))


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
class Features(SplitReward):
    """The feature columns of a network: X, float64[T, F], by its products alone."""

    columns: tuple[Feature, ...]
    to_edge: Ints
    """int32[T], the edge that each turn enters."""
    num_edges: int

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """One per column."""
        return tuple(column.name for column in self.columns)

    def add_edge_part(self, edges: Rows, coefficients: Floats, total: Floats) -> None:
        """See `SplitReward`."""
        for number, column in self.edge_columns(edges):
            column.add_to(total, float(coefficients[number]))

    def add_turn_part(self, turns: Rows, coefficients: Floats, total: Floats) -> None:
        """See `SplitReward`."""
        for number, column in self.turn_columns(turns):
            column.add_to(total, float(coefficients[number]))

    def edge_slopes(self, edges: Rows, weights: Floats) -> Floats:
        """See `SplitReward`."""
        return self._slopes(self.edge_columns(edges), weights)

    def turn_slopes(self, turns: Rows, weights: Floats) -> Floats:
        """See `SplitReward`."""
        return self._slopes(self.turn_columns(turns), weights)

    def edge_columns(self, edges: Rows) -> Iterator[tuple[int, Column]]:
        """The number of each column that depends on the edge entered alone, and the column at some edges."""
        for number, feature in enumerate(self.columns):
            if not feature.of_turn:
                yield number, feature.on_edges(edges)

    def turn_columns(self, turns: Rows) -> Iterator[tuple[int, Column]]:
        """The number of each other column, and the column at some turns."""
        for number, feature in enumerate(self.columns):
            if feature.of_turn:
                yield number, feature.on_turns(turns, self.to_edge[turns])

    def rows(self, turns: Rows) -> Floats:
        """float64[n, F]: X at some turns."""
        result = np.empty((_count(turns), len(self)))
        for number, column in (*self.edge_columns(self.to_edge[turns]), *self.turn_columns(turns)):
            result[:, number] = column.numbers()
        return result

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

    def _slopes(self, columns: Iterator[tuple[int, Column]], weights: Floats) -> Floats:
        total = np.zeros(len(self))
        for number, column in columns:
            total[number] = column.dot(weights)
        return total


def _count(rows: Rows) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def _product(columns: list[Column], count: int) -> Column:
    if not columns:
        return Column(np.broadcast_to(1.0, count))
    if len(columns) == 1:
        return columns[0]
    result = columns[0].numbers()
    for column in columns[1:]:
        with np.errstate(invalid="ignore", over="ignore"):  # `make_features` names what is not finite
            result = result * column.numbers()
    return Column(result)
