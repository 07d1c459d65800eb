"""Trips as PNG: what was travelled beside other routes, and what two routes differ by in cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...graphs.road_graph import RoadNetwork
from ..map_views import INK, band_styles, named_routes, route_line, view_of
from .frame import blank_map, draw_bands, draw_roads, finish_map, make_figure, prepare_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..insight.explanation import Explanation

_MOST_BARS, _FEWEST_SLOTS = 12, 9.0
_DEARER, _CHEAPER = "#c44e2b", "#2f7fb8"


def draw_trip_png(
    network: RoadNetwork,
    travelled: Sequence[int],
    alternatives: Mapping[str, Sequence[int]],
    path_png: str | Path,
    *,
    title: str = "",
    is_simulated: bool = False,
) -> Path:
    """Draw what was travelled beside other routes, on the roads around them.

    The travelled route is a dark band; the others lie on it in colour, each thinner than the one before, so that every
    stretch shows all routes that take it.

    Parameters
    ----------
    travelled
        Edge positions of the observed route.
    alternatives
        Edge positions by name, in the order of the legend: the learned route first, say.
    is_simulated
        The observed route was simulated: the picture says so.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    ValueError
        A route has no edge.
    OSError
        The picture could not be written.
    """
    routes = named_routes(travelled, alternatives, is_simulated)
    lines = {name: route_line(network, edges) for name, edges in routes.items()}
    view = view_of(np.concatenate(list(lines.values())))
    figure, axes = blank_map(view)
    draw_roads(axes, network, view)
    draw_bands(axes, view, lines, band_styles(len(lines)))
    return finish_map(figure, axes, network, view, path_png, title=title, is_simulated=is_simulated)


def draw_explanation_png(
    network: RoadNetwork,
    explanation: Explanation,
    path_png: str | Path,
    *,
    title: str = "",
    is_simulated: bool = False,
) -> Path:
    """Draw the routes of an explanation beside what two of them differ by in cost, a bar per term.

    Parameters
    ----------
    is_simulated
        The travelled route was simulated; whether the model's were, the explanation says.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    OSError
        The picture could not be written.
    """
    is_simulated = is_simulated or explanation.is_simulated
    # The learned route before the fastest: a thinner band lies on a broader one.
    known = {"travelled": 0, "learned": 1}
    order = sorted(explanation.routes, key=lambda route: known.get(route.name, len(known)))
    lines = {route.name: route_line(network, route.edges.tolist()) for route in order}
    view = view_of(np.concatenate(list(lines.values())))
    shape = view.half_width_m / view.half_height_m
    height = float(np.clip(7.4 / shape, 4.6, 7.4))
    figure = make_figure((height * shape + 5.6, height + 0.5), "white")
    grid = figure.add_gridspec(1, 2, width_ratios=[height * shape, 5.0])
    axes = figure.add_subplot(grid[0])
    prepare_map(axes, view)
    draw_roads(axes, network, view)
    skipped = 0 if "travelled" in lines else 1  # the dark band is the travelled route's
    draw_bands(axes, view, lines, band_styles(len(lines) + skipped)[skipped:])
    _draw_bars(figure.add_subplot(grid[1]), explanation)
    return finish_map(figure, axes, network, view, path_png, title=title, is_simulated=is_simulated)


def _draw_bars(axes: Axes, explanation: Explanation) -> None:
    """What the compared routes differ by, term by term, the largest first and their sum last."""
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, colors=INK, labelsize=9)
    compared = explanation.compared
    if compared is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "all these routes are the same", ha="center", va="center", fontsize=11, color=INK)
        return
    gaps = compared[0].terms - compared[1].terms
    shown = np.argsort(-np.abs(gaps), kind="stable")
    shown = shown[np.abs(gaps[shown]) > 0]
    bars = [(explanation.rows[at], float(gaps[at])) for at in shown[:_MOST_BARS]]
    if len(shown) > _MOST_BARS:
        rest = shown[_MOST_BARS - 1 :]
        bars = [*bars[: _MOST_BARS - 1], (f"{len(rest)} others", float(gaps[rest].sum()))]
    bars.append(("sum", compared[0].cost - compared[1].cost))
    place = np.arange(len(bars), dtype=np.float64)
    place[-1] += 0.5
    sizes = np.array([size for _, size in bars])
    colours = [_DEARER if size > 0 else _CHEAPER for size in sizes]
    axes.barh(place, sizes, height=0.62, color=colours)
    end = float(place[-1]) + 0.5
    axes.plot([0.0, 0.0], [-0.5, end], color=INK, lw=0.9)
    axes.axhline(place[-1] - 0.75, color="#dddad4", lw=0.9)
    reach = float(np.abs(sizes).max())
    for at, size in zip(place, sizes, strict=True):
        beyond = np.copysign(0.02 * reach, size)
        side = "left" if size >= 0 else "right"
        axes.text(size + beyond, at, f"{size:+.2f}", va="center", ha=side, fontsize=8.5, color=INK)
    low, high = min(float(sizes.min()), 0.0), max(float(sizes.max()), 0.0)
    room = 0.2 * (high - low)
    axes.set_xlim(low - room * (low < 0), high + room * (high > 0))
    axes.set_yticks(place, [name for name, _ in bars], parse_math=False)
    axes.set_ylim(max(end + 0.8, _FEWEST_SLOTS), -0.6)  # from the top; few bars stay as slim as many
    axes.set_xticks([])
    one, other = compared[0].name, compared[1].name
    axes.set_title(f"cost of {one} minus {other}, nats", fontsize=10.5, loc="left", color=INK, pad=8, parse_math=False)
    words = f"left, blue: {one} saves; right, red: it pays"
    axes.text(axes.get_xlim()[0], end + 0.5, words, fontsize=8.5, color=INK, parse_math=False)
