"""Routes that cross borders between regions, cut into pieces that each lie in one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.types import Bools, Ids, Ints


@dataclass(frozen=True, eq=False)
class Pieces:
    """Stretches of routes, each within one region but for its last edge, which may be the one that left it."""

    first: Ids
    """int64[P+1]: the edges of piece p are ``edge[first[p] : first[p+1]]``."""
    edge: Ints
    region: Ints
    """int32[P], the region of all edges but an exit."""
    route: Ids
    """int64[P], the route each is cut from."""
    is_exit: Bools
    """bool[P]: ends with the first edge of the next region."""


def cut_at_borders(first: Ids, edge: Ints, region_of_edge: Ints) -> Pieces:
    """Cut routes (ragged) where they enter another region; the edge entered ends one piece and begins the next.

    At horizon infinity, a piece that ends at a crossing is distributed as a route to that crossing on its region alone,
    given that the traveller leaves there: a conditional likelihood, consistent, and silent on the choice of the
    crossing. A last piece of one edge says nothing and is left out. O(M).
    """
    region = region_of_edge[edge]
    route = np.repeat(np.arange(len(first) - 1, dtype=np.int64), np.diff(first))
    starts_route = np.zeros(len(edge), bool)
    starts_route[first[:-1]] = True
    begin = np.flatnonzero(starts_route | (region != np.concatenate([region[:1], region[:-1]])))
    end = np.append(begin[1:], len(edge))
    is_exit = np.append(route[begin[1:]] == route[begin[:-1]], False) if len(begin) else np.zeros(0, bool)
    end = end + is_exit
    kept = np.flatnonzero(end - begin >= 2)
    begin, end = begin[kept], end[kept]
    counts = end - begin
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    flat = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], counts)
    return Pieces(offsets, edge[flat], region[begin].astype(np.int32), route[begin], is_exit[kept])
