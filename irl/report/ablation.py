"""Rewards and horizons beside each other: the rows that ``benchmarks/ablation.py`` prints, read and checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import ConfigurationError, InputFileError


@dataclass(frozen=True)
class AblationRow:
    """One reward at one horizon on one set of held-out routes."""

    data: str
    """Name of the data set."""
    reward: str
    """``linear``, ``sparse edge``, ``sparse turn``, ``MLP``, ``MLP + sparse``, ``ensemble``."""
    horizon: str
    """A number of turns, or ``infinity``."""
    exact: float
    exact_interval: tuple[float, float] | None
    iou: float | None
    nll: float | None
    """Per route, in nats; None where there is no likelihood."""
    seconds: float | None
    gap: float | None
    """Exact match minus that of the linear reward at horizon infinity, on the same routes."""
    gap_interval: tuple[float, float] | None

    @property
    def label(self) -> str:
        """Reward and horizon."""
        return f"{self.reward}, H = {'∞' if self.horizon == 'infinity' else self.horizon}"


def parse_ablation(document: Any, *, where: str) -> tuple[AblationRow, ...]:
    """The rows of a parsed JSON document, in their order; `ConfigurationError` names the row and what is wrong."""
    rows = document.get("rows") if isinstance(document, Mapping) else document
    if not isinstance(rows, list) or not rows:
        raise ConfigurationError(
            where=where, problem='an ablation is a JSON object with a list "rows" that is not empty'
        )
    return tuple(_row(row, f"{where}, row {number}") for number, row in enumerate(rows, start=1))


def read_json(path: str | Path, what: str) -> Any:
    """A JSON file; one that holds further lines above (a benchmark's table) counts by its last line.

    Raises
    ------
    InputFileError
        The file cannot be read, or is no JSON.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(
            path=path, problem=f"cannot be read ({error})", remedy=f"Name the file of {what}"
        ) from error
    lines = text.strip().splitlines() or [""]
    for candidate in (text, lines[-1]):
        try:
            return json.loads(candidate)
        except json.JSONDecodeError as error:
            fault = error
    raise InputFileError(path=path, problem=f"is no JSON ({fault})", remedy=f"Give {what} as JSON")


def _row(row: Any, where: str) -> AblationRow:
    if not isinstance(row, Mapping):
        raise ConfigurationError(where=where, problem="is no JSON object")
    missing = [name for name in ("data", "reward", "horizon", "exact") if row.get(name) is None]
    if missing:
        raise ConfigurationError(where=where, problem=f"lacks {', '.join(missing)}")
    exact = _number(row, "exact", where)
    assert exact is not None  # not missing
    return AblationRow(
        str(row["data"]),
        str(row["reward"]),
        str(row["horizon"]),
        exact,
        _pair(row, "exact_interval", where),
        _number(row, "iou", where),
        _number(row, "nll", where),
        _number(row, "seconds", where),
        _number(row, "gap", where),
        _pair(row, "gap_interval", where),
    )


def _number(row: Mapping[str, Any], name: str, where: str) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigurationError(where=where, problem=f"{name} is {value!r}, not a number")
    return float(value)


def _pair(row: Mapping[str, Any], name: str, where: str) -> tuple[float, float] | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise ConfigurationError(where=where, problem=f"{name} is {value!r}, not a pair of numbers")
    low, high = (_number({name: one}, name, where) for one in value)
    return None if low is None or high is None else (low, high)
