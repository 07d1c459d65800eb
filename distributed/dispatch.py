"""Blocks -> answers: workers that are kept busy, watched, and replaced when they die."""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import ray
from threadpoolctl import threadpool_limits

from ..core.errors import ResourceError, TroddenError
from ..core.types import Floats
from ..irl.regional_likelihood import BlockAnswer
from .regions import Shards
from .workers import ShardWorker, WorkDone, WorkerActor

_log = logging.getLogger(__name__)
MAX_DEATHS = 3
"""So many workers may die on one block, or of one place without finishing any, before it is given up."""
START_TIMEOUT_S = 180.0
"""For the first worker to start. CPUs were there: a busy machine starves Ray's workers, which run at low priority."""
_IN_FLIGHT = 2
"""Blocks that a worker is given ahead: it never waits for the driver, and little is lost when it dies."""
_POLL_S = 0.5
"""Ray's compiled code does not let go of a signal before its wait is over."""

Key = tuple[int, int]
"""(region, block)."""
_READY: Key = (-1, -1)
"""Stands for the question whether a worker has started."""


class Workers(Protocol):
    """Whoever works: Ray's actors, or this process."""

    timing: Timing

    def call(
        self, method: str, arguments: Mapping[Key, tuple[Any, ...]], progress: Callable[[int], None]
    ) -> dict[Key, Any]:
        """``shard.method(block, *arguments)`` for every key; ``progress`` gets the number of answers."""


class Evaluator(Protocol):
    """Evaluates blocks of shards under a table of coefficients."""

    def evaluate(self, keys: list[Key], table: Floats, progress: Callable[[int], None]) -> list[BlockAnswer]:
        """One answer per key, in their order; ``table`` float64[R, F] in the features' own units."""


class BlockEvaluator:
    """Blocks that are evaluated each by itself: routes in corridors, and pieces of routes."""

    def __init__(self, shards: Shards, workers: Workers) -> None:
        self._rows, self._workers = {info.region: list(info.regions) for info in shards.infos}, workers

    def evaluate(self, keys: list[Key], table: Floats, progress: Callable[[int], None]) -> list[BlockAnswer]:
        """As `Evaluator.evaluate`."""
        part = {region: table[rows] for region, rows in self._rows.items()}  # one array for all blocks of a region
        found = self._workers.call("evaluate", {key: (part[key[0]],) for key in keys}, progress)
        return [found[key] for key in keys]


@dataclass
class Timing:
    """Where the time of a run went, in seconds."""

    elapsed: float = 0.0
    busy: float = 0.0
    """Worked by workers, added up."""
    num_workers: int = 1
    num_nodes: int = 1
    """Machines (or Ray nodes) that workers ran on."""
    num_deaths: int = 0

    @property
    def share_waiting(self) -> float:
        """Of the workers' time: what they spent without a block."""
        return max(0.0, 1 - self.busy / max(self.elapsed * self.num_workers, 1e-9))


class InProcess:
    """The same work here, one call after the other, without Ray."""

    def __init__(self, shards: Shards) -> None:
        self._worker = ShardWorker(shards.folder)
        self.timing = Timing()

    def call(
        self, method: str, arguments: Mapping[Key, tuple[Any, ...]], progress: Callable[[int], None]
    ) -> dict[Key, Any]:
        """As `Workers.call`."""
        answers = {}
        with threadpool_limits(1):  # as in a worker
            for key, given in arguments.items():
                done = self._worker.call(method, *key, *given)
                self.timing.busy += done.seconds
                self.timing.elapsed += done.seconds
                answers[key] = done.answer
                progress(len(answers))
        return answers


@dataclass(eq=False)
class _Worker:
    """One place for an actor, and what it is at."""

    number: int
    actor: Any
    started: float
    is_ready: bool = False
    queue: deque[Key] = field(default_factory=deque)
    at: dict[Any, Key] = field(default_factory=dict)
    """Ray's reference to an answer -> what was asked."""
    deaths: int = 0
    """Since it last finished a block."""


@dataclass(frozen=True, eq=False)
class _Task:
    method: str
    arguments: dict[Key, tuple[Any, ...]]
    """Ray's references."""


