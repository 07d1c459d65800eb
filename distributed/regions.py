"""Shards on disk: what one region's trips can feel of the map, and the trips, so that a worker needs nothing else."""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.config import PlannerConfig, RewardConfig
from ..core.errors import StoredFolderError
from ..core.folders import read_folder, write_folder
from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.partition import Partition, edges_near, places_among, sub_network, turns_out_of
from ..graphs.road_graph import RoadNetwork
from ..graphs.store import load_network
from ..irl.border_likelihood import BorderLikelihood
from ..irl.demonstrations import Demonstrations, demonstrations_from_edges
from ..irl.regional_likelihood import Block, RegionalLikelihood, TripSet
from ..irl.rewards.reward import Reward
from ..irl.spooled_routes import SpooledRoutes, spool_routes
from .border_shards import BORDERS, open_border_shard, write_border_shards
from .shard_files import SHARD, SHARD_VERSION, ShardInfo, store_shard
from .shard_rewards import SLOTS, WholeReward, open_reward
from .sorting import Trips, sorted_trips

_INDEX = "shards"


@dataclass(frozen=True)
class Shards:
    """A folder of shards, one per region that any trip begins in."""

    folder: Path
    digest: str
    """SHA-256 of all that they were made from."""
    infos: tuple[ShardInfo, ...]
    crossing: str
    num_crossing: int
    """Routes that touch more than one region."""

    def path(self, region: int) -> Path:
        """Where a region's shard lies."""
        return self.folder / f"region-{region}"

    def slots(self, region: int) -> Ids:
        """int64[P]: which of the whole map's parameters a shard has, where it was written for a reward of parts."""
        return np.asarray(read_folder(self.path(region), kind=SHARD, version=SHARD_VERSION).arrays[SLOTS])


def write_shards(
    folder: Path,
    network: RoadNetwork,
    routes: Demonstrations | SpooledRoutes,
    partition: Partition,
    names: tuple[str, ...],
    config: PlannerConfig,
    *,
    crossing: str,
    halo_m: float,
    is_held_out: Bools,
    reward: WholeReward | None = None,
) -> Shards:
    """Write one shard per region in which a route begins; those of the same making that lie there already are kept.

    ``crossing="exact"``: routes stay whole, each with the region of its first edge; a shard's network is what lies
    within ``halo_m`` of its routes, whichever region prices it. With ``solver="factorization"`` a shard is instead its
    region and the edges that its turns lead to, with its part of every route: see `border_shards`. ``"cut"``: routes
    are cut at borders, and a shard's network is its region with the edges that lead out of it. ``reward``: where it is
    more than linear in the features ``names``.

    One look at every node and edge for each region, and O(n log n) in what its shard holds. Memory beside the network's
    own: the largest shard with its trips, a block of routes, 5 bytes per edge and one per node; of all routes none but
    under ``solver="factorization"``. Disk meanwhile: 4 bytes per edge of the routes (twice that where they are given in
    memory).
    """
    with ExitStack() as stack:
        if isinstance(routes, Demonstrations):
            folder.mkdir(parents=True, exist_ok=True)
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix=".routes-")))
            routes = spool_routes(routes, network, place / "routes", config.ending)
        made = _digest(network, routes, partition, names, config, crossing, halo_m, is_held_out, reward)
        with suppress(StoredFolderError):
            found = read_shards(folder)
            if found.digest == made:
                return found
        if config.solver == "factorization" and crossing == "exact":
            held = routes.whole()
            parts = write_border_shards(folder, network, held, partition, names, config.ending, is_held_out)
            num_crossing = int(partition.is_crossing(held.first, held.edge).sum())
            return _write_index(folder, Shards(folder, made, parts, BORDERS, num_crossing))
        trips = stack.enter_context(sorted_trips(routes, partition, crossing, is_held_out, folder))
        infos = []
        for region, own in trips:
            edges, is_exit = _edges_of(network, partition, region, own, halo_m)
            infos.append(
                _write_shard(folder, network, partition, region, own, edges, is_exit, names, config, routes, reward)
            )
        return _write_index(folder, Shards(folder, made, tuple(infos), crossing, trips.num_crossing))


def _write_index(folder: Path, shards: Shards) -> Shards:
    document = {
        "digest": shards.digest,
        "crossing": shards.crossing,
        "num_crossing": shards.num_crossing,
        "shards": [_to_json(info) for info in shards.infos],
    }
    write_folder(folder / "index", kind=_INDEX, version=SHARD_VERSION, document=document, arrays={})
    return shards


def read_shards(folder: Path) -> Shards:
    """The index of a folder of shards; `StoredFolderError` where there is none or it is damaged."""
    document = read_folder(folder / "index", kind=_INDEX, version=SHARD_VERSION).document
    try:
        infos = tuple(_from_json(one) for one in document["shards"])
        return Shards(folder, document["digest"], infos, document["crossing"], document["num_crossing"])
    except (KeyError, TypeError) as error:
        raise StoredFolderError(
            path=folder / "index", problem=f"lacks a part ({error})", remedy="Delete the folder; it is made anew"
        ) from error


Shard = RegionalLikelihood | BorderLikelihood
"""What a worker opens: blocks of trips evaluated each by itself, or a region's part in evaluating the whole map."""


