"""One sparse LU of ``I - M`` serves every destination: values, likelihood and exact gradient. Imports no JAX.

Notation: ``M[i, j] = exp(reward of the turn i -> j)`` and ``G = inv(I - M)``. For *arrival*,
``z_d(s) = G(s, d) / G(d, d)``; for *stop*, ``z_d = G 1[edges into d]``; values are ``log z``. Source of the linear
system: Fosgerau, Frejinger & Karlström (2013); of the shared factorisation and its gradient: docs/method.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import SuperLU

from ..core.errors import UnderflowError
from ..core.threads import worker_threads
from ..core.types import Floats, Ids, Ints
from ..graphs.turns import TurnGraph
from .destinations import Destinations, Ending
from .feasibility import factorise, factorise_system, infeasible_reward, turn_matrix
from .trips import TripBatch

_BLOCK = 16
"""Right-hand sides solved at a time: Borlänge's 466 take 0.05 s so, 3-9 s as one C-ordered block."""
_FEWEST_BLOCKS = 4
"""So many blocks at least, narrower ones then, for threads to share."""
_WORTH_FACTORISING = 80
"""Transposed right-hand sides from which their own LU pays: it costs 75 to 110 times what each then saves."""
_SMALLEST = 1e-280
"""Below this, exponentials have left the range in which their quotients are exact to float64."""
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Factorization:
    """The factorised system of one reward.

    Building it costs one sparse LU (0.016 s on Borlänge's 7,288 edges, 0.2 s on Porto's 128,000), each destination one
    or two triangular solves after it. Right-hand sides are spread over threads: the solves release the GIL.

    Parameters
    ----------
    reward
        float64[T], one per turn.
    edge_id
        int64[E], only to name edges in errors.
    factors
        What `factorise` made of this reward, where that is at hand.

    Raises
    ------
    InfeasibleRewardError
        The spectral radius of M is not below 1, so that the textbook solve would return garbage. For *arrival* this
        asks more than is needed (M without the destination's row is enough): the planner then tries sweeps.
    """

    def __init__(
        self,
        turns: TurnGraph,
        reward: Floats,
        *,
        edge_id: Ids | None = None,
        ending: Ending = "arrival",
        threads: int = 0,
        factors: SuperLU | None = None,
    ) -> None:
        self.turns = turns
        self.weight: Floats = np.exp(reward)
        """float64[T], the entries of M."""
        self._ending = ending
        self._threads = worker_threads(threads)
        found = factorise(turns, reward) if factors is None else factors
        if found is None:
            raise infeasible_reward(turns, reward, edge_id=edge_id, ending=ending)
        self._lu = found
        self._transposed_lu: SuperLU | None = None
        self._reward = reward
        _keep_freed_pages()

    @property
    def num_bytes(self) -> int:
        """Memory of the factors as they are now, 12 bytes per entry, and of the weights."""
        made = [one for one in (self._lu, self._transposed_lu) if one is not None]
        return int(self.weight.nbytes + sum(12 * one.nnz for one in made))

    def values(self, destinations: Destinations, *, origins: tuple[Ints, Ids] | None = None) -> Floats:
        """Soft reward-to-go of every edge, float64[E, D], ``-inf`` where the destination cannot be reached.

        Parameters
        ----------
        origins
            (edge int32[P], column int64[P]) that can reach their destination: only these need to be exact. An edge
            elsewhere may then be ``-inf`` because its exponential underflows.

        Raises
        ------
        UnderflowError
            An edge that can reach the destination has an exponential below float64's safe range, or underflows to 0.
        """
        blocks = self.map(lambda block: self.exponentials(block), _blocks(destinations))
        exponentials = np.concatenate(blocks, axis=1) if blocks else np.zeros((self.turns.num_edges, 0))
        with np.errstate(divide="ignore"):
            values: Floats = np.log(exponentials)
        edge, column = self._underflowed(exponentials) if origins is None else origins
        is_low = exponentials[edge, column] < _SMALLEST
        if is_low.any():
            worst = int(np.argmax(is_low))
            place = int(column[worst])
            raise UnderflowError(destination=int(destinations.key[place]), value=float(values[edge[worst], place]))
        return values

    def _underflowed(self, exponentials: Floats) -> tuple[Ints, Ids]:
        """(edge, column) of exponentials that are too small to trust, among them zeros that should not be.

        An edge whose exponential is 0 although a turn leads to one with more than 0 has underflowed; where any edge
        has, one next to the positive ones has, so looking one turn ahead finds every column.
        """
        ahead = (exponentials[self.turns.from_edge] == 0) & (exponentials[self.turns.to_edge] > 0)
        turn, lost = np.nonzero(ahead)
        edge, low = np.nonzero((exponentials > 0) & (exponentials < _SMALLEST))
        edges = np.concatenate([self.turns.from_edge[turn], edge]).astype(np.int32)
        return edges, np.concatenate([lost, low]).astype(np.int64)

    def total_value(self, batch: TripBatch) -> tuple[float, Floats]:
        """``sum_n w_n V(origin_n)`` and its gradient in the reward of every turn, the expected counts float64[T].

        Raises
        ------
        UnderflowError
            A trip's exponential is below float64's safe range (its route costs some 640 or more), or is zero because
            its origin cannot reach its destination.
        """
        spans = _spans(len(batch.destinations))
        self.prepare_transposed(len(batch.destinations))
        parts = self.map(lambda span: self._block_total(batch, *span), spans)
        expected = np.zeros(self.turns.num_turns)
        for _, counts in parts:  # in block order, so that sums do not depend on which thread was first
            expected += counts
        return float(sum(value for value, _ in parts)), expected

    def exponentials(self, block: Destinations) -> Floats:
        """``z`` of some destinations, float64[E, D], C-ordered; 1 on the goal edge under *arrival*."""
        ends = np.zeros((self.turns.num_edges, len(block)))
        ends[block.edge, np.repeat(np.arange(len(block)), np.diff(block.first))] = 1.0
        # Without a clip, rounding may leave a state that cannot reach the destination at -1e-20 instead of 0.
        solved = np.maximum(self.solve(ends), 0.0)
        if self._ending == "arrival":
            solved /= solved[block.key, np.arange(len(block))]
        return solved

    def solve(self, right: Floats, *, transposed: bool = False) -> Floats:
        """``G right`` or ``G' right``, float64[E, D], C-ordered: one triangular solve per column."""
        # SuperLU wants columns, and every product with M wants rows: both orders are worth a copy.
        columns = np.asfortranarray(right)
        if not transposed:
            return np.ascontiguousarray(self._lu.solve(columns))
        # Its own transposed solve takes twice as long as a plain one: see `prepare_transposed`.
        if self._transposed_lu is None:
            return np.ascontiguousarray(self._lu.solve(columns, trans="T"))
        return np.ascontiguousarray(self._transposed_lu.solve(columns))

    def spectral_radius(
        self, *, start: Floats | None = None, tolerance: float = 1e-5, max_solves: int = 100
    ) -> tuple[float, Floats]:
        """Of M, and its right eigenvector float64[E]: power iteration on G, with largest eigenvalue 1 / (1 - radius).

        One solve per step, and the nearer to 1 the fewer steps. ``start`` is an eigenvector of a like reward. An
        acyclic graph has radius 0, to which the iteration comes like 1 / steps.
        """
        vector = np.ones(self.turns.num_edges) if start is None else start
        estimate = 1.0
        for _ in range(max_solves):
            moved = self.solve(vector[:, None])[:, 0]
            size = float(moved.max(initial=1.0))
            vector = moved / size
            # What is watched is the distance to 1, 1 / size: it has to settle, not its complement.
            if abs(size - estimate) <= tolerance * size:
                return 1.0 - 1.0 / size, vector
            estimate = size
        return 1.0 - 1.0 / estimate, vector

    def prepare_transposed(self, num_columns: int) -> None:
        """Factorise the transposed system where so many right-hand sides are worth it, before threads solve with it."""
        if self._transposed_lu is not None or num_columns < _WORTH_FACTORISING:
            return
        system = sparse.identity(self.turns.num_edges, format="csc") - turn_matrix(self.turns, self._reward).T
        self._transposed_lu = factorise_system(sparse.csc_matrix(system))
        if self._transposed_lu is None:  # the radius is the same, so that only rounding at 1 leads here
            raise infeasible_reward(self.turns, self._reward, edge_id=None, ending=self._ending)

    def at_origins(self, exponentials: Floats, trips: TripBatch) -> Floats:
        """``z`` at the origin of every pair, float64[P]; `UnderflowError` where one is below float64's safe range."""
        at_origin = exponentials[trips.origin, trips.column]
        if at_origin.min(initial=1.0) < _SMALLEST:
            worst = int(np.argmin(at_origin))
            with np.errstate(divide="ignore"):
                value = float(np.log(at_origin[worst]))
            raise UnderflowError(destination=int(trips.destinations.key[trips.column[worst]]), value=value)
        return np.asarray(at_origin)

    def starts(self, trips: TripBatch, at_origin: Floats) -> Floats:
        """The adjoint's right-hand side, float64[E, D]: the derivative of ``sum w V`` in ``z``."""
        count = len(trips.destinations)
        starts = np.zeros((self.turns.num_edges, count))
        np.add.at(starts, (trips.origin, trips.column), trips.weight / at_origin)
        if self._ending == "arrival":  # routes are cut at their first visit: take away what would go on from there
            starts[trips.destinations.key, np.arange(count)] -= np.bincount(trips.column, trips.weight, minlength=count)
        return starts

    def flow(self, visits: Floats, exponentials: Floats) -> Floats:
        """Expected count of every turn, float64[T], summed over the columns."""
        both = np.einsum("td,td->t", visits[self.turns.from_edge], exponentials[self.turns.to_edge])
        return np.asarray(both * self.weight)

    def _block_total(self, batch: TripBatch, begin: int, end: int) -> tuple[float, Floats]:
        trips = batch.block(begin, end)
        exponentials = self.exponentials(trips.destinations)
        at_origin = self.at_origins(exponentials, trips)
        visits = self.solve(self.starts(trips, at_origin), transposed=True)
        return float(trips.weight @ np.log(at_origin)), self.flow(visits, exponentials)

    def map(self, task: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """A task over items, spread over threads; results in the order of the items."""
        if self._threads == 1:
            return [task(item) for item in items]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(task, items))


def _keep_freed_pages() -> None:
    """Let the C library keep the pages of the blocks' arrays, which are made and freed hundreds of times.

    glibc serves arrays of this size by mmap, and the kernel then zeroes every page again: a third of the time of a
    likelihood. Freeing one large block raises glibc's threshold (to at most 32 MB) once; elsewhere this does nothing.
    """
    ballast = np.empty(31 << 20, np.uint8)
    del ballast


def _blocks(destinations: Destinations) -> list[Destinations]:
    return [destinations.block(begin, end) for begin, end in _spans(len(destinations))]


def _spans(count: int) -> list[tuple[int, int]]:
    """Blocks of destinations: their width follows from their number alone, so that sums do not depend on threads."""
    width = min(_BLOCK, max(1, -(-count // _FEWEST_BLOCKS)))
    return [(begin, min(begin + width, count)) for begin in range(0, count, width)]
