"""A network and its demonstrations -> one shard per region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.types import Floats, Ints
from ..graphs.partition import Partition, sub_network
from ..graphs.road_graph import RoadNetwork
from ..irl.demonstrations import Demonstrations, demonstrations_from_edges
from ..irl.texts import Texts


@dataclass(frozen=True, eq=False)
class Shard:
    """What one region's expert learns from: its own part of the network, and the trips that lie inside."""

    region: int
    network: RoadNetwork
    rows: tuple[Ints, ...]
    """Each trip's edges, as positions in the shard's own network."""
    route_id: Texts
    weight: Floats
    is_simulated: bool
    traveller: Texts | None = None

    def demonstrations(self) -> Demonstrations:
        """The shard's trips, checked against its network."""
        return demonstrations_from_edges(
            self.network,
            self.rows,
            self.route_id,
            weight=self.weight,
            source=f"region {self.region}",
            is_simulated=self.is_simulated,
            traveller=self.traveller,
        )


def make_shards(network: RoadNetwork, routes: Demonstrations, partition: Partition) -> tuple[list[Shard], int]:
    """(shards, number of trips that cross a border and are in none of them). O(regions (E + T))."""
    is_crossing = partition.is_crossing(routes.first, routes.edge)
    home = partition.region[routes.origin]
    shards = []
    for region in range(partition.num_regions):
        edges = partition.edges(region)
        position = np.full(network.graph.num_edges, -1, np.int32)
        position[edges] = np.arange(len(edges), dtype=np.int32)
        mine = np.flatnonzero((home == region) & ~is_crossing)
        shards.append(
            Shard(
                region,
                sub_network(network, edges),
                tuple(position[routes.route(row)] for row in mine.tolist()),
                routes.route_id.take(mine),
                routes.weight[mine],
                routes.is_simulated,
                None if routes.traveller is None else routes.traveller.take(mine),
            )
        )
    return shards, int(is_crossing.sum())
