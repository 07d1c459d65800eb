"""How regions share coefficients: each its own, one for all, or drawn towards their mean.

With a penalty lambda, the regions' scaled coefficients maximise

    sum of log-likelihoods - lambda / 2 * sum_r |theta_r - mean(theta)|^2,

which is the posterior mode where regions are drawn around a common taste with variance 1 / lambda. 0 is the independent
experts of Barnes et al. (2024), infinity one shared reward.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.types import Floats


@dataclass(frozen=True)
class Pooling:
    """Points of an optimiser <-> tables of scaled coefficients, float64[R, F], and the penalty between them.

    A point is a table laid out row by row, or at an infinite penalty the one row that all share.
    """

    num_regions: int
    num_features: int
    penalty: float
    """lambda, in nats; ``inf`` for one shared reward."""

    @property
    def is_shared(self) -> bool:
        """Whether all regions have the same coefficients."""
        return bool(np.isinf(self.penalty))

    def table(self, point: Floats) -> Floats:
        """float64[R, F]: every region's scaled coefficients at a point."""
        rows = point.reshape(-1, self.num_features)
        return np.broadcast_to(rows, (self.num_regions, self.num_features)).copy() if self.is_shared else rows

    def point(self, table: Floats) -> Floats:
        """The point of a table; where all share, its mean."""
        return np.asarray(table.mean(axis=0) if self.is_shared else table.ravel())

    def pulled(self, loss: float, gradient: Floats, point: Floats) -> tuple[float, Floats]:
        """(penalised loss, its gradient at the point) from a loss in nats and its gradient float64[R, F]."""
        if self.is_shared:
            return loss, gradient.sum(axis=0)
        table = self.table(point)
        deviation = table - table.mean(axis=0)
        # The mean's own derivative drops out: deviations sum to zero.
        pull = self.penalty * deviation
        return loss + 0.5 * self.penalty * float((deviation**2).sum()), (gradient + pull).ravel()

    def hessian(self, loss: Floats) -> Floats:
        """The penalised Hessian float64[P, P] in a point's coordinates, from that of the loss, float64[R F, R F]."""
        count, size = self.num_regions, self.num_features
        if self.is_shared:
            return np.asarray(loss.reshape(count, size, count, size).sum(axis=(0, 2)))
        return np.asarray(loss + np.kron(self.penalty * (np.eye(count) - 1.0 / count), np.eye(size)))
