"""Fit a reward with many parameters: stop where held-out routes are predicted best, then learn from all of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.config import Config
from ...core.errors import ConfigurationError
from ...core.types import Floats
from ...graphs.road_graph import RoadNetwork
from ..baselines import require_plain_costs, tune_baselines
from ..checkpoints import Checkpoint
from ..demonstrations import Demonstrations
from ..lbfgs import State, begin, iterate
from ..model import Coefficient, LearnedModel, entry_costs
from ..planner import Planner
from ..progress import Progress, TrainingProgress
from ..provenance import fit_summary, provenance, run_digest, run_names
from .building import make_reward, to_arrays
from .held_out import HeldOut, Score
from .objective import PenalisedLoss
from .parts import LinearPart
from .reward import Reward

_log = logging.getLogger(__name__)
_DOUBLINGS = 12
_SMALL_DECREASE = 1e-10
"""Relative: below that a step is rounding noise."""
_STATE = ("point", "gradient", "steps", "slopes")


@dataclass
class _Run:
    """What a run knows: all of it goes into a checkpoint."""

    stage: int = 0
    """0: the number of iterations is being chosen; from 1 on, the member that is being learned."""
    curve: list[dict[str, float | None]] = field(default_factory=list)
    """Looks at the held-out routes, in their order."""
    num_iterations: int | None = None
    """Chosen on them."""
    members: list[Floats] = field(default_factory=list)
    made: int = 0
    """Iterations of the last member."""
    evaluations: int = 0
    is_converged: bool = True


def fit_reward(
    network: RoadNetwork,
    routes: Demonstrations,
    config: Config,
    *,
    progress: Progress | None = None,
    resume: Checkpoint | None = None,
) -> LearnedModel:
    """Learn a sum of parts by penalised maximum likelihood; called by `trodden.irl.training.fit`, which says more.

    A share of the routes is held out; L-BFGS learns from the rest until ``patience`` looks at those held out were no
    better, and the best look tells how many iterations to make on all routes, once for every member of an ensemble.

    Notes
    -----
    An evaluation costs what the planner's likelihood does, and O(T F + P) for the parts.
    """
    return _Fit(network, routes, config, progress).run(resume)


class _Fit:
    def __init__(self, network: RoadNetwork, routes: Demonstrations, config: Config, progress: Progress | None) -> None:
        self._network, self._routes, self._config, self._progress = network, routes, config, progress
        self._seed = config.training.seed
        require_plain_costs(network)
        self._reward = make_reward(network, routes, config.reward, seed=self._seed)
        self._names = run_names(network, config)
        self._digest = run_digest(routes, self._names, config)
        self._planner = Planner(network.turns, config.planner, edge_id=network.graph.edge_id)
        self._started = time.perf_counter()
        self._known = _Run()

    def run(self, resume: Checkpoint | None) -> LearnedModel:
        state = self._restored(resume) if resume is not None else None
        known, training = self._known, self._config.training
        if known.stage == 0 and training.validation_share > 0 and len(self._routes) > 1:
            self._choose(state)
            state = None
        known.stage = max(known.stage, 1)
        while known.stage <= self._config.reward.members:
            known.members.append(self._member(known.stage, state))
            known.stage, state = known.stage + 1, None
        return self._model()

    def _choose(self, state: State | None) -> None:
        """How many iterations to make, by the routes held out."""
        training, known = self._config.training, self._known
        rest, held = self._routes.split_by_route(training.validation_share, self._seed)
        reward = make_reward(self._network, rest, self._config.reward, seed=self._seed)
        watcher = HeldOut(held, self._config.planner, self._planner)
        scores = [Score.from_json(one) for one in known.curve]
        limit = training.max_iterations
        for at in self._states(reward, rest, state, "choosing", scores):
            is_last = at.is_done or at.iteration >= limit
            if (at.iteration % training.validate_every == 0 or is_last) and (
                not scores or scores[-1].iteration < at.iteration
            ):
                scores.append(watcher.look(reward.cost(at.point), at.iteration, at.loss))
                known.curve.append(scores[-1].to_json())
            best = max(range(len(scores)), key=lambda k: (scores[k].key(training.select_by), -k))
            if is_last or len(scores) - 1 - best >= training.patience:
                break
        known.num_iterations = scores[best].iteration
        _log.info("%d iterations, chosen on %d routes held out", known.num_iterations, len(held))

    def _member(self, number: int, state: State | None) -> Floats:
        routes, known = self._routes, self._known
        limit = known.num_iterations if known.num_iterations is not None else self._config.training.max_iterations
        count = self._config.reward.members
        if count > 1:
            drawn = np.random.default_rng([self._seed, number]).multinomial(
                len(routes), [1 / len(routes)] * len(routes)
            )
            routes = _reweighted(routes, drawn)
        stage = "learning" if count == 1 else f"member {number} of {count}"
        at: State | None = None
        for at in self._states(self._reward, routes, state, stage, []):
            if at.iteration >= limit:
                break
        assert at is not None  # there is a first state at least
        known.made = at.iteration
        if known.num_iterations is None:
            known.is_converged &= at.iteration < limit
        return at.point

    def _states(
        self, reward: Reward, routes: Demonstrations, state: State | None, stage: str, scores: list[Score]
    ) -> Iterator[State]:
        """States of L-BFGS from its first one on, those after it reported; the last one says ``is_done``."""
        training = self._config.training
        loss = PenalisedLoss(reward, routes, self._config.planner, self._planner)
        state = state if state is not None else _first_state(reward, loss)
        yield state  # of a resumed run too, which may have nothing left to do
        for new in iterate(loss.or_none, state, loss.stiffness):
            gained = state.loss - new.loss
            is_flat = float(np.abs(new.gradient).max(initial=0.0)) <= training.gradient_tolerance
            if new.is_done or is_flat or gained <= _SMALL_DECREASE * (1 + abs(new.loss)):
                new = State(**{**vars(new), "is_done": True})
            state = new
            self._known.evaluations += loss.num_evaluations
            loss.num_evaluations = 0
            yield state
            self._report(state, stage, loss.total_weight, scores)
            if state.is_done:
                return

    def _report(self, state: State, stage: str, total_weight: float, scores: list[Score]) -> None:
        size = float(np.abs(state.gradient).max(initial=0.0))
        _log.info("%s, iteration %d: loss %.6f, gradient %.1e", stage, state.iteration, state.loss, size)
        if self._progress is None:
            return
        known, training = self._known, self._config.training
        seconds = max(time.perf_counter() - self._started, 1e-9)
        self._progress(
            TrainingProgress(
                state.iteration,
                known.num_iterations if known.num_iterations is not None else training.max_iterations,
                -state.loss,
                size,
                known.evaluations * len(self._routes) / seconds,
                None,
                self._planner.corridor_error,
                self._checkpoint(state, total_weight),
                stage,
                scores[-1].text() if scores else "",
            )
        )

    def _checkpoint(self, state: State, total_weight: float) -> Checkpoint:
        known = self._known
        return Checkpoint(
            network_checksum=self._network.checksum,
            names=self._names,
            coefficients=np.zeros(0),
            iteration=state.iteration,
            log_likelihood=-state.loss * total_weight,
            run=self._digest,
            evaluations=(),
            state={
                **{name: getattr(state, name) for name in _STATE},
                "members": np.array(known.members).reshape(len(known.members), len(self._reward)),
            },
            notes={
                "loss": state.loss,
                "is_done": state.is_done,
                "stage": known.stage,
                "curve": list(known.curve),
                "num_iterations": known.num_iterations,
                "made": known.made,
                "evaluations": known.evaluations,
                "is_converged": known.is_converged,
            },
        )

    def _restored(self, checkpoint: Checkpoint) -> State:
        if checkpoint.run != self._digest:
            raise ConfigurationError(
                where="resume",
                problem="the checkpoint is of a run with other routes or another configuration; start without it",
            )
        notes, state = checkpoint.notes, checkpoint.state
        names = ("stage", "curve", "num_iterations", "made", "evaluations", "is_converged")
        self._known = _Run(**{name: notes[name] for name in names}, members=list(state["members"]))
        return State(
            **{name: state[name] for name in _STATE},
            loss=notes["loss"],
            iteration=checkpoint.iteration,
            is_done=notes["is_done"],
        )

    def _model(self) -> LearnedModel:
        network, routes, config, known = self._network, self._routes, self._config, self._known
        members = np.array(known.members)
        cost = served_cost(self._reward, members, config)
        baselines, tuned = tune_baselines(network, routes, config)
        loss = PenalisedLoss(self._reward, routes, config.planner, self._planner)
        mean = members.mean(axis=0)
        value = _served_likelihood(self._planner, cost, routes)
        radius = self._planner.spectral_radius(-cost)
        is_chosen = known.num_iterations is not None
        summary: dict[str, Any] = {
            **fit_summary(value, loss.total_weight, config),
            **provenance(routes, self._planner.last_solver, radius[0] if radius is not None else None),
            "method": "L-BFGS",
            "iterations": known.num_iterations if is_chosen else known.made,
            "evaluations": known.evaluations,
            "is_converged": known.is_converged,
            "stopped_by": "held-out routes" if is_chosen else "convergence",
            "num_parameters": {part.name: len(part) for part in self._reward.parts},
            "penalty_per_route": self._reward.penalty(mean)[0] / loss.total_weight,
            "curve": known.curve,
            "bound_turns": 0,
            "num_free_parameters": None,
            "total_weight": loss.total_weight,
            "routes_digest": routes.digest(config.planner.ending),
            "baselines": tuned,
            "seconds": time.perf_counter() - self._started,
        }
        return LearnedModel(
            network=network,
            config=config,
            coefficients=_coefficients(self._reward, mean),
            turn_cost=cost,
            entry_cost=entry_costs(np.zeros(network.graph.num_edges), cost, network.turns.to_edge),
            baseline_costs=baselines,
            training_pairs=np.unique(routes.pair_keys(config.planner.ending)),
            summary=summary,
            is_simulated=routes.is_simulated,
            parts={"members": members, **to_arrays(self._reward)},
        )


def served_cost(reward: Reward, members: Floats, config: Config) -> Floats:
    """float64[T]: what an ensemble serves, of parameters float64[K, P]."""
    if config.reward.average == "parameters":
        return reward.cost(members.mean(axis=0))
    return np.asarray(np.mean([reward.cost(member) for member in members], axis=0))


def _first_state(reward: Reward, loss: PenalisedLoss) -> State:
    """Where L-BFGS starts: a base cost, doubled until values exist."""
    for doubling in range(_DOUBLINGS):
        found = begin(loss.or_none, reward.start(2.0**doubling))
        if found is not None:
            return found
    start = reward.start(2.0**_DOUBLINGS)
    loss(start)  # raises what stands against values
    found = begin(loss.or_none, start)
    assert found is not None
    return found


def _served_likelihood(planner: Planner, cost: Floats, routes: Demonstrations) -> float:
    from ..batches import make_batch

    return planner.log_likelihood(-cost, make_batch(routes, planner.config))[0]


def _reweighted(routes: Demonstrations, times: NDArray[Any]) -> Demonstrations:
    drawn = np.flatnonzero(times)
    kept = routes.take(drawn)
    return Demonstrations(**{**vars(kept), "weight": kept.weight * times[drawn]})


def _coefficients(reward: Reward, parameters: Floats) -> tuple[Coefficient, ...]:
    linear = reward.part("linear")
    if not isinstance(linear, LinearPart):
        return ()
    values = linear.coefficients(reward.split(parameters)["linear"])
    note = "under a penalty and beside other parts: no standard error"
    return tuple(
        Coefficient(name, float(value), None, note) for name, value in zip(linear.features.names, values, strict=True)
    )
