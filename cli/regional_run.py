"""Training per region on Ray, with a progress bar."""

from __future__ import annotations

from pathlib import Path

from ..core.config import Config
from ..distributed.coordinator import fit_regions
from ..graphs.road_graph import RoadNetwork
from ..irl.checkpoints import save_model
from ..irl.demonstrations import Demonstrations
from ..irl.model import LearnedModel
from .console import progress_bar


def train_regions_into(
    output: Path,
    network: RoadNetwork,
    demonstrations: Demonstrations,
    config: Config,
    *,
    num_regions: int,
    num_workers: int | None = None,
    address: str = "local",
) -> LearnedModel:
    """`fit_regions` with a bar, and the merged model saved."""
    with progress_bar(f"training {num_regions} regions on Ray", num_regions) as update:
        model = fit_regions(
            network,
            demonstrations,
            config,
            num_regions=num_regions,
            num_workers=num_workers,
            address=address,
            progress=lambda done, total: update(done, ""),
        )
    save_model(model, output)
    return model
