"""OSRM and Valhalla beside `Router`, on the same extract and the same places; for `query.py --engines`.

Both come from PyPI and have wheels from Python 3.12 on: an environment of their own is made in a folder that stays
(--engines-folder), and the extract is prepared for each there.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from trodden.cli.console import out
from trodden.core.errors import TroddenError
from trodden.irl.node_routes import NodePaths
from trodden.routing.router import Router

_PEER = Path(__file__).with_name("_engines_peer.py")
_NEAR_TIE = 0.01
"""A route this much slower under our own times is as good as the fastest."""
_NEAR_M = 15.0
"""A place of a line this near to another line lies on it."""


def measure_engines(router: Router, source: Path, folder: Path, count: int) -> dict[str, Any]:
    """Milliseconds per query of each, and how their fastest routes compare with ours.

    `*_same`: share of the routes that run along the same streets (OSRM: the same OSM nodes but for the ends; Valhalla:
    95 % of each line within 15 m of the other). `*_near_tie`: of OSRM's others, those that our own free-flow times find
    less than 1 % slower. `*_not_ours`: those along a road or a turn that this network does not have (service roads,
    another reading of access). The rest is other speeds: both slow down for turns, signals and narrow streets, and
    drive below the limit, where this metric is length over limit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    python = _environment(folder)
    _prepare(python, source, folder)
    pairs = _pairs(router, count)
    (folder / "pairs.json").write_text(json.dumps(pairs))
    ours, routes = [], []
    for a, b in pairs:
        started = time.perf_counter()
        route = router.route(tuple(a), tuple(b))
        line = route.geometry  # both others return theirs
        ours.append(time.perf_counter() - started)
        routes.append((route, line))
    figures: dict[str, Any] = {"engine_pairs": count, "coordinate_route_ms": 1000 * statistics.median(ours)}
    for engine in ("osrm", "valhalla"):
        command = [str(python), str(_PEER), engine, str(folder), str(folder / "pairs.json")]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        figures[f"{engine}_ms"] = 1000 * statistics.median(found["seconds"])
        figures[f"{engine}_ratio"] = figures[f"{engine}_ms"] / figures["coordinate_route_ms"]
        compare = _compare_nodes if engine == "osrm" else _compare_lines
        figures |= {f"{engine}_{name}": value for name, value in compare(router, routes, found["routes"]).items()}
    return figures


def _environment(folder: Path) -> Path:
    """The Python of an environment with both engines; 3.12 or newer has to be on this machine."""
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        candidates = [f"python3.{minor}" for minor in (12, 13, 14)]
        candidates += map(str, sorted(Path.home().glob(".pyenv/versions/3.1[2-9]*/bin/python")))
        if sys.version_info >= (3, 12):
            candidates.insert(0, sys.executable)
        base = next((one for one in candidates if _is_usable(one)), None)
        if base is None:
            raise SystemExit("--engines needs a Python 3.12 or newer beside this one: the engines have no older wheels")
        subprocess.run([base, "-m", "venv", str(folder / "venv")], check=True)
        subprocess.run([str(python), "-m", "pip", "--quiet", "install", "pyvalhalla", "osrm-bindings"], check=True)
    return python


def _is_usable(python: str) -> bool:
    found = shutil.which(python)
    if found is None:
        return False
    check = [found, "-c", "import sys; sys.exit(sys.version_info < (3, 12))"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


def _prepare(python: Path, source: Path, folder: Path) -> None:
    site = next((folder / "venv" / "lib").glob("python3*")) / "site-packages"
    if not (folder / "map.osrm.mldgr").exists():
        out.print("preparing the extract for OSRM", markup=False)
        shutil.copy(source, folder / "map.osm.pbf")
        profile = site / "osrm" / "share" / "profiles" / "car.lua"
        _quietly([str(python), "-m", "osrm", "extract", "-p", str(profile), str(folder / "map.osm.pbf")])
        for step in ("partition", "customize"):
            _quietly([str(python), "-m", "osrm", step, str(folder / "map.osrm")])
    settings = folder / "valhalla.json"
    if not settings.exists():
        out.print("preparing the extract for Valhalla", markup=False)
        made = subprocess.run(
            [str(folder / "venv" / "bin" / "valhalla_build_config"), "--mjolnir-tile-dir", str(folder / "tiles")],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        (folder / "making.json").write_text(made.stdout)
        build = site / "valhalla" / "bin" / "valhalla_build_tiles"
        _quietly([str(build), "-c", str(folder / "making.json"), str(source)])
        (folder / "making.json").rename(settings)


def _quietly(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} failed: {(done.stderr or done.stdout)[-500:]}")


def _pairs(router: Router, count: int) -> list[list[list[float]]]:
    """Places in the middle of edges that a route joins."""
    network, random = router.network, np.random.default_rng(3)
    latitude, longitude = network.graph.edge_midpoints()
    main = np.flatnonzero(network.turns.is_main)
    pairs: list[list[list[float]]] = []
    while len(pairs) < count:
        places = [[float(latitude[edge]), float(longitude[edge])] for edge in random.choice(main, 2)]
        try:
            router.route(tuple(places[0]), tuple(places[1]))
        except TroddenError:
            continue
        pairs.append(places)
    return pairs


def _compare_nodes(router: Router, routes: list[Any], others: list[Any]) -> dict[str, float]:
    """OSRM's routes as OSM nodes."""
    paths, cost = NodePaths(router.network), router._metrics.get(None).turn_cost
    same = tie = not_ours = answered = 0
    for (route, _), nodes in zip(routes, others, strict=True):
        if nodes is None:
            continue
        answered += 1
        (edges,), faults = paths.edges([np.array(nodes, np.int64)])
        if faults or len(edges) == 0:
            not_ours += 1
            continue
        if np.array_equal(edges[1:-1], route.edges[1:-1]) or np.array_equal(edges, route.edges):
            same += 1
            continue
        whole = float(cost[route.turns].sum())
        turns = router.network.turns.find(edges[:-1], edges[1:])
        if (turns < 0).any():
            not_ours += 1
        elif float(cost[turns].sum()) <= (1 + _NEAR_TIE) * whole:
            tie += 1
    shares = {"same": same, "near_tie": tie, "not_ours": not_ours}
    return {"answered": answered / len(routes), **{name: count / answered for name, count in shares.items()}}


def _compare_lines(router: Router, routes: list[Any], others: list[Any]) -> dict[str, float]:
    """Valhalla's routes as lines."""
    import shapely

    same = answered = 0
    for (_, line), other in zip(routes, others, strict=True):
        if other is None:
            continue
        answered += 1
        scale = np.array([111_320.0, 111_320.0 * np.cos(np.radians(line[0, 0]))])
        one, two = (shapely.LineString(np.asarray(points) * scale) for points in (line, other))
        shares = [a.intersection(b.buffer(_NEAR_M)).length / max(a.length, 1e-9) for a, b in ((one, two), (two, one))]
        same += min(shares) >= 0.95
    return {"answered": answered / len(routes), "same": same / answered}
