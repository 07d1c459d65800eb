"""Thin Ray actors around the likelihoods of `trodden.irl`: a worker opens shards from disk and asks them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from threadpoolctl import threadpool_limits

from ..core.errors import TroddenError
from ..irl.regional_likelihood import RegionalLikelihood
from .regions import Shard, open_shard

_ONE_THREAD = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_PLATFORMS": "cpu"}
"""For a worker's JAX, which is imported after this is set, if at all. An environment that Ray sets costs it 3 s."""
MOST_EDGES = 20_000_000
"""Edges of all shards that a worker holds open, the first one whatever its size."""


@dataclass(frozen=True, eq=False)
class WorkDone:
    """What was asked for, and what it took."""

    answer: Any
    seconds: float
    """In the worker, opening its shard included."""


class ShardWorker:
    """Asks shards of a folder: any method of theirs, for any block. Keeps no state that an answer depends on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, Shard] = {}
        self._last: tuple[int, Shard] | None = None
        self._at: tuple[int, Shard] | None = None
        """The shard of the last call."""

    def call(self, method: str, region: int, block: int, *arguments: Any) -> WorkDone:
        """``shard.method(block, *arguments)`` of a region's shard; arrays among the arguments may be read-only."""
        started = time.perf_counter()
        if self._at is not None and self._at[0] != region:
            if isinstance(self._at[1], RegionalLikelihood):
                self._at[1].rest()
            self._at = None
        shard = self._shard(region)
        self._at = region, shard
        answer = getattr(shard, method)(shard.blocks[block], *arguments)
        return WorkDone(answer, time.perf_counter() - started)

    def _shard(self, region: int) -> Shard:
        """What is open stays open, as far as memory goes: a worker comes by the same shards in every call, in turn."""
        if region in self._open:
            return self._open[region]
        if self._last is not None and self._last[0] == region:
            return self._last[1]
        self._last = None  # before another takes its place
        found = open_shard(self._folder / f"region-{region}")
        held = sum(one.network.graph.num_edges for one in self._open.values())
        if not self._open or held + found.network.graph.num_edges <= MOST_EDGES:
            self._open[region] = found
        else:
            self._last = region, found
        return found


@ray.remote(max_restarts=0, max_task_retries=0)
class WorkerActor:
    """A `ShardWorker` in a process of its own. Whether it is started again is the driver's decision."""

    def __init__(self, folder: str) -> None:
        # One thread, whatever the machine has: workers share its cores, and sums do not depend on their number.
        os.environ.update(_ONE_THREAD)
        self._limits = threadpool_limits(1)
        self._worker = ShardWorker(Path(folder))

    def ready(self) -> str:
        """The node that it runs on, once it runs."""
        return ray.get_runtime_context().get_node_id()

    def call(self, method: str, region: int, block: int, *arguments: Any) -> WorkDone | TroddenError:
        """As `ShardWorker.call`; a typed error is returned, not raised, so that Ray does not wrap it."""
        try:
            return self._worker.call(method, region, block, *arguments)
        except TroddenError as error:
            return error
