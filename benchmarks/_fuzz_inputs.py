"""Sound inputs to begin from: small, one or more for every reader, the same in every run."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from _fuzz_containers import parquet_bytes
from _fuzz_mutations import Files
from trodden import read_roads, save_model, save_network
from trodden.core.config import parse_config
from trodden.graphs.costs import fastest_costs, shortest_costs
from trodden.graphs.export import save_graphml, to_networkx
from trodden.graphs.road_graph import RoadNetwork
from trodden.irl.demonstrations import demonstrations_from_edges
from trodden.irl.model import Coefficient, LearnedModel
from trodden.irl.trace_columns import iso_times

SIDE = 4
SOUTH, WEST, STEP = 41.0, -8.0, 0.001


def make_inputs() -> dict[str, list[Files]]:
    """For each reader some inputs: files by their names."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "city.osm").write_text(_city(), encoding="utf-8")
        network = read_roads(folder / "city.osm")
        routes = _routes(network)
        xml = (folder / "city.osm").read_bytes()
        inputs = {
            "osm": [{"in.osm": xml}, {"in.osm.gz": gzip.compress(xml, mtime=0)}, {"in.osm.bz2": bz2.compress(xml)}],
            "pbf": [{"in.osm.pbf": _pbf(folder / "city.osm", folder / "city.osm.pbf")}],
            "graphml": [{"in.graphml": _graphml(network, folder / "city.graphml")}],
            "links": [_links(with_all=True), _links(with_all=False)],
            **_route_files(network, routes),
            **_trace_files(),
            "config": [{"in.toml": _config(full).encode()} for full in (True, False)],
        }
        save_network(network, folder / "network")
        (folder / "links").mkdir()
        for name, content in _links(with_all=True).items():
            (folder / "links" / name).write_bytes(content)
        save_network(read_roads(folder / "links"), folder / "other")
        save_model(_model(network), folder / "model")
        inputs["network"] = [{}, {}]
        inputs["model"] = [{}]
        for files, name in zip((*inputs["network"], *inputs["model"]), ("network", "other", "model"), strict=True):
            files |= {str(f.relative_to(folder / name)): f.read_bytes() for f in _files(folder / name)}
        return inputs


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _city() -> str:
    """A grid of streets with tags of all kinds, two restrictions and a way that nobody may drive."""
    random = np.random.default_rng(7)
    items = ["<?xml version='1.0' encoding='UTF-8'?>", '<osm version="0.6" generator="fuzz">']
    for row in range(SIDE):
        for column in range(SIDE):
            north, east = random.uniform(-1e-4, 1e-4, 2)
            latitude, longitude = SOUTH + row * STEP + north, WEST + column * STEP + east
            items.append(f'<node id="{_node(row, column)}" version="1" lat="{latitude:.7f}" lon="{longitude:.7f}"/>')

    def way(number: int, refs: list[int], **tags: str) -> None:
        inner = "".join(f'<nd ref="{ref}"/>' for ref in refs)
        inner += "".join(f"<tag k={quoteattr(key)} v={quoteattr(value)}/>" for key, value in tags.items())
        items.append(f'<way id="{number}" version="1">{inner}</way>')

    for row in range(SIDE):
        tags = {"highway": "residential"} if row % 2 else {"highway": "secondary", "maxspeed": "60", "lanes": "2"}
        way(1000 + row, [_node(row, column) for column in range(SIDE)], name=f"Rua {row}", surface="asphalt", **tags)
    for column in range(SIDE):
        tags = {"oneway": "yes"} if column == 2 else {"bridge": "yes", "maxspeed": "30 mph"} if column == 3 else {}
        way(2000 + column, [_node(row, column) for row in range(SIDE)], highway="tertiary", **tags)
    way(3000, [_node(0, 0), _node(1, 1)], highway="footway")
    for number, (start, via, to) in enumerate(((1001, _node(1, 1), 2001), (2000, _node(2, 0), 1002))):
        members = f'<member type="way" ref="{start}" role="from"/><member type="node" ref="{via}" role="via"/>'
        members += f'<member type="way" ref="{to}" role="to"/>'
        kind = "no_left_turn" if number else "only_straight_on"
        tags = f'<tag k="type" v="restriction"/><tag k="restriction" v="{kind}"/>'
        items.append(f'<relation id="{5000 + number}" version="1">{members}{tags}</relation>')
    return "\n".join([*items, "</osm>", ""])


def _node(row: int, column: int) -> int:
    return 1 + row * SIDE + column


def _pbf(source: Path, target: Path) -> bytes:
    import osmium

    with osmium.SimpleWriter(str(target)) as writer:
        for item in osmium.FileProcessor(str(source)):
            writer.add(item)
    return target.read_bytes()


