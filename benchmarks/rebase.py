"""A model carried to an edited copy of Porto's extract: what of it is still there, and whether routes stay the same.

The copy is a year of *simulated* edits, drawn at random: 3 % of the driven ways split in two (the second half under a
new id), 3 % under another id, 1 % no longer driven, 2 % divided by a new junction with a new street from there, 2 %
with a shape node more, 2 % with another name. The model has the default features and a correction per edge and turn,
learned from *simulated* routes.

- `carried`: of the absolute sum of all corrections whose roads are still driven, what is on the new map (of edges, of
  turns whose junction still has both roads).
- `turns_unchanged`: share of the turns between unchanged edges that cost what they did, to 1e-6 (lengths are float32).
- `routes_unchanged`: of trips whose best route before touches no edit (no edge of it or of a turn beside it changed),
  the share whose best route and cost are what they were. `routes_cheaper`: those that cost less now, by another way.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import osmium
from osmium.osm import mutable
from trodden import Router, fit, read_roads, simulate
from trodden.cli.console import out
from trodden.core.config import parse_config
from trodden.graphs.attributes import skip_reason
from trodden.irl.rebasing import Rebased, rebase
from trodden.irl.rewards.building import reward_of

SHARES = {"split": 0.03, "renumbered": 0.03, "closed": 0.01, "divided": 0.02, "shaped": 0.02, "renamed": 0.02}
TASTE = {"travel_time_min": -1.0, "is_left": -0.3, "constant": -1.3}
FRESH = 1 << 50
"""Ids of what is new count from here."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/porto.osm.pbf")
    parser.add_argument("--routes", type=int, default=3000)
    parser.add_argument("--trips", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    source = arguments.data / "osm" / "porto.osm.pbf"
    with tempfile.TemporaryDirectory() as folder:
        later = Path(folder) / "later.osm.pbf"
        edits = edit(source, later, arguments.seed)
        old = read_roads(source)
        new = read_roads(later, class_speeds_kmh=old.report["class_speeds_kmh"])  # as `trodden rebase` reads it
    routes = simulate(old, arguments.routes, taste=TASTE, seed=arguments.seed, num_destinations=300, max_km=6.0)
    config = parse_config(
        {
            "reward": {"corrections": ["edge", "turn"]},
            "training": {"max_iterations": 20, "validation_share": 0.0},
            "baselines": {"budget": 0},
        },
        where=__file__,
    )
    model = fit(old, routes, config)
    started = time.perf_counter()
    found = rebase(model, new)
    seconds = time.perf_counter() - started
    out.print(f"simulated edits: {edits}", markup=False)
    out.print(found.table(), markup=False)
    change = found.report["cost_change"]
    print(
        json.dumps(
            {
                "edits": edits,
                "seconds": seconds,
                **carried(found, model),
                "turns_unchanged": change["unchanged"] / change["turns"],
                "turns_within_1_percent": change["within_1_percent"] / change["turns"],
                **unchanged_routes(found, model, arguments.trips, arguments.seed),
            }
        )
    )


def edit(source: Path, target: Path, seed: int) -> dict[str, int]:
    """Write the extract with simulated edits; how many of each kind."""
    random, fresh = np.random.default_rng(seed), iter(range(FRESH, FRESH << 1))
    places = {
        node.id: (node.location.lon, node.location.lat) for node in osmium.FileProcessor(str(source)) if node.is_node()
    }
    kinds, shares = list(SHARES), np.cumsum(list(SHARES.values()))
    tally, nodes, ways = dict.fromkeys(kinds, 0), [], []
    for way in osmium.FileProcessor(str(source)):
        if not way.is_way():
            continue
        refs, tags = [node.ref for node in way.nodes], dict(way.tags)
        drawn = random.random()
        kind = kinds[int(np.searchsorted(shares, drawn))] if drawn < shares[-1] else ""
        has_places = all(ref in places for ref in refs)
        if skip_reason(tags) or len(refs) < 3 or not has_places:
            kind = ""
        tally[kind] = tally.get(kind, 0) + 1
        middle = len(refs) // 2
        if kind == "split":
            ways += [(way.id, refs[: middle + 1], tags), (next(fresh), refs[middle:], tags)]
        elif kind == "renumbered":
            ways.append((next(fresh), refs, tags))
        elif kind == "closed":
            ways.append((way.id, refs, {**tags, "highway": "footway"}))
        elif kind in ("divided", "shaped"):
            between = next(fresh)
            (a, b), (c, d) = places[refs[middle - 1]], places[refs[middle]]
            nodes.append((between, ((a + c) / 2, (b + d) / 2)))
            ways.append((way.id, [*refs[:middle], between, *refs[middle:]], tags))
            if kind == "divided":
                end = next(fresh)
                nodes.append((end, ((a + c) / 2 + 0.0004, (b + d) / 2 + 0.0003)))
                ways.append((next(fresh), [between, end], {"highway": "residential"}))
        else:
            ways.append((way.id, refs, {**tags, "name": "Rua Nova"} if kind == "renamed" else tags))
    tally.pop("", None)
    with osmium.SimpleWriter(str(target)) as writer:
        for node in osmium.FileProcessor(str(source)):
            if node.is_node():
                writer.add_node(node)
        for number, place in nodes:
            writer.add_node(mutable.Node(id=number, version=1, location=place))
        for number, refs, tags in sorted(ways):
            writer.add_way(mutable.Way(id=number, version=1, nodes=refs, tags=tags))
        for relation in osmium.FileProcessor(str(source)):
            if relation.is_relation():
                writer.add_relation(relation)
    return tally


def carried(found: Rebased, model: object) -> dict[str, float]:
    """Shares of the corrections whose roads are still driven."""
    reward, members = reward_of(model)
    fresh, moved = reward_of(found.model)
    match, result = found.correspondence, {}
    edge, turn = reward.part("edge"), reward.part("turn")
    value, now = reward.split(members[0]), fresh.split(moved[0])
    kept = match.share_kept[edge.supported]
    result["edges_carried"] = float(np.abs(now["edge"]).sum() / (kept * np.abs(value["edge"])).sum())
    turns = match.old.turns
    ends = turns.from_edge[turn.supported], turns.to_edge[turn.supported]
    still = (match.last_new[ends[0]] >= 0) & (match.first_new[ends[1]] >= 0)
    result["turns_carried"] = float(np.abs(now["turn"]).sum() / np.abs(value["turn"][still]).sum())
    result["edges_kept"] = float(np.average(match.share_kept))
    return result


def unchanged_routes(found: Rebased, model: object, count: int, seed: int) -> dict[str, float]:
    """Trips between unchanged edges, under both models."""
    random, match = np.random.default_rng(seed + 1), found.correspondence
    before, after = Router(model), Router(found.model)
    same = match.same
    is_still = same >= 0
    # A turn beside the route may lead onto what is new: then another route may be better now.
    changed = np.zeros(len(same), bool)
    turns = match.old.turns
    changed[turns.from_edge[~is_still[turns.to_edge]]] = True
    edges = np.flatnonzero(is_still & match.old.turns.is_main)
    pairs = random.choice(edges, (count, 2))
    ids, new_ids = match.old.graph.edge_id, match.new.graph.edge_id
    compared = equal = cheaper = 0
    for a, b in pairs.tolist():
        one = before.route(f"edge:{ids[a]}", f"edge:{ids[b]}")
        if (~is_still[one.edges]).any() or changed[one.edges].any():
            continue
        two = after.route(f"edge:{new_ids[same[a]]}", f"edge:{new_ids[same[b]]}")
        compared += 1
        equal += bool(np.array_equal(two.edges, same[one.edges]) and abs(two.cost - one.cost) <= 1e-6 * one.cost)
        cheaper += two.cost < (1 - 1e-6) * one.cost
    shares = {"routes_unchanged": equal, "routes_cheaper": cheaper}
    return {"routes_compared": compared, **{name: count / max(compared, 1) for name, count in shares.items()}}


if __name__ == "__main__":
    main()
