"""The metrics of a router by name: put and taken away while queries run, each with a version of its own."""

from __future__ import annotations

import threading

from ..core.errors import ConfigurationError, UnknownIdError
from .metrics import NamedCosts


class MetricSet:
    """Metrics by name. A reader sees the old or the new one of a name, never a mixture. Safe from several threads."""

    def __init__(self, default: str) -> None:
        self.default = default
        self._lock = threading.Lock()
        self._last_version = 0
        self._metrics: dict[str, NamedCosts] = {}

    def put(self, costs: NamedCosts) -> int:
        """Serve these costs from now on under their name; the version they got. Queries under way keep the old ones."""
        with self._lock:
            self._last_version += 1
            costs.version = self._last_version
            # A new dict in one assignment: readers take no lock, and may be iterating over the old one.
            self._metrics = {**self._metrics, costs.name: costs}
            return costs.version

    def remove(self, name: str) -> None:
        """Serve these costs no more.

        Raises
        ------
        UnknownIdError
            There are none of that name.
        ConfigurationError
            They are the default.
        """
        self.get(name)
        if name == self.default:
            raise ConfigurationError(where=f"metric {name!r}", problem="is the default and cannot be removed")
        with self._lock:
            self._metrics = {key: costs for key, costs in self._metrics.items() if key != name}

    def get(self, name: str | None) -> NamedCosts:
        """The costs of that name, or the default; `UnknownIdError` lists those there are."""
        wanted = self.default if name is None else name
        metrics = self._metrics
        try:
            return metrics[wanted]
        except KeyError:
            known = ", ".join(metrics)
            raise UnknownIdError(kind="metric", identifier=wanted, remedy=f"there are: {known}") from None

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they first came."""
        return tuple(self._metrics)
