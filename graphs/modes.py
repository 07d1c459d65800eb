"""Modes of travel: one record of rules for each, by which an OSM file is read. docs/sources.md shows them as tables.

`drive` is osmnx's ``network_type="drive"`` and the rules of `trodden.graphs.attributes`; the others are in
`trodden.graphs.mode_ways`. A reader asks the record and never for the mode's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ..core.errors import ConfigurationError
from . import attributes
from .mode_ways import BIKE, TWO_WHEELER, WALK, WayRules

if TYPE_CHECKING:
    from .moves import UTurns

Mode = Literal["drive", "two_wheeler", "bike", "walk"]
"""How one travels: by car, by motorcycle or moped, by bicycle, on foot."""

Tags = Mapping[str, str]
Direction = Literal["both", "forward", "backward"]


@dataclass(frozen=True)
class BarrierRules:
    """Which barriers on a node stop a mode; its own access tags on the node come first."""

    keys: tuple[str, ...]
    """Access keys, from the general to the specific."""
    kinds: frozenset[str]
    """Values of ``barrier`` that stop it where no access tag says otherwise."""


@dataclass(frozen=True)
class RestrictionRules:
    """Which turn restrictions bind a mode."""

    value_keys: tuple[str, ...]
    """Keys that hold the kind of restriction, the specific first."""
    names: tuple[str, ...]
    """What ``except`` and ``type=restriction:...`` call it."""
    excepted: str
    """The reason under which relations are counted that except it."""
    others: str = "other vehicles"
    """The reason under which relations are counted that are for others."""


@dataclass(frozen=True)
class ModeRules:
    """Everything that a mode decides when an OSM file is read."""

    mode: Mode
    traveller: str
    """For messages: ``a car``."""
    skip_reason: Callable[[Tags, bool], str | None]
    """(tags, include_service): the first rule by which a way is not used, None where it is."""
    direction: Callable[[Tags], tuple[Direction, str]]
    """How a way may be used, and the rule that says so."""
    speed_kmh: Callable[[Tags], tuple[float, str] | None]
    """Speed by rule and the rule's name; None where ``maxspeed`` or the mean of the class shall decide."""
    all_speeds_by_rule: bool
    restrictions: RestrictionRules | None
    """None: no turn restriction binds it."""
    barriers: BarrierRules | None
    """None: nodes are not looked at."""
    u_turns: UTurns
    """Where it turns back unless the caller says otherwise."""


def check_mode(value: str) -> None:
    """`ConfigurationError` where ``value`` is not a mode."""
    if value not in get_args(Mode):
        raise ConfigurationError(where="mode", problem=f"{value!r} is none of {', '.join(get_args(Mode))}")


def rules_of(mode: Mode) -> ModeRules:
    """The rules of a mode; `ConfigurationError` where there is no such mode."""
    check_mode(mode)
    return _RULES[mode]


def _drive_skip_reason(tags: Tags, include_service: bool) -> str | None:
    return attributes.skip_reason(tags, include_service=include_service)


def _no_speed(tags: Tags) -> None:
    return None


_DRIVE = ModeRules(
    mode="drive",
    traveller="a car",
    skip_reason=_drive_skip_reason,
    direction=attributes.direction,
    speed_kmh=_no_speed,
    all_speeds_by_rule=False,
    restrictions=RestrictionRules(
        value_keys=("restriction:motorcar", "restriction:motor_vehicle", "restriction"),
        names=("motorcar", "motor_vehicle", "vehicle"),
        excepted="except motor cars",
    ),
    barriers=None,
    u_turns="dead_ends",
)

_WALLS = frozenset({"wall", "fence", "hedge", "city_wall", "retaining_wall", "guard_rail", "ditch", "yes"})
"""What stops everybody; ``yes`` is a barrier of which nothing more is known."""
_NARROW = frozenset({"stile", "kissing_gate", "turnstile", "full-height_turnstile", "horse_stile"})
"""What lets people through, and no wheels."""
_NO_MOTORS = frozenset(
    {
        "bollard",
        "block",
        "jersey_barrier",
        "cycle_barrier",
        "motorcycle_barrier",
        "bar",
        "chain",
        "rope",
        "log",
        "planter",
        "debris",
        "bus_trap",
        "sump_buster",
        "wicket_gate",
        "hampshire_gate",
        "step",
        "delineators",
    }
)


def _rules(
    ways: WayRules,
    *,
    mode: Mode,
    traveller: str,
    restrictions: RestrictionRules | None,
    barriers: frozenset[str],
    u_turns: UTurns,
) -> ModeRules:
    return ModeRules(
        mode=mode,
        traveller=traveller,
        skip_reason=ways.skip_reason,
        direction=ways.direction,
        speed_kmh=ways.speed,
        all_speeds_by_rule=ways.all_speeds_by_rule,
        restrictions=restrictions,
        barriers=BarrierRules(ways.keys, barriers),
        u_turns=u_turns,
    )


_RULES: Mapping[Mode, ModeRules] = {
    "drive": _DRIVE,
    "two_wheeler": _rules(
        TWO_WHEELER,
        mode="two_wheeler",
        traveller="a motorcycle",
        restrictions=RestrictionRules(
            value_keys=("restriction:motorcycle", "restriction:motor_vehicle", "restriction"),
            names=("motorcycle", "motor_vehicle", "vehicle"),
            excepted="except motorcycles",
        ),
        barriers=_WALLS | _NARROW | _NO_MOTORS,
        u_turns="dead_ends",
    ),
    "bike": _rules(
        BIKE,
        mode="bike",
        traveller="a bicycle",
        restrictions=RestrictionRules(
            value_keys=("restriction:bicycle", "restriction:vehicle", "restriction"),
            names=("bicycle", "vehicle"),
            excepted="except bicycles",
        ),
        barriers=_WALLS | _NARROW,
        u_turns="dead_ends",
    ),
    "walk": _rules(WALK, mode="walk", traveller="a walker", restrictions=None, barriers=_WALLS, u_turns="everywhere"),
}
