"""What a reward with many parameters minimises: the mean negative log-likelihood of routes, and its penalty."""

from __future__ import annotations

import numpy as np

from ...core.config import PlannerConfig
from ...core.types import Floats
from ..batches import make_batch
from ..demonstrations import Demonstrations
from ..planner import Planner
from ..problem import NO_VALUES
from ..trips import TripBatch
from .reward import Reward


class PenalisedLoss:
    """``(penalty - log-likelihood) / total weight`` of the parameters, with its gradient.

    At horizon 0 the margin loss stands for the negative log-likelihood, and its gradient is a subgradient.

    Parameters
    ----------
    routes
        Those that the ending allows: `Demonstrations.for_ending`.
    """

    def __init__(self, reward: Reward, routes: Demonstrations, config: PlannerConfig, planner: Planner) -> None:
        self._reward, self._planner = reward, planner
        self._batch = make_batch(routes, planner.config)
        self.total_weight = float(routes.weight.sum())
        self.num_evaluations = 0
        turn, row = routes.turns()
        taken = np.bincount(turn, routes.weight[row], minlength=reward.num_turns).astype(np.float64)
        bends = np.concatenate([part.ridge + part.stiffness(taken) for part in reward.parts])
        self.stiffness: Floats = np.maximum(bends, 1e-9 * bends.max(initial=1e-300)) / self.total_weight
        """float64[P] > 0, a guess at the diagonal of the Hessian."""
        self._observed = np.zeros(0, np.int64)
        if isinstance(self._batch, TripBatch):
            self._observed = np.flatnonzero(self._batch.observed)

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        """The loss and its gradient, float64[P].

        Raises
        ------
        InfeasibleRewardError, NotConvergedError, UnderflowError
            Horizon infinity: there are no values at this point.
        """
        self.num_evaluations += 1
        value, slope = self.log_likelihood(parameters)
        penalty, pull = self._reward.penalty(parameters)
        return (penalty - value) / self.total_weight, (pull - slope) / self.total_weight

    def or_none(self, parameters: Floats) -> tuple[float, Floats] | None:
        """The same, None where there are no values."""
        try:
            return self(parameters)
        except NO_VALUES:
            return None

    def log_likelihood(self, parameters: Floats) -> tuple[float, Floats]:
        """The sum over all routes and its gradient, float64[P]; no penalty. Errors as above."""
        point = self._reward.at(parameters)
        if not isinstance(self._batch, TripBatch):
            return self._planner.linear_log_likelihood(point, parameters, self._batch)
        # Not `linear_log_likelihood`: in corridors that one makes use of a reward being linear.
        total, expected = self._planner.linear_total_value(point, parameters, self._batch)
        count = self._batch.observed[self._observed]
        value = float((count * point.reward_at(self._observed, parameters)).sum()) - total
        return value, point.project_at(self._observed, count) - expected
