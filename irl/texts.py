"""`Texts`: a column of strings that takes their bytes and 8 more each, not an object each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.types import Ids, Ints

_BLOCK = 1 << 14


def plain_number(text: str) -> float:
    """A number as files write it; `ValueError` for what only Python takes for one: ``1_000``, other scripts' digits."""
    if not text.isascii() or "_" in text:
        raise ValueError(f"{text!r} is no number")
    return float(text)


class Texts(Sequence[Any]):
    """Strings, or None where nothing was given; a sequence that equals any other of the same texts.

    >>> Texts.of(["a", None]) == ("a", None)
    True
    """

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __init__(self, array: pa.Array) -> None:
        # A column of nothing at all takes nothing.
        self._array = pa.nulls(len(array)) if array.null_count == len(array) else array.cast(pa.large_string())

    @classmethod
    def of(cls, values: Iterable[str | None]) -> Texts:
        """A column of any texts; one that is already such a column stays as it is."""
        return values if isinstance(values, Texts) else cls(pa.array(list(values), pa.large_string()))

    @classmethod
    def nothing(cls, count: int) -> Texts:
        """So many rows that say nothing; they take no memory."""
        return cls(pa.nulls(count))

    @classmethod
    def joined(cls, parts: Sequence[Texts]) -> Texts:
        """Columns one after the other."""
        return cls(pa.concat_arrays([pa.array([], pa.large_string()), *(part.arrow() for part in parts)]))

    def arrow(self) -> pa.Array:
        """The column as Arrow's ``large_string``."""
        return self._array.cast(pa.large_string())

    def take(self, rows: Ids | Ints | slice) -> Texts:
        """Some rows, in that order."""
        if isinstance(rows, slice):
            return Texts(self._array[rows])
        return Texts(self._array.take(pa.array(np.asarray(rows, np.int64))))

    @property
    def nbytes(self) -> int:
        """Memory of the column."""
        return int(self._array.nbytes)

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, row: Any) -> Any:
        return self.take(row) if isinstance(row, slice) else self._array[int(row)].as_py()

    def __iter__(self) -> Iterator[Any]:
        for begin in range(0, len(self), _BLOCK):
            yield from self._array[begin : begin + _BLOCK].to_pylist()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, str) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"Texts({list(self.take(slice(0, 5)))}{', ...' if len(self) > 5 else ''})"
