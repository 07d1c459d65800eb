"""Configuration: TOML in, checked by pydantic, written back beside the model."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ConfigurationError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RewardConfig(_Section):
    """``[reward]``: what a turn's reward is made of."""

    features: tuple[str, ...] = ()
    """Names as `trodden.irl.features` explains them; empty = the default set for the network at hand."""
    minimum_cost: float = Field(default=1e-6, gt=0)
    """Every turn's total cost is kept at least this large."""


class PlannerConfig(_Section):
    """``[planner]``: how soft values are computed."""

    ending: Literal["arrival", "stop"] = "arrival"
    """How a route ends: at the first visit of its last edge, or by choosing to stop on any edge into its last node."""
    solver: Literal["auto", "factorization", "sweeps"] = "auto"
    tolerance: float = Field(default=1e-10, gt=0)
    max_sweeps: int = Field(default=20_000, gt=0)
    threads: int = Field(default=0, ge=0)
    """Threads for the factorisation's right-hand sides; 0 = one per CPU, at most 8."""


class TrainingConfig(_Section):
    """``[training]``."""

    max_iterations: int = Field(default=200, gt=0)
    gradient_tolerance: float = Field(default=1e-7, gt=0)
    """Largest component of the gradient of the mean log-likelihood, in scaled features, at which training stops."""
    start: dict[str, float] = Field(default_factory=dict)
    """Starting coefficients by feature; empty = found by doubling a base cost until values exist."""
    checkpoint_every: int = Field(default=5, gt=0)
    """Iterations between checkpoints."""
    seed: int = 0


class BaselineConfig(_Section):
    """``[baselines]``: fastest + penalties, tuned by random search on the training routes."""

    budget: int = Field(default=200, ge=0)
    """Evaluations of the search; 0 leaves that baseline out."""
    num_routes: int = Field(default=1000, gt=0)
    """At most so many training routes score a candidate."""


class Config(_Section):
    """A whole training configuration; every field has a default.

    >>> Config().planner.ending
    'arrival'
    """

    reward: RewardConfig = RewardConfig()
    planner: PlannerConfig = PlannerConfig()
    training: TrainingConfig = TrainingConfig()
    baselines: BaselineConfig = BaselineConfig()

    def to_toml(self) -> str:
        """The configuration as TOML, every field spelled out."""
        return tomli_w.dumps(self.model_dump(mode="json"))


def read_config(path: str | Path) -> Config:
    """Read a TOML configuration.

    Raises
    ------
    ConfigurationError
        The file is missing or is not TOML, or a field is unknown, of the wrong type or out of range; names the field.
    """
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(where=str(path), problem=f"cannot be read as TOML ({error})") from error
    return parse_config(document, where=str(path))


def parse_config(document: dict[str, Any], *, where: str) -> Config:
    """Check a configuration given as nested dictionaries; all faults are collected into one `ConfigurationError`."""
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(
            f"[{'.'.join(str(part) for part in fault['loc'])}] {fault['msg'].lower()}" for fault in error.errors()
        )
        raise ConfigurationError(where=where, problem=faults) from error
