"""Thin Ray actors around `trodden.irl.regional_likelihood`: a worker opens shards from disk and evaluates blocks."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
from threadpoolctl import threadpool_limits

from ..core.errors import TroddenError
from ..core.types import Floats
from ..irl.regional_likelihood import BlockAnswer, RegionalLikelihood
from .regions import open_shard

_ONE_THREAD = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_PLATFORMS": "cpu"}
"""For a worker's JAX, which is imported after this is set, if at all. An environment that Ray sets costs it 3 s."""
_MOST_OPEN = 8
"""Shards that a worker holds at once; the one not used for longest is closed for another."""


@dataclass(frozen=True, eq=False)
class WorkDone:
    """A block's answer, and what it took."""

    answer: BlockAnswer
    seconds: float
    """In the worker, opening its shard included."""


class ShardWorker:
    """Evaluates blocks of any shard of a folder. Keeps no state that an answer depends on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, RegionalLikelihood] = {}

    def evaluate(self, region: int, block: int, table: Floats) -> WorkDone:
        """One block of a region's shard under the coefficients of the shard's regions, float64[K, F]."""
        started = time.perf_counter()
        shard = self._shard(region)
        answer = shard.evaluate(shard.blocks[block], np.array(table))  # Ray's arrays are read-only
        return WorkDone(answer, time.perf_counter() - started)

    def _shard(self, region: int) -> RegionalLikelihood:
        found = self._open.pop(region, None)
        if found is None:
            if len(self._open) >= _MOST_OPEN:
                del self._open[next(iter(self._open))]
            found = open_shard(self._folder / f"region-{region}")
        self._open[region] = found
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

    def evaluate(self, region: int, block: int, table: Floats) -> WorkDone | TroddenError:
        """As `ShardWorker.evaluate`; a typed error is returned, not raised, so that Ray does not wrap it."""
        try:
            return self._worker.evaluate(region, block, table)
        except TroddenError as error:
            return error
