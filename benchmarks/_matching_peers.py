"""Run by benchmarks/matching.py in an environment that has a peer: matches given traces. Imports nothing of ours.

Arguments: the peer, an .npz with a map, and any number of .npz with traces. Writes, beside each of these, the edges of
each trace's route one after the other and the CPU seconds taken by all of them, map and traces already being in the
peer's own form.
"""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from itertools import pairwise

import numpy as np


def leuven(given, sets):
    """Leuvenmapmatching with the settings its documentation gives for such data, and the true noise."""
    from leuvenmapmatching.map.inmem import InMemMap
    from leuvenmapmatching.matcher.distance import DistanceMatcher

    logging.getLogger("be.kuleuven.cs.dtai.mapmatching").setLevel(logging.ERROR)
    scale = 111_195.0 * np.array([1.0, math.cos(math.radians(given["latitude"].mean()))])
    first, node = given["first_point"], given["point_node"]
    places = np.stack([given["latitude"], given["longitude"]], axis=1) * scale  # metres: faster than degrees for it
    city = InMemMap("city", use_latlon=False, use_rtree=True, index_edges=False)
    for position in np.unique(node, return_index=True)[1].tolist():
        city.add_node(int(node[position]), tuple(places[position]))
    edge_of = {}
    for edge, (begin, end) in enumerate(pairwise(first.tolist())):
        for one, other in pairwise(node[begin:end].tolist()):
            city.add_edge(one, other)
            edge_of[one, other] = edge
    for one in sets:
        noise, traces = float(one["noise_m"]), []
        for begin, end in pairwise(one["first_trace"].tolist()):
            points = np.stack([one["latitude"][begin:end], one["longitude"][begin:end]], axis=1) * scale
            traces.append([tuple(point) for point in points.tolist()])
        found, started = [], time.process_time()
        for path in traces:
            edges, rest = [], path
            while len(rest) > 1:  # where it gives up, it is asked to go on behind that point, as it suggests
                matcher = DistanceMatcher(
                    city, max_dist=max(100.0, 4 * noise), max_dist_init=max(50.0, 4 * noise), min_prob_norm=0.001,
                    non_emitting_length_factor=0.75, obs_noise=noise, obs_noise_ne=1.5 * noise, dist_noise=50.0,
                    non_emitting_states=True, max_lattice_width=5,
                )  # fmt: skip
                _, last = matcher.match(rest)
                nodes = matcher.path_pred_onlynodes if last > 0 else []
                edges += [edge_of[pair] for pair in pairwise(nodes) if pair in edge_of]
                rest = rest[last + 1 :]
            found.append([edge for k, edge in enumerate(edges) if k == 0 or edge != edges[k - 1]])
        yield found, time.process_time() - started


def mappymatch(given, sets):
    """Mappymatch's LCSS matcher on its igraph map, its faster one."""
    import networkx as nx
    import pandas as pd
    from mappymatch.constructs.trace import Trace
    from mappymatch.maps.igraph.igraph_map import IGraphMap
    from mappymatch.matchers.lcss.lcss import LCSSMatcher
    from mappymatch.utils.crs import LATLON_CRS, XY_CRS
    from pyproj import Transformer
    from shapely.geometry import LineString

    east, north = Transformer.from_crs(LATLON_CRS, XY_CRS, always_xy=True).transform(
        given["longitude"], given["latitude"]
    )
    graph = nx.MultiDiGraph(crs=XY_CRS, distance_weight="kilometers", time_weight="travel_time")
    graph.graph["geometry_key"] = "geometry"
    for edge, (begin, end) in enumerate(pairwise(given["first_point"].tolist())):
        graph.add_edge(
            int(given["tail"][edge]), int(given["head"][edge]), key=edge,
            geometry=LineString(np.stack([east[begin:end], north[begin:end]], axis=1)),
            kilometers=float(given["length_m"][edge]) / 1000, travel_time=float(given["travel_time_s"][edge]),
            metadata={},
        )  # fmt: skip
    stretch = 1 / math.cos(math.radians(given["latitude"].mean()))  # its metres are those of Mercator
    city = IGraphMap.from_nx_graph(graph)
    for one in sets:
        matcher = LCSSMatcher(city, distance_epsilon=max(50.0, 3 * float(one["noise_m"]) * stretch))
        traces = []
        for begin, end in pairwise(one["first_trace"].tolist()):
            places = {"latitude": one["latitude"][begin:end], "longitude": one["longitude"][begin:end]}
            traces.append(Trace.from_dataframe(pd.DataFrame(places)))
        found, started = [], time.process_time()
        for trace in traces:
            try:
                path = matcher.match_trace(trace).path or []
            except Exception as error:
                print(f"mappymatch: {type(error).__name__}: {error}", file=sys.stderr)
                path = []
            found.append([int(road.road_id.key) for road in path])
        yield found, time.process_time() - started


def main() -> None:
    warnings.simplefilter("ignore")
    given = dict(np.load(sys.argv[2], allow_pickle=False))
    sets = [dict(np.load(path, allow_pickle=False)) for path in sys.argv[3:]]
    answers = {"leuvenmapmatching": leuven, "mappymatch": mappymatch}[sys.argv[1]](given, sets)
    for path, (found, seconds) in zip(sys.argv[3:], answers, strict=True):
        counts = np.array([len(one) for one in found], np.int64)
        edges = np.array([edge for one in found for edge in one], np.int64)
        np.savez(path + ".answer.npz", counts=counts, edges=edges, seconds=seconds)


if __name__ == "__main__":
    main()
