"""What a training of regions tells while it runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .dispatch import Key, Timing
from .regions import Shards

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegionalProgress:
    """What a progress bar shows while regions are learned."""

    stage: str
    step: int
    loss_per_route: float
    gradient_norm: float
    blocks_done: int
    num_blocks: int
    num_evaluations: int
    routes_per_second: float
    share_waiting: float
    """Of the workers' time, so far."""
    border_error: float
    """Expected number of visits per route to where a shard's map ends, in the last evaluation: with corridors,
    ``crossing="exact"`` is exact up to about so many nats."""


class Teller:
    """Keeps what an optimiser says of its steps, and passes it on while blocks are answered."""

    def __init__(self, shards: Shards, timing: Timing, progress: Callable[[RegionalProgress], None] | None) -> None:
        self._timing, self._progress = timing, progress
        self._sizes = {
            (info.region, number): block.end - block.begin
            for info in shards.infos
            for number, block in enumerate(info.blocks)
        }
        self._stage, self._step, self._loss, self._gradient = "", 0, np.nan, np.nan
        self._num_routes, self._started = 0, time.perf_counter()
        self.num_evaluations = 0
        self.border_error = 0.0

    def stage(self, name: str) -> None:
        """Name what comes next."""
        self._stage, self._step, self._loss, self._gradient = name, 0, np.nan, np.nan
        _log.info("%s", name)

    def step_taken(self, step: int, loss_per_route: float, gradient: float) -> None:
        """A step of the optimiser."""
        self._step, self._loss, self._gradient = step, loss_per_route, gradient
        _log.info("%s, step %d: loss per route %.6f, gradient %.1e", self._stage, step, loss_per_route, gradient)

    def evaluated(self, keys: Iterable[Key], border_error: float) -> None:
        """All blocks of an evaluation are there."""
        self._num_routes += sum(self._sizes[key] for key in keys)
        self.border_error = border_error

    def blocks(self, total: int) -> Callable[[int], None]:
        """To be called with the number of blocks that are done, of so many."""

        def tell(done: int) -> None:
            if self._progress is None:
                return
            seconds = max(time.perf_counter() - self._started, 1e-9)
            self._progress(
                RegionalProgress(
                    self._stage,
                    self._step,
                    self._loss,
                    self._gradient,
                    done,
                    total,
                    self.num_evaluations,
                    self._num_routes / seconds,
                    self._timing.share_waiting,
                    self.border_error,
                )
            )

        return tell
