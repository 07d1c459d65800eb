"""From a start to the coefficients of all regions: one reward for all first, then regions of their own from there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.config import Config
from ..core.errors import ConfigurationError
from ..core.types import Floats
from ..irl.feature_columns import Features
from ..irl.regional_fit import RegionalOptimum, fit_regions_from, starting_row
from .objective import Part, RegionalObjective

PENALTIES = (1e4, 1e3, 1e2, 10.0, 0.0)
"""What ``penalty = "auto"`` tries beside infinity, each from where the one before it ended."""
_TRIAL_STEPS = 50
"""Steps of a fit that is only tried: without a penalty, a region with few routes may run away for ever."""


@dataclass(frozen=True, eq=False)
class Learned:
    """Where a training ended, and how its penalty was chosen."""

    optimum: RegionalOptimum
    penalty: float
    """lambda; ``inf`` for one shared reward."""
    held_out: dict[str, float | None]
    """Negative log-likelihood per held-out route, by penalty; None where it has none."""


def learn(objective: RegionalObjective, features: Features, config: Config) -> Learned:
    """One reward for all first; then, where that is wanted, regions of their own from there."""
    count, wanted = config.regions.count, config.regions.penalty
    objective.stage("one reward for all")
    if config.training.start:
        row = _configured(config.training.start, features.names) * objective.scale
    else:
        is_cost = (features.range.minimum >= 0) & (features.range.maximum > 0)
        row = starting_row(lambda table: objective.evaluate("learned", table), is_cost, count)
    if wanted == "auto" and not objective.weight["held out"]:
        wanted = "infinity"  # a single route
    is_last = count == 1 or wanted == "infinity"
    start = np.broadcast_to(row, (count, len(row))).copy()
    shared = _fit(objective, start, np.inf, config, "learned", wants_errors=is_last)
    if count == 1 or wanted == "infinity":
        return Learned(shared, np.inf, {})
    if wanted != "auto":
        objective.stage(f"penalty {wanted:g}")
        own = _fit(objective, shared.table, wanted, config, "learned", blocks=shared.curvature)
        return Learned(own, wanted, {})
    return _chosen(objective, shared, config)


def _chosen(objective: RegionalObjective, shared: RegionalOptimum, config: Config) -> Learned:
    """The penalty under which held-out routes are likeliest; then a fit to all routes under it."""
    tables, losses = {np.inf: shared.table}, {np.inf: _held_out_loss(objective, shared.table)}
    last = shared
    for penalty in PENALTIES:
        objective.stage(f"penalty {penalty:g}")
        last = _fit(objective, last.table, penalty, config, "learned", blocks=last.curvature, wants_errors=False)
        tables[penalty] = last.table
        losses[penalty] = _held_out_loss(objective, tables[penalty])
    best = min(losses, key=lambda penalty: losses[penalty])
    objective.stage(f"penalty {best:g}, all routes")
    optimum = _fit(objective, tables[best], best, config, "all")
    shown = {f"{penalty:g}": loss if np.isfinite(loss) else None for penalty, loss in losses.items()}
    return Learned(optimum, best, shown)


def _fit(
    objective: RegionalObjective,
    start: Floats,
    penalty: float,
    config: Config,
    part: Part,
    *,
    blocks: Floats | None = None,
    wants_errors: bool = True,
) -> RegionalOptimum:
    return fit_regions_from(
        lambda table: objective.evaluate(part, table),
        start,
        penalty,
        meets=objective.meets,
        blocks=blocks,
        wants_errors=wants_errors,
        max_steps=config.training.max_iterations if wants_errors else min(config.training.max_iterations, _TRIAL_STEPS),
        on_step=objective.step_taken,
    )


def _held_out_loss(objective: RegionalObjective, table: Floats) -> float:
    found = objective.evaluate("held out", table)
    return np.inf if isinstance(found, str) else found[0] / objective.weight["held out"]


def _configured(start: dict[str, float], names: tuple[str, ...]) -> Floats:
    unknown = set(start) - set(names)
    if unknown:
        raise ConfigurationError(where="[training] start", problem=f"no such feature: {', '.join(sorted(unknown))}")
    return np.array([start.get(name, 0.0) for name in names])
