"""Observed routes: read, check against a network, split, write. Skipped ones are counted by reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import DemonstrationError, NoDemonstrationsError, WrongNetworkError
from ..core.types import Bools, Floats, Ids, Ints
from ..graphs.road_graph import RoadNetwork, ragged_rows
from .destinations import Ending, destination_key, make_destinations
from .route_files import RouteTable, read_route_table, write_route_table
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
    route_id: tuple[str, ...]
    weight: Floats
    """float64[R], > 0."""
    departure: tuple[str | None, ...]
    """ISO 8601 time of departure as given, or None."""
    skipped: tuple[SkippedRoute, ...]
    source: str
    is_simulated: bool
    """True for routes drawn by `trodden simulate`; everything made from them says so."""
    traveller: tuple[str | None, ...] | None = None
    """Who made each route; None where nobody was named, None in a row that does not say."""

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

    def take(self, rows: Ids) -> Demonstrations:
        """Some routes, in that order; the list of skipped ones stays."""
        flat, first = ragged_rows(self.first, rows)  # type: ignore[arg-type]
        return Demonstrations(
            self.network,
            first,
            self.edge[flat],
            tuple(self.route_id[r] for r in rows),
            self.weight[rows],
            tuple(self.departure[r] for r in rows),
            self.skipped,
            self.source,
            self.is_simulated,
            None if self.traveller is None else tuple(self.traveller[r] for r in rows),
        )

    def for_ending(self, ending: Ending) -> Demonstrations:
        """The routes possible under an ending: under *arrival*, those that reach their last edge only once.

        Raises
        ------
        NoDemonstrationsError
            None is left.
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

    def batch(self, ending: Ending) -> TripBatch:
        """The routes grouped by destination, for the solvers. Call `for_ending` first. O(M + R log R)."""
        pairs, inverse = self._trips(ending)
        weight = np.bincount(inverse, self.weight, minlength=len(pairs)).astype(np.float64)
        destination, first = np.unique(pairs[:, 0], return_index=True)
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
        ids = self.network.graph.edge_id
        links = [" ".join(map(str, ids[self.route(r)].tolist())) for r in range(len(self))]
        table = RouteTable(self.route_id, links, False, self.departure, self.weight, self.is_simulated, self.traveller)
        write_route_table(path, table)


def read_demonstrations(path: str | Path, network: RoadNetwork, *, strict: bool = False) -> Demonstrations:
    """Read routes and check each against a network.

    Parameters
    ----------
    path
        ``.csv`` or ``.parquet``, one route per row: ``links`` (edge ids separated by spaces) or ``nodes`` (OSM node
        ids), optionally ``route_id``, ``departure``, ``weight``, ``traveller``. Further columns are
        ignored.
    strict
        Raise on the first route that cannot be used instead of skipping it.

    Raises
    ------
    InputFileError
        The file cannot be read, lacks a column, or holds something that is not an integer; names row and column.
    DemonstrationError
        With ``strict``, a route that cannot be used.
    NoDemonstrationsError
        No route can be used; names the main causes.
    """
    table = read_route_table(path)
    if table.is_nodes:
        from .node_routes import edges_of_nodes

        rows, faults = edges_of_nodes(table.sequences(path), network)
    else:
        rows, faults = _edges_of_links(table.sequences(path), network)
    result = demonstrations_from_edges(
        network,
        rows,
        table.route_id,
        weight=table.weight,
        departure=table.departure,
        traveller=table.traveller,
        source=str(path),
        is_simulated=table.is_simulated,
        faults=faults,
    )
    if strict and result.skipped:
        worst = result.skipped[0]
        raise DemonstrationError(route=worst.route_id, status=worst.status, detail=worst.detail)
    result.require_some()
    return result


def demonstrations_from_edges(
    network: RoadNetwork,
    rows: Sequence[Ints],
    route_id: Sequence[str],
    *,
    weight: Floats | None = None,
    departure: Sequence[str | None] | None = None,
    traveller: Sequence[str | None] | None = None,
    source: str = "memory",
    is_simulated: bool = False,
    faults: dict[int, tuple[str, str]] | None = None,
) -> Demonstrations:
    """Check routes given as edge positions; ``faults`` are rows already known to be unusable. O(total edges)."""
    counts = np.array([len(row) for row in rows], np.int64)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    edge = np.concatenate(rows).astype(np.int32) if rows else np.zeros(0, np.int32)
    weights = np.ones(len(rows)) if weight is None else np.asarray(weight, np.float64)
    found = dict(faults or {})
    for row in np.flatnonzero(~(np.isfinite(weights) & (weights > 0))).tolist():
        found.setdefault(row, ("bad_weight", f"weight {weights[row]}"))
    for row, count in enumerate(counts.tolist()):
        if count < 2:
            found.setdefault(row, ("empty", "the row is blank") if count == 0 else ("single_edge", "one edge"))
    found = {**_bad_moves(network, edge, first), **found}
    departures = tuple(departure or [None] * len(rows))
    names = None if traveller is None else tuple(traveller)
    every = Demonstrations(network, first, edge, tuple(route_id), weights, departures, (), source, is_simulated, names)
    kept = every.take(np.array([r for r in range(len(rows)) if r not in found], np.int64))
    skipped = tuple(SkippedRoute(route_id[r], *found[r]) for r in sorted(found))
    return Demonstrations(**{**vars(kept), "skipped": skipped})


def require_network(demonstrations: Demonstrations, checksum: str, what: str) -> None:
    """`WrongNetworkError` unless the demonstrations belong to the network with this checksum."""
    if demonstrations.network.checksum != checksum:
        raise WrongNetworkError(what=what, expected=checksum, found=demonstrations.network.checksum)


def _edges_of_links(sequences: Sequence[Ids], network: RoadNetwork) -> tuple[list[Ints], dict[int, tuple[str, str]]]:
    counts = np.array([len(s) for s in sequences], np.int64)
    flat = np.concatenate(sequences) if sequences else np.zeros(0, np.int64)
    positions = network.graph.edge_positions(flat)
    row_of = np.repeat(np.arange(len(sequences)), counts)
    faults: dict[int, tuple[str, str]] = {}
    for at in np.flatnonzero(positions < 0)[::-1]:
        faults[int(row_of[at])] = ("unknown_edge", f"edge {int(flat[at])}")
    return np.split(positions, np.cumsum(counts)[:-1]) if sequences else [], faults


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
