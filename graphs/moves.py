"""All moves from edge to edge at a junction, their angles and sides, and the U-turn rule.

A move turns left below -30 degrees, right above 30, between the bearings with which one edge arrives and the next
leaves. A U-turn is the move onto the opposite direction of the same road: the same nodes backwards.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ConfigurationError
from ..core.types import Bools, Floats, Floats32, Ids, Ints
from .geometry import bearing_deg, degrees, end_bearings_deg, wrap_deg
from .road_graph import EdgeShapes, RoadGraph, ragged_rows
from .stable_ids import mix64
from .turns import TurnGraph

UTurns = Literal["dead_ends", "everywhere", "never"]
"""Where U-turns stay: only where no other move is left, wherever no relation bans them, or nowhere."""

STRAIGHT_DEG = 30.0
"""A smaller angle is neither left nor right."""


def check_u_turns(value: str) -> None:
    """`ConfigurationError` where ``value`` is not a U-turn rule."""
    if value not in get_args(UTurns):
        raise ConfigurationError(where="u_turns", problem=f"{value!r} is none of {', '.join(get_args(UTurns))}")


def candidate_turns(graph: RoadGraph, shapes: EdgeShapes | None, lengths: Floats32 | None = None) -> TurnGraph:
    """Every move at every junction, U-turns and banned ones included, with angles and sides. O(T)."""
    first_out, to_edge = _all_pairs(graph)
    from_edge = np.repeat(np.arange(graph.num_edges, dtype=np.int32), np.diff(first_out))
    if shapes is not None:
        is_uturn = _is_uturn_by_nodes(graph, shapes, from_edge, to_edge)
    else:
        is_uturn = uturns_by_ends(graph, lengths, from_edge, to_edge)
    angle = turn_angles(graph, shapes, from_edge, to_edge, is_uturn)
    side = np.nan_to_num(angle, nan=0.0) if angle is not None else np.zeros(len(to_edge))
    return TurnGraph(
        first_out=first_out,
        to_edge=to_edge,
        angle_deg=None if angle is None else angle.astype(np.float32),
        is_left=~is_uturn & (side < -STRAIGHT_DEG),
        is_right=~is_uturn & (side > STRAIGHT_DEG),
        is_uturn=is_uturn,
    )


def finish_turns(
    moves: TurnGraph, banned: Bools, *, u_turns: UTurns, report: dict[str, Any]
) -> tuple[TurnGraph, dict[str, Any]]:
    """The moves that are left after bans and the U-turn rule, and ``report`` with the counts of both added. O(T)."""
    check_u_turns(u_turns)
    keep = ~banned
    goes_on = np.bincount(moves.from_edge[keep & ~moves.is_uturn], minlength=moves.num_edges)
    returns = np.bincount(moves.from_edge[keep & moves.is_uturn], minlength=moves.num_edges)
    is_dead_end = (goes_on == 0) & (returns > 0)
    allowed = keep.copy()
    if u_turns == "never":
        keep &= ~moves.is_uturn
    elif u_turns == "dead_ends":
        keep &= ~moves.is_uturn | is_dead_end[moves.from_edge]
    counts = np.bincount(moves.from_edge[keep], minlength=moves.num_edges)
    turns = TurnGraph(
        first_out=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        to_edge=moves.to_edge[keep],
        angle_deg=None if moves.angle_deg is None else moves.angle_deg[keep],
        is_left=moves.is_left[keep],
        is_right=moves.is_right[keep],
        is_uturn=moves.is_uturn[keep],
    )
    tally = {
        "turns": turns.num_turns,
        "u_turns": int(turns.is_uturn.sum()),
        "u_turns_left_out": int((allowed & ~keep).sum()),
        "dead_ends": int(is_dead_end.sum()),
        "edges_without_a_move": int((counts == 0).sum()),
        "u_turn_rule": u_turns,
    }
    return turns, {**report, **tally}


def _all_pairs(graph: RoadGraph) -> tuple[Ints, Ints]:
    to_edge, first_out = ragged_rows(graph.first_out.astype(np.int64), graph.head)
    return first_out.astype(np.int32), to_edge.astype(np.int32)


# ------------------------------------------------------------------------------------------------------- U-turns


def _is_uturn_by_nodes(graph: RoadGraph, shapes: EdgeShapes, from_edge: Ints, to_edge: Ints) -> Bools:
    """Same nodes in reverse: a hash of the node list picks the candidates, the lists themselves decide."""
    forward, backward = _list_hashes(shapes)
    num_points = np.diff(shapes.first_point)
    is_uturn = np.asarray(
        (graph.head[to_edge] == graph.tail[from_edge])
        & (num_points[from_edge] == num_points[to_edge])
        & (forward[from_edge] == backward[to_edge])
    )
    pairs = np.flatnonzero(is_uturn)
    ahead, offsets = ragged_rows(shapes.first_point, from_edge[pairs])
    back, _ = ragged_rows(shapes.first_point, to_edge[pairs])
    within = np.arange(len(back)) - np.repeat(offsets[:-1], np.diff(offsets))
    mirrored = np.repeat(shapes.first_point[to_edge[pairs] + 1] - 1, np.diff(offsets)) - within
    nodes = np.asarray(shapes.osm_node)
    differs = (nodes[ahead] != nodes[mirrored]).astype(np.int64)
    if len(pairs):
        is_uturn[pairs[np.add.reduceat(differs, offsets[:-1]) > 0]] = False
    return is_uturn


def _list_hashes(shapes: EdgeShapes) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """uint64[E] sums over (node, place in the list), the place counted from the start and from the end."""
    first = shapes.first_point
    counts = np.diff(first)
    place = np.arange(first[-1]) - np.repeat(first[:-1], counts)
    mirrored = np.repeat(counts, counts) - 1 - place
    nodes = np.asarray(shapes.osm_node).astype(np.uint64)

    def sums(places: Ids) -> NDArray[np.uint64]:
        terms = mix64(nodes ^ mix64(places.astype(np.uint64)))
        return np.add.reduceat(terms, first[:-1]) if len(counts) else terms

    return sums(place), sums(mirrored)


def uturns_by_ends(graph: RoadGraph, lengths: Floats32 | None, from_edge: Ints, to_edge: Ints) -> Bools:
    """Without shapes: an edge between the same nodes backwards; of several, those of the same length if any are."""
    is_loop = graph.tail == graph.head
    is_back = np.asarray((graph.head[to_edge] == graph.tail[from_edge]) & ~is_loop[from_edge])
    if lengths is None:
        return is_back
    agrees = is_back & np.isclose(lengths[from_edge], lengths[to_edge], rtol=1e-4)
    has_agreeing = np.bincount(from_edge[agrees], minlength=graph.num_edges) > 0
    return np.where(has_agreeing[from_edge], agrees, is_back)


# -------------------------------------------------------------------------------------------------------- angles


def turn_angles(
    graph: RoadGraph, shapes: EdgeShapes | None, from_edge: Ints, to_edge: Ints, is_uturn: Bools
) -> Floats | None:
    """float64[n] in (-180, 180], negative = left, NaN where an edge has no extent; None without coordinates."""
    bearings = _edge_bearings(graph, shapes)
    if bearings is None:
        return None
    leaving, arriving = bearings
    return np.where(is_uturn, 180.0, wrap_deg(leaving[to_edge] - arriving[from_edge]))


def _edge_bearings(graph: RoadGraph, shapes: EdgeShapes | None) -> tuple[Floats, Floats] | None:
    if shapes is not None:
        return end_bearings_deg(shapes.first_point, degrees(shapes.latitude_e7), degrees(shapes.longitude_e7))
    if graph.latitude_deg is None or graph.longitude_deg is None:
        return None
    ends = [graph.latitude_deg[graph.tail], graph.longitude_deg[graph.tail]]
    ends += [graph.latitude_deg[graph.head], graph.longitude_deg[graph.head]]
    is_flat = (ends[0] == ends[2]) & (ends[1] == ends[3])
    # The bearing at the far end differs from that at the near end by the convergence of the meridians.
    leaving = bearing_deg(*ends)
    arriving = wrap_deg(bearing_deg(ends[2], ends[3], ends[0], ends[1]) + 180.0)
    return np.where(is_flat, np.nan, leaving), np.where(is_flat, np.nan, arriving)
