"""What a query costs, beside the bare binding, SciPy, networkx and osmnx, and whether it is right.

Porto's roads and free-flow times, pairs of edges of the main network drawn at random. The times of `Router.route` by
edge ids, Python and the list of turns included, stand beside those of the binding called directly on the same topology
with its list of turns unpacked ("bare"); both in turn, block by block, so that a busy machine slows both. Ratios are of
medians.

`over_bare_cch`: route over bare. `p99_us`: of route. `scipy_ratio`: SciPy's Dijkstra from one edge on the same turn
graph, with predecessors (it cannot stop at its target). `networkx_ratio`: bidirectional Dijkstra on the MultiDiGraph of
nodes, which knows no turn. `osmnx_ratio`: `osmnx.routing.shortest_path` there. `turn_over_node`: bare on the turn graph
over bare on the node graph. `customise_over_bare`: `Router.add_metric`, from costs in floats to a metric that answers,
over the bare metric of integers that are there already. `threads_ratio`: rows per second of `Router.routes` by two
threads over one. `matrix_seconds`: 1,000 x 1,000 coordinates. `closed_ms`, `closed_many_ms`, `avoid_first_ms`: a query
with one edge closed that its route used, with twenty, with a factor not asked for before. `swap_us`: the slowest query
of another thread while a metric is replaced. `bytes_per_edge`: growth of resident memory by the router. Keys that begin
with "tiled_" are the same on --tiles x --tiles mirrored copies of Porto, joined (3: 1.1 M edges; 0 leaves that out).

--oracle N: N random queries on each of Porto, Portland and Heidelberg, from edge to edge on the turn graph with its
restrictions, against SciPy's Dijkstra on the same integers: equal cost, permitted turns, the right ends;
`oracle_queries`, `oracle_mismatches`. --coordinates N: N trips between random places of Porto, part-way on their edges,
against every first and last edge by Dijkstra in floats; `coordinate_trips`, `coordinate_mismatches`. --engines N: OSRM
and Valhalla on the same extract between N pairs of places, in an environment that is made for them: see `_engines.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import osmnx
import routingkit_cch
from _engines import measure_engines
from _memory import resident_bytes
from scipy.sparse import csgraph
from trodden import read_roads
from trodden.cli.console import out
from trodden.core.errors import UnreachableError
from trodden.graphs.costs import fastest_costs
from trodden.graphs.export import to_networkx
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.shortest_paths import costs_from, turn_matrix
from trodden.graphs.tiling import tile_network
from trodden.routing.router import Router

BLOCK = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/porto.osm.pbf")
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--slow-queries", type=int, default=10, help="of SciPy, networkx and osmnx")
    parser.add_argument("--matrix", type=int, default=1000)
    parser.add_argument("--tiles", type=int, default=3)
    parser.add_argument("--oracle", type=int, default=0, metavar="N")
    parser.add_argument("--coordinates", type=int, default=0, metavar="N")
    parser.add_argument("--engines", type=int, default=0, metavar="N")
    parser.add_argument("--engines-folder", type=Path, default=Path("out/engines"), help="where they are installed")
    arguments = parser.parse_args()
    porto = read_roads(arguments.data / "osm" / "porto.osm.pbf")
    figures = _measure(porto, arguments)
    router = figures.pop("router")
    figures |= _slow_ones(router, arguments) | _requests(router)
    if arguments.coordinates:
        figures |= _coordinates(router, arguments.coordinates)
    if arguments.engines:
        source = arguments.data / "osm" / "porto.osm.pbf"
        figures |= measure_engines(router, source, arguments.engines_folder.resolve(), arguments.engines)
    del router
    if arguments.tiles:
        tiled = _measure(tile_network(porto, arguments.tiles), arguments)
        del tiled["router"]
        figures |= {f"tiled_{name}": value for name, value in tiled.items()}
    if arguments.oracle:
        figures |= _oracle(arguments.data, arguments.oracle)
    for name, value in figures.items():
        out.print(f"{name:28} {value:,.4g}", markup=False)
    print(json.dumps(figures))


def _measure(network: RoadNetwork, arguments: argparse.Namespace) -> dict[str, Any]:
    before, started = resident_bytes(), time.perf_counter()
    turn_cost, entry_cost = fastest_costs(network)
    router = Router.from_costs(network, turn_cost, entry_cost)
    built = time.perf_counter() - started
    figures: dict[str, Any] = {"router": router, "edges": network.graph.num_edges, "build_seconds": built}
    figures["bytes_per_edge"] = (resident_bytes() - before) / network.graph.num_edges
    random = np.random.default_rng(0)
    main = np.flatnonzero(network.turns.is_main)
    pairs = random.choice(main, (arguments.queries, 2))
    bare, ours = _side_by_side(router, pairs)
    figures["route_us"], figures["bare_us"] = 1e6 * statistics.median(ours), 1e6 * statistics.median(bare)
    figures["over_bare_cch"] = figures["route_us"] / figures["bare_us"]
    figures["p99_us"], figures["bare_p99_us"] = (1e6 * float(np.percentile(times, 99)) for times in (ours, bare))
    figures |= _customise(router) | _node_graph(network, statistics.median(bare), arguments.queries)
    figures |= _many(router, pairs, arguments.matrix)
    figures["swap_us"] = _swap(router, pairs)
    return figures


def _names(network: RoadNetwork, pairs: np.ndarray) -> list[tuple[str, str]]:
    return [(f"edge:{a}", f"edge:{b}") for a, b in network.graph.edge_id[pairs]]


def _side_by_side(router: Router, pairs: np.ndarray) -> tuple[list[float], list[float]]:
    """Seconds of each query: (bare, ours), block by block in turn; who comes first to a block changes."""
    topology = router._hierarchy._topology
    values = router._metrics.get(None).metric.costs.value.tolist()
    query = routingkit_cch.CCHQuery(routingkit_cch.CCHMetric(topology._cch, values))
    names, positions = _names(router.network, pairs), pairs.tolist()
    router.route(*names[0])

    def bare(row: int) -> None:
        result = query.run(*positions[row])
        _ = result.distance, result.arc_path

    times: dict[str, list[float]] = {"bare": [], "ours": []}
    asks = {"bare": bare, "ours": lambda row: router.route(*names[row])}
    for first in range(0, len(pairs), BLOCK):
        for name in sorted(asks, reverse=(first // BLOCK) % 2 == 1):
            for row in range(first, min(first + BLOCK, len(pairs))):
                started = time.perf_counter()
                asks[name](row)
                times[name].append(time.perf_counter() - started)
    return times["bare"], times["ours"]


def _customise(router: Router) -> dict[str, float]:
    topology, costs = router._hierarchy._topology, router._metrics.get(None)
    values = costs.metric.costs.value.tolist()
    bare, ours = [], []
    for _ in range(5):
        bare.append(_seconds(lambda: routingkit_cch.CCHMetric(topology._cch, values)))
        ours.append(_seconds(lambda: router.add_metric("again", costs.turn_cost, costs.entry_cost)))
    router.remove_metric("again")
    bare_ms, ours_ms = 1000 * statistics.median(bare), 1000 * statistics.median(ours)
    return {"bare_customise_ms": bare_ms, "add_metric_ms": ours_ms, "customise_over_bare": ours_ms / bare_ms}


def _node_graph(network: RoadNetwork, turn_seconds: float, count: int) -> dict[str, float]:
    """Bare queries between nodes, without turns."""
    graph = network.graph
    latitude, longitude = graph.require_coordinates("ordering")
    tail, head = graph.tail.tolist(), graph.head.tolist()
    order = routingkit_cch.compute_order_inertial(graph.num_nodes, tail, head, latitude.tolist(), longitude.tolist())
    times = np.maximum(np.rint(fastest_costs(network)[1] * 100), 1).astype(int).tolist()
    query = routingkit_cch.CCHQuery(routingkit_cch.CCHMetric(routingkit_cch.CCH(order, tail, head, False), times))
    seconds = []
    for a, b in np.random.default_rng(1).integers(0, graph.num_nodes, (count, 2)).tolist():
        started = time.perf_counter()
        result = query.run(a, b)
        _ = result.distance if result.distance is None else result.arc_path
        del result
        seconds.append(time.perf_counter() - started)
    return {"node_us": 1e6 * statistics.median(seconds), "turn_over_node": turn_seconds / statistics.median(seconds)}


def _many(router: Router, pairs: np.ndarray, size: int) -> dict[str, float]:
    names = _names(router.network, pairs)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(3):
        for threads in seconds:
            seconds[threads].append(_seconds(lambda threads=threads: router.routes(names, threads=threads)))
    one, two = (statistics.median(seconds[threads]) for threads in (1, 2))
    places = np.stack(router.network.graph.edge_midpoints(), axis=1)[np.resize(pairs, (2 * size,))]
    router.nearest(tuple(places[0]))
    matrix = _seconds(lambda: router.matrix(places[:size], places[size:]))
    return {"batch_per_second": len(names) / two, "threads_ratio": one / two, "matrix_seconds": matrix}


def _swap(router: Router, pairs: np.ndarray) -> float:
    """The slowest of another thread's queries, in microseconds, while a metric is replaced five times."""
    costs, names = router._metrics.get(None), _names(router.network, pairs[:200])
    seconds, stop = [], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            for pair in names:
                seconds.append(_seconds(lambda pair=pair: router.route(*pair)))

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(5):
        router.add_metric("again", costs.turn_cost, costs.entry_cost)
    stop.set()
    thread.join()
    router.remove_metric("again")
    return 1e6 * max(seconds)


