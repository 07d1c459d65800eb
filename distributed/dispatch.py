"""Shards -> outcomes: one Ray actor per region, as many at a time as there are workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray

from ..core.config import Config
from ..core.errors import ResourceError, TroddenError
from .actors import Outcome, RegionActor
from .regions import Shard

MAX_RESTARTS = 3
"""A killed actor is rebuilt from its shard, and its pure method runs again, so many times."""


def learn_shards(
    shards: list[Shard], config: Config, num_workers: int, progress: Callable[[int, int], None] | None = None
) -> list[Outcome]:
    """`learn_region` on every shard, in the order of the shards, whatever order they finish in.

    A shard is put into the object store when its turn comes, and an actor is ended when it has answered, so that no
    more than ``num_workers`` of either exist at a time.

    Raises
    ------
    TroddenError
        What a region's training raised, with a note that names the region.
    ResourceError
        A region's actor died, and so did those that replaced it.
    """
    stored, waiting = ray.put(config), list(range(len(shards)))[::-1]
    running: dict[Any, tuple[int, Any]] = {}
    outcomes: dict[int, Outcome] = {}
    try:
        while waiting or running:
            while waiting and len(running) < num_workers:
                place = waiting.pop()
                actor = _start(shards[place], stored)
                running[actor.learn.remote()] = place, actor
            answer = ray.wait(list(running), num_returns=1)[0][0]
            place, actor = running[answer]
            outcomes[place] = _outcome(answer, shards[place].region)
            del running[answer]
            ray.kill(actor)
            if progress is not None:
                progress(len(outcomes), len(shards))
    finally:
        for _, actor in running.values():
            ray.kill(actor)
    return [outcomes[place] for place in range(len(shards))]


def _start(shard: Shard, config: Any) -> Any:
    actor_class: Any = RegionActor  # what ray.remote makes of it has no type
    actor = actor_class.options(num_cpus=1, max_restarts=MAX_RESTARTS, max_task_retries=MAX_RESTARTS)
    return actor.remote(ray.put(shard), config)


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
