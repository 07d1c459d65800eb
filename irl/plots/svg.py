"""Charts and maps as inline SVG, to stand in a page."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from ...core.types import Floats
from ..map_views import View
from . import charts
from .frame import draw_scale_bar, frame_map, make_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_VECTOR_LINES = 2500
"""A layer of more lines than that becomes a picture inside the SVG: they would take megabytes."""
_PIXELS_PER_POINT = 1.75


@dataclass(frozen=True, eq=False)
class Lines:
    """Roads or routes of one layer of a map."""

    lines: Sequence[Floats]
    """float64[P, 2] of (latitude, longitude) each."""
    colours: str | Sequence[str]
    widths: float | Floats
    label: str = ""
    """In the legend, where there is one."""


def chart_svg(draw: Callable[[Axes], None], *, size: tuple[float, float], name: str) -> str:
    """A chart as an ``<svg>`` element to stand in a page: no ids but its own, no fonts, the page's colours.

    Parameters
    ----------
    draw
        Draws on the one pair of axes, in the colours of `trodden.irl.plots.charts`.
    size
        Width and height in inches.
    name
        Distinct among the charts of a page: ids of clips and markers are made from it.
    """
    figure = make_figure(size, "none")
    draw(figure.add_subplot())
    return _inline_svg(figure, name)


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
    figure = make_figure((width_inches, height + (0.55 if colour_bar is not None else 0.1)), "none")
    places = figure.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    axes = places[0]
    frame_map(axes, view)
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
    draw_scale_bar(axes, view, font=6.5, ink=charts.INK)
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
