"""Learned costs of edges: by hand, as a frame, as an osmnx graph, there and back."""

from __future__ import annotations

import numpy as np
import pytest
from stated_model import small_city, stated_model
from trodden.graphs.export import to_networkx
from trodden.graphs.reading import read_roads
from trodden.irl.checkpoints import load_model, save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return stated_model(small_city(tmp_path_factory.mktemp("city")))


def test_edge_cost_is_the_cheapest_turn_onto_an_edge(model):
    cost, turns = model.edge_cost, model.network.turns
    for edge in range(model.network.graph.num_edges):
        onto = model.turn_cost[turns.to_edge == edge]
        assert cost[edge] == min([model.entry_cost[edge], *onto])


def test_edges_as_a_frame_that_plots(model):
    osmnx = pytest.importorskip("osmnx")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    frame = model.edges()
    assert len(frame) == model.network.graph.num_edges
    by_id = dict(zip(frame["edge_id"], frame["learned_cost"], strict=True))
    assert by_id == dict(zip(model.network.graph.edge_id.tolist(), model.edge_cost.tolist(), strict=True))
    np.testing.assert_allclose(frame["learned_cost_per_m"] * frame["length"], frame["learned_cost"], rtol=1e-6)
    assert frame.plot("learned_cost").has_data()
    graph = model.to_networkx()
    assert graph.graph["learned_from"] == "simulated routes"
    colours = osmnx.plot.get_edge_colors_by_attr(graph, "learned_cost", num_bins=4)
    figure, _ = osmnx.plot_graph(graph, edge_color=colours, show=False, close=True)
    assert figure is not None


@pytest.mark.slow  # imports scikit-learn
def test_edges_explore(model):
    pytest.importorskip("mapclassify")
    pytest.importorskip("folium")
    page = model.edges().explore("learned_cost_per_m", tiles=None)
    assert "learned_cost_per_m" in page.get_root().render()


def test_a_model_of_an_osmnx_graph_gives_that_graph_back_with_its_costs(model, tmp_path):
    osmnx = pytest.importorskip("osmnx")
    source = to_networkx(model.network)
    for _, _, data in source.edges(data=True):
        data.pop("edge_id")
    source.nodes[next(iter(source))]["note"] = "mine"
    learned = stated_model(read_roads(source))
    save_model(learned, tmp_path / "model")
    back = load_model(tmp_path / "model").to_networkx()
    assert sorted(back.edges(keys=True)) == sorted(source.edges(keys=True))
    assert dict(back.nodes(data=True)) == dict(source.nodes(data=True))
    costs = {}
    for tail, head, key, data in source.edges(keys=True, data=True):
        row = dict(back.edges[tail, head, key])
        costs[row.pop("edge_id")] = row.pop("learned_cost")
        assert row == data
    want = dict(zip(learned.network.graph.edge_id.tolist(), learned.edge_cost.tolist(), strict=True))
    assert costs == want
    ends = list(source)[:2]
    assert osmnx.shortest_path(back, *ends, weight="learned_cost")
