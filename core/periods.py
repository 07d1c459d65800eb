"""Periods of the day or of the week, as a configuration writes them, and times of departure as route files do.

A period is a list of spans: ``"07:00-10:00,16:00-19:00"``. A span holds from its first minute up to its last, which
does not belong to it; ``22:00-06:00`` runs over midnight. Days may stand before a span, and hold for those that follow
up to the next days: ``"Mon-Fri 07:00-10:00,16:00-19:00,Sat 10:00-12:00"``. ``"rest"`` is every minute of no other
period.

A departure is a time of the clock on the wall: ISO 8601 with or without a date, ``2024-05-03T08:15`` or ``08:15``. One
with an offset (``Z``, ``+01:00``) is moved to the time zone of the configuration, and refused where that names none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigurationError

REST = "rest"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_SPAN = re.compile(r"(?:([A-Za-z]{3}(?:-[A-Za-z]{3})?)\s+)?(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_NONE = -1


@dataclass(frozen=True, eq=False)
class Periods:
    """Names of periods, and which one every minute of the week lies in."""

    names: tuple[str, ...]
    of_minute: NDArray[np.int16]
    """int16[7, 1440], a position in ``names`` or -1."""
    needs_day: bool
    """Whether the days differ, so that a time without a date does not say enough."""

    def at(self, day: int | None, minute: int) -> str | None:
        """The period of a minute of a day (0 = Monday; None = any, where days do not differ), None for no period."""
        found = int(self.of_minute[day or 0, minute])
        return None if found == _NONE else self.names[found]


def parse_periods(spans: Mapping[str, str]) -> Periods:
    """Periods from their texts by name.

    Raises
    ------
    ValueError
        A span that is none, a minute in two periods, more than one rest, or a period without a minute; names it.

    Examples
    --------
    >>> periods = parse_periods({"peak": "07:00-10:00,16:00-19:00", "off": "rest"})
    >>> periods.at(None, 8 * 60), periods.at(2, 10 * 60)
    ('peak', 'off')
    """
    names = tuple(spans)
    table = np.full((7, _DAY_MINUTES), _NONE, np.int16)
    rest = [name for name, text in spans.items() if text.strip().lower() == REST]
    if len(rest) > 1:
        raise ValueError(f"periods {', '.join(rest)} are both the rest; one can be")
    for number, name in enumerate(names):
        for day, begin, end in [] if name in rest else _spans(name, spans[name]):
            row = table[day, begin:end]
            if ((row != _NONE) & (row != number)).any():
                other = names[int(row[(row != _NONE) & (row != number)][0])]
                raise ValueError(f"period {name!r} and period {other!r} share some minutes")
            row[:] = number
    if rest:
        table[table == _NONE] = names.index(rest[0])
    for number, name in enumerate(names):
        if not (table == number).any():
            raise ValueError(f"period {name!r} has no minute")
    return Periods(names, table, bool((table != table[0]).any()))


def _spans(name: str, text: str) -> list[tuple[int, int, int]]:
    """(day, first minute, minute after the last), one per day and span; two where it runs over midnight."""
    found, days = [], list(range(7))
    for part in text.split(","):
        match = _SPAN.fullmatch(part.strip())
        if match is None:
            raise ValueError(
                f"period {name!r}: {part.strip()!r} is no span such as '07:00-10:00' or 'Mon-Fri 07:00-10:00'"
            )
        if match[1]:
            days = _days(name, match[1])
        begin, end = (int(match[at]) * 60 + int(match[at + 1]) for at in (2, 4))
        if int(match[3]) > 59 or int(match[5]) > 59 or begin >= _DAY_MINUTES or end > _DAY_MINUTES or begin == end:
            raise ValueError(f"period {name!r}: {part.strip()!r} is no span within a day")
        for day in days:
            if begin < end:
                found.append((day, begin, end))
            else:
                found += [(day, begin, _DAY_MINUTES), ((day + 1) % 7, 0, end)]
    return found


def _days(name: str, text: str) -> list[int]:
    ends = [part.lower() for part in text.split("-")]
    if not set(ends) <= set(_DAYS):
        raise ValueError(f"period {name!r}: {text!r} is no day such as 'Mon' or 'Mon-Fri'")
    first, last = _DAYS.index(ends[0]), _DAYS.index(ends[-1])
    return [(first + step) % 7 for step in range((last - first) % 7 + 1)]


def check_time_zone(name: str) -> None:
    """`ValueError` where there is no time zone of that name; the empty name is none, and allowed."""
    try:
        if name:
            ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found is a KeyError
        hint = "where a system knows none at all, install the package tzdata"
        raise ValueError(f"time_zone = {name!r} is no time zone such as 'Europe/Lisbon' ({hint})") from None


def parse_departure(departure: str | datetime | time, time_zone: str = "") -> tuple[int | None, int]:
    """(day of the week, 0 = Monday, or None without a date; minute of the day) on the wall clock of the time zone.

    Raises
    ------
    ConfigurationError
        What is no time, or has an offset where no time zone is given to move it to.
    """
    moment = departure
    if isinstance(departure, str):
        moment = _parsed(departure.strip())
    offset = moment.utcoffset() if isinstance(moment, (datetime, time)) else None
    if offset is not None:
        if not time_zone:
            raise ConfigurationError(
                where="[context] time_zone",
                problem=f"departure {str(departure)!r} has an offset, and no time zone is given to move it to; name "
                "the one of the map, such as 'Europe/Lisbon'",
            )
        if isinstance(moment, datetime):
            moment = moment.astimezone(ZoneInfo(time_zone))
        else:
            raise ConfigurationError(
                where="departure", problem=f"{str(departure)!r} has an offset and no date, so it is no moment"
            )
    if isinstance(moment, datetime):
        return moment.weekday(), moment.hour * 60 + moment.minute
    assert isinstance(moment, time)  # `_parsed` raised otherwise
    return None, moment.hour * 60 + moment.minute


def _parsed(text: str) -> datetime | time:
    is_date = re.match(r"\d{4}-?\d{2}-?\d{2}[T ]\d", text) is not None
    try:
        if is_date:
            return datetime.fromisoformat(text)
        if ":" in text:
            hour, _, rest = text.partition(":")
            return time.fromisoformat(f"{int(hour):02d}:{rest}")
    except ValueError:
        pass
    raise ConfigurationError(
        where="departure", problem=f"{text!r} is no time such as '08:30' or '2024-05-03T08:30' (ISO 8601)"
    )
