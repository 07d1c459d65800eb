"""Which ways a mode uses, in which direction and how fast: the tables for everything but cars.

Rules, in the order of the report; each is named by the tag that decides:

=============  ========================================================================================================
highway        missing, or a class that the mode does not use (`WayRules.classes`), or uses only where its own tag opens
               it (`WayRules.opened`) and none does
area           ``yes``: an area is not crossed
access keys    the most specific that says something closes (`trodden.graphs.access`)
service        ``private``, and what else the mode leaves out
other tags     `WayRules.closed_by`: a tag and its values, such as ``motorroad=yes``
unknown class  a value of ``highway`` that is in no table
=============  ========================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from . import attributes
from .access import CLOSED_VALUES, deciding_key, says
from .attributes import BACKWARD_VALUES, FORWARD_VALUES, parse_speed_kmh

Tags = Mapping[str, str]
Direction = tuple[Literal["both", "forward", "backward"], str]

_NEVER = frozenset(
    [
        "abandoned",
        "bus_guideway",
        "construction",
        "no",
        "planned",
        "platform",
        "proposed",
        "raceway",
        "razed",
        "rest_area",
        "services",
    ]
)
"""Classes that are no road to anybody here; counted as ``highway``, not as unknown."""


@dataclass(frozen=True)
class WayRules:
    """What a mode makes of a way's tags."""

    keys: tuple[str, ...]
    """Access keys, from the general to the specific; the last one is the mode's own."""
    classes: Mapping[str, float]
    """Classes used without being asked, with their speed in km/h."""
    opened: Mapping[str, float]
    """Classes used where the mode's own key opens them, with their speed there."""
    closed_by: Mapping[str, frozenset[str]]
    """Tags that close a way which nothing else closes."""
    two_way: bool
    """Both ways unless the mode's own tags say otherwise: ``oneway`` is for vehicles."""
    own_oneway: tuple[str, ...]
    """Keys beside ``oneway`` that speak of this mode, the most specific first."""
    all_speeds_by_rule: bool
    """False: ``maxspeed`` and the means of the classes count, as for cars."""
    caps: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Fastest speed in km/h by tag and value; of several the lowest."""
    pushed: Mapping[str, float] = field(default_factory=dict)
    """Classes on which one walks beside the bicycle unless the mode's own key opens them, with the speed."""
    closes_too: str = ""
    """A key whose ``no`` closes as well, unless the mode's own key opens."""
    service_only_on_request: bool = False
    """``highway=service`` without a passage's tag, as for cars."""

    def skip_reason(self, tags: Tags, include_service: bool = False) -> str | None:
        """The first rule by which a way is not used, or None where it is."""
        road_class = tags.get("highway")
        if road_class is None:
            return "highway"
        is_opened = self._is_opened(tags)
        if road_class not in self.classes and not (is_opened and road_class in self.opened):
            is_known = road_class in self.opened or road_class in _NEVER or road_class in _ALL_CLASSES
            return "highway" if is_known else "unknown class"
        if tags.get("area") == "yes":
            return "area"
        decided = deciding_key(tags, self.keys)
        if decided is not None and not decided[1]:
            return decided[0]
        if self.closes_too and not is_opened and says(tags.get(self.closes_too)) is False:
            return self.closes_too
        if (reason := self._by_service(tags, include_service)) is not None:
            return reason
        for key, values in self.closed_by.items():
            if tags.get(key) in values and not (is_opened and key not in _NEVER_OPENED):
                return key
        return None

    def direction(self, tags: Tags) -> Direction:
        """How a way may be used, and the rule that says so."""
        for key in self.own_oneway:
            value = tags.get(key)
            if value in FORWARD_VALUES:
                return "forward", key
            if value in BACKWARD_VALUES:
                return "backward", key
            if value == "no":
                return "both", key
        own = self.keys[-1]
        for side, left in (("backward", "forward"), ("forward", "backward")):
            if tags.get(f"{own}:{side}") in CLOSED_VALUES:
                return ("forward", f"{own}:{side}") if left == "forward" else ("backward", f"{own}:{side}")
        if tags.get("conveying") in ("forward", "backward"):
            return ("forward", "conveying") if tags["conveying"] == "forward" else ("backward", "conveying")
        if self.two_way or self._is_pushed(tags):
            return "both", "on foot"
        if own == "bicycle" and _has_contraflow(tags):
            return "both", "contraflow"
        return attributes.direction(tags)

    def speed(self, tags: Tags) -> tuple[float, str] | None:
        """Speed in km/h and the rule it comes from; None where ``maxspeed`` or the class's mean shall decide."""
        road_class = tags.get("highway", "")
        if self._is_pushed(tags):
            return self.pushed.get(road_class, _PUSHED_KMH), "pushed"
        is_opened = self._is_opened(tags)
        if not self.all_speeds_by_rule:
            if "maxspeed" in tags or road_class not in self.opened:
                return None
            return self.opened[road_class], "class"
        opened, usual = self.opened.get(road_class), self.classes.get(road_class)
        base = (opened if is_opened else None) or usual or opened or _WALK_KMH
        slowest, rule = base, "class"
        for key, by_value in self.caps.items():
            cap = by_value.get(tags.get(key, ""))
            if cap is not None and cap < slowest:
                slowest, rule = cap, key
        limit = parse_speed_kmh(tags["maxspeed"]) if "maxspeed" in tags and not self.two_way else None
        return (limit, "maxspeed") if limit is not None and limit < slowest else (slowest, rule)

    def _is_opened(self, tags: Tags) -> bool:
        return says(tags.get(self.keys[-1])) is True

    def _is_pushed(self, tags: Tags) -> bool:
        if not self.pushed:
            return False
        own = tags.get(self.keys[-1])
        return own == "dismount" or (tags.get("highway") in self.pushed and says(own) is not True)

    def _by_service(self, tags: Tags, include_service: bool) -> str | None:
        service = tags.get("service", "")
        if not self.service_only_on_request:
            return "service" if "private" in service else None
        if any(word in service for word in ("private", "parking", "emergency_access")):
            return "service"
        # A passage between houses is what a motorcycle takes and a car does not.
        if tags.get("highway") == "service" and not include_service and "alley" not in service:
            return "highway"
        return "service" if "driveway" in service and not include_service else None


