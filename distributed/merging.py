"""What regions learned -> one model whose every turn has a cost, so that routes cross borders freely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.blocks import blocks_of
from ..core.config import Config
from ..core.scratch import Empty
from ..core.types import Floats
from ..graphs.partition import Partition
from ..graphs.road_graph import RoadNetwork
from ..irl.feature_columns import Features
from ..irl.inference import covariance
from ..irl.model import Coefficient, RegionSummary, entry_costs
from ..irl.pooling import Pooling
from ..irl.regional_features import RegionalFeatures
from ..irl.regional_fit import RegionalOptimum
from ..irl.rewards.building import to_arrays
from ..irl.rewards.parts import LinearPart
from ..irl.rewards.reward import Reward
from .objective import RegionalObjective
from .regions import Shards
from .reward_fit import LearnedReward
from .shard_rewards import WholeReward
from .stages import Learned

_RUNAWAY = 50.0
"""Standard error in scaled coefficients beyond which there is no estimate."""
NOTES = {
    "alike": "these routes do not tell it apart from other features (constant over the choices, or collinear)",
    "untaught": "no trip passes here: this is what the other regions have in common",
    "given others": "standard errors are those given the other regions' coefficients",
    "runaway": "runs away: these routes (almost) never or always take it, so its size means nothing",
    "parts": "under a penalty and beside other parts: no standard error",
}


@dataclass(frozen=True, eq=False)
class Merged:
    """What a model of the whole map takes from a training of regions."""

    turn_cost: Floats
    entry_cost: Floats
    coefficients: tuple[Coefficient, ...]
    regions: tuple[RegionSummary, ...]
    summary: dict[str, Any]
    parts: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def merge_linear(
    network: RoadNetwork,
    features: Features,
    partition: Partition,
    config: Config,
    shards: Shards,
    objective: RegionalObjective,
    learned: Learned,
    border_error: float,
    empty: Empty,
) -> Merged:
    """A linear reward per region, or one that all share."""
    optimum, names = learned.optimum, features.names
    table = optimum.table / objective.scale
    turn_cost, entry_cost, raised = merged_costs(network, features, partition, table, config, empty)
    return Merged(
        turn_cost,
        entry_cost,
        shared_coefficients(optimum, objective.scale, names) if np.isinf(learned.penalty) else (),
        region_summaries(optimum, learned.penalty, objective.scale, names, partition, shards),
        {
            "penalty": "infinity" if np.isinf(learned.penalty) else learned.penalty,
            "held_out_loss_by_penalty": learned.held_out,
            "log_likelihood": -optimum.loss,
            "border_error": border_error,
            "is_converged": optimum.is_converged,
            "decrement": optimum.decrement,
            "regional_evaluations": objective.num_evaluations,
            "raised_turns": raised,
        },
    )


def merge_reward(
    network: RoadNetwork,
    whole: WholeReward,
    partition: Partition,
    shards: Shards,
    learned: LearnedReward,
    weight: float,
    border_error: float,
) -> Merged:
    """A reward of several parts."""
    base, regional = whole.base, whole.reward
    parameters, count = _taught(regional, learned, partition, shards), partition.num_regions
    cost = regional.cost(parameters)
    tried: dict[str, float | None] = {one["penalty"]: None for one in learned.looks}
    for one in learned.looks:
        known = tried[one["penalty"]]
        if one["nll"] is not None and (known is None or one["nll"] < known):
            tried[one["penalty"]] = one["nll"]
    penalty = learned.sharing.lambda_
    rows = _coefficients_of(base, regional, parameters, count)
    return Merged(
        cost,
        entry_costs(np.zeros(network.graph.num_edges), cost, network.turns.to_edge),
        rows[0] if np.isinf(penalty) else (),
        _summaries(rows, partition, shards),
        {
            "method": "L-BFGS",
            "penalty": "infinity" if np.isinf(penalty) else penalty,
            "held_out_loss_by_penalty": tried,
            "log_likelihood": -weight * (learned.loss - learned.penalty_per_route),
            "penalty_per_route": learned.penalty_per_route,
            "border_error": border_error,
            "iterations": learned.iterations,
            "is_converged": learned.is_converged,
            "stopped_by": "held-out routes" if learned.is_chosen else "convergence",
            "looks": learned.looks,
            "num_parameters": learned.sharing.sizes,
            "regional_evaluations": learned.evaluations,
            "raised_turns": 0,
        },
        {"members": parameters[None], **to_arrays(base)},
    )


def _taught(regional: Reward, learned: LearnedReward, partition: Partition, shards: Shards) -> Floats:
    """The parameters, where a region that no trip can feel has the mean of the others' coefficients."""
    parameters = learned.parameters.copy()
    is_felt = np.zeros(partition.num_regions, bool)
    for info in shards.infos:
        is_felt[list(info.regions)] = True
    linear = regional.split(parameters).get("linear")
    if linear is not None:
        table = linear.reshape(partition.num_regions, -1)  # a view
        table[~is_felt] = table[is_felt].mean(axis=0)
    return parameters


