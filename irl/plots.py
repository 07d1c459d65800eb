"""Pictures of trips and of learned costs as PNG, charts and maps as inline SVG (the only importer of matplotlib).

Imports no JAX, needs no network. `draw_trip_map`, the interactive page, is here by name too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.files import write_file
from ..core.types import Floats, Ints
from ..graphs.road_graph import RoadNetwork
from .map_views import (
    BACKGROUND,
    INK,
    LESS_COLOUR,
    MORE_COLOUR,
    ROAD_COLOUR,
    TRAVELLED_COLOUR,
    View,
    band_styles,
    credit_for,
    edges_in_view,
    line_widths,
    lines_of,
    named_routes,
    one_per_road,
    round_length_m,
    round_ticks,
    route_line,
    view_of,
)
from .report import charts
from .report.ablation import AblationRow
from .trip_map import draw_trip_map

__all__ = [
    "Lines",
    "chart_svg",
    "draw_ablation_png",
    "draw_contradictions_png",
    "draw_explanation_png",
    "draw_matrix_png",
    "draw_network_png",
    "draw_regions_png",
    "draw_surface_png",
    "draw_trip_map",
    "draw_trip_png",
    "map_svg",
]

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .insight.contradictions import Contradiction, Contradictions
    from .insight.explanation import Explanation
    from .insight.surface import Surface

_DPI = 160
_LONG_SIDE_INCHES = 8.5
_MAX_VECTOR_LINES = 2500
"""A layer of more lines than that becomes a picture inside the SVG: they would take megabytes."""
_PIXELS_PER_POINT = 1.75
_MOST_BARS, _FEWEST_SLOTS = 12, 9.0
_DEARER, _CHEAPER = "#c44e2b", "#2f7fb8"
_DETAILS = 6
_DETAIL_M = 90.0
"""A picture from near by reaches at least so far around its edge or turn."""


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
    figure, axes = _blank_map(view)
    _draw_roads(axes, network, view)
    _draw_bands(axes, view, lines, band_styles(len(lines)))
    return _finish(figure, axes, network, view, path_png, title=title, is_simulated=is_simulated)


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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    is_simulated = is_simulated or explanation.is_simulated
    # The learned route before the fastest: a thinner band lies on a broader one.
    known = {"travelled": 0, "learned": 1}
    order = sorted(explanation.routes, key=lambda route: known.get(route.name, len(known)))
    lines = {route.name: route_line(network, route.edges.tolist()) for route in order}
    view = view_of(np.concatenate(list(lines.values())))
    shape = view.half_width_m / view.half_height_m
    height = float(np.clip(7.4 / shape, 4.6, 7.4))
    figure = Figure(figsize=(height * shape + 5.6, height + 0.5), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1, 2, width_ratios=[height * shape, 5.0])
    axes = figure.add_subplot(grid[0])
    _prepare_map(axes, view)
    _draw_roads(axes, network, view)
    skipped = 0 if "travelled" in lines else 1  # the dark band is the travelled route's
    _draw_bands(axes, view, lines, band_styles(len(lines) + skipped)[skipped:])
    _draw_bars(figure.add_subplot(grid[1]), explanation)
    return _finish(figure, axes, network, view, path_png, title=title, is_simulated=is_simulated)


def draw_network_png(
    network: RoadNetwork,
    cost_per_metre: Floats,
    path_png: str | Path,
    *,
    title: str = "",
    label: str = "learned cost per metre",
    is_simulated: bool = False,
) -> Path:
    """Draw every edge coloured by its cost per metre; colours span the 2nd to the 98th percentile.

    Parameters
    ----------
    cost_per_metre
        float64[E]; edges without a finite number are drawn grey.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    ValueError
        Not one number per edge, or none of them finite.
    OSError
        The picture could not be written.
    """
    from matplotlib.collections import LineCollection

    values = np.asarray(cost_per_metre, np.float64)
    is_finite = np.isfinite(values)
    if values.shape != (network.graph.num_edges,) or not is_finite.any():
        raise ValueError(f"cost_per_metre must hold one number for each of {network.graph.num_edges} edges")
    view = view_of(np.stack(network.graph.require_coordinates("a map of costs"), axis=1), margin=0.02)
    figure, axes = _blank_map(view)
    # Dear edges last, on top: they are the rarer and the more telling ones.
    order = np.argsort(np.where(is_finite, values, -np.inf), kind="stable")
    lines = [view.project(network.edge_polyline(int(edge))) for edge in order]
    colours, scale = _cost_colours(values[is_finite])
    # A dense map needs thin lines: full widths at 2,000 edges, half of them at 100,000.
    thin = float(np.clip(1.6 - 0.22 * np.log10(len(lines)), 0.4, 1.0)) if len(lines) > 500 else 1.0
    roads = LineCollection(lines, cmap=colours, norm=scale, linewidths=line_widths(network)[order] * thin)
    roads.set_array(np.ma.masked_invalid(values[order]))
    roads.set_capstyle("round")
    axes.add_collection(roads)
    bar = figure.colorbar(roads, ax=axes, shrink=0.6, pad=0.02, aspect=32, extend="both")
    bar.set_label(label, fontsize=9, color=INK, parse_math=False)
    bar.ax.tick_params(labelsize=8, length=2, colors=INK)
    bar.ax.minorticks_off()
    bar.outline.set_edgecolor("none")
    ticks = round_ticks(scale.vmin, scale.vmax)
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    return _finish(figure, axes, network, view, path_png, title=title, is_simulated=is_simulated)


def draw_regions_png(
    network: RoadNetwork, region: Ints, path_png: str | Path, *, title: str = "", is_simulated: bool = False
) -> Path:
    """Draw every edge in the colour of its region, regions side by side in different ones, each with its number.

    Parameters
    ----------
    region
        int32[E].

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    OSError
        The picture could not be written.
    """
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    view = view_of(np.stack(network.graph.require_coordinates("a map of regions"), axis=1), margin=0.02)
    figure, axes = _blank_map(view)
    edges = np.flatnonzero(one_per_road(network, np.ones(network.graph.num_edges, bool)))
    lines = [view.project(network.edge_polyline(int(edge))) for edge in edges]
    colours = colormaps["tab10"](region[edges] % 10)
    thin = float(np.clip(1.6 - 0.22 * np.log10(len(lines)), 0.4, 1.0)) if len(lines) > 500 else 1.0
    axes.add_collection(
        LineCollection(lines, colors=colours, linewidths=line_widths(network)[edges] * thin * 1.2, capstyle="round")
    )
    middles = np.array([line.mean(axis=0) for line in lines])
    for number in np.unique(region[edges]).tolist():
        x, y = np.median(middles[region[edges] == number], axis=0)
        box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": "none", "alpha": 0.85}
        axes.annotate(str(number), (x, y), ha="center", va="center", fontsize=11, color=INK, bbox=box, zorder=16)
    return _finish(figure, axes, network, view, path_png, title=title, is_simulated=is_simulated)


def draw_matrix_png(
    values: Floats,
    rows: Sequence[str],
    columns: Sequence[str],
    path_png: str | Path,
    *,
    title: str,
    x_label: str,
    y_label: str,
    number: str = "{:+.3f}",
    is_simulated: bool = False,
) -> Path:
    """Draw a table of numbers as a heat map: 0 is white, more is red and less is blue; NaN is grey.

    Parameters
    ----------
    values
        float64[len(rows), len(columns)].

    Raises
    ------
    OSError
        The picture could not be written.
    """
    figure = _figure((1.8 + 0.75 * len(columns), 1.8 + 0.5 * len(rows)), "white")
    axes = figure.add_subplot()
    limit = float(np.nanmax(np.abs(values), initial=1e-12))
    shown = np.ma.masked_invalid(values)
    axes.set_facecolor("#d9d6d0")
    axes.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        text = "-" if np.isnan(value) else number.format(value)
        dark = abs(value) > 0.6 * limit
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else INK)
    axes.set_xticks(range(len(columns)), columns, fontsize=8.5)
    axes.set_yticks(range(len(rows)), rows, fontsize=8.5)
    axes.tick_params(length=0)
    axes.set_xlabel(x_label, fontsize=9.5, color=INK)
    axes.set_ylabel(y_label, fontsize=9.5, color=INK)
    axes.set_title(title, fontsize=11, loc="left", color=INK, pad=16 if is_simulated else 8, parse_math=False)
    if is_simulated:
        axes.set_title("simulated routes", fontsize=8.5, loc="right", color="#b03a2e", style="italic")
    return _write(figure, path_png)


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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    network.graph.require_coordinates("a map of contradictions")
    if not found.rows:
        raise ValueError("there is no contradiction to draw")
    lines = [lines_of(network, row.place.edge_ids) for row in found.rows]
    view = view_of(np.concatenate([line for pair in lines for line in pair]), margin=0.06)
    height = 7.2
    width = float(np.clip(height * view.half_width_m / view.half_height_m, 5.5, 10.0))
    figure = Figure(figsize=(width + 5.2, height), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subfigures(1, 2, width_ratios=[width, 5.2], squeeze=False)[0]
    axes = left.add_subplot()
    _prepare_map(axes, view)
    num_near = int(edges_in_view(network, view).sum())
    _draw_roads(axes, network, view, width=1.3 * float(np.clip(1.8 - 0.3 * np.log10(max(num_near, 1)), 0.3, 1.0)))
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
    _draw_scale_bar(axes, view)
    _draw_credit(axes, network)
    details = right.subplots(3, 2).ravel()
    for panel in details[len(found.rows) :]:
        panel.set_axis_off()
    for rank, (panel, row, own) in enumerate(zip(details[:_DETAILS], found.rows, lines, strict=False), 1):
        _draw_detail(panel, network, rank, row, own)
    return _write(figure, path_png)


def _colour(row: Contradiction) -> str:
    return MORE_COLOUR if row.statistic > 0 else LESS_COLOUR


def _draw_detail(axes: Axes, network: RoadNetwork, rank: int, row: Contradiction, lines: list[Floats]) -> None:
    points = np.concatenate(lines)
    whole = view_of(points, margin=0.0)
    half = max(1.2 * np.abs(whole.project(points)).max(), _DETAIL_M)
    view = View(whole.latitude_deg, whole.longitude_deg, half, half)
    _prepare_map(axes, view)
    _draw_roads(axes, network, view, width=2.6)
    _draw_contradiction(axes, view, row, lines)
    axes.set_title(
        f"{rank}  {row.place.kind}: {row.observed:g} for {row.expected:.1f}", fontsize=8.5, color=_colour(row), pad=3
    )
    _draw_scale_bar(axes, view)


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


def draw_surface_png(surface: Surface, path_png: str | Path) -> Path:
    """Draw a slice of a loss as contours, what was learned as a cross, and hatched where there is no loss.

    Raises
    ------
    OSError
        The picture could not be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [("loss of the routes learned from", surface.loss, surface.learned_loss)]
    if surface.held_out is not None and surface.learned_held_out is not None:
        panels.append(("loss of the routes held out", surface.held_out, surface.learned_held_out))
    figure = Figure(figsize=(1.0 + 5.4 * len(panels), 5.0), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, loss, learned) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_slice(figure, axes, surface, loss, learned)
        axes.set_title(title, fontsize=10.5, loc="left", color=INK, pad=16 if surface.is_simulated else 8)
        if surface.is_simulated:
            axes.set_title("simulated routes", fontsize=8.5, loc="right", color="#b03a2e", style="italic")
    return _write(figure, path_png)


