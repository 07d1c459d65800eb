"""A reward per context, drawn to each other by a penalty: the mathematics of regions, with trips in place of turns.

One reward for all contexts comes first, with everything that `trodden.irl.training.fit` says of it; then each context's
coefficients maximise, together,

    sum over contexts of the log-likelihood of their routes - lambda / 2 * sum_c |theta_c - mean(theta)|^2

in scaled coefficients (`trodden.irl.pooling`).
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.config import Config, ContextConfig
from ..core.types import Bools, Floats, Ints
from ..graphs.road_graph import RoadNetwork
from .checkpoints import Checkpoint
from .context_objective import ContextObjective
from .contexts import Contexts
from .demonstrations import Demonstrations
from .feature_columns import Features
from .features import make_features
from .inference import covariance
from .model import Coefficient, ContextReward, LearnedModel, entry_costs
from .planner import Planner
from .pooling import Pooling
from .progress import Progress, TrainingProgress
from .regional_fit import RegionalOptimum, fit_regions_from, starting_row

_log = logging.getLogger(__name__)
PENALTIES = (1e4, 1e3, 1e2, 10.0, 0.0)
"""What ``penalty = "auto"`` tries beside infinity, each from where the one before it ended."""
_TRIAL_STEPS = 50
_RUNAWAY = 50.0
"""Standard error in scaled coefficients beyond which there is no estimate."""
_ALIKE = "these routes do not tell it apart from other features (constant over the choices, or collinear)"
_RUNS_AWAY = "runs away: these routes (almost) never or always take it, so its size means nothing"


@dataclass(frozen=True, eq=False)
class _Learned:
    optimum: RegionalOptimum
    penalty: float
    held_out: dict[str, float | None]
    num_evaluations: int


def fit_contexts(
    network: RoadNetwork,
    routes: Demonstrations,
    config: Config,
    *,
    progress: Progress | None = None,
    resume: Checkpoint | None = None,
) -> LearnedModel:
    """Learn a linear reward per context, and one for all of them, which serves trips that name no context.

    Parameters
    ----------
    routes
        Possible under the ending; with departures or groups, as ``[context]`` asks.
    progress, resume
        As for `trodden.irl.training.fit`. Checkpoints hold the one reward for all; the contexts' own are worked out
        again from there, to the same bytes.

    Raises
    ------
    ConfigurationError
        A route of no period or group, a column of ``by_period`` that the network lacks, and what `fit` raises.
    """
    from .training import fit  # which calls this one

    contexts = Contexts.of_routes(config.context, routes)
    number = contexts.number_of_routes(routes)
    plain = config.model_copy(update={"context": ContextConfig()})
    names = make_features(network, config.reward.features).names
    features = _features(network, config, contexts, names)
    teller = _Teller(progress, float(routes.weight.sum()))
    shared = fit(network, routes, plain, progress=teller.shared if progress else None, resume=resume)
    started = time.perf_counter()
    start = np.array([one.value for one in shared.coefficients])
    learned, scale = _fit_all(features, routes, number, config, start, teller)
    rewards, raised = _rewards(network, contexts, features, learned, scale, number, config)
    summary = {
        **shared.summary,
        "context": _summary(contexts, learned, raised, shared, time.perf_counter() - started),
    }
    return shared.replace(config=config, contexts=rewards, summary=summary)


def _features(network: RoadNetwork, config: Config, contexts: Contexts, names: tuple[str, ...]) -> tuple[Features, ...]:
    """The features of every context; those of one period are made once."""
    made = {period: make_features(network, config.context.features_in(period, names)) for period, _ in contexts.pairs}
    return tuple(made[period] for period, _ in contexts.pairs)


class _Teller:
    """Tells of the contexts' fits in the form of the one reward's, whose last checkpoint is what a run goes on from."""

    def __init__(self, progress: Progress | None, weight: float) -> None:
        self._progress, self._weight = progress, weight
        self._last: TrainingProgress | None = None
        self.stage = ""

    def shared(self, step: TrainingProgress) -> None:
        """After a step of the one reward for all."""
        self._last = step
        if self._progress is not None:
            self._progress(step)

    def step(self, steps: int, loss: float, gradient: float) -> None:
        """After a step of the contexts' own."""
        if self._progress is not None and self._last is not None:
            self._progress(
                dataclasses.replace(
                    self._last,
                    iteration=steps,
                    log_likelihood_per_route=-loss / self._weight,
                    gradient_norm=gradient / self._weight,
                    stage=self.stage,
                )
            )


