"""A model carried to another reading of its map: features priced anew, corrections by where their roads went."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.config import RewardConfig
from ..core.errors import ConfigurationError
from ..core.types import Floats, Ids, Ints
from ..graphs.correspondence import Correspondence, match_networks
from ..graphs.road_graph import RoadNetwork
from .baselines import make_penalty_search, plain_costs
from .destinations import destination_key
from .feature_columns import Features
from .features import make_features
from .model import LearnedModel, entry_costs
from .rewards.building import Kind, from_scales, reward_of, scales, to_arrays
from .rewards.parts import Corrections, LinearPart
from .rewards.reward import Reward


@dataclass(frozen=True, eq=False)
class Rebased:
    """What `rebase` found."""

    model: LearnedModel
    correspondence: Correspondence
    report: dict[str, Any]
    """JSON; `table` says it in words."""

    def table(self) -> str:
        """What carried over, what was lost and what is new."""
        edges, turns, lost = self.report["edges"], self.report["turns"], self.report["corrections"]
        unpriced = self.report["levels_without_coefficient"]
        lines = [
            f"{edges['old_edges']} edges before, {edges['new_edges']} now",
            f"  the same: {edges['same']}; cut up or merged: {edges['cut_up_or_merged']}; partly gone: "
            f"{edges['partly_gone']}; gone: {edges['gone']}",
            f"  new: {edges['unknown_before']}",
            f"{turns['old_turns']} turns before, {turns['carried']} of them still there, {turns['new_turns']} now",
        ]
        lines += [
            f"corrections of {kind}s: {one['carried']} of {one['before']} carried over ({one['share']:.1%} of their "
            f"size), {one['now']} now"
            for kind, one in lost.items()
        ]
        lines += [f"features that are not on the new map, so that nothing of it changes: {', '.join(unpriced)}"] * bool(
            unpriced
        )
        change = self.report["cost_change"]
        lines.append(
            f"turns between edges that are the same: {change['turns']}; {change['unchanged']} cost what they did, "
            f"{change['within_1_percent']} to within 1 %"
        )
        return "\n".join(lines)


def rebase(model: LearnedModel, network: RoadNetwork) -> Rebased:
    """Carry a model to a newer (or other) reading of its map.

    The linear part and an MLP price the new map by its own features, with the coefficients and the scaler that were
    learned. The correction of an edge goes where its road went: cut up, it is shared out by length; merged, added up.
    The correction of a turn stays where the junction and both roads are still there. What is new has none.

    Parameters
    ----------
    network
        With the features that the model asks for.

    Raises
    ------
    ConfigurationError
        The networks are of different modes, the model has a reward per region, or asks for a feature that the network
        has no column for.

    Notes
    -----
    O(P log P) for the points of both maps; nothing is trained. Standard errors stay those of the training.
    """
    if network.mode != model.network.mode:
        problem = f"the model is of mode {model.network.mode}, the network of mode {network.mode}"
        raise ConfigurationError(where="rebase", problem=f"{problem}; read its source with mode={model.network.mode}")
    reward, members = reward_of(model)
    found = match_networks(model.network, network)
    config, base = model.config.reward, model.network
    moved = _Moved(found, reward)
    supported = {kind: moved.supported(kind) for kind in config.corrections}
    features = make_features(network, _names(model, config))
    spelled = config.model_copy(update={"features": features.names})
    # An MLP's inputs are shifted and divided as they were; coefficients are scaled as a model on this map has it.
    inputs = {name: one for name, one in scales(reward).items() if name != "linear_scale"}
    fresh = from_scales(network, spelled, supported, inputs)
    parameters = np.array([moved.parameters(fresh, member) for member in members])
    cost = _served(fresh, parameters, config)
    moved_contexts = [rebase(model.in_context(one.name), network).model for one in model.contexts]
    rebased = model.replace(
        contexts=tuple(
            dataclasses.replace(one, turn_cost=there.turn_cost, entry_cost=there.entry_cost)
            for one, there in zip(model.contexts, moved_contexts, strict=True)
        ),
        network=network,
        config=model.config.model_copy(update={"reward": spelled}),
        turn_cost=cost,
        entry_cost=entry_costs(_edge_reward(fresh, parameters, network), cost, network.turns.to_edge),
        baseline_costs=_baselines(model, network),
        training_pairs=_pairs(model, found),
        parts={} if config.is_plain else {"members": parameters, **to_arrays(fresh)},
        summary={**model.summary, "rebased_from": base.checksum},
    )
    report = {
        "edges": found.counts(),
        "turns": _turn_counts(found),
        "corrections": moved.counts(fresh, members, parameters),
        "levels_without_coefficient": sorted(set(_names(model, config)) - set(_used(features))),
        "cost_change": _changes(found, model.turn_cost, cost),
    }
    return Rebased(rebased.replace(summary={**rebased.summary, "rebased": report}), found, report)


class _Moved:
    """Where each correction of a reward goes."""

    def __init__(self, found: Correspondence, reward: Reward) -> None:
        self._found, self._reward = found, reward
        turns = found.turns(np.arange(found.old.turns.num_turns, dtype=np.int32))
        self._new_turn = turns

    def supported(self, kind: Kind) -> Ints:
        """int32, ascending: edges or turns of the new map that have a correction."""
        part = self._part(kind)
        if kind == "turn":
            there = self._new_turn[part.supported]
            return np.unique(there[there >= 0]).astype(np.int32)
        has = np.zeros(self._found.old.graph.num_edges, bool)
        has[part.supported] = True
        return np.unique(self._found.new_edge[has[self._found.old_edge]]).astype(np.int32)

    def parameters(self, fresh: Reward, member: Floats) -> Floats:
        """Those of the new map's reward, of a member's, float64[P]."""
        old, moved = self._reward.split(member), []
        for part in fresh.parts:
            if isinstance(part, Corrections):
                everywhere = self._turns(part, old) if part.of == "turn" else self._edges(part, old)
                moved.append(everywhere[part.supported])
            elif isinstance(part, LinearPart):
                before = self._reward.part("linear")
                assert isinstance(before, LinearPart)  # both are of one configuration
                moved.append(before.coefficients(old["linear"]) * part.scale)
            else:
                moved.append(old[part.name])
        return np.concatenate(moved)

    def counts(self, fresh: Reward, members: Floats, parameters: Floats) -> dict[str, dict[str, float]]:
        """By kind: corrections before, of these carried, now, and the share of their absolute sum that is carried."""
        result: dict[str, dict[str, float]] = {}
        for part in fresh.parts:
            if isinstance(part, Corrections):
                before = self._part(part.of)
                size = float(np.abs([self._reward.split(one)[part.of] for one in members]).sum())
                now = float(np.abs([fresh.split(one)[part.of] for one in parameters]).sum())
                result[part.of] = {
                    "before": len(before),
                    "carried": int(self._is_carried(before).sum()),
                    "now": len(part),
                    "share": min(now / size, 1.0) if size else 1.0,
                }
        return result

    def _is_carried(self, part: Corrections) -> NDArray[np.bool_]:
        if part.of == "turn":
            return self._new_turn[part.supported] >= 0
        return self._found.share_kept[part.supported] >= 1 - 1e-6

    def _part(self, kind: Kind) -> Corrections:
        part = self._reward.part(kind)
        assert isinstance(part, Corrections)  # the configuration has this kind
        return part

    def _edges(self, part: Corrections, old: dict[str, Floats]) -> Floats:
        found, before = self._found, self._part("edge")
        value = np.zeros(found.old.graph.num_edges)
        value[before.supported] = old["edge"]
        shares = found.share_of_old * value[found.old_edge]
        return np.bincount(found.new_edge, shares, minlength=part.num_edges).astype(np.float64)

    def _turns(self, part: Corrections, old: dict[str, Floats]) -> Floats:
        before = self._part("turn")
        value = np.zeros(len(part.to_edge))
        there = self._new_turn[before.supported]
        value[there[there >= 0]] = old["turn"][there >= 0]
        return value


def _names(model: LearnedModel, config: RewardConfig) -> tuple[str, ...]:
    """The features spelled out as they were on the model's own map: a pattern may stand for others on the new one."""
    return make_features(model.network, config.features).names


