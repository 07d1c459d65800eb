"""Values that JSON can hold and give back as they were."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain_only(data: Mapping[Any, Any], left_out: Counter[str]) -> dict[str, Any]:
    """The attributes that JSON can hold and give back as they were; the others are counted by name."""
    found = {}
    for name, value in data.items():
        kept = plain(value)
        if not isinstance(name, str) or (kept is None and value is not None):
            left_out[str(name)] += 1
        else:
            found[name] = kept
    return found


def plain(value: Any) -> Any:
    """A value as JSON has it, NumPy's scalars as Python's; None where JSON cannot hold it (and for None itself)."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        items = [plain(item) for item in value]
        return None if any(one is None and item is not None for one, item in zip(items, value, strict=True)) else items
    return None
