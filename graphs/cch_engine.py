"""The CCH engine: routingkit-cch behind guards (the only importer of routingkit_cch).

What the guards are for, each met by trying version 0.1.4: a panic is a ``BaseException`` that ``except Exception``
misses; an empty graph ends the process; a query object is bound to the thread that made it, may not be dropped by
another one, and refuses to run again while a result of its is alive, a failed run included; making one takes 0.3 to
1.3 ms. Putting costs into a new metric holds the GIL for all the time it takes (0.1 s on Porto, when no other thread is
answered); putting them into one that there is already does not, so metrics that nobody asks any more are kept for that.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from ..core.errors import MissingPackageError, QueryEngineError
from ..core.types import Floats, Ints
from .ordering import minimum_degree_order
from .turns import TurnGraph

if TYPE_CHECKING:
    from .edge_costs import EdgeCosts, Start

try:
    import routingkit_cch as _routingkit
except ImportError:  # no wheel for this platform (Windows, glibc < 2.34): the SciPy engine stands in
    _routingkit = None  # type: ignore[assignment]

Sweep: TypeAlias = "Callable[[Sequence[Start]], list[int | None]]"
"""From the starts (or ends) of one row to a cost for each pinned edge."""

_QUERIES_PER_THREAD = 8
_SPARES = 2
"""Metrics kept for reuse per topology."""
_SERIALS = itertools.count()


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
        self.from_edge = turns.from_edge
        self._spares: deque[Any] = deque(maxlen=_SPARES)
        with _Guard("building"):
            if coordinates is None:
                # Not compute_order_degree: on a road network its hierarchy is a hundred times slower than this one.
                order = minimum_degree_order(turns).tolist()
            else:
                latitude, longitude = (values.tolist() for values in coordinates)
                order = _routingkit.compute_order_inertial(turns.num_edges, tail, head, latitude, longitude)
            self._cch = _routingkit.CCH(order, tail, head, False)

    def customise(self, costs: EdgeCosts) -> CchCustomised:
        """The hierarchy with costs; O(triangles), about 0.1 s on a city, without the GIL where a spare one is left."""
        return CchCustomised(self._customised(costs.value.tolist()), self)

    def _customised(self, values: list[int]) -> Any:
        try:
            spare = self._spares.pop()
            with _Guard("customising"):
                spare.reset(values)
            return spare
        except (IndexError, QueryEngineError):  # none is left, or somebody still uses it after all
            with _Guard("customising"):
                return _routingkit.CCHMetric(self._cch, values)

    def reserve(self) -> None:
        """Make a metric ahead of its use, so that the next costs come in without holding other threads up."""
        if not self._spares:
            with _Guard("customising"):
                self._spares.append(_routingkit.CCHMetric(self._cch, [1] * len(self.from_edge)))

    def keep(self, metric: Any) -> None:
        """Take a metric back that no query uses any more."""
        self._spares.append(metric)

    def updater(self) -> Any:
        """What changes some costs of a metric; bound to the thread that makes it."""
        return _routingkit.CCHMetricPartialUpdater(self._cch)


class _Owned:
    """A metric of the binding and who still uses it; goes back to its topology when nobody does.

    Every step is one atomic operation on a built-in: finalisers may run in the middle of any other code.
    """

    def __init__(self, metric: Any, topology: CchTopology) -> None:
        self.metric = metric
        self.users: set[int] = set()
        self._topology = topology
        self._ticket = [metric]
        self.is_retired = False

    def retire(self) -> None:
        """No new query will be made."""
        self.is_retired = True
        self._settle()

    def release(self, user: int) -> None:
        """One query object is gone."""
        self.users.discard(user)
        self._settle()

    def _settle(self) -> None:
        if self.is_retired and not self.users:
            try:
                metric = self._ticket.pop()
            except IndexError:  # another thread was first
                return
            self._topology.keep(metric)


class _Query:
    """A query object of the binding, counted among the users of its metric until it goes."""

    def __init__(self, owned: _Owned) -> None:
        self.owned, self._user = owned, next(_SERIALS)
        owned.users.add(self._user)
        self.query: Any = None
        with _Guard("query"):
            self.query = _routingkit.CCHQuery(owned.metric)

    def __del__(self) -> None:
        self.query = None
        self.owned.release(self._user)


class CchCustomised:
    """A customised metric and, in each thread that asks, its query object."""

    def __init__(self, metric: Any, topology: CchTopology) -> None:
        self._owned = _Owned(metric, topology)
        self._topology = topology
        self._from_edge = topology.from_edge
        self._serial = next(_SERIALS)
        weakref.finalize(self, self._owned.retire).atexit = False

    def path(self, sources: Sequence[Start], targets: Sequence[Start]) -> tuple[int, int, list[int]]:
        """(cost or -1, first state or -1, turn positions)."""
        query = _THREAD.query(self._serial, self._owned)
        try:
            return _run(query, sources, targets, self._from_edge)
        except BaseException as error:
            del query
            _THREAD.forget(self._serial)
            if isinstance(error, (Exception, KeyboardInterrupt, SystemExit, GeneratorExit)):
                raise
            raise QueryEngineError(engine="cch", problem=str(error)) from None

    def distances(self, sources: Sequence[Start], targets: Sequence[int]) -> list[int | None]:
        """Cost of the cheapest path to each target, None where unreachable."""
        with self.from_many(targets) as ask:
            return ask(sources)

    @contextmanager
    def from_many(self, targets: Sequence[int]) -> Iterator[Sweep]:
        """A function from sources to the cost of each of these targets; for one thread, and only inside the block."""
        with _Guard("distances"):
            pinned = [_routingkit.CCHOneToMany(self._owned.metric, list(targets))]
            try:
                yield lambda sources: pinned[0].distances_from_multi(list(sources))
            finally:
                pinned.clear()  # not to outlive the metric's last user, whoever still holds the function

    @contextmanager
    def to_many(self, sources: Sequence[int]) -> Iterator[Sweep]:
        """The mirror image: a function from targets to the cost from each of these sources."""
        with _Guard("distances"):
            pinned = [_routingkit.CCHManyToOne(self._owned.metric, list(sources))]
            try:
                yield lambda targets: pinned[0].distances_to_multi(list(targets))
            finally:
                pinned.clear()


class CchScratch:
    """A metric of which some costs are changed for a moment: for one thread at a time, which its owner sees to.

    About 0.1 ms for ten turns, 10 ms for a hundred, the price of customising anew for a thousand (Porto).
    """

    def __init__(self, topology: CchTopology, costs: EdgeCosts) -> None:
        self._topology, self._value = topology, costs.value
        self._metric = topology._customised(costs.value.tolist())

    def path(
        self, changes: Mapping[int, int], sources: Sequence[Start], targets: Sequence[Start]
    ) -> tuple[int, int, list[int]]:
        """(cost or -1, first state or -1, turn positions) with turns at other costs: position to quanta."""
        updater = self._topology.updater()
        with _Guard("changing costs"):
            updater.apply(self._metric, dict(changes))
            # The query object is gone before the costs go back: the binding refuses to change a metric that has one.
            # So after an error, which holds on to it, they do not go back, and the owner throws this away.
            found = _run(_routingkit.CCHQuery(self._metric), sources, targets, self._topology.from_edge)
            updater.apply(self._metric, {turn: int(self._value[turn]) for turn in changes})
            return found


def _run(query: Any, sources: Sequence[Start], targets: Sequence[Start], from_edge: Ints) -> tuple[int, int, list[int]]:
    if len(sources) == 1 and len(targets) == 1:
        (source, start), (target, end) = sources[0], targets[0]
        result, initial = query.run(source, target), start + end
    else:
        result, initial = query.run_multi(list(sources), list(targets)), 0
    distance = result.distance
    if distance is None:
        return -1, -1, []
    arcs = result.arc_path
    # With a turn taken, the first state is where that turn starts: no need to unpack the states as well.
    first = int(from_edge[arcs[0]]) if arcs else int(result.node_path[0])
    return distance + initial, first, arcs


class _ThreadQueries(threading.local):
    """The query objects of one thread, by metric.

    They stand here and not in the metric: a metric dropped by one thread would drop the queries of all others, which
    the binding refuses. Each thread throws its own away: those of dead metrics, and the oldest beyond a few.
    """

    def __init__(self) -> None:
        self.queries: dict[int, _Query] = {}

    def query(self, serial: int, owned: _Owned) -> Any:
        found = self.queries.get(serial)
        if found is None or len(self.queries) > 1:  # the only one there is is not of a dead metric
            for key in [key for key, query in self.queries.items() if query.owned.is_retired]:
                del self.queries[key]
        if found is None:
            while len(self.queries) >= _QUERIES_PER_THREAD:
                del self.queries[next(iter(self.queries))]
            found = self.queries[serial] = _Query(owned)
        return found.query

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
