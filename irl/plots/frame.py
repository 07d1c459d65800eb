"""What all drawings share: a figure, the window of a map, roads, routes as bands, scale bar, credit, and the PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.files import write_file
from ...core.types import Floats
from ...graphs.road_graph import RoadNetwork
from ..map_views import (
    BACKGROUND,
    INK,
    ROAD_COLOUR,
    TRAVELLED_COLOUR,
    View,
    credit_for,
    edges_in_view,
    line_widths,
    one_per_road,
    round_length_m,
)
from . import charts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 160
_LONG_SIDE_INCHES = 8.5


def make_figure(size: tuple[float, float], background: str) -> Figure:
    """A figure of ``size`` inches that pyplot knows nothing of: no global state, no window system, safe in threads."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=_DPI, facecolor=background, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def blank_map(view: View) -> tuple[Figure, Axes]:
    """A figure with the window on its one pair of axes; its long side is as long as that of any other."""
    inches = _LONG_SIDE_INCHES / max(view.half_width_m, view.half_height_m)
    size = (view.half_width_m * inches + 0.3, view.half_height_m * inches + 0.6)
    figure = make_figure(size, "white")
    axes = figure.add_subplot()
    prepare_map(axes, view)
    return figure, axes


def prepare_map(axes: Axes, view: View) -> None:
    """Make axes the window of a map on paper: `frame_map`, and the ground."""
    axes.set_facecolor(BACKGROUND)
    frame_map(axes, view)


def frame_map(axes: Axes, view: View) -> None:
    """Limit axes to the window, in metres and equal both ways, with a thin frame and no ticks."""
    axes.set_xlim(-view.half_width_m, view.half_width_m)
    axes.set_ylim(-view.half_height_m, view.half_height_m)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(charts.GRID)


def draw_roads(axes: Axes, network: RoadNetwork, view: View, *, width: float = 1.3) -> None:
    """The roads in the window, each once, in grey below all else; ``width`` scales the width of each class."""
    from matplotlib.collections import LineCollection

    edges = np.flatnonzero(one_per_road(network, edges_in_view(network, view)))
    lines = [view.project(network.edge_polyline(int(edge))) for edge in edges]
    widths = line_widths(network)[edges] * width
    axes.add_collection(LineCollection(lines, colors=ROAD_COLOUR, linewidths=widths, capstyle="round", zorder=1))


def draw_bands(axes: Axes, view: View, lines: Mapping[str, Floats], styles: Sequence[dict[str, Any]]) -> None:
    """Routes as nested bands, their ends, and the legend."""
    for style, (name, line) in zip(styles, lines.items(), strict=True):
        here = view.project(line)
        axes.plot(here[:, 0], here[:, 1], label=name, solid_capstyle="round", solid_joinstyle="round", **style)
    _draw_ends(axes, view.project(lines[next(iter(lines))][[0, -1]]))
    legend = axes.legend(loc="best", framealpha=0.94, edgecolor="none", fontsize=9.5, handlelength=2.4, borderpad=0.7)
    legend.set_zorder(20)
    for text in legend.get_texts():
        text.set_parse_math(False)  # names are names, also with dollar signs in them


def _draw_ends(axes: Axes, ends: Floats) -> None:
    for (x, y), word, filled in zip(ends, ("start", "end"), ("white", TRAVELLED_COLOUR), strict=True):
        axes.plot(x, y, "o", ms=11, mfc=filled, mec=TRAVELLED_COLOUR, mew=2.4, zorder=15)
        box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": "none", "alpha": 0.88}
        axes.annotate(word, (x, y), (9, 9), textcoords="offset points", fontsize=9.5, color=INK, bbox=box, zorder=16)


def draw_scale_bar(axes: Axes, view: View, *, font: float = 8, ink: str = INK) -> None:
    """A bar of a round length in the lower left corner, with its length above it in a font of ``font`` points."""
    length = round_length_m(view.half_width_m * 0.4)
    left, bottom = -view.half_width_m * 0.96, -view.half_height_m * 0.95
    tick = view.half_height_m * 0.012
    axes.plot(
        [left, left, left + length, left + length],
        [bottom + tick, bottom, bottom, bottom + tick],
        color=ink,
        lw=1.4,
        solid_joinstyle="miter",
        zorder=21,
    )
    words = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    place: dict[str, Any] = {"ha": "center", "va": "bottom", "zorder": 21}
    axes.text(left + length / 2, bottom + tick * 1.6, words, fontsize=font, color=ink, **place)


def draw_credit(axes: Axes, network: RoadNetwork) -> None:
    """Say in the corner whose data the network is, where it is OpenStreetMap's: see `credit_for`."""
    if credit := credit_for(network):
        box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.8}
        axes.text(
            0.995, 0.008, credit, transform=axes.transAxes, ha="right", va="bottom", fontsize=7, bbox=box, zorder=21
        )


def finish_map(
    figure: Figure,
    axes: Axes,
    network: RoadNetwork,
    view: View,
    path_png: str | Path,
    *,
    title: str,
    is_simulated: bool,
) -> Path:
    """Heading, scale bar, credit; then `write_png`."""
    if title:
        axes.set_title(title, fontsize=12, loc="left", color=INK, pad=8, parse_math=False)
    if is_simulated:
        axes.set_title("simulated routes", fontsize=9.5, loc="right", color="#b03a2e", pad=8, style="italic")
    draw_scale_bar(axes, view)
    draw_credit(axes, network)
    return write_png(figure, path_png)


def write_png(figure: Figure, path_png: str | Path, *, pad_inches: float = 0.08) -> Path:
    """Write the figure as PNG with margins of ``pad_inches``, whole or not at all; `OSError` where that fails."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=pad_inches)
    return write_file(path_png, buffer.getvalue())
