"""The readers under test: which inputs they take, how these are damaged, and what must hold of what was read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import _fuzz_oracles as oracles
import numpy as np
from _fuzz_containers import alter_and_sign, alter_inside_pbf, alter_parquet_table, table_of
from _fuzz_mutations import Files, Random, mutate, pick
from trodden import load_model, load_network, read_demonstrations, read_roads
from trodden.core.config import read_config
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.trace_cleaning import clean
from trodden.irl.trace_files import read_trace_blocks
from trodden.irl.traces import joined_traces
from trodden.irl.trips_of_traces import TripRules, cut_trips

BOUNDS_DEG = (np.array([40.99, -8.01]), np.array([41.02, -7.98]))


@dataclass(frozen=True)
class Reader:
    """One reader. ``read(folder, city)`` reads the input that lies there; ``check`` complains of what it gave."""

    inputs: str
    """Which sound inputs it begins from."""
    share: float
    """Of all inputs, in proportion to the others'."""
    damage: Callable[[Files, Random], tuple[Files, str]]
    run: Callable[[Path, Files, RoadNetwork], str | None]


def _one_file(kind: str) -> Callable[[Files, Random], tuple[Files, str]]:
    """Damage one of the files: its bytes, or as its kind of text; sometimes it is missing, or two change places."""

    def damage(files: Files, random: Random) -> tuple[Files, str]:
        names = sorted(files)
        name = str(pick(names, random))
        if len(names) > 1 and random.random() < 0.04:
            other = str(pick(names, random))
            if other == name:
                return {key: content for key, content in files.items() if key != name}, f"without {name}"
            return {**files, name: files[other], other: files[name]}, f"{name} and {other} swapped"
        kept = kind if not name.endswith((".gz", ".bz2")) else "bytes"
        content, how = mutate(files[name], kept, random)
        return {**files, name: content}, f"{name}: {how}"

    return damage


def _packed(kind: str, inside: Callable[[bytes, Random], tuple[bytes, str]]) -> Callable[..., tuple[Files, str]]:
    """Bytes of a container in half of the cases, what is inside it in the others."""

    def damage(files: Files, random: Random) -> tuple[Files, str]:
        if random.integers(2):
            return _one_file(kind)(files, random)
        ((name, content),) = files.items()
        altered, how = inside(content, random)
        return {name: altered}, f"{name}: {how}"

    return damage


def _osm(folder: Path, files: Files, city: RoadNetwork) -> str | None:
    network = read_roads(folder / next(iter(files)))
    return (oracles.check_pbf if next(iter(files)).endswith(".pbf") else oracles.check_osm)(files, network)


def _graphml(folder: Path, files: Files, city: RoadNetwork) -> str | None:
    return oracles.check_graphml(files, read_roads(folder / next(iter(files))))


def _links(folder: Path, files: Files, city: RoadNetwork) -> str | None:
    return oracles.check_links(files, read_roads(folder))


def _routes(folder: Path, files: Files, city: RoadNetwork) -> str | None:
    name = next(iter(files))
    read = read_demonstrations(folder / name, city)
    return _of_sound_parquet(files) or oracles.check_routes(files, read)


def _traces(folder: Path, files: Files, city: RoadNetwork) -> str | None:
    blocks = list(read_trace_blocks(folder / next(iter(files))))
    if not blocks:
        return oracles.check_no_traces(files)
    traces = joined_traces(blocks)
    cleaned = clean(traces, BOUNDS_DEG)
    cut_trips(cleaned.traces, TripRules())
    return _of_sound_parquet(files) or oracles.check_traces(files, traces, cleaned)


def _of_sound_parquet(files: Files) -> str | None:
    ((name, content),) = files.items()
    if name.endswith(".parquet"):
        try:
            table_of(content, page_checksum_verification=True)
        except Exception as error:  # whatever Arrow makes of it
            return f"read although it is damaged ({error})"
    return None


def _network(folder: Path, files: Files, city: RoadNetwork) -> str | None:
    return oracles.never(files, load_network(folder))


def _model(folder: Path, files: Files, city: RoadNetwork) -> str | None:
    return oracles.never(files, load_model(folder))


def _signed_network(folder: Path, files: Files, city: RoadNetwork) -> str | None:
    return oracles.check_network(load_network(folder))


def _signed_model(folder: Path, files: Files, city: RoadNetwork) -> str | None:
    return oracles.check_model(files, load_model(folder))


def _config(folder: Path, files: Files, city: RoadNetwork) -> str | None:
    return oracles.check_config(files, read_config(folder / next(iter(files))))


READERS: dict[str, Reader] = {
    "pbf": Reader("pbf", 12, _packed("bytes", alter_inside_pbf), _osm),
    "osm": Reader("osm", 12, _one_file("xml"), _osm),
    "graphml": Reader("graphml", 8, _one_file("xml"), _graphml),
    "links": Reader("links", 16, _one_file("table"), _links),
    "routes-csv": Reader("routes-csv", 10, _one_file("table"), _routes),
    "routes-parquet": Reader("routes-parquet", 8, _packed("bytes", alter_parquet_table), _routes),
    "traces-csv": Reader("traces-csv", 10, _one_file("table"), _traces),
    "traces-parquet": Reader("traces-parquet", 8, _packed("bytes", alter_parquet_table), _traces),
    "gpx": Reader("gpx", 10, _one_file("xml"), _traces),
    "geojson": Reader("geojson", 10, _one_file("json"), _traces),
    "network": Reader("network", 5, _one_file("bytes"), _network),
    "network-signed": Reader("network", 6, alter_and_sign, _signed_network),
    "model": Reader("model", 4, _one_file("bytes"), _model),
    "model-signed": Reader("model", 6, alter_and_sign, _signed_model),
    "config": Reader("config", 5, _one_file("text"), _config),
}
"""Every reader of files from outside."""
