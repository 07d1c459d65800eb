"""Areas on the roads they cover: what is reached from a point within one limit after the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from ...core.types import Floats
from ...graphs.road_graph import RoadNetwork
from ..map_views import TRAVELLED_COLOUR, view_of
from .frame import blank_map, draw_roads, finish_map


def draw_areas_png(
    network: RoadNetwork,
    areas: Mapping[str, Any],
    place: Floats,
    path_png: str | Path,
    *,
    title: str = "",
    is_simulated: bool = False,
) -> Path:
    """Draw areas, each inside the next one, and the point that they belong to.

    Parameters
    ----------
    areas
        shapely polygons of (longitude, latitude) by name, the smallest first.
    place
        (latitude, longitude) of the point.
    is_simulated
        The areas follow from simulated routes: the picture says so.

    Raises
    ------
    MissingDataError
        The network has no coordinates.
    ValueError
        There is no area, or all are empty.
    OSError
        The picture could not be written.
    """
    import matplotlib
    from matplotlib.patches import PathPatch

    shown = {name: area for name, area in areas.items() if not area.is_empty}
    if not shown:
        raise ValueError("there is no area to draw")
    corners = np.concatenate([shapely.get_coordinates(area)[:, ::-1] for area in shown.values()])
    view = view_of(np.concatenate([corners, place[None]]), margin=0.05)
    figure, axes = blank_map(view)
    draw_roads(axes, network, view, width=0.8)
    shades = matplotlib.colormaps["viridis"](np.linspace(0.15, 0.85, len(shown)))
    patches = []
    for layer, (name, area) in enumerate(reversed(shown.items())):
        shade = shades[len(shown) - 1 - layer]
        outline = _path(shapely.transform(area, lambda xy: view.project(xy[:, ::-1])))
        style: dict[str, Any] = {"facecolor": (*shade[:3], 0.38), "edgecolor": shade, "linewidth": 1.3}
        patches.append(axes.add_patch(PathPatch(outline, label=f"within {name}", zorder=2 + layer, **style)))
    x, y = view.project(place[None])[0]
    axes.plot(x, y, "o", zorder=15, ms=9, mfc="white", mec=TRAVELLED_COLOUR, mew=2.2)
    legend = axes.legend(handles=patches[::-1], loc="best", framealpha=0.94, edgecolor="none", fontsize=9.5)
    legend.set_zorder(20)
    return finish_map(figure, axes, network, view, path_png, title=title, is_simulated=is_simulated)


def _path(area: Any) -> Any:
    """All rings as one path: holes run the other way round, so that they stay empty."""
    from matplotlib.path import Path as Outline

    rings = []
    for part in shapely.get_parts(shapely.normalize(area)):
        rings += [shapely.get_coordinates(ring) for ring in (part.exterior, *part.interiors)]
    return Outline.make_compound_path(*(Outline(ring, closed=True) for ring in rings))