def _draw_slice(figure: Figure, axes: Axes, surface: Surface, loss: Floats, learned: float) -> None:
    from matplotlib.patches import Patch

    x, y = np.array(surface.x.at), np.array(surface.y.at)
    shown = np.ma.masked_invalid(loss)
    # Evenly spaced in the root of the rise, as the rings of a bowl would be: the bottom is not one single colour.
    lowest, highest = float(shown.min()), float(np.percentile(shown.compressed(), 98))
    levels = lowest + np.linspace(0.0, 1.0, 15) ** 2 * max(highest - lowest, 1e-12)
    axes.set_facecolor("#efece6")
    filled = axes.contourf(x, y, shown, levels=levels, cmap="viridis_r", extend="max")
    axes.contour(x, y, shown, levels=levels, colors="white", linewidths=0.5, alpha=0.7)
    handles: list[Any] = []
    if np.isnan(loss).any():
        # The rim between points with a loss and points without belongs to neither, and is hatched too.
        axes.patch.set(hatch="///", edgecolor="#a8a297")
        handles.append(
            Patch(
                facecolor="#efece6",
                edgecolor="#a8a297",
                hatch="///",
                label="no loss: no values exist, or a turn is free",
            )
        )
    row, column = np.unravel_index(np.nanargmin(loss), loss.shape)
    handles += axes.plot(
        surface.x.learned, surface.y.learned, "+", ms=13, mew=2.4, color=LESS_COLOUR, label="learned", zorder=9
    )
    if loss[row, column] < learned - 1e-9:
        handles += axes.plot(
            x[column], y[row], "o", ms=7, mfc="none", mec=LESS_COLOUR, mew=1.8, label="lowest of the grid", zorder=8
        )
    axes.legend(handles=handles, loc="best", fontsize=8, framealpha=0.94, edgecolor="none")
    bar = figure.colorbar(filled, ax=axes, shrink=0.8, pad=0.02, aspect=30)
    bar.set_label("negative log-likelihood per route, nats", fontsize=8.5, color=INK)
    bar.set_ticks(levels[::2].tolist(), labels=[f"{level:.4g}" for level in levels[::2]])
    bar.ax.tick_params(labelsize=7.5, length=2, colors=INK)
    axes.set_xlabel(surface.x.label, fontsize=8.5, color=INK, parse_math=False)
    axes.set_ylabel(surface.y.label, fontsize=8.5, color=INK, parse_math=False)
    axes.tick_params(labelsize=8, colors=INK)


