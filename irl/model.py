"""What training leaves behind: coefficients, the final cost of every turn, and how they were found. Imports no JAX."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.config import Config, ContextConfig
from ..core.types import Floats, Ids, Ints
from ..graphs.costs import along_costs
from ..graphs.export import to_geodataframe, to_networkx
from ..graphs.road_graph import RoadNetwork
from .destinations import Ending

if TYPE_CHECKING:
    import geopandas
    import networkx as nx


@dataclass(frozen=True)
class Coefficient:
    """One estimated coefficient of the reward."""

    name: str
    value: float
    standard_error: float | None
    """None where there is none; ``note`` says why."""
    note: str = ""
    robust_standard_error: float | None = None
    """From the sandwich ``H^-1 B H^-1``: holds where the model is wrong, not only where it is right."""
    clustered_standard_error: float | None = None
    """The same with the routes of one traveller allowed to depend on each other; None where none are named."""

    @property
    def t_ratio(self) -> float | None:
        """Value over standard error."""
        return self.value / self.standard_error if self.standard_error else None


@dataclass(frozen=True)
class RegionSummary:
    """What one region's expert learned."""

    region: int
    num_edges: int
    num_routes: int
    coefficients: tuple[Coefficient, ...]
    note: str = ""


def context_name(period: str, group: str) -> str:
    """``peak``, ``commuter`` or ``peak/commuter``."""
    return "/".join(filter(None, (period, group)))


@dataclass(frozen=True, eq=False)
class ContextReward:
    """What was learned of the trips of one period, of one group, or of both."""

    period: str
    """Empty where there are no periods."""
    group: str
    """Empty where there are no groups."""
    num_routes: int
    coefficients: tuple[Coefficient, ...]
    turn_cost: Floats
    """float64[T], > 0."""
    entry_cost: Floats
    """float64[E], > 0."""

    @property
    def name(self) -> str:
        """What it is called, as a metric too."""
        return context_name(self.period, self.group)


@dataclass(frozen=True, eq=False)
class LearnedModel:
    """A learned reward on its network, ready to serve."""

    network: RoadNetwork
    config: Config
    coefficients: tuple[Coefficient, ...]
    """Of the whole network; empty where regions have their own."""
    turn_cost: Floats
    """float64[T], > 0: minus the reward of every turn."""
    entry_cost: Floats
    """float64[E], > 0: what entering an edge costs without the turn onto it; compares a trip's first edges."""
    baseline_costs: dict[str, Floats]
    """``shortest``, ``fastest``, ``fastest_penalised`` (where it was tuned): float64[T], > 0, in metres or seconds."""
    training_pairs: Ids
    """int64, sorted: the (origin, destination) pairs of the training routes (`Demonstrations.pair_keys`)."""
    summary: dict[str, Any]
    """Log-likelihood, routes used and skipped, iterations, solver, radius, penalties, seconds; JSON."""
    is_simulated: bool
    """Learned from simulated routes: everything shown from it says so."""
    regions: tuple[RegionSummary, ...] = ()
    edge_region: Ints | None = field(default=None)
    """int32[E], which region's expert prices each edge; None for one reward everywhere."""
    parts: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Of a reward with corrections, an MLP or members: what `trodden.irl.rewards.building` made it of, and ``members``
    float64[K, P]; empty for a linear one, which is all in the coefficients."""
    contexts: tuple[ContextReward, ...] = ()
    """Rewards that differ by time of departure or by group; costs and coefficients above are then those of one reward
    for all trips. `trodden.irl.contexts` says which a trip belongs to."""

    @property
    def ending(self) -> Ending:
        """How routes end under this model."""
        return self.config.planner.ending

    @property
    def horizon(self) -> int | Literal["infinity"]:
        """Soft steps of the policy it was trained with."""
        return self.config.planner.horizon

    @property
    def reward(self) -> Floats:
        """float64[T], < 0."""
        return -self.turn_cost

    @property
    def edge_cost(self) -> Floats:
        """float64[E] >= 0: what travelling each edge costs, without the turn onto it.

        The cheapest turn onto the edge, or its entry cost where that is less. What turns cost beyond that is no part of
        it, so that a cheapest path by these numbers is not quite the one that `Router` finds.
        """
        return along_costs(self.network.turns, self.turn_cost, self.entry_cost)

    def to_networkx(self) -> nx.MultiDiGraph[int]:
        """The road graph as osmnx has it, with ``learned_cost`` (`edge_cost`) on every edge.

        Raises
        ------
        MissingDataError
            The network has no coordinates.
        """
        graph = to_networkx(self.network, columns={"learned_cost": self.edge_cost})
        if self.is_simulated:
            graph.graph["learned_from"] = "simulated routes"
        return graph

    def edges(self) -> geopandas.GeoDataFrame:
        """The edges as a GeoDataFrame with ``learned_cost`` (`edge_cost`) and ``learned_cost_per_m``.

        Index (u, v, key), EPSG:4326, as ``osmnx.graph_to_gdfs`` makes it; ``model.edges().explore("learned_cost")``
        draws it.

        Raises
        ------
        MissingDataError
            The network has no coordinates.
        """
        return to_geodataframe(self.network, self.edge_columns())

    def edge_columns(self) -> dict[str, Floats]:
        """``learned_cost`` and, where there are lengths, ``learned_cost_per_m``: float64[E] each."""
        columns = {"learned_cost": self.edge_cost}
        if self.network.attributes.length_m is not None:
            columns["learned_cost_per_m"] = self.edge_cost / self.network.attributes.length_m
        return columns

    def coefficient(self, name: str) -> float:
        """One coefficient by its feature's name; `KeyError` where there is none."""
        return {c.name: c.value for c in self.coefficients}[name]

    def in_context(self, name: str) -> LearnedModel:
        """The model of one context alone, for whatever knows of no contexts; `KeyError` where there is none.

        It has no log-likelihood of its own.
        """
        own = {one.name: one for one in self.contexts}[name]
        context, nothing = self.config.context, dict.fromkeys(("log_likelihood", "log_likelihood_per_route"))
        reward = {"features": context.features_in(own.period, [one.name for one in self.coefficients])}
        changed = {"reward": self.config.reward.model_copy(update=reward), "context": ContextConfig()}
        return self.replace(
            config=self.config.model_copy(update=changed),
            coefficients=own.coefficients,
            turn_cost=own.turn_cost,
            entry_cost=own.entry_cost,
            contexts=(),
            summary={**self.summary, **nothing, "num_free_parameters": None, "covariances": {}, "context": name},
        )

    def replace(self, **changes: Any) -> LearnedModel:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def entry_costs(edge_reward: Floats, turn_cost: Floats, to_edge: Ints) -> Floats:
    """What it costs to begin on each edge, float64[E] > 0.

    Minus the part of the reward that depends on the edge alone; where that is not positive (only totals with their turn
    need be), the cheapest turn onto the edge stands in, and where nothing leads there, the cheapest turn of all.
    """
    cheapest = np.full(len(edge_reward), np.inf)
    np.minimum.at(cheapest, to_edge, turn_cost)
    cheapest[~np.isfinite(cheapest)] = turn_cost.min(initial=1.0)
    return np.where(edge_reward < 0, -edge_reward, cheapest)
