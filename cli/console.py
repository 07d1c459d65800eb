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

if TYPE_CHECKING:
    from ..irl.model import Coefficient, LearnedModel
    from ..irl.statistics import Estimate

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143
_WIDTH = 80
_BORDER_ERROR = 1e-6
"""Visits per route: a corridor's own error is about as large."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Terminated(BaseException):
    """SIGTERM, as an exception that unwinds like Ctrl-C does."""


@contextmanager
def signals_unwrapped() -> Iterator[None]:
    """A signal raised as itself, and with the notes it got: one that arrives while numba hands over arguments comes out
    as a SystemError.
    """
    try:
        yield
    except SystemError as error:
        stop: BaseException | None = error
        while stop is not None and not isinstance(stop, (KeyboardInterrupt, Terminated)):
            stop = stop.__cause__ or stop.__context__
        if stop is None:
            raise
        for note in getattr(error, "__notes__", ()):
            stop.add_note(note)
        raise stop from None


def guarded(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """A command whose typed errors become one message and exit code 2, and whose interruption ends with 130 or 143."""

    @functools.wraps(command)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        before = signal.signal(signal.SIGTERM, _raise_terminated)
        try:
            with signals_unwrapped():
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
    """Coefficients with standard errors, or beside the stated values of a simulation; notes stand below, numbered.

    The columns after the classical standard error are robust, or clustered by traveller where travellers are named.
    What would not fit 80 columns is left out, from the interval on.
    """
    from ..irl.statistics import estimate

    rows = [estimate(one) for one in coefficients]
    found = list(dict.fromkeys(c.note for c in coefficients if c.note)) if notes else []
    is_clustered = any(row.clustered_standard_error is not None for row in rows)
    columns = {
        "feature": [row.name for row in rows],
        "coefficient": [f"{row.value:.4f}" for row in rows],
        "std.err.": [_number(row.standard_error, "{:.4f}") for row in rows],
        "clustered" if is_clustered else "robust": [
            _number(row.clustered_standard_error if is_clustered else row.robust_standard_error, "{:.4f}")
            for row in rows
        ],
        "t": [_number(row.robust_t_ratio, "{:.1f}") for row in rows],
    }
    if stated is not None:
        columns |= _against_stated(rows, stated)
    else:
        columns["p"] = [_number(row.robust_p_value, "{:.3f}") for row in rows]
        columns["95 %"] = [
            "-" if row.robust_interval is None else "[{:.3f}, {:.3f}]".format(*row.robust_interval) for row in rows
        ]
    if found:
        columns[""] = [f"({found.index(c.note) + 1})" if c.note in found else "" for c in coefficients]
    for optional in ("95 %", "p", "std.err."):
        if sum(max(map(len, [title, *cells])) + 2 for title, cells in columns.items()) - 2 > _WIDTH:
            columns.pop(optional, None)
    table = text_table(list(columns), [list(cells) for cells in zip(*columns.values(), strict=True)])
    return "\n".join([table, *(f"({i}) {note}" for i, note in enumerate(found, 1))])


def _against_stated(rows: list[Estimate], stated: dict[str, float]) -> dict[str, list[str]]:
    gaps = [
        (row.value - stated[row.name]) / row.standard_error if row.name in stated and row.standard_error else None
        for row in rows
    ]
    return {
        "stated": [_number(stated.get(row.name), "{:g}") for row in rows],
        "off by s.e.": [_number(gap, "{:+.2f}") for gap in gaps],
    }


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
    if model.network.mode != "drive":
        say(f"mode: {model.network.mode}")
    say(f"learned from {summary['num_routes']} {word}" + _skipped(summary["skipped"]))
    if model.coefficients:
        say(coefficient_table(model.coefficients, stated=stated))
    for region in model.regions if not model.coefficients else ():
        say(f"\nregion {region.region}: {region.num_edges} edges, {region.num_routes} {word}")
        if region.note:
            say(region.note)
        say(coefficient_table(region.coefficients, stated=stated, notes=not region.note))
    if model.regions:
        _describe_regions(summary, word, len(model.regions))
    elif "num_parameters" in summary:
        _describe_parts(model)
    elif "solver" in summary:
        _describe_fit(model)
        _describe_optimum(summary)
    if model.contexts:
        _describe_contexts(model)


def _describe_contexts(model: LearnedModel) -> None:
    """A reward for each context; what was said before is of one for all."""
    summary = model.summary["context"]
    word = "simulated routes" if model.is_simulated else "routes"
    say("\nthe above is one reward for all trips; by context:")
    for one in model.contexts:
        say(f"\n{one.name}: {one.num_routes} {word}")
        say(coefficient_table(one.coefficients))
    losses = summary["held_out_loss_by_penalty"]
    if losses:
        say("\nnegative log-likelihood per held-out route by penalty (inf: one reward, 0: independent contexts)")
        say(text_table(list(losses), [["-" if loss is None else f"{loss:.4f}" for loss in losses.values()]]))
    penalty = summary["penalty"] if isinstance(summary["penalty"], str) else f"{summary['penalty']:g}"
    rule = ", chosen on those (infinity, unless they gain more than a standard error)" if losses else ""
    say(f"penalty {penalty}{rule}")
    say(f"log-likelihood {summary['log_likelihood']:.3f}, {summary['log_likelihood_per_route']:.4f} per route")
    say(f"{summary['evaluations']} evaluations, {summary['seconds']:.1f} s")
    if summary["raised_turns"]:
        say(f"{summary['raised_turns']} turns of the contexts were raised to the minimum cost")
    if not summary["is_converged"]:
        warn(f"warning: stopped {summary['decrement']:.1e} nats before the optimum; raise [training] max_iterations")


def _describe_parts(model: LearnedModel) -> None:
    """A reward with corrections, an MLP or members."""
    summary, reward = model.summary, model.config.reward
    _describe_sizes(summary)
    if reward.members > 1:
        say(f"{reward.members} members, the mean of their {reward.average} served")
    if summary["log_likelihood"] is not None:
        say(f"log-likelihood {summary['log_likelihood']:.3f}, {summary['log_likelihood_per_route']:.4f} per route")
    if summary["curve"]:
        best = next(one for one in summary["curve"] if one["iteration"] == summary["iterations"])
        nll = "" if best["nll"] is None else f", NLL {best['nll']:.4f}"
        say(
            f"{best['iteration']} iterations, chosen on held-out routes: exact match {best['exact']:.3f}, IoU "
            f"{best['iou']:.3f}{nll} there; then learned from all routes"
        )
    say(f"{summary['evaluations']} evaluations by L-BFGS and {summary['solver']}, {summary['seconds']:.1f} s")
    if summary.get("spectral_radius") is not None:
        say(f"spectral radius {summary['spectral_radius']:.4f}: values exist below 1")
    if not summary["is_converged"]:
        warn("warning: training stopped before it converged; raise [training] max_iterations")
    elif summary["curve"] and summary["curve"][-1]["iteration"] == summary["iterations"]:
        warn("the last look at the held-out routes was the best; a larger [training] max_iterations may do better")


def _describe_sizes(summary: dict[str, Any]) -> None:
    names = {
        "linear": "coefficients",
        "mlp": "weights of an MLP",
        "edge": "corrections of edges",
        "turn": "corrections of turns",
    }
    say(", ".join(f"{count} {names[name]}" for name, count in summary["num_parameters"].items()))


def _describe_regions(summary: dict[str, Any], word: str, count: int) -> None:
    is_whole = summary["crossing"] == "exact" or count == 1
    if count > 1:
        how = "kept whole" if is_whole else "cut there"
        say(f"\n{summary['num_crossing']} of {summary['num_routes']} {word} cross a border between regions: {how}")
    losses = summary["held_out_loss_by_penalty"]
    if losses:
        say("negative log-likelihood per held-out route by penalty (inf: one reward, 0: independent experts)")
        say(text_table(list(losses), [["-" if loss is None else f"{loss:.4f}" for loss in losses.values()]]))
    if count > 1:
        penalty = summary["penalty"] if isinstance(summary["penalty"], str) else f"{summary['penalty']:g}"
        say(f"penalty {penalty}{', chosen on those' if losses else ''}")
    if "num_parameters" in summary:
        _describe_sizes(summary)
        chosen = ", chosen on the held-out routes; then learned from all" if summary["looks"] else ""
        say(f"{summary['iterations']} iterations of L-BFGS{chosen}")
    given = "" if is_whole else ", given where routes cross"
    say(f"log-likelihood {summary['log_likelihood']:.3f}, {summary['log_likelihood_per_route']:.4f} per route{given}")
    if not summary["is_converged"] and "decrement" not in summary:
        warn("warning: training stopped before it converged; raise [training] max_iterations")
    elif not summary["is_converged"]:
        warn(f"warning: stopped {summary['decrement']:.1e} nats before the optimum; raise [training] max_iterations")
    if summary["border_error"] > _BORDER_ERROR:
        warn(
            f"warning: up to {summary['border_error']:.1e} visits per route reach the end of a shard's map; raise "
            "[regions] halo_km"
        )
    if summary["raised_turns"]:
        say(f"{summary['raised_turns']} turns of the merged model were raised to the minimum cost")
    workers = summary["workers"]
    died = f", {workers['num_deaths']} died and were replaced" if workers["num_deaths"] else ""
    say(
        f"{summary['regional_evaluations']} evaluations, {summary['seconds']:.1f} s; {workers['num_workers']} workers "
        f"waited {workers['share_waiting']:.0%} of their time{died}"
    )


def _describe_fit(model: LearnedModel) -> None:
    from ..irl.statistics import model_statistics

    summary = model.summary
    if summary["log_likelihood"] is None:
        say(f"margin loss {summary['margin_loss_per_route']:.4f} per route (horizon 0 has no likelihood)")
        return
    fit = model_statistics(model)
    if any(one.robust_t_ratio is not None for one in fit.estimates):
        kind = f"clustered over {fit.num_travellers} travellers" if fit.num_travellers else "robust"
        say(f"t, p and intervals: {kind} standard errors")
    say(f"log-likelihood {summary['log_likelihood']:.3f}, {summary['log_likelihood_per_route']:.4f} per route")
    if fit.aic is not None and fit.bic is not None:
        say(f"{fit.num_free_parameters} free parameters, AIC {fit.aic:.3f}, BIC {fit.bic:.3f}")


def _describe_optimum(summary: dict[str, Any]) -> None:
    by = " and ".join(filter(None, [summary.get("method", ""), summary["solver"]]))
    residual = "decrease still predicted" if summary["log_likelihood"] is None else "KKT residual"
    say(f"{summary['iterations']} iterations, {summary['evaluations']} evaluations by {by}")
    say(f"{residual} {summary['kkt_residual']:.1e}, {summary['seconds']:.1f} s")
    if summary.get("spectral_radius") is not None:
        say(f"spectral radius {summary['spectral_radius']:.4f}: values exist below 1")
    if not summary["is_converged"]:
        warn(f"warning: training stopped before it converged; {_what_to_do(summary)}")
    if summary["bound_turns"]:
        say(f"{summary['bound_turns']} turns sit at the minimum cost: positivity binds there")


def _what_to_do(summary: dict[str, Any]) -> str:
    if summary.get("is_out_of_iterations", True):
        return "raise [training] max_iterations"
    if summary["horizon"] != "infinity":
        return (
            "no step lowers the loss further: at a finite horizon it has kinks where best paths change, and this may "
            "be one; another [training] start would tell"
        )
    return "no step lowers the loss further; try another [training] method or start"


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
