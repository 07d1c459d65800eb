"""The likelihood of one shard's trips under regional coefficients, block by block: pure, without Ray or disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..core.config import PlannerConfig
from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.road_graph import RoadNetwork
from .batches import make_batch
from .demonstrations import Demonstrations, joined
from .destinations import Ending, destination_key
from .features import make_features
from .linear_rewards import Rows
from .planner import Planner
from .problem import NO_VALUES
from .regional_features import RegionalFeatures
from .rewards.reward import Reward, RewardAt
from .trips import Batch, TripBatch

BLOCK_ROUTES = 256
"""Routes to a block. Fixed: what a sum depends on must not depend on how many work on it."""


@dataclass(frozen=True, eq=False)
class TripSet:
    """Routes of a shard that serve one purpose and end in one way."""

    routes: Demonstrations
    ending: Ending
    is_held_out: bool
    """Not learned from: what chooses the penalty is measured on these."""


@dataclass(frozen=True)
class Block:
    """Some routes of a trip set, so many as one call evaluates."""

    trip_set: int
    begin: int
    end: int
    is_held_out: bool
    weight: float
    """Sum of the routes' weights."""


@dataclass(frozen=True, eq=False)
class BlockAnswer:
    """What a block of routes says of some coefficients."""

    loss: float
    """Negative log-likelihood of the block, in nats; NaN where refused."""
    gradient: Floats
    """float64[K, F], in the features' own units; of a reward with several parts, float64[P]."""
    watched: float
    """Expected number of visits to watched edges."""
    refusal: str = ""
    """Name of the error that these coefficients met, and what it says."""


