"""Numbers and names as a report writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
SPACE = "\N{NO-BREAK SPACE}"
"""Stands where there is no number."""

MODEL_LABELS = {
    "learned": "learned",
    "shortest": "shortest",
    "fastest": "fastest",
    "fastest_penalised": "fastest + penalties",
}


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage.

    >>> percent(0.4853) == f"48.5{SPACE}%"
    True
    """
    return f"{_number(100 * share, digits)}{SPACE}%"


def percent_interval(interval: Sequence[float]) -> str:
    """An interval of shares, in per cent.

    >>> percent_interval((0.41, 0.5))
    '[41.0, 50.0]'
    """
    return f"[{_number(100 * interval[0], 1)}, {_number(100 * interval[1], 1)}]"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return _signed(100 * difference, 1)


def points_interval(interval: Sequence[float]) -> str:
    """An interval of differences, in percentage points."""
    return f"[{_signed(100 * interval[0], 1)}, {_signed(100 * interval[1], 1)}]"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals, in powers of ten where it is huge; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return _number(value, digits) if abs(value) < 1e5 else f"{value:.1e}".replace("-", MINUS)


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign."""
    return _signed(value, digits)


def interval(bounds: Sequence[float] | None, digits: int = 3) -> str:
    """An interval; a dash where there is none."""
    return NOTHING if bounds is None else f"[{number(bounds[0], digits)}, {number(bounds[1], digits)}]"


def p_value(value: float | None) -> str:
    """A p-value, never 0.

    >>> p_value(3e-9)
    '< 0.0001'
    """
    if value is None:
        return NOTHING
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}" if value < 0.01 else f"{value:.2f}"


def skipped(counts: Mapping[str, int]) -> str:
    """Routes that were left out, by reason; the empty string where none was."""
    if not counts:
        return ""
    reasons = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in counts.items())
    return f"{sum(counts.values()):,} left out: {reasons}"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(125).replace(SPACE, " ")
    '2 min 5 s'
    """
    if seconds < 60:
        return f"{seconds:.1f}{SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest}{SPACE}s"
    return f"{minutes // 60}{SPACE}h {minutes % 60}{SPACE}min"


def label_of(model: str) -> str:
    """What a model of an evaluation is called."""
    return MODEL_LABELS.get(model, model)


def _number(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    # Rounded to nothing, a number has no sign.
    return text.lstrip("-") if not text.strip("-0.,") else text.replace("-", MINUS)


def _signed(value: float, digits: int) -> str:
    text = _number(value, digits)
    return text if text.startswith(MINUS) or not text.strip("0.,") else f"+{text}"
