"""The sections of a report on what the map says of its roads, and on rewards by context."""

from __future__ import annotations

from ...graphs.coverage import coverage
from ..model import LearnedModel
from .page import Block, Section, Text, make_table
from .wording import NOTHING, number, percent


def columns_of_map(model: LearnedModel) -> Section:
    """How much of the network each column says something of."""
    found = coverage(model.network)
    rows = [[name, percent(edges), percent(length)] for name, (edges, length) in found.items()]
    table = make_table(
        "What is said of how many road segments, and of how much of their length",
        ("column", "of the segments", "of the length"),
        rows,
        note="Names that are given, and numbers and flags that are not 0. A coefficient on a column that says little "
        "rests on little.",
    )
    return Section("columns", "What the map says", (table,))


def contexts(model: LearnedModel) -> Section | None:
    """The coefficients of every context beside those of one reward for all; None where there are no contexts."""
    if not model.contexts:
        return None
    told = model.summary["context"]
    titles = ("feature", "one reward for all", *(f"{one.name} ({one.num_routes:,} routes)" for one in model.contexts))
    rows = []
    for at, shared in enumerate(model.coefficients):
        own = [one.coefficients[at] for one in model.contexts]
        errors = [NOTHING if one.standard_error is None else number(one.standard_error) for one in own]
        cells = [f"{number(one.value)} (± {error})" for one, error in zip(own, errors, strict=True)]
        rows.append([shared.name, number(shared.value), *cells])
    penalty = told["penalty"] if isinstance(told["penalty"], str) else f"{told['penalty']:g}"
    blocks: list[Block] = [
        Text(
            "Trips are priced by the reward of their time of departure or group. Contexts are drawn to what they have "
            f"in common by a penalty of {penalty}. Maps and trips on this page are of the one reward for all."
        ),
        make_table("Coefficients by context, with standard errors", titles, rows),
    ]
    return Section("contexts", "By time of departure and group", tuple(blocks))
