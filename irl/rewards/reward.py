"""`Reward`: the sum of its parts, made a positive cost by a softplus, and the same at one point, for the solvers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.types import Floats
from ..linear_rewards import Rows
from .parts import Part


@dataclass(frozen=True, eq=False)
class Reward:
    """``reward = -(minimum_cost + softplus(sum of the parts' raw costs))``: every turn costs something, whatever the
    parameters. Those of all parts stand one after the other, float64[P].

    A plain linear reward, which was learned so that costs are positive, has no softplus: ``max(raw, minimum_cost)``.
    """

    parts: tuple[Part, ...]
    num_turns: int
    minimum_cost: float
    is_plain: bool = False

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def part(self, name: str) -> Part | None:
        """The part of that name, None where there is none."""
        return next((part for part in self.parts if part.name == name), None)

    def split(self, parameters: Floats) -> dict[str, Floats]:
        """The parameters of each part by its name, as views."""
        ends = np.cumsum([len(part) for part in self.parts])
        return {part.name: parameters[end - len(part) : end] for part, end in zip(self.parts, ends, strict=True)}

    def start(self, level: float) -> Floats:
        """float64[P]: parameters to begin at; see `Part.start`."""
        return np.concatenate([part.start(level) for part in self.parts])

    def raw(self, parameters: Floats) -> Floats:
        """float64[T]: the sum of the parts."""
        total = np.zeros(self.num_turns)
        for part, own in self.with_own(parameters):
            total += part.raw(own)
        return total

    def cost(self, parameters: Floats) -> Floats:
        """float64[T], > 0."""
        return self.link(self.raw(parameters))

    def at(self, parameters: Floats) -> RewardAt:
        """The reward at these parameters, as solvers take it."""
        return RewardAt(self, parameters)

    def penalty(self, parameters: Floats) -> tuple[float, Floats]:
        """``sum of ridge / 2 * parameter^2`` in nats, and its gradient: a normal prior on every parameter."""
        slope = np.concatenate([part.ridge for part in self.parts]) * parameters
        return 0.5 * float(slope @ parameters), slope

    def link(self, raw: Floats) -> Floats:
        """Costs of raw costs, elementwise."""
        if self.is_plain:
            return np.maximum(raw, self.minimum_cost)
        return np.asarray(self.minimum_cost + np.logaddexp(0.0, raw))

    def link_slope(self, raw: Floats) -> Floats:
        """The derivative of `link`, elementwise, without overflow."""
        if self.is_plain:
            return (raw > self.minimum_cost).astype(np.float64)
        return np.asarray(np.exp(-np.logaddexp(0.0, -raw)))

    def with_own(self, parameters: Floats) -> list[tuple[Part, Floats]]:
        """Each part with its own parameters."""
        return list(zip(self.parts, self.split(parameters).values(), strict=True))


class RewardAt:
    """A reward and its derivative at one point: to solvers, a `LinearReward` that never leaves that point.

    The coefficients that its methods are given are those it was made at; they are not looked at.
    """

    def __init__(self, reward: Reward, parameters: Floats) -> None:
        self._reward, self._parameters = reward, parameters
        self._raw: Floats | None = None

    def __len__(self) -> int:
        return len(self._parameters)

    def reward(self, coefficients: Floats) -> Floats:
        """float64[T]."""
        return -self._reward.link(self._all_raw())

    def project(self, weights: Floats) -> Floats:
        """float64[P]: the gradient of ``weights @ reward`` in the parameters."""
        slopes = -weights * self._reward.link_slope(self._all_raw())
        return np.concatenate([part.pull(own, slopes) for part, own in self._reward.with_own(self._parameters)])

    def reward_at(self, turns: Rows, coefficients: Floats) -> Floats:
        """float64[n]: `reward` at some turns."""
        return -self._reward.link(self._raw_at(turns))

    def project_at(self, turns: Rows, weights: Floats) -> Floats:
        """float64[P]: `project` of weights float64[n] at some turns."""
        slopes = -weights * self._reward.link_slope(self._raw_at(turns))
        return np.concatenate(
            [part.pull_at(turns, own, slopes) for part, own in self._reward.with_own(self._parameters)]
        )

    def _raw_at(self, turns: Rows) -> Floats:
        return np.asarray(sum(part.raw_at(turns, own) for part, own in self._reward.with_own(self._parameters)))

    def _all_raw(self) -> Floats:
        # Asked for twice in an evaluation: for the reward, and for its derivative.
        if self._raw is None:
            self._raw = self._reward.raw(self._parameters)
        return self._raw
