"""A training run with a progress bar, checkpoints, and a clean way to be interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ..core.config import Config
from ..core.errors import InterruptedRunError, StoredFolderError
from ..core.folders import is_stored
from ..core.locks import locked
from ..graphs.road_graph import RoadNetwork
from ..irl.checkpoints import Checkpoint, load_checkpoint, save_checkpoint, save_model
from ..irl.demonstrations import Demonstrations
from ..irl.model import LearnedModel
from ..irl.provenance import run_names
from ..irl.training import TrainingProgress, fit
from .console import INTERRUPTED, TERMINATED, Terminated, progress_bar, say, signals_unwrapped


def checkpoint_path(output: Path) -> Path:
    """Where the checkpoint of a run into ``output`` stands while it runs."""
    return output.with_name(f"{output.name}.checkpoint")


def train_into(
    output: Path, network: RoadNetwork, demonstrations: Demonstrations, config: Config, *, resume: bool = False
) -> LearnedModel:
    """`fit` with a bar, and the model saved; a checkpoint every few iterations and on interruption until then.

    Raises
    ------
    InterruptedRunError
        SIGINT or SIGTERM; the checkpoint is written and the message names the way to go on. What an earlier run left
        at ``output`` is untouched.
    StoredFolderError
        With ``resume``, there is no checkpoint, or one of another run.
    FolderInUseError
        Another training writes to ``output``.
    """
    with locked(output):
        return _train_into(output, network, demonstrations, config, resume)


def _train_into(
    output: Path, network: RoadNetwork, demonstrations: Demonstrations, config: Config, resume: bool
) -> LearnedModel:
    path = checkpoint_path(output)
    keeper = _Keeper(path, config.training.checkpoint_every, _start(path, network, config) if resume else None)
    try:
        with signals_unwrapped(), progress_bar("training", config.training.max_iterations) as update:
            model = fit(network, demonstrations, config, progress=keeper.watch(update), resume=keeper.latest)
        save_model(model, output)
    except (KeyboardInterrupt, Terminated) as stop:
        is_interrupt = isinstance(stop, KeyboardInterrupt)
        raise InterruptedRunError(
            signal_name="SIGINT" if is_interrupt else "SIGTERM",
            saved=keeper.save(),
            exit_code=INTERRUPTED if is_interrupt else TERMINATED,
        ) from None
    shutil.rmtree(path, ignore_errors=True)
    return model


def _start(path: Path, network: RoadNetwork, config: Config) -> Checkpoint:
    if not is_stored(path):
        raise StoredFolderError(path=path, problem="there is no checkpoint to resume from", remedy="Leave out --resume")
    names = run_names(network, config)
    start = load_checkpoint(path, network_checksum=network.checksum, names=names)
    say(f"going on from iteration {start.iteration}")
    return start


class _Keeper:
    """Holds the latest checkpoint of a run, and writes it."""

    def __init__(self, path: Path, every: int, start: Checkpoint | None) -> None:
        self._path, self._every, self.latest = path, every, start

    def watch(self, update: Callable[[float, str], None]) -> Callable[[TrainingProgress], None]:
        """A callback for `fit` that also moves a progress bar."""

        def report(step: TrainingProgress) -> None:
            self.latest = step.checkpoint
            if step.iteration % self._every == 0:
                save_checkpoint(step.checkpoint, self._path)
            loss, pace = -step.log_likelihood_per_route, step.routes_per_second
            radius = "" if step.spectral_radius is None else f" radius {step.spectral_radius:.3f}"
            error = "" if step.corridor_error is None else f" off by {step.corridor_error:.0e}"
            stage = f"{step.stage}: " * bool(step.stage)
            held_out = f" {step.held_out}" * bool(step.held_out)
            update(
                step.iteration,
                f"{stage}loss {loss:.4f} |g| {step.gradient_norm:.0e}{radius}{error}{held_out} {pace:,.0f}/s",
            )

        return report

    def save(self) -> str:
        """Write the latest checkpoint; what a message says about it."""
        if self.latest is None:
            return "no iteration was finished, so there is nothing to resume"
        save_checkpoint(self.latest, self._path)
        where = f"iteration {self.latest.iteration} is saved in {self._path}"
        return f"{where}; the same command with --resume goes on from there"
