"""Training: the optimum is one, the stated reward comes back, constraints hold, faults are named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import optimize
from strategies import make_grid, make_network
from trodden.core.config import Config, parse_config
from trodden.core.errors import (
    ConfigurationError,
    InfeasibleRewardError,
    MissingDataError,
    NoDemonstrationsError,
    WrongNetworkError,
)
from trodden.graphs.reading import read_roads
from trodden.irl.checkpoints import load_checkpoint, save_checkpoint
from trodden.irl.demonstrations import demonstrations_from_edges, read_demonstrations
from trodden.irl.evaluation import evaluate
from trodden.irl.feasibility import turn_matrix
from trodden.irl.features import make_features
from trodden.irl.likelihood import log_likelihood, route_log_probabilities
from trodden.irl.planner import Planner
from trodden.irl.problem import Problem
from trodden.irl.simulation import simulate
from trodden.irl.training import fit

TASTE = {"travel_time_min": -3.0, "toll": -0.7, "constant": -1.3}
FAST = {"baselines": {"budget": 0}}


def toll_grid(rows=7, columns=7):
    """A grid whose edges differ in length and in a user column."""
    network = make_grid(rows, columns)
    random = np.random.default_rng(3)
    length = random.uniform(50, 400, network.graph.num_edges).astype(np.float32)
    attributes = dataclasses.replace(
        network.attributes,
        length_m=length,
        travel_time_s=length / 8.0,
        extra={"toll": (random.random(network.graph.num_edges) < 0.3).astype(float)},
    )
    return dataclasses.replace(network, attributes=attributes)


@pytest.mark.parametrize("ending", ["arrival", "stop"])
def test_the_stated_reward_is_learned_back(ending):
    network = toll_grid()
    routes = simulate(network, 1500, taste=TASTE, seed=7, num_destinations=20, ending=ending)
    config = parse_config({"reward": {"features": list(TASTE)}, "planner": {"ending": ending}, **FAST}, where="test")
    model = fit(network, routes, config)
    assert model.is_simulated
    for coefficient in model.coefficients:
        assert coefficient.standard_error is not None
        assert abs(coefficient.value - TASTE[coefficient.name]) < 3 * coefficient.standard_error, coefficient
    assert model.summary["kkt_residual"] < 1e-9
    assert (model.turn_cost > 0).all()
    assert (model.entry_cost > 0).all()


def test_standard_errors_cover_over_seeds():
    """24 small simulated cities x 3 coefficients: the z-values have unit spread (a bias or a wrong s.e. would show)."""
    network = toll_grid(5, 5)
    config = parse_config({"reward": {"features": list(TASTE)}, **FAST}, where="test")
    z = []
    for seed in range(24):
        model = fit(network, simulate(network, 300, taste=TASTE, seed=seed, num_destinations=8), config)
        z += [(c.value - TASTE[c.name]) / c.standard_error for c in model.coefficients]
    assert abs(np.mean(z)) < 4 / np.sqrt(len(z))
    assert 0.75 < np.std(z) < 1.3


def test_gradient_of_the_likelihood_equals_finite_differences():
    network = toll_grid(4, 4)
    routes = simulate(network, 40, taste=TASTE, seed=1, num_destinations=5)
    features = make_features(network, tuple(TASTE))
    planner = Planner(network.turns, Config().planner)
    batch = routes.batch("arrival")
    theta = np.array([-2.0, -0.4, -1.5])
    value, gradient = log_likelihood(planner, features.value @ theta, batch)
    for column in range(3):
        step = np.eye(3)[column] * 1e-5
        high = log_likelihood(planner, features.value @ (theta + step), batch)[0]
        low = log_likelihood(planner, features.value @ (theta - step), batch)[0]
        assert features.value[:, column] @ gradient == pytest.approx((high - low) / 2e-5, rel=1e-6)
    each = route_log_probabilities(planner, features.value @ theta, routes, batch)
    assert each.sum() == pytest.approx(value, rel=1e-12)
    assert (each <= 1e-12).all()


def test_weights_count_as_repeated_routes():
    network = toll_grid(4, 4)
    routes = simulate(network, 60, taste=TASTE, seed=2, num_destinations=6)
    config = parse_config({"reward": {"features": list(TASTE)}, **FAST}, where="test")
    doubled = routes.take(np.concatenate([np.arange(60), np.arange(30)]))
    weighted = dataclasses.replace(routes, weight=np.where(np.arange(60) < 30, 2.0, 1.0))
    one, two = fit(network, doubled, config), fit(network, weighted, config)
    np.testing.assert_allclose([c.value for c in one.coefficients], [c.value for c in two.coefficients], rtol=1e-8)


def test_routes_and_features_out_of_order_do_not_matter():
    network = toll_grid(5, 5)
    routes = simulate(network, 200, taste=TASTE, seed=4, num_destinations=8)
    shuffled = routes.take(np.random.default_rng(0).permutation(200))
    one = fit(network, routes, parse_config({"reward": {"features": list(TASTE)}, **FAST}, where="t"))
    two = fit(network, shuffled, parse_config({"reward": {"features": list(TASTE)[::-1]}, **FAST}, where="t"))
    for coefficient in one.coefficients:
        assert two.coefficient(coefficient.name) == pytest.approx(coefficient.value, rel=1e-8)


METHODS = {
    "newton": {},
    "bhhh": {"training": {"method": "bhhh"}},
    "l-bfgs": {"training": {"method": "l-bfgs"}},
    "adam": {"training": {"method": "adam", "max_iterations": 60}},
    "mini-batches": {"training": {"method": "adam", "batch_destinations": 3, "max_iterations": 30}},
    "sweeps": {"planner": {"solver": "sweeps"}},
    "rhip": {"planner": {"horizon": 3}},
    "mmp": {"planner": {"horizon": 0}},
}


def recorded(network, routes, config):
    """(model, the checkpoint of every iteration)."""
    seen = []
    model = fit(network, routes, config, progress=lambda step: seen.append(step.checkpoint))
    return model, seen


def same_to_the_byte(one, other):
    left, right = ({k: v for k, v in m.summary.items() if k != "seconds"} for m in (one, other))
    assert left == right
    assert one.coefficients == other.coefficients
    assert one.turn_cost.tobytes() == other.turn_cost.tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_is_the_uninterrupted_one_to_the_byte(method, tmp_path, monkeypatch):
    """From every checkpoint on disk, for every optimiser; and nothing is evaluated twice."""
    network = toll_grid(5, 5)
    routes = simulate(network, 200, taste=TASTE, seed=4, num_destinations=8)
    config = parse_config({"reward": {"features": list(TASTE)}, **FAST, **METHODS[method]}, where="test")
    made = []
    computed = Problem._computed
    monkeypatch.setattr(Problem, "_computed", lambda *given: made.append(1) or computed(*given))
    whole, checkpoints = recorded(network, routes, config)
    num_evaluations = len(made)
    assert len(checkpoints) >= 3
    for one in {0, len(checkpoints) // 2, len(checkpoints) - 1}:
        path = save_checkpoint(checkpoints[one], tmp_path / "checkpoint")
        stored = load_checkpoint(path, network_checksum=network.checksum, names=tuple(TASTE))
        made.clear()
        later = []
        model = fit(network, routes, config, resume=stored, progress=lambda step, later=later: later.append(step))
        same_to_the_byte(whole, model)
        assert [step.iteration for step in later] == list(range(one + 1, len(checkpoints) + 1))
        assert len(made) + len(stored.evaluations) == num_evaluations


def test_a_run_along_constraints_resumes_to_the_byte_too():
    """Positivity found on the way, and at a finite horizon steps that were refused for it."""
    network, features, routes = bonus_problem()
    refused = 0
    for horizon in ("infinity", 2):
        planner = {"planner": {"horizon": horizon}} if horizon == 2 else {}
        document = {"reward": {"features": list(features.names), "minimum_cost": 1.0}, **FAST, **planner}
        config = parse_config(document, where="test")
        whole, checkpoints = recorded(network, routes, config)
        assert whole.summary["constraint_rounds"] > 0
        refused += sum(one.is_refused for one in checkpoints[-1].evaluations)
        for one in checkpoints[::4]:
            same_to_the_byte(whole, fit(network, routes, config, resume=one))
    assert refused > 0


def test_a_checkpoint_of_other_routes_or_settings_is_refused():
    network = toll_grid(4, 4)
    routes = simulate(network, 100, taste=TASTE, seed=4, num_destinations=5)
    config = parse_config({"reward": {"features": list(TASTE)}, **FAST}, where="test")
    _, checkpoints = recorded(network, routes, config)
    with pytest.raises(ConfigurationError, match="other routes or another configuration"):
        fit(network, routes.take(np.arange(99)), config, resume=checkpoints[0])
    other = parse_config({"reward": {"features": list(TASTE)}, "planner": {"ending": "stop"}, **FAST}, where="test")
    with pytest.raises(ConfigurationError, match="other routes or another configuration"):
        fit(network, routes, other, resume=checkpoints[0])


def test_a_checkpoint_whose_path_is_left_costs_time_alone(caplog):
    """Another version of an optimiser may ask for other points: the rest of the record is dropped, aloud."""
    network = toll_grid(4, 4)
    routes = simulate(network, 100, taste=TASTE, seed=4, num_destinations=5)
    config = parse_config({"reward": {"features": list(TASTE)}, **FAST}, where="test")
    whole, checkpoints = recorded(network, routes, config)
    last = checkpoints[-1]
    moved = [dataclasses.replace(e, scaled=e.scaled + 1e-3 * (i > 1)) for i, e in enumerate(last.evaluations)]
    again = fit(network, routes, config, resume=dataclasses.replace(last, evaluations=tuple(moved)))
    assert "is not the one of the interrupted run" in caplog.text
    assert again.coefficients == whole.coefficients


def test_progress_watches_the_spectral_radius():
    network = toll_grid(5, 5)
    routes = simulate(network, 200, taste=TASTE, seed=4, num_destinations=8)
    features = make_features(network, tuple(TASTE)).value
    for planner in ({}, {"solver": "sweeps"}, {"horizon": 3}):
        steps = []
        config = parse_config({"reward": {"features": list(TASTE)}, "planner": planner, **FAST}, where="test")
        model = fit(network, routes, config, progress=steps.append)
        for step in steps:
            if "horizon" in planner:
                assert step.spectral_radius is None
                continue
            matrix = turn_matrix(network.turns, features @ step.checkpoint.coefficients).toarray()
            exact = np.abs(np.linalg.eigvals(matrix)).max()
            assert step.spectral_radius == pytest.approx(exact, abs=1e-3)
        assert ("horizon" in planner) == (model.summary["spectral_radius"] is None)


def test_every_optimiser_finds_the_same_estimates_and_errors(monkeypatch):
    """With and without the warm-up (which needs many destinations), and L-BFGS-B, with errors by differences or not."""
    network = toll_grid(8, 8)
    routes = simulate(network, 400, taste=TASTE, seed=5, num_destinations=140)
    routes = dataclasses.replace(routes, traveller=tuple(str(row % 40) for row in range(400)))
    config = parse_config({"reward": {"features": list(TASTE)}, **FAST}, where="t")
    models = [fit(network, routes, config)]
    monkeypatch.setattr("trodden.irl.optimisers._SMALLEST_WARM_UP", 10**6)
    models.append(fit(network, routes, config))
    monkeypatch.setattr("trodden.irl.optimisers._LARGEST_NEWTON", 0)
    models.append(fit(network, routes, config))
    monkeypatch.setattr("trodden.irl.problem.Problem.second_order", lambda self, scaled: None)
    models.append(fit(network, routes, config))
    monkeypatch.undo()
    for training in (
        {"method": "bhhh"},
        {"method": "l-bfgs"},
        {"method": "adam", "learning_rate": 0.2},
        {"method": "adam", "batch_destinations": 30, "max_iterations": 60},
    ):
        document = {"reward": {"features": list(TASTE)}, "training": training, **FAST}
        models.append(fit(network, routes, parse_config(document, where="t")))
    names = ["Newton", "Newton", "L-BFGS-B", "L-BFGS-B", "BHHH", "L-BFGS-B", "Adam", "Adam on 5 mini-batches"]
    assert [one.summary["method"] for one in models] == names
    assert all(one.summary["is_converged"] for one in models)
    for row in zip(*(one.coefficients for one in models), strict=True):
        for kind in ("value", "standard_error", "robust_standard_error", "clustered_standard_error"):
            numbers = [getattr(one, kind) for one in row]
            np.testing.assert_allclose(numbers, numbers[1], rtol=1e-8 if kind == "value" else 1e-3)


# ------------------------------------------------------------------------------------------------ constraints


def bonus_problem():
    """Travellers who love scenic edges: the free optimum pays them to drive there, which no shortest path survives."""
    network = toll_grid(4, 4)
    random = np.random.default_rng(8)
    scenic = (random.random(network.graph.num_edges) < 0.25).astype(float)
    attributes = dataclasses.replace(network.attributes, extra={"scenic": scenic})
    network = dataclasses.replace(network, attributes=attributes)
    features = make_features(network, ("travel_time_min", "scenic", "constant"))
    reward = features.value @ np.array([-0.2, 1.0, -1.6])
    assert reward.max() < 0
    routes = simulate(
        network, 400, taste={"travel_time_min": -0.2, "scenic": 1.0, "constant": -1.6}, seed=3, num_destinations=8
    )
    return network, features, routes


def test_positivity_binds_only_where_it_must():
    """With the minimum cost raised to 1.0 the constraint cuts the free optimum off; SciPy's trust-constr agrees."""
    network, features, routes = bonus_problem()
    document = {"reward": {"features": list(features.names), "minimum_cost": 1.0}, **FAST}
    model = fit(network, routes, parse_config(document, where="test"))
    free = fit(network, routes, parse_config({"reward": {"features": list(features.names)}, **FAST}, where="test"))
    assert free.summary["constraint_rounds"] == 0
    assert free.summary["bound_turns"] == 0
    assert free.turn_cost.min() < 1.0
    assert model.summary["constraint_rounds"] > 0
    assert model.summary["bound_turns"] > 0
    assert model.turn_cost.min() >= 1.0
    assert model.summary["kkt_residual"] < 1e-3
    bound = [c for c in model.coefficients if c.standard_error is None]
    assert bound
    assert all("constraint" in c.note for c in bound)

    batch, planner = routes.batch("arrival"), Planner(network.turns, Config().planner)

    def loss(theta):
        value, gradient = log_likelihood(planner, features.value @ theta, batch)
        return -value / len(routes), -features.value.T @ gradient / len(routes)

    rows = np.unique(features.value, axis=0)
    rule = optimize.LinearConstraint(-rows, lb=1.0)
    want = optimize.minimize(
        loss,
        [-1.0, -0.5, -2.0],
        jac=True,
        method="trust-constr",
        constraints=[rule],
        options={"gtol": 1e-8, "maxiter": 3000},
    )
    assert model.summary["log_likelihood_per_route"] == pytest.approx(-want.fun, abs=2e-3)
    assert model.summary["log_likelihood"] < free.summary["log_likelihood"]


