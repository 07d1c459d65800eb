"""Train one expert per region on Ray, and merge them into one model that serves across regions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.config import Config
from ..core.errors import NoDemonstrationsError
from ..core.types import Floats, Ints
from ..graphs.partition import Partition, bisect
from ..graphs.road_graph import RoadNetwork
from ..irl.baselines import tune_baselines
from ..irl.demonstrations import Demonstrations, require_network
from ..irl.feature_columns import Features
from ..irl.features import make_features
from ..irl.model import Coefficient, LearnedModel, RegionSummary, entry_costs
from .actors import Outcome
from .cluster import LOCAL, ray_session
from .dispatch import learn_shards
from .regions import Shard, make_shards


def fit_regions(
    network: RoadNetwork,
    demonstrations: Demonstrations,
    config: Config | None = None,
    *,
    num_regions: int = 4,
    num_workers: int | None = None,
    address: str = LOCAL,
    progress: Callable[[int, int], None] | None = None,
) -> LearnedModel:
    """Learn an independent linear reward per region (the paper's experts), one Ray actor each, and merge them.

    A trip teaches the region that it lies in; trips that cross a border teach none, and are counted. An edge is priced
    by its own region's expert, so the merged model has one cost per turn everywhere and routes cross borders freely. A
    region without trips is priced by the mean of the others, weighted by their trips, and says so.

    Parameters
    ----------
    num_workers
        CPUs that the regions share, at most one each; default all there are. The model does not depend on it.
    address
        ``"local"`` starts Ray on this machine and stops it again; ``"auto"`` or an address joins a running cluster. A
        Ray that this process has already initialised is used whatever the address.
    progress
        Called with (regions done, regions).

    Raises
    ------
    ResourceError
        More workers than CPUs, no cluster that answers, or a region whose workers keep dying.
    NoDemonstrationsError
        No trip lies inside any region.
    TroddenError
        What `fit` raised in a region, with a note that names the region.
    """
    config = config or Config()
    started = time.perf_counter()
    require_network(demonstrations, network.checksum, "the set of demonstrations")
    routes = demonstrations.for_ending(config.planner.ending)
    features = make_features(network, config.reward.features)
    partition = bisect(network, num_regions)
    shards, num_crossing = make_shards(network, routes, partition)
    taught = [shard for shard in shards if shard.rows]
    if not taught:
        raise _all_cross(routes, num_crossing, num_regions)
    with ray_session(address, num_workers) as workers:
        outcomes = learn_shards(taught, _expert_config(config, features), workers, progress)
    regions = _summaries(shards, outcomes, features)
    baselines, tuned = tune_baselines(network, routes, config)
    turn_cost, entry_cost, num_raised = _merged_costs(network, features, partition, regions, config)
    summary: dict[str, Any] = {
        "num_routes": len(routes),
        "skipped": routes.skipped_by_reason,
        "routes_source": routes.source,
        "network_source": network.report.get("source", ""),
        "num_crossing": num_crossing,
        "log_likelihood": _sum_or_none([outcome[2]["log_likelihood"] for outcome in outcomes]),
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


def _all_cross(routes: Demonstrations, num_crossing: int, num_regions: int) -> NoDemonstrationsError:
    error = NoDemonstrationsError(
        source=routes.source,
        num_routes=len(routes),
        causes={f"cross a border between {num_regions} regions": num_crossing},
    )
    error.add_note("with fewer regions, fewer trips cross a border")
    return error


def _expert_config(config: Config, features: Features) -> Config:
    """One thread per actor, the same feature columns in every region, and baselines left to the driver."""
    document = config.model_dump()
    document["reward"]["features"] = features.names
    document["planner"]["threads"] = 1
    document["baselines"]["budget"] = 0
    return Config.model_validate(document)


def _sum_or_none(values: list[Any]) -> float | None:
    """Log-likelihoods added up; None where experts have none (horizon 0)."""
    return None if None in values else float(sum(values))


def _summaries(shards: list[Shard], outcomes: list[Outcome], features: Features) -> tuple[RegionSummary, ...]:
    """What each region learned. A region without trips gets the mean of the sound experts, weighted by their trips."""
    learned = {region: coefficients for region, coefficients, _ in outcomes}
    doubts = {region: _doubt(coefficients, summary) for region, coefficients, summary in outcomes}
    sound = [region for region, doubt in doubts.items() if not doubt] or list(learned)
    weights = np.array([float(shards[region].weight.sum()) for region in sound])
    mean = np.average([[c.value for c in learned[region]] for region in sound], axis=0, weights=weights)
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
            doubts.get(shard.region, note),
        )
        for shard in shards
    )


def _doubt(coefficients: tuple[Coefficient, ...], summary: dict[str, object]) -> str:
    """Why an expert's coefficients are not to be passed on to other regions; empty where they are sound."""
    if not summary["is_converged"]:
        return "did not converge: raise [training] max_iterations"
    loose = [c.name for c in coefficients if c.standard_error is None]
    return f"its trips are too few or too alike to tell {', '.join(loose)}" if loose else ""


def _merged_costs(
    network: RoadNetwork, features: Features, partition: Partition, regions: tuple[RegionSummary, ...], config: Config
) -> tuple[Floats, Floats, int]:
    """(turn cost[T], entry cost[E], number of turns raised to the minimum cost).

    Inside a region every turn is positive by training; a turn across a border, or of a kind that its region never saw,
    may not be, and is then raised to the minimum and counted.
    """
    table = np.array([[c.value for c in region.coefficients] for region in regions])
    of_turn: Ints = partition.region[network.turns.to_edge]
    cost, edge_reward = np.empty(network.turns.num_turns), np.empty(network.graph.num_edges)
    for region, coefficients in enumerate(table):
        inside = np.flatnonzero(of_turn == region)
        cost[inside] = -features.rows(inside) @ coefficients
        edge_reward = np.where(partition.region == region, features.edge_reward(coefficients), edge_reward)
    minimum = config.reward.minimum_cost
    turn_cost = np.maximum(cost, minimum)
    return turn_cost, entry_costs(edge_reward, turn_cost, network.turns.to_edge), int((cost < minimum).sum())
