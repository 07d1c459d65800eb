"""Edges and turns that contradict their tags: the statistic is exact, planted errors are found, causes told once."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest
from irl_oracles import rebuilt
from small_city import city_xml
from strategies import make_grid, make_network
from trodden.cli.main import app
from trodden.core.config import PlannerConfig, parse_config
from trodden.core.errors import WrongNetworkError
from trodden.graphs.reading import read_roads
from trodden.graphs.turns import TurnGraph
from trodden.irl.checkpoints import save_model
from trodden.irl.corridors import CorridorSolver
from trodden.irl.demonstrations import demonstrations_from_edges
from trodden.irl.insight.contradictions import find_contradictions
from trodden.irl.insight.places import place_of_edge, place_of_turn, same_road
from trodden.irl.insight.tilting import poisson_gains, tilted_gains
from trodden.irl.insight.visits import Candidates, Visits
from trodden.irl.planner import Planner
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from typer.testing import CliRunner

TASTE = {"travel_time_min": -3.0, "is_left": -0.5, "is_private": -2.0, "constant": -0.9}


def config(**sections):
    document = {"reward": {"features": list(TASTE)}, "baselines": {"budget": 0}, **sections}
    return parse_config(document, where="test")


def with_private(network, edges):
    column = np.zeros(network.graph.num_edges)
    column[edges] = 1.0
    return rebuilt(network, attributes=dataclasses.replace(network.attributes, extra={"is_private": column}))


def without_turn(network, turn):
    turns = network.turns
    keep = np.arange(turns.num_turns) != turn
    counts = np.bincount(turns.from_edge[keep], minlength=turns.num_edges)
    columns = {name: getattr(turns, name)[keep] for name in ("to_edge", "angle_deg", "is_left", "is_right", "is_uturn")}
    return rebuilt(network, turns=TurnGraph(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), **columns))


def carried_over(routes, network):
    rows = [routes.route(row) for row in range(len(routes))]
    return demonstrations_from_edges(network, rows, list(routes.route_id), is_simulated=True)


def draw(network, count=1200, seed=1):
    return simulate(network, count, taste=TASTE, seed=seed, num_destinations=30, min_km=0.3).for_ending("arrival")


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """The small city with some private roads in truth."""
    path = tmp_path_factory.mktemp("city") / "city.osm"
    path.write_text(city_xml(9, 9), encoding="utf-8")
    network = read_roads(path)
    private = np.random.default_rng(0).random(network.graph.num_edges) < 0.05
    return with_private(network, np.flatnonzero(private))


@pytest.fixture(scope="module")
def honest(city):
    """Routes on the map as it is, and the model learned from them."""
    routes = draw(city)
    return routes, fit(city, routes, config())


# ------------------------------------------------------------------------------------------------ the statistic


def one_way_grid(size=4):
    """East and north alone: nothing is visited twice."""
    node = np.arange(size * size).reshape(size, size)
    pairs = np.concatenate(
        [
            np.column_stack([node[:, :-1].ravel(), node[:, 1:].ravel()]),
            np.column_stack([node[:-1].ravel(), node[1:].ravel()]),
        ]
    )
    return make_network(pairs[:, 0], pairs[:, 1], num_nodes=size * size)


@pytest.mark.parametrize("kind", ["edge", "turn"])
def test_the_gain_of_a_correction_is_the_change_of_the_likelihood(kind):
    network = rebuilt(one_way_grid())
    reward = np.random.default_rng(1).uniform(-2.0, -0.2, network.turns.num_turns)
    last = int(np.flatnonzero(network.graph.head == 15)[0])
    rows = [np.array(row, np.int32) for row in _paths(network.turns, [0], last)]
    routes = demonstrations_from_edges(network, rows, [str(row) for row in range(len(rows))])
    routes = dataclasses.replace(routes, weight=np.random.default_rng(2).uniform(0.5, 2.0, len(routes)))
    edges, turns = np.zeros(0, np.int32), np.arange(network.turns.num_turns, dtype=np.int32)
    if kind == "edge":
        edges, turns = np.arange(network.graph.num_edges, dtype=np.int32), edges
    candidates = Candidates(edges, turns, network.turns.to_edge, network.graph.num_edges)
    visits = Visits(routes, PlannerConfig(), candidates)
    visits.solve(reward, np.arange(len(visits.weight)))
    found = visits.probability.tocoo()
    observed = np.asarray(visits.observed.sum(axis=0)).reshape(-1)
    penalty = 0.7
    gains = tilted_gains(observed, found.col, found.data, visits.weight[found.row], penalty)
    planner, batch = Planner(network.turns, PlannerConfig()), routes.batch("arrival")
    base = planner.log_likelihood(reward, batch)[0]
    strongest = np.argsort(-np.where(gains.is_shut, 0.0, gains.gain))[:6]
    assert gains.gain[strongest].min() > 0
    for at in strongest.tolist():

        def changed(correction, at=at):
            corrected = reward.copy()
            corrected[candidates.turns_of(at)] += correction
            return planner.log_likelihood(corrected, batch)[0] - base - 0.5 * penalty * correction**2

        best = gains.correction[at]
        assert changed(best) == pytest.approx(gains.gain[at], abs=1e-6)
        assert changed(best) > max(changed(best - 0.05), changed(best + 0.05))
        assert gains.statistic[at] == pytest.approx(np.sign(best) * np.sqrt(2 * gains.gain[at]))


def _paths(turns, begun, last):
    if begun[-1] == last:
        yield begun
        return
    for edge in turns.to_edge[turns.first_out[begun[-1]] : turns.first_out[begun[-1] + 1]].tolist():
        yield from _paths(turns, [*begun, edge], last)


def test_small_counts_and_certain_visits():
    trips = np.zeros(40, np.int64), np.full(40, 0.5), np.ones(40)
    nobody = tilted_gains(np.array([0.0]), *trips, 1.0)
    # Forty coins that all fall the same way, against odds of e^2.
    assert nobody.is_shut[0]
    assert nobody.gain[0] == pytest.approx(40 * np.log(2) - 2.0)
    assert -6 < nobody.correction[0] < -1
    hardly = tilted_gains(np.array([0.0]), trips[0][:1], np.array([1.0]), np.ones(1), 1.0)
    assert abs(hardly.statistic[0]) < 1.5, "one odd route"
    # What is nearly certain hardly varies: one missing of forty says more than it would among rare visits.
    certain = tilted_gains(np.array([36.0]), trips[0], np.full(40, 0.999), trips[2], 1.0)
    poisson = poisson_gains(np.array([36.0]), np.array([40 * 0.999]), 1.0)
    assert certain.statistic[0] < -2.5 < poisson.statistic[0] < 0
    # A single odd route is no evidence, whatever the odds against it; three are.
    odd = [tilted_gains(np.array([count]), trips[0], np.full(40, 1e-9), trips[2], 1.0) for count in (1.0, 3.0)]
    assert odd[0].statistic[0] == pytest.approx(1.0, abs=1e-3)
    assert odd[1].statistic[0] == pytest.approx(3.0, abs=1e-3)
    as_expected = tilted_gains(np.array([20.0]), *trips, 1.0)
    assert as_expected.statistic[0] == pytest.approx(0.0, abs=1e-6)


def test_the_bound_that_candidates_are_chosen_by_is_one():
    random = np.random.default_rng(3)
    probability, weight = random.random((50, 30)) ** 2, random.uniform(0.2, 3.0, 30)
    observed = np.array([random.binomial(1, p) @ weight for p in random.permutation(probability)])
    candidate = np.repeat(np.arange(50), 30)
    observed = np.maximum(observed, 1e-3)  # nothing is shut
    exact = tilted_gains(observed, candidate, probability.ravel(), np.tile(weight, 50), 1.0)
    bound = poisson_gains(observed, probability @ weight, 1.0)
    assert (np.abs(bound.statistic) <= np.abs(exact.statistic) + 1e-9).all()
    assert (np.sign(bound.statistic) == np.sign(exact.statistic)).all()


@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_counts_trip_by_trip_add_up_to_those_of_all(ending):
    network = rebuilt(make_grid(6, 6))
    routes = simulate(
        network, 150, taste={"travel_time_min": -3.0, "constant": -1.3}, num_destinations=12, ending=ending
    ).for_ending(ending)
    batch = routes.batch(ending)
    reward = np.random.default_rng(0).uniform(-2.5, -1.4, network.turns.num_turns)
    seen = []
    total = np.zeros(network.turns.num_turns)
    for pair, turn, count in CorridorSolver(network.turns).trip_counts(reward, batch, seen.append):
        total += np.bincount(turn, batch.weight[pair] * count, minlength=len(total))
    assert sum(seen) == len(batch.origin)
    want = Planner(network.turns, PlannerConfig(ending=ending)).total_value(reward, batch)[1]
    np.testing.assert_allclose(total, want, atol=1e-5)


def test_some_pairs_alone_are_solved_as_all_are(city, honest):
    routes, model = honest
    every = np.arange(city.graph.num_edges, dtype=np.int32)
    candidates = Candidates(every, np.zeros(0, np.int32), city.turns.to_edge, city.graph.num_edges)
    whole, part = (Visits(routes, model.config.planner, candidates) for _ in range(2))
    whole.solve(model.reward, np.arange(len(whole.weight)))
    rows = np.flatnonzero(np.random.default_rng(0).random(len(whole.weight)) < 0.3)
    part.solve(model.reward, np.setdiff1d(np.arange(len(whole.weight)), rows))
    part.solve(model.reward, rows)
    assert abs(whole.probability - part.probability).max() < 1e-9


# ------------------------------------------------------------------------------------------------ planted errors


def busy(values, network, at_least=25):
    """Where routes go, but not the only way: a third to a half of the strongest traffic."""
    order = np.argsort(-values, kind="stable")
    return [int(one) for one in order if values[one] >= at_least][8:40]


@pytest.fixture(scope="module")
def wrongly_private(city):
    """(the road's edges, routes on a map that marks it as private, the model learned there)."""
    routes = draw(city)
    used = np.bincount(city.turns.to_edge, routes.batch("arrival").observed, minlength=city.graph.num_edges)
    is_private = city.attributes.extra["is_private"] > 0
    edge = next(one for one in busy(used, city) if not is_private[one])
    graph = city.graph
    road = [edge, *np.flatnonzero((graph.tail == graph.head[edge]) & (graph.head == graph.tail[edge]))]
    seen = carried_over(routes, with_private(city, [*np.flatnonzero(is_private), *road]))
    return road, seen, fit(seen.network, seen, config())


@pytest.mark.parametrize("solver", ["factorization", "corridors"])
def test_a_road_wrongly_tagged_private_is_found(wrongly_private, solver):
    road, seen, model = wrongly_private
    found = find_contradictions(model.replace(config=config(planner={"solver": solver})), seen, top=10)
    first = found.rows[0]
    assert first.place.kind == "edge"
    ids = seen.network.graph.edge_id[road].tolist()
    assert set(first.place.edge_ids) <= set(ids)
    assert first.direction == "travelled more than its tags say"
    assert first.observed > 1.3 * first.expected
    assert first.statistic > found.by_chance
    assert first.suggested < -0.5
    assert not found.is_refit
    # The error also moved the coefficients, so that the rest is not quite as by chance.
    rest = [row.statistic for row in found.rows[1:]]
    assert max(map(abs, rest)) < found.by_chance + 0.5, "the cause is told once"


@pytest.fixture(scope="module")
def missing_ban(city):
    """(the turn, routes of those who know the ban, the model learned on a map that permits it)."""
    before = draw(city).batch("arrival").observed
    moves = np.diff(city.turns.first_out)[city.turns.from_edge]
    turn = next(one for one in busy(before, city) if moves[one] >= 3)
    seen = carried_over(draw(without_turn(city, turn)), city)
    return turn, seen, fit(city, seen, config())


@pytest.mark.parametrize("solver", ["factorization", "corridors"])
def test_a_missing_turn_ban_is_found(missing_ban, solver):
    turn, seen, model = missing_ban
    found = find_contradictions(model.replace(config=config(planner={"solver": solver})), seen, top=10)
    first = found.rows[0]
    assert (first.place.kind, first.place.position) == ("turn", turn)
    assert (first.observed, first.learned) == (0.0, None)
    assert first.statistic < -found.by_chance
    assert first.suggested > 1.0
    assert first.is_shut
    assert max(abs(row.statistic) for row in found.rows[1:]) < found.by_chance + 0.5, "the cause is told once"


def test_a_right_map_has_no_contradiction_beyond_chance(honest):
    routes, model = honest
    found = find_contradictions(model, routes, top=5)
    assert 3.0 < found.by_chance < 4.0
    assert all(abs(row.statistic) < found.by_chance for row in found.rows)


def test_a_model_with_corrections_is_compared_without_them(missing_ban):
    turn, seen, model = missing_ban
    reward = {"features": list(TASTE), "corrections": ["edge", "turn"]}
    sections = {"reward": reward, "training": {"validation_share": 0.0, "max_iterations": 25}}
    corrected = fit(seen.network, seen, config(**sections))
    found, plain = (find_contradictions(one, seen, top=5) for one in (corrected, model))
    assert found.is_refit
    assert [row.place for row in found.rows] == [row.place for row in plain.rows]
    assert found.rows[0].place.position == turn
    assert found.rows[0].learned is None, "nobody drove there, so there is no correction"
    learned = [row.learned for row in found.rows if row.learned is not None]
    assert learned
    for row in found.rows:
        if row.learned is not None and abs(row.statistic) > 2.5:
            assert np.sign(row.learned) == -np.sign(row.statistic)


def test_a_finite_horizon_is_compared_at_infinity(honest):
    routes, _ = honest
    rows = np.arange(300)
    model = fit(routes.network, routes.take(rows), config(planner={"horizon": 3}))
    assert find_contradictions(model, routes.take(rows), top=3).is_refit


def test_travellers_are_counted_and_networks_compared(honest, city):
    routes, model = honest
    named = dataclasses.replace(routes, traveller=[f"t{row % 3}" for row in range(len(routes))])
    found = find_contradictions(model, named, top=3)
    assert all(row.num_travellers <= min(row.observed, 3) for row in found.rows)
    other = with_private(city, [])
    with pytest.raises(WrongNetworkError):
        find_contradictions(model, carried_over(routes, other))


# ------------------------------------------------------------------------------------------------ what a row says


def test_places_are_named_as_the_source_names_them(city):
    shapes, graph = city.shapes, city.graph
    counts = np.diff(shapes.first_way)
    edge = int(np.argmax(counts))
    place = place_of_edge(city, edge)
    assert place.osm_ways == tuple(dict.fromkeys(shapes.osm_way[shapes.first_way[edge] :][: counts[edge]].tolist()))
    assert place.nodes == (int(graph.node_id[graph.tail[edge]]), int(graph.node_id[graph.head[edge]]))
    line = city.edge_polyline(edge)
    assert line[:, 0].min() <= place.latitude_deg <= line[:, 0].max()
    turn = 7
    one, two = int(city.turns.from_edge[turn]), int(city.turns.to_edge[turn])
    place = place_of_turn(city, turn)
    assert place.edge_ids == (int(graph.edge_id[one]), int(graph.edge_id[two]))
    assert place.nodes == (int(graph.node_id[graph.head[one]]),)
    assert place.osm_ways == (place_of_edge(city, one).osm_ways[-1], place_of_edge(city, two).osm_ways[0])
    assert len(place.names) == len(place.road_classes) == 2


def test_roads_are_ways_or_the_same_two_nodes():
    network = rebuilt(make_grid(3, 3))
    edges = np.arange(network.graph.num_edges, dtype=np.int32)
    for edge, others in enumerate(same_road(network, edges)):
        (other,) = others
        assert network.graph.tail[other] == network.graph.head[edge]
        assert network.graph.head[other] == network.graph.tail[edge]
    bare = rebuilt(make_network([0, 1], [1, 0]))
    assert place_of_edge(bare, 0).latitude_deg is None
    assert place_of_turn(bare, 0).osm_ways == ()


def test_the_command_prints_and_writes(honest, tmp_path):
    routes, model = honest
    routes.write(tmp_path / "routes.parquet")
    save_model(model, tmp_path / "model")
    files = {name: tmp_path / f"c.{name}" for name in ("json", "csv", "html", "png")}
    command = ["contradictions", tmp_path / "model", "--routes", tmp_path / "routes.parquet", "--top", 4]
    command += ["--json", files["json"], "--csv", files["csv"], "--map", files["html"], "--picture", files["png"]]
    done = CliRunner().invoke(app, list(map(str, command)), env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    table = done.output.split("map in")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "simulated routes" in table
    assert "no stronger than chance" in table
    said = json.loads(files["json"].read_text())
    assert [row["rank"] for row in said["rows"]] == [1, 2, 3, 4]
    assert said["is_simulated"]
    row = said["rows"][0]
    assert {"kind", "observed", "expected", "statistic", "suggested", "learned", "osm_ways", "nodes"} <= set(row)
    for entry in said["rows"]:
        assert f"way {entry['osm_ways'][0]}" in table
    with files["csv"].open(encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    assert [float(cell["statistic"]) for cell in cells] == [entry["statistic"] for entry in said["rows"]]
    assert cells[0]["osm_ways"].split() == list(map(str, row["osm_ways"]))
    assert files["png"].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    page = files["html"].read_text(encoding="utf-8")
    assert f"openstreetmap.org/way/{row['osm_ways'][0]}" in page
    assert "doubt-4" in page
    assert "Calle <" not in page, "names are escaped"
    assert "jquery" not in page.lower(), "the page loads Leaflet alone"


def test_without_coordinates_there_is_a_list_and_no_map(tmp_path):
    network = rebuilt(make_network([0, 0, 1, 2, 3, 3], [1, 2, 3, 3, 0, 4], num_nodes=5))
    routes = simulate(network, 60, taste={"length_km": -3.0, "constant": -1.0}, num_destinations=3, seed=4)
    document = {"reward": {"features": ["length_km", "constant"]}, "baselines": {"budget": 0}}
    model = fit(network, routes.for_ending("arrival"), parse_config(document, where="test"))
    assert all(row.place.latitude_deg is None for row in find_contradictions(model, routes).rows)
    routes.write(tmp_path / "routes.csv")
    save_model(model, tmp_path / "model")
    command = ["contradictions", str(tmp_path / "model"), "--routes", str(tmp_path / "routes.csv")]
    assert CliRunner().invoke(app, command).exit_code == 0
    done = CliRunner().invoke(app, [*command, "--map", str(tmp_path / "map.html")])
    assert done.exit_code == 2
    assert "coordinates" in done.output
    assert not (tmp_path / "map.html").exists()


@pytest.mark.real_data
def test_a_missing_ban_is_found_in_a_real_city(data_folder):
    network = read_roads(data_folder / "osm" / "heidelberg.osm.pbf")
    taste = {"travel_time_min": -2.0, "is_left": -0.5, "constant": -0.9}
    trips = {"taste": taste, "seed": 3, "num_destinations": 40, "min_km": 0.5}
    before = simulate(network, 1500, **trips).for_ending("arrival").batch("arrival").observed
    moves = np.diff(network.turns.first_out)[network.turns.from_edge]
    turn = next(one for one in busy(before, network) if moves[one] >= 3)
    seen = carried_over(simulate(without_turn(network, turn), 1500, **trips), network)
    model = fit(
        network, seen, parse_config({"reward": {"features": list(taste)}, "baselines": {"budget": 0}}, where="t")
    )
    found = find_contradictions(model, seen, top=10)
    ids = tuple(network.graph.edge_id[[network.turns.from_edge[turn], network.turns.to_edge[turn]]].tolist())
    first = found.rows[0]
    assert ids in {place.edge_ids for place in (first.place, *first.alternatives)}
    assert first.is_shut
    assert abs(first.statistic) > 1.5 * found.by_chance
