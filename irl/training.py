"""Fit a reward by maximum likelihood; every step stays where values exist, every turn keeps a positive cost."""

from __future__ import annotations

import time

import numpy as np

from ..core.config import Config
from ..core.errors import ConfigurationError
from ..core.types import Floats
from ..graphs.road_graph import RoadNetwork
from .baselines import require_plain_costs, tune_baselines
from .checkpoints import Checkpoint
from .demonstrations import Demonstrations, require_network
from .estimates import estimates
from .evaluations import History
from .feasibility import factorise
from .features import make_features
from .model import LearnedModel, entry_costs
from .optimisers import maximise
from .problem import NO_VALUES, Problem
from .progress import Progress, TrainingProgress, Watch
from .provenance import fit_summary, provenance, run_digest

__all__ = ["Progress", "TrainingProgress", "fit"]


def fit(
    network: RoadNetwork,
    demonstrations: Demonstrations,
    config: Config | None = None,
    *,
    progress: Progress | None = None,
    resume: Checkpoint | None = None,
) -> LearnedModel:
    """Learn a reward from demonstrations by maximum likelihood at the configured horizon.

    A linear one, or with ``[reward]`` corrections, an MLP or members what `trodden.irl.rewards` makes of it, under L2
    penalties and stopped where held-out routes are predicted best. With ``[context]``, one for each context beside it.

    Infinity is MaxEnt IRL, the recursive logit; a finite horizon is RHIP; 0 is maximum-margin planning, which has no
    likelihood and no standard errors.

    Parameters
    ----------
    progress
        Called after every iteration; an exception raised in it ends the run.
    resume
        Go on where this checkpoint's run stood: on the same kind of machine, with the same versions, the model is that
        of an uninterrupted run to the byte. What the run had evaluated is answered from the checkpoint.

    Raises
    ------
    ConfigurationError, InvalidValueError
        A feature or start value that this network has no column for, or that is not finite; or ``resume`` is of a run
        with other routes or another configuration.
    NoDemonstrationsError
        No route is possible under the ending.
    InfeasibleRewardError
        No base cost was found under which values exist; names the cycle and a constant that mends it.
    NonPositiveCostError
        At a finite horizon, the start gives some turn no cost.
    WrongNetworkError
        The demonstrations were checked against another network.

    Notes
    -----
    ``[training] method = "auto"`` is Newton's method with the exact Hessian: F + 2 triangular solves per destination
    and evaluation, from the last of which the standard errors follow. With many destinations most steps need only two
    solves per destination (a warm-up on a part of them gives a Hessian). L-BFGS-B where the factorisation cannot serve
    or F > 30. benchmarks/optimisers.py compares the methods.
    """
    config = config or Config()
    started = time.perf_counter()
    require_network(demonstrations, network.checksum, "the set of demonstrations")
    routes = demonstrations.for_ending(config.planner.ending)
    if config.context.is_given:
        from .context_fit import fit_contexts  # which asks for the reward of all here

        return fit_contexts(network, routes, config, progress=progress, resume=resume)
    if not config.reward.is_plain:
        from .rewards.fitting import fit_reward  # an MLP takes seconds to import

        return fit_reward(network, routes, config, progress=progress, resume=resume)
    require_plain_costs(network)
    features = make_features(network, config.reward.features)
    run = run_digest(routes, features.names, config)
    problem = Problem(network, routes, features, config, history=_history(resume, run))
    optimum = maximise(problem, _start(problem, config) * problem.scale, Watch(problem, progress, run))
    coefficients, value = optimum.scaled / problem.scale, -optimum.loss * problem.total_weight
    rows, certainty = estimates(problem, optimum)
    reward = features.reward(coefficients)
    turn_cost = np.maximum(-reward, config.reward.minimum_cost)
    baselines, tuned = tune_baselines(network, routes, config)
    radius = problem.planner.spectral_radius(problem.reward(optimum.scaled))
    summary = {
        **fit_summary(value, problem.total_weight, config),
        **provenance(routes, problem.solver_at(optimum.scaled), radius[0] if radius is not None else None),
        **optimum.outcome,
        **certainty,
        "baselines": tuned,
        "seconds": time.perf_counter() - started,
    }
    return LearnedModel(
        network=network,
        config=config,
        coefficients=rows,
        turn_cost=turn_cost,
        entry_cost=entry_costs(features.edge_reward(coefficients), turn_cost, network.turns.to_edge),
        baseline_costs=baselines,
        training_pairs=np.unique(routes.pair_keys(config.planner.ending)),
        summary=summary,
        is_simulated=routes.is_simulated,
    )


def _history(resume: Checkpoint | None, run: str) -> History:
    if resume is None:
        return History()
    if resume.run != run:
        raise ConfigurationError(
            where="resume",
            problem="the checkpoint is of a run with other routes or another configuration; start without it, or give "
            "its coefficients as [training] start",
        )
    return History(resume.evaluations)


def _start(problem: Problem, config: Config) -> Floats:
    """Configured coefficients, or a base cost on every never-negative feature, doubled until values exist."""
    names = problem.features.names
    unknown = set(config.training.start) - set(names)
    if unknown:
        raise ConfigurationError(where="[training] start", problem=f"no such feature: {', '.join(sorted(unknown))}")
    if config.training.start:
        return np.array([config.training.start.get(name, 0.0) for name in names])
    is_usable = (problem.features.range.minimum >= 0) & (problem.features.range.maximum > 0)
    base = -is_usable.astype(np.float64) / problem.scale
    if not is_usable.any():
        raise ConfigurationError(
            where="[reward] features", problem="no feature is a cost that is never negative; add 'constant'"
        )
    if config.planner.horizon != "infinity":
        return np.asarray(base)  # positive costs are all that a finite horizon needs
    for doubling in range(12):
        candidate = base * 2.0**doubling
        if _has_values(problem, candidate):
            return np.asarray(candidate)
    # The planner knows endings that the LU refuses, or says what to change.
    problem.check(base * 2.0**12 * problem.scale)
    return np.asarray(base * 2.0**12)


def _has_values(problem: Problem, coefficients: Floats) -> bool:
    """Whether values exist: by the LU, or where a map may be too large for one, by trying."""
    if not problem.planner.uses_corridors:
        return factorise(problem.turns, problem.features.reward(coefficients)) is not None
    try:
        problem.check(coefficients * problem.scale)
    except NO_VALUES:
        return False
    return True
