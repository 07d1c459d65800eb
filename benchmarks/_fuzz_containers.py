"""Damage below a container's own checks: blocks of a PBF packed anew, a Parquet table altered, folders signed anew."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from _fuzz_mutations import BYTES, NUMBERS, Files, Random, alter_json, pick

# --------------------------------------------------------------------------------------------------------------- PBF


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(128 | value & 127)
        value >>= 7
    return bytes([*out, value])


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number without an end")


def fields(content: bytes) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of a protobuf message; `ValueError` or `IndexError` where it is none."""
    at = 0
    while at < len(content):
        key, at = _read_varint(content, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value: Any
            value, at = _read_varint(content, at)
        elif kind == 2:
            size, at = _read_varint(content, at)
            if at + size > len(content):
                raise ValueError("a field longer than its message")
            value, at = content[at : at + size], at + size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            if at + size > len(content):
                raise ValueError("a field longer than its message")
            value, at = content[at : at + size], at + size
        else:
            raise ValueError("no such wire type")
        yield number, kind, value


def read_blocks(content: bytes) -> list[tuple[bytes, bytes]]:
    """(type, unpacked data) of each block of a PBF; `ValueError`, `IndexError` or `zlib.error` where it is damaged."""
    blocks, at = [], 0
    while at < len(content):
        if at + 4 > len(content):
            raise ValueError("half a length at the end")
        (size,) = struct.unpack(">I", content[at : at + 4])
        header = {number: value for number, _, value in fields(content[at + 4 : at + 4 + size])}
        at += 4 + size
        if at > len(content) or 1 not in header or 3 not in header:
            raise ValueError("no block header")
        if at + header[3] > len(content):
            raise ValueError("a block longer than the file")
        blob = {number: value for number, _, value in fields(content[at : at + header[3]])}
        at += header[3]
        blocks.append((header[1], _unpacked(blob)))
    return blocks


def _unpacked(blob: dict[int, Any]) -> bytes:
    if 1 in blob:
        return bytes(blob[1])
    data = zlib.decompress(blob[3])
    if len(data) != blob[2]:
        raise ValueError("another size than said")
    return data


def _message(*parts: tuple[int, int | bytes]) -> bytes:
    out = b""
    for number, value in parts:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            out += _varint(number << 3 | 2) + _varint(len(value)) + value
    return out


@functools.cache
def _bomb() -> bytes:
    return zlib.compress(b"\0" * 40_000_000)


def write_blocks(blocks: list[tuple[bytes, bytes]], random: Random | None = None) -> bytes:
    """A PBF of these blocks; with a generator, one of them lies about its size, or is packed in an odd way."""
    out = b""
    liar = -1 if random is None else int(random.integers(len(blocks)))
    for place, (kind, data) in enumerate(blocks):
        packed, size = zlib.compress(data), len(data)
        blob = _message((2, size), (3, packed))
        told = None
        if place == liar and random is not None:
            lie = int(pick((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, size + 1, size - 1, 33 * 2**20), random))
            bomb = _bomb()
            blob = pick(
                (
                    _message((2, lie), (3, packed)),
                    _message((1, data)),
                    _message((3, packed)),
                    _message((2, size)),
                    _message((2, size), (3, bomb)),
                    _message((2, 40_000_000), (3, bomb)),
                    _message((2, size), (4, packed)),
                    _message((2, size), (6, packed)),
                    _message((1, data), (2, size), (3, packed)),
                ),
                random,
            )
            told = lie if random.integers(4) == 0 else None
        header = _message((1, kind), (3, len(blob) if told is None else told))
        out += struct.pack(">I", len(header)) + header + blob
    return out


def alter_inside_pbf(content: bytes, random: Random) -> tuple[bytes, str]:
    """One block's content is damaged and packed again with right sizes; or a block is missing, doubled or lies."""
    blocks = read_blocks(content)
    at, how = int(random.integers(len(blocks))), int(random.integers(8))
    if how == 0:
        del blocks[at]
    elif how == 1:
        blocks.insert(int(random.integers(len(blocks) + 1)), blocks[at])
    elif how == 2:
        return write_blocks(blocks, random), "a lying block"
    else:
        kind, data = blocks[at]
        mutator = pick(BYTES, random)
        blocks[at] = kind, mutator(data, random)
        return write_blocks(blocks), f"{mutator.__name__} inside a block"
    return write_blocks(blocks), "blocks moved"


# ----------------------------------------------------------------------------------------------------------- Parquet


def table_of(content: bytes, **options: Any) -> pa.Table:
    """A Parquet file's table."""
    return pyarrow.parquet.ParquetFile(pa.BufferReader(content), **options).read(use_threads=False)


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    """A table as a Parquet file, its pages with checksums."""
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out, **{"write_page_checksum": True, **options})
    return out.getvalue()


