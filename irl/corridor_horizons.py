"""Finite horizons in corridors: one search per route, whatever the size of the map.

A finite horizon needs the best path's cost from every state that H random turns lead to. With x the cost of a
demonstrated route beyond the best one, the corridor of width x + tau holds every state that is worth exp(-tau) of the
best way on from any state of the route; the recursion runs inside, on costs to go that are those of the whole map.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..core.types import Floats, Ids, Ints
from ..graphs.corridor_search import Corridors
from ..graphs.turns import TurnGraph
from .corridor_finder import BLOCK, CorridorFinder
from .corridor_horizon_kernels import margin_block, roll_block
from .corridor_kernels import add_counts
from .feasibility import infeasible_reward
from .trips import RouteBatch
from .turn_costs import TurnCosts


class CorridorHorizon:
    """Likelihood (or at horizon 0 the margin loss) of routes, each in its own corridor, and the exact gradient in it.

    Parameters
    ----------
    horizon
        H >= 0, in turns.
    tau
        Width of the corridors in nats, H >= 1. At horizon 0 the margin itself says how wide is exact.
    max_settled, threads, edge_id
        See `CorridorFinder`.
    """

    def __init__(
        self,
        turns: TurnGraph,
        horizon: int,
        *,
        tau: float = 25.0,
        max_settled: int = 2_000_000,
        threads: int = 0,
        edge_id: Ids | None = None,
    ) -> None:
        if horizon < 0:
            raise ValueError(f"horizon {horizon}: irl/corridors.py is the one of infinity")
        self._turns, self._horizon, self._tau, self._edge_id = turns, horizon, tau, edge_id
        self._finder = CorridorFinder(turns, max_settled=max_settled, threads=threads, edge_id=edge_id)
        self._kept: tuple[RouteBatch, Ints, Ids] | None = None

    def log_likelihood(self, reward: Floats | TurnCosts, batch: RouteBatch) -> tuple[float, Floats]:
        """``sum_n w_n log P(route_n)`` and its gradient in the reward, float64[T].

        `RecedingHorizon.log_likelihood` has the equations, `MarginLoss` those of horizon 0, where minus the loss
        stands in for a likelihood.

        Raises
        ------
        NonPositiveCostError
            A turn costs nothing or less.
        UnreachableError
            A search settled more states than it may.
        InfeasibleRewardError
            The values grow past 1e308 (possible from some 500 turns on).

        Notes
        -----
        Per route a search and O(H) times the turns of its corridor; with a reward float64[T] O(T) per call to check it.
        """
        parts = self._solve(reward, batch, with_counts=True)
        value, gradient = 0.0, np.zeros(self._turns.num_turns)
        for begin, (found, turn, slope) in zip(range(0, len(batch.weight), BLOCK), parts, strict=True):
            value += float(batch.weight[begin : begin + BLOCK] @ found)
            add_counts(gradient, turn, slope)
        return value, gradient

    def log_probabilities(self, reward: Floats | TurnCosts, batch: RouteBatch) -> Floats:
        """Log-probability of every distinct route, float64[N]; `ValueError` at horizon 0, else as `log_likelihood`."""
        if self._horizon == 0:
            raise ValueError("horizon 0 has a margin loss and no probabilities")
        parts = self._solve(reward, batch, with_counts=False)
        return np.concatenate([np.zeros(0), *(found for found, _, _ in parts)])

    def _solve(
        self, reward: Floats | TurnCosts, batch: RouteBatch, *, with_counts: bool
    ) -> Iterator[tuple[Floats, Ints, Floats]]:
        cost = reward if isinstance(reward, TurnCosts) else TurnCosts(self._turns, -reward, self._edge_id)
        taken, first = self._turns_taken(batch)
        solve = self._margin_block if self._horizon == 0 else self._roll_block

        def task(begin: int) -> tuple[Floats, Ints, Floats]:
            rows = slice(begin, min(begin + BLOCK, len(batch.weight)))
            first_taken = first[rows.start : rows.stop + 1]
            mine = taken[first_taken[0] : first_taken[-1]]
            corridors, value, slope = solve(cost, batch, rows, mine, first_taken - first_taken[0], with_counts)
            if not np.isfinite(value).all():
                cost.require(np.arange(len(cost.is_known)))
                raise infeasible_reward(
                    self._turns, -cost.value, edge_id=self._edge_id, ending=batch.destinations.ending
                )
            weight = np.repeat(batch.weight[rows], np.diff(corridors.first_turn[corridors.first_state]))
            return value, corridors.turn, slope * weight

        return self._finder.by_block(task, len(batch.weight))

    def _turns_taken(self, batch: RouteBatch) -> tuple[Ints, Ids]:
        """The turns of every route, int32[M], and where each route's begin, int64[N+1]; kept for one batch."""
        if self._kept is None or self._kept[0] is not batch:
            is_last = np.zeros(len(batch.edge), bool)
            is_last[batch.first[1:] - 1] = True
            at = np.flatnonzero(~is_last)
            taken = self._turns.find(batch.edge[at], batch.edge[at + 1])
            self._kept = (batch, taken, batch.first - np.arange(len(batch.first)))
        return self._kept[1], self._kept[2]

    def _roll_block(
        self, cost: TurnCosts, batch: RouteBatch, rows: slice, taken: Ints, first: Ids, with_counts: bool
    ) -> tuple[Corridors, Floats, Floats]:
        corridors = self._found(cost, batch, rows, np.full(len(first) - 1, self._tau), _sums(cost.at(taken), first))
        value, slope = roll_block(
            cost.value,
            corridors.first_state,
            corridors.cost_to_go,
            corridors.first_turn,
            corridors.turn,
            corridors.head,
            corridors.origin,
            corridors.num_goals,
            taken,
            first,
            self._horizon,
            batch.destinations.ending == "stop",
            with_counts,
        )
        return corridors, value, slope

    def _margin_block(
        self, cost: TurnCosts, batch: RouteBatch, rows: slice, taken: Ints, first: Ids, with_counts: bool
    ) -> tuple[Corridors, Floats, Floats]:
        """No rival is dearer, its margin aside, than the best route with the whole margin: the corridor is exact."""
        routes = range(rows.start, rows.stop)
        edges = [np.unique(batch.edge[batch.first[row] + 1 : batch.first[row + 1]]) for row in routes]
        margin = np.array([batch.margin[one].sum() for one in edges])
        corridors = self._found(cost, batch, rows, margin, _sums(cost.at(taken), first) - margin)
        loss, slope = margin_block(
            cost.value,
            batch.margin,
            corridors.first_state,
            corridors.state,
            corridors.first_turn,
            corridors.turn,
            corridors.head,
            corridors.origin,
            corridors.num_goals,
            taken,
            first,
        )
        return corridors, -loss, slope  # the loss is a function of costs, and costs are minus rewards

    def _found(self, cost: TurnCosts, batch: RouteBatch, rows: slice, tau: Floats, least: Floats) -> Corridors:
        origin = batch.edge[batch.first[rows]]
        return self._finder.find(cost, batch.destinations, batch.column[rows], origin, tau=tau, least=least)


def _sums(values: Floats, first: Ids) -> Floats:
    """Sums over ragged rows, float64[N], also of empty ones."""
    return np.diff(np.concatenate([[0.0], np.cumsum(values)])[first])
