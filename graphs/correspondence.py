"""Which edge and turn of one reading of a map is which of another: an older extract and a newer one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.types import Bools, Floats, Ids, Ints
from .geometry import great_circle_m
from .road_graph import RoadNetwork

_WHOLE = 1.0 - 1e-6
_MOST_HOPS = 4
"""New junctions in a row, within one stretch of the other map, that are seen through."""


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Stretches of road that two networks share. Made by `match_networks`."""

    old: RoadNetwork
    new: RoadNetwork
    old_edge: Ints
    """int32[K]: a stretch lies on this old edge ..."""
    new_edge: Ints
    """int32[K]: ... and on this new one; every pair of edges at most once."""
    share_of_old: Floats
    """float64[K], > 0, <= 1: its length over the old edge's."""
    share_of_new: Floats
    """float64[K], > 0, <= 1: its length over the new edge's."""
    first_new: Ints
    """int32[E old]: the new edge on which each old one begins, which begins at the same junction; -1 for none."""
    last_new: Ints
    """int32[E old]: the same of its end."""

    @cached_property
    def same(self) -> Ints:
        """int32[E old]: the new edge that is all of an old one and nothing else; -1 for none."""
        result = np.full(self.old.graph.num_edges, -1, np.int32)
        is_whole = (self.share_of_old >= _WHOLE) & (self.share_of_new >= _WHOLE)
        result[self.old_edge[is_whole]] = self.new_edge[is_whole]
        return result

    @cached_property
    def share_kept(self) -> Floats:
        """float64[E old]: how much of each old edge's length the new map has."""
        return np.minimum(
            np.bincount(self.old_edge, self.share_of_old, minlength=self.old.graph.num_edges).astype(np.float64), 1.0
        )

    @cached_property
    def share_known(self) -> Floats:
        """float64[E new]: how much of each new edge's length the old map had."""
        return np.minimum(
            np.bincount(self.new_edge, self.share_of_new, minlength=self.new.graph.num_edges).astype(np.float64), 1.0
        )

    def turns(self, old_turn: Ints) -> Ints:
        """int32[n]: the new turns that are some old ones, -1 where that junction or that move is no more."""
        turns = self.old.turns
        into, out = self.last_new[turns.from_edge[old_turn]], self.first_new[turns.to_edge[old_turn]]
        is_there = (into >= 0) & (out >= 0)
        result = np.full(len(old_turn), -1, np.int32)
        result[is_there] = self.new.turns.find(into[is_there], out[is_there])
        return result

    def counts(self) -> dict[str, int]:
        """Old edges that are the same, are cut up or merged, are partly gone, are gone; and edges that are new."""
        kept, same = self.share_kept, self.same >= 0
        is_gone, is_whole = kept == 0, kept >= 1 - 1e-6
        return {
            "old_edges": len(kept),
            "same": int(same.sum()),
            "cut_up_or_merged": int((is_whole & ~same).sum()),
            "partly_gone": int((~is_whole & ~is_gone & ~same).sum()),
            "gone": int(is_gone.sum()),
            "new_edges": len(self.share_known),
            "unknown_before": int((self.share_known == 0).sum()),
        }


@dataclass(frozen=True, eq=False)
class _Stretches:
    """The edges of a network as directed stretches between nodes that both maps have.

    What lies before an edge's first such node, or behind its last, is a loose end.
    """

    edge: Ints
    key: Ids
    """int64, a number for the pair of nodes."""
    length: Floats
    total: Floats
    """float64[E], of whole edges."""
    starts: list[tuple[int, int, int, float]]
    """(edge, its tail, first common node or -1, metres between them) of edges that begin at a node of their own."""
    ends: list[tuple[int, int, int, float]]
    """(edge, its head, last common node or -1, metres) of edges that end at one."""


