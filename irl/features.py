"""Features of a turn: what its reward is a combination of.

A name stands for a column. Columns of the edge that the turn enters:

``constant``
    1 per edge entered.
``length_km``, ``travel_time_min``, ``speed_kmh``, ``lanes``, ``is_toll``, ``is_bridge``, ``is_tunnel``
    From the attributes.
``class:NAME``, ``surface:NAME``, ``access:NAME``
    1 where the edge is of that road class, surface or access. ``class:*`` stands for every class but the most frequent,
    which is the reference (all of them beside a constant would be collinear).
``lit:NAME``, ``smoothness:NAME``, ``cycleway:NAME``, ``num_signals``, ``num_crossings``, ``climb_m``, ...
    What further tags say (`trodden.graphs.further_columns`).
``is_link``, ``is_oneway``, ``travel_time_min@NAME``
    Worked out: see `trodden.irl.derived_features`, as for turns ``is_across``, ``is_class_up``, ``at_signals``, ...
any further column of ``links.csv`` or of a table of your own, by its name; names as ``COLUMN:NAME``.

Columns of the turn itself:

``is_left``, ``is_right``, ``is_uturn``
    As the network says.
``angle:CLASS``
    1 where the turn's angle is of that class: slight (from 20 degrees), plain (from 60) and sharp (from 120 up to 170),
    to the left and right. ``angle:*`` stands for all of them; straight ahead is the reference, with it turning back and
    turns whose angle is not known.
any further numeric column of ``turns.csv``.

``NAME:3`` is 1 where a further numeric column holds exactly 3, and ``NAME:*`` stands for all of its values but the most
frequent, up to 50 of them. ``A*B`` is the product of two columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.blocks import blocks_of
from ..core.errors import ConfigurationError, InvalidValueError
from ..core.types import Floats32
from ..graphs.road_graph import Categories, RoadNetwork
from .derived_features import derived_feature, derived_names
from .feature_columns import Column, Feature, Features

_TURN_COLUMNS = ("is_left", "is_right", "is_uturn")
_ANGLE_CLASSES = {
    "sharp_left": (-170.0, -120.0),
    "left": (-120.0, -60.0),
    "slight_left": (-60.0, -20.0),
    "slight_right": (20.0, 60.0),
    "right": (60.0, 120.0),
    "sharp_right": (120.0, 170.0),
}
"""Degrees, negative to the left: the end nearer to straight ahead belongs to the class, the other does not."""
_MOST_LEVELS = 50


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
    """Names with ``class:*`` and the like spelled out for this network."""
    result = [one for name in names for one in _spelled_out(network, name)]
    repeated = {name for name in result if result.count(name) > 1}
    if repeated:
        raise ConfigurationError(
            where="[reward] features", problem=f"given more than once: {', '.join(sorted(repeated))}"
        )
    return tuple(result)


def _spelled_out(network: RoadNetwork, name: str) -> list[str]:
    kind, _, level = name.rpartition(":")
    if level != "*" or not kind:
        return [name]
    if kind == "angle":
        if network.turns.angle_deg is None:
            raise _unknown(network, name)
        return [f"angle:{one}" for one in _ANGLE_CLASSES]
    column = _categories(network).get(kind)
    if column is not None:
        counts = np.bincount(column.codes, minlength=len(column.levels))
        reference = int(np.argmax(counts))
        # Edges that do not say ("") have no column of their own: they stand with the reference.
        return [f"{kind}:{text}" for i, text in enumerate(column.levels) if i != reference and counts[i] and text]
    values = {**network.turns.extra, **network.attributes.extra}.get(kind)
    if values is None:
        raise _unknown(network, name)
    levels, counts = np.unique(values[np.isfinite(values)].astype(np.float64), return_counts=True)
    if len(levels) > _MOST_LEVELS:
        raise ConfigurationError(
            where="[reward] features",
            problem=f"{name!r} would be {len(levels) - 1} columns; {kind!r} measures something, so give its name alone",
        )
    reference = int(np.argmax(counts)) if len(levels) else -1
    return [f"{kind}:{value:g}" for i, value in enumerate(levels) if i != reference]


def _categories(network: RoadNetwork) -> dict[str, Categories]:
    columns = network.attributes
    named = {"class": columns.road_class, "surface": columns.surface, "access": columns.access, **columns.kinds}
    return {name: column for name, column in named.items() if column is not None}


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
    names += [name for name in derived_names(network) if name not in names]
    for kind, column in _categories(network).items():
        names += [f"{kind}:*", *(f"{kind}:{level}" for level in column.levels if level)]
    if network.turns.angle_deg is not None:
        names += ["angle:*", *(f"angle:{one}" for one in _ANGLE_CLASSES)]
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
    kind, _, level = name.rpartition(":")
    categories = _categories(network).get(kind)
    if level and categories is not None and level in categories.levels:
        return Feature(name, (Column(categories.codes, level=categories.levels.index(level)),))
    if kind == "angle" and level in _ANGLE_CLASSES and turns.angle_deg is not None:
        return Feature(name, of_turn=(Column(_is_angle(turns.angle_deg, level), level=1),))
    if (number := _number(level)) is not None:
        if kind in turns.extra:
            return Feature(name, of_turn=(Column((turns.extra[kind] == number).astype(np.int8), level=1),))
        if kind in columns.extra:
            return Feature(name, (Column((columns.extra[kind] == number).astype(np.int8), level=1),))
    derived = derived_feature(network, name)
    if derived is not None:
        return derived
    source, factor = _SOURCES.get(name, (name, 1.0))
    values = getattr(columns, source, None) if source in _PLAIN else None
    if values is None or name in {"length_m", "travel_time_s"}:
        raise _unknown(network, name)
    return Feature(name, (Column(values, factor),))


def _is_angle(angle_deg: Floats32, level: str) -> NDArray[np.int8]:
    low, high = _ANGLE_CLASSES[level]
    # NaN is in no class: every comparison with it is false.
    is_in = (angle_deg > low) & (angle_deg <= high) if high < 0 else (angle_deg >= low) & (angle_deg < high)
    return is_in.astype(np.int8)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _unknown(network: RoadNetwork, name: str) -> ConfigurationError:
    return ConfigurationError(
        where="[reward] features",
        problem=f"this network has no column for {name!r}; it has {', '.join(available_names(network))}",
    )


def _require_finite(network: RoadNetwork, feature: Feature) -> None:
    graph, turns = network.graph, network.turns
    for at in blocks_of(graph.num_edges):
        _require_finite_at(feature, at, feature.on_edges(at), lambda row: f"edge {int(graph.edge_id[row])}")
    if not feature.of_turn:
        return

    def turn_name(row: int) -> str:
        ends = np.array([np.searchsorted(turns.first_out, row, side="right") - 1, turns.to_edge[row]])
        one, two = graph.edge_id[ends].tolist()
        return f"turn from edge {one} to edge {two}"

    for at in blocks_of(turns.num_turns):
        _require_finite_at(feature, at, feature.on_turns(at, turns.to_edge[at]), turn_name)


def _require_finite_at(feature: Feature, at: slice, column: Column, name: Callable[[int], str]) -> None:
    values = column.numbers()
    if not np.isfinite(values).all():
        place = int(np.argmin(np.isfinite(values)))
        raise _not_finite(feature, at.start + place, name(at.start + place), float(values[place]))


def _not_finite(feature: Feature, row: int, row_name: str, value: float) -> InvalidValueError:
    return InvalidValueError(column=feature.name, row=row, row_name=row_name, value=value, expected="a finite number")
