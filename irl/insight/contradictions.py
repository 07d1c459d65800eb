"""Edges and turns whose use contradicts their tags most: where the map may be wrong.

The reward without corrections says how often each edge and turn should be travelled. Where that and what was observed
differ, a correction there would gain likelihood: `trodden.irl.insight.tilting` says how much. So a turn that nobody
takes is found as well as a gate that everybody passes, although the first has no correction in any learned reward.

What contradicts its tags changes the traffic around it too. Therefore the strongest contradictions are granted their
corrections, visits are worked out anew, and the next ones are those that remain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ...core.config import BaselineConfig, Config, PlannerConfig, RewardConfig, TrainingConfig
from ...core.types import Bools, Floats, Ids
from ..demonstrations import Demonstrations, require_network
from ..model import LearnedModel
from ..planner import Planner
from ..problem import NO_VALUES
from ..rewards.building import reward_of
from ..rewards.parts import Corrections
from ..training import fit
from .places import Place, place_of_edge, place_of_turn, same_road
from .tilting import SHUT, Gains, poisson_gains, tilted_gains
from .visits import Candidates, Visits

_MOST_ROUNDS = 12
_CANDIDATES_PER_ROW, _FEWEST_CANDIDATES = 60, 3000
_WEAKEST_CANDIDATE, _WEAKEST_ROW = 1.0, 2.0
_OF_THE_ROUND = 0.5
"""A round grants corrections down to this share of its strongest statistic (and not below chance), to those that share
few trips."""
_TWIN = 2.0
"""Statistic from which another edge of the same road says the same."""
_EDGE_FIRST = 1.02
"""An edge and its only turn of note say the same: then the edge is named."""
_ALIKE, _MOST_ALTERNATIVES = 0.9, 3
"""Cosine, and share of the statistic, from which another candidate explains the same; so many are told."""
_CHEAPEST = 0.1
"""Share of its cost that a turn keeps under a correction, so that it costs something."""

Progress = Callable[[float, str], None]
"""How much of the work is done, from 0 to 1, and what is being done."""


@dataclass(frozen=True)
class Contradiction:
    """An edge or turn that is travelled more, or less, than its tags say."""

    place: Place
    observed: float
    """Weight of the routes that travelled it."""
    expected: float
    """By the reward without corrections, and with those of the rows that were found in earlier rounds."""
    statistic: float
    """``sign(observed - expected) sqrt(2 gain)``; see `trodden.irl.insight.tilting`."""
    suggested: float
    """Nats that would have to be added to its cost, below 0 where it is travelled more; shrunk by the penalty."""
    is_shut: bool
    """Nobody came by, and a way that is shut (a missing ban, a closed road) explains it better than a cost."""
    learned: float | None
    """Nats that the model's own correction adds to its raw cost, the mean over members; None where it has none."""
    num_travellers: int | None
    """Distinct named travellers among the routes observed there; None where none are named."""
    same_road: tuple[int, ...] = ()
    """Ids of other edges of the same road that say the same: its other direction, its other pieces."""

    alternatives: tuple[Place, ...] = ()
    """Other edges or turns that explain the same trips about as well: where the only way onto an edge is a turn that is
    shut, routes cannot tell which of the two is."""

    @property
    def direction(self) -> str:
        """In words."""
        return f"travelled {'more' if self.statistic > 0 else 'less'} than its tags say"

    def to_json(self) -> dict[str, Any]:
        """By name, the place spelled out."""
        own = {name: value for name, value in vars(self).items() if name != "place"}
        own["same_road"] = list(self.same_road)
        own["alternatives"] = [{"kind": place.kind, **place.to_json()} for place in self.alternatives]
        return {"kind": self.place.kind, "direction": self.direction, **own, **self.place.to_json()}


@dataclass(frozen=True)
class Contradictions:
    """The list, the strongest first."""

    rows: tuple[Contradiction, ...]
    num_routes: int
    num_compared: int
    """Edges and turns that at least one route travelled or was expected to."""
    by_chance: float
    """Largest statistic that so many would have by chance alone, about."""
    is_refit: bool
    """The model has corrections, or a finite horizon: the reward of its features alone was learned anew."""
    is_simulated: bool

    def to_json(self) -> dict[str, Any]:
        """Everything, by name."""
        return {**vars(self), "rows": [{"rank": rank, **row.to_json()} for rank, row in enumerate(self.rows, 1)]}


