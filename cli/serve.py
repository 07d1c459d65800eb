"""The command ``trodden serve``: routes over HTTP, from model folders."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ConfigurationError, InputFileError, MissingPackageError, ResourceError
from .console import INTERRUPTED, TERMINATED, guarded, progress_bar, say

if TYPE_CHECKING:
    from fastapi import FastAPI

_VARIABLE = "TRODDEN_SERVE"
"""The environment variable that tells workers what to serve: they are processes of their own."""
_GRACE_S = 10
"""How long requests under way may take once the server is asked to stop."""
_CANNOT_START = 3
"""Exit code of such a worker, as uvicorn has it."""


@guarded
def serve(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model folder, as `trodden train` writes it")],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="0.0.0.0 to be reached from elsewhere")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 for any free one")] = 5000,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="processes, each with the model in memory")] = 1,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME=MODEL", help="a further model of the same network")
    ] = None,
    max_points: Annotated[int, typer.Option(min=2, metavar="N", help="coordinates in one request")] = 500,
    reload_every: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="look for new models in their folders so often")
    ] = None,
    tiles: Annotated[
        str | None, typer.Option(metavar="URL", help="base map of the page, with {z}, {x} and {y}; none by default")
    ] = None,
    tiles_attribution: Annotated[str, typer.Option(metavar="TEXT", help="whose map that is")] = "",
    allow_origin: Annotated[
        str | None, typer.Option(metavar="ORIGIN", help="web pages elsewhere that may ask; * for any")
    ] = None,
) -> None:
    """Serve routes over HTTP, and a page with a map.

    /route, /table, /nearest and /match answer as OSRM does; /v1 has the rest; / is the page. Ctrl-C or SIGTERM ends it.
    """
    from ..routing.service.settings import ServiceSettings

    require_serve_extra()
    settings: dict[str, Any] = {
        "max_points": max_points,
        "tiles": tiles,
        "tiles_attribution": tiles_attribution,
        "allow_origin": allow_origin,
    }
    others = dict(parse_metric(text) for text in metric or ())
    wanted = {"model": str(model), "others": others, "settings": settings, "reload_every_s": reload_every}
    ServiceSettings(**settings)  # what is wrong with them is said before anything is loaded
    listener = _bind(host, port)
    address = _address(listener, host)
    with listener, tempfile.TemporaryDirectory(prefix="trodden-serve-") as folder:
        if workers == 1:
            code = _serve_here(listener, address, wanted)
        else:
            _check_models(model, others)
            # Workers read the second one when they import prometheus_client: it decides then where counters are kept.
            with _environment({_VARIABLE: json.dumps(wanted), "PROMETHEUS_MULTIPROC_DIR": folder}):
                code = _serve_by_workers(listener, address, workers)
    if code:
        raise typer.Exit(code)


def require_serve_extra() -> None:
    """`MissingPackageError` that names the extra where a package of it is missing."""
    import importlib.util

    for module, package in (("fastapi", "fastapi"), ("uvicorn", "uvicorn"), ("prometheus_client", "prometheus_client")):
        if importlib.util.find_spec(module) is None:
            raise MissingPackageError(
                package=package, needed_for="trodden serve", install="pip install 'trodden[serve]'"
            )


def make_served_app(wanted: dict[str, Any]) -> FastAPI:
    """The application for what was asked for: ``model``, ``others``, ``settings``, ``reload_every_s``."""
    from ..routing.service.app import make_app
    from ..routing.service.loading import load_router
    from ..routing.service.settings import ServiceSettings

    _log_to_standard_error()
    loaded = load_router(wanted["model"], wanted["others"])
    return make_app(
        loaded.router,
        ServiceSettings(**wanted["settings"]),
        is_simulated=loaded.is_simulated,
        models=loaded,
        reload_every_s=wanted["reload_every_s"],
    )


def app_of_worker() -> FastAPI:
    """What `serve` was asked for, made once in each worker, which ends with a code of its own where that fails."""
    try:
        return make_served_app(json.loads(os.environ[_VARIABLE]))
    except Exception:
        logging.getLogger(__name__).exception("a worker could not start")
        sys.exit(_CANNOT_START)


def _serve_here(listener: socket.socket, address: str, wanted: dict[str, Any]) -> int:
    import uvicorn

    with progress_bar("loading", None):
        app = make_served_app(wanted)
    server = uvicorn.Server(uvicorn.Config(app, **_options()))
    _announce(address, "")
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # how uvicorn ends on Ctrl-C, once all is answered
        return INTERRUPTED
    return 0


def _serve_by_workers(listener: socket.socket, address: str, workers: int) -> int:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    class Workers(Multiprocess):
        """uvicorn's own, but that it knows what ended it, and looks whether workers live instead of asking them.

        One that orders a large network does not answer for minutes; one that cannot start would be started for ever.
        """

        code = 1

        def keep_subprocess_alive(self) -> None:
            for at, worker in enumerate(self.processes):
                if self.should_exit.is_set() or worker.process.is_alive():
                    continue
                worker.join()
                if worker.process.exitcode == _CANNOT_START:
                    self.should_exit.set()
                    return
                self.processes[at] = type(worker)(self.config, self.sockets)
                self.processes[at].start()

        def handle_int(self) -> None:
            self.code = INTERRUPTED
            super().handle_int()

        def handle_term(self) -> None:
            self.code = TERMINATED
            super().handle_term()

    say(f"starting {workers} workers")
    config = uvicorn.Config(f"{__name__}:{app_of_worker.__name__}", factory=True, workers=workers, **_options())
    supervisor = Workers(config, sockets=[listener])
    _announce(address, f", {workers} workers")
    supervisor.run()
    if supervisor.code == 1:
        raise ResourceError(
            asked=f"{workers} workers", available="one that could not start", remedy="see its message above"
        )
    return supervisor.code


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _options() -> dict[str, Any]:
    """Options of uvicorn, those that this release of it knows."""
    import inspect

    import uvicorn

    options: dict[str, Any] = {
        "access_log": False,
        "lifespan": "on",
        "log_level": "warning",
        "server_header": False,
        "timeout_graceful_shutdown": _GRACE_S,
        "ws": "none",
    }
    try:
        from ..routing.service.protocol import LimitedProtocol
    except ImportError:  # without httptools h11 parses, which has a limit of its own
        options["http"] = "h11"
    else:
        options["http"] = LimitedProtocol
    known = inspect.signature(uvicorn.Config).parameters
    return {name: value for name, value in options.items() if name in known}


def _check_models(model: Path, others: dict[str, str]) -> None:
    """Open every model once before workers do: a fault is said once, and no worker is started over and over."""
    from ..routing.service.loading import check_models

    with progress_bar("checking the models", None):
        check_models(model, others)


def _bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address, so that a port in use is said before minutes of loading."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(where="--host", problem=f"{host!r} is no address of this machine ({error})") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(place)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            where="serve",
            problem=f"cannot listen on {host} port {port} ({error.strerror}); choose another --port, or 0 for any",
        ) from None
    listener.set_inheritable(True)
    return listener


def _address(listener: socket.socket, host: str) -> str:
    port = listener.getsockname()[1]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _announce(address: str, how: str) -> None:
    """Say where the service is once it answers."""
    reached = address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")

    def wait() -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            try:
                with opener.open(f"{reached}/health", timeout=60) as answer:
                    metrics = ", ".join(json.load(answer)["metrics"])
            except (OSError, ValueError):
                time.sleep(0.1)
                continue
            say(f"serving {metrics} on {address}{how}; Ctrl-C ends")
            sys.stdout.flush()
            return

    threading.Thread(target=wait, name="trodden-announce", daemon=True).start()


def parse_metric(text: str) -> tuple[str, str]:
    """``NAME=MODEL`` as (name, path)."""
    name, separator, path = text.partition("=")
    if not separator or not name or not path:
        raise ConfigurationError(where="--metric", problem=f"{text!r} is not NAME=MODEL")
    if not name.replace("_", "").replace("-", "").isalnum():
        raise ConfigurationError(where="--metric", problem=f"the name {name!r} must be letters, digits, - and _")
    if not Path(path).exists():
        raise InputFileError(path=path, problem="is not there", remedy="Give the folder of a model")
    return name, path


def _log_to_standard_error() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    logging.getLogger("trodden.routing.service").setLevel(logging.INFO)
