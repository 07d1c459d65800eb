"""What was read, compared with what a naive reader finds in the same bytes: a sentence where it must not be so.

A naive reader is the standard library's csv, json, tomllib, gzip or ElementTree and plain Python; it refuses what is
damaged. Where it refuses an input that trodden read, or finds other values in it, that is a silent fault.
"""

from __future__ import annotations

import bz2
import csv
import io
import json
import math
import re
import tomllib
import zlib
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
from _fuzz_containers import read_blocks, table_of
from _fuzz_mutations import Files
from trodden.core.config import Config
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.model import LearnedModel
from trodden.irl.trace_cleaning import Cleaned
from trodden.irl.traces import Traces

Complaint = str | None


# ---------------------------------------------------------------------------------------------------------- networks


def check_network(network: RoadNetwork) -> Complaint:
    """What must hold in every network, wherever it came from."""
    graph, turns, attributes = network.graph, network.turns, network.attributes
    num_edges, num_nodes, num_turns = graph.num_edges, graph.num_nodes, turns.num_turns
    for name, column, size, low, high in (
        ("tail", graph.tail, num_edges, 0, num_nodes),
        ("head", graph.head, num_edges, 0, num_nodes),
        ("first_out", turns.first_out, num_edges + 1, 0, num_turns + 1),
        ("to_edge", turns.to_edge, num_turns, 0, num_edges),
    ):
        if column.dtype != np.int32 or column.shape != (size,):
            return f"{name} is {column.dtype} {column.shape}"
        if len(column) and not (column.min() >= low and column.max() < high):
            return f"{name} holds positions that are none"
    if (np.diff(turns.first_out) < 0).any() or turns.first_out[0] != 0 or turns.first_out[-1] != num_turns:
        return "first_out does not rise from 0 to the number of turns"
    if (graph.head[turns.from_edge] != graph.tail[turns.to_edge]).any():
        return "a turn whose edges do not meet"
    if len(np.unique(turns.from_edge.astype(np.int64) * num_edges + turns.to_edge)) < num_turns:
        return "a turn stands twice"
    for name in ("length_m", "speed_kmh", "travel_time_s"):
        values = getattr(attributes, name)
        if values is not None and not (
            values.shape == (num_edges,) and (values > 0).all() and np.isfinite(values).all()
        ):
            return f"{name} is not positive and finite everywhere"
    for name, limit in (("latitude_deg", 90), ("longitude_deg", 180)):
        values = getattr(graph, name)
        if values is not None and not (values.shape == (num_nodes,) and (np.abs(values) <= limit).all()):
            return f"{name} is out of range"
    for name, extra, size in (("attributes", attributes.extra, num_edges), ("turns", turns.extra, num_turns)):
        for key, values in extra.items():
            if values.shape != (size,):
                return f"column {key} of {name} is as long as {values.shape}"
    return None


def check_model(files: Files, model: LearnedModel) -> Complaint:
    """Costs that fit the network, positive and finite."""
    num_turns, num_edges = model.network.turns.num_turns, model.network.graph.num_edges
    named = {"turn_cost": model.turn_cost, **model.baseline_costs}
    for name, cost, size in (
        *((n, c, num_turns) for n, c in named.items()),
        ("entry_cost", model.entry_cost, num_edges),
    ):
        if cost.shape != (size,) or not (np.isfinite(cost).all() and (cost > 0).all()):
            return f"{name} is not positive and finite everywhere"
    return check_network(model.network)


# ---------------------------------------------------------------------------------------------------------------- OSM


def check_osm(files: Files, network: RoadNetwork) -> Complaint:
    """Well-formed to the end; every node where the file says, every edge along a way of it, ways and nodes counted."""
    ((name, content),) = files.items()
    try:
        root = ElementTree.fromstring(_unpacked(name, content))
    except (ElementTree.ParseError, OSError, EOFError, ValueError, LookupError, zlib.error) as error:
        return f"read although it is damaged ({error})"
    nodes: dict[int, tuple[float, float]] = {}
    for one in root.iter("node"):
        if one.get("visible") != "false":
            place = (_float(one.get("lat")), _float(one.get("lon")))
            nodes.setdefault(_int(one.get("id")), place)
    ways = {_int(one.get("id")): one for one in reversed(list(root.iter("way")))}
    highways = [one for one in root.iter("way") if any(tag.get("k") == "highway" for tag in one.findall("tag"))]
    told = network.report["ways"]["with_highway_tag"] + network.report["ways"].get("invisible", 0)
    if told != len(highways):
        return f"{told} ways counted of {len(highways)}"
    return _nodes_differ(network, nodes, ways) or check_network(network)


def check_graphml(files: Files, network: RoadNetwork) -> Complaint:
    """Well-formed, without entities; every node where the file says, every edge of it there, as long as it says."""
    ((_, content),) = files.items()
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        return f"read although it is damaged ({error})"
    if b"<!ENTITY" in content:
        return "read although it has entities"
    names = {one.get("id"): one.get("attr.name") for one in root.iter() if _tag(one) == "key"}

    def values(element: Any, name: str) -> list[float]:
        inside = (one for one in element if _tag(one) == "data" and names.get(one.get("key")) == name)
        return [_float((one.text or "").strip()) for one in inside]

    places: dict[int, list[tuple[float, float]]] = {}
    edges: dict[tuple[int, int], list[list[float]]] = {}
    distinct = set()
    for one in root.iter():
        if _tag(one) == "node":
            both = [(y, x) for y in values(one, "y") for x in values(one, "x")]
            places.setdefault(_int(one.get("id")), []).extend(both)
        if _tag(one) == "edge":
            ends = _int(one.get("source")), _int(one.get("target"))
            distinct.add((*ends, one.get("id")))
            edges.setdefault(ends, []).append(values(one, "length"))
    graph = network.graph
    if len(distinct) != graph.num_edges:
        return f"{graph.num_edges} edges read of {len(distinct)}"
    assert graph.latitude_deg is not None
    assert graph.longitude_deg is not None
    for node, latitude, longitude in zip(graph.node_id, graph.latitude_deg, graph.longitude_deg, strict=True):
        if (latitude, longitude) not in places.get(int(node), []):
            return f"node {node} is at {latitude}, {longitude}; the file says {places.get(int(node))}"
    lengths = network.edge_length_m()
    for tail, head, length in zip(graph.node_id[graph.tail], graph.node_id[graph.head], lengths, strict=True):
        told = edges.get((int(tail), int(head)))
        if told is None:
            return f"no edge leads from {tail} to {head}"
        # None may be shorter than 10 cm.
        near = [not one or any(abs(max(v, 0.1) - length) <= 1e-5 * abs(v) + 1e-2 for v in one) for one in told]
        if not any(near):
            return f"the edge from {tail} to {head} is {length} long; the file says {told}"
    return check_network(network)


def _tag(element: Any) -> str:
    return str(element.tag).rsplit("}", 1)[-1]


def _unpacked(name: str, content: bytes) -> bytes:
    """To the end of the packed data; what stands after it is none of it."""
    if name.endswith(".gz"):
        unpacker: Any = zlib.decompressobj(wbits=31)
        data, rest = unpacker.decompress(content), b""
        while unpacker.eof and unpacker.unused_data.startswith(b"\x1f\x8b"):
            rest = unpacker.unused_data
            unpacker = zlib.decompressobj(wbits=31)
            data += unpacker.decompress(rest)
    elif name.endswith(".bz2"):
        unpacker = bz2.BZ2Decompressor()
        data = unpacker.decompress(content)
    else:
        return content
    if not unpacker.eof:
        raise EOFError("packed data cut short")
    return bytes(data)


def _nodes_differ(network: RoadNetwork, nodes: dict[int, tuple[float, float]], ways: dict[int, Any]) -> Complaint:
    graph, shapes = network.graph, network.shapes
    assert graph.latitude_deg is not None
    assert graph.longitude_deg is not None
    assert shapes is not None
    for node, latitude, longitude in zip(graph.node_id, graph.latitude_deg, graph.longitude_deg, strict=True):
        naive = nodes.get(int(node), (math.nan, math.nan))
        if not (abs(naive[0] - latitude) < 1.01e-7 and abs(naive[1] - longitude) < 1.01e-7):
            return f"node {node} is at {latitude}, {longitude}; the file says {naive}"
    refs: set[int] = set()
    for way in np.unique(shapes.osm_way).tolist():
        if way not in ways:
            return f"way {way} is not in the file"
        refs |= {_int(nd.get("ref")) for nd in ways[way].findall("nd")}
    lost = [ref for ref in refs if not _is_place(*nodes.get(ref, (math.nan, math.nan)))]
    counts = network.report["nodes"]
    if lost and not counts["missing"] + counts["position_out_of_range"]:
        return f"nodes {lost} are missing and not counted"
    return None


