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
from ..core.scratch import Empty, in_files
from ..core.types import Bools, Floats
from ..graphs.partition import Partition, bisect, bisect_by_metis, edge_load, load_of_passes
from ..graphs.road_graph import RoadNetwork
from ..irl.baselines import require_plain_costs, tune_baselines
from ..irl.checkpoints import Checkpoint, load_checkpoint
from ..irl.demonstrations import Demonstrations, require_network
from ..irl.feature_columns import Features
from ..irl.features import make_features
from ..irl.model import LearnedModel
from ..irl.rewards.building import make_reward
from ..irl.rewards.regional import by_region
from ..irl.spooled_routes import SpooledRoutes, spool_routes
from .cluster import LOCAL, ray_session
from .dispatch import InProcess, RayWorkers, Timing, Workers
from .merging import Merged, merge_linear, merge_reward
from .objective import RegionalObjective, regional_names
from .progress import RegionalProgress
from .regions import Shards, write_shards
from .reward_fit import PARTS, RewardFit
from .reward_objective import RewardObjective
from .shard_rewards import WholeReward
from .stages import learn

_log = logging.getLogger(__name__)
IN_PROCESS = ""
"""The address that stands for no Ray at all."""


def fit_regions(
    network: RoadNetwork,
    demonstrations: Demonstrations | SpooledRoutes,
    config: Config | None = None,
    *,
    num_regions: int | None = None,
    num_workers: int | None = None,
    address: str = LOCAL,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: Callable[[RegionalProgress], None] | None = None,
) -> LearnedModel:
    """Learn a reward per region, drawn together as ``[regions] penalty`` says, on Ray or in this process.

    Every route teaches the regions that it passes (``crossing = "exact"``), or is cut at borders. An edge is priced by
    its own region, so the merged model has one cost per turn everywhere and routes cross borders freely.

    Parameters
    ----------
    demonstrations
        In memory, or `trodden.irl.spooled_routes.spool_routes` of a file: then this process never holds them all.
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
    require_plain_costs(network)
    features = make_features(network, config.reward.features)
    with ExitStack() as stack:
        routes = _spooled(stack, demonstrations, network, config)
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trodden-")) if folder is None else folder)
        if resume and not is_stored(place / "checkpoint"):
            raise StoredFolderError(
                path=place / "checkpoint", problem="there is no checkpoint to resume from", remedy="Leave out --resume"
            )
        place.mkdir(parents=True, exist_ok=True)
        partition = make_partition(network, routes, config, in_files(place))
        is_held_out = _held_out(routes, config)
        workers = stack.enter_context(_session(address, num_workers))  # what is not there is said before any work
        whole = None if config.reward.is_plain else _whole_reward(network, routes, partition, features, config)
        shards = _shards(place / "shards", network, routes, partition, features, config, is_held_out, whole)
        names = PARTS if whole else regional_names(features.names, config.regions.count)
        run = _run_digest(shards, features, config)
        start = _checkpoint(place / "checkpoint", network, names, run) if resume else None
        crew = stack.enter_context(_crew(shards, workers))
        checkpoint = None if folder is None else place / "checkpoint"
        if whole is not None:
            parts = RewardObjective(shards, crew, len(whole.reward), progress)
            fit = RewardFit(parts, whole, routes, is_held_out, config, run=run, checkpoint=checkpoint, resume=start)
            reward, weight = fit.run(), parts.weight("all")
            merged = merge_reward(network, whole, partition, shards, reward, weight, parts.border_error)
        else:
            merged = _learned_linear(
                network, shards, crew, features, partition, config, run, checkpoint, start, progress, in_files(place)
            )
        baselines = tune_baselines(network, routes, config, in_files(place))
        return _model(network, routes, config, partition, shards, crew.timing, merged, baselines, started)


def _spooled(
    stack: ExitStack, demonstrations: Demonstrations | SpooledRoutes, network: RoadNetwork, config: Config
) -> SpooledRoutes:
    """The routes on disk, for as long as the stack is open where they were given in memory."""
    ending = config.planner.ending
    if isinstance(demonstrations, SpooledRoutes):
        if demonstrations.ending != ending:
            problem = f"the routes were prepared for {demonstrations.ending!r}, the configuration says {ending!r}"
            raise ConfigurationError(where="[planner] ending", problem=problem)
        return demonstrations
    place = stack.enter_context(tempfile.TemporaryDirectory(prefix="trodden-routes-"))
    keeps = config.reward.min_travellers > 0
    return spool_routes(demonstrations, network, Path(place) / "routes", ending, keep_travellers=keeps)


def _learned_linear(
    network: RoadNetwork,
    shards: Shards,
    crew: Workers,
    features: Features,
    partition: Partition,
    config: Config,
    run: str,
    checkpoint: Path | None,
    start: Checkpoint | None,
    progress: Callable[[RegionalProgress], None] | None,
    empty: Empty,
) -> Merged:
    size = np.sqrt(features.range.mean_square)
    objective = RegionalObjective(
        shards,
        crew,
        np.where(size > 0, size, 1.0),
        config,
        names=features.names,
        network_checksum=network.checksum,
        run=run,
        checkpoint=checkpoint,
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
    return merge_linear(network, features, partition, config, shards, objective, learned, border_error, empty)


def make_partition(
    network: RoadNetwork,
    routes: Demonstrations | SpooledRoutes | None,
    config: Config,
    empty: Empty = np.empty,
) -> Partition:
    """The map cut as ``[regions]`` says; without routes it is the edges alone that are balanced.

    By bisection, memory beside what ``empty`` makes (three numbers per edge): 32 bytes per edge.
    """
    settings, load = config.regions, None
    if isinstance(routes, SpooledRoutes):
        load = load_of_passes(routes.weight_of_edges(empty), share=settings.balance)
    elif routes is not None:
        weights = np.repeat(routes.weight, np.diff(routes.first))
        load = edge_load(network.graph.num_edges, routes.edge, weights, share=settings.balance)
    if settings.method == "metis":
        return bisect_by_metis(network, settings.count, load=load)
    return bisect(network, settings.count, load=load, empty=empty)


def _with_count(config: Config, num_regions: int | None) -> Config:
    """The configuration with another number of regions, its features spelled out and checked again."""
    if num_regions is None or num_regions == config.regions.count:
        return config
    document = config.model_dump(mode="json")
    document["regions"]["count"] = num_regions
    return parse_config(document, where="regions")


def _whole_reward(
    network: RoadNetwork, routes: SpooledRoutes, partition: Partition, features: Features, config: Config
) -> WholeReward:
    """A reward of several parts."""
    spelled = config.reward.model_copy(update={"features": features.names})
    base = make_reward(network, routes, spelled, seed=config.training.seed)
    regional = by_region(base, partition.region, network.turns.to_edge, partition.num_regions)
    return WholeReward(spelled, base, regional)


def _held_out(routes: SpooledRoutes, config: Config) -> Bools:
    """bool[N]: routes that are not learned from at first, so that they can choose between settings."""
    settings, is_held_out = config.regions, np.zeros(len(routes), bool)
    chooses_penalty = settings.penalty == "auto" and settings.count > 1
    share = settings.validation_share if chooses_penalty else 0.0
    if not config.reward.is_plain and not chooses_penalty:
        share = config.training.validation_share
    if share > 0 and len(routes) > 1:
        count = int(np.clip(round(share * len(routes)), 1, len(routes) - 1))
        is_held_out[np.random.default_rng(config.training.seed).permutation(len(routes))[:count]] = True
    return is_held_out


def _shards(
    folder: Path,
    network: RoadNetwork,
    routes: SpooledRoutes,
    partition: Partition,
    features: Features,
    config: Config,
    is_held_out: Bools,
    whole: WholeReward | None,
) -> Shards:
    settings, planner, crossing = config.regions, config.planner, config.regions.crossing
    if settings.count == 1:
        crossing = "cut"  # there are no borders, and any solver will do on the whole map
    elif crossing == "exact" and planner.solver == "auto":
        planner = planner.model_copy(update={"solver": "corridors"})
    planner = planner.model_copy(update={"threads": 1})
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
        reward=whole,
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


def _checkpoint(path: Path, network: RoadNetwork, names: tuple[str, ...], run: str) -> Checkpoint:
    found = load_checkpoint(path, network_checksum=network.checksum, names=names)
    if found.run != run:
        raise ConfigurationError(
            where="resume",
            problem="the checkpoint is of a run with other routes or another configuration; start without it",
        )
    _log.info("going on from %d", found.iteration)
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
    routes: SpooledRoutes,
    config: Config,
    partition: Partition,
    shards: Shards,
    timing: Timing,
    merged: Merged,
    tuned_baselines: tuple[dict[str, Floats], dict[str, Any]],
    started: float,
) -> LearnedModel:
    baselines, tuned = tuned_baselines
    weight = float(routes.weight.sum())
    summary: dict[str, Any] = {
        "num_routes": len(routes),
        "total_weight": weight,
        "skipped": routes.skipped_by_reason,
        "routes_source": routes.source,
        "network_source": network.report.get("source", ""),
        "num_crossing": shards.num_crossing,
        "crossing": config.regions.crossing,
        **merged.summary,
        "log_likelihood_per_route": merged.summary["log_likelihood"] / weight,
        "baselines": tuned,
        "seconds": time.perf_counter() - started,
        "workers": {**vars(timing), "share_waiting": timing.share_waiting},
    }
    return LearnedModel(
        network=network,
        config=config,
        coefficients=merged.coefficients,
        turn_cost=merged.turn_cost,
        entry_cost=merged.entry_cost,
        baseline_costs=baselines,
        training_pairs=routes.pair_keys(config.planner.ending),
        summary=summary,
        is_simulated=routes.is_simulated,
        regions=merged.regions,
        edge_region=partition.region,
        parts=merged.parts,
    )
