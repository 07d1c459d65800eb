"""Attributes of joined edges: the sum of the lengths, and

- class, surface, access, name, lanes: the value that covers most of the length (with ``join="attributes"`` all
  segments agree, but for names);
- toll, bridge, tunnel: whether any part is one (bridges, tunnels and names do not stop a chain);
- speed: the tagged one; of several, the one that makes travel times add up over the tagged part; where nothing is
  tagged, by class (`attributes.impute_speeds`). ``travel_time_s = length_m / speed_kmh * 3.6``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.types import Bools, Codes, Floats, Ids, Ints
from .attributes import class_speeds, compact, impute_speeds
from .joining import Chains
from .road_graph import Categories, EdgeAttributes
from .segments import Segments
from .ways import WayTable


def edge_attributes(
    ways: WayTable, segments: Segments, chains: Chains, given_speeds: Mapping[str, float] | None = None
) -> tuple[EdgeAttributes, dict[str, Any]]:
    """Attributes of the joined edges by the rules of this module, and for the report: ``speeds``, counts of tagged and
    imputed ones, and ``class_speeds_kmh``, which were imputed. ``given_speeds``: see `attributes.impute_speeds`.
    """
    way, length = segments.way[chains.segment], segments.length_m[chains.segment]
    begins, chain_of = chains.first[:-1], chains.chain_of
    total = np.add.reduceat(length, begins)

    def major(codes: Codes) -> Ints:
        return covering_most(codes[way], length, chain_of, begins)

    def named(column: Categories) -> Categories:
        return compact(Categories(major(column.codes), column.levels))

    def any_of(mask: Bools) -> Bools:
        return np.asarray(np.logical_or.reduceat(mask[way], begins))

    road_class = named(ways.road_class)
    tagged = _joined_speeds(ways.speed_kmh[way], length, begins)
    speed, counts = impute_speeds(tagged, road_class, given_speeds)
    by_class = class_speeds(tagged, road_class) | {
        level: kmh for level, kmh in (given_speeds or {}).items() if level in road_class.levels
    }
    attributes = EdgeAttributes(
        length_m=total.astype(np.float32),
        speed_kmh=speed,
        travel_time_s=(total / speed.astype(np.float64) * 3.6).astype(np.float32),
        road_class=road_class,
        lanes=major(ways.lanes).astype(np.uint8),
        is_toll=any_of(ways.is_toll),
        is_bridge=any_of(ways.is_bridge),
        is_tunnel=any_of(ways.is_tunnel),
        surface=named(ways.surface),
        access=named(ways.access),
        name=named(ways.name),
    )
    return attributes, {"speeds": counts, "class_speeds_kmh": by_class}


def covering_most(values: Codes, length: Floats, chain_of: Ints, begins: Ids) -> Ints:
    """Per chain the value with the greatest length (of equals the smallest)."""
    result = values[begins].astype(np.int32)
    mixed = np.minimum.reduceat(values, begins) != np.maximum.reduceat(values, begins)
    rows = np.flatnonzero(mixed[chain_of])
    if len(rows) == 0:
        return result
    spread = int(values.max()) + 1
    keys, inverse = np.unique(chain_of[rows].astype(np.int64) * spread + values[rows], return_inverse=True)
    covered = np.bincount(inverse, weights=length[rows])
    order = np.lexsort((keys, -covered, keys // spread))
    chains, at = np.unique(keys[order] // spread, return_index=True)
    result[chains] = (keys[order] % spread)[at]
    return result


def _joined_speeds(speed: Floats, length: Floats, begins: Ids) -> Floats:
    """Per chain the tagged speed, harmonic over the tagged length where there are several; NaN where there is none."""
    is_tagged = ~np.isnan(speed)
    slowest = np.minimum.reduceat(np.where(is_tagged, speed, np.inf), begins)
    fastest = np.maximum.reduceat(np.where(is_tagged, speed, -np.inf), begins)
    distance = np.add.reduceat(np.where(is_tagged, length, 0.0), begins)
    hours = np.add.reduceat(np.where(is_tagged, length / np.where(is_tagged, speed, 1.0), 0.0), begins)
    mixed = distance / np.where(hours > 0, hours, 1.0)
    return np.where(slowest == fastest, slowest, np.where(hours > 0, mixed, np.nan))
