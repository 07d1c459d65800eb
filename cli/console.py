"""What the commands share: printing, progress bars, errors to exit codes."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..core.errors import InterruptedRunError, TroddenError
from ..irl.model import Coefficient, LearnedModel

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
        signal.signal(signal.SIGTERM, _raise_terminated)
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

    return wrapper


def fail(message: str, code: int) -> NoReturn:
    """Print to standard error and leave with an exit code."""
    err.print(message, markup=False, style="bold red" if code == BAD_INPUT else "yellow")
    raise typer.Exit(code)


def say(text: str = "") -> None:
    """Print plain text."""
    out.print(text, markup=False)


@contextmanager
def progress_bar(what: str, total: float | None) -> Iterator[Callable[[float, str], None]]:
    """A progress bar on standard error; yields ``update(completed, note)``. Silent where that is no terminal."""
    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    with Progress(*columns, console=err, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total, note="")
        yield lambda completed, note="": bar.update(task, completed=completed, note=note)


def coefficient_table(
    coefficients: tuple[Coefficient, ...], *, stated: dict[str, float] | None = None, title: str = ""
) -> Table:
    """Coefficients with standard errors, beside the stated values of a simulation where there are any."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for name in ("feature", "coefficient", "std. error", "t"):
        table.add_column(name, justify="left" if name == "feature" else "right")
    if stated is not None:
        table.add_column("stated", justify="right")
        table.add_column("off by (s.e.)", justify="right")
    has_notes = any(c.note for c in coefficients)
    if has_notes:
        table.add_column("note")
    for c in coefficients:
        row: list[Any] = [c.name, f"{c.value:.4f}", _number(c.standard_error, "{:.4f}"), _number(c.t_ratio, "{:.1f}")]
        if stated is not None:
            truth = stated.get(c.name)
            gap = (c.value - truth) / c.standard_error if truth is not None and c.standard_error else None
            row += [_number(truth, "{:g}"), _number(gap, "{:+.2f}")]
        table.add_row(*row, *([c.note] if has_notes else []))
    return table


def describe_model(model: LearnedModel, *, stated: dict[str, float] | None = None) -> None:
    """Print what was learned."""
    word = "simulated routes" if model.is_simulated else "routes"
    summary = model.summary
    say(f"learned from {summary['num_routes']} {word}" + _skipped(summary["skipped"]))
    if model.coefficients:
        out.print(coefficient_table(model.coefficients, stated=stated))
    else:
        for region in model.regions:
            say(
                f"region {region.region}: {region.num_edges} edges, {region.num_routes} {word}"
                + (f" ({region.note})" if region.note else "")
            )
            out.print(coefficient_table(region.coefficients, stated=stated))
    if "num_crossing" in summary:
        say(
            f"{summary['num_crossing']} trips cross a border and taught no region; {summary['raised_turns']} turns were raised to the minimum cost"
        )
    if "solver" in summary:
        say(
            f"log-likelihood {summary['log_likelihood']:.3f} ({summary['log_likelihood_per_route']:.4f} per route), "
            f"{summary['iterations']} iterations, {summary['evaluations']} evaluations by {summary['solver']}, "
            f"KKT residual {summary['kkt_residual']:.1e}, {summary['seconds']:.1f} s"
        )
        if not summary["is_converged"]:
            err.print("warning: training stopped before it converged; raise [training] max_iterations", style="yellow")
        if summary["bound_turns"]:
            say(f"{summary['bound_turns']} turns sit at the minimum cost: positivity binds there")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _skipped(skipped: dict[str, int]) -> str:
    return (
        f"; {sum(skipped.values())} skipped: " + ", ".join(f"{n} {reason}" for reason, n in skipped.items())
        if skipped
        else ""
    )


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated
