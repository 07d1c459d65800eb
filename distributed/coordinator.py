"""Learn a reward per region, and merge them into one model that serves across regions."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..core.config import Config, parse_config
from ..core.errors import ConfigurationError, StoredFolderError
from ..core.folders import is_stored
from ..graphs.partition import Partition, bisect, bisect_by_metis, edge_load
from ..graphs.road_graph import RoadNetwork
from ..irl.baselines import plain_costs, tune_baselines
from ..irl.checkpoints import Checkpoint, load_checkpoint
from ..irl.demonstrations import Demonstrations, require_network
from ..irl.feature_columns import Features
from ..irl.features import make_features
from ..irl.model import LearnedModel
from .cluster import LOCAL, ray_session
from .dispatch import InProcess, RayWorkers, Timing, Workers
from .merging import merged_costs, region_summaries, shared_coefficients
from .objective import RegionalObjective, RegionalProgress, regional_names
from .regions import Shards, write_shards
from .stages import Learned, learn

_log = logging.getLogger(__name__)
IN_PROCESS = ""
"""The address that stands for no Ray at all."""


def fit_regions(
    network: RoadNetwork,
    demonstrations: Demonstrations,
    config: Config | None = None,
    *,
    num_regions: int | None = None,
    num_workers: int | None = None,
    address: str = LOCAL,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: Callable[[RegionalProgress], None] | None = None,
) -> LearnedModel:
    """Learn a linear reward per region, drawn together as ``[regions] penalty`` says, on Ray or in this process.

    Every route teaches the regions that it passes (``crossing = "exact"``), or is cut at borders. An edge is priced by
    its own region, so the merged model has one cost per turn everywhere and routes cross borders freely.

    Parameters
    ----------
    num_regions
        In place of ``[regions] count``.
    num_workers
        Ray workers, one CPU each; default all there are. The model does not depend on it: same bytes for any number.
    address
        ``"local"`` starts Ray on this machine and stops it again; ``"auto"`` or an address joins a running cluster;
        ``""`` works in this process without Ray. A Ray that this process has already initialised is used whatever the
        address.
    folder
        Where shards and checkpoints stand, so that a run can be resumed; every node has to see it. Default: a
        temporary folder on this machine, which goes at the end.
    resume
        Go on from the checkpoint in ``folder``: the model is that of an uninterrupted run, to the byte.

    Raises
    ------
    ResourceError
        More workers than CPUs, no cluster that answers, or workers that keep dying.
    ConfigurationError
        More regions than edges, settings that regions cannot be trained with, no start with values, or ``resume``
        from the checkpoint of another run.
    StoredFolderError
        ``resume`` without a checkpoint, or a damaged shard.
    """
    config = _with_count(config or Config(), num_regions)
    try:
        config.require_regional()
    except ValueError as error:
        raise ConfigurationError(where="regions", problem=str(error)) from error
    started = time.perf_counter()
    require_network(demonstrations, network.checksum, "the set of demonstrations")
    routes = demonstrations.for_ending(config.planner.ending)
    plain_costs(network)  # a network with neither lengths nor times is refused now, not after the training
    features = make_features(network, config.reward.features)
    partition = make_partition(network, routes, config)
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trodden-")) if folder is None else folder)
        if resume and not is_stored(place / "checkpoint"):
            raise StoredFolderError(
                path=place / "checkpoint", problem="there is no checkpoint to resume from", remedy="Leave out --resume"
            )
        workers = stack.enter_context(_session(address, num_workers))  # what is not there is said before any work
        shards = _shards(place / "shards", network, routes, partition, features, config)
        run = _run_digest(shards, features, config)
        start = _checkpoint(place / "checkpoint", network, features, config, run) if resume else None
        crew = stack.enter_context(_crew(shards, workers))
        size = np.sqrt(features.range.mean_square)
        objective = RegionalObjective(
            shards,
            crew,
            np.where(size > 0, size, 1.0),
            config,
            names=features.names,
            network_checksum=network.checksum,
            run=run,
            checkpoint=None if folder is None else place / "checkpoint",
            resume=start,
            progress=progress,
        )
        try:
            learned = learn(objective, features, config)
            border_error = objective.border_error(learned.optimum.table)
        except BaseException as stop:
            with suppress(StoredFolderError):  # a full disk may be what stopped it: the last checkpoint is whole
                stop.add_note(objective.save())
            raise
    return _model(
        network, routes, config, features, partition, shards, objective, crew.timing, learned, border_error, started
    )


def make_partition(network: RoadNetwork, routes: Demonstrations | None, config: Config) -> Partition:
    """The map cut as ``[regions]`` says; without routes it is the edges alone that are balanced."""
    settings, load = config.regions, None
    if routes is not None:
        weights = np.repeat(routes.weight, np.diff(routes.first))
        load = edge_load(network.graph.num_edges, routes.edge, weights, share=settings.balance)
    cut = bisect if settings.method == "bisection" else bisect_by_metis
    return cut(network, settings.count, load=load)


def _with_count(config: Config, num_regions: int | None) -> Config:
    """The configuration with another number of regions, its features spelled out and checked again."""
    if num_regions is None or num_regions == config.regions.count:
        return config
    document = config.model_dump(mode="json")
    document["regions"]["count"] = num_regions
    return parse_config(document, where="regions")


def _shards(
    folder: Path,
    network: RoadNetwork,
    routes: Demonstrations,
    partition: Partition,
    features: Features,
    config: Config,
) -> Shards:
    settings, planner, crossing = config.regions, config.planner, config.regions.crossing
    if settings.count == 1:
        crossing = "cut"  # there are no borders, and any solver will do on the whole map
    elif crossing == "exact" and planner.solver == "auto":
        planner = planner.model_copy(update={"solver": "corridors"})
    planner = planner.model_copy(update={"threads": 1})
    is_held_out = np.zeros(len(routes), bool)
    if settings.penalty == "auto" and settings.count > 1 and len(routes) > 1:
        count = int(np.clip(round(settings.validation_share * len(routes)), 1, len(routes) - 1))
        is_held_out[np.random.default_rng(config.training.seed).permutation(len(routes))[:count]] = True
    return write_shards(
        folder,
        network,
        routes,
        partition,
        features.names,
        planner,
        crossing=crossing,
        halo_m=1000 * settings.halo_km,
        is_held_out=is_held_out,
    )


def _run_digest(shards: Shards, features: Features, config: Config) -> str:
    """SHA-256 of all that the optimiser's path depends on, so that a checkpoint is not answered with another run's."""
    document = {
        "shards": shards.digest,
        "features": features.names,
        "training": config.training.model_dump(mode="json", exclude={"max_iterations", "checkpoint_every"}),
        "regions": config.regions.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _checkpoint(path: Path, network: RoadNetwork, features: Features, config: Config, run: str) -> Checkpoint:
    names = regional_names(features.names, config.regions.count)
    found = load_checkpoint(path, network_checksum=network.checksum, names=names)
    if found.run != run:
        raise ConfigurationError(
            where="resume",
            problem="the checkpoint is of a run with other routes or another configuration; start without it",
        )
    _log.info("going on from %d evaluations", len(found.evaluations))
    return found


@contextmanager
def _session(address: str, num_workers: int | None) -> Iterator[int]:
    """How many Ray workers to use; 0 where the work is done in this process."""
    if address == IN_PROCESS:
        yield 0
        return
    with ray_session(address, num_workers) as count:
        yield count


@contextmanager
def _crew(shards: Shards, num_workers: int) -> Iterator[Workers]:
    if not num_workers:
        yield InProcess(shards)
        return
    num_blocks = sum(len(info.blocks) for info in shards.infos)
    workers = RayWorkers(shards, min(num_workers, num_blocks))
    try:
        yield workers
    finally:
        workers.close()


def _model(
    network: RoadNetwork,
    routes: Demonstrations,
    config: Config,
    features: Features,
    partition: Partition,
    shards: Shards,
    objective: RegionalObjective,
    timing: Timing,
    learned: Learned,
    border_error: float,
    started: float,
) -> LearnedModel:
    table = learned.optimum.table / objective.scale
    turn_cost, entry_cost, num_raised = merged_costs(network, features, partition, table, config)
    baselines, tuned = tune_baselines(network, routes, config)
    weight = float(routes.weight.sum())
    summary: dict[str, Any] = {
        "num_routes": len(routes),
        "total_weight": weight,
        "skipped": routes.skipped_by_reason,
        "routes_source": routes.source,
        "network_source": network.report.get("source", ""),
        "num_crossing": shards.num_crossing,
        "crossing": config.regions.crossing,
        "penalty": "infinity" if np.isinf(learned.penalty) else learned.penalty,
        "held_out_loss_by_penalty": learned.held_out,
        "log_likelihood": -learned.optimum.loss,
        "log_likelihood_per_route": -learned.optimum.loss / weight,
        "border_error": border_error,
        "is_converged": learned.optimum.is_converged,
        "decrement": learned.optimum.decrement,
        "regional_evaluations": objective.num_evaluations,
        "raised_turns": num_raised,
        "baselines": tuned,
        "seconds": time.perf_counter() - started,
        "workers": {**vars(timing), "share_waiting": timing.share_waiting},
    }
    is_shared = np.isinf(learned.penalty)
    return LearnedModel(
        network=network,
        config=config,
        coefficients=shared_coefficients(learned.optimum, objective.scale, features.names) if is_shared else (),
        turn_cost=turn_cost,
        entry_cost=entry_cost,
        baseline_costs=baselines,
        training_pairs=np.unique(routes.pair_keys(config.planner.ending)),
        summary=summary,
        is_simulated=routes.is_simulated,
        regions=region_summaries(learned.optimum, learned.penalty, objective.scale, features.names, partition, shards),
        edge_region=partition.region,
    )
