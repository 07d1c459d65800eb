"""A slice of the loss surface: what the training minimised, on a plane through the parameters it ended at.

The loss is the mean negative log-likelihood of routes, with the penalty where the reward has one. Beyond the edge of
the feasible set there is none: no values exist, or (a linear reward) a turn would cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...core.errors import ConfigurationError
from ...core.types import Bools, Floats
from ..demonstrations import Demonstrations, require_network
from ..model import LearnedModel
from ..planner import Planner
from ..rewards.building import reward_of
from ..rewards.objective import PenalisedLoss
from ..rewards.reward import Reward
from .directions import Direction, along_curvature, along_members, along_parameter, along_random

Kind = Literal["auto", "curvature", "flat", "random", "members"]
"""How the plane is laid: along the directions of largest or smallest curvature, at random, or to two members."""
MOST_FOR_CURVATURE = 40
"""Parameters up to which the Hessian is worked out, by differences of gradients: two of them for each."""
_RISE = 0.5
_FARTHEST = 3.0
"""Times the size of the parameters."""
Progress = Callable[[int, int], None]
"""Evaluations done, and how many there will be."""


@dataclass(frozen=True)
class Axis:
    """One side of the plane."""

    label: str
    at: tuple[float, ...]
    """Of the grid, ascending."""
    learned: float
    """Where the learned parameters are."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Losses on a grid: row i is at ``y.at[i]``, column j at ``x.at[j]``."""

    x: Axis
    y: Axis
    loss: Floats
    """float64[n, n], nats per route with the penalty; NaN where there is none."""
    held_out: Floats | None
    """float64[n, n], without a penalty, of routes held out."""
    learned_loss: float
    """At the learned parameters."""
    learned_held_out: float | None
    kind: str
    is_simulated: bool

    @property
    def is_infeasible(self) -> Bools:
        """bool[n, n]: the loss does not exist."""
        return np.isnan(self.loss)

    def lowest(self, loss: Floats) -> tuple[float, float, float]:
        """(x, y, loss) at the lowest point of the grid."""
        row, column = np.unravel_index(np.nanargmin(loss), loss.shape)
        return self.x.at[column], self.y.at[row], float(loss[row, column])

    def to_json(self) -> dict[str, Any]:
        """By name; null where there is no loss."""
        grids = {name: _nested(getattr(self, name)) for name in ("loss", "held_out")}
        return {**vars(self), "x": vars(self.x), "y": vars(self.y), **grids}


