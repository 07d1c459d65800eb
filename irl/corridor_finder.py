"""Finding corridors for many trips: workspaces shared by threads, blocks of a fixed size, and what an end means."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import numpy as np

from ..core.errors import UnreachableError
from ..core.threads import worker_threads
from ..core.types import Floats, Ids, Ints
from ..graphs.corridor_search import Corridors, Workspace, find_corridors, joined, make_search_graph
from ..graphs.search_kernels import FOUND, TOO_LARGE
from ..graphs.turns import TurnGraph
from .destinations import Destinations
from .turn_costs import TurnCosts

BLOCK = 32
"""Trips that one call of the kernels takes: fixed, so that sums do not depend on the number of threads."""
_AHEAD = 4
_Answer = TypeVar("_Answer")


class CorridorFinder:
    """Corridors of trips under any costs on one turn graph, by several threads.

    Parameters
    ----------
    max_settled
        States that one search may settle at either end; an unreachable destination would have it walk the whole map.
    threads
        0 = one per CPU, at most 8.
    edge_id
        int64[E], only to name edges in errors.
    """

    def __init__(
        self, turns: TurnGraph, *, max_settled: int = 2_000_000, threads: int = 0, edge_id: Ids | None = None
    ) -> None:
        self._turns, self._max_settled, self._edge_id = turns, max_settled, edge_id
        self._threads = worker_threads(threads)
        self._graph = make_search_graph(turns)
        self._workspaces: queue.SimpleQueue[Workspace] = queue.SimpleQueue()

    def find(
        self,
        costs: TurnCosts,
        destinations: Destinations,
        column: Ids,
        origin: Ints,
        *,
        tau: float | Floats,
        least: Floats | None = None,
    ) -> Corridors:
        """The corridors of trips from edges ``origin[n]`` to destinations ``column[n]``: see `find_corridors`.

        Costs that are not known are asked for as the searches come to them.

        Raises
        ------
        NonPositiveCostError
            A turn that a search came by costs nothing or less.
        UnreachableError
            A trip's destination cannot be reached, or not within the cap on settled states.
        """
        goals = [destinations.goals(one) for one in column.tolist()]
        first = np.concatenate([[0], np.cumsum([len(one) for one in goals])]).astype(np.int64)
        every = np.concatenate(goals) if goals else np.zeros(0, np.int32)
        widths = np.broadcast_to(tau, origin.shape)
        least = np.zeros(len(origin)) if least is None else least
        parts: list[Corridors] = []
        begin = 0
        with self._workspace() as workspace:
            while not parts or parts[-1].unknown_block >= 0:
                if parts:
                    costs.require(np.array([parts[-1].unknown_block]))
                parts.append(
                    find_corridors(
                        self._graph,
                        costs.value,
                        origin[begin:],
                        first[begin:],
                        every,
                        widths[begin:],
                        workspace,
                        is_absorbing=destinations.ending == "arrival",
                        least=least[begin:],
                        is_known=costs.is_known.copy(),
                    )
                )
                begin += len(parts[-1])
        found = joined(parts)
        failed = np.flatnonzero(found.ended != FOUND)
        if len(failed):
            first_failed = int(failed[0])
            is_cut_short = found.ended[first_failed] == TOO_LARGE
            raise self._unreachable(destinations, int(column[first_failed]), int(origin[first_failed]), is_cut_short)
        return found

    @contextmanager
    def _workspace(self) -> Iterator[Workspace]:
        try:
            workspace = self._workspaces.get_nowait()
        except queue.Empty:
            workspace = Workspace(self._turns.num_edges, self._max_settled)
        try:
            yield workspace
        finally:
            self._workspaces.put(workspace)

    def by_block(self, task: Callable[[int], _Answer], count: int) -> Iterator[_Answer]:
        """``task(begin)`` for every block of `BLOCK` trips of ``count``, by all threads; answers in their order.

        Threads run a few blocks ahead of whoever takes the answers, no further: a block's may be megabytes.
        """
        begins = iter(range(0, count, BLOCK))
        if self._threads == 1 or count <= BLOCK:
            yield from map(task, begins)
            return
        with ThreadPoolExecutor(self._threads) as pool:
            ahead = deque(pool.submit(task, begin) for begin in islice(begins, _AHEAD * self._threads))
            while ahead:
                answer = ahead.popleft().result()
                ahead.extend(pool.submit(task, begin) for begin in islice(begins, 1))
                yield answer

    def _unreachable(
        self, destinations: Destinations, column: int, origin: int, is_cut_short: bool
    ) -> UnreachableError:
        key, is_arrival = int(destinations.key[column]), destinations.ending == "arrival"
        named = self._edge_id if self._edge_id is not None else np.arange(self._turns.num_edges)
        cause = "no sequence of permitted turns joins them"
        if is_cut_short:
            cause = f"the search settled {self._max_settled} states around one of them"
        return UnreachableError(
            index=None,
            origin=f"edge {named[origin]}",
            destination=f"edge {named[key]}" if is_arrival else f"node position {key}",
            cause=cause,
            nearest="Leave this trip out" + (", or raise the cap on settled states" if is_cut_short else ""),
        )
