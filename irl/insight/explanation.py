"""Why a route: what each part of a reward adds to the cost of routes of one trip, side by side. Imports no JAX.

An MLP is the exception: its attributions are gradients, which JAX computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import ConfigurationError, InconsistentModelError
from ...core.types import Floats, Ids, Ints
from ..demonstrations import STATUSES, Demonstrations, demonstrations_from_edges
from ..features import make_features
from ..likelihood import route_log_probabilities
from ..model import LearnedModel
from ..planner import Planner
from ..prediction import TripPredictor
from ..problem import NO_VALUES
from ..rewards.building import reward_of
from ..rewards.parts import Corrections, LinearPart
from ..rewards.reward import Reward
from .tables import columns, shortened

POSITIVITY = "positivity"
"""The row for what the softplus adds, or the minimum cost of a plain linear reward."""
_TOLERANCE = 1e-9
_NAME_WIDTH = 30


@dataclass(frozen=True, eq=False)
class ExplainedRoute:
    """One route, and what its cost is made of."""

    name: str
    edges: Ints
    """int32[P], edge positions."""
    edge_ids: tuple[int, ...]
    """Their source ids."""
    terms: Floats
    """float64[K], nats: what each row of the explanation adds to the cost."""
    amounts: Floats
    """float64[K]: the feature added up over the route's turns, in its own unit; NaN in rows that are no feature."""
    cost: float
    """Nats: the model's turn costs along the route. What beginning on its first edge costs is left out."""
    log_probability: float | None
    """Among all routes of its trip, at the model's horizon; None where there is none: see `Explanation.note`."""
    length_m: float | None
    travel_time_s: float | None


