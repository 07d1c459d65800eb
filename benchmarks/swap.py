"""Queries while metrics are swapped: from threads of one process, and over HTTP. No error, and no answer of neither.

Porto's roads under two *stated* rewards (nobody learned them), random pairs of coordinates 0.5 to 8 km apart. Every
answer is known beforehand under both.

From threads (--minutes): --threads of them ask `Router.route` without pause while another one replaces the metric
`learned` by the one and the other in turn. `queries`, `swaps`; `errors` are exceptions; `wrong` are answers whose edges
or cost are not those of the reward that the answer's version stands for; `p99_us` is of single calls in such a thread,
all threads at work, and `quiet_p99_us` of one thread alone without swaps.

Over HTTP (--http-seconds, twice): `trodden serve --workers 2`, asked for `/route/v1` by two processes with 8 keep-alive
connections each, which check every answer. `http_per_second` without swaps, `http_swapping_per_second` while new
models are put into the folder that the server watches; `http_errors`, `http_wrong`, `http_p99_ms` are of both.
`server_cpu_ms` and `load_cpu_ms` are processor time per request of the workers and of the load generator, without
swaps: on a machine whose processors do nothing else, 1000 / server_cpu_ms is what one worker can do in a second.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from trodden import Router, read_roads, save_model
from trodden.cli.console import say
from trodden.core.config import parse_config
from trodden.graphs.costs import fastest_costs, shortest_costs
from trodden.graphs.geometry import great_circle_m
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.features import make_features
from trodden.irl.model import Coefficient, LearnedModel, entry_costs
from trodden.routing.points import Coordinate

TASTES = (
    {"travel_time_min": -1.5, "is_left": -0.6, "is_uturn": -3.0, "constant": -0.8},
    {"travel_time_min": -0.6, "is_left": -0.1, "is_uturn": -3.0, "constant": -1.9},
)
CONNECTIONS, CLIENTS, WORKERS = 8, 2, 2


def main() -> None:
    shared = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TRODDEN_DATA", shared)))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--http-seconds", type=float, default=30.0)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    network = read_roads(arguments.data / "osm" / "porto.osm.pbf")
    models = [stated_model(network, taste) for taste in TASTES]
    pairs = random_pairs(network, arguments.pairs, arguments.seed)
    answers = [[(one.edge_ids, one.cost) for one in known(model, pairs)] for model in models]
    differ = sum(a[0] != b[0] for a, b in zip(*answers, strict=True))
    say(f"{len(pairs)} pairs, {differ} of them with another route under the other reward")
    figures: dict[str, Any] = {"benchmark": "swap", "pairs": len(pairs), "pairs_that_differ": differ}
    figures |= from_threads(models, pairs, answers, arguments.minutes * 60, arguments.threads)
    say(", ".join(f"{name} {value}" for name, value in figures.items()))
    figures |= over_http(models, pairs, answers, arguments.http_seconds)
    print(json.dumps(figures))


def stated_model(network: RoadNetwork, taste: dict[str, float]) -> LearnedModel:
    """A model with that taste, as if it had been learned."""
    features = make_features(network, tuple(taste))
    cost = -(features.rows(np.arange(network.turns.num_turns)) @ np.array(list(taste.values())))
    return LearnedModel(
        network=network,
        config=parse_config({"reward": {"features": list(taste)}}, where="swap"),
        coefficients=tuple(Coefficient(name, value, None, "stated") for name, value in taste.items()),
        turn_cost=cost,
        entry_cost=entry_costs(np.zeros(network.graph.num_edges), cost, network.turns.to_edge),
        baseline_costs={"fastest": fastest_costs(network)[0], "shortest": shortest_costs(network)[0]},
        training_pairs=np.empty(0, np.int64),
        summary={},
        is_simulated=True,
    )


def random_pairs(network: RoadNetwork, count: int, seed: int) -> list[tuple[Coordinate, Coordinate]]:
    """Places up to 50 m beside junctions of the main network, 0.5 to 8 km apart."""
    random = np.random.default_rng(seed)
    latitude, longitude = network.graph.require_coordinates("this benchmark")
    nodes = np.unique(network.graph.tail[network.turns.is_main])
    pairs: list[tuple[Coordinate, Coordinate]] = []
    while len(pairs) < count:
        a, b = random.choice(nodes, 2)
        ends = latitude[[a, b]] + random.uniform(-4e-4, 4e-4, 2), longitude[[a, b]] + random.uniform(-4e-4, 4e-4, 2)
        apart = float(great_circle_m(ends[0][:1], ends[1][:1], ends[0][1:], ends[1][1:])[0])
        if 500 <= apart <= 8000:
            one, other = (Coordinate(round(float(y), 6), round(float(x), 6)) for y, x in zip(*ends, strict=True))
            pairs.append((one, other))
    return pairs


def known(model: LearnedModel, pairs: list[tuple[Coordinate, Coordinate]]) -> list[Any]:
    router = Router(model)
    return [router.route(*pair) for pair in pairs]


# ------------------------------------------------------------------------------------------------ threads


def from_threads(
    models: list[LearnedModel], pairs: list[Any], answers: list[Any], seconds: float, count: int
) -> dict[str, Any]:
    router = Router(models[0])
    of_version = {router.version("learned"): 0}
    quiet = np.array([_timed(router, pair)[1] for _ in range(4) for pair in pairs][len(pairs) :])
    stop = threading.Event()
    found: list[list[tuple[int, int, Any, float]]] = [[] for _ in range(count)]
    errors: list[str] = []
    tallies = [[0, 0] for _ in range(count)]
    latencies: list[list[float]] = [[] for _ in range(count)]

    def ask(thread: int) -> None:
        at = thread * 101
        while not stop.is_set():
            row = at % len(pairs)
            at += 1
            try:
                route, took = _timed(router, pairs[row])
            except Exception as error:  # whatever it is, it counts
                errors.append(repr(error))
                continue
            latencies[thread].append(took)
            tallies[thread][0] += 1
            edges, cost = route.edge_ids, route.cost
            # A swap's version is known a moment after its first answers: those are looked at once more below.
            found[thread].append((row, route.version, edges, cost))
            if len(found[thread]) > 2000:
                tallies[thread][1] += check(found[thread][:1000], of_version, answers)
                del found[thread][:1000]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    begin, swaps = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        swaps += 1
        of_version[router.add_model("learned", models[swaps % 2])] = swaps % 2
    stop.set()
    for thread in threads:
        thread.join()
    wrong = sum(tally[1] for tally in tallies) + sum(check(rest, of_version, answers) for rest in found)
    took = np.concatenate([np.array(one) for one in latencies])
    return {
        "minutes": round(seconds / 60, 2),
        "threads": count,
        "queries": sum(tally[0] for tally in tallies),
        "swaps": swaps,
        "errors": len(errors),
        "first_errors": errors[:3],
        "wrong": wrong,
        "p99_us": round(float(np.quantile(took, 0.99)) * 1e6),
        "median_us": round(float(np.median(took)) * 1e6),
        "quiet_p99_us": round(float(np.quantile(quiet, 0.99)) * 1e6),
        "quiet_median_us": round(float(np.median(quiet)) * 1e6),
    }


def _timed(router: Router, pair: Any) -> tuple[Any, float]:
    begin = time.perf_counter()
    route = router.route(*pair)
    return route, time.perf_counter() - begin


def check(found: list[Any], of_version: dict[int, int], answers: list[Any]) -> int:
    """How many of some answers are not those of the reward that their version stands for."""
    wrong = 0
    for row, version, edges, cost in found:
        want = answers[of_version[version]][row] if version in of_version else None
        # Two routes of equal cost in quanta may both be cheapest: the cost decides.
        if want is None or (edges != want[0] and abs(cost - want[1]) > 1e-6 * want[1]):
            wrong += 1
    return wrong


# ------------------------------------------------------------------------------------------------ HTTP


def over_http(models: list[LearnedModel], pairs: list[Any], answers: list[Any], seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="trodden-swap-") as place:
        folder = save_model(models[0], Path(place) / "model")
        log = Path(place) / "log"
        command = [sys.executable, "-m", "trodden", "serve", str(folder), "--port", "0"]
        command += ["--workers", str(WORKERS), "--reload-every", "1"]
        with open(log, "w", encoding="utf-8") as file:
            server = subprocess.Popen(command, stdout=file, stderr=file, cwd=place)
        try:
            port = _port(server, log)
            wait_for_workers(server.pid)
            load(port, pairs, answers, 5.0)  # each worker's first answers compile and fill its caches
            before = cpu_seconds(children(server.pid))
            plain = load(port, pairs, answers, seconds)
            spent = cpu_seconds(children(server.pid)) - before
            stop = threading.Event()
            swapping = threading.Thread(target=put_models, args=(models, folder, stop))
            swapping.start()
            busy = load(port, pairs, answers, seconds)
            stop.set()
            swapping.join()
        finally:
            server.send_signal(signal.SIGTERM)
            code = server.wait(60)
        said = log.read_text(encoding="utf-8")
    figures = {
        "http_per_second": round(plain["per_second"]),
        "http_swapping_per_second": round(busy["per_second"]),
        "http_queries": plain["requests"] + busy["requests"],
        "http_swaps": len(re.findall("is now version", said)),
        "http_errors": plain["errors"] + busy["errors"],
        "http_wrong": plain["wrong"] + busy["wrong"],
        "http_p99_ms": round(max(plain["p99_ms"], busy["p99_ms"]), 2),
        "http_median_ms": round(plain["median_ms"], 2),
        "server_cpu_ms": round(1e3 * spent / plain["requests"], 3),
        "load_cpu_ms": round(1e3 * plain["cpu_seconds"] / plain["requests"], 3),
        "workers": WORKERS,
        "server_exit_code": code,
        "first_http_errors": (plain["messages"] + busy["messages"])[:3],
    }
    return figures


def put_models(models: list[LearnedModel], folder: Path, stop: threading.Event) -> None:
    """New models in the folder that the server watches, one after the other."""
    at = 0
    while not stop.wait(2.0):
        at += 1
        save_model(models[at % 2], folder)


def load(port: int, pairs: list[Any], answers: list[Any], seconds: float) -> dict[str, Any]:
    requests = [
        f"/route/v1/learned/{a.longitude_deg},{a.latitude_deg};{b.longitude_deg},{b.latitude_deg}" for a, b in pairs
    ]
    expected = [[round(cost, 6) for _, cost in row] for row in zip(*answers, strict=True)]
    clients = []
    begin_cpu = os.times()
    for number in range(CLIENTS):
        turned = number * len(requests) // CLIENTS
        task = {
            "port": port,
            "seconds": seconds,
            "connections": CONNECTIONS,
            "requests": requests[turned:] + requests[:turned],
            "expected": expected[turned:] + expected[:turned],
        }
        client = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("_http_load.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert client.stdin
        client.stdin.write(json.dumps(task))
        client.stdin.close()
        clients.append(client)
    parts = []
    for client in clients:
        assert client.stdout
        parts.append(json.loads(client.stdout.read()))
        client.wait(60)
    end_cpu = os.times()
    latencies = np.concatenate([np.array(part["latencies"]) for part in parts])
    return {
        "requests": sum(part["requests"] for part in parts),
        "errors": sum(part["errors"] for part in parts),
        "wrong": sum(part["wrong"] for part in parts),
        "messages": [message for part in parts for message in part["messages"]],
        "per_second": sum(part["requests"] / part["seconds"] for part in parts),
        "p99_ms": 1e3 * float(np.quantile(latencies, 0.99)),
        "median_ms": 1e3 * float(np.median(latencies)),
        "cpu_seconds": end_cpu.children_user
        + end_cpu.children_system
        - begin_cpu.children_user
        - begin_cpu.children_system,
    }


def _port(server: subprocess.Popen[bytes], log: Path) -> int:
    while server.poll() is None:
        if found := re.search(r"serving .*:(\d+),", log.read_text(encoding="utf-8")):
            return int(found[1])
        time.sleep(0.2)
    raise RuntimeError(log.read_text(encoding="utf-8"))


def wait_for_workers(pid: int) -> None:
    """The first worker answers before the second one has loaded its model: until no child is busy any more."""
    before = -1.0
    while (now := cpu_seconds(children(pid))) - before > 0.2:
        before = now
        time.sleep(2.0)


def children(pid: int) -> list[int]:
    """Processes started by a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def cpu_seconds(pids: list[int]) -> float:
    """Processor time that some processes have taken."""
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace").rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


if __name__ == "__main__":
    main()
