"""How far one comes: the stretches of road within some travel time, length or learned cost, and the area they cover.

Time and length pass evenly along an edge, from the very point where a trip starts. A learned cost is that of the turns:
entering an edge costs its turn, counted evenly along the edge, and as in `Route.cost` the edge a trip starts on costs
nothing. So an edge is reached to its end exactly where a route to it costs no more than the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..core.errors import ConfigurationError
from ..core.types import Bools, Floats, Ints
from ..graphs.bounded_trees import tree_from
from ..graphs.corridor_search import SearchGraph
from ..graphs.road_graph import RoadNetwork
from ..irl.map_views import credit_for, one_per_road
from .areas import DEFAULT_BUFFER_M, DEFAULT_SMALLEST_HOLE_M2, area_of_lines
from .points import Terminal

if TYPE_CHECKING:
    from .metrics import NamedCosts

By = Literal["travel_time_s", "length_m", "cost"]
"""What is limited: seconds, metres, or the costs of a metric."""


@dataclass(frozen=True, eq=False)
class Band:
    """What is reached within one limit."""

    network: RoadNetwork
    limit: float
    by: By
    edges: Ints
    """int32[n], edge positions, ascending; one stands twice where it is reached at its start and, by a trip that begins
    part-way along it, further on."""
    begin: Floats
    end: Floats
    """float64[n]: the stretch reached, as parts of the edge's length; 0 is its start, 1 its end."""

    @property
    def share(self) -> Floats:
        """float64[n], the part of each edge that is reached, in (0, 1]."""
        return self.end - self.begin

    @property
    def length_m(self) -> float:
        """Metres of edges reached, both directions of a road counted; `MissingDataError` without lengths."""
        lengths = self.network.attributes.require("length_m", "the length reached")
        return float(lengths[self.edges].astype(np.float64) @ self.share)

    @cached_property
    def polygon(self) -> Any:
        """The area, a shapely Polygon or MultiPolygon of (longitude, latitude): `area` with its defaults."""
        return self.area()

    def area(self, *, buffer_m: float = DEFAULT_BUFFER_M, smallest_hole_m2: float = DEFAULT_SMALLEST_HOLE_M2) -> Any:
        """The area around all stretches reached: every point within ``buffer_m`` of one, and holes that are smaller.

        Parameters
        ----------
        buffer_m
            Metres to each side of the roads; accurate to a few metres.
        smallest_hole_m2
            Holes of a smaller area are filled.

        Returns
        -------
        shapely Polygon or MultiPolygon
            Valid; WGS84 degrees, longitude first. Empty where nothing is reached.

        Raises
        ------
        MissingDataError
            The network has no coordinates.
        ConfigurationError
            ``buffer_m`` is not a positive number.
        """
        return area_of_lines(self._lines(), buffer_m=buffer_m, smallest_hole_m2=smallest_hole_m2)

    def _lines(self) -> list[Floats]:
        """The stretches as (latitude, longitude), each road once where it is reached as a whole."""
        is_whole = (self.begin <= 0.0) & (self.end >= 1.0)
        mask = np.zeros(self.network.graph.num_edges, bool)
        mask[self.edges[is_whole]] = True
        lines = [self.network.edge_polyline(int(edge)) for edge in np.flatnonzero(one_per_road(self.network, mask))]
        for place in np.flatnonzero(~is_whole).tolist():
            whole = self.network.edge_polyline(int(self.edges[place]))
            lines.append(part_of_line(whole, float(self.begin[place]), float(self.end[place])))
        return lines


@dataclass(frozen=True, eq=False)
class Reachable:
    """What `Router.reachable` found; for a single limit its fields are those of its band."""

    origin: Terminal
    metric: str
    """Name of the costs, where they are what is limited; else empty."""
    bands: tuple[Band, ...]
    """By rising limit; each holds what the one before it holds."""

    @property
    def edges(self) -> Ints:
        """Of the largest limit; see `Band`."""
        return self.bands[-1].edges

    @property
    def share(self) -> Floats:
        """Of the largest limit; see `Band`."""
        return self.bands[-1].share

    @property
    def polygon(self) -> Any:
        """Of the largest limit; see `Band`."""
        return self.bands[-1].polygon

    def to_geojson(self) -> dict[str, Any]:
        """A FeatureCollection (RFC 7946), one Polygon or MultiPolygon per limit, the largest first, to be drawn so."""
        import shapely.geometry

        network = self.bands[-1].network
        features = []
        for band in self.bands[::-1]:
            known = network.attributes.length_m is not None
            properties = {
                "kind": "reachable",
                "origin": str(self.origin),
                "by": band.by,
                "limit": band.limit,
                "metric": self.metric or None,
                "num_edges": len(np.unique(band.edges)),
                "length_m": round(band.length_m, 1) if known else None,
            }
            shape = shapely.geometry.mapping(band.polygon)
            features.append({"type": "Feature", "geometry": _rounded(shape), "properties": properties})
        collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
        if credit := credit_for(network):
            collection["attribution"] = credit
        return collection


