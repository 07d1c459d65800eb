"""Contradictions between travellers and the map as PNG: a map of all, and the strongest from near by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.types import Floats
from ...graphs.road_graph import RoadNetwork
from ..map_views import INK, LESS_COLOUR, MORE_COLOUR, View, edges_in_view, lines_of, view_of
from .frame import draw_credit, draw_roads, draw_scale_bar, make_figure, prepare_map, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..insight.contradictions import Contradiction, Contradictions

_DETAILS = 6
_DETAIL_M = 90.0
"""A picture from near by reaches at least so far around its edge or turn."""


def draw_contradictions_png(network: RoadNetwork, found: Contradictions, path_png: str | Path) -> Path:
    """Draw where the use of edges and turns contradicts their tags: a map, and the six strongest from near by.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    ValueError
        There is no contradiction to draw.
    OSError
        The picture could not be written.
    """
    network.graph.require_coordinates("a map of contradictions")
    if not found.rows:
        raise ValueError("there is no contradiction to draw")
    lines = [lines_of(network, row.place.edge_ids) for row in found.rows]
    view = view_of(np.concatenate([line for pair in lines for line in pair]), margin=0.06)
    height = 7.2
    width = float(np.clip(height * view.half_width_m / view.half_height_m, 5.5, 10.0))
    figure = make_figure((width + 5.2, height), "white")
    left, right = figure.subfigures(1, 2, width_ratios=[width, 5.2], squeeze=False)[0]
    axes = left.add_subplot()
    prepare_map(axes, view)
    num_near = int(edges_in_view(network, view).sum())
    draw_roads(axes, network, view, width=1.3 * float(np.clip(1.8 - 0.3 * np.log10(max(num_near, 1)), 0.3, 1.0)))
    for rank, row in reversed(list(enumerate(found.rows, 1))):
        x, y = view.project(np.array([[row.place.latitude_deg, row.place.longitude_deg]]))[0]
        axes.plot(x, y, "o", ms=11, mfc=_colour(row), mec="white", mew=0.9, zorder=2 * (len(lines) - rank) + 10)
        style = {"ha": "center", "va": "center", "fontsize": 6.5, "color": "white", "weight": "bold"}
        axes.text(x, y, str(rank), zorder=2 * (len(lines) - rank) + 11, **style)
    for colour, word in ((MORE_COLOUR, "travelled more than its tags say"), (LESS_COLOUR, "travelled less")):
        axes.plot([], [], "o", ms=8, color=colour, label=word)
    axes.legend(loc="best", framealpha=0.94, edgecolor="none", fontsize=8.5).set_zorder(3 * len(lines) + 20)
    axes.set_title("Where travellers contradict the map", fontsize=12, loc="left", color=INK, pad=8)
    if found.is_simulated:
        axes.set_title("simulated routes", fontsize=9.5, loc="right", color="#b03a2e", pad=8, style="italic")
    draw_scale_bar(axes, view)
    draw_credit(axes, network)
    details = right.subplots(3, 2).ravel()
    for panel in details[len(found.rows) :]:
        panel.set_axis_off()
    for rank, (panel, row, own) in enumerate(zip(details[:_DETAILS], found.rows, lines, strict=False), 1):
        _draw_detail(panel, network, rank, row, own)
    return write_png(figure, path_png)


def _draw_detail(axes: Axes, network: RoadNetwork, rank: int, row: Contradiction, lines: list[Floats]) -> None:
    points = np.concatenate(lines)
    whole = view_of(points, margin=0.0)
    half = max(1.2 * np.abs(whole.project(points)).max(), _DETAIL_M)
    view = View(whole.latitude_deg, whole.longitude_deg, half, half)
    prepare_map(axes, view)
    draw_roads(axes, network, view, width=2.6)
    _draw_contradiction(axes, view, row, lines)
    axes.set_title(
        f"{rank}  {row.place.kind}: {row.observed:g} for {row.expected:.1f}", fontsize=8.5, color=_colour(row), pad=3
    )
    draw_scale_bar(axes, view)


def _draw_contradiction(axes: Axes, view: View, row: Contradiction, lines: list[Floats]) -> None:
    """A band in its colour, with an arrow at the end of a turn, or along the middle of an edge."""
    here = np.concatenate([view.project(line) for line in lines])
    colour = _colour(row)
    axes.plot(here[:, 0], here[:, 1], color="white", lw=5.5, solid_capstyle="round", zorder=5)
    axes.plot(here[:, 0], here[:, 1], color=colour, lw=3.2, solid_capstyle="butt", zorder=6)
    at = len(here) - 1 if row.place.kind == "turn" else max(len(here) // 2, 1)
    step = here[at] - here[at - 1]
    tip = here[at] if row.place.kind == "turn" else here[at - 1] + 0.6 * step
    style = {"arrowstyle": "-|>,head_width=0.45,head_length=0.7", "color": colour, "lw": 0}
    axes.annotate("", tip, tip - step / max(np.hypot(*step), 1e-9), arrowprops=style, zorder=7)


def _colour(row: Contradiction) -> str:
    return MORE_COLOUR if row.statistic > 0 else LESS_COLOUR
