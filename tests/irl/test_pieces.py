"""Routes cut at borders: a hand-made case, and a naive cut of random ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.irl.pieces import cut_at_borders


def ragged(rows):
    first = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return first, np.array([edge for row in rows for edge in row], np.int32)


def listed(pieces):
    rows = [pieces.edge[a:b].tolist() for a, b in zip(pieces.first[:-1], pieces.first[1:], strict=True)]
    return list(zip(rows, pieces.region.tolist(), pieces.route.tolist(), pieces.is_exit.tolist(), strict=True))


def naive(rows, region):
    found = []
    for number, row in enumerate(rows):
        begin = 0
        for at in range(1, len(row) + 1):
            if at == len(row) or region[row[at]] != region[row[at - 1]]:
                piece = row[begin : at + (at < len(row))]
                if len(piece) >= 2:
                    found.append((piece, region[row[begin]], number, at < len(row)))
                begin = at
    return found


def test_a_route_through_three_regions():
    region = np.array([0, 0, 1, 1, 2, 2], np.int32)
    pieces = cut_at_borders(*ragged([[0, 1, 2, 3, 4, 5], [0, 1], [1, 2]]), region)
    assert listed(pieces) == [
        ([0, 1, 2], 0, 0, True),
        ([2, 3, 4], 1, 0, True),
        ([4, 5], 2, 0, False),
        ([0, 1], 0, 1, False),
        ([1, 2], 0, 2, True),  # its last edge alone says nothing
    ]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=8), max_size=6), st.integers(0, 2**32 - 1))
def test_it_is_the_naive_cut(rows, seed):
    region = np.random.default_rng(seed).integers(0, 3, 10).astype(np.int32)
    assert listed(cut_at_borders(*ragged(rows), region)) == naive(rows, region.tolist())