def test_a_step_out_of_the_feasible_set_is_shortened():
    """Started where the first full step overshoots the radius, training still reaches the optimum."""
    network = toll_grid(5, 5)
    routes = simulate(network, 300, taste=TASTE, seed=4, num_destinations=8)
    base = {"reward": {"features": list(TASTE)}, **FAST}
    want = fit(network, routes, parse_config(base, where="t"))
    far = {**base, "training": {"start": {"travel_time_min": -60.0, "toll": -10.0, "constant": -9.0}}}
    got = fit(network, routes, parse_config(far, where="t"))
    for coefficient in want.coefficients:
        assert got.coefficient(coefficient.name) == pytest.approx(coefficient.value, rel=1e-6)


# ------------------------------------------------------------------------------------------------ faults


def test_features_that_the_data_cannot_tell_apart_are_named():
    network = toll_grid(5, 5)
    extra = {
        **network.attributes.extra,
        "twice": 2 * network.attributes.extra["toll"],
        "never": np.zeros(network.graph.num_edges),
    }
    network = dataclasses.replace(network, attributes=dataclasses.replace(network.attributes, extra=extra))
    routes = simulate(network, 300, taste=TASTE, seed=4, num_destinations=8)
    names = ["travel_time_min", "toll", "twice", "never", "constant"]
    model = fit(network, routes, parse_config({"reward": {"features": names}, **FAST}, where="t"))
    errors = {c.name: c for c in model.coefficients}
    for name in ("toll", "twice", "never"):
        assert errors[name].standard_error is None
        assert "do not tell it apart" in errors[name].note
    for name in ("travel_time_min", "constant"):
        assert errors[name].standard_error is not None
    plain = fit(network, routes, parse_config({"reward": {"features": list(TASTE)}, **FAST}, where="t"))
    assert errors["toll"].value + 2 * errors["twice"].value == pytest.approx(plain.coefficient("toll"), abs=1e-5)


