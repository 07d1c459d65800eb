"""Ways as they are read, before any graph is made of them: the records, and the collector that fills them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.types import Bools, Floats, Ids, Ints
from .attributes import categories, parse_lanes, parse_speed_kmh
from .modes import ModeRules, rules_of
from .node_tags import NodeTags
from .restrictions import Restriction, WayRestriction
from .road_graph import Categories
from .way_tags import WayTagCollector, WayTags

_TEXT_KEYS = ("highway", "surface", "access", "name")
_FLAGS = (("toll", 1), ("bridge", 2), ("tunnel", 4))
_NO = frozenset({"no", "false", "0", ""})


@dataclass(frozen=True, eq=False)
class WayTable:
    """The driven ways of an extract, one row per way, as tagged."""

    way_id: Ids
    """int64[W], unique, in the file's order."""
    first_ref: Ids
    """int64[W+1]: the nodes of way w are ``ref[first_ref[w] : first_ref[w+1]]``."""
    ref: Ids
    """int64[R], OSM node ids."""
    is_forward: Bools
    is_backward: Bools
    """bool[W]: may be driven along, against the order of its nodes."""
    speed_kmh: Floats
    """float64[W], NaN = not tagged."""
    lanes: Ints
    """int32[W], as tagged for the whole road (both directions), 0 = not tagged."""
    is_toll: Bools
    is_bridge: Bools
    is_tunnel: Bools
    road_class: Categories
    surface: Categories
    access: Categories
    name: Categories
    tags: WayTags | None = None
    """What changes no edge; None where the source has no tags."""


@dataclass(frozen=True, eq=False)
class OsmRoads:
    """What is read from an OSM file before any graph is made of it."""

    ways: WayTable
    node_id: Ids
    """int64[K], ascending: the nodes of the ways whose position the file holds."""
    latitude_e7: Ints
    longitude_e7: Ints
    restrictions: tuple[Restriction, ...]
    report: dict[str, Any]
    way_restrictions: tuple[WayRestriction, ...] = ()
    blocked: Ids = field(default_factory=lambda: np.zeros(0, np.int64))
    """int64, ascending: nodes with a barrier that nobody of this mode passes."""
    node_tags: NodeTags | None = None
    """Per row of ``node_id``; None where the source has no tags."""


@dataclass(eq=False)
class WayCollector:
    """Gathers ways into flat arrays while the file streams by."""

    include_service: bool
    rules: ModeRules = field(default_factory=lambda: rules_of("drive"))
    way_id: array[int] = field(default_factory=lambda: array("q"))
    first_ref: array[int] = field(default_factory=lambda: array("q", [0]))
    ref: array[int] = field(default_factory=lambda: array("q"))
    directions: array[int] = field(default_factory=lambda: array("b"))  # bit 0 forward, bit 1 backward
    flags: array[int] = field(default_factory=lambda: array("b"))  # bit 0 toll, 1 bridge, 2 tunnel
    speed_kmh: array[float] = field(default_factory=lambda: array("d"))
    lanes: array[int] = field(default_factory=lambda: array("i"))
    texts: dict[str, list[str]] = field(default_factory=lambda: {key: [] for key in _TEXT_KEYS})
    seen: set[int] = field(default_factory=set)
    skipped: Counter[str] = field(default_factory=Counter)
    direction_by: Counter[str] = field(default_factory=Counter)
    speed_by: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    further: WayTagCollector = field(init=False)

    def __post_init__(self) -> None:
        self.further = WayTagCollector(self.unreadable)

    def add(self, way: Any) -> None:
        """Take in an osmium way, or count why not."""
        tags = way.tags
        reason = self.rules.skip_reason(_Tags(tags), self.include_service)
        if reason is None and len(way.nodes) < 2:
            reason = "fewer than two nodes"
        if reason is None and way.id == 0:  # what osmium makes of an id that is not there
            reason = "no id"
        if reason is None and way.id in self.seen:
            reason = "way id given twice"
        if reason is not None:
            self.skipped[reason] += 1
            return
        self.seen.add(way.id)
        self.way_id.append(way.id)
        self.ref.extend([node.ref for node in way.nodes])
        self.first_ref.append(len(self.ref))
        self._add_tags({tag.k: tag.v for tag in tags})

    def _add_tags(self, tags: dict[str, str]) -> None:
        way_direction, rule = self.rules.direction(tags)
        self.direction_by[rule] += 1
        self.directions.append({"forward": 1, "backward": 2, "both": 3}[way_direction])
        self.flags.append(sum(bit for key, bit in _FLAGS if tags.get(key, "no") not in _NO))
        self.speed_kmh.append(self._speed(tags))
        self.lanes.append(int(self._parse("lanes", tags, parse_lanes) or 0))
        for key, column in self.texts.items():
            column.append(tags.get(key, ""))
        self.further.add(tags)

    def _speed(self, tags: dict[str, str]) -> float:
        by_rule = self.rules.speed_kmh(tags)
        if by_rule is not None:
            self.speed_by[by_rule[1]] += 1
            return by_rule[0]
        tagged = self._parse("maxspeed", tags, parse_speed_kmh)
        return float("nan") if tagged is None else tagged

    def _parse(self, key: str, tags: dict[str, str], parse: Any) -> float | None:
        if key not in tags:
            return None
        value: float | None = parse(tags[key])
        if not value:
            self.unreadable[key] += 1
        return value

    def table(self) -> WayTable:
        """What was gathered, as arrays."""
        directions, flags = (np.array(column, np.int8) for column in (self.directions, self.flags))
        return WayTable(
            way_id=np.array(self.way_id, np.int64),
            first_ref=np.array(self.first_ref, np.int64),
            ref=np.array(self.ref, np.int64),
            is_forward=(directions & 1) > 0,
            is_backward=(directions & 2) > 0,
            speed_kmh=np.array(self.speed_kmh, np.float64),
            lanes=np.array(self.lanes, np.int32),
            is_toll=(flags & 1) > 0,
            is_bridge=(flags & 2) > 0,
            is_tunnel=(flags & 4) > 0,
            road_class=categories(self.texts["highway"]),
            surface=categories(self.texts["surface"]),
            access=categories(self.texts["access"]),
            name=categories(self.texts["name"]),
            tags=self.further.table(),
        )

    def report(self) -> dict[str, Any]:
        """Counts by rule; JSON."""
        ways: dict[str, Any] = {
            "with_highway_tag": len(self.way_id) + sum(self.skipped.values()),
            "kept": len(self.way_id),
            "skipped": dict(self.skipped.most_common()),
            "direction_by": dict(self.direction_by.most_common()),
            "unreadable_values": dict(self.unreadable),
        }
        if self.speed_by:
            ways["speed_by"] = dict(self.speed_by.most_common())
        return {"ways": ways}


class _Tags(Mapping[str, str]):
    """An osmium tag list as a mapping, without copying the tags of ways that are skipped anyway."""

    __slots__ = ("_tags",)

    def __init__(self, tags: Any) -> None:
        self._tags = tags

    def __contains__(self, key: object) -> bool:
        return key in self._tags

    def __getitem__(self, key: str) -> str:
        return str(self._tags[key])

    def get(self, key: str, default: Any = None) -> Any:
        return self._tags.get(key, default)

    def __iter__(self) -> Iterator[str]:
        return (tag.k for tag in self._tags)

    def __len__(self) -> int:
        return len(self._tags)
