"""The corrections of single edges and turns that a model learned beside its features, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...core.types import Floats, Ids, Ints
from ...graphs.road_graph import RoadNetwork
from ..demonstrations import Demonstrations
from ..model import LearnedModel
from ..rewards.building import reward_of
from ..rewards.parts import Corrections


@dataclass(frozen=True, eq=False)
class LearnedCorrections:
    """Corrections of one kind."""

    of: Literal["edge", "turn"]
    at: Ints
    """int32[P], ascending: the edges or turns that have one."""
    value: Floats
    """float64[P] in nats of raw cost, the mean over an ensemble's members; positive = dearer than the features say."""

    def largest(self, count: int) -> Ids:
        """int64: rows of the largest by size, the largest first; of equal ones the first."""
        return np.argsort(-np.abs(self.value), kind="stable")[:count]


def corrections_of(model: LearnedModel) -> tuple[LearnedCorrections, ...]:
    """What the reward adds to single edges and turns; empty where it has no such part.

    Raises
    ------
    ConfigurationError
        The reward has an MLP, and the package that it needs is not installed.
    """
    if model.regions or not model.config.reward.corrections:
        return ()
    reward, members = reward_of(model)
    own = reward.split(np.asarray(members.mean(axis=0)))
    return tuple(
        LearnedCorrections(part.of, part.supported, np.asarray(own[part.name]))
        for part in reward.parts
        if isinstance(part, Corrections)
    )


def num_uses(routes: Demonstrations, of: Literal["edge", "turn"]) -> Ids:
    """int64[E] or [T]: how many of the routes pass each edge (after their first) or turn, each route counted once."""
    turn, row = routes.turns()
    used = turn if of == "turn" else routes.network.turns.to_edge[turn]
    size = routes.network.turns.num_turns if of == "turn" else routes.network.graph.num_edges
    pairs = np.unique(np.stack([used.astype(np.int64), row.astype(np.int64)], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=size)


def has_osm_ids(network: RoadNetwork) -> bool:
    """Whether way and node ids are OpenStreetMap's own: not so on a tiled network, whose copies share them."""
    return network.shapes is not None and "tiled" not in network.report


def osm_ways(network: RoadNetwork, edge: int) -> list[int]:
    """The distinct OSM ways of an edge in order of travel; empty where there are none."""
    if network.shapes is None or not has_osm_ids(network):
        return []
    begin, end = network.shapes.first_way[edge], network.shapes.first_way[edge + 1]
    return list(dict.fromkeys(network.shapes.osm_way[begin:end].tolist()))


def describe_edge(network: RoadNetwork, edge: int) -> str:
    """An edge's street name and class, or its id where it has neither."""
    columns = (network.attributes.name, network.attributes.road_class)
    texts = [column.text(edge) for column in columns if column is not None]
    return ", ".join(text for text in texts if text) or f"edge {int(network.graph.edge_id[edge])}"
