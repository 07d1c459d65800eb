"""The penalised likelihood of all shards under a reward of several parts: what L-BFGS minimises."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..core.types import Bools, Floats, Ids
from ..irl.regional_likelihood import BlockAnswer
from ..irl.rewards.regional import Sharing
from .dispatch import Workers, all_keys
from .objective import HELD_OUT, Part
from .progress import RegionalProgress, Teller
from .regions import Shards

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Goal:
    """What one fit minimises."""

    part: Part
    """The routes that it learns from."""
    sharing: Sharing
    is_free: Bools
    """bool[of a point]: false for corrections that none of these routes supports; they stay 0."""
    stiffness: Floats
    """Of a point; see `Part.stiffness`."""


class RewardObjective:
    """Evaluates points of a `Sharing`: parameters go out to the shards that have them, gradients are added up.

    Sums run over shards and blocks in their order, whoever answered first.
    """

    def __init__(
        self, shards: Shards, workers: Workers, num_parameters: int, progress: Callable[[RegionalProgress], None] | None
    ) -> None:
        self._shards, self._workers, self._num_parameters = shards, workers, num_parameters
        self._teller = Teller(shards, workers.timing, progress)
        self._slots: dict[int, Ids] = {info.region: shards.slots(info.region) for info in shards.infos}

    @property
    def num_evaluations(self) -> int:
        """So far."""
        return self._teller.num_evaluations

    @property
    def border_error(self) -> float:
        """Expected visits per route to where a shard's map ends, in the last evaluation."""
        return self._teller.border_error

    def weight(self, part: Part) -> float:
        """Sum of the routes' weights."""
        blocks = [block for info in self._shards.infos for block in info.blocks]
        return float(sum(block.weight for block in blocks if block.is_held_out in HELD_OUT[part]))

    def stage(self, name: str) -> None:
        """Name what comes next, for the progress bar and the log."""
        self._teller.stage(name)

    def step_taken(self, step: int, loss: float, gradient: float) -> None:
        """For the optimiser to call."""
        self._teller.step_taken(step, loss, gradient)

    def mean_loss(self, goal: Goal, point: Floats) -> tuple[float, Floats] | None:
        """``(penalty - log-likelihood) / weight`` and its gradient; None where there are no values."""
        found = self._likelihood(goal.part, goal.sharing.expand(point))
        if isinstance(found, str):
            _log.info("no values here: %s", found)
            return None
        loss, slope = found
        penalty, pull = goal.sharing.penalty(point)
        weight = self.weight(goal.part)
        gradient = np.where(goal.is_free, goal.sharing.fold(point, slope) + pull, 0.0)
        return (loss + penalty) / weight, gradient / weight

    def loss_per_route(self, part: Part, parameters: Floats) -> float:
        """Negative log-likelihood without any penalty; infinity where there are no values."""
        found = self._likelihood(part, parameters)
        return np.inf if isinstance(found, str) else found[0] / self.weight(part)

    def refusal(self, part: Part, parameters: Floats) -> str:
        """Why there are no values; empty where there are."""
        found = self._likelihood(part, parameters)
        return found if isinstance(found, str) else ""

    def _likelihood(self, part: Part, parameters: Floats) -> tuple[float, Floats] | str:
        """(negative log-likelihood, its gradient in the whole map's parameters), or why there is none."""
        keys = all_keys(self._shards, is_held_out=HELD_OUT[part])
        own = {region: parameters[slots] for region, slots in self._slots.items()}
        answers: dict[tuple[int, int], BlockAnswer] = self._workers.call(
            "evaluate_reward", {key: (own[key[0]],) for key in keys}, self._teller.blocks(len(keys))
        )
        self._teller.num_evaluations += 1
        loss, watched, total = 0.0, 0.0, np.zeros(self._num_parameters)
        for key in keys:
            if answers[key].refusal:
                return answers[key].refusal
            loss += answers[key].loss
            watched += answers[key].watched
            total[self._slots[key[0]]] += answers[key].gradient  # a shard has every parameter once
        self._teller.evaluated(keys, watched / self.weight(part))
        return loss, total