def draw_ablation_png(rows: Sequence[AblationRow], path_png: str | Path, *, title: str = "") -> Path:
    """Draw exact matches of rewards and horizons with their intervals, a panel for each data set.

    Raises
    ------
    ValueError
        No row.
    OSError
        The picture could not be written.
    """
    if not rows:
        raise ValueError("an ablation without rows cannot be drawn")
    names = list(dict.fromkeys(row.data for row in rows))
    panels = [[row for row in rows if row.data == name] for name in names]
    heights = [len(panel) + 2.2 for panel in panels]
    figure = _figure((6.4, 0.27 * sum(heights) + 0.3), "white")
    places = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, name, panel in zip(places, names, panels, strict=True):
        charts.draw_ablation(axes, panel, title=name)
    if title:
        figure.suptitle(title, fontsize=11, color=INK, parse_math=False)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight", pad_inches=0.1)
    return write_file(path_png, buffer.getvalue())


def chart_svg(draw: Callable[[Axes], None], *, size: tuple[float, float], name: str) -> str:
    """A chart as an ``<svg>`` element to stand in a page: no ids but its own, no fonts, the page's colours.

    Parameters
    ----------
    draw
        Draws on the one pair of axes, in the colours of `trodden.irl.report.charts`.
    size
        Width and height in inches.
    name
        Distinct among the charts of a page: ids of clips and markers are made from it.
    """
    figure = _figure(size, "none")
    draw(figure.add_subplot())
    return _inline_svg(figure, name)


