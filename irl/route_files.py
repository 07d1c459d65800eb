"""Route files: CSV and Parquet with one route per row, read and written in blocks of rows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from ..core.csv_quotes import QuotesCounted
from ..core.errors import InputFileError
from ..core.types import Floats, Ids
from .parquet_pages import check_pages
from .texts import Texts, plain_number

_COLUMNS = (
    "route_id, links (edge ids separated by spaces) or nodes (OSM node ids), optionally departure, weight, traveller "
    "and group"
)

_KNOWN = frozenset({"route_id", "links", "nodes", "departure", "weight", "traveller", "is_simulated"})
_ID = re.compile(r"-?0*[0-9]{1,19}")
GROUP = "group"
"""The column that is read as the group, unless another is named."""
_ROWS = 1 << 13
"""Rows that are text at a time: some 40 MB of routes of 500 edges."""


@dataclass(frozen=True, eq=False)
class RouteTable:
    """Some consecutive rows of a route file, unchecked."""

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
    first_row: int = 0
    """Rows of the file that stand before these."""
    group: Sequence[str | None] | None = None
    """Which group the traveller belongs to; None where the file has no such column, and in a row that does not say."""

    def sequences(self, path: str | Path) -> tuple[Ids, Ids]:
        """(ids, first), int64: the ids of row r are ``ids[first[r] : first[r+1]]``.

        `InputFileError` names the first row that holds something else.
        """
        texts = Texts.of(self.text).arrow()
        if pc.any(pc.match_substring(texts, "x", ignore_case=True)).as_py():  # Arrow would read 0x10 as 16
            raise self._first_bad_row(path)
        split = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts))
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
        return flat, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def _first_bad_row(self, path: str | Path) -> InputFileError:
        column = "nodes" if self.is_nodes else "links"
        for row, text in enumerate(self.text):
            for word in text.split():
                if not _ID.fullmatch(word) or abs(int(word)) >= 1 << 63:
                    return InputFileError(
                        path=path,
                        row=self.first_row + row + 1,
                        column=column,
                        problem=f"{word[:40]!r} is not an integer id",
                        remedy="Give ids separated by spaces",
                    )
        return InputFileError(
            path=path,
            column=column,
            problem="holds something that is not an integer id",
            remedy="Give ids separated by spaces",
        )


def read_route_blocks(path: str | Path, *, rows: int = _ROWS, group: str = GROUP) -> Iterator[RouteTable]:
    """Read a ``.csv`` or ``.parquet`` file of routes, so many rows at a time; a file without routes is one empty block.

    `InputFileError` says what is wrong with it: what concerns the whole file before the first block. Memory: the rows
    of a block, beside what Arrow needs to unpack a page of each column of a Parquet file or 16 MB of CSV.
    """
    source = Path(path)
    _require_route_file(source)
    try:
        schema, batches = _open_csv(source) if source.suffix == ".csv" else _open_parquet(source, rows, group)
        column = _id_column(source, schema.names)
        done = 0
        for batch in batches:
            for begin in range(0, batch.num_rows, rows):
                block = batch.slice(begin, rows)
                yield _block(source, block, column, done, group)
                done += block.num_rows
        if done == 0:
            yield _block(source, pa.RecordBatch.from_pylist([], schema), column, 0, group)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputFileError(
            path=path, problem=f"cannot be read ({error})", remedy="Check that the file is whole and of that format"
        ) from error


def id_texts(ids: Ids, first: Ids) -> Texts:
    """``ids[first[r] : first[r+1]]``, separated by spaces, for every row r; what `RouteTable.sequences` reads."""
    words = pa.array(ids).cast(pa.string())
    rows = pa.LargeListArray.from_arrays(pa.array(first - first[0], pa.int64()), words)
    return Texts(pc.binary_join(rows, " "))


def write_route_blocks(path: str | Path, tables: Iterable[RouteTable]) -> None:
    """Write ``.csv`` or ``.parquet`` atomically (temporary file, then rename), a row group per table; at least one."""
    target = Path(path)
    if target.suffix not in {".csv", ".parquet"}:
        raise InputFileError(
            path=path,
            problem=f"routes are written as .csv or .parquet, not {target.suffix!r}",
            remedy="Choose one of these suffixes",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.partial")
    make = pyarrow.csv.CSVWriter if target.suffix == ".csv" else checked_parquet
    blocks = map(_arrow_table, tables)
    first = next(blocks)
    with make(scratch, first.schema) as writer:
        writer.write_table(first)
        for block in blocks:
            writer.write_table(block)
    os.replace(scratch, target)


def checked_parquet(path: Path, schema: pa.Schema) -> Any:
    """A writer of Parquet whose pages have checksums, which readers of this package verify."""
    return pyarrow.parquet.ParquetWriter(path, schema, write_page_checksum=True)


def _arrow_table(table: RouteTable) -> pa.Table:
    texts = {
        "route_id": table.route_id,
        "nodes" if table.is_nodes else "links": table.text,
        "departure": table.departure,
    }
    columns = {name: Texts.of(column).arrow().cast(pa.string()) for name, column in texts.items()}
    columns["weight"] = pa.array(table.weight, pa.float64())
    columns["is_simulated"] = pa.array(np.full(len(table.weight), table.is_simulated))
    if table.traveller is not None:
        columns["traveller"] = Texts.of(table.traveller).arrow().cast(pa.string())
    if table.group is not None:
        columns[GROUP] = Texts.of(table.group).arrow().cast(pa.string())
    return pa.table(columns)


def _require_route_file(path: Path) -> None:
    if not path.is_file():
        raise InputFileError(path=path, problem="there is no such file", remedy="Check the path")
    if path.suffix not in {".csv", ".parquet"}:
        raise InputFileError(
            path=path,
            problem=f"routes are read from .csv or .parquet, not {path.suffix!r}",
            remedy="Rename or convert it",
        )
    if path.stat().st_size == 0:
        raise InputFileError(path=path, problem="the file is empty", remedy=f"It needs the columns {_COLUMNS}")


def open_parquet(path: Path) -> Any:
    """A Parquet file for reading batch by batch, its pages where they should be; those with checksums are verified."""
    file = pyarrow.parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True)
    check_pages(path)
    return file


def _open_parquet(path: Path, rows: int, group: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    # Unbuffered, a reader holds every column of a row group as the file has it.
    file = open_parquet(path)
    wanted = [name for name in file.schema_arrow.names if name in _KNOWN or name == group]
    # One row group after the other: what was read of a group is kept until its iterator is gone.
    batches = (
        batch
        for group in range(file.num_row_groups)
        for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=wanted, use_threads=False)
    )
    return file.schema_arrow, batches


def _open_csv(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    # Everything as text first: a route of one edge would otherwise be read as a number, and ids of 16 digits as floats.
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline().strip().split(",")
    types = {name.strip('"'): pa.string() for name in header}
    source = QuotesCounted(path)
    reader = pyarrow.csv.open_csv(
        source,
        read_options=pyarrow.csv.ReadOptions(block_size=1 << 24),
        convert_options=pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=False),
    )
    return reader.schema, to_the_end(reader, source)


def to_the_end(reader: Iterable[pa.RecordBatch], source: QuotesCounted) -> Iterator[pa.RecordBatch]:
    """What a CSV reader gives; `InputFileError` where a quotation was open at the end."""
    with source:
        yield from reader
        source.require_closed()


def _id_column(path: Path, names: list[str]) -> str:
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
    return column


def _block(path: Path, batch: pa.RecordBatch, column: str, first_row: int, group: str) -> RouteTable:
    names, count = batch.schema.names, batch.num_rows
    numbers = pa.array(np.arange(first_row + 1, first_row + count + 1)).cast(pa.string())
    ids = pc.coalesce(_texts(batch, "route_id"), numbers) if "route_id" in names else numbers
    flags = pc.utf8_lower(_texts(batch, "is_simulated")) if "is_simulated" in names else pa.array([], pa.string())
    return RouteTable(
        Texts(ids),
        Texts(_id_text(batch.column(column))),
        column == "nodes",
        Texts(_texts(batch, "departure") if "departure" in names else pa.nulls(count)),
        _weights(path, batch, first_row),
        bool(pc.any(pc.equal(flags, "true")).as_py()),
        Texts(_texts(batch, "traveller")) if "traveller" in names else None,
        first_row,
        Texts(_texts(batch, group)) if group in names else None,
    )


def _texts(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column as text, null where it is blank."""
    column = pc.cast(batch.column(name), pa.string())
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _id_text(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return pa.array([" ".join(map(str, row or [])) for row in column.to_pylist()], pa.string())
    return pc.fill_null(pc.cast(column, pa.string()), "")


def _weights(path: Path, batch: pa.RecordBatch, first_row: int) -> Floats:
    if "weight" not in batch.schema.names:
        return np.ones(batch.num_rows)
    column = batch.column("weight")
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return np.asarray(pc.fill_null(pc.cast(column, pa.float64(), safe=False), 1.0))
    weights = np.empty(batch.num_rows)
    for row, value in enumerate(column.to_pylist()):
        weights[row] = _weight(path, value, first_row + row + 1)
    return weights


def _weight(path: Path, value: Any, row: int) -> float:
    try:
        return 1.0 if value in (None, "") else plain_number(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        raise InputFileError(
            path=path,
            row=row,
            column="weight",
            problem=f"{value!r} is not a number",
            remedy="Give a positive number, or nothing for 1",
        ) from None
