"""What the commands share: printing, progress bars, errors to exit codes."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from ..core.errors import InterruptedRunError, StoredFolderError, TroddenError
from ..core.folders import folder_kind
from ..irl.model import Coefficient, LearnedModel

if TYPE_CHECKING:
    from ..irl.evaluation import Evaluation, Scores
    from ..irl.measures import PairedComparison

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Terminated(BaseException):
    """SIGTERM, as an exception that unwinds like Ctrl-C does."""


def guarded(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """A command whose typed errors become one message and exit code 2, and whose interruption ends with 130 or 143."""

    @functools.wraps(command)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        before = signal.signal(signal.SIGTERM, _raise_terminated)
        try:
            return command(*args, **kwargs)
        except InterruptedRunError as stop:
            fail(str(stop), stop.exit_code)
        except TroddenError as error:
            fail("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]), BAD_INPUT)
        except OSError as error:
            fail(f"error: {error}", BAD_INPUT)
        except KeyboardInterrupt:
            fail("interrupted", INTERRUPTED)
        except Terminated:
            fail("terminated", TERMINATED)
        finally:
            signal.signal(signal.SIGTERM, before)

    return wrapper


def fail(message: str, code: int) -> NoReturn:
    """Print to standard error and leave with an exit code."""
    err.print(message, markup=False, style="bold red" if code == BAD_INPUT else "yellow")
    raise typer.Exit(code)


def warn(message: str) -> None:
    """Print to standard error and go on."""
    err.print(message, markup=False, style="yellow")


def require_free(path: Path, kind: str) -> None:
    """`StoredFolderError` where ``path`` holds something else than a folder of that kind, before any work is done."""
    is_there = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    if is_there and folder_kind(path) != kind:
        raise StoredFolderError(
            path=path,
            problem=f"is there and is no {kind}, so it will not be replaced",
            remedy="Choose another --output",
        )


def say(text: str = "") -> None:
    """Print plain text."""
    out.print(text, markup=False)


@contextmanager
def progress_bar(what: str, total: float | None) -> Iterator[Callable[[float, str], None]]:
    """A progress bar on standard error; yields ``update(completed, note)``. Silent where that is no terminal.

    Without a total there is nothing to measure against: a spinner, the time and the note remain.
    """
    columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}")]
    if total is not None:
        columns += [BarColumn(bar_width=16), MofNCompleteColumn()]
    columns += [TimeElapsedColumn(), TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True))]
    with Progress(*columns, console=err, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total, note="")

        def update(completed: float, note: str = "") -> None:
            bar.update(task, completed=completed, note=note)

        yield update


def coefficient_table(
    coefficients: tuple[Coefficient, ...], *, stated: dict[str, float] | None = None, notes: bool = True
) -> str:
    """Coefficients with standard errors, beside the stated values of a simulation; notes stand below, numbered."""
    titles = ["feature", "coefficient", "std. error", "t"] + (["stated", "off by s.e."] if stated is not None else [])
    found = list(dict.fromkeys(c.note for c in coefficients if c.note)) if notes else []
    rows = []
    for c in coefficients:
        row = [c.name, f"{c.value:.4f}", _number(c.standard_error, "{:.4f}"), _number(c.t_ratio, "{:.1f}")]
        if stated is not None:
            truth = stated.get(c.name)
            gap = (c.value - truth) / c.standard_error if truth is not None and c.standard_error else None
            row += [_number(truth, "{:g}"), _number(gap, "{:+.2f}")]
        rows.append([*row, f"({found.index(c.note) + 1})" if c.note in found else ""])
    return "\n".join([text_table([*titles, ""], rows), *(f"({i}) {note}" for i, note in enumerate(found, 1))])


def text_table(titles: list[str], rows: list[list[str]], indent: str = "") -> str:
    """Columns as wide as they must be, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = []
    for row in [titles, *rows]:
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def describe_model(model: LearnedModel, *, stated: dict[str, float] | None = None) -> None:
    """Print what was learned."""
    word = "simulated routes" if model.is_simulated else "routes"
    summary = model.summary
    say(f"learned from {summary['num_routes']} {word}" + _skipped(summary["skipped"]))
    if model.coefficients:
        say(coefficient_table(model.coefficients, stated=stated))
    for region in model.regions if not model.coefficients else ():
        say(f"\nregion {region.region}: {region.num_edges} edges, {region.num_routes} {word} inside")
        if region.note:
            say(region.note)
        say(coefficient_table(region.coefficients, stated=stated, notes=not region.note))
    if len(model.regions) > 1:
        say(f"\n{summary['num_crossing']} of {summary['num_routes']} {word} cross a border and taught no region")
        if summary["raised_turns"]:
            say(f"{summary['raised_turns']} turns of the merged model were raised to the minimum cost")
    if "solver" in summary:
        _describe_optimum(summary)