def check_pbf(files: Files, network: RoadNetwork) -> Complaint:
    """Every block whole, packed well and of the size that it says."""
    (content,) = files.values()
    try:
        blocks = read_blocks(content)
    except (ValueError, IndexError, KeyError, TypeError, zlib.error) as error:
        return f"read although it is damaged ({error})"
    if [kind for kind, _ in blocks[:1]] != [b"OSMHeader"] or any(kind != b"OSMData" for kind, _ in blocks[1:]):
        return f"blocks {[kind for kind, _ in blocks]}"
    return check_network(network)


def _is_place(latitude: float, longitude: float) -> bool:
    return abs(latitude) <= 90 and abs(longitude) <= 180


_PLAIN = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def _float(text: Any) -> float:
    """A number as every reader writes it, or NaN."""
    return float(text) if isinstance(text, str) and _PLAIN.fullmatch(text.strip()) else math.nan


def _int(text: Any) -> int:
    try:
        return int(text)
    except (TypeError, ValueError):
        return -(10**30)


# ------------------------------------------------------------------------------------------------------------- tables


class NotATableError(Exception):
    """A naive reader cannot make sense of it."""


def rows_of(content: bytes, delimiters: str = ",") -> tuple[list[str], list[list[str]]]:
    """(header, rows) by the standard library; blank lines are none."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotATableError(str(error)) from None
    header = text.splitlines()[0] if text else ""
    mark = max(delimiters, key=header.count)
    csv.field_size_limit(10_000_000)
    try:
        lines = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark) if row]
    except csv.Error as error:
        raise NotATableError(str(error)) from None
    if text.count('"') % 2:
        raise NotATableError("a quotation never ends")
    for number, row in enumerate(lines):
        if len(row) != len(lines[0]):
            raise NotATableError(f"row {number + 1} has {len(row)} cells, the header {len(lines[0])}")
    return (lines[0], lines[1:]) if lines else ([], [])


def check_links(files: Files, network: RoadNetwork) -> Complaint:
    """Every row an edge, a node or a turn, every value that of its cell."""
    try:
        tables = {name: _by_name(*rows_of(content)) for name, content in files.items()}
        return _links_differ(network, tables) or check_network(network)
    except NotATableError as error:
        return f"read although it is damaged ({error})"


def _by_name(header: list[str], rows: list[list[str]]) -> dict[str, list[str]]:
    names = [name.strip() for name in header]
    if len(set(names)) < len(names):
        raise NotATableError("a column stands twice")
    return {name: [row[k].strip() for row in rows] for k, name in enumerate(names)}


def _links_differ(network: RoadNetwork, tables: dict[str, dict[str, list[str]]]) -> Complaint:
    graph, attributes, links = network.graph, network.attributes, tables["links.csv"]
    edge = graph.edge_positions(np.array([_exact(one) for one in links["link_id"]], np.int64))
    if sorted(edge.tolist()) != list(range(graph.num_edges)):
        return "edges are not the rows of links.csv"
    for name, ends in (("from_node", graph.tail), ("to_node", graph.head)):
        if graph.node_id[ends[edge]].tolist() != [_exact(one) for one in links[name]]:
            return f"{name} differs"
    columns: dict[str, Any] = {
        "length_m": attributes.length_m,
        "maxspeed_kmh": attributes.speed_kmh,
        **attributes.extra,
    }
    columns["lanes"] = attributes.lanes
    for name, values in columns.items():
        if name in links and (wrong := _numbers_differ(values[edge], links[name], name in ("maxspeed_kmh", "lanes"))):
            return f"{name}: {wrong}"
    for name in ("road_class", "name"):
        found = getattr(attributes, name)
        if name in links and (found is None or [found.levels[code] for code in found.codes[edge]] != links[name]):
            return f"{name} differs"
    known = {"link_id", "from_node", "to_node", "length_m", "maxspeed_kmh", "lanes", "road_class", "name"}
    known |= {"travel_time_s", "surface", "access", "toll", "bridge", "tunnel", *attributes.extra}
    if lost := set(links) - known - set(network.report["columns_ignored"]):
        return f"columns {sorted(lost)} are lost"
    return _places_differ(graph, tables.get("nodes.csv")) or _turns_differ(network, tables.get("turns.csv"))


def _exact(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text, re.ASCII) or abs(int(text)) > 2**63:
        raise NotATableError(f"{text[:30]!r} is no id")
    return int(text)


def _numbers_differ(values: Any, cells: list[str], may_be_blank: bool) -> Complaint:
    for value, cell in zip(values.tolist(), cells, strict=True):
        if cell == "" and may_be_blank:
            continue
        naive = _float(cell)
        if not (math.isfinite(naive) and abs(value - naive) <= 1e-6 * abs(naive) + 1e-30):
            return f"{value} for {cell[:30]!r}"
    return None


def _places_differ(graph: Any, nodes: dict[str, list[str]] | None) -> Complaint:
    if nodes is None:
        return None
    places = {_exact(one): k for k, one in enumerate(nodes["node_id"])}
    if len(places) < len(nodes["node_id"]):
        return "a node stands twice"
    rows = [places[node] for node in graph.node_id.tolist()]
    for name, values in (("lat", graph.latitude_deg), ("lon", graph.longitude_deg)):
        if wrong := _numbers_differ(values, [nodes[name][row] for row in rows], False):
            return f"{name}: {wrong}"
    return None


def _turns_differ(network: RoadNetwork, table: dict[str, list[str]] | None) -> Complaint:
    turns, graph = network.turns, network.graph
    if table is None:
        return None
    pairs = [(_exact(a), _exact(b)) for a, b in zip(table["from_link"], table["to_link"], strict=True)]
    found = list(zip(graph.edge_id[turns.from_edge].tolist(), graph.edge_id[turns.to_edge].tolist(), strict=True))
    if sorted(found) != sorted(pairs):
        return "turns are not the rows of turns.csv"
    order = [found.index(pair) for pair in pairs]
    for name in ("is_left", "is_right", "is_uturn"):
        words = [cell.lower() in ("1", "true", "yes", "t", "y") for cell in table.get(name, [])]
        if name in table and getattr(turns, name)[order].tolist() != words:
            return f"{name} differs"
    for name, values in turns.extra.items():
        if wrong := _numbers_differ(values[order], table[name], False):
            return f"{name}: {wrong}"
    known = {"from_link", "to_link", "is_left", "is_right", "is_uturn", "turn_angle_rad", *turns.extra}
    if lost := set(table) - known - set(network.report["turns"]["columns_ignored"]):
        return f"columns {sorted(lost)} are lost"
    return None


# ------------------------------------------------------------------------------------------------------------- routes


def check_routes(files: Files, routes: Demonstrations) -> Complaint:
    """Every row a route or skipped for a reason; every route that of its row, with its weight."""
    ((name, content),) = files.items()
    try:
        table = _route_columns(name, content)
    except NotATableError as error:
        return f"read although it is damaged ({error})"
    count = len(table["ids"])
    if len(routes) + len(routes.skipped) != count:
        return f"{len(routes)} routes and {len(routes.skipped)} skipped of {count} rows"
    if not ((routes.weight > 0).all() and np.isfinite(routes.weight).all()):
        return "a weight that is none"
    skipped = [one.route_id for one in routes.skipped]
    rows = _kept_rows(table["route_id"], list(routes.route_id), skipped)
    if rows is None:
        return "route ids are not those of the file"
    graph, is_nodes = routes.network.graph, table["is_nodes"]
    for k, row in enumerate(rows):  # none where names repeat
        edges = routes.route(k)
        ids = graph.edge_id[edges].tolist()
        if is_nodes:
            ids = [int(graph.node_id[graph.tail[edges[0]]]), *graph.node_id[graph.head[edges]].tolist()]
        if ids != table["ids"][row]:
            return f"row {row + 1} is {ids}, the file says {table['ids'][row]}"
        if abs(routes.weight[k] - table["weight"][row]) > 1e-9 * routes.weight[k]:
            return f"row {row + 1} weighs {routes.weight[k]}, the file says {table['weight'][row]}"
    return None


def _kept_rows(names: Sequence[str], kept: list[str], skipped: list[str]) -> list[int] | None:
    """Which rows are the kept routes: both lists are in the order of the file. Names that come twice tell nothing."""
    if sorted(names) != sorted([*kept, *skipped]):
        return None
    row_of = {name: row for row, name in enumerate(names)}
    return [row_of[name] for name in kept] if len(row_of) == len(names) else []


def _route_columns(name: str, content: bytes) -> dict[str, Any]:
    if name.endswith(".csv"):
        header, rows = rows_of(content)
        columns: dict[str, list[Any]] = {one: [row[k] for row in rows] for k, one in enumerate(header)}
        num_rows = len(rows)
    else:
        table = table_of(content)
        columns, num_rows = {one: table.column(one).to_pylist() for one in table.column_names}, len(table)
        if "route_id" in columns:
            columns["route_id"] = table.column("route_id").cast("string").to_pylist()
    key = "links" if "links" in columns else "nodes"
    weight = columns.get("weight", [1.0] * num_rows)
    ids = [_id_list(cell) for cell in columns[key]]
    names = [
        str(k + 1) if one in (None, "") else _text(one)
        for k, one in enumerate(columns.get("route_id", [None] * num_rows))
    ]
    return {
        "ids": ids,
        "is_nodes": key == "nodes",
        "weight": [1.0 if one in (None, "") else float(one) for one in weight],
        "route_id": names,
    }


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value).lower() if isinstance(value, bool) else str(value)


def _id_list(cell: Any) -> list[int]:
    if isinstance(cell, list):
        cell = " ".join(map(_text, cell))
    words = re.split(r"\s+", _text("" if cell is None else cell).strip())
    return [_exact(word) for word in words if word]


# ------------------------------------------------------------------------------------------------------------- traces


def check_traces(files: Files, traces: Traces, cleaned: Cleaned) -> Complaint:
    """As many points as the file has, their places those of the file; what is no usable point counted."""
    try:
        points, lost = _naive_points(files)
    except NotATableError as error:
        return f"read although it is damaged ({error})"
    told = sum(traces.faults.values())
    if len(points) != traces.num_points:
        return f"{traces.num_points} points of {len(points)}"
    if lost > told:
        return f"{lost} things that are no points, {told} counted"
    found = _sorted_places(zip(traces.latitude_deg.tolist(), traces.longitude_deg.tolist(), strict=True))
    for one, other in zip(found, _sorted_places(points), strict=True):
        if not all(_same(a, b) for a, b in zip(one, other, strict=True)):
            return f"a point at {one}, the file says {other}"
    kept = cleaned.traces
    if not (_all_within(kept.latitude_deg, 90) and _all_within(kept.longitude_deg, 180)):
        return "a kept point is no place"
    back = np.diff(kept.time_s)[np.diff(kept.row_of_point) == 0]
    if (back < 0).any():
        return "a kept trace goes back in time"
    ids = set(kept.trace_id) | {one.trace_id for one in cleaned.skipped}
    if set(traces.trace_id) - ids:
        return "a trace is neither kept nor skipped"
    whole = kept.num_points + sum(cleaned.points.values())
    if not cleaned.skipped and whole != traces.num_points:
        return f"{whole} points kept or counted of {traces.num_points}"
    return None


def _same(one: float, other: float) -> bool:
    if not (math.isfinite(one) and math.isfinite(other)):
        return str(one) == str(other)
    return abs(one - other) <= 1e-9 * abs(other)


def check_no_traces(files: Files) -> Complaint:
    """Where nothing was read, there must be nothing."""
    try:
        points, lost = _naive_points(files)
    except NotATableError as error:
        return f"read although it is damaged ({error})"
    return f"{len(points)} points not read" if points or lost else None


def _naive_points(files: Files) -> tuple[list[tuple[float, float]], int]:
    ((name, content),) = files.items()
    naive = {"csv": _csv_points, "gpx": _gpx_points, "son": _json_points, "uet": _parquet_points}[name[-3:]]
    return naive(content)


def _all_within(values: Any, limit: float) -> bool:
    return bool((np.abs(values) <= limit).all())


def _sorted_places(points: Any) -> list[tuple[float, float]]:
    return sorted(
        ((a, b) for a, b in points), key=lambda one: [(math.isnan(x), 0.0 if math.isnan(x) else x) for x in one]
    )


_NAMES = {
    "lat": ("latitude", "lat", "latitude_deg", "y"),
    "lon": ("longitude", "lon", "lng", "long", "longitude_deg", "x"),
}


def _chosen(header: list[str], role: str) -> int:
    lowered = [one.strip().lower() for one in header]
    for name in _NAMES[role]:
        if name in lowered:
            return lowered.index(name)
    raise NotATableError(f"no {role}")


def _csv_points(content: bytes) -> tuple[list[tuple[float, float]], int]:
    header, rows = rows_of(content, ",;\t")
    lat, lon = _chosen(header, "lat"), _chosen(header, "lon")
    return [(_loose(row[lat]), _loose(row[lon])) for row in rows], 0


def _parquet_points(content: bytes) -> tuple[list[tuple[float, float]], int]:
    table = table_of(content)
    lat, lon = (table.column(_chosen(table.column_names, role)).to_pylist() for role in ("lat", "lon"))
    return [(_loose(a), _loose(b)) for a, b in zip(lat, lon, strict=True)], 0


def _loose(value: Any) -> float:
    """A number, an infinity or NaN; a yes or no is none."""
    if isinstance(value, bool):
        return math.nan
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        text = value.strip().lower().lstrip("+-")
        if text in ("inf", "infinity"):
            return -math.inf if value.strip().startswith("-") else math.inf
        return _float(value)
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return math.nan


def _gpx_points(content: bytes) -> tuple[list[tuple[float, float]], int]:
    if b"<!ENTITY" in content.replace(b"\0", b""):
        raise NotATableError("entities")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise NotATableError(str(error)) from None
    points = [
        (_loose(point.get("lat")), _loose(point.get("lon")))
        for track in root
        if track.tag.endswith("trk")
        for segment in track
        if segment.tag.endswith("trkseg")
        for point in segment
        if point.tag.endswith("trkpt")
    ]
    return points, 0


def _json_points(content: bytes) -> tuple[list[tuple[float, float]], int]:
    """Points, and how many features, lines or lists of times are none that can be used."""
    try:
        document = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise NotATableError(str(error)) from None
    features = document.get("features", [document] if document["type"] == "Feature" else [{"geometry": document}])
    points: list[tuple[float, float]] = []
    lost = 0
    for feature in features:
        geometry = feature.get("geometry") if isinstance(feature, dict) else None
        geometry = geometry if isinstance(geometry, dict) else {}
        places, kind = geometry.get("coordinates"), geometry.get("type")
        if kind == "Point":
            points.append(_position(places))
            continue
        lines = [places] if kind == "LineString" else places if kind == "MultiLineString" else None
        if not isinstance(lines, list):
            lost += 1
            continue
        for line in lines:
            lost += not isinstance(line, list)
            properties = feature.get("properties")
            moments = properties.get("coordTimes") if isinstance(properties, dict) and kind == "LineString" else None
            lost += bool(moments) and isinstance(line, list) and isinstance(moments, list) and len(moments) != len(line)
            points += [_position(place) for place in line] if isinstance(line, list) else []
    return points, lost


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _position(place: Any) -> tuple[float, float]:
    is_pair = isinstance(place, list) and len(place) >= 2
    one, two = (place[1], place[0]) if is_pair else (None, None)
    return tuple(_loose(x) if not isinstance(x, bool) else math.nan for x in (one, two))  # type: ignore[return-value]


# ------------------------------------------------------------------------------------------------------------- config


def check_config(files: Files, config: Config) -> Complaint:
    """Every setting of the file stands in the configuration as it was given; none is NaN or infinite."""
    (content,) = files.values()
    try:
        document = tomllib.loads(content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n"))
    except (ValueError, RecursionError) as error:
        return f"read although it is damaged ({error})"
    made = config.model_dump(mode="json")
    for section, settings in document.items():
        for name, value in settings.items():
            if isinstance(value, float) and not math.isfinite(value):
                return f"[{section}] {name} is {value}"
            if (section, name) == ("planner", "preset"):
                continue
            if name not in made.get(section, {}):
                return f"[{section}] {name} is unknown"
            found = made[section][name]
            same_kind = isinstance(found, bool) == isinstance(value, bool) and isinstance(found, str) == isinstance(
                value, str
            )
            if not same_kind or (float(value) if isinstance(found, float) else value) != found:
                return f"[{section}] {name} is {found!r}, the file says {value!r}"
    return None


def never(files: Files, read: Any) -> Complaint:
    """A folder with checksums, one of whose files was changed, must not be read."""
    return "read although a file was changed"


Check = Callable[..., Complaint]
