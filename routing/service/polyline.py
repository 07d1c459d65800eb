"""Google's encoded polylines, at 5 or 6 digits: encoded by NumPy, a few microseconds per hundred points."""

from __future__ import annotations

import numpy as np

from ...core.types import Floats

_SHIFTS = 5 * np.arange(7, dtype=np.int64)
"""Seven groups of five bits: a difference of 360 degrees at six digits, its sign included, has 30."""


def encode_polyline(points: Floats, *, digits: int = 5) -> str:
    """Encode float64[P, 2] of (latitude, longitude) in degrees.

    >>> encode_polyline(np.array([[38.5, -120.2], [40.7, -120.95], [43.252, -126.453]]))
    '_p~iF~ps|U_ulLnnqC_mqNvxq`@'
    """
    whole = np.rint(np.asarray(points, np.float64) * 10.0**digits).astype(np.int64)
    step = np.diff(whole, axis=0, prepend=np.zeros((1, 2), np.int64)).ravel()
    value = (step << 1) ^ (step >> 63)
    rest = value[:, None] >> _SHIFTS
    goes_on = rest >= 32
    letters = (rest & 31) + 63 + 32 * goes_on
    is_used = np.ones_like(goes_on)
    is_used[:, 1:] = goes_on[:, :-1]
    return letters[is_used].astype(np.uint8).tobytes().decode("ascii")


def decode_polyline(text: str, *, digits: int = 5) -> list[tuple[float, float]]:
    """(latitude, longitude) pairs in degrees; `ValueError` where the text is no polyline.

    >>> decode_polyline("_p~iF~ps|U_ulLnnqC")
    [(38.5, -120.2), (40.7, -120.95)]
    """
    values, value, shift = [], 0, 0
    for letter in text:
        bits = ord(letter) - 63
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError("this is no encoded polyline")
        value |= (bits & 31) << shift
        shift += 5
        if bits < 32:
            values.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    if shift or len(values) % 2:
        raise ValueError("the encoded polyline is cut short")
    scale = 10**digits
    places = np.cumsum(np.array(values, np.int64).reshape(-1, 2), axis=0)
    return [(latitude / scale, longitude / scale) for latitude, longitude in places.tolist()]
