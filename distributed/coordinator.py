"""Train one expert per region on Ray, and merge them into one model that serves across regions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import ray

from ..core.config import Config
from ..core.errors import ResourceError, TroddenError
from ..core.types import Floats, Ints
from ..graphs.partition import Partition, bisect
from ..graphs.road_graph import RoadNetwork
from ..irl.baselines import tune_baselines
from ..irl.demonstrations import Demonstrations, require_network
from ..irl.features import Features, make_features
from ..irl.model import Coefficient, LearnedModel, RegionSummary, entry_costs
from .actors import Outcome, RegionActor
from .regions import Shard, make_shards


def fit_regions(
    network: RoadNetwork,
    demonstrations: Demonstrations,
    config: Config | None = None,
    *,
    num_regions: int = 4,
    num_workers: int | None = None,
    address: str = "local",
    progress: Callable[[int, int], None] | None = None,
) -> LearnedModel:
    """Learn an independent linear reward per region (the paper's experts), one Ray actor each, and merge them.

    A trip teaches the region that it lies in; trips that cross a border teach none, and are counted. An edge is priced
    by its own region's expert, so the merged model has one cost per turn everywhere and routes cross borders freely. A
    region without trips is priced by the mean of the others, weighted by their trips, and says so.

    Parameters
    ----------
    num_workers
        CPUs to use; default all there are. With more regions than workers each actor asks for workers / regions CPUs.
    address
        ``"local"`` starts Ray on this machine and stops it again; ``"auto"`` or an address joins a running cluster.
    progress
        Called with (regions done, regions).

    Raises
    ------
    ResourceError
        More workers than the cluster has CPUs.
    NoDemonstrationsError
        No trip lies inside any region.
    """
    config = config or Config()
    started = time.perf_counter()
    require_network(demonstrations, network.checksum, "the set of demonstrations")
    routes = demonstrations.for_ending(config.planner.ending)
    features = make_features(network, config.reward.features)
    partition = bisect(network, num_regions)
    shards, num_crossing = make_shards(network, routes, partition)
    outcomes = _run([s for s in shards if s.rows], _expert_config(config, features), num_workers, address, progress)
    if not outcomes:
        routes.take(np.zeros(0, np.int64)).require_some()
    regions = _summaries(shards, outcomes, features)
    baselines, tuned = tune_baselines(network, routes, config)
    turn_cost, entry_cost, num_raised = _merged_costs(network, features, partition, regions, config)
    summary: dict[str, Any] = {
        "num_routes": len(routes),
        "skipped": routes.skipped_by_reason,
        "routes_source": routes.source,
        "network_source": network.report.get("source", ""),
        "num_crossing": num_crossing,
        "log_likelihood": sum(float(str(outcome[2]["log_likelihood"])) for outcome in outcomes),
        "raised_turns": num_raised,
        "baselines": tuned,
        "seconds": time.perf_counter() - started,
    }
    return LearnedModel(
        network=network,
        config=config,
        coefficients=regions[0].coefficients if num_regions == 1 else (),
        turn_cost=turn_cost,
        entry_cost=entry_cost,
        baseline_costs=baselines,
        training_pairs=np.unique(routes.pair_keys(config.planner.ending)),
        summary=summary,
        is_simulated=routes.is_simulated,
        regions=regions,
        edge_region=partition.region,
    )


def _expert_config(config: Config, features: Features) -> Config:
    """One thread per actor, the same feature columns in every region, and baselines left to the driver."""
    document = config.model_dump()
    document["reward"]["features"] = features.names
    document["planner"]["threads"] = 1
    document["baselines"]["budget"] = 0
    return Config.model_validate(document)


def _run(
    shards: list[Shard],
    config: Config,
    num_workers: int | None,
    address: str,
    progress: Callable[[int, int], None] | None,
) -> list[Outcome]:
    """Outcomes in the order of the shards, whatever order they finish in."""
    with _ray_session(address, num_workers) as num_cpus:
        if num_workers is not None and num_workers > num_cpus:
            raise ResourceError(
                asked=f"{num_workers} workers",
                available=f"{num_cpus} CPUs",
                remedy="ask for fewer workers, or give Ray more CPUs",
            )
        workers = num_workers or num_cpus
        share = 1.0 if len(shards) <= workers else workers / len(shards)
        stored = ray.put(config)
        # Every actor is submitted before any is waited for; those beyond the CPUs queue up inside Ray.
        actors = [RegionActor.options(num_cpus=share).remote(ray.put(shard), stored) for shard in shards]
        pending = {actor.learn.remote(): place for place, actor in enumerate(actors)}
        outcomes: dict[int, Outcome] = {}
        total = len(pending)
        while pending:
            done, _ = ray.wait(list(pending), num_returns=1)
            place = pending.pop(done[0])
            outcome = ray.get(done[0])
            if isinstance(outcome, TroddenError):
                outcome.add_note(f"in region {shards[place].region}")
                raise outcome
            outcomes[place] = outcome
            if progress is not None:
                progress(len(outcomes), total)
        return [outcomes[place] for place in range(total)]


@contextmanager
def _ray_session(address: str, num_workers: int | None) -> Iterator[int]:
    """A Ray to work on, yielding its number of CPUs; one that was started here is stopped again."""
    if ray.is_initialized():
        yield int(ray.cluster_resources().get("CPU", 0))
        return
    if address == "local":
        count = os.cpu_count() or 1
        if num_workers is not None and num_workers > count:
            raise ResourceError(
                asked=f"{num_workers} workers", available=f"{count} CPUs", remedy="ask for fewer workers"
            )
        ray.init(address="local", num_cpus=count, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    else:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except ConnectionError as error:
            raise ResourceError(
                asked=f"a Ray cluster at {address!r}",
                available="none that answers",
                remedy="start one with `ray start --head`, or use --ray local",
            ) from error
    try:
        yield int(ray.cluster_resources().get("CPU", 0))
    finally:
        ray.shutdown()


def _summaries(shards: list[Shard], outcomes: list[Outcome], features: Features) -> tuple[RegionSummary, ...]:
    learned = {region: coefficients for region, coefficients, _ in outcomes}
    weights = np.array([float(shards[region].weight.sum()) for region in learned])
    table = np.array([[c.value for c in coefficients] for coefficients in learned.values()])
    mean = np.average(table, axis=0, weights=weights)
    note = "no trips inside: the mean of the other regions, weighted by their trips"
    fallback = tuple(
        Coefficient(name, float(value), None, note) for name, value in zip(features.names, mean, strict=True)
    )
    return tuple(
        RegionSummary(
            shard.region,
            shard.network.graph.num_edges,
            len(shard.rows),
            learned.get(shard.region, fallback),
            "" if shard.region in learned else note,
        )
        for shard in shards
    )


def _merged_costs(
    network: RoadNetwork, features: Features, partition: Partition, regions: tuple[RegionSummary, ...], config: Config
) -> tuple[Floats, Floats, int]:
    """(turn cost[T], entry cost[E], number of turns raised to the minimum cost).

    Inside a region every turn is positive by training; a turn across a border, or of a kind that its region never saw,
    may not be, and is then raised to the minimum and counted.
    """
    table = np.array([[c.value for c in region.coefficients] for region in regions])
    of_turn: Ints = partition.region[network.turns.to_edge]
    cost = -np.einsum("tf,tf->t", features.value, table[of_turn])
    minimum = config.reward.minimum_cost
    turn_cost = np.maximum(cost, minimum)
    edge_reward = np.einsum("ef,ef->e", features.edge_value, table[partition.region])
    return turn_cost, entry_costs(edge_reward, turn_cost, network.turns.to_edge), int((cost < minimum).sum())
