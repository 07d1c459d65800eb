"""Shards for the whole map's own model: a region, the edges that its turns lead to, and its part of every trip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..core.folders import StoredFolder
from ..core.types import Bools, Ints
from ..graphs.partition import Partition, sub_network
from ..graphs.road_graph import RoadNetwork
from ..graphs.store import load_network
from ..irl.border_likelihood import BorderLikelihood, RegionTripSet
from ..irl.border_system import RegionTrips
from ..irl.demonstrations import Demonstrations
from ..irl.destinations import Ending
from ..irl.regional_likelihood import Block
from .shard_files import ShardInfo, store_shard

BORDERS = "borders"
"""What ``crossing`` is called in such shards."""
_TRIPS = ("origin", "column", "weight", "goal", "goal_column", "goal_weight")


def write_border_shards(
    folder: Path,
    network: RoadNetwork,
    routes: Demonstrations,
    partition: Partition,
    names: tuple[str, ...],
    ending: Ending,
    is_held_out: Bools,
) -> tuple[ShardInfo, ...]:
    """One shard per region, with trips or without: values of the whole map need all of them. O(regions (T + M))."""
    turns = network.turns
    states = np.unique(turns.to_edge[partition.is_border(turns)])
    parts = [
        (held, _Part(routes.take(np.flatnonzero(is_held_out == held)), ending))
        for held in (False, True)
        if (is_held_out == held).any()
    ]
    infos = []
    for region in range(partition.num_regions):
        inside = partition.region == region
        out_of = turns.to_edge[inside[turns.from_edge] & ~inside[turns.to_edge]]
        edges = np.union1d(np.flatnonzero(inside), out_of).astype(np.int32)
        position = np.full(network.graph.num_edges, -1, np.int32)
        position[edges] = np.arange(len(edges), dtype=np.int32)
        is_exit = ~inside[edges]
        is_state = np.isin(edges, states)
        number = np.where(is_state, np.searchsorted(states, edges), -1).astype(np.int32)
        labels, of_edge = np.unique(partition.region[edges], return_inverse=True)
        own = sub_network(network, edges, is_exit=is_exit)
        arrays: dict[str, Any] = {
            "region": of_edge.reshape(-1).astype(np.int32),
            "is_exit": is_exit,
            "is_entry": is_state & ~is_exit,
            "number": number,
            "edges": edges,
        }
        for k, (_, part) in enumerate(parts):
            arrays |= {f"{name}.{k}": array for name, array in part.inside(inside, position, own).items()}
        document = {
            "region": region,
            "regions": labels.tolist(),
            "features": list(names),
            "crossing": BORDERS,
            "is_simulated": routes.is_simulated,
            "trip_sets": [{"is_held_out": held, "num_columns": part.num_columns} for held, part in parts],
        }
        store_shard(folder, region, own, document, arrays)
        begins = inside[routes.origin]
        blocks = tuple(
            Block(k, 0, len(arrays[f"origin.{k}"]), held, float(arrays[f"weight.{k}"].sum()))
            for k, (held, _) in enumerate(parts)
        )
        weight = float(routes.weight[begins].sum())
        infos.append(ShardInfo(region, tuple(labels.tolist()), len(edges), int(begins.sum()), weight, blocks))
    return tuple(infos)


def open_border_shard(stored: StoredFolder) -> BorderLikelihood:
    """A region's part, from its folder; KeyError or TypeError where that lacks something."""
    document, arrays = stored.document, stored.arrays
    trip_sets = tuple(
        RegionTripSet(
            RegionTrips(one["num_columns"], *(arrays[f"{name}.{k}"] for name in _TRIPS)),
            arrays[f"turn.{k}"],
            arrays[f"turn_weight.{k}"],
            one["is_held_out"],
        )
        for k, one in enumerate(document["trip_sets"])
    )
    return BorderLikelihood(
        load_network(stored.folders["network"]),
        arrays["region"],
        len(document["regions"]),
        tuple(document["features"]),
        arrays["is_exit"],
        arrays["is_entry"],
        arrays["number"],
        trip_sets,
    )


class _Part:
    """Routes of one purpose, grouped once for all regions."""

    def __init__(self, routes: Demonstrations, ending: Ending) -> None:
        self._batch = routes.batch(ending, with_observed=False)
        ends = self._batch.destinations
        self.num_columns = len(ends)
        self._goal_column = np.repeat(np.arange(len(ends)), np.diff(ends.first))
        arriving = np.bincount(self._batch.column, self._batch.weight, minlength=len(ends))
        # Under *stop* a route's probability is not cut at a first visit: nothing is taken away there.
        self._goal_weight = arriving[self._goal_column] if ending == "arrival" else np.zeros(len(ends.edge))
        turn, row = routes.turns()
        self._turn, place = np.unique(turn, return_inverse=True)
        self._turn_weight = np.bincount(place.reshape(-1), routes.weight[row], minlength=len(self._turn))
        self._from, self._to = (
            routes.network.turns.from_edge[self._turn],
            routes.network.turns.to_edge[self._turn],
        )

    def inside(self, inside: Bools, position: Ints, own: RoadNetwork) -> dict[str, Any]:
        """What the region of the edges ``inside`` knows of the trips, its network's ``own`` positions."""
        batch, ends = self._batch, self._batch.destinations
        mine, here, taken = inside[batch.origin], inside[ends.edge], inside[self._from]
        return {
            "origin": position[batch.origin[mine]],
            "column": batch.column[mine],
            "weight": batch.weight[mine],
            "goal": position[ends.edge[here]],
            "goal_column": self._goal_column[here],
            "goal_weight": self._goal_weight[here],
            "turn": own.turns.find(position[self._from[taken]], position[self._to[taken]]),
            "turn_weight": self._turn_weight[taken],
        }
