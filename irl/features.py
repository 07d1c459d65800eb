"""Features of a turn: what its reward is a combination of.

A name stands for a column. Columns of the edge that the turn enters:

``constant``
    1 per edge entered.
``length_km``, ``travel_time_min``, ``speed_kmh``, ``lanes``, ``is_toll``, ``is_bridge``, ``is_tunnel``
    From the attributes.
``class:NAME``, ``surface:NAME``
    1 where the edge is of that road class or surface. ``class:*`` stands for every class but the most frequent, which
    is the reference (all of them beside a constant would be collinear).
any further numeric column of ``links.csv``, by its name.

Columns of the turn itself: ``is_left``, ``is_right``, ``is_uturn``, and any further numeric column of ``turns.csv``.
``A*B`` is the product of two columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.errors import ConfigurationError, InvalidValueError
from ..graphs.road_graph import RoadNetwork
from .feature_columns import Column, Feature, Features

_TURN_COLUMNS = ("is_left", "is_right", "is_uturn")


def default_features(network: RoadNetwork) -> tuple[str, ...]:
    """Travel time (or length where there is none), turn kinds that occur in the network, and a constant."""
    columns = network.attributes
    first = (
        "travel_time_min" if _has(network, "travel_time_min") else "length_km" if columns.length_m is not None else None
    )
    kinds = [name for name in _TURN_COLUMNS if getattr(network.turns, name).any()]
    return tuple(filter(None, [first, *kinds, "constant"]))


def make_features(network: RoadNetwork, names: Sequence[str] = ()) -> Features:
    """The columns for some names (default: `default_features`), as views of the network's arrays. O((T + E) F).

    Raises
    ------
    ConfigurationError
        A name that this network has no column for; lists those it has.
    InvalidValueError
        A value that is not finite; names the column and the edge or turn.
    """
    wanted = expand_names(network, names or default_features(network))
    features = tuple(_feature(network, name) for name in wanted)
    for feature in features:
        _require_finite(network, feature)
    return Features(features, network.turns.to_edge, network.graph.num_edges)


def expand_names(network: RoadNetwork, names: Sequence[str]) -> tuple[str, ...]:
    """Names with ``class:*`` and ``surface:*`` spelled out for this network."""
    result: list[str] = []
    for name in names:
        if name in {"class:*", "surface:*"}:
            kind = name[:-2]
            column = network.attributes.road_class if kind == "class" else network.attributes.surface
            if column is None:
                raise _unknown(network, name)
            counts = np.bincount(column.codes, minlength=len(column.levels))
            reference = int(np.argmax(counts))
            # Edges that do not say ("") have no column of their own: they stand with the reference.
            result += [
                f"{kind}:{text}" for i, text in enumerate(column.levels) if i != reference and counts[i] and text
            ]
        else:
            result.append(name)
    repeated = {name for name in result if result.count(name) > 1}
    if repeated:
        raise ConfigurationError(
            where="[reward] features", problem=f"given more than once: {', '.join(sorted(repeated))}"
        )
    return tuple(result)


def available_names(network: RoadNetwork) -> list[str]:
    """Every name that this network has a column for (products aside)."""
    columns = network.attributes
    names = ["constant", *_TURN_COLUMNS]
    names += [
        n
        for n in ("length_km", "travel_time_min", "speed_kmh", "lanes", "is_toll", "is_bridge", "is_tunnel")
        if _has(network, n)
    ]
    names += [name for name in columns.extra if name not in names]
    names += list(network.turns.extra)
    for kind, column in (("class", columns.road_class), ("surface", columns.surface)):
        if column is not None:
            names += [f"{kind}:*", *(f"{kind}:{level}" for level in column.levels if level)]
    return names


_PLAIN = {"length_m", "travel_time_s", "speed_kmh", "lanes", "is_toll", "is_bridge", "is_tunnel"}
_SOURCES = {"length_km": ("length_m", 1e-3), "travel_time_min": ("travel_time_s", 1 / 60)}


def _has(network: RoadNetwork, name: str) -> bool:
    return (
        name in network.attributes.extra
        or getattr(network.attributes, _SOURCES.get(name, (name, 1))[0], None) is not None
    )


def _feature(network: RoadNetwork, name: str) -> Feature:
    """What a name stands for: a column, or a product of names."""
    turns, columns = network.turns, network.attributes
    if "*" in name.strip("*"):
        parts = [_feature(network, part.strip()) for part in name.split("*")]
        of_edge = [column for part in parts for column in part.of_edge]
        return Feature(name, tuple(of_edge), tuple(column for part in parts for column in part.of_turn))
    if name == "constant":
        return Feature(name)
    if name in _TURN_COLUMNS:
        return Feature(name, of_turn=(Column(getattr(turns, name)),))
    if name in turns.extra:
        return Feature(name, of_turn=(Column(turns.extra[name]),))
    # A column given under the feature's own name is used to its last digit, before one converted through float32.
    if name in columns.extra:
        return Feature(name, (Column(columns.extra[name]),))
    kind, _, level = name.partition(":")
    categories = {"class": columns.road_class, "surface": columns.surface}.get(kind)
    if level and categories is not None and level in categories.levels:
        return Feature(name, (Column(categories.codes, level=categories.levels.index(level)),))
    source, factor = _SOURCES.get(name, (name, 1.0))
    values = getattr(columns, source, None) if source in _PLAIN else None
    if values is None or name in {"length_m", "travel_time_s"}:
        raise _unknown(network, name)
    return Feature(name, (Column(values, factor),))


def _unknown(network: RoadNetwork, name: str) -> ConfigurationError:
    return ConfigurationError(
        where="[reward] features",
        problem=f"this network has no column for {name!r}; it has {', '.join(available_names(network))}",
    )


def _require_finite(network: RoadNetwork, feature: Feature) -> None:
    graph, turns = network.graph, network.turns
    on_edge = feature.on_edges(slice(None), graph.num_edges)
    if not np.isfinite(on_edge).all():
        row = int(np.argmin(np.isfinite(on_edge)))
        raise _not_finite(feature, row, f"edge {int(graph.edge_id[row])}", float(on_edge[row]))
    on_turn = feature.on_turns(slice(None), turns.num_turns)
    if not np.isfinite(on_turn).all():
        row = int(np.argmin(np.isfinite(on_turn)))
        one, two = int(graph.edge_id[turns.from_edge[row]]), int(graph.edge_id[turns.to_edge[row]])
        raise _not_finite(feature, row, f"turn from edge {one} to edge {two}", float(on_turn[row]))


def _not_finite(feature: Feature, row: int, row_name: str, value: float) -> InvalidValueError:
    return InvalidValueError(column=feature.name, row=row, row_name=row_name, value=value, expected="a finite number")
