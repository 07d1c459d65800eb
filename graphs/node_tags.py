"""Tags of nodes on roads: signals, stop and give-way signs, crossings, traffic calming, level crossings, height.

A sign acts on both directions of a way, or on the one that ``direction``, ``traffic_signals:direction`` and the like
name (``forward`` is the order of the way's nodes).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..core.types import Codes, Floats32, Ids

KEYS = ("highway", "crossing", "traffic_calming", "railway", "ele")
"""A node without any of these keys says nothing here."""
SIGNS = ("signals", "stops", "give_ways", "crossings", "calmings", "level_crossings")
"""Bit b of a code stands for the b-th."""

_HIGHWAYS = {"traffic_signals": 0, "stop": 1, "give_way": 2, "crossing": 3}
_NO_CROSSING = frozenset({"no", "unmarked", "informal"})
_NUMBER = re.compile(r"^(-?\d+(?:[.,]\d+)?)\s*(m|ft)?$")
_M_PER_FT = 0.3048
_HIGHEST_M = 9000.0
"""Heights beyond this, or as far below the sea, are not believed."""


@dataclass(frozen=True, eq=False)
class NodeTags:
    """One row per node of `OsmRoads`."""

    along: Codes
    """uint8[K]: the `SIGNS` that act on who comes along the order of a way's nodes."""
    against: Codes
    """uint8[K]: those that act on who comes against it."""
    elevation_m: Floats32
    """float32[K], NaN where the file does not say."""


def signs(tags: Mapping[str, str]) -> tuple[int, int]:
    """The codes of a node's signs (along, against).

    >>> signs({"highway": "stop", "direction": "backward"})
    (0, 2)
    """
    kind, code = tags.get("highway", ""), 0
    is_crossing = kind == "crossing" or (kind == "traffic_signals" and "crossing" in tags)
    if kind in _HIGHWAYS and kind != "crossing":
        code |= 1 << _HIGHWAYS[kind]
    if is_crossing and tags.get("crossing") not in _NO_CROSSING:
        code |= 1 << 3
    if tags.get("traffic_calming", "no") != "no":
        code |= 1 << 4
    if tags.get("railway") in ("level_crossing", "tram_level_crossing"):
        code |= 1 << 5
    facing = tags.get(f"{kind}:direction", tags.get("direction", ""))
    return (code if facing != "backward" else 0), (code if facing != "forward" else 0)


def parse_elevation_m(text: str) -> float:
    """An ``ele`` value in metres, NaN where it says none.

    >>> parse_elevation_m("120.5"), round(parse_elevation_m("1000 ft"), 1)
    (120.5, 304.8)
    """
    match = _NUMBER.match(text.strip())
    if not match:
        return float("nan")
    metres = float(match[1].replace(",", ".")) * (_M_PER_FT if match[2] == "ft" else 1.0)
    return metres if abs(metres) <= _HIGHEST_M else float("nan")


@dataclass(eq=False)
class NodeTagCollector:
    """Gathers tagged nodes while the file streams by."""

    node_id: array[int] = field(default_factory=lambda: array("q"))
    along: array[int] = field(default_factory=lambda: array("B"))
    against: array[int] = field(default_factory=lambda: array("B"))
    elevation_m: array[float] = field(default_factory=lambda: array("f"))

    def add(self, node: int, tags: Mapping[str, str]) -> None:
        """Take in a node, if it says anything."""
        along, against = signs(tags)
        height = parse_elevation_m(tags["ele"]) if "ele" in tags else float("nan")
        if along or against or height == height:
            self.node_id.append(node)
            self.along.append(along)
            self.against.append(against)
            self.elevation_m.append(height)

    def table(self, node_id: Ids) -> NodeTags:
        """One row for each of some nodes, ascending; of a node given twice the first counts."""
        along, against = np.zeros(len(node_id), np.uint8), np.zeros(len(node_id), np.uint8)
        height = np.full(len(node_id), np.nan, np.float32)
        known, first = np.unique(np.array(self.node_id, np.int64), return_index=True)
        place = np.searchsorted(node_id, known)
        is_here = place < len(node_id)
        is_here[is_here] = node_id[place[is_here]] == known[is_here]
        rows, place = first[is_here], place[is_here]
        along[place] = np.array(self.along, np.uint8)[rows]
        against[place] = np.array(self.against, np.uint8)[rows]
        height[place] = np.array(self.elevation_m, np.float32)[rows]
        return NodeTags(along, against, height)
