"""Matching by the book: every edge a candidate, networkx for every distance, a plain Viterbi, and all sequences."""

from __future__ import annotations

import itertools
import math

import networkx as nx
import numpy as np
from trodden.graphs.geometry import METRES_PER_DEGREE
from trodden.graphs.road_graph import RoadNetwork

Place = tuple[int, float, float]
"""(edge, metres along it, metres from the point)."""


class NaiveMatcher:
    """One trace at a time, no bound on anything but the radius; paths between places are the fastest ones."""

    def __init__(self, network: RoadNetwork, sigma: float, beta: float, radius: float, back: float) -> None:
        self.network, self.sigma, self.beta, self.radius, self.back = network, sigma, beta, radius, back
        self.length = network.attributes.length_m.astype(float)
        self.time = network.attributes.travel_time_s.astype(float)
        # A state is the end of an edge; taking a turn costs the time on the edge that is entered.
        self.turns = nx.DiGraph()
        self.turns.add_nodes_from(range(network.graph.num_edges))
        for a, b in zip(network.turns.from_edge.tolist(), network.turns.to_edge.tolist(), strict=True):
            self.turns.add_edge(a, b, cost=self.time[b])

    def places(self, point: tuple[float, float]) -> list[Place]:
        found = []
        for edge in range(self.network.graph.num_edges):
            line = self.network.edge_polyline(edge)
            scale = METRES_PER_DEGREE * np.array([1.0, math.cos(math.radians(point[0]))])
            drawn = [0.0]
            for a, b in itertools.pairwise(line):
                middle = math.cos(math.radians(a[0]))
                drawn.append(drawn[-1] + METRES_PER_DEGREE * math.hypot(b[0] - a[0], (b[1] - a[1]) * middle))
            best = (edge, 0.0, math.inf)
            for k, (a, b) in enumerate(itertools.pairwise((line - np.array(point)) * scale)):
                step = b - a
                share = float(np.clip(-(a @ step) / max(step @ step, 1e-12), 0, 1))
                distance = float(np.linalg.norm(a + share * step))
                if distance < best[2]:
                    along = drawn[k] + share * (drawn[k + 1] - drawn[k])
                    best = (edge, along / drawn[-1] * self.length[edge], distance)
            if best[2] <= self.radius:
                found.append(best)
        return found

    def emission(self, place: Place) -> float:
        return math.log(math.exp(-0.5 * (place[2] / self.sigma) ** 2) + 1e-4)

    def paths(self, one: Place) -> dict[int, list[int]]:
        """The fastest paths from the end of an edge to every edge, the edge itself (around a loop) included."""
        edge = one[0]
        graph = self.turns
        found: dict[int, list[int]] = {}
        for goal, path in nx.single_source_dijkstra_path(graph, edge, weight="cost").items():
            if goal != edge:
                found[goal] = path[1:]
        loops = [
            (nx.dijkstra_path_length(graph, b, edge, weight="cost") + self.time[b], b)
            for b in graph.successors(edge)
            if nx.has_path(graph, b, edge)
        ]
        if loops:
            found[edge] = nx.dijkstra_path(graph, min(loops)[1], edge, weight="cost")
        return found

    def step(
        self, one: Place, other: Place, paths: dict[int, list[int]], crow: float
    ) -> tuple[float, list[int]] | None:
        if one[0] == other[0] and other[1] >= one[1] - self.back:
            return -abs(max(other[1] - one[1], 0.0) - crow) / self.beta, []
        if other[0] not in paths:
            return None
        path = paths[other[0]]
        length = self.length[one[0]] - one[1] + sum(self.length[e] for e in path[:-1]) + other[1]
        return -abs(length - crow) / self.beta, path

    def lattice(self, points: list[tuple[float, float]]):
        """(places of each point, steps[k][i, j] between those of points k and k + 1)."""
        layers = [self.places(point) for point in points]
        steps = []
        for (a, b), (here, there) in zip(itertools.pairwise(points), itertools.pairwise(layers), strict=True):
            scale = math.cos(math.radians((a[0] + b[0]) / 2))
            crow = METRES_PER_DEGREE * math.hypot(b[0] - a[0], (b[1] - a[1]) * scale)
            found = {}
            for i, one in enumerate(here):
                paths = self.paths(one)
                for j, other in enumerate(there):
                    step = self.step(one, other, paths, crow)
                    if step is not None:
                        found[i, j] = step
            steps.append(found)
        return layers, steps

    def best(self, points: list[tuple[float, float]]) -> tuple[float, list[int]]:
        """(log-probability, route) of the best sequence of places."""
        layers, steps = self.lattice(points)
        score = {i: (self.emission(place), [place[0]]) for i, place in enumerate(layers[0])}
        for places, found in zip(layers[1:], steps, strict=True):
            score = {
                j: max(
                    (score[i][0] + found[i, j][0] + self.emission(place), score[i][1] + found[i, j][1])
                    for i in score
                    if (i, j) in found
                )
                for j, place in enumerate(places)
                if any((i, j) in found for i in score)
            }
        return max(score.values())

    def passed(self, points: list[tuple[float, float]]) -> dict[int, float]:
        """The probability of every edge to be on the route, over all sequences."""
        layers, steps = self.lattice(points)
        total, sums = 0.0, {}
        for sequence in itertools.product(*(range(len(layer)) for layer in layers)):
            log, edges = self.emission(layers[0][sequence[0]]), {layers[0][sequence[0]][0]}
            for k, pair in enumerate(itertools.pairwise(sequence)):
                if pair not in steps[k]:
                    break
                log += steps[k][pair][0] + self.emission(layers[k + 1][pair[1]])
                edges |= set(steps[k][pair][1])
            else:
                chance = math.exp(log)
                total += chance
                for edge in edges:
                    sums[edge] = sums.get(edge, 0.0) + chance
        return {edge: one / total for edge, one in sums.items()}