def open_shard(path: Path) -> Shard:
    """A shard ready to evaluate, verified; everything comes from its folder.

    Raises
    ------
    StoredFolderError
        The shard is missing, damaged, or of another version.
    """
    stored = read_folder(path, kind=SHARD, version=SHARD_VERSION)
    try:
        if stored.document["crossing"] == BORDERS:
            return open_border_shard(stored)
        network, document = load_network(stored.folders["network"]), stored.document
        arrays = stored.arrays
        trip_sets = tuple(
            TripSet(
                _routes(network, arrays[f"first.{k}"], arrays[f"edge.{k}"], arrays[f"weight.{k}"], document),
                one["ending"],
                one["is_held_out"],
            )
            for k, one in enumerate(document["trip_sets"])
        )
        return RegionalLikelihood(
            network,
            arrays["region"],
            len(document["regions"]),
            tuple(document["features"]),
            trip_sets,
            PlannerConfig.model_validate(document["planner"]),
            arrays["is_open"] if document["crossing"] == "exact" else None,
            _reward(network, document, arrays),
        )
    except (KeyError, TypeError) as error:
        raise StoredFolderError(
            path=path, problem=f"lacks a part ({error})", remedy="Delete the folder; it is made anew"
        ) from error


def _reward(network: RoadNetwork, document: dict[str, Any], arrays: dict[str, Any]) -> Reward | None:
    if document["reward"] is None:
        return None
    config = RewardConfig.model_validate(document["reward"])
    return open_reward(network, config, arrays["region"], len(document["regions"]), arrays)


def _routes(network: RoadNetwork, first: Ids, edge: Ints, weight: Floats, document: dict[str, Any]) -> Demonstrations:
    rows = np.split(edge, first[1:-1]) if len(weight) else []
    names = [str(number) for number in range(len(weight))]
    return demonstrations_from_edges(network, rows, names, weight=weight, source=f"region {document['region']}")


def _edges_of(
    network: RoadNetwork, partition: Partition, region: int, trips: list[Trips], halo_m: float
) -> tuple[Ints, Bools | None]:
    """(edges of a shard's network, which of them are exits)."""
    if not trips[0].is_cut:
        return edges_near(network, np.unique(np.concatenate([one.edge for one in trips])), halo_m), None
    own = partition.edges(region)
    entered = network.turns.to_edge[turns_out_of(network.turns, own)[0]]
    edges = np.union1d(own, entered)
    return edges, partition.region[edges] != region


def _write_shard(
    folder: Path,
    network: RoadNetwork,
    partition: Partition,
    region: int,
    trips: list[Trips],
    edges: Ints,
    is_exit: Bools | None,
    names: tuple[str, ...],
    config: PlannerConfig,
    routes: SpooledRoutes,
    reward: WholeReward | None,
) -> ShardInfo:
    turn, leaves = turns_out_of(network.turns, edges)
    is_open = np.zeros(len(edges), bool)
    is_open[leaves[places_among(edges, network.turns.to_edge[turn]) < 0]] = True
    # In a cut piece its own region prices the exit as well: what is of the edge cancels, since every route to it ends
    # by entering it, and what is of the turn then stays with the region whose travellers took it.
    labels, of_edge = np.unique(partition.region[edges], return_inverse=True)
    if is_exit is not None:
        labels, of_edge = np.array([region], np.int32), np.zeros(len(edges), np.int64)
    arrays: dict[str, Any] = {"region": of_edge.reshape(-1).astype(np.int32), "is_open": is_open, "edges": edges}
    for number, one in enumerate(trips):
        arrays |= {
            f"first.{number}": one.first,
            f"edge.{number}": places_among(edges, one.edge),
            f"weight.{number}": one.weight,
        }
    document = {
        "region": region,
        "regions": labels.tolist(),
        "features": list(names),
        "planner": config.model_dump(mode="json"),
        "crossing": "cut" if is_exit is not None else "exact",
        "is_simulated": routes.is_simulated,
        "reward": None if reward is None else reward.config.model_dump(mode="json"),
        "trip_sets": [{"ending": one.ending, "is_held_out": one.is_held_out} for one in trips],
    }
    inner = sub_network(network, edges, is_exit=is_exit)
    if reward is not None:
        own = network.turns.find(edges[inner.turns.from_edge], edges[inner.turns.to_edge])
        arrays |= reward.arrays(labels, edges, own)
    target = store_shard(folder, region, inner, document, arrays)
    likelihood = open_shard(target)
    return ShardInfo(
        region,
        tuple(labels.tolist()),
        len(edges),
        sum(len(one.weight) for one in trips),
        float(sum(one.weight.sum() for one in trips)),
        likelihood.blocks,
    )


def _digest(
    network: RoadNetwork,
    routes: SpooledRoutes,
    partition: Partition,
    names: tuple[str, ...],
    config: PlannerConfig,
    crossing: str,
    halo_m: float,
    is_held_out: Bools,
    reward: WholeReward | None,
) -> str:
    document = {
        "version": SHARD_VERSION,
        "network": network.checksum,
        "routes": routes.digest(config.ending),
        "features": names,
        "planner": config.model_dump(mode="json"),
        "crossing": crossing,
        "halo_m": halo_m if crossing == "exact" else None,
        "reward": None if reward is None else reward.config.model_dump(mode="json"),
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    digest.update(partition.region.astype("<i4").tobytes() + np.packbits(is_held_out).tobytes())
    return digest.hexdigest()


def _to_json(info: ShardInfo) -> dict[str, Any]:
    return {**vars(info), "blocks": [list(vars(block).values()) for block in info.blocks]}


def _from_json(one: dict[str, Any]) -> ShardInfo:
    blocks = tuple(Block(*block) for block in one["blocks"])
    return ShardInfo(**{**one, "regions": tuple(one["regions"]), "blocks": blocks})
