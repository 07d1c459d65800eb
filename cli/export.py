"""The command ``trodden export``: a network, or a model's learned costs, for osmnx, a GIS or OSRM."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..core.errors import ConfigurationError
from ..core.folders import folder_kind
from .console import guarded, progress_bar, say

if TYPE_CHECKING:
    from ..core.types import Floats
    from ..graphs.geo_files import GeoFormat
    from ..graphs.road_graph import RoadNetwork


class ExportFormat(StrEnum):
    """What is written."""

    osmnx_graphml = "osmnx-graphml"
    geopackage = "geopackage"
    geoparquet = "geoparquet"
    geojson = "geojson"
    osrm_speeds = "osrm-speeds"


@guarded
def export(
    source: Annotated[
        Path,
        typer.Argument(metavar="MODEL|NETWORK", help="a model folder, a stored network, or whatever build reads"),
    ],
    form: Annotated[
        ExportFormat,
        typer.Option("--format", metavar="FORMAT", help="osmnx-graphml, geopackage, geoparquet, geojson, osrm-speeds"),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="where to write it")],
) -> None:
    """Write roads, with what was learned of them, for other programs.

    Of a model, every edge has learned_cost, or the rate by it for OSRM; turn costs do not fit into these formats. For
    example: trodden export MODEL --format geopackage -o roads.gpkg
    """
    if output.is_dir():
        raise ConfigurationError(where="export", problem=f"{output} is a folder; name a file")
    with progress_bar("exporting", None) as update:
        update(0, "reading")
        network, columns, is_simulated = _read(source)
        update(0, "writing")
        if form is ExportFormat.osrm_speeds:
            said = _write_osrm(network, columns.get("learned_cost"), output)
        else:
            from ..graphs.geo_files import write_geo
            from ..irl.map_views import credit_for

            write_geo(network, output, cast("GeoFormat", form.value), columns, credit=credit_for(network) or "")
            said = f"{network.graph.num_edges - len(network.original_edge)} edges"
    learned = ", with learned costs" if columns else ""
    say(f"{said}{learned} in {output}{' (learned from simulated routes)' if is_simulated else ''}")
    if columns:
        say("costs of turns and turn bans do not fit into this format and are left out")


def _read(source: Path) -> tuple[RoadNetwork, dict[str, Floats], bool]:
    if source.is_dir() and folder_kind(source) == "model":
        from ..irl.checkpoints import load_model

        model = load_model(source)
        return model.network, model.edge_columns(), model.is_simulated
    from ..graphs.reading import read_roads

    return read_roads(source), {}, False


def _write_osrm(network: RoadNetwork, cost: Floats | None, output: Path) -> str:
    from ..graphs.osrm_speeds import osrm_segment_speeds

    made = osrm_segment_speeds(network, cost)
    made.write(output)
    left_out = ", ".join(f"{count} {reason}" for reason, count in made.left_out.items() if count)
    scale = f", {made.weight_per_cost:.6g} of weight per unit of cost" if cost is not None else ""
    return f"{len(made.from_node)} directed pairs of OSM nodes{scale}{f' (left out: {left_out})' if left_out else ''}"
