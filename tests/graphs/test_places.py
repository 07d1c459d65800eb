"""Places and boxes: what servers are asked, and what their answers become; all of it replayed on this machine."""

from __future__ import annotations

import json
import pickle
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ascii_map import town
from trodden.core.errors import ConfigurationError, DownloadError, EmptyNetworkError
from trodden.graphs.overpass import Area, box_area, download_roads, overpass_query, place_area
from trodden.graphs.places import read_place
from trodden.graphs.reading import read_roads

osmnx = pytest.importorskip("osmnx")

TOWN = town("  a\n  |\nb-c-d\n  |\n  e", bans=[("no_left_turn", "bc", "c", "ac")])
META = '<note>The data included in this document is from somewhere.</note><meta osm_base="2026-11-20T10:00:00Z"/>'
# As "out body" writes it: no versions of elements.
ANSWER = TOWN.xml.replace(' version="1"', "").replace("<node", META + "<node", 1)
SQUARE = [[-8.001, 40.99], [-7.99, 40.99], [-7.99, 41.01], [-8.001, 41.01], [-8.001, 40.99]]
BORDER = {"type": "Polygon", "coordinates": [SQUARE]}
FOUND = [
    {"display_name": "Town Hall", "geojson": {"type": "Point", "coordinates": [-8.0, 41.0]}},
    {"display_name": "Town, Somewhere", "geojson": BORDER},
]


@dataclass
class Server:
    """What it answers, and what it was asked."""

    places: str = field(default_factory=lambda: json.dumps(FOUND))
    roads: str = ANSWER
    status: int = 200
    asked: list[str] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, text: str) -> None:
            state.agents.append(self.headers["User-Agent"])
            self.send_response(state.status)
            self.end_headers()
            self.wfile.write(text.encode())

        def do_GET(self) -> None:
            state.asked.append(self.path)
            self.answer(state.places)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            state.asked.append(urllib.parse.parse_qs(body)["data"][0])
            self.answer(state.roads)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setattr(osmnx.settings, "nominatim_url", f"http://127.0.0.1:{http.server_port}/")
    monkeypatch.setattr(osmnx.settings, "overpass_url", f"http://127.0.0.1:{http.server_port}/api")
    monkeypatch.setattr(osmnx.settings, "requests_timeout", 5)
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


def test_a_place_is_read_with_its_restrictions(server: Server, tmp_path: Path) -> None:
    network = read_place("Town, Somewhere", keep=tmp_path / "town.osm")
    assert network.report["restrictions"]["used"] == {"no_left_turn": 1}
    assert network.report["source"] == "Town, Somewhere"
    assert network.report["downloaded"]["data_of"] == "2026-11-20T10:00:00Z"
    assert read_roads(tmp_path / "town.osm").checksum == network.checksum
    assert network.checksum == read_roads(TOWN.write(tmp_path, "plain.osm")).checksum
    search, query = server.asked
    assert urllib.parse.parse_qs(urllib.parse.urlsplit(search).query)["q"] == ["Town, Somewhere"]
    assert 'way["highway"](poly:"40.990000 -8.001000 ' in query
    assert 'rel(bw.roads)["type"~"^restriction"]' in query
    assert all(agent.startswith("trodden/") for agent in server.agents)


def test_a_box_and_a_mode(server: Server) -> None:
    network = read_place((-8.01, 40.99, -7.99, 41.01), mode="walk")
    assert network.mode == "walk"
    assert len(server.asked) == 1
    assert 'way["highway"](40.9900000,-8.0100000,41.0100000,-7.9900000);' in server.asked[0]
    assert network.report["restrictions"]["not_used"] == {"not for this mode": 1}


