"""Demonstrations to what each horizon learns from: trips (infinity), steps (finite), whole routes (0, corridors)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.config import PlannerConfig
from ..core.types import Floats, Ids
from .demonstrations import Demonstrations
from .destinations import Ending, destination_key, make_destinations
from .trips import Batch, RouteBatch, StepBatch


def make_batch(routes: Demonstrations, config: PlannerConfig) -> Batch:
    """What the horizon of ``config`` learns from. Call `Demonstrations.for_ending` first."""
    if config.horizon == "infinity":
        return routes.batch(config.ending)
    if config.horizon == 0 or config.solver == "corridors":
        return route_batch(routes, config)
    return make_steps(routes, config.ending).batch


@dataclass(frozen=True, eq=False)
class Steps:
    """The distinct steps of some routes, and which of them each route took."""

    batch: StepBatch
    row: Ids
    """int64[M], the route of every turn taken."""
    step: Ids
    """int64[M], its step in the batch."""
    stop: Ids
    """int64[R], the stop of each route in the batch; empty under *arrival*."""

    def per_route(self, at_step: Floats, at_stop: Floats, num_routes: int) -> Floats:
        """Sums over the steps and the stop of each route, float64[R], of float64[S] and float64[Z]."""
        total = np.bincount(self.row, at_step[self.step], minlength=num_routes).astype(np.float64)
        return total + at_stop[self.stop] if len(self.stop) else total


def make_steps(routes: Demonstrations, ending: Ending) -> Steps:
    """Routes grouped by destination and turn. O(M log M)."""
    graph, num_turns = routes.network.graph, max(routes.network.turns.num_turns, 1)
    keys, column = np.unique(destination_key(graph, routes.last_edge, ending), return_inverse=True)
    column = column.reshape(-1).astype(np.int64)
    turn, row = routes.turns()
    steps, step = np.unique(column[row] * num_turns + turn, return_inverse=True)
    weight = np.bincount(step.reshape(-1), routes.weight[row], minlength=len(steps)).astype(np.float64)
    stopping = column * graph.num_edges + routes.last_edge if ending == "stop" else np.zeros(0, np.int64)
    stops, stop = np.unique(stopping, return_inverse=True)
    stop_weight = np.bincount(stop.reshape(-1), routes.weight[: len(stopping)], minlength=len(stops))
    columns = np.arange(len(keys) + 1)
    batch = StepBatch(
        make_destinations(graph, keys.astype(np.int32), ending),
        np.searchsorted(steps, columns * num_turns).astype(np.int64),
        (steps % num_turns).astype(np.int32),
        weight,
        np.searchsorted(stops, columns * graph.num_edges).astype(np.int64),
        (stops % graph.num_edges).astype(np.int32),
        stop_weight.astype(np.float64),
    )
    return Steps(batch, row, step.reshape(-1).astype(np.int64), stop.reshape(-1).astype(np.int64))


def route_batch(routes: Demonstrations, config: PlannerConfig) -> RouteBatch:
    """Each distinct route once, by destination, with its total weight, and the margin of every edge.

    The margin of an edge is ``config.margin`` times its length over the mean length of an edge, or ``config.margin``.
    """
    graph = routes.network.graph
    rows: dict[bytes, int] = {}
    of_route = np.array(
        [rows.setdefault(routes.route(row).tobytes(), len(rows)) for row in range(len(routes))], np.int64
    )
    edges = [np.frombuffer(key, np.int32) for key in rows]
    ends = np.array([one[-1] for one in edges], np.int32)
    order = np.argsort(destination_key(graph, ends, config.ending), kind="stable")  # trips to one place share searches
    edges, of_route = [edges[row] for row in order], np.argsort(order)[of_route]
    first = np.concatenate([[0], np.cumsum([len(one) for one in edges])]).astype(np.int64)
    edge = np.concatenate(edges) if edges else np.zeros(0, np.int32)
    last = edge[first[1:] - 1]
    keys, column = np.unique(destination_key(graph, last, config.ending), return_inverse=True)
    length = routes.network.edge_length_m() if config.margin_by == "length" else np.ones(graph.num_edges)
    return RouteBatch(
        make_destinations(graph, keys.astype(np.int32), config.ending),
        column.reshape(-1).astype(np.int64),
        first,
        edge,
        np.bincount(of_route, routes.weight, minlength=len(rows)).astype(np.float64),
        config.margin * length / length.mean(),
        of_route,
    )
