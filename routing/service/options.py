"""The options of a query string, as OSRM writes them: read and checked one by one, refused by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NoReturn, TypeVar
from urllib.parse import unquote

from ...core.errors import ServiceRequestError

_T = TypeVar("_T")


def read_options(query: str, known: Collection[str]) -> dict[str, str]:
    """By name; an option that is not among the known ones, or stands twice, is refused."""
    options: dict[str, str] = {}
    if not query:
        return options
    for part in query.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        if "%" in part or "+" in part:
            name, value = unquote(name), unquote(value)
        if name not in known:
            raise ServiceRequestError(
                code="InvalidQuery", problem=f"there is no option {short(name)}; there are: {', '.join(sorted(known))}"
            )
        if name in options:
            refuse(name, "stands twice")
        options[name] = value
    return options


def refuse(name: str, problem: str) -> NoReturn:
    """Raise what says so: `InvalidOptions` where something is not supported, else `InvalidValue`."""
    raise ServiceRequestError(
        code="InvalidOptions" if "support" in problem else "InvalidValue", problem=f"{name} {problem}"
    )


def short(text: str) -> str:
    """A text of a request as errors quote it."""
    shown = text if len(text) <= 60 else text[:57] + "..."
    return repr(shown)


def choice(options: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """The first choice is the default."""
    value = options.get(name, choices[0])
    if value not in choices:
        refuse(name, f"{short(value)} is none of {', '.join(choices)}")
    return value


def flag(options: Mapping[str, str], name: str, *, default: str = "false") -> bool:
    """``true`` or ``false``."""
    value = options.get(name, default)
    if value not in {"true", "false"}:
        refuse(name, f"{short(value)} is neither true nor false")
    return value == "true"


def among(name: str, text: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    """Words separated by commas, each once."""
    chosen = tuple(dict.fromkeys(filter(None, text.split(","))))
    for one in chosen:
        if one not in choices:
            refuse(name, f"{short(one)} is none of {', '.join(choices)}")
    return chosen


def integer(name: str, text: str) -> int:
    """A whole number."""
    return parsed(name, text, int, "an integer")


def number(name: str, text: str) -> float:
    """A number; NaN and infinity too."""
    return parsed(name, text, float, "a number")


def each(name: str, text: str, separator: str, kind: Callable[[str], _T], what: str) -> list[_T]:
    """Values separated by ``separator``; none where the text is empty."""
    return [parsed(name, part, kind, what) for part in text.split(separator)] if text else []


def parsed(name: str, text: str, kind: Callable[[str], _T], what: str) -> _T:
    """One value of at most 24 characters."""
    try:
        if len(text) > 24 or not text.isascii():
            raise ValueError
        return kind(text)
    except ValueError:
        refuse(name, f"{short(text)} is not {what}")


def positions(name: str, text: str, count: int) -> tuple[int, ...]:
    """Indices of coordinates separated by semicolons, all of them for ``all``."""
    if text in {"all", ""}:
        return tuple(range(count))
    found = tuple(each(name, text, ";", int, "an index"))
    for one in found:
        if not 0 <= one < count:
            refuse(name, f"{one} is no index of the {count} coordinates, which count from 0")
    if len(set(found)) != len(found):
        refuse(name, "names a coordinate twice")
    return found
