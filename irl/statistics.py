"""What a choice modeller asks of a fitted linear reward: the table of estimates, AIC, BIC, and tests between models."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from scipy import special

from ..core.errors import IncomparableModelsError
from ..core.types import Floats
from .demonstrations import Demonstrations, require_network
from .features import make_features
from .likelihood import route_log_probabilities
from .model import Coefficient, LearnedModel
from .planner import Planner

NORMAL_975 = 1.959963984540054
"""Half width of a 95 % interval in standard errors."""
Correction = Literal["none", "akaike", "schwarz"]


@dataclass(frozen=True)
class Estimate:
    """One coefficient with everything a table shows; None where there is no standard error, and ``note`` says why."""

    name: str
    value: float
    standard_error: float | None
    robust_standard_error: float | None
    clustered_standard_error: float | None
    t_ratio: float | None
    """Value over its classical standard error."""
    p_value: float | None
    """Two-sided, of the t-ratio under the normal distribution."""
    interval: tuple[float, float] | None
    """95 %, classical."""
    robust_t_ratio: float | None
    """With the clustered standard error where there is one, else the robust one; so the two below."""
    robust_p_value: float | None
    robust_interval: tuple[float, float] | None
    note: str


@dataclass(frozen=True)
class ModelStatistics:
    """The estimates of a model, and how well it fits."""

    estimates: tuple[Estimate, ...]
    """Empty for a model of several regions."""
    regions: dict[int, tuple[Estimate, ...]]
    log_likelihood: float | None
    num_routes: int | None
    total_weight: float | None
    """Sum of the routes' weights: the sample size of the BIC."""
    num_travellers: int
    """Travellers named by the routes; 0 where none are, and errors are then robust but not clustered."""
    num_free_parameters: int | None
    """Directions in which the coefficients are free: not bound by constraints, and told apart by the data."""
    aic: float | None
    """Akaike: ``2 k - 2 log-likelihood``."""
    bic: float | None
    """Schwarz: ``k log(total weight) - 2 log-likelihood``."""
    covariances: dict[str, list[list[float | None]]]
    """``classical``, ``robust``, ``clustered``: rows in the order of the estimates."""
    is_simulated: bool
    contexts: dict[str, tuple[Estimate, ...]] = field(default_factory=dict)
    """Of a model with contexts, by their names; everything else is of its one reward for all trips."""

    def to_json(self) -> dict[str, Any]:
        """Everything, as dictionaries, lists and numbers."""
        document = asdict(self)
        document["regions"] = {str(region): rows for region, rows in document["regions"].items()}
        return document

    def to_latex(self) -> str:
        r"""A ``tabular`` that needs no LaTeX package; one per region where there are several."""
        if self.regions and not self.estimates:
            return "\n\n".join(f"% region {number}\n{_latex(rows, [])}" for number, rows in self.regions.items()) + "\n"
        fit = [
            ("Log-likelihood", _text(self.log_likelihood, 3)),
            ("Routes", str(self.num_routes) + (" (simulated)" if self.is_simulated else "")),
            ("Free parameters", str(self.num_free_parameters)),
            ("AIC", _text(self.aic, 3)),
            ("BIC", _text(self.bic, 3)),
        ]
        return _latex(self.estimates, [(name, text) for name, text in fit if text != "None"]) + "\n"


@dataclass(frozen=True)
class LikelihoodRatio:
    """Test of a restricted model against one that contains it."""

    statistic: float
    """``2 (log-likelihood of the full model - that of the restricted one)``."""
    degrees_of_freedom: int
    p_value: float
    """Of the chi-squared distribution (Wilks 1938), which assumes that the full model is right."""


@dataclass(frozen=True)
class Vuong:
    """Test between two models of which neither contains the other (Vuong 1989)."""

    statistic: float
    """Standard normal where both are equally near the truth; positive speaks for the first model."""
    p_value: float
    """Two-sided."""
    mean_difference: float
    """Nats per route, first minus second, before the correction."""
    correction: Correction


