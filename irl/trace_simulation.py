"""GPS traces made of known routes, to test matching with. Everything made from them is labelled simulated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import ConfigurationError
from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.geometry import METRES_PER_DEGREE
from ..graphs.road_graph import RoadNetwork
from ..graphs.segment_grid import SegmentGrid, make_segment_grid
from .demonstrations import Demonstrations
from .traces import Traces


@dataclass(frozen=True)
class TraceNoise:
    """How a receiver sees a drive.

    ``ConfigurationError`` for a number out of range.
    """

    interval_s: float = 1.0
    """Time between two points."""
    noise_m: float = 5.0
    """Standard deviation of a point's error, per axis."""
    correlation_s: float = 0.0
    """Time in which errors lose 63 % of their correlation; 0: errors are independent."""
    outlier_share: float = 0.0
    """Share of points that are somewhere else: ``outlier_m`` away in a random direction."""
    outlier_m: float = 200.0
    gap_share: float = 0.0
    """Share of traces that miss a quarter of their points, in a row."""
    pace_spread: float = 0.2
    """Standard deviation of the logarithm of the pace on an edge."""
    pace: float = 1.25
    """Median time on an edge, in free-flow times."""

    def __post_init__(self) -> None:
        for name, low in (("interval_s", 1e-3), ("pace", 1e-3), ("outlier_m", 0.0), ("noise_m", 0.0)):
            if not low <= getattr(self, name) < np.inf:
                raise ConfigurationError(where=f"trace noise, {name}", problem=f"{getattr(self, name)} is too small")
        for name in ("outlier_share", "gap_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigurationError(where=f"trace noise, {name}", problem=f"{getattr(self, name)} is no share")
        if not (self.correlation_s >= 0 and self.pace_spread >= 0):
            raise ConfigurationError(where="trace noise", problem="correlation_s and pace_spread are not negative")


def simulate_traces(routes: Demonstrations, noise: TraceNoise | None = None, *, seed: int = 0) -> Traces:
    """One trace per route, in the order of the routes and with their names.

    Each drive begins and ends somewhere on its first and last edge, takes its edges at a pace drawn for each, and is
    seen every ``interval_s`` and at its end. Departures are random times of one day.

    Parameters
    ----------
    noise
        Default `TraceNoise()`.
    seed
        The same seed gives the same traces.

    Raises
    ------
    MissingDataError
        The network has no coordinates, or neither lengths nor times.

    Notes
    -----
    O(edges + points), vectorised; 1 microsecond per point or so.
    """
    noise = noise or TraceNoise()
    network, generator = routes.network, np.random.default_rng(seed)
    grid = make_segment_grid(network)
    drawn = _drawn_lengths(grid, network.graph.num_edges)[routes.edge]
    seconds = _seconds(network, routes) * noise.pace * np.exp(generator.normal(0, noise.pace_spread, len(routes.edge)))
    begin, end = _ends(routes, drawn, generator)
    spent = seconds * (end - begin) / np.maximum(drawn, 1e-9)
    clock = np.concatenate([[0.0], np.cumsum(spent)])
    started, ended = clock[routes.first[:-1]], clock[routes.first[1:]]
    counts = np.floor((ended - started) / noise.interval_s).astype(np.int64) + 2
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    rows = np.repeat(np.arange(len(routes), dtype=np.int64), counts)
    at = np.minimum((np.arange(first[-1]) - first[:-1][rows]) * noise.interval_s + started[rows], ended[rows])
    place = np.clip(np.searchsorted(clock, at, side="right") - 1, routes.first[rows], routes.first[rows + 1] - 1)
    share = np.clip((at - clock[place]) / np.maximum(spent[place], 1e-9), 0.0, 1.0)
    along = begin[place] + share * (end[place] - begin[place])
    latitude, longitude = _places(grid, routes.edge[place], along)
    latitude, longitude = _blurred(latitude, longitude, first, noise, generator)
    departure = generator.uniform(0, 86_400, len(routes)).round() + 1_700_000_000.0
    traces = Traces(
        routes.route_id,
        first,
        latitude,
        longitude,
        at - started[rows] + departure[rows],
        traveller=routes.traveller,
        source="simulated traces",
        is_simulated=True,
    )
    return traces.keep(~_in_gap(first, noise, generator))


def _seconds(network: RoadNetwork, routes: Demonstrations) -> Floats:
    """float64[M], free-flow time of every edge of the routes; at 50 km/h where the network knows lengths only."""
    if network.attributes.travel_time_s is not None:
        return network.attributes.travel_time_s.astype(np.float64)[routes.edge]
    return network.attributes.require("length_m", "simulating traces").astype(np.float64)[routes.edge] / (50 / 3.6)


def _drawn_lengths(grid: SegmentGrid, num_edges: int) -> Floats:
    """float64[E], metres, as the edges are drawn."""
    lengths = np.zeros(num_edges)
    np.maximum.at(lengths, grid.edge, grid.along_m)
    return lengths


def _ends(routes: Demonstrations, drawn: Floats, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Metres along each edge where a drive enters and leaves it, float64[M]."""
    begin, end = np.zeros(len(drawn)), drawn.copy()
    begin[routes.first[:-1]] = generator.uniform(0, 1, len(routes)) * drawn[routes.first[:-1]]
    end[routes.first[1:] - 1] = generator.uniform(0, 1, len(routes)) * drawn[routes.first[1:] - 1]
    return begin, end


def _places(grid: SegmentGrid, edge: Ints, along_m: Floats) -> tuple[Floats, Floats]:
    """Coordinates of places on edges."""
    # All edges end to end: the place is found in one sorted column.
    first = np.searchsorted(grid.edge, np.arange(int(grid.edge[-1]) + 2))
    offset = np.concatenate([[0.0], np.cumsum(grid.along_m[first[1:] - 1] + 1.0)])
    track = offset[grid.edge] + grid.along_m
    piece = np.searchsorted(track, offset[edge] + along_m, side="right") - 1
    piece = np.clip(piece, first[edge], first[edge + 1] - 2)
    length = grid.along_m[piece + 1] - grid.along_m[piece]
    share = np.clip((along_m - grid.along_m[piece]) / np.maximum(length, 1e-9), 0.0, 1.0)
    return (
        grid.latitude_deg[piece] + share * (grid.latitude_deg[piece + 1] - grid.latitude_deg[piece]),
        grid.longitude_deg[piece] + share * (grid.longitude_deg[piece + 1] - grid.longitude_deg[piece]),
    )


def _blurred(
    latitude: Floats, longitude: Floats, first: Ids, noise: TraceNoise, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """The places with errors."""
    error = generator.normal(0, 1, (len(latitude), 2))
    if noise.correlation_s > 0:
        keep = np.exp(-noise.interval_s / noise.correlation_s)
        is_first = np.zeros(len(latitude), bool)
        is_first[first[:-1]] = True
        fresh = np.sqrt(1 - keep**2)
        for p in np.flatnonzero(~is_first).tolist():
            error[p] = keep * error[p - 1] + fresh * error[p]
    error *= noise.noise_m
    is_outlier = generator.random(len(latitude)) < noise.outlier_share
    angle = generator.uniform(0, 2 * np.pi, len(latitude))
    away = noise.outlier_m * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    error += np.where(is_outlier[:, None], away, 0.0)
    scale = METRES_PER_DEGREE * np.cos(np.radians(latitude))
    return latitude + error[:, 0] / METRES_PER_DEGREE, longitude + error[:, 1] / np.maximum(scale, 1e-6)


def _in_gap(first: Ids, noise: TraceNoise, generator: np.random.Generator) -> Bools:
    """bool[P]: points that some traces miss, a quarter of them in a row, never the first or the last."""
    counts = np.diff(first)
    has_gap = (generator.random(len(counts)) < noise.gap_share) & (counts > 7)
    size = np.where(has_gap, counts // 4, 0)
    start = 1 + (generator.random(len(counts)) * np.maximum(counts - 2 - size, 1)).astype(np.int64)
    inside = np.arange(first[-1]) - np.repeat(first[:-1] + start, counts)
    return np.asarray((inside >= 0) & (inside < np.repeat(size, counts)))
