"""Charts of a report, drawn on axes that the modules beside make: the plotting library itself is not imported here.

Each colour is that of the light scheme; `chart_svg` leaves the names below to the page's style sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..report.ablation import AblationRow

INK, MUTED, GRID, PAPER = "#23282f", "#5c6670", "#dde1e6", "#fefefe"
LEARNED, OTHER, SECOND = "#0a6e8a", "#79828c", "#b4541a"
DEAR, CHEAP, PLAIN = "#c8511b", "#2c74c8", "#a3a8ae"
ROAD, TRAVELLED, FASTEST = "#c6c9cd", "#262627", "#e69f01"
SCHEME = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
    LEARNED: "learned",
    OTHER: "other",
    SECOND: "second",
    DEAR: "dear",
    CHEAP: "cheap",
    PLAIN: "plain",
    ROAD: "road",
    TRAVELLED: "travelled",
    FASTEST: "fastest",
}
"""The name of each colour in a style sheet."""

HALO = {"boxstyle": "square,pad=0.1", "fc": PAPER, "ec": "none", "alpha": 0.85}
"""Behind a text on top of lines."""
FONT = 8.0
_SMALL = 7.2


@dataclass(frozen=True)
class Dots:
    """A value with its interval for each row of a chart; None where a row has none."""

    label: str
    values: Sequence[float | None]
    intervals: Sequence[tuple[float, float] | None]
    colours: Sequence[str]
    """One per row."""
    is_filled: bool = True
    is_labelled: bool = True
    """The value stands beside the dot."""


def draw_dots(
    axes: Axes,
    rows: Sequence[str],
    series: Sequence[Dots],
    *,
    x_label: str,
    number: str = "{:.1f}",
    reference: float | None = None,
    has_bold_first: bool = False,
) -> None:
    """A row each, the first on top; series of one row lie under each other, and ``reference`` is a vertical line."""
    _style(axes, "x")
    offsets = np.linspace(-0.19, 0.19, len(series)) if len(series) > 1 else np.zeros(1)
    if reference is not None:
        axes.axvline(reference, color=MUTED, lw=0.9, zorder=1)
    for offset, one in zip(offsets, series, strict=True):
        for row, (value, bounds, colour) in enumerate(zip(one.values, one.intervals, one.colours, strict=True)):
            if value is None:
                continue
            y = row + float(offset)
            if bounds is not None:
                axes.plot(bounds, [y, y], color=colour, lw=1.6 if one.is_filled else 1.1, solid_capstyle="round")
            face = colour if one.is_filled else PAPER
            axes.plot(value, y, "o", ms=5.0 if one.is_filled else 4.4, mfc=face, mec=colour, mew=1.2, zorder=4)
            if one.is_labelled:
                end = max(value, bounds[1]) if bounds is not None else value
                place: dict[str, Any] = {
                    "textcoords": "offset points",
                    "va": "center",
                    "ha": "left",
                    "fontsize": _SMALL,
                    "zorder": 5,
                }
                text = number.format(value).replace("-", "\N{MINUS SIGN}")
                axes.annotate(text, (end, y), (5, 0), color=INK, bbox=HALO, **place)
    axes.set_yticks(range(len(rows)), rows, fontsize=FONT, color=INK, parse_math=False)
    if has_bold_first:
        axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.12)
    axes.set_xlabel(x_label, fontsize=_SMALL, color=MUTED, parse_math=False)
    if len(series) > 1 and all(one.label for one in series):
        _dot_legend(axes, series)


def draw_curves(
    axes: Axes,
    iterations: Sequence[float],
    lines: Sequence[tuple[str, Sequence[float | None], str]],
    *,
    chosen: float,
    y_label: str,
    standard_error: float | None = None,
) -> None:
    """Lines of (label, values, colour) over iterations, the chosen iteration marked; None is a gap in a line.

    The scale is that of the later two thirds, in which something is decided: the first steps would flatten all else. It
    spans four ``standard_error`` at least, so that noise looks like noise, and a band shows one to either side of the
    chosen value.
    """
    _style(axes, "y")
    axes.axvline(chosen, color=MUTED, lw=0.9, ls=(0, (3, 2)), zorder=1)
    for label, values, colour in lines:
        shown = [np.nan if value is None else value for value in values]
        axes.plot(iterations, shown, color=colour, lw=1.6, marker="o", ms=2.6, label=label)
        if chosen in iterations:
            at = list(iterations).index(chosen)
            if standard_error is not None:
                axes.axhspan(shown[at] - standard_error, shown[at] + standard_error, color=GRID, alpha=0.6, lw=0)
            axes.plot(chosen, shown[at], "o", ms=6.5, mfc=PAPER, mec=colour, mew=1.6, zorder=5)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.locator_params(axis="x", integer=True, nbins=6)
    axes.set_xlabel("iteration of the optimiser", fontsize=_SMALL, color=MUTED)
    axes.set_ylabel(y_label, fontsize=_SMALL, color=MUTED)
    is_late = np.asarray(iterations, float) >= iterations[-1] / 3
    late = np.concatenate([np.array([np.nan if v is None else v for v in values])[is_late] for _, values, _ in lines])
    low, high = float(np.nanmin(late)), float(np.nanmax(late))
    wanting = max(4 * (standard_error or 0.0) - (high - low), 0.0)
    margin = max(0.2 * (high - low), 0.5 * wanting, 0.002 * abs(high), 1e-9)
    axes.set_ylim(low - margin, high + 1.6 * margin)
    top = axes.get_ylim()[1]
    # Away from the nearer edge of the chart.
    is_right = chosen > iterations[-1] * 0.7
    place: dict[str, Any] = {"textcoords": "offset points", "va": "top", "fontsize": _SMALL, "color": MUTED}
    axes.annotate(
        "chosen", (chosen, top), (-3 if is_right else 3, -2), ha="right" if is_right else "left", bbox=HALO, **place
    )
    if len(lines) > 1:
        _legend(axes)


def draw_histogram(axes: Axes, values: Floats, *, x_label: str) -> None:
    """Counts of corrections, dearer ones apart from cheaper ones by their colour; the axis of counts is logarithmic."""
    _style(axes, "y")
    limit = max(float(np.abs(values).max(initial=0.0)), 1e-9)
    edges = np.linspace(-limit, limit, 42)  # an odd number of bars, so that one of them holds 0
    counts, _ = np.histogram(values, edges)
    middles = (edges[1:] + edges[:-1]) / 2
    width = edges[1] - edges[0]
    colours = [PLAIN if abs(middle) < width / 2 else DEAR if middle > 0 else CHEAP for middle in middles]
    axes.bar(middles, counts, width * 0.9, color=colours, zorder=3)
    axes.set_yscale("log")
    axes.set_ylim(0.7, max(counts.max(initial=1), 1) * 1.8)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_xlabel(x_label, fontsize=_SMALL, color=MUTED)
    axes.set_ylabel("how many", fontsize=_SMALL, color=MUTED)


def draw_ablation(axes: Axes, rows: Sequence[AblationRow], *, title: str = "") -> None:
    """Exact match of every reward and horizon on one data set with intervals, beside the plain linear reward."""
    reference = next((row for row in rows if row.reward == "linear" and row.horizon == "infinity"), None)
    colours = [_ablation_colour(row) for row in rows]
    exact = [100 * row.exact for row in rows]
    bounds = [_times_100(row.exact_interval) for row in rows]
    draw_dots(
        axes,
        [row.label for row in rows],
        [Dots("", exact, bounds, colours)],
        x_label="exact match on held-out routes, %, with 95 % intervals",
        reference=None if reference is None else 100 * reference.exact,
    )
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row is reference else "normal")
    if title:
        axes.set_title(title, fontsize=FONT + 1.5, loc="left", color=INK, parse_math=False)


def _ablation_colour(row: AblationRow) -> str:
    """By what the paired interval of the gap says: better, worse, or not told apart."""
    if row.gap_interval is None or row.gap_interval[0] <= 0 <= row.gap_interval[1]:
        return OTHER
    return LEARNED if row.gap_interval[0] > 0 else DEAR


def _times_100(bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if bounds is None else (100 * bounds[0], 100 * bounds[1])


def _style(axes: Axes, grid: str) -> None:
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=GRID, lw=0.8)  # type: ignore[arg-type]
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(GRID)
    axes.tick_params(labelsize=_SMALL, length=0, colors=MUTED, pad=4)


def _legend(axes: Axes) -> None:
    legend = axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=3,
        frameon=False,
        fontsize=_SMALL,
        handlelength=1.4,
        borderpad=0.1,
        columnspacing=1.2,
    )
    for text in legend.get_texts():
        text.set_color(INK)
        text.set_parse_math(False)


def _dot_legend(axes: Axes, series: Sequence[Dots]) -> None:
    for one in series:
        axes.plot([], [], "o", ms=4.6, mfc=INK if one.is_filled else PAPER, mec=INK, mew=1.1, label=one.label)
    _legend(axes)
