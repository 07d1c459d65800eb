"""Shards -> outcomes: as many Ray actors as there are workers, each given a region when it is free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray

from ..core.config import Config
from ..core.errors import ResourceError, TroddenError
from .actors import Outcome, RegionActor
from .regions import Shard

MAX_RESTARTS = 3
"""A killed actor is started anew, and what it was learning is learned again, so many times."""


def learn_shards(
    shards: list[Shard], config: Config, num_workers: int, progress: Callable[[int, int], None] | None = None
) -> list[Outcome]:
    """`learn_region` on every shard, in the order of the shards, whatever order they finish in.

    A shard enters the object store when its turn comes, so at most ``num_workers`` are there at a time.

    Raises
    ------
    TroddenError
        What a region's training raised, with a note that names the region.
    ResourceError
        The actor that learned a region died more than `MAX_RESTARTS` times.
    """
    actors = [_start_actor() for _ in range(min(num_workers, len(shards)))]
    stored, waiting, idle = ray.put(config), list(range(len(shards)))[::-1], list(actors)
    running: dict[Any, tuple[int, Any]] = {}
    outcomes: dict[int, Outcome] = {}
    try:
        while waiting or running:
            while waiting and idle:
                place, actor = waiting.pop(), idle.pop()
                running[actor.learn.remote(ray.put(shards[place]), stored)] = place, actor
            answer = ray.wait(list(running), num_returns=1)[0][0]
            place, actor = running.pop(answer)
            outcomes[place] = _outcome(answer, shards[place].region)
            idle.append(actor)
            if progress is not None:
                progress(len(outcomes), len(shards))
    finally:
        for actor in actors:
            ray.kill(actor)
    return [outcomes[place] for place in range(len(shards))]


def _start_actor() -> Any:
    actor_class: Any = RegionActor  # what ray.remote makes of it has no type
    return actor_class.options(num_cpus=1, max_restarts=MAX_RESTARTS, max_task_retries=MAX_RESTARTS).remote()


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
