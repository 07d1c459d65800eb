"""Workers, Ray nodes and drivers killed (SIGKILL) in the middle of regional training: results that differ, things lost.

A small city of *simulated* trips is learned in four regions, again and again, while

- workers of a local Ray are killed at their work, one every few seconds, until so many have been; at most three between
  the ends of two evaluations, which is what a training promises to bear;
- the second node of a two-node cluster is killed in the middle of a training, with its worker; the next training has
  another;
- drivers (`trodden train`) are killed at random moments and started again with `--resume` until they end.

`differing` counts trainings whose parameters are not those of an undisturbed one to the byte; `lost` checkpoints that
were there before a kill and could not be read after it, or held less.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import ray
from _grids import grid_network
from ray.cluster_utils import Cluster
from trodden import load_model, save_network, simulate
from trodden.cli.console import out
from trodden.core.config import Config, read_config
from trodden.core.folders import is_stored, read_folder
from trodden.distributed.coordinator import IN_PROCESS, fit_regions
from trodden.distributed.dispatch import MAX_DEATHS
from trodden.distributed.progress import RegionalProgress
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.checkpoints import CHECKPOINT_VERSION
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.model import LearnedModel

TASTE = {"length_km": -12.0, "mark": -0.5, "constant": -1.0}
CONFIG = """
[reward]
features = ["length_km", "mark", "constant"]
[training]
checkpoint_every = 1
[regions]
count = 4
penalty = 10
halo_km = 1.0
[baselines]
budget = 0
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=100, help="workers to kill")
    parser.add_argument("--nodes", type=int, default=5, help="nodes to kill")
    parser.add_argument("--drivers", type=int, default=200, help="drivers to kill")
    parser.add_argument("--every", type=float, default=4.0, help="mean seconds between two workers' deaths")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        network = grid_network(9, 9, marks=("mark",))
        routes = simulate(network, 250, taste=TASTE, num_destinations=30, max_km=0.8)
        save_network(network, place / "city")
        routes.write(place / "routes.parquet")
        (place / "regions.toml").write_text(CONFIG, encoding="utf-8")
        config = read_config(place / "regions.toml")
        want = fit_regions(network, routes, config, address=IN_PROCESS)
        figures: dict[str, Any] = {"worker_kills": 0, "driver_kills": 0, "node_kills": 0, "differing": 0, "lost": 0}
        for part in (
            _kill_drivers(place, want, arguments.drivers, arguments.seed),
            _kill_workers(network, routes, config, want, arguments),
            _kill_nodes(network, routes, config, want, arguments.nodes),
        ):
            figures = {name: figures[name] + part.get(name, 0) for name in figures}
            out.print(str(part), markup=False)
    print(json.dumps(figures))


def _same(one: LearnedModel, other: LearnedModel) -> bool:
    return one.turn_cost.tobytes() == other.turn_cost.tobytes() and one.regions == other.regions


def _kill_workers(
    network: RoadNetwork,
    routes: Demonstrations,
    config: Config,
    want: LearnedModel,
    arguments: argparse.Namespace,
) -> dict[str, int]:
    count = arguments.workers
    if not count:
        return {}
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    random, over = np.random.default_rng(arguments.seed), threading.Event()
    kills = recent = trainings = differing = noticed = 0

    def watch(step: RegionalProgress) -> None:
        nonlocal recent
        if step.blocks_done == step.num_blocks:
            recent = 0

    def killer() -> None:
        nonlocal kills, recent
        while kills < count and not over.wait(random.uniform(0, 2 * arguments.every)):
            while not over.wait(0.01):
                working = [pid for pid in _descendants(os.getpid()) if "WorkerActor.call" in _command(pid)]
                if not working or recent >= MAX_DEATHS:
                    continue
                with suppress(ProcessLookupError):
                    os.kill(int(random.choice(working)), signal.SIGKILL)
                    kills, recent = kills + 1, recent + 1
                break

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        while kills < count:
            model = fit_regions(network, routes, config, num_workers=2, progress=watch)
            trainings, differing = trainings + 1, differing + (not _same(model, want))
            noticed += model.summary["workers"]["num_deaths"]
            out.print(
                f"{kills} workers killed ({noticed} deaths noticed) in {trainings} trainings, {differing} differing",
                markup=False,
            )
    finally:
        over.set()
        thread.join()
        ray.shutdown()
    return {"worker_kills": kills, "trainings_with_dying_workers": trainings, "differing": differing}