def _slow_ones(router: Router, arguments: argparse.Namespace) -> dict[str, float]:
    network, random = router.network, np.random.default_rng(2)
    costs = router._metrics.get(None)
    main = np.flatnonzero(network.turns.is_main)
    pairs = random.choice(main, (arguments.slow_queries, 2))
    names = _names(network, pairs)
    ours = statistics.median(_seconds(lambda pair=pair: router.route(*pair)) for pair in names * 20)
    matrix = turn_matrix(network.turns, costs.metric.costs.as_floats())
    graph = to_networkx(network)
    ends = [(int(network.graph.node_id[a]), int(network.graph.node_id[b])) for a, b in network.graph.tail[pairs]]
    rivals: dict[str, Callable[[int], Any]] = {
        "scipy": lambda row: csgraph.dijkstra(matrix, indices=int(pairs[row, 0]), return_predecessors=True),
        "networkx": lambda row: nx.bidirectional_dijkstra(graph, *ends[row], weight="travel_time"),
        "osmnx": lambda row: osmnx.routing.shortest_path(graph, *ends[row], weight="travel_time"),
    }
    figures = {}
    for name, ask in rivals.items():
        seconds = statistics.median(_seconds(lambda row=row, ask=ask: ask(row)) for row in range(len(pairs)))
        figures |= {f"{name}_ms": 1000 * seconds, f"{name}_ratio": seconds / ours}
    return figures


