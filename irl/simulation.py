"""Draw routes from the exact policy of a stated reward. Everything made from them is labelled simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

from ..core.config import PlannerConfig
from ..core.errors import ConfigurationError, EmptyNetworkError, NotConvergedError
from ..core.types import Floats, Ids, Ints
from ..graphs.geometry import EARTH_RADIUS_M, great_circle_m, unit_sphere
from ..graphs.road_graph import RoadNetwork
from .demonstrations import Demonstrations, demonstrations_from_edges
from .destinations import Destinations, Ending, destination_key, make_destinations
from .features import available_names, make_features
from .planner import Planner
from .trips import TripBatch

DEFAULT_TASTE: dict[str, float] = {
    "travel_time_min": -1.5,
    "length_km": -3.0,
    "is_left": -0.6,
    "is_right": -0.3,
    "is_uturn": -3.0,
    "constant": -0.8,
}
"""A plausible driver: dislikes time (distance, where times are not known), turning, and above all turning back.

Nobody's estimates; columns that a network lacks are left out.
"""
_LONGEST = 100_000
"""Turns after which a simulated route is taken to be lost; certified values make this next to impossible."""
_BLOCK = 32
Solver = Literal["auto", "factorization", "corridors"]
"""How routes are drawn: by values of the whole map, or each in its corridor; auto: by the size of the map."""
_LARGEST_WHOLE = 300_000
"""Edges up to which ``auto`` takes the whole map: its LU takes seconds there, and a minute at a million."""


def default_taste(network: RoadNetwork) -> dict[str, float]:
    """The part of `DEFAULT_TASTE` that this network has columns for."""
    names = set(available_names(network))
    if "travel_time_min" in names:
        names -= {"length_km"}  # what `default_features` does too, so that the defaults learn the defaults back
    return {name: value for name, value in DEFAULT_TASTE.items() if name in names}


def simulate(
    network: RoadNetwork,
    num_routes: int,
    *,
    taste: Mapping[str, float] | None = None,
    seed: int = 0,
    num_destinations: int = 50,
    min_km: float = 0.0,
    max_km: float | None = None,
    ending: Ending = "arrival",
    solver: Solver = "auto",
    corridor_tau: float = 25.0,
    progress: Callable[[int], None] | None = None,
) -> Demonstrations:
    """Routes drawn from the MaxEnt policy of a linear reward.

    Origins are drawn evenly from the main network's edges within the distance limits of the destination; destinations
    evenly from the main network, ``num_destinations`` distinct ones (each costs a solve).

    Parameters
    ----------
    taste
        Coefficient by feature name; default `DEFAULT_TASTE`.
    min_km, max_km
        Limits on the crow distance between origin and destination; need coordinates.
    solver
        ``"factorization"`` draws by the values of the whole map, ``"corridors"`` each route in its corridor, on maps of
        any size; ``"auto"`` takes corridors from 300,000 edges on.
    corridor_tau
        Width of corridors in nats: routes that stray further than that from the best one are never drawn.
    progress
        Called with the number of routes drawn since the last call, from any thread.

    Raises
    ------
    InfeasibleRewardError
        Values do not exist under the taste; names the smallest constant that mends it.
    ConfigurationError
        An unknown feature, a taste under which some turn costs nothing, or limits that no pair of edges meets.

    Notes
    -----
    One solve per destination and block, or one per route in its corridor; then one draw per turn travelled. The same
    seed and solver give the same routes.
    """
    wanted = dict(taste) if taste is not None else default_taste(network)
    _check_request(wanted, num_routes, num_destinations, min_km, max_km)
    features = make_features(network, tuple(wanted))
    reward = features.reward(np.array([wanted[name] for name in features.names]))
    if len(reward) and reward.max() >= 0:
        raise ConfigurationError(
            where="taste",
            problem=f"{int((reward >= 0).sum())} turns would cost nothing or less; add a negative 'constant'",
        )
    generator = np.random.default_rng(seed)
    pairs = _draw_pairs(network, num_routes, num_destinations, min_km, max_km, generator, ending)
    if solver == "auto":
        solver = "corridors" if network.graph.num_edges > _LARGEST_WHOLE else "factorization"
    if solver == "corridors":
        rows = _draw_in_corridors(network, reward, pairs, ending, corridor_tau, seed, progress)
    else:
        rows = _draw_on_the_map(network, reward, pairs, ending, generator, progress)
    names = [f"simulated-{row}" for row in range(num_routes)]
    stated = ", ".join(f"{name} {value:g}" for name, value in wanted.items())
    return demonstrations_from_edges(
        network, rows, names, source=f"simulated ({stated}; seed {seed})", is_simulated=True
    )


def _draw_on_the_map(
    network: RoadNetwork,
    reward: Floats,
    pairs: Ids,
    ending: Ending,
    generator: np.random.Generator,
    progress: Callable[[int], None] | None,
) -> list[Ints]:
    planner = Planner(
        network.turns, PlannerConfig(ending=ending, solver="factorization"), edge_id=network.graph.edge_id
    )
    keys, column = np.unique(pairs[:, 1], return_inverse=True)
    destinations = make_destinations(network.graph, keys.astype(np.int32), ending)
    rows: list[Ints] = [np.zeros(0, np.int32)] * len(pairs)
    for begin in range(0, len(keys), _BLOCK):
        block = destinations.block(begin, min(begin + _BLOCK, len(keys)))
        mine = np.flatnonzero((column >= begin) & (column < begin + len(block)))
        trips = pairs[mine, 0].astype(np.int32), column[mine] - begin
        values = planner.values(reward, block, origins=trips)
        drawn = _draw_routes(network, reward, values, block, pairs[mine, 0], column[mine] - begin, generator)
        for row, route in zip(mine, drawn, strict=True):
            rows[row] = route
        if progress is not None:
            progress(len(mine))
    return rows


def _draw_in_corridors(
    network: RoadNetwork,
    reward: Floats,
    pairs: Ids,
    ending: Ending,
    tau: float,
    seed: int,
    progress: Callable[[int], None] | None,
) -> list[Ints]:
    from .corridors import CorridorSolver  # numba takes half a second

    keys, column = np.unique(pairs[:, 1], return_inverse=True)
    order = np.argsort(column.reshape(-1), kind="stable")
    batch = TripBatch(
        make_destinations(network.graph, keys.astype(np.int32), ending),
        np.searchsorted(column.reshape(-1)[order], np.arange(len(keys) + 1)).astype(np.int64),
        pairs[order, 0].astype(np.int32),
        np.ones(len(pairs)),
        np.zeros(0),
    )
    solver = CorridorSolver(network.turns, tau=tau, edge_id=network.graph.edge_id)
    rows: list[Ints] = [np.zeros(0, np.int32)] * len(pairs)
    for row, route in zip(order.tolist(), solver.draw(reward, batch, seed, _LONGEST, progress), strict=True):
        rows[row] = route
    return rows


def _check_request(
    taste: Mapping[str, float], num_routes: int, num_destinations: int, min_km: float, max_km: float | None
) -> None:
    """`ConfigurationError` for what no network could meet."""
    if not taste:
        raise ConfigurationError(where="taste", problem="names no feature; give at least a negative 'constant'")
    for name, value in taste.items():
        if name.endswith(":*"):
            raise ConfigurationError(where="taste", problem=f"{name!r} stands for several features; name each of them")
        if not np.isfinite(value):
            raise ConfigurationError(where="taste", problem=f"{name} is {value}, not a finite number")
    if num_routes < 0 or num_destinations < 1:
        problem = (
            f"{num_routes} routes to {num_destinations} destinations; ask for some routes and at least 1 destination"
        )
        raise ConfigurationError(where="simulate", problem=problem)
    if not (min_km >= 0 and (max_km is None or max_km >= min_km)):
        raise ConfigurationError(where="simulate", problem=f"{min_km} to {max_km} km is not a range of distances")


def _draw_pairs(
    network: RoadNetwork,
    num_routes: int,
    num_destinations: int,
    min_km: float,
    max_km: float | None,
    generator: np.random.Generator,
    ending: Ending,
) -> Ids:
    """int64[n, 2] of (origin edge, destination key), grouped evenly over the destinations."""
    main = np.flatnonzero(network.turns.is_main)
    if len(main) < 2:
        raise EmptyNetworkError(
            path=network.report.get("source", "network"),
            problem="no two edges can be reached from one another",
            remedy="Use a larger extract",
        )
    last = generator.choice(main, min(num_destinations, len(main)), replace=False)
    keys = destination_key(network.graph, last.astype(np.int32), ending)
    near = _Near(network, main, min_km, max_km)
    # Twice over the destinations rather than all candidates at once: those of many destinations fill the memory.
    sizes = [len(near.origins(edge)) for edge in last.tolist()]
    for edge, size in zip(last[:num_routes].tolist(), sizes, strict=False):
        if not size:
            raise ConfigurationError(
                where="simulate",
                problem=f"no edge of the main network lies {min_km} to {max_km} km from edge "
                f"{int(network.graph.edge_id[edge])}; widen the limits",
            )
    picks = [int(generator.integers(sizes[row % len(last)])) for row in range(num_routes)]
    pairs = np.empty((num_routes, 2), np.int64)
    for which, edge in enumerate(last[:num_routes].tolist()):
        pairs[which :: len(last), 0] = near.origins(edge)[picks[which :: len(last)]]
        pairs[which :: len(last), 1] = keys[which]
    return pairs


class _Near:
    """Edges of the main network by their crow distance from one of them."""

    def __init__(self, network: RoadNetwork, main: Ids, min_km: float, max_km: float | None) -> None:
        self._graph, self._main, self._min_m = network.graph, main, 1000 * min_km
        self._max_m = np.inf if max_km is None else 1000 * max_km
        self._middle = network.graph.edge_midpoints()
        is_limited = min_km > 0 or max_km is not None
        if is_limited and self._middle is None:
            network.graph.require_coordinates("a limit on the distance of simulated trips")
        self._tree = None
        if is_limited and self._middle is not None:
            self._point = unit_sphere(*self._middle)
            self._tree = cKDTree(self._point[main])

    def origins(self, edge: int) -> Ids:
        """int64, ascending: the edges within the limits from which a trip to ``edge`` makes a choice."""
        found = self._main
        if self._tree is not None and self._middle is not None:
            # The tree knows chords; a little more than asked for, and the distance itself decides.
            chord = 2.0 * np.sin(min(self._max_m * 1.001 / EARTH_RADIUS_M, np.pi) / 2.0) + 1e-9
            found = self._main[np.sort(self._tree.query_ball_point(self._point[edge], chord))]
            latitude, longitude = self._middle
            distance = great_circle_m(latitude[found], longitude[found], latitude[edge], longitude[edge])
            found = found[(distance >= self._min_m) & (distance <= self._max_m)]
        return np.asarray(found[(found != edge) & (self._graph.head[found] != self._graph.head[edge])])


def _draw_routes(
    network: RoadNetwork,
    reward: Floats,
    values: Floats,
    block: Destinations,
    origin: Ids,
    column: Ids,
    generator: np.random.Generator,
) -> list[Ints]:
    """All routes of a block step by step at once: one uniform number per route and step."""
    turns = network.turns
    is_goal = np.zeros(values.shape, bool)
    is_goal[block.edge, np.repeat(np.arange(len(block)), np.diff(block.first))] = True
    width = int(np.diff(turns.first_out).max(initial=1))
    steps: list[Ints] = [origin.astype(np.int32)]
    rows: list[Ids] = [np.arange(len(origin), dtype=np.int64)]
    active, here = rows[0], steps[0]
    for _ in range(_LONGEST):
        if block.ending == "arrival":
            keep = ~is_goal[here, column[active]]
        else:  # stopping competes: it is taken with probability exp(0 - V) on a goal edge
            stop = np.where(is_goal[here, column[active]], np.exp(-values[here, column[active]]), 0.0)
            keep = generator.random(len(here)) >= stop
        active, here = active[keep], here[keep]
        if not len(active):
            break
        slot = turns.first_out[here][:, None] + np.arange(width)
        is_real = slot < turns.first_out[here + 1][:, None]
        slot = np.where(is_real, slot, 0)
        score = np.where(is_real, reward[slot] + values[turns.to_edge[slot], column[active][:, None]], -np.inf)
        weight = np.exp(score - score.max(axis=1, keepdims=True))
        edges = np.cumsum(weight, axis=1)
        pick = (generator.random(len(here))[:, None] * edges[:, -1:] >= edges).sum(axis=1)
        here = turns.to_edge[slot[np.arange(len(here)), np.minimum(pick, width - 1)]]
        steps.append(here)
        rows.append(active)
    else:
        raise NotConvergedError(residual=float(len(active)), tolerance=0.0, num_sweeps=_LONGEST)
    row, step = np.concatenate(rows), np.concatenate(steps)
    order = np.argsort(row, kind="stable")
    return np.split(step[order], np.cumsum(np.bincount(row, minlength=len(origin)))[:-1])
