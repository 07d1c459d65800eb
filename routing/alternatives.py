"""Alternatives to the cheapest route, each with its probability: `find_alternatives`. Imports no JAX.

Under MaxEnt a route's log-probability is a constant of the trip minus its cost, so the k most probable routes are the k
cheapest ones. On real streets these differ by a side street; so a candidate is taken only where it shares at most a
stated part of its length with each alternative before it. Candidates are the cheapest routes in turn, the routes by way
of plateaus of the two search trees (what a hierarchy's via routes are, on the trip's own neighbourhood), and routes
drawn from the policy. Two figures stand beside each: the probability of this very route, and the share of the traffic
that goes by a route like it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ..core.errors import ConfigurationError, InfeasibleRewardError
from ..core.types import Bools, Floats, Ints
from ..graphs.bounded_trees import tree_from, tree_to
from ..graphs.corridor_search import SearchGraph
from ..graphs.hierarchy import StatePath
from .candidates import (
    Candidate,
    Drawn,
    FoundBy,
    cheapest_routes,
    drawn_routes,
    edges_of,
    lengths_once,
    take,
    via_routes,
)
from .formats import to_geojson
from .route import Route
from .trip_policy import Trip, TripPolicy, solve_trip

if TYPE_CHECKING:
    from .metrics import NamedCosts

TAU = 25.0
"""Width of the corridor in nats where the map is too large for one LU, as in training."""
LARGEST_FACTORISED = 300_000
"""Edges up to which the whole map is factorised once per metric, as in training."""
_MOST_ENUMERATED, _MOST_VIA = 64, 128
_ALIKE = 0.5
"""A drawn route is like the alternative that it has most in common with, if that is at least half of both together."""


@dataclass(frozen=True, eq=False)
class Alternative:
    """One of the routes a traveller might take."""

    route: Route
    log_probability: float | None
    """Of this very route, among all routes of the trip; None where there is none: see `Alternatives.note`."""
    share: float | None
    """Of the routes drawn from the policy, the part that is like this one more than like any other alternative."""
    share_error: float | None
    """Standard error of ``share``, which comes from a sample."""
    found_by: FoundBy
    """``"cheapest"``, ``"enumerated"`` (one of the cheapest in turn), ``"via"`` (over a plateau), ``"drawn"``."""

    @property
    def probability(self) -> float | None:
        """Of this very route, in [0, 1]; small where there are many routes like it."""
        return None if self.log_probability is None else float(np.exp(self.log_probability))


@dataclass(frozen=True, eq=False)
class Alternatives(Sequence[Alternative]):
    """What `Router.alternatives` found: a sequence of `Alternative`, the cheapest route first, then by rising cost.

    It is the cost of whole edges that counts, as in probabilities, and what starting on the first edge costs beside.
    """

    found: tuple[Alternative, ...]
    num_drawn: int
    """Routes drawn for the shares; 0 where there are none."""
    share_of_others: float | None
    """Part of the drawn routes that is like none of these."""
    note: str
    """Why there are no probabilities; empty where there are."""

    def to_geojson(self) -> dict[str, Any]:
        """As `trodden.routing.formats.to_geojson`, with ``probability``, ``share``, ``share_error`` and ``found_by``.

        Raises
        ------
        MissingDataError
            The network has no coordinates.
        """
        collection = to_geojson([one.route for one in self.found])
        for feature in collection["features"]:
            properties = feature["properties"]
            if properties["kind"] == "route":
                one = self.found[properties["route"]]
                properties |= {
                    "probability": one.probability,
                    "share": one.share,
                    "share_error": one.share_error,
                    "found_by": one.found_by,
                }
        return collection

    def __len__(self) -> int:
        return len(self.found)

    @overload
    def __getitem__(self, index: int) -> Alternative: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Alternative, ...]: ...
    def __getitem__(self, index: int | slice) -> Alternative | tuple[Alternative, ...]:
        return self.found[index]

    def __iter__(self) -> Iterator[Alternative]:
        return iter(self.found)


@dataclass(frozen=True)
class Wishes:
    """What kind of alternatives are wanted; checked when made.

    Raises
    ------
    ConfigurationError
        A number out of its range.
    """

    k: int = 3
    max_shared: float = 0.8
    """Largest part of an alternative's length that it may share with one before it; 1: only equal routes are left out,
    so that the answer is the k most probable routes."""
    max_dearer: float = 0.5
    """By which part an alternative may cost more than the cheapest, what starting on a first edge costs included."""
    num_drawn: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        faults = {
            f"k is {self.k}, not at least 1": self.k < 1,
            f"max_shared is {self.max_shared}, not in 0..1": not 0.0 <= self.max_shared <= 1.0,
            f"max_dearer is {self.max_dearer}, not >= 0": not self.max_dearer >= 0.0,
            f"num_drawn is {self.num_drawn}, not >= 0": self.num_drawn < 0,
        }
        wrong = [fault for fault, is_one in faults.items() if is_one]
        if wrong:
            raise ConfigurationError(where="alternatives", problem="; ".join(wrong))


def find_alternatives(
    best: Route,
    costs: NamedCosts,
    graph: SearchGraph,
    make_route: Callable[[StatePath], Route],
    wishes: Wishes,
) -> Alternatives:
    """The cheapest route and up to k - 1 that differ from it and from each other.

    Parameters
    ----------
    best
        The cheapest route of the trip.
    graph
        The network's turns both ways (`make_search_graph`).
    make_route
        Makes a route of this trip from a path.

    Raises
    ------
    NotConvergedError
        A drawn route did not end.

    Notes
    -----
    Two searches as far as the dearest alternative, one solve of the whole map (whose LU is made once per metric) or an
    LU of the trip's corridor above 300,000 edges, and the draws.
    """
    if len(best.edges) == 0:
        return Alternatives((Alternative(best, 0.0, 1.0, 0.0, "cheapest"),), 0, 0.0, "")
    trip = _trip(best, costs)
    least = _least_cost(best, trip)
    # Costs leave out what is common to all routes, the cheapest first edge: a part of the whole is meant.
    dearest = least + wishes.max_dearer * (least + min(float(costs.entry_cost[edge]) for edge in best.origin.edges))
    limit = max(least + TAU, dearest) * (1.0 + 1e-6)
    ahead = tree_from(
        graph, trip.turn_cost, [(edge, cost) for edge, cost, _ in trip.starts], limit=limit, is_final=trip.is_final
    )
    back = tree_to(graph, trip.turn_cost, trip.goals, limit=limit)
    policy, note = None, ""
    try:
        if costs.horizon != "infinity":
            note = f"the costs were learned at horizon {costs.horizon}; a route's probability needs horizon infinity"
        else:
            is_small = trip.turns.num_edges <= LARGEST_FACTORISED
            policy = solve_trip(trip, ahead, back, tau=TAU, factors=costs.factorization if is_small else None)
    except InfeasibleRewardError as error:
        note = str(error)
    drawn = drawn_routes(policy, wishes.num_drawn, wishes.seed) if policy else Drawn((), np.zeros(0, np.int32))
    cheapest = Candidate(int(best.edges[0]), tuple(best.turns.tolist()), least, "cheapest")
    in_turn = cheapest_routes(trip, back, limit=dearest)
    if wishes.max_shared >= 1.0:
        pool = [cheapest, *take(in_turn, wishes.k)]
    else:
        via = via_routes(trip, ahead, back, limit=dearest, most=_MOST_VIA)
        others = [*take(in_turn, _MOST_ENUMERATED), *via, *drawn.routes]
        pool = [cheapest, *sorted((one for one in others if one.cost <= dearest), key=lambda one: one.cost)]
    lengths = costs.network.edge_length_m()
    chosen = _choose(trip, pool, lengths, costs.network.graph.head, wishes)
    routes = [make_route(_path(one, trip, costs)) for one in chosen]
    return _answer(trip, chosen, routes, lengths, policy, drawn, note)


def _trip(best: Route, costs: NamedCosts) -> Trip:
    """The trip of a route. What it pays for the first edge's share counts; the last edge counts whole, at every end."""
    starts, ends = costs.starts(best.origin), costs.ends(best.destination)
    behind = {a.edge for a in starts for b in ends if a.edge == b.edge and a.fraction > b.fraction}
    turns, turn_cost = costs.network.turns, costs.open_cost
    least = min(start.initial for start in starts)
    begin: list[tuple[int, float, int]] = []
    for start in starts:
        edge, initial = start.edge, start.initial - least
        if edge not in behind:
            begin.append((edge, initial, -1))
            continue
        for turn in range(int(turns.first_out[edge]), int(turns.first_out[edge + 1])):
            begin.append((int(turns.to_edge[turn]), initial + float(turn_cost[turn]), turn))
    goals = np.array([end.edge for end in ends], np.int32)
    return Trip(tuple(one for one in begin if one[1] < np.inf), goals, costs.ending, turns, turn_cost)


