"""Two Ray nodes: workers go where CPUs are, a lost node costs time and nothing else, too few CPUs are said at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from small_city import environment

# Ray holds one cluster to a process, and the other tests hold theirs.
SCRIPT = """
import sys, time
import numpy as np
import ray
from ray.cluster_utils import Cluster
from regional_city import TASTE, make_city
from trodden.core.config import parse_config
from trodden.core.errors import ResourceError
from trodden.distributed.coordinator import fit_regions
from trodden.irl.simulation import simulate

network = make_city()
routes = simulate(network, 200, taste=TASTE, seed=5, num_destinations=30, max_km=0.5)
document = {"reward": {"features": list(TASTE)}, "baselines": {"budget": 0}}
config = parse_config({**document, "regions": {"count": 4, "penalty": 10, "halo_km": 0.6}}, where="test")
alone = fit_regions(network, routes, config, address="")

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
started = time.monotonic()
try:
    fit_regions(network, routes, config, address=cluster.address, num_workers=3)
except ResourceError as error:
    assert "3 workers" in str(error) and "2 CPUs" in str(error), error
    assert time.monotonic() - started < 10
    print("refused")

def same(model):
    return model.turn_cost.tobytes() == alone.turn_cost.tobytes() and model.regions == alone.regions

both = fit_regions(network, routes, config, address=cluster.address)
assert both.summary["workers"]["num_workers"] == both.summary["workers"]["num_nodes"] == 2
assert same(both)
print("placed")

lost = []
def lose(step):
    if step.num_evaluations >= 12 and not lost:
        lost.append(step.num_evaluations)
        cluster.remove_node(second, allow_graceful=False)

survived = fit_regions(network, routes, config, address=cluster.address, progress=lose)
assert lost and same(survived), survived.summary["workers"]
assert survived.summary["workers"]["num_deaths"] >= 1
print("survived")
cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Ray's cluster of several nodes is for Linux")
def test_placement_a_lost_node_and_too_few_cpus(tmp_path):
    helpers = str(Path(__file__).resolve().parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": helpers, "RAY_DEDUP_LOGS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = [line for line in done.stdout.splitlines() if line in {"refused", "placed", "survived"}]
    assert said == ["refused", "placed", "survived"], "Ray's nodes print among them"
