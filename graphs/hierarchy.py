"""The query engine in three phases, each an object: topology (`Hierarchy`), customised costs (`Metric`), query.

============  =========================  ==========================================  ===============================
phase         costs (Porto, 2 cores)     holds                                       becomes invalid
============  =========================  ==========================================  ===============================
build         seconds                    an elimination order of the turn graph      with another network
customise     about 0.1 s                one number per shortcut                     never: new costs, new metric
query         about 0.1 ms               one query object per thread and metric      with its metric
============  =========================  ==========================================  ===============================

States are edges of the road network, arcs are turns. The engine ``"cch"`` is RoutingKit's customizable contraction
hierarchy; ``"scipy"`` runs Dijkstra, needs no preparation and gives the same costs, two orders of magnitude slower.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from ..core.errors import CostOverflowError, EmptyNetworkError, UnknownIdError
from ..core.types import Floats, Ids, Ints
from .cch_engine import CchTopology, is_cch_available
from .edge_costs import EdgeCosts, Start, quantise
from .scipy_engine import ScipyTopology
from .turns import TurnGraph

__all__ = ["EdgeCosts", "Engine", "Hierarchy", "Metric", "Start", "StatePath", "build_hierarchy", "quantise"]

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


class Topology(Protocol):
    """What an engine prepares without knowing any cost."""

    def customise(self, costs: EdgeCosts) -> CustomisedEngine:
        """The engine with costs."""
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


def _checked_coordinates(turns: TurnGraph, coordinates: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    latitude, longitude = (np.asarray(values, np.float64) for values in coordinates)
    if latitude.shape != (turns.num_edges,) or longitude.shape != (turns.num_edges,):
        raise ValueError(f"coordinates must be one point for each of {turns.num_edges} edges")
    if not (np.isfinite(latitude).all() and np.isfinite(longitude).all()):
        raise ValueError("coordinates must be finite numbers")
    return latitude, longitude
