"""The pages of a Parquet file, by their headers: Arrow can read for ever where they are not where the footer says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..core.errors import InputFileError

_MAGIC = b"PAR1"
_FIRST, _MOST = 512, 1 << 20
"""Bytes in which a header is looked for: statistics make some long."""
_SLACK = 100
"""Bytes by which old writers tell too little of a column."""
_DEEPEST = 16
_DATA, _INDEX, _DICTIONARY, _DATA_2 = 0, 1, 2, 3
_TYPE, _PACKED_SIZE, _DATA_HEADER, _DATA_2_HEADER = 1, 3, 5, 8
_COUNT = 1


def check_pages(path: Path) -> None:
    """Go from page to page of every column, without unpacking any. Reads the footer itself: Arrow's own view of it can
    end the process.

    Raises
    ------
    InputFileError
        The file does not begin as Parquet, or a column's pages do not add up to what the footer says; names the column.

    Notes
    -----
    One short read per page, some 20 microseconds; pages hold up to a megabyte.
    """
    with open(path, "rb") as file:
        if file.read(4) != _MAGIC:
            raise _damaged(path, None, "does not begin with PAR1")
        try:
            columns = list(_columns(file, path.stat().st_size))
        except (ValueError, IndexError, KeyError, TypeError, AttributeError):
            raise _damaged(path, None, "its footer is no footer of Parquet") from None
        for group, column in columns:
            problem = _problem(file, column)
            if problem is not None:
                raise _damaged(path, column.name, f"{problem} (row group {group})")


@dataclass(frozen=True)
class _Column:
    """A column in a row group, as the footer tells of it."""

    name: str
    first: int
    """Where its pages begin."""
    size: int
    num_values: int


def _columns(file: BinaryIO, size: int) -> Iterator[tuple[int, _Column]]:
    """(row group, column), by the footer: the struct FileMetaData of Parquet's own definition."""
    file.seek(size - 8)
    length = int.from_bytes(file.read(4), "little")
    file.seek(size - 8 - length)
    footer, _ = _struct(file.read(length), 0, 0)
    for group, own in enumerate(footer[4]):
        for chunk in own[1]:
            told = chunk[3]
            name = b".".join(told[3]).decode("utf-8", "replace")
            starts = [told[9], told[11]] if told.get(11) else [told[9]]
            yield group, _Column(name, min(starts), told[7], told[5])


def _damaged(path: Path, column: str | None, problem: str) -> InputFileError:
    return InputFileError(
        path=path,
        column=column,
        problem=f"cannot be read: {problem}",
        remedy="Check that the file is whole, or write it anew",
    )


def _problem(file: BinaryIO, column: _Column) -> str | None:
    """What is wrong with the pages of a column, or None."""
    at = column.first
    end, seen = at + column.size + _SLACK, 0
    while seen < column.num_values:
        if not 4 <= at < end:
            return f"its pages hold {seen:,} values, the footer says {column.num_values:,}"
        try:
            kind, count, length = _page(file, at)
        except (ValueError, IndexError):
            return f"there is no page at byte {at:,}"
        at += length
        seen += count if kind in (_DATA, _DATA_2) else 0
    if at > end or seen != column.num_values:
        return f"its pages hold {seen:,} values in {at:,} bytes, the footer says {column.num_values:,} in {end:,}"
    return None


def _page(file: BinaryIO, at: int) -> tuple[int, int, int]:
    """(type, number of values, length with its header) of the page that begins there."""
    size = _FIRST
    while True:
        file.seek(at)
        content = file.read(size)
        try:
            fields, length = _struct(content, 0, 0)
            break
        except IndexError:
            if len(content) < size or size >= _MOST:
                raise
            size *= 16
    kind, packed = fields.get(_TYPE), fields.get(_PACKED_SIZE)
    if kind not in (_DATA, _INDEX, _DICTIONARY, _DATA_2) or not isinstance(packed, int) or packed < 0:
        raise ValueError("no page header")
    own = fields.get(_DATA_HEADER if kind == _DATA else _DATA_2_HEADER, {})
    count = own.get(_COUNT, -1) if isinstance(own, dict) else -1
    if kind in (_DATA, _DATA_2) and not (isinstance(count, int) and count >= 0):
        raise ValueError("a page of data without a number of values")
    return kind, count, length + packed


def _struct(content: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """(numbers, texts, lists and structs by field, where it ends) of a struct in Thrift's compact protocol."""
    fields: dict[int, Any] = {}
    number = 0
    while content[at]:
        byte = content[at]
        at += 1
        if byte >> 4:
            number += byte >> 4
        else:
            number, at = _zigzag(content, at)
        fields[number], at = _value(content, at, byte & 15, depth)
    return fields, at + 1


def _value(content: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """(value, where it ends); IndexError where it is longer than the content."""
    if depth > _DEEPEST:
        raise ValueError("structs in structs without end")
    if kind in (1, 2):  # yes and no, in the field's own byte
        return kind == 1, at
    if kind in (4, 5, 6):
        return _zigzag(content, at)
    if kind in (3, 7):
        return None, at + (1 if kind == 3 else 8)
    if kind == 8:
        size, at = _varint(content, at)
        if at + size > len(content):
            raise IndexError(at)
        return content[at : at + size], at + size
    if kind in (9, 10):
        return _list(content, at, depth)
    if kind == 12:
        return _struct(content, at, depth + 1)
    raise ValueError("no such type")


def _list(content: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    """(values, where they end)."""
    values = []
    size, kind = content[at] >> 4, content[at] & 15
    at += 1
    if size == 15:
        size, at = _varint(content, at)
    for _ in range(size):
        if kind in (1, 2):
            value, at = content[at] == 1, at + 1
        else:
            value, at = _value(content, at, kind, depth + 1)
        values.append(value)
        if at > len(content):
            raise IndexError(at)
    return values, at


def _zigzag(content: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(content, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
    raise ValueError("a number without an end")
