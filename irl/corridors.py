"""Values and expected counts in corridors: the cost of a trip follows the trip, not the map.

The routes considered are those that never stray so far that the best route through a state is more than tau dearer than
the best route at all (`trodden.graphs.corridor_search`). That is a model of its own, well defined wherever its own
spectral radius is below 1, and it comes to the full one as tau grows, where that exists: docs/corridors.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..core.errors import NotConvergedError, UnreachableError
from ..core.types import Floats, Ids, Ints
from ..graphs.corridor_search import Corridors
from ..graphs.turns import TurnGraph
from .corridor_blocks import DECAY, CorridorBlock, WidenedBlock, solve_corridors
from .corridor_finder import BLOCK, CorridorFinder
from .corridor_kernels import add_counts, draw_block, least_margin
from .destinations import Ending
from .feasibility import infeasible_reward
from .trips import TripBatch
from .turn_costs import TurnCosts

_SAFE_MARGIN = 17.0
"""Nats by which what lies outside a kept corridor has to be dearer than its best route: exp(-17) is 4e-8."""
_ROOM = 1.0
"""Nats by which corridors that are kept are wider than tau: the rewards that follow find them narrower."""
_WIDEST = 2.0
"""Times tau. Where the full model does not exist, no width is enough."""


@dataclass
class CorridorReport:
    """What the last solve did."""

    num_trips: int = 0
    num_states: int = 0
    """Over all corridors."""
    num_kept: int = 0
    """Trips solved in the corridor of an earlier reward, without a search."""
    num_widened: int = 0
    """Trips whose corridor was made wider than tau."""
    mean_width: float = float("nan")
    num_by_lu: int = 0
    """Trips whose sweeps did not converge within the cap: a sign of a radius near 1."""
    kept_bytes: int = 0
    """Memory of the corridors that are kept."""
    error_estimate: float = float("nan")
    """Largest error of a value, by `CorridorBlock.error`: a monitor, blind to what lies beyond the corridor."""


@dataclass(frozen=True, eq=False)
class _Kept:
    """A block's corridors and the reward that they were found under."""

    corridors: Corridors
    found_cost: Floats
    """float64[T], shared by all blocks found at once."""
    values: Floats
    """float64[S], of the last solve: minus them are the next potential."""
    uses: int


@dataclass(frozen=True, eq=False)
class _Solved:
    """A block's answer."""

    value: Floats
    """float64[N], at the origins."""
    turn: Ints
    count: Floats
    """Expected counts, weighted, one entry per turn and trip."""
    error: Floats
    """float64[N], see `CorridorBlock`."""
    num_states: int
    num_by_lu: int
    num_kept: int
    width: Floats
    """float64[N]."""


