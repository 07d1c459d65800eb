"""Lines as other programs read them: encoded polylines and GPX tracks."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

import numpy as np

from ..core.errors import ConfigurationError
from ..core.types import Floats
from .line_kernels import polyline_letters

_CHUNK_BITS, _FIRST_CHARACTER = 5, 63


def encode_polyline(line: Floats, precision: int = 5) -> str:
    """A line in Google's encoded polyline format.

    Parameters
    ----------
    line
        float64[P, 2] of (latitude, longitude) in degrees.
    precision
        Decimals: 5 (a metre; OSRM's and Google's default) or 6 (Valhalla's, OSRM's ``polyline6``).

    Examples
    --------
    >>> encode_polyline(np.array([[38.5, -120.2], [40.7, -120.95], [43.252, -126.453]]))
    '_p~iF~ps|U_ulLnnqC_mqNvxq`@'

    Raises
    ------
    ConfigurationError
        A precision that is not 1..7.
    """
    factor = _factor(precision)
    points = np.ascontiguousarray(line, np.float64).reshape(-1, 2)
    letters: bytes = polyline_letters(points, factor).tobytes()
    return letters.decode("ascii")


def decode_polyline(text: str, precision: int = 5) -> Floats:
    """The line of an encoded polyline, float64[P, 2] of (latitude, longitude) in degrees; see `encode_polyline`.

    Raises
    ------
    ConfigurationError
        A precision that is not 1..7, or a text that is no encoded polyline: names the place.
    """
    factor = _factor(precision)
    steps: list[int] = []
    value = shift = 0
    for place, character in enumerate(text):
        bits = ord(character) - _FIRST_CHARACTER
        if not 0 <= bits < 64 or shift > 40:
            raise ConfigurationError(
                where="polyline", problem=f"{character!r} at place {place} does not belong into an encoded polyline"
            )
        value |= (bits & 31) << shift
        shift += _CHUNK_BITS
        if bits < 32:
            steps.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    if shift or len(steps) % 2:
        raise ConfigurationError(
            where="polyline", problem=f"it ends in the middle of a point, after {len(text)} places"
        )
    whole = np.cumsum(np.array(steps, np.int64).reshape(-1, 2), axis=0)
    return whole / factor


def _factor(precision: int) -> float:
    if precision not in range(1, 8):
        raise ConfigurationError(where="polyline", problem=f"precision is {precision}, not in 1..7; 5 and 6 are usual")
    return float(10**precision)


def gpx_document(tracks: Sequence[tuple[str, str, Floats]], credit: str = "") -> str:
    """A GPX 1.1 document of (name, description, line float64[P, 2] of latitude and longitude) tracks."""
    text = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<gpx version="1.1" creator="trodden" xmlns="http://www.topografix.com/GPX/1/1">',
    ]
    if credit:
        text.append(f"  <metadata><desc>{escape(credit)}</desc></metadata>")
    for name, description, line in tracks:
        text.append(f"  <trk><name>{escape(name)}</name><desc>{escape(description)}</desc><trkseg>")
        text += [f'    <trkpt lat="{latitude:.7f}" lon="{longitude:.7f}"/>' for latitude, longitude in line.tolist()]
        text.append("  </trkseg></trk>")
    return "\n".join([*text, "</gpx>", ""])
