"""Every evaluation of a training run in its order, so that a resumed run repeats it to the byte and computes none anew.

An optimiser is a function of its start and of what its evaluations return. Started again from the same start and
answered from these records, it stands where it was interrupted, whichever optimiser it is and whatever it keeps inside.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.types import Floats

_log = logging.getLogger(__name__)
Kind = Literal["gradient", "factorised", "hessian", "scores"]
"""What was asked for: loss and gradient by any solver, or by the LU alone, with the Hessian, with BHHH's matrix."""
_KINDS: tuple[Kind, ...] = ("gradient", "factorised", "hessian", "scores")
_SECOND_ORDER = (2, 3)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A loss at a point of scaled coefficients, or the reason why there is none."""

    part: int
    """Which routes: 0 for all, 1 for those of the warm-up, from 2 on the mini-batches."""
    kind: Kind
    scaled: Floats
    """float64[F]."""
    loss: float
    """Mean negative log-likelihood; NaN where refused."""
    gradient: Floats
    """float64[F]."""
    hessian: Floats
    """float64[F, F] of the second-order kinds, else float64[0, 0]."""
    refusal: str = ""
    """Name of the error that this point met, empty where the loss exists."""
    error: Exception | None = None
    """That error, where it was met in this process."""

    @property
    def is_refused(self) -> bool:
        """Whether there is no loss here."""
        return bool(self.refusal)


class History:
    """Evaluations made and, in a resumed run, those still to be repeated."""

    def __init__(self, past: Sequence[Evaluation] = ()) -> None:
        self._known = list(past)
        self._used = 0
        self.num_routes = 0
        """Routes whose likelihood was asked for, each as often as it was."""

    @property
    def is_replaying(self) -> bool:
        """Whether evaluations of the interrupted run are left."""
        return self._used < len(self._known)

    def recall(self, part: int, kind: Kind, scaled: Floats) -> Evaluation | None:
        """The next evaluation of the interrupted run, None where it has to be made.

        Where the optimiser asks for another point (an optimiser of another version may), the rest is dropped: nothing
        wrong comes of it, only more work.
        """
        if not self.is_replaying:
            return None
        found = self._known[self._used]
        if (found.part, found.kind) != (part, kind) or not np.array_equal(found.scaled, scaled):
            _log.warning(
                "evaluation %d is not the one of the interrupted run; going on without its rest", self._used + 1
            )
            del self._known[self._used :]
            return None
        self._used += 1
        return found

    def add(self, evaluation: Evaluation) -> None:
        """Keep one that was made."""
        self._known.append(evaluation)
        self._used += 1

    def snapshot(self) -> tuple[Evaluation, ...]:
        """All evaluations up to now."""
        return tuple(self._known[: self._used])


def to_arrays(evaluations: Sequence[Evaluation], num_features: int) -> dict[str, NDArray[Any]]:
    """Evaluations as arrays to store: 2 F + 2 numbers each, and F^2 more for those of second order."""
    refusals = sorted({one.refusal for one in evaluations})
    second = [one.hessian for one in evaluations if _KINDS.index(one.kind) in _SECOND_ORDER and not one.is_refused]
    return {
        "part": np.array([one.part for one in evaluations], np.int32),
        "kind": np.array([_KINDS.index(one.kind) for one in evaluations], np.int8),
        "scaled": np.array([one.scaled for one in evaluations]).reshape(-1, num_features),
        "loss": np.array([one.loss for one in evaluations], np.float64),
        "gradient": np.array([one.gradient for one in evaluations]).reshape(-1, num_features),
        "hessian": np.array(second).reshape(-1, num_features, num_features),
        "refusal": np.array([refusals.index(one.refusal) for one in evaluations], np.int8),
        "refusals": np.array(refusals, np.str_) if refusals else np.zeros(0, "<U1"),
    }


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> tuple[Evaluation, ...]:
    """What `to_arrays` made; KeyError, IndexError or ValueError where an array is missing or does not fit."""
    hessians = iter(arrays["hessian"])
    none = np.zeros((0, 0))
    result = []
    for part, kind, scaled, loss, gradient, refusal in zip(
        *(arrays[name] for name in ("part", "kind", "scaled", "loss", "gradient", "refusal")), strict=True
    ):
        reason = str(arrays["refusals"][refusal])
        is_second = int(kind) in _SECOND_ORDER and not reason
        hessian = next(hessians, None) if is_second else none
        if hessian is None:
            raise ValueError("fewer Hessians than evaluations that have one")
        result.append(Evaluation(int(part), _KINDS[kind], scaled, float(loss), gradient, hessian, reason))
    return tuple(result)
