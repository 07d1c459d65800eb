"""Interactive pages: one trip, and a list of contradictions (the only importer of folium). Imports no JAX."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.files import write_file
from ..core.types import Bools, Floats
from ..graphs.road_graph import RoadNetwork
from .map_views import (
    BACKGROUND,
    LESS_COLOUR,
    MORE_COLOUR,
    TRAVELLED_COLOUR,
    View,
    band_styles,
    credit_for,
    edges_in_view,
    lines_of,
    named_routes,
    one_per_road,
    route_line,
    view_of,
)

if TYPE_CHECKING:
    from .insight.contradictions import Contradiction, Contradictions
    from .insight.places import Place

_MOST_MAIN_ROADS = 6_000
"""Edges: some 100 bytes of a page each."""
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
    page = _blank_page(network)
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


def draw_contradictions_map(network: RoadNetwork, found: Contradictions, path_html: str | Path) -> Path:
    """Write an interactive page: the list on the left, every row of it on the map, with links to OpenStreetMap.

    A click on a row goes there. The page takes Leaflet from a CDN, as `draw_trip_map`'s does.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    ValueError
        There is no contradiction to draw.
    OSError
        The page could not be written.
    """
    import folium

    network.graph.require_coordinates("a map of contradictions")
    if not found.rows:
        raise ValueError("there is no contradiction to draw")
    page = _blank_page(network)
    lines = [lines_of(network, row.place.edge_ids) for row in found.rows]
    roads = folium.FeatureGroup("roads of this network")
    is_near = _main_roads(network, view_of(np.concatenate([line for own in lines for line in own]), margin=0.3))
    for own in lines:
        is_near |= edges_in_view(network, view_of(np.concatenate(own), margin=0.6))
    near = np.flatnonzero(one_per_road(network, is_near))
    folium.PolyLine(
        [network.edge_polyline(int(edge)).round(6).tolist() for edge in near],
        color="#a9a59d",
        weight=1.5,
        opacity=0.8,
        interactive=False,
    ).add_to(roads)
    roads.add_to(page)
    items = []
    for rank, (row, own) in reversed(list(enumerate(zip(found.rows, lines, strict=True), 1))):
        colour = MORE_COLOUR if row.statistic > 0 else LESS_COLOUR
        every = np.concatenate(own)
        places = every.round(6).tolist()
        folium.PolyLine(places, color="#ffffff", weight=9, opacity=0.9, interactive=False).add_to(page)
        folium.PolyLine(places, color=colour, weight=5, opacity=1.0, interactive=False).add_to(page)
        _add_arrow(page, own[-1], colour)
        at = own[-1][0] if row.place.kind == "turn" else every[len(every) // 2]
        badge = folium.DivIcon(
            html=f"<b style='background:{colour}' onclick='doubt({rank})'>{rank}</b>",
            class_name="rank",
            icon_size=(0, 0),
        )
        folium.Marker(at.round(6).tolist(), icon=badge, z_index_offset=1000 - rank).add_to(page)
        items.append(_list_item(rank, row, every))
    _add_list(page, items[::-1], found)
    folium.LayerControl(collapsed=False).add_to(page)
    _add_heading(page, "", is_simulated=False)
    every = np.concatenate([line for own in lines for line in own])
    corners = [every.min(axis=0).tolist(), every.max(axis=0).tolist()]
    page.fit_bounds(corners, padding_top_left=(390, 50), padding_bottom_right=(60, 40))
    return write_file(path_html, page.get_root().render().encode())


def _main_roads(network: RoadNetwork, view: View) -> Bools:
    """bool[E]: the highest classes of road in a window, as many as a page shows without getting heavy."""
    is_main = np.zeros(network.graph.num_edges, bool)
    classes = network.attributes.road_class
    if classes is None:
        return is_main
    is_in = edges_in_view(network, view)
    for level in ("motorway", "trunk", "primary", "secondary"):
        wider = is_main | (is_in & classes.mask(level))
        if wider.sum() > _MOST_MAIN_ROADS:
            break
        is_main = wider
    return is_main


def _add_arrow(page: Any, line: Floats, colour: str) -> None:
    """Two strokes at the end of a line, in the direction of travel."""
    import folium

    squeeze = np.array([1.0, np.cos(np.radians(line[-1, 0]))])
    step = (line[-1] - line[-2]) * squeeze
    step /= max(np.hypot(*step), 1e-12)
    for turn in (2.6, -2.6):  # radians: backwards and to a side
        side = np.array(
            [np.cos(turn) * step[0] - np.sin(turn) * step[1], np.sin(turn) * step[0] + np.cos(turn) * step[1]]
        )
        end = line[-1] + 1.2e-4 * side / squeeze
        folium.PolyLine([line[-1].round(6).tolist(), end.round(6).tolist()], color=colour, weight=4).add_to(page)


def _list_item(rank: int, row: Contradiction, line: Floats) -> str:
    """A row of the list, which opens to say more; every text of the source is escaped."""
    place = row.place
    colour = MORE_COLOUR if row.statistic > 0 else LESS_COLOUR
    name = " -> ".join(name for name in place.names if name) or " -> ".join(place.road_classes)
    bounds = [line.min(axis=0).round(6).tolist(), line.max(axis=0).round(6).tolist()]
    nodes = place.nodes if place.osm_ways else ()
    others = f"{len(row.same_road)} more edges of this road say the same" if row.same_road else ""
    learned = "" if row.learned is None else f", learned {row.learned:+.2f}"
    more = [
        row.direction,
        f"suggested {row.suggested:+.2f} nats{learned}",
        _escaped(" -> ".join(place.road_classes)) if any(place.names) else "",
        " &rarr; ".join(_osm_link("way", way) for way in place.osm_ways),
        " &rarr; ".join(_osm_link("node", node) for node in nodes),
        others,
        "nobody came by: shut, it seems" if row.is_shut else "",
        *(_or(other) for other in row.alternatives),
    ]
    return (
        f"<details id='doubt-{rank}' data-bounds='{bounds}'><summary onclick='doubt({rank},event)'>"
        f"<b style='background:{colour}'>{rank}</b>"
        f"<span>{place.kind}, {row.observed:g} for {row.expected:.1f} <small>({row.statistic:+.1f})</small><br>"
        f"<small>{_escaped(name)}</small></span></summary><p>{'<br>'.join(part for part in more if part)}</p></details>"
    )


def _or(place: Place) -> str:
    """What else would explain a row as well."""
    ways = " &rarr; ".join(_osm_link("way", way) for way in place.osm_ways)
    return f"or the {place.kind} {ways or ' -&gt; '.join(map(str, place.edge_ids))}"


def _osm_link(kind: str, number: int) -> str:
    url = f"https://www.openstreetmap.org/{kind}/{number}"
    return f"<a href='{url}' target='_blank' rel='noopener'>{kind} {number}</a>"


def _add_list(page: Any, items: list[str], found: Contradictions) -> None:
    import folium

    simulated = " <i style='color:#b03a2e'>simulated routes</i>" if found.is_simulated else ""
    style = (
        ".doubts{position:fixed;top:12px;left:54px;max-height:calc(100% - 70px);width:300px;z-index:9999;overflow:auto;"
        "background:rgba(255,255,255,.94);border-radius:6px;font:13px system-ui,sans-serif;color:#262626}"
        ".doubts h1{font-size:15px;margin:10px 12px 4px}.doubts p{margin:0 12px 6px;color:#6a655c}"
        ".doubts summary{display:flex;gap:9px;padding:5px 12px;cursor:pointer}.doubts details p{margin-left:43px}"
        ".doubts summary:hover,.doubts details[open]{background:#f0ede7}"
        ".doubts b,.rank b{flex:none;width:22px;height:22px;border-radius:50%;color:#fff;display:block;"
        "font:600 11px/22px system-ui,sans-serif;text-align:center}"
        ".rank b{margin:-28px 0 0 4px;border:2px solid #fff;cursor:pointer}.doubts p b{display:inline;background:none}"
    )
    words = (
        f"<div class='doubts'><h1>Where travellers contradict the map{simulated}</h1>"
        f"<p>observed for expected of {found.num_routes:,} routes; "
        f"<span style='color:{MORE_COLOUR}'>more</span> or <span style='color:{LESS_COLOUR}'>less</span> "
        f"than the tags say</p>{''.join(items)}</div>"
    )
    # Opens one row, closes the others, and goes there.
    script = (
        "<script>function doubt(rank,event){if(event)event.preventDefault();"
        "for(const one of document.querySelectorAll('.doubts details'))one.open=one.id=='doubt-'+rank;"
        "const row=document.getElementById('doubt-'+rank);row.scrollIntoView({block:'nearest'});"
        f"{page.get_name()}.fitBounds(JSON.parse(row.dataset.bounds),"
        "{maxZoom:18,paddingTopLeft:[390,60],paddingBottomRight:[60,60]})}</script>"
    )
    page.get_root().header.add_child(folium.Element(f"<style>{style}</style>"))
    page.get_root().html.add_child(folium.Element(words + script))


def _blank_page(network: RoadNetwork) -> Any:
    """A page without tiles, and OpenStreetMap's to be switched on."""
    import folium

    page = folium.Map(tiles=None, prefer_canvas=True, control_scale=True, zoom_snap=0.25)
    # Leaflet is all that these pages use of what folium would load (bootstrap, jquery, icon fonts).
    page.default_js = [asset for asset in page.default_js if asset[0] == "leaflet"]
    page.default_css = [asset for asset in page.default_css if asset[0] == "leaflet_css"]
    credit = credit_for(network) or " "
    folium.TileLayer(_BLANK_TILE, name="no background", attr=credit, overlay=False, show=True).add_to(page)
    folium.TileLayer("OpenStreetMap", name="OpenStreetMap tiles", overlay=False, show=False).add_to(page)
    return page


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
