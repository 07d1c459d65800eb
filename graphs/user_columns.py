"""Columns of a user's own table, joined to edges by OSM way id or by edge id.

The table is CSV with a header, or Parquet: ``osm_way_id`` or ``edge_id``, optionally beside a way ``direction``
(``forward`` along the order of its nodes, ``backward``, blank = both; a row for one direction goes before one for
both), and any further columns. Whose given cells are all numbers is a number, any other one a name.

An edge of several ways gets the mean by length over those that the table knows (of speeds the harmonic one, so that
times add up), or the name that covers most of it. Where nothing is given, a number is 0 and a column ``has_NAME`` says
so by 0 (there is none where all is given); a column ``speed_kmh@...`` has the edge's own speed there; a name is blank.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.types import Bools, Floats, Floats32, Ids, Ints
from .attributes import categories, compact
from .joined_attributes import covering_most
from .joining import Chains
from .road_graph import Categories, EdgeAttributes, RoadNetwork
from .segments import Segments
from .store import make_network
from .tables import Table, read_parquet_table, read_table
from .ways import WayTable

WAY, EDGE = "osm_way_id", "edge_id"
SPEED = "speed_kmh@"
_DIRECTIONS = {"": 0, "both": 0, "forward": 1, "backward": 2}
_NAME = re.compile(r"[A-Za-z_][\w@.+-]*")
_TAKEN = frozenset(field.name for field in dataclasses.fields(EdgeAttributes)) | {
    *("constant", "length_km", "travel_time_min", "is_left", "is_right", "is_uturn", "class", "angle"),
}


@dataclass(frozen=True, eq=False)
class UserTable:
    """A table of columns, checked."""

    table: Table
    key: str
    """`WAY` or `EDGE`."""
    ids: Ids
    """int64[n]."""
    direction: Ints
    """int32[n]: 0 both, 1 along the way's nodes, 2 against."""
    numbers: dict[str, Floats]
    """float64[n] each, NaN where the cell is blank."""
    names: dict[str, Categories]

    def require_some(self, num_found: int, what: str) -> None:
        """`InputFileError` where no row belongs to anything."""
        if num_found == 0:
            problem = f"none of its {len(self.ids)} rows belongs to {what}"
            raise self.table.error(problem, "Was it made for another extract?", column=self.key)


def read_user_table(path: str | Path) -> UserTable:
    """Read a table of columns; `InputFileError` names row and column of what cannot be used."""
    source = Path(path)
    table = read_parquet_table(source) if source.suffix == ".parquet" else read_table(source)
    keys = [key for key in (WAY, EDGE) if key in table.columns]
    if len(keys) != 1:
        found = ", ".join(table.columns) or "none"
        raise table.error(f"needs one of the columns {WAY} and {EDGE} (it has {found})", "Say what its rows are of")
    key, ids, direction = keys[0], table.ids(keys[0]), np.zeros(table.num_rows, np.int32)
    others = [name for name in table.columns if name not in (key, "direction" if keys[0] == WAY else "")]
    if key == WAY and "direction" in table.columns:
        direction = _directions(table)
    table.refuse_repeats(ids * 3 + direction, key, "this id" if key == EDGE else "this way in this direction")
    numbers: dict[str, Floats] = {}
    names: dict[str, Categories] = {}
    for name in others:
        _check_name(table, name)
        if table.is_numeric(name, or_blank=True):
            numbers[name] = table.numbers(name, blank=np.nan, above=0.0 if name.startswith(SPEED) else None)
        elif name.startswith(SPEED):
            table.numbers(name, blank=np.nan)  # says which cell is no number
        else:
            names[name] = categories(table.texts(name))
    if not numbers and not names:
        raise table.error("has no column beside its ids", "Add the columns that edges are to have")
    return UserTable(table, key, ids, direction, numbers, names)


def _directions(table: Table) -> Ints:
    cells = [cell.lower() for cell in table.texts("direction")]
    for row, cell in enumerate(cells):
        if cell not in _DIRECTIONS:
            problem = f"{cell!r} is none of forward, backward, both"
            raise table.error(problem, "Mend the cell, or leave it blank", row=row, column="direction")
    return np.array([_DIRECTIONS[cell] for cell in cells], np.int32)


def _check_name(table: Table, name: str) -> None:
    if name in _TAKEN or f"{name}" in (WAY, EDGE):
        raise table.error("is the name of a column that networks have", "Choose another", column=name)
    if not _NAME.fullmatch(name):
        raise table.error(
            "is no name of a feature: letters, digits and _ @ . + -, no digit first", "Rename it", column=name
        )


# ------------------------------------------------------------------------------------------------------- by way


