"""The commands ``trodden partition`` and ``trodden experts``: regions before and after they are learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import guarded, progress_bar, say, text_table

if TYPE_CHECKING:
    from ..distributed.partition_report import PartitionReport
    from ..irl.expert_matrix import ExpertMatrix


@guarded
def partition(
    network: Annotated[Path, typer.Argument(metavar="NETWORK", help="stored network")],
    regions: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="regions; default: as the settings say")
    ] = None,
    routes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="routes, .csv or .parquet: balanced too, and crossing ones counted"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="TOML", help="settings; how to cut is their part regions")
    ] = None,
    picture: Annotated[Path | None, typer.Option(metavar="PNG", help="draw the map, a colour per region")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write the figures as JSON")] = None,
) -> None:
    """Cut a map into regions and say what that does.

    Balance, turns cut, routes that cross. `trodden train --regions` cuts the same way.
    """
    from ..core.config import Config, parse_config, read_config
    from ..core.files import write_file
    from ..distributed.coordinator import make_partition
    from ..distributed.partition_report import report_partition
    from ..graphs.reading import read_roads
    from ..irl.demonstrations import read_demonstrations

    settings = read_config(config) if config else Config()
    if regions is not None:
        document = settings.model_dump(mode="json")
        settings = parse_config({**document, "regions": {**document["regions"], "count": regions}}, where="--regions")
    roads = read_roads(network)
    demonstrations = read_demonstrations(routes, roads) if routes else None
    with progress_bar("cutting the map", None):
        cut = make_partition(roads, demonstrations, settings)
        report = report_partition(roads, cut, demonstrations)
    if json_file is not None:
        write_file(json_file, (json.dumps(report.to_json(), indent=1) + "\n").encode())
    say(_partition_table(report))
    if picture is not None:
        from ..irl.plots import draw_regions_png

        draw_regions_png(roads, cut.region, picture, title=f"{cut.num_regions} regions")
        say(f"picture in {picture}")


def _partition_table(report: PartitionReport) -> str:
    titles, rows = ["region", "edges", "turns out"], []
    if report.num_routes:
        titles += ["routes", "leave it", "steps"]
    for one in report.regions:
        row = [str(one.region), f"{one.num_edges:,}", f"{one.num_border_turns:,}"]
        if report.num_routes:
            row += [f"{one.num_routes:,}", f"{one.num_crossing:,}", f"{one.num_steps:,}"]
        rows.append(row)
    lines = [
        text_table(titles, rows),
        f"{report.num_border_turns:,} of {report.num_turns:,} turns lead from one region into another",
        f"the largest region has {report.edge_imbalance:.2f} times the mean of edges",
    ]
    if report.num_routes:
        share = report.num_crossing / report.num_routes
        word = "simulated routes" if report.is_simulated else "routes"
        lines.append(f"{report.num_crossing:,} of {report.num_routes:,} {word} cross a border ({share:.1%})")
        lines.append(f"the busiest region has {report.route_imbalance:.2f} times the mean of routes")
    return "\n".join(lines)


@guarded
def experts(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model folder of a training with --regions")],
    routes: Annotated[Path, typer.Option("--routes", metavar="FILE", help="held-out routes, .csv or .parquet")],
    picture: Annotated[Path | None, typer.Option(metavar="PNG", help="draw it as a heat map")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write the figures as JSON")] = None,
) -> None:
    """Score every region's reward on every region's routes.

    Negative log-likelihood per route: a row's routes under a column's reward.
    """
    from ..core.files import write_file
    from ..irl.checkpoints import load_model
    from ..irl.demonstrations import read_demonstrations
    from ..irl.expert_matrix import expert_matrix

    learned = load_model(model)
    demonstrations = read_demonstrations(routes, learned.network)
    with progress_bar("scoring", len(learned.regions) * (len(learned.regions) + 2)) as update:
        found = expert_matrix(learned, demonstrations, progress=lambda done, total: update(done, ""))
    if json_file is not None:
        write_file(json_file, (json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n").encode())
    say(_matrix_table(found))
    if picture is not None:
        from ..irl.plots import draw_matrix_png

        draw_matrix_png(
            found.excess,
            [f"region {region}" for region in found.regions],
            found.rewards,
            picture,
            title="Loss per route beyond that of the region's own reward",
            x_label="reward",
            y_label="routes of",
            is_simulated=found.is_simulated,
        )
        say(f"picture in {picture}")


def _matrix_table(found: ExpertMatrix) -> str:
    titles = ["routes of", "routes", *(name.removeprefix("region ") for name in found.rewards)]
    rows = [
        [f"region {region}", f"{count:,}", *("-" if value != value else f"{value:.4f}" for value in row)]
        for region, count, row in zip(found.regions, found.num_routes, found.loss.tolist(), strict=True)
    ]
    word = "simulated " if found.is_simulated else ""
    return f"negative log-likelihood per {word}route, by the reward of region\n{text_table(titles, rows)}"
