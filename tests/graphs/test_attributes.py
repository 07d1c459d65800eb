"""Tag rules: which ways are driven, in which direction, how fast."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.graphs.attributes import (
    DEFAULT_SPEED_KMH,
    categories,
    compact,
    direction,
    impute_speeds,
    parse_lanes,
    parse_speed_kmh,
    skip_reason,
)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({}, "highway"),
        ({"highway": "residential"}, None),
        ({"highway": "motorway_link"}, None),
        ({"highway": "service"}, "highway"),
        ({"highway": "footway"}, "highway"),
        ({"highway": "construction"}, "highway"),
        ({"highway": "trail"}, "unknown class"),
        ({"highway": "primary", "area": "yes"}, "area"),
        ({"highway": "primary", "access": "private"}, "access"),
        ({"highway": "primary", "access": "no"}, None),
        ({"highway": "primary", "motor_vehicle": "no"}, "motor_vehicle"),
        ({"highway": "primary", "motorcar": "no"}, "motorcar"),
        ({"highway": "residential", "service": "alley"}, "service"),
    ],
)
def test_skip_reason(tags: dict[str, str], reason: str | None) -> None:
    assert skip_reason(tags) == reason


def test_service_roads_on_request() -> None:
    assert skip_reason({"highway": "service"}, include_service=True) is None
    assert skip_reason({"highway": "service", "service": "driveway"}, include_service=True) is None
    assert skip_reason({"highway": "service", "service": "parking_aisle"}, include_service=True) == "service"
    assert skip_reason({"highway": "services"}, include_service=True) == "highway"


_VALUES = st.sampled_from(
    [
        "yes",
        "no",
        "private",
        "primary",
        "residential",
        "service",
        "track",
        "alley",
        "driveway",
        "destination",
        "parking",
    ]
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["area", "access", "motor_vehicle", "motorcar", "service"]), _VALUES), _VALUES)
def test_skipping_equals_osmnx(tags: dict[str, str], highway: str) -> None:
    """Against osmnx's own Overpass filters, for the classes known here."""
    osmnx_overpass = pytest.importorskip("osmnx._overpass")
    tags = {**tags, "highway": highway}
    for include_service, network_type in ((False, "drive"), (True, "drive_service")):
        text = osmnx_overpass._get_network_filter(network_type)
        filters = re.findall(r'\["(\w+)"!~"([^"]+)"\]', text)
        assert len(filters) >= 6
        drives = all(not re.search(pattern, tags.get(key, "")) for key, pattern in filters)
        reason = skip_reason(tags, include_service=include_service)
        assert (reason in (None, "unknown class")) == drives


@pytest.mark.parametrize(
    ("tags", "way", "rule"),
    [
        ({}, "both", "two-way"),
        ({"oneway": "yes"}, "forward", "oneway tag"),
        ({"oneway": "true"}, "forward", "oneway tag"),
        ({"oneway": "1"}, "forward", "oneway tag"),
        ({"oneway": "-1"}, "backward", "oneway tag"),
        ({"oneway": "reverse"}, "backward", "oneway tag"),
        ({"oneway": "no"}, "both", "two-way"),
        ({"oneway": "reversible"}, "both", "two-way"),
        ({"junction": "roundabout"}, "forward", "roundabout"),
        ({"junction": "roundabout", "oneway": "-1"}, "backward", "oneway tag"),
        ({"junction": "circular"}, "forward", "circular junction"),
        ({"highway": "motorway"}, "forward", "motorway"),
        ({"highway": "motorway", "oneway": "no"}, "both", "two-way"),
        ({"highway": "motorway_link"}, "both", "two-way"),
    ],
)
def test_direction(tags: dict[str, str], way: str, rule: str) -> None:
    assert direction(tags) == (way, rule)


@pytest.mark.parametrize(
    ("text", "speed"),
    [
        ("50", 50.0),
        ("50 km/h", 50.0),
        ("50km/h", 50.0),
        ("30 mph", 48.28032),
        ("30mph", 48.28032),
        ("10 knots", 18.52),
        ("50;30", 40.0),
        ("50|70", 60.0),
        ("62,5", 62.5),
        ("DE:urban", 50.0),
        ("DE:rural", 100.0),
        ("PT:rural", 90.0),
        ("FR:zone30", 30.0),
        ("DE:zone:20", 20.0),
        ("zone30", 30.0),
        ("none", 130.0),
        ("walk", 7.0),
        ("signals", None),
        ("variable", None),
        ("", None),
        ("0", None),
        ("-20", None),
        ("9999", None),
        ("nan", None),
        ("inf", None),
        ("50;fast", None),
    ],
)
def test_parse_speed(text: str, speed: float | None) -> None:
    assert parse_speed_kmh(text) == (None if speed is None else pytest.approx(speed))


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_a_speed_in_range_or_none(text: str) -> None:
    speed = parse_speed_kmh(text)
    assert speed is None or 0 < speed <= 300
    assert 0 <= parse_lanes(text) <= 99


@pytest.mark.parametrize(
    ("text", "lanes"), [("2", 2), (" 3 ", 3), ("2;3", 2), ("1.5", 1), ("-1", 0), ("x", 0), ("123", 0)]
)
def test_parse_lanes(text: str, lanes: int) -> None:
    assert parse_lanes(text) == lanes


def test_impute_speeds_by_class() -> None:
    road_class = categories(["primary", "primary", "primary", "residential", "alley"])
    speed, counts = impute_speeds(np.array([50.0, 70.0, np.nan, np.nan, np.nan]), road_class)
    assert speed.tolist() == [50.0, 70.0, 60.0, DEFAULT_SPEED_KMH["residential"], 30.0]
    assert counts == {"tagged": 2, "class_mean": 1, "class_default": 2}
    assert speed.dtype == np.float32


def test_impute_speeds_equals_osmnx() -> None:
    networkx = pytest.importorskip("networkx")
    osmnx = pytest.importorskip("osmnx")
    rng = np.random.default_rng(4)
    classes = rng.choice(["primary", "residential", "tertiary"], 40).tolist()
    tagged = [str(rng.choice([30, 50, 70])) if rng.random() < 0.5 else None for _ in classes]
    graph = networkx.MultiDiGraph(crs="epsg:4326")
    graph.add_nodes_from((node, {"x": 0.01 * node, "y": 0.0}) for node in range(41))
    for node, (road_class, text) in enumerate(zip(classes, tagged, strict=True)):
        given = {} if text is None else {"maxspeed": text}
        graph.add_edge(node, node + 1, highway=road_class, length=1.0, osmid=node, **given)
    want = [data["speed_kph"] for *_, data in osmnx.add_edge_speeds(graph).edges(data=True)]
    given_speeds = np.array([np.nan if text is None else float(text) for text in tagged])
    got, _ = impute_speeds(given_speeds, categories(classes))
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_categories() -> None:
    column = categories(["b", "", "a", "b"])
    assert column.levels == ("", "a", "b")
    assert [column.text(row) for row in range(4)] == ["b", "", "a", "b"]
    assert compact(column.take(np.array([0, 3], np.int32))).levels == ("b",)
