"""How a shard lies on disk: a network of its own, plain arrays and a document, verified like every stored folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..core.folders import write_folder
from ..graphs.road_graph import RoadNetwork
from ..graphs.store import save_network
from ..irl.regional_likelihood import Block

SHARD, SHARD_VERSION = "shard", 2


@dataclass(frozen=True)
class ShardInfo:
    """What the driver keeps of a shard."""

    region: int
    regions: tuple[int, ...]
    """The regions that price some edge of it: coefficients of these it asks for, and gradients in these it answers."""
    num_edges: int
    num_routes: int
    """Routes, or pieces of routes, that are learned from or held out here."""
    weight: float
    """Their weights, added up."""
    blocks: tuple[Block, ...]


def store_shard(
    folder: Path, region: int, network: RoadNetwork, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> Path:
    """Write a region's shard; an earlier one is replaced only once this one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".network-") as scratch:
        inner = save_network(network, Path(scratch) / "network")
        return write_folder(
            folder / f"region-{region}",
            kind=SHARD,
            version=SHARD_VERSION,
            document=document,
            arrays=arrays,
            folders={"network": inner},
        )
