"""What one request may ask for beside its points: roads that count for more or less, and edges that are closed.

Neither builds the hierarchy anew. Factors are new costs, customised once and kept for the next request that asks for
the same. Closed edges leave the numbers as they are: the cheapest route under the metric is still the cheapest where it
uses none of them, and only where it does the turns onto them are closed in a metric kept for that
(`trodden.graphs.hierarchy.Scratch`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ..core.errors import ConfigurationError, UnknownIdError
from ..core.types import Bools, Floats, Ints
from ..graphs.edge_costs import LARGEST_SUM
from ..graphs.hierarchy import Metric, Start, StatePath
from ..graphs.road_graph import Categories, RoadNetwork
from ..graphs.scipy_engine import ScipyCustomised
from ..graphs.shortest_paths import reachable_from
from ..graphs.turns import TurnGraph
from .metrics import NamedCosts

_KEPT = 4
"""Sets of request costs kept: each takes what a metric takes."""
FEW_TURNS = 200
"""So many turns are closed for one query faster than a metric is customised: 20 ms against 100 ms on Porto."""
_CLOSED_COST = 300.0
"""Nats, for probabilities: exp(-300) of the travellers use a closed turn, which no figure shows."""


def cost_factors(network: RoadNetwork, avoid: Mapping[str, float]) -> tuple[Floats, Floats]:
    """What each turn's and each edge's cost is multiplied with.

    Parameters
    ----------
    avoid
        Factors > 0 by name: ``"toll"``, ``"bridge"``, ``"tunnel"``, a road class (``"motorway"`` or
        ``"class:motorway"``), ``"surface:NAME"``, ``"left"``, ``"right"``, ``"uturn"``. Where several apply, their
        product does. Below 1 they attract.

    Returns
    -------
    tuple
        float64[T] and float64[E].

    Raises
    ------
    UnknownIdError
        A name that this network does not have; lists those it has.
    ConfigurationError
        A factor that is not a positive finite number.
    """
    edges, turns = edge_masks(network), _turn_masks(network)
    of_edge, of_turn = np.ones(network.graph.num_edges), np.ones(network.turns.num_turns)
    for name, factor in avoid.items():
        if not (isinstance(factor, (int, float)) and 0.0 < factor < np.inf):
            raise ConfigurationError(where=f"avoid[{name!r}]", problem=f"{factor!r} is not a positive finite number")
        if name in edges:
            of_edge[edges[name]] *= factor
        elif name in turns:
            of_turn[turns[name]] *= factor
        else:
            known = ", ".join([*edges, *turns])
            raise UnknownIdError(kind="attribute to avoid", identifier=name, remedy=f"there are: {known}")
    return of_turn * of_edge[network.turns.to_edge], of_edge


def edge_masks(network: RoadNetwork) -> dict[str, Bools]:
    """The kinds of edges that a request can name, bool[E] each; road classes with and without ``class:``."""
    attributes = network.attributes
    flags = {"toll": attributes.is_toll, "bridge": attributes.is_bridge, "tunnel": attributes.is_tunnel}
    masks = {name: mask for name, mask in flags.items() if mask is not None}
    for prefix, column in (("class", attributes.road_class), ("surface", attributes.surface)):
        masks |= {f"{prefix}:{level}": column.mask(level) for level in _levels(column)} if column else {}
    for level in _levels(attributes.road_class) if attributes.road_class else ():
        masks.setdefault(level, masks[f"class:{level}"])
    return masks


def _levels(column: Categories) -> list[str]:
    return [level for level in column.levels if level]


def _turn_masks(network: RoadNetwork) -> dict[str, Bools]:
    turns = network.turns
    return {"left": turns.is_left, "right": turns.is_right, "uturn": turns.is_uturn}


def closed_edges(network: RoadNetwork, closed: Iterable[int]) -> frozenset[int]:
    """Positions of the edges with these source ids and of their copies; `UnknownIdError` where there is none."""
    edges = [network.graph.edge_position(int(edge)) for edge in closed]
    # A road is closed as a whole: whichever copy of it is named (`trodden.graphs.via_ways`).
    roads = {network.original_edge.get(edge, edge) for edge in edges}
    return frozenset(one for edge in roads for one in (edge, *network.copies_of.get(edge, ())))


class RequestCosts:
    """The costs that requests ask for, kept for those that ask for the same. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], NamedCosts] = OrderedDict()

    def costs(self, base: NamedCosts, avoid: Mapping[str, float], closed: frozenset[int]) -> NamedCosts:
        """A metric with factors, without some edges; see `cost_factors`. Name and version are those of ``base``.

        Raises
        ------
        UnknownIdError, ConfigurationError
            As for `cost_factors`.
        CostRangeError
            A factor so large or small that the costs do not fit the hierarchy's integers.

        Notes
        -----
        New factors cost what a new metric does, 0.2 s on Porto; the same ones again, and closed edges, next to nothing.
        """
        costs = base
        if avoid:
            wanted = tuple(sorted((name, factor) for name, factor in avoid.items()))
            costs = self._get((base.name, base.version, wanted), lambda: _with_factors(base, avoid))
        if closed:
            made_of = costs
            key = (base.name, base.version, tuple(sorted(avoid.items())), closed)
            costs = self._get(key, lambda: ClosedCosts(made_of, closed))
        return costs

    def forget(self, name: str) -> None:
        """Throw away what was made of a metric that is gone."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == name]:
                del self._kept[key]

    def _get(self, key: tuple[object, ...], make: Callable[[], NamedCosts]) -> NamedCosts:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()  # outside the lock: it may take 0.1 s
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def _with_factors(base: NamedCosts, avoid: Mapping[str, float]) -> NamedCosts:
    of_turn, of_edge = cost_factors(base.network, avoid)
    turn_cost, entry_cost = base.turn_cost * of_turn, base.entry_cost * of_edge
    made = NamedCosts(base.name, base.network, base.hierarchy, turn_cost, entry_cost, base.ending, base.horizon)
    made.version = base.version
    return made


class ClosedCosts(NamedCosts):
    """A metric without some edges: its costs, name and version, and no way onto them.

    It shares everything with the metric it is made of; making one costs a pass over the turns.
    """

    is_bounded = False

    def __init__(self, costs: NamedCosts, closed: frozenset[int]) -> None:
        # Deliberately not NamedCosts.__init__, which customises.
        vars(self).update(vars(costs))
        self._factors = None
        self.closed = closed
        is_closed = np.zeros(self.network.graph.num_edges, bool)
        is_closed[list(closed)] = True
        turns = self.network.turns
        self._closed_turns = np.flatnonzero(is_closed[turns.to_edge]).astype(np.int32)
        self._closed_set = frozenset(self._closed_turns.tolist())
        self._open_metric: Metric | None = None

    @property
    def open_cost(self) -> Floats:
        """float64[T], infinite for turns onto closed edges."""
        cost = self.turn_cost.copy()
        cost[self._closed_turns] = np.inf
        return cost

    def open_network(self) -> RoadNetwork:
        """The network without the closed turns: to say why there is no way. O(T)."""
        return _without_turns(self.network, self._closed_turns)

    @property
    def policy_cost(self) -> Floats:
        """float64[T]: the costs, and so much more for closed turns that nobody takes them."""
        cost = self.turn_cost.copy()
        cost[self._closed_turns] += _CLOSED_COST
        return cost

    def own_metric(self) -> Metric:
        """A metric of its own with the turns closed, made once: for many queries."""
        if self._open_metric is None:
            self._open_metric = self.hierarchy.customise(self._costs.without(self._closed_turns))
        return self._open_metric

    def _is_open(self, turn: int) -> bool:
        return turn not in self._closed_set

    def _search(self, sources: Sequence[Start], targets: Sequence[Start]) -> StatePath:
        if self._open_metric is None:
            path = self.metric.path(sources, targets)
            # Closing turns makes nothing cheaper: a cheapest path that uses none of them stays one.
            if self._closed_set.isdisjoint(path.taken):
                return path
        if self._open_metric is None and len(self._closed_turns) <= FEW_TURNS:
            path = self.scratch.path_without(self._closed_turns.tolist(), sources, targets)
        else:
            path = self.own_metric().path(sources, targets)
        # Past the largest sum a turn may be in it that stands at the largest value, not at its own.
        is_right = path.is_reachable and path.cost < LARGEST_SUM
        return path if is_right else self._by_dijkstra(sources, targets)

    def _by_dijkstra(self, sources: Sequence[Start], targets: Sequence[Start]) -> StatePath:
        """Where the hierarchy finds no way: there is none, or one too long for its integers."""
        turns = self.network.turns
        open_turns = _without_turns(self.network, self._closed_turns).turns
        starts = np.array([edge for edge, _ in sources], np.int32)
        if not reachable_from(open_turns, starts)[[edge for edge, _ in targets]].any():
            return self._nowhere
        quanta = np.rint(self.turn_cost / self._costs.quantum)
        quanta[self._closed_turns] = np.inf
        return StatePath(*ScipyCustomised(turns, quanta).path(sources, targets), turns)


def _without_turns(network: RoadNetwork, closed: Ints) -> RoadNetwork:
    turns = network.turns
    is_open = np.ones(turns.num_turns, bool)
    is_open[closed] = False
    first_out = np.concatenate([[0], np.cumsum(is_open)])[turns.first_out].astype(np.int32)
    left = TurnGraph(
        first_out,
        turns.to_edge[is_open],
        None if turns.angle_deg is None else turns.angle_deg[is_open],
        turns.is_left[is_open],
        turns.is_right[is_open],
        turns.is_uturn[is_open],
    )
    return RoadNetwork(network.graph, network.attributes, left, network.shapes, network.report, network.checksum)
