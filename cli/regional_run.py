"""Training of a reward per region, in this process or on Ray, with a progress bar and a clean way to be interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ..core.config import Config
from ..core.errors import InterruptedRunError, TroddenError
from ..core.folders import is_stored, read_folder
from ..core.locks import locked
from ..distributed.coordinator import fit_regions
from ..distributed.progress import RegionalProgress
from ..graphs.road_graph import RoadNetwork
from ..irl.checkpoints import CHECKPOINT_VERSION, save_model
from ..irl.demonstrations import Demonstrations
from ..irl.model import LearnedModel
from ..irl.spooled_routes import SpooledRoutes, spool_routes
from .console import INTERRUPTED, TERMINATED, Terminated, progress_bar, say, signals_unwrapped

_ROUTES = "routes"


def train_regions_into(
    output: Path,
    network: RoadNetwork,
    routes: Path | Demonstrations,
    config: Config,
    *,
    num_workers: int | None = None,
    address: str = "",
    resume: bool = False,
    strict: bool = False,
) -> LearnedModel:
    """`fit_regions` with a bar, and the merged model saved; shards and checkpoint stand beside it until then.

    Parameters
    ----------
    routes
        A file, which is read in blocks, so that this process never holds all routes; or routes in memory.
    strict
        As for `read_demonstrations`.

    Raises
    ------
    InterruptedRunError
        SIGINT or SIGTERM; the checkpoint is written and the message names the way to go on. What an earlier run left
        at ``output`` is untouched.
    FolderInUseError
        Another training writes to ``output``.
    """
    folder = output.with_name(f"{output.name}.run")
    with locked(output):
        if resume and is_stored(folder / "checkpoint"):
            stored = read_folder(folder / "checkpoint", kind="checkpoint", version=CHECKPOINT_VERSION)
            say(f"going on from evaluation {stored.document['iteration']}")
        try:
            with signals_unwrapped(), progress_bar(f"training {config.regions.count} regions", None) as update:
                model = fit_regions(
                    network,
                    _spooled(routes, network, folder, config, strict, update),
                    config,
                    num_workers=num_workers,
                    address=address,
                    folder=folder,
                    resume=resume,
                    progress=lambda step: update(0, _shown(step)),
                )
            save_model(model, output)
        except TroddenError:
            _forget_routes(folder)
            if not is_stored(folder / "checkpoint"):  # shards alone are soon made again
                shutil.rmtree(folder, ignore_errors=True)
            raise
        except (KeyboardInterrupt, Terminated) as stop:
            _forget_routes(folder)
            is_interrupt = isinstance(stop, KeyboardInterrupt)
            notes = getattr(stop, "__notes__", None) or ["nothing was finished, so there is nothing to resume"]
            raise InterruptedRunError(
                signal_name="SIGINT" if is_interrupt else "SIGTERM",
                saved=notes[0],
                exit_code=INTERRUPTED if is_interrupt else TERMINATED,
            ) from None
        shutil.rmtree(folder, ignore_errors=True)
    return model


def _spooled(
    routes: Path | Demonstrations,
    network: RoadNetwork,
    folder: Path,
    config: Config,
    strict: bool,
    update: Callable[[float, str], None],
) -> SpooledRoutes:
    """The routes as plain arrays in the run's folder."""
    update(0, "reading routes")
    keeps = config.reward.min_travellers > 0
    place, ending = folder / _ROUTES, config.planner.ending
    return spool_routes(routes, network, place, ending, strict=strict, keep_travellers=keeps)


def _forget_routes(folder: Path) -> None:
    """They are made anew from their file when a run goes on."""
    shutil.rmtree(folder / _ROUTES, ignore_errors=True)


def _shown(step: RegionalProgress) -> str:
    where = f"{step.stage}, evaluation {step.num_evaluations}, block {step.blocks_done} of {step.num_blocks}"
    loss = "" if step.loss_per_route != step.loss_per_route else f" loss {step.loss_per_route:.4f}"
    return f"{where}{loss} {step.routes_per_second:,.0f}/s waiting {step.share_waiting:.0%}"
