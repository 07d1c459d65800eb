"""First and second derivatives of the values of many trips under a linear reward, from one factorisation.

With ``M[i, j] = exp(x[i, j] . theta)`` and ``z = G b``, ``G = inv(I - M)``: ``dz_f = G dM_f z``, where ``dM_f`` is M
times feature f entry by entry, so all features are right-hand sides of the same LU. With the adjoint ``u = G' w`` for
weights w on the origins, ``w . d2z_fg = u . (dM_f dz_g + dM_g dz_f + d2M_fg z)`` needs no further solve. No JAX here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..core.types import Floats
from .factorization import Factorization
from .trips import TripBatch

_BLOCK = 16
"""Destinations at a time, fewer where a block's F + 4 dense arrays would be larger than this many numbers:"""
_LARGEST_BLOCK = 8_000_000


@dataclass(frozen=True, eq=False)
class ValueDerivatives:
    """Values of the P distinct (origin, destination) pairs of a batch, and their derivatives in F coefficients."""

    value: Floats
    """float64[P], V at the origin."""
    gradient: Floats
    """float64[P, F], dV / dtheta."""
    total_hessian: Floats
    """float64[F, F], second derivatives of ``sum_p weight_p V_p``; positive semidefinite (V is convex)."""


def value_derivatives(factors: Factorization, batch: TripBatch, features: Floats) -> ValueDerivatives:
    """Values with exact first derivatives per pair, and the exact Hessian of their weighted sum.

    Parameters
    ----------
    features
        float64[T, F]: the reward that was factorised is ``features @ theta``.

    Raises
    ------
    UnderflowError
        A trip's exponential is below float64's safe range.

    Notes
    -----
    F + 2 triangular solves per destination (a value and its gradient alone cost 2), 2 F sparse products. Checked
    against finite differences and dense algebra in tests/irl/test_derivatives.py.
    """
    weighted = _weighted_matrices(factors, features)
    count, size = len(batch.destinations), features.shape[1]
    factors.prepare_transposed(count)
    width = int(np.clip(_LARGEST_BLOCK // max((size + 4) * factors.turns.num_edges, 1), 1, _BLOCK))
    spans = [(a, min(a + width, count)) for a in range(0, count, width)]
    parts = factors.map(lambda span: _block(factors, batch.block(*span), weighted), spans)
    flow = np.zeros(len(features))
    mixed = np.zeros((size, size))
    for part in parts:  # in block order, so that sums do not depend on which thread was first
        flow += part.flow
        mixed += part.mixed
    empty = np.zeros((0, size))
    return ValueDerivatives(
        np.concatenate([part.value for part in parts]) if parts else np.zeros(0),
        np.concatenate([part.gradient for part in parts]) if parts else empty,
        mixed + features.T @ (features * flow[:, None]),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    value: Floats
    gradient: Floats
    mixed: Floats
    flow: Floats


def _weighted_matrices(factors: Factorization, features: Floats) -> list[sparse.csr_matrix]:
    """``dM_f`` of every feature, float64[E, E]."""
    turns = factors.turns
    size = (turns.num_edges, turns.num_edges)
    return [
        sparse.csr_matrix((factors.weight * column, turns.to_edge, turns.first_out), shape=size)
        for column in features.T
    ]


def _block(factors: Factorization, trips: TripBatch, weighted: list[sparse.csr_matrix]) -> _Part:
    z = factors.exponentials(trips.destinations)
    at_origin = factors.at_origins(z, trips)
    visits = factors.solve(factors.starts(trips, at_origin), transposed=True)
    size, width = len(weighted), len(trips.destinations)
    pulled = np.empty((size, z.size))
    for f, matrix in enumerate(weighted):
        pulled[f] = (matrix.T @ visits).reshape(-1)
    mixed, relative, at_goal = np.empty((size, size)), np.empty((len(at_origin), size)), np.zeros((width, size))
    for f, matrix in enumerate(weighted):  # one feature at a time: its E x D array stays in the cache
        slope = factors.solve(matrix @ z)
        mixed[:, f] = pulled @ slope.reshape(-1)
        relative[:, f] = slope[trips.origin, trips.column] / at_origin
        if trips.destinations.ending == "arrival":
            at_goal[:, f] = slope[trips.destinations.key, np.arange(width)]
    # Under arrival V = log z(o) - log z(d), where z(d) is scaled to 1 but its derivatives are not 0.
    total = np.bincount(trips.column, trips.weight, minlength=width)
    mixed = mixed + mixed.T - relative.T @ (relative * trips.weight[:, None]) + at_goal.T @ (at_goal * total[:, None])
    return _Part(np.log(at_origin), relative - at_goal[trips.column], mixed, factors.flow(visits, z))
