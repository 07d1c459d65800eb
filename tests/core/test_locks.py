"""One run at a time: a lock that another process respects, that names its holder, and that goes when that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from trodden.core.errors import FolderInUseError
from trodden.core.locks import locked

HOLD = """
import sys, time
from trodden.core.locks import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(target):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(target)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_and_told_whose_it_is(tmp_path):
    process = hold(tmp_path / "model")
    try:
        with (
            pytest.raises(FolderInUseError, match=f"model is in use by process {process.pid} on "),
            locked(tmp_path / "model"),
        ):
            pass
        with locked(tmp_path / "another"):
            pass
    finally:
        process.kill()
        process.wait()


def test_a_killed_holder_leaves_nothing_to_remove_by_hand(tmp_path):
    process = hold(tmp_path / "model")
    process.send_signal(signal.SIGKILL)
    process.wait()
    with locked(tmp_path / "model"):
        assert [path.name for path in tmp_path.iterdir()] == [".model.lock"]
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_gives_it_free(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path / "model"):
        raise RuntimeError
    with locked(tmp_path / "model"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_one_after_the_other_all_get_it(tmp_path):
    """Many processes try at once: never two of them are inside together."""
    script = (
        "import sys, os, time, pathlib\n"
        "from trodden.core.locks import locked\nfrom trodden.core.errors import FolderInUseError\n"
        "folder = pathlib.Path(sys.argv[1]); mine = 0; end = time.monotonic() + 60\n"
        "while mine < 30 and time.monotonic() < end:\n"
        "    try:\n"
        "        with locked(folder / 'model'):\n"
        "            inside = folder / 'inside'\n"
        "            os.close(os.open(inside, os.O_CREAT | os.O_EXCL)); os.unlink(inside); mine += 1\n"
        "    except FolderInUseError:\n"
        "        pass\n"
        "print(mine)\n"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    deadline = time.monotonic() + 90
    for run in runs:
        out, errors = run.communicate(timeout=max(deadline - time.monotonic(), 1))
        assert out.strip() == "30", errors
