"""Contexts: which period and group a trip belongs to, and the reward of each. Imports no JAX.

A context is to a trip what a region is to a turn: the whole trip is priced by its reward. With periods and groups both,
there is one for every pair that routes were seen in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, time
from typing import TYPE_CHECKING

import numpy as np

from ..core.config import ContextConfig
from ..core.errors import ConfigurationError, UnknownIdError
from ..core.periods import Periods, parse_departure, parse_periods
from ..core.types import Ids, Ints
from .model import LearnedModel, context_name

if TYPE_CHECKING:
    from .demonstrations import Demonstrations

RESERVED = frozenset({"learned", "shared", "shortest", "fastest", "fastest_penalised", "plain"})
"""Names of metrics that are no contexts."""


def contexts_of(model: LearnedModel) -> Contexts:
    """The contexts of a model; `ConfigurationError` where it has none."""
    if not model.contexts:
        problem = "the model has one reward for all trips; train one with [context] to tell them apart"
        raise ConfigurationError(where="context", problem=problem)
    return Contexts(model.config.context, [(one.period, one.group) for one in model.contexts])


def by_context(model: LearnedModel, routes: Demonstrations) -> Iterator[tuple[LearnedModel, Ids]]:
    """(model of a context, which routes are in it), for each that some are in; the whole model without contexts.

    Raises
    ------
    ConfigurationError
        A route that says no time or no group.
    UnknownIdError
        A route in a context that nothing was learned of; lists those that are known.
    """
    if not model.contexts:
        yield model, np.arange(len(routes))
        return
    contexts = contexts_of(model)
    number = contexts.number_of_routes(routes)
    for at, name in enumerate(contexts.names):
        rows = np.flatnonzero(number == at)
        if len(rows):
            yield model.in_context(name), rows


class Contexts:
    """The contexts of a configuration, once the groups are known.

    Parameters
    ----------
    pairs
        (period, group) of each, in the order of their numbers.
    """

    def __init__(self, config: ContextConfig, pairs: Sequence[tuple[str, str]]) -> None:
        self.config, self.pairs = config, tuple(pairs)
        self._periods = parse_periods(config.periods) if config.periods else None
        self._number = {pair: number for number, pair in enumerate(self.pairs)}

    @property
    def names(self) -> tuple[str, ...]:
        """One per context."""
        return tuple(context_name(*pair) for pair in self.pairs)

    @classmethod
    def of_routes(cls, config: ContextConfig, routes: Demonstrations) -> Contexts:
        """The contexts that routes were seen in: periods in the configuration's order, groups in alphabetical order.

        Raises
        ------
        ConfigurationError
            A route that says no time or no group, or one in no period; a period without a route; a name that a metric
            has.
        """
        periods = parse_periods(config.periods) if config.periods else None
        found = set(zip(*_of_routes(config, periods, routes), strict=True))
        order = {name: at for at, name in enumerate(config.periods)}
        pairs = sorted(found, key=lambda pair: (order.get(pair[0], 0), pair[1]))
        absent = [name for name in config.periods if name not in {period for period, _ in pairs}]
        if absent:
            raise ConfigurationError(
                where="[context] periods",
                problem=f"no route of {routes.source} departs in {', '.join(absent)}; leave such a period out",
            )
        result = cls(config, pairs)
        taken = sorted(RESERVED & set(result.names))
        if taken or len(set(result.names)) < len(pairs):
            what = f"{taken[0]!r} is the name of another metric" if taken else "two contexts have one name"
            raise ConfigurationError(where="[context]", problem=f"{what}; rename the period or the group")
        return result

    def number_of_routes(self, routes: Demonstrations) -> Ints:
        """int32[R]: the context of each route.

        Raises
        ------
        ConfigurationError
            A route that says no time or no group, or one in no period.
        UnknownIdError
            A route of a context that is not known here; lists those that are.
        """
        pairs = zip(*_of_routes(self.config, self._periods, routes), strict=True)
        return np.array(
            [self._known(pair, f"route {routes.route_id[row]}") for row, pair in enumerate(pairs)], np.int32
        )

    def number(self, departure: str | datetime | time | None = None, group: str | None = None) -> int:
        """The context of a trip.

        Raises
        ------
        ConfigurationError
            No departure where there are periods, a departure where there are none, or one in no period; groups alike.
        UnknownIdError
            A context that no route was seen in; lists those that are known.
        """
        if (departure is None) != (self._periods is None):
            raise ConfigurationError(where="departure", problem=self._asked("departure", departure is None))
        if (group is None) != (not self.config.group):
            raise ConfigurationError(where="group", problem=self._asked("group", group is None))
        period = ""
        if self._periods is not None and departure is not None:
            period = _period(self._periods, departure, self.config.time_zone, "the trip")
        return self._known((period, group or ""), "the trip")

    def _asked(self, what: str, is_missing: bool) -> str:
        known = ", ".join(self.names)
        if is_missing:
            return f"the model has contexts ({known}), and the trip says no {what}; give one, or a metric by its name"
        return f"the model's contexts ({known}) do not depend on a {what}; leave it out"

    def _known(self, pair: tuple[str, str], who: str) -> int:
        number = self._number.get(pair)
        if number is None:
            remedy = f"{who} is in it; known are: {', '.join(self.names)}"
            raise UnknownIdError(kind="context", identifier=context_name(*pair), remedy=remedy)
        return number


def _of_routes(config: ContextConfig, periods: Periods | None, routes: Demonstrations) -> tuple[list[str], list[str]]:
    """(period, group) of each route, empty texts where there are none."""
    period, group = [""] * len(routes), [""] * len(routes)
    if periods is not None:
        _require_given(routes, routes.departure, "departure", "[context] periods")
        period = [
            _period(periods, text, config.time_zone, f"route {name}")
            for text, name in zip(routes.departure, routes.route_id, strict=True)
        ]
    if config.group:
        column = [None] * len(routes) if routes.group is None else routes.group
        _require_given(routes, column, f"group (column {config.group!r})", "[context] group")
        group = [str(text) for text in column]
    return period, group


def _require_given(routes: Demonstrations, column: Sequence[str | None], what: str, where: str) -> None:
    missing = [row for row, text in enumerate(column) if text is None]
    if missing:
        first = routes.route_id[missing[0]]
        raise ConfigurationError(
            where=where,
            problem=f"{len(missing)} of {len(routes)} routes of {routes.source} say no {what}, the first of them "
            f"{first}; give theirs, or leave these routes out",
        )


def _period(periods: Periods, departure: str | datetime | time, time_zone: str, who: str) -> str:
    try:
        day, minute = parse_departure(departure, time_zone)
    except ConfigurationError as error:
        raise ConfigurationError(where=error.where, problem=f"{who}: {error.problem}") from error
    if day is None and periods.needs_day:
        raise ConfigurationError(
            where="departure", problem=f"{who}: {str(departure)!r} names no date, and the periods differ by day"
        )
    found = periods.at(day, minute)
    if found is None:
        raise ConfigurationError(
            where="[context] periods",
            problem=f"{who}: {str(departure)!r} lies in none of {', '.join(periods.names)}; a period that is 'rest' "
            "takes what is left",
        )
    return found