def _coefficients_of(base: Reward, regional: Reward, parameters: Floats, count: int) -> list[tuple[Coefficient, ...]]:
    """The linear part's, by region; none where there is no such part."""
    linear = base.part("linear")
    if not isinstance(linear, LinearPart):
        return [()] * count
    table = regional.split(parameters)["linear"].reshape(count, -1)
    return [
        tuple(
            Coefficient(name, float(value), None, NOTES["parts"])
            for name, value in zip(linear.features.names, linear.coefficients(row), strict=True)
        )
        for row in table
    ]


def _summaries(rows: list[tuple[Coefficient, ...]], partition: Partition, shards: Shards) -> tuple[RegionSummary, ...]:
    edges = np.bincount(partition.region, minlength=partition.num_regions)
    routes = {info.region: info.num_routes for info in shards.infos}
    felt = {region for info in shards.infos for region in info.regions}
    return tuple(
        RegionSummary(
            region, int(edges[region]), routes.get(region, 0), own, "" if region in felt else NOTES["untaught"]
        )
        for region, own in enumerate(rows)
    )


def merged_costs(
    network: RoadNetwork, features: Features, partition: Partition, table: Floats, config: Config, empty: Empty
) -> tuple[Floats, Floats, int]:
    """(turn cost[T], entry cost[E], number of turns raised to the minimum cost) of coefficients float64[R, F].

    An edge is priced by its own region. Where no route made a search come by, a turn's cost may not be positive: it is
    raised to the minimum then, and counted.
    """
    regional = RegionalFeatures(features, partition.region, partition.num_regions)
    cost, raised = regional.reward(table.ravel(), empty), 0
    for at in blocks_of(len(cost)):
        own = -cost[at]
        raised += int((own < config.reward.minimum_cost).sum())
        cost[at] = np.maximum(own, config.reward.minimum_cost)
    return cost, entry_costs(regional.edge_reward(table.ravel()), cost, network.turns.to_edge), raised


def shared_coefficients(optimum: RegionalOptimum, scale: Floats, names: tuple[str, ...]) -> tuple[Coefficient, ...]:
    """The one reward of all regions, with classical standard errors."""
    matrix = Pooling(len(optimum.table), len(names), np.inf).hessian(optimum.curvature)
    return _estimates(optimum.table[:1], matrix, scale, names)[0]


def region_summaries(
    optimum: RegionalOptimum,
    penalty: float,
    scale: Floats,
    names: tuple[str, ...],
    partition: Partition,
    shards: Shards,
) -> tuple[RegionSummary, ...]:
    """What each region learned. With a penalty, standard errors are those of the posterior around the common mean."""
    count = partition.num_regions
    edges = np.bincount(partition.region, minlength=count)
    routes = {info.region: info.num_routes for info in shards.infos}
    if np.isinf(penalty):
        rows = [shared_coefficients(optimum, scale, names)] * count
    else:
        matrix = Pooling(partition.num_regions, len(names), penalty).hessian(optimum.curvature)
        rows = _estimates(optimum.table, matrix, scale, names)
    is_untaught = (optimum.curvature.reshape(count, -1) == 0).all(axis=1)
    summaries = []
    for region, own in enumerate(rows):
        note = NOTES["untaught"] if is_untaught[region] and not np.isinf(penalty) else ""
        note = note or ("" if optimum.is_whole else NOTES["given others"])
        if note == NOTES["untaught"]:
            own = tuple(Coefficient(c.name, c.value, None, note) for c in own)
        summaries.append(RegionSummary(region, int(edges[region]), routes.get(region, 0), own, note))
    return tuple(summaries)


def _estimates(
    table: Floats, information: Floats, scale: Floats, names: tuple[str, ...]
) -> list[tuple[Coefficient, ...]]:
    """Coefficients by row of a table float64[R, F], from the information of all of them, float64[R F, R F]."""
    found = covariance(information, np.zeros((0, table.size)))
    errors = found.errors(found.classical).reshape(table.shape)
    result = []
    for values, sizes in zip(table, errors, strict=True):
        row = []
        for name, value, size, unit in zip(names, values, sizes, scale, strict=True):
            note = NOTES["alike"] if np.isnan(size) else NOTES["runaway"] if size > _RUNAWAY else ""
            row.append(Coefficient(name, float(value / unit), None if note else float(size / unit), note))
        result.append(tuple(row))
    return result
