"""uvicorn's HTTP protocol, with a limit on what comes before a request is whole: its line and its headers.

Without one a client could send a URL without end; the application's own limits count only when all of it has come.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ...core.errors import ServiceRequestError
from .gate import error_body

MOST_HEAD_BYTES = 1 << 17


class LimitedProtocol(HttpToolsProtocol):
    """Answers 414 and hangs up where the head of a request has more than `MOST_HEAD_BYTES`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._is_in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    _is_in_head = False

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        super().data_received(data)
        if not self._is_in_head or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES:
            problem = f"the request's line and headers have more than {MOST_HEAD_BYTES} bytes"
            body = error_body(ServiceRequestError(code="TooBig", problem=problem, status=414))
            head = (
                "HTTP/1.1 414 URI Too Long\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.close()
