"""One LU per region and the Schur complement of the border states: the whole map's values and gradient, by region.

Every edge that some turn enters from another region is a border state. Without these, a region's states lead to its own
alone, so each region eliminates its inner states by itself; what is left is a small dense system between borders:

    z_B = K z_B + c        K = R_B + R_I (I - M_II)^-1 C,   c = b_B + R_I (I - M_II)^-1 b_I

with M in rows of inner states (M_II, C) and of border states (R_I, R_B). The adjoint, ``y = M' y + g``, is the same
system transposed. Three rounds of messages, whatever the number of regions: `RegionSystem.reduce`, then `values`, then
`flow`; between them whoever drives solves `BorderSystem`. Exact to rounding, where `irl.factorization` is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import SuperLU

from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.turns import TurnGraph
from .feasibility import factorise_system

_BLOCK = 16
"""Right-hand sides at a time."""
_SMALLEST = 1e-280
"""Below this, exponentials have left the range in which their quotients are exact to float64."""


@dataclass(frozen=True, eq=False)
class RegionTrips:
    """What a region needs to know of the trips: those that begin in it, and where any trip ends in it.

    Columns number the destinations of all trips, in every region alike.
    """

    num_columns: int
    origin: Ints
    """int32[P], edges of this region in which trips begin."""
    column: Ids
    """int64[P], the destination of each."""
    weight: Floats
    """float64[P]."""
    goal: Ints
    """int32[G], edges of this region in which trips end."""
    goal_column: Ids
    """int64[G]."""
    goal_weight: Floats
    """float64[G]: under *arrival* the weight of all trips, from whatever region, that end there; 0 under *stop*."""


@dataclass(frozen=True, eq=False)
class RegionValues:
    """What a region says in the second round."""

    total: float
    """Its part of ``sum_n w_n V(origin_n)``; NaN where an exponential underflows."""
    adjoint: Floats
    """float64[B, D], what its inner states owe to its borders in the adjoint system."""


class RegionSystem:
    """A region's own states, and the exits onto which its turns lead, under one reward.

    Parameters
    ----------
    turns
        Of the region's own edges and its exits; nothing leads on from an exit.
    is_exit, is_entry
        bool[E]: edges of other regions; own edges that turns of other regions enter.
    reward
        float64[T].
    """

    def __init__(self, turns: TurnGraph, is_exit: Bools, is_entry: Bools, reward: Floats) -> None:
        self._turns, self._weight = turns, np.exp(reward)
        self._inner = np.flatnonzero(~is_exit & ~is_entry)
        self._entries, exits = np.flatnonzero(is_entry & ~is_exit), np.flatnonzero(is_exit)
        self.border: Ints = np.concatenate([self._entries, exits]).astype(np.int32)
        """int32[B]: entries, then exits."""
        self.num_entries = len(self._entries)
        """S."""
        matrix = sparse.csr_matrix((self._weight, turns.to_edge, turns.first_out), shape=(turns.num_edges,) * 2)
        inner_rows, entry_rows = matrix[self._inner], matrix[self._entries]
        self._across = inner_rows[:, self.border]
        self._into, self._between = entry_rows[:, self._inner], entry_rows[:, self.border]
        identity = sparse.identity(len(self._inner), format="csc")
        self._system = sparse.csc_matrix(identity - inner_rows[:, self._inner].tocsc())
        self._lu = factorise_system(self._system) if len(self._inner) else None
        self.has_values = self._lu is not None or not len(self._inner)
        """Whether the inner states' own matrix has a spectral radius below 1; without, no other method answers."""

    def reduce(self, trips: RegionTrips) -> tuple[Floats, Floats]:
        """(K float64[S, B], c float64[S, D]): the rows of the border system that belong to its S entries."""
        matrix = self._between.toarray()
        for at in _blocks(len(self.border)):
            matrix[:, at] += self._into @ self._solve(self._across[:, at].toarray())
        source = np.zeros((len(self._entries), trips.num_columns))
        own = np.unique(trips.goal_column)
        for at in _blocks(len(own)):
            goals = self._goals(trips, own[at])
            source[:, own[at]] = goals[self._entries] + self._into @ self._solve(goals[self._inner])
        return matrix, source

    def values(self, trips: RegionTrips, border: Floats) -> RegionValues:
        """The second round, from exponentials at the borders, float64[B, D]."""
        total, adjoint = 0.0, np.zeros((len(self.border), trips.num_columns))
        for at in _blocks(trips.num_columns):
            columns = np.arange(at.start, at.stop)
            exponentials = self._exponentials(trips, columns, border[:, at])
            part = _TripsOf(trips, columns)
            starts, ends = exponentials[part.origin, part.column], exponentials[part.goal, part.goal_column]
            ends = np.where(part.goal_weight > 0, ends, 1.0)
            if min(starts.min(initial=1.0), ends.min(initial=1.0)) < _SMALLEST:
                return RegionValues(np.nan, adjoint)
            total += float(part.weight @ np.log(starts) - part.goal_weight @ np.log(ends))
            slope = self._slope(part, exponentials)
            adjoint[:, at] = self._across.T @ self._solve(slope[self._inner], transposed=True)
            adjoint[: len(self._entries), at] += slope[self._entries]
        return RegionValues(total, adjoint)

    def flow(self, trips: RegionTrips, border: Floats, visits: Floats) -> Floats:
        """The third round: expected count of every turn, float64[T], from adjoint values at its entries [S, D]."""
        counts = np.zeros(self._turns.num_turns)
        for at in _blocks(trips.num_columns):
            columns = np.arange(at.start, at.stop)
            exponentials = self._exponentials(trips, columns, border[:, at])
            slope = self._slope(_TripsOf(trips, columns), exponentials)
            every = np.zeros_like(exponentials)
            every[self._entries] = visits[:, at]
            every[self._inner] = self._solve(slope[self._inner] + self._into.T @ visits[:, at], transposed=True)
            both = np.einsum("td,td->t", every[self._turns.from_edge], exponentials[self._turns.to_edge])
            counts += both * self._weight
        return counts

    def _exponentials(self, trips: RegionTrips, columns: Ids, border: Floats) -> Floats:
        """``z`` of some destinations at every edge, float64[E, d]; not yet divided by that at the destination."""
        result = np.zeros((self._turns.num_edges, len(columns)))
        result[self.border] = border
        goals = self._goals(trips, columns)
        result[self._inner] = np.maximum(self._solve(goals[self._inner] + self._across @ border), 0.0)
        return result

    def _goals(self, trips: RegionTrips, columns: Ids) -> Floats:
        part = _TripsOf(trips, columns)
        result = np.zeros((self._turns.num_edges, len(columns)))
        result[part.goal, part.goal_column] = 1.0
        return result

    def _slope(self, part: _TripsOf, exponentials: Floats) -> Floats:
        """The derivative of ``sum w (log z(origin) - log z(destination))`` in z, float64[E, d]."""
        result = np.zeros_like(exponentials)
        np.add.at(result, (part.origin, part.column), part.weight / exponentials[part.origin, part.column])
        ends = np.where(part.goal_weight > 0, exponentials[part.goal, part.goal_column], 1.0)
        np.add.at(result, (part.goal, part.goal_column), -part.goal_weight / ends)
        return result

    def _solve(self, right: Floats, *, transposed: bool = False) -> Floats:
        """``(I - M_II)^-1 right`` or with the transpose."""
        if self._lu is None:
            return right
        lu = self._transposed if transposed else self._lu
        return np.ascontiguousarray(lu.solve(np.asfortranarray(right)))

    @cached_property
    def _transposed(self) -> SuperLU:
        # SuperLU's own transposed solve takes twice as long as a plain one.
        found = factorise_system(sparse.csc_matrix(self._system.T))
        assert found is not None  # the radius is the same
        return found


