"""Array aliases: one name per element type, used in every signature. Shapes stand in docstrings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
"""A mask; its name starts with ``is_``."""

Ints = NDArray[np.int32]
"""Positions: of nodes, edges, turns."""

Codes = NDArray[np.integer[Any]]
"""Small numbers (of a level, of lanes) in the narrowest type that holds them."""

Ids = NDArray[np.int64]
"""Source ids (OSM ids, link ids) and offsets into long arrays."""

Floats = NDArray[np.float64]
"""Rewards, values, costs, coordinates."""

Floats32 = NDArray[np.float32]
"""Stored attributes."""