@dataclass(frozen=True, eq=False)
class Lines:
    """Roads or routes of one layer of a map."""

    lines: Sequence[Floats]
    """float64[P, 2] of (latitude, longitude) each."""
    colours: str | Sequence[str]
    widths: float | Floats
    label: str = ""
    """In the legend, where there is one."""


def map_svg(
    view: View,
    layers: Sequence[Lines],
    *,
    name: str,
    width_inches: float = 4.0,
    credit: str | None = None,
    colour_bar: Callable[[Axes], None] | None = None,
    draw: Callable[[Axes, View], None] | None = None,
) -> str:
    """A map as an ``<svg>`` element (see `chart_svg`), layers in their order; long ones as a picture inside it.

    Parameters
    ----------
    colour_bar
        Draws the scale of colours on narrow axes below the map.
    draw
        Draws what lies on top, in metres: see `View.project`.
    """
    from matplotlib.collections import LineCollection

    height = width_inches * view.half_height_m / view.half_width_m
    ratios = [height, 0.16] if colour_bar is not None else [height]
    figure = _figure((width_inches, height + (0.55 if colour_bar is not None else 0.1)), "none")
    places = figure.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    axes = places[0]
    _frame(axes, view)
    axes.set_facecolor("none")
    for number, layer in enumerate(layers, start=1):
        collection = LineCollection(
            [view.project(line) for line in layer.lines],
            colors=layer.colours,
            linewidths=layer.widths,
            capstyle="round",
            joinstyle="round",
            zorder=number,
            label=layer.label or None,
        )
        collection.set_rasterized(len(layer.lines) > _MAX_VECTOR_LINES)
        axes.add_collection(collection)
    if draw is not None:
        draw(axes, view)
    _draw_scale_bar(axes, view, font=6.5, ink=charts.INK)
    if credit:
        axes.text(
            0.995, 0.01, credit, transform=axes.transAxes, ha="right", va="bottom", fontsize=6, color=charts.MUTED
        )
    if any(layer.label for layer in layers):
        legend = axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3, frameon=False, fontsize=7)
        for text in legend.get_texts():
            text.set_color(charts.INK)
    if colour_bar is not None:
        colour_bar(places[1])
    return _inline_svg(figure, name)


