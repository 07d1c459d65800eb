"""Joining chains: runs of segments with one way in and one way out become one edge.

One mechanism, `join_chains`, and masks that say where it must stop:

- `topological_breakpoints`: osmnx's rule (``simplification._is_endpoint``). A node is passed through only if it has
  exactly two neighbours, is none of them itself, and has either one segment in and one out, or two in and two out, one
  to and from each neighbour. (osmnx also passes through two rare patterns of doubled one-way segments and loses
  segments there; they end a chain here.)
- `attribute_breakpoints`: nodes where segments of different attributes meet.
- the via nodes of restrictions, which the caller adds.

All masks speak of nodes, so both directions of a two-way road break at the same places. A ring with no junction at all
is broken at its first node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.types import Bools, Ids, Ints


@dataclass(frozen=True, eq=False)
class Chains:
    """Segments grouped into edges."""

    first: Ids
    """int64[C+1]: chain c holds ``segment[first[c] : first[c+1]]``."""
    segment: Ints
    """int32[S], segment positions in order of travel; each stands once."""
    num_rings: int
    """Isolated directed rings that were broken at a node chosen for them."""

    @property
    def num_chains(self) -> int:
        """Number of edges C."""
        return len(self.first) - 1

    @property
    def chain_of(self) -> Ints:
        """int32[S], the chain of each entry of ``segment``."""
        return np.repeat(np.arange(self.num_chains, dtype=np.int32), np.diff(self.first))


@dataclass(frozen=True, eq=False)
class _Ends:
    """Of each node: number of segments, and its lowest and highest neighbour with a segment to each."""

    count: Ints
    low_node: Ints
    high_node: Ints
    low_segment: Ints
    high_segment: Ints


def _ends(own: Ints, other: Ints, num_nodes: int) -> _Ends:
    order = np.lexsort((other, own)).astype(np.int32)
    first = np.searchsorted(own[order], np.arange(num_nodes + 1))
    count = np.diff(first).astype(np.int32)
    if len(order) == 0:
        none = np.full(num_nodes, -1, np.int32)
        return _Ends(count, none, none, none, none)
    low, high = np.minimum(first[:-1], len(order) - 1), np.maximum(first[1:] - 1, 0)
    return _Ends(count, other[order[low]], other[order[high]], order[low], order[high])


def topological_breakpoints(tail: Ints, head: Ints, num_nodes: int) -> Bools:
    """bool[N]: nodes at which a chain ends by the rule above. O(S log S)."""
    out, into = _ends(tail, head, num_nodes), _ends(head, tail, num_nodes)
    has_loop = np.zeros(num_nodes, bool)
    has_loop[tail[tail == head]] = True
    one_way = (out.count == 1) & (into.count == 1) & (out.low_node != into.low_node)
    two_way = (out.count == 2) & (into.count == 2) & (out.low_node != out.high_node)
    two_way &= (out.low_node == into.low_node) & (out.high_node == into.high_node)
    return np.asarray(has_loop | ~(one_way | two_way))


def attribute_breakpoints(tail: Ints, head: Ints, signature: NDArray[Any], num_nodes: int) -> Bools:
    """bool[N]: nodes where segments of different ``signature`` (any sortable number per segment) meet. O(S)."""
    nodes = np.concatenate([tail, head])
    values = np.concatenate([signature, signature])
    order = np.lexsort((values, nodes))
    nodes, values = nodes[order], values[order]
    changes = (nodes[1:] == nodes[:-1]) & (values[1:] != values[:-1])
    mask = np.zeros(num_nodes, bool)
    mask[nodes[1:][changes]] = True
    return mask


def join_chains(tail: Ints, head: Ints, is_breakpoint: Bools) -> Chains:
    """Join segments through every node that is not a breakpoint.

    Parameters
    ----------
    tail, head
        int32[S], node positions of directed segments.
    is_breakpoint
        bool[N]; must cover `topological_breakpoints`.

    Returns
    -------
    Chains
        In order of their first segment. A ring without a breakpoint is broken at its lowest node.

    Notes
    -----
    Pointer doubling: O(S log L) for chains of up to L segments, all vectorised.
    """
    following = _following(tail, head, is_breakpoint)
    start, place, is_ring = _rank(following)
    num_rings = 0
    if is_ring.any():
        lowest = _ring_lowest(tail, following, np.flatnonzero(is_ring).astype(np.int32))
        opened = is_breakpoint.copy()
        opened[lowest] = True
        following = np.where(opened[head], -1, following).astype(np.int32)
        num_rings = int((opened[tail] & is_ring).sum())
        start, place, _ = _rank(following)
    order = np.lexsort((place, start)).astype(np.int32)
    begins = np.flatnonzero(place[order] == 0)
    return Chains(np.append(begins, len(order)).astype(np.int64), order, num_rings)


def _following(tail: Ints, head: Ints, is_breakpoint: Bools) -> Ints:
    """int32[S]: the segment that continues each one, -1 at a breakpoint."""
    out = _ends(tail, head, len(is_breakpoint))
    goes_back = out.low_node[head] == tail
    onward = np.where(goes_back, out.high_segment[head], out.low_segment[head])
    return np.where(is_breakpoint[head], -1, onward).astype(np.int32)


def _rank(following: Ints) -> tuple[Ints, Ints, Bools]:
    """First segment of each segment's chain, its place in the chain, and whether it runs in a ring instead."""
    num = len(following)
    pointer = np.arange(num, dtype=np.int32)
    goes_on = following >= 0
    pointer[following[goes_on]] = np.flatnonzero(goes_on)
    is_start = pointer == np.arange(num)
    place = (~is_start).astype(np.int32)
    open_ones = -1
    while (still_open := int((~is_start[pointer]).sum())) != open_ones:
        # Every round at least one more segment of each unfinished chain arrives; when none does, only rings are left.
        open_ones = still_open
        place += place[pointer]
        pointer = pointer[pointer]
    return pointer, place, np.asarray(~is_start[pointer])


def _ring_lowest(tail: Ints, following: Ints, ring: Ints) -> Ints:
    """The lowest node of the ring of each of the ring's segments."""
    local = np.full(len(tail), -1, np.int32)
    local[ring] = np.arange(len(ring), dtype=np.int32)
    pointer, lowest = local[following[ring]], tail[ring].copy()
    for _ in range(len(ring).bit_length()):
        lowest = np.minimum(lowest, lowest[pointer])
        pointer = pointer[pointer]
    return lowest
