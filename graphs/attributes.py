"""From OSM tags to attributes: which ways are driven, in which direction, how fast.

The choice of ways equals osmnx's ``network_type="drive"`` (or ``"drive_service"``), whose Overpass filters match by
regular-expression *search*: ``access=private;delivery`` counts as private. Rules, in the order of the report:

=============  ========================================================================================
highway        missing, or holds one of `_NOT_DRIVEN` (``service`` only without ``include_service``)
unknown class  not a key of `DEFAULT_SPEED_KMH`: the one rule that osmnx lacks; it would drive ``highway=trail``
area           holds ``yes``
access         holds ``private``
motor_vehicle  holds ``no``
motorcar       holds ``no``
service        holds alley, driveway, emergency_access, parking, parking_aisle or private
=============  ========================================================================================

Direction: ``oneway`` yes/true/1/F = forward, -1/reverse/T = backward, as osmnx; where there is no ``oneway`` tag,
``junction=roundabout``, ``junction=circular`` and ``highway=motorway`` imply forward (osmnx knows only the first).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from ..core.types import Bools, Floats, Floats32
from .road_graph import Categories

_NOT_DRIVEN = (
    "abandoned|bridleway|bus_guideway|construction|corridor|cycleway|elevator|escalator|footway|no|path|pedestrian|"
    "planned|platform|proposed|raceway|razed|rest_area|services|steps|track"
)
_DRIVE = {
    "highway": re.compile(_NOT_DRIVEN + "|service"),
    "area": re.compile("yes"),
    "access": re.compile("private"),
    "motor_vehicle": re.compile("no"),
    "motorcar": re.compile("no"),
    "service": re.compile("alley|driveway|emergency_access|parking|parking_aisle|private"),
}
_DRIVE_SERVICE = {
    **_DRIVE,
    "highway": re.compile(_NOT_DRIVEN),
    "service": re.compile("emergency_access|parking|parking_aisle|private"),
}

FORWARD_VALUES = frozenset({"yes", "true", "1", "F"})
BACKWARD_VALUES = frozenset({"-1", "reverse", "T"})

KMH_PER_MPH = 1.609344
KMH_PER_KNOT = 1.852
FASTEST_KMH = 300.0
"""A larger tagged speed is not believed (counted as unreadable)."""

DEFAULT_SPEED_KMH: Mapping[str, float] = {
    "motorway": 110.0,
    "motorway_link": 60.0,
    "trunk": 90.0,
    "trunk_link": 50.0,
    "primary": 60.0,
    "primary_link": 45.0,
    "secondary": 55.0,
    "secondary_link": 40.0,
    "tertiary": 45.0,
    "tertiary_link": 35.0,
    "unclassified": 40.0,
    "residential": 30.0,
    "living_street": 10.0,
    "service": 15.0,
    "road": 40.0,
}
"""Speed of a class of which no edge of the extract is tagged, and the classes that are driven at all.

