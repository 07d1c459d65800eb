"""What a training run tells while it runs: a step for the progress bar, and the checkpoint to resume from."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..core.types import Floats
from .checkpoints import Checkpoint
from .problem import Problem

_EVERY = 10
"""Steps between two looks at the whole map with corridors, which each need a part of it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingProgress:
    """What a progress bar shows after an iteration."""

    iteration: int
    """Accepted steps up to now; with mini-batches, passes through all routes."""
    max_iterations: int
    log_likelihood_per_route: float
    """With mini-batches, the mean over the pass, taken while the coefficients moved."""
    gradient_norm: float
    """Largest component of the gradient of the mean log-likelihood in scaled features."""
    routes_per_second: float
    """Routes times likelihood evaluations over seconds, since the start."""
    spectral_radius: float | None
    """Of the turn matrix at horizon infinity: values cease to exist at 1. None at finite horizons, which need none, and
    between the steps, the first and every tenth after it, at which corridors look at the whole map."""
    corridor_error: float | None
    """With corridors, the largest error of a value in nats, by their monitor: it grows where tau is too small."""
    checkpoint: Checkpoint
    stage: str = ""
    """Which part of a run of several this is."""
    held_out: str = ""
    """The last look at the routes held out."""


Progress = Callable[[TrainingProgress], None]


class Watch:
    """Optimiser callback: counts, reports, carries the checkpoint. Silent while a resumed run repeats what it did."""

    def __init__(self, problem: Problem, progress: Progress | None, run: str) -> None:
        self._problem, self._progress, self._run = problem, progress, run
        self._started = time.perf_counter()
        self._repeated = 0
        self._eigenvector: Floats | None = None
        self.iteration = 0

    def look(self, scaled: Floats) -> None:
        """For optimisers that tell the point alone: as a rule it is the last one evaluated."""
        # Evaluated whether or not anybody looks: the history of a run must not depend on it.
        found = self._problem.objective(scaled)
        if not self._problem.was_refused(scaled):  # SLSQP also tells points at which its line search failed
            self(scaled, *found)

    def __call__(self, scaled: Floats, loss: float, gradient: Floats) -> None:
        """After every step."""
        self.iteration += 1
        if self._problem.history.is_replaying:
            self._repeated = self._problem.history.num_routes
            self._started = time.perf_counter()
            return
        is_logged = _log.isEnabledFor(logging.INFO)
        if self._progress is None and not is_logged:
            return
        radius = self._radius(scaled)
        size = float(np.abs(gradient).max(initial=0.0))
        error = self._problem.planner.corridor_error
        shown = "" if error is None else f", corridors off by {error:.0e}"
        shown += "" if radius is None else f", spectral radius {radius:.4f}"
        _log.info("iteration %d: loss %.6f, gradient %.1e%s", self.iteration, loss, size, shown)
        if self._progress is None:
            return
        problem, seconds = self._problem, time.perf_counter() - self._started
        evaluated = problem.history.num_routes - self._repeated
        checkpoint = Checkpoint(
            network_checksum=problem.network.checksum,
            names=problem.features.names,
            coefficients=scaled / problem.scale,
            iteration=self.iteration,
            log_likelihood=-loss * problem.total_weight,
            run=self._run,
            evaluations=problem.history.snapshot(),
        )
        self._progress(
            TrainingProgress(
                self.iteration,
                problem.config.training.max_iterations,
                -loss,
                size,
                evaluated / max(seconds, 1e-9),
                radius,
                error,
                checkpoint,
            )
        )

    def _radius(self, scaled: Floats) -> float | None:
        planner = self._problem.planner
        if planner.uses_corridors and self.iteration % _EVERY != 1:
            return None
        found = planner.spectral_radius(self._problem.reward(scaled), start=self._eigenvector)
        if found is None:
            return None
        radius, self._eigenvector = found
        if planner.uses_corridors and radius >= 1.0:
            _log.warning(
                "iteration %d: the spectral radius of the whole map is %.3f, where values cease to exist at 1; the "
                "corridors have values, but they are no approximation of a model of the whole map",
                self.iteration,
                radius,
            )
        return radius
