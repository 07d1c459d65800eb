"""Reading OSM extracts: this package beside osmnx.

What is timed
    ours    `read_roads(extract, join=...)`: from the file to the finished network, turns included.
    osmnx   `graph_from_xml(file, retain_all=True, simplify=True)`: from an XML file to the simplified graph, no turns.

osmnx reads only XML and filters no ways, so it is given, beforehand and untimed, an XML file that osmium wrote: the
ways that `skip_reason` keeps, and their nodes; a way that refers to missing nodes, which osmnx refuses, gets only the
nodes that are there. Every read runs in its own process; peak memory is that process's `ru_maxrss`, imports included.

Prints a table, checks it against the figures published for these extracts, and a JSON object as its last line.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DEFAULT_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
FILES = {
    "porto": "porto.osm.pbf",
    "heidelberg": "heidelberg.osm.pbf",
    "portland": "portland.osm.pbf",
    "liechtenstein": "liechtenstein.osm.pbf",
    "krems": "krems.osm.gz",
}
PUBLISHED = {
    "porto": (50_841, 122_887),
    "heidelberg": (5_553, 13_054),
    "portland": (3_883, 10_440),
    "liechtenstein": (1_777, 4_199),
    "krems": (354, 725),
}
"""(nodes, directed edges) after joining everything: osmnx 2.1.1's `simplify_graph` on a drive-filtered graph."""
TOLERANCE = 0.005
MOST_MB, LEAST_RATIO = 300, 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder that holds osm/ (default: %(default)s)")
    parser.add_argument("--extracts", default=",".join(FILES), help="comma-separated (default: all five)")
    parser.add_argument("--join", default="all", choices=["attributes", "all", "none"], help="default: %(default)s")
    parser.add_argument("--no-osmnx", action="store_true", help="leave osmnx out")
    parser.add_argument("--child", choices=["ours", "osmnx", "filter"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--target", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(run_as_child(arguments)))
        return 0
    names = [name.strip() for name in arguments.extracts.split(",")]
    unknown = [name for name in names if name not in FILES]
    if unknown:
        parser.error(f"unknown extract {unknown[0]}; choose from {', '.join(FILES)}")
    rows = {name: compare(name, arguments) for name in names}
    good = check(rows, arguments.join)
    print(json.dumps(rows))
    return 0 if good else 1


def run_as_child(arguments: argparse.Namespace) -> dict[str, float | int]:
    if arguments.child == "filter":
        write_driven(arguments.file, Path(arguments.target))
        return {}
    return read_ours(arguments.file, arguments.join) if arguments.child == "ours" else read_osmnx(arguments.file)


def compare(name: str, arguments: argparse.Namespace) -> dict[str, float | int | None]:
    path = arguments.data / "osm" / FILES[name]
    row = run_child("ours", path, arguments.join)
    row |= {"osmnx_seconds": None, "osmnx_peak_mb": None, "osmnx_nodes": None, "osmnx_edges": None}
    if not arguments.no_osmnx:
        with tempfile.TemporaryDirectory() as scratch:
            filtered = Path(scratch) / f"{name}.osm"
            run_child("filter", path, str(filtered))  # in a child too: a child's peak starts at its parent's size
            row |= {f"osmnx_{key}": value for key, value in run_child("osmnx", filtered, arguments.join).items()}
    print(f"{name:14s}" + "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def run_child(kind: str, path: Path, option: str) -> dict[str, float | int | None]:
    command = [sys.executable, __file__, "--child", kind, "--file", str(path)]
    command += ["--target" if kind == "filter" else "--join", option]
    # Not from the repository's root: there a folder of the package could hide an installed module.
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tempfile.gettempdir())
    if done.returncode:
        raise SystemExit(f"{kind} failed on {path}:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def read_ours(path: Path, join: str) -> dict[str, float | int]:
    import osmium  # noqa: F401  (imported lazily by the reader; the clock starts after imports, as for osmnx)
    from trodden.graphs.reading import read_roads

    begin = time.perf_counter()
    network = read_roads(path, join=join)
    return measured(network.graph.num_nodes, network.graph.num_edges, begin)


def read_osmnx(path: Path) -> dict[str, float | int]:
    import osmnx

    begin = time.perf_counter()
    graph = osmnx.graph_from_xml(path, retain_all=True, simplify=True)
    return measured(len(graph), graph.number_of_edges(), begin)


def measured(nodes: int, edges: int, begin: float) -> dict[str, float | int]:
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    return {"nodes": nodes, "edges": edges, "seconds": round(seconds, 2), "peak_mb": round(peak)}


def write_driven(source: Path, target: Path) -> None:
    """The driven ways of an extract and their nodes, as the XML that osmnx reads."""
    import osmium
    from osmium.osm import mutable
    from trodden.graphs.attributes import skip_reason

    ways = [
        mutable.Way(id=way.id, version=1, nodes=[node.ref for node in way.nodes], tags=dict(way.tags))
        for way in osmium.FileProcessor(str(source), osmium.osm.WAY)
        if skip_reason(dict(way.tags)) is None
    ]
    wanted = {ref for way in ways for ref in way.nodes}
    with osmium.SimpleWriter(str(target)) as writer:
        found = set()
        for node in osmium.FileProcessor(str(source), osmium.osm.NODE):
            if node.id in wanted:
                found.add(node.id)
                writer.add_node(mutable.Node(id=node.id, version=1, location=node.location))
        for way in ways:
            nodes = [ref for ref in way.nodes if ref in found]
            if len(nodes) > 1:
                way.nodes = nodes
                writer.add_way(way)


def check(rows: dict[str, dict[str, float | int | None]], join: str) -> bool:
    good = True
    for name, row in rows.items():
        if join == "all":
            nodes, edges = PUBLISHED[name]
            off = abs((row["edges"] or 0) / edges - 1)
            good &= off <= TOLERANCE
            verdict = "ok" if off <= TOLERANCE else "FAILED"
            print(f"{name}: {row['edges']} edges, published {edges} ({100 * off:.2f} % off, nodes {nodes}): {verdict}")
    porto = rows.get("porto")
    if porto is not None:
        fits = (porto["peak_mb"] or 0) <= MOST_MB
        good &= fits
        print(f"porto: peak {porto['peak_mb']} MB, limit {MOST_MB} MB: {'ok' if fits else 'FAILED'}")
        if porto["osmnx_seconds"]:
            ratio = porto["osmnx_seconds"] / (porto["seconds"] or 1)
            good &= ratio >= LEAST_RATIO
            print(f"porto: {ratio:.1f} x osmnx, at least {LEAST_RATIO}: {'ok' if ratio >= LEAST_RATIO else 'FAILED'}")
    return good


if __name__ == "__main__":
    sys.exit(main())
