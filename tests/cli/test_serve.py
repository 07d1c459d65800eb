"""``trodden serve`` as a process: it says where it is, answers, refuses what it cannot do, and leaves when asked to."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_city import command_line, environment
from stated_model import TASTE, small_city, stated_model

pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from trodden.irl.checkpoints import save_model

A, B = "-71.2490,-29.8990", "-71.2380,-29.8890"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    return save_model(stated_model(small_city(folder)), folder / "model")


class Served:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], address: str, said: str) -> None:
        self.process, self.address, self.said = process, address, said

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with OPENER.open(self.address + path, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def route(self, metric: str = "learned") -> dict:
        status, body = self.get(f"/route/v1/{metric}/{A};{B}")
        assert status == 200, body
        return json.loads(body)["routes"][0]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def serving(model: Path, *options: object, log: Path) -> Iterator[Served]:
    with open(log, "w+", encoding="utf-8") as file:
        process = subprocess.Popen(
            command_line("serve", model, "--port", 0, *options), stdout=file, stderr=file, env=environment(), text=True
        )
        try:
            yield Served(process, *_ready(process, log))
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(30)


def _ready(process: subprocess.Popen[str], log: Path) -> tuple[str, str]:
    limit = time.monotonic() + 100
    while time.monotonic() < limit and process.poll() is None:
        said = log.read_text(encoding="utf-8")
        if found := re.search(r"serving .* on (http://\S+?)[,;]", said):
            return found[1], said
        time.sleep(0.05)
    raise AssertionError(f"never served, code {process.poll()}:\n{log.read_text(encoding='utf-8')}")


def test_it_serves_on_loopback_and_leaves_on_sigterm(model, tmp_path):
    with serving(model, "--max-points", 3, log=tmp_path / "log") as served:
        assert re.search(r"serving learned, fastest, shortest on http://127\.0\.0\.1:\d+; Ctrl-C ends", served.said)
        assert served.route()["weight_name"] == "learned"
        assert served.route("shortest")["distance"] <= served.route()["distance"]
        status, body = served.get(f"/route/v1/car/{A};{B};{A};{B}")
        assert (status, json.loads(body)["code"]) == (400, "TooBig")
        assert served.get("/")[0] == 200
        assert _head_without_end(served) == 414
        assert served.route()["weight_name"] == "learned"
        assert served.stop() == 143
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert "Traceback" not in said


def _head_without_end(served: Served) -> int:
    """The status for a URL that goes on and on."""
    port = int(served.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET /route/v1/car/")
        try:
            for _ in range(200):
                client.sendall(b"1.0,1.0;" * 1000)
        except OSError:
            pass  # hung up on
        answer = client.makefile("rb").readline()
    return int(answer.split()[1])


def test_a_port_in_use_is_said_before_anything_is_loaded(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            command_line("serve", tmp_path / "nothing", "--port", port),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--workers", "2"], "has no manifest.json"),
        (["--metric", "patient"], "not NAME=MODEL"),
        (["--metric", "patient=/nowhere"], "is not there"),
        (["--host", "no such host"], "no address of this machine"),
        (["--tiles", "tiles.png"], "{z}"),
    ],
)
def test_bad_use(tmp_path, options, says, capsys):
    from trodden.cli.main import app
    from typer.testing import CliRunner

    ran = CliRunner().invoke(app, ["serve", str(tmp_path), "--port", "0", *options])
    assert ran.exit_code == 2
    assert says in ran.output + capsys.readouterr().err


def test_a_missing_package_names_the_extra(monkeypatch):
    import importlib.util

    from trodden.cli.serve import require_serve_extra
    from trodden.core.errors import MissingPackageError

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"trodden\[serve\]"):
        require_serve_extra()


@pytest.mark.slow
def test_workers_share_a_port_count_together_and_take_up_new_models(model, tmp_path):
    import shutil

    shutil.copytree(model, tmp_path / "model")
    patient = stated_model(small_city(tmp_path), {**TASTE, "constant": -2.4})
    other = save_model(patient, tmp_path / "other")
    options = ["--workers", 2, "--metric", f"patient={other}", "--reload-every", 0.2]
    with serving(tmp_path / "model", *options, log=tmp_path / "log") as served:
        assert "2 workers" in served.said
        before, expected = served.route(), served.route("patient")
        save_model(patient, tmp_path / "model")
        assert before["weight"] != expected["weight"]
        limit, in_a_row = time.monotonic() + 60, 0
        while in_a_row < 30 and time.monotonic() < limit:  # until both workers have looked, whichever answers
            # Not the version: a worker that starts after the swap begins with the new model.
            is_new = served.route()["weight"] == expected["weight"]
            in_a_row = in_a_row + 1 if is_new else 0
            time.sleep(0.0 if is_new else 0.1)
        assert in_a_row == 30
        count = sum(
            float(one)
            for one in re.findall(rb'requests_total\{service="route",status="200"\} (\S+)', served.get("/metrics")[1])
        )
        assert count >= 32
        assert served.stop() == 143
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")
