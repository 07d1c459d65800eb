"""A multilayer perceptron on the features of a turn, as a part of a reward. The one module that imports equinox."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ...core.types import Floats
from ..feature_columns import Features, Rows, blocks_of

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
        with jax.enable_x64(True):
            made = eqx.nn.MLP(
                len(features),
                "scalar",
                width,
                depth,
                activation=jax.nn.softplus,
                dtype=jnp.float64,
                key=jax.random.key(seed),
            )
            weights, shape = eqx.partition(made, eqx.is_inexact_array)
            flat, unravel = ravel_pytree(weights)
            self._first: Floats = np.asarray(flat)

            def raw(parameters: _Array, inputs: _Array) -> _Array:
                """array[n] of array[P] and array[n, F]."""
                return jax.vmap(eqx.combine(unravel(parameters), shape))(inputs)

            def pull(parameters: _Array, inputs: _Array, weights: _Array) -> _Array:
                """array[P]."""
                return jax.vjp(lambda at: raw(at, inputs), parameters)[1](weights)[0]

            def slopes(parameters: _Array, inputs: _Array) -> _Array:
                """array[n, F]: the gradient of every turn's number in its inputs."""
                return jax.vmap(jax.grad(eqx.combine(unravel(parameters), shape)))(inputs)

            self._raw, self._pull, self._slopes = jax.jit(raw), jax.jit(pull), jax.jit(slopes)

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
            found = np.asarray(self._raw(parameters, _padded(inputs, _bucket(len(inputs)))))
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
            return np.asarray(self._pull(parameters, _padded(inputs, count), _padded(weights, count)))

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
                slope = self._slopes(parameters, _padded(place * inputs, count))
                total += share * np.asarray(slope)[: len(inputs)]
            origin = float(self._raw(parameters, np.zeros((1, inputs.shape[1])))[0])
        return total * inputs, np.full(len(inputs), origin)

    def inputs_at(self, turns: Rows) -> Floats:
        """float64[n, F]: standardised features of some turns."""
        return np.asarray((self.features.rows(turns) - self.centre) / self.size)


def _bucket(count: int) -> int:
    """Rows to pad to: a power of two, since jit compiles anew for every shape."""
    return max(_SMALLEST_BUCKET, 1 << max(count - 1, 0).bit_length())


def _padded(rows: Floats, count: int) -> Floats:
    result = np.zeros((count, *rows.shape[1:]))
    result[: len(rows)] = rows
    return result
