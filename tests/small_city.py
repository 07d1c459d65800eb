"""A small city in OSM XML, south of the equator, and the command line run on it in processes of its own."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

ROWS = COLUMNS = 12
ORIGIN = (-29.9, -71.25)
SPACING_DEG = 0.0012
ISLAND = (9001, 9002)
"""Two nodes of a road that no other road touches."""


def city_xml(rows: int = ROWS, columns: int = COLUMNS, origin: tuple[float, float] = ORIGIN, seed: int = 0) -> str:
    """A grid of streets and avenues: some fast, some one-way, one apart from all others; node ids count from 1."""
    place = random.Random(seed)
    items = ["<?xml version='1.0' encoding='UTF-8'?>", '<osm version="0.6">']

    def node(number: int, row: float, column: float) -> None:
        latitude = origin[0] + row * SPACING_DEG + place.uniform(-2e-4, 2e-4)
        longitude = origin[1] + column * SPACING_DEG + place.uniform(-2e-4, 2e-4)
        items.append(f'<node id="{number}" version="1" lat="{latitude:.7f}" lon="{longitude:.7f}"/>')

    def way(number: int, refs: list[int], **tags: str) -> None:
        inner = "".join(f'<nd ref="{ref}"/>' for ref in refs)
        inner += "".join(f"<tag k={quoteattr(key)} v={quoteattr(value)}/>" for key, value in tags.items())
        items.append(f'<way id="{number}" version="1">{inner}</way>')

    for row in range(rows):
        for column in range(columns):
            node(1 + row * columns + column, row, column)
    node(ISLAND[0], 2.5, columns + 1.0)
    node(ISLAND[1], 3.5, columns + 1.0)
    way(999, list(ISLAND), highway="residential", name="Island Road")
    for row in range(rows):
        tags = {"highway": "secondary", "maxspeed": "60"} if row % 4 == 2 else {"highway": "residential"}
        tags |= {"oneway": "yes"} if row % 4 == 3 else {}
        way(1000 + row, [1 + row * columns + column for column in range(columns)], name=f"Calle <{row}>", **tags)
    for column in range(columns):
        tags = {"highway": "tertiary", "maxspeed": "50"} if column % 5 == 1 else {"highway": "residential"}
        way(2000 + column, [1 + row * columns + column for row in range(rows)], **tags)
    return "\n".join([*items, "</osm>", ""])


@dataclass(frozen=True)
class Ran:
    """One command that ran in a process of its own."""

    code: int
    out: str
    err: str


def command_line(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "trodden", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "80", "MPLBACKEND": "agg", "JAX_PLATFORMS": "cpu", "NO_COLOR": "1"}


def trodden(*arguments: object, cwd: Path) -> Ran:
    """Run ``python -m trodden`` in a folder."""
    done = subprocess.run(
        command_line(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=200, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)
