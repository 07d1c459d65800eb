"""Thin Ray actors around the functions of `trodden.irl`."""

from __future__ import annotations

import ray

from ..core.config import Config
from ..core.errors import TroddenError
from ..irl.model import Coefficient
from .regions import Shard

Outcome = tuple[int, tuple[Coefficient, ...], dict[str, object]]
"""(region, coefficients, the training summary)."""


def learn_region(shard: Shard, config: Config) -> Outcome:
    """Fit one region's own reward: a pure function of the shard, safe to run twice."""
    from ..irl.training import fit  # inside the worker, where alone it is needed

    model = fit(shard.network, shard.demonstrations(), config)
    return shard.region, model.coefficients, model.summary


@ray.remote
class RegionActor:
    """Learns one region. The shard comes with the call: a restarted actor may not get its constructor's back."""

    def learn(self, shard: Shard, config: Config) -> Outcome | TroddenError:
        """`learn_region`; a typed error is returned, not raised, so that Ray does not wrap it."""
        try:
            return learn_region(shard, config)
        except TroddenError as error:
            return error
