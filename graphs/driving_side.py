"""On which side of the road one drives: as tagged, else as the roundabouts of the map turn, else on the right."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from ..core.errors import ConfigurationError
from ..core.types import Bools
from .ways import OsmRoads

DriveOn = Literal["auto", "left", "right"]
"""``auto``: ``driving_side`` tags of ways, then the sense of the roundabouts, then the right."""


def check_drive_on(value: str) -> None:
    """`ConfigurationError` where ``value`` is not a side."""
    if value not in get_args(DriveOn):
        raise ConfigurationError(where="drive_on", problem=f"{value!r} is none of {', '.join(get_args(DriveOn))}")


def drives_left(roads: OsmRoads, drive_on: DriveOn = "auto") -> tuple[Bools, dict[str, Any]]:
    """bool[W], per way whether the left side is driven on, and for the report ``side`` and ``by`` what. O(W)."""
    check_drive_on(drive_on)
    count = len(roads.ways.way_id)
    if drive_on != "auto" or roads.ways.tags is None:
        side = "left" if drive_on == "left" else "right"
        return np.full(count, side == "left"), {"side": side, "by": "assumed" if drive_on == "auto" else "as asked"}
    clockwise, counter = _roundabouts(roads)
    is_left = clockwise > counter
    tagged = roads.ways.tags.driving_side
    by = "roundabouts" if clockwise + counter else "assumed"
    report = {"side": "left" if is_left else "right", "by": by, "clockwise": clockwise, "counterclockwise": counter}
    if tagged.any():
        report["tagged_ways"] = int((tagged > 0).sum())
    return np.where(tagged > 0, tagged == 2, is_left), report


def _roundabouts(roads: OsmRoads) -> tuple[int, int]:
    """How many roundabouts turn clockwise and counterclockwise, by the signed area under their nodes."""
    ways, turned = roads.ways, [0, 0]
    assert ways.tags is not None  # asked for by the caller
    is_one_way = ways.is_forward != ways.is_backward
    for row in np.flatnonzero(ways.tags.is_roundabout & is_one_way).tolist():
        refs = ways.ref[ways.first_ref[row] : ways.first_ref[row + 1]]
        place = np.searchsorted(roads.node_id, refs)
        place = place[place < len(roads.node_id)]
        place = place[np.isin(roads.node_id[place], refs)]
        if len(place) < 3:
            continue
        north = roads.latitude_e7[place].astype(np.float64)
        east = roads.longitude_e7[place] * np.cos(np.radians(north.mean() * 1e-7))
        north, east = north - north.mean(), east - east.mean()
        area = float(east @ np.roll(north, -1) - north @ np.roll(east, -1))
        if not ways.is_forward[row]:
            area = -area
        if area:
            turned[int(area > 0)] += 1
    return turned[0], turned[1]