def test_an_infeasible_start_names_cycle_and_constant():
    network = toll_grid(5, 5)
    routes = simulate(network, 50, taste=TASTE, seed=4, num_destinations=8)
    document = {"reward": {"features": list(TASTE)}, "training": {"start": {"constant": -0.1}}, **FAST}
    with pytest.raises(InfeasibleRewardError) as caught:
        fit(network, routes, parse_config(document, where="t"))
    assert caught.value.constant > 0
    assert set(caught.value.cycle) <= set(network.graph.edge_id.tolist())


def test_wrong_settings_are_named():
    network = toll_grid(4, 4)
    routes = simulate(network, 50, taste=TASTE, seed=4, num_destinations=8)
    with pytest.raises(ConfigurationError, match="tol1"):
        fit(network, routes, parse_config({"reward": {"features": ["tol1"]}}, where="t"))
    with pytest.raises(ConfigurationError, match="tunnel"):
        fit(network, routes, parse_config({"training": {"start": {"tunnel": -1.0}}}, where="t"))
    with pytest.raises(ConfigurationError, match=r"planner\.solver.*unknown_key|unknown_key.*planner\.solver"):
        parse_config({"planner": {"solver": "magic"}, "reward": {"unknown_key": 1}}, where="t")
    with pytest.raises(WrongNetworkError):
        fit(dataclasses.replace(network, checksum="1" * 64), routes)


