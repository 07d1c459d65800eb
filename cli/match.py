"""The commands ``trodden match`` and ``trodden traces``: GPS traces to routes, and routes to simulated traces."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import ConfigurationError
from .console import guarded, progress_bar, say, text_table

if TYPE_CHECKING:
    from ..irl.matched_files import MatchReport

_TRACES_HELP = "traces: .csv, .parquet, .gpx, .geojson, or a folder of such files"
Column = Annotated[str | None, typer.Option(metavar="NAME", help="column; default: guessed by its name")]


class PathsBy(StrEnum):
    """What the path between two points is cheapest by."""

    travel_time = "travel_time"
    length = "length"


@guarded
def match(
    network: Annotated[Path, typer.Argument(metavar="NETWORK", help="stored network, as `trodden build` writes it")],
    traces: Annotated[Path, typer.Argument(metavar="TRACES", help=_TRACES_HELP)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="routes: .parquet or .csv")],
    skipped: Annotated[
        Path | None, typer.Option(metavar="CSV", help="write each trace without a route, and why")
    ] = None,
    trace_id: Column = None,
    latitude: Column = None,
    longitude: Column = None,
    time: Column = None,
    heading: Column = None,
    speed: Column = None,
    traveller: Column = None,
    speed_unit: Annotated[str | None, typer.Option(metavar="UNIT", help="km/h or m/s; default km/h")] = None,
    time_zone: Annotated[str, typer.Option(metavar="ZONE", help="of times that do not say theirs")] = "UTC",
    sigma: Annotated[
        float | None, typer.Option(metavar="M", help="standard deviation of GPS errors; default: estimated")
    ] = None,
    beta: Annotated[
        float | None, typer.Option(metavar="M", help="mean detour between two points; default: estimated")
    ] = None,
    radius: Annotated[float | None, typer.Option(metavar="M", help="roads within it are candidates")] = None,
    paths_by: Annotated[
        PathsBy, typer.Option(metavar="WHAT", help="between points: cheapest by travel_time or length")
    ] = PathsBy.travel_time,
    model: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="between points: cheapest by what this model learned")
    ] = None,
    dwell: Annotated[float, typer.Option(metavar="S", help="a stop of so many seconds ends a trip; 0: none")] = 300.0,
    max_gap: Annotated[float, typer.Option(metavar="S", help="a gap of so many seconds ends a trip")] = 360.0,
    min_confidence: Annotated[float, typer.Option(metavar="SHARE", help="leave out routes below it")] = 0.5,
    max_ratio: Annotated[
        float | None, typer.Option(metavar="X", help="leave out loops and detours: X times the crow's distance")
    ] = None,
    cut_ends: Annotated[float, typer.Option(metavar="M", help="leave out what is so near to a trip's ends")] = 0.0,
    min_travellers: Annotated[
        int, typer.Option(metavar="K", help="leave out routes whose ends fewer travellers share")
    ] = 1,
    threads: Annotated[int, typer.Option(metavar="N", help="0: one per CPU, at most 8")] = 0,
) -> None:
    """Make routes of GPS traces, for `trodden train --routes`.

    For example: trodden match NETWORK traces.csv --output routes.parquet --skipped skipped.csv
    """
    from ..graphs.reading import read_roads
    from ..irl.matched_files import RouteRules, match_to_file
    from ..irl.matching import MatchingSettings, TraceMatcher
    from ..irl.trace_columns import TraceColumns
    from ..irl.trace_files import read_trace_blocks
    from ..irl.trips_of_traces import TripRules

    columns = TraceColumns(trace_id, latitude, longitude, time, heading, speed, traveller, speed_unit, time_zone)
    settings = MatchingSettings(
        sigma_m=sigma, beta_m=beta, radius_m=radius, paths_by=paths_by.value, max_gap_s=max_gap, threads=threads
    )
    trips = TripRules(dwell_s=dwell or float("inf"), max_gap_s=max_gap, cut_ends_m=cut_ends)
    rules = RouteRules(min_confidence, max_ratio, min_travellers)
    turn_cost = None
    if model is not None:
        from ..irl.checkpoints import load_model

        learned = load_model(model)
        roads, turn_cost = learned.network, learned.turn_cost
        if read_roads(network).checksum != roads.checksum:
            raise ConfigurationError(where="match", problem=f"{model} was not learned on {network}")
    else:
        roads = read_roads(network)
    with progress_bar("matching", None) as update:
        report = match_to_file(
            TraceMatcher(roads, settings, turn_cost=turn_cost),
            read_trace_blocks(traces, columns),
            output,
            trips=trips,
            routes=rules,
            skipped=skipped,
            progress=lambda done: update(done, f"{done} traces"),
        )
    say(describe_report(report, output))
    if skipped is not None:
        say(f"traces without a route in {skipped}")


def describe_report(report: MatchReport, output: Path) -> str:
    """What was matched, and what was left out and why."""
    from ..irl.traces import POINT_STATUSES, READING_FAULTS, TRACE_STATUSES

    word = "simulated traces" if report.is_simulated else "traces"
    lines = [f"{report.num_traces} {word}, {report.num_points} points, {report.num_trips} trips"]
    if report.noise is not None:
        noise, beta = report.noise, report.noise.beta_m
        means = f", means of {noise.window_s:.0f} s: {noise.point_sigma_m:.1f} m" if noise.window_s else ""
        lines.append(f"noise {noise.sigma_m:.1f} m{means}; detours of {beta.min():.0f} to {beta.max():.0f} m")
    for title, counts, words in (
        ("traces left out", report.traces, TRACE_STATUSES),
        ("points left out", report.points, POINT_STATUSES),
        ("not understood", report.faults, READING_FAULTS),
    ):
        if counts:
            rows = [[name, str(count), words[name][:50]] for name, count in counts.most_common()]
            lines.append(text_table([title, "number", "why"], rows))
    lines.append(f"{report.num_routes} routes in {output}, mean confidence {report.mean_confidence:.3f}")
    return "\n".join(lines)


@guarded
def traces(
    network: Annotated[Path, typer.Argument(metavar="NETWORK", help="stored network, as `trodden build` writes it")],
    routes: Annotated[Path, typer.Option("--routes", metavar="FILE", help="routes, .csv or .parquet")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="traces: .parquet or .csv")],
    interval: Annotated[float, typer.Option(metavar="S", help="seconds between two points")] = 10.0,
    noise: Annotated[float, typer.Option(metavar="M", help="standard deviation of errors, per axis")] = 10.0,
    correlation: Annotated[float, typer.Option(metavar="S", help="time that errors stay alike")] = 0.0,
    outliers: Annotated[float, typer.Option(metavar="SHARE", help="share of points that are 200 m off")] = 0.0,
    gaps: Annotated[float, typer.Option(metavar="SHARE", help="share of traces that miss a quarter")] = 0.0,
    seed: Annotated[int, typer.Option(metavar="N", help="same seed, same traces")] = 0,
) -> None:
    """Make simulated GPS traces of routes, to try matching with."""
    from ..graphs.reading import read_roads
    from ..irl.demonstrations import read_demonstrations
    from ..irl.trace_files import write_traces
    from ..irl.trace_simulation import TraceNoise, simulate_traces

    demonstrations = read_demonstrations(routes, read_roads(network))
    seen = TraceNoise(interval, noise, correlation, outliers, gap_share=gaps)
    made = simulate_traces(demonstrations, seen, seed=seed)
    write_traces(output, made)
    say(f"{len(made)} simulated traces, {made.num_points} points, in {output}, seed {seed}")
