"""How much of a network each column says something of: what a coefficient on it can rest on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.types import Bools
from .road_graph import Categories, RoadNetwork

_NAMED = ("road_class", "lanes", "surface", "access", "name", "is_toll", "is_bridge", "is_tunnel")


def coverage(network: RoadNetwork) -> dict[str, tuple[float, float]]:
    """Per column (share of the edges, share of the length) where it names something or is not 0. O(E) per column.

    Copies made for restrictions (`trodden.graphs.via_ways`) are left out. Where the network has no lengths, every edge
    counts the same in both.
    """
    attributes = network.attributes
    own = network.graph.edge_id >= 0 if network.shapes is not None else np.ones(network.graph.num_edges, bool)
    length = np.ones(len(own)) if attributes.length_m is None else attributes.length_m.astype(np.float64)
    length = np.where(own, length, 0.0)
    whole = float(length.sum()) or 1.0
    return {
        name: (float((says & own).sum()) / max(int(own.sum()), 1), float(length[says].sum()) / whole)
        for name, says in _says(network)
    }


def format_coverage(network: RoadNetwork) -> str:
    """One line for people: ``tagged (% of edges / of length): surface 12.1 / 10.4, ...``."""
    found = coverage(network)
    if not found:
        return "tagged: nothing"
    parts = (f"{name} {100 * edges:.1f} / {100 * length:.1f}" for name, (edges, length) in found.items())
    return f"tagged (% of edges / of length): {', '.join(parts)}"


def _says(network: RoadNetwork) -> Iterator[tuple[str, Bools]]:
    attributes = network.attributes
    for name in _NAMED:
        column = getattr(attributes, name)
        if column is not None:
            yield name, _mask(column)
    for name, kind in attributes.kinds.items():
        yield name, _mask(kind)
    for name, values in attributes.extra.items():
        yield name, _mask(values)


def _mask(column: Categories | NDArray[Any]) -> Bools:
    return ~column.mask("") if isinstance(column, Categories) else np.asarray(column != 0)
