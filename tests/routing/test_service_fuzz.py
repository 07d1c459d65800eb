"""Requests that nobody would write, made from the service's own OpenAPI document and from near misses: no 5xx."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stated_model import small_city, stated_model

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("schemathesis")

import schemathesis
from fastapi.testclient import TestClient
from schemathesis import GenerationMode
from trodden.routing.router import Router
from trodden.routing.service.app import make_app
from trodden.routing.service.settings import ServiceSettings

pytestmark = pytest.mark.slow
EXAMPLES = 40
"""Per address and kind of request."""
A, B, C = "-71.2490,-29.8990", "-71.2380,-29.8890", "-71.2463,-29.8921"
WITHOUT_LIMITS = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    router = Router(stated_model(small_city(tmp_path_factory.mktemp("city"))))
    return make_app(router, ServiceSettings(max_points=30, max_table_cells=400, max_rows=30))


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def check(status, address, text):
    assert status < 500, (status, address[:300], text[:300])


def counted(client):
    """Requests that the service has answered."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("trodden_requests_total{"))


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_requests_made_from_the_document(app, client, mode):
    async def running(scope, receive, send):
        # Whoever reads the document starts the application and shuts it down again; here it runs already.
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
        else:
            await app(scope, receive, send)

    document = schemathesis.openapi.from_asgi("/openapi.json", running)
    operations = [found.ok() for found in document.get_all_operations()]
    if mode is GenerationMode.NEGATIVE:  # nothing can be wrong about a request that says nothing
        operations = [one for one in operations if one.body or one.query or one.path_parameters]
    assert len(operations) >= 9
    before = counted(client)
    for operation in operations:

        @WITHOUT_LIMITS
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case):
            response = case.call()
            check(response.status_code, str(response.request.url), response.text)

        ask()
    assert counted(client) - before > 10 * len(operations)


PLACES = st.sampled_from(
    [
        A,
        B,
        C,
        A,
        B,
        C,
        "-71.25,-29.9",
        "0,0",
        "nan,nan",
        "1e999,1",
        "",
        ",",
        "181,5",
        "-71.2490,-29.8990,3",
        "a,b",
        "%00",
    ]
)
COORDINATES = st.one_of(
    st.lists(PLACES, min_size=1, max_size=8).map(";".join),
    st.lists(st.sampled_from([A, B, C]), min_size=2, max_size=35).map(";".join),
    st.sampled_from(
        ["polyline(_p~iF~ps|U)", "polyline6(??)", "polyline(\x7f)", "polyline()", f"{A};{B}.json", "%E2%82%AC"]
    ),
    st.text(max_size=30),
)
WELCOME = {
    "route": "steps annotations geometries overview alternatives continue_straight radiuses trodden avoid closed",
    "table": "sources destinations annotations scale_factor radiuses trodden",
    "nearest": "number radiuses",
    "match": "timestamps radiuses gaps tidy waypoints steps annotations geometries overview",
    "own": "from to k metric avoid closed limit by bbox zoom",
    "other": "exclude approaches bearings fallback_speed format generate_hints hints skip_waypoints snapping other",
}
"""Options by who knows them: requests with these get past the first look."""
NAMES = sorted({name for names in WELCOME.values() for name in names.split()})
WORDS = (
    "true false 0 1 2 -1 1e308 nan inf -inf 1;2 0;1 ;; toll:5 toll:1e-300 left:1e300 motorway geojson polyline6 full "
    "split ignore duration,distance probability,explanation cost learned 1,2,3,4 -29.8990,-71.2490 edge:1 node:-1 "
    "unlimited;5 osm:99999999999999999999 5;5;5 1,-7 %00 -71.25,-29.91,-71.23,-29.88"
)
VALUES = st.one_of(
    st.sampled_from(["", *WORDS.split(" "), "9" * 30, "\x00", f"{A};{B}"]),
    st.integers(-5, 40).map(str),
    st.lists(st.integers(-2, 60).map(str), max_size=8).map(";".join),
    st.text(max_size=12),
)
OPTIONS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=4)


@pytest.mark.parametrize("service", ["route", "table", "nearest", "match"])
def test_requests_that_nearly_fit(client, service):
    known = st.lists(
        st.tuples(st.sampled_from(WELCOME[service].split()), VALUES), max_size=4, unique_by=lambda one: one[0]
    )

    @settings(WITHOUT_LIMITS, max_examples=5 * EXAMPLES)
    @given(st.sampled_from(["learned", "car", "", "nobody"]), COORDINATES, st.one_of(known, known, OPTIONS))
    def ask(profile, coordinates, options):
        response = client.get(f"/{service}/v1/{profile}/{quote(coordinates, safe=';,()%')}", params=options)
        check(response.status_code, str(response.request.url), response.text)

    ask()


@pytest.mark.parametrize("address", ["alternatives", "explain", "reachable", "roads"])
def test_our_own_addresses(client, address):
    @settings(WITHOUT_LIMITS, max_examples=2 * EXAMPLES)
    @given(OPTIONS, st.booleans(), st.sampled_from(["60", "1e-9", "1e9", "nan"]))
    def ask(options, is_full, limit):
        if is_full:
            options = [*options, ("from", "-29.8990,-71.2490"), ("to", "-29.8890,-71.2380"), ("limit", limit)]
        response = client.get(f"/v1/{address}", params=options)
        check(response.status_code, str(response.request.url), response.text)

    ask()
