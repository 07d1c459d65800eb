"""How sure the coefficients are: scores of every route, and the covariances that follow from them and the Hessian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from ..core.errors import UnderflowError
from ..core.types import Bools, Floats
from .demonstrations import Demonstrations
from .feature_columns import Features
from .likelihood import route_log_probabilities
from .planner import Planner
from .trips import TripBatch

_STEP = 1e-4
"""Central differences of an exact gradient in scaled features: truncation and rounding both stay near 1e-8."""
_SINGULAR = 1e-9


@dataclass(frozen=True, eq=False)
class Covariance:
    """Covariances of F coefficients; rows and columns of features without a standard error mean nothing."""

    classical: Floats
    """float64[F, F], inverse of the observed information (minus the Hessian)."""
    is_bound: Bools
    """bool[F]: held by a constraint that is active."""
    is_identified: Bools
    """bool[F], False where the data cannot tell the feature from others (constant over all choices, or collinear)."""
    rank: int
    """Number of directions in which the coefficients are free and the data speak."""

    def sandwich(self, outer: Floats) -> Floats:
        """``H^-1 B H^-1`` for an outer product of scores B, float64[F, F] (Huber 1967; White 1982)."""
        return self.classical @ outer @ self.classical

    def errors(self, covariance: Floats) -> Floats:
        """Square roots of a covariance's diagonal, float64[F], NaN where there is no standard error."""
        result = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        result[self.is_bound | ~self.is_identified] = np.nan
        return result


def hessian(gradient: Callable[[Floats], Floats], at: Floats, *, step: float = _STEP) -> Floats:
    """Symmetric float64[F, F] by central differences of an exact gradient; costs 2 F gradients."""
    columns = []
    for direction in np.eye(len(at)) * step:
        columns.append((gradient(at + direction) - gradient(at - direction)) / (2 * step))
    matrix = np.array(columns)
    return 0.5 * (matrix + matrix.T)


def observed_features(routes: Demonstrations, features: Features) -> Floats:
    """Features added up along each route, float64[R, F]. O(turns taken x F)."""
    turn, row = routes.turns()
    used, column = np.unique(turn, return_inverse=True)
    counts = sparse.csr_matrix((np.ones(len(turn)), (row, column.reshape(-1))), shape=(len(routes), len(used)))
    return np.asarray(counts @ features.rows(used))


def route_scores(
    planner: Planner, features: Features, coefficients: Floats, routes: Demonstrations, batch: TripBatch
) -> Floats:
    """Gradient of each route's log-probability in the coefficients, float64[R, F], without its weight.

    ``observed features - dV(origin)/dtheta``: with the factorisation, F + 2 triangular solves per destination, whatever
    the number of routes; where that cannot serve, central differences of the log-probabilities (2 F solves by sweeps
    per destination, some four digits).

    Parameters
    ----------
    batch
        ``routes.batch(ending)``.

    Raises
    ------
    InfeasibleRewardError
        No values under these coefficients.
    """
    reward = features.reward(coefficients)
    if planner.can_factorise(reward, batch):
        try:
            found = planner.derivatives(reward, batch, features.value)
        except UnderflowError:
            pass
        else:
            return scores_of(routes, batch, features, found.gradient)
    scale = np.maximum(np.sqrt(features.range.mean_square), 1e-300)
    columns = []
    for direction in np.diag(_STEP / scale):
        high = route_log_probabilities(planner, features.reward(coefficients + direction), routes, batch)
        low = route_log_probabilities(planner, features.reward(coefficients - direction), routes, batch)
        columns.append((high - low) / (2 * direction.sum()))
    return np.array(columns).reshape(len(columns), len(routes)).T


def scores_of(routes: Demonstrations, batch: TripBatch, features: Features, value_gradient: Floats) -> Floats:
    """Scores float64[R, F] from dV/dtheta of every pair of the batch, float64[P, F]."""
    ending = batch.destinations.ending
    return observed_features(routes, features) - value_gradient[routes.trip_of_route(ending)]


def outer_product(scores: Floats, weight: Floats) -> Floats:
    """``sum_n w_n s_n s_n'``, float64[F, F] (BHHH): a weight of 2 counts as two routes."""
    return scores.T @ (scores * weight[:, None])


def clustered_outer_product(scores: Floats, weight: Floats, traveller: Sequence[str | None]) -> Floats:
    """``sum_c (sum_n in c of w_n s_n)(...)'``: routes of one traveller may depend on each other, float64[F, F].

    A route without a traveller stands for itself, as in `outer_product`. No small-sample factor.
    """
    names = np.array([name is not None for name in traveller], bool)
    _, cluster = np.unique(np.array([name for name in traveller if name is not None], str), return_inverse=True)
    sums = np.zeros((int(cluster.max(initial=-1)) + 1, scores.shape[1]))
    np.add.at(sums, cluster.reshape(-1), (scores * weight[:, None])[names])
    return outer_product(scores[~names], weight[~names]) + sums.T @ sums


def covariance(information: Floats, active: Floats) -> Covariance:
    """The covariance that follows from the observed information (minus the Hessian of the log-likelihood).

    Parameters
    ----------
    information
        float64[F, F].
    active
        float64[A, F], rows of the constraints that hold with equality: estimates can only vary along their null space.
    """
    size = len(information)
    is_bound: Bools = np.asarray((np.abs(active) > 0).any(axis=0)) if len(active) else np.zeros(size, bool)
    scale = np.sqrt(np.maximum(np.diag(information), 0.0))
    scale[scale < _SINGULAR * max(scale.max(initial=0.0), 1e-300)] = 0.0
    inverse_scale = np.divide(1.0, scale, out=np.zeros(size), where=scale > 0)
    correlation = information * np.outer(inverse_scale, inverse_scale)
    is_identified: Bools = np.asarray(scale > 0)
    if is_identified.any():
        weights, vectors = linalg.eigh(correlation[np.ix_(is_identified, is_identified)])
        loose = vectors[:, weights < _SINGULAR * weights.max()]
        is_identified[np.flatnonzero(is_identified)[(np.abs(loose) > 1e-3).any(axis=1)]] = False
    # In units in which every feature has the same information, so that units do not decide what counts as singular.
    basis = linalg.null_space(active * inverse_scale) if len(active) else np.eye(size)
    reduced = basis.T @ correlation @ basis
    inverse, rank = linalg.pinvh(reduced, rtol=_SINGULAR, return_rank=True) if reduced.size else (reduced, 0)
    classical = basis @ inverse @ basis.T * np.outer(inverse_scale, inverse_scale)
    return Covariance(classical, is_bound, is_identified, int(rank))


def standard_errors(information: Floats, active: Floats) -> tuple[Floats, Bools]:
    """(classical standard errors float64[F], NaN where there is none; is_identified bool[F]): see `covariance`."""
    found = covariance(information, active)
    return found.errors(found.classical), found.is_identified
