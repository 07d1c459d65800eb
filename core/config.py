"""Configuration: TOML in, checked by pydantic, written back beside the model."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StrictBool,
    ValidationError,
    model_validator,
)

from .errors import ConfigurationError
from .periods import check_time_zone, parse_periods

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _as_given(cls, given: Any, check: ModelWrapValidatorHandler[Self]) -> Self:
        """Neither a text nor a yes or no is read as a number, nor the other way round."""
        made = check(given)
        for name, value in given.items() if isinstance(given, dict) else ():
            taken = getattr(made, name, value)
            if any(isinstance(value, kind) != isinstance(taken, kind) for kind in (bool, str)):
                raise ValueError(f"{name} = {value!r} is of another type than {taken!r}")
        return made


class RewardConfig(_Section):
    """``[reward]``: what a turn's reward is made of."""

    features: tuple[str, ...] = ()
    """Names as `trodden.irl.features` explains them; empty = the default set for the network at hand."""
    minimum_cost: float = Field(default=1e-6, gt=0)
    """Every turn's total cost is kept at least this large."""
    linear: bool = True
    """Whether there is a part linear in the features. ``false`` needs an MLP instead."""
    corrections: tuple[Literal["edge", "turn"], ...] = ()
    """A free correction for every edge, every turn, or both, that demonstrations support; the rest stay exactly 0."""
    edge_penalty: float = Field(default=1.0, ge=0)
    """L2: 1 / variance of the corrections of edges, in nats."""
    turn_penalty: float = Field(default=1.0, ge=0)
    """L2: 1 / variance of the corrections of turns, in nats."""
    min_routes: int = Field(default=1, gt=0)
    """Weight of the routes that must have used an edge or turn before it has a correction."""
    min_travellers: int = Field(default=0, ge=0)
    """Travellers that must have used it, for their privacy; routes must then name theirs."""
    mlp_width: int = Field(default=0, ge=0)
    """Units of each hidden layer of an MLP on the features; 0 = none."""
    mlp_depth: int = Field(default=2, gt=0)
    """Hidden layers of the MLP."""
    mlp_penalty: float = Field(default=0.1, ge=0)
    """L2 of the MLP's weights."""
    linear_penalty: float = Field(default=0.01, ge=0)
    """L2 of the linear part's scaled coefficients, where corrections or an MLP stand beside it; else there is none."""
    members: int = Field(default=1, gt=0)
    """Rewards of an ensemble, each learned from the routes drawn anew with replacement; 1 = one, from all of them."""
    average: Literal["costs", "parameters"] = "costs"
    """What an ensemble serves: the mean of its members' costs, or the cost of their mean parameters."""

    @property
    def is_plain(self) -> bool:
        """Linear in the features and nothing else: maximum likelihood, with standard errors."""
        return self.linear and not self.corrections and self.mlp_width == 0 and self.members == 1

    @model_validator(mode="after")
    def _agrees(self) -> RewardConfig:
        if not self.linear and self.mlp_width == 0:
            raise ValueError("linear = false needs an MLP (mlp_width) to make costs from the features")
        if len(set(self.corrections)) < len(self.corrections):
            raise ValueError("corrections holds a name twice")
        for name, is_used in (("mlp_depth", self.mlp_width > 0), ("average", self.members > 1)):
            if not is_used and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is for {'an MLP' if name == 'mlp_depth' else 'ensembles'}; leave it out")
        return self


PRESETS: dict[str, dict[str, Any]] = {
    "mmp": {"horizon": 0},
    "birl": {"horizon": 1},
    "rhip": {"horizon": 10},
    "maxent": {"horizon": "infinity", "start": "nothing"},
    "maxent++": {"horizon": "infinity", "start": "best_path"},
}
"""``[planner] preset``: what each name stands for. ``rhip`` takes any finite horizon from 1 on; 10 is its default."""