def test_routes_impossible_under_arrival_are_skipped_and_counted():
    network = make_network([0, 1, 1, 2], [1, 0, 2, 1])  # 0 <-> 1 <-> 2, U-turns allowed
    there, back = 0, 1
    routes = demonstrations_from_edges(network, [np.array([there, back, there], np.int32)], ["round"])
    assert len(routes) == 1
    with pytest.raises(NoDemonstrationsError, match="passes_destination"):
        fit(network, routes)


def test_a_network_without_lengths_and_times_is_refused_before_training():
    network = toll_grid(4, 4)
    routes = simulate(network, 20, taste=TASTE, seed=4, num_destinations=3)
    bare = dataclasses.replace(network.attributes, length_m=None, travel_time_s=None)
    network = dataclasses.replace(network, attributes=bare)
    steps = []
    document = {"reward": {"features": ["toll", "constant"]}}
    with pytest.raises(MissingDataError):
        fit(network, routes, parse_config(document, where="t"), progress=steps.append)
    assert not steps


def test_a_coefficient_that_runs_away_gets_a_note_and_no_error():
    """Nobody ever takes a toll edge: the likelihood climbs for ever, ever more slowly."""
    network = toll_grid(5, 5)
    routes = simulate(network, 200, taste={**TASTE, "toll": -40.0}, seed=4, num_destinations=8)
    model = fit(network, routes, parse_config({"reward": {"features": list(TASTE)}, **FAST}, where="t"))
    notes = {c.name: c for c in model.coefficients}
    assert notes["toll"].standard_error is None
    assert notes["toll"].note
    assert notes["constant"].standard_error is not None


