"""Barriers on nodes: who is stopped by which, and the moves that this takes away.

A barrier of OpenStreetMap is a node of the way that it stands on. Where it stops a mode, edges end there and the only
move left is the U-turn: one may go up to it from both sides, and not through. Cars are not stopped by any
(`trodden.graphs.modes`): osmnx's networks, which `drive` equals, know no barriers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.types import Bools, Ids
from .access import deciding_key
from .modes import BarrierRules
from .road_graph import RoadGraph
from .turns import TurnGraph


@dataclass(eq=False)
class BarrierReader:
    """Sorts nodes with a ``barrier`` tag into those that stop a mode and those that do not."""

    rules: BarrierRules
    kind_of: dict[int, str] = field(default_factory=dict)
    """What stands on the nodes that stop it; the first of a node id given twice."""
    seen: set[int] = field(default_factory=set)
    passed: Counter[str] = field(default_factory=Counter)

    def add(self, node: int, tags: Mapping[str, str]) -> None:
        """Take in one node."""
        if node in self.seen:
            return
        self.seen.add(node)
        kind = tags["barrier"]
        decided = deciding_key(tags, self.rules.keys)
        is_locked = tags.get("locked") == "yes" and (decided is None or decided[0] != self.rules.keys[-1])
        stops = is_locked or (kind in self.rules.kinds if decided is None else not decided[1])
        if stops:
            self.kind_of[node] = kind
        else:
            self.passed[kind] += 1

    def blocked(self, used: Ids) -> Ids:
        """int64, ascending: those of the ``used`` nodes (ascending) that stop the mode."""
        found = np.array(sorted(self.kind_of), np.int64)
        return found[np.isin(found, used)]

    def report(self, used: Ids) -> dict[str, Any]:
        """Counts of those on used ways, by kind; JSON."""
        kinds = Counter(self.kind_of[node] for node in self.blocked(used).tolist())
        return {"stopping": dict(kinds.most_common()), "in_file": len(self.seen), "passed": sum(self.passed.values())}


def moves_through(graph: RoadGraph, blocked: Ids) -> Callable[[TurnGraph], Bools]:
    """Of all moves of a graph, bool[T]: those that pass a blocked node, which is all but the U-turns there."""
    is_blocked = np.isin(graph.node_id, blocked)

    def ban(moves: TurnGraph) -> Bools:
        return np.asarray(is_blocked[graph.head[moves.from_edge]] & ~moves.is_uturn)

    return ban
