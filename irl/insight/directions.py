"""Two directions in which to look at a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...core.errors import ConfigurationError
from ...core.types import Floats
from ..rewards.parts import LinearPart
from ..rewards.reward import Reward

WithSlope = Callable[[Floats], tuple[float, Floats] | None]
_STEP = 1e-4
"""Of scaled parameters, where 1 is a nat per typical turn."""
_NAMED = 3


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction in the space of parameters, and how it is written on an axis."""

    vector: Floats
    """float64[P]."""
    label: str
    kind: str
    unit: float = 1.0
    """What one step is on the axis."""
    offset: float = 0.0
    """What the learned parameters are on the axis."""
    curvature: float | None = None
    """Second derivative of the loss, where it is known."""
    reach: float | None = None
    """Steps to each side, where the direction says so itself."""


def along_parameter(reward: Reward, centre: Floats, name: str) -> Direction:
    """One coefficient in the units of its feature; `ConfigurationError` where there is none of that name."""
    linear = reward.part("linear")
    names = linear.features.names if isinstance(linear, LinearPart) else ()
    if not isinstance(linear, LinearPart) or name not in names:
        known = ", ".join(names) or "no coefficients at all"
        raise ConfigurationError(where="--along", problem=f"the reward has no feature {name!r}; it has {known}")
    at = names.index(name)
    begin = sum(len(part) for part in reward.parts[: reward.parts.index(linear)])
    vector = np.zeros(len(reward))
    vector[begin + at] = 1.0
    scale = float(linear.scale[at])
    return Direction(vector, name, "parameters", 1.0 / scale, float(centre[begin + at]) / scale)


def along_curvature(
    with_slope: WithSlope, reward: Reward, centre: Floats, *, is_flat: bool
) -> tuple[Direction, Direction]:
    """The eigenvectors of the Hessian with the two largest, or smallest, eigenvalues; two gradients per parameter.

    Each points to where its largest entry is positive. `ConfigurationError` where no gradient is at hand around here.
    """
    size = len(centre)
    hessian = np.empty((size, size))
    middle = with_slope(centre)
    for number in range(size):
        step = np.zeros(size)
        step[number] = _STEP
        sides = [(1.0, with_slope(centre + step)), (0.0, middle), (-1.0, with_slope(centre - step))]
        known = [(sign, found[1]) for sign, found in sides if found is not None]
        if len(known) < 2:
            raise ConfigurationError(
                where="surface", problem="there is no loss around the learned parameters; choose other directions"
            )
        hessian[number] = (known[0][1] - known[-1][1]) / (_STEP * (known[0][0] - known[-1][0]))
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    word = "smallest" if is_flat else "largest"
    result = []
    for rank, at in enumerate((0, 1) if is_flat else (size - 1, size - 2)):
        vector = vectors[:, at] * np.sign(vectors[np.argmax(np.abs(vectors[:, at])), at])
        title = f"{word} curvature" if rank == 0 else f"second {word}"
        label = f"{title}: {_in_names(reward, vector)}"
        result.append(Direction(vector, label, "flat" if is_flat else "curvature", curvature=float(values[at])))
    return result[0], result[1]


def along_random(reward: Reward, centre: Floats, seed: int) -> tuple[Direction, Direction]:
    """Two random directions, filter by filter as long as the parameters, the second at right angles to the first."""
    generator = np.random.default_rng(seed)
    filters = _filters(reward)
    made: list[Floats] = []
    for _ in range(2):
        vector = generator.standard_normal(len(centre))
        if made:
            vector = vector - (vector @ made[0]) / (made[0] @ made[0]) * made[0]
        for one in filters:
            size = np.linalg.norm(vector[one])
            vector[one] *= np.linalg.norm(centre[one]) / size if size > 0 else 0.0
        made.append(vector)
    label = "random direction, each filter as long as its weights"
    if not (np.any(made[0]) and np.any(made[1])):
        raise ConfigurationError(where="surface", problem="all parameters are 0, so that directions have no length")
    return Direction(made[0], label, "random"), Direction(made[1], label, "random")


def along_members(members: Floats) -> tuple[Direction, Direction]:
    """From the mean of an ensemble to its first two members, which stand at 1."""
    centre = members.mean(axis=0)
    if len(members) < 3:
        raise ConfigurationError(
            where="surface",
            problem=f"{len(members)} members and their mean lie on a line, and a plane needs three; choose random",
        )
    first, second = members[0] - centre, members[1] - centre
    return (
        Direction(first, "towards the first member (at 1)", "members", reach=1.0),
        Direction(second, "towards the second member (at 1)", "members", reach=1.0),
    )


def _filters(reward: Reward) -> list[slice]:
    """Each neuron's incoming weights, all offsets of a layer, and every other part as a whole."""
    found: list[slice] = []
    begin = 0
    for part in reward.parts:
        for size in getattr(part, "filter_sizes", (len(part),)):
            found.append(slice(begin, begin + size))
            begin += size
    return found


def _in_names(reward: Reward, vector: Floats) -> str:
    """The largest entries of a direction, by the names of their parameters."""
    names: list[str] = []
    for part in reward.parts:
        is_linear = isinstance(part, LinearPart)
        names += part.features.names if is_linear else [f"{part.name} {k}" for k in range(len(part))]  # type: ignore[attr-defined]
    largest = np.argsort(-np.abs(vector), kind="stable")[:_NAMED]
    terms = [f"{vector[at]:+.2f} {names[at]}" for at in largest if abs(vector[at]) >= 0.05]
    return " ".join(terms).removeprefix("+")
