"""The interactive page of one trip (the only importer of folium). Imports no JAX."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import write_file
from ..core.types import Floats
from ..graphs.road_graph import RoadNetwork
from .map_views import (
    BACKGROUND,
    TRAVELLED_COLOUR,
    band_styles,
    credit_for,
    edges_in_view,
    named_routes,
    one_per_road,
    route_line,
    view_of,
)

_BLANK_TILE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


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
    to use. OpenStreetMap's tiles are a layer that can be switched on.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    ValueError
        A route has no edge.
    OSError
        The page could not be written.
    """
    import folium

    routes = named_routes(travelled, alternatives, is_simulated)
    lines = {name: route_line(network, edges) for name, edges in routes.items()}
    every = np.concatenate(list(lines.values()))
    page = folium.Map(tiles=None, prefer_canvas=True, control_scale=True, zoom_snap=0.25)
    # Leaflet is all this page uses of what folium would load (bootstrap, jquery, icon fonts).
    page.default_js = [asset for asset in page.default_js if asset[0] == "leaflet"]
    page.default_css = [asset for asset in page.default_css if asset[0] == "leaflet_css"]
    credit = credit_for(network) or " "
    folium.TileLayer(_BLANK_TILE, name="no background", attr=credit, overlay=False, show=True).add_to(page)
    folium.TileLayer("OpenStreetMap", name="OpenStreetMap tiles", overlay=False, show=False).add_to(page)
    _add_roads(page, network, every)
    for style, (name, line) in zip(band_styles(len(lines)), lines.items(), strict=True):
        shown = _escaped(name)
        group = folium.FeatureGroup(f"<b style='color:{style['color']}'>&#9632;</b> {shown}")
        places = line.round(6).tolist()
        folium.PolyLine(
            places, color=style["color"], weight=style["linewidth"] * 1.2, opacity=1.0, tooltip=shown
        ).add_to(group)
        group.add_to(page)
    _add_page_ends(page, lines[next(iter(lines))])
    folium.LayerControl(collapsed=False).add_to(page)
    _add_heading(page, title, is_simulated)
    corners = [every.min(axis=0).tolist(), every.max(axis=0).tolist()]
    # Room for the heading above and for the list of layers on the right.
    page.fit_bounds(corners, padding_top_left=(30, 60), padding_bottom_right=(230, 40))
    return write_file(path_html, page.get_root().render().encode())


def _escaped(text: str) -> str:
    """Text that stays text: folium puts it through Jinja and into JavaScript template literals, not only into HTML."""
    shown = html.escape(text)
    for character in "{}`$\\%":
        shown = shown.replace(character, f"&#{ord(character)};")
    return shown


def _add_roads(page: Any, network: RoadNetwork, places: Floats) -> None:
    import folium

    roads = folium.FeatureGroup("roads of this network")
    is_near = one_per_road(network, edges_in_view(network, view_of(places, margin=0.35)))
    # Six decimals are a tenth of a metre; more would only make the page heavier.
    near = [network.edge_polyline(int(edge)).round(6).tolist() for edge in np.flatnonzero(is_near)]
    folium.PolyLine(near, color="#a9a59d", weight=1.5, opacity=0.8, interactive=False).add_to(roads)
    roads.add_to(page)


def _add_page_ends(page: Any, line: Floats) -> None:
    import folium

    for place, word, filled in ((line[0], "start", "#ffffff"), (line[-1], "end", TRAVELLED_COLOUR)):
        folium.CircleMarker(
            place.tolist(), radius=8, color=TRAVELLED_COLOUR, weight=3, fill_color=filled, fill_opacity=1, tooltip=word
        ).add_to(page)


def _add_heading(page: Any, title: str, is_simulated: bool) -> None:
    import folium

    words = _escaped(title) + (" <i style='color:#b03a2e'>simulated routes</i>" if is_simulated else "")
    style = (
        "position:fixed;top:12px;left:54px;z-index:9999;background:rgba(255,255,255,.92);padding:6px 12px;"
        "border-radius:6px;font:600 15px system-ui,sans-serif;color:#262626"
    )
    if words:
        page.get_root().html.add_child(folium.Element(f"<div style='{style}'>{words}</div>"))
    backdrop = f"<style>div.leaflet-container{{background:{BACKGROUND}}}</style>"
    page.get_root().header.add_child(folium.Element(backdrop))