@dataclass(frozen=True, eq=False)
class Explanation:
    """What `explain` found."""

    rows: tuple[str, ...]
    """Names of the K terms."""
    routes: tuple[ExplainedRoute, ...]
    horizon: int | str
    ending: str
    note: str
    """Why routes have no probabilities; empty where they have them."""
    is_simulated: bool

    def route(self, name: str) -> ExplainedRoute:
        """One of the routes; `KeyError` where there is none of that name."""
        return {route.name: route for route in self.routes}[name]

    @property
    def compared(self) -> tuple[ExplainedRoute, ExplainedRoute] | None:
        """The two routes whose difference is shown, (one, other): learned and fastest; where these are the same route,
        learned and travelled; else the last route and the one before it. None where no two differ.
        """
        by_name = {route.name: route for route in self.routes}
        pairs = [("learned", "fastest"), ("learned", "travelled")]
        candidates = [(by_name[a], by_name[b]) for a, b in pairs if a in by_name and b in by_name]
        candidates += zip(self.routes[:0:-1], self.routes[-2::-1], strict=True)
        return next(((a, b) for a, b in candidates if not _are_same(a, b)), None)

    def table(self) -> str:
        """A row per term, a column per route, never wider than 80 columns as long as there are at most three routes."""
        compared = self.compared
        titles = ["", *(route.name for route in self.routes), *(["difference"] if compared else [])]
        lines = [titles, *self._facts(), *([title, *cells] for title, cells in self._costs())]
        word = "simulated routes" if self.is_simulated else "routes"
        first = self.routes[0].edge_ids
        text = [
            f"trip from edge {first[0]} to edge {first[-1]}",
            f"costs in nats, under a reward learned from {word}",
            "",
            *columns(lines),
        ]
        if compared:
            text += ["", f"difference: {compared[0].name} minus {compared[1].name}"]
        text += [f"{one} and {other} are the same route" for one, other in self._equal_pairs()]
        if compared and None not in (compared[0].log_probability, compared[1].log_probability):
            text.append(_odds(*compared))
        if self.note:
            text.append(f"no probabilities: {self.note}")
        return "\n".join(text)

    def __str__(self) -> str:
        return self.table()

    def to_json(self) -> dict[str, Any]:
        """All that the table holds, and more digits; ``terms`` and ``amounts`` stand in the order of ``rows``."""
        return {
            "rows": list(self.rows),
            "horizon": self.horizon,
            "ending": self.ending,
            "is_simulated": self.is_simulated,
            "note": self.note,
            "routes": [
                {
                    "name": route.name,
                    "edges": list(route.edge_ids),
                    "terms": route.terms.tolist(),
                    "amounts": [None if np.isnan(one) else one for one in route.amounts.tolist()],
                    "cost": route.cost,
                    "log_probability": route.log_probability,
                    "length_m": route.length_m,
                    "travel_time_s": route.travel_time_s,
                }
                for route in self.routes
            ],
        }

    def _facts(self) -> list[list[str]]:
        routes, compared = self.routes, self.compared
        facts: list[tuple[str, list[float | None], str, float]] = [
            ("edges", [float(len(route.edges)) for route in routes], "{:.0f}", 1.0),
            ("km", [route.length_m for route in routes], "{:.3f}", 1e-3),
            ("minutes", [route.travel_time_s for route in routes], "{:.2f}", 1 / 60),
        ]
        lines = []
        for title, values, form, factor in facts:
            known = [value * factor for value in values if value is not None]
            if len(known) == len(routes):
                gap = [known[routes.index(compared[0])] - known[routes.index(compared[1])]] if compared else []
                signed = form.replace(":", ":+")
                lines.append([title, *(form.format(value) for value in known), *(signed.format(one) for one in gap)])
        return lines

    def _costs(self) -> list[tuple[str, list[str]]]:
        compared, blank = self.compared, [""] * (len(self.routes) + (self.compared is not None))
        lines: list[tuple[str, list[str]]] = [("", blank)]
        for at, name in enumerate(self.rows):
            cells = [_number(route.terms[at]) for route in self.routes]
            if compared:
                cells.append(_number(compared[0].terms[at] - compared[1].terms[at], "+"))
            lines.append((shortened(name, _NAME_WIDTH), cells))
        gap = [_number(compared[0].cost - compared[1].cost, "+")] if compared else []
        lines.append(("cost", [*(_number(route.cost) for route in self.routes), *gap]))
        found = [route.log_probability for route in self.routes]
        known = [one for one in found if one is not None]
        if len(known) == len(found):
            lines.append(("", blank))
            lines.append(("log-probability", [*(_number(one) for one in known), *([""] if compared else [])]))
            shares = [f"{np.exp(one):.3g}" for one in known]
            lines.append(("probability", [*shares, *([""] if compared else [])]))
        return lines

    def _equal_pairs(self) -> list[tuple[str, str]]:
        return [
            (one.name, other.name)
            for at, one in enumerate(self.routes)
            for other in self.routes[at + 1 :]
            if _are_same(one, other)
        ]


def explain(model: LearnedModel, routes: Mapping[str, Sequence[int] | Ints]) -> Explanation:
    """What the cost of each route is made of under a model, and how probable the model takes it to be.

    Terms of a linear part are coefficient times feature, summed over the route's turns; ``corrections of edges`` and
    ``corrections of turns`` are sums of those; terms ``mlp:...`` are integrated gradients from the mean of all features
    (Sundararajan, Taly & Yan 2017), with ``mlp: at the mean``; ``positivity`` is what the softplus adds, or, where a
    plain reward falls below it, the minimum cost. Of an ensemble that serves the mean of its members' costs, they are
    means. Of a model with regions, each turn is priced by the coefficients of the region of the edge entered.

    Parameters
    ----------
    routes
        Edge positions by name, at least two edges each; `trip_routes` makes those of a trip.

    Returns
    -------
    Explanation
        Every route's terms add up to its cost under ``model.turn_cost``, to 1e-9 of their size.

    Raises
    ------
    ConfigurationError
        A route that this network does not permit, or that no traveller could end under the model's ending.
    InconsistentModelError
        The model's costs are not those that its reward gives: there is nothing true to print.

    Notes
    -----
    O(turns x features), with an MLP 64 gradients per distinct turn; probabilities cost one factorisation of the network
    and a solve per distinct destination.
    """
    trips = _checked(model, routes)
    turn, row = trips.turns()
    used, column = np.unique(turn, return_inverse=True)
    rows, terms, amounts = cost_terms(model, used)
    column = column.reshape(-1)
    found, note = _log_probabilities(model, trips)
    network, explained = model.network, []
    for at, name in enumerate(routes):
        own, edges = column[row == at], trips.route(at)
        explained.append(
            ExplainedRoute(
                name,
                edges,
                tuple(network.graph.edge_id[edges].tolist()),
                terms[own].sum(axis=0),
                amounts[own].sum(axis=0),
                float(model.turn_cost[turn[row == at]].sum()),
                None if found is None else float(found[at]),
                _total(network.attributes.length_m, edges),
                _total(network.attributes.travel_time_s, edges),
            )
        )
    return Explanation(tuple(rows), tuple(explained), model.horizon, model.ending, note, model.is_simulated)


