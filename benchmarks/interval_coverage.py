"""Do 95 % intervals cover the truth in 95 % of cases? Over small simulated cities, each with its own roads and routes.

Every city is a grid whose edges differ in length and toll; routes are drawn from a stated reward and learned back. The
share of cities whose interval covers the stated coefficient has to lie in the central 99.9 % of the binomial
distribution with probability 0.95, for each coefficient, and for classical and robust errors.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
from scipy import stats
from trodden import fit, simulate
from trodden.core.config import parse_config
from trodden.graphs.road_graph import EdgeAttributes, RoadGraph, RoadNetwork
from trodden.graphs.store import make_network
from trodden.graphs.turns import TurnGraph
from trodden.irl.statistics import NORMAL_975

TASTE = {"travel_time_min": -3.0, "toll": -0.7, "constant": -1.3}


def city(seed: int, side: int) -> RoadNetwork:
    """A two-way grid of side x side nodes with random lengths and tolls; every move is permitted, turning back too."""
    random = np.random.default_rng(seed)
    node = np.arange(side * side)
    row, column = np.divmod(node, side)
    pairs = [(n, n + 1) for n in node[column + 1 < side]] + [(n, n + side) for n in node[row + 1 < side]]
    ends = np.array(sorted(pair for a, b in pairs for pair in ((a, b), (b, a))), np.int32)
    tail, head = ends[:, 0], ends[:, 1]
    length = random.uniform(50, 400, len(ends)).astype(np.float32)
    following = [np.flatnonzero(tail == one) for one in head]
    count = np.array([len(one) for one in following])
    to_edge = np.concatenate(following).astype(np.int32)
    turns = TurnGraph(
        first_out=np.concatenate([[0], np.cumsum(count)]).astype(np.int32),
        to_edge=to_edge,
        angle_deg=None,
        is_left=np.zeros(len(to_edge), bool),
        is_right=np.zeros(len(to_edge), bool),
        is_uturn=head[to_edge] == np.repeat(tail, count),
    )
    graph = RoadGraph(
        tail=tail,
        head=head,
        edge_id=np.arange(len(tail), dtype=np.int64),
        node_id=node.astype(np.int64),
        latitude_deg=None,
        longitude_deg=None,
    )
    toll = (random.random(len(tail)) < 0.3).astype(float)
    attributes = EdgeAttributes(length_m=length, travel_time_s=length / 8, extra={"toll": toll})
    return make_network(graph=graph, attributes=attributes, turns=turns, shapes=None, report={"source": "simulated"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cities", type=int, default=1000)
    parser.add_argument("--routes", type=int, default=300, help="per city")
    parser.add_argument("--side", type=int, default=5, help="nodes along each side of the grid")
    parser.add_argument("--ending", choices=["arrival", "stop"], default="arrival")
    arguments = parser.parse_args()
    document = {
        "reward": {"features": list(TASTE)},
        "planner": {"ending": arguments.ending, "threads": 1},
        "baselines": {"budget": 0},
    }
    config = parse_config(document, where="benchmark")
    started = time.perf_counter()
    is_covered = np.zeros((arguments.cities, 2, len(TASTE)), bool)
    for seed in range(arguments.cities):
        network = city(seed, arguments.side)
        routes = simulate(
            network, arguments.routes, taste=TASTE, seed=seed, num_destinations=8, ending=arguments.ending
        )
        for at, one in enumerate(fit(network, routes, config).coefficients):
            gap = abs(one.value - TASTE[one.name])
            for kind, error in enumerate((one.standard_error, one.robust_standard_error)):
                is_covered[seed, kind, at] = error is not None and gap <= NORMAL_975 * error
    band = [float(stats.binom.ppf(q, arguments.cities, 0.95)) / arguments.cities for q in (0.0005, 0.9995)]
    share = is_covered.mean(axis=0)
    for at, name in enumerate(TASTE):
        print(f"{name:<16} classical {share[0, at]:.3f}  robust {share[1, at]:.3f}")
    is_inside = bool(((share >= band[0]) & (share <= band[1])).all())
    print(f"99.9 % band around 0.95 for {arguments.cities} cities: {band[0]:.3f} to {band[1]:.3f}")
    figures = {
        "cities": arguments.cities,
        "classical": dict(zip(TASTE, share[0].tolist(), strict=True)),
        "robust": dict(zip(TASTE, share[1].tolist(), strict=True)),
        "band": band,
        "is_inside": is_inside,
        "seconds": time.perf_counter() - started,
    }
    print(json.dumps(figures))
    sys.exit(0 if is_inside else 1)


if __name__ == "__main__":
    main()
