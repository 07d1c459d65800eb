"""What a network takes in memory, group by group; what is read from disk only where it is looked at stands apart."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .road_graph import Categories, RoadNetwork


@dataclass(frozen=True)
class NetworkBytes:
    """Bytes by group, and the number of edges that they are shared by."""

    num_edges: int
    graph: int
    """Nodes, edges and their ids."""
    turns: int
    attributes: int
    """Columns of the edges, and the names of classes, surfaces and roads."""
    made: int
    """What is worked out when it is first asked for, and kept: the edge that each turn leaves, components."""
    shapes: int
    """Geometry and OSM node lists: memory-mapped when the network is loaded, so no part of `loaded`."""

    @property
    def loaded(self) -> int:
        """Everything but the shapes."""
        return self.graph + self.turns + self.attributes + self.made

    def per_edge(self, group: str) -> float:
        """Bytes per edge of one group, by its name here."""
        return float(getattr(self, group)) / max(self.num_edges, 1)


def network_bytes(network: RoadNetwork) -> NetworkBytes:
    """Count the arrays of a network, as they are now. O(number of distinct names)."""
    graph, turns, attributes = network.graph, network.turns, network.attributes
    return NetworkBytes(
        num_edges=graph.num_edges,
        graph=_bytes(_fields(graph)),
        turns=_bytes(_fields(turns)),
        attributes=_bytes(_fields(attributes)),
        made=_bytes(_cached(graph)) + _bytes(_cached(turns)),
        shapes=_bytes(_fields(network.shapes)) if network.shapes is not None else 0,
    )


def format_bytes(network: RoadNetwork) -> str:
    """One line for people: bytes per edge by group."""
    found = network_bytes(network)
    parts = ", ".join(f"{name} {found.per_edge(name):.1f}" for name in ("graph", "turns", "attributes", "made"))
    apart = f"; shapes {found.per_edge('shapes'):.1f}, memory-mapped" if found.shapes else ""
    return f"memory per edge: {found.per_edge('loaded'):.1f} bytes ({parts}){apart}"


def _fields(record: Any) -> Iterator[Any]:
    """The values of a record's own fields, those of mappings one by one."""
    for field in fields(record):
        value = getattr(record, field.name)
        yield from value.values() if isinstance(value, dict) else (value,)


def _cached(record: Any) -> Iterator[Any]:
    names = {field.name for field in fields(record)}
    return (value for name, value in vars(record).items() if name not in names)


def _bytes(columns: Iterator[Any]) -> int:
    return sum(_size(column) for column in columns)


def _size(column: NDArray[Any] | Categories | None) -> int:
    if isinstance(column, Categories):
        return column.codes.nbytes + sum(sys.getsizeof(level) for level in column.levels)
    return column.nbytes if isinstance(column, np.ndarray) else 0
