"""Fastest routes of OSRM or Valhalla between given places; runs in the environment that `_engines.py` makes.

Arguments: engine, folder with its data, a JSON file of [[lat, lon], [lat, lon]] pairs. Prints one JSON line: seconds of
each query, and what it drove by, OSM nodes (OSRM) or a line of (lat, lon) (Valhalla); null where there is no route.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    engine, folder, pairs_file = sys.argv[1:4]
    pairs = json.loads(Path(pairs_file).read_text())
    ask = {"osrm": _osrm, "valhalla": _valhalla}[engine](Path(folder))
    ask(pairs[0])
    seconds, routes = [], []
    for pair in pairs:
        started = time.perf_counter()
        found = ask(pair)
        seconds.append(time.perf_counter() - started)
        routes.append(found() if found is not None else None)
    print(json.dumps({"seconds": seconds, "routes": routes}))


def _osrm(folder: Path) -> Any:
    import osrm

    engine = osrm.OSRM(storage_config=str(folder / "map.osrm"), algorithm="MLD", use_shared_memory=False)

    def ask(pair: list[list[float]]) -> Any:
        places = [(longitude, latitude) for latitude, longitude in pair]
        try:
            found = engine.Route(osrm.RouteParameters(coordinates=places, annotations=["nodes"], overview="full"))
        except RuntimeError:
            return None
        return lambda: [int(node) for node in found["routes"][0]["legs"][0]["annotation"]["nodes"]]

    return ask


def _valhalla(folder: Path) -> Any:
    from valhalla import Actor

    actor = Actor(json.loads((folder / "valhalla.json").read_text()))

    def ask(pair: list[list[float]]) -> Any:
        request = {"locations": [{"lat": a, "lon": b} for a, b in pair], "costing": "auto"}
        try:
            found = actor.route(request)
        except RuntimeError:
            return None
        return lambda: _decoded(found["trip"]["legs"][0]["shape"])

    return ask


def _decoded(text: str) -> list[list[float]]:
    values, value, shift = [], 0, 0
    for letter in text:
        bits = ord(letter) - 63
        value |= (bits & 31) << shift
        shift += 5
        if bits < 32:
            values.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    line, latitude, longitude = [], 0, 0
    for a, b in zip(values[::2], values[1::2], strict=True):
        latitude, longitude = latitude + a, longitude + b
        line.append([latitude / 1e6, longitude / 1e6])
    return line


if __name__ == "__main__":
    main()
