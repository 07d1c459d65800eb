"""Learn a reward of several parts over regions: how strongly they share it is chosen on held-out routes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.config import Config
from ..core.errors import ConfigurationError, StoredFolderError
from ..core.types import Bools, Floats
from ..irl.checkpoints import Checkpoint, save_checkpoint
from ..irl.demonstrations import Demonstrations
from ..irl.lbfgs import State, begin, iterate
from ..irl.rewards.building import supported_by
from ..irl.rewards.parts import Corrections
from ..irl.rewards.regional import Sharing
from ..irl.spooled_routes import SpooledRoutes
from .objective import Part
from .reward_objective import Goal, RewardObjective
from .shard_rewards import WholeReward

_log = logging.getLogger(__name__)
PENALTIES = (np.inf, 1e3, 1e2, 10.0, 0.0)
"""What ``penalty = "auto"`` tries, each from the same start."""
_DOUBLINGS = 12
_SMALL_DECREASE = 1e-10
"""Relative: below that a step is rounding noise."""
_LONG_S = 10.0
"""Work that is worth a checkpoint of its own."""
_STATE = ("point", "gradient", "steps", "slopes")
PARTS = ("parameters",)
"""What a checkpoint says that it learns."""


@dataclass
class _Known:
    """What a run knows: all of it goes into a checkpoint."""

    stage: int = 0
    """The penalty that is being tried, by its number; one past the last while learning from all routes."""
    looks: list[dict[str, Any]] = field(default_factory=list)
    """At the held-out routes: penalty, iteration, loss, nll."""
    evaluations: int = 0


@dataclass(frozen=True, eq=False)
class LearnedReward:
    """Where a training ended, and how its penalty and its iterations were chosen."""

    parameters: Floats
    """float64[P] of the whole map."""
    sharing: Sharing
    loss: float
    """Mean, penalised."""
    penalty_per_route: float
    looks: list[dict[str, Any]]
    iterations: int
    is_chosen: bool
    """The number of iterations was chosen on held-out routes."""
    is_converged: bool
    evaluations: int


class RewardFit:
    """A run from shards to parameters.

    Where routes are held out, L-BFGS is run under every penalty in question until `patience` looks at them were no
    better; their likelihood decides under which penalty, and for how many iterations, all routes are learned from.

    Parameters
    ----------
    resume
        Go on from there: the same bytes as without an interruption.
    """

    def __init__(
        self,
        objective: RewardObjective,
        whole: WholeReward,
        routes: SpooledRoutes,
        is_held_out: Bools,
        config: Config,
        *,
        run: str,
        checkpoint: Path | None,
        resume: Checkpoint | None,
    ) -> None:
        self._objective, self._whole, self._config = objective, whole, config
        self._routes, self._is_held_out = routes, is_held_out
        self._run, self._path = run, checkpoint
        self._known, self._before = _Known(), 0  # evaluations of a run that this one goes on from
        self._state = None if resume is None else self._restored(resume)
        self._goal: Goal | None = None
        self._at: State | None = None
        self._saved_at, self._unsaved = time.monotonic(), 0

    def run(self) -> LearnedReward:
        """Errors as for `fit_regions`."""
        try:
            return self._learn()
        except BaseException as stop:
            with suppress(StoredFolderError):  # a full disk may be what stopped it: the last checkpoint is whole
                stop.add_note(self._note())
            raise

    def _learn(self) -> LearnedReward:
        known, penalties = self._known, self._penalties()
        while known.stage < len(penalties):
            self._try(penalties[known.stage])
            if self._path is not None:
                self._write()  # a state is of its stage: what is between two of them goes on from the end of the first
            known.stage, self._at = known.stage + 1, None
        penalty, limit = self._chosen(penalties)
        goal = self._goal_of("all", penalty)
        self._objective.stage(f"penalty {_said(penalty)}, all routes" if len(penalties) > 1 else "learning")
        at: State | None = None
        for at in self._states(goal):
            if at.iteration >= limit:
                break
        assert at is not None  # there is a first state at least
        is_chosen = any(one["nll"] is not None for one in known.looks)
        return LearnedReward(
            goal.sharing.expand(at.point),
            goal.sharing,
            at.loss,
            goal.sharing.penalty(at.point)[0] / self._objective.weight("all"),
            known.looks,
            at.iteration,
            is_chosen,
            is_chosen or at.is_done,
            known.evaluations,
        )

    def _penalties(self) -> tuple[float, ...]:
        """Those to try on held-out routes: none where none are held out."""
        if not self._is_held_out.any():
            return ()
        return PENALTIES if self._config.regions.penalty == "auto" else (self._given(),)

    def _given(self) -> float:
        wanted = self._config.regions.penalty
        if isinstance(wanted, str) or self._config.regions.count == 1:
            return np.inf
        return wanted

    def _chosen(self, penalties: tuple[float, ...]) -> tuple[float, int]:
        """(penalty, iterations) under which held-out routes are likeliest."""
        looks = [one for one in self._known.looks if one["nll"] is not None]
        if not looks:
            return (self._given() if len(penalties) < 2 else np.inf), self._config.training.max_iterations
        best = min(looks, key=lambda one: one["nll"])
        return penalties[best["stage"]], best["iteration"]

    def _try(self, penalty: float) -> None:
        """One penalty, until held-out routes are no longer likelier."""
        training, looks, stage = self._config.training, self._known.looks, self._known.stage
        goal = self._goal_of("learned", penalty)
        self._objective.stage(f"choosing, penalty {_said(penalty)}")
        for at in self._states(goal):
            own = [one for one in looks if one["stage"] == stage]
            is_last = at.is_done or at.iteration >= training.max_iterations
            is_due = at.iteration % training.validate_every == 0 or is_last
            if is_due and (not own or own[-1]["iteration"] < at.iteration):
                nll = self._objective.loss_per_route("held out", goal.sharing.expand(at.point))
                own.append(
                    {
                        "stage": stage,
                        "penalty": _said(penalty),
                        "iteration": at.iteration,
                        "loss": at.loss,
                        "nll": nll if np.isfinite(nll) else None,
                    }
                )
                looks.append(own[-1])
                _log.info("held out: %.4f", nll)
            found = [np.inf if one["nll"] is None else one["nll"] for one in own]
            if is_last or len(found) - 1 - int(np.argmin(found)) >= training.patience:
                return

    def _goal_of(self, part: Part, penalty: float) -> Goal:
        whole, config = self._whole.reward, self._config
        sharing = Sharing(whole, penalty=penalty, rank=config.regions.rank, seed=config.training.seed)
        taken = np.zeros(whole.num_turns)
        for block in self._blocks(part):
            turn, row = block.turns()
            np.add.at(taken, turn, block.weight[row])
        return Goal(part, sharing, self._free(sharing, part), sharing.stiffness(taken) / self._objective.weight(part))

    def _blocks(self, part: Part) -> Iterator[Demonstrations]:
        """The routes of a part, some at a time."""
        for row, block in self._routes.blocks():
            is_wanted = ~self._is_held_out[row : row + len(block)]
            yield block if part == "all" or is_wanted.all() else block.take(np.flatnonzero(is_wanted))

    def _free(self, sharing: Sharing, part: Part) -> Bools:
        """bool[of a point]: which of its numbers these routes may move."""
        parts = []
        for one in self._whole.reward.parts:
            is_free = np.ones(sharing.sizes[one.name], bool)
            if isinstance(one, Corrections):
                is_free = np.isin(one.supported, supported_by(self._blocks(part), one.of, self._whole.config))
            parts.append(is_free)
        return np.concatenate(parts)

    def _states(self, goal: Goal) -> Iterator[State]:
        """States of L-BFGS from its first one on, or from where the run was interrupted; the last ``is_done``."""
        objective, training = self._objective, self._config.training
        self._goal = goal

        def loss(point: Floats) -> tuple[float, Floats] | None:
            return objective.mean_loss(goal, point)

        state, self._state = (self._state, None) if self._state is not None else (self._first(goal), None)
        self._remember(state)
        yield state
        for new in iterate(loss, state, goal.stiffness):
            gained = state.loss - new.loss
            size = float(np.abs(new.gradient).max(initial=0.0))
            is_flat = size <= training.gradient_tolerance or gained <= _SMALL_DECREASE * (1 + abs(new.loss))
            state = State(**{**vars(new), "is_done": new.is_done or is_flat})
            objective.step_taken(state.iteration, state.loss, size)
            self._remember(state)
            yield state
            if state.is_done:
                return

    def _first(self, goal: Goal) -> State:
        """A base cost, doubled until values exist."""
        for doubling in range(_DOUBLINGS):
            start = goal.sharing.start(2.0**doubling)
            found = begin(lambda point: self._objective.mean_loss(goal, point), start)
            if found is not None:
                return found
        refusal = self._objective.refusal(goal.part, goal.sharing.expand(start))
        raise ConfigurationError(
            where="[reward] features", problem=f"no base cost has values in every region ({refusal}); add 'constant'"
        )

    def _remember(self, state: State) -> None:
        """What a checkpoint would hold now; written where it is time."""
        self._known.evaluations = self._before + self._objective.num_evaluations
        self._at = state
        self._unsaved += 1
        is_long = time.monotonic() - self._saved_at > _LONG_S
        if self._path is not None and (is_long or self._unsaved >= self._config.training.checkpoint_every):
            self._write()

    def _note(self) -> str:
        if self._path is None or (self._at is None and not self._known.stage):
            return "no iteration was finished, so there is nothing to resume"
        if self._at is not None:
            self._write()
        return f"what was reached is saved in {self._path}; the same command with --resume goes on from there"

    def _write(self) -> None:
        state, goal, path = self._at, self._goal, self._path
        assert state is not None
        assert goal is not None
        assert path is not None
        weight = self._objective.weight(goal.part)
        checkpoint = Checkpoint(
            network_checksum=self._routes.network.checksum,
            names=PARTS,
            coefficients=np.zeros(0),
            iteration=state.iteration,
            log_likelihood=-state.loss * weight,
            run=self._run,
            evaluations=(),
            state={name: getattr(state, name) for name in _STATE},
            notes={"loss": state.loss, "is_done": state.is_done, **vars(self._known)},
        )
        save_checkpoint(checkpoint, path)
        self._saved_at, self._unsaved = time.monotonic(), 0

    def _restored(self, checkpoint: Checkpoint) -> State:
        if checkpoint.run != self._run:
            raise ConfigurationError(
                where="resume",
                problem="the checkpoint is of a run with other routes or another configuration; start without it",
            )
        notes = checkpoint.notes
        self._known = _Known(**{name: notes[name] for name in ("stage", "looks", "evaluations")})
        self._before = self._known.evaluations
        return State(
            **{name: checkpoint.state[name] for name in _STATE},
            loss=notes["loss"],
            iteration=checkpoint.iteration,
            is_done=notes["is_done"],
        )


def _said(penalty: float) -> str:
    return f"{penalty:g}"
