"""What the endpoints share: the router, what is made of its network once, and threads for slow questions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from fastapi import Response

from ...core.errors import MissingDataError
from ..line_kernels import travelled_line
from ..lines import encode_polyline
from ..router import Router
from .counters import Counters
from .roads import RoadLines
from .settings import ServiceSettings
from .streets import Streets

_T = TypeVar("_T")


class ServiceState:
    """One per application.

    What takes longer than a plain route runs in ``settings.slow_threads`` threads of its own and holds up
    no plain route.
    """

    def __init__(self, router: Router, settings: ServiceSettings, *, is_simulated: bool) -> None:
        self.router, self.settings, self.is_simulated = router, settings, is_simulated
        self.counters = Counters()
        # They stay: an engine's query object belongs to its thread, and costs more to make than a route.
        self._threads = ThreadPoolExecutor(settings.slow_threads, thread_name_prefix="trodden-slow")

    async def slowly(self, work: Callable[[], _T]) -> _T:
        """The result of some work, done in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Wait for the threads; requests under way are answered first."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.counters.close()

    def warm_up(self) -> None:
        """Make what the first request would wait for; a network without coordinates has nothing to make."""
        try:
            assert self.streets is not None
            west, south, east, north = self.roads.bounds
            middle = self.router.nearest(((south + north) / 2, (west + east) / 2))[0]
            encode_polyline(travelled_line(self.router.network.lines, np.array([middle.edge], np.int32), 0.0, 0.5))
        except (MissingDataError, LookupError):  # no coordinates, or no road near the middle of the map
            return

    @cached_property
    def streets(self) -> Streets:
        """The network as instructions see it; `MissingDataError` without coordinates."""
        return Streets(self.router.network)

    @cached_property
    def roads(self) -> RoadLines:
        """The network as the page draws it; `MissingDataError` without coordinates."""
        return RoadLines(self.router.network)

    def versions(self) -> dict[str, int]:
        """Version of each metric by name."""
        return {name: self.router.version(name) for name in self.router.metrics}


def reply(answer: Any, status: int = 200) -> Response:
    """An answer as JSON. Written here, not by the framework: checking it against a model costs more than a route."""
    body = json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Response(body, status, media_type="application/json")
