"""The service under Ray Serve: ``python -m trodden.cli.ray_serve MODEL --replicas 2``.

The same application as ``trodden serve``, in as many replicas as asked for, each with the model in its memory. The
model folder must be there under the same path on every node. Needs the extra ``[serve]`` and ``ray[serve]``.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import MissingPackageError
from .console import guarded, say
from .serve import make_served_app, parse_metric, require_serve_extra

if TYPE_CHECKING:
    from fastapi import FastAPI

NAME = "trodden"


def deploy(
    model: str | Path,
    *,
    others: dict[str, str] | None = None,
    replicas: int = 1,
    host: str = "127.0.0.1",
    port: int = 8000,
    reload_every_s: float | None = None,
) -> None:
    """Run the service on the Ray that this process is connected to, and return once it answers.

    Raises
    ------
    MissingPackageError
        Ray Serve or a package of the extra is not installed.
    """
    require_serve_extra()
    try:
        from ray import serve
    except ImportError:
        raise MissingPackageError(
            package="ray[serve]", needed_for="Ray Serve", install="pip install 'ray[serve]'"
        ) from None
    wanted: dict[str, Any] = {
        "model": str(Path(model).resolve()),
        "others": {name: str(Path(path).resolve()) for name, path in (others or {}).items()},
        "settings": {},
        "reload_every_s": reload_every_s,
    }

    def build() -> FastAPI:
        return make_served_app(wanted)

    serve.start(http_options={"host": host, "port": port})
    ingress = serve.ingress(build)()
    deployment = serve.deployment(name=NAME, num_replicas=replicas)(ingress)
    serve.run(deployment.bind(), name=NAME, route_prefix="/")


@guarded
def main(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model folder, there on every node")],
    address: Annotated[str, typer.Option(metavar="ADDRESS", help="local, auto, or a cluster's address")] = "local",
    replicas: Annotated[int, typer.Option(min=1, metavar="N", help="processes, each with the model in memory")] = 1,
    metric: Annotated[list[str] | None, typer.Option("--metric", metavar="NAME=MODEL", help="a further model")] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="where Ray's proxies listen")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="N", help="the port they listen on")] = 8000,
    reload_every: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="look for new models in their folders so often")
    ] = None,
) -> None:
    """Serve routes under Ray Serve, until Ctrl-C or SIGTERM."""
    from ..distributed.cluster import ray_session

    others = dict(parse_metric(text) for text in metric or ())
    with ray_session(address, None):
        deploy(model, others=others, replicas=replicas, host=host, port=port, reload_every_s=reload_every)
        say(f"serving on http://{host}:{port} under Ray Serve, {replicas} replicas; Ctrl-C ends")
        try:
            while not threading.Event().wait(3600):
                pass
        finally:
            from ray import serve

            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            serve.shutdown()


if __name__ == "__main__":
    typer.run(main)
