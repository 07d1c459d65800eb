"""Training on a map of ten million edges, and what its cost follows: the trips, not the map.

Maps are *tiled*: K x K mirrored copies of Porto joined at their borders. Demonstrations are *simulated*, drawn in
corridors from a stated reward, 2 to 7 km apart as the crow flies, anywhere on the map. Each map has a process of its
own; `peak_gb` is the largest resident memory of the one that reads Porto, tiles it, draws the demonstrations, and
trains on the largest map, from the start of Python to the end of the training.

A pass is one log-likelihood with its gradient over all demonstrations; medians of --repeat passes after a first one,
which compresses the graph of turns: `compress_seconds` on the largest map.
`routes_per_second` is that of a pass over all demonstrations on the largest map. Exponents are slopes of least squares
on logarithms: `edge_exponent` of a pass over --few demonstrations against edges, `demonstration_exponent` of a pass on
the largest map against demonstrations, `length_exponent` of a pass per trip against the median length of the trips.
`planned_over_measured`: what `trodden plan` says of the largest run, from constants it measures by itself, over what
was measured: resident memory at the peak of the training, seconds of a pass.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from trodden import read_roads
from trodden.cli.console import out, text_table
from trodden.core.config import Config, parse_config
from trodden.core.threads import worker_threads
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.tiling import tile_network
from trodden.irl.capacity import plan_run
from trodden.irl.compressed_trips import compress_trips
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.features import make_features
from trodden.irl.planner import Planner
from trodden.irl.simulation import simulate
from trodden.irl.training import fit

TASTE = {"travel_time_min": -1.0, "is_left": -0.3, "constant": -1.3}
KM = (2.0, 7.0)
_OF_TRAINING = ("peak_gb", "training_peak_gb", "training_seconds", "passes", "coefficients")
LENGTHS = ((0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0))
"""Crow distances in km that the cost of a trip is measured over."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/porto.osm.pbf")
    parser.add_argument("--tiles", type=int, nargs="+", default=[1, 3, 9], help="edges grow with the square")
    parser.add_argument("--demonstrations", type=int, default=20_000, help="on the largest map")
    parser.add_argument("--few", type=int, default=2_000, help="on every map")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-training", action="store_true", help="passes alone: exponents in a third of the time")
    parser.add_argument("--picture", type=Path, default=Path("out/scale.png"))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(_one_map(arguments.one, arguments)))
        return
    found = [_in_a_process(tiles, arguments) for tiles in sorted(arguments.tiles)]
    largest = found[-1]
    figures = {
        "edges": largest["edges"],
        "demonstrations": arguments.demonstrations,
        "routes_per_second": arguments.demonstrations / largest["by_demonstrations"][-1][1],
        "edge_exponent": _slope([(one["edges"], one["few_seconds"]) for one in found]),
        "demonstration_exponent": _slope(largest["by_demonstrations"]),
        "length_exponent": _slope(largest["by_length"]),
        "compress_seconds": largest["compress_seconds"],
        "seconds_by_edges": {one["edges"]: one["few_seconds"] for one in found},
        "seconds_by_demonstrations": dict(largest["by_demonstrations"]),
        "ms_by_km": {f"{km:.2f}": 1000 * seconds for km, seconds in largest["by_length"]},
    }
    if not arguments.no_training:
        by_plan = {
            "memory": largest["planned_gb"] / largest["training_peak_gb"],
            "pass": largest["planned_pass_seconds"] / largest["by_demonstrations"][-1][1],
        }
        out.print(
            f"trodden plan over measured: memory {by_plan['memory']:.2f} ({largest['planned_gb']:.2f} GB), a pass "
            f"{by_plan['pass']:.2f} ({largest['planned_pass_seconds']:.1f} s)",
            markup=False,
        )
        figures |= {name: largest[name] for name in _OF_TRAINING}
        figures |= {"planned_over_measured": by_plan, "true_coefficients": TASTE}
    _plot(found, arguments)
    print(json.dumps(figures))


