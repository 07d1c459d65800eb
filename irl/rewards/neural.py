"""A multilayer perceptron on the features of a turn, as a part of a reward. The one module that imports equinox."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ...core.blocks import blocks_of
from ...core.types import Floats
from ..feature_columns import Features
from ..linear_rewards import Rows
from .parts import IN_DOUBT

_Array = Any
"""A jax array; shapes stand in the docstrings."""
_SMALLEST_BUCKET = 1 << 8
_POINTS = 64
"""Of the quadrature along the way of integrated gradients: for a smooth network exact to rounding."""


class NeuralPart:
    """``mlp((x - centre) / size)`` in float64, smooth (its layers pass through softplus), of one number per turn.

    Parameters
    ----------
    centre, size
        float64[F]: what inputs are shifted and divided by; of the network that was trained on, and stored with a model.
    width, depth
        Units of a hidden layer, and hidden layers.
    penalty
        L2 strength of all weights and offsets.
    is_alone
        There is no linear part beside it: the start then is a cost that it gives by itself.
    seed
        Draws the first weights.
    """

    name = "mlp"

    def __init__(
        self,
        features: Features,
        centre: Floats,
        size: Floats,
        *,
        width: int,
        depth: int,
        penalty: float,
        is_alone: bool,
        seed: int,
    ) -> None:
        self.features, self.centre, self.size = features, centre, size
        self._penalty, self._is_alone, self._width, self._depth = penalty, is_alone, width, depth
        self._network = _network(len(features), width, depth)
        self._first: Floats = self._network.first(seed)

    def __len__(self) -> int:
        return len(self._first)

    @property
    def filter_sizes(self) -> tuple[int, ...]:
        """How many parameters in a row belong together: the weights into one unit, or the offsets of one layer."""
        sizes, inputs = [], len(self.features)
        for units in (*[self._width] * self._depth, 1):
            sizes += [*[inputs] * units, units]
            inputs = units
        return tuple(sizes)

    @cached_property
    def ridge(self) -> Floats:
        """See `Part`."""
        return np.full(len(self), self._penalty)

    def start(self, level: float) -> Floats:
        """The first weights, the last layer's divided by ten; alone, the last offset is ``level``."""
        start = self._first.copy()
        start[-self._width - 1 :] *= 0.1  # the last layer: its weights, then its one offset
        start[-1] = level if self._is_alone else 0.0
        return start

    def raw(self, parameters: Floats) -> Floats:
        """See `Part`. O(T P)."""
        result = np.empty(self.features.num_turns)
        for at in blocks_of(len(result)):
            result[at] = self.raw_at(at, parameters)
        return result

    def raw_at(self, turns: Rows, parameters: Floats) -> Floats:
        """See `Part`."""
        inputs = self.inputs_at(turns)
        with jax.enable_x64(True):
            found = np.asarray(self._network.raw(parameters, _padded(inputs, _bucket(len(inputs)))))
        return np.asarray(found[: len(inputs)], np.float64)

    def pull(self, parameters: Floats, weights: Floats) -> Floats:
        """See `Part`. O(T P)."""
        total = np.zeros(len(self))
        for at in blocks_of(len(weights)):
            total += self.pull_at(at, parameters, weights[at])
        return total

    def pull_at(self, turns: Rows, parameters: Floats, weights: Floats) -> Floats:
        """See `Part`."""
        inputs = self.inputs_at(turns)
        count = _bucket(len(inputs))
        with jax.enable_x64(True):
            return np.asarray(self._network.pull(parameters, _padded(inputs, count), _padded(weights, count)))

    def stiffness(self, taken: Floats) -> Floats:
        """The same for all weights: slopes in them change as it learns."""
        return np.full(len(self), IN_DOUBT * float(taken.sum()))

    def attributions(self, turns: Rows, parameters: Floats) -> tuple[Floats, Floats]:
        """What each feature adds to some turns' raw cost: (float64[n, F], float64[n] at the mean of all features).

        Integrated gradients on the straight way from the mean of every feature to the turn's own (Sundararajan, Taly &
        Yan 2017), by Gauss-Legendre's rule with 64 points; with the second they add up to `raw_at` but for rounding.
        """
        inputs = self.inputs_at(turns)
        total = np.zeros_like(inputs)
        places, shares = np.polynomial.legendre.leggauss(_POINTS)
        count = _bucket(len(inputs))
        with jax.enable_x64(True):
            for place, share in zip((places + 1) / 2, shares / 2, strict=True):
                slope = self._network.slopes(parameters, _padded(place * inputs, count))
                total += share * np.asarray(slope)[: len(inputs)]
            origin = float(self._network.raw(parameters, np.zeros((1, inputs.shape[1])))[0])
        return total * inputs, np.full(len(inputs), origin)

    def inputs_at(self, turns: Rows) -> Floats:
        """float64[n, F]: standardised features of some turns."""
        return np.asarray((self.features.rows(turns) - self.centre) / self.size)


@dataclass(frozen=True)
class _Network:
    """The compiled functions of one shape of network: parameters array[P], inputs array[n, F]."""

    first: Callable[[int], Floats]
    """Weights drawn by a seed."""
    raw: Callable[[_Array, _Array], _Array]
    """array[n]."""
    pull: Callable[[_Array, _Array, _Array], _Array]
    """array[P]: the gradient of ``weights @ raw`` for weights array[n]."""
    slopes: Callable[[_Array, _Array], _Array]
    """array[n, F]: the gradient of every number in its inputs."""


@functools.cache
def _network(num_inputs: int, width: int, depth: int) -> _Network:
    """Compiled once per shape: compiling takes longer than many a fit."""

    def drawn(seed: int) -> Any:
        return eqx.nn.MLP(
            num_inputs,
            "scalar",
            width,
            depth,
            activation=jax.nn.softplus,
            dtype=jnp.float64,
            key=jax.random.key(seed),
        )

    with jax.enable_x64(True):
        weights, shape = eqx.partition(drawn(0), eqx.is_inexact_array)
        unravel = ravel_pytree(weights)[1]

    def first(seed: int) -> Floats:
        with jax.enable_x64(True):
            return np.asarray(ravel_pytree(eqx.filter(drawn(seed), eqx.is_inexact_array))[0])

    def raw(parameters: _Array, inputs: _Array) -> _Array:
        return jax.vmap(eqx.combine(unravel(parameters), shape))(inputs)

    def pull(parameters: _Array, inputs: _Array, weights: _Array) -> _Array:
        return jax.vjp(lambda at: raw(at, inputs), parameters)[1](weights)[0]

    def slopes(parameters: _Array, inputs: _Array) -> _Array:
        return jax.vmap(jax.grad(eqx.combine(unravel(parameters), shape)))(inputs)

    return _Network(first, jax.jit(raw), jax.jit(pull), jax.jit(slopes))


def _bucket(count: int) -> int:
    """Rows to pad to: a power of two, since jit compiles anew for every shape."""
    return max(_SMALLEST_BUCKET, 1 << max(count - 1, 0).bit_length())


def _padded(rows: Floats, count: int) -> Floats:
    result = np.zeros((count, *rows.shape[1:]))
    result[: len(rows)] = rows
    return result
