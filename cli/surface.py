"""The command ``trodden surface``: the loss around what was learned."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import guarded, progress_bar, say

if TYPE_CHECKING:
    from ..irl.insight.surface import Surface


class Plane(StrEnum):
    """How the plane is laid."""

    auto = "auto"
    curvature = "curvature"
    flat = "flat"
    random = "random"
    members = "members"


@guarded
def surface(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model folder, as `trodden train` writes it")],
    routes: Annotated[Path, typer.Option("--routes", metavar="FILE", help="the routes that it was learned from")],
    along: Annotated[
        tuple[str, str] | None, typer.Option(metavar="NAME NAME", help="two features: the plane of their coefficients")
    ] = None,
    plane: Annotated[
        Plane, typer.Option(metavar="KIND", help="curvature, flat, random, members; auto: by what the reward has")
    ] = Plane.auto,
    grid: Annotated[int, typer.Option(min=3, metavar="N", help="points along each side, odd")] = 21,
    rise: Annotated[
        float, typer.Option(metavar="NATS", help="how far: what the loss would rise by if curvature stayed")
    ] = 0.5,
    held_out: Annotated[
        Path | None, typer.Option("--held-out", metavar="FILE", help="also the loss of these routes")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="of random directions")] = 0,
    picture: Annotated[Path | None, typer.Option(metavar="PNG", help="draw it as contours")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write the figures as JSON")] = None,
) -> None:
    """Look at a slice of the loss around what was learned.

    Negative log-likelihood per route, with the penalty if there is one, on a plane through the learned parameters.
    """
    from ..core.files import write_file
    from ..irl.checkpoints import load_model
    from ..irl.demonstrations import read_demonstrations
    from ..irl.insight.surface import loss_surface

    learned = load_model(model)
    demonstrations = read_demonstrations(routes, learned.network)
    others = read_demonstrations(held_out, learned.network) if held_out else None
    with progress_bar("evaluating", grid * grid * (1 + (others is not None))) as update:
        found = loss_surface(
            learned,
            demonstrations,
            along=along,
            kind=plane.value,
            grid=grid,
            rise=rise,
            held_out=others,
            seed=seed,
            progress=lambda done, total: update(done, ""),
        )
    if json_file is not None:
        write_file(json_file, (json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n").encode())
    say(_described(found))
    if picture is not None:
        from ..irl.plots import draw_surface_png

        draw_surface_png(found, picture)
        say(f"picture in {picture}")


def _described(found: Surface) -> str:
    word = "simulated route" if found.is_simulated else "route"
    lines = [
        f"x: {found.x.label}"[:80],
        f"   {found.x.at[0]:.4g} to {found.x.at[-1]:.4g}, learned {found.x.learned:.4g}",
        f"y: {found.y.label}"[:80],
        f"   {found.y.at[0]:.4g} to {found.y.at[-1]:.4g}, learned {found.y.learned:.4g}",
        f"loss per {word}: {found.learned_loss:.6f} where it was learned",
    ]
    grids = [("loss", found.loss, found.learned_loss)]
    if found.held_out is not None and found.learned_held_out is not None:
        lines.append(f"held out: {found.learned_held_out:.6f} there")
        grids.append(("held-out loss", found.held_out, found.learned_held_out))
    for name, values, there in grids:
        x, y, lowest = found.lowest(values)
        if lowest < there - 1e-9:
            lines.append(f"lowest {name} of the grid: {lowest:.6f} at ({x:.4g}, {y:.4g})")
        else:
            lines.append(f"no point of the grid has a lower {name}")
    share = float(found.is_infeasible.mean())
    if share:
        lines.append(f"{share:.0%} of the grid has no loss: no values exist, or a turn would cost nothing")
    return "\n".join(lines)
