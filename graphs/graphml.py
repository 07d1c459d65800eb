"""GraphML as osmnx saves it; entities are refused before networkx's own parser, which knows no limits, sees any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputFileError
from ..core.xml import read_xml

if TYPE_CHECKING:
    import networkx as nx

SUFFIX = ".graphml"


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
    return graph
