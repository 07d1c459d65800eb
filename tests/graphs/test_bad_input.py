"""Files that are broken, foreign or hostile: a typed error that says what it looks like, quickly."""

from __future__ import annotations

import contextlib
import gzip
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ascii_map import town
from osm_files import convert, node, osm, way, write
from trodden.core.errors import EmptyNetworkError, InputFileError
from trodden.graphs.export import to_networkx
from trodden.graphs.reading import read_roads

CROSS = "  a\n  |\nb-c-d\n  |\n  e"


@pytest.fixture
def pbf(tmp_path: Path) -> Path:
    path = tmp_path / "town.osm.pbf"
    convert(town(CROSS).write(tmp_path), path)
    return path


@pytest.mark.parametrize("cut", [1, 2, 10, 100])
def test_pbf_cut_short(pbf: Path, cut: int) -> None:
    pbf.write_bytes(pbf.read_bytes()[:-cut])
    with pytest.raises(InputFileError, match="damaged or cut short"):
        read_roads(pbf)


def test_pbf_flipped_bits_never_crash(pbf: Path) -> None:
    content = pbf.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(150):
        altered = bytearray(content)
        altered[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        pbf.write_bytes(bytes(altered))
        with contextlib.suppress(InputFileError, EmptyNetworkError):
            assert read_roads(pbf).graph.num_edges > 0


def test_xml_mutations_never_crash(tmp_path: Path) -> None:
    content = town(CROSS, bans=[("no_left_turn", "bc", "c", "ac")]).xml.encode()
    path = tmp_path / "town.osm"
    rng = np.random.default_rng(2)
    for _ in range(150):
        altered = bytearray(content)
        for place in rng.integers(len(content), size=3).tolist():
            altered[place] = int(rng.integers(32, 127))
        path.write_bytes(bytes(altered))
        with contextlib.suppress(InputFileError, EmptyNetworkError):
            assert read_roads(path).graph.num_edges > 0


@pytest.mark.parametrize(
    ("name", "content", "looks"),
    [
        ("map.osm.pbf", b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        ("map.osm.pbf", b"\x1a\x45\x0a\x05water\x12\x0e\x08\x01\x18\x03\x22\x08" + b"\x09" * 60, "a map vector tile"),
        ("map.osm.pbf", bytes(4096), "nothing but zero bytes"),
        ("map.osm.pbf", b"", "an empty file"),
        ("map.osm.pbf", b"<?xml version='1.0'?><osm version='0.6'></osm>", "OSM XML"),
        ("map.osm.pbf", b'{"elements": []}', "JSON"),
        ("map.osm.pbf", b"PK\x03\x04" + bytes(99), "a ZIP archive"),
        ("map.osm.pbf", bytes(range(1, 200)), "no format that is known here"),
        ("map.osm.pbf", b"hello there", "a text file"),
        ("map.osm", b"<html><head></head></html>", "an HTML page"),
        ("map.osm", b"<?xml version='1.0'?><gpx></gpx>", "an XML file that is not OSM"),
        ("map.osm", b"", "an empty file"),
        ("map.osm.gz", b"<osm></osm>", "OSM XML"),
        ("map.osm.gz", gzip.compress(b"nothing of the kind", mtime=0), "a text file"),
        ("map.osm.bz2", gzip.compress(b"<osm></osm>", mtime=0), "gzip-packed data"),
    ],
)
def test_foreign_files_are_named(name: str, content: bytes, looks: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    begin = time.perf_counter()
    with pytest.raises(InputFileError, match=looks) as caught:
        read_roads(path)
    assert time.perf_counter() - begin < 1
    assert str(path) in str(caught.value)
    assert "etch" in caught.value.remedy


def test_xml_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "town.osm"
    path.write_text(town(CROSS).xml[:-8], encoding="utf-8")
    with pytest.raises(InputFileError, match="damaged or cut short"):
        read_roads(path)


def test_packed_files_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "town.osm.gz"
    path.write_bytes(gzip.compress(town(CROSS).xml.encode())[:-9])
    with pytest.raises(InputFileError):
        read_roads(path)


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE osm [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{("&" + chr(97 + i) + ";") * 10}">' for i in range(9))
    + ']><osm version="0.6"><node id="1" version="1" lat="1" lon="1"><tag k="name" v="&j;"/></node></osm>'
)


@pytest.mark.parametrize("padding", [0, 200_000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entity_bomb_is_refused_at_once(padding: int, encoding: str, tmp_path: Path) -> None:
    """Also where white space pushes the declarations out of the part that is looked at: expat must not expand them."""
    path = tmp_path / "bomb.osm"
    path.write_bytes(BOMB.replace("?>", "?>" + " " * padding, 1).encode(encoding))
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputFileError):
        read_roads(path)
    assert time.perf_counter() - begin < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("name", ["none.osm.pbf", "none.osm", "nowhere"])
def test_missing_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="there is no such file"):
        read_roads(tmp_path / name)


def test_unknown_suffix(tmp_path: Path) -> None:
    path = tmp_path / "roads.shp"
    path.write_bytes(b"x")
    with pytest.raises(InputFileError, match="no suffix that is read here"):
        read_roads(path)


def test_folder_without_links(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"without links\.csv"):
        read_roads(tmp_path)


def test_nothing_drivable(tmp_path: Path) -> None:
    path = write(tmp_path, node(1), node(2), way(1, [1, 2], highway="footway"))
    with pytest.raises(EmptyNetworkError, match="1 by highway"):
        read_roads(path)
    with pytest.raises(EmptyNetworkError):
        read_roads(write(tmp_path))


def test_one_node(tmp_path: Path) -> None:
    with pytest.raises(EmptyNetworkError):
        read_roads(write(tmp_path, node(1), way(1, [1, 2])))
    with pytest.raises(EmptyNetworkError):
        read_roads(write(tmp_path, node(1), node(2), node(3), way(1, [1, 9, 2, 8, 3])))
    with pytest.raises(EmptyNetworkError):
        read_roads(write(tmp_path, node(1), node(2), way(1, [1, 1])))


def test_no_move(tmp_path: Path) -> None:
    path = write(tmp_path, node(1), node(2), way(1, [1, 2], oneway="yes"))
    with pytest.raises(EmptyNetworkError, match="no move"):
        read_roads(path)


def test_position_out_of_range_counts_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "made.osm"
    path.write_text(osm(node(1), node(2), node(3), '<node id="4" version="1"/>', way(1, [1, 2, 3]), way(2, [3, 4])))
    assert read_roads(path).graph.num_edges == 2


def test_no_osmium_until_an_osm_file_is_read() -> None:
    code = (
        "import sys, trodden.graphs.reading; sys.exit(any(m in sys.modules for m in ('osmium', 'networkx', 'pyarrow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_export_names_a_bad_cost(tmp_path: Path) -> None:
    network = read_roads(town(CROSS).write(tmp_path))
    cost = np.ones(network.graph.num_edges)
    cost[3] = np.nan
    with pytest.raises(ValueError, match=f"edge {network.graph.edge_id[3]}"):
        to_networkx(network, cost)
    with pytest.raises(ValueError, match="one number per edge"):
        to_networkx(network, cost[:2])
