"""Models and checkpoints on disk: the same after a round trip, and every kind of damage named, nothing executed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys

import irl_oracles as naive
import numpy as np
import pytest
from strategies import make_grid
from trodden.core.config import parse_config
from trodden.core.errors import StoredFolderError, TroddenError, WrongNetworkError
from trodden.graphs.road_graph import Categories
from trodden.graphs.store import load_network, save_network
from trodden.irl.checkpoints import Checkpoint, load_checkpoint, load_model, save_checkpoint, save_model
from trodden.irl.evaluations import Evaluation
from trodden.irl.model import Coefficient, RegionSummary

MANIFEST = "manifest.json"


def grid_network(rows=3):
    grid = make_grid(rows, 3)
    count = grid.graph.num_edges
    classes = Categories(np.arange(count, dtype=np.int32) % 2, ("", "Straße"))
    attributes = dataclasses.replace(grid.attributes, road_class=classes, extra={"../toll": np.arange(count) / 7})
    return naive.with_shapes(naive.rebuilt(grid, attributes=attributes), np.random.default_rng(1))


def full_model(seed=0):
    network = naive.rebuilt(grid_network())
    random = np.random.default_rng(seed)
    turns, edges = network.turns.num_turns, network.graph.num_edges
    return naive.stated_model(
        network,
        random.uniform(0.1, 3.0, turns),
        parse_config({"planner": {"ending": "stop"}, "training": {"start": {"constant": -2.5}}}, where="test"),
        entry_cost=random.uniform(0.1, 3.0, edges),
        baseline_costs={name: random.uniform(1, 9, turns) for name in ("shortest", "fastest", "fastest_penalised")},
        training_pairs=np.sort(random.integers(0, 10**6, 17)),
        is_simulated=True,
        regions=(RegionSummary(0, 5, 3, (Coefficient("constant", -1.5, None, "flat"),), "few routes"),),
        edge_region=random.integers(0, 2, edges).astype(np.int32),
    )


@pytest.fixture(scope="module")
def model():
    return full_model()


@pytest.fixture(scope="module")
def stored(model, tmp_path_factory):
    return save_model(model, tmp_path_factory.mktemp("stored") / "model")


@pytest.fixture
def copy(stored, tmp_path):
    """A copy to spoil: no file is shared with the original."""
    return shutil.copytree(stored, tmp_path / "model")


def assert_same(one, two, name="model"):
    if isinstance(one, np.ndarray):
        assert one.dtype == two.dtype, name
        np.testing.assert_array_equal(one, two, err_msg=name)
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(two, field.name), f"{name}.{field.name}")
    elif isinstance(one, tuple):
        assert len(one) == len(two), name
        for place, (left, right) in enumerate(zip(one, two, strict=True)):
            assert_same(left, right, f"{name}[{place}]")
    elif isinstance(one, float):
        assert struct.pack("d", one) == struct.pack("d", two), name
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), name
        for key in one:
            assert_same(one[key], two[key], f"{name}[{key}]")
    else:
        assert one == two, name


def as_written(document):
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def rewrite(folder, change):
    """Change the manifest of a folder, and what its outer manifest says of it: damage that no checksum shows."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_bytes(as_written(manifest))
    outer = folder.parent / MANIFEST
    if outer.is_file():
        document = json.loads(outer.read_text())
        document["folders"][folder.name] = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        outer.write_bytes(as_written(document))


def relist(folder, name):
    """Let the manifest agree with a file that was tampered with."""
    content = (folder / name).read_bytes()
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    rewrite(folder, lambda manifest: manifest["files"].update({name: entry}))


def refused(path, match="."):
    with pytest.raises(StoredFolderError, match=match) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------ whole


def test_a_model_comes_back_whole(model, stored):
    loaded = load_model(stored)
    assert_same(model, loaded)
    assert loaded.ending == "stop"
    assert loaded.coefficient("is_left") == -0.5
    assert (stored / "config.toml").read_text() == model.config.to_toml()


