"""The command ``trodden``: nothing but calls into the layers below.

Exit codes: 0 done, 2 wrong use or bad input, 130 or 143 interrupted.
"""

from __future__ import annotations

import json
import logging
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .._version import __version__
from ..core.errors import ConfigurationError
from .console import describe_model, guarded, out, progress_bar, say

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn from observed routes what travellers prefer, and serve the best routes under what was learned.",
)

ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="a model folder, as `trodden train` writes it")]
NetworkPath = Annotated[Path, typer.Argument(metavar="NETWORK", help="a stored network, as `trodden build` writes it")]
RoutesOption = Annotated[Path, typer.Option("--routes", help="routes: .csv or .parquet")]


class Join(str, Enum):
    """How chains of edges are joined on reading."""

    attributes = "attributes"
    all = "all"
    none = "none"


class UTurns(str, Enum):
    """Where turning back is possible."""

    dead_ends = "dead_ends"
    everywhere = "everywhere"
    never = "never"


class Ending(str, Enum):
    """How a route ends."""

    arrival = "arrival"
    stop = "stop"


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say which solver is used and why.")] = False,
) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    logging.getLogger("trodden").setLevel(logging.INFO if verbose else logging.WARNING)
    if version:
        say(f"trodden {__version__}")
        raise typer.Exit


@app.command()
@guarded
def build(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="an .osm.pbf, .osm, .osm.gz or .osm.bz2 extract, or a network folder (links.csv, ...)",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="where to write the network")],
    join: Annotated[
        Join, typer.Option(help="join chains of edges where attributes agree, everywhere, or nowhere")
    ] = Join.attributes,
    u_turns: Annotated[UTurns, typer.Option(help="where turning back is possible")] = UTurns.dead_ends,
    service: Annotated[bool, typer.Option("--service", help="keep highway=service ways")] = False,
) -> None:
    """Read roads once and store them for fast loading. The last line is `roads: N nodes, M edges`."""
    from ..graphs.reading import format_report, read_roads
    from ..graphs.store import save_network

    with progress_bar("reading roads", None) as update:
        network = read_roads(
            source,
            join=join.value,
            u_turns=u_turns.value,
            include_service=service,
            progress=lambda text: update(0, text),
        )
    save_network(network, output)
    say(format_report(network))


@app.command()
@guarded
def simulate(
    network: NetworkPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="where to write the routes: .parquet or .csv")],
    num_routes: Annotated[int, typer.Option("--num-routes", "-n", min=1, help="routes to draw")] = 1000,
    seed: Annotated[int, typer.Option(help="same seed, same routes")] = 0,
    taste: Annotated[
        str, typer.Option(help="stated reward as name=value,name=value; default: a plausible driver")
    ] = "",
    destinations: Annotated[int, typer.Option(min=1, help="distinct destinations; each costs a solve")] = 50,
    min_km: Annotated[float, typer.Option(min=0.0, help="least crow distance of a trip")] = 0.0,
    max_km: Annotated[float | None, typer.Option(help="largest crow distance of a trip")] = None,
    ending: Annotated[Ending, typer.Option(help="how routes end")] = Ending.arrival,
) -> None:
    """Draw routes from the exact policy of a stated reward; everything made from them is labelled simulated."""
    from ..graphs.reading import read_roads
    from ..irl.simulation import default_taste, simulate

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
            progress=advance,
        )
    routes.write(output)
    stated = ", ".join(f"{name} {value:g}" for name, value in wanted.items())
    say(
        f"{len(routes)} simulated routes with {len(routes.edge) / max(len(routes), 1):.1f} edges on average, seed {seed}, in {output}"
    )
    say(f"stated reward: {stated}")


@app.command()
@guarded
def train(
    network: NetworkPath,
    routes: RoutesOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="where to write the model")],
    config: Annotated[Path | None, typer.Option(help="configuration as TOML; written back beside the model")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="fail on the first route that cannot be used")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the checkpoint of an interrupted run")] = False,
    ray: Annotated[str, typer.Option(help="train regions on Ray: local, auto, or a cluster's address")] = "",
    regions: Annotated[int, typer.Option(min=1, help="regions with a reward of their own (needs --ray)")] = 1,
    workers: Annotated[int | None, typer.Option(min=1, help="CPUs for --ray; default all")] = None,
) -> None:
    """Learn a reward from routes."""
    from ..core.config import Config, read_config
    from ..graphs.reading import read_roads
    from ..irl.checkpoints import save_model
    from ..irl.demonstrations import read_demonstrations

    settings = read_config(config) if config else Config()
    if not ray and (regions > 1 or workers is not None):
        raise ConfigurationError(where="train", problem="--regions and --workers need --ray (say --ray local)")
    roads = read_roads(network)
    demonstrations = read_demonstrations(routes, roads, strict=strict)
    if ray:
        from ..distributed.coordinator import fit_regions

        with progress_bar(f"training {regions} regions on Ray", regions) as update:
            model = fit_regions(
                roads,
                demonstrations,
                settings,
                num_regions=regions,
                num_workers=workers,
                address=ray,
                progress=lambda done, total: update(done, ""),
            )
    else:
        from .training_run import train_with_checkpoints

        model = train_with_checkpoints(roads, demonstrations, settings, output, resume=resume)
    save_model(model, output)
    describe_model(model)
    say(f"model in {output}")


