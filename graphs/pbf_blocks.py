"""The blocks of an OSM PBF, by their headers alone: whether the file ends where its last block does."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from ..core.errors import InputFileError

_LARGEST_HEADER, _LARGEST_BLOCK = 64 << 10, 32 << 20
"""The format's own limits, in bytes."""
_VARINT, _BYTES = 0, 2


def check_pbf_blocks(path: Path) -> None:
    """Go from block to block to the end of the file, without unpacking any.

    Raises
    ------
    InputFileError
        The file ends inside a block, goes on with something else after the last one (zeros of a broken download, say,
        which osmium takes for the end), or a block is longer than the format allows; says at which byte.

    Notes
    -----
    Two short reads per block: some 0.1 s per GB.
    """
    size = path.stat().st_size
    at = number = 0
    with open(path, "rb") as file:
        while at < size:
            problem, length = _next(file, size - at)
            if problem is not None:
                raise InputFileError(
                    path=path,
                    problem=f"is damaged or cut short: block {number}, at byte {at:,} of {size:,}, {problem}",
                    remedy="Compare its size and checksum with the source's, and fetch it again",
                )
            at, number = at + length, number + 1
            file.seek(at)


def _next(file: BinaryIO, left: int) -> tuple[str | None, int]:
    """(what is wrong with the block that begins here, its length with all that stands before it)."""
    header_size = int.from_bytes(file.read(4), "big")
    if left < 4 or not 0 < header_size <= _LARGEST_HEADER:
        return "does not begin with the length of a header", 0
    if 4 + header_size > left:
        return "has a header that the file ends in", 0
    data_size = _data_size(file.read(header_size))
    if data_size is None or data_size > _LARGEST_BLOCK:
        return "has a header that does not say how long it is, or more than 32 MiB", 0
    if 4 + header_size + data_size > left:
        missing = 4 + header_size + data_size - left
        return f"lacks {missing:,} bytes", 0
    return None, 4 + header_size + data_size


def _data_size(header: bytes) -> int | None:
    """Field 3 of a BlobHeader; None where there is none or the header is no message."""
    at, found = 0, None
    while at < len(header):
        key, at = _varint(header, at)
        value, at = _varint(header, at)
        if at < 0 or key & 7 not in (_VARINT, _BYTES):
            return None
        if key & 7 == _BYTES:
            at += value
        elif key >> 3 == 3:
            found = value
    return found if at == len(header) else None


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
