"""``make demo``: real OSM roads, simulated travellers, a learned reward, and what it is worth, in one screen."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..core.config import parse_config
from ..core.files import write_file
from ..graphs.reading import read_roads
from ..graphs.road_graph import RoadNetwork
from ..graphs.samples import COQUIMBO_CREDIT, HELSINKI_CREDIT, helsinki_path, read_coquimbo
from ..graphs.store import save_network
from ..irl.evaluation import Scores, evaluate
from ..irl.simulation import simulate
from ..routing.formats import write_geojson
from ..routing.router import Router
from .console import describe_model, guarded, progress_bar, say
from .pictures import choose_trip, draw_model, draw_trip
from .regional_run import train_regions_into
from .training_run import train_into

TASTE = {
    "travel_time_min": -2.0,
    "is_left": -0.6,
    "is_right": -0.3,
    "is_uturn": -3.0,
    "class:residential": -0.5,
    "constant": -0.6,
}
"""The stated reward of the simulated travellers: they dislike time, turning, and residential streets."""


@guarded
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for everything that the demo makes")] = Path(
        "out/demo"
    ),
    num_routes: Annotated[int, typer.Option("--num-routes", "-n", min=20, help="simulated trips")] = 2000,
    seed: Annotated[int, typer.Option(help="same seed, same demo")] = 0,
) -> None:
    """Learn from simulated trips on the real roads of La Serena and Coquimbo, Chile."""
    started = time.perf_counter()
    output.mkdir(parents=True, exist_ok=True)
    helsinki = read_roads(helsinki_path())
    say(f"1  Helsinki's extract, read by our own reader: {_sizes(helsinki)}")
    roads = read_coquimbo()
    save_network(roads, output / "network")
    say(f"   La Serena and Coquimbo: {_sizes(roads)}")
    with progress_bar("simulating", None):
        routes = simulate(roads, num_routes, taste=TASTE, seed=seed, num_destinations=50, min_km=0.5, max_km=3.0)
    training, held_out = routes.split_by_route(0.3, seed)
    training.write(output / "train.parquet")
    held_out.write(output / "held_out.parquet")
    say(f"2  {len(routes)} simulated trips, {len(training)} to learn from and {len(held_out)} held out\n")

    config = parse_config({"reward": {"features": list(TASTE)}, "baselines": {"budget": 60}}, where="demo")
    model = train_into(output / "model", roads, training, config)
    say("3  One reward for the whole map, beside the stated one:")
    describe_model(model, stated=TASTE)
    result = evaluate(model, held_out)
    write_file(output / "evaluation.json", (json.dumps(result.to_json(), indent=1) + "\n").encode())
    write_file(output / "evaluation.txt", (result.table() + "\n").encode())
    say("\n4  On the held-out trips:")
    say(result.table())

    four_regions = parse_config({**config.model_dump(), "regions": {"count": 4}}, where="demo")
    regional = train_regions_into(output / "model_regions", roads, training, four_regions, address="local")
    other = evaluate(regional, held_out)
    one, four = result.models["learned"], other.models["learned"]
    say("\n5  Four regions on Ray, each with a reward of its own, merged into one model:")
    say(f"   {regional.summary['num_crossing']} of {len(training)} trips cross a border, and teach on both sides")
    say(f"   penalty on differences between regions, chosen on a part of the trips: {regional.summary['penalty']}")
    say(f"   exact match {_exact(four)}, with one region {_exact(one)}")

    row = choose_trip(model, held_out)
    graph = roads.graph
    ends = held_out.route(row)[[0, -1]]
    router = Router(model)
    found = router.route(*(f"edge:{int(graph.edge_id[edge])}" for edge in ends))
    write_geojson(found, output / "route.geojson")
    across = Router(regional).route(*(f"edge:{int(graph.edge_id[edge])}" for edge in ends))
    say("\n6  A held-out trip that the learned reward gets right and the fastest route does not:")
    say(
        f"   {held_out.route_id[row]}: {len(found.edges)} edges, {found.length_m / 1000:.2f} km, "
        f"log-probability {found.log_probability:.2f}"
    )
    say(f"   the regional model's route shares {np.isin(across.edges, found.edges).mean():.0%} of its edges with it")
    draw_trip(model, held_out, output, route_id=held_out.route_id[row])
    draw_model(model, output)
    say(
        f"\nIn {output}: model, model_regions, network, evaluation.txt, evaluation.json, route.geojson,\n"
        "trip.html, trip.png, network.png"
    )
    say(f"Roads: {HELSINKI_CREDIT}; {COQUIMBO_CREDIT}. Trips: simulated.  {time.perf_counter() - started:.0f} s")


def _sizes(network: RoadNetwork) -> str:
    return f"{network.graph.num_nodes} nodes, {network.graph.num_edges} edges, {network.turns.num_turns} turns"


def _exact(scores: Scores) -> str:
    low, high = scores.exact_interval
    return f"{scores.exact:.4f} [{low:.4f}, {high:.4f}]"


if __name__ == "__main__":
    typer.run(demo)
