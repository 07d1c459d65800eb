"""Maps of a report: where learned and fastest costs part, corrections in place, and trips. No tiles, no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.types import Bools, Floats, Ids, Ints
from ...graphs.road_graph import RoadNetwork
from ..map_views import View, credit_for, edges_in_view, line_widths, one_per_road, route_line, view_of
from ..model import LearnedModel
from ..plots import Lines, charts, map_svg
from .corrections import LearnedCorrections
from .example_trips import ExampleTrip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_EDGES = 40_000
"""Edges drawn on a map at most."""
NUM_NUMBERED = 6
"""Corrections of edges that carry a number on the map."""
_MAX_TURNS = 150
_NUMBER = {"boxstyle": "circle,pad=0.22", "fc": charts.PAPER, "ec": charts.INK, "lw": 0.7}
_STEPS = 101


def relative_costs(model: LearnedModel) -> Floats:
    """float64[E]: learned over fastest cost of driving onto each edge, divided by the median of that over road length.

    The mean over the turns onto the edge, without U-turns where there are others; NaN where no turn leads there.
    """
    turns = model.network.turns
    others = np.bincount(turns.to_edge, ~turns.is_uturn, minlength=turns.num_edges)
    share = np.where(turns.is_uturn & (others[turns.to_edge] > 0), 0.0, 1.0)
    learned, fastest = (
        np.bincount(turns.to_edge, share * cost, minlength=turns.num_edges)
        for cost in (model.turn_cost, model.baseline_costs["fastest"])
    )
    ratio = np.divide(learned, fastest, out=np.full(turns.num_edges, np.nan), where=fastest > 0)
    is_known = np.isfinite(ratio)
    return np.asarray(ratio / _weighted_quantile(ratio[is_known], model.network.edge_length_m()[is_known], 0.5))


def drawn_edges(network: RoadNetwork, is_wanted: Bools, *, limit: int = MAX_EDGES) -> Ids:
    """int64, ascending: the wanted edges, at most ``limit``: the widest classes first, then the longest."""
    rows = np.flatnonzero(is_wanted)
    if len(rows) <= limit:
        return rows
    order = np.lexsort((rows, -network.edge_length_m()[rows], -line_widths(network)[rows]))
    return np.sort(rows[order[:limit]])


def relative_cost_svg(model: LearnedModel) -> tuple[str, int]:
    """(the map of `relative_costs`, edges left out of it for their number); `MissingDataError` without coordinates."""
    network = model.network
    ratio = relative_costs(model)
    is_known = np.isfinite(ratio) & (ratio > 0)
    edges = drawn_edges(network, is_known)
    octaves = np.log2(ratio[edges])
    # By road length too: what is short is hardly seen.
    limit = float(np.clip(_weighted_quantile(np.abs(octaves), network.edge_length_m()[edges], 0.9), 0.5, 4.0))
    order = np.argsort(np.abs(octaves), kind="stable")
    layer = _layer(network, edges[order], _diverging(octaves[order] / limit))

    def colour_bar(axes: Axes) -> None:
        steps = [one for one in (-4, -3, -2, -1, 0, 1, 2, 3, 4) if abs(one) <= limit] if limit >= 1 else [-0.5, 0, 0.5]
        names = {-0.5: "0.7 ×", 0: "typical", 0.5: "1.4 ×"}
        labels = [names.get(one, f"{2**one:g} ×" if one > 0 else f"1/{2**-one:g}") for one in steps]
        _colour_bar(axes, [one / limit for one in steps], labels, "learned cost relative to travel time")

    svg = map_svg(
        _whole(network, edges),
        [layer],
        name="relative",
        width_inches=5.6,
        credit=credit_for(network),
        colour_bar=colour_bar,
    )
    return svg, int(is_known.sum()) - len(edges)


def corrections_svg(network: RoadNetwork, found: Sequence[LearnedCorrections]) -> tuple[str, int]:
    """(the map of corrections, corrections left out for their number); `MissingDataError` without coordinates.

    Edges are lines, turns are dots on the node that they pass.
    """
    by_kind = {one.of: one for one in found}
    every = np.concatenate([one.value for one in found])
    limit = max(float(np.percentile(np.abs(every), 98)), 1e-9) if len(every) else 1.0
    roads = drawn_edges(network, one_per_road(network, np.ones(network.graph.num_edges, bool)))
    layers = [_layer(network, roads, charts.ROAD)]
    left_out = 0
    if "edge" in by_kind:
        edge = by_kind["edge"]
        rows = np.sort(edge.largest(MAX_EDGES))
        left_out += len(edge.at) - len(rows)
        rows = rows[np.argsort(np.abs(edge.value[rows]), kind="stable")]
        layers.append(_layer(network, edge.at[rows], _diverging(edge.value[rows] / limit), more=0.9))

    def marks(axes: Axes, view: View) -> None:
        if "turn" in by_kind:
            dots(axes, view)
        if "edge" in by_kind:
            numbers(axes, view)

    def numbers(axes: Axes, view: View) -> None:
        edge = by_kind["edge"]
        for place, row in enumerate(edge.largest(NUM_NUMBERED).tolist(), start=1):
            line = view.project(network.edge_polyline(int(edge.at[row])))
            style: dict[str, Any] = {
                "fontsize": 6.5,
                "fontweight": "bold",
                "ha": "center",
                "va": "center",
                "zorder": 14,
            }
            x, y = ((line[(len(line) - 1) // 2] + line[len(line) // 2]) / 2).tolist()
            axes.text(x, y, str(place), bbox=_NUMBER, color=charts.INK, **style)

    def dots(axes: Axes, view: View) -> None:
        turn = by_kind["turn"]
        rows = turn.largest(_MAX_TURNS)[::-1]
        latitude, longitude = network.graph.require_coordinates("a map of corrections")
        node = network.graph.head[network.turns.from_edge[turn.at[rows]]]
        here = view.project(np.stack([latitude[node], longitude[node]], axis=1))
        colours = _diverging(turn.value[rows] / limit)
        axes.scatter(here[:, 0], here[:, 1], s=13, c=colours, edgecolors=charts.PAPER, linewidths=0.6, zorder=12)

    def colour_bar(axes: Axes) -> None:
        labels = [f"{-limit:.2g}".replace("-", "\N{MINUS SIGN}"), "0", f"+{limit:.2g}"]
        _colour_bar(axes, [-1, 0, 1], labels, "correction in nats: cheaper (used more) to dearer (avoided)")

    if "turn" in by_kind:
        left_out += max(len(by_kind["turn"].at) - _MAX_TURNS, 0)
    svg = map_svg(
        _whole(network, roads),
        layers,
        name="corrections",
        width_inches=5.6,
        credit=credit_for(network),
        colour_bar=colour_bar,
        draw=marks,
    )
    return svg, left_out


def trip_svg(network: RoadNetwork, trip: ExampleTrip, number: int) -> str:
    """A held-out trip with the learned and the fastest route as nested bands; `MissingDataError` as above."""
    routes = [
        (edges, style)
        for edges, style in (
            (trip.travelled, ("travelled", charts.TRAVELLED, 6.6)),
            (trip.fastest, ("fastest", charts.FASTEST, 4.0)),
            (trip.learned, ("learned", charts.LEARNED, 1.8)),
        )
        if len(edges)
    ]
    lines = [route_line(network, edges.tolist()) for edges, _ in routes]
    view = _widened(view_of(np.concatenate(lines)), 0.85)
    roads = drawn_edges(network, one_per_road(network, edges_in_view(network, view)), limit=4000)
    bands = [
        Lines([line], colour, width, label) for line, (_, (label, colour, width)) in zip(lines, routes, strict=True)
    ]

    def ends(axes: Axes, view: View) -> None:
        for (x, y), word in zip(view.project(lines[0][[0, -1]]), ("from", "to"), strict=True):
            axes.plot(x, y, "o", ms=7, mfc=charts.PAPER, mec=charts.TRAVELLED, mew=1.8, zorder=15)
            place: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7.2, "fontweight": "bold", "zorder": 16}
            axes.annotate(word, (x, y), (7, 6), color=charts.INK, bbox=charts.HALO, **place)

    layers = [_layer(network, roads, charts.ROAD), *bands]
    return map_svg(view, layers, name=f"trip{number}", width_inches=3.7, credit=credit_for(network), draw=ends)


def _weighted_quantile(values: Floats, weight: Floats, share: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1])])


def _whole(network: RoadNetwork, edges: Ids) -> View:
    """A window on the edges that are drawn, those on islands left out of account."""
    latitude, longitude = network.graph.require_coordinates("a map")
    is_main = network.turns.is_main[edges]
    edges = edges[is_main] if is_main.any() else edges
    nodes = np.unique(np.concatenate([network.graph.tail[edges], network.graph.head[edges]]))
    return view_of(np.stack([latitude[nodes], longitude[nodes]], axis=1), margin=0.05)


def _widened(view: View, height_over_width: float) -> View:
    """The window made wider or higher, so that maps beside each other have one shape."""
    width = max(view.half_width_m, view.half_height_m / height_over_width)
    return View(view.latitude_deg, view.longitude_deg, width, width * height_over_width)


def _layer(network: RoadNetwork, edges: Ints | Ids, colours: str | Sequence[str], *, more: float = 0.0) -> Lines:
    lines = [network.edge_polyline(int(edge)) for edge in edges]
    # A dense map needs thin lines: full widths at 500 edges, half of them at 20,000.
    thin = float(np.clip(1.5 - 0.25 * np.log10(max(len(lines), 1) / 100), 0.4, 1.2))
    return Lines(lines, colours, (line_widths(network)[edges] + more) * thin)


def _diverging(share: Floats) -> list[str]:
    """Colours from cheap (-1) over plain (0) to dear (1); all stand off light and dark backgrounds."""
    ends = {True: _rgb(charts.DEAR), False: _rgb(charts.CHEAP)}
    middle = _rgb(charts.PLAIN)
    colours = []
    for one in np.clip(np.asarray(share, np.float64), -1.0, 1.0).tolist():
        step = round(abs(one) * (_STEPS - 1)) / (_STEPS - 1)
        mixed = middle + (ends[one > 0] - middle) * step
        colours.append("#" + "".join(f"{round(part):02x}" for part in mixed.tolist()))
    return colours


def _rgb(colour: str) -> Floats:
    return np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)], np.float64)


def _colour_bar(axes: Axes, ticks: Sequence[float], labels: Sequence[str], title: str) -> None:
    colours = np.array([_rgb(one) for one in _diverging(np.linspace(-1, 1, _STEPS))]) / 255
    axes.imshow(colours[None], aspect="auto", extent=(-1, 1, 0, 1))
    axes.set_yticks([])
    axes.set_facecolor("none")
    axes.set_xticks(list(ticks), list(labels), fontsize=7, color=charts.INK)
    axes.tick_params(length=2, color=charts.MUTED)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(title, fontsize=7, color=charts.MUTED, labelpad=2)
