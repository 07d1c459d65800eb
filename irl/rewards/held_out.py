"""How well routes that were not learned from are predicted, while a reward is being learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...core.config import PlannerConfig
from ...core.types import Floats
from ..demonstrations import Demonstrations
from ..evaluation import match_routes
from ..likelihood import route_log_probabilities
from ..planner import Planner
from ..prediction import TripPredictor
from ..problem import NO_VALUES


@dataclass(frozen=True)
class Score:
    """One look: the loss learned from, and three measures of the routes held out."""

    iteration: int
    loss: float
    """Of the routes learned from, with the penalty, per route."""
    exact: float
    iou: float
    nll: float | None
    """Per route held out; None where there is no likelihood."""

    def key(self, by: Literal["exact", "iou", "nll"]) -> tuple[float, float]:
        """What is larger for the better of two."""
        likelihood = -self.nll if self.nll is not None else -np.inf
        return {"exact": (self.exact, self.iou), "iou": (self.iou, self.exact), "nll": (likelihood, self.exact)}[by]

    def text(self) -> str:
        """For a progress bar."""
        return f"held-out exact {self.exact:.3f}"

    def to_json(self) -> dict[str, float | None]:
        """By name."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, document: Mapping[str, float | None]) -> Score:
        """What `to_json` gave."""
        return cls(**document)  # type: ignore[arg-type]


class HeldOut:
    """Some routes, ready to be predicted again and again; see `TripPredictor`."""

    def __init__(self, routes: Demonstrations, config: PlannerConfig, planner: Planner) -> None:
        self._routes, self._planner = routes, planner
        self._batch = routes.batch(config.ending)
        self._predictor = TripPredictor(routes.network, routes, config.ending)

    def look(self, turn_cost: Floats, iteration: int, loss: float) -> Score:
        """The score under some costs, float64[T]."""
        matched, overlap = match_routes(self._predictor, self._routes, turn_cost)
        weight = self._routes.weight
        return Score(
            iteration,
            loss,
            float(np.average(matched, weights=weight)),
            float(np.average(overlap, weights=weight)),
            self._nll(turn_cost),
        )

    def _nll(self, turn_cost: Floats) -> float | None:
        if self._planner.horizon == 0:
            return None
        try:
            found = route_log_probabilities(self._planner, -turn_cost, self._routes, self._batch)
        except NO_VALUES:
            return None
        return -float(np.average(found, weights=self._routes.weight))
