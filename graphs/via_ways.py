"""Restrictions via ways: "from this road over that one, do not turn into the third".

A turn graph remembers one edge, and such a restriction needs two or more. So the via edges get a copy, a parallel edge
of the same shape and attributes that is entered from ``from`` alone (the original is then not entered from there), and
that lacks the turns the restriction takes away. The turn graph stays an ordinary one, and whatever runs on it is exact.

Which copies there are, and what leads where, is the automaton of Aho & Corasick (1975) for the forbidden sequences of
edges: a copy for each beginning of at least two edges, a turn leads to the longest beginning that the edges travelled
end in, and one that completes a sequence is banned. Overlapping restrictions and several through one way need no care.

``no_*`` forbids (from, via..., to). ``only_*`` forbids (from, via..., other) for every other edge out of where ``to``
leaves: it binds who comes from ``from`` over all of the via, and nobody who leaves the via before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.types import Bools, Ids, Ints
from .moves import turn_angles
from .restrictions import NO_KINDS, WayRestriction, side_of
from .road_graph import EdgeAttributes, EdgeShapes, RoadGraph, RoadNetwork
from .stable_ids import mix64, stable_ids
from .turns import TurnGraph
from .ways import OsmRoads

EdgeSequence = tuple[int, ...]
"""Edges in order of travel, by position."""


def meeting_nodes(roads: OsmRoads) -> Bools:
    """bool[K]: where the ways of a restriction via ways meet; edges end there, so that each has ways of one role."""
    is_meeting = np.zeros(len(roads.node_id), bool)
    if not roads.way_restrictions:
        return is_meeting
    ways = roads.ways
    row = {int(way): at for at, way in enumerate(ways.way_id)}

    def nodes(way: int) -> Ids:
        at = row.get(way)
        return ways.ref[:0] if at is None else ways.ref[ways.first_ref[at] : ways.first_ref[at + 1]]

    met: set[int] = set()
    for one in roads.way_restrictions:
        inside = [set(nodes(way).tolist()) for way in one.via_ways]
        outside = [set(nodes(way).tolist()) for way in (*one.from_ways, *one.to_ways)]
        for place, own in enumerate(inside):
            met.update(*(own & other for other in [*inside[place + 1 :], *outside]))
    return np.isin(roads.node_id, np.array(sorted(met), np.int64))


# ------------------------------------------------------------------------------------------------ sequences


def forbidden_sequences(
    graph: RoadGraph, shapes: EdgeShapes, restrictions: Sequence[WayRestriction]
) -> tuple[set[EdgeSequence], dict[str, Any]]:
    """Sequences of at least three edges that nobody may travel, and counts: ``used`` by kind, ``without_effect``.

    Where ``from`` or ``to`` passes through its end of the via, so that several edges are meant, and the kind says left
    or right, those are meant that bend this way, if any do; all otherwise.
    """
    finder = _Finder(graph, shapes)
    found: set[EdgeSequence] = set()
    used: Counter[str] = Counter()
    idle: Counter[str] = Counter()
    for one in restrictions:
        paths = list(finder.paths(one))
        if not paths:
            idle["its ways are not driven or do not lead over the via ways in that direction"] += 1
            continue
        used[one.kind] += 1
        for path, targets in paths:
            ends = targets if one.kind in NO_KINDS else finder.out(int(graph.head[path[-1]])) - targets
            found |= {(*path, end) for end in ends}
    return found, {"used": dict(used), "without_effect": dict(idle)}


class _Finder:
    def __init__(self, graph: RoadGraph, shapes: EdgeShapes) -> None:
        self._graph, self._shapes = graph, shapes
        self._first_way = np.asarray(shapes.osm_way[shapes.first_way[:-1]])
        self._last_way = np.asarray(shapes.osm_way[shapes.first_way[1:] - 1])
        self._by_last = np.argsort(self._last_way, kind="stable").astype(np.int32)

    def paths(self, one: WayRestriction) -> Iterator[tuple[EdgeSequence, set[int]]]:
        """((from, via...), the edges of ``to`` that leave where the via ends) of every way to drive it."""
        begins = [
            (edge, via)
            for edge in self._ending_on(one.from_ways)
            for via in sorted(self.out(int(self._graph.head[edge])))
            if self._ways(via) <= set(one.via_ways)
        ]
        for edge, via in self._bending(one.kind, begins):
            yield from self._over(one, (edge, via), {int(self._graph.tail[via]), int(self._graph.head[via])})

    def out(self, node: int) -> set[int]:
        """The edges out of a node."""
        return set(range(int(self._graph.first_out[node]), int(self._graph.first_out[node + 1])))

    def _over(
        self, one: WayRestriction, path: EdgeSequence, passed: set[int]
    ) -> Iterator[tuple[EdgeSequence, set[int]]]:
        via_ways, node = set(one.via_ways), int(self._graph.head[path[-1]])
        onward = sorted(self.out(node))
        if set.union(*(self._ways(edge) for edge in path[1:])) == via_ways:
            targets = [edge for edge in onward if self._first_way[edge] in one.to_ways]
            targets = [edge for edge in targets if not self._ways(edge) <= via_ways]
            if targets:
                yield path, {edge for _, edge in self._bending(one.kind, [(path[-1], edge) for edge in targets])}
                return
        for edge in onward:
            head = int(self._graph.head[edge])
            if head not in passed and self._ways(edge) <= via_ways:
                yield from self._over(one, (*path, edge), passed | {head})

    def _bending(self, kind: str, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Of several moves those to the side that the kind names, if there are any."""
        side = side_of(kind)
        if len(pairs) < 2 or side == 0:
            return pairs
        ends = np.array(pairs, np.int32)
        angles = turn_angles(self._graph, self._shapes, ends[:, 0], ends[:, 1], np.zeros(len(ends), bool))
        assert angles is not None  # there are shapes
        bends = [pair for pair, angle in zip(pairs, angles, strict=True) if np.sign(angle) == side]
        return bends or pairs

    def _ending_on(self, ways: Iterable[int]) -> list[int]:
        found: list[int] = []
        for way in ways:
            low, high = np.searchsorted(self._last_way, [way, way + 1], sorter=self._by_last)
            found += self._by_last[low:high].tolist()
        return sorted(found)

    def _ways(self, edge: int) -> set[int]:
        first = self._shapes.first_way
        return set(self._shapes.osm_way[first[edge] : first[edge + 1]].tolist())


