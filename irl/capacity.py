"""What a training run will need: memory, disk and time, before it is started (`trodden plan`).

The model is arithmetic on sizes and on constants measured on this machine (`trodden.irl.measuring`); every formula is
one line of `_memory`, `_disk` or `_seconds`, and what they take for granted stands in `RunPlan.assumptions`.
"""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from typing import Any

from ..core.errors import ConfigurationError
from ..graphs.corridor_search import Corridors, SearchGraph, Workspace
from ..graphs.memory import network_bytes
from ..graphs.road_graph import RoadNetwork
from .calibration import Calibration
from .corridor_trips import worth_compressing
from .measuring import calibrate
from .planner import LARGEST_FACTORISED

VECTORS_PER_TURN = 4
"""float64[T] that are alive at once in a pass: counts observed and expected, the reward, its costs (then the slope)."""
_MASKS_PER_TURN = 3
"""bool[T] while the costs are checked."""
_BYTES_PER_SMALL_TURN = 4.0 + 3.0 + 4.0 + 8.0 + 8.0 + 8.0
"""Of the compressed graph: edge entered, three kinds, edge left, where its parts begin; its cost and its count."""
_BYTES_COMPRESSING = 2 * 32.0
"""Per original turn: a table with room for as many again."""
_MAX_SETTLED = 2_000_000
_REFRESH_EVERY = 10
_LARGEST_COUNT = 2**31 - 1
_BYTES_PER_NODE = 24.0
_BYTES_PER_EDGE = 16.0 + 4.0 + 8.0 + 33.0
"""Tail, head, id; where turns begin; component and order of ids; attributes of an OSM network, road names aside."""
_BYTES_PER_TURN = 4.0 + 4.0 + 3.0 + 4.0
"""Edge entered, angle, three kinds, edge left."""
_SHAPES_PER_EDGE = 103.0
_MODEL_VECTORS = 5
"""float64[T] of a stored model: learned costs, and baselines."""
_LU_BLOCK = 3 * 16 * 8
"""Bytes per edge and thread while an LU solves 16 destinations at a time."""
_LU_TRANSPOSED_FROM = 80
_BYTES_PER_ANSWER = 16 + 24
"""Per trip: a value twice, and where it goes."""


@dataclass(frozen=True)
class Item:
    """One line of a plan."""

    name: str
    amount: float
    """Bytes, or seconds of one pass with the workers asked for."""
    note: str


@dataclass(frozen=True)
class RunPlan:
    """What a run will need, and what that rests on."""

    num_edges: int
    num_turns: int
    num_demonstrations: int
    num_workers: int
    solver: str
    """``factorization`` or ``corridors``, as ``[planner] solver = "auto"`` chooses."""
    why: str
    memory: tuple[Item, ...]
    """On one machine, at the peak of a pass."""
    disk: tuple[Item, ...]
    time: tuple[Item, ...]
    """Of one pass."""
    seconds_before: float
    """Until the first pass begins."""
    serial_seconds: float
    """Of a pass, that no worker shortens."""
    parallel_seconds: float
    """Of a pass, by one worker alone."""
    passes: int
    num_machines: int
    machine_bytes: int
    assumptions: tuple[str, ...]

    @property
    def peak_bytes(self) -> int:
        """Memory on one machine."""
        return round(sum(item.amount for item in self.memory))

    @property
    def disk_bytes(self) -> int:
        """Network, demonstrations and model."""
        return round(sum(item.amount for item in self.disk))

    @property
    def seconds_per_pass(self) -> float:
        """One likelihood with its gradient."""
        return self.serial_seconds + self.parallel_seconds / self.num_workers

    @property
    def seconds(self) -> float:
        """The whole run."""
        return self.seconds_before + self.passes * self.seconds_per_pass

    @property
    def fits(self) -> bool:
        """Whether the peak is within the memory of this machine."""
        return self.peak_bytes <= self.machine_bytes

    def workers_within(self, seconds: float) -> int | None:
        """The least number of workers that bring the run to a time; None where none do."""
        left = seconds - self.seconds_before - self.passes * self.serial_seconds
        return max(1, math.ceil(self.passes * self.parallel_seconds / left)) if left > 0 else None

    def to_json(self) -> dict[str, Any]:
        """All figures as plain values."""
        names = ("peak_bytes", "disk_bytes", "seconds_per_pass", "seconds", "fits")
        return {**dataclasses.asdict(self), **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True)
