"""What one sweep of value iteration costs in each form that JAX can give it, and how near that is to copying memory.

A sweep is one step of ``V = logsumexp(r + V[next])`` for some destinations at once, from the values of best paths. In
log space: `coo` segment maximum and sum over the list of turns; `ell` a padded table of neighbours, reduced by
`logsumexp`; `ell_unrolled` the same, slot by slot (`log_sweep` of trodden). Without logarithms, on reduced costs, with
one weight for every turn and destination: `ell_linear` (`reduced_sweep` of trodden, what `SweepSolver` uses where costs
are positive) and `bcsr_linear`, one block per destination on the diagonal of a BCSR matrix. `csr_linear` is that matrix
in SciPy, on one thread.

Per form: `ns` nanoseconds per sweep, destination and turn; `bandwidth_share`, the bytes that a sweep has to move at the
least, per second, over the bytes per second that JAX reads and writes in this run when it copies 128 MB. Counted once
each: values read and written, tables of neighbours (padding included), rewards or weights, goals; temporaries are not,
nor values gathered more than once. What stays in the caches can be faster than copying.

Every form does --sweeps sweeps in a row, those of JAX in one compiled loop; medians of --repeat, in turns.
`max_difference` is the largest difference in nats between the values of two forms after that, in float64, and
`float32_difference` that of any form in float32 from float64. Maps: a grid of 19,880 edges, and Porto's roads where
--data or the environment variable TRODDEN_DATA names the folder that holds osm/porto.osm.pbf.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _grids import grid_network
from jax import lax
from jax.experimental import sparse as jax_sparse
from scipy import sparse
from trodden import read_roads
from trodden.cli.console import out, text_table
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.best_paths import best_path_values
from trodden.irl.destinations import make_destinations
from trodden.irl.features import make_features
from trodden.irl.soft_values import make_slots
from trodden.irl.sweep_kernels import log_sweep, reduced_sweep

FEATURES = ("travel_time_min", "is_left", "constant")
TASTE = np.array([-1.0, -0.3, -1.3])


@dataclass(frozen=True)
class Form:
    """One way to sweep: takes its arrays to values float[E, D]."""

    run: Callable[[], Any]
    num_bytes: int
    values: Callable[[Any], np.ndarray]


@dataclass(frozen=True)
class Case:
    """Some destinations on a map, as every form needs them."""

    to_edge: np.ndarray
    """int32[K, E]."""
    slot_reward: np.ndarray
    """float64[K, E]."""
    turns: Any
    reward: np.ndarray
    best: np.ndarray
    """float64[E, D], values of best paths."""
    is_goal: np.ndarray
    weight: np.ndarray
    """float64[K, E, D], reduced."""
    sweeps: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("TRODDEN_DATA") or None, help="holds osm/porto.osm.pbf"
    )
    parser.add_argument("--sweeps", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    maps: dict[str, Callable[[], RoadNetwork]] = {"grid": lambda: grid_network(71, 71)}
    if arguments.data is not None:
        maps["porto"] = lambda: read_roads(arguments.data / "osm" / "porto.osm.pbf")
    copied = _copy_bandwidth(arguments.repeat)
    out.print(f"copying: {copied / 1e9:.1f} GB/s", markup=False)
    kernels: dict[str, dict[str, float]] = {}
    differences, roundings = [0.0], [0.0]
    for name, make in maps.items():
        network = make()
        for count in (16, 1):
            exact: np.ndarray | None = None
            for dtype in (np.float64, np.float32):
                with jax.enable_x64(dtype is np.float64):
                    times, values = _measure(_forms(_case(network, count, arguments.sweeps), dtype), arguments.repeat)
                if exact is None:
                    exact = values[0]
                    differences += [_difference(exact, other) for other in values]
                else:
                    roundings += [_difference(exact, other) for other in values]
                turns = network.turns.num_turns * count * arguments.sweeps
                for form, (seconds, num_bytes) in times.items():
                    kernels[f"{name}_{count}_{dtype.__name__}_{form}"] = {
                        "ns": 1e9 * seconds / turns,
                        "bandwidth_share": num_bytes * arguments.sweeps / seconds / copied,
                    }
    rows = [[name, *(f"{value:.3g}" for value in found.values())] for name, found in kernels.items()]
    out.print(text_table(["map, destinations, dtype, form", "ns", "share of copying"], rows), markup=False)
    checks = {"max_difference": max(differences), "float32_difference": max(roundings)}
    out.print(f"forms differ by {checks['max_difference']:.1e} nats at most", markup=False)
    print(json.dumps({"copy_gb_per_second": copied / 1e9, **checks, "kernels": kernels}))


def _copy_bandwidth(repeat: int) -> float:
    """Bytes read and written per second by a loop that only adds to a large array."""
    array, rounds = jnp.ones(1 << 25, jnp.float32), 10
    copy = jax.jit(lambda one: lax.fori_loop(0, rounds, lambda _, value: value + 1.0, one))
    copy(array).block_until_ready()
    seconds = []
    for _ in range(repeat):
        started = time.perf_counter()
        copy(array).block_until_ready()
        seconds.append(time.perf_counter() - started)
    return 2 * rounds * array.nbytes / statistics.median(seconds)


def _case(network: RoadNetwork, count: int, sweeps: int) -> Case:
    turns, random = network.turns, np.random.default_rng(count)
    reward = make_features(network, FEATURES).value @ TASTE
    last = random.choice(np.flatnonzero(turns.is_main), count, replace=False).astype(np.int32)
    best = best_path_values(turns, reward, make_destinations(network.graph, last, "arrival"))
    is_goal = np.zeros(best.shape, bool)
    is_goal[last, np.arange(count)] = True
    slots = make_slots(turns)
    slot_reward = np.append(reward, -np.inf)[slots.out_turn]
    padded = np.append(best, np.full((1, count), -np.inf), axis=0)
    with np.errstate(invalid="ignore"):
        weight = np.exp(slot_reward[:, :, None] + padded[slots.to_edge] - best)
    weight = np.where(is_goal | ~np.isfinite(best), 0.0, weight)
    return Case(slots.to_edge, slot_reward, turns, reward, best, is_goal, weight, sweeps)


def _forms(case: Case, dtype: type) -> dict[str, Form]:
    to_edge, is_goal = jnp.asarray(case.to_edge), jnp.asarray(case.is_goal)
    best, weight = jnp.asarray(case.best, dtype), jnp.asarray(case.weight, dtype)
    slot_reward, reward = jnp.asarray(case.slot_reward, dtype), jnp.asarray(case.reward, dtype)
    ends = is_goal.astype(dtype)
    first = jnp.asarray(np.isfinite(case.best), dtype)
    start, head = jnp.asarray(case.turns.from_edge), jnp.asarray(case.turns.to_edge)
    rewarded = (slot_reward, to_edge, is_goal)
    unrolled = functools.partial(log_sweep, is_absorbing=True)
    forms = {
        "coo": _form(case, _coo, best, (reward, start, head, is_goal), _as_is),
        "ell": _form(case, _ell, best, rewarded, _as_is),
        "ell_unrolled": _form(case, lambda v, r, t, g: unrolled(v, t, r, g), best, rewarded, _as_is),
        "ell_linear": _form(
            case, lambda z, w, t, e: reduced_sweep(z, t, w, e), first, (weight, to_edge, ends), _logarithm(case)
        ),
    }
    blocks = _blocks(case, dtype)
    flat_first, flat_ends = (jnp.asarray(np.asarray(one).T.reshape(-1, 1)) for one in (first, ends))
    arrays = (jnp.asarray(blocks.data), jnp.asarray(blocks.indices), jnp.asarray(blocks.indptr), flat_ends)

    def bcsr(z: Any, data: Any, indices: Any, indptr: Any, ends: Any) -> Any:
        return jax_sparse.BCSR((data, indices, indptr), shape=blocks.shape) @ z + ends

    forms["bcsr_linear"] = _form(case, bcsr, flat_first, arrays, _logarithm(case))
    return forms | {"csr_linear": _by_scipy(case, blocks, np.asarray(flat_first), np.asarray(flat_ends))}


def _form(case: Case, sweep: Callable[..., Any], first: Any, arrays: tuple[Any, ...], values: Any) -> Form:
    @jax.jit
    def loop(first: Any, arrays: tuple[Any, ...]) -> Any:
        return lax.fori_loop(0, case.sweeps, lambda _, value: sweep(value, *arrays), first)

    num_bytes = 2 * first.nbytes + sum(array.nbytes for array in arrays)
    return Form(lambda: loop(first, arrays).block_until_ready(), num_bytes, values)


def _coo(value: Any, reward: Any, start: Any, head: Any, is_goal: Any) -> Any:
    """Log-sum-exp by segments of the list of turns, which stands in the order of the edges left."""
    choice = reward[:, None] + value[head]
    best = jax.ops.segment_max(choice, start, len(value), indices_are_sorted=True)
    shift = jnp.where(jnp.isfinite(best), best, 0.0)
    total = jax.ops.segment_sum(jnp.exp(choice - shift[start]), start, len(value), indices_are_sorted=True)
    return jnp.where(is_goal, 0.0, shift + jnp.log(total))


def _ell(value: Any, reward: Any, to_edge: Any, is_goal: Any) -> Any:
    """Log-sum-exp over the slots as an axis of one array."""
    padded = jnp.concatenate([value, jnp.full((1, value.shape[1]), -jnp.inf, value.dtype)])
    return jnp.where(is_goal, 0.0, jax.nn.logsumexp(reward[:, :, None] + padded[to_edge], axis=0))


def _blocks(case: Case, dtype: type) -> sparse.csr_matrix:
    """Reduced weights of all destinations as one block-diagonal matrix [D E, D E], without padding."""
    turns, size = case.turns, len(case.best)
    matrices = []
    for goal, best in zip(case.is_goal.T, case.best.T, strict=True):
        with np.errstate(invalid="ignore"):
            weight = np.exp(case.reward + best[turns.to_edge] - best[turns.from_edge])
        weight = np.where(goal[turns.from_edge] | ~np.isfinite(best[turns.from_edge]), 0.0, weight)
        matrices.append(sparse.csr_matrix((weight.astype(dtype), turns.to_edge, turns.first_out), shape=(size, size)))
    return sparse.csr_matrix(sparse.block_diag(matrices, format="csr"))


def _by_scipy(case: Case, blocks: sparse.csr_matrix, first: np.ndarray, ends: np.ndarray) -> Form:
    def run() -> np.ndarray:
        z = first[:, 0]
        for _ in range(case.sweeps):
            z = blocks @ z + ends[:, 0]
        return z

    num_bytes = 2 * first.nbytes + ends.nbytes + blocks.data.nbytes + blocks.indices.nbytes + blocks.indptr.nbytes
    return Form(run, num_bytes, _logarithm(case))


def _as_is(value: Any) -> np.ndarray:
    return np.asarray(value, np.float64)


def _logarithm(case: Case) -> Callable[[Any], np.ndarray]:
    """Values of z, float64[E, D], whichever of [E, D] and [D E] it has."""

    def values(z: Any) -> np.ndarray:
        array = np.asarray(z, np.float64)
        if array.shape != case.best.shape:
            array = array.reshape(case.best.shape[::-1]).T
        with np.errstate(divide="ignore"):
            return case.best + np.log(array)

    return values


def _measure(forms: dict[str, Form], repeat: int) -> tuple[dict[str, tuple[float, int]], list[np.ndarray]]:
    """((median seconds, bytes of a sweep) by form, values of each)."""
    values = [form.values(form.run()) for form in forms.values()]  # compiles
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeat):
        for name, form in forms.items():
            started = time.perf_counter()
            form.run()
            seconds[name].append(time.perf_counter() - started)
    return {name: (statistics.median(seconds[name]), form.num_bytes) for name, form in forms.items()}, values


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """Infinite where one of them takes an edge for unreachable and the other does not."""
    reached = np.isfinite(one)
    if not np.array_equal(reached, np.isfinite(other)):
        return float("inf")
    return float(np.abs(one[reached] - other[reached]).max())


if __name__ == "__main__":
    main()
