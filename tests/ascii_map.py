"""Small towns drawn in ASCII, turned into OSM XML that the real reader reads.

    a
    |
  b-c>d      letters are nodes (v is a mark, not a node), - and | are roads,
    |        > < ^ v in a road make it one-way
    e

A road between two letters is a way named by both in reading order (``"bc"``); ``ways=["bcd"]`` makes one way of
several. North is up; a column is 50 m, a line 100 m.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import quoteattr

from trodden.graphs.road_graph import RoadNetwork

ORIGIN = (41.0, -8.0)
COLUMN_DEG, LINE_DEG = 50 / 83_920.0, 100 / 111_195.0
_AHEAD, _BACK = {"-": ">", "|": "v"}, {"-": "<", "|": "^"}

Ban = tuple[str, str, str, str]
"""(kind, from way, via node, to way)."""


@dataclass(frozen=True)
class Town:
    """A drawn map; ``xml`` is what the reader gets."""

    nodes: Mapping[str, tuple[float, float]]
    ways: Mapping[str, Mapping[str, str]]
    relations: Sequence[tuple[Mapping[str, str], Sequence[tuple[str, int, str]]]]

    def way_id(self, name: str) -> int:
        return 1000 + sorted(self.ways).index(name)

    @property
    def xml(self) -> str:
        lines = ["<?xml version='1.0' encoding='UTF-8'?>", '<osm version="0.6" generator="ascii_map">']
        for letter, (latitude, longitude) in sorted(self.nodes.items()):
            lines.append(f'<node id="{ord(letter)}" version="1" lat="{latitude:.7f}" lon="{longitude:.7f}"/>')
        for name in sorted(self.ways):
            refs = "".join(f'<nd ref="{ord(letter)}"/>' for letter in name)
            lines.append(f'<way id="{self.way_id(name)}" version="1">{refs}{_tags(self.ways[name])}</way>')
        for number, (tags, members) in enumerate(self.relations):
            inner = "".join(f'<member type="{kind}" ref="{ref}" role="{role}"/>' for kind, ref, role in members)
            lines.append(f'<relation id="{5000 + number}" version="1">{inner}{_tags(tags)}</relation>')
        return "\n".join([*lines, "</osm>", ""])

    def write(self, folder: Path, name: str = "town.osm") -> Path:
        path = folder / name
        path.write_text(self.xml, encoding="utf-8")
        return path


def _tags(tags: Mapping[str, str]) -> str:
    return "".join(f"<tag k={quoteattr(key)} v={quoteattr(value)}/>" for key, value in tags.items())


def town(
    drawing: str,
    *,
    ways: Sequence[str] = (),
    tags: Mapping[str, Mapping[str, str]] | None = None,
    bans: Sequence[Ban] = (),
    ban_tags: Mapping[str, str] | None = None,
    relations: Sequence[tuple[Mapping[str, str], Sequence[tuple[str, int, str]]]] = (),
) -> Town:
    """Read a drawing; ``tags`` by way name, ``ban_tags`` go onto every ban, ``relations`` are taken as they are."""
    grid = _grid(drawing)
    nodes = {
        letter: (ORIGIN[0] - row * LINE_DEG, ORIGIN[1] + column * COLUMN_DEG)
        for (row, column), letter in grid.items()
        if _is_node(letter)
    }
    single = _single_roads(grid)
    table: dict[str, dict[str, str]] = {}
    covered: set[str] = set()
    for name in ways:
        parts = [_oriented(single, a, b) for a, b in pairwise(name)]
        covered |= {part for part, _ in parts}
        marks = {mark for _, mark in parts}
        assert len(marks) == 1, f"the roads of {name} run in different directions"
        table[name] = {"highway": "residential", **marks.pop()}
    for name, mark in single.items():
        if name not in covered:
            table[name] = {"highway": "residential", **dict(mark)}
    for name, more in (tags or {}).items():
        table[name] = {**table[name], **more}
    result = Town(nodes, table, [])
    members = [_ban(result, ban, ban_tags or {}) for ban in bans]
    return Town(nodes, table, [*members, *relations])


def _ban(place: Town, ban: Ban, more: Mapping[str, str]) -> tuple[dict[str, str], list[tuple[str, int, str]]]:
    kind, source, via, target = ban
    members = [("way", place.way_id(source), "from"), ("node", ord(via), "via"), ("way", place.way_id(target), "to")]
    return {"type": "restriction", "restriction": kind, **more}, members


class _Mark(dict[str, str]):
    """Direction tags that can stand in a set."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self.items()))


def _grid(drawing: str) -> dict[tuple[int, int], str]:
    return {
        (row, column): character
        for row, line in enumerate(drawing.splitlines())
        for column, character in enumerate(line)
        if character != " "
    }


def _is_node(character: str) -> bool:
    return character.isalpha() and character != "v"


def _single_roads(grid: Mapping[tuple[int, int], str]) -> dict[str, _Mark]:
    roads: dict[str, _Mark] = {}
    for (row, column), letter in grid.items():
        if not _is_node(letter):
            continue
        for line, step in (("-", (0, 1)), ("|", (1, 0))):
            run, place = "", (row + step[0], column + step[1])
            while grid.get(place, " ") in {line, _AHEAD[line], _BACK[line]}:
                run += grid[place]
                place = (place[0] + step[0], place[1] + step[1])
            end = grid.get(place, " ")
            if run and _is_node(end):
                is_ahead, is_back = _AHEAD[line] in run, _BACK[line] in run
                tags = {"oneway": "yes"} if is_ahead else {"oneway": "-1"} if is_back else {}
                roads[letter + end] = _Mark(tags)
    return roads


def _oriented(single: Mapping[str, _Mark], a: str, b: str) -> tuple[str, _Mark]:
    if a + b in single:
        return a + b, single[a + b]
    mark = single[b + a]
    turned = {"yes": "-1", "-1": "yes"}
    return b + a, _Mark({"oneway": turned[mark["oneway"]]} if mark else {})


def turns_of(network: RoadNetwork) -> set[str]:
    """The permitted moves as node letters: ``"bcd"`` drives from b over c to d (edges are named by their ends)."""
    graph, turns = network.graph, network.turns
    letters = [chr(node) for node in graph.node_id.tolist()]
    return {
        letters[graph.tail[a]] + letters[graph.head[a]] + letters[graph.head[b]]
        for a, b in zip(turns.from_edge.tolist(), turns.to_edge.tolist(), strict=True)
    }


def edges_of(network: RoadNetwork) -> list[str]:
    """The edges as strings of node letters, shape nodes included, sorted."""
    shapes = network.shapes
    assert shapes is not None
    first = shapes.first_point.tolist()
    return sorted("".join(chr(node) for node in shapes.osm_node[begin:end].tolist()) for begin, end in pairwise(first))
