"""GraphML as osmnx saves it; entities are refused before networkx's own parser, which knows no limits, sees any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputFileError
from ..core.xml import read_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    import networkx as nx

SUFFIX = ".graphml"
_NUMBERS = frozenset({"x", "y", "length", "speed_kph", "travel_time"})


def read_graphml(path: str | Path) -> nx.MultiDiGraph[Any]:
    """The graph of a file that ``osmnx.save_graphml`` wrote, with its types.

    Raises
    ------
    InputFileError
        Missing, no well-formed XML, with entities, no GraphML, or with values that are not what osmnx writes.

    Notes
    -----
    The file is parsed twice, once to see that it is harmless; some 30 microseconds per edge and pass.
    """
    path = Path(path)
    if not path.is_file():
        raise InputFileError(path=path, problem="there is no such file", remedy="Check the path")
    root = read_xml(path, remedy="Save the graph again with osmnx.save_graphml: GraphML needs no entities")
    if root.tag.rsplit("}", 1)[-1] != "graphml":
        raise InputFileError(
            path=path, problem=f"is XML, but no GraphML (its root is {root.tag[:60]})", remedy="Save it anew by osmnx"
        )
    sizes = _sizes(root, path)
    del root
    import osmnx

    try:
        graph: nx.MultiDiGraph[Any] = osmnx.load_graphml(path)
    except Exception as error:  # whatever a foreign loader raises on values that it did not write
        raise InputFileError(
            path=path,
            problem=f"is GraphML that osmnx does not load ({type(error).__name__}: {error})",
            remedy="Save the graph with osmnx.save_graphml",
        ) from error
    found = {"node": graph.number_of_nodes(), "edge": graph.number_of_edges()}
    for kind, count in sizes.items():
        if found[kind] != count:
            problem = f"has {count} {kind} elements, which make {found[kind]}: given twice, or where none belongs"
            raise InputFileError(path=path, problem=problem, remedy="Save the graph with osmnx.save_graphml")
    return graph


def _sizes(root: Element, path: Path) -> dict[str, int]:
    """How many elements there are of a kind; `InputFileError` for a number that only Python takes for one."""
    names = {one.get("id"): one.get("attr.name") for one in root.iter() if _kind(one) == "key"}
    sizes = {"node": 0, "edge": 0}
    for one in root.iter():
        kind = _kind(one)
        if kind in sizes:
            sizes[kind] += 1
        elif kind == "data" and names.get(one.get("key")) in _NUMBERS:
            text = one.text or ""
            if "_" in text or not text.isascii() or len(one):
                problem = f"has {(text or 'elements')[:40]!r} for {names[one.get('key')]}, which is no number"
                raise InputFileError(path=path, problem=problem, remedy="Save the graph with osmnx.save_graphml")
    return sizes


def _kind(element: Element) -> str:
    return str(element.tag).rsplit("}", 1)[-1]
