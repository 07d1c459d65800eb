"""The query engine in three phases, each an object: topology (`Hierarchy`), customised costs (`Metric`), query.

============  =========================  ==========================================  ===============================
phase         costs (Porto, 2 cores)     holds                                       becomes invalid
============  =========================  ==========================================  ===============================
build         seconds                    an elimination order of the turn graph      with another network
customise     about 0.1 s                one number per shortcut                     never: new costs, new metric
query         about 0.1 ms               one query object per thread and metric      with its metric
scratch       as customise, once         a metric of which turns are closed           never
============  =========================  ==========================================  ===============================

States are edges of the road network, arcs are turns. The engine ``"cch"`` is RoutingKit's customizable contraction
hierarchy; ``"scipy"`` runs Dijkstra, needs no preparation and gives the same costs, two orders of magnitude slower.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from ..core.errors import CostOverflowError, EmptyNetworkError, UnknownIdError
from ..core.threads import worker_threads
from ..core.types import Floats, Ids, Ints
from .cch_engine import CchScratch, CchTopology, Sweep, is_cch_available
from .edge_costs import CLOSED, EdgeCosts, Start, quantise
from .scipy_engine import ScipyCustomised, ScipyScratch, ScipyTopology
from .turns import TurnGraph

__all__ = [
    "EdgeCosts",
    "Engine",
    "Hierarchy",
    "Metric",
    "Scratch",
    "Start",
    "StatePath",
    "build_hierarchy",
    "quantise",
]

Engine = Literal["auto", "cch", "scipy"]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StatePath:
    """A cheapest path, or the statement that there is none. Its arrays are made when they are asked for."""

    cost: int
    """In quanta, initial costs included; -1 where unreachable."""
    first: int
    """Position of the first edge; -1 where unreachable."""
    taken: Sequence[int]
    """Positions of the turns taken."""
    graph: TurnGraph

    @property
    def is_reachable(self) -> bool:
        """False where no sequence of permitted turns joins any source to any target."""
        return self.cost >= 0

    @cached_property
    def turns(self) -> Ints:
        """int32[P - 1], positions of the turns taken."""
        return np.array(self.taken, np.int32)

    @cached_property
    def states(self) -> Ints:
        """int32[P], edges in order of travel, first and last included; empty where unreachable."""
        if not self.is_reachable:
            return np.empty(0, np.int32)
        states = np.empty(len(self.taken) + 1, np.int32)
        states[0] = self.first
        states[1:] = self.graph.to_edge[self.turns]
        return states


class CustomisedEngine(Protocol):
    """What an engine answers once it holds costs; input is checked by `Metric` before it arrives here."""

    def path(self, sources: Sequence[Start], targets: Sequence[Start]) -> tuple[int, int, list[int]]:
        """(cost or -1, first state or -1, turn positions)."""
        ...

    def distances(self, sources: Sequence[Start], targets: Sequence[int]) -> list[int | None]:
        """Cost of the cheapest path to each target, None where unreachable."""
        ...

    def from_many(self, targets: Sequence[int]) -> AbstractContextManager[Sweep]:
        """A function from sources to the cost of each of these targets; for the thread that made it."""
        ...

    def to_many(self, sources: Sequence[int]) -> AbstractContextManager[Sweep]:
        """A function from targets to the cost from each of these sources; for the thread that made it."""
        ...


class Topology(Protocol):
    """What an engine prepares without knowing any cost."""

    def customise(self, costs: EdgeCosts) -> CustomisedEngine:
        """The engine with costs."""
        ...

    def reserve(self) -> None:
        """Prepare for costs to come while queries run."""
        ...


class Metric:
    """One set of costs on a hierarchy, ready for queries from any number of threads. Made by `Hierarchy.customise`."""

    def __init__(self, turns: TurnGraph, costs: EdgeCosts, engine: CustomisedEngine) -> None:
        self.costs = costs
        self._turns = turns
        self._num_states = turns.num_edges
        self._largest_initial = costs.largest_initial
        self._engine = engine

    def path(self, sources: Sequence[Start], targets: Sequence[Start]) -> StatePath:
        """The cheapest path from any source to any target.

        Parameters
        ----------
        sources, targets
            (edge position, initial cost in quanta >= 0) pairs; at least one each. A trip that starts at a node may
            start on any edge out of it; a trip that ends at a node may end on any edge into it.

        Returns
        -------
        StatePath
            ``is_reachable`` is False where there is none.

        Raises
        ------
        UnknownIdError
            An edge position outside the network.
        CostOverflowError
            Initial costs so large that a sum could overflow.
        ValueError
            No source or no target.

        Notes
        -----
        About 0.1 ms on Porto's 128,174 states with the CCH engine.
        """
        self._check(sources, sum_with=self._check(targets))
        return StatePath(*self._engine.path(sources, targets), self._turns)

    def distances(self, sources: Sequence[Start], targets: Ints) -> Ids:
        """int64[D]: the cheapest cost in quanta from any source to each target edge, -1 where unreachable.

        Raises
        ------
        UnknownIdError
            An edge position outside the network.

        Notes
        -----
        One upward search and one downward sweep over the ancestors of the targets: much cheaper than D queries.
        """
        wanted = [int(target) for target in targets]
        self._check(sources)
        if not wanted:
            return np.empty(0, np.int64)
        self._check([(target, 0) for target in wanted])
        found = self._engine.distances(sources, wanted)
        return np.array([-1 if cost is None else cost for cost in found], np.int64)

    def costs_from(self, sources: Sequence[Sequence[Start]], targets: Ints, *, threads: int = 0) -> Floats:
        """Many-to-many: the cheapest cost in quanta from any start of each row to each target edge.

        Parameters
        ----------
        sources
            R rows of (edge position, initial cost) pairs, at least one each.
        targets
            int32[D], edge positions.
        threads
            0 for one per processor, at most 8.

        Returns
        -------
        Floats
            float64[R, D] of whole numbers, ``inf`` where unreachable.

        Raises
        ------
        UnknownIdError, CostOverflowError, ValueError
            As for `path`.

        Notes
        -----
        The targets are pinned once per thread; a row then costs one sweep over their ancestors in the hierarchy, about
        2 ms for 1,000 targets on Porto.
        """
        wanted = [int(target) for target in targets]
        self._check_rows(sources, wanted)
        return _sweeps(lambda: self._engine.from_many(wanted), sources, len(wanted), threads)

    def costs_onto(self, sources: Ints, targets: Sequence[Sequence[Start]], *, threads: int = 0) -> Floats:
        """The mirror image: float64[O, R] in quanta from each source edge to the cheapest end of each row."""
        pinned = [int(source) for source in sources]
        self._check_rows(targets, pinned)
        return _sweeps(lambda: self._engine.to_many(pinned), targets, len(pinned), threads).T

    def _check_rows(self, rows: Sequence[Sequence[Start]], pinned: Sequence[int]) -> None:
        if pinned:
            self._check([(state, 0) for state in pinned])
        for starts in rows:
            self._check(starts)

    def _check(self, starts: Sequence[Start], *, sum_with: int = 0) -> int:
        """Refuse what would make the engine panic or wrap around; returns the largest initial cost."""
        if not starts:
            raise ValueError("a query needs at least one source and one target")
        largest = 0
        for state, initial in starts:
            if not 0 <= state < self._num_states:
                raise UnknownIdError(kind="edge position", identifier=state, remedy=f"it has 0..{self._num_states - 1}")
            if initial < 0:
                raise ValueError(f"initial cost {initial} of edge position {state} is negative")
            largest = max(largest, initial)
        if largest + sum_with > self._largest_initial:
            quantum = self.costs.quantum
            longest = (self.costs.longest_path + largest + sum_with) * quantum
            raise CostOverflowError(quantum=quantum, smallest_quantum=longest / 2**30, longest_path=longest)
        return largest


class Scratch:
    """A metric of which some turns are closed for one query at a time, far cheaper than customising anew for it.

    Made by `Hierarchy.scratch`. Safe to use from several threads, which wait for each other.
    """

    def __init__(self, metric: Metric, make: Callable[[], CchScratch | ScipyScratch]) -> None:
        self._metric, self._make = metric, make
        self._lock = threading.Lock()
        self._engine: CchScratch | ScipyScratch | None = None

    def path_without(self, closed: Sequence[int], sources: Sequence[Start], targets: Sequence[Start]) -> StatePath:
        """`Metric.path` with some turns closed. What it finds is right; see `EdgeCosts.without` on what it does not."""
        self._metric._check(sources, sum_with=self._metric._check(targets))
        with self._lock:
            engine, self._engine = self._engine or self._make(), None
            found = engine.path(dict.fromkeys(closed, CLOSED), sources, targets)
            self._engine = engine  # not put back after an error: who knows which costs it was left with
        return StatePath(*found, self._metric._turns)


class Hierarchy:
    """The prepared topology of a turn graph; holds no costs. Made by `build_hierarchy`."""

    def __init__(self, turns: TurnGraph, topology: Topology, engine: Literal["cch", "scipy"]) -> None:
        self.turns = turns
        self.engine = engine
        self._topology = topology

    def customise(self, costs: EdgeCosts) -> Metric:
        """Put costs on the hierarchy. Earlier metrics stay valid.

        Raises
        ------
        ValueError
            The costs are not one per turn of this turn graph.
        """
        if costs.value.shape != (self.turns.num_turns,):
            raise ValueError(f"{len(costs.value)} costs for {self.turns.num_turns} turns: not those of this network")
        if len(costs.value) and costs.value.min() < 1:
            raise ValueError("integer costs must be at least 1; make them with quantise()")
        return Metric(self.turns, costs, self._topology.customise(costs))

    def reserve(self) -> None:
        """Make room for one more metric, so that the next `customise` does not hold other threads' queries up.

        Notes
        -----
        Costs and takes what one metric does: about 0.1 s and 30 MB on Porto. Without it only the first new metric
        makes other threads wait; from then on the room of metrics that are gone is used again.
        """
        self._topology.reserve()

    def scratch(self, metric: Metric) -> Scratch:
        """For queries under a metric with some turns closed; made when first asked, at the price of a metric."""
        topology, costs = self._topology, metric.costs
        if isinstance(topology, CchTopology):
            return Scratch(metric, lambda: CchScratch(topology, costs))
        assert isinstance(topology, ScipyTopology)  # there are two engines
        return Scratch(metric, lambda: ScipyScratch(topology, costs))

    def without_preparation(self, costs: EdgeCosts) -> Metric:
        """The same costs answered by Dijkstra: for costs whose sums do not fit the hierarchy, and to check it."""
        return Metric(self.turns, costs, ScipyCustomised(self.turns, costs.as_floats()))


def build_hierarchy(
    turns: TurnGraph, coordinates: tuple[Floats, Floats] | None = None, *, engine: Engine = "auto"
) -> Hierarchy:
    """Prepare a turn graph for queries.

    Parameters
    ----------
    coordinates
        (latitude, longitude), float64[E] each, one point per edge (its middle): nested dissection by inertial flow,
        queries are a little faster, building takes longer. Without them by minimum degree.
    engine
        ``"auto"`` takes the CCH where it is installed and says so in the log where it is not.

    Raises
    ------
    EmptyNetworkError
        The graph has no edge (the CCH would end the process).
    MissingPackageError
        ``engine="cch"`` without routingkit-cch.
    """
    if turns.num_edges == 0:
        raise EmptyNetworkError(path="turn graph", problem="has no edge to route over", remedy="Check how it was read")
    if coordinates is not None:
        coordinates = _checked_coordinates(turns, coordinates)
    if engine == "auto" and not is_cch_available():
        _LOG.warning("routingkit-cch is not installed: queries run by SciPy's Dijkstra, about 100 times slower")
        engine = "scipy"
    if engine == "scipy":
        return Hierarchy(turns, ScipyTopology(turns), "scipy")
    return Hierarchy(turns, CchTopology(turns, coordinates), "cch")


def _sweeps(
    pin: Callable[[], AbstractContextManager[Sweep]], rows: Sequence[Sequence[Start]], width: int, threads: int
) -> Floats:
    """float64[R, width]: the sweep of every row, by several threads that each pin for themselves."""
    table = np.full((len(rows), width), np.inf)
    if not width or not rows:
        return table

    def work(first: int, count: int) -> None:
        with pin() as sweep:
            for row in range(first, len(rows), count):
                table[row] = np.array(sweep(rows[row]), np.float64)  # None becomes NaN

    count = min(worker_threads(threads), max(1, len(rows) // 4))
    if count == 1:
        work(0, 1)
    else:
        with ThreadPoolExecutor(count) as pool:
            for done in [pool.submit(work, first, count) for first in range(count)]:
                done.result()
    table[np.isnan(table)] = np.inf
    return table


def _checked_coordinates(turns: TurnGraph, coordinates: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    latitude, longitude = (np.asarray(values, np.float64) for values in coordinates)
    if latitude.shape != (turns.num_edges,) or longitude.shape != (turns.num_edges,):
        raise ValueError(f"coordinates must be one point for each of {turns.num_edges} edges")
    if not (np.isfinite(latitude).all() and np.isfinite(longitude).all()):
        raise ValueError("coordinates must be finite numbers")
    return latitude, longitude
