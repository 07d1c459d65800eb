"""The whole map's own model across regions, exactly, in three rounds: see `irl.border_system`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.types import Floats
from ..irl.border_likelihood import Reduced
from ..irl.border_system import BorderSystem, RegionValues
from ..irl.regional_likelihood import BlockAnswer
from .dispatch import Key, Workers
from .regions import Shards

_DIVERGES = "InfeasibleRewardError: values diverge on a cycle that runs through several regions"
_UNDERFLOWS = "UnderflowError: a trip costs more than float64's exponentials can hold; corridors have no such limit"


class BorderEvaluator:
    """An `Evaluator` of shards that hold their own region: one answer per region, from three calls to each."""

    def __init__(self, shards: Shards, workers: Workers) -> None:
        self._rows, self._workers = {info.region: list(info.regions) for info in shards.infos}, workers

    def evaluate(self, keys: list[Key], table: Floats, progress: Callable[[int], None]) -> list[BlockAnswer]:
        """As `Evaluator.evaluate`; of a part of the routes, all regions or none are among the keys."""
        found: dict[Key, BlockAnswer] = {}
        for number in sorted({block for _, block in keys}):
            part = [key for key in keys if key[1] == number]
            found |= self._of_part(part, {key: table[self._rows[key[0]]] for key in part}, progress)
        return [found[key] for key in keys]

    def _of_part(
        self, keys: list[Key], tables: dict[Key, Floats], progress: Callable[[int], None]
    ) -> dict[Key, BlockAnswer]:
        def ask(method: str, *more: list[Floats]) -> list[Any]:
            arguments = {key: (tables[key], *(one[k] for one in more)) for k, key in enumerate(keys)}
            found = self._workers.call(method, arguments, progress)
            return [found[key] for key in keys]

        def refused(why: str) -> dict[Key, BlockAnswer]:
            return {key: BlockAnswer(np.nan, np.full(tables[key].shape, np.nan), np.nan, why) for key in keys}

        reduced: list[Reduced] = ask("reduce")
        for one in reduced:
            if one.refusal:
                return refused(one.refusal)
        entries, borders = [one.entries for one in reduced], [one.borders for one in reduced]
        num_states = max((int(one.max(initial=-1)) + 1 for one in borders), default=0)
        system = BorderSystem(num_states, entries, borders, [one.matrix for one in reduced])
        if not system.has_values:
            return refused(_DIVERGES)
        exponentials = system.exponentials([one.source for one in reduced])
        said: list[RegionValues] = ask("values", exponentials)
        if any(np.isnan(one.total) for one in said):
            return refused(_UNDERFLOWS)
        gradients = ask("gradient", exponentials, system.visits([one.adjoint for one in said]))
        return {
            key: BlockAnswer(one.total, gradient, 0.0) for key, one, gradient in zip(keys, said, gradients, strict=True)
        }
