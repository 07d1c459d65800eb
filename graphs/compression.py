"""An equivalent smaller graph of turns for the solvers of horizon infinity: docs/compression.md.

A state that is not a goal can be eliminated exactly: each pair (turn p -> a, turn a -> b) becomes one turn p -> b,
whose reward is the sum of both. So a compressed turn is a sequence of original ones, its reward and its features are
sums over that sequence, and the values of the states that stay are what they were, for every reward. Two turns between
the same states stay two: then sums of exponentials (soft values) and smallest costs (best routes) are both right.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy import sparse

from ..core.types import Bools, Floats, Ids, Ints
from .elimination import GONE, KEPT, PROTECTED, Elimination
from .road_graph import ragged_rows
from .shortest_paths import reachable_from, reaching
from .turns import TurnGraph


@dataclass(frozen=True)
class CompressionSteps:
    """What `compress` does; each step is exact by itself."""

    component: bool = True
    """Drop the states that lie on no way from an origin to a goal. Exact at every horizon; the others at infinity."""
    merge: bool = True
    """Eliminate states with one way in or one way out: turns never grow."""
    dead_ends: bool = True
    """Eliminate what leads into dead ends and back, U-turn included, where turns grow by at most ``max_fill``."""
    crossings: bool = True
    """Eliminate any other state where turns grow by at most ``max_fill``."""
    max_fill: int = 3
    """A state with m ways in and n ways out grows turns by m n - m - n: 0 for two and two, 3 for three and three."""
    max_degree: int = 12
    """No state is given more ways out or in: sweeps take time for the largest number of ways at every state."""


@dataclass(frozen=True)
class StepReport:
    """What one step left."""

    step: str
    num_states: int
    num_turns: int
    largest_out: int
    """Most turns out of a state."""


@dataclass(frozen=True, eq=False)
class Compression:
    """A compressed graph, and the way between it and the original one.

    Rewards go in by ``to_turns``, counts come back by ``from_turns``; both are products with the sparse matrix P of
    zeros and ones that says which original turns (columns) make up which compressed turn (rows).
    """

    original: TurnGraph
    turns: TurnGraph
    """K turns between S states. A pair of states may have several turns; neither angles nor kinds of turns."""
    state: Ints
    """int32[S], the original edge of each state, ascending."""
    first_part: Ids
    """int64[K+1]: compressed turn k is the original turns ``part[first_part[k] : first_part[k+1]]``, in that order."""
    part: Ints
    """int32, positions of original turns."""
    is_dropped: Bools
    """bool[E]: off every way from an origin to a goal, and left out by the step ``component``; goals among them keep a
    state, without meaning. Other edges without a state were eliminated."""
    reports: tuple[StepReport, ...]
    """The original graph, then what each step left."""
    seconds: float
    """What it took."""

    @cached_property
    def state_of(self) -> Ints:
        """int32[E], the state of each original edge, -1 where it has none."""
        result = np.full(self.original.num_edges, -1, np.int32)
        result[self.state] = np.arange(len(self.state), dtype=np.int32)
        return result

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """P, float64[K, T]."""
        shape = self.turns.num_turns, self.original.num_turns
        return sparse.csr_matrix((np.ones(len(self.part)), self.part, self.first_part), shape=shape)

    def to_turns(self, values: Floats) -> Floats:
        """Rewards float64[T] or features float64[T, F] of the compressed turns: sums along each. O(parts F)."""
        return np.asarray(self.matrix @ values)

    def from_turns(self, counts: Floats) -> Floats:
        """Counts float64[K] of compressed turns, or a gradient in their rewards, as those of the original ones."""
        return np.asarray(self.matrix.T @ counts)

    def expand_route(self, turns: Ints) -> Ints:
        """The original turns along some compressed ones, int32. Linear in the result."""
        return self.part[ragged_rows(self.first_part, turns)[0]]

    def compress_route(self, turns: Ints) -> Ints:
        """The compressed turns along a route of original ones; `expand_route` of them is the route again.

        Parameters
        ----------
        turns
            int32[n], each beginning where the one before ends.

        Raises
        ------
        ValueError
            The route does not begin and end at states that stayed, or passes one that was dropped.
        """
        is_end = self.state_of[self.original.to_edge[turns]] >= 0
        begins = np.concatenate([[0], np.flatnonzero(is_end) + 1])
        if len(turns) and (self.state_of[self.original.from_edge[turns[0]]] < 0 or begins[-1] != len(turns)):
            raise ValueError("a route has to begin and end at states that stayed: give them as origins and goals")
        pieces = [turns[a:b].astype(np.int32).tobytes() for a, b in pairwise(begins)]
        if any(piece not in self._turn_of for piece in pieces):
            raise ValueError("the route passes a state from which no goal can be reached, or that no origin leads to")
        return np.array([self._turn_of[piece] for piece in pieces], np.int32)

    @cached_property
    def _turn_of(self) -> dict[bytes, int]:
        first = self.first_part
        return {self.part[first[k] : first[k + 1]].tobytes(): k for k in range(self.turns.num_turns)}

    def expand_values(self, reward: Floats, values: Floats) -> Floats:
        """Soft values of every original edge from those of the states.

        ``V(a) = logsumexp over the turns out of a of (reward + V(next edge))``, from the states outwards: the
        eliminated edges form no cycle.

        Parameters
        ----------
        reward
            float64[T], of the original turns.
        values
            float64[S, D].

        Returns
        -------
        Floats
            float64[E, D]; NaN where ``component`` dropped the edge, for a value there was not asked for.
        """
        result = np.full((self.original.num_edges, values.shape[1]), -np.inf)
        result[self.state] = values
        for edges in self._rounds:
            turn, first = ragged_rows(self.original.first_out.astype(np.int64), edges)
            choices = reward[turn][:, None] + result[self.original.to_edge[turn]]
            best = np.maximum.reduceat(choices, first[:-1])
            shift = np.where(np.isfinite(best), best, 0.0)
            total = np.add.reduceat(np.exp(choices - np.repeat(shift, np.diff(first), axis=0)), first[:-1])
            with np.errstate(divide="ignore"):
                result[edges] = shift + np.log(total)
        result[self.is_dropped] = np.nan
        return result

    @cached_property
    def _rounds(self) -> list[Ints]:
        """The eliminated edges that have turns, each after all that its turns lead to."""
        waiting = (self.state_of < 0) & ~self.is_dropped & (np.diff(self.original.first_out) > 0)
        begin, end = self.original.from_edge, self.original.to_edge
        inside = np.flatnonzero(waiting[begin] & waiting[end])
        rounds = []
        while waiting.any():
            is_next = waiting.copy()
            is_next[begin[inside]] = False
            rounds.append(np.flatnonzero(is_next).astype(np.int32))
            waiting &= ~is_next
            inside = inside[waiting[end[inside]]]
        return rounds

    def describe(self) -> str:
        """One line: what each step left, and the time."""
        parts = [f"{r.step} {r.num_states:,} states, {r.num_turns:,} turns" for r in self.reports]
        return f"{'; '.join(parts)}; largest out-degree {self.reports[-1].largest_out}; {self.seconds:.2f} s"


def compress(
    turns: TurnGraph, goals: Ints, origins: Ints | None = None, steps: CompressionSteps | None = None
) -> Compression:
    """The graph of turns without what can be eliminated exactly.

    Parameters
    ----------
    goals
        int32, all edges on which some trip may end. They stay.
    origins
        int32, the edges where trips begin. They stay too: an eliminated one would want a state of its own without ways
        in, which is no smaller. None: the trips are not known; any edge of the largest strongly connected component may
        be an origin, its value is had from `Compression.expand_values`, and none stays on that account.
    steps
        All of `CompressionSteps` where left out.

    Returns
    -------
    Compression
        An origin that cannot reach any goal stays as a state, as does a goal that cannot be reached: a solver says of
        them what it says on the original graph.

    Notes
    -----
    O(T) but for the search and sort: 0.2 s on Porto's 124 thousand edges once compiled.
    """
    started = time.perf_counter()
    steps = steps or CompressionSteps()
    is_dropped = _off_every_way(turns, goals, origins) if steps.component else np.zeros(turns.num_edges, bool)
    flag = np.where(is_dropped, GONE, KEPT).astype(np.int32)
    flag[goals] = PROTECTED
    if origins is not None:
        flag[origins] = PROTECTED
    work = Elimination(turns, flag, _tips(turns))
    reports = [_report("as it was", np.arange(turns.num_edges), turns.from_edge)]
    found = work.table()
    if steps.component:
        reports.append(_report("component", np.flatnonzero(work.is_kept), found.from_state))
    for step in ("merge", "dead_ends", "crossings"):
        if getattr(steps, step):
            work.run(
                merge_degree=1 if steps.merge else -1,
                max_fill=-1 if step == "merge" else steps.max_fill,
                max_degree=steps.max_degree,
                at_tips=step != "crossings",
            )
            found = work.table()
            reports.append(_report(step, np.flatnonzero(work.is_kept), found.from_state))
    state = np.flatnonzero(work.is_kept).astype(np.int32)
    first_out = np.searchsorted(found.from_state, np.append(state, turns.num_edges)).astype(np.int32)
    none = np.zeros(len(found.to_state), bool)
    to_edge = np.searchsorted(state, found.to_state).astype(np.int32)
    small = TurnGraph(first_out, to_edge, None, none, none, none)
    seconds = time.perf_counter() - started
    return Compression(turns, small, state, found.first_part, found.part, is_dropped, tuple(reports), seconds)


def _off_every_way(turns: TurnGraph, goals: Ints, origins: Ints | None) -> Bools:
    """bool[E]: the edges on no way from an origin to a goal, origins left out."""
    starts = np.flatnonzero(turns.is_main).astype(np.int32) if origins is None else origins
    is_off = ~(reachable_from(turns, starts) & reaching(turns, goals))
    if origins is not None:
        is_off[origins] = False
    return is_off


def _tips(turns: TurnGraph) -> Bools:
    """bool[E]: the edges whose only way out is a U-turn, and those that can be entered by one alone."""
    is_tip = np.zeros(turns.num_edges, bool)
    uturns = np.flatnonzero(turns.is_uturn)
    ways_in = np.bincount(turns.to_edge, minlength=turns.num_edges)
    ways_out = np.diff(turns.first_out)
    begin, end = turns.from_edge[uturns], turns.to_edge[uturns]
    is_tip[begin[ways_out[begin] == 1]] = True
    is_tip[end[ways_in[end] == 1]] = True
    return is_tip


def _report(step: str, states: Ids, begin: Ints) -> StepReport:
    largest = int(np.bincount(begin).max(initial=0)) if len(begin) else 0
    return StepReport(step, len(states), len(begin), largest)
