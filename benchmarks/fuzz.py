"""Damaged files: whether every reader refuses them by a typed error, quickly, or reads what stands in them.

Each input is a small sound file or folder, damaged in one way or two: bits, bytes and chunks flipped, missing, doubled
or swapped; numbers that are none or out of range; words, cells, columns, headers, lines and elements missing, doubled
or swapped; other encodings and line ends; entity bombs, deep nesting, lying sizes; blocks of a PBF, tables of a Parquet
file and stored arrays altered below their checksums. Input number N of a seed is always the same. A process of its own
reads them, with 6 GiB of address space.

- crash: an exception that is no `TroddenError`, or a dead process.
- hang: no answer within ``--limit`` seconds (default 30); the process is killed.
- silent: the input was read, without an error, a warning or a count, although
  - stored networks and models: a file of the folder was changed at all. Where the manifests were signed anew: positions
    out of range, arrays of another length or type, costs, lengths or speeds that are not positive and finite;
  - OSM XML: it is not well-formed to its end (packed: does not unpack), a node stands elsewhere than in the file, an
    edge runs along a way that is not there, a way with a highway tag is not counted, a missing node is not counted;
  - PBF: a block is cut short, does not unpack, is not as long as it says, or has another type;
  - network folders: not UTF-8, a row of another length than the header, an edge, node, turn, number, class or name
    that is not what the row says, a number that is NaN, infinite or out of range, an unknown or repeated id, a column
    that is neither read nor listed as ignored;
  - routes: a row that is neither a route nor skipped for a reason, other ids or weights than in the row;
  - traces: a point that is missing or not where the file says (a number that is none must be NaN), a point left out by
    cleaning that is not counted, a feature of GeoJSON that is neither read nor counted, XML that is not well-formed or
    has entities, JSON with a name twice;
  - Parquet: a page that does not match its checksum;
  - configuration: a setting that is unknown, NaN or infinite, or is not taken as it stands.

  What the naive readers of `_fuzz_oracles` find says which. A mutation that leaves a sound file is no damage: a
  coordinate that is still one, another name, a swapped row.

Failures are written to ``--failures``, a folder each; ``--replay FOLDER`` reads one again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from _fuzz_faulty import FAULTY, INPUTS
from _fuzz_mutations import Files
from _fuzz_worker import Watchdog, altered, serve, store, stored_inputs

_VERDICTS = ("read", "refused", "silent", "crash", "hang")
_FAULTS = ("silent", "crash", "hang")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin with this input: go on with a run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="READER", help="some readers, separated by commas")
    parser.add_argument("--limit", type=float, default=30.0, metavar="SECONDS", help="per input")
    parser.add_argument("--failures", type=Path, default=Path("out/fuzz"), metavar="FOLDER")
    parser.add_argument("--replay", type=Path, metavar="FOLDER", help="a failure's folder: read it once more")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve, arguments.seed)
        return 0
    with tempfile.TemporaryDirectory(prefix="trodden-fuzz-") as place:
        for name, inputs in _sound_inputs(arguments).items():
            for number, files in enumerate(inputs):
                store(files, Path(place) / name / str(number))
        watchdog = Watchdog(Path(place), arguments.seed, arguments.limit)
        try:
            return _replay(watchdog, arguments.replay) if arguments.replay else _run(watchdog, arguments)
        finally:
            watchdog.close()


def _is_faulty(arguments: argparse.Namespace) -> bool:
    """Whether only readers that do wrong on purpose are asked for."""
    return (arguments.only or "").startswith("_") or (arguments.replay is not None and arguments.replay.name[0] == "_")


def _sound_inputs(arguments: argparse.Namespace) -> dict[str, list[Files]]:
    if _is_faulty(arguments):
        return {"faulty": INPUTS}
    from _fuzz_inputs import make_inputs

    return make_inputs()


def _chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    if _is_faulty(arguments):
        known: dict[str, Any] = dict(FAULTY)
    else:
        from _fuzz_readers import READERS

        known = dict(READERS)
    return {name: known[name] for name in (arguments.only or ",".join(known)).split(",")}


def _replay(watchdog: Watchdog, folder: Path) -> int:
    failure = json.loads((folder / "failure.json").read_text(encoding="utf-8"))
    verdict, said = watchdog.ask(reader=failure["reader"], folder=str((folder / "input").resolve()))
    print(f"{failure['reader']}: {failure['damage']}\n{verdict}: {said}")
    return int(verdict in _FAULTS)


def _run(watchdog: Watchdog, arguments: argparse.Namespace) -> int:
    from trodden.cli.console import out, progress_bar, text_table

    chosen = _chosen(arguments)
    _require_sound(watchdog, chosen)
    counts: Counter[tuple[str, str]] = Counter()
    slowest = (0.0, "")
    started = time.perf_counter()
    first = arguments.first
    names = _dealt({name: reader.share for name, reader in chosen.items()}, first + arguments.inputs)
    with progress_bar("damaging", arguments.inputs) as update:
        for number, name in enumerate(names[first:], first):
            asked = time.perf_counter()
            verdict, said = watchdog.ask(reader=name, number=number)
            slowest = max(slowest, (time.perf_counter() - asked, f"{name} {number}"))
            counts[name, verdict] += 1
            if verdict in _FAULTS:
                _keep(arguments.failures, watchdog, chosen[name], name, number, verdict, said)
            update(number + 1 - first, f"{sum(counts[one, fault] for one in chosen for fault in _FAULTS)} faults")
    rows = [[name, *(f"{counts[name, verdict]:,}" for verdict in _VERDICTS)] for name in chosen]
    out.print(text_table(["reader", *_VERDICTS], rows), markup=False)
    out.print(f"slowest: {slowest[1]}, {slowest[0]:.1f} s", markup=False)
    totals = {verdict: sum(counts[name, verdict] for name in chosen) for verdict in _VERDICTS}
    found = {"inputs": sum(totals.values()), "crashes": totals["crash"], "hangs": totals["hang"]}
    found |= {"silent": totals["silent"], "read": totals["read"], "refused": totals["refused"]}
    print(json.dumps({**found, "seconds": round(time.perf_counter() - started), "slowest_s": round(slowest[0], 2)}))
    return int(any(totals[fault] for fault in _FAULTS))


def _require_sound(watchdog: Watchdog, chosen: dict[str, Any]) -> None:
    """Every input must be read as long as it is sound; numba compiles meanwhile."""
    limit, watchdog.limit = watchdog.limit, 180.0
    for name, reader in chosen.items():
        if name.startswith("_") or (reader.inputs in ("network", "model") and not name.endswith("-signed")):
            continue
        for number, _ in enumerate(stored_inputs(watchdog.inputs, reader.inputs)):
            verdict, said = watchdog.ask(reader=name, folder=str(watchdog.inputs / reader.inputs / str(number)))
            if verdict != "read":
                raise SystemExit(f"{name}: sound input {number} is not read: {verdict}: {said}")
    watchdog.limit = limit


def _dealt(shares: dict[str, float], count: int) -> list[str]:
    """Readers in turn, each as often as its share says; the same for any count up to its length."""
    taken = dict.fromkeys(shares, 0.0)
    names = []
    for _ in range(count):
        name = min(taken, key=lambda one: (taken[one] + 1) / shares[one])
        taken[name] += 1
        names.append(name)
    return names


def _keep(failures: Path, watchdog: Watchdog, reader: Any, name: str, number: int, verdict: str, said: str) -> None:
    """Write a failure so that it can be read again."""
    files, how = altered(reader, stored_inputs(watchdog.inputs, reader.inputs), name, number, watchdog.seed)
    folder = failures / f"{name}-{watchdog.seed}-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    store(files, folder / "input")
    text = json.dumps({"reader": name, "damage": how, "verdict": verdict, "said": said}, indent=1)
    (folder / "failure.json").write_text(text + "\n", encoding="utf-8")
    print(f"{folder}: {verdict}: {how}: {said}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