def test_borders_of_several_parts_and_many_points(server: Server) -> None:
    far = [[x + 1, y] for x, y in SQUARE]
    long = [[-8.001 + 1e-5 * step, 41.01] for step in range(1100, 0, -1)]
    parts = [[[*SQUARE[:3], *long, SQUARE[0]]], [far, [[x / 2, y / 2] for x, y in far]]]
    server.places = json.dumps([{"display_name": "x", "geojson": {"type": "MultiPolygon", "coordinates": parts}}])
    area = place_area("x")
    assert len(area.selector.splitlines()) == 2
    assert len(area.selector) < 1000
    assert overpass_query(area, 30.4).startswith('[out:xml][timeout:30];(way["highway"](poly:')
    assert area.square_metres == pytest.approx(2 * 0.011 * 0.02 * 111_195**2 * 0.7547, rel=0.1)


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ("[]", "knows no place with a border by the name of 'Town'"),
        (json.dumps(FOUND[:1]), "without one it knows Town Hall"),
        ("<html>", "did not answer as Nominatim does"),
        ('{"error": 1}', "did not answer as Nominatim does"),
        ("[[[" * 100_000, "did not answer as Nominatim does"),
        (json.dumps([{"display_name": "x", "geojson": {"type": "Polygon", "coordinates": [[[1]]]}}]), "border"),
        (json.dumps([{"display_name": "x", "geojson": {"type": "Polygon", "coordinates": []}}]), "border"),
    ],
)
def test_places_that_are_none(server: Server, places: str, words: str) -> None:
    server.places = places
    with pytest.raises(DownloadError, match=words):
        read_place("Town")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("roads", "words"),
    [
        ("<html><body>Dispatcher_Client::request_read_and_idx::timeout</body></html>", "sent no OSM XML: .*timeout"),
        ("", "sent no OSM XML"),
        (ANSWER[:-30], "cut short"),
        (
            ANSWER.replace("</osm>", "<remark> runtime error: Query timed out after 5 seconds. </remark></osm>"),
            "stopped before the end: runtime error: Query timed out",
        ),
    ],
)
def test_answers_that_are_not_whole(server: Server, roads: str, words: str, tmp_path: Path) -> None:
    server.roads = roads
    with pytest.raises(DownloadError, match=words):
        read_place((-8.01, 40.99, -7.99, 41.01), keep=tmp_path / "kept.osm")
    assert not (tmp_path / "kept.osm").exists()


@pytest.mark.parametrize(("status", "words"), [(429, "busy"), (504, "busy"), (400, "answered 400"), (404, "address")])
def test_servers_that_refuse(server: Server, status: int, words: str) -> None:
    server.status = status
    with pytest.raises(DownloadError, match=words):
        read_place((-8.01, 40.99, -7.99, 41.01))
    assert len(server.asked) == 1  # a busy server is not asked again


def test_no_roads_there(server: Server) -> None:
    server.roads = "<?xml version='1.0'?><osm version='0.6'></osm>"
    with pytest.raises(EmptyNetworkError):
        read_place((-8.01, 40.99, -7.99, 41.01))


def test_no_network(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osmnx.settings, "overpass_url", "http://127.0.0.1:9/api")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9/api/interpreter: could not be asked .* Check the network"):
        read_place((-8.01, 40.99, -7.99, 41.01))
    monkeypatch.setattr(osmnx.settings, "overpass_url", "file:///etc")
    with pytest.raises(ConfigurationError, match="no http or https"):
        read_place((-8.01, 40.99, -7.99, 41.01))


def test_areas_that_are_too_large_are_not_asked_for(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="more than 2500; fetch an extract"):
        read_place((-9.0, 40.0, -7.0, 42.0))
    with pytest.raises(ConfigurationError):
        download_roads(Area("everywhere", "()", 1e13), tmp_path / "x.osm")
    assert server.asked == []


@pytest.mark.parametrize(
    "box", [(1, 0, 0, 1), (0, 1, 1, 0), (0, 0, 0, 1), (0, 0, float("nan"), 1), (0, -91, 1, 0), (-181, 0, 1, 1)]
)
def test_boxes_that_are_none(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ConfigurationError, match="bbox"):
        box_area(*box)


def test_download_errors_survive_pickling() -> None:
    error = DownloadError(url="http://x/y?q=secret", problem="is away", remedy="Wait")
    back = pickle.loads(pickle.dumps(error))
    assert str(back) == str(error) == "http://x/y: is away. Wait."


def test_the_command_takes_a_place_or_a_box(server: Server, tmp_path: Path) -> None:
    from trodden.cli.main import app
    from typer.testing import CliRunner

    def build(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["build", *arguments, "-o", str(tmp_path / "network")])
        return done.exit_code, done.output

    code, said = build("--place", "Town", "--mode", "bike")
    assert code == 0, said
    assert "mode: bike" in said
    assert "source: Town (osm)" in said
    code, said = build("--bbox", "-8.01,40.99,-7.99,41.01", "--keep", str(tmp_path / "kept.osm"))
    assert code == 0, said
    assert (tmp_path / "kept.osm").exists()
    assert build("--bbox", "1,2,3") == (
        2,
        "error: --bbox: '1,2,3' is not four numbers, west,south,east,north in degrees\n",
    )
    assert build("--place", "Town", "--bbox", "1,2,3,4")[0] == 2
    assert build()[0] == 2
    assert build(str(tmp_path / "kept.osm"), "--keep", "x.osm")[0] == 2
