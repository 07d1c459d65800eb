"""Pictures of trips, learned costs and more as PNG, charts and maps as inline SVG (the only importer of matplotlib).

Imports no JAX, needs no network. `draw_trip_map`, the interactive page, is here by name too.
"""

from ..trip_map import draw_trip_map
from .areas import draw_areas_png
from .contradictions import draw_contradictions_png
from .grids import draw_ablation_png, draw_matrix_png, draw_surface_png
from .networks import draw_network_png, draw_regions_png
from .svg import Lines, chart_svg, map_svg
from .trips import draw_explanation_png, draw_trip_png

__all__ = [
    "Lines",
    "chart_svg",
    "draw_ablation_png",
    "draw_areas_png",
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
