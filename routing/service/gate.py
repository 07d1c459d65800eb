"""What every request passes first: limits on its size, the clock, and the last net for errors nobody foresaw."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ...core.errors import ServiceRequestError
from .counters import Counters
from .settings import ServiceSettings

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

_LOG = logging.getLogger(__name__)
_OSRM = frozenset({"route", "table", "nearest", "match"})
_OWN = frozenset({"alternatives", "explain", "reachable", "routes", "metrics", "network", "roads"})
_OTHER = frozenset({"health", "metrics", "docs", "openapi.json"})


class Gate:
    """An ASGI application around another one."""

    def __init__(self, app: App, *, settings: ServiceSettings, counters: Counters) -> None:
        self._app, self._settings, self._counters = app, settings, counters

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await _answer(noting, refusal)
            else:
                await self._app(scope, _Limited(receive, self._settings.max_body_bytes), noting)
        finally:
            self._counters.answered(service_of(scope["path"]), status, time.perf_counter() - begin)

    def _refusal(self, scope: Message) -> ServiceRequestError | None:
        size = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
        if size > self._settings.max_url_bytes:
            problem = f"the URL has {size} bytes, more than this server's {self._settings.max_url_bytes}"
            return ServiceRequestError(code="TooBig", problem=problem, status=414)
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value[:20]) > self._settings.max_body_bytes:
                return body_too_big(self._settings.max_body_bytes)
        return None


class _Limited:
    """Stops reading a body that says nothing of its length once it is too long."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left, self._most = receive, most, most

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise body_too_big(self._most)
        return message


def body_too_big(most: int) -> ServiceRequestError:
    """The error for a body over the limit."""
    return ServiceRequestError(code="TooBig", problem=f"the body has more than this server's {most} bytes", status=413)


def service_of(path: str) -> str:
    """What a path asks for, one of a few words: a counter's label must not grow with what strangers send.

    >>> service_of("/route/v1/driving/1,2;3,4"), service_of("/v1/explain"), service_of("/etc/passwd")
    ('route', 'v1/explain', 'other')
    """
    parts = path.split("/", 3)[1:]
    if parts[0] in _OSRM:
        return parts[0]
    if parts[0] == "v1" and len(parts) > 1 and parts[1] in _OWN:
        return f"v1/{parts[1]}"
    if parts[0] in {"", "page"}:
        return "page"
    return parts[0] if parts[0] in _OTHER else "other"


async def _answer(send: Send, error: ServiceRequestError) -> None:
    body = error_body(error)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send(
        {"type": "http.response.start", "status": error.status, "headers": [*headers, (b"connection", b"close")]}
    )
    await send({"type": "http.response.body", "body": body})


def error_body(error: ServiceRequestError) -> bytes:
    """An error as OSRM writes it."""
    return json.dumps({"code": error.code, "message": error.problem}).encode()
