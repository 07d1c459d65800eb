"""Pictures: they are written, whole, of the right kind, and say what they must."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import strategies
from trodden.core.errors import MissingDataError
from trodden.graphs.road_graph import Categories, EdgeAttributes, RoadNetwork
from trodden.irl import map_views, plots

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def network():
    grid = strategies.make_grid(5, 7)
    count = grid.graph.num_edges
    classes = Categories(np.arange(count, dtype=np.int32) % 3, ("", "primary_link", "residential"))
    attributes = EdgeAttributes(
        length_m=grid.attributes.length_m, travel_time_s=grid.attributes.travel_time_s, road_class=classes
    )
    return RoadNetwork(grid.graph, attributes, grid.turns, None, {}, "")


@pytest.fixture(scope="module")
def routes(network):
    def along(*nodes):
        graph = network.graph
        return [int(np.flatnonzero((graph.tail == a) & (graph.head == b))[0]) for a, b in itertools.pairwise(nodes)]

    return along(0, 1, 2, 9, 16), {"learned": along(0, 1, 8, 9, 16), "fastest <b>${x}`": along(0, 7, 14, 15, 16)}


def texts_of(monkeypatch):
    """Collects every text of the figures that are saved."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    seen: list[str] = []
    save = Figure.savefig

    def spy(self, *args, **options):
        seen.extend(text.get_text() for text in self.findobj(Text))
        return save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    return seen


def test_a_trip_picture_has_legend_scale_and_says_simulated(network, routes, tmp_path, monkeypatch):
    seen = texts_of(monkeypatch)
    path = plots.draw_trip_png(network, *routes, tmp_path / "trip.png", title="Trip 1 $\\frac$", is_simulated=True)
    assert path.read_bytes().startswith(PNG)
    assert {
        "travelled (simulated)",
        "learned",
        "fastest <b>${x}`",
        "Trip 1 $\\frac$",
        "simulated routes",
        "start",
        "end",
    } <= set(seen)
    assert any(re.fullmatch(r"[125]0* m", text) for text in seen)  # the scale bar
    assert "© OpenStreetMap contributors" not in seen  # this network is not from OpenStreetMap
    seen.clear()
    plots.draw_trip_png(network, routes[0], {}, tmp_path / "alone.png")
    assert "travelled" in seen
    assert "simulated routes" not in seen


def test_the_same_picture_has_the_same_bytes(network, routes, tmp_path):
    first = plots.draw_trip_png(network, *routes, tmp_path / "a.png").read_bytes()
    assert plots.draw_trip_png(network, *routes, tmp_path / "b.png").read_bytes() == first


@pytest.mark.parametrize("span", [0.0, 0.5, 6.0])
def test_a_network_picture_scales_its_colours(network, tmp_path, monkeypatch, span):
    seen = texts_of(monkeypatch)
    values = 0.2 * np.exp(np.linspace(0, span, network.graph.num_edges))
    values[:3] = np.nan
    path = plots.draw_network_png(network, values, tmp_path / "net.png", title="Costs", label="cost per metre")
    assert path.read_bytes().startswith(PNG)
    assert {"Costs", "cost per metre"} <= set(seen)
    assert span == 0.0 or sum(bool(re.fullmatch(r"[\d.]+", text)) for text in seen) >= 2


def test_costs_that_cannot_be_drawn_are_refused(network, tmp_path):
    for values in (np.ones(3), np.full(network.graph.num_edges, np.nan)):
        with pytest.raises(ValueError, match="one number for each"):
            plots.draw_network_png(network, values, tmp_path / "net.png")


def test_the_page_holds_all_routes_and_escapes_names(network, routes, tmp_path):
    page = plots.draw_trip_map(network, *routes, tmp_path / "trip.html", title="<script>{{ 6 * 7 }}", is_simulated=True)
    text = page.read_text(encoding="utf-8")
    assert "travelled (simulated)" in text
    assert "fastest &lt;b&gt;&#36;&#123;x&#125;&#96;" in text
    assert "<script></div>" not in text
    assert "&lt;script&gt;&#123;&#123; 6 * 7 &#125;&#125;" in text
    assert "simulated routes" in text
    # Leaflet and nothing else of what folium would load.
    scripts = re.findall(r'<script src="([^"]+)"', text)
    assert all("leaflet" in address for address in scripts)
    lines = re.findall(r"L\.polyline\(\s*(\[\[.*?\]\]),", text, flags=re.DOTALL)
    assert [len(json.loads(line)) for line in lines[1:]] == [5, 5, 5]


def test_routes_without_edges_and_networks_without_coordinates_are_refused(network, routes, tmp_path):
    with pytest.raises(ValueError, match="'learned' has no edge"):
        plots.draw_trip_png(network, routes[0], {"learned": []}, tmp_path / "trip.png")
    bare = strategies.make_network([0, 1], [1, 0])
    for draw, name in ((plots.draw_trip_png, "a.png"), (plots.draw_trip_map, "a.html")):
        with pytest.raises(MissingDataError):
            draw(bare, [0], {}, tmp_path / name)
    with pytest.raises(MissingDataError):
        plots.draw_network_png(bare, np.ones(2), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_only_edges_near_the_trip_are_drawn_and_each_road_once(network):
    here = map_views.view_of(map_views.route_line(network, [0]))
    near = map_views.edges_in_view(network, here)
    assert 0 < near.sum() < len(near)
    every = np.ones(network.graph.num_edges, bool)
    assert map_views.one_per_road(network, every).sum() == network.graph.num_edges / 2


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-3.0, 4.0), (0.013, 0.017), (0.04, 1.3), (1e-6, 50.0), (200, 900)]
)
def test_ticks_are_round_and_within(low, high):
    ticks = map_views.round_ticks(low, high)
    assert len(ticks) >= 2
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_drawing_needs_neither_jax_nor_a_window_system():
    program = "import sys, trodden.irl.plots; assert not {'jax', 'tkinter', 'matplotlib.pyplot'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
