"""A Ray to work on: started here or joined, and left as it was found. What is asked for is checked before any work."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from ..core.errors import ResourceError

LOCAL = "local"
"""The address that stands for a Ray of one's own on this machine."""
CONNECT_TIMEOUT_S = 5.0


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def ray_session(address: str, num_workers: int | None) -> Iterator[int]:
    """Yield how many workers to use. A Ray that is already initialised in this process is used and left alone.

    Raises
    ------
    ResourceError
        No cluster answers, it has no CPU, or fewer than ``num_workers``. Nothing has been submitted then.
    """
    if ray.is_initialized():
        with _signals_kept():
            yield _workers(num_workers, _cluster_cpus())
        return
    if address == LOCAL:
        _workers(num_workers, usable_cpus())  # before a second is spent on starting Ray
    try:
        _connect(address)
        with _signals_kept():
            yield _workers(num_workers, _cluster_cpus())
    finally:
        with _quiet_forks():
            ray.shutdown()


def _workers(wanted: int | None, num_cpus: int) -> int:
    if num_cpus < 1 or (wanted or 1) > num_cpus:
        raise ResourceError(
            asked=f"{wanted or 1} workers",
            available=f"a total of {num_cpus} CPUs",
            remedy="ask for fewer workers, or give Ray more CPUs",
        )
    return wanted or num_cpus


def _cluster_cpus() -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def _connect(address: str) -> None:
    # "local" is said in full, because RAY_ADDRESS in the environment would win over a default.
    own: dict[str, Any] = {"num_cpus": usable_cpus(), "include_dashboard": False} if address == LOCAL else {}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if not own:
            _require_listener(os.environ.get("RAY_ADDRESS", address) if address == "auto" else address)
        with _quiet_forks():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ray.exceptions.RayError, OSError, ValueError, RuntimeError) as error:
        raise ResourceError(
            asked=f"a Ray at {address!r}",
            available=f"none that answers ({str(error).strip().splitlines()[0]})",
            remedy="start one with `ray start --head`, check the address and the token, or use 'local'",
        ) from error
    finally:
        # Ray puts its own handler in place, which would end this process with the wrong code and nothing saved.
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _require_listener(address: str) -> None:
    """`OSError` where nothing listens at ``host:port``: Ray itself would try for two minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Unwrap what a signal handler raised while Ray's compiled code waited: it is the cause of a SystemError."""
    try:
        yield
    except SystemError as error:
        if error.__cause__ is None:
            raise
        for note in getattr(error, "__notes__", ()):  # what was saved
            error.__cause__.add_note(note)
        raise error.__cause__ from None


@contextmanager
def _quiet_forks() -> Iterator[None]:
    """Hide JAX's warning about forks: Ray's children start another program at once, so they share no lock with us."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
        yield
