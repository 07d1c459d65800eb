"""What a report is made of before it is a page: sections of sentences, facts, tables and figures. No HTML in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

OSM_ADDRESS = "https://www.openstreetmap.org"
"""The only address that a report links to."""


@dataclass(frozen=True)
class Cell:
    """A field of a table: a text, and where it leads to (only ever to `OSM_ADDRESS`)."""

    text: str
    href: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    tone: Literal["plain", "note", "warning"] = "plain"
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Facts:
    """Terms, and what is said of each."""

    pairs: tuple[tuple[str, str], ...]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row is its header."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    text_columns: frozenset[int] = frozenset({0})
    """Those that stand to the left; the others hold numbers and stand to the right."""
    note: str = ""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Figure:
    """A drawing as inline SVG, its heading, what it shows in words, and what is to be said beside it."""

    svg: str
    title: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Figures:
    """Drawings side by side, or a single wide one."""

    figures: tuple[Figure, ...]
    kind: ClassVar[str] = "figures"


@dataclass(frozen=True)
class Code:
    """Text to copy, folded away under ``summary`` where there is one."""

    text: str
    summary: str = ""
    kind: ClassVar[str] = "code"


Block = Text | Facts | Table | Figures | Code


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Tile:
    """A number to see first."""

    number: str
    label: str
    detail: str = ""
    is_main: bool = False


def make_table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Cell]],
    *,
    text_columns: Sequence[int] = (0,),
    note: str = "",
) -> Table:
    """A table of texts and cells."""
    cells = tuple(tuple(one if isinstance(one, Cell) else Cell(one) for one in row) for row in rows)
    return Table(caption, tuple(columns), cells, frozenset(text_columns), note)