def find_contradictions(
    model: LearnedModel, routes: Demonstrations, *, top: int = 20, progress: Progress | None = None
) -> Contradictions:
    """The edges and turns whose use contradicts their tags most.

    Expected visits are those of the model's reward; if that has corrections, of a linear reward of its features that is
    learned from these routes, and always at horizon infinity, where there are expected visits.

    Parameters
    ----------
    routes
        Those learned from, or others.
    top
        At most so many rows.

    Raises
    ------
    WrongNetworkError, NoDemonstrationsError
        Routes of another network, or none that the ending allows.
    InfeasibleRewardError
        The reward has no values at horizon infinity.

    Notes
    -----
    A likelihood of all routes by the model's planner, then their corridors once, and up to 12 times those of the routes
    near what was found last. Memory O(edges and turns within 15 nats of each distinct trip, of those looked at).
    """
    require_network(routes, model.network.checksum, "the set of routes")
    routes = routes.for_ending(model.ending)
    say = progress or (lambda done, what: None)
    say(0.0, "a reward without corrections")
    reward, config, is_refit = _reference(model, routes)
    say(0.05, "expected visits")
    planner = Planner(model.network.turns, config, edge_id=model.network.graph.edge_id)
    batch = routes.batch(config.ending)
    _, score = planner.log_likelihood(reward, batch)
    candidates, num_compared = _screened(model, batch.observed, batch.observed - score, top)
    by_chance = float(stats.norm.isf(0.5 / max(num_compared, 1)))
    found = _Search(model, routes, config, candidates, reward, by_chance, say).run(top)
    return Contradictions(
        rows=tuple(found),
        num_routes=len(routes),
        num_compared=num_compared,
        by_chance=by_chance,
        is_refit=is_refit,
        is_simulated=routes.is_simulated or model.is_simulated,
    )


def _reference(model: LearnedModel, routes: Demonstrations) -> tuple[Floats, PlannerConfig, bool]:
    """(reward float64[T] without corrections, its planner at horizon infinity, whether it was learned anew)."""
    config = model.config
    changes = {"horizon": "infinity", "margin": 1.0, "margin_by": "length"}
    planner = config.planner.model_copy(update=changes)
    if not config.reward.corrections and config.planner.horizon == "infinity":
        return model.reward, planner, False
    plain = Config(
        reward=RewardConfig(features=config.reward.features, minimum_cost=config.reward.minimum_cost),
        planner=planner,
        training=TrainingConfig(max_iterations=config.training.max_iterations, seed=config.training.seed),
        baselines=BaselineConfig(budget=0),
    )
    return fit(model.network, routes, plain).reward, planner, True


def _screened(model: LearnedModel, observed: Floats, expected: Floats, top: int) -> tuple[Candidates, int]:
    """The strongest by a bound that needs expected counts alone, and how many were compared."""
    turns = model.network.turns
    expected = np.maximum(expected, 0.0)
    of_edge: list[Floats] = [
        np.bincount(turns.to_edge, own, minlength=turns.num_edges).astype(np.float64) for own in (observed, expected)
    ]
    chosen, num_compared = [], 0
    for kind, own, wanted in (("edge", of_edge[0], of_edge[1]), ("turn", observed, expected)):
        is_seen = np.maximum(own, wanted) >= 1.0
        num_compared += int(is_seen.sum())
        strength = np.zeros(len(own))
        strength[is_seen] = np.abs(poisson_gains(own[is_seen], wanted[is_seen], _penalty(model, kind)).statistic)
        order = np.argsort(-strength, kind="stable")[: max(_CANDIDATES_PER_ROW * top, _FEWEST_CANDIDATES)]
        chosen.append(np.sort(order[strength[order] >= _WEAKEST_CANDIDATE]).astype(np.int32))
    return Candidates(chosen[0], chosen[1], turns.to_edge, turns.num_edges), num_compared


