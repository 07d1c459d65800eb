"""Instructions by osrm-text-instructions, unchanged, for our steps: every one of them has to become a sentence.

Porto's roads under a *stated* reward, random trips 0.5 to 8 km long. Steps come from the service (in this process,
without a network); npm installs the package (--package to name a folder that holds it). `routes`, `steps`; `silent`
steps have no sentence; `defaulted` got the sentence of an unknown kind of maneuver; `types` counts our maneuvers. The
instructions of one trip are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from swap import TASTES, random_pairs, stated_model
from trodden import Router, read_roads
from trodden.cli.console import say
from trodden.routing.service.app import make_app

SCRIPT = """
const compile = require(process.argv[1])('v5');
const steps = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const known = new Set(['turn', 'new name', 'depart', 'arrive', 'merge', 'on ramp', 'off ramp', 'fork', 'end of road',
  'continue']);
const said = steps.map((step) => { try { return compile.compile('en', step, {}); } catch (error) { return ''; } });
console.log(JSON.stringify({ said, defaulted: steps.filter((step) => !known.has(step.maneuver.type)).length }));
"""


def main() -> None:
    shared = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TRODDEN_DATA", shared)))
    parser.add_argument("--routes", type=int, default=300)
    parser.add_argument("--package", type=Path, help="folder of osrm-text-instructions; npm installs it where left out")
    arguments = parser.parse_args()
    network = read_roads(arguments.data / "osm" / "porto.osm.pbf")
    app = make_app(Router(stated_model(network, TASTES[0])))
    steps: list[dict[str, Any]] = []
    for a, b in random_pairs(network, arguments.routes, seed=0):
        path = f"/route/v1/driving/{a.longitude_deg},{a.latitude_deg};{b.longitude_deg},{b.latitude_deg}"
        answer = asyncio.run(get(app, path, "steps=true"))
        steps += answer["routes"][0]["legs"][0]["steps"]
    with tempfile.TemporaryDirectory() as place:
        package = arguments.package or install(Path(place))
        done = subprocess.run(
            ["node", "-e", SCRIPT, str(package)], input=json.dumps(steps), capture_output=True, text=True, check=True
        )
    found = json.loads(done.stdout)
    first_end = next(at for at, step in enumerate(steps) if step["maneuver"]["type"] == "arrive")
    for step, sentence in zip(steps[: first_end + 1], found["said"], strict=False):
        say(f"{step['distance']:7.0f} m  {sentence}")
    figures = {
        "benchmark": "osrm_clients",
        "routes": arguments.routes,
        "steps": len(steps),
        "silent": sum(not sentence for sentence in found["said"]),
        "defaulted": found["defaulted"],
        "types": dict(Counter(step["maneuver"]["type"] for step in steps).most_common()),
    }
    print(json.dumps(figures))


def install(place: Path) -> Path:
    subprocess.run(["npm", "install", "--silent", "osrm-text-instructions"], cwd=place, check=True)
    return place / "node_modules" / "osrm-text-instructions"


async def get(app: Any, path: str, query: str) -> dict[str, Any]:
    """The JSON that an ASGI application answers."""
    body: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        body.append(message.get("body", b""))

    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": path, "raw_path": path.encode()}
    scope |= {"query_string": query.encode(), "headers": [], "scheme": "http", "root_path": ""}
    await app(scope | {"server": ("localhost", 80), "client": ("localhost", 1)}, receive, send)
    return dict(json.loads(b"".join(body)))


if __name__ == "__main__":
    main()