def _edge_reward(reward: Reward, members: Floats, network: RoadNetwork) -> Floats:
    """float64[E]: what of a linear reward depends on the edge alone; zeros where it is more than linear."""
    linear = reward.parts[0]
    if not reward.is_plain or not isinstance(linear, LinearPart):
        return np.zeros(network.graph.num_edges)
    return linear.features.edge_reward(linear.coefficients(members[0]))


def _used(features: Features) -> list[str]:
    """Names of the features that are not 0 everywhere."""
    size = features.range.mean_square
    return [name for name, one in zip(features.names, size, strict=True) if one > 0]


def _served(reward: Reward, members: Floats, config: RewardConfig) -> Floats:
    if config.average == "parameters":
        return reward.cost(members.mean(axis=0))
    return np.asarray(np.mean([reward.cost(member) for member in members], axis=0))


def _baselines(model: LearnedModel, network: RoadNetwork) -> dict[str, Floats]:
    """Shortest, fastest, and the penalties that were tuned on the old map, on the new one."""
    costs = plain_costs(network)
    tuned = model.summary.get("baselines", {}).get("coefficients")
    if tuned:
        search = make_penalty_search(network)
        costs["fastest_penalised"] = search.cost(np.array([tuned.get(name, 0.0) for name in search.names]))
    return costs


def _pairs(model: LearnedModel, found: Correspondence) -> Ids:
    """The (origin, destination) pairs of the training routes that are still there, numbered as on the new map."""
    old, new = model.network.graph, found.new.graph
    base = max(old.num_edges, old.num_nodes) + 1
    origin, destination = model.training_pairs // base, model.training_pairs % base
    begins = found.first_new[origin]
    if model.ending == "arrival":
        ends = found.last_new[destination]
        keys = np.where(ends >= 0, destination_key(new, np.maximum(ends, 0), "arrival"), -1)
    else:
        keys = new.node_positions(old.node_id[destination])
    is_there = (begins >= 0) & (keys >= 0)
    span = max(new.num_edges, new.num_nodes) + 1
    return np.unique(begins[is_there].astype(np.int64) * span + keys[is_there].astype(np.int64))


def _turn_counts(found: Correspondence) -> dict[str, int]:
    carried = found.turns(np.arange(found.old.turns.num_turns, dtype=np.int32)) >= 0
    return {
        "old_turns": found.old.turns.num_turns,
        "carried": int(carried.sum()),
        "new_turns": found.new.turns.num_turns,
    }


def _changes(found: Correspondence, before: Floats, after: Floats) -> dict[str, int]:
    """Of the turns whose both edges are the same on both maps: how many cost what they did, to 1e-6 and to 1 %."""
    turns, same = found.old.turns, found.same
    kept = (same[turns.from_edge] >= 0) & (same[turns.to_edge] >= 0)
    rows = np.flatnonzero(kept)
    there = found.turns(rows.astype(np.int32))
    rows, there = rows[there >= 0], there[there >= 0]
    unchanged = np.isclose(before[rows], after[there], rtol=1e-6, atol=1e-12)
    is_near = np.isclose(before[rows], after[there], rtol=0.01)
    return {"turns": len(rows), "unchanged": int(unchanged.sum()), "within_1_percent": int(is_near.sum())}