def model_statistics(model: LearnedModel) -> ModelStatistics:
    """The statistics of a fitted model; what an older model folder does not hold is None. O(F^2).

    There is no log-likelihood of a null model and no rho-square: with all coefficients 0 the values do not exist on a
    network with cycles, so equal choice is no model here. Compare with a fitted restriction: `likelihood_ratio_test`.
    """
    summary = model.summary
    value, free = summary.get("log_likelihood"), summary.get("num_free_parameters")
    weight = summary.get("total_weight")
    aic, bic = None, None
    if model.coefficients and value is not None and free is not None:
        aic = 2 * free - 2 * value
        bic = free * math.log(weight) - 2 * value if weight else None
    return ModelStatistics(
        estimates=tuple(map(estimate, model.coefficients)),
        regions={region.region: tuple(map(estimate, region.coefficients)) for region in model.regions},
        log_likelihood=value,
        num_routes=summary.get("num_routes"),
        total_weight=weight,
        num_travellers=summary.get("num_travellers", 0),
        num_free_parameters=free,
        aic=aic,
        bic=bic,
        covariances=summary.get("covariances", {}),
        is_simulated=model.is_simulated,
        contexts={one.name: tuple(map(estimate, one.coefficients)) for one in model.contexts},
    )


def estimate(coefficient: Coefficient) -> Estimate:
    """A coefficient with its ratios, p-values and intervals."""
    one = coefficient
    robust = one.robust_standard_error if one.clustered_standard_error is None else one.clustered_standard_error
    return Estimate(
        one.name,
        one.value,
        one.standard_error,
        one.robust_standard_error,
        one.clustered_standard_error,
        *_ratios(one.value, one.standard_error),
        *_ratios(one.value, robust),
        one.note,
    )


def likelihood_ratio_test(restricted: LearnedModel, full: LearnedModel) -> LikelihoodRatio:
    """Do the further features of ``full`` explain more than chance would?

    Raises
    ------
    IncomparableModelsError
        Not fitted on the same routes under the same ending; a reward of ``restricted`` that ``full`` cannot express;
        no further parameter; or a constraint that binds, since the statistic then has no chi-squared distribution.
    """
    _require_same_routes(restricted, full)
    for model, name in ((restricted, "restricted"), (full, "full")):
        if model.summary.get("bound_turns"):
            raise IncomparableModelsError(
                problem=f"positivity binds in the {name} model, so that the statistic has no chi-squared distribution",
                remedy="compare them on held-out routes with `evaluate`",
            )
    names = [tuple(one.name for one in model.coefficients) for model in (restricted, full)]
    small, large = (make_features(full.network, one).value for one in names)
    if not _spans(large, small):
        raise IncomparableModelsError(
            problem=f"the model with {', '.join(names[0])} is not nested in the one with {', '.join(names[1])}",
            remedy="use vuong_test",
        )
    degrees = int(full.summary["num_free_parameters"]) - int(restricted.summary["num_free_parameters"])
    if degrees < 1:
        raise IncomparableModelsError(
            problem="the full model has no further free parameter", remedy="give the larger model as the second"
        )
    # Rounding of two optima may leave -1e-9 where the further features explain nothing at all.
    statistic = max(2.0 * (full.summary["log_likelihood"] - restricted.summary["log_likelihood"]), 0.0)
    return LikelihoodRatio(statistic, degrees, float(special.chdtrc(degrees, statistic)))


def vuong_test(
    one: LearnedModel, two: LearnedModel, routes: Demonstrations, *, correction: Correction = "none"
) -> Vuong:
    """Which of two models that do not contain one another is nearer to the truth?

    Parameters
    ----------
    routes
        Those that both were fitted on.
    correction
        Take ``k`` (akaike) or ``k log(n) / 2`` (schwarz) of each model's free parameters off its log-likelihood.

    Raises
    ------
    IncomparableModelsError
        Not fitted on these routes under the same ending, or two models that give every route the same probability.

    Notes
    -----
    One value solve per destination and model. A weight of 2 counts as two routes.
    """
    _require_same_routes(one, two)
    require_network(routes, one.network.checksum, "the set of demonstrations")
    used = routes.for_ending(one.ending)
    if used.digest(one.ending) != one.summary["routes_digest"]:
        raise IncomparableModelsError(
            problem="the models were fitted on other routes than these", remedy="give the routes they were fitted on"
        )
    gap = _log_probabilities(one, used) - _log_probabilities(two, used)
    number = float(used.weight.sum())
    mean = float(used.weight @ gap) / number
    spread = math.sqrt(float(used.weight @ (gap - mean) ** 2) / number)
    if spread < 1e-9:
        raise IncomparableModelsError(
            problem="the two models give every route the same probability", remedy="nothing is left to choose between"
        )
    free = int(one.summary["num_free_parameters"]) - int(two.summary["num_free_parameters"])
    penalty = {"none": 0.0, "akaike": float(free), "schwarz": free * math.log(number) / 2}[correction]
    statistic = (number * mean - penalty) / (math.sqrt(number) * spread)
    return Vuong(statistic, _two_sided(statistic), mean, correction)


