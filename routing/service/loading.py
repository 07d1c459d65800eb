"""A router from model folders, and new models swapped in while it serves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ...core.errors import ConfigurationError, TroddenError, WrongNetworkError
from ...core.folders import MANIFEST
from ...irl.checkpoints import load_model
from ...irl.model import LearnedModel, entry_costs
from ..router import Router
from .counters import Counters

_LOG = logging.getLogger(__name__)
DEFAULT_METRIC = "learned"

Mark: TypeAlias = tuple[int, int, int]
"""Inode, time of change and size of a model's manifest: another one, another model."""


@dataclass(frozen=True, eq=False)
class LoadedModels:
    """A router, and the folders that it was made from."""

    router: Router
    is_simulated: bool
    """Whether any of the models was learned from simulated routes."""
    sources: Mapping[str, Path]
    """Model folder by metric."""
    marks: Mapping[str, Mark | None]
    """What stood there just before it was read: whatever comes later is seen as new."""


def load_router(model: str | Path, others: Mapping[str, str | Path] | None = None) -> LoadedModels:
    """A router that serves a model as ``learned``, its baselines by their names, and other models by theirs.

    Raises
    ------
    StoredFolderError
        A folder is no model, or altered.
    WrongNetworkError
        A model was learned on another network than the first.
    ConfigurationError
        Two metrics of one name.
    """
    sources = {DEFAULT_METRIC: Path(model), **{name: Path(path) for name, path in (others or {}).items()}}
    marks = {name: _mark(path) for name, path in sources.items()}
    first = load_model(model)
    router = Router(first, metric=DEFAULT_METRIC)
    add_baselines(router, first)
    is_simulated = first.is_simulated
    for name, path in (others or {}).items():
        if name in router.metrics:
            raise ConfigurationError(where="--metric", problem=f"there is a metric {name!r} already")
        other = load_model(path)
        router.add_model(name, other)
        is_simulated |= other.is_simulated
    return LoadedModels(router, is_simulated, sources, marks)


def check_models(model: str | Path, others: Mapping[str, str | Path]) -> None:
    """Open models without serving them; the errors are those of `load_router`."""
    expected = load_model(model).network.checksum
    for name, path in others.items():
        found = load_model(path).network.checksum
        if found != expected:
            raise WrongNetworkError(what=f"the model {path} of metric {name}", expected=found, found=expected)


def add_baselines(router: Router, model: LearnedModel) -> None:
    """The costs that a model is compared with (``fastest``, ``shortest``, ...) as metrics of their own."""
    for name, cost in model.baseline_costs.items():
        router.add_metric(name, cost, entry_costs(0 * model.entry_cost, cost, model.network.turns.to_edge))


class ModelWatcher:
    """Looks at model folders every so often, and puts a new model in the old one's place.

    A model folder is written beside its place and renamed, so what is seen is whole. A model that cannot be served (of
    another network, altered) is refused, said in the log and counted; the earlier one goes on.

    Parameters
    ----------
    seconds
        Between two looks.
    """

    def __init__(self, loaded: LoadedModels, seconds: float, counters: Counters) -> None:
        self._router, self._seconds, self._counters = loaded.router, seconds, counters
        self._sources, self._marks = loaded.sources, dict(loaded.marks)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trodden-models", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End, after a swap under way."""
        self._stop.set()
        self._thread.join()

    def look(self) -> list[str]:
        """Look once; the names of the metrics that were replaced."""
        swapped = []
        for name, path in self._sources.items():
            mark = _mark(path)
            if mark is None or mark == self._marks[name]:
                continue
            self._marks[name] = mark
            if self._swap(name, path):
                swapped.append(name)
        return swapped

    def _swap(self, name: str, path: Path) -> bool:
        try:
            model = load_model(path)
            self._router.add_model(name, model)
            if name == DEFAULT_METRIC:
                add_baselines(self._router, model)
        except (TroddenError, OSError) as error:
            _LOG.error("the new model for %s is refused, the earlier one goes on: %s", name, error)
            self._counters.refused.labels(name).inc()
            return False
        self._counters.swaps.labels(name).inc()
        _LOG.info("metric %s is now version %d, from %s", name, self._router.version(name), path)
        return True

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self.look()


def _mark(path: Path) -> Mark | None:
    """None while there is nothing to load: between the two renames of a write, say."""
    try:
        found = (path / MANIFEST).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