class _Size:
    """What is asked for, worked out."""

    edges: int
    turns: int
    demonstrations: int
    workers: int
    machines: int
    km: float
    features: int
    keep_bytes: int
    states: float
    network: float
    shapes: float
    is_compressed: bool

    @property
    def threads(self) -> int:
        return math.ceil(self.workers / self.machines)


def plan_run(
    num_demonstrations: int,
    *,
    network: RoadNetwork | None = None,
    num_edges: int | None = None,
    workers: int = 1,
    trip_km: float = 6.0,
    states: float | None = None,
    num_features: int = 16,
    tau: float = 25.0,
    keep_bytes: int = 0,
    passes: int = 40,
    solver: str = "auto",
    calibration: Calibration | None = None,
    machine_bytes: int | None = None,
) -> RunPlan:
    """What training on so many demonstrations will need.

    Parameters
    ----------
    network, num_edges
        A network at hand; or how many edges one would have; or both: such a network with so many edges.
    workers
        Threads. More than this machine has CPUs are taken to run on further machines like it.
    trip_km
        Mean length of a trip.
    states
        Mean number of states in a corridor, where that is known; else measured at ``trip_km``.
    passes
        Likelihoods with gradients that the whole run evaluates.
    calibration
        Constants of this machine; measured now where left out.
    machine_bytes
        Memory to fit into; that of this machine where left out.

    Raises
    ------
    ConfigurationError
        A number out of range, neither network nor edges, or constants for another tau.
    """
    _check(num_demonstrations, network, num_edges, workers, trip_km, states, num_features, tau, keep_bytes, passes)
    found = calibration or calibrate(network, tau=tau)
    if found.tau != tau:
        problem = f"the constants were measured at tau {found.tau:g}, not {tau:g}; measure them anew"
        raise ConfigurationError(where="plan", problem=problem)
    cpus = os.cpu_count() or 1
    size = _size(network, num_edges or 0, found, num_demonstrations, workers, trip_km, states, num_features, keep_bytes)
    uses_corridors = solver == "corridors" or (solver == "auto" and size.edges > LARGEST_FACTORISED)
    side = "over" if size.edges > LARGEST_FACTORISED else "not over"
    serial, parallel, time = _seconds(size, found, uses_corridors=uses_corridors)
    return RunPlan(
        num_edges=size.edges,
        num_turns=size.turns,
        num_demonstrations=num_demonstrations,
        num_workers=workers,
        solver="corridors" if uses_corridors else "factorization",
        why=f"{size.edges:,} edges are {side} the {LARGEST_FACTORISED:,} up to which one LU of the map is tried",
        memory=_memory(size, found, uses_corridors=uses_corridors),
        disk=_disk(size, found),
        time=time,
        seconds_before=_seconds_before(size, found, uses_corridors=uses_corridors),
        serial_seconds=serial,
        parallel_seconds=parallel,
        passes=passes,
        num_machines=size.machines,
        machine_bytes=machine_bytes or _memory_of_this_machine(),
        assumptions=_assumptions(size, found, cpus, passes, is_measured=network is not None),
    )


def _check(
    demonstrations: int,
    network: RoadNetwork | None,
    edges: int | None,
    workers: int,
    km: float,
    states: float | None,
    features: int,
    tau: float,
    keep_bytes: int,
    passes: int,
) -> None:
    """One `ConfigurationError` for all that is wrong."""
    faults = []
    if network is None and edges is None:
        faults.append("give a network, a number of edges, or both")
    if edges is not None and not 1 <= edges <= _LARGEST_COUNT // 4:
        faults.append(f"{edges} edges; from 1 to {_LARGEST_COUNT // 4:,}, so that turns can be counted in 32 bits")
    named = {"demonstrations": demonstrations, "workers": workers, "features": features, "passes": passes}
    faults += [f"{value} {name}; at least 1" for name, value in named.items() if value < 1]
    reals = {"km per trip": km, "tau": tau, "states per corridor": 1.0 if states is None else states}
    faults += [f"{value:g} {name}; more than 0" for name, value in reals.items() if not 0 < value < math.inf]
    if keep_bytes < 0:
        faults.append(f"{keep_bytes} bytes for kept corridors; at least 0")
    if faults:
        raise ConfigurationError(where="plan", problem="; ".join(faults))