def _graphml(network: RoadNetwork, target: Path) -> bytes:
    save_graphml(to_networkx(network), target)
    return target.read_bytes()


def _csv(header: list[str], rows: list[list[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue().encode()


def _links(*, with_all: bool) -> Files:
    """A network folder: with every column there is, turns and nodes, or only with what must be there."""
    random = np.random.default_rng(3)
    pairs = [(_node(r, c), _node(r, c + 1)) for r in range(SIDE) for c in range(SIDE - 1)]
    pairs += [(_node(r, c), _node(r + 1, c)) for r in range(SIDE - 1) for c in range(SIDE)]
    links = [(100 + k, *pair) for k, pair in enumerate([*pairs, *((b, a) for a, b in pairs)])]
    if not with_all:
        return {"links.csv": _csv(["link_id", "from_node", "to_node"], [list(link) for link in links])}
    rows = [
        [
            *(*link, round(random.uniform(50, 250), 1), 50 if k % 3 else "", ("residential", "primary")[k % 2]),
            *(1 + k % 3, f"Rua {k % 5}", "yes" if k % 7 == 0 else "no", round(random.normal(), 3)),
            "a,b" if k % 4 else "plain",
        ]
        for k, link in enumerate(links)
    ]
    names = ["link_id", "from_node", "to_node", "length_m", "maxspeed_kmh", "road_class", "lanes", "name", "toll"]
    turns = [
        [a[0], b[0], int(k % 3 == 0), 0, int(a[1] == b[2]), round((k % 7 - 3) * 0.5, 2), k % 5]
        for k, (a, b) in enumerate((a, b) for a in links for b in links if a[2] == b[1])
    ]
    nodes = [[_node(r, c), SOUTH + r * STEP, WEST + c * STEP] for r in range(SIDE) for c in range(SIDE)]
    return {
        "links.csv": _csv([*names, "slope", "note"], rows),
        "turns.csv": _csv(
            ["from_link", "to_link", "is_left", "is_right", "is_uturn", "turn_angle_rad", "wait"], turns[:90]
        ),
        "nodes.csv": _csv(["node_id", "lat", "lon"], nodes),
    }


def _routes(network: RoadNetwork) -> list[list[int]]:
    """Walks of two to nine edges."""
    random = np.random.default_rng(5)
    turns, routes = network.turns, []
    while len(routes) < 24:
        edge = int(random.integers(network.graph.num_edges))
        route = [edge]
        for _ in range(int(random.integers(1, 9))):
            onto = turns.to_edge[turns.first_out[edge] : turns.first_out[edge + 1]]
            if len(onto) == 0:
                break
            edge = int(random.choice(onto))
            route.append(edge)
        if len(route) > 1 and route.count(route[-1]) == 1:
            routes.append(route)
    return routes


def _route_files(network: RoadNetwork, routes: list[list[int]]) -> dict[str, list[Files]]:
    names, count = [f"r{k}" for k in range(len(routes))], len(routes)
    demonstrations = demonstrations_from_edges(
        network,
        [np.array(route, np.int32) for route in routes],
        names,
        weight=1.0 + np.arange(count) % 3,
        departure=iso_times(1.7e9 + 60.0 * np.arange(count)),
        traveller=[f"t{k % 4}" for k in range(count)],
    )
    graph, made = network.graph, {}
    with tempfile.TemporaryDirectory() as place:
        for suffix in ("csv", "parquet"):
            path = Path(place) / f"routes.{suffix}"
            demonstrations.write(path)
            made[suffix] = path.read_bytes()
    ids = [" ".join(str(graph.edge_id[e]) for e in route) for route in routes]
    nodes = [
        " ".join(map(str, [graph.node_id[graph.tail[route[0]]], *(graph.node_id[graph.head[e]] for e in route)]))
        for route in routes
    ]
    import pyarrow as pa

    lists = pa.table({"route_id": names, "links": [[int(graph.edge_id[e]) for e in route] for route in routes]})
    return {
        "routes-csv": [
            {"in.csv": made["csv"]},
            {"in.csv": _csv(["links"], [[text] for text in ids])},
            {
                "in.csv": _csv(
                    ["route_id", "nodes", "weight"], [[*pair, 1.5] for pair in zip(names, nodes, strict=True)]
                )
            },
        ],
        "routes-parquet": [{"in.parquet": made["parquet"]}, {"in.parquet": parquet_bytes(lists)}],
    }


def _trace_files() -> dict[str, list[Files]]:
    """Three traces of twelve points along the streets of the city, in every format."""
    import pyarrow as pa

    random = np.random.default_rng(11)
    trace, k = np.repeat(np.arange(3), 12), np.tile(np.arange(12), 3)
    latitude = SOUTH + trace * STEP + random.normal(0, 2e-5, 36)
    longitude = WEST + k * STEP / 4 + random.normal(0, 2e-5, 36)
    time = 1.7e9 + 1000.0 * trace + 10.0 * k
    iso = [str(text) for text in iso_times(time)]
    points = [[f"{a:.6f}", f"{b:.6f}"] for a, b in zip(latitude, longitude, strict=True)]
    rows = [[f"t{i}", t, *point, 90, 30.5, "ann"] for i, t, point in zip(trace, iso, points, strict=True)]
    plain = [[*point, int(t)] for t, point in zip(time, points, strict=True)]
    moments = pa.array((time * 1000).astype(np.int64)).cast(pa.timestamp("ms", "UTC"))
    table = pa.table(
        {"trace_id": [f"t{i}" for i in trace], "time": moments, "latitude": latitude, "longitude": longitude}
    )
    speeds = pa.table(
        {"id": trace, "t": time, "lat": latitude, "lon": longitude, "speed": k * 1.0, "heading": k * 30.0}
    )
    return {
        "traces-csv": [
            {"in.csv": _csv(["trace_id", "time", "latitude", "longitude", "heading", "speed_kmh", "traveller"], rows)},
            {"in.csv": _csv(["lat", "lon", "timestamp"], plain)},
            {"in.csv": _csv(["id", "time", "y", "x"], [row[:4] for row in rows]).replace(b",", b";")},
        ],
        "traces-parquet": [{"in.parquet": parquet_bytes(table)}, {"in.parquet": parquet_bytes(speeds)}],
        "gpx": [{"in.gpx": _gpx(trace, iso, points)}],
        "geojson": [{"in.geojson": _lines(trace, iso, points)}, {"in.geojson": _places(trace, iso, points)}],
    }


def _gpx(trace: Any, iso: list[str], points: list[list[str]]) -> bytes:
    text = '<?xml version="1.0" encoding="UTF-8"?>\n<gpx version="1.1" creator="fuzz"'
    text += ' xmlns="http://www.topografix.com/GPX/1/1"><trk><name>a</name>\n'
    for number in range(3):
        text += "<trkseg>"
        for k in np.flatnonzero(trace == number).tolist():
            extra = "<extensions><speed>8.5</speed><course>90</course></extensions>" if k % 5 == 0 else ""
            text += (
                f'<trkpt lat="{points[k][0]}" lon="{points[k][1]}"><ele>1</ele><time>{iso[k]}</time>{extra}</trkpt>\n'
            )
        text += "</trkseg>\n"
    return (text + "</trk></gpx>\n").encode()


def _lines(trace: Any, iso: list[str], points: list[list[str]]) -> bytes:
    features = []
    for number in range(3):
        rows = np.flatnonzero(trace == number).tolist()
        line = [[float(points[k][1]), float(points[k][0])] for k in rows]
        moments = [iso[k] for k in rows]
        half = {"type": "MultiLineString", "coordinates": [line[:6], line[6:]]}
        geometry = half if number == 2 else {"type": "LineString", "coordinates": line}
        times = [moments[:6], moments[6:]] if number == 2 else moments
        features.append(
            {"type": "Feature", "properties": {"id": f"t{number}", "coordTimes": times}, "geometry": geometry}
        )
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def _places(trace: Any, iso: list[str], points: list[list[str]]) -> bytes:
    features = [
        {
            "type": "Feature",
            "properties": {"trip_id": int(trace[k]), "time": iso[k], "speed": 30, "traveller": "ann"},
            "geometry": {"type": "Point", "coordinates": [float(points[k][1]), float(points[k][0])]},
        }
        for k in range(36)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def _config(is_full: bool) -> str:
    if not is_full:
        return '[reward]\nfeatures = ["length_km", "constant"]\n\n[planner]\npreset = "rhip"\n'
    return parse_config(
        {"reward": {"features": ["length_km"]}, "regions": {"count": 2, "penalty": 3.5}}, where="fuzz"
    ).to_toml()


def _model(network: RoadNetwork) -> LearnedModel:
    """A model that nobody trained: it costs what time costs."""
    cost = fastest_costs(network)[0]
    return LearnedModel(
        network=network,
        config=parse_config({"reward": {"features": ["travel_time_min"]}}, where="fuzz"),
        coefficients=(Coefficient("travel_time_min", -1.0, 0.1),),
        turn_cost=cost,
        entry_cost=np.full(network.graph.num_edges, 1.0),
        baseline_costs={"fastest": cost, "shortest": shortest_costs(network)[0]},
        training_pairs=np.arange(3),
        summary={"num_routes": 24},
        is_simulated=True,
    )
