"""Ways to damage a file: bytes of any kind, and text, tables, XML and JSON with some sense of what they hold."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Random = np.random.Generator
Files = dict[str, bytes]
"""Content by name."""
Mutator = Callable[[bytes, Random], bytes]

NUMBERS = (
    *("nan", "NaN", "inf", "-inf", "Infinity", "1e308", "-1e308", "1e400", "1e-320", "-1", "0", "-0.0", "", " ", "x"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "99999999999999999999999999", "2147483648"),
    *(
        "0x10",
        "1,5",
        "1_000",
        "+7",
        " 7 ",
        "--1",
        "1e",
        "1.0",
        "null",
        "true",
        "'",
        '"',
        "\u0661\u0662",
        "7\0",
        "1" * 400,
    ),
)
"""What a number in a text becomes."""
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_TOKEN = re.compile(rb"[A-Za-z_]+|\d+")


def _place(content: bytes, random: Random) -> int:
    return int(random.integers(len(content) + 1))


def _span(content: bytes, random: Random, longest: int = 64) -> tuple[int, int]:
    begin = _place(content, random)
    return begin, min(len(content), begin + 1 + int(random.integers(longest)))


def pick(values: Any, random: Random) -> Any:
    """One of a sequence."""
    return values[int(random.integers(len(values)))]


# -------------------------------------------------------------------------------------------------------- any bytes


def flip_bits(content: bytes, random: Random) -> bytes:
    """One to four bits."""
    altered = bytearray(content)
    for _ in range(1 + int(random.integers(4)) * int(random.integers(2))):
        altered[int(random.integers(len(altered)))] ^= 1 << int(random.integers(8))
    return bytes(altered)


def truncate(content: bytes, random: Random) -> bytes:
    """The end is missing: a little of it, or much."""
    short = int(random.integers(1, 17)) if random.integers(2) else int(random.integers(1, len(content) + 1))
    return content[: max(0, len(content) - short)]


def behead(content: bytes, random: Random) -> bytes:
    """The beginning is missing."""
    return content[1 + int(random.integers(min(len(content), 256))) :]


def delete_chunk(content: bytes, random: Random) -> bytes:
    """Some bytes are missing."""
    begin, end = _span(content, random)
    return content[:begin] + content[end:]


def double_chunk(content: bytes, random: Random) -> bytes:
    """Some bytes stand twice."""
    begin, end = _span(content, random, 256)
    return content[:end] + content[begin:end] + content[end:]


def swap_chunks(content: bytes, random: Random) -> bytes:
    """Two pieces in each other's place."""
    a, b, c, d = sorted(_place(content, random) for _ in range(4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def insert_noise(content: bytes, random: Random) -> bytes:
    """Random bytes somewhere."""
    at = _place(content, random)
    return content[:at] + random.bytes(1 + int(random.integers(16))) + content[at:]


def overwrite(content: bytes, random: Random) -> bytes:
    """A stretch of zeros, of ones, or of noise."""
    begin, end = _span(content, random)
    filling = (b"\0" * (end - begin), b"\xff" * (end - begin), random.bytes(end - begin))
    return content[:begin] + pick(filling, random) + content[end:]


def append_noise(content: bytes, random: Random) -> bytes:
    """Something after the end: noise, zeros, or the file once more."""
    return content + pick((random.bytes(9), b"\0" * 9, content, content[:20]), random)


def nothing_left(content: bytes, random: Random) -> bytes:
    """An empty file, zeros, a page of HTML, or noise."""
    page = b"<!DOCTYPE html><html><body>503</body></html>"
    return bytes(pick((b"", b"\0" * len(content), page, random.bytes(len(content)), b"\n"), random))


BYTES: tuple[Mutator, ...] = (
    *(flip_bits, flip_bits, flip_bits, truncate, truncate, behead, delete_chunk, double_chunk, swap_chunks),
    *(insert_noise, overwrite, append_noise, nothing_left),
)

# ------------------------------------------------------------------------------------------------------------- text


def replace_number(content: bytes, random: Random) -> bytes:
    """One number becomes something that is none, or is out of range."""
    found = list(_NUMBER.finditer(content))
    if not found:
        return flip_bits(content, random)
    one = pick(found, random)
    return content[: one.start()] + str(pick(NUMBERS, random)).encode() + content[one.end() :]


def alter_token(content: bytes, random: Random) -> bytes:
    """A word or number is missing, stands twice, or becomes another one of the file."""
    found = list(_TOKEN.finditer(content))
    if len(found) < 2:
        return flip_bits(content, random)
    one, other = pick(found, random), pick(found, random)
    new = pick((b"", one[0] + one[0], one[0] + b" " + one[0], other[0], one[0].upper()), random)
    return content[: one.start()] + bytes(new) + content[one.end() :]


def swap_tokens(content: bytes, random: Random) -> bytes:
    """Two words or numbers in each other's place."""
    found = list(_TOKEN.finditer(content))
    if len(found) < 2:
        return flip_bits(content, random)
    one, other = sorted((pick(found, random), pick(found, random)), key=lambda match: match.start())
    if one.start() == other.start():
        return flip_bits(content, random)
    middle = content[one.end() : other.start()]
    return content[: one.start()] + other[0] + middle + one[0] + content[other.end() :]


def encode_otherwise(content: bytes, random: Random) -> bytes:
    """Another encoding, or a byte that none has."""
    text, at = content.decode("utf-8", "replace"), _place(content, random)
    return bytes(
        pick(
            (
                b"\xef\xbb\xbf" + content,
                b"\xef\xbb\xbf\xef\xbb\xbf" + content,
                text.encode("utf-16"),
                text.encode("utf-16-le"),
                text.encode("utf-32"),
                content[:at] + "é".encode("latin-1") + content[at:],
                content[:at] + "\u2028é\u200b\u0661".encode() + content[at:],
                content[:at] + b"\xed\xa0\x80" + content[at:],
                content[:at] + b"\0" + content[at:],
            ),
            random,
        )
    )


def end_lines_otherwise(content: bytes, random: Random) -> bytes:
    """Other line ends, some of them, none, or too many."""
    lines = content.split(b"\n")
    ends = (b"\r\n", b"\r", b"\n\n", b"\n \n", b"", b"\x0b", b"\x85")
    if random.integers(2):
        return bytes(pick(ends, random)).join(lines)
    at = int(random.integers(len(lines)))
    return b"\n".join(lines[: at + 1]) + bytes(pick(ends, random)) + b"\n".join(lines[at + 1 :])


def grow(content: bytes, random: Random) -> bytes:
    """A word of a hundred thousand letters, or a quotation that never ends."""
    at = _place(content, random)
    return content[:at] + bytes(pick((b"a" * 100_000, b"9" * 100_000, b'"', b"'", b"," * 5000), random)) + content[at:]


def alter_lines(content: bytes, random: Random) -> bytes:
    """A line is missing, stands twice, or has moved."""
    lines = content.split(b"\n")
    at, to = int(random.integers(len(lines))), int(random.integers(len(lines)))
    how = int(random.integers(3))
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(to, lines[at])
    else:
        lines.insert(to, lines.pop(at))
    return b"\n".join(lines)


TEXT: tuple[Mutator, ...] = (
    *(replace_number, replace_number, replace_number, alter_token, swap_tokens, encode_otherwise, end_lines_otherwise),
    *(grow, alter_lines),
)

# ------------------------------------------------------------------------------------------------------------ tables


def _rows(content: bytes) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(content.decode("utf-8"))) if row]