def _size(
    network: RoadNetwork | None,
    edges: int,
    found: Calibration,
    demonstrations: int,
    workers: int,
    km: float,
    states: float | None,
    features: int,
    keep_bytes: int,
) -> _Size:
    if network is None:
        turns = round(edges * found.turns_per_edge)
        of_nodes = found.nodes_per_edge * _BYTES_PER_NODE
        held = edges * (_BYTES_PER_EDGE + of_nodes) + turns * _BYTES_PER_TURN
        shapes = edges * _SHAPES_PER_EDGE
    else:
        _ = network.turns.from_edge, network.turns.strong_component  # a run makes them, and sorts the ids
        network.graph.edge_positions(network.graph.edge_id[:1])
        counted = network_bytes(network)
        scale = edges / counted.num_edges if edges else 1.0
        edges, turns = edges or counted.num_edges, round(scale * network.turns.num_turns)
        held, shapes = scale * counted.loaded, scale * counted.shapes
    machines = math.ceil(workers / (os.cpu_count() or 1))
    is_compressed = worth_compressing(edges, demonstrations)
    in_corridor = _measured_states(found, km, is_compressed=is_compressed) if states is None else states
    return _Size(
        edges, turns, demonstrations, workers, machines, km, features, keep_bytes, in_corridor, held, shapes,
        is_compressed,
    )  # fmt: skip


def _measured_states(found: Calibration, km: float, *, is_compressed: bool) -> float:
    """Of a corridor; on the graph as it is as many more as that has."""
    return found.states(km) / (1.0 if is_compressed else found.small_states)


def _memory(size: _Size, found: Calibration, *, uses_corridors: bool) -> tuple[Item, ...]:
    """Bytes on one machine."""
    routes = size.demonstrations / size.machines
    route_edges = routes * size.km * found.edges_per_km
    items = [
        Item("network", size.network, "graph, turns, attributes; shapes stay on disk"),
        Item("features", 0.0, f"{size.features} columns, views of the network's"),
        Item(
            "vectors",
            (8.0 * VECTORS_PER_TURN + _MASKS_PER_TURN) * size.turns + 8.0 * size.edges,
            "reward, costs, counts and slope: 35 bytes per turn",
        ),
        Item("demonstrations", route_edges * found.route_peak_bytes, "at the peak of reading and grouping"),
    ]
    if not uses_corridors:
        lus = 2 if size.demonstrations >= _LU_TRANSPOSED_FROM else 1
        return (
            *items,
            Item("LU", lus * found.factor_bytes(size.edges), f"{lus} of the map"),
            Item(
                "solves", float(size.threads * _LU_BLOCK * size.edges), f"{size.threads} threads, 16 destinations each"
            ),
        )
    states, turns = size.edges, size.turns
    if size.is_compressed:
        states, turns = round(size.edges * found.small_states), round(size.edges * found.small_turns)
        held = turns * (_BYTES_PER_SMALL_TURN + 4.0 * found.parts_per_turn) + 16.0 * states + 5.0 * size.edges
        items.append(Item("compressed graph", held, f"{states:,} states, {turns:,} turns"))
    workspace = Workspace.bytes_for(states, _MAX_SETTLED)
    searching = [
        Item("edge vectors", 16.0 * size.edges, "what an edge adds to the turns onto it, and its counts"),
        Item("search graph", float(SearchGraph.bytes_added(states, turns)), "turns by the edge they enter"),
        Item("workspaces", float(size.threads * workspace), f"{size.threads} threads, 28 bytes per state each"),
    ]
    if size.is_compressed:
        # Vectors and workspaces come after it.
        later = sum(item.amount for item in (*items[2:3], *searching))
        table = max(_BYTES_COMPRESSING * size.turns + 24.0 * size.edges - later, 0.0)
        items.append(Item("compressing", table, "once, before the first pass; what a pass takes is off"))
    return (
        *items,
        *searching,
        Item("answers", routes * _BYTES_PER_ANSWER, "a value per trip"),
        Item(
            "kept corridors",
            min(size.keep_bytes, routes * _kept_bytes(size, found)),
            "as far as stated; `trodden train` keeps none",
        ),
    )


def _kept_bytes(size: _Size, found: Calibration) -> float:
    """Of one corridor with its values."""
    per_state = found.turns_per_state * (1.0 if size.is_compressed else found.small_states)
    return Corridors.bytes_for(1, round(size.states), round(size.states * per_state)) + 8 * size.states