def test_a_model_without_regions_comes_back_whole(model, tmp_path):
    plain = model.replace(regions=(), edge_region=None, is_simulated=False, coefficients=())
    assert_same(plain, load_model(save_model(plain, tmp_path / "deep" / "er" / "model")))


def test_a_model_folder_stands_alone(model, tmp_path):
    roads = save_network(model.network, tmp_path / "network")
    here = save_model(model.replace(network=load_network(roads)), tmp_path / "here")
    shutil.rmtree(roads)
    shutil.move(here, tmp_path / "there")
    assert_same(model, load_model(tmp_path / "there"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["there"]


def test_the_same_model_gives_the_same_bytes(model, stored, tmp_path):
    again = save_model(model, tmp_path / "model")
    files = sorted(p.relative_to(stored) for p in stored.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    assert [(stored / f).read_bytes() for f in files] == [(again / f).read_bytes() for f in files]


# ------------------------------------------------------------------------------------------------ damage


def every_file(folder):
    return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())


def test_one_flipped_bit_in_any_file_is_noticed(stored, copy):
    random = np.random.default_rng(0)
    for name in every_file(stored):
        good = (stored / name).read_bytes()
        for _ in range(3):
            bad = bytearray(good)
            bad[random.integers(len(bad))] ^= 1 << int(random.integers(8))
            (copy / name).write_bytes(bad)
            text = refused(copy)
            assert name.name in text or name.name == MANIFEST or str(copy / name.parent) in text, (name, text)
        (copy / name).write_bytes(good)
    assert load_model(copy).is_simulated


@pytest.mark.parametrize("inner", [".", "network"])
def test_no_bit_of_a_manifest_can_flip_unnoticed(stored, copy, inner):
    random = np.random.default_rng(1)
    path = copy / inner / MANIFEST
    good = path.read_bytes()
    for bit in random.choice(8 * len(good), 300, replace=False).tolist():
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        with pytest.raises(TroddenError):
            load_model(copy)


def test_a_file_that_was_cut_short_is_named(stored, copy):
    for name in every_file(stored):
        good = (stored / name).read_bytes()
        for length in (0, len(good) // 2, len(good) - 1):
            (copy / name).write_bytes(good[:length])
            text = refused(copy)
            assert name.name in text or str(copy / name.parent) in text
        (copy / name).write_bytes(good)


def test_a_missing_file_is_named(stored, copy):
    for name in every_file(stored):
        (copy / name).unlink()
        text = refused(copy, "missing|has no manifest")
        assert name.name in text or str(copy / name.parent) in text
        shutil.copy(stored / name, copy / name)
    assert load_model(copy).is_simulated


def test_something_that_is_no_model(model, tmp_path):
    refused(tmp_path / "nothing", "has no manifest")
    refused(save_network(model.network, tmp_path / "roads"), "is a 'network' folder, not a 'model' folder")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file")


@pytest.mark.parametrize("inner", [".", "network"])
@pytest.mark.parametrize("version", [2, 99, "1", None])
def test_another_version_is_named(copy, inner, version):
    rewrite(copy / inner, lambda manifest: manifest.update(version=version))
    refused(copy, f"has format version {version}, this trodden reads version 1")


def test_the_network_of_another_graph_is_refused(copy, tmp_path):
    shutil.rmtree(copy / "network")
    save_network(naive.rebuilt(grid_network(rows=4)), copy / "network")
    refused(copy, "is not the folder that belongs here")
    rewrite(copy / "network", lambda manifest: None)
    with pytest.raises(WrongNetworkError, match="was made for the network"):
        load_model(copy)


def test_costs_of_another_length_are_refused(copy):
    np.save(copy / "turn_cost.npy", np.ones(3))
    relist(copy, "turn_cost.npy")
    refused(copy, "do not fit its network")


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("summary"),
        lambda document: document["coefficients"].append({"name": "x"}),
        lambda document: document.update(coefficients=3),
        lambda document: document.pop("config"),
        lambda document: document.update(regions=[7]),
    ],
)
def test_a_document_without_a_part_is_refused(copy, change):
    document = json.loads((copy / "document.json").read_text())
    change(document)
    (copy / "document.json").write_text(json.dumps(document))
    relist(copy, "document.json")
    refused(copy, "lacks a part")


def test_a_manifest_without_a_part_is_refused(copy):
    rewrite(copy, lambda manifest: manifest["files"].pop("training_pairs.npy"))
    refused(copy, "lacks a part.*training_pairs")
    rewrite(copy, lambda manifest: manifest["files"].pop("document.json"))
    refused(copy, "does not list it")
    rewrite(copy, lambda manifest: manifest["folders"].clear())
    refused(copy)


# ------------------------------------------------------------------------------------------------ malice


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("name", ["turn_cost.npy", "network/shapes.osm_node.npy", "network/graph.tail.npy"])
def test_objects_in_an_array_are_refused_and_not_executed(copy, tmp_path, name):
    target = copy / name
    np.save(target, np.array([Bomb(tmp_path / "executed")], object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):  # what the folder is protected from is really there
        np.load(target, allow_pickle=False)
    relist(target.parent, target.name)
    refused(copy, "is not a plain array")
    target.write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    relist(target.parent, target.name)
    refused(copy, "is not a plain array")
    assert not (tmp_path / "executed").exists()
    np.load(target.parent / target.name, allow_pickle=True)
    assert (tmp_path / "executed").exists()  # the bomb was live


def test_a_file_of_another_kind_under_an_arrays_name_is_refused(copy):
    target = copy / "entry_cost.npy"
    np.savez(target.with_suffix(".npz"), a=np.ones(3))
    os.replace(target.with_suffix(".npz"), target)
    relist(copy, target.name)
    refused(copy, "is not a plain array")
    target.write_bytes(b"")
    relist(copy, target.name)
    refused(copy, "is not a plain array")


@pytest.mark.parametrize("shape", [(10**14,), (-1,), (2**62, 4)])
def test_a_lying_size_is_refused(copy, shape):
    target = copy / "turn_cost.npy"
    with open(target, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
        file.write(bytes(800))
    relist(copy, target.name)
    refused(copy)


@pytest.mark.parametrize("name", ["../outside.npy", "/etc/hostname", "network/graph.tail.npy", "..", ".", "", "a/../b"])
@pytest.mark.parametrize("part", ["files", "folders"])
def test_a_manifest_that_names_a_path_outside_is_refused(copy, tmp_path, name, part):
    np.save(tmp_path / "outside.npy", np.ones(3))
    entry = {"sha256": hashlib.sha256((tmp_path / "outside.npy").read_bytes()).hexdigest(), "bytes": 152}
    value = entry if part == "files" else entry["sha256"]
    rewrite(copy, lambda manifest: manifest[part].update({name: value}))
    refused(copy, "names a file outside its folder")


# ------------------------------------------------------------------------------------------------ writing


def test_a_foreign_target_is_not_replaced(model, tmp_path):
    target = tmp_path / "precious"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    with pytest.raises(StoredFolderError, match="something that trodden did not write"):
        save_model(model, target)
    roads = save_network(model.network, tmp_path / "roads")
    with pytest.raises(StoredFolderError, match="is a network folder and will not be replaced by a model"):
        save_model(model, roads)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(StoredFolderError):
        save_model(model, file)
    assert (target / "thesis.txt").read_text() == "years of work"
    assert file.read_text() == "mine"
    assert load_network(roads).checksum == model.network.checksum
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "precious", "roads"]


def test_an_earlier_model_is_replaced(model, tmp_path):
    target = save_model(model, tmp_path / "model")
    other = full_model(seed=1)
    save_model(other, target)
    assert_same(other, load_model(target))
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_an_interrupted_swap_still_loads(model, tmp_path):
    target = save_model(model, tmp_path / "model")
    os.rename(target, tmp_path / ".model.previous")  # killed between the two renames
    assert_same(model, load_model(target))
    other = full_model(seed=1)
    save_model(other, target)
    assert_same(other, load_model(target))
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_what_a_kill_leaves_behind_does_no_harm(model, tmp_path):
    target = save_model(model, tmp_path / "model")
    partial = tmp_path / ".model.abc.partial"
    partial.mkdir()
    (partial / "turn_cost.npy").write_bytes(b"half")
    save_network(model.network, tmp_path / ".model.network")
    assert_same(model, load_model(target))
    save_model(full_model(seed=1), target)
    assert_same(full_model(seed=1), load_model(target))


def test_a_place_that_cannot_be_written_is_a_typed_error(model, tmp_path):
    (tmp_path / "file").write_text("x")
    for place in ("file/model", "file/deep/model"):
        with pytest.raises(StoredFolderError, match="could not be written"):
            save_model(model, tmp_path / place)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


SAVE_WITH_LIMIT = """
import resource, signal, sys
from trodden.core.errors import StoredFolderError
from trodden.irl.checkpoints import load_model, save_model
model = load_model(sys.argv[1])
model = model.replace(turn_cost=model.turn_cost * 2)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
failures = 0
for limit in map(int, sys.argv[3:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save_model(model, sys.argv[2])
    except StoredFolderError as error:
        assert "could not be written" in str(error), error
        failures += 1
print(failures)
"""


def test_a_write_that_fails_at_any_file_leaves_the_earlier_model_intact(model, stored, tmp_path):
    target = save_model(model, tmp_path / "model")
    sizes = sorted({(stored / name).stat().st_size for name in every_file(stored)})
    limits = [str(size - 1) for size in sizes]  # no file may grow larger, as on a full disk
    ran = subprocess.run(
        [sys.executable, "-c", SAVE_WITH_LIMIT, str(stored), str(target), *limits],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) == len(limits) >= 5
    assert_same(model, load_model(target))
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


# ------------------------------------------------------------------------------------------------ checkpoints

NAMES = ("constant", "is_left")


def checkpoint(iteration=7):
    here, none = np.array([-1.0 / 3.0, 1e-300]), np.zeros((0, 0))
    evaluations = (
        Evaluation(0, "gradient", here, 0.1, here * 2, none),
        Evaluation(1, "hessian", here, 0.2, here * 3, np.array([[1.0, 0.5], [0.5, 2.0]])),
        Evaluation(2, "scores", here, np.nan, here * np.nan, none, "InfeasibleRewardError"),
        Evaluation(0, "factorised", here, 0.3, here * 4, none),
    )[: iteration - 3]
    return Checkpoint("a" * 64, NAMES, here, iteration, -12.25, "b" * 64, evaluations)


def test_a_checkpoint_comes_back_whole_and_is_replaced(tmp_path):
    path = save_checkpoint(checkpoint(), tmp_path / "checkpoint")
    assert_same(checkpoint(), load_checkpoint(path, network_checksum="a" * 64, names=NAMES))
    save_checkpoint(checkpoint(8), path)
    assert load_checkpoint(path, network_checksum="a" * 64, names=NAMES).iteration == 8


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = save_checkpoint(checkpoint(), tmp_path / "checkpoint")
    with pytest.raises(WrongNetworkError, match="was made for the network aaaa"):
        load_checkpoint(path, network_checksum="b" * 64, names=NAMES)
    with pytest.raises(StoredFolderError, match="learns constant, is_left, this run constant"):
        load_checkpoint(path, network_checksum="a" * 64, names=("constant",))
    with pytest.raises(StoredFolderError, match="not a 'model' folder"):
        load_model(path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = save_checkpoint(checkpoint(), tmp_path / "checkpoint")
    for name in every_file(path):
        good = (path / name).read_bytes()
        for bad in (good[:-1], bytes([good[0] ^ 4]) + good[1:], None):
            (path / name).unlink()
            if bad is not None:
                (path / name).write_bytes(bad)
            with pytest.raises(StoredFolderError):
                load_checkpoint(path, network_checksum="a" * 64, names=NAMES)
            (path / name).write_bytes(good)
    document = json.loads((path / "document.json").read_text())
    (path / "document.json").write_text(json.dumps({**document, "surprise": 1}))
    relist(path, "document.json")
    with pytest.raises(StoredFolderError, match="surprise"):
        load_checkpoint(path, network_checksum="a" * 64, names=NAMES)
