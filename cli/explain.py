"""The command ``trodden explain``: what the cost of a trip's routes is made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import ConfigurationError
from .console import guarded, progress_bar, say

if TYPE_CHECKING:
    from ..core.types import Ints
    from ..irl.model import LearnedModel

_WAYS_TO_SAY = "lat,lon or edge:ID or osm:NODE"


@guarded
def explain(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model folder, as `trodden train` writes it")],
    origin: Annotated[str | None, typer.Argument(metavar="ORIGIN", help=_WAYS_TO_SAY, parser=str.strip)] = None,
    destination: Annotated[
        str | None, typer.Argument(metavar="DESTINATION", help=_WAYS_TO_SAY, parser=str.strip)
    ] = None,
    routes: Annotated[
        Path | None, typer.Option("--routes", metavar="FILE", help="routes, one of which is explained")
    ] = None,
    route_id: Annotated[
        str | None, typer.Option("--route-id", metavar="ID", help="which one", parser=str.strip)
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write the figures as JSON")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="PNG", help="draw the routes, and the differences in cost")
    ] = None,
) -> None:
    """Say why a route: cost by feature, and probability.

    Of the travelled route (with --routes), the fastest and the learned one of one trip, side by side. For example:
    trodden explain MODEL -29.91,-71.25 osm:4512, or trodden explain MODEL --routes trips.csv --route-id 17
    """
    from ..core.files import write_file
    from ..irl.checkpoints import load_model
    from ..irl.demonstrations import read_demonstrations
    from ..irl.insight.explanation import explain, trip_routes

    if (routes is None) != (route_id is None) or (origin is None) != (destination is None):
        raise ConfigurationError(
            where="explain", problem="ORIGIN and DESTINATION, or --routes and --route-id, go along"
        )
    if (routes is None) == (origin is None):
        raise ConfigurationError(
            where="explain", problem="give a trip: ORIGIN and DESTINATION, or --routes FILE and --route-id ID"
        )
    learned = load_model(model)
    with progress_bar("explaining", None):
        if routes is not None and route_id is not None:
            demonstrations = read_demonstrations(routes, learned.network).for_ending(learned.ending)
            edges = demonstrations.route(demonstrations.row_of(route_id))
            is_simulated = demonstrations.is_simulated
        else:
            assert origin is not None  # seen to above
            assert destination is not None
            edges, is_simulated = _between(learned, origin, destination), False
        found = explain(learned, trip_routes(learned, edges, is_travelled=routes is not None))
    if json_file is not None:
        write_file(json_file, (json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n").encode())
    say(found.table())
    if is_simulated and not learned.is_simulated:
        say("the travelled route is a simulated one")
    if picture is not None:
        from ..irl.plots import draw_explanation_png

        title = f"Trip {route_id}" if route_id else f"From {origin} to {destination}"
        draw_explanation_png(learned.network, found, picture, title=title, is_simulated=is_simulated)
        say(f"picture in {picture}")


def _between(model: LearnedModel, origin: str, destination: str) -> Ints:
    """The learned route between two points: its first and last edge are the trip's."""
    from ..routing.router import Router

    found = Router(model).route(origin, destination).edges
    if len(found) < 2:
        raise ConfigurationError(
            where="explain", problem=f"from {origin} to {destination} there is nothing to choose: no turn on the way"
        )
    return found
