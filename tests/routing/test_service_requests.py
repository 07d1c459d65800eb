"""Requests as OSRM's clients write them: what is read, what is refused, and which coordinate is named."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.core.errors import ServiceRequestError
from trodden.routing.lines import encode_polyline
from trodden.routing.points import Coordinate
from trodden.routing.service.requests import read_coordinates, read_nearest, read_route, read_table
from trodden.routing.service.settings import ServiceSettings

LIMITS = ServiceSettings(max_points=5, max_alternatives=3)
TWO = "-8.61,41.15;-8.63,41.16"


def test_defaults_are_those_of_osrm():
    found = read_route(TWO, "", LIMITS)
    assert found.at.points == (Coordinate(41.15, -8.61), Coordinate(41.16, -8.63))
    assert (found.overview, found.geometries, found.steps, found.annotations) == ("simplified", "polyline", False, ())
    assert (found.alternatives, found.continue_straight, found.at.radiuses) == (0, True, None)
    table = read_table(TWO, "", LIMITS)
    assert (table.sources, table.destinations, table.annotations) == ((0, 1), (0, 1), ("duration",))
    assert read_nearest("-8.61,41.15", "", LIMITS).number == 1


def test_options_are_read():
    query = (
        "overview=full&geometries=geojson&steps=true&annotations=duration,nodes&alternatives=2&radiuses=unlimited%3B25"
        "&continue_straight=false&generate_hints=false&hints=;&approaches=unrestricted;&exclude=toll,motorway"
        "&trodden=probability&avoid=toll:5,motorway:1.5&closed=17,-4&skip_waypoints=true"
    )
    found = read_route(TWO + ".json", query, LIMITS)
    assert (found.overview, found.geometries, found.steps) == ("full", "geojson", True)
    assert found.annotations == ("duration", "nodes")
    assert (found.alternatives, found.continue_straight) == (2, False)
    assert found.at.radiuses == (float("inf"), 25.0)
    assert found.at.exclude == ("toll", "motorway")
    assert found.at.skip_waypoints
    assert found.extras == {"probability"}
    assert found.avoid == {"toll": 5.0, "motorway": 1.5}
    assert found.closed == (17, -4)
    assert not found.is_quick
    table = read_table(TWO, "sources=1&destinations=0;1&annotations=distance,duration&scale_factor=2", LIMITS)
    assert (table.sources, table.destinations, table.scale_factor) == ((1,), (0, 1), 2.0)
    assert read_route(TWO, "alternatives=true&annotations=true", LIMITS).alternatives == 1


def test_polylines_are_coordinates_too():
    places = np.array([[41.15, -8.61], [41.16, -8.63]])
    want = (Coordinate(41.15, -8.61), Coordinate(41.16, -8.63))
    assert read_coordinates(f"polyline({encode_polyline(places)})", 5) == want
    assert read_coordinates(f"polyline6({encode_polyline(places, 6)})", 5) == want


@pytest.mark.parametrize(
    ("coordinates", "query", "code", "says"),
    [
        ("", "", "InvalidQuery", "coordinate 0"),
        ("-8.61,41.15", "", "InvalidOptions", "at least 2"),
        ("-8.61,41.15;-8.63", "", "InvalidQuery", "coordinate 1, '-8.63', is not longitude,latitude"),
        ("-8.61,41.15;east,north", "", "InvalidQuery", "coordinate 1"),
        ("-8.61,41.15;nan,41", "", "InvalidValue", "coordinate 1"),
        ("-8.61,41.15;41.16,118.63", "", "InvalidValue", "longitude comes first"),
        ("-8.61,41.15;1e400,0", "", "InvalidValue", "coordinate 1"),
        (";".join(["1,1"] * 6), "", "TooBig", "6 coordinates"),
        ("polyline(\x01)", "", "InvalidQuery", "polyline"),
        ("polyline(_p~iF)", "", "InvalidQuery", "in the middle of a point"),
        (TWO, "colour=red", "InvalidQuery", "no option 'colour'"),
        (TWO, "steps=yes", "InvalidValue", "steps 'yes'"),
        (TWO, "steps=true&steps=true", "InvalidValue", "twice"),
        (TWO, "overview=half", "InvalidValue", "overview"),
        (TWO, "geometries=wkt", "InvalidValue", "geometries"),
        (TWO, "annotations=colour", "InvalidValue", "annotations"),
        (TWO, "alternatives=9", "TooBig", "9 alternatives"),
        (TWO, "alternatives=-1", "InvalidValue", "negative"),
        (TWO, "radiuses=5", "InvalidOptions", "1 entries for 2"),
        (TWO, "radiuses=5;-1", "InvalidValue", "coordinate 1"),
        (TWO, "radiuses=5;nan", "InvalidValue", "coordinate 1"),
        (TWO, "bearings=45,10;", "InvalidOptions", "bearings is not supported"),
        (TWO, "approaches=curb;curb", "InvalidOptions", "approaches"),
        (TWO, "snapping=any", "InvalidOptions", "snapping"),
        (TWO, "format=flatbuffers", "InvalidOptions", "format"),
        (TWO, "waypoints=0;1", "InvalidOptions", "waypoints"),
        (TWO, "trodden=colour", "InvalidValue", "trodden"),
        (TWO, "avoid=toll", "InvalidValue", "NAME:FACTOR"),
        (TWO, "avoid=toll:0", "InvalidValue", "above 0"),
        (TWO, "avoid=toll:nan", "InvalidValue", "above 0"),
        (TWO, "closed=a", "InvalidValue", "edge id"),
    ],
)
def test_what_is_wrong_is_named(coordinates, query, code, says):
    with pytest.raises(ServiceRequestError) as caught:
        read_route(coordinates, query, LIMITS)
    assert caught.value.code == code
    assert caught.value.status == 400
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sources=2", "2 is no index of the 2"),
        ("sources=0;0", "twice"),
        ("destinations=x", "not an index"),
        ("fallback_speed=5", "fallback_speed"),
        ("scale_factor=0", "above 0"),
        ("annotations=speed", "annotations"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(query, says):
    with pytest.raises(ServiceRequestError, match=says):
        read_table(TWO, query, LIMITS)


def test_tables_are_limited_by_their_cells():
    limits = ServiceSettings(max_table_cells=6)
    places = ";".join(["-8.61,41.15"] * 4)
    assert len(read_table(places, "sources=0", limits).destinations) == 4
    with pytest.raises(ServiceRequestError, match="4 x 4"):
        read_table(places, "", limits)


TEXT = st.text(st.sampled_from("0123456789.,;:-+eE&=%()nanif polyline6steps\x00é/"), max_size=40)


@settings(max_examples=150, deadline=None)
@given(TEXT, TEXT)
def test_any_text_is_read_or_refused(coordinates, query):
    for read in (read_route, read_table, read_nearest):
        with contextlib.suppress(ServiceRequestError):
            assert read(coordinates, query, LIMITS).at.points
