"""What part of a network a picture shows, and in metres: no plotting library in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.types import Bools, Floats
from ..graphs.geometry import METRES_PER_DEGREE
from ..graphs.road_graph import RoadNetwork

TRAVELLED_COLOUR = "#262626"
ALTERNATIVE_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442")
"""Of Okabe and Ito's palette: told apart under every common colour blindness, light enough to lie on a dark band."""
ROAD_COLOUR, BACKGROUND, INK = "#cfcbc3", "#fbfaf8", "#3a3a3a"
MORE_COLOUR, LESS_COLOUR = "#0072b2", "#d55e00"
"""What is travelled more, or less, than its tags say; of the same palette, dark enough to stand on roads."""
OSM_CREDIT = "© OpenStreetMap contributors"
"""What the licence of OpenStreetMap (ODbL) asks to be shown beside anything made from it."""

_CLASS_WIDTHS = {"motorway": 2.2, "trunk": 2.0, "primary": 1.8, "secondary": 1.4, "tertiary": 1.1}
_OTHER_WIDTH = 0.6
_SMALLEST_VIEW_M = 300.0


@dataclass(frozen=True, eq=False)
class View:
    """A window on the map in metres, x to the east and y to the north of its middle."""

    latitude_deg: float
    longitude_deg: float
    half_width_m: float
    half_height_m: float

    def project(self, points: Floats) -> Floats:
        """float64[P, 2] of (latitude, longitude) in degrees to (x, y) in metres."""
        local = (points - [self.latitude_deg, self.longitude_deg]) * _scale(self.latitude_deg)
        return local[:, ::-1]


def credit_for(network: RoadNetwork) -> str | None:
    """`OSM_CREDIT` where the network was made from OpenStreetMap (it has OSM nodes and ways), else None."""
    return OSM_CREDIT if network.shapes is not None else None


def view_of(points: Floats, *, margin: float = 0.12) -> View:
    """The window that holds float64[P, 2] of (latitude, longitude), never very narrow or flat."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    latitude, longitude = ((low + high) / 2).tolist()
    height, width = ((high - low) * _scale(latitude)).tolist()
    height, width = max(height, width * 0.62, _SMALLEST_VIEW_M), max(width, height * 0.75, _SMALLEST_VIEW_M)
    return View(latitude, longitude, width * (0.5 + margin), height * (0.5 + margin))


def edges_in_view(network: RoadNetwork, view: View) -> Bools:
    """bool[E]: edges whose ends' box meets the window, a little beyond it."""
    latitude, longitude = network.graph.require_coordinates("a map")
    ends = view.project(np.stack([latitude, longitude], axis=1))
    tail, head = ends[network.graph.tail], ends[network.graph.head]
    half = np.array([view.half_width_m, view.half_height_m]) * 1.05
    return np.asarray(((np.minimum(tail, head) <= half) & (np.maximum(tail, head) >= -half)).all(axis=1))


def one_per_road(network: RoadNetwork, is_wanted: Bools) -> Bools:
    """Of two edges between the same nodes in opposite directions, only the first: they would be drawn twice."""
    low = np.minimum(network.graph.tail, network.graph.head).astype(np.int64)
    high = np.maximum(network.graph.tail, network.graph.head).astype(np.int64)
    length = np.zeros(network.graph.num_edges) if network.attributes.length_m is None else network.attributes.length_m
    # Parallel roads between two nodes differ in length; the two directions of one road do not.
    key = np.stack([low, high, np.rint(np.asarray(length) * 10).astype(np.int64)], axis=1)[is_wanted]
    _, first = np.unique(key, axis=0, return_index=True)
    kept = np.zeros(network.graph.num_edges, bool)
    kept[np.flatnonzero(is_wanted)[first]] = True
    return kept


def line_widths(network: RoadNetwork) -> Floats:
    """float64[E] in points, by road class: the skeleton of the network stands out."""
    classes = network.attributes.road_class
    if classes is None:
        return np.full(network.graph.num_edges, 0.9)
    by_level = [_CLASS_WIDTHS.get(level.removesuffix("_link"), _OTHER_WIDTH) for level in classes.levels]
    return np.asarray(by_level)[classes.codes]


def route_line(network: RoadNetwork, edges: Sequence[int]) -> Floats:
    """float64[P, 2] of (latitude, longitude) along a route; `MissingDataError` without coordinates."""
    lines = [network.edge_polyline(int(edge)) for edge in edges]
    # Consecutive edges share the point between them.
    return np.concatenate([lines[0], *(line[1:] for line in lines[1:])])


def lines_of(network: RoadNetwork, edge_ids: Sequence[int], *, reach_m: float = 120.0) -> list[Floats]:
    """The line of an edge, or of a turn's two edges as far as they run near it; float64[P, 2] in degrees each."""
    lines = [network.edge_polyline(network.graph.edge_position(one)) for one in edge_ids]
    if len(lines) == 1:
        return lines
    return [_first_metres(lines[0][::-1], reach_m)[::-1], _first_metres(lines[1], reach_m)]


def _first_metres(line: Floats, metres: float) -> Floats:
    """The beginning of a line, its last point interpolated."""
    steps = np.hypot(*(np.diff(line, axis=0) * _scale(float(line[0, 0]))).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    if along[-1] <= metres:
        return line
    end = [np.interp(metres, along, line[:, column]) for column in (0, 1)]
    return np.concatenate([line[along < metres], [end]])


def named_routes(
    travelled: Sequence[int], alternatives: Mapping[str, Sequence[int]], is_simulated: bool
) -> dict[str, Sequence[int]]:
    """All routes of a picture by name, the travelled one first; `ValueError` where one has no edge."""
    routes = {"travelled (simulated)" if is_simulated else "travelled": travelled, **alternatives}
    for name, edges in routes.items():
        if len(edges) == 0:
            raise ValueError(f"the route {name!r} has no edge to draw")
    return routes


def band_styles(count: int) -> list[dict[str, Any]]:
    """Line styles of the travelled route and ``count - 1`` others: nested bands, all visible where they coincide."""
    styles: list[dict[str, Any]] = [{"color": TRAVELLED_COLOUR, "linewidth": 8.5, "zorder": 5}]
    widths = np.linspace(5.0, 2.2, max(count - 1, 2))
    for row in range(count - 1):
        colour = ALTERNATIVE_COLOURS[row % len(ALTERNATIVE_COLOURS)]
        styles.append({"color": colour, "linewidth": float(widths[row]), "zorder": 6 + row})
    return styles


def round_length_m(about: float) -> float:
    """The largest of 1, 2, 5, 10, 20, ... that is not above ``about``.

    >>> round_length_m(730.0)
    500.0
    """
    power = 10.0 ** np.floor(np.log10(about))
    return float(max(step * power for step in (1, 2, 5) if step * power <= about * (1 + 1e-9)))


def round_ticks(low: float, high: float) -> list[float]:
    """Round numbers from ``low`` to ``high``: evenly spaced, or 1-2-5 steps where they span more than a factor of 8.

    >>> round_ticks(0.04, 1.3)
    [0.05, 0.1, 0.2, 0.5, 1.0]
    """
    if low > 0 and high / low > 8:
        powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        candidates = [float(f"{step}e{power}") for power in powers for step in (1, 2, 5)]
    else:
        step = round_length_m((high - low) / 3)
        candidates = [float(f"{step * k:.12g}") for k in range(int(low / step) - 1, int(high / step) + 2)]
    return [tick for tick in candidates if low <= tick <= high]


def _scale(latitude_deg: float) -> Floats:
    return METRES_PER_DEGREE * np.array([1.0, np.cos(np.radians(latitude_deg))])