def _in_a_process(tiles: int, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", str(tiles)]
    for name in ("data", "demonstrations", "few", "repeat"):
        command += [f"--{name}", str(getattr(arguments, name))]
    command += ["--no-training"] if arguments.no_training else []
    command += ["--tiles", *map(str, arguments.tiles)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            if last:
                out.print(last, markup=False)
            last = line.rstrip()
    if process.returncode:
        raise SystemExit(process.returncode)
    return dict(json.loads(last))


def _one_map(tiles: int, arguments: argparse.Namespace) -> dict[str, Any]:
    network = read_roads(arguments.data / "osm" / "porto.osm.pbf")
    if tiles > 1:
        network = tile_network(network, tiles)
    is_largest = tiles == max(arguments.tiles)
    count = arguments.demonstrations if is_largest else arguments.few
    started = time.perf_counter()
    routes = _simulated(network, count, KM)
    print(
        f"{network.graph.num_edges:,} edges, {'tiled' if tiles > 1 else 'as they are'}: {count:,} simulated routes of "
        f"{len(routes.edge) / count:.0f} edges in {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    figures: dict[str, Any] = {"edges": network.graph.num_edges}
    if is_largest:
        started = time.perf_counter()
        compress_trips(network.turns, routes.batch("arrival"))
        figures["compress_seconds"] = time.perf_counter() - started
        if not arguments.no_training:
            figures |= _train(network, routes)
        counts = [count // 8, count // 4, count // 2, count]
        figures["by_demonstrations"] = [(n, _pass_seconds(routes.take(np.arange(n)), arguments.repeat)) for n in counts]
        figures["by_length"] = [_by_length(network, km, arguments.repeat) for km in LENGTHS]
        rows = [[f"{n:,}", f"{seconds:.2f}"] for n, seconds in figures["by_demonstrations"]]
        print(text_table(["demonstrations", "seconds per pass"], rows), flush=True)
        rows = [[f"{km:.1f}", f"{1000 * seconds:.2f}"] for km, seconds in figures["by_length"]]
        print(text_table(["km along the route", "ms per trip"], rows), flush=True)
    # On the largest map drawn anew: as many trips to a destination as on the others.
    few = _simulated(network, arguments.few, KM) if is_largest else routes
    figures["few_seconds"] = _pass_seconds(few, arguments.repeat)
    print(f"{arguments.few:,} demonstrations: {figures['few_seconds']:.2f} s per pass", flush=True)
    return figures


def _simulated(network: RoadNetwork, count: int, km: tuple[float, float]) -> Demonstrations:
    return simulate(
        network,
        count,
        taste=TASTE,
        seed=1,
        num_destinations=max(count // 10, 1),
        min_km=km[0],
        max_km=km[1],
        solver="corridors",
    )


def _config() -> Config:
    document = {
        "reward": {"features": list(TASTE)},
        "planner": {"solver": "corridors", "compress": True},
        "baselines": {"budget": 0},
    }
    return parse_config(document, where="benchmarks/scale.py")


def _train(network: RoadNetwork, routes: Demonstrations) -> dict[str, Any]:
    metres = network.edge_length_m()
    km = float(np.mean([metres[routes.route(row)[1:]].sum() for row in range(len(routes))])) / 1000
    _forget_peak()
    started = time.perf_counter()
    model = fit(network, routes, _config(), progress=lambda step: _say(step.iteration, started))
    seconds = time.perf_counter() - started
    peak, training_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, _peak_gb()
    rows = [
        [one.name, f"{TASTE[one.name]:g}", f"{one.value:.4f}", f"{one.standard_error or np.nan:.4f}"]
        for one in model.coefficients
    ]
    print(text_table(["feature", "stated", "learned", "standard error"], rows))
    print(f"trained in {seconds:.0f} s, {model.summary['evaluations']} passes; peak {peak:.2f} GB", flush=True)
    plan = plan_run(
        len(routes), network=network, workers=worker_threads(), trip_km=km, num_features=len(TASTE), solver="corridors"
    )
    return {
        "peak_gb": peak,
        "training_peak_gb": training_peak,
        "planned_gb": plan.peak_bytes / 1e9,
        "planned_pass_seconds": plan.seconds_per_pass,
        "training_seconds": seconds,
        "passes": model.summary["evaluations"],
        "coefficients": {one.name: one.value for one in model.coefficients},
    }


def _forget_peak() -> None:
    """Let the kernel count the largest resident memory of this process anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_gb() -> float:
    """Largest resident memory since `_forget_peak`."""
    (line,) = (one for one in Path("/proc/self/status").read_text("ascii").splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


def _say(iteration: int, started: float) -> None:
    print(f"iteration {iteration} after {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


def _pass_seconds(routes: Demonstrations, repeat: int) -> float:
    """Of one log-likelihood with its gradient, the median."""
    config = _config().planner
    routes = routes.for_ending(config.ending)
    features, batch = make_features(routes.network, tuple(TASTE)), routes.batch(config.ending)
    planner, theta = Planner(routes.network.turns, config), np.array(list(TASTE.values()))
    seconds = []
    for _ in range(repeat + 1):
        started = time.perf_counter()
        planner.linear_log_likelihood(features, theta, batch)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _by_length(network: RoadNetwork, km: tuple[float, float], repeat: int) -> tuple[float, float]:
    """(median km along the route, seconds per trip) of 500 trips."""
    routes = _simulated(network, 500, km)
    length = network.edge_length_m()
    metres = [float(length[routes.route(row)[1:]].sum()) for row in range(len(routes))]
    return statistics.median(metres) / 1000, _pass_seconds(routes, repeat) / len(routes)


def _slope(points: list[tuple[float, float]]) -> float:
    """Of a line through the logarithms."""
    x, y = np.log(np.array(points, np.float64)).T
    return float(np.polyfit(x, y, 1)[0])


def _plot(found: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    from matplotlib.figure import Figure

    largest = found[-1]
    few = arguments.few
    panels = (
        (
            "edges of the (tiled) map",
            f"s per pass, {few:,} trips",
            [(one["edges"], one["few_seconds"]) for one in found],
        ),
        ("simulated demonstrations", f"s per pass, {largest['edges']:,} edges", largest["by_demonstrations"]),
        ("km along the route, median", "ms per trip", [(km, 1000 * s) for km, s in largest["by_length"]]),
    )
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, (x_name, y_name, points) in zip(figure.subplots(1, 3), panels, strict=True):
        x, y = np.array(points, np.float64).T
        slope, height = np.polyfit(np.log(x), np.log(y), 1)
        axes.loglog(x, y, "o", color="#1f6f8b")
        axes.loglog(x, np.exp(height) * x**slope, "-", color="#c46b3d", label=f"exponent {slope:.2f}")
        axes.set(xlabel=x_name, ylabel=y_name, ylim=(min(y) / 3, max(y) * 3))
        # The points themselves as ticks: labels of a logarithmic axis run into each other over a decade or less.
        axes.set_xticks(x, [f"{one:,.0f}" if one > 100 else f"{one:.1f}" for one in x])
        axes.set_yticks(y, [f"{one:.1f}" for one in y])
        axes.minorticks_off()
        axes.legend(frameon=False)
        axes.grid(alpha=0.3, which="both")
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.picture, dpi=120)
    out.print(f"picture in {arguments.picture}", markup=False)


if __name__ == "__main__":
    main()
