"""Memory and speed of `trodden match` on a folder of very many traces, *simulated* on Porto.

Traces of --routes drives are seen anew, with other errors and departures, until there are so many as --traces says;
each has a name of its own. They lie in Parquet files of 50,000. The command line matches the folder in a process of its
own, with as many threads as the machine has CPUs.

- `peak_gb`: the largest resident memory of that process, by the number of traces.
- `traces_per_second`: of wall time, everything counted.
- `routes`, `confidence`: what it wrote.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trodden import read_roads, save_network, simulate
from trodden.cli.console import out, progress_bar, text_table
from trodden.irl.demonstrations import Demonstrations
from trodden.irl.trace_files import write_traces
from trodden.irl.trace_simulation import TraceNoise, simulate_traces
from trodden.irl.traces import Traces, joined_traces

IN_A_FILE = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder that holds osm/porto.osm.pbf")
    parser.add_argument("--traces", type=int, nargs="+", default=[100_000, 1_000_000], help="rising numbers")
    parser.add_argument("--routes", type=int, default=5_000)
    parser.add_argument("--interval", type=float, default=30.0, help="seconds between points")
    parser.add_argument("--noise", type=float, default=10.0, help="metres per axis")
    parser.add_argument("--folder", type=Path, help="where files are written; default: a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        place = Path(name)
        network = read_roads(arguments.data / "osm" / "porto.osm.pbf")
        save_network(network, place / "network")
        drives = simulate(network, arguments.routes, seed=1, num_destinations=50, min_km=1.0, max_km=8.0)
        noise, rows, written = TraceNoise(arguments.interval, arguments.noise), [], 0
        (place / "traces").mkdir()
        for count in arguments.traces:
            written = _write(drives, noise, place / "traces", written, count)
            rows.append(_matched(place, written))
    table = [[f"{row['traces']:,}", *(str(row[name]) for name in list(row)[1:])] for row in rows]
    out.print(text_table(list(rows[0]), table), markup=False)
    print(json.dumps({"rows": rows}))


def _write(drives: Demonstrations, noise: TraceNoise, folder: Path, done: int, wanted: int) -> int:
    """Add files until so many traces are there; how many are."""
    with progress_bar("simulating", wanted) as update:
        while done < wanted:
            parts: list[Traces] = []
            for seed in range(done, min(done + IN_A_FILE, wanted), len(drives)):
                seen = simulate_traces(drives, noise, seed=seed)
                named = [f"{seed}-{name}" for name in seen.trace_id]
                parts.append(dataclasses.replace(seen, trace_id=named))
                done += len(seen)
            write_traces(folder / f"traces{done:09d}.parquet", joined_traces(parts))
            update(done)
    return done


def _matched(place: Path, count: int) -> dict[str, Any]:
    before = time.perf_counter()
    tell = "import atexit; from _memory import peak_gb; atexit.register(lambda: print('peak', peak_gb()))"
    script = (
        f"import sys; sys.path.append({str(Path(__file__).parent)!r}); {tell}; from trodden.cli.main import run; run()"
    )
    files = [place / "traces", "--output", place / "routes.parquet", "--skipped", place / "skipped.csv"]
    command = [sys.executable, "-c", script, "match", place / "network", *files]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds = time.perf_counter() - before
    out.print(told, markup=False)
    found = re.search(r"(\d+) routes in .*confidence ([0-9.]+)", told)
    peak = re.search(r"^peak ([0-9.]+)", told, re.MULTILINE)
    assert found is not None
    assert peak is not None
    return {
        "traces": count,
        "peak_gb": round(float(peak[1]), 3),
        "traces_per_second": round(count / seconds),
        "routes": int(found[1]),
        "confidence": float(found[2]),
    }


if __name__ == "__main__":
    main()
