"""Costs between many points: one sweep over the hierarchy per row or column instead of a query per pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ..core.errors import ConfigurationError
from ..core.types import Floats, Ints
from ..graphs.hierarchy import Metric, Start
from ..graphs.shortest_paths import reachable_from
from .metrics import NamedCosts
from .part_way import Place
from .points import Terminal

Annotation: TypeAlias = Literal["travel_time_s", "length_m"]
ANNOTATIONS: tuple[Annotation, ...] = ("travel_time_s", "length_m")


@dataclass(frozen=True, eq=False)
class Matrix:
    """What the cheapest routes between many points cost."""

    cost: Floats
    """float64[O, D], ``inf`` where there is no route; what `Route.cost` says, up to the rounding of the hierarchy's
    integers (1e-9 of the longest trip per turn)."""
    metric: str
    """Name of the costs."""
    version: int
    """Of the metric."""
    travel_time_s: Floats | None = None
    """float64[O, D], free-flow seconds of the cheapest routes, ``inf`` without one; None where not asked for."""
    length_m: Floats | None = None
    """float64[O, D], metres of the cheapest routes, ``inf`` without one; None where not asked for."""


def check_annotations(annotations: Sequence[str]) -> tuple[Annotation, ...]:
    """`ConfigurationError` for names that are none of `ANNOTATIONS`."""
    unknown = [name for name in annotations if name not in ANNOTATIONS]
    if unknown:
        raise ConfigurationError(
            where="annotations", problem=f"no annotation {unknown[0]!r}; there are: {', '.join(ANNOTATIONS)}"
        )
    return tuple(name for name in ANNOTATIONS if name in annotations)


def cost_matrix(
    costs: NamedCosts, origins: Sequence[Terminal], destinations: Sequence[Terminal], *, threads: int = 0
) -> Floats:
    """float64[O, D]: the cost of the cheapest route between each two points, ``inf`` where there is none.

    Parameters
    ----------
    origins, destinations
        Points as found on the network.
    threads
        0 for one per processor, at most 8.

    Notes
    -----
    Sweeps run from the side with fewer edges, with the edges of the other side pinned. 1,000 x 1,000 on Porto take a
    few seconds.
    """
    starts = [costs.starts(terminal) for terminal in origins]
    ends = [costs.ends(terminal) for terminal in destinations]
    rows = _rows(origins, starts)
    metric = costs.own_metric()
    if len(rows) <= len(ends):
        table = _forwards(costs, metric, rows, ends, threads)
    else:
        table = _backwards(costs, metric, rows, ends, threads)
    cost = _best_rows(table, rows, len(starts))
    _mend(costs, cost, origins, destinations, starts, ends)
    return cost


@dataclass(frozen=True)
class _Row:
    """Starts of one origin that a sweep may take together."""

    origin: int
    starts: tuple[Place, ...]
    left_out: float
    """What chooses between the rows of an origin and is no part of the cost: a node's entry cost."""


def _rows(origins: Sequence[Terminal], starts: Sequence[list[Place]]) -> list[_Row]:
    """One row per origin; one per edge for a node, whose entry costs choose and are then taken off again."""
    rows = []
    for origin, (terminal, places) in enumerate(zip(origins, starts, strict=True)):
        if terminal.node >= 0:
            rows += [_Row(origin, (place,), place.initial) for place in places]
        elif places:
            rows.append(_Row(origin, tuple(places), 0.0))
    return rows


def _forwards(
    costs: NamedCosts, metric: Metric, rows: Sequence[_Row], ends: Sequence[list[Place]], threads: int
) -> Floats:
    """float64[R, D]: a sweep per row, the edges of all destinations pinned."""
    pinned, column = _distinct(ends)
    quantum, to_quanta = metric.costs.quantum, metric.costs.to_quanta
    sources: list[list[Start]] = []
    least = []
    for row in rows:
        base = min(place.share_cost for place in row.starts)
        least.append(base)
        sources.append([(place.edge, to_quanta(place.share_cost - base)) for place in row.starts])
    found = metric.costs_from(sources, pinned, threads=threads) * quantum + np.array(least)[:, None]
    table = np.full((len(rows), len(ends)), np.inf)
    for number, places in enumerate(ends):
        if places:
            let_off = np.array([place.share_cost for place in places])
            table[:, number] = (found[:, [column[place.edge] for place in places]] - let_off).min(axis=1)
    return table


