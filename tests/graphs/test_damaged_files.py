"""What fuzzing found, and bombs: damaged maps that were read, or that ended in an untyped error."""

from __future__ import annotations

import bz2
import gzip
import json
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from ascii_map import town
from osm_files import convert, node, osm, way, write
from trodden.core.errors import InputFileError, StoredFolderError
from trodden.core.folders import read_folder, write_folder
from trodden.graphs.pbf_blocks import check_pbf_blocks
from trodden.graphs.reading import read_roads
from trodden.graphs.store import load_network, save_network

CROSS = "  a\n  |\nb-c-d\n  |\n  e"


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(128 | (value & 127))
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(kind: bytes, blob: bytes, *, size: int | None = None) -> bytes:
    header = field(1, kind) + field(3, len(blob) if size is None else size)
    return struct.pack(">I", len(header)) + header + blob


def packed(data: bytes, *, size: int | None = None) -> bytes:
    return field(2, len(data) if size is None else size) + field(3, zlib.compress(data, 9))


HEADER = block(b"OSMHeader", packed(field(4, b"OsmSchema-V0.6") + field(4, b"DenseNodes")))
MANY_NODES = field(2, field(2, field(1, b"\2" * 8_000_000) + field(8, b"\0" * 8_000_000) + field(9, b"\0" * 8_000_000)))


@pytest.fixture
def pbf(tmp_path: Path) -> Path:
    path = tmp_path / "town.osm.pbf"
    convert(town(CROSS).write(tmp_path), path)
    return path


# ------------------------------------------------------------------------------------------------- PBF: case 4


@pytest.mark.parametrize("rest", [b"\0" * 4, b"\0" * 5000, b"x", b"\0\0\0", b"junk at the end of a file"])
def test_a_pbf_that_goes_on_after_its_last_block(pbf: Path, rest: bytes) -> None:
    """Four zeros are an end for osmium, whatever comes after them."""
    whole = pbf.read_bytes()
    pbf.write_bytes(whole + rest)
    with pytest.raises(InputFileError, match=rf"block \d+, at byte {len(whole)}"):
        read_roads(pbf)


def test_a_pbf_whose_tail_is_zeros_from_a_block_on(pbf: Path) -> None:
    whole = pbf.read_bytes()
    cut = 4 + struct.unpack(">I", whole[:4])[0]
    cut += whole[4:cut][-1]  # a small header's last byte is the size of its blob
    pbf.write_bytes(whole[:cut] + b"\0" * (len(whole) - cut))
    with pytest.raises(InputFileError, match=f"block 1, at byte {cut}"):
        read_roads(pbf)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a header longer than the file", HEADER + struct.pack(">I", 60_000) + b"x" * 100),
        ("a header longer than allowed", HEADER + struct.pack(">I", 2**31 - 1) + b"x" * 100),
        ("a blob longer than the file", HEADER + block(b"OSMData", packed(b"abc"), size=2**31 - 1)),
        ("a negative size", HEADER + block(b"OSMData", packed(b"abc"), size=2**64 - 5)),
        ("data larger than said", HEADER + block(b"OSMData", packed(b"\0" * 100_000, size=10))),
        ("data smaller than said", HEADER + block(b"OSMData", packed(b"abc", size=30 << 20))),
        ("more than 32 MiB", HEADER + block(b"OSMData", packed(b"abc", size=33 << 20))),
        ("gigabytes in a few bytes", HEADER + block(b"OSMData", packed(b"abc", size=2**62))),
        ("a block of another kind", HEADER + block(b"OSMDatA", packed(b"abc"))),
        ("a block of no kind", HEADER + block(b"", packed(b"abc"))),
        ("no data", HEADER + block(b"OSMData", field(2, 5))),
        ("no zlib", HEADER + block(b"OSMData", field(2, 5) + field(3, b"no such thing"))),
        ("a blob that is no message", HEADER + block(b"OSMData", b"\xff" * 30)),
    ],
)
def test_lying_sizes_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "lie.osm.pbf"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=r"lie\.osm\.pbf"):
        read_roads(path)


