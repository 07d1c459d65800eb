"""trodden learns from observed routes what travellers prefer, and serves the best routes under what it learned.

>>> from trodden import read_roads, read_demonstrations, fit, evaluate, Router

Names load on first use, so that a process that only serves routes never imports JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .core.config import Config, read_config
    from .core.errors import TroddenError
    from .distributed.coordinator import fit_regions
    from .graphs.reading import read_roads
    from .graphs.store import load_network, save_network
    from .irl.checkpoints import load_model, save_model
    from .irl.demonstrations import read_demonstrations
    from .irl.evaluation import evaluate
    from .irl.report.writing import write_report
    from .irl.simulation import simulate
    from .irl.training import fit
    from .routing.router import Router

_HOMES = {
    "Config": "core.config",
    "read_config": "core.config",
    "TroddenError": "core.errors",
    "read_roads": "graphs.reading",
    "load_network": "graphs.store",
    "save_network": "graphs.store",
    "read_demonstrations": "irl.demonstrations",
    "simulate": "irl.simulation",
    "fit": "irl.training",
    "fit_regions": "distributed.coordinator",
    "evaluate": "irl.evaluation",
    "write_report": "irl.report.writing",
    "explain": "irl.insight.explanation",
    "influence": "irl.insight.influence",
    "load_model": "irl.checkpoints",
    "save_model": "irl.checkpoints",
    "Router": "routing.router",
}

__all__ = [
    "Config",
    "Router",
    "TroddenError",
    "__version__",
    "evaluate",
    "explain",
    "fit",
    "fit_regions",
    "influence",
    "load_model",
    "load_network",
    "read_config",
    "read_demonstrations",
    "read_roads",
    "save_model",
    "save_network",
    "simulate",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
