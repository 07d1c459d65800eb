"""Nearest edges against measuring them all, islands, and coordinates that make no sense."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.core.errors import InvalidValueError, MissingDataError, OffMapError
from trodden.graphs.geometry import METRES_PER_DEGREE
from trodden.graphs.road_graph import EdgeShapes, RoadNetwork
from trodden.graphs.spatial import EdgeIndex


def measured(network, edge, latitude, longitude):
    """The slow way: one line, one distance, in a projection around the point."""
    scale = METRES_PER_DEGREE * np.array([1, np.cos(np.radians(latitude))])
    line = (network.edge_polyline(edge) - [latitude, longitude]) * scale
    return shapely.distance(shapely.LineString(line), shapely.Point(0, 0))


@settings(max_examples=60, deadline=None)
@given(strategies.road_networks(), st.floats(40.99, 41.11), st.floats(-8.11, -7.99))
def test_nearest_equals_measuring_every_edge(network, latitude, longitude):
    if network.graph.latitude_deg is None:
        with pytest.raises(MissingDataError, match="coordinates"):
            EdgeIndex(network)
        return
    snaps = EdgeIndex(network).nearest(latitude, longitude, 50_000.0)
    main = np.flatnonzero(network.turns.is_main)
    want = np.array([measured(network, edge, latitude, longitude) for edge in main])
    assert snaps[0].distance_m == pytest.approx(want.min(), abs=1e-3)
    near = set(main[want <= want.min() + 0.999].tolist())
    assert near <= {snap.edge for snap in snaps} <= set(main[want <= want.min() + 1.001].tolist())
    assert all(0 <= snap.fraction <= 1 for snap in snaps)


def test_both_directions_of_a_road_are_candidates_and_fractions_mirror():
    network = strategies.make_grid(2, 2)
    degrees = 100 / 111_195
    snaps = EdgeIndex(network).nearest(41.0 - 0.1 * degrees, -8.0 + 0.3 * degrees / np.cos(np.radians(41)))
    assert len(snaps) == 2
    first, second = (network.graph.tail[snap.edge] for snap in snaps)
    assert {int(first), int(second)} == {0, 1}
    assert sorted(snap.fraction for snap in snaps) == pytest.approx([0.3, 0.7], abs=1e-3)
    for snap in snaps:
        assert snap.distance_m == pytest.approx(10, abs=0.05)
        assert snap.latitude_deg == pytest.approx(41.0, abs=1e-7)


def island_network(gap_m=500.0):
    """A 3 x 3 grid, and north of it a two-way road that nothing joins to it."""
    grid = strategies.make_grid(3, 3)
    north = 41.0 + (200 + gap_m) / 111_195
    latitude = np.concatenate([grid.graph.latitude_deg, [north, north]])
    longitude = np.concatenate([grid.graph.longitude_deg, [-8.0, -7.998]])
    return strategies.make_network(
        np.concatenate([grid.graph.tail, [9, 10]]),
        np.concatenate([grid.graph.head, [10, 9]]),
        num_nodes=11,
        coordinates=(latitude, longitude),
    )


def test_a_point_on_an_island_goes_to_the_main_network_or_nowhere():
    network = island_network()
    index = EdgeIndex(network)
    north = float(network.graph.latitude_deg[9])
    snap = index.nearest(north, -7.999)[0]
    assert network.turns.is_main[snap.edge]
    assert snap.distance_m == pytest.approx(500, abs=1)
    with pytest.raises(OffMapError, match="limit 400 m") as caught:
        index.nearest(north, -7.999, 400.0, index=7)
    assert caught.value.index == 7
    assert caught.value.distance_m == pytest.approx(500, abs=1)
    assert "row 7" in str(caught.value)


@pytest.mark.parametrize(
    ("latitude", "longitude", "hint"),
    [
        (-8.0, 41.0, "swapped"),
        (48.2, 16.4, "map covers latitude 41.0"),
        (0.0, 0.0, "map covers"),
        (-90.0, 180.0, "map covers"),
        (90.0, -8.0, "map covers"),
        (41.012, -8.0, "map covers"),
    ],
)
def test_points_off_the_map_get_a_hint_and_a_distance(latitude, longitude, hint):
    with pytest.raises(OffMapError, match=hint) as caught:
        EdgeIndex(strategies.make_grid(3, 3)).nearest(latitude, longitude)
    assert caught.value.distance_m > 1000
    assert np.isfinite(caught.value.distance_m)


def test_a_hole_in_the_map_is_told_from_its_outside():
    network = strategies.make_network(
        [0, 1, 2, 3],
        [1, 2, 3, 0],
        coordinates=(np.array([41.0, 41.1, 41.1, 41.0]), np.array([-8.1, -8.1, -8.0, -8.0])),
    )
    with pytest.raises(OffMapError, match="raise the snapping limit"):
        EdgeIndex(network).nearest(41.05, -8.05)


@pytest.mark.parametrize(
    ("latitude", "longitude", "column"),
    [
        (np.nan, -8.0, "latitude"),
        (41.0, np.nan, "longitude"),
        (np.inf, -8.0, "latitude"),
        (-122.4, 45.5, "latitude"),
        (41.0, 1e300, "longitude"),
    ],
)
def test_numbers_that_are_no_coordinate_are_named(latitude, longitude, column):
    with pytest.raises(InvalidValueError) as caught:
        EdgeIndex(strategies.make_grid(2, 2)).nearest(latitude, longitude, index=3)
    assert caught.value.column == column
    assert caught.value.row == 3


def test_shapes_are_followed_not_the_straight_line():
    grid = strategies.make_grid(1, 2)
    # Both directions bulge 50 m to the north; a degenerate piece (the same point twice) does no harm.
    bulge = 410_000_000 + round(50 / 111_195 * 1e7)
    points = np.array([[410_000_000, -80_000_000], [bulge, -79_994_000], [bulge, -79_994_000]])
    end = [410_000_000, round(float(grid.graph.longitude_deg[1]) * 1e7)]
    there = np.vstack([points, [end]])
    every = np.vstack([there, there[::-1]]).astype(np.int32)
    shapes = EdgeShapes(
        first_point=np.array([0, 4, 8]),
        osm_node=np.arange(8),
        latitude_e7=every[:, 0].copy(),
        longitude_e7=every[:, 1].copy(),
        first_way=np.array([0, 1, 2]),
        osm_way=np.array([5, 5]),
    )
    network = RoadNetwork(grid.graph, grid.attributes, grid.turns, shapes, {}, "")
    snap = EdgeIndex(network).nearest(41.0 + 60 / 111_195, -7.9994)[0]
    assert snap.distance_m == pytest.approx(10, abs=0.1)
    assert 0.3 < snap.fraction < 0.7


def test_the_true_nearest_is_found_far_from_the_middle_latitude():
    """Two roads 20 degrees apart: the projection of the whole map is wrong by half at either."""
    latitude = np.array([50.0, 50.0, 70.0, 70.0 + 0.003])
    longitude = np.array([10.0, 10.02, 10.0, 10.02])
    network = strategies.make_network([0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2], coordinates=(latitude, longitude))
    index = EdgeIndex(network)
    for place in ((50.001, 10.01), (70.002, 10.005), (69.999, 10.001), (60.0, 10.011)):
        want = min(measured(network, edge, *place) for edge in range(6))
        assert index.nearest(*place, 10_000.0)[0].distance_m == pytest.approx(want, rel=1e-6)


@pytest.mark.real_data
def test_a_real_map_equals_measuring_around_the_point(data_folder):
    from trodden.graphs.reading import read_roads

    network = read_roads(data_folder / "osm" / "krems.osm.gz")
    index = EdgeIndex(network)
    random = np.random.default_rng(0)
    main = np.flatnonzero(network.turns.is_main)
    low = [network.graph.latitude_deg.min(), network.graph.longitude_deg.min()]
    high = [network.graph.latitude_deg.max(), network.graph.longitude_deg.max()]
    for latitude, longitude in random.uniform(low, high, (40, 2)):
        want = min(measured(network, edge, latitude, longitude) for edge in main)
        assert index.nearest(latitude, longitude, 20_000.0)[0].distance_m == pytest.approx(want, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(strategies.road_networks(), st.floats(40.99, 41.11), st.floats(-8.11, -7.99), st.integers(1, 12))
def test_the_nearest_few_equal_measuring_every_edge(network, latitude, longitude, number):
    if network.graph.latitude_deg is None:
        return
    main = np.flatnonzero(network.turns.is_main)
    want = np.sort([measured(network, edge, latitude, longitude) for edge in main])
    for limit in (50_000.0, want[0] + 500.0):
        snaps = EdgeIndex(network).nearest_edges(latitude, longitude, number, limit)
        got = [snap.distance_m for snap in snaps]
        assert len({snap.edge for snap in snaps}) == len(snaps)
        np.testing.assert_allclose(got, want[want <= limit + 1e-3][: len(got)], atol=1e-3)
        assert len(got) == min(number, int((want <= limit).sum())) or abs(want[len(got)] - limit) < 1e-3
