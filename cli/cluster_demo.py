"""``make cluster-demo``: two Ray nodes on this machine, a training submitted to them as a job, the model fetched."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..core.errors import ResourceError
from ..graphs.reading import read_roads
from ..graphs.samples import HELSINKI_CREDIT, helsinki_path
from ..graphs.store import save_network
from ..irl.checkpoints import load_model
from ..irl.simulation import default_taste, simulate
from ..routing.router import Router
from .console import guarded, say

START_TIMEOUT_S = 60.0
_CONFIG = "[regions]\ncount = 4\npenalty = 100\nhalo_km = 1.0\n[baselines]\nbudget = 0\n"


@guarded
def cluster_demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for everything that is made")] = Path(
        "out/cluster"
    ),
    wheel: Annotated[
        Path | None, typer.Option(help="wheel of trodden that the job runs with; default: what is installed here")
    ] = None,
    num_routes: Annotated[int, typer.Option("--num-routes", "-n", min=20, help="simulated trips")] = 300,
) -> None:
    """Start two Ray nodes here with a token, submit a training, wait, fetch the model, stop what was started."""
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    roads = read_roads(helsinki_path())
    save_network(roads, output / "network")
    routes = simulate(roads, num_routes, taste=default_taste(roads), seed=0, num_destinations=30)
    routes.write(output / "routes.parquet")
    (output / "regions.toml").write_text(_CONFIG, encoding="utf-8")
    say(f"1  {len(routes)} simulated trips on Helsinki's roads, {roads.graph.num_edges} edges")
    with _cluster(output) as (dashboard, environment):
        say(f"2  two Ray nodes of one CPU each, with a token; the head's dashboard is {dashboard}")
        started = time.perf_counter()
        _submit(output, wheel, dashboard, environment)
        say(f"3  the job ended well after {time.perf_counter() - started:.0f} s; its output is {output / 'job.log'}")
    say("4  both nodes are stopped")
    model = load_model(output / "model")
    workers = model.summary["workers"]
    regions, ids = model.edge_region, roads.graph.edge_id
    assert regions is not None  # it has four
    crosses = int(np.argmax(regions[routes.origin] != regions[routes.last_edge]))
    found = Router(model).route(*(f"edge:{int(ids[edge])}" for edge in routes.route(crosses)[[0, -1]]))
    say(f"5  {len(model.regions)} regions learned by {workers['num_workers']} workers on {workers['num_nodes']} nodes")
    say(f"   a route from one region into another: {len(found.edges)} edges, {found.length_m / 1000:.2f} km")
    say(f"\nRoads: {HELSINKI_CREDIT}. Trips: simulated. The model is {output / 'model'}")


@contextmanager
def _cluster(output: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(dashboard address, environment for whoever talks to it) of a head and a second node; both end with the block."""
    port, dashboard_port = _free_ports(2)
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment.pop("RAY_ADDRESS", None)
    ray = str(Path(sys.executable).with_name("ray"))
    dashboard = f"127.0.0.1:{dashboard_port}"
    head = [
        ray,
        "start",
        "--head",
        f"--port={port}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={dashboard_port}",
    ]
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        with open(output / "nodes.log", "wb") as log:
            nodes.append(_start([*head, "--num-cpus=1", "--block"], environment, log.fileno()))
            _wait_for(1, nodes, output)
            second = [ray, "start", f"--address={_own_address()}:{port}", "--num-cpus=1", "--block"]
            nodes.append(_start(second, environment, log.fileno()))
            _wait_for(2, nodes, output)
        yield f"http://{dashboard}", environment
    finally:
        for node in reversed(nodes):
            _stop(node)


def _start(command: list[str], environment: dict[str, str], log: int) -> subprocess.Popen[bytes]:
    # A session of its own: its processes can be ended by the id of their group, and Ctrl-C here is not sent to them.
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )


def _stop(node: subprocess.Popen[bytes]) -> None:
    """End a node: it stops its own processes on SIGTERM; what is left of its group after that is killed."""
    node.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        node.wait(timeout=20)
    with suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
    node.wait()


def _submit(output: Path, wheel: Path | None, dashboard: str, environment: dict[str, str]) -> None:
    """`ray job submit` of the training; waits for it, and raises what the job's log ends with where it fails."""
    runtime: dict[str, Any] = {"env_vars": {"JAX_PLATFORMS": "cpu", "COLUMNS": "100"}}
    if wheel is not None:
        # Unpacked: a wheel itself Ray would install with all its dependencies, another Ray among them.
        shutil.rmtree(output / "wheel", ignore_errors=True)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(output / "wheel")
        runtime["py_modules"] = [str(output / "wheel" / "trodden")]
    train = ["trodden", "train", str(output / "network"), "--routes", str(output / "routes.parquet")]
    train += ["--config", str(output / "regions.toml"), "--ray", "auto", "--workers", "2", "-o", str(output / "model")]
    command = [str(Path(sys.executable).with_name("ray")), "job", "submit", "--address", dashboard]
    command += ["--runtime-env-json", json.dumps(runtime), "--", sys.executable, "-m", *train]
    with open(output / "job.log", "wb") as log:
        # Away from a checkout, so that what the job imports is what it was given.
        done = subprocess.run(command, env=environment, cwd=output, stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        last = (output / "job.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise ResourceError(
            asked="a training on the cluster",
            available=f"a job that failed ({' '.join(last)})",
            remedy=f"read {output / 'job.log'} and {output / 'nodes.log'}",
        )


def _own_address() -> str:
    """The address that Ray takes for this machine; forced to 127.0.0.1, clients would look for this one and fail."""
    from ray.util import get_node_ip_address

    return str(get_node_ip_address())


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait_for(count: int, nodes: list[subprocess.Popen[bytes]], output: Path) -> None:
    """Until so many nodes have said that they run."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and all(node.poll() is None for node in nodes):
        if (output / "nodes.log").read_text(errors="replace").count("Ray runtime started") >= count:
            return
        time.sleep(0.2)
    raise ResourceError(
        asked=f"{count} Ray nodes on this machine",
        available=f"fewer that started within {START_TIMEOUT_S:.0f} s",
        remedy=f"read {output / 'nodes.log'}",
    )


if __name__ == "__main__":
    typer.run(cluster_demo)
