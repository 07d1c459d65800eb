"""The Schur complement of borders against one LU of the whole map, on random networks cut at random, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from irl_oracles import trip_cases
from trodden.graphs.partition import sub_network
from trodden.irl.border_system import BorderSystem, RegionSystem, RegionTrips
from trodden.irl.factorization import Factorization
from trodden.irl.feasibility import factorise


def parts_of(network, region, batch):
    """Each region's turns, masks, numbers and trips, found edge by edge."""
    turns = network.turns
    crosses = region[turns.from_edge] != region[turns.to_edge]
    states = np.unique(turns.to_edge[crosses])
    parts = []
    for r in range(int(region.max()) + 1):
        own = region == r
        exits = np.unique(turns.to_edge[crosses & own[turns.from_edge]])
        edges = np.union1d(np.flatnonzero(own), exits).astype(np.int32)
        if not len(edges):
            continue
        is_exit = ~own[edges]
        part = sub_network(network, edges, is_exit=is_exit)
        place = {int(edge): k for k, edge in enumerate(edges)}
        kept = [t for t in range(turns.num_turns) if own[turns.from_edge[t]] and int(turns.to_edge[t]) in place]
        total = np.bincount(batch.column, batch.weight, minlength=len(batch.destinations))
        ends = [
            (place[int(edge)], d, total[d] if batch.destinations.ending == "arrival" else 0.0)
            for d in range(len(batch.destinations))
            for edge in batch.destinations.goals(d)
            if own[edge]
        ]
        begins = [k for k in range(len(batch.origin)) if own[batch.origin[k]]]
        trips = RegionTrips(
            len(batch.destinations),
            np.array([place[int(batch.origin[k])] for k in begins], np.int32),
            batch.column[begins],
            batch.weight[begins],
            np.array([one[0] for one in ends], np.int32),
            np.array([one[1] for one in ends], np.int64),
            np.array([one[2] for one in ends], np.float64),
        )
        is_entry = np.isin(edges, states) & ~is_exit
        parts.append((part.turns, is_exit, is_entry, np.searchsorted(states, edges), np.array(kept, np.int64), trips))
    return len(states), parts


def by_regions(network, reward, region, batch):
    """(sum of values, expected counts, has values) of the whole map, by three rounds."""
    num_states, parts = parts_of(network, region, batch)
    systems = [RegionSystem(turns, is_exit, is_entry, reward[kept]) for turns, is_exit, is_entry, _, kept, _ in parts]
    if not all(system.has_values for system in systems):
        return 0.0, np.zeros(0), False
    reduced = [system.reduce(part[5]) for system, part in zip(systems, parts, strict=True)]
    borders = [part[3][system.border] for system, part in zip(systems, parts, strict=True)]
    entries = [one[: system.num_entries] for system, one in zip(systems, borders, strict=True)]
    border = BorderSystem(num_states, entries, borders, [matrix for matrix, _ in reduced])
    if not border.has_values:
        return 0.0, np.zeros(0), False
    exponentials = border.exponentials([source for _, source in reduced])
    said = [s.values(part[5], z) for s, part, z in zip(systems, parts, exponentials, strict=True)]
    visits = border.visits([one.adjoint for one in said])
    counts = np.zeros(network.turns.num_turns)
    for system, part, z, y in zip(systems, parts, exponentials, visits, strict=True):
        counts[part[4]] += system.flow(part[5], z, y)
    return sum(one.total for one in said), counts, True


@settings(deadline=None, max_examples=150)
@given(trip_cases(), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_it_is_one_lu_of_the_whole_map(case, num_regions, seed):
    network, reward, ending, routes = case
    assume(factorise(network.turns, reward) is not None)
    batch = routes.batch(ending)
    region = np.random.default_rng(seed).integers(0, num_regions, network.graph.num_edges).astype(np.int32)
    total, counts, has_values = by_regions(network, reward, region, batch)
    want, expected = Factorization(network.turns, reward, ending=ending, threads=1).total_value(batch)
    assert has_values
    assert total == pytest.approx(want, rel=1e-10, abs=1e-10)
    np.testing.assert_allclose(counts, expected, rtol=1e-9, atol=1e-10 * max(1.0, np.abs(expected).max(initial=0)))


@settings(deadline=None, max_examples=150)
@given(trip_cases(), st.floats(0, 3), st.integers(0, 2**32 - 1))
def test_values_exist_by_regions_exactly_where_they_do_for_the_whole(case, more, seed):
    """A reward raised until the radius passes 1, inside a region or only across borders."""
    network, reward, ending, routes = case
    batch = routes.batch(ending)
    region = np.random.default_rng(seed).integers(0, 3, network.graph.num_edges).astype(np.int32)
    exists = factorise(network.turns, reward + more) is not None
    assert by_regions(network, reward + more, region, batch)[2] == exists