def _penalty(model: LearnedModel, kind: str) -> float:
    """That of the model's corrections, which is the default where it has none; never 0, which is no prior."""
    return max(float(getattr(model.config.reward, f"{kind}_penalty")), 1e-3)


@dataclass(eq=False)
class _Found:
    """A row to be."""

    leader: int
    others: list[int]
    alternatives: list[int]
    gains: Gains
    """As they were when it was found."""
    expected: Floats


class _Search:
    """Rounds of: the strongest candidates, their corrections granted, visits anew."""

    def __init__(
        self,
        model: LearnedModel,
        routes: Demonstrations,
        config: PlannerConfig,
        candidates: Candidates,
        reward: Floats,
        by_chance: float,
        say: Progress,
    ) -> None:
        self._by_chance = by_chance
        self._model, self._routes, self._candidates, self._say = model, routes, candidates, say
        self._base, self._cost = -reward, -reward
        num_edges = len(candidates.edges)
        self._is_edge: Bools = np.arange(len(candidates)) < num_edges
        self._is_open: Bools = np.ones(len(candidates), bool)
        self._visits = Visits(routes, config, candidates)
        self._observed = np.asarray(self._visits.observed.sum(axis=0)).reshape(-1)
        self._learned = _learned_corrections(model)
        self._roads = dict(enumerate(same_road(model.network, candidates.edges)))

    def run(self, top: int) -> list[Contradiction]:
        if not len(self._candidates):
            return []
        self._solve(np.arange(len(self._visits.weight)), 0.1, 0.6)
        found: list[_Found] = []
        for number in range(_MOST_ROUNDS):
            gains, expected = self._gains()
            strength = np.where(self._is_open, np.abs(gains.statistic), 0.0)
            kept = sorted((abs(one.gains.statistic[one.leader]) for one in found), reverse=True)
            if len(kept) >= top and strength.max() <= kept[top - 1]:
                break
            # What is no stronger than chance is listed, but explains nothing else.
            is_last = strength.max() <= self._by_chance or number == _MOST_ROUNDS - 1
            granted: list[int] = []
            for leader, *twins in self._leaders(strength, gains, top, is_last):
                granted += [leader, *twins]
                known = next((one for one in found if self._says_the_same(leader, gains, one)), None)
                if known is not None:
                    known.others += [leader, *twins]
                else:
                    found.append(_Found(leader, twins, self._alternatives(leader, strength, gains), gains, expected))
            self._is_open[granted] = False
            if is_last or not granted:
                break
            correction = np.where(gains.is_shut, SHUT, gains.correction)
            self._grant(granted, correction, 0.6 + 0.4 * number / _MOST_ROUNDS)
        found.sort(key=lambda one: -abs(one.gains.statistic[one.leader]))
        return [self._row(one) for one in found[:top]]

    def _solve(self, rows: Ids, begin: float, end: float) -> None:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self._say(begin + (end - begin) * done / max(len(rows), 1), f"{done:,} of {len(rows):,} trips")

        self._visits.solve(-self._cost, rows, advance)

    def _gains(self) -> tuple[Gains, Floats]:
        """Of every candidate, and its expected visits, float64[M]."""
        found = self._visits.probability.tocoo()
        weight = self._visits.weight[found.row]
        parts = []
        for is_kind, kind in ((self._is_edge, "edge"), (~self._is_edge, "turn")):
            number = np.cumsum(is_kind) - 1
            at = is_kind[found.col]
            own = self._observed[is_kind], number[found.col[at]], found.data[at], weight[at]
            parts.append(tilted_gains(*own, _penalty(self._model, kind)))
        joined = [np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])]
        expected = np.bincount(found.col, found.data * weight, minlength=len(self._candidates))
        return Gains(*joined), expected.astype(np.float64)

    def _leaders(self, strength: Floats, gains: Gains, top: int, is_last: bool) -> list[list[int]]:
        """The strongest, and others that have nothing to do with them; each with what else its road says."""
        overlaps = self._visits.overlaps()
        order = np.argsort(-strength * np.where(self._is_edge, _EDGE_FIRST, 1.0), kind="stable")
        least = _WEAKEST_ROW if is_last else max(_OF_THE_ROUND * strength.max(), self._by_chance)
        chosen: list[list[int]] = []
        taken: list[int] = []
        for number in order[strength[order] >= least].tolist():
            if number in taken or not overlaps.is_apart(number, taken):
                continue
            group = [number]
            # The other direction, another piece: evidence of its own. A piece that the same trips drive is none.
            for other in sorted(self._roads.get(number, ()), key=lambda one: -strength[one]):
                agrees = gains.statistic[other] * gains.statistic[number] > 0 and strength[other] >= _TWIN
                if agrees and overlaps.is_apart(other, [*taken, *group]):
                    group.append(other)
            chosen.append(group)
            taken += group
            if len(chosen) == top:
                break
        return chosen

    def _alternatives(self, number: int, strength: Floats, gains: Gains) -> list[int]:
        cosines = self._visits.overlaps().cosines(number)
        is_alike = (cosines >= _ALIKE) & (strength >= _ALIKE * strength[number])
        is_alike &= np.sign(gains.statistic) == np.sign(gains.statistic[number])
        is_alike[number] = False
        found = np.flatnonzero(is_alike)
        return [int(one) for one in found[np.argsort(-strength[found], kind="stable")][:_MOST_ALTERNATIVES]]

    def _says_the_same(self, number: int, gains: Gains, known: _Found) -> bool:
        """Whether it is the same road as one found before, travelled more or less as that one."""
        is_same = known.gains.statistic[known.leader] * gains.statistic[number] > 0
        return is_same and any(one in self._roads.get(number, ()) for one in (known.leader, *known.others))

    def _grant(self, chosen: list[int], correction: Floats, done: float) -> None:
        """Correct the cost; what would leave a cycle for nothing is granted only where it makes things dearer."""
        rows = self._visits.touched(chosen, correction)
        before = self._cost
        for is_whole in (True, False):
            cost = before.copy()
            for number in chosen:
                if is_whole or correction[number] < 0:
                    cost[self._candidates.turns_of(number)] -= correction[number]
            self._cost = np.maximum(cost, _CHEAPEST * self._base)
            try:
                self._solve(rows, done, done)
            except NO_VALUES:
                continue
            return
        self._cost = before

    def _row(self, found: _Found) -> Contradiction:
        network, candidates, leader = self._model.network, self._candidates, found.leader
        place = self._place(leader)
        kind, at = place.kind, place.position
        return Contradiction(
            place=place,
            observed=float(self._observed[leader]),
            expected=float(found.expected[leader]),
            statistic=float(found.gains.statistic[leader]),
            suggested=-float(found.gains.correction[leader]),
            is_shut=bool(found.gains.is_shut[leader]),
            learned=self._learned.get((kind, at)),
            num_travellers=_num_travellers(self._routes, kind, at),
            same_road=tuple(int(network.graph.edge_id[candidates.edges[one]]) for one in found.others),
            alternatives=tuple(self._place(one) for one in found.alternatives),
        )

    def _place(self, number: int) -> Place:
        network, candidates = self._model.network, self._candidates
        if candidates.is_edge(number):
            return place_of_edge(network, int(candidates.edges[number]))
        return place_of_turn(network, int(candidates.turns[number - len(candidates.edges)]))


def _learned_corrections(model: LearnedModel) -> dict[tuple[str, int], float]:
    """Nats of raw cost by (edge or turn, its position); the mean over members."""
    if not model.config.reward.corrections:
        return {}
    reward, members = reward_of(model)
    own = reward.split(members.mean(axis=0))
    return {
        (part.of, int(at)): float(value)
        for part in reward.parts
        if isinstance(part, Corrections)
        for at, value in zip(part.supported, own[part.name], strict=True)
    }


def _num_travellers(routes: Demonstrations, kind: str, at: int) -> int | None:
    if routes.traveller is None:
        return None
    turn, row = routes.turns()
    used = turn if kind == "turn" else routes.network.turns.to_edge[turn]
    return len({name for name in (routes.traveller[one] for one in np.unique(row[used == at])) if name})
