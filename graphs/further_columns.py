"""Columns of joined edges that change no edge: what the signs of nodes, further tags of ways and tables of users say.

- signs: how many stand along the edge, its end included and its beginning not, so that along any route each counts
  once, however the edges are joined; whether one that stops who arrives stands at its end or up to `END_M` before it;
- lighting, smoothness, cycle infrastructure: the value that covers most of the length;
- roundabouts, roads driven on the left: whether any part is one;
- climb and descent: the sums over neighbouring nodes of which both heights are known;
- columns of a table: see `trodden.graphs.user_columns`.

A column of which no edge says anything is left out. None of them stops a chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.types import Bools, Codes, Floats, Floats32
from .attributes import compact
from .driving_side import DriveOn, drives_left
from .elevation import heights
from .geometry import degrees
from .joined_attributes import covering_most
from .joining import Chains
from .node_tags import SIGNS
from .road_graph import Categories
from .segments import Segments
from .user_columns import WAY, UserTable, columns_of_ways, refuse_double
from .way_tags import CYCLEWAY_LEVELS, LIT_LEVELS, SMOOTHNESS_LEVELS, WayTags
from .ways import OsmRoads, WayTable

END_M = 30.0
"""A stop line is often mapped ahead of its junction, by as much."""
_AT_END = {"signals": "ends_at_signals", "stops": "ends_at_stop", "give_ways": "ends_at_give_way"}

Columns = tuple[dict[str, NDArray[Any]], dict[str, Categories]]
"""(numbers by name, names by name), as `EdgeAttributes` has them."""


@dataclass(frozen=True)
class Further:
    """What further columns are made from, beside tags."""

    drive_on: DriveOn = "auto"
    elevation: Path | None = None
    """Heights from these tiles (`trodden.graphs.elevation`), not from ``ele`` tags."""
    table: UserTable | None = None
    """Columns by OSM way id; one by edge id is joined to the finished network."""


def further_columns(
    roads: OsmRoads, segments: Segments, chains: Chains, speed_kmh: Floats32, further: Further
) -> tuple[Columns, dict[str, Any]]:
    """The columns of this module per chain, and what the report says of them. O(S).

    Raises
    ------
    InputFileError
        A raster or table that cannot be used.
    """
    is_left, side = drives_left(roads, further.drive_on)
    numbers: dict[str, NDArray[Any]] = {}
    kinds: dict[str, Categories] = {}
    report: dict[str, Any] = {"driving_side": side}
    if roads.node_tags is not None:
        tags = roads.node_tags
        codes = np.where(segments.is_along, tags.along[segments.head], tags.against[segments.head])
        numbers |= _of_signs(codes[chains.segment], segments.length_m[chains.segment], chains)
    numbers |= _of_flags(roads.ways, is_left, segments, chains)
    if roads.ways.tags is not None:
        kinds |= _of_kinds(roads.ways.tags, is_left, segments, chains)
    height = _heights(roads, further)
    if height is not None:
        numbers |= _of_heights(height, segments, chains)
    if further.table is not None and further.table.key == WAY:
        own, names, report["columns"] = columns_of_ways(further.table, roads.ways, segments, chains, speed_kmh)
        refuse_double(further.table, {**numbers, **kinds}, [*own, *names])
        numbers, kinds = {**numbers, **own}, {**kinds, **names}
    return (numbers, kinds), report


def _heights(roads: OsmRoads, further: Further) -> Floats | None:
    if further.elevation is not None:
        return heights(further.elevation, degrees(roads.latitude_e7), degrees(roads.longitude_e7))
    return None if roads.node_tags is None else roads.node_tags.elevation_m.astype(np.float64)


def _of_signs(codes: Codes, length: Floats, chains: Chains) -> dict[str, NDArray[Any]]:
    begins, columns = chains.first[:-1], {}
    travelled = np.cumsum(length)
    to_end = travelled[chains.first[1:] - 1][chains.chain_of] - travelled
    for bit, name in enumerate(SIGNS):
        is_here = (codes >> bit) & 1
        if not is_here.any():
            continue
        counts = np.add.reduceat(is_here.astype(np.int64), begins)
        columns[f"num_{name}"] = np.minimum(counts, 255).astype(np.uint8)
        if name in _AT_END:
            near = (is_here > 0) & (to_end <= END_M)
            if near.any():
                columns[_AT_END[name]] = np.asarray(np.logical_or.reduceat(near, begins))
    return columns


def _of_flags(ways: WayTable, is_left: Bools, segments: Segments, chains: Chains) -> dict[str, NDArray[Any]]:
    way, begins = segments.way[chains.segment], chains.first[:-1]
    masks = {"is_left_driven": is_left}
    if ways.tags is not None:
        masks["is_roundabout"] = ways.tags.is_roundabout
    columns = {name: np.asarray(np.logical_or.reduceat(mask[way], begins)) for name, mask in masks.items()}
    return {name: column for name, column in columns.items() if column.any()}


def _of_kinds(tags: WayTags, is_left: Bools, segments: Segments, chains: Chains) -> dict[str, Categories]:
    way, against = segments.way, (~segments.is_along).astype(np.int8)
    of_segment = {
        "lit": (tags.lit[way], LIT_LEVELS),
        "smoothness": (tags.smoothness[way], SMOOTHNESS_LEVELS),
        "cycleway": (tags.cycleway[way, is_left[way].astype(np.int8), against], CYCLEWAY_LEVELS),
    }
    length, found = segments.length_m[chains.segment], {}
    for name, (codes, levels) in of_segment.items():
        if codes.any():
            joined = covering_most(codes[chains.segment], length, chains.chain_of, chains.first[:-1])
            found[name] = compact(Categories(joined, levels))
    return found


def _of_heights(height: Floats, segments: Segments, chains: Chains) -> dict[str, NDArray[Any]]:
    rise = (height[segments.head] - height[segments.tail])[chains.segment]
    if not np.isfinite(rise).any():
        return {}
    rise = np.nan_to_num(rise, nan=0.0)
    begins = chains.first[:-1]
    return {
        name: np.add.reduceat(np.maximum(sign * rise, 0.0), begins).astype(np.float32)
        for name, sign in (("climb_m", 1.0), ("descent_m", -1.0))
    }
