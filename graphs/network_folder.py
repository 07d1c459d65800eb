"""Network folders: ``links.csv``, ``turns.csv`` and ``nodes.csv``, for roads that do not come from OSM.

links.csv
    ``link_id``, ``from_node``, ``to_node`` (integers). Optional: ``length_m``, ``travel_time_min`` or
    ``travel_time_s``, ``maxspeed_kmh`` (blank = impute by class), ``road_class``, ``lanes`` (blank = not given),
    ``name``, ``surface``, ``access``, ``toll``, ``bridge``, ``tunnel``. Every other column of numbers, and
    ``travel_time_min`` itself, becomes `EdgeAttributes.extra` under its own name. Other columns: see the report.
turns.csv
    ``from_link``, ``to_link``. Optional: ``is_left``, ``is_right``, ``is_uturn`` (0/1), ``turn_angle_rad`` (negative =
    left, blank = straight). Every other column of numbers becomes `TurnGraph.extra`. Without the file every move at a
    node is allowed, U-turns by the rule of `trodden.graphs.restrictions.build_turns`.
nodes.csv
    ``node_id``, ``lat``, ``lon`` in degrees, for every node. Without it the network has no coordinates.

Speeds: as given, blanks by class (`attributes.impute_speeds`); with no speeds but travel times, length over time.
Travel times: as given, else length over speed. What cannot be had from these stays None.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EmptyNetworkError
from ..core.types import Bools, Codes, Floats, Floats32, Ids, Ints
from .attributes import categories, impute_speeds
from .geometry import space_filling_order
from .moves import STRAIGHT_DEG, UTurns, turn_angles, uturns_by_ends
from .restrictions import build_turns
from .road_graph import Categories, EdgeAttributes, RoadGraph, RoadNetwork
from .store import make_network
from .tables import Table, read_table
from .turns import TurnGraph

LINKS_FILE, TURNS_FILE, NODES_FILE = "links.csv", "turns.csv", "nodes.csv"

_LINK_COLUMNS = frozenset({"link_id", "from_node", "to_node", "length_m", "travel_time_s", "maxspeed_kmh", "lanes"})
_LINK_TEXTS = frozenset({"road_class", "name", "surface", "access", "toll", "bridge", "tunnel"})
_TURN_COLUMNS = frozenset({"from_link", "to_link", "is_left", "is_right", "is_uturn", "turn_angle_rad"})


def read_network_folder(folder: str | Path, *, u_turns: UTurns = "dead_ends") -> RoadNetwork:
    """Read a network from CSV files.

    Raises
    ------
    InputFileError
        A column or file is missing, an id is given twice or unknown, a turn whose edges do not meet, or a number that
        is NaN, infinite or out of range; names file, row (line) and column.
    EmptyNetworkError
        No link, no turn, or a single node.

    Notes
    -----
    O(n log n); a few seconds per million rows.
    """
    folder = Path(folder)
    links = read_table(folder / LINKS_FILE)
    links.require("link_id", "from_node", "to_node")
    graph, row_of_edge = _read_graph(links, folder / NODES_FILE)
    attributes, report = _read_attributes(links)
    attributes = attributes.take(row_of_edge)
    if (folder / TURNS_FILE).exists():
        table = read_table(folder / TURNS_FILE)
        turns, tally = _read_turns(table, graph, attributes.length_m)
    else:
        turns, tally = build_turns(graph, None, u_turns=u_turns, lengths=attributes.length_m)
    if turns.num_turns == 0:
        raise EmptyNetworkError(path=folder, problem="has no turn to take", remedy="Give links that meet, or turns")
    report = {"source": folder.name, "kind": "network folder", **report, "turns": tally}
    return make_network(graph, attributes, turns, None, report)


# ------------------------------------------------------------------------------------------------- links and nodes


def _read_graph(links: Table, nodes_path: Path) -> tuple[RoadGraph, Ints]:
    """The graph, and the row of links.csv of each edge."""
    link_id, origin, target = (links.ids(name) for name in ("link_id", "from_node", "to_node"))
    if len(link_id) == 0:
        raise EmptyNetworkError(path=links.path, problem="holds no link", remedy="Give at least one row per edge")
    links.refuse_repeats(link_id, "link_id", "this link id")
    node_id = np.unique(np.concatenate([origin, target]))
    if len(node_id) < 2:
        raise EmptyNetworkError(path=links.path, problem="has a single node", remedy="Give links between nodes")
    latitude, longitude = None, None
    if nodes_path.exists():
        latitude, longitude = _read_coordinates(read_table(nodes_path), node_id)
        e7 = [np.round(column * 1e7).astype(np.int32) for column in (latitude, longitude)]
        order = space_filling_order(e7[0], e7[1], node_id)
        node_id, latitude, longitude = node_id[order], latitude[order], longitude[order]
    by_id = np.argsort(node_id)
    tail, head = (by_id[np.searchsorted(node_id, ends, sorter=by_id)].astype(np.int32) for ends in (origin, target))
    rows = np.lexsort((link_id, head, tail)).astype(np.int32)
    return RoadGraph(tail[rows], head[rows], link_id[rows], node_id, latitude, longitude), rows


def _read_coordinates(nodes: Table, wanted: Ids) -> tuple[Floats, Floats]:
    nodes.require("node_id", "lat", "lon")
    node_id, columns = nodes.ids("node_id"), {name: nodes.numbers(name) for name in ("lat", "lon")}
    nodes.refuse_repeats(node_id, "node_id", "this node id")
    for name, limit in (("lat", 90.0), ("lon", 180.0)):
        wrong = np.abs(columns[name]) > limit
        if wrong.any():
            row = int(np.argmax(wrong))
            problem = f"{columns[name][row]} is not between -{limit:g} and {limit:g}"
            raise nodes.error(problem, "Are lat and lon swapped?", row=row, column=name)
    order = np.argsort(node_id)
    slots = np.minimum(np.searchsorted(node_id, wanted, sorter=order), max(len(node_id) - 1, 0))
    missing = wanted[node_id[order[slots]] != wanted] if len(node_id) else wanted
    if len(missing):
        raise nodes.error(
            f"lacks {len(missing)} nodes of {LINKS_FILE}, the first of them {missing[0]}", "Add a row for every node"
        )
    return columns["lat"][order[slots]], columns["lon"][order[slots]]


def _read_attributes(links: Table) -> tuple[EdgeAttributes, dict[str, Any]]:
    length = links.numbers("length_m", above=0.0) if "length_m" in links.columns else None
    road_class = _texts(links, "road_class")
    given_time = _given_time(links)
    speed, speeds = _speeds(links, length, road_class, given_time)
    time = given_time
    if time is None and length is not None and speed is not None:
        time = length / speed.astype(np.float64) * 3.6
    extra, ignored = _further_numbers(links, _LINK_COLUMNS | _LINK_TEXTS)
    attributes = EdgeAttributes(
        length_m=None if length is None else length.astype(np.float32),
        speed_kmh=speed,
        travel_time_s=None if time is None else time.astype(np.float32),
        road_class=road_class,
        lanes=_lanes(links),
        is_toll=_flags(links, "toll"),
        is_bridge=_flags(links, "bridge"),
        is_tunnel=_flags(links, "tunnel"),
        surface=_texts(links, "surface"),
        access=_texts(links, "access"),
        name=_texts(links, "name"),
        extra=extra,
    )
    return attributes, {"speeds": speeds, "columns_ignored": ignored}


def _given_time(links: Table) -> Floats | None:
    if "travel_time_s" in links.columns:
        return links.numbers("travel_time_s", above=0.0)
    if "travel_time_min" in links.columns:
        return links.numbers("travel_time_min", above=0.0) * 60.0
    return None


def _speeds(
    links: Table, length: Floats | None, road_class: Categories | None, time: Floats | None
) -> tuple[Floats32 | None, dict[str, int]]:
    if "maxspeed_kmh" in links.columns:
        given = links.numbers("maxspeed_kmh", blank=np.nan, above=0.0)
    elif time is None and road_class is not None:
        given = np.full(links.num_rows, np.nan)
    elif time is not None and length is not None:
        return (length / time * 3.6).astype(np.float32), {"length_over_time": links.num_rows}
    else:
        return None, {}
    return impute_speeds(given, road_class or Categories(np.zeros(links.num_rows, np.int32), ("",)))


def _lanes(links: Table) -> Codes | None:
    if "lanes" not in links.columns:
        return None
    lanes = links.numbers("lanes", blank=0.0, above=0.0)
    wrong = (lanes != np.floor(lanes)) | (lanes > 99)
    if wrong.any():
        row = int(np.argmax(wrong))
        problem = f"{lanes[row]:g} is not a whole number from 1 to 99"
        raise links.error(problem, "Mend the cell, or leave it blank", row=row, column="lanes")
    return lanes.astype(np.uint8)


def _texts(links: Table, name: str) -> Categories | None:
    return categories(links.texts(name)) if name in links.columns else None


def _flags(links: Table, name: str) -> Bools | None:
    """Anything but a plain no counts, as with OSM tags (``tunnel=building_passage``)."""
    if name not in links.columns:
        return None
    return np.array([cell.lower() not in ("", "0", "no", "false") for cell in links.texts(name)], bool)


def _further_numbers(table: Table, known: frozenset[str]) -> tuple[dict[str, Floats], list[str]]:
    others = [name for name in table.columns if name not in known]
    numeric = {name: table.numbers(name) for name in others if table.is_numeric(name)}
    return numeric, [name for name in others if name not in numeric]


# ------------------------------------------------------------------------------------------------------------ turns


def _read_turns(table: Table, graph: RoadGraph, lengths: Floats32 | None) -> tuple[TurnGraph, dict[str, Any]]:
    table.require("from_link", "to_link")
    from_edge, to_edge = (_edges(table, name, graph) for name in ("from_link", "to_link"))
    apart = graph.head[from_edge] != graph.tail[to_edge]
    if apart.any():
        row = int(np.argmax(apart))
        problem = f"link {graph.edge_id[to_edge[row]]} does not start where link {graph.edge_id[from_edge[row]]} ends"
        raise table.error(problem, "Turns join a link to one that starts at its to_node", row=row, column="to_link")
    keys = from_edge.astype(np.int64) * graph.num_edges + to_edge
    table.refuse_repeats(keys, "to_link", "this turn")
    order = np.argsort(keys)
    from_edge, to_edge = from_edge[order], to_edge[order]
    is_uturn = table.flags("is_uturn")[order] if "is_uturn" in table.columns else None
    if is_uturn is None:
        is_uturn = uturns_by_ends(graph, lengths, from_edge, to_edge)
    angle = _turn_angle(table, order, graph, from_edge, to_edge, is_uturn)
    side = np.zeros(len(order)) if angle is None else np.where(is_uturn, 0.0, np.nan_to_num(angle))
    extra, ignored = _further_numbers(table, _TURN_COLUMNS)
    counts = np.bincount(from_edge, minlength=graph.num_edges)
    turns = TurnGraph(
        first_out=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        to_edge=to_edge,
        angle_deg=None if angle is None else angle.astype(np.float32),
        is_left=table.flags("is_left")[order] if "is_left" in table.columns else side < -STRAIGHT_DEG,
        is_right=table.flags("is_right")[order] if "is_right" in table.columns else side > STRAIGHT_DEG,
        is_uturn=is_uturn,
        extra={name: values[order] for name, values in extra.items()},
    )
    tally = {
        "turns": turns.num_turns,
        "u_turns": int(is_uturn.sum()),
        "edges_without_a_move": int((counts == 0).sum()),
        "u_turn_rule": TURNS_FILE,
        "columns_ignored": ignored,
    }
    return turns, tally


def _edges(table: Table, name: str, graph: RoadGraph) -> Ints:
    ids = table.ids(name)
    edges = graph.edge_positions(ids)
    if (edges < 0).any():
        row = int(np.argmax(edges < 0))
        raise table.error(f"{LINKS_FILE} has no link {ids[row]}", "Add the link or drop the turn", row=row, column=name)
    return edges


def _turn_angle(
    table: Table, order: Ids, graph: RoadGraph, from_edge: Ints, to_edge: Ints, is_uturn: Bools
) -> Floats | None:
    if "turn_angle_rad" not in table.columns:
        return turn_angles(graph, None, from_edge, to_edge, is_uturn)
    radians = table.numbers("turn_angle_rad", blank=0.0)
    too_wide = np.abs(radians) > np.pi + 1e-3
    if too_wide.any():
        row = int(np.argmax(too_wide))
        problem = f"{radians[row]} is not between -pi and pi"
        raise table.error(problem, "Angles are in radians", row=row, column="turn_angle_rad")
    degrees = np.clip(np.degrees(radians[order]), -180.0, 180.0)
    return np.where(degrees == -180.0, 180.0, degrees)
