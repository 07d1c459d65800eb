"""The command ``trodden report``: a page on what a model learned, for people."""

from __future__ import annotations

import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import InputFileError
from .console import guarded, progress_bar, say

if TYPE_CHECKING:
    from ..irl.report.ablation import AblationRow

_WIDTH = 80


@guarded
def report(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model folder, as `trodden train` writes it")],
    routes: Annotated[Path, typer.Option("--routes", metavar="FILE", help="held-out routes, .csv or .parquet")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="HTML", help="where to write the page")] = Path(
        "report.html"
    ),
    train: Annotated[
        Path | None, typer.Option(metavar="FILE", help="the routes it was learned from, to count what they used")
    ] = None,
    ablation: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="rewards and horizons compared, as benchmarks/ablation.py prints"),
    ] = None,
    contradictions: Annotated[
        Path | None, typer.Option(metavar="JSON", help="candidate map errors, a list of objects")
    ] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="the page's heading")] = "",
) -> None:
    """Write a page that explains a model: figures, charts, maps, trips.

    One HTML file without scripts, complete without a network connection.
    """
    from ..irl.checkpoints import load_model
    from ..irl.demonstrations import read_demonstrations
    from ..irl.evaluation import evaluate
    from ..irl.report.route_sections import headline
    from ..irl.report.wording import SPACE
    from ..irl.report.writing import is_training_set, write_report
    from ..irl.route_files import GROUP

    rows = _read_ablation(ablation) if ablation is not None else ()
    errors = _read_contradictions(contradictions) if contradictions is not None else None
    learned = load_model(model)
    held_out = read_demonstrations(routes, learned.network, group=learned.config.context.group or GROUP)
    training = read_demonstrations(train, learned.network) if train is not None else None
    with progress_bar("evaluating", None) as update:
        result = evaluate(learned, held_out)
        update(0, "drawing")
        written = write_report(
            learned,
            held_out,
            output,
            train=training,
            ablation=rows,
            contradictions=errors,
            title=title,
            command=shlex.join(["trodden", *sys.argv[1:]]) if sys.argv[1:2] == ["report"] else "",
            result=result,
        )
    sentence = headline(result, is_training=is_training_set(learned, held_out))
    say("\n".join(textwrap.wrap(sentence, _WIDTH)).replace(SPACE, " "))
    say(f"page of {written.stat().st_size / 1e6:.1f} MB in {written}")


def _read_ablation(path: Path) -> tuple[AblationRow, ...]:
    from ..irl.report.ablation import parse_ablation, read_json

    return parse_ablation(read_json(path, "what benchmarks/ablation.py prints"), where=str(path))


def _read_contradictions(path: Path) -> list[dict[str, Any]]:
    from ..irl.report.ablation import read_json

    rows = read_json(path, "the candidate map errors")
    rows = rows.get("rows") if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputFileError(
            path=path,
            problem="is no list of objects",
            remedy="Give candidate map errors as a JSON list, an object each",
        )
    return rows