def find_reachable(
    network: RoadNetwork,
    graph: SearchGraph,
    start: Terminal,
    limits: float | Sequence[float],
    by: By,
    costs: NamedCosts,
) -> Reachable:
    """The stretches within each of some limits from a point; one search, as far as the largest.

    Raises
    ------
    ConfigurationError
        No limit, one that is not a positive number, or an unknown ``by``.
    MissingDataError
        The network has no travel times, or no lengths.

    Notes
    -----
    O(S log S) for S edges reached, and O(E) to lay out arrays; polygons are made when they are asked for.
    """
    wanted = _checked_limits(limits, by)
    if by == "cost":
        turn_cost, own = costs.turn_cost, None
    else:
        own = network.attributes.require(by, f"reachable by {by}").astype(np.float64)
        turn_cost = own[network.turns.to_edge]
    begins = [(edge, snap.fraction if (snap := start.snap(edge)) else 0.0) for edge in start.edges]
    rest = [(edge, 0.0 if own is None else (1.0 - part) * float(own[edge])) for edge, part in begins]
    reached = tree_from(graph, turn_cost, rest, limit=wanted[-1]).cost
    bands = [_band(network, limit, by, begins, own, reached, turn_cost) for limit in wanted]
    return Reachable(start, costs.name if by == "cost" else "", tuple(bands))


def _band(
    network: RoadNetwork,
    limit: float,
    by: By,
    begins: list[tuple[int, float]],
    own: Floats | None,
    reached: Floats,
    turn_cost: Floats,
) -> Band:
    """``reached`` float64[E] is the cost at the end of each edge."""
    turns = network.turns
    here = reached[turns.from_edge]
    out = np.flatnonzero(here < limit)
    share = np.zeros(network.graph.num_edges)
    np.maximum.at(share, turns.to_edge[out], np.minimum((limit - here[out]) / turn_cost[out], 1.0))
    rows: list[tuple[int, float, float]] = []
    for edge, begin in begins:
        end = 1.0 if own is None else min(begin + limit / float(own[edge]), 1.0)
        if share[edge] >= begin:  # come back to, as far as where the trip began
            end, begin, share[edge] = max(end, float(share[edge])), 0.0, 0.0
        if end > begin:
            rows.append((edge, begin, end))
    found = np.flatnonzero(share > 0.0)
    edges = np.concatenate([[edge for edge, _, _ in rows], found]).astype(np.int32)
    begin_at = np.concatenate([[begin for _, begin, _ in rows], np.zeros(len(found))])
    end_at = np.concatenate([[end for _, _, end in rows], share[found]])
    order = np.lexsort((begin_at, edges))
    return Band(network, limit, by, edges[order], begin_at[order], end_at[order])


def _checked_limits(limits: float | Sequence[float], by: By) -> list[float]:
    if by not in get_args(By):
        raise ConfigurationError(where="reachable", problem=f"by is {by!r}, none of {', '.join(get_args(By))}")
    several = np.atleast_1d(np.asarray(limits, np.float64))
    is_good: Bools = np.isfinite(several) & (several > 0)
    if several.ndim != 1 or len(several) == 0 or not is_good.all():
        bad = several.ravel()[~is_good.ravel()][:1].tolist() or [limits]
        raise ConfigurationError(where="reachable", problem=f"a limit is {bad[0]}; give positive numbers")
    return sorted(set(several.tolist()))


def part_of_line(line: Floats, begin: float, end: float) -> Floats:
    """The stretch of float64[P, 2] (latitude, longitude) between two parts of its length, 0..1."""
    scale = np.array([1.0, np.cos(np.radians(line[0, 0]))])
    steps = np.hypot(*(np.diff(line, axis=0) * scale).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    low, high = begin * along[-1], end * along[-1]
    ends = [[np.interp(at, along, line[:, column]) for column in (0, 1)] for at in (low, high)]
    return np.concatenate([ends[:1], line[(along > low) & (along < high)], ends[1:]])


def _rounded(shape: Any) -> Any:
    """A GeoJSON geometry with six decimals, a tenth of a metre."""
    if isinstance(shape, dict):
        return {"type": shape["type"], "coordinates": _rounded(shape["coordinates"])}
    if isinstance(shape, (list, tuple)):
        return [_rounded(one) for one in shape]
    return round(float(shape), 6)
