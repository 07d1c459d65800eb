"""Many queries at once: rows in several threads, each answered or failed on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..core.errors import PointFormatError, TroddenError
from ..core.threads import worker_threads
from .points import PointLike
from .route import Route

ROWS_PER_THREAD = 64
"""Fewer are not worth a thread, whose query object takes as long to make as a few answers."""
_BLOCK = 32


def as_pairs(pairs: Iterable[tuple[PointLike, PointLike]]) -> Sequence[object]:
    """Rows as a sequence; an array float64[R, 4] as (latitude, longitude) twice each."""
    if isinstance(pairs, np.ndarray) and pairs.ndim == 2 and pairs.shape[1] == 4:
        return pairs.reshape(-1, 2, 2).tolist()
    return pairs.tolist() if isinstance(pairs, np.ndarray) else list(pairs)


def answer(
    rows: Sequence[object], ask: Callable[[int, PointLike, PointLike], Route], threads: int | None
) -> list[Route | TroddenError]:
    """What ``ask`` says of each row, or the error it raised, which names the row; in the order of the rows."""
    answers: list[Route | TroddenError | None] = [None] * len(rows)

    def work(first: int) -> None:
        for row in range(first, min(first + _BLOCK, len(rows))):
            answers[row] = _one(row, rows[row], ask)

    in_threads(work, range(0, len(rows), _BLOCK), threads_for(len(rows), threads))
    return [found for found in answers if found is not None]


def in_threads(work: Callable[[int], None], items: Iterable[int], threads: int) -> None:
    """Do some work on every item, by several threads; the first exception is raised."""
    if threads <= 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()


def threads_for(rows: int, threads: int | None) -> int:
    """How many work on so many rows where nobody says."""
    return threads or min(worker_threads(), max(1, rows // ROWS_PER_THREAD))


def _one(row: int, pair: object, ask: Callable[[int, PointLike, PointLike], Route]) -> Route | TroddenError:
    try:
        return ask(row, *_two(row, pair))
    except TroddenError as error:
        if row not in (getattr(error, "index", None), getattr(error, "row", None)):
            error.add_note(f"in row {row} of a batch of routes")
        return error


def _two(row: int, pair: Any) -> tuple[PointLike, PointLike]:
    if not isinstance(pair, str):
        try:
            origin, destination = pair
            return origin, destination
        except (TypeError, ValueError):
            pass
    raise PointFormatError(point=str(pair)[:80], problem="is no pair of an origin and a destination", index=row)
