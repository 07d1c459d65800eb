"""Models and training checkpoints on disk: verified folders, written atomically, never executed on loading."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.config import parse_config
from ..core.errors import StoredFolderError, WrongNetworkError
from ..core.folders import read_folder, write_folder
from ..core.types import Floats
from ..graphs.road_graph import RoadNetwork
from ..graphs.store import load_network, save_network
from .evaluations import Evaluation, from_arrays, to_arrays
from .model import Coefficient, ContextReward, LearnedModel, RegionSummary

MODEL_VERSION = 1
CHECKPOINT_VERSION = 2
_BASELINE = "baseline_"
_EVALUATION = "evaluation_"
_PART = "reward_"
_CONTEXT = "context_"
_STATE = "state_"


def save_model(model: LearnedModel, path: str | Path) -> Path:
    """Write a model and, inside it, its network (files are shared by hard link where the file system allows it).

    Beside the arrays stand ``config.toml`` and ``document.json``, for people to read.
    """
    target = Path(path)
    scratch = target.with_name(f".{target.name}.network")
    try:
        network_folder = save_network(model.network, scratch)
        arrays: dict[str, NDArray[Any]] = {
            "turn_cost": model.turn_cost,
            "entry_cost": model.entry_cost,
            "training_pairs": model.training_pairs,
            **{_BASELINE + name: cost for name, cost in model.baseline_costs.items()},
            **{_PART + name: array for name, array in model.parts.items()},
        }
        for name in ("turn_cost", "entry_cost") if model.contexts else ():
            arrays[_CONTEXT + name] = np.array([getattr(one, name) for one in model.contexts])
        if model.edge_region is not None:
            arrays["edge_region"] = model.edge_region
        return write_folder(
            target,
            kind="model",
            version=MODEL_VERSION,
            document=_document(model),
            arrays=arrays,
            files={"config.toml": model.config.to_toml().encode()},
            folders={"network": network_folder},
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def load_model(path: str | Path) -> LearnedModel:
    """Read a model folder with its network.

    Raises
    ------
    StoredFolderError
        A file is missing, cut short or altered, or of a newer version.
    WrongNetworkError
        The network inside is not the one that the model was trained on.
    """
    stored = read_folder(path, kind="model", version=MODEL_VERSION)
    document = stored.document
    if "network" not in stored.folders:
        raise _lacks(path, "network")
    network = load_network(stored.folders["network"])
    expected = str(document.get("network_checksum"))
    if network.checksum != expected:
        raise WrongNetworkError(what=f"the model {path}", expected=expected, found=network.checksum)
    try:
        return _rebuild(stored.arrays, document, network, path)
    except (KeyError, TypeError, AttributeError) as error:
        raise _lacks(path, error) from error


def _lacks(path: str | Path, what: object) -> StoredFolderError:
    return StoredFolderError(
        path=path,
        problem=f"lacks a part of what trodden writes ({what})",
        remedy="Restore it from a copy, or train again",
    )


def _rebuild(
    arrays: dict[str, NDArray[Any]], document: dict[str, Any], network: RoadNetwork, path: str | Path
) -> LearnedModel:
    if len(arrays["turn_cost"]) != network.turns.num_turns or len(arrays["entry_cost"]) != network.graph.num_edges:
        raise StoredFolderError(path=path, problem="its costs do not fit its network", remedy="Train again")
    for name in arrays:
        if name in ("turn_cost", "entry_cost") or name.startswith(_BASELINE):
            _require_costs(arrays[name], name, network, path)
    config = parse_config(document["config"], where=str(path))
    parts = _named(arrays, _PART)
    if not config.reward.is_plain and not {"members", *config.reward.corrections} <= set(parts):
        raise StoredFolderError(path=path, problem="lacks parts of its reward", remedy="Train again")
    return LearnedModel(
        network=network,
        config=config,
        coefficients=_coefficients(document["coefficients"]),
        turn_cost=arrays["turn_cost"],
        entry_cost=arrays["entry_cost"],
        baseline_costs=_named(arrays, _BASELINE),
        training_pairs=arrays["training_pairs"],
        summary=document["summary"],
        is_simulated=document["is_simulated"],
        regions=tuple(
            RegionSummary(**{**r, "coefficients": _coefficients(r["coefficients"])}) for r in document["regions"]
        ),
        edge_region=arrays.get("edge_region"),
        parts=parts,
        contexts=_contexts(arrays, document, network, path),
    )


def _contexts(
    arrays: dict[str, NDArray[Any]], document: dict[str, Any], network: RoadNetwork, path: str | Path
) -> tuple[ContextReward, ...]:
    rows = document.get("contexts", [])
    if not rows:
        return ()
    turn_cost, entry_cost = arrays[_CONTEXT + "turn_cost"], arrays[_CONTEXT + "entry_cost"]
    wanted = (len(rows), network.turns.num_turns), (len(rows), network.graph.num_edges)
    if (turn_cost.shape, entry_cost.shape) != wanted:
        raise StoredFolderError(path=path, problem="its contexts' costs do not fit its network", remedy="Train again")
    return tuple(
        ContextReward(
            **{**row, "coefficients": _coefficients(row["coefficients"])},
            turn_cost=turn_cost[at],
            entry_cost=entry_cost[at],
        )
        for at, row in enumerate(rows)
    )


def _require_costs(cost: NDArray[Any], name: str, network: RoadNetwork, path: str | Path) -> None:
    size = network.graph.num_edges if name == "entry_cost" else network.turns.num_turns
    if cost.dtype != np.float64 or cost.shape != (size,) or not ((cost > 0) & np.isfinite(cost)).all():
        raise StoredFolderError(
            path=path, problem=f"{name} is not a positive finite cost for each of {size}", remedy="Train again"
        )


def _named(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a training run stands."""

    network_checksum: str
    names: tuple[str, ...]
    coefficients: Floats
    """float64[F], in the features' own units."""
    iteration: int
    log_likelihood: float
    run: str
    """SHA-256 of the routes and the settings that the run's path depends on."""
    evaluations: tuple[Evaluation, ...]
    """Every evaluation up to here, from which a resumed run is answered; none where ``state`` says all."""
    state: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What the optimiser of a reward with many parameters keeps."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What such a run knows besides, JSON."""


