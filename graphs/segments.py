"""Directed segments between neighbouring nodes of ways: what edges are joined of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.types import Bools, Floats, Ints
from .geometry import degrees, great_circle_m
from .ways import OsmRoads

SHORTEST_M = 0.1
"""Length given to a segment whose two nodes lie on one spot."""


@dataclass(frozen=True, eq=False)
class Segments:
    """Directed straight pieces between neighbouring nodes of a way."""

    tail: Ints
    """int32[S], position in ``node_id``."""
    head: Ints
    way: Ints
    """int32[S], row of the way table."""
    length_m: Floats
    """float64[S], > 0."""
    is_along: Bools
    """bool[S]: in the order of the way's nodes."""


def make_segments(roads: OsmRoads) -> tuple[Segments, dict[str, int]]:
    """Directed segments of all ways, and counts by rule. O(R).

    A way is cut where the file lacks a node (as at the rim of a clipped extract); a node that follows itself is
    dropped; a segment of no length gets `SHORTEST_M`.
    """
    ways = roads.ways
    place = np.searchsorted(roads.node_id, ways.ref)
    place = np.minimum(place, max(len(roads.node_id) - 1, 0))
    is_known = roads.node_id[place] == ways.ref if len(roads.node_id) else np.zeros(len(ways.ref), bool)
    way_of_ref = np.repeat(np.arange(len(ways.way_id), dtype=np.int32), np.diff(ways.first_ref))
    is_pair = way_of_ref[1:] == way_of_ref[:-1]
    is_cut = is_pair & ~(is_known[1:] & is_known[:-1])
    is_repeat = is_pair & ~is_cut & (ways.ref[1:] == ways.ref[:-1])
    pieces = np.flatnonzero(is_pair & ~is_cut & ~is_repeat)
    start, end, way = place[pieces].astype(np.int32), place[pieces + 1].astype(np.int32), way_of_ref[pieces]
    latitude, longitude = degrees(roads.latitude_e7), degrees(roads.longitude_e7)
    length = great_circle_m(latitude[start], longitude[start], latitude[end], longitude[end])
    is_flat = length == 0
    length[is_flat] = SHORTEST_M
    ahead, back = ways.is_forward[way], ways.is_backward[way]
    segments = Segments(
        tail=np.concatenate([start[ahead], end[back]]),
        head=np.concatenate([end[ahead], start[back]]),
        way=np.concatenate([way[ahead], way[back]]),
        length_m=np.concatenate([length[ahead], length[back]]),
        is_along=np.arange(int(ahead.sum()) + int(back.sum())) < int(ahead.sum()),
    )
    cut_ways = np.unique(way_of_ref[1:][is_cut])
    counts = {
        "directed_segments": len(segments.tail),
        "ways_with_missing_nodes": len(cut_ways),
        "pieces_lost_to_missing_nodes": int(is_cut.sum()),
        "repeated_nodes_dropped": int(is_repeat.sum()),
        "zero_length_segments": int(is_flat.sum()),
    }
    return segments, counts
