"""Features: every kind of column against values worked out by hand, and names or numbers that are refused."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from irl_oracles import rebuilt
from strategies import make_network
from trodden.core.errors import ConfigurationError, InvalidValueError
from trodden.graphs.road_graph import Categories, EdgeAttributes
from trodden.irl.feature_columns import Column
from trodden.irl.features import available_names, default_features, expand_names, make_features

# A square 0 -> 1 -> 2 -> 3 -> 0 with a way back 1 -> 0; positions 0: 0-1, 1: 1-2, 2: 1-0, 3: 2-3, 4: 3-0.
TAIL, HEAD = [0, 1, 1, 2, 3], [1, 2, 0, 3, 0]
# Its turns: 0-1, 0-2 (U-turn), 1-3, 2-0 (U-turn), 3-4, 4-0. What each enters:
ENTERED = [1, 2, 3, 0, 4, 0]
LENGTH = [100.0, 200.0, 100.0, 400.0, 50.0]
CLASSES = Categories(np.array([1, 0, 1, 2, 1], np.int32), ("primary", "residential", "service", "track"))
TOLL = [0.0, 0.5, 0.0, 2.0, 0.0]
DELAY = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.fixture(scope="module")
def network():
    plain = make_network(TAIL, HEAD)
    attributes = EdgeAttributes(
        length_m=np.array(LENGTH, np.float32),
        speed_kmh=np.array([30, 60, 30, 60, 30], np.float32),
        travel_time_s=np.array([12, 12, 12, 24, 6], np.float32),
        road_class=CLASSES,
        lanes=np.array([0, 2, 1, 3, 1], np.int32),
        is_toll=np.array([0, 1, 0, 1, 0], bool),
        surface=Categories(np.array([0, 1, 0, 2, 0], np.int32), ("", "asphalt", "gravel")),
        extra={"toll_eur": np.array(TOLL)},
    )
    turns = dataclasses.replace(
        plain.turns,
        is_left=np.array([1, 0, 0, 0, 0, 0], bool),
        is_right=np.array([0, 0, 1, 0, 1, 0], bool),
        extra={"delay_s": np.array(DELAY)},
    )
    assert turns.to_edge.tolist() == ENTERED
    assert turns.is_uturn.tolist() == [False, True, False, True, False, False]
    return rebuilt(plain, attributes=attributes, turns=turns)


def edge_value(features):
    """float64[E, F]: what each feature says of an edge alone."""
    return np.column_stack([features.edge_reward(one) for one in np.eye(len(features))])


@pytest.mark.parametrize(
    ("name", "per_edge"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("length_km", [0.1, 0.2, 0.1, 0.4, 0.05]),
        ("travel_time_min", [0.2, 0.2, 0.2, 0.4, 0.1]),
        ("speed_kmh", [30, 60, 30, 60, 30]),
        ("lanes", [0, 2, 1, 3, 1]),
        ("is_toll", [0, 1, 0, 1, 0]),
        ("class:primary", [0, 1, 0, 0, 0]),
        ("class:track", [0, 0, 0, 0, 0]),
        ("surface:gravel", [0, 0, 0, 1, 0]),
        ("toll_eur", TOLL),
        ("length_km*toll_eur", [0, 0.1, 0, 0.8, 0]),
        ("length_km * is_toll * lanes", [0, 0.4, 0, 1.2, 0]),
    ],
)
def test_columns_of_the_edge_entered(network, name, per_edge):
    features = make_features(network, [name])
    assert features.names == (name,)
    np.testing.assert_allclose(edge_value(features)[:, 0], per_edge, rtol=1e-6)
    np.testing.assert_allclose(features.value[:, 0], [per_edge[e] for e in ENTERED], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "per_turn"),
    [
        ("is_left", [1, 0, 0, 0, 0, 0]),
        ("is_right", [0, 0, 1, 0, 1, 0]),
        ("is_uturn", [0, 1, 0, 1, 0, 0]),
        ("delay_s", DELAY),
        ("is_right*length_km", [0, 0, 0.4, 0, 0.05, 0]),
        ("toll_eur*delay_s", [0.5, 0, 6.0, 0, 0, 0]),
        ("is_uturn*delay_s", [0, 2, 0, 4, 0, 0]),
    ],
)
def test_columns_of_the_turn(network, name, per_turn):
    features = make_features(network, [name])
    np.testing.assert_allclose(features.value[:, 0], per_turn, rtol=1e-6)
    assert not edge_value(features).any()


def test_columns_stand_in_the_order_asked_for(network):
    features = make_features(network, ("is_left", "length_km", "constant"))
    assert features.value.shape == (6, 3)
    assert features.value[0].tolist() == pytest.approx([1, 0.2, 1])
    assert edge_value(features)[1].tolist() == pytest.approx([0, 0.2, 1])


def test_a_star_stands_for_every_class_but_the_most_frequent(network):
    assert expand_names(network, ["class:*"]) == ("class:primary", "class:service")  # no edge is a track
    assert expand_names(network, ["surface:*", "constant"]) == ("surface:asphalt", "surface:gravel", "constant")
    features = make_features(network, ["constant", "class:*"])
    np.testing.assert_array_equal(edge_value(features), [[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 1], [1, 0, 0]])


def test_edges_without_a_class_have_no_column_of_their_own(network):
    classes = Categories(np.array([1, 0, 1, 2, 1], np.int32), ("", "residential", "service"))
    some = rebuilt(network, attributes=dataclasses.replace(network.attributes, road_class=classes))
    assert make_features(some, ["class:*"]).names == ("class:service",)


def test_the_default_set(network):
    assert default_features(network) == ("travel_time_min", "is_left", "is_right", "is_uturn", "constant")
    assert make_features(network).names == default_features(network)
    no_uturn = rebuilt(network, turns=dataclasses.replace(network.turns, is_uturn=np.zeros(6, bool)))
    assert default_features(no_uturn) == ("travel_time_min", "is_left", "is_right", "constant")
    no_time = rebuilt(network, attributes=EdgeAttributes(length_m=network.attributes.length_m))
    assert default_features(no_time)[0] == "length_km"
    nothing = rebuilt(network, attributes=EdgeAttributes())
    assert default_features(nothing) == ("is_left", "is_right", "is_uturn", "constant")


def test_a_column_under_a_features_own_name_is_used_to_its_last_digit(network):
    exact = np.array([0.1, 0.2, 0.3, 0.4, 0.123456789012345])
    given = rebuilt(network, attributes=dataclasses.replace(network.attributes, extra={"travel_time_min": exact}))
    np.testing.assert_array_equal(edge_value(make_features(given, ["travel_time_min"]))[:, 0], exact)


@pytest.mark.parametrize(
    "name",
    ["colour", "class:motorway", "surface:", "length_m", "travel_time_s", "is_bridge", "colour*constant", "*", ""],
)
def test_an_unknown_name_lists_those_there_are(network, name):
    with pytest.raises(ConfigurationError) as caught:
        make_features(network, ["constant", name])
    text = str(caught.value)
    for known in ("constant", "length_km", "toll_eur", "delay_s", "class:*", "class:primary", "surface:gravel"):
        assert known in text
    assert "is_bridge," not in text


def test_a_star_without_such_a_column_is_unknown(network):
    bare = rebuilt(network, attributes=EdgeAttributes(length_m=network.attributes.length_m))
    with pytest.raises(ConfigurationError, match=r"no column for 'class:\*'"):
        make_features(bare, ["class:*"])


def test_every_name_listed_can_be_used(network):
    names = [name for name in available_names(network) if not name.endswith(":*")]
    assert make_features(network, names).value.shape == (6, len(names))
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("names", [["constant", "constant"], ["class:*", "class:service"]])
def test_a_name_given_twice_is_refused(network, names):
    with pytest.raises(ConfigurationError, match=f"more than once: {re.escape(names[-1])}"):
        make_features(network, names)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["toll_eur", "toll_eur*length_km", "toll_eur*is_left"])
def test_a_bad_number_of_an_edge_names_it_and_the_column(network, bad, name):
    toll = np.array([0.0, 1.0, bad, 1.0, bad])
    spoilt = rebuilt(network, attributes=dataclasses.replace(network.attributes, extra={"toll_eur": toll}))
    with pytest.raises(InvalidValueError, match="edge 1002") as caught:
        make_features(spoilt, ["constant", name])
    assert "toll_eur" in caught.value.column
    assert caught.value.row == 2
    assert make_features(spoilt, ["constant"]).names == ("constant",)


def test_a_bad_length_names_its_edge(network):
    length = np.array([1, 2, 3, np.nan, 4], np.float32)
    spoilt = rebuilt(network, attributes=dataclasses.replace(network.attributes, length_m=length))
    with pytest.raises(InvalidValueError, match=r"'length_km', edge 1003 \(row 3\): nan is not a finite number"):
        make_features(spoilt, ["length_km"])


def test_a_bad_number_of_a_turn_names_it_and_the_column(network):
    turns = dataclasses.replace(network.turns, extra={"delay_s": np.array([1, 2, np.inf, 3, np.nan, 4])})
    with pytest.raises(InvalidValueError, match="turn from edge 1001 to edge 1003") as caught:
        make_features(rebuilt(network, turns=turns), ["delay_s"])
    assert (caught.value.column, caught.value.row) == ("delay_s", 2)


def test_infinity_times_nothing_is_no_number_and_no_warning(network):
    toll = np.array([0.0, np.inf, 0.0, 0.0, 0.0])
    zero = np.zeros(5)
    extra = {"toll_eur": toll, "nothing": zero}
    spoilt = rebuilt(network, attributes=dataclasses.replace(network.attributes, extra=extra))
    with pytest.raises(InvalidValueError, match="edge 1001"):
        make_features(spoilt, ["nothing*toll_eur"])


EVERY = ("constant", "length_km", "lanes", "class:*", "is_left", "delay_s", "is_uturn*toll_eur*length_km", "toll_eur")


def test_products_with_the_matrix_equal_the_dense_ones(network):
    features, random = make_features(network, EVERY), np.random.default_rng(0)
    coefficients, weights = random.normal(size=len(features)), random.normal(size=6)
    np.testing.assert_allclose(features.reward(coefficients), features.value @ coefficients, rtol=1e-13)
    np.testing.assert_allclose(features.project(weights), features.value.T @ weights, rtol=1e-13)
    some = np.array([5, 0, 5])
    np.testing.assert_array_equal(features.rows(some), features.value[some])
    np.testing.assert_array_equal(features.range.minimum, features.value.min(axis=0))
    np.testing.assert_array_equal(features.range.maximum, features.value.max(axis=0))
    np.testing.assert_allclose(features.range.mean_square, (features.value**2).mean(axis=0), rtol=1e-13)


def test_blocks_do_not_change_a_number(network, monkeypatch):
    whole = make_features(network, EVERY)
    monkeypatch.setattr("trodden.core.blocks._BLOCK", 2)
    pieces = make_features(network, EVERY)
    np.testing.assert_array_equal(pieces.value, whole.value)
    theta, weights = np.arange(1.0, len(whole) + 1), np.arange(6.0)
    np.testing.assert_array_equal(pieces.reward(theta), whole.reward(theta))
    np.testing.assert_allclose(pieces.project(weights), whole.project(weights), rtol=1e-14)
    np.testing.assert_allclose(pieces.range.mean_square, whole.range.mean_square, rtol=1e-14)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.bool_, np.uint8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("level", [None, 1])
@pytest.mark.parametrize("count", [0, 1, 7, 1000])
def test_compiled_columns_add_up_to_what_numpy_says(kind, level, count, monkeypatch):
    random = np.random.default_rng(count)
    column = Column((random.normal(size=count) * 2).astype(kind), 0.1 if level is None else 1.0, level).at(
        slice(0, count)
    )
    weights, start = random.normal(size=count), random.normal(size=count)
    totals, dots = [], []
    for least in (count + 1, 0):
        monkeypatch.setattr("trodden.irl.feature_columns._WORTH_COMPILING", least)
        totals.append(start.copy())
        column.add_to(totals[-1], 0.3)
        dots.append(column.dot(weights))
    np.testing.assert_array_equal(totals[0], start + 0.3 * column.numbers())
    np.testing.assert_array_equal(totals[1], totals[0])
    assert dots == pytest.approx([weights @ column.numbers()] * 2, rel=1e-12, abs=1e-12)


def test_columns_are_views_of_the_network(network):
    features = make_features(network, EVERY)
    held = [part.values for column in features.columns for part in (*column.of_edge, *column.of_turn)]
    owners = [*vars(network.attributes).values(), network.attributes.extra["toll_eur"], *vars(network.turns).values()]
    arrays = [getattr(one, "codes", one) for one in [*owners, network.turns.extra["delay_s"]]]
    assert all(any(one is array for array in arrays) for one in held)
    assert "value" not in vars(features), "the dense matrix is made only where it is asked for"


def angled_network():
    """A network of one junction whose turns have known angles, and whole numbers of its users."""
    network = make_network([0, 1, 1, 1, 1], [1, 2, 3, 4, 5])
    angle = np.array([-130.0, -20.0, np.nan, 59.9], np.float32)
    turns = dataclasses.replace(network.turns, angle_deg=angle, extra={"sector": np.array([3.0, 3.0, 7.0, 1.0])})
    attributes = dataclasses.replace(network.attributes, extra={"zone": np.array([0.0, 2.0, 2.0, 2.0, 5.0])})
    return dataclasses.replace(network, turns=turns, attributes=attributes)


def test_angle_classes_and_levels_of_whole_numbers():
    network = angled_network()
    features = make_features(network, ["angle:*", "sector:*", "zone:*"])
    found = dict(zip(features.names, features.value.T.tolist(), strict=True))
    assert found["angle:sharp_left"] == [1, 0, 0, 0]
    assert found["angle:slight_left"] == [0, 1, 0, 0]
    assert found["angle:slight_right"] == [0, 0, 0, 1]
    assert sum(map(sum, (column for name, column in found.items() if name.startswith("angle")))) == 3
    assert "sector:3" not in found  # the most frequent is the reference
    assert found["sector:7"] == [0, 0, 1, 0]
    assert found["sector:1"] == [0, 0, 0, 1]
    entered = network.attributes.extra["zone"][network.turns.to_edge]
    assert found["zone:5"] == (entered == 5).tolist()
    assert found["zone:0"] == (entered == 0).tolist()


def test_a_measure_is_no_kind():
    network = angled_network()
    many = dataclasses.replace(network.attributes, extra={"height": np.arange(5.0)})
    rough = dataclasses.replace(network, attributes=many)
    assert len(make_features(rough, ["height:*"])) == 4
    with pytest.raises(ConfigurationError, match="no column for 'depth:"):
        make_features(rough, ["depth:*"])
    size = 200
    wide = make_network(np.zeros(size, int), np.arange(1, size + 1))
    wide = dataclasses.replace(
        wide, attributes=dataclasses.replace(wide.attributes, extra={"h": np.arange(float(size))})
    )
    with pytest.raises(ConfigurationError, match="would be 199 columns"):
        make_features(wide, ["h:*"])


def test_without_angles_there_are_no_classes_of_them():
    with pytest.raises(ConfigurationError, match="no column for 'angle"):
        make_features(make_network([0, 1], [1, 2]), ["angle:*"])