def _written(rows: list[list[str]], random: Random) -> bytes:
    marks = pick((",", ",", ",", ",", ";", "\t"), random)
    quoting = pick((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL), random)
    out = io.StringIO()
    csv.writer(out, delimiter=marks, quoting=quoting, lineterminator=pick(("\n", "\n", "\r\n"), random)).writerows(rows)
    return out.getvalue().encode()


def alter_table(content: bytes, random: Random) -> bytes:
    """A cell, row or column is bad, missing, doubled or moved."""
    rows = _rows(content)
    row, other = (1 + int(random.integers(len(rows) - 1)) for _ in range(2))
    one, two = (int(random.integers(len(rows[0]))) for _ in range(2))
    how = int(random.integers(14))
    if how < 4:
        rows[row][one] = str(pick(NUMBERS, random))
    elif how == 4:  # the header's names change places, the columns do not
        rows[0][one], rows[0][two] = rows[0][two], rows[0][one]
    elif how == 5:
        rows = [[cell for place, cell in enumerate(line) if place != one] for line in rows]
    elif how == 6:
        rows[0][one] = rows[0][two]
    elif how == 7:
        del rows[0]
    elif how == 8:
        rows.insert(row, list(rows[0]))
    elif how == 9:
        del rows[row][one]
    elif how == 10:
        rows[row].insert(one, str(pick(NUMBERS, random)))
    elif how == 11:
        rows[row][one], rows[other][one] = rows[other][one], rows[row][one]
    elif how == 12:
        rows[row][one] = pick(("a\nb", 'a"b', rows[row][one] + "\n", " " + rows[row][one] + "\t", "a,b"), random)
    else:
        for line in rows[1:]:
            line[one] = str(pick(NUMBERS, random))
    return _written(rows, random)


TABLE: tuple[Mutator, ...] = (*BYTES, *TEXT, *TEXT, *(alter_table,) * 14)

# --------------------------------------------------------------------------------------------------------------- XML

_BOMBS = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">%s]>'
    % b"".join(b'<!ENTITY %c "%s">' % (98 + k, b"&%c;" % (97 + k) * 10) for k in range(9)),
    b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
    b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/none.dtd">',
    b'<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/hostname">%p;]>',
    b'<!DOCTYPE x [<!ATTLIST x y CDATA "1">]>',
)
_PIECES = (
    b"<a>",
    b"</a>",
    b"<![CDATA[",
    b"]]>",
    b"<!-- ",
    b"-->",
    b"<?x y?>",
    b"&amp;",
    b"&bad;",
    b"&#0;",
    b"&#x110000;",
    b"<",
    b">",
)


