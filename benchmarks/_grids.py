"""Grid networks of any size for benchmarks: two-way streets, lengths drawn at random, U-turns at dead ends only."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
from trodden import read_roads
from trodden.graphs.road_graph import RoadNetwork


def grid_network(rows: int, columns: int, *, seed: int = 0, marks: tuple[str, ...] = ()) -> RoadNetwork:
    """A grid of rows x columns nodes with 2 (2 R C - R - C) edges of 50 to 250 m at 36 km/h.

    Each name in ``marks`` becomes a feature that a third of the streets have, 1 in both directions.
    """
    random = np.random.default_rng(seed)
    node = np.arange(rows * columns).reshape(rows, columns)
    pairs = np.concatenate(
        [
            np.column_stack([node[:, :-1].ravel(), node[:, 1:].ravel()]),
            np.column_stack([node[:-1].ravel(), node[1:].ravel()]),
        ]
    )
    length = random.uniform(50, 250, len(pairs)).round(1)
    both = np.concatenate([pairs, pairs[:, ::-1]]).tolist()
    street = np.column_stack([length, *(random.random(len(pairs)) < 1 / 3 for _ in marks)])
    twice = np.concatenate([street, street]).tolist()
    with tempfile.TemporaryDirectory() as folder:
        with open(Path(folder) / "links.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["link_id", "from_node", "to_node", "maxspeed_kmh", "length_m", *marks])
            writer.writerows([k, *ends, 36, *row] for k, (ends, row) in enumerate(zip(both, twice, strict=True)))
        with open(Path(folder) / "nodes.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["node_id", "lat", "lon"])
            writer.writerows([k, 0.001 * (k // columns), 0.001 * (k % columns)] for k in range(rows * columns))
        return read_roads(folder)
