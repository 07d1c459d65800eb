"""Loops over a column as it is stored, without a copy of it in numbers of eight bytes."""

from __future__ import annotations

from typing import Any

from ..core.compiled import kernel

_Array = Any
"""A numpy array inside a kernel; shapes stand in the docstrings."""


@kernel
def add_values(total: _Array, coefficient: float, factor: float, values: _Array) -> None:
    """Add ``coefficient * (factor * values)`` to ``total``, float64[n]."""
    for k in range(len(total)):
        total[k] += coefficient * (factor * values[k])


@kernel
def add_level(total: _Array, coefficient: float, level: int, codes: _Array) -> None:
    """Add ``coefficient`` to ``total``, float64[n], where the codes are that level."""
    for k in range(len(total)):
        total[k] += coefficient if codes[k] == level else 0.0


@kernel
def dot_values(weights: _Array, factor: float, values: _Array) -> float:
    """``weights @ (factor * values)``: always summed up in the same order."""
    one = two = three = four = 0.0  # each waits for its own last sum alone
    whole = len(weights) - len(weights) % 4
    for k in range(0, whole, 4):
        one += weights[k] * (factor * values[k])
        two += weights[k + 1] * (factor * values[k + 1])
        three += weights[k + 2] * (factor * values[k + 2])
        four += weights[k + 3] * (factor * values[k + 3])
    for k in range(whole, len(weights)):
        one += weights[k] * (factor * values[k])
    return (one + two) + (three + four)


@kernel
def dot_level(weights: _Array, level: int, codes: _Array) -> float:
    """The sum of ``weights`` where the codes are that level: always in the same order."""
    one = two = three = four = 0.0
    whole = len(weights) - len(weights) % 4
    for k in range(0, whole, 4):
        one += weights[k] if codes[k] == level else 0.0
        two += weights[k + 1] if codes[k + 1] == level else 0.0
        three += weights[k + 2] if codes[k + 2] == level else 0.0
        four += weights[k + 3] if codes[k + 3] == level else 0.0
    for k in range(whole, len(weights)):
        one += weights[k] if codes[k] == level else 0.0
    return (one + two) + (three + four)