def trip_routes(model: LearnedModel, edges: Sequence[int] | Ints, *, is_travelled: bool = True) -> dict[str, Ints]:
    """The routes to explain of the trip that some edges make: itself (``travelled``), ``fastest`` and ``learned``.

    All three begin on its first edge and end where it does, so that their probabilities are of one trip.

    Parameters
    ----------
    is_travelled
        Whether the route itself is one of them.

    Raises
    ------
    ConfigurationError
        The route is none of this network, or a single edge, on which nothing was chosen.
    """
    trip = _checked(model, {"travelled" if is_travelled else "trip": edges})
    predictor = TripPredictor(model.network, trip, model.ending)
    costs = {"fastest": model.baseline_costs["fastest"], "learned": model.turn_cost}
    own = {"travelled": trip.route(0)} if is_travelled else {}
    return own | {name: predictor.predict(cost)[0] for name, cost in costs.items()}


def cost_terms(model: LearnedModel, turns: Ints | Ids) -> tuple[tuple[str, ...], Floats, Floats]:
    """(names of K terms, what each adds to the cost of some turns float64[n, K], amounts of features float64[n, K]).

    Amounts are NaN in columns that are no feature of a linear part. The terms of a turn add up to its ``turn_cost``.

    Raises
    ------
    InconsistentModelError
        They do not, by more than 1e-9 of their size.
    """
    if model.config.reward.is_plain:
        names, terms, amounts = _plain_terms(model, turns)
    else:
        reward, members = reward_of(model)
        if model.config.reward.average == "parameters":
            members = members.mean(axis=0)[None]
        each = [_part_terms(reward, member, turns) for member in members]
        names, amounts = each[0][0], each[0][2]
        terms = np.mean([one[1] for one in each], axis=0)
    _require_sums(model, turns, terms)
    return names, terms, amounts


def _plain_terms(model: LearnedModel, turns: Ints | Ids) -> tuple[tuple[str, ...], Floats, Floats]:
    """One row per feature; the coefficients are those of the region of the edge entered, where regions have theirs."""
    features = make_features(model.network, model.config.reward.features)
    amounts = features.rows(turns)
    tables = [region.coefficients for region in model.regions] if model.edge_region is not None else []
    tables = tables or [model.coefficients]
    coefficients = np.array([[one.value for one in table] for table in tables]).reshape(len(tables), len(features))
    region = np.zeros(len(amounts), np.int64)
    if model.edge_region is not None and len(tables) > 1:
        region = np.asarray(model.edge_region[model.network.turns.to_edge[turns]], np.int64)
    terms = -coefficients[region] * amounts
    raw = terms.sum(axis=1)
    raised = np.maximum(raw, model.config.reward.minimum_cost) - raw
    if not raised.any():
        return features.names, terms, amounts
    none = np.full(len(raw), np.nan)
    return (*features.names, POSITIVITY), np.column_stack([terms, raised]), np.column_stack([amounts, none])


