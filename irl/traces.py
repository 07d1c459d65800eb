"""Timed GPS points: the record `Traces`, and the words for what becomes of traces and points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.types import Bools, Floats, Ids
from ..graphs.road_graph import ragged_rows
from .texts import Texts

TRACE_STATUSES: dict[str, str] = {
    "no_point": "no usable point is left of it",
    "single_point": "only one usable point, so nothing was travelled",
    "stationary": "no point lies farther from the first one than the noise",
    "swapped": "its points lie on the map if latitude and longitude are swapped",
    "outside": "every point lies outside the map",
    "off_road": "no road within the radius of any point",
    "no_route": "no route leads from point to point: gaps, or roads that the map does not have",
    "one_edge": "it lies on one edge, so no choice was made",
    "unsure": "the confidence is below the least one asked for",
    "loop": "it ends where it began",
    "detour": "its route is much longer than the shortest one",
    "too_short": "nothing is left after its ends were cut for privacy",
    "rare_ends": "fewer travellers than asked for share its origin or its destination",
}
"""Why a trace, or a part of one, gave no route."""
POINT_STATUSES: dict[str, str] = {
    "not_a_number": "a latitude, longitude or time that is no number",
    "out_of_range": "a latitude beyond 90 or a longitude beyond 180 degrees",
    "duplicate": "the same place and time as the point before",
    "time_back": "a time before that of an earlier point",
    "jump": "away from both neighbours faster than anything drives",
    "outside": "outside the map",
    "thinned": "so near the point before that noise is larger than the way between them",
    "off_road": "no road within the radius",
    "unreachable": "no route leads to it from the points before",
}
"""Why a point was not used."""
READING_FAULTS: dict[str, str] = {
    "no_geometry": "a feature, or a part of one, that is neither points nor a line",
    "times_do_not_fit": "a list of times that is not as long as its line, which then has no times",
}
"""What a reader could make nothing of."""


@dataclass(frozen=True, eq=False)
class Traces:
    """Some traces, their points one after the other, in the order of time."""

    trace_id: Texts
    """R names."""
    first: Ids
    """int64[R+1]: the points of trace r are ``first[r] .. first[r+1]``."""
    latitude_deg: Floats
    """float64[P], WGS84; unchecked."""
    longitude_deg: Floats
    time_s: Floats
    """float64[P], seconds since 1970 in UTC; NaN where a point has no time."""
    heading_deg: Floats | None = None
    """float64[P], clockwise from north; NaN where a point has none."""
    speed_kmh: Floats | None = None
    traveller: Texts | None = None
    """Whose each trace is."""
    source: str = "memory"
    is_simulated: bool = False
    faults: dict[str, int] = field(default_factory=dict)
    """What the reader could make nothing of: how often, by a key of `READING_FAULTS`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "trace_id", Texts.of(self.trace_id))
        if self.traveller is not None:
            object.__setattr__(self, "traveller", Texts.of(self.traveller))

    def __len__(self) -> int:
        return len(self.trace_id)

    @property
    def num_points(self) -> int:
        """Number of points P."""
        return len(self.latitude_deg)

    @property
    def row_of_point(self) -> Ids:
        """int64[P], the trace of each point."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.first))

    def take(self, rows: Ids) -> Traces:
        """Some traces, in that order."""
        flat, first = ragged_rows(self.first, rows)
        return self._with(flat, first, self.trace_id.take(rows), rows)

    def keep(self, is_kept: Bools) -> Traces:
        """The same traces with only some of their points; traces may end up empty."""
        counts = np.bincount(self.row_of_point[is_kept], minlength=len(self))
        first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return self._with(np.flatnonzero(is_kept), first, self.trace_id, np.arange(len(self)))

    def cut(self, starts: Ids, ends: Ids, rows: Ids, names: Sequence[str | None]) -> Traces:
        """Pieces of traces: piece k is the points ``starts[k] .. ends[k]``, of trace ``rows[k]``."""
        counts = ends - starts
        first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        flat = np.arange(first[-1]) + np.repeat(starts - first[:-1], counts)
        return self._with(flat, first, Texts.of(names), rows)

    def _with(self, flat: Ids, first: Ids, names: Texts, rows: Ids) -> Traces:
        return Traces(
            names,
            first,
            self.latitude_deg[flat],
            self.longitude_deg[flat],
            self.time_s[flat],
            None if self.heading_deg is None else self.heading_deg[flat],
            None if self.speed_kmh is None else self.speed_kmh[flat],
            None if self.traveller is None else self.traveller.take(rows),
            self.source,
            self.is_simulated,
            self.faults,
        )


def joined_traces(parts: Sequence[Traces]) -> Traces:
    """Several sets, one after the other; a column that only some have is NaN, or None, in the others."""
    counts = np.concatenate([np.diff(part.first) for part in parts])
    faults: dict[str, int] = {}
    for part in parts:
        for name, count in part.faults.items():
            faults[name] = faults.get(name, 0) + count
    travellers = None
    if any(part.traveller is not None for part in parts):
        travellers = Texts.joined([part.traveller or Texts.nothing(len(part)) for part in parts])
    return Traces(
        Texts.joined([part.trace_id for part in parts]),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate([part.latitude_deg for part in parts]),
        np.concatenate([part.longitude_deg for part in parts]),
        np.concatenate([part.time_s for part in parts]),
        _joined_column([part.heading_deg for part in parts], parts),
        _joined_column([part.speed_kmh for part in parts], parts),
        travellers,
        parts[0].source,
        any(part.is_simulated for part in parts),
        faults,
    )


def _joined_column(columns: Sequence[Floats | None], parts: Sequence[Traces]) -> Floats | None:
    if all(column is None for column in columns):
        return None
    return np.concatenate(
        [
            np.full(part.num_points, np.nan) if column is None else column
            for column, part in zip(columns, parts, strict=True)
        ]
    )