def onto_copies(network: RoadNetwork, edges: Ints, first: Ids) -> Ints:
    """Routes whose edges are ``edges[first[r] : first[r+1]]``, an original replaced by its copy where that is entered.

    Sources name roads and know of no copies. Positions may be -1. A copy of the input, if anything changes.
    """
    copies, turns = network.copies_of, network.turns
    if not copies:
        return edges
    found, begins = edges.copy(), set(first[:-1].tolist())
    for place in np.flatnonzero(np.isin(edges, list(copies))).tolist():  # in order of travel: the edge before is known
        if place in begins or found[place - 1] < 0:
            continue
        options = np.array([found[place], *copies[int(found[place])]], np.int32)
        is_permitted = turns.find(np.full(len(options), found[place - 1], np.int32), options) >= 0
        found[place] = options[int(np.argmax(is_permitted))]
    return found


# --------------------------------------------------------------------------------------------------- copies


@dataclass(frozen=True, eq=False)
class WithCopies:
    """Roads with the copies that forbidden sequences need, in the order of a graph."""

    graph: RoadGraph
    attributes: EdgeAttributes
    shapes: EdgeShapes
    is_copy: Bools
    """bool[E]."""
    opened: Ints
    """int32[n, 2], moves (from, to) from or onto a copy that there are."""
    closed: Ints
    """int32[n, 2], moves between originals that lead onto a copy instead."""

    def ban(self, moves: TurnGraph) -> Bools:
        """bool[T]: the moves of all (`candidate_turns` of this graph) that are none."""
        banned = self.is_copy[moves.from_edge] | self.is_copy[moves.to_edge]
        banned[moves.find(self.opened[:, 0], self.opened[:, 1])] = False
        banned[moves.find(self.closed[:, 0], self.closed[:, 1])] = True
        return np.asarray(banned)


def add_copies(
    graph: RoadGraph, attributes: EdgeAttributes, shapes: EdgeShapes, forbidden: set[EdgeSequence]
) -> WithCopies:
    """The roads with a copy for every beginning, of at least two edges, of a forbidden sequence.

    A copy stands behind its original among parallel edges. Its id is negative: a hash of the ids of the edges it stands
    for, so that the same source gives the same id. O(E log E), and some microseconds per copy and turn.
    """
    if not forbidden:
        none = np.zeros((0, 2), np.int32)
        return WithCopies(graph, attributes, shapes, np.zeros(graph.num_edges, bool), none, none)
    beginnings = sorted({word[:size] for word in forbidden for size in range(2, len(word))})
    count = graph.num_edges
    base = np.array([word[-1] for word in beginnings], np.int32)
    source = np.concatenate([np.arange(count, dtype=np.int32), base])
    edge_id = np.concatenate([graph.edge_id, _copy_ids(graph, beginnings)])
    is_copy = np.arange(len(source)) >= count
    order = np.lexsort((edge_id, is_copy, graph.head[source], graph.tail[source]))
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    opened, closed = _moves(graph, beginnings, forbidden)
    taken = source[order]
    return WithCopies(
        RoadGraph(
            graph.tail[taken],
            graph.head[taken],
            edge_id[order],
            graph.node_id,
            graph.latitude_deg,
            graph.longitude_deg,
        ),
        attributes.take(taken),
        shapes.take(taken),
        is_copy[order],
        place[np.array(opened, np.int64).reshape(-1, 2)],
        place[np.array(closed, np.int64).reshape(-1, 2)],
    )


def _copy_ids(graph: RoadGraph, beginnings: list[EdgeSequence]) -> Ids:
    travelled = np.zeros(len(beginnings), np.uint64)
    for row, word in enumerate(beginnings):
        for edge in word[:-1]:
            travelled[row : row + 1] = mix64(travelled[row : row + 1] ^ np.uint64(int(graph.edge_id[edge]) % 2**64))
    own = np.array([graph.edge_id[word[-1]] for word in beginnings], np.int64)
    return -1 - stable_ids(travelled.astype(np.int64), own)[0]


def _moves(
    graph: RoadGraph, beginnings: list[EdgeSequence], forbidden: set[EdgeSequence]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(moves from and onto copies, moves that lead onto a copy instead); copies are numbered after the edges."""
    number = {word: graph.num_edges + at for at, word in enumerate(beginnings)}
    opened: list[tuple[int, int]] = []
    closed: list[tuple[int, int]] = []
    for word, own in number.items():
        if len(word) == 2:
            opened.append((word[0], own))
            closed.append((word[0], word[1]))
        node = int(graph.head[word[-1]])
        for edge in range(int(graph.first_out[node]), int(graph.first_out[node + 1])):
            ends = [(*word, edge)[begin:] for begin in range(len(word))]  # of two edges at least
            if not forbidden.intersection(ends):
                opened.append((own, next((number[end] for end in ends if end in number), edge)))
    return opened, closed
