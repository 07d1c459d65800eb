"""Turns with angles, U-turns and OSM turn restrictions.

Which restriction relations act: ``type=restriction`` with a ``restriction`` (or, for cars, ``restriction:motorcar``,
``restriction:motor_vehicle``) value below, a single *node* or one or several *ways* as via (`trodden.graphs.via_ways`
says how the latter count), and ways that are driven here. Not used, but counted: conditional and time-limited ones,
those for other vehicles, those that except the mode (`trodden.graphs.modes` says how each is called), and those whose
parts are missing. Walkers are bound by none.

A relation names ways, a turn joins edges. With a via node its pairs are all (edge into via whose last way is ``from``,
edge out of via whose first way is ``to``). Where a way passes through the via node there are several such pairs; then

1. if ``from`` and ``to`` are one way: ``*_u_turn`` means the U-turns among the pairs, any other kind the rest;
2. if not, and the kind says left or right, and some pairs bend that way: only those;
3. all pairs otherwise.

``no_*`` bans its pairs. ``only_*`` bans, out of every ``from`` edge of its pairs, each move that is not one of them,
the U-turn included. Several relations at one edge all apply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..core.types import Bools, Floats32, Ints
from .modes import RestrictionRules, rules_of
from .moves import UTurns, candidate_turns, finish_turns
from .road_graph import EdgeShapes, RoadGraph
from .turns import TurnGraph

NO_KINDS = frozenset(
    {"no_left_turn", "no_right_turn", "no_straight_on", "no_u_turn", "no_entry", "no_exit"},
)
ONLY_KINDS = frozenset({"only_left_turn", "only_right_turn", "only_straight_on", "only_u_turn"})


@dataclass(frozen=True)
class Restriction:
    """One restriction at a via node."""

    relation: int
    kind: str
    via: int
    """OSM node id."""
    from_ways: tuple[int, ...]
    to_ways: tuple[int, ...]


@dataclass(frozen=True)
class WayRestriction:
    """One restriction over one or several via ways."""

    relation: int
    kind: str
    via_ways: tuple[int, ...]
    from_ways: tuple[int, ...]
    to_ways: tuple[int, ...]


Member = tuple[str, int, str]
"""(``"n"``, ``"w"`` or ``"r"``; OSM id; role)."""


@dataclass(eq=False)
class RestrictionReader:
    """Sorts restriction relations into usable ones and counted reasons."""

    rules: RestrictionRules | None = field(default_factory=lambda: rules_of("drive").restrictions)
    """None: whoever travels is bound by no restriction."""
    found: list[Restriction] = field(default_factory=list)
    not_used: Counter[str] = field(default_factory=Counter)
    found_via_ways: list[WayRestriction] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def add(self, relation: int, tags: Mapping[str, str], members: Sequence[Member]) -> None:
        """Take in one relation."""
        if relation in self.seen:
            self.not_used["relation id given twice"] += 1
            return
        self.seen.add(relation)
        value, reason = ("", "not for this mode") if self.rules is None else _value_for(self.rules, tags)
        if reason is not None:
            self.not_used[reason] += 1
            return
        kinds = [kind.strip() for kind in value.split(";")]
        from_ways = tuple(ref for kind, ref, role in members if (kind, role) == ("w", "from"))
        to_ways = tuple(ref for kind, ref, role in members if (kind, role) == ("w", "to"))
        via_nodes = [ref for kind, ref, role in members if (kind, role) == ("n", "via")]
        via_ways = tuple(ref for kind, ref, role in members if (kind, role) == ("w", "via"))
        if any(kind not in NO_KINDS | ONLY_KINDS for kind in kinds):
            self.not_used["unknown kind"] += 1
        elif via_ways and from_ways and to_ways:
            self.found_via_ways += [WayRestriction(relation, kind, via_ways, from_ways, to_ways) for kind in kinds]
        elif len(via_nodes) != 1 or not from_ways or not to_ways:
            self.not_used["incomplete"] += 1
        else:
            self.found += [Restriction(relation, kind, via_nodes[0], from_ways, to_ways) for kind in kinds]

    def restrictions(self) -> tuple[Restriction, ...]:
        """The usable ones, in order of their ids."""
        return tuple(sorted(self.found, key=lambda item: (item.relation, item.kind)))

    def way_restrictions(self) -> tuple[WayRestriction, ...]:
        """The usable ones over ways, in order of their ids."""
        return tuple(sorted(self.found_via_ways, key=lambda item: (item.relation, item.kind)))

    def report(self) -> dict[str, Any]:
        """Counts by reason; JSON."""
        return {
            "relations": len(self.seen) + self.not_used["relation id given twice"],
            "not_used": dict(self.not_used.most_common()),
        }


def _value_for(rules: RestrictionRules, tags: Mapping[str, str]) -> tuple[str, str | None]:
    """The value that binds the mode, or the reason why there is none."""
    value = next((tags[key] for key in rules.value_keys if key in tags), None)
    if value is None:
        if any(key.endswith(":conditional") and key.startswith("restriction") for key in tags):
            return "", "conditional"
        return "", rules.others if any(key.startswith("restriction:") for key in tags) else "incomplete"
    if any(key in tags for key in ("day_on", "day_off", "hour_on", "hour_off")):
        return "", "conditional"
    excepted = {part.strip() for part in tags.get("except", "").split(";")}
    if excepted & set(rules.names):
        return "", rules.excepted
    kind = tags.get("type", "restriction").partition(":")[2]
    if kind and kind not in rules.names:
        return "", rules.others
    return value, None


# ---------------------------------------------------------------------------------------------- onto a graph


def build_turns(
    graph: RoadGraph,
    shapes: EdgeShapes | None,
    restrictions: Sequence[Restriction] = (),
    *,
    u_turns: UTurns = "dead_ends",
    lengths: Floats32 | None = None,
    also_banned: Callable[[TurnGraph], Bools] | None = None,
) -> tuple[TurnGraph, dict[str, Any]]:
    """Every permitted move of a road graph.

    Parameters
    ----------
    u_turns
        ``"dead_ends"``: a U-turn is kept only where no other move is left, restrictions counted, so that a road whose
        every way on is banned is a dead end; ``"everywhere"``; ``"never"``. A ``no_u_turn`` relation always holds.
    lengths
        float32[E] or None; tells, without shapes, which of several edges backwards is the same road.
    also_banned
        Of all moves, bool[T]: what restrictions via ways take away.

    Returns
    -------
    tuple
        The turns, and counts: ``used`` (relations that matched a pair, by kind), ``without_effect`` by reason,
        ``banned_turns``, ``u_turns_left_out``, ``dead_ends`` (edges whose only move is the U-turn), ``no_way_on``.

    Notes
    -----
    O(T) vectorised, and some 20 microseconds per relation.
    """
    moves = candidate_turns(graph, shapes, lengths)
    banned, report = _banned_turns(graph, shapes, moves, restrictions)
    if also_banned is not None:
        banned |= also_banned(moves)
    return finish_turns(moves, banned, u_turns=u_turns, report=report)


def _banned_turns(
    graph: RoadGraph, shapes: EdgeShapes | None, moves: TurnGraph, restrictions: Sequence[Restriction]
) -> tuple[Bools, dict[str, Any]]:
    banned = np.zeros(moves.num_turns, bool)
    used: Counter[str] = Counter()
    idle: Counter[str] = Counter()
    if shapes is None or not restrictions:
        return banned, {"used": {}, "without_effect": {}, "banned_turns": 0}
    ends = _WayEnds(graph, shapes)
    for restriction in restrictions:
        pairs, reason = ends.pairs(restriction, moves)
        if reason is not None:
            idle[reason] += 1
            continue
        used[restriction.kind] += 1
        if restriction.kind in NO_KINDS:
            banned[pairs] = True
        else:
            for edge in np.unique(moves.from_edge[pairs]):
                group = np.arange(moves.first_out[edge], moves.first_out[edge + 1])
                banned[np.setdiff1d(group, pairs)] = True
    report = {"used": dict(used), "without_effect": dict(idle), "banned_turns": int(banned.sum())}
    return banned, report


class _WayEnds:
    """Looks up edges at a node by the way with which they end or begin."""

    def __init__(self, graph: RoadGraph, shapes: EdgeShapes):
        self.graph = graph
        self.by_head = np.argsort(graph.head, kind="stable").astype(np.int32)
        self.first_in = np.searchsorted(graph.head[self.by_head], np.arange(graph.num_nodes + 1))
        self.first_way = np.asarray(shapes.osm_way[shapes.first_way[:-1]])
        self.last_way = np.asarray(shapes.osm_way[shapes.first_way[1:] - 1])

    def pairs(self, restriction: Restriction, moves: TurnGraph) -> tuple[Ints, str | None]:
        """Positions in ``moves`` of the turns that a restriction speaks of, or why there are none."""
        nothing = np.zeros(0, np.int32)
        via = int(self.graph.node_positions(np.array([restriction.via], np.int64))[0])
        if via < 0:
            return nothing, "via node is no junction here"
        into = self.by_head[self.first_in[via] : self.first_in[via + 1]]
        out = np.arange(self.graph.first_out[via], self.graph.first_out[via + 1], dtype=np.int32)
        into = into[np.isin(self.last_way[into], restriction.from_ways)]
        out = out[np.isin(self.first_way[out], restriction.to_ways)]
        if len(into) == 0 or len(out) == 0:
            return nothing, "its ways are not driven or do not meet at via in that direction"
        turns = moves.find(np.repeat(into, len(out)), np.tile(out, len(into)))
        chosen = self._choose(restriction.kind, turns, moves)
        return (chosen, None) if len(chosen) else (nothing, "no such move")

    def _choose(self, kind: str, turns: Ints, moves: TurnGraph) -> Ints:
        same_way = self.last_way[moves.from_edge[turns]] == self.first_way[moves.to_edge[turns]]
        wants_u_turn = kind.endswith("u_turn")
        turns = turns[~same_way | (moves.is_uturn[turns] == wants_u_turn)]
        side = side_of(kind)
        if len(turns) < 2 or side == 0 or moves.angle_deg is None:
            return turns
        bends = turns[np.sign(moves.angle_deg[turns]) == side]
        return bends if len(bends) else turns


def side_of(kind: str) -> Literal[-1, 0, 1]:
    """-1 for a kind that says left, 1 for one that says right, else 0."""
    return -1 if "left" in kind else 1 if "right" in kind else 0
