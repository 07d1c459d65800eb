"""Why two points are not joined by a route, and the nearest one that would be."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from ..core.errors import UnreachableError
from ..core.types import Bools, Floats, Ints
from ..graphs.geometry import METRES_PER_DEGREE
from ..graphs.road_graph import RoadNetwork
from ..graphs.shortest_paths import reachable_from, reaching, turn_matrix
from .points import Coordinate, Terminal


def explain_unreachable(
    network: RoadNetwork,
    origin: Terminal,
    destination: Terminal,
    *,
    index: int | None = None,
    whole: RoadNetwork | None = None,
) -> UnreachableError:
    """The error for two points without a route: names the cause and the nearest point that works.

    Parameters
    ----------
    network
        With the turns that may be taken.
    whole
        The same with those that the request closed, where it closed any.

    Notes
    -----
    A few searches over the whole network, O(E + T): only failures pay for it.
    """
    if (
        whole is not None
        and whole is not network
        and (found := _closed_out(network, whole, origin, destination, index))
    ):
        return found
    if not (origin.edges and destination.edges):
        return _dead_end(network, origin, destination, index)
    starts, ends = np.array(origin.edges, np.int32), np.array(destination.edges, np.int32)
    leaves, arrives = reachable_from(network.turns, starts), reaching(network.turns, ends)
    if leaves[ends].any():
        cause = "the destination lies behind the origin on the same road, and no way leads back to it"
        return _error(network, origin, destination, index, cause, "Swap the two, or choose another point")
    cause, is_origin_stuck = _cause(network, starts, ends, leaves, arrives)
    if is_origin_stuck:
        nearest = _nearest(network, starts, arrives)
        advice = f"The nearest edge from which the destination can be reached is {nearest}"
    else:
        nearest = _nearest(network, ends, leaves)
        advice = f"The nearest edge to the destination that can be reached is {nearest}"
    return _error(network, origin, destination, index, cause, advice)


def _dead_end(network: RoadNetwork, origin: Terminal, destination: Terminal, index: int | None) -> UnreachableError:
    """For a node that nothing leaves, or that nothing enters: advice starts from the edges on its other side."""
    graph = network.graph
    if not origin.edges:
        cause, wanted = "no edge leaves the origin's node", np.flatnonzero(graph.head == origin.node)
        candidates = reaching(network.turns, np.array(destination.edges, np.int32))
        advice = "The nearest edge from which the destination can be reached is"
    else:
        cause, wanted = "no edge enters the destination's node", np.flatnonzero(graph.tail == destination.node)
        candidates = reachable_from(network.turns, np.array(origin.edges, np.int32))
        advice = "The nearest edge to the destination that can be reached is"
    if len(wanted) == 0 or not candidates.any():
        return _error(network, origin, destination, index, cause, "Choose another node")
    nearest = _nearest(network, wanted.astype(np.int32), candidates)
    return _error(network, origin, destination, index, cause, f"{advice} {nearest}")


def _closed_out(
    network: RoadNetwork, whole: RoadNetwork, origin: Terminal, destination: Terminal, index: int | None
) -> UnreachableError | None:
    """The error where it is the request's closed edges that leave no way; None where there was none before."""
    for role, terminal in (("origin", origin), ("destination", destination)):
        if not terminal.edges and (terminal.snaps or terminal.node < 0):
            cause = f"every edge at the {role} is closed by this request"
            return _error(network, origin, destination, index, cause, "Close fewer edges, or choose another point")
    if not (origin.edges and destination.edges):
        return None
    starts, ends = np.array(origin.edges, np.int32), np.array(destination.edges, np.int32)
    if not reachable_from(whole.turns, starts)[ends].any():
        return None
    cause = "every way runs over an edge that this request closes"
    leaves = reachable_from(network.turns, starts)
    nearest = _nearest(network, ends, leaves)
    advice = f"The nearest edge to the destination that can be reached is {nearest}"
    return _error(network, origin, destination, index, cause, advice)


def _error(
    network: RoadNetwork, origin: Terminal, destination: Terminal, index: int | None, cause: str, advice: str
) -> UnreachableError:
    names = [_with_snap(network, terminal) for terminal in (origin, destination)]
    return UnreachableError(index=index, origin=names[0], destination=names[1], cause=cause, nearest=advice)


