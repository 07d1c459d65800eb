"""The command ``trodden route``: the best route between two points, and the alternatives to it."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import UnknownIdError
from .console import guarded, say

if TYPE_CHECKING:
    from ..irl.model import LearnedModel
    from ..routing.alternatives import Alternatives
    from ..routing.route import Route
    from ..routing.router import Router

_WAYS_TO_SAY = "lat,lon or edge:ID or osm:NODE"


class Metric(StrEnum):
    """Costs that a model can be asked for routes under."""

    learned = "learned"
    fastest = "fastest"
    shortest = "shortest"
    fastest_penalised = "fastest_penalised"


class Format(StrEnum):
    """How routes are printed."""

    table = "table"
    geojson = "geojson"
    gpx = "gpx"
    polyline = "polyline"
    polyline6 = "polyline6"


@guarded
def route(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model folder, as `trodden train` writes it")],
    origin: Annotated[str, typer.Argument(metavar="ORIGIN", help=_WAYS_TO_SAY, parser=str.strip)],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help=_WAYS_TO_SAY, parser=str.strip)],
    geojson: Annotated[Path | None, typer.Option(metavar="FILE", help="write the routes as GeoJSON")] = None,
    metric: Annotated[
        Metric, typer.Option(metavar="NAME", help="learned, fastest, shortest or fastest_penalised")
    ] = Metric.learned,
    alternatives: Annotated[
        int, typer.Option(min=1, metavar="K", help="the best route and up to K - 1 that differ from it")
    ] = 1,
    form: Annotated[
        Format, typer.Option("--format", metavar="FORMAT", help="table, geojson, gpx, polyline or polyline6")
    ] = Format.table,
    departure: Annotated[
        str | None, typer.Option(metavar="TIME", help="08:30 or 2024-05-03T08:30, for a model with periods")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="the traveller's group, for a model with groups")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="write it there instead of printing it")
    ] = None,
) -> None:
    """Find the best route between two points, and alternatives.

    For example: trodden route MODEL -29.91,-71.25 osm:4512 --alternatives 3 --geojson routes.geojson
    """
    from ..core.files import write_file
    from ..irl.checkpoints import load_model
    from ..routing.router import Router

    learned = load_model(model)
    router = Router(learned)
    if metric is not Metric.learned:
        _add_baseline(router, learned, metric.value)
    asked: str = metric.value
    if departure is not None or group is not None:
        asked = router.metric_at(departure, group, metric=asked)
        learned = learned.in_context(asked)  # what is printed is of the costs that were asked for
    found: Route | Alternatives = router.route(origin, destination, metric=asked)
    if alternatives > 1:
        found = router.alternatives(origin, destination, alternatives, metric=asked)
    if form is Format.table:
        text = _table(found, learned, f"from {origin} to {destination}", asked)
    else:
        text = _written(found, form)
    if output is None:
        say(text)
    else:
        write_file(output, (text + "\n").encode())
        say(f"{form.value} in {output}")
    if geojson is not None:
        write_file(geojson, _written(found, Format.geojson).encode())
        say(f"GeoJSON in {geojson}")


def _add_baseline(router: Router, learned: LearnedModel, name: str) -> None:
    from ..irl.model import entry_costs

    if name not in learned.baseline_costs:
        known = ", ".join(["learned", *learned.baseline_costs])
        raise UnknownIdError(kind="metric", identifier=name, remedy=f"this model has: {known}")
    cost = learned.baseline_costs[name]
    router.add_metric(name, cost, entry_costs(0 * learned.entry_cost, cost, learned.network.turns.to_edge))


def _written(found: Route | Alternatives, form: Format) -> str:
    from ..routing.formats import to_geojson, to_gpx, to_polyline
    from ..routing.route import Route

    routes = [found] if isinstance(found, Route) else [one.route for one in found]
    if form is Format.gpx:
        return to_gpx(routes).rstrip()
    if form is Format.geojson:
        collection = to_geojson(found) if isinstance(found, Route) else found.to_geojson()
        return json.dumps(collection, ensure_ascii=False, allow_nan=False)
    return "\n".join(to_polyline(one, 6 if form is Format.polyline6 else 5) for one in routes)


def _table(found: Route | Alternatives, learned: LearnedModel, trip: str, metric: str) -> str:
    from ..routing.route import Route

    if isinstance(found, Route):
        return "\n".join(_about_route(found, learned, f"{metric} route {trip}"))
    return "\n".join(_about_alternatives(found, learned, f"{metric} routes {trip}", metric))


def _unit(metric: str, learned: LearnedModel) -> str:
    """Of what nobody learned; learned costs have none."""
    plain = {"shortest": f" {learned.network.length_unit}", "fastest": " s", "fastest_penalised": " s"}
    return plain.get(metric, "")


def _about_route(found: Route, learned: LearnedModel, title: str) -> list[str]:
    time = f", {found.travel_time_s / 60:.1f} min" if found.travel_time_s is not None else ""
    has_length = learned.network.attributes.length_m is not None
    length = f", {found.length_m / 1000:.3f} km" if has_length else ""
    lines = [
        title,
        f"{len(found.edges)} edges{length}{time}, cost {found.cost:.4f}{_unit(found.metric, learned)}",
    ]
    if _is_learned(found.metric) and learned.horizon == "infinity":
        lines.append(f"log-probability {found.log_probability:.4f}{_simulated(learned)}")
    return [*lines, *_snaps(found), "edges: " + " ".join(map(str, found.edge_ids))]


def _is_learned(metric: str) -> bool:
    """The model's own costs, or those of one of its contexts."""
    return metric == Metric.learned or metric not in set(Metric)


def _simulated(learned: LearnedModel) -> str:
    return " under a reward learned from simulated routes" if learned.is_simulated else ""


def _snaps(found: Route) -> list[str]:
    return [
        f"{role} snapped over {snap.distance_m:.0f} m to edge {int(found.network.graph.edge_id[snap.edge])}"
        for role, snap in (("origin", found.origin_snap), ("destination", found.destination_snap))
        if snap is not None and snap.distance_m > 0
    ]


def _about_alternatives(found: Alternatives, learned: LearnedModel, title: str, metric: str) -> list[str]:
    from ..irl.insight.tables import columns

    is_learned = _is_learned(metric)
    has_length = learned.network.attributes.length_m is not None
    rows = [["", "edges", *(["km"] if has_length else []), "min", "cost", "found by"]]
    if is_learned and not found.note:
        rows[0][-1:-1] = ["probability", "like it"]
    for number, one in enumerate(found, start=1):
        time, length = one.route.travel_time_s, f"{one.route.length_m / 1000:.3f}" if has_length else ""
        row = [str(number), str(len(one.route.edges)), *([length] if has_length else [])]
        row += ["" if time is None else f"{time / 60:.1f}", f"{one.route.cost:.4f}"]
        if "like it" in rows[0]:
            row.append(f"{one.probability:.3g}")
            row.append("" if one.share is None else f"{100 * one.share:.1f} % (+-{100 * (one.share_error or 0):.1f})")
        rows.append([*row, one.found_by])
    lines = [title, *columns(rows)]
    if is_learned and found.note:
        lines.append(f"no probabilities: {found.note}")
    elif is_learned:
        lines.append(f"probability: of this very route{_simulated(learned)}")
        lines.append(
            f"like it: of {found.num_drawn} routes drawn from the policy, those most like this one, with the "
            f"standard error; like none of these: {100 * (found.share_of_others or 0):.1f} %"
        )
    return [*lines, *_snaps(found[0].route)]
