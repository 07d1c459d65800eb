"""A training run with a progress bar, checkpoints, and a clean way to be interrupted."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..core.config import Config
from ..core.errors import InterruptedRunError
from ..graphs.road_graph import RoadNetwork
from ..irl.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from ..irl.demonstrations import Demonstrations
from ..irl.features import default_features, expand_names
from ..irl.model import LearnedModel
from ..irl.training import TrainingProgress, fit
from .console import INTERRUPTED, TERMINATED, Terminated, progress_bar, say


def checkpoint_path(output: Path) -> Path:
    """Where the checkpoint of a run into ``output`` stands while it runs."""
    return output.with_name(f"{output.name}.checkpoint")


def train_with_checkpoints(
    network: RoadNetwork, demonstrations: Demonstrations, config: Config, output: Path, *, resume: bool
) -> LearnedModel:
    """`fit` with a bar; a checkpoint every few iterations and on interruption, removed once the model is trained.

    Raises
    ------
    InterruptedRunError
        SIGINT or SIGTERM; the checkpoint is written and the message names the way to go on.
    """
    path = checkpoint_path(output)
    names = expand_names(network, config.reward.features or default_features(network))
    start = load_checkpoint(path, network_checksum=network.checksum, names=names) if resume else None
    if start is not None:
        say(f"going on from iteration {start.iteration}")
    latest: Checkpoint | None = start
    with progress_bar("training", config.training.max_iterations) as update:

        def report(step: TrainingProgress) -> None:
            nonlocal latest
            latest = step.checkpoint
            if step.iteration % config.training.checkpoint_every == 0:
                save_checkpoint(latest, path)
            update(
                step.iteration,
                f"loss {-step.log_likelihood_per_route:.5f}  gradient {step.gradient_norm:.1e}  {step.routes_per_second:,.0f} routes/s",
            )

        try:
            model = fit(network, demonstrations, config, progress=report, resume=start)
        except (KeyboardInterrupt, Terminated) as stop:
            saved = "no iteration was finished, so there is nothing to resume"
            if latest is not None:
                save_checkpoint(latest, path)
                saved = f"iteration {latest.iteration} is saved in {path}; the same command with --resume goes on from there"
            is_interrupt = isinstance(stop, KeyboardInterrupt)
            raise InterruptedRunError(
                signal_name="SIGINT" if is_interrupt else "SIGTERM",
                saved=saved,
                exit_code=INTERRUPTED if is_interrupt else TERMINATED,
            ) from None
    shutil.rmtree(path, ignore_errors=True)
    return model
