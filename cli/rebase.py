"""The command ``trodden rebase``: a model carried to a newer extract of its map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .console import guarded, progress_bar, require_free, say


@guarded
def rebase(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model folder, as `trodden train` writes it")],
    network: Annotated[
        Path,
        typer.Argument(metavar="NEW_NETWORK", help="the newer map: a stored network, a network folder or an extract"),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="MODEL", help="where to write the carried model")],
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write the counts as JSON")] = None,
) -> None:
    """Carry a model to a newer map, without training.

    Features price the new map; corrections go where their roads went. Says what carried over, what was lost and what
    is new. For example: trodden rebase MODEL city-november.osm.pbf -o MODEL-november
    """
    from ..core.files import write_file
    from ..core.folders import folder_kind
    from ..core.locks import locked
    from ..graphs.reading import read_roads
    from ..irl.checkpoints import load_model, save_model
    from ..irl.rebasing import rebase

    require_free(output, "model")
    with progress_bar("rebasing", None) as update:
        update(0, "reading the model")
        learned = load_model(model)
        update(0, "reading the new map")
        # A limit that was tagged since then changes its own road, and not all of its class.
        before = learned.network
        mode = None if folder_kind(network) is not None else before.mode
        roads = read_roads(network, mode=mode, class_speeds_kmh=before.report.get("class_speeds_kmh"))
        update(0, "finding the roads of the one on the other")
        found = rebase(learned, roads)
    with locked(output):
        save_model(found.model, output)
    if json_file is not None:
        write_file(json_file, (json.dumps(found.report, indent=1) + "\n").encode())
    say(found.table())
    say(f"model in {output}")