def _log_probabilities(model: LearnedModel, routes: Demonstrations) -> Floats:
    planner = Planner(model.network.turns, model.config.planner, edge_id=model.network.graph.edge_id)
    return route_log_probabilities(planner, model.reward, routes, routes.batch(model.ending))


def _require_same_routes(one: LearnedModel, two: LearnedModel) -> None:
    digests = [model.summary.get("routes_digest") for model in (one, two)]
    if not one.coefficients or not two.coefficients or None in digests:
        raise IncomparableModelsError(
            problem="a model of several regions, or of an older trodden, has no likelihood to compare",
            remedy="train both anew without regions",
        )
    if digests[0] != digests[1]:
        raise IncomparableModelsError(
            problem="the two models were not fitted on the same routes, in the same order, under the same ending",
            remedy="train both on one file",
        )


def _spans(large: Floats, small: Floats) -> bool:
    """Whether every column of ``small`` is a combination of those of ``large``."""
    rows = np.unique(np.concatenate([large, small], axis=1), axis=0)
    left, right = rows[:, : large.shape[1]], rows[:, large.shape[1] :]
    scale = np.maximum(np.abs(left).max(axis=0, initial=0.0), 1e-300)
    solution = np.linalg.lstsq(left / scale, right, rcond=None)[0]
    return bool(np.allclose(left / scale @ solution, right, rtol=0, atol=1e-9 * np.abs(right).max(initial=1e-300)))


def _ratios(value: float, error: float | None) -> tuple[float | None, float | None, tuple[float, float] | None]:
    """(ratio, p-value, 95 % interval)."""
    if not error:
        return None, None, None
    half = NORMAL_975 * error
    return value / error, _two_sided(value / error), (value - half, value + half)


def _two_sided(ratio: float) -> float:
    return float(2.0 * special.ndtr(-abs(ratio)))


def _latex(rows: tuple[Estimate, ...], fit: list[tuple[str, str]]) -> str:
    titles = ["Feature", "Estimate", "Std. err.", "Robust std. err.", "Robust $t$", "$p$", r"95\,\% interval"]
    if any(row.clustered_standard_error is not None for row in rows):
        titles[3:5] = ["Clustered std. err.", "Clustered $t$"]
    lines = [r"\begin{tabular}{lrrrrrr}", r"\hline", " & ".join(titles) + r" \\", r"\hline"]
    for row in rows:
        error = row.robust_standard_error if row.clustered_standard_error is None else row.clustered_standard_error
        low_high = row.robust_interval
        span = "--" if low_high is None else f"$[{low_high[0]:.4f}, {low_high[1]:.4f}]$"
        numbers = [
            _text(row.value, 4),
            _text(row.standard_error, 4),
            _text(error, 4),
            _text(row.robust_t_ratio, 2),
            _text(row.robust_p_value, 4),
        ]
        lines.append(" & ".join([_escaped(row.name), *(f"${n}$" if n != "--" else n for n in numbers), span]) + r" \\")
    lines.append(r"\hline")
    lines += [rf"{_escaped(name)} & \multicolumn{{6}}{{l}}{{{_escaped(text)}}} \\" for name, text in fit]
    lines += [r"\hline"] if fit else []
    lines += [rf"% {row.name}: {row.note}" for row in rows if row.note]
    return "\n".join([*lines, r"\end{tabular}"])


def _escaped(text: str) -> str:
    special_ones = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special_ones.get(c, "\\" + c if c in "_%&#${}" else c) for c in text)


def _text(value: float | None, digits: int) -> str:
    return "--" if value is None else f"{value:.{digits}f}"
