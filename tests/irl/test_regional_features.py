"""A reward by region: against a dense matrix, and against the plain one where all regions agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import road_networks
from trodden.irl.features import make_features
from trodden.irl.regional_features import RegionalFeatures

NAMES = ("length_km", "is_uturn", "constant")


@settings(deadline=None, max_examples=60)
@given(road_networks(), st.integers(1, 4), st.booleans(), st.integers(0, 2**32 - 1))
def test_it_is_a_matrix_with_a_column_for_each_feature_and_region(network, count, watches, seed):
    random = np.random.default_rng(seed)
    base = make_features(network, NAMES)
    region = random.integers(0, count, network.graph.num_edges).astype(np.int32)
    watched = random.random(network.graph.num_edges) < 0.3 if watches else None
    regional = RegionalFeatures(base, region, count, watched)
    dense = np.zeros((network.turns.num_turns, len(regional)))
    for turn, edge in enumerate(network.turns.to_edge):
        at = int(region[edge]) * len(NAMES)
        dense[turn, at : at + len(NAMES)] = base.value[turn]
        if watches:
            dense[turn, -1] = watched[edge]
    coefficients = random.normal(size=len(regional))
    if watches:
        coefficients[-1] = 0.0
    weights = random.normal(size=len(dense))
    some = random.integers(0, len(dense), 5).astype(np.int32) if len(dense) else np.zeros(0, np.int32)
    np.testing.assert_allclose(regional.reward(coefficients), dense @ coefficients, atol=1e-12)
    np.testing.assert_allclose(regional.project(weights), dense.T @ weights, atol=1e-10)
    np.testing.assert_allclose(regional.reward_at(some, coefficients), dense[some] @ coefficients, atol=1e-12)
    np.testing.assert_allclose(regional.project_at(some, weights[some]), dense[some].T @ weights[some], atol=1e-10)
    same = np.append(np.tile(coefficients[: len(NAMES)], count), np.zeros(int(watches)))
    np.testing.assert_allclose(regional.reward(same), base.reward(same[: len(NAMES)]), rtol=1e-12)
    np.testing.assert_allclose(regional.edge_reward(same), base.edge_reward(same[: len(NAMES)]), rtol=1e-12)


def test_an_empty_network_of_turns_has_an_empty_reward():
    from strategies import make_network

    network = make_network([0], [1], is_banned=np.ones(1, bool))
    regional = RegionalFeatures(make_features(network, ("constant",)), np.zeros(1, np.int32), 1)
    assert regional.reward(np.array([-1.0])).shape == (0,)
    assert regional.project(np.zeros(0)).tolist() == pytest.approx([0.0])
