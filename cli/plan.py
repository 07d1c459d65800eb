"""The command ``trodden plan``: what a run will need, before it is started."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import ConfigurationError
from .console import guarded, progress_bar, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..graphs.road_graph import RoadNetwork
    from ..irl.calibration import Calibration
    from ..irl.capacity import Item, RunPlan

_WIDTH = 100


@guarded
def plan(
    network: Annotated[Path | None, typer.Argument(metavar="NETWORK", help="stored network")] = None,
    edges: Annotated[
        int | None, typer.Option(metavar="N", help="plan for so many edges; beside NETWORK, of its kind")
    ] = None,
    num_routes: Annotated[
        int, typer.Option("--num-routes", "-n", min=1, metavar="N", help="demonstrations to learn from")
    ] = 10_000,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="CPUs that share the trips")] = 1,
    km: Annotated[float, typer.Option(metavar="KM", help="mean length of a trip")] = 6.0,
    states: Annotated[
        float | None, typer.Option(metavar="N", help="mean states of a corridor; default: as measured at that length")
    ] = None,
    features: Annotated[int, typer.Option(min=1, metavar="N", help="features of the reward")] = 16,
    tau: Annotated[float, typer.Option(metavar="NATS", help="width of corridors")] = 25.0,
    keep_gb: Annotated[float, typer.Option(min=0, metavar="GB", help="memory for kept corridors")] = 0.0,
    passes: Annotated[int, typer.Option(min=1, metavar="N", help="likelihoods with gradients in a run")] = 40,
    within_hours: Annotated[
        float | None, typer.Option(metavar="H", help="also say how many workers bring the run to so many hours")
    ] = None,
    constants: Annotated[
        Path | None, typer.Option(metavar="FILE", help="constants of this machine: read, or measured and written")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write the figures as JSON")] = None,
) -> None:
    """Say what a run will need: memory, disk and time.

    From constants measured on this machine, in some 20 seconds. Trains nothing.
    """
    from ..core.files import write_file
    from ..graphs.reading import read_roads
    from ..irl.capacity import plan_run

    if within_hours is not None and not within_hours > 0:
        raise ConfigurationError(where="--within-hours", problem=f"{within_hours:g} hours; more than 0")
    if network is None and edges is None:
        raise ConfigurationError(where="plan", problem="give a stored network, --edges, or both")
    roads = read_roads(network) if network is not None else None
    found = plan_run(
        num_routes,
        network=roads,
        num_edges=edges,
        workers=workers,
        trip_km=km,
        states=states,
        num_features=features,
        tau=tau,
        keep_bytes=round(keep_gb * 1e9),
        passes=passes,
        calibration=_constants(constants, roads, tau),
    )
    if json_file is not None:
        write_file(json_file, (json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n").encode())
    say(format_plan(found))
    if within_hours is not None:
        say("\n" + _within(found, within_hours))


def _constants(path: Path | None, roads: RoadNetwork | None, tau: float) -> Calibration:
    from ..irl.calibration import read_calibration, write_calibration
    from ..irl.measuring import calibrate

    if path is not None and path.exists():
        return read_calibration(path)
    with progress_bar("measuring this machine", None) as update:
        found = calibrate(roads, tau=tau, progress=lambda text: update(0, text))
    if path is not None:
        write_calibration(path, found)
    return found


def format_plan(found: RunPlan) -> str:
    """A plan as text, no wider than 100 columns."""
    demonstrations = f"{found.num_demonstrations:,} demonstrations"
    lines = [
        f"{found.num_edges:,} edges, {found.num_turns:,} turns, {demonstrations}, {found.num_workers} worker(s)",
        f"solver: {found.solver}; {found.why}",
        "",
        *_table("memory, each machine at its peak", found.memory, _bytes),
        "",
        *_table("disk", found.disk, _bytes),
        "",
        *_table("time of one pass", found.time, _duration),
        "",
        f"before the first pass {_duration(found.seconds_before)}; with {found.passes} passes "
        f"{_duration(found.seconds)} in all",
        *_whether_it_fits(found),
        "",
        "This assumes:",
    ]
    for assumption in found.assumptions:
        lines += _wrapped(assumption)
    return "\n".join(lines)


def _whether_it_fits(found: RunPlan) -> list[str]:
    has = f"this machine has {_bytes(found.machine_bytes)}"
    if found.fits:
        return [f"fits: {_bytes(found.peak_bytes)} of memory, {has}"]
    largest = sorted(found.memory, key=lambda item: -item.amount)
    alone = [item for item in largest if item.amount > found.machine_bytes] or largest[:2]
    named = " and ".join(f"{item.name} ({_bytes(item.amount)})" for item in alone)
    return [f"DOES NOT FIT: {_bytes(found.peak_bytes)} of memory, {has}", f"  too large: {named}"]


def _within(found: RunPlan, hours: float) -> str:
    needed = found.workers_within(3600 * hours)
    if needed is None:
        spent = found.seconds_before + found.passes * found.serial_seconds
        return f"no number of workers brings it to {hours:g} h: what they do not share takes {_duration(spent)}"
    return f"{needed:,} worker(s) bring it to {hours:g} h"


def _table(title: str, items: Sequence[Item], text: Callable[[float], str]) -> list[str]:
    rows = [(item.name, text(item.amount), item.note) for item in items]
    rows.append(("in all", text(sum(item.amount for item in items)), ""))
    return [title, *(f"  {name:<16}{amount:>10}  {note}".rstrip() for name, amount, note in rows)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="- ", subsequent_indent="  ")


def _bytes(amount: float) -> str:
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= size:
            return f"{amount / size:.1f} {unit}"
    return f"{amount:.0f} B"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"
