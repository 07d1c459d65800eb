"""Heights of points from SRTM tiles (``N41W009.hgt``), as far as files are there; no further package is needed.

Other rasters become such tiles by ``gdal_translate -of SRTMHGT``.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputFileError
from ..core.types import Floats

_NAME = re.compile(r"([NS])(\d{2})([EW])(\d{3})", re.IGNORECASE)
_SIZES = {2 * side * side: side for side in (1201, 3601)}
_VOID = -32768


def heights(path: str | Path, latitude_deg: Floats, longitude_deg: Floats) -> Floats:
    """float64[n] in metres, between the four nearest heights of a raster; NaN where it has none.

    Parameters
    ----------
    path
        A tile, or a folder of them; those that hold no point are not opened.

    Raises
    ------
    InputFileError
        There is no tile, or none that holds a point; a name or size that is not a tile's.
    """
    source, result = Path(path), np.full(len(latitude_deg), np.nan)
    if not source.exists():
        raise InputFileError(path=path, problem="there is no such file or folder", remedy="Check the path")
    tiles = sorted(source.glob("*.hgt")) if source.is_dir() else [source]
    corners = {tile: _corner(tile) for tile in tiles}
    num_used = 0
    for tile, (south, west) in corners.items():
        is_in = (np.floor(latitude_deg) == south) & (np.floor(longitude_deg) == west)
        if is_in.any():
            num_used += 1
            result[is_in] = _between(_raster(tile), latitude_deg[is_in] - south, longitude_deg[is_in] - west)
    if num_used == 0:
        raise InputFileError(
            path=path,
            problem=f"has no tile (.hgt) for latitude {np.min(latitude_deg):.2f} to {np.max(latitude_deg):.2f}, "
            f"longitude {np.min(longitude_deg):.2f} to {np.max(longitude_deg):.2f}",
            remedy="Fetch the SRTM tiles of the area; a name is that of the south-west corner, N41W009.hgt",
        )
    return result


def _corner(tile: Path) -> tuple[int, int]:
    match = _NAME.fullmatch(tile.stem)
    if match is None or tile.suffix.lower() != ".hgt":
        raise InputFileError(path=tile, problem="has not the name of an SRTM tile", remedy="Name it as N41W009.hgt")
    south, west = int(match[2]), int(match[4])
    return (-south if match[1] in "Ss" else south), (-west if match[3] in "Ww" else west)


def _raster(tile: Path) -> Floats:
    """float64[side, side], the first row the northern one; NaN for voids."""
    size = tile.stat().st_size
    if size not in _SIZES:
        raise InputFileError(
            path=tile, problem=f"has {size} bytes; a tile has {' or '.join(map(str, _SIZES))}", remedy="Fetch it again"
        )
    raw: NDArray[np.int16] = np.fromfile(tile, ">i2").reshape(_SIZES[size], _SIZES[size])
    return np.where(raw == _VOID, np.nan, raw.astype(np.float64))


def _between(raster: Floats, north: Floats, east: Floats) -> Floats:
    last = len(raster) - 1
    y, x = (1.0 - north) * last, east * last
    row, column = (np.minimum(np.floor(at).astype(np.int64), last - 1) for at in (y, x))
    down, right = y - row, x - column
    upper = raster[row, column] * (1 - right) + raster[row, column + 1] * right
    lower = raster[row + 1, column] * (1 - right) + raster[row + 1, column + 1] * right
    return np.asarray(upper * (1 - down) + lower * down)
