"""The command ``trodden``: nothing but calls into the layers below.

Exit codes: 0 done, 2 wrong use or bad input, 130 or 143 interrupted.
"""

from __future__ import annotations

import json
import logging
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .._version import __version__
from ..core.errors import ConfigurationError, InputFileError
from .console import (
    BAD_INPUT,
    describe_model,
    guarded,
    progress_bar,
    require_free,
    say,
)
from .contradictions import contradictions
from .explain import explain
from .export import export
from .influence import influence
from .match import match, traces
from .plan import plan
from .reachable import reachable
from .rebase import rebase
from .regions import experts, partition
from .report import report
from .route import route
from .select import select
from .serve import serve
from .surface import surface

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Learn from observed routes what travellers prefer, and serve the best routes under what was learned.",
    epilog="The usual order: build, train, evaluate, route. Without routes of your own, begin with simulate.",
)

ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="model folder, as `trodden train` writes it")]
NetworkPath = Annotated[Path, typer.Argument(metavar="NETWORK", help="stored network, as `trodden build` writes it")]
RoutesOption = Annotated[Path, typer.Option("--routes", metavar="FILE", help="routes, .csv or .parquet")]
StrictOption = Annotated[bool, typer.Option("--strict", help="fail on the first route that cannot be used")]

_NEGATIVE_POINT = re.compile(r"-\.?\d")


class PointCommand(TyperCommand):
    """A command whose arguments may be points: one that begins with a minus is no option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse with a blank before such points; the argument's own parser takes it off again."""
        return super().parse_args(ctx, [f" {arg}" if _NEGATIVE_POINT.match(arg) else arg for arg in args])


class Join(StrEnum):
    """How chains of edges are joined on reading."""

    attributes = "attributes"
    all = "all"
    none = "none"


class Mode(StrEnum):
    """How one travels."""

    drive = "drive"
    two_wheeler = "two_wheeler"
    bike = "bike"
    walk = "walk"


class UTurns(StrEnum):
    """Where turning back is possible."""

    dead_ends = "dead_ends"
    everywhere = "everywhere"
    never = "never"


class DriveOn(StrEnum):
    """The side of the road that is driven on."""

    auto = "auto"
    left = "left"
    right = "right"


class SplitBy(StrEnum):
    """What is drawn when routes are held out."""

    route = "route"
    pair = "pair"


class Ending(StrEnum):
    """How a route ends."""

    arrival = "arrival"
    stop = "stop"


class DrawBy(StrEnum):
    """What routes are drawn by."""

    auto = "auto"
    factorization = "factorization"
    corridors = "corridors"


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="print the version and leave")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="say which solver is used and why")] = False,
) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    logging.getLogger("trodden").setLevel(logging.INFO if verbose else logging.WARNING)
    if version:
        say(f"trodden {__version__}")
        raise typer.Exit


