"""The benchmark of damaged files at a small size, and that it notices readers that do wrong."""

from __future__ import annotations

import json
import subprocess
import sys


def fuzz(repo_root, tmp_path, *options: str) -> tuple[int, dict[str, float], str]:
    command = [sys.executable, "benchmarks/fuzz.py", "--failures", str(tmp_path / "failures"), *options]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, timeout=280, check=False)
    assert done.stdout, done.stderr[-3000:]
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_no_reader_crashes_hangs_or_reads_what_is_damaged(repo_root, tmp_path):
    code, found, said = fuzz(repo_root, tmp_path, "--inputs", "300")
    assert (code, found["crashes"], found["hangs"], found["silent"]) == (0, 0, 0, 0), said
    assert found["inputs"] == 300
    assert found["refused"] > 100
    assert found["read"] > 50  # what is left whole is read: the naive readers agree with ours


def test_readers_that_do_wrong_are_noticed_and_replayed(repo_root, tmp_path):
    code, found, said = fuzz(
        repo_root, tmp_path, "--only", "_raises,_lies,_dies,_hangs", "--inputs", "4", "--limit", "2"
    )
    assert (code, found["inputs"], found["crashes"], found["silent"], found["hangs"]) == (1, 4, 2, 1, 1), said
    kept = sorted((tmp_path / "failures").iterdir())
    assert [one.name.split("-")[0] for one in kept] == ["_dies", "_hangs", "_lies", "_raises"]
    command = [sys.executable, "benchmarks/fuzz.py", "--replay", str(kept[-1])]
    again = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, timeout=100, check=False)
    assert again.returncode == 1
    assert "KeyError: 'on purpose'" in again.stdout
