"""Networks of any size from a real one: mirrored copies side by side, joined at their borders."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..core.types import Bools, Floats, Ids, Ints
from .geometry import great_circle_m
from .road_graph import EdgeAttributes, RoadGraph, RoadNetwork
from .store import make_network
from .turns import TurnGraph

_BINS = 64
"""Stretches of a border in each of which the outermost junction may be joined to its mirror image."""
_GAP_DEG = 0.0005
"""Between two copies: some 50 m."""
_CONNECTOR_KMH = 50.0


def tile_network(network: RoadNetwork, tiles: int, *, jitter: float = 0.1, seed: int = 0) -> RoadNetwork:
    """``tiles`` x ``tiles`` copies of a network, every other one mirrored, so that borders meet their own image.

    The junctions nearest to a border, one in each stretch of it, are joined to their images by two-way roads of 50
    km/h; the first copy is the original, in the others every length and travel time is multiplied by a random factor.
    Left and right change places in mirrored copies, the side that is driven on does not. Ids are numbers from 0 on;
    shapes are left out; the report's ``source`` and ``tiled`` say what it is.

    Parameters
    ----------
    tiles
        Copies along each side, at least 1.
    jitter
        Largest relative change of a length.

    Raises
    ------
    MissingDataError
        The network has no coordinates.

    Notes
    -----
    Memory and time O(tiles^2 (E + T)).
    """
    if tiles < 1:
        raise ValueError(f"tiles is {tiles}; at least 1 is needed")
    latitude, longitude = network.graph.require_coordinates("tiling")
    places = [(row, column) for row in range(tiles) for column in range(tiles)]
    node_latitude = np.concatenate([_placed(latitude, row) for row, _ in places])
    node_longitude = np.concatenate([_placed(longitude, column) for _, column in places])
    ends = _connectors(network, tiles, latitude, longitude)
    graph, attributes, order = _edges(network, len(places), ends, (node_latitude, node_longitude), jitter, seed)
    turns = _turns(network, places, ends, order)
    source = f"{network.report.get('source', 'a network')}, tiled {tiles} x {tiles}"
    report: dict[str, Any] = {"source": source, "kind": "tiled network", "tiled": tiles, "connectors": len(ends)}
    report["mode"] = network.mode
    return make_network(graph, attributes, turns, None, report)


def _placed(degrees: Floats, index: int) -> Floats:
    """One coordinate of a copy: mirrored if its index is odd."""
    low, high = float(degrees.min()), float(degrees.max())
    own = degrees if index % 2 == 0 else low + high - degrees
    return np.asarray(own + index * (high - low + _GAP_DEG))


def _connectors(network: RoadNetwork, tiles: int, latitude: Floats, longitude: Floats) -> Ids:
    """int64[C, 2], node positions (in all copies) of the ends of one-way connectors; both directions stand in it."""
    count = network.graph.num_nodes
    is_main = np.zeros(count, bool)
    for ends in (network.graph.tail, network.graph.head):
        is_main[ends[network.turns.is_main]] = True
    pairs = []
    for across, along, step in ((longitude, latitude, 1), (latitude, longitude, tiles)):
        sides = [_outermost(-across, along, is_main), _outermost(across, along, is_main)]  # low end, high end
        for copy in range(tiles * tiles):
            index = copy % tiles if step == 1 else copy // tiles
            if index + 1 < tiles:
                side = sides[1 if index % 2 == 0 else 0]
                pairs.append(np.column_stack([side + copy * count, side + (copy + step) * count]))
    if not pairs:
        return np.zeros((0, 2), np.int64)
    one_way = np.concatenate(pairs)
    return np.concatenate([one_way, one_way[:, ::-1]])


def _outermost(outwards: Floats, along: Floats, is_usable: Bools) -> Ids:
    """Positions of the outermost usable node of each stretch, the nearer half of them."""
    nodes = np.flatnonzero(is_usable)
    span = float(along[nodes].max() - along[nodes].min()) or 1.0
    stretch = np.minimum(((along[nodes] - along[nodes].min()) / span * _BINS).astype(np.int64), _BINS - 1)
    order = np.lexsort((-outwards[nodes], stretch))
    _, first = np.unique(stretch[order], return_index=True)
    best = nodes[order[first]]
    nearest = np.argsort(-outwards[best], kind="stable")[: max(1, len(best) // 2)]
    return np.sort(best[nearest]).astype(np.int64)


def _edges(
    network: RoadNetwork, copies: int, ends: Ids, coordinates: tuple[Floats, Floats], jitter: float, seed: int
) -> tuple[RoadGraph, EdgeAttributes, Ids]:
    """(graph, attributes, order): the edges, counted copy by copy with connectors last, as sorted by their tail."""
    graph, nodes, edges = network.graph, network.graph.num_nodes, network.graph.num_edges
    offset = np.repeat(np.arange(copies, dtype=np.int64) * nodes, edges)
    tail = np.concatenate([np.tile(graph.tail, copies) + offset, ends[:, 0]])
    head = np.concatenate([np.tile(graph.head, copies) + offset, ends[:, 1]])
    order = np.argsort(tail, kind="stable")
    # A connector is of the class, surface and so on of a road that it continues.
    like = np.minimum(np.searchsorted(graph.tail, ends[:, 0] % nodes), edges - 1)
    rows = np.concatenate([np.tile(np.arange(edges), copies), like]).astype(np.int32)
    attributes = dataclasses.replace(network.attributes, source_tags=None).take(rows)
    factor = np.random.default_rng(seed).uniform(1 - jitter, 1 + jitter, edges * copies)
    factor[:edges] = 1.0
    latitude, longitude = coordinates
    first, second = ends.T
    metres = np.maximum(great_circle_m(latitude[first], longitude[first], latitude[second], longitude[second]), 1.0)
    columns: dict[str, Any] = {}
    for name, of_connector in (("length_m", metres), ("travel_time_s", metres / (_CONNECTOR_KMH / 3.6))):
        column = getattr(attributes, name)
        if column is not None:
            columns[name] = np.concatenate([column[: edges * copies] * factor, of_connector]).astype(np.float32)
    if attributes.speed_kmh is not None:
        columns["speed_kmh"] = attributes.speed_kmh.copy()
        columns["speed_kmh"][edges * copies :] = _CONNECTOR_KMH
    made = RoadGraph(
        tail=tail[order].astype(np.int32),
        head=head[order].astype(np.int32),
        edge_id=order.astype(np.int64),
        node_id=np.arange(nodes * copies, dtype=np.int64),
        latitude_deg=latitude,
        longitude_deg=longitude,
    )
    return made, dataclasses.replace(attributes, **columns).take(order.astype(np.int32)), order


def _turns(network: RoadNetwork, places: list[tuple[int, int]], ends: Ids, order: Ids) -> TurnGraph:
    """The turns of every copy, and those onto and from connectors: from and to every road but the way back."""
    turns, edges, copies = network.turns, network.graph.num_edges, len(places)
    offset = np.repeat(np.arange(copies, dtype=np.int64) * edges, turns.num_turns)
    onto, off = _at_connectors(network, ends, edges * copies)
    begin = np.concatenate([np.tile(turns.from_edge, copies) + offset, onto[:, 0], off[:, 0]])
    end = np.concatenate([np.tile(turns.to_edge, copies) + offset, onto[:, 1], off[:, 1]])
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    begin, end = position[begin], position[end]
    sorted_ = np.lexsort((end, begin))
    is_mirrored = np.repeat([(row + column) % 2 == 1 for row, column in places], turns.num_turns)
    more = len(onto) + len(off)

    def whole(column: Any, mirrored: Any, missing: Any) -> Any:
        both = np.where(is_mirrored, np.tile(mirrored, copies), np.tile(column, copies))
        return np.concatenate([both, np.full(more, missing)]).astype(column.dtype)[sorted_]

    return TurnGraph(
        first_out=np.searchsorted(begin[sorted_], np.arange(len(order) + 1)).astype(np.int32),
        to_edge=end[sorted_].astype(np.int32),
        angle_deg=None if turns.angle_deg is None else whole(turns.angle_deg, -turns.angle_deg, np.nan),
        is_left=whole(turns.is_left, turns.is_right, False),
        is_right=whole(turns.is_right, turns.is_left, False),
        is_uturn=whole(turns.is_uturn, turns.is_uturn, False),
        extra={name: whole(column, column, 0.0) for name, column in turns.extra.items()},
    )


def _at_connectors(network: RoadNetwork, ends: Ids, first_connector: int) -> tuple[Ids, Ids]:
    """(turns onto connectors, turns off them), int64[., 2] of edges counted copy by copy, connectors last."""
    graph, nodes, edges = network.graph, network.graph.num_nodes, network.graph.num_edges
    by_head = np.argsort(graph.head, kind="stable")
    connector = first_connector + np.arange(len(ends))
    into = _ragged(np.searchsorted(graph.head[by_head], np.arange(nodes + 1)), ends[:, 0] % nodes)
    out = _ragged(graph.first_out, ends[:, 1] % nodes)
    onto = np.column_stack([by_head[into[1]] + (ends[into[0], 0] // nodes) * edges, connector[into[0]]])
    off = np.column_stack([connector[out[0]], out[1] + (ends[out[0], 1] // nodes) * edges])
    return onto.astype(np.int64), off.astype(np.int64)


def _ragged(first: Ints | Ids, groups: Ids) -> tuple[Ids, Ids]:
    """(row of ``groups``, member) for every member ``first[g] .. first[g+1]`` of each of the groups."""
    sizes = (first[groups + 1] - first[groups]).astype(np.int64)
    row = np.repeat(np.arange(len(groups)), sizes)
    within = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return row, first[groups][row] + within