def _part_terms(reward: Reward, parameters: Floats, turns: Ints | Ids) -> tuple[tuple[str, ...], Floats, Floats]:
    """Terms of a sum of parts with one set of parameters."""
    names: list[str] = []
    terms: list[Floats] = []
    amounts: list[Floats] = []
    raw = np.zeros(len(turns))
    for part, own in reward.with_own(parameters):
        raw += part.raw_at(turns, own)
        if isinstance(part, LinearPart):
            values = part.features.rows(turns)
            names += part.features.names
            terms += list((-part.coefficients(own) * values).T)
            amounts += list(values.T)
        elif isinstance(part, Corrections):
            names.append(f"corrections of {part.of}s")
            terms.append(part.raw_at(turns, own))
        else:
            shares, origin = part.attributions(turns, own)  # type: ignore[attr-defined]  # an MLP, the one part left
            names += [*(f"mlp:{name}" for name in part.features.names), "mlp: at the mean"]  # type: ignore[attr-defined]
            terms += [*shares.T, origin]
        amounts += [np.full(len(turns), np.nan)] * (len(names) - len(amounts))
    names.append(POSITIVITY)
    terms.append(reward.link(raw) - raw)
    amounts.append(np.full(len(turns), np.nan))
    return tuple(names), np.array(terms).T, np.array(amounts).T


def _require_sums(model: LearnedModel, turns: Ints | Ids, terms: Floats) -> None:
    stored, given = model.turn_cost[turns], terms.sum(axis=1)
    size = np.maximum(np.abs(terms).sum(axis=1), 1.0)
    bad = np.flatnonzero(~(np.abs(given - stored) <= _TOLERANCE * size))
    if len(bad):
        worst = int(bad[np.argmax(np.abs(given - stored)[bad])])
        graph, at = model.network.graph, int(turns[worst])
        raise InconsistentModelError(
            from_edge=int(graph.edge_id[model.network.turns.from_edge[at]]),
            to_edge=int(graph.edge_id[model.network.turns.to_edge[at]]),
            stored=float(stored[worst]),
            given=float(given[worst]),
        )


def _checked(model: LearnedModel, routes: Mapping[str, Sequence[int] | Ints]) -> Demonstrations:
    """The routes, all usable under the model's ending, in their order."""
    rows = [np.asarray(edges, np.int32) for edges in routes.values()]
    found = demonstrations_from_edges(model.network, rows, list(routes), source="routes to explain")
    kept = found.for_ending(model.ending, needs_some=False)
    for skipped in kept.skipped:
        raise ConfigurationError(
            where=f"the {skipped.route_id} route",
            problem=f"{STATUSES[skipped.status]} ({skipped.detail}); give a route of at least one permitted turn",
        )
    return kept


def _log_probabilities(model: LearnedModel, trips: Demonstrations) -> tuple[Floats | None, str]:
    """(float64[R] at the model's horizon, ""), or (None, why there is none)."""
    if model.horizon == 0:
        return None, "horizon 0 has no likelihood"
    planner = Planner(model.network.turns, model.config.planner, edge_id=model.network.graph.edge_id)
    try:
        return route_log_probabilities(planner, model.reward, trips, trips.batch(model.ending)), ""
    except NO_VALUES as error:  # where regions' rewards were merged, say
        return None, str(error)


def _total(values: Any, edges: Ints) -> float | None:
    return None if values is None else float(values[edges].sum(dtype=np.float64))


def _are_same(one: ExplainedRoute, other: ExplainedRoute) -> bool:
    return one.edge_ids == other.edge_ids


def _odds(one: ExplainedRoute, other: ExplainedRoute) -> str:
    assert one.log_probability is not None  # the caller looked
    assert other.log_probability is not None
    gap = one.log_probability - other.log_probability
    how = "more" if gap >= 0 else "less"
    times = np.exp(min(abs(gap), 700.0))
    return f"{one.name} is {times:.3g} times {how} probable than {other.name}"


def _number(value: float, sign: str = "") -> str:
    value = float(value) + 0.0  # no minus zero
    return format(value, f"{sign}.4f" if abs(value) < 1e4 else f"{sign}.3e")
