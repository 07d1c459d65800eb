"""Whether stored arrays can be a network: types, lengths and positions, before any compiled loop trusts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.blocks import blocks_of


@dataclass(frozen=True)
class _Column:
    """What an array must be: of this type or kind, as long as that, its values within these."""

    kind: str
    """A type's name, or ``"whole"`` or ``"real"`` for any type of such numbers."""
    size: str
    """E edges, N nodes, T turns, P points, W ways; ``"E+1"`` for offsets, which rise from 0 to the number below."""
    below: str = ""
    """Values are positions below so many."""
    limit: float = 0.0
    """Values are no farther from 0 than this."""
    is_positive: bool = False


_COLUMNS: Mapping[str, _Column] = {
    "graph.tail": _Column("int32", "E", below="N"),
    "graph.head": _Column("int32", "E", below="N"),
    "graph.edge_id": _Column("int64", "E"),
    "graph.node_id": _Column("int64", "N"),
    "graph.latitude_deg": _Column("float64", "N", limit=90.0),
    "graph.longitude_deg": _Column("float64", "N", limit=180.0),
    "graph.node_tags": _Column("whole", "N", below="levels"),
    "turns.first_out": _Column("int32", "E+1", below="T"),
    "turns.to_edge": _Column("int32", "T", below="E"),
    "turns.angle_deg": _Column("float32", "T"),
    "turns.is_left": _Column("bool", "T"),
    "turns.is_right": _Column("bool", "T"),
    "turns.is_uturn": _Column("bool", "T"),
    "attributes.length_m": _Column("float32", "E", is_positive=True),
    "attributes.speed_kmh": _Column("float32", "E", is_positive=True),
    "attributes.travel_time_s": _Column("float32", "E", is_positive=True),
    "attributes.lanes": _Column("whole", "E"),
    "attributes.is_toll": _Column("bool", "E"),
    "attributes.is_bridge": _Column("bool", "E"),
    "attributes.is_tunnel": _Column("bool", "E"),
    # Shapes stay on disk: of them only the offsets are looked at.
    "shapes.first_point": _Column("int64", "E+1", below="P"),
    "shapes.osm_node": _Column("int64", "P"),
    "shapes.latitude_e7": _Column("int32", "P"),
    "shapes.longitude_e7": _Column("int32", "P"),
    "shapes.first_way": _Column("int64", "E+1", below="W"),
    "shapes.osm_way": _Column("int64", "W"),
}
_LENGTH_OF = {
    "E": "graph.tail",
    "N": "graph.node_id",
    "T": "turns.to_edge",
    "P": "shapes.osm_node",
    "W": "shapes.osm_way",
}


def network_fault(arrays: Mapping[str, NDArray[Any]], names: Mapping[str, Sequence[str]]) -> tuple[str, str] | None:
    """(array, what is wrong with it) of the first one that cannot be a network's, or None.

    Parameters
    ----------
    arrays, names
        As `trodden.graphs.store` writes them: columns by part and name, and the levels of those that are codes.

    Notes
    -----
    O(bytes) without shapes, whose points stay unread: some 10 ms per million edges.
    """
    sizes = {size: len(arrays[name]) if name in arrays else 0 for size, name in _LENGTH_OF.items()}
    for name, array in arrays.items():
        problem = _fault(array, _column(name, names), sizes, len(names.get(name, ())))
        if problem is not None:
            return name, problem
    for at in blocks_of(sizes["E"]):
        first_out = arrays["turns.first_out"][at.start : at.stop + 1]
        head = np.repeat(arrays["graph.head"][at], np.diff(first_out))
        if (head != arrays["graph.tail"][arrays["turns.to_edge"][first_out[0] : first_out[-1]]]).any():
            return "turns.to_edge", "holds a turn whose edges do not meet"
    return None


def _column(name: str, names: Mapping[str, Sequence[str]]) -> _Column:
    if name in _COLUMNS:
        return _COLUMNS[name]
    if name in names:
        return _Column("whole", "E", below="levels")
    return _Column("real", "T" if name.startswith("turns.") else "E")


def _fault(array: NDArray[Any], column: _Column, sizes: Mapping[str, int], num_levels: int) -> str | None:
    size = sizes[column.size[0]] + column.size.endswith("+1")
    kinds = {"whole": "iu", "real": "iufb"}.get(column.kind)
    if (array.dtype.kind not in kinds) if kinds else (array.dtype != np.dtype(column.kind)):
        return f"is {array.dtype}, not {column.kind}"
    if array.shape != (size,):
        return f"has the shape {array.shape}, not ({size},)"
    if column.size.endswith("+1"):
        is_whole = array[0] == 0 and array[-1] == sizes[column.below] and not (array[1:] < array[:-1]).any()
        return None if is_whole else f"does not rise from 0 to {sizes[column.below]}"
    if column.below and len(array):
        end = num_levels if column.below == "levels" else sizes[column.below]
        return None if array.min() >= 0 and array.max() < end else f"holds positions outside 0 .. {end - 1}"
    if column.limit and not (np.abs(array) <= column.limit).all():
        return f"holds something that is not between -{column.limit:g} and {column.limit:g}"
    if column.is_positive and not ((array > 0) & np.isfinite(array)).all():
        return "holds something that is not positive and finite"
    return None
