"""From files of traces to a file of routes, block by block: read, clean, cut into trips, match, filter, write."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from ..core.errors import ConfigurationError, InputFileError, NoDemonstrationsError
from ..core.types import Bools, Floats, Ids
from ..graphs.geometry import great_circle_m
from ..graphs.road_graph import RoadNetwork, ragged_rows
from .matching import FATES, Matched, TraceMatcher
from .private_ends import shared_ends
from .route_files import checked_parquet, id_texts
from .trace_cleaning import SkippedTrace, clean
from .trace_columns import iso_times
from .trace_noise import Noise
from .traces import Traces
from .trips_of_traces import TripRules, cut_trips

_SHORT_M = 1.0


@dataclass(frozen=True)
class RouteRules:
    """Which routes are kept.

    ``ConfigurationError`` for a number out of range.
    """

    min_confidence: float = 0.5
    """Routes of a smaller confidence are left out."""
    max_ratio: float | None = None
    """Routes longer than so many times the crow's distance between the ends of their points are left out: loops, whose
    ends lie together, and detours. None: they stay."""
    min_travellers: int = 1
    """Routes whose first edge is that of fewer travellers' routes, or whose last edge is, are left out, until none is
    left: k-anonymous origins and destinations. Where no traveller is named, each trace counts as one."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise ConfigurationError(where="min_confidence", problem=f"{self.min_confidence} is no share")
        if self.max_ratio is not None and not self.max_ratio >= 1:
            raise ConfigurationError(where="max_ratio", problem=f"{self.max_ratio} is less than 1")
        if self.min_travellers < 1:
            raise ConfigurationError(where="min_travellers", problem="at least 1")


@dataclass
class MatchReport:
    """What became of traces and points."""

    num_traces: int = 0
    num_points: int = 0
    num_trips: int = 0
    num_routes: int = 0
    num_stops: int = 0
    points: Counter[str] = field(default_factory=Counter)
    """Points not used, by a key of `POINT_STATUSES`."""
    traces: Counter[str] = field(default_factory=Counter)
    """Traces and parts of traces without a route, by a key of `TRACE_STATUSES`."""
    faults: Counter[str] = field(default_factory=Counter)
    """What the reader could make nothing of, by a key of `READING_FAULTS`."""
    noise: Noise | None = None
    """As estimated or given; None where there was no trace."""
    sum_confidence: float = 0.0
    is_simulated: bool = False

    @property
    def mean_confidence(self) -> float:
        """Over the routes written; NaN where there is none."""
        return self.sum_confidence / self.num_routes if self.num_routes else float("nan")


