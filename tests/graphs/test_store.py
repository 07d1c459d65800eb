"""Stored networks: the same after a round trip, checked, and bound to their checksum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ascii_map import town
from trodden.core.errors import InputFileError, StoredFolderError
from trodden.core.folders import read_folder, write_folder
from trodden.graphs.reading import read_roads
from trodden.graphs.road_graph import Categories, RoadNetwork
from trodden.graphs.store import load_network, network_checksum, save_network

CROSS = "  a\n  |\nb-c-d\n  |\n  e"
LINKS = "link_id,from_node,to_node,travel_time_min,../odd name\n1,1,2,0.5,1.5\n2,2,1,0.5,2.5\n"


@pytest.fixture
def network(tmp_path: Path) -> RoadNetwork:
    place = town(CROSS, tags={"bc": {"name": "Rua Nova", "maxspeed": "30"}}, bans=[("no_left_turn", "bc", "c", "ac")])
    return read_roads(place.write(tmp_path))


@pytest.fixture
def folder_network(tmp_path: Path) -> RoadNetwork:
    (tmp_path / "links.csv").write_text(LINKS)
    return read_roads(tmp_path)


def checksum(network: RoadNetwork) -> str:
    return network_checksum(network.graph, network.attributes, network.turns, network.shapes)


def assert_same(one: Any, two: Any, name: str = "network") -> None:
    if isinstance(one, np.ndarray):
        assert one.dtype == two.dtype, name
        np.testing.assert_array_equal(one, two, err_msg=name)
    elif is_dataclass(one):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(two, field.name), f"{name}.{field.name}")
    elif isinstance(one, Mapping):
        assert list(one) == list(two), name
        for key in one:
            assert_same(one[key], two[key], f"{name}.{key}")
    else:
        assert one == two, name


@pytest.mark.parametrize("verify", [True, False])
def test_round_trip(network: RoadNetwork, tmp_path: Path, verify: bool) -> None:
    loaded = load_network(save_network(network, tmp_path / "stored"), verify=verify)
    assert_same(network, loaded)
    assert checksum(loaded) == network.checksum
    assert isinstance(loaded.shapes.osm_node.base, np.memmap)  # type: ignore[union-attr]
    assert_same(read_roads(tmp_path / "stored"), network)


def arrays_of(record: Any) -> list[np.ndarray]:
    if isinstance(record, np.ndarray):
        return [record]
    inner = vars(record).values() if is_dataclass(record) else record.values() if isinstance(record, Mapping) else []
    return [array for one in inner for array in arrays_of(one)]


def test_a_mapped_network_is_the_same_and_stays_on_disk(network: RoadNetwork, tmp_path: Path) -> None:
    folder = save_network(network, tmp_path / "stored")
    for mapped in (load_network(folder, is_mapped=True), read_roads(folder, is_mapped=True)):
        assert_same(network, mapped)
        for array in arrays_of(mapped):
            assert type(array) is np.ndarray
            assert isinstance(array.base, np.memmap) or not len(array), "read into memory"
    cut = folder / "graph.tail.npy"
    content = bytearray(cut.read_bytes())
    content[-1] ^= 1
    cut.write_bytes(content)
    with pytest.raises(StoredFolderError, match="does not match its checksum"):
        load_network(folder, is_mapped=True)


def test_round_trip_of_a_folder(folder_network: RoadNetwork, tmp_path: Path) -> None:
    """No coordinates, no shapes, and a column name that must never become a path."""
    loaded = load_network(save_network(folder_network, tmp_path / "stored"))
    assert_same(folder_network, loaded)
    assert loaded.attributes.extra["../odd name"].tolist() == [1.5, 2.5]


def test_saving_twice_gives_the_same_bytes(network: RoadNetwork, tmp_path: Path) -> None:
    one, two = (save_network(network, tmp_path / name) for name in ("one", "two"))
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in two.iterdir())
    assert all(p.read_bytes() == (two / p.name).read_bytes() for p in one.iterdir())


def test_checksum_covers_arrays_and_names_but_not_the_report(network: RoadNetwork) -> None:
    assert checksum(replace(network, report={})) == network.checksum
    graph, attributes = network.graph, network.attributes
    speed, names = attributes.speed_kmh, attributes.name
    assert speed is not None
    assert names is not None
    faster = speed.copy()
    faster[0] = np.nextafter(faster[0], np.float32(1000))
    renamed = Categories(names.codes, (*names.levels[:-1], "Rua Velha"))
    others = [
        replace(network, attributes=replace(attributes, speed_kmh=faster)),
        replace(network, attributes=replace(attributes, name=renamed)),
        replace(network, attributes=replace(attributes, is_toll=None)),
        replace(network, attributes=replace(attributes, extra={"slope": np.zeros(graph.num_edges)})),
        replace(network, graph=replace(graph, edge_id=graph.edge_id + 1)),
        replace(network, turns=replace(network.turns, is_left=~network.turns.is_left)),
        replace(network, shapes=None),
    ]
    assert len({network.checksum, *(checksum(other) for other in others)}) == 1 + len(others)


def test_a_folder_with_codes_of_an_earlier_release_is_the_same_network(network: RoadNetwork, tmp_path: Path) -> None:
    folder = save_network(network, tmp_path / "stored")
    stored = read_folder(folder, kind="network", version=1)
    wide = {f"attributes.{name}" for name in ("road_class", "lanes", "surface", "access", "name")}
    assert wide < set(stored.arrays)
    arrays = {name: array.astype(np.int32) if name in wide else array for name, array in stored.arrays.items()}
    old = write_folder(tmp_path / "old", kind="network", version=1, document=stored.document, arrays=arrays)
    loaded = load_network(old)
    assert_same(loaded, network)
    assert checksum(loaded) == network.checksum


@pytest.mark.parametrize(("num_levels", "want"), [(1, np.int8), (128, np.int8), (129, np.int16), (32_769, np.int32)])
def test_codes_are_as_narrow_as_their_levels_allow(num_levels: int, want: type) -> None:
    codes = np.array([0, num_levels - 1], np.int32)
    column = Categories(codes, tuple(map(str, range(num_levels))))
    assert column.codes.dtype == want
    assert [column.text(row) for row in range(2)] == ["0", str(num_levels - 1)]


def test_every_altered_file_is_named(network: RoadNetwork, tmp_path: Path) -> None:
    folder = save_network(network, tmp_path / "stored")
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(StoredFolderError, match=r"manifest\.json" if path.name == "manifest.json" else path.name):
            load_network(folder)
        path.write_bytes(content[:-2])
        with pytest.raises(StoredFolderError):
            load_network(folder, verify=False)
        path.write_bytes(content)
    assert load_network(folder).checksum == network.checksum


def test_other_folders_are_refused(network: RoadNetwork, tmp_path: Path) -> None:
    write_folder(tmp_path / "model", kind="model", version=1, document={}, arrays={})
    with pytest.raises(StoredFolderError, match="'model' folder, not a 'network' folder"):
        load_network(tmp_path / "model")
    with pytest.raises(InputFileError, match="is a stored model, not a network"):
        read_roads(tmp_path / "model")
    write_folder(tmp_path / "hollow", kind="network", version=1, document={"names": {}}, arrays={})
    with pytest.raises(StoredFolderError, match="lacks a part of a network"):
        load_network(tmp_path / "hollow")
    with pytest.raises(StoredFolderError, match="did not write"):
        save_network(network, tmp_path)
