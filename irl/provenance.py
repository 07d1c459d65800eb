"""What a model says of its making, and by what a checkpoint is told to be of the same run."""

from __future__ import annotations

import hashlib
import json

from ..core.config import Config
from ..graphs.road_graph import RoadNetwork
from .demonstrations import Demonstrations
from .features import default_features, expand_names


def run_names(network: RoadNetwork, config: Config) -> tuple[str, ...]:
    """What a checkpoint is told by: the features, and the parts beside a linear reward or in its place."""
    reward = config.reward
    names = expand_names(network, reward.features or default_features(network))
    if reward.is_plain:
        return names
    parts = ["linear"] * reward.linear + ["mlp"] * bool(reward.mlp_width) + list(reward.corrections)
    return (*names, *(f"<{part}>" for part in parts))


def run_digest(routes: Demonstrations, names: tuple[str, ...], config: Config) -> str:
    """SHA-256 of all that an optimiser's path depends on, so that a checkpoint is not answered with another run's."""
    free = {"max_iterations", "checkpoint_every"}
    document = {
        "routes": routes.digest(config.planner.ending),
        "features": names,
        "reward": config.reward.model_dump(mode="json", exclude={"features"}),
        "planner": config.planner.model_dump(mode="json", exclude={"threads"}),
        "training": config.training.model_dump(mode="json", exclude=free),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def provenance(routes: Demonstrations, solver: str, spectral_radius: float | None) -> dict[str, object]:
    """Where the routes came from, and what solved them."""
    return {
        "num_routes": len(routes),
        "skipped": routes.skipped_by_reason,
        "routes_source": routes.source,
        "network_source": routes.network.report.get("source", ""),
        "solver": solver,
        "spectral_radius": spectral_radius,
    }


def fit_summary(value: float, total_weight: float, config: Config) -> dict[str, object]:
    """The log-likelihood, or at horizon 0, which has none, the margin loss."""
    if config.planner.horizon == 0:
        return {
            "log_likelihood": None,
            "log_likelihood_per_route": None,
            "margin_loss_per_route": -value / total_weight,
            "horizon": 0,
        }
    return {
        "log_likelihood": value,
        "log_likelihood_per_route": value / total_weight,
        "horizon": config.planner.horizon,
    }