def loss_surface(
    model: LearnedModel,
    routes: Demonstrations,
    *,
    along: Sequence[str] | None = None,
    kind: Kind = "auto",
    grid: int = 21,
    rise: float = _RISE,
    held_out: Demonstrations | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Surface:
    """The loss on a plane through a model's parameters (the mean of an ensemble's members).

    Parameters
    ----------
    routes
        Those learned from, for the loss that was minimised.
    along
        Names of two features: the plane of their coefficients.
    kind
        ``"curvature"`` and ``"flat"``: the two directions of largest and of smallest curvature, up to 40 parameters.
        ``"random"``: two random directions, each neuron's weights, the linear part and the corrections scaled to the
        size of their own parameters (filter normalisation: Li et al. 2018, "Visualizing the loss landscape of neural
        nets"). ``"members"``: towards two members of an ensemble, which stand at 1. ``"auto"``: curvature where the
        parameters are few, else members where there are three, else random.
    grid
        Points along each side, odd, so that the learned parameters are one of them.
    rise
        Nats per route by which the loss would rise towards each side, were it as curved everywhere as at the learned
        parameters: it sets how far the plane goes. Members set it themselves.

    Raises
    ------
    ConfigurationError
        A model with a reward per region; a feature that it does not have; directions that it cannot have.
    WrongNetworkError, NoDemonstrationsError
        Routes of another network, or none that the ending allows.
    InfeasibleRewardError
        There is no loss at the learned parameters of these routes.

    Notes
    -----
    A likelihood of all routes per point of the grid, and two per parameter for curvature, four for other directions.
    """
    if grid < 3 or grid % 2 == 0:
        raise ConfigurationError(where="surface", problem=f"a grid of {grid} points has no middle; take 3, 5, 7, ...")
    if not (np.isfinite(rise) and rise > 0):
        raise ConfigurationError(where="surface", problem=f"a rise of {rise} nats is none; take a positive number")
    reward, members = reward_of(model)
    centre = members.mean(axis=0)
    losses = [_Loss(model, reward, routes, with_penalty=True)]
    if held_out is not None:
        losses.append(_Loss(model, reward, held_out, with_penalty=False))
    learned = [loss.require(centre) for loss in losses]
    directions = _directions(losses[0], reward, members, along, kind, seed)
    steps = [_steps(losses[0], centre, one, grid, rise) for one in directions]
    vectors = directions[0].vector, directions[1].vector
    done, total = 0, grid * grid * len(losses)

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    grids = [losses_on_plane(loss.at, centre, vectors, steps, advance) for loss in losses]
    axes = [
        Axis(one.label, tuple((one.offset + one.unit * along_it).tolist()), one.offset)
        for one, along_it in zip(directions, steps, strict=True)
    ]
    return Surface(
        x=axes[0],
        y=axes[1],
        loss=grids[0],
        held_out=grids[1] if held_out is not None else None,
        learned_loss=learned[0],
        learned_held_out=learned[1] if held_out is not None else None,
        kind=directions[0].kind,
        is_simulated=model.is_simulated or routes.is_simulated,
    )


def losses_on_plane(
    loss: Callable[[Floats], float],
    centre: Floats,
    vectors: tuple[Floats, Floats],
    steps: Sequence[Floats],
    advance: Callable[[], None] = lambda: None,
) -> Floats:
    """float64[n, m]: the loss at ``centre + steps[0][j] vectors[0] + steps[1][i] vectors[1]``."""
    values = np.empty((len(steps[1]), len(steps[0])))
    for (row, column), _ in np.ndenumerate(values):
        values[row, column] = loss(centre + steps[0][column] * vectors[0] + steps[1][row] * vectors[1])
        advance()
    return values


class _Loss:
    """The loss at a point, NaN where there is none."""

    def __init__(self, model: LearnedModel, reward: Reward, routes: Demonstrations, *, with_penalty: bool) -> None:
        require_network(routes, model.network.checksum, "the set of routes")
        routes = routes.for_ending(model.ending)
        planner = Planner(model.network.turns, model.config.planner, edge_id=model.network.graph.edge_id)
        self._reward, self._with_penalty = reward, with_penalty
        self._loss = PenalisedLoss(reward, routes, model.config.planner, planner)

    def require(self, point: Floats) -> float:
        """The loss; raises what stands against it."""
        self._loss(point)
        return self.at(point)

    def at(self, point: Floats) -> float:
        found = self.with_slope(point)
        return float("nan") if found is None else found[0]

    def with_slope(self, point: Floats) -> tuple[float, Floats] | None:
        """(loss, gradient float64[P]), None where there is none."""
        # A linear reward is learned where every turn costs something; `Reward.link` would hide that it does not.
        if self._reward.is_plain and self._reward.raw(point).min(initial=np.inf) < 0:
            return None
        found = self._loss.or_none(point)
        if found is None or self._with_penalty:
            return found
        penalty, pull = self._reward.penalty(point)
        return found[0] - penalty / self._loss.total_weight, found[1] - pull / self._loss.total_weight


def _directions(
    loss: _Loss, reward: Reward, members: Floats, along: Sequence[str] | None, kind: Kind, seed: int
) -> tuple[Direction, Direction]:
    centre = members.mean(axis=0)
    if along is not None:
        if len(along) != 2 or along[0] == along[1]:
            raise ConfigurationError(where="surface", problem="name two different features to lay the plane along")
        return along_parameter(reward, centre, along[0]), along_parameter(reward, centre, along[1])
    if kind == "auto":
        is_small = len(reward) <= MOST_FOR_CURVATURE and reward.part("mlp") is None
        kind = "curvature" if is_small else "members" if len(members) > 2 else "random"
    if len(reward) < 2:
        raise ConfigurationError(where="surface", problem="the reward has a single parameter, and a plane needs two")
    if kind == "members":
        return along_members(members)
    if kind == "random":
        return along_random(reward, centre, seed)
    if len(reward) > MOST_FOR_CURVATURE:
        raise ConfigurationError(
            where="surface",
            problem=f"the curvature of {len(reward)} parameters takes {2 * len(reward)} likelihoods; choose random "
            f"directions, or two features (up to {MOST_FOR_CURVATURE} parameters have a curvature here)",
        )
    return along_curvature(loss.with_slope, reward, centre, is_flat=kind == "flat")


def _steps(loss: _Loss, centre: Floats, direction: Direction, grid: int, rise: float) -> Floats:
    """float64[grid]: how far to go, with 0 in the middle."""
    reach = direction.reach
    if reach is None:
        curvature = direction.curvature if direction.curvature is not None else _curvature(loss, centre, direction)
        reach = float(np.sqrt(2.0 * rise / max(curvature, 1e-12)))
        # Where the loss is flat, or curved downwards, that says nothing.
        farthest = _FARTHEST * max(float(np.linalg.norm(centre)), 1.0) / float(np.linalg.norm(direction.vector))
        reach = min(reach, farthest)
    low, high = (-reach, reach) if direction.kind != "members" else (-0.5 * reach, 1.5 * reach)
    half = grid // 2
    return np.concatenate([np.linspace(low, 0.0, half + 1)[:-1], np.linspace(0.0, high, half + 1)])


def _curvature(loss: _Loss, centre: Floats, direction: Direction) -> float:
    """Second derivative along a direction, by a difference of gradients."""
    step = 1e-4 * max(float(np.linalg.norm(centre)), 1.0) / max(float(np.linalg.norm(direction.vector)), 1e-300)
    slopes = []
    for sign in (1.0, -1.0):
        found = loss.with_slope(centre + sign * step * direction.vector)
        if found is not None:
            slopes.append((sign * step, float(found[1] @ direction.vector)))
    found = loss.with_slope(centre)
    if found is not None and len(slopes) < 2:  # one side has no loss
        slopes.append((0.0, float(found[1] @ direction.vector)))
    if len(slopes) < 2:
        return 0.0
    return (slopes[0][1] - slopes[1][1]) / (slopes[0][0] - slopes[1][0])


def _nested(values: Floats | None) -> list[list[float | None]] | None:
    if values is None:
        return None
    return [[None if value != value else value for value in row] for row in values.tolist()]
