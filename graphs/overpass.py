"""Roads of a place or a bounding box, from the public servers of OpenStreetMap.

The place's border comes from Nominatim, the roads from Overpass, as raw OSM XML: ways with a ``highway`` tag that meet
the area, whole, with their nodes and the turn restrictions that speak of them. So everything is read by the same rules
as an extract, restrictions and barriers included, which osmnx's own downloads leave out. osmnx's settings say where the
servers are, how long to wait, and how large an area may be: ``overpass_url``, ``nominatim_url``, ``requests_timeout``,
``max_query_area_size``. One request each, no cache, no second try: the file can be kept.
"""

from __future__ import annotations

import http.client
import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .._version import __version__
from ..core.errors import ConfigurationError, DownloadError
from ..core.files import write_file

USER_AGENT = f"trodden/{__version__}"
MAX_ANSWER_BYTES = 2_000_000_000
_MAX_POINTS = 500
"""Borders of more points are simplified, by some 10 m."""
_SIMPLIFY_DEG = 1e-4
_EARTH_M_PER_DEG = 111_195.0


class _Settings(Protocol):
    overpass_url: str
    nominatim_url: str
    requests_timeout: float
    max_query_area_size: float


@dataclass(frozen=True)
class Area:
    """Where roads are wanted."""

    name: str
    selector: str
    """What Overpass selects ways by: a box or a polygon."""
    square_metres: float


@dataclass(frozen=True)
class Downloaded:
    """A file of raw OSM XML, and where it came from."""

    path: Path
    report: dict[str, str]
    """``area``, ``server``, and ``data_of``: the time to which the server's data goes."""


def box_area(west: float, south: float, east: float, north: float) -> Area:
    """The area of a bounding box in degrees.

    Raises
    ------
    ConfigurationError
        Not finite, out of range, or with its sides exchanged.
    """
    sides = (west, south, east, north)
    if not all(map(math.isfinite, sides)) or max(abs(south), abs(north)) > 90 or max(abs(west), abs(east)) > 180:
        raise ConfigurationError(where="bbox", problem=f"{sides} is not west,south,east,north in degrees")
    if west >= east or south >= north:
        problem = f"{sides}: west must be less than east and south less than north (west,south,east,north)"
        raise ConfigurationError(where="bbox", problem=problem)
    width = (east - west) * math.cos(math.radians((south + north) / 2))
    return Area(
        f"box {west:g},{south:g},{east:g},{north:g}",
        f"({south:.7f},{west:.7f},{north:.7f},{east:.7f})",
        width * (north - south) * _EARTH_M_PER_DEG**2,
    )


def place_area(place: str) -> Area:
    """The area of a named place: the first polygon that Nominatim knows by that name.

    Raises
    ------
    DownloadError
        No network, a server that does not answer as it should, or no such place.
    """
    settings = _osmnx_settings()
    query = urllib.parse.urlencode({"q": place, "format": "json", "polygon_geojson": 1, "limit": 10})
    url = f"{_checked(settings.nominatim_url)}/search?{query}"
    answer = _fetch(urllib.request.Request(url), settings, "Nominatim")
    try:
        found = json.loads(answer)
        borders = [one["geojson"] for one in found if one["geojson"]["type"] in {"Polygon", "MultiPolygon"}]
        names = [str(one["display_name"]) for one in found]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DownloadError(
            url=url,
            problem=f"did not answer as Nominatim does ({type(error).__name__}: {error})",
            remedy="Check osmnx.settings.nominatim_url",
        ) from error
    if not borders:
        problem = f"knows no place with a border by the name of {place!r}"
        problem += f"; without one it knows {names[0]}" if names else ""
        raise DownloadError(url=url, problem=problem, remedy="Spell it with its country, or give a bounding box")
    return _polygon_area(place, borders[0], url)


def _polygon_area(place: str, border: Any, url: str) -> Area:
    import shapely

    try:
        shape = shapely.geometry.shape(border)
        if shapely.get_num_coordinates(shape) > _MAX_POINTS:
            shape = shape.buffer(_SIMPLIFY_DEG).simplify(_SIMPLIFY_DEG)
        rings = [np.asarray(part.exterior.coords) for part in getattr(shape, "geoms", [shape])]
        texts = [" ".join(f"{y:.6f} {x:.6f}" for x, y, *_ in ring.tolist()) for ring in rings]
        narrowing = math.cos(math.radians(shape.centroid.y))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, shapely.errors.GEOSException) as error:
        raise DownloadError(
            url=url, problem=f"sent a border that is none ({error})", remedy="Give a bounding box instead"
        ) from error
    selector = "\n".join(f'(poly:"{text}")' for text in texts)
    return Area(place, selector, shape.area * narrowing * _EARTH_M_PER_DEG**2)


