"""Soft values by dense float64 algebra, and by listing routes: the oracle for both solvers."""

from __future__ import annotations

import numpy as np
from trodden.graphs.turns import TurnGraph


def dense_matrix(turns: TurnGraph, reward: np.ndarray) -> np.ndarray:
    matrix = np.zeros((turns.num_edges, turns.num_edges))
    for turn in range(turns.num_turns):
        matrix[turns.from_edge[turn], turns.to_edge[turn]] = np.exp(reward[turn])
    return matrix


def radius_without(turns: TurnGraph, reward: np.ndarray, goals: list[int], ending: str) -> float:
    """Spectral radius of the matrix that has to contract for these goals."""
    matrix = dense_matrix(turns, reward)
    if ending == "arrival":
        matrix[goals] = 0.0
    return float(np.abs(np.linalg.eigvals(matrix)).max()) if len(matrix) else 0.0


def dense_values(turns: TurnGraph, reward: np.ndarray, goals: list[int], ending: str) -> np.ndarray:
    """float64[E]: ``(I - M) z = b`` with the destination's row replaced, solved densely each time."""
    matrix = dense_matrix(turns, reward)
    right = np.zeros(turns.num_edges)
    right[goals] = 1.0
    if ending == "arrival":
        matrix[goals] = 0.0
    solution = np.linalg.solve(np.eye(turns.num_edges) - matrix, right)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(can_reach(turns, goals), np.log(solution), -np.inf)


def can_reach(turns: TurnGraph, goals: list[int]) -> np.ndarray:
    """bool[E]: some sequence of turns leads to a goal; a pivoted dense solve leaves 1e-16 instead of 0 elsewhere."""
    reached = np.zeros(turns.num_edges, bool)
    reached[goals] = True
    for _ in range(turns.num_edges):
        reached[turns.from_edge[reached[turns.to_edge]]] = True
    return reached


def listed_value(turns: TurnGraph, reward: np.ndarray, origin: int, goals: list[int], ending: str, depth: int) -> float:
    """log of the sum over all routes of at most ``depth`` turns of exp(their reward), one by one."""
    total = 0.0
    stack = [(origin, 0.0, 0)]
    while stack:
        edge, so_far, length = stack.pop()
        if edge in goals:
            total += np.exp(so_far)
            if ending == "arrival":
                continue
        if length < depth:
            for turn in range(turns.first_out[edge], turns.first_out[edge + 1]):
                stack.append((int(turns.to_edge[turn]), so_far + reward[turn], length + 1))
    return float(np.log(total)) if total else -np.inf