class CorridorSolver:
    """Soft values and expected counts of trips, each solved in its own corridor, certified or a typed error.

    Parameters
    ----------
    tau
        Width of the corridors in nats, to begin with. The error falls about like exp(-tau): 25 keeps it below 1e-6 per
        route on easy costs.
    accuracy
        Largest error of a value that the width may be to blame for, in nats: a trip of which the monitor says more than
        a tenth of that is solved again in a wider corridor, at most twice as wide. The tenth is for the monitor's own
        error. Infinite: no trip is.
    tolerance
        Largest estimated error of a value and of a count.
    max_sweeps
        After so many, a sparse LU of the corridor decides.
    max_settled
        States that one search may settle at either end; an unreachable destination would have it walk the whole map.
    keep_bytes
        Memory for corridors that are kept from one reward to the next, shared evenly by the trips; 0 keeps none. A kept
        corridor needs no search, and is a nat wider than tau, since it is narrower under the rewards that follow.
    refresh_every
        A kept corridor is found anew after so many solves at the latest.
    edge_id
        int64[E], only to name edges in errors.
    """

    def __init__(
        self,
        turns: TurnGraph,
        *,
        tau: float = 25.0,
        accuracy: float = 1e-6,
        tolerance: float = 1e-9,
        max_sweeps: int = 300,
        max_settled: int = 2_000_000,
        threads: int = 0,
        keep_bytes: int = 0,
        refresh_every: int = 10,
        edge_id: Ids | None = None,
    ) -> None:
        self._turns, self._accuracy, self._edge_id = turns, accuracy, edge_id
        self._tau = tau + _ROOM if keep_bytes else tau
        self._tolerance, self._max_sweeps = tolerance, max_sweeps
        self._keep_bytes, self._refresh_every = keep_bytes, refresh_every
        self._finder = CorridorFinder(turns, max_settled=max_settled, threads=threads, edge_id=edge_id)
        self._batch: TripBatch | None = None
        self._kept: dict[int, _Kept] = {}
        self.report = CorridorReport()

    def total_value(
        self, reward: Floats | TurnCosts, batch: TripBatch, into: Floats | None = None
    ) -> tuple[float, Floats]:
        """``sum_n w_n V(origin_n)`` and its gradient in the reward, the expected counts float64[T].

        The reward is float64[T], or costs that are worked out where a search comes by. The counts are added to zeros
        ``into``, where they are given.

        Raises
        ------
        NonPositiveCostError
            A turn costs nothing or less.
        UnreachableError
            A trip's destination cannot be reached, or not within the cap on settled states.
        InfeasibleRewardError
            A corridor has a spectral radius of 1 or more.

        Notes
        -----
        O(states near the trip) per trip, and with a reward float64[T] O(T) per call for the checks of the costs.
        """
        expected = np.zeros(self._turns.num_turns) if into is None else into
        parts = self._solve(reward, batch, expected)
        total = 0.0
        for begin, part in zip(range(0, len(batch.origin), BLOCK), parts, strict=True):  # in the order of the trips
            total += float(batch.weight[begin : begin + BLOCK] @ part.value)
        return total, expected

    def values(self, reward: Floats | TurnCosts, batch: TripBatch) -> Floats:
        """V at the origin of every pair of a batch, float64[P]; errors as for `total_value`."""
        parts = self._solve(reward, batch, None)
        return np.concatenate([part.value for part in parts]) if parts else np.zeros(0)

    def trip_counts(
        self, reward: Floats | TurnCosts, batch: TripBatch, progress: Callable[[int], None] | None = None
    ) -> Iterator[tuple[Ids, Ints, Floats]]:
        """Which pair (int64), which turn (int32) and how often one route of it is expected there, block by block.

        Not weighted. Errors as for `total_value`, and the same cost; ``progress`` is called with the number of pairs
        of every block, in their order.
        """
        cost = self._costs(reward)

        def task(begin: int) -> tuple[Ids, Ints, Floats]:
            block = self._fresh(cost, _pairs(batch, begin, min(begin + BLOCK, len(batch.origin)))).as_one()
            found = block.corridors
            pair = np.repeat(np.arange(len(found), dtype=np.int64), np.diff(found.first_turn[found.first_state]))
            return pair + begin, found.turn, block.counts

        for part in self._finder.by_block(task, len(batch.origin)):
            yield part
            if progress is not None:
                progress(len(np.unique(part[0])))

    def draw(
        self,
        reward: Floats | TurnCosts,
        batch: TripBatch,
        seed: int,
        most_turns: int,
        progress: Callable[[int], None] | None = None,
    ) -> list[Ints]:
        """A route of every pair by the policy in its corridor, as int32 edges; errors as for `total_value`.

        The same seed gives the same routes, whatever the number of threads. ``progress`` is called with the number of
        routes drawn since the last call, from any thread.

        Raises
        ------
        NotConvergedError
            A route did not end within ``most_turns``.
        """
        cost = self._costs(reward)
        streams = np.random.default_rng(seed).integers(0, 2**64, len(batch.origin), np.uint64)

        def task(begin: int) -> list[Ints]:
            trips = _pairs(batch, begin, min(begin + BLOCK, len(batch.origin)))
            found = self._found(cost, trips, self._tau)
            ending = trips.destinations.ending
            solved = self._solved(cost, found, found.cost_to_go, ending, with_counts=False)
            self._require_values(solved, cost, ending)
            edges, first = draw_block(
                cost.value,
                found.first_state,
                found.state,
                solved.values,
                found.first_turn,
                found.turn,
                found.head,
                found.origin,
                found.num_goals,
                ending == "arrival",
                streams[begin : begin + len(trips.origin)],
                most_turns,
            )
            if (np.diff(first) == 0).any():
                raise NotConvergedError(
                    residual=float((np.diff(first) == 0).sum()), tolerance=0.0, num_sweeps=most_turns
                )
            if progress is not None:
                progress(len(trips.origin))
            return np.split(edges, first[1:-1])

        return [route for part in self._finder.by_block(task, len(batch.origin)) for route in part]

    def corridors(self, reward: Floats | TurnCosts, batch: TripBatch) -> Corridors:
        """The corridors of a batch's pairs at width tau, to look at; errors as for `total_value`."""
        return self._found(self._costs(reward), batch, self._tau)

    def _costs(self, reward: Floats | TurnCosts) -> TurnCosts:
        return reward if isinstance(reward, TurnCosts) else TurnCosts(self._turns, -reward, self._edge_id)

    def _found(
        self, cost: TurnCosts, trips: TripBatch, tau: float | Floats, rows: Ids | slice = slice(None)
    ) -> Corridors:
        return self._finder.find(cost, trips.destinations, trips.column[rows], trips.origin[rows], tau=tau)

    def _solve(self, reward: Floats | TurnCosts, batch: TripBatch, expected: Floats | None) -> list[_Solved]:
        """Every block's answer, without its counts: they are added to ``expected``, where that is given."""
        cost = self._costs(reward)
        if self._batch is not batch:
            self._batch, self._kept = batch, {}
        # Over the whole map: what lies outside a corridor has become cheaper by this factor at most.
        known = {id(one.found_cost): one.found_cost for one in self._kept.values()}
        ratio = {key: float((cost.value / old).min(initial=np.inf)) for key, old in known.items()}

        def task(begin: int) -> _Solved:
            return self._solve_block(cost, batch, begin, ratio)

        parts = []
        for part in self._finder.by_block(task, len(batch.origin)):  # in the order of the trips
            if expected is not None:
                add_counts(expected, part.turn, part.count)
            parts.append(replace(part, turn=part.turn[:0].copy(), count=part.count[:0].copy()))
        self.report = self._report(parts)
        return parts

    def _solve_block(self, cost: TurnCosts, batch: TripBatch, begin: int, ratio: dict[int, float]) -> _Solved:
        trips = _pairs(batch, begin, min(begin + BLOCK, len(batch.origin)))
        kept, solved = self._kept.get(begin) if cost.is_known.all() else None, None
        if kept is not None and _is_usable(kept, cost.value, ratio[id(kept.found_cost)], self._refresh_every):
            block = self._solved(cost, kept.corridors, -kept.values, batch.destinations.ending)
            # Else it was wide enough for the earlier reward alone, or has no value under this one.
            if ((block.error <= self._accuracy / 3.0) & np.isfinite(block.value)).all():
                solved = WidenedBlock.of(block)
        was_kept = solved is not None
        if solved is None:
            solved = self._fresh(cost, trips)
        self._keep(begin, kept if was_kept else None, solved, cost)
        turn, count = solved.weighted_counts(trips.weight)
        return _Solved(
            value=solved.per_trip("value"),
            turn=turn,
            count=count,
            error=solved.per_trip("error"),
            num_states=int(solved.per_trip("num_states").sum()),
            num_by_lu=int(solved.per_trip("is_by_lu").sum()),
            num_kept=len(trips.origin) if was_kept else 0,
            width=solved.per_trip("width"),
        )

    def _fresh(self, cost: TurnCosts, trips: TripBatch) -> WidenedBlock:
        """A block's corridors at width tau, and wider ones for the trips with which the monitor is not content."""
        ending, goal, widest = trips.destinations.ending, self._accuracy / 10.0, _WIDEST * self._tau
        found = self._found(cost, trips, self._tau)
        block = self._solved(cost, found, found.cost_to_go, ending)
        self._require_values(block, cost, ending)
        result, width = WidenedBlock.of(block), np.full(len(trips.origin), self._tau)
        rows, error = np.arange(len(width)), block.error
        while True:
            is_open = (error > goal) & (width[rows] < widest)
            if not is_open.any():
                return result
            rows, error = rows[is_open], error[is_open]
            width[rows] = np.minimum(width[rows] + np.log(error / goal) / DECAY + 1.0, widest)
            try:
                found = self._found(cost, trips, width[rows], rows)
            except UnreachableError:  # more states than a search may settle
                return result
            block = self._solved(cost, found, found.cost_to_go, ending)
            # A wider corridor may reach where values diverge. The narrower one is a model that has them.
            has_value = ~np.isnan(block.value)
            result = result.replaced(rows[has_value], block, np.flatnonzero(has_value))
            rows, error = rows[has_value], block.error[has_value]

    def _solved(
        self, cost: TurnCosts, corridors: Corridors, potential: Floats, ending: Ending, *, with_counts: bool = True
    ) -> CorridorBlock:
        return solve_corridors(
            cost.value,
            corridors,
            potential,
            ending,
            tolerance=self._tolerance,
            max_sweeps=self._max_sweeps,
            with_counts=with_counts,
        )

    def _require_values(self, block: CorridorBlock, cost: TurnCosts, ending: Ending) -> None:
        """`InfeasibleRewardError` where a trip has no value."""
        if np.isnan(block.value).any():
            cost.require(np.arange(len(cost.is_known)))
            raise infeasible_reward(self._turns, -cost.value, edge_id=self._edge_id, ending=ending)

    def _keep(self, begin: int, kept: _Kept | None, solved: WidenedBlock, cost: TurnCosts) -> None:
        """Remember a block for the next reward, as far as the memory stated for that goes."""
        if kept is not None:
            self._kept[begin] = _Kept(kept.corridors, kept.found_cost, solved.as_one().values, kept.uses + 1)
            return
        self._kept.pop(begin, None)
        if not (self._keep_bytes and cost.is_known.all()):
            return  # the rule that a kept corridor goes by looks at every turn
        block = solved.as_one()
        # Blocks of one width: which of them are kept must not depend on which thread was first.
        share = self._keep_bytes * min(BLOCK / max(len(self._batch.origin) if self._batch else 1, 1), 1.0)
        if block.corridors.num_bytes + block.values.nbytes <= share:
            self._kept[begin] = _Kept(block.corridors, cost.value, block.values, 0)

    def _report(self, parts: list[_Solved]) -> CorridorReport:
        width = np.concatenate([np.zeros(0), *(part.width for part in parts)])
        return CorridorReport(
            num_trips=sum(len(part.value) for part in parts),
            num_states=sum(part.num_states for part in parts),
            num_kept=sum(part.num_kept for part in parts),
            num_widened=int((width > self._tau * (1.0 + 1e-6)).sum()),
            mean_width=float(width.mean()) if len(width) else float("nan"),
            num_by_lu=sum(part.num_by_lu for part in parts),
            kept_bytes=sum(one.corridors.num_bytes + one.values.nbytes for one in self._kept.values()),
            error_estimate=max((float(part.error.max()) for part in parts), default=float("nan")),
        )


def _pairs(batch: TripBatch, begin: int, end: int) -> TripBatch:
    """Pairs ``begin .. end`` of a batch, with the destinations that they go to."""
    low, high = int(batch.column[begin]), int(batch.column[end - 1]) + 1
    first = np.clip(batch.first[low : high + 1], begin, end) - begin
    return TripBatch(
        batch.destinations.block(low, high), first, batch.origin[begin:end], batch.weight[begin:end], batch.observed[:0]
    )


def _is_usable(kept: _Kept, cost: Floats, ratio: float, refresh_every: int) -> bool:
    """Whether what lies outside the kept corridors is still too dear to matter, under the costs of now.

    The rule ``min(c_new / c_old) (D_old + tau) - D_new >= 17`` for every trip: every route that leaves a corridor did
    cost more than ``D_old + tau``, and D_new, the best path inside, bounds the value from below.
    """
    if kept.uses >= refresh_every:
        return False
    found = kept.corridors
    margin = least_margin(
        cost,
        ratio,
        found.limit,
        found.first_state,
        found.first_turn,
        found.turn,
        found.head,
        found.origin,
        found.num_goals,
        _SAFE_MARGIN,
    )
    return margin >= _SAFE_MARGIN
