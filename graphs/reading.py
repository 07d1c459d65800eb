"""`read_roads`: any source of roads to a `RoadNetwork`, and the report of how it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigurationError, EmptyNetworkError, InputFileError
from ..core.folders import MANIFEST, folder_kind
from .assembly import Join, Progress, assemble, check_join
from .barriers import moves_through
from .coverage import format_coverage
from .driving_side import DriveOn, check_drive_on
from .further_columns import Further
from .graphml import SUFFIX, read_graphml
from .memory import format_bytes
from .modes import Mode, check_mode, rules_of
from .moves import UTurns, check_u_turns
from .network_folder import LINKS_FILE, read_network_folder
from .osm import read_osm
from .restrictions import build_turns
from .road_graph import RoadNetwork
from .store import KIND, load_network, make_network
from .user_columns import read_user_table, with_edge_columns
from .via_ways import add_copies, forbidden_sequences

if TYPE_CHECKING:
    import networkx as nx


def read_roads(
    source: str | Path | nx.MultiDiGraph[Any],
    *,
    join: Join = "attributes",
    mode: Mode | None = None,
    u_turns: UTurns | None = None,
    include_service: bool = False,
    class_speeds_kmh: Mapping[str, float] | None = None,
    drive_on: DriveOn = "auto",
    elevation: str | Path | None = None,
    columns: str | Path | None = None,
    is_mapped: bool = False,
    progress: Progress | None = None,
) -> RoadNetwork:
    """Read roads from an OSM file, a network folder or a stored network.

    Parameters
    ----------
    source
        ``.osm.pbf``, ``.osm``, ``.osm.gz``, ``.osm.bz2``; a folder with ``links.csv``; a folder that
        `trodden.graphs.store.save_network` wrote (the options below were settled when it was read, and have no effect);
        ``.graphml`` as osmnx saves it; or a networkx graph as osmnx makes it (`trodden.graphs.from_networkx`).
    join
        OSM only. ``"attributes"`` joins chains of segments where class, speed, lanes, toll, surface and access agree
        and no restriction acts; ``"all"`` wherever osmnx simplifies; ``"none"`` keeps every segment.
    mode
        ``"drive"`` (the default), ``"two_wheeler"``, ``"bike"`` or ``"walk"``: which ways are used, in which direction,
        how fast, and which restrictions and barriers count (docs/sources.md). Of a network folder it says what the
        folder holds, and of a stored network it must be what was stored.
    u_turns
        ``"dead_ends"``: U-turns only where nothing else is left; ``"everywhere"``; ``"never"``. By default as the mode
        has it: everywhere for walkers, else at dead ends. A ``turns.csv`` says itself which moves there are.
    include_service
        OSM only: drive ``highway=service`` too; bicycles and walkers use it in any case.
    class_speeds_kmh
        OSM and graphs: speeds of roads without a limit, by class, in place of the means of this source. An earlier
        reading's stand in its ``report["class_speeds_kmh"]``: then a limit tagged since changes its own road only.
    drive_on
        OSM only: ``"left"``, ``"right"`` or ``"auto"``, by tags and roundabouts (`trodden.graphs.driving_side`).
    elevation
        OSM only: SRTM tiles, for climb and descent in place of ``ele`` tags (`trodden.graphs.elevation`).
    columns
        A table of further columns by OSM way id or edge id (`trodden.graphs.user_columns`), for any source.
    is_mapped
        A stored network only: its arrays stay on disk (`trodden.graphs.store.load_network`).
    progress
        Called with one sentence at the start of each stage.

    Returns
    -------
    RoadNetwork
        Its ``report`` counts, by rule, all that was skipped, split, imputed and banned.

    Raises
    ------
    InputFileError
        Nothing there, none of the three, or a damaged file; says what it looks like and what to do.
    EmptyNetworkError
        Nothing drivable, or a single node.
    StoredFolderError
        A stored network that does not verify.
    ConfigurationError
        An unknown ``join``, ``mode`` or ``u_turns``, or a stored network of another mode.

    Notes
    -----
    Porto's extract (39,000 ways) takes a few seconds, nearly all of it per way; a stored network loads in 0.1 s.
    """
    check_join(join)
    if mode is not None:
        check_mode(mode)
    turning = rules_of(mode or "drive").u_turns if u_turns is None else u_turns
    check_u_turns(turning)
    check_drive_on(drive_on)
    table = None if columns is None else read_user_table(columns)  # a fault in it is found before the long reading
    say = progress or (lambda _: None)
    if not isinstance(source, str | PathLike):
        say("reading the graph")
        network = _read_graph(source, mode, class_speeds_kmh, u_turns=turning)
    elif str(source).lower().endswith(SUFFIX):
        say("reading GraphML")
        network = _read_graph(
            read_graphml(Path(source)), mode, class_speeds_kmh, u_turns=turning, source=Path(source).name
        )
    elif Path(source).is_dir():
        network = _read_folder(Path(source), mode, u_turns=turning, is_mapped=is_mapped, say=say)
    else:
        network = _read_osm_network(
            Path(source),
            class_speeds_kmh,
            Further(drive_on, None if elevation is None else Path(elevation), table),
            mode=mode or "drive",
            join=join,
            u_turns=turning,
            include_service=include_service,
            say=say,
        )
    return network if table is None or "columns" in network.report else with_edge_columns(network, table)


def _read_graph(
    graph: Any,
    mode: Mode | None,
    class_speeds_kmh: Mapping[str, float] | None,
    *,
    u_turns: UTurns,
    source: str = "networkx graph",
) -> RoadNetwork:
    from .from_networkx import read_networkx

    if not (hasattr(graph, "is_directed") and hasattr(graph, "edges")):
        problem = f"is a {type(graph).__name__}"
        raise InputFileError(path="source", problem=problem, remedy="Give a path, or a directed networkx graph")
    return read_networkx(graph, mode=mode or "drive", u_turns=u_turns, class_speeds_kmh=class_speeds_kmh, source=source)


def _read_folder(path: Path, mode: Mode | None, *, u_turns: UTurns, is_mapped: bool, say: Progress) -> RoadNetwork:
    if (path / MANIFEST).exists():
        if folder_kind(path) in (KIND, None):
            say("loading the stored network")
            return _of_mode(load_network(path, is_mapped=is_mapped), mode, path)
        raise InputFileError(
            path=path, problem=f"is a stored {folder_kind(path)}, not a network", remedy="Give the path of a network"
        )
    if not (path / LINKS_FILE).is_file():
        raise InputFileError(
            path=path,
            problem=f"is a folder without {LINKS_FILE}, and not a stored network",
            remedy="Give an .osm.pbf file, a folder with links.csv, or a folder that `trodden` wrote",
        )
    say("reading links.csv and turns.csv")
    network = read_network_folder(path, u_turns=u_turns)
    return network if mode is None else replace(network, report={**network.report, "mode": mode})


def _of_mode(network: RoadNetwork, mode: Mode | None, path: Path) -> RoadNetwork:
    if mode is not None and mode != network.mode:
        problem = (
            f"{path} is a stored network of mode {network.mode}, not {mode}; read its source again with mode={mode}"
        )
        raise ConfigurationError(where="mode", problem=problem)
    return network


def _read_osm_network(
    path: Path,
    class_speeds_kmh: Mapping[str, float] | None,
    further: Further,
    *,
    mode: Mode,
    join: Join,
    u_turns: UTurns,
    include_service: bool,
    say: Progress,
) -> RoadNetwork:
    say("reading ways and nodes")
    roads = read_osm(path, include_service=include_service, mode=mode)
    say("joining segments to edges")
    joined = assemble(roads, join=join, class_speeds_kmh=class_speeds_kmh, further=further)
    if joined.graph.num_edges == 0:
        num_ways, num_nodes = len(roads.ways.way_id), len(roads.node_id)
        raise EmptyNetworkError(
            path=path,
            problem=f"holds {num_ways} ways to use, with {num_nodes} of their nodes, but no two in a row",
            remedy="Make the extract with complete ways, as osmium extract does by default",
        )
    say("building turns")
    forbidden, over_ways = forbidden_sequences(joined.graph, joined.shapes, roads.way_restrictions)
    made = add_copies(joined.graph, joined.attributes, joined.shapes, forbidden)
    blocked = moves_through(made.graph, roads.blocked)
    turns, tally = build_turns(
        made.graph,
        made.shapes,
        roads.restrictions,
        u_turns=u_turns,
        also_banned=lambda moves: made.ban(moves) | blocked(moves),
    )
    if turns.num_turns == 0:
        raise EmptyNetworkError(
            path=path,
            problem=f"holds {joined.graph.num_edges} edges, but no move from one to another",
            remedy="Choose a larger extract, or u_turns='dead_ends'",
        )
    restrictions = {**roads.report["restrictions"], **{key: tally.pop(key) for key in _RESTRICTION_KEYS}}
    restrictions["via_ways"] = {**over_ways, "edges_copied": int(made.is_copy.sum())}
    origin = {"source": path.name, "kind": "osm", "mode": mode}
    report = {**origin, **_told(joined.report, mode), "restrictions": restrictions, "turns": tally}
    return make_network(made.graph, made.attributes, turns, made.shapes, report)


def _told(report: dict[str, Any], mode: Mode) -> dict[str, Any]:
    """A report without imputed speeds where the mode has a rule for every way: ``ways: speed by`` says which."""
    unsaid = {"speeds", "class_speeds_kmh"} if rules_of(mode).all_speeds_by_rule else set()
    return {key: value for key, value in report.items() if key not in unsaid}


_RESTRICTION_KEYS = ("used", "without_effect", "banned_turns")


def format_report(network: RoadNetwork) -> str:
    """The report of a network for people, a line per subject; the last is ``roads: N nodes, M edges``.

    All components are counted there; the share of the largest stands in the line before.
    """
    report = network.report
    lines = [f"source: {report.get('source', 'unknown')} ({report.get('kind', 'unknown')})"]
    for subject, counts in report.items():
        if subject not in {"source", "kind", "network", "graph_attributes"}:
            lines.append(f"{subject}: {_in_words(counts)}")
    num_edges = network.graph.num_edges
    num_main = int(network.turns.is_main.sum())
    share = 100.0 * num_main / num_edges if num_edges else 0.0
    lines.append(format_coverage(network))
    lines.append(format_bytes(network))
    lines.append(f"main component: {num_main} edges ({share:.1f} %), {num_edges - num_main} elsewhere")
    lines.append(f"roads: {network.graph.num_nodes} nodes, {num_edges} edges")
    return "\n".join(lines)


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        parts = [f"{str(key).replace('_', ' ')} {_in_words(part)}" for key, part in value.items()]
        return ", ".join(parts) if parts else "none"
    if isinstance(value, list):
        shown = ", ".join(str(part) for part in value[:10])
        return f"[{shown}{', ...' if len(value) > 10 else ''}]"
    return "not checked" if value is None else str(value)
