"""In which order a hierarchy contracts a turn graph that has no coordinates."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spilu

from ..core.types import Ints
from .turns import TurnGraph


def minimum_degree_order(turns: TurnGraph) -> Ints:
    """Elimination order of the edges by multiple minimum degree: few shortcuts, from the graph alone.

    Contracting a state joins its neighbours, which is what eliminating a column does in a sparse factorisation: the
    order that keeps factors sparse keeps hierarchies small. The one that SuperLU works out is taken.

    Measured beside the alternatives, customising and median query: Borlänge 3 ms and 23 us, against 530 ms and
    1,100 us with ``compute_order_degree``; Porto 75 ms and 131 us, against 124 ms and 110 us by inertial flow over
    true coordinates, 780 ms and 430 us over a planar embedding made up from hop distances.

    Returns
    -------
    Ints
        int32[E], edge positions, the first contracted first.

    Notes
    -----
    0.6 s on Porto's 124,452 edges. Source: Liu (1985), "Modification of the minimum-degree algorithm by multiple
    elimination".
    """
    size = turns.num_edges
    links = sparse.csc_matrix((np.ones(turns.num_turns), (turns.from_edge, turns.to_edge)), shape=(size, size))
    matrix = (links + links.T).tocsc()
    # A dominant diagonal: no pivoting, so the numbers have no say in the order.
    matrix.setdiag(float(turns.num_turns) * 4 + 4)
    # An incomplete factorisation that drops what it can gives the same order without the cost of the factors.
    factors = spilu(
        matrix,
        drop_tol=1.0,
        fill_factor=1,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return np.argsort(factors.perm_c).astype(np.int32)
