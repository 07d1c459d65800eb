"""Which demonstrations made a model what it is: what leaving some out would change, to first order.

With the penalised negative log-likelihood ``L`` at its optimum, ``H`` its Hessian and ``s_n`` the gradient of
demonstration n's own negative log-likelihood, leaving n out moves the optimum by ``H^-1 s_n`` (Cook & Weisberg 1982;
Koh & Liang 2017): the gradient of ``L`` without n is ``-s_n`` there. A target ``g`` moves by ``grad g . H^-1 s_n``. One
solve ``u = H^-1 grad g`` serves all demonstrations: each then needs the slope of its log-likelihood along u alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...core.errors import ConfigurationError
from ...core.types import Floats, Ids
from ..demonstrations import Demonstrations, require_network
from ..model import LearnedModel
from ..rewards.parts import Corrections, LinearPart
from .curvature import Curvature, Progress, curvature_of
from .tables import columns, shortened

Group = Literal["route", "traveller"] | Sequence[str]
"""What is left out together: single routes, all routes of a traveller (one who is not named stands for himself), or
the routes that share a name, one name per route."""


@dataclass(frozen=True, eq=False)
class Influence:
    """What leaving out each group of demonstrations would change, to first order."""

    target: str
    """A parameter's name, or which route's log-probability."""
    value: float
    """Of the target under the model."""
    standard_error: float | None
    """Of a coefficient, robust where there is such a one; None where there is none."""
    by: str
    """``route``, ``traveller`` or ``group``."""
    groups: tuple[str, ...]
    num_routes: Ids
    """int64[G]."""
    change: Floats
    """float64[G], of the target, where the group is left out."""
    still_to_go: float
    """What going on to the optimum would change: 0 for a model that was trained to convergence."""
    damping: float
    """Of the Hessian, in nats; 0 where it is positive definite."""
    num_products: int
    residual: float
    """Of the linear system, relative."""
    is_simulated: bool
    refitted: dict[str, float]
    """Changes by a refit for real, by group, of those that were refitted."""

    def order(self) -> Ids:
        """int64[G]: groups by the size of their influence, the largest first."""
        return np.argsort(-np.abs(self.change), kind="stable")

    @property
    def is_at_optimum(self) -> bool:
        """Whether the model stands so near the optimum that the largest influence is not made of the way there."""
        return abs(self.still_to_go) <= 0.1 * float(np.abs(self.change).max(initial=0.0))

    def table(self, top: int = 10) -> str:
        """The most influential groups, never wider than 80 columns."""
        word = "simulated " if self.is_simulated else ""
        error = f" (std.err. {self.standard_error:.4f})" if self.standard_error else ""
        names = {"route": "route left out", "traveller": "traveller left out"}
        titles = [names.get(self.by, "left out"), "routes", "change"]
        titles += ["in std.err."] if self.standard_error else []
        titles += ["refitted"] if self.refitted else []
        rows = [titles]
        for at in self.order()[:top].tolist():
            name = self.groups[at]
            row = [shortened(name, 32), f"{self.num_routes[at]:,}"]
            row.append(_number(self.change[at]))
            row += [f"{self.change[at] / self.standard_error:+.2f}"] if self.standard_error else []
            if self.refitted:
                row.append(_number(self.refitted[name]) if name in self.refitted else "-")
            rows.append(row)
        lines = [
            f"influence on {self.target}",
            f"now {self.value:.4f}{error}; {int(self.num_routes.sum()):,} {word}routes",
            "",
            *columns(rows),
        ]
        lines += ["", f"one of {len(self.groups):,} left out at a time; estimates to first order", *self.warnings()]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def warnings(self) -> list[str]:
        """What to know before these numbers are believed; a sentence each, of at most 80 columns."""
        found = []
        if not self.is_at_optimum:
            found += [
                f"the model was stopped before its optimum: going on would change {self.still_to_go:+.4g},",
                "so these are influences on where training was heading, not on what is served",
            ]
        if self.damping:
            found.append(f"the Hessian is not positive definite: damped by {self.damping:g} nats")
        if self.residual > 1e-3:
            found.append(f"the linear system was solved to {self.residual:.1e} only")
        return found

    def to_json(self) -> dict[str, Any]:
        """All groups, the most influential first."""
        order = self.order().tolist()
        return {
            "target": self.target,
            "value": self.value,
            "standard_error": self.standard_error,
            "by": self.by,
            "is_simulated": self.is_simulated,
            "still_to_go": self.still_to_go,
            "is_at_optimum": self.is_at_optimum,
            "damping": self.damping,
            "num_products": self.num_products,
            "residual": self.residual,
            "groups": [
                {
                    "name": self.groups[at],
                    "routes": int(self.num_routes[at]),
                    "change": float(self.change[at]),
                    "refitted": self.refitted.get(self.groups[at]),
                }
                for at in order
            ],
        }


@dataclass(frozen=True, eq=False)
class Target:
    """A number that depends on the parameters."""

    name: str
    value: Callable[[Floats], float]
    gradient: Floats
    """float64[P], at the model."""
    standard_error: float | None = None


class InfluenceStudy:
    """A model beside the routes that it was learned from; one target after the other may be asked for.

    Parameters
    ----------
    routes
        All routes that the model was learned from, and no others.

    Raises
    ------
    WrongNetworkError, ConfigurationError
        The routes are not those of the model; or the model has a reward per region, several members or no likelihood.

    Notes
    -----
    A plain linear reward: one exact Hessian, F + 2 solves per destination; a target then costs nothing to speak of.
    Others: per target some tens to hundreds of gradients, and two log-likelihoods of all routes.
    """

    def __init__(self, model: LearnedModel, routes: Demonstrations) -> None:
        require_network(routes, model.network.checksum, "the set of demonstrations")
        self.model, self.routes = model, routes.for_ending(model.ending)
        digest = model.summary.get("routes_digest")
        if digest is not None and digest != self.routes.digest(model.ending):
            raise ConfigurationError(
                where="influence",
                problem="these are not the routes that the model was learned from; give all of those, and no others",
            )
        self.curvature: Curvature = curvature_of(model, self.routes)

    def on_parameter(self, name: str) -> Target:
        """A feature's coefficient in its own unit, ``edge:ID`` or ``turn:ID,ID`` (a correction, in nats of cost).

        Raises
        ------
        ConfigurationError
            There is no such parameter, or the routes do not determine it.
        """
        column, unit = self._column(name)
        if not self.curvature.is_free(column):
            raise ConfigurationError(
                where=f"parameter {name!r}", problem="these routes do not determine it: see `trodden summary`"
            )
        gradient = np.zeros(len(self.curvature.parameters))
        gradient[column] = unit
        known = {one.name: one for one in self.model.coefficients}.get(name)
        error = None if known is None else known.robust_standard_error or known.standard_error
        return Target(name, lambda parameters: float(parameters[column] * unit), gradient, error)

    def on_route(self, route: Demonstrations) -> Target:
        """The log-probability of a single route at the model's horizon; it need not be one that was learned from."""
        if len(route) != 1:
            raise ConfigurationError(where="influence", problem=f"one route at a time, not {len(route)}")
        name = f"log-probability of route {route.route_id[0]}"
        gradient = self.curvature.route_gradient(route)
        return Target(name, lambda parameters: self.curvature.route_log_probability(route, parameters), gradient)

    def influence(self, target: Target, *, group: Group = "route", progress: Progress | None = None) -> Influence:
        """What leaving out each group would change of a target."""
        names, number = self.groups(group)
        solved = self.curvature.solve(target.gradient, progress)
        each = -self.routes.weight * self.curvature.slopes(solved.direction)
        return Influence(
            target.name,
            target.value(self.curvature.parameters),
            target.standard_error,
            group if isinstance(group, str) else "group",
            names,
            np.bincount(number, minlength=len(names)).astype(np.int64),
            np.bincount(number, each, minlength=len(names)).astype(np.float64),
            -float(solved.direction @ self.curvature.gradient()),
            solved.damping,
            solved.num_products,
            solved.residual,
            self.model.is_simulated or self.routes.is_simulated,
            {},
        )

    def refit(
        self,
        targets: Sequence[Target],
        *,
        group: Group = "route",
        only: Sequence[str] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> dict[str, Floats]:
        """What leaving out changes for real: refitted without each group, float64[targets] by group.

        The reward stays the same sum of parts: corrections keep their parameters, although some may have lost the
        routes that supported them.

        Parameters
        ----------
        only
            Groups to refit for; all of them where left out.
        progress
            Called with the refits done.

        Raises
        ------
        NoDemonstrationsError
            A group is all of the routes.

        Notes
        -----
        A training per group, from the model's parameters on, and one with all routes: changes are taken from its end.
        """
        names, number = self.groups(group)
        whole = self.curvature.refit(self.routes)
        wanted = names if only is None else only
        result = {}
        for count, name in enumerate(wanted, 1):
            rest = self.routes.take(np.flatnonzero(number != names.index(name)))
            rest.require_some()
            moved = self.curvature.refit(rest)
            result[name] = np.array([target.value(moved) - target.value(whole) for target in targets])
            if progress is not None:
                progress(count)
        return result

    def groups(self, group: Group) -> tuple[tuple[str, ...], Ids]:
        """(names of G groups in the order of their first route, int64[R] which one each route belongs to)."""
        routes = self.routes
        if isinstance(group, str):
            own: list[str] = list(routes.route_id)
            if group == "traveller":
                if routes.traveller is None:
                    raise ConfigurationError(
                        where="influence",
                        problem="these routes do not name their travellers; give them a column 'traveller', or leave "
                        "out single routes",
                    )
                own = [who or f"route {name}" for who, name in zip(routes.traveller, own, strict=True)]
        else:
            own = list(group)
            if len(own) != len(routes):
                raise ConfigurationError(
                    where="influence", problem=f"{len(own)} names of groups for {len(routes)} usable routes"
                )
        number: dict[str, int] = {}
        rows = np.array([number.setdefault(name, len(number)) for name in own], np.int64)
        return tuple(number), rows

    def _column(self, name: str) -> tuple[int, float]:
        """(position of a parameter, its own unit per unit of it)."""
        graph, turns, begin = self.model.network.graph, self.model.network.turns, 0
        kind, _, rest = name.partition(":")
        for part in self.curvature.reward.parts:
            if isinstance(part, LinearPart) and name in part.features.names:
                at = part.features.names.index(name)
                return begin + at, 1.0 / float(part.scale[at])
            if isinstance(part, Corrections) and kind == part.of:
                try:
                    ends = graph.edge_positions(np.array([int(one) for one in rest.split(",")], np.int64))
                except ValueError:
                    ends = np.zeros(0, np.int32)
                is_known = len(ends) == (1 if kind == "edge" else 2) and bool((ends >= 0).all())
                place = (int(ends[0]) if kind == "edge" else int(turns.find(ends[:1], ends[1:])[0])) if is_known else -1
                slot = int(np.searchsorted(part.supported, place))
                if place >= 0 and slot < len(part) and part.supported[slot] == place:
                    return begin + slot, 1.0
            begin += len(part)
        raise ConfigurationError(
            where="influence", problem=f"no parameter {name!r}; this model has {', '.join(self.parameter_names())}"
        )

    def parameter_names(self) -> list[str]:
        """Coefficients by name, and how corrections are written."""
        names: list[str] = []
        for part in self.curvature.reward.parts:
            if isinstance(part, LinearPart):
                names += part.features.names
            elif isinstance(part, Corrections):
                how = "edge:ID" if part.of == "edge" else "turn:ID,ID"
                names.append(f"{how} ({len(part)} with a correction)")
        return names


def influence(
    model: LearnedModel,
    routes: Demonstrations,
    *,
    on: str | Demonstrations,
    group: Group = "route",
    progress: Progress | None = None,
) -> Influence:
    """What leaving out routes, one by one or in groups, would change of a parameter or of a route's log-probability.

    To first order in what is left out, around the model; `InfluenceStudy.refit` does it for real. Errors and cost: see
    `InfluenceStudy`.

    Parameters
    ----------
    on
        A parameter's name (see `InfluenceStudy.on_parameter`), or a single route.
    """
    study = InfluenceStudy(model, routes)
    target = study.on_parameter(on) if isinstance(on, str) else study.on_route(on)
    return study.influence(target, group=group, progress=progress)


def _number(value: float) -> str:
    return f"{value:+.5f}" if 1e-4 <= abs(value) < 1e4 or value == 0 else f"{value:+.2e}"
