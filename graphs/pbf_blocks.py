"""The blocks of an OSM PBF, by what they say of themselves: whether the file is whole, and no bomb."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

from ..core.errors import InputFileError

_LARGEST_HEADER, _LARGEST_BLOCK = 64 << 10, 32 << 20
"""The format's own limits, in bytes."""
_PACKED, _SPARE = 30, 16 << 20
"""Blocks may unpack to so many times the file, and so many bytes more; real extracts stay below 4 times."""
_VARINT, _BYTES = 0, 2
_RAW, _RAW_SIZE, _ZLIB = 1, 2, 3
_TEXTS = 1
"""Field of a block: its table of texts."""
_MOST_FIELDS = 100_000
"""Of a block before its texts, which all writers put first."""
_LONGEST_FIELD = 20
"""Bytes of a key and a number, at most."""


def check_pbf_blocks(path: Path) -> None:
    """Go from block to block to the end of the file, and look for zero bytes in their texts.

    Raises
    ------
    InputFileError
        The file ends inside a block, goes on with something else after the last one (zeros of a broken download, say,
        which osmium takes for the end), a block is longer than the format allows, or all of them would unpack to more
        than 30 times the file, as bombs do: nodes take up to 22 times the memory of their bytes. A tag with a zero byte
        inside it, over whose end osmium reads until the process dies.

    Notes
    -----
    Every block is unpacked once: some 30 ms for an extract of 3 MB, with one block in memory.
    """
    size = path.stat().st_size
    at = number = unpacked = 0
    with open(path, "rb") as file:
        while at < size:
            problem, length, more = _next(file, at, size - at, b"OSMData" if at else b"OSMHeader")
            unpacked += more
            if problem is not None:
                raise InputFileError(
                    path=path,
                    problem=f"is damaged or cut short: block {number}, at byte {at:,} of {size:,}, {problem}",
                    remedy="Compare its size and checksum with the source's, and fetch it again",
                )
            if unpacked > _PACKED * size + _SPARE:
                raise InputFileError(
                    path=path,
                    problem=f"would unpack to more than {_PACKED} times its size, as bombs do and extracts do not",
                    remedy="Do not use this file, or write it anew by osmium if you trust its source",
                )
            if number and _has_zero_in_texts(file, at, length):
                raise InputFileError(
                    path=path,
                    problem=f"is damaged: block {number}, at byte {at:,} of {size:,}, has a text with a zero byte",
                    remedy="Fetch it again, or remove that tag by another program",
                )
            at, number = at + length, number + 1


def _next(file: BinaryIO, at: int, left: int, kind: bytes) -> tuple[str | None, int, int]:
    """(what is wrong with the block that begins here, its length with all that stands before it, unpacked size)."""
    file.seek(at)
    header_size = int.from_bytes(file.read(4), "big")
    if left < 4 or not 0 < header_size <= _LARGEST_HEADER:
        return "does not begin with the length of a header", 0, 0
    if 4 + header_size > left:
        return "has a header that the file ends in", 0, 0
    data_size = _data_size(file.read(header_size), kind)
    if data_size is None or data_size > _LARGEST_BLOCK:
        return f"has a header that does not say {kind.decode()} and a length of at most 32 MiB", 0, 0
    length = 4 + header_size + data_size
    if length > left:
        return f"lacks {length - left:,} bytes", 0, 0
    unpacked = _unpacked_size(file, at + 4 + header_size, at + length)
    return (None, length, unpacked) if unpacked is not None else ("is no message", 0, 0)


def _data_size(header: bytes, kind: bytes) -> int | None:
    """Field 3 of a BlobHeader; None where there is none, where field 1 is of another kind, or in no message."""
    at, found, is_kind = 0, None, False
    while at < len(header):
        key, at = _varint(header, at)
        value, at = _varint(header, at)
        if at < 0 or key & 7 not in (_VARINT, _BYTES):
            return None
        if key & 7 == _BYTES:
            is_kind |= key >> 3 == 1 and header[at : at + value] == kind
            at += value
        elif key >> 3 == 3:
            found = value
    return found if at == len(header) and is_kind else None


def _unpacked_size(file: BinaryIO, at: int, end: int) -> int | None:
    """Bytes of a blob's data, as it says itself (osmium holds it to that); None where the blob is no message."""
    found = 0
    while at < end:
        file.seek(at)
        field = file.read(min(_LONGEST_FIELD, end - at))
        key, place = _varint(field, 0)
        value, place = _varint(field, place)
        if place < 0 or key & 7 not in (_VARINT, _BYTES):
            return None
        if key >> 3 in (_RAW, _RAW_SIZE):
            found = max(found, value)
        at += place + (value if key & 7 == _BYTES else 0)
    return found if at == end else None


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """(number, where it ends), or an end of -1 where there is none."""
    value = shift = 0
    while 0 <= at < len(content) and shift < 64:
        value |= (content[at] & 127) << shift
        shift += 7
        at += 1
        if content[at - 1] < 128:
            return value, at
    return 0, -1


def _has_zero_in_texts(file: BinaryIO, at: int, length: int) -> bool:
    """Whether the block's table of texts has one with a zero byte; False for what is no such block."""
    file.seek(at)
    header_size = int.from_bytes(file.read(4), "big")
    file.seek(at + 4 + header_size)
    blob = _fields(file.read(length - 4 - header_size))
    try:
        data = blob[_RAW] if _RAW in blob else zlib.decompressobj().decompress(blob[_ZLIB], _LARGEST_BLOCK)
    except (KeyError, zlib.error):  # osmium will say what it thinks of it
        return False
    table = _fields(data, only=_TEXTS).get(_TEXTS, b"")
    if table.count(0) <= table.startswith(b"\n\0"):  # the first text is empty, and nothing else is zero
        return False
    place = 0
    while 0 <= place < len(table):
        key, place = _varint(table, place)
        size, place = _varint(table, place)
        if place < 0 or key & 7 != _BYTES:
            return True  # no table of texts
        if 0 in table[place : place + size]:
            return True
        place += size
    return False


def _fields(content: bytes, only: int | None = None) -> dict[int, bytes]:
    """The fields of bytes of a message, by number, as far as it is one; up to the first of number ``only``."""
    found: dict[int, bytes] = {}
    at = number = 0
    while 0 <= at < len(content) and only not in found and number < _MOST_FIELDS:
        key, at = _varint(content, at)
        value, at = _varint(content, at)
        number += 1
        if at < 0 or key < 8 or key & 7 not in (_VARINT, _BYTES):  # a field has a number from 1 on
            break
        if key & 7 == _BYTES:
            found[key >> 3] = content[at : at + value]
            at += value
    return found
