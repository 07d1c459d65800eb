"""Out of arrays: a networkx graph as osmnx makes it, and routes as lists of its nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import InvalidValueError
from ..core.types import Floats, Ints
from .road_graph import Categories, RoadNetwork, ragged_rows

if TYPE_CHECKING:
    import networkx as nx


def to_networkx(network: RoadNetwork, cost: Floats | None = None) -> nx.MultiDiGraph[int]:
    """The road graph as an osmnx-compatible ``MultiDiGraph``.

    Parameters
    ----------
    network
        Needs coordinates.
    cost
        float64[E] or None; becomes the edge attribute ``cost``, for ``weight="cost"``.

    Returns
    -------
    networkx.MultiDiGraph
        Nodes are source ids with ``x`` and ``y`` in degrees; edges have ``osmid``, ``edge_id``, ``length``, ``oneway``,
        ``geometry`` where they bend, and ``highway``, ``name``, ``lanes``, ``speed_kph``, ``travel_time`` as far as
        known. Parallel edges are numbered in order of their position. ``graph["crs"]`` is EPSG:4326. Turn bans do not
        fit into such a graph and are lost.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    InvalidValueError
        A cost that is not a number; names its edge.

    Notes
    -----
    About 900 bytes and some microseconds per edge: meant for looking and comparing, not for large maps.
    """
    import networkx as nx

    latitude, longitude = network.graph.require_coordinates("a networkx graph")
    if cost is not None:
        _check_cost(network, cost)
    graph: nx.MultiDiGraph[int] = nx.MultiDiGraph(crs="epsg:4326", created_with="trodden", simplified=True)
    ids = network.graph.node_id.tolist()
    for node, y, x in zip(ids, latitude.tolist(), longitude.tolist(), strict=True):
        graph.add_node(node, y=y, x=x)
    for tail, head, attributes in _edges(network, cost):
        graph.add_edge(ids[tail], ids[head], **attributes)
    return graph


def route_nodes(network: RoadNetwork, edges: Ints | Sequence[int]) -> list[int]:
    """The nodes of `to_networkx` along a route of edge positions, as ``osmnx.plot_graph_route`` takes them.

    An empty route gives an empty list. O(n).
    """
    positions = np.asarray(edges, np.int64)
    if len(positions) == 0:
        return []
    graph = network.graph
    nodes = np.concatenate([graph.tail[positions], graph.head[positions[-1:]]])
    return [int(node) for node in graph.node_id[nodes]]


def _check_cost(network: RoadNetwork, cost: Floats) -> None:
    if cost.shape != (network.graph.num_edges,):
        raise InvalidValueError(
            column="cost", row=0, row_name="its shape", value=float(len(cost)), expected="one number per edge"
        )
    wrong = np.flatnonzero(np.isnan(cost))
    if len(wrong):
        row = int(wrong[0])
        name = f"edge {network.graph.edge_id[row]}"
        raise InvalidValueError(column="cost", row=row, row_name=name, value=float(cost[row]), expected="a number")


def _edges(network: RoadNetwork, cost: Floats | None) -> Iterator[tuple[int, int, dict[str, Any]]]:
    columns = _plain_columns(network)
    if cost is not None:
        columns["cost"] = cost.tolist()
    lines, ways, both_ways = _lines(network), _ways(network), _has_opposite(network)
    tails, heads = network.graph.tail.tolist(), network.graph.head.tolist()
    for edge, (tail, head) in enumerate(zip(tails, heads, strict=True)):
        if edge in network.original_edge:
            continue
        attributes: dict[str, Any] = {name: values[edge] for name, values in columns.items() if values[edge] != ""}
        attributes |= {"osmid": ways[edge], "oneway": not both_ways[edge]}
        if lines[edge] is not None:
            attributes["geometry"] = lines[edge]
        yield tail, head, attributes


def _plain_columns(network: RoadNetwork) -> dict[str, list[Any]]:
    attributes = network.attributes
    columns: dict[str, list[Any]] = {"edge_id": network.graph.edge_id.tolist()}
    for name, numbers in (
        ("length", attributes.length_m),
        ("speed_kph", attributes.speed_kmh),
        ("travel_time", attributes.travel_time_s),
    ):
        if numbers is not None:
            columns[name] = numbers.astype(np.float64).tolist()
    if attributes.lanes is not None:
        columns["lanes"] = [str(count) if count else "" for count in attributes.lanes.tolist()]
    for name, texts in (("highway", attributes.road_class), ("name", attributes.name), ("access", attributes.access)):
        if texts is not None:
            columns[name] = _texts(texts)
    return columns


def _texts(column: Categories) -> list[str]:
    return [column.levels[code] for code in column.codes.tolist()]


def _ways(network: RoadNetwork) -> list[int | list[int]]:
    """OSM way ids as osmnx has them: a number, or a list where several were joined; edge ids for other sources."""
    if network.shapes is None:
        return list(network.graph.edge_id.tolist())
    first, ways = network.shapes.first_way.tolist(), network.shapes.osm_way.tolist()
    return [ways[begin] if end - begin == 1 else ways[begin:end] for begin, end in pairwise(first)]


def _lines(network: RoadNetwork) -> list[Any]:
    """A shapely line for every edge with points between its ends, else None."""
    result: list[Any] = [None] * network.graph.num_edges
    if network.shapes is None:
        return result
    import shapely

    first = np.asarray(network.shapes.first_point)
    bent = np.flatnonzero(np.diff(first) > 2).astype(np.int32)
    points, offsets = ragged_rows(first, bent)
    degrees = np.stack([network.shapes.longitude_e7[points], network.shapes.latitude_e7[points]], axis=1) * 1e-7
    lines: Any = shapely.linestrings(degrees, indices=np.repeat(np.arange(len(bent)), np.diff(offsets)))
    for edge, line in zip(bent.tolist(), lines, strict=True):
        result[edge] = line
    return result


def _has_opposite(network: RoadNetwork) -> list[bool]:
    """Whether some edge runs backwards between the same two nodes."""
    graph = network.graph
    ahead = graph.tail.astype(np.int64) * graph.num_nodes + graph.head
    back = graph.head.astype(np.int64) * graph.num_nodes + graph.tail
    return list(np.isin(back, ahead).tolist())
