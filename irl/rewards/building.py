"""Which parts a reward has, which edges and turns a correction, and how all that comes back from a stored model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.config import RewardConfig
from ...core.errors import ConfigurationError
from ...core.types import Floats, Ids, Ints
from ...graphs.road_graph import RoadNetwork
from ..demonstrations import Demonstrations
from ..features import make_features
from ..model import LearnedModel
from ..spooled_routes import DistinctKeys, SpooledRoutes
from .parts import Corrections, LinearPart, Part
from .reward import Reward

Kind: TypeAlias = Literal["edge", "turn"]
"""What a correction is of."""
_SHIFT = 32
_MASK = (1 << _SHIFT) - 1


def make_reward(
    network: RoadNetwork, routes: Demonstrations | SpooledRoutes, config: RewardConfig, *, seed: int = 0
) -> Reward:
    """A reward to be learned from these routes; they decide which corrections it has.

    Raises
    ------
    ConfigurationError
        A feature that this network has no column for, no cost to start from, ``min_travellers`` with routes that do not
        name theirs, or an MLP without the package that it needs.
    """

    def blocks() -> Iterable[Demonstrations]:
        return [routes] if isinstance(routes, Demonstrations) else (block for _, block in routes.blocks())

    supported = {kind: supported_by(blocks(), kind, config) for kind in config.corrections}
    return _assembled(network, config, supported, None, seed)


def scales(reward: Reward) -> dict[str, Floats]:
    """What coefficients and inputs of a reward are scaled by, as arrays to be stored."""
    found: dict[str, Floats] = {}
    for part in reward.parts:
        if isinstance(part, LinearPart):
            found["linear_scale"] = part.scale
        elif not isinstance(part, Corrections):
            found |= {"mlp_centre": part.centre, "mlp_size": part.size}  # type: ignore[attr-defined]
    return found


def from_scales(
    network: RoadNetwork, config: RewardConfig, supported: Mapping[Kind, Ints], given: Mapping[str, NDArray[Any]]
) -> Reward:
    """The reward with these corrections and with what `scales` gave."""
    scaler = (given["mlp_centre"], given["mlp_size"]) if config.mlp_width else None
    return _assembled(network, config, supported, scaler, 0, given.get("linear_scale"))


def to_arrays(reward: Reward) -> dict[str, NDArray[Any]]:
    """What `from_arrays` needs beside the network and the configuration, to be stored."""
    corrections = {str(part.of): part.supported for part in reward.parts if isinstance(part, Corrections)}
    return {**corrections, **{name: one for name, one in scales(reward).items() if name != "linear_scale"}}


def from_arrays(network: RoadNetwork, config: RewardConfig, arrays: Mapping[str, NDArray[Any]]) -> Reward:
    """The reward that `to_arrays` was given; KeyError where an array is missing."""
    supported = {kind: np.asarray(arrays[kind], np.int32) for kind in config.corrections}
    scaler = (arrays["mlp_centre"], arrays["mlp_size"]) if config.mlp_width else None
    return _assembled(network, config, supported, scaler, 0)


def reward_of(model: LearnedModel) -> tuple[Reward, Floats]:
    """The reward of a model, and the parameters of its members, float64[K, P]; a linear one has a single member.

    Raises
    ------
    ConfigurationError
        The model has a reward for each of several regions.
    """
    if model.regions:
        raise ConfigurationError(
            where="model", problem="it has a reward per region, and this is for one reward everywhere"
        )
    config = model.config.reward
    if config.is_plain:
        reward = _assembled(model.network, config, {}, None, 0)
        linear = reward.parts[0]
        assert isinstance(linear, LinearPart)  # what plain means
        return reward, (np.array([one.value for one in model.coefficients]) * linear.scale)[None]
    return from_arrays(model.network, config, model.parts), np.asarray(model.parts["members"])


def _assembled(
    network: RoadNetwork,
    config: RewardConfig,
    supported: Mapping[Kind, Ints],
    scaler: tuple[NDArray[Any], NDArray[Any]] | None,
    seed: int,
    scale: NDArray[Any] | None = None,
) -> Reward:
    features = make_features(network, config.features)
    penalties = {"edge": config.edge_penalty, "turn": config.turn_penalty}
    parts: list[Part] = []
    if config.linear:
        linear = LinearPart(features, 0.0 if config.is_plain else config.linear_penalty, scale)
        if scale is None and not linear.start(1.0).any():
            raise ConfigurationError(
                where="[reward] features", problem="no feature is a cost that is never negative; add 'constant'"
            )
        parts.append(linear)
    if config.mlp_width:
        parts.append(_mlp(network, config, scaler, seed))
    parts += [
        Corrections(kind, edges_or_turns, network.turns.to_edge, network.graph.num_edges, penalties[kind])
        for kind, edges_or_turns in supported.items()
    ]
    return Reward(tuple(parts), network.turns.num_turns, config.minimum_cost, config.is_plain)


def _mlp(
    network: RoadNetwork, config: RewardConfig, scaler: tuple[NDArray[Any], NDArray[Any]] | None, seed: int
) -> Part:
    try:
        from .neural import NeuralPart  # equinox takes seconds
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            where="[reward] mlp_width",
            problem='an MLP needs the package equinox, which is not installed: pip install "trodden[neural]"',
        ) from error
    # A constant is no input: the network has offsets of its own.
    named = [name for name in make_features(network, config.features).names if name != "constant"]
    features = make_features(network, named)
    if scaler is None:
        of_all = features.range
        centre = of_all.mean
        size = np.sqrt(np.maximum(of_all.mean_square - centre**2, 0.0))
        scaler = centre, np.where(size > 0, size, 1.0)
    return NeuralPart(
        features,
        *scaler,
        width=config.mlp_width,
        depth=config.mlp_depth,
        penalty=config.mlp_penalty,
        is_alone=not config.linear,
        seed=seed,
    )


def supported_by(blocks: Iterable[Demonstrations], kind: Kind, config: RewardConfig) -> Ints:
    """int32, ascending: the edges or turns that enough routes, and enough travellers, have used.

    Of routes in blocks, each of which is in memory by itself.
    """
    passed: NDArray[Any] = np.zeros(0)
    by_traveller, number_of = DistinctKeys(), dict[str, int]()
    for block in blocks:
        turns = block.network.turns
        turn, row = block.turns()
        used = turn if kind == "turn" else turns.to_edge[turn]
        if not len(passed):
            passed = np.zeros(turns.num_turns if kind == "turn" else block.network.graph.num_edges)
        pairs = np.unique(_paired(used, row))
        np.add.at(passed, pairs >> _SHIFT, block.weight[pairs & _MASK])
        if config.min_travellers:
            if block.traveller is None:
                raise ConfigurationError(
                    where="[reward] min_travellers",
                    problem="these routes do not name their travellers; give them a column 'traveller', or leave this "
                    "out",
                )
            number = np.array([number_of.setdefault(name, len(number_of)) if name else -1 for name in block.traveller])
            is_named = number[row] >= 0
            by_traveller.add(_paired(used[is_named], number[row[is_named]]))
    is_enough = passed >= config.min_routes
    if config.min_travellers:
        is_enough &= np.bincount(by_traveller.keys() >> _SHIFT, minlength=len(passed)) >= config.min_travellers
    return np.flatnonzero(is_enough).astype(np.int32)


def _paired(used: Ints, by: Ids) -> Ids:
    """int64: edges or turns and numbers below 2^32 as single keys."""
    return np.asarray((used.astype(np.int64) << _SHIFT) | by)
