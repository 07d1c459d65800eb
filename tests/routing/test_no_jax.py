"""Serving must not pay for JAX, nor for what draws and trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import strategies
from trodden.graphs.costs import fastest_costs
from trodden.routing.formats import to_geojson
from trodden.routing.router import Router
network = strategies.make_grid(3, 3)
router = Router.from_costs(network, *fastest_costs(network))
route = router.route((41.0, -8.0), "node:18")
assert router.alternatives("node:10", "node:18")[0].probability
assert router.match([(41.0, -8.0), (41.0, -7.998), (41.0015, -7.9976)]).pieces
assert route.length_m and route.log_probability and to_geojson(route)
heavy = {{"jax", "ray", "matplotlib", "folium", "osmnx", "torch"}} & set(sys.modules)
assert not heavy, heavy
"""


def test_a_route_imports_nothing_heavy():
    program = PROGRAM.format(tests=str(Path(__file__).parents[1]))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
