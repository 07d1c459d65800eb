"""Naive versions of what learning from routes computes: slow, obvious, and what the tests compare with."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import dense
import networkx as nx
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from strategies import road_networks, towns
from trodden.core.config import Config
from trodden.graphs.road_graph import EdgeShapes, RoadNetwork
from trodden.graphs.store import make_network
from trodden.graphs.turns import TurnGraph
from trodden.irl.demonstrations import Demonstrations, demonstrations_from_edges
from trodden.irl.model import Coefficient, LearnedModel

Route = Sequence[int]


def random_walk(turns: TurnGraph, random: np.random.Generator, longest: int) -> list[int]:
    """Up to ``longest`` edges by permitted turns from an edge that has a turn; empty where no edge has one."""
    begins = np.flatnonzero(np.diff(turns.first_out))
    if not len(begins):
        return []
    walk = [int(random.choice(begins))]
    while len(walk) < longest:
        onward = turns.to_edge[turns.first_out[walk[-1]] : turns.first_out[walk[-1] + 1]]
        if not len(onward):
            break
        walk.append(int(random.choice(onward)))
    return walk


@st.composite
def networks_with_walks(draw: st.DrawFn, *, longest: int = 9) -> tuple[RoadNetwork, list[list[int]]]:
    """A random network and random walks of at least two edges on it; none where it has no turn."""
    network = draw(road_networks())
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    walks = [random_walk(network.turns, random, int(random.integers(2, longest + 1))) for _ in range(12)]
    return network, [walk for walk in walks if len(walk) >= 2]


def rebuilt(network: RoadNetwork, **changes: object) -> RoadNetwork:
    """A network with some parts replaced and its true checksum."""
    parts = {name: getattr(network, name) for name in ("graph", "attributes", "turns", "shapes", "report")}
    return make_network(**{**parts, **changes})


def as_demonstrations(network: RoadNetwork, routes: Iterable[Route], **columns: object) -> Demonstrations:
    """Routes named by their row."""
    rows = [np.array(route, np.int32) for route in routes]
    return demonstrations_from_edges(network, rows, [str(row) for row in range(len(rows))], **columns)


def turn_counts(routes: Iterable[Route], weights: Iterable[float]) -> Counter[tuple[int, int]]:
    """Weighted count of each move."""
    counts: Counter[tuple[int, int]] = Counter()
    for route, weight in zip(routes, weights, strict=True):
        for move in pairwise(route):
            counts[int(move[0]), int(move[1])] += weight
    return counts


def destination_of(network: RoadNetwork, route: Route, ending: str) -> int:
    """The last edge, or under *stop* the node it leads to."""
    return int(route[-1]) if ending == "arrival" else int(network.graph.head[route[-1]])


def goals_of(network: RoadNetwork, key: int, ending: str) -> list[int]:
    """The edges on which a route may end."""
    return [key] if ending == "arrival" else [e for e in range(network.graph.num_edges) if network.graph.head[e] == key]


def policy(turns: TurnGraph, reward: np.ndarray, goals: list[int], ending: str, edge: int) -> dict[int | None, float]:
    """Probability of each next edge at one edge, None for stopping; from the dense values."""
    value = dense.dense_values(turns, reward, goals, ending)
    if ending == "arrival" and edge in goals:
        return {None: 1.0}
    score: dict[int | None, float] = {
        int(turns.to_edge[t]): float(np.exp(reward[t] + value[turns.to_edge[t]]))
        for t in range(turns.first_out[edge], turns.first_out[edge + 1])
    }
    if edge in goals:
        score[None] = 1.0
    total = sum(score.values())
    return {following: one / total for following, one in score.items()}


def listed_routes(turns: TurnGraph, origin: int, goal: int) -> list[list[int]]:
    """Every route from one edge to another on a network without cycles, by depth-first search."""
    if origin == goal:
        return [[origin]]
    onward = turns.to_edge[turns.first_out[origin] : turns.first_out[origin + 1]].tolist()
    return [[origin, *rest] for following in onward for rest in listed_routes(turns, following, goal)]


def iou(one: Route, two: Route, length: Sequence[float]) -> float:
    """Shared over all, edges as sets."""
    first, second = {int(e) for e in one}, {int(e) for e in two}
    return sum(length[e] for e in first & second) / sum(length[e] for e in first | second)


def with_shapes(network: RoadNetwork, random: np.random.Generator) -> RoadNetwork:
    """The network with 0 to 3 nodes inside each edge, so that a full list of nodes tells every edge.

    An edge may run back along an earlier one. Lengths follow the number of segments: 10 m each, and a little that
    makes no two equal.
    """
    graph = network.graph
    inner: list[list[int]] = []
    free: dict[tuple[int, int], list[list[int]]] = {}
    straight: set[tuple[int, int]] = set()
    fresh = 10_000
    for edge in range(graph.num_edges):
        ends = int(graph.tail[edge]), int(graph.head[edge])
        backs = free.get(ends[::-1], [])
        if backs and ends[0] != ends[1] and random.random() < 0.5:
            inner.append(backs.pop()[::-1])
            continue
        count = int(random.integers(0 if ends not in straight else 1, 4))
        if count == 0:
            straight.add(ends)
        inner.append(list(range(fresh, fresh + count)))
        fresh += count
        if count:
            free.setdefault(ends, []).append(inner[-1])
    lists = [
        [int(graph.node_id[graph.tail[e]]), *inner[e], int(graph.node_id[graph.head[e]])] for e in range(len(inner))
    ]
    first = np.concatenate([[0], np.cumsum([len(nodes) for nodes in lists])]).astype(np.int64)
    points = np.concatenate(lists).astype(np.int64)
    zeros = np.zeros(len(points), np.int32)
    ways = np.arange(len(lists) + 1, dtype=np.int64)
    shapes = EdgeShapes(first, points, zeros, zeros, ways, ways[:-1])
    length = np.array([10.0 * (len(nodes) - 1) for nodes in lists]) + np.arange(len(lists)) * 1e-3
    attributes = dataclasses.replace(network.attributes, length_m=length.astype(np.float32))
    return dataclasses.replace(network, shapes=shapes, attributes=attributes)


def edge_nodes(network: RoadNetwork, edge: int) -> list[int]:
    """Every OSM node along an edge."""
    shapes = network.shapes
    assert shapes is not None
    return shapes.osm_node[shapes.first_point[edge] : shapes.first_point[edge + 1]].tolist()


def stated_model(
    network: RoadNetwork, turn_cost: np.ndarray, config: Config | None = None, **changes: object
) -> LearnedModel:
    """A model with these turn costs, not learned from anything."""
    length = network.edge_length_m()[network.turns.to_edge]
    model = LearnedModel(
        network=network,
        config=config or Config(),
        coefficients=(Coefficient("constant", -1.0, 0.25), Coefficient("is_left", -0.5, None, "collinear")),
        turn_cost=turn_cost,
        entry_cost=np.full(network.graph.num_edges, 0.5),
        baseline_costs={"shortest": length, "fastest": length / 10.0},
        training_pairs=np.zeros(0, np.int64),
        summary={"log_likelihood": -12.5, "skipped": {}},
        is_simulated=False,
    )
    return model.replace(**changes)


def cheapest_route(turns: TurnGraph, cost: np.ndarray, origin: int, goals: Sequence[int]) -> list[int]:
    """The cheapest route from an edge to the nearest of some edges, by networkx on the graph of edges."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(turns.num_edges))
    for turn in range(turns.num_turns):
        graph.add_edge(int(turns.from_edge[turn]), int(turns.to_edge[turn]), weight=float(cost[turn]))
    distance, path = nx.single_source_dijkstra(graph, origin)
    goal = min((g for g in goals if g in distance), key=lambda g: distance[g])
    return path[goal]


