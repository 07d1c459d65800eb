"""The sections of a report that say what was learned: on what, how far, which coefficients and corrections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import ConfigurationError
from ..demonstrations import Demonstrations
from ..model import LearnedModel
from ..plots import chart_svg, charts
from ..statistics import Estimate, estimate, model_statistics
from .corrections import (
    LearnedCorrections,
    corrections_of,
    describe_edge,
    has_osm_ids,
    num_uses,
    osm_ways,
)
from .maps import NUM_NUMBERED, corrections_svg
from .page import OSM_ADDRESS, Block, Cell, Facts, Figure, Figures, Section, Table, Text, make_table
from .wording import NOTHING, duration, interval, number, p_value, percent, signed, skipped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LARGEST = 12
_UNITS = {"length_km": "per km", "travel_time_min": "per minute", "speed_kmh": "per km/h", "lanes": "per lane"}
_PARTS = {
    "linear": "linear coefficients",
    "mlp": "weights of a neural network",
    "edge": "corrections of edges",
    "turn": "corrections of turns",
}
_MAX_REGION_SERIES = 12
_CURVE_SIZE = (3.0, 2.35)
"""Inches; three stand side by side."""


def byline(model: LearnedModel) -> str:
    """What was learned from what, in a line."""
    word = "simulated routes" if model.is_simulated else "routes"
    graph = model.network.graph
    return (
        f"Learned from {model.summary['num_routes']:,} {word} on a network of {graph.num_nodes:,} junctions and "
        f"{graph.num_edges:,} road segments in {duration(float(model.summary['seconds']))}; {_reward(model)}."
    )


def made_of(model: LearnedModel, train: Demonstrations | None) -> Section:
    """Network, routes, reward, and the run that learned it."""
    summary, network = model.summary, model.network
    word = "simulated routes" if model.is_simulated else "routes"
    left_out = skipped(summary["skipped"])
    pairs = [
        ("Network", _name(summary["network_source"]) or "unknown"),
        (
            "Its size",
            f"{network.graph.num_nodes:,} junctions, {network.graph.num_edges:,} directed road segments (edges), "
            f"{network.turns.num_turns:,} permitted turns",
        ),
        ("Learned from", f"{summary['num_routes']:,} {word}" + (f"; {left_out}" if left_out else "")),
        ("Their file", _name(summary["routes_source"])),
        ("Travellers", _travellers(model, train)),
        ("Reward", _reward(model)),
        ("Routes end", "at the first visit of their last edge" if model.ending == "arrival" else "by choosing to stop"),
        ("Horizon", _horizon(model)),
        ("Fit", _fit(summary)),
        ("Training took", duration(float(summary["seconds"])) + _how(summary)),
    ]
    blocks: list[Block] = [Facts(tuple(pairs))]
    if summary.get("is_converged") is False:
        blocks.append(Text("Training stopped before it converged: raise [training] max_iterations.", "warning"))
    if train is not None:
        blocks.append(_training_file(model, train))
    return Section("made-of", "What it was learned from", tuple(blocks))


def curves(model: LearnedModel) -> Section:
    """What the routes held out in training said while it went on, or why nothing was asked of them."""
    curve = model.summary.get("curve") or []
    if not curve:
        return Section("curves", "While it was learning", (Text(_no_curve(model), "note"),))
    chosen = float(model.summary["iterations"])
    iterations = [one["iteration"] for one in curve]
    share = percent(model.config.training.validation_share, 0)
    loss = [("training loss", [one["loss"] for one in curve], charts.LEARNED)]
    if any(one["nll"] is not None for one in curve):
        loss.append(("held-out NLL", [one["nll"] for one in curve], charts.SECOND))

    def draw_loss(axes: Axes) -> None:
        charts.draw_curves(axes, iterations, loss, chosen=chosen, y_label="nats per route")

    def draw_quality(name: str, error: float | None) -> str:
        line = [(name, [100 * one[name] for one in curve], charts.LEARNED)]

        def draw(axes: Axes) -> None:
            charts.draw_curves(axes, iterations, line, chosen=chosen, y_label="%", standard_error=error)

        return chart_svg(draw, size=_CURVE_SIZE, name=f"curve-{name}")

    best = next(one for one in curve if one["iteration"] == chosen)
    words = f"chosen iteration {chosen:g} of {iterations[-1]:g}"
    figures = Figures(
        (
            Figure(
                chart_svg(draw_loss, size=_CURVE_SIZE, name="curve-loss"),
                "What training sees",
                f"Training loss from {number(curve[0]['loss'])} to {number(curve[-1]['loss'])} nats per route; {words}",
                "Loss of the routes learned from, with the penalty, and NLL of those held out. Lower is better.",
            ),
            Figure(
                draw_quality("exact", 100 * _standard_error(model, best["exact"])),
                "Held-out exact match",
                f"Held-out exact match {percent(best['exact'])} at the {words}",
                "Routes predicted street for street. Higher is better. Band: one standard error.",
            ),
            Figure(
                draw_quality("iou", None),
                "Held-out IoU",
                f"Held-out IoU {percent(best['iou'])} at the {words}",
                "Shared road length over all road length of both routes. Higher is better.",
            ),
        )
    )
    intro = (
        f"{share} of the training routes were held out to decide when to stop, by {_criterion(model)}; then the reward "
        f"was learned from all training routes for that many iterations. These are not the routes evaluated above."
    )
    note = Text("The first steps lie off these scales, which show where something is decided.", "note")
    return Section(
        "curves", "While it was learning", (Text(intro), figures, note, Text(_what_curves_say(model, chosen)))
    )


def coefficients(model: LearnedModel) -> Section:
    """The table of estimates and the forest plot; by region where regions have rewards of their own."""
    title = "What travellers prefer: the coefficients"
    statistics = model_statistics(model)
    if model.regions and not model.coefficients:
        return Section("coefficients", title, _regional(model))
    if not statistics.estimates:
        text = "This reward has no linear part, so there are no coefficients to read."
        return Section("coefficients", title, (Text(text, "note"),))
    rows = statistics.estimates
    blocks: list[Block] = [
        Text(
            "Each coefficient is what one unit of a feature adds to the reward of a turn, in nats. Negative: "
            "travellers avoid it. Two coefficients compare as an exchange rate: a coefficient over that of time is "
            "its price in time."
        ),
        _forest(rows),
        _estimates_table("Estimates", rows, model),
    ]
    if statistics.log_likelihood is not None and statistics.aic is not None and statistics.bic is not None:
        fit = f"Log-likelihood {number(statistics.log_likelihood, 1)}, {statistics.num_free_parameters} free parameters"
        blocks.append(Text(f"{fit}, AIC {number(statistics.aic, 1)}, BIC {number(statistics.bic, 1)}.", "note"))
    return Section("coefficients", title, tuple(blocks))


def corrections(model: LearnedModel, train: Demonstrations | None) -> Section | None:
    """What the reward adds to single edges and turns; None where it has no such part."""
    if not model.config.reward.corrections:
        return None
    title = "What the map does not say: corrections"
    try:
        found = corrections_of(model)
    except ConfigurationError as error:
        return Section("corrections", title, (Text(f"The corrections cannot be read: {error}", "note"),))
    found = tuple(one for one in found if len(one.at))
    if not found:
        text = "No edge or turn was used by enough training routes to have a correction."
        return Section("corrections", title, (Text(text, "note"),))
    intro = (
        "Beside its features, the reward learned a number of its own for single edges and turns: where travellers "
        "go more often than class, length and turn kind explain (cheaper), or less often (dearer). Large ones are "
        "worth a look on the ground: a gate, a signal, a wrong class or a missing restriction shows up here. They "
        "are drawn towards 0 by a penalty, and edges or turns that too few routes used have none."
    )
    blocks: list[Block] = [Text(intro), Figures(tuple(_histogram(one) for one in found)), _correction_map(model, found)]
    blocks += [_largest(model, one, train) for one in found]
    return Section("corrections", title, tuple(blocks))


def network_name(model: LearnedModel) -> str:
    """What the network is called, for a heading."""
    return _name(model.summary["network_source"]) or "a road network"


def _name(source: str) -> str:
    """A file's name without the folders above it, which are nobody's business."""
    return PurePath(source).name if source else ""


def _travellers(model: LearnedModel, train: Demonstrations | None) -> str:
    count = model.summary.get("num_travellers")
    if not count and train is not None and train.traveller is not None:
        count = len(set(train.traveller) - {None})
    return f"{count:,}" if count else "not named in the routes" if count == 0 or train is not None else "not recorded"


def _reward(model: LearnedModel) -> str:
    parts = model.summary.get("num_parameters")
    members = model.config.reward.members
    if parts:
        text = ", ".join(f"{count:,} {_PARTS.get(name, name)}" for name, count in parts.items())
        return text + (f"; {members} members, the mean of their {model.config.reward.average}" if members > 1 else "")
    count = len(model.regions[0].coefficients) if model.regions else len(model.coefficients)
    if model.regions:
        return f"linear in {count} features, with coefficients of its own in each of {len(model.regions)} regions"
    return f"linear in {count} features"


def _horizon(model: LearnedModel) -> str:
    if model.horizon == "infinity":
        return "infinite (maximum entropy): every turn of a route is a choice"
    if model.horizon == 0:
        return "0 (maximum margin): there is no likelihood"
    return f"{model.horizon} turns of choice, then the best route"


def _fit(summary: dict[str, Any]) -> str:
    if summary.get("log_likelihood") is None:
        return f"margin loss {number(summary.get('margin_loss_per_route'))} per route (horizon 0 has no likelihood)"
    per_route = summary["log_likelihood_per_route"]
    return f"log-likelihood {number(summary['log_likelihood'], 1)}, {number(per_route)} per training route"


def _how(summary: dict[str, Any]) -> str:
    parts = [str(summary[name]) for name in ("method", "solver") if summary.get(name)]
    text = f", by {' and '.join(parts)}" if parts else ""
    return text + (f" in {summary['iterations']:,} iterations" if "iterations" in summary else "")


def _training_file(model: LearnedModel, train: Demonstrations) -> Text:
    used = train.for_ending(model.ending)
    is_same = used.digest(model.ending) == model.summary.get("routes_digest")
    edges = np.diff(used.first)
    pairs = len(np.unique(used.pair_keys(model.ending)))
    text = (
        f"The training file given with this report has {len(used):,} usable routes between {pairs:,} pairs of origin "
        f"and destination, with {edges.mean():.1f} edges on average ({edges.min()} to {edges.max()})."
    )
    if is_same:
        return Text(f"{text} It is the one that the model was learned from.", "note")
    if "routes_digest" not in model.summary:
        return Text(f"{text} Whether the model was learned from it, the model does not say.", "note")
    return Text(f"{text} It is not the one that the model was learned from.", "warning")


def _no_curve(model: LearnedModel) -> str:
    if model.regions and not model.config.reward.is_plain:
        return (
            "There is no curve: held-out routes chose by their likelihood under which penalty, and for how many "
            "iterations, regions were learned."
        )
    if model.regions:
        return (
            "There is no curve: each region's linear reward was fitted to the single optimum of a concave likelihood."
        )
    if not model.config.reward.is_plain:
        return "There is no curve: no routes were held out in training ([training] validation_share = 0)."
    method = model.summary.get("method") or "its optimiser"
    if model.horizon == "infinity":
        return (
            f"There is no curve: a plain linear reward has a concave likelihood with a single optimum, and {method} "
            f"went straight to it in {model.summary.get('iterations', '?')} iterations. Nothing was stopped early."
        )
    return (
        f"There is no curve: a plain linear reward was fitted until {method} converged, and nothing was stopped "
        "early by held-out routes."
    )


def _criterion(model: LearnedModel) -> str:
    return {"exact": "exact match", "iou": "IoU", "nll": "likelihood"}[model.config.training.select_by]


def _what_curves_say(model: LearnedModel, chosen: float) -> str:
    curve: list[dict[str, Any]] = model.summary["curve"]
    at, last = next(one for one in curve if one["iteration"] == chosen), curve[-1]
    if at is last:
        return "The last look was the best one: training longer might have helped further."
    loss, exact = last["loss"] - at["loss"], last["exact"] - at["exact"]
    moves = [f"training loss {signed(loss, 4)} nats per route", f"held-out exact match {signed(100 * exact, 2)} points"]
    if at["nll"] is not None and last["nll"] is not None:
        moves.append(f"held-out NLL {signed(last['nll'] - at['nll'], 4)} nats")
    moves.append(f"held-out IoU {signed(100 * (last['iou'] - at['iou']), 2)} points")
    error = _standard_error(model, at["exact"])
    text = f"From the chosen iteration {chosen:g} to the last, {last['iteration']:g}: {', '.join(moves)}. "
    if loss < 0 and exact < -error:
        return (
            f"{text}A better fit to the routes learned from was a worse guess of others: that is why training stops "
            "where held-out routes say so."
        )
    return (
        f"{text}A share of {_num_held_out(model):,} routes has a standard error of {100 * error:.1f} points, so that "
        "iterations around the chosen one do not differ by more than chance."
        if abs(exact) <= error
        else text
    )


def _num_held_out(model: LearnedModel) -> int:
    return max(round(model.config.training.validation_share * float(model.summary["num_routes"])), 1)


def _standard_error(model: LearnedModel, share: float) -> float:
    """Of a share of the routes held out in training."""
    return math.sqrt(share * (1 - share) / _num_held_out(model))


def _forest(rows: Sequence[Estimate]) -> Figures:
    bounds = [row.robust_interval or row.interval for row in rows]
    colours = [charts.CHEAP if row.value > 0 else charts.DEAR for row in rows]
    series = [charts.Dots("", [row.value for row in rows], bounds, colours)]

    has_errors = any(one is not None for one in bounds)
    label = "coefficient in nats" + (", with 95 % interval" if has_errors else "")

    def draw(axes: Axes) -> None:
        names = [_with_unit(row.name) for row in rows]
        charts.draw_dots(axes, names, series, x_label=label, number="{:.2f}", reference=0.0)

    strongest = max(rows, key=lambda row: abs(row.value))
    return Figures(
        (
            Figure(
                chart_svg(draw, size=(4.8, 0.27 * len(rows) + 0.6), name="forest"),
                "Coefficients" + (" with 95 % intervals" if has_errors else ""),
                f"{len(rows)} coefficients; the largest in size is {strongest.name}, {number(strongest.value, 2)}",
                "Left of 0 (orange): avoided. Right of 0 (blue): sought."
                + ("" if has_errors else " No intervals: see the notes in the table."),
            ),
        )
    )


def _estimates_table(caption: str, rows: Sequence[Estimate], model: LearnedModel) -> Table:
    notes = list(dict.fromkeys(row.note for row in rows if row.note))
    is_clustered = any(row.clustered_standard_error is not None for row in rows)
    kind = "clustered" if is_clustered else "robust"
    has_robust = any(row.robust_standard_error is not None for row in rows)
    columns = ["feature", "coefficient", "std. error", f"{kind} s.e.", "t", "p", "95 % interval"]
    if notes:
        columns.append("note")
    body = []
    for row in rows:
        second = row.clustered_standard_error if is_clustered else row.robust_standard_error
        ratio, chance, bounds = (
            (row.robust_t_ratio, row.robust_p_value, row.robust_interval)
            if has_robust
            else (row.t_ratio, row.p_value, row.interval)
        )
        cells = [
            _with_unit(row.name),
            number(row.value, 4),
            number(row.standard_error, 4),
            number(second, 4),
            number(ratio, 1),
            p_value(chance),
            interval(bounds),
        ]
        body.append([*cells, f"({notes.index(row.note) + 1})" if row.note else ""][: len(columns)])
    is_said = [at == 0 or any(row[at] not in (NOTHING, "") for row in body) for at in range(len(columns))]
    columns, *body = ([one for one, is_kept in zip(row, is_said, strict=True) if is_kept] for row in (columns, *body))
    said = [f"t, p and intervals are of the {kind} standard errors."] if has_robust else []
    said += [f"({at}) {note}." for at, note in enumerate(notes, start=1)]
    word = "simulated routes" if model.is_simulated else "routes"
    return make_table(f"{caption}, from {model.summary['num_routes']:,} {word}", columns, body, note=" ".join(said))


def _with_unit(name: str) -> str:
    return f"{name} ({_UNITS[name]})" if name in _UNITS else name


def _regional(model: LearnedModel) -> tuple[Block, ...]:
    summary = model.summary
    names = [one.name for one in model.regions[0].coefficients]
    if not names:
        return (
            Text("The reward has no linear part: an MLP prices every turn, and there are no coefficients.", "note"),
        )
    by_region = [{one.name: estimate(one) for one in region.coefficients} for region in model.regions]
    rows = []
    for region, estimates in zip(model.regions, by_region, strict=True):
        cells = [number(estimates[name].value) if name in estimates else NOTHING for name in names]
        rows.append([str(region.region), f"{region.num_edges:,}", f"{region.num_routes:,}", *cells])
    notes = list(dict.fromkeys(region.note for region in model.regions if region.note))
    penalty = summary["penalty"]
    penalty = penalty if isinstance(penalty, str) else f"{penalty:g}"
    intro = (
        f"Coefficients differ between {len(model.regions)} regions of the map, drawn towards their mean by a penalty "
        f"of {penalty}. {summary['num_crossing']:,} of {summary['num_routes']:,} routes cross a border between "
        "regions."
    )
    shown = by_region[:_MAX_REGION_SERIES]
    series = [
        charts.Dots(
            "",
            [one[name].value if name in one else None for name in names],
            [None] * len(names),
            [charts.LEARNED] * len(names),
            is_filled=False,
            is_labelled=False,
        )
        for one in shown
    ]

    def draw(axes: Axes) -> None:
        label = "coefficient in nats, a dot for each region"
        charts.draw_dots(axes, [_with_unit(name) for name in names], series, x_label=label, reference=0.0)

    more = f" The first {len(shown)} regions are drawn." if len(shown) < len(by_region) else ""
    figure = Figure(
        chart_svg(draw, size=(4.8, 0.36 * len(names) + 0.6), name="forest"),
        "Coefficients by region",
        f"Coefficients of {len(names)} features in {len(shown)} regions, a dot each",
        f"How far the dots of a row lie apart is how far tastes differ between regions.{more}",
    )
    table = make_table(
        "Coefficients by region, in nats",
        ["region", "edges", "routes", *map(_with_unit, names)],
        rows,
        note=" ".join(f"{note}." for note in notes),
    )
    return Text(intro), Figures((figure,)), table


def _histogram(found: LearnedCorrections) -> Figure:
    size = np.abs(found.value)
    dearer, cheaper = int((found.value > 0).sum()), int((found.value < 0).sum())

    def draw(axes: Axes) -> None:
        charts.draw_histogram(axes, found.value, x_label=f"correction of {found.of}s in nats (negative: used more)")

    words = f"{len(found.value):,} {found.of}s have a correction: {dearer:,} are dearer, {cheaper:,} cheaper"
    return Figure(
        chart_svg(draw, size=(3.9, 2.4), name=f"histogram-{found.of}"),
        f"Corrections of {found.of}s",
        f"Histogram. {words}; median size {np.median(size):.2f} nats, largest {size.max():.2f}",
        f"{words}. Median size {np.median(size):.2f}, largest {size.max():.2f} nats. Counts on a logarithmic scale.",
    )


def _correction_map(model: LearnedModel, found: tuple[LearnedCorrections, ...]) -> Block:
    network = model.network
    if network.graph.latitude_deg is None:
        return Text("There is no map of them: this network has no coordinates.", "note")
    svg, left_out = corrections_svg(network, found)
    kinds = {one.of for one in found}
    what = (
        f"Coloured roads: corrections of edges; 1 to {NUM_NUMBERED}: rows of the table below. "
        if "edge" in kinds
        else ""
    )
    what += "Dots: turns with the largest corrections, on the junction they pass. " if "turn" in kinds else ""
    caption = (
        f"{what}Blue: used more than features explain; orange: avoided. Of two on one line the larger lies on top."
    )
    if left_out:
        caption += f" {left_out:,} smaller corrections are not drawn."
    title = "Corrections on the map"
    return Figures((Figure(svg, title, f"Map of {network.graph.num_edges:,} road edges with corrections", caption),))


def _largest(model: LearnedModel, found: LearnedCorrections, train: Demonstrations | None) -> Table:
    network = model.network
    rows_of = found.largest(_LARGEST)
    uses = num_uses(train, found.of) if train is not None else None
    rows: list[list[str | Cell]] = []
    for place, row in enumerate(rows_of.tolist(), start=1):
        at, value = int(found.at[row]), float(found.value[row])
        if found.of == "edge":
            where: list[str | Cell] = [describe_edge(network, at), _edge_cell(model, at), _from_to(model, at)]
        else:
            begin, end = int(network.turns.from_edge[at]), int(network.turns.to_edge[at])
            where = [
                f"{describe_edge(network, begin)} → {describe_edge(network, end)}",
                _turn_kind(model, at),
                _edge_cell(model, begin),
                _node_cell(model, int(network.graph.head[begin])),
                _edge_cell(model, end),
            ]
        rows.append([str(place), *where, signed(value), *([f"{int(uses[at]):,}"] if uses is not None else [])])
    middle = (
        ["street", "edge", "from → to node"] if found.of == "edge" else ["streets", "kind", "from", "at node", "to"]
    )
    columns = ["no.", *middle, "correction", *(["training routes"] if uses is not None else [])]
    note = "In nats; positive: avoided beyond what features explain, negative: used more. Names link to OpenStreetMap."
    if not has_osm_ids(network):
        note = note.replace(" Names link to OpenStreetMap.", " Ids are those of the network's source.")
    return make_table(
        f"Largest corrections of {found.of}s", columns, rows, text_columns=range(len(middle) + 1), note=note
    )


def _edge_cell(model: LearnedModel, edge: int) -> Cell:
    """An edge by its OSM way, else by its id."""
    ways = osm_ways(model.network, edge)
    if not ways:
        return Cell(str(int(model.network.graph.edge_id[edge])))
    more = f" and {len(ways) - 1} more" if len(ways) > 1 else ""
    return Cell(f"way {ways[0]}{more}", f"{OSM_ADDRESS}/way/{ways[0]}")


def _node_cell(model: LearnedModel, node: int) -> Cell:
    number_ = int(model.network.graph.node_id[node])
    is_osm = has_osm_ids(model.network) and number_ > 0
    return Cell(str(number_), f"{OSM_ADDRESS}/node/{number_}" if is_osm else "")


def _from_to(model: LearnedModel, edge: int) -> str:
    graph = model.network.graph
    return f"{int(graph.node_id[graph.tail[edge]])} → {int(graph.node_id[graph.head[edge]])}"


def _turn_kind(model: LearnedModel, turn: int) -> str:
    turns = model.network.turns
    kinds = (("U-turn", turns.is_uturn), ("left", turns.is_left), ("right", turns.is_right))
    return next((name for name, column in kinds if column[turn]), "ahead")
