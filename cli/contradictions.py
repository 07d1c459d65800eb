"""The command ``trodden contradictions``: where travellers contradict the map."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import guarded, progress_bar, say, text_table

if TYPE_CHECKING:
    from ..irl.insight.contradictions import Contradiction, Contradictions
    from ..irl.insight.places import Place

_WIDTH = 80


@guarded
def contradictions(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model folder, as `trodden train` writes it")],
    routes: Annotated[Path, typer.Option("--routes", metavar="FILE", help="routes, .csv or .parquet")],
    top: Annotated[int, typer.Option(min=1, metavar="N", help="list at most so many")] = 20,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write the list as JSON")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="write the list as CSV")] = None,
    page: Annotated[Path | None, typer.Option("--map", metavar="HTML", help="draw them on a page to click on")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="PNG", help="draw them, the strongest from near by")] = None,
) -> None:
    """List edges and turns whose use contradicts their tags.

    Candidate map errors: how often each was travelled beside how often the reward without corrections expects it.
    """
    from ..core.files import write_file
    from ..irl.checkpoints import load_model
    from ..irl.demonstrations import read_demonstrations
    from ..irl.insight.contradictions import find_contradictions

    learned = load_model(model)
    if page is not None or picture is not None:
        learned.network.graph.require_coordinates("a map of contradictions")  # now, not after the work
    demonstrations = read_demonstrations(routes, learned.network)
    with progress_bar("comparing", 100) as update:
        found = find_contradictions(
            learned, demonstrations, top=top, progress=lambda done, what: update(round(100 * done), what)
        )
    if json_file is not None:
        write_file(json_file, (json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n").encode())
    if csv_file is not None:
        write_file(csv_file, _as_csv(found).encode())
    say(contradiction_table(found))
    if not found.rows:
        return  # nothing to draw
    if page is not None:
        from ..irl.trip_map import draw_contradictions_map

        draw_contradictions_map(learned.network, found, page)
        say(f"map in {page}")
    if picture is not None:
        from ..irl.plots import draw_contradictions_png

        draw_contradictions_png(learned.network, found, picture)
        say(f"picture in {picture}")


def contradiction_table(found: Contradictions) -> str:
    """The list as text, two or three lines to a row, no wider than 80 columns."""
    word = "simulated routes" if found.is_simulated else "routes"
    lines = [f"{found.num_compared:,} edges and turns compared on {found.num_routes:,} {word}"]
    if found.is_refit:
        lines.append("expected: by a linear reward of the model's features, learned from these routes")
    if not found.rows:
        return "\n".join([*lines, "none contradicts its tags"])
    titles = ["", "kind", "travelled", "observed", "expected", "statistic", "suggested", "learned"]
    cells = [
        [
            f"{rank}",
            row.place.kind,
            "more" if row.statistic > 0 else "less",
            f"{row.observed:g}",
            f"{row.expected:.1f}",
            f"{row.statistic:+.2f}",
            f"{row.suggested:+.2f}",
            "-" if row.learned is None else f"{row.learned:+.2f}",
        ]
        for rank, row in enumerate(found.rows, 1)
    ]
    heading, *table = text_table(titles, cells).split("\n")
    lines += ["", heading]
    is_strong = [abs(row.statistic) > found.by_chance for row in found.rows]
    for number, (line, row) in enumerate(zip(table, found.rows, strict=True)):
        if not is_strong[number] and (number == 0 or is_strong[number - 1]):
            lines.append(f"--- from here on no stronger than chance alone would make one ({found.by_chance:.1f}) ---")
        lines += [line, *(f"    {text}"[:_WIDTH] for text in _whereabouts(row))]
    return "\n".join(
        [
            *lines,
            "",
            "statistic: + travelled more, - less than the tags say; about normal by chance",
            "suggested: nats to add to the cost there; learned: what the model itself adds",
        ]
    )


def _whereabouts(row: Contradiction) -> list[str]:
    place = row.place
    at = "" if place.latitude_deg is None else f", {place.latitude_deg:.5f},{place.longitude_deg:.5f}"
    words = [_told(name, kind) for name, kind in zip(*_same_length(place.names, place.road_classes), strict=True)]
    notes = [" -> ".join(word for word in words if word)]
    notes += [f"{len(row.same_road)} more of this road say so"] if row.same_road else []
    notes += ["shut, it seems"] if row.is_shut else []
    notes += [] if row.num_travellers is None else [f"{row.num_travellers} travellers"]
    described = "; ".join(note for note in notes if note)
    others = [f"or {other.kind}: {_named(other)}" for other in row.alternatives]
    return [_named(place) + at, *([described] if described else []), *others]


def _named(place: Place) -> str:
    if place.osm_ways and place.kind == "turn":
        return f"way {place.osm_ways[0]} -> {place.osm_ways[1]} at node {place.nodes[0]}"
    if place.osm_ways:
        more = f" and {len(place.osm_ways) - 1} more" if len(place.osm_ways) > 1 else ""
        return f"way {place.osm_ways[0]}{more}, node {place.nodes[0]} -> {place.nodes[1]}"
    return f"edge {' -> '.join(map(str, place.edge_ids))}"


def _same_length(names: tuple[str, ...], classes: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    count = max(len(names), len(classes))
    return names or ("",) * count, classes or ("",) * count


def _told(name: str, kind: str) -> str:
    return f"{name} ({kind})" if name and kind else name or kind


def _as_csv(found: Contradictions) -> str:
    """A line per row; several values in one cell are separated by blanks."""
    text = io.StringIO()
    rows = [{"rank": rank, **row.to_json()} for rank, row in enumerate(found.rows, 1)]
    names = list(rows[0]) if rows else ["rank"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):  # alternatives
        return " | ".join(f"{one['kind']} {' '.join(map(str, one['edge_ids']))}" for one in value)
    if isinstance(value, list):
        is_text = any(isinstance(one, str) for one in value)
        return (" | " if is_text else " ").join(map(str, value))
    return "" if value is None else value
