"""What a service permits, and how it looks: `ServiceSettings`."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.errors import ConfigurationError


@dataclass(frozen=True)
class ServiceSettings:
    """Limits of one service, and the base map of its page. A limit holds per request."""

    max_points: int = 500
    """Coordinates of a request."""
    max_table_cells: int = 10_000
    """Sources times destinations of a table: times and lengths cost up to a query for each."""
    max_alternatives: int = 5
    max_nearest: int = 100
    max_rows: int = 1000
    """Rows of a batch of routes."""
    max_url_bytes: int = 65_536
    max_body_bytes: int = 1_048_576
    max_roads: int = 12_000
    """Road lines that the page is sent at a time."""
    max_reachable_s: float = 7200.0
    """Largest limit of a reachable area in seconds; other units are not limited."""
    slow_threads: int = 2
    """Threads for requests that take longer than a plain route; further ones wait."""
    tiles: str | None = None
    """URL of base-map tiles with ``{z}``, ``{x}``, ``{y}``; the page draws the network's own roads without one."""
    tiles_attribution: str = ""
    """Plain text, shown on the map beside the tiles."""

    allow_origin: str | None = None
    """Origin of web pages elsewhere that may ask, ``*`` for any; OSRM's own server permits all."""

    def __post_init__(self) -> None:
        if self.tiles is not None and not all(part in self.tiles for part in ("{z}", "{x}", "{y}")):
            raise ConfigurationError(where="tiles", problem=f"the URL {self.tiles!r} needs {{z}}, {{x}} and {{y}}")
        for name in ("max_points", "max_rows", "max_url_bytes", "max_body_bytes", "max_roads", "slow_threads"):
            if getattr(self, name) < 1:
                raise ConfigurationError(where=name, problem="must be at least 1")