def hide_bomb(content: bytes, random: Random) -> bytes:
    """Entities, some of them used."""
    end = content.find(b"?>") + 2 if content.startswith(b"<?xml") else 0
    rest = content[end:]
    if random.integers(2):
        at = rest.find(b">", int(random.integers(len(rest)))) + 1
        rest = rest[:at] + bytes(pick((b"&j;", b"&a;", b""), random)) + rest[at:]
    return content[:end] + bytes(pick(_BOMBS, random)) + rest


def nest_deeply(content: bytes, random: Random) -> bytes:
    """Elements in elements in elements; or thousands of attributes."""
    at = content.find(b">", int(random.integers(len(content)))) + 1
    depth = int(pick((100, 10_000, 100_000), random))
    many = b"<x " + b" ".join(b'a%d="1"' % k for k in range(min(depth, 10_000))) + b"/>"
    return content[:at] + bytes(pick((b"<x>" * depth + b"</x>" * depth, b"<x>" * depth, many), random)) + content[at:]


def alter_xml(content: bytes, random: Random) -> bytes:
    """An element is missing or stands twice, an attribute is missing, doubled or bad, a piece of syntax too many."""
    tags = list(re.finditer(rb"<[^>]*>", content))
    attributes = list(re.finditer(rb'\s[\w:]+="[^"]*"', content))
    one, how = pick(tags, random), int(random.integers(6))
    if how == 0:
        return content[: one.start()] + content[one.end() :]
    if how == 1:
        return content[: one.end()] + one[0] + content[one.end() :]
    if how == 2:
        return content[: one.end()] + bytes(pick(_PIECES, random)) + content[one.end() :]
    if how == 3:
        return content.replace(b"UTF-8", bytes(pick((b"UTF-16", b"latin-1", b"no-such", b"ascii"), random)), 1)
    chosen = pick(attributes, random)
    if how == 4:
        return content[: chosen.start()] + chosen[0] * int(random.integers(3)) + content[chosen.end() :]
    name = chosen[0].split(b"=")[0]
    value = str(pick(NUMBERS, random)).replace('"', "&quot;").replace("\0", "").encode()
    return content[: chosen.start()] + name + b'="' + value + b'"' + content[chosen.end() :]


XML: tuple[Mutator, ...] = (*BYTES, *TEXT, *TEXT, hide_bomb, nest_deeply, *(alter_xml,) * 10)

# -------------------------------------------------------------------------------------------------------------- JSON

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1e308, 10**400, "", "x", "nan", [], {}, [[]], [None], {"a": 1}, float("nan")),
    *(
        float("inf"),
        2**63,
        -(2**63) - 1,
        "1e400",
        "2023-13-45",
        "9999-12-31T23:59:59Z",
        "\ud800",
        "\0",
        [1, 2, 3, 4, 5],
    ),
)


def alter_json(content: bytes, random: Random) -> bytes:
    """A value somewhere in the document becomes another one, is missing, or stands twice."""
    document = json.loads(content)
    places = list(_places(document))
    holder, key = pick(places, random)
    how = int(random.integers(6))
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif how == 2:
        other, its = pick(places, random)
        holder[key], other[its] = other[its], holder[key]
    else:
        holder[key] = pick(_VALUES, random)
    try:
        return json.dumps(document, indent=pick((None, 1), random)).encode()
    except (ValueError, RecursionError):  # swapped into itself
        return content[:-1]


def _places(value: Any) -> Any:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def nest_json(content: bytes, random: Random) -> bytes:
    """Lists in lists in lists, in the place of a number."""
    found = list(_NUMBER.finditer(content))
    if not found:
        return truncate(content, random)
    one, depth = pick(found, random), int(pick((50, 5000, 200_000), random))
    return content[: one.start()] + b"[" * depth + b"]" * depth + content[one.end() :]


JSON: tuple[Mutator, ...] = (*BYTES, *TEXT, nest_json, *(alter_json,) * 14)

PLAIN: tuple[Mutator, ...] = (*BYTES, *TEXT, *TEXT)
KINDS: Mapping[str, tuple[Mutator, ...]] = {"bytes": BYTES, "text": PLAIN, "table": TABLE, "xml": XML, "json": JSON}


def mutate(content: bytes, kind: str, random: Random) -> tuple[bytes, str]:
    """The content damaged in one way of its kind, or in two; and by which."""
    names = []
    for _ in range(2 if random.random() < 0.15 else 1):
        mutator = pick(KINDS[kind], random)
        try:
            content = mutator(content, random)
        except (ValueError, IndexError, UnicodeDecodeError, csv.Error, RecursionError):  # nothing left to work on
            continue
        names.append(mutator.__name__)
    return content, " and ".join(names) or "nothing"