def _kill_nodes(
    network: RoadNetwork, routes: Demonstrations, config: Config, want: LearnedModel, count: int
) -> dict[str, int]:
    if not count:
        return {}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    kills = differing = 0
    while kills < count:
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        lost: list[int] = []

        def lose(step: Any, node: Any = node, lost: list[int] = lost) -> None:
            if step.num_evaluations >= 10 and not lost:
                lost.append(step.num_evaluations)
                cluster.remove_node(node, allow_graceful=False)

        model = fit_regions(network, routes, config, address=cluster.address, progress=lose)
        kills += len(lost)
        differing += not _same(model, want)
        out.print(f"{kills} nodes killed, {differing} differing", markup=False)
    cluster.shutdown()
    return {"node_kills": kills, "differing": differing}


def _kill_drivers(place: Path, want: LearnedModel, count: int, seed: int) -> dict[str, int]:
    if not count:
        return {}
    started = time.perf_counter()
    _finished(_train(place, "undisturbed", []))
    whole = time.perf_counter() - started
    out.print(f"an undisturbed training takes {whole:.1f} s", markup=False)
    # Two at a time: what is killed when does not matter for what has to come out.
    with ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(lambda half: _kill_some(place, want, count, whole, seed, half), range(2)))
    return {name: sum(half[name] for half in halves) for name in halves[0]}


def _kill_some(place: Path, want: LearnedModel, count: int, whole: float, seed: int, half: int) -> dict[str, int]:
    random = np.random.default_rng([seed, half])
    kills = trainings = differing = lost = 0
    while kills < (count + 1 - half) // 2:
        name = f"model-{half}-{trainings}"
        checkpoint = place / f"{name}.run" / "checkpoint"
        known = 0
        while True:
            process = _train(place, name, ["--resume"] if is_stored(checkpoint) else [])
            try:
                process.wait(timeout=random.uniform(0, whole))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
                if is_stored(place / name):
                    break  # the model was there: the checkpoint had done its part, and what died was on its way out
                # One that was there is there still, whole, and holds no less.
                now = _evaluations(checkpoint)
                lost += now < known
                known = max(now, known)
                continue
            _finished(process)
            break
        trainings += 1
        differing += not _same(load_model(place / name), want)
        out.print(f"{kills} drivers killed in {trainings} trainings, {differing} differing, {lost} lost", markup=False)
    return {
        "driver_kills": kills,
        "trainings_with_dying_drivers": trainings,
        "differing": differing,
        "lost": lost,
    }


def _evaluations(checkpoint: Path) -> int:
    """How many evaluations a checkpoint holds; -1 where it is there and cannot be read."""
    if not is_stored(checkpoint):
        return 0
    try:
        return int(read_folder(checkpoint, kind="checkpoint", version=CHECKPOINT_VERSION).document["iteration"])
    except Exception as error:
        out.print(f"lost: {error}", markup=False)
        return -1


def _train(place: Path, name: str, more: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "trodden", "train", "city", "--routes", "routes.parquet"]
    command += ["--config", "regions.toml", "-o", name, *more]
    with open(place / f"{name}.log", "ab") as log:
        return subprocess.Popen(command, cwd=place, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _finished(process: subprocess.Popen[bytes]) -> None:
    if process.wait() != 0:
        raise SystemExit(f"a training ended with code {process.returncode}: {process.args}")


def _descendants(root: int) -> list[int]:
    """Processes that descend from one, by what /proc says."""
    parent = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, grown = {root}, True
    while grown:
        more = {pid for pid, above in parent.items() if above in found} - found
        found, grown = found | more, bool(more)
    return sorted(found - {root})


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    main()
