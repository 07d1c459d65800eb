"""Adam, for losses that come in parts: every step follows one part's gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.types import Floats

_MEAN, _SQUARE, _SMALL = 0.9, 0.999, 1e-12
_MOST_HALVINGS = 60


@dataclass(frozen=True, eq=False)
class AdamResult:
    """Where Adam stopped."""

    point: Floats
    """float64[F], the last point at which the loss was evaluated."""
    is_converged: bool
    """Whether the whole gradient met the tolerance: with mini-batches it is never seen, and this is False."""


def minimise(
    evaluate: Callable[[int, Floats], tuple[float, Floats] | None],
    start: Floats,
    *,
    shares: Sequence[float],
    learning_rate: float,
    gradient_tolerance: float,
    max_passes: int,
    seed: int,
    callback: Callable[[Floats, float, Floats], None] | None = None,
) -> AdamResult:
    """Minimise ``sum_k shares[k] loss_k`` by Adam, one step per part and pass, parts in random order.

    Parameters
    ----------
    evaluate
        Loss and gradient float64[F] of part k at a point, or None where it does not exist: the step is then halved.
    shares
        Weight of each part, adding up to 1; one part alone makes it a full-batch method.
    learning_rate
        First step in each coordinate; it falls to 0 along a cosine over ``max_passes``, without which the noise of the
        parts never dies down.
    gradient_tolerance
        With one part, stop where the largest component of the gradient is at most this.
    callback
        Called after every pass with (point, mean loss, mean gradient) over the pass.

    Notes
    -----
    One evaluation per step. Kingma & Ba (2015), algorithm 1; the decay is Loshchilov & Hutter's (2017).
    """
    random, count = np.random.default_rng(seed), len(shares)
    point = previous = start
    mean, square, step = np.zeros_like(start), np.zeros_like(start), 0
    for one_pass in range(max_passes):
        loss, gradient = 0.0, np.zeros_like(start)
        rate = 0.5 * learning_rate * (1 + np.cos(np.pi * one_pass / max_passes))
        for k in random.permutation(count).tolist():
            reached = _nearest(evaluate, k, previous, point)
            if reached is None:
                return AdamResult(previous, False)
            previous, part_loss, part_gradient = reached
            loss, gradient = loss + shares[k] * part_loss, gradient + shares[k] * part_gradient
            step += 1
            slope = count * shares[k] * part_gradient
            mean = _MEAN * mean + (1 - _MEAN) * slope
            square = _SQUARE * square + (1 - _SQUARE) * slope**2
            unbiased = np.sqrt(square / (1 - _SQUARE**step)) + _SMALL
            point = previous - rate * mean / (1 - _MEAN**step) / unbiased
        if callback is not None:
            callback(previous, loss, gradient)
        if count == 1 and np.abs(gradient).max(initial=0.0) <= gradient_tolerance:
            return AdamResult(previous, True)
    return AdamResult(previous, False)


def _nearest(
    evaluate: Callable[[int, Floats], tuple[float, Floats] | None], part: int, back: Floats, wanted: Floats
) -> tuple[Floats, float, Floats] | None:
    """(point, loss, gradient) at the wanted point, or where it has no loss, half as far from the last one and so on."""
    for _ in range(_MOST_HALVINGS):
        found = evaluate(part, wanted)
        if found is not None:
            return wanted, *found
        if np.array_equal(wanted, back):
            return None
        wanted = back + 0.5 * (wanted - back)
    return None
