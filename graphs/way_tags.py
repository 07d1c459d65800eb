"""Tags of ways that change no edge: lighting, smoothness, roundabouts, cycle infrastructure, the side driven on.

What they say of a chain of several ways: see `trodden.graphs.further_columns`. docs/features.md has the table.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..core.types import Bools, Codes
from .attributes import direction

LIT_LEVELS = ("", "no", "yes")
SMOOTHNESS_LEVELS = (
    *("", "impassable", "very_horrible", "horrible", "very_bad", "bad", "intermediate", "good", "excellent"),
)
CYCLEWAY_LEVELS = ("", "none", "separate", "shared", "lane", "street", "track")
"""In ascending order of what is there for cyclists: ``separate`` is mapped as a way of its own, ``street`` a road that
is theirs (``bicycle_road``, ``cyclestreet``)."""

_LIT = {
    **dict.fromkeys(("yes", "24/7", "automatic", "limited", "interval", "sunset-sunrise", "dusk-dawn"), "yes"),
    **dict.fromkeys(("no", "disused"), "no"),
}
_SMOOTHNESS = {level: level for level in SMOOTHNESS_LEVELS[1:]}
_CYCLEWAY = {
    **dict.fromkeys(("no", "none"), "none"),
    **dict.fromkeys(("separate", "sidepath"), "separate"),
    **dict.fromkeys(("shared_lane", "share_busway", "shared", "shoulder", "share_sidewalk"), "shared"),
    **dict.fromkeys(("lane", "yes"), "lane"),
    "track": "track",
}
_RANK = {level: rank for rank, level in enumerate(CYCLEWAY_LEVELS)}
_OPPOSITE = {"opposite": "none", "opposite_lane": "lane", "opposite_track": "track", "opposite_share_busway": "shared"}
_ROUNDABOUTS = ("roundabout", "circular")


@dataclass(frozen=True, eq=False)
class WayTags:
    """One row per way of a `WayTable`."""

    lit: Codes
    """int8[W], of `LIT_LEVELS`."""
    smoothness: Codes
    """int8[W], of `SMOOTHNESS_LEVELS`."""
    cycleway: Codes
    """int8[W, 2, 2], of `CYCLEWAY_LEVELS`: where the right (0) or left (1) side is driven on, to who goes along (0) or
    against (1) the order of nodes."""
    is_roundabout: Bools
    """bool[W]."""
    driving_side: Codes
    """int8[W]: 0 not said, 1 right, 2 left."""


@dataclass(eq=False)
class WayTagCollector:
    """Gathers the tags of ways one by one; values that say nothing are counted by key."""

    unreadable: Counter[str]
    lit: array[int] = field(default_factory=lambda: array("b"))
    smoothness: array[int] = field(default_factory=lambda: array("b"))
    cycleway: array[int] = field(default_factory=lambda: array("b"))
    is_roundabout: array[int] = field(default_factory=lambda: array("b"))
    driving_side: array[int] = field(default_factory=lambda: array("b"))

    def add(self, tags: Mapping[str, str]) -> None:
        """Take in the tags of the next way."""
        self.lit.append(LIT_LEVELS.index(self._value("lit", tags, _LIT)))
        self.smoothness.append(SMOOTHNESS_LEVELS.index(self._value("smoothness", tags, _SMOOTHNESS)))
        self.cycleway.extend(_cycleway_codes(tags))
        self.is_roundabout.append(tags.get("junction") in _ROUNDABOUTS)
        self.driving_side.append({"right": 1, "left": 2}.get(tags.get("driving_side", ""), 0))

    def _value(self, key: str, tags: Mapping[str, str], meaning: Mapping[str, str]) -> str:
        if key not in tags:
            return ""
        level = meaning.get(tags[key], "")
        if not level:
            self.unreadable[key] += 1
        return level

    def table(self) -> WayTags:
        """What was gathered, as arrays."""
        return WayTags(
            lit=np.array(self.lit, np.int8),
            smoothness=np.array(self.smoothness, np.int8),
            cycleway=np.array(self.cycleway, np.int8).reshape(-1, 2, 2),
            is_roundabout=np.array(self.is_roundabout, bool),
            driving_side=np.array(self.driving_side, np.int8),
        )


def _cycleway_codes(tags: Mapping[str, str]) -> list[int]:
    """A row of `WayTags.cycleway`, flat."""
    right = cycleways(tags)
    if right == ("", ""):  # nothing on either side
        return [0, 0, 0, 0]
    return [_RANK[level] for level in (*right, *cycleways(tags, drives_left=True))]


def cycleways(tags: Mapping[str, str], *, drives_left: bool = False) -> tuple[str, str]:
    """What cyclists find who go (along, against) the order of a way's nodes, of `CYCLEWAY_LEVELS`.

    On a two-way road that of their own side; on a one-way road the better side in its direction, and the contraflow
    lane or track (``opposite_*``) against it.

    >>> cycleways({"highway": "primary", "cycleway:right": "lane"})
    ('lane', '')
    >>> cycleways({"highway": "primary", "oneway": "yes", "cycleway": "opposite_lane"})
    ('none', 'lane')
    """
    if tags.get("highway") == "cycleway" or _is_path_for_bicycles(tags):
        return "track", "track"
    street = "street" if "yes" in (tags.get("bicycle_road"), tags.get("cyclestreet")) else ""
    if not street and not any(key.startswith("cycleway") for key in tags):
        return "", ""
    both = tags.get("cycleway:both", tags.get("cycleway", ""))
    left, right = tags.get("cycleway:left", both), tags.get("cycleway:right", both)
    own = [_best(street, _CYCLEWAY.get(value, "")) for value in (left, right)]
    runs = direction(tags)[0]
    if runs == "both":
        own = [_best(one, _OPPOSITE.get(value, "")) for one, value in zip(own, (left, right), strict=True)]
        return (own[0], own[1]) if drives_left else (own[1], own[0])
    with_flow, contraflow = _best(*own), _best(*(_OPPOSITE.get(value, "") for value in (left, right)))
    if contraflow and not with_flow:
        with_flow = "none"
    pair = with_flow, contraflow or ("none" if with_flow else "")
    return pair if runs == "forward" else pair[::-1]


def _best(*levels: str) -> str:
    return max(levels, key=_RANK.__getitem__)


def _is_path_for_bicycles(tags: Mapping[str, str]) -> bool:
    return tags.get("highway") in ("path", "footway", "pedestrian") and tags.get("bicycle") == "designated"
