"""The command ``trodden influence``: which demonstrations made a model what it is."""

from __future__ import annotations

import dataclasses
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from ..core.errors import ConfigurationError
from .console import guarded, progress_bar, say, text_table

if TYPE_CHECKING:
    from ..irl.insight.influence import Influence, InfluenceStudy, Target


class GroupBy(StrEnum):
    """What is left out together."""

    route = "route"
    traveller = "traveller"


@guarded
def influence(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model folder, as `trodden train` writes it")],
    routes: Annotated[Path, typer.Option("--routes", metavar="FILE", help="the routes that it was learned from")],
    group: Annotated[
        GroupBy, typer.Option(metavar="KIND", help="leave out one route, or all of a traveller")
    ] = GroupBy.route,
    on: Annotated[
        str | None,
        typer.Option(metavar="PARAMETER", help="a feature's name, edge:ID or turn:ID,ID; default: every coefficient"),
    ] = None,
    on_route: Annotated[
        str | None, typer.Option("--on-route", metavar="ID", help="on the log-probability of this route")
    ] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="how many to print")] = 10,
    refit: Annotated[bool, typer.Option("--refit", help="also leave those out for real; a training each")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write the figures as JSON")] = None,
) -> None:
    """Say which demonstrations made a model what it is.

    What leaving out a route, or all of a traveller's, would change of a parameter or of a route's log-probability: to
    first order, without training again.
    """
    from ..core.files import write_file
    from ..irl.checkpoints import load_model
    from ..irl.demonstrations import read_demonstrations
    from ..irl.insight.influence import InfluenceStudy

    if on is not None and on_route is not None:
        raise ConfigurationError(where="influence", problem="give --on or --on-route, not both")
    learned = load_model(model)
    demonstrations = read_demonstrations(routes, learned.network)
    with progress_bar("curvature", None):
        study = InfluenceStudy(learned, demonstrations)
    is_every = on is None and on_route is None
    if is_every and not learned.config.reward.is_plain:
        known = ", ".join(study.parameter_names())
        raise ConfigurationError(
            where="influence", problem=f"say on what, with --on-route ID or --on PARAMETER; this model has {known}"
        )
    if on_route is not None:
        used = study.routes
        target = study.on_route(used.take(np.array([used.row_of(on_route)])))
        found = [_influence(study, target, group, top if refit else 0)]
    else:
        names = [on] if on is not None else [one.name for one in learned.coefficients if one.standard_error is not None]
        found = [_influence(study, study.on_parameter(name), group, top if refit else 0) for name in names]
    if json_file is not None:
        document = [one.to_json() for one in found] if is_every else found[0].to_json()
        write_file(json_file, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
    say(_summary(found, group) if is_every else found[0].table(top))
    if on_route is not None and not learned.config.reward.is_plain and not refit:
        say("influence of a route on itself is larger as a rule: see --refit")


def _influence(study: InfluenceStudy, target: Target, group: GroupBy, num_refits: int) -> Influence:
    """With a bar: products with the Hessian while it is solved, then refits."""
    with progress_bar(f"solving for {target.name}", None) as update:
        found = study.influence(
            target,
            group=group.value,
            progress=lambda count, damping: update(0, f"{count} products with the Hessian, damping {damping:g}"),
        )
    if not num_refits:
        return found
    wanted = [found.groups[at] for at in found.order()[:num_refits].tolist()]
    with progress_bar("refitting", len(wanted)) as update:
        real = study.refit([target], group=group.value, only=wanted, progress=lambda count: update(count, ""))
    return dataclasses.replace(found, refitted={name: float(change[0]) for name, change in real.items()})


def _summary(found: list[Influence], group: GroupBy) -> str:
    """A line per coefficient: who moves it most."""
    from ..irl.insight.tables import shortened

    if not found:
        return "no coefficient of this model is determined by its routes: see `trodden summary`"
    has_refits = bool(found[0].refitted)
    titles = ["coefficient", "value", "std.err.", group.value, "change", "refitted" if has_refits else "in std.err."]
    rows = []
    for one in found:
        at = int(one.order()[0])
        name, error, change = one.groups[at], one.standard_error, float(one.change[at])
        relative = "-" if error is None else f"{change / error:+.2f}"
        rows.append(
            [
                shortened(one.target, 20),
                f"{one.value:.4f}",
                "-" if error is None else f"{error:.4f}",
                shortened(name, 15),
                f"{change:+.5f}",
                f"{one.refitted[name]:+.5f}" if has_refits else relative,
            ]
        )
    word = "simulated routes" if found[0].is_simulated else "routes"
    lines = [
        f"the {group.value} whose absence changes a coefficient most",
        text_table(titles, rows),
        f"of {len(found[0].groups):,}, with {int(found[0].num_routes.sum()):,} {word}; estimates to first order",
    ]
    return "\n".join([*lines, *(warning for one in found[:1] for warning in one.warnings())])
