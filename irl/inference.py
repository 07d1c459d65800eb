"""How sure the coefficients are: standard errors from the Hessian of the log-likelihood."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import linalg

from ..core.types import Bools, Floats

_STEP = 1e-4
"""Central differences of an exact gradient in scaled features: truncation and rounding both stay near 1e-8."""
_SINGULAR = 1e-9


def hessian(gradient: Callable[[Floats], Floats], at: Floats, *, step: float = _STEP) -> Floats:
    """Symmetric float64[F, F] by central differences of an exact gradient; costs 2 F gradients."""
    columns = []
    for direction in np.eye(len(at)) * step:
        columns.append((gradient(at + direction) - gradient(at - direction)) / (2 * step))
    matrix = np.array(columns)
    return 0.5 * (matrix + matrix.T)


def standard_errors(information: Floats, active: Floats) -> tuple[Floats, Bools]:
    """Standard errors from the observed information (minus the Hessian of the log-likelihood).

    Parameters
    ----------
    information
        float64[F, F].
    active
        float64[A, F], rows of the constraints that hold with equality: estimates can only vary along their null space.

    Returns
    -------
    (errors, is_identified)
        float64[F], NaN where there is none: a feature bound by a constraint, or one that the data cannot tell from
        others (constant over all choices, or collinear); bool[F], False for the latter.
    """
    size = len(information)
    is_bound = (np.abs(active) > 0).any(axis=0) if len(active) else np.zeros(size, bool)
    basis = linalg.null_space(active) if len(active) else np.eye(size)
    scale = np.sqrt(np.maximum(np.diag(information), 0.0))
    scale[scale < _SINGULAR * max(scale.max(initial=0.0), 1e-300)] = 0.0
    inverse_scale = np.divide(1.0, scale, out=np.zeros(size), where=scale > 0)
    correlation = information * np.outer(inverse_scale, inverse_scale)
    is_identified = scale > 0
    if is_identified.any():
        weights, vectors = linalg.eigh(correlation[np.ix_(is_identified, is_identified)])
        loose = vectors[:, weights < _SINGULAR * weights.max()]
        is_identified[np.flatnonzero(is_identified)[(np.abs(loose) > 1e-3).any(axis=1)]] = False
    reduced = basis.T @ information @ basis
    covariance = basis @ linalg.pinvh(reduced) @ basis.T
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    errors[is_bound | ~is_identified] = np.nan
    return errors, is_identified
