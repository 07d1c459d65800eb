"""The command ``trodden reachable``: how far one comes from a point, in minutes, kilometres or learned cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from ..core.errors import ConfigurationError
from .console import guarded, progress_bar, say

if TYPE_CHECKING:
    from ..core.types import Floats
    from ..routing.reachable import By, Reachable

_UNITS: dict[str, tuple[By, float, str]] = {
    "--minutes": ("travel_time_s", 60.0, "min"),
    "--km": ("length_m", 1000.0, "km"),
    "--cost": ("cost", 1.0, "of cost"),
}
"""Option: (what it limits, how many of its units one is, the word for it)."""


@guarded
def reachable(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model folder, as `trodden train` writes it")],
    point: Annotated[str, typer.Argument(metavar="POINT", help="lat,lon or edge:ID or osm:NODE", parser=str.strip)],
    minutes: Annotated[
        str, typer.Option(metavar="LIST", help="limits of free-flow time, such as 5,10,15 (the default: 5,10,15)")
    ] = "",
    km: Annotated[str, typer.Option(metavar="LIST", help="limits of distance instead")] = "",
    cost: Annotated[str, typer.Option(metavar="LIST", help="limits of learned cost instead")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="write the areas as GeoJSON")
    ] = None,
    png: Annotated[Path | None, typer.Option("--png", metavar="FILE", help="draw them")] = None,
) -> None:
    """Say how far one comes from a point, and draw it.

    For example: trodden reachable MODEL 41.1496,-8.6110 --minutes 5,10,15 --output areas.geojson --png areas.png
    """
    from ..core.files import write_file
    from ..irl.checkpoints import load_model
    from ..routing.router import Router

    given = {"--minutes": minutes, "--km": km, "--cost": cost}
    named = [option for option, text in given.items() if text]
    if len(named) > 1:
        raise ConfigurationError(where="reachable", problem=f"give one of {', '.join(named)}, not several")
    option = named[0] if named else "--minutes"
    by, unit, word = _UNITS[option]
    limits = _limits(given[option] or "5,10,15", option)
    learned = load_model(model)
    with progress_bar("searching", None):
        found = Router(learned).reachable(point, [unit * limit for limit in limits], by=by)
        names = [f"{band.limit / unit:g} {word}" for band in found.bands]
        text = _table(found, names)
    is_simulated = by == "cost" and learned.is_simulated
    say(f"reachable from {point}" + (", by a reward learned from simulated routes" if is_simulated else ""))
    say(text)
    for snap in found.origin.snaps[:1]:
        if snap.distance_m > 0:
            say(f"snapped over {snap.distance_m:.0f} m to edge {int(learned.network.graph.edge_id[snap.edge])}")
    if output is not None:
        write_file(output, (json.dumps(found.to_geojson(), allow_nan=False) + "\n").encode())
        say(f"GeoJSON in {output}")
    if png is not None:
        from ..irl.plots import draw_areas_png

        areas = {name: band.polygon for name, band in zip(names, found.bands, strict=True)}
        title = f"Reachable from {point}"
        draw_areas_png(learned.network, areas, _place(found), png, title=title, is_simulated=is_simulated)
        say(f"picture in {png}")


def _limits(text: str, option: str) -> list[float]:
    limits = []
    for part in text.split(","):
        try:
            limits.append(float(part))
        except ValueError:
            raise ConfigurationError(
                where=option, problem=f"{part.strip()!r} is no number; give numbers separated by commas, such as 5,10"
            ) from None
    return limits


def _table(found: Reachable, names: list[str]) -> str:
    from ..irl.insight.tables import columns
    from ..routing.areas import square_metres

    has_length = found.bands[0].network.attributes.length_m is not None
    has_places = found.bands[0].network.graph.latitude_deg is not None
    rows = [["within", "edges", *(["km of edges"] if has_length else []), *(["km2"] if has_places else [])]]
    for name, band in zip(names, found.bands, strict=True):
        row = [name, str(len(np.unique(band.edges)))]
        row += [f"{band.length_m / 1000:.1f}"] if has_length else []
        row += [f"{square_metres(band.polygon) / 1e6:.2f}"] if has_places else []
        rows.append(row)
    return "\n".join(columns(rows))


def _place(found: Reachable) -> Floats:
    """(latitude, longitude) of where the trip starts."""
    from ..routing.points import Coordinate

    point, network = found.origin.point, found.bands[0].network
    if isinstance(point, Coordinate):
        return np.array([point.latitude_deg, point.longitude_deg])
    if not found.origin.edges:
        latitude, longitude = network.graph.require_coordinates("a map")
        return np.array([latitude[found.origin.node], longitude[found.origin.node]])
    return np.asarray(network.edge_polyline(found.origin.edges[0])[0])