# ------------------------------------------------------------------------------------------------ real data


@pytest.mark.real_data
def test_borlange_reproduces_the_published_recursive_logit(data_folder):
    """Fosgerau, Frejinger & Karlström (2013): -2.494, -0.933, -0.411, -4.459."""
    network = read_roads(data_folder / "borlange")
    routes = read_demonstrations(data_folder / "borlange" / "routes.csv", network)
    names = ["travel_time_min", "is_left", "constant", "is_uturn"]
    config = parse_config({"reward": {"features": names}, "planner": {"ending": "stop"}, **FAST}, where="t")
    model = fit(network, routes, config)
    want = {"travel_time_min": -2.4941, "is_left": -0.9331, "constant": -0.4111, "is_uturn": -4.4588}
    errors = {"travel_time_min": 0.0644, "is_left": 0.0263, "constant": 0.0103, "is_uturn": 0.1128}
    robust = {"travel_time_min": 0.0980, "is_left": 0.0297, "constant": 0.0127, "is_uturn": 0.1140}
    for coefficient in model.coefficients:
        assert coefficient.value == pytest.approx(want[coefficient.name], abs=1e-3)
        assert coefficient.standard_error == pytest.approx(errors[coefficient.name], abs=1e-4)
        assert coefficient.robust_standard_error == pytest.approx(robust[coefficient.name], rel=0.01)
    assert model.summary["log_likelihood"] == pytest.approx(-6302.93, abs=0.02)


@pytest.mark.real_data
def test_shanghai_linear_reward_on_held_out_taxi_routes(data_folder):
    network = read_roads(data_folder / "shanghai")
    routes = read_demonstrations(data_folder / "shanghai" / "train.csv", network)
    names = ["length_km", "is_left", "is_right", "is_uturn", "constant", "class:*"]
    model = fit(network, routes, parse_config({"reward": {"features": names}, **FAST}, where="t"))
    result = evaluate(model, read_demonstrations(data_folder / "shanghai" / "test.csv", network))
    assert result.num_routes == 4893
    assert result.models["learned"].exact >= 0.41
    assert -result.models["learned"].nll_per_route >= -4.50
    assert result.models["shortest"].exact == pytest.approx(0.312, abs=0.002)
    assert result.models["shortest"].nll_per_route is None