class RayWorkers:
    """Workers on Ray. Each is given a stretch of the blocks, so that it opens few shards; who is done takes of others.

    Stretches are cut by how long blocks took before, so that workers end together. What a block answers depends on the
    block and the table alone, so that neither who worked it out, nor deaths, nor order change a byte.
    """

    def __init__(self, shards: Shards, num_workers: int) -> None:
        self._shards = shards
        self._seconds: dict[tuple[str, Key], float] = {}
        self.timing = Timing(num_workers=num_workers)
        self._deaths_of: dict[Key, int] = {}  # since the block was last answered
        self._nodes: set[str] = set()
        self._workers = [self._start(number) for number in range(num_workers)]

    def call(
        self, method: str, arguments: Mapping[Key, tuple[Any, ...]], progress: Callable[[int], None]
    ) -> dict[Key, Any]:
        """As `Workers.call`.

        Raises
        ------
        TroddenError
            What a worker raised: a shard that is damaged, say.
        ResourceError
            Workers keep dying, or none can be started.
        """
        started = time.perf_counter()
        for worker, share in zip(self._workers, self._cut(method, list(arguments)), strict=True):
            worker.queue = deque(share)
        # Arrays go through the object store, each once, however many blocks or attempts are given it.
        stored: dict[int, Any] = {}
        for array in (one for given in arguments.values() for one in given):
            if id(array) not in stored:
                stored[id(array)] = ray.put(array)
        task = _Task(method, {key: tuple(stored[id(one)] for one in given) for key, given in arguments.items()})
        answers: dict[Key, Any] = {}
        try:
            while len(answers) < len(arguments):
                self._hand_out(task)
                self._collect(method, answers)
                progress(len(answers))
        finally:
            for worker in self._workers:
                worker.queue.clear()
                # What is left is of a call that ended early, but for the word that a fresh worker is ready.
                worker.at = {reference: key for reference, key in worker.at.items() if key == _READY}
            self.timing.elapsed += time.perf_counter() - started
        return answers

    def close(self) -> None:
        """Stop the workers."""
        for worker in self._workers:
            ray.kill(worker.actor)

    def _start(self, number: int) -> _Worker:
        actor_class: Any = WorkerActor  # what ray.remote makes of it has no type
        actor = actor_class.options(num_cpus=1).remote(str(self._shards.folder.resolve()))
        worker = _Worker(number, actor, time.monotonic())
        worker.at[actor.ready.remote()] = _READY
        return worker

    def _cut(self, method: str, keys: list[Key]) -> list[list[Key]]:
        """Stretches of equal time, as far as that is known from earlier calls; one for each worker."""
        count = len(self._workers)
        known = [self._seconds[method, key] for key in keys if (method, key) in self._seconds]
        usual = sum(known) / len(known) if known else 1.0
        seconds = np.cumsum([self._seconds.get((method, key), usual) for key in keys])
        total = float(seconds[-1]) if len(keys) else 0.0
        ends = np.searchsorted(seconds, total * np.arange(1, count) / count, side="left") + 1
        edges = [0, *np.minimum(ends, len(keys)).tolist(), len(keys)]
        return [keys[one:two] for one, two in itertools.pairwise(edges)]

    def _hand_out(self, task: _Task) -> None:
        for worker in self._workers:
            while worker.is_ready and len(worker.at) < _IN_FLIGHT:
                key = self._next(worker)
                if key is None:
                    break
                reference = worker.actor.call.remote(task.method, *key, *task.arguments[key])
                worker.at[reference] = key

    def _next(self, worker: _Worker) -> Key | None:
        """The next block of its own stretch, or the last one of the longest other."""
        if worker.queue:
            return worker.queue.popleft()
        longest = max(self._workers, key=lambda other: len(other.queue))
        if not longest.queue or (longest.is_ready and len(longest.queue) < _IN_FLIGHT):
            return None
        return longest.queue.pop()

    def _collect(self, method: str, answers: dict[Key, Any]) -> None:
        by_reference = {reference: worker for worker in self._workers for reference in worker.at}
        done, _ = ray.wait(list(by_reference), num_returns=1, timeout=_POLL_S)
        for reference in done:
            worker = by_reference[reference]
            if reference not in worker.at:
                continue  # of a worker that an earlier one of these told dead
            key = worker.at[reference]
            try:
                found: WorkDone | TroddenError | str = ray.get(reference)
            except ray.exceptions.RayActorError as error:
                self._bury(worker, error)
                continue
            del worker.at[reference]
            worker.deaths = 0
            if isinstance(found, TroddenError):
                raise found
            if isinstance(found, str):
                worker.is_ready = True
                self._nodes.add(found)
                self.timing.num_nodes = len(self._nodes)
                continue
            answers[key] = found.answer
            self._deaths_of.pop(key, None)
            self._seconds[method, key] = found.seconds
            self.timing.busy += found.seconds
        self._look_for_missing()

    def _bury(self, worker: _Worker, error: Exception) -> None:
        """A worker died: its blocks go to whoever is next, and another takes its place."""
        self.timing.num_deaths += 1
        lost = [one for one in worker.at.values() if one != _READY]
        # Only the block that it was at can be to blame: the first of those it was given.
        if lost:
            blamed = lost[0]
            self._deaths_of[blamed] = self._deaths_of.get(blamed, 0) + 1
        deaths = worker.deaths + 1
        _log.warning("worker %d died (%s); another takes its place", worker.number, _cause(error))
        if deaths > MAX_DEATHS or (lost and self._deaths_of[lost[0]] > MAX_DEATHS):
            place = f"block {lost[0][1]} of region {lost[0][0]}" if lost else f"worker {worker.number}"
            raise ResourceError(
                asked=f"a worker for {place}",
                available=f"none that lives ({_cause(error)})",
                remedy="if memory ran out, take fewer workers or more regions; every node needs this version of "
                "trodden and the folder of shards. What was reached is saved: --resume goes on from there",
            ) from error
        queue = worker.queue
        queue.extendleft(reversed(lost))
        fresh = self._start(worker.number)
        fresh.queue, fresh.deaths = queue, deaths
        self._workers[self._workers.index(worker)] = fresh

    def _look_for_missing(self) -> None:
        """Workers that do not start: the others go on; with none at all the run ends."""
        waiting = [worker for worker in self._workers if not worker.is_ready]
        if len(waiting) < len(self._workers) or not waiting:
            return
        now = time.monotonic()
        if all(now - worker.started > START_TIMEOUT_S for worker in waiting):
            raise ResourceError(
                asked=f"{len(waiting)} workers",
                available=f"none that started within {START_TIMEOUT_S:.0f} s",
                remedy="look at `ray status` for free CPUs. What was reached is saved: --resume goes on from there",
            )


def all_keys(shards: Shards, *, is_held_out: Iterable[bool] = (False,)) -> list[Key]:
    """Every block of every shard that is, or is not, held out; in the order in which sums are taken."""
    wanted = set(is_held_out)
    return [
        (info.region, number)
        for info in shards.infos
        for number, block in enumerate(info.blocks)
        if block.is_held_out in wanted
    ]


def _cause(error: Exception) -> str:
    """The first sentence of what Ray's account of a death ends with; the rest is advice for other cases."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[-1] if lines else type(error).__name__
    return said.rpartition("Worker exit detail: ")[2].split(". ")[0]
