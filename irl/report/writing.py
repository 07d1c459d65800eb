"""A self-contained page on what a model learned and what that is worth (the only importer of jinja2)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from ..._version import __version__
from ...core.files import write_file
from ..demonstrations import Demonstrations, require_network
from ..evaluation import Evaluation, evaluate
from ..map_views import credit_for
from ..model import LearnedModel
from . import map_sections, model_sections, route_sections
from .ablation import AblationRow
from .page import Code, Facts, Section, Text

_TEMPLATE, _STYLE = "report.html", "report.css"


def write_report(
    model: LearnedModel,
    held_out: Demonstrations,
    path_html: str | Path,
    *,
    train: Demonstrations | None = None,
    ablation: Sequence[AblationRow] = (),
    contradictions: Sequence[Mapping[str, Any]] | None = None,
    title: str = "",
    command: str = "",
    result: Evaluation | None = None,
    written: datetime | None = None,
) -> Path:
    """Write one HTML file that explains a model to people: no script, no font, no picture from elsewhere.

    What a model cannot show (maps without coordinates, a likelihood at horizon 0, a curve of a plain linear reward) is
    said in a sentence.

    Parameters
    ----------
    held_out
        Routes to evaluate on.
    train
        Those it was learned from: to count them, and to say how many used what has a correction.
    ablation
        `trodden.irl.report.ablation.parse_ablation`.
    contradictions
        Candidate map errors, a dictionary each, shown as they are; None for no such part.
    title
        The page's heading; default: from the network's name.
    command
        The command line that makes this page, to print on it.
    result
        `evaluate` of these routes where it was computed already.
    written
        The date on the page; default now.

    Raises
    ------
    WrongNetworkError
        Routes that were checked against another network than the model's.
    NoDemonstrationsError
        No route is possible under the model's ending.
    OSError
        The page could not be written.

    Notes
    -----
    Costs an `evaluate`, and a preparation of the network's hierarchy for the example trips. One or two megabytes for a
    city; maps draw 40,000 edges at most.
    """
    for routes in (held_out, train):
        if routes is not None:
            require_network(routes, model.network.checksum, "the set of demonstrations")
    routes = held_out.for_ending(model.ending)
    result = result if result is not None else evaluate(model, held_out)
    is_training = is_training_set(model, routes)
    sections = [
        route_sections.evaluation(model, result, routes),
        route_sections.trips(model, routes, result),
        model_sections.coefficients(model),
        map_sections.contexts(model),
        route_sections.cost_map(model),
        model_sections.corrections(model, train),
        route_sections.contradictions(contradictions) if contradictions is not None else None,
        model_sections.curves(model),
        route_sections.ablation(ablation) if ablation else None,
        model_sections.made_of(model, train),
        map_sections.columns_of_map(model),
        _reproduce(model, routes, result, command),
    ]
    page = (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            title=title or f"What travellers prefer: {model_sections.network_name(model)}",
            warnings=_warnings(model, routes, train, is_training),
            simulated=_simulated(model, held_out),
            byline=model_sections.byline(model),
            headline=route_sections.headline(result, is_training=is_training),
            tiles=route_sections.tiles(result),
            sections=[one for one in sections if one is not None],
            version=__version__,
            written=(written or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
            credit=credit_for(model.network),
        )
    )
    return write_file(path_html, page.encode())


def is_training_set(model: LearnedModel, routes: Demonstrations) -> bool:
    """Whether these are the very routes that the model was learned from."""
    used = routes.for_ending(model.ending)
    return used.digest(model.ending) == model.summary.get("routes_digest")


def _environment() -> Any:
    import jinja2

    folder = resources.files(__package__)
    files = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in (_TEMPLATE, _STYLE)}
    return jinja2.Environment(
        loader=jinja2.DictLoader(files),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _simulated(model: LearnedModel, held_out: Demonstrations) -> str:
    """What the banner says; the empty string where nothing is simulated."""
    if model.is_simulated and held_out.is_simulated:
        return "Its routes, those learned from and those evaluated on, were drawn by a program. No traveller took them."
    if model.is_simulated:
        return "The routes that it was learned from were drawn by a program. No traveller took them."
    if held_out.is_simulated:
        return "The routes that it is evaluated on were drawn by a program. No traveller took them."
    return ""


def _warnings(
    model: LearnedModel, routes: Demonstrations, train: Demonstrations | None, is_training: bool
) -> list[str]:
    if is_training:
        return [
            "These are the routes that the model was learned from: how well it predicts others, this page cannot say."
        ]
    if train is None:
        return []
    seen = {(train.route_id[row], train.route(row).tobytes()) for row in range(len(train))}
    count = sum((routes.route_id[row], routes.route(row).tobytes()) in seen for row in range(len(routes)))
    if not count:
        return []
    return [f"{count:,} of {len(routes):,} held-out routes stand in the training file too, with the same id and edges."]


def _reproduce(model: LearnedModel, routes: Demonstrations, result: Evaluation, command: str) -> Section:
    summary = model.summary
    trained_on = Path(summary["routes_source"]).name or "TRAINING_ROUTES"
    network = Path(summary["network_source"]).name or "SOURCE"
    commands = [
        f"trodden build {network} -o NETWORK",
        f"trodden train NETWORK --routes {trained_on} --config config.toml -o MODEL",
        f"trodden evaluate MODEL --routes {Path(routes.source).name}",
        command or f"trodden report MODEL --routes {Path(routes.source).name} -o report.html",
    ]
    identity = Facts(
        (
            ("Network", f"SHA-256 {model.network.checksum[:16]}"),
            ("Training routes", f"SHA-256 {str(summary.get('routes_digest', 'not recorded'))[:16]}"),
            ("Held-out routes", f"SHA-256 {routes.digest(model.ending)[:16]} ({Path(routes.source).name})"),
            ("Written by", f"trodden {__version__}"),
        )
    )
    figures = json.dumps(result.to_json(), indent=1)
    return Section(
        "reproduce",
        "How to make this again",
        (
            Text("With the configuration below as config.toml:"),
            Code("\n".join(commands)),
            identity,
            Code(model.config.to_toml(), "Configuration (config.toml)"),
            Code(figures, "Every figure of the evaluation as JSON"),
        ),
    )
