"""Drives of known routes on the small city, as a receiver sees them."""

from __future__ import annotations

import numpy as np
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.texts import Texts
from trodden.irl.trace_simulation import TraceNoise, simulate_traces
from trodden.irl.traces import Traces
from trodden.routing.part_way import cut_line
from trodden.routing.route import Route

METRES = 1 / 111_195.0
"""Degrees of latitude."""


def as_demonstrations(network: RoadNetwork, routes: list[np.ndarray]) -> Demonstrations:
    first = np.concatenate([[0], np.cumsum([len(one) for one in routes])]).astype(np.int64)
    names = Texts.of([f"r{k}" for k in range(len(routes))])
    nothing = Texts.of([None] * len(routes))
    edges = np.concatenate(routes).astype(np.int32)
    return Demonstrations(network, first, edges, names, np.ones(len(routes)), nothing, (), "a test", is_simulated=True)


def drives(network: RoadNetwork, routes: list[np.ndarray], seed: int = 0, **noise: float) -> Traces:
    return simulate_traces(as_demonstrations(network, routes), TraceNoise(**noise), seed=seed)


def points_of(traces: Traces, row: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(float64[P, 2] of (latitude, longitude), float64[P] seconds)."""
    mine = slice(int(traces.first[row]), int(traces.first[row + 1]))
    return np.stack([traces.latitude_deg[mine], traces.longitude_deg[mine]], axis=1), traces.time_s[mine]


def along(route: Route, count: int) -> np.ndarray:
    """float64[count, 2]: places on a route's line at equal distances."""
    line = route.geometry
    return np.array([cut_line(line, share, share)[0] for share in np.linspace(0, 1, count)])