def columns_of_ways(
    own: UserTable, ways: WayTable, segments: Segments, chains: Chains, speed_kmh: Floats32
) -> tuple[dict[str, NDArray[Any]], dict[str, Categories], dict[str, Any]]:
    """(numbers, names, report) per chain, by the rules of this module; `InputFileError` where no row is of a way here.

    O(S + n log n) per column.
    """
    rows, is_used = _rows_of_ways(own, ways)
    own.require_some(int(is_used.sum()), "a way that is read here")
    row = np.where(segments.is_along, rows[0][segments.way], rows[1][segments.way])[chains.segment]
    length, begins = segments.length_m[chains.segment], chains.first[:-1]
    numbers: dict[str, NDArray[Any]] = {}
    for name, values in own.numbers.items():
        value = np.where(row >= 0, values[row], np.nan)
        numbers |= _complete(name, _mean(name, value, length, begins), speed_kmh)
    names = {}
    for name, column in own.names.items():
        blank, levels = _with_blank(column)
        codes = np.where(row >= 0, column.codes[row].astype(np.int32), blank)
        names[name] = compact(Categories(covering_most(codes, length, chains.chain_of, begins), levels))
    return numbers, names, {"rows": len(own.ids), "rows_used": int(is_used.sum())}


def _rows_of_ways(own: UserTable, ways: WayTable) -> tuple[tuple[Ids, Ids], Bools]:
    """(row of the table for each way along, and against, -1 for none), and which rows are of a way here."""
    order = np.argsort(ways.way_id, kind="stable")
    place = np.minimum(np.searchsorted(ways.way_id, own.ids, sorter=order), len(order) - 1)
    way = order[place]
    is_used = np.asarray(ways.way_id[way] == own.ids)
    found = np.full((2, len(order)), -1, np.int64)
    for wanted in (0, 1, 2):  # a row for one direction replaces one for both
        mine = np.flatnonzero(is_used & (own.direction == wanted))
        for side in (0, 1):
            if wanted in (0, side + 1):
                found[side, way[mine]] = mine
    return (found[0], found[1]), is_used


def _mean(name: str, value: Floats, length: Floats, begins: Ids) -> Floats:
    """Per chain the mean by length over what is known, NaN where nothing is."""
    is_known = np.isfinite(value)
    amount = np.where(is_known, value, 1.0)
    if name.startswith(SPEED):
        amount = 1.0 / amount
    weight = np.add.reduceat(np.where(is_known, length, 0.0), begins)
    total = np.add.reduceat(np.where(is_known, length * amount, 0.0), begins)
    low = np.minimum.reduceat(np.where(is_known, value, np.inf), begins)
    high = np.maximum.reduceat(np.where(is_known, value, -np.inf), begins)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = weight / total if name.startswith(SPEED) else total / weight
    return np.where(low == high, low, mean)  # one value stays what it was, to the last digit


def _complete(name: str, value: Floats, speed_kmh: Floats32 | None) -> dict[str, NDArray[Any]]:
    is_known = np.isfinite(value)
    if is_known.all():
        return {name: _narrow(value)}
    if name.startswith(SPEED) and speed_kmh is not None:
        return {name: np.where(is_known, value, speed_kmh).astype(np.float32)}
    return {name: _narrow(np.where(is_known, value, 0.0)), f"has_{name}": is_known}


def _narrow(value: Floats) -> NDArray[Any]:
    """The same numbers in the smallest type that holds them all."""
    kinds: tuple[Any, ...] = (np.uint8, np.int16, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        for kind in kinds:
            small = value.astype(kind)
            if (small == value).all():
                return np.asarray(small)
    return value


def _with_blank(column: Categories) -> tuple[int, tuple[str, ...]]:
    if "" in column.levels:
        return column.levels.index(""), column.levels
    return len(column.levels), (*column.levels, "")


# ------------------------------------------------------------------------------------------------------ by edge


def with_edge_columns(network: RoadNetwork, own: UserTable) -> RoadNetwork:
    """The network with the columns of a table by edge id; copies of edges have their originals'.

    Raises
    ------
    InputFileError
        No row is of an edge here, a column that the network has already, or a table by OSM way id: those are joined
        where the extract is read.
    """
    if own.key == WAY:
        problem = "its rows are of OSM ways, which are joined to edges where an extract is read"
        raise own.table.error(problem, f"Give the extract itself, or a table by {EDGE}", column=WAY)
    graph, attributes = network.graph, network.attributes
    edge = graph.edge_positions(own.ids)
    is_used = edge >= 0
    own.require_some(int(is_used.sum()), "an edge of this network")
    row = np.full(graph.num_edges, -1, np.int64)
    row[edge[is_used]] = np.flatnonzero(is_used)
    for copy, original in network.original_edge.items():
        row[copy] = row[original] if row[copy] < 0 else row[copy]
    numbers: dict[str, NDArray[Any]] = {}
    for name, values in own.numbers.items():
        numbers |= _complete(name, np.where(row >= 0, values[row], np.nan), attributes.speed_kmh)
    names = {}
    for name, column in own.names.items():
        blank, levels = _with_blank(column)
        names[name] = compact(Categories(np.where(row >= 0, column.codes[row].astype(np.int32), blank), levels))
    refuse_double(own, {**attributes.extra, **attributes.kinds}, [*numbers, *names])
    report = {**network.report, "columns": {"rows": len(own.ids), "rows_used": int(is_used.sum())}}
    changed = dataclasses.replace(
        attributes, extra={**attributes.extra, **numbers}, kinds={**attributes.kinds, **names}
    )
    return make_network(graph, changed, network.turns, network.shapes, report)


def refuse_double(own: UserTable, there: Mapping[str, Any], names: list[str]) -> None:
    """`InputFileError` where the network has a column of that name."""
    for name in names:
        if name in there:
            raise own.table.error("is the name of a column that this network has", "Choose another", column=name)
