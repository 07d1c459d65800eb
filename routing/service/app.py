"""The application: `make_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from ..._version import __version__
from ...core.errors import ServiceRequestError, TroddenError
from ..router import Router
from .counters import CONTENT_TYPE
from .faults import service_error
from .gate import Gate, error_body
from .loading import LoadedModels, ModelWatcher
from .osrm import osrm_routes
from .own import own_routes
from .settings import ServiceSettings
from .state import ServiceState

_PAGE = Path(__file__).parent / "page"
_POLICY = "default-src 'self'; img-src 'self' data:"
_DESCRIPTION = (
    "Routes under learned costs. `/route/v1`, `/table/v1`, `/nearest/v1` and `/match/v1` are OSRM's; weight is the "
    "cost under the metric that the profile names, duration free-flow seconds, distance metres."
)


def make_app(
    router: Router,
    settings: ServiceSettings | None = None,
    *,
    is_simulated: bool = False,
    models: LoadedModels | None = None,
    reload_every_s: float | None = None,
) -> FastAPI:
    """The service for one router, as an ASGI application.

    Parameters
    ----------
    router
        Answers the queries; metrics may be added or replaced while the service runs.
    settings
        Limits, and the base map of the page.
    is_simulated
        Whether what is served was learned from simulated routes: the page says so.
    models, reload_every_s
        Where the router comes from, to be looked at so often: a new model replaces the metric of its name.

    Notes
    -----
    ``app.state.service`` is the `ServiceState`. On start-up it makes what the first request would wait for (about two
    seconds on Porto); on shutdown requests under way are answered first.
    """
    limits = settings or ServiceSettings()
    state = ServiceState(router, limits, is_simulated=is_simulated)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state.warm_up()
        watcher = ModelWatcher(models, reload_every_s, state.counters) if models and reload_every_s else None
        if watcher is not None:
            watcher.start()
        yield
        if watcher is not None:
            watcher.stop()
        state.close()

    # The framework's own documentation page would fetch its scripts from another host.
    app = FastAPI(
        title="trodden",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = state
    app.include_router(osrm_routes(state))
    app.include_router(own_routes(state))
    _add_page(app, limits)
    _add_handlers(app)
    _without_422(app)

    @app.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        for name, version in state.versions().items():
            state.counters.version.labels(name).set(version)
        return Response(state.counters.text(), media_type=CONTENT_TYPE)

    if limits.allow_origin:
        app.add_middleware(CORSMiddleware, allow_origins=[limits.allow_origin], allow_methods=["GET", "POST"])
    app.add_middleware(Gate, settings=limits, counters=state.counters)
    return app


def _add_page(app: FastAPI, settings: ServiceSettings) -> None:
    policy = _POLICY if settings.tiles is None else f"{_POLICY} https: http:"
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(_PAGE / "index.html", headers=headers)

    app.mount("/page", StaticFiles(directory=_PAGE), name="page")


def _add_handlers(app: FastAPI) -> None:
    """Every failure is answered as OSRM answers: a code and a message."""

    @app.exception_handler(TroddenError)
    async def refused(request: Request, error: TroddenError) -> Response:
        return _problem(service_error(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        faults = [f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors()[:5]]
        return _problem(ServiceRequestError(code="InvalidValue", problem="; ".join(faults)))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, ServiceRequestError):  # raised while a body was read
            return _problem(error.__cause__)
        if error.status_code == 404:
            return _problem(_no_such_place(request.url.path))
        problem = ServiceRequestError(code="InvalidUrl", problem=str(error.detail), status=error.status_code)
        return _problem(problem, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        problem = "a fault of this server, not of the request; its log has more"
        return _problem(ServiceRequestError(code="InternalError", problem=problem, status=500))


def _problem(error: ServiceRequestError, headers: dict[str, str] | None = None) -> Response:
    return Response(error_body(error), error.status, headers=headers, media_type="application/json")


def _no_such_place(path: str) -> ServiceRequestError:
    parts = path.strip("/").split("/")
    if parts[0] in {"trip", "tile"}:
        problem = f"the service {parts[0]} is not offered; there are route, table, nearest and match"
        return ServiceRequestError(code="InvalidService", problem=problem)
    if parts[0] in {"route", "table", "nearest", "match"}:
        if len(parts) > 1 and parts[1] != "v1":
            problem = f"version {parts[1][:20]!r} is not offered; there is v1"
            return ServiceRequestError(code="InvalidVersion", problem=problem)
        problem = f"write /{parts[0]}/v1/PROFILE/LON,LAT;LON,LAT?OPTION=VALUE"
        return ServiceRequestError(code="InvalidUrl", problem=problem)
    return ServiceRequestError(
        code="InvalidUrl", problem="there is nothing here; /openapi.json lists what is", status=404
    )


def _without_422(app: FastAPI) -> None:
    """Requests that do not fit are answered with 400, as OSRM does; the document must not promise 422."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