def overpass_query(area: Area, timeout_s: float) -> str:
    """What Overpass is asked: roads, restrictions that speak of them, and the nodes of the roads."""
    ways = "".join(f'way["highway"]{selector};' for selector in area.selector.splitlines())
    return (
        f"[out:xml][timeout:{timeout_s:.0f}];({ways})->.roads;"
        'rel(bw.roads)["type"~"^restriction"]->.bans;(.roads;.bans;node(w.roads););out body;'
    )


def download_roads(area: Area, path: str | Path) -> Downloaded:
    """Write an area's roads as an OSM file, to be read by `trodden.graphs.reading.read_roads`.

    Parameters
    ----------
    path
        Its name should end in ``.osm``.

    Raises
    ------
    DownloadError
        No network, a busy server, an answer that is cut short or no OSM XML.
    ConfigurationError
        The area is larger than osmnx's ``max_query_area_size``.

    Notes
    -----
    Memory for the answer: a city of 100,000 roads is some 100 MB.
    """
    settings = _osmnx_settings()
    limit = float(settings.max_query_area_size)
    if area.square_metres > limit:
        problem = f"{area.name} has {area.square_metres / 1e6:.0f} km2, more than {limit / 1e6:.0f}"
        raise ConfigurationError(where="area", problem=f"{problem}; fetch an extract, from Geofabrik or BBBike")
    url = f"{_checked(settings.overpass_url)}/interpreter"
    data = urllib.parse.urlencode({"data": overpass_query(area, settings.requests_timeout)}).encode()
    answer = _fetch(urllib.request.Request(url, data=data), settings, "Overpass")
    head, tail = answer[:4096], answer[-4096:]
    if b"<osm" not in head:
        text = re.sub(rb"<[^>]*>|\s+", b" ", head).decode("utf-8", "replace").strip()
        raise DownloadError(url=url, problem=f"sent no OSM XML: {text[:200]}", remedy=_LATER)
    if remark := re.search(rb"<remark>\s*(.*?)\s*</remark>", tail, re.DOTALL):
        # With a status of 200: whatever was found before the fault stands in the answer, and the rest is missing.
        said = remark[1].decode("utf-8", "replace")
        raise DownloadError(url=url, problem=f"stopped before the end: {said[:200]}", remedy=_LATER)
    if not answer.rstrip().endswith(b"</osm>"):
        raise DownloadError(url=url, problem="sent an answer that is cut short", remedy=_LATER)
    base = re.search(rb'osm_base="([^"]{1,40})"', head)
    report = {"area": area.name, "server": urllib.parse.urlsplit(url).netloc}
    report |= {"data_of": base[1].decode("ascii", "replace")} if base else {}
    return Downloaded(write_file(path, answer), report)


_LATER = "Try again in some minutes, with a smaller area, or another server (osmnx.settings.overpass_url)"


def _osmnx_settings() -> _Settings:
    import osmnx

    settings: Any = osmnx.settings
    return settings  # type: ignore[no-any-return]


def _checked(url: str) -> str:
    if not url.lower().startswith(("http://", "https://")):
        raise ConfigurationError(where="osmnx.settings", problem=f"{url!r} is no http or https address of a server")
    return url.rstrip("/")


def _fetch(request: urllib.request.Request, settings: _Settings, what: str) -> bytes:
    request.add_header("User-Agent", USER_AGENT)
    url = request.full_url
    try:
        with urllib.request.urlopen(request, timeout=settings.requests_timeout) as response:
            answer: bytes = response.read(MAX_ANSWER_BYTES + 1)
    except urllib.error.HTTPError as error:
        is_busy = error.code in {429, 502, 503, 504}
        problem = f"answered {error.code} {error.reason}"
        remedy = _LATER if is_busy else f"Check that this is {what}'s address"
        raise DownloadError(url=url, problem=f"{problem}: it is busy" if is_busy else problem, remedy=remedy) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise DownloadError(
            url=url,
            problem=f"could not be asked ({reason})",
            remedy="Check the network, or read an extract that was downloaded elsewhere",
        ) from None
    if len(answer) > MAX_ANSWER_BYTES:
        raise DownloadError(url=url, problem="sent more than 2 GB", remedy="Fetch an extract, from Geofabrik or BBBike")
    return answer
