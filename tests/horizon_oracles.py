"""Finite horizons written naively: one route at a time, explicit loops, plain recursion: test_horizons' oracle."""

from __future__ import annotations

import itertools

import numpy as np
from trodden.graphs.turns import TurnGraph


def turns_out(turns: TurnGraph, edge: int) -> range:
    return range(int(turns.first_out[edge]), int(turns.first_out[edge + 1]))


def best_path_reward(turns: TurnGraph, reward: np.ndarray, goals: list[int]) -> np.ndarray:
    """Bellman-Ford: E rounds over all turns."""
    value = np.full(turns.num_edges, -np.inf)
    value[goals] = 0.0
    for _ in range(turns.num_edges):
        for turn in range(turns.num_turns):
            here = turns.from_edge[turn]
            value[here] = max(value[here], reward[turn] + value[turns.to_edge[turn]])
    return value


def log_sum(values: list[float]) -> float:
    finite = [v for v in values if v > -np.inf]
    return float(np.logaddexp.reduce(finite)) if finite else -np.inf


def horizon_values(
    turns: TurnGraph, reward: np.ndarray, goals: list[int], ending: str, horizon: int
) -> list[np.ndarray]:
    """V^0 .. V^H, each float64[E]."""
    stages = [best_path_reward(turns, reward, goals)]
    for _ in range(horizon):
        stages.append(
            np.array([log_sum(choices(turns, reward, goals, ending, e, stages[-1])) for e in range(turns.num_edges)])
        )
    return stages


def choices(
    turns: TurnGraph, reward: np.ndarray, goals: list[int], ending: str, edge: int, ahead: np.ndarray
) -> list[float]:
    """Q of every turn out of an edge, and of stopping there; of nothing but staying where the destination absorbs."""
    if ending == "arrival" and edge in goals:
        return [0.0]
    options = [float(reward[t] + ahead[turns.to_edge[t]]) for t in turns_out(turns, edge)]
    return [*options, 0.0] if ending == "stop" and edge in goals else options


def route_log_probability(
    turns: TurnGraph, reward: np.ndarray, route: list[int], goals: list[int], ending: str, horizon: int
) -> float:
    stages = horizon_values(turns, reward, goals, ending, horizon)
    total = 0.0
    for here, there in itertools.pairwise(route):
        turn = next(t for t in turns_out(turns, here) if turns.to_edge[t] == there)
        total += reward[turn] + stages[horizon - 1][there] - stages[horizon][here]
    if ending == "stop":
        total -= stages[horizon][route[-1]]
    return float(total)


def best_turn(turns: TurnGraph, reward: np.ndarray, goals: list[int], edge: int, value: np.ndarray) -> int | None:
    if edge in goals:
        return None
    return max(turns_out(turns, edge), key=lambda t: reward[t] + value[turns.to_edge[t]])


def rolled(
    turns: TurnGraph, reward: np.ndarray, goals: list[int], ending: str, start: int, stages: list[np.ndarray]
) -> np.ndarray:
    """Expected turn counts from one edge: len(stages) - 1 random turns, each by its own policy, then the best path."""
    counts = np.zeros(turns.num_turns)
    present = {start: 1.0}
    for h in range(len(stages) - 1, 0, -1):
        moved: dict[int, float] = {}
        for edge, mass in present.items():
            if ending == "arrival" and edge in goals:
                continue
            for turn in turns_out(turns, edge):
                share = mass * np.exp(reward[turn] + stages[h - 1][turns.to_edge[turn]] - stages[h][edge])
                counts[turn] += share
                moved[int(turns.to_edge[turn])] = moved.get(int(turns.to_edge[turn]), 0.0) + share
        present = moved
    for edge, mass in present.items():
        at = edge
        while mass > 0 and (turn := best_turn(turns, reward, goals, at, stages[0])) is not None:
            counts[turn] += mass
            at = int(turns.to_edge[turn])
    return counts


def rhip_gradient(
    turns: TurnGraph,
    reward: np.ndarray,
    route: list[int],
    goals: list[int],
    ending: str,
    horizon: int,
    *,
    too_many_steps: bool = False,
    stationary: bool = False,
) -> np.ndarray:
    """``sum_t [s_t, a_t] + Roll_{H-1}(s_{t+1}) - Roll_H(s_t)``, or one of the two ways to get it wrong."""
    stages = horizon_values(turns, reward, goals, ending, horizon + 1)
    whole = stages[: horizon + 1]
    after = stages[: horizon + 1] if too_many_steps else stages[:horizon]
    if stationary:  # softmax(Q^H) for every one of the H steps
        roll_whole = stationary_roll(turns, reward, goals, ending, stages, horizon, horizon)
        roll_after = stationary_roll(turns, reward, goals, ending, stages, horizon, horizon - 1)
    else:
        roll_whole = lambda edge: rolled(turns, reward, goals, ending, edge, whole)  # noqa: E731
        roll_after = lambda edge: rolled(turns, reward, goals, ending, edge, after)  # noqa: E731
    gradient = np.zeros(turns.num_turns)
    for here, there in itertools.pairwise(route):
        turn = next(t for t in turns_out(turns, here) if turns.to_edge[t] == there)
        gradient[turn] += 1.0
        gradient += roll_after(there) - roll_whole(here)
    if ending == "stop":
        gradient -= roll_whole(route[-1])
    return gradient


def stationary_roll(turns, reward, goals, ending, stages, horizon, steps):
    def roll(start):
        counts, present = np.zeros(turns.num_turns), {start: 1.0}
        for _ in range(steps):
            moved: dict[int, float] = {}
            for edge, mass in present.items():
                if ending == "arrival" and edge in goals:
                    continue
                for turn in turns_out(turns, edge):
                    to = int(turns.to_edge[turn])
                    share = mass * np.exp(reward[turn] + stages[horizon - 1][to] - stages[horizon][edge])
                    counts[turn] += share
                    moved[to] = moved.get(to, 0.0) + share
            present = moved
        for edge, mass in present.items():
            counts += mass * rolled(turns, reward, goals, ending, edge, stages[:1])
        return counts

    return roll