def save_checkpoint(checkpoint: Checkpoint, path: str | Path) -> Path:
    """Write a checkpoint; an earlier one is replaced only once this one is whole."""
    arrays_of = ("coefficients", "evaluations", "state")
    document = {name: value for name, value in vars(checkpoint).items() if name not in arrays_of}
    document["names"] = list(checkpoint.names)
    made = to_arrays(checkpoint.evaluations, len(checkpoint.names))
    arrays = {
        "coefficients": checkpoint.coefficients,
        **{_EVALUATION + name: array for name, array in made.items()},
        **{_STATE + name: array for name, array in checkpoint.state.items()},
    }
    return write_folder(path, kind="checkpoint", version=CHECKPOINT_VERSION, document=document, arrays=arrays)


def load_checkpoint(path: str | Path, *, network_checksum: str, names: tuple[str, ...]) -> Checkpoint:
    """Read a checkpoint of a run on this network with these features; a typed error where it is of another."""
    stored = read_folder(path, kind="checkpoint", version=CHECKPOINT_VERSION)
    try:
        arrays = {
            "coefficients": stored.arrays["coefficients"],
            "evaluations": from_arrays(_named(stored.arrays, _EVALUATION)),
            "state": _named(stored.arrays, _STATE),
        }
        checkpoint = Checkpoint(**{**stored.document, **arrays, "names": tuple(stored.document["names"])})
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise _lacks(path, error) from error
    if checkpoint.network_checksum != network_checksum:
        raise WrongNetworkError(
            what=f"the checkpoint {path}", expected=checkpoint.network_checksum, found=network_checksum
        )
    if checkpoint.names != names:
        raise StoredFolderError(
            path=path,
            problem=f"learns {', '.join(checkpoint.names)}, this run {', '.join(names)}",
            remedy="Start without --resume",
        )
    return checkpoint


def _document(model: LearnedModel) -> dict[str, Any]:
    return {
        "network_checksum": model.network.checksum,
        "config": model.config.model_dump(mode="json"),
        "coefficients": [dataclasses.asdict(c) for c in model.coefficients],
        "regions": [dataclasses.asdict(r) for r in model.regions],
        "contexts": [
            {
                "period": one.period,
                "group": one.group,
                "num_routes": one.num_routes,
                "coefficients": [dataclasses.asdict(c) for c in one.coefficients],
            }
            for one in model.contexts
        ],
        "summary": model.summary,
        "is_simulated": model.is_simulated,
    }


def _coefficients(rows: list[dict[str, Any]]) -> tuple[Coefficient, ...]:
    return tuple(Coefficient(**row) for row in rows)