def alter_parquet_table(content: bytes, random: Random) -> tuple[bytes, str]:
    """A column has another type or bad values, is missing or has another name; the file itself is sound."""
    table = table_of(content)
    name = str(pick(table.column_names, random))
    at, column = table.column_names.index(name), table.column(name)
    how, options = str(pick(("cell", "cell", "cell", "type", "type", "drop", "rename", "rows", "same"), random)), {}
    if how == "cell":
        table = table.set_column(at, name, _with_bad_cell(column, random))
    elif how == "type":
        table = table.set_column(at, name, _of_other_type(column, random))
    elif how == "drop":
        table = table.drop_columns([name])
    elif how == "rename":
        names = list(table.column_names)
        names[at] = str(pick((*names, "", "x", name.upper(), f" {name} "), random))
        table = table.rename_columns(names)
    elif how == "rows":
        rows = np.sort(random.integers(len(table), size=int(random.integers(0, 2 * len(table)))))
        table = table.take(pa.array(random.permutation(rows)))
    options["compression"] = pick(("none", "snappy", "gzip", "zstd", "lz4", "brotli"), random)
    options["row_group_size"] = int(pick((1, 7, 1000), random))
    options["use_dictionary"] = bool(random.integers(2))
    options["data_page_version"] = pick(("1.0", "2.0"), random)
    return parquet_bytes(table, **options), f"{how} of {name}"


def _with_bad_cell(column: pa.ChunkedArray, random: Random) -> pa.Array:
    values = column.to_pylist()
    row = int(random.integers(len(values)))
    kind = column.type
    if pa.types.is_floating(kind):
        values[row] = pick((float("nan"), float("inf"), -float("inf"), 1e308, -1.0, 0.0, 5e-324, None), random)
    elif pa.types.is_integer(kind):
        values[row] = pick((0, -1, 2**63 - 1, -(2**63), None), random)
    elif pa.types.is_boolean(kind):
        values[row] = pick((None, True, False), random)
    elif pa.types.is_timestamp(kind):
        ends = pa.array([2**63 - 1, -(2**63), 0], pa.int64()).cast(kind)
        replaced = [ends[int(random.integers(3))] if k == row else one for k, one in enumerate(column)]
        return pa.array([one.cast(pa.int64()).as_py() for one in replaced], pa.int64()).cast(kind)
    elif pa.types.is_list(kind):
        values[row] = pick((None, [], [None], [-1, 0], [2**63 - 1] * 2, list(range(1000))), random)
    else:
        values[row] = pick((*NUMBERS, None), random)
    return pa.array(values, kind)


