"""Where `trodden build` takes roads from: a path, the name of a place, or a bounding box."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..core.errors import ConfigurationError

if TYPE_CHECKING:
    from ..graphs.assembly import Join, Progress
    from ..graphs.driving_side import DriveOn
    from ..graphs.modes import Mode
    from ..graphs.moves import UTurns
    from ..graphs.road_graph import RoadNetwork


class Reader(Protocol):
    """`read_roads` or `read_place`, with their source bound."""

    def __call__(
        self,
        *,
        join: Join = "attributes",
        mode: Mode | None = None,
        u_turns: UTurns | None = None,
        include_service: bool = False,
        drive_on: DriveOn = "auto",
        elevation: str | Path | None = None,
        columns: str | Path | None = None,
        progress: Progress | None = None,
    ) -> RoadNetwork:
        """Read."""
        ...


def chosen_source(source: Path | None, place: str, bbox: str, keep: Path | None) -> Reader:
    """What reads the one source that was named; `ConfigurationError` where it is none or more than one."""
    named = [name for name, value in (("SOURCE", source), ("--place", place), ("--bbox", bbox)) if value]
    if len(named) != 1:
        problem = f"{' and '.join(named)} are named" if named else "no source is named"
        raise ConfigurationError(where="build", problem=f"{problem}; give one of SOURCE, --place and --bbox")
    if source is not None:
        from ..graphs.reading import read_roads

        if keep is not None:
            raise ConfigurationError(where="build", problem="--keep goes with --place or --bbox")
        return functools.partial(read_roads, source)
    from ..graphs.places import read_place

    return functools.partial(read_place, place or _box(bbox), keep=keep)


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        problem = f"{text!r} is not four numbers, west,south,east,north in degrees"
        raise ConfigurationError(where="--bbox", problem=problem) from None
    return west, south, east, north
