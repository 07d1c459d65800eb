"""Networks on disk: one verified folder of plain arrays; shapes are memory-mapped, and the checksum is the identity."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import StoredFolderError
from ..core.folders import read_folder, write_folder
from .consistency import network_fault
from .road_graph import Categories, EdgeAttributes, EdgeShapes, RoadGraph, RoadNetwork
from .turns import TurnGraph

KIND, VERSION = "network", 1

_LANES = "attributes.lanes"
_KIND = "attributes.kinds"
_GRAPH = ("tail", "head", "edge_id", "node_id", "latitude_deg", "longitude_deg", "node_tags")
_TURNS = ("first_out", "to_edge", "angle_deg", "is_left", "is_right", "is_uturn")
_SHAPES = tuple(column.name for column in fields(EdgeShapes))
_ATTRIBUTES = tuple(column.name for column in fields(EdgeAttributes) if column.name not in ("extra", "kinds"))


def network_checksum(graph: RoadGraph, attributes: EdgeAttributes, turns: TurnGraph, shapes: EdgeShapes | None) -> str:
    """SHA-256 of everything a network holds but its report: each array's name, type, shape and bytes, and all names.

    The same on every machine, and whatever type codes and lanes are held in: they count as int32. O(bytes), about a
    second per GB.
    """
    digest = hashlib.sha256(b"trodden network 1\n")
    arrays, names = _flatten(graph, attributes, turns, shapes)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name], np.int32 if name in names or name == _LANES else None)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
        digest.update(little.data)
    for name in sorted(names):
        digest.update(f"{name}\n".encode() + b"".join(_length_prefixed(text) for text in names[name]))
    return digest.hexdigest()


def _length_prefixed(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return f"{len(encoded)}:".encode() + encoded


def make_network(
    graph: RoadGraph, attributes: EdgeAttributes, turns: TurnGraph, shapes: EdgeShapes | None, report: dict[str, Any]
) -> RoadNetwork:
    """A `RoadNetwork` with its checksum, and the counts of what it is made of added to ``report``."""
    num_main = int(turns.is_main.sum())
    sizes = {
        "nodes": graph.num_nodes,
        "edges": graph.num_edges,
        "edges_in_main_component": num_main,
        "edges_elsewhere": graph.num_edges - num_main,
    }
    checksum = network_checksum(graph, attributes, turns, shapes)
    return RoadNetwork(graph, attributes, turns, shapes, {**report, "network": sizes}, checksum)


def save_network(network: RoadNetwork, path: str | Path) -> Path:
    """Write a network as a verified folder, atomically.

    Raises
    ------
    StoredFolderError
        The target holds something else, or the disk refused the write; an earlier network there is untouched.
    """
    arrays, names = _flatten(network.graph, network.attributes, network.turns, network.shapes)
    document = {"names": names, "report": network.report, "checksum": network.checksum}
    return write_folder(path, kind=KIND, version=VERSION, document=document, arrays=arrays)


def load_network(path: str | Path, verify: bool = True, *, is_mapped: bool = False) -> RoadNetwork:
    """Open a network that `save_network` wrote; shapes stay on disk, memory-mapped.

    Parameters
    ----------
    verify
        Check the SHA-256 of every file first (Porto: some 30 ms); sizes are checked in any case.
    is_mapped
        All else stays on disk too: for who looks at one part of a large map at a time. The system forgets what it read
        of it where memory is short; what works on the whole map is slower.

    Raises
    ------
    StoredFolderError
        Not a network, of another version, or altered; names the file.
    """
    folder = read_folder(
        path,
        kind=KIND,
        version=VERSION,
        memory_mapped=lambda name: is_mapped or name.startswith("shapes."),
        verify=verify,
    )
    # As plain arrays over the mapped files: every slice of a memmap costs microseconds, and queries take many.
    arrays = {name: np.asarray(array) for name, array in folder.arrays.items()}
    try:
        fault = network_fault(arrays, folder.document["names"])
        if fault is not None:
            raise StoredFolderError(
                path=folder.path / f"{fault[0]}.npy",
                problem=f"{fault[1]}, so this is no network",
                remedy="Read its source again and save it anew",
            )
        return _rebuild(arrays, folder.document)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise StoredFolderError(
            path=path, problem=f"lacks a part of a network ({error})", remedy="Read its source again and save it anew"
        ) from error


def _rebuild(arrays: dict[str, NDArray[Any]], document: dict[str, Any]) -> RoadNetwork:
    names = document["names"]
    columns: dict[str, Any] = {"extra": _extras(arrays, names, "attributes"), "kinds": _kinds(arrays, names)}
    for name in _ATTRIBUTES:
        columns[name] = _column(arrays, names, f"attributes.{name}")
    if columns["lanes"] is not None:
        columns["lanes"] = columns["lanes"].astype(np.uint8, copy=False)  # int32 in folders of earlier releases
    optional = {"latitude_deg", "longitude_deg", "angle_deg"}
    turns: dict[str, Any] = {
        name: arrays.get(f"turns.{name}") if name in optional else arrays[f"turns.{name}"] for name in _TURNS
    }
    graph: dict[str, Any] = {
        name: arrays.get(f"graph.{name}") if name in optional else arrays[f"graph.{name}"] for name in _GRAPH[:-1]
    }
    graph["node_tags"] = _column(arrays, names, "graph.node_tags")
    has_shapes = "shapes.first_point" in arrays
    return RoadNetwork(
        graph=RoadGraph(**graph),
        attributes=EdgeAttributes(**columns),
        turns=TurnGraph(**turns, extra=_extras(arrays, names, "turns")),
        shapes=EdgeShapes(**{name: arrays[f"shapes.{name}"] for name in _SHAPES}) if has_shapes else None,
        report=document["report"],
        checksum=document["checksum"],
    )


def _column(arrays: dict[str, NDArray[Any]], names: dict[str, list[str]], key: str) -> Any:
    column, levels = arrays.get(key), names.get(key)
    return column if levels is None or column is None else Categories(column, tuple(levels))


def _extras(arrays: dict[str, NDArray[Any]], names: dict[str, list[str]], part: str) -> dict[str, NDArray[Any]]:
    """Free column names stand in the document, numbered in file names: a name never becomes a path."""
    return {name: arrays[f"{part}.extra.{number}"] for number, name in enumerate(names[f"{part}.extra"])}


def _kinds(arrays: dict[str, NDArray[Any]], names: dict[str, list[str]]) -> dict[str, Categories]:
    """Further columns of names; folders of earlier releases have none."""
    return {
        name: Categories(arrays[f"{_KIND}.{number}"], tuple(names[f"{_KIND}.{number}"]))
        for number, name in enumerate(names.get(_KIND, []))
    }


def _flatten(
    graph: RoadGraph, attributes: EdgeAttributes, turns: TurnGraph, shapes: EdgeShapes | None
) -> tuple[dict[str, NDArray[Any]], dict[str, list[str]]]:
    arrays: dict[str, NDArray[Any]] = {}
    names: dict[str, list[str]] = {}
    for key, column in _columns(graph, attributes, turns, shapes):
        if isinstance(column, Categories):
            arrays[key], names[key] = column.codes, list(column.levels)
        elif column is not None:
            arrays[key] = column
    for part, extra in (("attributes", attributes.extra), ("turns", turns.extra)):
        names[f"{part}.extra"] = list(extra)
        arrays |= {f"{part}.extra.{number}": values for number, values in enumerate(extra.values())}
    if attributes.kinds:  # a network without such columns keeps the checksum that earlier releases gave it
        names[_KIND] = list(attributes.kinds)
    for number, kind in enumerate(attributes.kinds.values()):
        arrays[f"{_KIND}.{number}"], names[f"{_KIND}.{number}"] = kind.codes, list(kind.levels)
    return arrays, names


def _columns(
    graph: RoadGraph, attributes: EdgeAttributes, turns: TurnGraph, shapes: EdgeShapes | None
) -> Iterator[tuple[str, Any]]:
    for part, record, names in (
        ("graph", graph, _GRAPH),
        ("attributes", attributes, _ATTRIBUTES),
        ("turns", turns, _TURNS),
        ("shapes", shapes, _SHAPES),
    ):
        for name in names:
            yield f"{part}.{name}", None if record is None else getattr(record, name)
