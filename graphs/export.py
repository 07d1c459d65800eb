"""Out of arrays: a networkx graph as osmnx makes it, its edges as a GeoDataFrame, routes as lists of its nodes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import InvalidValueError
from ..core.types import Floats, Ints
from .road_graph import Categories, RoadNetwork, ragged_rows

if TYPE_CHECKING:
    import geopandas
    import networkx as nx


def to_networkx(
    network: RoadNetwork, cost: Floats | None = None, *, columns: Mapping[str, Floats] | None = None
) -> nx.MultiDiGraph[int]:
    """The road graph as an osmnx-compatible ``MultiDiGraph``.

    Parameters
    ----------
    network
        Needs coordinates.
    cost
        float64[E] or None; becomes the edge attribute ``cost``, for ``weight="cost"``.
    columns
        Further such columns by name, as ``{"learned_cost": model.edge_cost}``.

    Returns
    -------
    networkx.MultiDiGraph
        Nodes are source ids with ``x`` and ``y`` in degrees; edges have ``osmid``, ``edge_id``, ``length``, ``oneway``,
        ``geometry`` where they bend, and ``highway``, ``name``, ``lanes``, ``surface``, ``access``, ``toll``,
        ``bridge``, ``tunnel``, ``speed_kph``, ``travel_time`` as far as known. Parallel edges are numbered in order of
        their position. ``graph["crs"]`` is EPSG:4326. Turn bans do not fit into such a graph and are lost.

        Of a network that was read from a networkx graph, nodes, keys, geometry and attributes are that graph's own,
        but for ``edge_id`` and the columns, which are added.

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
    added = dict(columns or {}) | ({} if cost is None else {"cost": cost})
    for name, values in added.items():
        _check_cost(network, values, name)
    graph: nx.MultiDiGraph[int] = nx.MultiDiGraph(**_graph_attributes(network))
    ids, node_tags = network.graph.node_id.tolist(), network.graph.node_tags
    for row, (node, y, x) in enumerate(zip(ids, latitude.tolist(), longitude.tolist(), strict=True)):
        tags = {} if node_tags is None else json.loads(node_tags.text(row))
        graph.add_node(node, **{**tags, "y": y, "x": x})
    rows = _edges(network) if network.attributes.source_tags is None else _source_edges(network)
    extra = {name: values.tolist() for name, values in added.items()}
    for edge, key, attributes in rows:
        attributes |= {name: values[edge] for name, values in extra.items()}
        tail, head = network.graph.tail[edge], network.graph.head[edge]
        graph.add_edge(ids[tail], ids[head], key, **attributes)
    return graph


def _graph_attributes(network: RoadNetwork) -> dict[str, Any]:
    own = network.report.get("graph_attributes", {}) if network.attributes.source_tags is not None else {}
    return {"created_with": "trodden", "simplified": True, **own, "crs": "epsg:4326"}


def to_geodataframe(network: RoadNetwork, columns: Mapping[str, Floats] | None = None) -> geopandas.GeoDataFrame:
    """The edges as a GeoDataFrame, as ``osmnx.graph_to_gdfs`` makes it of `to_networkx`.

    Parameters
    ----------
    network
        Needs coordinates.
    columns
        float64[E] each, added under their names.

    Returns
    -------
    geopandas.GeoDataFrame
        Index (u, v, key), a line for every edge, EPSG:4326; ``.plot("learned_cost")`` and ``.explore("learned_cost")``
        draw it.

    Raises
    ------
    MissingDataError, InvalidValueError
        As for `to_networkx`.
    """
    import osmnx

    return osmnx.graph_to_gdfs(to_networkx(network, columns=columns), nodes=False)


def nodes_geodataframe(network: RoadNetwork) -> geopandas.GeoDataFrame:
    """The nodes as a GeoDataFrame of points, index ``osmid``; `MissingDataError` without coordinates."""
    import osmnx

    return osmnx.graph_to_gdfs(to_networkx(network), edges=False)


def save_graphml(graph: nx.MultiDiGraph[int], path: str | Path) -> None:
    """Write a graph as ``osmnx.load_graphml`` reads it."""
    import osmnx

    osmnx.save_graphml(graph, Path(path))


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


def _check_cost(network: RoadNetwork, cost: Floats, column: str) -> None:
    if cost.shape != (network.graph.num_edges,):
        raise InvalidValueError(
            column=column, row=0, row_name="its shape", value=float(len(cost)), expected="one number per edge"
        )
    wrong = np.flatnonzero(np.isnan(cost))
    if len(wrong):
        row = int(wrong[0])
        name = f"edge {network.graph.edge_id[row]}"
        raise InvalidValueError(column=column, row=row, row_name=name, value=float(cost[row]), expected="a number")


def _source_edges(network: RoadNetwork) -> Iterator[tuple[int, Any, dict[str, Any]]]:
    """(edge, key, attributes) as the networkx graph had them that the network was read from."""
    tags = network.attributes.source_tags
    lines = _lines(network, min_points=2)
    for edge, edge_id in enumerate(network.graph.edge_id.tolist()):
        if tags is None or edge in network.original_edge:
            continue
        key, has_geometry, attributes = json.loads(tags.text(edge))
        geometry = {"geometry": lines[edge]} if has_geometry else {}
        yield edge, key, {**attributes, "edge_id": edge_id, **geometry}


def _edges(network: RoadNetwork) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(edge, key, attributes) from the columns."""
    columns = _plain_columns(network)
    lines, ways, both_ways = _lines(network), _ways(network), _has_opposite(network)
    tails, heads = network.graph.tail.tolist(), network.graph.head.tolist()
    count: Counter[tuple[int, int]] = Counter()
    for edge, (tail, head) in enumerate(zip(tails, heads, strict=True)):
        if edge in network.original_edge:
            continue
        attributes: dict[str, Any] = {name: values[edge] for name, values in columns.items() if values[edge] != ""}
        attributes |= {"osmid": ways[edge], "oneway": not both_ways[edge]}
        if lines[edge] is not None:
            attributes["geometry"] = lines[edge]
        yield edge, count[tail, head], attributes
        count[tail, head] += 1


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
    for name, is_one in (
        ("toll", attributes.is_toll),
        ("bridge", attributes.is_bridge),
        ("tunnel", attributes.is_tunnel),
    ):
        if is_one is not None:
            columns[name] = ["yes" if one else "" for one in is_one.tolist()]
    for name, texts in (
        ("highway", attributes.road_class),
        ("name", attributes.name),
        ("surface", attributes.surface),
        ("access", attributes.access),
    ):
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


def _lines(network: RoadNetwork, min_points: int = 3) -> list[Any]:
    """A shapely line for every edge with points between its ends (or as many as are asked for), else None."""
    result: list[Any] = [None] * network.graph.num_edges
    if network.shapes is None:
        return result
    import shapely

    first = np.asarray(network.shapes.first_point)
    bent = np.flatnonzero(np.diff(first) >= min_points).astype(np.int32)
    points, offsets = ragged_rows(first, bent)
    degrees = np.stack([network.shapes.longitude_e7[points], network.shapes.latitude_e7[points]], axis=1) / 1e7
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