@app.command()
@guarded
def build(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="NETWORK", help="where to write the network")],
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="SOURCE",
            help="extract (.osm.pbf, .osm, .osm.gz, .osm.bz2), .graphml, or network folder (links.csv, ...)",
        ),
    ] = None,
    place: Annotated[str, typer.Option(metavar="NAME", help="download the roads of a place instead")] = "",
    bbox: Annotated[str, typer.Option(metavar="W,S,E,N", help="download the roads of a box in degrees instead")] = "",
    keep: Annotated[Path | None, typer.Option(metavar="FILE", help="keep what was downloaded, as .osm")] = None,
    join: Annotated[
        Join, typer.Option(metavar="RULE", help="join chains of edges by attributes (where they agree), all, or none")
    ] = Join.attributes,
    mode: Annotated[
        Mode | None, typer.Option(metavar="MODE", help="drive (the default), two_wheeler, bike or walk")
    ] = None,
    u_turns: Annotated[
        UTurns | None,
        typer.Option(metavar="RULE", help="turning back at dead_ends, everywhere (default of walk), or never"),
    ] = None,
    service: Annotated[bool, typer.Option("--service", help="keep highway=service ways")] = False,
    columns: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="further columns by osm_way_id or edge_id, .csv or .parquet"),
    ] = None,
    elevation: Annotated[
        Path | None, typer.Option(metavar="PATH", help="SRTM tiles (.hgt) for climb and descent; default: ele tags")
    ] = None,
    drive_on: Annotated[
        DriveOn, typer.Option(metavar="SIDE", help="left, right, or auto: by tags and roundabouts")
    ] = DriveOn.auto,
    tile: Annotated[
        int, typer.Option(min=1, metavar="K", help="K x K mirrored copies, joined: a large network to test with")
    ] = 1,
) -> None:
    """Read roads and store them for fast loading.

    What was skipped, split and imputed is counted; the last line is `roads: N nodes, M edges`.
    """
    from ..graphs.reading import format_report
    from ..graphs.store import save_network
    from .sources import chosen_source

    read = chosen_source(source, place, bbox, keep)
    require_free(output, "network")
    with progress_bar("reading roads", None) as update:
        network = read(
            join=join.value,
            mode=None if mode is None else mode.value,
            u_turns=None if u_turns is None else u_turns.value,
            include_service=service,
            drive_on=drive_on.value,
            elevation=elevation,
            columns=columns,
            progress=lambda text: update(0, text),
        )
        if tile > 1:
            from ..graphs.tiling import tile_network

            update(0, f"tiling {tile} x {tile}")
            network = tile_network(network, tile)
    save_network(network, output)
    say(format_report(network))


@app.command()
@guarded
def simulate(
    network: NetworkPath,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="where to write them: .parquet or .csv")
    ],
    num_routes: Annotated[int, typer.Option("--num-routes", "-n", min=1, metavar="N", help="routes to draw")] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", help="same seed, same routes")] = 0,
    taste: Annotated[
        str, typer.Option(metavar="NAME=VALUE,...", help="the stated reward; default: a plausible driver")
    ] = "",
    destinations: Annotated[
        int, typer.Option(min=1, metavar="N", help="distinct destinations; each costs a solve")
    ] = 50,
    min_km: Annotated[float, typer.Option(min=0.0, metavar="KM", help="least crow distance of a trip")] = 0.0,
    max_km: Annotated[float | None, typer.Option(metavar="KM", help="largest crow distance of a trip")] = None,
    ending: Annotated[
        Ending, typer.Option(metavar="RULE", help="a route ends on arrival, or by a choice to stop")
    ] = Ending.arrival,
    solver: Annotated[
        DrawBy, typer.Option(metavar="NAME", help="values of the whole map, or a corridor per route; auto: by size")
    ] = DrawBy.auto,
) -> None:
    """Draw routes from a stated reward.

    They come from its exact policy, in corridors but for detours of over 25 nats. Everything made from them is
    labelled simulated.
    """
    from ..graphs.reading import read_roads
    from ..irl.simulation import default_taste, simulate

    if output.suffix not in {".parquet", ".csv"}:
        raise InputFileError(
            path=output, problem="routes are written as .parquet or .csv", remedy="Choose one of these suffixes"
        )
    roads = read_roads(network)
    wanted = _parse_taste(taste) if taste else default_taste(roads)
    with progress_bar("simulating", num_routes) as update:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            update(done, "")

        routes = simulate(
            roads,
            num_routes,
            taste=wanted,
            seed=seed,
            num_destinations=destinations,
            min_km=min_km,
            max_km=max_km,
            ending=ending.value,
            solver=solver.value,
            progress=advance,
        )
    routes.write(output)
    stated = ", ".join(f"{name} {value:g}" for name, value in wanted.items())
    say(
        f"{len(routes)} simulated routes in {output}, seed {seed}, "
        f"{len(routes.edge) / max(len(routes), 1):.1f} edges on average"
    )
    say(f"stated reward: {stated}")