def _fit_all(
    features: tuple[Features, ...],
    routes: Demonstrations,
    number: Ints,
    config: Config,
    start: Floats,
    teller: _Teller,
) -> tuple[_Learned, Floats]:
    squares = np.mean([one.range.mean_square for one in features], axis=0)
    scale = np.where(squares > 0, np.sqrt(squares), 1.0)
    turns, edge_id = routes.network.turns, routes.network.graph.edge_id
    planners = tuple(Planner(turns, config.planner, edge_id=edge_id) for _ in features)

    def objective(rows: Bools) -> ContextObjective:
        at = np.flatnonzero(rows)
        return ContextObjective(features, routes.take(at), number[at], config, scale, planners)

    whole = objective(np.ones(len(routes), bool))
    first = _start(whole, features, start * scale)
    wanted = config.context.penalty
    if wanted != "auto":
        penalty = np.inf if wanted == "infinity" else float(wanted)
        teller.stage = f"contexts, penalty {penalty:g}"
        optimum = _fit(whole, first, penalty, config, teller)
        return _Learned(optimum, penalty, {}, whole.num_evaluations), scale
    penalty, losses, evaluations = _chosen(objective, _folds(number, config), routes.weight, first, config, teller)
    teller.stage = f"contexts, penalty {penalty:g}, all routes"
    optimum = _fit(whole, first, penalty, config, teller)
    return _Learned(optimum, penalty, losses, evaluations + whole.num_evaluations), scale


def _start(whole: ContextObjective, features: tuple[Features, ...], shared: Floats) -> Floats:
    """float64[C, F], scaled: the one reward for all; costs where it has no values under a period's own columns."""
    first = np.broadcast_to(shared, (len(features), len(shared))).copy()
    if not isinstance(whole(first), str):
        return first
    is_cost = np.all([(one.range.minimum >= 0) & (one.range.maximum > 0) for one in features], axis=0)
    return np.broadcast_to(starting_row(whole, is_cost, len(features)), first.shape).copy()


def _folds(number: Ints, config: Config) -> Ints:
    """int32[R]: the part that each route is held out with; every context is spread over all of them evenly."""
    generator, result = np.random.default_rng(config.training.seed), np.zeros(len(number), np.int32)
    for context in np.unique(number):
        rows = generator.permutation(np.flatnonzero(number == context))
        result[rows] = np.arange(len(rows)) % config.context.folds
    return result


def _chosen(
    objective: Callable[[Bools], ContextObjective],
    fold: Ints,
    weight: Floats,
    start: Floats,
    config: Config,
    teller: _Teller,
) -> tuple[float, dict[str, float | None], int]:
    """(penalty, loss per held-out route by penalty in nats, evaluations) by cross-validation.

    The penalty under which held-out routes are likeliest, if they are so by more than the standard error of what they
    gain over one reward for all; else infinity. A context that does not matter shall not hurt, and one that does
    overcomes that with routes enough.
    """
    losses = {penalty: np.zeros(len(fold)) for penalty in (np.inf, *PENALTIES)}
    evaluations = 0
    for part in np.unique(fold):
        taught, asked = objective(fold != part), objective(fold == part)
        if not len(taught.weight):
            return np.inf, {}, evaluations
        table, blocks = start, None
        for penalty, loss in losses.items():
            teller.stage = f"contexts, part {part + 1}, penalty {penalty:g}"
            found = _fit(taught, table, penalty, config, teller, blocks=blocks, is_trial=True)
            table, blocks = found.table, found.curvature
            told = asked.per_route(table)
            loss[fold == part] = np.inf if told is None else told
        evaluations += taught.num_evaluations + asked.num_evaluations
    means = {penalty: float(np.average(loss, weights=weight)) for penalty, loss in losses.items()}
    _log.info("nats per held-out route by penalty: %s", means)
    best = min(means, key=lambda penalty: means[penalty])
    if np.isfinite(means[np.inf]):
        gain = losses[np.inf] - losses[best]
        error = float(np.sqrt(weight @ (gain - np.average(gain, weights=weight)) ** 2))
        best = best if float(weight @ gain) > error else np.inf
    return best, {f"{one:g}": mean if np.isfinite(mean) else None for one, mean in means.items()}, evaluations


