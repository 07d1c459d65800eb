"""Quotation marks of a CSV file, counted as it is read: Arrow takes an open one as the end of a cell, rows and all."""

from __future__ import annotations

import io
from pathlib import Path

from .errors import InputFileError


class QuotesCounted(io.RawIOBase):
    """A file to read from that knows, once it is read, whether every quotation closed."""

    def __init__(self, path: Path) -> None:
        self._path, self._file, self._count = path, path.open("rb"), 0  # closed with this one

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        block = self._file.read(size)
        self._count += block.count(b'"')
        return block

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def require_closed(self) -> None:
        """`InputFileError` where a quotation is still open; call it when all is read."""
        if self._count % 2:
            raise InputFileError(
                path=self._path,
                problem="has a quotation that never ends, so rows after it would be lost in one cell",
                remedy="Close it, or double quotation marks inside a cell; the file may have been cut short",
            )
