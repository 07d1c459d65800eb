"""What alternatives and isochrones cost, and how exact probabilities in corridors are.

Porto's roads under a stated taste (1.5 per minute, 0.8 per edge, 0.6 per left and 0.3 per right turn, 3 per U-turn).
Trips between random coordinates on roads 2 to 10 km apart. Medians: `alternatives_ms`, four of them with 1,000 routes
drawn, by the LU of the whole map (`corridor_alternatives_ms`: by one of the trip's corridor); `found`, how many there
were on average; `share_covered`, the part of drawn routes like one of them; `max_log_probability_error` between
corridor and map. `reachable_ms` is the search for a limit of 10 minutes, `polygon_ms` the polygon. With --tiles K, the
corridor figures on K x K mirrored copies of Porto ("tiled_").
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from trodden import read_roads
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.tiling import tile_network
from trodden.routing import alternatives
from trodden.routing.alternatives import Alternatives
from trodden.routing.router import Router


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/porto.osm.pbf")
    parser.add_argument("--trips", type=int, default=50)
    parser.add_argument("--tiles", type=int, default=0)
    arguments = parser.parse_args()
    network = read_roads(arguments.data / "osm" / "porto.osm.pbf")
    router, pairs = make_router(network), trips(network, arguments.trips)
    figures: dict[str, Any] = {"edges": network.graph.num_edges, "trips": len(pairs)}
    whole, figures["alternatives_ms"] = timed(lambda pair: router.alternatives(*pair, 4), pairs)
    near, figures["corridor_alternatives_ms"] = in_corridors(router, pairs)
    figures["found"] = statistics.mean(len(one) for one in whole)
    figures["share_covered"] = statistics.median(1.0 - (one.share_of_others or 0.0) for one in whole)
    gaps = [
        abs((a.log_probability or 0.0) - (b.log_probability or 0.0))
        for one, other in zip(whole, near, strict=True)
        for a, b in zip(one, other, strict=False)
        if a.route.edge_ids == b.route.edge_ids
    ]
    figures["max_log_probability_error"] = max(gaps)
    found, figures["reachable_ms"] = timed(lambda pair: router.reachable(pair[0], 600.0), pairs)
    _, figures["polygon_ms"] = timed(lambda one: one.polygon, found)
    if arguments.tiles:
        tiled = tile_network(network, arguments.tiles)
        _, figures["tiled_alternatives_ms"] = in_corridors(make_router(tiled), pairs)
        figures["tiled_edges"] = tiled.graph.num_edges
    print(json.dumps({name: round(value, 9) for name, value in figures.items()}))


def make_router(network: RoadNetwork) -> Router:
    turns = network.turns
    minutes = network.attributes.require("travel_time_s", "a taste").astype(np.float64) / 60.0
    entry = 1.5 * minutes + 0.8
    return Router.from_costs(
        network, entry[turns.to_edge] + 0.6 * turns.is_left + 0.3 * turns.is_right + 3.0 * turns.is_uturn, entry
    )


def trips(network: RoadNetwork, count: int) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    random = np.random.default_rng(0)
    middles = network.graph.edge_midpoints()
    assert middles is not None
    places = np.column_stack(middles)[network.turns.is_main]
    pairs = []
    while len(pairs) < count:
        a, b = places[random.integers(0, len(places), 2)]
        metres = np.hypot(*((a - b) * [111_195.0, 111_195.0 * np.cos(np.radians(a[0]))]))
        if 2_000 < metres < 10_000:
            pairs.append(((float(a[0]), float(a[1])), (float(b[0]), float(b[1]))))
    return pairs


def timed(task: Callable[[Any], Any], items: list[Any]) -> tuple[list[Any], float]:
    """Answers, and the median milliseconds; a first call compiles and factorises and does not count."""
    task(items[0])
    answers, seconds = [], []
    for item in items:
        begin = time.perf_counter()
        answers.append(task(item))
        seconds.append(time.perf_counter() - begin)
    return answers, 1000.0 * statistics.median(seconds)


def in_corridors(router: Router, pairs: list[Any]) -> tuple[list[Alternatives], float]:
    before = alternatives.LARGEST_FACTORISED
    alternatives.LARGEST_FACTORISED = 0
    try:
        return timed(lambda pair: router.alternatives(*pair, 4), pairs)
    finally:
        alternatives.LARGEST_FACTORISED = before


if __name__ == "__main__":
    main()
