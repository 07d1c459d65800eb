"""The benchmark of kills at a small size: workers, nodes and drivers die, and nothing differs or is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_nothing_differs_and_nothing_is_lost(repo_root):
    command = [sys.executable, "benchmarks/kills.py", "--workers", "4", "--nodes", "1", "--drivers", "8"]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["worker_kills"] >= 4
    assert found["node_kills"] >= 1
    assert found["driver_kills"] >= 8
    assert found["differing"] == found["lost"] == 0
