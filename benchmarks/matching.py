"""Map matching on *simulated* traces, whose true routes are known: ours beside other packages on the same traces.

Routes are drawn from a stated reward on Porto and Portland (`trodden simulate`), driven at a random pace around 1.25
times free flow, and seen every so many seconds with an error of so many metres per axis. `hard` settings have errors
that stay alike for 30 s, 2 % of points 200 m off, and a gap in every fifth trace.

right share        of the true routes' length, the part that is in the matched ones, as directed edges
mismatch fraction  length wrongly left out plus length wrongly added, by the length of the true routes: Newson and Krumm
traces per second  of CPU time of one thread, reading and writing not counted; ours with the noise estimated from the
                   traces themselves (a run over up to 400 of them, not counted either), the peers with the true one

With ``--peers`` an environment is made in ``--environment`` (once) with mappymatch and leuvenmapmatching, which match
the first ``--peer-traces`` of the same traces; ours are scored on the same ones then. They get the same map, less the
turn restrictions, which neither knows of. leuvenmapmatching is Python alone; mappymatch finds paths in igraph, which is
C. `least_ratio` is by how much ours is faster than each of them, in the setting where that is least; `behind` the
largest amount by which a peer's mismatch fraction is below ours.

With ``--train``: 30 s between points on Porto, matched, and a model learned from that: its coefficients beside the
stated ones and those learned from the true routes, and how well both predict other true routes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from trodden import read_roads, simulate
from trodden.cli.console import err, out, text_table
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.matching import Matched, MatchingSettings, TraceMatcher
from trodden.irl.trace_simulation import TraceNoise, simulate_traces
from trodden.irl.traces import Traces

PEERS = ("mappymatch", "leuvenmapmatching")
PINNED = ("mappymatch==0.7.1", "leuvenmapmatching==1.1.4", "rtree>=1")
SETTINGS = {
    "1s_5m": TraceNoise(1, 5),
    "1s_20m": TraceNoise(1, 20),
    "1s_50m": TraceNoise(1, 50),
    "5s_10m": TraceNoise(5, 10),
    "10s_10m": TraceNoise(10, 10),
    "10s_30m": TraceNoise(10, 30),
    "30s_10m": TraceNoise(30, 10),
    "30s_30m": TraceNoise(30, 30),
    "60s_20m": TraceNoise(60, 20),
    "120s_20m": TraceNoise(120, 20),
    "hard_5s_10m": TraceNoise(5, 10, correlation_s=30, outlier_share=0.02, gap_share=0.2),
    "hard_30s_10m": TraceNoise(30, 10, correlation_s=30, outlier_share=0.02, gap_share=0.2),
}


@dataclass(frozen=True)
class Score:
    """Of some traces."""

    right_share: float
    mismatch_fraction: float
    traces_per_second: float

    def to_json(self) -> dict[str, float]:
        """Rounded."""
        return {name: round(value, 4) for name, value in vars(self).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", nargs="+", default=["porto", "portland"])
    parser.add_argument("--folder", default="../shared/data/osm", help="of the extracts")
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--traces", type=int, default=300)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--peer-traces", type=int, default=20)
    parser.add_argument("--environment", type=Path, default=Path("build/matching-peers"))
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--train-routes", type=int, default=4000)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    python = _environment(arguments.environment) if arguments.peers else None
    for city in arguments.maps:
        network = read_roads(Path(arguments.folder) / f"{city}.osm.pbf")
        routes = simulate(network, arguments.traces, seed=1, num_destinations=50, min_km=1.0, max_km=8.0)
        seen = {name: simulate_traces(routes, SETTINGS[name], seed=2) for name in arguments.settings}
        some = np.arange(min(arguments.peer_traces, len(routes)))
        theirs: dict[str, list[Score]] = {}
        for peer in PEERS if python is not None else ():
            assert python is not None
            sets = [(traces.take(some), SETTINGS[name].noise_m) for name, traces in seen.items()]
            answers = _peer(python, peer, network, sets)
            theirs[peer] = [_score(network, routes, found, seconds) for found, seconds in answers]
        for k, (name, traces) in enumerate(seen.items()):
            figures[f"{city}_{name}"] = one = _ours(network, routes, traces, len(some) if theirs else 0)
            one |= {peer: scores[k].to_json() for peer, scores in theirs.items()}
            _say(f"{city}_{name}", one)
    if python is not None:
        figures["least_ratio"], figures["behind"] = ratios, lead = _against(figures)
        verdict = "met" if min(ratios.values()) >= 10 and lead <= 0.0 else "missed"
        fastest = ", ".join(f"{peer} {ratio:.1f} times" for peer, ratio in ratios.items())
        out.print(
            f"at least as accurate as the best, and 10 times as fast as each: {verdict} ({lead:+.4f}; {fastest})",
            markup=False,
        )
    if arguments.train:
        from _matching_training import train_on_matched

        figures["train"] = train_on_matched(Path(arguments.folder) / "porto.osm.pbf", arguments.train_routes)
    print(json.dumps(figures))


def _ours(network: RoadNetwork, routes: Demonstrations, traces: Traces, num_peer: int) -> dict[str, Any]:
    matcher = TraceMatcher(network, MatchingSettings(threads=1))
    estimated = matcher.estimate(traces)
    started = time.process_time()
    found = matcher.match(traces, estimated)
    seconds = time.process_time() - started
    ours = _routes_by_trace(found, len(routes))
    figures: dict[str, Any] = _score(network, routes, ours, seconds).to_json()
    figures |= {"points_per_second": round(traces.num_points / seconds), "confidence": round(_mean(found), 4)}
    if num_peer:
        same = _score(network, routes, ours[:num_peer], seconds).to_json()
        figures["ours_on_the_same"] = {name: same[name] for name in ("right_share", "mismatch_fraction")}
    return figures


def _mean(found: Matched) -> float:
    return float(found.confidence.mean()) if len(found) else 0.0


def _routes_by_trace(found: Matched, count: int) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(count)]
    for k, row in enumerate(found.row.tolist()):
        rows[row] += found.route(k).tolist()
    return rows


def _score(network: RoadNetwork, routes: Demonstrations, matched: list[list[int]], seconds: float) -> Score:
    length = network.edge_length_m()
    total = missing = added = 0.0
    for row, edges in enumerate(matched):
        truth, mine = Counter(routes.route(row).tolist()), Counter(edges)
        total += sum(length[edge] * n for edge, n in truth.items())
        missing += sum(length[edge] * n for edge, n in (truth - mine).items())
        added += sum(length[edge] * n for edge, n in (mine - truth).items())
    return Score(1 - missing / total, (missing + added) / total, len(matched) / max(seconds, 1e-9))


def _peer(
    python: Path, peer: str, network: RoadNetwork, sets: list[tuple[Traces, float]]
) -> list[tuple[list[list[int]], float]]:
    """(edges of the route of every trace, CPU seconds) for each set of traces."""
    shapes, graph = network.shapes, network.graph
    assert shapes is not None
    with tempfile.TemporaryDirectory() as folder:
        city = Path(folder) / "city.npz"
        np.savez(
            city,
            first_point=shapes.first_point,
            point_node=shapes.osm_node,
            latitude=shapes.latitude_e7 * 1e-7,
            longitude=shapes.longitude_e7 * 1e-7,
            tail=graph.tail,
            head=graph.head,
            length_m=network.edge_length_m(),
            travel_time_s=network.attributes.require("travel_time_s", "the benchmark"),
        )
        paths = [Path(folder) / f"{k}.npz" for k in range(len(sets))]
        for path, (traces, noise_m) in zip(paths, sets, strict=True):
            np.savez(
                path,
                first_trace=traces.first,
                latitude=traces.latitude_deg,
                longitude=traces.longitude_deg,
                noise_m=noise_m,
            )
        script = Path(__file__).with_name("_matching_peers.py")
        subprocess.run([python, script, peer, city, *paths], check=True)
        return [_answer(path) for path in paths]


def _answer(path: Path) -> tuple[list[list[int]], float]:
    with np.load(f"{path}.answer.npz", allow_pickle=False) as found:
        counts = found["counts"]
        rows = np.split(found["edges"], np.cumsum(counts)[:-1]) if len(counts) else []
        return [row.tolist() for row in rows], float(found["seconds"])


def _environment(folder: Path) -> Path:
    """The Python of an environment that has the peers; made where it is not there."""
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.exists():
        err.print(f"making {folder} with {', '.join(PINNED)}", markup=False)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--prefer-binary", *PINNED], check=True)
    return python


def _against(figures: dict[str, Any]) -> tuple[dict[str, float], float]:
    """(least ratio of speeds for each peer, largest lead of one in mismatch fraction), over settings."""
    settings = [one for one in figures.values() if isinstance(one, dict) and PEERS[0] in one]
    ratios = {
        peer: min(one["traces_per_second"] / one[peer]["traces_per_second"] for one in settings) for peer in PEERS
    }
    leads = [
        one["ours_on_the_same"]["mismatch_fraction"] - one[peer]["mismatch_fraction"]
        for one in settings
        for peer in PEERS
    ]
    return ratios, max(leads)


def _say(name: str, figures: dict[str, Any]) -> None:
    rows = [["trodden", *_cells(figures)]]
    if PEERS[0] in figures:
        rows.append(["on the peers'", *_cells({**figures, **figures["ours_on_the_same"], "traces_per_second": None})])
        rows += [[peer, *_cells(figures[peer])] for peer in PEERS]
    out.print(text_table([name, "right", "mismatch", "traces/s"], rows), markup=False)


def _cells(figures: dict[str, Any]) -> list[str]:
    speed = figures["traces_per_second"]
    return [
        f"{figures['right_share']:.4f}",
        f"{figures['mismatch_fraction']:.4f}",
        "" if speed is None else f"{speed:.1f}",
    ]


if __name__ == "__main__":
    main()
