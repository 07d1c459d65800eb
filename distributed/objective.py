"""The likelihood of all shards as a function of a table of coefficients: summed in a fixed order, recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from ..core.config import Config
from ..core.types import Floats, Ints
from ..irl.checkpoints import Checkpoint, save_checkpoint
from ..irl.evaluations import Evaluation, History
from .border import BorderEvaluator
from .border_shards import BORDERS
from .dispatch import BlockEvaluator, Evaluator, Workers, all_keys
from .progress import RegionalProgress, Teller
from .regions import Shards

Part = Literal["learned", "held out", "all"]
"""Whose likelihood: of the routes learned from, of those held out, or of both."""
_PARTS: tuple[Part, ...] = ("learned", "held out", "all")
HELD_OUT = {"learned": (False,), "held out": (True,), "all": (False, True)}
_KEPT = 8
"""Evaluations that are remembered, since optimisers come back to a point or two."""
_LONG_S = 10.0
"""Work that is worth a checkpoint of its own."""


class RegionalObjective:
    """Evaluates tables of scaled coefficients, float64[R, F], and records every evaluation.

    A resumed run is answered from the record until that ends: then it stands where the interrupted one did.
    """

    def __init__(
        self,
        shards: Shards,
        workers: Workers,
        scale: Floats,
        config: Config,
        *,
        names: tuple[str, ...],
        network_checksum: str,
        run: str,
        checkpoint: Path | None,
        resume: Checkpoint | None = None,
        progress: Callable[[RegionalProgress], None] | None = None,
    ) -> None:
        self._shards, self._workers, self.scale, self._config = shards, workers, scale, config
        kind = BorderEvaluator if shards.crossing == BORDERS else BlockEvaluator
        self._evaluator: Evaluator = kind(shards, workers)
        self._names, self._network, self._run, self._path = names, network_checksum, run, checkpoint
        self._history = History(() if resume is None else resume.evaluations)
        self._teller = Teller(shards, workers.timing, progress)
        self._recent: dict[tuple[str, bytes], tuple[float, Floats] | str] = {}
        self._rows = {info.region: np.array(info.regions, np.int32) for info in shards.infos}
        self._saved_at, self._unsaved = time.monotonic(), 0
        self.weight = {part: self._weight(part) for part in _PARTS}
        """Sum of the routes' weights in each part."""
        self.meets = np.eye(config.regions.count, dtype=bool)
        """bool[R, R]: regions on whose coefficients a route may depend together."""
        for rows in self._rows.values():
            self.meets[np.ix_(rows, rows)] = True

    @property
    def num_evaluations(self) -> int:
        """So far, those answered from the record among them."""
        return self._teller.num_evaluations

    def stage(self, name: str) -> None:
        """Name what comes next, for the progress bar and the log."""
        self._teller.stage(name)

    def step_taken(self, step: int, loss: float, gradient: float) -> None:
        """For the optimiser to call."""
        self._teller.step_taken(step, loss / self.weight["learned"], gradient)

    def evaluate(self, part: Part, table: Floats) -> tuple[float, Floats] | str:
        """(negative log-likelihood in nats, its gradient float64[R, F], scaled as the table is), or why none."""
        memory = (part, table.tobytes())
        if memory not in self._recent:
            found = self._recorded(part, table)
            if len(self._recent) >= _KEPT:
                del self._recent[next(iter(self._recent))]
            self._recent[memory] = found
        return self._recent[memory]

    def border_error(self, table: Floats) -> float:
        """Expected number of visits per route to where a shard's map ends: one more evaluation, which is not recorded.

        0 where routes are cut, or the whole map's own model is evaluated.
        """
        if self._shards.crossing != "exact":
            return 0.0
        self._computed(_PARTS.index("all"), "all", table)
        return self._teller.border_error

    def save(self) -> str:
        """Write a checkpoint now; what a message says about it."""
        if self._path is None or not self._write():
            return "no evaluation was finished, so there is nothing to resume"
        return (
            f"{len(self._history.snapshot())} evaluations are saved in {self._path}; the same command with --resume "
            "goes on from there"
        )

    def _recorded(self, part: Part, table: Floats) -> tuple[float, Floats] | str:
        number, point = _PARTS.index(part), table.ravel()
        self._teller.num_evaluations += 1
        found = self._history.recall(number, "gradient", point)
        if found is None:
            found = self._computed(number, part, table)
            self._history.add(found)
            self._unsaved += 1
            is_long = time.monotonic() - self._saved_at > _LONG_S
            if self._path is not None and (is_long or self._unsaved >= self._config.training.checkpoint_every):
                self._write()
        return found.refusal or (found.loss, found.gradient.reshape(table.shape))

    def _computed(self, number: int, part: Part, table: Floats) -> Evaluation:
        keys = all_keys(self._shards, is_held_out=HELD_OUT[part])
        point = table.ravel().copy()
        answers = self._evaluator.evaluate(keys, table / self.scale, self._teller.blocks(len(keys)))
        loss, watched, gradient = 0.0, 0.0, np.zeros_like(table)
        refusal = next((answer.refusal for answer in answers if answer.refusal), "")
        if refusal:
            none = np.full(point.shape, np.nan)
            return Evaluation(number, "gradient", point, np.nan, none, np.zeros((0, 0)), refusal)
        for key, answer in zip(keys, answers, strict=True):  # in this order, whoever was first
            loss += answer.loss
            watched += answer.watched
            rows: Ints = self._rows[key[0]]
            gradient[rows] += answer.gradient
        self._teller.evaluated(keys, watched / self.weight[part])
        slope = (gradient / self.scale).ravel()
        return Evaluation(number, "gradient", point, loss, slope, np.zeros((0, 0)))

    def _write(self) -> bool:
        """Write a checkpoint; False where there is nothing that one would be for."""
        evaluations = self._history.snapshot()
        last = next((one for one in reversed(evaluations) if not one.is_refused), None)
        if last is None:
            return False
        checkpoint = Checkpoint(
            network_checksum=self._network,
            names=regional_names(self._names, self._config.regions.count),
            coefficients=(last.scaled.reshape(-1, len(self._names)) / self.scale).ravel(),
            iteration=len(evaluations),
            log_likelihood=-last.loss,
            run=self._run,
            evaluations=evaluations,
        )
        assert self._path is not None
        save_checkpoint(checkpoint, self._path)
        self._saved_at, self._unsaved = time.monotonic(), 0
        return True

    def _weight(self, part: Part) -> float:
        blocks = [block for info in self._shards.infos for block in info.blocks]
        return float(sum(block.weight for block in blocks if block.is_held_out in HELD_OUT[part]))


def regional_names(names: tuple[str, ...], num_regions: int) -> tuple[str, ...]:
    """Names of the coefficients of all regions, region by region."""
    return tuple(f"{name}@{region}" for region in range(num_regions) for name in names)
