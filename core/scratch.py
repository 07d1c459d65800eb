"""Arrays in files that nobody sees: results the size of a map for a process that is not to hold one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .types import Floats

Empty = Callable[[int], Floats]
"""Makes float64[n], to be written: `numpy.empty`, or `in_files` of a folder."""


def in_files(folder: Path) -> Empty:
    """Arrays in unnamed files in that folder, each gone with its array: the system may write them out at any time.

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
            return np.asarray(np.memmap(file, np.float64, "w+", shape=(count,)))

    return empty