@app.command()
@guarded
def split(
    network: NetworkPath,
    routes: RoutesOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for train.parquet and held_out.parquet")],
    by: Annotated[
        SplitBy, typer.Option(help="hold out single routes, or whole origin-destination pairs")
    ] = SplitBy.route,
    fraction: Annotated[float, typer.Option(min=0.01, max=0.99, help="share to hold out")] = 0.2,
    seed: Annotated[int, typer.Option(help="same seed, same split")] = 0,
    group: Annotated[
        str, typer.Option(metavar="COLUMN", help="that holds groups of travellers; kept as 'group'")
    ] = "group",
) -> None:
    """Split routes into those to learn from and those to evaluate on."""
    from ..graphs.reading import read_roads
    from ..irl.demonstrations import read_demonstrations

    demonstrations = read_demonstrations(routes, read_roads(network), group=group)
    cut = demonstrations.split_by_route if by is SplitBy.route else demonstrations.split_by_pair
    parts = dict(zip(("train", "held_out"), cut(fraction, seed), strict=True))
    if demonstrations.skipped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in demonstrations.skipped_by_reason.items())
        say(f"{len(demonstrations.skipped)} routes left out: {reasons}")
    for name, part in parts.items():
        part.write(output / f"{name}.parquet")
        say(f"{len(part)} {'simulated ' if part.is_simulated else ''}routes in {output / name}.parquet")


@app.command()
@guarded
def train(
    network: NetworkPath,
    routes: RoutesOption,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="MODEL", help="where to write the model")],
    config: Annotated[
        Path | None, typer.Option(metavar="TOML", help="settings; written in full beside the model")
    ] = None,
    strict: StrictOption = False,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the checkpoint of an interrupted run")] = False,
    ray: Annotated[str, typer.Option(metavar="ADDRESS", help="train on Ray: local, auto, or a cluster's address")] = "",
    regions: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="regions with a reward of their own; default: as the settings say"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Ray workers, a CPU each (with --ray); default all")
    ] = None,
) -> None:
    """Learn a reward from routes.

    Interrupted (Ctrl-C, SIGTERM), it leaves MODEL.checkpoint (MODEL.run, with regions), from which --resume goes on.
    """
    from ..core.config import Config, parse_config, read_config
    from ..graphs.reading import read_roads
    from ..irl.demonstrations import read_demonstrations
    from ..irl.route_files import GROUP

    settings = read_config(config) if config else Config()
    if regions is not None:
        document = settings.model_dump(mode="json")
        settings = parse_config({**document, "regions": {**document["regions"], "count": regions}}, where="--regions")
    if not ray and workers is not None:
        raise ConfigurationError(where="train", problem="--workers needs --ray (say --ray local)")
    require_free(output, "model")
    is_regional = bool(ray) or settings.regions.count > 1
    roads = read_roads(network, is_mapped=is_regional)  # who cuts a map looks at one region at a time
    if is_regional:
        from .regional_run import train_regions_into

        model = train_regions_into(
            output, roads, routes, settings, num_workers=workers, address=ray, resume=resume, strict=strict
        )
    else:
        from .training_run import train_into

        demonstrations = read_demonstrations(routes, roads, strict=strict, group=settings.context.group or GROUP)
        model = train_into(output, roads, demonstrations, settings, resume=resume)
    describe_model(model)
    say(f"model in {output}")


app.command()(plan)
app.command()(partition)
app.command()(experts)
app.command()(select)
app.command()(contradictions)
app.command()(surface)
app.command()(rebase)
app.command()(match)
app.command()(traces)