def test_a_pbf_bomb_is_refused_in_little_time_and_memory(tmp_path: Path) -> None:
    """1.2 MB that hold 400 million nodes; a process of its own tells how much memory that took."""
    path = tmp_path / "bomb.osm.pbf"
    one = block(b"OSMData", packed(MANY_NODES))
    path.write_bytes(HEADER + one * 50)
    assert path.stat().st_size < 1_500_000
    code = """
import resource, sys
from trodden.core.errors import InputFileError
from trodden.graphs.reading import read_roads
import osmium, trodden.graphs.osm
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_roads(sys.argv[1])
except InputFileError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""
    started = time.perf_counter()
    with pytest.raises(InputFileError, match="unpack to more than 30 times its size"):
        check_pbf_blocks(path)
    assert time.perf_counter() - started < 1
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    kilobytes, said = done.stdout.split(" ", 1)
    assert int(kilobytes) < 100_000, said


@pytest.mark.parametrize("texts", [[b"", b"high\0way"], [b"", b"highway", b"resid\0"], [b"\0"], [b"a", b"", b"\0b"]])
def test_a_tag_with_a_zero_byte(tmp_path: Path, texts: list[bytes]) -> None:
    """Osmium reads over its end: the process would die."""
    path = tmp_path / "zero.osm.pbf"
    table = field(1, b"".join(field(1, text) for text in texts))
    path.write_bytes(HEADER + block(b"OSMData", packed(table)))
    with pytest.raises(InputFileError, match=r"block 1.*a text with a zero byte"):
        read_roads(path)
    path.write_bytes(HEADER + block(b"OSMData", field(1, table)))  # not packed
    with pytest.raises(InputFileError, match=r"block 1.*a text with a zero byte"):
        read_roads(path)
    empty = field(1, b"".join(field(1, text.replace(b"\0", b"")) for text in texts))
    path.write_bytes(HEADER + block(b"OSMData", packed(empty)))
    check_pbf_blocks(path)


# ------------------------------------------------------------------------------------------------------- OSM XML


@pytest.mark.parametrize("value", ["1e99", "-1e308", "1E+10"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_a_coordinate_that_osmium_takes_for_zero(tmp_path: Path, value: str, pack) -> None:
    text = osm(node(1), node(2), '<node id="3" version="1" lat="41" lon="' + value + '"/>', way(7, [1, 2, 3]))
    path = tmp_path / {bytes: "t.osm", gzip.compress: "t.osm.gz", bz2.compress: "t.osm.bz2"}[pack]
    path.write_bytes(pack(text.encode()))
    with pytest.raises(InputFileError, match=r"t\.osm"):
        read_roads(path)


def test_zero_is_a_coordinate(tmp_path: Path) -> None:
    network = read_roads(write(tmp_path, node(1, 0.0, 0.0), node(2, 0.0, 1e-3), node(3, 1e-3, 0.0), way(7, [1, 2, 3])))
    assert network.graph.num_nodes == 2  # the three make one edge each way


def test_a_way_or_node_without_an_id_is_none_and_counted(tmp_path: Path) -> None:
    nameless = way(7, [1, 2, 3]).replace('id="7"', 'number="7"')
    network = read_roads(write(tmp_path, node(1), node(2), node(3), nameless, way(8, [1, 2, 3])))
    assert network.report["ways"]["skipped"] == {"no id": 1}
    pointless = way(8, [1, 2, 3, 4, 5]).replace('ref="3"', 'number="3"')
    lost = node(3).replace('id="3"', 'number="3"')
    network = read_roads(write(tmp_path, node(1), node(2), lost, node(4), node(5), way(9, [1, 2]), pointless))
    assert network.report["nodes"]["missing"] == 1
    assert 0 not in network.graph.node_id


# ------------------------------------------------------------------------------------------------ network folders


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ('7,1,2,plain\n9,2,1,"cut sho', "quotation that never ends"),
        ('7,1,2,"open\n9,2,1,lost\n10,2,1,lost\n', "quotation that never ends"),
        ("7,1,2,a\n0x10,2,1,b\n", r"row 3.*'0x10' is not a whole number"),
    ],
)
def test_rows_that_arrow_would_misread(tmp_path: Path, rows: str, words: str) -> None:
    (tmp_path / "links.csv").write_text("link_id,from_node,to_node,note\n" + rows)
    with pytest.raises(InputFileError, match=words):
        read_roads(tmp_path)


# ------------------------------------------------------------------------------------------------- stored networks


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("graph.tail", lambda a: np.where(a == a.max(), 10**6, a), "positions outside"),
        ("graph.head", lambda a: a - 1, "positions outside"),
        ("graph.tail", lambda a: a.astype(np.int64), "is int64, not int32"),
        ("graph.node_id", lambda a: a.repeat(2).reshape(-1, 2), "has the shape"),
        ("graph.latitude_deg", lambda a: a + np.nan, "not between -90 and 90"),
        ("turns.first_out", lambda a: a[::-1], "does not rise from 0"),
        ("turns.to_edge", lambda a: (a + 1) % (a.max() + 1), "edges do not meet"),
        ("attributes.length_m", lambda a: -a, "not positive and finite"),
        ("attributes.length_m", lambda a: a[:, None], "has the shape"),
        ("attributes.road_class", lambda a: a + np.int8(100), "positions outside"),
        ("shapes.first_point", lambda a: a + 1, "does not rise from 0"),
        ("shapes.latitude_e7", lambda a: a[:2], "has the shape"),
    ],
)
def test_arrays_that_are_no_network_are_named_though_their_checksums_hold(tmp_path: Path, name, change, words) -> None:
    network = read_roads(town(CROSS).write(tmp_path))
    stored = read_folder(save_network(network, tmp_path / "n"), kind="network", version=1)
    arrays = {**stored.arrays, name: change(stored.arrays[name])}
    write_folder(tmp_path / "bad", kind="network", version=1, document=stored.document, arrays=arrays)
    with pytest.raises(StoredFolderError, match=rf"{name}\.npy.*{words}"):
        load_network(tmp_path / "bad")


@pytest.mark.parametrize("shape", ["(99999999999999,)", "(-1,)", "(" * 200, "(1.5,)", "('a',)", "(1,", "()"])
def test_headers_of_arrays_that_lie(tmp_path: Path, shape: str) -> None:
    import hashlib

    folder = write_folder(tmp_path / "f", kind="a", version=1, document={}, arrays={"x": np.arange(5)})
    content = (folder / "x.npy").read_bytes()
    at = content.find(b"(5,)")
    lie = shape.encode() + b", }"
    content = content[:at] + lie.ljust(128 - at - 1)[: max(len(lie), 127 - at)] + b"\n" + content[128:]
    (folder / "x.npy").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"]["x.npy"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    with pytest.raises(StoredFolderError, match=r"x\.npy.*is not a plain array"):
        read_folder(folder, kind="a", version=1)


def test_documents_that_nest_without_end(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", kind="a", version=1, document={}, arrays={})
    (folder / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(StoredFolderError, match="is damaged"):
        read_folder(folder, kind="a", version=1)
