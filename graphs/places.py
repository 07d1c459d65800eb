"""Roads by the name of a place, or by a bounding box: downloaded, then read like any other OSM file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .assembly import Join, Progress
from .driving_side import DriveOn
from .modes import Mode
from .moves import UTurns
from .overpass import Area, box_area, download_roads, place_area
from .reading import read_roads
from .road_graph import RoadNetwork


def read_place(
    place: str | tuple[float, float, float, float],
    *,
    keep: str | Path | None = None,
    join: Join = "attributes",
    mode: Mode | None = None,
    u_turns: UTurns | None = None,
    include_service: bool = False,
    class_speeds_kmh: Mapping[str, float] | None = None,
    drive_on: DriveOn = "auto",
    elevation: str | Path | None = None,
    columns: str | Path | None = None,
    progress: Progress | None = None,
) -> RoadNetwork:
    """Read the roads of a place from the servers of OpenStreetMap, turn restrictions included.

    Parameters
    ----------
    place
        A name, as ``"Krems an der Donau, Austria"``, or (west, south, east, north) in degrees.
    keep
        Where to leave the downloaded ``.osm`` file, from which the same network can be read again.
    join, mode, u_turns, include_service, class_speeds_kmh, drive_on, elevation, columns, progress
        See `trodden.graphs.reading.read_roads`.

    Returns
    -------
    RoadNetwork
        ``report["downloaded"]`` says from where, and of what time the data is.

    Raises
    ------
    DownloadError
        No network, a server that does not answer as it should, or no such place.
    ConfigurationError
        A box that is none, an area above osmnx's ``max_query_area_size``, or as `read_roads`.
    EmptyNetworkError
        No roads there.

    Notes
    -----
    Servers, time limit and largest area are osmnx's settings. Roads that cross the border are whole.
    """
    say = progress or (lambda _: None)
    if isinstance(place, str):
        say("asking Nominatim for the place")
        area: Area = place_area(place)
    else:
        area = box_area(*place)
    with tempfile.TemporaryDirectory() as scratch:
        say("asking Overpass for its roads")
        got = download_roads(area, Path(scratch) / "downloaded.osm" if keep is None else keep)
        network = read_roads(
            got.path,
            join=join,
            mode=mode,
            u_turns=u_turns,
            include_service=include_service,
            class_speeds_kmh=class_speeds_kmh,
            drive_on=drive_on,
            elevation=elevation,
            columns=columns,
            progress=progress,
        )
    return replace(network, report={**network.report, "source": area.name, "downloaded": got.report})