_NEVER_OPENED = frozenset({"smoothness"})
"""Tags of `WayRules.closed_by` that a permission does not outweigh: what cannot be ridden cannot be ridden."""


def _has_contraflow(tags: Tags) -> bool:
    """A cycle lane or track against the one-way street."""
    is_backward = tags.get("oneway") in BACKWARD_VALUES
    for key in ("cycleway", "cycleway:left", "cycleway:right", "cycleway:both"):
        value = tags.get(key)
        if value is not None and value.startswith("opposite"):
            return True
        lane = tags.get(f"{key}:oneway") if key != "cycleway" and value not in (None, "no", "none") else None
        if lane == "no" or lane in (FORWARD_VALUES if is_backward else BACKWARD_VALUES):
            return True
    return False


# --------------------------------------------------------------------------------------------------------- tables

_ROADS = [
    "trunk",
    "primary",
    "secondary",
    "tertiary",
    "unclassified",
    "residential",
    "living_street",
    "road",
    "service",
]
_LINKS = ["trunk_link", "primary_link", "secondary_link", "tertiary_link"]
_MOTORWAYS = ("motorway", "motorway_link")
_PATHS = [
    "cycleway",
    "path",
    "track",
    "bridleway",
    "footway",
    "pedestrian",
    "steps",
    "corridor",
    "elevator",
    "escalator",
]
_ALL_CLASSES = frozenset([*_ROADS, *_LINKS, *_MOTORWAYS, *_PATHS, "busway"])

_PUSHED_KMH = 4.0
_WALK_KMH = 5.0

BIKE = WayRules(
    keys=("access", "vehicle", "bicycle"),
    classes={
        **dict.fromkeys([*_ROADS, *_LINKS], 18.0),
        "living_street": 12.0,
        "service": 15.0,
        "cycleway": 20.0,
        "path": 14.0,
        "track": 14.0,
        "bridleway": 8.0,
        "pedestrian": _PUSHED_KMH,
        "footway": _PUSHED_KMH,
        "steps": 2.0,
    },
    opened={"footway": 10.0, "pedestrian": 10.0, "busway": 18.0, "motorway": 20.0, "motorway_link": 18.0, "steps": 3.0},
    closed_by={"motorroad": frozenset({"yes"}), "smoothness": frozenset({"impassable"})},
    two_way=False,
    own_oneway=("oneway:bicycle",),
    all_speeds_by_rule=True,
    caps={
        "surface": {
            **dict.fromkeys(["compacted", "fine_gravel", "paving_stones:lanes", "wood", "metal"], 15.0),
            **dict.fromkeys(["sett", "grass_paver", "unpaved"], 12.0),
            **dict.fromkeys(["gravel", "cobblestone", "ground", "dirt", "earth", "pebblestone"], 10.0),
            **dict.fromkeys(["unhewn_cobblestone", "grass", "woodchips", "rock"], 8.0),
            **dict.fromkeys(["sand", "mud", "snow", "ice"], 5.0),
        },
        "smoothness": {"bad": 12.0, "very_bad": 9.0, "horrible": 6.0, "very_horrible": 4.0},
        "tracktype": {"grade2": 12.0, "grade3": 10.0, "grade4": 8.0, "grade5": 6.0},
    },
    pushed={"footway": _PUSHED_KMH, "pedestrian": _PUSHED_KMH, "steps": 2.0},
)

WALK = WayRules(
    keys=("access", "foot"),
    classes={
        **dict.fromkeys([*_ROADS, *_LINKS, "path", "track", "bridleway", "footway", "pedestrian"], _WALK_KMH),
        "corridor": 4.0,
        "steps": 2.5,
        "escalator": 2.5,
        "elevator": 1.0,
    },
    opened={"cycleway": _WALK_KMH, "busway": _WALK_KMH},
    closed_by={
        "motorroad": frozenset({"yes"}),
        **dict.fromkeys(["sidewalk", "sidewalk:both", "sidewalk:left", "sidewalk:right"], frozenset({"separate"})),
    },
    two_way=True,
    own_oneway=("oneway:foot",),
    all_speeds_by_rule=True,
    caps={
        "sac_scale": {
            "mountain_hiking": 4.0,
            "demanding_mountain_hiking": 3.0,
            "alpine_hiking": 2.0,
            "demanding_alpine_hiking": 1.5,
            "difficult_alpine_hiking": 1.0,
        },
        "surface": {"sand": 4.0, "mud": 3.0},
    },
)

TWO_WHEELER = WayRules(
    keys=("access", "vehicle", "motor_vehicle", "motorcycle"),
    classes={name: attributes.DEFAULT_SPEED_KMH[name] for name in [*_ROADS, *_LINKS, *_MOTORWAYS]},
    opened={
        "path": 15.0,
        "track": 20.0,
        "cycleway": 15.0,
        "bridleway": 15.0,
        "footway": 10.0,
        "pedestrian": 10.0,
        "busway": 40.0,
    },
    closed_by={},
    two_way=False,
    own_oneway=("oneway:motorcycle", "oneway:moped", "oneway:motor_vehicle"),
    all_speeds_by_rule=False,
    closes_too="moped",
    service_only_on_request=True,
)