def match_networks(old: RoadNetwork, new: RoadNetwork) -> Correspondence:
    """Find what two readings of one map share, by the ids of the nodes along their edges; directions count.

    A way that was split, joined, renamed or given other ids or tags stays what it is; so does one with shape nodes
    added, moved or removed, and one that a new junction divides. Parallel edges along the same nodes are told apart by
    their edge ids.

    Notes
    -----
    O(P log P) for P points of both maps.
    """
    common = np.intersect1d(_nodes(old), _nodes(new))
    by_id = _same_by_id(old, new)
    a, b = _stretches(old, common), _stretches(new, common)
    is_taken_a, is_taken_b = by_id[a.edge] >= 0, np.isin(b.edge, by_id[by_id >= 0])
    rest_a, rest_b = np.flatnonzero(~is_taken_a), np.flatnonzero(~is_taken_b)
    order = rest_b[np.argsort(b.key[rest_b], kind="stable")]
    place = np.minimum(np.searchsorted(b.key[order], a.key[rest_a]), max(len(order) - 1, 0))
    is_found = b.key[order][place] == a.key[rest_a] if len(order) else np.zeros(len(rest_a), bool)
    one, two = rest_a[is_found], order[place[is_found]] if len(order) else order
    pieces = [(a.edge[one], b.edge[two], a.length[one], b.length[two])]
    is_open_a = np.zeros(len(a.key), bool)
    is_open_a[rest_a[~is_found]] = True
    is_open_b = np.zeros(len(b.key), bool)
    is_open_b[rest_b] = True
    is_open_b[two] = False
    pieces.append(_through(a, is_open_a, b, common))
    pieces.append(tuple(_through(b, is_open_b, a, common)[i] for i in (1, 0, 3, 2)))  # type: ignore[arg-type]
    whole = np.flatnonzero(by_id >= 0)
    pieces.append((whole, by_id[whole], a.total[whole], b.total[by_id[whole]]))
    old_edge, new_edge, of_old, of_new = (np.concatenate(column) for column in zip(*pieces, strict=True))
    pairs, row = np.unique(np.stack([old_edge, new_edge], axis=1), axis=0, return_inverse=True)
    share_of_old = np.bincount(row.reshape(-1), of_old, minlength=len(pairs)) / _positive(a.total[pairs[:, 0]])
    share_of_new = np.bincount(row.reshape(-1), of_new, minlength=len(pairs)) / _positive(b.total[pairs[:, 1]])
    is_real = (share_of_old > 0) & (share_of_new > 0)
    pairs = pairs[is_real].astype(np.int32)
    first, last = _ends(old, new, pairs)
    return Correspondence(
        old,
        new,
        pairs[:, 0],
        pairs[:, 1],
        np.minimum(share_of_old[is_real], 1.0),
        np.minimum(share_of_new[is_real], 1.0),
        first,
        last,
    )


def _positive(length: Floats) -> Floats:
    return np.maximum(length, 1e-9)


def _nodes(network: RoadNetwork) -> Ids:
    return np.unique(network.graph.node_id if network.shapes is None else network.shapes.osm_node)


def _along(network: RoadNetwork) -> tuple[Ids, Ids, Floats]:
    """(offsets int64[E + 1], node ids along every edge, metres to the next node, 0 at an edge's last one)."""
    graph, shapes = network.graph, network.shapes
    if shapes is None:
        nodes = np.stack([graph.node_id[graph.tail], graph.node_id[graph.head]], axis=1).ravel()
        steps = np.stack([_positive(network.edge_length_m()), np.zeros(graph.num_edges)], axis=1).ravel()
        return 2 * np.arange(graph.num_edges + 1), nodes, steps
    latitude = np.asarray(shapes.latitude_e7, np.float64) * 1e-7
    longitude = np.asarray(shapes.longitude_e7, np.float64) * 1e-7
    steps = np.zeros(len(latitude))
    steps[:-1] = _positive(great_circle_m(latitude[:-1], longitude[:-1], latitude[1:], longitude[1:]))
    steps[shapes.first_point[1:] - 1] = 0.0
    return shapes.first_point, shapes.osm_node, steps


def _stretches(network: RoadNetwork, common: Ids) -> _Stretches:
    first, nodes, steps = _along(network)
    edge_of = np.repeat(np.arange(len(first) - 1, dtype=np.int32), np.diff(first))
    place = np.minimum(np.searchsorted(common, nodes), max(len(common) - 1, 0))
    is_common = common[place] == nodes if len(common) else np.zeros(len(nodes), bool)
    travelled = np.concatenate([[0.0], np.cumsum(steps)])[:-1]
    kept = np.flatnonzero(is_common)
    is_pair = edge_of[kept[:-1]] == edge_of[kept[1:]]
    one, two = kept[:-1][is_pair], kept[1:][is_pair]
    key = place[one].astype(np.int64) * max(len(common), 1) + place[two]
    total = np.bincount(edge_of, steps, minlength=len(first) - 1).astype(np.float64)
    heads, tails = first[1:] - 1, first[:-1]
    starts = _loose(nodes, travelled, kept, tails, heads, is_common, at_start=True)
    ends = _loose(nodes, travelled, kept, tails, heads, is_common, at_start=False)
    return _Stretches(edge_of[one], key, travelled[two] - travelled[one], total, starts, ends)


