"""Route files: CSV and Parquet with one route per row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from ..core.errors import InputFileError
from ..core.types import Floats, Ids

_COLUMNS = (
    "route_id, links (edge ids separated by spaces) or nodes (OSM node ids), optionally departure, weight and traveller"
)

_KNOWN = frozenset({"route_id", "links", "nodes", "departure", "weight", "traveller", "is_simulated"})


@dataclass(frozen=True, eq=False)
class RouteTable:
    """The rows of a route file, unchecked."""

    route_id: Sequence[str]
    text: Sequence[str]
    """One string of ids per row, separated by white space."""
    is_nodes: bool
    """The ids are OSM node ids, not edge ids."""
    departure: Sequence[str | None]
    weight: Floats
    is_simulated: bool
    traveller: Sequence[str | None] | None = None
    """Who made each route; None where the file has no such column, None in a row that does not say."""

    def sequences(self, path: str | Path) -> list[Ids]:
        """The ids of each row, int64; `InputFileError` names the first row that holds something else."""
        split = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(pa.array(self.text, pa.string())))
        counts = np.asarray(pc.list_value_length(split), np.int64)
        words = pc.list_flatten(split)
        is_word = pc.not_equal(words, "")
        flags = np.asarray(is_word)
        counts = counts - np.bincount(np.repeat(np.arange(len(counts)), counts), ~flags, minlength=len(counts)).astype(
            np.int64
        )
        try:
            flat = np.asarray(pc.cast(pc.filter(words, is_word), pa.int64()))
        except pa.ArrowInvalid:
            raise self._first_bad_row(path) from None
        return np.split(flat, np.cumsum(counts)[:-1]) if len(counts) else []

    def _first_bad_row(self, path: str | Path) -> InputFileError:
        column = "nodes" if self.is_nodes else "links"
        for row, text in enumerate(self.text):
            for word in text.split():
                if not word.removeprefix("-").isdecimal() or abs(int(word)) >= 1 << 63:
                    return InputFileError(
                        path=path,
                        row=row + 1,
                        column=column,
                        problem=f"{word!r} is not an integer id",
                        remedy="Give ids separated by spaces",
                    )
        return InputFileError(
            path=path,
            column=column,
            problem="holds something that is not an integer id",
            remedy="Give ids separated by spaces",
        )


def read_route_table(path: str | Path) -> RouteTable:
    """Read a ``.csv`` or ``.parquet`` file of routes; `InputFileError` says what is wrong with it."""
    source = Path(path)
    if not source.is_file():
        raise InputFileError(path=path, problem="there is no such file", remedy="Check the path")
    if source.suffix not in {".csv", ".parquet"}:
        raise InputFileError(
            path=path,
            problem=f"routes are read from .csv or .parquet, not {source.suffix!r}",
            remedy="Rename or convert it",
        )
    if source.stat().st_size == 0:
        raise InputFileError(path=path, problem="the file is empty", remedy=f"It needs the columns {_COLUMNS}")
    try:
        table = _read_csv(source) if source.suffix == ".csv" else pyarrow.parquet.read_table(source)
        return _table(source, table)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputFileError(
            path=path, problem=f"cannot be read ({error})", remedy="Check that the file is whole and of that format"
        ) from error


def write_route_table(path: str | Path, table: RouteTable) -> None:
    """Write ``.csv`` or ``.parquet`` atomically (temporary file, then rename)."""
    target = Path(path)
    if target.suffix not in {".csv", ".parquet"}:
        raise InputFileError(
            path=path,
            problem=f"routes are written as .csv or .parquet, not {target.suffix!r}",
            remedy="Choose one of these suffixes",
        )
    columns = {
        "route_id": pa.array(list(table.route_id), pa.string()),
        "nodes" if table.is_nodes else "links": pa.array(list(table.text), pa.string()),
        "departure": pa.array(list(table.departure), pa.string()),
        "weight": pa.array(table.weight, pa.float64()),
        "is_simulated": pa.array([table.is_simulated] * len(table.text), pa.bool_()),
    }
    if table.traveller is not None:
        columns["traveller"] = pa.array(list(table.traveller), pa.string())
    out = pa.table(columns)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.partial")
    if target.suffix == ".csv":
        pyarrow.csv.write_csv(out, scratch)
    else:
        pyarrow.parquet.write_table(out, scratch)
    os.replace(scratch, target)


def _read_csv(path: Path) -> pa.Table:
    # Everything as text first: a route of one edge would otherwise be read as a number, and ids of 16 digits as floats.
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline().strip().split(",")
    types = {name.strip('"'): pa.string() for name in header}
    return pyarrow.csv.read_csv(
        path,
        convert_options=pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=False),
    )


def _table(path: Path, table: pa.Table) -> RouteTable:
    names = table.column_names
    column = "links" if "links" in names else "nodes" if "nodes" in names else None
    if column is None:
        raise InputFileError(
            path=path,
            problem=f"has neither a column links nor nodes (it has {', '.join(names)})",
            remedy=f"It needs the columns {_COLUMNS}",
        )
    repeated = {name for name in names if names.count(name) > 1}
    if repeated & _KNOWN:
        raise InputFileError(
            path=path,
            problem=f"has more than one column {', '.join(sorted(repeated & _KNOWN))}",
            remedy="Keep one of them",
        )
    ids = _strings(table, "route_id") if "route_id" in names else [str(row + 1) for row in range(table.num_rows)]
    departure = _strings(table, "departure") if "departure" in names else [None] * table.num_rows
    travellers = _strings(table, "traveller") if "traveller" in names else None
    flags = _strings(table, "is_simulated") if "is_simulated" in names else []
    return RouteTable(
        [value or str(row + 1) for row, value in enumerate(ids)],
        _id_text(table.column(column)),
        column == "nodes",
        [value or None for value in departure],
        _weights(path, table),
        any((value or "").lower() == "true" for value in flags),
        None if travellers is None else [value or None for value in travellers],
    )


def _strings(table: pa.Table, name: str) -> list[str | None]:
    return list(pc.cast(table.column(name), pa.string()).to_pylist())


def _id_text(column: pa.ChunkedArray) -> list[str]:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return [" ".join(map(str, row or [])) for row in column.to_pylist()]
    return [value or "" for value in pc.cast(column, pa.string()).to_pylist()]


def _weights(path: Path, table: pa.Table) -> Floats:
    if "weight" not in table.column_names:
        return np.ones(table.num_rows)
    weights = np.empty(table.num_rows)
    for row, value in enumerate(table.column("weight").to_pylist()):
        try:
            weights[row] = 1.0 if value in (None, "") else float(value)
        except (TypeError, ValueError):
            raise InputFileError(
                path=path,
                row=row + 1,
                column="weight",
                problem=f"{value!r} is not a number",
                remedy="Give a positive number, or nothing for 1",
            ) from None
    return weights