A network folder may have others: `OTHER_SPEED_KMH`.
"""
OTHER_SPEED_KMH = 30.0

_NUMBER = re.compile(r"^(\d+(?:[.,]\d+)?)\s*(km/h|kmh|kph|mph|knots)?$")
_ZONE = re.compile(r"^(?:[A-Za-z-]+:)?zone:?(\d+)$")
_IMPLICIT_BY_COUNTRY: Mapping[str, float] = {
    "AT:rural": 100.0,
    "AT:trunk": 100.0,
    "AT:motorway": 130.0,
    "CH:rural": 80.0,
    "DE:rural": 100.0,
    "DE:motorway": 130.0,
    "FR:rural": 80.0,
    "FR:motorway": 130.0,
    "GB:nsl_single": 60 * KMH_PER_MPH,
    "GB:nsl_dual": 70 * KMH_PER_MPH,
    "GB:motorway": 70 * KMH_PER_MPH,
    "GB:nsl_restricted": 30 * KMH_PER_MPH,
    "IT:motorway": 130.0,
}
_IMPLICIT_ANYWHERE: Mapping[str, float] = {
    "urban": 50.0,
    "rural": 90.0,
    "trunk": 100.0,
    "motorway": 120.0,
    "living_street": 10.0,
    "bicycle_road": 30.0,
    "school": 30.0,
}
_SPELLED: Mapping[str, float] = {"none": 130.0, "walk": 7.0}


def skip_reason(tags: Mapping[str, str], *, include_service: bool = False) -> str | None:
    """The first rule by which a way is not driven, or None where it is; see the table above.

    >>> skip_reason({"highway": "residential", "access": "private"})
    'access'
    """
    road_class = tags.get("highway")
    if road_class is None:
        return "highway"
    for key, pattern in (_DRIVE_SERVICE if include_service else _DRIVE).items():
        value = tags.get(key)
        if value is not None and pattern.search(value):
            return key
    return None if road_class in DEFAULT_SPEED_KMH else "unknown class"


def direction(tags: Mapping[str, str]) -> tuple[Literal["both", "forward", "backward"], str]:
    """How a way may be driven, and the rule that says so (``"oneway tag"``, ``"roundabout"``, ``"motorway"``, ...)."""
    oneway = tags.get("oneway")
    if oneway in FORWARD_VALUES:
        return "forward", "oneway tag"
    if oneway in BACKWARD_VALUES:
        return "backward", "oneway tag"
    if tags.get("junction") == "roundabout":  # even beside oneway=no, as osmnx
        return "forward", "roundabout"
    if oneway is None and tags.get("junction") == "circular":
        return "forward", "circular junction"
    if oneway is None and tags.get("highway") == "motorway":
        return "forward", "motorway"
    return "both", "two-way"


def parse_speed_kmh(text: str) -> float | None:
    """A ``maxspeed`` value in km/h, or None where it says no number; several values are averaged.

    >>> [round(parse_speed_kmh(text), 1) for text in ("50", "30 mph", "50;30", "DE:urban")]
    [50.0, 48.3, 40.0, 50.0]
    >>> parse_speed_kmh("signals") is None
    True
    """
    speeds = [_parse_one_speed(part.strip()) for part in re.split(r"[|;]", text) if part.strip()]
    known = [speed for speed in speeds if speed is not None]
    if not known or len(known) < len(speeds):
        return None
    mean = sum(known) / len(known)
    return mean if 0 < mean <= FASTEST_KMH else None


def _parse_one_speed(text: str) -> float | None:
    if match := _NUMBER.match(text):
        factor = {"mph": KMH_PER_MPH, "knots": KMH_PER_KNOT}.get(match[2] or "", 1.0)
        return float(match[1].replace(",", ".")) * factor
    if match := _ZONE.match(text):
        return float(match[1])
    if text in _SPELLED:
        return _SPELLED[text]
    return _IMPLICIT_BY_COUNTRY.get(text, _IMPLICIT_ANYWHERE.get(text.partition(":")[2]))


def parse_lanes(text: str) -> int:
    """The first whole number of a ``lanes`` value, 0 where there is none between 1 and 99.

    >>> parse_lanes("2"), parse_lanes("3; 2"), parse_lanes("many")
    (2, 3, 0)
    """
    match = re.match(r"^\s*(\d{1,2})(?!\d)", text)
    return int(match[1]) if match else 0


def categories(values: Sequence[str]) -> Categories:
    """A column of names, levels in alphabetical order."""
    levels = sorted(set(values))
    code = {level: number for number, level in enumerate(levels)}
    return Categories(np.fromiter((code[value] for value in values), np.int32, len(values)), tuple(levels))


def compact(column: Categories) -> Categories:
    """The same column without levels that no row holds."""
    used, codes = np.unique(column.codes, return_inverse=True)
    return Categories(codes.astype(np.int32), tuple(column.levels[code] for code in used))


def class_speeds(speed_kmh: Floats, road_class: Categories) -> dict[str, float]:
    """What `impute_speeds` gives to edges of every class, in km/h."""
    codes, levels = road_class.codes, road_class.levels
    is_tagged: Bools = ~np.isnan(speed_kmh)
    counts = np.bincount(codes[is_tagged], minlength=len(levels))
    sums = np.bincount(codes[is_tagged], weights=speed_kmh[is_tagged], minlength=len(levels))
    default = np.array([DEFAULT_SPEED_KMH.get(level, OTHER_SPEED_KMH) for level in levels])
    by_class = np.where(counts > 0, sums / np.maximum(counts, 1), default)
    return dict(zip(levels, by_class.tolist(), strict=True))


def impute_speeds(
    speed_kmh: Floats, road_class: Categories, given: Mapping[str, float] | None = None
) -> tuple[Floats32, dict[str, int]]:
    """Speeds for edges without a tagged one: the mean of the tagged edges of their class, else `DEFAULT_SPEED_KMH`.

    Parameters
    ----------
    speed_kmh
        float64[E], NaN where not tagged.
    given
        Speeds of classes in km/h, in place of those: `class_speeds` of another reading.

    Returns
    -------
    tuple
        float32[E] in km/h, > 0, and the counts ``tagged``, ``class_mean``, ``class_default`` and, where some are,
        ``class_given``. O(E).
    """
    codes, levels = road_class.codes, road_class.levels
    is_tagged: Bools = ~np.isnan(speed_kmh)
    counts = np.bincount(codes[is_tagged], minlength=len(levels))
    known = class_speeds(speed_kmh, road_class) | dict(given or {})
    by_class = np.array([known[level] for level in levels])
    is_given = ~is_tagged & np.array([level in (given or {}) for level in levels], bool)[codes]
    is_mean = ~is_tagged & ~is_given & (counts[codes] > 0)
    filled = np.where(is_tagged, speed_kmh, by_class[codes]).astype(np.float32)
    tally = {
        "tagged": int(is_tagged.sum()),
        "class_mean": int(is_mean.sum()),
        "class_default": int((~is_tagged & ~is_mean & ~is_given).sum()),
    }
    if is_given.any():
        tally["class_given"] = int(is_given.sum())
    return filled, tally
