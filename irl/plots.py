"""Maps of trips and of learned costs (the only importer of matplotlib and folium). Imports no JAX.

PNGs need nothing but this machine. The interactive page loads its scripts and background tiles from the network; the
roads around the trip are drawn into it as well, so that it reads without tiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import MissingDataError
from ..core.files import write_file
from ..core.types import Bools, Floats, Ints
from ..graphs.road_graph import RoadNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAVELLED_COLOUR = "#1b1b1b"
ALTERNATIVE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
"""Okabe and Ito's palette: told apart under every common colour blindness."""
_ROAD_COLOUR, _BACKGROUND = "#c9c6bf", "#faf9f7"
_MAIN_CLASSES = ("motorway", "trunk", "primary", "secondary", "tertiary")
_CREDIT = "© OpenStreetMap contributors"
_DPI = 160


@dataclass(frozen=True, eq=False)
class _View:
    """A window on the map in metres, x to the east and y to the north of its middle."""

    latitude_deg: float
    longitude_deg: float
    half_width_m: float
    half_height_m: float

    @property
    def scale(self) -> Floats:
        """Metres per degree of (latitude, longitude)."""
        return 111_195.0 * np.array([1.0, np.cos(np.radians(self.latitude_deg))])

    def project(self, points: Floats) -> Floats:
        """(latitude, longitude) in degrees to (x, y) in metres."""
        local = (points - [self.latitude_deg, self.longitude_deg]) * self.scale
        return local[:, ::-1]


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
    OSError
        The picture could not be written.
    """
    routes = _named_routes(travelled, alternatives, is_simulated)
    lines = {name: _route_line(network, edges) for name, edges in routes.items()}
    view = _view_of(np.concatenate(list(lines.values())))
    figure, axes = _blank_map(view)
    _draw_roads(axes, network, view)
    for style, (name, line) in zip(_styles(len(lines)), lines.items(), strict=True):
        here = view.project(line)
        axes.plot(here[:, 0], here[:, 1], label=name, solid_capstyle="round", solid_joinstyle="round", **style)
    _draw_ends(axes, view.project(lines[next(iter(lines))][[0, -1]]))
    legend = axes.legend(loc="best", frameon=True, framealpha=0.92, edgecolor="none", fontsize=9, handlelength=2.6)
    legend.set_zorder(20)
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
    """Draw every edge coloured by its cost per metre, from the 2nd to the 98th percentile.

    Parameters
    ----------
    cost_per_metre
        float64[E]; edges with NaN are drawn grey.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    ValueError
        Not one number per edge, or none of them finite.
    """
    import matplotlib.colors
    from matplotlib.collections import LineCollection

    values = np.asarray(cost_per_metre, np.float64)
    if values.shape != (network.graph.num_edges,) or not np.isfinite(values).any():
        raise ValueError(f"cost_per_metre must hold one number for each of {network.graph.num_edges} edges")
    view = _view_of(np.stack(network.graph.require_coordinates("a map of costs"), axis=1), margin=0.02)
    figure, axes = _blank_map(view)
    low, high = np.nanpercentile(values[np.isfinite(values)], [2, 98])
    if low > 0 and high / low > 20:  # spans orders of magnitude: most edges would share one colour otherwise
        scale: Any = matplotlib.colors.LogNorm(low, high)
    else:
        scale = matplotlib.colors.Normalize(low, high if high > low else low + 1e-12)
    # Dear edges last: they are the rarer and the more telling ones.
    order = np.argsort(np.nan_to_num(values, nan=-np.inf), kind="stable")
    lines = [view.project(network.edge_polyline(int(edge))) for edge in order]
    roads = LineCollection(lines, cmap=_cost_colours(), norm=scale, linewidths=_network_widths(network, view)[order])
    roads.set_array(np.ma.masked_invalid(values[order]))
    roads.set_capstyle("round")
    axes.add_collection(roads)
    bar = figure.colorbar(roads, ax=axes, shrink=0.62, pad=0.015, aspect=34, extend="both")
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return _finish(figure, axes, network, view, path_png, title=title, is_simulated=is_simulated)


def draw_trip_map(
    network: RoadNetwork,
    travelled: Sequence[int],
    alternatives: Mapping[str, Sequence[int]],
    path_html: str | Path,
    *,
    title: str = "",
    is_simulated: bool = False,
) -> Path:
    """Write an interactive page with the observed route, the others, and the roads around them.

    The page takes Leaflet from a CDN: without a network connection it stays empty, and `draw_trip_png` is the picture
    to use. Background tiles are a layer that can be switched on.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    OSError
        The page could not be written.
    """
    import folium

    routes = _named_routes(travelled, alternatives, is_simulated)
    lines = {name: _route_line(network, edges) for name, edges in routes.items()}
    view = _view_of(np.concatenate(list(lines.values())))
    credit = _CREDIT if network.shapes is not None else None
    page = folium.Map(tiles=None, attr=credit, prefer_canvas=True, control_scale=True)
    folium.TileLayer("", name="no background", attr=credit or " ", overlay=False, show=True).add_to(page)
    folium.TileLayer("OpenStreetMap", name="OpenStreetMap tiles", overlay=False, show=False).add_to(page)
    roads = folium.FeatureGroup("roads of this network")
    near = [network.edge_polyline(int(edge)).tolist() for edge in np.flatnonzero(_near(network, view))]
    folium.PolyLine(near, color="#8d8a84", weight=1.5, opacity=0.7, interactive=False).add_to(roads)
    roads.add_to(page)
    for style, (name, line) in zip(_styles(len(lines)), lines.items(), strict=True):
        group = folium.FeatureGroup(f"<span style='color:{style['color']}'>&#9644;</span> {_escaped(name)}")
        weight = style["linewidth"] * 1.3
        folium.PolyLine(line.tolist(), color=style["color"], weight=weight, opacity=0.9, tooltip=_escaped(name)).add_to(
            group
        )
        group.add_to(page)
    _add_ends(page, lines[next(iter(lines))])
    folium.LayerControl(collapsed=False).add_to(page)
    _add_heading(page, title, is_simulated)
    every = np.concatenate(list(lines.values()))
    page.fit_bounds([every.min(axis=0).tolist(), every.max(axis=0).tolist()], padding=(30, 30))
    return write_file(path_html, page.get_root().render().encode())
