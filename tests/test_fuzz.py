"""The benchmark of damaged files at a small size, and that it notices readers that do wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def fuzz(repo_root, tmp_path, *options: str) -> tuple[int, dict[str, float], str]:
    command = [sys.executable, "benchmarks/fuzz.py", "--failures", str(tmp_path / "failures"), *options]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, timeout=280, check=False)
    assert done.stdout, done.stderr[-3000:]
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_no_reader_crashes_hangs_or_reads_what_is_damaged(repo_root, tmp_path):
    code, found, said = fuzz(repo_root, tmp_path, "--inputs", "400")
    assert (code, found["crashes"], found["hangs"], found["silent"]) == (0, 0, 0, 0), said
    assert found["inputs"] == 400
    assert found["refused"] > 100
    assert found["read"] > 50  # what is left whole is read: the naive readers agree with ours


@pytest.mark.parametrize(
    ("reader", "key"), [("_raises", "crashes"), ("_dies", "crashes"), ("_hangs", "hangs"), ("_lies", "silent")]
)
def test_a_reader_that_does_wrong_is_noticed(repo_root, tmp_path, reader, key):
    code, found, _ = fuzz(repo_root, tmp_path, "--only", reader, "--inputs", "1", "--limit", "2")
    assert (code, found["inputs"], found[key]) == (1, 1, 1)
    (kept,) = (tmp_path / "failures").iterdir()
    command = [sys.executable, "benchmarks/fuzz.py", "--replay", str(kept), "--limit", "2"]
    again = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, timeout=100, check=False)
    assert again.returncode == 1, again.stdout
