"""Costs for OSRM: a segment-speed file, as ``osrm-customize --segment-speed-file`` and ``osrm-contract`` take it.

A line is ``from_osm_id,to_osm_id,speed`` or ``from_osm_id,to_osm_id,speed,rate``, without a header: two OSM nodes that
follow each other on a way, in the direction of travel, the speed in whole km/h, and the rate in metres per unit of
weight. OSRM takes the duration from the speed and the weight, by which it chooses routes, from the rate: length / rate
(https://github.com/Project-OSRM/osrm-backend/wiki/Traffic).

So a learned cost goes into the rate, and the duration stays what it is. Costs have no unit: they are multiplied so that
the whole network weighs as much as it takes seconds, because OSRM rounds weights to a tenth (``weight_precision`` 1)
and adds the profile's own turn penalties to them. What such a file cannot say: what a turn costs, and which turns are
banned. The learned costs of turns are lost; OSRM reads restrictions from its own extract.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import InvalidValueError, MissingDataError
from ..core.files import write_file
from ..core.types import Floats, Floats32, Ids
from .road_graph import EdgeShapes, RoadNetwork

LEAST_RATE = 1e-3
"""Metres per unit of weight: slower ones would overflow OSRM's weights."""


@dataclass(frozen=True, eq=False)
class OsrmSpeeds:
    """The lines of a segment-speed file."""

    from_node: Ids
    """int64[S], OSM node ids."""
    to_node: Ids
    speed_kmh: Ids
    """int64[S], at least 1: whole numbers are all that every version of OSRM reads."""
    rate: Floats | None
    """float64[S] in metres per unit of weight, or None: the weight follows the speed."""
    weight_per_cost: float
    """What a unit of cost weighs in OSRM; 1 without costs."""
    left_out: dict[str, int]
    """Pairs of nodes that are no lines, by reason."""

    def write(self, path: str | Path) -> Path:
        """Write the file, whole or not at all; `OSError` where the disk refuses."""
        columns = [self.from_node.tolist(), self.to_node.tolist(), self.speed_kmh.tolist()]
        if self.rate is not None:
            columns.append([f"{rate:.4f}" for rate in self.rate.tolist()])
        lines = (",".join(map(str, row)) for row in zip(*columns, strict=True))
        return write_file(path, "".join(f"{line}\n" for line in lines).encode("ascii"))


def osrm_segment_speeds(network: RoadNetwork, cost: Floats | None = None) -> OsrmSpeeds:
    """Speeds, and rates by a cost, of every pair of neighbouring OSM nodes in every direction that is used.

    Parameters
    ----------
    network
        With OSM nodes along its edges, lengths and speeds.
    cost
        float64[E] >= 0, spread over an edge by length; `LearnedModel.edge_cost` for one.

    Returns
    -------
    OsrmSpeeds
        Each pair once: of several edges over the same two nodes the one with the greatest rate (or speed) counts.

    Raises
    ------
    MissingDataError
        The network has no OSM nodes along its edges, no lengths or no speeds.
    InvalidValueError
        A cost that is negative or no number; names its edge.

    Notes
    -----
    O(P log P) for P points.
    """
    shapes = _shapes_of(network)
    length = network.attributes.require("length_m", "speeds for OSRM")
    speed = network.attributes.require("speed_kmh", "speeds for OSRM")
    rate, weight_per_cost = (None, 1.0) if cost is None else _rates(network, np.asarray(cost, np.float64), length)
    is_original = network.graph.edge_id >= 0  # copies for restrictions via ways are the same road again
    pair, edge = _pairs(shapes)
    start, end = shapes.osm_node[pair], shapes.osm_node[pair + 1]
    is_osm = (start > 0) & (end > 0)
    keep = is_osm & is_original[edge]
    rank = -(speed if rate is None else rate)[edge]
    order = np.lexsort((rank, end, start))
    order = order[keep[order]]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (start[order][1:] != start[order][:-1]) | (end[order][1:] != end[order][:-1])
    rows = order[is_first]
    return OsrmSpeeds(
        start[rows],
        end[rows],
        np.maximum(np.round(speed[edge[rows]]), 1).astype(np.int64),
        None if rate is None else rate[edge[rows]],
        weight_per_cost,
        {
            "points without an OSM node id": int((~is_osm & is_original[edge]).sum()),
            "the same two nodes once more": int((~is_first).sum()),
        },
    )


def _shapes_of(network: RoadNetwork) -> EdgeShapes:
    if network.shapes is None:
        raise MissingDataError(
            needs="OSM nodes along the edges",
            because="OSRM knows segments by their OSM nodes",
            remedy="read the network from an OSM file",
        )
    return network.shapes


def _pairs(shapes: EdgeShapes) -> tuple[Ids, Ids]:
    """Positions of the points that another point of the same edge follows, and their edges."""
    counts = np.diff(shapes.first_point)
    edge = np.repeat(np.arange(len(counts)), counts)
    pair = np.flatnonzero(edge[1:] == edge[:-1])
    pair = pair[shapes.osm_node[pair] != shapes.osm_node[pair + 1]]
    return pair, edge[pair]


def _rates(network: RoadNetwork, cost: Floats, length: Floats32) -> tuple[Floats, float]:
    wrong = np.flatnonzero(~(cost >= 0) | ~np.isfinite(cost))
    if len(wrong):
        row = int(wrong[0])
        name = f"edge {network.graph.edge_id[row]}"
        raise InvalidValueError(
            column="cost", row=row, row_name=name, value=float(cost[row]), expected="a number of at least 0"
        )
    time = network.attributes.require("travel_time_s", "speeds for OSRM")
    total = float(cost.sum())
    weight_per_cost = float(time.sum(dtype=np.float64)) / total if total > 0 else 1.0
    weight = cost * weight_per_cost
    free = np.float64(np.finfo(np.float32).max)
    rate = np.divide(length, weight, out=np.full(len(cost), free), where=weight > 0)
    return np.clip(rate, LEAST_RATE, 1e6), weight_per_cost