class PlannerConfig(_Section):
    """``[planner]``: how far ahead travellers are taken to choose at random, and how values are computed.

    ``preset`` may be given instead of ``horizon`` and ``start``; it is expanded and not kept.

    >>> PlannerConfig.model_validate({"preset": "birl"}).horizon
    1
    """

    horizon: Annotated[int, Field(strict=True, ge=0)] | Literal["infinity"] = "infinity"
    """H: random choices for so many turns, the best path from there on. 0: maximum-margin planning, no likelihood."""
    start: Literal["best_path", "nothing"] = "best_path"
    """Where sweeps start at horizon infinity (MaxEnt++ or MaxEnt): it decides whether they need logarithms, and so time
    only. A finite horizon always ends in the best path."""
    margin: float = Field(default=1.0, gt=0)
    """At horizon 0: by how much a demonstration has to beat a route that shares nothing with it, in units of cost per
    average edge."""
    margin_by: Literal["length", "count"] = "length"
    """At horizon 0: whether an unshared edge counts by its length (travel time, where there is none) or as one."""
    ending: Literal["arrival", "stop"] = "arrival"
    """How a route ends: at the first visit of its last edge, or by choosing to stop on any edge into its last node."""
    solver: Literal["auto", "factorization", "sweeps", "corridors"] = "auto"
    """``corridors`` is for maps that one LU cannot hold: each trip in its own neighbourhood, a model of its own; from
    300,000 edges on ``auto`` takes it."""
    corridor_tau: float = Field(default=25.0, gt=0)
    """Width of corridors, in nats: routes that stray further than that from the best one are not considered. Where the
    monitor says that this matters, by more than 1e-7 nats or so, a trip's corridor is made wider, up to twice that."""
    compress: Literal["auto"] | StrictBool = "auto"
    """At horizon infinity: solve trips on a smaller graph of turns with the same values. It decides time only;
    ``auto`` does so on large networks, where it pays."""
    tolerance: float = Field(default=1e-10, gt=0)
    max_sweeps: int = Field(default=20_000, gt=0)
    threads: int = Field(default=0, ge=0)
    """Threads for the factorisation's right-hand sides; 0 = one per CPU, at most 8."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, given: Any) -> Any:
        """Replace ``preset`` by what it stands for."""
        return _expanded(given) if isinstance(given, dict) and "preset" in given else given

    @model_validator(mode="after")
    def _agrees(self) -> PlannerConfig:
        if self.horizon != "infinity" and self.start != "best_path":
            raise ValueError(f"start = {self.start!r} is for horizon infinity: a finite one ends in the best path")
        if self.horizon != "infinity" and self.solver not in ("auto", "corridors"):
            raise ValueError(f"solver = {self.solver!r} is for horizon infinity; leave it out")
        has_default_tau = self.corridor_tau == type(self).model_fields["corridor_tau"].default
        if self.solver not in ("auto", "corridors") and not has_default_tau:
            raise ValueError("corridor_tau is for corridors; leave it out")
        if self.compress is True and self.horizon != "infinity":
            raise ValueError("compress = true is for horizon infinity: a finite one counts original turns")
        if self.horizon != 0 and not self._has_default_margin:
            raise ValueError("a margin is for horizon 0; leave it out")
        return self

    @property
    def _has_default_margin(self) -> bool:
        fields = type(self).model_fields
        return bool(self.margin == fields["margin"].default and self.margin_by == fields["margin_by"].default)


def _expanded(given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a preset and those given beside it; `ValueError` where they contradict each other."""
    rest = {key: value for key, value in given.items() if key != "preset"}
    name = given["preset"]
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"preset = {name!r} is none of {', '.join(PRESETS)}")
    meaning = PRESETS[name]
    if name == "rhip" and type(rest.get("horizon")) is int and rest["horizon"] >= 1:
        meaning = {"horizon": rest["horizon"]}
    for key, value in meaning.items():
        if rest.get(key, value) != value:
            raise ValueError(f"preset = {name!r} means {key} = {value!r}, not {rest[key]!r}")
    return {**rest, **meaning}


class TrainingConfig(_Section):
    """``[training]``."""

    method: Literal["auto", "newton", "bhhh", "l-bfgs", "adam"] = "auto"
    """``auto``: Newton's method with the exact Hessian where one LU serves, L-BFGS-B elsewhere, a bundle method at
    horizon 0. ``bhhh`` preconditions by the outer product of scores, an estimate of the Fisher information."""
    batch_destinations: int = Field(default=0, ge=0)
    """With ``adam``: destinations per step, a mini-batch; 0 = all of them."""
    learning_rate: float = Field(default=0.1, gt=0)
    """With ``adam``: the first step, in scaled coefficients (where 1 is a nat per typical turn); it falls to 0."""
    max_iterations: int = Field(default=200, gt=0)
    """Accepted steps; with mini-batches, passes through all routes."""
    gradient_tolerance: float = Field(default=1e-7, gt=0)
    """Largest component of the gradient of the mean log-likelihood, in scaled features, at which training stops."""
    start: dict[str, float] = Field(default_factory=dict)
    """Starting coefficients by feature; empty = found by doubling a base cost until values exist."""
    checkpoint_every: int = Field(default=5, gt=0)
    """Iterations between checkpoints."""
    seed: int = 0
    """Draws the mini-batches and their order, the routes held out, an MLP's first weights, an ensemble's routes."""
    validation_share: float = Field(default=0.2, ge=0, lt=1)
    """With corrections or an MLP: share of the routes held out to choose the number of iterations on; all routes are
    then learned from for so many. 0: until converged."""
    validate_every: int = Field(default=10, gt=0)
    """Iterations between two looks at the routes held out."""
    patience: int = Field(default=5, gt=0)
    """Looks without a better one until training stops."""
    select_by: Literal["exact", "iou", "nll"] = "exact"
    """What the held-out routes are asked: exact match of the best route, its IoU, or the likelihood. Where the first
    two are equal the other one decides."""

    @model_validator(mode="after")
    def _agrees(self) -> TrainingConfig:
        if self.batch_destinations and self.method != "adam":
            raise ValueError("batch_destinations is for method = 'adam'; others take all destinations at each step")
        return self


