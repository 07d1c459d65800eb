"""The sections of a report that say what a reward is worth: held-out routes, maps, trips, and what others computed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..demonstrations import Demonstrations
from ..evaluation import Evaluation, Scores
from ..measures import PairedComparison
from ..model import LearnedModel
from ..plots import chart_svg, charts
from .ablation import AblationRow
from .example_trips import RULE, example_trips
from .maps import relative_cost_svg, trip_svg
from .page import OSM_ADDRESS, Block, Cell, Figure, Figures, Section, Table, Text, Tile, make_table
from .wording import (
    NOTHING,
    SPACE,
    duration,
    label_of,
    number,
    p_value,
    percent,
    percent_interval,
    points,
    points_interval,
    skipped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_ROWS = 200
_OSM_COLUMNS = {"osm_way": "way", "osm_node": "node"}


def rival_of(result: Evaluation) -> str:
    """What learned is held against in the headline: fastest + penalties, or where it was not tuned, fastest."""
    return "fastest_penalised" if "fastest_penalised" in result.models else "fastest"


def headline(result: Evaluation, *, is_training: bool = False) -> str:
    """The whole evaluation in one sentence; ``is_training``: the routes are those that were learned from.

    Whether a difference is called one is decided by its 95 % interval and McNemar's test together.
    """
    rival = rival_of(result)
    learned, other, gap = result.models["learned"], result.models[rival], result.comparisons[rival]
    routes = f"{result.num_routes:,} {'simulated ' if result.is_simulated else ''}trips"
    routes += " that it was LEARNED FROM" if is_training else " it had not seen"
    what = "the fastest route" + (" with tuned penalties" if rival != "fastest" else "")
    size = f"{abs(100 * gap.difference):.1f} points (95{SPACE}% interval {points_interval(gap.interval)})"
    low, high = gap.interval
    if low > 0 and gap.p_value < 0.05:
        verdict = f"a gain of {size}, more than chance explains"
    elif high < 0 and gap.p_value < 0.05:
        verdict = f"a loss of {size}, more than chance explains"
    else:
        size = f"{points(gap.difference)} points ({points_interval(gap.interval)})"
        verdict = f"a difference of {size}, not told apart from none"
    return (
        f"Of {routes}, the learned reward predicts {percent(learned.exact)} street for street, {what} "
        f"{percent(other.exact)}: {verdict}."
    )


def tiles(result: Evaluation) -> tuple[Tile, ...]:
    """The numbers to see first."""
    rival = rival_of(result)
    learned, other, gap = result.models["learned"], result.models[rival], result.comparisons[rival]
    relative = f", {points(learned.exact / other.exact - 1)} % relative" if other.exact > 0 else ""
    found = [
        Tile(percent(learned.exact), "exact match, learned", percent_interval(learned.exact_interval), True),
        Tile(percent(other.exact), f"exact match, {label_of(rival)}", percent_interval(other.exact_interval)),
        Tile(f"{points(gap.difference)} pts", "difference", f"{points_interval(gap.interval)}{relative}"),
    ]
    if result.unseen:
        one = result.unseen["learned"]
        found.append(Tile(percent(one.exact), "learned, unseen pairs", percent_interval(one.exact_interval)))
    return tuple(found)


def evaluation(model: LearnedModel, result: Evaluation, held_out: Demonstrations) -> Section:
    """Exact match, IoU and likelihood beside the baselines: chart, tables, and what the words mean."""
    word = "simulated routes" if result.is_simulated else "routes"
    left_out = skipped(result.skipped)
    travellers = len(set(held_out.traveller) - {None}) if held_out.traveller is not None else 0
    intro = (
        f"Evaluated on {result.num_routes:,} held-out {word}"
        + (f" of {travellers:,} travellers" if travellers else "")
        + (f" ({left_out})" if left_out else "")
        + f", {result.num_unseen:,} of them between pairs of origin and destination not seen in training. Every "
        "model is told the first edge and the destination, nothing else."
    )
    blocks: list[Block] = [Text(intro), _match_chart(result)]
    blocks.append(_score_table(f"All {result.num_routes:,} held-out {word}", result.models, result.comparisons))
    if result.unseen:
        caption = f"The {result.num_unseen:,} {word} between pairs not seen in training"
        blocks.append(_score_table(caption, result.unseen, result.unseen_comparisons))
    else:
        blocks.append(Text("Every held-out pair of origin and destination was also in training.", "note"))
    if model.horizon == 0:
        blocks.append(Text("NLL is n/a: a model of horizon 0 has no likelihood.", "note"))
    elif result.models["learned"].nll_per_route is None:
        blocks.append(Text("NLL is n/a: the served costs have no soft values on the whole map.", "note"))
    blocks.append(Text(_what_words_mean(model, result), "note"))
    return Section("evaluation", "How well it predicts", tuple(blocks))


def cost_map(model: LearnedModel) -> Section:
    """Where learned and fastest costs part."""
    title = "Where it differs from travel time"
    network = model.network
    if network.graph.latitude_deg is None:
        return Section("map", title, (Text("There is no map: this network has no coordinates.", "note"),))
    svg, left_out = relative_cost_svg(model)
    base = (
        "travel time" if network.attributes.travel_time_s is not None else "length (this network has no travel times)"
    )
    caption = (
        "Orange: dearer to travellers than its time says; blue: cheaper. Cost of driving onto an edge, the mean "
        "over the turns there (U-turns apart); where the two directions of a road differ, the one farther from "
        "typical lies on top. Short edges tend to be dear, since part of the cost comes once per edge."
    )
    if left_out:
        caption += f" {left_out:,} edges of minor roads are not drawn."
    intro = (
        f"Each edge's learned cost over its {base}, relative to the typical one (half of all road length lies above, "
        "half below). The fastest route would see one colour everywhere."
    )
    figure = Figure(
        svg, "Learned cost relative to travel time", f"Map of {network.graph.num_edges:,} road edges by colour", caption
    )
    return Section("map", title, (Text(intro), Figures((figure,))))


def trips(model: LearnedModel, routes: Demonstrations, result: Evaluation) -> Section:
    """A typical trip of each kind, drawn."""
    title = "Example trips"
    found = example_trips(model, routes, result.matched)
    word = "simulated trip" if result.is_simulated else "trip"
    rows = [
        [
            trip.kind,
            f"{trip.num_of_kind:,}",
            percent(trip.num_of_kind / len(routes)),
            trip.route_id,
            f"{len(trip.travelled):,}",
            number(trip.learned_iou),
            number(trip.fastest_iou),
        ]
        for trip in found
    ]
    columns = ["kind", "trips", "share", "shown", "its edges", "IoU learned", "IoU fastest"]
    table = make_table("Trips by who predicts them", columns, rows, text_columns=(0, 3))
    if model.network.graph.latitude_deg is None:
        note = Text("No trip is drawn: this network has no coordinates.", "note")
        return Section("trips", title, (Text(RULE), table, note))
    figures = tuple(
        Figure(
            trip_svg(model.network, trip, at),
            f"{trip.kind[0].upper()}{trip.kind[1:]}",
            f"Map of a held-out {word}: travelled, fastest and learned route; {trip.kind}",
            f"Held-out {word} {trip.route_id}, {len(trip.travelled)} edges. IoU: learned {trip.learned_iou:.2f}, "
            f"fastest {trip.fastest_iou:.2f}.",
        )
        for at, trip in enumerate(found)
    )
    return Section("trips", title, (Text(RULE), Figures(figures), table))


def ablation(rows: Sequence[AblationRow]) -> Section:
    """Rewards and horizons beside each other, a chart and a table for each data set."""
    intro = (
        "The same held-out routes under other rewards and horizons. The gap is exact match minus that of the linear "
        "reward at infinite horizon on the same routes, in percentage points; blue-green: better, orange: worse, "
        "grey: not told apart."
    )
    blocks: list[Block] = [Text(intro)]
    for name in dict.fromkeys(row.data for row in rows):
        panel = [row for row in rows if row.data == name]

        def draw(axes: Axes, panel: Sequence[AblationRow] = panel) -> None:
            charts.draw_ablation(axes, panel)

        svg = chart_svg(draw, size=(4.8, 0.25 * len(panel) + 0.6), name=f"ablation-{name}")
        alt = _ablation_words(panel)
        blocks += [Figures((Figure(svg, f"Exact match on {name}", alt),)), _ablation_table(name, panel)]
    return Section("ablation", "Which reward, which horizon", tuple(blocks))


def _ablation_words(rows: Sequence[AblationRow]) -> str:
    """The chart in a sentence."""
    best = max(rows, key=lambda row: row.exact)
    return f"{len(rows)} rewards and horizons; the most exact matches has {best.label}: {percent(best.exact)}"


def contradictions(rows: Sequence[Mapping[str, Any]]) -> Section:
    """Candidate map errors as they were found, a column for each key that occurs."""
    title = "Where map and travellers contradict each other"
    if not rows:
        return Section("contradictions", title, (Text("None was found.", "note"),))
    keys = list(dict.fromkeys(key for row in rows for key in row))
    is_number = {key: all(isinstance(row.get(key), int | float | None) for row in rows) for key in keys}
    body = [[_field(key, row.get(key)) for key in keys] for row in rows[:_MAX_ROWS]]
    table = make_table(
        "Candidate map errors",
        [key.replace("_", " ") for key in keys],
        body,
        text_columns=[at for at, key in enumerate(keys) if not is_number[key] or at == 0],
        note=f"{len(rows) - _MAX_ROWS:,} further rows are in the file." if len(rows) > _MAX_ROWS else "",
    )
    intro = (
        "What routes do and the map does not allow or explain, or the other way round. Candidates to check on the "
        "ground, not findings."
    )
    return Section("contradictions", title, (Text(intro), table))


def _match_chart(result: Evaluation) -> Figures:
    names = list(result.models)
    colours = [charts.LEARNED if name == "learned" else charts.OTHER for name in names]

    def dots(label: str, scores: Mapping[str, Scores], is_filled: bool) -> charts.Dots:
        bounds = [(100 * scores[n].exact_interval[0], 100 * scores[n].exact_interval[1]) for n in names]
        return charts.Dots(label, [100 * scores[n].exact for n in names], bounds, colours, is_filled)

    series = [dots("all routes", result.models, True)]
    if result.unseen:
        series.append(dots("pairs not seen in training", result.unseen, False))

    def draw(axes: Axes) -> None:
        charts.draw_dots(
            axes,
            [label_of(n) for n in names],
            series,
            x_label="exact match, %, with 95 % interval",
            has_bold_first=True,
        )

    said = ", ".join(f"{label_of(n)} {percent(result.models[n].exact)}" for n in names)
    svg = chart_svg(draw, size=(4.8, 0.4 * len(names) + 0.75), name="matches")
    title = "Exact match" + (" (simulated routes)" if result.is_simulated else "")
    return Figures((Figure(svg, title, f"Exact match on held-out routes: {said}"),))


def _score_table(caption: str, models: Mapping[str, Scores], gaps: Mapping[str, PairedComparison]) -> Table:
    rows = []
    for name, one in models.items():
        gap = gaps.get(name)
        rows.append(
            [
                label_of(name),
                percent(one.exact),
                percent_interval(one.exact_interval),
                points(gap.difference) if gap else NOTHING,
                points_interval(gap.interval) if gap else NOTHING,
                p_value(gap.p_value) if gap else NOTHING,
                number(one.iou),
                number(one.nll_per_route) if one.nll_per_route is not None else "n/a",
                number(one.nll_per_turn) if one.nll_per_turn is not None else "n/a",
            ]
        )
    columns = ["model", "exact", "95 %", "gap, points", "95 %", "p", "IoU", "NLL per route", "per turn"]
    return make_table(caption, columns, rows)


def _what_words_mean(model: LearnedModel, result: Evaluation) -> str:
    attributes = model.network.attributes
    text = (
        "Exact: the predicted route has the same edges as the travelled one, all of them, in order. Gap: exact "
        "match of learned minus that of the row, on the same routes, with a paired bootstrap interval; p: McNemar's "
        "exact test. IoU: shared edges over all edges of both routes, weighted by "
        f"{'length' if result.length_unit == 'm' else 'travel time'}. NLL: negative log-likelihood of the travelled "
        "routes in nats; baselines have none. Fastest + penalties: travel time with penalties for turns and factors "
        "for road classes, tuned on training routes"
    )
    tuned = model.summary.get("baselines") or {}
    text += f" by {tuned['budget']:,} evaluations of a random search." if tuned.get("budget") else "."
    if "fastest_penalised" not in result.models:
        text += " It was not tuned for this model ([baselines] budget = 0)."
    if attributes.travel_time_s is None:
        text += " This network has no travel times: fastest is shortest."
    if attributes.length_m is None:
        text += " This network has no lengths: shortest is fastest."
    return text


def _ablation_table(name: str, rows: Sequence[AblationRow]) -> Table:
    body = [
        [
            row.reward,
            "∞" if row.horizon == "infinity" else row.horizon,
            percent(row.exact),
            percent_interval(row.exact_interval) if row.exact_interval else NOTHING,
            points(row.gap) if row.gap is not None else NOTHING,
            points_interval(row.gap_interval) if row.gap_interval else NOTHING,
            number(row.iou),
            number(row.nll) if row.nll is not None else "n/a",
            duration(row.seconds) if row.seconds is not None else NOTHING,
        ]
        for row in rows
    ]
    columns = ["reward", "horizon", "exact", "95 %", "gap, points", "95 %", "IoU", "NLL per route", "training"]
    return make_table(f"Ablation on {name}", columns, body)


def _field(key: str, value: Any) -> Cell:
    """Any JSON value as a field; ways and nodes of OpenStreetMap lead there."""
    if value is None:
        return Cell(NOTHING)
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int):
        kind = _OSM_COLUMNS.get(key)
        return Cell(str(value), f"{OSM_ADDRESS}/{kind}/{value}" if kind and value > 0 else "")
    if isinstance(value, float):
        return Cell(f"{value:.4g}".replace("-", "\N{MINUS SIGN}"))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Cell(text, text if text.startswith(f"{OSM_ADDRESS}/") and " " not in text else "")