def _with_snap(network: RoadNetwork, terminal: Terminal) -> str:
    """The point, and for a coordinate the edge that it was put on."""
    if not terminal.snaps or not isinstance(terminal.point, Coordinate):
        return str(terminal)
    snap = terminal.snaps[0]
    return f"{terminal} ({snap.distance_m:.0f} m from edge:{network.graph.edge_id[snap.edge]})"


def _cause(network: RoadNetwork, starts: Ints, ends: Ints, leaves: Bools, arrives: Bools) -> tuple[str, bool]:
    """(cause, whether the origin is the one that is stuck)."""
    is_main = network.turns.is_main
    leaves_main, enters_main = bool((leaves & is_main).any()), bool((arrives & is_main).any())
    # Were the main network reachable from the one and led it to the other, there would be a route.
    is_origin_stuck = enters_main and not leaves_main
    count = int(leaves.sum()) if is_origin_stuck else int(arrives.sum())
    edges = f"{count} edge" + ("" if count == 1 else "s")
    size = int(is_main.sum())
    if not _are_joined(network, starts, ends):
        who = "the origin" if is_origin_stuck else "the destination"
        return (
            f"no road joins them: {who} lies in a separate part of the map ({edges}; the main network has {size})",
            is_origin_stuck,
        )
    is_ban = _is_turn_ban(network, starts, ends)
    why = "every way on runs over a turn that is not permitted" if is_ban else "one-way roads allow no other way"
    if is_origin_stuck:
        return f"from the origin only {edges} can be reached: {why}", True
    return f"the destination can be reached from only {edges}: {why}", False


def _are_joined(network: RoadNetwork, starts: Ints, ends: Ints) -> bool:
    """Whether roads join the two, whatever their direction."""
    graph = network.graph
    _, label = csgraph.connected_components(_node_matrix(network), directed=True, connection="weak")
    return bool(np.intersect1d(label[graph.tail[starts]], label[graph.tail[ends]]).size)


def _is_turn_ban(network: RoadNetwork, starts: Ints, ends: Ints) -> bool:
    """Whether there would be a way if every turn at a junction were permitted."""
    graph = network.graph
    goals = set(graph.tail[ends].tolist())
    for node in set(graph.head[starts].tolist()):
        reached = csgraph.breadth_first_order(_node_matrix(network), node, return_predecessors=False)
        if goals.intersection(reached.tolist()):
            return True
    return False


def _node_matrix(network: RoadNetwork) -> sparse.csr_matrix:
    graph = network.graph
    # Parallel edges would be summed on conversion; only whether there is an edge matters here.
    return sparse.csr_matrix((np.ones(graph.num_edges), graph.head, graph.first_out), shape=(graph.num_nodes,) * 2)


def _nearest(network: RoadNetwork, wanted: Ints, candidates: Bools) -> str:
    """The candidate edge nearest to the wanted ones, in words: by distance, or by turns without coordinates."""
    rows = np.flatnonzero(candidates)
    middles = network.graph.edge_midpoints()
    if middles is None:
        hops = _hops(network, wanted)
        best = int(rows[np.argmin(hops[rows])])
        far = f"{hops[best]:.0f} turns away" if np.isfinite(hops[best]) else "in another part of the network"
        return f"edge:{network.graph.edge_id[best]}, {far}"
    latitude, longitude = middles
    distance = np.full(len(rows), np.inf)
    for edge in wanted[:16]:
        north = (latitude[rows] - latitude[edge]) * METRES_PER_DEGREE
        east = (longitude[rows] - longitude[edge]) * METRES_PER_DEGREE * np.cos(np.radians(latitude[edge]))
        distance = np.minimum(distance, np.hypot(north, east))
    best = int(np.argmin(distance))
    return f"edge:{network.graph.edge_id[rows[best]]}, {distance[best]:.0f} m away"


def _hops(network: RoadNetwork, wanted: Ints) -> Floats:
    matrix = turn_matrix(network.turns, np.ones(network.turns.num_turns))
    hops: Floats = csgraph.dijkstra(matrix, directed=False, indices=wanted, unweighted=True, min_only=True)
    return hops