class BaselineConfig(_Section):
    """``[baselines]``: fastest + penalties, tuned by random search on the training routes."""

    budget: int = Field(default=200, ge=0)
    """Evaluations of the search; 0 leaves that baseline out."""
    num_routes: int = Field(default=1000, gt=0)
    """At most so many training routes score a candidate."""


class RegionsConfig(_Section):
    """``[regions]``: a reward that differs from region to region of the map."""

    count: int = Field(default=1, gt=0)
    """Regions; 1 is one reward everywhere."""
    penalty: Annotated[float, Field(ge=0)] | Literal["infinity", "auto"] = "auto"
    """How strongly regions are drawn towards their mean: 1 / variance of their deviations, in scaled coefficients
    (where 1 is a nat per typical turn). 0: independent experts; infinity: one shared reward; ``auto``: chosen on
    routes that are held out for it, then trained on all."""
    crossing: Literal["exact", "cut"] = "exact"
    """Routes that cross a border: whole, or cut into a piece per region (a conditional likelihood, which says nothing
    about the choice of the crossing). Whole ones are solved in corridors that reach into the other regions, or with
    ``[planner] solver = "factorization"`` on the whole map, one LU per region and one small system between borders."""
    halo_km: float = Field(default=2.0, ge=0)
    """With ``exact``: how far around its routes a shard's map reaches."""
    method: Literal["bisection", "metis"] = "bisection"
    """How the map is cut; METIS cuts fewer turns, and needs the package ``pymetis`` but no coordinates."""
    balance: float = Field(default=0.5, ge=0, le=1)
    """Share of the demonstrations in what regions have equal amounts of; the rest is the edges'."""
    validation_share: float = Field(default=0.2, gt=0, lt=1)
    """With ``penalty = "auto"``: the share of the routes that it is chosen on."""
    rank: int = Field(default=0, ge=0)
    """With an MLP: rank of the regions' deviations from the weights that they share; 0 = all have the same."""


class ContextConfig(_Section):
    """``[context]``: a reward that differs by time of departure or by group of travellers."""

    periods: dict[str, str] = Field(default_factory=dict)
    """Spans of the day, or of the week, by name; see `trodden.core.periods`. Routes then need a departure."""
    group: str = ""
    """Column of the routes file whose values are groups of travellers; each has a reward of its own."""
    time_zone: str = ""
    """Where departures with an offset are read, ``"Europe/Lisbon"``; those without are taken as they stand."""
    by_period: tuple[str, ...] = ()
    """Features that have a column for each period: ``travel_time_min`` is then ``travel_time_min@PERIOD``."""
    penalty: Annotated[float, Field(ge=0)] | Literal["infinity", "auto"] = "auto"
    """How strongly contexts are drawn towards their mean: as ``[regions] penalty``."""
    folds: int = Field(default=5, gt=1)
    """With ``penalty = "auto"``: in so many parts each context's routes are held out, one after the other. One reward
    for all is kept unless they gain more than the standard error of that gain."""

    @property
    def is_given(self) -> bool:
        """Whether there is anything that rewards differ by."""
        return bool(self.periods or self.group)

    def features_in(self, period: str, names: Sequence[str]) -> tuple[str, ...]:
        """The features of one period: those of ``by_period`` have their own column, in products too.

        >>> ContextConfig(periods={"am": "07:00-10:00"}, by_period=("x",)).features_in("am", ["x*y", "z"])
        ('x@am*y', 'z')
        """
        own = {name: f"{name}@{period}" for name in self.by_period if period}
        return tuple("*".join(own.get(part.strip(), part) for part in name.split("*")) for name in names)

    @model_validator(mode="after")
    def _agrees(self) -> ContextConfig:
        if self.periods:
            parse_periods(self.periods)
        check_time_zone(self.time_zone)
        for name in self.periods:
            if not _PLAIN_NAME.fullmatch(name):
                raise ValueError(f"period {name!r}: a name is letters, digits, _ and -")
        if self.by_period and not self.periods:
            raise ValueError("by_period needs periods")
        return self