class BorderSystem:
    """The dense system between the border states of all regions, from what each of them said in the first round.

    Parameters
    ----------
    entries, borders
        By region, int32[S] and int32[B]: its entries, and its borders, as numbers 0 .. n-1 of border states.
    matrices
        By region, K float64[S, B].
    """

    def __init__(self, num_states: int, entries: list[Ints], borders: list[Ints], matrices: list[Floats]) -> None:
        self._entries, self._borders, self._num_states = entries, borders, num_states
        system = np.eye(num_states)
        for rows, columns, matrix in zip(entries, borders, matrices, strict=True):
            system[np.ix_(rows, columns)] -= matrix
        self._lu = linalg.lu_factor(system, check_finite=False) if num_states else None
        # I - K is an M-matrix exactly where its inverse is non-negative; its row sums then are at least 1.
        sums = self._solve(np.ones((num_states, 1)), transposed=False)
        self.has_values = bool(np.isfinite(sums).all() and (sums > 0.5).all())
        """Whether the whole map's spectral radius is below 1, given that every region's is."""

    def exponentials(self, sources: list[Floats]) -> list[Floats]:
        """``z`` at every region's borders, float64[B, D] each, from the regions' c."""
        every = np.zeros((self._num_states, sources[0].shape[1]))
        for rows, source in zip(self._entries, sources, strict=True):
            every[rows] = source
        solved = np.maximum(self._solve(every, transposed=False), 0.0)
        return [solved[columns] for columns in self._borders]

    def visits(self, adjoints: list[Floats]) -> list[Floats]:
        """Adjoint values at every region's entries, float64[S, D] each; summed in the order of the regions."""
        every = np.zeros((self._num_states, adjoints[0].shape[1]))
        for columns, adjoint in zip(self._borders, adjoints, strict=True):
            every[columns] += adjoint
        solved = self._solve(every, transposed=True)
        return [solved[rows] for rows in self._entries]

    def _solve(self, right: Floats, *, transposed: bool) -> Floats:
        if self._lu is None:
            return right
        return np.asarray(linalg.lu_solve(self._lu, right, trans=int(transposed), check_finite=False))


class _TripsOf:
    """The trips to some destinations, these numbered from 0."""

    def __init__(self, trips: RegionTrips, columns: Ids) -> None:
        place = np.full(trips.num_columns, -1, np.int64)
        place[columns] = np.arange(len(columns))
        mine, ends = place[trips.column] >= 0, place[trips.goal_column] >= 0
        self.origin, self.column, self.weight = trips.origin[mine], place[trips.column[mine]], trips.weight[mine]
        self.goal, self.goal_column = trips.goal[ends], place[trips.goal_column[ends]]
        self.goal_weight = trips.goal_weight[ends]


def _blocks(count: int) -> list[slice]:
    return [slice(begin, min(begin + _BLOCK, count)) for begin in range(0, count, _BLOCK)]