def _loose(
    nodes: Ids, travelled: Floats, kept: Ids, tails: Ids, heads: Ids, is_common: Bools, *, at_start: bool
) -> list[tuple[int, int, int, float]]:
    """Edges whose first (or last) node is not common: see `_Stretches`."""
    found = []
    for edge in np.flatnonzero(~is_common[tails if at_start else heads]).tolist():
        tail, head = int(tails[edge]), int(heads[edge])
        if at_start:
            slot = int(np.searchsorted(kept, tail))
            point = int(kept[slot]) if slot < len(kept) and kept[slot] <= head else -1
        else:
            slot = int(np.searchsorted(kept, head)) - 1
            point = int(kept[slot]) if slot >= 0 and kept[slot] >= tail else -1
        here, there = (tail, point) if at_start else (point, head)
        metres = travelled[head] - travelled[tail] if point < 0 else travelled[there] - travelled[here]
        outer = int(nodes[tail if at_start else head])
        found.append((edge, outer, -1 if point < 0 else int(nodes[point]), float(metres)))
    return found


def _through(whole: _Stretches, is_open: Bools, divided: _Stretches, common: Ids) -> tuple[Ints, Ints, Floats, Floats]:
    """Stretches of one map that junctions of the other one alone divide: (edges of the first, of the second, metres
    on the first, metres on the second).
    """
    by_key = {int(key): row for row, key in zip(np.flatnonzero(is_open).tolist(), whole.key[is_open], strict=True)}
    out: dict[int, list[tuple[int, int, float]]] = {}
    for edge, tail, node, metres in divided.starts:
        out.setdefault(tail, []).append((edge, node, metres))
    heads = {edge: head for edge, head, _, _ in divided.ends}
    rows: list[tuple[int, int, float, float]] = []
    for edge, head, node, metres in divided.ends:
        if node < 0:
            continue
        for chain in _chains([(edge, metres)], head, out, heads):
            last, pieces = chain
            a, b = np.searchsorted(common, [node, last])
            row = by_key.get(int(a) * max(len(common), 1) + int(b))
            if row is None:
                continue
            total = sum(length for _, length in pieces)
            rows += [
                (int(whole.edge[row]), piece, float(whole.length[row]) * length / max(total, 1e-9), length)
                for piece, length in pieces
            ]
            del by_key[int(a) * max(len(common), 1) + int(b)]
    columns = np.array(rows, np.float64).reshape(-1, 4)
    return columns[:, 0].astype(np.int32), columns[:, 1].astype(np.int32), columns[:, 2], columns[:, 3]


def _chains(
    pieces: list[tuple[int, float]],
    at: int,
    out: dict[int, list[tuple[int, int, float]]],
    heads: dict[int, int],
) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    """Ways on from a node of its own to the next common one: (that node, edges with their metres)."""
    if len(pieces) > _MOST_HOPS:
        return
    for edge, node, metres in out.get(at, ()):
        longer = [*pieces, (edge, metres)]
        if node >= 0:
            yield node, longer
        elif edge in heads:
            yield from _chains(longer, heads[edge], out, heads)


def _same_by_id(old: RoadNetwork, new: RoadNetwork) -> Ints:
    """int32[E old]: the new edge with the same id along the same nodes, -1 for none."""
    found = new.graph.edge_positions(old.graph.edge_id)
    first_a, nodes_a, _ = _along(old)
    first_b, nodes_b, _ = _along(new)
    rows = np.flatnonzero(found >= 0)
    count_a, count_b = np.diff(first_a)[rows], np.diff(first_b)[found[rows]]
    rows = rows[count_a == count_b]
    counts = np.diff(first_a)[rows]
    steps = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    differs = (
        nodes_a[np.repeat(first_a[rows], counts) + steps] != nodes_b[np.repeat(first_b[found[rows]], counts) + steps]
    )
    wrong = np.bincount(np.repeat(np.arange(len(rows)), counts), differs, minlength=len(rows)) > 0
    result = np.full(old.graph.num_edges, -1, np.int32)
    result[rows[~wrong]] = found[rows[~wrong]]
    return result


def _ends(old: RoadNetwork, new: RoadNetwork, pairs: Ints) -> tuple[Ints, Ints]:
    """For each old edge, the new one that shares a stretch with it and begins (or ends) at the same junction."""
    first, last = (np.full(old.graph.num_edges, -1, np.int32) for _ in range(2))
    a, b = pairs[:, 0], pairs[:, 1]
    begins = old.graph.node_id[old.graph.tail[a]] == new.graph.node_id[new.graph.tail[b]]
    ends = old.graph.node_id[old.graph.head[a]] == new.graph.node_id[new.graph.head[b]]
    first[a[begins]] = b[begins]
    last[a[ends]] = b[ends]
    return first, last
