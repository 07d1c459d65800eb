"""Damaged files: how many of so many altered models, shards, checkpoints and networks are told when they are opened.

A small city is learned in two regions, with its shards and checkpoint kept. Each round takes one of the stored folders,
alters one of its files (a bit flipped, the end cut off, or the content of two files swapped), opens the folder the way
the program does, and puts the file back. `detected` counts typed errors; anything else, an answer or another error, is
listed and not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _grids import grid_network
from trodden import load_model, load_network, save_model, save_network, simulate
from trodden.cli.console import out, progress_bar, text_table
from trodden.core.config import parse_config
from trodden.core.errors import TroddenError
from trodden.core.folders import read_folder
from trodden.distributed.coordinator import IN_PROCESS, fit_regions
from trodden.distributed.regions import open_shard, read_shards
from trodden.irl.checkpoints import CHECKPOINT_VERSION

TASTE = {"length_km": -12.0, "constant": -1.0}


class _StopError(Exception):
    """Ends a training with its checkpoint and shards in place."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        openers = _stored(Path(place))
        random = np.random.default_rng(arguments.seed)
        tried: Counter[tuple[str, str]] = Counter()
        found: Counter[tuple[str, str]] = Counter()
        undetected = []
        with progress_bar("damaging", arguments.rounds) as update:
            for number in range(arguments.rounds):
                kind = list(openers)[number % len(openers)]
                folder, opener = openers[kind]
                way, file = _damage(folder, random)
                tried[kind, way] += 1
                try:
                    opener()
                    undetected.append(f"{kind}: {way} of {file} was not seen")
                except TroddenError:
                    found[kind, way] += 1
                except Exception as error:
                    undetected.append(f"{kind}: {way} of {file} ended in {type(error).__name__}")
                _restore(folder)
                update(number + 1, "")
    rows = [[*key, f"{found[key]:,}", f"{tried[key]:,}"] for key in sorted(tried)]
    out.print(text_table(["folder", "damage", "detected", "of"], rows), markup=False)
    for line in undetected[:20]:
        out.print(line, markup=False)
    print(json.dumps({"corrupted": sum(tried.values()), "detected": sum(found.values())}))


def _stored(place: Path) -> dict[str, tuple[Path, Callable[[], object]]]:
    """Folders of every kind that a training leaves, and how the program opens each."""
    network = grid_network(6, 6)
    routes = simulate(network, 60, taste=TASTE, num_destinations=10)
    config = parse_config(
        {
            "reward": {"features": list(TASTE)},
            "baselines": {"budget": 0},
            "training": {"checkpoint_every": 1},
            "regions": {"count": 2, "penalty": 10},
        },
        where="benchmarks/corruption.py",
    )

    def stop(step: object) -> None:
        if getattr(step, "num_evaluations", 0) > 12:
            raise _StopError

    with contextlib.suppress(_StopError):
        fit_regions(network, routes, config, address=IN_PROCESS, folder=place / "run", progress=stop)
    save_network(network, place / "network")
    save_model(fit_regions(network, routes, config, address=IN_PROCESS), place / "model")
    shard, index = place / "run" / "shards" / "region-0", place / "run" / "shards"
    checkpoint = place / "run" / "checkpoint"
    openers: dict[str, tuple[Path, Callable[[], object]]] = {
        "network": (place / "network", lambda: load_network(place / "network")),
        "model": (place / "model", lambda: load_model(place / "model")),
        "shard": (shard, lambda: open_shard(shard)),
        "index of shards": (index / "index", lambda: read_shards(index)),
        "checkpoint": (
            checkpoint,
            lambda: read_folder(checkpoint, kind="checkpoint", version=CHECKPOINT_VERSION),
        ),
    }
    for folder, opener in openers.values():
        opener()  # whole before it is damaged
        shutil.copytree(folder, _safe(folder))
    return openers


def _damage(folder: Path, random: np.random.Generator) -> tuple[str, str]:
    """Alter one file of a folder, or swap two; (how, which)."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.stat().st_size)
    file = files[int(random.integers(len(files)))]
    content = bytearray(file.read_bytes())
    way = ("bit flip", "truncation", "swap")[int(random.integers(3))]
    others = [one for one in files if one.read_bytes() != bytes(content)]
    if way == "swap" and others:
        other = others[int(random.integers(len(others)))]
        theirs = other.read_bytes()
        _write(other, bytes(content))
        _write(file, theirs)
    elif way == "truncation":
        _write(file, bytes(content[: int(random.integers(len(content)))]))
    else:
        way = "bit flip"
        content[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
        _write(file, bytes(content))
    return way, str(file.relative_to(folder))


def _write(file: Path, content: bytes) -> None:
    file.unlink()  # a hard link's other names keep their content
    file.write_bytes(content)


def _restore(folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(_safe(folder), folder)


def _safe(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.whole")


if __name__ == "__main__":
    main()
