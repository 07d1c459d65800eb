"""Costs as positive integers: what a hierarchy calculates with, and the proof that its sums cannot overflow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csgraph

from ..core.errors import CostOverflowError, CostRangeError
from ..core.types import Floats, Ids, Ints
from .shortest_paths import check_costs, turn_matrix
from .turns import TurnGraph

LARGEST_SUM = 2**31 - 2
"""Largest path sum a hierarchy can tell from "unreachable"."""

CLOSED = LARGEST_SUM + 1
"""The cost of a turn that may not be taken: no sum with it can be told from "unreachable"."""

_DEFAULT_SUM = 2**30
"""The longest shortest path, in default quanta: half the range stays free for rounding and initial costs."""


_COARSEST = 0.01
"""Largest quantum, as a share of the median cost, that is chosen without being asked for."""

Start = tuple[int, int]
"""(edge position, initial cost in quanta): where a query may begin or end."""


@dataclass(frozen=True, eq=False)
class EdgeCosts:
    """Integer costs: turn t costs ``value[t] * quantum``, rounded, and never below one quantum.

    A turn dearer than any cheapest path, so that none uses it, may stand at the largest value instead.
    """

    value: Ints
    """int32[T], >= 1."""
    quantum: float
    """What one unit stands for, in the unit of the costs given."""
    longest_path: int
    """Proven upper bound on the integer cost of any cheapest path, without initial costs."""

    @property
    def largest_initial(self) -> int:
        """The largest sum of a source's and a target's initial cost that cannot overflow any path."""
        return LARGEST_SUM - self.longest_path

    def to_quanta(self, cost: float) -> int:
        """A cost >= 0 in whole quanta, rounded."""
        return round(cost / self.quantum)

    def as_floats(self) -> Floats:
        """float64[T] of whole numbers, ``inf`` for closed turns."""
        return np.where(self.value == CLOSED, np.inf, self.value.astype(np.float64))

    def without(self, turns: Ints) -> EdgeCosts:
        """The same costs with some turns closed.

        `longest_path` is then no bound any more: the ways round may be longer. A cost that is found is still right, but
        "unreachable" may also be a sum that does not fit, or a way over a turn so dear that it stood at the largest
        value and not at its own; who asks has to look.
        """
        value = np.where(self.value >= LARGEST_SUM, CLOSED, self.value).astype(np.int32)
        value[turns] = CLOSED
        return EdgeCosts(value, self.quantum, self.longest_path)


def quantise(
    turns: TurnGraph,
    turn_cost: Floats,
    quantum: float | None = None,
    *,
    initial_cost: float = 0.0,
    edge_id: Ids | None = None,
) -> EdgeCosts:
    """Turn positive costs into positive integers whose path sums provably fit.

    Parameters
    ----------
    turn_cost
        float64[T], > 0, finite.
    quantum
        Cost of one unit; chosen as fine as the range allows where left out.
    initial_cost
        Upper bound on the sum of the initial costs that queries will start and end with.
    edge_id
        int64[E], source ids to name a bad turn by.

    Raises
    ------
    NonPositiveCostError
        A cost is NaN, infinite, zero or negative.
    CostOverflowError
        A cheapest path could pass the range with this quantum; names the smallest one that fits.
    CostRangeError
        Without a ``quantum``: costs of so different sizes that most would be rounded away; names the dearest turn.
    ValueError
        ``quantum`` is not a positive number.

    Notes
    -----
    Two Dijkstra searches, O(T + E log E). A turn costs ``max(1, round(cost / quantum))``, at most one unit above its
    exact share; a cheapest path has at most ``2 E + 2`` turns in the bound below, so that
    many units are set aside, and two for the initial costs.
    """
    cost = check_costs(turns, turn_cost, edge_id)
    longest = longest_path_bound(turns, cost) + initial_cost
    rounding = 2 * turns.num_edges + 4
    smallest = longest / (LARGEST_SUM - rounding)
    if quantum is None:
        # Where no path adds anything up (only self-loops, or no turn at all) any quantum will do.
        quantum = max(longest / _DEFAULT_SUM, smallest) or float(cost.max(initial=1.0)) / _DEFAULT_SUM
        _require_resolution(turns, cost, quantum, edge_id)
    if not (quantum > 0 and np.isfinite(quantum)):
        raise ValueError(f"the quantum must be a positive number, not {quantum!r}")
    # The fit is judged in floats, so a hair of relative error may not decide it.
    if longest > quantum * (LARGEST_SUM - rounding) * (1 + 1e-12):
        raise CostOverflowError(quantum=quantum, smallest_quantum=smallest * (1 + 1e-9), longest_path=longest)
    # A turn dearer than any cheapest path is never used; it may stay at the largest value.
    value = np.clip(np.rint(cost / quantum), 1, LARGEST_SUM).astype(np.int32)
    total = int((longest - initial_cost) / quantum) + 1 + rounding
    return EdgeCosts(value, float(quantum), min(total, LARGEST_SUM))


def _require_resolution(turns: TurnGraph, cost: Floats, quantum: float, edge_id: Ids | None) -> None:
    """Refuse costs that differ so much that, with the dearest in range, the common ones would be rounded away."""
    typical = float(np.median(cost)) if len(cost) else 1.0
    if quantum <= _COARSEST * typical:
        return
    dearest = int(np.argmax(cost))
    ends = int(turns.from_edge[dearest]), int(turns.to_edge[dearest])
    names = ends if edge_id is None else (int(edge_id[ends[0]]), int(edge_id[ends[1]]))
    raise CostRangeError(cost=float(cost[dearest]), typical=typical, from_edge=names[0], to_edge=names[1])


def longest_path_bound(turns: TurnGraph, turn_cost: Floats) -> float:
    """Upper bound on the cost of every cheapest path of the turn graph.

    Inside the largest strongly connected component every pair can go by way of one state s, so no cheapest path there
    costs more than ``max_u d(u, s) + max_v d(s, v)``. A path that leaves the component never comes back, and enters
    every state outside at most once, each for at most its dearest incoming turn; the turn into the component adds at
    most the dearest such turn.

    Parameters
    ----------
    turn_cost
        float64[T], > 0.
    """
    if turns.num_turns == 0:
        return 0.0
    is_main = turns.is_main
    dearest_in = np.zeros(turns.num_edges)
    np.maximum.at(dearest_in, turns.to_edge, turn_cost)
    outside = float(dearest_in[~is_main].sum())
    enters = is_main[turns.to_edge] & ~is_main[turns.from_edge]
    entering = float(turn_cost[enters].max()) if enters.any() else 0.0
    matrix = turn_matrix(turns, turn_cost)
    state = _middle_state(turns)
    leaving = csgraph.dijkstra(matrix, indices=state)[is_main].max()
    arriving = csgraph.dijkstra(matrix.T.tocsr(), indices=state)[is_main].max()
    return float(leaving + arriving) + outside + entering


def _middle_state(turns: TurnGraph) -> int:
    """A state of the largest component, the median position: positions follow the map's order more often than not."""
    states = np.flatnonzero(turns.is_main)
    return int(states[len(states) // 2])
