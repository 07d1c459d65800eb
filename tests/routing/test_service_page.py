"""The page in a headless Chromium: two clicks, the routes, the reasons, and a clear word where there is no route."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from stated_model import small_city, stated_model

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("uvicorn")

import uvicorn
from browser import Browser, find_chromium
from trodden.irl.checkpoints import save_model
from trodden.routing.service.app import make_app
from trodden.routing.service.loading import load_router

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine"),
]

FROM, TO = "-29.8990,-71.2490", "-29.8890,-71.2380"
SETTLED = "document.body?.dataset.done && !document.querySelector('#answers').classList.contains('waiting')"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("city")
    loaded = load_router(save_model(stated_model(small_city(folder)), folder / "model"))
    app = make_app(loaded.router, is_simulated=True)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def browser():
    path = find_chromium()
    assert path
    with Browser(path) as browser:
        yield browser
        assert browser.messages == []


def keep(browser, name, tmp_path):
    """A screenshot, in TRODDEN_SCREENSHOTS where that is set."""
    folder = Path(os.environ.get("TRODDEN_SCREENSHOTS", tmp_path))
    browser.screenshot(folder / f"{name}.png")
    assert (folder / f"{name}.png").stat().st_size > 10_000


def rows(browser):
    return browser.evaluate("[...document.querySelectorAll('.route .what')].map(one => one.textContent)")


def test_two_clicks_give_routes_probabilities_and_reasons(address, browser, tmp_path):
    browser.open(address)
    browser.wait_for("document.body?.dataset.done")
    assert "Click the map" in browser.evaluate("document.querySelector('#answers').textContent")
    assert "simulated" in browser.evaluate("document.querySelector('#footer').textContent")
    assert "OpenStreetMap" in browser.evaluate("document.querySelector('.leaflet-control-attribution').textContent")
    browser.click(560, 640)
    browser.wait_for("document.querySelector('#answers').textContent.includes('destination')")
    assert browser.evaluate("location.search").startswith("?from=-29.")
    browser.click(1000, 200)
    browser.wait_for("document.querySelectorAll('.route .share').length >= 2", 90)
    browser.wait_for("document.querySelector('table tr.total')", 90)
    assert rows(browser)[0] == "Learned"
    assert len(rows(browser)) >= 2
    assert browser.evaluate("document.querySelectorAll('.leaflet-routes-pane path').length") >= 4
    assert "%" in browser.evaluate("document.querySelector('.route .share').textContent")
    keep(browser, "two-clicks", tmp_path)
    browser.evaluate("document.querySelectorAll('.route')[1].click()")
    assert browser.evaluate("document.querySelectorAll('.route')[1].classList.contains('chosen')")


def test_an_address_presets_the_trip_and_the_other_metric(address, browser, tmp_path):
    browser.open(f"{address}/?from={FROM}&to={TO}&metric=shortest")
    browser.wait_for(SETTLED, 90)
    assert rows(browser)[0] == "Shortest"
    assert browser.evaluate("document.querySelector('#from').value") == "-29.89900,-71.24900"
    browser.evaluate("document.querySelector('#swap').click()")
    browser.wait_for("location.search.startsWith('?from=-29.889')")
    keep(browser, "preset", tmp_path)


def test_no_route_is_said_with_its_reason(address, tmp_path):
    path = find_chromium()
    assert path
    with Browser(path) as browser:
        browser.open(f"{address}/?from={FROM}&to=-29.5,-71.2380")
        browser.wait_for("!document.querySelector('#error')?.hidden && document.querySelector('#error')?.textContent")
        said = browser.evaluate("document.querySelector('#error').textContent")
        assert "coordinate 1" in said
        assert "from the nearest road" in said
        assert rows(browser) == []
        keep(browser, "error", tmp_path)
        browser.evaluate("document.querySelector('#to').value = 'nowhere'")
        browser.evaluate("document.querySelector('#points').requestSubmit()")
        assert "nowhere" in browser.evaluate("document.querySelector('#error').textContent")