def _least_cost(best: Route, trip: Trip) -> float:
    """The best route's cost, what starting on its first edge costs included."""
    taken = best.turns.tolist()
    for edge, initial, before in trip.starts:
        if before >= 0 and taken[:1] == [before]:
            return initial + float(trip.turn_cost[best.turns[1:]].sum())
        if before < 0 and edge == int(best.edges[0]):
            return initial + float(trip.turn_cost[best.turns].sum())
    raise ValueError("the best route starts on none of the trip's first edges")


def _path(one: Candidate, trip: Trip, costs: NamedCosts) -> StatePath:
    quanta = int(costs.metric.costs.value[list(one.turns)].sum())
    return StatePath(quanta, one.first, one.turns, trip.turns)


def _choose(trip: Trip, pool: list[Candidate], lengths: Floats, head: Ints, wishes: Wishes) -> list[Candidate]:
    """The first of the pool, and each further one that differs enough from all those before it, up to k."""
    chosen: list[Candidate] = []
    masks: list[Bools] = []
    seen: set[tuple[int, tuple[int, ...]]] = set()
    allowed = 0
    for one in pool:
        if len(chosen) == wishes.k:
            break
        if (one.first, one.turns) in seen:
            continue
        seen.add((one.first, one.turns))
        if wishes.max_shared < 1.0:
            edges = edges_of(trip, one)
            # A detour that comes back to a junction is no alternative, unless the trip itself has to go around.
            repeats = len(edges) - len(np.unique(head[edges]))
            if chosen and repeats > allowed:
                continue
            distinct, length = lengths_once(lengths, edges)
            if any(lengths[distinct[mask[distinct]]].sum() > wishes.max_shared * length for mask in masks):
                continue
            allowed = allowed if chosen else repeats
            masks.append(np.zeros(len(lengths), bool))
            masks[-1][distinct] = True
        chosen.append(one)
    return chosen


