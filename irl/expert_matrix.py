"""Every region's reward on every other region's trips: what experts know of each other's travellers.

Barnes et al. (2024), figure 4, drew it for their regions; here the loss is the likelihood, and pooled and averaged
rewards stand beside the experts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.config import PlannerConfig
from ..core.errors import ConfigurationError, NoDemonstrationsError
from ..core.types import Floats
from ..graphs.road_graph import RoadNetwork
from .demonstrations import Demonstrations
from .features import make_features
from .model import LearnedModel
from .planner import Planner
from .problem import NO_VALUES

AVERAGED, MERGED = "averaged", "merged"
"""Names of the two further rewards: the mean of all regions', and each edge by its own region's (the model served)."""


@dataclass(frozen=True, eq=False)
class ExpertMatrix:
    """Negative log-likelihood per route of each region's trips under each reward, float64[regions, rewards].

    NaN where a reward has no values there, or a region no trips.
    """

    loss: Floats
    regions: tuple[int, ...]
    rewards: tuple[str, ...]
    """``region N`` for each region, then `AVERAGED` and `MERGED`."""
    num_routes: tuple[int, ...]
    is_simulated: bool

    @property
    def excess(self) -> Floats:
        """Loss minus that of the region's own expert: what it costs to be judged by another."""
        own = self.loss[np.arange(len(self.regions)), np.arange(len(self.regions))]
        return np.asarray(self.loss - own[:, None])

    def to_json(self) -> dict[str, Any]:
        """Everything, as dictionaries, lists and numbers; None for NaN."""
        rows = [[None if np.isnan(value) else value for value in row] for row in self.loss.tolist()]
        return {
            "negative_log_likelihood_per_route": rows,
            "trips_of_region": list(self.regions),
            "reward": list(self.rewards),
            "num_routes": list(self.num_routes),
            "is_simulated": self.is_simulated,
        }


def expert_matrix(
    model: LearnedModel, routes: Demonstrations, *, progress: Callable[[int, int], None] | None = None
) -> ExpertMatrix:
    """Score every region's reward on the routes that begin in each region, best on routes that were held out.

    Every reward prices the whole map here, so that all are asked about the same routes: regions^2 + 2 regions
    likelihoods.

    Parameters
    ----------
    progress
        Called with (likelihoods done, likelihoods).

    Raises
    ------
    ConfigurationError
        The model has one reward everywhere.
    NoDemonstrationsError
        No route is possible under the ending.
    """
    if model.edge_region is None or len(model.regions) < 2:
        raise ConfigurationError(
            where="experts", problem="the model has one reward everywhere; train it with --regions"
        )
    if not model.config.reward.is_plain:
        raise ConfigurationError(
            where="experts", problem="corrections and MLPs are of their edges; only linear rewards price other regions"
        )
    usable = routes.for_ending(model.ending)
    network, names = model.network, tuple(c.name for c in model.regions[0].coefficients)
    features = make_features(network, names)
    table = np.array([[c.value for c in region.coefficients] for region in model.regions])
    rewards = {f"region {region.region}": row for region, row in zip(model.regions, table, strict=True)}
    rewards[AVERAGED] = table.mean(axis=0)
    minimum = model.config.reward.minimum_cost
    costs = {name: np.maximum(-features.reward(row), minimum) for name, row in rewards.items()}
    costs[MERGED] = model.turn_cost
    home = model.edge_region[usable.origin]
    regions = tuple(region.region for region in model.regions)
    loss = np.full((len(regions), len(costs)), np.nan)
    counts = []
    for row, region in enumerate(regions):
        mine = usable.take(np.flatnonzero(home == region))
        counts.append(len(mine))
        for column, cost in enumerate(costs.values()):
            if len(mine):
                loss[row, column] = _loss(network, model.config.planner, mine, cost)
            if progress is not None:
                progress(row * len(costs) + column + 1, loss.size)
    if not any(counts):
        raise NoDemonstrationsError(source=usable.source, num_routes=len(usable), causes={"begin in no region": 0})
    return ExpertMatrix(loss, regions, tuple(costs), tuple(counts), model.is_simulated or usable.is_simulated)


def _loss(network: RoadNetwork, config: PlannerConfig, routes: Demonstrations, cost: Floats) -> float:
    """Per unit of weight; NaN where the reward has no values."""
    from .batches import make_batch

    planner = Planner(network.turns, config, edge_id=network.graph.edge_id)
    try:
        value, _ = planner.log_likelihood(-cost, make_batch(routes, planner.config))
    except NO_VALUES:
        return np.nan
    return -value / float(routes.weight.sum())
