"""Training that is interrupted: exit code, checkpoint, a resumed run that ends where an undisturbed one does."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from small_city import city_xml, command_line, environment, trodden
from trodden.cli.console import Terminated, signals_unwrapped
from trodden.core.folders import read_folder
from trodden.irl.checkpoints import CHECKPOINT_VERSION, load_model

# Sweeps are the slow solver: a tenth of a second or so per iteration leaves time to interrupt.
SLOW = """
[reward]
features = ["travel_time_min", "is_left", "is_right", "constant"]
[planner]
solver = "sweeps"
[training]
checkpoint_every = 1
[baselines]
budget = 0
"""
TRAIN = ("train", "city", "--routes", "few.parquet", "--config", "slow.toml", "-o")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a network, routes, a slow configuration, and the model of an undisturbed run."""
    folder = tmp_path_factory.mktemp("interrupted")
    (folder / "city.osm").write_text(city_xml(8, 8))
    assert trodden("build", "city.osm", "-o", "city", cwd=folder).code == 0
    (folder / "slow.toml").write_text(SLOW)
    done = trodden("simulate", "city", "-n", 100, "--destinations", 10, "-o", "few.parquet", cwd=folder)
    assert done.code == 0, done.err
    assert trodden(*TRAIN, "undisturbed", cwd=folder).code == 0
    return folder


def interrupt(folder: Path, output: str, number: signal.Signals) -> tuple[int, str]:
    """Start training, wait for its first checkpoint, send a signal; (exit code, standard error)."""
    process = subprocess.Popen(
        command_line(*TRAIN, output),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background of a shell, SIGINT is ignored, and a child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    checkpoint = folder / f"{output}.checkpoint"
    deadline = time.monotonic() + 60
    while not checkpoint.exists():
        assert process.poll() is None, f"it ended before its first checkpoint: {process.communicate()}"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def assert_same_to_the_byte(folder: Path, name: str) -> None:
    """A resumed run ends with the model of the undisturbed one: another process, the same numbers."""
    one, other = load_model(folder / name), load_model(folder / "undisturbed")
    assert one.coefficients == other.coefficients
    assert one.turn_cost.tobytes() == other.turn_cost.tobytes()
    assert {**one.summary, "seconds": 0} == {**other.summary, "seconds": 0}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_checkpoint_from_which_training_goes_on(folder, number, code):
    name = f"model-{number.name}"
    found, errors = interrupt(folder, name, number)
    assert found == code, errors
    assert "Traceback" not in errors
    assert f"stopped by {number.name}" in errors
    assert f"{name}.checkpoint" in errors
    assert "--resume" in errors
    assert not (folder / name).exists()
    stored = read_folder(folder / f"{name}.checkpoint", kind="checkpoint", version=CHECKPOINT_VERSION)
    assert 1 <= stored.document["iteration"] < load_model(folder / "undisturbed").summary["iterations"]

    resumed = trodden(*TRAIN, name, "--resume", cwd=folder)
    assert resumed.code == 0, resumed.err
    assert f"going on from iteration {stored.document['iteration']}" in resumed.out
    assert_same_to_the_byte(folder, name)
    left = sorted(path.name for path in folder.iterdir() if name in path.name)
    assert left == [name], "the checkpoint goes once the model is there, and no half file stays"


def test_a_killed_run_goes_on_from_its_last_checkpoint(folder):
    code, _ = interrupt(folder, "killed", signal.SIGKILL)
    assert code == -signal.SIGKILL
    resumed = trodden(*TRAIN, "killed", "--resume", cwd=folder)
    assert resumed.code == 0, resumed.err
    assert_same_to_the_byte(folder, "killed")


def test_an_interrupted_run_leaves_the_earlier_model_alone(folder):
    assert trodden("train", "city", "--routes", "few.parquet", "-o", "kept", cwd=folder).code == 0
    before = {path.name: path.read_bytes() for path in (folder / "kept").iterdir() if path.is_file()}
    code, errors = interrupt(folder, "kept", signal.SIGTERM)
    assert code == 143, errors
    assert {path.name: path.read_bytes() for path in (folder / "kept").iterdir() if path.is_file()} == before
    assert load_model(folder / "kept").summary["is_converged"]

    # The checkpoint is of these features; a run with others refuses it and says so.
    other = trodden("train", "city", "--routes", "few.parquet", "-o", "kept", "--resume", cwd=folder)
    assert other.code == 2
    assert "kept.checkpoint" in other.err
    assert "is_uturn" in other.err


def test_what_stands_where_the_checkpoint_should_go_is_not_replaced(folder):
    (folder / "mine.checkpoint").mkdir()
    (folder / "mine.checkpoint" / "diary.txt").write_text("dear diary")
    done = trodden(*TRAIN, "mine", cwd=folder)
    assert done.code == 2
    assert "mine.checkpoint" in done.err
    assert (folder / "mine.checkpoint" / "diary.txt").read_text() == "dear diary"


def test_a_checkpoint_whose_write_was_killed_between_its_renames_is_found(folder):
    """The earlier one then stands beside its place, under another name."""
    interrupt(folder, "renamed", signal.SIGKILL)
    (folder / "renamed.checkpoint").rename(folder / ".renamed.checkpoint.previous")
    resumed = trodden(*TRAIN, "renamed", "--resume", cwd=folder)
    assert resumed.code == 0, resumed.err
    assert "going on from iteration" in resumed.out
    assert_same_to_the_byte(folder, "renamed")


@pytest.mark.parametrize("signal_", [KeyboardInterrupt, Terminated])
def test_a_signal_in_compiled_code_is_a_signal(signal_):
    """Numba hands a signal that arrives while it unpacks arguments out as the cause of a SystemError."""
    inner = SystemError("_numba_unpickle returned a result with an exception set")
    inner.__cause__ = signal_()
    outer = SystemError("CPUDispatcher returned a result with an exception set")
    outer.__cause__ = inner
    outer.add_note("iteration 3 is saved")
    with pytest.raises(signal_) as caught, signals_unwrapped():
        raise outer
    assert caught.value.__notes__ == ["iteration 3 is saved"]


def test_other_system_errors_stay_what_they_are():
    with pytest.raises(SystemError, match="of its own"), signals_unwrapped():
        raise SystemError("of its own")