def match_to_file(
    matcher: TraceMatcher,
    blocks: Iterable[Traces],
    output: str | Path,
    *,
    trips: TripRules | None = None,
    routes: RouteRules | None = None,
    skipped: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> MatchReport:
    """Match blocks of traces and write their routes as `read_demonstrations` reads them.

    Parameters
    ----------
    blocks
        Whole traces; noise is estimated from the first block.
    output
        ``.parquet`` or ``.csv``: route_id, links, departure (of the first point, UTC), weight, traveller, and trace_id,
        confidence, length_m, duration_s, points.
    skipped
        CSV of what gave no route: trace_id, status, detail.
    progress
        Called with the number of traces done so far.

    Raises
    ------
    NoDemonstrationsError
        Not one route; names the main causes. Nothing is written.
    InputFileError
        ``output`` has another suffix.

    Notes
    -----
    One block is in memory at a time; with ``min_travellers`` two passes over the routes, of which 16 bytes each stay.
    """
    target, rules = Path(output), routes or RouteRules()
    if target.suffix not in (".parquet", ".csv"):
        raise InputFileError(
            path=output, problem="routes are written as .parquet or .csv", remedy="Choose one of these suffixes"
        )
    report = MatchReport()
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.partial")
    why = _SkippedFile(skipped)
    try:
        with why:
            tables = _tables(matcher, blocks, trips or TripRules(), rules, report, why, progress)
            if rules.min_travellers > 1:
                tables = shared_ends(tables, target, rules.min_travellers, report.traces, why.add)
            source = _write(scratch, tables, report)
        if report.num_routes == 0:
            raise NoDemonstrationsError(
                source=source, num_routes=report.num_traces, causes=dict(report.traces.most_common())
            )
        os.replace(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)
    return report


def _write(scratch: Path, tables: Iterator[pa.Table], report: MatchReport) -> str:
    """Write tables as they come; what a source is called in errors."""
    make: Any = pyarrow.csv.CSVWriter if scratch.name.endswith(".csv.partial") else checked_parquet
    writer: Any = None
    try:
        for table in tables:
            if writer is None:
                writer = make(scratch, table.schema)
            if table.num_rows:
                writer.write_table(table)
                report.num_routes += table.num_rows
                report.sum_confidence += float(pc.sum(table.column("confidence")).as_py())
    finally:
        if writer is not None:
            writer.close()
    return "the traces"


def _tables(
    matcher: TraceMatcher,
    blocks: Iterable[Traces],
    trips: TripRules,
    rules: RouteRules,
    report: MatchReport,
    why: _SkippedFile,
    progress: Callable[[int], None] | None,
) -> Iterator[pa.Table]:
    for block in blocks:
        report.num_traces += len(block)
        report.num_points += block.num_points
        report.faults.update(block.faults)
        report.is_simulated |= block.is_simulated
        cleaned = clean(block, matcher.bounds_deg)
        report.points.update(cleaned.points)
        cut = cut_trips(cleaned.traces, trips)
        report.num_stops += cut.num_stops
        report.num_trips += len(cut.traces)
        why.add([*cleaned.skipped, *cut.skipped], report.traces)
        if len(cut.traces):
            if report.noise is None:
                report.noise = matcher.estimate(cut.traces)
            found = matcher.match(cut.traces, report.noise)
            _count_points(found, report)
            is_kept, reasons = _kept(matcher.network, cut.traces, found, rules)
            why.add(reasons, report.traces)
            yield _table(matcher.network, cut.traces, list(cleaned.traces.trace_id.take(cut.row)), found, is_kept)
        if progress is not None:
            progress(report.num_traces)


def _count_points(found: Matched, report: MatchReport) -> None:
    for name, count in zip(FATES, np.bincount(found.fate, minlength=len(FATES)).tolist(), strict=True):
        if count and name in ("off_road", "unreachable", "thinned"):
            report.points[name] += count


def _kept(network: RoadNetwork, traces: Traces, found: Matched, rules: RouteRules) -> tuple[Bools, list[SkippedTrace]]:
    """(bool[R], which routes are kept; why the others are not, and why traces have none)."""
    reasons = _without_route(traces, found)
    is_kept = found.confidence >= rules.min_confidence
    for route in np.flatnonzero(~is_kept).tolist():
        detail = f"confidence {found.confidence[route]:.2f}"
        reasons.append(SkippedTrace(traces.trace_id[int(found.row[route])], "unsure", detail))
    if rules.max_ratio is not None:
        length, crow = _lengths(network, found), _crow(traces, found)
        is_long = is_kept & (length > rules.max_ratio * np.maximum(crow, _SHORT_M))
        for route in np.flatnonzero(is_long).tolist():
            status = "loop" if crow[route] < 0.1 * length[route] else "detour"
            detail = f"{length[route]:.0f} m for {crow[route]:.0f} m as the crow flies"
            reasons.append(SkippedTrace(traces.trace_id[int(found.row[route])], status, detail))
        is_kept &= ~is_long
    return is_kept, reasons


def _without_route(traces: Traces, found: Matched) -> list[SkippedTrace]:
    """Why traces have no route at all, by what became of their points."""
    has_route = np.zeros(len(traces), bool)
    has_route[found.row] = True
    reasons = []
    for row in np.flatnonzero(~has_route).tolist():
        fate = found.fate[traces.first[row] : traces.first[row + 1]]
        count = dict(zip(FATES, np.bincount(fate, minlength=len(FATES)).tolist(), strict=True))
        told = len(fate) - count["thinned"]
        if count["off_road"] == told:
            status, detail = "off_road", f"{told} points without a road near them"
        elif count["cut"] == told or (count["cut"] + count["off_road"] == told and count["cut"] > 0):
            status, detail = "one_edge", f"{told} points"
        elif told == 1:
            status, detail = "stationary", f"{len(fate)} points within the noise of each other"
        else:
            status, detail = "no_route", ", ".join(f"{number} {name}" for name, number in count.items() if number)
        reasons.append(SkippedTrace(traces.trace_id[row], status, detail))
    return reasons


def _lengths(network: RoadNetwork, found: Matched) -> Floats:
    """float64[R], of whole edges, in `RoadNetwork.length_unit`."""
    total = np.concatenate([[0.0], np.cumsum(network.edge_length_m()[found.edge])])
    return np.asarray(total[found.first[1:]] - total[found.first[:-1]])


def _crow(traces: Traces, found: Matched) -> Floats:
    one, other = found.span[:, 0], found.span[:, 1]
    return great_circle_m(
        traces.latitude_deg[one], traces.longitude_deg[one], traces.latitude_deg[other], traces.longitude_deg[other]
    )


def _table(network: RoadNetwork, traces: Traces, owners: list[str], found: Matched, is_kept: Bools) -> pa.Table:
    """The kept routes as the columns of a route file, and what matching knows of them."""
    rows = np.flatnonzero(is_kept)
    flat, first = ragged_rows(found.first, rows)
    trip, span = found.row[rows], found.span[rows]
    time = traces.time_s[span]
    columns: dict[str, Any] = {
        "route_id": pa.array(_route_names(traces, found, rows), pa.string()),
        "links": id_texts(network.graph.edge_id[found.edge[flat]], first).arrow().cast(pa.string()),
        "departure": pa.array(iso_times(time[:, 0]), pa.string()),
        "weight": np.ones(len(rows)),
        "is_simulated": np.full(len(rows), traces.is_simulated),
        "traveller": pa.nulls(len(rows), pa.string())
        if traces.traveller is None
        else traces.traveller.take(trip).arrow().cast(pa.string()),
        "trace_id": pa.array([owners[one] for one in trip.tolist()], pa.string()),
        "confidence": found.confidence[rows].astype(np.float32),
        "length_m": _lengths(network, found)[rows].astype(np.float32),
        "duration_s": (time[:, 1] - time[:, 0]).astype(np.float32),
        "points": (span[:, 1] - span[:, 0] + 1).astype(np.int32),
    }
    return pa.table(columns)


def _route_names(traces: Traces, found: Matched, rows: Ids) -> list[str]:
    """The trip's name; parts of a trip that was cut are ``id/1``, ``id/2``, ..."""
    many = np.bincount(found.row, minlength=len(traces))
    place = np.arange(len(found)) - np.searchsorted(found.row, found.row)
    names = traces.trace_id.take(found.row[rows])
    return [
        f"{name}/{k + 1}" if number > 1 else str(name)
        for name, k, number in zip(names, place[rows].tolist(), many[found.row[rows]].tolist(), strict=True)
    ]


class _SkippedFile:
    """A CSV of what gave no route, written as it is found; or nothing but its counts."""

    def __init__(self, path: str | Path | None) -> None:
        self._path = None if path is None else Path(path)
        self._file: Any = None

    def __enter__(self) -> _SkippedFile:
        if self._path is not None:
            import csv

            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = self._path.open("w", newline="", encoding="utf-8")
            self._file = csv.writer(self._handle)
            self._file.writerow(["trace_id", "status", "detail"])
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._handle.close()

    def add(self, skipped: Iterable[SkippedTrace], counts: Counter[str]) -> None:
        for one in skipped:
            counts[one.status] += 1
            if self._file is not None:
                self._file.writerow([one.trace_id, one.status, one.detail])
