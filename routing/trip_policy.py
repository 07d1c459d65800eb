"""The routes of one trip under the MaxEnt policy: their probabilities, and draws from it. Imports no JAX.

A trip may begin on any edge its origin stands for and end on any edge its destination stands for. Its routes are all
walks between the two (under *arrival* such as end at the first of the last edges they come to; under *stop* they may
pass one), and ``P(route) = exp(-initial - cost) / Z`` with ``Z`` the sum over all of them: initial is what starting on
the route's first edge costs above the cheapest of the first edges. For a trip from one edge to one edge under *arrival*
that is `Route.log_probability`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ..core.compiled import kernel
from ..core.errors import InfeasibleRewardError, NotConvergedError, UnderflowError
from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.bounded_trees import TurnTree
from ..graphs.road_graph import ragged_rows
from ..graphs.turns import TurnGraph
from ..irl.corridor_kernels import uniform
from ..irl.destinations import Ending
from ..irl.factorization import Factorization
from ..irl.feasibility import factorise_system, infeasible_reward

_Array = Any
"""A numpy array inside a kernel; shapes stand in the comments and docstrings."""
_SMALLEST = 1e-280
"""As in `trodden.irl.factorization`: below it an exponential has left the range in which quotients are exact."""
_LONGEST = 100_000
"""Turns after which a drawn route is taken to be lost; with values that exist, next to impossible."""


@dataclass(frozen=True, eq=False)
class Trip:
    """Where routes may begin and end."""

    starts: tuple[tuple[int, float, int], ...]
    """(edge, cost so far, turn already taken onto that edge or -1)."""
    goals: Ints
    """int32[G], edge positions."""
    ending: Ending
    turns: TurnGraph
    turn_cost: Floats
    """float64[T]."""

    @property
    def is_final(self) -> Bools | None:
        """bool[E]: edges that no route passes; None where there are none."""
        if self.ending == "stop":
            return None
        is_final = np.zeros(self.turns.num_edges, bool)
        is_final[self.goals] = True
        return is_final


@dataclass(frozen=True, eq=False)
class TripPolicy:
    """The policy of a trip."""

    trip: Trip
    value: Floats
    """float64[E], soft reward-to-go to the goals; ``-inf`` where they cannot be reached, or only far out of the way."""
    log_total: float
    """log Z."""

    def log_probability(self, cost: float) -> float:
        """Of a route that costs so much, initial cost included."""
        return min(-cost - self.log_total, 0.0)

    def draw(self, count: int, seed: int) -> tuple[Ids, Ints, Ids]:
        """Routes: which start each took int64[n], their turns int32 one after the other, and offsets int64[n+1].

        The same seed gives the same routes. Turns onto the first edge (see `Trip.starts`) are not among them.

        Raises
        ------
        NotConvergedError
            A route did not end within 100,000 turns.
        """
        trip = self.trip
        log_weight = np.array([self.value[edge] - initial for edge, initial, _ in trip.starts])
        share = np.exp(log_weight - log_weight.max())
        random = np.random.default_rng(seed)
        start = random.choice(len(share), count, p=share / share.sum())
        edges = np.array([edge for edge, _, _ in trip.starts], np.int32)[start]
        is_goal = np.zeros(trip.turns.num_edges, bool)
        is_goal[trip.goals] = True
        streams = random.integers(0, 2**64, count, np.uint64)
        is_absorbing = trip.ending == "arrival"
        taken, first = _draw(
            trip.turns.first_out, trip.turns.to_edge, trip.turn_cost, self.value, is_goal, is_absorbing, edges, streams,
            _LONGEST,
        )  # fmt: skip
        last = edges.copy()
        is_moved = np.diff(first) > 0
        last[is_moved] = trip.turns.to_edge[taken[first[1:][is_moved] - 1]]
        if not is_goal[last].all():
            raise NotConvergedError(residual=float((~is_goal[last]).sum()), tolerance=0.0, num_sweeps=_LONGEST)
        return start.astype(np.int64), taken, first


def solve_trip(
    trip: Trip, ahead: TurnTree, back: TurnTree, *, tau: float, factors: Callable[[], Factorization] | None = None
) -> TripPolicy:
    """Values and log Z of a trip.

    Parameters
    ----------
    ahead, back
        Cheapest paths from the starts and to the goals, at least as far as the best route's cost + tau.
    tau
        Routes are left out that pass a state through which the best route is so much dearer than the best one, where
        values come from the trip's corridor.
    factors
        The whole map's factorised system: values are exact. Left out, or where that system has no values or its
        exponentials underflow, the corridor is solved instead, which leaves out about ``exp(-tau)`` of the routes.

    Raises
    ------
    InfeasibleRewardError
        These costs, read as rewards, define no distribution over the routes of this trip.
    """
    value = None
    if factors is not None:
        try:
            value = _whole_map(trip, factors())
        except (InfeasibleRewardError, UnderflowError):  # under *arrival* the whole map may ask more than the trip
            value = None
    if value is None:
        value = _corridor(trip, ahead, back, tau)
    terms = np.array([value[edge] - initial for edge, initial, _ in trip.starts])
    return TripPolicy(trip, value, float(np.logaddexp.reduce(terms)))


def _whole_map(trip: Trip, factors: Factorization) -> Floats:
    """With G = inv(I - M) and goals D: ``G[:, D] inv(G[D, D]) 1`` under *arrival*, ``G[:, D] 1`` under *stop*."""
    goals = trip.goals
    ends = np.zeros((trip.turns.num_edges, len(goals) if trip.ending == "arrival" else 1))
    ends[goals, np.arange(ends.shape[1])] = 1.0
    reached = np.maximum(factors.solve(ends), 0.0)
    z: Floats = reached[:, 0]
    if trip.ending == "arrival":
        z = np.maximum(reached @ np.linalg.solve(reached[goals], np.ones(len(goals))), 0.0)
    # Starts from which hardly a route leads there may underflow: they add nothing to Z.
    largest = max(float(z[edge]) for edge, _, _ in trip.starts)
    if largest < _SMALLEST:
        with np.errstate(divide="ignore"):
            raise UnderflowError(destination=int(goals[0]), value=float(np.log(largest)))
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(z))


def _corridor(trip: Trip, ahead: TurnTree, back: TurnTree, tau: float) -> Floats:
    """Values inside the corridor by one sparse LU of it, with the cost to go as potential: nothing underflows."""
    turns, through = trip.turns, ahead.cost[ahead.order] + back.cost[ahead.order]
    states = ahead.order[through <= through.min() + tau]
    local = np.full(turns.num_edges, -1, np.int32)
    local[states] = np.arange(len(states), dtype=np.int32)
    turn, first = ragged_rows(turns.first_out.astype(np.int64), states)
    tail, head = np.repeat(np.arange(len(states)), np.diff(first)), local[turns.to_edge[turn]]
    is_inside = head >= 0
    if trip.is_final is not None:
        is_inside &= ~trip.is_final[states][tail]
    tail, head, turn = tail[is_inside], head[is_inside], turn[is_inside]
    own = back.cost[states]
    weight = np.exp(-(trip.turn_cost[turn] + own[head] - own[tail]))
    matrix = sparse.csc_matrix((weight, (tail, head)), shape=(len(states),) * 2)
    factors = factorise_system(sparse.csc_matrix(sparse.identity(len(states), format="csc") - matrix))
    if factors is None:
        raise infeasible_reward(turns, -trip.turn_cost, edge_id=None, ending=trip.ending)
    ends = np.zeros(len(states))
    ends[local[trip.goals[local[trip.goals] >= 0]]] = 1.0
    value = np.full(turns.num_edges, -np.inf)
    with np.errstate(divide="ignore"):
        value[states] = np.log(np.maximum(factors.solve(ends), 0.0)) - own
    return value


@kernel
def _draw(
    first_out: _Array,
    to_edge: _Array,
    turn_cost: _Array,
    value: _Array,
    is_goal: _Array,
    is_absorbing: bool,
    starts: _Array,
    seeds: _Array,
    most_turns: int,
) -> tuple[_Array, _Array]:
    """One route per start by the policy of the values: (turns, offsets). One that gets lost ends where it is."""
    taken, first, size = np.empty(4096, np.int32), np.zeros(len(starts) + 1, np.int64), 0
    stream = np.empty(1, np.uint64)
    for n in range(len(starts)):
        at, begin = starts[n], size
        stream[0] = seeds[n]
        while size - begin < most_turns:
            left = uniform(stream)
            if is_goal[at]:
                left -= 1.0 if is_absorbing else np.exp(-value[at])
                if left < 0.0:
                    break
            chosen = -1
            for turn in range(first_out[at], first_out[at + 1]):
                weight = np.exp(value[to_edge[turn]] - turn_cost[turn] - value[at])
                if weight > 0.0:
                    chosen = turn  # the last one where rounding leaves a rest
                    left -= weight
                    if left < 0.0:
                        break
            if chosen < 0:
                break
            if size == len(taken):
                taken = np.append(taken, np.empty_like(taken))
            taken[size] = chosen
            size += 1
            at = to_edge[chosen]
        first[n + 1] = size
    return taken[:size].copy(), first
