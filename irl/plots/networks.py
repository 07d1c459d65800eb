"""Networks as PNG: every edge in the colour of its cost, or of its region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...core.types import Floats, Ints
from ...graphs.road_graph import RoadNetwork
from ..map_views import INK, line_widths, one_per_road, round_ticks, view_of
from .frame import blank_map, finish_map


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
    figure, axes = blank_map(view)
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
    return finish_map(figure, axes, network, view, path_png, title=title, is_simulated=is_simulated)


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
    figure, axes = blank_map(view)
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
    return finish_map(figure, axes, network, view, path_png, title=title, is_simulated=is_simulated)


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
