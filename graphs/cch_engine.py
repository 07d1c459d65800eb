"""The CCH engine: routingkit-cch behind guards (the only importer of routingkit_cch).

What the guards are for, each met by trying version 0.1.4: a panic is a ``BaseException`` that ``except Exception``
misses; an empty graph ends the process; a query object is bound to the thread that made it, may not be dropped by
another one, and refuses to run again while a result of its is alive, a failed run included; making one takes 1.3 ms.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..core.errors import MissingPackageError, QueryEngineError
from ..core.types import Floats
from .ordering import minimum_degree_order
from .turns import TurnGraph

if TYPE_CHECKING:
    from .edge_costs import EdgeCosts, Start

try:
    import routingkit_cch as _routingkit
except ImportError:  # no wheel for this platform (Windows, glibc < 2.34): the SciPy engine stands in
    _routingkit = None  # type: ignore[assignment]

_QUERIES_PER_THREAD = 8
_SERIALS = itertools.count()
_ALIVE: weakref.WeakValueDictionary[int, CchCustomised] = weakref.WeakValueDictionary()


def is_cch_available() -> bool:
    """Whether routingkit-cch is installed."""
    return _routingkit is not None


class CchTopology:
    """Elimination order and shortcuts' topology. Building holds the GIL for seconds on a city."""

    def __init__(self, turns: TurnGraph, coordinates: tuple[Floats, Floats] | None) -> None:
        if _routingkit is None:
            raise MissingPackageError(
                package="routingkit-cch", needed_for="engine='cch'", install="pip install routingkit-cch"
            )
        # Self-loop turns do no harm: no cheapest path takes one. Lists are what the binding takes.
        tail, head = turns.from_edge.tolist(), turns.to_edge.tolist()
        self._from_edge = turns.from_edge
        with _Guard("building"):
            if coordinates is None:
                # Not compute_order_degree: on a road network its hierarchy is a hundred times slower than this one.
                order = minimum_degree_order(turns).tolist()
            else:
                latitude, longitude = (values.tolist() for values in coordinates)
                order = _routingkit.compute_order_inertial(turns.num_edges, tail, head, latitude, longitude)
            self._cch = _routingkit.CCH(order, tail, head, False)

    def customise(self, costs: EdgeCosts) -> CchCustomised:
        """The hierarchy with costs; O(triangles), about 0.1 s on a city."""
        with _Guard("customising"):
            metric = _routingkit.CCHMetric(self._cch, costs.value.tolist())
        return CchCustomised(metric, self._from_edge)


class CchCustomised:
    """A customised metric and, in each thread that asks, its query object."""

    def __init__(self, metric: Any, from_edge: Any) -> None:
        self._metric = metric
        self._from_edge = from_edge
        self._serial = next(_SERIALS)
        _ALIVE[self._serial] = self

    def path(self, sources: Sequence[Start], targets: Sequence[Start]) -> tuple[int, int, list[int]]:
        """(cost or -1, first state or -1, turn positions)."""
        query = _THREAD.query(self._serial, self._metric)
        try:
            if len(sources) == 1 and len(targets) == 1:
                (source, start), (target, end) = sources[0], targets[0]
                result, initial = query.run(source, target), start + end
            else:
                result, initial = query.run_multi(list(sources), list(targets)), 0
            distance = result.distance
            arcs = [] if distance is None else result.arc_path
            # With a turn taken, the first state is where that turn starts: no need to unpack the states as well.
            first = -1 if distance is None else int(self._from_edge[arcs[0]]) if arcs else int(result.node_path[0])
            del result  # the query panics if it runs again while a result is alive
        except BaseException as error:
            _THREAD.forget(self._serial)
            if isinstance(error, (Exception, KeyboardInterrupt, SystemExit, GeneratorExit)):
                raise
            raise QueryEngineError(engine="cch", problem=str(error)) from None
        return (-1, -1, []) if distance is None else (distance + initial, first, arcs)

    def distances(self, sources: Sequence[Start], targets: Sequence[int]) -> list[int | None]:
        """Cost of the cheapest path to each target, None where unreachable."""
        with _Guard("distances"):
            found: list[int | None] = _routingkit.CCHOneToMany(self._metric, list(targets)).distances_from_multi(
                list(sources)
            )
            return found


class _ThreadQueries(threading.local):
    """The query objects of one thread, by metric.

    They stand here and not in the metric: a metric dropped by one thread would drop the queries of all others, which
    the binding refuses. Each thread throws its own away: those of dead metrics, and the oldest beyond a few.
    """

    def __init__(self) -> None:
        self.queries: dict[int, Any] = {}

    def query(self, serial: int, metric: Any) -> Any:
        found = self.queries.get(serial)
        if found is None:
            self.queries = {key: value for key, value in self.queries.items() if key in _ALIVE}
            while len(self.queries) >= _QUERIES_PER_THREAD:
                del self.queries[next(iter(self.queries))]
            with _Guard("query"):
                found = self.queries[serial] = _routingkit.CCHQuery(metric)
        return found

    def forget(self, serial: int) -> None:
        self.queries.pop(serial, None)


_THREAD = _ThreadQueries()


class _Guard:
    """Turns the binding's panics, which are no `Exception`, into a typed error."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and not isinstance(error, (Exception, KeyboardInterrupt, SystemExit, GeneratorExit)):
            raise QueryEngineError(engine="cch", problem=f"{self._doing}: {error}") from None
