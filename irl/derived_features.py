"""Features that are worked out of columns a network has: links, one-way roads, and what changes from edge to edge.

Of the edge entered:

``is_link``
    1 on slip roads and ramps (classes whose name ends in ``_link``).
``is_oneway``
    1 where no edge leads back between the same two nodes.
``travel_time_min@NAME``
    Length over a column ``speed_kmh@NAME`` of the network, such as ``speed_kmh@07-10``.

Of the turn:

``is_across``, ``is_across_from``, ``is_across_onto``
    1 on turns across traffic: to the left where one drives on the right, to the right where on the left. ``_from``: out
    of a two-way road, across who comes towards one; ``_onto``: onto a two-way road, across its nearer lanes; plain:
    either.
``is_class_up``, ``is_class_down``, ``is_class_change``
    1 onto a road of a more important class, of a less important one, of another one; links count as what they link.
``is_name_change``
    1 where both roads have a name and it is not the same.
``at_signals``, ``at_stop``, ``at_give_way``
    1 where the edge left ends at such a sign.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..core.types import Bools, Floats
from ..graphs.road_graph import RoadNetwork
from .feature_columns import Column, Feature

_RANKS = {
    **{"motorway": 7, "trunk": 6, "primary": 5, "secondary": 4, "tertiary": 3},
    **{"unclassified": 2, "residential": 2, "road": 2, "living_street": 1, "service": 1},
}
_AT = {"at_signals": "ends_at_signals", "at_stop": "ends_at_stop", "at_give_way": "ends_at_give_way"}
_SPEED, _TIME = "speed_kmh@", "travel_time_min@"


def derived_feature(network: RoadNetwork, name: str) -> Feature | None:
    """What a name stands for; None where it is none of these, or the network lacks what it is made of. O(T)."""
    if name.startswith(_TIME):
        time = _travel_time(network, name)
        return None if time is None else Feature(name, (Column(time),))
    if name in _OF_EDGE:
        needs, mask = _OF_EDGE[name]
        return Feature(name, (Column(mask(network)),)) if needs(network) else None
    if name in _OF_TURN:
        needs, mask = _OF_TURN[name]
        return Feature(name, of_turn=(Column(mask(network)),)) if needs(network) else None
    return None


def derived_names(network: RoadNetwork) -> list[str]:
    """The names that this network has what they need for."""
    names = [name for made in (_OF_EDGE, _OF_TURN) for name, (needs, _) in made.items() if needs(network)]
    speeds = [name for name in network.attributes.extra if name.startswith(_SPEED)]
    if network.attributes.length_m is not None:
        names += [name.replace(_SPEED, _TIME, 1) for name in speeds]
    return names


def _travel_time(network: RoadNetwork, name: str) -> Floats | None:
    speed, length = network.attributes.extra.get(name.replace(_TIME, _SPEED, 1)), network.attributes.length_m
    if speed is None or length is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):  # `make_features` names what is not finite
        return np.asarray(length.astype(np.float64) / speed * 0.06)


def _is_link(network: RoadNetwork) -> Bools:
    column = network.attributes.road_class
    assert column is not None
    return np.array([level.endswith("_link") for level in column.levels], bool)[column.codes]


def _is_two_way(network: RoadNetwork) -> Bools:
    """bool[E]: an edge leads back; of a loop, another loop."""
    graph = network.graph
    ahead = graph.tail.astype(np.int64) * graph.num_nodes + graph.head
    back = graph.head.astype(np.int64) * graph.num_nodes + graph.tail
    keys, counts = np.unique(ahead[graph.edge_id >= 0] if network.shapes is not None else ahead, return_counts=True)
    place = np.minimum(np.searchsorted(keys, back), len(keys) - 1)
    needed = np.where(graph.tail == graph.head, 2, 1)
    return np.asarray((keys[place] == back) & (counts[place] >= needed))


def _is_far_side(network: RoadNetwork) -> Bools:
    """bool[T]: turns to the side of oncoming traffic."""
    turns, left = network.turns, network.attributes.extra.get("is_left_driven")
    if left is None:
        return turns.is_left
    return np.where(left[turns.from_edge] > 0, turns.is_right, turns.is_left)


def _is_across(network: RoadNetwork, *, leaving: bool, entering: bool) -> Bools:
    turns, two_way = network.turns, _is_two_way(network)
    meets = np.zeros(turns.num_turns, bool)
    if leaving:
        meets |= two_way[turns.from_edge]
    if entering:
        meets |= two_way[turns.to_edge]
    return _is_far_side(network) & meets


def _class_ranks(network: RoadNetwork) -> Floats:
    """float64[E], NaN for classes of which it is not known how important they are."""
    column = network.attributes.road_class
    assert column is not None
    ranks = np.array([_RANKS.get(level.removesuffix("_link"), np.nan) for level in column.levels], np.float64)
    return np.asarray(ranks[column.codes])


def _class_step(network: RoadNetwork, sign: int) -> Bools:
    rank, turns = _class_ranks(network), network.turns
    return np.asarray(sign * (rank[turns.to_edge] - rank[turns.from_edge]) > 0)


def _is_class_change(network: RoadNetwork) -> Bools:
    column, turns = network.attributes.road_class, network.turns
    assert column is not None
    base = [level.removesuffix("_link") for level in column.levels]
    codes = np.array([base.index(level) for level in base], np.int32)[column.codes]
    return np.asarray(codes[turns.to_edge] != codes[turns.from_edge])


def _is_name_change(network: RoadNetwork) -> Bools:
    column, turns = network.attributes.name, network.turns
    assert column is not None
    blank = column.levels.index("") if "" in column.levels else -1
    one, two = column.codes[turns.from_edge], column.codes[turns.to_edge]
    return np.asarray((one != two) & (one != blank) & (two != blank))


def _at(column: str) -> tuple[Callable[[RoadNetwork], bool], Callable[[RoadNetwork], Bools]]:
    def mask(network: RoadNetwork) -> Bools:
        return np.asarray(network.attributes.extra[column][network.turns.from_edge] > 0)

    return (lambda network: column in network.attributes.extra), mask


def _always(network: RoadNetwork) -> bool:
    return True


def _has_class(network: RoadNetwork) -> bool:
    return network.attributes.road_class is not None


def _has_name(network: RoadNetwork) -> bool:
    return network.attributes.name is not None


_Made = dict[str, tuple[Callable[[RoadNetwork], bool], Callable[[RoadNetwork], Bools]]]
_OF_EDGE: _Made = {
    "is_link": (_has_class, _is_link),
    "is_oneway": (_always, lambda network: ~_is_two_way(network)),
}
_OF_TURN: _Made = {
    "is_across": (_always, lambda network: _is_across(network, leaving=True, entering=True)),
    "is_across_from": (_always, lambda network: _is_across(network, leaving=True, entering=False)),
    "is_across_onto": (_always, lambda network: _is_across(network, leaving=False, entering=True)),
    "is_class_up": (_has_class, lambda network: _class_step(network, 1)),
    "is_class_down": (_has_class, lambda network: _class_step(network, -1)),
    "is_class_change": (_has_class, _is_class_change),
    "is_name_change": (_has_name, _is_name_change),
    **{name: _at(column) for name, column in _AT.items()},
}
