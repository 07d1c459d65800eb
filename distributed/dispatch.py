"""Shards -> outcomes: one Ray actor per region, all at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ray

from ..core.config import Config
from ..core.errors import ResourceError, TroddenError
from .actors import Outcome, RegionActor
from .regions import Shard

MAX_RESTARTS = 3
"""A killed actor is started anew, and what it was learning is learned again, so many times."""
_POLL_S = 0.5
"""Ray's compiled code does not let go of a signal before its wait is over."""


def learn_shards(
    shards: list[Shard], config: Config, num_workers: int, progress: Callable[[int, int], None] | None = None
) -> list[Outcome]:
    """`learn_region` on every shard, one actor each, in the order of the shards, whatever order they finish in.

    All actors are started before any is waited for. With more shards than workers each asks for workers / shards of a
    CPU, so that they fit and share.

    Raises
    ------
    TroddenError
        What a region's training raised, with a note that names the region.
    ResourceError
        The actor that learned a region died more than `MAX_RESTARTS` times.
    """
    # Ray counts CPUs in ten-thousandths.
    share = 1.0 if len(shards) <= num_workers else max(math.floor(1e4 * num_workers / len(shards)) / 1e4, 1e-4)
    actor_class: Any = RegionActor  # what ray.remote makes of it has no type
    options = {"num_cpus": share, "max_restarts": MAX_RESTARTS, "max_task_retries": MAX_RESTARTS}
    stored = ray.put(config)
    actors = [actor_class.options(**options).remote() for _ in shards]
    running = {actors[place].learn.remote(ray.put(shard), stored): place for place, shard in enumerate(shards)}
    outcomes: dict[int, Outcome] = {}
    try:
        while running:
            for answer in ray.wait(list(running), num_returns=1, timeout=_POLL_S)[0]:
                place = running.pop(answer)
                outcomes[place] = _outcome(answer, shards[place].region)
                ray.kill(actors[place])
                if progress is not None:
                    progress(len(outcomes), len(shards))
    finally:
        for place, actor in enumerate(actors):
            if place not in outcomes:
                ray.kill(actor)
    return [outcomes[place] for place in range(len(shards))]


def _outcome(answer: Any, region: int) -> Outcome:
    try:
        outcome: Outcome | TroddenError = ray.get(answer)
    except (ray.exceptions.ActorDiedError, ray.exceptions.RuntimeEnvSetupError) as error:
        raise ResourceError(
            asked=f"a worker for region {region}",
            available=f"none that lives ({_cause(error)})",
            remedy="if memory ran out, take fewer workers or more regions; every node needs this version of trodden",
        ) from error
    if isinstance(outcome, TroddenError):
        outcome.add_note(f"in region {region}")
        raise outcome
    return outcome


def _cause(error: Exception) -> str:
    """The last line of Ray's account, which is where the cause stands."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
