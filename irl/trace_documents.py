"""Traces from GPX, GeoJSON and GeoDataFrames. GPX is foreign XML, read by `trodden.core.xml`."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

import numpy as np
import pyarrow as pa

from ..core.errors import InputFileError, MissingDataError
from ..core.types import Floats
from ..core.xml import read_xml
from .texts import Texts
from .trace_columns import KMH_PER_MS, TraceColumns, numbers, times
from .traces import Traces

if TYPE_CHECKING:
    import geopandas

_TIME_LISTS = ("coordTimes", "times", "timestamps", "time", "timestamp")
"""Properties in which lines are known to carry a time for each point."""
_TRACE_NAMES = ("trace_id", "trip_id", "id", "name", "track_id")


def read_gpx(path: Path, columns: TraceColumns) -> Traces:
    """The tracks of a GPX file, a trace per segment; routes and waypoints are not traces and are left out.

    `InputFileError` for what is no GPX, and for entities, which a bomb is made of.
    """
    root = read_xml(path, remedy="Export the track again: GPX needs no entities")
    segments = [(track, segment) for track in _children(root, "trk") for segment in _children(track, "trkseg")]
    if not segments:
        raise InputFileError(
            path=path,
            problem="has no track (trk with trkseg)",
            remedy="Export tracks: routes and waypoints have no times",
        )
    names = [path.stem if len(segments) == 1 else f"{path.stem}/{k + 1}" for k in range(len(segments))]
    rows = [[_gpx_point(point) for point in _children(segment, "trkpt")] for _, segment in segments]
    return _traces(names, rows, path, columns)


def _gpx_point(point: Element) -> dict[str, Any]:
    found: dict[str, Any] = {"latitude": point.get("lat"), "longitude": point.get("lon")}
    for one in point.iter():
        name = one.tag.rsplit("}", 1)[-1].lower()
        if name == "time":
            found["time"] = one.text
        elif name in ("course", "heading", "bearing"):
            found["heading"] = one.text
        elif name == "speed":
            found["speed_ms"] = one.text
    return found


def _children(element: Element, name: str) -> Iterator[Element]:
    """Children by name, whatever the namespace of that version of GPX."""
    return (child for child in element if isinstance(child.tag, str) and child.tag.rsplit("}", 1)[-1] == name)


def read_geojson(path: Path, columns: TraceColumns) -> Traces:
    """Lines with times in their properties (``coordTimes``, ``times``, ...), or points with ``time`` and an id.

    `InputFileError` for what is no GeoJSON. The whole file is read at once.
    """
    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=_named_once)
    except (ValueError, RecursionError) as error:
        raise InputFileError(
            path=path, problem=f"is no JSON ({str(error) or type(error).__name__})", remedy="Export it again"
        ) from None
    features = _features(document)
    if features is None:
        raise InputFileError(
            path=path,
            problem="is JSON, but no FeatureCollection, Feature or line",
            remedy="Give GeoJSON of LineStrings or Points",
        )
    names: list[str] = []
    rows: list[list[dict[str, Any]]] = []
    by_id: dict[str, int] = {}
    faults: Counter[str] = Counter()
    for number, feature in enumerate(features):
        properties, geometry = _object(feature, "properties"), _object(feature, "geometry")
        name = _name(feature, properties, columns)
        kind, places = geometry.get("type"), geometry.get("coordinates")
        if kind == "Point":
            row = by_id.setdefault(name or path.stem, len(rows))
            if row == len(rows):
                names.append(name or path.stem)
                rows.append([])
            rows[row].append(_point(places, properties, columns))
            continue
        lines = [places] if kind == "LineString" else places if kind == "MultiLineString" else None
        faults["no_geometry"] += not isinstance(lines, list)
        for part, line in enumerate(lines if isinstance(lines, list) else []):
            names.append((name or f"{path.stem}/{number + 1}") + (f"/{part + 1}" if part else ""))
            rows.append(_line(line, _line_times(feature, properties, columns, part), faults))
    if not rows:
        raise InputFileError(
            path=path, problem="has no LineString and no Point", remedy="Give GeoJSON of lines or points"
        )
    return replace(_traces(names, rows, path, columns, _travellers(names, rows)), faults={**+faults})


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; `ValueError` where a name stands twice, of which one would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a name twice")
    return found


def _features(document: Any) -> list[dict[str, Any]] | None:
    if not isinstance(document, dict):
        return None
    if document.get("type") == "FeatureCollection" and isinstance(document.get("features"), list):
        return [feature if isinstance(feature, dict) else {} for feature in document["features"]]
    if document.get("type") == "Feature":
        return [document]
    if document.get("type") in ("LineString", "MultiLineString"):
        return [{"geometry": document, "properties": {}}]
    return None


def _object(feature: dict[str, Any], name: str) -> dict[str, Any]:
    found = feature.get(name)
    return found if isinstance(found, dict) else {}


def _name(feature: dict[str, Any], properties: dict[str, Any], columns: TraceColumns) -> str:
    wanted = (columns.trace_id,) if columns.trace_id else _TRACE_NAMES
    for name in wanted:
        if properties.get(name) not in (None, ""):
            return _text(properties[name])
    return "" if feature.get("id") is None or columns.trace_id else _text(feature["id"])


def _point(place: Any, properties: dict[str, Any], columns: TraceColumns) -> dict[str, Any]:
    found = _place(place)
    lowered = {key.lower(): value for key, value in properties.items()}
    found["time"] = properties.get(columns.time) if columns.time else lowered.get("time", lowered.get("timestamp"))
    for name in ("heading", "speed", "traveller"):
        asked = getattr(columns, name)
        found[name] = properties.get(asked) if asked else lowered.get(name)
    return found


def _place(place: Any) -> dict[str, Any]:
    is_pair = isinstance(place, list) and len(place) >= 2
    return {"longitude": place[0], "latitude": place[1]} if is_pair else {"longitude": None, "latitude": None}


def _line_times(feature: dict[str, Any], properties: dict[str, Any], columns: TraceColumns, part: int) -> list[Any]:
    own = properties.get("coordinateProperties")
    for source in (properties, own if isinstance(own, dict) else {}):
        for name in (columns.time,) if columns.time else _TIME_LISTS:
            values = source.get(name)
            if isinstance(values, list):
                inner = values[part] if part < len(values) and isinstance(values[0], list) else values
                return inner if isinstance(inner, list) else values
    return []


def _line(line: Any, moments: list[Any], faults: Counter[str]) -> list[dict[str, Any]]:
    points = [_place(place) for place in line] if isinstance(line, list) else []
    is_timed = len(moments) == len(points)
    faults["no_geometry"] += not isinstance(line, list)
    faults["times_do_not_fit"] += bool(moments) and not is_timed
    # A fourth number of a position is seconds, where a line carries times that way.
    for k, point in enumerate(points):
        fourth = line[k][3] if isinstance(line[k], list) and len(line[k]) > 3 else None
        point["time"] = moments[k] if is_timed else fourth
    return points


def _text(value: Any) -> str:
    """As text that UTF-8 can hold: JSON can spell halves of characters."""
    return str(value).encode("utf-8", "replace").decode()


def _travellers(names: Sequence[str], rows: Sequence[list[dict[str, Any]]]) -> list[str | None] | None:
    found = [next((_text(p["traveller"]) for p in row if p.get("traveller") not in (None, "")), None) for row in rows]
    return found if any(found) else None


def _traces(
    names: Sequence[str],
    rows: Sequence[list[dict[str, Any]]],
    path: Path,
    columns: TraceColumns,
    travellers: list[str | None] | None = None,
) -> Traces:
    points = [point for row in rows for point in row]

    def texts(key: str) -> pa.Array:
        return pa.array([None if p.get(key) is None else _text(p[key]) for p in points], pa.string())

    speed: Floats | None = None
    if any(p.get("speed_ms") is not None for p in points):
        speed = numbers(texts("speed_ms")) * KMH_PER_MS
    elif any(p.get("speed") is not None for p in points):
        speed = numbers(texts("speed")) * columns.speed_factor()
    has_heading = any(p.get("heading") is not None for p in points)
    return Traces(
        Texts.of(names),
        np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
        numbers(texts("latitude")),
        numbers(texts("longitude")),
        times(texts("time"), columns.time_zone),
        numbers(texts("heading")) if has_heading else None,
        speed,
        None if travellers is None else Texts.of(travellers),
        str(path),
    )


def traces_from_geodataframe(frame: geopandas.GeoDataFrame, columns: TraceColumns | None = None) -> Traces:
    """The traces of a GeoDataFrame: of points, a row per point, with columns as in a table; or of lines, without times.

    Parameters
    ----------
    frame
        Any CRS, which is brought to WGS84; without one, coordinates must be WGS84 already.
    columns
        As for `read_trace_blocks`, but for places, which are the geometry's. Rows of one trace may stand anywhere.

    Raises
    ------
    MissingDataError
        The geometry is neither points nor lines.
    InputFileError
        A column that was named is not there.
    """
    if frame.crs is not None and frame.crs.to_epsg() != 4326:
        frame = frame.to_crs(4326)
    kinds = set(frame.geometry.geom_type.dropna())
    frame = frame[~(frame.geometry.isna() | frame.geometry.is_empty)]
    if kinds <= {"Point"}:
        table = frame.drop(columns=frame.geometry.name).assign(latitude=frame.geometry.y, longitude=frame.geometry.x)
        return _of_table(table, columns or TraceColumns())
    if kinds <= {"LineString"}:
        names = [str(one) for one in _frame_names(frame)]
        rows = [
            [{"latitude": y, "longitude": x} for x, y, *_ in line.coords] for line in _finite(frame.geometry.tolist())
        ]
        return _traces(names, rows, Path("GeoDataFrame"), columns or TraceColumns())
    raise MissingDataError(
        needs="points or lines",
        because=f"matching (its geometry is {', '.join(sorted(map(str, kinds)))})",
        remedy="explode multi-part lines first",
    )


def _finite(lines: Iterable[Any]) -> Iterator[Any]:
    return (line for line in lines if all(math.isfinite(value) for value in line.bounds))


def _frame_names(frame: geopandas.GeoDataFrame) -> Iterable[Any]:
    return next((frame[name] for name in _TRACE_NAMES if name in frame.columns), frame.index)


def _of_table(table: Any, columns: TraceColumns) -> Traces:
    from .trace_files import traces_from_table

    return traces_from_table(pa.Table.from_pandas(table, preserve_index=False), columns, "GeoDataFrame")
