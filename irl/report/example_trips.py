"""Held-out trips to show, chosen by a rule that leaves nothing to taste."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...core.types import Bools, Ids, Ints
from ..demonstrations import Demonstrations
from ..measures import edge_iou
from ..model import LearnedModel
from ..prediction import TripPredictor

RULE = (
    "Trips fall into four kinds, by whether the learned and the fastest route match what was travelled. Of each "
    "kind the trip with the median number of edges is shown (of several, the first in the file): a typical one, not "
    "the best."
)
_KINDS = (
    ("learned matches, fastest does not", True, False),
    ("neither matches", False, False),
    ("fastest matches, learned does not", False, True),
    ("both match", True, True),
)


@dataclass(frozen=True, eq=False)
class ExampleTrip:
    """A held-out trip with the routes that were predicted for it, as edge positions."""

    kind: str
    route_id: str
    num_of_kind: int
    """Routes of this kind."""
    travelled: Ints
    learned: Ints
    fastest: Ints
    """Empty where there is none."""
    learned_iou: float
    fastest_iou: float


def choose_rows(routes: Demonstrations, matched: Mapping[str, Bools]) -> dict[str, tuple[int, int]]:
    """(row to show, routes of that kind) by kind, for the kinds that occur; see `RULE`.

    Parameters
    ----------
    matched
        bool[R] for ``learned`` and ``fastest``: `trodden.irl.evaluation.Evaluation.matched`.
    """
    length = np.diff(routes.first)
    learned, fastest = matched["learned"], matched["fastest"]
    chosen = {}
    for kind, is_learned, is_fastest in _KINDS:
        rows: Ids = np.flatnonzero((learned == is_learned) & (fastest == is_fastest))
        if len(rows):
            by_length = rows[np.argsort(length[rows], kind="stable")]
            middle = length[by_length[(len(rows) - 1) // 2]]
            chosen[kind] = (int(rows[length[rows] == middle][0]), len(rows))
    return chosen


def example_trips(model: LearnedModel, routes: Demonstrations, matched: Mapping[str, Bools]) -> tuple[ExampleTrip, ...]:
    """The trips to show, predicted anew: one customisation of the network per cost, one query per trip.

    Parameters
    ----------
    routes
        Those possible under the model's ending: `Demonstrations.for_ending`.
    """
    chosen = choose_rows(routes, matched)
    shown = routes.take(np.array([row for row, _ in chosen.values()], np.int64))
    predictor = TripPredictor(model.network, shown, model.ending)
    paths = {name: predictor.predict(cost) for name, cost in _costs(model).items()}
    length = model.network.edge_length_m()
    trips = []
    for row, (kind, (_, count)) in enumerate(chosen.items()):
        learned, fastest = (paths[name][int(predictor.trip_of_route[row])] for name in ("learned", "fastest"))
        travelled = shown.route(row)
        overlap = [edge_iou(one, travelled, length) for one in (learned, fastest)]
        trips.append(ExampleTrip(kind, str(shown.route_id[row]), count, travelled, learned, fastest, *overlap))
    return tuple(trips)


def _costs(model: LearnedModel) -> dict[str, np.ndarray]:
    return {"learned": model.turn_cost, "fastest": model.baseline_costs["fastest"]}
