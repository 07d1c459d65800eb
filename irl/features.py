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
from dataclasses import dataclass

import numpy as np

from ..core.errors import ConfigurationError, InvalidValueError
from ..core.types import Floats
from ..graphs.road_graph import RoadNetwork

_TURN_COLUMNS = ("is_left", "is_right", "is_uturn")


@dataclass(frozen=True, eq=False)
class Features:
    """The feature columns of a network."""

    names: tuple[str, ...]
    value: Floats
    """float64[T, F], one row per turn."""
    edge_value: Floats
    """float64[E, F], the part that depends on the edge entered alone; turn columns are 0."""


def default_features(network: RoadNetwork) -> tuple[str, ...]:
    """Travel time (or length where there is none), turn kinds that occur in the network, and a constant."""
    columns = network.attributes
    first = (
        "travel_time_min" if _has(network, "travel_time_min") else "length_km" if columns.length_m is not None else None
    )
    kinds = [name for name in _TURN_COLUMNS if getattr(network.turns, name).any()]
    return tuple(filter(None, [first, *kinds, "constant"]))


def make_features(network: RoadNetwork, names: Sequence[str] = ()) -> Features:
    """The columns for some names (default: `default_features`). O((T + E) F).

    Raises
    ------
    ConfigurationError
        A name that this network has no column for; lists those it has.
    InvalidValueError
        A value that is not finite; names the column and the edge or turn.
    """
    wanted = expand_names(network, names or default_features(network))
    turns = network.turns
    value = np.empty((turns.num_turns, len(wanted)))
    edge_value = np.zeros((turns.num_edges, len(wanted)))
    for column, name in enumerate(wanted):
        on_edge, on_turn = _column(network, name)
        _require_finite(network, name, on_edge, on_turn)
        if on_turn is None:
            value[:, column] = on_edge[turns.to_edge]
            edge_value[:, column] = on_edge
        else:
            value[:, column] = on_turn * on_edge[turns.to_edge]
    return Features(wanted, value, edge_value)


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


def _column(network: RoadNetwork, name: str) -> tuple[Floats, Floats | None]:
    """(per edge entered float64[E], per turn float64[T] or None); the feature is their product."""
    if "*" in name.strip("*"):
        on_edge, on_turn = np.ones(network.graph.num_edges), None
        for part in name.split("*"):
            factor_edge, factor_turn = _column(network, part.strip())
            with np.errstate(invalid="ignore", over="ignore"):  # the caller names what is not finite
                on_edge = on_edge * factor_edge
                if factor_turn is not None:
                    on_turn = factor_turn if on_turn is None else on_turn * factor_turn
        return on_edge, on_turn
    turns, columns = network.turns, network.attributes
    if name == "constant":
        return np.ones(network.graph.num_edges), None
    if name in _TURN_COLUMNS:
        return np.ones(network.graph.num_edges), getattr(turns, name).astype(np.float64)
    if name in turns.extra:
        return np.ones(network.graph.num_edges), turns.extra[name]
    # A column given under the feature's own name is used to its last digit, before one converted through float32.
    if name in columns.extra:
        return columns.extra[name], None
    kind, _, level = name.partition(":")
    categories = {"class": columns.road_class, "surface": columns.surface}.get(kind)
    if level and categories is not None and level in categories.levels:
        return categories.mask(level).astype(np.float64), None
    source, factor = _SOURCES.get(name, (name, 1.0))
    plain = source if source in _PLAIN else None
    values = getattr(columns, plain, None) if plain else None
    if values is None or name in {"length_m", "travel_time_s"}:
        raise _unknown(network, name)
    return values.astype(np.float64) * factor, None


def _unknown(network: RoadNetwork, name: str) -> ConfigurationError:
    return ConfigurationError(
        where="[reward] features",
        problem=f"this network has no column for {name!r}; it has {', '.join(available_names(network))}",
    )


def _require_finite(network: RoadNetwork, name: str, on_edge: Floats, on_turn: Floats | None) -> None:
    if not np.isfinite(on_edge).all():
        row = int(np.argmin(np.isfinite(on_edge)))
        raise InvalidValueError(
            column=name,
            row=row,
            row_name=f"edge {int(network.graph.edge_id[row])}",
            value=float(on_edge[row]),
            expected="a finite number",
        )
    if on_turn is not None and not np.isfinite(on_turn).all():
        row = int(np.argmin(np.isfinite(on_turn)))
        ids = network.graph.edge_id
        ends = f"turn from edge {int(ids[network.turns.from_edge[row]])} to edge {int(ids[network.turns.to_edge[row]])}"
        raise InvalidValueError(
            column=name, row=row, row_name=ends, value=float(on_turn[row]), expected="a finite number"
        )
