"""What a partition does to a network and its demonstrations: balance, cut turns, crossing routes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..graphs.partition import Partition
from ..graphs.road_graph import RoadNetwork
from ..irl.demonstrations import Demonstrations


@dataclass(frozen=True)
class RegionReport:
    """One region."""

    region: int
    num_edges: int
    num_routes: int
    """Routes that begin in it."""
    num_steps: int
    """Edges of routes that lie in it, each as often as a route takes it."""
    num_crossing: int
    """Of the routes that begin in it, those that leave it."""
    num_border_turns: int
    """Turns that lead out of it."""


@dataclass(frozen=True)
class PartitionReport:
    """All regions, and what lies between them."""

    regions: tuple[RegionReport, ...]
    num_routes: int
    num_crossing: int
    num_turns: int
    num_border_turns: int
    is_simulated: bool
    """The routes were drawn by `trodden simulate`."""

    @property
    def edge_imbalance(self) -> float:
        """Edges of the largest region over the mean."""
        return _imbalance([one.num_edges for one in self.regions])

    @property
    def route_imbalance(self) -> float:
        """Routes of the busiest region over the mean."""
        return _imbalance([one.num_routes for one in self.regions])

    def to_json(self) -> dict[str, Any]:
        """Everything, as dictionaries, lists and numbers."""
        return {**asdict(self), "edge_imbalance": self.edge_imbalance, "route_imbalance": self.route_imbalance}


def report_partition(network: RoadNetwork, partition: Partition, routes: Demonstrations | None) -> PartitionReport:
    """Count what `PartitionReport` says. O(T + R + M)."""
    count, turns = partition.num_regions, network.turns
    is_border = partition.is_border(turns)
    borders = np.bincount(partition.region[turns.from_edge[is_border]], minlength=count)
    begins = steps = crossing = np.zeros(count, np.int64)
    num_routes = num_crossing = 0
    if routes is not None:
        leaves = partition.is_crossing(routes.first, routes.edge)
        home = partition.region[routes.origin]
        begins, crossing = np.bincount(home, minlength=count), np.bincount(home[leaves], minlength=count)
        steps = np.bincount(partition.region[routes.edge], minlength=count)
        num_routes, num_crossing = len(routes), int(leaves.sum())
    edges = np.bincount(partition.region, minlength=count)
    columns = zip(*(one.tolist() for one in (edges, begins, steps, crossing, borders)), strict=True)
    return PartitionReport(
        tuple(RegionReport(region, *row) for region, row in enumerate(columns)),
        num_routes,
        num_crossing,
        turns.num_turns,
        int(is_border.sum()),
        routes is not None and routes.is_simulated,
    )


def _imbalance(sizes: list[int]) -> float:
    return max(sizes) * len(sizes) / max(sum(sizes), 1)
