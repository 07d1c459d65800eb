"""What a file that should hold OSM data looks like, told from its first bytes, before any parser sees it."""

from __future__ import annotations

import bz2
import gzip
import re
import zlib
from pathlib import Path
from typing import Literal

from ..core.errors import InputFileError
from .pbf_blocks import check_pbf_blocks

OsmFormat = Literal["pbf", "osm", "osm.gz", "osm.bz2"]

_HEAD_BYTES = 65_536
_SUFFIXES: dict[str, OsmFormat] = {".pbf": "pbf", ".osm": "osm", ".osm.gz": "osm.gz", ".osm.bz2": "osm.bz2"}
_FETCH_AGAIN = "Fetch the extract again (Geofabrik, BBBike and others offer them)"


def check_osm_file(path: Path) -> OsmFormat:
    """The format of an OSM file, told by name and first bytes.

    Raises
    ------
    InputFileError
        Missing, a folder, empty, of an unknown suffix, or holding something else; says what it looks like. Refuses XML
        with a DTD, the vehicle of entity bombs. Reads at most 64 kB, and of a PBF where each block ends.
    """
    if not path.exists():
        raise InputFileError(path=path, problem="there is no such file", remedy="Check the path")
    if not path.is_file():
        raise InputFileError(path=path, problem="is not a file", remedy="Give an .osm.pbf, .osm, .osm.gz or .osm.bz2")
    expected = _format_by_name(path)
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    if expected == "pbf":
        if head[4:15] != b"\n\tOSMHeader":
            raise _wrong_content(path, "an OSM PBF", head)
        check_pbf_blocks(path)
        return expected
    text = _unpacked_head(path, expected, head)
    opening = _as_ascii(text).lower()
    has_document_type = b"<!doctype" in opening and b"<html" not in opening
    if has_document_type or b"<!entity" in opening:
        raise InputFileError(
            path=path,
            problem="declares a document type or entities, which OSM XML never needs and entity bombs do",
            remedy="Do not use this file; " + _FETCH_AGAIN[0].lower() + _FETCH_AGAIN[1:],
        )
    if b"<osm" not in opening:
        raise _wrong_content(path, "OSM XML", text)
    return expected


_HUGE = re.compile(rb"""\bl(?:at|on)=["'][^"'<>]{0,80}[eE]\+?-?[0-9]{2}""")


def check_coordinates(path: Path) -> None:
    """`InputFileError` where OSM XML writes a coordinate with an exponent of two digits or more. Reads all of it."""
    form = _format_by_name(path)
    if form == "pbf":
        return
    before = b""
    with gzip.open(path) if form == "osm.gz" else bz2.open(path) if form == "osm.bz2" else open(path, "rb") as file:
        while block := file.read(1 << 20):
            found = _HUGE.search(before + block.replace(b"\0", b""))
            if found:
                raise InputFileError(
                    path=path,
                    problem=f"has the coordinate {found[0].decode('ascii', 'replace')}, which is none in degrees",
                    remedy="Mend or remove that node",
                )
            before = block[-100:].replace(b"\0", b"")


def looks_like(head: bytes) -> str:
    """What the first bytes of a file look like, in words.

    >>> looks_like(b"<!DOCTYPE html><html>"), looks_like(b"")
    ('an HTML page', 'an empty file')
    """
    if not head:
        return "an empty file"
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    start = _as_ascii(head).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for needle, name in ((b"<!doctype html", "an HTML page"), (b"<html", "an HTML page")):
        if start.startswith(needle):
            return name
    if start.startswith(b"<"):
        if b"<html" in start:
            return "an HTML page"
        if b"<graphml" in start[:2000]:
            return "GraphML (name it .graphml)"
        return "OSM XML" if b"<osm" in start[:2000] else "an XML file that is not OSM"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[4:15] == b"\n\tOSMHeader":
        return "an OSM PBF"
    if head[0] == 0x1A and b"\x0a" in head[1:8]:
        return "a map vector tile"
    if start[:1] in (b"{", b"["):
        return "JSON (an Overpass answer or an error message, perhaps)"
    is_text = all(byte >= 32 or byte in b"\t\r\n" for byte in head[:512])
    return "a text file" if is_text else "no format that is known here"


_MAGIC = (
    (b"\x1f\x8b", "gzip-packed data"),
    (b"BZh", "bzip2-packed data"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\xff\xe0\x04", "an o5m file"),
    (b"%PDF", "a PDF"),
    (b"\x28\xb5\x2f\xfd", "zstd-packed data"),
)


def _format_by_name(path: Path) -> OsmFormat:
    name = path.name.lower()
    for suffix, form in sorted(_SUFFIXES.items(), key=lambda item: -len(item[0])):
        if name.endswith(suffix):
            return form
    raise InputFileError(
        path=path,
        problem=f"has no suffix that is read here ({path.suffix or 'none'})",
        remedy="Name it .osm.pbf, .osm, .osm.gz or .osm.bz2 if it is one",
    )


def _unpacked_head(path: Path, form: OsmFormat, head: bytes) -> bytes:
    if form == "osm":
        return head
    magic = b"\x1f\x8b" if form == "osm.gz" else b"BZh"
    if not head.startswith(magic):
        raise _wrong_content(path, "gzip-packed OSM XML" if form == "osm.gz" else "bzip2-packed OSM XML", head)
    try:
        with gzip.open(path) if form == "osm.gz" else bz2.open(path) as file:
            return file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise InputFileError(path=path, problem=f"cannot be unpacked ({error})", remedy=_FETCH_AGAIN) from error


def _as_ascii(head: bytes) -> bytes:
    """UTF-16 text with its zero bytes taken out, so that a declaration cannot hide in another encoding."""
    return head.replace(b"\0", b"") if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head[:4] else head


def _wrong_content(path: Path, expected: str, head: bytes) -> InputFileError:
    return InputFileError(
        path=path, problem=f"should be {expected} by its name, but looks like {looks_like(head)}", remedy=_FETCH_AGAIN
    )
