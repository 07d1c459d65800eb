"""One process that reads damaged inputs, and the watchdog that asks it: what hangs or dies takes only that down."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _fuzz_mutations import Files

MEMORY_BYTES = 6 << 30
"""Address space of a worker: an input that asks for more ends in a MemoryError, which is a crash."""
START_SECONDS = 180.0


def altered(reader: Any, inputs: list[Files], name: str, number: int, seed: int) -> tuple[Files, str]:
    """The input of that number: the same whenever it is asked for."""
    random = np.random.default_rng([seed, number, *name.encode()])
    files = inputs[int(random.integers(len(inputs)))]
    for _ in range(20):
        made, how = reader.damage(files, random)
        if made != files:
            return made, how
    return {key: content + b"\0" for key, content in files.items()}, "a zero at the end"


def store(files: Files, folder: Path) -> None:
    """Write an input's files."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def load(folder: Path) -> Files:
    """An input's files."""
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="trodden-fuzz-", dir=place) as folder:
        yield Path(folder)


def judge(reader: Any, files: Files, city: Any, folder: Path) -> tuple[str, str]:
    """("refused" | "read" | "silent" | "crash", what was said)."""
    from trodden.core.errors import TroddenError

    place = folder / "in"
    store(files, place)
    try:
        complaint = reader.run(place, files, city)
        return ("silent", complaint) if complaint else ("read", "")
    except TroddenError as error:
        return "refused", f"{type(error).__name__}: {error}"[:300]
    except BaseException as error:  # a panic of compiled code is no Exception
        return "crash", _where(error)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _where(error: BaseException) -> str:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    place = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames[-4:]))
    return f"{type(error).__name__}: {str(error)[:200]} ({place})"


def serve(inputs_folder: Path, seed: int) -> None:
    """Answer lines ``{"reader", "number"}`` or ``{"reader", "folder"}`` on standard input, one line each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    import faulthandler

    faulthandler.enable()
    readers, city = _readers(inputs_folder)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    answers.write("ready\n")
    answers.flush()
    known: dict[str, list[Files]] = {}
    with _scratch() as folder:
        for line in sys.stdin:
            asked = json.loads(line)
            name = asked["reader"]
            reader = readers[name]
            if reader.inputs not in known:
                known[reader.inputs] = stored_inputs(inputs_folder, reader.inputs)
            if "folder" in asked:
                files = load(Path(asked["folder"]))
            else:
                files, _ = altered(reader, known[reader.inputs], name, asked["number"], seed)
            answers.write(json.dumps(judge(reader, files, city, folder)) + "\n")
            answers.flush()


def _readers(inputs_folder: Path) -> tuple[Mapping[str, Any], Any]:
    """(readers by name, the network that routes are on); only the faulty ones where there are no other inputs."""
    from _fuzz_faulty import FAULTY

    if not (inputs_folder / "network").exists():
        return FAULTY, None
    from _fuzz_readers import READERS
    from trodden import load_network

    return READERS, load_network(inputs_folder / "network" / "0")


def stored_inputs(folder: Path, name: str) -> list[Files]:
    """The sound inputs of a reader, as `make_inputs` made them."""
    return [load(one) for one in sorted((folder / name).iterdir(), key=lambda path: int(path.name))]


@dataclass
class Watchdog:
    """Asks a worker, and ends and replaces it where it says nothing for ``limit`` seconds."""

    inputs: Path
    seed: int
    limit: float
    worker: subprocess.Popen[str] | None = None

    def ask(self, **what: Any) -> tuple[str, str]:
        """The verdict on one input; "hang" or "crash" where the worker had to be ended, or died."""
        worker = self.worker or self._start()
        assert worker.stdin is not None
        try:
            worker.stdin.write(json.dumps(what) + "\n")
            worker.stdin.flush()
        except BrokenPipeError:
            return "crash", f"the process died ({self._end()})"
        line = self._line(self.limit)
        if line is None:
            self._end()
            return "hang", f"no answer within {self.limit:g} s"
        if line == "":
            return "crash", f"the process died (exit code {self._end()})"
        verdict, said = json.loads(line)
        return verdict, said

    def close(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self._end()

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, str(Path(__file__).with_name("fuzz.py"))]
        command += ["--serve", str(self.inputs), "--seed", str(self.seed)]
        self.worker = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if self._line(START_SECONDS) != "ready":
            raise RuntimeError(f"the worker did not start: {self._end(told=True)}")
        return self.worker

    def _line(self, seconds: float) -> str | None:
        assert self.worker is not None
        assert self.worker.stdout is not None
        ready, _, _ = select.select([self.worker.stdout], [], [], seconds)
        return self.worker.stdout.readline().strip() if ready else None

    def _end(self, *, told: bool = False) -> object:
        worker, self.worker = self.worker, None
        assert worker is not None
        worker.kill()
        _, error = worker.communicate()
        return error[-2000:] if told else worker.returncode
