"""A small city for tests of regions: a grid whose edges differ in length and in a toll."""

from __future__ import annotations

import dataclasses

import numpy as np
from strategies import make_grid
from trodden.graphs.road_graph import RoadNetwork

TASTE = {"travel_time_min": -3.0, "toll": -0.7, "constant": -1.3}


def make_city(rows: int = 9, columns: int = 9) -> RoadNetwork:
    """A two-way grid with lengths between 50 and 400 m, 8 m/s, and a toll on three edges in ten."""
    grid = make_grid(rows, columns)
    random = np.random.default_rng(3)
    length = random.uniform(50, 400, grid.graph.num_edges).astype(np.float32)
    toll = (random.random(grid.graph.num_edges) < 0.3).astype(float)
    attributes = dataclasses.replace(grid.attributes, length_m=length, travel_time_s=length / 8.0, extra={"toll": toll})
    return dataclasses.replace(grid, attributes=attributes)
