"""Which turns of a route are worth an instruction, and what OSRM calls them.

OSRM's words are kept (``turn``, ``new name``, ``continue``, ``end of road``, ``fork``, ``on ramp``, ``off ramp``,
``merge``, ``depart``, ``arrive``), its thresholds nearly. Roundabouts are not told from other
junctions: networks do not say.
"""

from __future__ import annotations

from dataclasses import dataclass

from .streets import Streets

_STRAIGHT_DEG, _SLIGHT_DEG, _SHARP_DEG = 20.0, 40.0, 120.0
_CLEARLY_DEG = 25.0
"""Where one way on is so much straighter than the other, it is no fork."""
_FAST = frozenset({"motorway", "trunk"})


@dataclass(frozen=True, slots=True)
class Maneuver:
    """What to do at a junction."""

    type: str
    modifier: str


def modifier_of(deviation: float) -> str:
    """OSRM's word for a deviation from straight on, degrees in (-180, 180], positive to the right.

    >>> [modifier_of(angle) for angle in (0, 30, -90, 150)]
    ['straight', 'slight right', 'left', 'sharp right']
    """
    size = abs(deviation)
    if size <= _STRAIGHT_DEG:
        return "straight"
    side = "right" if deviation > 0 else "left"
    if size <= _SLIGHT_DEG:
        return f"slight {side}"
    return side if size < _SHARP_DEG else f"sharp {side}"


def maneuver_at(streets: Streets, edge: int, onto: int) -> Maneuver | None:
    """What to say where a route leaves ``edge`` for ``onto``; None where it only goes on."""
    name, next_name = streets.name(edge), streets.name(onto)
    if streets.is_uturn(edge, onto):
        return Maneuver("continue" if name == next_name else "turn", "uturn")
    deviation = streets.deviation(edge, onto)
    modifier = modifier_of(deviation)
    others = [streets.deviation(edge, other) for other in streets.ways_on(edge) if other != onto]
    ramp = _ramp(streets.road_class(edge), streets.road_class(onto), modifier, has_choice=bool(others))
    if ramp is not None:
        return ramp
    is_new = bool(next_name) and name != next_name
    if not others:
        return Maneuver("new name", modifier) if is_new and name else None
    side = _fork(deviation, others)
    if side is not None and (is_new or abs(deviation) > _STRAIGHT_DEG or not next_name):
        return Maneuver("fork", side)
    if abs(deviation) <= _SLIGHT_DEG and all(abs(other) > abs(deviation) for other in others):
        return Maneuver("new name", modifier) if is_new and name else None
    if min(abs(other) for other in (*others, deviation)) > _SLIGHT_DEG and any(
        other * deviation < 0 for other in others
    ):
        return Maneuver("end of road", modifier)
    return Maneuver("continue" if name and name == next_name else "turn", modifier)


def _ramp(road: str, onto: str, modifier: str, *, has_choice: bool) -> Maneuver | None:
    is_link, onto_link = road.endswith("_link"), onto.endswith("_link")
    if onto_link and not is_link and onto.removesuffix("_link") in _FAST and has_choice:
        return Maneuver("off ramp" if road in _FAST else "on ramp", modifier)
    if is_link and onto in _FAST:
        return Maneuver("merge", modifier)
    return None


def _fork(deviation: float, others: list[float]) -> str | None:
    """The side to keep to, where two ways on are about straight and near to each other."""
    near = [other for other in others if abs(other) <= _SLIGHT_DEG]
    if abs(deviation) > _SLIGHT_DEG or len(near) != 1 or abs(abs(near[0]) - abs(deviation)) > _CLEARLY_DEG:
        return None
    return "slight right" if deviation > near[0] else "slight left"
