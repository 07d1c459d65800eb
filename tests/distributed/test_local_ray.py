"""A Ray of our own: started although RAY_ADDRESS names another, quiet after JAX, and gone afterwards, killed or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from process_family import Family
from small_city import command_line, environment, trodden
from trodden.irl.checkpoints import load_model

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")

# JAX is imported and used before Ray forks: the sweeps solver sees to that.
SCRIPT = """
import signal, sys, warnings
from strategies import make_grid
from trodden import fit, fit_regions, simulate
from trodden.core.config import parse_config

network = make_grid(5, 5)
routes = simulate(network, 60, taste={"constant": -1.5, "is_uturn": -1.0}, num_destinations=5)
document = {"reward": {"features": ["constant"]}, "planner": {"solver": "sweeps"}, "baselines": {"budget": 0}}
config = parse_config(document, where="test")
before = signal.getsignal(signal.SIGTERM)
alone = fit(network, routes, config)
assert "jax" in sys.modules
regional = fit_regions(network, routes, config, num_regions=1, num_workers=1)
assert abs(alone.coefficients[0].value - regional.coefficients[0].value) < 1e-6
assert signal.getsignal(signal.SIGTERM) is before, "Ray's own handler was left in place"
print("done")
"""


def start(command: list[str], folder: Path, **more: str) -> tuple[subprocess.Popen[str], Family]:
    process = subprocess.Popen(
        command, cwd=folder, env={**environment(), **more}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    family = Family(process.pid)
    family.start()
    return process, family


def test_after_jax_with_a_foreign_address_and_nothing_left_behind(tmp_path):
    helpers = str(Path(__file__).resolve().parent.parent)
    process, family = start([sys.executable, "-c", SCRIPT], tmp_path, RAY_ADDRESS="127.0.0.1:1", PYTHONPATH=helpers)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert out == "done\n"
    assert errors == "", "no warning about forks, and nothing from Ray"
    assert any("raylet" in name for name in family.names), "there was a Ray to be left behind"
    assert family.all_gone(), family.alive()


def test_sigterm_in_the_middle_of_regional_training(tmp_path):
    """A checkpoint and no process are left; from there the run goes on, in one process, to the same bytes."""
    (tmp_path / "make.py").write_text(
        "from strategies import make_grid\n"
        "from trodden import save_network, simulate\n"
        "network = make_grid(9, 9)\n"
        "save_network(network, 'city')\n"
        "simulate(network, 200, taste={'constant': -1.6, 'is_uturn': -1.0}, max_km=0.5).write('routes.parquet')\n"
    )
    helpers = str(Path(__file__).resolve().parent.parent)
    subprocess.run(
        [sys.executable, "make.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": helpers}, check=True, timeout=100
    )
    (tmp_path / "regions.toml").write_text(
        '[reward]\nfeatures = ["constant", "is_uturn"]\n[training]\ncheckpoint_every = 1\n'
        "[regions]\ncount = 2\npenalty = 10\nhalo_km = 0.5\n[baselines]\nbudget = 0\n"
    )
    train = ("train", "city", "--routes", "routes.parquet", "--config", "regions.toml", "-o")
    process, family = start([*command_line(*train, "model"), "--ray", "local"], tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "model.run" / "checkpoint").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGSTOP)  # it might be done before another process has even started
    second = trodden(*train, "model", cwd=tmp_path)
    assert second.code == 2
    assert f"model is in use by process {process.pid}" in second.err
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    assert "evaluations are saved" in errors
    assert "--resume" in errors
    assert not (tmp_path / "model").exists()
    assert family.all_gone(), family.alive()

    for name, more in (("model", ["--resume"]), ("undisturbed", [])):
        done = trodden(*train, name, *more, cwd=tmp_path)
        assert done.code == 0, done.err
    one, other = (load_model(tmp_path / name) for name in ("model", "undisturbed"))
    assert one.turn_cost.tobytes() == other.turn_cost.tobytes()
    assert one.regions == other.regions
    assert not (tmp_path / "model.run").exists()
