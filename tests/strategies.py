"""Random road networks for property tests: parallel edges, self-loops, unreachable nodes, banned turns.

Sizes come from a few buckets, so that code which compiles per shape does not compile for every example.
"""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st
from trodden.graphs.road_graph import EdgeAttributes, RoadGraph, RoadNetwork
from trodden.graphs.turns import TurnGraph

SIZES = ((1, 1), (2, 3), (5, 9), (9, 24), (16, 40))
"""(nodes, edges) of the random networks."""


def make_turns(
    tail: np.ndarray, head: np.ndarray, is_banned: np.ndarray | None = None, uturns: bool = True
) -> TurnGraph:
    """All moves head[a] == tail[b], without the banned ones (mask over all pairs in from-to order)."""
    pairs = [(a, b) for a in range(len(tail)) for b in np.flatnonzero(tail == head[a])]
    if not uturns:
        pairs = [(a, b) for a, b in pairs if not (head[b] == tail[a] and tail[a] != head[a])]
    if is_banned is not None:
        pairs = [pair for pair, banned in zip(pairs, is_banned[: len(pairs)], strict=True) if not banned]
    array = np.array(pairs, np.int32).reshape(-1, 2)
    first = np.searchsorted(array[:, 0], np.arange(len(tail) + 1)).astype(np.int32)
    source, target = array[:, 0], array[:, 1]
    return TurnGraph(
        first_out=first,
        to_edge=target.copy(),
        angle_deg=None,
        is_left=np.zeros(len(array), bool),
        is_right=np.zeros(len(array), bool),
        is_uturn=np.asarray((head[target] == tail[source]) & (tail[source] != head[source])),
    )


def make_network(
    tail: list[int] | np.ndarray,
    head: list[int] | np.ndarray,
    *,
    num_nodes: int | None = None,
    coordinates: tuple[np.ndarray, np.ndarray] | None = None,
    length_m: np.ndarray | None = None,
    is_banned: np.ndarray | None = None,
    uturns: bool = True,
) -> RoadNetwork:
    """A network in memory; edge ids are 1000 + position, node ids 10 + position, edges sorted by tail."""
    order = np.argsort(np.asarray(tail), kind="stable")
    tail_, head_ = np.asarray(tail, np.int32)[order], np.asarray(head, np.int32)[order]
    count = int(num_nodes if num_nodes is not None else max(tail_.max(), head_.max()) + 1)
    lengths = np.full(len(tail_), 100.0) if length_m is None else np.asarray(length_m, float)[order]
    latitude, longitude = coordinates if coordinates is not None else (None, None)
    return RoadNetwork(
        graph=RoadGraph(
            tail=tail_,
            head=head_,
            edge_id=1000 + np.arange(len(tail_), dtype=np.int64),
            node_id=10 + np.arange(count, dtype=np.int64),
            latitude_deg=latitude,
            longitude_deg=longitude,
        ),
        attributes=EdgeAttributes(
            length_m=lengths.astype(np.float32), travel_time_s=(lengths / 10.0).astype(np.float32)
        ),
        turns=make_turns(tail_, head_, is_banned, uturns),
        shapes=None,
        report={"source": "made in a test"},
        checksum="0" * 64,
    )


def make_grid(rows: int, columns: int, *, spacing_m: float = 100.0, origin: tuple[float, float] = (41.0, -8.0)):
    """A two-way grid with coordinates; node ``r * columns + c`` lies r steps north and c steps east of ``origin``."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    degrees = spacing_m / 111_195.0
    latitude = origin[0] + row * degrees
    longitude = origin[1] + column * degrees / np.cos(np.radians(origin[0]))
    east = [(n, n + 1) for n in range(rows * columns) if column[n] + 1 < columns]
    north = [(n, n + columns) for n in range(rows * columns) if row[n] + 1 < rows]
    pairs = np.array([pair for a, b in east + north for pair in ((a, b), (b, a))])
    return make_network(
        pairs[:, 0],
        pairs[:, 1],
        num_nodes=rows * columns,
        coordinates=(latitude, longitude),
        length_m=np.full(len(pairs), spacing_m),
    )


@st.composite
def road_networks(draw: st.DrawFn, *, sizes: tuple[tuple[int, int], ...] = SIZES) -> RoadNetwork:
    """Any network of one of ``sizes``, with or without coordinates, with or without banned turns."""
    num_nodes, num_edges = draw(st.sampled_from(sizes))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coordinates = None
    if draw(st.booleans()):
        coordinates = (random.uniform(41, 41.1, num_nodes), random.uniform(-8.1, -8, num_nodes))
    banned_share = draw(st.sampled_from([0.0, 0.2]))
    return make_network(
        random.integers(0, num_nodes, num_edges),
        random.integers(0, num_nodes, num_edges),
        num_nodes=num_nodes,
        coordinates=coordinates,
        length_m=random.uniform(1, 500, num_edges),
        is_banned=random.random(num_edges**2) < banned_share,
    )


@st.composite
def networks_with_costs(draw: st.DrawFn, *, sizes: tuple[tuple[int, int], ...] = SIZES):
    """(network, float64[T] cost per turn), costs over a few orders of magnitude."""
    network = draw(road_networks(sizes=sizes))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return network, np.exp(random.uniform(-4, 3, network.turns.num_turns))


@st.composite
def towns(draw: st.DrawFn) -> RoadNetwork:
    """A few random streets, some cut into chains, with dead ends of one or two edges, a ring apart and a loop."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = int(random.integers(3, 6))
    streets = [tuple(random.integers(0, count, 2)) for _ in range(int(random.integers(4, 9)))]
    pairs = []
    for begin, end in streets:
        nodes = [begin, *range(count, count + int(random.integers(0, 4))), end]
        count += len(nodes) - 2
        there = list(itertools.pairwise(nodes))
        pairs += there + ([(b, a) for a, b in there] if random.random() < 0.7 else [])
    for _ in range(int(random.integers(0, 4))):
        nodes = [int(random.integers(0, count)), *range(count, count + int(random.integers(1, 3)))]
        count += len(nodes) - 1
        pairs += [pair for a, b in itertools.pairwise(nodes) for pair in ((a, b), (b, a))]
    ring = range(count, count + 3)
    pairs += [(0, 0), *zip(ring, [*ring[1:], ring[0]], strict=True)]
    pairs += [pairs[0]]
    ends = np.array(pairs)
    is_banned = random.random(len(ends) ** 2) < draw(st.sampled_from([0.0, 0.1]))
    return make_network(ends[:, 0], ends[:, 1], is_banned=is_banned, uturns=draw(st.booleans()))