def _describe_optimum(summary: dict[str, Any]) -> None:
    if summary["log_likelihood"] is None:
        residual = "decrease still predicted"
        say(f"margin loss {summary['margin_loss_per_route']:.4f} per route (horizon 0 has no likelihood)")
    else:
        residual = "KKT residual"
        say(f"log-likelihood {summary['log_likelihood']:.3f}, {summary['log_likelihood_per_route']:.4f} per route")
    say(
        f"{summary['iterations']} iterations, {summary['evaluations']} evaluations by {summary['solver']}, "
        f"{residual} {summary['kkt_residual']:.1e}, {summary['seconds']:.1f} s"
    )
    if not summary["is_converged"]:
        warn("warning: training stopped before it converged; raise [training] max_iterations")
    if summary["bound_turns"]:
        say(f"{summary['bound_turns']} turns sit at the minimum cost: positivity binds there")


def describe_evaluation(result: Evaluation) -> None:
    """Print an evaluation, not wider than 80 columns."""
    word = "simulated routes" if result.is_simulated else "routes"
    say(f"{result.num_routes} {word}" + _skipped(result.skipped))
    _print_scores(result.models, result.comparisons)
    say(f"\n{result.num_unseen} of them between pairs not seen in training")
    if result.num_unseen:
        _print_scores(result.unseen, result.unseen_comparisons)
    weight = "length" if result.length_unit == "m" else "travel time (this network has no lengths)"
    say("\nexact: the same edges. IoU: shared edges over all, weighted by " + weight + ".")
    say("gap: exact of learned minus this one; p: McNemar. []: 95 % bootstrap intervals.")


def _print_scores(models: dict[str, Scores], comparisons: dict[str, PairedComparison]) -> None:
    rows = []
    for name, one in models.items():
        gap = comparisons.get(name)
        versus = ["", ""] if gap is None else [_with_interval(gap.difference, gap.interval, "+"), f"{gap.p_value:.2g}"]
        rows.append([name, _with_interval(one.exact, one.exact_interval), f"{one.iou:.3f}", *versus])
    say(text_table(["model", "exact", "IoU", "gap", "p"], rows))
    learned = models["learned"]
    if learned.nll_per_route is not None:
        say(
            f"learned, negative log-likelihood: {learned.nll_per_route:.4f} per route, {learned.nll_per_turn:.4f} per turn"
        )


def _with_interval(value: float, interval: tuple[float, float], sign: str = "") -> str:
    return f"{value:{sign}.3f} [{interval[0]:{sign}.2f},{interval[1]:{sign}.2f}]"


def _number(value: float | None, form: str) -> str:
    if value is None:
        return "-"
    return form.format(value) if abs(value) < 1e4 else f"{value:.1e}"


def _skipped(skipped: dict[str, int]) -> str:
    return (
        f"; {sum(skipped.values())} skipped: " + ", ".join(f"{n} {reason}" for reason, n in skipped.items())
        if skipped
        else ""
    )


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated
