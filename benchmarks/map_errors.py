"""Planted map errors: at which rank of the list of contradictions each is found.

Travellers are simulated on a true network of Porto; the learner reads another map of it, with errors of two kinds:

- *tag*: a road that is open, but that the learner's map marks as private, in both directions. Three per cent of all
  roads are private in truth, and travellers avoid those, so that the mark means something.
- *ban*: a turn that is banned, but that the learner's map permits.

They are drawn at random (the seeds say so) among the roads and turns that at least ``--visits`` of the routes would
travel if there were no error, as far as the travellers' reward itself expects, and that the next such route would take
with a probability of 0.8 at most, on average: where there is no other way, an error changes no route and cannot be
seen. A ban must leave another move, and the main network whole. The learner knows the features, but no coefficient.

The table: visits to the road in both directions, or of the turn, if there were no error; as observed; and as the reward
learned on the wrong map expects them. A rank is that of the first row that names the error: for a tag, the edge or
another edge of its road that says the same; for a ban, the turn itself. Rows also name alternatives that explain the
same trips as well (the only edge that leads to a banned turn is as unused as the turn is); `first` is the rank of the
row whose own edge or turn it is. A dash: not among the ``--top`` rows.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from trodden import fit, read_roads, simulate
from trodden.cli.console import out, progress_bar, text_table
from trodden.core.config import Config, parse_config
from trodden.core.types import Bools, Floats, Ints
from trodden.graphs.road_graph import RoadNetwork
from trodden.graphs.store import make_network
from trodden.graphs.turns import TurnGraph
from trodden.irl.demonstrations import Demonstrations, demonstrations_from_edges
from trodden.irl.features import make_features
from trodden.irl.insight.contradictions import Contradiction, Contradictions, Progress, find_contradictions
from trodden.irl.insight.visits import Candidates, Visits
from trodden.irl.model import LearnedModel
from trodden.irl.planner import Planner

TASTE = {
    "travel_time_min": -1.5,
    "is_left": -0.6,
    "is_right": -0.3,
    "is_uturn": -3.0,
    "is_private": -2.0,
    "constant": -0.8,
}
_SHARE_PRIVATE = 0.03
_MOST_CERTAIN = 0.8


@dataclass(frozen=True)
class Planted:
    """One error of the learner's map."""

    kind: str
    edges: tuple[int, ...]
    """Ids: both directions of the road, or the edges left and entered."""
    expected: float
    """Visits, were there no error."""
    observed: float = 0.0
    by_the_map: float = 0.0
    """Visits that the learned reward expects on the learner's map."""

    def is_named_by(self, row: Contradiction) -> bool:
        """Whether a row is about this very error, first of all or as what explains its trips as well."""
        places = [row.place, *row.alternatives]
        if self.kind == "ban":
            return any(place.edge_ids == self.edges for place in places)
        named = {*row.same_road, *(place.edge_ids[0] for place in places if place.kind == "edge")}
        return bool(named & set(self.edges))

    def is_first_named_by(self, row: Contradiction) -> bool:
        """Whether the row's own edge or turn is the error."""
        return self.is_named_by(dataclasses.replace(row, alternatives=()))

    def is_touched_by(self, row: Contradiction) -> bool:
        """Whether it is about something beside it."""
        return bool({*row.place.edge_ids, *row.same_road} & set(self.edges))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", default="../shared/data/osm/porto.osm.pbf")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--errors", type=int, default=5, help="of each kind")
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--destinations", type=int, default=150)
    parser.add_argument("--visits", type=float, default=30.0)
    parser.add_argument("--top", type=int, default=50)
    arguments = parser.parse_args()
    roads = read_roads(Path(arguments.map))
    rows, ranks, first, seconds, others = [], [], [], [], 0
    for seed in arguments.seeds:
        with progress_bar(f"seed {seed}", 1.0) as update:
            planted, found, took = _world(roads, arguments, seed, lambda done, what: update(done, what))
        seconds.append(took)
        for error in planted:
            rank = _rank([error.is_named_by(row) for row in found.rows])
            own_rank = _rank([error.is_first_named_by(row) for row in found.rows])
            ranks.append(rank)
            first.append(own_rank)
            own = found.rows[rank - 1] if rank else None
            rows.append(
                [
                    f"{seed}",
                    error.kind,
                    f"{error.expected:.0f}",
                    f"{error.observed:g}",
                    f"{error.by_the_map:.0f}",
                    f"{own.statistic:+.1f}" if own else "-",
                    str(rank or "-"),
                    str(own_rank or "-"),
                ]
            )
        others += sum(
            abs(row.statistic) > found.by_chance and not any(error.is_touched_by(row) for error in planted)
            for row in found.rows
        )
    titles = ["seed", "error", "if none", "observed", "by the map", "statistic", "rank", "first"]
    out.print(text_table(titles, rows), markup=False)
    out.print(f"{others} rows above chance touch no planted error", markup=False)
    figures = {
        "found_in_top_ten": sum(1 <= rank <= 10 for rank in ranks),
        "first_in_top_ten": sum(1 <= rank <= 10 for rank in first),
        "planted": len(ranks),
        "ranks": ranks,
        "other_rows_above_chance": others,
        "routes": arguments.routes,
        "seconds_to_find": [round(one, 1) for one in seconds],
    }
    print(json.dumps(figures))


def _rank(hits: list[bool]) -> int:
    """From 1; 0 where there is none."""
    return hits.index(True) + 1 if any(hits) else 0


def _world(
    roads: RoadNetwork, arguments: argparse.Namespace, seed: int, say: Progress
) -> tuple[list[Planted], Contradictions, float]:
    """Errors planted, and what was found."""
    generator = np.random.default_rng(seed)
    other = _other_direction(roads)
    is_private = _private(roads, other, generator)
    without = _with_private(roads, is_private)
    say(0.1, "where routes go")
    edges, turns, visits = _travelled(without, arguments, seed)
    tags = _draw_roads(edges[~is_private[edges]], other, arguments.errors, generator)
    bans = _draw_bans(roads.turns, turns, arguments.errors, generator)
    planted = [_tag_error(roads, edge, other, visits) for edge in tags]
    planted += [_ban_error(roads, turn, visits) for turn in bans]
    say(0.3, "simulating")
    truth = make_network(roads.graph, without.attributes, without_turns(roads.turns, bans), roads.shapes, roads.report)
    routes = _simulated(truth, arguments, seed + 1000)
    marked = is_private.copy()
    marked[tags] = True
    marked[other[tags][other[tags] >= 0]] = True
    learner = _with_private(roads, marked)
    seen = carried_over(routes, learner)
    say(0.5, "learning")
    model = fit(learner, seen, _config())
    say(0.8, "comparing")
    started = time.perf_counter()
    found = find_contradictions(model, seen, top=arguments.top)
    took = time.perf_counter() - started
    return _with_visits(planted, model, seen), found, took


def _with_visits(planted: list[Planted], model: LearnedModel, routes: Demonstrations) -> list[Planted]:
    """The same, with what was travelled there and what the learned reward expects on the learner's map."""
    network = model.network
    batch = routes.batch("arrival")
    _, expected = Planner(network.turns, model.config.planner).total_value(model.reward, batch)
    result = []
    for error in planted:
        edges = network.graph.edge_positions(np.array(error.edges, np.int64))
        turns = np.flatnonzero(np.isin(network.turns.to_edge, edges))
        if error.kind == "ban":
            turns = network.turns.find(edges[:1], edges[1:])
        visits = float(batch.observed[turns].sum()), float(expected[turns].sum())
        result.append(dataclasses.replace(error, observed=visits[0], by_the_map=visits[1]))
    return result


def without_turns(turns: TurnGraph, banned: Ints) -> TurnGraph:
    """A graph of turns without some of them; edges stay what they are."""
    keep = np.ones(turns.num_turns, bool)
    keep[banned] = False
    counts = np.bincount(turns.from_edge[keep], minlength=turns.num_edges)
    columns = {name: getattr(turns, name)[keep] for name in ("to_edge", "is_left", "is_right", "is_uturn")}
    return TurnGraph(
        first_out=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        angle_deg=None if turns.angle_deg is None else turns.angle_deg[keep],
        **columns,
    )


def carried_over(routes: Demonstrations, network: RoadNetwork) -> Demonstrations:
    """The same routes on another map of the same edges."""
    rows = [routes.route(row) for row in range(len(routes))]
    result = demonstrations_from_edges(network, rows, list(routes.route_id), source=routes.source, is_simulated=True)
    assert not result.skipped, "the learner's map permits all that the true one does"
    return result


def _config() -> Config:
    document = {"reward": {"features": list(TASTE)}, "baselines": {"budget": 0}}
    return parse_config(document, where="benchmarks/map_errors.py")


def _simulated(network: RoadNetwork, arguments: argparse.Namespace, seed: int) -> Demonstrations:
    draw = {"num_destinations": arguments.destinations, "min_km": 1.0, "max_km": 6.0}
    return simulate(network, arguments.routes, taste=TASTE, seed=seed, **draw).for_ending("arrival")


def _other_direction(roads: RoadNetwork) -> Ints:
    """int32[E], -1 where there is none: the edge between the same nodes backwards, of the same length."""
    graph, length = roads.graph, np.rint(10 * roads.edge_length_m()).astype(np.int64).tolist()
    ends = list(zip(graph.tail.tolist(), graph.head.tolist(), length, strict=True))
    places = {key: edge for edge, key in enumerate(ends)}
    return np.array([places.get((head, tail, metres), -1) for tail, head, metres in ends], np.int32)


def _private(roads: RoadNetwork, other: Ints, generator: np.random.Generator) -> Bools:
    is_private = generator.random(roads.graph.num_edges) < _SHARE_PRIVATE
    has_other = other >= 0
    first = np.minimum(np.arange(len(other)), np.where(has_other, other, len(other)))
    return is_private[first]


def _with_private(roads: RoadNetwork, is_private: Bools) -> RoadNetwork:
    extra = {**roads.attributes.extra, "is_private": is_private.astype(np.float64)}
    attributes = dataclasses.replace(roads.attributes, extra=extra)
    return make_network(roads.graph, attributes, roads.turns, roads.shapes, roads.report)


def _travelled(network: RoadNetwork, arguments: argparse.Namespace, seed: int) -> tuple[Ints, Ints, dict[str, Floats]]:
    """(edges, turns) that an error can be planted at, and the expected visits of all."""
    routes = _simulated(network, arguments, seed + 1000)  # the trips that are to come
    features = make_features(network, tuple(TASTE))
    reward = features.reward(np.array(list(TASTE.values())))
    observed = routes.batch("arrival").observed
    onto = np.bincount(network.turns.to_edge, observed, minlength=network.graph.num_edges)
    enough = arguments.visits / 2
    candidates = Candidates(
        np.flatnonzero(onto >= enough).astype(np.int32),
        np.flatnonzero(observed >= enough).astype(np.int32),
        network.turns.to_edge,
        network.graph.num_edges,
    )
    visits = Visits(routes, Config().planner, candidates)
    visits.solve(reward, np.arange(len(visits.weight)))
    expected = np.asarray(visits.probability.T @ visits.weight).reshape(-1)
    certain = np.asarray(visits.probability.multiply(visits.probability).T @ visits.weight).reshape(-1)
    is_good = (expected >= arguments.visits) & (certain <= _MOST_CERTAIN * expected)
    of_edge, of_turn = np.zeros(network.graph.num_edges), np.zeros(network.turns.num_turns)
    of_edge[candidates.edges], of_turn[candidates.turns] = np.split(expected, [len(candidates.edges)])
    good_edges, good_turns = np.split(is_good, [len(candidates.edges)])
    chosen = candidates.edges[good_edges], candidates.turns[good_turns]
    return *chosen, {"edge": of_edge, "turn": of_turn}


def _draw_roads(edges: Ints, other: Ints, count: int, generator: np.random.Generator) -> Ints:
    drawn = generator.permutation(edges)
    first = np.where(other[drawn] >= 0, np.minimum(drawn, other[drawn]), drawn)
    return drawn[np.sort(np.unique(first, return_index=True)[1])][:count]


def _draw_bans(turns: TurnGraph, candidates: Ints, count: int, generator: np.random.Generator) -> Ints:
    num_main = int(turns.is_main.sum())
    moves = np.bincount(turns.from_edge[~turns.is_uturn], minlength=turns.num_edges)
    chosen: list[int] = []
    for turn in generator.permutation(candidates).tolist():
        if moves[turns.from_edge[turn]] < 2 or turns.from_edge[turn] in turns.from_edge[chosen]:
            continue
        if without_turns(turns, np.array([*chosen, turn])).is_main.sum() == num_main:
            chosen.append(turn)
        if len(chosen) == count:
            break
    return np.array(chosen, np.int32)


def _tag_error(roads: RoadNetwork, edge: int, other: Ints, visits: dict[str, Floats]) -> Planted:
    both = [int(edge), *([int(other[edge])] if other[edge] >= 0 else [])]
    ids = tuple(int(roads.graph.edge_id[one]) for one in both)
    return Planted("tag", ids, float(visits["edge"][both].sum()))


def _ban_error(roads: RoadNetwork, turn: int, visits: dict[str, Floats]) -> Planted:
    pair = int(roads.turns.from_edge[turn]), int(roads.turns.to_edge[turn])
    return Planted("ban", tuple(int(roads.graph.edge_id[one]) for one in pair), float(visits["turn"][turn]))


if __name__ == "__main__":
    main()
