"""Arrays in files that nobody sees: results the size of a map for a process that is not to hold one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .errors import StoredFolderError
from .types import Floats

Empty = Callable[[int], Floats]
"""Makes float64[n], to be written: `numpy.empty`, or `in_files` of a folder."""


def in_files(folder: Path) -> Empty:
    """Arrays in unnamed files in that folder, each gone with its array: the system may write them out at any time.

    Making one raises `StoredFolderError` where the disk has no room for it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     array = in_files(Path(folder))(3)
    >>> array[:] = 1.5  # lives on without the folder
    >>> float(array.sum())
    4.5
    """

    def empty(count: int) -> Floats:
        if count == 0:  # a file of no bytes cannot be mapped
            return np.empty(0)
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), 8 * count, folder)
            return np.asarray(np.memmap(file, np.float64, "w+", shape=(count,)))

    return empty


def _reserve(file: int, size: int, folder: Path) -> None:
    # Else the first write to a page that the disk has no room for would end the process by a signal.
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size)
    except OSError as error:
        raise StoredFolderError(
            path=folder,
            problem=f"has no room for an array of {size / 1e9:.3f} GB ({error})",
            remedy="Free space on that disk, or choose another place",
        ) from error