@app.command()
@guarded
def evaluate(
    model: ModelPath,
    routes: RoutesOption,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures as JSON")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="fail on the first route that cannot be used")] = False,
) -> None:
    """Compare learned, shortest, fastest and fastest + penalties on held-out routes."""
    from ..core.files import write_file
    from ..irl.checkpoints import load_model
    from ..irl.demonstrations import read_demonstrations
    from ..irl.evaluation import evaluate

    learned = load_model(model)
    demonstrations = read_demonstrations(routes, learned.network, strict=strict)
    with progress_bar("evaluating", None):
        result = evaluate(learned, demonstrations)
    if json_file is not None:
        write_file(json_file, (json.dumps(result.to_json(), indent=1) + "\n").encode())
    say(result.table())


@app.command()
@guarded
def route(
    model: ModelPath,
    origin: Annotated[str, typer.Argument(metavar="ORIGIN", help="lat,lon or edge:ID or osm:NODE")],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="lat,lon or edge:ID or osm:NODE")],
    geojson: Annotated[Path | None, typer.Option(help="write the route as GeoJSON")] = None,
    metric: Annotated[str, typer.Option(help="learned, fastest, shortest or fastest_penalised")] = "learned",
) -> None:
    """The best route between two points under what was learned.

    A latitude below zero begins with a minus: write `--` before the points, as in `trodden route MODEL -- -29.9,-71.2 -29.8,-71.2`.
    """
    from ..irl.checkpoints import load_model
    from ..routing.formats import write_geojson
    from ..routing.router import Router

    learned = load_model(model)
    router = Router(learned)
    if metric in learned.baseline_costs:
        from ..irl.model import entry_costs

        cost = learned.baseline_costs[metric]
        router.add_metric(metric, cost, entry_costs(0 * learned.entry_cost, cost, learned.network.turns.to_edge))
    found = router.route(origin, destination, metric=metric)
    time = f", {found.travel_time_s / 60:.1f} min" if found.travel_time_s is not None else ""
    unit = {"learned": "", "shortest": " m"}.get(metric, " s")
    say(
        f"{metric} route from {origin} to {destination}: {len(found.edges)} edges, {found.length_m / 1000:.3f} km{time}, cost {found.cost:.4f}{unit}"
    )
    if metric == "learned":
        say(
            f"log-probability {found.log_probability:.4f}"
            + (" under a reward learned from simulated routes" if learned.is_simulated else "")
        )
    for role, snap in (("origin", found.origin_snap), ("destination", found.destination_snap)):
        if snap is not None:
            say(f"{role} snapped over {snap.distance_m:.0f} m to edge {int(learned.network.graph.edge_id[snap.edge])}")
    say("edges: " + " ".join(map(str, found.edge_ids)))
    if geojson is not None:
        write_geojson(found, geojson)
        say(f"GeoJSON in {geojson}")


@app.command(name="map")
@guarded
def draw(
    model: ModelPath,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="folder for trip.html, trip.png and network.png")
    ] = Path("map"),
    routes: Annotated[
        Path | None, typer.Option("--routes", help="held-out routes; the trip drawn is one of them")
    ] = None,
    route_id: Annotated[
        str | None,
        typer.Option(help="which route; default: one that the learned reward gets right and fastest does not"),
    ] = None,
) -> None:
    """Draw a held-out trip (travelled, learned, fastest) and the network coloured by learned cost per metre."""
    from ..irl.checkpoints import load_model
    from ..irl.demonstrations import read_demonstrations
    from .pictures import draw_model, draw_trip

    learned = load_model(model)
    written = [draw_model(learned, output)]
    if routes is not None:
        written += draw_trip(learned, read_demonstrations(routes, learned.network), output, route_id=route_id)
    for path in written:
        say(str(path))


@app.command()
@guarded
def doctor() -> None:
    """What is installed, what is missing, and how to mend it."""
    from rich.table import Table

    from .doctor import check_installation

    checks = check_installation()
    table = Table(box=None, pad_edge=False)
    for title in ("", "what", "found", "needed for", "how to mend"):
        table.add_column(title)
    for check in checks:
        table.add_row(
            "ok" if check.ok else "--",
            check.name,
            check.found or "missing",
            check.needed_for,
            "" if check.ok else check.mend,
        )
    out.print(table)
    missing = sum(not check.ok for check in checks)
    say("everything is there" if not missing else f"{missing} of {len(checks)} checks want attention")


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