def route_cost(turns: TurnGraph, cost: np.ndarray, route: Route) -> float:
    """Sum of the costs of a route's turns; `KeyError` where one is not permitted."""
    pairs = {(int(a), int(b)): c for a, b, c in zip(turns.from_edge, turns.to_edge, cost, strict=True)}
    return float(sum(pairs[int(a), int(b)] for a, b in pairwise(route)))


def successors(turns, edge):
    """The edges that an edge may turn onto."""
    return turns.to_edge[turns.first_out[edge] : turns.first_out[edge + 1]].tolist()


@st.composite
def trip_cases(draw):
    """(network, reward, ending, routes): random walks that the ending allows, under a reward with values."""
    network = draw(st.one_of(towns(), road_networks(sizes=((5, 9), (9, 24)))))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reward = random.uniform(-3.0, 0.2, network.turns.num_turns) - draw(st.sampled_from([0.0, 1.0, 5.0]))
    assume(dense.radius_without(network.turns, reward, [], "stop") < 0.97)
    ending = draw(st.sampled_from(["arrival", "stop"]))
    walks = [random_walk(network.turns, random, int(random.integers(2, 9))) for _ in range(8)]
    walks = [walk for walk in walks if len(walk) > 1 and (ending == "stop" or walk[-1] not in walk[:-1])]
    assume(walks)
    routes = as_demonstrations(network, walks)
    return network, reward, ending, dataclasses.replace(routes, weight=random.uniform(0.5, 2.0, len(walks)))