def _answer(
    trip: Trip,
    chosen: list[Candidate],
    routes: list[Route],
    lengths: Floats,
    policy: TripPolicy | None,
    drawn: Drawn,
    note: str,
) -> Alternatives:
    total = int(drawn.count.sum())
    if policy is None or total == 0:
        probability = [None if policy is None else policy.log_probability(one.cost) for one in chosen]
        rows = zip(routes, probability, chosen, strict=True)
        return Alternatives(tuple(Alternative(r, p, None, None, one.found_by) for r, p, one in rows), 0, None, note)
    like = _like(trip, chosen, drawn, lengths).tolist()
    found = tuple(
        Alternative(route, policy.log_probability(one.cost), number / total, _share_error(number, total), one.found_by)
        for route, one, number in zip(routes, chosen, like[:-1], strict=True)
    )
    return Alternatives(found, total, like[-1] / total, note)


def _share_error(count: float, total: int) -> float:
    """Standard error of a share, two successes and two failures added (Agresti & Coull 1998): never zero."""
    share = (count + 2.0) / (total + 4.0)
    return float(np.sqrt(share * (1.0 - share) / (total + 4.0)))


def _like(trip: Trip, chosen: list[Candidate], drawn: Drawn, lengths: Floats) -> Floats:
    """How many of the drawn routes are most like each of the chosen ones, and last like none, float64[k + 1]."""
    rows = [lengths_once(lengths, edges_of(trip, one)) for one in drawn.routes]
    edges = np.concatenate([distinct for distinct, _ in rows])
    row = np.repeat(np.arange(len(rows)), [len(distinct) for distinct, _ in rows])
    size = np.array([length for _, length in rows])
    likeness = np.empty((len(chosen), len(rows)))
    for place, one in enumerate(chosen):
        distinct, length = lengths_once(lengths, edges_of(trip, one))
        is_shared = np.isin(edges, distinct)
        shared = np.bincount(row[is_shared], lengths[edges[is_shared]], minlength=len(rows))
        likeness[place] = shared / np.maximum(size + length - shared, 1e-9)
    nearest = np.where(likeness.max(axis=0) >= _ALIKE, likeness.argmax(axis=0), len(chosen))
    return np.bincount(nearest, drawn.count, minlength=len(chosen) + 1).astype(np.float64)
