"""A networkx graph, as osmnx makes it, into a `RoadNetwork`; `trodden.graphs.export.to_networkx` is the way back.

Edges end where that graph's edges end. Nodes keep their ids; points within an edge have no OSM id there, and carry
negative numbers that follow from where they lie, so that both directions of a road have the same. Attributes that mean
something here (below) become columns. All of them, and those of the nodes and of the graph, are kept as JSON texts,
from which the way back restores them; what is no JSON is left out and counted.

=====================  ================================================================================================
``length``             metres, 0.1 at least; where missing, along the geometry
``speed_kph``          else ``maxspeed`` (km/h, mph; the mean of several), else as for an extract by class or mode
``travel_time``        seconds; where missing, length over speed
``osmid``, ``highway`` OSM way and class, of several the first; so ``name``, ``surface``, ``access``
``lanes``              the first number; ``toll``, ``bridge``, ``tunnel``: whether any value is more than ``no``
``edge_id``            kept where every edge has its own, as in a graph that `to_networkx` made
=====================  ================================================================================================

Such a graph says nothing of turn restrictions: every move is allowed, and the report says so.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import EmptyNetworkError, InputFileError, InvalidValueError, MissingDataError
from ..core.types import Floats, Ids, Ints
from .attributes import categories, class_speeds, impute_speeds, parse_lanes, parse_speed_kmh
from .geometry import great_circle_m, space_filling_order
from .json_values import plain, plain_only
from .modes import Mode, ModeRules, rules_of
from .moves import UTurns
from .restrictions import build_turns
from .road_graph import Categories, EdgeAttributes, EdgeShapes, RoadGraph, RoadNetwork
from .segments import SHORTEST_M
from .stable_ids import mix64, stable_ids
from .store import make_network

if TYPE_CHECKING:
    import networkx as nx

_DEGREES = frozenset({"epsg:4326", "4326", "ogc:crs84", "wgs84", "wgs 84", "urn:ogc:def:crs:epsg::4326"})
_LONGEST_M = 4.1e7
"""Once around the earth."""
_NO = frozenset({"no", "false", "0", "", "None"})
_TEXTS = ("highway", "surface", "access", "name")
_FLAGS = ("toll", "bridge", "tunnel")


@dataclass(eq=False)
class _Edges:
    """What is gathered of the edges, a row each."""

    tail: list[int] = field(default_factory=list)
    head: list[int] = field(default_factory=list)
    key: list[Any] = field(default_factory=list)
    way: list[int] = field(default_factory=list)
    edge_id: list[int | None] = field(default_factory=list)
    lines: list[Floats] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(
        default_factory=lambda: {name: [] for name in ("length", "speed", "time", "lanes", *_TEXTS, *_FLAGS)}
    )
    given: set[str] = field(default_factory=set)
    """Names of attributes that some edge has."""
    left_out: Counter[str] = field(default_factory=Counter)


def read_networkx(
    graph: nx.MultiDiGraph[Any],
    *,
    mode: Mode = "drive",
    u_turns: UTurns = "dead_ends",
    class_speeds_kmh: Mapping[str, float] | None = None,
    source: str = "networkx graph",
) -> RoadNetwork:
    """Roads from a directed networkx graph as osmnx makes it.

    Parameters
    ----------
    graph
        ``DiGraph`` or ``MultiDiGraph``; nodes are integers with ``x`` and ``y`` in degrees (EPSG:4326), edges may have
        a shapely ``geometry`` from their tail to their head.
    mode
        What the graph holds; decides speeds that the graph does not give.
    class_speeds_kmh
        See `trodden.graphs.reading.read_roads`.
    source
        What the report calls it.

    Raises
    ------
    InputFileError
        Undirected, projected, a node that is no integer, a geometry that is no line or runs elsewhere.
    MissingDataError
        A node has no coordinates.
    InvalidValueError
        A coordinate, length, speed or time that is no number in its range; names the node or edge.
    EmptyNetworkError
        No edge, or no move from one to another.

    Notes
    -----
    Some 20 microseconds per edge. Coordinates within edges are kept to 1e-7 degrees, as OSM has them.
    """
    _check_kind(graph, source)
    ids, latitude, longitude, node_tags, left_out = _nodes(graph, source)
    order = space_filling_order(_e7(latitude), _e7(longitude), ids).astype(np.int32)
    ids, latitude, longitude = ids[order], latitude[order], longitude[order]
    place = {node: at for at, node in enumerate(ids.tolist())}
    edges = _gather(graph, place, latitude, longitude, rules_of(mode), source)
    if not edges.tail:
        raise EmptyNetworkError(path=source, problem="has no edge", remedy="Give a graph with roads")
    edge_id = _edge_ids(edges, ids)
    tail, head = np.array(edges.tail, np.int32), np.array(edges.head, np.int32)
    by_tail = np.lexsort((edge_id, head, tail)).astype(np.int32)
    tags = None if node_tags is None else node_tags.take(order)
    made = RoadGraph(tail[by_tail], head[by_tail], edge_id[by_tail], ids, latitude, longitude, tags)
    attributes, speeds = _attributes(edges, rules_of(mode), class_speeds_kmh)
    attributes, shapes = attributes.take(by_tail), _shapes(edges, ids).take(by_tail)
    turns, tally = build_turns(made, shapes, u_turns=u_turns)
    if turns.num_turns == 0:
        raise EmptyNetworkError(path=source, problem="has no move from one edge to another", remedy="Give a larger one")
    report: dict[str, Any] = {
        "source": source,
        "kind": "networkx graph",
        "mode": mode,
        "restrictions": "none: such a graph has no turn restrictions",
        **speeds,
        "attributes_left_out": dict((edges.left_out + left_out).most_common()),
        "turns": {name: count for name, count in tally.items() if name not in {"used", "without_effect"}},
        "graph_attributes": plain_only(graph.graph, Counter()),
    }
    return make_network(made, attributes, turns, shapes, report)


def _check_kind(graph: Any, source: str) -> None:
    if not graph.is_directed():
        raise InputFileError(
            path=source, problem="is an undirected graph", remedy="Give a directed one: osmnx.convert.to_digraph"
        )
    crs = graph.graph.get("crs", "epsg:4326")
    code = crs.to_epsg() if hasattr(crs, "to_epsg") else str(crs).strip().lower()
    if code != 4326 and code not in _DEGREES:
        raise InputFileError(
            path=source,
            problem=f"has coordinates of {crs}, not in degrees",
            remedy="Bring it to degrees: osmnx.projection.project_graph(graph, to_latlong=True)",
        )


# ---------------------------------------------------------------------------------------------------------- nodes


def _nodes(graph: Any, source: str) -> tuple[Ids, Floats, Floats, Categories | None, Counter[str]]:
    ids, places, texts = [], [], []
    left_out: Counter[str] = Counter()
    for node, data in graph.nodes(data=True):
        if isinstance(node, bool) or not isinstance(node, int | np.integer) or not -(2**63) <= int(node) < 2**63:
            raise InputFileError(
                path=source,
                problem=f"has a node {node!r}, which is no 64-bit integer",
                remedy="Number the nodes: networkx.convert_node_labels_to_integers",
            )
        places.append([_coordinate(node, data, name, limit) for name, limit in (("y", 90.0), ("x", 180.0))])
        ids.append(int(node))
        rest = {name: value for name, value in data.items() if name not in {"x", "y"}}
        texts.append(json.dumps(plain_only(rest, left_out), sort_keys=True))
    if not ids:
        raise EmptyNetworkError(path=source, problem="has no node", remedy="Give a graph with roads")
    table = np.array(places)
    tags = categories(texts) if any(text != "{}" for text in texts) else None
    return np.array(ids, np.int64), table[:, 0], table[:, 1], tags, left_out


def _coordinate(node: Any, data: Mapping[str, Any], name: str, limit: float) -> float:
    if name not in data:
        raise MissingDataError(
            needs=f"the coordinate {name} of node {node}", because="roads have places", remedy="give every node x and y"
        )
    return _number(data[name], name, f"node {node}", -limit, limit)


def _number(value: Any, name: str, row_name: str, low: float, high: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not low <= number <= high:
        expected = f"a number from {low:g} to {high:g}" if math.isfinite(high) else f"a number of at least {low:g}"
        raise InvalidValueError(column=name, row=0, row_name=row_name, value=number, expected=expected)
    return number


# ---------------------------------------------------------------------------------------------------------- edges


def _gather(
    graph: Any, place: Mapping[int, int], latitude: Floats, longitude: Floats, rules: ModeRules, source: str
) -> _Edges:
    found = _Edges()
    for tail, head, key, data in _keyed_edges(graph):
        name = f"edge ({tail}, {head}, {key})"
        if not isinstance(key, int | str | np.integer):
            raise InputFileError(
                path=source, problem=f"{name} has a key that is no integer or text", remedy="Number parallel edges"
            )
        at, to = place[int(tail)], place[int(head)]
        ends = np.array([[latitude[at], longitude[at]], [latitude[to], longitude[to]]])
        line = _line(data.get("geometry"), ends, name, source)
        found.tail.append(at)
        found.head.append(to)
        found.key.append(key)
        found.lines.append(line)
        way = _first(data.get("osmid"))
        found.way.append(_id_or(way, -1))
        own = _id_or(data.get("edge_id"), -1)
        found.edge_id.append(own if 0 <= own < 2**53 else None)
        for column, value in _row(data, line, rules, name):
            found.columns[column].append(value)
        rest = {one: value for one, value in data.items() if one not in {"geometry", "edge_id"}}
        found.given.update(rest)
        texts = plain_only(rest, found.left_out)
        found.tags.append(json.dumps([plain(key), "geometry" in data, texts], sort_keys=True))
    return found


def _keyed_edges(graph: Any) -> Iterator[tuple[Any, Any, Any, dict[str, Any]]]:
    if graph.is_multigraph():
        yield from graph.edges(keys=True, data=True)
    else:
        yield from ((tail, head, 0, data) for tail, head, data in graph.edges(data=True))


def _line(geometry: Any, ends: Floats, name: str, source: str) -> Floats:
    """float64[P, 2] of (latitude, longitude) from tail to head."""
    if geometry is None:
        return ends
    kind = getattr(geometry, "geom_type", type(geometry).__name__)
    if kind != "LineString" or geometry.is_empty:
        raise InputFileError(
            path=source,
            problem=f"{name} has a geometry that is no line ({kind})",
            remedy="Give LineStrings, or leave geometry out of straight edges",
        )
    line = np.array(geometry.coords, np.float64)[:, 1::-1]
    if not np.isfinite(line).all() or np.abs(line[:, 0]).max() > 90 or np.abs(line[:, 1]).max() > 180:
        raise InputFileError(
            path=source, problem=f"{name} has a geometry outside the globe", remedy="Give degrees, EPSG:4326"
        )
    if np.abs(line[[0, -1]] - ends).max() > 1e-6:
        raise InputFileError(
            path=source,
            problem=f"{name} has a geometry that does not run from its tail to its head",
            remedy="Turn it round, or give its nodes the coordinates of its ends",
        )
    line[[0, -1]] = ends
    return line


def _row(data: Mapping[str, Any], line: Floats, rules: ModeRules, name: str) -> Iterator[tuple[str, Any]]:
    if data.get("length") is not None:
        length = _number(data["length"], "length", name, 0.0, _LONGEST_M)
    else:
        length = float(great_circle_m(line[:-1, 0], line[:-1, 1], line[1:, 0], line[1:, 1]).sum())
    yield "length", max(length, SHORTEST_M) if math.isfinite(length) else _number(math.nan, "length", name, 0, math.inf)
    yield "speed", _speed(data, rules, name)
    time = data.get("travel_time")
    yield "time", math.nan if time is None else _number(time, "travel_time", name, 1e-6, 1e9)
    yield "lanes", parse_lanes(str(_first(data.get("lanes"), "")))
    for key in _TEXTS:
        yield key, str(_first(data.get(key), ""))
    for key in _FLAGS:
        value = data.get(key)
        yield key, any(str(one) not in _NO for one in (value if isinstance(value, list) else [value]))


def _speed(data: Mapping[str, Any], rules: ModeRules, name: str) -> float:
    if data.get("speed_kph") is not None:
        return _number(data["speed_kph"], "speed_kph", name, 1e-3, 1e4)
    tags = {key: str(_first(value, "")) for key, value in data.items() if isinstance(value, str | list)}
    by_rule = rules.speed_kmh(tags)
    if by_rule is not None:
        return by_rule[0]
    limit = data.get("maxspeed")
    text = ";".join(map(str, limit)) if isinstance(limit, list) else str(limit)
    return math.nan if limit is None else (parse_speed_kmh(text) or math.nan)


def _first(value: Any, default: Any = None) -> Any:
    """The value, or the first of a list of them."""
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    return default if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _id_or(value: Any, default: int) -> int:
    return int(value) if _is_id(value) else default


def _is_id(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and -(2**63) <= int(value) < 2**63


# ------------------------------------------------------------------------------------------------- into arrays


def _edge_ids(edges: _Edges, ids: Ids) -> Ids:
    """Those of the graph where every edge has its own, else hashes of way, ends and place among parallel edges."""
    if None not in edges.edge_id and len(set(edges.edge_id)) == len(edges.edge_id):
        return np.array(edges.edge_id, np.int64)
    tail, head = ids[np.array(edges.tail)], ids[np.array(edges.head)]
    keys = np.array([key if _is_id(key) else sum(str(key).encode()) for key in edges.key], np.int64)
    found, _ = stable_ids(np.array(edges.way, np.int64), tail, head, keys)
    return found


def _attributes(
    edges: _Edges, rules: ModeRules, given: Mapping[str, float] | None
) -> tuple[EdgeAttributes, dict[str, Any]]:
    columns = edges.columns
    road_class = categories(columns["highway"])
    length = np.array(columns["length"])
    tagged = np.array(columns["speed"], np.float64)
    speed, counts = impute_speeds(tagged, road_class, given)
    time = np.array(columns["time"], np.float64)
    time = np.where(np.isnan(time), length / speed.astype(np.float64) * 3.6, time)
    flags = {name: np.array(columns[name], bool) if name in edges.given else None for name in _FLAGS}
    texts = {name: categories(columns[name]) if name in edges.given else None for name in _TEXTS}
    attributes = EdgeAttributes(
        length_m=length.astype(np.float32),
        speed_kmh=speed,
        travel_time_s=time.astype(np.float32),
        road_class=texts["highway"],
        lanes=np.array(columns["lanes"], np.uint8) if "lanes" in edges.given else None,
        is_toll=flags["toll"],
        is_bridge=flags["bridge"],
        is_tunnel=flags["tunnel"],
        surface=texts["surface"],
        access=texts["access"],
        name=texts["name"],
        source_tags=categories(edges.tags),
    )
    if rules.all_speeds_by_rule:
        return attributes, {}
    known = {level: kmh for level, kmh in (given or {}).items() if level in road_class.levels}
    return attributes, {"speeds": counts, "class_speeds_kmh": class_speeds(tagged, road_class) | known}


def _shapes(edges: _Edges, ids: Ids) -> EdgeShapes:
    counts = np.array([len(line) for line in edges.lines], np.int64)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    points = _e7(np.concatenate(edges.lines))
    node = _point_ids(points)
    node[first[:-1]], node[first[1:] - 1] = ids[np.array(edges.tail)], ids[np.array(edges.head)]
    first_way = np.arange(len(counts) + 1, dtype=np.int64)
    return EdgeShapes(first, node, points[:, 0], points[:, 1], first_way, np.array(edges.way, np.int64))


def _e7(degrees: Floats) -> Ints:
    return np.round(degrees * 1e7).astype(np.int32)


def _point_ids(points: Ints) -> Ids:
    """Negative numbers, equal where the points are: a hash of the coordinates."""
    packed = (points[:, 0].astype(np.int64) << 32) ^ (points[:, 1].astype(np.int64) & 0xFFFFFFFF)
    return -1 - (mix64(packed.astype(np.uint64)) >> np.uint64(12)).astype(np.int64)
