"""Edges as files that a GIS opens: GeoPackage, GeoParquet, GeoJSON; and GraphML as osmnx reads it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core.files import write_file
from ..core.types import Floats
from .export import nodes_geodataframe, save_graphml, to_geodataframe, to_networkx
from .road_graph import RoadNetwork

if TYPE_CHECKING:
    import geopandas

GeoFormat = Literal["osmnx-graphml", "geopackage", "geoparquet", "geojson"]


def write_geo(
    network: RoadNetwork,
    path: str | Path,
    form: GeoFormat,
    columns: Mapping[str, Floats] | None = None,
    *,
    credit: str = "",
) -> Path:
    """Write the edges of a network, whole or not at all.

    Parameters
    ----------
    network
        Needs coordinates.
    form
        ``"osmnx-graphml"``: for ``osmnx.load_graphml``. ``"geopackage"``: the layers ``edges`` and ``nodes``.
        ``"geoparquet"`` and ``"geojson"``: edges. All in EPSG:4326, edges with ``u``, ``v`` and ``key``.
    columns
        float64[E] each, added under their names.
    credit
        Becomes the ``attribution`` of GeoJSON.

    Raises
    ------
    MissingDataError, InvalidValueError
        As for `trodden.graphs.export.to_networkx`.
    OSError
        The disk refused; an earlier file is untouched.

    Notes
    -----
    Everything is in memory at once, some kilobytes per edge.
    """
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / ("made.gpkg" if form == "geopackage" else "made")
        if form == "osmnx-graphml":
            save_graphml(to_networkx(network, columns=columns), made)
        elif form == "geojson":
            return write_file(path, _geojson(to_geodataframe(network, columns), credit))
        else:
            frame = _flat(to_geodataframe(network, columns))
            if form == "geoparquet":
                frame.to_parquet(made, index=False)
            else:
                frame.to_file(made, layer="edges", driver="GPKG", engine="pyogrio")
                _flat(nodes_geodataframe(network)).to_file(made, layer="nodes", driver="GPKG", engine="pyogrio")
        return write_file(path, made.read_bytes())


def _flat(frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The index as columns; values that are no number, text or boolean as texts, as osmnx saves them."""
    frame = frame.reset_index()
    for name in frame.columns:
        if name != frame.geometry.name and frame[name].dtype == object:
            frame[name] = [_text(value) for value in frame[name]]
    return frame


def _text(value: Any) -> str | None:
    return None if value is None or value != value else str(value)


def _geojson(frame: geopandas.GeoDataFrame, credit: str) -> bytes:
    document = json.loads(frame.reset_index().to_json(drop_id=True, na="drop"))
    document.pop("crs", None)  # RFC 7946: always WGS84
    if credit:
        document["attribution"] = credit
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