@app.command()
@guarded
def evaluate(
    model: ModelPath,
    routes: RoutesOption,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write the figures as JSON")] = None,
    strict: StrictOption = False,
) -> None:
    """Score a model on held-out routes.

    Learned, shortest, fastest, and fastest with penalties on turns, on the same trips.
    """
    from ..core.files import write_file
    from ..irl.checkpoints import load_model
    from ..irl.demonstrations import read_demonstrations
    from ..irl.evaluation import evaluate
    from ..irl.route_files import GROUP

    learned = load_model(model)
    group = learned.config.context.group or GROUP
    demonstrations = read_demonstrations(routes, learned.network, strict=strict, group=group)
    with progress_bar("evaluating", None):
        result = evaluate(learned, demonstrations)
    if json_file is not None:
        write_file(json_file, (json.dumps(result.to_json(), indent=1) + "\n").encode())
    say(result.table())


@app.command(name="summary")
@guarded
def summarise(
    model: ModelPath,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write the figures as JSON")] = None,
    latex: Annotated[Path | None, typer.Option(metavar="FILE", help="write the table as LaTeX")] = None,
) -> None:
    """Print what a model learned, with its statistics.

    Standard errors (classical, and robust or clustered by traveller), t, p, 95 % intervals, log-likelihood, AIC, BIC.
    """
    from ..core.files import write_file
    from ..irl.checkpoints import load_model
    from ..irl.statistics import model_statistics

    learned = load_model(model)
    found = model_statistics(learned)
    if json_file is not None:
        write_file(json_file, (json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n").encode())
    if latex is not None:
        write_file(latex, found.to_latex().encode())
    describe_model(learned)


app.command(cls=PointCommand)(route)
app.command(cls=PointCommand)(reachable)
app.command(cls=PointCommand)(explain)
app.command()(influence)


@app.command(name="map")
@guarded
def draw(
    model: ModelPath,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="for network.png, trip.png and trip.html")
    ] = Path("map"),
    routes: Annotated[
        Path | None, typer.Option("--routes", metavar="FILE", help="held-out routes, one of which is drawn")
    ] = None,
    route_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="which one; default: one that learned gets right and fastest does not"),
    ] = None,
) -> None:
    """Draw a held-out trip, and what the network costs.

    The trip as travelled, learned and fastest; every edge coloured by its learned cost per metre.
    """
    from ..irl.checkpoints import load_model
    from ..irl.demonstrations import read_demonstrations
    from .pictures import draw_model, draw_trip

    if route_id is not None and routes is None:
        raise ConfigurationError(where="map", problem="--route-id needs --routes, the file that the route stands in")
    learned = load_model(model)
    written = [draw_model(learned, output)]
    if routes is not None:
        written += draw_trip(learned, read_demonstrations(routes, learned.network), output, route_id=route_id)
    for path in written:
        say(str(path))


app.command()(report)
app.command()(export)
app.command()(serve)


@app.command()
@guarded
def doctor() -> None:
    """Say what is installed, what is missing, and how to mend it."""
    from .doctor import check_installation

    checks = check_installation()
    width = max(len(check.name) for check in checks)
    for check in checks:
        found = check.found or ("-" if check.ok else "missing")
        say(f"{'ok' if check.ok else '--'}  {check.name:<{width}}  {found}")
    bad = [check for check in checks if not check.ok]
    for check in bad:
        whether = "" if check.is_required else " (not required)"
        say(f"\n{check.name}{whether}, for\n  {check.needed_for}\n  {check.remedy}")
    say()
    # An extra that nobody installed is a choice, and no fault.
    wanting = [check for check in bad if check.is_required or not check.name.startswith("extra ")]
    there = "everything is there" if not bad else "everything but extras is there"
    say(f"{len(wanting)} of {len(checks)} checks want attention" if wanting else there)
    if any(check.is_required for check in bad):
        raise typer.Exit(BAD_INPUT)


def _parse_taste(text: str) -> dict[str, float]:
    taste: dict[str, float] = {}
    for part in text.split(","):
        name, separator, value = part.partition("=")
        try:
            if not separator:
                raise ValueError
            taste[name.strip()] = float(value)
        except ValueError:
            raise ConfigurationError(where="--taste", problem=f"{part!r} is not name=value") from None
    return taste


def run() -> None:
    """Entry point of the console script."""
    app(prog_name="trodden")
