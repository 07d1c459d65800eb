"""Observed routes: read, check against a network, split, write. Skipped ones are counted by reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..core.errors import DemonstrationError, NoDemonstrationsError, UnknownIdError, WrongNetworkError
from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.road_graph import RoadNetwork, ragged_rows
from ..graphs.via_ways import onto_copies
from .destinations import Ending, destination_key, make_destinations
from .node_routes import NodePaths
from .route_files import GROUP, RouteTable, id_texts, read_route_blocks, write_route_blocks
from .texts import Texts
from .trips import TripBatch

STATUSES: dict[str, str] = {
    "empty": "no edge in the route",
    "unknown_edge": "an edge id that the network does not have",
    "unknown_node": "an OSM node pair that no edge of the network runs along",
    "broken": "two consecutive edges that do not meet",
    "wrong_direction": "an edge travelled against its direction",
    "banned_turn": "a move that the network does not permit (a turn restriction or a U-turn rule)",
    "single_edge": "only one edge, so no choice was made",
    "bad_weight": "a weight that is not a positive number",
    "passes_destination": "passes its destination before its end, which is impossible under the ending 'arrival'",
}
"""Why a route is not used."""

_WRITTEN = 1 << 16
"""Routes to a row group of a Parquet file."""


class _OnNetwork(Protocol):
    """Whatever belongs to a network."""

    @property
    def network(self) -> RoadNetwork: ...


@dataclass(frozen=True)
class SkippedRoute:
    """A route that is not used: its id, a key of `STATUSES`, and what was found where."""

    route_id: str
    status: str
    detail: str


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """Usable routes on one network, and the list of those that are not.

    Every route has at least two edges, each consecutive pair a permitted turn.
    """

    network: RoadNetwork
    first: Ids
    """int64[R+1]: the edges of route r are ``edge[first[r] : first[r+1]]``."""
    edge: Ints
    """int32, edge positions, all routes one after the other."""
    route_id: Texts
    weight: Floats
    """float64[R], > 0."""
    departure: Texts
    """ISO 8601 time of departure as given, or None."""
    skipped: tuple[SkippedRoute, ...]
    source: str
    is_simulated: bool
    """True for routes drawn by `trodden simulate`; everything made from them says so."""
    traveller: Texts | None = None
    """Who made each route; None where nobody was named, None in a row that does not say."""
    group: Texts | None = None
    """The group of travellers that each route belongs to; None like that."""

    def __post_init__(self) -> None:
        for name in ("route_id", "departure", "traveller", "group"):
            if getattr(self, name) is not None:  # any sequence of texts will do
                object.__setattr__(self, name, Texts.of(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.route_id)

    def route(self, row: int) -> Ints:
        """Edge positions of one route."""
        return self.edge[self.first[row] : self.first[row + 1]]

    @property
    def origin(self) -> Ints:
        """int32[R], first edge of each route."""
        return self.edge[self.first[:-1]]

    @property
    def last_edge(self) -> Ints:
        """int32[R], last edge of each route."""
        return self.edge[self.first[1:] - 1]

    @property
    def skipped_by_reason(self) -> dict[str, int]:
        """Number of skipped routes by status, most frequent first."""
        return dict(Counter(s.status for s in self.skipped).most_common())

    def row_of(self, route_id: str) -> int:
        """Where a route of that id stands; `UnknownIdError` where none is usable, and why if it was skipped."""
        if route_id in self.route_id:
            return self.route_id.index(route_id)
        why = next((f"{s.status} ({s.detail})" for s in self.skipped if s.route_id == route_id), "")
        usable = f"{self.source} has {len(self)} usable routes"
        raise UnknownIdError(
            kind="usable route", identifier=route_id, remedy=f"it was left out: {why}; {usable}" if why else usable
        )

    def take(self, rows: Ids) -> Demonstrations:
        """Some routes, in that order; the list of skipped ones stays."""
        flat, first = ragged_rows(self.first, rows)
        return Demonstrations(
            self.network,
            first,
            self.edge[flat],
            self.route_id.take(rows),
            self.weight[rows],
            self.departure.take(rows),
            self.skipped,
            self.source,
            self.is_simulated,
            None if self.traveller is None else self.traveller.take(rows),
            None if self.group is None else self.group.take(rows),
        )

    def for_ending(self, ending: Ending, *, needs_some: bool = True) -> Demonstrations:
        """The routes possible under an ending: under *arrival*, those that reach their last edge only once.

        Raises
        ------
        NoDemonstrationsError
            None is left, with ``needs_some``.
        """
        if ending == "stop":
            return self
        row = self._row_of_edge
        visits = np.bincount(row, self.edge == self.last_edge[row], minlength=len(self))
        bad = np.flatnonzero(visits > 1)
        skipped = tuple(
            SkippedRoute(
                self.route_id[r],
                "passes_destination",
                f"edge {self._edge_name(self.last_edge[r])} comes {int(visits[r])} times",
            )
            for r in bad
        )
        kept = self.take(np.flatnonzero(visits <= 1))
        result = Demonstrations(**{**vars(kept), "skipped": self.skipped + skipped})
        if needs_some:
            result.require_some()
        return result

    def require_some(self) -> None:
        """`NoDemonstrationsError` with the main causes if no route is usable."""
        if len(self) == 0:
            raise NoDemonstrationsError(source=self.source, num_routes=len(self.skipped), causes=self.skipped_by_reason)

    def turns(self) -> tuple[Ints, Ids]:
        """(turn int32[M], route int64[M]): every turn taken, and the route that took it."""
        is_inner = np.ones(len(self.edge), bool)
        is_inner[self.first[1:] - 1] = False
        at = np.flatnonzero(is_inner)
        return self.network.turns.find(self.edge[at], self.edge[at + 1]), self._row_of_edge[at]

    @property
    def _row_of_edge(self) -> Ids:
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.first))

    def _edge_name(self, edge: int) -> int:
        return int(self.network.graph.edge_id[edge])

    def batch(self, ending: Ending, *, with_observed: bool = True) -> TripBatch:
        """The routes grouped by destination, for the solvers. Call `for_ending` first. O(M + R log R).

        Without ``observed``, which is as long as the network has turns, that stays empty.
        """
        pairs, inverse = self._trips(ending)
        weight = np.bincount(inverse, self.weight, minlength=len(pairs)).astype(np.float64)
        destination, first = np.unique(pairs[:, 0], return_index=True)
        observed = np.zeros(0)
        if with_observed:
            turn, row = self.turns()
            observed = np.bincount(turn, self.weight[row], minlength=self.network.turns.num_turns).astype(np.float64)
        offsets = np.append(first, len(pairs)).astype(np.int64)
        return TripBatch(
            make_destinations(self.network.graph, destination, ending),
            offsets,
            pairs[:, 1].astype(np.int32),
            weight,
            observed,
        )

    def trip_of_route(self, ending: Ending) -> Ids:
        """int64[R]: which (origin, destination) pair of `batch` each route belongs to."""
        return self._trips(ending)[1]

    def _trips(self, ending: Ending) -> tuple[Ints, Ids]:
        keys = destination_key(self.network.graph, self.last_edge, ending)
        pairs, inverse = np.unique(np.stack([keys, self.origin], axis=1), axis=0, return_inverse=True)
        return pairs, inverse.reshape(-1).astype(np.int64)

    def digest(self, ending: Ending) -> str:
        """SHA-256 of the routes in their order, their weights, the ending and the network: equal for equal data."""
        whole = hashlib.sha256(f"{self.network.checksum} {ending} ".encode())
        for array in (self.first, self.edge, self.weight):
            whole.update(np.ascontiguousarray(array).tobytes())
        return whole.hexdigest()

    def context_digest(self) -> str:
        """SHA-256 of departures and groups."""
        columns = (list(self.departure), None if self.group is None else list(self.group))
        return hashlib.sha256(repr(columns).encode()).hexdigest()

    def pair_keys(self, ending: Ending) -> Ids:
        """int64[R]: one number per (origin edge, destination), comparable between demonstrations of one network."""
        keys = destination_key(self.network.graph, self.last_edge, ending).astype(np.int64)
        return (
            self.origin.astype(np.int64) * (max(self.network.graph.num_edges, self.network.graph.num_nodes) + 1) + keys
        )

    def split_by_route(self, fraction: float, seed: int = 0) -> tuple[Demonstrations, Demonstrations]:
        """(rest, held out): routes drawn one by one, at least one on each side."""
        shuffled = np.random.default_rng(seed).permutation(len(self))
        count = int(np.clip(round(fraction * len(self)), 1, max(len(self) - 1, 1)))
        return self.take(np.sort(shuffled[count:])), self.take(np.sort(shuffled[:count]))

    def split_by_pair(self, fraction: float, seed: int = 0) -> tuple[Demonstrations, Demonstrations]:
        """(rest, held out): whole origin-destination pairs are drawn, so that no held-out pair was seen.

        A pair is the first edge and the last node: then neither was its last edge seen, and it holds for both endings.
        """
        last_node = destination_key(self.network.graph, self.last_edge, "stop")
        pairs, inverse = np.unique(np.stack([self.origin, last_node], axis=1), axis=0, return_inverse=True)
        shuffled = np.random.default_rng(seed).permutation(len(pairs))
        count = int(np.clip(round(fraction * len(pairs)), 1, max(len(pairs) - 1, 1)))
        is_held_out = np.isin(inverse.reshape(-1), shuffled[:count])
        return self.take(np.flatnonzero(~is_held_out)), self.take(np.flatnonzero(is_held_out))

    def write(self, path: str | Path) -> None:
        """Write as Parquet or CSV (by suffix), all that `read_demonstrations` reads; simulated ones are labelled."""
        write_route_blocks(path, self._tables())

    def _tables(self) -> Iterator[RouteTable]:
        for begin in range(0, max(len(self), 1), _WRITTEN):
            rows = slice(begin, min(begin + _WRITTEN, len(self)))
            first = self.first[begin : rows.stop + 1]
            yield RouteTable(
                self.route_id[rows],
                id_texts(self.network.graph.edge_id[self.edge[first[0] : first[-1]]], first),
                False,
                self.departure[rows],
                self.weight[rows],
                self.is_simulated,
                None if self.traveller is None else self.traveller[rows],
                group=None if self.group is None else self.group[rows],
            )


def read_demonstrations(
    path: str | Path, network: RoadNetwork, *, strict: bool = False, group: str = GROUP
) -> Demonstrations:
    """Read routes and check each against a network.

    Parameters
    ----------
    path
        ``.csv`` or ``.parquet``, one route per row: ``links`` (edge ids separated by spaces) or ``nodes`` (OSM node
        ids), optionally ``route_id``, ``departure``, ``weight``, ``traveller``, ``group``. Further columns are
        ignored.
    strict
        Raise on the first route that cannot be used instead of skipping it.
    group
        The column that holds the groups of travellers.

    Raises
    ------
    InputFileError
        The file cannot be read, lacks a column, or holds something that is not an integer; names row and column.
    DemonstrationError
        With ``strict``, a route that cannot be used.
    NoDemonstrationsError
        No route can be used; names the main causes.

    Notes
    -----
    A block of rows is text at a time; what stays of a route is 4 bytes per edge, 16 and its id's text (docs/planning.md
    says what a million take).
    """
    result = joined(list(demonstration_blocks(path, network, strict=strict, group=group)))
    result.require_some()
    return result


def demonstration_blocks(
    path: str | Path, network: RoadNetwork, *, strict: bool = False, group: str = GROUP
) -> Iterator[Demonstrations]:
    """The same, a block of rows of the file after the other; a block may have no usable route."""
    paths: NodePaths | None = None
    for table in read_route_blocks(path, group=group):
        ids, first = table.sequences(path)
        if table.is_nodes:
            paths = paths or NodePaths(network)
            rows, faults = paths.edges(np.split(ids, first[1:-1]) if len(table.text) else [])
            edge, first = _ragged(rows)
        else:
            edge, faults = _edges_of_links(ids, first, network)
        part = _checked(network, edge, first, table, str(path), faults)
        if strict and part.skipped:
            worst = part.skipped[0]
            raise DemonstrationError(route=worst.route_id, status=worst.status, detail=worst.detail)
        yield part


def demonstrations_from_edges(
    network: RoadNetwork,
    rows: Sequence[Ints],
    route_id: Sequence[str],
    *,
    weight: Floats | None = None,
    departure: Sequence[str | None] | None = None,
    traveller: Sequence[str | None] | None = None,
    group: Sequence[str | None] | None = None,
    source: str = "memory",
    is_simulated: bool = False,
    faults: dict[int, tuple[str, str]] | None = None,
) -> Demonstrations:
    """Check routes given as edge positions; ``faults`` are rows already known to be unusable. O(total edges)."""
    edge, first = _ragged(rows)
    weights = np.ones(len(rows)) if weight is None else np.asarray(weight, np.float64)
    departures = Texts.nothing(len(rows)) if departure is None else Texts.of(departure)
    names = None if traveller is None else Texts.of(traveller)
    groups = None if group is None else Texts.of(group)
    table = RouteTable(Texts.of(route_id), (), False, departures, weights, is_simulated, names, group=groups)
    return _checked(network, edge, first, table, source, faults or {})


def _ragged(rows: Sequence[Ints]) -> tuple[Ints, Ids]:
    """(all rows one after the other, int32; where each begins, int64[R+1])."""
    first = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return np.concatenate(rows).astype(np.int32) if rows else np.zeros(0, np.int32), first


def _checked(
    network: RoadNetwork, edge: Ints, first: Ids, table: RouteTable, source: str, faults: dict[int, tuple[str, str]]
) -> Demonstrations:
    """The usable rows of a table whose edges are ``edge[first[r] : first[r+1]]``, and why the others are not."""
    found, counts, weight = dict(faults), np.diff(first), table.weight
    for row in np.flatnonzero(~(np.isfinite(weight) & (weight > 0))).tolist():
        found.setdefault(row, ("bad_weight", f"weight {weight[row]}"))
    for row in np.flatnonzero(counts < 2).tolist():
        found.setdefault(row, ("empty", "the row is blank") if counts[row] == 0 else ("single_edge", "one edge"))
    found = {**_bad_moves(network, edge, first), **found}
    skipped = tuple(SkippedRoute(table.route_id[r], *found[r]) for r in sorted(found))
    every = Demonstrations(
        network,
        first,
        edge,
        Texts.of(table.route_id),
        weight,
        Texts.of(table.departure),
        skipped,
        source,
        table.is_simulated,
        None if table.traveller is None else Texts.of(table.traveller),
        None if table.group is None else Texts.of(table.group),
    )
    is_kept = np.ones(len(counts), bool)
    is_kept[list(found)] = False
    return every.take(np.flatnonzero(is_kept))


def joined(parts: list[Demonstrations]) -> Demonstrations:
    """Several sets on one network, one after the other."""
    lengths = np.concatenate([np.diff(part.first) for part in parts])
    groups = [Texts.nothing(len(part)) if part.group is None else part.group for part in parts]
    travellers = [part.traveller for part in parts if part.traveller is not None]
    return Demonstrations(
        parts[0].network,
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([part.edge for part in parts]),
        Texts.joined([part.route_id for part in parts]),
        np.concatenate([part.weight for part in parts]),
        Texts.joined([part.departure for part in parts]),
        tuple(skipped for part in parts for skipped in part.skipped),
        parts[0].source,
        any(part.is_simulated for part in parts),
        Texts.joined(travellers) if travellers else None,
        Texts.joined(groups) if any(part.group is not None for part in parts) else None,
    )


def require_network(demonstrations: _OnNetwork, checksum: str, what: str) -> None:
    """`WrongNetworkError` unless the demonstrations belong to the network with this checksum."""
    if demonstrations.network.checksum != checksum:
        raise WrongNetworkError(what=what, expected=checksum, found=demonstrations.network.checksum)


def _edges_of_links(ids: Ids, first: Ids, network: RoadNetwork) -> tuple[Ints, dict[int, tuple[str, str]]]:
    """(edge positions, -1 where unknown; the first unknown one of each row)."""
    positions = network.graph.edge_positions(ids)
    unknown = np.flatnonzero(positions < 0)[::-1]
    rows = np.searchsorted(first, unknown, side="right") - 1
    pairs = zip(rows.tolist(), ids[unknown].tolist(), strict=True)
    return onto_copies(network, positions, first), {row: ("unknown_edge", f"edge {link}") for row, link in pairs}


def _bad_moves(network: RoadNetwork, edge: Ints, first: Ids) -> dict[int, tuple[str, str]]:
    """The first move of each route that the network does not permit, with its reason."""
    graph = network.graph
    is_inner = np.ones(len(edge), bool)
    is_inner[first[1:][np.diff(first) > 0] - 1] = False
    at = np.flatnonzero(is_inner)
    one, two = edge[at], edge[at + 1]
    is_known = (one >= 0) & (two >= 0)
    at, one, two = at[is_known], one[is_known], two[is_known]
    is_bad: Bools = network.turns.find(one, two) < 0
    row_of = np.searchsorted(first, at, side="right") - 1
    faults: dict[int, tuple[str, str]] = {}
    for a, b, row in zip(one[is_bad][::-1], two[is_bad][::-1], row_of[is_bad][::-1], strict=True):
        if graph.head[a] == graph.tail[b]:
            status = "banned_turn"
        elif {int(graph.tail[a]), int(graph.head[a])} & {int(graph.tail[b]), int(graph.head[b])}:
            status = "wrong_direction"
        else:
            status = "broken"
        faults[int(row)] = (status, f"from edge {int(graph.edge_id[a])} to edge {int(graph.edge_id[b])}")
    return faults
