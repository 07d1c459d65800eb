"""Log-likelihood of routes at any horizon, and its exact gradient in the reward."""

from __future__ import annotations

import numpy as np

from ..core.types import Floats
from .batches import make_steps, route_batch
from .demonstrations import Demonstrations
from .planner import Planner
from .trips import Batch, TripBatch


def log_likelihood(planner: Planner, reward: Floats, batch: Batch) -> tuple[float, Floats]:
    """``sum_n w_n log P(route_n)`` and its gradient in the reward of every turn.

    Horizon infinity: ``log P(route) = sum of rewards along it - V(origin)``; the gradient is observed minus expected
    turn counts (Ziebart et al. 2008, eq. 6). A finite horizon: see `RecedingHorizon.log_likelihood`. Horizon 0 has no
    likelihood; minus its loss stands in for it.

    Parameters
    ----------
    reward
        float64[T].

    Returns
    -------
    (value, gradient)
        The gradient is float64[T].
    """
    return planner.log_likelihood(reward, batch)


def route_log_probabilities(
    planner: Planner, reward: Floats, demonstrations: Demonstrations, batch: TripBatch
) -> Floats:
    """Log-probability of each route at the planner's horizon, float64[R]. Memory O(E) per destination of a block.

    At a finite horizon it is the sum over the route's turns, and its stop, of ``log softmax(Q^H)``. `ValueError` at
    horizon 0, which has no likelihood.
    """
    if planner.horizon != "infinity" and planner.uses_corridors:
        routes = route_batch(demonstrations, planner.config)
        return planner.corridor_horizon.log_probabilities(reward, routes)[routes.row]
    if planner.horizon != "infinity":
        steps = make_steps(demonstrations, batch.destinations.ending)
        at_step, at_stop = planner.receding.step_log_probabilities(reward, steps.batch)
        return steps.per_route(at_step, at_stop, len(demonstrations))
    turn, row = demonstrations.turns()
    result = np.bincount(row, reward[turn], minlength=len(demonstrations)).astype(np.float64)
    if planner.uses_corridors:
        values = planner.trip_values(reward, batch)
        return np.asarray(result - values[demonstrations.trip_of_route(batch.destinations.ending)])
    keys = demonstrations.pair_keys(batch.destinations.ending)
    size = max(demonstrations.network.graph.num_edges, demonstrations.network.graph.num_nodes) + 1
    order = {int(key): column for column, key in enumerate(batch.destinations.key)}
    column = np.array([order[int(key % size)] for key in keys], np.int64)
    for begin in range(0, len(batch.destinations), 64):
        end = min(begin + 64, len(batch.destinations))
        rows = np.flatnonzero((column >= begin) & (column < end))
        pairs = demonstrations.origin[rows], column[rows] - begin
        result[rows] -= planner.values(reward, batch.destinations.block(begin, end), origins=pairs)[pairs]
    return result