class Config(_Section):
    """A whole training configuration; every field has a default.

    >>> Config().planner.ending
    'arrival'
    """

    reward: RewardConfig = RewardConfig()
    planner: PlannerConfig = PlannerConfig()
    training: TrainingConfig = TrainingConfig()
    baselines: BaselineConfig = BaselineConfig()
    regions: RegionsConfig = RegionsConfig()
    context: ContextConfig = ContextConfig()

    @model_validator(mode="after")
    def _agrees(self) -> Config:
        needs_lu = self.training.method in ("newton", "bhhh")
        if needs_lu and (self.planner.horizon != "infinity" or self.planner.solver in ("sweeps", "corridors")):
            raise ValueError(
                f"[training] method = {self.training.method!r} needs second derivatives, which horizon infinity has "
                "by the factorisation alone; choose 'auto', 'l-bfgs' or 'adam'"
            )
        if not self.reward.is_plain and self.training.method not in ("auto", "l-bfgs"):
            raise ValueError(
                f"[training] method = {self.training.method!r} is for linear rewards; one with corrections, an MLP or "
                "members is trained by L-BFGS; leave it out"
            )
        if not self.reward.is_plain and self.training.start:
            raise ValueError("[training] start is for linear rewards; leave it out")
        if self.regions.count > 1:
            self.require_regional()
        if self.context.is_given:
            self._require_contextual()
        return self

    def _require_contextual(self) -> None:
        """`ValueError` for what contexts cannot be trained with."""
        if not self.reward.is_plain:
            raise ValueError("[context] is for linear rewards; leave corrections, MLP and members out")
        if self.planner.horizon != "infinity" or self.planner.solver == "sweeps":
            raise ValueError("[context] is for horizon infinity by factorization or in corridors")

    def require_regional(self) -> None:
        """`ValueError` for what regions, or one region on Ray, cannot be trained with."""
        planner, crossing = self.planner, self.regions.crossing
        if self.context.is_given:
            raise ValueError("[context] is for a training without regions and without Ray; leave one of them out")
        if self.reward.members > 1:
            raise ValueError("[regions] and Ray learn one reward, not an ensemble; leave members out")
        if self.regions.rank and not self.reward.mlp_width:
            raise ValueError("[regions] rank is for an MLP; leave it out")
        if planner.horizon == 0:
            raise ValueError("[regions] needs a likelihood, which horizon 0 does not have; choose 1 or more")
        if self.training.method != "auto":
            raise ValueError("[training] method is for a training without regions and without Ray; leave it out here")
        if self.regions.count == 1:
            return
        if crossing == "cut" and planner.horizon != "infinity":
            raise ValueError("[regions] crossing = 'cut' is for horizon infinity; with a finite one routes stay whole")
        if crossing == "exact" and planner.solver == "sweeps":
            raise ValueError(
                "[regions] crossing = 'exact' works in corridors or by solver = 'factorization', not by sweeps; leave "
                "the solver out, or take crossing = 'cut'"
            )
        if crossing == "exact" and planner.solver == "factorization" and planner.horizon != "infinity":
            raise ValueError("[regions] solver = 'factorization' is for horizon infinity; leave the solver out")
        if crossing == "exact" and planner.solver == "factorization" and not self.reward.is_plain:
            raise ValueError(
                "[regions] solver = 'factorization' is for linear rewards; with corrections or an MLP, routes that "
                "cross borders are solved in corridors: leave the solver out"
            )

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
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(where=str(path), problem=f"cannot be read as TOML ({error})") from error
    return parse_config(document, where=str(path))


def parse_config(document: dict[str, Any], *, where: str) -> Config:
    """Check a configuration given as nested dictionaries; all faults are collected into one `ConfigurationError`."""
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(_fault(tuple(fault["loc"]), fault["msg"]) for fault in error.errors())
        raise ConfigurationError(where=where, problem=faults) from error


def _fault(place: tuple[int | str, ...], message: str) -> str:
    """One fault as a sentence; one that two sections cause together names them itself."""
    said = message.removeprefix("Value error, ")
    return f"[{'.'.join(map(str, place))}] {said[:1].lower() + said[1:]}" if place else said