def _fit(
    objective: Callable[[Floats], tuple[float, Floats] | str],
    start: Floats,
    penalty: float,
    config: Config,
    teller: _Teller,
    *,
    blocks: Floats | None = None,
    is_trial: bool = False,
) -> RegionalOptimum:
    steps = config.training.max_iterations
    return fit_regions_from(
        objective,
        start,
        penalty,
        blocks=blocks,
        wants_errors=not is_trial,
        max_steps=min(steps, _TRIAL_STEPS) if is_trial else steps,
        on_step=teller.step,
    )


def _rewards(
    network: RoadNetwork,
    contexts: Contexts,
    features: tuple[Features, ...],
    learned: _Learned,
    scale: Floats,
    number: Ints,
    config: Config,
) -> tuple[tuple[ContextReward, ...], int]:
    """What each context learned, and how many turns (of all contexts) were raised to the minimum cost."""
    rows, raised, result = _estimates(learned, scale, features), 0, []
    for at, (period, group) in enumerate(contexts.pairs):
        coefficients = learned.optimum.table[at] / scale
        cost = -features[at].reward(coefficients)
        raised += int((cost < config.reward.minimum_cost).sum())
        turn_cost = np.maximum(cost, config.reward.minimum_cost)
        entry = entry_costs(features[at].edge_reward(coefficients), turn_cost, network.turns.to_edge)
        result.append(ContextReward(period, group, int((number == at).sum()), rows[at], turn_cost, entry))
    return tuple(result), raised


def _estimates(learned: _Learned, scale: Floats, features: tuple[Features, ...]) -> list[tuple[Coefficient, ...]]:
    """Coefficients of every context; standard errors are those of the posterior around the common mean."""
    table = learned.optimum.table
    pooling = Pooling(len(table), table.shape[1], learned.penalty)
    found = covariance(pooling.hessian(learned.optimum.curvature), np.zeros((0, pooling.point(table).size)))
    errors = pooling.table(found.errors(found.classical))
    result = []
    for own, values, sizes in zip(features, table, errors, strict=True):
        row = []
        for name, value, size, unit in zip(own.names, values, sizes, scale, strict=True):
            note = _ALIKE if np.isnan(size) else _RUNS_AWAY if size > _RUNAWAY else ""
            row.append(Coefficient(name, float(value / unit), None if note else float(size / unit), note))
        result.append(tuple(row))
    return result


def _summary(
    contexts: Contexts, learned: _Learned, raised: int, shared: LearnedModel, seconds: float
) -> dict[str, Any]:
    optimum = learned.optimum
    return {
        "penalty": "infinity" if np.isinf(learned.penalty) else learned.penalty,
        "held_out_loss_by_penalty": learned.held_out,
        "log_likelihood": -optimum.loss,
        "log_likelihood_per_route": -optimum.loss / shared.summary["total_weight"],
        "is_converged": optimum.is_converged,
        "decrement": optimum.decrement,
        "evaluations": learned.num_evaluations,
        "raised_turns": raised,
        "seconds": seconds,
    }