def _disk(size: _Size, found: Calibration) -> tuple[Item, ...]:
    route_edges = size.demonstrations * size.km * found.edges_per_km
    made = 4.0 * (2 * size.edges + size.turns)  # components, the order of ids and the edge left are not stored
    return (
        Item("network", size.network - made, "without shapes"),
        Item("shapes", size.shapes, "geometry and OSM node lists"),
        Item("demonstrations", route_edges * found.route_file_bytes, "Parquet"),
        Item(
            "model", 8.0 * (_MODEL_VECTORS * size.turns + size.edges), "costs per turn and baselines; the network apart"
        ),
    )


def _seconds(size: _Size, found: Calibration, *, uses_corridors: bool) -> tuple[float, float, tuple[Item, ...]]:
    """(serial, by one worker, the lines) of a pass."""
    whole = size.turns * (found.map_s + size.features * found.feature_s)
    if uses_corridors and size.is_compressed:
        whole += size.edges * found.small_turns * found.sum_s
    lines = [Item("map", whole, "reward, checks and sums over all turns; no worker shortens it")]
    if uses_corridors:
        share = min(1.0, size.keep_bytes * size.machines / (size.demonstrations * _kept_bytes(size, found)))
        share *= 1.0 - 1.0 / _REFRESH_EVERY
        wider = size.states / _measured_states(found, size.km, is_compressed=size.is_compressed)
        each = wider * ((1.0 - share) * found.fresh_s(size.km) + share * found.kept_s(size.km))
        each *= 1.0 if size.is_compressed else found.plain
        parallel = size.demonstrations * each
        note = f"{1000 * each:.2f} ms each and worker, {size.states:,.0f} states"
        return whole, parallel, (*lines, Item("trips", parallel / size.workers, note))
    lus = 2 if size.demonstrations >= _LU_TRANSPOSED_FROM else 1
    factor, each = lus * found.factor_s(size.edges), found.solve_s(size.edges)
    parallel = min(size.demonstrations, size.edges) * each
    lines.append(Item("LU", factor, f"{lus} of the map; no worker shortens it"))
    note = f"{1000 * each:.1f} ms per destination and worker"
    return whole + factor, parallel, (*lines, Item("solves", parallel / size.workers, note))


def _seconds_before(size: _Size, found: Calibration, *, uses_corridors: bool) -> float:
    route_edges = size.demonstrations / size.machines * size.km * found.edges_per_km
    stored = size.network + size.shapes
    compressing = size.edges * found.compress_s if size.is_compressed and uses_corridors else 0.0
    return stored * found.load_s_per_byte + size.turns * found.prepare_s + route_edges * found.route_s + compressing


def _assumptions(size: _Size, found: Calibration, cpus: int, passes: int, *, is_measured: bool) -> tuple[str, ...]:
    of_map = (
        "the network's own arrays counted, and scaled where --edges asks for more"
        if is_measured
        else f"{found.turns_per_edge:.2f} turns and {found.nodes_per_edge:.2f} nodes per edge, as in the measured roads"
    )
    shapes = "" if is_measured else f", {_SHAPES_PER_EDGE:g} bytes of shapes per edge, as in Porto"
    return (
        f"constants measured on {found.measured_on} ({found.num_edges:,} edges), CPU time of one thread, files "
        f"cached; copying {found.copy_gb_s:.0f} GB/s",
        of_map + shapes,
        f"trips of {size.km:g} km, {found.edges_per_km:.1f} edges per km; every trip distinct, of the mean length "
        "(longer ones cost more than shorter ones save)",
        f"time per trip grows as km^{found.fresh_s.exponent:.2f} (measured from 2 to 10 km), whatever the size of the "
        "map",
        "an easy reward (spectral radius about 0.6), no corridor widened; near 1 a trip takes up to three times that",
        f"corridors on {'the compressed graph' if size.is_compressed else 'the graph as it is'}, as trodden has it for "
        "so many trips and edges",
        f"one LU grows as edges^{found.factor_s.exponent:.2f}, a solve as edges^{found.solve_s.exponent:.2f} on grids",
        f"workers share the trips evenly; {cpus} to a machine, {size.machines} machine(s), each with the whole map "
        "and its share of the trips",
        "trodden itself spreads regions over machines, not one map: a second machine is arithmetic",
        f"{passes} passes, each a likelihood with its gradient; no standard errors, no baselines",
    )


def _memory_of_this_machine() -> int:
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
