"""Routes given as OSM node ids -> edges."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..core.types import Ids, Ints
from ..graphs.road_graph import RoadNetwork


class NodePaths:
    """The edges of a network by the OSM nodes they join and pass, made once for any number of routes."""

    def __init__(self, network: RoadNetwork) -> None:
        self._network = network
        self._inside, self._across = _inside_pairs(network), _junction_pairs(network)
        shapes = network.shapes
        self._num_slots = np.diff(shapes.first_point) - 1 if shapes is not None else np.zeros(0, np.int64)

    def edges(self, sequences: Sequence[Ids]) -> tuple[list[Ints], dict[int, tuple[str, str]]]:
        """Edges along each sequence of nodes, and the rows that no edges run along.

        A sequence names either every OSM node passed or the junctions alone, or any mixture in which consecutive nodes
        are neighbours in one of the two senses. A route may begin or end inside an edge, which then counts as
        travelled. Of parallel edges between two junctions the shortest that the edge before may turn onto is taken,
        unless a node inside tells them apart.

        Returns
        -------
        (edges, faults)
            int32 positions per row (empty where faulty); ``{row: (status, detail)}``.
        """
        rows: list[Ints] = []
        faults: dict[int, tuple[str, str]] = {}
        for row, nodes in enumerate(sequences):
            found = self._path(nodes)
            if isinstance(found, tuple):
                faults[row] = found
            rows.append(np.array([] if isinstance(found, tuple) else found, np.int32))
        return rows, faults

    def _path(self, nodes: Ids) -> list[int] | tuple[str, str]:
        """The edges of one sequence, or (status, detail) of what stands against it."""
        path: list[int] = []
        last_slot = -1
        for pair in pairwise(nodes.tolist()):
            if pair in self._inside:
                edge, slot = _continue(self._inside[pair], path, last_slot, self._network)
            elif pair in self._across:
                edge, slot = _permitted(self._across[pair], path, self._network), -1
            else:
                return "unknown_node", f"from node {pair[0]} to node {pair[1]}"
            is_further = bool(path) and path[-1] == edge and slot > last_slot >= 0
            if not is_further:
                if path and 0 <= last_slot < self._num_slots[path[-1]] - 1:
                    return "banned_turn", f"turns round at node {pair[0]}, inside an edge"
                path.append(edge)
            last_slot = slot
        return path


def _continue(options: list[tuple[int, int]], path: list[int], last_slot: int, network: RoadNetwork) -> tuple[int, int]:
    """Of several edges along a pair of nodes, the one already being travelled, else the first permitted, or first."""
    for edge, slot in options:
        if path and path[-1] == edge and slot == last_slot + 1:
            return edge, slot
    edge = _permitted([edge for edge, _ in options], path, network)
    return next(option for option in options if option[0] == edge)


def _inside_pairs(network: RoadNetwork) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """(node, node) along an edge of more than two nodes -> [(edge, place along it)]."""
    shapes = network.shapes
    if shapes is None:
        return {}
    pairs: dict[tuple[int, int], list[tuple[int, int]]] = {}
    counts = np.diff(shapes.first_point)
    for edge in np.flatnonzero(counts > 2).tolist():
        nodes = shapes.osm_node[shapes.first_point[edge] : shapes.first_point[edge + 1]].tolist()
        for slot, pair in enumerate(pairwise(nodes)):
            pairs.setdefault(pair, []).append((edge, slot))
    return pairs


def _permitted(options: list[int], path: list[int], network: RoadNetwork) -> int:
    """Of parallel edges, shortest first, the first that the edge before may turn onto; the shortest where none is."""
    if len(options) > 1 and path:
        is_permitted = network.turns.find(np.full(len(options), path[-1], np.int32), np.array(options, np.int32)) >= 0
        return options[int(np.argmax(is_permitted))]
    return options[0]


def _junction_pairs(network: RoadNetwork) -> dict[tuple[int, int], list[int]]:
    """(junction, junction) -> the edges between them, shortest first."""
    graph = network.graph
    length = network.edge_length_m()
    pairs: dict[tuple[int, int], list[int]] = {}
    tails, heads = graph.node_id[graph.tail].tolist(), graph.node_id[graph.head].tolist()
    for edge in np.argsort(length, kind="stable").tolist():
        pairs.setdefault((tails[edge], heads[edge]), []).append(edge)
    return pairs
