"""Loops that numba compiles: the one door to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

_P = ParamSpec("_P")
_R = TypeVar("_R")


def kernel(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function over arrays and numbers, compiled at its first call, that releases the GIL.

    The machine code is cached beside the module, with the bytecode and to be trusted like it, or in the user's cache
    folder where that is read-only; where neither can be written, every process compiles anew (some seconds).
    """
    try:
        compiled: Callable[_P, _R] = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder for the cache
        compiled = numba.njit(nogil=True)(function)
    return compiled


def inner_kernel(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The same for one that only other kernels call: half as long to compile, since Python has no way in."""
    jit: Any = numba.njit  # its annotations do not name every option
    try:
        compiled: Callable[_P, _R] = jit(cache=True, nogil=True, no_cpython_wrapper=True)(function)
    except RuntimeError:  # no folder for the cache
        compiled = jit(nogil=True, no_cpython_wrapper=True)(function)
    return compiled
