"""Metrics of a model's contexts: one each on the shared hierarchy, named as the context.

Those of the model that the router was made with are called as they are (``peak``), those of another ``NAME:peak``.
"""

from __future__ import annotations

from datetime import datetime, time

from ..core.errors import ConfigurationError
from ..irl.contexts import contexts_of
from ..irl.model import LearnedModel
from .metric_set import MetricSet
from .metrics import NamedCosts, RoutingModel


def context_models(name: str, model: RoutingModel, default: str) -> dict[str, LearnedModel]:
    """The model of every context by the name of its metric; none where there are no contexts."""
    if not isinstance(model, LearnedModel):
        return {}
    return {_metric(name, one.name, default): model.in_context(one.name) for one in model.contexts}


def left_over(metrics: MetricSet, name: str, wanted: set[str]) -> list[str]:
    """Metrics of contexts that an earlier model of that name had, and the new one has not."""
    if name not in metrics.names:
        return []
    before = metrics.get(name).model
    return [one for one in context_models(name, before, metrics.default) if one not in wanted] if before else []


def metric_in_context(
    costs: NamedCosts, default: str, departure: str | datetime | time | None, group: str | None
) -> str:
    """See `trodden.routing.router.Router.metric_at`."""
    model = costs.model
    if not isinstance(model, LearnedModel) or not model.contexts:
        problem = "its costs do not depend on a departure or group; those of a model trained with [context] do"
        raise ConfigurationError(where=f"metric {costs.name!r}", problem=problem)
    contexts = contexts_of(model)
    return _metric(costs.name, contexts.names[contexts.number(departure, group)], default)


def _metric(model: str, context: str, default: str) -> str:
    return context if model == default else f"{model}:{context}"
