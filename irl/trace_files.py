"""Files of GPS points, read in blocks of whole traces: CSV and Parquet here, GPX and GeoJSON by `trace_documents`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from ..core.csv_quotes import QuotesCounted
from ..core.errors import InputFileError
from ..core.types import Floats
from .route_files import open_parquet, to_the_end
from .texts import Texts
from .trace_columns import TraceColumns, numbers, times
from .trace_documents import read_geojson, read_gpx
from .traces import Traces, joined_traces

SUFFIXES = (".csv", ".parquet", ".gpx", ".geojson", ".json")
_SIMULATED = "is_simulated"
_ROWS = 1 << 18
"""Points of a block, or so: whole traces."""
_WHOLE_ROWS, _WHOLE_BYTES = 4_000_000, 300_000_000
"""Tables up to this size may hold the points of traces in any order; larger ones are read as a stream."""


def read_trace_blocks(path: str | Path, columns: TraceColumns | None = None) -> Iterator[Traces]:
    """The traces of a ``.csv``, ``.parquet``, ``.gpx``, ``.geojson`` file, or of all such files in a folder.

    Parameters
    ----------
    columns
        Names of columns in tables; what it does not name is guessed.

    Raises
    ------
    InputFileError
        No such file, another format, no column with places, or a document that is broken or a bomb; in a large table,
        a trace whose points do not stand together.

    Notes
    -----
    A table without a column of ids is one trace. Tables over 4,000,000 rows (or 300 MB of CSV) are a stream, in which
    each trace's points stand together; in smaller ones they may come in any order. Memory: a block of some 262,144
    points, and 8 bytes per trace; documents are read one whole file at a time.
    """
    source = Path(path)
    if source.is_dir():
        files = sorted(file for file in source.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise InputFileError(
                path=path, problem="no file of traces in this folder", remedy=f"It needs some of {', '.join(SUFFIXES)}"
            )
        yield from _gathered(block for file in files for block in _read_file(file, columns))
        return
    yield from _gathered(_read_file(source, columns))


def _read_file(path: Path, columns: TraceColumns | None) -> Iterator[Traces]:
    wanted = columns or TraceColumns()
    suffix = path.suffix.lower()
    if not path.is_file():
        raise InputFileError(path=path, problem="there is no such file", remedy="Check the path")
    if suffix not in SUFFIXES:
        raise InputFileError(
            path=path,
            problem=f"traces are read from {', '.join(SUFFIXES)}, not {suffix or 'a file without suffix'}",
            remedy="Rename or convert it",
        )
    if path.stat().st_size == 0:
        raise InputFileError(path=path, problem="the file is empty", remedy="Export it again")
    if suffix == ".gpx":
        yield read_gpx(path, wanted)
    elif suffix in (".geojson", ".json"):
        yield read_geojson(path, wanted)
    else:
        try:
            yield from _read_table(path, wanted)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InputFileError(
                path=path, problem=f"cannot be read ({error})", remedy="Check that the file is whole and of that format"
            ) from error


def _gathered(blocks: Iterable[Traces]) -> Iterator[Traces]:
    """Small blocks joined: a folder of ten thousand files must not become as many calls."""
    waiting: list[Traces] = []
    for block in blocks:
        waiting.append(block)
        if sum(part.num_points for part in waiting) >= _ROWS:
            yield joined_traces(waiting)
            waiting = []
    if waiting:
        yield joined_traces(waiting)


def _read_table(path: Path, columns: TraceColumns) -> Iterator[Traces]:
    if path.suffix.lower() == ".csv":
        schema, batches = _open_csv(path)
        is_small = path.stat().st_size <= _WHOLE_BYTES
    else:
        file = open_parquet(path)
        schema, is_small = file.schema_arrow, file.metadata.num_rows <= _WHOLE_ROWS
        batches = (
            batch
            for group in range(file.num_row_groups)
            for batch in file.iter_batches(batch_size=_ROWS, row_groups=[group], use_threads=False)
        )
    found = columns.found_in(schema.names, path)
    wanted = [name for name in dict.fromkeys([*found.named, _SIMULATED]) if name in schema.names]
    needed = (batch.select(wanted) for batch in batches)
    if is_small:
        table = pa.Table.from_batches(list(needed), pa.schema([schema.field(name) for name in wanted]))
        yield from _whole(path, table, found)
    else:
        yield from _streamed(path, needed, found)


def _open_csv(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline().rstrip("\r\n")
    delimiter = max(",;\t", key=header.count)
    types = {name.strip('"'): pa.string() for name in header.split(delimiter)}
    source = QuotesCounted(path)
    reader = pyarrow.csv.open_csv(
        source,
        read_options=pyarrow.csv.ReadOptions(block_size=1 << 24),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=False),
        convert_options=pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False),
    )
    return reader.schema, to_the_end(reader, source)


def _whole(path: Path, table: pa.Table, columns: TraceColumns) -> Iterator[Traces]:
    """All traces of a small table, in the order of their first points."""
    if columns.trace_id is not None and table.num_rows:
        ids = pc.cast(table.column(columns.trace_id), pa.string()).combine_chunks()
        codes = np.asarray(pc.dictionary_encode(pc.fill_null(ids, "")).indices)
        if (np.diff(codes) < 0).any():
            table = table.take(pa.array(np.argsort(codes, kind="stable")))
    yield from _streamed(path, table.to_batches(max_chunksize=_ROWS), columns)


def _streamed(path: Path, batches: Iterable[pa.RecordBatch], columns: TraceColumns) -> Iterator[Traces]:
    """Traces as they come; the last one of a batch waits for what the next one may add."""
    seen: set[int] = set()
    waiting: Traces | None = None
    for batch in batches:
        block = _block(path, batch, columns)
        if len(block) == 0:
            continue
        if waiting is not None:
            block = _glued(waiting, block)
        names = list(block.trace_id)
        for place, name in enumerate(names):
            if hash(name) in seen:
                raise InputFileError(
                    path=path,
                    column=columns.trace_id,
                    problem=f"trace {name!r} goes on after points of other traces",
                    remedy="Sort the file by trace, then by time: it is too large to be sorted here",
                )
            if place < len(names) - 1:  # the last one may go on
                seen.add(hash(name))
        if len(block) > 1:
            yield block.take(np.arange(len(block) - 1, dtype=np.int64))
        waiting = block.take(np.array([len(block) - 1], np.int64))
    if waiting is not None:
        yield waiting


def _glued(one: Traces, other: Traces) -> Traces:
    """Both, the last trace of the first and the first one of the second being one where they have the same name."""
    both = joined_traces([one, other])
    if one.trace_id[-1] != other.trace_id[0]:
        return both
    seam = len(one)
    keep = np.delete(np.arange(len(both)), seam)
    first = np.delete(both.first, seam)
    columns: dict[str, Any] = {**vars(both), "first": first, "trace_id": both.trace_id.take(keep)}
    if both.traveller is not None:
        columns["traveller"] = both.traveller.take(keep)
    return Traces(**columns)


def _block(path: Path, batch: pa.RecordBatch, columns: TraceColumns) -> Traces:
    """The points of a batch; each run of rows with one id is a trace."""
    count = batch.num_rows

    def floats(name: str | None) -> Floats | None:
        return None if name is None else numbers(batch.column(name))

    latitude, longitude = floats(columns.latitude), floats(columns.longitude)
    assert latitude is not None  # seen to by `found_in`
    assert longitude is not None
    time = np.full(count, np.nan) if columns.time is None else times(batch.column(columns.time), columns.time_zone)
    speed = floats(columns.speed)
    ids = pa.array([path.stem] * count) if columns.trace_id is None else _texts(batch, columns.trace_id)
    codes = np.asarray(pc.dictionary_encode(ids).indices)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(codes) != 0])) if count else np.zeros(0, np.int64)
    first = np.append(starts, count).astype(np.int64)
    rows = pa.array(starts)
    return Traces(
        Texts(ids.take(rows)),
        first,
        latitude,
        longitude,
        time,
        floats(columns.heading),
        None if speed is None else speed * columns.speed_factor(),
        None if columns.traveller is None else Texts(pc.cast(batch.column(columns.traveller), pa.string()).take(rows)),
        str(path),
        _is_simulated(batch),
    )


def _texts(batch: pa.RecordBatch, name: str) -> pa.Array:
    return pc.fill_null(pc.cast(batch.column(name), pa.string()), "")


def _is_simulated(batch: pa.RecordBatch) -> bool:
    if _SIMULATED not in batch.schema.names:
        return False
    flags = pc.utf8_lower(_texts(batch, _SIMULATED))
    return bool(pc.any(pc.equal(flags, "true")).as_py())


def write_traces(path: str | Path, traces: Traces) -> None:
    """Write traces as a ``.parquet`` or ``.csv`` table of points, which `read_trace_blocks` reads."""
    target = Path(path)
    if target.suffix not in (".parquet", ".csv"):
        raise InputFileError(
            path=path, problem="traces are written as .parquet or .csv", remedy="Choose one of these suffixes"
        )
    row = pa.array(traces.row_of_point)
    time = pa.array((traces.time_s * 1000).round(), from_pandas=True).cast(pa.int64()).cast(pa.timestamp("ms", "UTC"))
    columns: dict[str, Any] = {
        "trace_id": traces.trace_id.arrow().take(row),
        "time": time,
        "latitude": traces.latitude_deg.round(7),
        "longitude": traces.longitude_deg.round(7),
    }
    if traces.heading_deg is not None:
        columns["heading"] = traces.heading_deg
    if traces.speed_kmh is not None:
        columns["speed_kmh"] = traces.speed_kmh
    if traces.traveller is not None:
        columns["traveller"] = traces.traveller.arrow().take(row)
    columns["is_simulated"] = np.full(traces.num_points, traces.is_simulated)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.partial")
    if target.suffix == ".csv":
        pyarrow.csv.write_csv(pa.table(columns), scratch)
    else:
        pyarrow.parquet.write_table(pa.table(columns), scratch, write_page_checksum=True)
    scratch.replace(target)


def traces_from_table(table: pa.Table, columns: TraceColumns | None = None, source: str = "memory") -> Traces:
    """The traces of an Arrow table of points, in any order; `InputFileError` where it lacks a column."""
    found = (columns or TraceColumns()).found_in(table.column_names, source)
    blocks = list(_whole(Path(source), table, found))
    return joined_traces(blocks) if blocks else _block(Path(source), _no_rows(table), found)


def _no_rows(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], table.schema)
