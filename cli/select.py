"""The command ``trodden select``: which configuration predicts held-out routes best."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import guarded, progress_bar, say, text_table, warn

if TYPE_CHECKING:
    from ..irl.selection import CandidateScore, Selection

_NAME_WIDTH = 78


class SelectBy(StrEnum):
    """What held-out routes are asked."""

    exact = "exact"
    iou = "iou"
    nll = "nll"


class FoldsOf(StrEnum):
    """What folds are drawn of."""

    route = "route"
    pair = "pair"


@guarded
def select(
    network: Annotated[Path, typer.Argument(metavar="NETWORK", help="stored network")],
    routes: Annotated[Path, typer.Option("--routes", metavar="FILE", help="training routes, .csv or .parquet")],
    candidates: Annotated[
        Path, typer.Option(metavar="TOML", help="settings to try: a [grid] of lists, or [[candidate]] tables")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="results, and best.toml; what is there is kept")
    ],
    config: Annotated[Path | None, typer.Option(metavar="TOML", help="settings that candidates change")] = None,
    by: Annotated[SelectBy, typer.Option(metavar="MEASURE", help="exact, iou or nll")] = SelectBy.exact,
    folds: Annotated[int, typer.Option(min=2, metavar="N", help="parts that take turns at being held out")] = 5,
    hold_out: Annotated[
        FoldsOf, typer.Option(metavar="WHAT", help="single routes, or whole origin-destination pairs: route or pair")
    ] = FoldsOf.route,
    seed: Annotated[int, typer.Option(metavar="N", help="same seed, same folds")] = 0,
) -> None:
    """Choose settings by cross-validation on training routes.

    Interrupted, the same command goes on where it stood. Then: trodden train --config FOLDER/best.toml
    """
    from ..core.config import Config, read_config
    from ..core.files import write_file
    from ..graphs.reading import read_roads
    from ..irl.demonstrations import read_demonstrations
    from ..irl.route_files import GROUP
    from ..irl.selection import read_candidates, select

    base = read_config(config) if config else Config()
    wanted = read_candidates(candidates, base)
    roads = read_roads(network)
    demonstrations = read_demonstrations(routes, roads, group=base.context.group or GROUP)
    with progress_bar("cross-validating", len(wanted) * folds) as update:
        found = select(
            roads,
            demonstrations,
            wanted,
            output,
            by=by.value,
            num_folds=folds,
            hold_out=hold_out.value,
            seed=seed,
            progress=update,
        )
    best = found.best.candidate.config.model_copy(update={"baselines": base.baselines})
    write_file(output / "best.toml", best.to_toml().encode())
    write_file(output / "selection.json", (json.dumps(found.to_json(), indent=1) + "\n").encode())
    say(_table(found))
    for one in found.scores:
        if one.problem:
            warn(f"{one.candidate.name}: {one.problem}")
    say(f"best settings in {output / 'best.toml'}")


def _table(found: Selection) -> str:
    word = "simulated routes" if found.is_simulated else "routes"
    titles = ["rank", "exact", "IoU", "NLL", "exact minus the best's", "seconds"]
    rows = [_row(rank, one) for rank, one in enumerate(found.scores, 1)]
    names = [f"{rank}: {one.candidate.name}" for rank, one in enumerate(found.scores, 1)]
    lines = [f"{found.num_routes} {word} in {found.num_folds} folds, by {found.by}", text_table(titles, rows), ""]
    return "\n".join([*lines, *(line[:_NAME_WIDTH] for line in names)])


def _row(rank: int, one: CandidateScore) -> list[str]:
    if one.problem:
        return [str(rank), "failed", "-", "-", "-", "-"]
    gap = one.against_best
    shown = f"{gap.difference:+.4f} [{gap.interval[0]:+.3f},{gap.interval[1]:+.3f}]" if gap else "-"
    nll = "-" if one.nll is None else f"{one.nll:.4f}"
    return [str(rank), f"{one.exact:.4f}", f"{one.iou:.4f}", nll, shown, f"{one.seconds:.1f}"]
