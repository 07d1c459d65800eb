"""Numbers over two things as PNG: a matrix, a slice of a loss, rewards and horizons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.types import Floats
from ..map_views import INK, LESS_COLOUR
from . import charts
from .frame import make_figure, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..insight.surface import Surface
    from ..report.ablation import AblationRow


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
    figure = make_figure((1.8 + 0.75 * len(columns), 1.8 + 0.5 * len(rows)), "white")
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
    return write_png(figure, path_png)


def draw_surface_png(surface: Surface, path_png: str | Path) -> Path:
    """Draw a slice of a loss as contours, what was learned as a cross, and hatched where there is no loss.

    Raises
    ------
    OSError
        The picture could not be written.
    """
    panels = [("loss of the routes learned from", surface.loss, surface.learned_loss)]
    if surface.held_out is not None and surface.learned_held_out is not None:
        panels.append(("loss of the routes held out", surface.held_out, surface.learned_held_out))
    figure = make_figure((1.0 + 5.4 * len(panels), 5.0), "white")
    for axes, (title, loss, learned) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_slice(figure, axes, surface, loss, learned)
        axes.set_title(title, fontsize=10.5, loc="left", color=INK, pad=16 if surface.is_simulated else 8)
        if surface.is_simulated:
            axes.set_title("simulated routes", fontsize=8.5, loc="right", color="#b03a2e", style="italic")
    return write_png(figure, path_png)


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
    figure = make_figure((6.4, 0.27 * sum(heights) + 0.3), "white")
    places = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, name, panel in zip(places, names, panels, strict=True):
        charts.draw_ablation(axes, panel, title=name)
    if title:
        figure.suptitle(title, fontsize=11, color=INK, parse_math=False)
    return write_png(figure, path_png, pad_inches=0.1)
