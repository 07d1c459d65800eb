"""Tables as text, for what is printed to people."""

from __future__ import annotations


def shortened(name: str, width: int) -> str:
    """At most so many characters, the middle left out.

    >>> shortened("class:motorway_link", 11)
    'class..link'
    """
    end = (width - 2) // 2
    return name if len(name) <= width else f"{name[: width - 2 - end]}..{name[-end:]}"


def columns(lines: list[list[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