def _backwards(
    costs: NamedCosts, metric: Metric, rows: Sequence[_Row], ends: Sequence[list[Place]], threads: int
) -> Floats:
    """The same by a sweep per destination, the edges of all rows pinned."""
    pinned, column = _distinct([row.starts for row in rows])
    quantum, to_quanta = metric.costs.quantum, metric.costs.to_quanta
    targets: list[list[Start]] = []
    largest = []
    usable = [number for number, places in enumerate(ends) if places]
    for number in usable:
        most = max(place.share_cost for place in ends[number])
        largest.append(most)
        targets.append([(place.edge, to_quanta(most - place.share_cost)) for place in ends[number]])
    found = metric.costs_onto(pinned, targets, threads=threads) * quantum - np.array(largest)
    table = np.full((len(rows), len(ends)), np.inf)
    for number, row in enumerate(rows):
        paid = np.array([place.share_cost for place in row.starts])
        table[number, usable] = (found[[column[place.edge] for place in row.starts]] + paid[:, None]).min(axis=0)
    return table


def _distinct(groups: Sequence[Sequence[Place]]) -> tuple[Ints, dict[int, int]]:
    edges = sorted({place.edge for places in groups for place in places})
    return np.array(edges, np.int32), {edge: number for number, edge in enumerate(edges)}


def _best_rows(table: Floats, rows: Sequence[_Row], num_origins: int) -> Floats:
    cost = np.full((num_origins, table.shape[1]), np.inf)
    compared = cost.copy()
    for number, row in enumerate(rows):
        total = table[number] + row.left_out
        is_better = total < compared[row.origin]
        compared[row.origin][is_better] = total[is_better]
        cost[row.origin][is_better] = table[number][is_better]
    return np.asarray(np.maximum(cost, 0.0))


def _mend(
    costs: NamedCosts,
    cost: Floats,
    origins: Sequence[Terminal],
    destinations: Sequence[Terminal],
    starts: Sequence[list[Place]],
    ends: Sequence[list[Place]],
) -> None:
    """Pairs that a sweep gets wrong, by a query each: on one edge and backwards, or both at one junction."""
    by_edge: dict[int, list[tuple[int, float]]] = {}
    for column, places in enumerate(ends):
        for place in places:
            by_edge.setdefault(place.edge, []).append((column, place.fraction))
    for row, places in enumerate(starts):
        behind = {
            column for place in places for column, fraction in by_edge.get(place.edge, ()) if fraction < place.fraction
        }
        for column in behind:
            cost[row, column] = _by_query(costs, starts[row], ends[column])
    if not costs.is_bounded:
        _look_again(costs, cost, starts, ends)
    nodes = np.array([terminal.node for terminal in destinations])
    for row, terminal in enumerate(origins):
        if terminal.node >= 0:
            cost[row, nodes == terminal.node] = 0.0


def _look_again(costs: NamedCosts, cost: Floats, starts: Sequence[list[Place]], ends: Sequence[list[Place]]) -> None:
    """Pairs without a cost though there is a way: it is too long for the hierarchy's integers."""
    turns = costs.open_network().turns
    for row in np.flatnonzero(np.isinf(cost).any(axis=1)).tolist():
        if not starts[row]:
            continue
        is_reached = reachable_from(turns, np.array([place.edge for place in starts[row]], np.int32))
        for column in np.flatnonzero(np.isinf(cost[row])).tolist():
            if is_reached[[place.edge for place in ends[column]]].any():
                cost[row, column] = _by_query(costs, starts[row], ends[column])


def _by_query(costs: NamedCosts, starts: list[Place], ends: list[Place]) -> float:
    path = costs.cheapest(starts, ends)
    if not path.is_reachable:
        return np.inf
    start = next(place for place in starts if place.edge == path.first)
    end = next(place for place in ends if place.edge == path.states[-1])
    return max(start.share_cost + float(costs.turn_cost[path.turns].sum()) - end.share_cost, 0.0)
