"""Models nobody trained: a stated linear reward on a network, in the form that training leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from small_city import city_xml
from trodden.core.config import Config, parse_config
from trodden.graphs.costs import fastest_costs, shortest_costs
from trodden.graphs.reading import read_roads
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.features import make_features
from trodden.irl.model import Coefficient, LearnedModel, entry_costs

TASTE: Mapping[str, float] = {"travel_time_min": -1.5, "is_left": -0.6, "is_uturn": -3.0, "constant": -0.8}


def small_city(folder: Path, **options: object) -> RoadNetwork:
    """The small city, read from its file."""
    path = folder / "city.osm"
    path.write_text(city_xml(**options), encoding="utf-8")
    return read_roads(path)


def stated_model(network: RoadNetwork, taste: Mapping[str, float] = TASTE) -> LearnedModel:
    """A model with this taste; its baselines are the fastest and the shortest."""
    features = make_features(network, tuple(taste))
    coefficients = np.array(list(taste.values()))
    turn_cost = -(features.rows(np.arange(network.turns.num_turns)) @ coefficients)
    to_edge = network.turns.to_edge
    config: Config = parse_config({"reward": {"features": list(taste)}}, where="a test")
    return LearnedModel(
        network=network,
        config=config,
        coefficients=tuple(Coefficient(name, value, None, "stated") for name, value in taste.items()),
        turn_cost=turn_cost,
        entry_cost=entry_costs(np.zeros(network.graph.num_edges), turn_cost, to_edge),
        baseline_costs={"fastest": fastest_costs(network)[0], "shortest": shortest_costs(network)[0]},
        training_pairs=np.empty(0, np.int64),
        summary={},
        is_simulated=True,
    )
