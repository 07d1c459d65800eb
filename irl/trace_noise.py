"""How noisy traces are, and by how much routes are longer than the crow flies: estimated from the traces themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..core.types import Floats
from ..graphs.geometry import METRES_PER_DEGREE
from .matching_lattice import BETA_BINS
from .traces import Traces

_MEDIAN = 1.4826
"""Standard deviation of a normal variable by the median of its absolute value."""
_RAYLEIGH = 1.1774
"""Median distance of two independent errors of standard deviation 1."""
_USUAL_SPEED = 10.0
"""Metres per second: means are taken over the time in which noise is larger than the way at this speed."""
_LEAST_SIGMA_M, _LARGEST_SIGMA_M = 3.0, 100.0
_LONGEST_WINDOW_S = 12.0
_SPARSE_S = 6.0
"""Points farther apart in time say nothing of their noise by themselves."""
_ENOUGH = 30


@dataclass(frozen=True, eq=False)
class Noise:
    """What matching takes noise and scales to be; see docs/matching.md for how they are estimated."""

    sigma_m: float
    """Standard deviation of a point's error, per axis; with the map's own error."""
    white_m: float
    """The part of it that is independent from point to point; 0 where points are too far apart to tell."""
    window_s: float
    """Points within it become their mean; 0: none do."""
    point_sigma_m: float
    """Standard deviation of the error of such means."""
    beta_m: Floats
    """float64[16]: mean excess of routes by the crow's distance; bin b is 2**b to 2**(b+1) metres."""
    interval_s: float = math.nan
    """Usual time between points; NaN without times."""

    @property
    def back_m(self) -> float:
        """Going back along an edge by so much is standing still."""
        return 2.0 * self.point_sigma_m + 5.0


def first_guess(traces: Traces, sigma_m: float | None, beta_m: float | None) -> Noise:
    """What can be said before anything is matched."""
    white, interval = _white_noise(traces)
    sigma = sigma_m or min(max(white, 7.0), _LARGEST_SIGMA_M)
    crow = 1.5 * 2.0 ** np.arange(BETA_BINS)
    beta: Floats = np.full(BETA_BINS, float(beta_m)) if beta_m else np.asarray(max(sigma, 5.0) + 0.1 * crow, np.float64)
    return _with_window(Noise(sigma, min(white, sigma), 0.0, sigma, beta, interval))


def estimate_noise(
    noise: Noise,
    distance_m: Floats,
    excess_m: Floats,
    crow_m: Floats,
    *,
    sigma_m: float | None,
    beta_m: float | None,
) -> Noise:
    """The same from points that were matched: their distances and excesses, NaN where there is none."""
    distance = distance_m[np.isfinite(distance_m)]
    sigma = noise.sigma_m
    if sigma_m is None and len(distance) >= _ENOUGH:
        # Distances across the road are those of means; the white part that these lost is added again.
        across = _MEDIAN * float(np.median(distance))
        lost = max(noise.sigma_m**2 - noise.point_sigma_m**2, 0.0)
        sigma = float(np.clip(math.sqrt(across**2 + lost), _LEAST_SIGMA_M, _LARGEST_SIGMA_M))
    beta = noise.beta_m if beta_m else _betas(noise, np.abs(excess_m), crow_m)
    return _with_window(replace(noise, sigma_m=sigma, white_m=min(noise.white_m, sigma), beta_m=beta))


def _with_window(noise: Noise) -> Noise:
    """The same with the time that means are taken over, and the noise of these."""
    window = min(2.0 * noise.white_m / _USUAL_SPEED, _LONGEST_WINDOW_S)
    count = math.floor(window / noise.interval_s) + 1 if noise.interval_s > 0 else 1
    if count < 2:
        return replace(noise, window_s=0.0, point_sigma_m=noise.sigma_m)
    square = noise.sigma_m**2 - noise.white_m**2 * (1.0 - 1.0 / count)
    return replace(noise, window_s=window, point_sigma_m=max(math.sqrt(square), _LEAST_SIGMA_M))


def _white_noise(traces: Traces) -> tuple[float, float]:
    """(noise that is independent from point to point, usual time between points), (0, nan) where that cannot be told.

    By second differences: a vehicle goes straight on for most of a few seconds, and independent errors do not.
    """
    time = traces.time_s
    if traces.num_points < 3:
        return 0.0, math.nan
    row = traces.row_of_point
    before, after = time[1:-1] - time[:-2], time[2:] - time[1:-1]
    is_even = (row[2:] == row[:-2]) & (before > 0) & (np.abs(after - before) < 0.1 * before + 1e-3)
    is_even &= before <= _SPARSE_S
    if is_even.sum() < _ENOUGH:
        return 0.0, float(np.nanmedian(np.diff(time))) if np.isfinite(time).any() else math.nan
    scale = METRES_PER_DEGREE * np.cos(np.radians(traces.latitude_deg[1:-1]))
    north = np.diff(traces.latitude_deg, 2) * METRES_PER_DEGREE
    east = np.diff(traces.longitude_deg, 2) * scale
    bend = np.hypot(north, east)[is_even]
    return float(np.median(bend)) / math.sqrt(6.0) / _RAYLEIGH, float(np.median(before[is_even]))


def _betas(noise: Noise, excess_m: Floats, crow_m: Floats) -> Floats:
    """Scales by bin; bins with few steps take those of their neighbours."""
    is_known = np.isfinite(excess_m) & np.isfinite(crow_m)
    bins = np.clip(np.log2(np.maximum(crow_m[is_known], 1.0)).astype(np.int64), 0, BETA_BINS - 1)
    excess = excess_m[is_known]
    found = np.full(BETA_BINS, np.nan)
    for one in range(BETA_BINS):
        mine = excess[bins == one]
        if len(mine) >= _ENOUGH:
            found[one] = max(float(np.mean(mine)), 0.5 * noise.point_sigma_m, 2.0)
    have = np.flatnonzero(np.isfinite(found))
    if len(have) == 0:
        return noise.beta_m
    return np.asarray(np.interp(np.arange(BETA_BINS), have, found[have]))