def _requests(router: Router) -> dict[str, float]:
    names = _names(
        router.network, np.random.default_rng(3).choice(np.flatnonzero(router.network.turns.is_main), (60, 2))
    )
    few, many = [], []
    for pair in names:
        along = router.route(*pair).edge_ids
        for closed, times in ((along[len(along) // 2 :][:1], few), (along[2 : -2 : max(1, len(along) // 20)], many)):
            with contextlib.suppress(UnreachableError):
                times.append(_seconds(lambda pair=pair, closed=closed: router.route(*pair, closed=closed)))
    first = [_seconds(lambda k=k: router.route(*names[k], avoid={"motorway": 2.0 + k})) for k in range(5)]
    return {
        "closed_ms": 1000 * statistics.median(few),
        "closed_many_ms": 1000 * statistics.median(many),
        "avoid_first_ms": 1000 * statistics.median(first),
    }


def _oracle(data: Path, count: int) -> dict[str, int]:
    """Queries against Dijkstra on the same integers, many destinations to each origin."""
    asked = wrong = 0
    per_origin = 250
    for name in ("porto", "portland", "heidelberg"):
        network = read_roads(data / "osm" / f"{name}.osm.pbf")
        router = Router.from_costs(network, *fastest_costs(network))
        costs, turns = router._metrics.get(None).metric.costs, network.turns
        random = np.random.default_rng(4)
        origins = random.choice(turns.num_edges, -(-count // per_origin), replace=False).astype(np.int32)
        for origin in origins:
            (want,) = costs_from(turns, costs.as_floats(), np.array([origin]))
            goals = random.choice(turns.num_edges, per_origin)
            rows = _names(network, np.column_stack([np.full(per_origin, origin), goals]))
            for goal, answer in zip(goals, router.routes(rows), strict=True):
                wrong += not _is_right(answer, origin, goal, want[goal], costs.value, turns)
        asked += len(origins) * per_origin
        out.print(f"{name}: {wrong} of {asked:,} differ so far", markup=False)
    return {"oracle_queries": asked, "oracle_mismatches": wrong}


def _is_right(answer: Any, origin: int, goal: int, want: float, value: np.ndarray, turns: Any) -> bool:
    if isinstance(answer, UnreachableError):
        return bool(np.isinf(want))
    taken, edges = answer.turns, answer.edges
    is_joined = (turns.to_edge[taken[:-1]] == turns.from_edge[taken[1:]]).all()
    ends = edges[0] == origin and edges[-1] == goal
    return bool(is_joined and ends and answer.path.cost == want and value[taken].sum(dtype=np.int64) == want)


def _coordinates(router: Router, count: int) -> dict[str, int]:
    """Trips between places, every first and last edge tried; 20 destinations to each origin."""
    network, costs = router.network, router._metrics.get(None)
    turns, random, wrong, asked = network.turns, np.random.default_rng(5), 0, 0
    along = costs.entry_cost.copy()
    np.minimum.at(along, turns.to_edge, costs.turn_cost)
    places = np.stack(network.graph.edge_midpoints(), axis=1)[np.flatnonzero(turns.is_main)]
    for _ in range(-(-count // 20)):
        drawn = random.choice(places, 21) + random.normal(0, 2e-4, (21, 2))
        snaps = [router._locator.locate(place, "origin").snaps for place in drawn]
        rows = costs_from(turns, costs.turn_cost, np.array([snap.edge for snap in snaps[0]], np.int32))
        for answer, ends in zip(router.routes([(drawn[0], place) for place in drawn[1:]]), snaps[1:], strict=True):
            asked += 1
            if any(a.edge == b.edge for a in snaps[0] for b in ends):
                continue  # along one edge: the tests see to those
            totals = [
                (1 - a.fraction) * along[a.edge] + row[b.edge] - (1 - b.fraction) * along[b.edge]
                for a, row in zip(snaps[0], rows, strict=True)
                for b in ends
            ]
            wrong += abs(answer.cost - min(totals)) > 1e-6 * max(1.0, min(totals))
    return {"coordinate_trips": asked, "coordinate_mismatches": int(wrong)}


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
