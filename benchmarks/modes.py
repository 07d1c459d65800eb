"""Modes beside osmnx's filters: which ways of an extract each uses, and what each mode's network is like.

Of every way with a `highway` tag it is asked whether our rules use it and whether osmnx's Overpass filter does
(`network_type` bike, walk and drive; matched as Overpass matches). Ways on which they differ are counted by what
decides. Then the extract is read in each mode.

Prints a table, and a JSON object as its last line: per extract and mode `agree`, `differ`, `seconds`, `edges`, `turns`.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import osmium
from osmnx import _overpass
from trodden.graphs.access import says
from trodden.graphs.modes import Mode, rules_of
from trodden.graphs.reading import read_roads

DEFAULT_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
FILES = {
    "krems": "krems.osm.gz",
    "liechtenstein": "liechtenstein.osm.pbf",
    "portland": "portland.osm.pbf",
    "heidelberg": "heidelberg.osm.pbf",
    "porto": "porto.osm.pbf",
}
OWN_KEY = {"bike": "bicycle", "walk": "foot", "drive": "motorcar"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder that holds osm/ (default: %(default)s)")
    parser.add_argument("--extracts", default=",".join(FILES), help="comma-separated (default: all five)")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for name in arguments.extracts.split(","):
        path = arguments.data / "osm" / FILES[name.strip()]
        found[name] = {mode: measured(path, mode) for mode in get_args(Mode)}
        for mode, row in found[name].items():
            print(
                f"{name:14} {mode:12} {row['edges']:>8} edges {row['turns']:>8} turns {row['seconds']:>6.1f} s", end=""
            )
            print(f"  agree {row['agree']}, differ {row['differ']}" if "agree" in row else "")
    print(json.dumps(found))
    return 0


def measured(path: Path, mode: Mode) -> dict[str, Any]:
    began = time.perf_counter()
    network = read_roads(path, mode=mode)
    row: dict[str, Any] = {
        "seconds": round(time.perf_counter() - began, 2),
        "edges": network.graph.num_edges,
        "turns": network.turns.num_turns,
    }
    if mode in OWN_KEY:
        agree, differ = compared(path, mode)
        row |= {"agree": agree, "differ": dict(differ.most_common())}
    return row


def compared(path: Path, mode: Mode) -> tuple[int, Counter[str]]:
    """Ways of one verdict, and the others by what decides."""
    text = _overpass._get_network_filter(mode)
    filters = [(key, re.compile(pattern)) for key, pattern in re.findall(r'\["([\w:]+)"!~"([^"]+)"\]', text)]
    rules, agree, differ = rules_of(mode), 0, Counter[str]()
    for way in osmium.FileProcessor(str(path), osmium.osm.WAY).with_filter(osmium.filter.KeyFilter("highway")):
        tags = dict(way.tags)
        reason = rules.skip_reason(tags, False)
        is_theirs = not any(pattern.search(tags.get(key, "")) for key, pattern in filters)
        if (reason is None) == is_theirs:
            agree += 1
        else:
            differ[f"left out: {reason}" if reason else f"used: {permission(tags, mode)}"] += 1
    return agree, differ


def permission(tags: Mapping[str, str], mode: Mode) -> str:
    if mode == "bike" and tags["highway"] in {"footway", "steps"}:
        return "pushed on footways and steps"
    return f"{OWN_KEY[mode]} permits it" if says(tags.get(OWN_KEY[mode])) else "other"


if __name__ == "__main__":
    raise SystemExit(main())
