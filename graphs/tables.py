"""CSV files as checked columns: every error names file, row and column."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.csv_quotes import QuotesCounted
from ..core.errors import InputFileError
from ..core.types import Bools, Floats, Ids

FIRST_ROW = 2
"""Rows are numbered as lines of the file: the header is 1. Empty lines are skipped and not counted."""

_LARGEST = 1e30
"""Lengths, speeds and times are stored in float32: what lies beyond this, or below its inverse, is a slip."""
_TRUE, _FALSE = ("1", "true", "yes", "t", "y"), ("0", "false", "no", "f", "n", "")


@dataclass(frozen=True, eq=False)
class Table:
    """A CSV file, its cells still text, without white space around them."""

    path: Path
    columns: dict[str, Any]
    """pyarrow string arrays by name."""
    num_rows: int
    first_row: int = FIRST_ROW
    """What errors call the first data row."""

    def error(self, problem: str, remedy: str, *, row: int | None = None, column: str | None = None) -> InputFileError:
        """An error at a data row (counted from 0) of this file."""
        line = None if row is None else row + self.first_row
        return InputFileError(path=self.path, problem=problem, remedy=remedy, row=line, column=column)

    def require(self, *names: str) -> None:
        """`InputFileError` where a column is missing."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            found = ", ".join(self.columns) or "none"
            raise self.error(
                f"has no column {', '.join(missing)} (it has {found})",
                "Add it (see `network_folder`)",
            )

    def texts(self, name: str) -> list[str]:
        """The cells of a column as they stand."""
        return [str(cell) for cell in self.columns[name].to_pylist()]

    def ids(self, name: str) -> Ids:
        """int64[n]; `InputFileError` where a cell is no whole number."""
        values, bad = self._cast(name, "int64")
        if bad is not None:
            raise self.error(f"{self._cell(name, bad)} is not a whole number", "Ids are integers", row=bad, column=name)
        return np.asarray(values, np.int64)

    def numbers(self, name: str, *, blank: float | None = None, above: float | None = None) -> Floats:
        """float64[n], finite.

        Parameters
        ----------
        blank
            Stands in for an empty cell; None = empty cells are an error.
        above
            Every given number must exceed it.
        """
        values, bad = self._cast(name, "float64")
        if bad is not None:
            raise self.error(f"{self._cell(name, bad)} is not a number", "Mend the cell", row=bad, column=name)
        is_blank = self.is_blank(name)
        wrong = ~is_blank & ~np.isfinite(values)
        if above is not None:
            wrong |= ~is_blank & ~((values > above) & (np.abs(values) < _LARGEST) & (np.abs(values) > 1 / _LARGEST))
        if blank is None:
            wrong |= is_blank
        if wrong.any():
            row = int(np.argmax(wrong))
            need = "a finite number" if above is None else f"a finite number above {above:g} and below {_LARGEST:g}"
            raise self.error(f"{self._cell(name, row)} is not {need}", "Mend the cell", row=row, column=name)
        return np.where(is_blank, np.nan if blank is None else blank, values)

    def flags(self, name: str) -> Bools:
        """bool[n] from 0/1, true/false, yes/no; blank = no."""
        cells = [cell.lower() for cell in self.texts(name)]
        for row, cell in enumerate(cells):
            if cell not in _TRUE and cell not in _FALSE:
                raise self.error(f"{cell!r} is neither 0 nor 1", "Mend the cell", row=row, column=name)
        return np.array([cell in _TRUE for cell in cells], bool)

    def is_numeric(self, name: str, *, or_blank: bool = False) -> bool:
        """Every cell is given and reads as a number (NaN and infinities included, for `numbers` to refuse).

        With ``or_blank``, every given cell, of which there are some.
        """
        blank = self.is_blank(name)
        is_given = not bool(blank.all()) if or_blank else not bool(blank.any())
        return is_given and self._cast(name, "float64")[1] is None

    def is_blank(self, name: str) -> Bools:
        """bool[n]: empty cells."""
        import pyarrow.compute as pc

        return np.asarray(pc.equal(self.columns[name], "").to_numpy(zero_copy_only=False), bool)

    def refuse_repeats(self, keys: NDArray[Any], column: str, what: str) -> None:
        """`InputFileError` naming the second of two rows with one key."""
        order = np.argsort(keys, kind="stable")
        same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
        if len(same):
            row, first = int(order[same[0] + 1]), int(order[same[0]])
            problem = f"{what} stands a second time (first in row {first + self.first_row})"
            raise self.error(problem, "Remove one of the two rows", row=row, column=column)

    def _cell(self, name: str, row: int) -> str:
        text = self.columns[name][row].as_py()
        return repr(text) if text else "an empty cell"

    def _cast(self, name: str, kind: str) -> tuple[Floats, int | None]:
        """The column as numbers (blank = NaN for floats), or the first row that is none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = self.columns[name]
        if kind == "float64":
            cells = pc.if_else(pc.equal(cells, ""), "nan", cells)
        try:
            values = cells.cast(kind).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            return np.zeros(0), next(row for row in range(len(cells)) if not _casts(cells.slice(row, 1), kind))
        is_hexadecimal = np.asarray(
            pc.match_substring(cells, "x", ignore_case=True).to_numpy(zero_copy_only=False), bool
        )
        return values, int(np.argmax(is_hexadecimal)) if is_hexadecimal.any() else None


def _casts(cell: Any, kind: str) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.any(pc.match_substring(cell, "x", ignore_case=True)).as_py():  # Arrow would read 0x10 as 16
        return False
    try:
        cell.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def read_table(path: Path) -> Table:
    """Read a CSV file with a header.

    Raises
    ------
    InputFileError
        Missing, empty, not text, a repeated column name, or a row with more or fewer cells than the header.
    """
    import pyarrow as pa
    from pyarrow import csv

    if not path.is_file():
        raise InputFileError(path=path, problem="there is no such file", remedy="Check the path")
    names = _header(path)
    options = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    try:
        with QuotesCounted(path) as source:
            table = csv.read_csv(source, convert_options=options)
            source.require_closed()
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        problem = f"cannot be read as CSV ({str(error).splitlines()[0]})"
        raise InputFileError(path=path, problem=problem, remedy="Give comma-separated UTF-8 with a header") from error
    import pyarrow.compute as pc

    columns = {name: pc.utf8_trim_whitespace(table.column(name)).combine_chunks() for name in names}
    return Table(path, {name.strip(): column for name, column in columns.items()}, table.num_rows)


def read_parquet_table(path: Path) -> Table:
    """Read a Parquet file as if its cells were text; rows count from 1. `InputFileError` where that cannot be."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    if not path.is_file():
        raise InputFileError(path=path, problem="there is no such file", remedy="Check the path")
    try:
        table = parquet.read_table(path)
        columns = {
            name: pc.fill_null(pc.utf8_trim_whitespace(table.column(name).cast(pa.string())), "").combine_chunks()
            for name in table.column_names
        }
    except (pa.ArrowException, OSError) as error:
        problem = f"cannot be read as Parquet ({str(error).splitlines()[0]})"
        raise InputFileError(path=path, problem=problem, remedy="Give columns of numbers and texts") from error
    return Table(path, columns, table.num_rows, first_row=1)


def _header(path: Path) -> list[str]:
    import csv as plain_csv

    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            names = next(plain_csv.reader(file), [])
    except (UnicodeDecodeError, plain_csv.Error) as error:
        raise InputFileError(path=path, problem=f"is not UTF-8 text ({error})", remedy="Save it as UTF-8") from error
    if not names:
        raise InputFileError(path=path, problem="is empty", remedy="Give a header and at least one row")
    stripped = [name.strip() for name in names]
    repeated = sorted({name for name in stripped if stripped.count(name) > 1})
    if repeated:
        raise InputFileError(path=path, problem=f"has the column {repeated[0]!r} twice", remedy="Rename one", row=1)
    return names