def _figure(size: tuple[float, float], background: str) -> Figure:
    # The object interface, not pyplot: no global state, no window system, safe in threads.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=_DPI, facecolor=background, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _inline_svg(figure: Figure, name: str) -> str:
    """What a page needs of a figure's SVG."""
    import matplotlib

    buffer = BytesIO()
    # Text stays text, in the page's font; ids depend on the name alone, so that the same report has the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", dpi=220, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="(?![mpC]\w*[0-9a-f]{10}")[^"]*"', "", text)
    text = re.sub(r'font(?:-family)?: (?:[\d.]+px )?\'[^;"]*;? ?', _font_size, text)
    text = re.sub(r' d="([^"]*)"', lambda found: f' d="{_shorter(found.group(1))}"', text)
    for colour, variable in charts.SCHEME.items():
        text = text.replace(f": {colour}", f": var(--{variable})")
    text = re.sub(r"\n\s*", "\n", text)

    def sized(found: re.Match[str]) -> str:
        width, height = (round(float(found.group(k)) * _PIXELS_PER_POINT) for k in (1, 2))
        return f'width="{width}" height="{height}"'

    return re.sub(r'width="([\d.]+)pt" height="([\d.]+)pt"', sized, text, count=1).strip()


def _font_size(found: re.Match[str]) -> str:
    size = re.search(r"[\d.]+px", found.group(0))
    return f"font-size: {size.group(0)}; " if size else ""


def _shorter(path: str) -> str:
    """A path's data with hundredths of a point, on one line."""
    return re.sub(r"\s+", " ", re.sub(r"(\.\d\d)\d+", r"\1", path)).strip()


def _blank_map(view: View) -> tuple[Figure, Axes]:
    inches = _LONG_SIDE_INCHES / max(view.half_width_m, view.half_height_m)
    size = (view.half_width_m * inches + 0.3, view.half_height_m * inches + 0.6)
    figure = _figure(size, "white")
    axes = figure.add_subplot()
    _prepare_map(axes, view)
    return figure, axes


