"""The likelihood of routes that are each priced by the reward of their context."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.config import Config
from ..core.types import Floats, Ids, Ints
from .batches import make_batch
from .demonstrations import Demonstrations
from .feature_columns import Features
from .likelihood import route_log_probabilities
from .planner import Planner
from .problem import NO_VALUES
from .trips import Batch


@dataclass(frozen=True, eq=False)
class _Bucket:
    """One context's part of the likelihood."""

    features: Features
    planner: Planner
    batch: Batch
    routes: Demonstrations
    rows: Ids
    """int64[r]: where these stand among all routes."""

    def evaluate(self, coefficients: Floats) -> tuple[float, Floats] | str:
        """(negative log-likelihood in nats, gradient float64[F]), or why there is none."""
        try:
            value, slope = self.planner.linear_log_likelihood(self.features, coefficients, self.batch)
        except NO_VALUES as error:
            return str(error)
        return -value, -slope


class ContextObjective:
    """Tables of scaled coefficients float64[C, F] -> the loss of some routes, each under its context's reward.

    Parameters
    ----------
    number
        int32[R]: the context of each route.
    scale
        float64[F]: scaled coefficient = coefficient * scale.
    """

    def __init__(
        self,
        features: tuple[Features, ...],
        routes: Demonstrations,
        number: Ints,
        config: Config,
        scale: Floats,
        planners: tuple[Planner, ...],
    ) -> None:
        self.scale, self.num_evaluations = scale, 0
        self.weight = routes.weight
        self._buckets: list[_Bucket | None] = []
        for context, (own, planner) in enumerate(zip(features, planners, strict=True)):
            rows = np.flatnonzero(number == context)
            some = routes.take(rows)
            bucket = _Bucket(own, planner, make_batch(some, planner.config), some, rows) if len(rows) else None
            self._buckets.append(bucket)

    def __call__(self, table: Floats) -> tuple[float, Floats] | str:
        """(negative log-likelihood in nats, gradient float64[C, F]), or why there is none."""
        self.num_evaluations += 1
        total, gradient = 0.0, np.zeros_like(table)
        for context, bucket in enumerate(self._buckets):
            if bucket is None:
                continue
            found = bucket.evaluate(table[context] / self.scale)
            if isinstance(found, str):
                return found
            total += found[0]
            gradient[context] = found[1] / self.scale
        return total, gradient

    def per_route(self, table: Floats) -> Floats | None:
        """float64[R]: the negative log-likelihood of each route in nats; None where there is none."""
        self.num_evaluations += 1
        result = np.zeros(len(self.weight))
        for context, bucket in enumerate(self._buckets):
            if bucket is None:
                continue
            reward = bucket.features.reward(table[context] / self.scale)
            batch = bucket.routes.batch(bucket.planner.config.ending)
            try:
                result[bucket.rows] = -route_log_probabilities(bucket.planner, reward, bucket.routes, batch)
            except NO_VALUES:
                return None
        return result
