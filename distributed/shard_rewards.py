"""A reward of several parts on a shard: which of the whole map's parameters it has, and how it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.config import RewardConfig
from ..core.types import Ids, Ints
from ..graphs.road_graph import RoadNetwork
from ..irl.rewards.building import Kind, from_scales, scales
from ..irl.rewards.parts import Corrections
from ..irl.rewards.regional import RegionalPart, by_region
from ..irl.rewards.reward import Reward

SLOTS = "slots"
"""Name of the array that says which parameters of the whole map a shard has."""
_SUPPORTED, _SCALE = "supported.", "scale."


@dataclass(frozen=True, eq=False)
class WholeReward:
    """A reward of several parts on the whole map, split by region; shards are written from it."""

    config: RewardConfig
    """Its features spelled out."""
    base: Reward
    """The same parts for all regions."""
    reward: Reward
    """``base``, split by `trodden.irl.rewards.regional.by_region`."""

    def arrays(self, labels: Ints, edges: Ints, turns: Ints) -> dict[str, NDArray[Any]]:
        """What a shard stores of it: ``labels`` are the regions that price its edges, ``edges`` and ``turns`` its own
        by their positions in the whole map.
        """
        arrays: dict[str, NDArray[Any]] = {f"{_SCALE}{name}": one for name, one in scales(self.base).items()}
        slots: list[Ids] = []
        first = 0
        for part in self.reward.parts:
            if isinstance(part, Corrections):
                own = edges if part.of == "edge" else turns
                place = np.searchsorted(part.supported, own)
                is_supported = part.supported[np.minimum(place, len(part) - 1)] == own if len(part) else own < 0
                arrays[_SUPPORTED + part.of] = np.flatnonzero(is_supported).astype(np.int32)
                slots.append(first + place[is_supported].astype(np.int64))
            else:
                assert isinstance(part, RegionalPart)  # `by_region` made it
                size = len(part.base)
                slots.append((first + labels[:, None].astype(np.int64) * size + np.arange(size)).ravel())
            first += len(part)
        arrays[SLOTS] = np.concatenate(slots)
        return arrays


def open_reward(
    network: RoadNetwork, config: RewardConfig, region: Ints, num_regions: int, arrays: Mapping[str, NDArray[Any]]
) -> Reward:
    """The reward of a shard, whose edges are priced by ``region``, int32[E]; KeyError where an array is missing."""
    supported: dict[Kind, Ints] = {kind: arrays[_SUPPORTED + kind] for kind in config.corrections}
    given = {name.removeprefix(_SCALE): one for name, one in arrays.items() if name.startswith(_SCALE)}
    whole = from_scales(network, config, supported, given)
    return by_region(whole, region, network.turns.to_edge, num_regions)