def _prepare_map(axes: Axes, view: View) -> None:
    axes.set_facecolor(BACKGROUND)
    _frame(axes, view)


def _frame(axes: Axes, view: View) -> None:
    axes.set_xlim(-view.half_width_m, view.half_width_m)
    axes.set_ylim(-view.half_height_m, view.half_height_m)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(charts.GRID)


def _draw_roads(axes: Axes, network: RoadNetwork, view: View, *, width: float = 1.3) -> None:
    from matplotlib.collections import LineCollection

    edges = np.flatnonzero(one_per_road(network, edges_in_view(network, view)))
    lines = [view.project(network.edge_polyline(int(edge))) for edge in edges]
    widths = line_widths(network)[edges] * width
    axes.add_collection(LineCollection(lines, colors=ROAD_COLOUR, linewidths=widths, capstyle="round", zorder=1))


def _draw_bands(axes: Axes, view: View, lines: Mapping[str, Floats], styles: Sequence[dict[str, Any]]) -> None:
    """Routes as nested bands, their ends, and the legend."""
    for style, (name, line) in zip(styles, lines.items(), strict=True):
        here = view.project(line)
        axes.plot(here[:, 0], here[:, 1], label=name, solid_capstyle="round", solid_joinstyle="round", **style)
    _draw_ends(axes, view.project(lines[next(iter(lines))][[0, -1]]))
    legend = axes.legend(loc="best", framealpha=0.94, edgecolor="none", fontsize=9.5, handlelength=2.4, borderpad=0.7)
    legend.set_zorder(20)
    for text in legend.get_texts():
        text.set_parse_math(False)  # names are names, also with dollar signs in them


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


def _draw_ends(axes: Axes, ends: Floats) -> None:
    for (x, y), word, filled in zip(ends, ("start", "end"), ("white", TRAVELLED_COLOUR), strict=True):
        axes.plot(x, y, "o", ms=11, mfc=filled, mec=TRAVELLED_COLOUR, mew=2.4, zorder=15)
        box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": "none", "alpha": 0.88}
        axes.annotate(word, (x, y), (9, 9), textcoords="offset points", fontsize=9.5, color=INK, bbox=box, zorder=16)


def _cost_colours(values: Floats) -> tuple[Any, Any]:
    """Colour map and scale; logarithmic where costs span orders of magnitude and most would share one colour."""
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    low, high = (float(bound) for bound in np.percentile(values, [2, 98]))
    # Dear is dark; without the palest end even the cheapest stand off the background.
    shades = matplotlib.colormaps["plasma_r"](np.linspace(0.08, 1.0, 256))
    colours = LinearSegmentedColormap.from_list("costs", shades).with_extremes(bad="#d9d6d0")
    if low > 0 and high / low > 8:
        return colours, LogNorm(low, high)
    return colours, Normalize(low, high if high > low else low + max(abs(low), 1.0) * 1e-6)


def _finish(
    figure: Figure,
    axes: Axes,
    network: RoadNetwork,
    view: View,
    path_png: str | Path,
    *,
    title: str,
    is_simulated: bool,
) -> Path:
    """Heading, scale bar, credit; then write."""
    if title:
        axes.set_title(title, fontsize=12, loc="left", color=INK, pad=8, parse_math=False)
    if is_simulated:
        axes.set_title("simulated routes", fontsize=9.5, loc="right", color="#b03a2e", pad=8, style="italic")
    _draw_scale_bar(axes, view)
    _draw_credit(axes, network)
    return _write(figure, path_png)


def _draw_credit(axes: Axes, network: RoadNetwork) -> None:
    if credit := credit_for(network):
        box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.8}
        axes.text(
            0.995, 0.008, credit, transform=axes.transAxes, ha="right", va="bottom", fontsize=7, bbox=box, zorder=21
        )


def _write(figure: Figure, path_png: str | Path) -> Path:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.08)
    return write_file(path_png, buffer.getvalue())


def _draw_scale_bar(axes: Axes, view: View, *, font: float = 8, ink: str = INK) -> None:
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