def _of_other_type(column: pa.ChunkedArray, random: Random) -> pa.Array:
    texts = [None if one is None else str(one) for one in column.to_pylist()]
    count = len(texts)
    made = (
        lambda: pa.array(texts, pa.string()),
        lambda: pa.array([None if one is None else one.encode() for one in texts], pa.binary()),
        lambda: pa.array(texts, pa.string()).dictionary_encode(),
        lambda: pa.array([[one] for one in texts], pa.list_(pa.string())),
        lambda: pa.array([{"a": one} for one in texts], pa.struct([("a", pa.string())])),
        lambda: pa.array(np.arange(count), pa.int64()),
        lambda: pa.array(np.arange(count) % 128, pa.int8()),
        lambda: pa.array(np.arange(count), pa.uint64()),
        lambda: pa.array(np.arange(count, dtype=np.float16), pa.float16()),
        lambda: pa.array(np.full(count, np.nan)),
        lambda: pa.array(np.zeros(count, bool)),
        lambda: pa.nulls(count),
        lambda: pa.array([None] * count, pa.float64()),
        lambda: pa.array(np.arange(count), pa.int32()).cast(pa.date32()),
        lambda: pa.array(np.arange(count), pa.int64()).cast(pa.timestamp("ns")),
        lambda: pa.array(np.arange(count), pa.int64()).cast(pa.timestamp("s", "Europe/Lisbon")),
        lambda: pa.array(np.arange(count), pa.int64()).cast(pa.duration("us")),
        lambda: pa.array(np.arange(count), pa.int32()).cast(pa.decimal128(12, 2)),
        lambda: pa.array([[k, k + 1] for k in range(count)], pa.list_(pa.int64())),
        lambda: pa.array([[0.5, None] for _ in range(count)], pa.list_(pa.float64())),
        lambda: pa.array([b"\xff\xfe"] * count, pa.binary()),
        lambda: pa.array([["1", None, "x"]] * count, pa.large_list(pa.string())),
    )
    return pick(made, random)()


# ----------------------------------------------------------------------------------------------------- stored folders


def sign(files: Files) -> Files:
    """The same files with manifests that say what they are now, from the innermost folder outwards."""
    signed = dict(files)
    for manifest in sorted((name for name in files if name.endswith("manifest.json")), key=lambda n: -n.count("/")):
        folder = manifest.removesuffix("manifest.json")
        document = json.loads(files[manifest])
        listed = [n for n in signed if n.startswith(folder) and "/" not in n.removeprefix(folder) and n != manifest]
        document["files"] = {n.removeprefix(folder): _entry(signed[n]) for n in sorted(listed)}
        document["folders"] = {
            name: hashlib.sha256(signed[f"{folder}{name}/manifest.json"]).hexdigest() for name in document["folders"]
        }
        signed[manifest] = (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
    return signed


def _entry(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def alter_and_sign(files: Files, random: Random) -> tuple[Files, str]:
    """A file of a stored folder says something else, and the manifests agree with it: what no checksum can see."""
    altered = dict(files)
    name = str(pick([n for n in files if not n.endswith("manifest.json")], random))
    if name.endswith(".npy") and random.integers(4):
        altered[name], how = _bad_array(files[name], random)
    elif name.endswith(".json"):
        mutator = pick((alter_json, alter_json, alter_json, *BYTES[:4]), random)
        altered[name], how = mutator(files[name], random), mutator.__name__
    elif random.integers(6) == 0:
        del altered[name]
        how = "missing"
    else:
        mutator = pick(BYTES, random)
        altered[name], how = mutator(files[name], random), mutator.__name__
    return sign(altered), f"{name} ({how}), signed anew"


def _bad_array(content: bytes, random: Random) -> tuple[bytes, str]:
    array = np.load(io.BytesIO(content), allow_pickle=False)
    how = str(pick(("value", "value", "shorter", "longer", "type", "shape", "header"), random))
    if how == "value" and array.size:
        array = array.copy()
        with np.errstate(all="ignore"):
            bad = pick((-1, 2**31 - 1, -(2**31), 10**6, np.nan, np.inf, 0), random)
            array.flat[int(random.integers(array.size))] = np.array(bad, np.float64).astype(array.dtype)
    elif how == "shorter":
        array = array[: int(random.integers(len(array) + 1))]
    elif how == "longer":
        array = np.concatenate([array, array[:3]])
    elif how == "type":
        with np.errstate(all="ignore"):
            array = array.astype(pick(("f8", "f4", "i8", "i2", "u1", "?", "U4", "S3", "c16", "M8[s]", ">i4"), random))
    elif how == "shape":
        array = pick((array[None], array[:, None], array.reshape(-1)[:0], array.reshape(-1)[0]), random)
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    made = out.getvalue()
    if how == "header":
        lies = (b"(99999999999999,)", b"(-1,)", b"()", b"(2, 3)", b"(" * 300, b"('a',)", b"(1.5,)")
        at = made.find(b"'shape': ") + 9
        end = made.find(b"}", at)
        lie = bytes(pick(lies, random)) + b", "
        made = made[:at] + lie.ljust(end - at)[: max(end - at, len(lie))] + made[end:]
    return made, how
