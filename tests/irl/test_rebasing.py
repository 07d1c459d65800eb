"""Models on edited maps: what is still there keeps its price and its corrections, what was cut up shares them out."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from small_city import city_xml
from trodden.core.config import parse_config
from trodden.core.errors import ConfigurationError
from trodden.distributed.coordinator import IN_PROCESS, fit_regions
from trodden.graphs.correspondence import match_networks
from trodden.graphs.reading import read_roads
from trodden.irl.checkpoints import load_model, save_model
from trodden.irl.evaluation import log_probabilities
from trodden.irl.rebasing import rebase
from trodden.irl.rewards.building import reward_of
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from trodden.routing.router import Router

ROWS = COLUMNS = 8
TASTE = {"travel_time_min": -2.0, "is_left": -0.5, "constant": -1.0}
FEATURES = list(TASTE)


def edited(xml: str) -> str:
    """The city, a year later.

    - Way 1000 was split in two at its fourth node, the second half has a new id.
    - Way 2000 has another name tag and one more shape node in the middle of its first block.
    - A new junction (node 9100) divides the third block of way 1001; a new street leads from it to the next row.
    - Way 2006 was closed to cars.
    """

    def refs(way: int) -> list[str]:
        return re.findall(r'ref="(\d+)"', re.search(rf'<way id="{way}".*?</way>', xml)[0])

    def between(a: str, b: str) -> tuple[float, float]:
        places = [re.search(rf'<node id="{n}" version="1" lat="([-\d.]+)" lon="([-\d.]+)"', xml) for n in (a, b)]
        (one, two), (three, four) = ((float(p[1]), float(p[2])) for p in places)
        return (one + three) / 2, (two + four) / 2

    split, moved, divided = refs(1000), refs(2000), refs(1001)
    xml = re.sub(
        r'<way id="1000".*?</way>',
        lambda _: "".join(
            f'<way id="{number}" version="2">{"".join(f"""<nd ref="{n}"/>""" for n in part)}'
            '<tag k="highway" v="residential"/></way>'
            for number, part in ((1000, split[:4]), (5000, split[3:]))
        ),
        xml,
    )
    shaped = between(moved[0], moved[1])
    junction = between(divided[2], divided[3])
    new = "".join(
        f'<node id="{number}" version="1" lat="{lat:.7f}" lon="{lon:.7f}"/>'
        for number, (lat, lon) in ((9100, junction), (9101, shaped))
    )
    xml = xml.replace('<node id="1" ', f'{new}<node id="1" ', 1)
    xml = xml.replace(
        f'<way id="2000" version="1"><nd ref="{moved[0]}"/>',
        f'<way id="2000" version="2"><nd ref="{moved[0]}"/><nd ref="9101"/>',
    )
    way = re.search(r'<way id="1001".*?</way>', xml)[0]
    xml = xml.replace(way, way.replace(f'<nd ref="{divided[3]}"/>', f'<nd ref="9100"/><nd ref="{divided[3]}"/>'))
    below = refs(1002)[2]
    street = f'<way id="5001" version="1"><nd ref="9100"/><nd ref="{below}"/><tag k="highway" v="residential"/></way>'
    xml = xml.replace("</osm>", f"{street}</osm>")
    closed = re.search(r'<way id="2006".*?</way>', xml)[0]
    return xml.replace(closed, re.sub(r'k="highway" v="\w+"', 'k="highway" v="pedestrian"', closed))


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("maps")
    xml = city_xml(ROWS, COLUMNS)
    (folder / "old.osm").write_text(xml)
    (folder / "new.osm").write_text(edited(xml))
    return read_roads(folder / "old.osm"), read_roads(folder / "new.osm")


@pytest.fixture(scope="module")
def routes(networks):
    return simulate(networks[0], 300, taste=TASTE, seed=1, num_destinations=25, max_km=1.5)


def learn(network, routes, **reward):
    config = {
        "reward": {"features": FEATURES, **reward},
        "training": {"max_iterations": 25, "validation_share": 0.0},
        "baselines": {"budget": 20},
    }
    return fit(network, routes, parse_config(config, where="test"))


@pytest.fixture(scope="module")
def sparse(networks, routes):
    return learn(networks[0], routes, corrections=["edge", "turn"])


@pytest.fixture(scope="module")
def linear(networks, routes):
    return learn(networks[0], routes)


def undirected(network, edge):
    graph = network.graph
    return int(graph.node_id[graph.tail[edge]]), int(graph.node_id[graph.head[edge]])


def test_every_edit_is_seen_for_what_it_is(networks):
    old, new = networks
    found = match_networks(old, new)
    counts = found.counts()
    closed = [e for e in range(old.graph.num_edges) if found.share_kept[e] == 0]
    ways = {int(w) for e in closed for w in old.shapes.osm_way[old.shapes.first_way[e] : old.shapes.first_way[e + 1]]}
    assert ways == {2006}
    unknown = np.flatnonzero(found.share_known == 0)
    ways = {int(w) for e in unknown for w in new.shapes.osm_way[new.shapes.first_way[e] : new.shapes.first_way[e + 1]]}
    assert ways == {5001}
    assert counts["partly_gone"] == 0
    # Both directions of the block that the new junction divides; where a way to the closed street is no junction any
    # more, two blocks are one.
    divided = [e for e in range(old.graph.num_edges) if np.sum(found.old_edge == e) == 2]
    assert len(divided) == 2
    for edge in divided:
        shares = found.share_of_old[found.old_edge == edge]
        np.testing.assert_allclose(shares, 0.5, atol=0.01)
        assert shares.sum() == pytest.approx(1.0)
    # Ids change with the way's; the road does not.
    renamed = [e for e in np.flatnonzero(found.same >= 0) if old.graph.edge_id[e] != new.graph.edge_id[found.same[e]]]
    assert renamed
    for old_edge, new_edge in enumerate(found.same):
        if new_edge >= 0:
            assert undirected(old, old_edge) == undirected(new, new_edge)


def test_a_map_corresponds_to_itself(networks):
    old, _ = networks
    found = match_networks(old, old)
    edges = np.arange(old.graph.num_edges)
    np.testing.assert_array_equal(found.same, edges)
    np.testing.assert_array_equal(found.first_new, edges)
    np.testing.assert_array_equal(found.last_new, edges)
    turns = np.arange(old.turns.num_turns, dtype=np.int32)
    np.testing.assert_array_equal(found.turns(turns), turns)
    assert len(found.old_edge) == old.graph.num_edges


def test_the_way_back_is_the_same_correspondence(networks):
    there, back = match_networks(*networks), match_networks(*networks[::-1])
    one = {(a, b): s for a, b, s in zip(there.old_edge, there.new_edge, there.share_of_old, strict=True)}
    two = {(b, a): s for a, b, s in zip(back.old_edge, back.new_edge, back.share_of_new, strict=True)}
    assert one.keys() == two.keys()
    np.testing.assert_allclose([one[key] for key in one], [two[key] for key in one], atol=1e-6)


@pytest.mark.parametrize("kind", ["linear", "sparse"])
def test_on_its_own_map_a_model_is_what_it_was(kind, linear, sparse, networks):
    model = {"linear": linear, "sparse": sparse}[kind]
    found = rebase(model, networks[0])
    np.testing.assert_allclose(found.model.turn_cost, model.turn_cost, rtol=1e-12)
    np.testing.assert_allclose(found.model.entry_cost, model.entry_cost, rtol=1e-12)
    np.testing.assert_array_equal(found.model.training_pairs, model.training_pairs)
    for name, cost in model.baseline_costs.items():
        np.testing.assert_allclose(found.model.baseline_costs[name], cost, rtol=1e-12)


def test_what_is_still_there_keeps_its_price_and_corrections(sparse, networks):
    old, new = networks
    found = rebase(sparse, new)
    report = found.report
    change = report["cost_change"]
    assert change["unchanged"] == change["turns"] > 0.7 * old.turns.num_turns
    assert report["corrections"]["edge"]["share"] >= 0.85  # one street in sixteen is closed
    # Of the corrections on roads that are still there, all.
    reward, members = reward_of(sparse)
    before = reward.part("edge").supported
    kept = found.correspondence.share_kept[before] > 0
    fresh, moved = reward_of(found.model)
    value_before = reward.split(members[0])["edge"][kept].sum()
    assert fresh.split(moved[0])["edge"].sum() == pytest.approx(value_before, rel=1e-6)
    text = found.table()
    assert "corrections of edges" in text
    assert "gone" in text


def test_predictions_on_untouched_trips_do_not_change(sparse, networks):
    """Routes between edges of the south-east, far from every edit, and their probabilities among themselves."""
    _, new = networks
    found = rebase(sparse, new)
    same = found.correspondence.same
    before, after = Router(sparse), Router(found.model)
    rows = [7 * COLUMNS + column for column in range(4)] + [5 * COLUMNS + column for column in range(3)]
    compared = 0
    for a in rows:
        for b in rows:
            if a == b:
                continue
            one = before.route(f"osm:{a + 1}", f"osm:{b + 1}")
            if (same[one.edges] < 0).any():
                continue
            two = after.route(f"osm:{a + 1}", f"osm:{b + 1}")
            assert two.cost <= one.cost + 1e-9
            if two.nodes == one.nodes:
                assert two.cost == pytest.approx(one.cost, rel=1e-9)
                compared += 1
    assert compared > 20


def test_a_rebased_model_is_stored_explained_and_evaluated_like_any_other(sparse, networks, tmp_path):
    old, new = networks
    found = rebase(sparse, new).model
    loaded = load_model(save_model(found, tmp_path / "model"))
    reward, members = reward_of(loaded)
    np.testing.assert_allclose(reward.cost(members[0]), loaded.turn_cost, rtol=1e-12)
    trips = simulate(new, 30, taste=TASTE, seed=3, num_destinations=10, max_km=1.5)
    assert np.isfinite(log_probabilities(loaded, trips)).all()
    assert loaded.summary["rebased"]["edges"]["gone"] > 0
    again = rebase(loaded, old)  # and back
    lost = again.report["corrections"]["edge"]
    assert lost["share"] > 0.95


def test_linear_rewards_price_what_is_new_by_its_features(linear, networks):
    _, new = networks
    found = rebase(linear, new).model
    theta = {one.name: one.value for one in linear.coefficients}
    time = new.attributes.travel_time_s[new.turns.to_edge] / 60
    expected = -(theta["travel_time_min"] * time + theta["is_left"] * new.turns.is_left + theta["constant"])
    np.testing.assert_allclose(found.turn_cost, np.maximum(expected, linear.config.reward.minimum_cost), rtol=1e-6)
    assert found.coefficients == linear.coefficients


def test_an_mlp_keeps_its_weights_and_its_scaler(networks, routes):
    pytest.importorskip("equinox")
    model = learn(networks[0], routes.take(np.arange(60)), linear=False, mlp_width=4, mlp_depth=1)
    found = rebase(model, networks[1])
    np.testing.assert_array_equal(found.model.parts["members"], model.parts["members"])
    np.testing.assert_array_equal(found.model.parts["mlp_centre"], model.parts["mlp_centre"])
    change = found.report["cost_change"]
    assert change["unchanged"] == change["turns"]


def test_a_speed_limit_moves_the_speeds_of_its_class_and_the_report_says_so(linear, networks, tmp_path):
    """Roads without a limit have the mean of their class: one limit more, and they all cost a little less or more."""
    xml = city_xml(ROWS, COLUMNS)
    street = re.search(r'<way id="2003".*?</way>', xml)[0]
    (tmp_path / "limit.osm").write_text(
        xml.replace(street, street.replace("</way>", '<tag k="maxspeed" v="31"/></way>'))
    )
    old = networks[0]
    change = rebase(linear, read_roads(tmp_path / "limit.osm")).report["cost_change"]
    assert 0 < change["unchanged"] < change["within_1_percent"] <= change["turns"]
    assert change["turns"] == old.turns.num_turns
    given = old.report["class_speeds_kmh"]
    found = rebase(linear, read_roads(tmp_path / "limit.osm", class_speeds_kmh=given))
    change = found.report["cost_change"]
    entered = old.shapes.osm_way[old.shapes.first_way[old.turns.to_edge]]
    assert change["turns"] - change["unchanged"] == (entered == 2003).sum()
    assert found.model.network.report["class_speeds_kmh"] == given


def test_features_that_the_new_map_lacks_are_named(networks, routes):
    old, new = networks
    model = learn(old, routes, features=[*FEATURES, "class:*"])
    column = new.attributes.road_class
    residential = column.levels.index("residential")
    codes = np.full_like(column.codes, residential)
    attributes = dataclasses.replace(new.attributes, road_class=dataclasses.replace(column, codes=codes))
    found = rebase(model, dataclasses.replace(new, attributes=attributes))
    assert found.report["levels_without_coefficient"]
    assert "not on the new map" in found.table()


def test_regional_models_are_refused(networks, routes):
    config = {
        "reward": {"features": FEATURES},
        "regions": {"count": 2, "penalty": 10, "crossing": "cut"},
        "baselines": {"budget": 0},
    }
    model = fit_regions(networks[0], routes, parse_config(config, where="test"), address=IN_PROCESS)
    with pytest.raises(ConfigurationError, match="per region"):
        rebase(model, networks[1])
