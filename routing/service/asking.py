"""What the service asks of a router: routes, tables and nearest roads for requests that were read."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import ServiceRequestError
from ...core.types import Bools
from ...graphs.road_graph import EdgeAttributes, RoadNetwork
from ...graphs.spatial import Snap
from ..matrix import Matrix
from ..points import Coordinate
from ..route import Route
from ..router import Router
from .faults import naming
from .requests import NearestRequest, RouteRequest, TableRequest, TripContext
from .travel_modes import ANY_MODE, OWN_PROFILES

if TYPE_CHECKING:
    from ..alternatives import Alternative


@dataclass(frozen=True, eq=False)
class Answered:
    """One way from the first coordinate of a request to the last."""

    legs: tuple[Route, ...]
    alternative: Alternative | None = None
    """What is known of it where alternatives were asked for."""

    @property
    def whole(self) -> Route | None:
        """The route where it is a single leg."""
        return self.legs[0] if len(self.legs) == 1 else None


def metric_of(router: Router, profile: str, context: TripContext | None = None) -> str:
    """The metric of that name, or the first one for words that OSRM's clients send; of the context, where one is said.

    `trodden.routing.service.travel_modes` has the words.
    """
    words = (*ANY_MODE, *OWN_PROFILES.get(router.network.mode, ()))
    if profile in router.metrics:
        name = profile
    elif profile in words:
        name = router.metrics[0]
    else:
        known = ", ".join(dict.fromkeys([*router.metrics, *words]))
        raise ServiceRequestError(
            code="InvalidProfile", problem=f"there is no profile {profile[:60]!r}; a profile is a metric: {known}"
        )
    return in_context(router, name, context) or name


def in_context(router: Router, metric: str | None, context: TripContext | None) -> str | None:
    """The metric of a trip's context; ``metric`` itself where nothing is said of one."""
    if context is None or context == TripContext():
        return metric
    return router.metric_at(context.departure, context.group, metric=metric)


def find_routes(router: Router, request: RouteRequest, metric: str) -> list[Answered]:
    """The cheapest route through the coordinates, and alternatives where two coordinates are given."""
    points = request.at.points
    options = _options(router, request)
    with naming(points):
        if request.alternatives and len(points) == 2:
            found = router.alternatives(points[0], points[1], k=request.alternatives + 1, metric=metric, **options)
            # They are chosen by the cost of whole edges; a trip's own begins and ends part-way.
            return sorted((Answered((one.route,), one) for one in found), key=lambda one: one.legs[0].cost)
        if len(points) == 2 or request.continue_straight:
            if len(points) > 2:
                options["via"] = points[1:-1]
            route = router.route(points[0], points[-1], metric=metric, **options)
            return [Answered(route.legs)]
        pairs = itertools.pairwise(points)
        return [Answered(tuple(router.route(one, other, metric=metric, **options) for one, other in pairs))]


def find_snaps(router: Router, points: Sequence[Coordinate]) -> list[Snap]:
    """The nearest road of each coordinate."""
    with naming(points):
        return [router.nearest(point)[0] for point in points]


def check_radiuses(snaps: Sequence[Snap | None], radiuses: Sequence[float] | None) -> None:
    """Refuse a coordinate that is farther from its road than the request permits."""
    for index, (snap, radius) in enumerate(zip(snaps, radiuses or (), strict=False)):
        if snap is not None and snap.distance_m > radius:
            raise ServiceRequestError(
                code="NoSegment",
                problem=f"coordinate {index} is {snap.distance_m:.0f} m from the nearest road, its radius {radius:g} m",
            )


def find_nearest(router: Router, request: NearestRequest) -> tuple[Snap, ...]:
    """The roads nearest to the one coordinate."""
    with naming(request.at.points):
        return router.nearest(request.at.points[0], request.number)


def find_table(router: Router, request: TableRequest, metric: str) -> Matrix:
    """Costs, times and lengths between the coordinates that the request names."""
    points = request.at.points
    words = {"duration": "travel_time_s", "distance": "length_m"}
    with naming(points):
        found = router.matrix(
            [points[index] for index in request.sources],
            [points[index] for index in request.destinations],
            metric=metric,
            annotations=tuple(words[one] for one in request.annotations),
        )
    if found.cost.size and not np.isfinite(found.cost).any():
        raise ServiceRequestError(
            code="NoTable", problem="no route joins any source to any destination; ask for one by /route to learn why"
        )
    return found


def _options(router: Router, request: RouteRequest) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if request.avoid:
        options["avoid"] = request.avoid
    if request.closed or request.at.exclude:
        options["closed"] = (*request.closed, *_excluded(router.network, request.at.exclude))
    return options


@functools.lru_cache(maxsize=32)
def _excluded(network: RoadNetwork, names: tuple[str, ...]) -> tuple[int, ...]:
    """Ids of the edges of some classes: ``toll``, ``tunnel``, ``bridge``, or a road class with its links."""
    closed = np.zeros(network.graph.num_edges, bool)
    for name in names:
        closed |= _of_class(network.attributes, name)
    return tuple(network.graph.edge_id[closed].tolist())


def _of_class(attributes: EdgeAttributes, name: str) -> Bools:
    flags = {"toll": attributes.is_toll, "tunnel": attributes.is_tunnel, "bridge": attributes.is_bridge}
    known = [flag for flag, column in flags.items() if column is not None]
    if name in known:
        return np.asarray(flags[name])
    if attributes.road_class is not None:
        levels = attributes.road_class.levels
        if name in levels:
            return attributes.road_class.mask(name) | attributes.road_class.mask(f"{name}_link")
        known += [level for level in levels if level]
    raise ServiceRequestError(
        code="InvalidValue", problem=f"exclude: there is no class {name[:60]!r} here; there are: {', '.join(known)}"
    )
