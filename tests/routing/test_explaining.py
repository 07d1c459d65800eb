"""Explanations by a router: sums, names, and what cannot be explained."""

from __future__ import annotations

import irl_oracles as naive
import numpy as np
import pytest
from regional_city import TASTE, make_city
from trodden.core.config import parse_config
from trodden.core.errors import ConfigurationError
from trodden.irl.insight.explanation import trip_routes
from trodden.irl.simulation import simulate
from trodden.irl.training import fit
from trodden.routing.router import Router


@pytest.fixture(scope="module")
def model():
    network = naive.rebuilt(make_city(5, 5))
    routes = simulate(network, 100, taste=TASTE, seed=1, num_destinations=5)
    document = {"reward": {"features": list(TASTE)}, "baselines": {"budget": 0}, "training": {"max_iterations": 20}}
    return fit(network, routes, parse_config(document, where="test"))


def test_terms_add_up_and_routes_are_those_of_the_trip(model):
    router, random = Router(model), np.random.default_rng(0)
    ids = model.network.graph.edge_id[model.network.turns.is_main]
    for _ in range(10):
        origin, destination = (f"edge:{edge}" for edge in random.choice(ids, 2, replace=False))
        route = router.route(origin, destination)
        if len(route.turns) == 0:
            continue
        found = router.explain(origin, destination)
        want = trip_routes(model, route.edges, is_travelled=False)
        assert {one.name for one in found.routes} == set(want) == {"fastest", "learned"}
        for one in found.routes:
            assert one.edges.tolist() == want[one.name].tolist()
            assert one.terms.sum() == pytest.approx(one.cost, rel=1e-9)
            assert one.cost == pytest.approx(
                model.turn_cost[model.network.turns.find(one.edges[:-1], one.edges[1:])].sum()
            )
        assert found.route("learned").cost == pytest.approx(route.cost)
        assert found.route("learned").log_probability == pytest.approx(route.log_probability, abs=1e-9)
        assert [one.edge_ids for one in router.explain(route).routes] == [one.edge_ids for one in found.routes]


def test_an_alternative_is_called_this_route_and_compared_with_the_fastest(model):
    router = Router(model)
    ids = model.network.graph.edge_id
    other = router.alternatives(f"edge:{ids[0]}", f"edge:{ids[-1]}", 4, max_shared=0.9, max_dearer=2.0)[-1]
    found = router.explain(other.route)
    assert [one.name for one in found.routes] == ["fastest", "this route"]
    assert found.route("this route").edges.tolist() == other.route.edges.tolist()
    assert found.compared is None or found.compared[0].name == "this route"
    assert "this route" in found.table()


def test_what_is_not_learned_is_not_explained(model):
    network, entry = model.network, model.entry_cost
    ids = network.graph.edge_id
    ends = f"edge:{ids[0]}", f"edge:{ids[-1]}"
    with pytest.raises(ConfigurationError, match="LearnedModel"):
        Router.from_costs(network, model.turn_cost, entry).explain(*ends)
    router = Router(model)
    router.add_metric("fastest", model.baseline_costs["fastest"], entry)
    assert "fastest" in [one.name for one in router.explain(router.route(*ends, metric="fastest")).routes]
    with pytest.raises(ConfigurationError, match="'fastest' were given as numbers"):
        router.explain(*ends, metric="fastest")
    with pytest.raises(ConfigurationError, match="nothing to choose"):
        router.explain(ends[0], ends[0])
    with pytest.raises(ConfigurationError, match="give a route, or"):
        router.explain(ends[0])
    with pytest.raises(ConfigurationError, match="give a route, or"):
        router.explain(router.route(*ends), ends[1])
    router.add_metric("learned", 2 * model.turn_cost, entry)
    with pytest.raises(ConfigurationError, match="'learned' were given as numbers"):
        router.explain(*ends)