class RegionalLikelihood:
    """Evaluates blocks of a shard's trips.

    Parameters
    ----------
    network
        The shard's own: what its trips can feel of the map.
    region
        int32[E], which of the shard's regions prices each edge.
    names
        Features, spelled out.
    is_watched
        bool[E]: edges whose expected visits are reported (those beyond which the shard knows nothing).
    reward
        Where it is not linear: made by `trodden.irl.rewards.regional.by_region`, with the shard's own corrections.
    """

    def __init__(
        self,
        network: RoadNetwork,
        region: Ints,
        num_regions: int,
        names: tuple[str, ...],
        trip_sets: tuple[TripSet, ...],
        config: PlannerConfig,
        is_watched: Bools | None = None,
        reward: Reward | None = None,
    ) -> None:
        self.network, self.trip_sets = network, trip_sets
        self._reward, self._is_watched = reward, is_watched
        self._features = RegionalFeatures(make_features(network, names), region, num_regions, is_watched)
        self._config = config
        self._planners: dict[Ending, Planner] = {}
        self._order = [_by_destination(one.routes, one.ending) for one in trip_sets]
        self._batches: dict[Block, tuple[Batch, Floats]] = {}
        self.blocks = tuple(self._blocks())

    def evaluate(self, block: Block, table: Floats) -> BlockAnswer:
        """Loss and gradient of a block under coefficients float64[K, F]; a refusal is an answer, not an error.

        A function of its arguments alone: the same bytes however often, wherever and in whichever order it is called.
        """
        ending = self.trip_sets[block.trip_set].ending
        planner, (batch, observed) = self._planner(ending), self._batch(block)
        features = self._features
        coefficients = np.zeros(len(features))
        coefficients[: table.size] = table.ravel()
        try:
            if isinstance(batch, TripBatch):
                total, expected = planner.linear_total_value(features, coefficients, batch)
                value, slope = float(observed @ coefficients) - total, observed - expected
            else:
                value, slope = planner.linear_log_likelihood(features, coefficients, batch)
        except NO_VALUES as error:
            return BlockAnswer(np.nan, np.full(table.shape, np.nan), np.nan, f"{type(error).__name__}: {error}")
        watched = 0.0 if features.is_watched is None else float(observed[-1] - slope[-1])
        return BlockAnswer(-value, -features.table(slope), max(watched, 0.0))

    def evaluate_reward(self, block: Block, parameters: Floats) -> BlockAnswer:
        """The same of the ``reward`` at its parameters, float64[P]."""
        assert self._reward is not None  # the shard was written for one
        planner, (batch, _) = self._planner(self.trip_sets[block.trip_set].ending), self._batch(block)
        at = _Watched(self._reward, parameters, self._is_watched, self.network)
        try:
            if isinstance(batch, TripBatch):
                turn, count = self._taken(block)
                total, expected = planner.linear_total_value(at, at.parameters, batch)
                value = float(count @ at.reward_at(turn, parameters)) - total
                slope = at.project_at(turn, count) - expected
                watched = float(expected[-1])
            else:
                value, slope = planner.linear_log_likelihood(at, at.parameters, batch)
                watched = 0.0
        except NO_VALUES as error:
            none = np.full(len(parameters), np.nan)
            return BlockAnswer(np.nan, none, np.nan, f"{type(error).__name__}: {error}")
        return BlockAnswer(-value, -slope[:-1], max(watched, 0.0))

    def rest(self) -> None:
        """Another shard's turn: give back what is kept for the next evaluation's speed alone."""
        for planner in self._planners.values():
            planner.rest()

    def _taken(self, block: Block) -> tuple[Ints, Floats]:
        """(turns that the block's routes take, their weight)."""
        routes = self.trip_sets[block.trip_set].routes.take(self._order[block.trip_set][block.begin : block.end])
        turn, row = routes.turns()
        taken, place = np.unique(turn, return_inverse=True)
        return taken, np.bincount(place.reshape(-1), routes.weight[row], minlength=len(taken)).astype(np.float64)

    def _blocks(self) -> Iterator[Block]:
        for number, one in enumerate(self.trip_sets):
            for begin in range(0, len(one.routes), BLOCK_ROUTES):
                end = min(begin + BLOCK_ROUTES, len(one.routes))
                weight = float(one.routes.weight[self._order[number][begin:end]].sum())
                yield Block(number, begin, end, one.is_held_out, weight)

    def _planner(self, ending: Ending) -> Planner:
        if ending not in self._planners:
            config = self._config.model_copy(update={"ending": ending})
            planner = Planner(self.network.turns, config, edge_id=self.network.graph.edge_id)
            same = [one.routes for one in self.trip_sets if one.ending == ending]
            if config.horizon == "infinity":
                # Compressed once for all trips of the shard, whichever blocks come by.
                planner.prepare(joined(same).batch(ending, with_observed=False))
            self._planners[ending] = planner
        return self._planners[ending]

    def _batch(self, block: Block) -> tuple[Batch, Floats]:
        """The block as its solver needs it, and its observed features, float64[K F (+ 1)]."""
        if block not in self._batches:
            one = self.trip_sets[block.trip_set]
            routes = one.routes.take(self._order[block.trip_set][block.begin : block.end])
            config = self._planner(one.ending).config
            turn, row = routes.turns()
            observed = self._features.project_at(turn, routes.weight[row])
            if config.horizon == "infinity":
                self._batches[block] = routes.batch(one.ending, with_observed=False), observed
            else:
                self._batches[block] = make_batch(routes, config), observed
        return self._batches[block]


class _Watched(RewardAt):
    """A reward at a point, and one column more that is 1 on turns onto watched edges: its gradient counts visits."""

    def __init__(self, reward: Reward, parameters: Floats, is_watched: Bools | None, network: RoadNetwork) -> None:
        super().__init__(reward, parameters)
        self.parameters = np.append(parameters, 0.0)
        self._is_onto = None if is_watched is None else is_watched[network.turns.to_edge]

    def __len__(self) -> int:
        return len(self.parameters)

    def project(self, weights: Floats) -> Floats:
        """float64[P + 1]."""
        return np.append(super().project(weights), self._visits(slice(None), weights))

    def project_at(self, turns: Rows, weights: Floats) -> Floats:
        """float64[P + 1]."""
        return np.append(super().project_at(turns, weights), self._visits(turns, weights))

    def _visits(self, turns: Rows, weights: Floats) -> float:
        return 0.0 if self._is_onto is None else float((weights * self._is_onto[turns]).sum())


def _by_destination(routes: Demonstrations, ending: Ending) -> Ids:
    """Rows of the routes, those to one destination together: they share searches and solves."""
    keys = destination_key(routes.network.graph, routes.last_edge, ending)
    return np.asarray(np.argsort(keys, kind="stable"), np.int64)
