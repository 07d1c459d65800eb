"""The constants of one machine that `plan_run` multiplies: records, and their file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InputFileError
from ..core.files import write_file
from ..core.types import Floats


@dataclass(frozen=True)
class Curve:
    """Measured points, straight between them in logarithms; beyond them a power law of the slope over all."""

    x: tuple[float, ...]
    """Rising, > 0."""
    y: tuple[float, ...]
    """> 0, never falling."""

    @property
    def exponent(self) -> float:
        """Slope of the logarithms by least squares."""
        return float(np.polyfit(np.log(self.x), np.log(self.y), 1)[0])

    def __call__(self, x: float) -> float:
        """The value at x > 0."""
        near = min(max(x, self.x[0]), self.x[-1])
        inside = np.exp(np.interp(np.log(near), np.log(self.x), np.log(self.y)))
        return float(inside * (x / near) ** self.exponent)

    @classmethod
    def through(cls, x: Sequence[float] | Floats, y: Sequence[float] | Floats) -> Curve:
        """Through some points, of which one that is lower than one before it is raised."""
        return cls(tuple(map(float, x)), tuple(map(float, np.maximum.accumulate(y))))


@dataclass(frozen=True)
class Calibration:
    """Constants of one machine; times are CPU time of one thread, files in the page cache."""

    measured_on: str
    num_edges: int
    tau: float
    turns_per_edge: float
    nodes_per_edge: float
    edges_per_km: float
    """Of the best route of a trip."""
    fresh_s: Curve
    """Seconds per trip by its length in km, on the compressed graph of the trips: search, values and counts."""
    kept_s: Curve
    """The same in a kept corridor."""
    states: Curve
    """States per corridor by km, on the compressed graph."""
    turns_per_state: float
    """Turns inside such a corridor, per state."""
    plain: float
    """A trip's time without compression, in multiples of the time with it."""
    compress_s: float
    """Seconds per edge to compress the graph, once."""
    small_states: float
    """States of the compressed graph, per edge."""
    small_turns: float
    """Its turns, per edge."""
    parts_per_turn: float
    """Original turns in one of them."""
    sum_s: float
    """Seconds per compressed turn and pass: its cost summed up, its count handed back."""
    factor_s: Curve
    """Seconds of one LU by edges."""
    solve_s: Curve
    """Seconds per destination, values and counts, by edges."""
    factor_bytes: Curve
    """Memory of one LU by edges."""
    map_s: float
    """Seconds per turn and pass: the reward's checks and the sums over the map, features aside."""
    feature_s: float
    """Seconds per turn, feature and pass."""
    prepare_s: float
    """Seconds per turn before the first pass: both adjacency lists."""
    load_s_per_byte: float
    """Of a stored network, its checksums verified."""
    route_s: float
    """Seconds to read and check a route, per edge of it."""
    route_file_bytes: float
    """Of a Parquet file, per edge of a route."""
    route_peak_bytes: float
    """Memory at the peak of reading and grouping, per edge of a route."""
    copy_gb_s: float
    """Copy bandwidth, one thread; for orientation, in no formula."""


def read_calibration(path: str | Path) -> Calibration:
    """Constants that `write_calibration` wrote; `InputFileError` where the file holds something else."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        values: dict[str, Any] = {
            name: Curve(tuple(value["x"]), tuple(value["y"])) if isinstance(value, dict) else value
            for name, value in document.items()
        }
        return Calibration(**values)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputFileError(
            path=path, problem=f"holds no constants of `trodden plan` ({error})", remedy="Delete it, to measure anew"
        ) from error


def write_calibration(path: str | Path, found: Calibration) -> None:
    """Write constants as JSON."""
    write_file(path, (json.dumps(dataclasses.asdict(found), indent=1) + "\n").encode())
