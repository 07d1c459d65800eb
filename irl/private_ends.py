"""k-anonymous origins and destinations: routes whose ends too few travellers share are not written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ..core.types import Bools, Ids
from .trace_cleaning import SkippedTrace


def shared_ends(
    tables: Iterable[pa.Table],
    beside: Path,
    least: int,
    counts: Counter[str],
    note: Callable[[Iterable[SkippedTrace], Counter[str]], None],
) -> Iterator[pa.Table]:
    """The tables' routes whose first and last edge are each those of at least ``least`` travellers' routes that stay.

    The tables go to a file beside ``beside`` first, because all have to be seen before the first can be written.
    """
    kept = beside.with_name(f".{beside.name}.all")
    first, last, traveller = [], [], []
    writer: pyarrow.parquet.ParquetWriter | None = None
    try:
        for table in tables:
            if writer is None:
                writer = pyarrow.parquet.ParquetWriter(kept, table.schema, write_page_checksum=True)
            if table.num_rows:
                writer.write_table(table)
            words = [text.split() for text in table.column("links").to_pylist()]
            first.append(np.array([int(one[0]) for one in words], np.int64))
            last.append(np.array([int(one[-1]) for one in words], np.int64))
            names = zip(table.column("traveller").to_pylist(), table.column("trace_id").to_pylist(), strict=True)
            traveller.append(
                np.array([hash(("who", name) if name else ("trace", own)) for name, own in names], np.int64)
            )
        if writer is None:
            return
        writer.close()
        is_shared = shares_ends(np.concatenate(first), np.concatenate(last), np.concatenate(traveller), least)
        begin = 0
        file = pyarrow.parquet.ParquetFile(kept)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            mine = is_shared[begin : begin + table.num_rows]
            begin += table.num_rows
            left_out = table.column("route_id").filter(pa.array(~mine)).to_pylist()
            note([SkippedTrace(str(name), "rare_ends", f"fewer than {least}") for name in left_out], counts)
            yield table.filter(pa.array(mine))
    finally:
        if writer is not None:
            writer.close()
        kept.unlink(missing_ok=True)


def shares_ends(first: Ids, last: Ids, traveller: Ids, least: int) -> Bools:
    """bool[R]: the largest set of routes in which every first and every last edge belongs to enough travellers.

    Leaving out one route may make the ends of another too rare: repeated until nothing changes.
    """
    is_kept = np.ones(len(first), bool)
    while True:
        is_enough = is_kept.copy()
        for end in (first, last):
            rows = np.flatnonzero(is_kept)
            pairs = np.unique(np.stack([end[rows], traveller[rows]], axis=1), axis=0)
            edges, number = np.unique(pairs[:, 0], return_counts=True)
            is_enough[rows] &= np.isin(end[rows], edges[number >= least])
        if (is_enough == is_kept).all():
            return is_kept
        is_kept = is_enough
