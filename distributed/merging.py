"""A table of coefficients -> one model whose every turn has a cost, so that routes cross borders freely."""

from __future__ import annotations

import numpy as np

from ..core.config import Config
from ..core.types import Floats
from ..graphs.partition import Partition
from ..graphs.road_graph import RoadNetwork
from ..irl.feature_columns import Features
from ..irl.inference import covariance
from ..irl.model import Coefficient, RegionSummary, entry_costs
from ..irl.pooling import Pooling
from ..irl.regional_features import RegionalFeatures
from ..irl.regional_fit import RegionalOptimum
from .regions import Shards

_RUNAWAY = 50.0
"""Standard error in scaled coefficients beyond which there is no estimate."""
NOTES = {
    "alike": "these routes do not tell it apart from other features (constant over the choices, or collinear)",
    "untaught": "no trip passes here: this is what the other regions have in common",
    "given others": "standard errors are those given the other regions' coefficients",
    "runaway": "runs away: these routes (almost) never or always take it, so its size means nothing",
}


def merged_costs(
    network: RoadNetwork, features: Features, partition: Partition, table: Floats, config: Config
) -> tuple[Floats, Floats, int]:
    """(turn cost[T], entry cost[E], number of turns raised to the minimum cost) of coefficients float64[R, F].

    An edge is priced by its own region. Where no route made a search come by, a turn's cost may not be positive: it is
    raised to the minimum then, and counted.
    """
    regional = RegionalFeatures(features, partition.region, partition.num_regions)
    cost = -regional.reward(table.ravel())
    turn_cost = np.maximum(cost, config.reward.minimum_cost)
    entry = entry_costs(regional.edge_reward(table.ravel()), turn_cost, network.turns.to_edge)
    return turn_cost, entry, int((cost < config.reward.minimum_cost).sum())


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
